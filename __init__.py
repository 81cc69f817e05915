"""Edgewright: the governed foundation for multi-agent systems on LangGraph.

Everything an agent does crosses a gate: a handoff its contract, a model call its budget, a tool call its policy.
Each crossing is checked, metered and recorded before it has an effect.
"""

from .agents.agent import Agent, Handoff
from .agents.model_gate import ungoverned
from .agents.offline import Call, OfflineModel, Say, Turn
from .agents.tiers import Tiers
from .agents.trimming import Trim
from .contracts.budget import Budget, Price
from .contracts.containment import Breaker, Bulkhead, Retry, Timeouts
from .contracts.contract import Contract, Never
from .contracts.edge import ALL, NO_HISTORY, Edge, FanOut, History, OnViolation, last, summary
from .contracts.errors import EdgewrightError, ToolRefusal
from .contracts.failure import Ask, FallBack, Skip, Stop
from .contracts.labels import Id, Label, Origin, Sensitive
from .contracts.marks import Mark
from .contracts.policy import Policy
from .contracts.review import ReviewAnswer, Reviewer, ReviewRequest
from .contracts.shared import Key
from .contracts.tool import Limit, SharedRecord
from .graphs.pipeline import Pipeline
from .graphs.plain_edge import contract_edge
from .graphs.store import VersionedStore
from .graphs.supervisor import Supervisor
from .graphs.system import RunResult, System, system_of
from .tools.containment import alive
from .tools.foreseen import fix_tools
from .tools.policies import load_policy, starter
from .tools.run import ToolContext
from .tools.sealed import tool

__all__ = [
    "ALL",
    "NO_HISTORY",
    "Agent",
    "Ask",
    "Breaker",
    "Budget",
    "Bulkhead",
    "Call",
    "Contract",
    "Edge",
    "EdgewrightError",
    "FallBack",
    "FanOut",
    "Handoff",
    "History",
    "Id",
    "Key",
    "Label",
    "Limit",
    "Mark",
    "Never",
    "OfflineModel",
    "OnViolation",
    "Origin",
    "Pipeline",
    "Policy",
    "Price",
    "Retry",
    "ReviewAnswer",
    "ReviewRequest",
    "Reviewer",
    "RunResult",
    "Say",
    "Sensitive",
    "SharedRecord",
    "Skip",
    "Stop",
    "Supervisor",
    "System",
    "Tiers",
    "Timeouts",
    "ToolContext",
    "ToolRefusal",
    "Trim",
    "Turn",
    "VersionedStore",
    "alive",
    "contract_edge",
    "fix_tools",
    "last",
    "load_policy",
    "starter",
    "summary",
    "system_of",
    "tool",
    "ungoverned",
]
