"""The book's network of two layers on recording Tensors."""

from collections.abc import MutableMapping
from os import PathLike
from typing import Any

import numpy as np

import tinygraph as tg
from tinygraph.errors import ArgumentError, DTypeError, ShapeError
from tinygraph.rules.nn import check_cross_entropy
from tinygraph.tensor import Tensor, array_of
from tinygraph.testing import numerical_gradient
from tinygraph.transforms import gradients

from .layers import Affine, Relu, SoftmaxWithLoss


class Parameters(dict[str, Tensor]):
    """Named Tensors, each the one place of its values.

    Assigning to a name sets the values of the Tensor that is there, cast to its dtype, so that a
    layer that holds this Tensor sees them. Names are neither added nor removed.

    Examples
    --------
    >>> import tinygraph as tg
    >>> b = tg.tensor([0.0, 0.0], requires_grad=True)
    >>> params = Parameters({"b": b})
    >>> params["b"] = [1, 2]
    >>> params["b"] -= [0.5, 0.5]
    >>> b
    Tensor([0.5, 1.5], requires_grad=True, name='b')
    """

    def __init__(self, tensors: dict[str, Tensor]):
        super().__init__(tensors)
        for name, tensor in tensors.items():
            tensor.name = name

    def __setitem__(self, name: str, values: Any) -> None:
        tensor = self.get(name)
        if tensor is None:
            raise ArgumentError(f"params: there is no {name!r}, only {', '.join(self)}.")
        if values is tensor:  # what params[name] -= ... ends with: it has its new values already
            return
        array = array_of(values)
        if array.shape != tensor.shape:
            raise ShapeError(f"params: {name!r} has shape {tensor.shape}, not {array.shape}.")
        if not np.can_cast(array.dtype, tensor.dtype, "same_kind"):
            raise DTypeError(f"params: {name!r} is {tensor.dtype} and cannot hold {array.dtype}.")
        tensor.data = array.astype(tensor.dtype)

    def __delitem__(self, name: str) -> None:
        raise ArgumentError(f"params: {name!r} cannot be removed: layers use it.")

    # dict's own methods would go past the two above.
    update, setdefault = MutableMapping.update, MutableMapping.setdefault
    pop, popitem, clear = MutableMapping.pop, MutableMapping.popitem, MutableMapping.clear

    def __ior__(self, other: Any) -> "Parameters":  # type: ignore[misc, override]
        self.update(other)
        return self

    def __reduce__(self) -> tuple[Any, ...]:  # a copy begins with its Tensors, not empty
        return Parameters, (dict(self),)


class TwoLayerNet:
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
        if np.dtype(dtype).kind != "f":
            raise DTypeError(
                f"TwoLayerNet: dtype {np.dtype(dtype)} is not a real floating one; "
                "use float32 or float64."
            )
        rng = np.random.default_rng(rng)
        first = {
            "W1": weight_init_std * rng.standard_normal((input_size, hidden_size)),
            "b1": np.zeros(hidden_size),
            "W2": weight_init_std * rng.standard_normal((hidden_size, output_size)),
            "b2": np.zeros(output_size),
        }
        self.params = Parameters(
            {
                name: tg.tensor(values, dtype=dtype, requires_grad=True)
                for name, values in first.items()
            }
        )
        self.layers = {
            "Affine1": Affine(self.params["W1"], self.params["b1"]),
            "Relu1": Relu(),
            "Affine2": Affine(self.params["W2"], self.params["b2"]),
        }
        self.last_layer = SoftmaxWithLoss()

    def predict(self, x: Any) -> Tensor:
        """Return the logits of one sample or of a batch.

        Parameters
        ----------
        x : Tensor or array_like, shape (inputs,) or (N, inputs)

        Returns
        -------
        Tensor, shape (outputs,) or (N, outputs)

        Raises
        ------
        ShapeError
            If `x` does not fit W1.
        """
        for name, layer in self.layers.items():
            with tg.scope(name):
                x = layer.forward(x)
            if name == "Relu1":
                x.name = "h"  # so that its picture reads "h @ W2"
        return x

    def loss(self, x: Any, t: Any) -> Tensor:
        """Return the mean cross-entropy of the predictions for `x` against `t`.

        Parameters
        ----------
        x : Tensor or array_like, shape (inputs,) or (N, inputs)
        t : Tensor or array_like
            One-hot rows, of the shape of the logits, or class indices, of shape () or (N,).

        Returns
        -------
        Tensor, shape ()

        Raises
        ------
        ShapeError
            If `x` does not fit W1, or `t` the predictions.
        BoundsError
            If a class index is out of range.
        DTypeError
            If class indices are not integers.
        """
        y = self.predict(x)
        with tg.scope("SoftmaxWithLoss"):
            return self.last_layer.forward(y, t)

    def accuracy(self, x: Any, t: Any) -> float:
        """Return the share of `x` whose largest logit is at the class of `t`.

        Takes the same arguments as `loss` and raises the same errors.
        """
        with tg.no_grad():
            y = self.predict(x).numpy()
        t = array_of(t)
        check_cross_entropy((y, t), {"axis": -1, "reduction": "mean"})
        if t.shape == y.shape:
            t = t.argmax(axis=-1)
        return float(np.mean(y.argmax(axis=-1) == t))

    def gradient(self, x: Any, t: Any) -> dict[str, np.ndarray]:
        """Return the gradient of the loss for each of `params`, from the recorded graph.

        Takes the same arguments as `loss` and raises the same errors. No ``.grad`` is read or
        changed.
        """
        with tg.enable_grad():
            loss = self.loss(x, t)
        return dict(zip(self.params, gradients(loss, self.params.values()), strict=True))

    def numerical_gradient(self, x: Any, t: Any) -> dict[str, np.ndarray]:
        """Return the same as `gradient`, from differences of the loss: slow, to check it with.

        The values of the parameters are changed on the way, and restored. No ``.grad`` is read or
        changed.
        """
        with tg.no_grad():
            return {
                key: numerical_gradient(lambda W: self.loss(x, t), self.params[key])
                for key in self.params
            }

    def save(self, path: str | PathLike[str]) -> None:
        """Save `params` into a file, as `tinygraph.save` does and with its errors."""
        tg.save(path, self.params)

    def load(self, path: str | PathLike[str]) -> None:
        """Set the values of `params` to those in a file: all of them, or none.

        Parameters
        ----------
        path : path
            A file that `save` wrote, of a network of the same sizes and dtype.

        Raises
        ------
        ArgumentError
            If a name is missing there, or is none of `params`.
        ShapeError, DTypeError
            If a parameter has another shape or dtype there.
        FileError
            If the file cannot be read or is damaged.
        """
        loaded = tg.load(path)
        for name, mine in self.params.items():
            if name not in loaded:
                raise ArgumentError(f"load: {str(path)!r} has no {name!r}, only {[*loaded]}.")
            for what, error in (("shape", ShapeError), ("dtype", DTypeError)):
                here, there = getattr(mine, what), getattr(loaded[name], what)
                if here != there:
                    raise error(f"load: {name!r} has {what} {there} in {str(path)!r}, here {here}.")
        for name in loaded:
            if name not in self.params:
                raise ArgumentError(f"load: {str(path)!r} has {name!r} too, which is no parameter.")
        for name, one in loaded.items():
            self.params[name]._become(one._data)  # nothing is copied: nothing can fail midway
