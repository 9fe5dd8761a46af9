"""Check gradients: numerical derivatives, a checker, strategies for property tests."""

from importlib import import_module as _import_module
from typing import Any as _Any

from ..errors import GradientError as GradientError
from .check import check_grads as check_grads
from .hand_written import check_gradient as check_gradient
from .hand_written import check_layer as check_layer
from .numerical import numerical_gradient as numerical_gradient


def __getattr__(name: str) -> _Any:
    if name == "strategies":  # imports Hypothesis
        return _import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
