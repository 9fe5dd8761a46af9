"""Rules for functions that reduce an array over some of its axes."""

from math import prod

import numpy

from .elementwise import NONZERO, nonzero
from .manipulation import undo_permutation
from .table import DISTINCT, REAL, Kind, Parameter, Shapes, rule

REDUCTION = {"axis": Parameter.AXES, "keepdims": Parameter.FLAG}
TYPED = {"axis": Parameter.AXES, "dtype": Parameter.DTYPE, "keepdims": Parameter.FLAG}
CUMULATIVE = {
    "axis": Parameter.ONLY_AXIS, "dtype": Parameter.DTYPE, "include_initial": Parameter.FLAG,
}  # fmt: skip
DEVIATION = {
    "axis": Parameter.AXES, "correction": Parameter.CORRECTION, "keepdims": Parameter.FLAG,
}  # fmt: skip


def sum_to(xp, gradient, shape):
    """Sum a gradient over the axes along which broadcasting stretched its operand."""
    extra = len(gradient.shape) - len(shape)
    stretched = [*range(extra)]
    if gradient.shape[extra:] != shape:
        pairs = enumerate(zip(gradient.shape[extra:], shape, strict=True), extra)
        stretched += [i for i, (n, own) in pairs if n != own]
    gradient = xp.sum(gradient, axis=tuple(stretched))
    return gradient if gradient.shape == shape else xp.reshape(gradient, shape)


def known(x):
    """Return the numbers of an array or a Tensor, None where they cannot be read yet."""
    values = getattr(x, "_data", x)
    read = getattr(type(values), "known", None)  # another library's array
    if read is not None:
        return read(values)
    return values if isinstance(values, numpy.ndarray) else None


def reduced_axes(axis, ndim):
    """Return the axes to reduce as a tuple of numbers from 0 up."""
    if axis is None:
        return tuple(range(ndim))
    axes = axis if isinstance(axis, tuple) else (axis,)
    return tuple(one % ndim for one in axes)


def restore(xp, reduced, shape, axis, keepdims):
    """Give a reduced array its reduced axes back, with length 1."""
    if keepdims or not shape:
        return reduced
    axes = reduced_axes(axis, len(shape))
    return xp.reshape(reduced, tuple(1 if i in axes else n for i, n in enumerate(shape)))


def spread(xp, g, shape, axis, keepdims):
    """Give each reduced entry the gradient of what it went into."""
    return xp.broadcast_to(restore(xp, g, shape, axis, keepdims), shape)


def count(shape, axis):
    """Return how many entries go into each result."""
    return prod(shape[i] for i in reduced_axes(axis, len(shape)))


def counted(xp, ones, axis):
    """Return how many ones there are along axes; float16 would count to 2,048 only."""
    wide = xp.float32 if xp.finfo(ones.dtype).bits == 16 else None
    return xp.sum(ones, axis=axis, keepdims=True, dtype=wide)


def extremum(xp, g, a, y, axis, keepdims):
    """Share g evenly among the entries that attain the extremum."""
    hit = a == restore(xp, y, a.shape, axis, keepdims)
    share = xp.astype(hit, g.dtype)
    return share * (restore(xp, g, a.shape, axis, keepdims) / counted(xp, share, axis))


def divided(a, n):
    """Return a / n to the last bit, also where the dtype of a is float16 and has no n."""
    return a / n if n < 2**15 else a / 2**9 / (n / 2**9)


def after(xp, g, axis, include_initial):
    """Return for each entry the sum of what it went into, itself and all that follow."""
    axis = axis or 0
    if include_initial:
        g = g[(slice(None),) * (axis % g.ndim) + (slice(1, None), ...)]
    return xp.flip(xp.cumulative_sum(xp.flip(g, axis=axis), axis=axis), axis=axis)


def products_before(xp, a):
    """Return for each entry along the last axis the product of those before it."""
    return xp.cumulative_prod(a, axis=-1, include_initial=True)[..., :-1]


def moved_up(xp, a, by):
    """Move entries along the last axis to the left; fill up with zeros."""
    by = min(by, a.shape[-1])
    return xp.concat([a[..., by:], xp.zeros_like(a[..., :by])], axis=-1)


def running_product_vjp(xp, g, a, axis, include_initial):
    """Return the sum of g times all other factors; nothing is divided by, so zeros do no harm."""
    axis = axis or 0
    last = xp.moveaxis(xp.reshape(a, a.shape or (1,)), axis, -1)
    total = xp.moveaxis(g, axis, -1)[..., int(include_initial) :]
    # What follows an entry: s[i] = g[i] + a[i + 1] · s[i + 1], in steps of 1, 2, 4 … entries.
    factor, step = moved_up(xp, last, 1), 1
    while step < last.shape[-1]:
        total = total + factor * moved_up(xp, total, step)
        factor, step = factor * moved_up(xp, factor, step), 2 * step
    return xp.reshape(xp.moveaxis(products_before(xp, last) * total, -1, axis), a.shape)


def product_vjp(xp, g, a, axis, keepdims):
    """Return g times the product of the other entries; nothing is divided by."""
    reduced = reduced_axes(axis, a.ndim)
    order = (*(i for i in range(a.ndim) if i not in reduced), *reduced)
    moved = xp.permute_dims(a, order)
    rows = xp.reshape(moved, (*moved.shape[: a.ndim - len(reduced)], count(a.shape, axis)))
    behind = xp.flip(products_before(xp, xp.flip(rows, axis=-1)), axis=-1)
    others = xp.reshape(products_before(xp, rows) * behind, moved.shape)
    others = xp.permute_dims(others, undo_permutation(order))
    return spread(xp, g, a.shape, axis, keepdims) * others


def variance_vjp(xp, g, a, axis, correction, keepdims):
    """Return g times how far each entry is from the mean, twice, over their count."""
    far = xp.conj(a - xp.mean(a, axis=axis, keepdims=True))
    slope = spread(xp, g * 2, a.shape, axis, keepdims) * far
    return divided(slope, count(a.shape, axis) - correction)


rule(
    "sum",
    lambda xp, a, /, *, axis=None, dtype=None, keepdims=False: xp.sum(
        a, axis=axis, dtype=dtype, keepdims=keepdims
    ),
    vjp=lambda xp, g, a_shape, axis, keepdims: spread(xp, g, a_shape, axis, keepdims),
    doc="Return the sum over an axis, several axes (a tuple), or all of them.",
    kind=Kind.LINEAR, domain=REAL, parameters=TYPED, symbol="sum",
)  # fmt: skip
rule(
    "prod",
    lambda xp, a, /, *, axis=None, dtype=None, keepdims=False: xp.prod(
        a, axis=axis, dtype=dtype, keepdims=keepdims
    ),
    vjp=product_vjp,
    doc="Return the product over an axis, several axes (a tuple), or all of them.",
    kind=Kind.OTHER, domain=NONZERO, parameters=TYPED,
)  # fmt: skip
rule(
    "cumulative_sum",
    lambda xp, a, /, *, axis=None, dtype=None, include_initial=False: xp.cumulative_sum(
        a, axis=axis, dtype=dtype, include_initial=include_initial
    ),
    vjp=lambda xp, g, a_shape, axis, include_initial: xp.reshape(
        after(xp, g, axis, include_initial), a_shape
    ),
    doc="Return the sums of the first entries along an axis: of one, of two, and so on.",
    kind=Kind.LINEAR, domain=REAL, parameters=CUMULATIVE,
)  # fmt: skip
rule(
    "cumulative_prod",
    lambda xp, a, /, *, axis=None, dtype=None, include_initial=False: xp.cumulative_prod(
        a, axis=axis, dtype=dtype, include_initial=include_initial
    ),
    vjp=running_product_vjp,
    doc="Return the products of the first entries along an axis: of one, of two, and so on.",
    kind=Kind.OTHER, domain=NONZERO, parameters=CUMULATIVE,
)  # fmt: skip
rule(
    "mean",
    lambda xp, a, /, *, axis=None, keepdims=False: xp.mean(a, axis=axis, keepdims=keepdims),
    vjp=lambda xp, g, a_shape, axis, keepdims: spread(
        xp, divided(g, count(a_shape, axis)), a_shape, axis, keepdims
    ),
    doc="Return the arithmetic mean over an axis, several axes (a tuple), or all of them.",
    kind=Kind.LINEAR, domain=REAL, parameters=REDUCTION, shapes=Shapes.NONEMPTY,
)  # fmt: skip
rule(
    "var",
    lambda xp, a, /, *, axis=None, correction=0.0, keepdims=False: xp.var(
        a, axis=axis, correction=correction, keepdims=keepdims
    ),
    vjp=variance_vjp,
    doc="Return the variance over an axis, several axes (a tuple), or all of them.",
    kind=Kind.OTHER, domain=DISTINCT, parameters=DEVIATION, shapes=Shapes.NONEMPTY,
)  # fmt: skip
rule(
    "std",
    lambda xp, a, /, *, axis=None, correction=0.0, keepdims=False: xp.std(
        a, axis=axis, correction=correction, keepdims=keepdims
    ),
    vjp=lambda xp, g, a, y, axis, correction, keepdims: variance_vjp(
        xp, xp.where(y == 0, 0.0, g / (2 * nonzero(xp, y))), a, axis, correction, keepdims
    ),
    doc="Return the standard deviation over an axis, several axes (a tuple), or all of them.",
    kind=Kind.OTHER, domain=DISTINCT, parameters=DEVIATION, shapes=Shapes.NONEMPTY,
    convention="std of equal entries gives 0",
)  # fmt: skip
rule(
    "max",
    lambda xp, a, /, *, axis=None, keepdims=False: xp.max(a, axis=axis, keepdims=keepdims),
    vjp=extremum,
    doc="Return the largest entry over an axis, several axes (a tuple), or all of them.",
    kind=Kind.OTHER, domain=DISTINCT, parameters=REDUCTION, shapes=Shapes.NONEMPTY,
    convention="entries that tie share evenly",
)  # fmt: skip
rule(
    "min",
    lambda xp, a, /, *, axis=None, keepdims=False: xp.min(a, axis=axis, keepdims=keepdims),
    vjp=extremum,
    doc="Return the smallest entry over an axis, several axes (a tuple), or all of them.",
    kind=Kind.OTHER, domain=DISTINCT, parameters=REDUCTION, shapes=Shapes.NONEMPTY,
    convention="entries that tie share evenly",
)  # fmt: skip

# Constant between their jumps, so none of it is recorded.
rule(
    "all",
    lambda xp, a, /, *, axis=None, keepdims=False: xp.all(a, axis=axis, keepdims=keepdims),
    doc="Return whether all entries are true over an axis, several axes (a tuple), or all of them.",
    vjp=None, kind=Kind.OTHER, domain=REAL, parameters=REDUCTION,
)  # fmt: skip
rule(
    "any",
    lambda xp, a, /, *, axis=None, keepdims=False: xp.any(a, axis=axis, keepdims=keepdims),
    doc="Return whether any entry is true over an axis, several axes (a tuple), or all of them.",
    vjp=None, kind=Kind.OTHER, domain=REAL, parameters=REDUCTION,
)  # fmt: skip
rule(
    "count_nonzero",
    lambda xp, a, /, *, axis=None, keepdims=False: xp.count_nonzero(
        a, axis=axis, keepdims=keepdims
    ),
    doc="Return how many entries are not zero, over an axis, several (a tuple), or all of them.",
    vjp=None, kind=Kind.OTHER, domain=REAL, parameters=REDUCTION,
)  # fmt: skip

PLACE = {"axis": Parameter.AXIS, "keepdims": Parameter.FLAG}

rule(
    "argmax",
    lambda xp, a, /, *, axis=None, keepdims=False: xp.argmax(a, axis=axis, keepdims=keepdims),
    doc="Return the place of the first largest entry along an axis, or among all.",
    vjp=None, kind=Kind.OTHER, domain=DISTINCT, parameters=PLACE, shapes=Shapes.NONEMPTY,
)  # fmt: skip
rule(
    "argmin",
    lambda xp, a, /, *, axis=None, keepdims=False: xp.argmin(a, axis=axis, keepdims=keepdims),
    doc="Return the place of the first smallest entry along an axis, or among all.",
    vjp=None, kind=Kind.OTHER, domain=DISTINCT, parameters=PLACE, shapes=Shapes.NONEMPTY,
)  # fmt: skip
