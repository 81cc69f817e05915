"""What providers demand of a chat, as a checker: one list of faults for a list of messages.

Written down from the published API rules: OpenAI chat completions (each tool call is answered by a tool message before
anything else; names of tools), Anthropic messages (the user begins; no blank text; ids of tool calls are unique and
plain; prompts stand apart), Gemini generateContent (a turn of calls comes right after a user's turn or results, with as
many results as calls, of the same names), Mistral (ids of nine letters and digits).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_ID = re.compile(r"[A-Za-z0-9]{9}")


def faults_of_chat(messages: Sequence[BaseMessage]) -> list[str]:
    """Everything for which OpenAI, Anthropic, Gemini or Mistral would refuse the messages; an empty chat has none."""
    faults: list[str] = []
    ids: list[str] = []
    if messages and not isinstance(messages[0], HumanMessage):
        faults.append(f"begins with {messages[0].type}, not with the user")
    index = 0
    while index < len(messages):
        message, before = messages[index], messages[index - 1] if index else None
        index += 1
        match message:
            case HumanMessage():
                faults += _faults_of_text(message, blank=False)
            case AIMessage():
                faults += _faults_of_text(message, blank=bool(message.tool_calls))
                if isinstance(before, AIMessage):
                    faults.append("two messages of the assistant in a row")
                results = 0
                while index + results < len(messages) and isinstance(messages[index + results], ToolMessage):
                    results += 1
                ids += [str(c["id"]) for c in message.tool_calls]
                faults += _faults_of_calls(message, messages[index : index + results])
                index += results
            case ToolMessage():
                faults.append(f"result {message.tool_call_id} follows no call")
            case _:
                faults.append(f"a message of kind {message.type} inside")
    faults += [f"id {i!r} is there twice" for i in sorted({i for i in ids if ids.count(i) > 1})]
    faults += [f"id {i!r} is not nine letters and digits" for i in ids if not _ID.fullmatch(i)]
    return faults


def _faults_of_calls(message: AIMessage, results: Sequence[BaseMessage]) -> list[str]:
    asked = [(str(c["id"]), c["name"]) for c in message.tool_calls]
    told = [(r.tool_call_id, r.name) for r in results if isinstance(r, ToolMessage)]
    faults = [f"name {name!r} is no name of a tool" for _, name in asked if not _NAME.fullmatch(name)]
    if asked != told:
        faults.append(f"calls {asked} are followed by results {told}")
    if message.invalid_tool_calls:
        faults.append("a call that is not JSON")
    return faults


def _faults_of_text(message: BaseMessage, *, blank: bool) -> list[str]:
    if not isinstance(message.content, str):
        return ["content is a list of blocks"]
    if message.content.strip() or (blank and not message.content):
        return []
    return [f"a blank message of {message.type}"]
