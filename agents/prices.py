"""What a model call costs, and the most it can cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Protocol

import orjson
from genai_prices import Usage, calc_price
from langchain_core.messages import BaseMessage

from ..contracts.budget import Price

# Providers as LangChain names them, where genai-prices names them otherwise.
_PROVIDERS = {"google_genai": "google", "google_vertexai": "google", "bedrock": "aws", "azure_openai": "azure"}
_FRAMING = 16  # tokens of framing per message and tool, at most


_DECLARED: dict[str, Price] = {}


class Pricing(Protocol):
    """What a call costs: dollars for its tokens, and where the figure comes from."""

    @property
    def source(self) -> str:
        """Where the price comes from."""
        ...

    def of(self, input_tokens: int, output_tokens: int) -> Decimal:
        """Dollars for one call."""
        ...


@dataclass(frozen=True, slots=True)
class ListPrice:
    """A provider's list price, tiers included, as genai-prices ships it (no network)."""

    provider: str
    model: str

    @property
    def source(self) -> str:
        """Where the price comes from."""
        return f"genai-prices {self.provider}/{self.model}"

    def of(self, input_tokens: int, output_tokens: int) -> Decimal:
        """Dollars for one call. Raises LookupError for a model that is not listed."""
        usage = Usage(input_tokens=input_tokens, output_tokens=output_tokens)
        found = calc_price(usage, self.model, provider_id=self.provider, genai_request_timestamp=datetime.now(UTC))
        return found.total_price


def declare_price(name: str, price: Price) -> None:
    """Declare what `provider:model` costs; it goes before the list price."""
    _DECLARED[name] = price


@lru_cache(maxsize=256)
def _listed(name: str) -> ListPrice | None:
    provider, _, model = name.partition(":")
    found = ListPrice(_PROVIDERS.get(provider, provider), model)
    try:
        found.of(1, 1)
    except LookupError:
        return None
    return found


def price_of(name: str) -> Pricing | None:
    """The price of `provider:model`, or None where it is not known. None is never zero."""
    return _DECLARED.get(name) or _listed(name)


def input_bound(messages: Iterable[BaseMessage], tools: Iterable[Mapping[str, Any]]) -> int:
    """An upper bound of a prompt's tokens that needs no tokeniser: its UTF-8 bytes plus framing.

    A byte-level tokeniser never makes more tokens than bytes.
    """
    total = 0
    for message in messages:
        body = [message.content, getattr(message, "tool_calls", None)]
        total += len(orjson.dumps(body, default=str)) + _FRAMING
    for schema in tools:
        total += len(orjson.dumps(schema, default=str)) + _FRAMING
    return total
