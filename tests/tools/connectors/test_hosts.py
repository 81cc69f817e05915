"""Hosts, URLs and addresses: each has one form, and what could be taken for another place is refused."""

from __future__ import annotations

import ipaddress
import pickle

import httpx
import pytest
from edgewright.contracts.errors import ToolRefusal, UrlRefused
from edgewright.tools.connectors.hosts import (
    address_fault,
    canonical_host,
    canonical_pattern,
    canonical_url,
    is_allowed,
    is_private,
    joined,
    meant,
)
from hypothesis import given
from hypothesis import strategies as st

LOOPBACK = (
    *("127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0X7F.1", "0177.0.0.1", "017700000001"),
    *("127.0.0.1.", "127.0.0.0x1", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:FFFF:127.0.0.1]"),
    *("\uff11\uff12\uff17.0.0.1", "127\u30020\u30020\u30021", "127\uff0e0\uff0e0\uff0e1"),
)


@pytest.mark.parametrize("text", LOOPBACK)
def test_every_spelling_of_an_ipv4_address_is_that_address(text: str) -> None:
    assert canonical_host(text) == "127.0.0.1"


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("EXAMPLE.com", "example.com"),
        ("example.com.", "example.com"),
        ("\uff45xample.com", "example.com"),
        ("faß.de", "xn--fa-hia.de"),
        ("xn--fa-hia.de", "xn--fa-hia.de"),
        ("аpple.com", "xn--pple-43d.com"),  # the first letter is Cyrillic
        ("[2606:4700:0:0::1]", "2606:4700::1"),
        ("r3---sn-4g5e.example.com", "r3---sn-4g5e.example.com"),
        ("localhost", "localhost"),
    ],
)
def test_a_host_has_one_form(text: str, host: str) -> None:
    assert canonical_host(text) == host


@pytest.mark.parametrize(
    "text",
    [
        *("", ".", "..", "a..b", ".example.com", "example.com..", "-a.com", "a-.com", "a_b.com", "a b.com", "a/b"),
        *("256.1.1.1", "1.2.3.4.5", "1.2.3.09", "0x1.0xg.1.1", "4294967296", "1.2.3.256", "example.1", "a.0x1"),
        *("[::1", "::1]", "[::g]", "[fe80::1%eth0]", "[127.0.0.1]", "[v1.x]", "%31%32%37.0.0.1", "xn--", "xn--a"),
        *("℀.com", "a" * 64 + ".com", ".".join(["abcdefgh"] * 29), "exa\u0000mple.com", "a\u2028b.com"),
    ],
)
def test_what_is_no_host_or_could_be_two_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"host|IPv6|name"):
        canonical_host(text)


@given(st.text(max_size=30) | st.text(alphabet="0123456789.xXabcdefABCDEF:[]%-", max_size=30))
def test_the_canonical_form_of_a_host_is_its_own_canonical_form(text: str) -> None:
    try:
        host = canonical_host(text)
    except ValueError:
        return
    assert host.isascii()
    assert host == host.lower()
    assert canonical_host(host) == host


@given(st.ip_addresses())
def test_every_address_is_its_own_host(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    mapped = getattr(address, "ipv4_mapped", None)
    assert canonical_host(str(address)) == str(mapped or address)


# -- allow lists -----------------------------------------------------------------------------------------------------

PATTERNS = ("api.example.com", "*.example.org", "10.0.0.1", "2606:4700::1")


@pytest.mark.parametrize("host", ["api.example.com", "a.example.org", "a.b.example.org", "10.0.0.1", "2606:4700::1"])
def test_a_host_on_the_list_or_under_a_wildcard_is_allowed(host: str) -> None:
    assert is_allowed(host, PATTERNS)


@pytest.mark.parametrize(
    "host",
    [
        *(
            "example.com",
            "xapi.example.com",
            "a.api.example.com",
            "example.org",
            "badexample.org",
            "example.org.evil.com",
        ),
        *("10.0.0.2", "110.0.0.1", "2606:4700::2"),
    ],
)
def test_any_other_host_is_not_allowed(host: str) -> None:
    assert not is_allowed(host, PATTERNS)


@pytest.mark.parametrize(
    "text", ["*", "*.", "*.com", "*.0.0.1", "*.*.example.com", "a.*.com", "a*.example.com", "*example.com"]
)
def test_a_wildcard_stands_for_the_names_under_one_domain_only(text: str) -> None:
    with pytest.raises(ValueError, match=r"host|wildcard"):
        canonical_pattern(text)


def test_a_wildcard_is_canonical_too() -> None:
    assert canonical_pattern("*.EXAMPLE.com.") == "*.example.com"


# -- URLs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("HTTPS://Example.COM", "https://example.com/"),
        ("https://example.com:443/a", "https://example.com/a"),
        ("https://example.com:8443/a", "https://example.com:8443/a"),
        ("http://example.com:080/", "http://example.com/"),
        ("https://example.com./a?", "https://example.com/a?"),
        ("https://example.com?x=1", "https://example.com/?x=1"),
        ("https://0x7f.1/a", "https://127.0.0.1/a"),
        ("https://[::FFFF:10.0.0.1]:444/", "https://10.0.0.1:444/"),
        ("https://[2606:4700::0001]/", "https://[2606:4700::1]/"),
        ("https://example.com/%61%2f%7e%c3%a9", "https://example.com/a%2F~%C3%A9"),
        ("https://example.com/é?q=é&r=%2e", "https://example.com/%C3%A9?q=%C3%A9&r=."),
        ("https://example.com/a//b/https://c", "https://example.com/a//b/https://c"),
        ("https://example.com/a..b/...", "https://example.com/a..b/..."),
        ("https://example.com/q?a=../..&b=//c", "https://example.com/q?a=../..&b=//c"),
    ],
)
def test_a_url_has_one_form(text: str, url: str) -> None:
    assert str(canonical_url(text)) == url


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "example.com",
            "//example.com/",
            "/a",
            "https:example.com",
            "https:/example.com",
            "https:///a",
            "https://",
        ),
        *("ftp://example.com/", "file:///etc/passwd", "javascript:alert(1)", "gopher://example.com/", "data:,x"),
        *(
            "https://user@example.com/",
            "https://user:pw@example.com/",
            "https://example.com@evil.com/",
            "https://@a.com/",
        ),
        *(
            "https://example.com\\@evil.com/",
            "https://example.com\\.evil.com",
            "https:\\\\example.com/",
            "https://a.com/\\b",
        ),
        *("https://example.com#@evil.com/", "https://example.com/#", "https://example.com/a#b"),
        *("https://example.com:/", "https://example.com:0/", "https://example.com:65536/", "https://example.com:4x/"),
        *("https://example.com:443:80/", "https://example.com:\uff14\uff14\uff13/", "https://[::1/", "https://::1/"),
        *(" https://example.com/", "https://example.com/ ", "https://exa\tmple.com/", "https://example.com/\n"),
        *("https://example.com/\r\nHost: evil.com", "https://example.com/a b", "https://example.com/\u00a0"),
        *(
            "https://exa\u200bmple.com/",
            "https://example.com/\u202e",
            "https://example.com/\u0000",
            "https://a.com/\ud800",
        ),
        *("https://example.com//evil.com/", "https://example.com/%", "https://example.com/%zz", "https://a.com/?a=%4"),
        *("https://example.com/..", "https://example.com/a/../b", "https://example.com/.", "https://example.com/a/./b"),
        *("https://example.com/%2e%2e/b", "https://example.com/a/.%2E/b", "https://example.com/a%2f..%2fb"),
        *("https://example.com/a/%252e%252e/b", "https://example.com/a%5c..%5cb", "https://example.com/..;x=1/b"),
        *("https://example.com/\uff0e\uff0e/b", "https://example.com/%c0%ae%c0%ae/b", "https://example.com/a%00b"),
        *("https://example.com/%0d%0aX: y", "https://example.com/%25252525252525252541", "https://a.com/" + "a" * 9000),
        "https://example.com/" + "é" * 2000,
    ],
)
def test_what_parsers_could_differ_about_is_refused(text: str) -> None:
    with pytest.raises(UrlRefused):
        canonical_url(text)


def test_a_refusal_shows_the_url_escaped_cut_and_without_a_password() -> None:
    with pytest.raises(UrlRefused) as caught:
        canonical_url("https://user:hunter22@example.com/\u202e" + "a" * 500)
    told = str(caught.value)
    assert "hunter22" not in told
    assert "\\u{202e}" in told
    assert "aaa…" in told
    assert len(told) < 300
    assert isinstance(caught.value, ToolRefusal)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.url, again.fault) == (told, caught.value.url, caught.value.fault)


_PARTS = st.text(alphabet=st.sampled_from("abzAZ09%2eEfF./\\:@?#&=;,-_~ é\u200b[]{}|<>\"'`^*"), max_size=40)


@given(st.text(max_size=60).map("https://example.com/".__add__) | _PARTS.map("https://example.com".__add__) | st.text())
def test_a_canonical_url_stays_as_it_is_and_the_client_sends_it_so(text: str) -> None:
    try:
        url = canonical_url(text)
    except UrlRefused:
        return
    assert canonical_url(str(url)) == url
    assert str(url).isascii()
    sent = httpx.URL(scheme=url.scheme, host="192.0.2.1", port=url.port, raw_path=url.target.encode())
    assert sent.raw_path == url.target.encode()
    # The client's own reading of the text leads to the same host.
    assert httpx.URL(str(url)).raw_host.decode() == url.host


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/b?c#d", "https://example.com/b?c"),
        ("b", "https://example.com/a/b"),
        ("../b", "https://example.com/b"),
        ("?q", "https://example.com/a/x?q"),
        ("//evil.com/", "https://evil.com/"),
        ("http://10.0.0.1/", "http://10.0.0.1/"),
    ],
)
def test_a_redirect_is_read_as_a_url_of_its_own(location: str, url: str) -> None:
    assert str(joined(canonical_url("https://example.com/a/x"), location)) == url


@pytest.mark.parametrize(
    "location",
    ["\\\\evil.com", "http:\t//evil.com", "/a\tb", "//ev\til.com/", "file:///etc/passwd", "https://u@evil.com/"],
)
def test_a_redirect_that_parsers_could_differ_about_is_refused(location: str) -> None:
    with pytest.raises(UrlRefused):
        joined(canonical_url("https://example.com/a"), location)


# -- addresses -------------------------------------------------------------------------------------------------------

PRIVATE = ("10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "127.0.0.1", "127.255.0.1", "100.64.0.1", "::1")
NEVER = (
    *("0.0.0.0", "0.1.2.3", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "::", "ff02::1", "ff0e::1"),
    *("169.254.169.254", "169.254.170.2", "168.63.129.16", "100.100.100.200", "192.0.0.192", "fd00:ec2::254"),
)
SPECIAL = (
    *("169.254.1.1", "fe80::1", "fec0::1", "192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1", "192.88.99.1"),
    *("2001:db8::1", "2001::1", "2002:7f00:1::", "64:ff9b:1::1", "::7f00:1", "100::1", "3fff::1", "5f00::1"),
)
PUBLIC = ("93.184.216.34", "8.8.8.8", "2606:4700::1", "2a00:1450::1", "172.32.0.1", "11.0.0.1", "64:ff9b::808:808")


def _in_ipv6(texts: tuple[str, ...]) -> list[str]:
    """The IPv4 addresses among them, mapped into IPv6 and translated (NAT64)."""
    old = [int(ipaddress.IPv4Address(t)) for t in texts if ":" not in t]
    return [str(ipaddress.IPv6Address(n + base)) for n in old for base in (0xFFFF << 32, 0x64FF9B << 96)]


@pytest.mark.parametrize("text", [*PRIVATE, *NEVER, *SPECIAL, "fc00::1", *_in_ipv6((*PRIVATE, *NEVER, *SPECIAL))])
def test_an_address_that_is_not_public_is_refused(text: str) -> None:
    assert address_fault(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", [*PUBLIC, *_in_ipv6(PUBLIC)])
def test_a_public_address_is_not(text: str) -> None:
    assert not address_fault(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", [*PRIVATE, *_in_ipv6(PRIVATE)])
def test_private_addresses_may_be_opened_all_together_or_by_their_network(text: str) -> None:
    address = ipaddress.ip_address(text)
    assert not address_fault(address, True)
    assert is_private(address, True)
    assert not address_fault(address, (ipaddress.ip_network(meant(address)),))
    assert address_fault(address, (ipaddress.ip_network("10.9.0.0/16"),))


@pytest.mark.parametrize("text", [*NEVER, *_in_ipv6(NEVER)])
def test_metadata_and_what_is_no_single_host_cannot_be_opened(text: str) -> None:
    everything = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))
    for private in (True, everything):
        assert address_fault(ipaddress.ip_address(text), private)
        assert not is_private(ipaddress.ip_address(text), private)


@pytest.mark.parametrize("text", SPECIAL)
def test_an_address_for_a_special_purpose_is_opened_by_its_network_only(text: str) -> None:
    address = ipaddress.ip_address(text)
    assert address_fault(address, True)
    assert not address_fault(address, (ipaddress.ip_network(address),))


@given(st.ip_addresses())
def test_what_may_be_connected_to_is_global_by_pythons_own_table_too(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if not address_fault(address):
        assert meant(address).is_global
        assert not meant(address).is_multicast
