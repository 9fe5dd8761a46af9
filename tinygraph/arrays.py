"""What counts as an array of numbers."""

from typing import Any

import numpy

from .engines import foreign
from .errors import DTypeError, ShapeError

STRANGE = numpy.ma.MaskedArray | numpy.matrix


class ForeignError(DTypeError):
    """An operand that is neither a number nor an array."""


def number_dtype(dtype: Any) -> numpy.dtype:
    """Return a dtype of numbers, in the byte order of this machine; refuse others."""
    try:
        found = numpy.dtype(dtype)
    except TypeError as error:
        raise DTypeError(f"dtype={dtype!r}: {error}.") from None
    if found.kind not in "biufc":
        raise DTypeError(f"dtype={dtype!r}: {found} is not a dtype of numbers.")
    return found.newbyteorder("=")


def shares(array: numpy.ndarray, x: Any) -> bool:
    """Whether an array that was read from an object may be the object's own memory."""
    return array is x or array.base is not None or hasattr(x, "__array__")


def numbers(x: Any, copy: bool = False) -> Any:
    """Read numbers, lists and arrays as an array of numbers, NumPy's or another library's."""
    if type(x) is not numpy.ndarray:
        other = foreign(x)
        if other is not None:
            return other if other is x and not copy else other.copy()  # its owner may write to it
        nested = isinstance(x, list | tuple) and x and not isinstance(x[0], int | float)
        for one in (x, *x) if nested else (x,):
            if isinstance(one, STRANGE):
                raise ForeignError(
                    f"{type(one).__name__} is not taken: its mask or its algebra would be lost. "
                    "Convert it with numpy.asarray (and .filled) first."
                )
        if x is None or isinstance(x, str | bytes | dict | set):
            raise ForeignError(f"{type(x).__name__} is not an array of numbers.")
    try:
        array = numpy.asarray(x)
    except ValueError as error:
        raise ShapeError(f"not an array: {error}") from error
    if array.dtype.kind not in "biufc":
        raise ForeignError(f"{type(x).__name__} of dtype {array.dtype} is not an array of numbers.")
    if not array.dtype.isnative:
        return array.astype(array.dtype.newbyteorder("="))
    return array.copy(order="K") if copy and shares(array, x) else array


def reduction(ufunc: numpy.ufunc) -> Any:
    """Return the reduction by a ufunc, over all axes by default."""
    reduce = ufunc.reduce

    def reduced(a: Any, axis: Any = None, dtype: Any = None, **options: Any) -> Any:
        return reduce(a, axis, dtype, **options)

    return staticmethod(reduced)


class Direct:
    """NumPy as rules see it: without wrappers that take longer than what they wrap."""

    sum, prod = reduction(numpy.add), reduction(numpy.multiply)
    max, min = reduction(numpy.maximum), reduction(numpy.minimum)

    @staticmethod
    def expand_dims(a: Any, axis: Any) -> Any:
        """Put axes of length 1 in."""
        return a[..., None] if axis == -1 else numpy.expand_dims(a, axis)

    def __getattr__(self, name: str) -> Any:  # the first time only
        found = self.__dict__[name] = getattr(numpy, name)
        return found


NUMPY = Direct()
