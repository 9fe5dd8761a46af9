"""Transforms: structure of arguments and answers, nesting, what is recorded."""

import dataclasses
from functools import partial
from typing import NamedTuple

import numpy as np
import pytest

import tinygraph as tg
from tinygraph.transforms import gradients, record
from tinygraph.trees import flatten


def cube(x):
    return x**3


# ---------------------------------------------------------------- answers like the arguments


def test_the_gradient_of_a_number_is_an_array_of_no_axes():
    value, gradient = tg.value_and_grad(cube)(2.0)
    for one, number in ((value, 8.0), (gradient, 12.0)):
        assert type(one) is np.ndarray
        assert one.shape == ()
        assert one.dtype == np.float64
        assert one == number
    assert tg.grad(cube)(2) == 12.0, "a Python int counts as a float"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_arrays_give_arrays_of_their_dtype(dtype):
    x = np.array([1.0, 2.0], dtype)
    value, gradient = tg.value_and_grad(lambda x: (x * x * 0.5).sum())(x)
    assert type(value) is type(gradient) is np.ndarray
    assert value.dtype == gradient.dtype == dtype
    np.testing.assert_array_equal(gradient, x)
    assert not np.shares_memory(gradient, x)


def test_tensors_give_tensors():
    x = tg.tensor([1.0, 2.0])
    value, gradient = tg.value_and_grad(lambda x: (x * x).sum())(x)
    assert isinstance(value, tg.Tensor)
    assert isinstance(gradient, tg.Tensor)
    assert not gradient.requires_grad
    assert not value.requires_grad
    assert x.grad is None


def test_argnums():
    def f(x, y, z):
        return x * y + z

    assert tg.grad(f, 1)(2.0, 3.0, 0.0) == 2.0
    assert tg.grad(f, -1)(2.0, 3.0, 0.0) == 1.0
    assert tg.grad(f, (0, 1))(2.0, 3.0, 0.0) == (3.0, 2.0)
    assert tg.grad(f, (0,))(2.0, 3.0, 0.0) == (3.0,)
    with pytest.raises(tg.ArgumentError, match=r"argnums=3.*3 positional"):
        tg.grad(f, 3)(1.0, 1.0, 1.0)


def test_other_arguments_reach_the_function_as_they_are():
    seen = []

    def f(x, other, *, option):
        seen.append((other, option))
        return x * 2

    anything = object()
    tg.grad(f)(1.0, anything, option="o")
    assert seen == [(anything, "o")]


@dataclasses.dataclass
class Pair:
    first: object
    second: object


class Point(NamedTuple):
    x: object
    y: object


def test_trees_give_trees():
    def f(tree):
        return sum((leaf * leaf).sum() for leaf in flatten(tree)[0])

    tree = {"a": [np.ones(2), tg.tensor(3.0)], "b": (Point(1.0, 2.0), Pair(4.0, None)), "c": {}}
    gradient = tg.grad(f)(tree)
    assert gradient["a"][0].tolist() == [2.0, 2.0]
    assert isinstance(gradient["a"][1], tg.Tensor)
    assert gradient["b"] == (Point(2.0, 4.0), Pair(8.0, None))
    assert gradient["c"] == {}


def test_auxiliary_results():
    def f(x):
        y = x * x
        return y.sum(), {"squares": y, "text": "t"}

    (value, aux), _ = tg.value_and_grad(f, has_aux=True)(np.array([1.0, 2.0]))
    assert value == 5.0
    assert type(aux["squares"]) is np.ndarray
    assert aux["squares"].tolist() == [1.0, 4.0]
    assert aux["text"] == "t"
    _, aux = tg.grad(f, has_aux=True)(tg.tensor([1.0, 2.0]))
    assert isinstance(aux["squares"], tg.Tensor)
    assert not aux["squares"].requires_grad
    with pytest.raises(tg.ArgumentError, match="pair"):
        tg.grad(cube, has_aux=True)(1.0)


def test_what_the_result_does_not_depend_on_gets_zeros():
    assert tg.grad(lambda x, y: x * 2, (0, 1))(1.0, np.ones(3))[1].tolist() == [0, 0, 0]
    assert tg.grad(lambda x: 3.0)(1.0) == 0.0
    assert tg.grad(lambda x: x)(1.0) == 1.0


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("x", [np.arange(3), True, np.array([True]), tg.tensor([1, 2])])
def test_integers_have_no_gradient(x):
    with pytest.raises(tg.DTypeError, match=r"argument 0 has dtype (int64|bool)"):
        tg.grad(lambda x: tg.sum(x * 1.0))(x)


def test_results_that_have_no_gradient():
    with pytest.raises(tg.ShapeError, match=r"shape \(2,\).*\.sum\(\)"):
        tg.grad(lambda x: x * 2)(np.ones(2))
    with pytest.raises(tg.DTypeError, match="int64"):
        tg.grad(lambda x: tg.argmax(x))(np.ones(2))


def test_a_number_may_not_leave_the_function():
    with pytest.raises(tg.GraphError, match=r"float: .*without its gradient"):
        tg.grad(lambda x: float(x) * x)(2.0)
    assert tg.grad(lambda x: x.item() * x)(2.0) == 2.0, "said explicitly"
    x = tg.tensor(2.0, requires_grad=True)
    assert float(x * 2) == 4.0


def test_an_exception_of_the_function_passes_and_leaves_no_mode_on():
    def f(x):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"), tg.no_grad():
        tg.grad(f)(1.0)
    assert float(tg.tensor(1.0, requires_grad=True) * 2) == 2.0


# ---------------------------------------------------------------- nesting


def test_to_any_order():
    f = cube
    for expected in (12.0, 12.0, 6.0, 0.0):
        f = tg.grad(f)
        assert f(2.0) == expected


def test_levels_are_not_mixed_up():
    def outer(x):
        return tg.sum(tg.grad(lambda y: tg.sum(x * y))(2.0) * x)

    assert tg.grad(outer)(3.0) == 6.0
    # The classic: d/dx (x · d/dy (x + y)) is 1 at any x.
    assert tg.grad(lambda x: x * tg.grad(lambda y: x + y)(1.0))(1.0) == 1.0
    # The inner variable takes its value from the outer one and is no constant of it.
    assert tg.grad(lambda x: tg.grad(lambda y: y * y * x)(x))(3.0) == 12.0


def test_a_function_that_calls_backward_itself():
    def f(x):
        (x**3).backward()
        return x.grad

    assert tg.grad(f)(2.0) == 12.0


def test_an_argument_may_be_changed_in_place():
    def f(x):
        x *= 2
        return (x * x).sum()

    x = np.array([1.0, 2.0])
    assert tg.grad(f)(x).tolist() == [8.0, 16.0]
    assert x.tolist() == [1.0, 2.0]
    t = tg.tensor([1.0, 2.0], requires_grad=True)
    assert tg.grad(f)(t).numpy().tolist() == [8.0, 16.0]
    assert t.numpy().tolist() == [1.0, 2.0]


def test_a_gradient_of_tensors_can_be_differentiated_by_what_was_captured():
    W = tg.tensor(3.0, requires_grad=True)
    x = tg.tensor(2.0)
    gradient = tg.grad(lambda x: W * x * x)(x)
    gradient.backward()
    assert W.grad.item() == 4.0
    with tg.no_grad():
        assert not tg.grad(lambda x: W * x * x)(x).requires_grad
    assert type(tg.grad(lambda x: W * x * x)(2.0)) is np.ndarray


def test_a_captured_graph_stays_whole():
    W = tg.tensor(3.0, requires_grad=True)
    captured = tg.exp(W)
    tg.grad(lambda x: captured * x * x)(2.0)
    captured.backward()
    assert W.grad.item() == pytest.approx(np.exp(3.0))
    # Freed by that walk, it can still be a constant of another.
    assert tg.grad(lambda x: captured * x)(2.0) == pytest.approx(np.exp(3.0))


def test_recording_goes_on_inside_no_grad_only_for_the_transform():
    with tg.no_grad():
        assert tg.grad(cube)(2.0) == 12.0
    assert tg.grad(tg.no_grad()(cube))(2.0) == 0.0


def test_scipy_can_take_it():
    optimize = pytest.importorskip("scipy.optimize")

    def rosenbrock(x):
        return tg.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)

    found = optimize.minimize(tg.value_and_grad(rosenbrock), np.zeros(5), jac=True)
    np.testing.assert_allclose(found.x, np.ones(5), atol=1e-4)


# ---------------------------------------------------------------- gradients of a result


def test_gradients_touch_no_grad():
    x, y = (tg.tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    x.grad = [7.0, 7.0]
    result = (x * x).sum()
    first, second = gradients(result, [x, y])
    assert first.tolist() == [2.0, 4.0]
    assert second.tolist() == [0.0, 0.0]
    assert x.grad.numpy().tolist() == [7.0, 7.0]
    assert y.grad is None
    with pytest.raises(tg.GraphError, match="not recorded"):
        gradients(tg.tensor(1.0), [x])


# ---------------------------------------------------------------- recording for others


def test_record_names_arguments_and_records_what_needs_no_gradient():
    def f(x, *rest):
        return tg.exp(x) + rest[0]

    result, inputs = record(f, (np.ones(2), 3.0))
    assert [one.name for one in inputs] == ["x", "rest"]
    assert result._node is not None
    assert not result.requires_grad
    with pytest.raises(tg.ArgumentError, match="missing"):
        record(f, ())


def test_a_recorded_walk_says_what_its_operations_belong_to():
    x = tg.tensor([1.0, 2.0], requires_grad=True, name="x")
    loss = tg.tanh(x).sum()
    loss.name = "L"
    loss.backward(create_graph=True)
    assert x.grad.name == "∂L/∂x"
    assert x.grad._node.scope.name == "backward of tanh"
    assert x.grad._node.scope.parent is None  # each region by itself, not inside the one before


def test_a_gradient_that_the_walk_did_not_make_keeps_its_name():
    x = tg.tensor(2.0, requires_grad=True, name="x")
    seed = tg.tensor(3.0, requires_grad=True) * 1
    (x + 1).backward(seed, create_graph=True)
    assert seed.name is None
    assert x.grad.name is None


def test_hvp_takes_as_many_tangents_as_primals():
    x = np.ones(2)
    for tangents in ((x, x), x):
        with pytest.raises(tg.ArgumentError, match="hvp: "):
            tg.hvp(lambda x: tg.sum(x**3), (x,), tangents)


def test_ravel_pytree_refuses_integers():
    with pytest.raises(tg.DTypeError, match="ravel_pytree: an array of int64"):
        tg.ravel_pytree({"a": np.arange(3)})


def test_a_function_of_ones_own_without_a_name():
    square = tg.custom_vjp(partial(lambda n, x: x**n, 2))
    square.defvjp(lambda x: (x**2, x), lambda x, g: 2 * x * g)
    assert tg.grad(square)(3.0) == 6.0


def test_a_tuple_is_recorded_as_one_argument():
    _, inputs = record(lambda pair, *rest: pair * rest[0], ((1.0, 2.0), 3.0, 4.0))
    assert [one.name for one in inputs] == ["pair", "rest", "rest"]


def test_axes_and_places_that_are_no_numbers():
    for options in ({"out_axes": (0, 0)}, {"out_axes": None}, {"in_axes": ("0",)}):
        with pytest.raises(tg.ArgumentError, match="is no number of an axis"):
            tg.vmap(lambda x: x * 2, **options)(np.ones(2))
    x = np.ones(2)
    double = tg.jacobian(lambda x: tg.concat([x, x]), np.int64(0))
    np.testing.assert_array_equal(double(x), np.concat([np.eye(2), np.eye(2)]))
    with pytest.raises(tg.ArgumentError, match="static_argnums=-1"):
        tg.compile(lambda x: x, static_argnums=-1)
