"""State: what an exception, an interrupt, a generator or a dropped graph leaves behind."""

import asyncio
import sys
from pathlib import Path

import numpy as np
import pytest

import tinygraph as tg
from tinygraph.changes import outdated
from tinygraph.modes import MODES

HERE = str(Path(tg.__file__).parent)
NOTHING = MODES.get()  # the modes outside of everything


# ---------------------------------------------------------------- an exception at every line


def leaf(*values, name=None):
    return tg.tensor(values, requires_grad=True, name=name)


@tg.custom_vjp
def cube(x):
    return x * x * x


cube.defvjp(lambda x: (x * x * x, (x,)), lambda kept, g: 3.0 * kept[0] ** 2 * g)


def network(a, b):
    with tg.scope("Affine"):
        h = tg.tanh(a * np.array([0.5, 2.0]) + b[::-1])
    h.name = "h"
    (tg.softmax_cross_entropy(h.reshape(1, 2), np.array([1])) + (h * a[0]).sum()).backward()


def recorded_backward(a, b):
    (a * a * b).sum().backward(create_graph=True)
    (a.grad * b).sum().backward()


def transforms(a, b):
    a.grad = tg.grad(tg.grad(lambda x: tg.tanh(x) * b[0]))(a[0]) * np.ones(2)
    b.grad = tg.vmap(lambda x: tg.jvp(tg.exp, (x,), (1.0,))[1])(b.detach())


def jacobians(a, b):
    a.grad = tg.hessian(lambda x: (x * x * x).sum())(a.detach())[0]
    b.grad = tg.jacobian(lambda x: tg.concat([x * x, x]))(b.detach())[0]


def checkpoints(a, b):
    block = tg.checkpoint(lambda x: tg.exp(cube(x) * b))
    block(a).sum().backward()


def rules_of_ones_own(a, b):
    (cube(a) * b).sum().backward()
    b.grad = tg.grad(tg.grad(lambda x: cube(x)))(2.0) * tg.tensor(np.ones(2))


def changes(a, b):
    x = a * 2.0
    x[0] += b[1]
    x[1] = b[0]
    x *= a
    shared = np.ones(2)
    (x * tg.asarray(shared)).sum().backward()
    with tg.no_grad():
        b[0] += 1.0
        b *= 2.0


@tg.no_grad()
def predicted(x):
    return tg.exp(x)


def numbers_of(x):
    with tg.no_grad(), tg.scope("numbers"):
        yield x * x
        yield x + x


def blocks(a, b):
    y = predicted(a)
    with tg.no_grad(), tg.enable_grad(), tg.scope("S"):
        z = a * b
    one, other = numbers_of(a), numbers_of(b)
    y = y + next(one) + next(other)
    one.close()
    y = y + sum(other)
    (z * y).sum().backward()


def tasks(a, b):
    async def quiet():
        with tg.no_grad():
            await asyncio.sleep(0)
            return a * a

    async def recording():
        await asyncio.sleep(0)
        with tg.scope("task"):
            return a * b

    async def both():
        return await asyncio.gather(quiet(), recording())

    y, z = asyncio.run(both())
    (y * z).sum().backward()


def anomalies(a, b):
    with tg.detect_anomaly():
        (tg.exp(a) / b).sum().backward()


PROGRAMS = [
    network, recorded_backward, transforms, jacobians, checkpoints, rules_of_ones_own, changes,
    blocks, tasks, anomalies,
]  # fmt: skip


class Fault(Exception):
    """What nobody catches."""


def interrupted(program, at, every):
    """Run a program, and raise at the place of a number; return its leaves and the places passed.

    A place is a line of tinygraph's: when it is first reached, or each time.
    """
    leaves = leaf(0.5, -1.0, name="a"), leaf(2.0, 0.25)
    passed, seen = 0, set()

    def trace(frame, event, _):
        nonlocal passed
        if not frame.f_code.co_filename.startswith(HERE):
            return None
        place = frame.f_code, frame.f_lineno
        if event == "line" and (every or place not in seen):
            seen.add(place)
            passed += 1
            if passed == at + 1:
                raise (KeyboardInterrupt, Fault)[at % 2]
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        program(*leaves)
    except (KeyboardInterrupt, Fault):
        assert at < passed
    finally:
        sys.settrace(before)
    return leaves, passed


def state_of(leaves):
    return [(x.tolist(), None if x.grad is None else x.grad.tolist()) for x in leaves]


@pytest.fixture
def unraisable(monkeypatch):
    """Let an exception inside a finaliser pass, as Python does."""
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)


def raise_everywhere(program, every=False):
    leaves, count = interrupted(program, -1, every)
    values, after = [x.tolist() for x in leaves], state_of(leaves)
    assert all(x.grad is not None for x in leaves) and count > 50
    for at in range(count):
        leaves, _ = interrupted(program, at, every)
        where = f"{program.__name__}, place {at} of {count}"
        assert MODES.get() is NOTHING, where
        refusing = [x for x in leaves if type(x) is outdated(tg.Tensor)]
        for x in leaves:
            if x not in refusing:
                assert x._node.data is x._data, where
                assert x._data.flags.writeable, where
        if program not in STEPWISE and not refusing:
            grads = [grad for _, grad in state_of(leaves)]
            assert grads in ([None, None], [grad for _, grad in after]), where
        if program is not changes:
            assert [x.tolist() for x in leaves] == values, where
            for x in leaves:
                x.grad = None
            program(*leaves)  # with the same leaves
            assert state_of(leaves) == after, where
    leaves, _ = interrupted(program, -1, every)
    assert state_of(leaves) == after
    return count


STEPWISE = {recorded_backward, transforms, jacobians, rules_of_ones_own}  # several gradients


@pytest.mark.usefixtures("unraisable")
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda one: one.__name__)
def test_an_exception_at_any_line_leaves_nothing_behind(program):
    raise_everywhere(program)


@pytest.mark.thorough
@pytest.mark.usefixtures("unraisable")
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda one: one.__name__)
def test_an_exception_each_time_a_line_runs_leaves_nothing_behind(program):
    print(program.__name__, raise_everywhere(program, every=True))
