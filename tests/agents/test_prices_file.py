"""Prices in a file: all of it is right, or nothing of it counts."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from edgewright.agents import prices
from edgewright.agents.price_file import load_prices
from edgewright.agents.prices import declare_prices, price_of
from edgewright.contracts.errors import DefinitionError, PricesInvalid

GOOD: dict[str, Any] = {
    "input_per_million": "0.15",
    "output_per_million": "0.60",
    "date": "2026-11-01",
    "source": "price sheet",
}
TOML = """
source = "our contract"
date = 2026-10-01

["openai:gpt-4o-mini"]
input_per_million = "0.12"
output_per_million = "0.50"
cache_read_per_million = "0.06"

["anthropic:claude-x"]
input_per_million = 3
output_per_million = "15"
cache_write_per_million = "3.75"
date = "2026-11-02"
source = "a letter"
"""


@pytest.fixture(autouse=True)
def _nothing_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prices, "_DECLARED", {})


def _written(folder: Path, text: str, name: str = "prices.json") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def _json(folder: Path, *without: str, **entry: Any) -> Path:
    told = {k: v for k, v in {**GOOD, **entry}.items() if k not in without}
    return _written(folder, json.dumps({"a:good": GOOD, "a:b": told}))


def test_a_toml_file_with_a_date_and_source_for_all_and_for_one(tmp_path: Path) -> None:
    path = _written(tmp_path, TOML, "prices.toml")
    assert declare_prices(path) == ("openai:gpt-4o-mini", "anthropic:claude-x")
    mini, other = price_of("openai:gpt-4o-mini"), price_of("anthropic:claude-x")
    assert mini is not None
    assert other is not None
    assert mini.source == "prices.toml: our contract, 2026-10-01"
    assert mini.of(1_000_000, 1_000_000, cache_read=500_000) == Decimal("0.06") + Decimal("0.03") + Decimal("0.50")
    assert (other.source, other.date) == ("prices.toml: a letter, 2026-11-02", "2026-11-02")
    assert other.most(1_000_000, 0) == Decimal("3.75")


def test_a_json_file_says_the_same(tmp_path: Path) -> None:
    found = load_prices(_json(tmp_path))
    assert found["a:b"].of(1_000_000, 1_000_000) == Decimal("0.75")
    assert found["a:b"].source == "prices.json: price sheet"


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("0.15, no exact amount", {"input_per_million": 0.15}),
    ("True, no exact amount", {"input_per_million": True}),
    ("None, no exact amount", {"output_per_million": None}),
    ("-1, no exact amount", {"output_per_million": -1}),
    ("'-0.1', no exact amount", {"output_per_million": "-0.1"}),
    ("'NaN', no exact amount", {"output_per_million": "NaN"}),
    ("'1e3', no exact amount", {"cache_read_per_million": "1e3"}),
    ("'', no exact amount", {"cache_write_per_million": ""}),
    ("'yesterday', no day", {"date": "yesterday"}),
    ("'2026-02-30', no day", {"date": "2026-02-30"}),
    ("7, no day", {"date": 7}),
    ("source is empty", {"source": " "}),
    ("'input_per_thousand', which is not known", {"input_per_thousand": "1"}),
]


@pytest.mark.parametrize(("fault", "entry"), WRONG, ids=[f for f, _ in WRONG])
def test_a_wrong_entry_is_named_with_its_file_and_none_of_the_file_counts(
    fault: str, entry: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(PricesInvalid) as caught:
        declare_prices(_json(tmp_path, **entry))
    assert isinstance(caught.value, DefinitionError)
    assert caught.value.name == "prices.json"
    [said] = caught.value.faults
    assert said.startswith("a:b: ")
    assert fault in said
    assert price_of("a:good") is None


@pytest.mark.parametrize("missing", list(GOOD))
def test_what_each_entry_needs_is_asked_for(missing: str, tmp_path: Path) -> None:
    with pytest.raises(PricesInvalid, match=f"a:b: has no {missing}"):
        load_prices(_json(tmp_path, missing))


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(PricesInvalid) as caught:
        load_prices(_written(tmp_path, json.dumps({"x": GOOD, "a:b": {}, "a:c": []})))
    assert [f.partition(":")[0] for f in caught.value.faults] == ["x", *["a"] * 5]


@pytest.mark.parametrize(
    ("text", "name", "fault"),
    [
        ("{", "prices.json", "cannot be read"),
        ("[]", "prices.json", "not a table"),
        ("{}", "prices.json", "names no model"),
        ('{"a:b": {}, "a:b": {}}', "prices.json", "twice"),
        ("[" * 100_000, "prices.json", "cannot be read"),
        ("a = ", "prices.toml", "cannot be read"),
        ("date = 2026-01-01", "prices.toml", "names no model"),
    ],
)
def test_a_file_that_is_none_is_refused(text: str, name: str, fault: str, tmp_path: Path) -> None:
    with pytest.raises(PricesInvalid, match=fault):
        load_prices(_written(tmp_path, text, name))


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PricesInvalid, match=r"prices 'none.json': cannot be read: FileNotFoundError"):
        load_prices(tmp_path / "none.json")
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe")
    with pytest.raises(PricesInvalid, match="UnicodeDecodeError"):
        load_prices(tmp_path / "bytes.json")
