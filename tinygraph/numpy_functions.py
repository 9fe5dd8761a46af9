"""NumPy's functions that are made of others: recorded as their parts.

Each takes NumPy's arguments. Those that only move entries are not written out at all: NumPy's own
function is applied to the entries' places, and the entries are taken from there.
"""

import inspect
from collections.abc import Callable
from functools import cache, partial, reduce
from itertools import accumulate
from operator import attrgetter
from string import ascii_letters
from typing import Any

import numpy
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from . import namespace as xp
from .errors import ArgumentError, BoundsError, DTypeError, ShapeError
from .tensor import Tensor
from .trees import flatten

IN_C: dict[Any, Callable] = {  # the signatures of functions in C, which NumPy tells since 2.4 only
    numpy.bincount: lambda x, /, weights=None, minlength=0: 0,
    numpy.can_cast: lambda from_, to, casting="safe": 0,
    numpy.concatenate: lambda arrays, /, axis=0, out=None, *, dtype=None, casting="same_kind": 0,
    numpy.copyto: lambda dst, src, casting="same_kind", where=True: 0,
    numpy.dot: lambda a, b, out=None: 0,
    numpy.empty_like: lambda prototype, /, dtype=None, order="K", subok=True, shape=None, *,
        device=None: 0,
    numpy.inner: lambda a, b, /: 0,
    numpy.putmask: lambda a, /, mask, values: 0,
    numpy.result_type: lambda *arrays_and_dtypes: 0,
    numpy.vdot: lambda a, b, /: 0,
    numpy.where: lambda condition, x=None, y=None, /: 0,
}  # fmt: skip


@cache
def signature_of(function: Callable) -> inspect.Signature:
    """Return how a function is called."""
    return inspect.signature(IN_C.get(function, function))


# ---------------------------------------------------------------- moving entries

# What they move, by the names of NumPy's parameters; * for all of several arguments.
MOVES = {
    "append": "arr values", "array_split": "ary", "atleast_1d": "*", "atleast_2d": "*",
    "atleast_3d": "*", "block": "arrays", "broadcast_arrays": "*", "choose": "choices",
    "column_stack": "tup", "compress": "a", "delete": "arr", "diag": "v", "diagflat": "v",
    "diagonal": "a", "dsplit": "ary", "dstack": "tup", "extract": "arr", "fft.fftshift": "x",
    "fft.ifftshift": "x", "flip": "m", "fliplr": "m", "flipud": "m", "hsplit": "ary",
    "hstack": "tup", "insert": "arr values", "lib.stride_tricks.sliding_window_view": "x",
    "meshgrid": "*", "moveaxis": "a", "repeat": "a", "resize": "a", "roll": "a", "rollaxis": "a",
    "rot90": "m", "split": "ary", "tile": "A", "tril": "m", "triu": "m",
    "vsplit": "ary", "vstack": "tup",
}  # fmt: skip
# The same for those that change their first argument.
CHANGES = {
    "copyto": "dst src", "fill_diagonal": "a val", "place": "arr vals", "put": "a v",
    "put_along_axis": "arr values", "putmask": "a values",
}  # fmt: skip


def mover(theirs: Callable, moved: str, changes: bool = False) -> Callable:
    """Make the function that moves entries of Tensors as NumPy's moves those of arrays."""

    def call(*args: Any, dtype: Any = None, **options: Any) -> Any:
        bound = signature_of(theirs).bind(*args, **options)
        names = moved.split() if moved != "*" else list(bound.arguments)[:1]
        parts = [xp.zeros((1,), dtype=bool)]  # for the zeros that are put in, in place 0

        def place(data: Any) -> Any:
            array = xp.asarray(data)
            start = sum(one.size for one in parts)
            parts.append(array.reshape(-1))
            return numpy.arange(start, start + array.size).reshape(array.shape)

        target = args[0]
        if changes and not isinstance(target, Tensor):
            raise DTypeError(
                f"numpy.{theirs.__name__}: an array cannot hold a Tensor with its gradient. Change "
                "a Tensor, or write the values of this one, with .numpy()."
            )
        for name, given in bound.arguments.items():
            bound.arguments[name] = each(place if name in names else values, given)
        places = theirs(*bound.args, **bound.kwargs)
        entries = xp.concat([parts[0].astype(parts[1].dtype), *parts[1:]])
        entries = xp.asarray(entries, dtype=dtype)
        if not changes:
            return each(lambda one: entries[one], places)
        target[...] = entries[bound.arguments[names[0]]]
        return None

    return call


def values(data: Any) -> Any:
    """Return what says where: without a gradient, as an array."""
    return data.detach().numpy() if isinstance(data, Tensor) else data


def each(function: Callable, data: Any) -> Any:
    """Apply a function to an array, or to each array of nested lists and tuples of them."""
    if isinstance(data, list | tuple) and any(
        isinstance(one, Tensor | numpy.ndarray) for one in flatten(data)[0]
    ):
        return type(data)(each(function, one) for one in data)
    return function(data)


# ---------------------------------------------------------------- products


def dot(a: Any, b: Any) -> Tensor:
    """Sum over the last axis of a and the last but one of b."""
    a, b = xp.asarray(a), xp.asarray(b)
    if not a.ndim or not b.ndim:
        return a * b
    return xp.tensordot(a, b, axes=((a.ndim - 1,), (max(b.ndim - 2, 0),)))


def inner(a: Any, b: Any) -> Tensor:
    """Sum over the last axes of both."""
    a, b = xp.asarray(a), xp.asarray(b)
    return xp.tensordot(a, b, axes=((-1,), (-1,))) if a.ndim and b.ndim else a * b


def outer(a: Any, b: Any) -> Tensor:
    """Multiply each entry of a by each of b."""
    return xp.asarray(a).reshape(-1, 1) * xp.asarray(b).reshape(-1)


def kron(a: Any, b: Any) -> Tensor:
    """Put b, times each entry of a, at the place of that entry."""
    a, b = xp.asarray(a), xp.asarray(b)
    ndim = max(a.ndim, b.ndim)
    first, second = ((1,) * (ndim - one.ndim) + one.shape for one in (a, b))
    between = (tuple(n for pair in pairs for n in pair) for pairs in (
        [(n, 1) for n in first], [(1, n) for n in second]))  # fmt: skip
    left, right = (one.reshape(shape) for one, shape in zip((a, b), between, strict=True))
    return (left * right).reshape(tuple(m * n for m, n in zip(first, second, strict=True)))


def einsum(*operands: Any, optimize: Any = False) -> Tensor:
    """Sum products of entries as subscripts say, one pair of operands after the other."""
    text, *arrays = operands if isinstance(operands[0], str) else as_text(*operands)
    given, arrow, out = text.replace(" ", "").partition("->")
    tensors = [xp.asarray(one) for one in arrays]
    try:  # without numbers, for what NumPy says of the subscripts
        shapes = [numpy.broadcast_to(0.0, one.shape) for one in tensors]
        numpy.einsum_path(text, *shapes, optimize=False)
    except ValueError as error:
        raise ArgumentError(f"numpy.einsum: {text!r}: {error}") from None
    labels, wide = [], ""
    spare = [one for one in ascii_letters if one not in text]
    for one, tensor in zip(given.split(","), tensors, strict=True):
        hidden = "".join(spare[: tensor.ndim - len(one.replace("...", ""))][::-1])
        wide = max(wide, hidden, key=len)
        labels.append(one.replace("...", hidden))
    if wide and arrow and "..." not in out:
        raise ArgumentError(f"numpy.einsum: {text!r}: the output has no '...' for operands' axes.")
    if arrow:
        out = out.replace("...", wide)
    else:
        every = "".join(labels)
        out = wide + "".join(sorted(one for one in set(every) - set(wide) if every.count(one) == 1))
    terms = [distinct(*pair) for pair in zip(tensors, labels, strict=True)]
    later = list(accumulate([out, *(one for _, one in terms[:0:-1])]))[::-1]
    total, names = terms[0]
    for (tensor, more), keep in zip(terms[1:], later[1:], strict=True):
        total, names = contract(total, names, tensor, more, keep)
    total, names = summed(total, names, out)
    return xp.permute_dims(total, tuple(map(names.index, out)))


def as_text(*operands: Any) -> tuple:
    """Return subscripts as one string, and the arrays, each of which had its own in a list."""
    letters, count = ascii_letters.swapcase(), len(operands) // 2  # in the order of their codes
    lists = operands[1 : 2 * count : 2] + operands[2 * count :]
    texts = ["".join("..." if i is Ellipsis else letters[i] for i in one) for one in lists]
    return "->".join([",".join(texts[:count]), *texts[count:]]), *operands[: 2 * count : 2]


def distinct(x: Tensor, names: str) -> tuple[Tensor, str]:
    """Take the diagonal over axes of the same name."""
    for one in dict.fromkeys(names):
        while names.count(one) > 1:
            first = names.index(one)
            second = names.index(one, first + 1)
            x = mover(numpy.diagonal, "a")(x, 0, first, second)
            names = names[:first] + names[first + 1 : second] + names[second + 1 :] + one
    return x, names


def summed(x: Tensor, names: str, keep: str) -> tuple[Tensor, str]:
    """Sum over the axes that nobody needs."""
    axes = tuple(i for i, one in enumerate(names) if one not in keep)
    return (xp.sum(x, axis=axes) if axes else x), "".join(one for one in names if one in keep)


def contract(a: Tensor, left: str, b: Tensor, right: str, keep: str) -> tuple[Tensor, str]:
    """Multiply two arrays with named axes, and sum over those that both have and nobody needs."""
    a, left = summed(a, left, right + keep)
    b, right = summed(b, right, left + keep)
    both = [one for one in left if one in right]
    batch = "".join(one for one in both if one in keep)
    over = "".join(one for one in both if one not in keep)
    rows, columns = ("".join(one for one in names if one not in both) for names in (left, right))

    def arranged(x: Tensor, names: str, order: tuple[str, str, str]) -> Tensor:
        x = xp.permute_dims(x, tuple(map(names.index, "".join(order))))
        start, middle = len(order[0]), len(order[0]) + len(order[1])
        lengths = x.shape[:start], x.shape[start:middle], x.shape[middle:]
        return x.reshape(*lengths[0], numpy.prod(lengths[1], dtype=int),
                         numpy.prod(lengths[2], dtype=int))  # fmt: skip

    product = arranged(a, left, (batch, rows, over)) @ arranged(b, right, (batch, over, columns))
    lengths = [a.shape[left.index(one)] for one in rows]
    lengths += [b.shape[right.index(one)] for one in columns]
    return product.reshape(*product.shape[:-2], *lengths), batch + rows + columns


def correlate(a: Any, v: Any, mode: str = "valid") -> Tensor:
    """Slide one sequence over another."""
    return convolve(a, xp.conj(xp.asarray(v))[::-1], mode, correlating=True)


def convolve(a: Any, v: Any, mode: str = "full", correlating: bool = False) -> Tensor:
    """Multiply two sequences as polynomials are multiplied."""
    a, v = (one.reshape(1) if one.ndim == 0 else one for one in (xp.asarray(a), xp.asarray(v)))
    swapped = v.size > a.size
    if swapped:
        a, v = v, a
    n, m = a.size, v.size
    lost = {"full": (0, 0), "same": ((m - 1) // 2, m // 2), "valid": (m - 1, m - 1)}
    if mode not in lost:
        raise ArgumentError(f"numpy.convolve: mode {mode!r} is not 'full', 'same' or 'valid'.")
    padded = xp.concat([xp.zeros(m - 1, dtype=a.dtype), a, xp.zeros(m - 1, dtype=a.dtype)])
    windows = padded[numpy.arange(n + m - 1)[:, None] + numpy.arange(m)]
    front, back = lost[mode] if not (correlating and swapped) else lost[mode][::-1]
    return (windows @ v[::-1])[front : n + m - 1 - back]


# ---------------------------------------------------------------- some of the entries


def beside(name: str, join: str, unit: float) -> Callable:
    """Make a reduction of the entries where a condition holds, and of a number beside them."""

    def call(a: Any, *, initial: Any = None, where: Any = True, **options: Any) -> Tensor:
        a, some, extreme = xp.asarray(a), where is not True, numpy.isinf(unit)
        other = None if initial is None else xp.asarray(initial)
        if some:
            where = xp.broadcast_to(where, a.shape)
            a = xp.where(where, a, other.astype(a.dtype) if extreme and other is not None else unit)
        if other is not None:
            y = xp.public(name if a.size else "sum")(a, **options)
            return xp.public(join if a.size else "add")(y, other.astype(y.dtype))
        y = xp.public(name)(a, **options)
        return xp.where(xp.any(where, **options), y, numpy.nan) if some and extreme else y

    return call


def mean(a: Any, axis: Any = None, dtype: Any = None, where: Any = True, **kept: Any) -> Tensor:
    """Return the mean of the entries where a condition holds."""
    a = xp.asarray(a, dtype=dtype)
    if where is True:
        return xp.mean(a, axis=axis, **kept)
    there = xp.broadcast_to(where, a.shape).astype(a.dtype)
    return average(xp.where(where, a, 0.0), axis, there, **kept)


def variance(
    a: Any, axis: Any = None, dtype: Any = None, *, name: str = "var", ddof: float = 0,
    correction: Any = None, keepdims: bool = False, where: Any = True, mean: Any = None,
) -> Tensor:  # fmt: skip
    """Return the variance or deviation, about a given mean, of entries where a condition holds."""
    a, ddof = xp.asarray(a, dtype=dtype), ddof if correction is None else correction
    over = {"axis": axis, "keepdims": keepdims}
    if where is True and mean is None:
        return xp.public(name)(a, correction=ddof, **over)
    mean = SOME["mean"](a, axis, keepdims=True, where=where) if mean is None else mean
    off = xp.where(where, a - mean, 0.0)
    there = xp.broadcast_to(where, a.shape).astype(xp.real(off).dtype)
    y = xp.sum(xp.linalg.squares(off), **over) / (xp.sum(there, **over) - ddof)
    return xp.linalg.root(y) if name == "std" else y


def of_numbers(function: Callable) -> Callable:
    """Make a reduction of the entries where a condition holds one that passes NaN over."""

    def call(a: Any, *args: Any, where: Any = True, **options: Any) -> Tensor:
        return function(a, *args, where=~xp.isnan(xp.asarray(a)) & where, **options)

    return call


def nan_to_num(
    x: Any, copy: bool = True, nan: float = 0.0, posinf: Any = None, neginf: Any = None
) -> Tensor:
    """Put numbers in the place of NaN and infinities."""
    if not copy:
        raise ArgumentError("numpy.nan_to_num of a Tensor: copy=False would not change it.")
    x = xp.asarray(x)
    if x.dtype.kind not in "fc":
        return x
    if x.dtype.kind == "c":
        parts = (nan_to_num(part, True, nan, posinf, neginf) for part in (xp.real(x), xp.imag(x)))
        real, imaginary = parts
        return real + imaginary * 1j
    limits = numpy.finfo(x.dtype)
    high = limits.max.item() if posinf is None else posinf
    low = limits.min.item() if neginf is None else neginf
    x = xp.where(xp.isnan(x), nan, x)
    return xp.where(x == numpy.inf, high, xp.where(x == -numpy.inf, low, x))


# ---------------------------------------------------------------- statistics


def average(
    a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: bool = False
) -> Any:
    """Return the weighted mean."""
    a = xp.asarray(a)
    if weights is None:
        mean = xp.mean(a, axis=axis, keepdims=keepdims)
        total = xp.ones(mean.shape, dtype=mean.dtype) * (a.size / max(mean.size, 1))
    else:
        weights = xp.asarray(weights)
        if weights.ndim == 1 and a.ndim > 1:
            weights = weights.reshape(tuple(-1 if i == axis % a.ndim else 1 for i in range(a.ndim)))
        weights = xp.broadcast_to(weights, a.shape)
        total = xp.sum(weights, axis=axis, keepdims=keepdims)
        mean = xp.sum(a * weights, axis=axis, keepdims=keepdims) / total
    return (mean, total) if returned else mean


def ptp(a: Any, axis: Any = None, *, keepdims: bool = False) -> Tensor:
    """Return the range of the entries."""
    return xp.max(a, axis=axis, keepdims=keepdims) - xp.min(a, axis=axis, keepdims=keepdims)


def quantiles(theirs: Callable) -> Callable:
    """Make a function of quantiles; where they lie NumPy's says, of the numbers from 0 up."""

    def call(
        a: Any, *args: Any, axis: Any = None, keepdims: Any = False, method: Any = None
    ) -> Tensor:
        a, q = xp.asarray(a), [x if type(x) in (int, float) else numpy.array(x) for x in args]
        over = {*(range(a.ndim) if axis is None else normalize_axis_tuple(axis, a.ndim))}
        kept = [i for i in range(a.ndim) if i not in over]
        shape = [a.shape[i] for i in kept]
        rows = xp.permute_dims(a, (*sorted(over), *kept)).reshape(-1, numpy.prod(shape, dtype=int))
        rows = xp.sort(rows, axis=0)  # NaN last
        lost, column = numpy.isnan(values(rows)), numpy.arange(rows.shape[1])
        ranks = numpy.arange(rows.shape[0])[:, None] + 0 * lost
        ranks = numpy.where(lost, numpy.nan, ranks) if lost.any() else ranks
        place = theirs(ranks, *q, axis=0, **({"method": method} if method else {}))
        low, high = (numpy.nan_to_num(one(place)).astype(int) for one in (numpy.floor, numpy.ceil))
        y = rows[low, column]
        if place.dtype.kind == "f":
            weak = rows.dtype.kind == "f" and not any(isinstance(one, numpy.ndarray) for one in q)
            share = numpy.nan_to_num(place - low).astype(rows.dtype if weak else float)
            y = y * (1 - share) + xp.where(share == 0, 0.0, rows[high, column]) * share
            y = xp.where(numpy.isnan(place), numpy.nan, y)
        shape = [1 if i in over else n for i, n in enumerate(a.shape)] if keepdims else shape
        return y.reshape(*low.shape[:-1], *shape)

    return call


def cov(
    m: Any, y: Any = None, rowvar: bool = True, bias: bool = False, ddof: Any = None,
    fweights: Any = None, aweights: Any = None, *, dtype: Any = None,
) -> Tensor:  # fmt: skip
    """Return the covariances of variables, each a row of observations, which may have weights."""
    m = variables(m, rowvar, dtype)
    if y is not None:
        m = xp.concat([m, variables(y, rowvar, dtype)])
    ddof = (0 if bias else 1) if ddof is None else ddof
    weights = [xp.asarray(one) for one in (fweights, aweights) if one is not None]
    w = reduce(xp.multiply, weights, xp.ones(m.shape[1], dtype=xp.real(m).dtype))
    off = m - xp.sum(m * w, axis=1, keepdims=True) / xp.sum(w)
    lost = 1 if aweights is None else xp.sum(w * weights[-1]) / xp.sum(w)
    products = (off * w) @ xp.conj(off).T / xp.maximum(xp.sum(w) - ddof * lost, 0.0)
    return products.reshape(()) if products.size == 1 else products


def variables(m: Any, rowvar: bool, dtype: Any = None) -> Tensor:
    """Return variables as the rows of a matrix."""
    m = xp.asarray(m)
    m = m.astype(numpy.result_type(m.dtype, numpy.float64) if dtype is None else dtype)
    return m.reshape(1, -1) if m.ndim < 2 else m if rowvar or m.shape[0] == 1 else m.T


def corrcoef(x: Any, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Tensor:
    """Return the correlations of variables."""
    products = cov(x, y, rowvar, dtype=dtype)
    if not products.ndim:
        return products / products
    deviation = xp.sqrt(xp.real(products[numpy.diag_indices(products.shape[0])]))
    return products / deviation[:, None] / deviation


# ---------------------------------------------------------------- calculus


def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """Return differences in the middle, and one-sided ones at the ends."""
    f = xp.linalg.floating(f)
    axes = range(f.ndim) if axis is None else normalize_axis_tuple(axis, f.ndim, "numpy.gradient")
    steps = varargs * len(axes) if len(varargs) == 1 else varargs or (1.0,) * len(axes)
    if len(steps) != len(axes) or edge_order not in (1, 2):
        raise ArgumentError("numpy.gradient: one spacing for each axis, and edge_order 1 or 2.")
    if any(f.shape[one] <= edge_order for one in axes):
        raise ShapeError(f"numpy.gradient: shape {f.shape} has too few entries to differ.")
    found = [sloped(f, step, one, edge_order) for one, step in zip(axes, steps, strict=True)]
    return found[0] if len(found) == 1 else tuple(found)


def sloped(f: Tensor, step: Any, axis: int, edge_order: int) -> Tensor:
    """Return the derivative along one axis."""
    f = xp.moveaxis(f, axis, 0)
    n = f.shape[0]
    x = numpy.arange(n) * step if numpy.ndim(step) == 0 else numpy.asarray(step)
    matrix = numpy.zeros((n, n))
    for i in range(n):
        left = min(max(i - 1, 0), n - (1 + edge_order if i == n - 1 else 2))
        count = 3 if 0 < i < n - 1 or edge_order == 2 else 2
        places = numpy.arange(left, left + count)
        powers = numpy.vander(x[places] - x[i], increasing=True).T
        matrix[i, places] = numpy.linalg.solve(powers, numpy.eye(count)[1])
    slopes = xp.tensordot(matrix.astype(f.dtype), f, axes=((1,), (0,)))
    return xp.moveaxis(slopes, 0, axis)


def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Tensor:
    """Integrate by trapezoids."""
    y = xp.moveaxis(xp.asarray(y), axis, -1)
    if x is not None:
        x = xp.asarray(x)
        x = x if x.ndim == 1 else xp.moveaxis(x, axis, -1)
        dx = x[..., 1:] - x[..., :-1]
    return xp.sum(dx * (y[..., 1:] + y[..., :-1]) / 2, axis=-1)


def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Tensor:
    """Return the differences of neighbours, with something before and after."""
    flat = xp.asarray(ary).reshape(-1)
    parts = [to_begin, flat[1:] - flat[:-1], to_end]
    return xp.concat([xp.asarray(one).reshape(-1) for one in parts if one is not None])


def unwrap(p: Any, discont: Any = None, axis: int = -1, *, period: float = 2 * numpy.pi) -> Tensor:
    """Add whole periods where neighbours are more than half of one apart."""
    p = xp.asarray(p)
    values = p.detach().numpy()
    return p + (numpy.unwrap(values, discont, axis, period=period) - values)


def interp(
    x: Any, known: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None
) -> Tensor:
    """Interpolate between points, with the values at the ends beyond them."""
    x, known, values = (xp.asarray(one) for one in (x, known, fp))
    if period is not None:
        x, known, left, right = x % abs(period), known % abs(period), None, None
        around = numpy.argsort(known.numpy()).take(range(-1, known.size + 1), mode="wrap")
        turns = numpy.array([-period] + [0] * known.size + [period]) * numpy.sign(period)
        known, values = known[around] + turns, values[around]
    i = numpy.searchsorted(known.numpy(), x.numpy(), side="right").clip(1, max(known.size - 1, 1))
    before, after = values[i - 1], values[numpy.minimum(i, values.size - 1)]
    low, high = known[i - 1], known[numpy.minimum(i, known.size - 1)]
    width = xp.where(high == low, 1.0, high - low)
    y = before + (after - before) / width * (x - low)
    first, last = values[0] if left is None else left, values[-1] if right is None else right
    y = xp.where(x == known[-1], values[-1], xp.where(x > known[-1], last, y))
    return xp.where(x < known[0], first, y)


# ---------------------------------------------------------------- polynomials


def polyval(p: Any, x: Any) -> Tensor:
    """Evaluate a polynomial, the coefficient of the highest power first."""
    x = xp.asarray(x)
    return reduce(lambda total, one: total * x + one, xp.asarray(p), x * 0.0)


def aligned(a: Any, b: Any) -> list[Tensor]:
    """Return the coefficients of two polynomials, with zeros before those of the shorter one."""
    both = [xp.asarray(one).reshape(-1) for one in (a, b)]
    size = max(one.size for one in both)
    return [xp.concat([xp.zeros(size - one.size, dtype=one.dtype), one]) for one in both]


def polyder(p: Any, m: int = 1) -> Tensor:
    """Return the coefficients of the derivative."""
    p = xp.asarray(p)
    for _ in range(m):
        p = p[:-1] * numpy.arange(p.size - 1, 0, -1)
    return p


def polydiv(u: Any, v: Any) -> tuple[Tensor, Tensor]:
    """Return the quotient of two polynomials, and the remainder without zeros in front."""
    rest, v = (xp.asarray(one).reshape(-1) * 1.0 for one in (u, v))
    quotient = [xp.zeros((), dtype=rest.dtype)] * (rest.size < v.size)
    for _ in range(rest.size - v.size + 1):
        quotient.append(rest[0] / v[0])
        rest = xp.concat([rest[1 : v.size] - quotient[-1] * v[1:], rest[v.size :]])
    while rest.size > 1 and numpy.allclose(values(rest[0]), 0, rtol=1e-14):
        rest = rest[1:]
    return xp.stack(quotient), rest if rest.size else xp.zeros(1, dtype=rest.dtype)


def polyint(p: Any, m: int = 1, k: Any = None) -> Tensor:
    """Return the coefficients of an antiderivative."""
    p = xp.asarray(p)
    constants = [0.0] * m if k is None else numpy.broadcast_to(k, (m,))
    for one in constants:
        whole = p / numpy.arange(p.size, 0, -1)
        p = xp.concat([whole, xp.asarray(one).astype(whole.dtype).reshape(1)])
    return p


def vander(x: Any, N: Any = None, increasing: bool = False) -> Tensor:
    """Return the powers of each entry."""
    x = xp.asarray(x)
    x = x.astype(numpy.result_type(x.dtype, int))
    powers = numpy.arange(x.size if N is None else N)
    return xp.stack([x ** int(n) for n in (powers if increasing else powers[::-1])], axis=-1)


# ---------------------------------------------------------------- choosing


def select(condlist: Any, choicelist: Any, default: Any = 0) -> Tensor:
    """Take each entry from the first array whose condition holds."""
    pairs = list(zip(condlist, choicelist, strict=True))[::-1]
    return reduce(lambda rest, pair: xp.where(pair[0], pair[1], rest), pairs, default)


def piecewise(x: Any, condlist: Any, funclist: Any, *args: Any, **options: Any) -> Tensor:
    """Apply to the entries where a condition holds the function that belongs to it."""
    x = xp.asarray(x)
    masks = numpy.asarray(each(values, condlist), dtype=bool)
    masks = masks[None] if masks.ndim == x.ndim else masks
    if len(funclist) - len(masks) not in (0, 1):
        raise ArgumentError("numpy.piecewise: give a function for each condition, and one beside.")
    rest, y = ~masks.any(axis=0), xp.zeros_like(x)
    for mask, one in zip([*masks, rest], funclist, strict=False):
        if not callable(one) or mask.any():
            y[mask] = one(x[mask], *args, **options) if callable(one) else one
    return y


def apply_along_axis(func1d: Callable, axis: int, arr: Any, *args: Any, **options: Any) -> Tensor:
    """Apply a function to each line along an axis."""
    lines = xp.moveaxis(xp.asarray(arr), axis, -1)
    found = [func1d(one, *args, **options) for one in lines.reshape(-1, lines.shape[-1])]
    whole = xp.stack(found)
    ndim = whole.ndim - 1
    whole = whole.reshape(lines.shape[:-1] + whole.shape[1:])
    order = tuple(range(lines.ndim - 1, lines.ndim - 1 + ndim))
    return xp.moveaxis(whole, order, tuple(range(axis % lines.ndim, axis % lines.ndim + ndim)))


def apply_over_axes(func: Callable, a: Any, axes: Any) -> Tensor:
    """Apply a function along each axis in turn, and keep the axes."""
    a = xp.asarray(a)
    for axis in numpy.ravel(axes).tolist():
        y = func(a, axis)
        a = y if y.ndim == a.ndim else xp.expand_dims(y, axis=axis)
    return a


def trim_zeros(filt: Any, trim: str = "fb") -> Tensor:
    """Leave out the zeros before and after."""
    x = xp.asarray(filt)
    there = numpy.argwhere(values(x))
    first, last = [None] * x.ndim, [None] * x.ndim
    if "f" in trim.lower() or not there.size:
        first = there.min(axis=0, initial=x.size).tolist()
    if "b" in trim.lower():
        last = (there.max(axis=0, initial=-1) + 1).tolist()
    return x[tuple(map(slice, first, last))]


def running(function: str, fill: Any = None) -> Callable:
    """Make NumPy's function of a running sum or product, of all entries if there is no axis."""

    def call(a: Any, axis: Any = None, dtype: Any = None) -> Tensor:
        a = xp.asarray(a) if fill is None else xp.where(xp.isnan(xp.asarray(a)), fill, a)
        a, axis = (a.reshape(-1), 0) if axis is None else (a, axis)
        return xp.public(function)(a, axis=axis, dtype=dtype)

    return call


def pad(array: Any, pad_width: Any, mode: str = "constant", **options: Any) -> Tensor:
    """Put numbers, entries of the array, or what leads from one to the other, around it."""
    x, odd = xp.asarray(array), options.get("reflect_type", "even") != "even"
    ends = xp.asarray(options.pop("constant_values" if mode == "constant" else "end_values", 0.0))
    if mode in ("constant", "edge", "wrap") or (mode in ("reflect", "symmetric") and not odd):
        places = numpy.arange(ends.size + x.size)
        if mode == "constant":
            options["constant_values"] = places[: ends.size].reshape(ends.shape)
        places = places[ends.size :].reshape(x.shape)
        places = numpy.pad(places, pad_width, mode, **options)  # type: ignore[call-overload]
        return xp.concat([ends.astype(x.dtype).reshape(-1), x.reshape(-1)])[places]
    if mode not in ("linear_ramp", "reflect", "symmetric"):
        raise ArgumentError(f"numpy.pad of a Tensor has no mode {mode!r}. Use numpy.concatenate.")
    ends = xp.broadcast_to(ends, (x.ndim, 2))
    for axis, (before, after) in enumerate(numpy.broadcast_to(pad_width, (x.ndim, 2)).tolist()):
        x = xp.moveaxis(x, axis, 0)
        if odd:
            x = turned(x, before, after, int(mode == "reflect"))
        else:
            first = linspace(ends[axis, 0], x[0], before, False, dtype=x.dtype)
            last = linspace(ends[axis, 1], x[-1], after, False, dtype=x.dtype)
            x = xp.concat([first, x, last[::-1]])
        x = xp.moveaxis(x, 0, axis)
    return x


def turned(x: Tensor, before: int, after: int, step: int) -> Tensor:
    """Continue an array by itself turned about its ends; with a step of 0 these come again."""
    step = min(step, x.shape[0] - 1)
    period = x.shape[0] - step
    while before or after:
        whole = (x.shape[0] - step) // period * period
        i, j = min(before, whole), min(after, whole)
        first = 2 * x[[0]] - x[step : step + i][::-1]
        last = 2 * x[[-1]] - x[::-1][step : step + j]
        x, before, after = xp.concat([first, x, last]), before - i, after - j
    return x


def take(a: Any, indices: Any, axis: Any = None, *, mode: str = "raise") -> Tensor:
    """Take entries, or slices, by their places; those beyond the ends as the mode says."""
    a = xp.asarray(a)
    a, axis = (a.reshape(-1), 0) if axis is None else (a, normalize_axis_index(axis, a.ndim))
    places = numpy.asarray(indices)
    places = places.astype(int) if places.dtype == bool else places
    if mode != "raise":
        places = numpy.take(numpy.arange(a.shape[axis]), places, mode=mode)  # type: ignore[call-overload]
    return a[(*(slice(None),) * axis, places)]


def partition(a: Any, kth: Any, axis: int = -1) -> Tensor:
    """Move the smaller entries before a place, and the larger ones behind it."""
    a = xp.asarray(a)
    a, axis = (a.reshape(-1), 0) if axis is None else (a, axis)
    return xp.take_along_axis(a, numpy.argpartition(a.detach().numpy(), kth, axis), axis=axis)


def by_value(theirs: Callable) -> Callable:
    """Make the function that chooses entries by their values: of equal ones the first."""

    def call(*arrays: Any, **options: Any) -> Any:
        if options.get("axis") is not None:
            raise ArgumentError(f"numpy.{theirs.__name__} of a Tensor takes no axis.")
        entries = xp.concat([xp.asarray(one).reshape(-1) for one in arrays])
        known, first = numpy.unique(values(entries), return_index=True)
        found = theirs(*map(values, arrays), **options)
        found, *rest = found if isinstance(found, tuple) else (found,)
        chosen = entries[first[numpy.searchsorted(known, found)]]
        return (chosen, *rest) if rest else chosen

    return call


def polyfit(x: Any, y: Any, deg: int, *, w: Any = None) -> Tensor:
    """Fit a polynomial by least squares, to each column of y."""
    columns, y = vander(x, deg + 1), xp.asarray(y)
    if w is not None:
        columns, y = (columns.T * w).T, (y.T * w).T
    scale = xp.sqrt(xp.sum(columns * columns, axis=0))
    scaled = columns / scale
    return (xp.linalg.solve(scaled.T @ scaled, scaled.T @ y).T / scale).T


def roots(p: Any) -> Tensor:
    """Return the zeros of a polynomial, as eigenvalues of its companion matrix."""
    p = trim_zeros(p, "f")
    n = p.size - 1
    if n < 1:
        return xp.zeros(0)
    first = (-p[1:] / p[0]).reshape(1, n)
    return numpy.linalg.eigvals(xp.concat([first, numpy.eye(n - 1, n, dtype=first.dtype)]))  # type: ignore[return-value]


def bincount(x: Any, weights: Any = None, minlength: int = 0) -> Tensor:
    """Add up weights by the number that each belongs to."""
    x = numpy.asarray(x)
    weights = numpy.ones(x.size, int) if weights is None else xp.asarray(weights)
    if x.min(initial=0) < 0:
        raise BoundsError(f"numpy.bincount: {x.min()} is no number to count at; they begin at 0.")
    if weights.shape != x.shape:
        raise ShapeError(f"numpy.bincount: x of {x.shape}, and weights of {weights.shape}.")
    count = max(int(x.max(initial=-1)) + 1, minlength)
    if weights.dtype == int:
        return xp.asarray(numpy.bincount(x, minlength=minlength))
    return xp.scatter_add(weights.astype("float64"), x, (count,))


def histogram_bin_edges(a: Any, bins: Any = 10, range: Any = None, weights: Any = None) -> Tensor:
    """Return the ends of bins: given ones, or such that divide the range of the entries."""
    a = xp.asarray(a)
    if numpy.ndim(bins):
        return xp.asarray(bins)
    edges = numpy.histogram_bin_edges(values(a), bins, range, values(weights))
    if range is not None or not a.size:
        return xp.asarray(edges)
    first, last = xp.min(a), xp.max(a)
    widened = 0.5 if values(first) == values(last) else 0.0
    return linspace(first - widened, last + widened, edges.size)


def histogram(
    a: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None
) -> tuple[Tensor, Tensor]:
    """Count entries, or add up their weights, by the bin that each lies in."""
    edges = histogram_bin_edges(a, bins, range, weights)
    ends, a = values(edges), values(xp.asarray(a)).reshape(-1)
    places = numpy.searchsorted(ends, a, side="right") - 1 - (a == ends[-1])
    inside = (a >= ends[0]) & (a <= ends[-1])
    weights = xp.ones(a.size, dtype=int) if weights is None else xp.asarray(weights).reshape(-1)
    total = xp.scatter_add(weights[inside], places[inside], (ends.size - 1,))
    return (total / xp.diff(edges) / xp.sum(total) if density else total), edges


def linspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, retstep: bool = False,
    dtype: Any = None, axis: int = 0,
) -> Any:  # fmt: skip
    """Return numbers from start to stop, evenly spaced."""
    step = (stop - start) / max(num - 1 if endpoint else num, 1)
    count = numpy.arange(num, dtype=step.dtype).reshape((-1,) + (1,) * step.ndim)
    points = count * step + start
    last = xp.broadcast_to(xp.asarray(stop, dtype=step.dtype), step.shape)
    points = xp.concat([points[:-1], last[None]]) if endpoint and num > 1 else points
    points = xp.floor(points) if numpy.issubdtype(dtype, numpy.integer) else points
    points = xp.asarray(points if axis == 0 else xp.moveaxis(points, 0, axis), dtype=dtype)
    return (points, step) if retstep else points


def logspace(start: Any, stop: Any, base: Any = 10.0, dtype: Any = None, **options: Any) -> Tensor:
    """Return powers whose exponents are evenly spaced."""
    return xp.asarray(base ** linspace(start, stop, **options), dtype=dtype)


def geomspace(start: Any, stop: Any, *, dtype: Any = None, axis: int = 0, **options: Any) -> Tensor:
    """Return numbers from start to stop, each so many times the one before."""
    sign = numpy.sign(values(start))
    points = sign * logspace(xp.log10(sign * start), xp.log10(sign * stop), **options)
    return xp.asarray(xp.moveaxis(points, 0, axis), dtype=dtype)


def poly(zeros: Any) -> Tensor:
    """Return the coefficients of the polynomial with these zeros."""
    zeros = xp.asarray(zeros)
    zeros = numpy.linalg.eigvals(zeros) if zeros.ndim == 2 else zeros.reshape(-1)
    one, found = xp.ones(1, dtype=zeros.dtype), values(zeros)
    p = reduce(lambda p, zero: convolve(p, xp.stack([one[0], -zero])), zeros, one)
    paired = numpy.array_equal(numpy.sort(found), numpy.sort(found.conj()))
    return xp.real(p) if paired and p.dtype.kind == "c" else p


def roomy(name: str) -> Callable:
    """Make the function that becomes complex where one of real numbers would give NaN."""
    first = 2 if name == "logn" else 1  # so many operands count

    def call(*given: Any) -> Tensor:
        numbers = [xp.asarray(one) for one in given]
        for i, one in enumerate(numbers[:first]):
            beyond = abs(values(one)) > 1 if name.startswith("arc") else values(one) < 0
            if one.dtype.kind != "c" and beyond.any():
                numbers[i] = one.astype(numpy.result_type(one.dtype, numpy.complex64))
        if name == "logn":
            return xp.log(numbers[1]) / xp.log(numbers[0])
        return getattr(numpy, name)(*numbers)

    return call


# ---------------------------------------------------------------- the table

SOME: dict[str, Callable] = {  # of the entries
    "max": beside("max", "maximum", -numpy.inf), "mean": mean,
    "min": beside("min", "minimum", numpy.inf), "prod": beside("prod", "multiply", 1),
    "std": partial(variance, name="std"), "sum": beside("sum", "add", 0), "var": variance,
}  # fmt: skip
FUNCTIONS: dict[str, Callable] = {
    **{one.__name__: one for one in (
        apply_along_axis, apply_over_axes, average, bincount, convolve, corrcoef, correlate,
        cov, dot, ediff1d, einsum, geomspace, gradient, histogram, histogram_bin_edges,
        inner, interp, kron, linspace, logspace, nan_to_num, outer, pad, partition, piecewise, poly,
        polyder, polydiv, polyfit, polyint, polyval, ptp, roots, select, take,
        trapezoid, trim_zeros, unwrap, vander,
    )},
    **{name: mover(attrgetter(name)(numpy), moved) for name, moved in MOVES.items()},
    **{name: mover(getattr(numpy, name), moved, True) for name, moved in CHANGES.items()},
    **{
        name: by_value(getattr(numpy, name))
        for name in ("intersect1d", "setdiff1d", "setxor1d", "union1d", "unique", "unique_values")
    },
    **{
        f"lib.scimath.{name}": roomy(name)
        for name in ("arccos", "arcsin", "arctanh", "log", "log10", "log2", "logn", "power", "sqrt")
    },
    **SOME, **{f"nan{name}": of_numbers(one) for name, one in SOME.items()},
    **{
        f"{nan}{name}": quantiles(getattr(numpy, nan + name))
        for name in ("median", "percentile", "quantile") for nan in ("", "nan")
    },
    "amax": SOME["max"],
    "amin": SOME["min"],
    "angle": lambda z, deg=False: xp.atan2(xp.imag(z), xp.real(z)) * (180 / numpy.pi if deg else 1),
    "around": lambda a, decimals=0: numpy.round(a, decimals),
    "cross": lambda a, b, *, axis=-1: xp.linalg.cross(xp.asarray(a), xp.asarray(b), axis=axis),
    "cumprod": running("cumulative_prod"),
    "cumsum": running("cumulative_sum"),
    "fix": lambda x: xp.trunc(x),
    "i0": lambda x: xp.special.i0(x),
    "nancumprod": running("cumulative_prod", 1.0),
    "nancumsum": running("cumulative_sum", 0.0),
    "polyadd": lambda a, b: sum(aligned(a, b)[1:], start=aligned(a, b)[0]),
    "polymul": lambda a, b: convolve(a, b),
    "polysub": lambda a, b: aligned(a, b)[0] - aligned(a, b)[1],
    "real_if_close": lambda a, tol=100: (
        xp.real(a) if not numpy.iscomplexobj(numpy.real_if_close(values(a), tol)) else a
    ),
    "sort_complex": lambda a: xp.astype(
        xp.sort(xp.asarray(a)), a.dtype if a.dtype.kind == "c" else numpy.complex128
    ),
    "trace": lambda a, offset=0, axis1=0, axis2=1, dtype=None: xp.sum(
        mover(numpy.diagonal, "a")(a, offset, axis1, axis2), axis=-1, dtype=dtype
    ),
    "vdot": lambda a, b: xp.sum(xp.conj(xp.asarray(a).reshape(-1)) * xp.asarray(b).reshape(-1)),
}  # fmt: skip


# ---------------------------------------------------------------- ufuncs without a rule


def frexp(x: Any) -> tuple[Tensor, Tensor]:
    """Return a mantissa and an exponent of 2 for each entry."""
    x = xp.asarray(x)
    exponent = numpy.frexp(x.detach().numpy())[1]
    return ldexp(x, -exponent), xp.asarray(exponent)


def ldexp(x: Any, n: Any) -> Tensor:
    """Return x times 2 to the power of n, in three steps that each fit the dtype."""
    x = xp.linalg.floating(x)
    most = 3 * (numpy.finfo(x.dtype).maxexp - 2)
    n = numpy.clip(xp.asarray(n).numpy(), -most, most)
    for steps in (n // 3, n // 3, n - 2 * (n // 3)):
        x = x * numpy.exp2(steps, dtype=x.dtype)
    return x


def heaviside(x: Any, b: Any) -> Tensor:
    """Return 0 for negative entries, 1 for positive ones, b at 0."""
    x, b = xp.asarray(x), xp.asarray(b)
    y = xp.where(x == 0, b, xp.where(x > 0, 1.0, xp.where(xp.isnan(x), numpy.nan, 0.0)))
    return y.astype(numpy.result_type(x.dtype, b.dtype, numpy.float16))


def modf(x: Any) -> tuple[Tensor, Tensor]:
    """Return what is after the point, and what is before it."""
    whole = xp.trunc(x)
    return xp.where(xp.isinf(x), xp.copysign(0.0, x), x - whole), whole


UFUNCS: dict[Any, Callable] = {
    numpy.degrees: lambda x: xp.rad2deg(x),
    numpy.divmod: lambda a, b: (xp.floor_divide(a, b), xp.remainder(a, b)),
    numpy.fabs: lambda x: xp.abs(xp.linalg.floating(x)),
    numpy.float_power: lambda a, b: xp.pow(
        xp.asarray(a).astype(numpy.result_type(xp.asarray(a).dtype, numpy.float64)), b
    ),
    numpy.frexp: frexp,
    numpy.heaviside: heaviside,
    numpy.ldexp: ldexp,
    numpy.modf: modf,
    numpy.radians: lambda x: xp.deg2rad(x),
    numpy.rint: lambda x: xp.round(xp.linalg.floating(x)),
}
for _name, _function in {
    "matvec": lambda a, v: (xp.asarray(a) @ xp.asarray(v)[..., None])[..., 0],
    "vecmat": lambda v, a: (xp.conj(xp.asarray(v))[..., None, :] @ xp.asarray(a))[..., 0, :],
}.items():  # of newer versions of NumPy
    if hasattr(numpy, _name):
        UFUNCS[getattr(numpy, _name)] = _function
