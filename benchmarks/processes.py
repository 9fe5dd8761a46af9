"""What needs a fresh process for every reading: the import, and how time and memory grow."""

import json
import os
import subprocess
import sys
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from time import perf_counter

from .measure import (
    AGAIN,
    AUTOGRAD,
    NUMPY,
    PEERS,
    RIGHT,
    TINYGRAPH,
    TORCH,
    WRONG,
    Table,
    agrees,
    compared,
    installed,
    interleaved,
)  # fmt: skip

DISTRIBUTIONS = {"tinygraph": "tinygraph-autograd"}  # where it is not called like its module
ROOT = Path(__file__).resolve().parents[1]


def versions() -> dict[str, str | None]:
    """Return the version of each module that has a row in a table, None if it isn't installed."""
    modules = dict.fromkeys(peer.partition(":")[0] for peer in PEERS.values())
    return {
        module: version(DISTRIBUTIONS.get(module, module)) if find_spec(module) else None
        for module in modules
    }


def fresh(program: str) -> dict:
    """Run a program in a process of its own and return the JSON that it prints."""
    # Compiled modules are kept, as they are where a package is installed.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, check=True,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    return json.loads(done.stdout)


# ---------------------------------------------------------------- import

IMPORT = """
from time import perf_counter
start = perf_counter()
import {}
print(perf_counter() - start)
"""


def imports(rounds: int) -> Table:
    """Time each import; what counts is how much longer it takes than that of NumPy."""
    names = [NUMPY, AGAIN, TINYGRAPH, TORCH, AUTOGRAD]
    readings = interleaved(
        {name: partial(fresh, IMPORT.format(PEERS[name])) for name in names
         if installed(name)},
        min(rounds, 15),
    )  # fmt: skip
    table = Table("import, in a fresh process", ("ms", "ms above NumPy"))
    for name in names:
        seconds = readings.get(name)
        table.rows[name] = seconds and (
            1e3 * median(seconds),
            1e3 * median(a - b for a, b in zip(seconds, readings[NUMPY], strict=True)),
        )
    return table


# ---------------------------------------------------------------- growth

SHORT, LONG = 10**5, 10**6
LIMIT = 13  # a factor of 10 in length, and what caches and the collector may add
FIRST, ADDED = 0.25, 0.5  # sums of these are exact


def sum_numpy(length):
    import numpy as np

    first, added, seed = (np.float64(one) for one in (FIRST, ADDED, 1))
    y, g_added = first, 0 * seed
    for _ in range(length):
        y = y + added
    for _ in range(length):
        g_added = g_added + seed
    return y, seed, g_added


def sum_tinygraph(length):
    import tinygraph as tg

    first, added = (tg.tensor(one, requires_grad=True) for one in (FIRST, ADDED))
    y = first
    for _ in range(length):
        y = y + added
    y.backward()
    return y.item(), first.grad.item(), added.grad.item()


def sum_torch(length):
    import torch

    first, added = (
        torch.tensor(one, dtype=torch.float64, requires_grad=True) for one in (FIRST, ADDED)
    )
    y = first
    for _ in range(length):
        y = y + added
    y.backward()
    return y.item(), first.grad.item(), added.grad.item()


# HIPS autograd is left out: it needs more than a minute for the long chain.
SUMS = {NUMPY: sum_numpy, TINYGRAPH: sum_tinygraph, TORCH: sum_torch}


def peak_memory() -> int | None:
    """Return the most bytes that this process has held, where Linux tells."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def sum_once(name: str, length: int) -> None:
    """Add up forward, walk back, drop it all; print the seconds and the bytes that it took."""
    total = SUMS[name]
    total(1000)
    before = peak_memory()
    start = perf_counter()
    answer = total(length)
    seconds = perf_counter() - start
    memory = before and peak_memory() - before
    right = agrees([*answer], [FIRST + length * ADDED, 1.0, float(length)])
    print(json.dumps({"seconds": seconds, "bytes": memory, "right": right}))


def growth(rounds: int) -> Table:
    """Time chains of two lengths; the quotient shows whether time grows with length alone."""
    names = [name for name in SUMS if installed(name)]
    program = "from benchmarks.processes import sum_once; sum_once({!r}, {})"
    readings = interleaved(
        {(name, length): partial(fresh, program.format(name, length))
         for name in names for length in (SHORT, LONG)},
        min(rounds, 5),
    )  # fmt: skip
    table = Table(
        f"y + b, {SHORT:,} and {LONG:,} times, 0-d, forward, backward and dropped",
        ("s, short", "s, long", "growth", "bytes a node", "answer"),
        note=f"growth is meant to stay below {LIMIT}",
    )
    for name in SUMS:
        if name not in names:
            table.rows[name] = None
            continue
        short, long = readings[name, SHORT], readings[name, LONG]
        seconds = [[one["seconds"] for one in some] for some in (short, long)]
        memory = long[0]["bytes"] is not None and median(one["bytes"] for one in long) / LONG
        table.rows[name] = (
            median(seconds[0]), median(seconds[1]), compared(seconds[1], seconds[0])[0],
            memory or None,
            RIGHT if all(one["right"] for one in short + long) else WRONG,
        )  # fmt: skip
    return table


CASES = {"import": imports, "growth": growth}
