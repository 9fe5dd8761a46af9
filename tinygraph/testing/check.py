"""The checker: gradients of a function against numerical ones, with a report of what differs."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy

from ..errors import ArgumentError, DTypeError, GradientError
from ..namespace import asarray, tensor
from ..tensor import Tensor
from ..transforms import grad
from ..trees import flatten
from .numerical import derivatives

MODES = ("rev",)  # the ways to differentiate that can be checked
SAFETY = 10  # how many times the estimated numerical error a difference may be
BLUR = 1e-3  # of the gradient or the value: a numerical derivative less certain judges nothing
SHOWN = 5  # rows of a report


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
    compared entry by entry. So is, up to `order`, the gradient of the gradient multiplied by
    weights in its turn. A difference is an error if it exceeds what the error of the numerical
    derivative, estimated for each entry, explains.

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
    modes : iterable of {"rev"}
        How to differentiate.
    rtol, atol : float, optional
        What is allowed beside the numerical error, relative to an entry and to the largest entry
        of its argument's gradient: by default the square root of the dtype's precision and a
        hundredth of that.

    Raises
    ------
    GradientError
        If a gradient differs, or if the numerical one is too uncertain to judge by, as at a kink.
        The message lists argument, index, both values, their difference and the numerical error.
    ArgumentError
        If there is nothing to differentiate by, or a mode is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> import tinygraph as tg
    >>> tg.testing.check_grads(lambda x, y: tg.tanh(x) * y, (np.ones((2, 1)), np.ones(3)))
    """
    if unknown := set(modes) - set(MODES):
        raise ArgumentError(f"check_grads: modes {sorted(unknown)} are unknown; {MODES} are known.")
    if not isinstance(args, tuple):
        raise DTypeError(f"check_grads: args is a {type(args).__name__}; give a tuple: args=(x,).")
    leaves, places, join = differentiable(args)
    if not leaves:
        raise ArgumentError("check_grads: none of the arguments is of a real floating dtype.")
    tolerances = (rtol, atol)

    function = weighted(lambda *inside: f(*join(inside)))
    wide = [leaf.astype(numpy.float64) for leaf in leaves]
    exact = None
    for derivative in range(1, order + 1):
        gradient = grad(function, argnums=tuple(range(len(wide))))
        analytic = gradient(*wide)
        if exact is None:
            exact = analytic
        for i, place in enumerate(places):
            numerical, error = derivatives(bound(function, wide, i), wide[i])
            title = f"derivative {derivative} by {place}"
            judge(title, analytic[i], numerical, error, abs(function(*wide).item()), tolerances)
        function = weighted(gradient)

    if exact is not None and any(leaf.dtype != numpy.float64 for leaf in leaves):
        function = weighted(lambda *inside: f(*join(inside)))
        coarse = grad(function, argnums=tuple(range(len(leaves))))(*leaves)
        blur = max(float(numpy.finfo(leaf.dtype).eps) for leaf in leaves) ** 0.5
        tolerances = tuple(blur if one is None else one for one in tolerances)
        for place, leaf, rough, fine in zip(places, leaves, coarse, exact, strict=True):
            title = f"derivative 1 by {place} in {leaf.dtype}, beside that in float64"
            error = numpy.full(fine.shape, blur / SAFETY)
            judge(title, rough, fine, error, numpy.inf, tolerances)


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
                    rng = numpy.random.default_rng(i)
                    weights = rng.uniform(0.5, 1.5, part.shape)
                    weights *= rng.choice([-1.0, 1.0], part.shape)
                    known[key] = tensor(weights, dtype=part.dtype)
                sums.append((part * known[key]).sum())
        if not sums:
            raise DTypeError("check_grads: the function returned nothing of a real floating dtype.")
        result = sums[0]
        for one in sums[1:]:
            result = result + one
        return result

    return total


def bound(f: Callable, args: list, i: int) -> Callable:
    """Return `f` as a function of one of its arguments."""
    return lambda x: f(*args[:i], x, *args[i + 1 :])


# ---------------------------------------------------------------- the verdict


def judge(
    title: str,
    analytic: numpy.ndarray,
    numerical: numpy.ndarray,
    error: numpy.ndarray,
    value: float,
    tolerances: tuple[float | None, float | None],
) -> None:
    """Raise a GradientError if two gradients differ by more than the error of the second.

    `value` is the size of the function, to which the error of a gradient of 0 is compared.
    """
    rtol, atol = tolerances
    exact = float(numpy.finfo(numpy.float64).eps)
    rtol = exact**0.5 if rtol is None else rtol
    atol = exact**0.5 / 100 if atol is None else atol
    values = numpy.asarray(analytic, numpy.float64)
    sizes = numpy.abs(numpy.where(numpy.isfinite(values), values, 0.0))
    largest = max(numpy.max(sizes, initial=0.0), numpy.nanmax(numpy.abs(numerical), initial=0.0))
    # What rounding does to one entry, it may do to its neighbours: the estimates vary by chance.
    certain = error[numpy.isfinite(error)]
    floor = float(numpy.median(certain)) if certain.size else 0.0
    allowed = SAFETY * numpy.maximum(error, floor)

    with numpy.errstate(invalid="ignore"):
        difference = numpy.abs(values - numerical)
    vague = ~(error <= BLUR * max(largest, value, exact**0.5))
    wrong = ~vague & ~(difference <= allowed + rtol * numpy.abs(numerical) + atol * largest)
    for mask, verdict in ((wrong, "differ"), (vague, "cannot be judged")):
        if mask.any():
            raise GradientError(report(title, verdict, mask, values, numerical, difference, error))


def report(
    title: str,
    verdict: str,
    mask: numpy.ndarray,
    analytic: numpy.ndarray,
    numerical: numpy.ndarray,
    difference: numpy.ndarray,
    error: numpy.ndarray,
) -> str:
    """Return a table of the entries that a mask selects, the worst first."""
    found = sorted(numpy.argwhere(mask), key=lambda index: -difference[tuple(index)])
    lines = [f"{title}: {len(found)} of {mask.size} entries {verdict}."]
    if verdict == "cannot be judged":
        lines.append("Their numerical derivatives are too uncertain: a kink or a jump close by?")
    lines.append(
        f"{'index':>12} {'analytic':>14} {'numerical':>14} {'difference':>11} {'its error':>11}"
    )
    for index in found[:SHOWN]:
        at = tuple(map(int, index))
        lines.append(
            f"{at!s:>12} {analytic[at]:>14.7g} {numerical[at]:>14.7g} "
            f"{difference[at]:>11.2g} {error[at]:>11.2g}"
        )
    if len(found) > SHOWN:
        lines.append(f"and {len(found) - SHOWN} more")
    return "\n".join(lines)
