"""The tape: what was made from what, and the walk back over it.

A tape is not a list that somebody keeps. Each recorded result points at a `Node`, a node at the
nodes of its operands, and a node's position is greater than theirs. Walking what a result reaches
by falling position is therefore a reverse topological order: without recursion, at any depth.
"""

from collections.abc import Callable, Container, Iterable
from itertools import takewhile
from operator import attrgetter
from typing import Any

import numpy

from .errors import GraphError, RuleError
from .modes import MODES, Scope
from .rules.indexing import Scattered
from .rules.reductions import sum_to
from .rules.table import ListPlan, Parts, Plan

# ---------------------------------------------------------------- what a graph is made of


class Backward(Scope):
    """The region of what a recorded walk back computed for one node."""

    __slots__ = ()


class Cell:
    """What stays the same in all versions of a leaf: its name and its gradient."""

    __slots__ = ("grad", "name")

    def __init__(self, name: str | None = None):
        self.name = name
        self.grad: Any = None


class Leaf:
    """Values that no rule made, as a graph read them.

    `data` becomes None when the values are changed later: an older graph then knows that it can
    no longer be replayed.
    """

    __slots__ = ("cell", "data", "detached", "dtype", "requires_grad", "shape", "traced")
    position = 0
    inputs = parents = kept = ()
    plan = None
    scope = None

    def __init__(
        self,
        data: Any,
        cell: Cell,
        *,
        requires_grad: bool = False,
        traced: bool = False,
        detached: bool = False,
    ):
        self.data = data
        self.cell = cell
        self.shape = data.shape
        self.dtype = data.dtype
        self.requires_grad = requires_grad
        self.traced = traced  # an argument of a transform, or of a function that is drawn
        self.detached = detached

    def changed(self, data: Any) -> "Leaf":
        """Return the leaf with other values, for what is recorded from now on."""
        return Leaf(data, self.cell, requires_grad=self.requires_grad, traced=self.traced)

    @property
    def name(self) -> str | None:
        """The name that the user gave it."""
        return self.cell.name

    @name.setter
    def name(self, name: str | None) -> None:
        self.cell.name = name


class Node:
    """One application of a rule.

    Attributes
    ----------
    plan : Plan
        The rule, and what it keeps here.
    inputs : tuple
        The operands in order: each a Node, a Leaf or a Python number.
    parents : tuple
        Those of them that get a gradient, in the order of ``plan.slots``.
    kept : tuple or None
        What the plan keeps for the way back; None once that was released.
    params : dict
        The parameters of the rule.
    position : int
    shape, dtype
        Of the result.
    scope : Scope or None
    name : str or None
    cell : Cell or None
        Where the gradient of the result is put, if it was asked to be kept.
    requires_grad : bool
        False for what is recorded only to be seen.
    line : tuple, optional
        The line of the user's code; set inside `detect_anomaly` only.
    """

    __slots__ = (
        "cell", "dtype", "inputs", "kept", "line", "name", "params", "parents", "plan",
        "position", "requires_grad", "scope", "shape",
    )  # fmt: skip
    traced = True

    def __init__(
        self,
        plan: Plan | ListPlan,
        inputs: tuple,
        parents: tuple,
        kept: tuple,
        params: dict,
        position: int,
        result: Any,
        scope: Scope | None,
    ):
        self.plan = plan
        self.inputs = inputs
        self.parents = parents
        self.kept: Any = kept
        self.params = params
        self.position = position
        self.shape = result.shape
        self.dtype = result.dtype
        self.scope = scope
        self.name: str | None = None
        self.cell: Cell | None = None
        self.requires_grad = bool(parents)


# ---------------------------------------------------------------- order


def reachable(
    roots: Iterable[Any],
    *,
    links: Callable[[Any], Iterable] | None = None,
    stops: Container | None = None,
) -> list:
    """Return all that the roots reach by their parents, or other links, by falling position.

    Among equal positions the order is that of discovery, operands left to right, so that every run
    walks, adds up and draws alike.
    """
    found = dict.fromkeys(roots)
    order = list(found)
    for node in order:
        if stops and node in stops:
            continue
        for link in links(node) if links else node.parents:
            if link not in found:
                found[link] = None
                order.append(link)
    order.sort(key=attrgetter("position"), reverse=True)
    return order


def leaves(order: list) -> Iterable[Leaf]:
    """Return the leaves of what is ordered by falling position: they come last."""
    return takewhile(lambda node: node.plan is None, reversed(order))


def operands(node: Any) -> tuple:
    """Return all inputs of a node that are no Python numbers, with a gradient or without."""
    return tuple(one for one in node.inputs if type(one) is Node or type(one) is Leaf)


# ---------------------------------------------------------------- the walk back


def fitted(xp: Any, gradient: Any, parent: Any, node: Node) -> Any:
    """Bring what a formula returned to the shape and dtype of its operand."""
    if type(gradient) is Parts:
        return gradient
    if type(gradient) is Scattered:
        gradient = gradient.dense()
    if gradient.shape != parent.shape:
        rule = node.plan.rule
        if rule.broadcasts:
            gradient = sum_to(xp, gradient, parent.shape)
        if gradient.shape != parent.shape:
            raise RuleError(
                f"{rule.name}: its vjp returned a gradient of shape {gradient.shape} for an "
                f"operand of shape {parent.shape}."
            )
    if gradient.dtype != parent.dtype:
        if gradient.dtype.kind == "c" and parent.dtype.kind != "c":
            gradient = xp.real(gradient)
        gradient = xp.astype(gradient, parent.dtype)
    return gradient


def conjugate(xp: Any, gradient: Any) -> Any:
    """Return the complex conjugate; of real numbers and of nothing what they are."""
    if type(gradient) is Scattered:
        gradient = gradient.dense()
    if type(gradient) is Parts:
        return Parts(conjugate(xp, one) for one in gradient)
    complex_ = gradient is not None and gradient.dtype.kind == "c"
    return xp.conj(gradient) if complex_ else gradient


def pull_plain(xp: Any, node: Node, gradient: Any, kept: tuple) -> Any:
    """Pull a gradient back through one node."""
    return node.plan.pull(xp, gradient, kept, node.params)


def pull_conjugate(xp: Any, node: Node, gradient: Any, kept: tuple) -> list:
    """Pull a gradient of complex numbers back through one node.

    A formula transposes: it knows nothing of conjugates. The gradient that points uphill is pulled
    back by the conjugate transpose, which is the transpose between two conjugations.
    """
    if not node.plan.transposes:
        return pull_plain(xp, node, gradient, kept)
    pulled = pull_plain(xp, node, conjugate(xp, gradient), kept)
    return [conjugate(xp, one) for one in pulled]


def pull_back(
    seeds: dict,
    order: list,
    xp: Any,
    *,
    wanted: set | None = None,
    targets: Container | None = None,
    lift: Callable[[Node], tuple] | None = None,
    release: bool = True,
) -> dict:
    """Walk a graph back and return the gradients that arrived where they are waited for.

    Parameters
    ----------
    seeds : dict
        Where to begin, with which gradients.
    order : list of Node and Leaf
        What the walk passes, by falling position.
    xp : namespace
        What the formulas are run on: that of the arrays, or that of Tensors to record them.
    wanted : set of Node and Leaf, optional
        If given, gradients of others are left out.
    targets : container of Node and Leaf, optional
        Where the walk ends, and whose gradients it returns; by default of all that have a cell.
    lift : callable, optional
        Makes what a node kept into Tensors that point into the graph. Given when recording.
    release : bool
        Whether to free what each node kept as soon as the walk has passed it.
    """
    dtype, complex_ = None, False
    for node in order:
        if node.dtype is not dtype:
            dtype = node.dtype
            complex_ = complex_ or dtype.kind == "c"
        if node.kept is None and (targets is None or node not in targets):
            raise GraphError(
                f"backward: this graph was walked before, and what {describe(node)} kept was "
                "freed then. Pass retain_graph=True to the first backward, or compute it again."
            )
    now = MODES.get()
    pull = pull_conjugate if complex_ else None
    if now.anomaly is not None:
        pull = now.anomaly.pulling(pull or pull_plain, order, wanted)
    if now.trace is not None:
        pull = now.trace.pulling(pull or pull_plain)
    gradients = dict(seeds)
    take, arriving = gradients.pop, gradients.get
    arrived = {}
    owned = set()  # nodes whose gradient was added up here, so that nobody else has it
    for node in order:
        gradient = take(node, None)
        if gradient is None:
            continue
        if targets is None:
            if node.cell is not None:
                arrived[node] = gradient
        elif node in targets:
            arrived[node] = gradient
            continue
        plan = node.plan
        if plan is None:
            continue
        kept = lift(node) if lift else node.kept
        if pull is None:
            pulled = plan.pull(xp, gradient, kept, node.params)
        else:
            pulled = pull(xp, node, gradient, kept)
        if release:
            node.kept = None
        place = 0  # counted by hand: zip would take as long as the rest of the loop
        for parent in node.parents:
            one = pulled[place]
            place += 1
            if one is None or (wanted is not None and parent not in wanted):
                continue
            before = arriving(parent)
            if one.shape != parent.shape or one.dtype is not parent.dtype:
                if type(one) is Scattered:
                    if parent in owned and one.values.dtype == parent.dtype:
                        one.add_into(before)
                        continue
                    if before is None:
                        owned.add(parent)
                one = fitted(xp, one, parent, node)
            if before is None:
                gradients[parent] = one
            elif parent in owned:
                before += one
            else:
                gradients[parent] = total = before + one
                if type(total) is numpy.ndarray:
                    owned.add(parent)
    if now.anomaly is not None:
        now.anomaly.arrived(arrived)
    return arrived


def describe(node: Any) -> str:
    """Name a node for a message."""
    label = node.plan.rule.name if node.plan is not None else "a leaf"
    return f"{label} {node.name!r}" if node.name else label
