"""What is timed inside one process. A case is one entry; a peer in it is one function.

Each function imports its engine itself, is not timed, and returns ``run`` and ``answer``.
"""

from functools import partial

import numpy as np

import tinygraph as tg
from tinygraph.models import TwoLayerNet, by_hand
from tinygraph.models.data import load_mnist

from .measure import (
    AUTOGRAD,
    BUFFERS,
    COMPILED,
    DEZERO,
    GRADIENT,
    JAX,
    MYGRAD,
    NUMPY,
    TINYGRAPH,
    TORCH,
    WATCHED,
    Case,
)  # fmt: skip
from .peers import dezero, jax, torch


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
    th = torch()
    *arrays, seed = map(th.from_numpy, chain_arrays(shape))
    x, a, b = leaves = [array.requires_grad_() for array in arrays]
    tanh, outcome = th.tanh, []

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


def chain_mygrad(shape):
    import mygrad as mg

    *arrays, seed = chain_arrays(shape)
    x, a, b = leaves = [mg.tensor(array) for array in arrays]
    tanh, outcome = mg.tanh, []

    def run():
        y = x
        for _ in range(LINKS):
            y = tanh(y * a + b)
        y.backward(seed)
        outcome[:] = y.data, *(leaf.grad for leaf in leaves)
        for leaf in leaves:
            leaf.null_grad()

    return run, lambda: outcome


def chain_dezero(shape):
    dz, F = dezero()
    *arrays, seed = chain_arrays(shape)
    x, a, b = leaves = [dz.Variable(array) for array in arrays]
    seed, tanh, outcome = dz.Variable(seed), F.tanh, []

    def run():
        y = x
        for _ in range(LINKS):
            y = tanh(y * a + b)
        y.grad = seed
        y.backward()
        outcome[:] = y.data, *(leaf.grad.data for leaf in leaves)
        for leaf in leaves:
            leaf.cleargrad()

    return run, lambda: [np.asarray(one) for one in outcome]


def chain_jax(shape):
    jx = jax()
    *arrays, seed = map(jx.numpy.asarray, chain_arrays(shape))
    outcome = []

    @jx.jit
    def chain_and_back(*leaves):
        def chain(y, a, b):
            for _ in range(LINKS):
                y = jx.numpy.tanh(y * a + b)
            return y

        y, pullback = jx.vjp(chain, *leaves)
        return y, *pullback(seed)

    def run():
        outcome[:] = jx.block_until_ready(chain_and_back(*arrays))

    return run, lambda: [np.asarray(one) for one in outcome]


def chain_compiled(shape):
    *arrays, seed = chain_arrays(shape)
    outcome = []

    @tg.compile
    def chain_and_back(*leaves):
        def chain(y, a, b):
            for _ in range(LINKS):
                y = tg.tanh(y * a + b)
            return y

        y, pullback = tg.vjp(chain, *leaves)
        return y, *pullback(seed)

    def run():
        outcome[:] = chain_and_back(*arrays)

    return run, lambda: [np.asarray(one) for one in outcome]


def chain(shape):
    ways = {
        NUMPY: chain_numpy, TINYGRAPH: chain_tinygraph, COMPILED: chain_compiled,
        WATCHED: partial(watched, chain_tinygraph), TORCH: chain_torch, AUTOGRAD: chain_autograd,
        MYGRAD: chain_mygrad, DEZERO: chain_dezero, JAX: chain_jax,
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


def step_buffers(size):
    """Train with every array made beforehand, and overwritten in each step."""
    params = first_weights()
    W1, b1, W2, b2 = params.values()
    x, t = batch(size)
    hidden, back, z = np.empty((size, 50), "f4"), np.empty((size, 50), "f4"), np.empty_like(t)
    active, logs = np.empty((size, 50), bool), np.empty_like(t)
    top, total = np.empty((size, 1), "f4"), np.empty((size, 1), "f4")
    gradient = [np.empty_like(W) for W in params.values()]
    dW1, db1, dW2, db2 = gradient

    def run():
        np.matmul(x, W1, out=hidden)
        np.add(hidden, b1, out=hidden)
        np.greater(hidden, 0, out=active)
        np.maximum(hidden, 0, out=hidden)
        np.matmul(hidden, W2, out=z)
        np.add(z, b2, out=z)
        np.subtract(z, np.max(z, axis=1, keepdims=True, out=top), out=z)
        np.exp(z, out=logs)
        np.sum(logs, axis=1, keepdims=True, out=total)
        np.divide(logs, total, out=logs)  # from here on the probabilities
        np.subtract(z, np.log(total, out=total), out=z)
        loss = -np.sum(np.multiply(z, t, out=z)) / size
        np.subtract(logs, t, out=logs)
        np.multiply(logs, np.float32(1 / size), out=logs)
        np.matmul(hidden.T, logs, out=dW2)
        np.sum(logs, axis=0, out=db2)
        np.matmul(logs, W2.T, out=back)
        np.multiply(back, active, out=back)
        np.matmul(x.T, back, out=dW1)
        np.sum(back, axis=0, out=db1)
        for W, dW in zip(params.values(), gradient, strict=True):
            np.multiply(dW, np.float32(RATE), out=dW)
            np.subtract(W, dW, out=W)
        return loss

    return run, lambda: changes(params)


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


def step_compiled(size):
    params, outcome = first_weights(), {}
    x, t = batch(size)

    def loss(params, x, t):
        hidden = tg.relu(x @ params["W1"] + params["b1"])
        return tg.softmax_cross_entropy(hidden @ params["W2"] + params["b2"], t)

    @tg.compile
    def step(params, x, t):
        gradient = tg.grad(loss)(params, x, t)
        return {key: W - RATE * gradient[key] for key, W in params.items()}

    outcome.update(params)

    def run():
        outcome.update(step(outcome, x, t))

    return run, lambda: changes(outcome)


def step_torch(size):
    th = torch()
    from torch.nn import functional

    params = {key: th.tensor(W, requires_grad=True) for key, W in first_weights().items()}
    W1, b1, W2, b2 = params.values()
    x, t = map(th.from_numpy, batch(size))
    t = t.argmax(1)  # its users' labels are class indices, and faster

    def run():
        hidden = th.relu(th.addmm(b1, x, W1))
        functional.cross_entropy(th.addmm(b2, hidden, W2), t).backward()
        with th.no_grad():
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


def step_mygrad(size):
    import mygrad as mg
    from mygrad.nnet.activations import relu
    from mygrad.nnet.losses import softmax_crossentropy

    params = {key: mg.tensor(W) for key, W in first_weights().items()}
    W1, b1, W2, b2 = params.values()
    x, t = batch(size)
    t = t.argmax(1)

    def run():
        hidden = relu(mg.matmul(x, W1) + b1)
        softmax_crossentropy(mg.matmul(hidden, W2) + b2, t).backward()
        for W in params.values():
            W.data -= RATE * W.grad

    return run, lambda: changes({key: W.data for key, W in params.items()})


def step_dezero(size):
    dz, F = dezero()
    params = {key: dz.Parameter(W) for key, W in first_weights().items()}
    W1, b1, W2, b2 = params.values()
    x, t = batch(size)
    t = t.argmax(1)

    def run():
        hidden = F.relu(F.linear(x, W1, b1))
        F.softmax_cross_entropy(F.linear(hidden, W2, b2), t).backward()
        for W in params.values():
            W.data -= RATE * W.grad.data
            W.cleargrad()

    return run, lambda: changes({key: W.data for key, W in params.items()})


def step_jax(size):
    jx = jax()
    x, t = map(jx.numpy.asarray, batch(size))
    outcome = {key: jx.numpy.asarray(W) for key, W in first_weights().items()}

    def loss(params):
        hidden = jx.nn.relu(x @ params["W1"] + params["b1"])
        logs = jx.nn.log_softmax(hidden @ params["W2"] + params["b2"])
        return -jx.numpy.sum(t * logs) / size

    @jx.jit
    def step(params):
        gradient = jx.grad(loss)(params)
        return {key: W - RATE * gradient[key] for key, W in params.items()}

    def run():
        outcome.update(jx.block_until_ready(step(outcome)))

    return run, lambda: changes(outcome)


def step(size):
    ways = {
        NUMPY: partial(step_with_gradient, by_hand.TwoLayerNet), BUFFERS: step_buffers,
        TINYGRAPH: step_tinygraph, GRADIENT: partial(step_with_gradient, TwoLayerNet),
        COMPILED: step_compiled, WATCHED: partial(watched, step_tinygraph), TORCH: step_torch,
        AUTOGRAD: step_autograd, MYGRAD: step_mygrad, DEZERO: step_dezero, JAX: step_jax,
    }  # fmt: skip
    return Case(
        f"a step of TwoLayerNet(784, 50, 10), batch {size}, float32, SGD included", "µs", 1e6,
        {name: partial(way, size) for name, way in ways.items()},
    )  # fmt: skip


CASES = {
    "ops": [chain(()), chain((3,)), chain((32, 32))],
    "step": [step(1), step(32), step(100), step(1000)],
}
