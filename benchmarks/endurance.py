"""Train, draw, save and load for minutes: does anything grow?

    python -m benchmarks.endurance [--minutes 10] [--traced]

Ten readings, so that in ten minutes there is one a minute: the memory of the process, the objects
that Python's collector knows (after it has run, so that garbage is not counted), and the files,
child processes, threads and files of its folder that are there. It fails if one of them grew
between the first reading and the last. The first comes after a tenth of the time, when all that is
made once is there. It reads /proc, so it needs Linux.
"""

import argparse
import gc
import os
import sys
import tempfile
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from time import monotonic

from . import single_threaded

MEGABYTE = 1e6
# What each figure may grow by: the memory by what an allocator's arenas vary by.
ALLOWED = {
    "MB": 4.0, "MB traced": 0.1, "objects": 20, "open files": 0, "processes": 0, "threads": 0,
    "files": 0,
}  # fmt: skip


def rounds(folder: Path) -> Iterator[int]:
    """Train on the real digits for ever, with a picture, a file and a mistake now and then.

    Yields the number of steps done. Every answer on the way is checked.
    """
    import numpy as np

    import tinygraph as tg
    from tinygraph.models import TwoLayerNet
    from tinygraph.models.data import load_mnist
    from tinygraph.viz import render

    (x_train, t_train), (x_test, t_test) = load_mnist()
    rng = np.random.default_rng(0)
    network, other = (TwoLayerNet(784, 50, 10, rng=seed) for seed in (0, 1))
    kinds, steps = ("svg", "html", "dot", "png"), 0
    path, damaged = folder / "weights", folder / "damaged"
    while True:
        for _ in range(50):
            chosen = rng.integers(0, len(x_train), 100)
            loss = network.loss(x_train[chosen], t_train[chosen])
            loss.backward()
            for key, W in network.params.items():
                network.params[key] -= 0.1 * W.grad
                W.grad = None
            steps += 1
        render(loss, folder / f"loss.{kinds[steps // 50 % 4]}")
        network.save(path)
        other.load(path)
        damaged.write_bytes(path.read_bytes()[:-1])
        with suppress(tg.FileError):
            other.load(damaged)
            raise AssertionError("a file that is cut off was loaded")
        for key, W in tg.load(path).items():
            assert np.array_equal(W, network.params[key].numpy()), key
        right = network.accuracy(x_test, t_test)
        assert right == other.accuracy(x_test, t_test), "what was loaded predicts something else"
        assert steps < 1000 or right > 0.85, right
        yield steps


def reading(folder: Path) -> dict[str, float]:
    """Return what this process holds now."""
    gc.collect()
    status = Path("/proc/self/status").read_text()
    found = {"MB": 1024 * int(status.split("VmRSS:")[1].split()[0]) / MEGABYTE}
    if tracemalloc.is_tracing():
        found["MB traced"] = tracemalloc.get_traced_memory()[0] / MEGABYTE
    tasks = list(Path("/proc/self/task").iterdir())
    return found | {
        "objects": len(gc.get_objects()),
        "open files": len(os.listdir("/proc/self/fd")),
        "processes": sum(len((task / "children").read_text().split()) for task in tasks),
        "threads": len(tasks),
        "files": len(os.listdir(folder)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.endurance",
                                     description=__doc__.split("\n")[0])  # fmt: skip
    parser.add_argument("--minutes", type=float, default=10, help="in all (default: 10)")
    parser.add_argument("--traced", action="store_true",
                        help="count Python's own memory too, with tracemalloc: slower")  # fmt: skip
    options = parser.parse_args()
    if options.minutes <= 0:
        parser.error("--minutes: more than 0")
    if not Path("/proc/self/status").exists():
        parser.error("it reads /proc, which this system has not")
    single_threaded()
    if options.traced:
        tracemalloc.start()
    with tempfile.TemporaryDirectory() as name:
        start, readings = monotonic(), []
        for steps in rounds(Path(name)):
            minutes = (monotonic() - start) / 60
            if minutes * 10 < options.minutes * (len(readings) + 1) or steps < 1000:
                continue
            readings.append(reading(Path(name)))
            if len(readings) == 1:
                print("minutes", "steps", *readings[0], sep=" | ")
            cells = (
                f"{one:.2f}" if isinstance(one, float) else one for one in readings[-1].values()
            )
            print(f"{minutes:.1f}", f"{steps:,}", *cells, sep=" | ", flush=True)
            if len(readings) == 10:
                break
    first, last = readings[0], readings[-1]
    grown = [what for what in first if last[what] - first[what] > ALLOWED[what]]
    if grown:
        sys.exit(f"endurance: not flat: {', '.join(grown)}")
    print("flat")


if __name__ == "__main__":
    main()
