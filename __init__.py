"""Edgewright: the governed foundation for multi-agent systems on LangGraph.

Everything an agent does crosses a gate: a handoff its contract, a model call its budget, a tool call its policy.
Each crossing is checked, metered and recorded before it has an effect.
"""

from .agents.agent import Agent, Handoff
from .agents.model_gate import ungoverned
from .agents.offline import Call, OfflineModel, Say, Turn
from .agents.roles import aggregator, critic, critiqued, everyone, planner, routed, router, summariser
from .agents.tiers import Tiers
from .agents.trimming import Trim
from .contracts.budget import Budget, Price
from .contracts.containment import Breaker, Bulkhead, Retry, Timeouts
from .contracts.contract import Contract, Never
from .contracts.edge import ALL, NO_HISTORY, Bound, Edge, FanOut, History, OnViolation, last, summary
from .contracts.errors import EdgewrightError, ToolRefusal
from .contracts.failure import Ask, FallBack, Skip, Stop
from .contracts.join import Join, any_of, best_effort, first, quorum
from .contracts.labels import Id, Label, Origin, Sensitive
from .contracts.loops import Loops
from .contracts.marks import Mark
from .contracts.plan import Earlier
from .contracts.policy import Policy
from .contracts.review import ReviewAnswer, Reviewer, ReviewRequest
from .contracts.shared import Key
from .contracts.tool import Limit, SharedRecord
from .graphs.advice import advise
from .graphs.as_node import as_node
from .graphs.pipeline import Pipeline
from .graphs.plain_edge import contract_edge
from .graphs.planning import PlanningSupervisor
from .graphs.roles import human_review
from .graphs.solo import Solo
from .graphs.stages import LoopBack, Map, Parallel, Stage
from .graphs.store import VersionedStore
from .graphs.supervisor import Supervisor
from .graphs.swarm import Swarm
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
    "Bound",
    "Breaker",
    "Budget",
    "Bulkhead",
    "Call",
    "Contract",
    "Earlier",
    "Edge",
    "EdgewrightError",
    "FallBack",
    "FanOut",
    "Handoff",
    "History",
    "Id",
    "Join",
    "Key",
    "Label",
    "Limit",
    "LoopBack",
    "Loops",
    "Map",
    "Mark",
    "Never",
    "OfflineModel",
    "OnViolation",
    "Origin",
    "Parallel",
    "Pipeline",
    "PlanningSupervisor",
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
    "Solo",
    "Stage",
    "Stop",
    "Supervisor",
    "Swarm",
    "System",
    "Tiers",
    "Timeouts",
    "ToolContext",
    "ToolRefusal",
    "Trim",
    "Turn",
    "VersionedStore",
    "advise",
    "aggregator",
    "alive",
    "any_of",
    "as_node",
    "best_effort",
    "contract_edge",
    "critic",
    "critiqued",
    "everyone",
    "first",
    "fix_tools",
    "human_review",
    "last",
    "load_policy",
    "planner",
    "quorum",
    "routed",
    "router",
    "starter",
    "summariser",
    "summary",
    "system_of",
    "tool",
    "ungoverned",
]
