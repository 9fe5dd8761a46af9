"""Products with a constant sparse matrix of SciPy."""

from typing import Any

from . import namespace
from .errors import ShapeError
from .rules import RULES
from .tensor import Tensor

dense = namespace.function_of(RULES["matmul"])


def matmul(x1: Any, x2: Any, /) -> Any:
    """Return the matrix product; a 1-D operand is a row on the left, a column on the right.

    One of the two may be a sparse matrix of SciPy, which is a constant. `A @ x` with such a matrix
    asks SciPy, which would take the Tensor for an array.
    """
    if hasattr(x1, "tocsr"):
        return times(x1, namespace.asarray(x2))
    if hasattr(x2, "tocsr"):
        return times(x2.T, namespace.asarray(x1).T).T
    return dense(x1, x2)


def times(sparse: Any, x: Tensor) -> Tensor:
    """Return a sparse matrix by a vector or a matrix: its entries in SciPy's order, added up."""
    if sparse.ndim != 2 or x.ndim not in (1, 2) or x.shape[0] != sparse.shape[1]:
        raise ShapeError(
            f"matmul: a sparse matrix of shape {sparse.shape} and shape {x.shape} do not align; "
            "it takes a vector or a matrix."
        )
    entries = sparse.tocsr().tocoo()
    factors = entries.data if x.ndim == 1 else entries.data[:, None]
    products = namespace.multiply(factors, x[entries.col])
    return namespace.scatter_add(products, entries.row, (sparse.shape[0], *x.shape[1:]))
