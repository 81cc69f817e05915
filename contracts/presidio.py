"""Presidio (Microsoft) behind our detector protocol: its pattern recognizers, or an analyzer of yours with a model.

An extra, `edgewright[presidio]`: it brings spaCy and numpy, and takes a second to import. Nothing of it is imported
until `presidio_detector` is called.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

from .detectors import Detector, declare_detector
from .errors import DetectorInvalid

Span = tuple[int, int]

# These ask the network for a list of top-level domains the first time they see an address.
_ONLINE = {"EMAIL_ADDRESS": "`email` finds these", "URL": "no detector does"}


class _Presidio:
    def __init__(self, name: str, window: int, entities: Sequence[str], language: str, threshold: float) -> None:
        self.name, self.window = name, window
        self._entities, self._language, self._threshold = list(entities), language, threshold
        self.recognizers: list[Any] = []
        self.analyzer: Any = None

    def spans(self, text: str) -> Iterator[Span]:
        if self.analyzer is not None:
            found = self.analyzer.analyze(text=text, entities=self._entities, language=self._language)
        else:
            found = [r for one in self.recognizers for r in one.analyze(text, self._entities, None) or ()]
        for result in found:
            if result.score >= self._threshold:
                yield result.start, result.end


def presidio_detector(
    entities: Sequence[str],
    *,
    name: str = "presidio",
    language: str = "en",
    threshold: float = 0.5,
    window: int = 64,
    analyzer: Any = None,
) -> Detector:
    """Declare a detector of Presidio's `entities` (`UK_NINO`, `US_PASSPORT`, ...); contracts name it by `name`.

    Without `analyzer` only recognizers that are patterns and checks are used, no model and no network. They know
    nothing of the words around a find, so `threshold` must be reached by form alone.

    Args:
        entities: Presidio's names of what to find.
        language: for `analyzer`; recognizers of all countries are used without one.
        threshold: the least score of a find, 0 to 1.
        window: the most characters that a find spans.
        analyzer: an `AnalyzerEngine` of yours, for names and places. It runs on every string that crosses, in the
            process that checks the edge: measure it. Whether it works offline is yours to see to.

    Raises `DetectorInvalid` for entities that no pattern finds, or if the name is taken; ImportError without the extra.
    """
    detector = _Presidio(name, window, entities, language, threshold)
    if analyzer is not None:
        detector.analyzer = analyzer
        return declare_detector(detector)
    if online := [f"{e} needs the network in Presidio; {_ONLINE[e]}" for e in entities if e in _ONLINE]:
        raise DetectorInvalid(name=name, faults=online)
    known = _patterns()
    if unknown := [f"no pattern of Presidio finds {e!r}; known: {sorted(known)}" for e in entities if e not in known]:
        raise DetectorInvalid(name=name, faults=unknown)
    detector.recognizers = [one for e in entities for one in known[e]]
    return declare_detector(detector)


def _patterns() -> dict[str, list[Any]]:
    library: Any = import_module("presidio_analyzer")
    shipped: Any = import_module("presidio_analyzer.predefined_recognizers")
    found: dict[str, list[Any]] = {}
    kind: Any
    for _, kind in inspect.getmembers(shipped, inspect.isclass):
        if issubclass(kind, library.PatternRecognizer) and kind is not library.PatternRecognizer:
            try:
                recognizer = kind()
            except TypeError:  # needs a service or a model
                continue
            for entity in recognizer.supported_entities:
                if entity not in _ONLINE:
                    found.setdefault(entity, []).append(recognizer)
    return found
