"""Other libraries' arrays inside a Tensor: all rules, transforms and models on each of them.

array_api_strict, which has the standard and nothing else, comes with the tests; the others are a
group of their own, run by pytest -m engines.
"""

import copy
import pickle
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings

import tinygraph as tg
from tinygraph.engines import Foreign
from tinygraph.errors import AnomalyError, ArgumentError, DTypeError, EngineError
from tinygraph.models import SimpleConvNet, TwoLayerNet
from tinygraph.rules import RULES
from tinygraph.tensor import apply
from tinygraph.testing.strategies import arguments, differentiable
from tinygraph.viz import to_dot


def strict():
    import array_api_strict

    return array_api_strict.asarray


def jax():
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    return jax.numpy.asarray


def torch():
    torch = pytest.importorskip("torch")
    return lambda x: torch.asarray(np.array(x))


def dask():
    dask = pytest.importorskip("dask")
    array = pytest.importorskip("dask.array")
    dask.config.set(scheduler="synchronous")
    return lambda x: array.from_array(np.asarray(x))


GROUP = pytest.mark.engines
ENGINES = [
    strict, pytest.param(jax, marks=GROUP), pytest.param(torch, marks=GROUP),
    pytest.param(dask, marks=GROUP),
]  # fmt: skip
EAGER = ENGINES[:3]


@pytest.fixture(params=ENGINES)
def array(request):
    return request.param()


# ---------------------------------------------------------------- every rule

# Rules that an engine lacks something for (the signs of svd are PyTorch's own), and the special
# functions that it has.
LACKING = {
    "strict": "add_along_axis cbrt clip deg2rad exp2 fft.fft fft.ifft fft.irfft fmax fmin fmod "
    "getitem imag linalg.diagonal linalg.solve_sylvester linalg.sqrtm "
    "logaddexp2 nn.normal_cdf rad2deg scatter_add setitem "
    "sinc take_along_axis",
    "jax": "linalg.solve_sylvester linalg.sqrtm",
    "torch": "cbrt imag linalg.solve_sylvester linalg.sqrtm linalg.svd linalg.vector_norm std",
    "dask": "add_along_axis getitem linalg.adjugate linalg.cholesky linalg.cross linalg.det "
    "linalg.diagonal linalg.eig linalg.eigh linalg.eigvals linalg.eigvalsh linalg.expm linalg.inv "
    "linalg.matrix_rank linalg.pinv linalg.qr linalg.slogdet linalg.solve linalg.solve_sylvester "
    "linalg.solve_triangular linalg.sqrtm linalg.svd linalg.svdvals nn.normal_cdf nn.overlap_add "
    "nn.windows scatter_add setitem sort take_along_axis",
}
SPECIAL = {
    "strict": "", "dask": "",
    "jax": "beta betainc betaln digamma entr erf erfc erfcx erfinv expit gamma gammainc gammaincc "
    "gammaln gammasgn hyp1f1 i0 i0e i1 i1e log_ndtr logit ndtr ndtri polygamma xlog1py xlogy",
    "torch": "digamma entr erf erfc erfcx erfinv expit gammaln i0 i0e i1 i1e log_ndtr logit ndtr "
    "ndtri xlog1py xlogy",
}  # fmt: skip
DRAWN = settings(
    max_examples=6, database=None, derandomize=True, deadline=None, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


def outcome(rule, operands, params, slots, make):
    """Return results and gradients of a rule on the arrays that something makes."""
    tensors = [tg.tensor(make(one), requires_grad=i in slots) for i, one in enumerate(operands)]
    y = apply(rule, tuple(tensors), params)
    results = list(y) if isinstance(y, tuple) else [y]
    (first, *others) = results
    if slots and not others and first.requires_grad:
        first.backward(make(np.full(first.shape, 1.5)))
        results += [one.grad for one in tensors if one.grad is not None]
    return results


def run(name, make):
    """Run a rule and its gradients on an engine's arrays, and compare with NumPy's."""
    rule = RULES[name]

    @DRAWN
    @given(arguments(rule, dtypes=(np.dtype("float64"),)))
    def compared(drawn):
        operands, params = drawn
        if name.startswith("logical_"):
            operands = tuple(one > 0 for one in operands)
        params = {**rule.defaults, **params}
        slots = () if rule.outputs else differentiable(rule, operands)
        expected = outcome(rule, operands, params, slots, np.asarray)
        found = outcome(rule, operands, params, slots, make)
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert type(one._data) is Foreign
            assert one.dtype == other.dtype
            exact = 1e-5 if one.dtype == np.float32 else 1e-9
            np.testing.assert_allclose(one.numpy() * 1.0, other.numpy() * 1.0, exact, 1e-11)

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        compared()


def rules(engine):
    special = {f"special.{name}" for name in SPECIAL[engine].split()}
    others = {name for name in RULES if not name.startswith("special.")}
    return sorted((others | special) - {*LACKING[engine].split()})


@pytest.mark.parametrize("name", rules("strict"))
def test_a_rule_on_strict_arrays(name):
    run(name, strict())


@pytest.mark.engines
@pytest.mark.parametrize("name", rules("jax"))
def test_a_rule_on_arrays_of_jax(name):
    run(name, jax())


@pytest.mark.engines
@pytest.mark.parametrize("name", rules("torch"))
def test_a_rule_on_arrays_of_torch(name):
    run(name, torch())


@pytest.mark.engines
@pytest.mark.parametrize("name", rules("dask"))
def test_a_rule_on_arrays_of_dask(name):
    run(name, dask())


@pytest.mark.parametrize("name", LACKING["strict"].split())
def test_what_an_engine_lacks_is_an_error(name):
    with pytest.raises((Exception, BaseExceptionGroup)) as caught:
        run(name, strict())
    errors = [caught.value]
    while isinstance(errors[0], BaseExceptionGroup):
        errors = errors[0].exceptions
    assert not isinstance(errors[0], AssertionError)


# ---------------------------------------------------------------- models and transforms

RNG = np.random.default_rng(0)
X, T = RNG.normal(size=(8, 12)), RNG.integers(0, 3, 8)


def loss(params, x, t):
    hidden = tg.relu(tg.matmul(x, params["W1"]) + params["b1"])
    return tg.softmax_cross_entropy(hidden @ params["W2"] + params["b2"], t)


def parameters(make=np.asarray):
    rng = np.random.default_rng(1)
    shapes = {"W1": (12, 5), "b1": (5,), "W2": (5, 3), "b2": (3,)}
    return {name: make(rng.normal(size=shape)) for name, shape in shapes.items()}


def test_gradients_of_a_network_are_those_on_numpy(array):
    expected = tg.grad(loss)(parameters(), X, T)
    found = tg.grad(loss)(parameters(array), array(X), T)
    for name, one in found.items():
        assert type(one) is type(array(X))
        np.testing.assert_allclose(tg.tensor(one).numpy(), expected[name], rtol=0, atol=1e-12)


NETWORKS = {
    "TwoLayerNet": (TwoLayerNet(784, 50, 10, rng=0), (8, 784)),
    "SimpleConvNet": (SimpleConvNet(rng=0), (8, 1, 28, 28)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_of_a_model_are_those_on_numpy(array, name):
    ours, shape = NETWORKS[name]
    x, t = RNG.normal(size=shape), RNG.integers(0, 10, 8)
    tensors = {
        key: tg.tensor(array(one.numpy()), requires_grad=True) for key, one in ours.params.items()
    }
    ours.over(tensors).loss(array(x), t).backward()
    for key, one in ours.gradient(x, t).items():
        found = tensors[key].grad
        assert type(found._data) is Foreign
        np.testing.assert_allclose(found.numpy(), one, rtol=0, atol=1e-12)


def rosenbrock(x):
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


V, W = RNG.normal(size=5), RNG.normal(size=5)
CALLS = {
    "grad": lambda make: tg.grad(rosenbrock)(make(V)),
    "vjp": lambda make: tg.vjp(tg.sin, make(V))[1](make(W))[0],
    "jvp": lambda make: tg.jvp(rosenbrock, (make(V),), (make(W),))[1],
    "hvp": lambda make: tg.hvp(rosenbrock, (make(V),), (make(W),)),
    "jacobian": lambda make: tg.jacobian(lambda x: tg.tanh(x) * x[0])(make(V)),
    "hessian": lambda make: tg.hessian(rosenbrock)(make(V)),
    "vmap": lambda make: tg.vmap(lambda x: tg.sin(x) * x)(make(V)),
    "checkpoint": lambda make: tg.grad(tg.checkpoint(rosenbrock))(make(V)),
    "grad of grad": lambda make: tg.grad(lambda x: (tg.grad(rosenbrock)(x) * W).sum())(make(V)),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("engine", EAGER)
def test_a_transform_on_an_engines_arrays_gives_them_back(engine, name):
    make, call = engine(), CALLS[name]
    found = call(make)
    assert type(found) is type(make(V))
    np.testing.assert_allclose(np.asarray(found), np.asarray(call(np.asarray)), 1e-12, 1e-12)


# ---------------------------------------------------------------- a Tensor over such an array


def test_what_a_tensor_shows_of_an_engines_array(array):
    given = array(np.array([1.0, 2.0]))
    x = tg.tensor(given, requires_grad=True, name="x")
    assert (x.shape, x.ndim, x.size, x.dtype) == ((2,), 1, 2, np.dtype("float64"))
    assert type(x.data) is type(given)
    assert x.device == getattr(given, "device", "cpu")
    assert x.tolist() == [1.0, 2.0]
    assert (x[0].item(), float(x[1])) == (1.0, 2.0)
    assert type(x.numpy()) is np.ndarray
    assert f"Tensor({given!r}, requires_grad=True, name='x')" == repr(x).replace("\n       ", "\n")
    assert (x * 2).detach().tolist() == [2.0, 4.0]


def test_gradients_that_numpy_begins_stay_with_the_engine(array):
    given = array(V)
    x = tg.tensor(given, requires_grad=True)
    tg.sin(x).backward(W)
    (found,) = tg.vjp(tg.sin, given)[1](W)
    _, tangent = tg.jvp(tg.sin, (given,), (W,))
    for one in (x.grad.data, found, tangent):
        assert type(one) is type(given)
        np.testing.assert_allclose(tg.tensor(one).numpy(), np.cos(V) * W, rtol=1e-12)


def test_a_network_gives_the_engines_own_arrays(array):
    ours = TwoLayerNet(12, 5, 3, rng=0)
    network = ours.over(
        {key: tg.tensor(array(one.numpy()), requires_grad=True) for key, one in ours.params.items()}
    )
    for key, one in network.gradient(array(X), T).items():
        assert type(one) is type(array(X))
        np.testing.assert_allclose(tg.tensor(one).numpy(), ours.gradient(X, T)[key], 0, 1e-12)
    assert network.accuracy(array(X), T) == ours.accuracy(X, T)


def test_a_picture_shows_the_numbers(array):
    x = tg.tensor(array(np.array(2.0)), requires_grad=True, name="x")
    y = x * x
    for style in ("structure", "textbook"):
        expected = (z := tg.tensor(2.0, requires_grad=True, name="x")) * z
        options = {"check": True} if style == "structure" else {}
        pictures = [to_dot(one, style=style, **options).source for one in (y, expected)]
        assert pictures[0] == pictures[1]


@pytest.mark.parametrize("engine", EAGER)
def test_a_number_that_is_none_is_found(engine):
    x = tg.tensor(engine()(np.array([-1.0, 1.0])), requires_grad=True)
    with tg.detect_anomaly(), pytest.raises(AnomalyError, match="log gives nan in 1 of 2 entries"):
        tg.log(x)


@pytest.mark.parametrize("engine", EAGER)
def test_gradients_are_checked_on_an_engine(engine):
    x = tg.tensor(engine()(V), requires_grad=True)
    given = type(x.data)
    found = tg.testing.numerical_gradient(lambda x: (tg.sin(x) * x).sum(), x)
    np.testing.assert_allclose(found, np.cos(V) * V + np.sin(V), rtol=1e-9)
    assert type(x.data) is given
    assert V[0] in x
    tg.testing.check_grads(lambda x: tg.sin(x) * x, (x,))
    with pytest.raises(ArgumentError, match="none of the arguments is NumPy's"):
        tg.testing.check_grads(tg.sin, (x.data,))


def test_updates_in_place_copies_and_pickles(array):
    x = tg.tensor(array(np.array([1.0, 2.0])), requires_grad=True)
    before = (x * x).sum()
    with tg.no_grad():
        x -= 0.5
    assert x.tolist() == [0.5, 1.5]
    before.backward()
    assert x.grad.tolist() == [2.0, 4.0]
    x.data = np.array([3.0, 4.0])
    for other in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert other.tolist() == [3.0, 4.0]
        assert type(other.data) is type(x.data)


def test_what_is_saved_is_numbers(array, tmp_path):
    tg.save(tmp_path / "x.safetensors", {"x": tg.tensor(array(V))})
    np.testing.assert_array_equal(tg.load(tmp_path / "x.safetensors")["x"].numpy(), V)


def test_dtypes_are_promoted_as_numpy_does(array):
    whole, half = array(np.array([1, 2])), array(np.array([0.5, 0.5], "float32"))
    assert (tg.tensor(whole) / 2).dtype == np.float64
    assert (tg.tensor(whole) * tg.tensor(half)).dtype == np.float64
    assert (tg.tensor(half) * 2.0).dtype == np.float32
    assert ((tg.tensor(whole) > 1) * tg.tensor(half)).tolist() == [0.0, 0.5]


def test_numpys_arrays_are_constants_to_an_engine(array):
    x = tg.tensor(array(V), requires_grad=True)
    (x * W).sum().backward()
    assert type(x.grad._data) is Foreign
    np.testing.assert_allclose(x.grad.numpy(), W)


A = np.arange(24.0).reshape(2, 3, 4)
PLACES = {
    "fewer indices than axes": lambda x: x[1],
    "a new axis": lambda x: x[None, 1:, :2],
    "an ellipsis": lambda x: x[..., -1],
    "an array first": lambda x: x[np.array([1, 0, -1])],
    "an array between": lambda x: x[:, np.array([[2, 0], [1, 1]])],
    "of a vector": lambda x: tg.reshape(x, (-1,))[np.array([3, 1])],
    "repeat": lambda x: tg.repeat(x, tg.asarray(np.array([2, 0, 1])), axis=1),
    "roll": lambda x: tg.roll(x, 1, axis=-1),
}


@pytest.mark.parametrize("name", PLACES)
def test_an_index_selects_what_it_selects_with_numpy(array, name):
    if name == "an array between" and "dask" in type(array(A)).__module__:
        pytest.skip("dask takes one axis of places")
    found, expected = (PLACES[name](tg.tensor(one)).numpy() for one in (array(A), A))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("engine", EAGER)
def test_what_the_standard_names_otherwise(engine):
    make = engine()
    x = tg.tensor(make(np.array([3.0, 1.0, 3.0], "float32")))
    x[1] = 2.0
    assert (x.tolist(), x.dtype) == ([3.0, 2.0, 3.0], np.float32)
    assert [0, 10, 20][tg.tensor(make(np.array(1)))] == 10
    assert tg.count_nonzero(tg.tensor(make(np.array([True, False, True])))).item() == 2
    assert x.__dlpack_device__()[0] == 1  # a processor
    np.testing.assert_array_equal(np.from_dlpack(x), [3.0, 2.0, 3.0])
    given = np.array([[2.0, 9.0], [0.5, 1.0]])
    for triangle in "LU":
        found = tg.linalg.eigvalsh(tg.tensor(make(given)), UPLO=triangle)
        np.testing.assert_allclose(found.numpy(), np.linalg.eigvalsh(given, triangle), rtol=1e-12)


@pytest.mark.engines
def test_values_that_differ_are_recorded():
    x = tg.tensor(jax()(np.array([3.0, 1.0, 3.0])), requires_grad=True)
    found = tg.unique_counts(x)
    assert (found.values.tolist(), found.counts.tolist()) == ([1.0, 3.0], [1, 2])
    found.values.backward(np.array([10.0, 1.0]))
    assert x.grad.tolist() == [1.0, 10.0, 0.0]


@pytest.mark.parametrize("engine", [strict, pytest.param(torch, marks=GROUP)])
def test_an_array_that_changes_later_does_not_change_a_graph(engine):
    make = engine()
    x = tg.tensor(make(np.array([1.0, 2.0])), requires_grad=True)
    for read in (tg.tensor, tg.asarray, lambda one: one, lambda one: tg.reshape(one, (2,))):
        given = make(np.array([3.0, 4.0]))
        y = tg.multiply(read(given), x).sum()
        given[0] = 9.0
        x.grad = None
        y.backward()
        assert x.grad.tolist() == [3.0, 4.0]


def test_labels_out_of_range_are_found():
    logits = tg.tensor(strict()(np.zeros((2, 3))))
    with pytest.raises(tg.BoundsError, match="label 3 is out of range"):
        tg.softmax_cross_entropy(logits, strict()(np.array([0, 3])))


def test_a_function_that_an_engine_lacks_names_both():
    with pytest.raises(EngineError, match=r"cbrt: array_api_strict has no such.*numpy\(\)"):
        tg.cbrt(tg.tensor(strict()(V)))


def test_an_array_does_not_leave_its_engine_unasked():
    from scipy.special import ndtr

    with pytest.raises(EngineError, match=r"special.ndtr: array_api_strict"):
        ndtr(tg.tensor(strict()(V)))


@pytest.mark.engines
def test_two_engines_do_not_meet():
    with pytest.raises(DTypeError, match="an array of torch meets one of jax"):
        tg.tensor(jax()(V)) + tg.tensor(torch()(V))


# ---------------------------------------------------------------- through JAX's compiler


@pytest.mark.engines
def test_jax_compiles_gradients_of_our_rules():
    make = jax()
    import jax as library

    seen = []

    def step(params, x, t):
        seen.append(1)
        return tg.grad(loss)(params, x, t)

    compiled = library.jit(step)
    for _ in range(3):
        found = compiled(parameters(make), make(X), make(T))
    assert len(seen) == 1
    for name, one in tg.grad(loss)(parameters(), X, T).items():
        np.testing.assert_allclose(np.asarray(found[name]), one, rtol=0, atol=1e-12)
    with pytest.raises((library.errors.JAXTypeError, TypeError)):
        library.jit(lambda x: tg.tensor(x).sum().item())(make(V))


@pytest.mark.engines
def test_compile_by_jax_takes_and_returns_numpys_arrays():
    jax()
    step = tg.compile(tg.value_and_grad(loss), engine="jax")
    value, slope = step(parameters(), X, T)
    expected, slopes = tg.value_and_grad(loss)(parameters(), X, T)
    assert type(value) is type(slope["W1"]) is np.ndarray
    np.testing.assert_allclose(value, expected, rtol=1e-14)
    for name, one in slopes.items():
        np.testing.assert_allclose(slope[name], one, rtol=0, atol=1e-14)
    slope["W1"][:] = 0.0  # the caller's own
    assert type(tg.compile(tg.sin, engine="jax")(tg.tensor(V))) is tg.Tensor


def test_compile_knows_no_other_engine():
    with pytest.raises(ArgumentError, match="engine 'torch' is unknown"):
        tg.compile(loss, engine="torch")


def test_compile_runs_the_function_itself_on_an_engines_arrays(array):
    double = tg.compile(lambda x: x * 2)
    for one in (V, W):
        found = double(array(one))
        assert type(found) is type(array(V))
        np.testing.assert_allclose(tg.tensor(found).numpy(), one * 2)
