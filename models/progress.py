"""What a command shows of long work: that its files can be written, a bar, a learning curve."""

import tempfile
from collections.abc import Callable, Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

from tinygraph.errors import FileError, MissingDependencyError
from tinygraph.saving import write
from tinygraph.viz.style import LIGHT

HEAD = f"   {'epoch':>5}  {'loss':>7}  {'accuracy':>8}  {'on test images':>14}"


def row(epoch: int, figures: dict[str, float]) -> str:
    """Write what an epoch came to, under `HEAD`."""
    loss, accuracy, tested = figures.values()
    return f"   {epoch:5}  {loss:7.4f}  {accuracy:8.4f}  {tested:14.4f}"


def conclusion(figures: dict[str, float], images: int) -> str:
    """Say what the last epoch came to on so many test images."""
    return (
        f"\n   Test accuracy: {figures['test accuracy']:.4f}, "
        f"of {images:,} images that the network has not seen."
    )


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
        from tqdm import tqdm
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
