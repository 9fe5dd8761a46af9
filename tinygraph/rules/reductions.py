"""Rules for functions that reduce an array over some of its axes."""

from math import prod

from .table import DISTINCT, REAL, Kind, Parameter, Shapes, rule

REDUCTION = {"axis": Parameter.AXES, "keepdims": Parameter.FLAG}


def sum_to(xp, gradient, shape):
    """Sum a gradient over the axes along which broadcasting stretched its operand."""
    extra = len(gradient.shape) - len(shape)
    stretched = [*range(extra)]
    if gradient.shape[extra:] != shape:
        pairs = enumerate(zip(gradient.shape[extra:], shape, strict=True), extra)
        stretched += [i for i, (n, own) in pairs if own == 1 and n != 1]
    if stretched:
        gradient = xp.sum(gradient, axis=tuple(stretched) if len(stretched) > 1 else stretched[0])
    return gradient if gradient.shape == shape else xp.reshape(gradient, shape)


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


def extremum(xp, g, a, y, axis, keepdims):
    """Share g evenly among the entries that attain the extremum."""
    hit = a == restore(xp, y, a.shape, axis, keepdims)
    share = xp.astype(hit, g.dtype)
    ties = xp.sum(share, axis=axis, keepdims=True)
    return share * (restore(xp, g, a.shape, axis, keepdims) / ties)


rule(
    "sum",
    lambda xp, a, /, *, axis=None, keepdims=False: xp.sum(a, axis=axis, keepdims=keepdims),
    vjp=lambda xp, g, a_shape, axis, keepdims: spread(xp, g, a_shape, axis, keepdims),
    doc="Return the sum over an axis, several axes (a tuple), or all of them.",
    kind=Kind.LINEAR, domain=REAL, parameters=REDUCTION, symbol="sum",
)  # fmt: skip
rule(
    "mean",
    lambda xp, a, /, *, axis=None, keepdims=False: xp.mean(a, axis=axis, keepdims=keepdims),
    vjp=lambda xp, g, a_shape, axis, keepdims: spread(
        xp, g / count(a_shape, axis), a_shape, axis, keepdims
    ),
    doc="Return the arithmetic mean over an axis, several axes (a tuple), or all of them.",
    kind=Kind.LINEAR, domain=REAL, parameters=REDUCTION, shapes=Shapes.NONEMPTY,
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

# The place of an extremum: constant between the jumps, so none of it is recorded.
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
