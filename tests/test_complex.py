"""Gradients of complex numbers: they point uphill, as PyTorch's do."""

import numpy as np
import pytest
from hypothesis import given, settings

import tinygraph as tg
from tinygraph import namespace
from tinygraph.rules import RULES, Shapes
from tinygraph.testing import check_grads
from tinygraph.testing.strategies import arguments, differentiable

RNG = np.random.default_rng(0)


def numbers(*shape):
    return RNG.normal(size=shape) + 1j * RNG.normal(size=shape)


FUNCTIONS = {
    "holomorphic": lambda z: tg.exp(z) * tg.tanh(z) / (2 + z * z),
    "conjugates": lambda z: tg.conj(z) * z * z + tg.real(z) * 1j - tg.imag(z),
    "absolute": lambda z: tg.abs(z * 1j) * z,
    "matrices": lambda z: z.reshape(2, 3) @ (z.reshape(3, 2) * (1 - 2j)),
    "powers": lambda z: z**3 + tg.log(z) + z**-1 + tg.sqrt(z),
    "signs": lambda z: tg.sign(z) * z * z,
    "sums": lambda z: tg.mean(z * z) * tg.sum(z[::2]),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_of_every_order_and_mode(name):
    function, weights = FUNCTIONS[name], numbers()

    def parts(x, y):
        z = function(x + 1j * y)
        return tg.real(z * weights), tg.imag(z)

    x, y = RNG.uniform(0.5, 2, (2, 6))
    check_grads(parts, (x, y), order=2)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_gradient_of_a_complex_leaf_is_that_of_its_parts(name):
    function = FUNCTIONS[name]

    def size(z):
        return tg.sum(tg.abs(function(z)) ** 2)

    z = RNG.uniform(0.5, 2, 6) + 1j * RNG.uniform(0.5, 2, 6)
    gradient = tg.grad(size)(z)
    by_x, by_y = tg.grad(lambda x, y: size(x + 1j * y), argnums=(0, 1))(z.real, z.imag)
    assert np.allclose(gradient, by_x + 1j * by_y, rtol=1e-12)
    assert size(z - 1e-6 * gradient).item() < size(z).item()  # downhill
    leaf = tg.tensor(z, requires_grad=True)
    size(leaf).backward()
    assert np.allclose(leaf.grad.numpy(), gradient, rtol=1e-14)
    direction = numbers(6)
    slope = tg.jvp(size, (z,), (direction,))[1]
    assert np.isclose(slope, np.vdot(gradient, direction).real, rtol=1e-10)


def test_a_real_operand_gets_a_real_gradient():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    tg.sum(tg.abs(x * (3 + 4j))).backward()
    assert x.grad.dtype == "float64"
    assert x.grad.tolist() == [5.0, 5.0]


def test_a_complex_number_has_no_gradient_by_itself():
    z = tg.tensor(1 + 1j, requires_grad=True)
    with pytest.raises(tg.DTypeError, match=r"complex, and only a real number.*tg\.abs"):
        (z * z).backward()
    (z * z).backward(1.0)
    assert z.grad.item() == 2 - 2j
    with pytest.raises(tg.DTypeError, match="real"):
        tg.grad(lambda z: z * z)(1 + 1j)


def test_a_function_of_ones_own_follows_the_same_convention():
    @tg.custom_vjp
    def square(z):
        return z * z

    square.defvjp(lambda z: (z * z, z), lambda z, g: g * 2 * tg.conj(z))
    z = numbers(3)
    own = tg.grad(lambda z: tg.real(tg.sum(square(z) * 1j)))(z)
    assert np.allclose(own, tg.grad(lambda z: tg.real(tg.sum(z * z * 1j)))(z))


def test_the_sign_of_0_has_a_second_derivative_of_0():
    def slope(z):
        return tg.real(tg.sum(tg.grad(lambda z: tg.real(tg.sum(tg.sign(z) * z * z)))(z)))

    assert tg.grad(slope)(np.array([0j, 1 + 1j]))[0] == 0


# ---------------------------------------------------------------- every rule that takes them

# What the table says is for real numbers, with a reason; and what NumPy computes with them only.
REAL_ONLY = {
    name: f"{name}: complex128 is complex, and it has no derivative by complex numbers"
    for name, rule in RULES.items() if "real_only" in getattr(rule.check, "__qualname__", "")
} | {
    name: name for name in (
        "copysign", "cbrt", "deg2rad", "fft.rfft", "fmod", "logaddexp", "logaddexp2",
        "nextafter", "rad2deg", "remainder",
    )
}  # fmt: skip
TRIED = [
    name
    for name, rule in RULES.items()
    if rule.differentiable and rule.shapes is not Shapes.LOGITS and not rule.outputs
    if name != "astype" and not name.startswith(("nn.", "special."))
]


@pytest.mark.parametrize("name", TRIED)
def test_rules_of_complex_numbers(name):
    rule = RULES[name]

    @settings(max_examples=4)
    @given(arguments(rule, dtypes=(np.dtype("float64"),)))
    def tried(drawn):
        operands, params = drawn
        params = {key: value for key, value in params.items() if key != "dtype"}
        places = differentiable(rule, operands)
        function = namespace.public(name)

        def parts(*halves):
            inside = list(operands)
            for i, x, y in zip(places, halves[::2], halves[1::2], strict=True):
                z = x + 1j * y
                hermitian = rule.domain[0].of == "hermitian"
                inside[i] = (z + tg.conj(z).mT) / 2 if hermitian else z
            z = function(inside, **params) if rule.variadic else function(*inside, **params)
            return tg.real(z), tg.imag(z)

        halves = []
        for i in places:
            imaginary = 0.9 * np.cos(np.arange(operands[i].size)).reshape(operands[i].shape)
            halves += [operands[i], imaginary]
        check_grads(parts, tuple(halves), order=2)

    if name in REAL_ONLY:
        with pytest.raises(tg.DTypeError, match=REAL_ONLY[name]):
            tried()
    else:
        tried()
