"""The tool for GradBench: that it speaks the protocol, and that its numbers are right."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # benchmarks is not installed

from benchmarks.gradbench import evals  # noqa: E402

RNG = np.random.default_rng(0)


def answered(module, function, **given):
    """Return the output for an input that has been through JSON, as all are."""
    given = json.loads(json.dumps(given, default=np.ndarray.tolist))
    return evals.evaluate(module, function, given)["output"]


def numerical(module, function, field, step=1e-6, **given):
    """Return the central differences of a function by one field of its input."""
    slopes = np.empty_like(given[field])
    for i in np.ndindex(slopes.shape):
        ends = []
        for change in (step, -step):
            moved = given[field].copy()
            moved[i] += change
            ends.append(answered(module, function, **{**given, field: moved}))
        slopes[i] = np.subtract(*ends) / (2 * step)
    return slopes


def close(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6 * np.max(np.abs(theirs)))


# ---------------------------------------------------------------- the protocol


def test_protocol():
    """A conversation of each kind of message; an error is an answer, not an end."""
    x = {"x": [1.0, 2.0], "min_runs": 3, "min_seconds": 0}
    messages = [
        {"kind": "start", "eval": "lse"},
        {"kind": "define", "module": "lse"},
        {"kind": "evaluate", "module": "lse", "function": "gradient", "input": x},
        {"kind": "analysis", "of": 2, "valid": True},
        {"kind": "evaluate", "module": "lse", "function": "unheard of", "input": x},
        {"kind": "evaluate", "module": "hello", "function": "double", "input": 3.0},
        {"kind": "define", "module": "unheard of"},
    ]
    lines = "".join(json.dumps({"id": i, **one}) + "\n" for i, one in enumerate(messages))
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gradbench"], cwd=ROOT, input=lines, text=True,
        stdout=subprocess.PIPE, check=True, timeout=60,
    )  # fmt: skip
    start, lse, gradient, analysis, wrong, double, unknown = map(
        json.loads, done.stdout.split("\n")[:-1]
    )
    assert start == {"id": 0, "tool": "tinygraph"}
    assert lse == {"id": 1, "success": True}
    assert gradient["success"]
    close(gradient["output"], np.exp([1, 2]) / np.sum(np.exp([1, 2])))
    assert [one["name"] for one in gradient["timings"]] == ["evaluate"] * 3
    assert all(one["nanoseconds"] > 0 for one in gradient["timings"])
    assert analysis == {"id": 3}
    assert not wrong["success"]
    assert "unheard of" in wrong["error"]
    assert (double["output"], len(double["timings"])) == (6.0, 1)
    assert unknown == {"id": 6, "success": False}


def test_runs_last_as_long_as_asked():
    timings = evals.evaluate("lse", "primal", {"x": [1.0], "min_runs": 1, "min_seconds": 0.02})
    assert sum(one["nanoseconds"] for one in timings["timings"]) >= 0.02e9


# ---------------------------------------------------------------- values, by other ways


def test_values():
    assert answered("lse", "primal", x=[1000.0, 1000.0]) == pytest.approx(1000 + np.log(2))
    # n = 3: t is -1, 0, 1 and its sign s; the polynomial 1 + 2t gives -1, 1, 3.
    assert answered("llsq", "primal", x=[1.0, 2.0], n=3) == pytest.approx((0 + 1 + 4) / 2)
    A = RNG.normal(size=(5, 5))
    assert answered("det", "primal", A=A.ravel(), ell=5) == pytest.approx(np.linalg.det(A))
    points, centroids = np.array([[0.0, 0], [1, 0], [5, 5]]), np.array([[0.0, 0], [5, 6]])
    assert answered("kmeans", "cost", points=points, centroids=centroids) == pytest.approx(2)


def test_gaussian_mixture_by_its_densities():
    """The definition, with determinants and inverses, as SciPy has the densities."""
    stats = pytest.importorskip("scipy.stats")
    given = mixture()
    alpha, mu, q, l, x, m, gamma = given.values()  # noqa: E741
    d, share, total, prior = x.shape[1], np.exp(alpha) / np.sum(np.exp(alpha)), 0, 0
    for k in range(len(alpha)):
        Q = np.diag(np.exp(q[k]))
        Q[1, 0], Q[2, 0], Q[2, 1] = l[k]
        inverse = Q.T @ Q
        total = total + share[k] * stats.multivariate_normal(mu[k], np.linalg.inv(inverse)).pdf(x)
        prior += stats.wishart(d + m + 1, np.eye(d) / gamma**2).logpdf(inverse)
    close(answered("gmm", "objective", **given), np.sum(np.log(total)) + prior)


def test_lstm_by_loops():
    given = sequence()
    main, extra, state, rows = (given[name].tolist() for name in given)
    b, loss = len(state[0]), 0.0

    def sigmoid(a):
        return 1 / (1 + np.exp(-a))

    for t in range(len(rows) - 1):
        x = [rows[t][j] * extra[0][j] for j in range(b)]
        for i in range(len(state) // 2):
            W, c = main[2 * i], main[2 * i + 1]
            for j in range(b):
                h = state[2 * i][j]
                forget = sigmoid(x[j] * W[j] + c[j])
                into = sigmoid(h * W[b + j] + c[b + j])
                out = sigmoid(x[j] * W[2 * b + j] + c[2 * b + j])
                change = np.tanh(h * W[3 * b + j] + c[3 * b + j])
                state[2 * i + 1][j] = state[2 * i + 1][j] * forget + into * change
                x[j] = state[2 * i][j] = out * np.tanh(state[2 * i + 1][j])
        y = [x[j] * extra[1][j] + extra[2][j] for j in range(b)]
        norm = np.log(2 + sum(np.exp(y)))
        loss -= sum(rows[t + 1][j] * (y[j] - norm) for j in range(b)) / b / (len(rows) - 1)
    close(answered("lstm", "objective", **given), loss)


def test_ode_in_closed_form():
    """The solution is x₀·x₁···xᵢ·tⁱ⁺¹/(i + 1)!, which the method has exactly up to t⁴."""
    x = RNG.uniform(0.5, 1.5, size=4)
    t = 2.0 ** np.arange(1, 5) / [1, 2, 6, 24]
    close(answered("ode", "primal", x=x, s=1), np.cumprod(x) * t)


# ---------------------------------------------------------------- gradients, by differences


def mixture():
    n, d, k = 7, 3, 2
    return {
        "alpha": RNG.normal(size=k), "mu": RNG.normal(size=(k, d)), "q": RNG.normal(size=(k, d)),
        "l": RNG.normal(size=(k, 3)), "x": RNG.normal(size=(n, d)), "m": 2, "gamma": 1.5,
    }  # fmt: skip


def sequence():
    shapes = {"main_params": (4, 12), "extra_params": (3, 3), "state": (4, 3), "sequence": (5, 3)}
    return {name: RNG.uniform(-1, 1, size=shape) for name, shape in shapes.items()}


GRADIENTS = {
    "lse": {"x": RNG.normal(size=6)},
    "llsq": {"x": RNG.normal(size=5), "n": 8},
    "det": {"A": RNG.normal(size=16), "ell": 4},
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients(name):
    given = GRADIENTS[name]
    slopes = numerical(name, "primal", next(iter(given)), **given)
    close(answered(name, "gradient", **given), slopes)


def test_gradient_of_the_last_state():
    x = RNG.uniform(0.5, 1.5, size=4)
    last = np.prod(x) * 2**4 / 24
    close(answered("ode", "gradient", x=x, s=3), last / x)


def test_gradient_of_the_mixture():
    given = mixture()
    slopes = answered("gmm", "jacobian", **given)
    assert list(slopes) == ["alpha", "mu", "q", "l"]
    for field, ours in slopes.items():
        close(ours, numerical("gmm", "objective", field, **given))


def test_gradient_of_the_lstm():
    given = sequence()
    parts = [numerical("lstm", "objective", f, **given) for f in ("main_params", "extra_params")]
    close(answered("lstm", "jacobian", **given), np.concatenate([p.ravel() for p in parts]))


def test_newton_goes_to_the_means():
    """One step, as it is Newton's on a quadratic function, ends in each cluster's mean."""
    points = np.concatenate([RNG.normal(size=(9, 2)), 10 + RNG.normal(size=(6, 2))])
    centroids = points[[0, -1]]
    step = answered("kmeans", "dir", points=points, centroids=centroids)
    close(centroids - step, [points[:9].mean(axis=0), points[9:].mean(axis=0)])


# ---------------------------------------------------------------- nested descents


def test_descents_end_where_they_should():
    for mode in evals.MODES.values():
        found = evals.argmin(lambda x: np.sum((x - [1.0, -2.0]) ** 2), mode, np.zeros(2))
        np.testing.assert_allclose(found, [1, -2], atol=1e-4)


@pytest.mark.parametrize("way", ["ff", "fr", "rf", "rr"])
def test_nested_gradients(way):
    """One gradient of the eval's descent, of which the whole takes a quarter of a minute."""
    outer, inner = (evals.MODES[one] for one in way)
    f = partial(evals.passes_at, mode=inner)
    value, slope = outer(f)(np.array([0.2]))
    np.testing.assert_allclose(value, f(np.array([0.2])))
    np.testing.assert_allclose(slope, [(f([0.2 + 1e-5]) - f([0.2 - 1e-5])) / 2e-5], rtol=1e-5)


def test_saddle_near_its_end():
    found = evals.saddle(*(evals.MODES[m] for m in "rf"), np.array([1e-5, 1e-5]))
    np.testing.assert_allclose(found, 0, atol=2e-5)


@pytest.mark.thorough
@pytest.mark.parametrize("way", ["ff", "fr", "rf", "rr"])
def test_nested_descents(way):
    """The numbers that GradBench expects."""
    np.testing.assert_allclose(
        answered("saddle", way, start=[1.0, 1.0]), [8.246324826140356e-6] * 4
    )
    np.testing.assert_allclose(answered("particle", way, w=0.0), 0.2071918746486116)
