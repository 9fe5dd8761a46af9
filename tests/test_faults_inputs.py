"""Inputs that are not what one expects: right by NumPy's rules, or a clear error."""

import collections
import datetime
import decimal
import fractions
import warnings

import numpy as np
import pytest

import tinygraph as tg

V = np.array([1.0, 2.0, 3.0])
INF, NAN = np.inf, np.nan
RTOL = 1e-15


def leaf(data):
    return tg.tensor(data, requires_grad=True)


def both(f, data):
    """Return a result and the gradient of its sum, as arrays."""
    a = leaf(data)
    y = f(a)
    y.backward(np.ones(y.shape, y.dtype))
    return y.numpy(), a.grad.numpy()


def agree(found, expected):
    for one, other in zip(found, expected, strict=True):
        if other is not None:
            np.testing.assert_allclose(one, other, rtol=RTOL, atol=1e-12)


# ---------------------------------------------------------------- what is no array of numbers


def endless():
    found = []
    found.append(found)
    return found


NO_NUMBERS = {
    "None": None,
    "text": "a",
    "bytes": b"a",
    "a dict": {"a": 1.0},
    "a set": {1.0},
    "a generator": (i for i in range(3)),
    "dict values": {"a": 1.0}.values(),
    "a function": len,
    "a class": float,
    "an ellipsis": ...,
    "a Fraction": fractions.Fraction(1, 2),
    "a Decimal": decimal.Decimal("1.5"),
    "a date": datetime.date(2026, 1, 1),
    "objects": np.array([1, None], object),
    "texts": np.array(["1.0"]),
    "a list of texts": ["1.0"],
    "a list with None": [1.0, None],
    "numbers and text": [1.0, "a"],
    "dates": np.array(["2020"], "M8[Y]"),
    "durations": np.array([1], "m8[s]"),
    "a structured array": np.zeros(2, [("a", "f8")]),
    "a record array": np.rec.array([(1.0,)], dtype=[("a", "f8")]),
    "raw bytes": np.zeros(1, "V4"),
    "a ragged list": [[1.0], [2.0, 3.0]],
    "a list in itself": endless(),
    "a matrix": np.ones((1, 1)).view(np.matrix),
    "a list of matrices": [np.ones((1, 1)).view(np.matrix)],
    "a masked array": np.ma.array([1.0, 2.0], mask=[0, 1]),
    "the masked number": np.ma.masked,
    "a list of masked arrays": [np.ma.array([1.0, 2.0], mask=[0, 1])],
}


@pytest.mark.parametrize("name", NO_NUMBERS)
def test_what_is_no_array_of_numbers_is_refused_at_every_door(name):
    one = NO_NUMBERS[name]
    for door in (tg.tensor, tg.asarray):
        with pytest.raises((tg.DTypeError, tg.ShapeError), match=r"not a|not taken"):
            door(one)
    with pytest.raises((tg.DTypeError, tg.ShapeError), match=r"^multiply: .*(not a|not taken)"):
        tg.multiply(leaf(V[:1]), one)
    with pytest.raises(TypeError if not isinstance(one, list | tuple) else (TypeError, ValueError)):
        leaf(V[:1]) * one


@pytest.mark.parametrize("dtype", [object, str, "U5", "M8[s]", "V4", "float63", "[1.0]"])
@pytest.mark.parametrize("door", [
    lambda dtype: tg.tensor([1.0], dtype=dtype), lambda dtype: tg.asarray(V, dtype=dtype),
    lambda dtype: leaf(V).astype(dtype), lambda dtype: tg.zeros(2, dtype=dtype),
    lambda dtype: tg.full(2, 1.0, dtype=dtype), lambda dtype: tg.sum(leaf(V), dtype=dtype),
], ids=["tensor", "asarray", "astype", "zeros", "full", "sum"])  # fmt: skip
def test_a_dtype_of_other_things_than_numbers_is_refused(door, dtype):
    with pytest.raises(tg.DTypeError, match=r"dtype"):
        door(dtype)


@pytest.mark.parametrize("door", [
    lambda dtype: tg.tensor([1.0], dtype=dtype), lambda dtype: tg.asarray(V, dtype=dtype),
    lambda dtype: leaf(V).astype(dtype), lambda dtype: tg.zeros(2, dtype=dtype),
    lambda dtype: tg.asarray(V.astype(dtype)), lambda dtype: leaf(V) * V.astype(dtype),
])  # fmt: skip
def test_a_foreign_byte_order_is_made_native(door):
    assert door(np.dtype(float).newbyteorder()).dtype.isnative


# ---------------------------------------------------------------- arrays of every layout

LAYOUTS = {
    "Fortran": np.asfortranarray,
    "negative strides": lambda a: a[::-1, ::-1].copy()[::-1, ::-1],
    "every second": lambda a: np.repeat(np.repeat(a, 2, 0), 2, 1)[::2, ::2],
    "big-endian": lambda a: a.astype(">f8"),
    "a subclass": lambda a: a.view(type("Mine", (np.ndarray,), {})),
    "read-only": lambda a: np.frombuffer(a.tobytes()).reshape(a.shape),
    "a list": lambda a: a.tolist(),
    "a deque of rows": lambda a: collections.deque(a.tolist()),
    "a memory view": lambda a: memoryview(a),
    "longdouble": lambda a: a.astype(np.longdouble),
}


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("door", [tg.tensor, tg.asarray])
def test_every_layout_gives_the_same_numbers(door, name):
    a = np.random.default_rng(0).normal(size=(3, 4))
    given = LAYOUTS[name](a)
    x, w = door(given), leaf(a * 2)
    assert (x * 1).numpy().tolist() == a.tolist()
    x.requires_grad = True
    (x * w * given).sum().backward()
    agree((w.grad.numpy(), x.grad.numpy()), (a * a, 2 * a * a))
    assert x.grad.dtype == x.dtype


@pytest.mark.parametrize("make", [np.asfortranarray, lambda a: a.T, lambda a: a.swapaxes(0, 1)])
def test_recording_what_is_shared_changes_no_bit(make):
    a = make(np.random.default_rng(0).normal(size=(30, 40, 50)).astype("float32"))
    x, w = tg.asarray(a), leaf(np.float32(1.0))
    assert (x * w).sum().numpy().tobytes() == a.sum().tobytes()
    x.requires_grad = True
    for axis in (None, 0, -1):
        assert x.sum(axis=axis).numpy().tobytes() == a.sum(axis=axis).tobytes()


@pytest.mark.parametrize("overlapping", [
    np.broadcast_to(np.array(2.0), (3,)),
    np.lib.stride_tricks.as_strided(np.arange(4.0), (3, 2), (8, 8)),
], ids=["zero strides", "overlapping"])  # fmt: skip
def test_entries_that_share_memory_have_gradients_of_their_own(overlapping):
    x = tg.asarray(overlapping)
    x.requires_grad = True
    (x * x).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), 2 * overlapping)


# ---------------------------------------------------------------- numbers at the edges

F16 = "float16"
BIG16 = 70_000  # more than float16 has numbers for

# name: (function, input, result, gradient); None where it does not matter
NUMBERS = {
    "mean of many float16": (tg.mean, np.ones(BIG16, F16), 1.0, np.full(BIG16, 1.43e-5, F16)),
    "cross-entropy of many float16": (
        lambda x: tg.softmax_cross_entropy(x, np.zeros(BIG16, int))[None],
        np.zeros((BIG16, 2), F16), None, np.tile(np.array([[-7.15e-6, 7.15e-6]], F16), (BIG16, 1))),
    "float16 that overflows": (lambda x: x * x, np.array([300.0], F16), [INF], [600.0]),
    "softmax of large float16": (tg.softmax, np.array([6e4, -6e4, 0], F16), [1, 0, 0], [0, 0, 0]),
    "denormal numbers": (lambda x: x * 2, [5e-324, 1e-310], [1e-323, 2e-310], [2, 2]),
    "softmax of 1e4": (tg.softmax, [1e4, -1e4, 0], [1, 0, 0], [0, 0, 0]),
    "softmax of -inf": (tg.softmax, [-INF, 0, 0], [0, 0.5, 0.5], [0, 0, 0]),
    "log_softmax of -inf": (
        lambda x: tg.log_softmax(x)[1], [-INF, 0, 0], -np.log(2), [0, 0.5, -0.5]),
    "logsumexp of -inf": (tg.logsumexp, [-INF, -INF], -INF, [0, 0]),
    "logsumexp of 1e4": (tg.logsumexp, [1e4, 1e4], 1e4 + np.log(2), [0.5, 0.5]),
    "cross-entropy of 1e4": (
        lambda x: tg.softmax_cross_entropy(x, [0]), [[-1e4, 1e4]], 2e4, [[-1, 1]]),
    "cross-entropy of 1e308": (
        lambda x: tg.softmax_cross_entropy(x, [0]), [[-1e308, 1e308]], INF, [[-1, 1]]),
    "cross-entropy, another class at -inf": (
        lambda x: tg.softmax_cross_entropy(x, [1]), [[-INF, 0, 0]], np.log(2), [[0, -0.5, 0.5]]),
    "cross-entropy, the class at -inf": (
        lambda x: tg.softmax_cross_entropy(x, [0]), [[-INF, 0, 0]], INF, [[-1, 0.5, 0.5]]),
    "cross-entropy, no weight at -inf": (
        lambda x: tg.softmax_cross_entropy(x, [[0.0, 1.0, 0.0]]), [[-INF, 0, 0]], np.log(2),
        [[0, -0.5, 0.5]]),
    "cross-entropy of NaN": (
        lambda x: tg.softmax_cross_entropy(x, [0]), [[NAN, 0]], NAN, [[NAN, NAN]]),
    "sigmoid at its ends": (
        tg.nn.sigmoid, [-INF, -1e4, 0, 1e4, INF], [0, 0, 0.5, 1, 1], [0, 0, 0.25, 0, 0]),
    "softplus at its ends": (
        tg.nn.softplus, [-INF, -1e4, 0, 1e4, INF], [0, 0, np.log(2), 1e4, INF], [0, 0, 0.5, 1, 1]),
    "logsigmoid at its ends": (
        tg.nn.logsigmoid, [-1e4, 0, 1e4, INF], [-1e4, -np.log(2), 0, 0], [1, 0.5, 0, 0]),
    "binary cross-entropy at its ends": (
        lambda x: tg.nn.binary_cross_entropy_with_logits(x, [0.0, 1.0], reduction="none"),
        [1e4, -1e4], [1e4, 1e4], [1, -1]),
    "tanh at its ends": (tg.tanh, [-INF, -1e4, 1e4, INF], [-1, -1, 1, 1], [0, 0, 0, 0]),
    "gelu far out": (tg.nn.gelu, [-1e4, 1e4], [0, 1e4], [0, 1]),
    "elu at its ends": (tg.nn.elu, [-INF, 1e4], [-1, 1e4], [0, 1]),
    "relu of NaN and inf": (tg.relu, [NAN, INF, -INF, -0.0], [NAN, INF, 0, 0], [0, 1, 0, 0]),
    "the largest of two inf": (tg.max, [INF, INF, 1], INF, [0.5, 0.5, 0]),
    "the square root of 0": (tg.sqrt, [0.0], [0], [INF]),
    "the logarithm of 0": (tg.log, [0.0], [-INF], [INF]),
    "1 / 0": (lambda x: 1 / x, [0.0], [INF], [-INF]),
    "exp beyond all": (tg.exp, [1e3], [INF], [INF]),
    "0 ** 0": (lambda x: x**0, [0.0], [1], [0]),
    "0 ** y": (lambda y: 0.0**y, [0.0, 2.0], [1, 0], [0, 0]),
    "a negative ** 2.0": (lambda x: x ** np.array([2.0]), [-3.0], [9], [-6]),
    "a negative ** 0.5": (lambda x: x**0.5, [-1.0], [NAN], [NAN]),
    "log1p of expm1 of 1e-18": (lambda x: tg.log1p(tg.expm1(x)), [1e-18], [1e-18], [1]),
    "hypot of 1e200": (lambda x: tg.hypot(x, 4e200), [3e200], [5e200], [0.6]),
    "|z| of 1e200": (tg.abs, [3e200 + 4e200j], [5e200], [0.6 + 0.8j]),
    "the norm of 0": (tg.linalg.vector_norm, [0.0, 0.0], 0, [0, 0]),
    "a product with zeros": (tg.prod, [2.0, 0, 3, 0], 0, [0, 0, 0, 0]),
    "products with a zero": (tg.cumulative_prod, [2.0, 0, 3], [2, 0, 0], [1, 8, 0]),
    "layer_norm of one value": (lambda x: tg.nn.layer_norm(x, 3), [1.0] * 3, [0] * 3, [0] * 3),
    "std of one value": (tg.std, [1.0, 1.0], 0, [0, 0]),
    "kl_div of no probability": (
        lambda x: tg.nn.kl_div(x, [0.0, 1.0]), [-1.0, -2.0], 1, [0, -0.5]),
    "huber_loss of inf": (lambda x: tg.nn.huber_loss(x, [0.0]), [INF], INF, [1]),
    "clip between crossed bounds": (lambda x: tg.clip(x, 2.0, 1.0), V, [1] * 3, [0] * 3),
    "all dropped": (lambda x: tg.nn.dropout(x, 1.0, generator=0), V, [0] * 3, [0] * 3),
    # ---- nothing there
    "the sum of nothing": (tg.sum, [], 0, []),
    "the mean of nothing": (tg.mean, [], NAN, []),
    "the product of nothing": (tg.prod, [], 1, []),
    "the norm of nothing": (tg.linalg.vector_norm, [], 0, []),
    "softmax of no rows": (tg.softmax, np.ones((0, 2)), np.ones((0, 2)), np.ones((0, 2))),
    "cross-entropy of no rows": (
        lambda x: tg.softmax_cross_entropy(x, np.zeros(0, int)), np.ones((0, 2)), NAN,
        np.ones((0, 2))),
    "a product over nothing": (
        lambda x: x @ np.ones((0, 2)), np.ones((3, 0)), np.zeros((3, 2)), np.ones((3, 0))),
    "an inverse of nothing": (tg.linalg.inv, np.ones((0, 0)), np.ones((0, 0)), np.ones((0, 0))),
    "nothing joined": (lambda x: tg.concat([x, np.ones(0)]), V, V, [1, 1, 1]),
    "nothing selected": (lambda x: x[np.zeros(3, bool)], V, [], [0, 0, 0]),
    "nothing listed": (lambda x: x[[]], V, [], [0, 0, 0]),
    "all ignored": (
        lambda x: tg.nn.nll_loss(x, [-100, -100]), np.ones((2, 2)), NAN, np.zeros((2, 2))),
    # ---- one number
    "x[()] of a number": (lambda x: x[()], 2.0, 2, 1),
    "x[...] of a number": (lambda x: x[...], 2.0, 2, 1),
    "x[None] of a number": (lambda x: x[None], 2.0, [2], 1),
    "x[True] of a number": (lambda x: x[True], 2.0, [2], 1),
    "x[False] of a number": (lambda x: x[False], 2.0, [], 0),
    "x[0, True]": (lambda x: x[0, True], V, [1], [1, 0, 0]),
    "softmax of one": (tg.softmax, [2.0], [1], [0]),
    # ---- integers and bools among the operands
    "times integers": (lambda x: x * np.array([1, 2, 3]), V, V * [1, 2, 3], [1, 2, 3]),
    "times bools": (lambda x: x * np.array([True, False, True]), V, [1, 0, 3], [1, 0, 1]),
    "indices of uint8 in a long axis": (
        lambda x: x[np.array([200], "u1")], np.arange(300.0), [200], np.eye(300)[200]),
    "a complex factor": (lambda x: x * 1j, V, V * 1j, [0, 0, 0]),
}  # fmt: skip


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_at_the_edges(name):
    f, data, result, gradient = NUMBERS[name]
    data = np.asarray(data)
    data = data.astype(float) if data.dtype.kind in "iu" else data
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of NumPy, for the mean of nothing
        agree(both(f, data), (result, gradient))


# ---------------------------------------------------------------- labels and the like

LOGITS = np.arange(9.0).reshape(3, 3)


def loss(labels, logits=LOGITS, **options):
    return both(lambda x: tg.softmax_cross_entropy(x, labels, **options), logits)


@pytest.mark.parametrize("labels", [
    [0, 1, 2], np.arange(3, dtype="u1"), np.arange(3, dtype="u8"), np.eye(3), np.eye(3, dtype=int),
    np.eye(3, dtype=bool), tg.tensor([0, 1, 2]), np.arange(3, dtype=">i4"),
], ids=lambda one: f"{type(one).__name__}-{getattr(one, 'dtype', '')}")  # fmt: skip
def test_labels_in_every_form_mean_the_same(labels):
    agree(loss(labels), loss(np.arange(3)))


@pytest.mark.parametrize("dtype", ["u1", "i1"])
def test_labels_narrower_than_the_number_of_classes(dtype):
    logits = np.random.default_rng(0).normal(size=(1, 300))
    agree(loss(np.array([44], dtype), logits), loss([44], logits))
    assert tg.nn.nll_loss(logits, np.array([44], dtype)).item() == -logits[0, 44]
    assert tg.nn.one_hot(np.array([44], dtype), 300).numpy().argmax() == 44


ROWS = leaf(np.ones((3, 3)))

# name: (what is done, the error, what it says)
REFUSED = {
    "labels as floats": (lambda: loss(V - 1), tg.DTypeError, "integers.*astype"),
    "labels as bools": (lambda: loss([True, False, True]), tg.DTypeError, "bool.*astype"),
    "labels as a column": (
        lambda: loss([[0], [1], [2]]), tg.ShapeError, r"\(3, 1\) do not fit.*shape \(3,\)"),
    "a label too large": (lambda: loss([0, 1, 3]), tg.BoundsError, "label 3.*from 0 to 2"),
    "a negative label": (lambda: loss([0, 1, -1]), tg.BoundsError, "label -1"),
    "too few labels": (lambda: loss([0, 1]), tg.ShapeError, r"\(2,\) do not fit"),
    "labels as text": (lambda: loss(["a", "b", "c"]), tg.DTypeError, "cross_entropy.*not an array"),
    "a misspelt reduction": (lambda: loss([0, 1, 2], reduction="avg"), tg.ArgumentError, "'avg'"),
    "an axis of classes too large": (lambda: loss([0, 1, 2], axis=5), tg.BoundsError, "axis 5"),
    "integer logits": (
        lambda: tg.softmax_cross_entropy([[0, 1]], [0]), tg.DTypeError, "logits are int64"),
    "nll_loss: a column": (
        lambda: tg.nn.nll_loss(ROWS, [[0], [1], [2]]), tg.ShapeError, r"indices of shape \(3,\)"),
    "nll_loss: a negative": (lambda: tg.nn.nll_loss(ROWS, [0, 1, -1]), tg.BoundsError, "holds -1"),
    "nll_loss: floats": (lambda: tg.nn.nll_loss(ROWS, V), tg.DTypeError, "not float64"),
    "embedding: a negative": (lambda: tg.nn.embedding([-1], ROWS), tg.BoundsError, "holds -1"),
    "embedding: too large": (lambda: tg.nn.embedding([3], ROWS), tg.BoundsError, "holds 3"),
    "embedding: a mask": (lambda: tg.nn.embedding([True], ROWS), tg.DTypeError, "not bool"),
    "one_hot: a negative": (lambda: tg.nn.one_hot([-1]), tg.BoundsError, "holds -1"),
    "mse_loss: a column": (
        lambda: tg.nn.mse_loss(np.ones((3, 1)), V), tg.ShapeError, "the same shape"),
    "cross-entropy of logits: a column": (
        lambda: tg.nn.binary_cross_entropy_with_logits(np.ones((3, 1)), V), tg.ShapeError,
        "the same shape"),
    "take: floats": (lambda: tg.take(leaf(V), [1.7]), tg.DTypeError, "float64"),
    "take: too large": (lambda: tg.take(leaf(V), [7]), tg.BoundsError, "index 7"),
    "an unsigned index too large": (
        lambda: leaf(V)[np.array([2**63], "u8")], tg.BoundsError, "out of bounds"),
    "an axis too large": (lambda: leaf(V).sum(axis=1), tg.BoundsError, "sum.*axis 1 is out"),
    "an axis twice": (lambda: ROWS.sum(axis=(0, 0)), tg.ShapeError, "sum.*duplicate"),
    "an axis as a float": (lambda: leaf(V).sum(axis=0.0), tg.DTypeError, "axes are an int"),
    "an axis as text": (lambda: tg.softmax(leaf(V), axis="0"), tg.DTypeError, "axes are an int"),
    "softmax: an axis too large": (
        lambda: tg.softmax(leaf(V), axis=2), tg.BoundsError, "softmax.*axis 2"),
    "softmax of none": (lambda: tg.softmax(np.ones((2, 0))), tg.ShapeError, "softmax.*zero"),
    "the largest of nothing": (lambda: tg.max(leaf([])), tg.ShapeError, "max.*zero-size"),
    "shapes that do not broadcast": (
        lambda: ROWS + np.ones(4), tg.ShapeError, "axis -1 has lengths 3 and 4"),
    "matrices that do not align": (lambda: ROWS @ np.ones((4, 3)), tg.ShapeError, r"Did you mean"),
    "a product of numbers": (lambda: leaf(1.0) @ leaf(1.0), tg.ShapeError, r"use \*"),
    "an entry of a number": (lambda: leaf(1.0)[0], tg.BoundsError, "too many indices"),
    "a singular matrix": (lambda: tg.linalg.inv(np.ones((2, 2))), tg.LinAlgError, "Singular"),
    "a negative matrix": (lambda: tg.linalg.cholesky(-np.eye(2)), tg.LinAlgError, "definite"),
    "a probability of 2": (
        lambda: tg.nn.dropout(V, 2.0, generator=0), tg.ArgumentError, "p=2.0 is a probability"),
    "a probability of NaN": (
        lambda: tg.nn.dropout(V, NAN, generator=0), tg.ArgumentError, "p=nan"),
    "nothing to draw from": (lambda: tg.nn.dropout(V), tg.ArgumentError, "generator="),
    "no points to transform": (lambda: tg.fft.fft(V, n=0), tg.ShapeError, "fft.*data points"),
    "a kernel too large": (
        lambda: tg.nn.conv2d(np.ones((1, 1, 2, 2)), np.ones((1, 1, 3, 3))), tg.ShapeError,
        "does not fit"),
    "a stride of 0": (
        lambda: tg.nn.conv2d(np.ones((1, 1, 2, 2)), np.ones((1, 1, 1, 1)), stride=0),
        tg.ArgumentError, "stride=0"),
    "a number beyond uint8": (
        lambda: tg.tensor([1], dtype="uint8") + 300, tg.ArgumentError, "add: .*300 out of bounds"),
    "an int beyond all floats": (
        lambda: leaf(V) * 10**400, tg.ArgumentError, "multiply: int too large"),
    "einsum: no such letter": (lambda: np.einsum("ij->k", ROWS), tg.ArgumentError, "'ij->k': .* k"),
    "einsum: a letter twice": (lambda: np.einsum("ij->ii", ROWS), tg.ArgumentError, "more than"),
    "einsum: an array too few": (lambda: np.einsum("ij,jk", ROWS), tg.ArgumentError, "number of"),
    "einsum: an axis too many": (lambda: np.einsum("ijk", ROWS), tg.ArgumentError, "operand 0"),
    "einsum: no square": (lambda: np.einsum("ii", ROWS[:2]), tg.ArgumentError, "label 'i'"),
    "einsum: axes lost": (lambda: np.einsum("...i->i", ROWS), tg.ArgumentError, r"has no '\.\.\.'"),
    "integers to a negative power": (
        lambda: tg.tensor([2]) ** -1, tg.ArgumentError, "pow.*negative integer powers"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_arguments_that_make_no_sense_are_refused_by_name(name):
    action, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        action()


@pytest.mark.parametrize("shape", [(1, 3), (1, 1, 3), (1, 1), (3,), (1,), ()])
def test_values_that_are_set_may_have_more_axes_of_length_1(shape):
    v = leaf(np.full(shape, 2.0))
    y = tg.tensor(np.zeros((2, 3))) * 1.0
    y[0] = v
    (y * V).sum().backward()
    assert y.numpy().tolist() == [[2.0] * 3, [0.0] * 3]
    assert v.grad.numpy().ravel().tolist() == (V.tolist() if v.size == 3 else [6.0])


def test_shapes_that_broadcast_by_accident_are_right_by_numpys_rules():
    column, row = leaf(V[:, None]), leaf(V)
    y = column - row
    assert y.shape == (3, 3)
    y.sum().backward()
    assert column.grad.shape == (3, 1)
    assert row.grad.numpy().tolist() == [-3.0, -3.0, -3.0]


@pytest.mark.parametrize("data", [[np.nan, 2.0], [1.0, np.inf]])
def test_nan_and_inf_pass_through_as_in_numpy(data):
    a = np.array(data)
    for f in ("exp", "tanh", "sort", "cumulative_sum", "maximum", "where"):
        with np.errstate(all="ignore"):
            if f in ("maximum", "where"):
                args = (a, 1.0) if f == "maximum" else (a > 1, a, 0.0)
                found, expected = getattr(tg, f)(*args), getattr(np, f)(*args)
            else:
                found, expected = getattr(tg, f)(leaf(a)), getattr(np, f)(a)
        np.testing.assert_array_equal(found.numpy(), expected)
