"""Prices: exact, never zero where they are not known, and bounded from above before a call."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from edgewright.agents import prices
from edgewright.agents.prices import ListPrice, Pricing, cost_of, declare_price, price_of, price_table
from edgewright.contracts.budget import Price
from genai_prices import __version__, data_snapshot
from genai_prices.data import providers
from genai_prices.types import (
    ClauseEquals,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    Provider,
    StartDateConstraint,
    Tier,
    TieredPrices,
    TimeOfDateConstraint,
)
from hypothesis import given
from hypothesis import strategies as st

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
TOKENS = st.integers(0, 2_000_000)
MODELS = [f"{p.id}:{m.id}" for p in providers for m in p.models]
LISTED = [name for name in MODELS if price_of(name, moment=NOW) is not None]


@pytest.fixture(autouse=True)
def _nothing_declared(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(prices, "_DECLARED", {})
    prices._listed.cache_clear()
    yield
    prices._listed.cache_clear()


def _listed(name: str, **options: Any) -> ListPrice:
    found = price_of(name, moment=options.pop("moment", NOW), **options)
    assert isinstance(found, ListPrice)
    return found


def _tiered(**rates: Any) -> ListPrice:
    return ListPrice("a list", "2026-11-01", ModelPrice(**rates))


@given(st.sampled_from(LISTED), TOKENS, TOKENS, st.data())
def test_no_call_of_a_listed_model_costs_more_than_the_most_that_was_said(
    name: str, most_in: int, most_out: int, data: st.DataObject
) -> None:
    price = _listed(name)
    sent, made = data.draw(st.integers(0, most_in)), data.draw(st.integers(0, most_out))
    read = data.draw(st.integers(0, sent))
    write = data.draw(st.integers(0, sent - read))
    hour = data.draw(st.integers(0, write))
    cost = price.of(sent, made, cache_read=read, cache_write=write, cache_write_1h=hour)
    assert 0 <= cost <= price.most(most_in, most_out)


@given(TOKENS, TOKENS, TOKENS, TOKENS, *[st.decimals(0, 100, places=6)] * 4)
def test_no_call_with_a_declared_price_costs_more_than_the_most(
    read: int, write: int, rest: int, made: int, inward: Decimal, outward: Decimal, reading: Decimal, writing: Decimal
) -> None:
    price: Pricing = Price(
        input_per_million=inward,
        output_per_million=outward,
        cache_read_per_million=reading,
        cache_write_per_million=writing,
    )
    sent = read + write + rest
    cost = price.of(sent, made, cache_read=read, cache_write=write)
    assert cost == (inward * rest + reading * read + writing * write + outward * made) / 1_000_000
    assert cost <= price.most(sent, made)


def test_a_model_that_is_not_listed_has_no_price_rather_than_none_at_all() -> None:
    assert price_of("openai:gpt-nobody-knows") is None
    assert price_of("nowhere:model") is None
    assert price_of("model") is None
    assert price_of("") is None


def test_a_model_of_which_only_input_or_something_else_is_priced_is_unknown_not_free() -> None:
    rates = {
        f"{p.id}:{m.id}": [m.prices] if isinstance(m.prices, ModelPrice) else [c.prices for c in m.prices]
        for p in providers
        for m in p.models
    }
    half = [name for name, found in rates.items() if all(p.input_mtok is None or p.output_mtok is None for p in found)]
    assert len(half) > 100
    assert not set(half) & set(LISTED)


def test_a_higher_tier_counts_once_the_bound_reaches_it() -> None:
    tier = TieredPrices(Decimal(1), [Tier(1000, Decimal(7))])
    price = _tiered(input_mtok=tier, output_mtok=Decimal(2))
    assert price.most(1000, 0) == price.of(1000, 0) == Decimal(1) / 1000
    assert price.most(1001, 0) == price.of(1001, 0) == Decimal(7) * 1001 / 1_000_000


def test_writing_to_the_cache_is_in_the_most_and_its_hour_is_told_apart() -> None:
    price = _listed("anthropic:claude-3-5-sonnet-latest")
    assert price.of(1_000_000, 0) == 3
    assert price.of(1_000_000, 0, cache_read=1_000_000) == Decimal("0.3")
    assert price.of(1_000_000, 0, cache_write=1_000_000) == Decimal("3.75")
    assert price.of(1_000_000, 0, cache_write=1_000_000, cache_write_1h=1_000_000) == 6 == price.most(1_000_000, 0)


def test_more_from_the_cache_than_was_sent_is_refused() -> None:
    with pytest.raises(ValueError, match="cache_read"):
        _listed("openai:gpt-4o-mini").of(10, 0, cache_read=11)


def test_a_declared_price_goes_before_the_list_under_every_name_of_its_provider() -> None:
    declare_price("azure_openai:gpt-4o", Price(input_per_million="1", output_per_million="2"))
    for name in ("azure_openai:gpt-4o", "azure:gpt-4o"):
        found = price_of(name)
        assert isinstance(found, Price)
        assert found.of(1_000_000, 1_000_000) == 3
    assert isinstance(price_of("openai:gpt-4o"), ListPrice)


def test_the_source_on_the_ledger_names_version_entry_and_day() -> None:
    assert _listed("openai:gpt-4o-mini").source == f"genai-prices {__version__} openai/gpt-4o-mini, as of 2026-11-01"
    declare_price("a:b", Price(input_per_million="1", output_per_million="2", source="contract 7", date="2026-10-01"))
    found = price_of("a:b")
    assert found is not None
    assert found.source == "contract 7, 2026-10-01"


def _changing(monkeypatch: pytest.MonkeyPatch, constraint: Any) -> None:
    """A list with one model, whose price is another one under a constraint."""
    model = ModelInfo(
        id="m",
        match=ClauseEquals("m"),
        prices=[
            ConditionalPrice(prices=ModelPrice(input_mtok=Decimal(1), output_mtok=Decimal(1))),
            ConditionalPrice(constraint, prices=ModelPrice(input_mtok=Decimal(9), output_mtok=Decimal(9))),
        ],
    )
    snapshot = data_snapshot.DataSnapshot([Provider("p", "P", "p", models=[model])], from_auto_update=False)
    monkeypatch.setattr(data_snapshot, "_custom_snapshot", snapshot)


def test_a_price_that_begins_on_a_day_is_taken_from_that_day_on(monkeypatch: pytest.MonkeyPatch) -> None:
    _changing(monkeypatch, StartDateConstraint(date(2026, 12, 1)))
    before, after = (_listed("p:m", moment=datetime(2026, *day, tzinfo=UTC)) for day in ((11, 30), (12, 1)))
    assert before.of(1_000_000, 0) == 1
    assert after.of(1_000_000, 0) == 9
    assert (before.date, after.date) == ("2026-11-30", "2026-12-01")


def test_a_call_keeps_the_price_of_the_hour_it_was_reserved_in(monkeypatch: pytest.MonkeyPatch) -> None:
    nine = datetime(2026, 11, 1, 9, tzinfo=UTC)
    _changing(monkeypatch, TimeOfDateConstraint(nine.timetz(), nine.replace(hour=17).timetz()))
    night, day = _listed("p:m", moment=nine.replace(hour=8, minute=59)), _listed("p:m", moment=nine)
    assert night.of(1_000_000, 0) == 1
    assert day.of(1_000_000, 0) == 9


def test_a_dearer_service_tier_has_its_own_price_and_an_unlisted_one_none() -> None:
    usual = _listed("openai:gpt-4.1")
    first = _listed("openai:gpt-4.1", params={"service_tier": "priority"})
    assert first.of(1_000_000, 0) > usual.of(1_000_000, 0)
    assert "priority" in first.source
    assert _listed("openai:gpt-4.1", params={"service_tier": "auto"}) == usual
    assert price_of("openai:gpt-4.1", {"service_tier": "royal"}, moment=NOW) is None
    assert price_of("anthropic:claude-3-5-sonnet-latest", {"speed": "fast"}, moment=NOW) is None


def test_cached_input_is_billed_as_such_and_the_parts_of_a_write_not_twice() -> None:
    price = _listed("anthropic:claude-3-5-sonnet-latest")
    parts = {
        "cache_read": 100,
        "cache_creation": 300,
        "ephemeral_1h_input_tokens": 200,
        "ephemeral_5m_input_tokens": 100,
    }
    usage = {"input_tokens": 1000, "output_tokens": 10, "total_tokens": 1010, "input_token_details": parts}
    exact = price.of(1000, 10, cache_read=100, cache_write=300, cache_write_1h=200)
    assert cost_of(price, usage) == exact
    assert cost_of(price, usage | {"input_token_details": parts | {"cache_creation": 0}}) == exact
    assert cost_of(price, {"input_tokens": 1000, "output_tokens": 10}) == price.of(1000, 10)
    declared = Price(input_per_million="1", output_per_million="0", cache_read_per_million="0.1")
    assert cost_of(declared, usage) == declared.of(1000, 10, cache_read=100, cache_write=300)


def test_audio_counts_as_the_dearest_kind_of_tokens() -> None:
    price = _tiered(input_mtok=Decimal(1), output_mtok=Decimal(1), input_audio_mtok=Decimal(40))
    usage = {"input_tokens": 1_000_000, "output_tokens": 0, "input_token_details": {"audio": 7}}
    assert cost_of(price, usage) == 40


@pytest.mark.parametrize(
    ("sent", "made", "details"),
    [
        (-1, 0, {}),
        (0, -1, {}),
        (10, 0, {"cache_read": 11}),
        (10, 0, {"cache_read": -1}),
        (10, 0, {"cache_read": 6, "cache_creation": 5}),
    ],
)
def test_a_usage_that_cannot_be_is_no_price(sent: int, made: int, details: dict[str, int]) -> None:
    usage = {"input_tokens": sent, "output_tokens": made, "input_token_details": details}
    with pytest.raises(ValueError, match="a usage of"):
        cost_of(_listed("openai:gpt-4o-mini"), usage)


def test_the_table_says_what_is_unknown_and_where_each_price_comes_from() -> None:
    declare_price("own:model", Price(input_per_million="0.10", output_per_million="2", source="us", date="2026-01-02"))
    lines = price_table(["own:model", "google_genai:gemini-2.5-pro", "no:model"], moment=NOW).splitlines()
    assert lines[0].split() == ["model", "input", "output", "date", "source"]
    assert lines[1].split() == ["own:model", "0.10", "2", "2026-01-02", "us,", "2026-01-02"]
    assert lines[2].split()[:4] == ["google_genai:gemini-2.5-pro", "1.25+", "10+", "2026-11-01"]
    assert lines[3].split() == ["no:model", "unknown", "unknown", "neither", "declared", "nor", "listed"]
