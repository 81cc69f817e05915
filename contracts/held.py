"""Token streams through a redactor: text is held back until nothing in it can still become a find."""

from __future__ import annotations

import re
from collections.abc import Callable

from .views import normal

_TICK = 128
_WORD = re.compile(r"\s(?=\S)")

Spans = list[tuple[int, int, str]]


class Held:
    """A token stream through a redactor. What `feed` returns, and `flush` at the end, is together what `text` makes of
    the whole, however the stream is cut into chunks.

    Text is let go at the last beginning of a word that lies `window` characters back and inside no find. So a find that
    is still growing is not let go, nor is a word. The places where that is tried depend on the text alone.
    """

    def __init__(
        self,
        window: int,
        *,
        before: int,
        find: Callable[[str], Spans],
        mark: Callable[[str], tuple[str, list[str]]],
    ) -> None:
        self._window, self._before, self._find, self._mark = window, before, find, mark
        self._buffer = ""
        self._taken = 0
        self._try_at = 0
        self.rules: list[str] = []

    def feed(self, text: str) -> str:
        """Take the next chunk; return what can be let go, which may be nothing."""
        out, at = [], 0
        while at < len(text):
            step = min(_TICK - self._taken % _TICK, len(text) - at)
            self._buffer += text[at : at + step]
            self._taken += step
            at += step
            if self._taken % _TICK == 0 and len(self._buffer) >= self._try_at:
                out.append(self._released())
        return "".join(out)

    def flush(self) -> str:
        """The end of the stream: return all that was held back."""
        rest, self._buffer, self._try_at = self._buffer, "", 0
        return self._let_go(rest)

    def _released(self) -> str:
        cut = self._cut()
        if not cut:
            # Looked at again when it has grown by a fourth: a long find must not cost its length at every step.
            self._try_at = len(self._buffer) * 5 // 4
            return ""
        ready, self._buffer, self._try_at = self._buffer[:cut], self._buffer[cut:], 0
        return self._let_go(ready)

    def _cut(self) -> int:
        view = normal(self._buffer)
        limit = len(view.text) - self._window
        words = [m.end() for m in _WORD.finditer(view.text, 0, max(limit, 0) + 1) if m.end() <= limit]
        if not words:
            return 0
        spans = self._find(self._buffer)
        for word in reversed(words):
            cut = view.back(word, word + 1)[0]
            if not any(start - self._before < cut < end for start, end, _ in spans):
                return cut
        return 0

    def _let_go(self, text: str) -> str:
        out, rules = self._mark(text)
        self.rules += rules
        return out
