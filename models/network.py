"""What the networks share: named parameters, a loss, its gradients and a file of weights."""

import copy
from collections.abc import Callable, Mapping, MutableMapping
from os import PathLike
from typing import Any, ClassVar, Self

import numpy as np

import tinygraph as tg
from tinygraph.errors import ArgumentError, DTypeError, ShapeError
from tinygraph.rules.nn import check_cross_entropy
from tinygraph.tensor import Tensor, array_of
from tinygraph.testing import numerical_gradient
from tinygraph.transforms import gradients

from .layers import SoftmaxWithLoss


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


class Network:
    """Layers one after the other, with softmax and cross-entropy at their end.

    A network of its own says in ``__init__`` which parameters it has, and in `connect` the layers
    that use them.

    Parameters
    ----------
    first : dict of array
        The values that the parameters begin with.
    dtype : dtype
        The floating type of the parameters.

    Attributes
    ----------
    params : dict of Tensor
        The one place of the weights.
    layers : dict of Layer or function
        In the order in which they are applied; their names are scopes of the graph.
    last_layer : SoftmaxWithLoss
        The loss.

    Raises
    ------
    DTypeError
        If the dtype is not a floating one.

    Examples
    --------
    >>> import numpy as np
    >>> from tinygraph.models.layers import Affine
    >>> class Linear(Network):
    ...     def __init__(self, inputs, outputs):
    ...         super().__init__({"W": np.zeros((inputs, outputs)), "b": np.zeros(outputs)})
    ...
    ...     def connect(self, params):
    ...         return {"Affine": Affine(params["W"], params["b"])}
    >>> Linear(3, 2).gradient(np.ones((1, 3)), [1])["b"]
    array([ 0.5, -0.5])
    """

    # What a picture calls the results of some layers, by the layer's name.
    result_names: ClassVar[Mapping[str, str]] = {}

    def __init__(self, first: Mapping[str, Any], dtype: Any = "float64"):
        if np.dtype(dtype).kind != "f":
            raise DTypeError(
                f"{type(self).__name__}: dtype {np.dtype(dtype)} is not a real floating one; "
                "use float32 or float64."
            )
        self.params = Parameters(
            {
                name: tg.tensor(values, dtype=dtype, requires_grad=True)
                for name, values in first.items()
            }
        )
        self.layers = self.connect(self.params)
        self.last_layer = SoftmaxWithLoss()

    def connect(self, params: Mapping[str, Any]) -> Mapping[str, Callable[[Any], Tensor]]:
        """Return the layers over parameters, by name and in order; a function is one too."""
        raise NotImplementedError

    def over(self, params: Mapping[str, Any]) -> Self:
        """Return the same network over other parameters, which need not be Tensors.

        So a network becomes a function of its parameters, as transforms and compilers want it.

        Parameters
        ----------
        params : dict
            An array or Tensor for each name in `params`; they are not copied.

        Examples
        --------
        >>> import numpy as np
        >>> import tinygraph as tg
        >>> from tinygraph.models import MLP
        >>> network = MLP(4, [3], 2, rng=0)
        >>> loss = lambda params, x, t: network.over(params).loss(x, t)
        >>> arrays = {name: one.numpy() for name, one in network.params.items()}
        >>> tg.grad(loss)(arrays, np.ones((1, 4)), [1])["b2"].shape
        (2,)
        """
        other = copy.copy(self)
        other.params = dict(params)  # type: ignore[assignment]
        other.layers = other.connect(params)
        return other

    def predict(self, x: Any) -> Tensor:
        """Return the logits of one sample or of a batch.

        Parameters
        ----------
        x : Tensor or array_like, shape (inputs) or (N, inputs)
            Where a network takes images, (channels, height, width) is in the place of (inputs).

        Returns
        -------
        Tensor, shape (outputs,) or (N, outputs)

        Raises
        ------
        ShapeError
            If `x` does not fit the parameters.
        """
        for name, layer in self.layers.items():
            with tg.scope(name):
                x = layer(x)
            if name in self.result_names:
                x.name = self.result_names[name]
        return x

    def loss(self, x: Any, t: Any) -> Tensor:
        """Return the mean cross-entropy of the predictions for `x` against `t`.

        Parameters
        ----------
        x : Tensor or array_like
            As `predict` takes it.
        t : Tensor or array_like
            One-hot rows, of the shape of the logits, or class indices, of shape () or (N,).

        Returns
        -------
        Tensor, shape ()

        Raises
        ------
        ShapeError
            If `x` does not fit the parameters, or `t` the predictions.
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
