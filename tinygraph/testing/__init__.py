"""Check gradients: numerical derivatives, checkers, strategies for property tests."""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from ..errors import GradientError as GradientError

# What is imported when it is first asked for, and from where: pytest loads this package too.
_ON_USE = {
    "check_grads": "check", "check_gradient": "hand_written", "check_layer": "hand_written",
    "numerical_gradient": "numerical",
}  # fmt: skip

if _TYPE_CHECKING:
    from .check import check_grads as check_grads
    from .hand_written import check_gradient as check_gradient
    from .hand_written import check_layer as check_layer
    from .numerical import numerical_gradient as numerical_gradient


def __getattr__(name: str) -> _Any:
    if name == "strategies":  # imports Hypothesis
        return _import_module(f"{__name__}.{name}")
    if name not in _ON_USE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(_import_module(f"{__name__}.{_ON_USE[name]}"), name)
    globals()[name] = value
    return value
