"""What GradBench's evals ask for, as their READMEs put it in formulas, on whole arrays.

Each eval is an entry of `EVALS`; its functions take the fields of its input by their names.
"""

import math
from functools import cache, partial
from inspect import signature
from itertools import combinations
from time import perf_counter_ns

import numpy as np

import tinygraph as tg

# ---------------------------------------------------------------- lse: log Σ exp(x)


def logsumexp(x):
    top = tg.max(tg.asarray(x).detach())  # taken off and added again: its slopes cancel
    return top + tg.log(tg.sum(tg.exp(x - top)))


# ---------------------------------------------------------------- llsq: a polynomial for a step


def least_squares(x, n):
    t = -1 + np.arange(n) * 2 / (n - 1)
    residuals = np.sign(t) - np.vander(t, len(x), increasing=True) @ x
    return tg.sum(residuals**2) / 2


# ---------------------------------------------------------------- gmm: a mixture of Gaussians


def log_posterior(alpha, mu, q, l, x, m, gamma):  # noqa: E741
    """Return the logarithm of p(x | mixture) · p(mixture), up to nothing."""
    n, d = x.shape
    k = len(alpha)
    columns, rows = np.triu_indices(d, 1)  # below the diagonal, column by column
    Q = tg.zeros((k, d, d))
    Q[:, np.arange(d), np.arange(d)] = tg.exp(q)
    Q[:, rows, columns] = l
    log_det = tg.sum(q, axis=1)

    z = Q @ x.T - Q @ mu[:, :, None]  # Q(x - μ): for each of k Gaussians a column for each x
    beta = (alpha + log_det)[:, None] - 0.5 * tg.sum(z**2, axis=1)
    constant = d / 2 * math.log(2 * math.pi)
    likelihood = tg.sum(tg.logsumexp(beta, axis=0)) - n * (constant + tg.logsumexp(alpha))

    degrees = d + m + 1
    log_gamma = d * (d - 1) / 4 * math.log(math.pi) + sum(
        math.lgamma((degrees - i) / 2) for i in range(d)
    )
    constant = k * (degrees * d * math.log(gamma / math.sqrt(2)) - log_gamma)
    return likelihood + constant - gamma**2 / 2 * tg.sum(Q**2) + m * tg.sum(log_det)


def log_posterior_slopes(alpha, mu, q, l, x, m, gamma):  # noqa: E741
    slopes = tg.grad(log_posterior, (0, 1, 2, 3))(alpha, mu, q, l, x, m, gamma)
    return dict(zip(("alpha", "mu", "q", "l"), slopes, strict=True))


# ---------------------------------------------------------------- kmeans: distances to the nearest


def within_clusters(centroids, points):
    """Return the squared distances to the nearest centroids; which these are has no slope."""
    fixed = tg.asarray(centroids).detach()
    nearest = tg.argmin(tg.sum(fixed**2, axis=1) - 2 * (points @ fixed.T), axis=1)
    return tg.sum((points - centroids[nearest]) ** 2)


def newton_direction(centroids, points):
    """Return the gradient over the diagonal of the Hessian, which has nothing beside it."""
    slope = tg.grad(lambda centroids: within_clusters(centroids, points))
    gradient, diagonal = tg.jvp(slope, (centroids,), (np.ones_like(centroids),))
    return gradient / diagonal


# ---------------------------------------------------------------- ode: Runge and Kutta's way


def last_state(x, s):
    """Return y(2) of y₀' = x₀, yᵢ' = xᵢ·yᵢ₋₁, y(0) = 0, after `s` steps of the fourth order."""
    one, h = np.ones(1), 2 / s

    def slope(y):
        return x * tg.concat([one, y[:-1]])

    y = np.zeros(len(x))
    for _ in range(s):
        k1 = slope(y)
        k2 = slope(y + h / 2 * k1)
        k3 = slope(y + h / 2 * k2)
        k4 = slope(y + h * k3)
        y = y + h / 6 * (k1 + 2 * (k2 + k3) + k4)
    return y


# ---------------------------------------------------------------- lstm: with diagonal matrices


def sequence_loss(main_params, extra_params, state, sequence):
    """Return the loss of predicting each row of a sequence from those before it."""
    sigmoid, tanh = tg.nn.sigmoid, tg.tanh
    w_in, w_out, b_out = extra_params
    hidden, cell = list(state[0::2]), list(state[1::2])
    # For each layer four rows of weights and four of offsets: of three gates and of the change.
    layers = [(*W, *b) for W, b in tg.reshape(main_params, (len(hidden), 2, 4, state.shape[1]))]

    outputs = []
    for x in sequence[:-1] * w_in:
        for i, (w_f, w_i, w_o, w_c, b_f, b_i, b_o, b_c) in enumerate(layers):
            h = hidden[i]
            change = sigmoid(h * w_i + b_i) * tanh(h * w_c + b_c)
            cell[i] = cell[i] * sigmoid(x * w_f + b_f) + change
            hidden[i] = x = sigmoid(x * w_o + b_o) * tanh(cell[i])
        outputs.append(x)
    y = tg.stack(outputs) * w_out + b_out
    # The 2 is ADBench's, from which everybody has it.
    total = tg.log(2 + tg.sum(tg.exp(y), axis=1, keepdims=True))
    return -tg.mean(sequence[1:] * (y - total))


def sequence_loss_slopes(main_params, extra_params, state, sequence):
    slopes = tg.grad(sequence_loss, (0, 1))(main_params, extra_params, state, sequence)
    return np.concatenate([np.ravel(slope) for slope in slopes])


# ---------------------------------------------------------------- det: expansion by minors


@cache
def subsets(n, size):
    """Return the columns of all minors of `size` rows, and where the minors without each are."""
    columns = list(combinations(range(n), size))
    place = {chosen: i for i, chosen in enumerate(combinations(range(n), size - 1))}
    without = [[place[c[:j] + c[j + 1 :]] for j in range(size)] for c in columns]
    return np.array(columns), np.array(without)


def determinant(A, ell):
    """Expand along the first row, each minor once: first all of the last row, then of two rows."""
    A = tg.reshape(A, (ell, ell))
    minors = np.ones(1)
    for size in range(1, ell + 1):
        columns, without = subsets(ell, size)
        signs = (-1.0) ** np.arange(size)
        minors = tg.sum(signs * A[ell - size][columns] * minors[without], axis=1)
    return minors[0]


# ---------------------------------------------------------------- saddle, particle: nested descents


def forward(f):
    """Return a function that gives f's value and its gradient, a derivative along each axis."""

    def value_and_slope(x):
        pairs = [tg.jvp(f, (x,), (axis,)) for axis in np.eye(len(x))]
        return pairs[0][0], tg.stack([derivative for _, derivative in pairs])

    return value_and_slope


MODES = {"f": forward, "r": tg.value_and_grad}


def length(vectors):
    return tg.sqrt(tg.sum(vectors**2, axis=-1))


def argmin(f, mode, x):
    """Go downhill from x until a step or the slope is below 1e-5; the stride doubles and halves."""
    look = mode(f)
    (value, slope), stride, successes = look(x), 1e-5, 0
    while length(slope) > 1e-5:
        if successes == 10:
            stride, successes = 2 * stride, 0
        step = stride * slope
        if length(step) <= 1e-5:
            break
        found = look(x - step)
        if found[0] < value:
            x, (value, slope), successes = x - step, found, successes + 1
        else:
            stride, successes = stride / 2, 0
    return x


def saddle(outer, inner, start):
    """Return where the maximum over y of |x|² - |y|² is least, and the y."""

    def f(x, y):
        return x @ x - y @ y

    def highest(x, mode):
        return argmin(lambda y: -f(x, y), mode, start)

    x = argmin(lambda x: f(x, highest(x, inner)), outer, start)
    return np.concatenate([x, highest(x, outer)])


def passes_at(w, mode):
    """Return the square of where a charge, pushed by two others, crosses the axis."""
    charges = np.array([[10.0, 10.0], [10.0, 0.0]]) - w * np.array([[0.0, 1.0], [0.0, 0.0]])
    potential = mode(lambda x: tg.sum(1 / length(x - charges)))
    x, v, dt = np.array([0.0, 8.0]), np.array([0.75, 0.0]), 0.1
    while (new := x + dt * v)[1] > 0:
        x, v = new, v - dt * potential(x)[1]
    return (x[0] - x[1] / v[1] * v[0]) ** 2


def particle(outer, inner, w):
    return argmin(lambda w: passes_at(w, inner), outer, np.array([w]))[0]


def in_four_ways(function):
    """Return it with each pair of forward and reverse mode, the outer one named first."""
    return {a + b: partial(function, MODES[a], MODES[b]) for a in MODES for b in MODES}


# ---------------------------------------------------------------- what is asked for by which name

EVALS = {
    "hello": {"square": lambda x: x * x, "double": tg.grad(lambda x: x * x)},
    "lse": {"primal": logsumexp, "gradient": tg.grad(logsumexp)},
    "llsq": {"primal": least_squares, "gradient": tg.grad(least_squares)},
    "gmm": {"objective": log_posterior, "jacobian": log_posterior_slopes},
    "kmeans": {"cost": within_clusters, "dir": newton_direction},
    "ode": {"primal": last_state, "gradient": tg.grad(lambda x, s: last_state(x, s)[-1])},
    "lstm": {"objective": sequence_loss, "jacobian": sequence_loss_slopes},
    "det": {"primal": determinant, "gradient": tg.grad(determinant)},
    "saddle": in_four_ways(saddle),
    "particle": in_four_ways(particle),
}


def evaluate(module, function, given):
    """Return the answer to a message: the output, and how long each run of the function took."""
    given = given if isinstance(given, dict) else {"x": given}
    runs, seconds = given.get("min_runs", 1), given.get("min_seconds", 0)
    run = EVALS[module][function]
    fields = signature(run).parameters
    values = (np.asarray(v, float) if isinstance(v, list) else v for v in map(given.get, fields))
    arguments = list(values)

    timings = []
    while len(timings) < runs or sum(timings) < seconds * 1e9:
        start = perf_counter_ns()
        output = run(*arguments)
        timings.append(perf_counter_ns() - start)
    return {
        "success": True,
        "output": plain(output),
        "timings": [{"name": "evaluate", "nanoseconds": one} for one in timings],
    }


def plain(output):
    """Return arrays and Tensors, also in a dict, as lists of floats."""
    if isinstance(output, dict):
        return {name: plain(one) for name, one in output.items()}
    return tg.asarray(output).tolist()
