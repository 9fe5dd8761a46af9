"""tg.nn: PyTorch's numbers, derivatives to second order, both ends, what it refuses."""

import importlib.util
import itertools
import math
import sys
import warnings

import numpy as np
import pytest

import tinygraph as tg
from tinygraph import nn
from tinygraph.replay import replay
from tinygraph.rules.nn import gathered, positions, windows
from tinygraph.testing import check_grads

INF = math.inf


def numbers(*shape, seed=0):
    """Return numbers away from 0 and from each other, some of them negative."""
    count = math.prod(shape)
    order = np.random.default_rng(seed + count).permutation(count)
    return ((order + 0.5) / count * 4 - 2).reshape(shape)


def leaf(data, **options):
    return tg.tensor(data, requires_grad=True, **options)


def gradients(function, *arrays):
    inside = [leaf(one) for one in arrays]
    function(*inside).sum().backward()
    return [one.grad.numpy() for one in inside]


# ---------------------------------------------------------------- the same, by NumPy alone


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def normal_share(x):
    return np.vectorize(math.erfc, otypes="d")(-x / 2**0.5) / 2


def convolved(x, w, b=None, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1):
    """Add up products, one pixel at a time."""
    x = np.pad(x, [(0, 0), (0, 0), *[(n, n) for n in padding]])
    images, _, *lengths = x.shape
    outputs, inside, *sizes = w.shape
    height, width = (
        (n - d * (k - 1) - 1) // s + 1
        for n, k, s, d in zip(lengths, sizes, stride, dilation, strict=True)
    )
    y = np.zeros((images, outputs, height, width))
    for out, i, j, c, p, q in itertools.product(
        *map(range, (outputs, height, width, *w.shape[1:]))
    ):
        channel = out // (outputs // groups) * inside + c
        at = i * stride[0] + p * dilation[0], j * stride[1] + q * dilation[1]
        y[:, out, i, j] += w[out, c, p, q] * x[:, channel, at[0], at[1]]
    return y if b is None else y + b[:, None, None]


def spread(x, w, b=None, stride=(1, 1), padding=(0, 0), more=(0, 0), groups=1, dilation=(1, 1)):
    """Add each pixel times the kernel where the kernel lies, one product at a time."""
    images, channels, *lengths = x.shape
    _, inside, *sizes = w.shape
    height, width = (
        (n - 1) * s + d * (k - 1) + 1 + extra
        for n, k, s, d, extra in zip(lengths, sizes, stride, dilation, more, strict=True)
    )
    y = np.zeros((images, inside * groups, height, width))
    for c, o, p, q, i, j in itertools.product(*map(range, (*w.shape, *lengths))):
        out = c // (channels // groups) * inside + o
        at = i * stride[0] + p * dilation[0], j * stride[1] + q * dilation[1]
        y[:, out, at[0], at[1]] += w[c, o, p, q] * x[:, c, i, j]
    y = y[:, :, padding[0] : height - padding[0], padding[1] : width - padding[1]]
    return y if b is None else y + b[:, None, None]


def over_windows(function, x, size, stride, padding=0, dilation=1, around=0.0):
    """Apply a function to what a square window shows at each position."""
    x = np.pad(x, [(0, 0)] * (x.ndim - 2) + [(padding,) * 2] * 2, constant_values=around)
    span = dilation * (size - 1) + 1
    starts = [range(0, n - span + 1, stride) for n in x.shape[-2:]]
    pixels = [
        [function(x[..., i : i + span : dilation, j : j + span : dilation]) for j in starts[1]]
        for i in starts[0]
    ]
    return np.moveaxis(np.array(pixels), (0, 1), (-2, -1))


def largest(shown):
    return shown.max(axis=(-2, -1))


def normed(x, axes, weight=1.0, bias=0.0):
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(
        x.var(axes, keepdims=True) + 1e-5
    ) * weight + bias


def attended(q, k, v, scores=0.0):
    weights = np.exp(q @ np.swapaxes(k, -1, -2) / q.shape[-1] ** 0.5 + scores)
    return weights / weights.sum(-1, keepdims=True) @ v


def cross_entropy(x, t):
    return -t * np.log(sigmoid(x)) - (1 - t) * np.log(1 - sigmoid(x))


def huber(d, delta=1.0):
    return np.where(abs(d) <= delta, d * d / 2, delta * (abs(d) - delta / 2))


def cosines(x, y, axis):
    lengths = np.sqrt((x * x).sum(axis) * (y * y).sum(axis))
    return (x * y).sum(axis) / lengths


CHANNELS = np.array([0.3, -0.7, 1.1])
RUNNING = CHANNELS, CHANNELS**2 + 0.5
FACTORS = np.array([0.5, 2.0, 1.5])
CLASSES = np.array([[0, 2], [1, -100]])
RIGHT = np.array([[[1, 0], [0, 0], [0, 1]], [[0, 0], [1, 0], [0, 0]]])
MASK = np.array([[True, False, True, True], [False, True, False, True], [True] * 4])
CAUSAL = np.where(np.tri(3, 4, dtype=bool), 0, -INF)
X, T = numbers(3, 4), numbers(3, 4, seed=1)
P = (T + 2) / 4
SELU = 1.0507009873554805, 1.6732632423543772

# A name: the function, the same in NumPy, arguments that it is differentiable at.
CASES = {
    "leaky_relu": (nn.leaky_relu, lambda x: np.where(x > 0, x, 0.01 * x), X),
    "leaky_relu, slope": (
        lambda x: nn.leaky_relu(x, 0.3), lambda x: np.where(x > 0, x, 0.3 * x), X),
    "elu": (nn.elu, lambda x: np.where(x > 0, x, np.expm1(x)), X),
    "elu, alpha": (lambda x: nn.elu(x, 2.0), lambda x: np.where(x > 0, x, 2 * np.expm1(x)), X),
    "selu": (nn.selu, lambda x: SELU[0] * np.where(x > 0, x, SELU[1] * np.expm1(x)), X),
    "gelu": (nn.gelu, lambda x: x * normal_share(x), X),
    "gelu, tanh": (
        lambda x: nn.gelu(x, "tanh"),
        lambda x: 0.5 * x * (1 + np.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * x**3))), X),
    "silu": (nn.silu, lambda x: x * sigmoid(x), X),
    "sigmoid": (nn.sigmoid, sigmoid, X),
    "softplus": (nn.softplus, lambda x: np.log1p(np.exp(x)), X),
    "softplus, beta": (
        lambda x: nn.softplus(x, 2.0, 3.2),
        lambda x: np.where(2 * x > 3.2, x, np.log1p(np.exp(2 * x)) / 2), X),
    "logsigmoid": (nn.logsigmoid, lambda x: np.log(sigmoid(x)), X),
    "linear": (nn.linear, lambda x, w, b: x @ w.T + b,
               numbers(2, 3, 4), numbers(5, 4), numbers(5)),
    "linear, no bias": (nn.linear, lambda x, w: x @ w.T, numbers(4), numbers(5, 4)),
    "linear, one output": (
        nn.linear, lambda x, w, b: x @ w + b, numbers(3, 4), numbers(4), numbers()),
    "embedding": (
        lambda w: nn.embedding([[0, 2], [2, 1]], w), lambda w: w[[[0, 2], [2, 1]]], numbers(4, 3)),
    "dropout": (
        lambda x: nn.dropout(x, 0.25, generator=3) + nn.dropout(x, training=False), None, X),
    "layer_norm": (
        lambda x, w, b: nn.layer_norm(x, (3, 4), w, b), lambda x, w, b: normed(x, (1, 2), w, b),
        numbers(2, 3, 4), numbers(3, 4), numbers(3, 4, seed=1)),
    "layer_norm, plain": (lambda x: nn.layer_norm(x, 4), lambda x: normed(x, (1,)), X),
    "batch_norm": (
        lambda x, w, b: nn.batch_norm(x, *RUNNING, w, b),
        lambda x, w, b: (x - RUNNING[0]) / np.sqrt(RUNNING[1] + 1e-5) * w + b,
        numbers(4, 3), numbers(3), numbers(3, seed=1)),
    "batch_norm, training": (
        lambda x, w, b: nn.batch_norm(x, None, None, w, b, True),
        lambda x, w, b: normed(x, (0, 2), w[:, None], b[:, None]),
        numbers(2, 3, 4), numbers(3), numbers(3, seed=1)),
    "conv1d": (
        lambda x, w, b: nn.conv1d(x, w, b, 2, 1),
        lambda x, w, b: convolved(x[..., None], w[..., None], b, (2, 1), (1, 0))[..., 0],
        numbers(2, 2, 6), numbers(3, 2, 3), numbers(3)),
    "conv2d": (nn.conv2d, convolved, numbers(2, 2, 4, 5), numbers(3, 2, 2, 3), numbers(3)),
    "conv2d, one image": (
        nn.conv2d, lambda x, w: convolved(x[None], w)[0], numbers(2, 4, 5), numbers(3, 2, 2, 3)),
    "conv2d, all of it": (
        lambda x, w: nn.conv2d(x, w, None, (2, 1), (1, 2), (1, 2), 2),
        lambda x, w: convolved(x, w, None, (2, 1), (1, 2), (1, 2), 2),
        numbers(2, 4, 4, 3), numbers(2, 2, 2, 3)),
    "conv2d, same": (
        lambda x, w: nn.conv2d(x, w, padding="same", dilation=(1, 2)),
        lambda x, w: convolved(np.pad(x, [(0, 0)] * 2 + [(0, 1), (2, 2)]), w, dilation=(1, 2)),
        numbers(1, 2, 3, 4), numbers(2, 2, 2, 3)),
    "conv2d, same, of an even kernel": (
        lambda x, w: nn.conv2d(x, w, padding="same"),
        lambda x, w: convolved(np.pad(x, [(0, 0)] * 2 + [(0, 1)] * 2), w),
        numbers(1, 1, 3, 3), numbers(1, 1, 2, 2)),
    "conv_transpose2d": (
        nn.conv_transpose2d, spread, numbers(2, 2, 3, 2), numbers(2, 3, 2, 3), numbers(3)),
    "conv_transpose2d, all of it": (
        lambda x, w: nn.conv_transpose2d(x, w, None, (2, 3), (1, 0), (1, 2), 2, (1, 2)),
        lambda x, w: spread(x, w, None, (2, 3), (1, 0), (1, 2), 2, (1, 2)),
        numbers(1, 4, 2, 3), numbers(4, 1, 3, 2)),
    "max_pool2d": (
        lambda x: nn.max_pool2d(x, 2), lambda x: over_windows(largest, x, 2, 2),
        numbers(2, 2, 4, 5)),
    "max_pool2d, all of it": (
        lambda x: nn.max_pool2d(x - 3, 3, 1, 1, 2),
        lambda x: over_windows(largest, x - 3, 3, 1, 1, 2, -INF), numbers(5, 4)),
    "avg_pool2d": (
        lambda x: nn.avg_pool2d(x, 2), lambda x: over_windows(np.mean, x, 2, 2), numbers(4, 5)),
    "avg_pool2d, padded": (
        lambda x: nn.avg_pool2d(x, 3, 2, 1), lambda x: over_windows(np.mean, x, 3, 2, 1),
        numbers(5, 4)),
    "avg_pool2d, without the padding": (
        lambda x: nn.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
        lambda x: over_windows(np.nanmean, x, 3, 2, 1, around=np.nan), numbers(5, 4)),
    "avg_pool2d, divisor": (
        lambda x: nn.avg_pool2d(x, 3, 2, 1, count_include_pad=False, divisor_override=4),
        lambda x: over_windows(np.sum, x, 3, 2, 1) / 4, numbers(5, 4)),
    "attention": (nn.scaled_dot_product_attention, attended,
                  numbers(2, 3, 2), numbers(2, 4, 2), numbers(2, 4, 3)),
    "attention, causal": (
        lambda *x: nn.scaled_dot_product_attention(*x, is_causal=True),
        lambda *x: attended(*x, CAUSAL), numbers(3, 2), numbers(4, 2), numbers(4, 3)),
    "attention, mask": (
        lambda *x: nn.scaled_dot_product_attention(*x, MASK),
        lambda *x: attended(*x, np.where(MASK, 0, -INF)),
        numbers(3, 2), numbers(4, 2), numbers(4, 3)),
    "attention, numbers added": (
        nn.scaled_dot_product_attention, attended,
        numbers(3, 2), numbers(4, 2), numbers(4, 3), numbers(3, 4)),
    "attention, scale": (
        lambda *x: nn.scaled_dot_product_attention(*x, scale=0.5),
        lambda q, k, v: attended(q * 0.5**0.5, k, v),
        numbers(3, 2), numbers(4, 2), numbers(4, 3)),
    "attention, dropout": (
        lambda *x: nn.scaled_dot_product_attention(*x, dropout_p=0.5, generator=0),
        None, numbers(3, 2), numbers(4, 2), numbers(4, 3)),
    "nll_loss": (
        lambda x: nn.nll_loss(x, CLASSES), lambda x: -(x * RIGHT).sum() / 3, numbers(2, 3, 2)),
    "nll_loss, weights": (
        lambda x, w: nn.nll_loss(x, CLASSES, w),
        lambda x, w: -(x * RIGHT * w[:, None]).sum() / w.sum(), numbers(2, 3, 2), FACTORS),
    "nll_loss, weights, none": (
        lambda x, w: nn.nll_loss(x, CLASSES, w, reduction="none"),
        lambda x, w: -(x * RIGHT * w[:, None]).sum(1), numbers(2, 3, 2), FACTORS),
    "nll_loss, one sample": (lambda x: nn.nll_loss(x, 1), lambda x: -x[1], numbers(3)),
    "nll_loss, another class ignored": (
        lambda x: nn.nll_loss(x, [0, 2], ignore_index=2), lambda x: -x[0, 0], numbers(2, 3)),
    "binary_cross_entropy_with_logits": (
        nn.binary_cross_entropy_with_logits, lambda x, t: cross_entropy(x, t).mean(), X, P),
    "binary_cross_entropy_with_logits, weights": (
        lambda x, t, w, p: nn.binary_cross_entropy_with_logits(
            x, t, w, reduction="none", pos_weight=p),
        lambda x, t, w, p: w * (-p * t * np.log(sigmoid(x)) - (1 - t) * np.log(1 - sigmoid(x))),
        X, P, P + 1, numbers(4) + 3),
    "mse_loss": (nn.mse_loss, lambda x, t: ((x - t) ** 2).mean(), X, T),
    "mse_loss, none": (
        lambda x, t: nn.mse_loss(x, t, reduction="none"), lambda x, t: (x - t) ** 2, X, T),
    "l1_loss": (nn.l1_loss, lambda x, t: abs(x - t).mean(), X, T + 0.1),
    "l1_loss, sum": (
        lambda x, t: nn.l1_loss(x, t, reduction="sum"), lambda x, t: abs(x - t).sum(), X, T + 0.1),
    "huber_loss": (nn.huber_loss, lambda x, t: huber(x - t).mean(), X, T),
    "huber_loss, delta": (
        lambda x, t: nn.huber_loss(x, t, "sum", 0.7), lambda x, t: huber(x - t, 0.7).sum(), X, T),
    "kl_div": (nn.kl_div, lambda x, t: (t * (np.log(t) - x)).mean(), X, P),
    "kl_div, batchmean": (
        lambda x, t: nn.kl_div(x, t, reduction="batchmean"),
        lambda x, t: (t * (np.log(t) - x)).sum() / 3, X, P),
    "kl_div, logarithms": (
        lambda x, t: nn.kl_div(x, t, log_target=True, reduction="none"),
        lambda x, t: np.exp(t) * (t - x), X, T),
    "cosine_similarity": (
        nn.cosine_similarity, lambda x, y: cosines(x, y, 1), numbers(2, 3, 2),
        numbers(2, 3, 2, seed=1)),
    "cosine_similarity, dim": (
        lambda x, y: nn.cosine_similarity(x, y, dim=-1), lambda x, y: cosines(x, y, -1),
        X, numbers(4)),
}  # fmt: skip

each = pytest.mark.parametrize("case", CASES)


def test_every_function_has_a_case():
    tried = {case.partition(",")[0] for case in CASES} | {"scaled_dot_product_attention", "one_hot"}
    ours = {name for name, one in vars(nn).items() if getattr(one, "__module__", "") == nn.__name__}
    helpers = {
        "alike", "check_convolution", "convolution", "indices_of", "lengths_of", "normalized",
        "operands_of", "padding_of", "pooled", "reduced", "scaled", "slid", "with_bias",
    }  # fmt: skip
    assert ours - helpers <= tried


@each
def test_values(case):
    function, same, *arrays = CASES[case]
    y = function(*arrays)
    assert y.dtype == "float64"
    if same is not None:
        expected = same(*arrays)
        np.testing.assert_allclose(y.numpy(), expected, rtol=1e-13, atol=1e-14)
        assert y.shape == np.shape(expected)


@each
def test_derivatives_to_second_order(case):
    function, _, *arrays = CASES[case]
    check_grads(function, tuple(arrays), order=2)


@each
def test_float32_stays_float32(case):
    function, _, *arrays = CASES[case]
    inside = [leaf(one, dtype="float32") for one in arrays]
    y = function(*inside)
    assert y.dtype == "float32"
    np.testing.assert_allclose(y.numpy(), function(*arrays).numpy(), rtol=2e-5, atol=2e-5)
    y.sum().backward()
    assert {one.grad.dtype for one in inside} == {np.dtype("float32")}


@each
def test_a_map_gives_what_a_loop_gives(case):
    function, _, *arrays = CASES[case]
    batches = [np.stack([one, one[::-1] if one.ndim else -one, one * 0.9]) for one in arrays]
    looped = np.stack([function(*one).numpy() for one in zip(*batches, strict=True)])
    np.testing.assert_allclose(tg.vmap(function)(*batches), looped, rtol=1e-12, atol=1e-12)

    def slope(*one):
        return tg.grad(lambda *inside: (function(*inside) ** 2).sum())(*one)

    looped = np.stack([slope(*one) for one in zip(*batches, strict=True)])
    np.testing.assert_allclose(tg.vmap(slope)(*batches), looped, rtol=1e-11, atol=1e-11)


# ---------------------------------------------------------------- at kinks and at both ends

# At −10,000, −2, 0, 2 and 10,000: values and slopes, as PyTorch 2.13 gives them.
ENDS = np.array([-1e4, -2.0, 0.0, 2.0, 1e4])
ACTIVATIONS = {
    "leaky_relu": ([-100, -0.02, 0, 2, 1e4], [0.01, 0.01, 0.01, 1, 1]),
    "elu": ([-1, -0.8646647167633873, 0, 2, 1e4], [0, 0.1353352832366127, 1, 1, 1]),
    "selu": ([-1.7580993408473766, -1.5201664685956948, 0, 2.101401974710961, 10507.009873554805],
             [0, 0.2379328722516818, 1.7580993408473766, 1.0507009873554805, 1.0507009873554805]),
    "gelu": ([0, -0.04550026389635842, 0, 1.9544997361036416, 1e4],
             [0, -0.08523180107819692, 0.5, 1.085231801078197, 1]),
    "silu": ([0, -0.2384058440442351, 0, 1.7615941559557646, 1e4],
             [0, -0.09078424878489547, 0.5, 1.0907842487848955, 1]),
    "softplus": ([0, 0.1269280110429725, 0.6931471805599453, 2.1269280110429727, 1e4],
                 [0, 0.11920292202211755, 0.5, 0.8807970779778824, 1]),
    "logsigmoid": ([-1e4, -2.1269280110429727, -0.6931471805599453, -0.1269280110429725, 0],
                   [1, 0.8807970779778824, 0.5, 0.11920292202211755, 0]),
    "sigmoid": ([0, 0.11920292202211755, 0.5, 0.8807970779778823, 1],
                [0, 0.1049935854035065, 0.25, 0.10499358540350662, 0]),
}  # fmt: skip
GELU_TANH = ([0, -0.04540230591222494, 0, 1.954597694087775, 1e4],
             [0, -0.0860992566236183, 0.5, 1.0860992566236183, 1])  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", [*ACTIVATIONS, "gelu, tanh"])
def test_activations_at_kinks_and_ends(name, dtype):
    function = CASES[name][0]
    values, slopes = ACTIVATIONS.get(name, GELU_TANH)
    precision = 1e-14 if dtype == "float64" else 1e-6
    x = leaf(ENDS, dtype=dtype)
    y = function(x)
    y.sum().backward()
    np.testing.assert_allclose(y.numpy(), values, rtol=precision, atol=precision)
    np.testing.assert_allclose(x.grad.numpy(), slopes, rtol=precision, atol=precision)
    second = tg.grad(lambda x: tg.grad(lambda x: function(x).sum())(x).sum())(ENDS)
    assert np.isfinite(second).all()


@pytest.mark.parametrize(
    ("function", "second"), [(nn.softplus, 0.25), (nn.logsigmoid, -0.25), (nn.silu, 0.5)]
)
def test_second_derivatives_at_0(function, second):
    assert tg.grad(tg.grad(function))(0.0) == pytest.approx(second, abs=1e-15)


@pytest.mark.parametrize(
    ("function", "x", "expected"),
    [
        (nn.gelu, -9.0, -4.5 * math.erfc(9 / 2**0.5)),
        (nn.silu, -9.0, -9 / (1 + math.exp(9))),
        (nn.softplus, -9.0, math.log1p(math.exp(-9))),
        (nn.logsigmoid, 9.0, -math.log1p(math.exp(-9))),
    ],
)
def test_small_results_keep_their_digits(function, x, expected):
    assert function(x).item() == pytest.approx(expected, rel=1e-13)


def test_softplus_is_its_argument_beyond_the_threshold():
    assert nn.softplus(20.5).item() == 20.5
    assert nn.softplus(19.5).item() > 19.5


def test_the_normal_share_without_scipy(monkeypatch):
    x = np.array([-30.0, -2.0, 0.0, 2.0, 9.0])
    expected = nn.normal_cdf(x).numpy()
    monkeypatch.setattr("tinygraph.rules.nn.find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "scipy.special", None)
    np.testing.assert_allclose(nn.normal_cdf(x).numpy(), expected, rtol=1e-13)
    assert nn.normal_cdf(x.astype("float32")).dtype == "float32"
    assert nn.normal_cdf(2.0).dtype == nn.normal_cdf(2).dtype == "float64"
    assert nn.normal_cdf(2).item() == pytest.approx(expected[3])


def test_the_largest_pixel_that_comes_first_gets_the_gradient():
    x = np.array([[1.0, 0.0, 2.0], [1.0, 1.0, 2.0], [1.0, 1.0, 2.0]])
    (found,) = gradients(lambda x: nn.max_pool2d(x, 2, 1), x)
    np.testing.assert_array_equal(found, [[1, 0, 1], [1, 0, 1], [0, 0, 0]])


def test_padding_is_never_the_largest():
    x = np.full((2, 2), -5.0)
    assert (nn.max_pool2d(x, 2, 1, 1).numpy() == -5).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_losses_of_large_numbers(dtype):
    x = np.array([1e4, -1e4, 1e4, -1e4], dtype)
    t = np.array([1, 0, 0, 1], dtype)
    losses = nn.binary_cross_entropy_with_logits(x, t, reduction="none")
    np.testing.assert_array_equal(losses.numpy(), [0, 0, 1e4, 1e4])
    found = gradients(nn.binary_cross_entropy_with_logits, x, t)[0]
    np.testing.assert_array_equal(found, [0, 0, 0.25, -0.25])
    zero = np.zeros(4, dtype)
    assert nn.huber_loss(x, zero).item() == 9999.5
    np.testing.assert_array_equal(gradients(nn.huber_loss, x, zero)[0], np.sign(x) / 4)
    assert nn.mse_loss(x, zero).item() == 1e8
    assert nn.l1_loss(x, zero).item() == 1e4
    assert nn.cosine_similarity(x, -x, dim=0).item() == pytest.approx(-1)
    large = np.array([[1e4, -1e4], [0, 0]], dtype)
    attended = nn.scaled_dot_product_attention(large, large, large)
    np.testing.assert_array_equal(attended.numpy(), [[1e4, -1e4], [5e3, -5e3]])


@pytest.mark.parametrize("scale", [1e4, 1e-4])
def test_norms_of_large_and_of_constant_numbers(scale):
    x = X * scale
    y = nn.layer_norm(x, 4, eps=0.0).numpy()
    np.testing.assert_allclose(y, nn.layer_norm(X, 4, eps=0.0).numpy(), rtol=1e-10)
    (found,) = gradients(lambda x: nn.layer_norm(x, 4) ** 2, np.full((2, 4), scale))
    np.testing.assert_array_equal(found, 0)


def test_vectors_of_length_0():
    x, y = np.zeros(3), np.array([1.0, 2.0, 3.0])
    found = gradients(lambda x, y: nn.cosine_similarity(x, y, dim=0), x, y)
    np.testing.assert_allclose(found[0], y / 14**0.5 * 1e8)  # as in PyTorch
    np.testing.assert_array_equal(found[1], 0)


def test_a_probability_of_0_has_no_divergence():
    x, t = np.array([-1.0, -2.0]), np.array([0.0, 0.5])
    losses = nn.kl_div(x, t, reduction="none").numpy()
    np.testing.assert_allclose(losses, [0, 0.5 * (math.log(0.5) + 2)])
    found = gradients(nn.kl_div, x, t)
    np.testing.assert_array_equal(found[0], [0, -0.25])
    assert np.isfinite(found[1]).all()


@pytest.mark.parametrize("mask", [np.array([False, True])[:, None], np.array([-INF, 0.0])[:, None]])
def test_a_query_that_sees_nothing_gets_zeros(mask):
    attended = nn.scaled_dot_product_attention

    def function(q, k, v):
        return attended(q, k, v, np.broadcast_to(mask, (2, 3)))

    arrays = numbers(2, 2), numbers(3, 2), numbers(3, 2)
    np.testing.assert_array_equal(function(*arrays).numpy()[0], 0)
    np.testing.assert_allclose(
        function(*arrays).numpy()[1], attended(*arrays).numpy()[1], rtol=1e-14
    )
    found = gradients(function, *arrays)
    np.testing.assert_array_equal(found[0][0], 0)
    assert np.isfinite(found[1]).all()


def test_a_second_derivative_of_the_huber_loss_at_0():
    assert tg.grad(tg.grad(lambda x: nn.huber_loss(x, 0.0)))(0.0) == 1


# ---------------------------------------------------------------- what is not differentiated


def test_one_hot():
    rows = nn.one_hot(np.array([[0], [2]]))
    assert rows.dtype == "int64"
    np.testing.assert_array_equal(rows.numpy(), [[[1, 0, 0]], [[0, 0, 1]]])
    np.testing.assert_array_equal(nn.one_hot(1, 3).numpy(), [0, 1, 0])
    assert nn.one_hot(np.zeros((2, 0), int)).shape == (2, 0, 0)


def test_indices_that_are_mapped_over():
    indices, weight = np.array([[0, 2], [3, 0]]), numbers(4, 3)
    for padding in (None, 2, -2):
        found = tg.vmap(lambda i, p=padding: nn.embedding(i, weight, p))(indices)
        np.testing.assert_array_equal(found, weight[indices])
    np.testing.assert_array_equal(tg.vmap(lambda i: nn.one_hot(i, 4))(indices), np.eye(4)[indices])
    x = numbers(2, 2, 4)
    found = tg.vmap(lambda x, t: nn.nll_loss(x, t, reduction="none"))(x, indices)
    np.testing.assert_array_equal(found, -np.take_along_axis(x, indices[..., None], -1)[..., 0])
    with pytest.raises(tg.BoundsError, match="holds 3; indices go from 0 to 2"):
        tg.vmap(lambda i: nn.one_hot(i, 3))(indices)


@pytest.mark.parametrize("row", [2, -2])
def test_a_row_of_padding_gets_no_gradient(row):
    weight = numbers(4, 3)
    (found,) = gradients(lambda w: nn.embedding([0, 2, 2, 1], w, row), weight)
    np.testing.assert_array_equal(found, [[1] * 3, [1] * 3, [0] * 3, [0] * 3])


# ---------------------------------------------------------------- dropout


def test_dropout_keeps_the_mean_and_its_share():
    x = np.ones((200, 100))
    y = nn.dropout(x, 0.2, generator=np.random.default_rng(0)).numpy()
    assert set(np.unique(y)) == {0, 1 / 0.8}
    assert abs((y == 0).mean() - 0.2) < 0.01
    np.testing.assert_array_equal(nn.dropout(x, 1.0, generator=0).numpy(), 0)
    np.testing.assert_array_equal(nn.dropout(x, 0.0).numpy(), x)
    np.testing.assert_array_equal(nn.dropout(x, training=False).numpy(), x)


@pytest.mark.parametrize(
    "window", [((3, 1, 1, 0, 0),), ((2, 3, 2, 0, 0), (3, 2, 1, 0, 0)), ((1, 1, 1, 0, 0),) * 3]
)
def test_windows_by_indices_are_those_by_strides(window):
    a = np.arange(2 * 7 * 8.0).reshape(2, 7, 8)
    counts = positions(a.shape[-len(window) :], window)
    np.testing.assert_array_equal(gathered(np, a, window, counts), windows(np, a, window))


def test_a_window_that_is_too_long_shows_nothing():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    y = nn.windows(x, ((3, 1, 1, 0, 0),))
    assert y.shape == (3, 0)
    y.sum().backward()
    assert x.grad.tolist() == [0.0, 0.0]


def test_a_generator_draws_anew_and_a_number_gives_the_same():
    x, generator = np.ones(100), np.random.default_rng(0)
    first, second = (nn.dropout(x, generator=generator).numpy() for _ in range(2))
    assert (first != second).any()
    first, second = (nn.dropout(x, generator=5).numpy() for _ in range(2))
    assert (first == second).all()


def test_gradients_see_the_same_as_the_values():
    x = leaf(np.full(50, 3.0))
    y = nn.dropout(x, generator=np.random.default_rng(0))
    (slope,) = tg.vjp(lambda x: (nn.dropout(x, generator=0) ** 2).sum(), x.numpy())[1](1.0)
    (y**3).sum().backward(create_graph=True)
    kept = y.numpy() > 0
    np.testing.assert_array_equal(x.grad.numpy(), np.where(kept, 3 * 36.0 * 2, 0))
    first = x.grad
    x.grad = None
    first.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.where(kept, 6 * 6.0 * 4, 0))
    x.grad = None
    assert set(np.unique(slope)) == {0, 24}


def test_each_example_of_a_map_is_dropped_alike():
    y = tg.vmap(lambda x: nn.dropout(x, generator=np.random.default_rng(0)))(np.ones((3, 50)))
    assert (y[0] == y).all()
    assert 0 < y.mean() < 2


@pytest.mark.parametrize("nested", [False, True])
def test_a_checkpoint_runs_again_with_the_same(nested):
    def block(x, generator):
        return tg.tanh(nn.dropout(x, generator=generator)) * nn.dropout(x, generator=generator)

    def kept(x, generator):
        def twice(x):
            inner = (
                tg.checkpoint(lambda x: block(x, generator))
                if nested
                else lambda x: block(x, generator)
            )
            return inner(inner(x)) if nested else inner(x)

        return tg.checkpoint(twice)(x)

    def plain(x, generator):
        y = block(x, generator)
        return block(y, generator) if nested else y

    x = numbers(40)
    for order in (1, 2):
        found = []
        for function in (kept, plain):
            generator = np.random.default_rng(7)

            def loss(x, function=function, generator=generator):
                return (function(x, generator) ** 2).sum()

            slope = tg.grad(loss)
            if order == 2:
                slope = tg.grad(lambda x, slope=slope: (slope(x) ** 2).sum())
            found.append(slope(x))
        np.testing.assert_allclose(*found, rtol=1e-12, atol=1e-14)
        assert (found[0] == 0).any()
        assert (found[0] != 0).any()


def test_a_checkpoint_replays_with_the_same():
    generator = np.random.default_rng(0)
    block = tg.checkpoint(lambda x: nn.dropout(x, generator=generator) * 2)
    y = block(leaf(X))
    for _ in range(2):
        np.testing.assert_array_equal(replay([y._node], np)[y._node], y.numpy())


# ---------------------------------------------------------------- the running statistics


@pytest.mark.parametrize("kind", [np.array, lambda data: tg.tensor(data)])
def test_running_statistics_move(kind):
    x = numbers(4, 3, 2)
    mean, variance = kind(np.zeros(3)), kind(np.ones(3))
    nn.batch_norm(leaf(x), mean, variance, training=True, momentum=0.25)
    assert not getattr(mean, "requires_grad", False)
    np.testing.assert_allclose(np.asarray(mean), 0.25 * x.mean((0, 2)))
    expected = 0.75 + 0.25 * x.var((0, 2), ddof=1)
    np.testing.assert_allclose(np.asarray(variance), expected)
    nn.batch_norm(x, mean, variance)
    np.testing.assert_allclose(np.asarray(variance), expected)


def test_running_statistics_move_once_where_a_function_runs_again():
    x = numbers(4, 3)
    mean, variance = np.zeros(3), np.ones(3)

    def block(x):
        return nn.batch_norm(x, mean, variance, training=True)

    @tg.custom_vjp
    def mine(x):
        return block(x)

    mine.defvjp(lambda x: (block(x), x), lambda x, g: g * x)
    twice = tg.checkpoint(tg.checkpoint(block))
    for f in (block, tg.checkpoint(block), twice, mine):
        for differentiate in (tg.grad, tg.hessian):
            mean[:], variance[:] = 0.0, 1.0
            differentiate(lambda x, f=f: (f(x) ** 2).sum())(x)
            np.testing.assert_allclose(mean, 0.1 * x.mean(0))
            np.testing.assert_allclose(variance, 0.9 + 0.1 * x.var(0, ddof=1))


# ---------------------------------------------------------------- what is recorded


def test_a_convolution_copies_the_image_once_and_loops_over_no_pixel():
    x = leaf(numbers(2, 3, 8, 8))
    shown = nn.windows(x, ((3, 1, 1, 0, 0), (3, 1, 1, 0, 0)))
    assert np.shares_memory(shown.data, x.data)
    assert not shown._data.flags.writeable  # its entries share memory with each other
    y = nn.conv2d(x, leaf(numbers(4, 3, 3, 3)))
    names = []
    nodes = [y._node]
    for node in nodes:
        names.append(node.plan.rule.name)
        nodes += [one for one in node.inputs if getattr(one, "plan", None)]
    assert sorted(names) == ["matmul", "nn.windows", "reshape", "reshape", "reshape"]


# ---------------------------------------------------------------- what is refused

IMAGE, KERNEL = np.zeros((2, 4, 5, 5)), np.zeros((6, 4, 3, 3))
SHAPE, VALUE, BOUNDS, DTYPE = tg.ShapeError, tg.ArgumentError, tg.BoundsError, tg.DTypeError
REFUSED = [
    (lambda: nn.gelu(X, "erf"), VALUE, "gelu: approximate='erf'"),
    (lambda: nn.linear(X, np.zeros((4, 3))), SHAPE, r"linear: input .*\(3, 4\).*weight .*\(4, 3\)"),
    (lambda: nn.linear(1.0, np.zeros(1)), SHAPE, r"linear: input of shape \(\)"),
    (lambda: nn.linear(X, np.zeros((2, 5, 4))), SHAPE, "linear: .*one axis before it"),
    (lambda: nn.linear(X, np.zeros((5, 4)), np.zeros(4)), SHAPE, r"bias .*\(4,\); .*\(5,\)"),
    (lambda: nn.embedding([0, 4], np.zeros((4, 2))), BOUNDS, "embedding: input holds 4; .* 0 to 3"),
    (lambda: nn.embedding([-1], np.zeros((4, 2))), BOUNDS, "embedding: input holds -1"),
    (lambda: nn.embedding([0.0], np.zeros((4, 2))), DTYPE, "embedding: input .*float64"),
    (lambda: nn.embedding([0], np.zeros(4)), SHAPE, r"embedding: weight of shape \(4,\)"),
    (lambda: nn.one_hot([0, 3], 3), BOUNDS, "one_hot: tensor holds 3; .* 0 to 2"),
    (lambda: nn.one_hot([-1]), BOUNDS, "one_hot: tensor holds -1; .* from 0 up"),
    (lambda: nn.dropout(X, 1.5, generator=0), VALUE, "dropout: p=1.5"),
    (lambda: nn.dropout(X, -0.5, generator=0), VALUE, "dropout: p=-0.5"),
    (lambda: nn.dropout(X), VALUE, "dropout: .*generator=numpy.random.default_rng"),
    (lambda: nn.layer_norm(X, 3), SHAPE, r"layer_norm: input .*\(3, 4\).*normalized_shape=\(3,\)"),
    (lambda: nn.layer_norm(X, ()), SHAPE, r"layer_norm: .*normalized_shape=\(\)"),
    (lambda: nn.layer_norm(X, 4, np.zeros(3)), SHAPE, r"layer_norm: weight has shape \(3,\)"),
    (lambda: nn.layer_norm(X, 4, None, np.zeros(3)), SHAPE, r"layer_norm: bias has shape \(3,\)"),
    (lambda: nn.batch_norm(np.zeros(3), None, None, training=True), SHAPE, "no batch"),
    (lambda: nn.batch_norm(X, None, np.ones(4)), VALUE, "batch_norm: running_mean is None"),
    (lambda: nn.batch_norm(X, np.ones(3), np.ones(4)), SHAPE, r"running_mean .*\(3,\); .*\(4,\)"),
    (lambda: nn.batch_norm(X, np.ones(4), np.ones(4), np.ones(3)), SHAPE, "batch_norm: weight"),
    (lambda: nn.batch_norm(X[:1], None, None, training=True), SHAPE, "1 values for each channel"),
    (lambda: nn.conv2d(IMAGE, KERNEL[0]), SHAPE, r"conv2d: weight of shape \(4, 3, 3\)"),
    (lambda: nn.conv2d(IMAGE[0, 0], KERNEL), SHAPE, "conv2d: input .* has 2 axes; give 4"),
    (lambda: nn.conv2d(IMAGE[None], KERNEL), SHAPE, "conv2d: input .* has 5 axes; give 4"),
    (lambda: nn.conv1d(IMAGE, KERNEL[0]), SHAPE, "conv1d: input .* has 4 axes; give 3"),
    (lambda: nn.conv2d(IMAGE[:, :3], KERNEL), SHAPE, "input .* 3 channels, but weight .* takes 4"),
    (lambda: nn.conv2d(IMAGE, KERNEL, groups=2), SHAPE, "groups=2 takes 8"),
    (lambda: nn.conv2d(IMAGE, KERNEL, groups=3), VALUE, "conv2d: groups=3"),
    (lambda: nn.conv2d(IMAGE, KERNEL, groups=0), VALUE, "conv2d: groups=0"),
    (lambda: nn.conv2d(IMAGE, KERNEL, np.zeros(4)), SHAPE, r"conv2d: bias .*\(4,\).*\(6,\)"),
    (lambda: nn.conv2d(IMAGE, KERNEL, stride=0), VALUE, "conv2d: stride=0"),
    (lambda: nn.conv2d(IMAGE, KERNEL, stride=(1, 1, 1)), VALUE, "conv2d: stride=.*2 of them"),
    (lambda: nn.conv2d(IMAGE, KERNEL, padding=-1), VALUE, "conv2d: padding=-1"),
    (lambda: nn.conv2d(IMAGE, KERNEL, padding="full"), DTYPE, "conv2d: padding"),
    (lambda: nn.conv2d(IMAGE, KERNEL, stride=1.5), DTYPE, "conv2d: stride is an int"),
    (lambda: nn.conv2d(IMAGE, KERNEL, stride=2, padding="same"), VALUE, '"same" needs stride 1'),
    (lambda: nn.conv2d(IMAGE, KERNEL, dilation=3), SHAPE, r"spans \(7, 7\) .*\(2, 4, 5, 5\)"),
    (lambda: nn.conv_transpose2d(IMAGE, KERNEL), SHAPE, "conv_transpose2d: .* takes 6"),
    (lambda: nn.conv_transpose2d(IMAGE, KERNEL[:4], output_padding=1), VALUE, "output_padding=.*1"),
    (lambda: nn.conv_transpose2d(IMAGE, KERNEL[:4], padding=4), SHAPE, "padding=.*nothing"),
    (lambda: nn.max_pool2d(np.zeros(3), 2), SHAPE, r"max_pool2d: input of shape \(3,\)"),
    (lambda: nn.max_pool2d(IMAGE, 2, padding=2), VALUE, "max_pool2d: padding=.* half of kernel"),
    (lambda: nn.avg_pool2d(IMAGE, 6), SHAPE, r"avg_pool2d: a kernel that spans \(6, 6\)"),
    (lambda: nn.scaled_dot_product_attention(X, X[:, :3], X), SHAPE, r"query .*4\), key \(3, 3\)"),
    (lambda: nn.scaled_dot_product_attention(X, X, X[:2]), SHAPE, r"value \(2, 4\)"),
    (lambda: nn.scaled_dot_product_attention(X[0], X, X), SHAPE, "at least 2 axes"),
    (lambda: nn.scaled_dot_product_attention(X, X, X, MASK, is_causal=True), VALUE, "not both"),
    (lambda: nn.nll_loss(X, [0, 1]), SHAPE, r"nll_loss: target .*\(2,\).*input .*\(3, 4\)"),
    (lambda: nn.nll_loss(1.0, 0), SHAPE, r"nll_loss: input of shape \(\)"),
    (lambda: nn.nll_loss(X, [0, 1, 4]), BOUNDS, "nll_loss: target holds 4; .* 0 to 3"),
    (lambda: nn.nll_loss(X, [0, 1, 3], np.ones(3)), SHAPE, r"weight has shape \(3,\).* 4 classes"),
    (lambda: nn.nll_loss(X, [0, 1, 3], reduction="all"), VALUE, "nll_loss: reduction='all'"),
    (lambda: nn.mse_loss(X, X[0]), SHAPE, r"mse_loss: input .*\(3, 4\) and target .*\(4,\)"),
    (lambda: nn.l1_loss(X, X, reduction="batchmean"), VALUE, "l1_loss: reduction"),
    (lambda: nn.huber_loss(X, X.T), SHAPE, "huber_loss: input"),
    (lambda: nn.kl_div(X, X[:1]), SHAPE, "kl_div: input"),
    (lambda: nn.binary_cross_entropy_with_logits(X, X[0]), SHAPE, "with_logits: input"),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_what_makes_no_sense_is_refused(number):
    function, error, message = REFUSED[number]
    with pytest.raises(error, match=message):
        function()


# ---------------------------------------------------------------- beside PyTorch, where it is


@pytest.fixture(scope="module")
def torch():
    if importlib.util.find_spec("torch") is None:
        pytest.skip('PyTorch is not installed: pip install -e ".[peers]"')
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch
        import torch.nn.functional

        yield torch


WINDOWS = [*itertools.product((1, 2, (2, 1)), (0, 1, (2, 1)), (1, 2), (1, 2))]
SAME = [(1, "same", 1, 1), (1, "same", 2, 2), (2, "valid", 1, 2)]


def twins(torch):
    """Return pairs of functions, ours and PyTorch's, with arrays."""
    theirs = torch.nn.functional
    for name in ACTIVATIONS:
        if name != "sigmoid":
            yield name, getattr(nn, name), getattr(theirs, name), X * 3
    for stride, padding, dilation, groups in WINDOWS + SAME:
        arguments = stride, padding, dilation, groups
        yield (
            ("conv2d", *arguments), lambda *x, a=arguments: nn.conv2d(*x, *a),
            lambda *x, a=arguments: theirs.conv2d(*x, *a),
            numbers(2, 4, 7, 8), numbers(6, 4 // groups, 2, 3), numbers(6),
        )  # fmt: skip
    for stride, padding, dilation, groups in WINDOWS:
        arguments = stride, padding, int(stride == 2), groups, dilation
        yield (
            ("conv_transpose2d", *arguments), lambda *x, a=arguments: nn.conv_transpose2d(*x, *a),
            lambda *x, a=arguments: theirs.conv_transpose2d(*x, *a),
            numbers(2, 4, 5, 6), numbers(4, 3, 2, 3), numbers(3 * groups),
        )  # fmt: skip
    for arguments in itertools.product((2, 3, (2, 3)), (None, 1, (2, 1)), (0, 1), (1, 2)):
        yield (
            ("max_pool2d", *arguments), lambda x, a=arguments: nn.max_pool2d(x, *a),
            lambda x, a=arguments: theirs.max_pool2d(x, *a), np.round(numbers(2, 3, 8, 9)),
        )  # fmt: skip
    mask, indices, factors = map(torch.tensor, (MASK, CLASSES, FACTORS))
    yield (
        "attention", lambda *x: nn.scaled_dot_product_attention(*x, MASK),
        lambda *x: theirs.scaled_dot_product_attention(*x, mask),
        numbers(2, 3, 2), numbers(2, 4, 2), numbers(2, 4, 3),
    )  # fmt: skip
    yield "cosine_similarity", nn.cosine_similarity, theirs.cosine_similarity, X, T
    for reduction in ("mean", "sum", "none"):
        options = {"reduction": reduction}
        for name in ("mse_loss", "l1_loss", "huber_loss", "kl_div"):
            yield (
                (name, reduction), lambda *x, n=name, o=options: getattr(nn, n)(*x, **o),
                lambda *x, n=name, o=options: getattr(theirs, n)(*x, **o), X, P,
            )  # fmt: skip
        yield (
            ("nll_loss", reduction), lambda x, o=options: nn.nll_loss(x, CLASSES, FACTORS, **o),
            lambda x, o=options: theirs.nll_loss(x, indices, factors, **o), numbers(2, 3, 2),
        )  # fmt: skip


def test_numbers_and_gradients_are_those_of_pytorch(torch):
    for name, ours, theirs, *arrays in twins(torch):
        inside = [leaf(one) for one in arrays]
        other = [torch.tensor(one, requires_grad=True) for one in arrays]
        y, z = ours(*inside), theirs(*other)
        weights = numbers(*y.shape, seed=2)
        y.backward(weights)
        z.backward(torch.tensor(weights))
        np.testing.assert_allclose(
            y.numpy(), z.detach().numpy(), rtol=1e-12, atol=1e-12, err_msg=str(name)
        )
        for one, two in zip(inside, other, strict=True):
            np.testing.assert_allclose(
                one.grad.numpy(), two.grad.numpy(), rtol=1e-11, atol=1e-12, err_msg=str(name)
            )


X22 = np.array([[1.0, 0.5], [0.25, 2.0]])


def test_a_nan_is_not_masked_away():
    query = np.array([[np.nan, 1.0], [1.0, 2.0]])
    found = nn.scaled_dot_product_attention(query, X22, X22, attn_mask=np.zeros((2, 2)))
    assert np.isnan(found.numpy()[0]).all()
    assert np.isfinite(found.numpy()[1]).all()


def test_dropout_of_all_keeps_the_dtype():
    found = nn.dropout(np.ones(3, "float32"), 1.0, generator=0)
    assert found.dtype == "float32"
    assert found.tolist() == [0.0, 0.0, 0.0]


def test_a_row_of_padding_that_is_not_there_is_refused():
    with pytest.raises(IndexError):
        nn.embedding([0, 1], X22, padding_idx=10)
