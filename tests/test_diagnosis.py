"""What the checker says about classic mistakes in gradients written by hand, and about none.

Each layer below is right, or wrong in the one way that its `mistake` says.
"""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

import tinygraph as tg
from tinygraph.errors import ArgumentError, DTypeError, GradientError
from tinygraph.models import by_hand
from tinygraph.testing import check_gradient, check_grads, check_layer
from tinygraph.testing.comparison import LARGE

PAGE = Path(__file__).parents[1] / "docs" / "checking.md"
RNG = np.random.default_rng(0)


def diagnosis(check, *args, **options):
    """Return what the report of a check that fails says about the reason, in one line."""
    with pytest.raises(GradientError) as caught:
        check(*args, **options)
    return " ".join(str(caught.value).split())


# ---------------------------------------------------------------- layers, right and wrong


class Layer:
    def __init__(self, mistake=False):
        self.mistake = mistake


class Affine(Layer):
    def __init__(self, mistake="", width=4):
        super().__init__(mistake)
        rng = np.random.default_rng(1)
        self.W, self.b = rng.standard_normal((3, width)), rng.standard_normal(width)
        self.dW = self.db = None

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout):
        self.dW = self.x.T @ dout
        self.db = {"": dout.sum(axis=0), "sum": dout, "dW": self.dW}.get(self.mistake, dout.sum(0))
        return dout @ (self.W if self.mistake == "transpose" else self.W.T)


class MeanSquares(Layer):
    def forward(self, x, t):
        self.error = x - t
        return np.mean(self.error**2)

    def backward(self, dout):
        return dout * 2 * self.error / (1 if self.mistake else self.error.size)


class Relu(Layer):
    def forward(self, x):
        self.mask = x > 0
        return np.where(self.mask, x, 0)

    def backward(self, dout):
        return dout * (dout > 0 if self.mistake else self.mask)


class InPlaceRelu(Layer):
    def forward(self, x):
        self.mask = x <= 0
        out = x if self.mistake else x.copy()
        out[self.mask] = 0
        return out

    def backward(self, dout):
        dout[self.mask] = 0  # as the book does: of what it was given, not of the input
        return dout


class SoftmaxWithLoss(Layer):
    def forward(self, x, t):
        e = np.exp(x - x.max(axis=1, keepdims=True))
        self.y, self.t = e / e.sum(axis=1, keepdims=True), t
        return -np.sum(t * np.log(self.y)) / len(x)

    def backward(self, dout):
        return dout * (self.y - self.t) / (1 if self.mistake else len(self.t))


class LogLoss(Layer):
    def forward(self, y, t):
        self.y, self.t = y, t
        return -np.sum(t * np.log(y if self.mistake else np.maximum(y, 1e-9)))

    def backward(self, dout):
        return -dout * self.t / np.maximum(self.y, 1e-9) * (self.y > 1e-9)


class Residual(Layer):
    def __init__(self, mistake=""):
        super().__init__(mistake)
        self.left, self.right = Affine(width=3), Sigmoid()

    def forward(self, x):
        return self.left.forward(x) + self.right.forward(x)

    def backward(self, dout):
        dx = self.left.backward(dout)
        if self.mistake:
            return self.right.backward(dout)
        return dx + self.right.backward(dout)


class Skip(Layer):
    def __init__(self, mistake=""):
        super().__init__(mistake)
        self.inner = Sigmoid()

    def forward(self, x):
        return self.inner.forward(x) + x

    def backward(self, dout):
        return self.inner.backward(dout) + (0 if self.mistake else dout)


class Sigmoid(Layer):
    def forward(self, x):
        self.x = x
        self.y = 1 / (1 + np.exp(-x))
        return self.y

    def backward(self, dout):
        y = self.x if self.mistake else self.y
        return dout * y * (1 - y)


class LayerNorm(Layer):
    def forward(self, x):
        self.std = x.std(axis=-1, keepdims=True)
        self.y = (x - x.mean(axis=-1, keepdims=True)) / self.std
        return self.y

    def backward(self, dout):
        mean = partial(np.mean, axis=0 if self.mistake else -1, keepdims=True)
        return (dout - mean(dout) - self.y * mean(dout * self.y)) / self.std


class Convolution(Layer):
    """One channel in, one out, no padding, written with loops."""

    def __init__(self, mistake=""):
        super().__init__(mistake)
        self.W = np.random.default_rng(2).standard_normal((3, 3))
        self.dW = None

    @staticmethod
    def correlate(x, k):
        height, width = x.shape[0] - k.shape[0] + 1, x.shape[1] - k.shape[1] + 1
        out = np.zeros((height, width))
        for i in range(k.shape[0]):
            for j in range(k.shape[1]):
                out += k[i, j] * x[i : i + height, j : j + width]
        return out

    def forward(self, x):
        self.x = x
        return self.correlate(x, self.W)

    def backward(self, dout):
        self.dW = self.correlate(self.x, dout)
        kernel = self.W if self.mistake else self.W[::-1, ::-1]
        return self.correlate(np.pad(dout, 2), kernel)


class Dropout(Layer):
    def __init__(self, mistake=""):
        super().__init__(mistake)
        self.rng = np.random.default_rng(3)

    def forward(self, x):
        self.mask = self.rng.random(x.shape) > 0.5
        return x * self.mask

    def backward(self, dout):
        if self.mistake:
            self.mask = self.rng.random(dout.shape) > 0.5
        return dout * self.mask


class GlobalDropout(Dropout):
    """Draws from `numpy.random` itself, as the book does."""

    def forward(self, x):
        self.mask = np.random.rand(*x.shape) > 0.5
        return x * self.mask

    def backward(self, dout):
        mask = np.random.rand(*dout.shape) > 0.5 if self.mistake else self.mask
        return dout * mask


X = RNG.standard_normal((5, 3))
ONE_HOT = np.eye(3)[[0, 2, 1, 1, 0]]
PROBABILITIES = np.array([[0.25, 0.75, 0.0], [1.0, 0.0, 0.0]])
HIT = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])

CLASSIC = {  # what the page calls it: the layer, its mistake, what it is given, what is said
    "missing mean": (
        MeanSquares, True, (X, ONE_HOT), "off by a factor of 15, the number of entries of x: "
        "a mean is missing"),
    "missing sum over the batch": (
        Affine, "sum", (X,), "not summed over axis 0 of length 5: b was broadcast along it"),
    "W not transposed": (
        partial(Affine, width=3), "transpose", (X,),
        "W is not transposed: backward is right with W.T in place of W"),
    "relu masked by the output's gradient": (
        Relu, True, (X,), "masked by the sign of dout"),
    "softmax without the batch factor": (
        SoftmaxWithLoss, True, (X, ONE_HOT),
        "off by a factor of 5, the batch size: a mean is missing"),
    "log of 0": (
        LogLoss, True, (PROBABILITIES, HIT), "the logarithm of 0 was taken"),
    "in-place change of the input": (
        InPlaceRelu, True, (X,), "forward changes x in place"),
    "forgotten accumulation at a fan-out": (
        Residual, True, (X,), "a contribution is missing: what left.backward returned"),
    "sigmoid' from x rather than y": (
        Sigmoid, True, (X,), "taken at the input x where the output y belongs"),
    "wrong axis in layer norm": (
        LayerNorm, True, (X,), "wrong axis: forward mixes entries along axis 1, backward along "
        "axis 0"),
    "convolution kernel not flipped": (
        Convolution, True, (RNG.standard_normal((6, 5)),), "W is not flipped"),
    "dropout mask redrawn in backward": (
        Dropout, True, (X,), "backward draws random numbers of its own"),
}  # fmt: skip
MORE = {
    "dW for db": (Affine, "dW", (X,), "db has dW's shape and values: dW was returned for db"),
    "W not transposed, and not square": (
        Affine, "transpose", (X,), "W is not transposed: backward is right with W.T"),
    "a skip connection": (Skip, True, (X,), "a contribution is missing: dout itself"),
    "a mask from numpy.random": (
        GlobalDropout, True, (X,), "backward draws random numbers of its own"),
}  # fmt: skip


@pytest.mark.parametrize("name", CLASSIC | MORE)
def test_a_mistake_gets_its_diagnosis(name):
    layer, mistake, given, reason = (CLASSIC | MORE)[name]
    assert reason in diagnosis(check_layer, layer(mistake), *given)


@pytest.mark.parametrize("name", CLASSIC)
def test_the_page_says_it_too(name):
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if f"| {name} |" in line]
    assert len(rows) == 1
    assert CLASSIC[name][3] in rows[0]


@pytest.mark.parametrize("name", CLASSIC | MORE)
def test_without_the_mistake_there_is_no_alarm(name):
    layer, _, given, _ = (CLASSIC | MORE)[name]
    if name != "log of 0":
        check_layer(layer(), *given)
        if name not in ("missing mean", "softmax without the batch factor"):
            check_layer(layer(), *(one.astype("float32") for one in given))
    else:
        check_layer(layer(), np.array([[0.2, 0.8]]), np.array([[0.0, 1.0]]))


# ---------------------------------------------------------------- the book's layers and net


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("mistake", [False, True])
def test_the_notebooks_net(dtype, mistake):
    rng = np.random.default_rng(0)
    x, t = rng.random((3, 784)).astype(dtype), np.array([5, 0, 4])
    net = by_hand.TwoLayerNet(784, 50, 10, rng=0, dtype=dtype, mistake=mistake)
    if not mistake:
        check_layer(net, x, t)
        return
    said = diagnosis(check_layer, net, x, t)
    for name, weights in (("b1", "W1"), ("b2", "W2")):
        assert f"d{name} has d{weights}'s shape and values: d{weights} was returned" in said
    assert "dW1:" not in said


def test_a_layer_without_a_dict_is_refused():
    class Slotted:
        __slots__ = ("W",)
        forward = backward = None

    with pytest.raises(ArgumentError, match="Slotted has __slots__"):
        check_layer(Slotted(), np.ones(3))


def test_the_books_layers_are_right():
    rng = np.random.default_rng(0)
    check_layer(by_hand.Affine(rng.random((3, 2)), rng.random(2)), rng.random(3))
    check_layer(by_hand.Affine(rng.random((3, 2)), rng.random(2)), rng.random((4, 3)))
    check_layer(by_hand.Relu(), X)
    check_layer(by_hand.SoftmaxWithLoss(), X, np.array([0, 2, 1, 1, 0]))
    check_layer(by_hand.SoftmaxWithLoss(), X.astype("float32"), ONE_HOT)


def test_one_wrong_entry_of_a_large_gradient_is_found():
    rng = np.random.default_rng(0)
    net = by_hand.TwoLayerNet(784, 50, 10, rng=0)
    right = net.gradient

    def gradient(x, t):
        found = right(x, t)
        found["W1"][321, 7] += 1e-3 * np.abs(found["W1"]).max()
        return found

    net.gradient = gradient
    said = diagnosis(check_layer, net, rng.random((3, 784)), np.array([1, 2, 3]))
    assert "dW1: 1 of 61 measured (of 39,200) entries differ" in said
    assert "(321, 7)" in said


# ---------------------------------------------------------------- what the numbers can say

A, V = RNG.standard_normal((3, 3)), RNG.standard_normal(4)


def cubes(x):
    return float(np.sum(x**3))


@pytest.mark.parametrize("f, gradient, x, reason", [
    (cubes, lambda x: -3 * x**2, V, "the sign is wrong: it is right when negated"),
    (cubes, lambda x: 6 * x**2, V, "off by a factor of 2."),
    (cubes, lambda x: x**2, V, "off by a factor of 1/3."),
    (cubes, lambda x: 2.5 * 3 * x**2, V, "off by a factor of 2.5, the same for each entry"),
    (cubes, lambda x: -12 * x**2, V, "the sign is wrong, and it is off by a factor of 4, the number"
     " of entries of x"),
    (lambda x: np.mean(x**3), lambda x: 3 * x**2, V, "factor of 4, the number of entries of x"),
    (cubes, lambda x: 0 * x, V, "zero everywhere, and the function depends on it"),
    (cubes, lambda x: 3 * (x**2)[::-1], V, "flipped: it is right when reversed"),
    (lambda x: np.sum(A * x), lambda x: A.T, RNG.random((3, 3)), "transposed: it is right with"),
    (lambda x: cubes(x) + 0.1 * np.sum(x**2), lambda x: 3 * x**2, V, "0.2 · x is missing"),
    (cubes, lambda x: 3 * x**2 + np.array([0, 1, 0, 0]), V, "no simple relation"),
    (cubes, lambda x: 3 * x**2 + 1e-6, V, "nearly right: off by"),
    (lambda x: np.sum(x * A), lambda x: A, RNG.random((1, 3)), "not summed over axis 0 of length"),
    (cubes, lambda x: 3 * x**2 + np.log(np.zeros(4)), V, "the gradient is not finite (nan or inf)."
     " First, the logarithm of 0 was taken"),
    (lambda x: np.sum(np.abs(x)), np.sign, np.array([1.0, 0.0, -1.0]), "right except where x = 0"),
    (lambda x: np.sum(np.abs(x[:1] + 1)), lambda x: np.ones(1), np.array([-1.0]), "not judged at"),
    (lambda x: np.sum(x["a"] * x["b"] ** 2), lambda x: {"a": x["b"] ** 2, "b": x["b"] ** 2},
     {"a": V, "b": V + 1}, "dx['b'] has dx['a']'s shape and values: dx['a'] was returned"),
    (lambda x: np.sum(x[0] * x[1] ** 2), lambda x: (2 * x[0] * x[1], x[1] ** 2), (V, V + 1),
     "dx[0] has dx[1]'s shape and values"),
    (lambda x: np.sum(x) + np.random.default_rng().random(), np.ones_like, V, "not deterministic"),
    (lambda x: np.sum(np.log(x)), lambda x: 1 / x, np.zeros(2), "the logarithm of 0 was taken"),
    (lambda x: np.sum(np.sqrt(x)), lambda x: 1 / x, -np.ones(2), "First, invalid value encountered "
     "in sqrt, in line"),
    (lambda x: cubes(np.multiply(x, 2, out=x)), lambda x: x, V, "the function changes x in place"),
    (cubes, lambda x: np.multiply(x, 2, out=x), V, "gradient changes x in place"),
    (cubes, lambda x: None, V, "dx was not computed: it is None"),
    (lambda x: np.float32(cubes(np.abs(x))), lambda x: 3 * x**2, np.zeros(2) + 1e-30, ""),
])  # fmt: skip
def test_what_explains_a_difference(f, gradient, x, reason):
    if reason:
        assert reason in diagnosis(check_gradient, f, gradient, x)
    else:
        check_gradient(f, gradient, x)


def test_a_right_gradient_passes():
    check_gradient(cubes, lambda x: 3 * x**2, V)
    check_gradient(cubes, 3 * V**2, V)
    check_gradient(cubes, lambda x: 3 * x**2, V.astype("float32"))
    check_gradient(lambda x: x**2, lambda x: 2 * x, 3.0)
    check_gradient(lambda x: cubes(x["a"][0]), lambda x: {"a": [3 * x["a"][0] ** 2]}, {"a": [V]})
    check_gradient(cubes, lambda x: 3 * x**2 + 1e-6, V, rtol=1e-4)
    check_gradient(cubes, lambda x: 3 * x**2 + 1e-6, V, atol=1e-4)
    check_gradient(cubes, lambda x: 3 * x**2, RNG.standard_normal(LARGE + 1))


def test_too_coarse():
    def gradient(x):
        return 3 * x**2 if x.dtype == np.float64 else 3 * x**2 + np.array([0, 1, 0, 0], "float32")

    said = diagnosis(check_gradient, cubes, gradient, V.astype("float32"))
    assert "dx in float32, beside that in float64" in said
    said = diagnosis(
        check_gradient, lambda x: np.float32(np.abs(x).sum()), np.sign, np.array([1e-4, 1.0])
    )
    assert "float32 is too coarse" in said


def test_the_random_state_is_left_as_it_was():
    layer = GlobalDropout()
    np.random.seed(3)
    expected = np.random.rand()
    np.random.seed(3)
    check_layer(layer, X)
    assert np.random.rand() == expected


def test_the_arguments_are_left_as_they_were():
    layer, x, t = Affine(), X.copy(), V.copy()
    weights = layer.W.copy()
    check_layer(layer, x)
    check_gradient(cubes, lambda x: 3 * x**2, t)
    assert np.array_equal(layer.W, weights)
    assert (x == X).all()
    assert (t == V).all()


def test_what_cannot_be_checked():
    with pytest.raises(ArgumentError, match="neither forward and backward"):
        check_layer(object(), X)
    with pytest.raises(DTypeError, match="int64"):
        check_gradient(cubes, cubes, np.array([1, 2]))
    with pytest.raises(ArgumentError, match="2 gradients were returned for 1"):
        check_gradient(cubes, lambda x: (x, x), V)
    with pytest.raises(ArgumentError, match="check_grads"):
        check_layer(tg.models.TwoLayerNet(3, 2, 2), X, np.zeros(5, int))
    with pytest.raises(ZeroDivisionError):
        check_gradient(cubes, lambda x: 1 / 0, V)


# ---------------------------------------------------------------- what a layer says when tried


class Square(Layer):
    def forward(self, x):
        self.x, self.y = x, x**2
        return self.y

    def backward(self, dout):
        wrong = {
            "y": lambda: dout * 2 * self.y,
            "ignored": lambda: 2 * self.x,
            "bent": lambda: np.abs(dout) * self.x + dout * self.x * 1.5,
            "more": lambda: dout * 2 * self.x + dout,
            "raises": lambda: dout @ self.x,
            "none": lambda: None,
        }
        return wrong.get(self.mistake, lambda: dout * 2 * self.x)()


class InvertedRelu(Relu):
    def backward(self, dout):
        return dout * ~self.mask


@pytest.mark.parametrize("layer, reason", [
    (Square("y"), "taken at the output y where the input x belongs"),
    (Square("ignored"), "backward ignores dout: with twice the dout"),
    (Square("bent"), "backward is not linear in dout"),
    (Square("more"), "a contribution is there that does not belong: dout itself"),
    (Square("raises"), "backward raised ValueError: matmul"),
    (Square("none"), "dx was not computed: it is None"),
    (InvertedRelu(), "mask is inverted: backward is right with its opposite"),
])  # fmt: skip
def test_what_trying_tells(layer, reason):
    assert reason in diagnosis(check_layer, layer, X)


# ---------------------------------------------------------------- check_grads


def test_nothing_was_recorded():
    said = diagnosis(check_grads, lambda x, y: y + tg.tensor(x.numpy() ** 2), (V, V))
    assert "zero, because nothing was recorded between argument 0 and the result" in said


def test_a_function_that_is_not_deterministic():
    rng = np.random.default_rng(0)
    assert "not deterministic" in diagnosis(check_grads, lambda x: x * rng.random(), (V,))


def test_a_logarithm_of_0():
    assert "the logarithm of 0 was taken" in diagnosis(check_grads, tg.log, (np.zeros(2),))


@pytest.mark.parametrize("modes, title", [
    (("rev", "fwd"), "derivative 1 by argument 1, forward mode: 4 of 4"),
    (("fwd",), "derivative 1 by argument 1, forward mode: 4 of 4"),
    (("rev",), None),
])  # fmt: skip
def test_forward_mode_is_checked(monkeypatch, modes, title):
    from tinygraph.testing import check

    def wrong(f, primals, tangents):
        value, tangent = tg.jvp(f, primals, tangents)
        return value, tangent * (1 if tangents[0].any() else 2)

    monkeypatch.setattr(check, "jvp", wrong)
    if title is None:
        check_grads(lambda x, y: tg.tanh(x) * y, (V, V), modes=modes)
    else:
        said = diagnosis(check_grads, lambda x, y: tg.tanh(x) * y, (V, V), modes=modes)
        assert title in said
        assert "argument 0" not in said
        assert "off by a factor of 2" in said


def test_large_arguments():
    x = RNG.standard_normal(LARGE + 1)
    check_grads(lambda x: tg.tanh(x) * x, (x,))
    off = np.ones(x.shape)
    off[1234] = 1.01

    def function(x):
        part = tg.tanh(x) * tg.tensor(off)
        return part + tg.tensor(np.tanh(x.numpy()) - part.numpy())

    said = diagnosis(check_grads, function, (x,), order=1)
    assert "1 of 61 measured (of 2,001) entries differ" in said
    assert "(1234,)" in said


# ---------------------------------------------------------------- no false alarms, none missed


SMOOTH = [
    lambda a, b, c: tg.tanh(a),
    lambda a, b, c: tg.exp(a * 0.3),
    lambda a, b, c: tg.nn.sigmoid(a + c),
    lambda a, b, c: a * b,
    lambda a, b, c: a + b * c,
    lambda a, b, c: a - tg.tanh(b),
    lambda a, b, c: a / (b * b + 1),
    lambda a, b, c: tg.log(a * a + 1.5),
    lambda a, b, c: tg.sqrt(a * a + 1),
    lambda a, b, c: a * tg.mean(b) + c,
    lambda a, b, c: a**3 * 0.1,
    lambda a, b, c: a * tg.softmax(b, axis=-1) if a.ndim else a,
]


def smooth(rng):
    """Return a random smooth function of one array, and the array."""
    steps = rng.integers(2, 7)
    x = rng.standard_normal(tuple(rng.integers(1, 4, size=rng.integers(0, 3))))
    plan = [(rng.integers(len(SMOOTH)), rng.integers(100), rng.normal()) for _ in range(steps)]

    def function(x):
        values = [x]
        for what, which, c in plan:
            values.append(SMOOTH[what](values[-1], values[which % len(values)], c))
        return tg.sum(tg.tanh(values[-1]) + values[-1] * 0.1)

    return function, x


def one_entry_off(function, x, rng):
    """Return a gradient of which one entry, not a small one, is off by 1e-4; and which one.

    None for a gradient below 1e-3 of the value: 1e-8 of that is what the value's rounding does to a
    numerical derivative, and nothing could be told.
    """
    right = tg.grad(function)(x)
    if not right.any() or np.abs(right).max() < 1e-3 * abs(function(x).item()):
        return None
    large = np.argwhere(np.abs(right) >= 1e-4 * np.abs(right).max())
    at = tuple(large[rng.integers(len(large))])
    wrong = right.copy()
    wrong[at] *= 1 + 1e-4
    return wrong, at


@pytest.mark.parametrize("count", [50, pytest.param(1000, marks=pytest.mark.thorough)])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_no_false_alarm(count, dtype):
    for seed in range(count):
        function, x = smooth(np.random.default_rng(seed))
        check_grads(function, (x.astype(dtype),))


@pytest.mark.parametrize("count", [50, pytest.param(1000, marks=pytest.mark.thorough)])
def test_one_entry_slightly_off_is_found(count):
    tried = 0
    for seed in range(count):
        rng = np.random.default_rng(seed)
        function, x = smooth(rng)
        if found := one_entry_off(function, x, rng):
            wrong, at = found
            tried += 1
            said = diagnosis(check_gradient, lambda x: function(x).item(), wrong, x)  # noqa: B023
            assert f"1 of {x.size} entries differ" in said, seed
            assert str(tuple(map(int, at))) in said, seed
    assert tried > 0.9 * count
