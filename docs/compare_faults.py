"""Make the same mistakes with tinygraph and its peers: ``python docs/compare_faults.py``.

It prints the two tables of docs/promises.md. Each mistake is made in a process of its own with each
library that is installed; ``pip install "tinygraph-autograd[peers]"`` installs the others.
``--only AREA`` and ``--case WORDS`` select; with ``--case`` it prints what each library said, too.
It needs a system that can fork.

Arrays are handed over as they are, in the way that shares their memory where a library has one. A
NaN is looked for with what a library has for it, else with NumPy's ``errstate``.

What is found by running:

- right: the number is what it should be, the mistake is harmless
- error: an exception where the mistake is made, that says what is wrong
- error, later: an exception where the mistake does harm, that says what it was
- late error: an exception, but later, where the cause has to be guessed
- unclear error: an exception at the right place, that does not say what is wrong
- only a warning: a wrong number, and a warning
- silently wrong: a wrong number, no gradient, or memory that grows, without a word
- crash: the process dies; hangs: it never ends
- –: the library has nothing of the kind
"""

import argparse
import asyncio
import contextlib
import copy
import gc
import json
import math
import multiprocessing
import os
import pickle
import re
import resource
import signal
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np

LIMIT = 60  # seconds that a mistake may take
FILE = Path("weights.npz")
DEEP = 100_000
FORK = multiprocessing.get_context("fork")


class Missing(Exception):
    """The library has nothing of the kind."""


# ---------------------------------------------------------------- the libraries


class Recorded:
    """The value of a function of arrays, recorded, and the leaves that it was made from."""

    def __init__(self, engine: "Engine", f: Callable, arrays: tuple):
        self.leaves = [engine.leaf(array) for array in arrays]
        self.value = f(*self.leaves)

    def backward(self, *seed: Any) -> Any:
        """Compute the gradients, and return them as the library gives them."""
        self.value.backward(*seed)
        return self.gradients()

    def gradients(self) -> Any:
        """Return what the leaves hold: a list, or the only one."""
        grads = [leaf.grad for leaf in self.leaves]
        return grads if len(grads) > 1 else grads[0]


class Engine:
    """How to write a function in a library; what is not said here has NumPy's name in `xp`."""

    distribution: str
    xp: Any

    def __getattr__(self, name: str) -> Any:
        try:
            return getattr(self.xp, name)
        except AttributeError:
            raise Missing(name) from None

    def constant(self, array: Any) -> Any:
        """Return an array as the library's functions take it."""
        return array

    def record(self, f: Callable, *arrays: np.ndarray) -> Any:
        """Record a function of arrays, whose memory it shares where there is a way to do so."""
        return Recorded(self, f, arrays)

    def grad(self, f: Callable, array: np.ndarray) -> Any:
        """Return the gradient of a function in the usual way."""
        return self.record(f, array).backward()

    def step(self, recorded: Any) -> None:
        """Change a leaf in place, as an optimizer does."""
        recorded.leaves[0].data -= 0.5

    def watch(self) -> Any:
        """Return what finds a NaN: of NumPy, where the library has nothing of its own."""
        return np.errstate(all="raise")

    def poison(self, thing: Any) -> None:
        """Write a file of the library's format with an object of the attacker's."""
        FILE.write_bytes(pickle.dumps({"w": thing}))


class Tinygraph(Engine):
    """tinygraph, as it is installed here."""

    distribution = "tinygraph-autograd"

    def __init__(self):
        import tinygraph as tg
        from tinygraph import nn

        self.xp = tg
        self.norm, self.fft, self.einsum = tg.linalg.norm, tg.fft, np.einsum
        self.sigmoid, self.softplus, self.mse_loss = nn.sigmoid, nn.softplus, nn.mse_loss
        self.cross_entropy, self.watch = tg.softmax_cross_entropy, tg.detect_anomaly
        self.grad = lambda f, array: tg.grad(f)(array)
        self.second = lambda f, array: tg.hessian(f)(array)
        self.array = lambda value: value.data  # read-only
        self.raw = lambda value: value.numpy()
        self.store = lambda array: self.save(FILE, {"w": tg.tensor(array)})
        self.restore = lambda: self.load(FILE)["w"]
        self.concatenate, self.inv, self.eigh = tg.concat, tg.linalg.inv, tg.linalg.eigh
        self.det, self.cumprod = tg.linalg.det, lambda x, axis: tg.cumulative_prod(x, axis=axis)
        self.check = lambda f, array: tg.testing.check_grads(f, (array,))

    def leaf(self, array):
        """Share the array."""
        leaf = self.asarray(array)
        leaf.requires_grad = True
        return leaf

    def step(self, recorded):
        """Subtract."""
        recorded.leaves[0] -= 0.5

    def freeze(self, leaf):
        """Say that no gradient is wanted any more."""
        leaf.requires_grad = False

    def draw(self, name="x", length=1, timeout=None):
        """Draw a graph of a leaf of some name."""
        from tinygraph.viz import render

        leaf = self.tensor(X, requires_grad=True, name=name)
        render(deep(self, leaf, length), "x.svg", timeout=timeout or LIMIT)
        return Path("x.svg").read_bytes()

    def model(self, change):
        """Load a file that was changed into a model; return the model's arrays, before and now."""
        from tinygraph.models import TwoLayerNet

        model, other = (TwoLayerNet(2, 2, 2, rng=seed) for seed in (0, 1))
        arrays = lambda: [one.numpy() for one in model.params.values()]
        changed = dict(other.params)
        change(changed, "b2")
        self.save(FILE, changed)
        return arrays(), lambda: model.load(FILE), arrays

    def custom(self, forward, backward, keep=lambda x: x):
        """Define an operation."""
        operation = self.custom_vjp(forward)
        operation.defvjp(lambda x: (forward(x), keep(x)), lambda kept, g: backward(g, kept))
        return operation


class PyTorch(Engine):
    """PyTorch on the CPU."""

    distribution = "torch"

    def __init__(self):
        import torch
        from torch.nn import functional

        self.xp, self.constant = torch, torch.as_tensor
        self.norm, self.cross_entropy = torch.linalg.norm, functional.cross_entropy
        self.softplus, self.mse_loss = functional.softplus, functional.mse_loss
        self.logsumexp = lambda x: torch.logsumexp(x, -1)
        self.sort = lambda x: torch.sort(x).values
        self.second = lambda f, array: torch.autograd.functional.hessian(f, self.constant(array))
        self.watch = lambda: torch.autograd.set_detect_anomaly(True)
        self.leaf = lambda array: torch.as_tensor(array).requires_grad_()
        self.array = self.raw = lambda value: value.detach().numpy()
        self.store = lambda array: torch.save({"w": self.constant(array)}, FILE)
        self.restore = lambda: torch.load(FILE)["w"]
        self.poison = lambda thing: torch.save({"w": thing}, FILE)
        self.inv, self.eigh, self.det = torch.linalg.inv, torch.linalg.eigh, torch.linalg.det
        self.check = lambda f, array: torch.autograd.gradcheck(f, self.leaf(array))
        self.freeze = lambda leaf: leaf.requires_grad_(False)

    def draw(self, name="x", length=1, timeout=None):
        """Draw a graph of a leaf of some name, with torchviz."""
        from torchviz import make_dot

        leaf = self.leaf(X.copy())
        return make_dot(deep(self, leaf, length), params={name: leaf}).pipe("svg")

    def model(self, change):
        """Load a file that was changed into a model; return the model's arrays, before and now."""
        linear = self.nn.Linear
        model, other = (self.nn.Sequential(linear(2, 2), linear(2, 2)) for _ in range(2))
        arrays = lambda: [self.raw(one).copy() for one in model.parameters()]
        state = other.state_dict()
        change(state, "1.bias")
        self.save(state, FILE)
        return arrays(), lambda: model.load_state_dict(self.load(FILE)), arrays

    def step(self, recorded):
        """Subtract, as torch.optim does."""
        with self.no_grad():
            recorded.leaves[0].sub_(0.5)

    def custom(self, forward, backward, keep=lambda x: x):
        """Define an operation."""

        class Custom(self.xp.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.kept = keep(x)
                return forward(x)

            @staticmethod
            def backward(ctx, g):
                return backward(g, ctx.kept)

        return Custom.apply


class OfFunction(Recorded):
    """The same for HIPS autograd, which has functions, not leaves."""

    def __init__(self, engine: Engine, f: Callable, arrays: tuple):
        argnum = tuple(range(len(arrays))) if len(arrays) > 1 else 0
        self.pull, self.value = engine.make_vjp(f, argnum)(*arrays)
        self.arrays = arrays

    @property
    def leaves(self):
        """Say that there are none."""
        raise Missing

    def backward(self, *seed):
        """Pull a gradient back."""
        return self.pull(*(seed or (np.ones_like(self.value),)))


class Autograd(Engine):
    """HIPS autograd."""

    distribution = "autograd"

    def __init__(self):
        import autograd.test_util
        from autograd import extend, numpy

        self.xp, self.extend, self.make_vjp = numpy, extend, autograd.make_vjp
        self.grad = lambda f, array: autograd.grad(f)(array)
        self.second = lambda f, array: autograd.hessian(f)(array)
        self.norm, self.raw = numpy.linalg.norm, autograd.tracer.getval
        self.softplus = lambda x: numpy.logaddexp(0.0, x)
        self.array = lambda value: value
        self.inv, self.eigh, self.det = numpy.linalg.inv, numpy.linalg.eigh, numpy.linalg.det
        check = autograd.test_util.check_grads
        self.check = lambda f, array: check(f, modes=["rev"], order=1)(array)
        with contextlib.suppress(ImportError):  # which need SciPy
            from autograd.scipy.special import expit, logsumexp

            self.sigmoid, self.logsumexp = expit, logsumexp

    def record(self, f, *arrays):
        """Record a function."""
        return OfFunction(self, f, arrays)

    def step(self, recorded):
        """Subtract from the array itself."""
        recorded.arrays[0][...] -= 0.5

    def custom(self, forward, backward, keep=lambda x: x):
        """Define an operation."""
        operation = self.extend.primitive(forward)
        self.extend.defvjp(operation, lambda _, x: lambda g: backward(g, keep(x)))
        return operation


class MyGrad(Engine):
    """MyGrad."""

    distribution = "mygrad"

    def __init__(self):
        import mygrad
        from mygrad import nnet, operation_base

        self.xp, self.Operation = mygrad, operation_base.Operation
        self.norm, self.sigmoid = mygrad.linalg.norm, nnet.sigmoid
        self.softplus = lambda x: mygrad.logaddexp(0.0, x)
        self.cross_entropy, self.no_grad = nnet.softmax_crossentropy, lambda: mygrad.no_autodiff
        self.leaf = lambda array: mygrad.tensor(array, copy=False)
        self.array = self.raw = lambda value: value.data
        self.store = lambda array: mygrad.save(FILE, mygrad.tensor(array))
        self.restore = lambda: mygrad.load(FILE)
        self.poison = lambda thing: np.savez(FILE, data=np.array([thing], object))

    def custom(self, forward, backward, keep=lambda x: x):
        """Define an operation."""

        class Custom(self.Operation):
            def __call__(self, x):
                self.variables = (x,)
                return forward(x.data)

            def backward_var(self, grad, index, **options):
                return backward(grad, keep(self.variables[0]))

        return lambda x: self.execute_op(Custom, x)


ENGINES = {"tinygraph": Tinygraph, "PyTorch": PyTorch, "autograd": Autograd, "MyGrad": MyGrad}


# ---------------------------------------------------------------- how a mistake is written down


class Case(NamedTuple):
    """A mistake: `run` makes it, what it returns is compared with `right`, if that can be."""

    area: str
    title: str
    run: Callable[[Engine], Any]
    right: Any  # an array, a test of what is returned, or None if only an error is right
    says: str  # what the message of an error must match to be of use
    later: str  # and one that comes later, to name the cause


CASES: list[Case] = []
at_once: list[BaseException] = []


@contextlib.contextmanager
def mistake() -> Iterator[None]:
    """Mark the lines that are at fault: an error has to come here."""
    try:
        yield
    except BaseException as error:
        at_once.append(error)
        raise


def mistaken(f: Callable) -> Any:
    """Call a function that is at fault."""
    with mistake():
        return f()


def case(
    area: str, title: str, right: Any = None, says: str = "...", later: str = "(?!)"
) -> Callable:
    """Add a case: a function of a library, that marks the mistake itself."""
    return lambda run: CASES.append(Case(area, title, run, right, says, later))


def given(area: str, title: str, x: Any, f: Callable, right: Any = None, says: str = "...") -> None:
    """Add a case: the gradient of a function of an input is asked for."""

    def run(e: Engine) -> Any:
        with mistake():
            return e.grad(lambda t: f(e, t), x)

    case(area, title, right, says)(run)


def between(
    area: str, title: str, f: Callable, arrays: Any, do: Callable, right: Any, says: str = "...",
    later: str = "(?!)",
) -> None:  # fmt: skip
    """Add a case: something is done between forward and backward, or instead of backward.

    The first array is a leaf, the others are constants; each is a slice of its base.
    """

    def run(e: Engine) -> Any:
        x, *others = (array.copy()[:] for array in arrays)
        r = e.record(lambda t: f(e, t, *map(e.constant, others)), x)
        with mistake():
            answer = do(e, r, x, *others)
        return r.backward() if answer is None else answer

    case(area, title, right, says, later)(run)


def values(e: Engine, result: Any) -> np.ndarray:
    """Return the numbers of what a library gave."""
    if isinstance(result, list | tuple):
        return np.stack([values(e, one) for one in result])
    plain = isinstance(result, np.ndarray | np.generic | bool | int | float | None)
    return np.asarray(result if plain else e.array(result))


def one_of(*rights: Any) -> Callable:
    """Accept any of several answers."""
    return lambda found: any(equal(found, right) for right in rights)


def equal(found: np.ndarray, right: Any) -> bool:
    """Compare numbers and shapes."""
    try:
        found = found.astype(float)
    except (TypeError, ValueError):  # None, or objects of the library's
        return False
    return found.shape == np.shape(right) and np.allclose(found, right, rtol=1e-4)


def floats(*numbers: float) -> np.ndarray:
    """Return a vector."""
    return np.array(numbers, dtype=float)


X, Y, MASK, LABELS = floats(1, 2, 3), floats(2, 4, 6), np.array([False, True, True]), [0, 0, 2]
SQUARE = np.array([[1.0, 2, 4], [3, 1, 0], [0, 0, 1]])
ones = lambda e, *shape: e.constant(np.ones(shape))
squares = lambda e, t: e.sum(t * t)
cubes = lambda e, t: e.sum(t * t * t)
CUBES = 3 * X**2  # the gradient of cubes
trained = lambda e: e.record(lambda t: cubes(e, t), X).backward()
fill = lambda e, r, *arrays: arrays[-1].fill(1)
turn = lambda e, r, *arrays: np.copyto(arrays[-1], arrays[-1][::-1].copy())


# fmt: off
# ---------------------------------------------------------------- mutation and aliasing

AREA = MUTATION = "Mutation and aliasing"
between(AREA, "write to the array of a leaf", cubes, [X], fill, CUBES)
between(AREA, "write to the array that a leaf is a slice of", cubes, [X],
        lambda e, r, x: x.base.fill(1), CUBES)
between(AREA, "write to an array that a leaf is multiplied by", lambda e, t, w: e.sum(t * w),
        [X, Y], fill, Y)
between(AREA, "write to a matrix that a leaf is multiplied by", lambda e, t, w: e.sum(w @ t),
        [X, SQUARE], fill, [4, 3, 5])
between(AREA, "write to an index array", lambda e, t, i: e.sum(t[i] ** 2),
        [X, np.array(LABELS)], fill, [4, 0, 6])
between(AREA, "write to a mask as index", lambda e, t, m: e.sum(t[m] ** 2), [X, MASK], turn,
        [0, 4, 6])
between(AREA, "write to the condition of where", lambda e, t, m: e.sum(e.where(m, t, 2.0 * t)),
        [X, MASK], turn, [2, 1, 1])
between(AREA, "write to labels", lambda e, t, n: e.cross_entropy(t, n),
        [0 * SQUARE, np.array(LABELS)], fill, (1 - 3 * np.eye(3)[LABELS]) / 9)
between(AREA, "write to the result of exp", lambda e, t: e.exp(t), [X],
        lambda e, r, x: e.array(r.value).fill(1) or r.backward(ones(e, 3)), np.exp(X))
between(AREA, "write to `.data` of a leaf", cubes, [X],
        lambda e, r, x: r.leaves[0].data.__setitem__(0, 9.0), CUBES)
between(AREA, "a step of an optimizer before backward", cubes, [X],
        lambda e, r, x: e.step(r), CUBES, later="in-?place")
between(AREA, "after backward the array can be written to", cubes, [X],
        lambda e, r, x: (r.backward(), x.fill(1), x)[2], [1, 1, 1])

for title, f, right in (
    ("an array that a leaf is divided by", lambda e, t, w: e.sum(t / w), 1 / Y),
    ("an array of exponents", lambda e, t, w: e.sum(t ** w), Y * X ** (Y - 1)),
    ("an array in minimum(t, array)", lambda e, t, w: e.sum(e.minimum(t, w - 2.5)), [0, 0, 1]),
    ("an array in einsum", lambda e, t, w: e.einsum("i,i->", t, w), Y),
    ("an array that was reversed before", lambda e, t, w: e.sum(t * w[[2, 1, 0]]), Y[::-1]),
):
    between(AREA, f"write to {title}", f, [X, Y], fill, right)
between(AREA, "write to a matrix whose transpose was used", lambda e, t, w: e.sum(w.T @ t),
        [X, SQUARE], fill, SQUARE.sum(1))
between(AREA, "write to the result of tanh", lambda e, t: e.tanh(t), [X],
        lambda e, r, x: e.array(r.value).fill(1) or r.backward(ones(e, 3)), 1 - np.tanh(X) ** 2)

@case(AREA, "change a list of indices", [4, 0, 6])
def _(e):
    places = list(LABELS)
    r = e.record(lambda t: e.sum(t[places] ** 2), X)
    with mistake():
        places[0] = 1
    return r.backward()

@case(AREA, "write to the bytes that an array was made from", Y)
def _(e):
    memory = bytearray(Y.tobytes())
    r = e.record(lambda t: e.sum(t * e.constant(np.frombuffer(memory))), X)
    with mistake():
        memory[:] = bytes(24)
    return r.backward()

@case(AREA, "write to the file behind a memmap", Y)
def _(e):
    Path("y").write_bytes(Y.tobytes())
    file = np.memmap("y", mode="r+")
    r = e.record(lambda t: e.sum(t * e.constant(file.view(float))), X)
    with mistake(), Path("y").open("r+b") as other:
        other.write(bytes(24))
    return r.backward()

@case(AREA, "write to the gradient of a in a + b, read that of b", [1, 1, 1])
def _(e):
    one, other = e.record(lambda a, b: e.sum(a + b), X, Y).backward()
    one *= 0
    return other

@case(AREA, "set a gradient to zero in place, go backward again", CUBES)
def _(e):
    r = e.record(lambda t: squares(e, t), X)
    r.backward()
    leaf = r.leaves[0]
    leaf.grad[...] = 0.0
    cubes(e, leaf).backward()
    return leaf.grad

@case(AREA, "swap the values of two leaves before backward", [Y, X])
def _(e):
    r = e.record(lambda a, b: e.sum(a * b), X.copy(), Y.copy())
    one, other = r.leaves
    with mistake():
        one.data, other.data = other.data, one.data
    return r.backward()

@case(AREA, "after a failing backward the array can be written to", [1, 1, 1])
def _(e):
    x = X.copy()
    r = e.record(lambda t: e.sum(e.custom(lambda x: x * 1.0, lambda g, _: 1 // 0)(t)), x)
    with contextlib.suppress(ZeroDivisionError):
        r.backward()
    with mistake():
        x.fill(1)
    return x

@case(AREA, "after a result was dropped the array can be written to", [1, 1, 1])
def _(e):
    x = X.copy()
    e.record(lambda t: cubes(e, t), x)
    with mistake():
        x.fill(1)
    return x

@case(AREA, "write through a view that was made before", CUBES)
def _(e):
    x = X.copy()
    view = x[:]
    r = e.record(lambda t: cubes(e, t), x)
    with mistake():
        view.fill(1)
    return r.backward()

@case(AREA, "refill a batch buffer, one backward at the end", 11 * X)
def _(e):
    buffer = np.empty(3)

    def losses(t):
        total = 0.0
        for scale in (1.0, 10.0):
            with mistake():
                buffer[:] = scale * X
            total = total + e.sum(t * e.constant(buffer))
        return total

    return e.record(losses, X).backward()

@case(AREA, "after an error the array can be written to", [1, 1, 1])
def _(e):
    x = X.copy()
    with contextlib.suppress(Exception):
        e.record(lambda t: e.sum((t * t) @ ones(e, 2, 2)), x)
    with mistake():
        x.fill(1)
    return x

def _out(e, t):
    buffer = e.constant(np.zeros(3))
    e.multiply(t, t, out=buffer)
    return e.sum(buffer)

def _add(e, t):
    total = np.zeros(3)
    total += t
    return e.sum(e.constant(total) if type(total) is np.ndarray else total)

def _fill(e, t):
    filled = np.zeros(3)
    for i in range(3):
        filled[i] = t[i]
    return e.sum(e.constant(filled) * t)

def _set(e, t):
    y = t * 1.0
    y[0] = 5.0
    return squares(e, y)

def _grow(e, t):
    t += 1.0
    return cubes(e, t)

def _row(e, t):
    y = t * 1.0
    row = y[0]
    row += 1.0
    return squares(e, y)

given(AREA, "`out=` an array that is used later", X, _out, 2 * X)
given(AREA, "`array += t`", X, _add, [1, 1, 1], "out|gradient|operand")
given(AREA, "`array[i] = t[i]`", X, _fill, 2 * X, "gradient")
between(AREA, "`array[i] = t[i]`, `backward()`", lambda e, t: mistaken(lambda: _fill(e, t)), [X],
        lambda *_: None, 2 * X, "gradient")
given(AREA, "`y[0] = number` in the middle", X, _set, [0, 4, 6])
given(AREA, "`t += 1` of the argument", X, _grow, 3 * (X + 1) ** 2, "leaf")
given(AREA, "`row = y[0]; row += 1`, which changes NumPy's y", SQUARE, _row,
      2 * SQUARE + [[2], [0], [0]])

@case(AREA, "write to a gradient, read the seed", [1, 1, 1])
def _(e):
    seed = ones(e, 3)
    gradient = e.record(lambda t: t + 1.0, X).backward(seed)
    gradient *= 0
    return seed

@case(AREA, "keep a gradient in a list, go backward again", 2 * X)
def _(e):
    r = e.record(lambda t: squares(e, t), X)
    kept = [r.backward()]
    e.sum(r.leaves[0] * 10.0).backward()
    return kept[0]


# ---------------------------------------------------------------- protocol misuse

AREA = MISUSE = "Protocol misuse"
between(AREA, "backward twice", cubes, [X], lambda e, r, x: (r.backward(), r.backward())[1],
        one_of(CUBES, 2 * CUBES), "twice|second|before|freed")
given(AREA, "backward of a vector", X, lambda e, t: t * t, 2 * X, "scalar|one number|one entry")
for title, seed in {
    "of shape (3,) for (2, 3)": np.ones(3), "of shape (1, 2, 3) for (2, 3)": np.ones((1, 2, 3)),
    "that is complex": np.ones((2, 3)) * 1j,
}.items():
    between(AREA, f"a seed {title}", lambda e, t: t * 2.0, [np.ones((2, 3))],
            lambda e, r, x, seed=seed: r.backward(e.constant(seed)), None,
            "shape|size|broadcast|complex")
between(AREA, "a seed of float64, for float32: the dtype of the gradient", lambda e, t: t * 2.0,
        [X.astype("f")], lambda e, r, x: values(e, r.backward(ones(e, 3))).dtype == "f", bool,
        "float")
between(AREA, "backward of what depends on no leaf", lambda e, t: e.sum(ones(e, 3) * 2.0), [X],
        lambda e, r, x: r.backward(), [0, 0, 0], "require|independent|depend")
between(AREA, "a seed of integers", lambda e, t: t * 2.0, [X],
        lambda e, r, x: r.backward(e.constant(np.arange(3))), [0, 2, 4], "dtype|int|float|Long")

@case(AREA, "backward inside `no_grad`", CUBES)
def _(e):
    r = e.record(lambda t: cubes(e, t), X)
    with e.no_grad():
        return r.backward()

@case(AREA, "record inside `no_grad`, backward", None, "no_grad|require")
def _(e):
    leaf = e.record(lambda t: t * 1.0, X).leaves[0]
    with e.no_grad():
        y = cubes(e, leaf)
    with mistake():
        y.backward()
    return leaf.grad

@case(AREA, "backward of two results with a part in common",
      one_of(np.exp(X) + 2 * np.exp(2 * X), 2 * np.exp(2 * X)),
      "twice|second|before|freed|cleared")
def _(e):
    part = []
    r = e.record(lambda t: part.append(e.exp(t)) or e.sum(part[0]), X)
    leaf, other = r.leaves[0], squares(e, part[0])
    r.backward()
    with mistake():
        other.backward()
    return leaf.grad

@case(AREA, "an intermediate of one gradient, kept for the next", one_of(X, 2 * X),
      later="second time")
def _(e):
    kept = []
    f = lambda t: kept.append(t * 1.0) or e.sum(kept[0] * t)
    return [e.grad(f, X), e.grad(f, X)][1]

@case(AREA, "no gradient wanted any more, between forward and backward",
      lambda found: found.dtype == object or equal(found, CUBES))
def _(e):
    r = e.record(lambda t: cubes(e, t), X)
    with mistake():
        e.freeze(r.leaves[0])
    return r.backward()

@case(AREA, "assign a gradient of another shape", None, "shape|size|setter")
def _(e):
    leaf = e.record(lambda t: cubes(e, t), X).leaves[0]
    with mistake():
        leaf.grad = ones(e, 2)
    return leaf.grad

given(AREA, "`if t:` with three numbers", X, lambda e, t: e.sum(t if t else -t), None,
      "truth|bool|ambiguous")
given(AREA, "`for row in t`", SQUARE, lambda e, t: sum(e.sum(row * row) for row in t), 2 * SQUARE)
given(AREA, "Python's `sum(t)`", X, lambda e, t: sum(t * t), 2 * X)
given(AREA, "Tensors in an array of objects", X,
      lambda e, t: np.array([one * one for one in t], object).sum(), 2 * X,
      "gradient|numpy|object")

def _fill_all(e, t):
    filled = np.zeros(3)
    filled.fill(t[0])
    return e.sum(e.constant(filled) * t)

between(AREA, "`array.fill(t[0])`, `backward()`", lambda e, t: mistaken(lambda: _fill_all(e, t)),
        [X], lambda *_: None, [7, 1, 1], "gradient")
between(AREA, "`np.fromiter(t, float)`, `backward()`",
        lambda e, t: mistaken(lambda: e.sum(t * e.constant(np.fromiter(t, float)))), [X],
        lambda *_: None, 2 * X, "gradient")
for title, convert in {
    "np.asarray(t)": np.asarray, "np.array([t, t])": lambda t: np.array([t, t])[0],
    "np.mean([t, t], axis=0)": lambda t: np.mean([t, t], axis=0),
}.items():
    given(AREA, f"`{title}` in the middle", X,
          lambda e, t, convert=convert: e.sum(e.constant(convert(t)) * t), 2 * X,
          "gradient|numpy|tensor|autograd")
given(AREA, "`float(t)` in the middle", floats(2), lambda e, t: e.sum(t * float(t[0])), [4],
      "float")
between(AREA, "`float(t)` in the middle, `backward()`",
        lambda e, t: mistaken(lambda: e.sum(t * float(t[0]))), [floats(2)], lambda *_: None, [4],
        "number|float|scalar")
between(AREA, "`math.exp(t)` in the middle, `backward()`",
        lambda e, t: mistaken(lambda: e.sum(t * math.exp(t[0]))), [floats(2)],
        lambda *_: None, [3 * np.exp(2)], "number|float|scalar")
for title, remake in {
    "deep copy": copy.deepcopy, "copy": copy.copy, "pickle": lambda y: pickle.loads(pickle.dumps(y))
}.items():
    between(AREA, f"backward of a {title} of a result", cubes, [X],
            lambda e, r, x, remake=remake:
                r.leaves and [remake(r.value).backward() or r.gradients()],
            [CUBES], "cop|graph|lea(f|ve)|pickl")
for title, wrong in {
    "a custom gradient of shape (3, 1) for (3,)": lambda g: g.reshape(3, 1),
    "a custom gradient of shape () for (3,)": lambda g: g.sum(),
    "a complex custom gradient for real numbers": lambda g: g * 1j,
    "one custom gradient too many": lambda g: (g, g),
    "a custom gradient that is a text": lambda g: "12",
    "a custom gradient that is a list": lambda g: [1.0, 2.0, 3.0],
}.items():
    given(AREA, title, X,
          lambda e, t, wrong=wrong: e.sum(e.custom(lambda x: 1.0 * x, lambda g, _: wrong(g))(t)),
          None, "shape|size|broadcast|gradient|complex|got (str|list)")

def _double(g, _):
    g *= 2.0
    return g

given(AREA, "a custom rule that changes its upstream gradient in place", X,
      lambda e, t: e.sum(e.custom(lambda x: 1.0 * x, _double)(t) + t), [3, 3, 3])
given(AREA, "a custom function that returns its argument", X,
      lambda e, t: e.sum(e.custom(lambda x: x, lambda g, _: 5.0 * g)(t) * t), 6 * X)

@case(AREA, "a pickle of a leaf", 2 * X)
def _(e):
    leaf = e.record(lambda t: t * 1.0, X).leaves[0]
    with mistake():
        leaf = pickle.loads(pickle.dumps(leaf))
    squares(e, leaf).backward()
    return leaf.grad

@case(AREA, "an argument that is not used", lambda found: found in (None, 0.0))
def _(e):
    return e.record(lambda a, b: e.sum(a * a), X, np.ones(())).backward()[1]

@case(AREA, "a Tensor as a key of a dict", bool, "hash")
def _(e):
    one, other = e.leaf(X.copy()), e.leaf(X.copy())
    with mistake():
        return {one: 1}.get(one) == 1 and {one: 1}.get(other) is None



# ---------------------------------------------------------------- inputs

AREA = INPUTS = "Inputs"
labelled = lambda labels: lambda e, t: e.cross_entropy(t, e.constant(np.array(labels)))
summed = lambda name, **options: lambda e, t: e.sum(getattr(e, name)(t, **options))
FAR, LABEL, ENDS = np.array([[1e4, -1e4, 0.0]]), "label|target|class|index", floats(1e4, -1e4, 0)
for title, x, f, *right_and_says in (
    ("integers", np.array([1, 2, 3]), squares, 2 * X, "float|int64|dtype"),
    ("an array of objects", X.astype(object), squares, 2 * X, "object|dtype"),
    ("big-endian numbers", X.astype(">f8"), squares, 2 * X, "byte order|endian|dtype"),
    ("negative strides", X[::-1], squares, 2 * X[::-1], "stride"),
    ("a read-only array of stride 0", np.broadcast_to(X, (2, 3)), squares, [2 * X, 2 * X]),
    ("a masked array", np.ma.array(X, mask=MASK), squares, [2, 0, 0], "mask"),
    ("np.matrix", np.matrix("1. 2.; 3. 4."), squares,
     one_of([[2, 4], [6, 8]], [[7, 11], [9, 13]]), "matrix"),
    ("float16: the mean of 100,000 numbers", np.ones(100_000, "float16"),
     lambda e, t: e.mean(t) * 1024.0, lambda found: abs(found - 0.01024).max() < 1e-4),
    ("a label too large", SQUARE, labelled([0, 1, 3]), None, LABEL),
    ("a negative label", SQUARE, labelled([0, 1, -1]), None, LABEL),
    ("labels as floats", SQUARE, labelled([0.0, 1.5, 2.0]), None, LABEL + "|dtype|y_true"),
    ("labels as a column", SQUARE, labelled([[0], [1], [2]]), None, LABEL + "|shape"),
    ("too few labels", SQUARE, labelled([0, 1]), None, LABEL + "|shape"),
    ("cross-entropy at ±1e4", FAR, labelled([1]), [[1, -1, 0]]),
    ("cross-entropy beside -inf", floats(1, 1, -np.inf)[None], labelled([1]), [[0.5, -0.5, 0]]),
    ("logsumexp at ±1e4 and -inf", floats(1e4, -1e4, -np.inf), summed("logsumexp"), [1, 0, 0]),
    ("sigmoid at ±1e4", ENDS, summed("sigmoid"), [0, 0, 0.25]),
    ("softplus at ±1e4", ENDS, summed("softplus"), [1, 0, 0.5]),
    ("prod with a zero", floats(2, 0, 3), summed("prod"), [0, 6, 0]),
    ("max of equal numbers", floats(2, 2, 1), summed("max"),
     one_of([0.5, 0.5, 0], [1, 0, 0], [0, 1, 0])),
    ("maximum(t, t)", X, lambda e, t: e.sum(e.maximum(t, t)), [1, 1, 1]),
    ("norm at 0", floats(0, 0), summed("norm"), [0, 0]),
    ("std of equal numbers", floats(2, 2), summed("std"), [0, 0]),
    ("t ** array at t = 0", floats(0, 2), lambda e, t: e.sum(t ** e.constant(floats(2, 3))),
     [0, 12]),
    ("0 ** t", floats(2, 3), lambda e, t: e.sum(e.constant(floats(0, 2)) ** t),
     [0, 8 * np.log(2)]),
    ("mse_loss of (3,) and (3, 1)", X, lambda e, t: e.mse_loss(t, ones(e, 3, 1)), None, "shape"),
    ("an axis that is not there", SQUARE, summed("sum", axis=2), None, "axis|dim"),
    ("fft of another length", X, lambda e, t: e.sum(e.abs(e.fft.fft(t, n=2)) ** 2), [4, 8, 0]),
    ("sort of equal numbers", floats(2, 1, 2),
     lambda e, t: e.sum(e.sort(t) * e.constant(floats(1, 10, 100))),
     one_of([10, 1, 100], [100, 1, 10])),
    ("einsum 'ii->i'", SQUARE, lambda e, t: e.sum(e.einsum("ii->i", t) ** 2), 2 * np.eye(3)),
    ("`t[[0, 0, 2]]`", X, lambda e, t: e.sum(t[e.constant(np.array(LABELS))] ** 2), [4, 0, 6]),
    ("max of an empty array", np.ones(0), summed("max"), None, "empty|zero-size|numel"),
    ("a Python number", 2.0, lambda e, t: t * t, 4),
    ("booleans", MASK, squares, None, "float|bool|dtype|w.r.t. type"),
    ("text", np.array(["1", "2"]), squares, None, "str|dtype|U1"),
    ("dates", np.array(["2020-01-01"], "M8[D]"), squares, None, "date|dtype|M8"),
    ("an array with fields", np.array([(1.0, 2.0)], "f8,f8"), squares, None, "dtype|struct|void"),
    ("long doubles", X.astype(np.longdouble), squares, 2 * X, "longdouble|dtype|float128"),
    ("an array in Fortran's order", np.asfortranarray(SQUARE), squares, 2 * SQUARE),
    ("numbers that are not aligned", np.frombuffer(b"." + X.tobytes(), offset=1), squares, 2 * X),
    ("windows that share memory", np.lib.stride_tricks.sliding_window_view(X, 2), squares,
     [[2, 4], [4, 6]]),
    ("labels as text", SQUARE, labelled(["0", "1", "2"]), None, LABEL + "|str|dtype|y_true"),
    ("labels as booleans", SQUARE, labelled([True, False, True]), None, LABEL + "|bool|dtype"),
    ("an axis twice", SQUARE, summed("sum", axis=(0, 0)), None, "twice|duplicate|multiple|repeat"),
    ("reshape to another size", SQUARE, lambda e, t: e.sum(e.reshape(t, (2, 2))), None,
     "shape|size"),
    ("an index out of range", X, lambda e, t: t[5], None, "range|bounds"),
    ("an index that is a float", X, lambda e, t: t[1.0], None, "integer|index|indices"),
    ("a mask of another length", X, lambda e, t: e.sum(t[e.constant(MASK[:2])]), None,
     "mask|shape|size|dimension|index"),
    ("arrays that cannot be joined", X,
     lambda e, t: e.sum(e.concatenate([t, ones(e, 2, 2)])), None, "dimension|shape|axis|axes"),
    ("einsum with a letter that is nowhere", SQUARE, lambda e, t: e.sum(e.einsum("ij->k", t)),
     None, "k|subscript|output"),
    ("a negative number ** array", floats(-2, -1),
     lambda e, t: e.sum(t ** e.constant(floats(3, 2))), [12, -2]),
    ("cumprod with a zero", floats(2, 0, 3), lambda e, t: e.sum(e.cumprod(t, 0)), [1, 8, 0]),
    ("tanh at ±1e4", ENDS, summed("tanh"), [0, 0, 1]),
    ("sinc at 0", floats(0, 1), summed("sinc"), [0, -1]),
    ("hypot at 0", floats(0), lambda e, t: e.sum(e.hypot(t, 2.0 * t)), lambda found:
     np.isfinite(found).all()),
    ("inv of a singular matrix", np.ones((2, 2)), lambda e, t: e.sum(e.inv(t)), None, "singular"),
    ("det of a singular matrix", np.array([[1.0, 2], [2, 4]]), lambda e, t: e.det(t),
     [[4, -2], [-2, 1]], "singular"),
    ("eigenvalues that are equal", np.eye(2), lambda e, t: e.sum(e.eigh(t)[0]), np.eye(2)),
    ("eigenvectors of equal eigenvalues", np.eye(2), lambda e, t: e.sum(e.eigh(t)[1][0]), None,
     "equal|repeated|degenerate|eigenvalue"),
    ("one entry on the diagonal of such eigenvectors", np.eye(2),
     lambda e, t: e.eigh(t)[1][0, 0], None, "equal|repeated|degenerate|eigenvalue"),
):
    given(AREA, title, x, f, *right_and_says)

case(AREA, "a ragged list", None, "list|sequence|shape")(
    lambda e: mistaken(lambda: e.leaf([[1.0, 2.0], [3.0]])))


# ---------------------------------------------------------------- finding what went wrong

AREA = FINDING = "Finding what went wrong"
for title, x, f, says in (
    ("forward: log(-1)", floats(-1, 1), summed("log"), "log"),
    ("forward: inf / inf in a softmax by hand", ENDS,
     lambda e, t: (e.exp(t) / e.sum(e.exp(t)))[0], "exp|div"),
    ("backward only, behind `where`: log(0)", floats(0, 1),
     lambda e, t: e.sum(e.where(t > 0, e.log(t), 0.0 * t)), "log|where"),
    ("backward only: sqrt(0)", floats(0, 1), summed("sqrt"), "sqrt"),
    ("forward: exp(1000)", floats(1000), summed("exp"), "exp"),
    ("forward: 0 / 0", floats(0, 1), lambda e, t: e.sum(t / t), "div"),
    ("backward only, behind `where`: 1 / 0", floats(0, 1),
     lambda e, t: e.sum(e.where(t > 0, 1.0 / t, 0.0 * t)), "div|where|reciprocal"),
):
    @case(AREA, f"a NaN or infinity, {title}", None, says)
    def _(e, x=x, f=f):
        with e.watch(), mistake():
            return e.grad(lambda t: f(e, t), x)

given(AREA, "a matrix product that does not fit", SQUARE, lambda e, t: e.sum(t @ ones(e, 4, 2)),
      None, r"3.*4|4.*3")

given(AREA, "a sum that does not fit", X, lambda e, t: e.sum(t + ones(e, 4)), None, r"3.*4|4.*3")

@case(AREA, "a wrong custom gradient, with what the library has to check it", None,
      "gradient|jacobian|derivative")
def _(e):
    operation = e.custom(lambda x: x * x, lambda g, x: g * x)
    with mistake():
        return e.check(lambda t: e.sum(operation(t)), X)

@case(AREA, "an exception in a custom function stays what it is", bool)
def _(e):
    operation = e.custom(lambda x: 1 // 0, lambda g, x: g)
    try:
        e.grad(lambda t: e.sum(operation(t)), X)
    except ZeroDivisionError:
        return True

@case(AREA, "an exception in a custom gradient stays what it is", bool)
def _(e):
    operation = e.custom(lambda x: x * 1.0, lambda g, x: 1 // 0)
    try:
        return e.record(lambda t: e.sum(operation(t)), X).backward()
    except Exception as error:
        return type(error) is ZeroDivisionError

case(AREA, "a second derivative through kinks: relu(t)²", np.diag([2.0, 0.0]))(
    lambda e: e.second(lambda t: e.sum(e.maximum(t, 0.0 * t) ** 2), floats(2, -1)))

@case(AREA, "a second derivative, of a custom gradient that kept an array", [[48]])
def _(e):
    backward = lambda g, kept: g * e.constant(3.0 * kept**2)
    with mistake():
        cube = e.custom(lambda x: x * x * x, backward, keep=e.raw)
        return e.second(lambda t: e.sum(cube(t) * t), floats(2))


# ---------------------------------------------------------------- state

AREA = STATE = "State"

def quiet(e: Engine) -> Iterator[None]:
    """Be in the middle of a no_grad."""
    with e.no_grad():
        yield

@case(AREA, "an exception inside `no_grad`", CUBES)
def _(e):
    with contextlib.suppress(ZeroDivisionError), e.no_grad():
        raise ZeroDivisionError
    return trained(e)

@case(AREA, "a generator in the middle of a `no_grad`", CUBES, later="generator")
def _(e):
    generator = quiet(e)
    next(generator)
    return trained(e)

@case(AREA, "two such generators, the first is closed first; afterwards", CUBES)
def _(e):
    one, other = quiet(e), quiet(e)
    next(one), next(other), one.close(), other.close()
    return trained(e)

@case(AREA, "one `no_grad` entered twice; afterwards", CUBES)
def _(e):
    twice = e.no_grad()
    with twice, twice:
        pass
    return trained(e)

@case(AREA, "an exception while looking for NaNs; afterwards", [-1, 1])
def _(e):
    with contextlib.suppress(ZeroDivisionError), e.watch():
        raise ZeroDivisionError
    return e.grad(lambda t: e.sum(e.log(t)), floats(-1, 1))

@case(AREA, "an exception during backward, then another backward", [2, 2, 2])
def _(e):
    operation = e.custom(lambda x: x * 1.0, lambda g, x: 1 // 0)
    r = e.record(lambda a, b: e.sum(operation(b) + a * 2.0), X, Y)
    with contextlib.suppress(ZeroDivisionError):
        r.backward()
    leaf = r.leaves[0]
    e.sum(leaf * 2.0).backward()
    return leaf.grad

@case(AREA, "Ctrl-C in a custom function; afterwards", CUBES)
def _(e):
    def interrupt(x):
        raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        e.record(e.custom(interrupt, lambda g, x: g), X)
    return trained(e)

@case(AREA, "Ctrl-C during backward: all gradients are there, or none", bool)
def _(e):
    def interrupt(g, x):
        raise KeyboardInterrupt

    operation = e.custom(lambda x: x * 1.0, interrupt)
    r = e.record(lambda a, b: e.sum(operation(b) + a * 2.0), X, Y)
    with contextlib.suppress(KeyboardInterrupt):
        r.backward()
    return all(leaf.grad is None for leaf in r.leaves)

def flat(step: Callable) -> bool:
    """Say whether 500 steps need no more memory than 10, without the cyclic collector."""
    gc.disable()
    peaks = []
    for steps in (10, 500):
        for _ in range(steps):
            step()
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return peaks[1] - peaks[0] < 50_000  # KiB; a step has 1,200

def deep(e: Engine, t: Any, length: int = DEEP) -> Any:
    """Do many operations in a row."""
    for _ in range(length):
        t = t + 1.0
    return e.sum(t)

large = lambda e: e.record(lambda t: e.sum(e.exp(e.exp(t))), np.zeros(50_000))
case(AREA, "500 steps have the memory of 10", bool)(lambda e: flat(lambda: large(e).backward()))
case(AREA, "500 steps without backward have the memory of 10", bool)(
    lambda e: flat(lambda: large(e)))

@case(AREA, "500 steps whose losses are kept in a list have the memory of 10", bool)
def _(e):
    leaf, kept = e.record(lambda t: t * 1.0, np.ones(5)).leaves[0], []

    def step():
        loss = e.sum(e.constant(np.ones((10_000, 5))) @ leaf)
        loss.backward()
        kept.append(loss)

    return flat(step)

given(AREA, f"{DEEP:,} operations in a row", X, deep, [1, 1, 1])
between(AREA, f"{DEEP:,} operations, dropped without backward", deep, [X],
        lambda e, r, x: r.__dict__.clear() or True, bool)


# ---------------------------------------------------------------- threads

AREA = THREADS = "Threads and tasks"

@case(AREA, "`no_grad` in another thread", CUBES)
def _(e):
    generator = quiet(e)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(next, generator).result()
        return trained(e)

@case(AREA, "`no_grad` in two threads, the first leaves first; afterwards", CUBES)
def _(e):
    one, other = quiet(e), quiet(e)
    with ThreadPoolExecutor(1) as here, ThreadPoolExecutor(1) as there:
        here.submit(next, one).result(), there.submit(next, other).result()
        here.submit(one.close).result(), there.submit(other.close).result()
    return trained(e)

@case(AREA, "`no_grad` across an `await`, in another task", CUBES)
def _(e):
    async def other():
        with e.no_grad():
            for _ in range(3):
                await asyncio.sleep(0)

    async def trains():
        await asyncio.sleep(0)
        return trained(e)

    async def both():
        return (await asyncio.gather(other(), trains()))[1]

    return asyncio.run(both())

@case(AREA, "`no_grad` in two tasks, the first ends first; afterwards", CUBES)
def _(e):
    async def inside(turns):
        with e.no_grad():
            for _ in range(turns):
                await asyncio.sleep(0)

    async def both():
        await asyncio.gather(inside(1), inside(3))
        return trained(e)

    return asyncio.run(both())

@case(AREA, "a task cancelled inside `no_grad`; afterwards", CUBES)
def _(e):
    async def inside():
        with e.no_grad():
            await asyncio.sleep(9)

    async def cancels():
        task = asyncio.create_task(inside())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return trained(e)

    return asyncio.run(cancels())

@case(AREA, "record in one thread, backward in another", CUBES)
def _(e):
    r = e.record(lambda t: cubes(e, t), X)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(r.backward).result()

@case(AREA, "backward in a forked process, of what its parent recorded", CUBES)
def _(e):
    r = e.record(lambda t: cubes(e, t), X)
    trained(e)
    ours, theirs = FORK.Pipe()
    FORK.Process(target=lambda: theirs.send(values(e, r.backward()))).start()
    theirs.close()
    return ours.recv()

for title, one_array in {"share one array": True, "have a model each": False}.items():

    @case(AREA, f"eight threads {title}", bool)
    def _(e, one_array=one_array):
        sys.setswitchinterval(1e-5)
        shared = X / 9

        def work(k):
            x = shared if one_array else shared + k
            right = np.exp(k * x) * (1 + k * x)
            f = lambda t: e.sum(e.exp(t * float(k)) * t)
            return all(equal(values(e, e.record(f, x).backward()), right) for _ in range(200))

        with ThreadPoolExecutor(8) as pool:
            return all(pool.map(work, range(8)))

@case(AREA, "eight threads go backward into one leaf, whose gradient adds up", floats(1, 1, 1))
def _(e):
    r = e.record(lambda t: e.sum(t * 1.0), X)
    leaf = r.leaves[0]

    def work(times):
        for _ in range(times):
            e.sum(leaf * 1.0).backward()
        return values(e, leaf.grad)[0]

    if work(2) != 2:
        raise Missing
    sys.setswitchinterval(1e-6)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, [1_000] * 8))
    return values(e, leaf.grad) / 8_002


# ---------------------------------------------------------------- files

AREA = FILES = "Files"
BIG = np.arange(300_000.0)
DAMAGED = ("damag|corrupt|trunc|incomplete|CRC|checksum|SHA|not a zip|format|header|weights|pickle"
           "|empty|No such|no data|EOF")

class Evil:
    """What an attacker would put into a file."""

    def __reduce__(self):
        return os.mkdir, ("taken over",)

def flip(e: Engine) -> None:
    """Change one bit of the numbers in the file."""
    content = bytearray(FILE.read_bytes())
    content[content.index(BIG[100:102].tobytes()) + 6] ^= 16
    FILE.write_bytes(content)

for title, damage in {
    "is cut off": lambda e: os.truncate(FILE, FILE.stat().st_size - 100_000),
    "has one bit flipped": flip,
    "hides code": lambda e: e.poison(Evil()),
    "is empty": lambda e: FILE.write_bytes(b""),
    "has other first bytes": lambda e: FILE.write_bytes(b"\xff" * 8 + FILE.read_bytes()[8:]),
    "is not there": lambda e: FILE.unlink(),
    "is a page of HTML": lambda e: FILE.write_text("<!DOCTYPE html><p>Not found" * 100),
}.items():

    @case(AREA, f"load a file that {title}", says=DAMAGED)
    def _(e, damage=damage):
        e.store(BIG)
        damage(e)
        with mistake():
            return e.restore()

@case(AREA, "more after the end of a file", BIG, DAMAGED)
def _(e):
    e.store(BIG)
    with FILE.open("ab") as file:
        file.write(b"more" * 1_000)
    with mistake():
        return e.restore()

for title, array in {
    "big-endian numbers": BIG.astype(">f8"), "every second number of an array": BIG[::2],
}.items():
    @case(AREA, f"save and load {title}", array.astype(float), "byte|endian|dtype")
    def _(e, array=array):
        with mistake():
            e.store(array)
        return e.restore()

@case(AREA, "load a model from a file that lacks an array", None, "bias|b2")
def _(e):
    _, load, now = e.model(lambda arrays, last: arrays.pop(last))
    with mistake():
        load()
    return now()[0]

@case(AREA, "load a model whose last array does not fit: the model is as it was", bool)
def _(e):
    before, load, now = e.model(lambda arrays, last: arrays.update({last: ones(e, 7)}))
    with contextlib.suppress(Exception):
        load()
    return all(map(np.array_equal, before, now()))

@case(AREA, "killed in the middle of saving: the file holds the old or the new", bool)
def _(e):
    e.store(BIG)
    child = os.fork()
    if not child:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # at the limit, the kernel ends the process
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
        try:
            e.store(-BIG)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    return equal(abs(values(e, e.restore())), BIG)

@case(AREA, "the disk is full while saving: the file holds the old", bool)
def _(e):
    e.store(BIG)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))
    with contextlib.suppress(OSError, RuntimeError):
        e.store(-BIG)
    return equal(values(e, e.restore()), BIG)


# ---------------------------------------------------------------- pictures

AREA = PICTURES = "Pictures of hostile input"

def shown(e: Engine, name: str) -> bool:
    """Say whether a picture of a leaf of this name is an SVG that shows it as text."""
    with mistake():
        drawn = e.draw(name)
    try:
        svg = ElementTree.fromstring(drawn)
    except ElementTree.ParseError:
        return False
    kinds = {one.tag.rpartition("}")[2] for one in svg.iter()}
    text = ["".join(one.itertext()) for one in svg.iter() if one.tag.endswith("text")]
    escaped = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
    return not kinds & {"script", "a", "foreignObject"} and any(
        escaped.split() == one.split()[: len(escaped.split())] for one in text
    )

for title, name in {
    "quotes and backslashes": 'a "b" \\ c',
    "escapes of Graphviz": r"\N \G \E \l",
    "the syntax of records": "{a|<b> c}",
    "the syntax of DOT": '"]; evil [label="taken over',
    "a tag of HTML": "<b>bold</b>",
    "a script": "</text><script>alert(1)</script>",
    "an entity": "&lt;b&gt; &#0; &amp;",
    "line breaks and control characters": "a\x00b\nc\x07\x1b[31m",
}.items():
    case(AREA, f"a name with {title}", bool)(lambda e, name=name: shown(e, name))

@case(AREA, "a name of 10,000 letters: a picture no wider than a screen", bool)
def _(e):
    svg = ElementTree.fromstring(e.draw("abcde" * 2_000))
    return float(svg.attrib["viewBox"].split()[2]) < 4_000

@case(AREA, "a picture of 10,000 operations", bool, "large|many|fold|10.000")
def _(e):
    with mistake():
        return len(e.draw(length=10_000)) > 1_000

@case(AREA, "a layout program that never ends", None, "time|second|took")
def _(e):
    Path("dot").write_text("#!/bin/sh\nexec sleep 1000\n")
    Path("dot").chmod(0o700)
    os.environ["PATH"] = f"{os.getcwd()}:{os.environ['PATH']}"
    with mistake():
        return len(e.draw(timeout=3))
# fmt: on


# ---------------------------------------------------------------- verdicts

AREAS = (MUTATION, MISUSE, INPUTS, FINDING, STATE, THREADS, FILES, PICTURES)
# What is counted together: silently wrong; hard to act on; crashed or hung.
GROUPS = (
    ("silently wrong",), ("late error", "unclear error", "only a warning"), ("crash", "hangs"),
)  # fmt: skip


def told(error: BaseException) -> str:
    """Return what an exception, its notes and its cause say."""
    text = "\n".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", ())])
    return text + (f"\nfrom {told(error.__cause__)}" if error.__cause__ else "")


def judge(one: Case, e: Engine) -> tuple[str, str]:
    """Make a mistake, and say what came of it."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            found = values(e, one.run(e))
        except Missing:
            return "–", ""
        except BaseException as error:
            message = told(error)
            clear = re.search(one.says, message, re.IGNORECASE | re.DOTALL)
            if error not in at_once:
                clear = re.search(one.later, message, re.IGNORECASE)
                return "error, later" if clear else "late error", message
            return "error" if clear else "unclear error", message
    right = one.right
    said = [one for one in said if not issubclass(one.category, DeprecationWarning)]
    detail = " ".join([str(found), *(str(warning.message) for warning in said)])
    if right is not None and (right(found) if callable(right) else equal(found, right)):
        return "right", detail
    return ("only a warning" if said else "silently wrong"), detail


def apart(one: Case, e: Engine) -> tuple[str, str]:
    """Judge in a process of its own."""
    ours, theirs = FORK.Pipe()
    process = FORK.Process(target=lambda: theirs.send(judge(one, e)))
    process.start()
    theirs.close()
    try:
        return ours.recv() if ours.poll(LIMIT) else ("hangs", f"not done in {LIMIT} s")
    except EOFError:
        return "crash", "the process died"
    finally:
        process.kill()
        process.join()


def column(name: str, chosen: list[Case]) -> dict[str, tuple[str, str]] | None:
    """Ask one library everything, in a process that nothing else was loaded into."""
    try:
        version(ENGINES[name].distribution)
    except PackageNotFoundError:
        return None
    with tempfile.TemporaryDirectory() as home:
        command = [sys.executable, "-W", "ignore", __file__, "--engine", name]
        done = subprocess.run(
            command, input=json.dumps([one.title for one in chosen]), text=True, cwd=home,
            capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
    if done.returncode:
        sys.exit(f"{name}: {done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def counts(verdicts: list[str]) -> str:
    """Count the verdicts of each group, and all but those that do not apply."""
    found = Counter(verdicts)
    applies = found.total() - found["–"]
    groups = " · ".join(str(sum(found[one] for one in group)) for group in GROUPS)
    return f"{groups} of {applies}" if applies else "–"


def main() -> None:
    """Print the counts and the table, or make the mistakes with one library."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", metavar="AREA", default="", help=" | ".join(AREAS))
    parser.add_argument("--case", metavar="WORDS", default="", help="words of a row's title")
    parser.add_argument("--engine", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.engine:
        titles, e = json.load(sys.stdin), ENGINES[options.engine]()
        answers = {one.title: apart(one, e) for one in CASES if one.title in titles}
        print("\n" + json.dumps(answers))
        return
    chosen = [one for one in CASES if options.only in one.area and options.case in one.title]
    if not chosen:
        parser.error("no such case")
    columns = {name: column(name, chosen) for name in ENGINES}
    heads = [
        f"{name} {version(ENGINES[name].distribution)}" if rows else f"{name} (not installed)"
        for name, rows in columns.items()
    ]
    print(f"{date.today()}\n\n| | {' | '.join(heads)} |\n|---|{'---|' * len(heads)}")
    for area in ("", *dict.fromkeys(one.area for one in chosen)):
        titles = [one.title for one in chosen if area in one.area]
        cells = [
            counts([rows[one][0] for one in titles]) if rows else "" for rows in columns.values()
        ]
        print(f"| {area or 'All'} | {' | '.join(cells)} |")
    print(f"\n| | {' | '.join(heads)} |\n|---|{'---|' * len(heads)}")
    for area in dict.fromkeys(one.area for one in chosen):
        print(f"| **{area}** |{' |' * len(heads)}")
        for one in chosen:
            if one.area == area:
                cells = [rows[one.title][0] if rows else "" for rows in columns.values()]
                print(f"| {one.title} | {' | '.join(cells)} |")
    if options.case:
        for name, rows in columns.items():
            for title, (verdict, detail) in (rows or {}).items():
                print(f"\n{name}, {title}: {verdict}\n    {detail[:600]}")


if __name__ == "__main__":
    main()
