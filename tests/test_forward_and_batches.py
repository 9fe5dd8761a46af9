"""vjp, jvp, jacobian, hessian, hvp, vmap: against closed forms, loops and each other."""

import numpy as np
import pytest

import tinygraph as tg

RNG = np.random.default_rng(0)


def close(a, b, tolerance=1e-12):
    a, b = (one.numpy() if isinstance(one, tg.Tensor) else np.asarray(one) for one in (a, b))
    assert a.shape == b.shape
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def rosenbrock(x):
    return tg.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def rosenbrock_hessian(x):
    n = len(x)
    H = np.zeros((n, n))
    for i in range(n - 1):
        H[i, i] += 1200 * x[i] ** 2 - 400 * x[i + 1] + 2
        H[i, i + 1] = H[i + 1, i] = -400 * x[i]
        H[i + 1, i + 1] += 200
    return H


X = RNG.normal(size=6)
V = RNG.normal(size=6)
H = rosenbrock_hessian(X)
A = RNG.normal(size=(6, 6))
Q = A + A.T


def quadratic(x):
    return 0.5 * (x @ (Q @ x))


DATA = RNG.normal(size=(20, 6))
LABELS = RNG.choice([-1.0, 1.0], 20)


def logistic(w):
    """The logistic loss, log(1 + exp(−y·x·w)), summed."""
    return tg.sum(tg.logsumexp(tg.stack([0 * LABELS, -LABELS * (DATA @ w)]), axis=0))


def logistic_hessian(w):
    p = 1 / (1 + np.exp(-LABELS * (DATA @ w)))
    return DATA.T @ (DATA * (p * (1 - p))[:, None])


CASES = [(rosenbrock, H), (quadratic, Q), (logistic, logistic_hessian(X))]


@pytest.mark.parametrize(("f", "expected"), CASES)
def test_second_derivatives_against_closed_forms(f, expected):
    close(tg.hessian(f)(X), expected, 1e-10)
    close(tg.hvp(f, (X,), (V,)), expected @ V, 1e-10)
    # The same by every composition of the two modes.
    close(tg.jvp(tg.grad(f), (X,), (V,))[1], expected @ V, 1e-10)
    close(tg.grad(lambda x: tg.jvp(f, (x,), (V,))[1])(X), expected @ V, 1e-10)
    close(tg.grad(lambda x: (tg.grad(f)(x) * V).sum())(X), expected @ V, 1e-10)
    twice = tg.jvp(lambda x: tg.jvp(f, (x,), (V,))[1], (X,), (V,))[1]
    close(twice, V @ expected @ V, 1e-10)
    close(tg.jacobian(tg.jacobian(f))(X), expected, 1e-10)
    close(tg.vmap(lambda v: tg.hvp(f, (X,), (v,)))(np.eye(6)), expected, 1e-10)
    close(tg.vmap(tg.hessian(f))(np.stack([X, X])), np.stack([expected, expected]), 1e-10)


def test_third_derivatives_of_nested_maps():
    third = tg.jacobian(tg.hessian(rosenbrock))(X)
    close(tg.jvp(tg.hessian(rosenbrock), (X,), (V,))[1], third @ V, 1e-9)
    close(
        tg.vmap(lambda c: tg.jvp(tg.hessian(rosenbrock), (c * X,), (V,))[1])(np.ones(2))[1],
        third @ V, 1e-9,
    )  # fmt: skip

    def first_row(c):
        return tg.vmap(tg.vjp(tg.grad(rosenbrock), c * X)[1])(c * np.eye(6))[0]

    close(tg.jvp(first_row, (1.0,), (1.0,))[1], third @ X + H, 1e-9)
    close(tg.vmap(first_row)(np.ones(2))[1], H, 1e-9)

    def along(c):
        pullback = tg.vjp(tg.grad(rosenbrock), c * X)[1]
        return tg.jvp(pullback, (V,), (V,))[1][0]

    close(tg.jvp(along, (1.0,), (1.0,))[1], third @ X @ V, 1e-9)
    close(tg.grad(lambda c: along(c).sum())(1.0), (third @ X @ V).sum(), 1e-9)


def test_hvp_answers_like_grad():
    first, second = tg.hvp(lambda x, y: x**2 * y, (2.0, 3.0), (1.0, 0.0))
    assert (first, second) == (6.0, 4.0)
    tree = tg.hvp(lambda p: (p["a"] ** 3).sum(), ({"a": X},), ({"a": V},))
    close(tree["a"], 6 * X * V)
    assert isinstance(tg.hvp(rosenbrock, (tg.tensor(X),), (V,)), tg.Tensor)


# ---------------------------------------------------------------- vjp and jvp


def test_vjp_and_jvp_of_trees():
    def f(d, c):
        return {"scaled": d["a"] * c, "total": [d["a"].sum()]}

    primals = ({"a": X}, 2.0)
    out, pullback = tg.vjp(f, *primals)
    close(out["scaled"], 2 * X)
    for _ in range(2):  # as often as one likes
        gradient, slope = pullback({"scaled": V, "total": [3.0]})
        close(gradient["a"], 2 * V + 3)
        close(slope, X @ V)
    out, tangent = tg.jvp(f, primals, ({"a": V}, 1.0))
    close(tangent["scaled"], 2 * V + X)
    close(tangent["total"][0], V.sum())
    assert type(tangent["scaled"]) is np.ndarray


@pytest.mark.parametrize(
    "f",
    [
        lambda x: (tg.linalg.expm(tg.reshape(x[:4], (2, 2))) ** 2).sum(),
        lambda x: tg.grad(lambda y: (y**3 * x).sum())(2.0) + (x**3).sum(),
    ],
)
def test_variables_of_calls_that_are_over_leave_no_record(f):
    for slope in (
        tg.jvp(tg.grad(f), (X,), (V,))[1],
        tg.hvp(f, (X,), (V,)),
        tg.hessian(f)(X) @ V,
    ):
        assert type(slope) is np.ndarray
        step = 1e-5 * V
        close(slope, (tg.grad(f)(X + step) - tg.grad(f)(X - step)) / 2e-5, 1e-7)


def test_results_that_do_not_move_have_zeros():
    _, tangent = tg.jvp(lambda x: (x, 3.0, tg.tensor([1.0, 2.0])), (1.0,), (5.0,))
    assert [one.tolist() for one in tangent] == [5.0, 0.0, [0.0, 0.0]]
    assert tg.jvp(lambda x: tg.argmax(x), (X,), (V,))[1].tolist() == 0
    assert tg.jvp(tg.no_grad()(lambda x: x * x), (2.0,), (1.0,))[1] == 0
    assert tg.jvp(lambda x: x.detach() * x, (2.0,), (1.0,))[1] == 2


def test_jvp_follows_changes_in_place_and_branches():
    def f(x):
        y = x * 1
        y *= y
        y += x
        return y if x > 0 else -y

    assert tg.jvp(f, (3.0,), (1.0,)) == (12.0, 7.0)
    assert tg.jvp(f, (-3.0,), (1.0,)) == (-6.0, 5.0)
    plain = tg.tensor([1.0, 2.0])

    def g(x):
        y = plain.copy()
        y *= x
        return y

    assert tg.jvp(g, (3.0,), (1.0,))[1].tolist() == [1.0, 2.0]


def test_float32_stays_float32():
    x = X.astype("float32")
    out, tangent = tg.jvp(lambda x: tg.tanh(x) * 2.0, (x,), (V,))
    assert out.dtype == tangent.dtype == np.float32
    assert tg.jacobian(lambda x: tg.tanh(x))(x).dtype == np.float32
    assert tg.vmap(tg.grad(lambda x: (x**3).sum()))(np.stack([x, x])).dtype == np.float32


def test_memory_of_jvp_does_not_grow_with_the_computation():
    import tracemalloc

    def peak(length):
        def f(x):
            for _ in range(length):
                x = tg.tanh(x * 1.01)
            return x

        tracemalloc.start()
        tg.jvp(f, (np.ones(10_000),), (np.ones(10_000),))
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert peak(100) < 1.5 * peak(10)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: tg.jvp(rosenbrock, (X,), (V[:3],)), tg.ShapeError, r"tangent 0.*\(3,\).*\(6,\)"),
        (lambda: tg.jvp(rosenbrock, (X,), (V, V)), tg.ShapeError, "tuple of 2 .* tuple of 1"),
        (lambda: tg.jvp(rosenbrock, X, V), tg.ArgumentError, r"tuples.*\(x,\)"),
        (lambda: tg.jvp(rosenbrock, (np.arange(3),), (V[:3],)), tg.DTypeError, "primal 0.*int64"),
        (lambda: tg.jvp(rosenbrock, (X,), (V * 1j,)), tg.DTypeError, "complex"),
        (lambda: tg.vjp(rosenbrock, X)[1](V), tg.ShapeError, r"pullback.*\(6,\).*\(\)"),
        (lambda: tg.vjp(rosenbrock, np.arange(3)), tg.DTypeError, "int64"),
        (lambda: tg.jvp(lambda x: float(x), (1.0,), (1.0,)), tg.GraphError, "float"),
        (lambda: tg.jvp(np.from_dlpack, (X,), (V,)), tg.DTypeError, r"__dlpack__.*\.numpy\(\)"),
        (lambda: tg.jvp(tg.from_dlpack, (X,), (V,)), tg.DTypeError, r"__dlpack__.*\.numpy\(\)"),
        (lambda: tg.jvp(lambda x: (x * x).backward(), (1.0,), (1.0,)), tg.GraphError, "tg.grad"),
    ],
)  # fmt: skip
def test_what_cannot_be_pushed_or_pulled(call, error, message):
    with pytest.raises(error, match=message):
        call()


# ---------------------------------------------------------------- jacobians


def count_calls(f):
    def counted(*args):
        counted.calls += 1
        return f(*args)

    counted.calls = 0
    return counted


def test_jacobians_choose_the_cheaper_mode(monkeypatch):
    from tinygraph import transforms

    chosen = []
    for name in ("backwards", "forwards"):
        mode = getattr(transforms, name)
        monkeypatch.setattr(
            transforms, name, lambda *args, mode=mode, name=name: chosen.append(name) or mode(*args)
        )
    tall, wide = RNG.normal(size=(1000, 50)), RNG.normal(size=(50, 1000))
    for matrix, mode in ((tall, "forwards"), (wide, "backwards")):
        f = count_calls(lambda x, matrix=matrix: tg.tanh(matrix @ x))
        x = RNG.normal(size=matrix.shape[1]) / 10
        close(tg.jacobian(f)(x), (1 - np.tanh(matrix @ x) ** 2)[:, None] * matrix, 1e-10)
        assert chosen.pop() == mode
        assert f.calls <= 2


def test_jacobians_have_the_shape_of_the_result_and_then_of_the_argument():
    def f(x, y):
        return {"outer": tg.expand_dims(x, axis=1) * y, "sum": x.sum()}

    x, y = np.arange(2.0), np.arange(3.0).reshape(1, 3)
    both = tg.jacobian(f, (0, 1))(x, y)
    assert both["outer"][0].shape == (2, 3, 2)
    assert both["outer"][1].shape == (2, 3, 1, 3)
    assert both["sum"][1].shape == (1, 3)
    close(both["outer"][0][1, :, 1], y[0])
    close(both["sum"][0], np.ones(2))
    assert tg.jacobian(lambda x: 3.0)(x).tolist() == [0.0, 0.0]
    many = tg.jacobian(lambda p: tg.concat([p["a"] * 2, p["b"], p["b"]]))({"a": x, "b": x})
    close(many["a"], np.concatenate([2 * np.eye(2), np.zeros((4, 2))]))
    close(many["b"], np.concatenate([np.zeros((2, 2)), np.eye(2), np.eye(2)]))


# ---------------------------------------------------------------- vmap


def loss(params, x, t):
    hidden = tg.relu(x @ params["W1"] + params["b1"])
    return tg.softmax_cross_entropy(hidden @ params["W2"] + params["b2"], t)


PARAMS = {
    "W1": RNG.normal(size=(7, 5)), "b1": RNG.normal(size=5),
    "W2": RNG.normal(size=(5, 3)), "b2": RNG.normal(size=3),
}  # fmt: skip


@pytest.mark.parametrize("one_hot", [False, True])
def test_gradients_per_example_equal_a_loops(one_hot):
    x, t = RNG.normal(size=(8, 7)), RNG.integers(0, 3, 8)
    t = np.eye(3)[t] if one_hot else t
    together = tg.vmap(tg.grad(loss), in_axes=(None, 0, 0))(PARAMS, x, t)
    for i in range(8):
        alone = tg.grad(loss)(PARAMS, x[i], t[i])
        for key in PARAMS:
            close(together[key][i], alone[key])
    mean = tg.grad(loss)(PARAMS, x, t)
    for key in PARAMS:
        close(together[key].mean(axis=0), mean[key])


def test_axes_of_arguments_and_results():
    x = RNG.normal(size=(2, 3, 4))
    close(tg.vmap(lambda x: x * 2, in_axes=1)(x), np.moveaxis(x, 1, 0) * 2)
    close(tg.vmap(lambda x: x * 2, in_axes=-1, out_axes=-1)(x), x * 2)
    close(tg.vmap(lambda x, y: x + y, in_axes=(0, None))(x, x[0]), x + x[0])
    out = tg.vmap(lambda x: {"same": tg.tensor(1.0), "row": x.sum()}, out_axes=0)(x)
    close(out["same"], np.ones(2))
    close(tg.vmap(lambda d: d["a"] * d["b"])({"a": x, "b": x}), x * x)
    assert isinstance(tg.vmap(lambda x: x)(tg.tensor(x)), tg.Tensor)
    close(tg.vmap(tg.vmap(lambda x, y: (x * y).sum(), in_axes=(0, None)), in_axes=(0, None))(
        x, np.arange(4.0)), x @ np.arange(4.0))  # fmt: skip


def test_a_mapped_function_can_be_recorded():
    x = tg.tensor(RNG.normal(size=(4, 3)), requires_grad=True)
    w = tg.tensor(2.0, requires_grad=True)
    tg.vmap(lambda row: (row * row * w).sum())(x).sum().backward()
    close(x.grad, 4 * x.numpy())
    close(w.grad, (x.numpy() ** 2).sum())
    close(tg.grad(lambda c: tg.vmap(lambda r: (r * c) ** 2)(x.numpy()).sum())(1.0),
          2 * (x.numpy() ** 2).sum())  # fmt: skip


@pytest.mark.parametrize(
    ("f", "shapes"),
    [
        (lambda a, b: a @ b, [(3,), (3,)]), (lambda a, b: a @ b, [(2, 3), (3,)]),
        (lambda a, b: a @ b, [(3,), (3, 2)]), (lambda a, b: a @ b, [(2, 3), (3, 4)]),
        (lambda a, b: a @ b, [(5, 2, 3), (3, 4)]), (lambda a, b: a @ b, [(3,), (5, 3, 4)]),
        (lambda a, b: a + b, [(2, 3), (3,)]), (lambda a, b: a * b, [(), (2, 3)]),
        (lambda a, b: tg.where(a > 0, a, b), [(2, 1), (3,)]),
        (lambda a: a.sum(), [(2, 3)]), (lambda a: a.mean(axis=-1, keepdims=True), [(2, 3)]),
        (lambda a: tg.max(a, axis=(0, -1)), [(2, 3, 2)]), (lambda a: tg.sum(a), [()]),
        (lambda a: a.reshape(3, -1), [(2, 3)]), (lambda a: a.T, [(2, 3)]),
        (lambda a: tg.permute_dims(a, (2, 0, 1)), [(2, 3, 4)]),
        (lambda a: tg.expand_dims(a, axis=-1), [(2, 3)]), (lambda a: tg.squeeze(a, 1), [(2, 1)]),
        (lambda a: tg.broadcast_to(a, (4, 2, 3)), [(3,)]), (lambda a: a.astype("float32"), [(3,)]),
        (lambda a, b: tg.concat([a, b], axis=-1), [(2, 3), (2, 1)]),
        (lambda a, b: tg.concat([a, b], axis=None), [(2, 3), (2,)]),
        (lambda a, b: tg.stack([a, b], axis=-1), [(2, 3), (2, 3)]),
        (lambda a: a[1], [(3, 2)]), (lambda a: a[..., ::2], [(3, 4)]),
        (lambda a: a[:, None], [(3,)]),
        (lambda a: a[np.array([0, 0, 2])], [(3, 2)]),
        (lambda a: a[np.array([0, 1]), :, np.array([1, 1])], [(2, 3, 2)]),
        (lambda a: a[:, np.array([[0, 1]])], [(2, 3)]),
        (lambda a: a[0, :, np.array([1, 1])], [(2, 3, 2)]),
        (lambda a: a[np.array([True, False, True])], [(3, 2)]),
        (lambda a: tg.softmax(a), [(2, 3)]), (lambda a: tg.log_softmax(a, axis=0), [(2, 3)]),
        (lambda a: tg.logsumexp(a, axis=(0, 1)), [(2, 3)]), (lambda a: tg.logsumexp(a), [(3,)]),
        (lambda a: tg.argmax(a), [(2, 3)]), (lambda a: tg.argmin(a, axis=1), [(2, 3)]),
        (lambda a: tg.argmax(a, keepdims=True), [(2, 3)]),
        (lambda a, b: tg.softmax_cross_entropy(a, b * b, reduction="sum"), [(2, 3), (2, 3)]),
        (lambda a, b: tg.softmax_cross_entropy(a, b, axis=0, reduction="none"), [(2, 3), (2, 3)]),
        (lambda a: tg.softmax_cross_entropy(a, np.array([0, 2])), [(2, 3)]),
        (lambda a: tg.relu(a) ** 2 + abs(a) / 3 - tg.nn.sigmoid(-a), [(2, 3)]),
        (lambda a: 2.0 ** a + 1 / (a * a + 1), [(2,)]),
    ],
)  # fmt: skip
def test_every_kind_of_rule_maps_as_a_loop_does(f, shapes):
    args = [RNG.normal(size=(4, *shape)) for shape in shapes]
    for mapped in range(1, 2 ** len(args)):
        axes = tuple(0 if mapped >> i & 1 else None for i in range(len(args)))
        inside = [one if axis == 0 else one[0] for one, axis in zip(args, axes, strict=True)]
        whole = tg.vmap(f, in_axes=axes)(*inside)
        for i in range(4):
            row = [one[i] if axis == 0 else one for one, axis in zip(inside, axes, strict=True)]
            alone = f(*map(tg.tensor, row)).numpy()
            assert whole[i].dtype == alone.dtype
            close(whole[i], alone)
        if whole.dtype.kind == "f":
            weights = RNG.normal(size=whole.shape[1:])
            argnums = tuple(range(len(args)))

            def weighted(*row, weights=weights):
                return (f(*row) * weights).sum()

            slopes = tg.vmap(tg.grad(weighted, argnums), in_axes=axes)(*inside)
            row = [one[3] if axis == 0 else one for one, axis in zip(inside, axes, strict=True)]
            for slope, alone in zip(slopes, tg.grad(weighted, argnums)(*row), strict=True):
                close(slope[3], alone)
            ones = tuple(np.ones(one.shape) for one in row)

            def along(*row, weighted=weighted, ones=ones):
                return tg.jvp(weighted, row, ones)[1]

            tangent = tg.vmap(along, in_axes=axes)(*inside)[3]
            slope = sum(one.sum() for one in tg.grad(weighted, argnums)(*row))
            close(tangent, slope, 1e-12 if whole.dtype == np.float64 else 1e-6)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: tg.vmap(lambda x, y: x)(x, x[:2]), tg.ShapeError, "argument 1 holds 2 .* 4"),
        (lambda x: tg.vmap(lambda x: x, in_axes=2)(x), tg.ShapeError, r"\(4, 3\) has no axis 2"),
        (lambda x: tg.vmap(lambda x: x, in_axes=(0, 0))(x), tg.ArgumentError, "2 in_axes for 1"),
        (lambda x: tg.vmap(lambda x: x, in_axes=None)(x), tg.ArgumentError, "nothing to map"),
        (lambda x: tg.vmap(lambda x: x if x[0] > 0 else -x)(x), tg.GraphError, "tg.where"),
        (lambda x: tg.vmap(lambda x: float(x[0]))(x), tg.GraphError, "float"),
        (lambda x: tg.vmap(lambda x: x.numpy())(x), tg.GraphError, "differ from example"),
        (lambda x: tg.vmap(lambda x: np.asarray(x))(x), tg.GraphError, "differ from example"),
        (lambda x: tg.vmap(np.from_dlpack)(x), (tg.GraphError, tg.DTypeError), "differ|__dlpack__"),
        (lambda x: tg.vmap(lambda x: x.__dlpack__())(x), tg.DTypeError, "__dlpack__"),
        (lambda x: tg.vmap(lambda x: x.sum(axis=3))(x), tg.BoundsError, "axis 3 .* 1 axes"),
        (lambda x: tg.vmap(lambda x: np.arange(3)[x.astype(int)])(x), tg.GraphError, "differ"),
        (lambda x: tg.vmap(lambda x: x[x > 0])(x), tg.GraphError, "differ"),
        (lambda x: tg.vmap(lambda x: x[x])(x), tg.DTypeError, "integers or bools"),
    ],
)  # fmt: skip
def test_what_cannot_be_mapped(call, error, message):
    with pytest.raises(error, match=message):
        call(RNG.normal(size=(4, 3)))


ROWS, GRID, ONE = RNG.integers(0, 3, (4, 5)), RNG.integers(-2, 2, (4, 2, 1)), np.arange(4) % 2


@pytest.mark.parametrize("mapped", [True, False])
@pytest.mark.parametrize(
    "f",
    [
        lambda x, i, j, s: x[i], lambda x, i, j, s: x[s], lambda x, i, j, s: x[..., i, :],
        lambda x, i, j, s: x[:, i], lambda x, i, j, s: x[i, :, s], lambda x, i, j, s: x[0, :, i],
        lambda x, i, j, s: x[s, None, :, j], lambda x, i, j, s: x[None, ..., i, j],
        lambda x, i, j, s: x[:, None, i, j], lambda x, i, j, s: x[::2, s, [0, 1]],
        lambda x, i, j, s: x[s, :, s], lambda x, i, j, s: x[j, np.array([True, False, True])],
        lambda x, i, j, s: x[np.eye(3) > 0, i[:3]], lambda x, i, j, s: x[tg.argmax(x[:, 0, 0])],
        lambda x, i, j, s: x[..., i], lambda x, i, j, s: x[None, i, :, s],
        lambda x, i, j, s: tg.take(x, i, axis=1), lambda x, i, j, s: tg.take(x, j, axis=-1),
        lambda x, i, j, s: tg.take_along_axis(x, tg.broadcast_to(i[:3], (3, 3, 3)), axis=1),
        lambda x, i, j, s: tg.nn.embedding(i, x[0]),
    ],
)  # fmt: skip
def test_an_index_of_its_own_for_each_example_selects_as_a_loop_does(f, mapped):
    x = RNG.normal(size=(4, 3, 3, 3) if mapped else (3, 3, 3))
    args, axes = (x, ROWS, GRID, ONE), (0 if mapped else None, 0, 0, 0)

    def cubed(x, *indices):
        return (f(tg.asarray(x), *indices) ** 3).sum()

    def along(x, *indices):
        return tg.jvp(lambda x: f(tg.asarray(x), *indices), (x,), (x * x,))[1]

    whole = tg.vmap(lambda x, *indices: f(tg.asarray(x), *indices), axes)(*args)
    slopes, tangents = (tg.vmap(one, axes)(*args) for one in (tg.grad(cubed), along))
    for b in range(4):
        row = x[b] if mapped else x
        alone = [tg.tensor(one[b]) for one in (ROWS, GRID, ONE)]
        close(whole[b], f(tg.tensor(row), *alone))
        close(slopes[b], tg.grad(cubed)(row, *alone))
        close(tangents[b], along(row, *alone))


def test_an_index_belongs_to_its_map():
    a, k = RNG.normal(size=(4, 3, 5)), RNG.integers(0, 5, (4, 3))
    each = np.array([[row[k[b]] for row in a[b]] for b in range(4)])
    close(tg.vmap(lambda a, k: tg.vmap(lambda row: row[k])(a))(a, k), each)
    close(tg.vmap(lambda a, k: tg.vmap(lambda one: a[:, one])(k))(a, k), each.swapaxes(1, 2))
    chosen = np.take_along_axis(a, k[..., None], 2)[..., 0]
    close(tg.vmap(tg.vmap(lambda row, one: row[one]))(a, k), chosen)
    close(tg.jvp(lambda a: tg.vmap(lambda a, k: a[:, k] ** 2)(a, k), (a,), (a,))[1], 2 * each**2)


def test_names_and_text_inside_a_map():
    seen = []

    def f(x):
        y = x * 2
        y.name = "y"
        seen.append(repr(y))
        return y.detach() * x

    close(tg.vmap(tg.grad(f))(np.array([3.0, 4.0])), [6.0, 8.0])
    assert "one of 2" in seen[0]


# ---------------------------------------------------------------- vectors


def test_ravel_pytree():
    tree = {"W": np.eye(2, dtype="float32"), "b": [np.zeros(3), 5.0]}
    vector, unravel = tg.ravel_pytree(tree)
    assert vector.tolist() == [1, 0, 0, 1, 0, 0, 0, 5]
    again = unravel(vector * 2)
    assert again["W"].dtype == np.float32
    assert again["b"][1] == 10.0
    gradient = tg.grad(lambda v: (unravel(v)["W"] ** 2).sum() + unravel(v)["b"][1])(vector)
    assert gradient.tolist() == [2, 0, 0, 2, 0, 0, 0, 1]
    with pytest.raises(tg.ShapeError, match=r"\(8,\).*\(3,\)"):
        unravel(np.ones(3))
    assert tg.ravel_pytree({})[0].shape == (0,)


OTHERS = {
    "prod": tg.prod,
    "max": lambda a: tg.max(a, axis=0).sum(),
    "logsumexp": tg.logsumexp,
    "sort": lambda a: tg.sort(a, axis=0)[0, 1] * a[0, 0],
    "inv": lambda a: tg.linalg.inv(a).sum(),
    "det": tg.linalg.det,
    "svdvals": lambda a: (tg.linalg.svdvals(a) ** 3).sum(),
    "custom_vjp": lambda a: cube(a).sum(),
    "a gradient": lambda a: tg.grad(lambda b: cube(b).sum())(a).sum(),
}


@tg.custom_vjp
def cube(a):
    return a**3


cube.defvjp(lambda a: (a**3, a), lambda a, g: 3 * a * a * g)


@pytest.mark.parametrize("name", OTHERS)
def test_forward_mode_around_a_map_over_a_batch(name):
    mapped = tg.vmap(OTHERS[name])
    x = np.random.default_rng(0).normal(size=(3, 2, 2)) + 2 * np.eye(2)
    v = np.cos(np.arange(12.0)).reshape(x.shape)
    h = 1e-6
    expected = (mapped(x + h * v) - mapped(x - h * v)) / (2 * h)
    value, tangent = tg.jvp(mapped, (x,), (v,))
    np.testing.assert_array_equal(value, mapped(x))
    np.testing.assert_allclose(tangent, expected, rtol=1e-6, atol=1e-8)
    slopes = tg.jacobian(lambda s: mapped(x + s * v))(0.0)
    np.testing.assert_allclose(slopes, expected, rtol=1e-6, atol=1e-8)
    again = tg.vmap(lambda x, v: tg.jvp(OTHERS[name], (x,), (v,))[1])
    np.testing.assert_allclose(again(x, v), expected, rtol=1e-6, atol=1e-8)
    deeper = tg.vmap(lambda s: tg.jvp(lambda t: mapped(x + t * v), (s,), (1.0,))[1])
    np.testing.assert_allclose(deeper(np.zeros(2)), [expected] * 2, rtol=1e-6, atol=1e-8)


def test_a_function_of_ones_own_that_differentiates_inside_a_map():
    slope = tg.custom_vjp(lambda a: tg.grad(lambda b: b**3)(a))
    slope.defvjp(
        lambda a: (3 * a * a, a), lambda a, g: g * tg.grad(lambda b: tg.grad(lambda c: c**3)(b))(a)
    )
    x = np.array([1.0, 2.0])
    np.testing.assert_allclose(tg.vmap(slope)(x), 3 * x**2)
    np.testing.assert_allclose(tg.vmap(tg.grad(slope))(x), 6 * x)
