"""Redaction: cut out of texts and JSON values what detectors find, and the known sensitive values of a run.

What is found is replaced by a mark, `[rule]`. A redactor looks at strings, keys and numbers; behind escapes, base64 and
hexadecimal, two deep; inside strings that are JSON; and at what stands split over strings that follow each other.

It cannot be complete, and nothing that matters should rest on it alone. It does not find: what has no form and is not
known (a name in prose), a paraphrase, a translation, a summary; anything encrypted, compressed or in an encoding not
named here; a known value shorter than four characters, or encoded and shorter than six; a value whose parts do not
stand side by side in document order, or are divided by words. What must not cross is best not declared by the contract.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from .detectors import Detector, expand
from .errors import DetectorInvalid
from .held import Find, Held
from .known import Known
from .leaves import Leaves, leaf_text
from .views import View, decoded, escaped, normal, unescaped

_DEEPEST = 2
_RULE = re.compile(r"[^\W\d][\w.-]{0,63}")
_APART = re.compile(  # dates and ids: whole strings of a form of their own, of which no datum is a half
    r"\d{4}-\d\d-\d\d(?:[T ][\d:.]{5,15}(?:Z|[+-]\d\d:?\d\d)?)?|[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
)


class Finding(NamedTuple):
    """What was replaced: where (`a.b[0]`; a key that is no name shows as `*`; empty for a text), and by which rule."""

    path: str
    rule: str


class Redactor:
    """Replaces what detectors find, and known values, by marks.

    Args:
        names: detectors, or groups of them (`edgewright.contracts.detectors`).
        known: sensitive values of the run, each with the rule to name in its mark: a sensitivity or a field. They are
            found as written, in any case, with separators put in or taken out, and backwards.

    `window` is how many characters a token stream stays behind, to the last word before them.

    Raises `DetectorInvalid` for a name that is neither detector nor group, and for a rule that is no name. Its methods
    never raise on JSON values, unless a detector that you declared does.
    """

    def __init__(self, names: Sequence[str] = (), known: Mapping[str, str] | None = None) -> None:
        self._detectors = expand(names)
        families: dict[Any, list[Detector]] = {}
        for detector in self._detectors:
            families.setdefault(getattr(detector, "screen", None), []).append(detector)
        self._families = [(screen, tuple(family)) for screen, family in families.items()]
        self._known = Known(known or {})
        rules = dict.fromkeys((known or {}).values())
        if faults := [f"{rule!r} is no name of a rule" for rule in rules if not _RULE.fullmatch(rule)]:
            raise DetectorInvalid(name="known values", faults=faults)
        marks = "|".join(re.escape(name) for name in [*(d.name for d in self._detectors), *rules])
        self._marks = re.compile(rf"(\[(?:{marks})\])") if marks else None
        # Twice: what stands right beside a find may be seen only once that find is complete, and cut.
        self.window = 2 * max([self._known.window, *(d.window for d in self._detectors)])
        self._before = max([0, *(getattr(d, "before", 0) for d in self._detectors)])
        self._keys: set[str] = set()

    # -- texts ---------------------------------------------------------------------------------------------------

    def text(self, text: str, path: str = "") -> tuple[str, list[Finding]]:
        """A text with marks for what was found in it, and the findings. A redacted text is left as it is."""
        if not self._marks or self._quiet(text):
            return text, []
        held = self.held()
        out = held.feed(text) + held.flush()
        return out, [Finding(path, rule) for rule in held.rules]

    def held(self) -> Held:
        """A token stream through this redactor."""
        return Held(self.window, before=self._before, find=self._outside_marks)

    # -- JSON values ---------------------------------------------------------------------------------------------

    def clean(self, value: Any) -> tuple[Any, list[Finding]]:
        """A JSON value with marks for what was found in it, and the findings; the value itself where nothing was.

        A number that is a find becomes the mark, a string. Two keys that redact alike stay two. What is no JSON
        (bytes, objects) is left alone: see that it does not get here.
        """
        return self._clean(value, 0) if self._marks else (value, [])

    def _clean(self, value: Any, depth: int) -> tuple[Any, list[Finding]]:
        leaves = Leaves(value)
        quiet = self._quiet(leaves.screen())
        if quiet and not any(map(_like_json, leaves.strings())):
            return value, []
        found: list[Finding] = []
        if not quiet:
            found += self._clean_keys(leaves)
        for place, leaf in enumerate(leaves.values):
            new, rules = self._clean_leaf(leaf, quiet, depth)
            if rules:
                leaves.values[place] = new
                found += [Finding(leaves.path(place), rule) for rule in rules]
        if not quiet:
            found += self._clean_borders(leaves)
        return (leaves.rebuilt(), found) if found else (value, [])

    def _clean_keys(self, leaves: Leaves) -> list[Finding]:
        found: list[Finding] = []
        for place, key in leaves.names():
            if key in self._keys:
                continue
            new, inside = self.text(key)
            if inside:
                leaves.rename(place, new)
                found += [Finding(leaves.key_path(place), f.rule) for f in inside]
            elif len(self._keys) < 1024 and len(key) < 64:
                self._keys.add(key)
        return found

    def _clean_leaf(self, leaf: Any, quiet: bool, depth: int) -> tuple[Any, list[str]]:
        if isinstance(leaf, str):
            rules: list[str] = []
            if depth < _DEEPEST and _like_json(leaf):
                leaf, rules = self._clean_json(leaf, depth)
            if not quiet:
                leaf, found = self.text(leaf)
                rules = [*rules, *(f.rule for f in found)]
            return leaf, rules
        if not quiet and (finds := self._finds(leaf_text(leaf), strict=True)):
            return f"[{finds[0].rule}]", [finds[0].rule]
        return leaf, []

    def _clean_json(self, text: str, depth: int) -> tuple[str, list[str]]:
        try:
            inner = json.loads(text)
        except (ValueError, RecursionError):
            return text, []
        new, found = self._clean(inner, depth + 1)
        return (json.dumps(new, ensure_ascii=False), [f.rule for f in found]) if found else (text, [])

    def _clean_borders(self, leaves: Leaves) -> list[Finding]:
        """Cut what stands over the border of two strings or more, joined as they are and with a space between.

        Joined with a space, a find of more than four parts is a list that spells something by chance.
        """
        found: list[Finding] = []
        for group in leaves.rows(lambda text: _APART.fullmatch(text) is not None):
            for joint, most in (("", len(group)), (" ", 4)):
                while cuts := self._over_borders([leaves.values[p] for p in group], joint, most):
                    for part, start, end, rule in reversed(cuts):
                        place = group[part]
                        text = leaves.values[place]
                        leaves.values[place] = f"{text[:start]}[{rule}]{text[end:]}"
                        found.append(Finding(leaves.path(place), rule))
        return found

    def _over_borders(self, texts: list[str], joint: str, most: int) -> list[tuple[int, int, int, str]]:
        if len(texts) < 2:
            return []
        starts, at = [], 0
        for text in texts:
            starts.append(at)
            at += len(text) + len(joint)
        cuts: list[tuple[int, int, int, str]] = []
        part = 0
        for start, end, rule, _ in self._outside_marks(joint.join(texts), strict=True):
            while part + 1 < len(starts) and starts[part + 1] <= start:
                part += 1
            pieces = []
            for p in range(part, len(starts)):
                if starts[p] >= end:
                    break
                first, last = max(start - starts[p], 0), min(end - starts[p], len(texts[p]))
                if first < last:
                    pieces.append((p, first, last, rule))
            if 2 <= len(pieces) <= most:
                cuts += pieces
        return cuts

    # -- finding -------------------------------------------------------------------------------------------------

    def _quiet(self, text: str) -> bool:
        """Whether there is certainly nothing to find in the text, or in parts of it. Cheap; a maybe is no."""
        view = normal(text)
        return not (
            escaped(view.text)
            or next(self._suspects(view.text), None)
            or self._known.maybe(view.text)
            or self._encoded(view, 0)
        )

    def _suspects(self, text: str) -> Iterator[Detector]:
        """The detectors that may find something in a normal text."""
        for screen, family in self._families:
            if screen is None or screen(text):
                for detector in family:
                    look: Callable[[str], bool] | None = getattr(detector, "maybe", None)
                    if look is None or look(text):
                        yield detector

    def _encoded(self, view: View, depth: int) -> list[Find]:
        if depth >= _DEEPEST:
            return []
        found: list[Find] = []
        for start, end, said in decoded(view.text):
            if inner := self._finds(said, depth=depth + 1):
                first, last = view.back(start, end)
                found.append(Find(first, last, inner[0].rule, first))
        return found

    def _finds(self, text: str, *, depth: int = 0, strict: bool = False) -> list[Find]:
        """Everything found in a text: in order, apart; what overlaps is one, by the rule of the longest."""
        view, found = normal(text), []
        for layer in range(_DEEPEST + 1):
            found += self._seen(view, strict)
            found += self._encoded(view, depth)
            if layer == _DEEPEST or not escaped(view.text):
                break
            view = unescaped(view)
        return _apart(found)

    def _seen(self, view: View, strict: bool) -> list[Find]:
        text, found = view.text, []
        for detector in self._suspects(text):
            spans = getattr(detector, "across", detector.spans) if strict else detector.spans
            before: int = getattr(detector, "before", 0)
            for start, end in spans(text):
                if 0 <= start < end <= len(text):
                    first, last = view.back(start, end)
                    since = first if not before else view.back(max(start - before, 0), end)[0]
                    found.append(Find(first, last, detector.name, since))
        if self._known:
            for start, end, rule in self._known.find(text, whole=strict):
                first, last = view.back(start, end)
                found.append(Find(first, last, rule, first))
        return found

    def _outside_marks(self, text: str, *, strict: bool = False) -> list[Find]:
        """What is found in a text, its marks left alone. What stands between finds is judged again by itself, as it
        will be when they are cut: until nothing more is found.
        """
        found: list[Find] = []
        todo: list[tuple[int, int]] = []
        at = 0
        for place, piece in enumerate(self._marks.split(text) if self._marks else ()):
            if place % 2 == 0 and piece:  # the odd pieces are marks
                todo.append((at, at + len(piece)))
            at += len(piece)
        while todo:
            first, last = todo.pop()
            inside = [find.moved(first) for find in self._finds(text[first:last], strict=strict)]
            if inside:
                found += inside
                edges = [first, *(edge for find in inside for edge in (find.start, find.end)), last]
                todo += [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if a < b]
        return sorted(found)


def _apart(finds: Iterable[Find]) -> list[Find]:
    out: list[Find] = []
    longest = 0
    for find in sorted(finds, key=lambda f: (f.start, -f.end)):
        size = find.end - find.start
        if out and find.start < out[-1].end:
            one = out[-1]
            out[-1] = Find(
                one.start,
                max(one.end, find.end),
                find.rule if size > longest else one.rule,
                min(one.since, find.since),
            )
            longest = max(longest, size)
        else:
            out.append(find)
            longest = size
    return out


def _like_json(text: str) -> bool:
    inner = text.strip() if text[:1].isspace() else text
    return len(inner) > 2 and inner[0] in '[{"' and inner.rstrip()[-1] in ']}"'
