"""The page to step through: the picture, and what each operation does forward and backward.

One file that needs nothing else. What it shows is computed here; its script only turns the steps.
"""

import hashlib
import json
import re
from base64 import b64encode
from collections.abc import Iterator
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

import numpy

from tinygraph.errors import ArgumentError
from tinygraph.rules.formula import explained, forward_formula, residual_formula, vjp_formula
from tinygraph.rules.table import Parameter
from tinygraph.tape import Leaf

from . import graph, structure, textbook
from .graph import Box, Picture, is_array, name_of, several, shape_text
from .numbers import Numbers
from .style import LIGHT, PALETTE

MOST = 500  # steps in each direction
SMALL = 4  # rows and columns of an array that is written out
TOLD = 12  # arrays of a folded box that are shown
OPERATIONS = ("op", "view", "folded")


def write_page(
    picture: Picture, *, style: str | None = None, legend: bool = True, timeout: float | None = None
) -> str:
    """Return a picture as an HTML page that steps through it."""
    count = sum(box.role in OPERATIONS for box in picture.boxes)
    if count > MOST:
        raise ArgumentError(
            f"to_html: a page steps through at most {MOST} operations, and this graph has "
            f"{count:,}. Fold it with depth=, or draw a part of it."
        )
    numbers = Numbers(picture)
    readable = count <= textbook.MOST and all(box.role != "folded" for box in picture.boxes)
    if style == "textbook" or (style is None and readable):
        drawing = textbook.draw(picture, legend=legend, numbers=numbers)
    else:
        drawing = structure.draw(picture, legend=legend)
    story = Story(picture, numbers)
    for arrow in picture.arrows:
        node = story.sender(arrow)
        told = f"{arrow.sentence}: {shape_text(node.shape)} {node.dtype}"
        drawing.sentences |= dict.fromkeys(line_ids(arrow), told)
    svg = drawing.pipe("svg", encoding="utf-8", timeout=timeout)
    prefix = f"g{hashlib.sha256(drawing.source.encode()).hexdigest()[:8]}-"
    for step in story.steps:
        step["lit"] = [prefix + one for one in step["lit"]]
    svg = with_prefix(revealed(svg, story), prefix)  # type: ignore[arg-type]
    width, height = map(float, re.findall(r'\d[\d.]*(?=pt")', svg)[:2])
    script = resource("page.js")
    digest = b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return Template(resource("page.html")).substitute(
        title=escape(picture.title),
        colours=colours() + f"figure{{--least:{0.7 * width:.0f}pt}}",
        style=resource("page.css"),
        svg=svg.strip(),
        form="tall" if height > 0.6 * width else "wide",
        last=len(story.steps) - 1,
        steps=json.dumps(story.steps, ensure_ascii=False).replace("<", r"\u003c"),
        script=script,
        digest=f"sha256-{digest}",
    )


def resource(name: str) -> str:
    """Return a file that lies beside this one."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def colours() -> str:
    """Give the palette to the page, light and dark."""
    names = [(name.replace(" ", "-"), pair) for name, pair in PALETTE.items()]
    light, dark = ("".join(f"--{name}:{pair[i]};" for name, pair in names) for i in (0, 1))
    return f":root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}"


# ---------------------------------------------------------------- the picture on the page


WIRE = re.compile(r'<g id="([^"]*)" class="node')
LINES = tuple(LIGHT[name] for name in ("line", "const border", "broadcast"))
BACK = tuple(LIGHT[name] for name in ("gradient", "bad border"))


def with_prefix(svg: str, prefix: str) -> str:
    """Give each id a prefix, so that several pictures can stand in one page."""

    def changed(tag: re.Match) -> str:
        text = re.sub(r'(\sid=")', rf"\1{prefix}", tag[0])
        labels = re.search(r'aria-labelledby="([^"]*)"', text)
        if labels is None:
            return text
        return text.replace(labels[1], " ".join(prefix + one for one in labels[1].split()))

    return re.sub(r"<\w[^>]*>", changed, svg)


def revealed(svg: str, story: "Story") -> str:
    """Mark in an SVG from which step on each number is known."""
    lines, value, gradient, below, waiting = [], None, None, False, False
    for line in svg.split("\n"):
        if opened := WIRE.match(line):
            value, gradient = story.times.get(opened[1], (None, None))
            below, waiting = value is None, value is not None
        elif line.startswith("<g id="):
            value = gradient = None
            below = waiting = False
        tag = re.match(r"<(text|polygon|polyline|path)\b", line)
        painted = re.findall(r'(?:fill|stroke)="([^"]*)"', line)
        if tag and not below and value is not None:
            if painted[:1] and painted[0] in LINES and tag[1] == "polygon":
                below = True
            else:
                line = line.replace(tag[0], f'{tag[0]} data-from="{value}"', 1)
        elif tag and below and gradient is not None and any(one in BACK for one in painted):
            if waiting and tag[1] == "text":
                soon = re.sub(r">.*<", f">{line.partition('>')[2][0]} not yet<", line)
                soon = re.sub(r'font-size="[^"]*"', 'font-size="9.00"', soon)
                lines.append(soon.replace(tag[0], f'{tag[0]} data-until="{gradient}"', 1))
                waiting = False
            line = line.replace(tag[0], f'{tag[0]} data-from="{gradient}"', 1)
        if (
            tag
            and value is not None
            and tag[1] == "polygon"
            and painted[:1]
            and painted[0] in LINES
        ):
            line = line.replace(tag[0], f'{tag[0]} class="line"', 1)
        lines.append(line)
    return "\n".join(lines)


# ---------------------------------------------------------------- the steps


class Story:
    """What happens in a graph, step by step.

    Attributes
    ----------
    steps : list of dict
        What the page's script shows: the way, a title, formulas, notes, rows, and what is lit.
    times : dict
        For the id of a wire, the steps from which its value and its gradient are known; for that of
        a box, None and the step from which its gradient is. None where it never is.
    """

    def __init__(self, picture: Picture, numbers: Numbers):
        self.picture = picture
        self.numbers = numbers
        self.box_of = {node: box for box in picture.boxes for node in box.nodes}
        ends = [box for box in picture.boxes if box.role == "result"]
        self.ends = dict(zip(ends, picture.roots, strict=True))
        self.results = {root: box.lines[0][1] for box, root in self.ends.items()}
        self.result = next(iter(self.results.values()))
        self.parts: dict[Any, list[tuple[Any, int]]] = {}  # what contributes to each gradient
        for node, slot in numbers.contributions:
            self.parts.setdefault(node.inputs[slot], []).append((node, slot))

        self.forward = [box for box in picture.boxes if box.role in OPERATIONS]
        walked: dict[Box, None] = {}
        for node in numbers.gradients:
            if node.plan is not None:
                box = self.box_of[node]
                walked.pop(box, None)  # a folded one is done with the last of its operations
                walked[box] = None
        self.backward = list(walked)
        self.steps = [self.start(), *self.told("forward"), *self.told("backward")]
        for k, step in enumerate(self.steps):
            step["counter"] = f"step {k} of {len(self.steps) - 1}: {step['counter']}"
        self.times = self.known_from()

    def start(self) -> dict:
        """Describe what is there before the first operation."""
        there, back = len(self.forward), len(self.backward)
        notes = [
            f"{several(there, 'operation')} forward" + (f", then {back} back." if back else ".")
        ]
        if self.numbers.missing:
            notes.append(f"There is no way back: {self.numbers.missing}.")
        leaves = [box.nodes[0] for box in self.picture.boxes if box.nodes and box not in
                  self.forward]  # fmt: skip
        rows = [
            self.row(name_of(leaf) or graph.ROLES[graph.role_of(leaf)],
                     graph.ROLES[graph.role_of(leaf)] if name_of(leaf) else "",
                     leaf, self.numbers.values.get(leaf))
            for leaf in leaves[:TOLD]
        ]  # fmt: skip
        return {
            "way": "start", "title": self.picture.title, "counter": "start", "formula": [],
            "notes": notes + more(len(leaves)), "rows": rows, "lit": [],
        }  # fmt: skip

    def told(self, way: str) -> Iterator[dict]:
        """Describe the steps of one way, in their order."""
        boxes = self.forward if way == "forward" else self.backward
        for k, box in enumerate(boxes, 1):
            if box.role == "folded":
                title, formula, notes, rows = self.folded(box, way)
            else:
                describe = self.applied if way == "forward" else self.pulled
                formula, notes, rows = describe(box.nodes[0])
                title = title_of(box.nodes[0])
            yield {
                "way": way, "title": title, "counter": f"{way} {k} of {len(boxes)}",
                "formula": formula, "notes": notes, "rows": rows, "lit": self.lit(box),
            }  # fmt: skip

    def lit(self, box: Box) -> list[str]:
        """Return the ids of a box, which comes first, and of the lines that touch it."""
        ids = [box.id]
        for arrow in self.picture.arrows:
            if box in (arrow.tail, arrow.head):
                ids += line_ids(arrow)
        return ids

    def known_from(self) -> dict[str, tuple]:
        """Return the times at which numbers are known."""
        there = {box: k for k, box in enumerate(self.forward, 1)}
        back = {box: k for k, box in enumerate(self.backward, len(self.forward) + 1)}
        times: dict[str, tuple] = {}
        complete = dict(back)
        for arrow in self.picture.arrows:
            if arrow.head.role == "result":
                arrives = len(self.forward) + 1 if back else None
            else:
                arrives = back.get(arrow.head) if arrow.gradient else None
            times[wire_id(arrow)] = there.get(arrow.tail, 0), arrives
            if arrives and arrow.tail not in back:
                complete[arrow.tail] = max(arrives, complete.get(arrow.tail, 0))
        return times | {box.id: (None, k) for box, k in complete.items()}

    def sender(self, arrow: graph.Arrow) -> Any:
        """Return the node whose value a line stands for, the first if there are several."""
        if arrow.head in self.ends:
            return self.ends[arrow.head]
        read = (one for node in arrow.head.nodes for one in node.inputs if is_array(one))
        return next(one for one in read if self.box_of[one] is arrow.tail)

    # ------------------------------------------------------------ one operation

    def known(self, node: Any, **more: Any) -> dict | None:
        """Return what the names in the formulas of an operation stand for; None if unknown."""
        rule, values = node.plan.rule, self.numbers.values
        if node not in values:
            return None
        arrays = [values[one] if is_array(one) else one for one in node.inputs]
        known = {"xp": numpy, "y": values[node], **node.params, **more}
        if rule.variadic:
            return known | {"arrays": arrays, "shapes": tuple(one.shape for one in arrays)}
        named = dict(zip(rule.operands, arrays, strict=True))
        if rule.residual is not None:
            known["r"] = rule.residual(numpy, *arrays, **node.params)
        shapes = {f"{name}_shape": numpy.shape(one) for name, one in named.items()}
        return known | named | shapes

    def applied(self, node: Any) -> tuple[list, list, list]:
        """Describe how an operation computes its result."""
        rule = node.plan.rule
        with numpy.errstate(all="ignore"):
            known = self.known(node)
            before = set(known or ())
            text = forward_formula(rule, known) or f"y = {rule.name}({', '.join(rule.operands)})"
        lines = [*filter(None, [residual_formula(rule)]), *text.split("\n")]
        rows = [*self.operands(node), *self.others(node, known, before, "\n".join(lines))]
        name = self.results.get(node) or name_of(node)
        rows.append(self.row("y", f"= {name}" if name else "the result", node,
                             self.numbers.values.get(node)))  # fmt: skip
        notes = [f"{one}: {doc}" for one, doc in explained(rule, "\n".join(lines)).items()]
        if known is None:
            notes.append(f"Its numbers are unknown: {self.numbers.missing}.")
        return lines, notes, rows

    def pulled(self, node: Any) -> tuple[list, list, list]:
        """Describe how an operation gives its operands their gradients."""
        rule, numbers = node.plan.rule, self.numbers
        names, lines, notes, rest = operand_names(node), [], {}, []
        with numpy.errstate(all="ignore"):
            for slot in node.plan.slots[:1] if rule.variadic else node.plan.slots:
                known = self.known(node, g=numbers.gradients[node])
                before = set(known or ())
                text = vjp_formula(rule, slot, known)
                if text is None:
                    text = f"d{names[slot]} as the gradient of {rule.name} says"
                elif "r" in rule.reads[slot]:
                    lines += [residual_formula(rule)]
                lines += text.split("\n")
                notes |= explained(rule, text)
                rest += self.others(node, known, before, text)
        lines = list(dict.fromkeys(lines))
        text = "\n".join(lines)
        notes = [f"{one}: {doc}" for one, doc in notes.items()]
        if rule.convention:
            notes.append(f"Where there is no one derivative: {rule.convention}.")

        count = len(self.parts.get(node, ()))
        about = f"∂{self.result}/∂{name_of(node) or 'y'}"
        if count > 1:
            about += f", {several(count, 'contribution')} added"
        rows = [self.row("g", f"= {about}", node, numbers.gradients[node], True)]
        rows += [
            row for row in self.operands(node)
            if occurs(row[0].partition("[")[0], text)
        ]  # fmt: skip
        if occurs("y", text):
            rows.append(self.row("y", f"= {name_of(node)}" if name_of(node) else "the result",
                                 node, numbers.values[node]))  # fmt: skip
        rows += [row for i, row in enumerate(rest) if row not in rest[:i]]
        for slot in node.plan.slots:
            if (node, slot) not in numbers.contributions:
                continue
            operand = node.inputs[slot]
            if not rule.variadic:
                _, axes = graph.stretched(node, slot)
                if axes:
                    over = f"ax{'is' if len(axes) == 1 else 'es'} {', '.join(map(str, axes))}"
                    notes.append(
                        f"d{names[slot]} is then summed over {over}, along which {names[slot]} "
                        f"was stretched from {operand.shape}."
                    )
            rows.append(self.row(f"d{names[slot]}", f"→ {self.goes_to(operand)}", operand,
                                 numbers.contributions[node, slot], True))  # fmt: skip
        for operand in dict.fromkeys(node.inputs[slot] for slot in node.plan.slots):
            rows += self.sum_at(operand, node)
        return lines, notes, rows

    def sum_at(self, operand: Any, node: Any) -> Iterator[list]:
        """Show how contributions are added, when one arrives at what has some already."""
        parts = self.parts.get(operand, [])
        arrived = parts[
            : 1 + max((i for i, (one, _) in enumerate(parts) if one is node), default=-1)
        ]
        if len(arrived) < 2:
            return
        arrays = [self.numbers.contributions[one] for one in arrived]
        total = sum(arrays[1:], arrays[0])
        *terms, result = map(array_text, (*arrays, total))
        apart = "\n" if operand.shape else " "
        text = f"{apart}+{apart}".join(terms).replace("+ −", "− ") + f"{apart}={apart}{result}"
        count = several(len(parts), "contribution")
        if len(arrived) < len(parts):
            count = f"{len(arrived)} of {count} so far"
        row = self.row(self.derivative(operand), count, operand, total, True)
        yield [*row[:3], text, True]

    def goes_to(self, operand: Any) -> str:
        """Say where a gradient goes."""
        if isinstance(operand, Leaf):
            return f"{name_of(operand) or 'the leaf'}.grad"
        return self.derivative(operand) if name_of(operand) else heading_of(operand)

    def derivative(self, node: Any) -> str:
        """Name a gradient."""
        return f"∂{self.result}/∂{name_of(node) or f'({heading_of(node)})'}"

    def operands(self, node: Any) -> list[list]:
        """Give a row for each operand."""
        rows = []
        for name, one in zip(operand_names(node), node.inputs, strict=True):
            if not is_array(one):
                rows.append([name, "a number", "", graph.number(one), False])
                continue
            origin = heading_of(one) if isinstance(one, Leaf) else f"from {heading_of(one)}"
            about = f"= {name_of(one)}" if name_of(one) else origin
            rows.append(self.row(name, about, one, self.numbers.values.get(one)))
        return rows

    def others(self, node: Any, known: dict | None, before: set, text: str) -> list[list]:
        """Give rows for the parameters of an operation, and for what its formulas make."""
        rule, rows = node.plan.rule, []
        for name, value in node.params.items():
            if name in rule.parameters and occurs(name, text):
                index = rule.parameters[name] is Parameter.INDEX
                told = graph.setting(name, Parameter.INDEX, value) if index else str(value)
                rows.append([name, "setting", "", told.replace("-", "−"), False])
        if known is None:
            return rows
        for name in ("r", *(one for one in known if one not in before)):
            array = known.get(name)
            if occurs(name, text) and isinstance(array, numpy.ndarray | numpy.generic):
                rows.append(self.row(name, "on the way", array, numpy.asarray(array)))
        if rule.variadic and "shapes" in text:
            rows.append(["shapes", "of the arrays", "", str(known["shapes"])[1:-1], False])
        return rows

    def row(self, name: str, about: str, one: Any, array: Any, gradient: bool = False) -> list:
        """Show an array: its name, what it is, its shape and dtype, its entries."""
        text = "unknown" if array is None else array_text(array)
        return [name, about, f"{shape_text(one.shape)} {one.dtype}", text, gradient]

    # ------------------------------------------------------------ several drawn as one

    def folded(self, box: Box, way: str) -> tuple[str, list, list, list]:
        """Describe what goes into a folded box, and what comes out."""
        inside, numbers = set(box.nodes), self.numbers
        outside = dict.fromkeys(
            one
            for node in box.nodes
            for one in node.inputs
            if is_array(one) and (one not in inside or isinstance(one, Leaf))
        )
        ends = [
            node
            for node in box.nodes
            if node in self.results
            or any(self.box_of[one] is not box for one in self.readers(node))
        ]
        back = way == "backward"
        arrays = numbers.gradients if back else numbers.values
        sides = {"goes on": outside, "arrives": ends} if back else {
            "goes in": outside, "comes out": ends,
        }  # fmt: skip
        rows = [
            self.row(self.derivative(one) if back else name_of(one) or heading_of(one), word, one,
                     arrays.get(one), back)
            for word, nodes in sides.items()
            for one in nodes
            if not back or one in arrays
        ]  # fmt: skip
        if back:
            rows.reverse()
        title, *lines = (text for _, text in box.lines)
        return title, [], lines + more(len(rows)), rows[:TOLD]

    def readers(self, node: Any) -> list[Any]:
        """Return the operations that read a value."""
        if not hasattr(self, "_readers"):
            self._readers: dict[Any, list[Any]] = {}
            for one in self.box_of:
                for operand in one.inputs:
                    if is_array(operand):
                        self._readers.setdefault(operand, []).append(one)
        return self._readers.get(node, [])


# ---------------------------------------------------------------- text


def wire_id(arrow: graph.Arrow) -> str:
    """Return the id of the node that the textbook picture draws for a line."""
    return f"w_{arrow.tail.id}_{arrow.head.id}_{arrow.slot}"


def line_ids(arrow: graph.Arrow) -> list[str]:
    """Return the ids of all that a line may be drawn with, the wire first."""
    return [wire_id(arrow), arrow.id, f"{arrow.id}_from", f"{arrow.id}_to"]


def occurs(name: str, text: str) -> bool:
    """Whether a formula reads a name, as it is, transposed or squared."""
    return re.search(rf"\b{re.escape(name)}[ᵀ²]?(?!\w)", text) is not None


def more(count: int) -> list[str]:
    """Say that not all is shown."""
    return [f"… and {count - TOLD} more."] if count > TOLD else []


def operand_names(node: Any) -> list[str]:
    """Return what the formulas call the operands."""
    if node.plan.rule.variadic:
        return [f"arrays[{i}]" for i in range(len(node.inputs))]
    return list(node.plan.rule.operands)


def heading_of(node: Any) -> str:
    """Name something that the user gave no name."""
    return graph.heading(node) if node.plan is not None else graph.ROLES[graph.role_of(node)]


def title_of(node: Any) -> str:
    """Name an operation, with the scopes that it lies in."""
    name, scopes, scope = name_of(node), [], node.scope
    while scope is not None:
        scopes.append(graph.plain(scope.name))
        scope = scope.parent
    text = f"{name} = {graph.heading(node)}" if name else graph.heading(node)
    return " / ".join([*reversed(scopes), text])


def array_text(array: Any) -> str:
    """Write a small array out; of a larger one say its mean and its largest entry."""
    array = numpy.asarray(array)
    if not array.ndim:
        return entry(array[()])
    if array.ndim > 2 or not array.size or max(array.shape) > SMALL:
        return summary(array)
    cells = [[entry(one) for one in row] for row in numpy.atleast_2d(array)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    rows = [
        f"[{'  '.join(text.rjust(width) for text, width in zip(row, widths, strict=True))}]"
        for row in cells
    ]
    return rows[0] if array.ndim == 1 else "[" + "\n ".join(rows) + "]"


def entry(value: Any) -> str:
    """Write one number with six digits, an integer whole."""
    text = str(value.item()) if value.dtype.kind in "iub" else f"{value + 0.0:.6g}"
    return text.replace("-", "−")


def summary(array: Any) -> str:
    """Say of an array what can be said in a line."""
    array = array.astype(float)
    finite = array[numpy.isfinite(array)]
    parts = (
        [f"mean {finite.mean():.4g}, largest |·| {abs(finite).max():.4g}"] if finite.size else []
    )
    for word, bad in (("nan", numpy.isnan(array)), ("inf", numpy.isinf(array))):
        if bad.any():
            parts.append(f"{bad.sum():,} {word}")
    return ", ".join(parts).replace("-", "−") or "empty"
