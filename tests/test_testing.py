"""Numerical derivatives, the checker, and the strategies."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygraph as tg
from tinygraph.errors import ArgumentError, DTypeError, GradientError, GraphError, ShapeError
from tinygraph.models.by_hand import TwoLayerNet
from tinygraph.rules import RULES, Domain, Parameter
from tinygraph.testing import check_grads, numerical_gradient
from tinygraph.testing.numerical import derivatives
from tinygraph.testing.strategies import apart, arguments, arrays, intervals, parameter

# ---------------------------------------------------------------- numerical gradients


@pytest.mark.parametrize("dtype, rtol", [("float64", 1e-9), ("float32", 1e-3)])
def test_numerical_gradient(dtype, rtol):
    x = np.array([[0.5, -1.0], [2.0, 30.0]], dtype)
    gradient = numerical_gradient(lambda x: np.sum(np.sin(x)), x)
    assert (gradient.dtype, gradient.shape) == (x.dtype, x.shape)
    np.testing.assert_allclose(gradient, np.cos(x), rtol=rtol)


@pytest.mark.parametrize(
    "answer", [float, np.float64, np.array, tg.asarray, lambda y: np.array([y])]
)
def test_what_a_function_may_return(answer):
    x = np.array(3.0)
    assert numerical_gradient(lambda x: answer(x**2), x) == pytest.approx(6)


def test_a_function_that_reads_the_array_elsewhere():
    x = np.arange(4.0).reshape(2, 2)
    before = x.tobytes()
    gradient = numerical_gradient(lambda ignored: float((x**2).sum()), x)
    np.testing.assert_allclose(gradient, 2 * x, atol=1e-9)
    assert x.tobytes() == before


def test_views_are_changed_in_place():
    base = np.arange(12.0).reshape(3, 4)
    x = base[::2, ::-1].T
    gradient = numerical_gradient(lambda ignored: float((base**2).sum()), x)
    np.testing.assert_allclose(gradient, 2 * x, atol=1e-9)
    assert (base == np.arange(12.0).reshape(3, 4)).all()


@pytest.mark.parametrize("kind", ["array", "Tensor"])
def test_restored_after_an_exception(kind):
    x = np.array([1.0, 2.0, 3.0]) if kind == "array" else tg.tensor([1.0, 2.0, 3.0])

    def fails(x):
        if float(x[1]) != 2:
            raise KeyboardInterrupt
        return float(x[0])

    with pytest.raises(KeyboardInterrupt):
        numerical_gradient(fails, x)
    assert x.tolist() == [1, 2, 3]


def test_a_leaf_gets_new_versions():
    x = tg.tensor([1.0, 2.0], requires_grad=True, name="x")
    y = (x * x).sum()
    seen = []

    def loss(given):
        seen.append(given is x)
        return (x * x * x).sum()

    gradient = numerical_gradient(loss, x)
    assert isinstance(gradient, np.ndarray)
    np.testing.assert_allclose(gradient, [3, 12], rtol=1e-9)
    assert all(seen)
    assert x.tolist() == [1, 2]
    assert (x.name, x.requires_grad, x.grad) == ("x", True, None)
    y.backward()  # recorded before: its values are its own
    assert x.grad.tolist() == [2, 4]


@pytest.mark.parametrize("distance", [0.9e-4, 5e-5, 2.0345e-5, 1e-5, 1e-6, 1e-7])
@pytest.mark.parametrize("side", [-1, 1])
def test_a_kink_within_the_first_step(distance, side):
    x = np.array(side * distance)
    value, error = derivatives(lambda x: 1 + np.maximum(x, 0) + np.sin(x), x)
    expected = np.cos(x) + (x > 0)
    assert abs(value - expected) < error
    assert error < 1e-5 * 1e-7 / distance + 1e-7


def test_at_a_kink_the_error_says_so():
    value, error = derivatives(lambda x: np.abs(x), np.array(0.0))
    assert error > 0.5
    value, error = derivatives(lambda x: np.abs(x), np.array(1.0))
    assert value == pytest.approx(1)
    assert error < 1e-9


@given(
    st.sampled_from([
        (np.sin, np.cos), (np.exp, np.exp), (np.tanh, lambda x: 1 - np.tanh(x) ** 2),
        (lambda x: x**5, lambda x: 5 * x**4), (lambda x: 1e6 + x, np.ones_like),
        (lambda x: np.sin(30 * x), lambda x: 30 * np.cos(30 * x)),
        (lambda x: 1 / (x + 6), lambda x: -1 / (x + 6) ** 2), (np.zeros_like, np.zeros_like),
    ]),
    st.floats(-5, 5, allow_subnormal=False),
    st.sampled_from([1e-8, 1.0, 1e8]),
)  # fmt: skip
def test_the_error_estimate_covers_the_error(pair, x, scale):
    function, slope = pair
    value, error = derivatives(lambda x: scale * function(x), np.array(x))
    true = scale * slope(np.array(x))
    assert abs(value - true) <= 3 * error
    assert error <= 1e-6 * (abs(true) + scale * max(1, abs(function(np.array(x)))))


def test_out_of_the_domain_smaller_steps_are_tried():
    with np.errstate(invalid="raise", divide="raise"):
        value = numerical_gradient(lambda x: np.log(x), np.array(3e-5))
    assert value == pytest.approx(1 / 3e-5, rel=1e-3)


def test_no_entries():
    assert numerical_gradient(lambda x: 0.0, np.zeros((0, 3))).shape == (0, 3)


def test_what_cannot_be_moved():
    for x in (1.0, [1.0], np.float64(1), None):
        with pytest.raises(DTypeError, match="in place"):
            numerical_gradient(lambda x: 0.0, x)
    for x in (np.array([1, 2]), np.array([1j]), tg.tensor([1])):
        with pytest.raises(DTypeError, match="floating"):
            numerical_gradient(lambda x: 0.0, x)
    frozen = np.ones(2)
    frozen.flags.writeable = False
    for x in (frozen, np.broadcast_to(np.ones(1), (2,))):
        with pytest.raises(ArgumentError, match="copy"):
            numerical_gradient(lambda x: 0.0, x)
    with pytest.raises(GraphError, match="result"):
        numerical_gradient(lambda x: 0.0, tg.tensor([1.0], requires_grad=True) * 2)
    with pytest.raises(ShapeError, match=r"\(2,\)"):
        numerical_gradient(lambda x: x, np.ones(2))
    with pytest.raises(DTypeError, match="complex"):
        numerical_gradient(lambda x: 1j, np.ones(2))


@pytest.mark.parametrize("seed", range(20))
def test_a_net_with_relus(seed):
    rng = np.random.default_rng(seed)
    x, t = rng.random((3, 50)), rng.integers(10, size=3)
    net = TwoLayerNet(50, 20, 10, rng=seed)
    expected = net.gradient(x, t)
    for key, one in net.params.items():
        found = numerical_gradient(lambda ignored: net.loss(x, t), one)
        assert np.max(np.abs(found - expected[key])) < 1e-9, key


# ---------------------------------------------------------------- check_grads


def test_right_functions_pass():
    rng = np.random.default_rng(0)
    check_grads(lambda x, y: tg.tanh(x) * y, (rng.random((2, 1)), rng.random(3)), order=3)
    check_grads(lambda x, n, s: x**n if s else None, (rng.random(3) + 1, 3, "passed as it is"))
    check_grads(
        lambda tree: {"a": tree["w"] ** 2, "b": [tree["v"].sum()]},
        ({"w": 2.0, "v": tg.tensor([1.0, 2.0], name="v")},),
    )
    check_grads(tg.softmax_cross_entropy, (rng.random((3, 4)), np.array([1, 2, 0])), order=2)
    check_grads(lambda x: x * 0, (rng.random(3),))
    check_grads(lambda x: x, (np.zeros((0, 2)),))


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_narrow_dtypes_pass(dtype):
    x = np.linspace(0.5, 2, 6).astype(dtype).reshape(2, 3)
    seen = set()

    def function(x):
        seen.add(str(x.dtype))
        return tg.exp(x).sum(axis=0)

    check_grads(function, (x,))
    assert seen == {"float64", dtype}


@pytest.mark.parametrize("order, function", {
    1: lambda x: x * tg.tensor(x.numpy()),
    2: lambda x: tangent_of_cube(x),
}.items())  # fmt: skip
def test_what_was_lost_is_found(order, function):
    with pytest.raises(GradientError, match=f"derivative {order} by argument 0: 2 of 2") as caught:
        check_grads(function, (np.array([0.5, 0.7]),), order=2)
    message = str(caught.value)
    for word in ("index", "analytic", "numerical", "difference", "error", "(0,)", "(1,)"):
        assert word in message
    assert isinstance(caught.value, AssertionError)
    if order == 2:
        check_grads(function, (np.array([0.5, 0.7]),), order=1)


def tangent_of_cube(x):
    """Return x³ as its tangent at x: the gradient is right, that of the gradient is lost."""
    values = x.numpy()
    return x * tg.tensor(3 * values**2) + tg.tensor(-2 * values**3)


@pytest.mark.parametrize("factor", [1 + 1e-4, 1 - 1e-6, -1.0, 0.0, 2.0])
def test_one_entry_slightly_off(factor):
    scale = np.ones(5)
    scale[3] = factor
    x = np.array([2.0, 1.0, 0.5, 0.4, 0.3])

    def function(x):
        true = tg.tanh(x)
        part = true * tg.tensor(scale)
        return part + tg.tensor(true.numpy() - part.numpy())

    with pytest.raises(GradientError, match=r"1 of 5 entries differ(.|\n)*\(3,\)"):
        check_grads(function, (x,), order=1)


def test_a_kink_is_not_blamed_on_the_gradient():
    with pytest.raises(GradientError, match=r"1 of 2 entries cannot be judged(.|\n)*kink"):
        check_grads(tg.relu, (np.array([0.0, 1.0]),))
    check_grads(tg.relu, (np.array([1e-6, 1.0]),))


def test_tolerances_are_allowed_beside_the_error():
    def function(x):
        return x * tg.tensor(x.numpy() / 2)  # half of what it should be

    check_grads(function, (np.ones(2),), order=1, rtol=0.6)
    check_grads(function, (np.ones(2),), order=1, atol=0.6)
    with pytest.raises(GradientError):
        check_grads(function, (np.ones(2),), order=1, rtol=0.4)


def test_narrow_gradients_that_are_off():
    def function(x):
        return x * 2 if x.dtype == np.float64 else x * 2.01

    with pytest.raises(GradientError, match="float32"):
        check_grads(function, (np.ones(3, "float32"),))


def test_arguments_are_not_changed():
    x = np.ones(3)
    x.flags.writeable = False
    y = tg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    check_grads(lambda x, y: x * y, (x, y))
    assert y.grad is None
    assert y.tolist() == [1, 2, 3]


def test_arguments_that_make_no_sense():
    with pytest.raises(ArgumentError, match="sideways"):
        check_grads(tg.exp, (1.0,), modes=("rev", "sideways"))
    with pytest.raises(ArgumentError, match="modes"):
        check_grads(tg.exp, (1.0,), modes=())
    with pytest.raises(ArgumentError, match="order 0"):
        check_grads(tg.exp, (1.0,), order=0)
    with pytest.raises(GradientError):  # one mode by its name
        check_grads(lambda x: tg.asarray(x.numpy() ** 2), (1.0,), modes="rev")
    with pytest.raises(DTypeError, match=r"complex128.*tg\.real"):
        check_grads(lambda x: (x * 1j, x), (1.0,))
    with pytest.raises(ArgumentError, match="floating"):
        check_grads(lambda n: n, (3,))
    with pytest.raises(DTypeError, match="tuple"):
        check_grads(tg.exp, np.ones(3))
    with pytest.raises(DTypeError, match="nothing"):
        check_grads(lambda x: tg.argmax(x), (np.ones(3),))


def test_a_long_report_is_cut():
    with pytest.raises(GradientError, match="and 95 more"):
        check_grads(lambda x: x * tg.tensor(x.numpy()), (np.arange(1.0, 101.0),))


# ---------------------------------------------------------------- strategies


def test_intervals_keep_away_from_the_edges():
    for domain in (
        Domain(low=0.0), Domain(-1.0, 1.0), Domain().without(0), Domain(low=100.0),
        Domain(high=-100.0), Domain(0.0, 0.01), Domain(0.0, 3.0).without(1.0, 2.0),
    ):  # fmt: skip
        found = intervals(domain)
        assert len(found) == 1 + len(domain.excluded)
        for start, stop in found:
            assert domain.low < start < stop < domain.high
            for point in domain.excluded:
                assert not start - 1e-3 < point < stop + 1e-3


@given(arrays((2, 3), "float32", Domain(low=0.0)), arrays((4,), "float64", Domain(distinct=True)))
def test_arrays_lie_in_their_domain(positive, distinct):
    assert positive.dtype == np.float32
    assert (positive > 0.1).all()
    assert np.min(np.diff(np.sort(distinct))) > 0.1


@given(apart([(2, 2), (3,)], ["float64", "float32"], Domain().without(0)))
def test_entries_of_two_arrays_keep_apart(found):
    both = np.concatenate([found[0].ravel(), found[1]])
    assert np.min(np.diff(np.sort(both))) > 0.1
    assert np.min(np.abs(both)) > 0.1


def varied(rule, what):
    """Return how often something holds among arguments of a rule."""
    seen = []

    @given(arguments(RULES[rule]))
    def tried(drawn):
        seen.append(bool(what(*drawn)))

    tried()
    return sum(seen)


@pytest.mark.parametrize("rule, what", [
    ("add", lambda operands, _: operands[0].shape != operands[1].shape),
    ("add", lambda operands, _: operands[0].ndim != operands[1].ndim),
    ("add", lambda operands, _: operands[0].size == 0),
    ("add", lambda operands, _: operands[0].ndim == 0),
    ("add", lambda operands, _: operands[0].dtype != operands[1].dtype),
    ("add", lambda operands, _: 1 in operands[0].shape and operands[1].size > operands[0].size),
    ("matmul", lambda operands, _: operands[0].ndim == 1),
    ("matmul", lambda operands, _: operands[1].ndim == 1),
    ("matmul", lambda operands, _: operands[0].ndim > 2),
    ("sum", lambda _, params: params["axis"] is None),
    ("sum", lambda _, params: isinstance(params["axis"], tuple) and len(params["axis"]) > 1),
    ("sum", lambda _, params: isinstance(params["axis"], int) and params["axis"] < 0),
    ("sum", lambda _, params: params["keepdims"]),
    ("concat", lambda operands, _: len({one.shape for one in operands}) > 1),
    ("concat", lambda _, params: params["axis"] is None),
    ("getitem", lambda _, params: isinstance(params["index"], np.ndarray)),
    ("getitem", lambda _, params: isinstance(params["index"], tuple)),
    ("permute_dims", lambda _, params: list(params["axes"]) != sorted(params["axes"])),
    ("softmax_cross_entropy", lambda operands, _: operands[1].dtype.kind == "f"),
    ("softmax_cross_entropy", lambda operands, _: operands[1].dtype.kind in "iu"),
    ("softmax_cross_entropy", lambda _, params: params["reduction"] == "none"),
    ("broadcast_to", lambda operands, params: len(params["shape"]) > operands[0].ndim),
])  # fmt: skip
def test_arguments_vary(rule, what):
    assert varied(rule, what)


@pytest.mark.parametrize("means", Parameter)
def test_each_meaning_of_a_parameter_is_drawn_for_some_rule(means):
    users = [rule for rule in RULES.values() if means in rule.parameters.values()]
    assert users

    @given(st.data())
    def tried(data):
        rule = data.draw(st.sampled_from(users))
        _, params = data.draw(arguments(rule))
        assert set(params) == set(rule.parameters)

    tried()


def test_a_meaning_without_a_strategy_is_an_error():
    @given(parameter("the phase of the moon", RULES["sum"], (2,)))
    def tried(drawn):
        raise AssertionError("something was drawn")

    with pytest.raises((TypeError, AttributeError)):
        tried()


def test_hypothesis_is_loaded_when_it_is_used():
    program = (
        "import sys, tinygraph as tg; tg.testing.check_grads;"
        "assert 'hypothesis' not in sys.modules;"
        "tg.testing.strategies; assert 'hypothesis' in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
