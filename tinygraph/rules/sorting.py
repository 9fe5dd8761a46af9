"""Rules for sorting, and for entries chosen by their places along an axis."""

from ..errors import ArgumentError
from .indexing import scatter_add
from .table import DISTINCT, INTEGER, REAL, Kind, Parameter, Shapes, rule

ORDER = {"axis": Parameter.AXIS, "descending": Parameter.FLAG, "stable": Parameter.FLAG}


def along_an_axis(name):
    """Make the check that refuses to flatten arrays, which the standard does not do here."""

    def check(operands, params):
        if params["axis"] is None:
            raise ArgumentError(
                f"{name}: axis=None. Say along which axis, or flatten the array of shape "
                f"{operands[0].shape} first."
            )

    return check


def order_of(xp, a, axis, descending, stable=True):
    """Return the places of the entries along an axis, in their order; ties stay as they are."""
    if not descending:
        return xp.argsort(a, axis=axis, stable=stable)
    backwards = xp.argsort(xp.flip(a, axis=axis), axis=axis, stable=stable)
    return xp.flip(a.shape[axis] - 1 - backwards, axis=axis)


def in_order(xp, a, axis, descending, stable):
    """Return the entries sorted along an axis."""
    rising = xp.sort(a, axis=axis, stable=stable)
    return xp.flip(rising, axis=axis) if descending else rising


def back_to_places(xp, g, a, axis, descending):
    """Move the gradients of sorted entries to where the entries were."""
    place = xp.argsort(order_of(xp, a, axis, descending), axis=axis)
    return xp.take_along_axis(g, place, axis=axis)


def add_along(xp, values, places, axis, shape):
    """Return zeros with values added at places along an axis."""
    if hasattr(xp, "add_along_axis"):
        return xp.add_along_axis(values, places, axis=axis, shape=shape)
    index = []
    for i, length in enumerate(shape):
        here = xp.reshape(xp.arange(length), (length,) + (1,) * (len(shape) - i - 1))
        index.append(places if i == axis % len(shape) else here)
    return scatter_add(xp, values, tuple(index), shape)


rule(
    "argsort",
    lambda xp, a, /, *, axis=-1, descending=False, stable=True: order_of(
        xp, a, axis, descending, stable
    ),
    doc="Return the places of the entries along an axis, in their order.",
    vjp=None, kind=Kind.OTHER, domain=DISTINCT, parameters=ORDER, check=along_an_axis("argsort"),
)  # fmt: skip
rule(
    "sort",
    lambda xp, a, /, *, axis=-1, descending=False, stable=True: in_order(
        xp, a, axis, descending, stable
    ),
    vjp=back_to_places,
    doc="Return the entries sorted along an axis.",
    kind=Kind.OTHER, domain=DISTINCT, parameters=ORDER, check=along_an_axis("sort"),
    convention="sort: entries that tie keep their order",
)  # fmt: skip
rule(
    "take_along_axis",
    lambda xp, a, places, /, *, axis=-1: xp.take_along_axis(a, places, axis=axis),
    vjp=(lambda xp, g, a_shape, places, axis: add_along(xp, g, places, axis, a_shape),
         None),
    doc="Return the entries at places along an axis, each row with places of its own.",
    kind=Kind.BILINEAR, domain=(REAL, INTEGER), shapes=Shapes.ALONG,
    parameters={"axis": Parameter.AXIS}, check=along_an_axis("take_along_axis"),
)  # fmt: skip
rule(
    "add_along_axis",
    lambda xp, a, places, /, *, axis, shape: add_along(xp, a, places, axis, shape),
    vjp=(lambda xp, g, places, axis: xp.take_along_axis(g, places, axis=axis),
         None),
    doc="Return zeros with values added at places along an axis.",
    kind=Kind.BILINEAR, domain=(REAL, INTEGER), shapes=Shapes.ALONG,
    parameters={"axis": Parameter.AXIS, "shape": Parameter.INDEXED_SHAPE},
)  # fmt: skip
