"""SciPy's special functions; that each is right, tests/test_rules.py asserts from the table."""

import math
import subprocess
import sys

import numpy as np
import pytest
from scipy import special, stats

import tinygraph as tg
from tinygraph.rules import RULES
from tinygraph.testing import check_grads

NAMES = [name.partition(".")[2] for name in RULES if name.startswith("special.")]
OF_ORDER = [one for one in NAMES if RULES[f"special.{one}"].domain[0].of == "integer"]


@pytest.mark.parametrize("name", [one for one in NAMES if one != "polygamma"])
def test_scipys_own_function_is_recorded(name):
    x = tg.tensor([0.3, 0.6], requires_grad=True)
    theirs = getattr(special, name)
    given = [2.0 if name in OF_ORDER else x] * (theirs.nin - 1) + [x]
    y = theirs(*given)
    assert y.requires_grad == RULES[f"special.{name}"].differentiable
    assert y.numpy().tolist() == theirs(*[getattr(one, "data", one) for one in given]).tolist()


@pytest.mark.parametrize("order", [0.0, 0.5, 2.25])
@pytest.mark.parametrize("name", [one for one in OF_ORDER if one not in ("polygamma", "yn", "kn")])
def test_an_order_is_any_number(name, order):
    function = getattr(tg.special, name)
    orders = [order + 0.5 * (name in ("hyp1f1", "betainc"))] * (getattr(special, name).nin - 1)
    check_grads(lambda x: function(*orders, x), (np.array([0.3, 0.8]),), order=3)


@pytest.mark.parametrize("name", OF_ORDER)
def test_a_gradient_for_an_order_is_refused(name):
    count = len(RULES[f"special.{name}"].operands)
    function = getattr(tg.special, name)
    for place in range(count - 1):
        with pytest.raises(tg.DTypeError, match=rf"special\.{name} .* last operand alone"):
            tg.grad(function, argnums=place)(*[2.0] * (count - 1), 0.5)
        with pytest.raises(tg.DTypeError, match=rf"special\.{name} .* x\.detach\(\)"):
            tg.jvp(function, [2.0] * (count - 1) + [0.5], [float(i == place) for i in range(count)])
    assert np.isfinite(tg.grad(function, argnums=count - 1)(*[2.0] * (count - 1), 0.5))


def test_bessel_functions_on_both_sides_of_0():
    x = np.array([-2.0, -0.5, 0.5, 3.0])
    for name in ("j0", "j1", "i0", "i1", "i0e", "i1e"):
        check_grads(getattr(tg.special, name), (x,), order=2)
    for name in ("j1", "i1"):  # odd functions
        assert tg.hessian(getattr(tg.special, name))(0.0) == 0
    for name in ("jv", "iv", "ive"):
        check_grads(lambda x, name=name: getattr(tg.special, name)(3, x), (x,), order=2)


def test_exprel_where_it_is_used_for():
    x = np.array([0.0, 1e-9, -1e-5, 700.0])
    slope = tg.grad(lambda x: tg.sum(tg.special.exprel(x)))(x)
    assert np.allclose(slope[:3], 0.5 + x[:3] / 3, rtol=1e-9)
    assert np.isclose(slope[3], np.exp(700) * 699 / 700**2, rtol=1e-12)
    assert np.allclose(np.diag(tg.hessian(lambda x: tg.sum(tg.special.exprel(x)))(x[:2])), 1 / 3)


def test_gammas_of_several_dimensions():
    a = np.array([2.5, 4.0])
    assert np.allclose(tg.special.multigammaln(a, 3).numpy(), special.multigammaln(a, 3))
    check_grads(lambda a: tg.special.multigammaln(a, 3), (a,), order=2)
    with pytest.raises(tg.DTypeError, match="numpy"):
        special.multigammaln(tg.tensor(a, requires_grad=True), 3)


def test_a_function_without_a_rule_says_so():
    x = tg.tensor([0.3], requires_grad=True)
    for call in (lambda: special.struve(x, x), lambda: special.polygamma(1, x)):
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
    for x in (1e4, 1e8, 1e12):
        assert np.isclose(tg.grad(tg.special.log_ndtr)(-x), x, rtol=1e-7)
    assert tg.grad(tg.special.log_ndtr)(50.0) == 0.0
    assert tg.grad(tg.grad(tg.special.log_ndtr))(90.0) == 0.0
    np.testing.assert_allclose(
        tg.grad(tg.grad(tg.special.log_ndtr))(30.0), -30 * math.exp(-450) / math.sqrt(2 * math.pi)
    )
    assert tg.grad(tg.special.xlogy, argnums=(0, 1))(0.0, 0.0) == (0.0, 0.0)
    mixed = tg.grad(tg.grad(tg.special.xlogy), argnums=1)
    assert mixed(0.0, 2.0) == 0.5  # smooth there
    for a, curvature in ((1.0, 0.0), (2.0, 2.0)):
        assert tg.grad(tg.grad(lambda x, a=a: tg.special.betainc(a, 1.0, x)))(1.0) == curvature
    assert tg.grad(tg.special.i0)(0.0) == 0.0


@pytest.mark.parametrize(
    ("name", "bend"),
    [
        ("j1", lambda x: -3 / 8 * x),
        ("i1", lambda x: 3 / 8 * x),
        ("i1e", lambda x: -1 + 15 / 8 * x - 7 / 4 * x * x),
    ],
)
def test_second_derivatives_of_bessel_functions_near_0(name, bend):
    curvature = tg.grad(tg.grad(getattr(tg.special, name)))
    for x in (1e-300, 1e-12, 1e-5, 0.0099, 0.0101):
        np.testing.assert_allclose(curvature(x), bend(x), rtol=2e-4)
    theirs = {"j1": special.jvp, "i1": special.ivp}.get(name)
    if theirs:
        x = np.array([1e-9, 0.0099, 0.0101])
        slope = tg.grad(lambda x: tg.sum(getattr(tg.special, name)(x)))(x)
        np.testing.assert_allclose(slope, theirs(1, x), rtol=1e-14)
    if name != "i1":  # which is infinite there
        assert abs(curvature(1e200)) < 1


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
