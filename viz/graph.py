"""What a picture shows: boxes, arrows and regions, read off a recorded graph.

A pure function of the graph. How a box looks, and in which language it is drawn, is not known here.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from math import prod
from operator import attrgetter
from typing import Any

import numpy

from tinygraph.modes import Scope
from tinygraph.rules.reductions import known
from tinygraph.rules.table import Parameter, Rule, Shapes
from tinygraph.tape import Backward, Cell, Leaf, Node, operands, reachable
from tinygraph.tensor import Tensor

from .folding import Unit, is_array, single, units_of

WIDE = 12  # operations that fit beside each other; more are drawn from top to bottom
LONGEST = 80  # characters of a name that a box shows
TOLD = 30  # operations that the summary names
OPERATIONS = ("op", "view", "folded")  # the roles of boxes for operations
STEPS = 4  # operations that a fold names
ROLES = {
    "param": "parameter", "input": "input", "const": "constant", "op": "operation",
    "view": "view", "folded": "folded", "result": "result",
}  # fmt: skip


# ---------------------------------------------------------------- what a picture is made of


@dataclass(eq=False)
class Region:
    """A scope that is drawn around what was recorded in it; the outermost has no name.

    It does not know what lies in it: they would keep each other alive, and with them the graph.
    """

    id: str = ""
    name: str = ""
    parent: "Region | None" = None
    depth: int = -1

    def inside(self, outer: "Region") -> bool:
        """Whether this is the other region, or lies in it."""
        region: Region | None = self
        while region is not None and region is not outer:
            region = region.parent
        return region is outer


@dataclass(eq=False)
class Box:
    """One node of the picture.

    Its lines are pairs of weight ("name", "text", "mute") and text; `nodes` is what it stands for
    on the tape, nothing for a result. `bad` are lines about what is wrong here, and `fault` says
    that it went wrong here first.
    """

    id: str
    role: str
    lines: list[tuple[str, str]]
    sentence: str
    region: Region
    spine: bool
    nodes: tuple[Any, ...] = ()
    bad: list[str] = field(default_factory=list)
    fault: bool = False


@dataclass(eq=False)
class Arrow:
    """One operand on its way to the operation that reads it.

    `mark` is the operand's place where the picture has to say it; `stretched` are the lines about
    a broadcast, if there is one; `shape` is told only where arrows are to tell it. `bad` says what
    is wrong with the values that flow "forward" over it, and with the gradients that flow "back".
    """

    tail: Box
    head: Box
    slot: int
    gradient: bool
    spine: bool
    sentence: str
    mark: str = ""
    stretched: tuple[str, ...] = ()
    shape: str = ""
    bad: dict[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The two boxes and the operand's place, by which x·x has two arrows."""
        return f"e_{self.tail.id}_{self.head.id}_{self.slot}"

    @property
    def enters(self) -> bool:
        """Whether it goes into a region from outside."""
        return not self.tail.region.inside(self.head.region)


@dataclass(eq=False)
class Picture:
    """All that is drawn, in the order of the tape.

    `roots` are the results on the tape, `direction` is what was asked for, `head` whether
    there is a head above it, and `notes` what that says besides.
    """

    title: str
    caption: str
    summary: str
    horizontal: bool
    outside: Region
    boxes: list[Box]
    arrows: list[Arrow]
    regions: list[Region]
    roots: list[Any]
    direction: str | None = None
    head: bool = True
    notes: list[str] = field(default_factory=list)


# ---------------------------------------------------------------- text


def plain(text: str) -> str:
    """Write what cannot be seen (control characters, marks of direction) as its escape."""
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def short(text: str) -> str:
    """Cut a name to what a box has room for."""
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def name_of(node: Any) -> str:
    """Return the name that the user gave, or nothing."""
    return plain(node.name or "")


def derivative(of: str, by: str) -> str:
    """Write a derivative; names that are several words or a derivative get brackets."""
    of, by = (f"({one})" if re.search(r"^[^(].*[ /]", one) else one for one in (of, by))
    return f"∂{of}/∂{by}"


def number(value: Any) -> str:
    """Write a number with four digits after the first, an integer whole."""
    whole = isinstance(value, int) and abs(value) < 10**6
    return (str(value) if whole else f"{value:.5g}").replace("-", "−")


def shape_text(shape: tuple) -> str:
    """Write a shape as Python does, and say of () what it means."""
    return str(tuple(shape)) if shape else "scalar ()"


def several(count: int, thing: str) -> str:
    """Count things in words."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def is_infix(rule: Rule, count: int) -> bool:
    """Whether an operation is written with a sign between its operands."""
    return count == 2 and rule.symbol != rule.name


def written(rule: Rule, parts: list[str]) -> str:
    """Write an operation on its operands as its user would."""
    if is_infix(rule, len(parts)):
        return f" {rule.symbol} ".join(parts)
    return f"{rule.name}({', '.join(parts)})"


def sign_of(node: Node) -> str:
    """Write an operation by its sign, with the numbers among its operands."""
    rule, inputs = node.plan.rule, node.inputs
    numbers = [number(one) for one in inputs if not is_array(one)]
    if not numbers:
        return "( )²" if rule.symbol == "²" else rule.symbol  # alone it looks like a number
    if is_infix(rule, len(inputs)) and (rule.commutative or is_array(inputs[0])):
        return f"{rule.symbol} {numbers[0]}"
    return written(rule, ["·" if is_array(one) else number(one) for one in inputs])


def heading(node: Any) -> str:
    """Say what a node is: an operation with the numbers among its operands, the role of a leaf."""
    if node.plan is None:
        return ROLES[role_of(node)]
    rule, inputs = node.plan.rule, node.inputs
    if all(map(is_array, inputs)):
        return rule.name
    return f"{rule.name} {sign_of(node)}" if is_infix(rule, len(inputs)) else sign_of(node)


def called(node: Any) -> str:
    """Return the name of a node, or what it is."""
    return name_of(node) or heading(node)


def window_text(window: tuple) -> str:
    """Write the size of a window, and what else is not as in the plainest one."""
    sizes, strides, dilations, before, after = zip(*window, strict=True)
    text = f"window {' × '.join(map(str, sizes))}"
    others = ("stride", strides, 1), ("dilation", dilations, 1), ("padding", before + after, 0)
    for word, found, plain in others:
        if set(found) != {plain}:
            text += f", {word} {found[0] if len(set(found)) == 1 else found}"
    return text


def setting(name: str, meaning: Parameter, value: Any) -> str:
    """Write a parameter of an operation; nothing where the shape of the result says it."""
    parts = value if isinstance(value, tuple) else (value,)
    match meaning:
        case Parameter.SHAPE | Parameter.WIDER_SHAPE | Parameter.INDEXED_SHAPE:
            return ""
        case Parameter.INDEX:
            return f"[{', '.join(map(index_text, parts))}]"
        case Parameter.DTYPE:
            return f"to {value}"
        case Parameter.WINDOW:
            return window_text(value)
        case Parameter.FLAG:
            return name if value else ""
    plural = "axes" if name == "axis" else name
    text = f"{name} {parts[0]}" if len(parts) == 1 else f"{plural} {value}"
    return text.replace("-", "−")


def settings_of(node: Node) -> str:
    """Write all parameters of an operation that are not its defaults."""
    rule = node.plan.rule
    texts = [
        setting(key, rule.parameters[key], value)
        for key, value in node.params.items()
        if key in rule.parameters and (key not in rule.defaults or rule.defaults[key] is not value)
    ]
    return short(", ".join(filter(None, texts)))


def index_text(part: Any) -> str:
    """Write one part of an index."""
    if isinstance(part, slice):
        text = ":".join("" if one is None else str(one) for one in (part.start, part.stop))
        return text if part.step is None else f"{text}:{part.step}"
    if isinstance(part, numpy.ndarray):
        return f"{'mask' if part.dtype.kind == 'b' else 'array'} {part.shape}"
    return "…" if part is Ellipsis else str(part)


# ---------------------------------------------------------------- order, regions, spine


def tape_order(roots: Iterable[Any]) -> list[Any]:
    """Return what the roots reach by rising position, each leaf just before its first reader."""
    rising = sorted(reachable(roots, links=operands), key=attrgetter("position"))
    order: dict[Any, None] = {}
    for node in rising:
        order.update((one, None) for one in node.inputs if isinstance(one, Leaf))
        if node.plan is not None:
            order[node] = None
    order.update((node, None) for node in rising)  # results that are leaves, read by nobody
    return list(order)


class Regions:
    """Where everything lies: a region for each scope, except for those around one operation."""

    def __init__(self, units: list[Unit]):
        scopes: dict[Scope, None] = {}
        counts = Counter(unit.scope for unit in units)
        for scope in [*counts]:
            chain = []
            while scope is not None and scope not in scopes:
                chain.append(scope)
                scope = scope.parent
            scopes.update(dict.fromkeys(reversed(chain)))  # so that outer scopes come first
        for scope in reversed(scopes):
            counts[scope.parent] += counts[scope]

        self.outside = Region()
        self.drawn: list[Region] = []
        self.of: dict[Scope | None, Region] = {None: self.outside}
        self.single: dict[Scope | None, str] = {}  # names of scopes drawn as their one operation
        for scope in scopes:
            parent, name = self.of[scope.parent], plain(scope.name)
            if counts[scope] == 1:
                self.of[scope] = parent
                outer = self.single.get(scope.parent)
                self.single[scope] = f"{outer} / {name}" if outer else name
            else:
                region = Region(f"scope{len(self.drawn) + 1}", name, parent, parent.depth + 1)
                self.drawn.append(region)
                self.of[scope] = region

    def common(self, scopes: Iterable[Scope | None]) -> Region:
        """Return the innermost region that has all these scopes in it."""
        regions = [self.of[scope] for scope in scopes]
        found: Any = regions[0] if regions else self.outside
        for other in regions:
            while not other.inside(found):
                found = found.parent
        return found


def role_of(node: Any) -> str:
    """Return what part a node plays."""
    if node.plan is not None:
        return "view" if node.plan.rule.view else "op"
    if node.requires_grad:
        return "param"
    return "input" if (node.shape or node.name) and not node.detached else "const"


def is_backward(scopes: dict[Scope | None, None]) -> bool:
    """Whether all that reads something was recorded by a walk back."""
    return bool(scopes) and all(isinstance(one, Backward) for one in scopes)


def spine_from(root: Any) -> list[Any]:
    """Walk back through the deepest input that is no parameter: what a reader's eye follows."""
    path, onward = [], [root]
    while onward:
        path.append(max(onward, key=attrgetter("position")))
        arrays = filter(is_array, path[-1].inputs)
        onward = [one for one in arrays if role_of(one) not in ("param", "const")]
    return path


# ---------------------------------------------------------------- boxes


def leaf_lines(leaf: Leaf, role: str) -> list[tuple[str, str]]:
    """Say what a leaf is called, or, if it has no name, what it is."""
    name = short(name_of(leaf))
    if role == "const" and not leaf.shape and not leaf.detached:
        return [("text", "changed" if leaf.data is None else number(known(leaf.data).item()))]
    # A constant array is what was detached, or what only a walk back reads.
    what = "detached" if leaf.detached else "gradient" if role == "const" else ROLES[role]
    lines = [("name", name)] if name else [("text", what)]
    lines += [("mute", "detached")] if name and leaf.detached else []
    return [*lines, ("mute", shape_text(leaf.shape))]


def op_lines(node: Node, scope: str, result: bool) -> list[tuple[str, str]]:
    """Say what an operation does; the name of a result stands in its own box."""
    name = "" if result or not node.name else f"{short(name_of(node))} = "
    lines = [("name", short(scope))] if scope else []
    lines.append(("text", name + heading(node)))
    if needs_order(node) and all(names := operand_names(node)):
        lines.append(("mute", short(written(node.plan.rule, names))))
    if settings := settings_of(node):
        lines.append(("mute", settings))
    return [*lines, ("mute", shape_text(node.shape))]


def needs_order(node: Node) -> bool:
    """Whether it matters which operand is the first, and the heading does not say it."""
    return sum(map(is_array, node.inputs)) > 1 and not node.plan.rule.commutative


def could_be_swapped(node: Node) -> bool:
    """Whether two operands are values of one kind, so that a reader could mistake their order."""
    domain, places = node.plan.rule.domain, range(len(node.inputs))
    kinds = [domain[min(i, len(domain) - 1)].of for i in places if is_array(node.inputs[i])]
    return len(set(kinds)) < len(kinds)


def operand_names(node: Node) -> list[str]:
    """Return what the operands are called, with nothing for those without a name."""
    return [short(name_of(one)) if is_array(one) else number(one) for one in node.inputs]


def sentence_of(node: Any, role: str) -> str:
    """Describe a node to somebody who does not see the picture."""
    name, what = name_of(node), f"{shape_text(node.shape)} {node.dtype}"
    if role not in ("op", "view"):
        return f"{ROLES[role]} {name}: {what}" if name else f"{ROLES[role]}: {what}"
    rule = node.plan.rule
    parts = [shape_text(one.shape) if is_array(one) else number(one) for one in node.inputs]
    sign = f" {rule.symbol} " if is_infix(rule, len(parts)) else ", "
    return f"{f'{name} = ' if name else ''}{rule.name}: {sign.join(parts)} → {what}"


# ---------------------------------------------------------------- folds


def steps(operations: list[Node], count: int = STEPS) -> str:
    """Name the first operations of a fold."""
    names = [node.plan.rule.name for node in operations[:count]]
    return " → ".join([*names, "…"] if len(operations) > count else names)


def fold_name(unit: Unit) -> str:
    """Name what is folded."""
    if unit.kind == "rest":
        return several(len(unit.nodes), "more node")
    if unit.kind == "chain":
        return f"{steps(unit.operations, STEPS // 2)} ({len(unit.operations):,} ops)"
    ends = dict.fromkeys(
        ", ".join(map(plain, names if len(names) < 3 else [*names[:2], "…"]))
        for names in unit.names
    )
    name = short(" … ".join(filter(None, ends)) or steps(unit.each))
    return f"{name} × {unit.count:,}" if unit.count > 1 else name


def fold_lines(unit: Unit, name: str, outputs: Iterable[Any], majority: str) -> list:
    """Say what is in a fold: the shape it gives, the first operations, how many of everything."""
    lines = [("name", name)]
    shapes = {(node.shape, str(node.dtype)) for node in outputs}
    if len(shapes) == 1:
        ((shape, dtype),) = shapes
        lines.append(("mute", shape_text(shape) + ("" if dtype == majority else f" {dtype}")))
    if any(unit.names) or unit.kind == "rest":
        lines.append(("mute", ("each: " if unit.count > 1 else "") + steps(unit.each)))
    inputs = sum(bool(leaf.name) and not leaf.requires_grad for leaf in unit.leaves)
    operations = "" if unit.kind == "chain" else several(len(unit.operations), "op")
    read = several(inputs, "input") if inputs else ""
    counts = [operations, parameters_text(unit.leaves), read]
    return [*lines, ("mute", " · ".join(filter(None, counts)))] if any(counts) else lines


def parameters_text(nodes: Iterable[Any]) -> str:
    """Count the parameters among some nodes, if there are any."""
    parameters = [node for node in nodes if role_of(node) == "param"]
    values = sum(prod(node.shape) for node in parameters)
    count = several(len(parameters), "parameter")
    return f"{count} ({several(values, 'value')})" if parameters else ""


# ---------------------------------------------------------------- arrows


def stretched(node: Node, slot: int) -> tuple[tuple[int, ...], list[int]]:
    """Return the shape to which an operand is broadcast, and the axes that are new in it."""
    rule, shape = node.plan.rule, node.inputs[slot].shape
    after = node.shape
    if rule.shapes is Shapes.MATMUL:  # the last two axes are multiplied, not broadcast
        after = numpy.broadcast_shapes(*(one.shape[:-2] for one in node.inputs)) + shape[-2:]
    if not rule.broadcasts or after == shape:
        return shape, []
    new = len(after) - len(shape)
    axes = [i for i, n in enumerate(after) if i < new or (shape[i - new] == 1 and n != 1)]
    return after, axes


def broadcast_lines(node: Node, slot: int, gradient: bool, horizontal: bool) -> tuple[str, ...]:
    """Say how an operand is broadcast, and over what its gradient is summed back."""
    after, axes = stretched(node, slot)
    if not axes:
        return ()
    there = f"{node.inputs[slot].shape} → {after}"
    if not gradient:
        return (there,)
    if len(after) == 2 and len(axes) == 1:
        lengths = several(after[axes[0]], ("row", "column")[axes[0]])
        over = f"the {lengths} (axis {axes[0]})"
        if horizontal:  # where a long label would push its neighbours apart
            return there, "back: sum over", over
    else:
        over = axes_text(axes)
    return there, f"back: sum over {over}"


def axes_text(axes: list[int]) -> str:
    """Write along which axes something happens."""
    return f"ax{'is' if len(axes) == 1 else 'es'} {', '.join(map(str, axes))}"


# ---------------------------------------------------------------- the whole


def read(
    title: str, results: list[tuple[str, Tensor]], direction: str | None = None,
    besides: Iterable[Leaf] = (), **folding: Any,
) -> Picture:  # fmt: skip
    """Describe what the results reach.

    Parameters
    ----------
    title : str
        What the picture is of.
    results : list of (name, Tensor)
        What is drawn at the end of it.
    direction : {"LR", "TB"}, optional
        By default left to right where that is not too long.
    besides : iterable of Leaf
        What is drawn although the results do not reach it.
    **folding
        As for `units_of`.
    """
    roots = [tensor._node or Leaf(tensor.data, Cell()) for _, tensor in results]
    nodes = tape_order(roots)
    units = [*units_of(nodes, roots, **folding), *map(single, besides)]
    nodes.extend(besides)
    made = [node for node in nodes if node.plan is not None]
    drawn = sum(bool(unit.operations) for unit in units)
    horizontal = direction == "LR" or (direction is None and drawn <= WIDE)
    majority = str(Counter(node.dtype for node in nodes).most_common(1)[0][0])
    deepest = max(roots, key=attrgetter("position"))
    spine = spine_from(deepest)
    onward = {tail: head for head, tail in pairwise(spine)}

    regions, ends, on_spine = Regions(units), set(roots), set(spine)
    home = {node: unit for unit in units for node in unit.nodes}
    outputs: dict[Unit, dict[Any, None]] = {unit: {} for unit in units}  # what others read
    readers: dict[Unit, dict[Scope | None, None]] = {unit: {} for unit in units}  # and where
    for root in roots:
        outputs[home[root]][root] = None
    for node in made:
        for one in filter(is_array, node.inputs):
            if home[one] is not home[node]:
                outputs[home[one]][one] = None
                readers[home[one]][home[node].scope] = None
    boxes: dict[Any, Box] = {}
    for i, unit in enumerate(units):
        outer = regions.single.get(unit.scope, "")
        region = regions.of[unit.scope]
        if unit.kind != "node":
            role, sentence = "folded", fold_name(unit)
            name = f"{outer} / {sentence}" if outer else sentence
            lines = fold_lines(unit, name, outputs[unit], majority)
            sentence = ": ".join([sentence, ", ".join(text for _, text in lines[1:])])
        else:
            (node,) = unit.nodes
            role = role_of(node)
            if role == "input" and not node.name and is_backward(readers[unit]):
                role = "const"
            sentence = sentence_of(node, role)
            if unit.operations:
                lines = op_lines(node, outer, node in ends)
            else:
                lines = leaf_lines(node, role)
                if role != "input":
                    region = regions.common(readers[unit])
            if str(node.dtype) != majority:
                weight, text = lines.pop()
                lines.append((weight, f"{text} {node.dtype}"))
        main = not on_spine.isdisjoint(unit.nodes)
        box = Box(f"n{i}", role, lines, sentence, region, main, unit.nodes)
        boxes.update(dict.fromkeys(unit.nodes, box))
    arrows = arrows_of(made, boxes, onward, horizontal)

    everything = [*dict.fromkeys(boxes.values())]
    for i, (root, (name, tensor)) in enumerate(zip(roots, results, strict=True)):
        name, main, back = plain(name), root is deepest, root.requires_grad
        value = shape_text(tensor.shape) if tensor.shape else number(tensor.item())
        lines = [("name", short(name)), ("mute", value)]
        # Results are not on the tape: they are drawn besides.
        end = Box(f"r{i}", "result", lines, f"result {name}: {value}", regions.outside, main)
        sentence = arrow_sentence(boxes[root], name, back)
        arrows.append(Arrow(boxes[root], end, 0, back, main, sentence))
        everything.append(end)

    caption = caption_of(nodes, len(made), drawn, majority)
    return Picture(
        plain(title), caption, summary_of(caption, everything), horizontal, regions.outside,
        everything, arrows, regions.drawn, roots, direction,
    )  # fmt: skip


def arrows_of(
    made: list[Node], boxes: dict[Any, Box], onward: dict[Any, Any], horizontal: bool
) -> list[Arrow]:
    """Give an arrow for each operand, in the order of the tape; with a fold, one for all."""
    arrows: dict[Any, Arrow] = {}
    for node in made:
        head = boxes[node]
        for slot, one in enumerate(node.inputs):
            if not is_array(one) or boxes[one] is head:
                continue
            tail = boxes[one]
            arrow = arrow_into(node, slot, tail, head, horizontal)
            arrow.spine = onward.get(one) is node
            several_alike = "folded" in (tail.role, head.role)
            first = arrows.setdefault((tail, head) if several_alike else arrow.id, arrow)
            if first is not arrow:
                first.gradient |= arrow.gradient
                first.spine |= arrow.spine
                first.mark, first.stretched = "", ()
    return [*arrows.values()]


def arrow_into(node: Node, slot: int, tail: Box, head: Box, horizontal: bool) -> Arrow:
    """Describe one operand on its way; inside a fold, there is no place to tell more."""
    one = node.inputs[slot]
    back = slot in node.plan.slots and one.requires_grad  # of those that get a gradient
    mark, name = "", head.lines[0][1]
    lines: tuple[str, ...] = ()
    if head.role != "folded":
        numbered = needs_order(node) and could_be_swapped(node) and not all(operand_names(node))
        mark, name = str(slot + 1) if numbered else "", node.plan.rule.name
        lines = broadcast_lines(node, slot, back, horizontal)
    sentence = arrow_sentence(tail, name, back, " ".join(lines))
    return Arrow(tail, head, slot, back, False, sentence, mark, lines)


def arrow_sentence(tail: Box, head: str, gradient: bool, broadcast: str = "") -> str:
    """Say where an arrow comes from, where it goes, and what happens on it."""
    notes = ", ".join(filter(None, (broadcast, "" if gradient else "no gradient")))
    name = tail.lines[0][1] if tail.role == "folded" else called(tail.nodes[0])
    return f"{name} → {head} ({notes})" if notes else f"{name} → {head}"


def caption_of(nodes: list[Any], operations: int, drawn: int, majority: str) -> str:
    """Count what is in a graph, and say as how much it is drawn."""
    mixed = any(str(dtype) != majority for dtype in {node.dtype for node in nodes})
    parts = [
        several(operations, "operation") + (f" drawn as {drawn:,}" if drawn < operations else ""),
        parameters_text(nodes),
        f"{majority} unless noted" if mixed else majority,
    ]
    return " · ".join(filter(None, parts))


def summary_of(caption: str, boxes: list[Box]) -> str:
    """Tell a picture in one sentence, the operations in their order."""
    names = [
        box.lines[0][1] if box.role == "folded" else box.nodes[0].plan.rule.name
        for box in boxes
        if box.role in OPERATIONS
    ]
    more = f" and {len(names) - TOLD:,} more" if len(names) > TOLD else ""
    return f"{caption}{'; in order: ' if names else ''}{', '.join(names[:TOLD])}{more}."
