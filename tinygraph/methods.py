"""ndarray's methods on a Tensor, with NumPy's arguments."""

from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any

from . import namespace
from .errors import BoundsError, TinygraphError
from .rules import RULES, Rule
from .tensor import Tensor, named


def reshape(self: Tensor, *shape: Any) -> Tensor:
    """Return the entries in another shape; one length may be −1."""
    return namespace.reshape(self, shape[0] if len(shape) == 1 else shape)


def ravel(self: Tensor) -> Tensor:
    """Return the entries along one axis."""
    return namespace.reshape(self, (-1,))


def squeeze(self: Tensor, axis: Any = None) -> Tensor:
    """Return the array without axes of length 1: those given, or all."""
    if axis is None:
        axis = tuple(i for i, n in enumerate(self.shape) if n == 1)
    return namespace.squeeze(self, axis)


def transpose(self: Tensor, *axes: Any) -> Tensor:
    """Return the axes in another order, by default reversed."""
    if len(axes) == 1:
        (axes,) = axes
    return namespace.permute_dims(self, axes or range(self.ndim)[::-1])


def swapaxes(self: Tensor, axis1: int, axis2: int) -> Tensor:
    """Return the array with two axes exchanged."""
    axes = list(range(self.ndim))
    try:
        axes[axis1], axes[axis2] = axes[axis2], axes[axis1]
    except IndexError:
        raise BoundsError(
            f"swapaxes: axes {axis1} and {axis2} are out of range for shape {self.shape}."
        ) from None
    return transpose(self, axes)


def copy(self: Tensor) -> Tensor:
    """Return the same values, recorded, as a Tensor that is no view."""
    return namespace.positive(self)


def astype(self: Tensor, dtype: Any) -> Tensor:
    """Return the values in another dtype."""
    return namespace.astype(self, dtype)


def getitem(self: Tensor, index: Any) -> Tensor:
    """Return the entries that an index selects."""
    return namespace.getitem(self, index)


def _repr_mimebundle_(self: Tensor, **options: Any) -> dict[str, str]:
    """Show a notebook the graph of a result beside its values, if there is a program to draw it."""
    bundle = {"text/plain": repr(self)}
    if type(self) is Tensor and self._node is not None and self._node.plan is not None:
        with suppress(TinygraphError):
            bundle |= import_module("tinygraph.viz").to_dot(self)._repr_mimebundle_()
    return bundle


def reduction(rule: Rule) -> Callable:
    """Make the method of a reduction, whose first argument is the axis."""

    def method(self: Tensor, axis: Any = None, *, keepdims: bool = False) -> Tensor:
        return getattr(namespace, rule.name)(self, axis=axis, keepdims=keepdims)

    method.__doc__ = rule.doc
    return named(method, rule)


for _method in (_repr_mimebundle_, astype, copy, ravel, reshape, squeeze, swapaxes, transpose):
    setattr(Tensor, _method.__name__, _method)
Tensor.flatten = ravel  # type: ignore[attr-defined]
Tensor.__copy__ = copy  # type: ignore[attr-defined]
Tensor.__getitem__ = getitem
for _name in ("sum", "mean", "max", "min", "argmax", "argmin"):
    setattr(Tensor, _name, reduction(RULES[_name]))
