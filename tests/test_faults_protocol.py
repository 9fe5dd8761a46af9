"""Tensors, transforms and rules used in ways they were not meant for: right, or a clear error."""

import copy
import math
import pickle
import weakref

import numpy as np
import pytest

import tinygraph as tg

V = np.array([1.0, 2.0, 3.0])


def x():
    return tg.tensor(V, requires_grad=True, name="x")


def leaf(data):
    return tg.tensor(data, requires_grad=True)


def after(y, read, **options):
    """Walk back from something, then read."""
    y.backward(**options)
    return read()


def square(bwd):
    """Return x², with a gradient that a test makes up."""

    @tg.custom_vjp
    def mine(a):
        return a * a

    mine.defvjp(lambda a: (a * a, a), bwd)
    return mine


def of_rule(bwd):
    return tg.grad(lambda a: square(bwd)(a).sum())(V)


def twice(y):
    y.backward()
    y.backward()


def same(found, expected):
    """Whether two answers agree, in trees too."""
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(
            same(found[key], expected[key]) for key in expected
        )
    if isinstance(expected, tuple | list):
        return len(found) == len(expected) and all(map(same, found, expected))
    found = found.detach().numpy() if isinstance(found, tg.Tensor) else found
    return bool(np.all(np.asarray(found) == np.asarray(expected)))


ZERO, ONE = np.zeros(3), np.ones(3)

# name: (what is done, the error, what it says)
REFUSED = {
    # ---- backward
    "backward twice": (lambda: twice((x() * x()).sum()), tg.GraphError, "retain_graph=True"),
    "backward twice, linear": (lambda: twice((x() * 2).sum()), tg.GraphError, "retain_graph=True"),
    "several entries": (lambda: (x() * 2).backward(), tg.GraphError, r"\.sum\(\), or pass grad"),
    "a column as seed": (lambda: x().backward(V[:, None]), tg.ShapeError, r"\(3, 1\), 'x' has"),
    "a number as seed": (lambda: x().backward(1.0), tg.ShapeError, r"grad has shape \(\)"),
    "a text as seed": (lambda: x().backward("abc"), tg.DTypeError, "str is not an array"),
    "a ragged seed": (lambda: x().backward([[1], [2, 3]]), tg.ShapeError, "not an array"),
    "an object seed": (lambda: x().backward(np.array([1, None, 2])), tg.DTypeError, "object"),
    "a masked seed": (lambda: x().backward(np.ma.array(V)), tg.DTypeError, "mask"),
    "a complex seed": (lambda: x().backward(V * 1j), tg.DTypeError, "complex128.*float64"),
    "a constant": (lambda: tg.tensor(1.0).backward(), tg.GraphError, "not recorded"),
    "integers": (lambda: tg.tensor(1).backward(), tg.GraphError, "requires a gradient"),
    "what was detached": (lambda: (x().detach() * 2).sum().backward(), tg.GraphError, "no_grad"),
    "a complex result": (lambda: leaf(1j).backward(), tg.DTypeError, r"tg\.abs or tg\.real"),
    # ---- attributes
    "requires_grad of a result": (
        lambda: setattr(x() * 2, "requires_grad", False), tg.GraphError, "multiply.*detach"),
    "requires_grad of integers": (
        lambda: tg.tensor([1], requires_grad=True), tg.DTypeError, "astype"),
    "requires_grad as text": (
        lambda: tg.tensor([1.0], requires_grad="False"), tg.DTypeError, "True or False"),
    "requires_grad as an array": (
        lambda: setattr(x(), "requires_grad", np.array([True, False])), tg.DTypeError,
        "True or False"),
    "requires_grad inside vmap": (
        lambda: tg.vmap(lambda a: setattr(a, "requires_grad", True))(V), tg.GraphError,
        "no leaves"),
    "retain_grad of a constant": (
        lambda: tg.tensor(1.0).retain_grad(), tg.GraphError, "no gradient flows"),
    "grad of another dtype": (
        lambda: setattr(x(), "grad", np.ones(3, "float32")), tg.DTypeError, "'x' is .3,. float64"),
    "grad of a result": (lambda: setattr(x() * 2, "grad", V), tg.GraphError, "of a leaf"),
    "data that broadcasts": (lambda: setattr(x(), "data", 1.0), tg.ShapeError, r"\(3,\), not \(\)"),
    "integers as data": (lambda: setattr(x(), "data", [1, 2, 3]), tg.DTypeError, "astype"),
    "text as data": (lambda: setattr(x(), "data", "abc"), tg.DTypeError, "str"),
    "a name that is none": (lambda: setattr(x(), "name", 3), tg.DTypeError, "a name is a str"),
    "an attribute that is none": (
        lambda: setattr(x(), "required_grad", True), AttributeError, "required_grad"),
    "a subclass": (
        lambda: type("Parameter", (tg.Tensor,), {"__module__": "user"}), tg.DTypeError,
        "no subclasses.*in an attribute"),
    # ---- conversions
    "np.array": (lambda: np.array(x()), tg.DTypeError, r"'x' would lose its gradient.*numpy\(\)"),
    "np.array of a list": (lambda: np.array([x(), x()]), tg.DTypeError, r"tg\.asarray"),
    "an object array of them": (lambda: np.array([x()], dtype=object), tg.DTypeError, "lose"),
    "np.full": (lambda: np.full(2, leaf(1.0)), tg.DTypeError, "lose its gradient"),
    "np.arange": (lambda: np.arange(leaf(3.0)), tg.DTypeError, "lose its gradient"),
    "drawn around it": (
        lambda: np.random.default_rng(0).normal(x()), tg.DTypeError, "lose its gradient"),
    "np.vectorize": (lambda: np.vectorize(abs)(x()), tg.DTypeError, "lose its gradient"),
    "np.save": (lambda: np.save("never-written", x()), tg.DTypeError, r"numpy\.save.*numpy\(\)"),
    "np.copyto": (lambda: np.copyto(np.zeros(3), x()), tg.DTypeError, r"numpy\.copyto"),
    "float of several": (lambda: float(x()), tg.ShapeError, "'x' has shape"),
    "if of several": (lambda: bool(x()), tg.ShapeError, r"\.numpy\(\)\.any\(\)"),
    "if of none": (lambda: bool(tg.tensor([])), tg.ShapeError, r"\(0,\)"),
    "a chained comparison": (lambda: 0 < x() < 1, tg.ShapeError, "neither true nor false"),
    "a float to count by": (lambda: range(leaf(3.0)), tg.DTypeError, "index.*float64"),
    "several to index by": (lambda: [1, 2][tg.tensor([1])], tg.DTypeError, r"index.*\(1,\)"),
    "the parts of a number": (lambda: list(leaf(1.0)), tg.DTypeError, "no length"),
    "a deep copy of a result": (lambda: copy.deepcopy(x() * 2), tg.GraphError, r"detach\(\)"),
    "a pickle of a result": (lambda: pickle.dumps(x() * 2), tg.GraphError, r"detach\(\)"),
    "a dict with a result, copied": (
        lambda: copy.deepcopy({"h": x() * 2}), tg.GraphError, "its graph along"),
    # ---- NumPy's functions
    "out= a Tensor": (lambda: np.add(V, V, out=x()), tg.DTypeError, "out= a Tensor"),
    "out= an array": (lambda: np.exp(x(), out=np.zeros(3)), tg.DTypeError, "out= an array"),
    "array += x": (lambda: V.copy().__iadd__(x()), tg.DTypeError, r"y = x \+ t in place of"),
    "sum(out=)": (lambda: np.sum(x(), out=np.zeros(())), tg.DTypeError, "sum.*out= would lose"),
    "reduce(out=)": (
        lambda: np.add.reduce(x(), out=np.zeros(())), tg.DTypeError, "sum.*out= would lose"),
    "accumulate(out=)": (
        lambda: np.add.accumulate(x(), out=np.zeros(3)), tg.DTypeError, "out= would lose"),
    "outer(out=)": (
        lambda: np.multiply.outer(x(), x(), out=np.zeros((3, 3))), tg.DTypeError, "with out="),
    "exp(where=)": (lambda: np.exp(x(), where=V > 1), tg.DTypeError, "with where="),
    "add(dtype=)": (lambda: np.add(x(), 1, dtype="f4"), tg.DTypeError, "with dtype="),
    "add.at": (lambda: np.add.at(np.zeros(3), [0], leaf(1.0)), tg.DTypeError, r"add\.at"),
    "add.reduceat": (lambda: np.add.reduceat(x(), [0, 1]), tg.DTypeError, "reduceat"),
    "subtract.reduce": (lambda: np.subtract.reduce(x()), tg.DTypeError, r"subtract\.reduce"),
    "a masked array on the left": (
        lambda: np.ma.array(V, mask=[0, 1, 0]) * x(), tg.DTypeError, r"masked.*tg\.where"),
    "a masked array on the right": (
        lambda: x() * np.ma.array(V, mask=[0, 1, 0]), tg.DTypeError, r"masked.*tg\.where"),
    # ---- transforms
    "a function that returns nothing": (
        lambda: tg.grad(lambda a: None)(V), tg.DTypeError, "returned NoneType.*Return that alone"),
    "a function that returns a tuple": (
        lambda: tg.grad(lambda a: (a.sum(), a))(V), tg.DTypeError, "has_aux=True"),
    "a function that returns text": (lambda: tg.grad(lambda a: "s")(V), tg.DTypeError, "str"),
    "a function that returns an int": (lambda: tg.grad(lambda a: 3)(V), tg.DTypeError, "int64"),
    "a function that returns several": (lambda: tg.grad(lambda a: a)(V), tg.ShapeError, "only one"),
    "a function that returns a float": (
        lambda: tg.grad(lambda a: float(a.sum()))(V), tg.GraphError, "without its gradient"),
    "math.exp": (lambda: tg.grad(math.exp)(1.0), tg.GraphError, "without its gradient"),
    "np.float64": (
        lambda: tg.grad(lambda a: tg.asarray(np.float64(a)))(2.0), tg.DTypeError, "lose"),
    "has_aux without aux": (
        lambda: tg.grad(lambda a: a.sum(), has_aux=True)(V), tg.ArgumentError, "pair"),
    "no argument": (lambda: tg.grad(lambda: 1.0)(), tg.ArgumentError, "0 positional"),
    "an argument by keyword": (
        lambda: tg.grad(lambda a: a.sum())(a=V), tg.ArgumentError, "0 positional"),
    "argnums out of range": (
        lambda: tg.grad(lambda a: a.sum(), 3)(V), tg.ArgumentError, "argnums=3"),
    "argnums twice": (
        lambda: tg.grad(lambda a: a.sum(), (0, 0))(V), tg.ArgumentError, r"argnums=\(0, 0\)"),
    "argnums twice, once from the end": (
        lambda: tg.grad(lambda a: a.sum(), (0, -1))(V), tg.ArgumentError, r"argnums=\(0, -1\)"),
    "argnums as text": (lambda: tg.grad(lambda a: a, "a")(V), tg.DTypeError, "an int or several"),
    "argnums as a float": (lambda: tg.grad(lambda a: a, 0.0)(V), tg.DTypeError, "an int or"),
    "integers to differentiate by": (
        lambda: tg.grad(lambda a: a.sum())(np.arange(3)), tg.DTypeError, "argument 0.*astype"),
    "text to differentiate by": (
        lambda: tg.grad(lambda a: a.sum())("abc"), tg.DTypeError, "str"),
    "a pullback of a number": (
        lambda: tg.vjp(lambda a: a * 2, V)[1](1.0), tg.ShapeError, r"gradient 0 has shape \(\)"),
    "a pullback of too few": (
        lambda: tg.vjp(lambda a: (a, a), V)[1](V), tg.ShapeError, "structured like"),
    "a pullback with None": (
        lambda: tg.vjp(lambda a: (a, a), V)[1]((V, None)), tg.ShapeError, "NoneType"),
    "a pullback of other keys": (
        lambda: tg.vjp(lambda a: {"p": a, "q": a}, V)[1]({"u": V, "v": V}), tg.ShapeError,
        r"keys \['u', 'v'\] is given for dict with keys \['p', 'q'\]"),
    "a pullback nested otherwise": (
        lambda: tg.vjp(lambda a: ((a, a), a), V)[1]((V, (V, V))), tg.ShapeError, "structured like"),
    "a pullback of complex numbers": (
        lambda: tg.vjp(lambda a: a * 2, V)[1](V * 1j), tg.DTypeError, "complex128"),
    "tangents that broadcast": (
        lambda: tg.jvp(lambda a: a, (V,), (1.0,)), tg.ShapeError, r"tangent 0 has shape \(\)"),
    "tangents without a tuple": (lambda: tg.jvp(lambda a: a, V, V), tg.ArgumentError, r"\(x,\)"),
    "too few tangents": (
        lambda: tg.jvp(lambda a, b: a * b, (V, V), (V,)), tg.ShapeError, "structured like"),
    "tangents of other keys": (
        lambda: tg.jvp(lambda d: d["p"], ({"p": V},), ({"q": V},)), tg.ShapeError, "keys"),
    "examples that do not match": (
        lambda: tg.vmap(lambda a, b: a * b)(V, ONE[:2]), tg.ShapeError, "2 examples"),
    "a number to map over": (lambda: tg.vmap(lambda a: a)(1.0), tg.ShapeError, "no axis 0"),
    "an if over a map": (
        lambda: tg.vmap(lambda a: a if a > 0 else -a)(V), tg.GraphError, r"tg\.where"),
    "numpy() in a map": (lambda: tg.vmap(lambda a: a.numpy())(V), tg.GraphError, "cannot be read"),
    "out_axes out of range": (
        lambda: tg.vmap(lambda a: a, out_axes=3)(V), tg.ShapeError, r"out_axes=3.*\(3,\)"),
    "in_axes for other arguments": (
        lambda: tg.vmap(lambda a: a, in_axes=(0, 1))(V), tg.ArgumentError, "2 in_axes for 1"),
    "a hessian of several": (lambda: tg.hessian(lambda a: a)(V), tg.ShapeError, "only one number"),
    # ---- rules of the user's own
    "too many gradients": (lambda: of_rule(lambda r, g: (g, g)), tg.RuleError, "2 gradients for 1"),
    "no gradients": (lambda: of_rule(lambda r, g: ()), tg.RuleError, "0 gradients for 1"),
    "a gradient of shape ()": (
        lambda: of_rule(lambda r, g: g.sum()), tg.RuleError, r"shape \(\) for an argument of"),
    "a gradient that broadcasts": (
        lambda: of_rule(lambda r, g: g[None]), tg.RuleError, r"\(1, 3\) for an argument"),
    "a number as gradient": (lambda: of_rule(lambda r, g: 2.0), tg.RuleError, r"shape \(\)"),
    "objects as gradient": (
        lambda: of_rule(lambda r, g: np.array([1, None, 2])), tg.RuleError, "bwd.*object"),
    "text as gradient": (lambda: of_rule(lambda r, g: "12"), tg.RuleError, "mine: bwd.*str is no"),
    "an error of the user's": (lambda: of_rule(lambda r, g: 1 / 0), ZeroDivisionError, "division"),
    "fwd without residuals": (
        lambda: square_without_residuals()(x()), tg.RuleError, "fwd returns a pair"),
    "no gradient given": (lambda: tg.custom_vjp(abs)(V), tg.GraphError, r"\.defvjp"),
    "half a graph as residual": (
        lambda: tg.hessian(lambda a: half_a_graph()(a).sum())(V), tg.RuleError, "residuals that"),
    # ---- names, functions
    "no operand": (lambda: tg.exp(None), tg.DTypeError, "exp: NoneType"),
    "text to add": (lambda: x() + "a", TypeError, "unsupported operand"),
    "None to add": (lambda: x() + None, TypeError, "unsupported operand"),
    "nothing to join": (lambda: tg.concat([]), tg.ArgumentError, "at least one"),
    "text as index": (lambda: x()["a"], tg.DTypeError, "getitem: an index is integers"),
    "a float as index": (lambda: x()[1.0], tg.DTypeError, "float64"),
    "floats as a slice": (lambda: x()[1.5:], tg.DTypeError, "getitem.*slice indices"),
    "an index too large": (lambda: x()[5], tg.BoundsError, "'x'.*index 5 is out of bounds"),
    "a mask too short": (lambda: x()[np.array([True])], tg.BoundsError, "boolean index"),
}  # fmt: skip


def square_without_residuals():
    mine = tg.custom_vjp(lambda a: a * a)
    mine.defvjp(lambda a: a * a, lambda r, g: g)
    return mine


def half_a_graph():
    mine = tg.custom_vjp(lambda a: a * a)
    mine.defvjp(lambda a: (a * a, a.numpy()), lambda r, g: 2 * g * r)
    return mine


@pytest.mark.parametrize("name", REFUSED)
def test_what_makes_no_sense_is_refused_where_it_happens(name):
    action, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        action()


def unused(a, b):
    return (a * a).sum()


def toggled(first, second):
    """Record with requires_grad as `first`, walk back with it as `second`."""
    a = tg.tensor(V, requires_grad=first)
    y = a * a
    a.requires_grad = second
    return after((y * a).sum(), lambda: a.grad)


def objects(data):
    a, into = leaf(data), np.empty(2, object)
    into[0], into[1] = a, a * 3
    return after((into * 2).sum().sum(), lambda: a.grad)


def kept_by_weak_reference():
    a = x()
    alive = weakref.ref(a)
    y = (a * a).sum()
    del a
    return after(y, lambda: alive() is None)


# name: (what is done, the answer)
RIGHT = {
    "a seed of integers": (lambda: (lambda a: after(a * 2, lambda: a.grad, grad=[1, 2, 3]))(x()),
                           [2, 4, 6]),
    "a seed of longdouble": (lambda: (
        lambda a: after(a * 2, lambda: a.grad, grad=np.ones(3, np.longdouble)))(x()), [2, 2, 2]),
    "a seed of one entry": (lambda: (lambda a: after(a[:1] * 2, lambda: a.grad))(x()), [2, 0, 0]),
    "a leaf walked back twice": (lambda: (lambda a: (a.backward(), a.backward(), a.grad.item()))(
        leaf(1.0))[2], 2.0),
    "an unused argument": (lambda: tg.grad(unused, (0, 1))(V, V), (2 * V, ZERO)),
    "a constant function": (lambda: tg.grad(lambda a: 3.0)(V), ZERO),
    "explicit values": (lambda: tg.grad(lambda a: (a * a).sum().item())(V), ZERO),
    "keys in another order, pulled": (
        lambda: tg.vjp(lambda a: {"p": a * 2, "q": a * 3}, V)[1]({"q": ZERO, "p": ONE}),
        (2 * ONE,)),
    "keys in another order, pushed": (
        lambda: tg.jvp(lambda d: d["p"] * 2, ({"p": V, "q": V},), ({"q": ZERO, "p": ONE},)),
        (2 * V, 2 * ONE)),
    "keys in another order, hvp": (
        lambda: tg.hvp(lambda d: (d["p"] ** 3).sum() + d["q"].sum(), ({"p": V, "q": V},),
                       ({"q": ZERO, "p": ONE},)), {"p": 6 * V, "q": ZERO}),
    "keys in another order, from a rule": (
        lambda: tg.grad(lambda d: keyed()(d).sum())({"p": V, "q": V}), {"p": 2 * ONE, "q": ZERO}),
    "a list for a tuple": (
        lambda: tg.vjp(lambda a: (a * 2, a * 3), V)[1]([ZERO, ONE]), (3 * ONE,)),
    "argnums of NumPy": (lambda: tg.grad(unused, np.int64(0))(V, V), 2 * V),
    "no examples": (lambda: tg.vmap(lambda a: a * 2)(np.ones((0, 3))).shape, (0, 3)),
    "switched off midway": (lambda: toggled(True, False), 2 * V * V),
    "switched on midway": (lambda: toggled(False, True), V * V),
    "Tensors in an object array": (lambda: objects(2.0), 8.0),
    "vectors in an object array": (lambda: objects(V), 8 * ONE),
    "in a dict and a set": (lambda: (lambda a: ({a: 1}[a], len({a, x()})))(x()), (1, 2)),
    "a hash after a change": (lambda: (lambda a: hash(a) == (a.__iadd__(1), hash(a))[1])(x()),
                              True),
    "weakly referred to": (kept_by_weak_reference, True),
    "pickled together": (lambda: (lambda a: len({*pickle.loads(pickle.dumps([a, a]))}))(x()), 1),
    "a detached result, copied": (lambda: copy.deepcopy((x() * 2).detach()), 2 * V),
    "not None": (lambda: x() == None, False),  # noqa: E711
    "written with a format": (lambda: f"{leaf(1.23456):.3f}", "1.235"),
    "one of some numbers": (lambda: 2.0 in x(), True),
    "the largest of two": (lambda: max(leaf(2.0), leaf(1.0)), 2.0),
    "a list times it": (lambda: [1.0, 2.0, 3.0] * x(), V * V),
    "an index of nothing": (lambda: x()[[]].shape, (0,)),
    "None from a rule": (lambda: of_rule(lambda r, g: None), ZERO),
    "an array from a rule": (lambda: of_rule(lambda r, g: g.numpy() * 2), 2 * ONE),
    "integers from a rule": (lambda: of_rule(lambda r, g: np.array([1, 2, 3])), V),
    "float32 from a rule": (lambda: of_rule(lambda r, g: tg.astype(g, "float32")).dtype,
                            np.dtype(float)),
    "a rule that changes g": (lambda: changed_upstream(), (ONE, 5 * ONE)),
}  # fmt: skip


def keyed():
    mine = tg.custom_vjp(lambda d: d["p"] * 2)
    mine.defvjp(lambda d: (d["p"] * 2, None), lambda r, g: ({"q": 0 * g, "p": 2 * g},))
    return mine


def changed_upstream():
    def bwd(r, g):
        g *= 5
        return g

    a, b = x(), x()
    return after((a + square(bwd)(b)).sum(), lambda: (a.grad, b.grad))


@pytest.mark.parametrize("name", RIGHT)
def test_what_makes_sense_is_right(name):
    action, expected = RIGHT[name]
    assert same(action(), expected)
