"""The textbook picture: circles, with values above the lines and gradients below them."""

from collections import Counter
from math import ceil
from typing import Any

from tinygraph.errors import ArgumentError

from . import graph, style
from .engine import Drawing
from .graph import Arrow, Box, Picture
from .numbers import Numbers, about, entries

MOST = 30  # operations; with more the numbers could not be read
SMALL = 4  # rows and columns of an array that is written out
SIDE = 18  # points beside an array, in which the arrow beside a gradient stands
GAP = 4  # points between an array and the line, from top to bottom
PAGE = 1100  # points that a picture from left to right may be wide
NODE = 66  # points that an operation takes with the space around it
SPACE = "\u00a0"
WORDS = ("above", "below", "→", "←", "top to bottom")
WORDS_DOWN = ("left of", "right", "↓", "↑", "left to right")
ROLES = {"param": "variable", "input": "input", "const": "constant"}


def draw(picture: Picture, *, legend: bool = True, numbers: Numbers | None = None) -> Drawing:
    """Write a picture with the numbers on its lines in the DOT language."""
    count = sum(box.role in graph.OPERATIONS for box in picture.boxes)
    if count > MOST:
        raise ArgumentError(
            f"to_dot: style 'textbook' shows at most {MOST} operations, and this graph has "
            f"{count:,}. Draw a part of it, or use style='structure'."
        )
    numbers = numbers or Numbers(picture)
    wires = [Wire(arrow, numbers) for arrow in picture.arrows]
    horizontal = picture.direction == "LR"
    if picture.direction is None:
        lengths = rows(wires, horizontal=True)
        horizontal = sum(lengths.values()) + NODE * len(lengths) <= PAGE
    drawing = Drawing.of(
        picture, len(picture.boxes) + len(picture.arrows),
        graph_attr={**style.GRAPH, "rankdir": "LR" if horizontal else "TB", "nodesep": ".3",
                    "ranksep": ".2", "label": head(picture, numbers, legend, horizontal)},
        edge_attr={**style.EDGE, "penwidth": "2"},
    )  # fmt: skip
    readers = Counter(arrow.tail for arrow in picture.arrows)
    for box in picture.boxes:
        total = numbers.gradients.get(box.nodes[0]) if readers[box] > 1 else None
        added = [] if total is None else [total_text(total)]
        look = operation(box, added) if box.role in ("op", "view") else leaf(box, added)
        drawing.node(box.id, id=box.id, **{"class": box.role}, **look)
    lengths = rows(wires, horizontal)
    for wire in wires:
        wire.draw(drawing, lengths[wire.row], horizontal)
    return drawing


def head(picture: Picture, numbers: Numbers, legend: bool, horizontal: bool) -> str:
    """Write the title, what stands beside the lines, and what the signs mean."""
    caption = picture.caption.replace(graph.ROLES["param"], ROLES["param"])
    near, far, on, back, order = WORDS if horizontal else WORDS_DOWN
    key = style.font(f"{near} the line: value {on}", 10, "ink")
    if numbers.changed:
        caption += f" · shapes for numbers: {numbers.missing}"
    elif numbers.missing:
        caption += f" · no gradients: {numbers.missing}"
    else:
        result = next(box for box in picture.boxes if box.role == "result")
        gradient = f"{far}: {back} gradient {graph.derivative(result.lines[0][1], '(value)')}"
        key += style.font(f"{6 * SPACE}{gradient}", 10, "gradient")
    signs: list[str] = []
    if legend and len({box.role for box in picture.boxes} & set(ROLES)) > 1:
        signs = style.signs(picture, ROLES)
        if any(box.role == "op" and graph.needs_order(box.nodes[0]) for box in picture.boxes):
            signs.append(style.sign(f"operands from {order}", "mute"))
    return style.head(picture, [style.font(caption, 9, "mute"), key], signs)


# ---------------------------------------------------------------- boxes


def leaf(box: Box, added: list[str]) -> dict[str, str]:
    """Draw a leaf or a result by its name, with its gradient where several contributions meet."""
    label = style.stack([style.line(box, *box.lines[0]), *added], bad=box.bad)
    return {**style.LOOKS[box.role], **(style.BAD if box.bad else {}), "label": label}


def operation(box: Box, added: list[str]) -> dict[str, str]:
    """Draw an operation as a circle with its sign, or an ellipse with its name."""
    node = box.nodes[0]
    sign, settings = graph.sign_of(node), graph.settings_of(node)
    rows = [style.font(sign, 18 if len(sign) <= 2 else 12, "ink")]
    width, height = 0.52 if len(sign) <= 2 else max(0.8, 0.09 * len(sign) + 0.2), 0.52
    if settings:
        rows.append(style.font(settings, 9, "mute"))
        width, height = max(width, 0.065 * len(settings) + 0.3), 0.62
    size = {"fixedsize": "true", "width": f"{width:.2f}", "height": f"{height:.2f}"}
    return {
        **style.LOOKS["op"], "shape": "ellipse", "style": "filled", "penwidth": "1.4",
        **(style.FAULT if box.fault else style.BAD if box.bad else {}),
        "label": style.stack(rows + added, 3, box.bad),
        **({"margin": "0"} if added or box.bad else size), "ordering": "in",
    }  # fmt: skip


def total_text(total: Any) -> str:
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
        written = entries(array, SMALL)
        self.matrix = array.ndim > 0 and bool(written)
        self.texts = written or [[text] for text in about(array)]
        self.size, self.row = (10, 18 if self.matrix else 13) if array.ndim else (11, 16)
        longest = max(len(text) for row in self.texts for text in row)
        self.column = even(0.56 * self.size * longest + 4)
        self.height = self.row * len(self.texts)

    def width(self, column: int) -> int:
        """Return its width with columns of a width."""
        return even(len(self.texts[0]) * (column + 2) + (8 if self.matrix else 0))

    def table(self, column: int = 0) -> str:
        """Write it with columns of a width."""
        alignment = "right" if self.matrix else "center"
        shape = f'align="{alignment}" width="{column or self.column}" height="{self.row}"'
        rows = [
            "".join(f'<td {shape} cellpadding="1">{self.cell(text)}</td>' for text in texts)
            for texts in self.texts
        ]
        if self.matrix:
            look = f'width="4" color="{style.LIGHT[self.colour]}" border="1"'
            left, right = (
                f'<td rowspan="{len(rows)}" {look} sides="{one}TB"></td>' for one in "LR"
            )
            rows[0] = left + rows[0] + right
        return style.table(rows)

    def cell(self, text: str) -> str:
        """Write one entry; what is not finite stands out."""
        bad = "nan" in text or "inf" in text
        return style.font(text, self.size, "bad border" if bad else self.colour, bad)


def even(length: float) -> int:
    """Round a length up to an even number of points, lest lines have kinks."""
    return 2 * ceil(length / 2)


# ---------------------------------------------------------------- wires


class Wire:
    """What stands on both sides of one line.

    Attributes
    ----------
    row : int
        How many lines there are from here to the result, by the longest way.
    """

    row = 0

    def __init__(self, arrow: Arrow, numbers: Numbers):
        self.arrow = arrow
        node = arrow.tail.nodes[0]
        value = numbers.values.get(node)
        if arrow.head.role == "result":
            gradient = numbers.gradients.get(node)
        else:
            gradient = numbers.contributions.get((arrow.head.nodes[0], arrow.slot))
        self.value = [] if value is None else [Block(value, "ink")]
        self.gradient = [] if gradient is None else [Block(gradient, "gradient")]
        waits = arrow.gradient and gradient is None and not numbers.changed
        self.captions = captions(arrow, value is None, waits)
        blocks = self.value + self.gradient
        self.column = max((one.column for one in blocks), default=0)
        self.widest = max((one.width(self.column) for one in blocks), default=2 * SIDE)
        self.before = sum(one.height for one in self.value)
        self.after = sum(one.height for one in self.gradient) + 12 * len(self.captions)

    def length(self, horizontal: bool) -> int:
        """Return how long the line has to be."""
        down = max(self.before, self.after, 2 * SIDE)
        return even(2 * SIDE + self.widest if horizontal else down)

    def draw(self, drawing: Drawing, length: int, horizontal: bool) -> None:
        """Draw the line: a node of its own, for only a label has places on both sides."""
        arrow = self.arrow
        colour = "broadcast" if arrow.stretched else "line"
        colour = colour if arrow.gradient else "const border"
        line = segment(length, colour, arrow.gradient, horizontal)
        table = style.table(self.across(line, length) if horizontal else self.down(line, length))
        name = wire_id(arrow)
        plain = {"class": "wire", "shape": "plain", "width": "0", "height": "0", "margin": "0"}
        drawing.node(name, f"<{table}>", id=name, **plain)
        ids = name, f"{arrow.id}_from", f"{arrow.id}_to"
        drawing.sentences |= dict.fromkeys(ids, arrow.sentence)
        look = {"color": style.LIGHT[colour], "weight": "12" if arrow.tail.role == "op" else "3"}
        look |= {} if arrow.gradient else {"style": "dashed"}
        end = {"arrowhead": "crow", "arrowsize": ".8"} if arrow.stretched else {}
        into, out = ("w", "e") if horizontal else ("n", "s")
        drawing.edge(arrow.tail.id, f"{name}:l:{into}", id=f"{arrow.id}_from", dir="none", **look)
        drawing.edge(f"{name}:l:{out}", arrow.head.id, id=f"{arrow.id}_to", **look, **end)

    def across(self, line: str, length: int) -> list[str]:
        """Stack value, line, gradient and captions, with the line in the middle of the height."""

        def centred(block: Block, sign: str) -> str:
            margin = (length - block.width(self.column)) // 2
            return f"<td>{beside(block.table(self.column), margin, sign, margin)}</td>"

        values = [centred(one, "") for one in self.value]
        gradients = [centred(one, f"←{SPACE}") for one in self.gradient]
        captions = [f'<td height="12">{style.font(*one)}</td>' for one in self.captions]
        return [*blank(self.after - self.before), *values, *blank(3), line, *blank(3),
                *gradients, *captions, *blank(self.before - self.after)]  # fmt: skip

    def down(self, line: str, length: int) -> list[str]:
        """Set value, line, gradient with captions side by side, with the line in the middle."""
        texts = [0.5 * size * len(text) for text, size, *_ in self.captions]
        half = even(max([SIDE + self.widest, *texts]))

        def filled(blocks: list[Block], before: int, sign: str, captions: list, high: int) -> str:
            after = half - before
            column = self.column
            lines = [beside(one.table(column), before, sign, after - one.width(column))
                     for one in blocks]  # fmt: skip
            lines += [beside(style.font(*one), SIDE // 2, "", 0) for one in captions]
            top = (length - max(self.before, self.after)) // 2
            rows = [f'<td align="left">{one}</td>' for one in lines]
            return style.table([*blank(top), *rows, *blank(length - top - high)])

        width = self.value[0].width(self.column) if self.value else 0
        left = filled(self.value, half - width - GAP, "", [], self.before)
        right = filled(self.gradient, SIDE, f"↑{SPACE}", self.captions, self.after)
        return [line.join(f'<td width="{half}">{side}</td>' for side in (left, right))]


def wire_id(arrow: Arrow) -> str:
    """Return the id of the node that is drawn for a line."""
    return arrow.id.replace("e_", "w_", 1)


def rows(wires: list[Wire], horizontal: bool) -> dict[int, int]:
    """Find the row of each line, and return how long the lines of each row are.

    In a row all have the length of the longest: Graphviz leaves a gap between an arrow and a node
    that is narrower than others beside it.
    """
    levels: dict[Box, int] = {}
    longest: dict[int, int] = {}
    for wire in reversed(wires):  # the readers of a value come after it
        wire.row = levels.setdefault(wire.arrow.head, 0)
        levels[wire.arrow.tail] = max(levels.get(wire.arrow.tail, 0), wire.row + 1)
        longest[wire.row] = max(longest.get(wire.row, 0), wire.length(horizontal))
    return longest


def captions(arrow: Arrow, unknown: bool, waits: bool) -> list[tuple]:
    """Say what stands beside a line besides the gradient: names, shapes, what is not yet there."""
    node = arrow.tail.nodes[0]
    lines: list[tuple] = [("not yet", 9, "gradient")] if waits else []
    if node.plan is not None and node.name and arrow.head.role != "result":
        lines.append((graph.short(graph.name_of(node)), 9, "mute", True))
    if arrow.stretched:
        lines += [(line, 9, "broadcast") for line in arrow.stretched]
    elif node.shape or unknown:
        lines.append((graph.shape_text(node.shape), 9, "mute"))
    return lines


def beside(table: str, before: int, sign: str, after: int) -> str:
    """Put spaces on both sides of a table, and the arrow beside a gradient into the first."""
    sign = style.font(sign, 11, "gradient") if sign else ""
    cells = f'<td width="{before}" align="right">{sign}</td><td>{table}</td>'
    return style.table([f'{cells}<td width="{after}"></td>'])


def blank(height: int) -> list[str]:
    """Leave a space between rows."""
    return [f'<td height="{height}"></td>'] if height > 0 else []


def segment(length: int, colour: str, gradient: bool, horizontal: bool) -> str:
    """Write the line as a cell of the table, in dashes where no gradient flows."""
    fill = f'bgcolor="{style.LIGHT[colour]}"'
    size = 'width="{}" height="2"' if horizontal else 'width="2" height="{}"'
    if gradient:
        return f'<td port="l" cellpadding="0" {size.format(length)} {fill}></td>'
    gap = f"<td {size.format(5)}></td>"
    dashes = [gap if i % 2 else f"{gap[:4]}{fill} {gap[4:]}" for i in range(length // 5 | 1)]
    rows = ["".join(dashes)] if horizontal else dashes
    return f'<td port="l" cellpadding="0">{style.table(rows)}</td>'
