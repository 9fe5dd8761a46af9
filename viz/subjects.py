"""What can be drawn: Tensors, functions and models, down to the results whose graph it is."""

import inspect
from collections.abc import Callable
from typing import Any

from tinygraph.errors import ArgumentError, DTypeError
from tinygraph.tensor import Tensor
from tinygraph.transforms import record

TAKEN = (
    "a Tensor, a dict of Tensors, a function with args=(example, arguments), or a model with "
    "args=(x, t)"
)


def results_of(obj: Any, args: tuple) -> tuple[str, list[tuple[str, Tensor]]]:
    """Return a title for what is drawn, and the Tensors with their names."""
    if not isinstance(args, tuple | list):
        raise ArgumentError("to_dot: args is a tuple; of one argument, args=(x,).")
    function = ""
    if not callable(obj) and isinstance(getattr(obj, "params", None), dict):
        obj = method_for(obj, args)
    if callable(obj):
        function = title_of(obj)
        obj, _ = record(obj, tuple(args))
    elif args:
        raise ArgumentError("to_dot: args are example arguments for a function.")

    if isinstance(obj, dict):
        results = [(str(name), one) for name, one in obj.items()]
    elif function and isinstance(obj, tuple | list):
        results = [(getattr(one, "name", None) or f"out{i}", one) for i, one in enumerate(obj)]
    else:
        name = "out" if getattr(obj, "shape", ()) else "loss"
        results = [(getattr(obj, "name", None) or name, obj)]
    for _, one in results:
        if not isinstance(one, Tensor):
            subject = f"what {function} returned" if function else "this"
            verb = "is" if one is obj else "holds something"
            kind = type(one).__name__
            raise DTypeError(f"to_dot: {subject} {verb} of type {kind}; it draws {TAKEN}.")
    if not results:
        raise ArgumentError(f"to_dot: there is nothing to draw; it draws {TAKEN}.")
    return function or ", ".join(name for name, _ in results), results


def title_of(function: Callable) -> str:
    """Return a function's name, that of a method with the class of its object."""
    if inspect.ismethod(function) and not isinstance(function.__self__, type):
        return f"{type(function.__self__).__name__}.{function.__name__}"
    return getattr(function, "__qualname__", type(function).__name__).rpartition("<locals>.")[2]


def method_for(model: Any, args: tuple) -> Callable:
    """Return the model's loss, or its prediction, whichever takes so many arguments."""
    methods = [*filter(callable, (getattr(model, name, None) for name in ("loss", "predict")))]
    for method in methods:
        try:
            inspect.signature(method).bind(*args)
        except TypeError:
            continue
        return method
    kind = type(model).__name__
    known = " and ".join(f"{one.__name__}{inspect.signature(one)}" for one in methods)
    raise ArgumentError(
        f"to_dot: of a {kind} it draws the loss or the prediction, and {len(args)} arguments fit "
        f"neither: {kind} has {known or 'neither of them'}. Give a batch, as in args=(x, t)."
    )
