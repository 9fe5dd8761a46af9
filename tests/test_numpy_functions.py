"""NumPy's functions on Tensors: each gives NumPy's values, and gradients right to second order."""

import inspect
import operator
import warnings

import numpy as np
import pytest

import tinygraph as tg
from tinygraph.numpy_functions import CHANGES, FUNCTIONS, IN_C, MOVES, UFUNCS, signature_of
from tinygraph.testing import check_grads

RNG = np.random.default_rng(0)
V, W = RNG.uniform(0.5, 2, 4), RNG.uniform(0.5, 2, 3)
A, B = RNG.normal(size=(3, 4)), RNG.normal(size=(4, 3))
C = RNG.normal(size=(2, 3, 4))
P = RNG.uniform(0.5, 2, (3, 4))
N = np.where(RNG.random((3, 4)) < 0.3, np.nan, A)
N[:, 0] = 1.0, 2.0, 3.0
INNER = np.array([True, False, True, True])
KNOWN = np.array([0.0, 0.7, 1.1, 2.5])
SOME = (A > 0) | np.eye(3, 4, dtype=bool)  # of each row and column at least one
SOME[:, 3] = True
METHODS = (  # of quantiles
    "averaged_inverted_cdf", "closest_observation", "hazen", "higher", "interpolated_inverted_cdf",
    "inverted_cdf", "linear", "lower", "median_unbiased", "midpoint", "nearest", "normal_unbiased",
    "weibull",
)  # fmt: skip

# The arguments that are differentiated, and how NumPy's function is called with them.
CALLS = {
    **{name: [((A,), lambda f, a: f(a)), ((A,), lambda f, a: f(a, 0, None, True)),
              ((A,), lambda f, a: f(a, axis=1, initial=0.3)),
              ((A[:0],), lambda f, a: f(a, initial=1)),
              ((A, V[0]), lambda f, a, b: f(a, 0, where=SOME, initial=b - 1))]
       for name in ("amax", "amin", "max", "min")},
    "angle": [((V, V + 1), lambda f, a, b: f(a - 1j * b)), ((V,), lambda f, a: f(a * 1j, True))],
    "append": [((A, B), lambda f, a, b: f(a, b)), ((A, A), lambda f, a, b: f(a, b, axis=0))],
    "apply_along_axis": [((C,), lambda f, a: f(lambda x: x[:2] * x.sum(), 1, a)),
                         ((A,), lambda f, a: f(np.sum, 0, a))],
    "apply_over_axes": [((C,), lambda f, a: f(np.sum, a, [0, 2])),
                        ((A,), lambda f, a: f(lambda x, axis: np.flip(x * x, axis), a, 1))],
    "array_split": [((V,), lambda f, a: f(a, 3)), ((A,), lambda f, a: f(a, 2, axis=1))],
    "atleast_1d": [((V[0],), lambda f, a: f(a))],
    "atleast_2d": [((V,), lambda f, a: f(a))],
    "atleast_3d": [((A,), lambda f, a: f(a))],
    "around": [((A,), lambda f, a: f(a, 1) * a)],
    "average": [((A,), lambda f, a: f(a)), ((A, V), lambda f, a, w: f(a, 1, w)),
                ((A, P), lambda f, a, w: f(a, 0, w, returned=True))],
    "bincount": [((V,), lambda f, w: f(np.array([0, 2, 0, 1]), w, minlength=5))],
    "block": [((A, B), lambda f, a, b: f([[a, a], [b.T, a]]))],
    "broadcast_arrays": [((A, W), lambda f, a, b: f(a, b[:, None]))],
    "choose": [((V, V + 1), lambda f, a, b: f(np.array([0, 1, 1, 0]), [a, b])),
               ((V, V + 1), lambda f, a, b: f([0, -2, 4, 3], (a, b), mode="clip")),
               ((V, V + 1), lambda f, a, b: f([0, -1, 4, 3], [a, b], None, "wrap"))],
    "column_stack": [((V, V + 1), lambda f, a, b: f([a, b]))],
    "compress": [((A,), lambda f, a: f(INNER, a, axis=1)), ((V,), lambda f, a: f(a > 1, a))],
    "convolve": [((V, W), lambda f, a, b, mode=mode: f(a, b, mode)) for mode in
                 ("full", "same", "valid")] + [((W, V), lambda f, a, b: f(a, b, "same"))],
    "corrcoef": [((A,), lambda f, a: f(a)), ((A, P), lambda f, a, b: f(a, b, rowvar=False))],
    "correlate": [((V, W), lambda f, a, b, mode=mode: f(a, b, mode)) for mode in
                  ("full", "same", "valid")] + [((W, V), lambda f, a, b: f(a, b, "full"))],
    "cov": [((A,), lambda f, a: f(a)), ((V,), lambda f, a: f(a)),
            ((A, P), lambda f, a, b: f(a, b, ddof=0)), ((A,), lambda f, a: f(a, rowvar=False)),
            ((A,), lambda f, a: f(a, fweights=[1, 2, 0, 3])),
            ((A, V), lambda f, a, w: f(a, aweights=w)),
            ((A, V), lambda f, a, w: f(a, None, True, False, 2, [1, 2, 0, 3], w)),
            ((A, V), lambda f, a, w: f(a, a * a, bias=True, aweights=w))],
    "cross": [((W, W + 1), lambda f, a, b: f(a, b * b)), ((B, A.T), lambda f, a, b: f(a, b))],
    "cumprod": [((A,), lambda f, a: f(a)), ((A,), lambda f, a: f(a, axis=1))],
    "cumsum": [((A,), lambda f, a: f(a)), ((A,), lambda f, a: f(a, axis=-1))],
    "delete": [((A,), lambda f, a: f(a, [0, 2], axis=1)), ((A,), lambda f, a: f(a, 5))],
    "diag": [((V,), lambda f, a: f(a, 1)), ((A,), lambda f, a: f(a, -1))],
    "diagflat": [((A,), lambda f, a: f(a))],
    "diagonal": [((C,), lambda f, a: f(a, 1, 0, 2))],
    "dot": [((A, B), lambda f, a, b: f(a, b)), ((V, V + 1), lambda f, a, b: f(a, b)),
            ((C, B), lambda f, a, b: f(a, b)), ((A, V), lambda f, a, b: f(a, b)),
            ((A, V[0]), lambda f, a, b: f(a, b))],
    "dsplit": [((C,), lambda f, a: f(a, 2))],
    "dstack": [((A, P), lambda f, a, b: f([a, b]))],
    "ediff1d": [((A,), lambda f, a: f(a)), ((V, W), lambda f, a, b: f(a, b, b[0]))],
    "einsum": [((A, B), lambda f, a, b, s=s: f(s, a, b)) for s in
               ("ij,jk->ik", "ij,jk", "ij,ki->j", "ij,ji->", "ij,kl->jl", "...j,jk->...k")] + [
               ((A,), lambda f, a, s=s: f(s, a)) for s in ("ij->ji", "ij->", "ij->j", "ij")] + [
               ((A @ B,), lambda f, a: f("ii->i", a)), ((A @ B,), lambda f, a: f("ii", a)),
               ((A, B, W), lambda f, a, b, c: f("ij,jk,k->i", a, b, c)),
               ((A, B), lambda f, a, b: f(a, [0, 1], b, [1, 2])),
               ((A, B), lambda f, a, b: f(a, [30, 4], b, [4, 5], [5, 30])),
               ((A, B), lambda f, a, b: f(a, [30, 4], b, [4, 5])),
               ((C, A), lambda f, a, b: f(a, [..., 0, 1], b, [0, 1], [..., 0])),
               ((C, A), lambda f, a, b: f("...ij,ij->...i", a, b)),
               ((C, W), lambda f, a, b: f("i...,...->...i", a, b[:, None]))],
    "extract": [((A,), lambda f, a: f(a > 0, a)),
                ((A,), lambda f, a: f(np.arange(12).reshape(3, 4) % 3 == 0, a))],
    "fft.fftshift": [((A,), lambda f, a: f(a)), ((A,), lambda f, a: f(a, axes=1))],
    "fft.ifftshift": [((A,), lambda f, a: f(a))],
    "fix": [((A * 3,), lambda f, a: f(a) * a)],
    "flip": [((A,), lambda f, a: f(a, 1))],
    "fliplr": [((A,), lambda f, a: f(a))],
    "flipud": [((A,), lambda f, a: f(a))],
    "geomspace": [((W[0], W[1]), lambda f, a, b: f(a, b, 5)),
                  ((W, W + 1), lambda f, a, b: f(-a, -b, 4, axis=1))],
    "gradient": [((A,), lambda f, a: f(a)), ((A,), lambda f, a: f(a, 0.5, axis=1)),
                 ((V,), lambda f, a: f(a, KNOWN)), ((V,), lambda f, a: f(a, edge_order=2))],
    "hsplit": [((A,), lambda f, a: f(a, 2))],
    "hstack": [((A, P), lambda f, a, b: f([a, b]))],
    "histogram": [((V,), lambda f, w: f(V[::-1], 3, weights=w)),
                  ((W,), lambda f, w: f(W, 4, (0.0, 1.5), True, w)),
                  ((W,), lambda f, w: f(W, [0.5, 1.0, 1.5, 2.0], weights=w)),
                  ((A,), lambda f, a: f(a, 5, density=True))],
    "histogram_bin_edges": [((A,), lambda f, a: f(a, 4)), ((V,), lambda f, a: f(a[:1], "auto"))],
    "i0": [((A,), lambda f, a: f(a))],
    "inner": [((A, P), lambda f, a, b: f(a, b)), ((V, V), lambda f, a, b: f(a, b))],
    "intersect1d": [((V,), lambda f, a: f(a, a[1:]))],
    "insert": [((A, V), lambda f, a, b: f(a, 1, b, axis=0)),
               ((V, W), lambda f, a, b: f(a, [0, 2, 4], b))],
    "interp": [((W, V), lambda f, x, y: f(x, KNOWN, y)),
               ((np.array([-1.0, 0.3, 3.0]), V), lambda f, x, y: f(x, KNOWN, y, left=7.0)),
               ((np.array([-1.0, 0.3, 3.0]), V), lambda f, x, y: f(x, KNOWN, y, 7.0, period=2.4)),
               ((W, KNOWN, V), lambda f, x, z, y: f(x * 4, z + 0.1, y, period=-1.7))],
    "kron": [((A, B), lambda f, a, b: f(a, b)), ((V, A), lambda f, a, b: f(a, b))],
    "lib.stride_tricks.sliding_window_view": [((A,), lambda f, a: f(a, (2, 2)))],
    "lib.scimath.arccos": [((A / 9,), lambda f, a: f(a)), ((A * 9,), lambda f, a: np.abs(f(a)))],
    "lib.scimath.arcsin": [((A * 9,), lambda f, a: f(a))],
    "lib.scimath.arctanh": [((A * 9,), lambda f, a: f(a))],
    "lib.scimath.log": [((A,), lambda f, a: f(a)), ((P,), lambda f, a: f(a))],
    "lib.scimath.log10": [((A,), lambda f, a: f(a))],
    "lib.scimath.log2": [((A,), lambda f, a: f(a))],
    "lib.scimath.logn": [((V + 1, A), lambda f, n, a: f(n, a)), ((-V,), lambda f, n: f(n, 3.0))],
    "lib.scimath.power": [((A, P), lambda f, a, b: f(a, b)), ((P, A), lambda f, a, b: f(a, b))],
    "lib.scimath.sqrt": [((A,), lambda f, a: f(a)), ((P,), lambda f, a: f(a))],
    "linspace": [((V, V + 1), lambda f, a, b: f(a, b, 5)),
                 ((W[0],), lambda f, a: f(a, 3.0, 4, endpoint=False)),
                 ((V, V + 1), lambda f, a, b: f(a, b, 5, retstep=True, axis=-1))],
    "logspace": [((W[0], W[1]), lambda f, a, b: f(a, b, 5)),
                 ((W, W + 1), lambda f, a, b: f(a, b, 4, base=3.0, axis=1))],
    "mean": [((A,), lambda f, a: f(a, 0, None, None, True)), ((A,), lambda f, a: f(a, where=SOME)),
             ((A,), lambda f, a: f(a, 1, keepdims=True, where=SOME))],
    "median": [((A,), lambda f, a: f(a)), ((C,), lambda f, a: f(a, [2, 0])),
               ((A,), lambda f, a: f(a, axis=0, keepdims=True))],
    "meshgrid": [((V, W), lambda f, a, b: f(a, b)),
                 ((V, W), lambda f, a, b: f(a, b, indexing="ij"))],
    "moveaxis": [((C,), lambda f, a: f(a, 0, -1))],
    "nan_to_num": [((N,), lambda f, a: f(a, nan=2.0))],
    "outer": [((A, W), lambda f, a, b: f(a, b))],
    "pad": [((A,), lambda f, a: f(a, ((1, 2), (0, 1)), constant_values=2.0))] + [
            ((A,), lambda f, a, mode=mode: f(a, 2, mode)) for mode in
            ("constant", "edge", "linear_ramp", "reflect", "symmetric", "wrap")] + [
            ((A,), lambda f, a, n=n, mode=mode: f(a, n, mode, reflect_type="odd")) for mode in
            ("reflect", "symmetric") for n in (1, ((2, 8), (0, 1)), ((0, 9), (14, 3)))] + [
            ((A[:1],), lambda f, a, mode=mode: f(a, 2, mode, reflect_type="odd"))
            for mode in ("reflect", "symmetric")] + [
            ((A,), lambda f, a: f(a, ((1, 2), (2, 0)), constant_values=((1.0, 2.0), (3.0, 4.0)))),
            ((A, V), lambda f, a, b: f(a, 1, constant_values=b[:2])),
            ((C,), lambda f, a: f(a, (1, 2), "linear_ramp", end_values=(2.0, 3.0))),
            ((A, V), lambda f, a, b: f(a, {1: 2}, constant_values=b[0]))],
    "partition": [((A,), lambda f, a: f(a, 1)), ((A,), lambda f, a: f(a, 2, axis=0)),
                  ((A,), lambda f, a: f(a, 2, axis=None, kind="introselect"))],
    "percentile": [((A,), lambda f, a: f(a, 30)), ((A,), lambda f, a: f(a, [10, 75], axis=1)),
                   ((A,), lambda f, a: f(a, 30, 0, None, False, "weibull", True))],
    "piecewise": [((A,), lambda f, a: f(a, [a < 0, a > 1], [lambda x: -x, 2.0, np.square])),
                  ((A,), lambda f, a: f(a, [a < 0, a > 1], [np.sum, np.sqrt])),
                  ((V,), lambda f, a: f(a, a > 1, [lambda x, n, m=0: n * x * x + m, 1.0], 3, m=2)),
                  ((V[0],), lambda f, a: f(a, [a > 0, a < 0], [np.square, np.exp]))],
    "poly": [((V,), lambda f, a: f(a)), ((A @ B,), lambda f, a: f(a)),
             ((np.diag(W) + np.tri(3, k=-1).T - np.tri(3, k=-1),), lambda f, a: f(a)),
             ((V,), lambda f, a: f(a * 1j))],
    "polyadd": [((V, W), lambda f, a, b: f(a, b))],
    "polyder": [((V,), lambda f, a: f(a, 2))],
    "polydiv": [((V, W[:2]), lambda f, a, b: f(a, b)), ((W, V), lambda f, a, b: f(a, b)),
                ((V, V + 1), lambda f, a, b: f(a, b)), ((V, W[:1]), lambda f, a, b: f(a, b))],
    "polyfit": [((V, V + 1), lambda f, x, y: f(x + np.arange(4.0), y, 2)),
                ((V, B, W[0]), lambda f, x, y, w: f(x + np.arange(4.0), y, 1, w=x * w))],
    "polyint": [((V,), lambda f, a: f(a, 2, [1.0, 2.0]))],
    "polymul": [((V, W), lambda f, a, b: f(a, b)), ((V, W), lambda f, a, b: f(a, b[0]))],
    "polysub": [((W, V), lambda f, a, b: f(a, b))],
    "polyval": [((V, A), lambda f, a, b: f(a, b))],
    "prod": [((A,), lambda f, a: f(a, 1, None, None, True)),
             ((A, V[0]), lambda f, a, b: f(a, 0, where=SOME, initial=b))],
    "ptp": [((A,), lambda f, a: f(a, axis=1))],
    "quantile": [((A,), lambda f, a: f(a, [0.2, 0.9], axis=0, keepdims=True)),
                 ((C,), lambda f, a: f(a, 0.4, axis=(0, 2)))] + [
                 ((A,), lambda f, a, method=method: f(a, [0.05, 0.25, 0.65], 1, method=method))
                 for method in METHODS],
    "real_if_close": [((V,), lambda f, a: f(a + 0j)), ((V,), lambda f, a: np.abs(f(a * 1j)))],
    "repeat": [((A,), lambda f, a: f(a, [1, 2, 0], axis=0)), ((A,), lambda f, a: f(a, 2))],
    "resize": [((V,), lambda f, a: f(a, (2, 3)))],
    "roll": [((A,), lambda f, a: f(a, 2)), ((A,), lambda f, a: f(a, (1, 2), axis=(0, 1)))],
    "rollaxis": [((C,), lambda f, a: f(a, 2))],
    "roots": [((np.array([2.0, 1.0, 3.0, -1.0]),), lambda f, p: np.abs(f(p))),
              ((np.array([1.0, -6.0, 11.0, -6.0]),), lambda f, p: f(np.append(0.0, p))),
              ((V,), lambda f, p: f(p[:1]))],
    "rot90": [((A,), lambda f, a: f(a, 3))],
    "select": [((A, P), lambda f, a, b: f([A > 0, P > 1], [a, b * 2], 3.0))],
    "setdiff1d": [((V,), lambda f, a: f(a, a[:2]))],
    "setxor1d": [((V, W), lambda f, a, b: f(a, b))],
    "std": [((A,), lambda f, a: f(a, 0, None, None, 1, True)),
            ((A,), lambda f, a: f(a, 1, ddof=1, where=SOME | (A < 0))),
            ((A,), lambda f, a: f(a, mean=np.mean(a, keepdims=True), correction=1))],
    "sum": [((A,), lambda f, a: f(a, 1, None, None, True)), ((A,), lambda f, a: f(a, where=SOME)),
            ((A, V[0]), lambda f, a, b: f(a, 0, initial=b, where=SOME[:, :1])),
            ((A[:0],), lambda f, a: f(a, initial=2.0))],
    "sort_complex": [((A,), lambda f, a: np.imag(f(a * 1j))), ((A,), lambda f, a: f(a))],
    "split": [((V,), lambda f, a: f(a, 2)), ((A,), lambda f, a: f(a, [1, 3], axis=1))],
    "take": [((A,), lambda f, a: f(a, (2, 2))), ((A,), lambda f, a: f(a, [-3, 40], mode="clip")),
             ((A,), lambda f, a: f(a, [[-1, 9]], 0, None, "wrap")),
             ((A,), lambda f, a: f(a, [1, 1, 7])), ((C,), lambda f, a: f(a, [[0, 2]], axis=1))],
    "tile": [((A,), lambda f, a: f(a, (2, 1, 2)))],
    "trace": [((C,), lambda f, a: f(a, 1, 1, 2))],
    "trapezoid": [((A,), lambda f, a: f(a, dx=0.5)), ((A, V), lambda f, a, b: f(a, b)),
                  ((A, W), lambda f, a, b: f(a, b, axis=0))],
    "tril": [((A,), lambda f, a: f(a, -1))],
    "trim_zeros": [((V,), lambda f, a: f(a * np.array([0.0, 1, 1, 0]))),
                   ((V,), lambda f, a: f(a * np.array([0.0, 1, 1, 0]), "b")),
                   ((A,), lambda f, a: f(a * np.eye(3, 4, k=1), "f")),
                   ((V,), lambda f, a: f(0 * a))],
    "triu": [((C,), lambda f, a: f(a))],
    "union1d": [((V, W), lambda f, a, b: f(a, b))],
    "unique": [((A,), lambda f, a: f(np.concatenate([a, a[:2]]))),
               ((A,), lambda f, a: f(np.concatenate([a, a[:2]]), return_counts=True)[0])],
    "unique_values": [((V,), lambda f, a: np.sort(f(np.concatenate([a, a[:2]]))))],
    "unwrap": [((V * 9,), lambda f, a: f(a))],
    "var": [((A,), lambda f, a: f(a, 0, None, None, 1, True)),
            ((A,), lambda f, a: f(a, where=SOME, mean=np.mean(a, keepdims=True))),
            ((A,), lambda f, a: f(a, 1, ddof=1, where=SOME | (A < 0), keepdims=True))],
    "vander": [((V,), lambda f, a: f(a, 3)), ((V,), lambda f, a: f(a, increasing=True))],
    "vdot": [((A, P), lambda f, a, b: f(a, b))],
    "vsplit": [((B,), lambda f, a: f(a, 2))],
    "vstack": [((V, V), lambda f, a, b: f([a, b]))],
} | {
    name: [((N,), lambda f, a: f(a)), ((N,), lambda f, a: f(a, axis=1))]
    for name in ("nancumprod", "nancumsum", "nanmax", "nanmean", "nanmedian", "nanmin", "nanprod",
                 "nanstd", "nansum", "nanvar")
} | {
    "nanpercentile": [((N,), lambda f, a: f(a, 40)), ((N,), lambda f, a: f(a, [20, 50], axis=1))],
    "nanquantile": [((N,), lambda f, a: f(a, 0.4)), ((N,), lambda f, a: f(a, 0.4, axis=0)),
                    ((N,), lambda f, a: f(a, [0.4, 0.5], 1, method="hazen", keepdims=True)),
                    ((np.stack([N, N + 1]),), lambda f, a: f(a, [0.4, 0.5], axis=(0, 2)))],
}  # fmt: skip


def flat(found):
    """Return the arrays in what a function returned, in a list."""
    return list(found) if isinstance(found, list | tuple) else [found]


def of_numbers(function, arrays):
    """Return a function of those entries alone that are numbers, and these."""
    there = [~np.isnan(one) for one in arrays]
    if all(np.all(mask) for mask in there):
        return function, arrays

    def filled(*known):
        wholes = [tg.tensor(one) * 1 for one in arrays]
        for whole, mask, values in zip(wholes, there, known, strict=True):
            whole[mask] = values
        return function(*wholes)

    return filled, tuple(one[mask] for one, mask in zip(arrays, there, strict=True))


@pytest.mark.parametrize(("name", "case"), [(n, i) for n in CALLS for i in range(len(CALLS[n]))])
def test_values_and_gradients_to_second_order(name, case):
    arrays, call = CALLS[name][case]
    function = operator.attrgetter(name)(np)
    expected = flat(call(function, *arrays))
    found = flat(call(function, *(tg.tensor(one, requires_grad=True) for one in arrays)))
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert isinstance(one, tg.Tensor), "it is a Tensor"
        assert (one.shape, one.dtype) == (np.shape(other), np.asarray(other).dtype)
        assert np.allclose(one.numpy(), other, rtol=1e-12, atol=1e-14, equal_nan=True)

    def weighted(*inside):
        return [
            tg.sum(real * np.cos(np.arange(one.size)).reshape(one.shape))
            for one in flat(call(function, *inside))
            for real in ((tg.real(one), tg.imag(one)) if one.dtype.kind == "c" else (one,))
        ]

    check_grads(*of_numbers(weighted, arrays), order=2)


def test_every_function_is_tried():
    assert set(FUNCTIONS) == set(CALLS) | set(CHANGES)
    assert set(MOVES) <= set(CALLS)


IN_PLACE = {
    "copyto": lambda t, v: np.copyto(t, v),
    "fill_diagonal": lambda t, v: np.fill_diagonal(t, v[0]),
    "place": lambda t, v: np.place(t, np.arange(12).reshape(3, 4) % 5 == 0, v),
    "put": lambda t, v: np.put(t, [0, 7], v[:2]),
    "put_along_axis": lambda t, v: np.put_along_axis(t, np.array([[0], [2], [1]]), v[:3, None], 1),
    "putmask": lambda t, v: np.putmask(t, np.arange(12).reshape(3, 4) > 6, v),
}


@pytest.mark.parametrize("name", CHANGES)
def test_functions_that_change_their_argument(name):
    change = IN_PLACE[name]
    expected = A.copy()
    change(expected, V)
    t, v = tg.tensor(A, requires_grad=True) * 1, tg.tensor(V, requires_grad=True)
    change(t, v)
    assert np.array_equal(t.numpy(), expected)

    def changed(t, v):
        t, v = t * 1, v * 1
        change(t, v)
        return t * np.cos(np.arange(12.0)).reshape(3, 4)

    check_grads(changed, (A, V), order=2)
    refusal = "would lose its gradient|an array cannot hold a Tensor with its gradient"
    with pytest.raises(tg.DTypeError, match=refusal):
        change(A.copy(), v)


@pytest.mark.parametrize("name", [name for name in CALLS if name not in ("polydiv", "geomspace")])
def test_dtypes_are_those_of_numpy(name):
    function = operator.attrgetter(name)(np)
    for arrays, call in CALLS[name]:
        singles = [np.float32(one) for one in arrays]
        tensors = [tg.tensor(one, requires_grad=True) for one in singles]
        for one, other in zip(
            flat(call(function, *tensors)), flat(call(function, *singles)), strict=True
        ):
            assert one.dtype == other.dtype


@pytest.mark.parametrize("ufunc", UFUNCS, ids=lambda one: one.__name__)
def test_ufuncs_without_a_rule(ufunc):
    arrays = {"matvec": (A, V), "vecmat": (V, B), "ldexp": (A, np.array([1, 2, 0, -1]))}.get(
        ufunc.__name__, (A + 0.25, P)[: ufunc.nin]
    )
    if ufunc is np.float_power:
        arrays = P, A
    expected = flat(ufunc(*arrays))
    slots = [i for i, one in enumerate(arrays) if one.dtype.kind == "f"]
    tensors = [tg.tensor(one, requires_grad=i in slots) for i, one in enumerate(arrays)]
    for one, other in zip(flat(ufunc(*tensors)), expected, strict=True):
        assert np.allclose(one.numpy(), other, rtol=1e-14)
    place = -1 if ufunc is np.divmod else 0
    check_grads(lambda *inside: flat(ufunc(*inside, *arrays[len(slots):]))[place],
                tuple(arrays[i] for i in slots), order=2)  # fmt: skip


@pytest.mark.parametrize(
    "call",
    [
        lambda x: np.add.reduce(x), lambda x: np.add.reduce(x, axis=1, keepdims=True),
        lambda x: np.multiply.reduce(x, axis=1), lambda x: np.maximum.reduce(x),
        lambda x: np.minimum.reduce(x, axis=None), lambda x: np.add.accumulate(x, axis=1),
        lambda x: np.multiply.accumulate(x), lambda x: np.multiply.outer(x, W),
        lambda x: np.subtract.outer(x[0], x), lambda x: np.arctan2.outer(W, x),
    ],
)  # fmt: skip
def test_methods_of_ufuncs(call):
    assert np.allclose(call(tg.tensor(A, requires_grad=True)).numpy(), call(A))
    check_grads(call, (A,), order=2)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda x: np.quantile(x, 0.5, weights=P, method="inverted_cdf"), "argument 'weights'"),
        (lambda x: np.convolve(x[0], x[0], "odd"), "mode 'odd'"),
        (lambda x: np.gradient(x, 1.0, 2.0, 3.0), "one spacing for each axis"),
        (lambda x: np.pad(x, 1, "mean"), "no mode 'mean'"),
        (lambda x: np.sum(x, out=np.zeros(())), "numpy.sum of a Tensor: out= would lose the grad"),
        (lambda x: np.unique(x, axis=0), "numpy.unique of a Tensor takes no axis"),
        (lambda x: np.cross(x[:, :3], x[:, :3], 0), "numpy.cross of a Tensor .* 'axisa'"),
        (lambda x: np.piecewise(x, [x > 0], [1.0, 2.0, 3.0]), "a function for each condition"),
        (lambda x: np.linalg.qr(x, "raw"), "'raw' is not"),
        (lambda x: np.ravel(x, "K"), "order 'K'"),
        (lambda x: np.add.at(x, [0], 1.0), r"numpy\.add\.at"),
        (lambda x: np.nan_to_num(x, copy=False), "copy=False would not change it"),
    ],
)
def test_what_is_not_supported_says_so(call, told):
    with pytest.raises((tg.ArgumentError, tg.DTypeError), match=told):
        call(tg.tensor(A, requires_grad=True))


@pytest.mark.parametrize(
    "call",
    [
        lambda x: np.median(x, axis=5),
        lambda x: np.quantile(x, 0.5, axis=(0, -2)),
        lambda x: np.take(x, [0], axis=2),
        lambda x: np.gradient(x[:1], axis=0),
        lambda x: np.gradient(x, axis=2),
        lambda x: np.bincount([0, -1], x[0, :2]),
        lambda x: np.bincount([0, 1], x[0, :1]),
        lambda x: np.linalg.norm(x, axis=(0, 5)),
        lambda x: np.linalg.norm(x, 1, axis=(0, -2)),
        lambda x: np.linalg.tensorsolve(x[:2, :2], x[0, :2], axes=(5,)),
    ],
)
def test_what_numpy_refuses_is_refused(call):
    for x in (A, tg.tensor(A, requires_grad=True)):
        with pytest.raises((ValueError, IndexError)):
            call(x)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: np.gradient(x([1, 6, 3])),
        lambda x: np.gradient(x([1, 6, 3]), 2.0),
        lambda x: np.take(x([10.0, 20.0]), [True, False, True]),
        lambda x: np.bincount(x([0, 2, 2])),
        lambda x: np.bincount([0, 2, 2], x([1.0, 2.0, 3.0]), 5),
        lambda x: np.interp(x([0.0, 1.0, 2.0]), [1.0], [5.0]),
        lambda x: np.interp(x([1.0, 2.0, 3.0]), [1.0, 2.0, 2.0], [1.0, 2.0, 3.0]),
        lambda x: np.around(x([1, 25]), -1),
        lambda x: np.ldexp(x([1e-300, 0.0, 5e-324, 1.0]), [1100, 5000, 2000, -1074]),
        lambda x: np.ldexp(x(np.float32([1.5, 0.0])), [3, 400]),
        lambda x: np.frexp(x([5e-324, 1.7e308, 0.0, -3.0]))[0],
        lambda x: np.float_power(x([1 + 1j, 2.0]), 2),
        lambda x: np.heaviside(x(np.float32([-1.0, 0.0, 2.0])), np.float32(0.5)),
        lambda x: np.rint(x([1, 2])),
        lambda x: np.fabs(x([-1, 2])),
        lambda x: np.around(x([1.25, -2.5]), 1),
    ],
)
def test_values_and_dtypes_at_the_edges(call):
    found, expected = call(tg.tensor), call(np.array)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found.numpy(), expected)


# ---------------------------------------------------------------- all of NumPy

# On files, settings, dates, text, memory, functions, dtypes, or integers alone.
NOT_ON_FLOATS = {
    "array2string", "array_repr", "array_str", "base_repr", "binary_repr", "bitwise_and",
    "bitwise_count", "bitwise_invert", "bitwise_left_shift", "bitwise_not", "bitwise_or",
    "bitwise_right_shift", "bitwise_xor", "bmat", "broadcast_shapes", "busday_count",
    "busday_offset", "datetime_as_string", "datetime_data", "einsum_path", "empty_like", "eye",
    "fft.test", "from_dlpack", "frombuffer", "fromfile", "fromfunction", "fromiter",
    "frompyfunc", "fromregex", "fromstring", "gcd", "genfromtxt", "get_include",
    "get_printoptions", "getbufsize", "geterr", "geterrcall", "indices", "info", "invert",
    "is_busday", "isdtype", "isfortran", "isnat", "lcm", "left_shift", "linalg.test",
    "load", "loadtxt", "mask_indices", "memmap", "mintypecode", "nested_iters", "packbits",
    "printoptions",
    "ravel_multi_index", "right_shift", "save", "savetxt", "savez", "savez_compressed",
    "set_printoptions", "setbufsize", "seterr", "seterrcall", "show_config", "show_runtime",
    "test", "typename", "unpackbits", "unravel_index",
}  # fmt: skip
# They take floats, and refuse a recorded Tensor.
REFUSED = {
    "arange", "bartlett", "blackman", "full", "hamming", "hanning", "histogram2d",
    "histogramdd", "ix_", "kaiser", "spacing",
}  # fmt: skip
GIVEN = [  # arguments made of a matrix
    lambda x: (x,), lambda x: (x[0],), lambda x: (x[0, 0],), lambda x: (x, x), lambda x: (x[0], x),
    lambda x: (x[0], x[0]), lambda x: (x[0, 0], x[0, 0]), lambda x: (x, 1), lambda x: (x[0], 1),
    lambda x: (1, x), lambda x: (x > 1.5, x), lambda x: (x, x, x), lambda x: (x[0], x[0], x[0]),
    lambda x: ([x, x],), lambda x: ((x[0], x[0]),), lambda x: ([x > 2, x > 1], [x, -x]),
    lambda x: (x, [1, 0]), lambda x: (x, (2, 2)), lambda x: ("ij,jk", x, x), lambda x: ([1, 0], x),
    lambda x: (x, [1], x), lambda x: (np.array([[1, 0]]), x), lambda x: (x, 0, 1),
    lambda x: (x, np.array([[1, 0]]), 1), lambda x: (np.sum, x, 0), lambda x: (np.sum, 0, x),
    lambda x: (2, x[0, 0]), lambda x: (np.stack([x[0, 0], x[0, 1], x[1, 0]]),) * 2,
]  # fmt: skip


def callables():
    for module, prefix in ((np, ""), (np.linalg, "linalg."), (np.fft, "fft."),
                           (np.lib.scimath, "lib.scimath.")):  # fmt: skip
        for name, function in sorted(vars(module).items()):
            if callable(function) and not isinstance(function, type) and name[0] != "_":
                yield prefix + name


def arrays_in(found):
    """Return all that a function returned as arrays, in a list."""
    if isinstance(found, dict | list | tuple):
        return [one for part in found for one in arrays_in(part)]
    return [np.asarray(getattr(found, "data", found))]


def called(function, make, x):
    """Return what a function gives, or the argument that it changed."""
    given_ = make(x)
    found = function(*given_)
    return given_[0] if found is None else found


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sorted(set(callables()) - NOT_ON_FLOATS))
def test_nothing_drops_the_graph_without_a_word(name):
    function = operator.attrgetter(name)(np)
    here, answered = np.array([[2.0, 1.25], [1.0, 3.0]]), False
    for make in GIVEN:
        with np.errstate(all="ignore"):
            try:
                expected = arrays_in(called(function, make, here.copy()))
                near = arrays_in(called(function, make, here + 1e-6))
            except Exception:  # NumPy does not take these arguments
                continue
            try:
                found = called(function, make, tg.tensor(here, requires_grad=True) * 1)
            except (TypeError, ValueError, IndexError, tg.GraphError):
                continue
            answered = True
        for part, one, other in zip(flat(found), expected, near, strict=True):
            assert one.dtype.kind == "O" or np.asarray(getattr(part, "data", part)).dtype != "O"
            smooth = one.dtype.kind in "fc" and one.shape == other.shape
            if smooth and 1e-9 < np.max(np.abs(one - other), initial=0.0) < 1e-3:
                assert part.requires_grad, make(here)
    assert answered == (name not in REFUSED) or name in {*CALLS, *CHANGES}


# ---------------------------------------------------------------- how NumPy's functions are called


ALONE = {  # where a promise or a way of computing changes no value
    "casting": lambda x: np.concatenate([x, x], casting="no"),
    "copy": lambda x: np.reshape(x, -1, copy=False),
    "kind": lambda x: np.sort(x, -1, "stable"),
    "memory": lambda x: np.copy(x, "F", True),
    "none": lambda x: np.mean(x, 0, None, None),
    "order": lambda x: np.ones_like(x, order="F") * x,
    "overwriting": lambda x: np.median(x, 0, overwrite_input=True),
    "reducing": lambda x: np.add.reduce(x, 1, None, None, True, 2.0, SOME),
    "ufunc": lambda x: np.add(x, 1.0, where=True, casting="same_kind", order="K", subok=True),
    "hermitian": lambda x: np.linalg.pinv(x, hermitian=False),
    "no value": lambda x: np.sum(x, initial=np._NoValue, where=np._NoValue),
    "methods": lambda x: x.sum(0, None, None, True) + x.max(0, initial=0.5) + x.copy("F"),
}


@pytest.mark.parametrize("name", ALONE)
def test_arguments_that_change_no_value_are_taken(name):
    call = ALONE[name]
    assert np.allclose(call(tg.tensor(A, requires_grad=True)).numpy(), call(A), rtol=1e-15)
    check_grads(call, (A,), order=2)


ORDERS = {
    "reshape": lambda x, order: np.reshape(x, (4, 3), order=order),
    "ravel": lambda x, order: np.ravel(x, order),
    "method": lambda x, order: x.reshape(2, 6, order=order),
    "flatten": lambda x, order: x.flatten(order),
}


@pytest.mark.parametrize("order", ["C", "F", "A"])
@pytest.mark.parametrize("name", ORDERS)
def test_the_order_of_entries(name, order):
    for turn in (lambda x: x, lambda x: x.T, lambda x: x[:, ::2].repeat(2, 1)):
        x = tg.tensor(A, requires_grad=True)
        found, expected = (ORDERS[name](turn(one), order) for one in (x, A))
        assert np.array_equal(found.numpy(), expected)
        check_grads(lambda x, turn=turn: ORDERS[name](turn(x), order), (A,), order=1)


@pytest.mark.parametrize("function", IN_C)
def test_signatures_of_functions_in_c_are_numpys(function):
    try:
        expected = inspect.signature(function)
    except ValueError:
        pytest.skip("NumPy tells it since 2.4")
    assert signature_of(function) == expected


def test_dtypes_that_are_asked_for():
    x = tg.tensor(A, requires_grad=True)
    for call in (
        lambda a: np.concatenate([a, a], dtype="f4"), lambda a: np.stack([a, a], dtype="f4"),
        lambda a: np.hstack([a, a], dtype="f4"), lambda a: np.sum(a, dtype="f4"),
        lambda a: np.mean(a, dtype="f4"), lambda a: np.std(a, dtype="f4"),
        lambda a: np.cumsum(a, dtype="f4"), lambda a: np.trace(a, dtype="f4"),
        lambda a: np.cov(a, dtype="f4"), lambda a: np.linspace(a, 2.0, 3, dtype="f4"),
        lambda a: np.geomspace(abs(a), 2.0, 3, dtype="f4"), lambda a: np.zeros_like(a, "f4"),
    ):  # fmt: skip
        found, expected = call(x), call(A)
        assert found.dtype == expected.dtype == "float32"
        assert np.allclose(found.numpy(), expected, rtol=1e-6)
    y = np.linspace(tg.tensor(-1.5), -3.0, 4, dtype=int)
    assert y.tolist() == np.linspace(-1.5, -3.0, 4, dtype=int).tolist()


@pytest.mark.parametrize("turn", [lambda a: a, lambda a: a + 1j * a @ a])
@pytest.mark.parametrize("triangle", ["L", "U", "u"])
def test_the_triangle_of_a_hermitian_matrix(triangle, turn):
    a = turn(RNG.normal(size=(2, 3, 3)))
    x = tg.tensor(a, requires_grad=True)
    for found, expected in zip(
        (*np.linalg.eigh(x, triangle), np.linalg.eigvalsh(x, triangle)),
        (*np.linalg.eigh(a, triangle), np.linalg.eigvalsh(a, triangle)), strict=True,
    ):  # fmt: skip
        assert np.array_equal(found.numpy(), expected)  # the other triangle is not read

    def of_both(a):
        a = turn(a)
        return np.linalg.eigvalsh(a + np.conj(a).mT, triangle)

    check_grads(of_both, (RNG.normal(size=(2, 3, 3)),), order=2)
    check_grads(lambda a: np.abs(np.linalg.eigh(a + a.T, triangle)[1]), (A[:, :3],), order=1)


def test_nan_among_the_entries():
    rows = np.array([[1.0, np.nan, 3.0], [np.nan] * 3, [4.0, 5.0, 7.0]])
    x = tg.tensor(rows, requires_grad=True)
    for name, *more in (("median",), ("quantile", 0.3), ("percentile", 30, ), ("nanmedian",),
                        ("nanquantile", 0.3), ("nanmax",), ("nanmin",), ("nanmean",)):  # fmt: skip
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = getattr(np, name)(rows, *more, axis=1)
            found = getattr(np, name)(x, *more, axis=1)
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-15, err_msg=name)
    for name in ("median", "nanmedian"):  # of an even and of an odd number
        ends = tg.tensor([[-np.inf, np.inf], [np.inf, np.inf], [2.0, np.inf]], requires_grad=True)
        assert np.array_equal(getattr(np, name)(ends, axis=0).numpy(), [2.0, np.inf])
        assert np.array_equal(getattr(np, name)(ends[1:], axis=0).numpy(), [np.inf, np.inf])
    np.nanstd(tg.tensor([2.0, np.nan, 2.0], requires_grad=True)).backward()  # as std: no NaN


def test_places_of_what_is_not_zero_are_plain_numbers():
    x = tg.tensor(A, requires_grad=True)
    for found, expected in zip(np.where(x > 0), np.where(A > 0), strict=True):
        assert type(found) is np.ndarray
        assert np.array_equal(found, expected)


def test_what_has_no_gradient_takes_all_of_numpys_arguments():
    x = tg.tensor(A, requires_grad=True)
    assert np.array_equal(np.any(x > 1, axis=0, where=SOME), np.any(A > 1, axis=0, where=SOME))
    assert np.argsort(x, axis=None, kind="stable").tolist() == np.argsort(A, axis=None).tolist()
    assert np.linalg.matrix_rank(x, 1e-3, hermitian=False) == 3
    assert np.argmax(x, 0, None, keepdims=True).tolist() == np.argmax(A, 0, keepdims=True).tolist()
    assert x.argmin(0, None, keepdims=True).shape == (1, 4)
