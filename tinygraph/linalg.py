"""Linear algebra over Tensors: the array API standard's extension, and NumPy's."""

from functools import cache
from math import inf, prod
from operator import index
from typing import Any

import numpy
from numpy.lib.array_utils import normalize_axis_tuple

from . import namespace as xp
from .errors import ArgumentError, LinAlgError, ShapeError
from .namespace import chapter
from .tensor import Tensor

get, __dir__ = chapter("linalg.", globals())
__getattr__ = get
matmul, matrix_transpose, tensordot, vecdot = (
    getattr(xp, name) for name in ("matmul", "matrix_transpose", "tensordot", "vecdot")
)


def trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Tensor:
    """Return the sum of a diagonal of each matrix."""
    return xp.sum(get("diagonal")(x, offset=offset), axis=-1, dtype=dtype)


def outer(x1: Any, x2: Any, /) -> Tensor:
    """Return all products of an entry of one vector and an entry of another."""
    x1, x2 = xp.asarray(x1), xp.asarray(x2)
    if x1.ndim != 1 or x2.ndim != 1:
        raise ShapeError(f"linalg.outer: shapes {x1.shape} and {x2.shape}; both are to be vectors.")
    return x1[:, None] * x2


def matrix_power(x: Any, n: int, /) -> Tensor:
    """Return square matrices multiplied by themselves n times; their inverses for n < 0."""
    x = xp.asarray(x)
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise ShapeError(f"linalg.matrix_power: shape {x.shape} is not one of square matrices.")
    n = index(n)
    if n == 0:
        return xp.broadcast_to(xp.eye(x.shape[-1], dtype=x.dtype), x.shape).copy()
    if n < 0:
        x, n = get("inv")(x), -n
    if n == 3:
        return x @ x @ x
    y: Any = None
    while n:
        n, odd = divmod(n, 2)
        if odd:
            y = x if y is None else y @ x
        x = x @ x if n else x
    return y


# ---------------------------------------------------------------- norms


def floating(x: Any) -> Tensor:
    """Return an array of floating point numbers."""
    x = xp.asarray(x)
    return x if x.dtype.kind in "fc" else xp.astype(x, numpy.float64)


def root(x: Tensor) -> Tensor:
    """Return the square root, whose gradient at 0 is 0."""
    zero = xp.equal(x, 0)
    return xp.where(zero, 0.0, xp.sqrt(xp.where(zero, 1.0, x)))


def squares(x: Tensor) -> Tensor:
    """Return the squares of absolute values."""
    return xp.real(xp.conj(x) * x) if x.dtype.kind == "c" else x * x


def of_matrices(x: Tensor, ord: Any, axes: tuple[int, ...]) -> Tensor:
    """Return the norm of the matrices of two axes."""
    rows, columns = normalize_axis_tuple(axes, x.ndim, "linalg.norm")
    if ord in (None, "fro", "f"):
        return root(xp.sum(squares(x), axis=(rows, columns)))
    if ord in (2, -2, "nuc"):
        size, axis = get("svdvals")(xp.moveaxis(x, (rows, columns), (-2, -1))), -1
    elif ord in (1, -1):
        size, axis = xp.sum(xp.abs(x), axis=rows), columns - (columns > rows)
    elif ord in (inf, -inf):
        size, axis = xp.sum(xp.abs(x), axis=columns), rows - (rows > columns)
    else:
        raise ArgumentError(f'norm: ord={ord!r} is not 1, 2, inf, their negatives, "fro" or "nuc".')
    if ord == "nuc" or (ord > 0 and not size.shape[axis]):
        return xp.sum(size, axis=axis)
    return (xp.max if ord > 0 else xp.min)(size, axis=axis)


def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Tensor:
    """Return the norm of each matrix; the gradient of "fro" at 0 is 0."""
    return norm(x, ord, (-2, -1), keepdims)


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Return the norm of vectors along one axis, or of matrices along two, as NumPy's does."""
    x = floating(x)
    axes = tuple(range(x.ndim)) if axis is None else xp.shape_of(axis)
    if axis is None and (ord is None or (ord, x.ndim) in (("fro", 2), ("f", 2), (2, 1))):
        flat = x.reshape(-1)
        parts = (xp.real(flat), xp.imag(flat)) if x.dtype.kind == "c" else (flat,)
        first, *second = (vecdot(one, one) for one in parts)
        y = root(sum(second, start=first))
    elif len(axes) == 1:
        return get("vector_norm")(x, axis=axes[0], keepdims=keepdims, ord=2 if ord is None else ord)
    elif len(axes) == 2:
        y = of_matrices(x, ord, axes)
    else:
        raise ShapeError(f"linalg.norm: {len(axes)} axes; name one or two of shape {x.shape}.")
    over = [axis % x.ndim for axis in axes]
    return y.reshape([1 if i in over else n for i, n in enumerate(x.shape)]) if keepdims else y


def cond(x: Any, p: Any = None) -> Tensor:
    """Return by how much the norm of an error can grow where one solves with a matrix."""
    x = xp.asarray(x)
    if p in (None, 2, -2):
        size = get("svdvals")(x)
        first, last = size[..., 0], size[..., -1]
        with numpy.errstate(divide="ignore", invalid="ignore"):
            y = last / first if p == -2 else first / last
    else:
        inverse = get("inv")(xp.astype(x, numpy.result_type(x.dtype, numpy.float64)))
        y = norm(x, p, (-2, -1))
        y = xp.astype(y * norm(inverse, p, (-2, -1)), y.dtype)
    wrong = xp.isnan(y) & ~xp.any(xp.isnan(x), axis=(-2, -1))
    return xp.where(wrong, inf, y)


# ---------------------------------------------------------------- several matrices, several axes


def multi_dot(arrays: Any) -> Tensor:
    """Return the product of several matrices, in the order that takes the fewest steps.

    The first and the last may be vectors.
    """
    arrays = [xp.asarray(one) for one in arrays]
    if len(arrays) < 2:
        raise ArgumentError("linalg.multi_dot: there is nothing to multiply; give two or more.")
    row, column = arrays[0].ndim == 1, arrays[-1].ndim == 1
    arrays[0] = arrays[0][None] if row else arrays[0]
    arrays[-1] = arrays[-1][None].mT if column else arrays[-1]
    lengths = [one.shape[0] for one in arrays] + [arrays[-1].shape[1]]

    @cache
    def cheapest(i: int, j: int) -> tuple[int, int]:
        """Return how many products the factors from i to j take, and where to divide them."""
        if i == j:
            return 0, i
        ends = lengths[i] * lengths[j + 1]
        return min(
            (cheapest(i, k)[0] + cheapest(k + 1, j)[0] + ends * lengths[k + 1], k)
            for k in range(i, j)
        )

    def product(i: int, j: int) -> Tensor:
        if i == j:
            return arrays[i]
        k = cheapest(i, j)[1]
        return product(i, k) @ product(k + 1, j)

    y = product(0, len(arrays) - 1)
    return y.squeeze((0,) * row + (1,) * column)


def tensorinv(a: Any, ind: int = 2) -> Tensor:
    """Return the inverse of the function that sums products over the last axes of a."""
    a = xp.asarray(a)
    shape, rows = a.shape[ind:] + a.shape[:ind], prod(a.shape[ind:])
    return get("inv")(a.reshape(-1, rows)).reshape(shape)


def tensorsolve(a: Any, b: Any, axes: Any = None) -> Tensor:
    """Return the array whose products with a, summed over its axes, are b."""
    a, b = xp.asarray(a), xp.asarray(b)
    if axes is not None:
        last = normalize_axis_tuple(axes, a.ndim, "linalg.tensorsolve")
        a = xp.permute_dims(a, (*(i for i in range(a.ndim) if i not in last), *last))
    shape = a.shape[b.ndim :]
    if prod(shape) != b.size:
        raise LinAlgError(f"linalg.tensorsolve: shape {a.shape} is not square beside {b.shape}.")
    return get("solve")(a.reshape(b.size, b.size), b.reshape(-1)).reshape(shape)


def lstsq(a: Any, b: Any, rcond: float | None = None) -> tuple[Tensor, Tensor, int, Tensor]:
    """Return the x of least norm that minimises the norm of a @ x − b.

    Also the sums of squares that are left, the rank of a, and its singular values. The values are
    NumPy's up to rounding.
    """
    a, b = xp.asarray(a), xp.asarray(b)
    rtol = max(a.shape) * numpy.finfo(floating(a).dtype).eps if rcond is None else rcond
    x = get("pinv")(a, rtol=rtol) @ b
    rank = int(get("matrix_rank")(a, rtol=rtol))
    left = squares(b - a @ x).reshape(a.shape[0], -1)
    determined = rank == a.shape[1] < a.shape[0]
    return x, xp.sum(left if determined else left[:, :0], axis=0), rank, get("svdvals")(a)


def cho_solve(c_and_lower: Any, b: Any, /) -> Tensor:
    """Return x with a @ x = b, given the pair of a Cholesky factor of a, and whether it is lower.

    Needs SciPy.
    """
    c, lower = c_and_lower
    adjoint = xp.conj(xp.asarray(c)).mT
    left, right = (c, adjoint) if lower else (adjoint, c)
    solve = get("solve_triangular")
    return solve(right, solve(left, b, lower=True))
