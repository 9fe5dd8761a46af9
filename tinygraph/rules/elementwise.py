"""Rules for functions that act on each entry by itself.

Operands broadcast. A formula need not care: the engine sums its result back to the operand's shape
and casts it to the operand's dtype.
"""

from .table import BOOLEAN, POSITIVE, REAL, Domain, Kind, Shapes, rule

ELEMENTWISE = Kind.ELEMENTWISE
UNTIED = (REAL, Domain(distinct=True))  # the second operand's entries keep apart from the first's


def share(xp, g, larger, equal):
    """Give g where an operand wins, half of it where both tie."""
    return xp.where(equal, 0.5 * g, xp.where(larger, g, 0.0))


def abs_vjp(xp, g, a, y):
    """Return g times the sign of a, or of its conjugate where a is complex."""
    if a.dtype.kind == "c":
        return g * (xp.conj(a) / xp.where(y == 0, 1.0, y))
    return g * xp.sign(a)


rule(
    "add",
    vjp=(lambda g: g, lambda g: g),
    doc="Return the sum a + b.",
    kind=ELEMENTWISE, domain=(REAL, REAL), symbol="+", commutative=True,
)  # fmt: skip
rule(
    "subtract",
    vjp=(lambda g: g, lambda g: -g),
    doc="Return the difference a − b.",
    kind=ELEMENTWISE, domain=(REAL, REAL), symbol="−",
)  # fmt: skip
rule(
    "multiply",
    vjp=(lambda g, b: g * b, lambda g, a: g * a),
    doc="Return the product a · b.",
    kind=ELEMENTWISE, domain=(REAL, REAL), symbol="×", commutative=True,
)  # fmt: skip
rule(
    "divide",
    vjp=(lambda g, b: g / b, lambda g, b, y: -g * y / b),
    doc="Return the quotient a / b.",
    kind=ELEMENTWISE, domain=(REAL, REAL.without(0)), symbol="÷",
)  # fmt: skip
rule(
    "pow",
    vjp=(
        # At a = 0 another base keeps b · a**(b − 1) with b = 0, and y · log(a) with b ≥ 0, from ∞.
        lambda xp, g, a, b: g * b * xp.where((a == 0) & (b == 0), 1.0, a) ** (b - 1),
        lambda xp, g, a, y: g * y * xp.log(xp.where((a == 0) & xp.isfinite(y), 1.0, a)),
    ),
    doc="Return a to the power of b.",
    kind=ELEMENTWISE, domain=(POSITIVE, REAL), symbol="**",
    convention="x**0 gives 0 for x; 0**y with y ≥ 0 gives 0 for y",
)  # fmt: skip
rule(
    "negative", vjp=lambda g: -g,
    kind=ELEMENTWISE, domain=REAL, symbol="−",
    doc="Return −a.",
)  # fmt: skip
rule(
    "positive", vjp=lambda g: g,
    kind=ELEMENTWISE, domain=REAL, symbol="+",
    doc="Return a, as a result of its own.",
)  # fmt: skip
rule(
    "square", vjp=lambda g, a: g * (2 * a),
    kind=ELEMENTWISE, domain=REAL, symbol="²",
    doc="Return a².",
)  # fmt: skip
rule(
    "reciprocal",
    lambda xp, a, /: 1 / a,
    vjp=lambda g, y: -g * y * y,
    doc="Return 1 / a.",
    kind=ELEMENTWISE, domain=REAL.without(0),
)  # fmt: skip
rule(
    "exp", vjp=lambda g, y: g * y,
    kind=ELEMENTWISE, domain=REAL,
    doc="Return e to the power of a.",
)  # fmt: skip
rule(
    "log", vjp=lambda g, a: g / a,
    kind=ELEMENTWISE, domain=POSITIVE,
    doc="Return the natural logarithm of a.",
)  # fmt: skip
rule(
    "sqrt", vjp=lambda g, y: g / (2 * y),
    doc="Return the square root of a.",
    kind=ELEMENTWISE, domain=POSITIVE, convention="sqrt'(0) = inf, the true limit",
)  # fmt: skip
rule(
    "tanh", vjp=lambda g, y: g * (1 - y * y),
    kind=ELEMENTWISE, domain=REAL,
    doc="Return the hyperbolic tangent of a.",
)  # fmt: skip
rule(
    "abs", vjp=abs_vjp,
    doc="Return the absolute value of a.",
    kind=ELEMENTWISE, domain=REAL.without(0), convention="abs'(0) = 0",
)  # fmt: skip
rule(
    "maximum",
    vjp=(lambda xp, g, a, b: share(xp, g, a > b, a == b),
         lambda xp, g, a, b: share(xp, g, b > a, a == b)),
    doc="Return the larger one of a and b.",
    kind=ELEMENTWISE, domain=UNTIED, commutative=True,
    convention="a tie gives each operand half",
)  # fmt: skip
rule(
    "minimum",
    vjp=(lambda xp, g, a, b: share(xp, g, a < b, a == b),
         lambda xp, g, a, b: share(xp, g, b < a, a == b)),
    doc="Return the smaller one of a and b.",
    kind=ELEMENTWISE, domain=UNTIED, commutative=True,
    convention="a tie gives each operand half",
)  # fmt: skip
rule(
    "where",
    lambda xp, condition, a, b, /: xp.where(condition, a, b),
    vjp=(None,
         lambda xp, g, condition: xp.where(condition, g, 0.0),
         lambda xp, g, condition: xp.where(condition, 0.0, g)),
    doc="Return a where the condition holds, b elsewhere.",
    kind=ELEMENTWISE, domain=(BOOLEAN, REAL, REAL),
)  # fmt: skip

rule(
    "conj", vjp=lambda xp, g: xp.conj(g),
    doc="Return the complex conjugate of a.",
    kind=Kind.LINEAR, domain=REAL, shapes=Shapes.BROADCAST, broadcasts=True,
)  # fmt: skip
rule(
    "real",
    lambda xp, a, /: xp.real(a),
    vjp=lambda g: g,
    doc="Return the real part of a.",
    kind=Kind.LINEAR, domain=REAL, shapes=Shapes.BROADCAST, view=True,
)  # fmt: skip
rule(
    "imag",
    lambda xp, a, /: xp.imag(a),
    vjp=lambda g: g * -1j,
    doc="Return the imaginary part of a.",
    kind=Kind.LINEAR, domain=REAL, shapes=Shapes.BROADCAST, view=True,
)  # fmt: skip

# Constant between their jumps: there is no gradient to speak of, so none is recorded.
for name, symbol, returned in (
    ("sign", "sign", "the sign of a: −1, 0 or 1"),
    ("isnan", "isnan", "whether a is not a number"),
    ("isinf", "isinf", "whether a is infinite"),
    ("isfinite", "isfinite", "whether a is neither infinite nor not a number"),
    ("logical_not", "not", "whether a is zero or False"),
):
    rule(name, vjp=None, kind=ELEMENTWISE, domain=REAL, symbol=symbol, doc=f"Return {returned}.")
for name, symbol, returned in (
    ("equal", "=", "whether a equals b"),
    ("not_equal", "≠", "whether a differs from b"),
    ("less", "<", "whether a is less than b"),
    ("less_equal", "≤", "whether a is at most b"),
    ("greater", ">", "whether a is greater than b"),
    ("greater_equal", "≥", "whether a is at least b"),
    ("logical_and", "and", "whether both a and b are true"),
    ("logical_or", "or", "whether a or b is true"),
):
    rule(
        name, vjp=(None, None),
        kind=ELEMENTWISE, domain=(REAL, REAL), symbol=symbol, doc=f"Return {returned}.",
    )  # fmt: skip
for name, symbol, returned in (
    ("bitwise_and", "&", "the bits that a and b have in common"),
    ("bitwise_or", "|", "the bits that a or b has"),
    ("bitwise_xor", "^", "the bits that only one of a and b has"),
):
    rule(
        name, vjp=(None, None),
        kind=ELEMENTWISE, domain=(BOOLEAN, BOOLEAN), symbol=symbol, doc=f"Return {returned}.",
    )  # fmt: skip
rule(
    "bitwise_invert", vjp=None,
    kind=ELEMENTWISE, domain=BOOLEAN, symbol="~", doc="Return a with every bit turned over.",
)  # fmt: skip
