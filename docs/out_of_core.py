"""The gradient of a logistic regression on more data than its two processes may hold in memory.

    python docs/out_of_core.py --folder /tmp/data

dask reads the data piece by piece, in the worker processes of a cluster on this machine, and puts
the parts of the gradient together. The loss is written as for arrays in memory.
"""

import argparse
import json
import resource
from pathlib import Path

import dask
import dask.array as da
import numpy as np
from dask.distributed import Client, LocalCluster

import tinygraph as tg

COLUMNS, ROWS = 100, 20_000  # of a piece, which is a file of 16 MB
MIB = 2**20


def loss(w, x, t):
    """Return the mean of log(1 + exp(−t·(x @ w))), for targets of −1 and 1."""
    return tg.mean(tg.logaddexp(0.0, -t * (x @ w)))


def piece(number):
    """Make one piece of the data, the targets in its last column."""
    rng = np.random.default_rng(number)
    x = rng.normal(size=(ROWS, COLUMNS))
    t = np.sign(x @ np.linspace(-1, 1, COLUMNS) + rng.normal(size=ROWS))
    return np.column_stack([x, t])


def read(folder, block_info=None):
    """Read the piece that a block is made of."""
    return np.load(folder / f"{block_info[None]['chunk-location'][0]}.npy")


def peak():
    """Return the most memory that this process has held, in bytes."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main():
    """Write the data, compute the gradient both ways, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, required=True, help="where the data goes")
    parser.add_argument("--limit", type=int, default=320, help="MiB of memory, for each process")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    count = -(-4 * 2 * options.limit * MIB // piece(0).nbytes)  # four times what both may hold
    for number in range(count):
        np.save(options.folder / f"{number}.npy", piece(number))
    w = np.linspace(0.5, -0.5, COLUMNS)

    cluster = LocalCluster(
        n_workers=2, threads_per_worker=1, memory_limit=options.limit * MIB, dashboard_address=None
    )
    with cluster, Client(cluster) as client:
        data = da.map_blocks(
            read, options.folder, chunks=((ROWS,) * count, (COLUMNS + 1,)), dtype=float
        )
        value, gradient = tg.value_and_grad(loss)(da.asarray(w), data[:, :-1], data[:, -1])
        value, gradient = dask.compute(value, gradient)
        peaks = client.run(peak)

    # The same by hand: a piece at a time, the gradient written out.
    by_hand = np.zeros(COLUMNS)
    for number in range(count):
        x, t = np.split(np.load(options.folder / f"{number}.npy"), [COLUMNS], axis=1)
        t = t[:, 0]
        by_hand += x.T @ (-t / (1 + np.exp(t * (x @ w)))) / (count * ROWS)
    figures = {
        "data, MiB": count * piece(0).nbytes // MIB,
        "limit of a process, MiB": options.limit,
        "peaks of the processes, MiB": [one // MIB for one in peaks.values()],
        "loss": float(value),
        "largest difference from the gradient by hand": float(abs(gradient - by_hand).max()),
        "largest entry of the gradient": float(abs(by_hand).max()),
    }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
