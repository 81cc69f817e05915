"""Token streams: only of agents whose output may reach the caller, only of declared fields, cut before they leave.

A final answer is written as the arguments of the `submit` tool. Its text fields are read out of the growing JSON, and
each is held back by the window that the exit contract's detectors need, so that no part of a match has left when the
match is complete. Where something stands over the border of two fields, no more of either is told. Tokens are
provisional: what counts is the response, which its contract has checked as a whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk, LLMResult
from langchain_core.tracers._streaming import _StreamingCallbackHandler  # what makes a model stream; no public way
from langchain_core.utils.json import parse_partial_json

from ..contracts.contract import Contract
from ..contracts.held import Held
from ..contracts.leaves import Leaves
from ..contracts.redaction import Redactor

TOKENS = "__edgewright_tokens"
"""Set in a config's `configurable` by a governed graph whose reader asked for tokens."""


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of an answer on its way to the reader: (message chunk, metadata), as LangGraph streams messages."""

    part: tuple[AIMessageChunk, dict[str, Any]]


@dataclass(slots=True)
class _Field:
    held: Held
    seen: str = ""
    ready: str = ""
    begun: bool = False
    ended: bool = False
    stopped: bool = False


@dataclass(slots=True)
class _Call:
    """One model call: the growing arguments of its `submit` call, by the index that the provider gives it."""

    index: Any = None
    arguments: str = ""
    fields: dict[str, _Field] = field(default_factory=dict)


class Tokens(BaseCallbackHandler, _StreamingCallbackHandler[Any]):
    """Reads the tokens of one agent's answers, and writes what may leave.

    Args:
        agent: its name, told with each token.
        tool: the name of the tool by which it answers.
        contract: the exit contract; only its declared text fields are streamed.
        redactor: cuts out what must not cross.
        write: takes each `Token`.
    """

    run_inline = True

    def __init__(
        self, *, agent: str, tool: str, contract: Contract, redactor: Redactor, write: Callable[[Token], None]
    ) -> None:
        self._agent, self._tool, self._write = agent, tool, write
        properties = contract.told_schema["properties"]
        self._fields = frozenset(n for n in properties if n not in contract.never.fields)
        self._redactor = redactor
        self._calls: dict[UUID, _Call] = {}

    def tap_output_aiter(self, run_id: UUID, output: Any) -> Any:
        """Nothing is tapped."""
        return output

    def tap_output_iter(self, run_id: UUID, output: Any) -> Any:
        """Nothing is tapped."""
        return output

    def on_llm_new_token(self, token: Any, *, chunk: Any = None, run_id: UUID, **_: Any) -> None:
        """Take in a piece of the model's reply."""
        message = chunk.message if isinstance(chunk, ChatGenerationChunk) else None
        if not isinstance(message, AIMessageChunk):
            return
        call = self._calls.setdefault(run_id, _Call())
        for piece in message.tool_call_chunks:
            if piece.get("name") == self._tool and call.index is None:
                call.index = piece.get("index")
            if call.index is not None and piece.get("index") == call.index:
                call.arguments += piece.get("args") or ""
        self._advance(call, run_id)

    def _advance(self, call: _Call, run_id: UUID, *, ended: bool = False) -> None:
        try:
            found = parse_partial_json(call.arguments) if call.arguments else None
        except ValueError:
            return
        if not isinstance(found, dict):
            return
        behind = sum(map(_length, found.values()))
        for place, (name, value) in enumerate(found.items(), start=1):
            behind -= _length(value)
            if name not in self._fields or not isinstance(value, str):
                continue
            value = _without_half(value)
            known = call.fields.setdefault(name, _Field(self._redactor.held()))
            # Half an escape may read differently once it is whole; what was taken in is never taken back.
            if value.startswith(known.seen) and len(value) > len(known.seen):
                grown, known.seen = value[len(known.seen) :], value
                known.ready += known.held.feed(grown)
            # Its end is let go when so much is known of what comes behind it that no match can reach further.
            last = not known.ended and (ended or (place < len(found) and behind >= self._redactor.window))
            if last:
                known.ready, known.ended = known.ready + known.held.flush(), True
            if known.ready and (last or not known.begun):
                known.stopped = known.stopped or self._over_border(found, name)
            known.begun = known.begun or bool(known.ready)
            if not known.stopped:
                self._emit(run_id, name, known.ready)
            known.ready = ""

    def _over_border(self, found: dict[str, Any], name: str) -> bool:
        """Whether more of a field is cut out beside its neighbours than by itself."""
        cleaned: Any = self._redactor.clean(found)[0].get(name)
        alone: Any = self._redactor.clean(found[name])[0]
        return bool(cleaned != alone)

    def _emit(self, run_id: UUID, name: str, text: str) -> None:
        if text:
            chunk = AIMessageChunk(content=text, id=f"run-{run_id}")
            self._write(Token((chunk, {"langgraph_node": self._agent, "edgewright_field": name})))

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **_: Any) -> None:
        """Let go of what was held back: nothing can grow any more."""
        if (call := self._calls.pop(run_id, None)) is not None:
            self._advance(call, run_id, ended=True)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """Forget what was held back of a call that failed."""
        self._calls.pop(run_id, None)


def _without_half(text: str) -> str:
    """A text without a last character of which only the first half of its escape, `\\ud83d\\ude00`, is there."""
    return text[:-1] if text and "\ud800" <= text[-1] <= "\udbff" else text


def _length(value: Any) -> int:
    """Characters of all texts in a JSON value."""
    return len(value) if isinstance(value, str) else sum(map(len, Leaves(value).strings()))
