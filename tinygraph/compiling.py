"""Functions that run many times: traced twice, written as straight calls of NumPy, replayed.

While a function is traced it runs as ever, but its Tensors hold a `Symbol` each in the place of an
array. Rules, and the walks back over what they recorded, then call NumPy on symbols, which note the
calls. These become the text of a Python function, where ufuncs write to arrays that are made once.
"""

import builtins
import itertools
import operator
from collections import OrderedDict
from collections.abc import Callable, Iterable
from functools import partial, wraps
from types import SimpleNamespace
from typing import Any

import numpy
from numpy import asarray as as_ndarray
from numpy import generic, ndarray
from numpy.lib.mixins import NDArrayOperatorsMixin

from .arrays import NUMPY
from .engines import Foreign, foreign
from .errors import ArgumentError, DTypeError, GraphError, MissingDependencyError
from .modes import MODES, modes
from .namespace import is_several
from .reverse import answer, holds_tensors
from .rules import RULES, Rule
from .rules.indexing import Scattered
from .tensor import ARRAYS, SCALARS, Tensor, Wrapped, array_of, wrap
from .trees import flatten, parts_of

REMEMBERED = 128  # signatures of one function
NUMBER = numpy.dtype(float)
# What these do after Python code of their own, with the same numbers.
REDUCTIONS = {
    numpy.sum: numpy.add.reduce, numpy.max: numpy.maximum.reduce, numpy.min: numpy.minimum.reduce,
    numpy.prod: numpy.multiply.reduce,
}  # fmt: skip
REDUCED_BY: dict[str, Any] = {"axis": None, "dtype": None, "out": None, "keepdims": False}
# How a call is written where that takes less time, of its written arguments and its outcome.
SHORT: dict[Any, Callable] = {
    operator.getitem: lambda made, x, index: f"{x}[{index}]",
    operator.pow: lambda made, x, y: f"({x}) ** ({y})",
    numpy.astype: lambda made, x, dtype: f"{x}.astype({dtype})",
    numpy.matrix_transpose: lambda made, x: f"{x}.mT",
    numpy.transpose: lambda made, x, *axes: f"{x}.transpose({', '.join(axes)})",
} | dict.fromkeys((numpy.expand_dims, numpy.reshape, numpy.squeeze), (
    lambda made, x, *shape, axis=None: f"{x}.reshape({made.shape})"
))  # fmt: skip
FROZEN = generic | int | float | complex  # what nobody can change
# What these answer follows from shapes and dtypes, or is for people to read.
FIXED = frozenset(getattr(numpy, name) for name in (
    "array2string", "can_cast", "iscomplexobj", "isrealobj", "may_share_memory", "ndim",
    "result_type", "shape", "size",
))  # fmt: skip
# The shape of what these answer depends on values.
VARYING = frozenset(getattr(numpy, name) for name in (
    "argwhere", "flatnonzero", "nonzero", "unique", "unique_all", "unique_counts",
    "unique_inverse", "unique_values",
))  # fmt: skip


class ReadError(GraphError):
    """Something asks for the values behind a symbol."""


# It is told to users, who need not know of symbols.
ReadError.__module__, ReadError.__qualname__ = GraphError.__module__, GraphError.__qualname__


class Unlike(Exception):
    """A replay has come to where another run would go on in another way."""


# ---------------------------------------------------------------- arguments of calls


def rebuilt(tree: Any, change: Callable) -> Any:
    """Return arguments of a call with everything in them changed that is no container."""
    if isinstance(tree, dict):
        return {name: rebuilt(one, change) for name, one in tree.items()}
    if isinstance(tree, slice):
        return slice(*rebuilt((tree.start, tree.stop, tree.step), change))
    if isinstance(tree, tuple | list):
        several = [rebuilt(one, change) for one in tree]
        return tree._make(several) if hasattr(tree, "_make") else type(tree)(several)
    return change(tree)


def leaves_of(tree: Any) -> list:
    """Return everything in the arguments of a call that is no container."""
    found: list = []
    rebuilt(tree, found.append)
    return found


def symbols_in(tree: Any) -> list["Symbol"]:
    """Return the symbols in the arguments of a call."""
    return [one for one in leaves_of(tree) if type(one) is Symbol]


def value_of(x: Any) -> Any:
    """Return the value that a symbol had when it was traced."""
    return x.value if type(x) is Symbol else x


# ---------------------------------------------------------------- what notes calls


class Symbol(NDArrayOperatorsMixin):
    """What stands for an array in a traced function, and notes what is called on it.

    Its value is an array, a scalar of NumPy, or a Python float, which widens no dtype.
    """

    __hash__ = object.__hash__

    def __init__(self, trace: "Trace", value: Any):
        self.trace = trace
        self.value = value
        self.place = next(trace.places)

    shape = property(lambda self: numpy.shape(self.value))
    ndim = property(lambda self: numpy.ndim(self.value))
    size = property(lambda self: numpy.size(self.value))
    dtype = property(lambda self: getattr(self.value, "dtype", NUMBER))
    device = "cpu"
    T = property(lambda self: self.trace.note(numpy.transpose, self))
    mT = property(lambda self: self.trace.note(numpy.matrix_transpose, self))

    def __pow__(self, other: Any) -> Any:  # of arrays not what numpy.power does
        return self.trace.note(operator.pow, self, other)

    def __rpow__(self, other: Any) -> Any:
        return self.trace.note(operator.pow, other, self)

    def __getitem__(self, index: Any) -> Any:
        return self.trace.note(operator.getitem, self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        self.trace.change(self, operator.setitem, self, index, value)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        if method == "at":
            return self.trace.change(inputs[0], ufunc.at, *inputs)
        (target,) = options.pop("out", (None,))
        if isinstance(value_of(target), ndarray):
            return self.trace.change(target, ufunc, *inputs, target)
        function = ufunc if method == "__call__" else getattr(ufunc, method)
        return self.trace.note(function, *inputs, **options)

    def __array_function__(self, function: Any, types: Any, args: tuple, options: dict) -> Any:
        return self.trace.note(function, *args, **options)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.trace.leaving(name)

    def _refuse(self, *args: Any, **options: Any) -> Any:
        return self.trace.leaving("a conversion")

    __bool__ = __int__ = __float__ = __complex__ = __index__ = __len__ = __iter__ = _refuse
    __array__ = __reduce__ = _refuse


ARRAYS.add(Symbol)


class Namespace:
    """NumPy for symbols: arrays that formulas fill or change are noted too."""

    def __getattr__(self, name: str) -> Any:
        function = getattr(numpy, name)
        setattr(self, name, function)
        return function

    @staticmethod
    def zeros(shape: Any, dtype: Any = float) -> Any:
        """Return zeros."""
        return MODES.get().trace.note(numpy.zeros, shape, dtype)

    @staticmethod
    def asarray(x: Any, dtype: Any = None, copy: bool | None = None) -> Any:
        """Return an array, or a copy of it."""
        if type(x) is not Symbol:
            return as_ndarray(x, dtype)
        return x.trace.note(numpy.array, x, dtype, copy=copy)


SYMBOLIC = Namespace()


def as_number(function: Callable, *args: Any, **options: Any) -> float:
    """Return a Python float, as Python makes of Python floats."""
    return function(*args, **options).item()


def expect(measure: Callable, before: Any, array: Any) -> None:
    """Go on if an array has the shape, or selects as many entries, as before."""
    if measure(array) != before:
        raise Unlike


# ---------------------------------------------------------------- what stays one call


def run_whole(rule: Rule, operands: tuple, params: dict) -> list:
    """Return the result or the results of a rule, and its residual."""
    y, residual = rule.run(NUMPY, operands, params)
    return [*(y if rule.outputs else [y]), residual]


def pull_whole(plan: Any, pull: Callable, g: Any, kept: tuple, params: dict) -> list:
    """Return the gradients that a rule's formulas give, as arrays."""
    pulled = pull(NUMPY, SimpleNamespace(plan=plan, params=params), g, kept)
    return [one.dense() if type(one) is Scattered else one for one in pulled]


def check_whole(rule: Rule, operands: tuple, params: dict) -> list:
    """Refuse operands whose values make no sense."""
    rule.check(list(operands), params)  # type: ignore[misc]
    return []


# ---------------------------------------------------------------- looking on


class Trace:
    """What one run of a function calls.

    Attributes
    ----------
    calls : list of tuple
        Function, arguments, options and outcomes of each: symbols, and None for what is no array.
    read : list of tuple
        What was read from elsewhere: a symbol, and the object.
    """

    namespace = SYMBOLIC

    def __init__(self, tensors: bool):
        self.tensors = tensors  # whether any argument is one, so that results are too
        self.before: list[tuple] = []  # Tensors that were read, as they were
        self.places = itertools.count()
        self.calls: list[tuple] = []
        self.read: list[tuple[Symbol, Any]] = []
        self.known: dict[int, Symbol] = {}  # by the identity of an array that was read
        self.alive: list[Any] = []  # so that nothing else gets the same identity
        self.closed = False

    def symbol(self, x: Any, array: Any) -> Any:
        """Return what stands for the array of an object; it is read anew at each replay."""
        if type(array) is Symbol or type(array) in SCALARS:
            return array
        if id(array) not in self.known:
            symbol = self.known[id(array)] = Symbol(self, array)
            self.alive.append(array)
            self.read.append((symbol, x))
            if isinstance(x, Tensor):
                self.before.append((x, type(x), array, x._node))
        return self.known[id(array)]

    def end(self) -> None:
        """Take symbols out of what was there before, and refuse what was changed."""
        self.closed = True
        changed = [x for x, *_ in self.before if type(x._data) is Symbol]
        for x, kind, array, node in self.before:
            if type(x._data) is Symbol or type(getattr(x._node, "data", None)) is Symbol:
                x.__class__, x._data, x._node = kind, array, node
        if changed:
            raise GraphError(
                f"compile: the function changes {changed[0]._label()}, which it did not make; a "
                "replay would not. Pass it as an argument, and return its new values."
            )

    def forget(self) -> None:
        """Drop all that was noted."""
        for noted in (self.calls, self.read, self.known, self.alive, self.before):
            noted.clear()

    def symbolic(self, x: Any) -> Any:
        """Return what stands for an argument of a call, if that is an array."""
        return self.symbol(x, x) if isinstance(x, ndarray) else x

    def leaving(self, what: str) -> Any:
        """Refuse to give values away."""
        raise ReadError(
            f"{what}: inside a function that compile traces, values cannot be read: what is done "
            "with them would stay as it is now. Use tg.where in the place of if, keep the Tensor, "
            "or make the argument static (static_argnums)."
        )

    def note(self, function: Callable, *args: Any, **options: Any) -> Any:
        """Call a function on what symbols stand for, and return what stands for its outcome."""
        if self.closed:
            raise GraphError(
                "compile: a Tensor of a traced call is used after it. Return it from the function "
                "instead of keeping it elsewhere."
            )
        args, options = rebuilt((args, options), self.symbolic)
        mine = symbols_in((args, options))
        for one in symbols_in(args[1]) if function is operator.getitem else ():
            if one.dtype.kind == "b":
                self.expect(numpy.count_nonzero, one)
        outcome = function(*rebuilt(args, value_of), **rebuilt(options, value_of))
        for one in mine:
            if one.value is outcome:
                return one
        several = outcome if isinstance(outcome, tuple) else (outcome,)
        if not all(isinstance(one, ndarray | generic) for one in several):
            return outcome if function in FIXED else self.leaving(function.__name__)
        weak = mine and all(type(one.value) is float for one in mine)
        if weak and getattr(outcome, "shape", None) == () and outcome.dtype == NUMBER:
            function, args, outcome = as_number, (function, *args), outcome.item()
        made = rebuilt(outcome, partial(Symbol, self))
        self.calls.append((function, args, options, made))
        if function in VARYING:
            self.expect(numpy.shape, symbols_in(made)[0])
        return made

    def expect(self, measure: Callable, x: Symbol) -> None:
        """Note that a replay is good for nothing where an array is selected of another length."""
        self.calls.append((expect, (measure, measure(x.value), x), {}, ()))

    def change(self, target: Any, function: Callable, *args: Any) -> Any:
        """Call a function that changes what a symbol stands for."""
        if type(target) is not Symbol:
            self.leaving("a change in place")
        given = rebuilt(args, self.symbolic)
        function(*rebuilt(given, value_of))
        self.calls.append((function, given, {}, target))
        return target

    def attempt(self, rule: Rule, take_apart: Callable, whole: Callable, *args: Any) -> Any:
        """Take a computation apart into calls of NumPy; note it as one call if it reads values."""
        before = len(self.calls)
        if not (rule.name.startswith("linalg.") and rule.name in RULES):
            try:
                return take_apart()
            except ReadError:
                if not rule.ours:
                    raise
                del self.calls[before:]
        outcome = whole(*rebuilt(args, value_of))
        made = rebuilt(outcome, lambda one: None if one is None else Symbol(self, one))
        self.calls.append((whole, args, {}, made))
        return made

    def run(self, rule: Rule, operands: tuple, params: dict) -> tuple[Any, Any]:
        """Compute the result and the residual of a rule on symbols."""

        def take_apart() -> list:
            y, residual = rule.run(SYMBOLIC, operands, params)
            return [*(y if rule.outputs else [y]), residual]

        if rule.check is not None:
            check = partial(rule.check, list(operands), params)
            self.attempt(rule, check, check_whole, rule, operands, params)
        *made, residual = self.attempt(rule, take_apart, run_whole, rule, operands, params)
        return tuple(made) if rule.outputs else made[0], residual

    def pulling(self, pull: Callable) -> Callable:
        """Return a step of a walk back on symbols."""

        def step(xp: Any, node: Any, gradient: Any, kept: tuple) -> Any:
            if xp is not SYMBOLIC:  # on Tensors, operation by operation
                return pull(xp, node, gradient, kept)
            return self.attempt(
                node.plan.rule, lambda: pull(xp, node, gradient, kept),
                pull_whole, node.plan, pull, gradient, kept, node.params,
            )  # fmt: skip

        return step


# ---------------------------------------------------------------- from calls to a function


def same_twice(first: Any, second: Any) -> bool:
    """Whether an argument of a call is the same in both traced runs."""
    if type(first) is not type(second):
        return False
    if type(first) is Symbol:
        return first.place == second.place
    if isinstance(first, ndarray | generic):
        alike = first.shape == second.shape and first.dtype == second.dtype
        return alike and first.tobytes() == second.tobytes()
    plain = isinstance(first, int | float | complex | str)
    return not plain or first == second or first != first


def base_of(array: Any) -> Any:
    """Return the array whose memory an array shows."""
    while getattr(array, "base", None) is not None:
        array = array.base
    return array


def wants_gradient(x: Any) -> bool:
    """Whether what is computed of this now would be recorded."""
    return isinstance(x, Tensor) and x.requires_grad and MODES.get().recording


def layout(x: Symbol) -> tuple:
    """Return what an array has to have in common with another in whose place it can be."""
    return x.shape, x.dtype, getattr(x.value, "strides", None)


class Program:
    """The calls of a function, written out.

    Parameters
    ----------
    traces : pair of Trace
        Two runs on the same arguments.
    inputs : list of Symbol
        What stands for the arguments.
    outputs : pair of list
        What the runs returned: symbols, and what is no array.
    donated : list of Symbol
        The arguments that may be written to.
    """

    def __init__(self, traces: list, inputs: list, outputs: list, donated: list):
        first, second = traces
        self.outputs = outputs[0]
        self.read: list[tuple] = []
        self.known: dict[str, Any] = {"copy": numpy.copy}
        self.names = {one.place: f"v{one.place}" for one in inputs}
        self.idle: list[Callable] = []
        mine, others = ([*trace.calls, ("", outputs, {}, ())] for trace, outputs in
                        zip(traces, outputs, strict=True))  # fmt: skip
        agree = len(mine) == len(others) and len(first.read) == len(second.read) and all(
            one[0] == other[0]
            and len(a := leaves_of(one[1:3])) == len(b := leaves_of(other[1:3]))
            and all(map(same_twice, a, b))
            for one, other in zip(mine, others, strict=True)
        )  # fmt: skip
        for (symbol, x), (other, y) in zip(first.read, second.read, strict=False):
            if x is y and not isinstance(x, FROZEN):
                self.read.append((x, symbol.shape, symbol.dtype, wants_gradient(x)))
                self.names[symbol.place] = f"v{symbol.place}"
                inputs = [*inputs, symbol]
            else:
                agree = agree and same_twice(symbol.value, other.value)
                self.names[symbol.place] = self.constant(symbol.value.copy("K"))
        if not agree:
            raise GraphError(
                "compile: the function computed something else when it ran again on the same "
                "arguments. Pass random numbers, counters and the like as arguments."
            )
        self.write(self.needed(first.calls), inputs, donated)
        self.outputs = [SYMBOLIC if type(one) is Symbol else one for one in self.outputs]
        for trace in traces:  # which holds symbols, and these hold it
            trace.forget()

    def needed(self, calls: list) -> list:
        """Return the calls that something returned depends on, that change things, or may raise."""
        wanted = {one.place for one in self.outputs if type(one) is Symbol}
        found = []
        for call in reversed(calls):
            read = {one.place for one in symbols_in(call[1:3])}
            made = {one.place for one in symbols_in(call[3])}
            if not made or made & (wanted | read):
                wanted |= read
                found.append(call)
        return found[::-1]

    def constant(self, x: Any) -> str:
        """Return the name of something that stays as it is."""
        name = f"c{len(self.known)}"
        self.known[name] = x
        return name

    def text(self, tree: Any) -> str:
        """Write an argument of a call."""
        if type(tree) is Symbol:
            return self.names[tree.place]
        if type(tree) in (bool, int, type(None)):
            return repr(tree)
        if not symbols_in(tree):
            return self.constant(tree)
        if isinstance(tree, dict):
            return f"{{{', '.join(f'{key!r}: {self.text(one)}' for key, one in tree.items())}}}"
        if isinstance(tree, slice):
            return f"slice({', '.join(map(self.text, (tree.start, tree.stop, tree.step)))})"
        several = "".join(f"{self.text(one)}, " for one in tree)
        if isinstance(tree, list):
            return f"[{several}]"
        made_by = "" if type(tree) is tuple else self.constant(type(tree))
        return f"{made_by}(({several}))"

    def write(self, calls: list, inputs: list, donated: list) -> None:
        """Write the function, and one that makes it with arrays of its own."""
        lines: list[str] = []
        self.buffers: list[ndarray] = []
        self.free: dict[tuple, list[Symbol]] = {}  # whose arrays nobody else has
        self.last: dict[int, int] = {}  # by whose memory: the call that reads it last
        for i, read in enumerate([*(call[1:3] for call in calls), self.outputs]):
            self.last |= {id(base_of(one.value)): i for one in symbols_in(read)}
        returned = [one.place for one in self.outputs if type(one) is Symbol]
        alone = {place for place in returned if returned.count(place) == 1}
        fresh: set[int] = set()
        for i, (function, args, options, made) in enumerate(calls):
            out = ""
            new = type(made) is Symbol and made.place not in self.names and bool(made.ndim)
            short = SHORT.get(function) if options.keys() <= {"axis"} else None
            reduces = REDUCTIONS.get(function)
            if reduces and (len(args) > 1 or options.keys() - REDUCED_BY or not args[0].ndim):
                reduces = None
            if new and (reduces or isinstance(function, numpy.ufunc)):
                certain = all(isinstance(call[0], numpy.ufunc) for call in calls[i + 1 :])
                out = self.target(i, made, donated if certain else [])
                fresh.add(made.place)
            given = [*map(self.text, args)]
            if reduces:
                function = reduces
                given += [out or "None" if key == "out" else self.text(one)
                          for key, one in (REDUCED_BY | options).items()]  # fmt: skip
            elif not short:
                by_name = function in (numpy.maximum, numpy.minimum)  # they warn otherwise
                given += [f"out={out}" if by_name else out] if out else []
                given += [f"{name}={self.text(one)}" for name, one in options.items()]
            if short:
                call = short(made, *given, **options)
            else:
                call = f"{self.constant(function)}({', '.join(given)})"
            lines.append(f"{self.left(made)}{call}")
        answers = [
            self.names[place] if place in fresh & alone else f"copy({self.names[place]})"
            for place in returned
        ]
        body = "".join(f"        {line}\n" for line in lines)
        text = (
            f"def make({', '.join(f'b{i}' for i in range(len(self.buffers)))}):\n"
            f"    def run({', '.join(self.names[one.place] for one in inputs)}):\n{body}"
            f"        return [{', '.join(answers)}]\n    return run\n"
        )
        exec(builtins.compile(text, "<tinygraph.compile>", "exec"), self.known)
        self.make = self.known.pop("make")

    def left(self, made: Any) -> str:
        """Write what a call gives its outcome to; nothing if it changes what has a name."""
        if any(one.place in self.names for one in symbols_in(made)):
            return ""
        self.names |= {one.place: f"v{one.place}" for one in symbols_in(made)}

        def written(tree: Any) -> str:
            if isinstance(tree, tuple | list):
                return f"[{', '.join(map(written, tree))}]"
            return "_" if tree is None else self.names[tree.place]

        return f"{written(made)} = "

    def target(self, i: int, made: Symbol, donated: list) -> str:
        """Return the name of the array that a call writes to; none for a new one.

        It may be that of an operand: what a ufunc answers does not depend on that.
        """
        returned = any(one is made for one in self.outputs)
        mine = donated if returned else self.free.setdefault(layout(made), [])
        name = ""
        for place, one in enumerate(mine):
            unread = self.last.get(id(base_of(one.value)), 0) <= i
            if unread and layout(one) == layout(made):
                name = self.names[mine.pop(place).place]
                break
        if not returned:
            self.free[layout(made)].append(made)
            if not name:
                self.buffers.append(made.value)
                return f"b{len(self.buffers) - 1}"
        return name

    def reads(self, owners: set[int]) -> bool:
        """Whether the memory of one of these is read besides, as what the function closes over."""
        return any(id(base_of(array_of(x))) in owners for x, *_ in self.read)

    def __call__(self, arrays: list) -> list:
        """Run it on arrays, and return arrays and what is none."""
        for x, shape, dtype, wanted in self.read:
            arrays.append(array := array_of(x))
            if array.shape != shape or array.dtype != dtype or wants_gradient(x) > wanted:
                raise Unlike
        run = self.idle.pop() if self.idle else self.make(*map(numpy.empty_like, self.buffers))
        found = iter(run(*arrays))
        self.idle.append(run)  # not if it raises: who knows who still holds what
        return [next(found) if one is SYMBOLIC else one for one in self.outputs]


# ---------------------------------------------------------------- the function that is compiled


def described(x: Any, arrays: list, recording: bool) -> Any:
    """Return what has to be the same of an argument at each replay, and collect its arrays."""
    kind = type(x)
    if isinstance(x, Tensor):
        if isinstance(x, Wrapped) or (recording and x.requires_grad):
            raise Unlike
        x = x._data
        if type(x) is Foreign:
            raise Unlike
    elif kind is float:
        arrays.append(x)
        return kind
    elif isinstance(x, ndarray | generic):
        if kind is not ndarray or not x.dtype.isnative:
            x = array_of(x)
    else:
        parts = parts_of(x)
        if foreign(x) is not None:
            raise Unlike
        if parts is None:
            return static(x)
        names = tuple(x) if isinstance(x, dict) else None
        return kind, names, tuple([described(one, arrays, recording) for one in parts[0]])
    arrays.append(x)
    return kind, x.shape, x.dtype, x.strides


def static(x: Any) -> tuple:
    """Return by what an argument is known that may only be what it was when it was traced."""
    try:
        hash(x)
    except TypeError:
        raise DTypeError(
            f"compile: {type(x).__name__} is neither an array nor hashable. Convert it, by "
            "numpy.asarray, or close over it."
        ) from None
    exact = repr(x) if isinstance(x, float | complex | tuple) else ""  # 0.0 == -0.0, (1,) == (1.0,)
    return type(x), x, exact


def places(what: str, argnums: Any) -> frozenset[int]:
    """Return the places of some arguments."""
    try:
        found = frozenset(map(operator.index, argnums if is_several(argnums) else (argnums,)))
    except TypeError:
        raise DTypeError(
            f"compile: {what}_argnums is an int or several, not {argnums!r}."
        ) from None
    if min(found, default=0) < 0:
        raise ArgumentError(f"compile: {what}_argnums={argnums!r}: count arguments from 0.")
    return found


def is_array(x: Any) -> bool:
    """Whether an argument may be another array, or another number, at each replay."""
    return isinstance(x, Tensor | ndarray | generic | Symbol) or type(x) is float


def traced(f: Callable, arrays: list, args: list, options: dict) -> tuple:
    """Run a function on symbols; return its trace, its symbols, and what it returned."""
    trace = Trace(holds_tensors(args, options))
    inputs: list[Any] = [Symbol(trace, one) for one in arrays]
    symbols = iter(inputs)
    leaves, join = flatten([args, options])
    args, options = join(wrap(next(symbols)) if is_array(one) else one for one in leaves)
    try:
        with modes(trace=trace):
            leaves, join = flatten(f(*args, **options))
            outputs = [trace.symbol(one, array_of(one)) if is_array(one) else one for one in leaves]
        if any(isinstance(one, Tensor) and one.requires_grad for one in leaves):
            raise GraphError(
                "compile: what the function returns is recorded, by Tensors that require a "
                "gradient and are no arguments, and a replay records nothing. Make them arguments "
                "of tg.grad or tg.value_and_grad inside, or call it under tg.no_grad()."
            )
    finally:
        trace.end()
    return trace, inputs, outputs, join


def through_jax(f: Callable, static: Any, donate: Any) -> Callable:
    """Return a function of NumPy's arrays that JAX compiles."""
    try:
        import jax
    except ImportError as error:
        raise MissingDependencyError('compile: engine="jax" needs JAX: pip install jax') from error

    def mapped(change: Callable, tree: Any) -> Any:
        leaves, join = flatten(tree)
        return join(map(change, leaves))

    def traced(*args: Any, **options: Any) -> Any:
        given = mapped(lambda x: wrap(array_of(x)) if hasattr(x, "shape") else x, [args, options])
        return mapped(lambda x: x.data if isinstance(x, Tensor) else x, f(*given[0], **given[1]))

    jitted = jax.jit(traced, static_argnums=static, donate_argnums=donate)

    @wraps(f)
    def call(*args: Any, **options: Any) -> Any:
        tensors = holds_tensors(args, options)
        args, options = mapped(lambda x: x.data if isinstance(x, Tensor) else x, [args, options])
        with jax.enable_x64(True):
            answer = jitted(*args, **options)
        return mapped(lambda x: wrap(numpy.array(x)) if tensors else numpy.array(x), answer)

    return call


def compile(
    f: Callable,
    *,
    static_argnums: int | Iterable[int] = (),
    donate_argnums: int | Iterable[int] = (),
    engine: str | None = None,
) -> Callable:
    """Return a function that computes the same by straight calls of NumPy.

    For functions that are called many times on small arrays, such as a step of training by
    `value_and_grad`. For each signature, that is for shapes, dtypes, memory layouts and structure
    of the arguments, `f` runs twice and is looked at; later calls replay what NumPy was called for.

    Parameters
    ----------
    f : callable
        Of arrays, Tensors, numbers, and nested dicts, lists, tuples and dataclasses of them. It may
        depend on arguments by operations on Tensors alone, and has no other effect.
    static_argnums : int or iterable of int
        Arguments that are no arrays, hashable: for each of their values `f` is traced anew. So it
        is for whatever is neither an array, a Tensor nor a float.
    donate_argnums : int or iterable of int
        Arguments whose arrays may be overwritten, and returned as results.
    engine : {None, "jax"}
        None replays NumPy's calls. With "jax" it is `jax.jit` that compiles what `f` computes, on
        NumPy's arrays and in their dtypes; it may reorder sums, takes dicts, lists and tuples, and
        reads nothing from elsewhere anew. Works on what JAX has a function for.

    Returns
    -------
    callable
        Takes the arguments of `f`. Results are Tensors if any argument was, else ndarrays, and
        nobody else's. While operations are recorded for others, inside another transform or on
        arguments that require a gradient, it calls `f` itself.

    Raises
    ------
    GraphError
        If `f` reads values (by `if`, ``float``, `.numpy()`), changes a Tensor that it did not make,
        or computes something else when it runs again.
    DTypeError
        If an argument is neither an array nor hashable.

    Notes
    -----
    Arrays and Tensors that `f` reads from elsewhere are read anew at each call. Python numbers, and
    what is computed outside of tinygraph from such arrays, stay what they were.

    Examples
    --------
    >>> import numpy as np
    >>> import tinygraph as tg
    >>> step = tg.compile(lambda w, rate: w - rate * tg.grad(lambda w: (w * w).sum())(w))
    >>> step(np.array([1.0, 2.0]), 0.25)
    array([0.5, 1. ])
    """
    if engine == "jax":
        return through_jax(f, static_argnums, donate_argnums)
    if engine is not None:
        raise ArgumentError(f'compile: engine {engine!r} is unknown; give "jax" or None.')
    fixed, donating = places("static", static_argnums), places("donate", donate_argnums)
    programs: OrderedDict[Any, tuple] = OrderedDict()

    def bound(args: tuple) -> tuple[Callable, list]:
        """Return the function of arguments that are not static, and these."""

        def call(*given: Any, **options: Any) -> Any:
            rest = iter(given)
            return f(*[x if i in fixed else next(rest) for i, x in enumerate(args)], **options)

        return call, [x for i, x in enumerate(args) if i not in fixed]

    def aside(args: tuple, options: dict) -> Any:
        """Call the function itself, on Tensors as it is traced on."""
        inside, given = bound(args)
        tensors = holds_tensors(given, options)
        leaves, join = flatten([given, options])
        given, options = join(
            wrap(array_of(one)) if isinstance(one, ndarray | generic) else one for one in leaves
        )
        leaves, join = flatten(inside(*given, **options))
        return join(answer(one, tensors) if isinstance(one, Tensor) else one for one in leaves)

    def prepared(arrays: list, donated: list, args: tuple, options: dict) -> tuple:
        """Trace the function twice, and write the program."""
        inside, given = bound(args)
        values = [one if type(one) is float else array_of(one) for one in arrays]
        first, second = (traced(inside, values, given, options) for _ in range(2))
        given = [x for x in flatten([given, options])[0] if is_array(x)]
        free = [first[1][i] for i in donated if isinstance(given[i], ndarray)]
        program = Program([first[0], second[0]], first[1], [first[2], second[2]], free)
        return program, first[3], wrap if first[0].tensors else as_ndarray

    @wraps(f)
    def call(*args: Any, **options: Any) -> Any:
        now = MODES.get()
        if now.watched or now.levels:
            return aside(args, options)
        arrays: list[Any] = []
        donated: list[int] = []
        key: list[Any] = [now.recording]
        try:
            for i, x in enumerate(args):
                begin = len(arrays)
                key.append(static(x) if i in fixed else described(x, arrays, now.recording))
                if i in donating:
                    donated += range(begin, len(arrays))
            if options:
                key.append(described(options, arrays, now.recording))
            if donated:
                owners = [id(base_of(one)) for one in arrays]
                donated = [
                    i
                    for i in donated
                    if owners.count(owners[i]) == 1
                    and isinstance(arrays[i], ndarray)
                    and arrays[i].flags.writeable
                ]
                key.append(tuple(donated))
            known = programs.get(known_by := tuple(key))
            if known is None:
                while len(programs) >= REMEMBERED:
                    programs.popitem(last=False)
                known = programs[known_by] = prepared(arrays, donated, args, options)
        except Unlike:
            return aside(args, options)
        program, join, answers = known
        if donated and program.reads({owners[i] for i in donated}):
            return aside(args, options)
        try:
            found = program(arrays)
        except Exception:  # told by the function itself, at the place where it is
            found = aside(args, options)
            if donated:  # what it was given may have been overwritten
                raise
            return found
        return join([answers(x) if type(x) is ndarray else x for x in found])

    return call
