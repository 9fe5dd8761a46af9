"""What of a large graph is drawn as one box: its nodes are divided into units.

No unit makes the picture cyclic, and the time that it takes grows with the graph alone.
"""

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy

from tinygraph.tape import Leaf, Node, Scope

MAX_NODES = 150  # boxes above which a picture folds by itself
REPEATS = 3  # what is alike and follows on itself so often becomes one box
CHAIN = 6  # operations one after the other that become one box
PERIOD = 100  # scopes and operations in what repeats, at most
WIRED = 4  # operands of an operation that have to come from the same place in each repeat
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
    first, last : list of str
        The names of the scopes in the first of what repeats, and in the last of it.
    count : int
        How often it repeats.
    """

    kind: str
    scope: Scope | None
    operations: list[Node]
    leaves: list[Leaf] = field(default_factory=list)
    first: list[str] = field(default_factory=list)
    last: list[str] = field(default_factory=list)
    count: int = 1

    @property
    def nodes(self) -> tuple[Any, ...]:
        """All that it stands for on the tape."""
        return (*self.leaves, *self.operations)


def single(node: Any) -> Unit:
    """Return a node by itself."""
    if node.plan is None:
        return Unit("node", None, [], [node])
    return Unit("node", node.scope, [node])


def units_of(
    nodes: list[Any], roots: Iterable[Any], depth: int | None, fold: bool | None, max_nodes: int
) -> list[Unit]:
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
        units = graph.units(depth)
        if fold is False or len(units) <= max_nodes:
            return graph.with_inputs(units)
    graph.fold_repeats()
    levels = range(graph.opened(LEVELS if depth is None else depth, max_nodes) + 1)
    fitting = bisect_right(levels, max_nodes, key=lambda level: len(graph.units(level)))
    units = graph.units(max(fitting - 1, 0))
    return graph.with_inputs(units) if fitting else graph.nearest(units, max_nodes)


class Folding:
    """A graph by its scopes, and the ways to divide it.

    `items` are, for each scope, the operations and scopes directly in it, by where they end on the
    tape. `levels` holds what has been opened: for the outermost scope, those in it, and so on, the
    units that are drawn of them, and the scopes that can be opened next.
    """

    def __init__(self, nodes: list[Any], roots: Iterable[Any]):
        self.rank = {node: i for i, node in enumerate(nodes)}
        self.roots = set(roots)
        self.repeats = False
        self.levels: list[tuple[list[Unit], list[Scope]]] = []
        self.items: dict[Scope | None, list[Any]] = {None: []}
        self.level: dict[Scope | None, int] = {None: 0}
        for node in reversed(nodes):
            if node.plan is None:
                continue
            item, scope, fresh = node, node.scope, []
            while scope not in self.level and scope is not None:
                self.items[scope] = [item]
                fresh.append(scope)
                item, scope = scope, scope.parent
            self.items[scope].append(item)
            for one in reversed(fresh):
                self.level[one] = self.level[one.parent] + 1
        for items in self.items.values():
            items.reverse()
        self.readers = Counter(self.roots)
        for node in nodes:
            self.readers.update(one for one in node.inputs if type(one) is Node)

    # ---- how much is opened

    def fold_repeats(self) -> None:
        """Make one unit of what repeats, from now on."""
        self.repeats, self.levels = True, []

    def opened(self, depth: int, most: int) -> int:
        """Open the scopes down to a depth, or to where there are too many units; return where."""
        level = count = 0
        while True:
            if level == len(self.levels):
                self.levels.append(([], []))
                for scope in self.levels[level - 1][1] if level else [None]:
                    self.split(scope, *self.levels[level])
            units, scopes = self.levels[level]
            count += len(units)
            if level == depth or count > most or not scopes:
                return level
            level += 1

    def units(self, depth: int) -> list[Unit]:
        """Divide the graph with its scopes opened down to a depth."""
        shown = self.levels[: self.opened(depth, len(self.rank)) + 1]
        units = [unit for found, _ in shown for unit in found]
        units += map(self.closed, shown[-1][1])
        while True:
            units = self.with_leaves(units)
            cyclic = self.on_cycles(units)
            if not cyclic:
                return units
            units = [
                one
                for unit in units
                for one in (map(single, unit.operations) if unit in cyclic else [unit])
                if one.operations
            ]

    def closed(self, scope: Scope) -> Unit:
        """Make one unit of a scope, unless it is only one operation."""
        operations = self.within(scope)
        if len(operations) == 1:
            return single(operations[0])
        return Unit("scope", scope.parent, operations, first=[scope.name])

    def within(self, item: Any) -> list[Node]:
        """Return the operations that an item is or has in it, in the order of the tape."""
        if type(item) is Node:
            return [item]
        found, todo = [], [*self.items[item]]
        while todo:
            one = todo.pop()
            if type(one) is Node:
                found.append(one)
            else:
                todo += self.items[one]
        return sorted(found, key=self.rank.__getitem__)

    # ---- what is alike in a scope

    def split(self, scope: Scope | None, units: list[Unit], inner: list[Scope]) -> None:
        """Divide what lies directly in a scope into units, and scopes that can be opened."""
        items = self.items[scope]
        loose = numpy.ones(len(items), bool)
        if self.repeats and len(items) >= REPEATS:
            for start, stop, period in self.runs(scope, items):
                loose[start:stop] = False
                repeats = items[start:stop]
                operations = [node for item in repeats for node in self.within(item)]
                first, last = names_of(repeats[:period]), names_of(repeats[-period:])
                count = len(repeats) // period
                units.append(Unit("repeat", scope, operations, [], first, last, count))
        chains: list[list[Node]] = []
        tails: dict[Any, list[Node]] = {}
        for item in (items[i] for i in numpy.flatnonzero(loose)):
            if type(item) is not Node:
                inner.append(item)
                continue
            read = [one for one in item.inputs if is_array(one)]
            straight = self.repeats and len(read) == 1
            chain = tails.pop(read[0], None) if straight and self.readers[read[0]] == 1 else None
            if chain is None:
                chains.append(chain := [])
            chain.append(item)
            if straight:
                tails[item] = chain
        for chain in chains:
            if len(chain) < CHAIN:
                units += map(single, chain)
            else:
                units.append(Unit("chain", scope, chain))

    def runs(self, scope: Scope | None, items: list[Any]) -> Iterator[tuple[int, int, int]]:
        """Find what repeats among the items of a scope, the longest first.

        Yields
        ------
        start, stop : int
            Where it repeats.
        period : int
            How many items one repeat has.
        """
        keys, wires = self.traits(scope, items)
        found = []
        for period in range(1, min(PERIOD, len(items) // REPEATS) + 1):
            same = keys[period:] == keys[:-period]
            for start, stop in stretches(same, (REPEATS - 1) * period):
                stop += period
                found.append(((start - stop) // -period * -period, period, start, stop))
        free = numpy.ones(len(items), bool)
        for _, period, start, stop in sorted(found):
            for low, high in stretches(free[start:stop], REPEATS * period):
                low, high = low + start, high + start
                scopes = bool(names_of(items[low : low + period]))
                high = low + last_end(wires[low:high], period, scopes)
                low += (high - low) % period
                for first, last in alike(wires[low:high], period):
                    begin, end = low + first * period, low + last * period
                    for one, other in self.uncut(items[begin:end], period, scopes):
                        free[begin + one : begin + other] = False
                        yield begin + one, begin + other, period

    def traits(self, scope: Scope | None, items: list[Any]) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Return a number for each item, equal for what is alike; and how far back it reads."""
        place = {item: i for i, item in enumerate(items)}
        outlines = {one: (bare(one.name), len(self.items[one])) for one in items
                    if type(one) is not Node}  # fmt: skip
        often = Counter(outlines.values())
        numbers: dict[Any, int] = {}
        keys = numpy.empty(len(items), int)
        wires = numpy.zeros((len(items), WIRED), int)
        for i, item in enumerate(items):
            if type(item) is Node:
                key: Any = (item.plan.rule, item.shape, item.dtype, *map(kind_of, item.inputs))
                for slot, one in enumerate(item.inputs[:WIRED]):
                    if type(one) is Node:
                        wires[i, slot] = max(i - place.get(self.item_of(one, scope), i), 0)
            else:
                key = outlines[item]
                if often[key] >= REPEATS:
                    key = self.signature(item)
            keys[i] = numbers.setdefault(key, len(numbers))
        return keys, wires

    def item_of(self, node: Node, scope: Scope | None) -> Any:
        """Return the item of a scope that a node is or lies in, if it lies there."""
        item: Any = node
        outer: Any = node.scope
        while self.level[outer] > self.level[scope]:
            item, outer = outer, outer.parent
        return item

    def signature(self, scope: Scope) -> tuple:
        """Return what is equal for scopes that differ only in digits of their names.

        Its operations stand in an order that does not depend on what lies outside.
        """
        depth: dict[Any, int] = {}
        for node in self.within(scope):
            depth[node] = 1 + max((depth.get(one, -1) for one in node.inputs), default=-1)
        order = sorted(depth, key=lambda node: (depth[node], node.plan.rule.name))
        place = {node: i for i, node in enumerate(order)}
        parts: list[Any] = [bare(scope.name)]
        for node in order:
            parts += [node.plan.rule, node.shape, node.dtype, bare(node.scope.name)]
            parts += [(kind_of(one), is_array(one) and place.setdefault(one, len(place)))
                      for one in node.inputs]  # fmt: skip
        return tuple(parts)

    def uncut(self, items: list[Any], period: int, scopes: bool) -> Iterator[tuple[int, int]]:
        """Cut after each repeat with a result in it, or, without scopes, with one read outside."""
        repeats = [
            [node for item in items[i : i + period] for node in self.within(item)]
            for i in range(0, len(items), period)
        ]
        inside = Counter(one for nodes in repeats for node in nodes for one in node.inputs)
        start = 0
        for i, nodes in enumerate(repeats, 1):
            if i < len(repeats) and not any(
                node in self.roots if scopes else self.readers[node] > inside[node]
                for node in nodes
            ):
                continue
            if i - start >= REPEATS:
                yield start * period, i * period
            start = i

    # ---- leaves, order, cycles

    def with_leaves(self, units: list[Unit]) -> list[Unit]:
        """Put each leaf into what alone reads it, or beside it; return all by their order."""
        home: dict[Leaf, Unit | None] = {}
        for unit in units:
            unit.leaves = []
            for node in unit.operations:
                for one in node.inputs:
                    if type(one) is Leaf and home.setdefault(one, unit) is not unit:
                        home[one] = None
        shown = []
        for node in self.rank:
            if type(node) is Leaf:
                alone = home.get(node)
                if alone is None or alone.kind == "node" or node in self.roots:
                    shown.append(single(node))
                else:
                    alone.leaves.append(node)
        return self.in_order([*units, *shown])

    def with_inputs(self, units: list[Unit]) -> list[Unit]:
        """Take a few inputs that have names out of what reads them: a reader looks for those."""
        shown: list[Unit] = []
        for unit in units:
            named = [one for one in unit.leaves if one.name and not one.requires_grad]
            if unit.kind != "node" and len(named) <= INPUTS:
                unit.leaves = [one for one in unit.leaves if one not in named]
                shown += map(single, named)
        return self.in_order([*units, *shown])

    def in_order(self, units: list[Unit]) -> list[Unit]:
        """Sort units by where they end on the tape."""
        rank = self.rank.__getitem__
        return sorted(units, key=lambda unit: max(map(rank, unit.operations or unit.leaves)))

    def links(self, units: list[Unit]) -> tuple[list[list[int]], list[list[int]]]:
        """Return which units each one reads, and which read it."""
        place = {node: i for i, unit in enumerate(units) for node in unit.nodes}
        sources: list[list[int]] = [[] for _ in units]
        readers: list[list[int]] = [[] for _ in units]
        for i, unit in enumerate(units):
            for node in unit.operations:
                for one in node.inputs:
                    if is_array(one) and place[one] != i:
                        sources[i].append(place[one])
                        readers[place[one]].append(i)
        return sources, readers

    def on_cycles(self, units: list[Unit]) -> set[Unit]:
        """Return all units that lie on a cycle, or between cycles."""
        sources, readers = self.links(units)
        left = set(range(len(units)))
        left -= set(peeled(sources, readers, left))
        left -= set(peeled(readers, sources, left))
        return {units[i] for i in left}

    def nearest(self, units: list[Unit], count: int) -> list[Unit]:
        """Keep the units nearest to the results, and make one of all others.

        The distance of an operation is that of its farthest reader and one more, so that no other
        is read by what is not kept.
        """
        sources, readers = self.links(units)
        distance = [0] * len(units)
        for i in peeled(readers, sources, range(len(units))):
            for j in sources[i]:
                far = distance[i] + 1
                near = units[j].operations or not distance[j]
                distance[j] = max(distance[j], far) if near else min(distance[j], far)
        order = sorted(range(len(units)), key=lambda i: (distance[i], -i))
        others = [units[i] for i in sorted(order[count:])]
        if len(others) == 1:
            return units
        rest = Unit("rest", None, [node for unit in others for node in unit.operations],
                    [leaf for unit in others for leaf in unit.leaves])  # fmt: skip
        return self.in_order([*(units[i] for i in order[:count]), rest])


# ---------------------------------------------------------------- small parts


def is_array(operand: Any) -> bool:
    """Tell what has a place in the graph from a number that is written into its operation."""
    return type(operand) is Node or type(operand) is Leaf


def kind_of(operand: Any) -> Any:
    """Return what counts of an operand if it comes from outside."""
    return (operand.shape, operand.dtype) if is_array(operand) else None


@lru_cache
def bare(name: str) -> str:
    """Return a name without its digits."""
    return re.sub(r"\d+", "", name)


def names_of(items: list[Any]) -> list[str]:
    """Return the names of the scopes among some items."""
    return [item.name for item in items if type(item) is not Node]


def stretches(mask: numpy.ndarray, least: int) -> list[list[int]]:
    """Return where a mask is true for long enough: pairs of start and stop."""
    padded = numpy.zeros(len(mask) + 2, numpy.int8)
    padded[1:-1] = mask
    pairs = numpy.flatnonzero(numpy.diff(padded)).reshape(-1, 2)
    return pairs[pairs[:, 1] - pairs[:, 0] >= least].tolist()


def last_end(wires: numpy.ndarray, period: int, scopes: bool) -> int:
    """Return where the last repeat ends: at the end, or sooner, so that the fewest values cross."""
    if scopes:
        return len(wires)
    best = (period * WIRED + 1, 0)
    place = numpy.arange(period)[:, None]
    for end in range(len(wires), len(wires) - len(wires) % period - 1, -1):
        one = wires[end - period : end]
        if is_chain(one):
            best = min(best, (len(numpy.unique((place - one)[one > place])), -end))
    return -best[1]


def alike(wires: numpy.ndarray, period: int) -> Iterator[tuple[int, int]]:
    """Yield from which repeat to which the wiring within is the same."""
    place = numpy.arange(len(wires))[:, None] % period
    inner = numpy.where(wires <= place, wires, 0)
    same = (inner[period:] == inner[:-period]).reshape(-1, period * WIRED).all(axis=1)
    for start, stop in stretches(same, REPEATS - 1):
        yield start, stop + 1


def is_chain(wires: numpy.ndarray) -> bool:
    """Whether each of some operations but the last is read by another of them."""
    place = numpy.arange(len(wires))[:, None]
    read = (place - wires)[(wires > 0) & (wires <= place)]
    return len(numpy.unique(read)) == len(wires) - 1


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
