"""The one font, its metrics, and text made safe to draw.

The font is the DejaVu Sans inside ziafont's wheel, so that nothing depends on the machine: Pillow's
own default has no arrow and no é.
"""

import unicodedata
from functools import lru_cache
from importlib.resources import files
from io import BytesIO

from PIL import ImageFont


@lru_cache(maxsize=64)
def face(size: float) -> ImageFont.FreeTypeFont:
    """Load the font, with the basic layout engine: the other one differs between machines."""
    data = files("ziafont").joinpath("fonts", "DejaVuSans.ttf").read_bytes()
    return ImageFont.truetype(BytesIO(data), size, layout_engine=ImageFont.Layout.BASIC)


def cleaned(text: str) -> str:
    """Make any string one line that XML allows and that cannot turn its neighbours' direction."""
    kept = []
    for char in unicodedata.normalize("NFC", text):
        kind = unicodedata.category(char)
        if kind == "Cf":
            continue
        bad = kind == "Cs" or char in "\ufffe\uffff"
        kept.append("\ufffd" if bad else " " if kind[0] == "Z" or kind == "Cc" else char)
    return " ".join("".join(kept).split())


@lru_cache(maxsize=4096)
def measured(text: str, size: float) -> float:
    """Return how wide the text is at that size."""
    return face(100.0).getlength(_known(text)) * size / 100


@lru_cache(maxsize=4096)
def _has(char: str) -> bool:
    font = face(24.0)
    return char == " " or bytes(font.getmask(char)) != bytes(font.getmask("\U0010fffd"))


def _known(text: str) -> str:
    return "".join(char if _has(char) else "□" for char in text)


def drawable(text: str) -> str:
    """Replace what the font lacks, and put right-to-left runs into the order they are seen in."""
    runs: list[tuple[bool, str]] = []
    for char in _known(text):
        side = unicodedata.bidirectional(char)
        leftward = side in ("R", "AL") or (side not in ("L", "EN", "AN") and bool(runs) and runs[-1][0])
        if runs and runs[-1][0] == leftward:
            runs[-1] = (leftward, runs[-1][1] + char)
        else:
            runs.append((leftward, char))
    return "".join(run[::-1] if leftward else run for leftward, run in runs)


def fitted(text: str, size: float, width: float, lines: int) -> list[str]:
    """Break the text into at most that many lines; what still does not fit ends in an ellipsis."""
    out: list[str] = []
    rest = text
    while rest:
        cut = len(rest)
        while measured(rest[:cut], size) > width and cut > 1:
            cut = min(cut - 1, max(1, int(cut * width / measured(rest[:cut], size)) + 1))
        if cut == len(rest):
            return [*out, rest]
        if len(out) == lines - 1:
            while cut > 1 and measured(rest[:cut] + "…", size) > width:
                cut -= 1
            return [*out, rest[:cut].rstrip() + "…"]
        soft = (max(rest.rfind(mark, 0, cut) for mark in marks) for marks in (" ", ".:/", "_-"))
        cut = next((at + 1 for at in soft if at > cut // 3), cut)
        out.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return out
