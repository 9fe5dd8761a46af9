"""A constant sparse matrix of SciPy as a factor of a product."""

import numpy as np
import pytest

import tinygraph as tg

sparse = pytest.importorskip("scipy.sparse")

FORMATS = ("bsr", "coo", "csc", "csr", "dia", "dok", "lil")


def matrix(format="csr"):
    return sparse.random_array((5, 4), density=0.4, rng=0).asformat(format)


X = np.random.default_rng(0).normal(size=(4, 3))


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("x", [X[:, 0], X], ids=["vector", "matrix"])
def test_it_multiplies_from_both_sides(format, x):
    a = matrix(format)
    np.testing.assert_array_equal(tg.matmul(a, x).numpy(), a.tocsr() @ x)
    np.testing.assert_allclose(tg.matmul(x.T, a.T).numpy(), x.T @ a.toarray().T)
    tg.testing.check_grads(lambda x: tg.matmul(a, x) ** 2, (x,))
    tg.testing.check_grads(lambda x: tg.matmul(x.T, a.T) ** 2, (x,))


def test_entries_named_twice_count_twice_and_dtypes_are_numpys():
    twice = sparse.coo_array(([1, 2], ([0, 0], [1, 1])), shape=(1, 2))
    assert tg.matmul(twice, np.array([0.0, 1.0])).numpy().tolist() == [3.0]
    assert tg.matmul(matrix().astype("float32"), X.astype("float32")).dtype == np.float32


def test_transforms_go_through():
    a = matrix()
    np.testing.assert_allclose(tg.vmap(lambda x: tg.matmul(a, x))(X.T), (a @ X).T)
    np.testing.assert_allclose(tg.jacobian(lambda x: tg.matmul(a, x))(X[:, 0]), a.toarray())
    np.testing.assert_allclose(np.matmul(a, tg.tensor(X)).numpy(), a @ X)


@pytest.mark.parametrize(
    "call",
    [
        lambda a: tg.grad(lambda x: tg.sum(a @ x))(X[:, 0]),
        lambda a: tg.grad(lambda x: tg.sum(x @ a.T))(X[:, 0]),
        lambda a: tg.jvp(lambda x: a @ x, (X[:, 0],), (X[:, 0],)),
    ],
)
def test_scipys_own_product_is_refused_by_the_name_of_ours(call):
    with pytest.raises(tg.DTypeError, match=r"tg\.matmul\(A, x\)"):
        call(matrix())


@pytest.mark.parametrize("x", [np.ones(3), np.float64(2), np.ones((2, 4, 3))])
def test_shapes_that_do_not_align_are_named(x):
    with pytest.raises(tg.ShapeError, match=r"matmul: a sparse matrix of shape \(5, 4\)"):
        tg.matmul(matrix(), x)
