"""Keys and tokens that are known by their format.

The formats come from the plugins of detect-secrets (Yelp), as compiled patterns only: none of its settings, files or
verification calls is used. A few formats that it does not hold (Anthropic, Google, LangSmith, fine-grained GitHub)
follow the issuers' documentation. The library takes a tenth of a second to import, so it is imported by `load`, when a
definition names such a detector, and never while a payload is judged.

Every pattern runs only beside a literal that its format must contain (`AKIA`, `ghp_`, ...). That keeps clean text
cheap, and bounds what a hostile text can make a pattern do.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from importlib import import_module
from typing import Any

Span = tuple[int, int]

_LONG = re.compile(r"[A-Za-z0-9_+/.=:-]{20}")
_EDGE = " \t\r\n\"'=:"  # around a plugin's match; the last two only before it, as base64 ends in one


def _both(text: str) -> tuple[str, ...]:
    return text, text.upper(), text.capitalize()


def _long(text: str) -> bool:
    """Whether there is a row of characters longer than words are."""
    return _LONG.search(text) is not None


class Format:
    """Secrets of one issuer, found by format.

    `plugin` is "module.Class" of detect-secrets, `only` the places of the patterns used (all, if empty). A match lies
    within `back` characters before and `ahead` after one of the literals `near`; without `back`, it begins with one.
    `group` is the part of a plugin's match that is the secret. `short` says that a match may have fewer than 20
    characters in a row.
    """

    def __init__(
        self,
        name: str,
        plugin: str = "",
        *,
        near: tuple[str, ...],
        back: int = 0,
        ahead: int = 120,
        window: int = 1,
        group: int = 0,
        only: tuple[int, ...] = (),
        short: bool = False,
        extra: tuple[str, ...] = (),
    ) -> None:
        self.name, self.window = name, window
        self._plugin, self._near, self._group, self._only, self._extra = plugin, near, group, only, extra
        self._back, self._ahead = back, ahead
        self.before = window if group else 0
        #: One look for all formats that are long.
        self.screen: Callable[[str], bool] | None = None if short else _long

    def load(self) -> None:
        """Import what the patterns need (I/O of the import system); without it the first find does."""
        _ = self._patterns

    @cached_property
    def _patterns(self) -> tuple[tuple[re.Pattern[str], int], ...]:
        mine = tuple((re.compile(p), re.compile(p).groups) for p in self._extra)
        if not self._plugin:
            return mine
        module, name = self._plugin.split(".")
        plugin: Any = getattr(import_module(f"detect_secrets.plugins.{module}"), name)
        theirs = list(plugin.denylist)
        places = self._only or range(len(theirs))
        # A plugin's group can be the prefix (`ghp`) rather than the secret: the table says which it is.
        return (*((theirs[p], min(self._group, theirs[p].groups)) for p in places), *mine)

    def maybe(self, text: str) -> bool:
        for literal in self._near:  # noqa: SIM110 - a generator costs more than the search
            if literal in text:
                return True
        return False

    def spans(self, text: str) -> Iterator[Span]:
        places: set[int] = set()
        for literal in self._near:
            at = text.find(literal)
            while at >= 0:
                places.add(at)
                at = text.find(literal, at + 1)
        done = 0
        for at in sorted(places):
            for pattern, group in self._patterns:
                for match in self._matches(pattern, text, at, done):
                    first, last = match.span(group)
                    while first < last and text[first] in _EDGE:
                        first += 1
                    while last > first and text[last - 1] in _EDGE[:-2]:
                        last -= 1
                    if first >= done and last > first:
                        yield first, last
                        done = last

    def _matches(self, pattern: re.Pattern[str], text: str, at: int, done: int) -> Iterable[re.Match[str]]:
        stop = min(at + self._ahead, len(text))
        if self._back:
            return pattern.finditer(text, max(at - self._back, done), stop)
        # It begins with the literal: to look further on would be to look again for what the next literal finds.
        match = pattern.match(text, at, stop) if at >= done else None
        return (match,) if match else ()


class Shape(Format):
    """A format with no literal of its own: its pattern runs over the whole text, after a cheap look."""

    def __init__(self, name: str, plugin: str, *, look: str) -> None:
        super().__init__(name, plugin, near=())
        self._look = re.compile(look)

    def maybe(self, text: str) -> bool:
        return self._look.search(text) is not None

    def spans(self, text: str) -> Iterator[Span]:
        if self.maybe(text):
            for pattern, group in self._patterns:
                for match in pattern.finditer(text):
                    yield match.span(group)


_IBM = (*_both("key"), *_both("pwd"), *_both("pass"), *_both("token"), "assword")

FORMATS: tuple[Format, ...] = (
    Format("anthropic_key", near=("sk-ant-",), ahead=260, extra=(r"sk-ant-[A-Za-z0-9_-]{20,240}",)),
    # Of Artifactory's two formats only the API token: encrypted passwords (`AP` and letters) look like shouted words.
    Format("artifactory_token", "artifactory.ArtifactoryDetector", near=("AKC",), back=1, ahead=200, only=(0,),
           short=True),
    Format(
        "aws_key", "aws.AWSKeyDetector", near=("AKIA", "ASIA", "ABIA", "ACCA", "A3T", *_both("aws")),
        ahead=110, window=96, group=1,
    ),
    Format("azure_storage_key", "azure_storage_key.AzureStorageKeyDetector", near=("AccountKey=",), ahead=100),
    Format("basic_auth", "basic_auth.BasicAuthDetector", near=("://",), ahead=512, group=1, short=True),
    Format("cloudant_key", "cloudant.CloudantDetector", near=_both("cloudant"), back=72, ahead=110, window=96, group=1),
    Shape("discord_token", "discord.DiscordBotTokenDetector", look=r"[MNO][a-zA-Z\d_-]{23,25}\.[a-zA-Z\d_-]{6}\."),
    Format(
        "github_token", "github_token.GitHubTokenDetector",
        near=("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
        ahead=260, extra=(r"github_pat_[A-Za-z0-9_]{22,245}",),
    ),
    Format(
        "gitlab_token", "gitlab_token.GitLabTokenDetector",
        near=("glpat-", "gldt-", "glft-", "glsoat-", "glrt-", "GR1348941", "glcbt-", "glimt-", "glptt-",
              "glagent-", "gloas-"),
        ahead=1040,
    ),
    Format("google_key", near=("AIza",), ahead=40, extra=(r"AIza[0-9A-Za-z_-]{35}",)),
    Format("ibm_cloud_key", "ibm_cloud_iam.IbmCloudIamDetector", near=_IBM, back=24, ahead=80, window=64, group=1),
    Format(
        "ibm_cos_key", "ibm_cos_hmac.IbmCosHmacDetector", near=_both("secret"), back=16, ahead=100, window=64, group=1,
    ),
    Format("langsmith_key", near=("lsv2_",), ahead=64, extra=(r"lsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}",)),
    Shape("mailchimp_key", "mailchimp.MailchimpDetector", look=r"-us[0-9]"),
    # npm's plugin pattern is cubic on hostile text; these two are what it finds.
    Format(
        "npm_token", near=("npm_", "_authToken"), ahead=64,
        extra=(r"npm_[A-Za-z0-9]{36}", r"_authToken=([A-Fa-f0-9-]{36})"),
    ),
    Format("openai_key", "openai.OpenAIDetector", near=("sk-",), ahead=260),
    Format("pypi_token", "pypi_token.PypiTokenDetector", near=("pypi-AgE",), ahead=400),
    Format("sendgrid_key", "sendgrid.SendGridDetector", near=("SG.",), ahead=80),
    Format("slack_token", "slack.SlackDetector", near=("xox", "XOX", "hooks.slack.com"), back=10, ahead=300,
           short=True),
    Format(
        "softlayer_key", "softlayer.SoftlayerDetector", near=(*_both("softlayer"), "SoftLayer"),
        back=12, ahead=120, window=96, group=1,
    ),
    Format("square_secret", "square_oauth.SquareOAuthDetector", near=("sq0csp-",), ahead=60),
    Format("stripe_key", "stripe.StripeDetector", near=("rk_live_", "sk_live_"), ahead=40),
    Shape("telegram_token", "telegram_token.TelegramBotTokenDetector", look=r":[0-9A-Za-z_-]{35}"),
    Format("twilio_key", "twilio.TwilioKeyDetector", near=("AC", "SK"), ahead=40),
)  # fmt: skip
