"""Functions of the user's own as operations: with a gradient of their own, or computed twice."""

from collections.abc import Callable, Iterable
from functools import update_wrapper, wraps
from typing import Any

import numpy

from .arrays import NUMPY
from .engines import Engine
from .errors import DTypeError, GraphError, RuleError, ShapeError, operand_text
from .modes import MODES, Scope, modes
from .reverse import Call, as_tensor
from .rules import Kind, Rule, Shapes
from .rules.reductions import known
from .rules.table import REAL
from .tape import Cell, Leaf
from .tensor import Tensor, Wrapped, apply, same, wrap
from .transforms import cut, joined, vmap
from .trees import flatten, leaves_like


class FunctionPlan:
    """What to keep of one application of a `Function`: its operands and its residuals."""

    __slots__ = ("names", "rule", "slots")
    transposes = False  # a function's own gradient is whole

    def __init__(self, rule: "Function", slots: tuple[int, ...]):
        self.rule = rule
        self.slots = slots
        self.names = (*rule.operands, "residuals")

    @staticmethod
    def keep(*values: Any) -> tuple:
        """Return what is kept: all but the result."""
        return (*values[:-2], values[-1])

    def pull(self, xp: Any, g: Any, kept: tuple, params: dict) -> list:
        """Return the gradients of the operands in `slots`."""
        *operands, residuals = kept
        if xp is NUMPY or type(xp) is Engine:
            with modes(recording=False):
                gradients = self.rule.pull(tuple(map(wrap, operands)), residuals, wrap(g))
            return [None if gradients[i] is None else gradients[i]._data for i in self.slots]
        gradients = self.rule.pull(tuple(operands), None, g)
        return [gradients[i] for i in self.slots]


def noted(note: str, f: Callable, *args: Any) -> Any:
    """Call a function of the user's; what it raises passes unchanged, with a note of where."""
    try:
        return f(*args)
    except Exception as error:
        error.add_note(note)
        raise


class Function(Rule):
    """A rule made from functions on Tensors.

    Attributes
    ----------
    run_on : callable
        ``run_on(*tensors)`` returns the result and the residuals.
    pull : callable
        ``pull(tensors, residuals, g)`` returns a gradient or None for each. Without residuals, it
        makes them of the tensors again.
    """

    __slots__ = ("pull", "run_on")
    ours = False

    def __init__(self, name: str, count: int, run_on: Callable, pull: Callable):
        super().__init__(
            name, None, (lambda g: g,) * count, Kind.OTHER, REAL, None, Shapes.ANY, {}, "",
            False, False, False, "", None, f"Return {name} of its operands.",
        )  # fmt: skip
        self.operands = tuple(f"x{i}" for i in range(count))
        self.run_on = run_on
        self.pull = pull

    def run(self, xp: Any, operands: tuple, params: dict) -> tuple[Any, Any]:
        """Compute the result and the residuals on raw arrays."""
        with modes(recording=False):
            y, residuals = self.run_on(*map(wrap, operands))
        if isinstance(y, Wrapped):
            raise GraphError(
                f"{self.name}: it reads a value of the function that jvp or vmap transforms around "
                "it. Pass that value as an argument."
            )
        return y._data, residuals

    def evaluate(self, xp: Any, slot: int, g: Any, operands: tuple, y: Any, params: dict) -> Any:
        """Pull a gradient back to one operand."""
        return self.pull(operands, None, g)[slot]

    def plan(self, slots: tuple[int, ...]) -> Any:
        """Return the plan for the operands in `slots` requiring a gradient."""
        return FunctionPlan(self, slots)

    def on_batch(self, examples: tuple) -> Tensor:
        """Return the results of all examples along axis 0."""
        count = len(examples)
        mapped = Function(
            self.name,
            count,
            lambda *whole: (vmap(lambda *one: self.run_on(*one)[0])(*whole), None),
            lambda whole, _, g: vmap(lambda g, *one: self.pull(one, None, g))(g, *whole),
        )
        return apply(mapped, examples, {})


# ---------------------------------------------------------------- trees in, trees out


def is_floating(x: Any) -> bool:
    """Whether something is an array or a number that can have a gradient."""
    return isinstance(x, float | Tensor | numpy.ndarray | numpy.floating) and (
        isinstance(x, float) or x.dtype.kind in "fc"
    )


def held(tree: Any) -> Any:
    """Return a tree like another, of arrays and Tensors that nobody else can change."""
    leaves, join = flatten(tree)
    traced = MODES.get().trace is not None  # then arrays are read anew at each replay

    def own(one: Any) -> Any:
        if isinstance(one, Tensor):
            return same(one)
        return one.copy() if type(one) is numpy.ndarray and not traced else one

    return join(map(own, leaves))


def check_same(name: str, first: Tensor, again: Tensor) -> None:
    """Raise if a function that was run again gave another result, up to rounding."""
    if isinstance(first, Wrapped) or isinstance(again, Wrapped):
        return
    a, b = known(first), known(again)
    if a is None or b is None or a.shape != b.shape:
        return  # not there yet, or one of them for a whole batch
    size = numpy.abs(a).max(initial=0.0, where=numpy.isfinite(a))
    bound = float(numpy.finfo(a.dtype).eps) ** 0.5
    if not numpy.array_equal(a, b) and not numpy.allclose(a, b, bound, bound * size, True):
        raise GraphError(
            f"{name}: run again on the way back, it gave another result than at first. Pass what "
            "has changed since, such as an array that it reads or random numbers, as an argument."
        )


class Arguments:
    """The floating point leaves of some arguments, and the arguments made of others."""

    def __init__(self, args: tuple):
        self.leaves, self.join = flatten(args)
        self.places = [i for i, one in enumerate(self.leaves) if is_floating(one)]
        self.tensors = tuple(same(as_tensor(self.leaves[i])) for i in self.places)
        self.leaves = flatten(held(self.of(self.tensors)))[0]

    def of(self, tensors: Iterable) -> tuple:
        """Return the arguments with other floating point leaves."""
        leaves = list(self.leaves)
        for i, one in zip(self.places, tensors, strict=True):
            leaves[i] = one
        return self.join(leaves)


def follows(gradient: Any) -> bool:
    """Whether a gradient, if there is one, depends on something that is differentiated by."""
    return gradient is None or isinstance(gradient, Wrapped) or gradient.requires_grad


class Layout:
    """How the floating point results of a function lie in one array, for a node has one result.

    Several of them are put into one vector, which is taken apart again outside.
    """

    def __init__(self, leaves: list, join: Callable):
        self.join = join
        self.parts = [(one.shape, one.dtype) if is_floating(one) else None for one in leaves]
        self.others = [None if is_floating(one) else one for one in leaves]

    def unpack(self, packed: Tensor) -> Any:
        """Return what the function returned, with its floating point leaves from one array."""
        parts = [part for part in self.parts if part is not None]
        pieces = [packed]
        if len(parts) != 1:
            pieces = cut(packed, (shape for shape, _ in parts))
            pieces = [one.astype(dtype) for one, (_, dtype) in zip(pieces, parts, strict=True)]
        rest = iter(pieces)
        return self.join(
            other if part is None else next(rest)
            for part, other in zip(self.parts, self.others, strict=True)
        )


def pack(out: Any) -> tuple[Tensor, Layout]:
    """Return the floating point leaves of a tree as one array, and how they lie in it."""
    leaves, join = flatten(out)
    leaves = [as_tensor(one) if is_floating(one) else one for one in leaves]
    floating = [one for one in leaves if is_floating(one)]
    layout = Layout(leaves, join)
    if len(floating) == 1:
        return floating[0], layout
    return joined(floating) if floating else wrap(numpy.zeros(0)), layout


# ---------------------------------------------------------------- a gradient of one's own


class custom_vjp:
    """A function whose gradient is given, not derived.

    Parameters
    ----------
    f : callable
        Takes and returns arrays, or nested dicts, lists, tuples and dataclasses of them. It gets
        Tensors, and nothing inside it is recorded.

    Examples
    --------
    The logarithm of 1 + exp(x), whose derived gradient would overflow:

    >>> import tinygraph as tg
    >>> @tg.custom_vjp
    ... def softplus(x):
    ...     return tg.log(1 + tg.exp(x))
    >>> softplus.defvjp(lambda x: (softplus(x), x), lambda x, g: g * tg.nn.sigmoid(x))
    >>> tg.grad(softplus)(0.0)
    array(0.5)
    """

    __name__: str

    def __init__(self, f: Callable):
        self.f = f
        self.fwd: Any = None
        self.bwd: Any = None
        update_wrapper(self, f)
        self.__name__ = getattr(f, "__name__", type(f).__name__)

    def defvjp(self, fwd: Callable, bwd: Callable) -> None:
        """Set the gradient.

        Parameters
        ----------
        fwd : callable
            ``fwd(*args)`` returns the pair of what `f` returns and of residuals, that is whatever
            `bwd` needs. For a gradient of the gradient it is itself recorded: residuals are then to
            be Tensors made from its arguments.
        bwd : callable
            ``bwd(residuals, g)`` returns the gradient of each argument, as a tuple, or of the only
            one; None for an argument that has none.
        """
        self.fwd, self.bwd = fwd, bwd

    def __call__(self, *args: Any) -> Any:
        """Call the function; a gradient reaches its floating point arguments by `bwd`."""
        if self.fwd is None:
            raise GraphError(f"{self.__name__}: it has no gradient yet. Give it one by .defvjp.")
        given = Arguments(args)
        wanted = any(one.requires_grad or isinstance(one, Wrapped) for one in given.tensors)
        now = MODES.get()
        if not now.everything and not (wanted and now.recording):
            return self.f(*given.of(given.tensors))
        layouts: list[Layout] = []
        first: list[Tensor] = []

        def run_on(*tensors: Tensor) -> tuple[Tensor, Any]:
            out, residuals = self.forward(given.of(tensors))
            packed, layout = pack(out)
            layouts[:] = [layout]
            if first:
                check_same(self.__name__, first[0], packed)
            first[:] = [packed]
            return packed, (held(residuals),)

        def pull(tensors: tuple, kept: Any, g: Tensor) -> list:
            if kept is not None:
                return self.backward(given, tensors, held(kept[0]), layouts[0].unpack(g))
            with modes(again=True):
                out, *kept = self.forward(given.of(tensors), checked=True)
            check_same(self.__name__, first[0], pack(out)[0])
            if not (isinstance(g, Wrapped) or g.requires_grad):
                g = wrap(g._data, Leaf(g._data, Cell(), requires_grad=True))
            gradients = self.backward(given, tensors, kept[0], layouts[0].unpack(g))
            if MODES.get().recording and not all(map(follows, gradients)):
                raise RuleError(
                    f"{self.__name__}: bwd returned a gradient that is not computed from g by "
                    "recorded operations, so that it cannot be differentiated again, nor used in "
                    "forward mode. Avoid .numpy() in it; for a gradient that is zero, return None."
                )
            return gradients

        packed = apply(Function(self.__name__, len(given.tensors), run_on, pull), given.tensors, {})
        return layouts[0].unpack(packed)

    def forward(self, args: tuple, checked: bool = False) -> Any:
        """Call fwd; if its residuals are to be differentiated, see that they can be."""
        out = noted(f"{self.__name__}: raised by its fwd.", self.fwd, *args)
        if not isinstance(out, tuple) or len(out) != 2:
            raise RuleError(f"{self.__name__}: fwd returns a pair (out, residuals).")
        if checked and any(
            is_floating(one) and not isinstance(one, Tensor) for one in flatten(out[1])[0]
        ):
            raise RuleError(
                f"{self.__name__}: a gradient of its gradient needs residuals that are Tensors "
                "made from fwd's arguments, and among them is an array or a number."
            )
        return out

    def backward(self, given: Arguments, tensors: tuple, residuals: Any, g: Any) -> list:
        """Call bwd, and bring its gradients into the order of the floating point leaves."""
        read = ", ".join(map(operand_text, given.tensors))
        note = f"{self.__name__}: raised by its bwd, on the way back to {read}."
        answer = noted(note, self.bwd, residuals, g)
        args = given.join(given.leaves)
        if not isinstance(answer, tuple):
            answer = (answer,)
        if len(answer) != len(args):
            raise RuleError(
                f"{self.__name__}: bwd returned {len(answer)} gradients for {len(args)} arguments."
            )
        leaves: list[Any] = []
        for gradient, arg in zip(answer, args, strict=True):
            try:
                leaves += (
                    [None] * len(flatten(arg)[0])
                    if gradient is None
                    else leaves_like(gradient, arg)
                )
            except ShapeError as error:
                raise RuleError(
                    f"{self.__name__}: bwd returned a gradient that is not structured like its "
                    f"argument: {error}"
                ) from None
        gradients = []
        for i, tensor in zip(given.places, tensors, strict=True):
            try:
                one = None if leaves[i] is None else as_tensor(leaves[i])
            except DTypeError as error:
                raise RuleError(f"{self.__name__}: bwd returned no gradient: {error}") from None
            if one is not None and one.shape != tensor.shape:
                raise RuleError(
                    f"{self.__name__}: bwd returned a gradient of shape {one.shape} for an "
                    f"argument of shape {tensor.shape}."
                )
            if one is not None and one.dtype.kind == "c" and tensor.dtype.kind != "c":
                raise RuleError(
                    f"{self.__name__}: bwd returned a complex gradient for an argument of dtype "
                    f"{tensor.dtype}. Return its real part, tg.real(...)."
                )
            gradients.append(one)
        return gradients


# ---------------------------------------------------------------- memory for time


def checkpoint(f: Callable) -> Callable:
    """Return a function that keeps nothing for the way back, and runs again instead.

    Recorded, `f` costs no more memory than its arguments and results; walking back runs it a second
    time. Tensors that it reads from elsewhere get their gradients too. Inside `jvp` and `vmap` it
    runs as it is.

    Parameters
    ----------
    f : callable
        Takes and returns arrays, or nested dicts, lists, tuples and dataclasses of them. It gives
        the same result each time: randomness other than that of `tg.nn.dropout`, which is drawn
        once, is drawn outside and passed in.

    Raises
    ------
    GraphError
        On the way back, if what it reads has changed since, or it gives another result.

    Examples
    --------
    >>> import tinygraph as tg
    >>> block = tg.checkpoint(lambda x: tg.tanh(tg.exp(x)))
    >>> tg.grad(block)(0.0) == tg.grad(lambda x: tg.tanh(tg.exp(x)))(0.0)
    np.True_
    """
    name = getattr(f, "__name__", "checkpoint")

    @wraps(f)
    def call(*args: Any) -> Any:
        now = MODES.get()
        if not now.recording or now.everything or now.levels or now.trace:
            return f(*args)
        given = Arguments(args)
        drawn: list[int] = []
        ran: list[bool] = []

        def run(*args: Any) -> Any:
            now, known = MODES.get(), iter(tuple(drawn))

            def seed(generator: numpy.random.Generator) -> int:
                found = next(known, None)
                if found is None:
                    drawn.append(found := now.seed(generator))
                return found

            with modes(seed=seed, again=now.again or bool(ran)):
                when = "again, on the way back" if ran else "for the first time"
                return noted(f"checkpoint: raised by {name}, run {when}.", f, *args)

        first = Segment(name, run, given, given.tensors)
        ran.append(True)
        captured, layout, result = first.captured, first.layout, wrap(first.packed._data)
        values = [result]
        if not captured and not any(one.requires_grad for one in given.tensors):
            return layout.unpack(result)
        count = len(given.tensors)

        def run_on(*tensors: Tensor) -> tuple[Tensor, Any]:
            # The first time, what has just been computed; later, for a replay, again.
            if values:
                return values.pop(), None
            again = pack(run(*given.of(tensors[:count])))[0]
            check_same(f"checkpoint: {name}", result, again)
            return again, None

        def pull(tensors: tuple, _: Any, g: Tensor) -> list:
            again = Segment(name, run, given, tensors[:count])
            if again.captured != captured:
                raise GraphError(
                    f"checkpoint: {name} reads a Tensor that has been given new values since it "
                    "was called. Walk back before you change it, or pass it as an argument."
                )
            check_same(f"checkpoint: {name}", result, again.packed)
            return again.pull(g)

        operands = (*given.tensors, *first.outside)
        return layout.unpack(apply(Function(name, len(operands), run_on, pull), operands, {}))

    return call


class Segment:
    """One recorded run of a function, and which Tensors from elsewhere it read."""

    def __init__(self, name: str, f: Callable, given: Arguments, tensors: tuple):
        marker = Scope(name, MODES.get().scope)

        def inside(*variables: Tensor) -> tuple[Tensor, Layout]:
            with modes(scope=marker):
                return pack(f(*given.of(variables)))

        self.call = Call(name, inside, tensors, {}, range(len(tensors)), transforming=False)
        self.packed, self.layout = self.call.out
        self.captured = self.call.look([self.packed], within=marker)
        # What the captured nodes hold is read by the function itself: only their shape counts here.
        self.outside = [
            wrap(numpy.broadcast_to(numpy.zeros((), node.dtype), node.shape), node)
            for node in self.captured
        ]

    def pull(self, g: Tensor) -> list:
        """Return the gradients of the arguments, and of what was read from elsewhere."""
        call = self.call
        return call.pull([self.packed], [g], call.variables + self.outside)
