"""What scientists run: a Gaussian process, a recurrence, a convolutional net, curvatures."""

from functools import partial

import numpy as np

import tinygraph as tg
from tinygraph.models.data import load_mnist

from .measure import AUTOGRAD, COMPILED, JAX, NUMPY, TINYGRAPH, TORCH, Case
from .peers import jax, torch


def kept(function, *arguments):
    """Return run and answer for a function that is called with the same arguments each time."""
    outcome = []

    def run():
        outcome[:] = function(*arguments)

    return run, lambda: [np.asarray(one) for one in outcome]


def case(title, unit, scale, ways, *setting):
    return Case(title, unit, scale, {name: partial(way, *setting) for name, way in ways.items()})


# ---------------------------------------------------------------- a Gaussian process

POINTS = 500


def observations():
    """Return places, noisy values there, and logarithms of length, height and noise."""
    rng = np.random.default_rng(0)
    x = np.sort(rng.uniform(0, 10, POINTS))
    return x, np.sin(x) + 0.1 * rng.normal(size=POINTS), np.array([0.1, 0.2, -1.5])


def process_numpy():
    x, y, p = observations()
    squares = (x[:, None] - x) ** 2

    def value_and_gradient(p):
        length, height, noise = np.exp(2 * p)
        K = squares * (-0.5 / length)
        np.exp(K, out=K)
        K *= height
        covariance = K.copy()
        covariance.flat[:: POINTS + 1] += noise
        L = np.linalg.cholesky(covariance)
        inverse = np.linalg.inv(covariance)
        weights = inverse @ y
        value = 0.5 * (y @ weights) + np.sum(np.log(np.diag(L)))
        slope = inverse  # what it is multiplied with is symmetric
        slope -= np.outer(weights, weights)
        noises = noise * np.trace(slope)
        slope *= K
        return value, np.array([0.5 * np.vdot(slope, squares) / length, np.sum(slope), noises])

    return kept(value_and_gradient, p)


def process_tinygraph():
    x, y, p = observations()
    squares = (x[:, None] - x) ** 2

    def minus_log_likelihood(p):
        length, height, noise = np.exp(2 * p)
        K = height * np.exp(squares * (-0.5 / length)) + noise * np.eye(POINTS)
        L = np.linalg.cholesky(K)
        z = tg.linalg.solve_triangular(L, y, lower=True)
        return 0.5 * (z @ z) + np.sum(np.log(np.diagonal(L)))

    return kept(tg.value_and_grad(minus_log_likelihood), p)


def process_torch():
    th = torch()
    x, y, p = map(th.from_numpy, observations())
    squares = (x[:, None] - x) ** 2

    def value_and_gradient():
        leaf = p.clone().requires_grad_()
        length, height, noise = th.exp(2 * leaf)
        K = height * th.exp(squares * (-0.5 / length)) + noise * th.eye(POINTS, dtype=p.dtype)
        L = th.linalg.cholesky(K)
        z = th.linalg.solve_triangular(L, y[:, None], upper=False)[:, 0]
        value = 0.5 * (z @ z) + th.sum(th.log(th.diagonal(L)))
        value.backward()
        return value.detach(), leaf.grad

    return kept(value_and_gradient)


def process_autograd():
    from autograd import numpy as anp
    from autograd import value_and_grad
    from autograd.scipy.linalg import solve_triangular

    x, y, p = observations()
    squares = (x[:, None] - x) ** 2

    def minus_log_likelihood(p):
        length, height, noise = anp.exp(2 * p)
        K = height * anp.exp(squares * (-0.5 / length)) + noise * anp.eye(POINTS)
        L = anp.linalg.cholesky(K)
        z = solve_triangular(L, y, lower=True)
        return 0.5 * anp.dot(z, z) + anp.sum(anp.log(anp.diag(L)))

    return kept(value_and_grad(minus_log_likelihood), p)


def process_jax():
    jx = jax()
    jnp = jx.numpy
    x, y, p = map(jnp.asarray, observations())
    squares = (x[:, None] - x) ** 2

    def minus_log_likelihood(p):
        length, height, noise = jnp.exp(2 * p)
        K = height * jnp.exp(squares * (-0.5 / length)) + noise * jnp.eye(POINTS)
        L = jnp.linalg.cholesky(K)
        z = jx.scipy.linalg.solve_triangular(L, y, lower=True)
        return 0.5 * (z @ z) + jnp.sum(jnp.log(jnp.diag(L)))

    compiled = jx.jit(jx.value_and_grad(minus_log_likelihood))
    return kept(lambda: jx.block_until_ready(compiled(p)))


PROCESS = {
    NUMPY: process_numpy, TINYGRAPH: process_tinygraph, TORCH: process_torch,
    AUTOGRAD: process_autograd, JAX: process_jax,
}  # fmt: skip

# ---------------------------------------------------------------- h = tanh(W·h + x[t])

STEPS, UNITS = 1000, 10


def recurrence():
    """Return W, the rows of x, and what the last h is weighed with."""
    rng = np.random.default_rng(0)
    W = rng.normal(size=(UNITS, UNITS)) / np.sqrt(UNITS)
    return W, 0.1 * rng.normal(size=(STEPS, UNITS)), rng.normal(size=UNITS)


def recurrence_numpy():
    W, x, c = recurrence()

    def value_and_gradient(W, x):
        h, g, slopes = np.zeros((STEPS + 1, UNITS)), c, np.empty_like(x)
        for t in range(STEPS):
            np.tanh(W @ h[t] + x[t], out=h[t + 1])
        for t in reversed(range(STEPS)):
            y = h[t + 1]
            slopes[t] = g = g * (1 - y * y)
            g = g @ W
        return c @ h[-1], slopes.T @ h[:-1], slopes

    return kept(value_and_gradient, W, x)


def last(W, x, c, tanh, h):
    """Return c·h after all steps: what each of the peers differentiates."""
    for t in range(STEPS):
        h = tanh(W @ h + x[t])
    return c @ h


def flat(pair):
    value, slopes = pair
    return value, *slopes


def recurrence_tinygraph():
    W, x, c = recurrence()
    f = tg.value_and_grad(lambda W, x: last(W, x, c, tg.tanh, np.zeros(UNITS)), argnums=(0, 1))
    return kept(lambda: flat(f(W, x)))


def recurrence_compiled():
    W, x, c = recurrence()
    f = tg.value_and_grad(lambda W, x: last(W, x, c, tg.tanh, np.zeros(UNITS)), argnums=(0, 1))
    f = tg.compile(f)
    return kept(lambda: flat(f(W, x)))


def recurrence_torch():
    th = torch()
    W, x, c = map(th.from_numpy, recurrence())

    def value_and_gradient():
        leaves = [one.clone().requires_grad_() for one in (W, x)]
        value = last(*leaves, c, th.tanh, th.zeros(UNITS, dtype=W.dtype))
        value.backward()
        return value.detach(), *(leaf.grad for leaf in leaves)

    return kept(value_and_gradient)


def recurrence_autograd():
    from autograd import numpy as anp
    from autograd import value_and_grad

    W, x, c = recurrence()
    f = value_and_grad(lambda pair: last(*pair, c, anp.tanh, np.zeros(UNITS)))
    return kept(lambda: flat(f((W, x))))


def recurrence_jax():
    jx = jax()
    W, x, c = map(jx.numpy.asarray, recurrence())

    def scanned(W, x):
        def step(h, row):
            return jx.numpy.tanh(W @ h + row), None

        return c @ jx.lax.scan(step, jx.numpy.zeros(UNITS), x)[0]

    f = jx.jit(jx.value_and_grad(scanned, argnums=(0, 1)))
    return kept(lambda: flat(jx.block_until_ready(f(W, x))))


RECURRENCE = {
    NUMPY: recurrence_numpy, TINYGRAPH: recurrence_tinygraph, COMPILED: recurrence_compiled,
    TORCH: recurrence_torch, AUTOGRAD: recurrence_autograd, JAX: recurrence_jax,
}  # fmt: skip

# ---------------------------------------------------------------- a small convolutional net

RATE = 0.1


def images(size):
    (x, t), _ = load_mnist()
    return x[:size].reshape(size, 1, 28, 28), t[:size].astype(np.int64)


def filters():
    """Return 8 filters of 5 × 5, their offsets, and the weights of what 12 × 12 maxima are left."""
    rng = np.random.default_rng(0)
    shapes = {"C": (8, 1, 5, 5), "c": (8,), "W": (8 * 12 * 12, 10), "b": (10,)}
    scales = {"C": 0.2, "W": 0.03}
    return {
        name: (scales.get(name, 0) * rng.standard_normal(shape)).astype("f4")
        for name, shape in shapes.items()
    }


def moved(params):
    return [np.asarray(params[name]) - first for name, first in filters().items()]


def conv_numpy(size):
    params = filters()
    C, c, W, b = params.values()
    x, t = images(size)

    def run():
        windows = np.lib.stride_tricks.sliding_window_view(x[:, 0], (5, 5), axis=(1, 2))
        columns = windows.reshape(size * 24 * 24, 25)
        maps = columns @ C.reshape(8, 25).T
        maps += c
        active = maps > 0
        np.maximum(maps, 0, out=maps)
        # Four neighbours side by side, of which the first largest one passes.
        tiles = maps.reshape(size, 12, 2, 12, 2, 8).transpose(0, 1, 3, 5, 2, 4)
        tiles = tiles.reshape(size, 12, 12, 8, 4)
        best = tiles.argmax(axis=-1)[..., None]
        pooled = np.take_along_axis(tiles, best, axis=-1)[..., 0]
        features = pooled.transpose(0, 3, 1, 2).reshape(size, -1)
        z = features @ W
        z += b
        z -= z.max(axis=1, keepdims=True)
        np.exp(z, out=z)
        z /= z.sum(axis=1, keepdims=True)
        rows = np.arange(size)
        loss = -np.mean(np.log(z[rows, t]))

        z[rows, t] -= 1
        z /= np.float32(size)
        dW, db = features.T @ z, z.sum(axis=0)
        back = (z @ W.T).reshape(size, 8, 12, 12).transpose(0, 2, 3, 1)[..., None]
        tiles = np.zeros((size, 12, 12, 8, 4), "f4")
        np.put_along_axis(tiles, best, back, axis=-1)
        tiles = tiles.reshape(size, 12, 12, 8, 2, 2).transpose(0, 1, 4, 2, 5, 3)
        dmaps = tiles.reshape(size * 24 * 24, 8)
        dmaps *= active
        dC, dc = (dmaps.T @ columns).reshape(C.shape), dmaps.sum(axis=0)
        for one, slope in zip(params.values(), (dC, dc, dW, db), strict=True):
            slope *= np.float32(RATE)
            one -= slope
        return loss

    return run, lambda: moved(params)


def conv_tinygraph(size):
    params = {name: tg.tensor(one, requires_grad=True) for name, one in filters().items()}
    C, c, W, b = params.values()
    x, t = images(size)

    def run():
        maps = tg.nn.max_pool2d(tg.relu(tg.nn.conv2d(x, C, c)), 2)
        tg.softmax_cross_entropy(maps.reshape(size, -1) @ W + b, t).backward()
        for one in params.values():
            one -= RATE * one.grad
            one.grad = None

    return run, lambda: moved({name: one.numpy() for name, one in params.items()})


def conv_compiled(size):
    params = filters()
    x, t = images(size)

    def loss(params, x):
        maps = tg.nn.max_pool2d(tg.relu(tg.nn.conv2d(x, params["C"], params["c"])), 2)
        return tg.softmax_cross_entropy(tg.reshape(maps, (size, -1)) @ params["W"] + params["b"], t)

    @tg.compile
    def step(params, x):
        slopes = tg.grad(loss)(params, x)
        return {name: one - RATE * slopes[name] for name, one in params.items()}

    def run():
        params.update(step(params, x))

    return run, lambda: moved(params)


def conv_torch(size):
    th = torch()
    from torch.nn import functional

    params = {name: th.tensor(one, requires_grad=True) for name, one in filters().items()}
    C, c, W, b = params.values()
    x, t = map(th.from_numpy, images(size))

    def run():
        maps = functional.max_pool2d(th.relu(functional.conv2d(x, C, c)), 2)
        functional.cross_entropy(th.addmm(b, maps.reshape(size, -1), W), t).backward()
        with th.no_grad():
            for one in params.values():
                one -= RATE * one.grad
                one.grad = None

    return run, lambda: moved({name: one.detach().numpy() for name, one in params.items()})


def conv_autograd(size):
    from autograd import grad
    from autograd import numpy as anp
    from autograd.scipy.signal import convolve

    params = filters()
    x, t = images(size)
    rows = np.arange(size)

    def loss(params):
        # SciPy's convolution turns its filters round.
        maps = convolve(x, params["C"][:, :, ::-1, ::-1], axes=([2, 3], [2, 3]),
                        dot_axes=([1], [1]), mode="valid")  # fmt: skip
        maps = maps + params["c"][:, None, None]
        maps = maps * (maps > 0)  # of its maximum(maps, 0) the slope at 0 is a half
        maps = anp.max(anp.reshape(maps, (size, 8, 12, 2, 12, 2)), axis=(3, 5))
        z = anp.dot(anp.reshape(maps, (size, -1)), params["W"]) + params["b"]
        z = z - anp.max(z, axis=1, keepdims=True)
        return -anp.mean(z[rows, t] - anp.log(anp.sum(anp.exp(z), axis=1)))

    slopes_of = grad(loss)

    def run():
        slopes = slopes_of(params)
        for name in params:
            params[name] -= (RATE * slopes[name]).astype("f4")

    return run, lambda: moved(params)


def conv_jax(size):
    jx = jax()
    x, t = map(jx.numpy.asarray, images(size))
    outcome = {name: jx.numpy.asarray(one) for name, one in filters().items()}

    def loss(params):
        maps = jx.lax.conv(x, params["C"], (1, 1), "VALID") + params["c"][:, None, None]
        maps = jx.lax.reduce_window(
            jx.nn.relu(maps), -np.inf, jx.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID"
        )
        logs = jx.nn.log_softmax(maps.reshape(size, -1) @ params["W"] + params["b"])
        return -jx.numpy.mean(logs[jx.numpy.arange(size), t])

    @jx.jit
    def step(params):
        slopes = jx.grad(loss)(params)
        return {name: one - RATE * slopes[name] for name, one in params.items()}

    def run():
        outcome.update(jx.block_until_ready(step(outcome)))

    return run, lambda: moved(outcome)


CONV = {
    NUMPY: conv_numpy, TINYGRAPH: conv_tinygraph, COMPILED: conv_compiled, TORCH: conv_torch,
    AUTOGRAD: conv_autograd, JAX: conv_jax,
}  # fmt: skip

# ---------------------------------------------------------------- second derivatives

LARGE, SMALL = 1000, 50


def rosenbrock(x):
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def place(n):
    rng = np.random.default_rng(0)
    return rng.normal(size=n), rng.normal(size=n)


def bands(x):
    """Return the Hessian's diagonal and what is beside it."""
    diagonal = np.zeros_like(x)
    diagonal[:-1] = 1200 * x[:-1] ** 2 - 400 * x[1:] + 2
    diagonal[1:] += 200
    return diagonal, -400 * x[:-1]


def product_numpy():
    def product(x, v):
        diagonal, beside = bands(x)
        out = diagonal * v
        out[1:] += beside * v[:-1]
        out[:-1] += beside * v[1:]
        return [out]

    return kept(product, *place(LARGE))


def product_tinygraph():
    return kept(lambda x, v: [tg.hvp(rosenbrock, (x,), (v,))], *place(LARGE))


def product_compiled():
    f = tg.compile(lambda x, v: tg.hvp(rosenbrock, (x,), (v,)))
    return kept(lambda x, v: [f(x, v)], *place(LARGE))


def product_torch():
    th = torch()
    x, v = map(th.from_numpy, place(LARGE))

    def product():
        leaf = x.clone().requires_grad_()
        (slope,) = th.autograd.grad(rosenbrock(leaf), leaf, create_graph=True)
        return th.autograd.grad(slope, leaf, v)

    return kept(product)


def product_autograd():
    from autograd import hessian_vector_product

    f = hessian_vector_product(lambda x: rosenbrock_of(x))
    return kept(lambda x, v: [f(x, v)], *place(LARGE))


def rosenbrock_of(x):
    """The same for autograd, whose arrays have no method sum."""
    from autograd import numpy as anp

    return anp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def product_jax():
    jx = jax()
    x, v = map(jx.numpy.asarray, place(LARGE))
    f = jx.jit(lambda x, v: jx.jvp(jx.grad(rosenbrock), (x,), (v,))[1])
    return kept(lambda: [jx.block_until_ready(f(x, v))])


PRODUCT = {
    NUMPY: product_numpy, TINYGRAPH: product_tinygraph, COMPILED: product_compiled,
    TORCH: product_torch, AUTOGRAD: product_autograd, JAX: product_jax,
}  # fmt: skip


def hessian_numpy():
    def hessian(x):
        diagonal, beside = bands(x)
        return [np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)]

    return kept(hessian, place(SMALL)[0])


def hessian_tinygraph():
    f = tg.hessian(rosenbrock)
    return kept(lambda x: [f(x)], place(SMALL)[0])


def hessian_compiled():
    f = tg.compile(tg.hessian(rosenbrock))
    return kept(lambda x: [f(x)], place(SMALL)[0])


def hessian_torch():
    th = torch()
    x = th.from_numpy(place(SMALL)[0])
    f = th.func.hessian(rosenbrock)
    return kept(lambda: [f(x)])


def hessian_autograd():
    from autograd import hessian

    f = hessian(rosenbrock_of)
    return kept(lambda x: [f(x)], place(SMALL)[0])


def hessian_jax():
    jx = jax()
    x = jx.numpy.asarray(place(SMALL)[0])
    f = jx.jit(jx.hessian(rosenbrock))
    return kept(lambda: [jx.block_until_ready(f(x))])


HESSIAN = {
    NUMPY: hessian_numpy, TINYGRAPH: hessian_tinygraph, COMPILED: hessian_compiled,
    TORCH: hessian_torch, AUTOGRAD: hessian_autograd, JAX: hessian_jax,
}  # fmt: skip

CASES = {
    "science": [
        case(f"a Gaussian process, n = {POINTS}, value and gradient", "ms", 1e3, PROCESS),
        case(f"h = tanh(W·h + x[t]), {STEPS:,} times, {UNITS} units", "µs a step", 1e6 / STEPS,
             RECURRENCE),
        *(
            case(f"a step of a convolutional net, 28 × 28, batch {size}, float32", "ms", 1e3,
                 CONV, size)
            for size in (32, 100)
        ),
    ],
    "second": [
        case(f"Hessian of Rosenbrock's function times a vector, n = {LARGE}", "µs", 1e6, PRODUCT),
        case(f"Hessian of Rosenbrock's function, n = {SMALL}", "µs", 1e6, HESSIAN),
    ],
}  # fmt: skip
