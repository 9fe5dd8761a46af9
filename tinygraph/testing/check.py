"""The checker: tinygraph's derivatives of a function against numerical ones."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy

from ..errors import ArgumentError, DTypeError, GradientError
from ..namespace import asarray, tensor
from ..tensor import Tensor
from ..transforms import grad, jvp
from ..trees import flatten
from .comparison import EXACT, Case, Subject, Tolerances, beside_exact, compare, weights
from .diagnosis import lengths, not_finite, repeats, report

MODES = ("rev", "fwd")  # the ways to differentiate


def check_grads(
    f: Callable,
    args: tuple,
    *,
    order: int = 2,
    modes: Iterable[str] = MODES,
    rtol: float | None = None,
    atol: float | None = None,
) -> None:
    """Check that tinygraph's derivatives of a function agree with numerical ones.

    The result of `f` is multiplied by fixed random weights and summed; the gradient of that is
    compared with the numerical one. So is, up to `order`, the gradient of the gradient multiplied
    by weights in its turn. A difference is an error if it exceeds what the error of the numerical
    derivative, estimated for each entry, explains.

    Of an argument with at most 2,000 entries each is compared; a larger one is moved along random
    directions, and bisected to its worst entry where one of them tells of a difference. Forward
    mode is compared with reverse along random directions, entry by entry where these differ.

    All this is done in float64, whatever the dtype of the arguments. Where some have a narrower
    dtype, the gradient in that dtype is then compared with the one in float64.

    Parameters
    ----------
    f : callable
        Made of recorded operations. It gets Tensors for arguments of real floating dtype, others
        as they are, and returns a floating point number or array, or a nested dict, list or tuple
        of them. What it returns is to depend on nothing but its arguments.
    args : tuple
        Arrays, Tensors, floats, nested dicts, lists and tuples of them, and anything else. They
        are not changed.
    order : int
        The highest derivative to check.
    modes : iterable of {"rev", "fwd"}
        How to differentiate: reverse, forward.
    rtol, atol : float, optional
        What is allowed beside the numerical error, relative to an entry and to the largest entry
        of its argument's gradient: by default the square root of the dtype's precision and a
        hundredth of that.

    Raises
    ------
    GradientError
        If a gradient differs, or if the numerical one is too uncertain to judge by, as at a kink;
        if `f` gives different values when called twice, or one that is not finite. The message
        says why, where a simple relation explains it, and lists argument, index, both values,
        their ratio and difference, and the numerical error.
    ArgumentError
        If there is nothing to differentiate by, or a mode or the order makes no sense.
    DTypeError
        If `f` returns complex numbers, or none of a real floating dtype.

    Examples
    --------
    >>> import numpy as np
    >>> import tinygraph as tg
    >>> tg.testing.check_grads(lambda x, y: tg.tanh(x) * y, (np.ones((2, 1)), np.ones(3)))
    """
    __tracebackhide__ = True  # the traceback of pytest ends at the call
    modes = {modes} if isinstance(modes, str) else set(modes)
    if not modes or not modes <= set(MODES):
        raise ArgumentError(f"check_grads: modes {sorted(modes)}: give one or both of {MODES}.")
    if order < 1:
        raise ArgumentError(f"check_grads: order {order}: the first derivative is order 1.")
    if not isinstance(args, tuple):
        raise DTypeError(f"check_grads: args is a {type(args).__name__}; give a tuple: args=(x,).")
    leaves, places, join = differentiable(args)
    if not leaves:
        raise ArgumentError(
            "check_grads: none of the arguments is NumPy's and of a real floating dtype."
        )

    function = weighted(lambda *inside: f(*join(inside)))
    wide = [leaf.astype(numpy.float64) for leaf in leaves]
    if fault := not_finite(lambda: function(*wide)) or repeats(lambda: function(*wide)):
        raise GradientError(f"check_grads: {fault}")
    value = 0.0
    for derivative in range(1, order + 1):
        title = f"derivative {derivative} by"
        value = max(value, abs(function(*wide).item()))
        if found := wrong_derivatives(function, wide, places, title, modes, value, (rtol, atol)):
            raise GradientError(found)
        function = weighted(all_gradients(function, len(wide)))
    if found := too_coarse(
        weighted(lambda *inside: f(*join(inside))), leaves, places, (rtol, atol)
    ):
        raise GradientError(found)


def all_gradients(function: Callable, count: int) -> Callable:
    """Return the gradient of a function by all of its arguments."""
    return grad(function, argnums=tuple(range(count)))


def wrong_derivatives(
    function: Callable,
    arrays: list[numpy.ndarray],
    places: list[str],
    title: str,
    modes: set[str],
    value: float,
    tolerances: Tolerances,
) -> str:
    """Return a report of the gradients of a function that are wrong; nothing if all are right."""
    named = dict(zip(places, arrays, strict=True))

    def cases(gradients: list, of: dict[str, numpy.ndarray], suffix: str = "") -> list[Case]:
        subject = Subject(of, dict(zip(of, gradients, strict=True)), lengths(named), recorded=True)
        return [
            compare(
                bound(function, arrays, places.index(place)), array, subject.gradients[place],
                title=f"{title} {place}{suffix}", name=place, value=value, tolerances=tolerances,
                subject=subject,
            )
            for place, array in of.items()
        ]  # fmt: skip

    reverse = list(all_gradients(function, len(arrays))(*arrays))
    found = cases(reverse, named) if "rev" in modes else []
    if "fwd" in modes and all(case.passed for case in found):
        suspects = {
            place: array
            for i, (place, array) in enumerate(named.items())
            if "rev" not in modes or forward_differs(function, arrays, i, reverse[i], tolerances)
        }
        forward = [forward_gradient(function, arrays, places.index(one)) for one in suspects]
        found += cases(forward, suspects, ", forward mode")
    return report(found)


def tangent(function: Callable, arrays: list, i: int, direction: numpy.ndarray) -> float:
    """Return the derivative of a function along a direction in one argument, in forward mode."""
    directions = [numpy.zeros(one.shape) for one in arrays]
    directions[i] = direction
    return jvp(function, tuple(arrays), tuple(directions))[1].item()


def forward_differs(
    function: Callable, arrays: list, i: int, gradient: numpy.ndarray, tolerances: Tolerances
) -> bool:
    """Whether forward mode gives something else than a gradient along a random direction."""
    direction = numpy.random.default_rng(i).uniform(0.5, 1.5, arrays[i].shape)
    terms = gradient * direction
    rtol = EXACT**0.5 / 100 if tolerances[0] is None else tolerances[0]
    # From the largest terms on, rounding is the same in both and leaves nothing to tell apart.
    allowed = rtol * numpy.abs(terms).sum() + EXACT
    return bool(abs(tangent(function, arrays, i, direction) - terms.sum()) > allowed)


def forward_gradient(function: Callable, arrays: list, i: int) -> numpy.ndarray:
    """Return the gradient by one argument, an entry at a time, in forward mode."""
    gradient = numpy.zeros(arrays[i].shape)
    for entry in range(gradient.size):
        direction = numpy.zeros(gradient.shape)
        direction.flat[entry] = 1
        gradient.flat[entry] = tangent(function, arrays, i, direction)
    return gradient


def too_coarse(
    function: Callable, leaves: list[numpy.ndarray], places: list[str], tolerances: Tolerances
) -> str:
    """Return a report of the gradients in a narrow dtype that are not those in float64."""
    if all(leaf.dtype == numpy.float64 for leaf in leaves):
        return ""
    gradient = all_gradients(function, len(leaves))
    named = dict(zip(places, leaves, strict=True))
    coarse = dict(zip(places, gradient(*leaves), strict=True))
    wide = [leaf.astype(numpy.float64) for leaf in leaves]
    exact = dict(zip(places, gradient(*wide), strict=True))
    subject = Subject(named, coarse, lengths(named), recorded=True)
    return report(beside_exact(coarse, exact, named, tolerances, "derivative 1 by ", subject))


# ---------------------------------------------------------------- a function of arrays to a number


def differentiable(args: tuple) -> tuple[list, list[str], Callable]:
    """Return the floating point arrays among arguments, what to call them, and how to put back.

    The last is a function of as many Tensors, which returns the arguments with them in place.
    """
    leaves, join = flatten(args)
    owners = [i for i, one in enumerate(args) for _ in flatten(one)[0]]
    arrays, places, at = [], [], []
    for i, leaf in enumerate(leaves):
        if isinstance(leaf, float | Tensor | numpy.ndarray | numpy.floating):
            array = leaf.numpy() if isinstance(leaf, Tensor) else numpy.array(leaf)
            if array.dtype.kind == "f":
                name = getattr(leaf, "name", None)
                several = owners.count(owners[i]) > 1
                arrays.append(array)
                at.append(i)
                places.append(
                    f"argument {owners[i]}"
                    + (f", leaf {i - owners.index(owners[i])}" if several else "")
                    + (f" ({name!r})" if name else "")
                )

    def put(inside: Iterable[Tensor]) -> tuple:
        filled = list(leaves)
        for i, one in zip(at, inside, strict=True):
            filled[i] = one
        return join(filled)

    return arrays, places, put


def weighted(f: Callable) -> Callable:
    """Return the function whose value is the sum of all that `f` returns times fixed weights.

    The weights are random, so that no error in a gradient is likely to cancel or to hide.
    """
    known: dict[tuple, Tensor] = {}

    def total(*args: Any) -> Any:
        sums = []
        for i, part in enumerate(map(asarray, flatten(f(*map(asarray, args)))[0])):
            if part.dtype.kind == "f":
                key = (i, part.shape, part.dtype)
                if key not in known:
                    known[key] = tensor(weights(part.shape, i), dtype=part.dtype)
                sums.append((part * known[key]).sum())
            elif part.dtype.kind == "c":
                raise DTypeError(
                    f"check_grads: the function returned {part.dtype}, and only a real number has "
                    "a gradient. Return tg.real and tg.imag of it, both."
                )
        if not sums:
            raise DTypeError("check_grads: the function returned nothing of a real floating dtype.")
        return sum(sums[1:], start=sums[0])

    return total


def bound(f: Callable, args: list, i: int) -> Callable:
    """Return `f` as a function of one of its arguments."""
    return lambda x: f(*args[:i], x, *args[i + 1 :])
