"""The tools that a request needs, said before anything was read that nobody vouches for.

An agent that has read nothing but the user's words is not yet misled. What it says then that it will need, it may use
later with less ado; what it needs only afterwards, somebody else may have talked it into (`context.fixed`,
`context.foreseen`). Saying it is up to the agent; saying it late is refused.
"""

from __future__ import annotations

from ..contracts.tool import FIX_TOOLS
from .sealed import tool


@tool(name=FIX_TOOLS, effect="read", output="trusted", sensitivity="public", sink=False, roles={"tools": "content"})
def fix_tools(tools: list[str]) -> list[str]:
    """Say which tools this request may need, by name, before you call any other tool.

    Think of the whole request: what has to be looked up, and what has to be done in the end. It can be said once, and
    not after anything was read that others wrote.
    """
    return sorted(set(tools))
