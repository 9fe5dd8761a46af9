"""Fourier transforms: what their entries in the table do not determine."""

import itertools

import numpy as np
import pytest

import tinygraph as tg
from tinygraph.testing import check_grads

FFT = tg.fft
RNG = np.random.default_rng(0)
NORMS = (None, "backward", "ortho", "forward")
ONE = ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft")
MANY = ("fftn", "ifftn", "rfftn", "irfftn", "fft2", "ifft2", "rfft2", "irfft2")
REAL = ("rfft", "ihfft", "rfftn", "rfft2")  # which transform real numbers
WAYS = [{}, {"axes": (0, 1)}, {"s": (4, 6), "axes": (0, 2)}, {"s": (3, -1), "axes": (1, 0)}]


def real(*shape):
    return RNG.normal(size=shape)


def flat(y):
    """Return real arrays in the place of a complex one."""
    return (tg.real(y), tg.imag(y)) if y.dtype.kind == "c" else y


def check(function, x, name, order=2):
    """Check the gradients of a transform, for complex numbers too where it takes them."""
    check_grads(lambda x: flat(function(x)), (x,), order=order)
    if name not in REAL:
        both = (x, real(*x.shape))
        check_grads(lambda x, y: flat(function(x + 1j * y)), both, order=order)


def same(found, expected):
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    assert found.numpy().tobytes() == expected.tobytes()


@pytest.mark.parametrize("name", ONE)
def test_gradients_with_other_numbers_of_points(name):
    function = getattr(FFT, name)
    for n, norm, axis in itertools.product((None, 1, 2, 3, 4, 5, 6), NORMS, (-1, 0)):
        check(lambda x, o=(n, axis, norm): function(x, n=o[0], axis=o[1], norm=o[2]), real(3, 4),
              name, order=2 if norm == "ortho" else 1)  # fmt: skip


@pytest.mark.parametrize("name", MANY)
def test_gradients_over_several_axes(name):
    function = getattr(FFT, name)
    for options, norm in itertools.product(WAYS, NORMS):
        check(lambda x, o=options, n=norm: function(x, **o, norm=n), real(2, 3, 2), name,
              order=2 if norm == "ortho" else 1)  # fmt: skip


@pytest.mark.parametrize("name", ["fftshift", "ifftshift"])
@pytest.mark.parametrize("axes", [None, 1, (0, -1)])
def test_shifts(name, axes):
    x = real(2, 3, 4)
    same(getattr(FFT, name)(x, axes=axes), getattr(np.fft, name)(x, axes=axes))
    check(lambda x: getattr(FFT, name)(x, axes=axes), x, name)
    moved = tg.vmap(lambda x: getattr(FFT, name)(x))(x)
    np.testing.assert_array_equal(moved[1], getattr(np.fft, name)(x[1]))


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
def test_values_are_numpys_bit_for_bit(dtype):
    x = (real(3, 4, 5) + (1j * real(3, 4, 5) if dtype[0] == "c" else 0)).astype(dtype)
    for name in ONE + MANY:
        if dtype[0] == "c" and name in REAL:
            continue
        ways = WAYS
        if name in ONE:
            ways = [{"n": n, "axis": axis} for n in (None, 1, 3, 4, 7) for axis in (-1, 0, 1)]
        for options, norm in itertools.product(ways, NORMS):
            expected = getattr(np.fft, name)(x, **options, norm=norm)
            same(getattr(FFT, name)(x, **options, norm=norm), expected)
            recorded = getattr(np.fft, name)(tg.tensor(x, requires_grad=True), **options, norm=norm)
            same(recorded, expected)
            assert recorded.requires_grad


@pytest.mark.parametrize("name", ONE + MANY)
def test_mapped_over_a_batch(name):
    function = getattr(FFT, name)
    x = real(3, 2, 3, 4)
    mapped = tg.vmap(lambda x: function(x, norm="ortho"))(x)
    np.testing.assert_allclose(
        mapped, [function(one, norm="ortho").numpy() for one in x], atol=1e-15
    )
    if name in ONE:
        mapped = tg.vmap(lambda x: function(x, n=5, axis=0))(x)
        np.testing.assert_allclose(mapped, [function(one, n=5, axis=0).numpy() for one in x])


@pytest.mark.parametrize("n", [4, 5])
def test_frequencies(n):
    for name in ("fftfreq", "rfftfreq"):
        same(getattr(FFT, name)(n, d=0.1), getattr(np.fft, name)(n, d=0.1))
        assert getattr(FFT, name)(n, dtype="float32", device="cpu").dtype == "float32"


def test_a_real_operand_gets_a_real_gradient():
    x = tg.tensor(np.float32([1.0, 2.0, 3.0]), requires_grad=True)
    tg.sum(tg.abs(FFT.fft(x, n=5)) ** 2).backward()
    assert x.grad.dtype == "float32"
    np.testing.assert_allclose(x.grad.numpy(), 10 * x.numpy(), rtol=1e-5)  # Parseval


def test_what_is_refused():
    with pytest.raises(tg.ShapeError, match=r"fft\.fftn: 1 lengths .* for 2 axes"):
        FFT.fftn(real(2, 2), s=(2,), axes=(0, 1))
    with pytest.raises(tg.ArgumentError, match="'unit'"):
        FFT.hfft(real(3), norm="unit")
    with pytest.raises(tg.TinygraphError, match="unit"):
        FFT.fft(real(3), norm="unit")
    with pytest.raises(tg.DTypeError, match=r"fft\.rfft.*complex"):
        FFT.rfft(real(3) + 1j)
    with pytest.raises(tg.TinygraphError, match=r"fft\.fft.*n=0"):
        FFT.fft(real(3), n=0)
