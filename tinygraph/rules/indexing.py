"""Rules for selecting entries, and for the way back: adding them up where they came from."""

from .table import REAL, Kind, Parameter, Shapes, rule


def is_basic(key):
    """Whether an index selects each entry at most once, and so gives a view."""
    parts = key if isinstance(key, tuple) else (key,)
    return all(isinstance(part, int | slice | type(None) | type(Ellipsis)) for part in parts)


def scatter_add(xp, values, /, index, shape):
    """Return zeros of a shape with values added at the places that an index selects."""
    if hasattr(xp, "scatter_add"):
        return xp.scatter_add(values, index, shape)
    total = xp.zeros(shape, dtype=values.dtype)
    if is_basic(index):
        total[index] = values
    else:
        xp.add.at(total, index, values)  # an entry selected twice gets both
    return total


rule(
    "getitem",
    lambda xp, a, /, index: a[index],
    vjp=lambda xp, g, a_shape, index: scatter_add(xp, g, index=index, shape=a_shape),
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
