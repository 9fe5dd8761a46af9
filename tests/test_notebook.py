"""The notebook's cells, one by one: chapter 5 of the book, with right gradients."""

import numpy as np
import pytest

import tinygraph as tg
from tinygraph.models import TwoLayerNet, by_hand
from tinygraph.models.data import load_mnist
from tinygraph.models.layers import Affine, Relu, SoftmaxWithLoss
from tinygraph.testing import numerical_gradient

INDICES = np.array([2, 0, 3])
ROWS = np.eye(4)[INDICES]


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def variable(values):
    return tg.tensor(values, dtype="float64", requires_grad=True)


def close(ours, numbers):
    np.testing.assert_allclose(ours.numpy(), numbers, rtol=1e-8, atol=1e-10)


# ---------------------------------------------------------------- Affine


def test_affine_of_one_sample():
    W, b = np.array([[1, 3, 5], [2, 4, 6]]), np.array([1, 2, 3])
    affine = Affine(W, b)
    assert affine.forward(np.array([1, 2])).tolist() == [6, 13, 20]
    assert affine(tg.tensor([1, 2])).tolist() == [6, 13, 20]


def test_affine_of_a_batch():
    W = variable([[0, 0, 0], [10, 10, 10]])
    b = variable([1, 2, 3])
    X = variable([[1, 0], [0, 1]])
    Y = Affine(W, b).forward(X)
    assert Y.tolist() == [[1, 2, 3], [11, 12, 13]]

    dY = np.array([[1, 2, 3], [4, 5, 6]])
    Y.backward(dY)
    assert b.grad.tolist() == [5, 7, 9]
    assert W.grad.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert X.grad.tolist() == [[0, 60], [0, 150]]


@pytest.mark.parametrize("shape", [(2,), (3, 2), (1, 2), (0, 2)])
def test_affine_gives_what_the_hand_gives(rng, shape):
    x, W, b = (rng.normal(size=size) for size in (shape, (2, 3), 3))
    dout = rng.normal(size=(*shape[:-1], 3))
    hand = by_hand.Affine(W, b)
    hand.forward(x)
    dx = hand.backward(dout)

    ours = Affine(variable(W), variable(b))
    x = variable(x)
    ours(x).backward(dout)
    close(x.grad, dx)
    close(ours.W.grad, hand.dW)
    close(ours.b.grad, hand.db)


def test_relu_lets_through_what_was_positive():
    x = variable([-1, 0, 2])
    y = Relu().forward(x)
    y.backward([5, 5, 5])
    assert y.tolist() == [0, 0, 2]
    assert x.grad.tolist() == [0, 0, 5]


# ---------------------------------------------------------------- SoftmaxWithLoss


@pytest.mark.parametrize("upstream", [1, -2.5])
@pytest.mark.parametrize(
    ("shape", "t"), [((3, 4), ROWS), ((3, 4), INDICES), ((4,), ROWS[0]), ((4,), INDICES[0])]
)
def test_softmax_with_loss(rng, shape, t, upstream):
    x = variable(rng.normal(size=shape))
    loss = SoftmaxWithLoss().forward(x, t)
    y = np.exp(x.data) / np.exp(x.data).sum(axis=-1, keepdims=True)
    rows = t if t.shape == shape else np.eye(4)[t]
    batch_size = shape[0] if len(shape) == 2 else 1
    close(loss, -np.sum(rows * np.log(y)) / batch_size)

    loss.backward(upstream)
    close(x.grad, upstream * (y - rows) / batch_size)
    close(x.grad, upstream * numerical_gradient(lambda x: SoftmaxWithLoss()(x, t), x))


# ---------------------------------------------------------------- TwoLayerNet


class NotebookNet(TwoLayerNet):
    """TwoLayerNet with the notebook's own numerical_gradient, word for word."""

    # fmt: off
    def numerical_gradient(self, x, t):
        grads = {}
        grads['W1'] = numerical_gradient(lambda W: self.loss(x, t), self.params['W1'])
        grads['b1'] = numerical_gradient(lambda W: self.loss(x, t), self.params['b1'])
        grads['W2'] = numerical_gradient(lambda W: self.loss(x, t), self.params['W2'])
        grads['b2'] = numerical_gradient(lambda W: self.loss(x, t), self.params['b2'])
        return grads
    # fmt: on


def test_the_gradient_check_of_the_notebook(rng):
    network = NotebookNet(input_size=6, hidden_size=5, output_size=4, rng=0)
    x_batch, t_batch = rng.normal(size=(3, 6)), ROWS
    grad_numerical = network.numerical_gradient(x_batch, t_batch)
    grad_backprop = network.gradient(x_batch, t_batch)
    assert list(grad_backprop) == ["W1", "b1", "W2", "b2"]
    for key in grad_numerical:
        assert grad_backprop[key].shape == network.params[key].shape
        assert np.abs(grad_backprop[key] - grad_numerical[key]).max() < 1e-9


def test_the_books_training_loop():
    (x_train, t_train), (x_test, t_test) = load_mnist(normalize=True, one_hot_label=True)
    network = TwoLayerNet(input_size=784, hidden_size=50, output_size=10, rng=0)
    rng = np.random.default_rng(0)

    iters_num = 400
    train_size = x_train.shape[0]
    batch_size = 100
    learning_rate = 0.1
    train_loss_list = []

    for _ in range(iters_num):
        batch_mask = rng.choice(train_size, batch_size)
        x_batch = x_train[batch_mask]
        t_batch = t_train[batch_mask]

        grad = network.gradient(x_batch, t_batch)

        for key in ('W1', 'b1', 'W2', 'b2'):  # fmt: skip
            network.params[key] -= learning_rate * grad[key]

        loss = network.loss(x_batch, t_batch)
        train_loss_list.append(float(loss))

    assert train_loss_list[-1] < train_loss_list[0] / 4
    assert network.accuracy(x_test, t_test) > 0.87
    assert all(network.params[key].grad is None for key in network.params)


def test_assigning_a_parameter_takes_effect(rng):
    network = TwoLayerNet(6, 5, 4, rng=0)
    x, b2 = rng.normal(size=(3, 6)), network.params["b2"]
    before = network.predict(x).numpy()
    network.params["b2"] = b2.numpy() + np.arange(4)
    np.testing.assert_allclose(network.predict(x).numpy() - before, [[0, 1, 2, 3]] * 3, rtol=1e-12)
    assert network.params["b2"] is b2 is network.layers["Affine2"].b
