"""ndarray's methods on a Tensor, with NumPy's arguments."""

import warnings
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any

import numpy

from . import namespace
from .errors import ArgumentError, BoundsError, DTypeError, TinygraphError
from .modes import MODES
from .rules import RULES, Rule
from .tensor import Tensor, Wrapped, array_of, innermost, named

VERSIONS = ("2021.12", "2022.12", "2023.12", "2024.12", "2025.12")  # of the array API standard


def reshape(self: Tensor, *shape: Any, order: str = "C") -> Tensor:
    """Return the entries in another shape; one length may be −1.

    They are read and put with the last index changing fastest, or with order "F" the first; with
    "A" as they lie in memory.
    """
    lengths = namespace.shape_of(shape[0] if len(shape) == 1 else shape)
    if order == "A":
        order = "F" if array_of(self).flags.fnc else "C"
    if order == "F":
        return transpose(namespace.reshape(transpose(self), lengths[::-1]))
    if order != "C":
        raise ArgumentError(f'reshape: order {order!r} is not "C", "F" or "A".')
    return namespace.reshape(self, lengths)


def ravel(self: Tensor, order: str = "C") -> Tensor:
    """Return the entries along one axis, with order "F" the first index changing fastest."""
    return reshape(self, -1, order=order)


def flatten(self: Tensor, order: str = "C") -> Tensor:
    """Return the entries along one axis, in memory of their own."""
    return ravel(self, order).copy()


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


def copy(self: Tensor, order: str = "C") -> Tensor:
    """Return the same values, recorded, as a Tensor that is no view."""
    bits = self.dtype.kind == "b"  # which have no sign
    return namespace.logical_or(self, False) if bits else namespace.positive(self)


def astype(self: Tensor, dtype: Any, *, copy: bool = True) -> Tensor:
    """Return the values in another dtype; without copy, a Tensor that has it as it is."""
    return self if not copy and self.dtype == dtype else namespace.astype(self, dtype)


def getitem(self: Tensor, index: Any) -> Tensor:
    """Return the entries that an index selects."""
    parts = index if isinstance(index, tuple) else (index,)
    for part in parts:
        if isinstance(part, Wrapped):
            return innermost((self, *parts)).select(self, parts)
    found = namespace.getitem(self, index)
    found._place = index
    return found


def _repr_mimebundle_(self: Tensor, **options: Any) -> dict[str, str]:
    """Show a notebook the graph of a result beside its values, if there is a program to draw it."""
    bundle = {"text/plain": repr(self)}
    if type(self) is Tensor and self._node is not None and self._node.plan is not None:
        with suppress(TinygraphError):
            bundle |= import_module("tinygraph.viz").to_dot(self)._repr_mimebundle_()
    return bundle


def to_device(self: Tensor, device: Any, /, *, stream: Any = None) -> Tensor:
    """Return the array on a device, of which NumPy has one."""
    return namespace.asarray(self, device=device)


def dlpack(
    self: Tensor,
    /,
    *,
    stream: Any = None,
    max_version: Any = None,
    dl_device: Any = None,
    copy: bool | None = None,
) -> Any:
    """Export the values, without a gradient, for another library.

    They are a copy, since who takes them may write to them, unless `copy` is False.
    """
    if isinstance(self, Wrapped):
        raise DTypeError(
            f"__dlpack__ of {self._label()} would lose what jvp or vmap follows. Use .numpy() for "
            "the values."
        )
    if self.requires_grad and MODES.get().recording:
        warnings.warn(
            f"__dlpack__: {self._label()} leaves the graph here; its gradient will not flow back "
            "from the other library. Use .detach() to say so.",
            stacklevel=2,
        )
    values = self.data if copy is False else self.numpy()
    return values.__dlpack__(stream=stream, max_version=max_version, dl_device=dl_device)


def dlpack_device(self: Tensor, /) -> tuple:
    """Return where the values are, as DLPack numbers it."""
    return self._data.__dlpack_device__()


def array_namespace(self: Tensor, /, *, api_version: str | None = None) -> Any:
    """Return the module of functions over Tensors."""
    if api_version not in (None, *VERSIONS):
        raise ArgumentError(
            f"__array_namespace__: version {api_version!r} of the array API standard is unknown; "
            f"there are {', '.join(VERSIONS)}."
        )
    return import_module(__package__)


def reduction(rule: Rule) -> Callable:
    """Make the method of a reduction, whose first argument is the axis."""

    def method(self: Tensor, axis: Any = None, *others: Any, **options: Any) -> Tensor:
        if others or options.keys() - rule.parameters.keys():
            return getattr(numpy, rule.name)(self, axis, *others, **options)
        return getattr(namespace, rule.name)(self, axis=axis, **options)

    method.__doc__ = rule.doc
    return named(method, rule)


def numpys(name: str) -> Callable:
    """Make the method that is NumPy's function of the same name, which knows what to do."""
    function = getattr(numpy, name)

    def method(self: Tensor, *args: Any, **options: Any) -> Any:
        return function(self, *args, **options)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"Return what `numpy.{name}` returns."
    return method


def sort(self: Tensor, axis: int = -1, **options: Any) -> None:
    """Sort the entries along an axis, in place: this Tensor then has them in order."""
    self._assign("x.sort()", lambda x, _: numpy.sort(x, axis, **options), None)


for _method in (
    _repr_mimebundle_, astype, copy, flatten, ravel, reshape, sort, squeeze, swapaxes, to_device,
    transpose,
):  # fmt: skip
    setattr(Tensor, _method.__name__, _method)
for _name in ("imag", "real"):
    setattr(Tensor, _name, property(getattr(namespace, _name)))
Tensor.__copy__ = copy  # type: ignore[attr-defined]
Tensor.__getitem__ = getitem
Tensor.__array_namespace__ = array_namespace  # type: ignore[attr-defined]
Tensor.__dlpack__ = dlpack  # type: ignore[attr-defined]
Tensor.__dlpack_device__ = dlpack_device  # type: ignore[attr-defined]
for _name in ("sum", "mean", "max", "min", "argmax", "argmin"):
    setattr(Tensor, _name, reduction(RULES[_name]))
for _name in (
    "all", "any", "argsort", "clip", "conj", "conjugate", "cumprod", "cumsum", "diagonal", "dot",
    "nonzero", "prod", "repeat", "round", "std", "take", "trace", "var",
):  # fmt: skip
    setattr(Tensor, _name, numpys(_name))
