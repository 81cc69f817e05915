import pickle
import re
import socket
from io import BytesIO
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from edgewright.graphs import _picture, _text
from edgewright.graphs._layout import settle
from edgewright.graphs._nodes import lines_of, sizes_of
from edgewright.graphs._plan import point_on
from edgewright.graphs._text import cleaned, fitted, measured
from edgewright.graphs.drawing import (
    Drawing,
    DrawingInvalid,
    DrawnEdge,
    DrawnNode,
    Kind,
    PictureTooLarge,
    drawing_of,
    to_mermaid,
    to_png,
    to_svg,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.runnables.graph import Edge, Graph, Node
from langgraph.graph import END, START, MessagesState, StateGraph
from PIL import Image

SVG = "{http://www.w3.org/2000/svg}"
KINDS: tuple[Kind, ...] = ("agent", "contract", "review", "plain", "start", "end")
HOSTILE = [
    'say "hi" & <b>bye</b>',
    "two\nlines\r\n\tand a tab",
    "party 🎉 客服",
    "ab " * 100,
    "x" * 300,
    "שלום עולם",
    "مرحبا",
    "\x00\x1b[31m\ud800\ufffe",
    "a\u202eb\u2066c",
    "",
    "`code` #35; %% --> |x| ]]",
    "</text><script>alert(1)</script>",
]


@st.composite
def drawings(draw: st.DrawFn) -> Drawing:
    count = draw(st.integers(0, 14))
    nodes = tuple(
        DrawnNode(
            id=f"v{i}",
            kind=draw(st.sampled_from(KINDS)),
            label=draw(st.sampled_from(["a", "triage", "Brief@1", "a rather longer name for a node"])),
            detail=draw(st.sampled_from(["", "triage → billing"])),
        )
        for i in range(count)
    )
    ends = st.integers(0, max(0, count - 1))
    pairs = draw(st.lists(st.tuples(ends, ends), max_size=35)) if count else []
    edges = tuple(
        DrawnEdge(
            source=f"v{a}",
            target=f"v{b}",
            label=draw(st.sampled_from(["", "repair", "a longer reason"])),
            conditional=draw(st.booleans()),
        )
        for a, b in pairs
    )
    return Drawing(title=draw(st.sampled_from(["", "Support"])), nodes=nodes, edges=edges)


def same(state: MessagesState) -> MessagesState:
    return state


def governed(kind: str, label: str = "", detail: str = "") -> dict[str, object]:
    return {"edgewright": {"kind": kind, "label": label, "detail": detail}}


def supervisor() -> Drawing:
    graph = StateGraph(MessagesState)
    specialists = ["billing", "technical", "account"]
    gates = ["Ticket@1 start→triage"]
    graph.add_node(gates[0], same, metadata=governed("contract", "Ticket@1", "start → triage"))
    graph.add_node("triage", same, metadata=governed("agent"))
    graph.add_edge(START, gates[0])
    graph.add_conditional_edges(gates[0], lambda _: "triage", ["triage", "review"])
    for name in specialists:
        brief, answer = f"Brief@1 triage→{name}", f"Answer@1 {name}→end"
        graph.add_node(name, same, metadata=governed("agent"))
        graph.add_node(brief, same, metadata=governed("contract", "Brief@1", f"triage → {name}"))
        graph.add_node(answer, same, metadata=governed("contract", "Answer@1", f"{name} → end"))
        graph.add_conditional_edges(brief, lambda _: "", {"go": name, "repair": "triage", "r": "review"})
        graph.add_edge(name, answer)
        graph.add_conditional_edges(answer, lambda _: "", [END, "review"])
        gates += [brief, answer]
    graph.add_conditional_edges("triage", lambda _: "", [gate for gate in gates if "Brief" in gate])
    graph.add_node("review", same, metadata=governed("review"))
    graph.add_conditional_edges("review", lambda _: "", gates)
    return drawing_of(graph.compile().get_graph(), title="Customer support")


def boxes_of(given: Drawing) -> list[tuple[float, float, float, float]]:
    """Left, top, right and bottom of every node, as planned for both directions of flow."""
    edges = _picture._merged(given)
    sizes = [size for size, _ in sizes_of(given)]
    boxes = []
    for offset, sideways in ((0.0, False), (1e6, True)):
        plan = _picture._plan(given, edges, sizes_of(given), sideways=sideways)
        for (x, y), (wide, high) in zip(plan.centres, sizes, strict=True):
            assert x - wide / 2 >= -0.01
            assert y - high / 2 >= -0.01
            assert x + wide / 2 <= plan.width + 0.01
            assert y + high / 2 <= plan.height + 0.01
            boxes.append((offset + x - wide / 2, y - high / 2, offset + x + wide / 2, y + high / 2))
    return boxes


@settings(max_examples=150, deadline=None)
@given(drawings())
def test_no_two_nodes_overlap_and_every_node_is_on_the_canvas(given: Drawing) -> None:
    boxes = boxes_of(given)
    for i, (left, top, right, bottom) in enumerate(boxes):
        for other in boxes[:i]:
            assert left >= other[2] or other[0] >= right or top >= other[3] or other[1] >= bottom


@settings(max_examples=150, deadline=None)
@given(drawings(), st.booleans())
def test_no_edge_runs_through_a_node(given: Drawing, sideways: bool) -> None:
    plan = _picture._plan(given, _picture._merged(given), sizes_of(given), sideways=sideways)
    sizes = [size for size, _ in sizes_of(given)]
    for wire in plan.wires:
        for before, piece in pairwise(wire.path):
            start, end = before[-1], piece[-1]
            curve = (start, *piece) if len(piece) == 3 else (start, start, end, end)
            for x, y in (point_on(curve, step / 20) for step in range(21)):
                for (cx, cy), (wide, high) in zip(plan.centres, sizes, strict=True):
                    assert abs(x - cx) > wide / 2 - 0.01 or abs(y - cy) > high / 2 - 0.01


@settings(max_examples=60, deadline=None)
@given(drawings())
def test_any_graph_becomes_well_formed_svg_with_every_mark_on_the_canvas(given: Drawing) -> None:
    text = to_svg(given)
    root = ElementTree.fromstring(text)
    wide, high = float(root.get("width", "0")), float(root.get("height", "0"))
    assert "nan" not in text
    for path in root.iter(f"{SVG}path"):
        for x, y in re.findall(r"(-?[\d.]+(?:e[-+]\d+)?),(-?[\d.]+(?:e[-+]\d+)?)", path.get("d", "")):
            assert 0 <= float(x) <= wide
            assert 0 <= float(y) <= high
    for words in root.iter(f"{SVG}text"):
        length, x = float(words.get("textLength", "0")), float(words.get("x", "0"))
        left = x - length / 2 if words.get("text-anchor") == "middle" else x
        assert left >= -0.01
        assert left + length <= wide + 0.01


@settings(max_examples=60, deadline=None)
@given(drawings())
def test_mermaid_defines_each_node_once_and_every_edge(given: Drawing) -> None:
    lines = to_mermaid(given).splitlines()
    defined = [line.split('"')[0].strip().rstrip("([{") for line in lines if ":::" in line]
    assert defined == [f"n{i}" for i in range(len(given.nodes))]
    assert sum("-->" in line or "-.->" in line for line in lines) == len(given.edges)


@given(st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(0.01, 10), st.floats(0, 100)), min_size=1))
def test_settled_positions_keep_their_gaps(items: list[tuple[float, float, float]]) -> None:
    wanted, weights, gaps = (list(column) for column in zip(*items, strict=True))
    settled = settle(wanted, weights, gaps)
    for before, after, gap in zip(settled, settled[1:], gaps[1:], strict=False):
        assert after - before >= gap - 1e-6


@given(st.text(max_size=80), st.integers(1, 3))
def test_fitted_text_is_never_wider_than_asked(text: str, lines: int) -> None:
    fit = fitted(cleaned(text), 13.5, 120.0, lines)
    assert len(fit) <= lines
    assert all(measured(line, 13.5) <= 120.0 for line in fit)


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_name_is_escaped_and_stays_inside_its_box(name: str) -> None:
    kinds: tuple[Kind, ...] = ("agent", "contract", "review", "plain")
    nodes = tuple(DrawnNode(id=f"{kind} {name}", kind=kind, label=name, detail=name) for kind in kinds)
    edge = DrawnEdge(source=nodes[0].id, target=nodes[1].id, label=name, conditional=True)
    given = Drawing(title=name, nodes=nodes, edges=(edge,))
    root = ElementTree.fromstring(to_svg(given).encode())
    assert not list(root.iter(f"{SVG}script"))
    for node, ((wide, _), _) in zip(nodes, sizes_of(given), strict=True):
        names, details = lines_of(node)
        assert all(measured(line, 13.5) < wide - 20 for line in names)
        assert all(measured(line, 11.0) < wide - 20 for line in details)
    assert to_png(given, scale=1).startswith(b"\x89PNG")
    body = to_mermaid(given).split("flowchart TD")[1]
    assert all(line.count('"') in (0, 2) for line in body.splitlines())
    assert "<script" not in body


def test_the_supervisor_keeps_its_kinds_labels_and_repairs() -> None:
    given = supervisor()
    kinds = [node.kind for node in given.nodes]
    assert (kinds.count("contract"), kinds.count("agent"), kinds.count("review")) == (7, 4, 1)
    brief = next(node for node in given.nodes if node.id == "Brief@1 triage→billing")
    assert (brief.label, brief.detail) == ("Brief@1", "triage → billing")
    assert sum(edge.label == "repair" for edge in given.edges) == 3
    assert ">repair</text>" in to_svg(given)


def test_a_review_node_that_the_graph_returns_from_stands_beside_it() -> None:
    given = supervisor()
    plan = _picture._plan(given, _picture._merged(given), sizes_of(given), sideways=False)
    places = {node.id: place for node, place in zip(given.nodes, plan.centres, strict=True)}
    assert all(places["review"][0] > x for name, (x, _) in places.items() if name != "review")


def test_a_review_node_in_the_line_of_flow_is_ranked_like_any_other() -> None:
    nodes = tuple(DrawnNode(id=k, kind="review" if k == "b" else "agent", label=k) for k in "abc")
    edges = (DrawnEdge(source="a", target="b"), DrawnEdge(source="b", target="c"))
    drawn = Drawing(title="", nodes=nodes, edges=edges)
    plan = _picture._plan(drawn, list(edges), sizes_of(drawn), sideways=False)
    heights = [y for _, y in plan.centres]
    assert heights == sorted(heights)
    assert len(set(heights)) == 3


def line_of(count: int) -> Drawing:
    nodes = tuple(DrawnNode(id=str(i), kind="agent", label=f"step {i}") for i in range(count))
    edges = tuple(DrawnEdge(source=str(i), target=str(i + 1)) for i in range(count - 1))
    return Drawing(title="Line", nodes=nodes, edges=edges)


@pytest.mark.parametrize(("count", "columns"), [(5, 1), (19, 2), (40, 4)])
def test_a_long_line_is_folded_into_columns_that_touch_nothing(count: int, columns: int) -> None:
    given = line_of(count)
    plan = _picture._plan(given, list(given.edges), sizes_of(given), sideways=False)
    assert len({round(x) for x, _ in plan.centres}) == columns
    assert plan.height < 900
    boxes_of(given)


def test_a_plain_graph_draws_without_any_metadata() -> None:
    graph = StateGraph(MessagesState)
    graph.add_node("fetch", same)
    graph.add_node("send", same)
    graph.add_edge(START, "fetch")
    graph.add_edge("fetch", "send")
    graph.add_edge("send", END)
    given = drawing_of(graph.compile().get_graph(), title="Plain")
    assert [(n.kind, n.label) for n in given.nodes] == [
        ("start", "start"), ("plain", "fetch"), ("plain", "send"), ("end", "end"),
    ]  # fmt: skip
    assert "step" in to_svg(given)


def test_a_node_of_an_opened_subgraph_says_where_it_is() -> None:
    inner = StateGraph(MessagesState)
    inner.add_node("look", same)
    inner.add_node("read", same)
    inner.add_edge(START, "look")
    inner.add_edge("look", "read")
    inner.add_edge("read", END)
    outer = StateGraph(MessagesState)
    outer.add_node("research", inner.compile())
    outer.add_edge(START, "research")
    outer.add_edge("research", END)
    given = drawing_of(outer.compile().get_graph(xray=True), title="Nested")
    assert ("look", "in research") in [(node.label, node.detail) for node in given.nodes]


@pytest.mark.parametrize("said", [None, "agent", 3, {}, {"kind": "dragon"}, {"kind": ["agent"]}])
def test_metadata_that_says_no_known_kind_makes_a_plain_node(said: object) -> None:
    graph = Graph(nodes={"a": Node("a", "a", None, {"edgewright": said})})
    assert drawing_of(graph, title="").nodes[0].kind == "plain"


def test_mermaid_never_uses_a_keyword_for_a_class() -> None:
    words = re.findall(r"(?:classDef |:::)(\w+)", to_mermaid(supervisor()))
    assert {"endNode", "contractNode"} <= set(words)
    assert not {"end", "default", "graph", "subgraph", "style", "class"} & set(words)


def test_the_font_has_the_arrow_and_european_letters() -> None:
    assert _text._known("triage → end é Ω Ж ł …") == "triage → end é Ω Ж ł …"


def test_an_empty_graph_draws_only_its_title() -> None:
    given = drawing_of(Graph(), title="Nothing yet")
    assert "Nothing yet" in to_svg(given)
    assert to_png(given).startswith(b"\x89PNG")
    assert "flowchart TD" in to_mermaid(given)


def test_an_edge_to_a_missing_node_and_a_repeated_node_are_named_together() -> None:
    twice = DrawnNode(id="a", label="a")
    with pytest.raises(DrawingInvalid) as caught:
        Drawing(title="t", nodes=(twice, twice), edges=(DrawnEdge(source="a", target="ghost"),))
    assert len(caught.value.faults) == 2
    assert "ghost" in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_graph_with_a_dangling_edge_is_refused_with_a_typed_error() -> None:
    graph = Graph(nodes={"a": Node("a", "a", None, None)}, edges=[Edge("a", "ghost")])
    with pytest.raises(DrawingInvalid, match="ghost"):
        drawing_of(graph, title="t")


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf"), 1e6])
def test_a_scale_that_makes_no_sensible_picture_is_refused(scale: float) -> None:
    with pytest.raises(PictureTooLarge) as caught:
        to_png(supervisor(), scale=scale)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_drawing_twice_gives_the_same_bytes_and_opens_no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a drawing opened a socket")

    monkeypatch.setattr(socket, "socket", refuse)
    once, again = supervisor(), supervisor()
    assert to_svg(once) == to_svg(again)
    assert to_mermaid(once) == to_mermaid(again)
    assert to_png(once) == to_png(again)


def test_the_png_has_the_size_of_the_svg_times_its_scale() -> None:
    given = supervisor()
    root = ElementTree.fromstring(to_svg(given))
    image = Image.open(BytesIO(to_png(given, scale=2.0)))
    assert abs(image.width - 2 * int(root.get("width", "0"))) <= 2
    assert abs(image.height - 2 * int(root.get("height", "0"))) <= 2


def test_the_svg_is_titled_described_and_refers_to_nothing_outside() -> None:
    text = to_svg(supervisor())
    root = ElementTree.fromstring(text)
    assert root.findtext(f"{SVG}title") == "Customer support"
    assert "Brief@1 to triage (repair)" in (root.findtext(f"{SVG}desc") or "")
    assert "prefers-color-scheme:dark" in text
    assert not re.search(r"(href|url\(|src=|@import)", text)
