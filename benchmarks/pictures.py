"""How long pictures of graphs take, from 100 to 100,000 nodes, and how large they are."""

import numpy as np

import tinygraph as tg
from tinygraph.errors import GraphError
from tinygraph.viz import to_dot

from .measure import Table, seconds_of

SIZES = (100, 1_000, 10_000, 100_000)
LIMIT = 30  # seconds that one layout may take
LAYER = 10  # nodes: seven operations and three parameters


def layers(count):
    """Record layers of one kind, each in its scope."""
    W, c, d = np.eye(4), np.zeros(4), np.ones(4)
    h = tg.tensor(np.ones((2, 4)), name="x")
    for i in range(count):
        with tg.scope(f"Layer{i + 1}"):
            W_, c_, d_ = (tg.tensor(one, requires_grad=True) for one in (W, c, d))
            h = tg.tanh(tg.relu(h @ W_ + c_) * d_ - 0.5) + h
    return h


def row(result, **options):
    """Draw a graph, and return the figures of a row."""
    drawing = to_dot(result, **options)
    figures = (drawing.size, seconds_of(lambda: to_dot(result, **options), 1))
    sizes = []

    def lay_out():
        sizes.append(len(drawing.pipe("svg", timeout=LIMIT)))

    try:
        laid_out = seconds_of(lay_out, 1)
    except GraphError:
        laid_out = None
    size = sizes[0] / 1e3 if sizes else None
    return (*figures, laid_out, len(drawing.source.encode()) / 1e3, size)


def pictures(rounds: int) -> Table:
    """Time each size once, folded as it is by default, and unfolded."""
    table = Table(
        "a picture of layers, by the nodes of the graph",
        ("boxes", "s, DOT", "s, layout", "kB of DOT", "kB of SVG"),
        note=f"– in the layout: not ready after {LIMIT} seconds, or not tried",
    )
    for size in SIZES:
        result = layers(size // LAYER)
        table.rows[f"{size:,}"] = row(result)
        table.rows[f"{size:,}, unfolded"] = row(result, fold=False)
    return table


CASES = {"pictures": [pictures]}
