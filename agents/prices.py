"""What a model call costs, and the most it can cost: declared prices first, then the list that genai-prices ships."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from genai_prices import Usage, __version__, calc_price
from genai_prices.types import ModelPrice, TieredPrices

from ..contracts.budget import Price
from .price_file import load_prices

# Providers as LangChain names them, where genai-prices names them otherwise and would take them for another.
_PROVIDERS = {"google_genai": "google", "google_vertexai": "google", "bedrock": "aws", "azure_openai": "azure"}
_CHOICES = ("service_tier", "speed")
"""Parameters of a call by which a provider's price differs."""
_USUAL = frozenset({"auto", "default", "standard", "standard_only", "on_demand"})
_DECLARED: dict[str, Price] = {}


class Pricing(Protocol):
    """What a call costs: dollars for its tokens, and where the figure comes from.

    Attributes:
        source: what goes on the ledger: where the figure comes from, in which version, and of which day it is.
        date: that day.
        input_per_million, output_per_million: dollars, where nothing is cached and no higher tier applies.
    """

    @property
    def source(self) -> str:
        """See the class."""
        ...

    @property
    def date(self) -> str:
        """See the class."""
        ...

    @property
    def input_per_million(self) -> Decimal | str:
        """See the class."""
        ...

    @property
    def output_per_million(self) -> Decimal | str:
        """See the class."""
        ...

    def of(self, input_tokens: int, output_tokens: int, *, cache_read: int = 0, cache_write: int = 0) -> Decimal:
        """Dollars for one call, exact. What was read from the cache, or written to it, is part of the input."""
        ...

    def most(self, input_tokens: int, output_tokens: int) -> Decimal:
        """The most that a call of at most so many tokens costs, whatever the cache does and whichever tier applies."""
        ...


@dataclass(frozen=True, slots=True)
class ListPrice:
    """A provider's list price as it is at one moment, tiers included, as genai-prices ships it (no network)."""

    source: str
    date: str
    model_price: ModelPrice

    @property
    def input_per_million(self) -> Decimal:
        """Dollars, where nothing is cached and no higher tier applies."""
        return _base(self.model_price.input_mtok)

    @property
    def output_per_million(self) -> Decimal:
        """Dollars, where no higher tier applies."""
        return _base(self.model_price.output_mtok)

    def of(
        self,
        input_tokens: int,
        output_tokens: int,
        *,
        cache_read: int = 0,
        cache_write: int = 0,
        cache_write_1h: int = 0,
    ) -> Decimal:
        """Dollars for one call, exact. `cache_write_1h` is the part of `cache_write` that is kept for an hour.

        Raises:
            ValueError: parts of the input are more than all of it.
        """
        usage = Usage(
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cache_read_tokens=cache_read,
            cache_write_tokens=cache_write,
            cache_write_1h_tokens=cache_write_1h,
        )
        found: Decimal = self.model_price.calc_price(usage)["total_price"]
        return found

    def most(self, input_tokens: int, output_tokens: int) -> Decimal:
        """The most that a call of at most so many tokens costs: each of them as the dearest kind there is.

        Tokens of whatever kind are bounded, and the price of the request; not what a provider's own tools cost.
        """
        priced = {k: v for k, v in vars(self.model_price).items() if v is not None}
        tokens = {k: _dearest(v, input_tokens) for k, v in priced.items() if k.endswith("_mtok")}
        sent = max(v for k, v in tokens.items() if not k.startswith("output"))
        made = max(v for k, v in tokens.items() if k.startswith("output"))
        request = _dearest(priced.get("requests_kcount", Decimal(0)), input_tokens) / 1000
        return (sent * input_tokens + made * output_tokens) / 1_000_000 + request


def _base(rate: Decimal | TieredPrices | None) -> Decimal:
    assert rate is not None, "a price without it is no ListPrice"
    return rate.base if isinstance(rate, TieredPrices) else rate


def _dearest(rate: Decimal | TieredPrices, input_tokens: int) -> Decimal:
    """The highest rate that applies to a call with at most so many input tokens: tiers go by those."""
    if not isinstance(rate, TieredPrices):
        return rate
    found: Decimal = max([rate.base, *(t.price for t in rate.tiers if t.start < input_tokens)])
    return found


def declare_price(name: str, price: Price) -> None:
    """Declare what `provider:model` costs; it goes before the list price."""
    _DECLARED[one_name(name)] = _dated(price)


def declare_prices(path: Path | str) -> tuple[str, ...]:
    """Declare all prices of a file (see `load_prices`); returns the models. Raises PricesInvalid: none of it counts."""
    found = load_prices(path)
    _DECLARED.update({one_name(name): _dated(price) for name, price in found.items()})
    return tuple(found)


def _dated(price: Price) -> Price:
    """A price whose source says its day too."""
    return replace(price, source=f"{price.source}, {price.date}") if price.date else price


def one_name(name: str) -> str:
    """`provider:model` under the one name that counts here, where the provider has several."""
    provider, _, model = name.partition(":")
    return f"{_PROVIDERS.get(provider, provider)}:{model}"


def price_of(
    name: str, params: Mapping[str, Any] | None = None, *, moment: datetime | None = None
) -> Price | ListPrice | None:
    """The price of `provider:model`, or None where it is not known. None is never zero.

    What it gives stays as it is: a call that is reserved with it is settled with it, whatever the hour by then.

    Args:
        params: the parameters of the call: a provider's price may differ by service tier and speed. One that the list
            does not know for this model leaves the price unknown. A declared price is for all of them.
        moment: when the call is made; None for now. List prices change with the day, and some with the hour (UTC).
    """
    if (declared := _DECLARED.get(same := one_name(name))) is not None:
        return declared
    chosen = tuple((k, str(v)) for k in _CHOICES if (v := (params or {}).get(k)) and str(v) not in _USUAL)
    return _listed(same, chosen, (moment or datetime.now(UTC)).replace(second=0, microsecond=0))


@lru_cache(maxsize=1024)
def _listed(name: str, chosen: tuple[tuple[str, str], ...], moment: datetime) -> ListPrice | None:
    provider, _, model = name.partition(":")
    try:
        found = calc_price(
            Usage(input_tokens=1, output_tokens=1),
            model,
            provider_id=provider,
            genai_request_timestamp=moment,
            price_context=dict(chosen),
        )
    except LookupError:
        return None
    price, info = found.model_price, found.model
    # Where the list prices something else (seconds, pages), tokens would come out as free.
    if price.input_mtok is None or price.output_mtok is None:
        return None
    own = any(info is m for m in found.provider.models)
    for key, value in chosen:
        if not (own and any(v.when.get(key) == value for v in info.price_variants or ())):
            return None
    date = moment.date().isoformat()
    updated = f" updated {found.auto_update_timestamp:%Y-%m-%d}" if found.auto_update_timestamp else ""
    variant = "".join(f" {value}" for _, value in chosen)
    source = f"genai-prices {__version__}{updated} {found.provider.id}/{info.id}{variant}, as of {date}"
    return ListPrice(source=source, date=date, model_price=price)


def cost_of(price: Pricing, usage: Mapping[str, Any]) -> Decimal:
    """Dollars for what a call used, as LangChain's `usage_metadata` tells it: cached input at its own price.

    Audio counts as the dearest kind of tokens, for its price is not told apart here.

    Raises:
        ValueError: the usage cannot be: a negative number, or more from the cache than there was input. Such a call
            is settled as what was reserved.
    """
    sent, made = int(usage["input_tokens"]), int(usage["output_tokens"])
    inside, outside = usage.get("input_token_details") or {}, usage.get("output_token_details") or {}
    read = int(inside.get("cache_read") or 0)
    hour = int(inside.get("ephemeral_1h_input_tokens") or 0)
    # Some providers tell writes by how long they are kept, some the sum, some both.
    write = max(int(inside.get("cache_creation") or 0), hour + int(inside.get("ephemeral_5m_input_tokens") or 0))
    if min(sent, made, read, hour, write) < 0 or read + write > sent:
        raise ValueError(f"a usage of {sent} input ({read} from, {write} to the cache) and {made} output tokens")
    if inside.get("audio") or outside.get("audio"):
        return price.most(sent, made)
    if isinstance(price, ListPrice):
        return price.of(sent, made, cache_read=read, cache_write=write, cache_write_1h=hour)
    return price.of(sent, made, cache_read=read, cache_write=write)


def price_table(names: Iterable[str], *, moment: datetime | None = None) -> str:
    """Models with their prices, a line each: dollars per million tokens of input and output, the day, the source."""
    rows = [("model", "input", "output", "date", "source")]
    for name in names:
        found = price_of(name, moment=moment)
        if found is None:
            rows.append((name, "unknown", "unknown", "", "neither declared nor listed"))
        else:
            rows.append((name, *_shown(found), found.date, found.source))
    widths = [*(max(len(row[i]) for row in rows) for i in range(4)), 0]
    return "\n".join("  ".join(map(str.ljust, row, widths)) for row in rows)


def _shown(price: Price | ListPrice) -> tuple[str, str]:
    """Rates as a table shows them: a `+` where a higher tier can apply."""
    tiers = vars(price.model_price) if isinstance(price, ListPrice) else {}
    more = ["+" if isinstance(tiers.get(key), TieredPrices) else "" for key in ("input_mtok", "output_mtok")]
    rates = (Decimal(price.input_per_million), Decimal(price.output_per_million))
    return f"{rates[0]:f}{more[0]}", f"{rates[1]:f}{more[1]}"
