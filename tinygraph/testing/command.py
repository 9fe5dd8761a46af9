"""The command ``tinygraph check``: one function or layer, from the shell."""

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy

from ..errors import ArgumentError, GradientError, TinygraphError
from .check import check_grads
from .hand_written import check_gradient, check_layer


def check(target: str, shapes: dict[str, tuple[int, ...]], seed: int) -> int:
    """Check what ``module.py:name`` names, print the report, and return the exit status.

    Parameters
    ----------
    target : str
        A file or a module, a colon, and the name of something in it.
    shapes : dict of tuple
        The shapes of the arguments that are to be drawn, by their names.
    seed : int
        Of what is drawn.

    Returns
    -------
    int
        0 if the gradients are right, 1 if not, 2 if there is nothing that could be checked.
    """
    try:
        judge, *args = plan(load(target), shapes, seed)
        judge(*args)
    except GradientError as error:
        print(f"{target}: wrong\n\n{error}")
        return 1
    except TinygraphError as error:
        print(f"tinygraph check: {error}", file=sys.stderr)
        return 2
    print(f"{target}: right")
    return 0


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


def plan(thing: Any, shapes: dict[str, tuple[int, ...]], seed: int) -> tuple:
    """Return the check that fits something, and its arguments."""
    rng, unused = numpy.random.default_rng(seed), set(shapes)

    def drawn(function: Callable) -> list[numpy.ndarray]:
        arrays = []
        for name, parameter in inspect.signature(function).parameters.items():
            if name in shapes:
                arrays.append(rng.standard_normal(shapes[name]))
                unused.discard(name)
            elif parameter.default is not parameter.empty:
                break
            else:
                raise ArgumentError(
                    f"{getattr(function, '__qualname__', 'it')} takes {name!r}: give its shape, "
                    f"as in --shape {name}=3,4, or name a function without parameters that "
                    "returns what is to be checked, and its arguments."
                )
        return arrays

    subject, *args = [thing]
    if inspect.isclass(thing):
        subject = thing(*drawn(thing))
    elif inspect.isfunction(thing) and not inspect.signature(thing).parameters:
        made = thing()
        subject, *args = made if isinstance(made, tuple) else (made,)
    layer = hasattr(subject, "backward") or hasattr(subject, "gradient")
    if not layer and not callable(subject):
        raise ArgumentError(f"{subject!r} is neither a function nor a layer.")
    if not args:
        args = drawn(getattr(subject, "forward", getattr(subject, "loss", subject)))
    if unused:
        raise ArgumentError(f"--shape {min(unused)}=...: there is nothing of this name to draw.")
    if layer:
        return check_layer, subject, *args
    if args and callable(args[0]):
        return check_gradient, subject, *args
    return check_grads, subject, tuple(args)
