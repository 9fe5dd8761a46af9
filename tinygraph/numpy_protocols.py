"""What NumPy's own functions do with a Tensor (NEP 13 and 18): explicit tables, no guessing."""

from collections.abc import Callable
from typing import Any

import numpy

from . import namespace
from .errors import DTypeError
from .rules import RULES, Kind
from .tape import MODES
from .tensor import Tensor

UFUNCS: dict[Any, Callable] = {
    getattr(numpy, name): getattr(namespace, namespace.PUBLIC_NAMES.get(name, name))
    for name, rule in RULES.items()
    if isinstance(getattr(numpy, name, None), numpy.ufunc)
    and rule.kind in (Kind.ELEMENTWISE, Kind.BILINEAR)
}

FUNCTIONS: dict[Any, Callable] = {
    numpy.sum: lambda a, axis=None, *, keepdims=False: namespace.sum(
        a, axis=axis, keepdims=keepdims
    ),
    numpy.mean: lambda a, axis=None, *, keepdims=False: namespace.mean(
        a, axis=axis, keepdims=keepdims
    ),
    numpy.max: lambda a, axis=None, *, keepdims=False: namespace.max(
        a, axis=axis, keepdims=keepdims
    ),
    numpy.min: lambda a, axis=None, *, keepdims=False: namespace.min(
        a, axis=axis, keepdims=keepdims
    ),
    numpy.argmax: lambda a, axis=None, *, keepdims=False: namespace.argmax(
        a, axis=axis, keepdims=keepdims
    ),
    numpy.argmin: lambda a, axis=None, *, keepdims=False: namespace.argmin(
        a, axis=axis, keepdims=keepdims
    ),
    numpy.reshape: namespace.reshape,
    numpy.ravel: lambda a: namespace.reshape(a, (-1,)),
    numpy.transpose: lambda a, axes=None: a.transpose() if axes is None else a.transpose(axes),
    numpy.swapaxes: lambda a, axis1, axis2: a.swapaxes(axis1, axis2),
    numpy.matrix_transpose: namespace.matrix_transpose,
    numpy.expand_dims: lambda a, axis: namespace.expand_dims(a, axis=axis),
    numpy.squeeze: lambda a, axis=None: a.squeeze(axis),
    numpy.broadcast_to: namespace.broadcast_to,
    numpy.concatenate: lambda arrays, axis=0: namespace.concat(arrays, axis=axis),
    numpy.stack: lambda arrays, axis=0: namespace.stack(arrays, axis=axis),
    numpy.where: namespace.where,
    numpy.astype: namespace.astype,
    numpy.copy: lambda a: a.copy(),
}

# These answer with something that has no gradient, so that the bare values will do.
ANSWERS = frozenset(
    {numpy.allclose, numpy.array_equal, numpy.isclose, numpy.shape, numpy.ndim, numpy.size}
)


def name_of(function: Any) -> str:
    """Return the name by which a user calls one of NumPy's functions."""
    return f"numpy.{getattr(function, '__name__', function)}"


def bare(value: Any) -> Any:
    """Replace Tensors by their values, in lists and tuples too."""
    if isinstance(value, Tensor):
        return value._data
    return type(value)(map(bare, value)) if isinstance(value, list | tuple) else value


def array_ufunc(self: Tensor, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
    """Apply a ufunc with a rule; say what to do where there is none."""
    function = UFUNCS.get(ufunc)
    out = options.pop("out", None)
    if method != "__call__" or options or function is None:
        what = name_of(ufunc) + ("" if method == "__call__" else f".{method}")
        given = f" with {', '.join(options)}=" if options else ""
        raise DTypeError(
            f"{what}{given} has no rule for a Tensor. Use .numpy() for values without a gradient."
        )
    if out is None:
        return function(*inputs)
    if any(isinstance(one, Tensor) for one in out):
        raise DTypeError(f"{name_of(ufunc)}: out= a Tensor; its values cannot change in place.")
    if MODES.get().recording and any(isinstance(x, Tensor) and x.requires_grad for x in inputs):
        raise DTypeError(
            f"{name_of(ufunc)}: out= an array would lose the gradient. Write y = x + t in place of "
            "x += t, or use .numpy()."
        )
    return ufunc(*map(bare, inputs), out=out)


def array_function(self: Tensor, function: Any, types: Any, args: Any, options: Any) -> Any:
    """Apply one of NumPy's functions with a rule; say what to do where there is none."""
    if function in ANSWERS:
        return function(*map(bare, args), **{name: bare(one) for name, one in options.items()})
    ours = FUNCTIONS.get(function)
    if ours is None:
        raise DTypeError(
            f"{name_of(function)} has no rule for a Tensor. "
            "Use .numpy() for values without a gradient."
        )
    try:
        return ours(*args, **options)
    except TypeError as error:
        if isinstance(error, DTypeError) or "argument" not in str(error):
            raise
        raise DTypeError(f"{name_of(function)} of a Tensor: {error}") from None


Tensor.__array_ufunc__ = array_ufunc  # type: ignore[assignment]
Tensor.__array_function__ = array_function  # type: ignore[assignment]
