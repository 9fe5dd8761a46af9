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
            verb = "have" if len(self.changed) > 1 else "has"
            return f"{self.told} {verb} been given new values since"
        return ""

    @property
    def told(self) -> str:
        """The names of what has changed."""
        return ", ".join(
            name_of(leaf) or f"a leaf {shape_text(leaf.shape)}" for leaf in self.changed
        )
