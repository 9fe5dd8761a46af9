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

from . import graph
from .folding import is_array
from .graph import Arrow, Box, Picture, number, short
from .numbers import Numbers, finite, kinds

LONG = 40  # characters of a formula that a box has room for
MOST = 3  # findings that a box tells
WRONG = ("not finite", "missing", "zero")  # what can be said of a parameter's gradient
RATIO = 1e4  # of gradients at the ends of a chain; healthy nets of 40 layers stay below 1e3
FEW_ROWS = 16  # in so few a healthy unit may well be 0 throughout


def annotate(picture: Picture, numbers: Numbers, params: dict[str, Tensor]) -> str:
    """Write what is wrong onto a picture, and return its headline, if there is a first fault."""
    check = _Check(picture, numbers)
    with numpy.errstate(all="ignore"):
        check.spread()
        headline = check.faults()
        check.flows()
        check.parameters(params)
        check.dead()
        check.chain()
    check.tell(headline)
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
    reached = set(graph.tape_order(one._node for one in results if one._node is not None))
    cells = {node.cell for node in reached if isinstance(node, Leaf)}
    return [
        Leaf(one.data, Cell(name), requires_grad=True)
        for name, one in params.items()
        if one._node not in reached and getattr(one._node, "cell", None) not in cells
    ]


# ---------------------------------------------------------------- numbers in words


def tally(*arrays: Any) -> str:
    """Write how many entries of some arrays are not finite; of a single number, what it is."""
    counts = kinds(*arrays)
    if sum(array.size for array in arrays) == 1:
        return next(iter(counts))
    return ", ".join(f"{count:,} {kind}" for kind, count in counts.items())


def places(array: Any, whole: bool = True) -> str:
    """Write at how many places an array is not finite, of how many if the whole is told."""
    counts = kinds(array)
    if not array.ndim:
        return next(iter(counts))
    of = f" of {array.size:,}" if whole else ""
    word = "places" if whole or [*counts.values()] != [1] else "place"
    return f"{' and '.join(f'{kind} at {count:,}' for kind, count in counts.items())}{of} {word}"


def apart(here: Any, elsewhere: Any) -> str:
    """Say in what entries differ from all others; nothing where that is not simple."""
    low, high = here.min(), here.max()
    if low == high and not (elsewhere.size and (elsewhere == low).all()):
        return f"= {number(low.item())}"
    tests = [("< 0", numpy.less, 0), ("≤ 0", numpy.less_equal, 0)]
    if elsewhere.size:
        tests += [(f"≥ {number(low.item())}", numpy.greater_equal, low),
                  (f"≤ {number(high.item())}", numpy.less_equal, high)]  # fmt: skip
    return next((condition for condition, test, bound in tests
                 if test(here, bound).all() and not test(elsewhere, bound).any()), "")  # fmt: skip


def subject(node: Any) -> str:
    """Name an operation by what it does, a leaf by its name or its role."""
    return graph.heading(node) if node.plan else graph.called(node)


def place_of(node: Any) -> str:
    """Name an operation within a long graph."""
    name = graph.called(node)
    return f"{name} in {node.scope.name}" if node.scope else name


def mean_size(array: Any) -> float:
    """Return the root of the mean square of an array, also where the squares underflow."""
    largest = numpy.abs(array).max()
    return float(largest * sqrt(numpy.square(array / largest).mean())) if largest else 0.0


def is_relu(node: Any) -> bool:
    """Whether an operation is a relu, or written as the maximum with 0."""
    name = node.plan.rule.name if node.plan else ""
    zero = any(not is_array(one) and one == 0 for one in node.inputs)
    return name == "relu" or (name == "maximum" and zero)


# ---------------------------------------------------------------- the check


class _Check:
    """The findings of one picture."""

    def __init__(self, picture: Picture, numbers: Numbers):
        self.picture, self.numbers = picture, numbers
        self.order = graph.tape_order(picture.roots)
        self.boxes = {node: box for box in picture.boxes for node in box.nodes}
        self.bad = {node for node, array in numbers.values.items() if not finite(array)}
        self.pulled = {key for key, one in numbers.contributions.items() if not finite(one)}
        self.sources: dict[Any, int] = {}  # where a gradient stops being finite, for which operand
        self.live: set[Any] = set()  # whose bad values reach a result or spoil a gradient
        self.lines: dict[Box, list[str]] = {}
        self.counts: Counter[str] = Counter()
        self.end = "the result" if len(picture.roots) == 1 else "the results"

    def say(self, node: Any, text: str, kind: str = "") -> None:
        """Write a finding onto the box of a node, and count it for the caption."""
        box = self.boxes[node]
        name = f"{subject(node)}, " if len(box.nodes) > 1 else ""
        self.lines.setdefault(box, []).append(f"{name}{text}")
        self.counts[kind] += 1

    def spread(self) -> None:
        """Find where gradients go bad, and the bad values that reach a result or spoil a gradient.

        Others, such as the infinities that mask the logits of a softmax, are no fault.
        """
        for node, slot in self.numbers.contributions:
            if (node, slot) in self.pulled and finite(self.numbers.gradients[node]):
                self.sources.setdefault(node, slot)
        ends = {*self.picture.roots, *self.sources}
        for node in reversed(self.order):
            if node in self.bad and node in ends:
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
            array = values[node]
            told = f"forward: {places(array, whole=False)}{self.where(node, array)}"
            self.say(node, told if node.plan else f"holds {places(array)}")
        for node in back:
            array = contributions[node, self.sources[node]]
            formula = vjp_formula(node.plan.rule, self.sources[node], target="") or ""
            if "\n" in formula or len(formula) > LONG:
                formula = ""
            there = numpy.array_equal(numpy.isfinite(array), numpy.isfinite(values[node]))
            told = f"{'/'.join(kinds(array))} there" if there else places(array, whole=False)
            told += self.where(node, array, there, self.numbers.gradients[node])
            self.say(node, " ".join(filter(None, ("backward:", formula, "gives", told))))
        if not forward and not back:
            return ""
        node = (forward or back)[0]
        self.boxes[node].fault = True
        verb = "gives" if node.plan else "holds"
        array = values[node] if forward else contributions[node, self.sources[node]]
        way = "" if forward else " on the way back"
        return f"First fault: {subject(node)} {verb} {places(array)}{way}"

    def where(self, node: Any, array: Any, there: bool = False, gradient: Any = None) -> str:
        """Say what an operation reads where an array is not finite, if a word or two can say it.

        What its operands are is left out where that was told already; of a gradient only 0 is told.
        """
        rule = node.plan and node.plan.rule
        if not rule or rule.kind is not Kind.ELEMENTWISE or array.shape != node.shape:
            return ""
        fine, told = numpy.isfinite(array), []
        for name, one in zip(rule.operands, node.inputs, strict=True):
            if not there and is_array(one) and one.dtype.kind != "c":
                values = numpy.broadcast_to(self.numbers.values[one], fine.shape)
                condition = apart(values[~fine], values[fine])
                told += [f"{name} {condition}"] if condition else []
        if gradient is not None and not gradient[~fine].any():
            told.append("g = 0")
        return f", where {', '.join(told)}" if told else ""

    def flows(self) -> None:
        """Mark the arrows over which something flows that is not finite."""
        arrows: dict[tuple, Arrow] = {}
        for arrow in self.picture.arrows:
            arrows[arrow.tail, arrow.head, arrow.slot] = arrows[arrow.tail, arrow.head] = arrow
        found: dict[tuple[Arrow, str], dict[Any, Any]] = {}
        for node in self.order:
            for slot, one in enumerate(node.inputs):
                if one not in self.live and (node, slot) not in self.pulled:
                    continue
                ends = self.boxes[one], self.boxes[node]
                over = arrows.get((*ends, slot)) or arrows.get(ends)
                if over and one in self.live:  # there is none inside a folded box
                    found.setdefault((over, "forward"), {})[one] = self.numbers.values[one]
                if over and (node, slot) in self.pulled:
                    sums = found.setdefault((over, "back"), {})
                    sums[one] = sums.get(one, 0.0) + self.numbers.contributions[node, slot]
        last = [arrow for arrow in self.picture.arrows if arrow.head.role == "result"]
        for root, arrow in zip(self.picture.roots, last, strict=True):
            if root in self.live:
                found[arrow, "forward"] = {root: self.numbers.values[root]}
        ahead, behind = "→←" if self.picture.horizontal else "↓↑"
        for (arrow, way), arrays in found.items():
            text = tally(*arrays.values())
            arrow.bad[way] = f"{text} {ahead}" if way == "forward" else f"{behind} {text}"
            arrow.sentence += f"; {way}: {text}"

    def parameters(self, params: dict[str, Tensor]) -> None:
        """Say which parameters get no gradient, one that is not finite, or only zeros."""
        reached, gradients = set(self.order), self.numbers.gradients
        known = gradients or not any(one.requires_grad for one in self.picture.roots)
        leaves = [node for node in self.boxes if isinstance(node, Leaf)]
        for node in leaves:
            gradient = gradients.get(node)
            if node not in reached:
                self.say(node, f"no gradient: not reached from {self.end}", "missing")
            elif gradient is None:
                if known and node.requires_grad:
                    self.say(node, f"no gradient: {self.obstacle(node)}", "missing")
            elif not finite(gradient):
                of = f" of {gradient.size:,}" if gradient.ndim else ""
                self.say(node, f"grad: {tally(gradient)}{of}", "not finite")
            elif gradient.size and not gradient.any():
                zero = f"all {gradient.size:,} are 0" if gradient.size > 1 else "0"
                self.say(node, f"grad: {zero}", "zero")
        cells: dict[Any, Leaf] = {node.cell: node for node in leaves}
        for node in (one._node for one in params.values()):
            leaf = cells.get(getattr(node, "cell", None))
            if leaf is not None and not leaf.requires_grad:
                self.say(leaf, "no gradient: requires_grad is False", "missing")
            elif node in self.boxes and node.plan is not None:
                self.say(node, "no gradient kept: a result, not a leaf", "missing")

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

        A unit is a column, or a channel of images (which are batch, channel, height, width). In a
        deep net's first weights every second unit is off for all rows. So a share is told if it is
        above two thirds and three standard deviations above that half, or the whole.
        """
        for node in filter(is_relu, self.order):
            array = self.numbers.values.get(node)
            if array is None or not array.size:
                continue
            axis = 1 if array.ndim == 4 else array.ndim - 1
            off = (array == 0).all(axis=tuple(i for i in range(array.ndim) if i != axis))
            count, units, rows = int(off.sum()), off.size, array.size // off.size
            most = max(2 / 3, 0.5 + 1.5 / sqrt(units)) * units
            if rows > 1 and (count == units or (count > most and rows >= FEW_ROWS)):
                self.say(node, f"dead: {count:,} of {units:,} units, 0 in all {rows:,} rows")

    def chain(self) -> None:
        """Say whether the gradient vanishes or explodes on its way along the spine."""
        gradients = self.numbers.gradients
        spine = [one for one in graph.spine_from(self.picture.roots[0]) if one in gradients]
        sizes = [(one, mean_size(gradients[one])) for one in spine if gradients[one].size > 1]
        if len(sizes) < 2 or not all(numpy.isfinite(size) for _, size in sizes):
            return
        (late, top), (early, bottom) = sizes[0], sizes[-1]
        if not top or 1 / RATIO <= bottom / top <= RATIO:
            return
        steps = {node: after / before for (node, before), (_, after) in pairwise(sizes) if before}
        word, most = ("vanish", min) if bottom < top else ("explode", max)
        worst = most(steps, key=steps.__getitem__)
        self.picture.notes.append(
            f"gradients {word}: root mean square {top:.2g} at {place_of(late)}, "
            f"{bottom:.2g} at {place_of(early)}; "
            f"most at {place_of(worst)} (× {steps[worst]:.2g})".replace("e-", "e−")
        )

    def tell(self, headline: str) -> None:
        """Write the findings onto the boxes, and what was checked into caption and summary."""
        for box, found in self.lines.items():
            lines = [text if n == 1 else f"{text} (× {n})" for text, n in Counter(found).items()]
            more = [f"and {len(lines) - MOST:,} more"] if len(lines) > MOST else []
            box.bad = lines[:MOST] + more
            box.sentence = "; ".join([box.sentence, *box.bad])
        counts = [(self.counts[kind], kind) for kind in WRONG if self.counts[kind]]
        counted = [f"{count:,} {kind}" for count, kind in counts[1:]]
        if counts:
            counted.insert(0, f"{graph.several(counts[0][0], 'gradient')} {counts[0][1]}")
        picture, missing = self.picture, self.numbers.missing
        if self.numbers.changed:
            missing = ""
            told = f"{short(self.numbers.told)}, which {self.numbers.verb} new values since"
            picture.notes.insert(0, f"not checked: gradients, and what follows {told}")
        said = [", ".join(counted), self.checked(), missing and f"no gradients: {missing}"]
        picture.caption = " · ".join(filter(None, [picture.caption, *said]))
        said = [*filter(None, [headline, *said, *picture.notes])]
        picture.summary = " ".join([*(f"{one}." for one in said), picture.summary])

    def checked(self) -> str:
        """Say what is finite, if all that counts is."""
        if self.live or self.counts["not finite"] or self.counts["missing"]:
            return ""
        subject, inside = "other values" if self.numbers.changed else "values", ""
        if self.bad:
            found = kinds(*(self.numbers.values[node] for node in self.bad))
            subject, inside = self.end, f"; {'/'.join(sorted(found))} inside does no harm"
        both = "" if self.numbers.missing else " and gradients"
        return f"checked: {subject}{both} are finite{inside}"
