"""The picture of the page about topologies is what the code draws."""

from __future__ import annotations

from support.topology_picture import PICTURE, drawn


def test_the_picture_of_topologies_is_what_the_graph_draws() -> None:
    assert PICTURE.read_text("utf-8") == drawn(), "draw it anew: python -m support.topology_picture, in tests/"
