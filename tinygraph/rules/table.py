"""What a rule is, and the table that holds them all.

A rule is written once, against an array namespace ``xp``. Its formulas say by the names of their
parameters what they read; the table compiles from that what a recorded operation has to keep.
"""

import collections
import enum
import math
from collections.abc import Callable
from functools import partial
from operator import attrgetter
from typing import Any

VARIADIC = 0x04  # the flag of a code object whose function takes *args


class Kind(enum.Enum):
    """How a rule depends on its operands; forward mode and batching follow from it."""

    ELEMENTWISE = "each entry depends on one entry of each operand; operands broadcast"
    LINEAR = "linear in the operands, all taken together"
    BILINEAR = "linear in each operand"
    OTHER = "none of these"


class Shapes(enum.Enum):
    """Which shapes the operands of a rule may have."""

    BROADCAST = "shapes that broadcast to one"
    ANY = "one array of any shape"
    NONEMPTY = "one array with at least one entry along each axis that is reduced"
    MATMUL = "shapes that matmul takes"
    EQUAL = "a list of arrays of one shape"
    JOINED = "a list of arrays that differ at most along the joined axis"
    LOGITS = "logits, and class indices or rows of weights for them"
    REPLACED = "an array, and what broadcasts to the entries that an index selects"
    SCATTERED = "what an index of the given shape would select"
    MATRIX = "a stack of matrices"
    SQUARE = "a stack of square matrices"
    SOLVED = "a stack of square matrices, and vectors or matrices that they multiply"
    BETWEEN = "two stacks of square matrices, and matrices that they multiply from left and right"
    VECTORS = "vectors along one axis; the other axes broadcast"
    TRIPLES = "vectors of three along one axis; the other axes broadcast"
    CONTRACTED = "two arrays that have the axes in common that are summed over"
    ALONG = "an array, and places along one of its axes"
    WINDOWED = "an array over whose last axes a window slides"
    WINDOWS = "what a window shows at each of its positions"


class Parameter(enum.Enum):
    """What a parameter of a rule means: tests draw it, batching shifts it, pictures show it."""

    AXES = "None, one axis or a tuple of axes to reduce"
    AXIS = "one axis of the operand"
    ONLY_AXIS = "one axis; None if the operand has no other"
    NEW_AXIS = "where the result gets a new axis"
    NEW_AXES = "where the result gets new axes: one or a tuple"
    UNIT_AXES = "axes of length 1 to remove"
    PERMUTATION = "an order of all axes"
    SHAPE = "a shape with as many entries as the operand"
    WIDER_SHAPE = "a shape that the operand broadcasts to"
    INDEXED_SHAPE = "the shape of the array that the index selects from"
    INDEX = "an index: integers, slices, None, Ellipsis, arrays of integers or bools"
    DTYPE = "a real floating dtype, or None for that of the operand"
    CORRECTION = "a number to take off the count of the entries"
    WINDOW = "size, stride, dilation, zeros before and zeros after, for each of the last axes"
    LENGTHS = "lengths of the last axes"
    FLAG = "True or False"
    ORDER = "the order of a norm: 2, another number, inf or −inf"
    DIAGONAL = "which diagonal: 0 is the main one, 1 the one above it"
    BASIS = 'whether vectors are completed to a basis: True or "complete"'
    TRIANGLE = 'which triangle of a Hermitian matrix is read: "L" or "U"'
    CUTOFF = "which singular values count as 0, beside the largest one; None for rounding errors"
    CONTRACTION = "how many axes to sum over, or a pair of lists of them"
    POINTS = "how many points a transform takes; None for all there are"
    NORM = '"backward", "ortho" or "forward": where a transform divides by the number of points'
    REDUCTION = '"mean", "sum" or "none"'


class Domain:
    """The values at which a rule is differentiable, for one operand.

    `low` and `high` bound an open interval; `excluded` are points inside it where the derivative
    jumps or does not exist. `of` says what the values are: "real" numbers, "boolean", "integer",
    "target" (class indices or weights), "matrix" (well-conditioned) or "hermitian". `distinct`
    keeps the entries apart from each other, for rules that have a kink where two of them tie.
    """

    __slots__ = ("distinct", "excluded", "high", "low", "of")

    def __init__(
        self,
        low: float = -math.inf,
        high: float = math.inf,
        excluded: tuple[float, ...] = (),
        of: str = "real",
        distinct: bool = False,
    ):
        self.low = low
        self.high = high
        self.excluded = excluded
        self.of = of
        self.distinct = distinct

    def without(self, *points: float) -> "Domain":
        """Return this domain less some points."""
        return Domain(self.low, self.high, self.excluded + points, self.of, self.distinct)


REAL = Domain()
POSITIVE = Domain(low=0.0)
DISTINCT = Domain(distinct=True)
BOOLEAN = Domain(of="boolean")
INTEGER = Domain(0, 8, of="integer")
TARGET = Domain(of="target")
MATRIX = Domain(of="matrix")
HERMITIAN = Domain(of="hermitian")


class Plan:
    """What to keep of one application of a rule, and how to pull gradients back through it.

    There is one plan for each rule and each choice of operands that require a gradient.

    Attributes
    ----------
    rule : Rule
    slots : tuple of int
        The operands that get a gradient.
    keep : callable
        ``keep(*operands, y, r)`` gives the tuple that `pull` reads again.
    names : tuple of str
        What each entry of that tuple is: an operand, ``y``, ``r`` or ``<operand>_shape``.
    pull : callable
        ``pull(xp, g, kept, params)`` gives one gradient for each slot, or None.
    """

    __slots__ = ("keep", "names", "pull", "rule", "slots")
    transposes = True  # and does not conjugate: the engine does, where numbers are complex

    def __init__(self, rule: "Rule", slots: tuple[int, ...]):
        self.rule = rule
        self.slots = slots
        operands = rule.operands
        read = {name for slot in slots for name in rule.reads[slot]}
        if "r" in read:  # to differentiate r again, what it was made from is needed
            read.update(operands)
        known = [*operands, *(f"{name}_shape" for name in operands), "y", "r"]
        self.names = tuple(name for name in known if name in read)

        def kept(name: str) -> str:
            return name.replace("_shape", ".shape")

        def argument(name: str) -> str:
            if name in self.names:
                return f"kept[{self.names.index(name)}]"
            return name if name in ("xp", "g") else f"params[{name!r}]"

        calls = "".join(
            f"vjp[{slot}]({', '.join(map(argument, rule.reads[slot]))}), " for slot in slots
        )
        keeps = "".join(f"{kept(name)}, " for name in self.names)
        # Compiled, not interpreted: these two run once for every recorded operation.
        self.keep = eval(f"lambda {', '.join(operands)}, y, r: ({keeps})")
        self.pull = eval(f"lambda xp, g, kept, params: ({calls})", {"vjp": rule.vjp})


class ListPlan:
    """The plan of a rule on a list of operands; its one vjp gives the gradients of all of them."""

    __slots__ = ("keep", "names", "pull", "rule", "slots")
    transposes = True

    def __init__(self, rule: "Rule", slots: tuple[int, ...]):
        self.rule = rule
        self.slots = slots
        self.names = ("shapes",)
        vjp: Any = rule.vjp[0]
        reads = rule.reads[0]

        def keep(*values: Any) -> tuple:
            return (tuple(operand.shape for operand in values[:-2]),)

        def pull(xp: Any, g: Any, kept: tuple, params: dict) -> list:
            known = {"xp": xp, "g": g, "shapes": kept[0], **params}
            gradients = vjp(*[known[name] for name in reads])
            return [gradients[slot] for slot in slots]

        self.keep = keep
        self.pull = pull


class Parts(tuple):
    """The results of an operation that has several, or the gradients of them.

    Among gradients, None stands for one that did not arrive.
    """

    __slots__ = ()
    shape = property(lambda self: tuple(getattr(one, "shape", None) for one in self))
    dtype = property(lambda self: max(one.dtype for one in self if one is not None))

    def __add__(self, other: Any) -> "Parts":
        pairs = zip(self, other, strict=True)
        return Parts(a if b is None else b if a is None else a + b for a, b in pairs)


class Rule:
    """One operation: how to compute it, how to pull a gradient back, and where that holds.

    Attributes
    ----------
    name : str
        With the submodule before a dot, as in "linalg.solve".
    forward : callable or None
        ``forward(xp, *operands, **params)``; None where it is ``xp.<name>`` itself. What is
        positional-only, what has a default, and so on, is so in the public function too.
    vjp : tuple of callables or None
        For each operand the gradient that reaches it, or None where there is none. Parameters by
        name: ``xp``; ``g``, the gradient of the result; an operand; ``<operand>_shape``; ``y``, the
        result; ``r``, the residual; any parameter of the rule. A rule on a list of operands has
        one formula for all of them, which reads ``shapes``.
    residual : callable or None
        ``residual(xp, *operands, **params)``: what forward makes on its way and a vjp reads again.
        It is a function of the operands, so that it can be differentiated in its turn.
    kind, shapes, domain, parameters
        The data from which forward mode, batching and the property tests are derived.
    broadcasts : bool
        Whether the engine sums a gradient back over the axes that broadcasting stretched.
    symbol : str
        The sign that a picture draws for it.
    commutative, view : bool
        Whether operands may be swapped; whether it moves data without computing.
    convention : str
        The value of the derivative at kinks, in words.
    check : callable or None
        ``check(operands, params)``, called before forward, raises for arguments that make no sense.
    outputs : tuple of str
        The names of its results, if it has several: forward returns a tuple, `y` is one, and so is
        `g`, with None for results that got no gradient.
    doc : str
        What it returns: the docstring of the public function, or at least its first line. By
        default that of `forward`.
    signature : str
        How the public function is called: forward's own signature, without ``xp`` and residual.
    """

    __slots__ = (
        "_bound", "_plans", "answer", "broadcasts", "check", "commutative", "convention",
        "defaults", "doc", "domain", "forward", "kind", "name", "operands", "outputs",
        "parameters", "parts", "reads", "residual", "shapes", "signature", "symbol", "variadic",
        "view", "vjp",
    )  # fmt: skip
    ours = True  # whether what it raises is told again, by its operands

    def __init__(
        self,
        name: str,
        forward: Callable | None,
        vjp: Callable | tuple[Callable | None, ...] | None,
        kind: Kind,
        domain: Domain | tuple[Domain, ...],
        residual: Callable | None,
        shapes: Shapes,
        parameters: dict[str, Parameter],
        symbol: str,
        commutative: bool,
        view: bool,
        broadcasts: bool | None,
        convention: str,
        check: Callable | None,
        doc: str | None,
        outputs: tuple[str, ...] = (),
    ):
        self.name = name
        self.forward = forward
        self.vjp = vjp if isinstance(vjp, tuple) else (vjp,)
        self.kind = kind
        self.residual: Any = residual
        self.shapes = shapes
        self.parameters = parameters
        self.symbol = symbol or name
        self.commutative = commutative
        self.view = view
        self.broadcasts = kind is Kind.ELEMENTWISE if broadcasts is None else broadcasts
        self.convention = convention
        self.check = check
        self.outputs = outputs
        self.answer: Any = None
        if outputs:
            several: Any = collections.namedtuple
            self.answer = several(f"{name.replace('.', '_')}_results", outputs)._make
        self.parts = tuple(Part(self, i) for i in range(len(outputs)))
        self._bound: dict[Any, Callable] = {}
        self._plans: dict[tuple[int, ...], Plan | ListPlan] = {}

        self.variadic = False
        self.defaults: dict[str, Any] = {}
        if forward is None:
            self.operands = tuple("abc"[: len(self.vjp)])
            self.signature = f"{', '.join(self.operands)}, /"
        else:
            self._read(forward)
        self.doc = doc or (forward.__doc__ if forward is not None else None)
        if not self.doc:
            raise TypeError(f"{name}: a rule needs a doc, which says what it returns")
        self.domain = domain if isinstance(domain, tuple) else (domain,) * max(1, len(self.vjp))
        if not all(isinstance(one, Domain) for one in self.domain):
            raise TypeError(f"{name}: a rule needs a domain for each operand")
        self.reads = tuple(
            () if one is None else one.__code__.co_varnames[: one.__code__.co_argcount]
            for one in self.vjp
        )
        known = {"xp", "g", "y", "r", "shapes", *self.operands, *parameters}
        known.update(f"{operand}_shape" for operand in self.operands)
        for names in self.reads:
            if unknown := set(names) - known:
                raise TypeError(f"{name}: a vjp names {sorted(unknown)}, which the rule lacks")

    def _read(self, forward: Callable) -> None:
        """Read off forward's own signature what the operands and the parameters are."""
        code = forward.__code__
        count = code.co_argcount
        positional = code.co_varnames[1:count]
        named = code.co_varnames[count : count + code.co_kwonlyargcount]
        self.variadic = bool(code.co_flags & VARIADIC)
        given = forward.__defaults__ or ()
        self.defaults = dict(zip(positional[len(positional) - len(given) :], given, strict=True))
        self.defaults |= forward.__kwdefaults__ or {}
        operands = [one for one in positional if one not in self.parameters]
        if self.residual is not None:
            operands.pop()
        self.operands = tuple(operands)
        settings = [one for one in (*positional, *named) if one in self.parameters]
        if set(settings) != set(self.parameters) or set(named) - set(settings):
            raise TypeError(
                f"{self.name}: forward takes {settings}, the entry names {list(self.parameters)}"
            )

        def written(one: str) -> str:
            return f"{one}={self.defaults[one]!r}" if one in self.defaults else one

        parts = [written(one) for one in positional if one in (*operands, *settings)]
        if code.co_posonlyargcount:
            parts.insert(code.co_posonlyargcount - 1, "/")
        if self.variadic:
            parts = ["arrays", "/"]
        if named:
            parts += ["*", *map(written, named)]
        self.signature = ", ".join(parts)

    def __repr__(self) -> str:
        return f"Rule({self.name!r})"

    @property
    def differentiable(self) -> bool:
        """Whether any operand can get a gradient."""
        return any(one is not None for one in self.vjp)

    def bound(self, xp: Any) -> Callable:
        """Return forward on the arrays of one namespace: a function of operands and parameters."""
        function = self._bound.get(xp)
        if function is None:
            function = partial(self.forward, xp) if self.forward else attrgetter(self.name)(xp)
            self._bound[xp] = function
        return function

    def run(self, xp: Any, operands: tuple, params: dict) -> tuple[Any, Any]:
        """Compute the result and the residual (None for most rules) on raw arrays."""
        if self.residual is None:
            return self.bound(xp)(*operands, **params), None
        residual = self.residual(xp, *operands, **params)
        return self.forward(xp, *operands, residual, **params), residual  # type: ignore[misc]

    def evaluate(self, xp: Any, slot: int, g: Any, operands: tuple, y: Any, params: dict) -> Any:
        """Evaluate the formula that pulls a gradient back to one operand."""
        known = {"xp": xp, "g": g, "y": y, **params}
        known.update(zip(self.operands, operands, strict=True))
        for name in self.reads[slot]:
            if name == "r":
                known[name] = self.residual(xp, *operands, **params)
            elif name.endswith("_shape"):
                known[name] = known[name.removesuffix("_shape")].shape
        vjp: Any = self.vjp[slot]
        return vjp(*[known[name] for name in self.reads[slot]])

    def plan(self, slots: tuple[int, ...]) -> Plan | ListPlan:
        """Return the plan for the operands in `slots` requiring a gradient."""
        if self.variadic:
            return ListPlan(self, slots)
        plan = self._plans.get(slots)
        if plan is None:
            differentiable = tuple(slot for slot in slots if self.vjp[slot] is not None)
            plan = self._plans[slots] = Plan(self, differentiable)
        return plan


class Part(Rule):
    """One of the results of an operation that has several, as an operation of its own."""

    __slots__ = ("count", "place")

    def __init__(self, whole: Rule, place: int):
        name = f"{whole.name}.{whole.outputs[place]}"
        super().__init__(
            name, lambda xp, a, /: a[place], lambda g: self.among(g), Kind.LINEAR, REAL, None,
            Shapes.ANY, {}, "", False, True, False, "", None, f"Return {name}.",
        )  # fmt: skip
        self.place = place
        self.count = len(whole.outputs)

    def among(self, g: Any) -> Parts:
        """Return a gradient in its place among those of all results."""
        return Parts(g if i == self.place else None for i in range(self.count))


RULES: dict[str, Rule] = {}


def rule(
    name: str,
    forward: Callable | None = None,
    *,
    vjp: Callable | tuple[Callable | None, ...] | None,
    kind: Kind,
    domain: Domain | tuple[Domain, ...],
    residual: Callable | None = None,
    shapes: Shapes | None = None,
    parameters: dict[str, Parameter] | None = None,
    symbol: str = "",
    commutative: bool = False,
    view: bool = False,
    broadcasts: bool | None = None,
    convention: str = "",
    check: Callable | None = None,
    doc: str | None = None,
    outputs: tuple[str, ...] = (),
) -> Rule:
    """Enter a rule in the table; `Rule` says what each column means."""
    if name in RULES:
        raise TypeError(f"{name}: the table has this rule already")
    if shapes is None:
        shapes = Shapes.BROADCAST if kind is Kind.ELEMENTWISE else Shapes.ANY
    RULES[name] = Rule(
        name, forward, vjp, kind, domain, residual, shapes, parameters or {},
        symbol, commutative, view, broadcasts, convention, check, doc, outputs,
    )  # fmt: skip
    return RULES[name]
