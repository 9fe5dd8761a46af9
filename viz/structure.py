"""The structure picture: a description becomes a `graphviz.Digraph`."""

from collections import defaultdict

from . import style
from .engine import Drawing
from .graph import Picture, Region


def draw(picture: Picture, *, legend: bool = True) -> Drawing:
    """Write a picture in the DOT language."""
    drawing = Drawing.of(picture, len(picture.boxes), graph_attr=style.graph(picture, legend))
    drawing.sentences |= {arrow.id: arrow.sentence for arrow in picture.arrows}
    drawing.sentences |= {one.id: f"scope {one.name}" for one in picture.regions}

    boxes, inner = defaultdict(list), defaultdict(list)
    for box in picture.boxes:
        boxes[box.region].append(box)
    for outer in reversed(picture.regions):
        inner[outer.parent].append(outer)
    # Scopes may nest to any depth: a stack of what is still to be opened or closed.
    todo: list[Region | None] = [picture.outside]
    while todo:
        region = todo.pop()
        if region is None:
            drawing.body.append("\t}\n")
            continue
        if region is not picture.outside:
            drawing.body.append(f"\tsubgraph cluster_{region.id} {{\n")
            drawing.attr("graph", **style.region(region))
            todo.append(None)
        for box in boxes[region]:
            drawing.node(box.id, **style.node(box))
        todo.extend(inner[region])
    for arrow in picture.arrows:
        drawing.edge(arrow.tail.id, arrow.head.id, **style.edge(arrow))
    return drawing
