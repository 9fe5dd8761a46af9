"""Random programs: no false alarm over them, and every planted wrong rule is found by them."""

import math
from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

import tinygraph as tg
from tinygraph import forward, tape
from tinygraph.arrays import NUMPY
from tinygraph.errors import GradientError
from tinygraph.replay import replay
from tinygraph.rules import RULES, Kind
from tinygraph.rules.indexing import scatter_add
from tinygraph.rules.linalg import matmul_left
from tinygraph.rules.manipulation import split
from tinygraph.rules.nn import rows
from tinygraph.rules.reductions import reduced_axes, restore, spread
from tinygraph.rules.table import ListPlan, Plan
from tinygraph.testing import programs as module
from tinygraph.testing.programs import USED, Program, Step, check_program, programs

LIMIT = 500  # of programs, within which a wrong rule is to be found
UNCERTAIN = 0.02  # of all programs may be too near to a kink or a pole for numerical derivatives
drawn = settings(suppress_health_check=list(HealthCheck))


def tally(count, number):
    """Check programs drawn from a seed, and count them, the different ones, and what is in them."""
    seen, different = Counter(), set()

    @seed(number)
    @settings(drawn, max_examples=count)
    @given(programs())
    def checked(program):
        seen["programs"] += 1
        different.add(repr(program))
        seen["uncertain"] += not check_program(program)
        seen["steps"] += len(program.steps)
        seen["in place"] += any(step.in_place for step in program.steps)
        seen["in a scope"] += any(step.scope for step in program.steps)
        dtypes = {one.dtype for one in program.trace(*program.arguments).values()}
        seen["of mixed dtypes"] += np.dtype("f4") in dtypes and np.dtype("f8") in dtypes
        read = Counter(one for s in program.steps for one in s.operands if isinstance(one, str))
        seen["with a fan-out"] += any(times > 1 for times in read.values())
        seen.update({step.rule for step in program.steps})

    checked()
    seen["different"] = len(different)
    return seen


# ---------------------------------------------------------------- right rules


def test_random_programs_raise_no_false_alarm():
    seen = tally(300, 0)
    assert seen["different"] >= 210
    assert seen["uncertain"] <= UNCERTAIN * seen["programs"]
    for feature in ("in place", "in a scope", "of mixed dtypes", "with a fan-out"):
        assert seen[feature] >= 10, feature


@pytest.mark.thorough
@pytest.mark.parametrize("number", range(1, 5))
def test_ten_thousand_programs_raise_no_false_alarm(number):
    seen = tally(3300, number)
    print(dict(seen))
    assert seen["different"] >= 2500
    assert seen["uncertain"] <= UNCERTAIN * seen["programs"]
    assert not {name for name in USED if seen[name] < 25}


@drawn
@given(programs())
def test_the_printed_code_gives_the_same_bits(program):
    known = {}
    exec(repr(program).replace("print(", "found = ("), known)
    value, gradients = known["found"]
    expected = tg.value_and_grad(program, program.argnums)(*program.arguments)
    assert value.tobytes() == expected[0].tobytes()
    for one, other in zip(gradients, expected[1], strict=True):
        assert (one.dtype, one.tobytes()) == (other.dtype, other.tobytes())


def test_the_strategies_have_it():
    assert tg.testing.strategies.programs is programs


@pytest.mark.parametrize("rule, x", [("abs", 0.0), ("sqrt", 1e-9), ("relu", 0.0)])
def test_what_cannot_be_judged_is_no_alarm(rule, x):
    program = Program({"x": np.array([x, 1.0])}, (Step("y", rule, ("x",), {}),))
    assert check_program(program) is False


def test_an_error_comes_with_the_code():
    program = Program({"x": np.ones(2)}, (Step("y", "matmul", ("x", np.ones(3)), {}),))
    with pytest.raises(GradientError, match=r"(?s)ShapeError.*was raised.*y = tg.matmul\(x, np"):
        check_program(program)


# ---------------------------------------------------------------- wrong rules


def plant(monkeypatch, name, *vjp):
    """Give a rule other formulas, in the plans that were made of it before too."""
    rule = RULES[name]
    places = [i for i, one in enumerate(rule.vjp) if one is not None]
    if not rule.variadic:
        chosen = [some for n in range(len(places)) for some in combinations(places, n + 1)]
        plans = [rule.plan(slots) for slots in chosen]
    reads = tuple(() if one is None else one.__code__.co_varnames[: one.__code__.co_argcount]
                  for one in vjp)  # fmt: skip
    monkeypatch.setattr(rule, "vjp", vjp)
    monkeypatch.setattr(rule, "reads", reads)
    if rule.variadic:
        assert isinstance(rule.plan((0,)), ListPlan)  # these are made for each application
        return
    for plan in plans:
        wrong = Plan(rule, plan.slots)
        for attribute in ("keep", "names", "pull"):
            monkeypatch.setattr(plan, attribute, getattr(wrong, attribute))


def other_axis(xp, g, a_shape, axis, keepdims):
    if a_shape == a_shape[::-1] and not keepdims:
        axis = tuple(len(a_shape) - 1 - one for one in reduced_axes(axis, len(a_shape)))
    return spread(xp, g, a_shape, axis, keepdims)


def assigned(xp, g, a_shape, index):
    if xp is not NUMPY:
        return scatter_add(xp, g, index=index, shape=a_shape)
    total = np.zeros(a_shape, g.dtype)
    total[index] = g
    return total


def not_transposed(xp, g, b, a_shape):
    square = b.ndim > 1 and len(a_shape) > 1 and b.shape[-1] == b.shape[-2]
    return g @ b if square else matmul_left(xp, g, b, a_shape)


def not_averaged(xp, g, targets, r, axis, reduction):
    weights = rows(xp, targets, r, axis)
    p = xp.exp(r)
    if weights is targets:
        p = p * xp.sum(targets, axis=axis, keepdims=True)
    else:
        weights = xp.astype(weights, r.dtype)
    return (p - weights) * (xp.expand_dims(g, axis=axis) if reduction == "none" else g)


WRONG = {
    "tanh, sign": ("tanh", lambda g, y: -g * (1 - y * y)),
    "tanh, constant": ("tanh", lambda g, y: g * (2 - y * y)),
    "multiply, factor": ("multiply", lambda g: g, lambda g, a: g * a),
    "subtract, operands": ("subtract", lambda g: -g, lambda g: g),
    "divide, operands": ("divide", lambda g, b, y: -g * y / b, lambda g, b: g / b),
    "pow, exponent": ("pow", lambda g, a, b: g * b * a**b, RULES["pow"].vjp[1]),
    "exp, of a": ("exp", lambda g, a: g * a),
    "sqrt, factor": ("sqrt", lambda g, y: g / y),
    "abs, sign": ("abs", lambda g: g),
    "relu, mask": ("relu", lambda xp, g: g * (g > 0)),
    "sigmoid, of a": ("nn.sigmoid", lambda g, a: g * (a * (1 - a))),
    "maximum, operands": ("maximum", *RULES["maximum"].vjp[::-1]),
    "where, operands": ("where", None, *RULES["where"].vjp[:0:-1]),
    "sum, axis": ("sum", other_axis),
    "mean, count": (
        "mean",
        lambda xp, g, a_shape, axis, keepdims: spread(
            xp, g / math.prod(a_shape), a_shape, axis, keepdims
        ),
    ),
    "max, mask": (
        "max",
        lambda xp, g, a_shape, axis, keepdims: spread(xp, g, a_shape, axis, keepdims),
    ),
    "min, order": (
        "min",
        lambda xp, g, a, axis, keepdims: restore(xp, g, a.shape, axis, keepdims)
        * (a == xp.max(a, axis=axis, keepdims=True)),
    ),
    "permute_dims, undone": ("permute_dims", lambda xp, g, axes: xp.permute_dims(g, axes)),
    "concat, pieces": ("concat", lambda xp, g, shapes, axis: split(xp, g, shapes, axis)[::-1]),
    "astype, nothing": ("astype", lambda g: 0 * g),
    "getitem, duplicates": ("getitem", assigned),
    "matmul, transpose": ("matmul", not_transposed, RULES["matmul"].vjp[1]),
    "softmax, sum": ("softmax", lambda g, y: g * y * (1 - y)),
    "log_softmax, sum": ("log_softmax", lambda xp, g, y, axis: g - xp.exp(y) * g),
    "logsumexp, upstream": (
        "logsumexp",
        lambda xp, g, a, y, axis, keepdims: xp.exp(a - restore(xp, y, a.shape, axis, keepdims)),
    ),
    "softmax_cross_entropy, mean": (
        "softmax_cross_entropy", not_averaged, RULES["softmax_cross_entropy"].vjp[1],
    ),
    "tanh, second order": (
        "tanh", lambda xp, g, y: g * (1 - (y * y if xp is np else y.detach() * y.detach())),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def some():
    """Return as many programs as a wrong rule may take."""
    found = []

    @seed(0)
    @settings(drawn, max_examples=LIMIT, phases=[Phase.generate])
    @given(programs())
    def collect(program):
        found.append(program)

    collect()
    return found[:LIMIT]


def found_in(some, rule=None):
    """Return what the first program raises that is found to be wrong, and print its number.

    If a rule is given, programs without it are counted and not run, to save time.
    """
    for count, program in enumerate(some, 1):
        if rule is None or any(step.rule == rule for step in program.steps):
            try:
                check_program(program)
            except GradientError as error:
                said = str(error)
                print(f"found after {count} programs: {said.partition('The program')[0]}")
                return said
    pytest.fail(f"not found by {len(some)} programs")


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_rule_is_found(wrong, monkeypatch, some):
    name, *vjp = WRONG[wrong]
    plant(monkeypatch, name, *vjp)
    found_in(some, name)


def first_only(xp, gradient, shape):
    """Take the first of what broadcasting stretched, where all are to be summed."""
    while gradient.ndim > len(shape):
        gradient = gradient[0]
    axes = [i for i, n in enumerate(shape) if n == 1 and gradient.shape[i] != 1]
    return gradient[tuple(slice(1) if i in axes else slice(None) for i in range(len(shape)))]


def test_a_missing_sum_over_broadcast_axes_is_found(monkeypatch, some):
    monkeypatch.setattr(tape, "sum_to", first_only)
    found_in(some)


def test_a_wrong_forward_mode_is_found(monkeypatch, some):
    monkeypatch.setattr(RULES["log_softmax"], "kind", Kind.ELEMENTWISE)
    assert "forward beside reverse" in found_in(some)


def test_a_wrong_second_order_of_forward_mode_is_found(monkeypatch, some):
    right = forward.push

    def detached(rule, primals, tangents, y, params):
        if rule.name == "square":
            primals = tuple(one.detach() for one in primals)
        return right(rule, primals, tangents, y, params)

    monkeypatch.setattr(forward, "push", detached)
    assert "reverse over forward" in found_in(some)


def test_a_rule_that_gives_other_bits_each_time_is_found(monkeypatch, some):
    rng = np.random.default_rng(0)
    monkeypatch.setitem(
        RULES["softmax"]._bound, NUMPY, lambda a, axis: np.tanh(a) * (1 + 1e-6 * rng.random())
    )
    assert "run again" in found_in(some, "softmax")


def test_a_replay_that_differs_in_the_last_bit_is_found(monkeypatch, some):
    def differs(roots):
        return {
            node: np.nextafter(array, 9) if node.plan and node.plan.rule.name == "exp" else array
            for node, array in replay(roots).items()
        }

    monkeypatch.setattr(module, "replay", differs)
    assert "replayed" in found_in(some)


def test_a_change_in_place_that_older_results_see_is_found(monkeypatch, some):
    right = tg.Tensor._assign

    def in_the_same_memory(self, symbol, operator, other):
        before = self._data
        right(self, symbol, operator, other)
        before[...] = self._data
        return self

    monkeypatch.setattr(tg.Tensor, "_assign", in_the_same_memory)
    found_in(some)


# ---------------------------------------------------------------- the smallest program


def test_a_failure_shrinks_to_code_that_shows_it(monkeypatch):
    plant(monkeypatch, *WRONG["tanh, sign"])

    @settings(drawn, max_examples=LIMIT, phases=[Phase.generate, Phase.shrink])
    @given(programs(max_steps=3))
    def checked(program):
        check_program(program)

    with pytest.raises(GradientError) as raised:
        checked()
    message = str(raised.value)
    known = {}
    exec(message[message.index("import numpy") :].replace("print(", "found = ("), known)
    steps = message.partition("def program")[2].partition("return")[0].splitlines()[1:-1]
    assert len(steps) == 1, message
    assert "tg.tanh(x0)" in steps[0], message
    x, (_, (gradient,)) = known["arguments"][0], known["found"]
    assert x.size == 1
    np.testing.assert_allclose(gradient, np.tanh(x) ** 2 - 1, rtol=1e-6)
