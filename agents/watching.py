"""Watching one try of a model call: signs of life from its stream, and what it leaves open when it is stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler, BaseCallbackManager
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config
from langgraph.config import get_config

from ..tools.containment import alive
from ..tools.run import Run


def told_too(config: RunnableConfig, handler: BaseCallbackHandler) -> BaseCallbackManager:
    """The callbacks of a node, and one more: callbacks in a config would take the place of all others."""
    manager = config.get("callbacks")
    assert isinstance(manager, BaseCallbackManager), "an agent's turn is taken inside a node"
    copy = manager.copy()
    copy.add_handler(handler, inherit=True)
    return copy


class Watch(BaseCallbackHandler):
    """Hears what the models of one try do, those included that middleware asks.

    Idle time counts between the chunks of a stream, from the first one on: until then, and where nothing is streamed,
    a model owes no sign of life, and only the whole time is bounded.

    Args:
        idle: the seconds that a stream may be silent; None: for ever.
    """

    run_inline = True
    streamed = False
    """Whether anything came in pieces."""

    def __init__(self, run: Run, idle: float | None) -> None:
        self._run, self._idle = run, idle
        self._begun: list[UUID] = []
        self._streams: set[UUID] = set()

    @contextmanager
    def over(self) -> Iterator[None]:
        """Watch what is called in here. What it leaves open is settled as if it had cost what was reserved."""
        config = get_config()
        self._begun, self._streams, self.streamed = [], set(), False
        token = var_child_runnable_config.set({**config, "callbacks": told_too(config, self)})
        loop, timer = asyncio.get_running_loop(), None

        def wait() -> None:
            nonlocal timer
            assert self._idle is not None
            if not self._streams:
                alive()
            timer = loop.call_later(self._idle / 2, wait)

        try:
            if self._idle is not None:
                wait()
            yield
        finally:
            if timer is not None:
                timer.cancel()
            var_child_runnable_config.reset(token)
            for call in self._begun:
                if (settle := self._run.abandon.get(call)) is not None:
                    settle()

    def on_chat_model_start(self, serialized: Any, messages: Any, *, run_id: UUID, **_: Any) -> None:
        """A model is asked."""
        self._begun.append(run_id)

    def on_llm_start(self, serialized: Any, prompts: Any, *, run_id: UUID, **_: Any) -> None:
        """A plain text model is asked."""
        self._begun.append(run_id)

    def on_llm_new_token(self, token: Any, *, run_id: UUID, **_: Any) -> None:
        """A piece of a reply came: a sign of life."""
        self._streams.add(run_id)
        self.streamed = True
        alive()

    def on_llm_end(self, response: Any, *, run_id: UUID, **_: Any) -> None:
        """A reply is whole."""
        self._streams.discard(run_id)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """A call failed."""
        self._streams.discard(run_id)
