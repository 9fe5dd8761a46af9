"""TwoLayerNet: its parameters, its gradients against hand and numbers, and what it refuses."""

import copy

import numpy as np
import pytest

import tinygraph as tg
from tinygraph.errors import ArgumentError, BoundsError, DTypeError, GraphError, ShapeError
from tinygraph.models import TwoLayerNet, by_hand
from tinygraph.models.data import load_mnist
from tinygraph.models.layers import Affine, SoftmaxWithLoss
from tinygraph.replay import replay
from tinygraph.testing import numerical_gradient
from tinygraph.viz import to_dot

KEYS = ["W1", "b1", "W2", "b2"]
SIZES = (784, 50, 10)


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
def small():
    return TwoLayerNet(6, 5, 4, weight_init_std=0.5, rng=0)


@pytest.fixture(scope="module")
def digits():
    return load_mnist()


def batch(rng, size=3):
    return rng.normal(size=(size, 6)), rng.integers(0, 4, size)


# ---------------------------------------------------------------- how it begins


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_equal_seeds_give_the_weights_of_the_one_by_hand(dtype):
    ours = TwoLayerNet(6, 5, 4, 0.5, rng=3, dtype=dtype)
    theirs = by_hand.TwoLayerNet(6, 5, 4, 0.5, rng=np.random.default_rng(3), dtype=dtype)
    assert list(ours.params) == KEYS == list(theirs.params)
    for key, tensor in ours.params.items():
        assert isinstance(tensor, tg.Tensor)
        assert tensor.requires_grad
        assert tensor.name == key
        assert tensor.dtype == dtype
        np.testing.assert_array_equal(tensor.data, theirs.params[key])


def test_layers_in_order_share_the_parameters(small):
    assert list(small.layers) == ["Affine1", "Relu1", "Affine2"]
    assert small.layers["Affine1"].W is small.params["W1"]
    assert small.layers["Affine2"].b is small.params["b2"]
    assert isinstance(small.last_layer, SoftmaxWithLoss)


@pytest.mark.parametrize("dtype", ["int64", "complex128", "bool"])
def test_a_dtype_that_is_not_floating(dtype):
    with pytest.raises(DTypeError, match=f"{dtype}.*float32 or float64"):
        TwoLayerNet(6, 5, 4, dtype=dtype)


# ---------------------------------------------------------------- the one place of the weights


def test_assigned_values_are_copied_and_cast():
    network = TwoLayerNet(6, 5, 4, rng=0, dtype="float32")
    b1, values = network.params["b1"], np.arange(5.0)
    network.params["b1"] = values
    values[:] = 9
    assert network.params["b1"] is b1
    assert b1.dtype == np.float32
    assert b1.tolist() == [0, 1, 2, 3, 4]
    network.params["b1"] = [1, 2, 3, 4, 5]
    network.params["b1"] = network.params["b1"] * 2  # recorded: its values are taken
    assert network.params["b1"] is b1
    assert b1.tolist() == [2, 4, 6, 8, 10]
    assert b1.requires_grad


def test_a_step_in_place_keeps_the_tensor_and_its_dtype(rng):
    network = TwoLayerNet(6, 5, 4, rng=0, dtype="float32")
    W1 = network.params["W1"]
    before = W1.numpy()
    network.params["W1"] -= 0.5 * np.ones((6, 5))
    assert network.params["W1"] is W1
    assert W1.dtype == np.float32
    np.testing.assert_allclose(W1.data, before - 0.5, rtol=1e-6)


def test_a_recorded_loss_keeps_the_weights_it_was_made_with(small, rng):
    x, t = batch(rng)
    expected = small.gradient(x, t)
    loss = small.loss(x, t)
    small.params["W2"] = np.zeros((5, 4))
    loss.backward()
    for key in KEYS:
        np.testing.assert_array_equal(small.params[key].grad.data, expected[key])


@pytest.mark.parametrize(
    ("key", "values", "error", "message"),
    [
        ("W1", np.zeros((5, 6)), ShapeError, r"'W1' has shape \(6, 5\), not \(5, 6\)"),
        ("b1", 0.0, ShapeError, r"'b1' has shape \(5,\), not \(\)"),
        ("b2", np.zeros((3, 4)), ShapeError, r"'b2' has shape \(4,\)"),
        ("b2", np.zeros(4, complex), DTypeError, "'b2' is float64 and cannot hold complex128"),
        ("b2", "zeros", DTypeError, "str"),
        ("W3", np.zeros(3), ArgumentError, "no 'W3', only W1, b1, W2, b2"),
    ],
)
@pytest.mark.parametrize("way", ["set", "update", "ior"])
def test_what_a_parameter_cannot_hold(small, key, values, error, message, way):
    before = {name: tensor.numpy() for name, tensor in small.params.items()}
    with pytest.raises(error, match=message):
        if way == "set":
            small.params[key] = values
        elif way == "update":
            small.params.update({key: values})
        else:
            small.params |= {key: values}
    assert list(small.params) == KEYS
    for name, tensor in small.params.items():
        np.testing.assert_array_equal(tensor.data, before[name])


def test_names_stay(small):
    for remove in (
        lambda params: params.__delitem__("W1"),
        lambda params: params.pop("W1"),
        lambda params: params.popitem(),
        lambda params: params.clear(),
    ):
        with pytest.raises(ArgumentError, match="cannot be removed"):
            remove(small.params)
    with pytest.raises(ArgumentError, match="no 'W3'"):
        small.params.setdefault("W3", np.zeros(3))
    assert list(small.params) == KEYS


def test_assigning_the_same_tensor_changes_nothing(small, rng):
    loss = small.loss(*batch(rng))
    small.params["W1"] = small.params["W1"]
    assert replay([loss._node], np)[loss._node] == loss.item()
    small.params["W1"] -= 1
    with pytest.raises(GraphError, match="W1"):
        replay([loss._node], np)


def test_update_sets_values(small):
    tensors = dict(small.params)
    small.params.update(b1=np.ones(5), b2=np.ones(4))
    small.params |= {"W2": np.ones((5, 4))}
    assert all(small.params[key] is tensor for key, tensor in tensors.items())
    assert small.predict(np.zeros(6)).tolist() == [6, 6, 6, 6]


def test_a_deep_copy_is_a_network_of_its_own(small, rng):
    x, t = batch(rng)
    other = copy.deepcopy(small)
    assert other.loss(x, t).item() == small.loss(x, t).item()
    other.params["W1"] = np.zeros((6, 5))
    assert other.layers["Affine1"].W is other.params["W1"]
    assert other.loss(x, t).item() != small.loss(x, t).item()


# ---------------------------------------------------------------- what it answers


def test_one_sample_is_a_batch_of_one(small, rng):
    x, t = batch(rng, 1)
    assert small.predict(x[0]).shape == (4,)
    np.testing.assert_allclose(small.predict(x[0]).data, small.predict(x).data[0], rtol=1e-14)
    assert small.loss(x[0], t[0]).shape == ()
    assert small.loss(x[0], t[0]).item() == pytest.approx(small.loss(x, t).item(), rel=1e-14)
    assert small.accuracy(x[0], t[0]) == small.accuracy(x, t)
    one, many = small.gradient(x[0], t[0]), small.gradient(x, t)
    for key in KEYS:
        np.testing.assert_allclose(one[key], many[key], rtol=1e-13, atol=1e-16)


def test_indices_rows_and_tensors_are_the_same_targets(small, rng):
    x, t = batch(rng)
    loss, accuracy = small.loss(x, t).item(), small.accuracy(x, t)
    for same in (np.eye(4)[t], np.eye(4, dtype=int)[t], t.tolist(), tg.tensor(t), t.astype("u1")):
        assert small.loss(x, same).item() == pytest.approx(loss, rel=1e-15)
        assert small.accuracy(x, same) == accuracy
    assert small.loss(tg.tensor(x), t).item() == loss


def test_accuracy_is_the_share_of_hits(small, rng):
    x, _ = batch(rng, 4)
    t = small.predict(x).data.argmax(axis=1)
    assert small.accuracy(x, t) == 1.0
    t[0] = (t[0] + 1) % 4
    assert small.accuracy(x, t) == 0.75
    assert isinstance(small.accuracy(x, np.eye(4)[t]), float)


@pytest.mark.parametrize("answer", ["loss", "accuracy", "gradient", "numerical_gradient"])
@pytest.mark.parametrize(
    ("x", "t", "error", "message"),
    [
        (np.ones((3, 5)), [0, 1, 2], ShapeError, r"\(3, 5\).*\(6, 5\).*5 .*6 \(axis -2 of 'W1'\)"),
        (np.ones(5), 0, ShapeError, "of 'W1'"),
        (np.ones((3, 6)), [0, 1], ShapeError, r"\(2,\) do not fit .*\(3, 4\)"),
        (np.ones((3, 6)), np.eye(3), ShapeError, r"\(3, 3\) do not fit"),
        (np.ones((3, 6)), [0, 4, 1], BoundsError, "label 4 is out of range for 4 classes"),
        (np.ones((3, 6)), [0, -1, 1], BoundsError, "label -1"),
        (np.ones((3, 6)), [0.0, 1.0, 2.0], DTypeError, "integers.*float64"),
        (np.ones(6), [0], ShapeError, r"\(1,\) do not fit"),
        ([["a"] * 6], [0], DTypeError, "not an array of numbers"),
    ],
)
def test_bad_input(small, answer, x, t, error, message):
    before = {name: tensor.numpy() for name, tensor in small.params.items()}
    with pytest.raises(error, match=message):
        getattr(small, answer)(x, t)
    for name, tensor in small.params.items():
        np.testing.assert_array_equal(tensor.data, before[name])


def test_layers_refuse_what_does_not_fit():
    with pytest.raises(ShapeError, match="do not align"):
        Affine(np.ones((2, 3)), np.ones(3))(np.ones((4, 3)))
    with pytest.raises(ShapeError, match="broadcast"):
        Affine(np.ones((2, 3)), np.ones(4))(np.ones((4, 2)))
    with pytest.raises(BoundsError, match="label 3"):
        SoftmaxWithLoss()(np.ones((1, 3)), [3])


# ---------------------------------------------------------------- gradients


def test_gradients_leave_grad_alone(small, rng):
    x, t = batch(rng)
    small.loss(x, t).backward()
    held = {key: tensor.grad for key, tensor in small.params.items()}
    values = {key: tensor.grad.numpy() for key, tensor in small.params.items()}
    for found in (small.gradient(x, t), small.numerical_gradient(x, t)):
        assert list(found) == KEYS
        for key, array in found.items():
            assert type(array) is np.ndarray
            np.testing.assert_allclose(array, values[key], rtol=1e-7, atol=1e-10)
            array[:] = 9  # the caller's own
            assert small.params[key].grad is held[key]
            np.testing.assert_array_equal(held[key].data, values[key])


def test_the_gradient_is_found_under_no_grad_too(small, rng):
    x, t = batch(rng)
    expected = small.gradient(x, t)
    with tg.no_grad():
        found = small.gradient(x, t)
        assert not small.loss(x, t).requires_grad
    for key in KEYS:
        np.testing.assert_array_equal(found[key], expected[key])


@pytest.mark.parametrize("seed", range(3))
def test_gradients_are_those_by_hand(digits, seed):
    (x, t), _ = digits
    x, t = x[:100].astype("float64"), t[:100]
    ours = TwoLayerNet(*SIZES, rng=seed)
    theirs = by_hand.TwoLayerNet(*SIZES, rng=seed)
    for _ in range(2):  # at the first weights, and after a large step
        gradient, hand = ours.gradient(x, t), theirs.gradient(x, t)
        for key in KEYS:
            apart = np.abs(gradient[key] - hand[key]).max()
            assert apart < 1e-14 * np.abs(hand[key]).max()
            ours.params[key] -= 5 * hand[key]
            theirs.params[key] -= 5 * hand[key]


@pytest.mark.parametrize(
    "seed",
    # At the first weights of seeds 1 and 19, a relu lies within 3e-5 of its kink.
    [pytest.param(seed, marks=[] if seed == 19 else pytest.mark.thorough) for seed in range(20)],
)
def test_the_gradient_check(digits, seed):
    (x, t), _ = digits
    network = TwoLayerNet(*SIZES, rng=seed)
    gradient, numbers = network.gradient(x[:3], t[:3]), network.numerical_gradient(x[:3], t[:3])
    for key in KEYS:
        assert gradient[key].shape == numbers[key].shape == network.params[key].shape
        assert np.abs(gradient[key] - numbers[key]).max() < 1e-9


def test_gradients_of_gradients(digits, rng):
    (x, t), _ = digits
    x, t = x[:20].astype("float64"), t[:20]
    network = TwoLayerNet(*SIZES, weight_init_std=0.1, rng=0)
    W1 = network.params["W1"]
    direction, step = rng.normal(size=W1.shape), 1e-6
    network.loss(x, t).backward(create_graph=True)
    first, W1.grad = W1.grad, None
    (first * direction).sum().backward()

    before, sides = W1.numpy(), []
    for sign in (1, -1):
        network.params["W1"] = before + sign * step * direction
        sides.append(network.gradient(x, t)["W1"])
    numbers = (sides[0] - sides[1]) / (2 * step)
    assert np.abs(numbers).max() > 1e-3
    np.testing.assert_allclose(W1.grad.data, numbers, atol=1e-6 * np.abs(numbers).max())


def test_layers_differentiate_with_respect_to_their_input(rng):
    x, W, b = (rng.normal(size=shape) for shape in ((3, 6), (6, 4), (4,)))
    t = np.array([0, 3, 1])
    loss = lambda x: SoftmaxWithLoss()(Affine(W, b)(x), t)
    found = tg.grad(loss)(x)
    np.testing.assert_allclose(found, numerical_gradient(loss, x), rtol=1e-8, atol=1e-10)


# ---------------------------------------------------------------- its picture


def test_the_picture_names_what_the_book_names(small, rng):
    picture = to_dot(small.loss, args=batch(rng)).source
    for text in (
        "TwoLayerNet.loss", "Affine1", "Relu1", "Affine2", "SoftmaxWithLoss", "x @ W1", "h = relu",
        "h @ W2", "<b>x</b>", "<b>t</b>", "<b>b1</b>", "<b>loss</b>",
    ):  # fmt: skip
        assert text in picture, text
