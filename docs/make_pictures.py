"""Draw the pictures of README and documentation: ``python docs/make_pictures.py [FOLDER]``.

Building the documentation does it too. Each picture is kept as its DOT source and as PNG; it is
laid out anew only if the source has changed.
"""

import sys
from pathlib import Path

import numpy as np

import tinygraph as tg
from tinygraph.models import SimpleConvNet, TwoLayerNet
from tinygraph.models.data import load_mnist
from tinygraph.viz import to_dot
from tinygraph.viz.engine import Drawing

PICTURES = Path(__file__).parent / "pictures"


def variable(value, name):
    """Return a Tensor that requires a gradient."""
    return tg.tensor(np.asarray(value, "float64"), requires_grad=True, name=name)


def two_layer_net():
    """Draw the network of the README."""
    (x_train, t_train), _ = load_mnist()
    return to_dot(TwoLayerNet(784, 50, 10, rng=0), args=(x_train[:100], t_train[:100]))


def simple_conv_net():
    """Draw the network of the page on training."""
    (x_train, t_train), _ = load_mnist(flatten=False)
    return to_dot(SimpleConvNet(rng=0), args=(x_train[:100], t_train[:100]))


def two_layer_net_numbers():
    """Draw a network of two layers that is small enough for its numbers."""
    network = TwoLayerNet(2, 3, 2)
    network.params["W1"] = [[0.5, -1.0, 2.0], [1.0, 0.5, -1.0]]
    network.params["b1"] = [0.1, -0.2, 0.3]
    network.params["W2"] = [[0.2, -0.5], [0.5, 1.0], [-0.1, 0.2]]
    network.params["b2"] = [0.1, -0.1]
    x, t = np.array([[1.0, 2.0], [3.0, -1.0]]), np.array([0, 1])
    return to_dot(network, args=(x, t), style="textbook", title="TwoLayerNet(2, 3, 2)")


def apples():
    """Draw two apples at 100 and a tax of 10 %."""
    total = variable(100, "apple price") * variable(2, "apples") * variable(1.1, "tax")
    total.name = "total"
    return to_dot(total, style="textbook", title="2 apples at 100, tax 10 %")


def apples_and_oranges():
    """Draw the shopping of the book's chapter."""
    apple = variable(100, "apple price") * variable(2, "apples")
    orange = variable(150, "orange price") * variable(3, "oranges")
    total = (apple + orange) * variable(1.1, "tax")
    total.name = "total"
    return to_dot(total, style="textbook", title="2 apples and 3 oranges, tax 10 %")


def affine_sample():
    """Draw an affine layer with one sample; the sum of its outputs is differentiated."""
    x, b = variable([1, 2], "x"), variable([1, 2, 3], "b")
    loss = tg.sum(x @ variable([[1, 3, 5], [2, 4, 6]], "W") + b)
    loss.name = "L"
    return to_dot(loss, style="textbook", title="Affine, one sample")


def affine_batch():
    """Draw an affine layer with a batch: the bias is broadcast, and the gradient begins with dY."""
    X, dY = tg.tensor([[1.0, 0.0], [0.0, 1.0]], name="X"), [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    Y = X @ variable([[0, 0, 0], [10, 10, 10]], "W") + variable([1, 2, 3], "b")
    Y.name = "Y"
    loss = tg.sum(Y * tg.tensor(dY, name="dY"))
    loss.name = "L"
    return to_dot(loss, style="textbook", title="Affine, a batch of 2")


def softmax_cross_entropy():
    """Draw softmax and cross-entropy, opened up into elementary operations."""
    a, t = variable([0.3, 2.9, 4.0], "a"), tg.tensor([0.0, 1.0, 0.0], name="t")
    e = tg.exp(a)
    y = e / tg.sum(e)
    y.name = "y"
    loss = -tg.sum(t * tg.log(y))
    loss.name = "L"
    return to_dot(loss, style="textbook", title="Softmax and cross-entropy, opened up")


def first_steps():
    """Draw the graph of the page on first steps."""
    x, w, b = variable(2, "x"), variable(3, "w"), variable(1, "b")
    loss = (x * w + b - 10) ** 2
    loss.name = "loss"
    return to_dot(loss, style="textbook")


def two_sums():
    """Draw two sums in a row, which a walk in the wrong order gets wrong."""
    a = variable(1, "a")
    b = a + a
    b.name = "b"
    c = b + b
    c.name = "c"
    return to_dot(c, style="textbook", title="b = a + a, c = b + b")


def scores():
    """Draw what becomes of one image: scores, and the probabilities that softmax makes of them."""
    (x_train, _), _ = load_mnist()
    a = TwoLayerNet(784, 50, 10, rng=0).predict(tg.tensor(x_train[0], name="x"))
    a.name = "a"
    y = tg.softmax(a)
    y.name = "y"
    return to_dot(y, title="From an image to probabilities")


def fan_out():
    """Draw a value that is read three times: its gradients add up."""
    x = variable(3, "x")
    y = x * x + x
    y.name = "y"
    return to_dot(y, style="textbook", title="y = x · x + x: the gradients of x add up")


class ResidualMLP:
    """Twelve blocks with a residual connection around each."""

    def __init__(self, width=256):
        self.params, rng = {}, np.random.default_rng(0)
        sizes = {"stem": (784, width), "head": (width, 10)}
        for i in range(1, 13):
            sizes |= {f"block{i}.1": (width, width), f"block{i}.2": (width, width)}
        for name, size in sizes.items():
            scale = np.sqrt(2 / size[0])
            for part, array in (("W", scale * rng.normal(size=size)), ("b", np.zeros(size[1]))):
                self.params[f"{name}.{part}"] = tg.tensor(
                    array, dtype="float32", requires_grad=True, name=f"{part}"
                )

    def affine(self, name, x):
        """Apply one of the layers."""
        return x @ self.params[f"{name}.W"] + self.params[f"{name}.b"]

    def loss(self, x, t):
        """Return the mean cross-entropy of a batch."""
        with tg.scope("Stem"):
            x = tg.relu(self.affine("stem", x))
        for i in range(1, 13):
            with tg.scope(f"Block{i}"):
                x = x + self.affine(f"block{i}.2", tg.relu(self.affine(f"block{i}.1", x)))
        with tg.scope("Head"):
            x = self.affine("head", x)
        return tg.softmax_cross_entropy(x, t)


def residual_net():
    """Draw a deep network, its repeated blocks folded into one."""
    batch = np.zeros((128, 784), "float32"), np.zeros(128, int)
    return to_dot(ResidualMLP(), args=batch, fold=True, direction="TB")


def second_order():
    """Draw the graph of a gradient, by which it is differentiated again."""
    x = variable([0.5, -1.0, 2.0], "x")
    y = tg.sum(tg.tanh(x))
    y.name = "y"
    y.backward(create_graph=True)
    penalty = tg.sum(tg.square(x.grad))
    penalty.name = "penalty"
    return to_dot(penalty, title="A penalty on the gradient of Σ tanh(x)")


def fault():
    """Draw a logarithm of 0, and what it does to the values and to the gradients."""
    rng = np.random.default_rng(0)
    params = {"W1": 0.01 * rng.normal(size=(784, 50)), "b1": np.zeros(50), "scale": np.ones(50)}
    params = {name: variable(value, name) for name, value in params.items()}
    x = tg.tensor(rng.random((100, 784)), name="x")
    with tg.scope("Affine1"):
        h = tg.relu(x @ params["W1"] + params["b1"])
    with np.errstate(divide="ignore"):
        loss = -tg.mean(tg.log(h) * params["scale"].detach())
    return to_dot(loss, params=params, check=True, direction="TB")


GALLERY = (
    two_layer_net, two_layer_net_numbers, simple_conv_net, apples, apples_and_oranges,
    affine_sample, affine_batch, softmax_cross_entropy, fan_out, residual_net, second_order, fault,
    first_steps, two_sums, scores,
)  # fmt: skip
AS_SVG = {two_layer_net}  # for where dark mode and texts for screen readers are wanted


def keep(drawing: Drawing, path: Path, kinds: tuple[str, ...]) -> None:
    """Write a picture, unless the same is there."""
    source, kept = drawing.source, path.with_suffix(".dot")
    files = [path.with_suffix(f".{kind}") for kind in kinds]
    if kept.exists() and kept.read_text("utf-8") == source and all(map(Path.exists, files)):
        return
    for file, kind in zip(files, kinds, strict=True):
        file.write_bytes(drawing.pipe(kind))
    kept.write_text(source, "utf-8")


def main(folder: Path = PICTURES) -> None:
    """Draw them into a folder."""
    folder.mkdir(exist_ok=True)
    for draw in GALLERY:
        kinds = ("png", "svg") if draw in AS_SVG else ("png",)
        keep(draw(), folder / draw.__name__, kinds)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
