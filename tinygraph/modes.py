"""What holds while operations run: whether they are recorded, in which scope, for whom."""

from collections.abc import Callable
from contextlib import ContextDecorator, nullcontext, suppress
from contextvars import ContextVar
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from typing import Any

from .errors import DTypeError, GraphError


class Scope:
    """A named region of a graph: what was recorded inside one ``with scope(name)``."""

    __slots__ = ("name", "parent")

    def __init__(self, name: str, parent: "Scope | None"):
        self.name = name
        self.parent = parent


def seed(generator: Any) -> int:
    """Draw a seed."""
    return int(generator.integers(2**63))


class Modes:
    """What holds while an operation runs; read once for each, never changed in place."""

    recording: bool
    everything: bool  # also what depends on traced leaves without a gradient
    transforming: bool  # inside a function that a transform calls
    scope: Scope | None
    levels: tuple  # of the transforms that look at each operation, the innermost last
    batches: tuple  # the maps over a batch that are in progress
    seed: Callable  # draws seeds: the same ones where a function runs again
    again: bool  # whether it does: what it changes for good has been changed before
    anomaly: Any  # looks at what each operation and each step back gives
    trace: Any  # notes what NumPy is called for
    watched: bool  # whether everything, anomaly or trace is set: the way to ask for all
    outer: "Modes | None" = None  # what held before the block that changed it
    changes: dict
    block: int  # which block that was

    def __init__(self, outer: "Modes | None", changes: dict, block: int = 0):
        if outer is not None:
            self.__dict__.update(outer.__dict__)
        self.__dict__.update(changes)
        self.outer, self.changes, self.block = outer, changes, block
        self.watched = bool(self.everything or self.anomaly or self.trace)

    def without(self, block: int) -> "Modes":
        """Return what holds when a block ends, which need not be the one that began last."""
        above, then = [], self
        while then.outer is not None and then.block != block:
            above.append(then)
            then = then.outer
        if then.outer is None:
            raise GraphError(
                "a block of no_grad, scope or the like ends in another thread or asynchronous task "
                "than it began in, where it goes on. Let one of them run all of a generator."
            )
        then = then.outer
        for one in reversed(above):
            then = Modes(then, one.changes, one.block)
        return then


# One for each thread and each asynchronous task, so that they do not meet in it.
MODES: ContextVar[Modes] = ContextVar("tinygraph", default=Modes(None, {  # noqa: B039 (not changed)
    "recording": True, "everything": False, "transforming": False, "scope": None, "levels": (),
    "batches": (), "seed": seed, "again": False, "anomaly": None, "trace": None,
}))  # fmt: skip


def outside(level: int) -> Any:
    """Make a block that is outside of the map over a batch of a level, and of those within it."""
    batches = MODES.get().batches
    left = tuple(one for one in batches if one.level < level)
    return modes(batches=left) if len(left) < len(batches) else nullcontext()


class modes(ContextDecorator):
    """Run a block, or a decorated function, under changed modes.

    Generators that are in the middle of such a block leave it on for whoever runs them, and may
    leave it in any order.
    """

    ended = True

    def __init__(self, **changes: Any):
        self.changes = changes

    def _recreate_cm(self) -> "modes":  # for each call of a decorated function
        return modes(**self.changes)

    def __call__(self, f: Any) -> Any:
        """Decorate a function."""
        if isgeneratorfunction(f) or iscoroutinefunction(f) or isasyncgenfunction(f):
            raise DTypeError(
                f"{f.__name__!r} runs step by step, after the call that a decorator sees. "
                "Use a with statement inside it, around what it computes."
            )
        return super().__call__(f)

    def __enter__(self) -> Modes:
        then = Modes(MODES.get(), self.changes, id(self))
        self.ended = False
        MODES.set(then)
        return then

    def __exit__(self, *error: object) -> None:
        MODES.set(MODES.get().without(id(self)))
        self.ended = True

    def __del__(self) -> None:
        if not self.ended:  # an interrupt came before Python had called __exit__, or just then
            with suppress(GraphError):
                modes.__exit__(self)


def no_grad() -> modes:
    """Record nothing inside: a context manager and a decorator.

    Examples
    --------
    >>> import tinygraph as tg
    >>> x = tg.tensor(3.0, requires_grad=True)
    >>> with tg.no_grad():
    ...     y = x * x
    >>> y.requires_grad
    False
    """
    return modes(recording=False)


def enable_grad() -> modes:
    """Record again inside a `no_grad`: a context manager and a decorator."""
    return modes(recording=True)


class scope(modes):
    """Name the region of the graph that is recorded inside; scopes nest.

    A context manager and a decorator.

    Parameters
    ----------
    name : str

    Examples
    --------
    >>> import tinygraph as tg
    >>> with tg.scope("Affine1"):
    ...     y = tg.tensor([1.0], requires_grad=True) * 2
    """

    def __init__(self, name: str):
        self.name = str(name)

    def _recreate_cm(self) -> "scope":
        return scope(self.name)

    def __enter__(self) -> Modes:
        self.changes = {"scope": Scope(self.name, MODES.get().scope)}
        return super().__enter__()
