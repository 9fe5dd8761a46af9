"""tinygraph: gradients nobody writes by hand, that are checked, and that you can see."""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from . import conversions as conversions
from . import methods as methods
from . import namespace as _namespace
from . import numpy_protocols as numpy_protocols
from . import operators as operators
from .errors import AnomalyError as AnomalyError
from .errors import ArgumentError as ArgumentError
from .errors import BoundsError as BoundsError
from .errors import DTypeError as DTypeError
from .errors import EngineError as EngineError
from .errors import FileError as FileError
from .errors import GradientError as GradientError
from .errors import GraphError as GraphError
from .errors import LinAlgError as LinAlgError
from .errors import MissingDependencyError as MissingDependencyError
from .errors import RuleError as RuleError
from .errors import ShapeError as ShapeError
from .errors import TinygraphError as TinygraphError
from .modes import enable_grad as enable_grad
from .modes import no_grad as no_grad
from .modes import scope as scope
from .namespace import asarray as asarray
from .namespace import matrix_transpose as matrix_transpose
from .namespace import tensor as tensor
from .tensor import Tensor as Tensor

# What is imported when it is first asked for, and from where.
_ON_USE = {
    "checkpoint": "functions", "compile": "compiling", "custom_vjp": "functions",
    "detect_anomaly": "anomaly", "grad": "transforms", "hessian": "transforms", "hvp": "transforms",
    "jacobian": "transforms", "jvp": "transforms", "load": "saving", "ravel_pytree": "transforms",
    "save": "saving", "value_and_grad": "transforms", "vjp": "transforms", "vmap": "transforms",
}  # fmt: skip
_MODULES = ("fft", "linalg", "nn", "special", "testing")
# Of the functions that are made from the table.
_PRIVATE = {"add_along_axis", "complex_sign", "getitem", "scatter_add", "setitem"}

if _TYPE_CHECKING:
    from .anomaly import detect_anomaly as detect_anomaly
    from .compiling import compile as compile
    from .functions import checkpoint as checkpoint
    from .functions import custom_vjp as custom_vjp
    from .saving import load as load
    from .saving import save as save
    from .transforms import grad as grad
    from .transforms import hessian as hessian
    from .transforms import hvp as hvp
    from .transforms import jacobian as jacobian
    from .transforms import jvp as jvp
    from .transforms import ravel_pytree as ravel_pytree
    from .transforms import value_and_grad as value_and_grad
    from .transforms import vjp as vjp
    from .transforms import vmap as vmap


def __getattr__(name: str) -> _Any:
    if name in _ON_USE:
        value = getattr(_import_module(f".{_ON_USE[name]}", __name__), name)
    elif name in _MODULES:
        return _import_module(f".{name}", __name__)
    elif name in _PRIVATE or name not in _namespace.names():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    else:
        value = _namespace.get(name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_ON_USE, *_MODULES, *_namespace.names()} - _PRIVATE)
