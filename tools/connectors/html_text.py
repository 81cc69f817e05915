"""HTML as plain text, as a reader would see it: where its links lead is shown, and what it hides is left out. Pure.

Its own reader, in one pass over the text whatever that is made of: a parser that also builds, or that takes longer the
worse its input is, has no place where anybody may send anything.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

MAX_LINK, MAX_ATTRIBUTES = 500, 4000
HIDDEN = "[hidden text is left out]"
_TAG = re.compile(
    r"""<(?P<end>/?)(?P<name>[a-zA-Z][a-zA-Z0-9:-]{0,40}+)"""
    r"""(?P<rest>(?:[^<>"']++|"[^"]{0,4000}+"|'[^']{0,4000}+')*+)>"""
)
_ATTRIBUTE = re.compile(r"""([a-zA-Z][a-zA-Z-]{0,40}+)(?:\s{0,20}+=\s{0,20}+("[^"]*+"|'[^']*+'|[^\s"'>]++))?+""")
_UNSEEN = re.compile(
    r"(?:^|;)(?:display:none|visibility:hidden|(?:font-size|opacity|max-height|line-height):0(?:\.0+)?(?:px|pt|r?em|%)?)"
    r"(?:!important)?(?:;|$)"
)
_SPACE = re.compile(r"\s+")
_RAW = ("script", "style", "title", "textarea", "noscript", "iframe", "object", "template", "svg")
"""What stands in them is nothing that a reader is shown as text."""
_ALONE = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
)
_BLOCKS = frozenset(
    [
        *("address", "article", "blockquote", "body", "div", "dl", "dt", "dd", "fieldset", "figure", "footer", "form"),
        *("h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "html", "main", "nav", "ol", "p", "pre", "section"),
        *("table", "tr", "ul", "br", "li"),
    ]
)
_ENDS = {name: re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE) for name in _RAW}


def text_of(source: str) -> str:
    """The text that a reader of this HTML would see, with the targets of its links in angle brackets."""
    found = _Text()
    for token in _tokens(source):
        found.take(token)
    lines = (_SPACE.sub(" ", line).strip() for line in "".join(found.parts).split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


@dataclass(frozen=True, slots=True)
class _Token:
    """A piece of text, or a tag by its name."""

    text: str = ""
    name: str = ""
    is_end: bool = False
    attributes: dict[str, str] = field(default_factory=dict)


def _tokens(source: str) -> Iterator[_Token]:
    at = 0
    while at < len(source):
        start = source.find("<", at)
        if start != at:
            yield _Token(text=_unescaped(source[at : start if start >= 0 else None]))
        if start < 0:
            return
        if source.startswith("<!--", start):
            end = source.find("-->", start + 4)
            at = end + 3 if end >= 0 else len(source)
        elif source.startswith(("<!", "<?"), start):
            end = source.find(">", start)
            at = end + 1 if end >= 0 else len(source)
        elif (tag := _TAG.match(source, start)) is not None:
            name, is_end = tag["name"].lower(), bool(tag["end"])
            yield _Token(name=name, is_end=is_end, attributes=_attributes(tag["rest"]))
            at = tag.end()
            if name in _ENDS and not is_end:
                over = _ENDS[name].search(source, at)
                at = over.start() if over else len(source)
        else:
            yield _Token(text="<")
            at = start + 1


def _attributes(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in _ATTRIBUTE.findall(text[:MAX_ATTRIBUTES]):
        found.setdefault(name.lower(), _unescaped(value.strip("\"'")))
    return found


def _unescaped(text: str) -> str:
    try:
        return html.unescape(text)
    except ValueError:  # a character's number of thousands of digits
        return text


class _Text:
    """What is to be shown, as it comes."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self._links: list[str] = []
        self._unseen, self._depth = "", 0

    def take(self, token: _Token) -> None:
        """Take in the next token."""
        if self._unseen:
            # Until the end of the element that hides: of others with its name, as many end as begin in it.
            if token.name == self._unseen:
                self._depth += -1 if token.is_end else 1
                self._unseen = self._unseen if self._depth else ""
        elif not token.name:
            self.parts.append(_SPACE.sub(" ", token.text))
        elif token.is_end:
            self._end(token.name)
        elif token.name not in _ALONE and _is_unseen(token.attributes):
            self._unseen, self._depth = token.name, 1
            self.parts.append(f" {HIDDEN} ")
        else:
            self._begin(token)

    def _begin(self, token: _Token) -> None:
        if token.name in _BLOCKS:
            self.parts.append("\n- " if token.name == "li" else "\n")
        elif token.name in ("td", "th"):
            self.parts.append(" ")
        elif token.name == "img" and token.attributes.get("alt", "").strip():
            self.parts.append(f"[image: {token.attributes['alt']}]")
        elif token.name == "a":
            self._links.append(_SPACE.sub("", token.attributes.get("href", "")))

    def _end(self, name: str) -> None:
        if name == "a" and self._links and (link := self._links.pop()):
            self.parts.append(f" <{link[:MAX_LINK]}{'[cut]' if len(link) > MAX_LINK else ''}>")
        elif name in _BLOCKS:
            self.parts.append("\n")


def _is_unseen(attributes: dict[str, str]) -> bool:
    style = _SPACE.sub("", attributes.get("style", "")).lower()
    return "hidden" in attributes or _UNSEEN.search(style) is not None
