"""The sealed handle: a LangChain tool whose only way to its function leads through the gate.

Registering a function returns one. There is no public attribute that reaches the function; a copy is the handle
itself, a pickle is its import path, a subclass is refused. The check stands in the handle, so `.invoke`, `._run`,
`ToolNode` in a hand-made graph and the rest are all the same to it.
"""

# No `from __future__ import annotations`: LangChain resolves the hints of `_arun` at each call, and strings cost it
# a fifth of the whole call.

import inspect
import re
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, NoReturn, TypeVar, overload
from weakref import WeakKeyDictionary

from langchain_core.tools import BaseTool

from ..contracts.containment import Breaker, Bulkhead, Off, Retry
from ..contracts.errors import ToolInvalid, ToolOutsideRun
from ..contracts.labels import Sensitivity
from ..contracts.tool import FIX_TOOLS, Effect, Idempotency, Limit, Role, SharedRecord, ToolSpec, Trust
from .answering import TOLD, keywords, namespace, said_before, shown, told_of
from .drive import Functions, drive, drive_blocking
from .foreign.declarations import Declaration
from .foreign.schema import named
from .function import (
    OUTCOME,
    Reading,
    check_helper,
    check_limits,
    check_record,
    check_transient,
    read_facts,
    read_function,
)
from .run import active
from .steps import Call
from .tracing import annotate

F = TypeVar("F", bound=Callable[..., Any])
_NAME = re.compile(r"^[a-z][a-z0-9_]{0,62}$")
_CALL_ID: ContextVar[str | None] = ContextVar("edgewright_call_id", default=None)


class _Sealed:
    """What a handle guards. Kept outside the handle, found by identity, named by nothing public."""

    __slots__ = ("functions", "reading", "spec")

    def __init__(self, spec: ToolSpec, reading: Reading, functions: Functions) -> None:
        self.spec, self.reading, self.functions = spec, reading, functions


_SEALED: "WeakKeyDictionary[SealedTool, _Sealed]" = WeakKeyDictionary()


class SealedTool(BaseTool):
    """A governed tool. Made by `@tool`, never by hand."""

    name: str
    description: str

    def __init_subclass__(cls, **kwargs: Any) -> NoReturn:
        raise ToolInvalid(name=cls.__name__, faults=["a governed tool cannot be subclassed; declare another @tool"])

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __setattr__(self, name: str, value: Any) -> None:
        # LangChain caches private things on its tools; what a model or the gate reads is frozen.
        if not name.startswith("_") and name in type(self).model_fields and getattr(self, name, None) != value:
            raise ToolInvalid(name=self.name, faults=[f"{name!r} of a governed tool cannot be changed"])
        super().__setattr__(name, value)

    @property
    def spec(self) -> ToolSpec:
        """Its declaration. Raises ToolInvalid for a handle that `@tool` did not make."""
        return self._sealed().spec

    def _sealed(self) -> _Sealed:
        sealed = _SEALED.get(self)
        if sealed is None:
            raise ToolInvalid(name=self.name, faults=["it was not made by @tool, so there is nothing behind it"])
        return sealed

    def model_copy(self, **_: Any) -> "SealedTool":
        """The handle itself: there are no copies."""
        return self

    def __copy__(self) -> "SealedTool":
        return self

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> "SealedTool":
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        main = self._sealed().functions.main
        if "<locals>" in main.__qualname__:
            raise ToolInvalid(
                name=self.name, faults=["it is defined in a function, so it has no import path to pickle"]
            )
        return _imported, (main.__module__, main.__qualname__)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return self.__reduce__()

    # -- the ways in: each notes the provider's call id, then goes to _run or _arun -----------------------------

    def run(self, *args: Any, tool_call_id: str | None = None, **kwargs: Any) -> Any:
        """As LangChain's; the call goes through the gate."""
        token = _CALL_ID.set(tool_call_id)
        try:
            return super().run(*args, tool_call_id=tool_call_id, **kwargs)
        finally:
            _CALL_ID.reset(token)

    async def arun(self, *args: Any, tool_call_id: str | None = None, **kwargs: Any) -> Any:
        """As LangChain's; the call goes through the gate."""
        token = _CALL_ID.set(tool_call_id)
        try:
            return await super().arun(*args, tool_call_id=tool_call_id, **kwargs)
        finally:
            _CALL_ID.reset(token)

    def _call(self, given: Mapping[str, Any]) -> tuple[Call, Functions, str | None]:
        sealed, activation, call_id = _SEALED.get(self), active(), _CALL_ID.get()
        if sealed is None or activation is None:
            raise ToolOutsideRun(tool=self.name)
        # Used up: a call that this tool's own function makes by `_run` must not pass for this call.
        _CALL_ID.set(None)
        ns = namespace() or activation.ns
        run = activation.run
        at = run.positions.call(
            ns, call_id, lambda path, taken: said_before(run, sealed.spec.name, sealed.reading, path, taken, given)
        )
        call = Call(
            activation=activation,
            spec=sealed.spec,
            reading=sealed.reading,
            at=at,
            arguments=given,
            has_facts=sealed.functions.facts is not None,
        )
        return call, sealed.functions, call_id

    # No `run_manager` and no keyword `self`: LangChain, or Python, would take a model's argument of that name for its
    # own, and the gate would not see it.

    def _run(self, /, *args: Any, **kwargs: Any) -> Any:
        call, functions, call_id = self._call(keywords(self.name, args, kwargs))
        try:
            return shown(drive_blocking(call, functions))
        except TOLD as error:
            return told_of(error, self.name, call_id)
        finally:
            _traced(call)

    async def _arun(self, /, *args: Any, **kwargs: Any) -> Any:
        call, functions, call_id = self._call(keywords(self.name, args, kwargs))
        try:
            return shown(await drive(call, functions))
        except TOLD as error:
            return told_of(error, self.name, call_id)
        finally:
            _traced(call)

    async def call(self, arguments: Mapping[str, Any]) -> Any:
        """Call it from code: through the same gate, without LangChain's tool run around it (no span of its own).

        Args:
            arguments: JSON values by name, checked as strictly as a model's.

        Returns:
            What the tool returned, as JSON values, now or the first time.

        Raises:
            ToolOutsideRun, CallDenied, CallRejected, BudgetExceeded, ToolRefusal, ToolFailed, LedgerUnavailable.
        """
        token = _CALL_ID.set(None)
        try:
            call, functions, _ = self._call(dict(arguments))
            try:
                return await drive(call, functions)
            finally:
                _traced(call)
        finally:
            _CALL_ID.reset(token)


def _traced(call: Call) -> None:
    if (verdict := call.activation.run.verdicts.get(call.at)) is not None:
        annotate(verdict, trace=True)


def _imported(module: str, qualname: str) -> Any:
    import importlib

    found: Any = importlib.import_module(module)
    for part in qualname.split("."):
        found = getattr(found, part)
    if not isinstance(found, SealedTool):
        raise ToolInvalid(name=qualname, faults=[f"{module}.{qualname} is no governed tool any more"])
    return found


def seal(
    reading: Reading,
    main: Callable[..., Any],
    *,
    description: str,
    declaration: Declaration,
    facts: Callable[..., Any] | None = None,
    probe: Callable[..., Any] | None = None,
    compensate: Callable[..., Any] | None = None,
    record: str | SharedRecord | None = None,
    transient: tuple[type[Exception], ...] = (),
) -> SealedTool:
    """Make a governed tool of a function and what was read of its arguments: `@tool`, and tools of other origin.

    Args:
        reading: the arguments, from `read_function` or `read_schema`; its name is the tool's.
        main: called with the arguments that it names, or with all where it takes `**`; keep no other way to it.
        description: what a model reads of it, unless the declaration has a description.
        declaration: what it is to policy.
        facts, probe, compensate, record, transient: as in `tool`.

    Raises:
        ToolInvalid: with every fault.
    """
    told = declaration.description or description
    faults = declaration.faults()
    if not _NAME.fullmatch(reading.name):
        faults.append("a tool's name is lower case ASCII letters, digits and underscores, at most 63")
    if reading.name == FIX_TOOLS and main.__module__ != f"{__package__}.foreseen":
        faults.append("its name is that of the tool by which an agent says which tools it needs")
    if not told.strip():
        faults.append("it has no description (of a function: its docstring), which is what a model reads")
    faults += [f"role for {r!r}, which is no argument" for r in sorted(set(declaration.roles) - set(reading.names))]
    if faults:
        raise ToolInvalid(name=reading.name, faults=faults)
    shared = SharedRecord(record, by=record) if isinstance(record, str) else record
    if shared is not None:
        check_record(shared, reading)
    if probe is not None:
        check_helper(probe, reading, "probe")
    if compensate is not None:
        check_helper(compensate, reading, "compensate", beside=(OUTCOME,))
    check_limits(declaration.limits, reading)
    check_transient(transient, reading)
    spec = ToolSpec(
        name=reading.name,
        description=told,
        effect=declaration.effect,
        output=declaration.output,
        sensitivity=declaration.sensitivity,
        sink=declaration.sink,
        roles={n: declaration.roles.get(n, "target") for n in reading.names},
        idempotency=declaration.idempotency,
        timeout=declaration.timeout,
        limits=dict(declaration.limits),
        parameters=reading.schema,
        returns=reading.returns,
        facts=read_facts(facts, reading) if facts else None,
        has_probe=probe is not None,
        compensates=compensate is not None,
        code=reading.code,
        record=shared,
        each=declaration.each,
        idle=declaration.idle,
        retry=declaration.retry,
        breaker=declaration.breaker,
        bulkhead=declaration.bulkhead,
        transient=tuple(f"{cls.__module__}.{cls.__qualname__}" for cls in transient),
    )
    functions = Functions(
        main=named(main, reading.names), facts=facts, probe=probe, compensate=compensate, transient=transient
    )
    handle = SealedTool(name=spec.name, description=spec.description, args_schema=reading.schema)
    _SEALED[handle] = _Sealed(spec, reading, functions)
    return handle


@overload
def tool(function: Callable[..., Any], /) -> SealedTool: ...
@overload
def tool(
    *,
    name: str | None = None,
    effect: Effect = ...,
    output: Trust = ...,
    sensitivity: Sensitivity = ...,
    sink: bool = ...,
    roles: Mapping[str, Role] | None = None,
    idempotency: Idempotency = ...,
    facts: Callable[..., Any] | None = None,
    probe: Callable[..., Any] | None = None,
    compensate: Callable[..., Any] | None = None,
    timeout: float = ...,
    each: float | None = None,
    idle: float | None = None,
    limits: Mapping[str, Limit] | None = None,
    record: str | SharedRecord | None = ...,
    retry: Retry | Off | None = None,
    breaker: Breaker | Off | None = None,
    bulkhead: Bulkhead | Off | None = None,
    transient: tuple[type[Exception], ...] = (),
) -> Callable[[Callable[..., Any]], SealedTool]: ...
def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    effect: Effect = "irreversible",
    output: Trust = "untrusted",
    sensitivity: Sensitivity = "secret",
    sink: bool = True,
    roles: Mapping[str, Role] | None = None,
    idempotency: Idempotency = "none",
    facts: Callable[..., Any] | None = None,
    probe: Callable[..., Any] | None = None,
    compensate: Callable[..., Any] | None = None,
    timeout: float = 30.0,
    each: float | None = None,
    idle: float | None = None,
    limits: Mapping[str, Limit] | None = None,
    record: str | SharedRecord | None = None,
    retry: Retry | Off | None = None,
    breaker: Breaker | Off | None = None,
    bulkhead: Bulkhead | Off | None = None,
    transient: tuple[type[Exception], ...] = (),
) -> Any:
    """Declare a governed tool over a function. What is not declared has the most dangerous value.

    The function's docstring is what a model reads. Its parameters are checked strictly; a keyword parameter `ctx`
    gets the `ToolContext` and is invisible to the model. It may be async; a plain function runs in a thread.

    Args:
        facts: a trusted look-up, called before every judgement with those of the tool's arguments that it names
            (and `ctx`); returns a TypedDict, which policy reads as `context.facts`.
        probe: called with the same arguments after a crash, for a tool without idempotency: returns the outcome if
            the effect happened, None if it did not.
        compensate: called with the same arguments (and `outcome`, what the tool had returned) to undo an effect of a
            run that failed. By `ctx.key` it can know that it did so before.
        limits: how much of a whole-number argument may pass; see `Limit`.
        record: the shared record that a call reads or changes: the argument that holds its id, which then is the kind
            too, or a `SharedRecord`. Two runs that change one record are served in line, and a run that changes what
            it read in an older version is told so (RecordConflict) instead of writing over the newer one.
        timeout: seconds for the whole call with all its tries; waiting for a place is not counted.
        each, idle: seconds for one try, and between two signs of life (`alive()`) of it.
        retry, breaker, bulkhead: None is the default, "off" is without one. By default what may be repeated, a read
            or what has an idempotency, is tried twice where it failed for a passing reason; the rest never is.
        transient: errors that the function raises when what it calls cannot serve now.

    See `edgewright.contracts.tool.ToolSpec` for the rest.

    Raises:
        ToolInvalid: with every fault of the declaration.
    """

    def declare(main: Callable[..., Any]) -> SealedTool:
        return seal(
            read_function(main, name or main.__name__),
            main,
            description=inspect.cleandoc(main.__doc__ or ""),
            declaration=Declaration(
                effect=effect,
                output=output,
                sensitivity=sensitivity,
                sink=sink,
                roles=roles or {},
                idempotency=idempotency,
                timeout=timeout,
                each=each,
                idle=idle,
                limits=limits or {},
                retry=retry,
                breaker=breaker,
                bulkhead=bulkhead,
            ),
            facts=facts,
            probe=probe,
            compensate=compensate,
            record=record,
            transient=transient,
        )

    return declare(function) if function is not None else declare
