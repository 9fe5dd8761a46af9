"""Every error that tinygraph raises itself, each also the built-in that fits it.

A message names the operation, the shapes or dtypes and the tensors' names where they have one, and
says what to do. What NumPy raises on its own arrays, and `MemoryError`, pass unchanged.
"""


class TinygraphError(Exception):
    """The base of all errors of tinygraph."""


class ShapeError(TinygraphError, ValueError):
    """Shapes that do not fit together, or do not fit the operation."""


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


class RuleError(TinygraphError, RuntimeError):
    """A rule of the table, or one of the user's, that breaks its contract."""


class GradientError(TinygraphError, AssertionError):
    """A gradient that differs from the numerical one by more than the numerical error."""
