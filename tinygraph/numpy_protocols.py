"""What NumPy's own functions do with a Tensor (NEP 13 and 18): explicit tables, no guessing."""

import sys
from collections.abc import Callable
from functools import cache, partial
from operator import attrgetter
from typing import Any

import numpy

from . import fft, linalg, namespace
from .errors import DTypeError
from .modes import MODES
from .namespace import public
from .numpy_functions import FUNCTIONS as COMPOSED
from .numpy_functions import UFUNCS as COMPOSED_UFUNCS
from .numpy_functions import signature_of
from .rules import RULES, Rule
from .standard import values, wrapped
from .tensor import Tensor, Wrapped, array_of


def adapted(rule: Rule) -> Callable:
    """Make the function of a rule one that is called as NumPy's of the same name is."""

    def call(ours: Any, *args: Any, **options: Any) -> Tensor:
        given = dict(zip(signature_of(ours).parameters, args, strict=False)) | options
        count = 1 if rule.variadic else len(rule.operands)
        operands = [given.pop(name) for name in list(given)[:count]]
        strange = given.keys() - rule.parameters.keys()
        if not rule.differentiable and (strange or given.get("axis", 0) is None):
            operands = [values(rule.name, one) for one in operands]
            bares = {name: bare(one) for name, one in given.items()}
            return wrapped(numpy.asarray(ours(*operands, **bares)))
        dtype = given.pop("dtype") if "dtype" in strange else None
        y = public(rule.name)(*operands, **given)
        return y if dtype is None else y.astype(dtype)

    return call


# What changes no value: how memory is used and in which order, which algorithm sorts.
IDLE = {"casting", "copy", "device", "kind", "order", "overwrite_input", "subok"}
USUAL = {"dtype": None, "where": True}  # of a ufunc
TELLING = {numpy.ravel, numpy.reshape, numpy.nan_to_num}  # where one of these does


def told(function: Any, args: tuple, options: dict) -> tuple[list, dict]:
    """Return the arguments that NumPy's function needs, and by name those that say more."""
    given: list[Any] = []
    said: dict[str, Any] = {}
    signature = signature_of(function)
    for name, one in signature.bind(*args, **options).arguments.items():
        what = signature.parameters[name]
        if what.kind is what.VAR_POSITIONAL:
            given += one
        elif what.kind is what.VAR_KEYWORD:
            said |= one
        elif what.default is what.empty:
            given.append(one)
        elif one is not what.default and (name not in IDLE or function in TELLING):
            said[name] = one
    if said.pop("out", None) is not None:
        raise DTypeError(f"{name_of(function)} of a Tensor: out= would lose the gradient. Leave it "
                         "out, or use .numpy().")  # fmt: skip
    return given, said


def called(function: Callable, ours: Any, *args: Any, **options: Any) -> Any:
    """Call one of our functions, without saying in whose place."""
    return function(*args, **options)


def as_ours(ours: Any, *args: Any, **options: Any) -> Any:
    """Call our function of the same name, which takes NumPy's arguments."""
    return public(ours.__name__)(*args, **options)


def as_real(a: Any, several: tuple) -> tuple:
    """Return eigenvalues and eigenvectors as NumPy does: real, if all eigenvalues are."""
    if a.dtype.kind == "c" or numpy.imag(values("linalg.eig", several[0])).any():
        return several
    real = map(namespace.real, several)
    return several._make(real) if hasattr(several, "_make") else tuple(real)


UFUNCS: dict[Any, str] = {}  # the names of the functions that take their place
FUNCTIONS: dict[Any, Callable] = {}
for _name, _rule in RULES.items():
    _module, _, _function = _name.rpartition(".")
    _theirs = getattr(getattr(numpy, _module, None) if _module else numpy, _function, None)
    if isinstance(_theirs, numpy.ufunc):
        UFUNCS[_theirs] = _name
    elif _theirs is not None:
        FUNCTIONS[_theirs] = adapted(_rule)

# Those that take other arguments, or have no rule of their own.
FUNCTIONS |= {
    numpy.linalg.eig: lambda ours, a: as_real(a, public("linalg.eig")(a)),
    numpy.linalg.eigvals: lambda ours, a: as_real(a, (public("linalg.eigvals")(a),))[0],
    numpy.linalg.pinv: lambda ours, a, rcond=1e-15, hermitian=False, **rtol: public("linalg.pinv")(
        a, **{"rtol": rcond} | rtol
    ),
    numpy.linalg.qr: lambda ours, a, mode="reduced": (
        public("linalg.qr")(a).R if mode == "r" else public("linalg.qr")(a, mode=mode)
    ),
    numpy.linalg.svd: lambda ours, a, full_matrices=True, compute_uv=True: (
        public("linalg.svd")(a, full_matrices=full_matrices)
        if compute_uv
        else public("linalg.svdvals")(a)
    ),
    numpy.clip: lambda ours, a, a_min=None, a_max=None, *, min=None, max=None: namespace.clip(
        a, a_min if min is None else min, a_max if max is None else max
    ),
    numpy.copy: lambda ours, a: a.copy(),
    numpy.matrix_transpose: lambda ours, a: a.mT,
    numpy.ravel: lambda ours, a, order="C": a.ravel(order),
    numpy.reshape: lambda ours, a, shape, order="C", copy=None: a.reshape(shape, order=order),
    numpy.round: lambda ours, a, decimals=0: (
        namespace.asarray(numpy.round(values("round", a), decimals))
        if decimals
        else namespace.round(a)
    ),
    numpy.sort: lambda ours, a, axis=-1, *, stable=True: public("sort")(
        a.ravel() if axis is None else a, axis=-1 if axis is None else axis, stable=stable
    ),
    numpy.squeeze: lambda ours, a, axis=None: a.squeeze(axis),
    numpy.swapaxes: lambda ours, a, axis1, axis2: a.swapaxes(axis1, axis2),
    numpy.transpose: lambda ours, a, axes=None: (
        a.transpose() if axes is None else a.transpose(axes)
    ),
    numpy.where: lambda ours, condition, **either: (
        namespace.where(condition, *either.values()) if either else ours(bare(condition))
    ),
}

for _chapter, _theirs in ((fft, numpy.fft), (linalg, numpy.linalg)):
    for _name, _ours in list(vars(_chapter).items()):
        if callable(getattr(_theirs, _name, None)):
            FUNCTIONS.setdefault(getattr(_theirs, _name), partial(called, _ours))
for _name in (
    "astype", "can_cast", "diff", "empty_like", "full_like", "isin", "nonzero", "ones_like",
    "result_type", "searchsorted", "unique_all", "unique_counts", "unique_inverse", "unstack",
    "zeros_like",
):  # fmt: skip
    FUNCTIONS[getattr(numpy, _name)] = as_ours

for _name, _ours in COMPOSED.items():
    FUNCTIONS[attrgetter(_name)(numpy)] = partial(called, _ours)

# What a ufunc's methods are for a Tensor; `outer` there is for each of two operands.
METHODS = {
    ("add", "reduce"): "sum", ("multiply", "reduce"): "prod", ("maximum", "reduce"): "max",
    ("minimum", "reduce"): "min", ("add", "accumulate"): "cumulative_sum",
    ("multiply", "accumulate"): "cumulative_prod",
}  # fmt: skip

# These answer with something that has no gradient, so that the bare values will do.
ANSWERS = frozenset(getattr(numpy, name) for name in (
    "allclose", "argpartition", "argwhere", "array2string", "array_equal", "array_equiv",
    "array_repr", "array_str", "common_type", "diag_indices_from", "digitize", "einsum_path",
    "flatnonzero", "isclose", "iscomplex", "iscomplexobj", "isneginf", "isposinf", "isreal",
    "isrealobj", "lexsort", "may_share_memory", "min_scalar_type", "nanargmax",
    "nanargmin", "ndim", "ravel_multi_index", "shape", "shares_memory", "size",
    "tril_indices_from", "triu_indices_from", "unravel_index",
))  # fmt: skip


def name_of(function: Any) -> str:
    """Return the name by which a user calls one of NumPy's functions."""
    name = getattr(function, "__name__", str(function))
    return f"{getattr(function, '__module__', None) or 'numpy'}.{name}"


def bare(value: Any) -> Any:
    """Replace Tensors by their values, in lists and tuples too."""
    if isinstance(value, Tensor):
        return array_of(value)
    return type(value)(map(bare, value)) if isinstance(value, list | tuple) else value


@cache
def of_scipy(special: Any) -> dict[Any, str]:
    """Return the names of the rules of SciPy's special functions; nothing if it was not loaded."""
    names = [name for name in RULES if special and name.startswith("special.")]
    return {getattr(special, name.removeprefix("special.")): name for name in names}


def array_ufunc(self: Tensor, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
    """Apply a ufunc with a rule, or one of its methods; say what to do where there is none."""
    function = UFUNCS.get(ufunc) or COMPOSED_UFUNCS.get(ufunc)
    function = function or of_scipy(sys.modules.get("scipy.special")).get(ufunc)
    if options:
        options = {name: one for name, one in options.items()
                   if name not in IDLE and one is not USUAL.get(name, IDLE)}  # fmt: skip
    out = options.pop("out", None) if method == "__call__" else None
    if method == "outer" and len(inputs) == 2 and function is not None and not options:
        a, b = map(namespace.asarray, inputs)
        return array_ufunc(self, ufunc, "__call__", a.reshape(*a.shape, *(1,) * b.ndim), b)
    if (ufunc.__name__, method) in METHODS:
        reduction = getattr(numpy, METHODS[ufunc.__name__, method])
        return reduction(namespace.asarray(inputs[0]), axis=options.pop("axis", 0), **options)
    if method != "__call__" or options or function is None:
        what = name_of(ufunc) + ("" if method == "__call__" else f".{method}")
        given = f" with {', '.join(options)}=" if options else ""
        raise DTypeError(
            f"{what}{given} has no rule for a Tensor. Use .numpy() for values without a gradient."
        )
    if out is None:
        return (public(function) if isinstance(function, str) else function)(*inputs)
    if any(isinstance(one, Tensor) for one in out):
        raise DTypeError(f"{name_of(ufunc)}: out= a Tensor; its values cannot change in place.")
    recorded = [isinstance(x, Wrapped) or getattr(x, "requires_grad", False) for x in inputs]
    if MODES.get().recording and any(recorded):
        raise DTypeError(
            f"{name_of(ufunc)}: out= an array would lose the gradient. Write y = x + t in place of "
            "x += t, or use .numpy()."
        )
    if not all(one.flags.writeable for one in out):
        raise DTypeError(
            f"{name_of(ufunc)}: out= a read-only array. To change a Tensor x, write x -= y in "
            "place of x.data -= y."
        )
    return ufunc(*map(bare, inputs), out=out)


def array_function(self: Tensor, function: Any, types: Any, args: Any, options: Any) -> Any:
    """Apply one of NumPy's functions with a rule; say what to do where there is none."""
    if function in ANSWERS:
        return function(*map(bare, args), **{name: bare(one) for name, one in options.items()})
    ours = FUNCTIONS.get(function)
    if ours is None:
        raise DTypeError(
            f"{name_of(function)} has no rule for a Tensor. "
            "Use .numpy() for values without a gradient."
        )
    try:
        given, by_name = told(function, args, options)
        return ours(function, *given, **by_name)
    except TypeError as error:
        if isinstance(error, DTypeError) or "argument" not in str(error):
            raise
        what = f"{name_of(function)} of a Tensor {str(error).partition('() ')[2] or error}"
        raise DTypeError(f"{what}. Use .numpy() for values without a gradient.") from None


Tensor.__array_ufunc__ = array_ufunc  # type: ignore[attr-defined]
Tensor.__array_function__ = array_function  # type: ignore[attr-defined]
