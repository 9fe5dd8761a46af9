"""SciPy's special functions; that each is right, tests/test_rules.py asserts from the table."""

import subprocess
import sys

import numpy as np
import pytest
from scipy import special, stats

import tinygraph as tg
from tinygraph.rules import RULES
from tinygraph.testing import check_grads

NAMES = [name.partition(".")[2] for name in RULES if name.startswith("special.")]


@pytest.mark.parametrize("name", [one for one in NAMES if one != "polygamma"])
def test_scipys_own_function_is_recorded(name):
    x = tg.tensor([0.3, 0.6], requires_grad=True)
    theirs = getattr(special, name)
    y = theirs(*[x] * theirs.nin)
    assert y.requires_grad
    assert y.numpy().tolist() == theirs(*[x.numpy()] * theirs.nin).tolist()


def test_a_function_without_a_rule_says_so():
    x = tg.tensor([0.3], requires_grad=True)
    for call in (lambda: special.gammainc(x, x), lambda: special.polygamma(1, x)):
        with pytest.raises(tg.DTypeError, match=r"\.numpy\(\)"):
            call()


def test_psi_is_the_other_name_of_digamma():
    assert tg.special.psi(0.5) == special.digamma(0.5)
    with pytest.raises(AttributeError, match="tetragamma"):
        tg.special.tetragamma  # noqa: B018


def test_at_the_ends():
    big = np.array([-1e4, 1e4])
    assert tg.grad(lambda x: tg.sum(tg.special.log_expit(x)))(big).tolist() == [1.0, 0.0]
    assert tg.grad(lambda x: tg.sum(tg.special.erfc(x)))(big).tolist() == [0.0, 0.0]
    assert np.isclose(tg.grad(tg.special.log_ndtr)(-1e4), 1e4, rtol=1e-7)
    assert tg.grad(tg.special.xlogy, argnums=(0, 1))(0.0, 0.0) == (0.0, 0.0)
    assert tg.grad(tg.special.i0)(0.0) == 0.0


def test_a_density_of_scipy_written_out():
    def logpdf(x, scale):
        return tg.sum(special.xlogy(2.5, x / scale) - x / scale - special.gammaln(3.5)
                      - tg.log(scale))  # fmt: skip

    x = np.array([0.5, 2.0, 7.0])
    assert np.isclose(logpdf(x, 1.5).item(), stats.gamma.logpdf(x, 3.5, scale=1.5).sum())
    check_grads(logpdf, (x, 1.5), order=2)


def test_without_scipy_the_error_says_what_to_install():
    code = "import sys; sys.modules['scipy'] = None\nimport tinygraph as tg\ntg.special.erf(1.0)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "MissingDependencyError: special: these functions are SciPy's." in found.stderr
    assert "pip install scipy" in found.stderr
