"""tinygraph: gradients nobody writes by hand, that are checked, and that you can see."""

from importlib import import_module as _import_module
from typing import Any as _Any

from . import methods as methods
from . import numpy_protocols as numpy_protocols
from . import operators as operators
from .errors import ArgumentError as ArgumentError
from .errors import BoundsError as BoundsError
from .errors import DTypeError as DTypeError
from .errors import FileError as FileError
from .errors import GradientError as GradientError
from .errors import GraphError as GraphError
from .errors import MissingDependencyError as MissingDependencyError
from .errors import RuleError as RuleError
from .errors import ShapeError as ShapeError
from .errors import TinygraphError as TinygraphError
from .functions import checkpoint as checkpoint
from .functions import custom_vjp as custom_vjp
from .namespace import *  # noqa: F403
from .tape import enable_grad as enable_grad
from .tape import no_grad as no_grad
from .tape import scope as scope
from .tensor import Tensor as Tensor
from .transforms import grad as grad
from .transforms import hessian as hessian
from .transforms import hvp as hvp
from .transforms import jacobian as jacobian
from .transforms import jvp as jvp
from .transforms import ravel_pytree as ravel_pytree
from .transforms import value_and_grad as value_and_grad
from .transforms import vjp as vjp
from .transforms import vmap as vmap

_ON_USE = ("testing",)  # imported when it is first asked for


def __getattr__(name: str) -> _Any:
    if name in _ON_USE:
        return _import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
