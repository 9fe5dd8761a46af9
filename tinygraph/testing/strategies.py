"""Hypothesis strategies: arrays by shape, dtype and domain, and valid arguments of any rule.

All that is drawn for a rule follows from its entry in the table: shapes from its `shapes`, values
from its `domain`, parameters from what they are said to mean.
"""

import math
from collections.abc import Callable
from importlib import import_module
from itertools import pairwise
from typing import Any

import numpy

try:
    from hypothesis import strategies as st
    from hypothesis.extra import numpy as hnp
except ImportError as error:
    from ..errors import MissingDependencyError

    raise MissingDependencyError(
        'tinygraph.testing.strategies needs Hypothesis: pip install "tinygraph-autograd[test]"'
    ) from error

from ..rules import Domain, Parameter, Rule, Shapes
from ..rules.nn import windows

REACH = 4.0  # how far from 0, or from the bound of a domain, values are drawn
MARGIN = 0.125  # how far they keep from bounds and from excluded points
MAX_NDIM = 3
MAX_SIDE = 3
DTYPES = (numpy.dtype("float64"), numpy.dtype("float32"))

# ---------------------------------------------------------------- values


def intervals(domain: Domain) -> list[tuple[float, float]]:
    """Return closed intervals of moderate numbers inside a domain, away from its edges.

    Examples
    --------
    >>> intervals(Domain(low=0.0).without(2.0))
    [(0.125, 1.875), (2.125, 4.0)]
    """
    low, high = domain.low, domain.high
    if math.isinf(low):
        low = -REACH if math.isinf(high) else min(-REACH, high - REACH)
    if math.isinf(high):
        high = max(REACH, low + REACH)
    edges = [low, *sorted(point for point in domain.excluded if low < point < high), high]
    found = []
    for left, right in pairwise(edges):
        margin = min(MARGIN, (right - left) / 8)
        start = left + margin if left == domain.low or left in domain.excluded else left
        stop = right - margin if right == domain.high or right in domain.excluded else right
        found.append((start, stop))
    return found


def values(domain: Domain, dtype: Any) -> st.SearchStrategy:
    """Return numbers of a domain that a dtype holds exactly."""
    width = numpy.dtype(dtype).itemsize * 8
    return st.one_of(
        [
            st.floats(
                float(numpy.nextafter(numpy.float32(start), numpy.float32(stop))),
                float(numpy.nextafter(numpy.float32(stop), numpy.float32(start))),
                width=width,
                allow_subnormal=False,
            )
            for start, stop in intervals(domain)
        ]
    )


@st.composite
def arrays(draw: Callable, shape: Any, dtype: Any = "float64", domain: Domain = Domain()) -> Any:  # noqa: B008
    """Return arrays of a shape and dtype with values of a domain.

    Parameters
    ----------
    shape : tuple of int, or a strategy for them
    dtype : dtype, or a strategy for them
        Floating point for real values and weights; any for booleans.
    domain : Domain
        As a rule's entry has it.
    """
    shape = draw(shape) if isinstance(shape, st.SearchStrategy) else shape
    dtype = draw(dtype) if isinstance(dtype, st.SearchStrategy) else numpy.dtype(dtype)
    if domain.of == "boolean":
        return draw(hnp.arrays(bool, shape))
    if domain.of == "integer":
        return draw(
            hnp.arrays("int64", shape, elements=st.integers(int(domain.low), int(domain.high) - 1))
        )
    if domain.of in ("matrix", "hermitian"):
        return draw(matrices(shape, dtype, domain.of == "hermitian"))
    if domain.of == "target":
        domain = Domain(low=-MARGIN, high=1.0 + MARGIN)
    if domain.distinct:
        return draw(apart([shape], [dtype], domain))[0]
    # Each entry is drawn for itself: a constant filling would hide a wrong axis.
    return draw(hnp.arrays(dtype, shape, elements=values(domain, dtype), fill=st.nothing()))


@st.composite
def matrices(draw: Callable, shape: tuple[int, ...], dtype: Any, hermitian: bool) -> Any:
    """Return matrices whose eigenvalues and singular values keep away from each other and 0."""
    noise = draw(arrays(shape, dtype, Domain(-MARGIN, MARGIN)))
    if hermitian:
        noise = (noise + noise.mT) / 2
    m, n = shape[-2:]
    return (noise + numpy.eye(m, n) * numpy.arange(1, n + 1)).astype(dtype)


@st.composite
def apart(draw: Callable, shapes: list, dtypes: list, domain: Domain) -> list:
    """Return arrays none of whose entries comes close to another, in one array or in two."""
    sizes = [math.prod(shape) for shape in shapes]
    count = sum(sizes)
    pieces = intervals(domain)
    length = sum(stop - start for start, stop in pieces) / max(1, count)
    grid = []
    for start, stop in pieces:
        grid += list(numpy.arange(start + length / 4, stop, length))
    grid = grid[:count] if len(grid) >= count else list(numpy.linspace(*pieces[0], count))
    order = draw(st.permutations(range(count)))
    entries = numpy.array(grid)[list(order)]
    found, at = [], 0
    for shape, dtype, size in zip(shapes, dtypes, sizes, strict=True):
        found.append(entries[at : at + size].reshape(shape).astype(dtype))
        at += size
    return found


# ---------------------------------------------------------------- shapes


@st.composite
def shapes(
    draw: Callable, *, min_ndim: int = 0, max_ndim: int = MAX_NDIM, empty: bool = True
) -> Any:
    """Return shapes, one in five with axes that may have length 0."""
    least = draw(_least_side()) if empty else 1
    ndim = draw(st.sampled_from([n for n in range(min_ndim, max_ndim + 1) for _ in range(n + 1)]))
    return tuple(draw(st.lists(st.integers(least, MAX_SIDE), min_size=ndim, max_size=ndim)))


@st.composite
def broadcastable_shapes(
    draw: Callable, count: int, *, signature: str | None = None, max_dims: int | None = None
) -> Any:
    """Return shapes that broadcast to one, as a tuple; with core axes if there is a signature."""
    least = draw(_least_side())
    kind = {"signature": signature} if signature else {"num_shapes": count}
    drawn = draw(
        hnp.mutually_broadcastable_shapes(
            **kind,
            max_dims=max_dims or (2 if signature else MAX_NDIM),
            min_side=least,
            max_side=MAX_SIDE,
        )
    )
    return drawn.input_shapes


def _least_side() -> st.SearchStrategy:
    return st.sampled_from([1, 1, 1, 1, 0])


# ---------------------------------------------------------------- parameters


@st.composite
def parameter(draw: Callable, means: Parameter, rule: Rule, shape: tuple[int, ...]) -> Any:
    """Return a value for one parameter of a rule whose first operand has a shape."""
    ndim = len(shape)
    reducible = [
        axis for axis in range(-ndim, ndim) if shape[axis] or rule.shapes not in NEEDS_ENTRIES
    ]
    match means:
        case Parameter.FLAG:
            return draw(st.booleans())
        case Parameter.REDUCTION:
            some = math.prod(shape) > 0  # the mean of nothing is not a number
            return draw(st.sampled_from(["mean", "sum", "none"] if some else ["sum", "none"]))
        case Parameter.DTYPE:
            own = [None] if "dtype" in rule.defaults else []
            return draw(st.sampled_from([*own, *DTYPES]))
        case Parameter.CORRECTION:  # less than the count of the entries, which may be 1
            return draw(st.sampled_from([0.0, 0.5, -1.0]))
        case Parameter.ONLY_AXIS:
            return draw(st.sampled_from(reducible + [None] * (ndim < 2)))
        case Parameter.AXIS:
            whole = "axis" in rule.defaults and rule.defaults["axis"] is None
            options = reducible + [None] * (whole and 0 not in shape)
            return draw(st.sampled_from(options))
        case Parameter.AXES:
            by_place = {axis % ndim: axis for axis in reducible}
            several: Any = st.lists(st.sampled_from(reducible), unique_by=lambda a: a % ndim).map(
                tuple
            )
            ways: list[Any] = [several if reducible else st.just(())]
            if reducible:
                ways.append(st.sampled_from(reducible))
            if len(by_place) == ndim:
                ways.append(st.none())
            return draw(st.one_of(ways))
        case Parameter.NEW_AXIS:
            return draw(st.integers(-ndim - 1, ndim))
        case Parameter.NEW_AXES:
            count = draw(st.integers(1, 2))
            places = st.integers(-ndim - count, ndim + count - 1)
            several = st.lists(
                places, min_size=count, max_size=count, unique_by=lambda a: a % (ndim + count)
            )
            one = st.integers(-ndim - 1, ndim)
            return draw(st.one_of(one, several.map(tuple)))
        case Parameter.UNIT_AXES:
            ones = [axis for axis in range(-ndim, ndim) if shape[axis] == 1]
            if not ones:
                return ()
            several = st.lists(st.sampled_from(ones), unique_by=lambda a: a % ndim).map(tuple)
            return draw(st.one_of(st.sampled_from(ones), several))
        case Parameter.PERMUTATION:
            turns = [[*range(i, ndim), *range(i)] for i in range(ndim)] or [[]]
            # A swap undoes itself, but no turn of three axes or more does.
            order = draw(st.one_of(st.permutations(range(ndim)), st.sampled_from(turns)))
            return tuple(axis - ndim * draw(st.booleans()) for axis in order)
        case Parameter.SHAPE:
            return draw(regrouped(shape))
        case Parameter.WIDER_SHAPE:
            wider = [draw(st.integers(1, MAX_SIDE)) if n == 1 else n for n in shape]
            before = draw(st.lists(st.integers(0, MAX_SIDE), max_size=2))
            return tuple(before + wider)
        case Parameter.INDEX:
            return draw(indices(shape))
        case Parameter.DIAGONAL:
            return draw(st.integers(min(0, 1 - shape[-2]), max(0, shape[-1] - 1)))
        case Parameter.ORDER:
            return draw(st.sampled_from([2, 1, 1.5, 3, -1, math.inf, -math.inf]))
        case Parameter.BASIS:
            complete = draw(st.booleans()) and shape[-2] == shape[-1]
            return ("complete" if complete else "reduced") if "mode" in rule.defaults else complete
        case Parameter.TRIANGLE:
            return draw(st.sampled_from("LU"))
        case Parameter.CUTOFF:
            return draw(st.sampled_from([None, 1e-3]))
        case Parameter.POINTS:
            return draw(st.sampled_from([1, 2, 3, 4, 5] + [None] * (min(shape, default=0) > 1)))
        case Parameter.NORM:
            return draw(st.sampled_from(["backward", "ortho", "forward"]))
    raise TypeError(f"{rule.name}: no strategy for a parameter that is {means.value}")


AXIS_NEEDED = {Parameter.AXIS, Parameter.ONLY_AXIS}
NEEDS_ENTRIES = (Shapes.NONEMPTY, Shapes.LOGITS)


@st.composite
def regrouped(draw: Callable, shape: tuple[int, ...]) -> Any:
    """Return shapes with as many entries as another one."""
    lengths = list(draw(st.permutations(shape)))
    while len(lengths) > 1 and draw(st.booleans()):  # join two axes
        lengths.append(lengths.pop() * lengths.pop())
    if draw(st.booleans()):
        lengths.insert(draw(st.integers(0, len(lengths))), 1)
    if 0 not in lengths and lengths and draw(st.booleans()):
        lengths[draw(st.integers(0, len(lengths) - 1))] = -1
    return tuple(lengths)


@st.composite
def indices(draw: Callable, shape: tuple[int, ...]) -> Any:
    """Return indices for a shape: basic, of integers (also twice the same), of bools, mixed."""
    kinds: list[st.SearchStrategy] = [
        hnp.basic_indices(shape, allow_newaxis=True, max_dims=MAX_NDIM + 1),
        hnp.arrays(bool, shape),
    ]
    if shape and 0 not in shape:
        count = draw(st.integers(1, MAX_SIDE))

        def some(axis: int) -> st.SearchStrategy:
            return hnp.arrays(
                "int64", (count,), elements=st.integers(-shape[axis], shape[axis] - 1)
            )

        kinds += [
            some(0),
            hnp.integer_array_indices(shape),
            st.tuples(
                *[st.one_of(some(i), st.integers(0, shape[i] - 1), st.just(slice(None)))
                  for i in range(len(shape))]
            ),
            st.tuples(st.just(Ellipsis), some(-1)),
        ]  # fmt: skip
    return draw(st.one_of(kinds))


# ---------------------------------------------------------------- arguments of a rule


@st.composite
def arguments(draw: Callable, rule: Rule, dtypes: Any = DTYPES, numbers: bool = False) -> Any:
    """Return valid operands and parameters of a rule: a tuple of arrays, and a dict.

    Parameters
    ----------
    rule : Rule
        One of `tinygraph.rules.RULES`.
    dtypes : sequence of dtype
        What the floating point operands may have, each for itself.
    numbers : bool
        Whether operands that broadcast may also be Python numbers; one at least stays an array.

    Examples
    --------
    >>> from hypothesis import given
    >>> from tinygraph.rules import RULES
    >>> @given(arguments(RULES["multiply"]))
    ... def commutes(drawn):
    ...     (a, b), params = drawn
    ...     assert (a * b == b * a).all()
    >>> commutes()
    """
    shapes_, params = draw(operand_shapes(rule))
    domains = rule.domain if len(rule.domain) == len(shapes_) else rule.domain[:1] * len(shapes_)
    kinds = [draw(st.sampled_from(list(dtypes))) for _ in shapes_]
    if any(one.distinct for one in domains):
        operands = draw(apart(shapes_, kinds, domains[-1]))
    else:
        operands = [
            draw(arrays(shape, dtype, domain))
            for shape, dtype, domain in zip(shapes_, kinds, domains, strict=True)
        ]
    if rule.shapes is Shapes.LOGITS and draw(st.booleans()):
        logits = operands[0]
        axis = params["axis"] % logits.ndim
        samples = logits.shape[:axis] + logits.shape[axis + 1 :]
        classes = st.integers(0, logits.shape[axis] - 1)
        integer = draw(st.sampled_from(["int64", "uint8"]))
        operands[1] = draw(hnp.arrays(integer, samples, elements=classes, fill=st.nothing()))
    if rule.shapes is Shapes.ALONG:
        whole = params.get("shape", operands[0].shape)
        length = whole[params["axis"]]
        places = st.integers(-length, length - 1)
        operands[1] = draw(hnp.arrays("int64", shapes_[1], elements=places, fill=st.nothing()))
    if numbers and rule.broadcasts and len(operands) > 1:
        place = draw(st.integers(0, len(operands) - 1))
        for i, domain in enumerate(domains):
            if i != place and domain.of == "real" and not domain.distinct:
                operands[i] = draw(values(domain, kinds[i]))
    return tuple(operands), params


@st.composite
def operand_shapes(draw: Callable, rule: Rule) -> Any:
    """Return shapes for the operands of a rule, and the parameters that go with them."""
    fixed: dict[str, Any] = {}
    match rule.shapes:
        case Shapes.BROADCAST:
            found = draw(broadcastable_shapes(len(rule.operands)))
        case Shapes.MATMUL:
            found = draw(broadcastable_shapes(2, signature=numpy.matmul.signature))
        case Shapes.SOLVED:
            a, b = draw(broadcastable_shapes(2, signature="(n,n),(n,k)->(n,k)", max_dims=1))
            found = a, b[-2:-1] if draw(st.booleans()) else b
        case Shapes.BETWEEN:
            found = draw(broadcastable_shapes(3, signature="(m,m),(n,n),(m,n)->()", max_dims=1))
        case Shapes.MATRIX | Shapes.SQUARE:
            signature = "(n,n)->()" if rule.shapes is Shapes.SQUARE else "(m,n)->()"
            found = draw(broadcastable_shapes(1, signature=signature, max_dims=1))
        case Shapes.VECTORS | Shapes.TRIPLES:
            core = "n" if rule.shapes is Shapes.VECTORS else "3"
            found = draw(broadcastable_shapes(2, signature=f"({core}),({core})->()"))
            fixed["axis"] = axis = -draw(st.integers(1, min(map(len, found))))
            found = tuple(
                (*one[: len(one) + axis], one[-1], *one[len(one) + axis : -1]) for one in found
            )
        case Shapes.CONTRACTED:
            summed, left, right = (draw(shapes(max_ndim=2)) for _ in range(3))
            found, fixed["axes"] = (left + summed, summed + right), len(summed)
            if draw(st.booleans()):
                orders = [draw(st.permutations(range(len(one)))) for one in found]
                found = tuple(
                    tuple(one[i] for i in order) for one, order in zip(found, orders, strict=True)
                )
                fixed["axes"] = tuple(
                    [order.index(i + start) for i in range(len(summed))]
                    for order, start in zip(orders, (len(left), 0), strict=True)
                )
        case Shapes.ANY | Shapes.NONEMPTY | Shapes.LOGITS:
            needs_axis = AXIS_NEEDED & {*rule.parameters.values()}
            found = (draw(_with_axis(rule) if needs_axis else shapes()),)
            if rule.shapes is Shapes.LOGITS:
                found *= 2
        case Shapes.EQUAL:
            found = (draw(shapes()),) * draw(st.integers(1, 3))
        case Shapes.JOINED:
            first = draw(shapes(min_ndim=1))
            axis = draw(st.integers(-len(first), len(first) - 1))
            (name,) = rule.parameters
            fixed[name] = axis
            lengths = draw(st.lists(st.integers(0, MAX_SIDE), min_size=1, max_size=3))
            at = axis % len(first)
            found = tuple((*first[:at], n, *first[at + 1 :]) for n in lengths)
            if draw(st.sampled_from([False, False, True])):  # flattened first: any shapes will do
                fixed[name] = None
                found = tuple(draw(st.lists(shapes(), min_size=1, max_size=3)))
        case Shapes.REPLACED:
            whole = draw(shapes())
            fixed["index"] = index = draw(indices(whole))
            selected = numpy.empty(whole)[index].shape
            kept = selected[draw(st.integers(0, len(selected))) :]
            found = whole, tuple(draw(st.sampled_from([n, 1])) for n in kept)
        case Shapes.ALONG:
            whole = draw(shapes(min_ndim=1, empty=False))
            fixed["axis"] = axis = draw(st.integers(-len(whole), len(whole) - 1))
            at, count = axis % len(whole), draw(st.integers(draw(_least_side()), MAX_SIDE))
            places = (*whole[:at], count, *whole[at + 1 :])
            found = whole, places
            if "shape" in rule.parameters:
                fixed["shape"], found = whole, (places, places)
        case Shapes.SCATTERED:
            whole = draw(shapes())
            for name, means in rule.parameters.items():
                fixed[name] = whole if means is Parameter.INDEXED_SHAPE else draw(indices(whole))
            (index,) = (
                fixed[name] for name, means in rule.parameters.items() if means is Parameter.INDEX
            )
            found = (numpy.empty(whole)[index].shape,)
        case Shapes.WINDOWED | Shapes.WINDOWS:
            lengths, fixed["window"] = draw(sliding())
            found = (draw(shapes(max_ndim=1)) + lengths,)
            if rule.shapes is Shapes.WINDOWS:
                fixed["lengths"] = lengths
                found = (windows(numpy, numpy.empty(found[0]), fixed["window"]).shape,)
    for name, means in rule.parameters.items():
        if name not in fixed:
            fixed[name] = draw(parameter(means, rule, found[0]))
    return found, fixed


@st.composite
def sliding(draw: Callable) -> Any:
    """Return the lengths of one or two axes, and a window that slides over them."""
    lengths, window = [], []
    for _ in range(draw(st.integers(1, 2))):
        size, stride, dilation = (draw(st.integers(1, MAX_SIDE)) for _ in range(3))
        before, after = draw(st.integers(0, 2)), draw(st.integers(0, 2))
        least = max(0, dilation * (size - 1) + 1 - before - after)
        lengths.append(draw(st.integers(least, max(1, least) + MAX_SIDE)))
        window.append((size, stride, dilation, before, after))
    return tuple(lengths), tuple(window)


def _with_axis(rule: Rule) -> st.SearchStrategy:
    """Return shapes that have an axis to choose, with entries along it where these are needed."""
    found = shapes(min_ndim=1)
    return found.filter(any) if rule.shapes in NEEDS_ENTRIES else found


def differentiable(rule: Rule, operands: tuple) -> list[int]:
    """Return the places of the operands that can require a gradient."""
    return [
        i
        for i, one in enumerate(operands)
        if (rule.variadic or rule.vjp[i] is not None)
        and isinstance(one, numpy.ndarray)
        and one.dtype.kind == "f"
    ]


def __getattr__(name: str) -> Any:
    if name == "programs":  # which are drawn with what is here
        return import_module(".programs", __package__).programs
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
