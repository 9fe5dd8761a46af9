"""Functions over Tensors: the array API standard's names, made from the table of rules.

This module is also the namespace that rules are run on when a gradient is itself recorded.
"""

import sys
from collections.abc import Callable
from importlib import import_module
from operator import attrgetter, index
from typing import Any

from numpy import ndarray

from .arrays import ForeignError, number_dtype, shares
from .errors import ArgumentError, DTypeError, GraphError
from .rules import RULES, Parameter, Rule
from .tensor import Shared, Tensor, apply, array_of, binary, named, unary, wrap

CHAPTERS = ("fft", "linalg", "nn", "special")  # submodules

# ---------------------------------------------------------------- reading parameters


def index_of(key: Any) -> Any:
    """Return an index that nobody else can write to."""
    if isinstance(key, tuple):
        return tuple(map(index_of, key))
    if isinstance(key, slice):
        ends = key.start, key.stop, key.step
        arrays = [one for one in ends if hasattr(one, "shape")]
        return slice(*map(end_of, ends)) if arrays else key
    if isinstance(key, int | type(None) | type(Ellipsis)):
        return key
    try:
        array = array_of(key, copy=True)
    except ForeignError as error:
        raise DTypeError(f"getitem: an index is integers or bools. {error}") from None
    if isinstance(key, list) and not array.size:
        array = array.astype(int)
    if array.dtype.kind not in "biu":
        raise DTypeError(f"getitem: an index is integers or bools, this one is {array.dtype}.")
    whole = type(array) is ndarray and array.ndim == 0 and array.dtype.kind in "iu"
    return int(array) if whole else array


def end_of(end: Any) -> Any:
    """Return one end of a slice, or its step, as an int or None."""
    return end if end is None else index(end)


def is_several(x: Any) -> bool:
    """Whether something is a sequence of numbers, not one of them."""
    return hasattr(x, "__iter__") and getattr(x, "ndim", 1) > 0


def shape_of(shape: Any) -> tuple[int, ...]:
    """Return a shape as a tuple of ints; a single number is the shape of one axis."""
    try:
        return tuple(map(index, shape)) if is_several(shape) else (index(shape),)
    except TypeError:
        raise DTypeError(f"a shape or axes are an int or several, not {shape!r}.") from None


def axes_of(axis: Any) -> Any:
    """Return axes as None, an int or a tuple of ints."""
    if axis is None or type(axis) is int:
        return axis
    return shape_of(axis) if is_several(axis) else shape_of(axis)[0]


def dtype_of(dtype: Any) -> Any:
    """Return a dtype, or None for that of the operand."""
    return None if dtype is None else number_dtype(dtype)


def contraction_of(axes: Any) -> Any:
    """Return how many axes to sum over, or a pair of tuples of them."""
    return tuple(map(shape_of, axes)) if is_several(axes) else shape_of(axes)[0]


def number_of(x: Any) -> Any:
    """Return the number that an array of one entry holds, and anything else as it is."""
    return x.item() if hasattr(x, "item") else x


def cutoff_of(rtol: Any) -> Any:
    """Return a number, or numbers that nobody else can write to."""
    return rtol if rtol is None or type(rtol) is float else array_of(rtol, copy=True)


# How the parameters of an operation are read, so that nobody else can write to what it keeps.
READERS = dict.fromkeys(Parameter, number_of) | {
    Parameter.AXES: axes_of, Parameter.UNIT_AXES: axes_of, Parameter.PERMUTATION: shape_of,
    Parameter.SHAPE: shape_of, Parameter.WIDER_SHAPE: shape_of,
    Parameter.INDEXED_SHAPE: shape_of, Parameter.INDEX: index_of, Parameter.DTYPE: dtype_of,
    Parameter.NEW_AXES: axes_of,
    Parameter.CONTRACTION: contraction_of, Parameter.CUTOFF: cutoff_of,
    Parameter.AXIS: axes_of, Parameter.ONLY_AXIS: axes_of, Parameter.NEW_AXIS: axes_of,
    Parameter.DIAGONAL: axes_of, Parameter.POINTS: axes_of, Parameter.LENGTHS: shape_of,
    Parameter.WINDOW: contraction_of,
}  # fmt: skip


# ---------------------------------------------------------------- a function for each entry


def several(rule: Rule, arrays: Any) -> tuple:
    """Return the operands of a rule on a list of arrays."""
    operands = tuple(arrays)
    if not operands:
        raise ArgumentError(f"{rule.name}: there is nothing to join; give at least one array.")
    return operands


def compiled(rule: Rule, signature: str) -> Callable:
    """Make the function that applies a rule, with the signature that its entry has."""
    operands = "several(rule, arrays)" if rule.variadic else f"({', '.join(rule.operands)},)"
    settings = "".join(f"{name!r}: read_{name}({name}), " for name in rule.parameters)
    known: dict[str, Any] = {
        f"read_{name}": READERS[meaning] for name, meaning in rule.parameters.items()
    }
    known |= {"__name__": __name__, "apply": apply, "rule": rule, "several": several}
    return named(eval(f"lambda {signature}: apply(rule, {operands}, {{{settings}}})", known), rule)


def function_of(rule: Rule) -> Callable:
    """Make the public function of a rule."""
    alike = rule.check is None and (not rule.differentiable or None not in rule.vjp)
    if rule.broadcasts and alike and not rule.parameters and len(rule.operands) <= 2:
        function = (unary if len(rule.operands) == 1 else binary)(rule)
    else:
        function = compiled(rule, rule.signature)
    function.__doc__ = f"{rule.doc}\n\n{rule.convention}".strip()
    return function


def chapter(prefix: str, module: dict[str, Any]) -> tuple[Callable, Callable]:
    """Return the ``__getattr__`` and the ``__dir__`` of a module of functions made from the table.

    They are made when first asked for: importing the table stays quick, however long it grows.
    """

    def get(name: str) -> Any:
        if name in module:
            return module[name]
        if not prefix and name in (others := standard().NAMES):
            found = others[name]
        elif prefix + name in RULES:
            found = function_of(RULES[prefix + name])
        else:
            raise AttributeError(f"module {module['__name__']!r} has no attribute {name!r}")
        module[name] = found
        return found

    def names() -> list[str]:
        made = {one.removeprefix(prefix) for one in RULES if one.startswith(prefix)}
        others = {} if prefix else standard().NAMES
        return sorted({*module, *others, *(one for one in made if "." not in one)})

    return get, names


def standard() -> Any:
    """Return the module of those functions that have no entry in the table."""
    return import_module(".standard", __package__)


get, __dir__ = chapter("", globals())


def names() -> set[str]:
    """Return the names of all functions and constants outside of submodules."""
    return {*standard().NAMES, *(name for name in RULES if "." not in name)}


def __getattr__(name: str) -> Any:
    return import_module(f".{name}", __package__) if name in CHAPTERS else get(name)


def public(name: str) -> Callable:
    """Return the function of a rule by its name, as in "linalg.solve"."""
    return attrgetter(name)(sys.modules[__name__])


def matrix_transpose(x: Any, /) -> Tensor:
    """Return the matrices of the last two axes, transposed."""
    return asarray(x).mT


# ---------------------------------------------------------------- creation


def tensor(
    data: Any, *, dtype: Any = None, requires_grad: bool = False, name: str | None = None
) -> Tensor:
    """Return a Tensor of a copy of the data.

    Parameters
    ----------
    data : array_like
        Numbers in any form that NumPy reads.
    dtype : dtype, optional
        By default that of the data.
    requires_grad : bool
        Whether gradients with respect to it are wanted. Floating dtypes only.
    name : str, optional
        For error messages and pictures.

    Raises
    ------
    DTypeError
        If the data are not numbers, or a gradient of integers is asked for.

    Examples
    --------
    >>> import tinygraph as tg
    >>> tg.tensor([1.0, 2.0], requires_grad=True, name="x")
    Tensor([1., 2.], requires_grad=True, name='x')
    """
    return Tensor(data, dtype=dtype, requires_grad=requires_grad, name=name)


def asarray(
    obj: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None
) -> Tensor:
    """Return a Tensor of an object, sharing its memory where that can be done.

    Operations see what is written to the shared memory later; graphs recorded before do not.

    Parameters
    ----------
    obj : array_like or Tensor
        A Tensor is returned as it is, if nothing has to change; nested lists with recorded
        Tensors are recorded too.
    dtype : dtype, optional
        By default that of the object.
    device : {"cpu"}, optional
        NumPy has no other.
    copy : bool, optional
        True copies always (of a Tensor: recorded), False never, None where it must.

    Raises
    ------
    ArgumentError
        If `copy` is False and a copy is needed, or the device is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> import tinygraph as tg
    >>> values = np.zeros(2)
    >>> shared = tg.asarray(values)
    >>> values[0] = 1.0
    >>> shared
    Tensor([1., 0.])
    """
    if device not in (None, "cpu"):
        raise ArgumentError(f"asarray: device {device!r} is unknown; NumPy arrays are on 'cpu'.")
    if isinstance(obj, Tensor):
        result = obj if dtype in (None, obj.dtype) else obj.astype(dtype)
        if copy is False and result is not obj:
            raise ArgumentError(
                f"asarray: {obj.dtype} as {dtype} needs a copy, copy=False forbids."
            )
        return result.copy() if copy and result is obj else result
    try:
        given = array_of(obj)
    except (DTypeError, GraphError):  # one of them is recorded, or followed by a transform
        if not isinstance(obj, list | tuple):
            raise
        return asarray(Tensor._namespace.stack([*map(asarray, obj)]), dtype=dtype, copy=copy)
    if type(given) is not ndarray:  # another library's, or inside a function that is traced
        return asarray(wrap(given), dtype=dtype, copy=copy)
    array = given if dtype is None else given.astype(number_dtype(dtype), copy=False)
    shared = array.base is not None or (array is given and shares(array, obj))
    if copy is False and not shared:
        raise ArgumentError("asarray: this object needs a copy, which copy=False forbids.")
    result = wrap(array.copy() if copy else array)
    if shared and not copy:
        result.__class__ = Shared
    return result


Tensor._namespace = sys.modules[__name__]
