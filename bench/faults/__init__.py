"""Faults for real: servers that misbehave on command, and systems that are run while they do."""

from bench.faults.completions import Reply, offered, said
from bench.faults.fault import Fault
from bench.faults.models import ModelServer
from bench.faults.tools import Effect, ToolServer

__all__ = ["Effect", "Fault", "ModelServer", "Reply", "ToolServer", "offered", "said"]
