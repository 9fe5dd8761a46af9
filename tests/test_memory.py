"""Memory: what is dropped is freed at once, training takes no more with time, depth costs no stack.

All of it without Python's cyclic collector, which finds nothing of ours.
"""

import copy
import gc
import pickle
import tracemalloc
from contextlib import suppress

import numpy as np
import pytest

import tinygraph as tg
from tinygraph.models import TwoLayerNet
from tinygraph.tape import Cell, Leaf, Node
from tinygraph.viz import to_dot

OURS = (tg.Tensor, Node, Leaf, Cell)
SIZE = 10_000  # entries of each array: 80 kB


@pytest.fixture(autouse=True)
def no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def leaf(size=SIZE, **options):
    return tg.tensor(np.linspace(0.5, 1.5, size), requires_grad=True, **options)


# ---------------------------------------------------------------- graphs of every kind


class Fault(Exception):
    """What a rule of the user's raises."""


def failing(*args):
    raise Fault


@tg.custom_vjp
def cube(x):
    return x**3


cube.defvjp(lambda x: (x**3, x), lambda x, g: 3 * x**2 * g)


@tg.custom_vjp
def refusing(x):
    return x * 1.0


refusing.defvjp(lambda x: (x * 1.0, x), failing)


def operations():
    x = leaf(name="x")
    y = tg.exp(x) * x + tg.tanh(x / 2.0)
    return tg.stack([y, y]).mean(), y.reshape(100, 100) @ np.ones((100, 2))


def scoped():
    with tg.scope("Affine"), tg.scope("Inner"):
        return tg.sin(leaf()) * 2.0


def indexing():
    x = leaf()
    return x[1:][::-1], x[np.arange(10)], x[x > 1.0], x.reshape(10, -1)[0]


def in_place():
    x = leaf() * 1.0
    row = x[:10]
    x[0] = x[1] * 2.0
    x[1:3] += 1.0
    x *= leaf()
    return x, row


def training_in_place():
    x = leaf()
    (x * x).sum().backward()
    x -= 0.1 * x.grad
    with tg.no_grad():
        x[0] = 1.0
    x.data = np.ones(SIZE)
    return x, x * x


def shared_arrays():
    array = np.ones(SIZE)
    x = tg.asarray(array)
    return leaf() * x, leaf() + array


def custom_rules():
    x = leaf()
    y = cube(x)
    y.sum().backward()
    return y, x, cube(x)


def checkpoints():
    x = leaf()
    block = tg.checkpoint(lambda x: tg.exp(x) * x)
    y = block(x)
    y.sum().backward()
    return y, block(x)


def walked():
    x = leaf()
    y = tg.tanh(x * 2.0)
    y.retain_grad()
    y.sum().backward()
    return y, x


def retained():
    x = leaf()
    y = (tg.exp(x) * x).sum()
    y.backward(retain_graph=True)
    y.backward(retain_graph=True)
    return y, x


def second_order():
    x = leaf()
    (x**3).sum().backward(create_graph=True)
    first, x.grad = x.grad, None  # until then they refer to each other
    (first * x).sum().backward()
    return x, first


def gradients():
    def f(x):
        return (tg.sin(x) * x).sum()

    x = leaf()
    return tg.grad(f)(x), tg.value_and_grad(f)(x), tg.grad(lambda x: (tg.grad(f)(x) * x).sum())(x)


def pullbacks():
    y, pullback = tg.vjp(lambda x: {"y": tg.exp(x)}, leaf())
    return y, pullback, pullback({"y": np.ones(SIZE)})


def forward_mode():
    x = leaf()
    return tg.jvp(tg.sin, (x,), (x.detach(),)), tg.hvp(lambda x: (x**3).sum(), (x,), (x * 1.0,))


def mapped():
    x = leaf().reshape(10, -1)
    return tg.vmap(lambda row: tg.exp(row) * x[0])(x), tg.vmap(tg.grad(lambda r: r.prod()))(x)


def matrices():
    x = leaf(20)
    return tg.hessian(lambda x: (x**3).sum())(x), tg.jacobian(tg.sin)(x)


def network():
    net = TwoLayerNet(SIZE, 3, 2, rng=0)
    loss = net.loss(np.ones((2, SIZE)), np.array([0, 1]))
    loss.backward()
    for W in net.params.values():
        W -= 0.1 * W.grad
        W.grad = None
    net.params["b1"] -= 1.0
    return net, loss, net.gradient(np.ones((2, SIZE)), np.array([0, 1]))


@tg.no_grad()
def unrecorded():
    x = leaf()
    with tg.enable_grad():
        y = x * x
    return tg.exp(x) * x, y


def anomalies():
    with tg.detect_anomaly():
        y = tg.exp(leaf(name="x")).sum()
        y.backward(retain_graph=True)
        with suppress(tg.AnomalyError):
            tg.log(leaf() - 2.0)
        with suppress(tg.AnomalyError), np.errstate(all="ignore"):
            tg.where(np.arange(SIZE) > 0, tg.sqrt(leaf() - 0.5), 0.0).sum().backward()
    return y


def failing_backward():
    x = leaf()
    y = refusing(tg.exp(x)).sum()
    with suppress(Fault):
        y.backward()
    return x, y


def failing_functions():
    x = leaf()
    for transform in (tg.grad, tg.vmap, tg.checkpoint, tg.jacobian):
        with suppress(Fault):
            transform(lambda x: failing(x * x))(x)
    with suppress(tg.ShapeError):
        x @ (x * 2.0)[:-1]
    with suppress(tg.GraphError):
        tg.exp(x).backward()
    return x


def drawn():
    x = leaf(name="x")
    with tg.scope("S"):
        y = (tg.exp(x) * x).sum()
    return y, to_dot(y), to_dot(y, check=True), to_dot(lambda x: x * x, args=(x,))


def copied():
    x = leaf()
    return x * x.copy(), copy.deepcopy(x) * 2.0, pickle.loads(pickle.dumps(x)) * 2.0, copy.copy(x)


def converted():
    x = leaf()
    with suppress(tg.DTypeError):
        np.asarray(x * 2.0)
    return np.exp(x), x.numpy(), x.detach() * x, x.data


def flattened():
    vector, unravel = tg.ravel_pytree({"W": leaf(), "b": [leaf(3)]})
    return vector * 2.0, unravel, unravel(vector)


PROGRAMS = [
    operations, scoped, indexing, in_place, training_in_place, shared_arrays, custom_rules,
    checkpoints, walked, retained, second_order, gradients, pullbacks, forward_mode, mapped,
    matrices, network, unrecorded, anomalies, failing_backward, failing_functions, drawn, copied,
    converted, flattened,
]  # fmt: skip


def alive():
    return sum(isinstance(one, OURS) for one in gc.get_objects())


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda one: one.__name__)
def test_what_is_dropped_is_freed_at_once(program):
    for _ in range(3):  # what is made once
        program()
    gc.collect()
    before = alive()
    tracemalloc.start()
    try:
        held = program()
        during = tracemalloc.get_traced_memory()[0]
        assert alive() > before
        del held
        assert gc.collect() == 0  # no cycle; it empties Python's own lists of free objects
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert alive() == before
    assert after < 20_000 < during, (after, during)


# ---------------------------------------------------------------- training


def test_a_thousand_steps_take_no_more_memory_than_ten():
    net = TwoLayerNet(20, 10, 3, rng=0)
    rng = np.random.default_rng(0)
    batches = [(rng.normal(size=(8, 20)), rng.integers(0, 3, 8)) for _ in range(10)]

    def peak(steps):
        tracemalloc.start()
        for i in range(steps):
            net.loss(*batches[i % 10]).backward()
            for W in net.params.values():
                W -= 0.1 * W.grad
                W.grad = None
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(3000)  # what is made once, and Python's own lists of free objects, which fill slowly
    assert abs(peak(1000) - peak(10)) < 2_000
    assert gc.collect() == 0


# ---------------------------------------------------------------- depth


def deep(count):
    """Check a chain of so many operations: forward, back, shown, copied, drawn, dropped."""
    x = tg.tensor(2.0, requires_grad=True, name="x")
    y = x
    for _ in range(count):
        y = y + 1.0
    assert repr(y).startswith(f"Tensor({count + 2}")
    y.backward(retain_graph=True)
    assert x.grad.item() == 1.0
    for copied in (copy.deepcopy, pickle.dumps):
        with pytest.raises(tg.GraphError, match="would take its graph along"):
            copied(y)
    assert copy.deepcopy(x).item() == 2.0
    assert len(to_dot(y).source) < 20_000  # folded
    assert tg.grad(lambda x: x * 3.0)(y).item() == 3.0
    before = alive()
    del y
    assert before - alive() > count


def test_a_deep_graph_takes_no_stack():
    deep(20_000)


@pytest.mark.thorough
def test_a_graph_of_a_million_operations():
    deep(10**6)
