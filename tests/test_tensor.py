"""Tensor: what it is made of, value semantics, conversions, operators, messages."""

import copy
import pickle

import numpy as np
import pytest

import tinygraph as tg
from tinygraph.arrays import NUMPY
from tinygraph.testing import check_grads


def leaf(data, **options):
    return tg.tensor(data, requires_grad=True, **options)


def values(tensor):
    return tensor.numpy().tolist()


# ---------------------------------------------------------------- creation


def test_tensor_copies_and_asarray_shares():
    source = np.array([1.0, 2.0])
    copied, shared = tg.tensor(source), tg.asarray(source)
    source[0] = 9.0
    assert values(copied) == [1.0, 2.0]
    assert values(shared) == [9.0, 2.0]
    assert tg.asarray(shared) is shared
    assert values(tg.asarray(source, copy=True)) == [9.0, 2.0]
    assert tg.asarray(source, dtype="float32").dtype == np.float32


def test_asarray_copies_a_tensor_with_its_record():
    x = leaf([1.0, 2.0])
    y = tg.asarray(x, copy=True)
    y.backward([1.0, 2.0])
    assert values(x.grad) == [1.0, 2.0]
    with pytest.raises(tg.ArgumentError, match="copy=False"):
        tg.asarray(x, dtype="float32", copy=False)
    with pytest.raises(tg.ArgumentError, match="copy=False"):
        tg.asarray([1.0], copy=False)
    with pytest.raises(tg.ArgumentError, match="device"):
        tg.asarray([1.0], device="gpu")


def test_asarray_of_a_list_of_recorded_tensors_is_recorded():
    x = leaf([2.0, 3.0])
    y = tg.asarray([[x[0] * x[1], 4], [x[1], x[0]]], dtype="float64")
    assert values(y) == [[6.0, 4.0], [3.0, 2.0]]
    y.backward([[1.0, 9.0], [10.0, 100.0]])
    assert values(x.grad) == [103.0, 12.0]
    pair = lambda x: tg.asarray((x * x, x))
    assert tg.jacobian(pair)(3.0).tolist() == [6.0, 1.0]
    assert tg.jvp(pair, (3.0,), (1.0,))[1].tolist() == [6.0, 1.0]
    assert tg.vmap(pair)(np.array([2.0, 3.0])).tolist() == [[4.0, 2.0], [9.0, 3.0]]
    assert tg.compile(pair)(3.0).tolist() == [9.0, 3.0]
    with pytest.raises(tg.ShapeError, match=r"stack: shape \(2,\) and \(3,\)"):
        tg.asarray([x, [1, 2, 3]])
    with pytest.raises(tg.DTypeError, match="str is not an array of numbers"):
        tg.asarray([x, "a"])


def test_attributes():
    x = tg.tensor(np.ones((2, 3), "float32"), name="x")
    assert (x.shape, x.dtype, x.ndim, x.size, x.name) == ((2, 3), np.float32, 2, 6, "x")
    assert x.device == "cpu"
    assert x.T.shape == (3, 2)
    assert x.mT.shape == (3, 2)
    assert not x.requires_grad
    assert x.grad is None
    with pytest.raises(tg.ShapeError, match="mT"):
        _ = x[0].mT


@pytest.mark.parametrize("data", [1, [True], np.arange(3)])
def test_a_gradient_of_other_than_floating_numbers_is_refused(data):
    with pytest.raises(tg.DTypeError, match=r"only floating point.*float64"):
        tg.tensor(data, requires_grad=True)
    x = tg.tensor(data)
    with pytest.raises(tg.DTypeError, match="only floating point"):
        x.requires_grad = True
    assert tg.tensor(data, dtype="float64", requires_grad=True).requires_grad


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ("text", tg.DTypeError), (None, tg.DTypeError), ({}, tg.DTypeError),
        (np.array([object()]), tg.DTypeError), (np.ma.array([1.0]), tg.DTypeError),
        (np.ones((1, 1)).view(np.matrix), tg.DTypeError), ([[1], [2, 3]], tg.ShapeError),
    ],
)  # fmt: skip
def test_what_is_no_array_of_numbers_is_refused(data, error):
    with pytest.raises(error):
        tg.tensor(data)
    if not isinstance(data, str | dict | type(None)):
        with pytest.raises(error, match="exp"):
            tg.exp(data)


def test_big_endian_numbers_are_taken_as_native_ones():
    assert tg.tensor(np.ones(2, ">f8")).dtype == np.dtype("float64")


def test_a_name_is_text():
    with pytest.raises(tg.DTypeError, match="name"):
        tg.tensor(1.0, name=3)
    x = tg.tensor(1.0)
    x.name = "x"
    y = x * 2
    y.name = "y"
    assert (x.name, y.name) == ("x", "y")


# ---------------------------------------------------------------- values


def test_data_is_a_view_that_cannot_be_written_to():
    x = leaf([1.0, 2.0])
    with pytest.raises(ValueError, match="read-only"):
        x.data[0] = 3.0
    assert np.shares_memory(x.data, x._data)


def test_setting_data_leaves_recorded_graphs_their_values():
    x = leaf([1.0, 2.0], name="x")
    y = x * x
    new = np.array([10.0, 20.0])
    x.data = new
    new[0] = -1.0
    assert values(x) == [10.0, 20.0]
    y.backward([1.0, 1.0])
    assert values(x.grad) == [2.0, 4.0]
    with pytest.raises(tg.ShapeError, match=r"'x' has shape \(2,\), not \(3,\)"):
        x.data = np.ones(3)
    with pytest.raises(tg.DTypeError, match=r"'x' has dtype float64, not float32.*astype"):
        x.data = np.ones(2, "float32")
    with pytest.raises(tg.GraphError, match=r"multiply is a result.*detach"):
        y.data = np.ones(2)
    assert values(x) == [10.0, 20.0]


def test_numpy_gives_an_array_of_the_callers_own():
    x = leaf([1.0, 2.0])
    array = x.numpy()
    array[0] = 5.0
    assert values(x) == [1.0, 2.0]
    assert type(leaf(1.0).numpy()) is np.ndarray


def test_grad_can_be_set_on_a_leaf():
    x = leaf([1.0, 2.0], name="x")
    x.grad = [1.0, 1.0]
    (x * 2).sum().backward()
    assert values(x.grad) == [3.0, 3.0]
    with pytest.raises(tg.ShapeError, match=r"'x' is \(2,\) float64.*\(3,\)"):
        x.grad = np.ones(3)
    with pytest.raises(tg.GraphError, match="result"):
        (x * 2).grad = np.ones(2)


def test_requires_grad_can_be_set_on_a_leaf_only():
    x = tg.tensor([1.0])
    before = x * 2
    x.requires_grad = True
    assert not before.requires_grad
    y = x * 2
    assert y.requires_grad
    with pytest.raises(tg.GraphError, match=r"detach"):
        y.requires_grad = False
    x.requires_grad = False
    assert not (x * 2).requires_grad
    y.backward()
    assert values(x.grad) == [2.0]


def test_detach_cuts_the_graph():
    x = leaf([1.0, 2.0])
    (x.detach() * x).sum().backward()
    assert values(x.grad) == [1.0, 2.0]
    source = np.array([1.0])
    cut = tg.asarray(source).detach()
    source[0] = 5.0
    assert values(cut) == [1.0]


# ---------------------------------------------------------------- changes in place


def test_a_training_step_changes_the_same_leaf():
    W = leaf([1.0, 2.0], name="W")
    same = W
    (W * W).sum().backward()
    W -= 0.5 * W.grad
    assert W is same
    assert values(W) == [0.0, 0.0]
    assert W.requires_grad
    assert values(W.grad) == [2.0, 4.0]
    assert W.name == "W"
    W *= 0.99
    W += np.ones(2)
    assert W.requires_grad
    assert W._node.plan is None


def test_under_no_grad_a_leaf_takes_any_change():
    W, V = leaf([1.0]), leaf([2.0])
    with tg.no_grad():
        W += V
        W /= 2
    assert values(W) == [1.5]
    assert W._node.plan is None


def test_a_recorded_change_of_a_leaf_is_refused():
    W, V = leaf([1.0], name="W"), leaf([2.0])
    with pytest.raises(tg.GraphError, match=r"\+=: 'W' is a leaf.*no_grad.*x = x \+ y"):
        W += V
    assert values(W) == [1.0]


def test_a_result_changed_in_place_is_a_new_version():
    x = leaf([1.0, 2.0])
    y = x * 2
    before = y * 1
    same = y
    y += x
    y *= y
    assert y is same
    assert values(before) == [2.0, 4.0]
    y.sum().backward()
    assert values(x.grad) == [18.0, 36.0]


def test_a_change_that_would_be_lost_in_a_view_is_refused():
    x = leaf(np.ones((2, 2)), name="x")
    y = x * 1
    row = y[0]
    row += 1
    assert values(row) == [2.0, 2.0]
    for use in (lambda: y * 2, lambda: y.numpy(), lambda: y.data, lambda: y.sum().backward()):
        with pytest.raises(tg.GraphError, match=r"view of this Tensor was changed.*x\[i\] \+= v"):
            use()
    y[0] = row  # puts it back: now both have it
    assert values(y) == [[2.0, 2.0], [1.0, 1.0]]
    copied = y[0].copy()
    copied += 1
    assert values(copied) == [3.0, 3.0]
    assert values(y[0]) == [2.0, 2.0]
    flat = y.reshape(-1)
    with pytest.raises(tg.GraphError, match=r"view of another Tensor"):
        flat += 1


def test_entries_are_changed_by_operators():
    x, v = leaf([1.0, 2.0, 3.0]), leaf([4.0, 5.0])

    def changed(x, v):
        y = x * 1
        y[0] += v[0] * y[1]
        y[1:] *= v
        y[[0, 2]] -= 1.0
        return y

    assert values(changed(x, v)) == [8.0, 8.0, 14.0]
    check_grads(changed, (x.numpy(), v.numpy()), order=2)
    mapped = tg.vmap(changed)(np.ones((2, 3)), np.ones((2, 2)))
    assert mapped.tolist() == [[1.0, 1.0, 0.0]] * 2
    z = tg.tensor([1.0, 2.0])
    z[0] += 5.0  # nothing recorded
    assert values(z) == [6.0, 2.0]


def test_a_lost_change_is_an_error_inside_transforms_too():
    def lost(x):
        y = x * 1
        row = y[0]
        row += 1.0
        return y.sum()

    x = np.ones((2, 2))
    for call in (lambda: tg.jvp(lost, (x,), (x,)), lambda: tg.vmap(lost)(x[None]),
                 lambda: tg.grad(lost)(x)):  # fmt: skip
        with pytest.raises(tg.GraphError, match="view of this Tensor was changed"):
            call()


def test_a_change_in_place_keeps_shape_and_dtype():
    y = leaf(np.ones(2, "float32")) * 1
    y += np.ones(2)
    assert y.dtype == np.float32
    with pytest.raises(tg.ShapeError, match=r"\+=: \(2,\) cannot hold"):
        y += np.ones((3, 2))
    n = tg.tensor([1, 2])
    with pytest.raises(tg.DTypeError, match="cannot hold"):
        n += 0.5


def test_item_assignment_gives_a_new_version():
    x, v = tg.tensor(np.zeros(4), name="x"), leaf([1.0, 2.0])
    before = x * 3
    x[1:3] = v * 2
    assert values(x) == [0.0, 2.0, 4.0, 0.0]
    assert values(before) == [0.0] * 4
    (x * x).sum().backward()
    assert values(v.grad) == [8.0, 16.0]

    y = leaf([1.0, 2.0, 3.0]) * 1.0
    y[0] = y[2] * y[1]
    with pytest.raises(tg.BoundsError, match="setitem"):
        y[7] = 1.0
    with pytest.raises(tg.ShapeError, match="setitem"):
        y[:2] = np.ones(3)
    assert values(y) == [6.0, 2.0, 3.0]


def test_item_assignment_keeps_the_dtype():
    x = tg.tensor([1.0, 2.0], dtype="float32")
    x[0] = np.float64(5)
    assert x.dtype == "float32"
    n = tg.tensor([1, 2])
    with pytest.raises(tg.DTypeError, match="int64 cannot hold float64"):
        n[0] = 2.5
    assert values(n) == [1, 2]


def test_item_assignment_to_a_leaf_that_requires_a_gradient():
    x = leaf([1.0, 2.0])
    x[0] = 3.0  # as with x += 3.0: the leaf has new values
    assert x.requires_grad
    assert values(x) == [3.0, 2.0]
    with pytest.raises(tg.GraphError, match="leaf that requires a gradient"):
        x[0] = leaf(1.0)


def test_of_values_set_at_one_place_only_the_last_gets_a_gradient():
    v = leaf([1.0, 2.0, 3.0])
    y = tg.tensor([0.0, 0.0]) * 1
    y[[0, 0, 1]] = v
    (y * np.array([5.0, 7.0])).sum().backward()
    assert values(v.grad) == [0.0, 5.0, 7.0]


def test_a_slice_of_a_number_adds_to_another_gradient():
    x = tg.tensor(2.0, requires_grad=True)
    y = x * 1.0
    (y[()] + y * y).backward()
    assert x.grad.item() == 5


def test_many_slices_of_one_array_add_into_one_array(monkeypatch):
    made = []
    zeros = np.zeros
    monkeypatch.setattr(
        NUMPY, "zeros", lambda *args, **options: made.append(1) or zeros(*args, **options)
    )
    x = leaf(np.arange(50.0))
    sum(x[i] * x[i + 1 : i + 3].sum() for i in range(40)).backward()
    monkeypatch.undo()
    assert len(made) == 1
    expected = np.zeros(50)
    for i in range(40):
        expected[i] += 2 * i + 3
        expected[i + 1 : i + 3] += i
    assert values(x.grad) == expected.tolist()


# ---------------------------------------------------------------- conversions


def test_numbers():
    x = leaf(2.5)
    assert (float(x), int(x), complex(x), x.item(), x.tolist()) == (2.5, 2, 2.5 + 0j, 2.5, 2.5)
    assert bool(leaf(0.0)) is False
    assert [10, 20, 30][tg.tensor(1)] == 20
    with pytest.raises(TypeError):
        _ = [10, 20][leaf(1.0)]
    for convert in (float, int, bool, lambda one: one.item()):
        with pytest.raises(tg.ShapeError):
            convert(leaf([1.0, 2.0]))


def test_a_tensor_of_one_entry_is_formatted_like_its_number():
    x = tg.tensor([1.25, 2.0], requires_grad=True)
    assert f"{x[0]:.3f}" == "1.250"
    assert f"{x}" == str(x)
    with pytest.raises(tg.ShapeError, match=r"shape \(2,\)"):
        f"{x:.3f}"
    seen = []
    tg.grad(lambda t: seen.append(f"{t:.1f}") or t * t)(3.0)
    assert seen == ["3.0"]


def test_in_asks_for_an_entry():
    x = tg.tensor([1.25, 2.0], requires_grad=True)
    assert 1.25 in x and 3 not in x


def test_an_empty_list_is_an_index():
    x = tg.tensor([[1.0, 2.0]], requires_grad=True)
    assert x[[]].shape == (0, 2)
    with pytest.raises(tg.DTypeError, match="getitem: an index is integers or bools"):
        x[np.zeros(0)]
    with pytest.raises(tg.DTypeError, match=r"or bools\. str is"):
        x["a"]


def test_numpy_may_not_drop_the_gradient_silently():
    x = leaf([1.0, 2.0], name="x")
    for lose in (np.array, np.asarray, lambda one: np.array([one]), lambda one: np.full(2, one[0])):
        with pytest.raises(tg.DTypeError, match=r"lose its gradient.*\.numpy\(\)"):
            lose(x)
    with tg.no_grad():
        assert np.asarray(x).tolist() == [1.0, 2.0]
    assert np.asarray(x.detach()).tolist() == [1.0, 2.0]


def test_length_and_iteration():
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    first, second = x
    assert len(x) == 2
    (first * second).sum().backward()
    assert values(x.grad) == [[3.0, 4.0], [1.0, 2.0]]
    for refuse in (len, list):
        with pytest.raises(tg.DTypeError, match="no length"):
            refuse(leaf(1.0))


def test_a_tensor_is_itself_in_sets_and_dicts():
    x, y = leaf(1.0), leaf(1.0)
    assert len({x, y}) == 2
    assert {x: 1}[x] == 1
    assert values(x == y) is True


def test_copies_are_whole_or_refused():
    x = leaf([1.0, 2.0], name="x")
    x.grad = [3.0, 4.0]
    for again in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert (again.name, again.requires_grad, values(again)) == ("x", True, [1.0, 2.0])
        assert values(again.grad) == [3.0, 4.0]
        (again * 2).sum().backward()
    assert values(x.grad) == [3.0, 4.0]
    for refuse in (copy.deepcopy, pickle.dumps):
        with pytest.raises(tg.GraphError, match=r"multiply.*detach"):
            refuse(x * 2)
    shallow = copy.copy(x)
    shallow.backward([1.0, 1.0])
    assert values(x.grad) == [4.0, 5.0]


def test_repr_tells_what_it_is():
    x = leaf([1.0, 2.0], name="x")
    assert repr(x) == "Tensor([1., 2.], requires_grad=True, name='x')"
    assert repr(x * 2) == "Tensor([2., 4.], made_by='multiply')"
    assert repr(tg.tensor([1.0], dtype="float32")) == "Tensor([1.], dtype=float32)"


# ---------------------------------------------------------------- operators


@pytest.mark.parametrize(
    ("operation", "result", "left", "right"),
    [
        (lambda a, b: a + b, 5.0, 1.0, 1.0),
        (lambda a, b: a - b, -1.0, 1.0, -1.0),
        (lambda a, b: a * b, 6.0, 3.0, 2.0),
        (lambda a, b: a / b, 2 / 3, 1 / 3, -2 / 9),
        (lambda a, b: a**b, 8.0, 12.0, 8 * np.log(2.0)),
    ],
)
def test_operators_on_tensors_numbers_and_arrays_in_either_order(operation, result, left, right):
    for other in (float, np.float64, np.array):
        a, b = leaf(2.0), leaf(3.0)
        first, second = operation(a, other(3.0)), operation(other(2.0), b)
        for one, x, slope in ((first, a, left), (second, b, right)):
            assert isinstance(one, tg.Tensor)
            assert one.item() == pytest.approx(result)
            one.backward()
            assert x.grad.item() == pytest.approx(slope)


def test_operators_of_one_operand_and_of_matrices():
    a = leaf([-1.0, 2.0])
    (-a + abs(a) + +a).sum().backward()
    assert values(a.grad) == [-1.0, 1.0]
    m = np.arange(6.0).reshape(2, 3)
    assert values(m @ leaf(np.ones(3))) == [3.0, 12.0]
    assert values(leaf(np.ones(2)) @ m) == [3.0, 5.0, 7.0]
    assert values(~tg.tensor([True, False])) == [False, True]
    assert values(True & tg.tensor([True, False])) == [True, False]
    assert values(tg.tensor([1, 2]) | 1) == [1, 3]
    assert tg.grad(tg.grad(lambda x: 2.0**x))(1.0) == pytest.approx(2 * np.log(2.0) ** 2)
    assert values(leaf([1.0, 3.0]) > 2) == [False, True]
    assert values(tg.tensor([1, 2]) == [1, 3]) == [True, False]


def test_strangers_get_their_turn():
    class Stranger:
        def __radd__(self, other):
            return "mine"

    assert leaf(1.0) + Stranger() == "mine"
    with pytest.raises(TypeError, match="unsupported operand"):
        leaf(1.0) + "text"


def test_python_numbers_do_not_widen():
    x = leaf(np.ones(2, "float32"))
    for y in (x * 2.0, 1 / x, x**2, x**0.5, x**-1, x**3.0, 2.0**x, tg.where(x > 0, x, 0.0), x - 1):
        assert y.dtype == np.float32, y
    (x * 2.0 + x**3).sum().backward()
    assert x.grad.dtype == np.float32


@pytest.mark.parametrize("exponent", [2, 0.5, -1, 3, 2.5, 0])
def test_powers_are_numpys_to_the_last_bit(exponent):
    array = np.linspace(0.1, 3, 50)
    assert (leaf(array) ** exponent).numpy().tobytes() == (array**exponent).tobytes()


# ---------------------------------------------------------------- methods


def test_methods_take_numpys_arguments():
    array = np.arange(24.0).reshape(2, 3, 4)
    x = leaf(array)
    for name, arguments in [
        ("reshape", (4, 6)), ("reshape", ((4, -1),)), ("reshape", (-1,)), ("ravel", ()),
        ("flatten", ()), ("transpose", ()), ("transpose", (1, 0, 2)), ("transpose", ((2, 0, 1),)),
        ("swapaxes", (0, -1)), ("sum", ()), ("sum", (0,)), ("sum", ((0, 2),)), ("mean", (-1,)),
        ("max", (1,)), ("min", ()), ("argmax", (1,)), ("argmin", ()), ("astype", ("float32",)),
        ("squeeze", ()), ("copy", ()),
    ]:  # fmt: skip
        ours, theirs = getattr(x, name)(*arguments), getattr(array, name)(*arguments)
        assert ours.dtype == theirs.dtype, name
        np.testing.assert_array_equal(ours.numpy(), theirs, err_msg=name)
    assert x.sum(axis=1, keepdims=True).shape == (2, 1, 4)
    assert leaf(np.ones((1, 2, 1))).squeeze().shape == (2,)
    with pytest.raises(tg.BoundsError, match=r"swapaxes.*\(2, 3, 4\)"):
        x.swapaxes(0, 3)


def test_namespace_of_a_tensor():
    xp = leaf(1.0).__array_namespace__()
    assert xp.exp is tg.exp


# ---------------------------------------------------------------- messages


@pytest.mark.parametrize(
    ("mistake", "error", "parts"),
    [
        (
            lambda x, W: x @ W, tg.ShapeError,
            ["matmul", "(3, 784)", "(50, 784)", "axis -1 of 'x'", "axis -2 of 'W'", "W.T"],
        ),
        (lambda x, W: x @ 2.0, tg.ShapeError, ["matmul", "scalar", "use *"]),
        (lambda x, W: x + W, tg.ShapeError, ["add", "'x'", "'W'", "axis -2", "3 and 50"]),
        (lambda x, W: x.sum(axis=2), tg.BoundsError, ["sum", "(3, 784) of 'x'", "axis=2"]),
        (lambda x, W: x.reshape(5, -1), tg.ShapeError, ["reshape", "(3, 784)", "(5, -1)"]),
        (lambda x, W: tg.concat([x, W], axis=1), tg.ShapeError, ["concat", "'x'", "'W'"]),
        (lambda x, W: tg.stack([x, W]), tg.ShapeError, ["stack", "(3, 784)", "(50, 784)"]),
        (lambda x, W: x[3], tg.BoundsError, ["getitem", "'x'", "index 3"]),
        (lambda x, W: x[1.5], tg.DTypeError, ["getitem", "float64"]),
        (lambda x, W: tg.squeeze(x, 0), tg.ShapeError, ["squeeze", "'x'"]),
        (lambda x, W: tg.reshape(x, "no"), tg.DTypeError, ["'no'"]),
        (lambda x, W: tg.concat([]), tg.ArgumentError, ["concat", "at least one"]),
        (lambda x, W: tg.exp("no"), tg.DTypeError, ["exp", "str"]),
        (lambda x, W: tg.bitwise_and(x, W[:3]), tg.DTypeError, ["bitwise_and", "float64"]),
    ],
)  # fmt: skip
def test_a_mistake_is_told_where_it_is_made(mistake, error, parts):
    x, W = leaf(np.ones((3, 784)), name="x"), leaf(np.ones((50, 784)), name="W")
    with pytest.raises(error) as caught:
        mistake(x, W)
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("targets", "error", "parts"),
    [
        ([0, 1], tg.ShapeError, ["(2,)", "(3, 4)", "(3,)"]),
        ([0, 4, 1], tg.BoundsError, ["label 4", "4 classes", "0 to 3"]),
        ([0, -1, 1], tg.BoundsError, ["label -1"]),
        ([0.0, 1.0, 2.0], tg.DTypeError, ["float64", "astype"]),
        ([[0], [1], [2]], tg.ShapeError, ["(3, 1)"]),
    ],
)
def test_labels_that_do_not_fit(targets, error, parts):
    with pytest.raises(error, match="softmax_cross_entropy") as caught:
        tg.softmax_cross_entropy(leaf(np.zeros((3, 4))), targets)
    for part in parts:
        assert part in str(caught.value)


def test_every_error_is_ours_and_the_fitting_built_in():
    for name, built_in in {
        "ShapeError": ValueError, "ArgumentError": ValueError, "DTypeError": TypeError,
        "BoundsError": IndexError, "GraphError": RuntimeError, "FileError": OSError,
        "MissingDependencyError": ImportError, "RuleError": RuntimeError,
        "GradientError": AssertionError,
    }.items():  # fmt: skip
        assert issubclass(getattr(tg, name), (tg.TinygraphError, built_in))
        assert issubclass(getattr(tg, name), built_in)


def test_what_is_no_number_is_not_among_the_entries():
    x = tg.tensor([1.0, 2.0])
    assert 1.0 in x
    assert "a" not in x
    assert None not in x


def test_flatten_is_a_copy():
    x = tg.tensor([[1.0, 2.0]], requires_grad=True)
    y = x.flatten()
    y += 1.0
    y.sum().backward()
    assert (values(x), values(y)) == ([[1.0, 2.0]], [2.0, 3.0])
    assert values(x.grad) == [[1.0, 1.0]]
