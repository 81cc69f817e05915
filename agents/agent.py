"""The agent, as a team writes it; and its turn, as the graph takes it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import orjson
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_core.caches import BaseCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AnyMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.config import get_config
from langgraph.constants import TAG_NOSTREAM
from langgraph.graph.state import CompiledStateGraph

from ..contracts.agent import AgentSpec
from ..contracts.budget import Budget
from ..contracts.containment import Breaker, Bulkhead, Off, Retry, Timeouts
from ..contracts.contract import Contract
from ..contracts.digest import digest
from ..contracts.errors import AgentInvalid
from ..contracts.marks import Mark
from ..contracts.shared import Key
from ..tools.function import source_digest
from ..tools.run import Activation
from ..tools.sealed import SealedTool
from .cache import ResponseCache
from .call_rules import CallRules
from .calling import Caller, request_of
from .graph_turn import GraphTurn, LangGraph, graph_digest
from .handoff import OURS, IntentTool, handoff_tools, write_tools
from .middleware import Governance
from .models import model_id, resolve_model
from .tiers import Tiers
from .trimming import Trim
from .watching import told_too

DEFAULT_LIMITS = Budget(model_calls=25, tool_calls=50, handoffs=5)
AgentFunction = Callable[[dict[str, Any]], Any] | Callable[[dict[str, Any], dict[str, Any]], Any]
"""Takes the payload, and the shared keys that the agent reads where it has a second parameter."""
Models = str | BaseChatModel | Tiers
_NO_END = 10**6
_STEPS_PER_CALL = 4  # supersteps of the inner graph per model call, at most


@dataclass(frozen=True, slots=True, kw_only=True)
class Handoff:
    """What a function agent returns where it has several targets, or writes shared state.

    For a declared fan-out it returns a list of them; the writes of all are made.
    """

    target: str
    payload: Mapping[str, Any]
    writes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A payload for a target."""

    target: str
    payload: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What a turn ends with: offers (several only for a fan-out), shared keys to write, the talk that led to them.

    `marks` are what a reader of the answer has to know of it.
    """

    offers: tuple[Offer, ...]
    writes: tuple[tuple[str, Any], ...] = ()
    talk: tuple[AnyMessage, ...] = ()
    marks: tuple[Mark, ...] = ()


class Agent:
    """A named, versioned behaviour: a prompt with a model and tools, or a plain function.

    Args:
        name: lower case; known by it to policy (`Agent::"name"`), ledger and drawings.
        version: rises when the behaviour changes.
        prompt: the system prompt of a model-driven agent.
        function: instead of a prompt: takes the payload (a dict), returns the payload for the one target, or a
            `Handoff`; async or not. It may call the agent's tools; each such call is governed.
        team: instead of a prompt: a topology of agents that takes the turn together, in the same run. It takes and
            answers what its own topology does. Its limits are of all its agents together; none unless they are given.
        graph: instead of a prompt: a LangGraph graph, compiled or not, or that of another `System`; see
            `graph_turn.py` for what it is given and what is taken of its end.
        tools: governed tools, made by `@tool`.
        reads: keys of the system's shared state that it is shown: beside its payload, or, for a function with a
            second parameter, as a dict there.
        writes: keys of the shared state that it may write: by a typed tool each, or by `Handoff(writes=...)`.
        model: `provider:model`, a chat model, or `Tiers` of them; None takes the system's.
        limits: this agent's budget inside the run's.
        middleware: LangChain agent middleware, inside ours.
        fallback: models that are asked, in this order, where the agent's own cannot be had: its endpoint fails after
            all tries, or is known to. Never because of a budget. The answer is marked.
        timeouts, retry, breaker, bulkhead: of its model's calls; None is the default (`call_rules.CONTAINMENT`: two
            minutes in all, half a minute between the chunks of a stream, three tries; `call_rules.PLACES`: 64 calls at
            once), `"off"` is without. Each try is reserved by itself.
        cache: give replies again that the system's response cache holds, for the very same request. Only without tools
            that change anything, and without middleware. The answer is marked.
        cache_prompt: hint to the provider that this prompt comes again: OpenAI and Anthropic; others have no hint.
        trim: what of a long talk is not sent.

    Raises:
        AgentInvalid: with every fault of the definition.
    """

    def __init__(
        self,
        name: str,
        *,
        version: int,
        prompt: str = "",
        function: AgentFunction | None = None,
        team: Any = None,
        graph: LangGraph | None = None,
        tools: Sequence[SealedTool] = (),
        model: Models | None = None,
        limits: Budget | None = None,
        middleware: Sequence[AgentMiddleware[Any, Any, Any]] = (),
        reads: Sequence[str] = (),
        writes: Sequence[str] = (),
        fallback: Sequence[str | BaseChatModel] = (),
        timeouts: Timeouts | None = None,
        retry: Retry | Off | None = None,
        breaker: Breaker | Off | None = None,
        bulkhead: Bulkhead | Off | None = None,
        cache: bool = False,
        cache_prompt: bool = False,
        trim: Trim | None = None,
    ) -> None:
        faults = []
        if not (name.isascii() and name.isidentifier() and name == name.lower()) or name in ("start", "end", "review"):
            faults.append("its name must be a lower case identifier, and not 'start', 'end' or 'review'")
        if version < 1:
            faults.append(f"version {version} is not a positive number")
        if bool(prompt.strip()) + sum(body is not None for body in (function, team, graph)) != 1:
            faults.append("give it either a prompt or a function, or a team, or a graph")
        if function is not None and not callable(function):
            faults.append(f"function={function!r} is no function")
        driven = function is None and team is None and graph is None
        if team is not None and (tools or model is not None or middleware):
            faults.append("a team has no tools, model or middleware of its own; give them to its agents")
        given: Sequence[Any] = tools
        stray = [getattr(t, "name", repr(t)) for t in given if not isinstance(t, SealedTool)]
        faults += [f"tool {t!r} is not governed; declare it with @tool" for t in stray]
        brought = [t for m in middleware for t in getattr(m, "tools", ())]
        faults += [
            f"tool {getattr(t, 'name', t)!r}, which a middleware brings, is not governed; declare it with @tool"
            for t in brought
            if not isinstance(t, SealedTool)
        ]
        names = [t.name for t in given if isinstance(t, SealedTool)]
        faults += [f"two tools are named {n!r}" for n in sorted({n for n in names if names.count(n) > 1})]
        self.calls = CallRules(
            fallback=tuple(fallback),
            timeouts=timeouts,
            retry=retry,
            breaker=breaker,
            bulkhead=bulkhead,
            cache=cache,
            cache_prompt=cache_prompt,
            trim=trim,
        )
        sealed = [t for t in given if isinstance(t, SealedTool)]
        faults += self.calls.faults(driven=driven, tools=sealed, writes=bool(writes), middleware=bool(middleware))
        if limits is None:
            limits = Budget() if team is not None else DEFAULT_LIMITS
        if limits.of != "run":
            faults.append(f"its limits are of a {limits.name}; give that to the System, an agent's own without `of`")
        if faults:
            raise AgentInvalid(name=name, faults=faults)
        self.name, self.version, self.prompt = name, version, prompt
        self.function, self.team, self.graph = function, team, graph
        self.model, self.limits = model, limits
        self.tools, self.middleware = tuple(tools), tuple(middleware)
        self.reads, self.writes = tuple(reads), tuple(writes)

    def spec(self, model: Models | None) -> AgentSpec:
        """Its behaviour as a value, with the model it will use: all of them, where there are several."""
        chosen = self.model or model
        return AgentSpec(
            name=self.name,
            version=self.version,
            prompt=self.prompt,
            model=self._kind or (self._called(chosen) if chosen else "none"),
            tools=tuple((t.name, t.spec.digest) for t in self.tools),
            limits=self.limits,
            code=self._code,
            reads=self.reads,
            writes=self.writes,
        )

    @property
    def _kind(self) -> str:
        """What it is, where that is no model with a prompt."""
        kinds = {"function": self.function, "team": self.team, "graph": self.graph}
        return next((kind for kind, body in kinds.items() if body is not None), "")

    @cached_property
    def _code(self) -> str:
        """Digest of what it does in code, middleware too. A team's agents and edges count by themselves."""
        own = source_digest(self.function) if self.function else ""
        if self.graph is not None:
            own = graph_digest(self.graph)
        beside = [source_digest(type(m)) for m in self.middleware]
        return digest([own, *beside]) if beside else own

    def _called(self, model: Models) -> str:
        """What its model is called in its spec; a digest of what it declares of its calls stands behind the names."""
        names = [model_id(m) for m in (model.models if isinstance(model, Tiers) else [model])]
        declared = self.calls.declared() | ({"tiers": model.as_json()} if isinstance(model, Tiers) else {})
        other = f", else {', '.join(map(model_id, self.calls.fallback))}" if self.calls.fallback else ""
        return ", ".join(names) + other + (f" (calls {digest(declared)[:12]})" if declared else "")

    def compiled(
        self,
        targets: Mapping[str, Contract],
        model: Models | None,
        *,
        shared: Mapping[str, Key] | None = None,
        cache: BaseCache | None = None,
    ) -> CompiledAgent:
        """Ready to take turns, handing over to `targets`. Raises AgentInvalid if it has no usable model.

        Args:
            model: the system's, for an agent without one of its own.
            cache: the system's response cache.
        """
        if self.graph is not None:
            return CompiledAgent(self, tuple(targets), None, GraphTurn(self.name, self.graph, targets))
        if self.function is not None:
            return CompiledAgent(self, tuple(targets), None)
        tools: list[IntentTool] = [*handoff_tools(targets), *write_tools({n: (shared or {})[n] for n in self.writes})]
        taken = {t.name for t in self.tools} & {t.name for t in tools}
        if taken:
            raise AgentInvalid(
                name=self.name, faults=[f"tool name {n!r} is taken by a handoff or a write" for n in sorted(taken)]
            )
        caller = self._caller(model, tools, cache)
        graph = create_agent(
            caller.models[0],
            [*self.tools, *tools],
            system_prompt=self.prompt,
            middleware=[Governance({t.name: t for t in tools}, caller), *self.middleware],
            name=self.name,
        )
        return CompiledAgent(self, tuple(targets), graph)

    def _caller(self, model: Models | None, intents: Sequence[IntentTool], cache: BaseCache | None) -> Caller:
        chosen, spec, kept = self.model or model, self.spec(model), None
        if self.calls.cache:
            if cache is None:
                fault = "cache=True, and its System has no cache; give it one: System(cache=...)"
                raise AgentInvalid(name=self.name, faults=[fault])
            readable = [*(t.name for t in self.tools), *(t.name for t in intents)]
            kept = ResponseCache(cache, readable=readable, behaviour=spec.digest)
        if isinstance(chosen, Tiers):
            tiers, models = chosen, tuple(resolve_model(m, agent=self.name) for m in chosen.models)
        else:
            tiers, models = None, (resolve_model(chosen, agent=self.name),)
        return Caller(
            agent=f"{spec.id} {spec.digest}",
            models=models,
            rules=self.calls,
            tiers=tiers,
            fallback=tuple(resolve_model(m, agent=self.name) for m in self.calls.fallback),
            cache=kept,
        )

    def __repr__(self) -> str:
        return f"Agent({self.name}@{self.version})"


class CompiledAgent:
    """An agent with its targets fixed."""

    def __init__(
        self,
        agent: Agent,
        targets: tuple[str, ...],
        graph: CompiledStateGraph[Any, Any, Any, Any] | None,
        other: GraphTurn | None = None,
    ) -> None:
        self.agent, self.targets, self._graph, self._other = agent, targets, graph, other

    @property
    def name(self) -> str:
        """The agent's name."""
        return self.agent.name

    async def turn(
        self,
        received: Mapping[str, Any],
        *,
        activation: Activation,
        history: Sequence[AnyMessage] = (),
        shared: Mapping[str, Any] | None = None,
        talk: Sequence[AnyMessage] = (),
        faults: Sequence[str] = (),
        watch: BaseCallbackHandler | None = None,
    ) -> Turn:
        """Take one turn.

        Args:
            received: the payload that crossed to this agent.
            activation: whose turn it is; the caller has made it the context's.
            history: messages that crossed with the payload; a model sees them before it.
            shared: the values of the shared keys that it reads.
            talk: with `faults`: the messages of the turn whose offer broke its contract; it goes on from there.
            watch: told of the model's tokens as they come.

        Raises:
            Whatever the function or the model raises.
        """
        if self._other is not None:
            payload = await self._other.answered(received, history)
            return Turn(offers=(Offer(target=self.targets[0], payload=payload),))
        if self._graph is None:
            return await self._answered(received, shared or {})
        if talk:
            said = "Your handover was refused by its contract. Correct it and hand over again.\n" + "\n".join(faults)
            messages: list[Any] = [*talk, HumanMessage(said, additional_kwargs={OURS: "repair"})]
        else:
            told = [request_of(received)]
            if shared:
                told.append("Shared state:\n" + orjson.dumps(dict(shared), option=orjson.OPT_INDENT_2).decode())
            messages = [*history, HumanMessage("\n\n".join(told))]
        grounds = activation.run.grounds
        most = self.agent.limits.model_calls  # our bounds come first; LangGraph's would not say whose it was
        calls = most if most is not None else _NO_END
        config = RunnableConfig(
            recursion_limit=calls * _STEPS_PER_CALL + 4,
            # No token of it leaves by LangGraph's own stream: what may, goes by `graphs/tokens.py`.
            tags=[TAG_NOSTREAM],
            metadata={"edgewright_run": grounds.run, "edgewright_agent": f"{self.name}@{self.agent.version}"},
        )
        if watch is not None:
            config["callbacks"] = told_too(get_config(), watch)
        state = await self._graph.ainvoke({"messages": messages}, config)
        asked, kept = state.get("intents") or [], tuple(state["messages"])
        writes = tuple((i["target"], i["payload"]) for i in asked if i["kind"] == "write")
        offers = tuple(Offer(target=i["target"], payload=i["payload"]) for i in asked if i["kind"] == "handoff")
        # No handoff: an empty offer to the first target, which its contract refuses; the model is told how to mend it.
        offers = offers or (Offer(target=self.targets[0], payload=None),)
        marks = tuple(dict.fromkeys(Mark.from_json(m) for m in state.get("marks") or ()))
        return Turn(offers=offers, writes=writes, talk=kept, marks=marks)

    async def _answered(self, received: Mapping[str, Any], shared: Mapping[str, Any]) -> Turn:
        function: Callable[..., Any] | None = self.agent.function
        assert function is not None
        made = function(dict(received), dict(shared)) if _takes_shared(function) else function(dict(received))
        result = await made if inspect.isawaitable(made) else made
        if isinstance(result, Handoff):
            result = [result]
        if isinstance(result, list) and result and all(isinstance(h, Handoff) for h in result):
            offers = tuple(Offer(target=h.target, payload=dict(h.payload)) for h in result)
            return Turn(offers=offers, writes=tuple(kv for h in result for kv in h.writes.items()))
        return Turn(offers=(Offer(target=self.targets[0], payload=result),))


@lru_cache(maxsize=1024)
def _takes_shared(function: Callable[..., Any]) -> bool:
    takes = [
        p
        for p in inspect.signature(function).parameters.values()
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty
    ]
    return len(takes) > 1
