"""detect_anomaly: where a NaN or an infinity was born, and what the report says of it."""

import asyncio
import inspect
import threading

import numpy as np
import pytest

import tinygraph as tg
from tinygraph.models import TwoLayerNet
from tinygraph.modes import MODES


def here():
    """Return the number of the line that calls this."""
    return inspect.currentframe().f_back.f_lineno


def report_of(f, *args):
    """Run a function inside detect_anomaly and return what it is told."""
    with pytest.raises(tg.AnomalyError) as caught, tg.detect_anomaly():
        f(*args)
    return str(caught.value)


@pytest.fixture
def x():
    return tg.tensor([0.0, 1.0, 4.0], requires_grad=True, name="x")


# ---------------------------------------------------------------- forwards


def test_the_first_operation_that_gives_an_infinity_is_named_with_its_line_and_ranges(x):
    lines = []

    def f():
        with tg.scope("head"):
            lines.append(here() + 1)
            y = tg.log(tg.tanh(x))
        return tg.exp(y).sum()

    told = report_of(f)
    assert told.startswith("log gives -inf in 1 of 3 entries, first at [0].")
    assert f"{__file__}:{lines[0]}, in f: y = tg.log(tg.tanh(x))" in told
    assert "inside      head" in told
    assert "a           float64 (3,) from 0 to 0.9993" in told
    assert "from 'x': tanh (3,) -> here" in told


@pytest.mark.filterwarnings("ignore:Mean of empty slice")
@pytest.mark.parametrize(
    ("name", "f"),
    [
        ("subtract", lambda x: (1 / tg.asarray([np.inf])) + tg.asarray(np.inf) - np.inf),
        ("divide", lambda x: x / 0.0),
        ("pow", lambda x: (x - 1) ** 1.5),
        ("multiply", lambda x: x * 1e200 * 1e200),
        ("mean", lambda x: tg.mean(x[:0])),
        ("astype", lambda x: (x * 1e6).astype("float16")),
        ("linalg.slogdet", lambda x: tg.linalg.slogdet(tg.zeros((2, 2)))),
        ("custom", lambda x: overflowing(x)),
    ],
)
def test_operations_of_every_make_are_looked_at(x, name, f):
    assert report_of(f, x).startswith(f"{name} gives ")


@tg.custom_vjp
def overflowing(x):
    return tg.asarray(x.numpy() + np.inf)


overflowing.defvjp(lambda x: (overflowing(x), x), lambda x, g: g)
overflowing.__name__ = "custom"


def test_without_a_gradient_too():
    assert report_of(lambda: tg.log(tg.asarray([0.0]))).startswith("log gives -inf")


def test_numpy_functions_are_looked_at(x):
    assert report_of(lambda: np.log(x)).startswith("log gives -inf")


def test_a_nan_that_was_read_is_told_as_such(x):
    images = np.ones((5, 784))
    images[2, 3] = np.nan
    net = TwoLayerNet(784, 50, 10, rng=0)
    told = report_of(net.loss, images, np.arange(5))
    assert told.startswith("matmul gives nan in 50 of 250 entries, first at [2, 0].")
    assert "inside      Affine1" in told
    assert "a           float64 (5, 784) from 1 to 1 and nan in 1 of 3920 entries" in told
    assert "'W1'" in told
    assert told.endswith("It passes on what it reads.")
    assert f"{__file__}:" in told


def test_infinities_that_were_there_before_are_passed_on():
    scores = tg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    mask = np.array([0.0, -np.inf, 0.0])
    with tg.detect_anomaly():
        p = tg.softmax(scores + mask)
        p[0].backward()
    assert np.isfinite(scores.grad.numpy()).all()


def test_numbers_that_are_finite_stay_what_they_are(x):
    with tg.detect_anomaly():
        y = tg.sum(tg.exp(x) * x)
        y.backward()
    exact = np.exp(x.numpy()) * (1 + x.numpy())
    np.testing.assert_allclose(x.grad.numpy(), exact, rtol=1e-15)


def test_integers_bools_and_empty_arrays_are_left_alone():
    with tg.detect_anomaly():
        assert tg.sum(tg.asarray([1, 2]) + 1).item() == 5
        assert tg.any(tg.asarray([True])).item()
        assert tg.exp(tg.asarray(np.zeros((0, 3)))).shape == (0, 3)


# ---------------------------------------------------------------- backwards


def test_a_step_back_is_named_with_the_line_that_recorded_it(x):
    with tg.detect_anomaly():
        line = here() + 1
        y = tg.sqrt(x)
    told = report_of(y.sum().backward)
    assert told.startswith("backward of sqrt gives inf in 1 of 3 entries, first at [0], for 'x'.")
    assert f"{__file__}:{line}, in test_a_step_back" in told
    assert "arriving    float64 (3,) from 1 to 1" in told
    assert "its result  float64 (3,) from 0 to 2" in told
    assert x.grad is None


def test_a_masked_branch_is_found_to_be_the_cause(x):
    lines = []

    def f():
        root = tg.sqrt(x)
        lines.append(here() + 1)
        kept = tg.where(x.numpy() > 0, root, 0.0)
        (2 * kept).sum().backward()

    told = report_of(f)
    assert told.startswith("backward of sqrt gives nan in 1 of 3 entries, first at [0], for 'x'.")
    assert "The gradient that arrives there is 0, and the slope infinite" in told
    assert f"A where discards these entries: {__file__}:{lines[0]}, in f: kept = tg.where(" in told
    assert "where(condition, x, 1.0)" in told

    def mended():
        positive = x.numpy() > 0
        root = tg.sqrt(tg.where(positive, x, 1.0))
        tg.where(positive, root, 0.0).sum().backward()

    with tg.detect_anomaly():
        mended()
    assert x.grad.numpy().tolist() == [0.0, 0.5, 0.25]


def test_a_masked_infinity_is_reported_where_it_is_made(x):
    told = report_of(lambda: tg.where(x > 0, tg.log(x), 0.0))
    assert told.startswith("log gives -inf")
    assert "If a where discards these entries later" in told


def test_without_a_where_none_is_blamed(x):
    told = report_of(lambda: (tg.sqrt(x) * np.array([0.0, 1.0, 1.0])).sum().backward())
    assert "The gradient that arrives there is 0" in told
    assert "where" not in told


def test_what_was_recorded_outside_has_no_line_and_says_so(x):
    told = report_of(tg.sqrt(x).sum().backward)
    assert "a line that was not noted: record inside detect_anomaly too" in told


def test_a_gradient_that_is_not_a_number_when_it_arrives_is_told_as_such(x):
    told = report_of(lambda: (x * 2).backward(np.array([np.nan, 0.0, 0.0])))
    assert told.startswith("backward of multiply gives nan in 1 of 3 entries, first at [0]")
    assert "It passes on what arrives" in told


def test_a_sum_of_gradients_that_overflows_is_told_at_the_leaf():
    a = tg.tensor(np.ones(2, np.float16), requires_grad=True, name="a")
    told = report_of((a + a + a).sum().backward, np.float16(60000))
    assert told.startswith("backward: the gradient of a leaf 'a' has inf in 2 of 2 entries")


@pytest.mark.parametrize(
    ("expected", "f"),
    [
        ("backward of sqrt gives inf", lambda: tg.grad(tg.sqrt)(0.0)),
        ("backward of", lambda: tg.grad(tg.grad(lambda x: x**1.5))(0.0)),
        ("backward of", lambda: tg.hvp(lambda x: x**1.5, (0.0,), (1.0,))),
        ("divide gives inf", lambda: tg.jvp(tg.sqrt, (np.zeros(3),), (np.ones(3),))),
        ("log gives -inf", lambda: tg.vmap(tg.log)(np.zeros(3))),
        ("backward of sqrt", lambda: tg.vmap(tg.grad(tg.sqrt))(np.zeros(3))),
        ("log gives -inf", lambda: tg.grad(tg.checkpoint(tg.log))(0.0)),
    ],
)  # fmt: skip
def test_inside_transforms(expected, f):
    told = report_of(f)
    assert told.startswith(expected)
    assert f"{__file__}:" in told


def test_gradients_that_nobody_wants_are_not_looked_at():
    with tg.detect_anomaly():  # the slope for the exponent is log(0) * 0
        assert tg.grad(lambda a, p: a**p)(0.0, 2.0) == 0


def test_indices_and_several_results(x):
    with tg.detect_anomaly():
        (tg.linalg.eigh(tg.asarray(np.diag([1.0, 2.0])) * x[1])[0] * x[1:]).sum().backward()
    assert np.isfinite(x.grad.numpy()).all()
    told = report_of(lambda: tg.sum(tg.sqrt(x)[0:2]).backward())
    assert told.startswith("backward of sqrt gives inf")


# ---------------------------------------------------------------- what led there


def test_long_ways_and_many_leaves_are_cut_short():
    leaves = [tg.tensor(-1.0, requires_grad=True, name=f"w{i}") for i in range(6)]
    y = sum(leaves)
    for _ in range(30):
        y = tg.tanh(y)
    told = report_of(tg.log, y)
    assert "-> ... 2" in told and "more ... ->" in told
    assert "and from 2 more named leaves" in told
    assert len(told) < 2000


def test_a_graph_of_100_000_operations_is_told_of_without_recursion():
    y = tg.tensor(1.0, requires_grad=True, name="x")
    for _ in range(100_000):
        y = y + 1e-9
    assert "from 'x': add () -> " in report_of(tg.log, y - 2)


def test_accidental_broadcasting_is_warned_of_with_its_line():
    p = tg.tensor(np.ones((3, 1)), requires_grad=True)
    with tg.detect_anomaly(), pytest.warns(UserWarning) as caught:
        loss = ((p - np.arange(3.0)) ** 2).mean()
        loss.backward()
    told = str(caught[0].message)
    assert told.startswith("subtract: (3,) and (3, 1) broadcast to (3, 3), wider than each of them")
    assert "loss = ((p - np.arange(3.0)) ** 2).mean()" in told
    assert len(caught) == 1


@pytest.mark.filterwarnings("error")
def test_what_is_written_as_an_outer_product_or_a_bias_is_not_warned_of():
    rows, b = tg.tensor(np.ones((3, 1))), tg.tensor(np.ones(4))
    with tg.detect_anomaly():
        rows - np.ones((1, 3))
        np.ones((2, 4)) + b
        rows * 2.0


# ---------------------------------------------------------------- a mode like the others


@pytest.mark.filterwarnings("error")
def test_numpys_warnings_are_replaced_inside_and_come_back_outside(x):
    before = np.geterr()
    assert report_of(lambda: tg.log(x)).startswith("log gives -inf")
    assert np.geterr() == before
    with pytest.raises(RuntimeWarning):
        tg.log(x)


def test_it_ends_with_its_block_and_decorates(x):
    @tg.detect_anomaly()
    def f(depth):
        return tg.log(x) if depth == 0 else f(depth - 1)

    with pytest.raises(tg.AnomalyError):
        f(3)
    assert MODES.get().anomaly is None and not MODES.get().watched
    with np.errstate(divide="ignore"):
        tg.log(x)


def test_other_threads_and_tasks_are_not_watched(x):
    with tg.detect_anomaly():
        answers = []

        def work():
            with np.errstate(divide="ignore"):
                answers.append(tg.log(x))

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert len(answers) == 1

    async def watching():
        with tg.detect_anomaly():
            await asyncio.sleep(0.01)
            return report_of(lambda: tg.log(x))

    async def free():
        await asyncio.sleep(0.005)
        with np.errstate(divide="ignore"):
            return tg.log(x)

    async def both():
        return await asyncio.gather(watching(), free())

    told, y = asyncio.run(both())
    assert told.startswith("log gives") and y.shape == (3,)


def test_lines_are_kept_inside_only(x):
    assert not hasattr(tg.exp(x)._node, "line")
    with tg.detect_anomaly():
        assert tg.exp(x)._node.line[0].co_name == "test_lines_are_kept_inside_only"


def test_the_error_is_a_runtime_error():
    assert issubclass(tg.AnomalyError, tg.TinygraphError)
    assert issubclass(tg.AnomalyError, RuntimeError)


def test_warnings_come_back_whatever_ends_first():
    def steps():
        with tg.detect_anomaly():
            yield

    before = np.geterr()
    first, second = steps(), steps()
    next(first), next(second)
    first.close()
    second.close()
    assert np.geterr() == before
    one = tg.detect_anomaly()
    with one, one:
        pass
    assert np.geterr() == before


def test_an_operand_of_many_without_a_name():
    a, b = (tg.tensor([1.0], requires_grad=True) for _ in range(2))
    with tg.detect_anomaly(), pytest.raises(tg.AnomalyError, match="for 'operand 2'"):
        tg.concat([a, b]).backward([1.0, np.inf])
