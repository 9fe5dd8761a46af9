"""Processes and tasks: a child computes the same, and what holds in one task holds in no other."""

import asyncio
import concurrent.futures
import contextvars
import multiprocessing
import os
import threading

import numpy as np
import pytest

import tinygraph as tg
from tinygraph.models import TwoLayerNet
from tinygraph.modes import MODES

START = [one for one in ("fork", "spawn") if one in multiprocessing.get_all_start_methods()]
PATIENCE = 60  # seconds for a child; it takes one or two


def trained(seed):
    """Return the weights of a net after some steps."""
    net, rng = TwoLayerNet(6, 5, 3, rng=seed), np.random.default_rng(seed)
    for _ in range(5):
        net.loss(rng.normal(size=(4, 6)), rng.integers(0, 3, 4)).backward()
        for W in net.params.values():
            W -= 0.1 * W.grad
            W.grad = None
    return [W.numpy() for W in net.params.values()]


def holding():
    """Return what holds here: recording, the name of the scope, whether values are looked at."""
    now = MODES.get()
    return now.recording, now.scope and now.scope.name, now.anomaly is not None


def slope(x):
    """Return the gradient of a leaf that came from another process, and what it knows of itself."""
    (x * x).sum().backward()
    return x.grad, x.name, x.requires_grad


def ask(method, function, *args):
    """Call a function in a process of its own, with a limit of time."""
    context = multiprocessing.get_context(method)
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *args).result(timeout=PATIENCE)


@pytest.mark.parametrize("method", START)
def test_a_child_computes_the_same(method):
    for found, expected in zip(ask(method, trained, 3), trained(3), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("method", START)
def test_leaves_travel_whole_and_results_are_refused(method):
    x = tg.tensor([1.0, 3.0], requires_grad=True, name="x")
    gradient, name, required = ask(method, slope, x)
    np.testing.assert_array_equal(gradient.numpy(), [2.0, 6.0])
    assert (name, required, x.grad) == ("x", True, None)
    with pytest.raises(tg.GraphError, match="would take its graph along"):
        ask(method, slope, x * 2.0)


@pytest.mark.parametrize("method", START)
def test_modes_go_into_a_fork_and_not_into_a_new_process(method):
    with tg.no_grad(), tg.scope("outside"), tg.detect_anomaly():
        context = multiprocessing.get_context(method)
        into, out = context.SimpleQueue(), context.SimpleQueue()
        child = context.Process(target=answer, args=(into, out))
        child.start()
        found = out.get()
        child.join(PATIENCE)
    inherited = (False, "outside", True) if method == "fork" else (True, None, False)
    assert found == inherited
    assert child.exitcode == 0 and holding() == (True, None, False)


def answer(into, out):
    out.put(holding())


@pytest.mark.skipif("fork" not in START, reason="this system does not fork")
def test_a_fork_while_another_thread_adds_gradients_does_not_wait_for_ever():
    x = tg.tensor(np.ones(10), requires_grad=True)
    going = threading.Event()
    going.set()

    def add():
        while going.is_set():
            (x * x).sum().backward()

    threads = [threading.Thread(target=add) for _ in range(3)]
    for one in threads:
        one.start()
    try:
        for _ in range(30):
            number = os.fork()
            if not number:  # the child, which has no other thread
                y = tg.tensor(3.0, requires_grad=True)
                (y * y).backward()
                os._exit(0 if y.grad.item() == 6.0 else 1)
            assert finished(number) == 0
    finally:
        going.clear()
        for one in threads:
            one.join()


def finished(number):
    """Wait for a child, with a limit of time, and return its exit status."""
    timer = threading.Timer(PATIENCE, os.kill, (number, 9))
    timer.start()
    try:
        return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])
    finally:
        timer.cancel()


# ---------------------------------------------------------------- tasks


def test_tasks_that_take_turns_have_modes_of_their_own():
    async def quiet():
        with tg.no_grad(), tg.scope("quiet"):
            for _ in range(3):
                assert holding() == (False, "quiet", False)
                await asyncio.sleep(0)
        return holding()

    async def watched():
        with tg.detect_anomaly():
            for _ in range(3):
                await asyncio.sleep(0)
                assert holding() == (True, None, True)
        return holding()

    async def plain():
        for _ in range(3):
            await asyncio.sleep(0)
            assert holding() == (True, None, False)
        return holding()

    async def together():
        return await asyncio.gather(quiet(), watched(), plain())

    assert asyncio.run(together()) == [(True, None, False)] * 3


def test_what_a_task_begins_its_tasks_take_along_and_its_threads_do_not():
    async def child():
        return holding()

    async def parent():
        loop = asyncio.get_running_loop()
        with tg.no_grad(), tg.scope("parent"):
            task = asyncio.create_task(child())
            executed = loop.run_in_executor(None, holding)
            to_thread = asyncio.to_thread(holding)
        return await task, await executed, await to_thread

    # to_thread copies the context of where it is called, run_in_executor has none.
    task, executed, to_thread = asyncio.run(parent())
    assert task == (False, "parent", False)
    assert executed == to_thread == (True, None, False)
    with tg.no_grad():
        copied = contextvars.copy_context()
        with concurrent.futures.ThreadPoolExecutor() as pool:
            assert pool.submit(holding).result() == (True, None, False)
            assert pool.submit(copied.run, holding).result() == (False, None, False)
