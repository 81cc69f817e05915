"""Solo: one agent, with all of its tools; and when that is too much for one."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from langchain_core.messages import SystemMessage
from langchain_core.utils.function_calling import convert_to_openai_tool

from ..agents.agent import Agent
from ..agents.bounds import input_bound
from ..contracts.contract import Contract
from ..contracts.edge import END, START, Edge, FanOut, OnViolation
from ..contracts.errors import TopologyInvalid
from ..contracts.failure import STOP
from .levels import levels_of
from .reactions import Declared
from .topology import Topology

MANY_TOOLS = 20
"""From more tools than this on, models get worse at choosing one: providers' guides say to offer fewer than about
twenty in one call. It is a rule of thumb: a strong model does well with more, where they differ plainly."""
MANY_TOKENS = 32_000
"""Bytes of prompt and tool descriptions, at which no tokeniser makes more tokens than that. English text has about four
bytes to a token, so it is some 8,000 tokens, which are sent, read and paid for with every call of the model."""
_VERB = re.compile(
    "add|approve|cancel|change|check|close|compute|convert|create|delete|describe|download|edit|execute|fetch|find|get|"
    "list|load|look|lookup|make|move|open|put|query|read|reject|remove|rename|replace|resolve|run|save|search|send|set|"
    "show|start|stop|submit|update|upload|validate|verify|write"
)


class SoloTooLarge(UserWarning):
    """One agent has more tools, or a longer prompt with them, than models handle well. It works all the same."""


@dataclass(frozen=True)
class Solo:
    """One agent answers by itself.

    Attributes:
        agent: it has the tools, and gives the answer.
        takes: contract of the request.
        answer: contract of the answer.
        on_violation: what happens when the answer breaks its contract.
        on_failure: what happens when the agent's turn fails; the run stops otherwise.

    Raises:
        TopologyInvalid: with every fault found.
    """

    agent: Agent
    _: KW_ONLY
    takes: Contract
    answer: Contract
    on_violation: OnViolation = field(default_factory=OnViolation)
    on_failure: Declared = STOP

    def __post_init__(self) -> None:
        agent: Any = self.agent
        contracts: list[tuple[str, Any]] = [("takes", self.takes), ("answer", self.answer)]
        faults = [
            *([] if isinstance(agent, Agent) else [f"its agent is {agent!r}, not an Agent"]),
            *(f"{name}= is {c!r}, no Contract" for name, c in contracts if not isinstance(c, Contract)),
        ]
        if faults:
            raise TopologyInvalid(name="solo", faults=faults)

    @property
    def agents(self) -> Sequence[Agent]:
        """The one."""
        return (self.agent,)

    @property
    def edges(self) -> Sequence[Edge]:
        """start → agent → end."""
        name = self.agent.name
        return (
            Edge(source=START, target=name, contract=self.takes),
            Edge(source=name, target=END, contract=self.answer, on_violation=self.on_violation),
        )

    @property
    def fan_outs(self) -> Sequence[FanOut]:
        """None: there is one agent."""
        return ()

    # -- is it too much? -----------------------------------------------------------------------------------------

    def advice(self) -> list[str]:
        """What makes the agent too large for one, and how its tools could be split; empty where nothing does.

        What asks no model has as many tools as it likes.
        """
        agent = self.agent
        if not agent.prompt:
            return []
        found = []
        if len(agent.tools) > MANY_TOOLS:
            found.append(
                f"agent {agent.name!r} chooses among {len(agent.tools)} tools; from more than {MANY_TOOLS} on, models "
                "get worse at choosing"
            )
        tokens = _tokens(agent)
        if tokens is not None and tokens > MANY_TOKENS:
            found.append(
                f"prompt and tools of agent {agent.name!r} have up to {tokens} tokens, by their bytes, in every call "
                f"of its model; from about {MANY_TOKENS} on, they cost much and hide what matters"
            )
        groups = self.split()
        if found and len(groups) > 1:
            told = "; ".join(f"{name}: {', '.join(tools)}" for name, tools in groups.items())
            found.append(f"as a Supervisor, with a specialist for each: {told}")
        return found

    def split(self) -> dict[str, tuple[str, ...]]:
        """Its tools in groups, each for a specialist of a `Supervisor`: by what they are about, and what they do.

        What a tool is about is the first word of its name that is no verb: `orders_find` and `get_order` are about
        orders, and what a connector makes has the connector's name. A tool that is alone with that is in `other`.
        """
        subjects: dict[tuple[str, str], list[str]] = {}
        for tool in self.agent.tools:
            does = "change" if tool.spec.changes_world else "read"
            subjects.setdefault((_subject(tool.name), does), []).append(tool.name)
        groups: dict[str, list[str]] = {}
        for (subject, does), tools in subjects.items():
            groups.setdefault(f"{subject if len(tools) > 1 else 'other'}_{does}", []).extend(tools)
        return {name: tuple(tools) for name, tools in sorted(groups.items())}


def _tokens(agent: Agent) -> int | None:
    """The most tokens of what is sent with every call of its model; None where nothing bounds them."""
    return input_bound([SystemMessage(agent.prompt)], [convert_to_openai_tool(t) for t in agent.tools])


def _subject(tool: str) -> str:
    words = [w for w in tool.split("_") if w]
    named = next((w for w in words if not _VERB.fullmatch(w)), words[0])
    return named.removesuffix("s") or named


def advice_of(topology: Topology) -> list[str]:
    """What every Solo of a system says of itself, those inside of teams included; see `Solo.advice`."""
    every = [level.topology for level in levels_of(topology)]
    return [line for found in every if isinstance(found, Solo) for line in found.advice()]


def warn_of(system: str, topology: Topology, *, above: int) -> None:
    """Warn of a system with an agent that is too large.

    Args:
        above: how many calls above this one the line is that the warning names.

    Warns:
        SoloTooLarge: once, with all of the advice.
    """
    if advice := advice_of(topology):
        warnings.warn(f"system {system!r}: {'; '.join(advice)}", SoloTooLarge, stacklevel=above + 1)
