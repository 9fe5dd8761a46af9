"""Rounds, ratios within a round, the comparison of answers, and the tables they end in."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from statistics import median
from time import perf_counter

import numpy as np

NUMPY, AGAIN = "NumPy by hand", "NumPy again (A/A)"
BUFFERS = "NumPy, out= buffers"
TINYGRAPH, GRADIENT = "tinygraph", "tinygraph, gradient()"
COMPILED = "tinygraph, compile()"
WATCHED = "in detect_anomaly()"
TORCH, AUTOGRAD, MYGRAD = "PyTorch eager", "HIPS autograd", "MyGrad"
DEZERO, JAX = "DeZero", "jax.jit"

RIGHT, WRONG = "right", "WRONG"  # what a table says of an answer

# What each row of a table needs to have installed, a name in a module where there is a colon. A new
# peer is one line here, and one more function in each case that it takes part in.
PEERS = {
    NUMPY: "numpy",
    AGAIN: "numpy",
    BUFFERS: "numpy",
    TINYGRAPH: "tinygraph",
    GRADIENT: "tinygraph",
    COMPILED: "tinygraph:compile",
    WATCHED: "tinygraph",
    TORCH: "torch",
    AUTOGRAD: "autograd",
    MYGRAD: "mygrad",
    DEZERO: "dezero",
    JAX: "jax",
}


def installed(peer: str) -> bool:
    module, _, name = PEERS[peer].partition(":")
    found = find_spec(module) is not None
    return found and (not name or hasattr(import_module(module), name))


# ---------------------------------------------------------------- rounds


def interleaved(clocks: dict[str, Callable], rounds: int) -> dict[str, list]:
    """Call each clock once a round, in another order each round; return what each one said."""
    readings: dict[str, list] = {name: [] for name in clocks}
    order, shuffler = list(clocks), random.Random(0)
    for _ in range(rounds):
        shuffler.shuffle(order)
        for name in order:
            readings[name].append(clocks[name]())
    return readings


def compared(ours: list[float], theirs: list[float]) -> tuple[float, float, float]:
    """Return the median and the quartiles of the ratios within the rounds."""
    low, middle, high = np.percentile(np.divide(ours, theirs), [25, 50, 75])
    return float(middle), float(low), float(high)


def seconds_of(run: Callable, repeats: int) -> float:
    """Return the seconds that one call takes, averaged over some."""
    start = perf_counter()
    for _ in range(repeats):
        run()
    return (perf_counter() - start) / repeats


# ---------------------------------------------------------------- answers


def agrees(answer: list, reference: list) -> bool:
    """Whether two lists of arrays have the same shapes and, entry by entry, the same numbers.

    Every entry has to be right for itself, so that a sign or two entries exchanged are seen.
    """
    if len(answer) != len(reference):
        return False
    for ours, theirs in zip(answer, reference, strict=True):
        ours, theirs = np.asarray(ours), np.asarray(theirs)
        relative = 2e-3 if theirs.dtype == np.float32 else 1e-7
        absolute = relative * 1e-2 * np.max(np.abs(theirs))  # what cancelled is only rounding
        if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
            return False
        if not np.all(np.abs(ours - theirs) <= absolute + relative * np.abs(theirs)):
            return False
    return True


def demand_sharp(reference: list) -> None:
    """Fail if the comparison would pass a wrong sign or entries in another order."""
    for i, array in enumerate(reference):
        array = np.asarray(array)
        mistakes = [-array]
        if array.size > 1:
            mistakes += [np.roll(array, 1), array.ravel()[::-1].reshape(array.shape)]
        for wrong in mistakes:
            if agrees([*reference[:i], wrong, *reference[i + 1 :]], reference):
                raise AssertionError(f"answer {i} of the reference cannot tell right from wrong")


# ---------------------------------------------------------------- a case, and its table


@dataclass
class Table:
    """Rows of figures under a title; None where a peer is not installed."""

    title: str
    columns: tuple[str, ...]
    rows: dict[str, tuple | None] = field(default_factory=dict)
    note: str = ""

    @property
    def right(self) -> bool:
        """Whether every answer that there is was the one of hand-written NumPy."""
        answers = [figures[-1] for figures in self.rows.values() if figures]
        return self.columns[-1] != "answer" or all(answer == RIGHT for answer in answers)

    def as_dict(self) -> dict:
        rows = {
            name: figures and dict(zip(self.columns, figures, strict=True))
            for name, figures in self.rows.items()
        }
        return {"title": self.title, "rows": rows}

    def __str__(self) -> str:
        """Return the table as Markdown, with its columns aligned."""
        lines = [("", *self.columns), *self.cells()]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.columns) + 1)]
        lines.insert(1, tuple("-" * width for width in widths[:1]) + tuple(
            "-" * (width - 1) + ":" for width in widths[1:]
        ))  # fmt: skip
        aligned = (
            [line[0].ljust(widths[0])]
            + [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
            for line in lines
        )
        rows = "\n".join(f"| {' | '.join(line)} |" for line in aligned)
        return "\n\n".join([f"**{self.title}**", rows, *filter(None, [self.note])])

    def cells(self) -> list[tuple[str, ...]]:
        """Return the rows as texts."""
        missing = ("not installed", *[""] * (len(self.columns) - 1))
        return [
            (name, *(map(text_of, figures) if figures else missing))
            for name, figures in self.rows.items()
        ]


def text_of(cell: object) -> str:
    if isinstance(cell, tuple):
        return "–".join(text_of(one) for one in cell)
    if isinstance(cell, float):
        return f"{cell:.0f}" if cell >= 1000 else f"{cell:#.3g}".rstrip(".")
    return "–" if cell is None else str(cell)


@dataclass
class Case:
    """One thing that several engines compute, each in its own users' way.

    Attributes
    ----------
    title, unit : str
    scale : float
        What turns seconds of one call into the unit.
    ways : dict
        For each peer a function without arguments that returns two: ``run()``, which is timed, and
        ``answer()``, which gives the outcome of the last runs as a list of ndarrays.
    """

    title: str
    unit: str
    scale: float
    ways: dict[str, Callable]

    def measured(self, rounds: int) -> Table:
        """Compare every answer with NumPy's, then time all of them in interleaved rounds."""
        ways = {NUMPY: self.ways[NUMPY], AGAIN: self.ways[NUMPY], **self.ways}
        clocks, said, reference = {}, {}, None
        for name, way in ways.items():
            if not installed(name):
                continue
            try:
                run, answer = way()
                for _ in range(10):
                    run()
                if reference is None:
                    reference = answer()
                    demand_sharp(reference)
                said[name] = RIGHT if agrees(answer(), reference) else WRONG
            except Exception as error:
                if name == NUMPY:
                    raise
                said[name] = type(error).__name__
                continue
            repeats = max(1, round(0.01 / seconds_of(run, 3)))
            clocks[name] = partial(seconds_of, run, repeats)
        readings = interleaved(clocks, rounds)

        table = Table(self.title, (self.unit, "× NumPy", "quartiles", "× PyTorch", "answer"))
        for name in ways:
            if name not in said:
                table.rows[name] = None
            elif name not in readings:
                table.rows[name] = (None, None, None, None, said[name])
            else:
                ratio, low, high = compared(readings[name], readings[NUMPY])
                theirs = readings.get(TORCH)
                to_torch = theirs and compared(readings[name], theirs)[0]
                table.rows[name] = (
                    median(readings[name]) * self.scale, ratio, (low, high), to_torch, said[name],
                )  # fmt: skip
        return table
