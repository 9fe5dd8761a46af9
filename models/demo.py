"""The whole story on real digits: check the gradients, train, test, draw."""

import json
import time
from pathlib import Path

import numpy as np

import tinygraph as tg
from tinygraph.errors import MissingDependencyError
from tinygraph.saving import write
from tinygraph.viz import render

from . import by_hand
from .data import Set, load_mnist
from .progress import HEAD, conclusion, draw_curve, make_ready, progress, row
from .two_layer_net import TwoLayerNet

SIZES = (784, 50, 10)
CHECKED = 3  # images of the gradient check
BATCH = 100
LEARNING_RATE = 0.1
EPOCHS = 20
REPORTED = (1, 5, 10, 20)  # the epochs that get a line


def demo(seed: int, out: Path, json_file: Path | None = None) -> None:
    """Run the story and print it; write its pictures into a folder.

    Parameters
    ----------
    seed : int
        Of all that is drawn by chance; the same seed gives the same numbers.
    out : path
        The folder, made if missing.
    json_file : path, optional
        Where to write the figures too.

    Raises
    ------
    FileError
        If a file cannot be written: found out before the work where it can be.
    """
    began = time.perf_counter()
    graph, curve = out / "graph.svg", out / "learning_curve.png"
    for path in (graph, curve, json_file):
        if path is not None:
            make_ready(path, "demo")
    train_set, test_set = load_mnist()

    print("1. Are the gradients right?")
    found = check_gradients(seed, *(part[:CHECKED] for part in train_set))

    print("\n2. Training")
    network, history = train(seed, train_set, test_set)
    test_accuracy = history[-1]["test accuracy"]
    print(conclusion(history[-1], len(test_set[1])))

    print("\n3. Pictures")
    example = tuple(part[:BATCH] for part in train_set)
    files = []
    for path, what, draw in (
        (graph, "the computation graph", lambda path: render(network.loss, path, args=example)),
        (curve, "the learning curve", lambda path: draw_curve(history, path)),
    ):
        try:
            draw(path)
        except MissingDependencyError as error:
            print(f"   {what}: not drawn. {error}")
        else:
            print(f"   {what}: {path}")
            files.append(str(path))

    if json_file is not None:
        figures = {"gradient_check": found, "test_accuracy": test_accuracy, "files": files}
        write(json_file, (json.dumps(figures, indent=2) + "\n").encode())
        print(f"   the figures: {json_file}")
    print(f"\nDone in {time.perf_counter() - began:.0f} seconds.")


# ---------------------------------------------------------------- the gradient check


def check_gradients(seed: int, x: np.ndarray, t: np.ndarray) -> dict[str, dict[str, float]]:
    """Compare the gradients of two networks of the same weights with numbers; print the table.

    Returns the mean and the maximum difference of tinygraph's for each parameter.
    """
    network = TwoLayerNet(*SIZES, rng=seed)
    notebook = by_hand.TwoLayerNet(*SIZES, rng=seed, mistake=True)
    print(
        f"   |gradient - numerical gradient| for the first {len(x)} training images, "
        f"{SIZES[1]} hidden,\n"
        "   float64. What is below 1e-9 is the rounding of the numerical one.",
        flush=True,
    )
    numbers = network.numerical_gradient(x, t)
    ours, theirs = network.gradient(x, t), notebook.gradient(x, t)

    print(f"\n   {'':6}{'tinygraph':20}the notebook's layers, written by hand")
    print(f"   {'':6}{'mean':10}{'max':10}{'mean':10}max")
    found = {}
    for key, number in numbers.items():
        mine = found[key] = difference(ours[key], number)
        hand = difference(theirs[key], number)
        line = "".join(f"{one:<10.1e}" for one in (*mine.values(), *hand.values()))
        if theirs[key].shape != number.shape:
            line += f"shape {theirs[key].shape}, not {number.shape}"
        print(f"   {key:6}{line}".rstrip())
    print(
        "\n   The notebook's gradient() returns dW where db belongs. NumPy broadcasts the\n"
        "   difference of the two shapes, and its mean looked like a small error."
    )
    return found


def difference(gradient: np.ndarray, number: np.ndarray) -> dict[str, float]:
    """Return the mean and the maximum absolute difference, as the notebook took it: broadcast."""
    apart = np.abs(gradient - number)
    return {"mean": float(apart.mean()), "max": float(apart.max())}


# ---------------------------------------------------------------- training


def train(seed: int, train_set: Set, test_set: Set) -> tuple[TwoLayerNet, list[dict[str, float]]]:
    """Train as the book does; print some epochs and return the network and all of them."""
    x_train, t_train = train_set
    rng = np.random.default_rng(seed)
    network = TwoLayerNet(*SIZES, rng=rng, dtype="float32")
    steps = len(x_train) // BATCH
    print(
        f"   {EPOCHS} epochs of {steps} steps, batches of {BATCH}, "
        f"learning rate {LEARNING_RATE}, float32.\n\n{HEAD}"
    )
    history = []
    numbers, say = progress(range(1, EPOCHS * steps + 1))
    for step in numbers:
        batch = rng.choice(len(x_train), BATCH)
        grad = network.gradient(x_train[batch], t_train[batch])
        for key in ("W1", "b1", "W2", "b2"):
            network.params[key] -= LEARNING_RATE * grad[key]

        epoch, rest = divmod(step, steps)
        if rest:
            continue
        with tg.no_grad():
            loss = network.loss(x_train, t_train).item()
        now = {
            "loss": loss,
            "accuracy": network.accuracy(x_train, t_train),
            "test accuracy": network.accuracy(*test_set),
        }
        history.append(now)
        if epoch in REPORTED:
            say(row(epoch, now))
    return network, history
