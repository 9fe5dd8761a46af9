"""A step's gradients on each engine: by tinygraph's rules against the engine's own."""

from functools import partial
from statistics import median

import numpy as np

import tinygraph as tg
from tinygraph.models import SimpleConvNet, TwoLayerNet

from .measure import RIGHT, WRONG, Table, compared, interleaved, seconds_of
from .peers import jax, torch

NETWORKS = {
    "TwoLayerNet": (TwoLayerNet(784, 50, 10, rng=0), (784,)),
    "SimpleConvNet": (SimpleConvNet(rng=0), (1, 28, 28)),
}
BATCHES = {"TwoLayerNet": (1, 100, 1000), "SimpleConvNet": (1, 100)}


# ---------------------------------------------------------------- the engines' own losses


def loss_of_jax(jax, params, x, t):
    """The loss of either network, as one would write it for JAX."""
    xp, last = jax.numpy, len(params) // 2
    if x.ndim == 4:
        x = jax.lax.conv_general_dilated(x, params["W1"], (1, 1), "VALID")
        x = xp.maximum(x + params["b1"][:, None, None], 0)
        window = (1, 1, 2, 2)
        x = jax.lax.reduce_window(x, -xp.inf, jax.lax.max, window, window, "VALID")
        x = x.reshape(len(x), -1)
    for number in range(2 if "b3" in params else 1, last + 1):
        x = x @ params[f"W{number}"] + params[f"b{number}"]
        x = xp.maximum(x, 0) if number < last else x
    return -xp.mean(jax.nn.log_softmax(x)[xp.arange(len(t)), t])


def loss_of_torch(torch, params, x, t):
    """The loss of either network, as one would write it for PyTorch."""
    nn, last = torch.nn.functional, len(params) // 2
    if x.ndim == 4:
        x = nn.max_pool2d(nn.relu(nn.conv2d(x, params["W1"], params["b1"])), 2).flatten(1)
    for number in range(2 if "b3" in params else 1, last + 1):
        x = x @ params[f"W{number}"] + params[f"b{number}"]
        x = nn.relu(x) if number < last else x
    return nn.cross_entropy(x, t)


# ---------------------------------------------------------------- who takes a step


def ways(network, x, t):
    """Return for each name a function that returns the gradients, by engine."""
    params = {name: one.numpy() for name, one in network.params.items()}
    gradients = tg.grad(lambda params, x, t: network.over(params).loss(x, t))

    j = jax()
    on_jax = {name: j.numpy.asarray(one) for name, one in params.items()}
    jx, jt = j.numpy.asarray(x), j.numpy.asarray(t)
    ready = j.block_until_ready
    ours, theirs = j.jit(gradients), j.jit(j.grad(partial(loss_of_jax, j)))

    p = torch()
    on_torch = {name: p.asarray(one) for name, one in params.items()}
    tx, tt = p.asarray(x), p.asarray(t)
    leaves = {name: one.clone().requires_grad_() for name, one in on_torch.items()}

    def autograd():
        found = p.autograd.grad(loss_of_torch(p, leaves, tx, tt), [*leaves.values()])
        return dict(zip(leaves, found, strict=True))

    compiled = tg.compile(gradients)
    return {
        "NumPy": (lambda: gradients(params, x, t), lambda: compiled(params, x, t)),
        "JAX, jax.jit": (
            lambda: ready(ours(on_jax, jx, jt)),
            lambda: ready(theirs(on_jax, jx, jt)),
        ),
        "PyTorch": (lambda: gradients(on_torch, tx, tt), autograd),
    }


def measured(name, batch, dtype, rounds):
    """Time the gradients of a network for one batch, after comparing them."""
    network, shape = NETWORKS[name]
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(batch, *shape)).astype(dtype), rng.integers(0, 10, batch)
    network = network.over({key: one.astype(dtype) for key, one in network.params.items()})
    table = Table(
        f"Gradients of {name}, batch {batch}, {dtype}",
        ("tinygraph, ms", "the engine's own, ms", "ratio", "quartiles", "answer"),
        note="NumPy has none of its own: beside it stands what `tinygraph.compile` makes of them.",
    )
    reference = None
    for engine, pair in ways(network, x, t).items():
        answers = [way() for way in pair]
        reference = reference or answers[0]
        exact = {"rtol": 0, "atol": 1e-12 if dtype == "float64" else 1e-5}
        right = all(
            np.allclose(np.asarray(answer[key]), np.asarray(one), **exact)
            for answer in answers
            for key, one in reference.items()
        )
        clocks = {
            way: partial(seconds_of, way, max(1, round(0.02 / seconds_of(way, 3)))) for way in pair
        }
        ours, theirs = interleaved(clocks, rounds).values()
        ratio, low, high = compared(ours, theirs)
        milliseconds = (1e3 * median(some) for some in (ours, theirs))
        table.rows[engine] = (*milliseconds, ratio, (low, high), RIGHT if right else WRONG)
    return table


CASES = {
    "engines": [
        partial(measured, name, batch, dtype)
        for dtype in ("float32", "float64")
        for name, batches in BATCHES.items()
        for batch in batches
    ]
}
