"""Print the table of docs/coverage.md: ``python docs/count_functions.py > docs/coverage.md``.

For each function with a derivative: how far its first and second derivatives are from numerical
ones, at most, over arguments drawn from its entry in the table or from the tests. Takes minutes.
"""

import sys
import warnings
from functools import partial
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings

import tinygraph as tg
from tinygraph.rules import RULES
from tinygraph.testing.numerical import derivative
from tinygraph.testing.strategies import arguments, differentiable

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from test_fft import MANY as FFT_OF_MANY
from test_linalg import CASES
from test_numpy_functions import CALLS, UFUNCS, A, P, flat, of_numbers
from test_rules import call

# What of the compositions is tried here: how each is called, and on what.
OTHERS = {
    f"numpy.fft.{name}": (getattr(tg.fft, name), (A,))
    for name in (*FFT_OF_MANY, "hfft", "ihfft")
} | {
    f"numpy.{one.__name__}": (one, (P, A)[: one.nin])
    for one in UFUNCS if one.__name__ not in ("ldexp", "matvec", "vecmat")
} | {
    f"tg.linalg.{case}": (function, tuple(one.real for one in operands))
    for case, (function, operands) in CASES.items()
    if f"linalg.{case.split(',')[0]}" not in RULES
}  # fmt: skip

DRAWN = settings(
    max_examples=20, database=None, derandomize=True, deadline=None, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
HEAD = """# Every function that is differentiated

{rules} rules have a derivative, and {composed} more functions are made of them: those of NumPy, of
its FFT and of linear algebra below, beside the neural ones, which have tests of their own. For each
the table has the largest difference between a derivative along a direction and a numerical one, the
latter extrapolated and itself good to 1e-9 or so; relative to the larger of both and 1. It is taken
over 20 draws of arguments from its entry for a rule, over the cases of the tests for a composed
function. Printed by `python docs/count_functions.py`.

By their own documentation or source, HIPS autograd differentiates 153 functions of NumPy, MyGrad 84
beside its layers, and advect 312 callables of NumPy and 128 functions of the standard. What HIPS
autograd differentiates of NumPy and of scipy.special is all here, but for `numpy.full`.

| function | tried | first order | second order |
|---|---|---|---|"""
LEFT_OUT = """
## What is left out

A recorded Tensor as an argument of one of these is an error that says what to do. A test calls
every function of NumPy that takes floats, and sees that none drops a gradient without a word.

| left out | because | instead |
|---|---|---|
"""
REASONS = (
    ("`numpy.array`, `asarray`, `asanyarray`, `full`",
     "they make NumPy's arrays, which have no gradient", "`tg.asarray`, `tg.stack`, `tg.full`"),
    ("`numpy.histogram2d`, `histogramdd`", "they count; only weights have a gradient",
     "`numpy.bincount` with the weights and the numbers of their bins"),
    ("`numpy.spacing`", "it is constant between powers of 2", "`.numpy()`"),
    ("`numpy.arange`, `kaiser` and the other windows", "they take a number of points",
     "their formulas"),
    ("`numpy.ix_`", "it makes an index", "the index, written out"),
    ("`where=` and `dtype=` of ufuncs", "what is not chosen keeps the values of `out=`",
     "`tg.where`, `astype`"),
    ("`scipy.ndimage`", "it converts what it is given to arrays, and asks nobody",
     "`numpy.convolve`, `tg.nn.conv2d` for linear filters; `tg.custom_vjp`"),
    ("`scipy.stats`", "the same; but its densities are short",
     "`tg.special`'s functions, as in [Friends](friends.md)"),
    ("`scipy.integrate.odeint`, `scipy.linalg.solve_banded`, `scipy.signal`",
     "the same; each is an algorithm of its own", "`tg.custom_vjp`, as in [Friends](friends.md)"),
    ("the order of a Bessel function or of `polygamma`; a and b of `gammainc` and `betainc`",
     "the derivative has no closed form", "numbers, arrays, `x.detach()`"),
)  # fmt: skip


def slope(f, xs, vs):
    """Return the derivative of f along a direction, numerically, with an estimate of its error."""

    def along(t):
        return f(*(x + t * v for x, v in zip(xs, vs, strict=True)))

    return derivative(along, 0.0, along(0.0), 1e-15, 1e-2)


def differences(function, xs):
    """Return how far derivatives of a function of arrays are from numerical ones."""
    rng = np.random.default_rng(0)
    vs = [rng.uniform(0.5, 1.0, x.shape) for x in xs]
    every = tuple(range(len(xs)))

    def total(*inside):
        weighted = 0.0
        for one in flat(function(*inside)):
            for real in (tg.real(one), tg.imag(one)) if one.dtype.kind == "c" else (one,):
                weighted = weighted + tg.sum(
                    real * np.cos(np.arange(real.size)).reshape(real.shape)
                )
        return weighted

    def first(*inside):
        gradients = tg.grad(total, every)(*inside)
        return sum(tg.sum(g * v) for g, v in zip(gradients, vs, strict=True))

    found = []
    for f, exact in ((total, first), (first, lambda *inside: tg.jvp(first, inside, vs)[1])):
        value, error = slope(lambda *inside, f=f: f(*inside).item(), xs, vs)
        ours = exact(*xs).item()
        if not np.isfinite([value, error]).all() or error > 1e-3 * max(1.0, abs(value)):
            found.append(np.nan)  # nothing to compare with: an empty array, or a kink nearby
        else:
            found.append(abs(ours - value) / max(1.0, abs(value), abs(ours)))
    return found


def of_rule(rule):
    """Return the differences for arguments drawn from an entry."""
    found = []

    @DRAWN
    @given(arguments(rule, dtypes=(np.dtype("float64"),)))
    def collect(drawn):
        operands, params = drawn
        if params.get("dtype"):
            params["dtype"] = np.dtype("float64")  # numerical derivatives in float32 are coarse
        slots = differentiable(rule, operands)

        def function(*inside):
            given_ = list(operands)
            for slot, one in zip(slots, inside, strict=True):
                given_[slot] = one
            return call(rule, given_, params)

        if slots and max(operands[i].size for i in slots):
            found.append(differences(function, [operands[i] for i in slots]))

    collect()
    return found


def of_composed(name):
    """Return the differences for the cases of the tests."""
    function = np
    for part in name.split("."):
        function = getattr(function, part)
    return [differences(*of_numbers(partial(use, function), xs)) for xs, use in CALLS[name]]


def row(name, found):
    """Write one row."""
    if not found:
        return f"| `{name}` | by the tests alone | | |"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where nothing could be compared
        first, second = np.nanmax(np.array(found), axis=0)
    return f"| `{name}` | {len(found)} | {first:.0e} | {second:.0e} |"


def main():
    """Print the page."""
    rules = [rule for rule in RULES.values() if rule.differentiable]
    composed = [name for name in CALLS if name not in RULES]
    others = {name.split(",")[0] for name in OTHERS}
    print(HEAD.format(rules=len(rules), composed=len(composed) + len(others)))
    with np.errstate(all="ignore"):
        for rule in rules:
            print(row(f"tg.{rule.name}", of_rule(rule)), flush=True)
        for name in composed:
            print(row(f"numpy.{name}", of_composed(name)), flush=True)
        for name, (function, xs) in OTHERS.items():
            print(row(name, [differences(function, xs)]), flush=True)
    print(LEFT_OUT + "\n".join(f"| {' | '.join(one)} |" for one in REASONS))


if __name__ == "__main__":
    main()
