"""Functions over Tensors: the array API standard's names, made from the table of rules.

This module is also the namespace that rules are run on when a gradient is itself recorded.
"""

import builtins
import sys
from typing import Any

import numpy

from .errors import ArgumentError
from .rules import RULES, Kind
from .tensor import POSITIVE, Shared, Tensor, apply, array_of, binary, unary, wrap

# ---------------------------------------------------------------- functions of each entry

PUBLIC_NAMES = {"power": "pow"}  # where the standard's name is not NumPy's

for _rule in RULES.values():
    if _rule.kind is Kind.ELEMENTWISE and builtins.len(_rule.operands) <= 2:
        _function = (unary if builtins.len(_rule.operands) == 1 else binary)(_rule)
        _function.__doc__ = (
            f"Return {_rule.name} of {'x' if _rule.operands == ('a',) else 'two arrays'}, "
            f"entry by entry. {_rule.convention}"
        ).strip()
        globals()[PUBLIC_NAMES.get(_rule.name, _rule.name)] = _function


def __getattr__(name: str) -> Any:
    # Only reached for a name that does not exist; type checkers read it as "any other function".
    raise AttributeError(f"tinygraph has no function {name!r}")


def where(condition: Any, x1: Any, x2: Any, /) -> Tensor:
    """Return the entries of `x1` where the condition holds, else those of `x2`.

    Examples
    --------
    >>> import tinygraph as tg
    >>> tg.where(tg.tensor([True, False]), tg.tensor([1.0, 2.0]), 0.0)
    Tensor([1., 0.])
    """
    return apply(RULES["where"], (condition, x1, x2), {})


# ---------------------------------------------------------------- reductions


def _reduction(name: str, x: Any, axis: Any, keepdims: bool) -> Tensor:
    return apply(RULES[name], (x,), {"axis": axis, "keepdims": keepdims})


def sum(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Return the sum over an axis, several axes (a tuple), or all of them.

    Examples
    --------
    >>> import tinygraph as tg
    >>> tg.sum(tg.tensor([[1.0, 2.0], [3.0, 4.0]]), axis=0)
    Tensor([4., 6.])
    """
    return _reduction("sum", x, axis, keepdims)


def mean(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Return the arithmetic mean over an axis, several axes (a tuple), or all of them."""
    return _reduction("mean", x, axis, keepdims)


def max(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Return the largest entry over axes; entries that tie share the gradient evenly."""
    return _reduction("max", x, axis, keepdims)


def min(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Return the smallest entry over axes; entries that tie share the gradient evenly."""
    return _reduction("min", x, axis, keepdims)


def argmax(x: Any, /, *, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Return the index of the first largest entry along an axis, or of the flattened array."""
    return _reduction("argmax", x, axis, keepdims)


def argmin(x: Any, /, *, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Return the index of the first smallest entry along an axis, or of the flattened array."""
    return _reduction("argmin", x, axis, keepdims)


# ---------------------------------------------------------------- linear algebra

matmul = binary(RULES["matmul"])
matmul.__doc__ = "Return the matrix product; 1-D operands are a row on the left, a column on the right."


def matrix_transpose(x: Any, /) -> Tensor:
    """Return the matrices of the last two axes, transposed."""
    return asarray(x).mT


# ---------------------------------------------------------------- shape


def reshape(x: Any, /, shape: tuple[int, ...]) -> Tensor:
    """Return the entries in another shape; one length may be −1."""
    return apply(RULES["reshape"], (x,), {"shape": tuple(shape)})


def permute_dims(x: Any, /, axes: tuple[int, ...]) -> Tensor:
    """Return the axes in another order."""
    return apply(RULES["permute_dims"], (x,), {"axes": tuple(axes)})


def expand_dims(x: Any, /, *, axis: int = 0) -> Tensor:
    """Return the array with a new axis of length 1."""
    return apply(RULES["expand_dims"], (x,), {"axis": axis})


def squeeze(x: Any, /, axis: int | tuple[int, ...]) -> Tensor:
    """Return the array without the given axes, which have length 1."""
    return apply(RULES["squeeze"], (x,), {"axis": axis})


def broadcast_to(x: Any, /, shape: tuple[int, ...]) -> Tensor:
    """Return the array stretched to a shape that it broadcasts to."""
    return apply(RULES["broadcast_to"], (x,), {"shape": tuple(shape)})


def concat(arrays: Any, /, *, axis: int | None = 0) -> Tensor:
    """Return arrays joined along an axis that they have, or flattened first with None."""
    return apply(RULES["concat"], _several("concat", arrays), {"axis": axis})


def stack(arrays: Any, /, *, axis: int = 0) -> Tensor:
    """Return arrays of one shape joined along a new axis.

    Examples
    --------
    >>> import tinygraph as tg
    >>> tg.stack([tg.tensor(1.0), tg.tensor(2.0)])
    Tensor([1., 2.])
    """
    return apply(RULES["stack"], _several("stack", arrays), {"axis": axis})


def _several(name: str, arrays: Any) -> tuple:
    several = tuple(arrays)
    if not several:
        raise ArgumentError(f"{name}: there is nothing to join; give at least one array.")
    return several


# ---------------------------------------------------------------- dtype and creation


def astype(x: Any, dtype: Any, /) -> Tensor:
    """Return the values in another dtype."""
    return apply(RULES["astype"], (x,), {"dtype": numpy.dtype(dtype)})


def tensor(
    data: Any, *, dtype: Any = None, requires_grad: bool = False, name: str | None = None
) -> Tensor:
    """Return a Tensor of a copy of the data.

    Parameters
    ----------
    data : array_like
        Numbers in any form that NumPy reads.
    dtype : dtype, optional
        By default that of the data.
    requires_grad : bool
        Whether gradients with respect to it are wanted. Real or complex floating dtypes only.
    name : str, optional
        For error messages and pictures.

    Raises
    ------
    DTypeError
        If the data are not numbers, or a gradient of integers is asked for.

    Examples
    --------
    >>> import tinygraph as tg
    >>> tg.tensor([1.0, 2.0], requires_grad=True, name="x")
    Tensor([1., 2.], requires_grad=True, name='x')
    """
    return Tensor(data, dtype=dtype, requires_grad=requires_grad, name=name)


def asarray(
    obj: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None
) -> Tensor:
    """Return a Tensor of an object, sharing its memory where that can be done.

    Operations see what is written to the shared memory later; graphs recorded before do not.

    Parameters
    ----------
    obj : array_like or Tensor
        A Tensor is returned as it is, if nothing has to change.
    dtype : dtype, optional
        By default that of the object.
    device : {"cpu"}, optional
        NumPy has no other.
    copy : bool, optional
        True copies always (of a Tensor: recorded), False never, None where it must.

    Raises
    ------
    ArgumentError
        If `copy` is False and a copy is needed, or the device is unknown.
    """
    if device not in (None, "cpu"):
        raise ArgumentError(f"asarray: device {device!r} is unknown; NumPy arrays are on 'cpu'.")
    if isinstance(obj, Tensor):
        result = obj if dtype is None or obj.dtype == dtype else astype(obj, dtype)
        if copy is False and result is not obj:
            raise ArgumentError(f"asarray: {obj.dtype} as {dtype} needs a copy, copy=False forbids.")
        return POSITIVE(result) if copy and result is obj else result
    given = array_of(obj)
    array = given if dtype is None else given.astype(dtype, copy=False)
    shares = array is obj or array.base is not None
    if copy is False and not shares:
        raise ArgumentError("asarray: this object needs a copy, which copy=False forbids.")
    result = wrap(array.copy() if copy else array)
    if shares and not copy:
        result.__class__ = Shared
    return result


def zeros(shape: Any, *, dtype: Any = None) -> Tensor:
    """Return zeros of a shape."""
    return wrap(numpy.zeros(shape, dtype))


def ones(shape: Any, *, dtype: Any = None) -> Tensor:
    """Return ones of a shape."""
    return wrap(numpy.ones(shape, dtype))


def arange(start: Any, /, stop: Any = None, step: Any = 1, *, dtype: Any = None) -> Tensor:
    """Return numbers from start to stop (exclusive), evenly spaced."""
    if stop is None:
        start, stop = 0, start
    return wrap(numpy.arange(start, stop, step, dtype=dtype))


# ---------------------------------------------------------------- neural functions


def softmax(x: Any, /, axis: int = -1) -> Tensor:
    """Return exp(x) divided by its sum along an axis, without overflow.

    Examples
    --------
    >>> import tinygraph as tg
    >>> tg.softmax(tg.tensor([0.0, 0.0]))
    Tensor([0.5, 0.5])
    """
    return apply(RULES["softmax"], (x,), {"axis": axis})


def log_softmax(x: Any, /, axis: int = -1) -> Tensor:
    """Return the logarithm of softmax, also where softmax itself would round to 0."""
    return apply(RULES["log_softmax"], (x,), {"axis": axis})


def logsumexp(x: Any, /, axis: Any = None, *, keepdims: bool = False) -> Tensor:
    """Return log(Σ exp(x)) over an axis, several axes (a tuple), or all, without overflow."""
    return _reduction("logsumexp", x, axis, keepdims)


def softmax_cross_entropy(
    logits: Any, targets: Any, *, axis: int = -1, reduction: str = "mean"
) -> Tensor:
    """Return −Σ t · log_softmax(logits) along an axis, averaged over the samples.

    Parameters
    ----------
    logits : array_like
        Unnormalized log-probabilities, shape (..., classes) for the default axis.
    targets : array_like
        Class indices, integers of the shape of the logits without the axis; or rows of weights,
        of the shape of the logits. Rows need not sum to 1.
    axis : int
        The axis of the classes.
    reduction : {"mean", "sum", "none"}
        What to do with the losses of the samples.

    Raises
    ------
    ShapeError
        If the targets have neither shape.
    BoundsError
        If a class index is out of range.
    DTypeError
        If class indices are not integers.

    Examples
    --------
    >>> import tinygraph as tg
    >>> round(tg.softmax_cross_entropy(tg.tensor([[0.0, 0.0]]), [1]).item(), 6)
    0.693147

    Notes
    -----
    With y = softmax(logits) and N samples, the gradient for the logits is (y · Σt − t) / N
    (C. Bishop, Pattern Recognition and Machine Learning, section 4.3.4).
    """
    return apply(
        RULES["softmax_cross_entropy"], (logits, targets), {"axis": axis, "reduction": reduction}
    )


# ---------------------------------------------------------------- what rules need beside these


def scatter_add(values: Any, index: Any, shape: tuple[int, ...]) -> Tensor:
    """Add values into zeros of a shape, at the places that the index selects."""
    return apply(RULES["scatter_add"], (values,), {"index": index, "shape": shape})


def _method(name: str):
    """Make a method of Tensor from a reduction, with NumPy's arguments."""

    def method(self, axis: Any = None, *, keepdims: bool = False) -> Tensor:
        return _reduction(name, self, axis, keepdims)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = globals()[name].__doc__
    return method


for _name in ("sum", "mean", "max", "min", "argmax", "argmin"):
    setattr(Tensor, _name, _method(_name))
Tensor._namespace = sys.modules[__name__]
