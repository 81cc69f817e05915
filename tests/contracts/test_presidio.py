"""Presidio's pattern recognizers serve as a detector, without a model and without the network."""

from __future__ import annotations

import socket
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from edgewright.contracts import detectors
from edgewright.contracts.errors import DetectorInvalid
from edgewright.contracts.presidio import presidio_detector
from edgewright.contracts.redaction import Redactor

installed = pytest.mark.skipif(find_spec("presidio_analyzer") is None, reason="needs the extra `presidio` (spaCy)")


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detectors, "DETECTORS", dict(detectors.DETECTORS))


@pytest.fixture
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise AssertionError("a detector asked the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@installed
@pytest.mark.usefixtures("_offline")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
def test_a_contract_names_it_like_any_other_detector() -> None:
    presidio_detector(["UK_NINO", "CRYPTO"], name="presidio_ids")
    redactor = Redactor(["presidio_ids"])
    new, found = redactor.clean(
        {"note": "insured as AB 12 34 56 C, pays by 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "n": 3}
    )
    assert new == {"note": "insured as [presidio_ids], pays by [presidio_ids]", "n": 3}
    assert found == [("note", "presidio_ids")] * 2
    assert redactor.clean({"note": "an ordinary sentence"})[1] == []


@installed
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
def test_an_entity_that_no_pattern_finds_is_refused_with_those_that_are() -> None:
    with pytest.raises(DetectorInvalid, match=r"finds 'PERSON'; known: .*UK_NINO"):
        presidio_detector(["PERSON"])


def test_what_would_ask_the_network_is_refused() -> None:
    with pytest.raises(DetectorInvalid, match="needs the network"):
        presidio_detector(["EMAIL_ADDRESS"])


def test_an_analyzer_of_ones_own_is_asked_and_its_weak_finds_are_dropped() -> None:
    class Analyzer:
        def analyze(self, *, text: str, entities: list[str], language: str) -> list[SimpleNamespace]:
            at = text.find("Anna")
            return [SimpleNamespace(start=at, end=at + 4, score=0.9), SimpleNamespace(start=0, end=2, score=0.1)]

    presidio_detector(["PERSON"], name="person", analyzer=Analyzer())
    assert Redactor(["person"]).text("so Anna said")[0] == "so [person] said"
