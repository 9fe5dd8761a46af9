"""Random differentiable programs: rules of the table put together, and a check of each of them.

A `Program` is data: its inputs, and the steps that make results of them. It can be called, like the
function that it is; printed, as Python code that gives the same numbers; and rewritten, to run in
float64, or with noise of the size of rounding after every step. What is drawn at random by
`programs` is put through everything that has to agree by `check_program`.
"""

import math
import operator
import random
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from .. import namespace
from ..errors import GradientError
from ..modes import scope
from ..namespace import asarray, tensor
from ..replay import replay
from ..rules import RULES, Domain, Parameter, Rule, Shapes
from ..tensor import Tensor
from ..transforms import grad, jvp, value_and_grad
from .comparison import EXACT, SAFETY
from .numerical import derivative, derivatives
from .strategies import DTYPES, REACH, intervals, parameter

IN_PLACE = {
    "add": ("+=", operator.iadd), "subtract": ("-=", operator.isub),
    "multiply": ("*=", operator.imul), "divide": ("/=", operator.itruediv),
    "pow": ("**=", operator.ipow), "matmul": ("@=", operator.imatmul),
}  # fmt: skip


# ---------------------------------------------------------------- what a program is


@dataclass(frozen=True, eq=False)
class Step:
    """One application of a rule in a program.

    Attributes
    ----------
    target : str
        The variable that is given the result.
    rule : str
    operands : tuple
        Names of variables, Python numbers and constant arrays.
    params : dict
    in_place : bool
        Whether it is written with an operator such as ``+=``, on its first operand.
    scope : str or None
    """

    target: str
    rule: str
    operands: tuple
    params: dict
    in_place: bool = False
    scope: str | None = None

    def run(self, variables: dict[str, Tensor]) -> Tensor:
        """Return the result, for given values of the variables."""
        operands = [variables[one] if isinstance(one, str) else one for one in self.operands]
        if self.in_place:
            return IN_PLACE[self.rule][1](*operands)
        function = getattr(namespace, self.rule)
        if RULES[self.rule].variadic:
            return function(operands, **self.params)
        if self.rule == "astype":  # which takes its parameter by place alone
            return function(*operands, *self.params.values())
        return function(*operands, **self.params)

    def __str__(self) -> str:
        operands = [one if isinstance(one, str) else literal(one) for one in self.operands]
        if self.in_place:
            return f"{self.target} {IN_PLACE[self.rule][0]} {operands[1]}"
        if self.rule == "getitem":
            return f"{self.target} = {operands[0]}[{literal(self.params['index'])}]"
        if RULES[self.rule].variadic:
            operands = [f"[{', '.join(operands)}]"]
        settings = [
            literal(value) if self.rule == "astype" else f"{name}={literal(value)}"
            for name, value in self.params.items()
        ]
        return f"{self.target} = tg.{self.rule}({', '.join(operands + settings)})"


@dataclass(frozen=True, eq=False, repr=False)
class Program:
    """A function of arrays to a number, made of rules of the table.

    Every result that no later step reads is multiplied by fixed weights; the sum is the value.

    Attributes
    ----------
    inputs : dict of str to ndarray
        Where it is checked, by the names of the arguments.
    steps : tuple of Step
    noise : callable, optional
        ``noise(shape)`` gives factors, by which the result of every step is multiplied.

    Examples
    --------
    >>> program = Program({"x": numpy.array([1.0, 2.0])}, (Step("y", "square", ("x",), {}),))
    >>> program(numpy.array([1.0, 0.0]))
    Tensor(1.)
    >>> print(program)
    import numpy as np
    import tinygraph as tg
    <BLANKLINE>
    <BLANKLINE>
    def weighted(y):
        return tg.sum(y * np.cos(np.arange(float(y.size))).reshape(y.shape))
    <BLANKLINE>
    <BLANKLINE>
    def program(x):
        y = tg.square(x)
        return weighted(y)
    <BLANKLINE>
    <BLANKLINE>
    arguments = (
        np.array([1.0, 2.0], dtype='float64'),
    )
    print(tg.value_and_grad(program, argnums=(0,))(*arguments))
    """

    inputs: dict[str, numpy.ndarray]
    steps: tuple[Step, ...]
    noise: Callable | None = None

    def trace(self, *arguments: Any) -> dict[str, Tensor]:
        """Run all steps, and return the variables as they are at the end."""
        variables = dict(zip(self.inputs, map(asarray, arguments), strict=True))
        for step in self.steps:
            with scope(step.scope) if step.scope else nullcontext():
                result = variables[step.target] = step.run(variables)
            if self.noise and result.dtype.kind == "f" and rounds(RULES[step.rule]):
                result._data *= self.noise(result.shape)  # and so in what the graph keeps of it
        return variables

    def total(self, variables: dict[str, Tensor]) -> Tensor:
        """Return the value, of what `trace` returned."""
        sums = [weighted(variables[name]) for name in self.results]
        return sum(sums[1:], start=sums[0])

    def __call__(self, *arguments: Any) -> Tensor:
        """Return the value for some arguments."""
        return self.total(self.trace(*arguments))

    @property
    def results(self) -> list[str]:
        """The variables that no later step reads."""
        unread = dict.fromkeys(self.inputs)
        for step in self.steps:
            for name in step.operands:
                if isinstance(name, str):
                    unread.pop(name, None)
            unread[step.target] = None
        return list(unread)

    @property
    def arguments(self) -> tuple[numpy.ndarray, ...]:
        """The inputs, in the order of the arguments."""
        return tuple(self.inputs.values())

    @property
    def argnums(self) -> tuple[int, ...]:
        """The places of all arguments."""
        return tuple(range(len(self.inputs)))

    def __repr__(self) -> str:
        lines = [
            "import numpy as np", "import tinygraph as tg", "", "",
            "def weighted(y):",
            "    return tg.sum(y * np.cos(np.arange(float(y.size))).reshape(y.shape))", "", "",
            f"def program({', '.join(self.inputs)}):",
        ]  # fmt: skip
        for name, steps in groupby(self.steps, key=lambda step: step.scope):
            if name:
                lines.append(f"    with tg.scope({name!r}):")
            lines += [f"{'        ' if name else '    '}{step}" for step in steps]
        lines += [
            f"    return {' + '.join(f'weighted({name})' for name in self.results)}", "", "",
            "arguments = (",
            *(f"    {literal(array)}," for array in self.arguments),
            ")",
            f"print(tg.value_and_grad(program, argnums={literal(self.argnums)})(*arguments))",
        ]  # fmt: skip
        return "\n".join(lines)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Print the code, where Hypothesis shows an example."""
        printer.text(repr(self))

    # ---- the same program, rewritten

    def widened(self) -> "Program":
        """Return the program with float64 in the place of every floating dtype."""
        steps = [
            replace(
                step,
                operands=tuple(map(wide, step.operands)),
                params={name: wide(value) for name, value in step.params.items()},
            )
            for step in self.steps
        ]
        return Program({name: wide(array) for name, array in self.inputs.items()}, tuple(steps))

    def roughened(self, size: float, rng: numpy.random.Generator) -> "Program":
        """Return the program with relative noise of a size, as rounding is, in every result."""
        return replace(self, noise=lambda shape: 1 + size * rng.uniform(-1, 1, shape))


def rounds(rule: Rule) -> bool:
    """Whether a rule computes: those that move or select entries give them as they are."""
    return not (rule.view or any(domain.distinct for domain in rule.domain))


def weighted(y: Tensor) -> Tensor:
    """Return the sum of all entries times weights that differ from each other."""
    return namespace.sum(y * numpy.cos(numpy.arange(float(y.size))).reshape(y.shape))


def wide(x: Any) -> Any:
    """Return an array as float64 if it is floating point, and float64 for a floating dtype."""
    if isinstance(x, numpy.dtype):
        return numpy.dtype(float) if x.kind == "f" else x
    return x.astype(float) if isinstance(x, numpy.ndarray) and x.dtype.kind == "f" else x


def literal(x: Any) -> str:
    """Write a number, an array, an index, a dtype or a tuple of them as code."""
    if isinstance(x, numpy.ndarray):
        return f"np.array({x.tolist()}, dtype={str(x.dtype)!r})"
    if isinstance(x, numpy.dtype):
        return repr(str(x))
    if isinstance(x, tuple):
        return f"({', '.join(map(literal, x))}{',' * (len(x) == 1)})"
    return repr(x)


# ---------------------------------------------------------------- what has to hold for it

ROUGH = 2.0**-24  # the noise from which the effect of rounding is estimated
SAMPLES = 3  # of that noise
BLUR = 1e-4  # of the largest entry: a numerical derivative less certain judges nothing
TOLERANCE = 1e-9  # beside it, of the largest entry


def check_program(program: Program) -> bool:
    """Check that all ways to differentiate a program agree with each other and with numbers.

    - Running it again gives the same bits: the value, and the gradients.
    - So does the replay of the recorded graph, for every variable; and `backward` gives the bits
      of `tinygraph.grad`.
    - The gradients have the shapes and dtypes of the inputs; with float64 in the place of every
      narrower dtype they are the same, up to what rounding explains.
    - In float64, the gradient agrees with numerical derivatives, entry by entry, and with the
      derivative of forward mode along a random direction.
    - So do second derivatives along that direction: reverse over reverse, reverse over forward,
      forward over reverse; and numerically.

    Parameters
    ----------
    program : Program

    Returns
    -------
    bool
        Whether numerical derivatives were certain enough to judge all by, as they are where no kink
        or pole lies near the inputs.

    Raises
    ------
    GradientError
        If something differs, or the program raises an error. The message says what, and has the
        program as code that can be pasted.

    Examples
    --------
    >>> check_program(Program({"x": numpy.ones(2)}, (Step("y", "tanh", ("x",), {}),)))
    True
    """
    try:
        gradients = check_bits(program)
        return check_derivatives(program, gradients)
    except Exception as error:
        said = str(error) if isinstance(error, GradientError) else f"{error!r} was raised."
        raise GradientError(f"{said} The program:\n\n{program}") from error


def check_bits(program: Program) -> list:
    """Compare what has to be equal to the last bit, and return the gradients."""
    runs = []
    for _ in range(2):
        value, gradients = value_and_grad(program, program.argnums)(*program.arguments)
        runs.append([value, *gradients])
    names = ["value", *(f"gradient of {name}" for name in program.inputs)]
    identical("run again", names, *runs)

    leaves = [tensor(array, requires_grad=True) for array in program.arguments]
    variables = program.trace(*leaves)
    made = {name: one for name, one in variables.items() if one.requires_grad}
    again = replay([one._node for one in made.values()])
    identical(
        "replayed",
        list(made),
        [one.numpy() for one in made.values()],
        [again[one._node] for one in made.values()],
    )
    program.total(variables).backward()
    gradients = runs[0][1:]
    walked = [
        numpy.zeros_like(one) if leaf.grad is None else leaf.grad.numpy()
        for leaf, one in zip(leaves, gradients, strict=True)
    ]
    identical("by backward, beside tg.grad,", names[1:], gradients, walked)
    for name, array, gradient in zip(names[1:], program.arguments, gradients, strict=True):
        if (gradient.shape, gradient.dtype) != (array.shape, array.dtype):
            raise GradientError(
                f"the {name} is {gradient.shape} {gradient.dtype}, "
                f"the input is {array.shape} {array.dtype}."
            )
    return gradients


def identical(how: str, names: list[str], expected: list, found: list) -> None:
    """Raise unless arrays are equal to the last bit."""
    for name, one, other in zip(names, expected, found, strict=True):
        if (one.shape, one.dtype, one.tobytes()) != (other.shape, other.dtype, other.tobytes()):
            raise GradientError(f"{how} the {name} is {other.tolist()}, not {one.tolist()}.")


def check_derivatives(program: Program, gradients: list) -> bool:
    """Compare what has to be equal up to rounding; return whether all could be judged."""
    eps = precision(program)
    exact, arguments = program.widened(), program.widened().arguments
    rng = numpy.random.default_rng(0)
    directions = tuple(rng.uniform(0.5, 1.5, one.shape) for one in arguments)

    def first(program: Program, *arguments: Any) -> tuple:
        return grad(program, program.argnums)(*arguments)

    def second(program: Program, *arguments: Any) -> tuple:
        def slope(*inside: Any) -> Tensor:
            return inner(first(program, *inside), directions)

        return grad(slope, program.argnums)(*arguments)

    rough = [exact.roughened(ROUGH, rng) for _ in range(SAMPLES)]
    gradient = first(exact, *arguments)
    blur = spread(gradient, [first(one, *arguments) for one in rough])
    curvature = second(exact, *arguments)
    bend = spread(curvature, [second(one, *arguments) for one in rough], max(blur))

    for name, one, other, blurred in zip(program.inputs, gradients, gradient, blur, strict=True):
        near(f"gradient of {name}, beside that in float64", one, other, eps * blurred)

    certain = True
    for i, (name, array) in enumerate(zip(program.inputs, arguments, strict=True)):

        def value(x: Any, i: int = i) -> Tensor:
            return exact(*arguments[:i], x, *arguments[i + 1 :])

        numbers, doubt = derivatives(value, array.copy())
        doubt = numpy.maximum(doubt, numpy.median(doubt)) + EXACT * blur[i]
        what = f"gradient of {name}, reverse beside numerical"
        certain &= judged(what, gradient[i], numbers, doubt)

    expected = float(inner(gradient, directions))
    slope = jvp(exact, arguments, directions)[1]
    allowed = EXACT * float(inner(blur, directions))
    near("derivative along a direction, forward beside reverse", slope, expected, allowed)

    def moved(t: float) -> float:
        there = [x + t * v for x, v in zip(arguments, directions, strict=True)]
        with numpy.errstate(all="ignore"):  # where the step leaves the domain of a rule
            return float(inner(first(exact, *there), directions))

    number, error = derivative(moved, 0.0, moved(0.0), EXACT, EXACT**0.25 / 2)
    error += EXACT * float(inner(bend, directions))
    what = "second derivative along a direction, reverse beside numerical"
    certain &= judged(what, float(inner(curvature, directions)), number, error)

    def along(*x: Any) -> Tensor:
        return jvp(exact, x, directions)[1]

    ways = {
        "reverse over forward": grad(along, tuple(range(len(arguments))))(*arguments),
        "forward over reverse": jvp(lambda *x: first(exact, *x), arguments, directions)[1],
    }
    for way, found in ways.items():
        for name, one, other, doubts in zip(program.inputs, found, curvature, bend, strict=True):
            what = f"second derivative by {name} along a direction, {way} beside reverse twice"
            near(what, one, other, EXACT * doubts)
    return certain


def precision(program: Program) -> float:
    """Return the coarsest precision in which anything is computed."""
    known: list[Any] = [*program.trace(*program.arguments).values()]
    for step in program.steps:
        known += [one for one in step.operands if isinstance(one, numpy.ndarray)]
        known += [numpy.empty((), one) for one in step.params.values()
                  if isinstance(one, numpy.dtype)]  # fmt: skip
    return max(float(numpy.finfo(one.dtype).eps) for one in known if one.dtype.kind == "f")


def inner(xs: Iterable, ys: Iterable) -> Any:
    """Return the sum of the products of all entries."""
    return sum((x * y).sum() for x, y in zip(xs, ys, strict=True))


def spread(expected: tuple, samples: list, least: float = 1.0) -> list[float]:
    """Return for each array by how much noise moved it at most, in units of that noise.

    Noise does not reach what rules round on the way back. What is added up and cancels there is of
    the size of the values, about 1, or of the gradients: so it is no less than these.
    """
    least = max(least, *(float(numpy.max(numpy.abs(one))) for one in expected))
    return [
        max(least, *(float(numpy.max(numpy.abs(sample[i] - one))) / ROUGH for sample in samples))
        for i, one in enumerate(expected)
    ]


def near(what: str, found: Any, expected: Any, error: Any) -> None:
    """Raise if arrays differ by more than their estimated errors allow."""
    found, expected = numpy.asarray(found), numpy.asarray(expected)
    allowed = numpy.broadcast_to(SAFETY * error, found.shape)
    wrong = ~(numpy.abs(found - expected) <= allowed)
    if wrong.any():
        at = tuple(map(int, numpy.argwhere(wrong)[0]))
        where = f"at {at} " if at else ""
        raise GradientError(
            f"{what}: {where}it is {float(found[at])!r}, not {float(expected[at])!r}, "
            f"which are to differ by no more than {allowed[at]:.2g}."
        )


def judged(what: str, found: Any, expected: Any, error: Any) -> bool:
    """Raise if derivatives differ by more than the error; return whether that is small enough."""
    largest = max(1.0, float(numpy.max(numpy.abs(found))))
    certain = error <= BLUR * largest
    found, expected, error = (numpy.where(certain, one, 0.0) for one in (found, expected, error))
    near(what, found, expected, error + TOLERANCE * largest)
    return bool(numpy.all(certain))


# ---------------------------------------------------------------- drawing one

MAX_STEPS = 8
MAX_INPUTS = 4
MAX_ENTRIES = 36  # of a result
MAX_NDIM = 4  # of a result
GAP = 1 / 64  # how far entries keep from each other where a rule has a kink at a tie
SIDES = st.sampled_from([1, 2, 3, 2, 3, 2, 3])  # 1 is the simplest, and the dullest
SCOPES = (None, None, None, "A", "B")
# Few, so that each occurs often beside each other one.
USED = [
    "add", "subtract", "multiply", "divide", "pow", "negative", "positive", "square",
    "reciprocal", "exp", "log", "sqrt", "tanh", "abs", "maximum", "minimum", "where", "sum",
    "mean", "max", "min", "getitem", "matmul", "reshape", "permute_dims", "expand_dims",
    "squeeze", "broadcast_to", "concat", "stack", "astype", "relu", "nn.sigmoid", "softmax",
    "log_softmax", "logsumexp", "softmax_cross_entropy",
]  # fmt: skip
USED += 2 * list(IN_PLACE)  # again and again, for they are written in two ways


class Unfit(Exception):
    """What was drawn does not fit together: the step is left out."""


class Draft:
    """A program while it is drawn: its steps so far, and the values of its variables."""

    def __init__(self, draw: Callable):
        self.draw = draw
        self.inputs: dict[str, numpy.ndarray] = {}
        self.steps: list[Step] = []
        self.values: dict[str, numpy.ndarray] = {}
        self.views: set[str] = set()
        self.recorded: set[str] = set()  # what an input goes into
        self.scope: str | None = None

    # ---- steps

    def attempt(self, rule: Rule) -> None:
        """Add a rule with all that it needs before and after it, or nothing."""
        before = (
            dict(self.inputs),
            list(self.steps),
            dict(self.values),
            set(self.views),
            set(self.recorded),
        )
        try:
            self.scope = self.draw(st.sampled_from(SCOPES))
            self.apply(rule)
        except Unfit:
            self.inputs, self.steps, self.values, self.views, self.recorded = before

    def apply(self, rule: Rule) -> None:
        """Add a rule on operands of its domain, and tame its result."""
        operands, params = self.operands(rule)
        domains = rule.domain if len(rule.domain) == len(operands) else rule.domain * len(operands)
        operands = [self.inside(domain, one) for domain, one in zip(domains, operands, strict=True)]
        if any(domain.distinct for domain in domains):
            self.keep_apart(operands)
        target = self.step(rule.name, operands, params, in_place=True)
        largest = numpy.max(numpy.abs(self.values[target]))
        if largest > REACH:
            self.step("multiply", [target, 2.0 ** math.floor(math.log2(REACH / largest))])

    def step(
        self, rule: str, operands: list, params: dict | None = None, in_place: bool = False
    ) -> str:
        """Add one step, in place if that can be and is drawn; return the name of its result."""
        made = Step(f"y{len(self.steps)}", rule, tuple(operands), params or {}, scope=self.scope)
        with numpy.errstate(all="ignore"):
            values = self.computed(made)
        if not 0 < values.size <= MAX_ENTRIES or values.ndim > MAX_NDIM:
            raise Unfit
        if not numpy.isfinite(values).all():
            raise Unfit
        first = operands[0]
        if (
            in_place
            and rule in IN_PLACE
            and isinstance(first, str)
            # A view would not change the variable that it shows; and of what no input goes into,
            # a graph has only the values that it read: after a change it could not be replayed.
            and first in self.recorded - self.views - self.inputs.keys()
            and values.shape == self.values[first].shape
            and self.draw(st.booleans())
        ):
            made = replace(made, target=first, in_place=True)
            values = self.computed(made)
        elif RULES[rule].view:
            self.views.add(made.target)
        if RULES[rule].differentiable and any(
            one in self.recorded for one in operands if isinstance(one, str)
        ):
            self.recorded.add(made.target)
        self.steps.append(made)
        self.values[made.target] = values
        return made.target

    def computed(self, step: Step) -> numpy.ndarray:
        """Return the values that a step would give."""
        read = {one: asarray(self.values[one]) for one in step.operands if isinstance(one, str)}
        return step.run(read).numpy()

    # ---- operands

    def operands(self, rule: Rule) -> tuple[list, dict]:
        """Draw operands for a rule, and the parameters that go with them."""
        fixed: dict[str, Any] = {}
        match rule.shapes:
            case Shapes.BROADCAST:
                found = self.broadcast([one for one in rule.domain if one.of == "real"])
                if rule.domain[0].of == "boolean":
                    found.insert(0, self.condition(*found))
                elif len(found) == 2 and self.draw(st.booleans()):
                    found.reverse()
            case Shapes.MATMUL:
                first = self.pick(lambda shape: len(shape) > 0)
                length = self.values[first].shape[-1]
                new = (length, self.draw(SIDES)) if self.draw(st.booleans()) else (length,)
                found = [first, self.another(new, lambda shape: fits(
                    numpy.matmul, self.values[first].shape, shape))]  # fmt: skip
            case Shapes.EQUAL | Shapes.JOINED:
                first = self.pick(lambda shape: rule.shapes is Shapes.EQUAL or len(shape) > 0)
                shape = self.values[first].shape
                axis = None
                if rule.shapes is Shapes.JOINED:
                    (name,) = rule.parameters
                    axis = self.draw(st.sampled_from([*range(-len(shape), len(shape)), None]))
                    fixed[name] = axis

                def alike(other: tuple) -> bool:
                    if rule.shapes is Shapes.EQUAL:
                        return other == shape
                    return axis is None or (
                        len(other) == len(shape) and without(other, axis) == without(shape, axis)
                    )

                found = [first]
                for _ in range(self.draw(st.integers(0, 2))):
                    found.append(self.another(shape, alike))
            case _:
                means = rule.parameters.values()
                least = 1 if Parameter.AXIS in means else 3 if Parameter.PERMUTATION in means else 0
                found = [self.pick(lambda shape: len(shape) >= least)]
        shape = self.shape(found[0])
        params = {
            name: fixed[name] if name in fixed else self.draw(parameter(means, rule, shape))
            for name, means in rule.parameters.items()
        }
        if rule.shapes is Shapes.LOGITS:
            found.append(self.target(shape, params["axis"]))
        return found, params

    def shape(self, operand: Any) -> tuple[int, ...]:
        """Return the shape of an operand."""
        return numpy.shape(self.values[operand] if isinstance(operand, str) else operand)

    def pick(self, suits: Callable = lambda shape: True) -> str:
        """Draw a variable whose shape suits."""
        names = [name for name, one in self.values.items()
                 if one.dtype.kind == "f" and suits(one.shape)]  # fmt: skip
        if not names:
            raise Unfit
        return self.draw(st.sampled_from(names[::-1]))

    def another(self, shape: tuple, suits: Callable) -> Any:
        """Draw a variable whose shape suits, or a new array."""
        if self.draw(st.booleans()):
            return self.fresh(shape)
        return self.pick(suits)

    def fresh(self, shape: tuple) -> Any:
        """Draw a new array, as an input or a constant."""
        size = math.prod(shape)
        if size > MAX_ENTRIES:
            raise Unfit
        # Odd multiples of 1/16: short to print, none of them 0, no two of them equal.
        numbers = st.lists(st.integers(-32, 31), min_size=size, max_size=size, unique=True)
        entries = (2 * numpy.array(self.draw(numbers), float) + 1) / 16
        array = entries.reshape(shape).astype(self.draw(st.sampled_from(DTYPES)))
        if len(self.inputs) == MAX_INPUTS or (self.inputs and self.draw(st.integers(0, 3)) == 3):
            return array
        name = f"x{len(self.inputs)}"
        self.inputs[name] = self.values[name] = array
        self.recorded.add(name)
        return name

    def broadcast(self, domains: list[Domain]) -> list:
        """Draw operands that broadcast to one shape: the first a variable."""
        found: list[Any] = [self.pick()]
        for domain in domains[1:]:
            shape = numpy.broadcast_shapes(*map(self.shape, found))
            found.append(self.partner(shape, domain))
        return found

    def partner(self, shape: tuple, domain: Domain) -> Any:
        """Draw what broadcasts with a shape: a variable, a number, or a new array."""
        kind = self.draw(st.sampled_from(["variable", "variable", "number", "new"]))
        if kind == "number" and not domain.distinct:
            grid = [n / 4 for n in range(1, 17)] + [-n / 4 for n in range(1, 17)]
            return self.draw(st.sampled_from([n for n in grid if lies_in(domain, n)]))
        if kind == "variable":
            return self.pick(lambda other: fits(numpy.add, shape, other))
        kept = shape[self.draw(st.integers(0, len(shape))) :]
        return self.fresh(tuple(
            self.draw(SIDES) if n == 1 else self.draw(st.sampled_from([n, 1]))
            for n in kept
        ))  # fmt: skip

    def condition(self, a: Any, b: Any) -> Any:
        """Draw where to choose which of two operands: where one is less, or anywhere."""
        shape = numpy.broadcast_shapes(self.shape(a), self.shape(b))
        if self.draw(st.booleans()):
            return self.draw(hnp.arrays(bool, shape, fill=st.nothing()))
        self.keep_apart([a, b])
        return self.step("less", [a, b])

    def target(self, shape: tuple, axis: int) -> Any:
        """Draw class indices, or rows of weights."""
        if self.draw(st.booleans()):
            return self.another(shape, lambda other: other == shape)
        axis %= len(shape)
        classes = st.integers(0, shape[axis] - 1)
        return self.draw(
            hnp.arrays("int64", without(shape, axis), elements=classes, fill=st.nothing())
        )

    # ---- where the derivative exists

    def inside(self, domain: Domain, operand: Any) -> Any:
        """Return an operand, mapped into the domain if it is not there."""
        values = self.values[operand] if isinstance(operand, str) else operand
        if domain.of != "real" or lies_in(domain, values):
            return operand
        start, stop = self.draw(st.sampled_from(intervals(domain)[::-1]))
        operand = self.step("nn.sigmoid", [operand])
        return self.step("add", [self.step("multiply", [operand, stop - start]), start])

    def keep_apart(self, operands: list) -> None:
        """Give up if entries of one operand, or of two that meet in an entry, nearly tie."""
        arrays = [self.values[one] if isinstance(one, str) else one for one in operands]
        if len(arrays) == 1:
            gaps = numpy.diff(numpy.sort(arrays[0], axis=None))
        else:
            gaps = numpy.abs(arrays[0] - arrays[1])
        if not (gaps >= GAP).all():
            raise Unfit


def lies_in(domain: Domain, values: Any) -> bool:
    """Whether all values lie in a domain, away from its edges."""
    inside = [(start <= values) & (values <= stop) for start, stop in intervals(domain)]
    return bool(numpy.all(numpy.any(inside, axis=0)))


def fits(function: numpy.ufunc, a: tuple, b: tuple) -> bool:
    """Whether operands of two shapes can be given to a function of NumPy."""
    try:
        function(numpy.zeros(a), numpy.zeros(b))
    except ValueError:
        return False
    return True


def without(shape: tuple, axis: int) -> tuple:
    """Return a shape without one of its axes."""
    return tuple(n for i, n in enumerate(shape) if i != axis % len(shape))


@st.composite
def programs(draw: Callable, *, max_steps: int = MAX_STEPS) -> Any:
    """Return random differentiable programs, composed of the rules of the table.

    They reuse results, branch, assign in place, name scopes, and mix dtypes. Operands are mapped
    into the domain of a rule where they do not lie in it, and large results are scaled, so that
    the values stay moderate and keep away from kinks and poles.

    Parameters
    ----------
    max_steps : int
        About how many rules there are; what maps and scales comes on top.

    Examples
    --------
    >>> from hypothesis import given, settings
    >>> @settings(max_examples=5)
    ... @given(programs())
    ... def derivatives_agree(program):
    ...     check_program(program)
    >>> derivatives_agree()
    """
    draft = Draft(draw)
    draft.fresh(tuple(draw(SIDES) for _ in range(draw(SIDES))))
    # Dealt at random by one number: drawn one by one, the same few would come again and again.
    for name in random.Random(draw(st.integers(0, 2**32 - 1))).choices(USED, k=max_steps):
        if draw(st.integers(0, 7)):  # 0 leaves one out: so programs shrink step by step
            draft.attempt(RULES[name])
    return Program(draft.inputs, tuple(draft.steps))
