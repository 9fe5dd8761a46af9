"""SGD, Momentum and Adam against their formulas, and against PyTorch's."""

import numpy as np
import pytest

import tinygraph as tg
from tinygraph.models import MLP
from tinygraph.models.optimizers import SGD, Adam, Momentum

RNG = np.random.default_rng(0)
FIRST = {"W": RNG.normal(size=(3, 2)), "b": RNG.normal(size=2)}
GRADS = [{name: RNG.normal(size=one.shape) for name, one in FIRST.items()} for _ in range(5)]


def by_hand_sgd(w, grads, lr=0.1):
    for g in grads:
        w = w - lr * g
    return w


def by_hand_momentum(w, grads, lr=0.1, momentum=0.9):
    v = np.zeros_like(w)
    for g in grads:
        v = momentum * v - lr * g
        w = w + v
    return w


def by_hand_adam(w, grads, lr=0.1, beta1=0.9, beta2=0.999, eps=1e-8):
    m, v = np.zeros_like(w), np.zeros_like(w)
    for t, g in enumerate(grads, start=1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        w = w - lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)
    return w


KINDS = {SGD: by_hand_sgd, Momentum: by_hand_momentum, Adam: by_hand_adam}


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def stepped(optimizer, first, grads, step=None):
    """Return the parameters after steps of the function that changes nothing."""
    params, state = first, optimizer.start(first)
    for one in grads:
        params, state = (step or optimizer.step)(params, one, state)
    return params


@pytest.mark.parametrize("steps", [1, 5])
def test_a_step_is_the_formula(kind, steps):
    params = stepped(kind(lr=0.1), FIRST, GRADS[:steps])
    for name, one in FIRST.items():
        expected = KINDS[kind](one, [grads[name] for grads in GRADS[:steps]])
        np.testing.assert_allclose(params[name], expected, rtol=1e-12)


def test_update_sets_the_parameters_of_a_network(kind):
    network = MLP(3, [], 2, rng=0)
    first = {name: one.numpy() for name, one in network.params.items()}
    grads = [{"W1": one["W"], "b1": one["b"]} for one in GRADS]
    optimizer, W1 = kind(lr=0.1), network.params["W1"]
    for one in grads:
        optimizer.update(network.params, one)
    assert network.params["W1"] is W1
    assert W1.requires_grad
    for name, one in stepped(kind(lr=0.1), first, grads).items():
        np.testing.assert_array_equal(network.params[name].data, one)


def test_a_step_changes_none_of_its_arguments(kind):
    optimizer = kind(lr=0.1)
    state = optimizer.step(FIRST, GRADS[0], optimizer.start(FIRST))[1]
    given = [FIRST, GRADS[1], state]
    before = [{name: np.array(one) for name, one in arrays.items()} for arrays in given]
    optimizer.step(*given)
    for arrays, kept in zip(given, before, strict=True):
        for name, one in arrays.items():
            np.testing.assert_array_equal(one, kept[name])


def test_a_compiled_step_gives_the_same_bits(kind):
    optimizer = kind(lr=0.1)
    found = stepped(optimizer, FIRST, GRADS, tg.compile(optimizer.step))
    for name, one in stepped(optimizer, FIRST, GRADS).items():
        np.testing.assert_array_equal(found[name], one)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_steps_keep_the_dtype(kind, dtype):
    first, *grads = (
        {name: one.astype(dtype) for name, one in arrays.items()} for arrays in (FIRST, *GRADS)
    )
    optimizer = kind(lr=0.1)
    params, state = optimizer.step(first, grads[0], optimizer.start(first))
    assert {one.dtype for one in (*params.values(), *state.values())} == {np.dtype(dtype)}


def test_adam_takes_parameters_of_any_dtypes_side_by_side():
    params = {"a": np.ones(2), "b": np.ones(70_000, "float16"), "c": np.ones(0, "float32")}
    found = stepped(Adam(lr=0.25), params, [{name: 2 * one for name, one in params.items()}])
    assert {name: one.dtype for name, one in found.items()} == {
        name: one.dtype for name, one in params.items()
    }
    np.testing.assert_allclose(found["b"], 0.75, rtol=1e-3)


def test_the_first_steps_of_adam_keep_their_digits_in_float32():
    first, grads = (np.float32(one[0]["W"]) for one in ([FIRST], GRADS))
    found = stepped(Adam(lr=0.1), {"W": first}, [{"W": grads}])["W"]
    exact = by_hand_adam(first.astype(float), [grads.astype(float)])
    np.testing.assert_allclose(found, exact, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("kind", KINDS, indirect=True)
def test_they_come_down_a_valley(kind):
    network = MLP(2, [], 2, weight_init_std=0.0)
    x, t = np.eye(2), [0, 1]
    optimizer = kind(lr=0.1)
    losses = []
    for _ in range(30):
        losses.append(network.loss(x, t).item())
        optimizer.update(network.params, network.gradient(x, t))
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.engines
def test_they_are_pytorchs(kind):
    torch = pytest.importorskip("torch")
    theirs = {
        SGD: lambda params: torch.optim.SGD(params, lr=0.1),
        Momentum: lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9),
        Adam: lambda params: torch.optim.Adam(params, lr=0.1),
    }[kind]
    tensors = {name: torch.tensor(one, requires_grad=True) for name, one in FIRST.items()}
    optimizer = theirs(tensors.values())
    for grads in GRADS:
        for name, one in tensors.items():
            one.grad = torch.tensor(grads[name])
        optimizer.step()
    for name, one in stepped(kind(lr=0.1), FIRST, GRADS).items():
        np.testing.assert_allclose(one, tensors[name].detach().numpy(), rtol=1e-10)
