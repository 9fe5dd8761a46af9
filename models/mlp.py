"""A network of any number of layers."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from .layers import Affine, Layer, Relu
from .network import Network


class MLP(Network):
    """Affine and Relu in turns, and SoftmaxWithLoss: the book's MultiLayerNet.

    Parameters
    ----------
    input_size : int
        The number of inputs.
    hidden_sizes : sequence of int
        The widths of the hidden layers.
    output_size : int
        The number of classes.
    weight_init_std : float, optional
        The standard deviation of the first weights. By default √(2 / inputs of the layer), which
        keeps the size of the numbers from layer to layer: K. He and others, Delving Deep into
        Rectifiers (2015).
    rng : None, int or numpy.random.Generator
        Where the first weights come from: a seed, a generator, or None for other ones each time.
    dtype : dtype
        The floating type of the parameters.

    Attributes
    ----------
    params : dict of Tensor
        W1, b1, W2, b2 and so on: the one place of the weights.

    Examples
    --------
    >>> import numpy as np
    >>> network = MLP(784, [100, 50], 10, rng=0)
    >>> network.predict(np.ones((3, 784))).shape
    (3, 10)
    >>> [*network.layers]
    ['Affine1', 'Relu1', 'Affine2', 'Relu2', 'Affine3']
    """

    def __init__(
        self,
        input_size: int,
        hidden_sizes: Sequence[int],
        output_size: int,
        weight_init_std: float | None = None,
        *,
        rng: Any = None,
        dtype: Any = "float64",
    ):
        rng = np.random.default_rng(rng)
        first: dict[str, np.ndarray] = {}
        widths = pairwise([input_size, *hidden_sizes, output_size])
        for number, (inputs, outputs) in enumerate(widths, start=1):
            std = np.sqrt(2 / inputs) if weight_init_std is None else weight_init_std
            first[f"W{number}"] = std * rng.standard_normal((inputs, outputs))
            first[f"b{number}"] = np.zeros(outputs)
        super().__init__(first, dtype)

    def connect(self, params: Mapping[str, Any]) -> dict[str, Layer]:
        """Return the layers over parameters, by name and in order."""
        layers: dict[str, Layer] = {}
        count = len(params) // 2
        for number in range(1, count + 1):
            layers[f"Affine{number}"] = Affine(params[f"W{number}"], params[f"b{number}"])
            if number < count:
                layers[f"Relu{number}"] = Relu()
        return layers
