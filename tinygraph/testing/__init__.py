"""Check gradients: numerical derivatives, a checker, strategies for property tests."""

from ..errors import GradientError
from .numerical import numerical_gradient

__all__ = ["GradientError", "numerical_gradient"]
