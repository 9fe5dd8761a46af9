"""What counts as an array of numbers."""

from typing import Any

import numpy

from .errors import DTypeError, ShapeError


class ForeignError(DTypeError):
    """An operand that is neither a number nor an array."""


def numbers(x: Any, copy: bool = False) -> numpy.ndarray:
    """Read numbers, lists and arrays as an ndarray of numbers; refuse what is not."""
    if type(x) is not numpy.ndarray:
        if isinstance(x, numpy.ma.MaskedArray | numpy.matrix):
            raise ForeignError(
                f"{type(x).__name__} is not taken: its mask or its algebra would be lost. "
                "Convert it with numpy.asarray (and .filled) first."
            )
        if x is None or isinstance(x, str | bytes | dict | set):
            raise ForeignError(f"{type(x).__name__} is not an array of numbers.")
    try:
        array = numpy.array(x, copy=True) if copy else numpy.asarray(x)
    except ValueError as error:
        raise ShapeError(f"not an array: {error}") from error
    if array.dtype.kind not in "biufc":
        raise ForeignError(f"{type(x).__name__} of dtype {array.dtype} is not an array of numbers.")
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
