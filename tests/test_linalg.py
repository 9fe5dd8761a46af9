"""Linear algebra: what its entries in the table do not determine."""

import inspect
import itertools
import sys

import numpy as np
import pytest
import scipy.linalg

import tinygraph as tg
from tinygraph.testing import check_grads

LINALG = tg.linalg
RNG = np.random.default_rng(0)


def real(*shape):
    return RNG.normal(size=shape)


def numbers(*shape):
    return real(*shape) + 1j * real(*shape)


def square(*shape):
    return numbers(*shape) + 3 * np.eye(shape[-1])


def adjoint(x):
    return tg.conj(x).mT


def hermitian(x):
    return (x + adjoint(x)) / 2


def positive(x):
    return x @ adjoint(x) + tg.eye(x.shape[-1])


def flat(y):
    """Return all that a function returned as real arrays."""
    several = y if isinstance(y, tuple) else (y,)
    return tuple(
        part
        for one in several
        for part in ((tg.real(one), tg.imag(one)) if one.dtype.kind == "c" else (one,))
    )


def spectral(x):
    """Return what of a decomposition of a Hermitian matrix does not depend on phases."""
    w, v = LINALG.eigh(hermitian(x))
    return w, tg.abs(WEIGHTS[:, :3] @ v), (v * tg.exp(w)[..., None, :]) @ adjoint(v)


def singular(x):
    """Return what of a singular value decomposition does not depend on phases."""
    u, s, vh = LINALG.svd(x, full_matrices=False)
    left, right = WEIGHTS[:, : x.shape[-2]], WEIGHTS[: x.shape[-1]]
    return s, tg.abs(left @ u), tg.abs(vh @ right), (u * s[..., None, :] ** 2) @ vh


def eigen(x):
    """Return what of the eigenvectors does not depend on phases, in no order."""
    w, v = LINALG.eig(x)
    return tg.sum(w**3, axis=-1), tg.sum(tg.abs(WEIGHTS[:, :3] @ v) * tg.abs(w)[..., None, :])


WEIGHTS = numbers(4, 4)
NEAR = np.diag([1.0, 2.0, 3.0]) + 0.3 * numbers(3, 3)
CASES = {
    "cholesky": (lambda x: LINALG.cholesky(positive(x)), [numbers(2, 3, 3)]),
    "cholesky, upper": (lambda x: LINALG.cholesky(positive(x), upper=True), [numbers(3, 3)]),
    "cross": (lambda a, b: LINALG.cross(a, b, axis=-2), [numbers(2, 3, 1), numbers(3, 2)]),
    "det": (LINALG.det, [square(2, 3, 3)]),
    "diagonal": (lambda x: LINALG.diagonal(x, offset=-1), [numbers(2, 4, 3)]),
    "eig": (eigen, [NEAR]),
    "eigh": (spectral, [square(2, 3, 3)]),
    "eigvals": (lambda x: tg.sum(tg.exp(LINALG.eigvals(x)), axis=-1), [NEAR]),
    "eigvalsh": (lambda x: LINALG.eigvalsh(hermitian(x)), [square(2, 3, 3)]),
    "expm": (LINALG.expm, [numbers(2, 3, 3)]),
    "inv": (LINALG.inv, [square(2, 3, 3)]),
    "matrix_norm": (lambda x: LINALG.matrix_norm(x), [numbers(2, 3, 4)]),
    "matrix_norm, nuc": (lambda x: LINALG.matrix_norm(x, ord="nuc"), [numbers(2, 3, 4)]),
    "matrix_norm, 1": (lambda x: LINALG.matrix_norm(x, ord=1, keepdims=True), [numbers(3, 4)]),
    "matrix_norm, -inf": (lambda x: LINALG.matrix_norm(x, ord=-np.inf), [numbers(3, 4)]),
    "matrix_norm, 2": (lambda x: LINALG.matrix_norm(x, ord=2), [numbers(3, 4)]),
    "matrix_power": (lambda x: LINALG.matrix_power(x, 5), [numbers(3, 3) / 2]),
    "matrix_power, negative": (lambda x: LINALG.matrix_power(x, -3), [square(3, 3)]),
    "norm": (tg.linalg.norm, [numbers(2, 3, 2)]),
    "outer": (LINALG.outer, [numbers(2), numbers(3)]),
    "pinv, high": (LINALG.pinv, [numbers(2, 4, 2)]),
    "pinv, wide": (LINALG.pinv, [numbers(2, 4)]),
    "qr, high": (LINALG.qr, [numbers(2, 4, 3)]),
    "qr, wide": (LINALG.qr, [numbers(2, 4)]),
    "qr, square": (lambda x: LINALG.qr(x, mode="complete"), [square(3, 3)]),
    "slogdet": (LINALG.slogdet, [square(2, 3, 3)]),
    "solve_sylvester": (LINALG.solve_sylvester, [square(2, 3, 3), square(2, 2), numbers(3, 2)]),
    "sqrtm": (LINALG.sqrtm, [square(2, 3, 3)]),
    "solve": (LINALG.solve, [square(2, 3, 3), numbers(3, 2)]),
    "solve, vectors": (LINALG.solve, [square(2, 3, 3), numbers(3)]),
    "solve_triangular": (LINALG.solve_triangular, [square(2, 3, 3), numbers(3, 2)]),
    "solve_triangular, vector": (
        lambda a, b: LINALG.solve_triangular(a, b, lower=True, unit_diagonal=True),
        [square(3, 3), numbers(3)],
    ),
    "cho_solve": (
        lambda a, b: LINALG.cho_solve((LINALG.cholesky(positive(a)), True), b),
        [numbers(3, 3), numbers(3, 2)],
    ),
    "cho_solve, upper": (
        lambda a, b: LINALG.cho_solve((LINALG.cholesky(positive(a), upper=True), False), b),
        [numbers(3, 3), numbers(3)],
    ),
    "svd, high": (singular, [numbers(4, 3)]),
    "svd, wide": (singular, [numbers(2, 4)]),
    "svd, square": (singular, [numbers(2, 3, 3)]),
    "svdvals": (LINALG.svdvals, [numbers(2, 3, 4)]),
    "tensordot": (
        lambda a, b: LINALG.tensordot(a, b, axes=((2, 0), (1, 3))),
        [numbers(2, 3, 4), numbers(3, 4, 1, 2)],
    ),
    "tensorinv": (LINALG.tensorinv, [numbers(2, 3, 6)[..., None].reshape(2, 3, 3, 2)]),
    "tensorsolve": (
        lambda a, b: LINALG.tensorsolve(a, b, axes=(0,)), [numbers(2, 2, 3, 3), numbers(2, 3)],
    ),
    "trace": (lambda x: LINALG.trace(x, offset=1), [numbers(2, 3, 4)]),
    "vecdot": (lambda a, b: LINALG.vecdot(a, b, axis=-2), [numbers(2, 3, 4), numbers(3, 1)]),
    "vector_norm": (lambda x: LINALG.vector_norm(x, axis=(0, 2)), [numbers(2, 3, 2)]),
    "vector_norm, 3": (lambda x: LINALG.vector_norm(x, ord=3, axis=-1), [numbers(2, 3)]),
    "vector_norm, 1": (lambda x: LINALG.vector_norm(x, ord=1), [numbers(2, 3)]),
    "vector_norm, inf": (lambda x: LINALG.vector_norm(x, ord=np.inf, axis=0), [numbers(2, 3)]),
    "vector_norm, -1": (lambda x: LINALG.vector_norm(x, ord=-1), [numbers(2, 3)]),
    "multi_dot": (lambda *a: LINALG.multi_dot(a), [numbers(3), numbers(3, 2), numbers(2, 4)]),
    "cond": (tg.linalg.cond, [square(2, 3, 3)]),
    "cond, 1": (lambda x: LINALG.cond(x, 1), [square(3, 3)]),
    "lstsq, high": (lambda a, b: LINALG.lstsq(a, b)[:2], [numbers(4, 2), numbers(4, 2)]),
    "lstsq, wide": (lambda a, b: LINALG.lstsq(a, b)[0], [numbers(2, 4), numbers(2)]),
}  # fmt: skip

cases = pytest.mark.parametrize("case", CASES)


@cases
def test_gradients_of_complex_matrices(case):
    function, operands = CASES[case]

    def parts(*pairs):
        return flat(function(*(x + 1j * y for x, y in zip(pairs[::2], pairs[1::2], strict=True))))

    check_grads(parts, tuple(part.copy() for z in operands for part in (z.real, z.imag)), order=2)


@cases
def test_gradients_of_real_matrices(case):
    function, operands = CASES[case]
    check_grads(lambda *x: flat(function(*x)), tuple(z.real.copy() for z in operands), order=2)


@cases
def test_mapped_over_a_batch(case):
    function, operands = CASES[case]
    if case.startswith("lstsq"):
        pytest.skip("it reads the rank")
    stacks = [np.stack([one, one * 1.5 + 0.1, one - 0.2]) for one in operands]
    for mapped in itertools.product([True, False], repeat=len(operands)):
        if any(mapped):
            given = [stack if m else stack[0] for stack, m in zip(stacks, mapped, strict=True)]
            axes = tuple(0 if m else None for m in mapped)
            found = tg.vmap(lambda *x: flat(function(*x)), in_axes=axes)(*given)
            for i in range(3):
                one = flat(
                    function(*(x[i] if m else x for x, m in zip(given, mapped, strict=True)))
                )
                for whole, part in zip(found, one, strict=True):
                    np.testing.assert_allclose(whole[i], part.numpy(), rtol=1e-10, atol=1e-11)


def test_each_function_of_the_chapter_is_tried():
    names = {one for one in dir(np.linalg) if callable(getattr(np.linalg, one)) and one[0] != "_"}
    tried = {case.split(",")[0] for case in CASES}
    assert names - tried == {"matmul", "matrix_transpose", "matrix_rank", "LinAlgError", "test"}
    assert names - {"test", "LinAlgError"} <= set(dir(LINALG))


# ---------------------------------------------------------------- values


def same(found, expected):
    expected = np.asarray(expected)
    found = found.numpy() if isinstance(found, tg.Tensor) else np.asarray(found)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
def test_values_are_numpys_bit_for_bit(dtype):
    def draw(*shape):
        return (numbers(*shape) if dtype[0] == "c" else real(*shape)).astype(dtype)

    a, b = draw(2, 4, 4), draw(2, 5, 6)
    for ord_ in (1, -1, 2, -2, np.inf, -np.inf, "fro", "nuc"):
        for x, keepdims in itertools.product((b, draw(20, 30)), (True, False)):
            same(LINALG.matrix_norm(x, ord=ord_, keepdims=keepdims),
                 np.linalg.matrix_norm(x, ord=ord_, keepdims=keepdims))  # fmt: skip
        same(LINALG.norm(b, ord_, (2, 0)), np.linalg.norm(b, ord_, (2, 0)))
        same(LINALG.cond(a, ord_), np.linalg.cond(a, ord_))
    for ord_ in (1, 2, 3, 0.5, -1, 0, np.inf, -np.inf):
        for axis in (None, 1, (0, 2)):
            same(LINALG.vector_norm(b, ord=ord_, axis=axis),
                 np.linalg.vector_norm(b, ord=ord_, axis=axis))  # fmt: skip
        same(LINALG.norm(b, ord_, 1, True), np.linalg.norm(b, ord_, 1, True))
    for n in range(-4, 12):
        same(LINALG.matrix_power(a, n), np.linalg.matrix_power(a, n))
    for offset in (-2, 0, 1, 5):
        same(LINALG.trace(b, offset=offset), np.linalg.trace(b, offset=offset))
    same(LINALG.trace(b, dtype="complex128"), np.linalg.trace(b, dtype="complex128"))
    same(LINALG.outer(a[0, 0], a[0, 1]), np.linalg.outer(a[0, 0], a[0, 1]))
    same(LINALG.cond(a), np.linalg.cond(a))
    for lengths in ([3, 4, 5], [3, 10, 2, 7], [1, 5, 6, 2, 8, 3], [4, 4, 4, 4, 4]):
        chain = [draw(*pair) for pair in itertools.pairwise(lengths)]
        ends = [chain[0][0], *chain[1:-1], chain[-1][:, 0]]
        for one in (chain, ends):  # which NumPy multiplies by dot, not by matmul
            found, expected = LINALG.multi_dot(one), np.linalg.multi_dot(one)
            assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
            np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)
    t = draw(4, 6, 8, 3)
    same(LINALG.tensorinv(t), np.linalg.tensorinv(t))
    same(LINALG.tensorsolve(t, t[:, :, 0, 0]), np.linalg.tensorsolve(t, t[:, :, 0, 0]))
    for shapes in (((6, 4), (6,)), ((6, 4), (6, 2)), ((4, 6), (4,)), ((4, 4), (4, 2))):
        a, b = (draw(*shape) for shape in shapes)
        for one, other in zip(LINALG.lstsq(a, b), np.linalg.lstsq(a, b), strict=True):
            assert np.shape(one) == np.shape(other)
            np.testing.assert_allclose(np.asarray(one), other, rtol=2e-4, atol=1e-5)


def test_norms_without_an_axis():
    for x in (real(5), real(3, 4), real(2, 3, 4)):
        same(LINALG.norm(x), np.linalg.norm(x))
        same(LINALG.norm(x, keepdims=True), np.linalg.norm(x, keepdims=True))
    same(LINALG.norm(np.array([3, 4])), np.linalg.norm(np.array([3, 4])))
    z = numbers(3, 4)
    np.testing.assert_allclose(LINALG.norm(z).item(), np.linalg.norm(z), rtol=1e-15)


@pytest.mark.parametrize("size", [0.0, 1e-300, 1e8, 1e15, 1e300])
def test_the_gradient_of_expm_is_linear_in_what_comes_from_above(size):
    a, g = real(3, 3), real(3, 3)
    x = tg.tensor(a, requires_grad=True)
    LINALG.expm(x).backward(size * g)
    expected = size * scipy.linalg.expm_frechet(a.T, g, compute_expm=False)
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-12)


def test_a_power_that_is_no_whole_number_is_refused():
    with pytest.raises(TypeError):
        LINALG.matrix_power(np.eye(2), 2.5)


def test_no_entries():
    nothing = np.zeros((2, 0))
    for ord_ in (1, 2, np.inf, "fro", "nuc"):
        same(LINALG.matrix_norm(nothing, ord=ord_), np.linalg.matrix_norm(nothing, ord=ord_))
    assert LINALG.expm(np.zeros((0, 0))).shape == (0, 0)
    assert LINALG.det(np.zeros((0, 0))).item() == 1


def test_roots_of_matrices():
    a = np.diag([-4.0, 9.0])
    np.testing.assert_allclose(LINALG.sqrtm(a).numpy(), np.diag([2j, 3.0]))
    grad = tg.grad(lambda x: tg.imag(LINALG.sqrtm(x)[0, 0]))
    np.testing.assert_allclose(grad(a), np.diag([-0.25, 0.0]), atol=1e-15)
    with (
        pytest.raises(tg.LinAlgError, match="no derivative at a singular"),
        pytest.warns(scipy.linalg.LinAlgWarning),
    ):
        tg.grad(lambda x: tg.sum(LINALG.sqrtm(x)))(np.diag([0.0, 1.0]))
    none, one, two = np.zeros((0, 1, 1)), np.ones((1, 1)), np.ones((2, 1))
    assert LINALG.solve_sylvester(np.eye(2), none, two).shape == (0, 2, 1)
    assert LINALG.solve_sylvester(none, one, one).shape == (0, 1, 1)


@pytest.mark.parametrize("size", [1e-9, 0.1, 3.0, 50.0])
def test_the_exponential_of_matrices_of_any_size(size):
    for a in (real(5, 5), numbers(5, 5), real(2, 3, 3), np.triu(real(4, 4))):
        a = size * a / np.linalg.norm(a)
        np.testing.assert_allclose(
            LINALG.expm(a).numpy(), scipy.linalg.expm(a),
            rtol=1e-11, atol=1e-13 * np.exp(size),
        )  # fmt: skip
    assert LINALG.expm(np.float32([[1.0]])).dtype == "float32"
    np.testing.assert_allclose(LINALG.expm(np.array([[0, 1], [0, 0]])).numpy(), [[1, 1], [0, 1]])
    assert np.isnan(LINALG.expm(np.full((2, 2), np.nan)).numpy()).all()


def test_numpys_functions_are_recorded():
    a = tg.tensor(real(4, 4), requires_grad=True, name="a")
    spd = a @ a.mT + tg.eye(4)
    given = {
        "cholesky": (spd,), "cross": (a[:, :3], a[:, 1:]), "lstsq": (a, a), "matmul": (a, a),
        "matrix_power": (a, 3), "multi_dot": ([a, a, a],), "outer": (a[0], a[1]), "solve": (a, a),
        "tensordot": (a, a), "tensorinv": (a.reshape(2, 2, 2, 2),), "vecdot": (a, a),
        "tensorsolve": (a.reshape(2, 2, 2, 2), a[:2, :2]), "eigh": (spd,), "eigvalsh": (spd,),
    }  # fmt: skip
    names = {one for one in dir(np.linalg) if callable(getattr(np.linalg, one)) and one[0] != "_"}
    for name in names - {"LinAlgError", "test"}:
        function, operands = getattr(np.linalg, name), given.get(name, (a,))
        bare = [[x.numpy() for x in one] if isinstance(one, list) else one for one in operands]
        bare = [one.numpy() if isinstance(one, tg.Tensor) else one for one in bare]
        found, expected = function(*operands), function(*bare)
        for one, other in zip(
            *(y if isinstance(y, tuple) else (y,) for y in (found, expected)), strict=True
        ):
            assert getattr(one, "dtype", other.dtype if name != "lstsq" else None) in (
                other.dtype if hasattr(other, "dtype") else None, None,
            ), name  # fmt: skip
            np.testing.assert_allclose(bare_of(one), other, rtol=1e-10, atol=1e-12, err_msg=name)
        first = found[0] if isinstance(found, tuple) else found
        assert first.requires_grad == (name != "matrix_rank"), name


def bare_of(x):
    return x.numpy() if isinstance(x, tg.Tensor) else x


def test_numpys_own_arguments():
    a = tg.tensor(np.diag([1.0, 1e-14]), requires_grad=True)
    assert np.linalg.svd(a, compute_uv=False).shape == (2,)
    assert np.linalg.svd(a, False).U.requires_grad
    same(np.linalg.pinv(a), np.linalg.pinv(a.numpy()))  # whose cut-off is smaller
    same(np.linalg.pinv(a, 1e-3), np.linalg.pinv(a.numpy(), 1e-3))
    same(np.linalg.pinv(a, rtol=1e-3), np.linalg.pinv(a.numpy(), 1e-3))
    turn = tg.tensor([[0.0, -1.0], [1.0, 0.0]], requires_grad=True)
    assert np.linalg.eigvals(turn).dtype == "complex128"
    assert np.linalg.eigvals(a).dtype == "float64"
    assert LINALG.eigvals(a).dtype == "complex128"
    assert np.linalg.eigh(a, UPLO="U").eigenvalues.requires_grad


# ---------------------------------------------------------------- where derivatives end


@pytest.mark.parametrize("rank", range(4))
def test_determinants_of_singular_matrices_to_second_order(rank):
    a = real(3, rank) @ real(rank, 3) if rank else np.zeros((3, 3))
    # Beside a value that does not vanish, for what is to be 0 is so but for rounding.
    check_grads(lambda x: LINALG.det(x) + tg.sum(x**3 + x), (a,), order=2)
    check_grads(LINALG.det, (np.eye(3),), order=2)
    adjugate = LINALG.adjugate(a).numpy()
    np.testing.assert_allclose(adjugate @ a, np.linalg.det(a) * np.eye(3), atol=1e-13)


def test_repeated_eigenvalues():
    one = tg.tensor(np.eye(3), requires_grad=True)
    tg.sum(LINALG.eigvalsh(one)).backward()
    np.testing.assert_allclose(one.grad.numpy(), np.eye(3), atol=1e-15)
    spread = tg.grad(lambda x: tg.sum(LINALG.eigh(x).eigenvalues ** 2))(np.eye(3))
    np.testing.assert_allclose(spread, 2 * np.eye(3), atol=1e-15)
    for a in (np.eye(3), np.diag([1.0, 2.0, 2.0])):
        for create_graph in (False, True):
            x = tg.tensor(a, requires_grad=True)
            y = tg.sum(tg.tensor(WEIGHTS.real[:3, :3]) @ LINALG.eigh(x).eigenvectors)
            with pytest.raises(tg.LinAlgError, match=r"linalg\.eigh: .*repeated eigenvalues"):
                y.backward(create_graph=create_graph)
    with pytest.raises(tg.LinAlgError, match=r"linalg\.eig: .*repeated"):
        tg.grad(lambda x: tg.sum(tg.real(WEIGHTS[:3, :3] @ LINALG.eig(x).eigenvectors)))(np.eye(3))
    # In a stack only those count whose eigenvectors are used.
    stack = np.stack([np.eye(3), np.diag([1.0, 2.0, 4.0])])
    tg.grad(lambda x: tg.sum(LINALG.eigh(x).eigenvectors[1] ** 3))(stack)


def test_vectors_that_are_not_determined():
    def left(x):
        return tg.sum(WEIGHTS.real @ LINALG.svd(x).U)

    with pytest.raises(tg.LinAlgError, match=r"linalg\.svd: .*repeated singular values"):
        tg.grad(left)(np.eye(4))
    with pytest.raises(tg.LinAlgError, match=r"linalg\.svd: .*full_matrices=False"):
        tg.grad(left)(real(4, 2))
    with pytest.raises(tg.LinAlgError, match=r'linalg\.qr: .*mode="reduced"'):
        tg.grad(lambda x: tg.sum(LINALG.qr(x, mode="complete").Q))(real(4, 2))
    # The first vectors of a complete basis are determined.
    a, k = real(4, 2), 2
    whole = tg.grad(lambda x: tg.sum(WEIGHTS.real @ LINALG.svd(x).U[:, :k] ** 2))(a)
    part = tg.grad(lambda x: tg.sum(WEIGHTS.real @ LINALG.svd(x, full_matrices=False).U ** 2))(a)
    np.testing.assert_allclose(whole, part, rtol=1e-10)
    np.testing.assert_allclose(
        tg.grad(lambda x: tg.sum(LINALG.svdvals(x)))(np.eye(3)), np.eye(3), atol=1e-15
    )


def test_gradients_among_hermitian_matrices_are_hermitian():
    a = square(3, 3) @ square(3, 3)
    a = a @ a.conj().T
    for function in (LINALG.cholesky, LINALG.eigvalsh):
        gradient = tg.grad(lambda x, f=function: tg.sum(tg.real(f(x)) ** 2))(a)
        np.testing.assert_allclose(gradient, gradient.conj().T, rtol=1e-12)


def test_norms_at_zero():
    zero = np.zeros((2, 3))
    for function in (
        LINALG.vector_norm, LINALG.matrix_norm, LINALG.norm,
        lambda x: LINALG.vector_norm(x, ord=3), lambda x: LINALG.vector_norm(x, ord=1),
    ):  # fmt: skip
        assert (tg.grad(function)(zero) == 0).all()
        assert (tg.grad(lambda x, f=function: tg.sum(tg.grad(f)(x)))(zero) == 0).all()
    check_grads(LINALG.vector_norm, (np.array([3.0, 0.0, -4.0]),), order=2)
    shares = tg.grad(lambda x: LINALG.vector_norm(x, ord=np.inf))(np.array([2.0, -2.0, 1.0]))
    np.testing.assert_array_equal(shares, [0.5, -0.5, 0])


# ---------------------------------------------------------------- what is refused

EYES = np.stack([2 * np.eye(2), np.eye(2)])
REFUSED = {
    "no inverse": (lambda: LINALG.inv(np.zeros((2, 2))), "LinAlgError", r"linalg\.inv.*Singular"),
    "not positive": (lambda: LINALG.cholesky(-np.eye(2)), "LinAlgError", r"cholesky.*positive"),
    "not square": (lambda: LINALG.det(np.ones((2, 3))), "LinAlgError", r"\(2, 3\).*square"),
    "power": (lambda: LINALG.matrix_power(np.ones((2, 3)), 2), "ShapeError", r"\(2, 3\)"),
    "outer": (lambda: LINALG.outer(np.ones((2, 2)), [1.0]), "ShapeError", r"\(2, 2\).*vectors"),
    "mode": (lambda: LINALG.qr(np.eye(2), mode="r"), "ArgumentError", r"'r'.*\.R"),
    "an axis of two": (
        lambda: LINALG.vecdot(np.ones((2, 3)), np.ones(3), axis=0), "ArgumentError", "axis=-1",
    ),
    "order": (lambda: LINALG.matrix_norm(np.eye(2), ord=3), "ArgumentError", "ord=3"),
    "three axes": (lambda: LINALG.norm(np.ones((2, 2, 2)), 2), "ShapeError", "3 axes"),
    "one matrix": (lambda: LINALG.multi_dot([np.eye(2)]), "ArgumentError", "two or more"),
    "tensorsolve": (
        lambda: LINALG.tensorsolve(np.ones((2, 3)), np.ones(2)), "LinAlgError", r"\(2, 3\)",
    ),
    "no Sylvester": (
        lambda: LINALG.solve_sylvester(EYES, -np.eye(2), 99 * (EYES - np.eye(2)) + np.eye(2)),
        "LinAlgError", r"linalg\.solve_sylvester: .*\(2, 2, 2\).*an eigenvalue in common",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case):
    function, error, message = REFUSED[case]
    with pytest.raises(getattr(tg, error), match=message):
        function()
    if error == "LinAlgError":
        with pytest.raises(np.linalg.LinAlgError):
            function()


def test_without_scipy(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.linalg", None)
    for function in (
        lambda: LINALG.solve_triangular(np.eye(2), np.ones(2)),
        lambda: LINALG.cho_solve((np.eye(2), True), np.ones(2)),
        lambda: LINALG.sqrtm(np.eye(2)),
    ):
        with pytest.raises(tg.MissingDependencyError, match="SciPy: pip install"):
            function()
    assert LINALG.expm(np.zeros((1, 1))).item() == 1


def test_aliases_are_the_same_functions():
    for name in ("matmul", "matrix_transpose", "tensordot", "vecdot"):
        assert getattr(LINALG, name) is getattr(tg, name)
    assert str(inspect.signature(LINALG.solve_triangular)) == (
        "(a, b, /, *, lower=False, unit_diagonal=False)"
    )


def test_arguments_that_are_written_to_later():
    a = tg.tensor(real(2, 3), requires_grad=True)
    axes, rtol = [[1], [0]], np.array(1e-3)
    product, inverse = tg.tensordot(a, np.ones((3, 2)), axes=axes), LINALG.pinv(a, rtol=rtol)
    axes[0][0], rtol[...] = 0, 10.0
    (tg.sum(product) + tg.sum(inverse)).backward()
    expected = tg.grad(lambda x: 2 * tg.sum(x) + tg.sum(LINALG.pinv(x)))(a.numpy())
    np.testing.assert_allclose(a.grad.numpy(), expected)
    assert LINALG.pinv(np.diag([1.0, 0.1]), rtol=tg.tensor(0.5)).tolist() == [[1, 0], [0, 0]]
    with pytest.raises(tg.ShapeError, match="tensordot"):
        tg.tensordot(real(2, 3), real(2, 3), axes=1)


def test_a_cutoff_may_be_a_recorded_tensor():
    a = np.diag([1.0, 0.1])
    rtol = tg.tensor(0.25, requires_grad=True) * 2.0
    assert tg.linalg.pinv(tg.asarray(a), rtol=rtol).tolist() == [[1.0, 0.0], [0.0, 0.0]]
