"""What a command's ``module.py:name`` means, and the arguments that are drawn for it."""

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy

from .errors import ArgumentError


def load(target: str) -> Any:
    """Return what ``module.py:name`` names."""
    place, colon, name = target.rpartition(":")
    if not colon or not place or not name:
        raise ArgumentError(f"{target!r} does not name anything; write module.py:name.")
    path = Path(place)
    sys.path.insert(0, str(path.parent.resolve()))  # it may import what lies beside it
    try:
        module = from_file(path) if path.suffix == ".py" else importlib.import_module(place)
    except ArgumentError:
        raise
    except Exception as error:
        text = f"{place} cannot be loaded: {type(error).__name__}: {error}"
        raise ArgumentError(text) from error
    if not hasattr(module, name):
        raise ArgumentError(f"{place} has no {name!r}.")
    return getattr(module, name)


def from_file(path: Path) -> Any:
    """Import a file, whatever other module has its name."""
    if not path.is_file():
        raise ArgumentError(f"there is no file {path}.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    sys.modules.setdefault(path.stem, module)  # where dataclasses look for it
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return module


class Drawn:
    """Arguments of given shapes, drawn by chance.

    Parameters
    ----------
    shapes : dict of tuple
        By the names of the arguments.
    seed : int
    otherwise : str
        What a function without parameters may do in their place, for messages.
    """

    def __init__(self, shapes: dict[str, tuple[int, ...]], seed: int, otherwise: str):
        self.shapes = shapes
        self.otherwise = otherwise
        self.unused = set(shapes)
        self.rng = numpy.random.default_rng(seed)

    def arguments(self, function: Callable) -> dict[str, numpy.ndarray]:
        """Draw the arguments of a function, up to the first that has a default and no shape."""
        arrays = {}
        for name, parameter in inspect.signature(function).parameters.items():
            if name in self.shapes:
                arrays[name] = self.rng.standard_normal(self.shapes[name])
                self.unused.discard(name)
            elif parameter.default is not parameter.empty:
                break
            else:
                raise ArgumentError(
                    f"{getattr(function, '__qualname__', 'it')} takes {name!r}: give its shape, "
                    f"as in --shape {name}=3,4, or name a function without parameters that "
                    f"{self.otherwise}."
                )
        return arrays

    def finish(self) -> None:
        """Refuse shapes that nothing took."""
        if self.unused:
            raise ArgumentError(
                f"--shape {min(self.unused)}=...: there is nothing of this name to draw."
            )
