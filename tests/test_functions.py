"""custom_vjp and checkpoint: their numbers, what they keep, what they refuse."""

import tracemalloc

import numpy as np
import pytest

import tinygraph as tg

X = np.array([0.1, -0.4, 2.0])


def leaf(data, **options):
    return tg.tensor(data, requires_grad=True, **options)


def close(a, b, tolerance=1e-12):
    a, b = (one.numpy() if isinstance(one, tg.Tensor) else np.asarray(one) for one in (a, b))
    assert a.shape == b.shape
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


# ---------------------------------------------------------------- a gradient of one's own


def plain(x):
    return tg.log(1 + tg.exp(x))


@tg.custom_vjp
def softplus(x):
    return plain(x)


softplus.defvjp(lambda x: (plain(x), x), lambda x, g: g * tg.nn.sigmoid(x))


def test_the_given_gradient_is_used():
    @tg.custom_vjp
    def f(x):
        return x * x

    f.defvjp(lambda x: (x * x, None), lambda residuals, g: g * 100)
    assert tg.grad(f)(3.0) == 100.0
    x = leaf(3.0)
    (f(x) * 2).backward()
    assert x.grad.item() == 200.0
    assert f(3.0).item() == 9.0
    assert not f(tg.tensor(3.0)).requires_grad


@pytest.mark.parametrize(
    "transform",
    [
        tg.grad, lambda f: tg.grad(tg.grad(f)), lambda f: tg.grad(tg.grad(tg.grad(f))),
        lambda f: lambda x: tg.jvp(f, (x,), (2.0,))[1],
        lambda f: lambda x: tg.jvp(tg.grad(f), (x,), (2.0,))[1],
        lambda f: lambda x: tg.hvp(f, (x,), (2.0,)),
        lambda f: lambda x: tg.vmap(f)(x * X), lambda f: lambda x: tg.vmap(tg.grad(f))(x * X),
        lambda f: lambda x: tg.grad(lambda c: tg.vmap(f)(c * X).sum())(x),
        lambda f: lambda x: tg.jacobian(f)(x * X), lambda f: lambda x: tg.jacobian(tg.grad(f))(x),
        lambda f: lambda x: tg.vmap(tg.jacobian(f))(x * np.stack([X, X])),
    ],
)  # fmt: skip
def test_every_transform_of_a_custom_function(transform):
    close(transform(softplus)(0.7), transform(plain)(0.7))


def test_trees_and_other_arguments():
    @tg.custom_vjp
    def f(d, factor, mode):
        assert mode == "text"
        return {"a": d["x"] * factor, "b": [(d["y"] ** 2).sum()], "mode": mode}

    def fwd(d, factor, mode):
        return f(d, factor, mode), (d["y"], factor)

    def bwd(residuals, g):
        y, factor = residuals
        return {"x": g["a"] * factor, "y": g["b"][0] * 2 * y}, None, None

    f.defvjp(fwd, bwd)
    x, y = leaf(np.ones(2, "float32")), leaf(X)
    out = f({"x": x, "y": y}, 3, "text")
    assert out["mode"] == "text"
    assert out["a"].dtype == np.float32
    (out["a"].sum() * out["b"][0]).backward()
    close(x.grad, np.full(2, 3 * (X**2).sum(), "float32"), 1e-6)
    close(y.grad, 6 * 2 * X)


def test_bwd_may_return_arrays_and_they_are_not_shared():
    kept = np.ones(3)

    @tg.custom_vjp
    def f(x):
        return x * 1

    f.defvjp(lambda x: (x * 1, None), lambda _, g: kept)
    x = leaf(X)
    f(x).sum().backward()
    x.grad._data[0] = 7.0
    assert kept.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("bwd", "message"),
    [
        (lambda r, g: (g, g), "2 gradients for 1 argument"),
        (lambda r, g: g[:2], r"shape \(2,\) for an argument of shape \(3,\)"),
        (lambda r, g: [g], None),
        (lambda r, g: [g, g], "not structured like"),
    ],
)
def test_a_gradient_that_does_not_fit_is_refused(bwd, message):
    @tg.custom_vjp
    def mine(x):
        return x * 2

    mine.defvjp(lambda x: (x * 2, None), bwd)
    result = mine(leaf(X)).sum()
    if message is None:
        result.backward()
    else:
        with pytest.raises(tg.RuleError, match=f"mine.*{message}"):
            result.backward()


def test_what_a_custom_function_needs():
    @tg.custom_vjp
    def mine(x):
        return x * 2

    with pytest.raises(tg.GraphError, match=r"mine.*defvjp"):
        mine(1.0)
    mine.defvjp(lambda x: x * 2, lambda r, g: g)
    with pytest.raises(tg.RuleError, match="pair"):
        mine(leaf(1.0))
    mine.defvjp(lambda x: (x * 2, x.numpy()), lambda x, g: g * 2)
    assert tg.grad(mine)(1.0) == 2.0
    with pytest.raises(tg.RuleError, match="residuals that are Tensors"):
        tg.grad(tg.grad(lambda x: mine(x) ** 2))(1.0)


def test_a_value_of_the_transform_around_is_to_be_an_argument():
    def around(x):
        @tg.custom_vjp
        def mine(y):
            return y * x

        mine.defvjp(lambda y: (y * x, None), lambda r, g: g)
        return mine(x)

    with pytest.raises(tg.GraphError, match=r"mine.*as an argument"):
        tg.vmap(around)(X)


# ---------------------------------------------------------------- memory for time


def block(W):
    return lambda x: tg.tanh(x * W) + tg.exp(x) * 0.1


def test_a_checkpointed_function_has_the_same_gradients_for_all_that_it_reads():
    W, x, y = leaf(X), leaf(X * 2), leaf(X + 1)
    outside = y * y
    results = []
    for wrapper in (lambda f: f, tg.checkpoint):
        f = wrapper(lambda a: block(W)(a) * outside)
        f(f(x)).sum().backward(retain_graph=True)
        results.append([one.grad.numpy() for one in (W, x, y)])
        for one in (W, x, y):
            one.grad = None
    for first, second in zip(*results, strict=True):
        assert first.tobytes() == second.tobytes()


@pytest.mark.parametrize(
    "transform",
    [
        tg.grad, tg.hessian, lambda f: lambda x: tg.hvp(f, (x,), (x,)),
        lambda f: lambda x: tg.jvp(f, (x,), (x,))[1],
        lambda f: lambda x: tg.vmap(tg.grad(f))(np.stack([x, 2 * x])),
        lambda f: tg.grad(lambda x: (tg.grad(f)(x) ** 2).sum()),
        lambda f: lambda x: tg.jacobian(tg.grad(f))(x),
    ],
)  # fmt: skip
def test_every_transform_of_a_checkpoint(transform):
    W = leaf(X)
    close(
        transform(lambda x: tg.checkpoint(block(W))(x).sum())(X),
        transform(lambda x: block(W)(x).sum())(X),
    )


def test_a_checkpoint_inside_a_transform_by_what_it_reads():
    close(
        tg.grad(lambda W: tg.checkpoint(block(W))(X).sum())(X),
        tg.grad(lambda W: block(W)(X).sum())(X),
    )


def test_a_checkpoint_without_gradients_is_the_function():
    assert not tg.checkpoint(block(X))(tg.tensor(X)).requires_grad
    with tg.no_grad():
        assert not tg.checkpoint(block(leaf(X)))(X).requires_grad
    trees = tg.checkpoint(lambda d: {"a": d["x"] * 2, "b": (d["x"].sum(), "text")})
    x = leaf(X)
    out = trees({"x": x})
    assert out["b"][1] == "text"
    (out["a"].sum() + out["b"][0]).backward()
    close(x.grad, np.full(3, 3.0))


def test_a_tensor_that_changed_since_is_noticed():
    W, x = leaf(X, name="W"), leaf(X)
    result = tg.checkpoint(block(W))(x).sum()
    W -= 0.1
    with pytest.raises(tg.GraphError, match=r"checkpoint.*new values"):
        result.backward()
    assert x.grad is None


def test_a_checkpoint_keeps_little():
    W = leaf(np.ones((200, 200)))

    def deep(x):
        for _ in range(20):
            x = tg.tanh(x @ W) * 0.5
        return x

    def held(f):
        x = leaf(np.ones((200, 200)))
        tracemalloc.start()
        result = f(x)
        size = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        result.sum().backward()
        W.grad = None
        return size

    assert held(tg.checkpoint(deep)) < held(deep) / 10


def test_a_factor_that_loses_its_record_is_found_by_the_check():
    from tinygraph.testing import GradientError, check_grads

    @tg.custom_vjp
    def square(x):
        return x * x

    for bwd, right in ((lambda x, g: 2 * x * g, True), (lambda x, g: 2 * x.numpy() * g, False)):
        square.defvjp(lambda x: (x * x, x), bwd)
        check_grads(square, (X,), order=1)
        if right:
            check_grads(square, (X,), order=2)
        else:
            with pytest.raises(GradientError, match="derivative 2"):
                check_grads(square, (X,), order=2)


def test_a_gradient_that_loses_its_record_is_refused_where_it_is_differentiated():
    @tg.custom_vjp
    def square(x):
        return x * x

    square.defvjp(lambda x: (x * x, x), lambda x, g: 2 * x.numpy() * g.numpy())
    assert tg.grad(square)(3.0) == 6.0  # first order needs no record
    for call in (lambda: tg.jvp(square, (3.0,), (1.0,)), lambda: tg.grad(tg.grad(square))(3.0)):
        with pytest.raises(tg.RuleError, match=r"square: bwd returned a gradient.*\.numpy\(\)"):
            call()


def test_a_complex_gradient_of_a_real_argument_is_refused():
    turn = tg.custom_vjp(lambda x: x * 1.0)
    turn.defvjp(lambda x: (x * 1.0, x), lambda x, g: g * 1j)
    with pytest.raises(tg.RuleError, match=r"complex gradient for an argument of dtype float64"):
        tg.grad(lambda x: tg.sum(turn(x)))(np.ones(3))
