"""Where a NaN or an infinity was born: the operation, the user's line, and what led there."""

import linecache
import os
import sys
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy

from .engines import Foreign
from .errors import AnomalyError
from .modes import MODES, Modes, Scope, modes
from .rules import Rule
from .rules.indexing import Scattered
from .rules.table import Parts
from .tape import Leaf, Node, describe
from .tensor import SCALARS, Tensor, Wrapped

LIBRARIES = os.path.dirname(os.path.dirname(numpy.__file__)) + os.sep
MOST = 4  # leaves from which the way is told
LONGEST = 8  # operations of one way

CHOOSE_FIRST = "choose the operand first, where(condition, x, 1.0), and then compute."
Line = tuple[Any, int]  # a code object and a number: the text is made where it is needed


class detect_anomaly(modes):
    """Raise where the first NaN or infinity is born, on the way forward or back.

    A context manager and a decorator. The error names the operation, the line of your code that
    recorded it, the ranges of its operands, and the way from named leaves to it. An infinity that
    an operand had before is passed on without a word, as in a mask of -inf; a NaN is not. A warning
    tells of operations that stretch all operands, of different numbers of axes, as (n,) and (n, 1).

    Operations take several times as long inside, and NumPy's warnings of overflows, divisions and
    invalid values are off there: the error says more.

    Raises
    ------
    AnomalyError
        By the operation, or by the walk back.

    Examples
    --------
    >>> import tinygraph as tg
    >>> x = tg.tensor([0.0, 1.0], requires_grad=True, name="x")
    >>> with tg.detect_anomaly():
    ...     tg.log(x)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    tinygraph.errors.AnomalyError: log gives -inf in 1 of 2 entries, first at [0].
    ...
    """

    def __init__(self) -> None:
        super().__init__(anomaly=Watch())
        self.quiet: list[Any] = []

    def _recreate_cm(self) -> "detect_anomaly":
        return detect_anomaly()

    def __enter__(self) -> Modes:
        silence = numpy.errstate(divide="ignore", over="ignore", invalid="ignore")
        self.quiet.append(nullcontext() if MODES.get().anomaly else silence)
        self.quiet[-1].__enter__()
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self.quiet.pop().__exit__(*error)


class Watch:
    """Looks at what each operation, and each step of a walk back, gives.

    During such a step `node` is the one that is stepped through: the operations of its formula are
    part of it, and are not looked at by themselves.
    """

    __slots__ = ("node",)

    def __init__(self, node: Node | None = None):
        self.node = node

    def look(
        self, rule: Rule, operands: tuple, values: list, nodes: list, y: Any, scope: Scope | None
    ) -> Line | None:
        """Look at the result of an operation, and return the line that the user wrote it on."""
        if self.node is not None:
            return line_of(self.node)
        line = user_line()
        if rule.broadcasts:
            warn_of_stretching(rule, values, y, line)
        new = oddities(y)
        before = set().union(*map(oddities, values))
        if "nan" not in new and (before or not new):
            return line
        advice = ""
        if "nan" in before:
            advice = "It passes on what it reads."
        elif rule.differentiable:
            advice = f"If a where discards these entries later, {CHOOSE_FIRST}"
        read = {name_of(x, rule, i): values[i] for i, x in enumerate(operands)}
        raise report(f"{rule.name} gives {extent(y)}.", advice, line, scope, read, nodes)

    def pulling(self, pull: Callable, order: list, wanted: set | None) -> Callable:
        """Return a step of a walk back that looks at what it gives."""

        def step(xp: Any, node: Node, gradient: Any, kept: tuple) -> Any:
            with modes(anomaly=Watch(None if isinstance(gradient, Wrapped) else node)):
                pulled = pull(xp, node, gradient, kept)
            for slot, parent, one in zip(node.plan.slots, node.parents, pulled, strict=True):
                if oddities(one) and (wanted is None or parent in wanted):
                    blame(node, slot, gradient, one, order)
            return pulled

        return step

    def arrived(self, gradients: dict) -> None:
        """Look at the sums where a walk ends."""
        for node, gradient in gradients.items():
            if oddities(gradient):
                raise AnomalyError(
                    f"backward: the gradient of {describe(node)} has {extent(gradient)}, though no "
                    f"summand has. Their sum, or a cast to {node.dtype}, is too large for it."
                )


def blame(node: Node, slot: int, gradient: Any, pulled: Any, order: list) -> None:
    """Raise for a step back that gives what is not a finite number."""
    name, rule = node.inputs[slot].name, node.plan.rule
    operand = name or (f"operand {slot + 1}" if rule.variadic else rule.operands[slot])
    told = f"backward of {describe(node)} gives {extent(pulled)}, for {operand!r}."
    advice = ""
    if oddities(gradient):
        advice = "It passes on what arrives: the gradient that backward was given, or a sum."
    elif any(
        came.shape == gave.shape and not came[~numpy.isfinite(gave)].any()
        for came, gave in zip(arrays(gradient), arrays(pulled), strict=False)
    ):
        advice = "The gradient that arrives there is 0, and the slope infinite: 0 * inf is nan."
        for one in consumers(node, order):
            if one.plan.rule.name == "where":
                advice += f"\nA where discards these entries: {line_text(line_of(one))}"
                advice += f"\nInstead {CHOOSE_FIRST}"
                break
    names = [name if name != "y" else "its result" for name in node.plan.names]
    read = {"arriving": gradient, **dict(zip(names, node.kept, strict=True))}
    raise report(told, advice, line_of(node), node.scope, read, node.inputs)


def consumers(node: Node, order: list) -> list:
    """Return the nodes of a walk that lie between a node and the end, nearest first."""
    found = {node}
    for one in reversed(order):  # operands come before what is made of them
        if not found.isdisjoint(one.parents):
            found.add(one)
    return [one for one in reversed(order) if one in found and one is not node]


# ---------------------------------------------------------------- looking at numbers


def arrays(x: Any) -> list[numpy.ndarray]:
    """Return the arrays of numbers in a value or a gradient."""
    if isinstance(x, Parts):
        return [array for part in x for array in arrays(part)]
    if isinstance(x, Scattered):
        return arrays(x.values)
    if isinstance(x, Tensor):
        return [] if isinstance(x, Wrapped) else arrays(x._data)
    if isinstance(x, Foreign):
        x = x.known()
    numbers = isinstance(x, numpy.ndarray | numpy.generic) or type(x) in SCALARS
    return [numpy.asarray(x)] if numbers else []


def oddities(x: Any) -> set[str]:
    """Return which of "nan" and "inf" are among the entries."""
    found = set()
    for array in arrays(x):
        if array.dtype.kind in "fc" and not numpy.isfinite(array).all():
            found.update(["nan"] if numpy.isnan(array).any() else [])
            found.update(["inf"] if numpy.isinf(array).any() else [])
    return found


def extent(x: Any) -> str:
    """Say which entries are not finite, and how many."""
    for array in arrays(x):
        odd = numpy.argwhere(~numpy.isfinite(array))
        if len(odd):
            first = odd[0].tolist()
            entries = f" in {len(odd)} of {array.size} entries, first at {first}" if first else ""
            return f"{array[tuple(first)]}{entries}"
    return "finite numbers"


def span(array: numpy.ndarray) -> str:
    """Say from where to where the entries of an array go."""
    size = numpy.abs(array) if array.dtype.kind == "c" else array
    finite = size[numpy.isfinite(size)]
    text = f"{array.dtype} {array.shape}"
    if finite.size:
        text += f" from {finite.min():.4g} to {finite.max():.4g}"
    return text + (f" and {extent(array)}" if finite.size < size.size else "")


def warn_of_stretching(rule: Rule, values: list, y: Any, line: Line | None) -> None:
    """Warn of operands of different numbers of axes that both have to be stretched."""
    shapes = {numpy.shape(value) for value in values} - {()}
    if len({len(shape) for shape in shapes}) > 1 and y.shape not in shapes:
        warnings.warn(
            f"{rule.name}: {' and '.join(map(str, sorted(shapes)))} broadcast to {y.shape}, wider "
            f"than each of them, at {line_text(line)}. If that is not meant, reshape one of them.",
            stacklevel=2,
        )


# ---------------------------------------------------------------- saying where


def user_line() -> Line | None:
    """Return the innermost line that is neither tinygraph's nor an installed library's."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        package = str(frame.f_globals.get("__name__")).partition(".")[0]
        if package != "tinygraph" and not frame.f_code.co_filename.startswith(LIBRARIES):
            return frame.f_code, frame.f_lineno
        frame = frame.f_back
    return None


def line_of(node: Node) -> Line | None:
    """Return the line that a node was recorded on, where that is known."""
    return getattr(node, "line", None)


def line_text(line: Line | None) -> str:
    """Write where a line stands, and the line."""
    if line is None:
        return "a line that was not noted: record inside detect_anomaly too"
    code, number = line
    source = linecache.getline(code.co_filename, number).strip()
    return f"{code.co_filename}:{number}, in {code.co_name}" + (f": {source}" if source else "")


def name_of(x: Any, rule: Rule, i: int) -> str:
    """Name an operand: by the user's name, or by the rule's."""
    if isinstance(x, Tensor) and x.name:
        return repr(x.name)
    return f"operand {i + 1}" if rule.variadic else rule.operands[i]


def report(
    told: str, advice: str, line: Line | None, scope: Scope | None, read: dict, nodes: Any
) -> AnomalyError:
    """Put together what is known."""
    lines = [told, f"  written at  {line_text(line)}"]
    regions: list[str] = []
    while scope is not None:
        regions.insert(0, scope.name)
        scope = scope.parent
    if regions:
        lines.append(f"  inside      {' / '.join(regions)}")
    for name, value in read.items():
        lines += [f"  {name:<11} {span(array)}" for array in arrays(value)]
    lines += ways(nodes)
    return AnomalyError("\n".join([*lines, advice] if advice else lines))


def ways(nodes: Any) -> list[str]:
    """Tell the shortest way from each named leaf to an operation that reads these nodes."""
    after: dict[Any, Any] = {node: None for node in nodes if isinstance(node, Node | Leaf)}
    leaves = []
    for node in (queue := list(after)):
        if node.plan is None and node.name:
            leaves.append(node)
        for source in node.inputs:
            if isinstance(source, Node | Leaf) and source not in after:
                after[source] = node
                queue.append(source)
    told = []
    for leaf in leaves[:MOST]:
        steps, node = [], after[leaf]
        while node is not None:
            steps.append(f"{describe(node)} {node.shape}")
            node = after[node]
        if len(steps) > LONGEST:
            left_out = f"... {len(steps) - LONGEST} more ..."
            steps[LONGEST // 2 : -LONGEST // 2] = [left_out]
        told.append(f"  from {leaf.name!r}: " + " -> ".join([*steps, "here"]))
    if len(leaves) > MOST:
        told.append(f"  and from {len(leaves) - MOST} more named leaves")
    return told
