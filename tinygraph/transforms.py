"""Functions on functions: differentiate them, record them.

A transform calls the function once, on variables of its own, and walks back what was recorded. What
the walk meets decides whether anybody can differentiate the outcome in turn: only then is the walk
itself recorded. Transforms therefore nest in any order, without numbered levels.
"""

import inspect
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

import numpy

from .errors import ArgumentError, DTypeError, GraphError, ShapeError
from .rules import RULES
from .tape import MODES, Cell, Leaf, Node, modes, reachable
from .tensor import NONE, Shared, Tensor, array_of, owned, walk_back, wrap
from .trees import flatten, take

# ---------------------------------------------------------------- one differentiated call


def variable(x: Any, what: str) -> Tensor:
    """Return a Tensor to differentiate by, with the values of an argument.

    It is a result, not a leaf, so that a function may change it in place. Its operand is the
    argument's own node, which ties it to the graph around the transform, or else a new leaf.
    """
    source = None
    if isinstance(x, Tensor):
        values, source = x._snapshot() if isinstance(x, Shared) else (x._data, x._node)
    else:
        values = array_of(float(x) if type(x) is int else x, copy=True)
    if values.dtype.kind not in "fc":
        raise DTypeError(
            f"{what} has dtype {values.dtype}, and only floating point numbers have gradients. "
            "Use .astype('float64') on it, or leave it out of argnums."
        )
    name = source.name if source is not None else None
    if source is None or not (source.requires_grad or source.traced):
        source = Leaf(values, Cell(name), requires_grad=True, traced=True)
    parents = (source,) if source.requires_grad else ()
    node = Node(
        RULES["positive"].plan((0,) if parents else ()), (source,), parents, (), NONE,
        source.position + 1, values, MODES.get().scope,
    )  # fmt: skip
    node.requires_grad = True
    node.name = name
    node.cell = Cell()  # so that a backward inside the function finds where to put its gradient
    return wrap(values, node)


class Call:
    """One call of a function on variables, and the walk back from what it returned.

    Parameters
    ----------
    name : str
        What messages call the transform.
    f : callable
    args, options : tuple, dict
        The arguments to call it with.
    argnums : int or tuple of int
        Which positional arguments to differentiate by: trees of floating point numbers.

    Attributes
    ----------
    out : object
        What the function returned.
    """

    def __init__(
        self, name: str, f: Callable, args: tuple, options: dict, argnums: int | Iterable[int]
    ):
        self.name = name
        self.only = isinstance(argnums, int)
        self.trees: list[tuple[int, Callable]] = []  # how many leaves, and what joins them
        self.given: list[Any] = []
        self.variables: list[Tensor] = []
        inside = list(args)
        for place in (argnums,) if isinstance(argnums, int) else tuple(argnums):
            if not -len(args) <= place < len(args):
                raise ArgumentError(
                    f"{name}: argnums={argnums!r}, but the function was called with {len(args)} "
                    "positional arguments."
                )
            leaves, join = flatten(args[place])
            variables = [variable(one, f"{name}: argument {place}") for one in leaves]
            self.trees.append((len(leaves), join))
            self.given += leaves
            self.variables += variables
            inside[place] = join(variables)
        self.nodes = [one._node for one in self.variables]
        leaves = [node.inputs[0] for node in self.nodes]
        own = [
            leaf
            for leaf, given in zip(leaves, self.given, strict=True)
            if not isinstance(given, Tensor) or leaf is not given._node
        ]
        self.linked = len(own) < len(leaves)  # some argument is part of a graph outside
        self.tensors = any(isinstance(one, Tensor) for one in flatten((args, options))[0])
        with modes(recording=True, transforming=True):
            self.out = f(*inside, **options)
        for leaf in own:
            leaf.traced = False  # what leaks out of the call is nobody's variable any more

    def walk(self, results: list[Tensor]) -> None:
        """Find what lies between the variables and the results, and whether to record the walk."""
        met = reachable([one._node for one in results if one.requires_grad], stops=self.nodes)
        self.between = set(self.nodes)
        for node in reversed(met):
            if any(parent in self.between for parent in node.parents):
                self.between.add(node)
        self.order = [node for node in met if node in self.between]
        captured = [node for node in met if node.plan is None]  # leaves of the graph outside
        outside = MODES.get()
        self.record = outside.recording and (
            self.linked
            or outside.everything
            or any(leaf.traced for leaf in captured)
            or (self.tensors and bool(captured))
        )

    def pull(self, seeds: dict, release: bool = True) -> Any:
        """Return the gradients that reach the variables, like the arguments; zeros for none."""
        seeds = {node: seed for node, seed in seeds.items() if node in self.between}
        arrived = walk_back(
            seeds, self.order, record=self.record, wanted=self.between, release=release
        )
        seen = {id(seed._data) for seed in seeds.values()}
        gradients = []
        for node, given in zip(self.nodes, self.given, strict=True):
            gradient = arrived.get(node)
            if gradient is None:
                gradient = numpy.zeros(node.shape, node.dtype)
            if not isinstance(gradient, Tensor):
                gradient = wrap(owned(gradient, seen))
            as_tensor = isinstance(given, Tensor) or gradient.requires_grad
            gradients.append(gradient if as_tensor else gradient._data)
        rest = iter(gradients)
        joined = tuple(join(take(rest, count)) for count, join in self.trees)
        return joined[0] if self.only else joined

    def outward(self, tree: Any) -> Any:
        """Return results as the caller gets them: recorded only if the walk was."""

        def one(leaf: Any) -> Any:
            if not isinstance(leaf, Tensor):
                return leaf
            if self.record and leaf.requires_grad:
                return leaf
            return wrap(leaf._data) if self.tensors else leaf.numpy()

        leaves, join = flatten(tree)
        return join(map(one, leaves))


def pair(name: str, out: Any) -> tuple[Any, Any]:
    """Return the value and the auxiliary results of a function with ``has_aux=True``."""
    if not isinstance(out, tuple) or len(out) != 2:
        raise ArgumentError(
            f"{name}: with has_aux=True the function returns a pair (value, aux), "
            f"not {type(out).__name__}."
        )
    return out


def scalar(name: str, value: Any) -> Tensor:
    """Return the value of a function as a Tensor of one entry."""
    if not isinstance(value, Tensor):
        value = wrap(array_of(value))
    if value.size != 1:
        raise ShapeError(
            f"{name}: the function returned shape {value.shape}, and only one number has a "
            "gradient. Reduce it, for example by .sum()."
        )
    if value.dtype.kind not in "fc":
        raise DTypeError(
            f"{name}: the function returned {value.dtype}, and only floating point numbers have "
            "gradients."
        )
    return value


# ---------------------------------------------------------------- gradients


def value_and_grad(
    f: Callable, argnums: int | tuple[int, ...] = 0, has_aux: bool = False
) -> Callable:
    """Return a function that computes `f` and its gradient.

    Parameters
    ----------
    f : callable
        Returns one floating point number, made of its arguments by recorded operations.
    argnums : int or tuple of int
        The positional arguments to differentiate by: arrays, Tensors, floats, or nested dicts,
        lists, tuples and dataclasses of them. Other arguments reach `f` as they are.
    has_aux : bool
        Whether `f` returns a pair, of the number and of anything else.

    Returns
    -------
    callable
        Takes the arguments of `f`. Returns ``(value, gradient)``, or ``((value, aux), gradient)``.
        For an int `argnums` the gradient is structured like that argument, for a tuple it is a
        tuple. Gradients of Tensors are Tensors, others are ndarrays; value and aux are Tensors if
        any argument was. Inside another transform all that it needs stays recorded.

    Raises
    ------
    DTypeError
        If an argument to differentiate by, or the value, is not floating point.
    ShapeError
        If the value has more than one entry.
    ArgumentError
        If `argnums` is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> import tinygraph as tg
    >>> value, gradient = tg.value_and_grad(lambda x: (x * x).sum())(np.array([1.0, 2.0]))
    >>> float(value), gradient
    (5.0, array([2., 4.]))
    """

    @wraps(f)
    def call(*args: Any, **options: Any) -> Any:
        name = "value_and_grad"
        done = Call(name, f, args, options, argnums)
        value, aux = pair(name, done.out) if has_aux else (done.out, None)
        value = scalar(name, value)
        done.walk([value])
        gradient = done.pull({value._node: wrap(numpy.ones(value.shape, value.dtype))})
        value = done.outward(value)
        return ((value, done.outward(aux)) if has_aux else value), gradient

    return call


def grad(f: Callable, argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Callable:
    """Return a function that computes the gradient of `f`.

    Takes what `value_and_grad` takes. The function returned gives the gradient alone, or with
    `has_aux` the pair ``(gradient, aux)``.

    Examples
    --------
    >>> import tinygraph as tg
    >>> tg.grad(lambda x: x ** 3)(2.0)
    array(12.)
    >>> tg.grad(tg.grad(lambda x: x ** 3))(2.0)
    array(12.)
    """
    both = value_and_grad(f, argnums, has_aux)

    @wraps(f)
    def call(*args: Any, **options: Any) -> Any:
        value, gradient = both(*args, **options)
        return (gradient, value[1]) if has_aux else gradient

    return call


def gradients(result: Tensor, tensors: Iterable[Tensor]) -> list[numpy.ndarray]:
    """Return the gradients of a result for some leaves that it was made from.

    The graph is walked once and freed; no `.grad` is read or changed.

    Parameters
    ----------
    result : Tensor
        Of one entry.
    tensors : iterable of Tensor
        Leaves that require a gradient.

    Returns
    -------
    list of ndarray
        Of the shapes of the tensors; zeros for one that the result was not made from.
    """
    root = result._node
    if root is None or not root.requires_grad:
        raise GraphError("gradients: the result was not recorded.")
    seed = wrap(numpy.ones(result.shape, result.dtype))
    arrived = walk_back({root: seed}, reachable((root,)), record=False)
    seen = {id(seed._data)}
    return [
        owned(arrived[one._node], seen) if one._node in arrived else numpy.zeros_like(one._data)
        for one in tensors
    ]


# ---------------------------------------------------------------- recording for others to read


def record(f: Callable, args: tuple) -> tuple[Any, list[Tensor]]:
    """Call a function once and record all that depends on its arguments.

    Returns what it returned, and the Tensors that it was called with: they are named by the
    function's parameters, and require no gradient unless they did before.
    """
    try:
        bound = inspect.signature(f).bind(*args).arguments
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"record: {error}") from error
    names = [
        name
        for name, value in bound.items()
        for name in ([name] * len(value) if isinstance(value, tuple) else [name])
    ]
    inputs = []
    for name, value in zip(names, args, strict=True):
        if isinstance(value, Tensor) and value.requires_grad:
            inputs.append(value)
            continue
        array = array_of(value, copy=True)
        known = value.name if isinstance(value, Tensor) else None
        inputs.append(wrap(array, Leaf(array, Cell(known or name), traced=True)))
    with modes(everything=True, recording=True):
        return f(*inputs), inputs
