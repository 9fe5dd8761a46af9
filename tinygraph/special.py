"""SciPy's special functions over Tensors, where SciPy is installed."""

from math import log, pi
from typing import Any

from . import namespace as xp
from .namespace import chapter
from .tensor import Tensor

get, __dir__ = chapter("special.", globals())


def __getattr__(name: str) -> Any:
    return get({"psi": "digamma"}.get(name, name))  # SciPy has two names for it


def multigammaln(a: Any, d: int) -> Tensor:
    """Return the logarithm of the gamma function of d dimensions."""
    terms = get("gammaln")(xp.asarray(a)[..., None] - xp.arange(d) / 2)
    return xp.sum(terms, axis=-1) + d * (d - 1) / 4 * log(pi)
