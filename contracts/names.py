"""Names of fields, as people and models spell them: `Pass_word`, `password ` and `ＰＡＳＳＷＯＲＤ` are one name."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

_BETWEEN = re.compile(r"[\W_]+")


def folded(name: str) -> str:
    """A name without what tells its spellings apart: case, width, separators, and characters that do not show."""
    plain = unicodedata.normalize("NFKC", name).casefold()
    return _BETWEEN.sub("", plain) or plain


def folded_all(names: Iterable[str]) -> frozenset[str]:
    """Every name, folded."""
    return frozenset(map(folded, names))


def spelt(name: str) -> str:
    """A pattern of the spellings of a name in JSON text, for a search that does not mind case."""
    return r"[\W_]{0,2}".join(map(re.escape, folded(name)))
