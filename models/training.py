"""Training on the digits, as ``tinygraph train`` does it: on any engine, to be stopped and resumed."""

import json
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import tinygraph as tg
from tinygraph.engines import library
from tinygraph.errors import ArgumentError, FileError, MissingDependencyError
from tinygraph.saving import write
from tinygraph.viz.style import LIGHT

from .data import Set, load_mnist
from .mlp import MLP
from .network import Network
from .optimizers import SGD, Adam, Momentum
from .simple_conv_net import SimpleConvNet
from .two_layer_net import TwoLayerNet

MODELS: dict[str, Callable[[Any], Network]] = {
    "two-layer-net": lambda rng: TwoLayerNet(784, 50, 10, rng=rng, dtype="float32"),
    "mlp": lambda rng: MLP(784, [100, 100], 10, rng=rng, dtype="float32"),
    "simple-conv-net": lambda rng: SimpleConvNet(rng=rng, dtype="float32"),
}
OPTIMIZERS: dict[str, type[SGD]] = {"sgd": SGD, "momentum": Momentum, "adam": Adam}
LEARNING_RATES = {"sgd": 0.1, "momentum": 0.01, "adam": 0.001}
TESTED_AT_ONCE = 500  # images, so that their windows fit into memory


def numpy_engine() -> tuple[Callable, Callable]:
    """Return what makes an array of NumPy, and what makes a step quick."""
    return np.asarray, tg.compile


def jax_engine() -> tuple[Callable, Callable]:
    """Return what makes an array of JAX, and what makes a step quick."""
    jax = library("jax", "train")
    return jax.numpy.asarray, jax.jit


def torch_engine() -> tuple[Callable, Callable]:
    """Return what makes an array of PyTorch; a step is taken as it is."""
    return library("torch", "train").asarray, lambda step: step


ENGINES = {"numpy": numpy_engine, "jax": jax_engine, "torch": torch_engine}


@dataclass(frozen=True)
class Settings:
    """What a training is determined by, apart from its data.

    Parameters
    ----------
    model, optimizer, engine : str
        Names in `MODELS`, `OPTIMIZERS` and `ENGINES`.
    epochs, batch_size : int
        How often all images are shown, and how many of them at once.
    lr : float, optional
        The learning rate; by default the optimizer's in `LEARNING_RATES`.
    seed : int
        Of the first weights, and of the order of the images.
    """

    model: str = "two-layer-net"
    optimizer: str = "adam"
    engine: str = "numpy"
    epochs: int = 20
    batch_size: int = 100
    lr: float | None = None
    seed: int = 0


class Training(NamedTuple):
    """Where a training stands, after some steps.

    Attributes
    ----------
    step : int
        How many steps have been taken.
    params, state : dict of array
        The network's and the optimizer's, as the engine's arrays.
    losses : float
        The sum of the losses of this epoch's batches so far.
    history : tuple of dict
        Loss, accuracy and test accuracy of each whole epoch.
    """

    step: int
    params: Mapping[str, Any]
    state: Mapping[str, Any]
    losses: float
    history: tuple[dict[str, float], ...]

    def save(self, path: str | PathLike[str], settings: Settings) -> None:
        """Write a checkpoint, whole or not at all."""
        more = {"step": self.step, "losses": self.losses, "history": self.history}
        text = json.dumps(asdict(settings) | more)
        entries = {"training": np.frombuffer(text.encode(), np.uint8)}
        for kind, arrays in (("params", self.params), ("state", self.state)):
            entries |= {f"{kind}/{name}": tg.tensor(one).numpy() for name, one in arrays.items()}
        tg.save(path, entries)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> tuple["Training", Settings]:
        """Read a checkpoint; raises FileError if it is none."""
        arrays = {name: one.numpy() for name, one in tg.load(path).items()}
        try:
            told = json.loads(arrays.pop("training").tobytes())
            step, losses, history = (told.pop(name) for name in ("step", "losses", "history"))
            settings = Settings(**told)
        except (KeyError, ValueError, TypeError) as error:
            raise FileError(f"train: {str(path)!r} is no checkpoint of a training.") from error
        parts: dict[str, dict[str, Any]] = {"params": {}, "state": {}}
        for name, array in arrays.items():
            kind, _, key = name.partition("/")
            parts[kind][key] = array
        return cls(step, parts["params"], parts["state"], losses, tuple(history)), settings


def train(settings: Settings, out: Path, folder: Path | None = None, resume: bool = False) -> float:
    """Train a network on the digits, print its way, and return its accuracy on the test images.

    Into a folder go ``checkpoint.safetensors``, after each epoch and where the training is stopped
    by Ctrl-C, and at the end ``weights.safetensors``, which the network's own ``load`` reads, and
    ``learning_curve.png``. A resumed training ends with the same numbers as one never stopped.

    Parameters
    ----------
    settings : Settings
        What is to be trained, and how. A resumed training takes these from the checkpoint, but for
        a larger number of epochs.
    out : path
        The folder, made if missing.
    folder : path, optional
        A folder with all of MNIST, in place of the digits that come with tinygraph.
    resume : bool
        Go on from the checkpoint in `out`.

    Raises
    ------
    ArgumentError
        If there is a checkpoint in `out` that is not to be resumed, or a setting makes no sense.
    FileError
        If there is none to resume, or a file cannot be read or written.
    MissingDependencyError
        If the engine is not installed.
    """
    checkpoint = out / "checkpoint.safetensors"
    if resume:
        now, before = Training.load(checkpoint)
        settings = Settings(**asdict(before) | {"epochs": max(settings.epochs, before.epochs)})
    elif checkpoint.exists():
        raise ArgumentError(
            f"train: {checkpoint} is there already. Go on from it with --resume, or choose another "
            "folder with --out."
        )
    make_ready(checkpoint, "train")
    array, quick = ENGINES[settings.engine]()
    optimizer = OPTIMIZERS[settings.optimizer](settings.lr or LEARNING_RATES[settings.optimizer])
    network = MODELS[settings.model](settings.seed)
    train_set, test_set = load_mnist(flatten=settings.model != "simple-conv-net", folder=folder)
    steps = len(train_set[0]) // settings.batch_size
    if not steps:
        raise ArgumentError(
            f"train: a batch of {settings.batch_size} is more than {len(train_set[0])} images."
        )
    if not resume:
        params = {name: one.numpy() for name, one in network.params.items()}
        now = Training(0, params, optimizer.start(params), 0.0, ())

    @quick
    def taken(params: Any, state: Any, x: Any, t: Any) -> tuple[Any, Any, Any]:
        loss, grads = tg.value_and_grad(lambda params: network.over(params).loss(x, t))(params)
        return *optimizer.step(params, grads, state), loss

    print(f"   {'epoch':>5}  {'loss':>7}  {'accuracy':>8}  {'on test images':>14}")
    now = now._replace(
        params={name: array(one) for name, one in now.params.items()},
        state={name: array(one) for name, one in now.state.items()},
    )
    try:
        numbers, say = progress(range(now.step, settings.epochs * steps))
        for number in numbers:
            epoch, place = divmod(number, steps)
            # Its order follows from the epoch alone, so that a resumed one sees the same.
            order = np.random.default_rng([settings.seed, epoch]).permutation(len(train_set[0]))
            batch = order[place * settings.batch_size :][: settings.batch_size]
            x, t = (part[batch] for part in train_set)
            params, state, loss = taken(now.params, now.state, array(x), array(t.astype("int32")))
            losses, history = now.losses + float(loss), now.history
            if place == steps - 1:
                part = network.over(params), array
                history += ({
                    "loss": losses / steps,
                    "accuracy": accuracy(*part, *(one[: len(test_set[0])] for one in train_set)),
                    "test accuracy": accuracy(*part, *test_set),
                },)  # fmt: skip
                losses = 0.0
            now = Training(number + 1, params, state, losses, history)
            if place == steps - 1:
                now.save(checkpoint, settings)
                say(f"   {epoch + 1:5}  " + "  ".join(
                    f"{one:{width}.4f}"
                    for one, width in zip(history[-1].values(), (7, 8, 14), strict=True)
                ))  # fmt: skip
    except KeyboardInterrupt:
        now.save(checkpoint, settings)
        print(f"\nStopped after {now.step} steps, which are kept in {checkpoint}.")
        raise
    for name, one in now.params.items():
        network.params[name] = tg.tensor(one).numpy()
    network.save(out / "weights.safetensors")
    try:
        draw_curve(list(now.history), out / "learning_curve.png")
    except MissingDependencyError as error:
        print(f"   the learning curve: not drawn. {error}")
    return now.history[-1]["test accuracy"]


def accuracy(network: Network, array: Callable, x: np.ndarray, t: np.ndarray) -> float:
    """Return the share of images that a network over an engine's arrays names rightly."""
    pieces = [slice(at, at + TESTED_AT_ONCE) for at in range(0, len(x), TESTED_AT_ONCE)]
    right = sum(network.accuracy(array(x[one]), t[one]) * len(x[one]) for one in pieces)
    return right / len(x)


def make_ready(path: Path, command: str) -> None:
    """Make a file's folder, and find out before the work whether the file can be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
        reason = "it is a folder" if path.is_dir() else None
    except OSError as error:
        reason = error.strerror
    if reason is not None:
        raise FileError(
            f"{command}: {path} cannot be written: {reason}. Choose another place for it."
        )


def progress(steps: range) -> tuple[Iterable[int], Callable[[str], Any]]:
    """Return the steps, shown as a bar on a terminal, and what prints a line beside the bar."""
    try:
        from tqdm import tqdm  # type: ignore[import-untyped]
    except ImportError:
        return steps, print
    return tqdm(steps, unit=" steps", leave=False, disable=None), tqdm.write


def draw_curve(history: list[dict[str, float]], path: Path) -> None:
    """Draw loss and accuracy over the epochs, as a PNG."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError(
            "It needs the package matplotlib: pip install matplotlib"
        ) from error
    trained, tested = LIGHT["input border"], LIGHT["param border"]
    epochs = range(1, len(history) + 1)
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(epochs, [now["loss"] for now in history], color=trained)
    left.set(title="loss on the training images", ylim=(0, None))
    for kind, look in (
        ("accuracy", {"color": trained, "label": "training images"}),
        ("test accuracy", {"color": tested, "linestyle": "--", "label": "test images, never seen"}),
    ):
        right.plot(epochs, [now[kind] for now in history], **look)
    right.set(title="accuracy", ylim=(None, 1))
    right.legend(loc="lower right", frameon=False)
    for axes in (left, right):
        axes.set(xlabel="epoch", xticks=range(0, len(history) + 1, 5))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    content = BytesIO()
    figure.savefig(content, format="png", dpi=160)
    write(path, content.getvalue())
