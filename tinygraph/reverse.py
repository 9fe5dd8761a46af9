"""Reverse mode for functions: one call on variables, and walks back from what it returned.

What a walk meets decides whether anybody can differentiate the outcome in turn: only then is the
walk itself recorded. Transforms therefore nest in any order.
"""

from collections.abc import Callable, Iterable
from operator import index
from typing import Any

import numpy

from .engines import Foreign, plain
from .errors import ArgumentError, DTypeError
from .modes import MODES, Scope, modes, outside
from .rules import RULES
from .tape import Cell, Leaf, Node, reachable
from .tensor import Shared, Tensor, Wrapped, array_of, innermost, owned, same, walk_back, wrap
from .trees import flatten, take


def as_tensor(x: Any) -> Tensor:
    """Return an argument as a Tensor that nobody else can write to; a Python int is a float."""
    if isinstance(x, Shared):
        return wrap(*x._snapshot())
    if isinstance(x, Tensor):
        return x
    return wrap(array_of(float(x) if type(x) is int else x, copy=True))


def bottom(x: Tensor) -> Tensor:
    """Return the Tensor inside all wrappings."""
    while isinstance(x, Wrapped):
        x = x._inside.parts[0]
    return x


def bare_parts(x: Tensor) -> list[Tensor]:
    """Return all Tensors inside all wrappings."""
    if isinstance(x, Wrapped):
        return [one for part in x._inside.parts for one in bare_parts(part)]
    return [x]


def unrecorded(x: Tensor) -> Tensor:
    """Return a Tensor without its graph, in the same wrappings."""
    if isinstance(x, Wrapped):
        return x._inside.remake(*map(unrecorded, x._inside.parts))
    return wrap(array_of(x))


def is_within(node: Any, scope: Scope) -> bool:
    """Whether a node was recorded in a scope, or in one inside it."""
    inner = node.scope
    while inner is not None and inner is not scope:
        inner = inner.parent
    return inner is scope


def holds_tensors(*trees: Any) -> bool:
    """Whether a Tensor is among the leaves."""
    return any(isinstance(one, Tensor) for one in flatten(trees)[0])


def stays(x: Tensor, tensor: bool) -> bool:
    """Whether to answer by a Tensor: one was given, or a transform outside needs the record."""
    traced = MODES.get().trace is not None
    return tensor or traced or x.requires_grad or isinstance(x, Wrapped)


def answer(x: Tensor, tensor: bool) -> Any:
    """Return a Tensor if it has to be one, else an ndarray of the caller's own."""
    if stays(x, tensor):
        return same(x)
    return x.data if type(x._data) is Foreign else x.numpy()


def zeros(like: Tensor) -> Tensor:
    """Return zeros of the shape and dtype of a Tensor."""
    if type(like._data) is Foreign:
        return wrap(numpy.zeros_like(like._data))
    return wrap(numpy.zeros(like.shape, like.dtype))


def ones(like: Tensor) -> Tensor:
    """Return ones of the shape and dtype of a Tensor."""
    if type(like._data) is Foreign:
        return wrap(numpy.ones_like(like._data))
    return wrap(numpy.ones(like.shape, like.dtype))


class Call:
    """One call of a function on variables, and the walks back from what it returned.

    Parameters
    ----------
    name : str
        What messages call the transform.
    f : callable
    args, options : tuple, dict
        The arguments to call it with.
    argnums : int or tuple of int
        Which positional arguments to differentiate by: trees of floating point numbers.
    transforming : bool
        Whether a number may not leave the function.

    Attributes
    ----------
    out : object
        What the function returned.
    variables : list of Tensor
        What stood for the leaves of those arguments.
    """

    def __init__(
        self,
        name: str,
        f: Callable,
        args: tuple,
        options: dict,
        argnums: int | Iterable[int],
        transforming: bool = True,
    ):
        self.name = name
        self.outside = MODES.get()
        self.only = not hasattr(argnums, "__iter__")
        try:
            self.places = list(map(index, [argnums] if self.only else argnums))  # type: ignore[arg-type]
        except TypeError:
            raise DTypeError(f"{name}: argnums is an int or several, not {argnums!r}.") from None
        self.trees: list[tuple[int, Callable]] = []  # how many leaves, and what joins them
        self.given: list[Any] = []
        self.variables: list[Tensor] = []
        self.own: list[Leaf] = []
        inside = list(args)
        seen: set[int] = set()
        for place in self.places:
            if not -len(args) <= place < len(args) or place % len(args) in seen:
                raise ArgumentError(
                    f"{name}: argnums={argnums!r}, and the function was called with {len(args)} "
                    "positional arguments."
                )
            seen.add(place % len(args))
            leaves, join = flatten(args[place])
            variables = [self.variable(one, place) for one in leaves]
            self.trees.append((len(leaves), join))
            self.given += leaves
            self.variables += variables
            inside[place] = join(map(same, variables))
        self.linked = len(self.own) < len(self.variables)  # some argument has a graph outside
        trace = self.outside.trace
        self.tensors = holds_tensors(args, options) if trace is None else trace.tensors
        try:
            with modes(recording=True, transforming=transforming or self.outside.transforming):
                self.out = f(*inside, **options)
        finally:
            for leaf in self.own:  # what leaks out of the call is nobody's variable any more
                leaf.traced = leaf.requires_grad = False

    def variable(self, x: Any, place: int) -> Tensor:
        """Return a Tensor to differentiate by, with the values of an argument.

        Where the call is mapped over a batch, each example gets a variable of its own.
        """
        tensor = as_tensor(x)
        if tensor.dtype.kind not in "fc":
            raise DTypeError(
                f"{self.name}: argument {place} has dtype {tensor.dtype}, and only floating point "
                "numbers have gradients. Use .astype('float64') on it, or leave it out of "
                "argnums."
            )
        for batch in self.outside.batches:
            tensor = batch.spread(tensor)
        return self.tied(tensor)

    def tied(self, x: Tensor) -> Tensor:
        """Put a new result in the place of a Tensor, in the same wrappings.

        It is a result, not a leaf, so that a function may change it in place. Its operand is the
        node of the Tensor, which ties it to the graph around the call, or else a new leaf.
        """
        if isinstance(x, Wrapped):
            first, *rest = x._inside.parts
            return x._inside.remake(self.tied(first), *rest)
        source, values = x._node, array_of(x)
        name = source.name if source is not None else None
        if source is None or not (source.requires_grad or source.traced):
            source = Leaf(values, Cell(name), requires_grad=True, traced=True)
            self.own.append(source)
        parents = (source,) if source.requires_grad else ()
        node = Node(
            RULES["positive"].plan((0,) if parents else ()), (source,), parents, (), {},
            source.position + 1, values, self.outside.scope,
        )  # fmt: skip
        node.requires_grad = True
        node.name = name
        node.cell = Cell()  # so that a backward inside the function has where to put its gradient
        return wrap(values, node)

    def look(self, results: list[Tensor], within: Scope | None = None) -> list:
        """Decide whether the walks back from these results are to be recorded.

        With a scope, only what was recorded in it is walked, up to the nodes from outside that the
        function read; these are returned, and can be pulled to like variables.
        """
        self.stops = {bottom(one)._node for one in self.variables}
        self.roots = [
            part._node for one in results for part in bare_parts(one) if part.requires_grad
        ]

        def parents(node: Any) -> tuple:
            return node.parents if within is None or is_within(node, within) else ()

        self.met = reachable(self.roots, links=parents, stops=self.stops)
        captured = [node for node in self.met if node.requires_grad and (node.plan is None or not (
            within is None or node in self.stops or is_within(node, within)
        ))]  # fmt: skip
        self.record = self.outside.recording and (
            self.linked
            or self.outside.everything
            or any(node.traced for node in captured)
            or (self.tensors and bool(captured))
        )
        if within is not None:
            self.stops.update(captured)
        return captured

    def pull(
        self,
        results: list[Tensor],
        seeds: list[Tensor],
        variables: list[Tensor],
        release: bool = False,
    ) -> list[Tensor | None]:
        """Return the gradients that arrive at variables from seeds at results."""
        wrapped = innermost((*results, *variables))
        if wrapped is not None:
            with outside(wrapped.level):
                return wrapped.pull(self, results, seeds, variables)
        sown: dict[Any, Tensor] = {}
        for result, seed in zip(results, seeds, strict=True):
            node = result._node
            if node is not None and node.requires_grad:
                sown[node] = sown[node] + seed if node in sown else seed
        roots = list(sown)
        met = self.met if roots == self.roots else reachable(roots, stops=self.stops)
        between = set(self.stops)
        for node in reversed(met):
            if any(parent in between for parent in node.parents):
                between.add(node)
        order = [node for node in met if node in between]
        arrived = walk_back(
            {node: seed for node, seed in sown.items() if node in between},
            order, record=self.record, wanted=between, targets=self.stops, release=release,
        )  # fmt: skip
        seen = {id(seed._data) for seed in seeds}
        found = (arrived.get(one._node) for one in variables)
        return [
            one if one is None else same(one) if isinstance(one, Tensor) else wrap(owned(one, seen))
            for one in found
        ]

    def gradients(self, results: list[Tensor], seeds: list[Tensor], release: bool = False) -> tuple:
        """Return the gradients, each tree like its argument; zeros where none arrived."""
        answers = []
        pulled = self.pull(results, seeds, self.variables, release)
        for one, variable, given in zip(pulled, self.variables, self.given, strict=True):
            if one is None:
                one = zeros(variable)
            # What arrived is nobody else's, so that an array need not be copied.
            answers.append(one if stays(one, isinstance(given, Tensor)) else plain(one._data))
        rest = iter(answers)
        return tuple(join(take(rest, count)) for count, join in self.trees)

    def outward(self, tree: Any) -> Any:
        """Return results as the caller gets them: recorded only if the walks are."""
        leaves, join = flatten(tree)
        return join(
            answer(one if self.record else unrecorded(one), self.tensors)
            if isinstance(one, Tensor)
            else one
            for one in leaves
        )
