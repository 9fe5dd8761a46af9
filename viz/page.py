"""The page to step through: the picture, and what each operation does forward and backward.

One file that needs nothing else. What it shows is computed here; its script only turns the steps.
"""

import hashlib
import json
import re
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

import numpy

from tinygraph.errors import ArgumentError
from tinygraph.rules.formula import explained, forward_formula, residual_formula, vjp_formula
from tinygraph.rules.table import Parameter, Rule
from tinygraph.tape import Leaf

from . import graph, structure, textbook
from .engine import with_prefix
from .folding import is_array
from .graph import Arrow, Box, Picture, called, name_of, several, shape_text, short
from .numbers import Numbers, about, entries
from .style import LIGHT, PALETTE

CONJUGATED = "Where numbers are complex, g goes in conjugated, and so comes what it gives."
MOST = 500  # steps in each direction
TOLD = 12  # arrays in one step, where there may be any number of them


def write_page(
    picture: Picture, *, style: str | None = None, legend: bool = True, timeout: float | None = None
) -> str:
    """Return a picture as an HTML page that steps through it."""
    count = sum(box.role in graph.OPERATIONS for box in picture.boxes)
    if count > MOST:
        raise ArgumentError(
            f"to_html: a page steps through at most {MOST} operations, and this graph has "
            f"{count:,}. Fold it with depth=, or draw a part of it."
        )
    numbers = Numbers(picture)
    readable = count <= textbook.MOST and all(box.role != "folded" for box in picture.boxes)
    drawing = structure.draw(picture, legend=legend)
    if style == "textbook" or (style is None and readable):
        drawing = textbook.draw(picture, legend=legend, numbers=numbers)
    story = Story(picture, numbers)
    for arrow in picture.arrows:
        node = story.sender(arrow)
        told = f"{arrow.sentence}: {shape_text(node.shape)} {node.dtype}"
        drawing.sentences |= dict.fromkeys(line_ids(arrow), told)
    prefix = drawing.prefix
    for step in story.steps:
        step["lit"] = [prefix + one for one in step["lit"]]
    svg = str(drawing.pipe("svg", encoding="utf-8", timeout=timeout))
    svg = with_prefix(revealed(svg, story.times), prefix)
    width, height = map(float, re.findall(r'\d[\d.]*(?=pt")', svg)[:2])
    page, script, style_sheet = (
        files(__package__).joinpath(f"page.{ending}").read_text("utf-8")
        for ending in ("html", "js", "css")
    )
    return Template(page).substitute(
        title=escape(picture.title or "Graph"), svg=svg.strip(), last=len(story.steps) - 1,
        colours=colours() + f"figure{{--least:{0.7 * width:.0f}pt}}", style=style_sheet,
        form="tall" if height > 0.6 * width else "wide", script=script,
        digest=f"sha256-{b64encode(hashlib.sha256(script.encode()).digest()).decode()}",
        steps=json.dumps(story.steps, ensure_ascii=False).replace("<", r"\u003c"),
    )  # fmt: skip


# ---------------------------------------------------------------- the picture on the page


def colours() -> str:
    """Give the palette to the page, light and dark."""
    names = {name: name.replace(" ", "-") for name in PALETTE}
    light, dark = ("".join(f"--{names[one]}:{PALETTE[one][i]};" for one in names) for i in (0, 1))
    return f":root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}"


NODE = re.compile(r'<g id="([^"]*)" class="node.*?</g>', re.S)
LINE = "|".join(
    f'<polygon fill="{LIGHT[name]}".*/>' for name in ("line", "const border", "broadcast")
)
BACK = "|".join(LIGHT[name] for name in ("gradient", "bad border"))


def revealed(svg: str, times: dict[str, tuple]) -> str:
    """Mark in an SVG from which step on each number is known, and where it stands till then."""

    def marked(node: re.Match) -> str:
        value, gradient = times.get(node[1], (None, None))
        before, line, after = "", "", node[0]
        if value is not None:
            before, line, after = re.split(rf"((?:{LINE})(?:\s*(?:{LINE}))*)", node[0], maxsplit=1)
            before = re.sub(r"<(?=text|poly)", f'<text data-from="{value}" ', before)
            before = re.sub(r"<text (data-from=\S+) (\w+)", r"<\2 \1", before)
            line = line.replace("<polygon", '<polygon class="line"')
        if gradient is not None:
            after = re.sub(
                rf'<(text|poly\w+)(?=[^>]*"(?:{BACK})")', rf'<\1 data-from="{gradient}"', after
            )
            if value is not None:
                after = re.sub(
                    rf'(<text )data-from(="{gradient}".* font-size=")[^"]*(".*>)([←↑]).*?</text>',
                    r"\1data-until\g<2>9\3\4 not yet</text>\n\g<0>", after, count=1,
                )  # fmt: skip
        return before + line + after

    return NODE.sub(marked, svg)


def line_ids(arrow: Arrow) -> list[str]:
    """Return the ids of all that a line may be drawn with."""
    return [textbook.wire_id(arrow), arrow.id, f"{arrow.id}_from", f"{arrow.id}_to"]


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
        self.picture, self.numbers = picture, numbers
        self.box_of = {node: box for box in picture.boxes for node in box.nodes}
        ends = [box for box in picture.boxes if box.role == "result"]
        self.ends = dict(zip(ends, picture.roots, strict=True))
        self.result = ends[0].lines[0][1]
        self.expected = Counter(node.inputs[slot] for node, slot in numbers.contributions)
        self.arrived: dict[Any, list] = {}  # what was added up to a gradient so far

        self.forward = [box for box in picture.boxes if box.role in graph.OPERATIONS]
        walked: dict[Box, None] = {}
        for node in numbers.gradients:
            if node.plan is not None:
                box = self.box_of[node]
                walked.pop(box, None)  # a folded one is done with the last of its operations
                walked[box] = None
        self.backward = list(walked)
        with numpy.errstate(all="ignore"):
            self.steps = [self.start(), *self.along("forward"), *self.along("backward")]
        for k, step in enumerate(self.steps):
            step["counter"] = f"step {k} of {len(self.steps) - 1}: {step['counter']}"
        self.times = self.known_from()

    def start(self) -> dict:
        """Describe what is there before the first operation."""
        there, back = several(len(self.forward), "operation"), len(self.backward)
        notes = [f"{there} forward, then {back} back." if back else f"{there} forward."]
        if self.numbers.missing:
            notes.append(f"There is no way back: {self.numbers.missing}.")
        rows = []
        for box in self.picture.boxes:
            if box.role in ("param", "input", "const"):
                words = [*filter(None, (name_of(box.nodes[0]), graph.ROLES[box.role])), ""]
                rows.append(self.row(words[0], words[1], box.nodes[0]))
        return {
            "way": "start", "title": self.picture.title, "counter": "start", "formula": [],
            "notes": notes + more(rows), "rows": rows[:TOLD], "lit": [],
        }  # fmt: skip

    def along(self, way: str) -> Iterator[dict]:
        """Describe the steps of one way."""
        boxes, describe = self.forward, self.applied
        if way == "backward":
            boxes, describe = self.backward, self.pulled
        for k, box in enumerate(boxes, 1):
            told = self.folded(box, way) if box.role == "folded" else describe(box)
            formula, notes, rows = told
            title = [text for weight, text in box.lines if weight != "mute"]
            region: Any = box.region
            while region is not None:
                title.insert(0, region.name)
                region = region.parent
            lit = [box.id]
            for arrow in self.picture.arrows:
                if box in (arrow.tail, arrow.head) and (way == "forward" or arrow.gradient):
                    lit += line_ids(arrow)
            yield {
                "way": way, "title": " / ".join(filter(None, title)), "formula": formula,
                "notes": notes, "rows": rows, "lit": lit, "counter": f"{way} {k} of {len(boxes)}",
            }  # fmt: skip

    def known_from(self) -> dict[str, tuple]:
        """Return the times at which numbers are known."""
        turn = len(self.forward) + 1
        there = {box: k for k, box in enumerate(self.forward, 1)}
        back = {box: k for k, box in enumerate(self.backward, turn)}
        ends = dict.fromkeys(self.ends, turn) if back else {}
        times: dict[str, tuple] = {}
        complete = dict(back)
        for arrow in self.picture.arrows:
            arrives = ends.get(arrow.head, back.get(arrow.head) if arrow.gradient else None)
            times[textbook.wire_id(arrow)] = there.get(arrow.tail, 0), arrives
            if arrives and arrow.tail not in back:
                complete[arrow.tail] = max(arrives, complete.get(arrow.tail, 0))
        return times | {box.id: (None, k) for box, k in complete.items()}

    def sender(self, arrow: Arrow) -> Any:
        """Return the node whose value a line stands for, the first if there are several."""
        if arrow.head in self.ends:
            return self.ends[arrow.head]
        read = (one for node in arrow.head.nodes for one in node.inputs if is_array(one))
        return next(one for one in read if self.box_of[one] is arrow.tail)

    # ------------------------------------------------------------ one step

    def applied(self, box: Box) -> tuple[list, list, list]:
        """Describe how an operation computes its result."""
        (node,) = box.nodes
        rule, known = node.plan.rule, self.known(node)
        text = forward_formula(rule, known) or f"y = {rule.name}({', '.join(rule.operands)})"
        lines, notes = written(rule, [residual_formula(rule), text])
        if known is None:
            notes.append(f"Its numbers are unknown: {self.numbers.missing}.")
        return lines, notes, [*self.names(node, known).values()]

    def pulled(self, box: Box) -> tuple[list, list, list]:
        """Describe how an operation gives its operands their gradients."""
        (node,) = box.nodes
        rule, names, slots = node.plan.rule, operand_names(node), node.plan.slots
        known = self.known(node, g=self.numbers.gradients[node])
        texts = [
            vjp_formula(rule, slot, known) or f"d{names[slot]} as the gradient of {rule.name} says"
            for slot in (slots[:1] if rule.variadic else slots)
        ]
        reads = {one for slot in slots for one in rule.reads[0 if rule.variadic else slot]}
        lines, notes = written(rule, [residual_formula(rule) if "r" in reads else None, *texts])
        if rule.convention:
            notes.append(f"Where there is no one derivative: {rule.convention}.")
        if node.plan.transposes and "c" in {one.dtype.kind for one in (node, *node.parents)}:
            notes.append(CONJUGATED)
        rows = [
            row for name, row in self.names(node, known).items()
            if name == "g" or occurs(name.partition("[")[0], "\n".join(lines))
        ]  # fmt: skip
        for slot, operand, array in self.given(box):
            axes = [] if rule.variadic else graph.stretched(node, slot)[1]
            if axes:
                notes.append(
                    f"d{names[slot]} is then summed over {graph.axes_text(axes)}, along which "
                    f"{names[slot]} was stretched from {operand.shape}."
                )
            end = self.derivative(called(operand))
            if isinstance(operand, Leaf):
                end = f"{name_of(operand) or 'the leaf'}.grad"
            rows.append(self.row(f"d{names[slot]}", f"→ {end}", operand, array, True))
        return lines, notes, rows + self.sums(node)

    def folded(self, box: Box, way: str) -> tuple[list, list, list]:
        """Describe what goes into a folded box, and what comes out."""
        arrows = self.picture.arrows
        inside = [node for node in box.nodes if isinstance(node, Leaf)]
        inputs = [*(self.sender(one) for one in arrows if one.head is box), *inside]
        outputs = dict.fromkeys(self.sender(one) for one in arrows if one.tail is box)
        if way == "forward":
            rows = [self.row(called(one), "goes in", one) for one in inputs]
            rows += [self.row(called(one), "comes out", one) for one in outputs]
        else:
            found = self.numbers.gradients
            rows = [
                self.row(self.derivative(called(one)), word, one, found[one], True)
                for word, nodes in (("arrives", outputs), ("goes on", inputs[::-1]))
                for one in nodes
                if one in found
            ]
            self.given(box)
        return [], [*(text for _, text in box.lines[1:]), *more(rows)], rows[:TOLD]

    def given(self, box: Box) -> list[tuple]:
        """Return what the operations of a box contribute to gradients, and add it up."""
        found = [
            (slot, node.inputs[slot], array)
            for (node, slot), array in self.numbers.contributions.items()
            if self.box_of[node] is box
        ]
        for _, operand, array in found:
            self.arrived.setdefault(operand, []).append(array)
        return found

    def sums(self, node: Any) -> list[list]:
        """Show how contributions are added, where one arrives at what has some already."""
        rows = []
        for operand in dict.fromkeys(node.inputs[slot] for slot in node.plan.slots):
            arrays, count = self.arrived.get(operand, []), self.expected[operand]
            if len(arrays) < 2:
                continue
            *terms, total = map(array_text, (*arrays, sum(arrays[1:], arrays[0])))
            space = "\n" if operand.shape else " "
            text = f"{space}+{space}".join(terms).replace("+ −", "− ") + f"{space}={space}{total}"
            about = several(count, "contribution")
            if len(arrays) < count:
                about = f"{len(arrays)} of {about} so far"
            rows.append(self.row(self.derivative(called(operand)), about, operand, text, True))
        return rows

    # ------------------------------------------------------------ names

    def known(self, node: Any, **more: Any) -> dict | None:
        """Return what the names in the formulas of an operation stand for; None if unknown."""
        rule, values = node.plan.rule, self.numbers.values
        if node not in values:
            return None
        arrays = [values[one] if is_array(one) else one for one in node.inputs]
        known = {"xp": numpy, "y": values[node], **node.params, **more}
        if rule.variadic:
            return known | {"arrays": arrays, "shapes": tuple(one.shape for one in arrays)}
        if rule.residual is not None:
            known["r"] = rule.residual(numpy, *arrays, **node.params)
        for name, one in zip(rule.operands, arrays, strict=True):
            known |= {name: one, f"{name}_shape": numpy.shape(one)}
        return known

    def names(self, node: Any, known: dict | None) -> dict[str, list]:
        """Give a row for each name in the formulas of an operation, with what they made."""
        rule, rows = node.plan.rule, {}
        if known and "g" in known:
            count = self.expected[node]
            added = f", {several(count, 'contribution')} added" if count > 1 else ""
            about = f"= {self.derivative(name_of(node) or 'y')}{added}"
            rows["g"] = self.row("g", about, node, known["g"], True)
        for name, one in zip(operand_names(node), node.inputs, strict=True):
            if is_array(one):
                word = "= " if one.name else "" if isinstance(one, Leaf) else "from "
                rows[name] = self.row(name, word + called(one), one)
            else:
                rows[name] = [name, "a number", "", graph.number(one), False]
        for name in filter(rule.parameters.__contains__, node.params):
            value = node.params[name]
            if rule.parameters[name] is Parameter.INDEX:
                value = graph.setting(name, Parameter.INDEX, value)
            rows[name] = [name, "setting", "", str(value).replace("-", "−"), False]
        for name, array in (known or {}).items():
            if name == "shapes":
                rows[name] = [name, "of the arrays", "", str(array)[1:-1], False]
            elif name not in ("y", *rows) and isinstance(array, numpy.ndarray | numpy.generic):
                rows[name] = self.row(name, "on the way", array, numpy.asarray(array))
        name = self.result if node in self.picture.roots else name_of(node)
        rows["y"] = self.row("y", f"= {name}" if name else "the result", node)
        return rows

    def derivative(self, name: str) -> str:
        """Name a gradient."""
        return graph.derivative(self.result, name)

    def row(
        self, name: str, about: str, one: Any, array: Any = None, gradient: bool = False
    ) -> list:
        """Show an array: its name, what it is, its shape and dtype, its entries or a text."""
        array = self.numbers.values.get(one, "unknown") if array is None else array
        text = array if isinstance(array, str) else array_text(array)
        return [short(name), short(about), f"{shape_text(one.shape)} {one.dtype}", text, gradient]


def written(rule: Rule, texts: list[str | None]) -> tuple[list[str], list[str]]:
    """Return the lines of some formulas, and what the functions in them do."""
    text = "\n".join(filter(None, texts))
    notes = [f"{name}: {doc}" for name, doc in explained(rule, text).items()]
    return [*dict.fromkeys(text.split("\n"))], notes


def occurs(name: str, text: str) -> bool:
    """Whether a formula reads a name, as it is, transposed or squared."""
    return re.search(rf"\b{name}[ᵀ²]?(?!\w)", text) is not None


def more(rows: list) -> list[str]:
    """Say that not all is shown."""
    return [f"… and {len(rows) - TOLD} more."] if len(rows) > TOLD else []


def operand_names(node: Any) -> list[str]:
    """Return what the formulas call the operands."""
    if node.plan.rule.variadic:
        return [f"arrays[{i}]" for i in range(len(node.inputs))]
    return list(node.plan.rule.operands)


def array_text(array: Any) -> str:
    """Write a small array out; of a larger one say its mean and its range."""
    array = numpy.asarray(array)
    cells = entries(array, textbook.SMALL, 6)
    if not array.ndim:
        return cells[0][0]
    if not cells:
        return ", ".join(about(array))
    width = max(len(text) for row in cells for text in row)
    rows = [f"[{'  '.join(text.rjust(width) for text in row)}]" for row in cells]
    return rows[0] if array.ndim == 1 else "[" + "\n ".join(rows) + "]"
