"""Rules for linear algebra."""

from .table import REAL, Kind, Shapes, rule


def product(a, b):
    """Return a·b for matrices; a column by a row is quicker entry by entry."""
    return a * b if a.shape[-1] == 1 else a @ b


def matmul_left(xp, g, b, a_shape):
    """Pull g back to the left factor: g·bᵀ, with the axes that 1-D factors lack put in."""
    if b.ndim == 1:
        return xp.expand_dims(g, axis=-1) * b
    if len(a_shape) == 1:
        return xp.squeeze(b @ xp.expand_dims(g, axis=-1), axis=-1)
    return product(g, b.mT)


def matmul_right(xp, g, a, b_shape):
    """Pull g back to the right factor: aᵀ·g, with the axes that 1-D factors lack put in."""
    if len(b_shape) == 1:
        if a.ndim == 1:
            return a * g
        return xp.squeeze(a.mT @ xp.expand_dims(g, axis=-1), axis=-1)
    if a.ndim == 1:
        return xp.expand_dims(a, axis=-1) * xp.expand_dims(g, axis=-2)
    return product(a.mT, g)


rule(
    "matmul",
    vjp=(matmul_left, matmul_right),
    doc="Return the matrix product; a 1-D operand is a row on the left, a column on the right.",
    kind=Kind.BILINEAR, domain=(REAL, REAL), shapes=Shapes.MATMUL, broadcasts=True, symbol="@",
)  # fmt: skip
