"""What a system stands for while it runs: the frozen facts that its nodes read and its records quote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..contracts.budget import Budget


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """See the module. `agents` maps names to `name@version digest`; `digest` covers all of the system."""

    id: str
    digest: str
    environment: str
    budget: Budget
    agents: Mapping[str, str]
    policy_fields: tuple[str, ...]
    resources: tuple[Any, ...]
