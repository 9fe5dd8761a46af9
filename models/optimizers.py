"""How parameters change by their gradients: the book's SGD, Momentum and Adam.

They use arithmetic alone, so that they work on arrays of any library, recorded and compiled too.
"""

from collections.abc import Mapping
from typing import Any

import tinygraph as tg

from .network import Parameters

Arrays = Mapping[str, Any]


class SGD:
    """Stochastic gradient descent: a step against the gradient, for each parameter.

    Parameters
    ----------
    lr : float
        The learning rate, by which a gradient is multiplied.

    Attributes
    ----------
    state : dict of array
        What `update` keeps from step to step; empty before the first.

    Examples
    --------
    >>> from tinygraph.models import MLP
    >>> network = MLP(2, [], 2, weight_init_std=0.0)
    >>> optimizer = SGD(lr=0.5)
    >>> optimizer.update(network.params, network.gradient([1.0, 0.0], 1))
    >>> network.params["b1"].tolist()
    [-0.25, 0.25]
    """

    def __init__(self, lr: float = 0.01):
        self.lr = lr
        self.state: dict[str, Any] = {}

    def update(self, params: Parameters, grads: Arrays) -> None:
        """Set the values of parameters to those after a step.

        Parameters
        ----------
        params : dict of Tensor
            A network's.
        grads : dict of array
            The gradient of the loss for each of them.
        """
        with tg.no_grad():
            before = {name: tensor.detach() for name, tensor in params.items()}
            changed, self.state = self.step(before, grads, self.state or self.start(before))
            for name, values in changed.items():
                params[name] = values

    def start(self, params: Arrays) -> dict[str, Any]:
        """Return the state before the first step."""
        return {}

    def step(self, params: Arrays, grads: Arrays, state: Arrays) -> tuple[dict, dict]:
        """Return parameters and state after a step, and change nothing: to be compiled.

        Parameters
        ----------
        params, grads : dict of array
            Arrays or Tensors, under the same names.
        state : dict of array
            From `start`, or from the step before.
        """
        return {name: one - self.lr * grads[name] for name, one in params.items()}, {}


class Momentum(SGD):
    """A step along a speed, which keeps a share of itself and gains by the gradient.

    Parameters
    ----------
    lr : float
        The learning rate.
    momentum : float
        The share of the speed that is left after a step.
    """

    def __init__(self, lr: float = 0.01, momentum: float = 0.9):
        super().__init__(lr)
        self.momentum = momentum

    def start(self, params: Arrays) -> dict[str, Any]:
        """Return a speed of 0 for each parameter."""
        return {name: 0 * one for name, one in params.items()}

    def step(self, params: Arrays, grads: Arrays, state: Arrays) -> tuple[dict, dict]:
        """Return parameters and speeds after a step."""
        speeds = {name: self.momentum * v - self.lr * grads[name] for name, v in state.items()}
        return {name: one + speeds[name] for name, one in params.items()}, speeds


class Adam(SGD):
    """A step of the size of the learning rate, against the mean of the last gradients.

    D. P. Kingma and J. Ba, Adam: A Method for Stochastic Optimization (2015), algorithm 1.

    Parameters
    ----------
    lr : float
        The learning rate.
    beta1, beta2 : float
        The share of the means of gradients, and of their squares, that is left after a step.
    eps : float
        What is added to the root of the mean square, against a division by 0.
    """

    def __init__(
        self, lr: float = 0.001, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8
    ):
        super().__init__(lr)
        self.beta1, self.beta2, self.eps = beta1, beta2, eps

    def start(self, params: Arrays) -> dict[str, Any]:
        """Return means of 0, and the same means of ones, in the dtype of each parameter."""
        zeros = {f"{mean}:{name}": 0 * one for name, one in params.items() for mean in ("m", "v")}
        return zeros | {f"ones of {name}": zero.sum() for name, zero in zeros.items()}

    def step(self, params: Arrays, grads: Arrays, state: Arrays) -> tuple[dict, dict]:
        """Return parameters and means after a step."""

        def mean(share: float, name: str, value: Any) -> Any:
            new[name] = share * state[name] + (1 - share) * value
            return new[name]

        def unbiased(share: float, name: str, value: Any) -> Any:
            # The mean of ones is 1 − βⁿ, and keeps its digits where that would not.
            return mean(share, name, value) / mean(share, f"ones of {name}", 1.0)

        new: dict[str, Any] = {}
        changed = {}
        for name, one in params.items():
            m = unbiased(self.beta1, f"m:{name}", grads[name])
            v = unbiased(self.beta2, f"v:{name}", grads[name] * grads[name])
            changed[name] = one - self.lr * m / (v**0.5 + self.eps)
        return changed, new
