"""What of the array API standard has no derivative, or is made of functions that have one.

Most of it is one row of a table: NumPy's function is called on the bare values.
"""

from collections.abc import Callable
from functools import wraps
from types import SimpleNamespace
from typing import Any

import numpy

from . import conversions, namespace, sparse
from .arrays import number_dtype
from .errors import ArgumentError, BoundsError, DTypeError, ShapeError
from .rules import RULES
from .tensor import ARRAYS, MISTAKES, Tensor, Wrapped, apply, array_of, wrap


class Inspection(numpy.__array_namespace_info__):  # type: ignore[misc]
    """What the namespace can do, which dtypes and which devices it has."""

    def devices(self) -> tuple:  # type: ignore[override]
        """Return all devices."""
        return ("cpu",)


# What tinygraph and its namespace of functions have beside what the table of rules makes.
NAMES: dict[str, Any] = {
    name: getattr(numpy, name)
    for name in (
        "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
        "float32", "float64", "complex64", "complex128", "e", "inf", "nan", "newaxis", "pi",
        "broadcast_shapes", "isdtype",
    )
}  # fmt: skip
NAMES["__array_api_version__"] = "2025.12"
NAMES["__array_namespace_info__"] = Inspection


def public(function: Callable) -> Callable:
    """Give a function its place among the names."""
    NAMES[function.__name__] = function
    return function


# ---------------------------------------------------------------- NumPy's functions of bare values


def number(name: str, x: Any) -> Any:
    """Return a number that creates an array: it leaves the graph, as with float(x)."""
    return conversions.number(x, name) if isinstance(x, Tensor) else x


def dtype_of(name: str, x: Any) -> Any:
    """Return the dtype of an array, and anything else as it is."""
    return x.dtype if isinstance(x, Tensor) else x


def values(name: str, x: Any) -> Any:
    """Return the values of an array."""
    if isinstance(x, Wrapped) and type(x._data) is not numpy.ndarray:
        getattr(x._data, "values")  # noqa: B009 (raises: they differ)
    return array_of(x)


def wrapped(answer: Any) -> Any:
    """Make Tensors of the arrays in an answer."""
    if isinstance(answer, tuple):
        several = map(wrapped, answer)
        return answer._make(several) if hasattr(answer, "_make") else tuple(several)
    return wrap(answer) if type(answer) in ARRAYS else answer


def numpys(read: Callable) -> Callable:
    """Make a function that calls NumPy's of the same name, on what is read of its operands."""

    def decorate(stub: Callable) -> Callable:
        name = stub.__name__

        @wraps(stub)
        def call(*operands: Any, **options: Any) -> Any:
            stub(*operands, **options)  # which takes no argument that the standard does not know
            options = {
                key: array_of(x) if isinstance(x, Tensor) else x for key, x in options.items()
            }
            if options.get("dtype") is not None:
                options["dtype"] = number_dtype(options["dtype"])
            try:
                answer = getattr(numpy, name)(*[read(name, x) for x in operands], **options)
            except MISTAKES as error:
                ours = {TypeError: DTypeError, IndexError: BoundsError}
                kinds = [ours[one] for one in ours if isinstance(error, one)]
                raise (*kinds, ArgumentError)[0](f"{name}: {error}") from error
            return wrapped(numpy.asarray(answer) if isinstance(answer, numpy.generic) else answer)

        return public(call)

    return decorate


@numpys(number)
def arange(start, /, stop=None, step=1, *, dtype=None, device=None):
    """Return numbers from start to stop (exclusive), evenly spaced."""


@numpys(number)
def empty(shape, *, dtype=None, device=None):
    """Return an array of a shape that is not filled with anything."""


@numpys(number)
def eye(n_rows, n_cols=None, /, *, k=0, dtype=None, device=None):
    """Return a matrix of zeros with ones on its k-th diagonal."""


@numpys(number)
def linspace(start, stop, /, num, *, dtype=None, device=None, endpoint=True):
    """Return so many numbers from start to stop, evenly spaced."""


@numpys(number)
def ones(shape, *, dtype=None, device=None):
    """Return ones of a shape."""


@numpys(number)
def zeros(shape, *, dtype=None, device=None):
    """Return zeros of a shape."""


@numpys(dtype_of)
def can_cast(from_, to, /):
    """Return whether numbers of one dtype can be cast to another without loss."""


@public
def finfo(type, /):
    """Return the limits of a floating dtype, as Python's numbers."""
    limits = numpy.finfo(dtype_of("finfo", type))
    numbers = ("eps", "max", "min", "smallest_normal", "smallest_subnormal", "tiny", "resolution")
    exact = {name: float(getattr(limits, name)) for name in numbers}
    return SimpleNamespace(bits=limits.bits, dtype=limits.dtype, **exact)


@numpys(dtype_of)
def iinfo(type, /):
    """Return the limits of an integer dtype."""


@numpys(dtype_of)
def result_type(*arrays_and_dtypes):
    """Return the dtype that an operation on these gives."""


@numpys(values)
def isin(x1, x2, /, *, invert=False):
    """Return whether each entry is among those of a second array."""


@numpys(values)
def nonzero(x, /):
    """Return the places of the entries that are not zero, axis by axis."""


@numpys(values)
def searchsorted(x1, x2, /, *, side="left", sorter=None):
    """Return where entries would go into a sorted array."""


def entries(function: Callable) -> Callable:
    """Make a function that answers with entries of its operand one that records them."""

    @wraps(function)
    def call(x: Any, /) -> Any:
        answer = function(x)
        if not isinstance(x, Wrapped) and not getattr(x, "requires_grad", False):
            return answer
        found = answer[0] if isinstance(answer, tuple) else answer
        flat = namespace.reshape(x, (-1,))
        known, first = numpy.unique(flat._data, return_index=True)
        found = flat[first[numpy.searchsorted(known, found._data)]]
        return answer._replace(values=found) if hasattr(answer, "_replace") else found

    return public(call)


@entries
@numpys(values)
def unique_all(x, /):
    """Return the entries that differ, where each is first, which is where, how often each is."""


@entries
@numpys(values)
def unique_counts(x, /):
    """Return the entries that differ, and how often each is there."""


@entries
@numpys(values)
def unique_inverse(x, /):
    """Return the entries that differ, and which of them is where."""


@entries
@numpys(values)
def unique_values(x, /):
    """Return the entries that differ, each once."""


def like(x: Any, dtype: Any) -> tuple:
    """Return the shape and the dtype of an array that is to be like another."""
    return x.shape, x.dtype if dtype is None else dtype


@public
def empty_like(x, /, *, dtype=None, device=None):
    """Return an array of the shape of x that is not filled with anything."""
    shape, dtype = like(x, dtype)
    return empty(shape, dtype=dtype, device=device)


@public
def ones_like(x, /, *, dtype=None, device=None):
    """Return ones of the shape of x."""
    shape, dtype = like(x, dtype)
    return ones(shape, dtype=dtype, device=device)


@public
def zeros_like(x, /, *, dtype=None, device=None):
    """Return zeros of the shape of x."""
    shape, dtype = like(x, dtype)
    return zeros(shape, dtype=dtype, device=device)


@public
def full(shape, fill_value, *, dtype=None, device=None):
    """Return an array of a shape with one value everywhere; a Tensor's stays recorded."""
    filling = namespace.asarray(fill_value, dtype=dtype, device=device)
    return namespace.broadcast_to(filling, shape).copy()


@public
def full_like(x, /, fill_value, *, dtype=None, device=None):
    """Return an array of the shape of x with one value everywhere; a Tensor's stays recorded."""
    shape, dtype = like(x, dtype)
    return full(shape, fill_value, dtype=dtype, device=device)


@public
def from_dlpack(x, /, *, device=None, copy=None):
    """Return a Tensor of another library's array; it shares memory where that can be done."""
    return namespace.asarray(numpy.from_dlpack(x, device=device, copy=copy))


# ---------------------------------------------------------------- other entries of the table

public(sparse.matmul)


@public
def astype(x, /, dtype, *, copy=True, device=None):
    """Return the values in another dtype; without a copy, if none is needed and copy is False."""
    x = namespace.asarray(x, device=device)
    dtype = number_dtype(dtype)
    if not copy and x.dtype == dtype:
        return x
    return apply(RULES["astype"], (x,), {"dtype": dtype})


@public
def reshape(x, /, shape, *, copy=None):
    """Return the entries in another shape; one length may be −1."""
    if copy is False:  # NumPy refuses where it would have to
        numpy.reshape(array_of(x), shape, copy=False)
    shaped = apply(RULES["reshape"], (x,), {"shape": namespace.shape_of(shape)})
    return shaped.copy() if copy else shaped


@public
def sign(x, /):
    """Return the sign of x: −1, 0 or 1; of a complex number, it over its size."""
    x = namespace.asarray(x)
    return apply(RULES["complex_sign" if x.dtype.kind == "c" else "sign"], (x,), {})


@public
def clip(x, /, min=None, max=None):
    """Return x, or the nearest of two bounds where it lies outside of them.

    The gradient is 1 on the closed interval.
    """
    x = namespace.asarray(x)
    if min is None:
        min = -numpy.inf if x.dtype.kind == "f" else int(numpy.iinfo(x.dtype).min)
    if max is None:
        max = numpy.inf if x.dtype.kind == "f" else int(numpy.iinfo(x.dtype).max)
    return apply(RULES["clip"], (x, min, max), {})


# ---------------------------------------------------------------- made of others


def axis_of(name: str, axis: int, rank: int) -> int:
    """Return an axis as a number from 0 up."""
    if not -rank <= axis < rank:
        raise BoundsError(f"{name}: axis {axis} is out of range for {rank} axes.")
    return axis % rank


def axes_of(name: str, axis: Any, rank: int) -> tuple[int, ...]:
    """Return one axis, several, or with None all of them, as numbers from 0 up."""
    if axis is None:
        return tuple(range(rank))
    axes = namespace.shape_of(axis)
    return tuple(axis_of(name, one, rank) for one in axes)


def at(axis: int, index: Any) -> tuple:
    """Return an index that selects along one axis."""
    return (slice(None),) * axis + (index,)


@public
def broadcast_arrays(*arrays):
    """Return arrays stretched to the one shape that they broadcast to."""
    tensors = [namespace.asarray(one) for one in arrays]
    try:
        shape = numpy.broadcast_shapes(*[one.shape for one in tensors])
    except ValueError as error:
        raise ShapeError(f"broadcast_arrays: {error}") from error
    return tuple(namespace.broadcast_to(one, shape) for one in tensors)


@public
def diff(x, /, *, axis=-1, n=1, prepend=None, append=None):
    """Return the differences of neighbours along an axis, n times over."""
    x = namespace.asarray(x)
    axis = axis_of("diff", axis, x.ndim)
    edge = (*x.shape[:axis], 1, *x.shape[axis + 1 :])
    parts = [
        namespace.broadcast_to(one, edge) if numpy.ndim(one) == 0 else one
        for one in (prepend, x, append)
        if one is not None
    ]
    x = namespace.concat(parts, axis=axis) if len(parts) > 1 else x
    subtract = namespace.not_equal if x.dtype.kind == "b" else namespace.subtract
    for _ in range(n):
        x = subtract(x[at(axis, slice(1, None))], x[at(axis, slice(None, -1))])
    return x


@public
def flip(x, /, *, axis=None):
    """Return the entries in reverse along an axis, several, or all of them."""
    x = namespace.asarray(x)
    axes = axes_of("flip", axis, x.ndim)
    return x[tuple(slice(None, None, -1 if i in axes else 1) for i in range(x.ndim))]


@public
def meshgrid(*arrays, indexing="xy"):
    """Return the coordinates of the points of a grid, one array for each axis."""
    tensors = [namespace.asarray(one) for one in arrays]
    if indexing not in ("xy", "ij"):
        raise ArgumentError(f"meshgrid: indexing is 'xy' or 'ij', not {indexing!r}.")
    rank = len(tensors)
    order = list(range(rank))
    if indexing == "xy" and rank > 1:
        order[:2] = 1, 0
    shape = tuple(tensors[i].size for i in order)
    return tuple(
        namespace.broadcast_to(x.reshape(tuple(x.size if j == i else 1 for j in order)), shape)
        for i, x in enumerate(tensors)
    )


@public
def moveaxis(x, source, destination, /):
    """Return the array with some of its axes in other places, the rest in their order."""
    x = namespace.asarray(x)
    before, after = (axes_of("moveaxis", axes, x.ndim) for axes in (source, destination))
    if len({*before}) != len(before) or len({*after}) != len(after) or len(before) != len(after):
        raise ArgumentError(f"moveaxis: axes {source} cannot go to {destination}, one to each.")
    order = [i for i in range(x.ndim) if i not in before]
    for place, axis in sorted(zip(after, before, strict=True)):
        order.insert(place, axis)
    return namespace.permute_dims(x, order)


@public
def repeat(x, repeats, /, *, axis=None):
    """Return each entry along an axis several times: as often as said for all or for each."""
    x = namespace.asarray(x)
    if axis is None:
        x, axis = x.reshape(-1), 0
    axis = axis_of("repeat", axis, x.ndim)
    try:
        places = numpy.repeat(numpy.arange(x.shape[axis]), namespace.asarray(repeats).numpy())
    except MISTAKES as error:
        raise ArgumentError(f"repeat: {x.shape[axis]} entries, {error}") from error
    return take(x, places, axis=axis)


@public
def roll(x, /, shift, *, axis=None):
    """Return the entries moved along axes; what leaves at one end comes in at the other."""
    x = namespace.asarray(x)
    if axis is None:
        return roll(x.reshape(-1), shift, axis=0).reshape(x.shape)
    axes, shifts = axes_of("roll", axis, x.ndim), namespace.shape_of(shift)
    for one, by in zip(*numpy.broadcast_arrays(axes, shifts), strict=True):
        cut = -int(by) % (x.shape[one] or 1)
        if cut:
            parts = x[at(one, slice(cut, None))], x[at(one, slice(None, cut))]
            x = namespace.concat(parts, axis=int(one))
    return x


@public
def take(x, indices, /, *, axis=None):
    """Return the entries at places along an axis, which may be left out if there is no other."""
    x = namespace.asarray(x)
    if axis is None:
        if x.ndim != 1:
            raise ArgumentError(f"take: of shape {x.shape}, say along which axis.")
        axis = 0
    places = indices if isinstance(indices, Tensor) else array_of(indices)
    if places.dtype.kind == "b" or not places.size:
        places = places.astype(int)  # numbers here, not a choice
    return x[at(axis_of("take", axis, x.ndim), places)]


@public
def tile(x, repetitions, /):
    """Return an array put side by side with itself, so many times along each axis."""
    x = namespace.asarray(x)
    times = namespace.shape_of(repetitions)
    rank = max(x.ndim, len(times))
    shape = (1,) * (rank - x.ndim) + x.shape
    times = (1,) * (rank - len(times)) + times
    apart = x.reshape(tuple(n for length in shape for n in (1, length)))
    wide = tuple(n for pair in zip(times, shape, strict=True) for n in pair)
    total = tuple(n * length for n, length in zip(times, shape, strict=True))
    return namespace.broadcast_to(apart, wide).reshape(total)


def triangle(name: str, x: Any, k: int) -> tuple[Tensor, numpy.ndarray, Any]:
    """Return an array of matrices, the places on and below a diagonal, and a zero."""
    x = namespace.asarray(x)
    if x.ndim < 2:
        raise ShapeError(f"{name}: shape {x.shape} has no matrix.")
    m, n = x.shape[-2:]
    return x, numpy.tri(m, n, k=k, dtype=bool), False if x.dtype == bool else 0


@public
def tril(x, /, *, k=0):
    """Return matrices with zeros above the k-th diagonal."""
    x, below, zero = triangle("tril", x, k)
    return namespace.where(below, x, zero)


@public
def triu(x, /, *, k=0):
    """Return matrices with zeros below the k-th diagonal."""
    x, below, zero = triangle("triu", x, k - 1)
    return namespace.where(below, zero, x)


@public
def unstack(x, /, *, axis=0):
    """Return the arrays that an array is made of along an axis."""
    x = namespace.asarray(x)
    axis = axis_of("unstack", axis, x.ndim)
    return tuple(x[at(axis, i)] for i in range(x.shape[axis]))
