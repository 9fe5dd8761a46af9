"""What explains a wrong gradient: one small function for each simple relation, and a table of them.

Each takes a `Case` and returns a sentence if its relation holds for every entry that can be judged,
within the numerical error; the first that does is the diagnosis. Some do not look at numbers alone:
of a layer they change one thing between forward and backward, and see whether that mends it.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy

from .comparison import EXACT, Case

ENOUGH = 3  # entries that are not 0: from fewer, a factor could be read off by chance
CLOSE = 1e-4  # of the largest entry: what differs by less is nearly right


def explain(case: Case) -> str:
    """Return the first diagnosis that explains a case."""
    for diagnosis in DIAGNOSES:
        if text := diagnosis(case):
            return text
    return "no simple relation between the two was found."


def report(cases: Iterable[Case]) -> str:
    """Return what is wrong with those that did not pass, and why."""
    return "\n\n".join(case.report(explain(case)) for case in cases if not case.passed)


# ---------------------------------------------------------------- before anything is compared


def not_finite(run: Callable[[], Any]) -> str:
    """Say where a number comes from that is no number."""
    with numpy.errstate(all="ignore"):
        result = run()
    if all(numpy.isfinite(one).all() for one in numbers(result)):
        return ""
    with warnings.catch_warnings(record=True) as caught, numpy.errstate(all="warn", under="ignore"):
        warnings.simplefilter("always", RuntimeWarning)
        run()
    text = "it is not finite (nan or inf)."
    if not caught:
        return text
    first = caught[0]
    message, place = str(first.message), Path(first.filename)
    ours = Path(__file__).parents[1] in place.parents
    where = "" if ours else f", in line {first.lineno} of {place.name}"
    if message == "divide by zero encountered in log":
        message, cure = "the logarithm of 0 was taken", " Use log_softmax, or keep away from 0."
    else:
        cure = ""
    return f"{text} First, {message}{where}.{cure}"


def numbers(result: Any) -> Iterator[numpy.ndarray]:
    """Yield the floating point arrays of a result or a dict of results."""
    for one in result.values() if isinstance(result, dict) else [result]:
        array = numpy.asarray(one.numpy() if hasattr(one, "numpy") else one)
        if array.dtype.kind == "f":
            yield array


def repeats(run: Callable[[], Any]) -> str:
    """Say that a function gives other values when it is called again."""
    pairs = zip(numbers(run()), numbers(run()), strict=True)
    if all(one.shape == two.shape and close(one, two) for one, two in pairs):
        return ""
    return (
        "the function is not deterministic: called twice with the same arguments it gives different"
        " values. Give it a fixed seed."
    )


def close(one: Any, two: Any) -> bool:
    """Whether two arrays of the same shape are equal but for rounding."""
    one, two = numpy.asarray(one), numpy.asarray(two)
    if one.shape != two.shape:
        return False
    eps = max(float(numpy.finfo(numpy.result_type(a, numpy.float16)).eps) for a in (one, two))
    size = numpy.max(numpy.abs(two), initial=0.0)
    return bool(numpy.all(numpy.abs(one - two) <= 100 * eps * size))


def lengths(arrays: dict[str, numpy.ndarray]) -> dict[str, int]:
    """Return what a factor may be equal to, by what it is called."""
    sizes = {}
    for name, array in arrays.items():
        if array.size > 1:
            sizes[f"the number of entries of {name}"] = array.size
        if array.ndim > 1:
            for axis, length in enumerate(array.shape):
                sizes[f"the length of axis {axis} of {name}"] = length
    return sizes


# ---------------------------------------------------------------- what the numbers can say


def kink(case: Case) -> str:
    """Explain it by a kink: right wherever it can be judged."""
    vague = case.vague
    if not case.fits or case.wrong.any() or not vague.any():
        return ""
    if case.narrow:
        return (
            f"{case.narrow} is too coarse: the numerical derivative is uncertain, by rounding or "
            "by a kink close by. Check it in float64."
        )
    right = "right except" if case.known.any() else "not judged"
    places = case.x[vague]
    if (places == places[0]).all() and (places.size > 1 or places[0] == 0):
        return f"{right} where {case.name} = {places[0]:g}: a kink, or a jump, lies there."
    return f"{right} at the entries below: a kink, or a jump, lies there."


def infinite(case: Case) -> str:
    """Explain it by the logarithm of 0 and the like."""
    if not case.fits or numpy.isfinite(case.analytic).all():
        return ""
    found = not_finite(case.subject.again) if case.subject.again else ""
    return f"the gradient {(found or 'it is not finite.').removeprefix('it ')}"


def nothing(case: Case) -> str:
    """Explain it by a gradient that was never computed: it is zero."""
    if not case.analytic.size or case.analytic.any():
        return ""
    if case.subject.recorded:
        return (
            f"zero, because nothing was recorded between {case.name} and the result: .numpy(), "
            ".data, .item() and NumPy functions that are not recorded lose the gradient."
        )
    return "zero everywhere, and the function depends on it: it was never computed, or reset."


def of_another(case: Case) -> str:
    """Explain it by another argument, whose gradient it is."""
    mine = case.analytic
    for name, other in case.subject.gradients.items():
        if name == case.name or other is None or not mine.any() or numpy.shape(other) != mine.shape:
            continue
        measured = case.subject.cases.get(name)
        if close(mine, other) or (
            measured and measured.passed is False and measured.explains(mine)
        ):
            wanted, got = f"d{case.name}", f"d{name}"
            return f"{wanted} has {got}'s shape and values: {got} was returned for {wanted}."
    return ""


def transposed(case: Case) -> str:
    """Explain it by a transpose that is missing."""
    if case.analytic.ndim > 1 and case.explains(case.analytic.swapaxes(-1, -2)):
        return "transposed: it is right with its last two axes exchanged (.T)."
    return ""


def flipped(case: Case) -> str:
    """Explain it by an order that is reversed."""
    for axes in ((-1,), (-2, -1)):
        if case.analytic.ndim >= len(axes) and case.explains(numpy.flip(case.analytic, axes)):
            end = "axis" if len(axes) == 1 else "two axes"
            return f"flipped: it is right when reversed along its last {end}."
    return ""


def not_summed(case: Case) -> str:
    """Explain it by a sum that is missing, over the axes of a broadcast."""
    shape, given = case.x.shape, case.analytic.shape
    extra = len(given) - len(shape)
    if (
        extra < 0
        or given == shape
        or any(n not in (1, m) for n, m in zip(shape, given[extra:], strict=True))
    ):
        return ""
    axes = [*range(extra), *(extra + i for i, n in enumerate(shape) if n != given[extra + i])]
    if not case.explains(case.analytic.sum(tuple(axes)).reshape(shape)):
        return ""
    over = " and ".join(f"axis {axis} of length {given[axis]}" for axis in axes)
    return (
        f"not summed over {over}: {case.name} was broadcast along it, and its gradient is the sum "
        f"(.sum(axis={axes[0] if len(axes) == 1 else tuple(axes)}))."
    )


def factor(case: Case) -> str:
    """Explain it by a factor: perhaps -1, or a size."""
    if not case.fits:
        return ""
    known = case.known & numpy.isfinite(case.analytic)
    true, mine = case.numerical[known], case.analytic[known]
    size = float((true * true).sum())
    ratio = float((true * mine).sum()) / size if size else 0.0
    if not ratio or not case.explains(case.analytic / ratio):
        return ""
    uncertain = float(case.error[known].max()) / (size / true.size) ** 0.5
    near = max(1e-6, 10 * uncertain)
    sign = "the sign is wrong, and it is " if ratio < 0 else ""
    ratio = abs(ratio)
    if abs(ratio - 1) <= near:
        return "the sign is wrong: it is right when negated." if sign else ""
    names: dict[int, str] = {}
    for name, length in case.subject.sizes.items():
        names.setdefault(length, name)
    for length, name in names.items():
        if length > 1 and abs(ratio / length - 1) <= near:
            return f"{sign}off by a factor of {length}, {name}: a mean is missing."
        if length > 1 and abs(ratio * length - 1) <= near:
            return f"{sign}off by a factor of 1/{length}, {name}: a mean too much."
    if numpy.count_nonzero(numpy.abs(true) > 1e-3 * numpy.abs(true).max()) < ENOUGH:
        return ""
    for number in (2, 3, 4):
        if abs(ratio / number - 1) <= near or abs(ratio * number - 1) <= near:
            return f"{sign}off by a factor of {number if ratio > 1 else f'1/{number}'}."
    return f"{sign}off by a factor of {ratio:.6g}, the same for each entry."


def penalty(case: Case) -> str:
    """Explain it by a multiple of the argument that is missing: the gradient of its square."""
    c = multiple(case, case.x)
    name = case.name
    return f"{c:.6g} · {name} is missing: the gradient of a penalty on its square?" if c else ""


def multiple(case: Case, candidate: Any) -> float:
    """Return c if the gradient lacks c times an array, and nothing else; else 0."""
    if not case.fits or numpy.shape(candidate) != case.x.shape:
        return 0.0
    known = case.known & numpy.isfinite(case.analytic)
    part = numpy.asarray(candidate, numpy.float64)
    lack = (case.numerical - case.analytic)[known]
    size = float((part[known] ** 2).sum())
    if numpy.count_nonzero(part[known]) < ENOUGH or not 0 < size < numpy.inf:
        return 0.0
    c = float((lack * part[known]).sum()) / size
    if abs(c - round(c)) <= 1e-6:
        c = float(round(c))
    return c if case.explains(case.analytic + c * part) else 0.0


def nearly(case: Case) -> str:
    """Explain a small difference by an approximation, or by rounding."""
    if not case.fits or not case.wrong.any():
        return ""
    off = numpy.abs(case.analytic - case.numerical)[case.wrong].max()
    share = off / max(case.largest(case.numerical), EXACT)
    if not share <= CLOSE:
        if case.narrow and case.subject.recorded:
            return (
                f"{case.narrow} is too coarse for the formula that it is computed by, or something "
                f"else is computed in {case.narrow} than in float64."
            )
        return ""
    return (
        f"nearly right: off by {share:.1g} of the largest entry, more than the numerical error. "
        f"If that is a deliberate approximation, allow it: rtol={10 * share:.0e}."
    )


# ---------------------------------------------------------------- what a layer says when tried


def redrawn(case: Case) -> str:
    """Explain it by random numbers drawn in backward."""
    layer = probe(case)
    if layer and not close_all(layer.again(between=layer.chance.draw), layer.again()):
        return (
            "backward draws random numbers of its own: after one and the same forward it gives "
            "different gradients. A mask has to be drawn in forward, and kept."
        )
    return ""


def ignores_upstream(case: Case) -> str:
    """Explain it by a gradient that backward is given and does not use."""
    layer = probe(case)
    if layer and close_all(layer.again(upstream=2 * layer.upstream), layer.again()):
        return "backward ignores dout: with twice the dout it gives the same gradients."
    return ""


def masked_by_upstream(case: Case) -> str:
    """Explain it by a mask made of the gradient that backward is given, not of the input."""
    layer = probe(case)
    if not layer or numpy.shape(layer.upstream) != case.analytic.shape:
        return ""
    negative = layer.upstream < 0
    swapped = layer.again(upstream=-layer.upstream).get(case.name)
    if case.analytic[negative].any() or not case.analytic.any() or swapped is None:
        return ""
    if not numpy.asarray(swapped)[~negative].any():
        return "masked by the sign of dout: it is 0 where dout < 0, not where the input says so."
    return ""


def mended(case: Case) -> str:
    """Explain it by one attribute: changed between forward and backward, it mends the rest."""
    layer = probe(case)
    for attribute, value, text in layer.changes() if layer else ():
        try:
            found = layer.again(between=lambda a=attribute, v=value: setattr(layer.object, a, v))
        except Exception:  # shapes that do not fit any more: no explanation
            continue
        if case.explains(found.get(case.name)):
            return text
    return ""


def missing(case: Case) -> str:
    """Explain it by one contribution: paths meet in an argument, and their gradients add up."""
    layer = probe(case)
    for name, part in layer.contributions() if layer else ():
        c = multiple(case, part)
        if c == 1:
            return (
                f"a contribution is missing: {name}. {case.name} is used in more than one place, "
                "and the gradients of all of them add up."
            )
        if c == -1:
            return f"a contribution is there that does not belong: {name}."
    return ""


def wrong_axis(case: Case) -> str:
    """Explain it by an axis: backward mixes entries along others than forward does."""
    layer = probe(case)
    if not layer or case.name != "x" or case.x.ndim < 2:
        return ""
    if numpy.shape(layer.upstream) != case.x.shape:
        return ""
    middle = tuple(n // 2 for n in case.x.shape)
    moved = case.x.copy()
    moved[middle] += 0.1
    one = numpy.zeros_like(layer.upstream)
    one[middle] = 1
    forward = mixed(layer.output(moved) - layer.output(case.x), middle)
    backward = mixed(numpy.asarray(layer.again(upstream=one)["x"]), middle)
    if forward == backward:
        return ""
    said = [
        ", ".join(f"axis {axis}" for axis in sorted(axes)) or "none" for axes in (forward, backward)
    ]
    return (
        f"wrong axis: forward mixes entries along {said[0]}, backward along {said[1]}. A sum or a "
        "mean in backward runs over other axes than in forward."
    )


def mixed(change: numpy.ndarray, middle: tuple) -> set[int]:
    """Return the axes along which a change of one entry reaches others."""
    reached = numpy.argwhere(numpy.abs(change) > 100 * EXACT * numpy.abs(change).max())
    return {axis for axis in range(len(middle)) if (reached[:, axis] != middle[axis]).any()}


def not_linear(case: Case) -> str:
    """Explain it by a backward that is not linear in the gradient that it is given."""
    layer = probe(case)
    if not layer:
        return ""
    there, back = layer.again(), layer.again(upstream=-layer.upstream)
    if close_all({key: -numpy.asarray(one) for key, one in back.items()}, there):
        return ""
    return "backward is not linear in dout, as every derivative is: -dout does not give -dx."


def probe(case: Case) -> Any:
    """Return the layer that a gradient is of, if backward can be called again with changes."""
    return case.subject.layer


def close_all(one: dict, two: dict) -> bool:
    """Whether two dicts hold equal arrays, but for rounding."""
    return all(close(one[key], two[key]) for key in two if two[key] is not None)


# fmt: off
DIAGNOSES: tuple[Callable[[Case], str], ...] = (
    kink, infinite, nothing, redrawn, of_another, transposed, not_summed, ignores_upstream,
    masked_by_upstream, factor, mended, missing, penalty, flipped, wrong_axis, not_linear, nearly,
)
# fmt: on
