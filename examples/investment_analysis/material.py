"""No material, no view: an analyst whose look-up fails has failed, whatever its model would make of that."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from edgewright.contracts.errors import ToolFailed
from langchain.agents.middleware import AgentMiddleware
from langchain.agents.middleware.types import ToolCallRequest
from langchain_core.messages import ToolMessage
from langgraph.types import Command

TOLD_NO = ("Denied by policy", "Refused:", "Rejected by reviewer:")
"""How a model is told no. It may go on after that; what it wanted was not its to have."""


class NeedsMaterial(AgentMiddleware[Any, Any, Any]):
    """Ends the turn where a tool failed, so that no model has to be trusted not to invent what it could not read."""

    async def awrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]],
    ) -> ToolMessage | Command[Any]:
        """Pass the call on. Raises ToolFailed where it failed."""
        answer = await handler(request)
        if isinstance(answer, ToolMessage) and answer.status == "error" and not answer.text.startswith(TOLD_NO):
            raise ToolFailed(tool=str(request.tool_call["name"]), error=answer.text, unknown=False)
        return answer
