"""MLP and SimpleConvNet: their gradients against numbers, their shapes, and what they refuse."""

import numpy as np
import pytest

import tinygraph as tg
from tinygraph.errors import ArgumentError, DTypeError, ShapeError
from tinygraph.models import MLP, SimpleConvNet, TwoLayerNet
from tinygraph.viz import to_dot

SMALL = {"input_dim": (2, 6, 6), "hidden_size": 4, "output_size": 3, "weight_init_std": 0.5}
FILTERS = {"filter_num": 3, "filter_size": 3}
NETWORKS = {
    "two layers": (lambda: TwoLayerNet(6, 5, 3, 0.5, rng=0), (6,)),
    "mlp": (lambda: MLP(6, [5, 4], 3, rng=0), (6,)),
    "no hidden layer": (lambda: MLP(6, [], 3, rng=0), (6,)),
    "convolution": (lambda: SimpleConvNet(**SMALL, conv_param=FILTERS, rng=0), (2, 6, 6)),
    "pad and stride": (
        lambda: SimpleConvNet(**SMALL, conv_param=FILTERS | {"pad": 1, "stride": 2}, rng=0),
        (2, 6, 6),
    ),
}


@pytest.fixture(params=NETWORKS)
def network(request):
    make, shape = NETWORKS[request.param]
    rng = np.random.default_rng(1)
    return make(), rng.normal(size=(4, *shape)), rng.integers(0, 3, 4)


# ---------------------------------------------------------------- gradients


def test_gradients_against_numerical_ones(network):
    network, x, t = network
    numerical = network.numerical_gradient(x, t)
    for name, one in network.gradient(x, t).items():
        assert one.shape == network.params[name].shape
        np.testing.assert_allclose(one, numerical[name], rtol=1e-6, atol=1e-9)


def test_over_other_parameters_it_is_the_same_function(network):
    network, x, t = network
    arrays = {name: one.numpy() for name, one in network.params.items()}
    found = tg.grad(lambda params: network.over(params).loss(x, t))(arrays)
    for name, one in network.gradient(x, t).items():
        np.testing.assert_array_equal(found[name], one)
    doubled = network.over({name: 2 * one for name, one in arrays.items()})
    for name in arrays:
        network.params[name] = 2 * arrays[name]
    np.testing.assert_array_equal(doubled.predict(x).data, network.predict(x).data)


def test_over_leaves_the_network_as_it_was(network):
    network, x, t = network
    before = network.loss(x, t).item()
    params = network.params
    network.over({name: 0 * one.numpy() for name, one in params.items()}).loss(x, t)
    assert network.params is params
    assert network.loss(x, t).item() == before


def test_one_sample_is_a_row_of_a_batch(network):
    network, x, t = network
    whole = network.predict(x)
    np.testing.assert_allclose(network.predict(x[1]).data, whole.data[1], rtol=1e-13)
    losses = [network.loss(*one).item() for one in zip(x, t, strict=True)]
    np.testing.assert_allclose(np.mean(losses), network.loss(x, t).item(), rtol=1e-13)


def test_saved_and_loaded_it_predicts_the_same(network, tmp_path):
    network, x, _ = network
    expected = network.predict(x).numpy()
    network.save(tmp_path / "weights.safetensors")
    for name, one in network.params.items():
        network.params[name] = 0 * one
    assert not np.array_equal(network.predict(x).data, expected)
    network.load(tmp_path / "weights.safetensors")
    np.testing.assert_array_equal(network.predict(x).data, expected)


def test_a_step_against_the_gradient_makes_the_loss_less(network):
    network, x, t = network
    before = network.loss(x, t).item()
    for name, slope in network.gradient(x, t).items():
        network.params[name] -= 0.01 * slope
    assert network.loss(x, t).item() < before


# ---------------------------------------------------------------- what they are made of


def test_first_weights():
    network = MLP(400, [300, 200], 10, rng=0)
    assert [*network.params] == ["W1", "b1", "W2", "b2", "W3", "b3"]
    for number, inputs in enumerate((400, 300, 200), start=1):
        W, b = network.params[f"W{number}"], network.params[f"b{number}"]
        assert W.shape == (inputs, *b.shape)
        np.testing.assert_allclose(W.data.std(), np.sqrt(2 / inputs), rtol=0.02)
        assert not b.data.any()
    assert abs(MLP(400, [300], 10, 0.5, rng=0).params["W1"].data.std() - 0.5) < 0.01
    assert abs(SimpleConvNet(weight_init_std=0.5, rng=0).params["W2"].data.std() - 0.5) < 0.01


@pytest.mark.parametrize("kind", [lambda **o: MLP(5, [4], 3, **o), SimpleConvNet])
def test_a_seed_gives_the_same_weights(kind):
    one, same, other = (kind(rng=seed, dtype="float32").params["W1"].data for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    assert one.dtype == np.float32
    with pytest.raises(DTypeError, match="dtype int64 is not a real floating one"):
        kind(dtype="int64")


@pytest.mark.parametrize(
    ("side", "param", "pooled"),
    [
        (28, {}, 12),
        (28, {"pad": 2}, 14),
        (28, {"stride": 2}, 6),
        (27, {"filter_size": 4, "stride": 3}, 4),
        (9, {"filter_size": 3}, 3),
    ],
)
def test_the_sizes_between_fit_together(side, param, pooled):
    network = SimpleConvNet((1, side, side), param, hidden_size=7, rng=0)
    filters = param.get("filter_size", 5)
    assert network.params["W1"].shape == (30, 1, filters, filters)
    assert network.params["W2"].shape == (30 * pooled**2, 7)
    assert network.predict(np.ones((2, 1, side, side))).shape == (2, 10)


def test_the_book_s_own_call():
    network = SimpleConvNet(
        input_dim=(1, 28, 28),
        conv_param={"filter_num": 30, "filter_size": 5, "pad": 0, "stride": 1},
        hidden_size=100,
        output_size=10,
        weight_init_std=0.01,
    )
    assert [*network.params] == ["W1", "b1", "W2", "b2", "W3", "b3"]
    assert [*network.layers] == [
        "Conv1",
        "Relu1",
        "Pool1",
        "Flatten",
        "Affine1",
        "Relu2",
        "Affine2",
    ]


def test_the_layers_are_scopes_of_the_picture():
    network = SimpleConvNet(**SMALL, conv_param=FILTERS, rng=0)
    picture = to_dot(network.loss(np.ones((2, 2, 6, 6)), [0, 1])).source
    for name in (*network.layers, "SoftmaxWithLoss"):
        assert name in picture


# ---------------------------------------------------------------- what they refuse


def test_images_that_do_not_fit():
    network = SimpleConvNet(**SMALL, conv_param=FILTERS, rng=0)
    for shape in ((4, 3, 6, 6), (4, 2, 8, 8), (4, 72)):
        with pytest.raises(ShapeError):
            network.predict(np.ones(shape))
    with pytest.raises(ShapeError, match=r"matmul.*\(4, 7\).*\(6, 5\)"):
        MLP(6, [5], 3).predict(np.ones((4, 7)))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"conv_param": {"filters": 3}}, ArgumentError, "conv_param has filters; it may have filt"),
        ({"input_dim": (1, 4, 28)}, ShapeError, r"filters of 5 × 5 with pad=0 and stride=1 leave"),
        ({"input_dim": (1, 28, 5)}, ShapeError, r"image of shape \(1, 28, 5\)"),
    ],
)
def test_arguments_that_make_no_network(options, error, message):
    with pytest.raises(error, match=message):
        SimpleConvNet(**options)
