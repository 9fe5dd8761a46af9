"""Rules for linear algebra, on matrices and on stacks of them.

Formulas are transposes, as everywhere in the table. The longer ones, of functions that are not
holomorphic, are written as in a book, for gradients that point uphill, between two conjugations.
"""

from importlib.util import find_spec
from math import inf

import numpy

from ..errors import ArgumentError, LinAlgError, MissingDependencyError
from .elementwise import abs_vjp, nonzero
from .indexing import scattered
from .manipulation import undo_permutation
from .reductions import extremum, known, restore
from .table import HERMITIAN, MATRIX, REAL, Domain, Kind, Parameter, Shapes, rule

BILINEAR = Kind.BILINEAR
OTHER = Kind.OTHER

# ---------------------------------------------------------------- matrices


def conj(xp, a):
    """Return the conjugate of what is complex; None where there is nothing."""
    return xp.conj(a) if a is not None and a.dtype.kind == "c" else a


def adjoint(xp, a):
    """Return the conjugate transpose."""
    return conj(xp, a).mT


def hermitian(xp, a):
    """Return the Hermitian part, on which functions of Hermitian matrices depend."""
    return 0.5 * (a + adjoint(xp, a))


def mirrored(xp, a):
    """Return the Hermitian matrix with the lower triangle of another."""
    return hermitian(xp, xp.tril(a) + adjoint(xp, xp.tril(a, k=-1)))


def column(xp, v):
    """Return vectors as matrices of one column."""
    return xp.expand_dims(v, axis=-1)


def row(xp, v):
    """Return vectors as matrices of one row."""
    return xp.expand_dims(v, axis=-2)


def eye(xp, n):
    """Return where a matrix has its diagonal."""
    return column(xp, xp.arange(n)) == xp.arange(n)


def diagonal_matrix(xp, v):
    """Return matrices with v on the diagonal."""
    return xp.where(eye(xp, v.shape[-1]), row(xp, v), 0.0)


def diagonal(xp, a):
    """Return the diagonal of square matrices."""
    return xp.linalg.diagonal(a)


def right_divided(xp, a, b):
    """Return a·b⁻ᴴ."""
    return adjoint(xp, xp.linalg.solve(b, adjoint(xp, a)))


def refuse(name, wrong, what):
    """Raise an error where a derivative does not exist."""
    if wrong:
        raise LinAlgError(f"{name}: no gradient flows through {what}.")


def over_differences(xp, a, v, name, what):
    """Divide a by the differences v_j − v_i, with 0 on the diagonal."""
    gap = row(xp, v) - column(xp, v)
    values, numbers = known(gap), known(a)
    skip = eye(xp, v.shape[-1])
    if values is not None and numbers is not None and values.size:
        size = numpy.abs(known(v)).max(axis=-1)[..., None, None]
        equal = numpy.abs(values) <= values.shape[-1] * numpy.finfo(v.dtype).eps * size
        refuse(name, (equal & (numbers != 0) & ~known(skip)).any(), what)
    skip = skip | ((gap == 0) & (a == 0))
    return xp.where(skip, 0.0, a / xp.where(skip, 1.0, gap))


# ---------------------------------------------------------------- products


def product(a, b):
    """Return a·b for matrices; a column by a row is quicker entry by entry."""
    return a * b if a.shape[-1] == 1 else a @ b


def matmul_left(xp, g, b, a_shape):
    """Pull g back to the left factor: g·bᵀ, with the axes that 1-D factors lack put in."""
    if b.ndim == 1:
        return xp.expand_dims(g, axis=-1) * b
    if len(a_shape) == 1:
        return xp.squeeze(b @ xp.expand_dims(g, axis=-1), axis=-1)
    return product(g, b.mT)


def matmul_right(xp, g, a, b_shape):
    """Pull g back to the right factor: aᵀ·g, with the axes that 1-D factors lack put in."""
    if len(b_shape) == 1:
        if a.ndim == 1:
            return a * g
        return xp.squeeze(a.mT @ xp.expand_dims(g, axis=-1), axis=-1)
    if a.ndim == 1:
        return xp.expand_dims(a, axis=-1) * xp.expand_dims(g, axis=-2)
    return product(a.mT, g)


rule(
    "matmul",
    vjp=(matmul_left, matmul_right),
    doc="Return the matrix product; a 1-D operand is a row on the left, a column on the right.",
    kind=BILINEAR, domain=(REAL, REAL), shapes=Shapes.MATMUL, broadcasts=True, symbol="@",
)  # fmt: skip


def one_axis(name):
    """Make the check that an axis means the same in both operands."""

    def check(operands, params):
        a, b = operands
        if params["axis"] >= 0 and a.ndim != b.ndim:
            raise ArgumentError(
                f"{name}: axis {params['axis']} is not the same in shapes {a.shape} and {b.shape}. "
                "Count it from the end: axis=-1 is the last."
            )

    return check


rule(
    "vecdot",
    lambda xp, a, b, /, *, axis=-1: xp.vecdot(a, b, axis=axis),
    vjp=(lambda xp, g, b, axis: conj(xp, xp.expand_dims(g, axis=axis) * b),
         lambda xp, g, a, axis: xp.expand_dims(g, axis=axis) * conj(xp, a)),
    doc="Return the sum of conj(a) · b along an axis.",
    kind=BILINEAR, domain=(REAL, REAL), shapes=Shapes.VECTORS, broadcasts=True,
    parameters={"axis": Parameter.AXIS}, symbol="·", check=one_axis("vecdot"),
)  # fmt: skip
rule(
    "linalg.cross",
    lambda xp, a, b, /, *, axis=-1: xp.linalg.cross(a, b, axis=axis),
    vjp=(lambda xp, g, b, axis: xp.linalg.cross(b, g, axis=axis),
         lambda xp, g, a, axis: xp.linalg.cross(g, a, axis=axis)),
    doc="Return the cross product of vectors of three along an axis.",
    kind=BILINEAR, domain=(REAL, REAL), shapes=Shapes.TRIPLES, broadcasts=True,
    parameters={"axis": Parameter.AXIS}, check=one_axis("linalg.cross"),
)  # fmt: skip


def contracted(axes, ndim, other_ndim):
    """Return the axes that tensordot sums over, and those that it leaves, of both operands."""
    if isinstance(axes, int):
        axes = (tuple(range(ndim - axes, ndim)), tuple(range(axes)))
    summed = [[one % n for one in some] for some, n in zip(axes, (ndim, other_ndim), strict=True)]
    left = [[i for i in range(n) if i not in some]
            for some, n in zip(summed, (ndim, other_ndim), strict=True)]  # fmt: skip
    return (*summed, *left)


def tensordot_left(xp, g, b, a_shape, axes):
    """Sum g · b over the axes that come from b, and put the axes in a's order."""
    mine, others, free, b_free = contracted(axes, len(a_shape), b.ndim)
    pulled = xp.tensordot(g, b, axes=(tuple(range(len(free), g.ndim)), tuple(b_free)))
    order = [*free, *(one for _, one in sorted(zip(others, mine, strict=True)))]
    return xp.permute_dims(pulled, undo_permutation(order))


def tensordot_right(xp, g, a, b_shape, axes):
    """Sum a · g over the axes that come from a, and put the axes in b's order."""
    others, mine, a_free, free = contracted(axes, a.ndim, len(b_shape))
    pulled = xp.tensordot(a, g, axes=(tuple(a_free), tuple(range(len(a_free)))))
    order = [*(one for _, one in sorted(zip(others, mine, strict=True))), *free]
    return xp.permute_dims(pulled, undo_permutation(order))


rule(
    "tensordot",
    lambda xp, a, b, /, *, axes=2: xp.tensordot(a, b, axes=axes),
    vjp=(tensordot_left, tensordot_right),
    doc="Return the sum of products over the last axes of a and the first of b, or over pairs.",
    kind=BILINEAR, domain=(REAL, REAL), shapes=Shapes.CONTRACTED,
    parameters={"axes": Parameter.CONTRACTION},
)  # fmt: skip


def diagonal_index(shape, offset):
    """Return the index of the entries on a diagonal."""
    first = max(0, -offset)
    i = numpy.arange(first, first + max(0, min(shape[-2] - first, shape[-1] - first - offset)))
    return (..., i, i + offset)


rule(
    "linalg.diagonal",
    lambda xp, a, /, *, offset=0: xp.linalg.diagonal(a, offset=offset),
    vjp=lambda xp, g, a_shape, offset: scattered(xp, g, diagonal_index(a_shape, offset), a_shape),
    doc="Return a diagonal of each matrix.",
    kind=Kind.LINEAR, domain=REAL, shapes=Shapes.MATRIX, view=True,
    parameters={"offset": Parameter.DIAGONAL},
)  # fmt: skip


def vector_norm_vjp(xp, g, a, y, axis, keepdims, ord):
    """Return g·sign(a)·(|a| / y)ᵖ⁻¹, 0 where a is 0."""
    size = xp.abs(a)
    if ord in (inf, -inf):
        return abs_vjp(xp, extremum(xp, g, size, y, axis, keepdims), a, size)
    y = restore(xp, y, a.shape, axis, keepdims)
    g = restore(xp, g, a.shape, axis, keepdims)
    zero, y = y == 0, nonzero(xp, y)
    if ord == 2:
        return g * xp.where(zero, 0.0, conj(xp, a) / y)
    zero = zero | (size == 0)
    slope = 0.0 if ord == 0 else (xp.where(zero, 1.0, size) / y) ** (ord - 1)
    return abs_vjp(xp, g * xp.where(zero, 0.0, slope), a, size)


rule(
    "linalg.vector_norm",
    lambda xp, a, /, *, axis=None, keepdims=False, ord=2: xp.linalg.vector_norm(
        a, axis=axis, keepdims=keepdims, ord=ord
    ),
    vjp=vector_norm_vjp,
    doc="Return the norm over an axis, several axes (a tuple), or all of them.",
    kind=OTHER, domain=Domain(low=0.0, distinct=True), shapes=Shapes.NONEMPTY,
    parameters={"axis": Parameter.AXES, "keepdims": Parameter.FLAG, "ord": Parameter.ORDER},
    convention="vector_norm at 0 gives 0",
)  # fmt: skip

# ---------------------------------------------------------------- inverses and determinants


def solve_right(xp, g, a, b_shape):
    """Pull g back to the right side b of a·x = b."""
    if len(b_shape) == 1:
        return xp.squeeze(xp.linalg.solve(a.mT, column(xp, g)), axis=-1)
    return xp.linalg.solve(a.mT, g)


def against(xp, pulled, b_shape, y):
    """Return −pulled·yᵀ, for vectors or matrices: the gradient of a from that of b."""
    if len(b_shape) == 1:
        return -column(xp, pulled) * row(xp, y)
    return -product(pulled, y.mT)


rule(
    "linalg.solve",
    vjp=(lambda xp, g, a, b_shape, y: against(xp, solve_right(xp, g, a, b_shape), b_shape, y),
         solve_right),
    doc="Return x with a @ x = b; b is one vector, or a stack of matrices.",
    kind=OTHER, domain=(MATRIX, REAL), shapes=Shapes.SOLVED, broadcasts=True,
)  # fmt: skip


def scipys(xp, name):
    """Return a function that SciPy has and NumPy has not: a namespace's own, or SciPy's."""
    if hasattr(xp.linalg, name):
        return getattr(xp.linalg, name)
    try:
        import scipy.linalg
    except ImportError as error:
        raise MissingDependencyError(f"linalg.{name} needs SciPy: pip install scipy") from error
    return getattr(scipy.linalg, name)


def solve_triangular(xp, a, b, /, *, lower=False, unit_diagonal=False):
    """Return x with a @ x = b for triangular a; the entries on its other side are not read.

    Needs SciPy.

    Parameters
    ----------
    lower : bool
        Whether the entries above the diagonal are those not to read.
    unit_diagonal : bool
        Whether the diagonal is taken to be 1 without reading it.
    """
    if 0 in (*a.shape, *b.shape):  # SciPy refuses some of these
        return a @ b
    solve = scipys(xp, "solve_triangular")
    return solve(a, b, lower=lower, unit_diagonal=unit_diagonal)


def left_divided(xp, a, b):
    """Return a⁻¹·b for upper triangular matrices, fast where SciPy can solve one of them."""
    if a.ndim == 2 and find_spec("scipy"):
        return solve_triangular(xp, a, b)
    return xp.linalg.solve(a, b)


def triangular_right(xp, g, a, b_shape, lower, unit_diagonal):
    """Pull g back to the right side b of a·x = b."""
    upper, vectors = not lower, len(b_shape) == 1
    g = column(xp, g) if vectors else g
    x = solve_triangular(xp, a.mT, g, lower=upper, unit_diagonal=unit_diagonal)
    return xp.squeeze(x, axis=-1) if vectors else x


def triangular_left(xp, g, a, b_shape, y, lower, unit_diagonal):
    """Pull g back to the triangle that is read."""
    pulled = triangular_right(xp, g, a, b_shape, lower, unit_diagonal)
    whole = against(xp, pulled, b_shape, y)
    skipped = int(unit_diagonal)
    return xp.tril(whole, k=-skipped) if lower else xp.triu(whole, k=skipped)


rule(
    "linalg.solve_triangular",
    solve_triangular,
    vjp=(triangular_left, triangular_right),
    kind=OTHER, domain=(MATRIX, REAL), shapes=Shapes.SOLVED, broadcasts=True,
    parameters={"lower": Parameter.FLAG, "unit_diagonal": Parameter.FLAG},
)  # fmt: skip
rule(
    "linalg.inv",
    vjp=lambda g, y: -(y.mT @ g @ y.mT),
    doc="Return the inverse.",
    kind=OTHER, domain=MATRIX, shapes=Shapes.SQUARE,
)  # fmt: skip


def pinv_vjp(xp, g, a, y):
    """Return the gradient among the matrices of the same rank."""
    g, adj = g.mT, adjoint(xp, y)
    return conj(
        xp,
        (g - a @ (y @ g)) @ (y @ adj) + (adj @ y) @ (g - (g @ y) @ a)
        - adj @ adjoint(xp, g) @ adj,
    )  # fmt: skip


rule(
    "linalg.pinv",
    lambda xp, a, /, *, rtol=None: xp.linalg.pinv(a, rtol=rtol),
    vjp=pinv_vjp,
    doc="Return the pseudo-inverse; singular values up to rtol times the largest count as 0.\n\n"
    "The gradient is that among matrices of the same rank.",
    kind=OTHER, domain=MATRIX, shapes=Shapes.MATRIX, parameters={"rtol": Parameter.CUTOFF},
)  # fmt: skip
rule(
    "linalg.matrix_rank",
    lambda xp, a, /, *, rtol=None: xp.linalg.matrix_rank(a, rtol=rtol),
    vjp=None,
    doc="Return how many singular values exceed rtol times the largest one.",
    kind=OTHER, domain=MATRIX, shapes=Shapes.MATRIX, parameters={"rtol": Parameter.CUTOFF},
)  # fmt: skip


def adjugate(xp, a, /):
    """Return the adjugate: the transposed matrix of cofactors, det(a)·a⁻¹ where that exists."""
    if hasattr(xp.linalg, "adjugate"):
        return xp.linalg.adjugate(a)
    det = xp.linalg.det(a)
    if (det != 0).all():
        return column(xp, column(xp, det)) * xp.linalg.inv(a)
    u, s, vh = xp.linalg.svd(a)
    others = xp.prod(xp.where(eye(xp, s.shape[-1]), 1.0, row(xp, s)), axis=-1)
    sign = xp.linalg.det(u) * xp.linalg.det(vh)
    return column(xp, column(xp, sign)) * (adjoint(xp, vh) * row(xp, others)) @ adjoint(xp, u)


def adjugate_vjp(xp, g, a):
    """Return the transposed derivative: that of a diagonal matrix, between singular vectors."""
    u, s, vh = xp.linalg.svd(a)
    i = xp.arange(s.shape[-1])
    two = (column(xp, column(xp, i)) == i) | (column(xp, i) == i)
    others = xp.prod(xp.where(two, 1.0, row(xp, row(xp, s))), axis=-1)  # all values but two
    sign = column(xp, column(xp, xp.linalg.det(u) * xp.linalg.det(vh)))
    inner = conj(xp, vh) @ g @ conj(xp, u)
    same = eye(xp, s.shape[-1])
    onto = xp.where(same, 0.0, others) @ column(xp, diagonal(xp, inner))
    inner = xp.where(same, onto, -others * inner)
    return sign * (conj(xp, u) @ inner @ conj(xp, vh))


rule(
    "linalg.adjugate",
    adjugate,
    vjp=adjugate_vjp,
    kind=OTHER, domain=MATRIX, shapes=Shapes.SQUARE,
)  # fmt: skip
rule(
    "linalg.det",
    vjp=lambda xp, g, a: column(xp, column(xp, g)) * adjugate(xp, a).mT,
    doc="Return the determinant.",
    kind=OTHER, domain=MATRIX, shapes=Shapes.SQUARE,
)  # fmt: skip


def slogdet_vjp(xp, g, a, y):
    """Return the gradient of log|det|, and of the phase of a complex determinant."""
    turn, size = g
    if a.dtype.kind == "c" and turn is not None:
        turn = 1j * xp.imag(turn * y[0])
        size = turn if size is None else size + turn
    if size is None:
        return xp.zeros(a.shape, dtype=a.dtype)
    return column(xp, column(xp, size)) * xp.linalg.inv(a).mT


rule(
    "linalg.slogdet",
    vjp=slogdet_vjp,
    doc="Return the sign, or phase, of the determinant and the logarithm of its absolute value.",
    kind=OTHER, domain=MATRIX, shapes=Shapes.SQUARE, outputs=("sign", "logabsdet"),
)  # fmt: skip

# ---------------------------------------------------------------- decompositions

SYMMETRIC = "One triangle is read, and the gradient is that among Hermitian matrices"
PHASE = "is right for what does not depend on the phases of the vectors, which are arbitrary"


def cholesky_vjp(xp, g, y, upper):
    """Return L⁻ᴴ·S·L⁻¹/2, where S is Hermitian with the lower triangle of LᴴG."""
    g = conj(xp, g)
    if upper:
        g, y = adjoint(xp, g), adjoint(xp, y)
    adj = adjoint(xp, y)
    inner = 0.5 * mirrored(xp, adj @ g)
    return conj(xp, left_divided(xp, adj, adjoint(xp, left_divided(xp, adj, inner))))


rule(
    "linalg.cholesky",
    lambda xp, a, /, *, upper=False: xp.linalg.cholesky(a, upper=upper),
    vjp=cholesky_vjp,
    doc=f"Return the lower triangular L with L @ Lᴴ = a, or the upper Lᴴ.\n\n{SYMMETRIC}.",
    kind=OTHER, domain=HERMITIAN, shapes=Shapes.SQUARE, parameters={"upper": Parameter.FLAG},
)  # fmt: skip


def given(xp, g, like):
    """Return the conjugate of a gradient, zeros where none arrived."""
    return xp.zeros(like.shape, dtype=like.dtype) if g is None else conj(xp, g)


def qr_vjp(xp, g, a, y):
    """Return (G_Q + Q·S)·R⁻ᴴ, where S is Hermitian with the lower triangle of R·G_Rᴴ − G_Qᴴ·Q."""
    q, r = y
    k = min(a.shape[-2:])
    refuse("linalg.qr", q.shape[-1] > k, 'a result of mode="complete", whose last vectors are not '
           'determined. Use mode="reduced"')  # fmt: skip
    gq, gr = given(xp, g[0], q), given(xp, g[1], r)
    gq = gq + a[..., k:] @ adjoint(xp, gr[..., k:])
    rest = q @ gr[..., k:]
    gr, r = gr[..., :k], r[..., :k]
    inner = mirrored(xp, r @ adjoint(xp, gr) - adjoint(xp, gq) @ q)
    first = right_divided(xp, gq + q @ inner, r)
    return conj(xp, xp.concat([first, rest], axis=-1))


def check_mode(operands, params):
    """Refuse the other modes of NumPy."""
    if params["mode"] not in ("reduced", "complete"):
        raise ArgumentError(
            f'linalg.qr: mode {params["mode"]!r} is not "reduced" or "complete". For "r" take .R '
            "of the result."
        )


rule(
    "linalg.qr",
    lambda xp, a, /, *, mode="reduced": xp.linalg.qr(a, mode=mode),
    vjp=qr_vjp,
    doc="Return Q with orthonormal columns and the upper triangular R, with Q @ R = a.",
    kind=OTHER, domain=MATRIX, shapes=Shapes.MATRIX, parameters={"mode": Parameter.BASIS},
    outputs=("Q", "R"), check=check_mode,
)  # fmt: skip


def eigh_vjp(xp, g, y):
    """Return V·(diag(g_λ) + (Vᴴ·G_V) / (λ_j − λ_i))·Vᴴ, conjugated."""
    values, vectors = y
    inner = 0.0
    if g[0] is not None:
        inner = diagonal_matrix(xp, g[0])
    if g[1] is not None:
        what = "eigenvectors of repeated eigenvalues, which are not determined"
        inner = inner + over_differences(xp, vectors.mT @ g[1], values, "linalg.eigh", what)
    return hermitian(xp, conj(xp, vectors) @ inner @ vectors.mT)


rule(
    "linalg.eigh",
    lambda xp, a, /, *, UPLO="L": xp.linalg.eigh(a, UPLO=UPLO),
    vjp=eigh_vjp,
    doc="Return the eigenvalues of Hermitian matrices, in order, and their eigenvectors.\n\n"
    f"{SYMMETRIC}. It {PHASE}; eigenvectors of repeated eigenvalues have none.",
    kind=OTHER, domain=HERMITIAN, shapes=Shapes.SQUARE, outputs=("eigenvalues", "eigenvectors"),
    parameters={"UPLO": Parameter.TRIANGLE},
)  # fmt: skip
rule(
    "linalg.eigvalsh",
    lambda xp, a, /, *, UPLO="L": xp.linalg.eigvalsh(a, UPLO=UPLO),
    vjp=lambda xp, g, a, UPLO: eigh_vjp(xp, (g, None), xp.linalg.eigh(a, UPLO=UPLO)),
    doc=f"Return the eigenvalues of Hermitian matrices, in order.\n\n{SYMMETRIC}. Of repeated "
    "eigenvalues it is that of functions which treat them alike, such as their sum.",
    kind=OTHER, domain=HERMITIAN, shapes=Shapes.SQUARE, parameters={"UPLO": Parameter.TRIANGLE},
)  # fmt: skip


def eig_vjp(xp, g, y):
    """Return V⁻ᴴ·(diag(g_λ) + (VᴴG_V − VᴴV·Re diag(VᴴG_V)) / (λ_j − λ_i)*)·Vᴴ, conjugated."""
    values, vectors = y
    adj, inner = adjoint(xp, vectors), 0.0
    if g[0] is not None:
        inner = diagonal_matrix(xp, conj(xp, g[0]))
    if g[1] is not None:
        pulled = adj @ conj(xp, g[1])
        pulled = pulled - (adj @ vectors) * row(xp, xp.real(diagonal(xp, pulled)))
        what = "eigenvectors of repeated eigenvalues, which are not determined"
        inner = inner + over_differences(xp, pulled, conj(xp, values), "linalg.eig", what)
    return conj(xp, xp.linalg.solve(adj, inner @ adj))


def complex_(xp, a):
    """Return numbers as complex ones: whether all are real is found only while computing."""
    return xp.astype(a, xp.result_type(a.dtype, xp.complex64))


def eig(xp, a, /):
    """Return NumPy's answer as complex numbers."""
    values, vectors = xp.linalg.eig(a)
    return complex_(xp, values), complex_(xp, vectors)


rule(
    "linalg.eig",
    eig,
    vjp=eig_vjp,
    doc="Return the complex eigenvalues of square matrices and eigenvectors of length 1.\n\n"
    f"The gradient {PHASE}; repeated eigenvalues have none.",
    kind=OTHER, domain=MATRIX, shapes=Shapes.SQUARE, outputs=("eigenvalues", "eigenvectors"),
)  # fmt: skip
rule(
    "linalg.eigvals",
    lambda xp, a, /: complex_(xp, xp.linalg.eigvals(a)),
    vjp=lambda xp, g, a: eig_vjp(xp, (g, None), xp.linalg.eig(a)),
    doc="Return the complex eigenvalues of square matrices; only simple ones have a gradient.",
    kind=OTHER, domain=MATRIX, shapes=Shapes.SQUARE,
)  # fmt: skip


def of_basis(xp, basis, pulled, s):
    """Pull back to A what arrives at U, or to Aᴴ what arrives at V, less the other basis."""
    k, extra = s.shape[-1], known(pulled)
    if extra is not None:
        refuse("linalg.svd", extra[..., k:].any(), "the vectors that complete a basis, which are "
               "not determined. Use full_matrices=False")  # fmt: skip
    pulled = pulled[..., :k]
    inner = adjoint(xp, basis) @ pulled
    skew = inner - adjoint(xp, inner)
    what = "singular vectors of repeated singular values, which are not determined"
    sums = row(xp, s) + column(xp, s)
    within = over_differences(xp, skew / sums, s, "linalg.svd", what) * row(xp, s)
    if basis.dtype.kind == "c":  # the phases of U and V turn together: half from each
        within = within + diagonal_matrix(xp, 0.25 * diagonal(xp, skew) / s)
    if basis.shape[-2] == k:
        return basis @ within
    return basis @ within + (pulled - basis @ inner) / row(xp, s)


def svd_vjp(xp, g, y):
    """Return U·((skew(Uᴴ·G_U) / E)·S + S·(skew(Vᴴ·G_V) / E) + diag(g_S))·Vᴴ, E = s_j² − s_i².

    Where U or V has more rows than columns, what G has outside of their span comes in addition.
    """
    u, s, vh = y
    k = s.shape[-1]
    gu, gs, gv = conj(xp, g[0]), conj(xp, g[1]), conj(xp, g[2])
    gv = None if gv is None else adjoint(xp, gv)
    v, u = adjoint(xp, vh)[..., :k], u[..., :k]
    total = 0.0 if gs is None else u * row(xp, gs) @ adjoint(xp, v)
    if gu is not None:
        total = total + of_basis(xp, u, gu, s) @ adjoint(xp, v)
    if gv is not None:
        total = total + u @ adjoint(xp, of_basis(xp, v, gv, s))
    return conj(xp, total)


rule(
    "linalg.svd",
    lambda xp, a, /, *, full_matrices=True: xp.linalg.svd(a, full_matrices=full_matrices),
    vjp=svd_vjp,
    doc="Return U, S and Vᴴ with U @ diag(S) @ Vᴴ = a; S falls.\n\n"
    f"The gradient {PHASE}; vectors of repeated singular values, and those that complete a basis, "
    "have none.",
    kind=OTHER, domain=MATRIX, shapes=Shapes.MATRIX, outputs=("U", "S", "Vh"),
    parameters={"full_matrices": Parameter.BASIS},
)  # fmt: skip
rule(
    "linalg.svdvals",
    vjp=lambda xp, g, a: svd_vjp(
        xp, (None, g, None), xp.linalg.svd(a, full_matrices=False)
    ),
    doc="Return the singular values; they fall.",
    kind=OTHER, domain=MATRIX, shapes=Shapes.MATRIX,
)  # fmt: skip

# ---------------------------------------------------------------- functions of matrices

PADE = [1.0]  # the numerator of the approximation of exp, the denominator but for signs
for k in range(13):
    PADE.append(PADE[-1] * (13 - k) / ((26 - k) * (k + 1)))
REACH = 5.37  # up to which norm that approximation is exact in float64


def expm(xp, a, /):
    """Return the exponential of square matrices."""
    if hasattr(xp.linalg, "expm"):
        return xp.linalg.expm(a)
    size = float(xp.max(xp.sum(xp.abs(a), axis=-2))) if a.size else 0.0
    halvings = 0
    if REACH < size < inf:
        halvings = int(numpy.ceil(numpy.log2(size / REACH)))
    a = a / 2.0**halvings
    square, one = a @ a, xp.astype(eye(xp, a.shape[-1]), a.dtype)
    even = PADE[12] * one
    odd = PADE[13] * one
    for k in range(10, -1, -2):
        even, odd = even @ square + PADE[k] * one, odd @ square + PADE[k + 1] * one
    odd = a @ odd
    y = xp.linalg.solve(even - odd, even + odd)
    for _ in range(halvings):
        y = y @ y
    return y


def expm_vjp(xp, g, a):
    """Return the corner of the exponential of a matrix with aᵀ twice and g beside.

    It is linear in g, which is scaled, so that a large one does not outweigh a.
    """
    n = a.shape[-1]
    size = nonzero(xp, xp.sum(xp.abs(g), axis=(-2, -1), keepdims=True))
    g = g / size
    both = xp.concat([xp.concat([a.mT, g], axis=-1), xp.concat([0.0 * g, a.mT], axis=-1)], axis=-2)
    return size * expm(xp, both)[..., :n, n:]


rule(
    "linalg.expm",
    expm,
    vjp=expm_vjp,
    kind=OTHER, domain=MATRIX, shapes=Shapes.SQUARE,
)  # fmt: skip


def solve_sylvester(xp, a, b, q, /):
    """Return x with a @ x + x @ b = q.

    Needs SciPy. There is no such x if a and −b have an eigenvalue in common.
    """
    if 0 in (*a.shape, *b.shape, *q.shape):
        return a @ q @ b
    y = scipys(xp, "solve_sylvester")(a, b, q)
    off, size = (xp.max(xp.abs(one), axis=(-2, -1)) for one in (a @ y + y @ b - q, q))
    if xp.any(off > size / 2):  # LAPACK solves an equation nearby
        raise numpy.linalg.LinAlgError("a and −b have an eigenvalue in common")
    return y


def sylvester_right(xp, g, a, b):
    """Pull g back to the right side q of a·x + x·b = q."""
    return solve_sylvester(xp, a.mT, b.mT, g)


rule(
    "linalg.solve_sylvester",
    solve_sylvester,
    vjp=(lambda xp, g, a, b, y: -(sylvester_right(xp, g, a, b) @ y.mT),
         lambda xp, g, a, b, y: -(y.mT @ sylvester_right(xp, g, a, b)),
         sylvester_right),
    kind=OTHER, domain=(MATRIX, MATRIX, REAL), shapes=Shapes.BETWEEN, broadcasts=True,
)  # fmt: skip


def root_gradient(xp, g, y):
    """Solve y·s + s·y = g, transposed."""
    try:
        return solve_sylvester(xp, y.mT, y.mT, g)
    except numpy.linalg.LinAlgError:
        raise LinAlgError("linalg.sqrtm has no derivative at a singular matrix.") from None


rule(
    "linalg.sqrtm",
    lambda xp, a, /: scipys(xp, "sqrtm")(a),
    vjp=lambda xp, g, y: root_gradient(xp, g, y),
    doc="Return the square matrices whose squares these are, and no eigenvalue of theirs is "
    "negative.\n\nNeeds SciPy. The result is complex where an eigenvalue of a is negative.",
    kind=OTHER, domain=MATRIX, shapes=Shapes.SQUARE,
)  # fmt: skip
