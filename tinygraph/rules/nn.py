"""Rules for the functions that neural networks are made of, in their numerically stable forms."""

from importlib.util import find_spec
from math import erfc, pi, prod, sqrt

from numpy import arange, ndindex

from ..errors import ArgumentError, BoundsError, DTypeError, ShapeError
from .elementwise import finite
from .reductions import divided, known, reduced_axes, restore
from .table import DISTINCT, REAL, TARGET, Kind, Parameter, Shapes, rule

ALONG = {"axis": Parameter.AXIS}
ROOT_TWO_PI = sqrt(2 * pi)


def finite_max(xp, a, axis):
    """Return the maximum along axes, 0 where it is infinite, to subtract before an exp."""
    top = xp.max(a, axis=axis, keepdims=True)
    return xp.where(xp.isfinite(top), top, 0.0)


def sigmoid(xp, a, /):
    """Return 1 / (1 + exp(−a)) without an overflow at either end."""
    small = xp.exp(-xp.abs(a))
    return xp.where(a >= 0, 1.0, small) / (1.0 + small)


def normal_cdf(xp, a, /):
    """Return the share of a standard normal distribution that lies below a.

    SciPy computes it, or where that is not installed the standard library, one entry at a time.
    """
    if find_spec("scipy"):
        from scipy.special import ndtr
    else:
        ndtr = xp.frompyfunc(lambda one: 0.5 * erfc(-one * 0.5**0.5), 1, 1)
    a = xp.asarray(a)
    dtype = a.dtype if a.dtype.kind == "f" else xp.result_type(a, xp.float16)
    return xp.asarray(ndtr(a), dtype=dtype)


def softmax(xp, a, /, axis=-1):
    """Return exp(a) divided by its sum along an axis, without overflow."""
    e = xp.exp(a - xp.max(a, axis=axis, keepdims=True))
    return e / xp.sum(e, axis=axis, keepdims=True)


def log_softmax(xp, a, /, axis=-1):
    """Return the logarithm of softmax, also where softmax itself would round to 0."""
    shifted = a - xp.max(a, axis=axis, keepdims=True)
    return shifted - xp.log(xp.sum(xp.exp(shifted), axis=axis, keepdims=True))


def logsumexp(xp, a, /, axis=None, *, keepdims=False):
    """Return log(Σ exp(a)) over an axis, several axes (a tuple), or all, without overflow."""
    top = finite_max(xp, a, axis)
    total = xp.log(xp.sum(xp.exp(a - top), axis=axis, keepdims=True)) + top
    return total if keepdims else xp.squeeze(total, axis=reduced_axes(axis, a.ndim))


def logsumexp_vjp(xp, g, a, y, axis, keepdims):
    """Return g · softmax(a), 0 where all that was summed is exp(−∞)."""
    total = restore(xp, y, a.shape, axis, keepdims)
    return restore(xp, g, a.shape, axis, keepdims) * xp.exp(a - finite(xp, total))


rule(
    "relu",
    lambda xp, a, /: xp.maximum(a, 0),
    doc="Return a where it is positive, 0 elsewhere.",
    vjp=lambda g, y: g * (y > 0),
    kind=Kind.ELEMENTWISE, domain=REAL.without(0), convention="relu'(0) = 0",
)  # fmt: skip
rule(
    "nn.sigmoid", sigmoid, vjp=lambda g, y: g * (y * (1 - y)),
    kind=Kind.ELEMENTWISE, domain=REAL, symbol="sigmoid",
)  # fmt: skip
rule(
    "nn.normal_cdf", normal_cdf,
    vjp=lambda xp, g, a: g * (xp.exp(-0.5 * (a * a)) / ROOT_TWO_PI),
    kind=Kind.ELEMENTWISE, domain=REAL, symbol="Φ",
)  # fmt: skip
rule(
    "softmax",
    softmax,
    vjp=lambda xp, g, y, axis: y * (g - xp.sum(g * y, axis=axis, keepdims=True)),
    kind=Kind.OTHER, domain=REAL, shapes=Shapes.NONEMPTY, parameters=ALONG,
)  # fmt: skip
rule(
    "log_softmax",
    log_softmax,
    vjp=lambda xp, g, y, axis: g - xp.exp(y) * xp.sum(g, axis=axis, keepdims=True),
    kind=Kind.OTHER, domain=REAL, shapes=Shapes.NONEMPTY, parameters=ALONG,
)  # fmt: skip
rule(
    "logsumexp",
    logsumexp,
    vjp=logsumexp_vjp,
    kind=Kind.OTHER, domain=REAL, shapes=Shapes.NONEMPTY,
    parameters={"axis": Parameter.AXES, "keepdims": Parameter.FLAG},
)  # fmt: skip


# Cross-entropy is one rule: its gradient needs the logarithm of softmax and nothing else.


def rows(xp, targets, like, axis):
    """Return targets as rows of weights: class indices become True at the class's place."""
    if targets.ndim == like.ndim:
        return targets
    axis %= like.ndim
    classes = xp.arange(like.shape[axis], dtype=targets.dtype)
    if axis < like.ndim - 1:
        classes = xp.reshape(classes, (-1,) + (1,) * (like.ndim - 1 - axis))
    return targets[(slice(None),) * axis + (None, ...)] == classes


def divisor(shape, axis, reduction):
    """Return what the summed loss is divided by: the number of samples for a mean."""
    return prod(shape) // shape[axis] if reduction == "mean" else 1


def cross_entropy(xp, logits, targets, r, *, axis=-1, reduction="mean"):
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
    >>> print(f"{tg.softmax_cross_entropy(tg.tensor([[0.0, 0.0]]), [1]):.6f}")
    0.693147

    Notes
    -----
    With y = softmax(logits) and N samples, the gradient for the logits is (y · Σt − t) / N
    (C. Bishop, Pattern Recognition and Machine Learning, section 4.3.4).
    """
    weights = rows(xp, targets, logits, axis)
    if weights is targets:
        losses = -xp.sum(targets * xp.where(targets == 0, 0.0, r), axis=axis)
    else:
        losses = -xp.sum(xp.where(weights, r, 0.0), axis=axis)
    if reduction == "none":
        return losses
    return divided(xp.sum(losses), divisor(logits.shape, axis, reduction))


def upstream(xp, g, shape, axis, reduction):
    """Return the gradient that reaches each sample's loss, ready to multiply rows by."""
    if reduction == "none":
        return xp.expand_dims(g, axis=axis)
    return divided(g, divisor(shape, axis, reduction))


def cross_entropy_logits(xp, g, targets, r, axis, reduction):
    """Return (softmax · Σt − t) · g: softmax less the rows, where the rows sum to 1."""
    weights = rows(xp, targets, r, axis)
    p = xp.exp(r)
    if weights is targets:
        p = p * xp.sum(targets, axis=axis, keepdims=True)
    else:
        weights = xp.astype(weights, r.dtype)
    return (p - weights) * upstream(xp, g, r.shape, axis, reduction)


def check_cross_entropy(operands, params):
    """Raise for targets that do not fit the logits."""
    logits, targets = operands
    name, axis, reduction = "softmax_cross_entropy", params["axis"], params["reduction"]
    if reduction not in ("mean", "sum", "none"):
        raise ArgumentError(f'{name}: reduction={reduction!r} is none of "mean", "sum", "none".')
    if logits.ndim == 0:
        raise ShapeError(f"{name}: logits need an axis of classes, these have shape ().")
    if axis is None:
        raise ArgumentError(f"{name}: axis=None. Say along which axis of {logits.shape} they lie.")
    if not -logits.ndim <= axis < logits.ndim:
        raise BoundsError(f"{name}: axis {axis} is out of range for logits {logits.shape}.")
    if logits.dtype.kind not in "fc":
        raise DTypeError(f"{name}: logits are {logits.dtype}; give floating point numbers.")
    samples = tuple(n for i, n in enumerate(logits.shape) if i != axis % logits.ndim)
    if targets.shape == logits.shape:
        return
    if targets.shape != samples:
        raise ShapeError(
            f"{name}: targets of shape {targets.shape} do not fit logits of shape {logits.shape}: "
            f"give class indices of shape {samples} or rows of weights of shape {logits.shape}."
        )
    if targets.dtype.kind not in "iu":
        raise DTypeError(
            f"{name}: targets of shape {targets.shape} are class indices, "
            f"which are integers, but these are {targets.dtype}; use .astype('int64')."
        )
    classes = logits.shape[axis]
    labels = known(targets)
    if labels is None or not labels.size:
        return
    if not 0 <= (low := labels.min()) <= (high := labels.max()) < classes:
        worst = low if low < 0 else high
        raise BoundsError(
            f"{name}: label {worst} is out of range for {classes} classes "
            f"(axis {axis} of the logits); labels go from 0 to {classes - 1}."
        )


rule(
    "softmax_cross_entropy",
    cross_entropy,
    residual=lambda xp, logits, targets, *, axis, reduction: log_softmax(xp, logits, axis=axis),
    vjp=(
        cross_entropy_logits,
        lambda xp, g, r, axis, reduction: -r * upstream(xp, g, r.shape, axis, reduction),
    ),
    kind=Kind.OTHER, domain=(REAL, TARGET), shapes=Shapes.LOGITS,
    parameters={"axis": Parameter.AXIS, "reduction": Parameter.REDUCTION},
    check=check_cross_entropy,
)  # fmt: skip


# ---------------------------------------------------------------- windows that slide over an array


def windows(xp, a, /, window):
    """Return what a window shows of the last axes at each of its positions.

    Parameters
    ----------
    a : array_like
    window : tuple
        For each of the last axes, as many as it has entries: how long the window is, how far it
        moves from one position to the next, how far its own entries are apart, and how many zeros
        are put before and after the axis.

    Returns
    -------
    Tensor
        The other axes, then the entries of the window, then its positions.
    """
    if hasattr(xp, "nn"):
        return xp.nn.windows(a, window)
    rest, lengths = a.shape[: -len(window)], a.shape[-len(window) :]
    if any(before or after for *_, before, after in window):
        whole = xp.zeros(rest + surrounded(lengths, window), dtype=a.dtype)
        whole[inner(lengths, window)] = a
        a = whole
    if not hasattr(a, "strides"):
        return gathered(xp, a, window, positions(lengths, window))
    sizes = tuple(size for size, *_ in window)
    steps = a.strides[len(rest) :]
    return xp.lib.stride_tricks.as_strided(
        a,
        rest + sizes + positions(lengths, window),
        a.strides[: len(rest)]
        + tuple(step * dilation for step, (_, _, dilation, *_) in zip(steps, window, strict=True))
        + tuple(step * stride for step, (_, stride, *_) in zip(steps, window, strict=True)),
        writeable=False,
    )


def gathered(xp, a, window, counts):
    """Return what `windows` returns, by indices, of arrays that do not show their memory."""
    first = len(a.shape) - len(window)
    pairs = []
    for axis, ((size, stride, dilation, *_), count) in enumerate(
        zip(window, counts, strict=True), first
    ):
        index = arange(size)[:, None] * dilation + arange(count) * stride
        a = xp.take(a, index.reshape(-1), axis=axis)
        pairs += index.shape
    a = xp.reshape(a, (*a.shape[:first], *pairs))
    last = [*range(first, first + len(pairs))]
    return xp.permute_dims(a, (*range(first), *last[::2], *last[1::2]))


def overlap_add(xp, a, /, window, lengths):
    """Return zeros with what windows show added where they show it: the transpose of `windows`.

    Parameters
    ----------
    a : array_like
        As `windows` returns it.
    window : tuple
        As for `windows`.
    lengths : tuple of int
        The lengths of the axes that the window slides over.
    """
    if hasattr(xp, "nn"):
        return xp.nn.overlap_add(a, window, lengths)
    count = len(window)
    total = xp.zeros(a.shape[: -2 * count] + surrounded(lengths, window), dtype=a.dtype)
    for place in ndindex(a.shape[-2 * count : -count]):
        shown = [
            slice(at * dilation, at * dilation + max(stride * (n - 1) + 1, 0), stride)
            for at, n, (_, stride, dilation, *_) in zip(
                place, a.shape[-count:], window, strict=True
            )
        ]
        total[(..., *shown)] += a[(..., *place, *(slice(None),) * count)]
    return total[inner(lengths, window)]


def surrounded(lengths, window):
    """Return the lengths of axes with the zeros before and after."""
    return tuple(n + before + after for n, (*_, before, after) in zip(lengths, window, strict=True))


def inner(lengths, window):
    """Return the index of an array among the zeros before and after."""
    pairs = zip(lengths, window, strict=True)
    return (..., *(slice(before, before + n) for n, (*_, before, _) in pairs))


def positions(lengths, window):
    """Return how many positions a window has along each axis; none or less where it is longer."""
    pairs = zip(surrounded(lengths, window), window, strict=True)
    return tuple(
        (n - dilation * (size - 1) - 1) // stride + 1 for n, (size, stride, dilation, *_) in pairs
    )


def first(xp, hit, axis):
    """Keep of what is True along an axis the first alone."""
    kept, free = [], True
    for i in range(hit.shape[axis]):
        one = hit[(slice(None),) * (axis % hit.ndim) + (i,)]
        kept.append(one & free)
        free = free & ~one
    return xp.stack(kept, axis=axis)


def largest_vjp(xp, g, a, y, axis):
    """Give g to the first entry that attains the maximum."""
    hit = first(xp, a == xp.expand_dims(y, axis=axis), axis)
    return xp.where(hit, xp.expand_dims(g, axis=axis), 0.0)


rule(
    "nn.largest",
    lambda xp, a, /, axis=-1: xp.max(a, axis=axis),
    vjp=largest_vjp,
    doc="Return the largest entry along an axis; unlike `max`, with a gradient for one alone.",
    kind=Kind.OTHER, domain=DISTINCT, shapes=Shapes.NONEMPTY, parameters=ALONG, symbol="largest",
    convention="of entries that tie the first gets all",
)  # fmt: skip
rule(
    "nn.windows",
    windows,
    vjp=lambda xp, g, a_shape, window: overlap_add(xp, g, window, a_shape[-len(window) :]),
    kind=Kind.LINEAR, domain=REAL, shapes=Shapes.WINDOWED, view=True, symbol="windows",
    parameters={"window": Parameter.WINDOW},
)  # fmt: skip
rule(
    "nn.overlap_add",
    overlap_add,
    vjp=lambda xp, g, window: windows(xp, g, window),
    kind=Kind.LINEAR, domain=REAL, shapes=Shapes.WINDOWS, symbol="overlap add",
    parameters={"window": Parameter.WINDOW, "lengths": Parameter.LENGTHS},
)  # fmt: skip
