"""The book's network of two layers on recording Tensors."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from .layers import Affine, Layer, Relu
from .network import Network


class TwoLayerNet(Network):
    """Affine, Relu, Affine and SoftmaxWithLoss: the network of the book's chapter 5.

    Its gradients come from the recorded graph; no layer holds a backward formula.

    Parameters
    ----------
    input_size, hidden_size, output_size : int
        The widths of the layers.
    weight_init_std : float
        The standard deviation of the first weights, which are normally distributed around 0; the
        first offsets are 0.
    rng : None, int or numpy.random.Generator
        Where the first weights come from: a seed, a generator, or None for other ones each time.
    dtype : dtype
        The floating type of the parameters.

    Attributes
    ----------
    params : dict of Tensor
        W1, b1, W2 and b2, the one place of the weights: ``params["W1"] = array`` sets the values
        of the same Tensor, and ``params["W1"] -= step`` changes them.
    layers : dict of Layer
        Affine1, Relu1 and Affine2, in this order.
    last_layer : SoftmaxWithLoss
        The loss.

    Raises
    ------
    DTypeError
        If the dtype is not a floating one.

    Examples
    --------
    >>> import numpy as np
    >>> network = TwoLayerNet(784, 50, 10, rng=0)
    >>> x, t = np.ones((3, 784)), np.array([1, 2, 3])
    >>> network.predict(x).shape
    (3, 10)
    >>> grad = network.gradient(x, t)
    >>> {key: one.shape for key, one in grad.items()}
    {'W1': (784, 50), 'b1': (50,), 'W2': (50, 10), 'b2': (10,)}
    >>> before = network.loss(x, t).item()
    >>> for key in ("W1", "b1", "W2", "b2"):
    ...     network.params[key] -= 0.1 * grad[key]
    >>> network.loss(x, t).item() < before
    True
    """

    result_names: ClassVar = {"Relu1": "h"}  # so that its picture reads "h @ W2"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        weight_init_std: float = 0.01,
        *,
        rng: Any = None,
        dtype: Any = "float64",
    ):
        rng = np.random.default_rng(rng)
        first = {
            "W1": weight_init_std * rng.standard_normal((input_size, hidden_size)),
            "b1": np.zeros(hidden_size),
            "W2": weight_init_std * rng.standard_normal((hidden_size, output_size)),
            "b2": np.zeros(output_size),
        }
        super().__init__(first, dtype)

    def connect(self, params: Mapping[str, Any]) -> dict[str, Layer]:
        """Return the layers over parameters, by name and in order."""
        return {
            "Affine1": Affine(params["W1"], params["b1"]),
            "Relu1": Relu(),
            "Affine2": Affine(params["W2"], params["b2"]),
        }
