"""Threads: modes of their own, the numbers of a run alone, and no addition to a gradient lost."""

import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest

import tinygraph as tg
from tinygraph.models import TwoLayerNet

THREADS = 8


@pytest.fixture(autouse=True)
def switching_often():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def together(f):
    """Call f(0), f(1) … in threads that begin at the same moment; return the results."""
    start = Barrier(THREADS)

    def run(i):
        start.wait()
        return f(i)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(THREADS)))


def train(seed):
    """Return the weights of a small network after some steps."""
    rng = np.random.default_rng(seed)
    net = TwoLayerNet(6, 5, 3, rng=seed)
    for _ in range(20):
        x, t = rng.normal(size=(4, 6)), rng.integers(0, 3, 4)
        net.loss(x, t).backward()
        for W in net.params.values():
            W -= 0.1 * W.grad
            W.grad = None
    return b"".join(W.numpy().tobytes() for W in net.params.values())


def test_eight_models_train_as_they_do_alone():
    assert together(train) == [train(seed) for seed in range(THREADS)]


def test_modes_belong_to_their_thread():
    x = tg.tensor(2.0, requires_grad=True)

    def recorded(i):
        seen = set()
        for _ in range(200):
            if i % 2:
                with tg.no_grad(), tg.scope(f"thread {i}"):
                    seen.add((x * x).requires_grad)
            else:
                seen.add((x * x).requires_grad)
        return seen

    assert together(recorded) == [{True}, {False}] * (THREADS // 2)


def test_threads_read_the_same_parameters():
    net = TwoLayerNet(6, 5, 3, rng=0)
    x, t = np.random.default_rng(0).normal(size=(4, 6)), np.array([0, 1, 2, 0])
    alone = net.gradient(x, t)
    for several in together(lambda i: [net.gradient(x, t) for _ in range(20)]):
        assert all(np.array_equal(one[key], alone[key]) for one in several for key in alone)
    assert all(W.grad is None for W in net.params.values())


def test_no_addition_to_a_shared_gradient_is_lost():
    x = tg.tensor(np.zeros(3), requires_grad=True)

    def add(i):
        for _ in range(100):
            (x * 1.0).sum().backward()

    together(add)
    assert x.grad.tolist() == [100.0 * THREADS] * 3
