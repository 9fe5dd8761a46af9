"""The formulas of the table as text: what they say is what the rules compute."""

import ast
import builtins
import functools
import operator
import types

import numpy as np
import pytest
import scipy.special
from hypothesis import given

import tinygraph as tg
from tinygraph.rules import RULES
from tinygraph.rules.formula import (
    explained,
    formula,
    forward_formula,
    residual_formula,
    vjp_formula,
)
from tinygraph.rules.indexing import Scattered
from tinygraph.testing.strategies import arguments

PULLED = [
    (name, slot)
    for name, rule in RULES.items()
    for slot, vjp in enumerate(rule.vjp)
    if vjp is not None and vjp.__name__ != "unknown"  # which refuses
]
SIGNS = {"·": "*", "−": "-", "²": " ** 2", "ᵀ": ".mT", "≤": "<=", "≥": ">=", "≠": "!=", "÷": "/",
         "×": "*", ") and ": ") & "}  # fmt: skip


def python(text):
    """Turn a formula back into statements."""
    for ours, sign in SIGNS.items():
        text = text.replace(ours, sign)
    return text


def names_in(text):
    """Return the names that a formula reads and does not make itself, and those that it calls."""
    nodes = [node for node in ast.walk(ast.parse(python(text))) if isinstance(node, ast.Name)]
    made = {node.id for node in nodes if isinstance(node.ctx, ast.Store)}
    return {node.id for node in nodes} - made


def known_of(rule, operands, params):
    """Return what the names in a rule's formulas stand for."""
    with np.errstate(all="ignore"):
        y, r = rule.run(np, tuple(operands), params)
    y = tuple(map(np.asarray, y)) if rule.outputs else np.asarray(y)
    g = [np.linspace(-1, 2, one.size).reshape(one.shape) for one in (y if rule.outputs else (y,))]
    g = tuple(g) if rule.outputs else g[0]
    named = dict(zip(rule.operands, operands, strict=True)) if not rule.variadic else {}
    shapes = {f"{name}_shape": one.shape for name, one in named.items()}
    joined = {"arrays": operands, "shapes": tuple(one.shape for one in operands)}
    return {"xp": np, "g": g, "y": y, "r": r, **params, **named, **shapes, **joined}


def reduced(name):
    """Return NumPy's function, but with parameters as a formula writes them."""
    names, count = list(RULES[name].parameters), len(RULES[name].operands)
    function = operator.attrgetter(name)(np)
    return lambda *given, **named: function(
        *given[:count],
        **dict(zip(names, given[count:], strict=False)),
        **named,
    )


def transform(function):
    """Return one of NumPy's transforms, with parameters as a formula writes them: n may lack."""

    def call(a, *given, **named):
        free = [one for one in ("norm", "axis", "n") if one not in named]
        return function(a, **dict(zip(free, given[::-1], strict=False)), **named)

    return call


def computed(rule, text, known):
    """Run the text of a formula and return what its last line makes."""
    scope = {**vars(builtins), **vars(np)}
    scope |= {"concat": np.concatenate}
    scope["sort"] = lambda a, axis, stable: np.sort(a, axis=axis, stable=stable)
    scope["argsort"] = lambda a, axis, stable=True: np.argsort(a, axis=axis, stable=stable)
    for name, one in RULES.items():
        if {"keepdims", "include_initial"} & {*one.parameters} and hasattr(np, name):
            scope[name] = reduced(name)
    scope["fft"] = types.SimpleNamespace(
        **{name: transform(getattr(np.fft, name)) for name in ("fft", "ifft", "rfft", "irfft")}
    )
    linalg = [name for name in RULES if hasattr(np.linalg, name.removeprefix("linalg."))]
    scope["linalg"] = types.SimpleNamespace(
        **{name.removeprefix("linalg."): reduced(name) for name in linalg if "." in name}
    )
    scope |= {name: reduced(name) for name in ("vecdot", "tensordot")}
    for function in filter(None, (rule.forward, rule.residual, *rule.vjp)):
        for name, one in function.__globals__.items():
            if isinstance(one, types.FunctionType):
                reads_xp = one.__code__.co_varnames[:1] == ("xp",)
                scope[name] = functools.partial(one, np) if reads_xp else one
            elif name.isupper():
                scope[name] = one
    text = text.replace("lower, unit_diagonal)", "lower=lower, unit_diagonal=unit_diagonal)")
    scope["Scattered"] = functools.partial(Scattered, np)
    if text.startswith("y = special."):
        scope["special"] = scipy.special
    scope.update(known)
    exec(python(text), scope)
    return scope[text.splitlines()[-1].partition(" = ")[0]]


def numbers(drawn):
    """Return drawn operands as arrays."""
    operands, params = drawn
    return tuple(np.asarray(one) for one in operands), params


@pytest.mark.parametrize(("name", "slot"), PULLED)
def test_a_vjp_computes_what_its_text_says(name, slot):
    rule = RULES[name]

    @given(arguments(rule, dtypes=(np.dtype("float64"),)))
    def tried(drawn):
        operands, params = numbers(drawn)
        known = known_of(rule, operands, params)
        text = vjp_formula(rule, slot, known)
        with np.errstate(all="ignore"):
            found = computed(rule, text, known)
            if rule.variadic:
                read = [known[one] for one in rule.reads[0]]
                expected = rule.vjp[0](*read)
            else:
                expected = rule.evaluate(np, slot, known["g"], operands, known["y"], params)
        if not rule.variadic:
            found, expected = [found], [expected]
        for one, two in zip(found, expected, strict=True):
            if isinstance(one, Scattered):
                one, two = one.dense(), two.dense()
            np.testing.assert_array_equal(one, two)

    tried()


@pytest.mark.parametrize("name", RULES)
def test_an_operation_computes_what_its_text_says(name):
    rule = RULES[name]

    @given(arguments(rule, dtypes=(np.dtype("float64"),)))
    def tried(drawn):
        operands, params = numbers(drawn)
        known = known_of(rule, operands, params)
        text = forward_formula(rule, known)
        if rule.symbol in ("@", "and", "or", "xor", "not"):
            return  # written with a sign that means something else in Python, or nothing
        with np.errstate(all="ignore"):
            found = computed(rule, text, known)
        for one, two in zip(
            *((y if rule.outputs else (y,)) for y in (found, known["y"])), strict=True
        ):
            np.testing.assert_array_equal(one, two)

    tried()


@pytest.mark.parametrize(("name", "slot"), PULLED)
def test_every_name_in_a_formula_can_be_shown(name, slot):
    rule = RULES[name]
    shown = {"g", "y", "r", *rule.operands, *rule.parameters}
    shown |= {"arrays", "shapes"} if rule.variadic else set()
    text = vjp_formula(rule, slot)
    functions = {*vars(np), *explained(rule, text), *vars(builtins)}
    assert names_in(text) <= shown | functions
    assert "xp" not in names_in(text)
    assert "lambda" not in text
    assert all(explained(rule, text).values()), "what a function does has to be said"


def test_formulas_read_as_in_a_book():
    said = {
        "add": ("y = a + b", "da = g", "db = g"),
        "multiply": ("y = a × b", "da = g · b", "db = g · a"),
        "divide": ("y = a ÷ b", "da = g / b", "db = −g · y / b"),
        "tanh": ("y = tanh(a)", "da = g · (1 − y · y)"),
        "square": ("y = a²", "da = g · (2 · a)"),
        "negative": ("y = −a", "da = −g"),
        "relu": ("y = maximum(a, 0)", "da = g · (y > 0)"),
        "where": ("y = where(condition, a, b)", None, "da = where(condition, g, 0)",
                  "db = where(condition, 0, g)"),
        "maximum": ("y = maximum(a, b)",
                    "da = where(a == b, 0.5 · g, where(a > b, g, 0))",
                    "db = where(a == b, 0.5 · g, where(b > a, g, 0))"),
        "sum": ("y = sum(a, axis, dtype, keepdims)", "da = spread(g, a.shape, axis, keepdims)"),
        "concat": ("y = concat(arrays, axis)", "darrays = split(g, shapes, axis)"),
        "equal": ("y = a == b", None, None),
    }  # fmt: skip
    for name, (forward, *pulled) in said.items():
        rule = RULES[name]
        assert forward_formula(rule) == forward
        assert [vjp_formula(rule, slot) for slot in range(len(pulled))] == pulled


def test_a_formula_of_one_application_has_the_branches_that_it_takes():
    rule, a, b = RULES["matmul"], np.ones((2, 3)), np.ones((3, 4))
    matrices = {"xp": np, "g": a @ b, "a": a, "b": b, "a_shape": a.shape, "b_shape": b.shape}
    assert vjp_formula(rule, 0, matrices) == "da = g @ bᵀ"
    assert vjp_formula(rule, 1, matrices) == "db = aᵀ @ g"
    vectors = {"xp": np, "g": np.ones(()), "a": a[0], "b": b[:, 0], "b_shape": (3,)}
    assert vjp_formula(rule, 1, vectors) == "db = a · g"
    assert (
        vjp_formula(rule, 1).splitlines()[0] == "if len(b.shape) == 1 and a.ndim == 1: db = a · g"
    )
    assert vjp_formula(RULES["mean"], 0, target="").startswith(
        "spread(divided(g, count(a.shape, axis))"
    )


def test_a_residual_has_a_formula():
    assert residual_formula(RULES["softmax_cross_entropy"]) == "r = log_softmax(logits, axis)"
    assert residual_formula(RULES["tanh"]) is None


def test_functions_in_a_formula_are_explained():
    said = explained(RULES["sum"], vjp_formula(RULES["sum"], 0))
    assert said == {"spread": "Give each reduced entry the gradient of what it went into."}
    assert explained(RULES["tanh"], "g · tanh(y)") == {}


def test_functions_of_users_have_no_formula_of_the_table():
    @tg.custom_vjp
    def double(x):
        return 2 * x

    double.defvjp(lambda x: (2 * x, None), lambda _, g: 2 * g)
    rule = double(tg.tensor(1.0, requires_grad=True))._node.plan.rule
    assert forward_formula(rule) == "y = double(x0)"
    assert vjp_formula(rule, 0) is None


def test_without_source_there_is_no_formula():
    namespace = {}
    exec("f = lambda g: g\ndef h(g):\n    return g", namespace)
    assert formula(namespace["f"]) is None
    assert formula(namespace["h"]) is None


def test_lambdas_on_one_line_are_told_apart():
    one, two = (lambda g: g + 1), (lambda g: g - 1)
    assert (formula(one), formula(two)) == ("g + 1", "g − 1")
    nested = lambda g: (lambda h: h * 2)(g) if g else g**2
    assert formula(nested) == "(lambda h: h · 2)(g) if g else g²"
