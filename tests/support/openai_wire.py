"""A model server on loopback that speaks OpenAI's chat completions format, scripted by a function."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bench.faults import ModelServer, Reply, offered, said
from bench.faults.models import Rule

__all__ = ["Reply", "Wire", "offered", "openai_wire", "said"]
Wire = ModelServer


@contextmanager
def openai_wire(script: Rule) -> Iterator[ModelServer]:
    """Serve the script until the context ends."""
    with ModelServer(script) as wire:
        yield wire
