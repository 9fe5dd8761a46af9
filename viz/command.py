"""The command ``tinygraph draw``: the graph of one function or model, from the shell."""

import inspect
import sys
from pathlib import Path
from typing import Any

from tinygraph.errors import ArgumentError, TinygraphError
from tinygraph.namespace import tensor
from tinygraph.targets import Drawn, load

from . import render

OTHERWISE = "returns what is to be drawn: a Tensor, or (function, x, ...), or (model, x, t)"


def draw(
    target: str,
    shapes: dict[str, tuple[int, ...]],
    variables: list[str],
    seed: int,
    out: Path | None,
    options: dict[str, Any],
) -> int:
    """Draw what ``module.py:name`` names into a file, print its path, and return the exit status.

    Parameters
    ----------
    target : str
        A file or a module, a colon, and the name of something in it.
    shapes : dict of tuple
        The shapes of the arguments that are made up, by their names.
    variables : list of str
        Which of them require a gradient.
    seed : int
        Of what is made up.
    out : Path, optional
        By default an SVG with the target's name.
    options : dict
        For `render`.

    Returns
    -------
    int
        0 if there is a picture, 1 if it could not be made, 2 if the target cannot be drawn.
    """
    status = 2
    try:
        subject, args = plan(load(target), shapes, variables, seed)
        status = 1
        print(render(subject, out or f"{target.rpartition(':')[2]}.svg", args=args, **options))
    except TinygraphError as error:
        print(f"tinygraph draw: {error}", file=sys.stderr)
        return status
    return 0


def plan(
    thing: Any, shapes: dict[str, tuple[int, ...]], variables: list[str], seed: int
) -> tuple[Any, tuple]:
    """Return what to draw, and the arguments to call it with."""
    args: list[Any] = []
    if inspect.isfunction(thing) and not inspect.signature(thing).parameters:
        returned = thing()
        thing, *args = returned if isinstance(returned, tuple) else (returned,)
    made = Drawn(shapes, seed, OTHERWISE)
    arrays = made.arguments(thing) if callable(thing) and not args else {}
    for name, array in arrays.items():
        leaf = name in variables
        args.append(tensor(array, requires_grad=True, name=name) if leaf else array)
    made.finish()
    if unknown := {*variables} - arrays.keys():
        raise ArgumentError(f"--variable {min(unknown)}: give its shape too, with --shape.")
    return thing, tuple(args)
