"""What a model call can use at most, before it; and what it used, after it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import httpx
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, LLMResult

from ..contracts.budget import Amounts, Budget, Price
from ..contracts.errors import CostUnknown
from ..tools.reserving import around
from ..tools.run import Activation
from .bounds import bound_of, completions_of, output_cap_of
from .prices import Pricing, cost_of, price_of

_TIMED_OUT = (408, 499, 502, 504, 524)
"""Somebody on the way gave up; the provider may have gone on."""
_NEEDS = {
    "usd": ("price", "input_tokens", "output_tokens"),
    "input_tokens": ("input_tokens",),
    "output_tokens": ("output_tokens",),
}
"""What has to be known so that a unit is bounded."""


def model_name(metadata: Mapping[str, Any], params: Mapping[str, Any]) -> str:
    """`provider:model` of a call, from what LangChain tells of it."""
    model = metadata.get("ls_model_name") or params.get("model") or params.get("model_name") or "unknown"
    provider = metadata.get("ls_provider")
    return f"{provider}:{model}" if provider else str(model)


def bounded(
    activation: Activation, model: str, params: Mapping[str, Any], bound: int | None, calls: int
) -> tuple[Pricing | None, Amounts, frozenset[str]]:
    """The most that a call can use, at what price, and of which units that is a bound.

    Args:
        bound: of its input tokens, where one is known.
        calls: how many prompts it sends.

    Raises:
        CostUnknown: a unit that some budget of the call limits has no bound.
    """
    budgets = list(_budgets(activation))
    price = activation.run.prices.get(model) or price_of(model, params) or _estimate(budgets)
    cap = output_cap_of(params)
    unknown = {
        "input_tokens": "" if bound is not None else "declare a counter for its parts that are no text",
        "output_tokens": "" if cap is not None else "give the model an output cap (max_tokens)",
        "price": "" if price is not None else "declare a price, or limit tokens or calls instead",
    }
    for scope, budget in budgets:
        for unit, needs in _NEEDS.items():
            remedy = next((unknown[need] for need in needs if unknown[need]), "")
            if remedy and budget.limits(unit):
                raise CostUnknown(scope=scope, unit=unit, model=model, remedy=remedy)
    output = (cap or 0) * completions_of(params) * calls
    amounts = Amounts(
        usd=price.most(bound or 0, output) if price else Decimal(0),
        input_tokens=bound or 0,
        output_tokens=output,
        model_calls=calls,
        unpriced_calls=0 if price else calls,
    )
    known = {u for u in ("input_tokens", "output_tokens") if not unknown[u]}
    return price, amounts, frozenset(known | ({"usd"} if price and len(known) == 2 else set()))


def _budgets(activation: Activation) -> Iterator[tuple[str, Budget]]:
    """Every budget that a call of this activation is counted in, by the name that an error gives it."""
    for each in around(activation):
        yield f"agent {each.agent}", each.limits
        yield "run", each.run.spending.budget
        yield from ((s.budget.name, s.budget) for s in each.run.spending.shared)


def _estimate(budgets: Sequence[tuple[str, Budget]]) -> Price | None:
    return next((b.unpriced for _, b in budgets if isinstance(b.unpriced, Price)), None)


def bound_of_chat(told: Mapping[str, Any], messages: list[list[BaseMessage]]) -> int | None:
    """An upper bound of the input tokens of a call, given what LangChain tells of it; None where there is none."""
    params = told.get("invocation_params") or {}
    bounds = [bound_of(model_name(told.get("metadata") or {}, params), batch, params) for batch in messages]
    known = [b for b in bounds if b is not None]
    return sum(known) if len(known) == len(bounds) else None


def is_unbilled(error: BaseException | None) -> bool:
    """Whether the provider answered that it did not do it, or was never reached. A time-out proves neither."""
    while error is not None:
        status = getattr(error, "status_code", None)
        if isinstance(status, int) and status >= 400:
            return status not in _TIMED_OUT
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | ConnectionRefusedError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _replies(batch: Sequence[object]) -> list[AIMessage]:
    found = [g.message for g in batch if isinstance(g, ChatGeneration)]
    return [m for m in found if isinstance(m, AIMessage)]


def call_ids(response: LLMResult) -> list[str]:
    """The ids of the tool calls that a reply asks for."""
    return [str(c.get("id") or "") for batch in response.generations for m in _replies(batch) for c in m.tool_calls]


def _usages(response: LLMResult) -> list[UsageMetadata]:
    """The usage of each prompt. Some providers tell that of the whole request with each of its completions."""
    found: list[UsageMetadata] = []
    for batch in response.generations:
        told = [m.usage_metadata for m in _replies(batch) if m.usage_metadata]
        found += told[:1] if all(u == told[0] for u in told) else told
    return found


def used_by(response: LLMResult, reserved: Amounts, price: Pricing | None) -> Amounts:
    """What a call used, from the wire; what was reserved where the wire does not tell."""
    usages = _usages(response)
    try:
        usd = sum((cost_of(price, u) for u in usages), Decimal(0)) if price else Decimal(0)
    except ValueError:
        return reserved
    if not usages or any(u["input_tokens"] < 0 or u["output_tokens"] < 0 for u in usages):
        return reserved  # nothing reported, or nonsense that would give budget back
    return Amounts(
        usd=usd,
        input_tokens=sum(u["input_tokens"] for u in usages),
        output_tokens=sum(u["output_tokens"] for u in usages),
        model_calls=reserved.model_calls,
        unpriced_calls=reserved.unpriced_calls,
    )
