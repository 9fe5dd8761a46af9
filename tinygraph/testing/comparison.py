"""One gradient beside its numerical one: what is measured, when the two differ, how it is said."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy

from .numerical import ROUNDING, derivatives, float_dtype, number

SAFETY = 10  # how many times the estimated numerical error a difference may be
BLUR = 1e-3  # of the gradient or the value: a numerical derivative less certain judges nothing
LARGE = 2000  # entries: above, random directions are tried before single entries
DIRECTIONS = 3  # of these
SAMPLE = 60  # entries that are measured where all would be too many
SHOWN = 5  # rows of a report
TINY = 1e-10, 1e-9, 1e-8  # steps over which a function is a straight line but for rounding
FIRST = 0.125  # of the large steps
DOUBTFUL = 1e-6  # of an entry: what passes and differs by more is measured again
EXACT = float(numpy.finfo(numpy.float64).eps)

Tolerances = tuple[float | None, float | None]  # relative to an entry, and to the largest entry


@dataclass
class Subject:
    """What is checked, as far as a diagnosis may look at it.

    Attributes
    ----------
    arrays : dict of ndarray
        By what it is to be differentiated; they are moved in place.
    gradients : dict
        The gradients to be checked, by the names of their arrays.
    sizes : dict of int
        What a factor may be equal to, by what it is called.
    recorded : bool
        Whether tinygraph differentiated it.
    cases : dict of Case
        What has been measured, by the names of the arrays.
    again : callable, optional
        Computes the gradients anew.
    layer : optional
        The layer, if it is one: its backward can be called again with something changed.
    """

    arrays: dict[str, numpy.ndarray]
    gradients: dict[str, Any]
    sizes: dict[str, int] = field(default_factory=dict)
    recorded: bool = False
    cases: dict[str, "Case"] = field(default_factory=dict)
    again: Any = None
    layer: Any = None


@dataclass
class Case:
    """The gradient for one array, beside what was measured of it.

    Attributes
    ----------
    title, name : str
        What the report calls the gradient, and the array.
    x, analytic, numerical, error : ndarray
        The array, its gradient, the numerical gradient and the estimate of its error. A gradient
        of another shape than the array is wrong whatever it holds.
    value : float
        The size of the function, to which the error of a gradient of 0 is compared.
    tolerances : pair
        What is allowed beside the numerical error.
    measured : ndarray of bool
        Which entries of the numerical gradient are there.
    subject : Subject
        Where the gradient belongs.
    narrow : str
        The dtype in which the function was computed, if it is narrower than float64.
    """

    title: str
    name: str
    x: numpy.ndarray
    analytic: numpy.ndarray
    numerical: numpy.ndarray
    error: numpy.ndarray
    value: float
    tolerances: Tolerances
    measured: numpy.ndarray
    subject: Subject
    narrow: str = ""

    @property
    def vague(self) -> numpy.ndarray:
        """The entries whose numerical derivative is too uncertain to judge by."""
        scale = max(self.largest(self.numerical), self.largest(self.analytic), self.value)
        return self.measured & ~(self.error <= BLUR * max(scale, EXACT**0.5))

    @property
    def known(self) -> numpy.ndarray:
        """The entries to judge by."""
        return self.measured & ~self.vague

    @property
    def allowance(self) -> tuple[float, float]:
        """What is allowed beside the numerical error: the tolerances, or their defaults."""
        rtol, atol = self.tolerances
        return EXACT**0.5 if rtol is None else rtol, EXACT**0.5 / 100 if atol is None else atol

    @property
    def wrong(self) -> numpy.ndarray:
        """The entries known to be wrong."""
        return self.differs(self.analytic)

    @property
    def fits(self) -> bool:
        """Whether the gradient has the shape of its array."""
        return self.analytic.shape == self.x.shape

    @property
    def passed(self) -> bool:
        """Whether there is nothing to report."""
        return self.fits and not self.wrong.any() and not self.vague.any()

    def largest(self, gradient: numpy.ndarray) -> float:
        """Return the size of the largest finite entry."""
        return float(numpy.max(numpy.abs(gradient[numpy.isfinite(gradient)]), initial=0.0))

    def differs(self, gradient: numpy.ndarray) -> numpy.ndarray:
        """Return where a gradient differs from the numerical one by more than its error."""
        rtol, atol = self.allowance
        largest = max(self.largest(gradient), self.largest(self.numerical))
        allowed = SAFETY * self.error + rtol * numpy.abs(self.numerical)
        if numpy.isfinite(self.value):
            allowed += EXACT * self.value  # less than what rounding does to the function itself
        with numpy.errstate(invalid="ignore"):
            difference = numpy.abs(gradient - self.numerical)
            return self.known & ~(difference <= allowed + atol * largest)

    def explains(self, candidate: Any) -> bool:
        """Whether a gradient would have been right."""
        if candidate is None or numpy.shape(candidate) != self.x.shape or not self.known.any():
            return False
        return not self.differs(numpy.asarray(candidate, numpy.float64)).any()

    def report(self, diagnosis: str) -> str:
        """Return what is wrong, why, and a table of the worst entries."""
        if not self.fits:
            return (
                f"{self.title}: its shape is {self.analytic.shape}, and that of {self.name} is "
                f"{self.x.shape}.\nDiagnosis: {diagnosis}"
            )
        mask = self.wrong if self.wrong.any() else self.vague
        verdict = "differ" if self.wrong.any() else "cannot be judged"
        with numpy.errstate(invalid="ignore", divide="ignore"):
            difference = numpy.abs(self.analytic - self.numerical)
            ratio = self.analytic / self.numerical
        found = sorted(numpy.argwhere(mask), key=lambda index: -difference[tuple(index)])
        of = numpy.count_nonzero(self.measured)
        where = f"{of}" if of == self.x.size else f"{of} measured (of {self.x.size:,})"
        lines = [
            f"{self.title}: {len(found)} of {where} entries {verdict}.",
            f"Diagnosis: {diagnosis}",
            f"{'index':>12} {'analytic':>14} {'numerical':>14} {'ratio':>11} "
            f"{'difference':>11} {'its error':>11}",
        ]
        for index in found[:SHOWN]:
            at = tuple(map(int, index))
            lines.append(
                f"{at!s:>12} {self.analytic[at]:>14.7g} {self.numerical[at]:>14.7g} "
                f"{ratio[at]:>11.5g} {difference[at]:>11.2g} {self.error[at]:>11.2g}"
            )
        if len(found) > SHOWN:
            lines.append(f"and {len(found) - SHOWN} more")
        return "\n".join(lines)


def weights(shape: tuple[int, ...], seed: int) -> numpy.ndarray:
    """Return fixed random weights of both signs, by which no error is likely to cancel or hide."""
    rng = numpy.random.default_rng(seed)
    return rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape)


def beside_exact(
    coarse: dict[str, Any],
    exact: dict[str, Any],
    arrays: dict[str, numpy.ndarray],
    tolerances: Tolerances,
    title: str,
    subject: Subject,
) -> list[Case]:
    """Return gradients in a narrow dtype beside those in float64.

    They may differ by the square root of the precision, of an entry and of the largest one.
    """
    dtypes = {name: array.dtype for name, array in arrays.items()}
    blur = max(float(numpy.finfo(dtype).eps) for dtype in dtypes.values()) ** 0.5
    rtol, atol = (blur if one is None else one for one in tolerances)
    return [
        Case(
            f"{title}{name} in {dtype}, beside that in float64", name, arrays[name],
            numpy.asarray(coarse[name], numpy.float64), numpy.asarray(exact[name]),
            numpy.full(numpy.shape(exact[name]), blur / SAFETY), numpy.inf, (rtol, atol),
            numpy.full(numpy.shape(exact[name]), True), subject, str(dtype),
        )
        for name, dtype in dtypes.items()
    ]  # fmt: skip


# ---------------------------------------------------------------- measuring


def compare(
    f: Callable,
    x: numpy.ndarray,
    analytic: Any,
    *,
    title: str,
    name: str,
    value: float,
    tolerances: Tolerances,
    subject: Subject,
    narrow: str = "",
) -> Case:
    """Measure the gradient of ``f(x)``, where `x` is moved in place, beside another one.

    Of a small array every entry is measured. A large one is moved along random directions; only
    where one of them tells of a difference are entries measured: the one that bisection leads to,
    and some by chance, for a diagnosis.
    """
    analytic = numpy.asarray(analytic, numpy.float64)
    numerical = numpy.full(x.shape, numpy.nan)
    error = numpy.full(x.shape, numpy.inf)
    measured = numpy.zeros(x.shape, bool)
    case = Case(
        title, name, x, analytic, numerical, error, value, tolerances, measured, subject, narrow
    )
    subject.cases[name] = case
    # A constant beside the function carries no derivative, but the rounding of larger values: of
    # those inside it, or of the function that this one is a derivative of.
    middle = f(x)
    eps = float(numpy.finfo(float_dtype(middle)).eps)
    if eps == EXACT and (offset := max(roughness(f, x), value)) > abs(number(middle)):
        bare = f
        f = lambda x: bare(x) + offset
    if x.size <= LARGE:
        numerical[...], error[...] = derivatives(f, x)
        measured[...] = True
        # What rounding does to one entry, it may do to its neighbours: estimates vary by chance.
        if (known := case.known).any():
            error[known] = numpy.maximum(error[known], numpy.median(error[known]) / SAFETY)
        if case.fits:
            sharpen(case, f, eps)
        return case

    rng = numpy.random.default_rng(0)
    entries = rng.choice(x.size, SAMPLE, replace=False).tolist()
    lost: Any = numpy.flatnonzero(~numpy.isfinite(analytic)) if case.fits else []
    entries.extend(lost[:1])
    if case.fits and not len(lost):
        for _ in range(DIRECTIONS):
            direction = rng.uniform(0.5, 1, x.shape) * rng.choice([-1.0, 1.0], x.shape)
            if excess(case, f, direction) > 1:
                entries.append(worst_entry(case, f, direction))
                break
        else:
            return case
    for entry in entries:
        at = numpy.unravel_index(entry, x.shape)
        direction = numpy.zeros(x.shape)
        direction[at] = 1
        numerical[at], error[at] = along(f, x, direction)
        measured[at] = True
    return case


def roughness(f: Callable, x: numpy.ndarray) -> float:
    """Return how large values would be whose rounding scatters as those of ``f(x)`` do.

    Rounding goes by the values inside a function; where these cancel, the result is far smaller
    than what it has lost. Third differences over tiny steps leave nothing but that. There are steps
    of several sizes, for rounding may stay the same over some of them; and a kink spoils a quarter
    of the differences at most, which the quantile leaves out.
    """
    start, rng = x.copy(), numpy.random.default_rng(0)
    direction = rng.choice([-1.0, 1.0], x.shape) * rng.uniform(0.5, 1, x.shape)
    direction *= numpy.maximum(1, numpy.abs(x))
    scatter: list[float] = []
    try:
        for step in TINY:
            values = []
            for k in range(7):
                x[...] = start + k * step * direction
                with numpy.errstate(all="ignore"):
                    values.append(number(f(x)))
            scatter.extend(numpy.abs(numpy.diff(values, 3)))
    finally:
        x[...] = start
    size = 4 * float(numpy.quantile(scatter, 0.75)) / (ROUNDING * EXACT)
    return size if numpy.isfinite(size) else 0.0


def sharpen(case: Case, f: Callable, eps: float) -> None:
    """Measure again, with larger steps, what passes only because the numbers are uncertain.

    Differences with steps from 1/8 down are extrapolated again and again (Romberg), and the one is
    taken that agrees best with those before it, if it also agrees with what was known: far larger
    steps, so far less rounding, but nothing to begin with, for a kink may lie within them.
    """
    with numpy.errstate(invalid="ignore"):
        off = numpy.abs(case.analytic - case.numerical)
        doubtful = case.known & ~case.wrong & (off > DOUBTFUL * numpy.abs(case.analytic))
    for at in map(tuple, numpy.argwhere(doubtful)):
        direction = numpy.zeros(case.x.shape)
        direction[at] = max(1.0, abs(case.x[at]))
        slope, error = romberg(f, case.x, direction, case.value, eps)
        slope, error = slope / direction[at], error / direction[at]
        # Rounding is less by as much as the steps are larger, at most.
        error = max(error, case.error[at] * eps**0.25 / 2 / FIRST)
        known = SAFETY * case.error[at]
        if error < case.error[at] and abs(slope - case.numerical[at]) <= known:
            case.numerical[at], case.error[at] = slope, error


def romberg(
    f: Callable, x: numpy.ndarray, direction: numpy.ndarray, value: float, eps: float
) -> tuple[float, float]:
    """Return the derivative of ``f(x)`` along a direction from large steps, and its error."""
    start, step = x.copy(), FIRST
    best, error = numpy.nan, numpy.inf
    above: list[float] = []
    last = numpy.inf  # by how much the two extrapolations before differed
    try:
        for _ in range(8):
            sides = []
            for side in (step, -step):
                x[...] = start + side * direction
                with numpy.errstate(all="ignore"):  # where a step leaves the domain of f
                    sides.append(number(f(x)))
            row = [(sides[0] - sides[1]) / (2 * step)]
            for power, coarser in enumerate(above, start=1):
                row.append(row[-1] + (row[-1] - coarser) / (4**power - 1))
            if above:
                moved = max(abs(row[-1] - row[-2]), abs(row[-1] - above[-1]))
                noise = ROUNDING * eps * max(value, *map(abs, sides)) / step
                if (doubt := max(moved, last) + noise) < error:
                    best, error = row[-1], doubt
                last = moved
            above, step = row, step / 2
    finally:
        x[...] = start
    return best, error


def along(f: Callable, x: numpy.ndarray, direction: numpy.ndarray) -> tuple[float, float]:
    """Return the derivative of ``f(x)`` along a direction, and an estimate of its error."""
    start = x.copy()

    def moved(distance: numpy.ndarray) -> Any:
        x[...] = start + distance * direction
        return f(x)

    try:
        slope, error = derivatives(moved, numpy.zeros(()))
    finally:
        x[...] = start
    return float(slope), float(error)


def excess(case: Case, f: Callable, direction: numpy.ndarray) -> float:
    """Return by how many times what is allowed a gradient is off along a direction."""
    slope, error = along(f, case.x, direction)
    expected = float((case.analytic * direction).sum())
    if not error <= BLUR * max(abs(slope), abs(expected), case.value, EXACT**0.5):
        return numpy.inf  # a kink: let the entries tell
    rtol, atol = case.allowance
    allowed = SAFETY * error + rtol * abs(slope) + atol * case.largest(case.analytic)
    return abs(expected - slope) / allowed if allowed else float(expected != slope)


def worst_entry(case: Case, f: Callable, direction: numpy.ndarray) -> int:
    """Return the entry to which bisection leads, each time into the half that is further off."""

    def of(part: numpy.ndarray) -> float:
        only = numpy.zeros(direction.shape)
        only.flat[part] = direction.flat[part]
        return excess(case, f, only)

    part = numpy.arange(case.x.size)
    while part.size > 1:
        part = max(numpy.array_split(part, 2), key=of)
    return int(part[0])
