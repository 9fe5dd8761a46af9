"""Every rule of the table, by properties that its entry alone determines."""

import itertools
import math
import operator

import numpy as np
import pytest
import scipy.linalg
import scipy.special
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygraph as tg
from tinygraph import namespace
from tinygraph.replay import replay
from tinygraph.rules import RULES, Domain, Kind, Parameter, Rule, Shapes
from tinygraph.rules import rule as enter
from tinygraph.rules.indexing import is_basic, scatter_add
from tinygraph.rules.reductions import divided
from tinygraph.testing import check_grads
from tinygraph.testing.strategies import arguments, differentiable

DIFFERENTIABLE = [name for name, rule in RULES.items() if rule.differentiable]
SEVERAL = [name for name in DIFFERENTIABLE if RULES[name].variadic or len(RULES[name].vjp) > 1]
BROADCAST = [name for name in SEVERAL if RULES[name].shapes is Shapes.BROADCAST]
DOUBLE = (np.dtype("float64"),)

derived = pytest.mark.parametrize("name", DIFFERENTIABLE)


def theirs(rule):
    """Return NumPy's or SciPy's function of a name, or if they have none what the rule computes."""
    try:
        return operator.attrgetter(rule.name)(scipy if rule.name.startswith("special.") else np)
    except AttributeError:
        return rule.bound(np)


def results(rule, operands, params):
    """Call the public function of a rule, and return all its results."""
    operands = [
        (one + one.mT) / 2 if domain.of == "hermitian" else one
        for one, domain in zip(operands, itertools.cycle(rule.domain))
    ]
    function = namespace.public(rule.name)
    y = function(operands, **params) if rule.variadic else function(*operands, **params)
    return y if rule.outputs else (y,)


def without_signs(vectors):
    """Return what makes the largest entry of each vector positive, if it is near 1 and so does."""
    return tg.sign(tg.sum(tg.real(vectors) ** 3, axis=-2, keepdims=True))


def in_order(w, v=None):
    """Return eigenvalues, and eigenvectors without signs, by rising eigenvalue."""
    order = tg.argsort(tg.real(w), axis=-1)
    w = tg.take_along_axis(w, order, axis=-1)
    return (w,) if v is None else (w, tg.take_along_axis(
        v * without_signs(v), tg.broadcast_to(order[..., None, :], v.shape), axis=-1
    ))  # fmt: skip


SETTLED = {  # what LAPACK leaves open, and settles anew when a matrix changes a little
    "linalg.eig": in_order,
    "linalg.eigvals": in_order,
    "linalg.eigh": lambda w, v: (w, v * without_signs(v)),
    "linalg.svd": lambda u, s, vh: (u * without_signs(u), s, vh * without_signs(vh.mT).mT),
}


def call(rule, operands, params):
    """Return all results of a rule in one real array."""
    y = SETTLED.get(rule.name, lambda *same: same)(*results(rule, operands, params))
    if len(y) == 1 and y[0].dtype.kind != "c":
        return y[0]
    parts = [
        part
        for one in y
        for part in ((tg.real(one), tg.imag(one)) if one.dtype.kind == "c" else (one,))
    ]
    return tg.concat(parts, axis=None)


def for_all(strategy, holds):
    """Try a property on what a strategy gives; most of it has to have entries."""
    seen = []

    @given(strategy)
    def tried(drawn):
        seen.append(holds(*drawn).size)

    tried()
    assert sum(size > 0 for size in seen) > len(seen) / 2, "the property was hardly tried"


@st.composite
def pulled(draw, rule, **options):
    """Return arguments of a rule, and an upstream gradient for its result."""
    operands, params = draw(arguments(rule, **options))
    y = call(rule, operands, params)
    weights = st.integers(-8, 8).map(lambda n: (n + 0.5) / 4)
    g = draw(hnp.arrays(np.float64, y.shape, elements=weights, fill=st.nothing()))
    return operands, params, g.astype(y.dtype)


def leaves(operands, slots):
    """Return operands with Tensors that require a gradient at the given places."""
    return [
        tg.tensor(one, requires_grad=True) if i in slots else one for i, one in enumerate(operands)
    ]


def gradients(rule, operands, params, g, slots=None):
    """Return the result and the gradients of the operands, None where there is none."""
    inside = leaves(operands, differentiable(rule, operands) if slots is None else slots)
    y = call(rule, inside, params)
    y.backward(g)
    found = [one.grad if isinstance(one, tg.Tensor) else None for one in inside]
    return y, [None if one is None else one.numpy() for one in found]


def assert_near(found, expected, rtol=1e-12, summands=0.0):
    """Assert that arrays agree up to rounding, relative to the largest entry, or summand of one."""
    assert found.shape == expected.shape
    size = max(np.max(np.abs(expected), initial=1e-3), np.max(np.abs(summands), initial=0.0))
    assert np.max(np.abs(found - expected), initial=0.0) <= rtol * size, (found, expected)


# ---------------------------------------------------------------- values


def scattered(values, *, index, shape):
    total = np.zeros(shape, values.dtype)
    np.add.at(total, index, values)
    return total


def added_along(values, places, *, axis, shape):
    total = np.zeros(shape, values.dtype)
    for at, value in np.ndenumerate(values):
        whole = list(at)
        whole[axis] = places[at]
        total[tuple(whole)] += value
    return total


def softmax(a, axis=-1):
    return np.exp(a) / np.exp(a).sum(axis=axis, keepdims=True)


def logsumexp(a, axis=None, keepdims=False):
    return np.log(np.exp(a).sum(axis=axis, keepdims=keepdims))


def cross_entropy(a, t, axis=-1, reduction="mean"):
    rows = t
    if t.ndim < a.ndim:
        rows = np.moveaxis(np.eye(a.shape[axis], dtype=a.dtype)[t], -1, axis)
    losses = -(rows * np.log(softmax(a, axis))).sum(axis=axis)
    return {"none": lambda x: x, "sum": np.sum, "mean": np.mean}[reduction](losses)


def with_values(a, b, *, index):
    changed = a.copy()
    changed[index] = b
    return changed


def seen_through_windows(a, *, window):
    count = len(window)
    padding = [(0, 0)] * (a.ndim - count) + [(before, after) for *_, before, after in window]
    a = np.pad(a, padding)
    spans = [dilation * (size - 1) + 1 for size, _, dilation, *_ in window]
    shown = np.lib.stride_tricks.sliding_window_view(a, spans, tuple(range(-count, 0)))
    strides = [slice(None, None, stride) for _, stride, *_ in window]
    shown = shown[(..., *strides, *[slice(None, None, dilation) for _, _, dilation, *_ in window])]
    return np.moveaxis(shown, range(-2 * count, -count), range(-count, 0))


def added_through_windows(a, *, window, lengths):
    count = len(window)
    rest = a.shape[: a.ndim - 2 * count]
    places = np.arange(math.prod(lengths)).reshape(lengths) + 1  # 0 is among the zeros around
    places = seen_through_windows(places, window=window)
    total = np.zeros((*rest, math.prod(lengths) + 1), a.dtype)
    np.add.at(total, (..., places), a)
    return total[..., 1:].reshape(*rest, *lengths)


EXACT = {
    "nn.largest": lambda a, axis=-1: np.max(a, axis=axis),
    "nn.normal_cdf": scipy.special.ndtr,
    "nn.windows": seen_through_windows,
    "setitem": with_values,
    "astype": lambda a, *, dtype: a.astype(dtype),
    "add_along_axis": added_along,
    "argsort": lambda a, axis=-1, descending=False, stable=True: np.argsort(
        -a if descending else a, axis=axis, stable=True
    ),
    "complex_sign": np.sign,
    "expand_dims": lambda a, *, axis: np.expand_dims(a, axis),
    "getitem": lambda a, *, index: a[index],
    "relu": lambda a: np.maximum(a, 0),
    "linalg.eig": lambda a: [one + 0j for one in np.linalg.eig(a)],
    "linalg.eigvals": lambda a: np.linalg.eigvals(a) + 0j,
    "linalg.solve_sylvester": lambda a, b, q: (
        scipy.linalg.solve_sylvester(a, b, q) if (a @ q @ b).size else a @ q @ b
    ),
    "linalg.sqrtm": scipy.linalg.sqrtm,
    "linalg.solve_triangular": lambda a, b, **params: (
        scipy.linalg.solve_triangular(a, b, **params) if (a @ b).size else a @ b
    ),
    "scatter_add": scattered,
    "sort": lambda a, axis=-1, descending=False, stable=True: (
        -np.sort(-a, axis=axis) if descending else np.sort(a, axis=axis)
    ),
}
UP_TO_ROUNDING = {
    "linalg.adjugate": lambda a: np.linalg.inv(a) * np.linalg.det(a)[..., None, None],
    "linalg.expm": lambda a: scipy.linalg.expm(a),
    "nn.sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "softmax": softmax,
    "log_softmax": lambda a, axis=-1: np.log(softmax(a, axis)),
    "logsumexp": logsumexp,
    "softmax_cross_entropy": cross_entropy,
    "nn.overlap_add": added_through_windows,
}


@pytest.mark.parametrize("name", RULES)
def test_values_are_those_of_numpy(name):
    rule = RULES[name]

    def holds(operands, params):
        several = results(rule, operands, params)
        y = several[0]
        if name in UP_TO_ROUNDING:
            expected = np.asarray(UP_TO_ROUNDING[name](*operands, **params))
            coarse = "float32" in [str(one.dtype) for one in operands]
            assert_near(y.numpy(), expected, 1e-5 if coarse else 1e-12)
            if len(operands) == 1:
                assert y.dtype == expected.dtype
            return y
        function = EXACT.get(name) or theirs(rule)
        given_ = (operands,) if rule.variadic else operands
        expected = function(*given_, **params)
        recorded = results(rule, leaves(operands, differentiable(rule, operands)), params)
        expected = map(np.asarray, expected if rule.outputs else (expected,))
        for one, same, other in zip(several, recorded, expected, strict=True):
            assert (one.shape, one.dtype) == (other.shape, other.dtype)
            assert one.numpy().tobytes() == same.numpy().tobytes() == other.tobytes()
        return y

    for_all(arguments(rule), holds)


@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if rule.defaults])
def test_parameters_that_are_left_out(name):
    rule = RULES[name]
    x = np.array([[0.5, -1.0, 2.0], [1.0, 3.0, -0.25]])
    operands = (x, np.array([0, 2])) if rule.shapes is Shapes.LOGITS else (x,)
    if Parameter.ONLY_AXIS in rule.parameters.values():
        operands = (x[0],)
    if rule.shapes is Shapes.ALONG:
        operands = (x, np.array([[2, 0], [1, 1]]))
    if rule.variadic or rule.shapes in (Shapes.VECTORS, Shapes.TRIPLES, Shapes.CONTRACTED):
        operands = (x, x + 1.0)
    if rule.shapes in (Shapes.SQUARE, Shapes.SOLVED):
        operands = (np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([1.0, 2.0]))[: len(rule.operands)]
    function = UP_TO_ROUNDING.get(name) or EXACT.get(name) or theirs(RULES[name])
    expected = function(operands) if rule.variadic else function(*operands)
    expected = map(np.asarray, expected if rule.outputs else (expected,))
    for y, other in zip(results(rule, operands, {}), expected, strict=True):
        assert y.dtype == other.dtype
        assert_near(y.numpy().astype(complex), other.astype(complex))


# ---------------------------------------------------------------- derivatives


@derived
def test_first_and_second_order_against_numbers(name):
    rule = RULES[name]

    def holds(operands, params):
        check_grads(lambda *inside: call(rule, inside, params), operands, order=2)
        return max(operands, key=np.size)

    for_all(arguments(rule, dtypes=DOUBLE), holds)


@derived
def test_gradients_have_the_shape_and_dtype_of_their_operands(name):
    rule = RULES[name]

    def holds(operands, params, g):
        y, found = gradients(rule, operands, params, g)
        for i in differentiable(rule, operands):
            assert (found[i].shape, found[i].dtype) == (operands[i].shape, operands[i].dtype)
        wide = tuple(one.astype(float) if one.dtype == "float32" else one for one in operands)
        if params.get("dtype"):
            return y
        # What is summed over stretched axes may cancel, and keeps the rounding of its summands.
        stretched = rule.broadcasts and rule.shapes is Shapes.BROADCAST
        whole = tuple(np.broadcast_to(one, y.shape) for one in wide) if stretched else wide
        summands = gradients(rule, whole, params, g)[1]
        fine = gradients(rule, wide, params, g)[1]
        for rough, exact, parts in zip(found, fine, summands, strict=True):
            if exact is not None:
                assert_near(rough.astype(float), exact, 2e-5, parts if stretched else 0.0)
        return y

    for_all(pulled(rule), holds)


@pytest.mark.parametrize("name", SEVERAL)
def test_which_operands_ask_changes_no_number(name):
    rule = RULES[name]

    def holds(operands, params, g):
        asked = differentiable(rule, operands)
        y, together = gradients(rule, operands, params, g)
        for count in range(1, len(asked)):
            for slots in itertools.combinations(asked, count):
                alone = gradients(rule, operands, params, g, slots)[1]
                for i, gradient in enumerate(alone):
                    assert (gradient is not None) == (i in slots)
                    if i in slots:
                        assert gradient.tobytes() == together[i].tobytes()
        return y

    for_all(pulled(rule), holds)


@derived
def test_a_recorded_gradient_has_the_same_numbers(name):
    rule = RULES[name]

    def holds(operands, params, g):
        first = gradients(rule, operands, params, g)[1]
        inside = leaves(operands, differentiable(rule, operands))
        y = call(rule, inside, params)
        y.backward(g, create_graph=True)
        for one, expected in zip(inside, first, strict=True):
            if isinstance(one, tg.Tensor):
                # What is recorded runs on Tensors: its sums and products are NumPy's all the same.
                assert_near(one.grad.numpy(), expected, 1e-12)
                assert one.grad.dtype == expected.dtype
                one.grad = None  # the cycle that create_graph makes
        return y

    for_all(pulled(rule, dtypes=DOUBLE), holds)


# ---------------------------------------------------------------- how operands lie in memory

LAYOUTS = {
    "Fortran order": lambda a: a.copy(order="F"),
    "every second": lambda a: np.repeat(a[..., None], 2, axis=-1)[..., 0],
    "backwards": lambda a: np.flip(np.flip(a).copy()),
    "transposed": lambda a: a.T.copy().T,
}


@derived
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_in_memory_changes_nothing(name, layout):
    rule = RULES[name]

    def holds(operands, params, g):
        _, expected = gradients(rule, operands, params, g)
        views = [np.asarray(LAYOUTS[layout](one.copy())) for one in operands]
        copies = [one.copy() for one in views]
        upstream = np.asarray(LAYOUTS[layout](g.copy()))
        for one in (*views, upstream):
            one.flags.writeable = False
        inside = [tg.asarray(one) for one in views]
        for i in differentiable(rule, operands):
            inside[i].requires_grad = True
        y = call(rule, inside, params)
        y.backward(upstream)
        for i, gradient in enumerate(expected):
            assert (views[i] == copies[i]).all()
            if gradient is not None:
                assert_near(inside[i].grad.numpy(), gradient, 1e-5)
                assert not np.shares_memory(inside[i].grad._data, upstream)
        return y

    for_all(pulled(rule), holds)


@derived
def test_upstream_gradients_that_are_broadcast(name):
    rule = RULES[name]

    def holds(operands, params):
        shape = call(rule, operands, params).shape
        flat = np.broadcast_to(np.array(1.5), shape)
        y, found = gradients(rule, operands, params, flat)
        _, expected = gradients(rule, operands, params, np.full(shape, 1.5))
        for one, other in zip(found, expected, strict=True):
            if one is not None:
                assert_near(one, other, 1e-12)
                one[...] = 0.0  # the caller's own
        return y

    for_all(arguments(rule, dtypes=DOUBLE), holds)


@pytest.mark.parametrize("name", BROADCAST)
def test_python_numbers_as_operands(name):
    rule = RULES[name]

    def holds(operands, params, g):
        arrays = [one for one in operands if isinstance(one, np.ndarray)]
        floats = [one.dtype for one in arrays if one.dtype.kind == "f"]
        y = call(rule, operands, params)
        expected = np.asarray(theirs(RULES[name])(*operands, **params))
        assert (y.dtype, y.numpy().tobytes()) == (expected.dtype, expected.tobytes())
        asked = differentiable(rule, operands)
        if asked:
            filled = tuple(
                one if isinstance(one, np.ndarray) else np.array(one, np.result_type(*floats))
                for one in operands
            )
            found = gradients(rule, operands, params, g)[1]
            beside = gradients(rule, filled, params, g, asked)[1]
            for i in asked:
                assert found[i].dtype == operands[i].dtype
                assert_near(found[i], beside[i], 1e-5)
        return y

    for_all(pulled(rule, numbers=True), holds)


# ---------------------------------------------------------------- replay


@derived
def test_a_recorded_result_replays_to_the_last_bit(name):
    rule = RULES[name]

    def holds(operands, params, g):
        y = call(rule, leaves(operands, differentiable(rule, operands)), params)
        node = y._node
        for _ in range(2):  # before backward and after
            again = replay([node], np)[node]
            assert (again.dtype, again.shape) == (y.dtype, y.shape)
            assert again.tobytes() == y.numpy().tobytes()
            if node.kept is not None:
                y.backward(g)
        return y

    for_all(pulled(rule), holds)


# ---------------------------------------------------------------- indices


PARTS = (1, slice(1, 3), None, ..., np.array([0, 2]), np.array([True, False, True]))


@pytest.mark.parametrize("parts", [(one,) for one in PARTS] + [*itertools.permutations(PARTS, 2)])
def test_an_index_is_basic_where_numpy_gives_a_view(parts):
    a = np.zeros((3, 3, 3))
    index = parts if len(parts) > 1 else parts[0]
    whole = parts if any(one is Ellipsis for one in parts) else (*parts, ...)
    view = np.shares_memory(a, a[whole])
    assert is_basic(index) == view
    # The way back moves entries and computes nothing, not even the sign of zero.
    moved = scatter_add(np, np.full(a[index].shape, -0.0), index=index, shape=a.shape)
    assert np.signbit(moved[index]).all() == view
    check_grads(lambda x: x[index], (a,), order=1)


# ---------------------------------------------------------------- products


@pytest.mark.parametrize("first", [(3,), (4, 3), (1, 3), (2, 4, 3), (2, 1, 3)])
@pytest.mark.parametrize("second", [(3,), (3, 2), (3, 1), (2, 3, 2), (1, 3, 1)])
def test_matmul_of_every_rank(first, second):
    a, b = (np.cos(np.arange(math.prod(shape))).reshape(shape) for shape in (first, second))
    check_grads(tg.matmul, (a, b), order=1)


# ---------------------------------------------------------------- conventions at kinks

INF, NAN = math.inf, math.nan
CONVENTIONS = {
    "relu'(0) = 0": (tg.relu, [[-1.0, -0.0, 0.0, 2.0]], [[0, 0, 0, 1]]),
    "abs'(0) = 0": (tg.abs, [[-2.0, 0.0, -0.0, 2.0]], [[-1, 0, 0, 1]]),
    "abs'(inf) = 1": (tg.abs, [[-INF, INF]], [[-1, 1]]),
    "abs of a complex 0 gives 0": (tg.abs, [[0j, 2j]], [[0, 1j]]),
    "sign of a complex 0 gives 0": (tg.sign, [[0j, 2j]], [[0, 0.5]]),
    "asin'(±1) = inf": (tg.asin, [[-1.0, 1.0]], [[INF, INF]]),
    "acos'(±1) = −inf": (tg.acos, [[-1.0, 1.0]], [[-INF, -INF]]),
    "sqrt'(0) = inf": (tg.sqrt, [[0.0, 4.0]], [[INF, 0.25]]),
    "maximum: a tie gives half": (
        tg.maximum, [[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]], [[0, 0.5, 1], [1, 0.5, 0]],
    ),
    "minimum: a tie gives half": (
        tg.minimum, [[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]], [[1, 0.5, 0], [0, 0.5, 1]],
    ),
    "maximum of one and the same": (lambda x: tg.maximum(x, x), [[1.0, 2.0]], [[1, 1]]),
    "max: ties share evenly": (tg.max, [[1.0, 3.0, 3.0, 3.0]], [[0, 1 / 3, 1 / 3, 1 / 3]]),
    "min: ties share evenly": (tg.min, [[1.0, 1.0, 3.0]], [[0.5, 0.5, 0]]),
    "max over an axis: ties share along it": (
        lambda x: tg.max(x, axis=0), [[[1.0, 2.0], [1.0, 0.0]]], [[[0.5, 1], [0.5, 0]]],
    ),
    "min over an axis: ties share along it": (
        lambda x: tg.min(x, axis=1, keepdims=True), [[[1.0, 1.0], [1.0, 0.0]]],
        [[[0.5, 0.5], [0, 1]]],
    ),
    "x**0 gives 0 for x": (tg.pow, [[0.0, 2.0], [0.0, 0.0]], [[0, 0], None]),
    "x**0 gives 0 for x, as an operator": (lambda x: x**0, [[0.0, -2.0]], [[0, 0]]),
    "0**y gives 0 for y": (tg.pow, [[0.0, 0.0], [2.0, 0.5]], [None, [0, 0]]),
    "0**0": (tg.pow, [[0.0], [0.0]], [[0], [0]]),
    "0**−1": (tg.pow, [[0.0], [-1.0]], [[-INF], [-INF]]),
    "0**1, 0**2, 0**3": (tg.pow, [[0.0, 0.0, 0.0], [1.0, 2.0, 3.0]], [[1, 0, 0], [0, 0, 0]]),
    "a negative base to a whole power": (lambda x: x**3, [[-2.0]], [[12]]),
    "0**2, as an operator": (lambda x: x**2, [[0.0, -3.0]], [[0, -6]]),
    "cbrt'(0) = inf": (tg.cbrt, [[0.0, 8.0]], [[INF, 1 / 12]]),
    "sinc'(0) = 0": (tg.sinc, [[0.0]], [[0]]),
    "fmax: a tie gives half, NaN nothing": (
        tg.fmax, [[1.0, NAN, 3.0, 2.0, NAN], [1.0, 2.0, NAN, 1.0, NAN]],
        [[0.5, 0, 1, 1, 0], [0.5, 1, 0, 0, 0]],
    ),
    "fmin: a tie gives half, NaN nothing": (
        tg.fmin, [[1.0, NAN, 3.0, 2.0, NAN], [1.0, 2.0, NAN, 1.0, NAN]],
        [[0.5, 0, 1, 0, 0], [0.5, 1, 0, 1, 0]],
    ),
    "fmod on the branch of the value, where a / b rounds up": (
        tg.fmod, [[1.0], [0.1]], [[1], [-9]],
    ),
    "fmod at a jump": (tg.fmod, [[4.0, -5.0], [2.0, 3.0]], [[1, 1], [-2, 1]]),
    "nextafter moves with its first operand": (tg.nextafter, [[1.0], [2.0]], [[1], None]),
    "special.i1 at 0": (tg.special.i1, [[0.0, 0.0]], [[0.5, 0.5]]),
    "special.j1 at 0": (tg.special.j1, [[0.0]], [[0.5]]),
    "special.i1e at 0": (tg.special.i1e, [[0.0]], [[0.5]]),
    "special.i0e at 0 gives 0": (tg.special.i0e, [[0.0]], [[0]]),
    "special.xlogy of 0": (
        tg.special.xlogy, [[0.0, 0.0, 1.0], [0.0, 2.0, 0.0]],
        [[0, math.log(2), -INF], [0, 0, INF]],
    ),
    "special.xlog1py of 0": (
        tg.special.xlog1py, [[0.0, 0.0, 0.0, 1.0], [-1.0, 1.0, -0.5, -1.0]],
        [[0, math.log(2), math.log(0.5), -INF], [0, 0, 0, INF]],
    ),
    "logsumexp of nothing but −inf": (tg.logsumexp, [[-INF, -INF]], [[0, 0]]),
    "logsumexp of inf": (tg.logsumexp, [[INF, 3.0]], [[NAN, 0]]),
    "logsumexp of what is no number": (tg.logsumexp, [[NAN, 3.0]], [[NAN, NAN]]),
    "where: what is not chosen gets 0": (
        lambda x: tg.where(x > 0, x, 0.0), [[-1.0, 1.0]], [[0, 1]],
    ),
    "nn.largest: the first of those that tie gets all": (
        lambda x: tg.nn.largest(x, axis=0), [[[1.0, 2.0, 3.0], [1.0, 3.0, 3.0], [0.0, 3.0, 3.0]]],
        [[[1, 0, 1], [0, 1, 0], [0, 0, 0]]],
    ),
    "logaddexp of −inf and −inf gives 0": (tg.logaddexp, [[-INF], [-INF]], [[0], [0]]),
    "logaddexp2 of −inf and −inf gives 0": (tg.logaddexp2, [[-INF], [-INF]], [[0], [0]]),
    "logaddexp of inf": (tg.logaddexp, [[INF], [3.0]], [[NAN], [0]]),
    "hypot gives 0 at (0, 0)": (tg.hypot, [[0.0, 3.0], [0.0, 4.0]], [[0, 0.6], [0, 0.8]]),
    "copysign gives 0 at 0": (
        tg.copysign, [[0.0, -0.0, -2.0, 2.0], [-1.0, 1.0, -0.0, -3.0]], [[0, 0, 1, -1], None],
    ),
    "clip gives 1 on its closed interval": (
        tg.clip, [[-1.0, 0.0, 1.0, 2.0, 3.0], [0.0] * 5, [2.0] * 5],
        [[0, 1, 1, 1, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 1]],
    ),
    "clip between equal bounds": (
        tg.clip, [[-1.0, 2.0, 3.0], [2.0] * 3, [2.0] * 3], [[0, 1, 0], [1, 0, 0], [0, 0, 1]],
    ),
    "clip between bounds in the wrong order": (
        tg.clip, [[-1.0, 1.5, 3.0], [2.0] * 3, [1.0] * 3], [[0, 0, 0], [0, 0, 0], [1, 1, 1]],
    ),
    "std of equal entries gives 0": (tg.std, [[2.0, 2.0, 2.0]], [[0, 0, 0]]),
    "sort: entries that tie keep their order": (
        lambda x: tg.sort(x)[:2], [[1.0, 0.0, 1.0, 1.0]], [[1, 1, 0, 0]],
    ),
    "sort: entries that tie, descending": (
        lambda x: tg.sort(x, descending=True)[:2], [[1.0, 2.0, 1.0, 1.0]], [[1, 1, 0, 0]],
    ),
    "prod with a zero": (tg.prod, [[2.0, 0.0, 3.0]], [[0, 6, 0]]),
    "prod with two zeros": (tg.prod, [[2.0, 0.0, 0.0]], [[0, 0, 0]]),
    "cumulative_prod with zeros": (
        tg.cumulative_prod, [[2.0, 0.0, 3.0, 0.0, 5.0]], [[1, 8, 0, 0, 0]],
    ),
    "cumulative_prod of inf": (tg.cumulative_prod, [[2.0, INF]], [[INF, 2]]),
    "remainder of other signs": (
        tg.remainder, [[7.0, -7.0, 7.0, -7.0], [3.0, 3.0, -3.0, -3.0]],
        [[1, 1, 1, 1], [-2, 3, 3, -2]],
    ),
    "linalg.vector_norm at 0 gives 0": (
        lambda x: tg.linalg.vector_norm(x, axis=1), [[[0.0, 0.0], [3.0, -4.0]]],
        [[[0, 0], [0.6, -0.8]]],
    ),
    "linalg.vector_norm of an order below 0 and a 0": (
        lambda x: tg.linalg.vector_norm(x, ord=-1), [[0.0, 2.0]], [[0, 0]],
    ),
    "an entry selected twice gets both": (lambda x: x[np.array([0, 0, 1])], [[5.0, 6.0]], [[2, 1]]),
}  # fmt: skip


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_conventions_at_kinks(convention):
    function, operands, expected = CONVENTIONS[convention]
    for scale in (1.0, -4.0):  # a gradient is as large as what comes from above
        inside = [tg.tensor(one, requires_grad=True) for one in operands]
        with np.errstate(divide="ignore", invalid="ignore"):
            function(*inside).sum().backward(scale)
        for one, gradient in zip(inside, expected, strict=True):
            if gradient is not None:
                np.testing.assert_array_equal(one.grad.numpy(), scale * np.array(gradient))


def test_rules_that_state_a_convention_have_a_row():
    stated = {name for name, rule in RULES.items() if rule.convention}
    rows = {name for name in stated if any(name in row for row in CONVENTIONS)}
    assert stated - rows <= {"pow"}  # its rows write it as x**0


def test_clip_returns_the_zero_that_numpy_returns():
    zeros = np.array([0.0, -0.0])
    found, expected = tg.clip(zeros, -zeros, 1.0).numpy(), np.clip(zeros, -zeros, 1.0)
    assert found.tobytes() == expected.tobytes()


def test_entries_that_tie_keep_their_order_however_many_there_are():
    a = np.copysign(np.arange(1000) % 3, np.cos(np.arange(1000)))
    order = np.argsort(a, kind="stable")
    np.testing.assert_array_equal(tg.argsort(a).numpy(), order)
    x = tg.tensor(a, requires_grad=True)
    y = tg.sort(x)
    assert y.numpy().tobytes() == a[order].tobytes()  # the signs of zeros too
    y.backward(np.arange(1000.0))
    np.testing.assert_array_equal(x.grad.numpy()[order], np.arange(1000))


def test_an_array_holds_no_wider_kind_of_number():
    numbers = [np.array(one) for one in (True, 1, 1.0, 1j)]
    for a, b in itertools.product(numbers, numbers):
        if b.dtype.kind in "bifc"[: 1 + "bifc".index(a.dtype.kind)]:
            assert namespace.setitem(a, b, ()).dtype == a.dtype
        else:
            with pytest.raises(tg.DTypeError, match=f"array of {a.dtype} cannot hold {b.dtype}"):
                namespace.setitem(a, b, ())


@pytest.mark.parametrize("dtype", ["int8", "uint8", "uint32", "int64"])
def test_a_whole_number_is_set_where_it_fits(dtype):
    limits = np.iinfo(dtype)
    x = tg.asarray(np.zeros(3, dtype))
    x[np.array([True, False, True])] = 5
    x[1] = np.array(limits.max, "uint64")
    assert x.tolist() == [5, limits.max, 5]
    assert x.dtype == dtype
    for value in (limits.max + 1, limits.min - 1):
        if -(2**63) <= value < 2**64:
            with pytest.raises(tg.DTypeError, match=f"array of {dtype} holds.*cannot hold {value}"):
                x[0] = value


def test_constant_functions_record_nothing():
    for name, rule in RULES.items():
        if not rule.differentiable:
            x = tg.tensor([1.0, 2.0], requires_grad=rule.domain[0].of == "real")
            if rule.domain[0].of == "real":
                operands = (x,) * len(rule.operands)
                assert not call(rule, operands, {}).requires_grad, name


def test_a_condition_gets_no_gradient():
    condition, a = (tg.tensor(one, requires_grad=True) for one in ([1.0, 0.0], [3.0, 4.0]))
    tg.where(condition, a, 0.0).sum().backward()
    np.testing.assert_array_equal(a.grad.numpy(), [1, 0])
    assert condition.grad is None


def test_a_column_by_a_row_is_multiplied_entry_by_entry():
    for shapes_ in ([(2, 3), (3, 1)], [(1, 3), (3, 2)]):
        a, b = (tg.tensor(np.full(shape, -1.0), requires_grad=True) for shape in shapes_)
        y = a @ b
        y.backward(np.zeros(y.shape))
        column = a if b.shape[1] == 1 else b
        assert np.signbit(column.grad.numpy()).all()  # −0, where a sum of products gives 0


# ---------------------------------------------------------------- stable at both ends


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_stable_forms(dtype):
    x = tg.tensor([1e4, 0.0, -1e4], dtype=dtype, requires_grad=True)
    np.testing.assert_array_equal(tg.softmax(x).numpy(), [1, 0, 0])
    np.testing.assert_array_equal(tg.log_softmax(x).numpy(), [0, -1e4, -2e4])
    assert tg.logsumexp(x).item() == 1e4
    for function in (tg.softmax, tg.log_softmax, tg.logsumexp):
        x.grad = None
        function(x).sum().backward()
        assert np.isfinite(x.grad.numpy()).all()
    np.testing.assert_array_equal(tg.nn.sigmoid(x).numpy(), [1, 0.5, 0])
    x.grad = None
    tg.nn.sigmoid(x).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [0, 0.25, 0])
    assert tg.nn.sigmoid(tg.tensor(-80.0)).item() == pytest.approx(math.exp(-80))


def test_cross_entropy_of_large_logits():
    logits = tg.tensor([[1e4, 0.0], [1e4, 0.0]], requires_grad=True)
    loss = tg.softmax_cross_entropy(logits, [0, 1])
    assert loss.item() == 5000
    loss.backward()
    np.testing.assert_array_equal(logits.grad.numpy(), [[0, 0], [0.5, -0.5]])
    rows = tg.softmax_cross_entropy(logits, np.array([[1.0, 0.0], [0.0, 1.0]]))
    assert rows.item() == 5000


def test_more_classes_than_the_dtype_of_the_logits_counts():
    logits = tg.tensor(np.zeros((1, 3000)), dtype="float16", requires_grad=True)
    tg.softmax_cross_entropy(logits, [2049]).backward()
    assert np.argmin(logits.grad.numpy()) == 2049


def test_a_weight_of_zero_meets_an_infinite_logit():
    logits = tg.tensor([[0.0, -INF]], requires_grad=True)
    for targets in ([0], np.array([[1.0, 0.0]])):
        logits.grad = None
        loss = tg.softmax_cross_entropy(logits, targets)
        loss.backward()
        assert loss.item() == 0
        np.testing.assert_array_equal(logits.grad.numpy(), [[0, 0]])


def test_logsumexp_of_infinities():
    with np.errstate(divide="ignore"):
        assert tg.logsumexp(tg.tensor([-INF, -INF])).item() == -INF
    assert tg.logsumexp(tg.tensor([-INF, 3.0])).item() == 3
    assert tg.logsumexp(tg.tensor([INF, 3.0])).item() == INF


# ---------------------------------------------------------------- reductions over any axes


def test_a_mean_of_more_entries_than_float16_can_count():
    x = np.ones(100_000, "float16")
    for n in (65_530, 100_000):  # the first of them rounds to infinity
        gradient = tg.grad(lambda a: tg.mean(a) * 1024)(x[:n])
        np.testing.assert_allclose(gradient, 1024 / n, rtol=1e-3)
    rows = np.zeros((70_000, 2), "float16")
    labels = np.zeros(70_000, int)
    gradient = tg.grad(lambda a: tg.softmax_cross_entropy(a, labels) * 1024)(rows)
    np.testing.assert_allclose(gradient[:, 1], 0.5 * 1024 / 7e4, rtol=1e-3)


def test_more_ties_than_float16_can_count():
    gradient = tg.grad(tg.max)(np.zeros(70_000, "float16"))
    np.testing.assert_allclose(gradient, 1 / 70_000, rtol=1e-2)


def test_the_derivatives_of_sinc_near_0_do_not_cancel():
    slope, curvature = tg.grad(tg.sinc), tg.grad(tg.grad(tg.sinc))
    assert abs(curvature(1e200)) < 1e-190
    for x in (0.0, 1e-12, 1e-9, 1e-4, -0.01, 0.0999, 0.1001):
        h = math.pi * x
        np.testing.assert_allclose(  # the series of sinc', whose next term is below 1e-15
            slope(x), -math.pi * h / 3 * (1 - h**2 / 10 * (1 - h**2 / 28 * (1 - h**2 / 54 * (
                1 - h**2 / 88 * (1 - h**2 / 130))))), rtol=1e-13,
        )  # fmt: skip
        np.testing.assert_allclose(
            curvature(x), -math.pi**2 / 3 * (1 - 3 * h**2 / 10 * (1 - 5 * h**2 / 84 * (
                1 - 7 * h**2 / 270 * (1 - 9 * h**2 / 616 * (1 - 11 * h**2 / 1170))))), rtol=1e-11,
        )  # fmt: skip


@pytest.mark.parametrize("n", [3, 2**15 + 1, 100_003, 12_345_678])
def test_the_division_by_a_count_is_right_to_the_last_bit(n):
    g = np.random.default_rng(0).random(1000)
    assert np.array_equal(divided(g, n), g / n)


@pytest.mark.parametrize("n", [3, 100, 1000])
def test_the_division_by_a_small_count_loses_nothing_of_small_float16(n):
    g = (np.random.default_rng(0).random(1000) / 2**10).astype("float16")
    assert np.array_equal(divided(g, n), g / np.float16(n))


AXES = [None, 0, 1, -1, (0, 2), (-2,), (2, -3), (0, 1, 2), ()]
REDUCED = [name for name, rule in RULES.items() if Parameter.AXES in rule.parameters.values()]


@pytest.mark.parametrize("axis", AXES, ids=str)
@pytest.mark.parametrize("name", REDUCED)
def test_reductions_over_axes(name, axis):
    a = np.cos(np.arange(24.0)).reshape(2, 3, 4)
    for keepdims in (False, True):
        params = {"axis": axis, "keepdims": keepdims}
        expected = (UP_TO_ROUNDING.get(name) or theirs(RULES[name]))(a, **params)
        y = call(RULES[name], (a,), params)
        assert_near(y.numpy().astype(float), np.asarray(expected, dtype=float))
        if not RULES[name].differentiable:
            continue
        check_grads(lambda x, p=params: call(RULES[name], (x,), p), (a,), order=1)


@pytest.mark.parametrize("axis", [None, 0, -1, ()])
@pytest.mark.parametrize("name", ["sum", "max", "min"])  # not mean, in NumPy
def test_a_number_has_an_axis_0_as_in_numpy(name, axis):
    x = tg.tensor(3.0, requires_grad=True)
    y = call(RULES[name], (x,), {"axis": axis})
    y.backward(2.0)
    assert (y.item(), x.grad.item(), x.grad.shape) == (3, 2, ())


@pytest.mark.parametrize("name", ["cumulative_sum", "cumulative_prod"])
def test_a_number_accumulates_along_an_axis_of_its_own_as_in_numpy(name):
    for initial in (False, True):
        params = {"include_initial": initial}
        y = call(RULES[name], (np.array(3.0),), params)
        assert y.tolist() == theirs(RULES[name])(np.array(3.0), **params).tolist()
        check_grads(lambda x, p=params: call(RULES[name], (x,), p), (np.array(3.0),), order=2)


@pytest.mark.parametrize("name", ["cumulative_sum", "cumulative_prod"])
def test_several_axes_need_one_to_accumulate_along(name):
    with pytest.raises(tg.ShapeError, match=f"{name}.*axis"):
        call(RULES[name], (np.ones((2, 2)),), {})


@pytest.mark.parametrize("size", [2.0, 0.0])
def test_the_second_derivative_of_std_at_equal_entries_is_0_too(size):
    np.testing.assert_array_equal(tg.hessian(tg.std)(np.full(3, size)), np.zeros((3, 3)))


@pytest.mark.parametrize("count", range(4))
@pytest.mark.parametrize("name", ["prod", "cumulative_prod"])
def test_products_with_any_number_of_zeros(name, count):
    a = np.cos(np.arange(10.0)).reshape(2, 5)
    a[0, [1, 4, 2][:count]] = 0.0
    for axis in (0, 1):
        check_grads(lambda x, i=axis: call(RULES[name], (x,), {"axis": i}), (a,), order=2)
    for parameter in ("keepdims", "include_initial"):
        if parameter in RULES[name].parameters:
            params = {"axis": -1, parameter: True}
            check_grads(lambda x, p=params: call(RULES[name], (x,), p), (a,), order=2)


# ---------------------------------------------------------------- cross-entropy along any axis


@pytest.mark.parametrize("axis", range(-3, 3))
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_cross_entropy_along_an_axis(axis, reduction):
    logits = np.cos(np.arange(24.0)).reshape(2, 3, 4)
    rows = np.sin(np.arange(24.0)).reshape(2, 3, 4)
    for targets in (np.argmax(rows, axis=axis), rows):
        loss = tg.softmax_cross_entropy(logits, targets, axis=axis, reduction=reduction)
        assert_near(loss.numpy(), np.asarray(cross_entropy(logits, targets, axis, reduction)))
        check_grads(
            lambda x, t=targets: tg.softmax_cross_entropy(x, t, axis=axis, reduction=reduction),
            (logits,),
            order=1,
        )


def test_cross_entropy_of_no_samples():
    logits = tg.tensor(np.zeros((0, 3)), requires_grad=True)
    loss = tg.softmax_cross_entropy(logits, np.zeros(0, int), reduction="sum")
    loss.backward()
    assert loss.item() == 0
    assert logits.grad.shape == (0, 3)


# ---------------------------------------------------------------- arguments that make no sense

LOGITS = np.zeros((2, 3))
REFUSED = {
    "another reduction": (LOGITS, [0, 1], {"reduction": "all"}, tg.ArgumentError, "'all'"),
    "no axis": (np.array(1.0), 0, {}, tg.ShapeError, r"shape \(\)"),
    "all axes": (LOGITS, [0, 1], {"axis": None}, tg.ArgumentError, "axis=None"),
    "an axis too high": (LOGITS, [0, 1], {"axis": 2}, tg.BoundsError, "axis 2"),
    "an axis too low": (LOGITS, [0, 1], {"axis": -3}, tg.BoundsError, "axis -3"),
    "integers": (LOGITS.astype(int), [0, 1], {}, tg.DTypeError, "int64"),
    "too few targets": (LOGITS, [0], {}, tg.ShapeError, r"shape \(1,\).*of shape \(2,\)"),
    "targets along the axis": (LOGITS, [0, 1, 2], {}, tg.ShapeError, r"shape \(3,\)"),
    "samples in the wrong place": (LOGITS, [0, 1], {"axis": 0}, tg.ShapeError, r"shape \(3,\)"),
    "from the end": (LOGITS, [0, 1], {"axis": -2}, tg.ShapeError, r"indices of shape \(3,\)"),
    "labels with a fraction": (LOGITS, [0.0, 1.0], {}, tg.DTypeError, "float64"),
    "a label too high": (LOGITS, [0, 3], {}, tg.BoundsError, "label 3 .* 3 classes.* 0 to 2"),
    "a label too low": (LOGITS, [-1, 1], {}, tg.BoundsError, "label -1 "),
    "labels too low and too high": (LOGITS, [-1, 3], {}, tg.BoundsError, "label -1 "),
}


@pytest.mark.parametrize("case", REFUSED)
def test_cross_entropy_refuses(case):
    logits, targets, params, error, message = REFUSED[case]
    with pytest.raises(error, match=message):
        tg.softmax_cross_entropy(logits, targets, **params)


# ---------------------------------------------------------------- the table itself

VALID = {"vjp": lambda g: g, "kind": Kind.ELEMENTWISE, "domain": Domain(), "doc": "Return it."}


@pytest.mark.parametrize(
    "change",
    [
        {"domain": None},
        {"domain": (Domain(), None)},
        {"domain": float},
        {"doc": ""},
        {"vjp": lambda g, unknown: g},
        {"forward": lambda xp, a, *, axis: a},
        {"forward": lambda xp, a: a, "parameters": {"axis": Parameter.AXIS}},
    ],
    ids=["no domain", "half a domain", "domain", "doc", "vjp", "parameter", "no parameter"],
)
def test_an_entry_that_lacks_something_is_an_error(change):
    entry = VALID | change
    forward = entry.pop("forward", lambda xp, a: a)
    with pytest.raises(TypeError, match="nonsense"):
        enter("nonsense", forward, **entry)
    assert "nonsense" not in RULES


@pytest.mark.parametrize("column", ["vjp", "kind", "domain"])
def test_an_entry_without_a_column_is_an_error(column):
    with pytest.raises(TypeError, match=column):
        enter("nonsense", **{key: value for key, value in VALID.items() if key != column})
    assert "nonsense" not in RULES


def test_no_name_twice():
    with pytest.raises(TypeError, match="add"):
        enter("add", **VALID)


def test_each_rule_has_its_derived_tests():
    for name, rule in RULES.items():
        assert isinstance(rule, Rule)
        assert name == rule.name
        assert name in UP_TO_ROUNDING or name in EXACT or theirs(RULES[name]), name
        assert len(rule.domain) == max(1, len(rule.vjp)), name
    everywhere = [
        test_first_and_second_order_against_numbers, test_layout_in_memory_changes_nothing,
        test_gradients_have_the_shape_and_dtype_of_their_operands,
        test_a_recorded_gradient_has_the_same_numbers,
        test_upstream_gradients_that_are_broadcast, test_a_recorded_result_replays_to_the_last_bit,
    ]  # fmt: skip
    for test in everywhere:
        assert any(mark.args == ("name", DIFFERENTIABLE) for mark in test.pytestmark)
    assert len(DIFFERENTIABLE) == len({name for name in RULES if any(RULES[name].vjp)})
