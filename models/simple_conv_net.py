"""The book's network of convolution and pooling on recording Tensors."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from tinygraph.errors import ArgumentError, ShapeError

from .layers import Affine, Convolution, Flatten, Layer, Pooling, Relu
from .network import Network

CONVOLUTION = {"filter_num": 30, "filter_size": 5, "pad": 0, "stride": 1}


class SimpleConvNet(Network):
    """Convolution, Relu, Pooling, Affine, Relu, Affine: the network of the book's chapter 7.

    Parameters
    ----------
    input_dim : (int, int, int)
        Channels, height and width of an image.
    conv_param : dict, optional
        Any of ``filter_num`` (30), ``filter_size`` (5), ``pad`` (0) and ``stride`` (1).
    hidden_size, output_size : int
        The widths of the two Affine layers.
    weight_init_std : float
        The standard deviation of the first weights; the first offsets are 0.
    rng : None, int or numpy.random.Generator
        Where the first weights come from: a seed, a generator, or None for other ones each time.
    dtype : dtype
        The floating type of the parameters.

    Attributes
    ----------
    params : dict of Tensor
        W1 and b1 of the convolution, W2, b2, W3 and b3 of the Affine layers: the one place of the
        weights.

    Raises
    ------
    ArgumentError
        If there is something else in `conv_param`.
    ShapeError
        If the filters do not fit into an image, or leave less than 2 × 2 for the pooling.

    Examples
    --------
    >>> import numpy as np
    >>> network = SimpleConvNet(rng=0)
    >>> network.predict(np.ones((3, 1, 28, 28))).shape
    (3, 10)
    >>> {name: one.shape for name, one in network.params.items() if name.startswith("W")}
    {'W1': (30, 1, 5, 5), 'W2': (4320, 100), 'W3': (100, 10)}
    """

    def __init__(
        self,
        input_dim: tuple[int, int, int] = (1, 28, 28),
        conv_param: Mapping[str, int] | None = None,
        hidden_size: int = 100,
        output_size: int = 10,
        weight_init_std: float = 0.01,
        *,
        rng: Any = None,
        dtype: Any = "float64",
    ):
        param = CONVOLUTION | dict(conv_param or {})
        if unknown := param.keys() - CONVOLUTION.keys():
            raise ArgumentError(
                f"SimpleConvNet: conv_param has {', '.join(sorted(unknown))}; "
                f"it may have {', '.join(CONVOLUTION)}."
            )
        filters, size, self.pad, self.stride = (param[name] for name in CONVOLUTION)
        channels, *sides = input_dim
        pooled = [((side - size + 2 * self.pad) // self.stride + 1) // 2 for side in sides]
        if min(pooled) < 1:
            raise ShapeError(
                f"SimpleConvNet: filters of {size} × {size} with pad={self.pad} and stride="
                f"{self.stride} leave too little of an image of shape {tuple(input_dim)}."
            )
        rng = np.random.default_rng(rng)
        shapes = {
            "1": (filters, channels, size, size),
            "2": (filters * pooled[0] * pooled[1], hidden_size),
            "3": (hidden_size, output_size),
        }
        first = {}
        for number, shape in shapes.items():
            first["W" + number] = weight_init_std * rng.standard_normal(shape)
            first["b" + number] = np.zeros(filters if number == "1" else shape[1])
        super().__init__(first, dtype)

    def connect(self, params: Mapping[str, Any]) -> dict[str, Layer]:
        """Return the layers over parameters, by name and in order."""
        return {
            "Conv1": Convolution(params["W1"], params["b1"], self.stride, self.pad),
            "Relu1": Relu(),
            "Pool1": Pooling(2, 2, stride=2),
            "Flatten": Flatten(),
            "Affine1": Affine(params["W2"], params["b2"]),
            "Relu2": Relu(),
            "Affine2": Affine(params["W3"], params["b3"]),
        }
