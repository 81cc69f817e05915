"""What a person looks at of a system: its graph as a drawing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from langgraph.graph import StateGraph

from ..contracts.bounds_text import bounds_text
from .bounds import bounds_of
from .drawing import Drawing, drawing_of, to_mermaid, to_png, to_svg
from .teams import INSIDES

if TYPE_CHECKING:
    from .definition import Definition
    from .reading import GovernedGraph
    from .standing import Standing


class Drawable(ABC):
    """A system, as far as it is drawn."""

    definition: Definition
    standing: Standing

    @property
    @abstractmethod
    def graph(self) -> GovernedGraph:
        """The compiled graph."""

    @property
    def bounds(self) -> tuple[str, ...]:
        """What bounds a run, in words: its budget, those that it shares, the loops that stop it, its edges."""
        rounds = bounds_of(self.definition.edges)
        return bounds_text(self.standing.budget, self.standing.budgets, self.standing.loops, rounds)

    def draw(self) -> Drawing:
        """The graph's nodes and edges as a drawing, teams with what is inside; see `mermaid`, `svg`, `png`."""
        inside = _insides(self.graph.builder)
        return drawing_of(self.graph.get_graph(), title=self.standing.id, notes=self.bounds, inside=inside)

    def mermaid(self) -> str:
        """The drawing as mermaid text."""
        return to_mermaid(self.draw())

    def svg(self) -> str:
        """The drawing as SVG."""
        return to_svg(self.draw())

    def png(self) -> bytes:
        """The drawing as PNG."""
        return to_png(self.draw())

    def _repr_html_(self) -> str:
        return f"<div style='overflow:auto'>{self.svg()}</div>"


def _insides(graph: StateGraph[Any, Any, Any, Any]) -> dict[str, Drawing]:
    """Drawings of the teams in a graph, by the name of their node."""
    return {
        name: drawing_of(inner.get_graph(), title=name, inside=_insides(inner.builder))
        for name, inner in INSIDES.get(graph, {}).items()
    }
