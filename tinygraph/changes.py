"""What looks like a change in place: new values, and where recorded a new node, for a Tensor."""

from functools import cache
from typing import Any

import numpy

from .errors import DTypeError, GraphError, ShapeError
from .modes import MODES, modes
from .tensor import Tensor, Wrapped


class Changed:
    """The place of a view that was changed: the Tensor it was taken from waits for it there."""

    __slots__ = ("index",)

    def __init__(self, index: Any):
        self.index = index

    def is_at(self, index: Any) -> bool:
        """Say whether an index is that of the view."""
        # Python 3.12 and later make the slice of x[a:b] += v twice, once to read and once to write.
        return index is self.index or (type(index) is slice and self.index == index)


@cache
def outdated(kind: Any) -> type:
    """Return the class of a Tensor while a view of it has values that it lacks."""

    def refuse(self: Any) -> Any:
        raise GraphError(
            "a view of this Tensor was changed in place, and this one would not change with it. "
            "Write x[i] += v for both, or take a .copy() of the view first."
        )

    refusing = property(refuse)
    return type("Tensor", (kind,), {"__slots__": (), "_data": refusing, "_inside": refusing})


def setitem(self: Tensor, index: Any, value: Any) -> None:
    """Give this Tensor other values at the places that an index selects."""
    place = getattr(value, "_place", None)
    if isinstance(place, Changed) and place.is_at(index) and value._source[0]() is self:
        value._place = index  # x[i] += v: Python puts the changed view back
        self.__class__ = type(self).__base__
    self._assign("x[i] = v", lambda x, v: x._namespace.setitem(x, v, index), value)


def assign(self: Tensor, symbol: str, operator: Any, other: Any) -> Tensor:
    """Give this Tensor the result of an operator; let the one that it is a view of wait for it."""
    alive = [one for one in getattr(self, "_source", ()) if one() is not None]
    if not alive:
        return replaced(self, symbol, operator, other)
    place, whole = getattr(self, "_place", None), self._source[0]()
    if place is None or whole is None or len(alive) > 1 or symbol == "x[i] = v":
        raise GraphError(
            f"{symbol}: {self._label()} is a view of another Tensor, which would not change "
            "with it. Change the Tensor that it was taken from, or take a .copy() first."
        )
    result = replaced(self, symbol, operator, other)
    if result is self and not isinstance(place, Changed):
        self._place = Changed(place)
        whole.__class__ = outdated(whole.__class__)
    return result


def replaced(self: Any, symbol: str, operator: Any, other: Any) -> Tensor:
    """Give this Tensor the result of an operator, of the same shape and dtype."""
    leaf = self._node is None or self._node.plan is None
    recording = recorded = MODES.get().recording
    if self.requires_grad and leaf and recording:
        if isinstance(other, Wrapped) or (isinstance(other, Tensor) and other.requires_grad):
            raise GraphError(
                f"{symbol}: {self._label()} is a leaf that requires a gradient, and the right "
                "side is recorded: its gradient would have nowhere to go. Update it under "
                "tg.no_grad(), or write x = x + y."
            )
        recorded = False
    if recording and not recorded:
        with modes(recording=False):
            result = operator(self, other)
    else:
        result = operator(self, other)
    if result is NotImplemented:
        return result
    if result.shape != self.shape:
        raise ShapeError(f"{symbol}: {self.shape} cannot hold a result of {result.shape}.")
    if result.dtype != self.dtype:
        if not numpy.can_cast(result.dtype, self.dtype, "same_kind"):
            raise DTypeError(f"{symbol}: {self.dtype} cannot hold a result of {result.dtype}.")
        result = result.astype(self.dtype)
    if leaf and result._node is None and type(result) is Tensor:
        self._become(result._data)
        return self
    self.__class__, self._data, self._node, self._inside = (
        type(result), result._data, result._node, getattr(result, "_inside", None),
    )  # fmt: skip
    return self


Tensor._assign = assign  # type: ignore[attr-defined]
Tensor.__setitem__ = setitem  # type: ignore[index]
