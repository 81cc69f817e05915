"""What a person looks at of a system: its graph as a drawing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from ..contracts.bounds_text import bounds_text
from .drawing import Drawing, drawing_of, to_mermaid, to_png, to_svg

if TYPE_CHECKING:
    from .reading import GovernedGraph
    from .standing import Standing


class Drawable(ABC):
    """A system, as far as it is drawn."""

    standing: Standing

    @property
    @abstractmethod
    def graph(self) -> GovernedGraph:
        """The compiled graph."""

    @property
    def bounds(self) -> tuple[str, ...]:
        """What bounds a run, in words: its budget, those that it shares, the loops that stop it."""
        return bounds_text(self.standing.budget, self.standing.budgets, self.standing.loops)

    def draw(self) -> Drawing:
        """The graph's nodes and edges as a drawing; see `mermaid`, `svg`, `png`."""
        return drawing_of(self.graph.get_graph(), title=self.standing.id, notes=self.bounds)

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
