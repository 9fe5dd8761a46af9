"""The textbook picture: circles, with values above the lines and gradients below them."""

from math import ceil
from typing import Any

import numpy

from tinygraph.errors import ArgumentError

from . import graph, style
from .engine import Drawing
from .graph import Arrow, Box, Picture
from .numbers import Numbers

MOST = 30  # operations; with more the numbers could not be read
SMALL = 4  # rows and columns of an array that is written out
SIDE = 18  # points beside an array, in which the arrow beside a gradient stands
SPACE = "\u00a0"
ROLES = {"param": "variable", "input": "input", "const": "constant"}


def draw(picture: Picture, *, legend: bool = True, numbers: Numbers | None = None) -> Drawing:
    """Write a picture with the numbers on its lines in the DOT language."""
    operations = [box for box in picture.boxes if box.role in ("op", "view", "folded")]
    if len(operations) > MOST:
        raise ArgumentError(
            f"to_dot: style 'textbook' shows at most {MOST} operations, and this graph has "
            f"{len(operations):,}. Draw a part of it, or use style='structure'."
        )
    numbers = numbers or Numbers(picture)
    drawing = Drawing(
        "tinygraph",
        format="svg",
        graph_attr={
            **style.GRAPH, "rankdir": "LR", "nodesep": ".3", "ranksep": ".2",
            "label": head(picture, numbers, legend),
        },
        node_attr=style.NODE,
        edge_attr={**style.EDGE, "penwidth": "2"},
    )  # fmt: skip
    drawing.title, drawing.summary = picture.title, picture.summary
    drawing.size = len(picture.boxes) + len(picture.arrows)
    drawing.sentences = {box.id: box.sentence for box in picture.boxes}

    readers: dict[Box, int] = dict.fromkeys(picture.boxes, 0)
    for arrow in picture.arrows:
        readers[arrow.tail] += 1
    for box in picture.boxes:
        total = numbers.gradients.get(box.nodes[0]) if readers[box] > 1 else None
        shape = operation(box, total) if box.role in ("op", "view") else leaf(box, total)
        drawing.node(box.id, id=box.id, **{"class": box.role}, **shape)
    wires = [Wire(arrow, numbers) for arrow in picture.arrows]
    for wire, width in zip(wires, widths(wires), strict=True):
        wire.draw(drawing, width)
    return drawing


def head(picture: Picture, numbers: Numbers, legend: bool) -> str:
    """Write the title, what stands above and below the lines, and what the signs mean."""
    caption = picture.caption.replace(graph.ROLES["param"], ROLES["param"])
    key = style.font("above the line: value →", 10, "ink")
    if numbers.changed:
        caption += f" · shapes for numbers: {numbers.missing}"
    elif numbers.missing:
        caption += f" · no gradients: {numbers.missing}"
    else:
        result = next(box for box in picture.boxes if box.role == "result")
        below = f"below: ← gradient ∂{graph.short(result.lines[0][1])}/∂(value)"
        key += style.font(f"{6 * SPACE}{below}", 10, "gradient")
    signs = []
    if legend and len({box.role for box in picture.boxes} & set(ROLES)) > 1:
        signs = style.signs(picture, ROLES)
        if any(box.role == "op" and graph.needs_order(box.nodes[0]) for box in picture.boxes):
            signs.append(style.note("operands from top to bottom", "mute"))
    title = style.font(graph.short(picture.title), 13, "ink", bold=True)
    return style.head([title, style.font(caption, 9, "mute"), key], signs)


# ---------------------------------------------------------------- boxes


def leaf(box: Box, total: Any) -> dict[str, str]:
    """Draw a leaf or a result by its name, with its gradient where several contributions meet."""
    rows = [style.line(box, *box.lines[0])]
    if total is not None:
        rows.append(added(total))
    return {**style.LOOKS[box.role], "label": style.stack(rows)}


def operation(box: Box, total: Any) -> dict[str, str]:
    """Draw an operation as a circle with its sign, or an ellipse with its name."""
    node = box.nodes[0]
    sign, settings = graph.sign_of(node), graph.settings_of(node)
    rows = [style.font(sign, 18 if len(sign) <= 2 else 12, "ink")]
    width, height = 0.52 if len(sign) <= 2 else max(0.8, 0.09 * len(sign) + 0.2), 0.52
    if settings:
        rows.append(style.font(settings, 9, "mute"))
        width, height = max(width, 0.065 * len(settings) + 0.3), 0.62
    if total is not None:
        rows.append(added(total))
    size = {"fixedsize": "true", "width": f"{width:.2f}", "height": f"{height:.2f}"}
    return {
        **style.LOOKS["op"], "shape": "ellipse", "style": "filled", "penwidth": "1.4",
        "label": style.stack(rows, space=3),
        **(size if total is None else {"margin": "0"}),
        "ordering": "in",
    }  # fmt: skip


def added(total: Any) -> str:
    """Write the sum of the contributions to a gradient."""
    word = f"<td>{style.font(f'grad{SPACE}', 9, 'gradient')}</td>"
    return style.table([f"{word}<td>{Block(total, 'gradient').table()}</td>"])


# ---------------------------------------------------------------- arrays


class Block:
    """One array as a table: a number, a matrix in brackets, or what can be said of a large one.

    Attributes
    ----------
    texts : list of list of str
        What its cells say.
    column, height : int
        How wide each of its columns is, and how high the whole, in points.
    """

    def __init__(self, array: Any, colour: str):
        self.colour = colour
        self.matrix = array.ndim in (1, 2) and 0 < max(array.shape) <= SMALL and array.size > 0
        if self.matrix or not array.ndim:
            self.texts = [[entry(one) for one in row] for row in numpy.atleast_2d(array)]
        else:
            self.texts = [[text] for text in about(array)]
        self.size, self.row = (10, 18 if self.matrix else 13) if array.ndim else (11, 16)
        longest = max(len(text) for row in self.texts for text in row)
        self.column = even(0.56 * self.size * longest + 4)
        self.height = self.row * len(self.texts)

    def width(self, column: int) -> int:
        """Return its width with columns of a width."""
        return even(len(self.texts[0]) * (column + 2) + (8 if self.matrix else 0))

    def table(self, column: int = 0, side: str = "") -> str:
        """Write it with columns of a width, and something before it that has its place after it."""
        alignment = "right" if self.matrix else "center"
        shape = f'align="{alignment}" width="{column or self.column}" height="{self.row}"'
        rows = [
            "".join(f'<td {shape} cellpadding="1">{self.cell(text)}</td>' for text in texts)
            for texts in self.texts
        ]
        if self.matrix:
            bracket = f'<td rowspan="{len(rows)}" width="4" color="{style.LIGHT[self.colour]}"'
            left, right = (
                f'{bracket} border="1" sides="{sides}"></td>' for sides in ("LTB", "RTB")
            )
            rows[0] = f"{left}{rows[0]}{right}"
        if column:
            place = f'<td rowspan="{len(rows)}" width="{SIDE}" align="right">'
            rows[0] = f"{place}{side}</td>{rows[0]}{place}</td>"
        return style.table(rows)

    def cell(self, text: str) -> str:
        """Write one entry; what is not finite stands out."""
        bad = "nan" in text or "inf" in text
        return style.font(text, self.size, "bad border" if bad else self.colour, bad)


def entry(value: Any) -> str:
    """Write one entry of an array, an integer whole, other numbers with four digits."""
    text = str(value.item()) if value.dtype.kind in "iub" else f"{value:.4g}"
    return text.replace("-", "−")


def about(array: Any) -> list[str]:
    """Say of a large array its mean and its range, and how many entries are not finite."""
    array = array.astype(float)
    counts = {"nan": numpy.isnan(array).sum(), "inf": numpy.isinf(array).sum()}
    lines = [f"{count:,} {word}" for word, count in counts.items() if count]
    finite = array[numpy.isfinite(array)]
    if finite.size:
        low, mean, high = (f"{one:.3g}" for one in (finite.min(), finite.mean(), finite.max()))
        lines += [f"mean {mean}", f"{low} … {high}"]
    return [line.replace("-", "−") for line in lines] or ["empty"]


def even(length: float) -> int:
    """Round a length up to an even number of points, lest lines have kinks."""
    return 2 * ceil(length / 2)


# ---------------------------------------------------------------- wires


class Wire:
    """What stands above and below one line, and how wide that is."""

    def __init__(self, arrow: Arrow, numbers: Numbers):
        self.arrow = arrow
        node = arrow.tail.nodes[0]
        value = numbers.values.get(node)
        if arrow.head.role == "result":
            gradient = numbers.gradients.get(node)
        else:
            gradient = numbers.contributions.get((arrow.head.nodes[0], arrow.slot))
        self.above = [] if value is None else [Block(value, "ink")]
        self.below = [] if gradient is None else [Block(gradient, "gradient")]
        self.captions = captions(arrow, value is None, gradient is None and not numbers.changed)
        blocks = self.above + self.below
        self.column = max((one.column for one in blocks), default=0)
        self.width = 2 * SIDE + max((one.width(self.column) for one in blocks), default=2 * SIDE)

    def draw(self, drawing: Drawing, width: int) -> None:
        """Draw the line: a node of its own, for only a label has places above and below."""
        arrow, column = self.arrow, self.column
        # As much above as below, since Graphviz puts the middle of nodes on one height.
        high = sum(one.height for one in self.above)
        low = sum(one.height for one in self.below) + 12 * len(self.captions)
        colour = "broadcast" if arrow.stretched else "line"
        colour = colour if arrow.gradient else "const border"
        back = style.font(f"←{SPACE}", 11, "gradient")
        rows = [
            *blank(low - high),
            *(f"<td>{one.table(column)}</td>" for one in self.above),
            *blank(3),
            segment(width, colour, arrow.gradient),
            *blank(3),
            *(f"<td>{one.table(column, back)}</td>" for one in self.below),
            *(f'<td height="12">{text}</td>' for text in self.captions),
            *blank(high - low),
        ]
        name = f"w_{arrow.tail.id}_{arrow.head.id}_{arrow.slot}"
        drawing.node(
            name, f"<{style.table(rows)}>", id=name, shape="plain", width="0", height="0",
            margin="0", **{"class": "wire"},
        )  # fmt: skip
        drawing.sentences[name] = arrow.sentence
        look = {"color": style.LIGHT[colour], "weight": "12" if arrow.tail.role == "op" else "3"}
        if not arrow.gradient:
            look["style"] = "dashed"
        end = {"arrowhead": "crow", "arrowsize": ".8"} if arrow.stretched else {}
        drawing.edge(arrow.tail.id, f"{name}:l:w", id=f"{arrow.id}_from", dir="none", **look)
        drawing.edge(f"{name}:l:e", arrow.head.id, id=f"{arrow.id}_to", **look, **end)


def widths(wires: list[Wire]) -> list[int]:
    """Return how long the lines are that go as far from the result: those that stand in a row.

    Graphviz leaves a gap between an arrow and a node that is narrower than others of its row.
    """
    levels: dict[Box, int] = {}
    longest: dict[int, int] = {}
    for wire in reversed(wires):  # the readers of a value come after it
        head, tail = wire.arrow.head, wire.arrow.tail
        level = levels.setdefault(head, 0)
        levels[tail] = max(levels.get(tail, 0), level + 1)
        longest[level] = max(longest.get(level, 0), wire.width)
    return [longest[levels[wire.arrow.head]] for wire in wires]


def captions(arrow: Arrow, unknown: bool, waiting: bool) -> list[str]:
    """Write what stands below a line besides the gradient: names, shapes, what is not yet there."""
    node = arrow.tail.nodes[0]
    lines = []
    if arrow.gradient and waiting:
        lines.append(style.font("← not yet", 9, "gradient"))
    if node.plan is not None and node.name and arrow.head.role != "result":
        lines.append(style.font(graph.short(graph.name_of(node)), 9, "mute", bold=True))
    if arrow.stretched:
        lines += [style.font(line, 9, "broadcast") for line in arrow.stretched]
    elif node.shape or unknown:
        lines.append(style.font(graph.shape_text(node.shape), 9, "mute"))
    return lines


def blank(height: int) -> list[str]:
    """Leave a space between rows."""
    return [f'<td height="{height}"></td>'] if height > 0 else []


def segment(width: int, colour: str, gradient: bool) -> str:
    """Write the line as a row of the table, in dashes where no gradient flows."""
    fill = f'height="2" bgcolor="{style.LIGHT[colour]}"'
    if gradient:
        return f'<td port="l" cellpadding="0" width="{width}" {fill}></td>'
    dash, gap = f'<td width="5" {fill}></td>', '<td width="5" height="2"></td>'
    dashes = gap.join([dash] * ceil(width / 10))
    return f'<td port="l" cellpadding="0">{style.table([dashes])}</td>'
