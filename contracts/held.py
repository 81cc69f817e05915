"""Token streams through a redactor: text is held back until nothing in it can still become a find."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable
from typing import NamedTuple

from .views import normal

_TICK = 128
_LONG = 4096
_TRIES = 6  # cuts beside a find that are tried, each at the price of judging what is behind it
_BESIDE = 3  # so many beside each other, then one that is as far back as a find may look
_WORD = re.compile(r"\s(?=\S)")
_CALM = re.compile(r"(?<!\d)\s(?=\S)|[\r\n](?=\S)|\s(?=[^\s\d+(])")  # not inside a row of digits


class Find(NamedTuple):
    """What was found: from where to where, by which rule, and since where the text must be seen for it to be found."""

    start: int
    end: int
    rule: str
    since: int

    def moved(self, by: int) -> Find:
        """The same find in a text that begins so much earlier."""
        return Find(self.start + by, self.end + by, self.rule, self.since + by) if by else self


class Held:
    """A token stream through a redactor. What `feed` returns, and `flush` at the end, is together what `text` makes of
    the whole, however the stream is cut into chunks.

    Text is let go at the last beginning of a word that lies `window` characters back, inside no find, and not between a
    find and what it is found by. So a find that is still growing is not let go, nor is a word. The places where that is
    tried depend on the text alone. `find` judges a text; `before` is how far before a find it may have to look.
    """

    def __init__(
        self,
        window: int,
        *,
        before: int,
        find: Callable[[str], list[Find]],
    ) -> None:
        self._window, self._before, self._find = window, before, find
        self._parts: list[str] = []
        self._size = 0  # of the parts
        self._taken = 0
        self._try_at = 0
        self.rules: list[str] = []

    def feed(self, text: str) -> str:
        """Take the next chunk; return what can be let go, which may be nothing."""
        out, at = [], 0
        while at < len(text):
            wanted = max(self._try_at - self._size, 1)
            wanted += -(self._taken + wanted) % _TICK
            piece = text[at : at + wanted]
            self._parts.append(piece)
            at, self._size, self._taken = at + len(piece), self._size + len(piece), self._taken + len(piece)
            if len(piece) == wanted:
                out.append(self._released())
        return "".join(out)

    def flush(self) -> str:
        """The end of the stream: return all that was held back."""
        rest = "".join(self._parts)
        self._parts, self._size, self._try_at = [], 0, 0
        return self._let_go(rest, self._find(rest))

    def _released(self) -> str:
        buffer = "".join(self._parts)
        cut, spans = self._cut(buffer)
        if not cut:
            # Looked at again when it has grown by a fourth, or doubled: a long find, or a word without end, must not
            # cost its length at every step.
            self._parts = [buffer]
            self._try_at = self._size + (self._size // 4 if self._size < _LONG else self._size)
            return ""
        ready = buffer[:cut]
        self._parts, self._size = [buffer[cut:]], self._size - cut
        # Nor must a long window cost its length at every step: next when what is left has grown by half.
        self._try_at = self._size + self._size // 2
        # The piece of a gap before the cut is judged by itself, as every gap is.
        last = spans[-1].end if spans else 0
        return self._let_go(ready, [*spans, *(f.moved(last) for f in self._find(ready[last:]))])

    def _cut(self, text: str) -> tuple[int, list[Find]]:
        """Where to cut, and what is found before it; nowhere is 0."""
        view = normal(text)
        limit = len(view.text) - self._window
        words: list[int] = []
        # Half a row of digits may be a number where the row is none; it is cut only if nothing else can be.
        for pattern in (_CALM, _WORD):
            words = words or [m.end() for m in pattern.finditer(view.text, 0, max(limit, 0) + 1) if m.end() <= limit]
        if not words:
            return 0, []
        spans = self._find(text)
        starts = [find.start for find in spans]
        tries, far = 0, len(view.text)
        for word in reversed(words):
            if word > far:
                continue
            cut = view.back(word, word + 1)[0]
            following = bisect_left(starts, cut)
            if following and spans[following - 1].end > cut:
                continue
            near = bisect_left(starts, cut + self._before, following)
            if all(find.since >= cut for find in spans[following:near]) or self._stays(
                text[cut:], cut, spans[following:]
            ):
                return cut, spans[:following]
            tries += 1
            if tries == _TRIES:
                break
            if tries % _BESIDE == 0:
                far = word - self._before
        return 0, []

    def _stays(self, text: str, cut: int, spans: list[Find]) -> bool:
        """Whether what is found behind a cut is found there without what stands before it. Where finds stand closely,
        a name that the next one is assigned to may be before the cut, or, mostly, another find that has no say in it.
        """
        again = [find.moved(cut) for find in self._find(text)]
        return [find[:3] for find in again] == [find[:3] for find in spans]

    def _let_go(self, text: str, spans: list[Find]) -> str:
        out, at = [], 0
        for find in spans:
            out += [text[at : find.start], f"[{find.rule}]"]
            at = find.end
        self.rules += [find.rule for find in spans]
        return "".join([*out, text[at:]])
