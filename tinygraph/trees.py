"""Nested dicts, lists, tuples and dataclasses: taken apart into leaves and put together again."""

from collections.abc import Callable, Iterable
from typing import Any

from .errors import ShapeError


def parts_of(tree: Any) -> tuple[Iterable[Any], Callable[[list], Any]] | None:
    """Return what a tree holds and how to make one like it of other parts; None for a leaf."""
    if tree is None:
        return (), lambda parts: None
    if isinstance(tree, dict):
        return tree.values(), lambda parts: dict(zip(tree, parts, strict=True))
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return tree, lambda parts: type(tree)(*parts)
    if isinstance(tree, list | tuple):
        return tree, type(tree)
    if hasattr(tree, "__dataclass_fields__") and not isinstance(tree, type):
        import dataclasses  # whoever made this one has paid for it

        names = [field.name for field in dataclasses.fields(tree) if field.init]
        return (
            [getattr(tree, name) for name in names],
            lambda parts: dataclasses.replace(tree, **dict(zip(names, parts, strict=True))),
        )
    return None


def flatten(tree: Any) -> tuple[list, Callable[[Iterable], Any]]:
    """Return the leaves of a tree, and the function that makes a tree like it of other leaves.

    Examples
    --------
    >>> leaves, rebuild = flatten({"W": [1, 2], "b": 3})
    >>> leaves
    [1, 2, 3]
    >>> rebuild([10, 20, 30])
    {'W': [10, 20], 'b': 30}
    """
    found = parts_of(tree)
    if found is None:
        return [tree], lambda leaves: next(iter(leaves))
    parts, make = found
    branches = [flatten(part) for part in parts]
    leaves = [leaf for below, _ in branches for leaf in below]

    def rebuild(leaves: Iterable) -> Any:
        rest = iter(leaves)
        return make([again(take(rest, len(below))) for below, again in branches])

    return leaves, rebuild


def leaves_like(tree: Any, other: Any) -> list:
    """Return the leaves of a tree in the order of another of the same structure.

    Examples
    --------
    >>> leaves_like({"b": 3, "W": [1, 2]}, {"W": [0, 0], "b": 0})
    [1, 2, 3]
    """
    keyed = isinstance(tree, dict) and isinstance(other, dict) and tree.keys() == other.keys()
    if keyed:
        tree = {key: tree[key] for key in other}
    given, wanted = parts_of(tree), parts_of(other)
    if wanted is None:
        leaves = flatten(tree)[0]
        if len(leaves) == 1:
            return leaves
    elif given is not None and (keyed or not isinstance(tree, dict) | isinstance(other, dict)):
        pairs = list(given[0]), list(wanted[0])
        if len(pairs[0]) == len(pairs[1]):
            return [leaf for pair in zip(*pairs, strict=True) for leaf in leaves_like(*pair)]
    raise ShapeError(f"{shown(tree)} is given for {shown(other)}.")


def shown(tree: Any) -> str:
    """Describe the outermost level of a tree."""
    found = parts_of(tree)
    if found is None:
        return f"an array of shape {getattr(tree, 'shape', ())}"
    what = f"with keys {list(tree)}" if isinstance(tree, dict) else f"of {len(list(found[0]))}"
    return f"{type(tree).__name__} {what}"


def take(leaves: Any, count: int) -> list:
    """Take the next leaves off an iterator."""
    return [next(leaves) for _ in range(count)]
