"""The offline model's repairing: reading what pytest printed, and the small changes that it tries."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_BLOCK = re.compile(r"^_{3,} (\w+) _{3,}$", re.M)
_CALLED = re.compile(r"^E .*?(?:where|and) .*? = (\w+)\(", re.M)
_ASSERTED = re.compile(r"^\s+assert (?:not )?(\w+)\(", re.M)
_WORD = re.compile(r"[a-z0-9]{2,}")
_SMALL = frozenset(
    re.findall(r"\w+", "the of is it in on to and or that be by not for with its was one no more an are at as")
)
_SWAPS = (
    *((" < ", " <= "), (" > ", " >= "), (" <= ", " < "), (" >= ", " > ")),
    *(("min(", "max("), ("max(", "min("), (" and ", " or "), (" or ", " and "), (" + ", " - "), (" - ", " + ")),
)
_HEAD = re.compile(r"def (\w+)\(")
_NUMBER = re.compile(r"(?<![\w.])\d+(?![\w.])")


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A failing test, and the function that it found wrong."""

    test: str
    function: str


def failures(failed: Sequence[str], output: str) -> list[Failure]:
    """The failing tests of which the output says which function gave the wrong value."""
    parts = _BLOCK.split(output)
    told = dict(zip(parts[1::2], parts[2::2], strict=True))
    found = []
    for test in failed:
        block = told.get(test.rpartition("::")[2], "")
        called = [*_CALLED.findall(block), *_ASSERTED.findall(block)]
        if called:
            found.append(Failure(test=test, function=called[0]))
    return found


def aimed_at(issue: str, found: Sequence[Failure]) -> Failure | None:
    """The failure whose words are most like the issue's; None where no two words of it are there."""
    words = _words(issue)

    def like(failure: Failure) -> int:
        return len(words & _words(f"{failure.test} {failure.function}".replace("_", " ")))

    best = max(found, key=like, default=None)
    return best if best is not None and like(best) >= 2 else None


def lines_of(text: str, name: str) -> list[int]:
    """The lines of the functions of this text that a function calls, then its own, without heads; counted from 0."""
    lines = text.splitlines()
    bodies = dict(_bodies(lines))
    own = bodies.get(name, range(0))
    called = [n for n in bodies if n != name and any(f"{n}(" in lines[i] for i in own)]
    return [i for n in (*called, name) for i in bodies.get(n, ())]


def _bodies(lines: Sequence[str]) -> Iterator[tuple[str, range]]:
    for start, line in enumerate(lines):
        if match := _HEAD.match(line):
            end = start + 1
            while end < len(lines) and (not lines[end].strip() or lines[end][:1].isspace()):
                end += 1
            yield match.group(1), range(start + 1, end)


def candidates(text: str, where: Sequence[int]) -> Iterator[tuple[str, str]]:
    """Passages of a text, each with what to put in its place: a comparison, an operator, a word or a number changed.

    A passage is a line, with the lines before it where that stands in the text more than once.
    """
    lines = text.splitlines(keepends=True)
    for index in where:
        line = lines[index]
        if line.lstrip().startswith(('"""', "#")):
            continue
        before, start = "", index
        while text.count(before + line) > 1 and start > 0:
            start -= 1
            before = lines[start] + before
        yield from ((before + line, before + changed) for changed in _changed(line))


def _changed(line: str) -> Iterator[str]:
    for old, new in _SWAPS:
        if old in line:
            yield line.replace(old, new, 1)
    for match in _NUMBER.finditer(line):
        for step in (-1, 1):
            yield f"{line[: match.start()]}{int(match.group()) + step}{line[match.end() :]}"


def _words(text: str) -> set[str]:
    return {word.removesuffix("s") for word in _WORD.findall(text.lower())} - _SMALL
