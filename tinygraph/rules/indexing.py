"""Rules for selecting entries, and for the way back: adding them up where they came from."""

from numpy import iinfo, ndarray

from ..errors import DTypeError
from .reductions import sum_to
from .table import REAL, Kind, Parameter, Shapes, rule

KINDS = "buifc"  # from the narrowest to the widest


def is_basic(key):
    """Whether an index selects each entry at most once, and so gives a view."""
    parts = key if isinstance(key, tuple) else (key,)
    return all(isinstance(part, int | slice | type(None) | type(Ellipsis)) for part in parts)


class Scattered:
    """A gradient that is zero but at the places that an index selects.

    A thousand slices of one array then add into one array, not into a thousand.
    """

    __slots__ = ("index", "shape", "values", "xp")
    dtype = None  # no array's, so that a walk sees that it is none

    def __init__(self, xp, values, index, shape):
        self.xp = xp
        self.values = values
        self.index = index
        self.shape = shape

    def add_into(self, total):
        """Add to an array in place, and return it."""
        if is_basic(self.index):
            total[self.index] += self.values
        else:
            self.xp.add.at(total, self.index, self.values)  # an entry selected twice gets both
        return total

    def dense(self):
        """Return it as an array."""
        total = self.xp.zeros(self.shape, dtype=self.values.dtype)
        if not is_basic(self.index):
            return self.add_into(total)
        total[self.index] = self.values
        return total


def scattered(xp, values, index, shape):
    """Return zeros with values added at the places of an index, as an array only if it must be."""
    if hasattr(xp, "scatter_add"):
        return xp.scatter_add(values, index, shape)
    return Scattered(xp, values, index, shape)


def scatter_add(xp, values, /, index, shape):
    """Return zeros of a shape with values added at the places that an index selects."""
    found = scattered(xp, values, index, shape)
    return found.dense() if type(found) is Scattered else found


def setitem(xp, a, b, /, index):
    """Return an array with other values at the places that an index selects."""
    changed = xp.asarray(a, copy=True)
    changed[index] = b
    return changed


def check_kinds(operands, params):
    """Refuse values that the array could hold only in part; whole numbers fit if they do."""
    a, b = operands
    if a.dtype.kind in "iu" and b.dtype.kind in "iu" and type(b) is ndarray:
        limits = iinfo(a.dtype)
        if b.size and (b.min() < limits.min or b.max() > limits.max):
            raise DTypeError(
                f"setitem: an array of {a.dtype} holds {limits.min} to {limits.max} and cannot "
                f"hold {b.min() if b.min() < limits.min else b.max()}."
            )
    elif KINDS.index(b.dtype.kind) > KINDS.index(a.dtype.kind):
        raise DTypeError(f"setitem: an array of {a.dtype} cannot hold {b.dtype}.")


def chosen(xp, g, b_shape, index):
    """Return the gradients of the values that were set: none for those that others overwrote."""
    selected = g[index]
    if not is_basic(index):
        order = xp.reshape(xp.arange(selected.size), selected.shape)
        last = setitem(xp, xp.zeros(g.shape, dtype=order.dtype), order, index)[index]
        selected = xp.where(last == order, selected, 0.0)
    more = len(b_shape) - len(selected.shape)
    if more > 0:  # leading axes of length 1, which NumPy drops
        return xp.reshape(sum_to(xp, selected, b_shape[more:]), b_shape)
    return sum_to(xp, selected, b_shape)


rule(
    "getitem",
    lambda xp, a, /, index: a[index],
    vjp=lambda xp, g, a_shape, index: scattered(xp, g, index, a_shape),
    doc="Return the entries that an index selects.",
    kind=Kind.LINEAR, domain=REAL, parameters={"index": Parameter.INDEX}, view=True, symbol="[ ]",
)  # fmt: skip
rule(
    "scatter_add",
    scatter_add,
    vjp=lambda g, index: g[index],
    kind=Kind.LINEAR, domain=REAL, shapes=Shapes.SCATTERED,
    parameters={"index": Parameter.INDEX, "shape": Parameter.INDEXED_SHAPE},
)  # fmt: skip
rule(
    "setitem",
    setitem,
    vjp=(lambda xp, g, index: setitem(xp, g, 0.0, index),
         chosen),
    kind=Kind.LINEAR, domain=REAL, shapes=Shapes.REPLACED,
    parameters={"index": Parameter.INDEX}, symbol="[ ] =", check=check_kinds,
)  # fmt: skip
