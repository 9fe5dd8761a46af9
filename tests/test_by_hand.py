"""The layers written by hand, against numbers: they are what the rest is compared with."""

import numpy as np
import pytest

from tinygraph.errors import BoundsError, DTypeError, ShapeError
from tinygraph.models.by_hand import Affine, Relu, SoftmaxWithLoss, TwoLayerNet


def differences(f, x, step=1e-5):
    """Central differences of f() for each entry of x, which f reads."""
    slope = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        kept = x[index]
        x[index] = kept + step
        above = f()
        x[index] = kept - step
        slope[index] = (above - f()) / (2 * step)
        x[index] = kept
    return slope


def close(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9)


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def targets(indices, kind):
    return indices if kind == "indices" else np.eye(4)[indices]


def test_the_books_affine():
    affine = Affine(np.array([[1, 3, 5], [2, 4, 6]]), np.array([1, 2, 3]))
    np.testing.assert_array_equal(affine.forward(np.array([1, 2])), [6, 13, 20])

    affine = Affine(np.array([[0, 0, 0], [10, 10, 10]]), np.array([1, 2, 3]))
    np.testing.assert_array_equal(affine.forward(np.eye(2)), [[1, 2, 3], [11, 12, 13]])
    affine.backward(np.array([[1, 2, 3], [4, 5, 6]]))
    np.testing.assert_array_equal(affine.db, [5, 7, 9])


@pytest.mark.parametrize("shape", [(3,), (5, 3), (1, 3), (0, 3)])
def test_affine_against_differences(rng, shape):
    x, W, b = rng.normal(size=shape), rng.normal(size=(3, 4)), rng.normal(size=4)
    affine = Affine(W, b)
    upstream = rng.normal(size=affine.forward(x).shape)

    def weighed():
        return (Affine(W, b).forward(x) * upstream).sum()

    close(affine.backward(upstream), differences(weighed, x))
    close(affine.dW, differences(weighed, W))
    close(affine.db, differences(weighed, b))


def test_a_later_write_to_the_upstream_gradient_leaves_db_alone():
    affine = Affine(np.ones((2, 3)), np.zeros(3))
    affine.forward(np.ones(2))
    upstream = np.ones(3)
    affine.backward(upstream)
    upstream[:] = 9
    np.testing.assert_array_equal(affine.db, [1, 1, 1])


def test_relu_lets_through_what_was_positive():
    relu = Relu()
    np.testing.assert_array_equal(relu.forward(np.array([-1.0, 0.0, 2.0])), [0, 0, 2])
    np.testing.assert_array_equal(relu.backward(np.array([5.0, 5.0, 5.0])), [0, 0, 5])
    assert np.isnan(relu.forward(np.array(np.nan))), "a diverged net must not look healthy"


@pytest.mark.parametrize("kind", ["indices", "one-hot"])
@pytest.mark.parametrize("batch", [True, False])
@pytest.mark.parametrize("dout", [1, -2.5])
def test_softmax_with_loss_against_differences(rng, kind, batch, dout):
    x = rng.normal(size=(3, 4)) if batch else rng.normal(size=4)
    t = targets(np.array([2, 0, 2]) if batch else 3, kind)
    last = SoftmaxWithLoss()
    loss = last.forward(x, t)
    close(loss, -np.mean(np.log(last.y)[last.t == 1]))
    close(last.y.sum(axis=-1), np.ones(x.shape[:-1]))
    assert last.loss == loss
    close(last.backward(dout), dout * differences(lambda: SoftmaxWithLoss().forward(x, t), x))


def test_huge_logits_give_the_true_loss_and_gradient():
    last = SoftmaxWithLoss()
    assert last.forward(np.array([[1e4, 0.0], [0.0, -1e4]]), np.array([1, 0])) == 5e3
    np.testing.assert_array_equal(last.backward(), [[0.5, -0.5], [0, 0]])


@pytest.mark.parametrize(
    ("t", "error", "message"),
    [
        ([0, 1], ShapeError, r"shape \(2,\) does not fit .* \(3, 4\): .* shape \(3,\)"),
        (np.eye(3), ShapeError, r"shape \(3, 3\) does not fit"),
        ([0.0, 1.0, 2.0], DTypeError, "these are float64"),
        ([0, 4, 2], BoundsError, "class index 4 is not between 0 and 3"),
        ([0, -1, 2], BoundsError, "class index -1 "),
    ],
)
def test_targets_that_do_not_fit(t, error, message):
    with pytest.raises(error, match=message):
        SoftmaxWithLoss().forward(np.zeros((3, 4)), t)


@pytest.mark.parametrize("kind", ["indices", "one-hot"])
@pytest.mark.parametrize("batch", [True, False])
def test_the_nets_gradient_against_differences(rng, kind, batch):
    net = TwoLayerNet(5, 6, 4, weight_init_std=1.0, rng=1)
    x = rng.normal(size=(3, 5)) if batch else rng.normal(size=5)
    t = targets(np.array([1, 3, 1]) if batch else np.array(2), kind)
    grads = net.gradient(x, t)
    assert list(grads) == ["W1", "b1", "W2", "b2"]
    for key, grad in grads.items():
        close(grad, differences(lambda: net.loss(x, t), net.params[key]))


def test_the_notebooks_mistake_gives_dW_where_db_belongs(rng):
    x, t = rng.normal(size=(3, 784)), np.array([1, 2, 3])
    right = TwoLayerNet(784, 50, 10, rng=0).gradient(x, t)
    wrong = TwoLayerNet(784, 50, 10, rng=0, mistake=True).gradient(x, t)
    assert [grad.shape for grad in right.values()] == [(784, 50), (50,), (50, 10), (10,)]
    assert [grad.shape for grad in wrong.values()] == [(784, 50), (784, 50), (50, 10), (50, 10)]
    np.testing.assert_array_equal(wrong["b1"], right["W1"])
    np.testing.assert_array_equal(wrong["b2"], right["W2"])
    # It went unseen because the difference broadcasts.
    assert np.abs(wrong["b1"] - right["b1"]).mean() > 0


@pytest.mark.parametrize("one_hot_dtype", [None, "float64", "int64", "uint8"])
def test_float32_stays_float32(rng, one_hot_dtype):
    net = TwoLayerNet(5, 6, 4, rng=0, dtype="float32")
    x, t = rng.normal(size=(3, 5)).astype("float32"), np.array([0, 1, 2], dtype="uint8")
    if one_hot_dtype is not None:
        t = np.eye(4, dtype=one_hot_dtype)[t]
    assert net.predict(x).dtype == net.loss(x, t).dtype == np.float32
    assert {grad.dtype for grad in net.gradient(x, t).values()} == {np.dtype("float32")}
    assert net.last_layer.backward(np.float64(3)).dtype == np.float32


def test_the_first_weights_are_drawn_in_this_order():
    rng = np.random.default_rng(3)
    W1, W2 = 0.5 * rng.standard_normal((5, 6)), 0.5 * rng.standard_normal((6, 4))
    for source in (3, np.random.default_rng(3)):
        net = TwoLayerNet(5, 6, 4, 0.5, rng=source)
        np.testing.assert_array_equal(net.params["W1"], W1)
        np.testing.assert_array_equal(net.params["W2"], W2)
        assert not net.params["b1"].any() and not net.params["b2"].any()
    assert list(net.layers) == ["Affine1", "Relu1", "Affine2"]
    with pytest.raises(DTypeError, match="int64"):
        TwoLayerNet(5, 6, 4, dtype="int64")


def test_the_books_training_loop(rng):
    x = rng.normal(size=(30, 5))
    t = x[:, :4].argmax(axis=1)
    network = TwoLayerNet(5, 20, 4, rng=0)
    before = network.loss(x, t)
    for _ in range(300):
        grad = network.gradient(x, t)
        for key in ("W1", "b1", "W2", "b2"):
            network.params[key] -= 0.5 * grad[key]
    assert network.loss(x, t) < before / 4
    assert network.accuracy(x, t) == network.accuracy(x, np.eye(4)[t]) > 0.9
    assert isinstance(network.accuracy(x[0], t[0]), float)
    with pytest.raises(ShapeError):
        network.accuracy(x, t[:1])
