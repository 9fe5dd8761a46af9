"""Training on the digits, on any engine, to be stopped and resumed: ``tinygraph train``."""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np

import tinygraph as tg
from tinygraph.errors import ArgumentError, FileError, MissingDependencyError

from .data import Set, load_mnist
from .mlp import MLP
from .network import Network
from .optimizers import SGD, Adam, Momentum
from .progress import HEAD, conclusion, draw_curve, make_ready, progress, row
from .simple_conv_net import SimpleConvNet
from .two_layer_net import TwoLayerNet

MODELS: dict[str, Callable[[Any], Network]] = {
    "two-layer-net": lambda rng: TwoLayerNet(784, 50, 10, rng=rng, dtype="float32"),
    "mlp": lambda rng: MLP(784, [100, 100], 10, rng=rng, dtype="float32"),
    "simple-conv-net": lambda rng: SimpleConvNet(rng=rng, dtype="float32"),
}
OPTIMIZERS: dict[str, type[SGD]] = {"sgd": SGD, "momentum": Momentum, "adam": Adam}
LEARNING_RATES = {"sgd": 0.1, "momentum": 0.01, "adam": 0.001}
ENGINES = ("numpy", "jax", "torch")
ARRAYS = ("params", "state")  # of a Training; its other fields are numbers
TESTED_AT_ONCE = 500  # images, so that their windows fit into memory


def engine_of(name: str) -> tuple[Callable, Callable]:
    """Return what makes an array of an engine, and what makes a step quick there."""
    try:
        module = import_module(name)
    except ImportError as error:
        raise MissingDependencyError(
            f"train: the engine {name} is not installed: pip install {name}"
        ) from error
    if name == "torch":
        return module.asarray, lambda step: step
    return (np.asarray, tg.compile) if name == "numpy" else (module.numpy.asarray, module.jit)


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

    Raises
    ------
    ArgumentError
        If a name is in none of them, or a number is too small.
    """

    model: str = "two-layer-net"
    optimizer: str = "adam"
    engine: str = "numpy"
    epochs: int = 20
    batch_size: int = 100
    lr: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        known: dict[str, Collection[str]] = {
            "model": MODELS,
            "optimizer": OPTIMIZERS,
            "engine": ENGINES,
        }
        for name, choices in known.items():
            if (value := getattr(self, name)) not in choices:
                raise ArgumentError(f"train: {name} {value!r} is none of {', '.join(choices)}.")
        for name, least in {"epochs": 1, "batch_size": 1, "seed": 0}.items():
            if (value := getattr(self, name)) < least:
                raise ArgumentError(f"train: {name} is {value}, less than {least}.")


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
        Loss, accuracy and test accuracy of each whole epoch; the accuracy is that of as many
        training images as there are test images.
    data : int
        A checksum of the images' labels.
    """

    step: int
    params: Mapping[str, Any]
    state: Mapping[str, Any]
    losses: float
    history: tuple[dict[str, float], ...]
    data: int

    def save(self, path: str | PathLike[str], settings: Settings) -> None:
        """Write a checkpoint, whole or not at all."""
        more = {name: one for name, one in self._asdict().items() if name not in ARRAYS}
        text = json.dumps(asdict(settings) | more)
        entries = {"training": np.frombuffer(text.encode(), np.uint8)}
        for kind in ARRAYS:
            arrays = getattr(self, kind).items()
            entries |= {f"{kind}/{name}": tg.tensor(one).numpy() for name, one in arrays}
        tg.save(path, entries)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> tuple["Training", Settings]:
        """Read a checkpoint; raises FileError if it is none."""
        arrays = {name: one.numpy() for name, one in tg.load(path).items()}
        try:
            told = json.loads(arrays.pop("training").tobytes())
            parts: dict[str, Any] = {kind: {} for kind in ARRAYS}
            for name, array in arrays.items():
                kind, _, key = name.partition("/")
                parts[kind][key] = array
            more = {name: told.pop(name) for name in cls._fields if name not in ARRAYS}
            settings = Settings(**told)
            more |= {"step": int(more["step"]), "history": tuple(more["history"])}
        except (KeyError, ValueError, TypeError) as error:
            raise FileError(f"train: {str(path)!r} is no checkpoint of a training.") from error
        return cls(**parts, **more), settings


def train(out: Path, folder: Path | None = None, resume: bool = False, **given: Any) -> None:
    """Train a network on the digits, print how it goes, and keep it in files.

    Into a folder go ``checkpoint.safetensors``, after each epoch and where the training is stopped
    by Ctrl-C, and at the end ``weights.safetensors``, which the network's own ``load`` reads, and
    ``learning_curve.png``. A resumed training ends with the same numbers as one never stopped.

    Parameters
    ----------
    out : path
        The folder, made if missing.
    folder : path, optional
        A folder with all of MNIST, in place of the digits that come with tinygraph.
    resume : bool
        Go on from the checkpoint in `out`, with its settings.
    **given
        Fields of `Settings`; of a resumed training, ``epochs`` alone.

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
        if other := [name for name in given if name != "epochs"]:
            raise ArgumentError(
                f"train: {', '.join(other)} cannot change: --resume takes it from {checkpoint}."
            )
        now, settings = Training.load(checkpoint)
        settings = replace(settings, epochs=max(settings.epochs, given.get("epochs", 0)))
    elif checkpoint.exists():
        raise ArgumentError(
            f"train: {checkpoint} is there already. Go on from it with --resume, or choose another "
            "folder with --out."
        )
    else:
        settings = Settings(**given)
    make_ready(checkpoint, "train")
    array, quick = engine_of(settings.engine)
    rate = LEARNING_RATES[settings.optimizer] if settings.lr is None else settings.lr
    optimizer = OPTIMIZERS[settings.optimizer](rate)
    network = MODELS[settings.model](settings.seed)
    train_set, test_set = load_mnist(flatten=settings.model != "simple-conv-net", folder=folder)
    count = len(train_set[0])
    steps = count // settings.batch_size
    if not steps:
        raise ArgumentError(f"train: a batch of {settings.batch_size} is more than {count} images.")
    data = crc32(train_set[1].tobytes())
    if not resume:
        params = {name: one.numpy() for name, one in network.params.items()}
        now = Training(0, params, optimizer.start(params), 0.0, (), data)
    elif now.data != data:
        raise ArgumentError(f"train: {checkpoint} is of other images; give --data as before.")
    now = now._replace(
        params={name: array(one) for name, one in now.params.items()},
        state={name: array(one) for name, one in now.state.items()},
    )

    @quick
    def after(params: Any, state: Any, x: Any, t: Any) -> tuple[Any, Any, Any]:
        loss, grads = tg.value_and_grad(lambda params: network.over(params).loss(x, t))(params)
        return *optimizer.step(params, grads, state), loss

    print(
        f"   {settings.model} on {settings.engine}, float32: {settings.epochs} epochs of {steps} "
        f"steps with {settings.batch_size} images,\n"
        f"   {settings.optimizer} with learning rate {rate}.\n\n{HEAD}"
    )
    try:
        numbers, say = progress(range(now.step, settings.epochs * steps))
        for number in numbers:
            epoch, place = divmod(number, steps)
            # Its order follows from the epoch alone, so that a resumed one sees the same.
            order = np.random.default_rng([settings.seed, epoch]).permutation(count)
            batch = order[place * settings.batch_size :][: settings.batch_size]
            x, t = (part[batch] for part in train_set)
            params, state, loss = after(now.params, now.state, array(x), array(t.astype("int32")))
            losses, history = now.losses + float(loss), now.history
            if place == steps - 1:
                trained = network.over(params)
                x, t = (one[: len(test_set[0])] for one in train_set)
                history += ({
                    "loss": losses / steps,
                    "accuracy": accuracy(trained, array, (x, t)),
                    "test accuracy": accuracy(trained, array, test_set),
                },)  # fmt: skip
                losses = 0.0
            now = Training(number + 1, params, state, losses, history, data)
            if place == steps - 1:
                now.save(checkpoint, settings)
                say(row(epoch + 1, history[-1]))
    except KeyboardInterrupt:
        now.save(checkpoint, settings)
        print(f"\nStopped after {now.step} steps; --resume goes on from {checkpoint}.")
        raise

    print(conclusion(now.history[-1], len(test_set[1])))
    weights, curve = out / "weights.safetensors", out / "learning_curve.png"
    for name, one in now.params.items():
        network.params[name] = tg.tensor(one).numpy()
    network.save(weights)
    print(f"   the weights: {weights}")
    try:
        draw_curve(list(now.history), curve)
    except MissingDependencyError as error:
        print(f"   the learning curve: not drawn. {error}")
    else:
        print(f"   the learning curve: {curve}")


def accuracy(network: Network, array: Callable, images: Set) -> float:
    """Return the share of images that a network over an engine's arrays names rightly."""
    x, t = images
    pieces = [slice(at, at + TESTED_AT_ONCE) for at in range(0, len(x), TESTED_AT_ONCE)]
    right = sum(network.accuracy(array(x[one]), t[one]) * len(x[one]) for one in pieces)
    return right / len(x)
