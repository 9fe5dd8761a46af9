"""NumPy's own functions on Tensors: recorded, or an error that says what to do."""

import numpy as np
import pytest

import tinygraph as tg
from tinygraph.numpy_protocols import FUNCTIONS, UFUNCS
from tinygraph.rules import RULES


def leaf(data):
    return tg.tensor(data, requires_grad=True)


@pytest.fixture
def x():
    return leaf(np.arange(1.0, 7.0).reshape(2, 3))


def test_every_ufunc_with_a_rule_is_taken():
    assert {f.__name__ for f in UFUNCS} >= {"add", "power", "exp", "matmul", "maximum", "absolute"}
    for ufunc, name in UFUNCS.items():
        rule = RULES[name]
        operands = [leaf(np.ones((2, 2))) for _ in rule.operands]
        if not any("d" in one for one in ufunc.types):  # bits
            operands = [tg.tensor(np.array([[1]])) for _ in rule.operands]
        with np.errstate(all="ignore"):  # not all of them take 1
            result = ufunc(*operands)
        assert isinstance(result, tg.Tensor)
        assert result.requires_grad == rule.differentiable


@pytest.mark.parametrize(
    "call",
    [
        lambda x: np.sum(x), lambda x: np.sum(x, 0), lambda x: np.sum(x, axis=(0, 1)),
        lambda x: np.mean(x, axis=1, keepdims=True), lambda x: np.max(x, -1), np.min,
        lambda x: np.reshape(x, (3, 2)), lambda x: np.ravel(x), np.transpose,
        lambda x: np.transpose(x, (1, 0)), lambda x: np.swapaxes(x, 0, 1),
        lambda x: np.matrix_transpose(x), lambda x: np.expand_dims(x, 1),
        lambda x: np.squeeze(x[:1]), lambda x: np.squeeze(x[:1], axis=0),
        lambda x: np.broadcast_to(x, (4, 2, 3)), lambda x: np.concatenate([x, x], 1),
        lambda x: np.concatenate((x, np.ones((1, 3)))), lambda x: np.stack([x, x], axis=-1),
        lambda x: np.where(np.array([True, False, True]), x, 0.0),
        lambda x: np.astype(x, np.float32), np.copy, lambda x: np.permute_dims(x, (1, 0)),
        lambda x: np.exp(x), lambda x: np.float64(2) * x, lambda x: np.ones((2, 3)) * x,
        lambda x: np.ones((2, 2)) @ x, lambda x: np.ones(3) - x, lambda x: x.conjugate(),
        lambda x: x.real,
    ],
)  # fmt: skip
def test_numpys_call_is_recorded_and_gives_numpys_numbers(call, x):
    result = call(x)
    expected = call(x.data)
    assert isinstance(result, tg.Tensor)
    assert result.dtype == expected.dtype
    np.testing.assert_array_equal(result.numpy(), expected)
    result.backward(np.ones(result.shape, result.dtype))
    assert np.isfinite(x.grad.numpy()).all()
    assert x.grad.numpy().any()


def test_places_and_questions_have_no_gradient(x):
    assert np.argmax(x, axis=1).numpy().tolist() == [2, 2]
    assert np.argmin(x).item() == 0
    assert np.shape(x) == (2, 3)
    assert np.allclose(x, x.numpy())
    assert np.isnan(x).numpy().any() is np.False_


def test_what_has_no_rule_is_refused_by_name(x):
    for call, name in {
        lambda: np.histogram2d(x[0], x[1]): r"numpy\.histogram2d",
        lambda: np.spacing(x): r"numpy\.spacing",
        lambda: np.add.at(x, [0], 1.0): r"numpy\.add\.at",
        lambda: np.logical_or.reduce(x): r"numpy\.logical_or\.reduce",
        lambda: np.exp(x, where=x.numpy() > 1): "where",
        lambda: np.busday_count(x, x): r"numpy\.busday_count",
    }.items():  # fmt: skip
        with pytest.raises(tg.DTypeError, match=name + r".*\.numpy\(\)"):
            call()


def test_lists_of_tensors_are_not_turned_into_object_arrays(x):
    for call in (lambda: np.mean([x, x]), lambda: np.array([x, x]), lambda: np.sum([x[0], x[1]])):
        with pytest.raises(tg.DTypeError, match=r"tg\.asarray"):
            call()


def test_out_may_not_lose_a_gradient(x):
    array = np.ones((2, 3))
    with pytest.raises(tg.DTypeError, match=r"y = x \+ t"):
        array += x
    with pytest.raises(tg.DTypeError, match="out="):
        np.add(array, array, out=x)
    assert (array == 1).all()
    with tg.no_grad():
        array += x
    assert array[0].tolist() == [2.0, 3.0, 4.0]


def test_numpy_finds_a_function_for_each_rule_that_has_its_name():
    for name in RULES:
        theirs = getattr(np, name, None)
        if theirs is not None:
            assert theirs in UFUNCS or theirs in FUNCTIONS, name
