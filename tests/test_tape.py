"""The tape: order, accumulation, freeing, modes, replay."""

import threading

import numpy as np
import pytest

import tinygraph as tg
from tinygraph import namespace
from tinygraph.replay import replay
from tinygraph.rules import RULES, Kind, rule
from tinygraph.rules.table import REAL
from tinygraph.tape import Leaf, Node, operands, reachable
from tinygraph.tensor import apply
from tinygraph.testing import check_grads


def leaf(data, **options):
    return tg.tensor(data, requires_grad=True, **options)


def values(tensor):
    return tensor.numpy().tolist()


# ---------------------------------------------------------------- the walk back


def test_a_result_used_twice_gets_both_gradients():
    x = leaf(3.0)
    (x * x).backward()
    assert x.grad.item() == 6.0


def test_the_walk_waits_for_all_contributions():
    # b = a + a, c = b + b: a walk that is not in topological order passes b too early.
    a = leaf(1.0)
    b = a + a
    c = b + b
    c.backward()
    assert a.grad.item() == 4.0


def test_a_fan_out_of_three_adds_up_in_place_without_touching_what_it_was_given():
    x = leaf([1.0, 2.0])
    seed = np.array([1.0, 10.0])
    (x + x + x + x).backward(seed)
    assert values(x.grad) == [4.0, 40.0]
    assert seed.tolist() == [1.0, 10.0]


def test_gradients_accumulate_and_one_held_earlier_keeps_its_values():
    x = leaf([1.0, 2.0])
    (x * 3).sum().backward()
    first = x.grad
    (x * 4).sum().backward()
    assert values(first) == [3.0, 3.0]
    assert values(x.grad) == [7.0, 7.0]
    x.grad = None
    (x * 5).sum().backward()
    assert values(x.grad) == [5.0, 5.0]


def test_gradients_share_memory_with_nothing():
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    seed = np.ones(2)
    (x + y).backward(seed)
    arrays = [x.grad._data, y.grad._data, seed, x._data, y._data]
    for i, one in enumerate(arrays):
        for other in arrays[i + 1 :]:
            assert not np.shares_memory(one, other)


def test_a_gradient_has_the_shape_and_dtype_of_its_leaf():
    b = leaf(np.zeros(3, "float32"))
    (np.ones((4, 3)) * b).sum().backward()
    assert b.grad.shape == (3,)
    assert b.grad.dtype == np.float32
    assert values(b.grad) == [4.0, 4.0, 4.0]


def test_a_broadcast_is_summed_back_over_new_and_over_stretched_axes():
    b = leaf(np.ones((2, 1)))
    g = np.arange(24.0).reshape(4, 2, 3)
    (b + np.zeros((4, 2, 3))).backward(g)
    np.testing.assert_array_equal(b.grad.numpy(), g.sum(axis=(0, 2)).reshape(2, 1))


def test_a_size_zero_axis_gives_zeros():
    b = leaf(np.ones(3))
    (b * np.ones((0, 3))).sum().backward()
    assert values(b.grad) == [0.0, 0.0, 0.0]


def test_a_leaf_that_the_result_does_not_reach_has_no_gradient():
    x, y = leaf(1.0), leaf(1.0)
    (x * 2).backward()
    assert y.grad is None


def test_a_long_chain_neither_recurses_nor_overflows_when_it_is_dropped():
    x = leaf(1.0)
    y = x
    for _ in range(200_000):
        y = y + x
    y.backward()
    assert x.grad.item() == 200_001
    del y


def test_a_dropped_graph_is_freed_at_once():
    import gc
    import weakref

    def nodes():
        return {id(one) for one in gc.get_objects() if type(one) is Node}

    gc.collect()
    gc.disable()
    try:
        before = nodes()  # what other tests keep
        x = leaf(np.ones(3))
        y = tg.tanh(x * 2)
        alive = weakref.ref(y)
        (y * y).sum().backward()
        del y
        assert alive() is None
        assert nodes() <= before
    finally:
        gc.enable()


def test_second_walk_needs_the_graph_to_be_retained():
    x = leaf(2.0, name="x")
    y = x * x
    z = tg.exp(y)
    z.backward(retain_graph=True)
    once = x.grad.item()
    z.backward()
    assert x.grad.item() == 2 * once
    with pytest.raises(tg.GraphError, match=r"exp.*retain_graph=True"):
        z.backward()
    assert x.grad.item() == 2 * once, "a failed walk must not change a gradient"


def test_two_results_of_one_graph_walked_one_after_the_other():
    x = leaf(2.0)
    y = x * x
    (y * 3).backward(retain_graph=True)
    (y * 5).backward()
    assert x.grad.item() == 32.0
    with pytest.raises(tg.GraphError, match=r"multiply.*retain_graph=True"):
        (y * 7).backward()
    assert x.grad.item() == 32.0


def test_a_failing_rule_leaves_no_half_added_gradient(monkeypatch):
    x, y = leaf(1.0), leaf(1.0)
    result = (x * 2) + tg.tanh(y)
    plan = result._node.parents[1].plan
    assert plan.rule.name == "tanh"

    def fail(*_):
        raise RuntimeError("the user's own")

    monkeypatch.setattr(plan, "pull", fail)
    with pytest.raises(RuntimeError, match="the user's own"):
        result.backward()
    assert x.grad is None
    assert y.grad is None


def test_a_rule_that_returns_a_wrong_shape_is_named(monkeypatch):
    x = leaf(np.ones((2, 3)))
    y = x.reshape(6)
    monkeypatch.setattr(y._node.plan, "pull", lambda xp, g, kept, params: (g,))
    with pytest.raises(tg.RuleError, match=r"reshape: .*\(6,\).*\(2, 3\)"):
        y.backward(np.ones(6))


# ---------------------------------------------------------------- what backward refuses


def test_backward_of_several_entries_needs_a_gradient():
    x = leaf([1.0, 2.0], name="x")
    with pytest.raises(tg.GraphError, match=r"shape \(2,\).*\.sum\(\)"):
        (x * 2).backward()
    (x * 2).backward([1.0, 10.0])
    assert values(x.grad) == [2.0, 20.0]


@pytest.mark.parametrize("seed", [np.ones(3), np.ones((2, 1)), 1.0])
def test_a_seed_of_another_shape_is_refused_even_if_it_would_broadcast(seed):
    x = leaf([1.0, 2.0])
    with pytest.raises(tg.ShapeError, match=r"grad has shape .* has \(2,\)"):
        (x * 2).backward(seed)
    assert x.grad is None


def test_a_complex_seed_for_a_real_result_is_refused():
    with pytest.raises(tg.DTypeError, match="complex128"):
        (leaf([1.0]) * 2).backward(np.array([1j]))


def test_backward_on_what_was_not_recorded():
    x = leaf(1.0, name="x")
    with tg.no_grad():
        y = x * 2
    for one in (y, tg.tensor(1.0), x.detach() * 2):
        with pytest.raises(tg.GraphError, match=r"not recorded.*no_grad"):
            one.backward()


# ---------------------------------------------------------------- results that keep a gradient


def test_a_result_keeps_its_gradient_when_asked():
    x = leaf([1.0, 2.0])
    y = x * 2
    y.retain_grad()
    (y * y).sum().backward()
    assert values(y.grad) == [4.0, 8.0]
    with pytest.warns(UserWarning, match="retain_grad"):
        assert (x * 2).grad is None
    with pytest.raises(tg.GraphError, match="retain_grad"):
        tg.tensor(1.0).retain_grad()


# ---------------------------------------------------------------- gradients of gradients


def test_create_graph_gives_gradients_of_gradients():
    x = leaf(2.0)
    (x**4).backward(create_graph=True)
    first = x.grad
    x.grad = None
    first.backward(create_graph=True)
    assert x.grad.item() == 48.0
    second = x.grad
    x.grad = None
    second.backward()
    assert x.grad.item() == 48.0
    assert first.item() == 32.0


# ---------------------------------------------------------------- modes


def test_no_grad_and_enable_grad_as_blocks_and_as_decorators():
    x = leaf(1.0)

    @tg.no_grad()
    def quiet():
        with tg.enable_grad():
            inside = x * 2
        return x * 2, inside

    outside, inside = quiet()
    assert not outside.requires_grad
    assert inside.requires_grad
    assert (x * 2).requires_grad
    assert not quiet()[0].requires_grad, "a decorated function can be called twice"


def test_modes_end_with_an_exception():
    x = leaf(1.0)
    with pytest.raises(KeyError), tg.no_grad(), tg.scope("S"):
        raise KeyError
    y = x * 2
    assert y.requires_grad
    assert y._node.scope is None


def test_modes_are_a_threads_own():
    x = leaf(1.0)
    found = []
    with tg.no_grad(), tg.scope("here"):
        thread = threading.Thread(target=lambda: found.append(x * 2))
        thread.start()
        thread.join()
    assert found[0].requires_grad
    assert found[0]._node.scope is None


def test_an_operation_without_a_gradient_leaves_no_node():
    x, t = leaf([1.0, 2.0]), tg.tensor([1.0, 2.0])
    for one in (t * 2, tg.argmax(x), x > 1, tg.sign(x), x.astype("int64"), tg.isnan(x)):
        assert one._node is None


# ---------------------------------------------------------------- order


def test_reachable_falls_by_position_and_keeps_the_order_of_discovery():
    x, y = leaf(1.0, name="x"), leaf(1.0, name="y")
    a, b = x * 2, y * 3
    c = a + b
    names = [node.name if isinstance(node, Leaf) else node.plan.rule.name
             for node in reachable((c._node,))]  # fmt: skip
    assert names == ["add", "multiply", "multiply", "x", "y"]
    order = reachable((c._node,), links=operands)
    assert [node.position for node in order] == [2, 1, 1, 0, 0]


# ---------------------------------------------------------------- replay


def network():
    rng = np.random.default_rng(0)
    x = tg.tensor(rng.normal(size=(5, 4)), name="x")
    W, b = leaf(rng.normal(size=(4, 3)), name="W"), leaf(rng.normal(size=3), name="b")
    h = tg.relu(x @ W + b)
    loss = tg.softmax_cross_entropy(h / 3 + h[::-1], np.array([0, 1, 2, 0, 1]))
    return W, h, loss


def test_replay_gives_the_same_bits_before_and_after_backward():
    _, h, loss = network()
    for _ in range(2):
        again = replay([loss._node], np)
        assert again[loss._node].tobytes() == loss.numpy().tobytes()
        assert again[h._node].tobytes() == h.numpy().tobytes()
        if loss._node.kept is not None:
            loss.backward()


def test_replay_refuses_and_names_a_leaf_that_has_changed():
    W, _, loss = network()
    loss.backward()
    W -= 0.1 * W.grad
    with pytest.raises(tg.GraphError, match=r"'W' of shape \(4, 3\).*Record the graph again"):
        replay([loss._node], np)


def test_replay_keeps_what_a_shared_array_held():
    source = np.array([1.0, 2.0])
    x, w = tg.asarray(source), leaf(2.0)
    y = x * w
    source[:] = 100
    assert replay([y._node], np)[y._node].tolist() == [2.0, 4.0]
    assert values(x * 1) == [100.0, 100.0]
    y.backward([1.0, 1.0])
    assert w.grad.item() == 3.0


def test_apply_runs_any_rule_by_its_entry():
    assert apply(RULES["add"], (1.0, tg.tensor(2.0)), {}).item() == 3.0


# ---------------------------------------------------------------- several results


@pytest.fixture
def polar():
    """An operation with two results: the radius, and the angle, of points with parts a and b."""

    def vjp(xp, g, y, own, other, sign):
        radius, _ = y
        parts = (g[0], own / radius), (g[1], sign * other / radius**2)
        return sum(one * factor for one, factor in parts if one is not None)

    rule(
        "polar",
        lambda xp, a, b, /: ((a * a + b * b) ** 0.5, np.arctan2(np.asarray(b), np.asarray(a))),
        vjp=(lambda xp, g, y, a, b: vjp(xp, g, y, a, b, -1),
             lambda xp, g, y, a, b: vjp(xp, g, y, b, a, 1)),
        doc="Return radius and angle.",
        kind=Kind.OTHER, domain=(REAL, REAL), outputs=("radius", "angle"),
    )  # fmt: skip
    yield namespace.polar
    del RULES["polar"], namespace.polar


POINTS = np.array([1.0, 2.0, -0.5]), np.array([0.3, -1.0, 2.0])


def test_an_operation_may_have_several_results(polar):
    check_grads(lambda a, b: polar(a, b), POINTS, order=2)
    check_grads(lambda a, b: polar(a, b).angle, POINTS, order=2)  # the other got no gradient
    a, b = (tg.tensor(one, requires_grad=True) for one in POINTS)
    radius, angle = polar(a, b)
    assert (radius * tg.exp(angle)).shape == (3,)
    again = replay([radius._node, angle._node], np)
    assert again[angle._node].tobytes() == angle.numpy().tobytes()
    assert polar(*POINTS).radius.requires_grad is False


def test_several_results_are_mapped_over_a_batch(polar):
    mapped = tg.vmap(lambda a, b: polar(a, b).angle * 2)(*POINTS)
    assert np.allclose(mapped, 2 * np.arctan2(POINTS[1], POINTS[0]))
    slopes = tg.vmap(tg.grad(lambda a, b: polar(a, b).radius))(*POINTS)
    assert np.allclose(slopes, POINTS[0] / np.hypot(*POINTS))
