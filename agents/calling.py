"""One call of an agent's model: what is sent, which model is asked, and what happens where it cannot be had.

Everything here is above the model gate: each request that reaches a model, a further try of the same one included, is
reserved there by itself. In order: trim what is sent; give a cached reply; ask the model of this try's tier, or a
cheaper one where a budget says so; try again what failed for a passing reason; ask another model where this one cannot
be had; ask the next tier where a reply is not sure enough. What was decided is on the ledger, and what a reader of the
answer has to know goes with the reply, as marks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from langchain.agents.middleware.types import ModelRequest, ModelResponse
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.utils.function_calling import convert_to_openai_tool

from ..contracts.errors import BudgetExceeded, CircuitOpen, EdgewrightError, Overloaded, StreamCut, TimedOut
from ..contracts.marks import Mark, MarkKind
from ..tools.containment import Means, Retried, Told, contained, kind_of
from ..tools.containment.driving import MEANS
from ..tools.reserving import cheaper, look, looks
from ..tools.run import Activation
from .bounds import CALL_MARGIN, input_bound
from .cache import Cached, ResponseCache
from .call_notes import Notes
from .call_rules import CallRules
from .handoff import OURS
from .hints import hinted
from .models import endpoint_of, is_whole, model_id, resolve_model
from .saving import Answered, by_another_model, by_cache, by_prompt_cache, by_trim, taken_back
from .tiers import Tiers
from .trimming import Trimmed, size, trimmed
from .watching import Watch

Handler = Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came of a call. `asked` is False where no model was: the reply is an earlier one."""

    response: ModelResponse[Any]
    marks: tuple[Mark, ...] = ()
    asked: bool = True


def request_of(inbox: Mapping[str, Any]) -> str:
    """How the payload that crossed to an agent is told to its model: the beginning of the message that asks for it."""
    return orjson.dumps(dict(inbox), option=orjson.OPT_INDENT_2).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Makes the calls of one compiled agent.

    Attributes:
        agent: `name@version`.
        models: by tier, the cheapest first; mostly one. `tiers` is their declaration, where there are several.
        fallback: models for when one cannot be had.
        means: clocks, breakers and bulkheads.
    """

    agent: str
    models: tuple[BaseChatModel, ...]
    rules: CallRules = field(default_factory=CallRules)
    tiers: Tiers | None = None
    fallback: tuple[BaseChatModel, ...] = ()
    cache: ResponseCache | None = None
    means: Means = MEANS
    _made: dict[str, BaseChatModel] = field(default_factory=dict)

    async def call(self, request: ModelRequest[Any], handler: Handler, activation: Activation, at: str) -> Reply:
        """Make a call.

        Args:
            handler: asks the model of a request.
            at: the position of the node that calls.

        Raises:
            Whatever the last model that was asked raised; CircuitOpen, Overloaded, TimedOut; BudgetExceeded.
        """
        return await _Call(self, request, handler, activation, at).made()

    async def resolved(self, model: str | BaseChatModel) -> BaseChatModel:
        """A model that a budget names. Raises AgentInvalid."""
        if isinstance(model, BaseChatModel):
            return resolve_model(model, agent=self.agent)
        if model not in self._made:  # its package may have to be imported, which takes a while
            self._made[model] = await asyncio.to_thread(resolve_model, model, agent=self.agent)
        return self._made[model]


class _Call:
    """The course of one call."""

    def __init__(
        self, caller: Caller, request: ModelRequest[Any], handler: Handler, activation: Activation, at: str
    ) -> None:
        self._caller, self._request, self._handler = caller, request, handler
        self._activation, self._notes = activation, Notes(activation, at)
        self._repairs = sum(m.additional_kwargs.get(OURS) == "repair" for m in request.messages)
        self._own = caller.models[min(self._repairs, len(caller.models) - 1)]
        self._marks: list[Mark] = []
        self._replies: list[Answered] = []
        self._tried: set[str] = set()
        self._degraded = ""

    async def made(self) -> Reply:
        if looks(self._activation):
            await asyncio.to_thread(look, self._activation)
        request, trim = self._trimmed(self._request.override(model=self._own))
        cache = self._caller.cache
        key = cache.key(request, self._activation) if cache is not None else None
        if cache is not None:
            if self._repairs:
                await self._forget_refused(cache)
            found = await cache.find(key, self._notes.cache_failed) if key is not None else None
            if found is not None:
                return self._given_again(found)
        response, model = await self._asked(request)
        self._note_savings(model, trim)
        if cache is not None and key is not None and not self._marks and len(response.result) == 1:
            answered = self._replies[-1]
            price = self._notes.price(answered.model)
            used = answered.used(price) if answered.cost(price) is not None else None
            failed = self._notes.cache_failed
            await cache.keep(key, _reply(response), self._activation, used=used, told=failed)
        return Reply(response=response, marks=tuple(self._marks))

    # -- what is sent ----------------------------------------------------------------------------------------------

    def _trimmed(self, request: ModelRequest[Any]) -> tuple[ModelRequest[Any], Trimmed | None]:
        rule = self._caller.rules.trim
        if rule is None:
            return request, None
        tools = [convert_to_openai_tool(tool) for tool in request.tools]
        system = size(request.system_message) if request.system_message is not None else 0
        around = system + (input_bound((), tools) or CALL_MARGIN)
        asking = request_of(self._activation.inbox)
        found = trimmed(request.messages, rule, around=around, request=asking)
        return (request.override(messages=list(found.sent)), found) if found.spared else (request, None)

    # -- the response cache ----------------------------------------------------------------------------------------

    def _given_again(self, found: Cached) -> Reply:
        name = model_id(self._own)
        self._notes.cached(name, found.run, found.used)
        self._notes.saved(by_cache(found.used, priced=found.priced), name)
        mark = self._mark("cached", "this very request was answered before, and that reply was given again")
        return Reply(response=ModelResponse(result=[found.message]), marks=(mark,), asked=False)

    async def _forget_refused(self, cache: ResponseCache) -> None:
        """A reply whose offer was refused is not given again. Any tier may have made it."""
        messages = self._request.messages
        spoke = [i for i, m in enumerate(messages) if isinstance(m, AIMessage) and OURS not in m.additional_kwargs]
        repair = max(i for i, m in enumerate(messages) if m.additional_kwargs.get(OURS) == "repair")
        refused = max((i for i in spoke if i < repair), default=None)
        if refused is None or any(i > repair for i in spoke):
            return
        for model in self._caller.models:
            before = self._request.override(model=model, messages=list(messages[:refused]))
            if (key := cache.key(self._trimmed(before)[0], self._activation)) is not None:
                await cache.forget(key, self._notes.cache_failed)

    # -- which model is asked --------------------------------------------------------------------------------------

    async def _asked(self, request: ModelRequest[Any]) -> tuple[ModelResponse[Any], BaseChatModel]:
        model = await self._cheap(None, self._own) or self._own
        while True:
            self._tried.add(endpoint_of(model))
            other: BaseChatModel | None
            try:
                response = await self._contained(request.override(model=model))
            except BudgetExceeded as error:
                other = await self._cheap(error, model)
                if other is None:
                    raise
            except Exception as error:
                other = self._instead(error, model)
                if other is None:
                    raise
            else:
                reply = _reply(response)
                self._replies.append(Answered.by(model_id(model), reply))
                other = self._above(model, reply)
                if other is None:
                    return response, model
            model = other

    async def _cheap(self, refused: BudgetExceeded | None, model: BaseChatModel) -> BaseChatModel | None:
        """The cheaper model that the budgets ask for, if it is one, and another than this; asked once per call."""
        said = None if self._degraded else cheaper(self._activation, refused)
        if said is None:
            return None
        cheap, reason = await self._caller.resolved(said[0]), said[1]
        if endpoint_of(cheap) in self._tried or not self._is_cheaper(cheap, model):
            return None
        name, to = model_id(model), model_id(cheap)
        self._degraded = to
        self._notes.degraded(name, to, reason)
        self._marks.append(self._mark("degraded", f"{to} was asked instead of {name}: {reason}"))
        return cheap

    def _is_cheaper(self, cheap: BaseChatModel, model: BaseChatModel) -> bool:
        """Whether it is, as far as prices are known: a tier that is cheap enough already is not made dearer."""
        if endpoint_of(cheap) == endpoint_of(model):
            return False
        one, other = self._notes.price(model_id(cheap)), self._notes.price(model_id(model))
        return one is None or other is None or one.of(1000, 1000) < other.of(1000, 1000)

    def _instead(self, error: Exception, model: BaseChatModel) -> BaseChatModel | None:
        """The next model of the fallback, where this one cannot be had; None where that is not what the error says."""
        kind = _unavailable(error, f"model:{endpoint_of(model)}")
        other = next((m for m in self._caller.fallback if endpoint_of(m) not in self._tried), None)
        if kind is None or other is None:
            return None
        name, to = model_id(model), model_id(other)
        self._notes.fell_back(name, to, f"{kind}: {type(error).__name__}: {error}")
        self._marks.append(self._mark("fallback", f"{to} was asked because {name} could not be had ({kind})"))
        return other

    def _above(self, model: BaseChatModel, reply: AIMessage) -> BaseChatModel | None:
        """The next tier, where this reply of a tier is not sure enough."""
        tiers, models = self._caller.tiers, self._caller.models
        place = next((i for i, m in enumerate(models) if m is model), len(models))
        if tiers is None or place + 1 >= len(models) or self._degraded:
            return None
        why = tiers.unsure(reply)
        if why is None:
            return None
        above = models[place + 1]
        self._notes.escalated(model_id(model), model_id(above), why)
        return above

    async def _contained(self, request: ModelRequest[Any]) -> ModelResponse[Any]:
        """Ask one model, inside its breaker, the agent's bulkhead, its time and its tries."""
        rules, grounds = self._caller.rules, self._activation.run.grounds
        if rules.cache_prompt:
            request = hinted(request, grounds.tenant, grounds.system, self._caller.agent)
        watch = Watch(self._activation.run, rules.containment.timeouts.idle)

        async def attempt() -> ModelResponse[Any]:
            with watch.over():
                response = await self._handler(request)
            if watch.streamed and not is_whole(_reply(response), model_id(request.model)):
                raise StreamCut(model=model_id(request.model))
            return response

        def tell(told: Told) -> None:
            if isinstance(told, Retried):
                self._notes.retried(told, model_id(request.model))
            else:
                self._notes.moved(told)

        places = rules.places
        within = [(f"agent:{grounds.system}/{self._activation.agent}", places)] if places is not None else []
        return await contained(
            attempt,
            of=f"model:{endpoint_of(request.model)}",
            by=rules.containment,
            within=within,
            tell=tell,
            means=self._caller.means,
        )

    # -- what is said of it ----------------------------------------------------------------------------------------

    def _mark(self, kind: MarkKind, why: str) -> Mark:
        return Mark(kind, self._activation.agent, why)

    def _note_savings(self, model: BaseChatModel, trim: Trimmed | None) -> None:
        name, models, notes = model_id(model), self._caller.models, self._notes
        price = notes.price(name)
        if self._repairs and len(models) > 1 and (back := taken_back(notes.saved_before())) is not None:
            notes.saved(back, name, part="/back")
        if name == self._degraded:
            own = model_id(self._own)
            notes.saved(by_another_model("degrade", self._replies, instead_of=own, price_of=notes.price), name)
        elif any(m is model for m in models[:-1]) or (len(self._replies) > 1 and model is models[-1]):
            top = model_id(models[-1])
            notes.saved(by_another_model("tier", self._replies, instead_of=top, price_of=notes.price), name)
        if self._caller.rules.cache_prompt and (found := by_prompt_cache(self._replies[-1], price)) is not None:
            notes.saved(found, name)
        if trim is not None and (rule := self._caller.rules.trim) is not None:
            over = trim.bound > rule.tokens
            left_out = {"tokens": trim.spared, "results": trim.results, "messages": trim.messages}
            notes.saved(by_trim(name, price, **left_out, over=over), name)


def _reply(response: ModelResponse[Any]) -> AIMessage:
    message = response.result[0]
    assert isinstance(message, AIMessage)
    return message


def _unavailable(error: Exception, of: str) -> str | None:
    """Why a model cannot be had, where that is what an error says; None for budgets, policies and faults of code."""
    match error:
        case CircuitOpen():
            return "circuit open"
        case Overloaded():
            return "overloaded" if error.of == of else None  # for want of the agent's own places no other model is had
        case TimedOut():
            return "timeout"
        case EdgewrightError() if not isinstance(error, StreamCut):
            return None
        case _:
            kind = kind_of(error)
            return None if kind == "other" else kind
