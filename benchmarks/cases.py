"""What is timed inside one process. A case is one entry; a peer in it is one function.

Each function imports its engine itself, is not timed, and returns ``run`` and ``answer``.
"""

from functools import partial

import numpy as np

import tinygraph as tg
from tinygraph.models import TwoLayerNet, by_hand
from tinygraph.models.data import load_mnist

from .measure import AUTOGRAD, GRADIENT, NUMPY, TINYGRAPH, TORCH, WATCHED, Case


def watched(way, *setting):
    """Return the way of tinygraph, inside detect_anomaly."""
    run, answer = way(*setting)
    return tg.detect_anomaly()(run), answer


# ---------------------------------------------------------------- a chain of tanh(y·a + b)

LINKS = 100
OPS = 3 * LINKS  # multiply, add, tanh; each of them forward and backward is one recorded op


def chain_arrays(shape):
    """Return x, a, b and the gradient of the result; entries differ, none of them vanishes."""
    rng = np.random.default_rng(0)
    x, a, b = 0.5, 1 + 0.1 * rng.random(shape), 0.1 * rng.random(shape)
    return np.full(shape, x), np.array(a), np.array(b), np.array(1 + rng.random(shape))


def chain_numpy(shape):
    x, a, b, seed = (array[()] for array in chain_arrays(shape))
    outcome = []

    def run():
        ys = [x]
        for _ in range(LINKS):
            ys.append(np.tanh(ys[-1] * a + b))
        value, g = ys.pop(), seed
        g_a, g_b, y = 0.0 * a, 0.0 * b, value
        while ys:
            g = g * (1 - y * y)
            y = ys.pop()
            g_a += g * y
            g_b += g
            g = g * a
        outcome[:] = value, g, g_a, g_b

    return run, lambda: [np.asarray(one) for one in outcome]


def chain_tinygraph(shape):
    *arrays, seed = chain_arrays(shape)
    x, a, b = leaves = [tg.tensor(array, requires_grad=True) for array in arrays]
    tanh, outcome = tg.tanh, []

    def run():
        y = x
        for _ in range(LINKS):
            y = tanh(y * a + b)
        y.backward(seed)
        outcome[:] = y, *(leaf.grad for leaf in leaves)
        for leaf in leaves:
            leaf.grad = None

    return run, lambda: [one.numpy() for one in outcome]


def chain_torch(shape):
    import torch

    torch.set_num_threads(1)
    *arrays, seed = map(torch.from_numpy, chain_arrays(shape))
    x, a, b = leaves = [array.requires_grad_() for array in arrays]
    tanh, outcome = torch.tanh, []

    def run():
        y = x
        for _ in range(LINKS):
            y = tanh(y * a + b)
        y.backward(seed)
        outcome[:] = y, *(leaf.grad for leaf in leaves)
        for leaf in leaves:
            leaf.grad = None

    return run, lambda: [one.detach().numpy() for one in outcome]


def chain_autograd(shape):
    from autograd import make_vjp
    from autograd import numpy as anp

    *arrays, seed = chain_arrays(shape)
    outcome = []

    def chain(x, a, b):
        y = x
        for _ in range(LINKS):
            y = anp.tanh(y * a + b)
        return y

    pullback_of = make_vjp(chain, (0, 1, 2))

    def run():
        pullback, y = pullback_of(*arrays)
        outcome[:] = y, *pullback(seed)

    return run, lambda: [np.asarray(one) for one in outcome]


def chain(shape):
    ways = {
        NUMPY: chain_numpy, TINYGRAPH: chain_tinygraph, TORCH: chain_torch,
        AUTOGRAD: chain_autograd, WATCHED: partial(watched, chain_tinygraph),
    }  # fmt: skip
    return Case(
        f"tanh(y·a + b), {LINKS} times, float64, shape {shape}", "µs per op", 1e6 / OPS,
        {name: partial(way, shape) for name, way in ways.items()},
    )  # fmt: skip


# ---------------------------------------------------------------- a step of training

RATE = 0.1


def batch(size):
    """Return real digits and their labels as one-hot rows, in float32."""
    (x, t), _ = load_mnist(one_hot_label=True)
    return x[:size], t[:size]


def first_weights():
    return by_hand.TwoLayerNet(784, 50, 10, rng=0, dtype="float32").params


def changes(params):
    """Return how far training has moved the parameters: their own size would hide mistakes."""
    return [np.asarray(params[key]) - first for key, first in first_weights().items()]


def step_with_gradient(Network, size):
    """Train as the book does: a dict of gradients, subtracted from the parameters."""
    network = Network(784, 50, 10, rng=0, dtype="float32")
    x, t = batch(size)

    def run():
        gradient = network.gradient(x, t)
        for key in network.params:
            network.params[key] -= RATE * gradient[key]

    def answer():
        return changes({key: np.array(tg.asarray(W).numpy()) for key, W in network.params.items()})

    return run, answer


def step_tinygraph(size):
    network = TwoLayerNet(784, 50, 10, rng=0, dtype="float32")
    x, t = batch(size)

    def run():
        network.loss(x, t).backward()
        for W in network.params.values():
            W -= RATE * W.grad
            W.grad = None

    return run, lambda: changes({key: W.numpy() for key, W in network.params.items()})


def step_torch(size):
    import torch
    from torch.nn import functional

    torch.set_num_threads(1)
    params = {key: torch.tensor(W, requires_grad=True) for key, W in first_weights().items()}
    W1, b1, W2, b2 = params.values()
    x, t = map(torch.from_numpy, batch(size))
    t = t.argmax(1)  # its users' labels are class indices, and faster

    def run():
        hidden = torch.relu(torch.addmm(b1, x, W1))
        functional.cross_entropy(torch.addmm(b2, hidden, W2), t).backward()
        with torch.no_grad():
            for W in params.values():
                W -= RATE * W.grad
                W.grad = None

    return run, lambda: changes({key: W.detach().numpy() for key, W in params.items()})


def step_autograd(size):
    from autograd import grad
    from autograd import numpy as anp

    params = first_weights()
    x, t = batch(size)

    def loss(params):
        hidden = anp.maximum(anp.dot(x, params["W1"]) + params["b1"], 0)
        logits = anp.dot(hidden, params["W2"]) + params["b2"]
        shifted = logits - anp.max(logits, axis=1, keepdims=True)
        total = anp.log(anp.sum(anp.exp(shifted), axis=1, keepdims=True))
        return -anp.sum(t * (shifted - total)) / size

    gradient_of = grad(loss)

    def run():
        gradient = gradient_of(params)
        for key in params:
            params[key] -= RATE * gradient[key]

    return run, lambda: changes(params)


def step(size):
    ways = {
        NUMPY: partial(step_with_gradient, by_hand.TwoLayerNet), TINYGRAPH: step_tinygraph,
        GRADIENT: partial(step_with_gradient, TwoLayerNet), TORCH: step_torch,
        AUTOGRAD: step_autograd, WATCHED: partial(watched, step_tinygraph),
    }  # fmt: skip
    return Case(
        f"a step of TwoLayerNet(784, 50, 10), batch {size}, float32, SGD included", "µs", 1e6,
        {name: partial(way, size) for name, way in ways.items()},
    )  # fmt: skip


CASES = {
    "ops": [chain(()), chain((3,)), chain((32, 32))],
    "step": [step(100)],
}
