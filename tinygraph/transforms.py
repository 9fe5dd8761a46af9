"""Functions on functions: differentiate them, map them over a batch, record them."""

import inspect
import itertools
from collections.abc import Callable, Iterable
from functools import partial, wraps
from math import prod
from typing import Any

import numpy

from .batching import Mapped, batched
from .engines import plain
from .errors import ArgumentError, DTypeError, GraphError, ShapeError
from .forward import dual
from .modes import MODES, modes
from .reverse import Call, answer, as_tensor, holds_tensors, ones, stays, zeros
from .tape import Cell, Leaf, reachable
from .tensor import Tensor, Wrapped, array_of, owned, same, walk_back, wrap
from .trees import flatten, leaves_like, parts_of, take

# A number of its own for each call of jvp and vmap: what one leaves behind is of no other.
LEVELS = itertools.count(1)

# ---------------------------------------------------------------- gradients


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
    if parts_of(value) is not None:
        raise DTypeError(
            f"{name}: the function returned {type(value).__name__}, and only one number has a "
            "gradient. Return that alone, or with has_aux=True a pair (value, aux)."
        )
    if not isinstance(value, Tensor):
        value = wrap(array_of(value))
    if value.size != 1:
        raise ShapeError(
            f"{name}: the function returned shape {value.shape}, and only one number has a "
            "gradient. Reduce it, for example by .sum()."
        )
    if value.dtype.kind != "f":
        raise DTypeError(
            f"{name}: the function returned {value.dtype}, and only real floating point numbers "
            "have gradients."
        )
    return value


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
        done.look([value])
        seed = ones(value)
        gradient = done.gradients([value], [seed], release=True)
        value = done.outward(value)
        return (
            (value, done.outward(aux)) if has_aux else value,
            gradient[0] if done.only else gradient,
        )

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
    list of array
        Of the shapes of the tensors, NumPy's or of the library whose arrays they hold; zeros for
        one that the result was not made from.
    """
    root = result._node
    if root is None or not root.requires_grad:
        raise GraphError("gradients: the result was not recorded.")
    seed = ones(result)
    arrived = walk_back({root: seed}, reachable((root,)), record=False)
    seen = {id(seed._data)}
    found = [
        owned(arrived[one._node], seen) if one._node in arrived else numpy.zeros_like(one._data)
        for one in tensors
    ]
    found = list(map(plain, found))
    return found if MODES.get().trace is None else list(map(numpy.copy, found))


# ---------------------------------------------------------------- any shape: vjp and jvp


def tensors_of(tree: Any) -> tuple[list[Tensor], Callable]:
    """Return what a function returned as Tensors, and what joins others like it."""
    leaves, join = flatten(tree)
    return [one if isinstance(one, Tensor) else wrap(array_of(one)) for one in leaves], join


def like(name: str, what: str, given: Any, tree: Any, expected: list[Tensor]) -> list[Tensor]:
    """Return a tree's leaves as Tensors, of the shapes and dtypes of those of another tree."""
    try:
        leaves = list(map(as_tensor, leaves_like(given, tree)))
    except ShapeError as error:
        raise ShapeError(
            f"{name}: {what}s are to be structured like what they belong to: {error}"
        ) from None
    return [
        one._fitted(other, f"{name}: {what} {i}", "what it belongs to")
        for i, (one, other) in enumerate(zip(leaves, expected, strict=True))
    ]


def vjp(f: Callable, *primals: Any) -> tuple[Any, Callable]:
    """Return the value of a function, and the function that pulls gradients of it back.

    Parameters
    ----------
    f : callable
        Returns an array, or nested dicts, lists, tuples and dataclasses of arrays.
    *primals : array_like or trees of them
        Its arguments, floating point.

    Returns
    -------
    out
        What `f` returned.
    pullback : callable
        ``pullback(g)``, where `g` is structured like `out`, returns a tuple: for each primal its
        product with the transposed Jacobian. It can be called any number of times.

    Raises
    ------
    ShapeError
        From `pullback`, if `g` is not structured or shaped like `out`.
    DTypeError
        If a primal is not floating point.

    Examples
    --------
    >>> import tinygraph as tg
    >>> out, pullback = tg.vjp(lambda x, y: x * y, 2.0, 3.0)
    >>> pullback(1.0)
    (array(3.), array(2.))
    """
    call = Call("vjp", f, primals, {}, range(len(primals)))
    results, _ = tensors_of(call.out)
    call.look(results)

    def pullback(g: Any) -> tuple:
        return call.gradients(results, like("pullback", "gradient", g, call.out, results))

    return call.outward(call.out), pullback


def jvp(f: Callable, primals: tuple, tangents: tuple) -> tuple[Any, Any]:
    """Return the value of a function, and how it changes along a direction.

    The tangent is computed operation by operation, next to the value: memory does not grow with
    the length of the computation.

    Parameters
    ----------
    f : callable
        Returns an array, or nested dicts, lists, tuples and dataclasses of arrays.
    primals, tangents : tuple
        Its arguments, and a direction structured like them. Floating point.

    Returns
    -------
    out, tangent
        What `f` returned, and the product of the Jacobian with the direction.

    Raises
    ------
    ShapeError
        If the tangents are not structured or shaped like the primals.
    DTypeError
        If a primal is not floating point.

    Examples
    --------
    >>> import tinygraph as tg
    >>> tg.jvp(lambda x, y: x * y, (2.0, 3.0), (1.0, 0.0))
    (array(6.), array(3.))
    """
    if not isinstance(primals, tuple | list) or not isinstance(tangents, tuple | list):
        raise ArgumentError("jvp: primals and tangents are tuples; of one argument, (x,) and (v,).")
    leaves, join = flatten(tuple(primals))
    values = [as_tensor(one) for one in leaves]
    for i, one in enumerate(values):
        if one.dtype.kind not in "fc":
            raise DTypeError(
                f"jvp: primal {i} has dtype {one.dtype}, and only floating point numbers have "
                "derivatives. Use .astype('float64') on it."
            )
    directions = like("jvp", "tangent", tuple(tangents), tuple(primals), values)
    level = next(LEVELS)
    with modes(levels=(*MODES.get().levels, level), recording=True, transforming=True):
        out = f(*join(map(partial(dual, level), values, directions)))
    results, join = tensors_of(out)
    split = [
        one._inside.parts
        if isinstance(one, Wrapped) and one._inside.level == level
        else (one, zeros(one))
        for one in results
    ]
    tensors = holds_tensors(primals, tangents)
    return tuple(join(answer(one, tensors) for one in part) for part in zip(*split, strict=True))


def jacobian(f: Callable, argnums: int | tuple[int, ...] = 0) -> Callable:
    """Return a function that computes the derivative of every entry of `f` by every input.

    If `f` has at most as many entries as its argument, gradients of all of them are pulled back in
    one batched walk; otherwise the derivatives along all inputs are computed in one batched run.

    Parameters
    ----------
    f : callable
        Returns an array, or nested dicts, lists, tuples and dataclasses of arrays.
    argnums : int or tuple of int
        The positional arguments to differentiate by.

    Returns
    -------
    callable
        Takes the arguments of `f`. Returns an array of shape ``out.shape + in.shape``: for a tree
        of results a tree of them, for each, if the argument is a tree, again a tree.

    Examples
    --------
    >>> import numpy as np
    >>> import tinygraph as tg
    >>> tg.jacobian(lambda x: x * x)(np.array([1.0, 2.0]))
    array([[2., 0.],
           [0., 4.]])
    """

    @wraps(f)
    def call(*args: Any, **options: Any) -> Any:
        done = Call("jacobian", f, args, options, argnums)
        results, join = tensors_of(done.out)
        done.look(results)
        inputs, outputs = (
            sum(prod(one.shape) for one in several) for several in (done.variables, results)
        )
        if outputs <= inputs:
            columns = backwards(done, results)
        else:
            columns = forwards(done, f, args, options)
        tensors = [isinstance(one, Tensor) for one in done.given]

        def rows(row: list[Tensor]) -> Any:
            answers = iter(map(answer, row, tensors))
            trees = tuple(join_one(take(answers, count)) for count, join_one in done.trees)
            return trees[0] if done.only else trees

        return join(map(rows, columns))

    return call


def basis(tensors: list[Tensor]) -> list[Tensor]:
    """Return, for each entry of some Tensors, the direction in which only it changes."""
    total = sum(one.size for one in tensors)
    start, found = 0, []
    for one in tensors:
        block = numpy.zeros((total, one.size), one.dtype)
        block[start : start + one.size] = numpy.eye(one.size, dtype=one.dtype)
        start += one.size
        found.append(wrap(block.reshape(total, *one.shape)))
    return found


def joined(tensors: list[Tensor]) -> Tensor:
    """Return the entries of some Tensors as one vector."""
    return Tensor._namespace.concat([one.reshape(-1) for one in tensors])


def cut(stacked: Tensor, shapes: Iterable[tuple[int, ...]]) -> list[Tensor]:
    """Cut a Tensor along its first axis into a piece for each shape, whose entries lie there."""
    pieces, start = [], 0
    for shape in shapes:
        stop = start + prod(shape)
        pieces.append(stacked[start:stop].reshape(shape + stacked.shape[1:]))
        start = stop
    return pieces


def backwards(call: Call, results: list[Tensor]) -> list[list[Tensor]]:
    """Return for each result the derivatives by each variable, from one batched walk back."""

    def pulled(*seeds: Tensor) -> list[Tensor]:
        found = call.pull(results, list(seeds), call.variables)
        return [
            zeros(variable) if one is None else one
            for one, variable in zip(found, call.variables, strict=True)
        ]

    shapes = [one.shape for one in results]
    stacked = vmap(pulled)(*basis(results))
    return [list(row) for row in zip(*(cut(one, shapes) for one in stacked), strict=True)]


def forwards(call: Call, f: Callable, args: tuple, options: dict) -> list[list[Tensor]]:
    """Return for each result the derivatives by each variable, from one batched run."""
    values = [as_tensor(one) for one in call.given]

    def moved(*leaves: Tensor) -> Any:
        inside, rest = list(args), iter(leaves)
        for place, (count, join) in zip(call.places, call.trees, strict=True):
            inside[place] = join(take(rest, count))
        return flatten(f(*inside, **options))[0]

    def along(*directions: Tensor) -> Any:
        return jvp(moved, tuple(values), directions)[1]

    shapes = [one.shape for one in values]
    return [
        [last_axes_first(one, x.ndim) for one, x in zip(cut(stacked, shapes), values, strict=True)]
        for stacked in vmap(along)(*basis(values))
    ]


def last_axes_first(x: Tensor, count: int) -> Tensor:
    """Move the first axes of a Tensor behind the others."""
    return x.transpose((*range(count, x.ndim), *range(count)))


def hessian(f: Callable, argnums: int | tuple[int, ...] = 0) -> Callable:
    """Return a function that computes the second derivatives of a function of one number.

    Takes what `jacobian` takes; it is the jacobian of the gradient.

    Examples
    --------
    >>> import numpy as np
    >>> import tinygraph as tg
    >>> tg.hessian(lambda x: x[0] * x[1] ** 2)(np.array([1.0, 2.0]))
    array([[0., 4.],
           [4., 2.]])
    """
    return jacobian(grad(f, argnums), argnums)


def hvp(f: Callable, primals: tuple, tangents: tuple) -> Any:
    """Return the product of the second derivatives of a function with a direction.

    The direction is pulled back through the gradient; the matrix itself is never made.

    Parameters
    ----------
    f : callable
        Returns one floating point number.
    primals, tangents : tuple
        Its arguments, and a direction structured like them.

    Returns
    -------
    array, or tuple
        Structured like the only primal; for several a tuple.

    Examples
    --------
    >>> import numpy as np
    >>> import tinygraph as tg
    >>> tg.hvp(lambda x: (x ** 3).sum(), (np.array([1.0, 2.0]),), (np.array([1.0, 1.0]),))
    array([ 6., 12.])
    """
    if not isinstance(primals, tuple | list) or not isinstance(tangents, tuple | list):
        raise ArgumentError("hvp: primals and tangents are tuples; of one argument, (x,) and (v,).")
    if len(primals) != len(tangents):
        raise ArgumentError(f"hvp: {len(primals)} primals, and {len(tangents)} tangents.")
    one = len(primals) == 1
    # The matrix is symmetric, and a walk back over a walk back is quicker than one with tangents.
    _, pullback = vjp(grad(f, 0 if one else tuple(range(len(primals)))), *primals)
    products = pullback(tangents[0] if one else tuple(tangents))
    return products[0] if one else products


# ---------------------------------------------------------------- over a batch


def vmap(f: Callable, in_axes: Any = 0, out_axes: int = 0) -> Callable:
    """Return a function that applies `f` to every example of a batch at once.

    Parameters
    ----------
    f : callable
        Takes one example and returns arrays, or nested dicts, lists, tuples and dataclasses of
        them. Values cannot be read inside: they differ from example to example.
    in_axes : int, None, or tuple of them
        For each positional argument the axis along which the examples lie; None for what is the
        same for all of them. For an argument that is a tree, it holds for all of its leaves.
    out_axes : int
        Along which axis the results are put together.

    Returns
    -------
    callable
        Takes the batch. Keyword arguments reach `f` as they are.

    Raises
    ------
    ShapeError
        If the arguments hold different numbers of examples.
    GraphError
        If `f` reads a value, as ``if x > 0`` does.

    Examples
    --------
    >>> import numpy as np
    >>> import tinygraph as tg
    >>> tg.vmap(lambda x, w: (x * w).sum(), in_axes=(0, None))(np.eye(2), np.array([3.0, 4.0]))
    array([3., 4.])
    """

    @wraps(f)
    def call(*args: Any, **options: Any) -> Any:
        axes = in_axes if isinstance(in_axes, tuple | list) else (in_axes,) * len(args)
        if len(axes) != len(args):
            raise ArgumentError(f"vmap: {len(axes)} in_axes for {len(args)} arguments.")
        for axis in (out_axes, *(one for one in axes if one is not None)):
            if not hasattr(axis, "__index__"):
                raise ArgumentError(f"vmap: {axis!r} is no number of an axis.")
        now = MODES.get()
        level, size = next(LEVELS), None
        inside = []
        for place, (arg, axis) in enumerate(zip(args, axes, strict=True)):
            if axis is None:
                inside.append(arg)
                continue
            leaves, join = flatten(arg)
            examples = []
            for one in map(as_tensor, leaves):
                if not -one.ndim <= axis < one.ndim:
                    raise ShapeError(
                        f"vmap: argument {place} of shape {one.shape} has no axis {axis} to map "
                        "over; in_axes=None passes it as it is."
                    )
                if size not in (None, one.shape[axis]):
                    raise ShapeError(
                        f"vmap: argument {place} holds {one.shape[axis]} examples along axis "
                        f"{axis}, another one {size}."
                    )
                size = one.shape[axis]
                examples.append(moved_axis(one, axis, 0))
            inside.append(join(batched(level, size, one) for one in examples))  # type: ignore[arg-type]
        if size is None:
            raise ArgumentError("vmap: there is nothing to map over: every in_axes is None.")
        map_of_all = Mapped(level, size)
        inner = {"levels": (*now.levels, level), "batches": (*now.batches, map_of_all)}
        with modes(transforming=True, **inner):
            results, join = tensors_of(f(*inside, **options))
            whole = [map_of_all.spread(one)._inside.parts[0] for one in results]
        tensors = holds_tensors(args, options)
        for one in whole:
            if not -one.ndim <= out_axes < one.ndim:
                raise ShapeError(f"vmap: out_axes={out_axes} for results of shape {one.shape}.")
        moved = [moved_axis(one, 0, out_axes) for one in whole]
        seen: set[int] = set()
        # An operation has made them: of an array, only a view may be shared.
        return join(same(x) if stays(x, tensors) else plain(owned(x._data, seen)) for x in moved)

    return call


def moved_axis(x: Tensor, source: int, target: int) -> Tensor:
    """Move one axis of a Tensor to another place."""
    source, target = source % x.ndim, target % x.ndim
    if source == target:
        return x
    axes = [i for i in range(x.ndim) if i != source]
    axes.insert(target, source)
    return x.transpose(axes)


def ravel_pytree(tree: Any) -> tuple[Any, Callable]:
    """Return the entries of a tree of arrays as one vector, and the function that undoes it.

    Parameters
    ----------
    tree : array_like, or nested dicts, lists, tuples and dataclasses of them
        Floating point.

    Returns
    -------
    vector : ndarray or Tensor
        All entries, one leaf after the other. A Tensor, recorded, if there is one in the tree.
    unravel : callable
        Takes a vector of that length; returns a tree like the first, each leaf with its own dtype.

    Examples
    --------
    >>> import numpy as np
    >>> import tinygraph as tg
    >>> vector, unravel = tg.ravel_pytree({"W": np.eye(2), "b": np.zeros(1)})
    >>> vector
    array([1., 0., 0., 1., 0.])
    >>> unravel(vector)["b"]
    array([0.])
    """
    leaves, join = flatten(tree)
    tensors = [as_tensor(one) for one in leaves]
    for one in tensors:
        if one.dtype.kind not in "fc":
            raise DTypeError(f"ravel_pytree: an array of {one.dtype}; give floating point numbers.")
    given = holds_tensors(tree)
    vector = joined(tensors) if tensors else wrap(numpy.zeros(0))
    size = vector.size

    def unravel(vector: Any) -> Any:
        flat = as_tensor(vector)
        if flat.shape != (size,):
            raise ShapeError(f"unravel: a vector of shape {(size,)} is wanted, not {flat.shape}.")
        pieces = cut(flat, (one.shape for one in tensors))
        parts = (
            part if part.dtype == one.dtype else part.astype(one.dtype)
            for part, one in zip(pieces, tensors, strict=True)
        )  # fmt: skip
        return join(answer(one, isinstance(vector, Tensor)) for one in parts)

    return answer(vector, given), unravel


# ---------------------------------------------------------------- recording for others to read


def record(f: Callable, args: tuple) -> tuple[Any, list[Tensor]]:
    """Call a function once and record all that depends on its arguments.

    Returns what it returned, and the Tensors that it was called with: they are named by the
    function's parameters, and require no gradient unless they did before.
    """
    try:
        signature = inspect.signature(f)
        bound = signature.bind(*args).arguments
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"record: {error}") from error
    several = inspect.Parameter.VAR_POSITIONAL
    starred = next((one.name for one in signature.parameters.values() if one.kind is several), "")
    names = [
        name
        for name, value in bound.items()
        for name in [name] * (len(value) if name == starred else 1)
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
