"""What a picture shows: boxes, arrows and regions, read off a recorded graph.

A pure function of the graph. How a box looks, and in which language it is drawn, is not known here.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from math import prod
from operator import attrgetter
from typing import Any

import numpy

from tinygraph.rules.table import Parameter, Rule, Shapes
from tinygraph.tape import Cell, Leaf, Node, Scope, operands, reachable
from tinygraph.tensor import Tensor

WIDE = 12  # operations that fit beside each other; more are drawn from top to bottom
LONGEST = 80  # characters of a name that a box shows
TOLD = 30  # operations that the summary names
ROLES = {
    "param": "parameter", "input": "input", "const": "constant", "op": "operation",
    "view": "view", "result": "result",
}  # fmt: skip


# ---------------------------------------------------------------- what a picture is made of


@dataclass(eq=False)
class Region:
    """A scope that is drawn around what was recorded in it; the outermost has no name."""

    id: str = ""
    name: str = ""
    parent: "Region | None" = None
    depth: int = -1
    boxes: list["Box"] = field(default_factory=list)
    regions: list["Region"] = field(default_factory=list)

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
    a broadcast, if there is one. `bad` says what is wrong with the values that flow "forward" over
    it, and with the gradients that flow "back".
    """

    tail: Box
    head: Box
    slot: int
    gradient: bool
    spine: bool
    sentence: str
    mark: str = ""
    stretched: tuple[str, ...] = ()
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

    `roots` are the results on the tape, `direction` is what was asked for, and `notes` what the
    head says besides.
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
    notes: list[str] = field(default_factory=list)


# ---------------------------------------------------------------- text


def plain(text: str) -> str:
    """Write what cannot be seen (control characters, marks of direction) as its escape."""
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )


def short(text: str) -> str:
    """Cut a name to what a box has room for."""
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def name_of(node: Any) -> str:
    """Return the name that the user gave, or nothing."""
    return plain(node.name or "")


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


def is_array(operand: Any) -> bool:
    """Tell what has a place in the graph from a number that is written into its operation."""
    return isinstance(operand, Node | Leaf)


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
        return rule.symbol
    if is_infix(rule, len(inputs)) and (rule.commutative or is_array(inputs[0])):
        return f"{rule.symbol} {numbers[0]}"
    return written(rule, ["·" if is_array(one) else number(one) for one in inputs])


def heading(node: Node) -> str:
    """Name an operation, with the numbers among its operands written into it."""
    rule, inputs = node.plan.rule, node.inputs
    if all(map(is_array, inputs)):
        return rule.name
    return f"{rule.name} {sign_of(node)}" if is_infix(rule, len(inputs)) else sign_of(node)


def setting(name: str, meaning: Parameter, value: Any) -> str:
    """Write a parameter of an operation; nothing where the shape of the result says it."""
    match meaning:
        case Parameter.SHAPE | Parameter.WIDER_SHAPE | Parameter.INDEXED_SHAPE:
            return ""
        case Parameter.INDEX:
            parts = value if isinstance(value, tuple) else (value,)
            return f"[{', '.join(map(index_text, parts))}]"
        case Parameter.DTYPE:
            return f"to {value}"
        case Parameter.FLAG:
            return name if value else ""
    if isinstance(value, tuple) and len(value) == 1:
        value = value[0]
    if isinstance(value, tuple):
        name = "axes"
    return f"{name} {value}".replace("-", "−")


def settings_of(node: Node) -> str:
    """Write all parameters of an operation that are not its defaults."""
    rule = node.plan.rule
    texts = [
        setting(key, rule.parameters[key], value)
        for key, value in node.params.items()
        if not (key in rule.defaults and rule.defaults[key] is value) and key in rule.parameters
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

    def __init__(self, nodes: list[Any]):
        scopes: dict[Scope, None] = {}
        counts: Counter[Scope | None] = Counter()
        for node in nodes:
            chain, scope = [], node.scope
            counts[scope] += node.scope is not None
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
                parent.regions.append(region)
                self.drawn.append(region)
                self.of[scope] = region

    def common(self, scopes: Iterable[Scope | None]) -> Region:
        """Return the innermost region that has all these scopes in it."""
        regions = [self.of[scope] for scope in dict.fromkeys(scopes)]
        found = regions.pop() if regions else self.outside
        for other in regions:
            while found is not other:
                if found.depth >= other.depth:
                    found = found.parent or self.outside
                else:
                    other = other.parent or self.outside
        return found


def role_of(node: Any) -> str:
    """Return what part a node plays."""
    if node.plan is not None:
        return "view" if node.plan.rule.view else "op"
    if node.requires_grad:
        return "param"
    return "input" if (node.shape or node.name) and not node.detached else "const"


def spine_from(root: Any) -> list[Any]:
    """Walk back through the deepest input that is no parameter: what a reader's eye follows."""
    path = [root]
    while True:
        onward = [
            one
            for one in path[-1].inputs
            if is_array(one) and role_of(one) not in ("param", "const")
        ]
        if not onward:
            return path
        path.append(max(onward, key=attrgetter("position")))


# ---------------------------------------------------------------- boxes


def leaf_lines(leaf: Leaf, role: str) -> list[tuple[str, str]]:
    """Say what a leaf is called, or, if it has no name, what it is."""
    name = short(name_of(leaf))
    if role == "const" and not leaf.shape and not leaf.detached:
        return [("text", "changed" if leaf.data is None else number(leaf.data.item()))]
    first = ("name", name) if name else ("text", "detached" if leaf.detached else ROLES[role])
    extra = [("mute", "detached")] if name and leaf.detached else []
    return [first, *extra, ("mute", shape_text(leaf.shape))]


def op_lines(node: Node, scope: str, result: bool) -> list[tuple[str, str]]:
    """Say what an operation does; the name of a result stands in its own box."""
    rule = node.plan.rule
    name = short(name_of(node))
    text = heading(node)
    lines = [("name", short(scope))] if scope else []
    lines.append(("text", text if result or not name else f"{name} = {text}"))
    if needs_order(node) and all(names := operand_names(node)):
        lines.append(("mute", short(written(rule, names))))
    if settings := settings_of(node):
        lines.append(("mute", settings))
    return [*lines, ("mute", shape_text(node.shape))]


def needs_order(node: Node) -> bool:
    """Whether it matters which operand is the first, and the heading does not say it."""
    arrays = sum(map(is_array, node.inputs))
    return arrays > 1 and not node.plan.rule.commutative


def could_be_swapped(node: Node) -> bool:
    """Whether two operands are values of one kind, so that a reader could mistake their order."""
    domain = node.plan.rule.domain
    kinds = [
        domain[min(i, len(domain) - 1)].of for i, one in enumerate(node.inputs) if is_array(one)
    ]
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
    subject = f"{name} = {rule.name}" if name else rule.name
    return f"{subject}: {sign.join(parts)} → {what}"


def value_text(tensor: Tensor) -> str:
    """Return the value of a scalar, the shape of anything larger."""
    return shape_text(tensor.shape) if tensor.shape else number(tensor.data.item())


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
        over = f"ax{'is' if len(axes) == 1 else 'es'} {', '.join(map(str, axes))}"
    return there, f"back: sum over {over}"


# ---------------------------------------------------------------- the whole


def read(
    title: str,
    results: list[tuple[str, Tensor]],
    direction: str | None = None,
    besides: Iterable[Leaf] = (),
) -> Picture:
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
    """
    roots = [tensor._node or Leaf(tensor.data, Cell()) for _, tensor in results]
    nodes = [*tape_order(roots), *besides]
    made = [node for node in nodes if node.plan is not None]
    horizontal = direction == "LR" or (direction is None and len(made) <= WIDE)
    majority = Counter(str(node.dtype) for node in nodes).most_common(1)[0][0]
    deepest = max(roots, key=attrgetter("position"))
    spine = spine_from(deepest)
    onward = {tail: head for head, tail in pairwise(spine)}

    regions, ends, on_spine = Regions(nodes), set(roots), set(spine)
    readers: dict[Any, list[Scope | None]] = {node: [] for node in nodes}
    for node in made:
        for one in filter(is_array, node.inputs):
            readers[one].append(node.scope)
    boxes: dict[Any, Box] = {}
    for node in nodes:
        role = role_of(node)
        if node.plan is not None:
            region = regions.of[node.scope]
            lines = op_lines(node, regions.single.get(node.scope, ""), node in ends)
        else:
            region = regions.outside if role == "input" else regions.common(readers[node])
            lines = leaf_lines(node, role)
        if str(node.dtype) != majority:
            weight, text = lines.pop()
            lines.append((weight, f"{text} {node.dtype}"))
        sentence = sentence_of(node, role)
        main = node in on_spine
        boxes[node] = Box(f"n{len(boxes)}", role, lines, sentence, region, main, (node,))
    arrows = [arrow for node in made for arrow in arrows_into(node, boxes, onward, horizontal)]

    shown = []  # results are not on the tape: they are drawn besides
    for i, (root, (name, tensor)) in enumerate(zip(roots, results, strict=True)):
        name, value, main = plain(name), value_text(tensor), root is deepest
        lines = [("name", short(name)), ("mute", value)]
        end = Box(f"r{i}", "result", lines, f"result {name}: {value}", regions.outside, main)
        back = root.requires_grad
        arrows.append(Arrow(boxes[root], end, 0, back, main, arrow_sentence(root, name, back)))
        shown.append(end)
    everything = [*boxes.values(), *shown]
    for box in everything:
        box.region.boxes.append(box)

    caption = caption_of(nodes, len(made), majority)
    return Picture(
        plain(title), caption, summary_of(caption, made), horizontal, regions.outside,
        everything, arrows, regions.drawn, roots, direction,
    )  # fmt: skip


def arrows_into(
    node: Node, boxes: dict[Any, Box], onward: dict[Any, Any], horizontal: bool
) -> Iterator[Arrow]:
    """Give an arrow for each operand of an operation, in their order."""
    numbered = needs_order(node) and could_be_swapped(node) and not all(operand_names(node))
    slots = set(node.plan.slots)  # the operands that get a gradient
    for slot, one in enumerate(node.inputs):
        if not is_array(one):
            continue
        back = slot in slots and one.requires_grad
        lines = broadcast_lines(node, slot, back, horizontal)
        yield Arrow(
            boxes[one], boxes[node], slot, back, onward.get(one) is node,
            arrow_sentence(one, node.plan.rule.name, back, " ".join(lines)),
            str(slot + 1) if numbered else "", lines,
        )  # fmt: skip


def arrow_sentence(tail: Any, head: str, gradient: bool, broadcast: str = "") -> str:
    """Say where an arrow comes from, where it goes, and what happens on it."""
    source = name_of(tail) or (tail.plan.rule.name if tail.plan else ROLES[role_of(tail)])
    notes = ", ".join(filter(None, (broadcast, "" if gradient else "no gradient")))
    return f"{source} → {head} ({notes})" if notes else f"{source} → {head}"


def caption_of(nodes: list[Any], operations: int, majority: str) -> str:
    """Count what is in a picture."""
    parameters = [node for node in nodes if role_of(node) == "param"]
    mixed = any(str(node.dtype) != majority for node in nodes)
    parts = [several(operations, "operation")]
    if parameters:
        values = sum(prod(node.shape) for node in parameters)
        parts.append(f"{several(len(parameters), 'parameter')} ({several(values, 'value')})")
    return " · ".join([*parts, f"{majority} unless noted" if mixed else majority])


def summary_of(caption: str, made: list[Node]) -> str:
    """Tell a picture in one sentence, the operations in their order."""
    if not made:
        return f"{caption}."
    order = ", ".join(node.plan.rule.name for node in made[:TOLD])
    more = f" and {len(made) - TOLD:,} more" if len(made) > TOLD else ""
    return f"{caption}; in order: {order}{more}."
