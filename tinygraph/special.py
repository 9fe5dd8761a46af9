"""SciPy's special functions over Tensors, where SciPy is installed."""

from typing import Any

from .namespace import chapter

get, __dir__ = chapter("special.", globals())


def __getattr__(name: str) -> Any:
    return get({"psi": "digamma"}.get(name, name))  # SciPy has two names for it
