"""A Tensor as something else: explicitly always, silently only where no gradient is lost."""

import dis
import math
import sys
from functools import lru_cache
from types import CodeType
from typing import Any

import numpy

from .engines import Foreign
from .errors import ArgumentError, DTypeError, GraphError, ShapeError
from .modes import MODES
from .tape import describe
from .tensor import Tensor, Wrapped, wrap

# Who computes with the number, or puts it into an array: what comes of that has no gradient.
TAKERS = {*vars(math), "array[i] = t", "fill", "fromiter"}
# What these say of a number never has one.
TAKERS -= {"ceil", "floor", "isclose", "isfinite", "isinf", "isnan", "trunc"}


@lru_cache(1_000)
def taker(code: CodeType, place: int) -> str | None:
    """Return the name of the function that an instruction calls; "array[i] = t" of that one."""
    names: dict[Any, str] = {}  # what was loaded last for an expression that begins here
    for step in dis.get_instructions(code):
        line, _, column, _ = step.positions or (None,) * 4
        if step.offset == place:
            return "array[i] = t" if step.opname == "STORE_SUBSCR" else names.get((line, column))
        if isinstance(step.argval, str) and column is not None:
            names[line, column] = step.argval
    return None


def number(x: Tensor, convert: str) -> Any:
    """Return the only entry, unless a gradient of it is waited for."""
    if isinstance(x, Wrapped) or (x.requires_grad and MODES.get().transforming):
        raise GraphError(
            f"{convert}: a number would leave the function that is being differentiated "
            "without its gradient. Keep the Tensor, or say so with .item() or .detach()."
        )
    user = sys._getframe(1).f_back  # nothing but the conversion is between
    if x.requires_grad and MODES.get().recording and user is not None:
        name = taker(user.f_code, user.f_lasti)
        if name in TAKERS:
            raise GraphError(
                f"{name}: a number has no gradient, and {x._label()} would lose its own here. "
                "Say so with .item(), or use tinygraph's functions, and tg.stack for an array."
            )
    return x.item()


def place(x: Tensor) -> int:
    """Return the only entry, which is an integer, to count or to select by."""
    if x.ndim or x.dtype.kind not in "biu":
        raise DTypeError(f"index: {x._label()} of shape {x.shape} and {x.dtype} is no integer.")
    return x._values("index").__index__()


def as_array(x: Tensor, dtype: Any = None, copy: bool | None = None) -> numpy.ndarray:
    """Answer `numpy.asarray` where no gradient can be lost by it."""
    values = x.numpy()
    if isinstance(x, Wrapped) or (x.requires_grad and MODES.get().recording):
        raise DTypeError(
            f"numpy.asarray of {x._label()} would lose its gradient. Use .numpy() for the "
            "values, tg.asarray for a list of Tensors, tg.matmul(A, x) for A @ x with a sparse A."
        )
    if copy is False:
        raise ArgumentError("numpy.asarray: a Tensor gives a copy, which copy=False forbids.")
    return values if dtype is None else values.astype(dtype)


def reduced(x: Tensor) -> tuple:
    """Say how to make a copy of a leaf; refuse to copy a result."""
    if x._leaf().plan is not None:
        raise GraphError(
            f"copying {describe(x._node)} would take its graph along. Copy its values, "
            "by .detach(), or the leaves that it was made from."
        )
    return remade, (x._values("copy"), x.requires_grad, x.name, x.grad)


def remade(data: numpy.ndarray, requires_grad: bool, name: str | None, grad: Any) -> Tensor:
    """Make a leaf again, of what a copy or a pickle of it holds."""
    tensor = Tensor(data, requires_grad=requires_grad, name=name)
    if grad is not None:
        tensor.grad = grad
    return tensor


def derived(cls: type) -> None:
    """Refuse classes derived from Tensor by others."""
    if not cls.__module__.startswith(f"{__package__}."):
        raise DTypeError(
            f"{cls.__name__}: Tensor has no subclasses, which operations would not return. "
            "Keep a Tensor in an attribute of a class of your own."
        )


def mask(x: Tensor) -> Any:
    """Refuse what numpy.ma asks for, which would take the values and leave the gradient behind."""
    raise DTypeError(
        f"numpy.ma: {x._label()} does not go together with a masked array. Fill that first, by "
        ".filled(0), or take tg.where(mask, 0, x)."
    )


def truth(x: Tensor) -> bool:
    """Return whether the only entry is not zero."""
    if x.size != 1:
        raise ShapeError(
            f"bool: {x._label()} of shape {x.shape} is neither true nor false; "
            "use .numpy().any() or .numpy().all()."
        )
    return bool(x._values("bool"))


def formatted(x: Tensor, form: str) -> str:
    """Write the only entry as a format says, as in ``f"{loss:.3f}"``."""
    return format(x.item(), form) if form else str(x)


def contains(x: Tensor, entry: Any) -> bool:
    """Return whether a number is among the entries."""
    found = x == entry
    return isinstance(found, Tensor) and bool(found._values("in").any())


def fitted(x: Tensor, other: Tensor, what: str, whose: str) -> Tensor:
    """Return a gradient or a tangent in the dtype, and of the library, of what it belongs to."""
    if x.shape != other.shape:
        raise ShapeError(f"{what} has shape {x.shape}, {whose} has {other.shape}.")
    if not numpy.can_cast(x.dtype, other.dtype, "same_kind"):
        raise DTypeError(f"{what} is {x.dtype}, {whose} is {other.dtype}.")
    if type(other._data) is Foreign and type(x._data) is numpy.ndarray:
        x = x * wrap(other._data.engine.ones_like(other._data))
    return x if x.dtype == other.dtype else x.astype(other.dtype)


Tensor.__format__ = formatted  # type: ignore[method-assign, assignment]
Tensor.__contains__ = contains  # type: ignore[operator]
Tensor.__float__ = lambda self: float(number(self, "float"))  # type: ignore[attr-defined]
Tensor.__int__ = lambda self: int(number(self, "int"))  # type: ignore[attr-defined]
Tensor.__complex__ = lambda self: complex(number(self, "complex"))  # type: ignore[attr-defined]
Tensor.__array__ = as_array  # type: ignore[attr-defined]
Tensor.__reduce__ = reduced  # type: ignore[method-assign, assignment]
Tensor.__init_subclass__ = classmethod(derived)  # type: ignore[assignment]
Tensor.__index__ = place  # type: ignore[attr-defined]
Tensor._mask = property(mask)  # type: ignore[attr-defined]
Tensor.__bool__ = truth  # type: ignore[attr-defined]
Tensor._fitted = fitted  # type: ignore[attr-defined]
