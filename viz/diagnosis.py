"""What is wrong with the numbers of a graph, written onto its picture.

Where values and gradients stop being finite, gradients that do not arrive or are zero, relus that
are never on, gradients that vanish or explode. All of it is computed again from the graph.
"""

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from math import sqrt
from typing import Any

import numpy

from tinygraph.errors import DTypeError
from tinygraph.rules.formula import vjp_formula
from tinygraph.rules.table import Kind
from tinygraph.tape import Cell, Leaf
from tinygraph.tensor import Tensor

from .graph import (
    ROLES,
    Arrow,
    Box,
    Picture,
    is_array,
    name_of,
    number,
    role_of,
    short,
    spine_from,
    tape_order,
)
from .numbers import Numbers

ARROWS = "→←↓↑ "
LONG = 40  # characters of a formula that a box has room for
MOST = 3  # findings that a box tells
WRONG = ("not finite", "missing", "zero")  # what can be said of a parameter's gradient
RATIO = 1e4  # of gradients at the ends of a chain; healthy nets of 40 layers stay below 1e3
FEW_ROWS = 16  # in so few a healthy unit may well be 0 throughout


def annotate(picture: Picture, numbers: Numbers, params: dict[str, Tensor]) -> str:
    """Write what is wrong onto a picture, and return its headline, if there is a first fault."""
    check = _Check(picture, numbers)
    with numpy.errstate(all="ignore"):
        check.spreads()
        headline = check.faults()
        check.flows()
        check.parameters(params)
        check.dead()
        check.chain()
    check.tell()
    if headline:
        picture.summary = f"{headline}. {picture.summary}"
    return headline


def named(params: Any) -> dict[str, Tensor]:
    """Return the parameters that a caller names, as a dict or as the `params` of a model."""
    if params is None:
        return {}
    params = getattr(params, "params", params)
    if not isinstance(params, dict) or not all(isinstance(p, Tensor) for p in params.values()):
        raise DTypeError(
            "to_dot: params is a dict of Tensors under their names, or a model that has one as "
            f"its .params; this is {type(params).__name__}."
        )
    return {str(name): one for name, one in params.items()}


def unreached(params: dict[str, Tensor], results: Iterable[Tensor]) -> list[Leaf]:
    """Return stand-ins for the parameters that the results do not reach, to draw them besides."""
    reached = set(tape_order(one._node for one in results if one._node is not None))
    cells = {node.cell for node in reached if isinstance(node, Leaf)}
    return [
        Leaf(one.data, Cell(name), requires_grad=True)
        for name, one in params.items()
        if one._node not in reached and getattr(one._node, "cell", None) not in cells
    ]


# ---------------------------------------------------------------- numbers in words


def finite(array: Any) -> bool:
    """Whether all entries of an array are numbers."""
    return bool(numpy.isfinite(array).all())


def kinds(array: Any) -> dict[str, int]:
    """Count what is not finite in an array, by kind."""
    infinite, below = numpy.isinf(array), array.real < 0
    counts = {
        "−inf": (infinite & below).sum(), "inf": (infinite & ~below).sum(),
        "nan": numpy.isnan(array).sum(),
    }  # fmt: skip
    return {kind: int(count) for kind, count in counts.items() if count}


def tally(arrays: Iterable[Any]) -> str:
    """Write how many entries of some arrays are not finite; of a single number, what it is."""
    counts: Counter[str] = Counter()
    for array in (arrays := list(arrays)):
        counts.update(kinds(array))
    if sum(array.size for array in arrays) == 1:
        return next(iter(counts))
    return ", ".join(f"{count:,} {kind}" for kind, count in counts.items())


def places(array: Any, whole: bool = True) -> str:
    """Write at how many places an array is not finite, of how many if the whole is told."""
    counts = kinds(array)
    if not array.ndim:
        return next(iter(counts))
    of = f" of {array.size:,}" if whole else ""
    last = next(reversed(counts.values()))
    word = " places" if whole or last > 1 or len(counts) > 1 else " place"
    return " and ".join(f"{kind} at {count:,}" for kind, count in counts.items()) + of + word


def apart(here: Any, elsewhere: Any) -> str:
    """Say in what entries differ from all others; nothing where that is not simple."""
    low, high = here.min(), here.max()
    if low == high and not (elsewhere.size and (elsewhere == low).all()):
        return f"= {number(low.item())}"
    for condition, test in (("< 0", numpy.less), ("≤ 0", numpy.less_equal)):
        if test(here, 0).all() and not test(elsewhere, 0).any():
            return condition
    if elsewhere.size and low > elsewhere.max():
        return f"≥ {number(low.item())}"
    if elsewhere.size and high < elsewhere.min():
        return f"≤ {number(high.item())}"
    return ""


def place_of(node: Any) -> str:
    """Name an operation or a leaf within a long graph."""
    what = name_of(node) or (node.plan.rule.name if node.plan else "a leaf")
    return f"{what} in {node.scope.name}" if node.scope else what


def mean_size(array: Any) -> float:
    """Return the root of the mean square of an array, also where the squares underflow."""
    largest = numpy.abs(array).max()
    return float(largest * sqrt(numpy.square(array / largest).mean())) if largest else 0.0


def dead_units(node: Any, array: Any) -> tuple[int, int, int]:
    """Count the units of a relu that are 0 in all rows, the units, and the rows.

    A unit is a column, or a channel of images (which are batch, channel, height, width).
    """
    axis = 1 if array.ndim == 4 else array.ndim - 1
    others = tuple(i for i in range(array.ndim) if i != axis)
    off = (array == 0).all(axis=others)
    return int(off.sum()), off.size, array.size // max(1, off.size)


def is_relu(node: Any) -> bool:
    """Whether an operation is a relu, or written as the maximum with 0."""
    name = node.plan.rule.name if node.plan else ""
    zero = any(not is_array(one) and one == 0 for one in node.inputs)
    return name == "relu" or (name == "maximum" and zero)


# ---------------------------------------------------------------- the check


class _Check:
    """The findings of one picture."""

    def __init__(self, picture: Picture, numbers: Numbers):
        self.picture = picture
        self.numbers = numbers
        self.order = tape_order(picture.roots)
        self.boxes = {node: box for box in picture.boxes for node in box.nodes}
        self.bad = {node for node, array in numbers.values.items() if not finite(array)}
        self.pulled = {key for key, one in numbers.contributions.items() if not finite(one)}
        self.sources: dict[Any, int] = {}  # where a gradient stops being finite, for which operand
        for node, slot in numbers.contributions:
            if (node, slot) in self.pulled and finite(numbers.gradients[node]):
                self.sources.setdefault(node, slot)
        self.live: set[Any] = set()  # whose bad values reach a result or spoil a gradient
        self.lines: dict[Box, list[str]] = {}
        self.counts: Counter[str] = Counter()
        self.end = "the result" if len(picture.roots) == 1 else "the results"
        if numbers.changed:
            picture.notes.append(
                f"not checked: gradients, and what follows {short(numbers.told)}, which "
                f"{'have' if len(numbers.changed) > 1 else 'has'} new values since"
            )

    def say(self, node: Any, text: str) -> None:
        """Write a finding onto the box of a node; where that has several nodes, with its name."""
        box = self.boxes[node]
        name = f"{self.called(node)}, " if len(box.nodes) > 1 else ""
        self.lines.setdefault(box, []).append(f"{name}{text}")

    def called(self, node: Any) -> str:
        """Name an operation by what it does, a leaf by its name."""
        return node.plan.rule.name if node.plan else name_of(node) or ROLES[role_of(node)]

    def spreads(self) -> None:
        """Find the bad values that reach a result or spoil a gradient.

        Others, such as the infinities that mask the logits of a softmax, are no fault.
        """
        roots = set(self.picture.roots)
        for node in reversed(self.order):
            if node in self.bad and (node in roots or node in self.sources):
                self.live.add(node)
            if node in self.live or node in self.sources:
                self.live.update(one for one in node.inputs if one in self.bad)

    def starts(self, nodes: Iterable[Any]) -> list[Any]:
        """Return those of some nodes whose operands are all finite."""
        return [node for node in nodes if not any(one in self.bad for one in node.inputs)]

    def faults(self) -> str:
        """Mark where numbers stop being finite, and return a headline about the first place."""
        values, contributions = self.numbers.values, self.numbers.contributions
        forward = self.starts(node for node in self.order if node in self.live)
        back = self.starts(self.sources)
        for node in forward:
            if node.plan is None:
                self.say(node, f"holds {places(values[node])}")
            else:
                array = values[node]
                told = places(array, whole=False) + self.where(node, array, self.operands(node))
                self.say(node, f"forward: {told}")
        for node in back:
            slot, gradient = self.sources[node], self.numbers.gradients[node]
            array = contributions[node, slot]
            formula = vjp_formula(node.plan.rule, slot, target="") or ""
            if "\n" in formula or len(formula) > LONG:
                formula = ""
            if numpy.array_equal(numpy.isfinite(array), numpy.isfinite(values[node])):
                told = f"{'/'.join(kinds(array))} there{self.where(node, array, {}, gradient)}"
            else:
                told = places(array, whole=False)
                told += self.where(node, array, self.operands(node), gradient)
            self.say(node, " ".join(filter(None, ("backward:", formula, "gives", told))))
        if not forward and not back:
            return ""
        node = (forward or back)[0]
        self.boxes[node].fault = True
        verb = "gives" if node.plan else "holds"
        array = values[node] if forward else contributions[node, self.sources[node]]
        way = "" if forward else " on the way back"
        return f"First fault: {self.called(node)} {verb} {places(array)}{way}"

    def operands(self, node: Any) -> dict[str, Any]:
        """Return the arrays that an operation reads, under the names of its rule."""
        pairs = zip(node.plan.rule.operands, node.inputs, strict=False)  # a list has no names
        return {name: self.numbers.values[one] for name, one in pairs if is_array(one)}

    def where(self, node: Any, array: Any, operands: dict[str, Any], gradient: Any = None) -> str:
        """Say what the operands are where an array is not finite, and whether the gradient is 0."""
        if node.plan.rule.kind is not Kind.ELEMENTWISE or array.shape != node.shape:
            return ""
        fine, told = numpy.isfinite(array), []
        for name, one in operands.items():
            if one.dtype.kind != "c":
                one = numpy.broadcast_to(one, fine.shape)
                condition = apart(one[~fine], one[fine])
                told += [f"{name} {condition}"] if condition else []
        if gradient is not None and not gradient[~fine].any():
            told.append("g = 0")
        return f", where {', '.join(told)}" if told else ""

    def flows(self) -> None:
        """Mark the arrows over which something flows that is not finite."""
        exact = {(one.tail, one.head, one.slot): one for one in self.picture.arrows}
        loose = {(one.tail, one.head): one for one in self.picture.arrows}
        forward: dict[Arrow, dict[Any, Any]] = {}
        back: dict[Arrow, dict[Any, Any]] = {}
        values = self.numbers.values
        for node in self.order:
            for slot, one in enumerate(node.inputs):
                if one not in self.live and (node, slot) not in self.pulled:
                    continue
                ends = self.boxes[one], self.boxes[node]
                arrow = exact.get((*ends, slot)) or loose.get(ends)
                if arrow is None:  # inside a folded box
                    continue
                if one in self.live:
                    forward.setdefault(arrow, {})[one] = values[one]
                if (node, slot) in self.pulled:
                    given = back.setdefault(arrow, {})
                    given[one] = given.get(one, 0.0) + self.numbers.contributions[node, slot]
        last = [arrow for arrow in self.picture.arrows if arrow.head.role == "result"]
        for root, arrow in zip(self.picture.roots, last, strict=True):
            if root in self.live:
                forward[arrow] = {root: values[root]}
        ahead, behind = "→←" if self.picture.horizontal else "↓↑"
        for arrow, arrays in forward.items():
            arrow.bad["forward"] = f"{tally(arrays.values())} {ahead}"
        for arrow, arrays in back.items():
            arrow.bad["back"] = f"{behind} {tally(arrays.values())}"

    def parameters(self, params: dict[str, Tensor]) -> None:
        """Say which parameters get no gradient, one that is not finite, or only zeros."""
        reached = set(self.order)
        known = not self.numbers.missing or not any(one.requires_grad for one in self.picture.roots)
        for node in self.boxes:
            if not isinstance(node, Leaf) or not node.requires_grad:
                continue
            if node not in reached:
                self.count("missing", node, f"no gradient: not reached from {self.end}")
            elif known and node not in self.numbers.gradients:
                self.count("missing", node, f"no gradient: {self.obstacle(node)}")
            elif known:
                gradient = self.numbers.gradients[node]
                of = f" of {gradient.size:,}" if gradient.ndim else ""
                if not finite(gradient):
                    self.count("not finite", node, f"grad: {tally([gradient])}{of}")
                elif gradient.size and not gradient.any():
                    zero = f"all {gradient.size:,} are 0" if gradient.size > 1 else "0"
                    self.count("zero", node, f"grad: {zero}")
        cells = {node.cell: node for node in self.boxes if isinstance(node, Leaf)}
        for one in params.values():
            node = one._node
            if node is not None and node not in self.boxes:
                node = cells.get(node.cell)
            if node is not None and not isinstance(node, Leaf):
                self.count("missing", node, "no gradient kept: a result, not a leaf")
            elif node is not None and not node.requires_grad:
                self.count("missing", node, "no gradient: requires_grad is False")

    def count(self, what: str, node: Any, text: str) -> None:
        """Write a finding about a parameter, and count it for the caption."""
        self.say(node, text)
        self.counts[what] += 1

    def obstacle(self, leaf: Any) -> str:
        """Name the operation at which the way back to a leaf ends."""
        onward = {leaf}
        for node in self.order:
            for slot, one in enumerate(node.inputs):
                if one in onward:
                    if slot not in node.plan.slots:
                        return f"{node.plan.rule.name} passes none back"
                    onward.add(node)
        return "none arrives"

    def dead(self) -> None:
        """Say which relus are off for most units in all rows of the batch.

        In a deep net's first weights every second unit is off for all rows. So a share is told
        if it is above two thirds and three standard deviations above that half, or the whole.
        """
        for node in filter(is_relu, self.order):
            array = self.numbers.values.get(node)
            if array is None:
                continue
            off, units, rows = dead_units(node, array)
            most = max(2 / 3, 0.5 + 1.5 / sqrt(units)) if units else 1
            if rows > 1 and off and (off == units or (off > most * units and rows >= FEW_ROWS)):
                self.say(node, f"dead: {off:,} of {units:,} units, 0 in all {rows:,} rows")
                self.counts["dead"] += 1

    def chain(self) -> None:
        """Say whether the gradient vanishes or explodes on its way along the spine."""
        if self.numbers.missing:
            return
        gradients = self.numbers.gradients
        sizes = [
            (node, mean_size(gradients[node]))
            for node in spine_from(self.picture.roots[0])
            if node in gradients and gradients[node].size > 1
        ]
        if len(sizes) < 2 or not all(numpy.isfinite(size) for _, size in sizes):
            return
        (late, top), (early, bottom) = sizes[0], sizes[-1]
        if not top or 1 / RATIO <= bottom / top <= RATIO:
            return
        steps = {node: after / before for (node, before), (_, after) in pairwise(sizes) if before}
        vanishes = bottom < top
        worst = (min if vanishes else max)(steps, key=steps.__getitem__)
        self.picture.notes.append(
            f"gradients {'vanish' if vanishes else 'explode'}: root mean square "
            f"{top:.2g} at {place_of(late)}, {bottom:.2g} at {place_of(early)}; "
            f"most at {place_of(worst)} (× {steps[worst]:.2g})".replace("e-", "e−")
        )

    def tell(self) -> None:
        """Write the findings onto boxes and arrows, and what was checked into the caption."""
        for box, found in self.lines.items():
            lines = [text if n == 1 else f"{text} (× {n})" for text, n in Counter(found).items()]
            extra = len(lines) - MOST
            box.bad = [*lines[:MOST], f"and {extra:,} more"] if extra > 0 else lines
            box.sentence = "; ".join([box.sentence, *box.bad])
        for arrow in self.picture.arrows:
            flowing = [f"{way}: {text.strip(ARROWS)}" for way, text in arrow.bad.items()]
            arrow.sentence = "; ".join([arrow.sentence, *flowing])
        counted = [f"{self.counts[what]:,} {what}" for what in WRONG if self.counts[what]]
        if counted:
            first, _, rest = counted[0].partition(" ")
            word = "gradient" if first == "1" else "gradients"
            counted[0] = f"{first} {word} {rest}"
        parts = [self.picture.caption, ", ".join(counted), self.checked(), self.unchecked()]
        self.picture.caption = " · ".join(filter(None, parts))
        told = [*parts[1:], *self.picture.notes]
        self.picture.summary = " ".join([*(f"{one}." for one in told if one), self.picture.summary])

    def checked(self) -> str:
        """Say what is finite, if all that counts is."""
        if self.live or self.counts["not finite"] or self.counts["missing"]:
            return ""
        subject = "other values" if self.numbers.changed else "values"
        inside = ""
        if self.bad:
            found = dict.fromkeys(kind for one in self.order if one in self.bad
                                  for kind in kinds(self.numbers.values[one]))  # fmt: skip
            subject, inside = self.end, f"; {'/'.join(found)} inside does no harm"
        both = "" if self.numbers.missing else " and gradients"
        return f"checked: {subject}{both} are finite{inside}"

    def unchecked(self) -> str:
        """Say why there are no gradients to check."""
        return (
            ""
            if self.numbers.changed or not self.numbers.missing
            else (f"no gradients: {self.numbers.missing}")
        )
