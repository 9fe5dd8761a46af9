"""Other libraries' arrays inside a Tensor: NumPy's interface in front, their functions behind.

A `Foreign` stands where a Tensor otherwise holds an ndarray. Which library an array is of says the
array itself. Functions of NumPy and operators on it become the functions that the array API
standard names in that library; promotion of dtypes stays NumPy's. What lives on a device, in a
compiler's trace or in pieces on many machines therefore stays there.
"""

from functools import partial, wraps
from math import prod
from operator import index
from types import ModuleType
from typing import Any

import numpy
from numpy.lib.mixins import NDArrayOperatorsMixin

from .errors import DTypeError, EngineError, MissingDependencyError

# What NumPy calls otherwise than the standard.
STANDARD = {
    "absolute": "abs", "arccos": "acos", "arccosh": "acosh", "arcsin": "asin", "arcsinh": "asinh",
    "arctan": "atan", "arctan2": "atan2", "arctanh": "atanh", "concatenate": "concat",
    "conjugate": "conj", "invert": "bitwise_invert", "left_shift": "bitwise_left_shift",
    "power": "pow", "right_shift": "bitwise_right_shift", "transpose": "permute_dims",
}  # fmt: skip
REDUCTIONS = {"add": "sum", "multiply": "prod", "maximum": "max", "minimum": "min"}
COMPATIBLE = ("cupy", "dask", "torch")  # by array-api-compat, not by themselves


class Engine:
    """The functions of one library, over `Foreign` arrays, by the names of NumPy or the standard.

    Attributes
    ----------
    name : str
        Of the library.
    xp : module
        Its namespace of the standard, or a submodule of it.
    """

    def __init__(self, name: str, xp: Any, chapter: str = ""):
        self.name = name
        self.xp = xp
        self.chapter = chapter

    def __getattr__(self, name: str) -> Any:  # the first time only
        if name.startswith("__"):
            raise AttributeError(name)
        own = STANDARD.get(name, name)
        whole = f"{self.chapter}{own}"
        if whole in CHAPTERS:
            found: Any = Engine(self.name, chapter_of(self, own), f"{own}.")
        elif whole in EXTENSIONS:
            found = self.over(partial(EXTENSIONS[whole], self))
        elif isinstance(found := getattr(self.xp, own, None), ModuleType | None):
            raise EngineError(
                f"{whole}: {self.name} has no such function. Compute it on arrays of NumPy: "
                ".numpy() leaves the graph."
            )
        elif callable(found):
            found = self.over(found)
        self.__dict__[name] = found
        return found

    def over(self, function: Any) -> Any:
        """Return a function of the library as one over `Foreign` arrays."""

        @wraps(function)
        def call(*args: Any, **options: Any) -> Any:
            args, options = self.inward(args), {key: self.inward(x) for key, x in options.items()}
            return self.outward(function(*args, **options))

        return call

    def inward(self, x: Any) -> Any:
        """Return an argument as the library takes it; NumPy's arrays are constants to it."""
        if isinstance(x, Foreign):
            if x.engine.name != self.name:
                raise DTypeError(
                    f"an array of {x.engine.name} meets one of {self.name}; convert one of them."
                )
            return x.array
        if isinstance(x, tuple | list):
            return type(x)(map(self.inward, x)) if type(x) in (tuple, list) else x
        if isinstance(x, numpy.ndarray | numpy.generic):
            return self.xp.asarray(x if self.name != "torch" else numpy.array(x))
        if isinstance(x, numpy.dtype) or (isinstance(x, type) and issubclass(x, numpy.generic)):
            return self.dtype(numpy.dtype(x))
        return x

    def outward(self, x: Any) -> Any:
        """Return a result with its arrays as `Foreign` ones."""
        if isinstance(x, tuple):
            several = map(self.outward, x)
            return x._make(several) if hasattr(x, "_make") else tuple(several)
        if isinstance(x, list):
            return list(map(self.outward, x))
        return Foreign(self, x) if hasattr(x, "shape") and hasattr(x, "dtype") else x

    def dtype(self, dtype: numpy.dtype) -> Any:
        """Return the library's own dtype of a name."""
        if self.name == "jax":
            import jax

            dtype = jax.dtypes.canonicalize_dtype(dtype)  # 32 bits, where 64 are not enabled
        return getattr(root(self).xp, dtype.name)

    def promoted(self, ufunc: numpy.ufunc, inputs: tuple) -> list:
        """Return the operands of a ufunc in the dtypes to which NumPy would cast them."""
        kinds = [getattr(x, "dtype", type(x)) for x in inputs]
        if bool in kinds:
            kinds = [numpy.dtype(bool) if one is bool else one for one in kinds]
        dtypes = ufunc.resolve_dtypes((*kinds, *[None] * ufunc.nout))
        return [
            self.astype(x, dtype) if hasattr(x, "dtype") and x.dtype != dtype else x
            for x, dtype in zip(inputs, dtypes, strict=False)
        ]


class Foreign(NDArrayOperatorsMixin):
    """An array of another library, with what rules and Tensors use of an ndarray's interface."""

    __slots__ = ("array", "engine")
    __hash__ = object.__hash__
    base = None

    def __init__(self, engine: Engine, array: Any):
        self.engine = root(engine)
        self.array = array

    shape = property(lambda self: tuple(self.array.shape))
    ndim = property(lambda self: self.array.ndim)
    size = property(lambda self: prod(self.array.shape))
    device = property(lambda self: getattr(self.array, "device", "cpu"))
    mT = property(lambda self: self.engine.matrix_transpose(self))
    T = property(lambda self: self.engine.permute_dims(self, tuple(range(self.ndim))[::-1]))

    @property
    def dtype(self) -> numpy.dtype:
        """NumPy's dtype of the same name."""
        try:
            return numpy.dtype(str(self.array.dtype).rpartition(".")[2])
        except TypeError:
            raise DTypeError(f"{self.array.dtype} is no dtype that NumPy has.") from None

    def astype(self, dtype: Any, copy: bool = True) -> "Foreign":
        """Return the values in another dtype."""
        return self.engine.astype(self, numpy.dtype(dtype))

    def copy(self, order: str = "K") -> "Foreign":
        """Return the same values where nobody else writes to them."""
        changes = self.engine.name not in ("jax", "dask")
        return self.engine.asarray(self, copy=True) if changes else self

    def all(self) -> Any:
        """Return whether all entries are True."""
        return self.engine.all(self)

    def any(self) -> Any:
        """Return whether an entry is True."""
        return self.engine.any(self)

    def reshape(self, *shape: Any) -> "Foreign":
        """Return the entries in another shape."""
        return self.engine.reshape(self, shape if isinstance(shape[0], int) else shape[0])

    def __getitem__(self, index: Any) -> "Foreign":
        if self.engine.name not in (*COMPATIBLE, "jax"):
            return by_the_standard(self, index if isinstance(index, tuple) else (index,))
        return self.engine.outward(self.array[self.engine.inward(index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(value, Foreign | numpy.ndarray) and value.dtype != self.dtype:
            value = value.astype(self.dtype)
        index, value = self.engine.inward(index), self.engine.inward(value)
        if hasattr(self.array, "at"):  # JAX's arrays do not change
            self.array = self.array.at[index].set(value)
        else:
            self.array[index] = value

    def __pow__(self, other: Any) -> Any:
        return numpy.power(self, other)

    def __rpow__(self, other: Any) -> Any:
        return numpy.power(other, self)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        options.pop("out", None)  # a result takes the place of what was to be changed
        if method == "reduce" and ufunc.__name__ in REDUCTIONS:
            a, axis, dtype, *_ = (*inputs, None, None)
            options = {"axis": axis, **options} | ({"dtype": dtype} if dtype else {})
            return getattr(self.engine, REDUCTIONS[ufunc.__name__])(a, **options)
        if method != "__call__":
            raise EngineError(
                f"{ufunc.__name__}.{method}: {self.engine.name} has no such function."
            )
        where = self.engine if hasattr(numpy, ufunc.__name__) else self.engine.special
        return getattr(where, ufunc.__name__)(*self.engine.promoted(ufunc, inputs))

    def __array_function__(self, function: Any, types: Any, args: tuple, options: dict) -> Any:
        if function.__name__ in ("shape", "ndim", "size"):
            return getattr(args[0], function.__name__)
        where = self.engine
        for chapter in ("linalg", "fft"):
            if chapter in function.__module__:
                where = getattr(where, chapter)
        return getattr(where, function.__name__)(*args, **options)

    def __array__(self, *args: Any, **options: Any) -> Any:
        raise EngineError(
            f"an array of {self.engine.name} would become NumPy's here; use .numpy() to say so."
        )

    def known(self) -> numpy.ndarray | None:
        """Return the values as an array of NumPy; None where they are not computed yet."""
        there = self.engine.name != "dask"
        if self.engine.name == "jax":
            import jax

            there = not isinstance(self.array, jax.core.Tracer)
        return self.numpy() if there else None

    def numpy(self) -> numpy.ndarray:
        """Return the values as an array of NumPy, of the caller's own."""
        array = self.array
        if self.engine.name == "torch":
            array = array.detach().cpu().resolve_conj().resolve_neg().numpy()
        return numpy.array(array.get() if self.engine.name == "cupy" else array)

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple:
        return self.array.__dlpack_device__()

    def item(self) -> Any:
        """Return the only entry as a Python number."""
        return self.numpy().item()

    def tolist(self) -> Any:
        """Return the values as nested lists of Python numbers."""
        return self.numpy().tolist()

    def __reduce__(self) -> tuple:
        return foreign, (self.array,)

    def __bool__(self) -> bool:
        return bool(self.array)

    def __int__(self) -> int:
        return int(self.array)

    def __index__(self) -> int:
        return index(self.array)

    def __float__(self) -> float:
        return float(self.array)

    def __complex__(self) -> complex:
        return complex(self.array)

    def __repr__(self) -> str:
        return repr(self.array)


# ---------------------------------------------------------------- what the standard lacks


def by_the_standard(a: Foreign, index: tuple) -> Any:
    """Return the entries that an index selects, if the standard or its `take` knows such ones."""
    axes = [axis for axis, part in enumerate(index) if hasattr(part, "shape")]
    if not axes and Ellipsis not in index:
        index = (*index, Ellipsis)
    if len(axes) == 1 and index[axes[0]].dtype.kind in "iu":
        (axis,) = axes
        places = index[axis]
        if all(part == slice(None) for part in (*index[:axis], *index[axis + 1 :])):
            found = a.engine.take(a, places.reshape(-1), axis=axis)
            return found.reshape((*a.shape[:axis], *places.shape, *a.shape[axis + 1 :]))
    return a.engine.outward(a.array[a.engine.inward(index)])


def scatter_add(engine: Engine, values: Any, index: Any, shape: tuple) -> Any:
    """Return zeros of a shape with values added at the places of an index."""
    xp = engine.xp
    total = xp.zeros(shape, dtype=values.dtype)
    if engine.name == "jax":
        return total.at[index].add(values)
    parts = index if isinstance(index, tuple) else (index,)
    if not any(hasattr(one, "shape") for one in parts):  # each entry at most once
        total[index] = values
        return total
    if engine.name != "torch":
        raise EngineError(
            f"scatter_add: {engine.name} cannot add up at the places that an index of arrays "
            "selects."
        )
    places = xp.reshape(xp.arange(prod(shape)), shape)[index]
    total = xp.reshape(total, (-1,)).index_add(0, places.reshape(-1), values.reshape(-1))
    return xp.reshape(total, shape)


def count_nonzero(engine: Engine, a: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Return how many entries are not zero, over no axis as well, which PyTorch takes for all."""
    xp = engine.xp
    return xp.sum(xp.astype(xp.astype(a, xp.bool), xp.int64), axis=axis, keepdims=keepdims)


def unique(engine: Engine, a: Any, return_index: bool) -> tuple:
    """Return the entries that differ, and where each is first."""
    return engine.xp.unique_all(a)[:2]


def triangle(name: str) -> Any:
    """Return a function of Hermitian matrices that reads the triangle that NumPy's would."""

    def call(engine: Engine, a: Any, UPLO: str = "L") -> Any:
        xp = root(engine).xp
        a = a if UPLO == "L" else xp.conj(xp.matrix_transpose(a))
        return getattr(xp.linalg, name)(xp.tril(a) + xp.conj(xp.matrix_transpose(xp.tril(a, k=-1))))

    return call


def solve_triangular(
    engine: Engine, a: Any, b: Any, lower: bool = False, unit_diagonal: bool = False
) -> Any:
    """Return x with a @ x = b for triangular a."""
    if engine.name == "jax":
        import jax

        return jax.scipy.linalg.solve_triangular(a, b, lower=lower, unit_diagonal=unit_diagonal)
    if engine.name == "torch":
        import torch

        b, vectors = (b[..., None], True) if b.ndim == 1 else (b, False)
        x = torch.linalg.solve_triangular(a, b, upper=not lower, unitriangular=unit_diagonal)
        return x[..., 0] if vectors else x
    xp = root(engine).xp
    triangle = xp.tril(a, k=-int(unit_diagonal)) if lower else xp.triu(a, k=int(unit_diagonal))
    if unit_diagonal:
        triangle = triangle + xp.eye(a.shape[-1], dtype=a.dtype)
    return xp.linalg.solve(triangle, b)


EXTENSIONS: dict[str, Any] = {
    "count_nonzero": count_nonzero,
    "scatter_add": scatter_add,
    "unique": unique,
    "linalg.eigh": triangle("eigh"),
    "linalg.eigvalsh": triangle("eigvalsh"),
    "linalg.solve_triangular": solve_triangular,
    "permute_dims": lambda engine, a, axes: engine.xp.permute_dims(a, [i % a.ndim for i in axes]),
    "array2string": lambda engine, a, **style: repr(a),
    "may_share_memory": lambda engine, a, b: True,  # a view is a view with every library
}
CHAPTERS = ("linalg", "fft", "special")


def chapter_of(engine: Engine, name: str) -> Any:
    """Return a submodule of a library's namespace; an empty one if there is none."""
    if (engine.name, name) == ("jax", "special"):
        from jax.scipy import special

        return special
    return getattr(engine.xp, name, None)


# ---------------------------------------------------------------- which library an array is of

ENGINES: dict[Any, Engine] = {}  # by name
FOUND: dict[type, str | None] = {}  # the name of the library that a class is of


def root(engine: Engine) -> Engine:
    """Return the engine that a chapter belongs to."""
    return ENGINES[engine.name]


def library_of(kind: type) -> str | None:
    """Return the name of the library that a class of arrays is of; None for what is none."""
    name = kind.__module__.partition(".")[0]
    if name in ("numpy", "tinygraph", "builtins"):
        return None
    if name == "jaxlib":
        name = "jax"
    known_by = "shape" if name in COMPATIBLE else "__array_namespace__"
    return name if hasattr(kind, known_by) else None


def foreign(x: Any) -> Foreign | None:
    """Return another library's array as a `Foreign`, None for all else."""
    kind = type(x)
    if kind is Foreign:
        return x
    name = FOUND.get(kind, "")
    if name == "":
        name = FOUND[kind] = library_of(kind)
    if name is None:
        return None
    if name not in ENGINES:
        ENGINES[name] = Engine(name, namespace_of(name, x))
    return Foreign(ENGINES[name], x)


def namespace_of(name: str, x: Any) -> Any:
    """Return the namespace of the standard for an array."""
    if name not in COMPATIBLE:
        return x.__array_namespace__()
    try:
        from array_api_compat import array_namespace
    except ImportError as error:
        raise MissingDependencyError(
            f"arrays of {name} need array-api-compat: pip install array-api-compat"
        ) from error
    return array_namespace(x)


def one_like(x: Any) -> Any:
    """Return an array of 1, of the axes and the dtype of an array of one entry."""
    return x.engine.ones_like(x) if type(x) is Foreign else numpy.array(1, x.dtype, ndmin=x.ndim)


def plain(x: Any) -> Any:
    """Return what a user sees of the values of a Tensor: the library's own array."""
    return x.array if isinstance(x, Foreign) else x
