"""Every error that tinygraph raises itself, each also the built-in that fits it.

A message names the operation, the shapes or dtypes and the tensors' names where they have one, and
says what to do. What NumPy raises on its own arrays, and `MemoryError`, pass unchanged.
"""

from typing import Any

import numpy


class TinygraphError(Exception):
    """The base of all errors of tinygraph."""


class ShapeError(TinygraphError, ValueError):
    """Shapes that do not fit together, or do not fit the operation."""


class LinAlgError(TinygraphError, numpy.linalg.LinAlgError):
    """A matrix that has no inverse, no such decomposition, or no derivative of it."""


class ArgumentError(TinygraphError, ValueError):
    """An argument whose value makes no sense here."""


class DTypeError(TinygraphError, TypeError):
    """A dtype or a type of object that the operation cannot take."""


class BoundsError(TinygraphError, IndexError):
    """An index, a label or an axis out of range."""


class GraphError(TinygraphError, RuntimeError):
    """Something asked of a recorded graph that it cannot give."""


class FileError(TinygraphError, OSError):
    """A file that is missing, damaged or cannot be written."""


class MissingDependencyError(TinygraphError, ImportError):
    """An optional package or program that is needed and not there."""


class EngineError(TinygraphError, AttributeError):
    """A function that the library of an array has not."""


class RuleError(TinygraphError, RuntimeError):
    """A rule of the table, or one of the user's, that breaks its contract."""


class AnomalyError(TinygraphError, RuntimeError):
    """A NaN or an infinity, found inside `detect_anomaly` where it was born."""


class GradientError(TinygraphError, AssertionError):
    """A gradient that differs from the numerical one by more than the numerical error."""


# ---------------------------------------------------------------- messages


def operand_text(operand: Any) -> str:
    """Name an operand for a message: its shape, and its name where it has one."""
    name = getattr(operand, "name", None)
    if not hasattr(operand, "shape"):
        return repr(operand)
    return f"{operand.shape} of {name!r}" if isinstance(name, str) else f"{operand.shape}"


def axis_text(operand: Any, axis: int) -> str:
    """Name one axis of an operand for a message."""
    name = getattr(operand, "name", None)
    return f"axis {axis} of {name!r}" if isinstance(name, str) else f"axis {axis}"


def explain(rule: Any, operands: tuple, params: dict, error: Exception) -> TinygraphError:
    """Turn what the array library raised inside an operation into an error about its operands."""
    shapes = [getattr(one, "shape", ()) for one in operands]
    where = " and ".join(operand_text(one) for one in operands[:4])
    if len(operands) > 4:
        where += f" and {len(operands) - 4} more"
    if isinstance(error, numpy.linalg.LinAlgError):
        return LinAlgError(f"{rule.name}: shape {where}: {error}.")
    if isinstance(error, TypeError):
        dtypes = ", ".join(str(getattr(one, "dtype", type(one).__name__)) for one in operands)
        return DTypeError(f"{rule.name}: dtypes {dtypes}: {error}")
    if isinstance(error, IndexError):
        settings = ", ".join(f"{name}={value!r}" for name, value in params.items())
        return BoundsError(f"{rule.name}: shape {where}, {settings}: {error}")
    if rule.name == "matmul":
        return _misaligned(operands, *shapes)
    if rule.kind.name == "ELEMENTWISE":
        for axis in range(-1, -1 - max(map(len, shapes)), -1):
            lengths = {shape[axis] for shape in shapes if len(shape) >= -axis} - {1}
            if len(lengths) > 1:
                here = " and ".join(str(n) for n in sorted(lengths))
                return ShapeError(
                    f"{rule.name}: shapes {where} do not broadcast: axis {axis} has lengths {here}."
                )
        return ArgumentError(f"{rule.name}: {error}")
    settings = "".join(f", {name}={value!r}" for name, value in params.items())
    return ShapeError(f"{rule.name}: shape {where}{settings}: {error}")


def _misaligned(operands: tuple, left: tuple, right: tuple) -> ShapeError:
    """Say which axes of a matmul differ, and whether a transpose would mend it."""
    a, b = operands
    names = f"{operand_text(a)} and {operand_text(b)}"
    if not left or not right:
        return ShapeError(f"matmul: shapes {names}: a scalar has no axis to sum over; use *.")
    inner = -2 if len(right) > 1 else -1
    message = f"matmul: shapes {left} and {right} do not align: "
    if left[-1] == right[inner]:
        return ShapeError(f"{message}their leading axes do not broadcast.")
    message += f"{left[-1]} ({axis_text(a, -1)}) != {right[inner]} ({axis_text(b, inner)})."
    if len(right) == 2 and left[-1] == right[-1]:
        message += f"\nDid you mean {getattr(b, 'name', None) or 'the second operand'}.T?"
    elif len(left) == 2 and left[0] == right[inner]:
        message += f"\nDid you mean {getattr(a, 'name', None) or 'the first operand'}.T?"
    return ShapeError(message)
