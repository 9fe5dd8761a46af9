"""A Tensor's life, drawn by chance, beside a model that is slow and obviously right.

The model has no graph. Beside each value it holds its derivatives by everything that it was made
of, as dense arrays of plain NumPy: a later change of anything cannot reach them.
"""

import weakref
from contextlib import nullcontext

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

import tinygraph as tg
from tinygraph.replay import Replay
from tinygraph.viz import to_dot

SHAPE = (2, 3)
MOST = 6  # Tensors alive at a time
LARGE = 4.0  # what is larger is not combined any more, so that nothing overflows
INDICES = (0, 1, slice(0, 1), (slice(None), 1), (slice(None), slice(None, None, -1)))

which = st.integers(0, MOST - 1)  # counted from the youngest
seeds = st.integers(0, 2**31)


def numbers(seed, shape=SHAPE):
    return np.random.default_rng(seed).uniform(-1.0, 1.0, shape)


class Life:
    """A Tensor, and what the model knows of it."""

    def __init__(self, tensor, value, key, slopes=None, memory=None):
        self.tensor = tensor
        self.own = value
        self.key = key
        self.slopes = slopes or {}  # by what it is made of: an array of shape value + other
        self.is_leaf = slopes is None
        self.memory = memory  # an array of the user's that it shows, as long as it does
        self.sources = []  # weak references to the Tensors that it is a view of
        self.placed = False  # by an index
        self.changed = False  # as a view
        self.lost = False  # whether a view of it was changed

    @property
    def value(self):
        return (self.own if self.memory is None else self.memory).copy()

    def alive(self):
        return [one for one in self.sources if one() is not None]


def identity(shape):
    return np.eye(int(np.prod(shape))).reshape(shape + shape)


def widened(slope, shape, wide):
    """Broadcast the derivatives of a value of a shape to those of a wider one."""
    missing = (1,) * (len(wide) - len(shape))
    return np.broadcast_to(slope.reshape(missing + slope.shape), wide + slope.shape[len(shape) :])


def scaled(factor, slope):
    return factor.reshape(factor.shape + (1,) * (slope.ndim - factor.ndim)) * slope


class Lives(RuleBasedStateMachine):
    """What may happen to a few Tensors."""

    def __init__(self):
        super().__init__()
        self.lives = []
        self.recording = True
        self.count = 0
        self.grads = {}  # by key: what was accumulated
        self.results = set()  # the keys of what operations made
        self.retained = set()
        self.freed = set()
        self.held = []  # gradients that somebody looked at, with their values
        self.lent = []  # arrays of the user's
        self.begin(0, True)

    # ---- helpers

    def mode(self):
        return nullcontext() if self.recording else tg.no_grad()

    def new_key(self):
        self.count += 1
        return self.count

    def pick(self, number, **wanted):
        usable = [
            one for one in self.lives if not one.lost
            and all(getattr(one, name) == value for name, value in wanted.items())
        ]  # fmt: skip
        if not usable and not wanted:
            self.begin(number, True)
            return self.lives[-1]
        return usable[-1 - number % len(usable)] if usable else None

    def add(self, life):
        self.lives.append(life)
        del self.lives[:-MOST]

    def recorded(self, tensor, value, *operands):
        """Return a result: operands are pairs of a Life and the slope of the result by it."""
        slopes = {}
        for life, through in operands:
            for key, slope in life.slopes.items():
                slopes[key] = slopes.get(key, 0.0) + through(slope)
        if not (slopes and self.recording):
            return Life(tensor, value, self.new_key())
        key = self.new_key()
        self.results.add(key)
        return Life(tensor, value, key, slopes | {key: identity(value.shape)})

    def take_over(self, life, result):
        """Give a Life what an operation in place made of it."""
        life.own, life.memory = result.own, None
        if life.is_leaf and (result.is_leaf or life.slopes):
            return  # a leaf stays the leaf that it is
        life.key, life.slopes, life.is_leaf = result.key, result.slopes, result.is_leaf

    def view(self, life, take, index=None):
        """Take a view, or a copy, of a Tensor."""
        through = take if index is None else lambda one: one[index]
        with self.mode():
            tensor = through(life.tensor)
        seen = np.shares_memory(through(life.tensor.data), life.tensor.data)

        def slope(one):
            if index is not None:
                return one[index]
            rest = one.shape[life.value.ndim :]
            columns = one.reshape(*life.value.shape, -1)
            parts = [take(columns[..., i]) for i in range(columns.shape[-1])]
            return np.stack(parts, -1).reshape(*parts[0].shape, *rest)

        part = self.recorded(tensor, through(life.value).copy(), (life, slope))
        if seen:
            part.sources = [weakref.ref(life.tensor), *life.alive()]
            part.placed = index is not None
            if life.memory is not None and not self.recording:
                part.memory = through(life.memory)
        self.add(part)

    # ---- what begins a life

    @rule(seed=seeds, requires_grad=st.booleans())
    def begin(self, seed, requires_grad):
        value, key = numbers(seed), self.new_key()
        life = Life(tg.tensor(value, requires_grad=requires_grad), value.copy(), key)
        if requires_grad:
            life.slopes = {key: identity(value.shape)}
        value[...] = 99.0  # it was copied
        self.add(life)

    @rule(seed=seeds, requires_grad=st.booleans())
    def share(self, seed, requires_grad):
        memory, key = numbers(seed), self.new_key()
        life = Life(tg.asarray(memory), None, key, memory=memory)
        if requires_grad:
            life.tensor.requires_grad = True
            life.slopes = {key: identity(memory.shape)}
        self.lent.append(memory)
        self.add(life)

    @rule(number=which)
    def detach(self, number):
        life = self.pick(number)
        self.add(Life(life.tensor.detach(), life.value, self.new_key()))

    # ---- operations

    @rule(number=which, other=which, sign=st.sampled_from("+-*"), write=st.booleans())
    def combine(self, number, other, sign, write):
        a, b = self.pick(number), self.pick(other)
        x, y = a.value, b.value
        if max(abs(x).max(), abs(y).max()) > LARGE:
            return
        operator = {"+": lambda p, q: p + q, "-": lambda p, q: p - q, "*": lambda p, q: p * q}[sign]
        try:
            value = operator(x, y)
        except ValueError:
            with pytest.raises(tg.ShapeError), self.mode():
                operator(a.tensor, b.tensor)
            return
        with self.mode():
            tensor = operator(a.tensor, b.tensor)
        self.add(self.made(tensor, value, a, b, x, y, sign))
        if write:
            self.write_to_a_shared_array(number, other)

    def made(self, tensor, value, a, b, x, y, sign):
        wide = value.shape
        left = np.broadcast_to(y, wide) if sign == "*" else np.ones(wide)
        right = np.broadcast_to(x, wide) if sign == "*" else np.full(wide, {"+": 1, "-": -1}[sign])
        return self.recorded(
            tensor, value,
            (a, lambda slope: scaled(left, widened(slope, x.shape, wide))),
            (b, lambda slope: scaled(right, widened(slope, y.shape, wide))),
        )  # fmt: skip

    @rule(number=which)
    def tanh(self, number):
        life = self.pick(number)
        with self.mode():
            tensor = tg.tanh(life.tensor)
        value = np.tanh(life.value)
        self.add(self.recorded(tensor, value, (life, lambda slope: scaled(1 - value**2, slope))))

    @rule(number=which, seed=seeds, door=st.sampled_from([tg.asarray, tg.tensor, np.asarray]))
    def multiply_by_an_array_that_is_used_again(self, number, seed, door):
        life = self.pick(number)
        factor = numbers(seed, life.value.shape)
        was = factor.copy()
        with self.mode():
            tensor = life.tensor * door(factor)
        factor[...] = 99.0
        self.add(self.recorded(tensor, life.value * was, (life, lambda slope: scaled(was, slope))))

    @rule(number=which, index=st.sampled_from(INDICES))
    def select(self, number, index):
        life = self.pick(number)
        try:
            life.value[index]
        except IndexError:
            with pytest.raises(tg.BoundsError), self.mode():
                life.tensor[index]
            return
        self.view(life, None, index)

    @rule(number=which)
    def select_by_an_array_that_is_used_again(self, number):
        life = self.pick(number)
        if life.value.ndim == 0 or life.value.shape[0] == 1:
            return
        index = np.array([1, 0, 1])
        with self.mode():
            tensor = life.tensor[index]
        index[...] = 0
        was = [1, 0, 1]
        self.add(self.recorded(tensor, life.value[was], (life, lambda slope: slope[was])))

    @rule(number=which, take=st.sampled_from([
        lambda one: one.T, lambda one: one.reshape(-1), lambda one: one.squeeze(),
    ]))  # fmt: skip
    def rearrange(self, number, take):
        life = self.pick(number)
        if take(life.value).ndim:
            self.view(life, take)

    # ---- changes

    @rule(number=which, seed=seeds)
    def write_to_a_shared_array(self, number, seed):
        if self.lent:
            memory = self.lent[-1 - number % len(self.lent)]
            memory[...] = numbers(seed, memory.shape)

    @rule(number=which, sign=st.sampled_from("+-*"))
    def change_a_view(self, number, sign):
        views = [i for i, one in enumerate(reversed(self.lives)) if one.alive() and not one.lost]
        if views and not any(one.lost for one in self.lives):
            self.change_in_place(views[number % len(views)], number, sign, True)

    @rule(number=which, other=which, sign=st.sampled_from("+-*"), constant=st.booleans())
    def change_in_place(self, number, other, sign, constant):
        life, by = self.pick(number), self.pick(other)
        x = life.value
        if constant:
            by = Life(numbers(other, x.shape), numbers(other, x.shape), None)
        y = by.value
        if max(abs(x).max(), abs(y).max()) > LARGE:
            return
        try:
            value = {"+": np.add, "-": np.subtract, "*": np.multiply}[sign](x, y)
        except ValueError:
            return
        refused = self.refuses(life, by) or (life.alive() and not life.placed)
        refused = refused or len(life.alive()) > 1
        refused = refused or (life.alive() and life.alive()[0] is not life.sources[0])
        before = life.tensor

        def act():
            with self.mode():
                if sign == "+":
                    life.tensor += by.tensor
                elif sign == "-":
                    life.tensor -= by.tensor
                else:
                    life.tensor *= by.tensor

        if refused:
            with pytest.raises(tg.GraphError):
                act()
            return
        if value.shape != x.shape:
            with pytest.raises(tg.ShapeError):
                act()
            return
        act()
        assert life.tensor is before
        self.take_over(life, self.made(life.tensor, value, life, by, x, y, sign))
        if life.alive() and not life.changed:
            life.changed = True
            (source,) = life.alive()
            for one in self.lives:
                one.lost = one.lost or one.tensor is source()

    def refuses(self, life, by):
        """Whether a leaf would have to be recorded as a result."""
        return life.is_leaf and life.slopes and by.slopes and self.recording

    @rule(number=which, other=which, row=st.integers(0, 1))
    def set_a_row(self, number, other, row):
        life, by = self.pick(number), self.pick(other)
        x, y = life.value, by.value
        if x.shape != SHAPE or y.shape not in ((3,), (1, 3)):
            return

        def act():
            with self.mode():
                life.tensor[row] = by.tensor

        if self.refuses(life, by) or life.alive():
            with pytest.raises(tg.GraphError):
                act()
            return
        act()
        x[row] = y

        def kept(slope):
            slope = slope.copy()
            slope[row] = 0.0
            return slope

        def put(slope):
            found = np.zeros(SHAPE + slope.shape[y.ndim :])
            found[row] = slope.reshape(3, *slope.shape[y.ndim :])
            return found

        self.take_over(life, self.recorded(life.tensor, x, (life, kept), (by, put)))

    @rule(number=which, row=st.integers(0, 1), by=st.floats(-1, 1))
    def change_a_row(self, number, row, by):
        life = self.pick(number)
        x = life.value
        if x.shape != SHAPE:
            return

        def act():
            with self.mode():
                life.tensor[row] += by

        # What is put back into a leaf is recorded, if the leaf is.
        if life.alive() or (life.is_leaf and life.slopes and self.recording):
            with pytest.raises(tg.GraphError):
                act()
            return
        act()
        x[row] += by
        self.take_over(life, self.recorded(life.tensor, x, (life, lambda slope: slope)))

    @rule(number=which, seed=seeds)
    def set_data(self, number, seed):
        life = self.pick(number)
        value = numbers(seed, life.value.shape)
        if not life.is_leaf:
            with pytest.raises(tg.GraphError):
                life.tensor.data = value
            return
        life.tensor.data = value
        life.own, life.memory = value.copy(), None
        value[...] = 99.0

    @rule(number=which, on=st.booleans())
    def set_requires_grad(self, number, on):
        life = self.pick(number)
        if life.is_leaf:
            life.tensor.requires_grad = on
            life.slopes = {life.key: identity(life.value.shape)} if on else {}
        elif not on:
            with pytest.raises(tg.GraphError):
                life.tensor.requires_grad = on

    @rule()
    def switch_the_mode(self):
        self.recording = not self.recording

    # ---- gradients

    @rule(number=which, seed=seeds, retain=st.booleans())
    def backward(self, number, seed, retain):
        life = self.pick(number)
        gradient = numbers(seed, life.value.shape)
        if not life.slopes or life.slopes.keys() & self.freed:
            with pytest.raises(tg.GraphError):
                life.tensor.backward(gradient, retain_graph=retain)
            return
        for one in self.lives:
            if one.is_leaf and one.tensor.grad is not None:
                self.held.append((one.tensor.grad, one.tensor.grad.numpy()))
        with self.mode():
            life.tensor.backward(gradient, retain_graph=retain)
        for key, slope in life.slopes.items():
            if key in self.results and key not in self.retained:
                continue
            pulled = np.tensordot(gradient, slope, gradient.ndim)
            self.grads[key] = self.grads.get(key, 0.0) + pulled
        if not retain:
            self.freed |= life.slopes.keys() & self.results
        gradient[...] = 99.0

    @rule(number=which)
    def retain_the_gradient(self, number):
        life = self.pick(number)
        if life.slopes:
            life.tensor.retain_grad()
            self.retained.add(life.key)

    @rule(number=which)
    def forget_the_gradient(self, number):
        life = self.pick(number, is_leaf=True)
        if life:
            life.tensor.grad = None
            self.grads.pop(life.key, None)

    # ---- the end, and onlookers

    @rule(number=which)
    def drop(self, number):
        if len(self.lives) > 1:
            self.lives.pop(number % len(self.lives))

    @rule(number=which)
    def draw(self, number):
        life = self.pick(number)
        if not life.is_leaf:
            to_dot(life.tensor)
            found = Replay([life.tensor._node]).values.get(life.tensor._node)
            assert found is None or found.tobytes() == life.value.tobytes()

    @invariant()
    def all_is_as_the_model_says(self):
        for one in self.lives:
            if one.lost:
                with pytest.raises(tg.GraphError, match="view of this Tensor was changed"):
                    one.tensor.numpy()
                continue
            np.testing.assert_array_equal(one.tensor.numpy(), one.value)
            assert one.tensor.requires_grad == bool(one.slopes)
            if one.is_leaf or one.key in self.retained:
                grad, expected = one.tensor.grad, self.grads.get(one.key)
                assert (grad is None) == (expected is None)
                if grad is not None:
                    np.testing.assert_allclose(grad.numpy(), expected, rtol=1e-9, atol=1e-9)
        for grad, values in self.held[-20:]:
            np.testing.assert_array_equal(grad.numpy(), values)
        assert all(memory.flags.writeable for memory in self.lent)
        assert tg.tensor(1.0, requires_grad=True).sum().requires_grad, "a mode was left on"


def test_the_life_of_a_tensor():
    run_state_machine_as_test(Lives, settings=settings(max_examples=100, stateful_step_count=50))


@pytest.mark.thorough
def test_five_hundred_long_lives():
    run_state_machine_as_test(
        Lives, settings=settings(max_examples=500, stateful_step_count=60, derandomize=False)
    )
