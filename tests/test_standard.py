"""The array API standard on `tg.*` and on Tensors: names, values, what is recorded, what is not."""

import inspect
import operator
import warnings

import array_api_strict
import numpy as np
import pytest

import tinygraph as tg
from tinygraph.rules import RULES
from tinygraph.standard import NAMES
from tinygraph.testing import check_grads

A = np.cos(np.arange(24.0)).reshape(2, 3, 4)
FUNCTIONS = [
    name for name in array_api_strict.__all__ if inspect.isroutine(getattr(array_api_strict, name))
]
NOT_OF_THE_STANDARD = {"get_array_api_strict_flags", "reset_array_api_strict_flags",
                       "set_array_api_strict_flags", "ArrayAPIStrictFlags", "Device",
                       "__version__"}  # fmt: skip

# ---------------------------------------------------------------- names


def test_every_name_of_the_standard_is_there():
    named = {*array_api_strict.__all__} - NOT_OF_THE_STANDARD
    named |= {f"linalg.{name}" for name in array_api_strict.linalg.__all__}
    named |= {f"fft.{name}" for name in array_api_strict.fft.__all__}
    assert not {name for name in named if not lookup(name)}
    assert {"sort", "unstack", "float32", "pi"} <= {*dir(tg)}
    assert tg.__array_api_version__ == "2025.12"


def lookup(name):
    try:
        operator.attrgetter(name)(tg)
        return True
    except AttributeError:
        return False


@pytest.mark.parametrize("name", FUNCTIONS)
def test_arguments_are_those_of_the_standard(name):
    if name in NOT_OF_THE_STANDARD or name == "__array_namespace_info__":
        return
    theirs = inspect.signature(getattr(array_api_strict, name)).parameters.values()
    ours = inspect.signature(getattr(tg, name)).parameters
    positional = [one.default for one in theirs if one.kind is not one.KEYWORD_ONLY]
    assert len(ours) >= len(positional)
    for one in theirs:
        if one.kind is one.KEYWORD_ONLY:
            assert ours[one.name].kind is one.KEYWORD_ONLY, one.name


@pytest.mark.parametrize("name", ["getitem", "setitem", "complex_sign", "nonsense"])
def test_what_is_not_public_is_not_there(name):
    with pytest.raises(AttributeError, match=f"'tinygraph' has no attribute '{name}'"):
        getattr(tg, name)
    assert name not in dir(tg)


def test_every_public_name_is_explained():
    for name, one in NAMES.items():
        assert not inspect.isfunction(one) or one.__doc__, name


# ---------------------------------------------------------------- what is made of others

ROWS, COLUMNS = np.array([0, 2, 2]), np.array([[1], [3]])
COMPOSED = {
    "astype": [(lambda x: tg.astype(x, "float64", copy=False), lambda x: x)],
    "broadcast_arrays": [
        (lambda x: tg.broadcast_arrays(x, x[:, :1])[1],
         lambda x: np.broadcast_arrays(x, x[:, :1])[1]),
    ],
    "clip": [
        (lambda x: tg.clip(x, -0.5, 0.5), lambda x: np.clip(x, -0.5, 0.5)),
        (lambda x: tg.clip(x, max=0.25), lambda x: np.clip(x, None, 0.25)),
        (lambda x: tg.clip(x, 0.25), lambda x: np.clip(x, 0.25, None)),
        (lambda x: tg.clip(x), lambda x: x),
        (lambda x: tg.clip(x, x[0] - 0.1, x[1] + 2), lambda x: np.clip(x, x[0] - 0.1, x[1] + 2)),
    ],
    "diff": [
        (lambda x: tg.diff(x), lambda x: np.diff(x)),
        (lambda x: tg.diff(x, axis=0, n=1), lambda x: np.diff(x, axis=0)),
        (lambda x: tg.diff(x, n=2, prepend=x[..., :1]),
         lambda x: np.diff(x, 2, prepend=x[..., :1])),
        (lambda x: tg.diff(x, append=1.0, axis=1), lambda x: np.diff(x, append=1.0, axis=1)),
        (lambda x: tg.diff(x, n=0), lambda x: x),
    ],
    "flip": [
        (lambda x: tg.flip(x), np.flip),
        (lambda x: tg.flip(x, axis=-2), lambda x: np.flip(x, -2)),
        (lambda x: tg.flip(x, axis=(0, 2)), lambda x: np.flip(x, (0, 2))),
    ],
    "full": [(lambda x: tg.full((2, 3), x[0, 0, 0]), lambda x: np.full((2, 3), x[0, 0, 0]))],
    "full_like": [(lambda x: tg.full_like(x, x[0, 0, 1]), lambda x: np.full_like(x, x[0, 0, 1]))],
    "meshgrid": [
        (lambda x: tg.stack(tg.meshgrid(x[0, 0], x[0, 1])),
         lambda x: np.stack(np.meshgrid(x[0, 0], x[0, 1]))),
        (lambda x: tg.meshgrid(x[0, 0], x[0, :, 0], x[:, 0, 0], indexing="ij")[1],
         lambda x: np.meshgrid(x[0, 0], x[0, :, 0], x[:, 0, 0], indexing="ij")[1]),
        (lambda x: tg.meshgrid(x[0, 0], x[0, :, 0], x[:, 0, 0])[0],
         lambda x: np.meshgrid(x[0, 0], x[0, :, 0], x[:, 0, 0])[0]),
        (lambda x: tg.meshgrid(x[0, 0])[0], lambda x: x[0, 0]),
    ],
    "moveaxis": [
        (lambda x: tg.moveaxis(x, 0, -1), lambda x: np.moveaxis(x, 0, -1)),
        (lambda x: tg.moveaxis(x, (0, 1), (2, 0)), lambda x: np.moveaxis(x, (0, 1), (2, 0))),
    ],
    "repeat": [
        (lambda x: tg.repeat(x, 2), lambda x: np.repeat(x, 2)),
        (lambda x: tg.repeat(x, tg.asarray([1, 0, 2]), axis=1),
         lambda x: np.repeat(x, [1, 0, 2], 1)),
    ],
    "reshape": [(lambda x: tg.reshape(x, (4, -1), copy=True), lambda x: x.reshape(4, -1))],
    "roll": [
        (lambda x: tg.roll(x, 5), lambda x: np.roll(x, 5)),
        (lambda x: tg.roll(x, -1, axis=1), lambda x: np.roll(x, -1, 1)),
        (lambda x: tg.roll(x, (1, -2), axis=(0, 2)), lambda x: np.roll(x, (1, -2), (0, 2))),
        (lambda x: tg.roll(x, 1, axis=(0, 1)), lambda x: np.roll(x, 1, (0, 1))),
    ],
    "sign": [(lambda x: tg.sign(x) * x, np.abs)],
    "take": [
        (lambda x: tg.take(x, tg.asarray(ROWS), axis=1), lambda x: np.take(x, ROWS, axis=1)),
        (lambda x: tg.take(x, COLUMNS, axis=-1), lambda x: np.take(x, COLUMNS, axis=-1)),
        (lambda x: tg.take(x[0, 0], [1, 1]), lambda x: np.take(x[0, 0], [1, 1])),
    ],
    "tile": [
        (lambda x: tg.tile(x, (2,)), lambda x: np.tile(x, 2)),
        (lambda x: tg.tile(x, (3, 1, 2, 1)), lambda x: np.tile(x, (3, 1, 2, 1))),
    ],
    "tril": [
        (lambda x: tg.tril(x), np.tril), (lambda x: tg.tril(x, k=-1), lambda x: np.tril(x, -1)),
    ],
    "triu": [
        (lambda x: tg.triu(x), np.triu), (lambda x: tg.triu(x, k=2), lambda x: np.triu(x, 2)),
    ],
    "unique_all": [(lambda x: tg.unique_all(x).values, lambda x: np.unique_all(x).values)],
    "unique_counts": [(lambda x: tg.unique_counts(x).values, np.unique)],
    "unique_inverse": [(lambda x: tg.unique_inverse(x).values, np.unique)],
    "unique_values": [(lambda x: tg.sort(tg.unique_values(x)), np.unique)],
    "unstack": [(lambda x: tg.unstack(x, axis=-1)[3], lambda x: x[..., 3])],
}  # fmt: skip
CASES = [(name, i) for name, pairs in COMPOSED.items() for i in range(len(pairs))]
NO_GRADIENT = {
    "__array_namespace_info__", "arange", "asarray", "broadcast_shapes", "can_cast", "empty",
    "empty_like", "eye", "finfo", "from_dlpack", "iinfo", "isdtype", "isin", "linspace", "nonzero",
    "ones", "ones_like", "result_type", "searchsorted", "zeros", "zeros_like",
}  # fmt: skip


@pytest.mark.parametrize(("name", "i"), CASES)
def test_values_and_derivatives_of_what_is_made_of_others(name, i):
    ours, theirs = COMPOSED[name][i]
    expected = theirs(A)
    for x in (tg.tensor(A), tg.tensor(A, requires_grad=True)):
        y = ours(x)
        assert (y.shape, y.dtype, y.numpy().tobytes()) == (
            expected.shape, expected.dtype, expected.tobytes()
        )  # fmt: skip
        assert y.requires_grad == x.requires_grad
    check_grads(ours, (A,), order=2)
    if name not in ("astype", "broadcast_arrays", "full", "meshgrid", "sign", "full_like"):
        integers = np.arange(24).reshape(2, 3, 4)
        found, expected = ours(tg.asarray(integers)), theirs(integers)
        assert found.tolist() == expected.tolist()


def test_each_function_is_a_rule_or_made_of_some_or_has_no_derivative():
    functions = {
        name for name in NAMES if callable(NAMES[name]) and not inspect.isclass(NAMES[name])
    }
    assert functions - NO_GRADIENT - {"matmul"} == {*COMPOSED}  # which also takes sparse matrices
    for name in FUNCTIONS:
        assert {name} & ({*RULES} | {*COMPOSED} | NO_GRADIENT | NOT_OF_THE_STANDARD) or name in (
            "matrix_transpose", "tensordot", "vecdot"
        ), name  # fmt: skip


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: tg.clip(np.zeros(2), np.zeros(3)), tg.ShapeError, "clip.*do not broadcast"),
        (lambda: tg.diff(A, axis=3), tg.BoundsError, "diff: axis 3 .* 3 axes"),
        (lambda: tg.flip(A, axis=-4), tg.BoundsError, "flip: axis -4"),
        (lambda: tg.moveaxis(A, (0, 0), (1, 2)), tg.ArgumentError, "moveaxis"),
        (lambda: tg.moveaxis(A, 0, (1, 2)), tg.ArgumentError, "moveaxis"),
        (lambda: tg.take(A, [0]), tg.ArgumentError, "take: .*which axis"),
        (lambda: tg.take(A, [9], axis=0), tg.BoundsError, "getitem"),
        (lambda: tg.tril(np.zeros(3)), tg.ShapeError, "tril: shape .3,. has no matrix"),
        (lambda: tg.repeat(A, [1, 2], axis=1), tg.ArgumentError, "repeat: 3 entries"),
        (lambda: tg.meshgrid(A, indexing="ab"), tg.ArgumentError, "indexing .*'ab'"),
        (lambda: tg.broadcast_arrays(A, np.zeros(3)), tg.ShapeError, "broadcast_arrays"),
        (lambda: tg.sort(A, axis=None), tg.ArgumentError, r"sort: axis=None.*shape"),
        (lambda: tg.cumulative_sum(A), tg.ShapeError, "cumulative_sum"),
        (lambda: tg.atan2(1j, A), tg.DTypeError, "atan2"),
        (lambda: tg.zeros(2, device="gpu"), tg.ArgumentError, "zeros: .*gpu"),
        (lambda: tg.zeros(2, order="F"), TypeError, "order"),
        (lambda: tg.zeros("a"), tg.DTypeError, "zeros"),
        (lambda: tg.searchsorted(A, 1.0), tg.ArgumentError, "searchsorted"),
        (lambda: tg.isin("a", A), tg.DTypeError, "isin: str"),
        (lambda: tg.reshape(tg.asarray(A).T, (-1,), copy=False), ValueError, "copy"),
        (lambda: tg.asarray(A).__array_namespace__(api_version="1999.1"), tg.ArgumentError, "1999"),
        (lambda: tg.asarray(A).to_device("gpu"), tg.ArgumentError, "gpu"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_explained(call, error, message):
    with pytest.raises(error, match=message):
        call()


# ---------------------------------------------------------------- what has no derivative


def test_creation_is_numpys():
    for name, args, options in [
        ("arange", (5,), {}), ("arange", (1.0, 2.0, 0.25), {}), ("eye", (3,), {}),
        ("eye", (2, 3), {"k": 1, "dtype": tg.float32}), ("linspace", (0, 1, 5), {}),
        ("linspace", (0, 1, 4), {"endpoint": False}), ("ones", ((2, 3),), {}),
        ("zeros", (3,), {"dtype": tg.complex64, "device": "cpu"}), ("empty", ((0, 2),), {}),
        ("full", ((2,), 7), {}), ("full", ((2,), True), {}), ("full", (3, 1.5), {"dtype": "f4"}),
        ("zeros_like", (A,), {}), ("ones_like", (A,), {"dtype": tg.int8}),
        ("full_like", (A, 2), {}), ("empty_like", (A[:0],), {}),
    ]:  # fmt: skip
        found, expected = getattr(tg, name)(*args, **options), getattr(np, name)(*args, **options)
        assert isinstance(found, tg.Tensor)
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        assert found.tolist() == expected.tolist()


def test_a_number_leaves_the_graph_but_not_inside_a_transform():
    x = tg.tensor(3.0, requires_grad=True)
    assert tg.arange(x).tolist() == [0, 1, 2]
    with pytest.raises(tg.GraphError, match="arange"):
        tg.grad(lambda x: tg.arange(x)[1])(3.0)


def test_what_is_looked_up_is_numpys_and_not_recorded():
    x = tg.tensor([3.0, 1.0, 3.0, 0.0], requires_grad=True)
    values = x.numpy()
    for name in ("unique_all", "unique_counts", "unique_inverse", "nonzero"):
        found, expected = getattr(tg, name)(x), getattr(np, name)(values)
        assert [one.tolist() for one in found] == [one.tolist() for one in expected]
        assert [one.requires_grad for one in found[1:]] == [False] * len(found[1:])
    assert tg.unique_all(x).counts.tolist() == [1, 1, 2]
    assert tg.unique_values(x).tolist() == [0, 1, 3]
    assert tg.searchsorted(tg.sort(x), tg.asarray([2.0])).tolist() == [2]
    assert tg.searchsorted(x, 2.0, sorter=tg.argsort(x), side="right").item() == 2
    assert tg.isin(x, tg.asarray([1.0]), invert=True).tolist() == [True, False, True, True]
    assert tg.count_nonzero(x).item() == 3
    assert tg.argsort(x, descending=True).tolist() == [0, 2, 1, 3]  # ties by position


def test_dtypes():
    x = tg.zeros(2, dtype=tg.float32)
    assert tg.float64 is np.float64
    assert tg.result_type(x, 1.0) == tg.float32
    assert tg.result_type(x, tg.ones(1), tg.int8) == tg.float64
    assert tg.can_cast(x, tg.float64)
    assert not tg.can_cast(tg.float64, tg.float32)
    assert tg.isdtype(x.dtype, ("real floating", "complex floating"))
    limits = tg.finfo(x)
    assert (limits.bits, limits.dtype, type(limits.eps)) == (32, np.float32, float)
    assert limits.max == float(np.finfo(np.float32).max)
    assert tg.iinfo(tg.int8).max == 127
    assert tg.iinfo(tg.asarray([1])).bits == 64
    assert tg.sum(x, dtype=tg.float64).dtype == tg.float64
    assert tg.broadcast_shapes((2, 1), (3,)) == (2, 3)


def test_inspection():
    info = tg.__array_namespace_info__()
    assert info.devices() == ("cpu",)
    assert info.default_device() in info.devices()
    assert info.capabilities()["boolean indexing"]
    assert info.dtypes(kind="bool") == {"bool": np.dtype("bool")}
    assert info.default_dtypes()["real floating"] == np.float64


def test_values_that_differ_from_example_to_example_cannot_be_looked_up():
    with pytest.raises(tg.GraphError, match="vmap"):
        tg.vmap(tg.unique_values)(A[0])


def test_a_sort_in_a_map_and_its_gradient():
    found = tg.vmap(tg.grad(lambda x: tg.sum(tg.sort(x) * np.arange(4.0))))(A[0])
    assert found.tolist() == np.argsort(np.argsort(A[0])).astype(float).tolist()


# ---------------------------------------------------------------- operators

INTEGERS = np.array([[7, -7, 5], [3, 2, 1]])
OPERATORS = {"//": operator.floordiv, "%": operator.mod, "divmod": divmod}
SHIFTS = {"<<": operator.lshift, ">>": operator.rshift}


def lists(found):
    return [one.tolist() for one in found] if isinstance(found, tuple) else found.tolist()


@pytest.mark.parametrize("sign", OPERATORS)
def test_quotients_and_remainders(sign):
    operate, x = OPERATORS[sign], A[0] + 2.0
    for a, b in [(x, x[::-1]), (x, 0.5), (-x, 3), (5.0, x), (INTEGERS, 2), (9, INTEGERS)]:
        pairs = [(tg.asarray(a), tg.asarray(b))]
        if isinstance(a, np.ndarray):
            pairs.append((tg.asarray(a), b))
        if isinstance(b, np.ndarray):
            pairs.append((a, tg.asarray(b)))
        for left, right in pairs:
            assert lists(operate(left, right)) == lists(operate(a, b))
    with pytest.raises(TypeError):
        operate(tg.asarray(x), "a")


@pytest.mark.parametrize("sign", SHIFTS)
def test_shifts(sign):
    operate, a = SHIFTS[sign], np.array([1, 6, 40])
    assert operate(tg.asarray(a), 2).tolist() == operate(a, 2).tolist()
    assert operate(64, tg.asarray([1, 2])).tolist() == operate(64, np.array([1, 2])).tolist()
    with pytest.raises(tg.DTypeError, match="bitwise"):
        operate(tg.asarray(a), 0.5)


def test_operators_in_place_make_a_new_version():
    a, b = tg.asarray([7.0, -7.0]) + 0.0, tg.asarray([5, 9]) + 0
    before = a
    a //= 2
    assert a is before
    assert a.tolist() == [3, -4]
    a %= 3
    b <<= 2
    b >>= 1
    assert (a.tolist(), b.tolist()) == ([0, 2], [10, 18])


def test_the_remainder_has_a_gradient_and_the_quotient_none():
    x = tg.tensor([7.5], requires_grad=True)
    assert not (x // 2).requires_grad
    quotient, remainder = divmod(x, 2)
    (quotient * remainder).sum().backward()
    assert x.grad.tolist() == [3]


# ---------------------------------------------------------------- methods

METHODS = {
    "all": [((), {}), ((0,), {}), ((), {"axis": (0, 2), "keepdims": True})],
    "any": [((), {}), ((-1,), {})],
    "argmax": [((), {}), ((1,), {})],
    "argmin": [((), {}), ((), {"axis": 0, "keepdims": True})],
    "argsort": [((), {}), ((0,), {})],
    "astype": [(("float32",), {}), (("float64",), {"copy": False})],
    "clip": [((-0.5, 0.5), {}), ((), {"max": 0.25}), ((), {"min": 0.25})],
    "conj": [((), {})],
    "copy": [((), {})],
    "cumprod": [((), {}), ((1,), {})],
    "cumsum": [((), {}), ((-1,), {})],
    "diagonal": [((), {}), ((1,), {"axis1": 1, "axis2": 2})],
    "flatten": [((), {}), (("F",), {})],
    "max": [((), {}), ((0,), {"keepdims": True})],
    "mean": [((), {}), (((0, 1),), {})],
    "min": [((), {}), ((2,), {})],
    "nonzero": [((), {})],
    "prod": [((), {}), ((1,), {})],
    "ravel": [((), {}), ((), {"order": "F"})],
    "repeat": [((2,), {}), ((2,), {"axis": 1})],
    "reshape": [((4, 6), {}), (((3, -1),), {}), (((4, -1),), {"order": "F"})],
    "round": [((), {}), ((2,), {})],
    "squeeze": [((), {})],
    "std": [((), {}), ((0,), {"ddof": 1}), ((), {"axis": 1, "keepdims": True})],
    "sum": [((), {}), ((1,), {"dtype": "float32", "keepdims": True})],
    "swapaxes": [((0, 2), {})],
    "take": [(([1, 2],), {}), (([1, 2],), {"axis": 1})],
    "trace": [((), {}), ((1,), {})],
    "transpose": [((), {}), ((2, 0, 1), {})],
    "var": [((), {}), ((0,), {"ddof": 1})],
}
UNRECORDED = {"all", "any", "argmax", "argmin", "argsort", "nonzero", "round"}


@pytest.mark.parametrize("name", METHODS)
def test_methods_are_ndarrays(name):
    for args, options in METHODS[name]:
        expected = getattr(A, name)(*args, **options)
        for requires_grad in (False, True):
            found = getattr(tg.tensor(A, requires_grad=requires_grad), name)(*args, **options)
            pairs = zip(found, expected, strict=True) if name == "nonzero" else [(found, expected)]
            for one, other in pairs:
                other = np.asarray(other)
                assert (one.shape, one.dtype) == (other.shape, other.dtype)
                assert one.numpy().tobytes() == other.tobytes()
                assert one.requires_grad == (requires_grad and name not in UNRECORDED)


def test_another_order_is_refused():
    with pytest.raises(tg.ArgumentError, match="reshape: order 'K'"):
        tg.asarray(A).ravel("K")


def test_dot_is_ndarrays():
    b = np.cos(np.arange(8.0)).reshape(4, 2)
    np.testing.assert_allclose(tg.asarray(A).dot(b).numpy(), A.dot(b), rtol=1e-14)


def test_a_copy_of_bools():
    x = tg.asarray([True, False])
    assert (x.copy().tolist(), x.copy().dtype) == ([True, False], bool)


def test_sorting_in_place_is_recorded():
    leaf = tg.tensor([3.0, 1.0, 2.0], requires_grad=True)
    x = leaf * 1.0
    assert x.sort() is None
    assert x.tolist() == [1, 2, 3]
    (x * np.array([1.0, 10.0, 100.0])).sum().backward()
    assert leaf.grad.tolist() == [100, 1, 10]


# ---------------------------------------------------------------- exchange with others


def test_values_leave_through_dlpack_with_one_warning_a_line():
    x = tg.tensor([1.0, 2.0], requires_grad=True, name="x")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            array = np.from_dlpack(x)
    assert array.tolist() == [1, 2]
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert "'x' leaves the graph" in str(caught[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.from_dlpack(x.detach())
        with tg.no_grad():
            np.from_dlpack(x)


def test_a_write_to_what_was_exported_changes_no_tensor():
    x = tg.tensor([1.0, 2.0])

    np.from_dlpack(x)[0] = 9.0
    assert x.tolist() == [1, 2]
    with pytest.raises(ValueError, match="read-only"):  # the memory itself is only shown
        np.from_dlpack(x, copy=False)[0] = 9.0
    assert x.tolist() == [1, 2]


def test_arrays_come_in_through_dlpack():
    values = np.zeros(2)
    x = tg.from_dlpack(values)
    values[0] = 5.0
    assert x.tolist() == [5, 0]
    assert tg.from_dlpack(values, copy=True, device="cpu").tolist() == [5, 0]
    assert tg.from_dlpack(x).tolist() == [5, 0]


def test_the_namespace_of_a_tensor_is_the_package():
    x = tg.asarray(A)
    assert x.__array_namespace__() is tg
    assert x.__array_namespace__(api_version="2025.12") is tg
    assert x.to_device(x.device) is x
