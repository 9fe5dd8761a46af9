"""The numbers in a picture: the values of a graph, and the gradients on its way back."""

from typing import Any

import numpy

from tinygraph.replay import Replay

from .graph import Picture, name_of, shape_text


class Numbers:
    """The values and gradients of what a picture shows, computed again; the graph stays as it is.

    Attributes
    ----------
    values, gradients : dict
        The arrays at the tape's nodes; nothing where they are unknown.
    contributions : dict
        The gradient that an operation gives to its operand in one place, by node and place.
    changed : list of Leaf
        Those that have other values now, for which reason nothing is known of what follows them.
    missing : str
        Why there are no gradients, if there are none.
    """

    def __init__(self, picture: Picture):
        roots = picture.roots
        self.gradients: dict[Any, Any] = {}
        self.contributions: dict[tuple[Any, int], Any] = {}
        with numpy.errstate(all="ignore"):
            replay = Replay(roots)
            self.values = replay.values
            self.changed = replay.changed
            self.missing = self._obstacle(roots)
            if not self.missing:
                self.gradients, self.contributions = replay.back(
                    roots[0], numpy.ones((), roots[0].dtype)
                )

    def _obstacle(self, roots: list[Any]) -> str:
        if not any(root.requires_grad for root in roots):
            return "nothing here requires a gradient"
        if len(roots) > 1:
            return "of several results together there is no gradient"
        if roots[0].shape:
            return f"a gradient begins at one number, and this is {shape_text(roots[0].shape)}"
        if self.changed:
            return f"{self.told} {self.verb} been given new values since"
        return ""

    @property
    def told(self) -> str:
        """The names of what has changed."""
        return ", ".join(
            name_of(leaf) or f"a leaf {shape_text(leaf.shape)}" for leaf in self.changed
        )

    @property
    def verb(self) -> str:
        """What goes with these names."""
        return "have" if len(self.changed) > 1 else "has"


# ---------------------------------------------------------------- in words


def finite(array: Any) -> bool:
    """Whether all entries of an array are numbers."""
    return bool(numpy.isfinite(array).all())


def kinds(*arrays: Any) -> dict[str, int]:
    """Count what is not finite in some arrays, by kind."""
    counts = dict.fromkeys(("−inf", "inf", "nan"), 0)
    for array in arrays:
        infinite, below = numpy.isinf(array), array.real < 0
        counts["−inf"] += int((infinite & below).sum())
        counts["inf"] += int((infinite & ~below).sum())
        counts["nan"] += int(numpy.isnan(array).sum())
    return {kind: count for kind, count in counts.items() if count}


def entry(value: Any, digits: int = 4) -> str:
    """Write one entry of an array, an integer whole, other numbers with some digits."""
    text = str(value.item()) if value.dtype.kind in "iub" else f"{value + 0.0:.{digits}g}"  # no −0
    return text.replace("-", "−")


def entries(array: Any, most: int, digits: int = 4) -> list[list[str]]:
    """Write out an array row by row; nothing where it has more than so many rows or columns."""
    if array.ndim > 2 or not array.size or max(array.shape, default=0) > most:
        return []
    return [[entry(one, digits) for one in row] for row in numpy.atleast_2d(array)]


def real_of(array: Any) -> tuple[str, Any]:
    """Return an array as floats, of complex numbers their absolute values, and a word for these."""
    return (" of |z|", numpy.abs(array)) if array.dtype.kind == "c" else ("", array.astype(float))


def about(array: Any) -> list[str]:
    """Say of a large array its mean and its range, and how many entries are not finite."""
    lines = [f"{count:,} {kind}" for kind, count in kinds(array).items()]
    of, inside = real_of(array[numpy.isfinite(array)])
    if inside.size:
        low, mean, high = (f"{one:.3g}" for one in (inside.min(), inside.mean(), inside.max()))
        lines += [f"mean{of} {mean}", f"{low} … {high}"]
    return [line.replace("-", "−") for line in lines] or ["empty"]
