"""What was saved at a model call, and how that is reckoned: in dollars where prices are known, never guessed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from langchain_core.messages import AIMessage
from langchain_core.messages.ai import UsageMetadata

from ..contracts.budget import Amounts
from .prices import Pricing, cost_of

How = Literal["tier", "degrade", "cache", "prompt_cache", "trim"]
PriceOf = Callable[[str], Pricing | None]
UNKNOWN = "; the price of {} is not known"


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """What one call saved: dollars (None: nobody knows), tokens, and on which basis."""

    how: How
    usd: Decimal | None
    tokens: int
    basis: str

    @property
    def dollars(self) -> str:
        """`usd` as a ledger has it: exact, empty where it is not known."""
        return "" if self.usd is None else f"{self.usd.normalize() + 0:f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A reply that was paid for: by which model, with which usage on the wire."""

    model: str
    usage: UsageMetadata | None

    @classmethod
    def by(cls, model: str, reply: AIMessage) -> Answered:
        """The reply of a model."""
        return cls(model=model, usage=reply.usage_metadata)

    @property
    def tokens(self) -> int:
        """All its tokens; zero where the wire did not tell."""
        return self.usage["input_tokens"] + self.usage["output_tokens"] if self.usage else 0

    def cached(self) -> tuple[int, int]:
        """Input tokens that the provider read from its cache, and that it wrote there."""
        details = self.usage.get("input_token_details") if self.usage else None
        return (details.get("cache_read") or 0, details.get("cache_creation") or 0) if details else (0, 0)

    def cost(self, price: Pricing | None) -> Decimal | None:
        """Dollars for these tokens at a price; None where nobody knows."""
        if price is None or self.usage is None:
            return None
        try:
            return cost_of(price, self.usage)
        except ValueError:  # a usage that cannot be
            return None

    def used(self, price: Pricing | None) -> Amounts:
        """What it used, as budgets count it."""
        usage, usd = self.usage, self.cost(price)
        tokens_in, tokens_out = (usage["input_tokens"], usage["output_tokens"]) if usage else (0, 0)
        return Amounts(usd=usd or Decimal(0), input_tokens=tokens_in, output_tokens=tokens_out, model_calls=1)


def by_another_model(
    how: Literal["tier", "degrade"], replies: Sequence[Answered], *, instead_of: str, price_of: PriceOf
) -> Saving:
    """What was saved by asking another model: what the tokens of the last reply would have cost with the one
    `instead_of`, less what all replies cost. Below zero where a cheap reply was not good enough, and a dear one came
    after it."""
    last = replies[-1]
    whole = last.cost(price_of(instead_of))
    costs = [reply.cost(price_of(reply.model)) for reply in replies]
    basis = f"the tokens of {last.model} at the price of {instead_of}, less what was paid"
    unknown = [m for m in dict.fromkeys([instead_of, *(r.model for r in replies)]) if price_of(m) is None]
    if whole is None or any(cost is None for cost in costs):
        said = UNKNOWN.format(", ".join(unknown)) if unknown else "; the wire told of no usage"
        return Saving(how=how, usd=None, tokens=last.tokens, basis=basis + said)
    return Saving(how=how, usd=whole - sum(c for c in costs if c is not None), tokens=last.tokens, basis=basis)


def taken_back(saved: Iterable[Decimal]) -> Saving | None:
    """What cheaper tiers were said to save with tries whose offer was then refused; None where that is nothing."""
    whole = sum(saved, Decimal(0))
    basis = "taken back: the offer that a cheaper tier made was refused"
    return Saving(how="tier", usd=-whole, tokens=0, basis=basis) if whole else None


def by_cache(used: Amounts, *, priced: bool) -> Saving:
    """What a cached reply saved: what it had cost when it was made."""
    tokens = used.input_tokens + used.output_tokens
    basis = "what this reply had cost when it was made"
    return Saving(how="cache", usd=used.usd if priced else None, tokens=tokens, basis=basis)


def by_prompt_cache(reply: Answered, price: Pricing | None) -> Saving | None:
    """What the provider's cache saved; None where it had no part. Filling it may cost more than it saves."""
    read, write = reply.cached()
    if (not read and not write) or reply.usage is None:
        return None
    basis = f"{read} tokens read from the provider's cache, {write} written to it"
    cost = reply.cost(price)
    if price is None or cost is None:
        return Saving(how="prompt_cache", usd=None, tokens=read, basis=basis + UNKNOWN.format(reply.model))
    bare = price.of(reply.usage["input_tokens"], reply.usage["output_tokens"])
    return Saving(how="prompt_cache", usd=bare - cost, tokens=read, basis=basis)


def by_trim(model: str, price: Pricing | None, *, tokens: int, results: int, messages: int, over: bool) -> Saving:
    """What was saved by what was not sent: at most, since `tokens` is an upper bound."""
    basis = f"at most: an upper bound of {results} results and {messages} messages, at the input price of {model}"
    if over:
        basis += "; what is always sent is above the bound by itself"
    usd = price.of(tokens, 0) if price is not None else None
    return Saving(how="trim", usd=usd, tokens=tokens, basis=basis + ("" if price else UNKNOWN.format(model)))
