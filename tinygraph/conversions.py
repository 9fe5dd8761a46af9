"""A Tensor as a number of Python's: explicitly always, silently only where no gradient is lost."""

from typing import Any

from .errors import GraphError, ShapeError
from .tape import MODES
from .tensor import Tensor, Wrapped


def number(x: Tensor, convert: str) -> Any:
    """Return the only entry, unless a transform waits for its gradient."""
    if isinstance(x, Wrapped) or (x.requires_grad and MODES.get().transforming):
        raise GraphError(
            f"{convert}: a number would leave the function that is being differentiated "
            "without its gradient. Keep the Tensor, or say so with .item() or .detach()."
        )
    return x.item()


def truth(x: Tensor) -> bool:
    """Return whether the only entry is not zero."""
    if x.size != 1:
        raise ShapeError(
            f"bool: {x._label()} of shape {x.shape} is neither true nor false; "
            "use .numpy().any() or .numpy().all()."
        )
    return bool(x._data)


def formatted(x: Tensor, form: str) -> str:
    """Write the only entry as a format says, as in ``f"{loss:.3f}"``."""
    return format(x.item(), form) if form else str(x)


def contains(x: Tensor, entry: Any) -> bool:
    """Return whether a number is among the entries."""
    return bool((x == entry)._data.any())


Tensor.__format__ = formatted  # type: ignore[method-assign, assignment]
Tensor.__contains__ = contains  # type: ignore[attr-defined]
Tensor.__float__ = lambda self: float(number(self, "float"))  # type: ignore[attr-defined]
Tensor.__int__ = lambda self: int(number(self, "int"))  # type: ignore[attr-defined]
Tensor.__complex__ = lambda self: complex(number(self, "complex"))  # type: ignore[attr-defined]
Tensor.__index__ = lambda self: self._data.__index__()  # type: ignore[attr-defined]
Tensor.__bool__ = truth  # type: ignore[attr-defined]
