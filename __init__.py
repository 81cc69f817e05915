"""Edgewright: the governed foundation for multi-agent systems on LangGraph.

Everything an agent does crosses a gate: a handoff its contract, a model call its budget, a tool call its policy.
Each crossing is checked, metered and recorded before it has an effect.
"""

from .agents.agent import Agent, Handoff
from .agents.model_gate import ungoverned
from .agents.offline import Call, OfflineModel, Say, Turn
from .contracts.budget import Budget, Price
from .contracts.contract import Contract
from .contracts.edge import Edge, OnViolation
from .contracts.errors import EdgewrightError, ToolRefusal
from .contracts.policy import Policy
from .contracts.review import ReviewAnswer, ReviewRequest
from .graphs.system import RunResult, System, system_of
from .graphs.topology import Pipeline, Supervisor
from .tools.policies import load_policy
from .tools.run import ToolContext
from .tools.sealed import tool

__all__ = [
    "Agent",
    "Budget",
    "Call",
    "Contract",
    "Edge",
    "EdgewrightError",
    "Handoff",
    "OfflineModel",
    "OnViolation",
    "Pipeline",
    "Policy",
    "Price",
    "ReviewAnswer",
    "ReviewRequest",
    "RunResult",
    "Say",
    "Supervisor",
    "System",
    "ToolContext",
    "ToolRefusal",
    "Turn",
    "load_policy",
    "system_of",
    "tool",
    "ungoverned",
]
