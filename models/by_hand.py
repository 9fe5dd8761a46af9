"""The layers of the book, with every backward formula written by hand in plain NumPy.

This is what tinygraph makes unnecessary. It stays here as the other side of three comparisons: the
demo's gradient check (with the notebook's mistake), the tests' gradients and the benchmarks' step.
It follows chapter 5 of "Deep Learning from Scratch", right where the notebook was wrong.
"""

from typing import Any

import numpy as np

from tinygraph.errors import BoundsError, DTypeError, ShapeError


class Affine:
    """A product with a matrix and an offset: ``x @ W + b``, for one sample or a batch.

    Parameters
    ----------
    W : ndarray, shape (inputs, outputs)
        The weights; used as they are, so that a change in place is seen.
    b : ndarray, shape (outputs,)
        The offset, added to every row of a batch.

    Attributes
    ----------
    x : ndarray
        What the last `forward` was given.
    dW, db : ndarray
        The gradients that the last `backward` found.

    Examples
    --------
    >>> import numpy as np
    >>> affine = Affine(np.ones((2, 3)), np.array([1.0, 2.0, 3.0]))
    >>> affine.forward(np.array([[0.0, 0.0], [5.0, 5.0]]))
    array([[ 1.,  2.,  3.],
           [11., 12., 13.]])
    >>> affine.backward(np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
    array([[ 6.,  6.],
           [15., 15.]])
    >>> affine.db
    array([5., 7., 9.])
    """

    def __init__(self, W: np.ndarray, b: np.ndarray):
        self.W = W
        self.b = b
        self.x: Any = None
        self.dW: Any = None
        self.db: Any = None

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return ``x @ W + b``."""
        self.x = x
        return x @ self.W + self.b

    def parameter_gradients(self, dout: np.ndarray) -> None:
        """Set `dW` and `db` alone: all that a first layer, whose input is data, has to do."""
        rows = np.atleast_2d(dout)  # one sample is a batch of one
        self.dW = np.atleast_2d(self.x).T @ rows
        self.db = rows.sum(axis=0)

    def backward(self, dout: np.ndarray) -> np.ndarray:
        """Set `dW` and `db`, and return the gradient of the input."""
        self.parameter_gradients(dout)
        return dout @ self.W.T


class Relu:
    """The positive part; its slope at 0 is 0.

    Examples
    --------
    >>> import numpy as np
    >>> relu = Relu()
    >>> relu.forward(np.array([-1.0, 0.0, 2.0]))
    array([0., 0., 2.])
    >>> relu.backward(np.array([5.0, 5.0, 5.0]))
    array([0., 0., 5.])
    """

    def __init__(self) -> None:
        self.mask: Any = None

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return `x` where it is positive, 0 elsewhere."""
        self.mask = x > 0
        return np.maximum(x, 0)

    def backward(self, dout: np.ndarray) -> np.ndarray:
        """Let the gradient through where the input was positive."""
        return dout * self.mask


class SoftmaxWithLoss:
    """Softmax and, of its outcome, the cross-entropy, averaged over the batch.

    Attributes
    ----------
    loss : floating scalar
        What the last `forward` returned.
    y : ndarray
        The probabilities.
    t : ndarray
        The targets as one-hot rows, also where class indices were given.

    Examples
    --------
    >>> import numpy as np
    >>> last = SoftmaxWithLoss()
    >>> print(last.forward(np.array([[1e4, 0.0], [1e4, 0.0]]), np.array([0, 1])))
    5000.0
    >>> last.backward()
    array([[ 0. ,  0. ],
           [ 0.5, -0.5]])
    """

    def __init__(self) -> None:
        self.loss: Any = None
        self.y: Any = None
        self.t: Any = None

    def forward(self, x: np.ndarray, t: Any) -> Any:
        """Return the mean cross-entropy of the logits `x` against `t`, one-hot or indices."""
        # The largest logit is taken off, and the logarithm of y is never taken: of a probability
        # that rounds to 0 it would be infinite.
        shifted = x - x.max(axis=-1, keepdims=True)
        exp = np.exp(shifted)
        total = exp.sum(axis=-1, keepdims=True)
        self.y = exp / total
        self.t = _one_hot(t, self.y)
        self.loss = -np.sum(self.t * (shifted - np.log(total))) / _batch_size(self.y)
        return self.loss

    def backward(self, dout: float = 1) -> np.ndarray:
        """Return the gradient of the logits, ``(y - t) / batch size``, times `dout`."""
        dx = self.y - self.t
        dx *= dout / _batch_size(self.y)  # in place: a float64 `dout` does not widen float32
        return dx


class TwoLayerNet:
    """Affine, Relu, Affine and SoftmaxWithLoss, differentiated by hand.

    It draws the same weights from the same `rng` as `tinygraph.models.TwoLayerNet`.

    Parameters
    ----------
    input_size, hidden_size, output_size : int
        The widths of the layers.
    weight_init_std : float
        The standard deviation of the first weights.
    rng : None, int or numpy.random.Generator
        Where the first weights come from.
    dtype : dtype
        The floating type of the parameters.
    mistake : bool
        Do as the notebook did, whose `gradient` gave ``dW`` where ``db`` belongs.

    Attributes
    ----------
    params : dict of ndarray
        W1, b1, W2 and b2: the very arrays that the layers use, so change them in place, as
        ``params[key] -= ...`` and ``params[key][...] = ...`` do.
    layers : dict
        Affine1, Relu1 and Affine2, in this order.
    last_layer : SoftmaxWithLoss
        The loss.

    Examples
    --------
    >>> import numpy as np
    >>> x, t = np.ones((3, 784)), np.array([1, 2, 3])
    >>> {key: grad.shape for key, grad in TwoLayerNet(784, 50, 10).gradient(x, t).items()}
    {'W1': (784, 50), 'b1': (50,), 'W2': (50, 10), 'b2': (10,)}
    >>> TwoLayerNet(784, 50, 10, mistake=True).gradient(x, t)["b1"].shape
    (784, 50)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        weight_init_std: float = 0.01,
        *,
        rng: Any = None,
        dtype: Any = "float64",
        mistake: bool = False,
    ):
        dtype = np.dtype(dtype)
        if dtype.kind != "f":
            raise DTypeError(f"TwoLayerNet: dtype {dtype} is not floating; float32 or float64 is.")
        rng = np.random.default_rng(rng)
        W1 = weight_init_std * rng.standard_normal((input_size, hidden_size))
        W2 = weight_init_std * rng.standard_normal((hidden_size, output_size))
        self.params = {
            "W1": W1.astype(dtype),
            "b1": np.zeros(hidden_size, dtype),
            "W2": W2.astype(dtype),
            "b2": np.zeros(output_size, dtype),
        }
        self.layers: dict[str, Any] = {
            "Affine1": Affine(self.params["W1"], self.params["b1"]),
            "Relu1": Relu(),
            "Affine2": Affine(self.params["W2"], self.params["b2"]),
        }
        self.last_layer = SoftmaxWithLoss()
        self.mistake = mistake

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return the logits of one sample or of a batch."""
        for layer in self.layers.values():
            x = layer.forward(x)
        return x

    def loss(self, x: np.ndarray, t: Any) -> Any:
        """Return the mean cross-entropy of the predictions for `x` against `t`."""
        return self.last_layer.forward(self.predict(x), t)

    def accuracy(self, x: np.ndarray, t: Any) -> float:
        """Return the share of `x` whose largest logit is at the class of `t`."""
        y = self.predict(x)
        return float(np.mean(y.argmax(axis=-1) == _one_hot(t, y).argmax(axis=-1)))

    def gradient(self, x: np.ndarray, t: Any) -> dict[str, np.ndarray]:
        """Return the loss's gradient for each of `params`, as a dict of ndarrays."""
        self.loss(x, t)
        dout = self.last_layer.backward()
        first, *rest = self.layers.values()
        for layer in reversed(rest):
            dout = layer.backward(dout)
        # The gradient of the images would cost as much as W1's, and nobody asks for it.
        first.parameter_gradients(dout)

        second = self.layers["Affine2"]
        return {
            "W1": first.dW,
            "b1": first.dW if self.mistake else first.db,
            "W2": second.dW,
            "b2": second.dW if self.mistake else second.db,
        }


def _one_hot(t: Any, y: np.ndarray) -> np.ndarray:
    """Return the targets `t`, one-hot or class indices, as rows of `y`'s shape and dtype."""
    t = np.asarray(t)
    if t.shape == y.shape:
        return t.astype(y.dtype, copy=False)
    if t.shape != y.shape[:-1]:
        raise ShapeError(
            f"targets: shape {t.shape} does not fit predictions of shape {y.shape}: "
            f"give one-hot rows of shape {y.shape} or class indices of shape {y.shape[:-1]}."
        )
    if t.dtype.kind not in "iu":
        raise DTypeError(f"targets: class indices are integers, these are {t.dtype}.")
    classes = y.shape[-1]
    outside = t[(t < 0) | (t >= classes)]
    if outside.size:
        raise BoundsError(f"targets: class index {outside[0]} is not between 0 and {classes - 1}.")
    return (t[..., np.newaxis] == np.arange(classes)).astype(y.dtype)


def _batch_size(y: np.ndarray) -> int:
    return len(y) if y.ndim > 1 else 1
