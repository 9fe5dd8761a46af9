"""The checker for gradients that tinygraph did not compute: functions, layers and nets by hand."""

import copy
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy

from ..errors import ArgumentError, DTypeError, GradientError
from ..trees import flatten
from .comparison import Case, Subject, Tolerances, beside_exact, compare, weights
from .diagnosis import lengths, mended, not_finite, repeats, report
from .numerical import number


def check_gradient(
    f: Callable, gradient: Any, x: Any, *, rtol: float | None = None, atol: float | None = None
) -> None:
    """Check that a gradient written by hand is the gradient of a function.

    Parameters
    ----------
    f : callable
        A NumPy function: takes `x`, returns one real number.
    gradient : callable, array, or nested dicts, lists, tuples of arrays
        A function of `x` that returns what is to be checked, structured like `x`; or that itself.
    x : array_like, or nested dicts, lists, tuples of them
        Where: floating point arrays. They are not changed; the functions get copies.
    rtol, atol : float, optional
        What is allowed beside the numerical error, relative to an entry and to the largest entry:
        by default 1.5e-8 and a hundredth of that.

    Raises
    ------
    GradientError
        If it differs by more than the numerical error, or cannot be judged, as at a kink. The
        message says why, where a simple relation explains the difference, and lists the worst
        entries.
    DTypeError
        If `x` is not floating point.
    ArgumentError
        If the gradient is not structured like `x`.

    Examples
    --------
    >>> import numpy as np
    >>> import tinygraph as tg
    >>> tg.testing.check_gradient(lambda x: np.sum(x ** 2), lambda x: 2 * x, np.ones(3))
    """
    __tracebackhide__ = True
    leaves, join = flatten(x)
    given = {name: numpy.array(one) for name, one in zip(names_of(x), leaves, strict=True)}
    for name, array in given.items():
        if array.dtype.kind != "f":
            raise DTypeError(
                f"check_gradient: {name} has dtype {array.dtype}, and only floating point numbers "
                "have derivatives. Use .astype('float64')."
            )

    def gradients(arrays: dict[str, numpy.ndarray]) -> dict[str, Any]:
        found = gradient(join(arrays.values())) if callable(gradient) else gradient
        answers = flatten(found)[0] if found is not None else [None] * len(arrays)
        if len(answers) != len(arrays):
            raise ArgumentError(
                f"check_gradient: {len(answers)} gradients were returned for {len(arrays)} arrays."
            )
        return dict(zip(arrays, answers, strict=True))

    wide = {name: one.astype(numpy.float64) for name, one in given.items()}
    subject = Subject(wide, {}, lengths(wide), again=lambda: gradients(wide))
    found = faults("check_gradient", subject, lambda: f(join(wide.values())), (rtol, atol))
    if not found and any(one.dtype != numpy.float64 for one in given.values()):
        found = coarse_faults("check_gradient", subject, gradients(given), given, (rtol, atol))
    if found:
        raise GradientError(found)


def names_of(tree: Any, path: str = "x") -> list[str]:
    """Return a name for each leaf of a tree."""
    if isinstance(tree, dict):
        return [name for key, one in tree.items() for name in names_of(one, f"{path}[{key!r}]")]
    if isinstance(tree, list | tuple):
        return [name for i, one in enumerate(tree) for name in names_of(one, f"{path}[{i}]")]
    return [path]


def check_layer(
    layer: Any, x: Any, *args: Any, rtol: float | None = None, atol: float | None = None
) -> None:
    """Check the gradients that a layer written by hand computes.

    Its outputs are multiplied by fixed random weights and summed, and these weights are what
    `backward` is given: upstream gradients that are not 1.

    Parameters
    ----------
    layer : object
        Has ``forward(x, *args)`` and ``backward(dout)``, which returns the gradient of `x`. Every
        attribute dX with an array attribute X, there before forward, is a pair. Or a net: has
        ``loss(x, *args)``, ``gradient(x, *args)`` that returns a dict, and a dict `params`.
    x : ndarray
        The input. It is not changed; the layer gets copies. An integer one has no gradient.
    *args
        What `forward` or `loss` takes beside it, such as labels.
    rtol, atol : float, optional
        As in `check_gradient`.

    Raises
    ------
    GradientError
        If a gradient is missing, differs by more than the numerical error or cannot be judged, if
        forward changes its input, is not deterministic or not finite, or if backward raises. The
        message names all gradients that are wrong and says why, where a simple relation explains
        the difference.
    ArgumentError
        If `layer` is neither a layer nor a net.

    Examples
    --------
    >>> import numpy as np
    >>> import tinygraph as tg
    >>> from tinygraph.models.by_hand import Affine
    >>> affine = Affine(np.ones((2, 3)), np.zeros(3))
    >>> tg.testing.check_layer(affine, np.array([[1.0, 2.0], [3.0, 4.0]]))
    """
    __tracebackhide__ = True
    is_layer = hasattr(layer, "forward") and hasattr(layer, "backward")
    if not is_layer and not all(hasattr(layer, one) for one in ("loss", "gradient", "params")):
        raise ArgumentError(
            f"check_layer: {type(layer).__name__} has neither forward and backward, as a layer, "
            "nor loss, gradient and params, as a net."
        )
    kind = Layer if is_layer else Net
    x = numpy.array(x)
    wide = kind(*widened((layer, x, args)))
    subject = Subject(
        wide.arrays, {}, wide.sizes(), again=wide.again, layer=wide if is_layer else None
    )
    inputs = {"x": wide.x} | {f"argument {i + 1}": one for i, one in enumerate(wide.args)}
    name = type(layer).__name__
    try:
        found = faults(name, subject, wide.value, (rtol, atol), inputs)
        if not found and wide.object is not layer:
            wide.chance.restore()
            narrow = kind(layer, x, args)
            found = coarse_faults(name, subject, narrow.again(), narrow.arrays, (rtol, atol))
            narrow.chance.restore()
    finally:
        wide.chance.restore()
    if found:
        raise GradientError(found)


def widened(things: tuple) -> tuple:
    """Return objects with copies in float64 of all narrower arrays in them, or as they are."""
    narrow = {id(one): one for one in parts(things) if is_floating(one) and one.itemsize < 8}
    if not narrow:
        return things
    copies: dict[int, Any] = {key: one.astype(numpy.float64) for key, one in narrow.items()}
    try:
        return copy.deepcopy(things, copies)  # what is shared inside them stays shared
    except Exception:  # there are objects that cannot be copied: then in the narrow dtype
        return things


def coarse_faults(
    what: str,
    subject: Subject,
    coarse: dict[str, Any],
    arrays: dict[str, numpy.ndarray],
    tolerances: Tolerances,
) -> str:
    """Return a report of gradients in a narrow dtype that are not those in float64."""
    arrays = {name: arrays[name] for name in subject.gradients}
    cases = beside_exact(coarse, subject.gradients, arrays, tolerances, f"{what}: d", subject)
    return report(cases)


def faults(
    what: str,
    subject: Subject,
    value: Callable,
    tolerances: Tolerances,
    inputs: dict[str, Any] | None = None,
) -> str:
    """Return a report of what is wrong with a function and its gradients; nothing if all is right.

    `inputs` are arrays that neither may change, beside those of the subject.
    """
    guarded = {
        name: (array, array.copy())
        for name, array in (subject.arrays | (inputs or {})).items()
        if isinstance(array, numpy.ndarray)
    }

    def changed(by: str) -> str:
        found = [
            name for name, (array, before) in guarded.items()
            if not numpy.array_equal(array, before, equal_nan=array.dtype.kind == "f")
        ]  # fmt: skip
        for array, before in guarded.values():
            array[...] = before
        if not found:
            return ""
        names = " and ".join(found)
        return f"{what}: {by} changes {names} in place. Let it work on a copy ({found[0]}.copy())."

    forward, backward = ("forward", "backward") if subject.layer else ("the function", "gradient")
    with numpy.errstate(all="ignore"):
        result = value()
    if fault := changed(forward):
        return fault
    if fault := not_finite(value) or repeats(value):
        return f"{what}: {fault}"
    size = abs(number(result))
    dtypes = [one.dtype for one in (numpy.asarray(result), *subject.arrays.values())]
    narrow = next((str(one) for one in dtypes if one.kind == "f" and one.itemsize < 8), "")

    def measured(name: str, gradient: Any) -> Case:
        return compare(
            lambda moved: value(), subject.arrays[name], gradient, title=f"{what}: d{name}",
            name=name, value=size, tolerances=tolerances, subject=subject, narrow=narrow,
        )  # fmt: skip

    try:
        with numpy.errstate(all="ignore"):
            subject.gradients = subject.again()
    except Exception as error:
        if not subject.layer:
            raise
        unknown = (
            measured(name, numpy.full(array.shape, numpy.nan))
            for name, array in subject.arrays.items()
        )
        cure = next(filter(None, map(mended, unknown)), "it does not fit forward.")
        return f"{what}: backward raised {type(error).__name__}: {error}\nDiagnosis: {cure}"
    if fault := changed(backward):
        return fault
    unset = [
        f"{what}: d{name} was not computed: it is None."
        for name, one in subject.gradients.items() if one is None
    ]  # fmt: skip
    cases = [measured(name, one) for name, one in subject.gradients.items() if one is not None]
    return "\n\n".join(filter(None, [*unset, report(cases)]))


# ---------------------------------------------------------------- layers and nets of the book


class Net:
    """A net in the book's style, whose parameters are moved in place."""

    def __init__(self, net: Any, x: numpy.ndarray, args: tuple):
        self.object, self.x, self.args = net, x, args
        self.arrays = {
            name: one for name, one in net.params.items() if isinstance(one, numpy.ndarray)
        }
        if not self.arrays:
            raise ArgumentError(
                f"check_layer: params of {type(net).__name__} holds no arrays. A net that is made "
                "of tinygraph's operations is checked by check_grads."
            )
        self.chance = Chance(net)

    def value(self) -> Any:
        """Return the loss."""
        self.chance.restore()
        return self.object.loss(self.x, *self.args)

    def again(self) -> dict[str, Any]:
        """Return the gradients that the net computes."""
        self.chance.restore()
        found = self.object.gradient(self.x, *self.args)
        return {name: found.get(name) for name in self.arrays}

    def sizes(self) -> dict[str, int]:
        """Return what a factor may be equal to."""
        return batch_size(self.x) | lengths({"x": self.x})


class Layer:
    """A layer in the book's style: it can be run again with something changed."""

    def __init__(self, layer: Any, x: numpy.ndarray, args: tuple):
        if not hasattr(layer, "__dict__"):
            raise ArgumentError(
                f"check_layer: {type(layer).__name__} has __slots__, and its parameters and their "
                "gradients are looked for in __dict__. Check it without __slots__."
            )
        self.object, self.x, self.args = layer, x, args
        self.chance = Chance(layer)
        before = dict(vars(layer))
        kept = x.copy()
        with numpy.errstate(all="ignore"):
            self.out = numpy.array(layer.forward(x, *args))
        x[...] = kept  # that forward changes it is found, and said, later
        if self.out.dtype.kind != "f":
            raise DTypeError(
                f"check_layer: forward of {type(layer).__name__} returned {self.out.dtype}, and "
                "only floating point numbers have gradients."
            )
        # What forward has set is what it keeps for backward, and no parameter.
        self.arrays = {"x": x} if x.dtype.kind == "f" else {}
        self.arrays |= {
            name: one
            for name, one in before.items()
            if name != "x" and is_floating(one) and getattr(layer, name) is one
        }
        self.upstream = weights(self.out.shape, 0).astype(self.out.dtype)
        self.returned: dict[str, Any] = {}  # by layers inside this one

    def output(self, x: numpy.ndarray) -> numpy.ndarray:
        """Return what forward does."""
        self.chance.restore()
        return numpy.array(self.object.forward(x, *self.args))

    def value(self) -> Any:
        """Return the outputs times the weights, rounded to the dtype of the outputs."""
        total = (self.output(self.x).astype(numpy.float64) * self.upstream).sum()
        return self.out.dtype.type(total)

    def again(self, upstream: Any = None, between: Callable[[], Any] | None = None) -> dict:
        """Return the gradients of `x` and of each attribute X for which there is a dX.

        `between` is called after forward and before backward.
        """
        layer, upstream = self.object, self.upstream if upstream is None else upstream
        self.output(self.x)
        saved = dict(vars(layer))
        inner = self.inner()
        try:
            for name, one in inner.items():
                one.backward = self.listening(name, one.backward)
            if between:
                between()
            result = layer.backward(upstream.copy() if upstream.ndim else upstream[()])
            found = {"x": result} if "x" in self.arrays else {}
            for name in self.arrays:
                if name != "x" and hasattr(layer, f"d{name}"):
                    found[name] = getattr(layer, f"d{name}")
        finally:
            if between:
                vars(layer).update(saved)
            for one in inner.values():
                vars(one).pop("backward", None)
        return {name: None if one is None else numpy.array(one) for name, one in found.items()}

    def inner(self) -> dict[str, Any]:
        """Return the layers inside this one."""
        found: dict[str, Any] = {}
        for name, one in vars(self.object).items():
            several: Any = one.items() if isinstance(one, dict) else [(name, one)]
            if isinstance(one, list | tuple):
                several = ((f"{name}[{i}]", part) for i, part in enumerate(one))
            found |= {str(key): part for key, part in several if hasattr(part, "backward")}
        return {key: one for key, one in found.items() if hasattr(one, "__dict__")}

    def listening(self, name: str, backward: Callable) -> Callable:
        """Return a backward that keeps what it returns."""

        def call(*args: Any) -> Any:
            result = backward(*args)
            self.returned[f"what {name}.backward returned"] = numpy.array(result)
            return result

        return call

    def changes(self) -> Iterator[tuple[str, Any, str]]:
        """Yield attributes, other values for them, and what it means if backward is right then."""
        self.output(self.x)
        for name, value in list(vars(self.object).items()):
            right = f"backward is right with {{}} in place of {name}."
            if isinstance(value, numpy.ndarray) and value.dtype == bool:
                yield name, ~value, f"{name} is inverted: {right.format('its opposite')}"
            if not is_floating(value):
                continue
            taken = f"taken at the {{}} {name} where the {{}} belongs: {right}"
            if value.shape == self.x.shape == self.out.shape:
                if numpy.array_equal(value, self.x):
                    yield name, self.out, taken.format("input", "output y", "y")
                elif numpy.array_equal(value, self.out):
                    yield name, self.x, taken.format("output", "input x", "x")
            if value.ndim > 1:
                exchanged = value.swapaxes(-1, -2)
                yield name, exchanged, f"{name} is not transposed: {right.format(f'{name}.T')}"
            for axes, index in ((-1,), "[..., ::-1]"), ((-2, -1), "[..., ::-1, ::-1]"):
                if value.ndim >= len(axes):
                    turned = numpy.flip(value, axes)
                    yield name, turned, f"{name} is not flipped: {right.format(name + index)}"

    def contributions(self) -> Iterator[tuple[str, numpy.ndarray]]:
        """Yield what may be missing from a sum of gradients, and what it is called."""
        self.again()
        yield "dout itself", self.upstream
        yield from self.returned.items()
        for name, value in list(vars(self.object).items()):
            if is_floating(value):
                yield f"the attribute {name}", value
                if value.shape == self.upstream.shape:
                    yield f"dout * {name}", self.upstream * value

    def sizes(self) -> dict[str, int]:
        """Return what a factor may be equal to."""
        return batch_size(self.x) | lengths({"x": self.x, "the output": self.out})


def is_floating(thing: Any) -> bool:
    """Whether something is an array of real floating dtype."""
    return isinstance(thing, numpy.ndarray) and thing.dtype.kind == "f"


def batch_size(x: numpy.ndarray) -> dict[str, int]:
    """Return the length of the first axis, unless there is only one sample."""
    return {"the batch size": len(x)} if x.ndim > 1 else {}


class Chance:
    """The random numbers that an object draws: the same each time that they are put back.

    They come from the generators among its attributes, from `numpy.random` and from `random`.
    """

    def __init__(self, thing: Any):
        self.generators = [one for one in parts(thing) if isinstance(one, numpy.random.Generator)]
        self.states = [one.bit_generator.state for one in self.generators]
        self.shared = numpy.random.get_state(), random.getstate()

    def restore(self) -> None:
        """Put all of them back to where they were."""
        for one, state in zip(self.generators, self.states, strict=True):
            one.bit_generator.state = state
        numpy.random.set_state(self.shared[0])
        random.setstate(self.shared[1])

    def draw(self) -> None:
        """Take a number from each."""
        for one in self.generators:
            one.random()
        numpy.random.random_sample()
        random.random()


def parts(thing: Any, depth: int = 5) -> Iterator[Any]:
    """Yield an object, and what its attributes, dicts, lists and tuples hold."""
    yield thing
    if not depth or isinstance(thing, numpy.ndarray | numpy.random.Generator | type):
        return
    inside = thing if isinstance(thing, dict | list | tuple) else getattr(thing, "__dict__", ())
    for one in inside.values() if isinstance(inside, dict) else inside:
        yield from parts(one, depth - 1)
