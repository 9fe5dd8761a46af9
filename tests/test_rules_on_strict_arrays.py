"""Each rule on arrays that have what the array API standard says and nothing else."""

import re
import warnings
from pathlib import Path

import array_api_strict as strict
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tinygraph.rules import RULES
from tinygraph.testing.strategies import arguments, differentiable

# What needs more than the standard has.
EXTENDED = {
    "NumPy's own functions": "cbrt deg2rad exp2 fmax fmin fmod logaddexp2 rad2deg sinc",
    "SciPy's special functions": " ".join(name for name in RULES if name.startswith("special.")),
    "adding up at places that an index selects": "add_along_axis getitem scatter_add setitem "
    "take_along_axis linalg.diagonal nn.largest nn.overlap_add",
    "the memory of an array": "nn.windows",
    "a loop over entries": "nn.normal_cdf",
    "the kind of a dtype": "abs linalg.cholesky linalg.det linalg.eigvals linalg.eigvalsh "
    "linalg.pinv linalg.svdvals linalg.vector_norm vecdot",
    "LAPACK by NumPy or SciPy": "linalg.adjugate linalg.solve_sylvester linalg.solve_triangular "
    "linalg.sqrtm",
    "a bool that counts as a number": "relu",
    "bounds that cross": "clip",
    "the rank of an empty matrix": "linalg.matrix_rank",
    "which triangle is read": "linalg.eigh",
}
NEEDED = [name for names in EXTENDED.values() for name in names.split()]

# What the standard defines for complex numbers alone.
COMPLEX = {"fft.fft", "fft.ifft", "fft.irfft", "imag", "real", "conj"}

DRAWN = settings(
    max_examples=8, database=None, derandomize=True, deadline=None, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


def as_numpy(y):
    return [np.asarray(one) for one in (y if isinstance(y, tuple | list) else (y,))]


def assert_close(found, expected):
    for one, other in zip(as_numpy(found), as_numpy(expected), strict=True):
        np.testing.assert_allclose(one * 1.0, other * 1.0, rtol=1e-12, atol=1e-14)


def translated(value):
    """Return a parameter as the strict namespace has it."""
    if isinstance(value, np.ndarray):
        return strict.asarray(value)
    return getattr(strict, value.name) if isinstance(value, np.dtype) else value


def run(name):
    """Run a rule and its formulas on strict arrays, and compare with NumPy's."""
    rule = RULES[name]

    @DRAWN
    @given(arguments(rule, dtypes=(np.dtype("float64"),)))
    def compared(drawn):
        operands, params = drawn
        if name.startswith("logical_"):
            operands = tuple(one > 0 for one in operands)
        if name in COMPLEX:
            operands = tuple(one.astype(complex) for one in operands)
        params = {**rule.defaults, **params}
        strictly = {key: translated(value) for key, value in params.items()}
        theirs = tuple(map(strict.asarray, operands))
        y, _ = rule.run(np, operands, params)
        found, _ = rule.run(strict, theirs, strictly)
        assert_close(found, y)
        slots = differentiable(rule, operands)
        if rule.variadic or rule.outputs or not slots:
            return
        g = np.full(np.shape(y), 1.5, np.asarray(y).dtype)
        for slot in slots:
            ours = rule.evaluate(np, slot, g, operands, np.asarray(y), params)
            one = rule.evaluate(strict, slot, strict.asarray(g), theirs, found, strictly)
            assert_close(one, ours.dense() if hasattr(ours, "dense") else ours)

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        compared()


@pytest.mark.parametrize("name", [name for name in RULES if name not in NEEDED])
def test_a_rule_needs_no_more_than_the_standard(name):
    run(name)


@pytest.mark.parametrize("name", [one for one in NEEDED if not one.startswith("special.")])
def test_what_declares_an_extension_needs_it(name):
    with pytest.raises((Exception, BaseExceptionGroup)):
        run(name)


def test_the_page_has_these_numbers():
    page = (Path(__file__).parents[1] / "docs/standard.md").read_text(encoding="utf-8")
    assert f"{len(RULES) - len(NEEDED)} of {len(RULES)} rules need no more" in page
    rows = re.findall(r"^\| .* \| (\d+)( each)? \|$", page, re.MULTILINE)
    counts = sorted(len(names.split()) for names in EXTENDED.values())
    assert sorted(int(count) for count, _ in rows) == counts[counts.count(1) - 1 :]
