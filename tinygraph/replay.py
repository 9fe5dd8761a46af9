"""A recorded graph computed again, forwards and back, for whoever wants to see its numbers.

A tape keeps few of the values and none of the gradients that flow through it. They are made again
from the leaves by the recorded rules, to the last bit, and the graph stays as it is. Of another
library's arrays it is NumPy that computes them again, to rounding.
"""

from collections.abc import Iterable
from typing import Any

import numpy

from .arrays import NUMPY
from .engines import Foreign
from .errors import GraphError
from .rules.table import Parts
from .tape import Leaf, Node, fitted, operands, pull_conjugate, reachable


class Replay:
    """The values of a graph.

    Attributes
    ----------
    values : dict
        The array at every node and leaf; nothing for what was made from a changed leaf.
    changed : list of Leaf
        Those that have been given other values since the graph was recorded.
    """

    def __init__(self, roots: Iterable[Any], xp: Any = NUMPY):
        self.xp = xp
        self.values: dict[Any, Any] = {}
        self.changed: list[Leaf] = []
        self.kept: dict[Node, tuple] = {}
        for node in reversed(reachable(roots, links=operands)):
            if node.plan is not None:
                self._run(node)
            elif node.data is None:
                self.changed.append(node)
            else:
                self.values[node] = as_numpy(node.data)

    def _run(self, node: Node) -> None:
        arrays = []
        for one in node.inputs:
            if type(one) is Node or type(one) is Leaf:
                if one not in self.values:
                    return
                one = self.values[one]
            arrays.append(as_numpy(one))
        result, residual = node.plan.rule.run(self.xp, tuple(arrays), node.params)
        if node.plan.rule.outputs:
            result = Parts(result)
        elif self.xp is NUMPY:
            result = numpy.asarray(result)
        self.values[node] = result
        if node.parents:
            self.kept[node] = node.plan.keep(*arrays, self.values[node], residual)

    def back(self, root: Any, seed: Any) -> tuple[dict, dict]:
        """Walk back from a value, which must not depend on a changed leaf.

        Parameters
        ----------
        root : Node or Leaf
            Where to begin.
        seed : array
            The gradient there.

        Returns
        -------
        gradients : dict
            The gradient that arrived at each node and leaf, in the order of the walk.
        contributions : dict
            For each node and place of an operand what this operation added to the operand's
            gradient.
        """
        arrived, gradients, contributions = {root: seed}, {}, {}
        for node in reachable([root]):
            if node not in arrived:
                continue
            gradients[node] = gradient = arrived[node]
            if node.plan is None:
                continue
            pulled = pull_conjugate(self.xp, node, gradient, self.kept[node])
            for slot, parent, one in zip(node.plan.slots, node.parents, pulled, strict=True):
                if one is None:
                    continue
                one = fitted(self.xp, one, parent, node)
                contributions[node, slot] = one
                arrived[parent] = arrived[parent] + one if parent in arrived else one
        return gradients, contributions


def as_numpy(x: Any) -> Any:
    """Return another library's array as one of NumPy, and all else as it is."""
    return x.numpy() if type(x) is Foreign else x


def replay(roots: Iterable[Any], xp: Any = NUMPY) -> dict:
    """Run the recorded rules again, from the leaves, and return the array at every node.

    The arrays are the recorded ones to the last bit. Nothing is recorded and no gradient changes.

    Raises
    ------
    GraphError
        If a leaf has been given other values since; it is named.
    """
    again = Replay(roots, xp)
    for leaf in again.changed:
        raise GraphError(
            f"replay: {leaf.name or 'a leaf'!r} of shape {leaf.shape} has been given new values "
            "since this graph was recorded. Record the graph again."
        )
    return again.values
