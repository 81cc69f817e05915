"""The agent, as a team writes it; and its turn, as the graph takes it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AnyMessage, HumanMessage
from langgraph.graph.state import CompiledStateGraph

from ..contracts.agent import AgentSpec
from ..contracts.budget import Budget
from ..contracts.contract import Contract
from ..contracts.errors import AgentInvalid, HandoffConflict
from ..tools.function import source_digest
from ..tools.run import Activation
from ..tools.sealed import SealedTool
from .handoff import handoff_tools
from .middleware import Governance
from .models import model_id, resolve_model

DEFAULT_LIMITS = Budget(model_calls=25, tool_calls=50, handoffs=5)
_STEPS_PER_CALL = 4  # supersteps of the inner graph per model call, at most


@dataclass(frozen=True, slots=True, kw_only=True)
class Handoff:
    """What a function agent returns where it has several targets."""

    target: str
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a turn ends with: a payload for a target, and the talk that led to it."""

    target: str
    payload: Any
    talk: tuple[AnyMessage, ...] = ()


class Agent:
    """A named, versioned behaviour: a prompt with a model and tools, or a plain function.

    Args:
        name: lower case; known by it to policy (`Agent::"name"`), ledger and drawings.
        version: rises when the behaviour changes.
        prompt: the system prompt of a model-driven agent.
        function: instead of a prompt: takes the payload (a dict), returns the payload for the one target, or a
            `Handoff`; async or not. It may call the agent's tools; each such call is governed.
        tools: governed tools, made by `@tool`.
        model: `provider:model` or a chat model; None takes the system's.
        limits: this agent's budget inside the run's.
        middleware: LangChain agent middleware, inside ours.

    Raises:
        AgentInvalid: with every fault of the definition.
    """

    def __init__(
        self,
        name: str,
        *,
        version: int,
        prompt: str = "",
        function: Callable[[dict[str, Any]], Any] | None = None,
        tools: Sequence[SealedTool] = (),
        model: str | BaseChatModel | None = None,
        limits: Budget = DEFAULT_LIMITS,
        middleware: Sequence[AgentMiddleware[Any, Any, Any]] = (),
    ) -> None:
        faults = []
        if not (name.isascii() and name.isidentifier() and name == name.lower()) or name in ("start", "end", "review"):
            faults.append("its name must be a lower case identifier, and not 'start', 'end' or 'review'")
        if version < 1:
            faults.append(f"version {version} is not a positive number")
        if bool(prompt.strip()) == (function is not None):
            faults.append("give it either a prompt or a function")
        given: Sequence[Any] = tools
        stray = [getattr(t, "name", repr(t)) for t in given if not isinstance(t, SealedTool)]
        faults += [f"tool {t!r} is not governed; declare it with @tool" for t in stray]
        brought = [t for m in middleware for t in getattr(m, "tools", ())]
        faults += [
            f"tool {getattr(t, 'name', t)!r}, which a middleware brings, is not governed; declare it with @tool"
            for t in brought
            if not isinstance(t, SealedTool)
        ]
        names = [t.name for t in given if isinstance(t, SealedTool)]
        faults += [f"two tools are named {n!r}" for n in sorted({n for n in names if names.count(n) > 1})]
        if faults:
            raise AgentInvalid(name=name, faults=faults)
        self.name, self.version, self.prompt = name, version, prompt
        self.function, self.model, self.limits = function, model, limits
        self.tools, self.middleware = tuple(tools), tuple(middleware)

    def spec(self, model: str | BaseChatModel | None) -> AgentSpec:
        """Its behaviour as a value, with the model it will use."""
        chosen = self.model or model
        return AgentSpec(
            name=self.name,
            version=self.version,
            prompt=self.prompt,
            model="function" if self.function else model_id(chosen) if chosen else "none",
            tools=tuple((t.name, t.spec.digest) for t in self.tools),
            limits=self.limits,
            code=source_digest(self.function) if self.function else "",
        )

    def compiled(self, targets: Mapping[str, Contract], model: str | BaseChatModel | None) -> CompiledAgent:
        """Ready to take turns, handing over to `targets`. Raises AgentInvalid if it has no usable model."""
        if self.function is not None:
            return CompiledAgent(self, tuple(targets), None)
        tools = handoff_tools(targets)
        taken = {t.name for t in self.tools} & {t.name for t in tools}
        if taken:
            raise AgentInvalid(name=self.name, faults=[f"tool name {n!r} is taken by a handoff" for n in sorted(taken)])
        graph = create_agent(
            resolve_model(self.model or model, agent=self.name),
            [*self.tools, *tools],
            system_prompt=self.prompt,
            middleware=[Governance({t.name: t for t in tools}), *self.middleware],
            name=self.name,
        )
        return CompiledAgent(self, tuple(targets), graph)

    def __repr__(self) -> str:
        return f"Agent({self.name}@{self.version})"


class CompiledAgent:
    """An agent with its targets fixed."""

    def __init__(
        self, agent: Agent, targets: tuple[str, ...], graph: CompiledStateGraph[Any, Any, Any, Any] | None
    ) -> None:
        self.agent, self.targets, self._graph = agent, targets, graph

    @property
    def name(self) -> str:
        """The agent's name."""
        return self.agent.name

    async def turn(
        self,
        received: Mapping[str, Any],
        *,
        talk: Sequence[AnyMessage] = (),
        faults: Sequence[str] = (),
        activation: Activation,
    ) -> Offer:
        """Take one turn.

        Args:
            received: the payload that crossed to this agent.
            talk: with `faults`: the messages of the turn whose offer broke its contract; it goes on from there.
            activation: whose turn it is; the caller has made it the context's.

        Raises:
            HandoffConflict: several handoffs in one turn.
            Whatever the function or the model raises.
        """
        if self._graph is None:
            return await self._called(received)
        if talk:
            said = "Your handover was refused by its contract. Correct it and hand over again.\n" + "\n".join(faults)
            messages: list[Any] = [*talk, HumanMessage(said)]
        else:
            text = orjson.dumps(dict(received), option=orjson.OPT_INDENT_2).decode()
            messages = [HumanMessage(text)]
        grounds = activation.run.grounds
        calls = self.agent.limits.model_calls or DEFAULT_LIMITS.model_calls or 1
        state = await self._graph.ainvoke(
            {"messages": messages},
            {
                "recursion_limit": calls * _STEPS_PER_CALL + 4,
                "metadata": {
                    "edgewright_run": grounds.run,
                    "edgewright_agent": f"{self.name}@{self.agent.version}",
                },
            },
        )
        handoffs = state.get("handoffs") or []
        if len(handoffs) > 1:
            raise HandoffConflict(agent=self.name, targets=[h["target"] for h in handoffs])
        kept = tuple(state["messages"])
        if handoffs:
            return Offer(target=handoffs[0]["target"], payload=handoffs[0]["payload"], talk=kept)
        # No handoff: an empty offer to the first target, which its contract refuses; the model is told how to mend it.
        return Offer(target=self.targets[0], payload=None, talk=kept)

    async def _called(self, received: Mapping[str, Any]) -> Offer:
        assert self.agent.function is not None
        made = self.agent.function(dict(received))
        result = await made if inspect.isawaitable(made) else made
        if isinstance(result, Handoff):
            return Offer(target=result.target, payload=dict(result.payload))
        return Offer(target=self.targets[0], payload=result)
