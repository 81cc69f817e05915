"""The contract of what meets behind a fan-out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Union

from pydantic import Field, create_model

from ..contracts.contract import Contract
from ..contracts.failure import FailureKind, GapKind
from ..contracts.join import ALL, Join
from .reactions import GAPS


def gathered(
    source: Contract, answers: Mapping[str, Contract], carried: Sequence[str], *, gaps: bool = False, join: Join = ALL
) -> Contract:
    """The contract of what meets behind a fan-out: `results`, typed by agent, and fields carried from its source.

    Args:
        gaps: whether a branch may be skipped; then `gaps` says which was, and why.
        join: of the fan-out; where it may do without a branch, `gaps` says so, too.
    """
    each = []
    for name, contract in answers.items():
        parts: dict[str, Any] = {"agent": (Literal[name], ...), "answer": (contract.model, ...)}
        each.append(create_model(f"{name}_result", **parts))
    one: Any = Union[tuple(each)]  # noqa: UP007 - made at run time
    several: Any = list[Annotated[one, Field(discriminator="agent")]] if len(each) > 1 else list[one]
    kept = {n: (source.model.model_fields[n].annotation, source.model.model_fields[n]) for n in carried}
    fields: dict[str, Any] = {**kept, "results": (several, ...)}
    if gaps or join != ALL:
        kind: Any = FailureKind if join == ALL else GapKind  # contracts of before stay what they are
        gap: dict[str, Any] = {"agent": (Literal[*answers], ...), "kind": (kind, ...), "why": (str, ...)}
        fields[GAPS] = (list[create_model("Gap", **gap)], ...)  # type: ignore[misc]
    model = create_model("Gathered", **fields)
    return Contract(model, version=max(c.version for c in answers.values()), carried=list(carried))
