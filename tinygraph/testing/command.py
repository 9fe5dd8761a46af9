"""The command ``tinygraph check``: one function or layer, from the shell."""

import inspect
import sys
from typing import Any

from ..errors import ArgumentError, GradientError, TinygraphError
from ..targets import Drawn, load
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


def plan(thing: Any, shapes: dict[str, tuple[int, ...]], seed: int) -> tuple:
    """Return the check that fits something, and its arguments."""
    made = Drawn(shapes, seed, "returns what is to be checked, and its arguments")
    subject, *args = [thing]
    if inspect.isclass(thing):
        subject = thing(**made.arguments(thing))
    elif inspect.isfunction(thing) and not inspect.signature(thing).parameters:
        returned = thing()
        subject, *args = returned if isinstance(returned, tuple) else (returned,)
    layer = hasattr(subject, "backward") or hasattr(subject, "gradient")
    if not layer and not callable(subject):
        raise ArgumentError(f"{subject!r} is neither a function nor a layer.")
    if not args:
        function = getattr(subject, "forward", getattr(subject, "loss", subject))
        args = [*made.arguments(function).values()]
    made.finish()
    if layer:
        return check_layer, subject, *args
    if args and callable(args[0]):
        return check_gradient, subject, *args
    return check_grads, subject, tuple(args)
