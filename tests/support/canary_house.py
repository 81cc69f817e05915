"""A system whose agents and tools put canaries wherever a value can stand, and a search that knows their disguises."""

from __future__ import annotations

import base64
import hashlib
import re
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from string import ascii_letters, ascii_uppercase, digits
from typing import Annotated, Any

from edgewright import (
    Agent,
    Call,
    Contract,
    Handoff,
    OfflineModel,
    Policy,
    Say,
    Supervisor,
    System,
    ToolContext,
    ToolRefusal,
    Turn,
    tool,
)
from edgewright.contracts.contract import Never
from edgewright.contracts.edge import ALL, OnViolation
from edgewright.contracts.labels import Sensitive
from edgewright.contracts.shared import Key
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk
from langgraph.config import get_stream_writer
from pydantic import BaseModel

NEVER = Never(sensitivities=("personal",), detectors=("secret", "personal", "card_number"))
OPEN = Never()

CUSTOMER, ADDRESS = "Zvonimira Quastenflosse", "Lindwurmgasse Obergeschoss"
"""Known by the label of their field alone: no detector finds them."""
RELATIVE = "Balduin Schnurrbartel"
"""Known by the sensitivity of the tool that tells it."""
OWNERS = ("caller", "router", "alpha", "beta", "judge", "crm", "pay", "refusal", "failure", "person", "names")


# -- what is planted -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Canary:
    """A datum that must not be seen, and whose it is: who may know it because it made it up."""

    owner: str
    kind: str
    value: str

    @property
    def halves(self) -> tuple[str, str]:
        """It, in two parts for two neighbouring fields."""
        if " " in self.value and self.kind == "label":
            first, _, second = self.value.partition(" ")
            return first, second
        at = len(self.value) // 2 + (4 if self.kind == "phone" else 2)
        return self.value[:at], self.value[at:]

    @cached_property
    def disguises(self) -> tuple[str, ...]:
        """Texts by which it would be found, in lower case."""
        value = self.value
        halves = [h.lower() for h in self.halves if len(h) >= 8]  # shorter ones stand in anything
        return (value.lower(), value[::-1].lower(), value.encode().hex(), *halves)

    @cached_property
    def encoded(self) -> tuple[str, ...]:
        """What stands in every base64 of a text that holds it, by how it is aligned there."""
        found = []
        for before in range(3):
            code = base64.b64encode(b"x" * before + self.value.encode()).decode()
            # What the neighbours of the value share in is left out.
            found.append(code[(0, 2, 3)[before] : len(code) // 4 * 4 - 4])
        return tuple(found)


def _digits(seed: str, count: int) -> str:
    return "".join(str(b % 10) for b in hashlib.sha256(seed.encode()).digest() * 2)[:count]


def _word(seed: str, alphabet: str, count: int) -> str:
    return "".join(alphabet[b % len(alphabet)] for b in hashlib.sha512(seed.encode()).digest())[:count]


def _card(seed: str) -> str:
    front = "4" + _digits(seed, 14)
    total = sum(sum(divmod(int(d) * (2 if i % 2 == 0 else 1), 10)) for i, d in enumerate(front))
    number = front + str(-total % 10)
    return " ".join(number[i : i + 4] for i in range(0, 16, 4))


def _iban(seed: str) -> str:
    account = _digits(seed, 18)
    return f"DE{98 - int(account + '131400') % 97:02d}{account}"


def canaries(owner: str) -> tuple[Canary, ...]:
    """What an owner plants: one of each kind, like nobody else's. Put together, so that a scanner leaves them alone."""
    upper, any_case, soft = ascii_uppercase + "234567", ascii_letters + digits, "bcdfghkmnprstvz"
    return (
        Canary(owner, "aws_key", "AKIA" + _word(owner + "a", upper, 16)),
        Canary(owner, "github_token", "ghp_" + _word(owner + "g", any_case, 36)),
        Canary(owner, "card_number", _card(owner)),
        Canary(owner, "email", f"{_word(owner + 'e', soft, 9)}@{_word(owner + 'd', soft, 9)}.org"),
        Canary(owner, "phone", f"+49 17{_digits(owner + 'p', 1)} 8{_digits(owner + 'q', 6)}"),
        Canary(owner, "iban", _iban(owner)),
    )


LABELLED = tuple(Canary("names", "label", name) for name in (CUSTOMER, ADDRESS, RELATIVE))
EVERY = (*(c for o in OWNERS[:-1] for c in canaries(o)), *LABELLED)


def prose(owner: str, *more: str) -> str:
    """All of an owner's canaries in a sentence."""
    return "Please note " + ", ".join([*(c.value for c in canaries(owner)), *more]) + ". Thank you."


def stuffed(owner: str, *known: str) -> dict[str, Any]:
    """A payload with all of an owner's canaries, and `known` values, in every disguise."""
    own = [*canaries(owner), *(Canary(owner, "label", k) for k in known)]
    code = [base64.b64encode(f"it is {c.value} there".encode()).decode() for c in own]
    halves = [part for c in own for part in (*c.halves, "; and then;")]
    first, second = own[-1].halves
    return {
        "direct": [c.value for c in own],
        "prose": prose(owner, *known),
        "encoded": [*code, *(c.value.encode().hex() for c in own)],
        "backwards": [k[::-1].swapcase() for k in known],
        "first": first,
        "second": second,
        "halves": halves,
        "table": {c.value: f"of {c.value}" for c in own},
        "digits": int(own[2].value.replace(" ", "")),
    }


# -- the search ------------------------------------------------------------------------------------------------------


def told(*values: Any) -> str:
    """Everything that values say about themselves, errors with their causes and what they carry."""
    found = []
    for value in values:
        if isinstance(value, BaseException):
            found += [*traceback.format_exception(value), repr(vars(value)), repr(value)]
        else:
            found += [value if isinstance(value, str) else repr(value)]
    return "\n".join(found)


def found(*values: Any, of: Iterable[str] = OWNERS) -> list[str]:
    """The canaries of some owners that can be found in what values say, in any disguise; empty is well."""
    text = told(*values)
    low = text.lower()
    plain = re.sub(r"[\W_]", "", low)
    seen = []
    for canary in EVERY:
        if canary.owner not in of:
            continue
        ways = [w for w in canary.disguises if w in low]
        ways += [w for w in canary.encoded if w in text]
        if re.sub(r"[\W_]", "", canary.value.lower()) in plain:
            ways.append("without separators")
        if ways:
            seen.append(f"{canary.owner}'s {canary.kind}: {ways}")
    return seen


def found_raw(body: bytes) -> list[str]:
    """The same in the bytes of a file, or of a request."""
    low = body.lower()
    return [
        f"{c.owner}'s {c.kind}: {way}"
        for c in EVERY
        for way in [*c.disguises, *c.encoded]
        if (way.encode() in low if way in c.disguises else way.encode() in body)
    ]


# -- the house -------------------------------------------------------------------------------------------------------


class Request(BaseModel):
    """What the house is asked. It is for the router, which may know who asks."""

    customer: Annotated[str, Sensitive("personal")]
    address: Annotated[str, Sensitive("personal")]
    text: str
    more: str = ""


class Stuffed(BaseModel):
    """Fields for all that can be planted."""

    direct: list[str]
    prose: str
    encoded: list[str]
    backwards: list[str]
    first: str
    second: str
    halves: list[str]
    table: dict[str, str]
    digits: int | str


class Brief(Stuffed):
    """What a specialist is told."""


class Finding(Stuffed):
    """What a specialist found."""


class Answer(Stuffed):
    """What the caller is told."""


REQUEST = {
    "customer": CUSTOMER,
    "address": ADDRESS,
    "text": prose("caller"),
    "more": base64.b64encode(prose("caller").encode()).decode(),
}


@tool(effect="read", sensitivity="personal", output="trusted")
def crm(note: dict[str, Any], *, ctx: ToolContext) -> dict[str, Any]:
    """Look a customer up."""
    get_stream_writer()({"event": stuffed("crm", CUSTOMER, ADDRESS)})
    return {"relative": RELATIVE, **stuffed("crm", CUSTOMER, ADDRESS)}


@tool(effect="read", sensitivity="internal")
def declines(note: dict[str, Any]) -> str:
    """Refuse."""
    raise ToolRefusal(prose("refusal", CUSTOMER))


@tool(effect="read", sensitivity="internal")
def breaks(note: dict[str, Any]) -> str:
    """Break."""
    raise RuntimeError(prose("failure", CUSTOMER))


@dataclass
class Said:
    """What a tool may tell a stream: an object of its own."""

    text: str


@tool(effect="write", idempotency="key", sensitivity="internal")
def pay(note: dict[str, Any]) -> dict[str, Any]:
    """Pay. A person is asked."""
    text = prose("pay", CUSTOMER)
    for event in (text, AIMessage(text), Said(text), text.encode(), {text}, [text, (text,)]):
        get_stream_writer()(event)
    return stuffed("pay", CUSTOMER)


POLICY = """
@id("all") permit(principal, action, resource);
@id("asked") @obligation("ask") @approver("finance") @reason("money")
forbid(principal, action == Action::"call:pay", resource) unless { context.approvals.contains("asked") };
"""


class Speaking(OfflineModel):
    """An offline model that talks and calls in one reply, and whose calls arrive in small pieces."""

    def __init__(self, name: str, rules: Callable[[Turn], Any]) -> None:
        super().__init__(name, rules)

    def _reply(self, messages: list[BaseMessage], kwargs: dict[str, Any]) -> AIMessage:
        words: list[str] = []
        rules, self._rules = self._rules, lambda turn: _apart(rules(turn), words)
        try:
            reply = super()._reply(messages, kwargs)
        finally:
            self._rules = rules
        reply.content = reply.content or " ".join(words)
        return reply

    def _chunks(self, messages: list[BaseMessage], kwargs: dict[str, Any]) -> Any:
        for chunk in super()._chunks(messages, kwargs):
            calls = chunk.message.tool_call_chunks if isinstance(chunk.message, AIMessageChunk) else []
            for call in calls:
                args = str(call["args"])
                for at in range(0, len(args), 7):
                    piece = {**call, "args": args[at : at + 7], "name": call["name"] if at == 0 else None}
                    yield ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[piece]))
            if calls:
                last = chunk.message.model_copy(update={"tool_call_chunks": [], "tool_calls": []})
                chunk = ChatGenerationChunk(message=last)
            yield chunk


def _apart(said: Say | Sequence[Any], words: list[str]) -> Say | Sequence[Call]:
    if isinstance(said, Say):
        return said
    words += [s.text for s in said if isinstance(s, Say)]
    return [c for c in said if isinstance(c, Call)]


@dataclass(kw_only=True)
class House:
    """The system, and what its receivers got: messages by agent, for each of its model calls; payloads of `beta`."""

    system: System
    seen: dict[str, list[tuple[BaseMessage, ...]]] = field(default_factory=dict)
    given: list[Any] = field(default_factory=list)


Fault = Callable[[str], None]


def house(
    home: Path | str | None = None,
    *,
    never: Never = NEVER,
    fails: str = "",
    model: Callable[[Callable[[Turn], Any]], Any] | None = None,
) -> House:
    """Router, two specialists at once, and a judge; every one of them plants whatever it can.

    Args:
        never: of all contracts; `OPEN` is the control, in which the same search finds what was planted.
        fails: the agent that raises instead, with canaries in what it says.
        model: makes the model from its rules; offline unless given.
    """
    made: House

    def rules(turn: Turn) -> Any:
        who = turn.system
        made.seen.setdefault(who, []).append(turn.messages)
        if who == fails:
            raise RuntimeError(prose(who, CUSTOMER))
        return _PLAYED[who](turn)

    def beta(payload: dict[str, Any], shared: dict[str, Any]) -> Handoff:
        made.given += [payload, shared]
        get_stream_writer()(stuffed("beta", CUSTOMER, RELATIVE))
        if fails == "beta":
            raise RuntimeError(prose("beta", CUSTOMER)) from ValueError(prose("beta", ADDRESS))
        return Handoff(target="judge", payload=stuffed("beta", CUSTOMER, ADDRESS, RELATIVE))

    # Of the entry the router is the declared reader of names and addresses; the text is anybody's.
    entry = Never(detectors=never.detectors)
    made = House(
        system=System(
            "canaries",
            version=1,
            topology=Supervisor(
                router=Agent("router", version=1, prompt="router", tools=[crm, declines, breaks], writes=["plan"]),
                specialists=[
                    Agent("alpha", version=1, prompt="alpha", tools=[pay], reads=["plan"]),
                    Agent("beta", version=1, function=beta, reads=["plan"]),
                ],
                takes=Contract(Request, version=1, never=entry),
                brief=Contract(Brief, version=1, never=never),
                answer=Contract(Answer, version=1, never=never),
                aggregator=Agent("judge", version=1, prompt="judge"),
                finding=Contract(Finding, version=1, never=never),
                on_violation=OnViolation(repair=3),
                history=ALL,
            ),
            shared={"plan": Key(type=dict[str, Any], writer="router")},
            policy=Policy(text=POLICY),
            model=(model or (lambda rules: Speaking("canaries", rules)))(rules),
            unrecorded=Never(detectors=("secret",)) if never is NEVER else OPEN,
            home=home,
        )
    )
    return made


def _router(turn: Turn) -> Any:
    said = [m for m in turn.messages if isinstance(m, AIMessage)]
    payload, key = stuffed("router", CUSTOMER, ADDRESS), canaries("router")[0].value
    match len(said):
        case 0:
            return [
                Say(prose("router", CUSTOMER)),
                Call("crm", {"note": payload}),
                Call("declines", {"note": payload}),
                Call("breaks", {"note": payload}),
                Call(key, {"note": payload}),  # a tool that is not there
                Call("crm", {"note": payload, key: 1}),  # an argument that is not
                Call("write_plan", {"value": stuffed("router", CUSTOMER, ADDRESS)}),
            ]
        case 1:
            return Say(prose("router", CUSTOMER, ADDRESS, RELATIVE))  # no handover
        case 2:
            return [Call("handoff_to_alpha", {**payload, key: prose("router"), CUSTOMER: "x"})]  # undeclared fields
        case _:
            both = stuffed("router", CUSTOMER, ADDRESS, RELATIVE)
            return [Say(prose("router", CUSTOMER)), Call("handoff_to_alpha", both), Call("handoff_to_beta", both)]


def _alpha(turn: Turn) -> Any:
    if not turn.results or turn.results[-1][0] != "pay":
        return [Say(prose("alpha", CUSTOMER)), Call("pay", {"note": stuffed("alpha", CUSTOMER)})]
    return [Call("handoff_to_judge", stuffed("alpha", CUSTOMER, ADDRESS, RELATIVE))]


def _judge(turn: Turn) -> Any:
    return [Say(prose("judge", CUSTOMER)), Call("submit", stuffed("judge", CUSTOMER, ADDRESS, RELATIVE))]


_PLAYED: Mapping[str, Callable[[Turn], Any]] = {"router": _router, "alpha": _alpha, "judge": _judge}
