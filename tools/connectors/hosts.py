"""Hosts, URLs and addresses, each in one form only: what a rule allowed must be what is called (threats 16, 46).

Pure: nothing here looks a name up. Reading is strict where the parsers of the world differ; what two of them could take
for two different places is refused.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote, unquote_to_bytes, urljoin

import idna

from ...contracts.errors import UrlRefused

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

DEFAULT_PORTS = {"http": 80, "https": 443}
MAX_URL = 8192
_SHOWN = 120
_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?"
)
_AUTHORITY = re.compile(r"(?P<host>\[[^\[\]@]*\]|[^\[\]@:]*)(?::(?P<port>[0-9]{1,5}))?")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp", "Zs"})
_DECODED = 8
"""How many layers of percent-encoding are looked behind; what has more has something to hide."""


@dataclass(frozen=True, slots=True)
class Url:
    """A URL in its canonical form.

    Attributes:
        scheme: `http` or `https`.
        host: as `canonical_host` gives it; IPv6 without brackets.
        port: always there, the scheme's own where none was written.
        path: percent-encoded, from its first slash on.
        query: percent-encoded, None where there is no question mark.
    """

    scheme: str
    host: str
    port: int
    path: str
    query: str | None = None

    @property
    def origin(self) -> tuple[str, str, int]:
        """Who is spoken to: scheme, host, port."""
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """Host and port as the Host header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def target(self) -> str:
        """Path and query, as the request line has them."""
        return self.path if self.query is None else f"{self.path}?{self.query}"

    @property
    def shown(self) -> str:
        """For messages: cut, and without the query, which may carry what no message should."""
        return shown(f"{self.scheme}://{self.authority}{self.path}")

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"


def shown(text: str) -> str:
    """A text that may be no URL at all, as a person may see it: escaped, without user and password, cut with a mark."""
    plain = re.sub(r"//[^/?#]*@", "//…@", text[:MAX_URL])
    plain = "".join(c if (c.isprintable() and c.isascii()) or c == "…" else f"\\u{{{ord(c):x}}}" for c in plain)
    return plain if len(plain) <= _SHOWN else f"{plain[:_SHOWN]}…"


# -- hosts -----------------------------------------------------------------------------------------------------------


def canonical_host(text: str) -> str:
    """A host in its one form: ASCII (IDNA), lower case, no dot at the end; every way to write an IPv4 address as four
    decimal numbers; IPv6 compressed and without brackets, an IPv4 address mapped into it as that address.

    Raises:
        ValueError: with the reason, when it is no host, or one that others read as another.
    """
    if text.startswith("["):
        return _ipv6(text[1:-1] if text.endswith("]") else text)
    if ":" in text:
        return _ipv6(text)
    if "%" in text:
        raise ValueError("its host is percent-encoded")
    try:
        mapped = idna.uts46_remap(text, std3_rules=True, transitional=False)
        labels = [_label(label) for label in mapped.removesuffix(".").split(".")]
    except (idna.IDNAError, UnicodeError) as error:
        raise ValueError(f"its host is no domain name ({shown(str(error))})") from None
    host = ".".join(labels)
    if len(host) > 253:
        raise ValueError("its host is longer than 253 characters")
    return _ipv4(labels) if _NUMBER.fullmatch(labels[-1]) else host


def _label(label: str) -> str:
    if not label.isascii():
        return idna.alabel(label).decode("ascii")
    if not _LABEL.fullmatch(label):
        raise ValueError("its host is no domain name: letters, digits and hyphens, parted by single dots")
    # Punycode must stand for a name that is written so, and the punycode of plain ASCII does not.
    if label.startswith("xn--") and idna.alabel(idna.ulabel(label)).decode("ascii") != label:
        raise ValueError(f"its host has a label {shown(label)} that stands for no name")
    return label


def _ipv6(text: str) -> str:
    try:
        found = ipaddress.IPv6Address(text)
    except ValueError:
        raise ValueError("its host is no IPv6 address") from None
    if found.scope_id is not None:
        raise ValueError("its IPv6 address names a zone")
    return str(found.ipv4_mapped or found)


def _ipv4(labels: Sequence[str]) -> str:
    """Numbers with dots as browsers and the C library read them: decimal, octal, hexadecimal; the last fills up."""
    if len(labels) > 4 or not all(_NUMBER.fullmatch(label) for label in labels):
        raise ValueError("its host ends in a number, and is no IPv4 address")
    try:
        *first, last = (_number(label) for label in labels)
    except ValueError:
        raise ValueError("its host ends in a number, and is no IPv4 address") from None
    if any(n > 255 for n in first) or last >= 256 ** (4 - len(first)):
        raise ValueError("its host ends in a number, and is no IPv4 address")
    return str(ipaddress.IPv4Address(sum(n << 8 * (3 - i) for i, n in enumerate(first)) + last))


def _number(label: str) -> int:
    if label.startswith("0x"):
        return int(label[2:] or "0", 16)
    return int(label, 8 if label.startswith("0") else 10)


def canonical_pattern(text: str) -> str:
    """A host of an allow list, or `*.` and a domain: all names under it, not itself. Raises ValueError."""
    if not text.startswith("*."):
        return canonical_host(text)
    domain = canonical_host(text[2:])
    if is_address(domain) or "." not in domain:
        raise ValueError("a wildcard stands for the names under a domain of two labels or more: '*.example.com'")
    return f"*.{domain}"


def is_allowed(host: str, patterns: Collection[str]) -> bool:
    """Whether a canonical host is one of canonical patterns."""
    if host in patterns:
        return True
    return not is_address(host) and any(p.startswith("*.") and host.endswith(p[1:]) for p in patterns)


def is_address(host: str) -> bool:
    """Whether a canonical host is an IP address."""
    return ":" in host or host.replace(".", "").isdigit()


# -- URLs ------------------------------------------------------------------------------------------------------------


def canonical_url(text: str) -> Url:
    """The URL in its canonical form.

    Raises:
        UrlRefused: for what is no absolute `http` or `https` URL, and for what parsers are known to differ about: user
            and password, fragments, backslashes, white space, characters that do not show, a path that begins with
            `//` or steps up by dots in any encoding.
    """
    try:
        return _read(text)
    except ValueError as error:
        raise UrlRefused(url=shown(text), fault=str(error)) from None


def joined(base: Url, location: str) -> Url:
    """Where a redirect leads, whose fragment is nothing to a server. Raises UrlRefused."""
    plain = location.partition("#")[0]
    try:
        _refuse_unseen(plain)  # before joining, which would drop some of it
        return _read(urljoin(str(base), plain))
    except ValueError as error:
        raise UrlRefused(url=shown(plain), fault=str(error)) from None


def _read(text: str) -> Url:
    if len(text) > MAX_URL:
        raise ValueError(f"it is longer than {MAX_URL} characters")
    _refuse_unseen(text)
    if "#" in text:
        raise ValueError("it has a fragment, which is nothing to a server; leave it out")
    whole = _URL.fullmatch(text)
    scheme = whole["scheme"].lower() if whole else ""
    if whole is None or scheme not in DEFAULT_PORTS:
        raise ValueError("it is no absolute URL that begins with https:// (or http://)")
    if "@" in whole["authority"]:
        raise ValueError("it names a user or a password before its host")
    authority = _AUTHORITY.fullmatch(whole["authority"])
    if authority is None or not authority["host"]:
        raise ValueError("it has no host, or a port that is no number")
    port = int(authority["port"]) if authority["port"] else DEFAULT_PORTS[scheme]
    if not 0 < port < 65536:
        raise ValueError(f"there is no port {port}")
    host = canonical_host(authority["host"])
    path = _encoded(whole["path"] or "/", "/")
    _refuse_path(path)
    query = whole["query"]
    found = Url(scheme, host, port, path, None if query is None else _encoded(query, "/?"))
    if len(str(found)) > MAX_URL:
        raise ValueError(f"it is longer than {MAX_URL} characters")
    return found


def _refuse_unseen(text: str) -> None:
    if "\\" in text:
        raise ValueError("it has a backslash, which some read as a slash")
    if any(c.isspace() or unicodedata.category(c) in _UNSEEN for c in text):
        raise ValueError("it has white space or characters that do not show; percent-encode what belongs into it")


def _encoded(part: str, also: str) -> str:
    """A path or query with one spelling for each character: escaped if and only if it must be, in capitals."""
    if _BAD_ESCAPE.search(part):
        raise ValueError("it has a percent sign that begins no escape; a percent sign itself is %25")
    plain = quote(part, safe=f"%:@!$&'()*+,;={also}")
    return _ESCAPE.sub(_respelt, plain)


def _respelt(escape: re.Match[str]) -> str:
    char = chr(int(escape[1], 16))
    return char if char in _UNRESERVED else escape[0].upper()


def _refuse_path(path: str) -> None:
    if path.startswith("//"):
        raise ValueError("its path begins with //, which some read as another host")
    try:
        plain = unquote_to_bytes(path).decode()
    except UnicodeDecodeError:
        raise ValueError("its path is no UTF-8 behind its escapes") from None
    for _ in range(_DECODED):
        if any(unicodedata.category(c) == "Cc" for c in plain):
            raise ValueError("its path has control characters")
        steps = re.split(r"[/\\]", unicodedata.normalize("NFKC", plain))
        # What stands behind a semicolon some servers cut away before they look.
        if any(step.partition(";")[0] in (".", "..") for step in steps):
            raise ValueError("its path steps up or stands still by dots; write the path that is meant")
        if plain == (again := unquote(plain)):
            return
        plain = again
    raise ValueError("its path is percent-encoded again and again")


# -- addresses -------------------------------------------------------------------------------------------------------


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(map(ipaddress.ip_network, texts))


# Written out: Python's own `is_global` differs between its versions, and says yes to multicast and to metadata.
_METADATA = _networks(
    *("169.254.169.254/32", "169.254.170.2/32", "169.254.170.23/32", "168.63.129.16/32", "100.100.100.200/32"),
    *("192.0.0.192/32", "fd00:ec2::254/128", "fd00:ec2::23/128", "fd20:ce::254/128"),
)
_NEVER = _networks("0.0.0.0/8", "224.0.0.0/4", "240.0.0.0/4", "::/128", "ff00::/8")
_PRIVATE = _networks(
    *("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7"),
)
_SPECIAL = _networks(
    *("169.254.0.0/16", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24"),
    *("203.0.113.0/24", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
)
(_UNICAST,) = _networks("2000::/3")
_NAT64 = _networks("64:ff9b::/96")[0]


def meant(address: Address) -> Address:
    """The address that is reached: an IPv4 address inside an IPv6 one, mapped or for translation, is that address."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else address


def is_private(address: Address, private: bool | Collection[Network]) -> bool:
    """Whether an address is one of those that `private` opens: True for every private one, or the networks named."""
    found = meant(address)
    if _within(found, _NEVER) or _within(found, _METADATA):
        return False
    return private is not False and _within(found, _PRIVATE if private is True else private)


def address_fault(address: Address, private: bool | Collection[Network] = False) -> str:
    """Why an address may not be connected to; "" where it may.

    Public unicast addresses may, and those that `private` opens. Metadata services of clouds, multicast and what stands
    for no host never may.
    """
    found = meant(address)
    if _within(found, _METADATA):
        return "is a metadata service of a cloud"
    if _within(found, _NEVER):
        return "is no address of a single host"
    if is_private(found, private):
        return ""
    if _within(found, _PRIVATE):
        return "is a private address"
    public = not _within(found, _SPECIAL) and (isinstance(found, ipaddress.IPv4Address) or found in _UNICAST)
    return "" if public else "is an address for a special purpose"


def _within(address: Address, networks: Collection[Network]) -> bool:
    return any(address in network for network in networks)
