"""Numerical derivatives that can be trusted: each comes with an estimate of its error.

Differences with a step h and with h/2 are extrapolated to h = 0, and what the two say must agree.
Where the function bends sharply between them, as a relu does that switches within a step, they
disagree: then the steps are halved until the kink lies outside, or until rounding spoils more than
a smaller step mends.
"""

from collections.abc import Callable
from typing import Any

import numpy

from ..errors import ArgumentError, DTypeError, ShapeError
from ..tensor import Tensor

ROUNDING = 16  # units in the last place by which a function's value is taken to be uncertain
HALVINGS = 14  # of the first step, at most


def derivative(
    f: Callable[[float], float],
    x: float,
    middle: float,
    eps: float,
    step: float,
    rounded: Callable[[float], float] = float,
) -> tuple[float, float]:
    """Return the derivative of a function of one number, and an estimate of the error.

    Parameters
    ----------
    f : callable
    x, middle : float
        The place, and the value of `f` there.
    eps : float
        The precision of the values of `f`, relative to their size.
    step : float
        The first step.
    rounded : callable
        Rounds a number to one that `f` can be given.

    Notes
    -----
    With c(h) the central difference and b(h) the difference of the two one-sided slopes, a smooth
    function has c(h) − c(h/2) = O(h²) and b(h) − 2·b(h/2) = O(h³). A kink at a distance d < h/2,
    where the slope jumps by J, puts J·d/2h into the first and J·(3d/h − 1) into the second, which
    are never both small; one between h/2 and h puts J·(1 − d/h) into the second. The larger of the
    two bounds what the kink does to the extrapolated derivative.
    """
    value, error = numpy.nan, numpy.inf
    central = bend = numpy.nan
    for _ in range(HALVINGS):
        right, left = rounded(x + step), rounded(x - step)
        if not left < x < right:
            break
        up, down = f(right), f(left)
        wider, sharper = central, bend
        central = (up - down) / (right - left)
        bend = (up - middle) / (right - x) - (middle - down) / (x - left)
        noise = ROUNDING * eps * max(abs(up), abs(down), abs(middle))
        doubt = max(abs(wider - central), abs(sharper - 2 * bend)) + noise / step
        if doubt < error:
            value, error = (4 * central - wider) / 3, doubt
        step /= 2
        if error <= noise / step < numpy.inf:
            break
    return value, error


def derivatives(f: Callable, x: Any) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Return the derivatives of ``f(x)`` for each entry of `x`, and estimates of their errors.

    Takes what `numerical_gradient` takes, and changes and restores `x` as it does.
    """
    values, move, restore = hold(x)
    dtype = values.dtype
    result = f(x)
    middle = number(result)
    eps = max(float(numpy.finfo(one).eps) for one in (dtype, float_dtype(result)))
    rounded = float if dtype == numpy.float64 else lambda value: float(dtype.type(value))
    slopes, errors = numpy.empty(x.shape), numpy.empty(x.shape)

    try:
        for i, entry in enumerate(values.ravel().tolist()):

            def moved(value: float, i: int = i) -> float:
                move(i, value)
                with numpy.errstate(all="ignore"):  # where a step leaves the domain of f
                    return number(f(x))

            step = eps**0.25 / 2 * max(1.0, abs(entry))
            slopes.flat[i], errors.flat[i] = derivative(moved, entry, middle, eps, step, rounded)
            values.flat[i] = entry
    finally:
        restore()
    return slopes, errors


def numerical_gradient(f: Callable, x: Any) -> numpy.ndarray:
    """Return the gradient of ``f(x)``, found by changing one entry of `x` at a time.

    Each entry is moved to both sides by two steps; where these disagree by more than rounding
    explains, as they do when a kink of `f` lies within them, smaller ones are tried.

    Parameters
    ----------
    f : callable
        Takes `x` and returns one real number: a float, an array or a Tensor of one entry.
    x : ndarray or Tensor
        Of a real floating dtype. It is changed in place and restored, also after an exception,
        so that a function that ignores its argument and reads the array elsewhere is right too. A
        Tensor has to be a leaf; each step sets its `data`.

    Returns
    -------
    ndarray
        Of the shape and dtype of `x`.

    Raises
    ------
    DTypeError
        If `x` is not an array or not floating point.
    ArgumentError
        If `x` is read-only, or more than one of its entries lie in the same place.
    GraphError
        If `x` is a Tensor that is a result.
    ShapeError
        If `f` returns more than one number.

    Examples
    --------
    >>> import numpy as np
    >>> import tinygraph as tg
    >>> W = np.array([[1.0, -2.0], [3.0, 0.5]])
    >>> tg.testing.numerical_gradient(lambda W: np.sum(W * W), W).round(6)
    array([[ 2., -4.],
           [ 6.,  1.]])
    """
    return derivatives(f, x)[0].astype(x.dtype, copy=False)


# ---------------------------------------------------------------- what is moved, what is measured


def hold(x: Any) -> tuple[numpy.ndarray, Callable, Callable]:
    """Return the values to be moved, how to move one of them, and how to put all back."""
    if isinstance(x, Tensor):
        values = x.numpy()
        x.data = values  # raises for a result, before anything has changed
    elif isinstance(x, numpy.ndarray):
        values = x
    else:
        raise DTypeError(
            f"numerical_gradient: x is a {type(x).__name__}, which cannot be changed in place. "
            "Give an array or a Tensor."
        )
    if values.dtype.kind != "f":
        raise DTypeError(
            f"numerical_gradient: x has dtype {values.dtype}, and only floating point numbers can "
            "be moved by a small step. Use .astype('float64')."
        )
    if not values.flags.writeable or (values.size > 1 and 0 in values.strides):
        raise ArgumentError(
            "numerical_gradient: x is read-only or broadcast, and its entries are to be changed "
            "one at a time. Give a .copy() of it."
        )
    before = values.copy()

    def move(i: int, value: float) -> None:
        values.flat[i] = value
        if values is not x:
            x.data = values

    def restore() -> None:
        if values is x:
            x[...] = before
        else:
            x.data = before

    return values, move, restore


def number(result: Any) -> float:
    """Return the only entry of a result as a Python float."""
    if type(result) is float:
        return result
    if getattr(result, "size", 1) != 1:
        raise ShapeError(
            f"numerical_gradient: the function returned shape {result.shape}, and only one number "
            "has a gradient. Reduce it, for example by .sum()."
        )
    value = result.item() if hasattr(result, "item") else result
    if isinstance(value, complex):
        raise DTypeError("numerical_gradient: the function returned a complex number.")
    return float(value)


def float_dtype(result: Any) -> numpy.dtype:
    """Return the floating dtype in which a result was computed."""
    dtype = getattr(result, "dtype", numpy.dtype(float))
    return dtype if dtype.kind == "f" else numpy.dtype(float)
