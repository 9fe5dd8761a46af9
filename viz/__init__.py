"""Pictures of recorded graphs."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from tinygraph.errors import ArgumentError, DTypeError
from tinygraph.saving import write
from tinygraph.tensor import Tensor

from . import details, diagnosis, structure, textbook
from .engine import FORMATS, TIMEOUT, Drawing
from .folding import MAX_NODES
from .graph import read
from .numbers import Numbers
from .page import write_page
from .subjects import results_of

__all__ = ["render", "to_dot", "to_html"]

STYLES = {"structure": structure.draw, "textbook": textbook.draw}


FilePath = TypeVar("FilePath", bound="str | os.PathLike[str]")


def to_dot(
    obj: Tensor | dict[str, Tensor] | Callable, *, args: tuple = (), style: str = "structure",
    direction: str | None = None, title: str | None = None, legend: bool = True,
    check: bool = False, params: Any = None, depth: int | None = None, fold: bool | None = None,
    max_nodes: int = MAX_NODES, shapes: str | None = "node", values: bool = False,
    memory: bool = False,
) -> Drawing:  # fmt: skip
    """Return the picture of a graph, as a `graphviz.Digraph` that can be changed.

    The same graph gives the same picture, byte for byte. Drawing runs nothing, except for a
    function, which is called once.

    Parameters
    ----------
    obj : Tensor, dict of Tensor, callable or model
        What to draw: a result, several results under their names, what a function returns, or the
        loss (the prediction, if so many arguments fit that) of an object with `params`.
    args : tuple
        Example arguments to call the function with.
    style : {"structure", "textbook"}
        The operations with their shapes; or circles, with the values above the lines between them
        and the gradients below, for graphs of at most 30 operations.
    direction : {"LR", "TB"}, optional
        From left to right or from top to bottom; by default the former for small graphs.
    title : str, optional
        By default the name of the function or of the results. Empty, there is no head at all.
    legend : bool
        Whether to say what the signs mean.
    check : bool
        Whether to compute values and gradients again, and to say what is wrong with them: where
        they stop being finite, gradients that are missing, zero, vanish or explode, dead relus.
    params : dict of Tensor, or a model with such a dict as its ``params``, optional
        Parameters that have to get a gradient; with ``check=True`` those that get none are shown.
    depth : int, optional
        How many levels of scopes are drawn open; each scope below becomes one box.
    fold : bool, optional
        Whether what repeats becomes one box. By default only where more than `max_nodes` boxes
        would be drawn; then the depth is lowered too, and at last what is far from the results
        becomes one box. With False, all is drawn that `depth` shows.
    max_nodes : int
        How many boxes, besides the results, a picture has before it folds by itself.
    shapes : {"node", "edge", None}
        Whether the shapes of operations stand in their boxes, on the arrows, or nowhere.
    values : bool
        Whether the boxes tell their values: small arrays whole, of larger ones mean ± deviation.
    memory : bool
        Whether operations tell how much they keep for the way back.

    Raises
    ------
    DTypeError
        If there is something else than Tensors to draw.
    ArgumentError
        If an argument makes no sense.

    Examples
    --------
    >>> import tinygraph as tg
    >>> from tinygraph.viz import to_dot
    >>> x = tg.tensor([1.0, 2.0], requires_grad=True, name="x")
    >>> "multiply × 3" in to_dot(x * 3).source
    True
    """
    for sound, complaint in (
        (style in STYLES, f"style {style!r} is not one of {', '.join(STYLES)}"),
        (direction in (None, "LR", "TB"), f"direction {direction!r} is neither 'LR' nor 'TB'"),
        (params is None or check, "params are parameters to check; pass check=True as well"),
        (depth is None or (isinstance(depth, int) and depth >= 0),
         f"depth is a number of levels of scopes, 0 or more: {depth!r}"),
        (fold in (None, True, False), f"fold is True, False or None: {fold!r}"),
        (isinstance(max_nodes, int) and max_nodes > 0,
         f"max_nodes is a number of boxes, at least 1: {max_nodes!r}"),
        (shapes in ("node", "edge", None), f"shapes is 'node', 'edge' or None, not {shapes!r}"),
        (style != "textbook" or not (values or memory or shapes != "node"),
         "shapes, values and memory belong to style='structure'"),
    ):  # fmt: skip
        if not sound:
            raise ArgumentError(f"to_dot: {complaint}.")
    wanted = diagnosis.named(params)
    name, results = results_of(obj, args)
    besides = diagnosis.unreached(wanted, [tensor for _, tensor in results]) if wanted else []
    folding = {"depth": depth, "fold": fold, "max_nodes": max_nodes}
    picture = read(str(title or name), results, direction, besides, **folding)
    picture.head = title != ""
    if shapes != "node":
        details.place_shapes(picture, shapes)
    if values:
        details.add_values(picture)
    if memory:
        details.add_memory(picture)
    if check:
        fault = diagnosis.annotate(picture, Numbers(picture), wanted)
        if fault and title is None:
            picture.title = fault
    return STYLES[style](picture, legend=legend)


def to_html(
    obj: Tensor | dict[str, Tensor] | Callable, *, style: str | None = None, legend: bool = True,
    timeout: float | None = TIMEOUT, **options: Any,
) -> str:  # fmt: skip
    """Return a page that steps through a graph: forward, and back from a single number.

    It is one file that loads nothing. Each step shows the formula of an operation and the array of
    every name in it; values and gradients are computed again, and the graph stays as it is.

    Parameters
    ----------
    obj, legend, **options
        As for `to_dot`.
    style : {"structure", "textbook"}, optional
        The picture on the page; by default the textbook's where that has room for the numbers.
    timeout : float, optional
        Seconds that the layout may take; None for no limit.

    Raises
    ------
    ArgumentError
        If there are more than 500 operations, or an option makes no sense.
    MissingDependencyError
        If there is no program for the layout.
    GraphError
        If the layout fails or takes too long.

    Examples
    --------
    >>> import tinygraph as tg
    >>> from tinygraph.viz import to_html
    >>> x = tg.tensor(2.0, requires_grad=True, name="x")
    >>> to_html(x * x)[:15]
    '<!doctype html>'
    """
    picture = to_dot(obj, style=style or "structure", **options).picture
    return write_page(picture, style=style, legend=legend, timeout=timeout)


def render(
    obj: Tensor | dict[str, Tensor] | Callable, path: FilePath, *,
    style: str | None = None, timeout: float | None = TIMEOUT, **options: Any,
) -> FilePath:  # fmt: skip
    """Draw a graph into a file, written whole or not at all, and return its path.

    Parameters
    ----------
    obj, style, **options
        As for `to_dot`, or for a page as for `to_html`.
    path : str or path
        Its ending says what to write: ``.svg``, ``.png``, ``.dot``, ``.html`` for a page to step
        through, or ``.pdf``, which needs Graphviz's own program.
    timeout : float, optional
        Seconds that the layout may take; None for no limit.

    Raises
    ------
    ArgumentError
        If the ending is unknown, or an option makes no sense.
    MissingDependencyError
        If there is no program for the layout.
    GraphError
        If the layout fails or takes too long.
    FileError
        If the file cannot be written.

    Examples
    --------
    >>> import os, tempfile
    >>> import tinygraph as tg
    >>> from tinygraph.viz import render
    >>> x = tg.tensor(2.0, requires_grad=True, name="x")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     os.path.basename(render(x * x, os.path.join(folder, "square.dot")))
    'square.dot'
    """
    if not isinstance(path, str | os.PathLike):
        raise DTypeError(f"render: a path is a str or a Path, not {type(path).__name__}.")
    kind = Path(path).suffix.lower()
    endings = (".dot", ".html", *(f".{one}" for one in FORMATS))
    if kind not in endings:
        raise ArgumentError(f"render: {str(path)!r} does not end with one of {', '.join(endings)}.")
    if kind == ".html":
        content: Any = to_html(obj, style=style, timeout=timeout, **options).encode()
    else:
        drawing = to_dot(obj, style=style or "structure", **options)
        content = drawing.source.encode()
        if kind != ".dot":
            content = drawing.pipe(kind[1:], timeout=timeout)
    write(path, content)
    return path
