"""The bound of a call's input holds for everything that LangChain sends, or there is none.

Counted with a tokeniser that makes a token of each byte: no byte-level tokeniser makes more.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any, TypedDict

import pytest
import tiktoken
from edgewright.agents import bounds
from edgewright.agents.bounds import (
    CALL_MARGIN,
    TOOLS_MARGIN,
    bound_of,
    completions_of,
    declare_counter,
    input_bound,
    output_cap_of,
    text_bound,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field, SecretStr
from support.openai_wire import Reply, openai_wire

NAME = "openai:gpt-4o-mini"
BYTES = tiktoken.Encoding(
    name="bytes",
    pat_str=r"(?s:.)",
    mergeable_ranks={bytes([b]): b for b in range(256)},
    special_tokens={"<|end|>": 256},
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
WORD = st.text("abcdefgh_", min_size=1, max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5),
    max_leaves=15,
)
USAGE = UsageMetadata(input_tokens=10, output_tokens=70, total_tokens=80)


class Place(BaseModel):
    """Where something is said, with a long explanation, so that writing it out twice shows."""

    url: str = Field(description="of the page, not of its site")
    line: int


class Source(BaseModel):
    """A source."""

    first: Place = Field(description="where it says so first")
    last: Place = Field(description="where it says so last")


class Answer(BaseModel):
    """What is to be answered."""

    text: str = Field(description="in at most three sentences")
    best: Source | None = Field(None, description="the source to be believed")
    worst: Source | None = Field(None, description="the source to be doubted")


class Tree(BaseModel):
    """A form that holds itself."""

    branches: list[Tree]


class Reply2(TypedDict):
    """The same."""

    text: str


@pytest.fixture(autouse=True)
def _no_counters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "_COUNTERS", {})


def _tokens(text: str) -> int:
    return len(BYTES.encode(text, disallowed_special=()))


def _texts(value: Any) -> Iterator[str]:
    """All texts in a message or an item of a request, with the names of what holds them."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    elif value is not None:
        yield value if isinstance(value, str) else json.dumps(value)


def _sent(payload: dict[str, Any]) -> int:
    """Tokens of a request: each text of each message, what frames a message, and the tools and forms as JSON."""
    said = payload.get("messages") or payload.get("input") or []
    shown = [payload.get(key) for key in ("tools", "tool_choice", "response_format", "text", "stop", "functions")]
    words = {"role", "content", "type", "text", "function", "tool_calls", "arguments", "name", "id", "tool_call_id"}
    words |= {"output", "input_text", "output_text", "annotations", "call_id", "message", "function_call"}
    total = 3
    for message in said:
        total += 4 + sum(_tokens(t) for t in _texts(message) if t not in words)
    return total + sum(_tokens(json.dumps(s)) for s in shown if s is not None)


def _model(**options: Any) -> ChatOpenAI:
    return ChatOpenAI(model="gpt-4o-mini", api_key=SecretStr("sk-test"), max_completion_tokens=100, **options)


def _bound(model: ChatOpenAI, messages: Sequence[BaseMessage], **bound: Any) -> int | None:
    return bound_of(NAME, messages, model._get_invocation_params(**bound))


@st.composite
def _talks(draw: st.DrawFn) -> list[BaseMessage]:
    """A conversation as an agent has it: calls with any arguments, each answered."""
    found: list[BaseMessage] = [SystemMessage(draw(TEXT)), HumanMessage(draw(TEXT), name=draw(st.none() | WORD))]
    for turn in range(draw(st.integers(0, 3))):
        calls = [
            {"name": draw(WORD), "args": draw(st.dictionaries(TEXT, JSON, max_size=4)), "id": f"call_{turn}_{n}"}
            for n in range(draw(st.integers(0, 2)))
        ]
        broken = [{"name": draw(WORD), "args": draw(TEXT), "id": f"bad_{turn}", "error": "no JSON"}]
        parts = draw(st.lists(TEXT.map(lambda t: {"type": "text", "text": t}), max_size=3))
        content: Any = draw(st.one_of(TEXT, st.just(parts)))
        found.append(AIMessage(content, tool_calls=calls, invalid_tool_calls=broken if draw(st.booleans()) else []))
        found += [ToolMessage(draw(TEXT), tool_call_id=str(c["id"]), artifact="x" * 99) for c in calls]
    return found


_TOOLS = st.lists(
    st.builds(
        lambda name, said, fields: {
            "type": "function",
            "function": {
                "name": name,
                "description": said,
                "parameters": {"type": "object", "properties": {f: {"type": "string"} for f in fields}},
            },
        },
        WORD,
        TEXT,
        st.lists(TEXT, max_size=4),
    ),
    max_size=3,
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(_talks(), _TOOLS, st.lists(TEXT, max_size=2), st.booleans())
def test_no_request_has_more_tokens_than_its_bound(
    talk: list[BaseMessage], tools: list[dict[str, Any]], stop: list[str], responses: bool
) -> None:
    model = _model(use_responses_api=responses)
    given_: dict[str, Any] = {"tools": tools} if tools else {}
    if not responses:
        given_["stop"] = stop
    found = _bound(model, talk, **given_)
    assert found is not None
    margins = CALL_MARGIN + (TOOLS_MARGIN if tools else 0)  # for what the provider adds; nothing of it is sent
    assert found - margins >= _sent(model._get_request_payload(talk, **given_))


@given(TEXT)
def test_a_text_has_no_more_tokens_than_its_bound_in_whatever_form_a_tokeniser_reads_it(text: str) -> None:
    for form in (text, unicodedata.normalize("NFKC", text), unicodedata.normalize("NFC", text)):
        assert _tokens(form) <= text_bound([text])
        found = input_bound([HumanMessage(text)])
        assert found is not None
        assert _tokens(form) <= found - CALL_MARGIN


def test_one_sign_that_stands_for_many_is_bounded_by_what_it_stands_for() -> None:
    sign = "\N{ARABIC LIGATURE SALLALLAHOU ALAYHE WASALLAM}" * 1000
    assert len(sign.encode()) == 3000
    assert text_bound([sign]) >= _tokens(unicodedata.normalize("NFKC", sign)) == 33_000


class _Heard(BaseCallbackHandler):
    """What a callback is told before a call: as much as the gate knows."""

    def __init__(self) -> None:
        self.messages: list[list[BaseMessage]] = []
        self.params: list[dict[str, Any]] = []

    def on_chat_model_start(self, serialized: Any, messages: list[list[BaseMessage]], **kwargs: Any) -> None:
        self.messages += messages
        self.params.append(kwargs["invocation_params"])


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode", "tools"])
def test_what_is_on_the_wire_is_bounded_by_what_a_callback_was_told(method: Any) -> None:
    heard = _Heard()
    answer = json.dumps({"text": "a"})
    with openai_wire(lambda _: Reply(text=answer, calls=[("Answer", answer)])) as wire:
        model = _model(base_url=wire.url)
        asks: Any = (
            model.bind_tools([Answer]) if method == "tools" else model.with_structured_output(Answer, method=method)
        )
        asks.batch([[("system", "Answer as JSON."), ("human", "Zoë?")], "again"], {"callbacks": [heard]})
    assert len(wire.requests) == len(heard.params) == 2
    sent = sorted(_sent(request) for request in wire.requests)
    found = sorted(bound_of(NAME, m, p) or 0 for m, p in zip(heard.messages, heard.params, strict=True))
    assert all(0 < s <= f - CALL_MARGIN - TOOLS_MARGIN for s, f in zip(sent, found, strict=True))


def test_tools_and_forms_bring_what_a_provider_says_about_them() -> None:
    tool = {"name": "t", "input_schema": {}}
    bare, offered = _bound(_model(), [HumanMessage("hi")]), _bound(_model(), [HumanMessage("hi")], tools=[tool])
    formed = _bound(_model(), [HumanMessage("hi")], response_format={"type": "json_object"})
    assert bare is not None
    assert offered is not None
    assert formed is not None
    assert bare >= CALL_MARGIN
    assert min(offered, formed) > bare + TOOLS_MARGIN


def test_what_is_not_sent_does_not_count() -> None:
    short = ToolMessage("done", tool_call_id="c")
    long = ToolMessage("done", tool_call_id="c", artifact="x" * 9999, response_metadata={"x": "y" * 9999})
    assert input_bound([short]) == input_bound([long])


NO_TEXT: list[Any] = [
    {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
    {"type": "image", "base64": "AAAA", "mime_type": "image/png"},
    {"type": "image", "source": {"type": "url", "url": "https://x"}},
    {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
    {"type": "file", "file_id": "f"},
    {"type": "document", "source": {"type": "base64", "data": "AAAA"}},
    {"type": "video", "url": "https://x"},
    {"type": "web_search_call", "id": "ws"},
    {"type": "something_new", "text": "hi"},
    {"image": {"format": "png"}},
    {"type": "reasoning", "id": "rs_1", "summary": []},
    {"type": "tool_result", "content": [{"type": "text", "text": "a"}, {"type": "image", "url": "https://x"}]},
]


@pytest.mark.parametrize("part", NO_TEXT, ids=[str(p)[:40] for p in NO_TEXT])
def test_content_that_is_no_text_has_no_bound(part: dict[str, Any]) -> None:
    for message in (HumanMessage([part]), AIMessage([{"type": "text", "text": "a"}, part])):
        assert input_bound([message]) is None
    assert input_bound([ToolMessage([part], tool_call_id="c")]) is None


@pytest.mark.parametrize("key", ["audio", "tool_outputs"])
def test_what_a_reply_holds_beside_its_text_has_no_bound(key: str) -> None:
    assert input_bound([AIMessage("a", additional_kwargs={key: {"id": "a_1"}})]) is None


def test_reasoning_counts_as_long_as_it_was_billed() -> None:
    for part in (
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "thinking", "thinking": "hm", "signature": "s"},
    ):
        thought = input_bound([AIMessage([part], usage_metadata=USAGE)])
        plain = input_bound([AIMessage([{"type": "text", "text": ""}], usage_metadata=USAGE)])
        assert thought is not None
        assert plain is not None
        assert thought >= plain + USAGE["output_tokens"]


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "web_search_preview"},
        {"type": "web_search_20250305", "name": "web_search"},
        {"type": "mcp", "server_url": "https://x"},
        {"google_search": {}},
        {"name": "no_schema"},
    ],
    ids=str,
)
def test_a_tool_of_the_providers_own_leaves_the_input_without_a_bound(tool: dict[str, Any]) -> None:
    assert input_bound([HumanMessage("a")], [tool]) is None


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "function", "function": {"name": "f"}},
        {"type": "function", "name": "f", "parameters": {}},
        {"type": "custom", "name": "f", "format": {"type": "text"}},
        {"name": "f", "input_schema": {}},
        {"function_declarations": [{"name": "f"}]},
        {"toolSpec": {"name": "f"}},
    ],
    ids=str,
)
def test_tools_that_the_caller_carries_out_are_bounded_in_each_providers_form(tool: dict[str, Any]) -> None:
    found = input_bound([HumanMessage("a")], [tool])
    assert found is not None
    assert found >= _tokens(json.dumps(tool))


@pytest.mark.parametrize(
    "params",
    [
        {"previous_response_id": "r"},
        {"conversation": "c"},
        {"extra_body": {"search_parameters": {"mode": "on"}}},
        {"web_search_options": {"search_context_size": "low"}},
        {"cached_content": "c"},
        {"response_format": Tree},
        {"response_format": Reply2},
        {"extra_body": {"response_format": Answer}},
        {"tools": [Answer]},
        {"logit_bias": b"bytes"},
    ],
    ids=str,
)
def test_what_a_provider_adds_or_nobody_here_sees_leaves_no_bound_even_with_a_counter(params: dict[str, Any]) -> None:
    if "tools" not in params:
        declare_counter(NAME, lambda messages, tools: 5)
    assert bound_of(NAME, [HumanMessage("a")], params) is None
    assert bound_of(NAME, [HumanMessage("a")], dict.fromkeys(params)) is not None


def test_a_number_too_long_and_half_a_letter_are_bounded_too() -> None:
    odd = AIMessage("\ud800", tool_calls=[{"name": "f", "args": {"n": 10**40, "s": "\udfff"}, "id": "c"}])
    found = input_bound([odd])
    assert found is not None
    assert found > CALL_MARGIN + 40


def test_a_counter_tightens_the_bound_but_never_widens_it() -> None:
    talk, params = [HumanMessage("a" * 5000)], {"model": "gpt"}
    wide = bound_of(NAME, talk, params)
    assert wide is not None
    declare_counter(NAME, lambda messages, tools: 7 + len(messages) + len(tools))
    tight = bound_of(NAME, talk, params)
    assert tight is not None
    assert 8 <= tight < 100
    declare_counter(NAME, lambda messages, tools: 10**9)
    assert bound_of(NAME, talk, params) == wide
    assert bound_of("openai:other", talk, params) == wide
    declare_counter("google_genai:g", lambda messages, tools: 7)
    assert bound_of("google_vertexai:g", talk, params) == tight - 1


def test_a_form_that_a_counter_is_not_shown_counts_beside_it() -> None:
    declare_counter(NAME, lambda messages, tools: 7)
    form = {"response_format": {"type": "json_schema", "json_schema": {"description": "d" * 500}}}
    found = bound_of(NAME, [HumanMessage("a")], form)
    assert found is not None
    assert found > 500 + TOOLS_MARGIN


def test_a_counter_supplies_the_bound_of_what_is_no_text() -> None:
    talk = [HumanMessage([NO_TEXT[0]])]
    assert bound_of(NAME, talk, {}) is None
    declare_counter(NAME, lambda messages, tools: 1234)
    found = bound_of(NAME, talk, {})
    assert found is not None
    assert found >= 1234


def _raises(messages: Sequence[BaseMessage], tools: Any) -> int:
    raise RuntimeError("no table")


@pytest.mark.parametrize(
    "counter", [_raises, *(lambda m, t, said=said: said for said in (0, -1, 1.5, True, None, "9"))]
)
def test_a_counter_that_fails_or_says_nonsense_changes_nothing(counter: Any, caplog: pytest.LogCaptureFixture) -> None:
    text, image = [HumanMessage("a")], [HumanMessage([NO_TEXT[0]])]
    before = bound_of(NAME, text, {})
    declare_counter(NAME, counter)
    assert bound_of(NAME, text, {}) == before
    assert bound_of(NAME, image, {}) is None
    assert "its bound is not used" in caplog.text


def test_several_completions_are_told_wherever_a_provider_is_told_them() -> None:
    assert completions_of({}) == completions_of({"n": None}) == completions_of({"n": 1}) == 1
    assert completions_of({"n": 3, "best_of": 5}) == 5
    assert completions_of({"extra_body": {"n": 4}}) == 4
    assert completions_of({"generation_config": {"candidate_count": 2}}) == 2
    with pytest.raises(ValueError, match="many"):
        completions_of({"n": "many"})


def test_the_output_cap_is_the_highest_that_is_sent() -> None:
    assert output_cap_of(_model()._get_invocation_params()) == 100
    assert output_cap_of({"max_tokens": 5, "max_completion_tokens": 9, "extra_body": {"max_new_tokens": 11}}) == 11
    assert output_cap_of({"max_tokens": None}) is output_cap_of({"num_predict": -1}) is output_cap_of({}) is None
