"""Mapping over a batch: each operation is applied to all examples at once.

A `Batched` Tensor shows one example's shape and holds them all, along axis 0. How an operation acts
on the whole batch follows from its entry in the table: from which shapes its operands may have, and
from what its parameters mean.
"""

from collections.abc import Callable
from math import prod
from typing import Any

from numpy import arange, empty, ndarray

from .errors import BoundsError, GraphError
from .reverse import Call, as_tensor
from .rules import Parameter, Rule, Shapes
from .rules.linalg import contracted
from .tensor import Tensor, Wrapped, apply, innermost, wrap

BASIC = slice | type(None) | type(Ellipsis)  # what of an index is no number


class Varying:
    """In the place of an example's values, which differ from one to the next."""

    __slots__ = ("device", "dtype", "shape")

    def __init__(self, examples: Tensor):
        self.shape = examples.shape[1:]
        self.dtype = examples.dtype
        self.device = examples.device

    ndim = property(lambda self: len(self.shape))
    size = property(lambda self: prod(self.shape))

    def __getattr__(self, name: str) -> Any:
        raise GraphError(
            "inside a function that vmap maps, values differ from example to example and cannot "
            "be read as one. Use tg.where in the place of if, and return what you want to look at."
        )

    def _refuse(self, *args: Any, **options: Any) -> Any:
        return self.values  # which it has not

    __bool__ = __array__ = _refuse


class Batch:
    """What is inside a `Batched` Tensor: the level and the size of its map, and all examples."""

    __slots__ = ("level", "parts", "size")

    def __init__(self, level: int, size: int, examples: Tensor):
        self.level = level
        self.size = size
        self.parts = (examples,)

    def remake(self, examples: Tensor) -> Tensor:
        """Return a Batched of the same map with other examples."""
        return batched(self.level, self.size, examples)

    def mine(self, x: Any) -> bool:
        """Whether something differs from example to example of this map."""
        return isinstance(x, Wrapped) and x._inside.level == self.level

    def whole(self, x: Any) -> Tensor:
        """Return all examples of something that differs, and the same for each of what does not."""
        if self.mine(x):
            return x._inside.parts[0]
        x = as_tensor(x)
        if innermost((x,), self.level) is not None:

            def examples(inside: Tensor) -> Tensor:
                whole = self.whole(inside)
                return whole.swapaxes(0, 1) if inside.ndim > x.ndim else whole

            return x._inside.rewrap(examples, x)
        return Tensor._namespace.broadcast_to(x, (self.size, *x.shape))

    def rewrap(self, make: Callable, *several: Tensor) -> Tensor:
        """Make something of what is inside some Tensors; stay outside of it."""
        return self.remake(make(*map(self.whole, several)))

    def apply(self, rule: Rule, operands: tuple, params: dict) -> Tensor:
        """Apply a rule to all examples at once."""
        y = all_at_once(self, rule, operands, params)
        return rule.answer(map(self.remake, y)) if rule.outputs else self.remake(y)

    def select(self, x: Tensor, parts: Any) -> Tensor:
        """Select from each example, by indices that may differ from one to the next."""
        xp = Tensor._namespace
        parts = [one if isinstance(one, Wrapped) else xp.index_of(one) for one in parts]
        parts = [
            one
            for part in parts
            for one in (part.nonzero() if getattr(part, "dtype", "") == "bool" else (part,))
        ]
        places = [i for i, one in enumerate(parts) if not isinstance(one, BASIC)]
        rank = max(getattr(parts[i], "ndim", 0) for i in places)
        before = 0  # how many axes stand before those of the indices; none if they stand apart
        if places[-1] - places[0] < len(places):
            before = places[0]
            if any(one is Ellipsis for one in parts[:before]):
                before += x.ndim - sum(one is not None for one in parts)
        index = [padded(one._inside.parts[0], rank) if self.mine(one) else one for one in parts]
        if not self.mine(x):
            return self.remake(xp.moveaxis(x[tuple(index)], before, 0))
        each = arange(self.size).reshape(self.size, *(1,) * rank)
        y = x._inside.parts[0][(each, *index)]
        order = range(1, rank + 1)
        return self.remake(xp.moveaxis(y, tuple(order), tuple(i + before for i in order)))

    def pull(self, call: Call, results: list, seeds: list, variables: list) -> list[Tensor | None]:
        """Pull the gradients of all examples at once: each has variables of its own."""
        results, seeds, variables = (
            [self.whole(one) for one in several] for several in (results, seeds, variables)
        )
        pulled = call.pull(results, seeds, variables)
        return [one if one is None else self.remake(one) for one in pulled]


class Mapped:
    """A map in progress; what a transform inside it makes gives to each example one of its own."""

    __slots__ = ("level", "size")

    def __init__(self, level: int, size: int):
        self.level = level
        self.size = size

    def spread(self, x: Tensor) -> Tensor:
        """Return a Tensor for each example, in its place among the other wrappings."""
        if not isinstance(x, Wrapped) or x._inside.level < self.level:
            examples = Tensor._namespace.broadcast_to(x, (self.size, *x.shape))
            return batched(self.level, self.size, examples)
        if x._inside.level == self.level:
            return x
        inside = x._inside
        return inside.remake(*map(self.spread, inside.parts))


class Batched(Wrapped):
    """One example of a batch that `vmap` maps a function over."""

    __slots__ = ()
    _inside: Batch

    def __repr__(self) -> str:
        return f"Tensor(one of {self._inside.size} of shape {self.shape}, dtype={self.dtype})"

    def detach(self) -> Tensor:
        """Return the same values, cut from the graph."""
        return self._inside.remake(self._inside.parts[0].detach())


def batched(level: int, size: int, examples: Tensor) -> Tensor:
    """Return one example that stands for all; wrappings of higher levels stay outside."""
    higher = innermost((examples,), level)
    if higher is not None:

        def make(inside: Tensor) -> Tensor:
            # Another batch has its own examples along axis 0: ours go before them.
            other = inside.ndim > examples.ndim
            return batched(level, size, inside.swapaxes(0, 1) if other else inside)

        return higher.rewrap(make, examples)
    result: Any = wrap(Varying(examples), examples._node)  # type: ignore[arg-type]
    result.__class__ = Batched
    result._inside = Batch(level, size, examples)
    return result


# ---------------------------------------------------------------- one operation on a whole batch


def all_at_once(batch: Batch, rule: Rule, operands: tuple, params: dict) -> Tensor:
    """Return the results of all examples, along axis 0."""
    ranks = [len(getattr(x, "shape", ())) for x in operands]
    if rule.shapes in (Shapes.BROADCAST, Shapes.BETWEEN):
        return apply(rule, aligned(batch, operands, max(ranks)), params)
    if rule.shapes in (Shapes.VECTORS, Shapes.TRIPLES):
        axis = params["axis"] - max(ranks) if params["axis"] >= 0 else params["axis"]
        return apply(rule, aligned(batch, operands, max(ranks)), params | {"axis": axis})
    if rule.shapes is Shapes.CONTRACTED:
        return tensordot(batch, operands, ranks, params["axes"])
    if rule.shapes in (Shapes.MATMUL, Shapes.SOLVED):
        return matmul(batch, rule, operands, ranks, params)
    examples = tuple(map(batch.whole, operands))
    if hasattr(rule, "on_batch"):  # a function of the user's own
        return rule.on_batch(examples)
    if rule.shapes is Shapes.LOGITS:
        return cross_entropy(rule, examples, ranks[0], params)
    if "index" in params:
        return indexed(rule, examples, params)
    return shifted(batch, rule, examples, ranks[0], params)


def padded(examples: Tensor, rank: int) -> Tensor:
    """Give each example leading axes of length 1, up to a number of axes."""
    missing = rank + 1 - examples.ndim
    if missing <= 0:
        return examples
    size, *shape = examples.shape
    return examples.reshape(size, *(1,) * missing, *shape)


def aligned(batch: Batch, operands: tuple, rank: int) -> tuple:
    """Line up operands that broadcast; what is the same for all examples stays as it is."""
    return tuple(padded(x._inside.parts[0], rank) if batch.mine(x) else x for x in operands)


def matmul(batch: Batch, rule: Rule, operands: tuple, ranks: list[int], params: dict) -> Tensor:
    """Multiply the matrices of all examples; a batch of rows by one matrix is one product."""
    a, b = operands
    if batch.mine(a) and not batch.mine(b) and ranks[1] <= 2:
        return apply(rule, (a._inside.parts[0], b), params)
    row, column = ranks[0] == 1 and rule.name == "matmul", ranks[1] == 1
    xp = Tensor._namespace
    if row:
        a = xp.expand_dims(as_tensor(a), axis=-2)
    if column:
        b = xp.expand_dims(as_tensor(b), axis=-1)
    y = apply(rule, aligned(batch, (a, b), max(*ranks, 2)), params)
    lost = (-2,) * row + (-1,) * column
    return xp.squeeze(y, axis=lost) if lost else y


def tensordot(batch: Batch, operands: tuple, ranks: list[int], axes: Any) -> Tensor:
    """Sum over axes of each example by a product of matrices: one axis of all that are summed."""
    xp = Tensor._namespace
    a, b = map(batch.whole, operands)
    *summed, rows, columns = contracted(axes, *ranks)
    orders = (*rows, *summed[0]), (*summed[1], *columns)
    a, b = (
        xp.permute_dims(one, (0, *(i + 1 for i in order)))
        for one, order in zip((a, b), orders, strict=True)
    )
    left, right = a.shape[1 : 1 + len(rows)], b.shape[1 + len(summed[1]) :]
    length = prod(b.shape[1 : 1 + len(summed[1])])
    y = a.reshape(batch.size, prod(left), length) @ b.reshape(batch.size, length, prod(right))
    return y.reshape(batch.size, *left, *right)


def cross_entropy(rule: Rule, examples: tuple, rank: int, params: dict) -> Tensor:
    """Return the loss of each example: reduced over its samples, not over the batch."""
    axis, reduction = place(rule, params["axis"], rank) + 1, params["reduction"]
    losses = apply(rule, examples, {"axis": axis, "reduction": "none"})
    if reduction == "none" or losses.ndim == 1:
        return losses
    reduce = losses.mean if reduction == "mean" else losses.sum
    return reduce(tuple(range(1, losses.ndim)))


def indexed(rule: Rule, examples: tuple, params: dict) -> Tensor:
    """Select from each example, add into zeros for each, or set entries of each."""
    first, index = examples[0], params["index"]
    parts = index if isinstance(index, tuple) else (index,)
    arrays = [part for part in parts if isinstance(part, ndarray)]
    places = [i for i, part in enumerate(parts) if isinstance(part, ndarray | int)]
    count = 0
    if arrays and places[-1] - places[0] >= len(places):
        # NumPy puts the axes of arrays that stand apart first: before the batch.
        count = max(1 if part.dtype == bool else part.ndim for part in arrays)
    xp = Tensor._namespace

    def behind(values: Tensor) -> Tensor:
        order = (*range(1, count + 1), 0, *range(count + 1, values.ndim))
        return xp.permute_dims(values, order) if count else values

    params = params | {"index": (slice(None), *parts)}
    if "shape" in params:
        params["shape"] = (first.shape[0], *params["shape"])
        return apply(rule, (behind(first),), params)
    if len(examples) == 2:
        selected = empty(first.shape[1:])[index].ndim
        return apply(rule, (first, behind(padded(examples[1], selected))), params)
    y = apply(rule, (first,), params)
    if count:
        y = xp.permute_dims(y, (count, *range(count), *range(count + 1, y.ndim)))
    return y


def place(rule: Rule, axis: int, rank: int) -> int:
    """Return an axis of an example as a number from 0 up."""
    if not -rank <= axis < rank:
        raise BoundsError(f"{rule.name}: axis {axis} is out of range for {rank} axes.")
    return axis % rank


def shifted(batch: Batch, rule: Rule, examples: tuple, rank: int, params: dict) -> Tensor:
    """Apply a rule whose parameters speak of the axes or the shape of an example."""
    first, size = examples[0], batch.size
    moved, flat = {}, False
    for name, value in params.items():
        match rule.parameters[name]:
            case Parameter.AXES if value is None:
                value = tuple(range(1, rank + 1))
            case Parameter.AXIS | Parameter.ONLY_AXIS if value is None:
                examples = tuple(one.reshape(size, prod(one.shape[1:])) for one in examples)
                value, flat = 1, True
            case Parameter.AXES | Parameter.AXIS | Parameter.ONLY_AXIS | Parameter.UNIT_AXES if (
                type(value) is int
            ):
                value = place(rule, value, rank) + 1
            case Parameter.AXES | Parameter.UNIT_AXES:
                value = tuple(place(rule, one, rank) + 1 for one in value)
            case Parameter.NEW_AXIS:
                value = place(rule, value, rank + 1) + 1
            case Parameter.NEW_AXES:
                several = (value,) if type(value) is int else value
                value = tuple(place(rule, one, rank + len(several)) + 1 for one in several)
            case Parameter.INDEXED_SHAPE:
                value = (size, *value)
            case Parameter.PERMUTATION:
                value = (0, *(place(rule, one, rank) + 1 for one in value))
            case Parameter.SHAPE:
                known = prod(one for one in value if one != -1)
                value = tuple(prod(first.shape[1:]) // known if one == -1 else one for one in value)
                value = (size, *value)
            case Parameter.WIDER_SHAPE:
                examples, value = (padded(first, len(value)),), (size, *value)
        moved[name] = value
    if flat and moved.get("keepdims"):
        y = apply(rule, examples, moved | {"keepdims": False})
        return y.reshape(size, *(1,) * rank)
    return apply(rule, examples, moved)
