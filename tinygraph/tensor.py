"""Tensor: an array that may be recorded, and the way an operation records itself."""

import os
import warnings
from collections.abc import Iterable
from operator import attrgetter
from threading import RLock
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy
from numpy import asarray as as_ndarray
from numpy import generic, ndarray

from .arrays import NUMPY, ForeignError, number_dtype, numbers
from .engines import Foreign, one_like
from .errors import DTypeError, GraphError, ShapeError, explain
from .modes import MODES, modes, outside
from .rules import Rule
from .rules.table import Parts
from .tape import Backward, Cell, Leaf, Node, describe, leaves, pull_back, reachable

SCALARS = frozenset({bool, int, float, complex})
ARRAYS: set[type] = {ndarray, Foreign}  # what holds values; one more in a traced function
# What array libraries raise for bad operands.
MISTAKES = (ValueError, TypeError, IndexError, OverflowError)
NONE: dict[str, Any] = {}  # the parameters of an operation that has none
COMMITTING = RLock()  # so that what several threads add to one gradient is all there
if hasattr(os, "register_at_fork"):  # a child begins without the threads that would let it go
    os.register_at_fork(
        before=COMMITTING.acquire,
        after_in_parent=COMMITTING.release,
        after_in_child=COMMITTING.release,
    )
# With any and map a loop in C, into which no interrupt gets.
SET_GRAD = Cell.grad.__set__  # type: ignore[misc]
new = object.__new__
ATTACHED: Any = None  # in the place of what other modules put into Tensor


# ---------------------------------------------------------------- reading operands


def array_of(x: Any, copy: bool = False) -> Any:
    """Read numbers, lists, arrays and Tensors as an ndarray of numbers."""
    trace = MODES.get().trace
    if trace is not None:
        values = x._data if isinstance(x, Tensor) else x
        return trace.symbol(x, values if type(values) in ARRAYS else numbers(values))
    return numbers(x._data if isinstance(x, Tensor) else x, copy)


def as_values(x: Any) -> Any:
    """Return what an operation gives as an array, also where NumPy gives one of its scalars."""
    return x if type(x) in ARRAYS else as_ndarray(x)


def read(rule: Rule, x: Any, recording: bool) -> tuple[Any, Any]:
    """Return the values and the node of an operand that is not a plain Tensor."""
    if type(x) in SCALARS:
        return x, None
    if isinstance(x, Shared):
        return x._snapshot() if recording else (x._data, x._node)
    try:
        return array_of(x), None
    except (ForeignError, ShapeError) as error:
        raise type(error)(f"{rule.name}: {error}") from None


def constant(x: Any, values: Any) -> tuple[Any, Any]:
    """Return values that nobody else can write to, and what stands for them in the graph."""
    if type(values) in SCALARS:
        return values, values
    if isinstance(x, Tensor):
        if x._node is None:
            x._node = Leaf(values, Cell())
        return values, x._node
    values = numpy.array(values) if type(values) is ndarray else values
    return values, Leaf(values, Cell())


def wrap(data: ndarray, node: Any = None) -> "Tensor":
    """Make a Tensor of values and a node, without a copy or a check."""
    tensor = object.__new__(Tensor)
    tensor._data = data
    tensor._node = node
    return tensor


def same(x: "Tensor") -> "Tensor":
    """Return a Tensor of its own, which may be changed in place, with the values of another."""
    if isinstance(x, Wrapped):
        return x._inside.remake(*map(same, x._inside.parts))
    return wrap(*x._snapshot()) if isinstance(x, Shared) else wrap(array_of(x), x._node)


def sources(x: "Tensor") -> tuple:
    """Return references to a Tensor, and to those that it is a view of in its turn."""
    return (ref(x), *(one for one in getattr(x, "_source", ()) if one() is not None))


# ---------------------------------------------------------------- recording an operation


def apply(rule: Rule, operands: tuple, params: dict) -> "Tensor":
    """Run a rule on any number of operands, and record it if one of them asks for it."""
    now = MODES.get()
    values, nodes, slots = [], [], []
    xp: Any = NUMPY
    vjp = rule.vjp * len(operands) if rule.variadic else rule.vjp
    for i, x in enumerate(operands):
        if type(x) is Tensor:
            array, node = x._data, x._node
        else:
            if isinstance(x, Wrapped):
                return interpret(rule, operands, params)
            array, node = read(rule, x, now.recording)
            if not rule.broadcasts and type(array) is not ndarray:
                array = as_values(array)
        if now.trace is not None:
            array = now.trace.symbol(x, array)
        elif isinstance(array, Foreign):
            xp = array.engine
        values.append(array)
        nodes.append(node)
        if node is not None and node.requires_grad and vjp[i] is not None:
            slots.append(i)
    if rule.check is not None and now.trace is None:
        rule.check(values, params)
    if not now.recording:
        slots = []
    record = bool(slots)
    if now.everything and not record:
        record = any(node is not None and (node.traced or node.requires_grad) for node in nodes)
    position = 0
    if record:
        pulled = {*slots}
        for i, x in enumerate(operands):
            if i not in pulled:
                values[i], nodes[i] = constant(x, values[i])
            if type(nodes[i]) not in SCALARS and nodes[i].position > position:
                position = nodes[i].position
    try:
        if now.trace is None:
            y, residual = rule.run(xp, tuple(values), params)
        else:
            y, residual = now.trace.run(rule, tuple(values), params)
    except MISTAKES as error:
        if not rule.ours:
            raise
        raise explain(rule, operands, params, error) from error
    if rule.outputs:
        y = Parts(map(as_values, y))
    elif type(y) is not ndarray:
        y = as_values(y)
    line = now.anomaly and now.anomaly.look(rule, operands, values, nodes, y, now.scope)
    if slots and y.dtype.kind not in "fc":  # a cast to integers, through which nothing flows back
        slots = []
        record = now.everything
    if not record:
        result = wrap(y)
        if rule.view and type(operands[0]) is not Tensor and xp is NUMPY:
            result.__class__ = Shared
        if rule.outputs:
            return rule.answer(map(wrap, y))
    else:
        plan = rule.plan(tuple(slots))
        inputs = tuple(nodes)
        kept = plan.keep(*values, y, residual)
        parents = tuple([nodes[i] for i in plan.slots])
        node = Node(plan, inputs, parents, kept, params, position + 1, y, now.scope)
        if line:
            node.line = line  # type: ignore[attr-defined]
        if rule.outputs:
            return rule.answer(apart(y, node))
        result = wrap(y, node)
    if rule.view and isinstance(operands[0], Tensor) and numpy.may_share_memory(y, values[0]):
        result._source = sources(operands[0])
    return result


def apart(y: Parts, node: Node) -> list["Tensor"]:
    """Return the results of an operation that has several, each with a node of its own."""
    slots, parents = ((0,), (node,)) if node.requires_grad else ((), ())
    return [
        wrap(one, Node(part.plan(slots), (node,), parents, (), NONE, node.position + 1, one,
                       node.scope))
        for one, part in zip(y, node.plan.rule.parts, strict=True)
    ]  # fmt: skip


def unary(rule: Rule) -> Any:
    """Make the function that applies a rule of one operand without parameters."""
    forward = rule.bound(NUMPY)
    plans: list = []
    differentiable = rule.differentiable

    def call(x: Any, /) -> Any:
        now = MODES.get()
        if type(x) is Tensor:
            a, parent = x._data, x._node
        else:
            if isinstance(x, Wrapped):
                return interpret(rule, (x,), NONE)
            a, parent = read(rule, x, now.recording)
        if now.watched:
            return apply(rule, (x,), NONE)
        try:
            y = forward(a)
        except MISTAKES as error:
            raise explain(rule, (x,), NONE, error) from error
        if parent is None or not now.recording or not (parent.requires_grad and differentiable):
            return wrap(as_values(y))
        if not plans:
            plans.append(rule.plan((0,)))
        plan = plans[0]
        if type(y) in ARRAYS:
            kept = plan.keep(a, y, None)
        else:
            kept = plan.keep(a[()], y, None)
            y = as_ndarray(y)
        inputs = (parent,)
        result = new(Tensor)  # as wrap does, whose call would take a twelfth of the time
        result._data = y
        result._node = Node(plan, inputs, inputs, kept, NONE, parent.position + 1, y, now.scope)
        return result

    return named(call, rule)


def binary(rule: Rule, method: bool = False) -> Any:
    """Make the function that applies a rule of two operands that broadcast.

    As a method of Tensor it leaves operands that it does not know to their own class.
    """
    forward = rule.bound(NUMPY)
    plans: list = [None, None, None, None]
    differentiable = rule.differentiable

    def call(a: Any, b: Any, /) -> Any:
        now = MODES.get()
        try:
            if type(a) is Tensor:
                x, left = a._data, a._node
            else:
                if isinstance(a, Wrapped):
                    return interpret(rule, (a, b), NONE)
                x, left = read(rule, a, now.recording)
            if type(b) is Tensor:
                z, right = b._data, b._node
            else:
                if isinstance(b, Wrapped):
                    return interpret(rule, (a, b), NONE)
                z, right = (b, None) if type(b) in SCALARS else read(rule, b, now.recording)
        except ForeignError:
            if method:
                return NotImplemented
            raise
        if now.watched:
            return apply(rule, (a, b), NONE)
        mask = 0
        if now.recording and differentiable:
            if left is not None and left.requires_grad:
                mask = 1
            if right is not None and right.requires_grad:
                mask += 2
        if mask == 1:
            z, right = (b, b) if type(b) in SCALARS else constant(b, z)
        elif mask == 2:
            x, left = constant(a, x)
        try:
            y = forward(x, z)
        except MISTAKES as error:
            raise explain(rule, (a, b), NONE, error) from error
        if not mask:
            return wrap(as_values(y))
        plan = plans[mask]
        if plan is None:
            plan = plans[mask] = rule.plan(((), (0,), (1,), (0, 1))[mask])
        inputs = (left, right)
        parents: tuple = inputs
        if mask == 3:
            position = left.position if left.position > right.position else right.position
        else:
            parents = (left,) if mask == 1 else (right,)
            position = parents[0].position
        if type(y) in ARRAYS:
            kept = plan.keep(x, z, y, None)
        else:  # NumPy computes many times faster with its scalars than with arrays of one
            kept = plan.keep(x if mask == 2 else x[()], z if mask == 1 else z[()], y, None)
            y = as_ndarray(y)
        result = new(Tensor)  # as wrap does, whose call would take a twelfth of the time
        result._data = y
        result._node = Node(plan, inputs, parents, kept, NONE, position + 1, y, now.scope)
        return result

    return named(call, rule)


def named(function: Any, rule: Rule) -> Any:
    """Give a generated function the name of its rule."""
    function.__name__ = function.__qualname__ = rule.name
    return function


# ---------------------------------------------------------------- the Tensor itself


class Tensor:
    """An array that may be recorded.

    Made by `tinygraph.tensor` or `tinygraph.asarray`, and by every operation on Tensors. Its values
    never change behind a recorded graph: what looks like a change in place gives it new values, and
    graphs recorded before keep theirs.

    Parameters
    ----------
    data : array_like
        Numbers; they are copied.
    dtype : dtype, optional
        By default that of the data.
    requires_grad : bool
        Whether gradients with respect to it are wanted. Floating dtypes only.
    name : str, optional
        For error messages and pictures.

    Examples
    --------
    >>> import tinygraph as tg
    >>> x = tg.tensor([1.0, 2.0], requires_grad=True, name="x")
    >>> (x * x).sum().backward()
    >>> x.grad
    Tensor([2., 4.])
    """

    __slots__ = ("__weakref__", "_data", "_inside", "_node", "_place", "_source")
    _data: Any  # an ndarray, or what stands for one
    _node: Any  # a Node, a Leaf, or None while nobody asked for one
    _source: Any  # the Tensors that this one is a view of, the nearest first
    _place: Any  # by which index
    _namespace: Any  # the module of functions over Tensors; that module sets it

    if TYPE_CHECKING:  # put in by operators.py, methods.py and numpy_protocols.py

        def __getattr__(self, name: str) -> Any: ...

        __add__ = __radd__ = __iadd__ = __sub__ = __rsub__ = __isub__ = __mul__ = ATTACHED
        __rmul__ = __imul__ = __truediv__ = __rtruediv__ = __itruediv__ = __matmul__ = ATTACHED
        __rmatmul__ = __imatmul__ = __pow__ = __rpow__ = __ipow__ = __and__ = __rand__ = ATTACHED
        __or__ = __ror__ = __xor__ = __rxor__ = __lt__ = __le__ = __gt__ = __ge__ = ATTACHED
        __neg__ = __pos__ = __abs__ = __invert__ = __getitem__ = ATTACHED

    def __init__(
        self,
        data: Any,
        *,
        dtype: Any = None,
        requires_grad: bool = False,
        name: str | None = None,
    ):
        if isinstance(data, Tensor):
            record = data.requires_grad and data._node.plan is not None and MODES.get().recording
            if record or isinstance(data, Wrapped):
                raise GraphError(
                    f"tensor: {data._label()} would lose its gradient here. Use .copy() to keep "
                    "it, .detach() to leave it behind."
                )
        array = array_of(data, copy=True)
        if dtype is not None:
            array = array.astype(number_dtype(dtype), copy=False)
        self._data = array
        self._node = None
        if name is not None:
            self.name = name
        if requires_grad:
            self.requires_grad = requires_grad

    # ---- what it is

    shape = property(lambda self: self._data.shape, doc="The length of each axis.")
    dtype = property(lambda self: self._data.dtype, doc="The dtype of the entries.")
    ndim = property(lambda self: self._data.ndim, doc="The number of axes.")
    size = property(lambda self: self._data.size, doc="The number of entries.")
    device = property(lambda self: self._data.device, doc="Where the entries are.")

    @property
    def data(self) -> ndarray:
        """The present values, as a view that cannot be written to.

        Assigning an array of the same shape and dtype sets a leaf's values; graphs recorded before
        keep theirs.
        """
        values = self._values("data")
        if type(values) is Foreign:
            return values.array
        view = values.view()
        view.flags.writeable = False
        return view

    @data.setter
    def data(self, values: Any) -> None:
        if self._node is not None and self._node.plan is not None:
            raise GraphError(
                f"data: {describe(self._node)} is a result, whose values its operands determine. "
                "Set the data of a leaf, or use .detach() first."
            )
        self._values("data")
        array = array_of(values, copy=True)
        if type(self._data) is Foreign and type(array) is ndarray:
            array = self._data.engine.asarray(array)
        if array.shape != self.shape:
            raise ShapeError(f"data: {self._label()} has shape {self.shape}, not {array.shape}.")
        if array.dtype != self.dtype:
            raise DTypeError(
                f"data: {self._label()} has dtype {self.dtype}, not {array.dtype}; "
                f"use .astype({str(self.dtype)!r})."
            )
        self._become(array)

    def _become(self, array: ndarray) -> None:
        """Give a leaf new values, which nobody else may write to."""
        leaf = self._node
        if leaf is None:
            self._data = array
        else:  # in one statement, into which no interrupt gets
            self._data, self._node, leaf.data = array, leaf.changed(array), None
        self.__class__ = Tensor

    def _values(self, what: str) -> Any:
        """Return the values, which may not leave a traced function."""
        trace = MODES.get().trace
        return self._data if trace is None else trace.leaving(what)

    def _label(self) -> str:
        return repr(self.name) if self.name else "this Tensor"

    def _leaf(self) -> Any:
        """Return what stands for this Tensor in a graph."""
        if self._node is None:
            self._node = Leaf(self._data, Cell())
        return self._node

    @property
    def name(self) -> str | None:
        """What messages and pictures call it."""
        return self._node.name if self._node is not None else None

    @name.setter
    def name(self, name: str | None) -> None:
        if name is not None and not isinstance(name, str):
            raise DTypeError(f"name: a name is a str, not {type(name).__name__}.")
        self._leaf().name = name

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow through it. Can be set on a leaf."""
        return self._node is not None and self._node.requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        leaf = self._leaf()
        if type(value) not in (bool, numpy.bool):
            raise DTypeError(f"requires_grad: it is True or False, not {value!r}.")
        if value == leaf.requires_grad:
            return
        if leaf.plan is not None:
            raise GraphError(
                f"requires_grad: {describe(leaf)} is a result and follows its operands. "
                "Set it on a leaf, or use .detach() to cut the graph here."
            )
        if value and self.dtype.kind not in "fc":
            raise DTypeError(
                f"requires_grad: {self._label()} has dtype {self.dtype}, and only floating point "
                "numbers have gradients. Use .astype('float64') first, or dtype='float64'."
            )
        self._node = Leaf(leaf.data, leaf.cell, requires_grad=bool(value), traced=leaf.traced)

    # ---- its gradient

    @property
    def grad(self) -> "Tensor | None":
        """The gradient that `backward` accumulated here, or None. Can be set on a leaf."""
        node = self._node
        if node is None:
            return None
        if node.cell is None:
            warnings.warn(
                f"grad: {describe(node)} is a result, and its gradient was not kept. Call "
                ".retain_grad() on it before backward.",
                stacklevel=2,
            )
            return None
        return node.cell.grad

    @grad.setter
    def grad(self, value: Any) -> None:
        self._values("grad")
        if self._node is not None and self._node.plan is not None:
            raise GraphError(f"grad: {describe(self._node)} is a result; set the grad of a leaf.")
        if value is not None:
            value = same(value) if isinstance(value, Tensor) else Tensor(value)
            if value.shape != self.shape or value.dtype != self.dtype:
                error = DTypeError if value.shape == self.shape else ShapeError
                raise error(
                    f"grad: {self._label()} is {self.shape} {self.dtype}, "
                    f"its gradient cannot be {value.shape} {value.dtype}."
                )
        self._leaf().cell.grad = value

    def retain_grad(self) -> None:
        """Keep the gradient of this result too, in `.grad`, at the next backward."""
        if not self.requires_grad:
            raise GraphError("retain_grad: no gradient flows through this Tensor.")
        if self._node.cell is None:
            self._node.cell = Cell()

    def backward(
        self, grad: Any = None, *, retain_graph: bool = False, create_graph: bool = False
    ) -> None:
        """Add the gradient of this result to the `.grad` of each leaf that it was made from.

        Parameters
        ----------
        grad : array_like, optional
            The gradient of this result, of its shape; 1 for a result of one entry.
        retain_graph : bool
            Whether the graph can be walked again. Otherwise what it kept is freed on the way.
        create_graph : bool
            Whether the gradients are recorded in their turn, for gradients of gradients. They and
            their leaves then refer to each other; `tinygraph.grad` makes no such cycle.

        Raises
        ------
        GraphError
            If nothing was recorded, if the graph was freed by an earlier walk, or if the result has
            several entries and `grad` is not given.
        ShapeError
            If `grad` has another shape.

        Examples
        --------
        >>> import tinygraph as tg
        >>> x = tg.tensor(3.0, requires_grad=True)
        >>> (x ** 2).backward()
        >>> x.grad.item()
        6.0
        """
        self._values("backward")
        root = self._node
        if root is None or not root.requires_grad:
            raise GraphError(
                f"backward: {self._label()} was not recorded: none of its operands requires a "
                "gradient, or it was computed under no_grad, which a generator that waits inside "
                "one leaves on."
            )
        seed = self._seed(grad)
        order = reachable((root,))
        record = create_graph or any(leaf.traced for leaf in leaves(order))
        arrived = walk_back({root: seed}, order, record=record, release=not retain_graph)
        self._commit(arrived, [seed._data])

    def _seed(self, grad: Any) -> "Tensor":
        if grad is None:
            if self.size != 1:
                raise GraphError(
                    f"backward: {self._label()} has shape {self.shape}, and only a result of one "
                    "entry has a gradient by itself. Reduce it, for example by .sum(), or pass "
                    "grad: an array of that shape."
                )
            if self.dtype.kind == "c":
                raise DTypeError(
                    f"backward: {self._label()} is complex, and only a real number has a gradient "
                    "by itself. Reduce it, for example by tg.abs or tg.real, or pass grad."
                )
            return wrap(one_like(self._data))
        seed = grad if isinstance(grad, Tensor) else Tensor(grad)
        return seed._fitted(self, "backward: grad", self._label())

    @staticmethod
    def _commit(arrived: dict, taken: list) -> None:
        """Add the gradients that arrived to what the cells hold: all of them, or none."""
        sums: dict[Cell, Tensor] = {}  # versions of one leaf have a cell in common
        seen = {id(array) for array in taken}
        with COMMITTING:
            for node, one in arrived.items():
                gradient = same(one) if isinstance(one, Tensor) else wrap(owned(one, seen))
                before = sums.get(node.cell, node.cell.grad)
                sums[node.cell] = gradient if before is None else before + gradient
            any(map(SET_GRAD, sums, sums.values()))

    # ---- its values

    def detach(self) -> "Tensor":
        """Return the same values, cut from the graph."""
        values = array_of(self, copy=type(self) is not Tensor)
        return wrap(values, Leaf(values, Cell(), detached=True))

    def numpy(self) -> ndarray:
        """Return the values as an ndarray of the caller's own."""
        values = self._values("numpy")
        return values.numpy() if type(values) is Foreign else values.copy()

    def item(self) -> Any:
        """Return the only entry as a Python number."""
        if self.size != 1:
            raise ShapeError(f"item: {self._label()} has shape {self.shape}, not one entry.")
        return self._values("item").item()

    def tolist(self) -> Any:
        """Return the values as nested lists of Python numbers."""
        return self._values("tolist").tolist()

    def __len__(self) -> int:
        if not self.ndim:
            raise DTypeError("len: a Tensor of shape () has no length.")
        return self.shape[0]

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        text = numpy.array2string(self._data, separator=", ", prefix="Tensor(")
        if self.dtype not in (numpy.float64, numpy.int64, numpy.bool_):
            text += f", dtype={self.dtype}"
        if self._node is not None:
            if self._node.plan is not None:
                text += f", made_by={self._node.plan.rule.name!r}"
            elif self._node.requires_grad:
                text += ", requires_grad=True"
            if self.name:
                text += f", name={self.name!r}"
        return f"Tensor({text})"

    # ---- axes, copies; methods.py and operators.py put in the rest

    @property
    def T(self) -> "Tensor":
        """The array with its axes reversed."""
        return self.transpose()

    @property
    def mT(self) -> "Tensor":
        """The matrices of the last two axes, transposed."""
        if self.ndim < 2:
            raise ShapeError(f"mT: shape {self.shape} has no matrix to transpose.")
        return self.swapaxes(-1, -2)


class Shared(Tensor):
    """A Tensor over an array that somebody else may write to.

    Operations see what was written; a graph keeps the values as it read them.
    """

    __slots__ = ()

    def _snapshot(self) -> tuple[ndarray, Any]:
        """Return the values as of now, and the leaf that stands for them."""
        if MODES.get().trace is not None:
            return (values := array_of(self)), Leaf(values, Cell())
        leaf = self._node
        if leaf is None:
            self._node = leaf = Leaf(self._data.copy("K"), Cell())
        elif leaf.data.tobytes() != self._data.tobytes():
            self._node, leaf.data = leaf.changed(self._data.copy("K")), None
            leaf = self._node
        return leaf.data, leaf

    def _leaf(self) -> Leaf:
        return self._snapshot()[1]


class Wrapped(Tensor):
    """A Tensor inside a function that a transform looks at operation by operation.

    The forward derivative and the map over a batch are such transforms: each has its own kind of
    wrapped Tensor. An operation goes to the innermost transform among its operands, that is the one
    of the highest level, and from there, unwrapped by one, to the next.
    """

    __slots__ = ()
    _inside: Any

    @property
    def name(self) -> str | None:
        """What messages and pictures call it."""
        return self._node.name if self._node is not None else None

    @name.setter
    def name(self, name: str | None) -> None:
        if self._node is not None:
            self._node.name = name

    def _leaf(self) -> Any:
        raise GraphError(
            "inside a function that jvp or vmap transforms there are no leaves: nothing to copy "
            "with its record, to require a gradient, or to give one."
        )

    def backward(self, *args: Any, **options: Any) -> None:
        """Refuse: the gradient would end in `.grad`, where the transform cannot follow it."""
        raise GraphError(
            "backward: inside a function that jvp or vmap transforms, use tg.grad or tg.vjp."
        )


def innermost(several: Iterable, above: int = 0) -> Any:
    """Return what is inside the wrapping of the highest level, if that is above a level."""
    found = [x._inside for x in several if isinstance(x, Wrapped) and x._inside.level > above]
    return max(found, key=attrgetter("level"), default=None)


def interpret(rule: Rule, operands: tuple, params: dict) -> Tensor:
    """Give an operation to the innermost transform among its operands."""
    inside = innermost(operands)
    if inside.level not in MODES.get().levels:
        raise GraphError(
            f"{rule.name}: an operand was made in a call of jvp or vmap and is used outside of it. "
            "Return it from the function instead of keeping it elsewhere."
        )
    with outside(inside.level):
        result = inside.apply(rule, operands, params)
    shares = type(getattr(result, "_data", None)) is not ndarray or result._data.base is not None
    if rule.view and shares and isinstance(operands[0], Tensor):
        result._source = sources(operands[0])
    return result


Shared.__name__ = Shared.__qualname__ = "Tensor"


# ---------------------------------------------------------------- small parts of the above


def owned(gradient: Any, seen: set[int]) -> ndarray:
    """Return a gradient as an array that shares memory with no other one."""
    if type(gradient) is not ndarray:
        return as_values(gradient)
    if gradient.base is not None or id(gradient) in seen:
        return gradient.copy()
    seen.add(id(gradient))
    return gradient


def walk_back(
    seeds: dict,
    order: list,
    *,
    record: bool,
    wanted: set | None = None,
    targets: Any = None,
    release: bool = True,
) -> dict:
    """Walk a graph back from Tensors at its results: on arrays, or where needed on Tensors."""
    xp, where = Tensor._namespace, {"wanted": wanted, "targets": targets}
    if record:
        with modes(recording=True) as now:
            outer = now.scope

            def lifted(node: Node) -> tuple:
                now.scope = Backward(f"backward of {describe(node)}", outer)
                return lift(node)

            arrived = pull_back(seeds, order, xp, lift=lifted, release=False, **where)
        label(seeds, arrived)
        return arrived
    if all(type(seed) is Tensor and not seed.requires_grad for seed in seeds.values()):
        trace = MODES.get().trace
        arrays = {node: array_of(seed) for node, seed in seeds.items()}
        if trace is None:
            xp = next((one.engine for one in arrays.values() if type(one) is Foreign), NUMPY)
        else:
            xp = trace.namespace
        return pull_back(arrays, order, xp, release=release, **where)
    return pull_back(seeds, order, xp, lift=bare, release=release, **where)


def label(roots: dict, arrived: dict) -> None:
    """Name the gradients that a recorded walk from one result computed, where both have names."""
    names = [one.name or ("out" if one.shape else "loss") for one in roots]
    for node, gradient in arrived.items():
        made = gradient._node
        if node.name and len(names) == 1 and made and isinstance(made.scope, Backward):
            made.name = made.name or f"∂{names[0]}/∂{node.name}"


def bare(node: Node) -> tuple:
    """Make what a node kept into Tensors that are constants."""
    return tuple(map(constants, node.kept))


def constants(kept: Any) -> Any:
    """Make arrays into Tensors that are constants."""
    if type(kept) is Parts:
        return Parts(map(constants, kept))
    known = isinstance(kept, generic) or type(kept) in ARRAYS
    return wrap(as_values(kept)) if known else kept


def lift(node: Node) -> tuple:
    """Make what a node kept into Tensors that point to where it came from."""
    plan = node.plan
    rule = plan.rule
    lifted: dict[str, Any] = {}
    for name, value in zip(plan.names, node.kept, strict=True):
        if name == "y":
            value = Parts(apart(value, node)) if rule.outputs else wrap(as_values(value), node)
        elif name in rule.operands:
            source = node.inputs[rule.operands.index(name)]
            if type(source) not in SCALARS:
                value = wrap(as_values(value), source)
        elif name == "r":
            xp = Tensor._namespace
            value = rule.residual(xp, *(lifted[one] for one in rule.operands), **node.params)
        lifted[name] = value
    return tuple(lifted.values())
