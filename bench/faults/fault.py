"""A fault on command: which requests go wrong, in which way, how often."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

HttpKind = Literal["429", "500", "503", "hang", "held", "slow", "disconnect", "wrong_shape", "garbage"]
ModelKind = Literal[
    "truncated_stream", "quiet_stream", "stalled_stream", "malformed_call", "unknown_tool", "refusal"
]  # fmt: skip
Kind = HttpKind | ModelKind


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong, and with which requests.

    Attributes:
        kind: one of

            =================  =====================================================================================
            `429`              too many requests; with `Retry-After` where `retry_after` says so
            `500`, `503`       the server failed, or is overloaded
            `hang`             never answered: the connection stays open until the client leaves or the server closes
            `held`             answered as usual, once `release()` is called
            `slow`             answered as usual, after `seconds`
            `disconnect`       the connection is closed without a byte of an answer
            `wrong_shape`      status 200 and JSON that is not what was asked for
            `garbage`          status 200, and bytes that are no JSON
            `truncated_stream` half of the answer, then the connection is closed; HTTP's framing shows it
            `quiet_stream`     half of a stream, then its regular end in HTTP: only what is missing shows it
            `stalled_stream`   half of a stream, and then nothing, with the connection open
            `malformed_call`   a tool call whose arguments are no JSON
            `unknown_tool`     a call of a tool that nobody offered
            `refusal`          the provider's refusal: no content, finish reason `content_filter`
            =================  =====================================================================================

            The last six are a model server's. Of an answer that is not streamed, the half is half of its body.
        times: how many requests; None is all of them until the fault is taken back.
        after: how many matching requests pass first.
        model, path, says: only requests for this model, whose path or body contains this; empty is any.
        seconds: of `slow`.
        retry_after: seconds, as `Retry-After` tells them with a 429 or 503.
        effect: of a tool server: what was asked for happens all the same, and then comes the fault.
    """

    kind: Kind
    times: int | None = None
    after: int = 0
    model: str = ""
    path: str = ""
    says: str = ""
    seconds: float = 1.0
    retry_after: float | None = None
    effect: bool = False

    def meets(self, *, model: str, path: str, text: str) -> bool:
        """Whether a request is one of those that may go wrong."""
        return self.model in ("", model) and self.path in path and self.says in text


class Faults:
    """The faults in force, and how many requests each has met. Safe to change while requests are under way."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._met: list[tuple[Fault, int]] = []

    def command(self, faults: Sequence[Fault]) -> None:
        """Have these faults in force from now on, and no others; the first that meets a request counts."""
        with self._lock:
            self._met = [(fault, 0) for fault in faults]

    @property
    def commanded(self) -> list[Fault]:
        """The faults in force."""
        with self._lock:
            return [fault for fault, _ in self._met]

    def taken(self, *, model: str = "", path: str = "", text: str = "") -> Fault | None:
        """What goes wrong with this request. Each request is counted once by every fault that meets it."""
        with self._lock:
            found: Fault | None = None
            for place, (fault, met) in enumerate(self._met):
                if not fault.meets(model=model, path=path, text=text):
                    continue
                self._met[place] = (fault, met + 1)
                turn = met - fault.after
                if found is None and turn >= 0 and (fault.times is None or turn < fault.times):
                    found = fault
            return found
