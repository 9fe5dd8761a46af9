"""Rules for functions that move entries around and compute nothing."""

from math import prod

from .table import REAL, Kind, Parameter, Shapes, rule

LINEAR = Kind.LINEAR


def undo_permutation(axes):
    """Return the order of axes that undoes another."""
    return tuple(sorted(range(len(axes)), key=lambda i: axes[i] % len(axes)))


def split(xp, g, shapes, axis):
    """Cut g along an axis into pieces of the given shapes."""
    if axis is None:
        flat = split(xp, g, [(prod(shape),) for shape in shapes], 0)
        return [xp.reshape(piece, shape) for piece, shape in zip(flat, shapes, strict=True)]
    axis %= g.ndim
    pieces, start = [], 0
    for shape in shapes:
        stop = start + shape[axis]
        pieces.append(g[(slice(None),) * axis + (slice(start, stop), ...)])
        start = stop
    return pieces


def unstack(xp, g, shapes, axis):
    """Take g apart along the axis that stacking made."""
    axis %= g.ndim
    return [g[(slice(None),) * axis + (i, ...)] for i in range(len(shapes))]


rule(
    "reshape",
    lambda xp, a, /, shape: xp.reshape(a, shape),
    vjp=lambda xp, g, a_shape: xp.reshape(g, a_shape),
    doc="Return the entries in another shape; one length may be −1.",
    kind=LINEAR, domain=REAL, parameters={"shape": Parameter.SHAPE}, view=True,
)  # fmt: skip
rule(
    "permute_dims",
    lambda xp, a, /, axes: xp.permute_dims(a, axes),
    vjp=lambda xp, g, axes: xp.permute_dims(g, undo_permutation(axes)),
    doc="Return the array with its axes in another order.",
    kind=LINEAR, domain=REAL, parameters={"axes": Parameter.PERMUTATION}, view=True,
)  # fmt: skip
rule(
    "expand_dims",
    lambda xp, a, /, axis: xp.expand_dims(a, axis=axis),
    vjp=lambda xp, g, a_shape: xp.reshape(g, a_shape),
    doc="Return the array with a new axis of length 1, or several (a tuple).",
    kind=LINEAR, domain=REAL, parameters={"axis": Parameter.NEW_AXES}, view=True,
)  # fmt: skip
rule(
    "squeeze",
    lambda xp, a, /, axis: xp.squeeze(a, axis=axis),
    vjp=lambda xp, g, a_shape: xp.reshape(g, a_shape),
    doc="Return the array without the given axes, which have length 1.",
    kind=LINEAR, domain=REAL, parameters={"axis": Parameter.UNIT_AXES}, view=True,
)  # fmt: skip
rule(
    "broadcast_to",
    lambda xp, a, /, shape: xp.broadcast_to(a, shape),
    vjp=lambda g: g,
    doc="Return the array stretched to a shape that it broadcasts to.",
    kind=LINEAR, domain=REAL, parameters={"shape": Parameter.WIDER_SHAPE}, broadcasts=True,
    view=True,
)  # fmt: skip
rule(
    "concat",
    lambda xp, *arrays, axis=0: xp.concat(arrays, axis=axis),
    vjp=lambda xp, g, shapes, axis: split(xp, g, shapes, axis),
    doc="Return arrays joined along an axis that they have, or flattened first with None.",
    kind=LINEAR, domain=REAL, parameters={"axis": Parameter.AXIS}, shapes=Shapes.JOINED,
)  # fmt: skip
rule(
    "stack",
    lambda xp, *arrays, axis=0: xp.stack(arrays, axis=axis),
    vjp=lambda xp, g, shapes, axis: unstack(xp, g, shapes, axis),
    doc="Return arrays of one shape joined along a new axis.",
    kind=LINEAR, domain=REAL, parameters={"axis": Parameter.NEW_AXIS}, shapes=Shapes.EQUAL,
)  # fmt: skip
rule(
    "astype",
    lambda xp, a, /, dtype: xp.astype(a, dtype),
    vjp=lambda g: g,  # the engine casts a gradient to its operand's dtype
    doc="Return the values in another dtype.",
    kind=LINEAR, domain=REAL, parameters={"dtype": Parameter.DTYPE}, view=True,
)  # fmt: skip
