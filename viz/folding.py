"""What of a large graph is drawn as one box: its nodes are divided into units.

No unit makes the picture cyclic, and the time that it takes grows with the graph alone.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from tinygraph.modes import Scope
from tinygraph.tape import Leaf, Node

MAX_NODES = 150  # boxes above which a picture folds by itself
REPEATS = 3  # what is alike and follows on itself so often becomes one box
CHAIN = 6  # operations one after the other that become one box
PERIOD = 50  # scopes and operations in what repeats, at most
LEVELS = 20  # of scopes, that are opened where nobody asks for more: Graphviz is slow with frames
INPUTS = 3  # named inputs that stay outside a box; where there are more, they go into it


@dataclass(eq=False)
class Unit:
    """What is drawn as one box.

    Attributes
    ----------
    kind : {"node", "scope", "repeat", "chain", "rest"}
        A node by itself, or what several of them make.
    scope : Scope or None
        Where the box lies.
    operations : list of Node
    leaves : list of Leaf
        What is read by these operations only.
    names : list of list of str
        The names of the scopes in it; of what repeats, of those in the first and in the last.
    count : int
        How often it repeats.
    """

    kind: str
    scope: Scope | None
    operations: list[Node]
    leaves: list[Leaf] = field(default_factory=list)
    names: list[list[str]] = field(default_factory=list)
    count: int = 1

    @property
    def nodes(self) -> tuple[Any, ...]:
        """All that it stands for on the tape."""
        return (*self.leaves, *self.operations)

    @property
    def each(self) -> list[Node]:
        """The operations of the first of what repeats."""
        return self.operations[: len(self.operations) // self.count]


def single(node: Any) -> Unit:
    """Return a node by itself."""
    if node.plan is None:
        return Unit("node", None, [], [node])
    return Unit("node", node.scope, [node])


def units_of(
    nodes: list[Any], roots: Iterable[Any], *, depth: int | None = None, fold: bool | None = None,
    max_nodes: int = MAX_NODES,
) -> list[Unit]:  # fmt: skip
    """Divide a graph into what is drawn as one box each, in the order of the tape.

    Parameters
    ----------
    nodes : list of Node and Leaf
        By rising position.
    roots : iterable of Node and Leaf
        Those of them that are results.
    depth : int or None
        How many levels of scopes are opened; those below become a box each.
    fold : bool or None
        Whether what repeats becomes one box; with None only if there would be too many boxes,
        and with False, all that `depth` shows is drawn.
    max_nodes : int
        How many boxes are not too many.
    """
    if depth is None and not fold and (fold is False or len(nodes) <= max_nodes):
        return [single(node) for node in nodes]
    graph = Folding(nodes, roots)
    if depth is not None and not fold:
        *_, units = graph.levels(depth)
        if fold is False or len(units) <= max_nodes:
            return units
    graph.repeats = True
    units = []
    for opened in graph.levels(LEVELS if depth is None else depth):
        if len(opened) > max_nodes:
            return units or graph.nearest(opened, max_nodes)
        units = opened
    return units


class Folding:
    """A graph by its scopes, and the ways to divide it.

    `items` are, for each scope, the operations and scopes directly in it, by where they end on the
    tape; `readers` counts how often an operation is read; `repeats` says whether what repeats
    becomes one unit.
    """

    def __init__(self, nodes: list[Any], roots: Iterable[Any]):
        self.rank = {node: i for i, node in enumerate(nodes)}
        self.roots = set(roots)
        self.repeats = False
        self.items: dict[Scope | None, list[Any]] = {None: []}
        self.readers = Counter(self.roots)
        for node in reversed(nodes):
            if node.plan is not None:
                self.readers.update(filter(is_array, node.inputs))
                item, scope = node, node.scope
                while scope not in self.items and scope is not None:
                    self.items[scope] = [item]
                    item, scope = scope, scope.parent
                self.items[scope].append(item)
        for items in self.items.values():
            items.reverse()

    # ---- how much is opened

    def levels(self, depth: int) -> Iterator[list[Unit]]:
        """Divide the graph with the scopes closed, with the outermost opened, and so on."""
        units: list[Unit] = []
        closed: list[Scope | None] = [None]
        for _ in range(depth + 1):
            parts = [self.split(scope) for scope in closed]
            units += chain.from_iterable(found for found, _ in parts)
            closed = [*chain.from_iterable(inner for _, inner in parts)]
            yield self.acyclic([*units, *map(self.box, closed)])
            if not closed:
                return

    def acyclic(self, units: list[Unit]) -> list[Unit]:
        """Take apart what would make the picture cyclic, and put the leaves where they are read."""
        while True:
            units = self.with_leaves(units)
            cyclic = self.on_cycles(units)
            if not cyclic:
                return units
            apart = [map(single, one.operations) if one in cyclic else [one] for one in units]
            units = [one for one in chain.from_iterable(apart) if one.operations]

    def box(self, scope: Any) -> Unit:
        """Make one unit of a scope, unless it is only one operation."""
        operations = self.within([scope])
        if len(operations) == 1:
            return single(operations[0])
        return Unit("scope", scope.parent, operations, names=[[scope.name]])

    def within(self, items: list[Any]) -> list[Node]:
        """Return the operations that are or lie in some items, in the order of the tape."""
        found, todo = [], [*items]
        for one in todo:
            if type(one) is Node:
                found.append(one)
            else:
                todo += self.items[one]
        return sorted(found, key=self.rank.__getitem__)

    # ---- what is alike in a scope

    def split(self, scope: Scope | None) -> tuple[list[Unit], list[Scope | None]]:
        """Divide what lies directly in a scope into units, and scopes that can be opened."""
        items, units, loose = self.items[scope], [], []
        keys = [self.outline(item) for item in items]
        stop = len(items)
        while stop:
            count, period = self.repeated(items, keys, stop) if self.repeats else (1, 1)
            stop -= count * period
            if count == 1:
                loose.append(items[stop])
                continue
            repeats = items[stop : stop + count * period]
            names = [names_of(repeats[:period]), names_of(repeats[-period:])]
            units.append(Unit("repeat", scope, self.within(repeats), [], names, count))
        chains: dict[Node, list[Node]] = {}  # by their last operations
        for item in reversed([item for item in loose if type(item) is Node]):
            read = [*filter(is_array, item.inputs)]
            if self.repeats and len(read) == 1:
                line = chains.pop(read[0], []) if self.readers[read[0]] == 1 else []
                chains[item] = line
                line.append(item)
            else:
                units.append(single(item))
        for line in chains.values():
            units += [Unit("chain", scope, line)] if len(line) >= CHAIN else map(single, line)
        return units, [item for item in loose if type(item) is not Node]

    def repeated(self, items: list[Any], keys: list[Any], stop: int) -> tuple[int, int]:
        """Return how often the last items before a place repeat, and how many these are."""
        best = (1, 1)
        for period in range(1, min(PERIOD, stop // REPEATS) + 1):
            if keys[stop - 1] == keys[stop - 1 - period] and (best[0] == 1 or period % best[1]):
                count = self.count(items, keys, stop, period)
                if count >= REPEATS and count * period > best[0] * best[1]:
                    best = count, period
        return best

    def count(self, items: list[Any], keys: list[Any], stop: int, period: int) -> int:
        """Return how often as many items before a place repeat.

        A result ends what repeats, and so does, without scopes, a value that others read. Only
        the first repeat may read leaves where the others read what was computed.
        """
        start = stop - period
        last, scopes = keys[start:stop], bool(names_of(items[start:stop]))
        while start >= period and keys[start - period : start] == last:
            after = self.within(items[start : start + period])
            nodes = self.within(items[start - period : start])
            reads = Counter(one for node in (*nodes, *after) for one in node.inputs)
            if any(one in self.roots if scopes else self.readers[one] > reads[one]
                   for one in nodes):  # fmt: skip
                break
            (key, kinds), (same, others) = signature(nodes), signature(after)
            if key != same:
                break
            start -= period
            if kinds != others:
                break
        return (stop - start) // period

    def outline(self, item: Any) -> Any:
        """Return what is equal for items that are alike, at a glance."""
        if type(item) is Node:
            return item.plan.rule, item.shape, item.dtype
        return bare(item.name), len(self.items[item])

    # ---- leaves, order, cycles

    def with_leaves(self, units: list[Unit]) -> list[Unit]:
        """Put each leaf into what alone reads it, or beside it; return all by their order.

        A few inputs that have names stay beside it: a reader looks for those.
        """
        home: dict[Leaf, Unit | None] = {}
        for unit in units:
            unit.leaves = []
            for one in chain.from_iterable(node.inputs for node in unit.operations):
                if type(one) is Leaf and home.setdefault(one, unit) is not unit:
                    home[one] = None
        shown = []
        for leaf in [node for node in self.rank if type(node) is Leaf]:
            alone = home.get(leaf)
            if alone is None or alone.kind == "node" or leaf in self.roots:
                shown.append(leaf)
            else:
                alone.leaves.append(leaf)
        for unit in units:
            named = {one for one in unit.leaves if one.name and not one.requires_grad}
            if len(named) <= INPUTS:
                unit.leaves = [one for one in unit.leaves if one not in named]
                shown += named
        return self.in_order([*units, *map(single, shown)])

    def in_order(self, units: list[Unit]) -> list[Unit]:
        """Sort units by where they end on the tape."""
        rank = self.rank.__getitem__
        return sorted(units, key=lambda unit: max(map(rank, unit.operations or unit.leaves)))

    def on_cycles(self, units: list[Unit]) -> set[Unit]:
        """Return all units that lie on a cycle, or between cycles."""
        sources, readers = links(units)
        left = set(range(len(units)))
        left -= set(peeled(sources, readers, left))
        left -= set(peeled(readers, sources, left))
        return {units[i] for i in left}

    def nearest(self, units: list[Unit], count: int) -> list[Unit]:
        """Keep the units nearest to the results, each after its readers; make one of all others."""
        sources, readers = links(units)
        order: dict[int, None] = {}
        for i in peeled(readers, sources, range(len(units))):
            leaves = (j for j in sources[i] if not units[j].operations)
            order.update(dict.fromkeys([i, *leaves]))
        near = [units[i] for i in [*order][:count]]
        others = [unit for unit in units if unit not in near]
        if len(others) == 1:
            return units
        rest = Unit("rest", None, [node for unit in others for node in unit.operations],
                    [leaf for unit in others for leaf in unit.leaves])  # fmt: skip
        return self.in_order([*near, rest])


# ---------------------------------------------------------------- small parts


def is_array(operand: Any) -> bool:
    """Tell what has a place in the graph from a number that is written into its operation."""
    return type(operand) is Node or type(operand) is Leaf


def bare(name: str) -> str:
    """Return a name without its digits."""
    return re.sub(r"\d+", "", name)


def names_of(items: list[Any]) -> list[str]:
    """Return the names of the scopes among some items."""
    return [item.name for item in items if type(item) is not Node]


def signature(nodes: list[Node]) -> tuple[list, list]:
    """Return what is equal for operations that differ only in digits of their scopes' names.

    They stand in an order that does not depend on what lies outside; of what comes from there, the
    shape and the dtype count. Besides, return which operands are leaves.
    """
    depth: dict[Any, int] = {}
    for node in nodes:
        depth[node] = 1 + max((depth.get(one, -1) for one in node.inputs), default=-1)
    order = sorted(nodes, key=lambda node: (depth[node], node.plan.rule.name))
    place = {node: i for i, node in enumerate(order)}
    parts: list[Any] = []
    for node in order:
        parts += [node.plan.rule, node.shape, node.dtype, node.scope and bare(node.scope.name)]
        parts += [(one.shape, one.dtype, place.setdefault(one, len(place))) if is_array(one)
                  else None for one in node.inputs]  # fmt: skip
    return parts, [type(one) for node in order for one in node.inputs]


def links(units: list[Unit]) -> tuple[list[list[int]], list[list[int]]]:
    """Return which units each one reads, and which read it."""
    place = {node: i for i, unit in enumerate(units) for node in unit.nodes}
    sources: list[list[int]] = [[] for _ in units]
    readers: list[list[int]] = [[] for _ in units]
    for i, unit in enumerate(units):
        for one in filter(is_array, chain.from_iterable(node.inputs for node in unit.operations)):
            if place[one] != i:
                sources[i].append(place[one])
                readers[place[one]].append(i)
    return sources, readers


def peeled(sources: list, readers: list, left: Iterable[int]) -> list[int]:
    """Return, of what is left, all that can be ordered: each after all of its sources."""
    waiting = dict.fromkeys(sorted(left), 0)
    for i in waiting:
        waiting[i] = sum(j in waiting for j in sources[i])
    order = [i for i, count in waiting.items() if not count]
    for i in order:
        for j in readers[i]:
            if j in waiting:
                waiting[j] -= 1
                if not waiting[j]:
                    order.append(j)
    return order
