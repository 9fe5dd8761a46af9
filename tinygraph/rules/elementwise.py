"""Rules for functions that act on each entry by itself.

Operands broadcast. A formula need not care: the engine sums its result back to the operand's shape
and casts it to the operand's dtype.
"""

from math import inf, log

from numpy import dtype

from ..errors import DTypeError
from .table import BOOLEAN, INTEGER, POSITIVE, REAL, Domain, Kind, Shapes, rule

ELEMENTWISE = Kind.ELEMENTWISE
APART = Domain(distinct=True)
UNTIED = (REAL, APART)  # the second operand's entries keep apart from the first's
NONZERO = REAL.without(0)
INNER = Domain(low=-1.0, high=1.0)
REAL_NUMBER = dtype(float)


def real_only(name):
    """Make the check that refuses complex numbers, where a formula is none for them."""

    def check(operands, params):
        for one in operands:
            if getattr(one, "dtype", REAL_NUMBER).kind == "c":
                raise DTypeError(
                    f"{name}: {one.dtype} is complex, and it has no derivative by complex numbers. "
                    "Take tg.real, tg.imag or tg.abs first."
                )

    return check


def share(xp, g, larger, equal):
    """Give g where an operand wins, half of it where both tie."""
    return xp.where(equal, 0.5 * g, xp.where(larger, g, 0.0))


def abs_vjp(xp, g, a, y):
    """Return g times the sign of a, or of its conjugate where a is complex."""
    if a.dtype.kind == "c":
        return g * (xp.conj(a) / nonzero(xp, y))
    return g * xp.sign(a)


def finite(xp, y):
    """Return y, but 0 where it is −∞."""
    return xp.where(y == -inf, 0.0, y)


def nonzero(xp, y):
    """Return y, but 1 where it is 0."""
    return xp.where(y == 0, 1.0, y)


def complex_sign_vjp(xp, g, a, y):
    """Return g turned along the circle on which y lies; it does not lead away from it."""
    return xp.where(y == 0, 0.0, (g - xp.conj(y * y * g)) / (2 * nonzero(xp, xp.abs(a))))


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
    "expm1", vjp=lambda xp, g, a: g * xp.exp(a),
    kind=ELEMENTWISE, domain=REAL,
    doc="Return e to the power of a, less 1; accurate for small a.",
)  # fmt: skip
rule(
    "log1p", vjp=lambda g, a: g / (1 + a),
    kind=ELEMENTWISE, domain=Domain(low=-1.0),
    doc="Return the natural logarithm of 1 + a; accurate for small a.",
)  # fmt: skip
rule(
    "log2", vjp=lambda g, a: g / (a * log(2)),
    kind=ELEMENTWISE, domain=POSITIVE,
    doc="Return the logarithm of a to the base 2.",
)  # fmt: skip
rule(
    "log10", vjp=lambda g, a: g / (a * log(10)),
    kind=ELEMENTWISE, domain=POSITIVE,
    doc="Return the logarithm of a to the base 10.",
)  # fmt: skip
rule(
    "logaddexp",
    vjp=(lambda xp, g, a, y: g * xp.exp(a - finite(xp, y)),
         lambda xp, g, b, y: g * xp.exp(b - finite(xp, y))),
    doc="Return the logarithm of the sum of the exponentials of a and b.",
    kind=ELEMENTWISE, domain=(REAL, REAL), commutative=True,
    convention="logaddexp of −inf and −inf gives 0",
)  # fmt: skip
rule(
    "sin", vjp=lambda xp, g, a: g * xp.cos(a),
    kind=ELEMENTWISE, domain=REAL,
    doc="Return the sine of a.",
)  # fmt: skip
rule(
    "cos", vjp=lambda xp, g, a: -g * xp.sin(a),
    kind=ELEMENTWISE, domain=REAL,
    doc="Return the cosine of a.",
)  # fmt: skip
rule(
    "tan", vjp=lambda g, y: g * (1 + y * y),
    kind=ELEMENTWISE, domain=Domain(low=-1.5, high=1.5),
    doc="Return the tangent of a.",
)  # fmt: skip
rule(
    "asin", vjp=lambda xp, g, a: g / xp.sqrt((-a - -1) * (a - -1)),  # keeps the sign of 0j
    kind=ELEMENTWISE, domain=INNER,
    doc="Return the angle whose sine is a.",
)  # fmt: skip
rule(
    "acos", vjp=lambda xp, g, a: -g / xp.sqrt((-a - -1) * (a - -1)),
    kind=ELEMENTWISE, domain=INNER,
    doc="Return the angle whose cosine is a.",
)  # fmt: skip
rule(
    "atan", vjp=lambda g, a: g / (1 + a * a),
    kind=ELEMENTWISE, domain=REAL,
    doc="Return the angle whose tangent is a.",
)  # fmt: skip
rule(
    "atan2",
    vjp=(lambda xp, g, a, b: g * (b / xp.hypot(a, b)) / xp.hypot(a, b),
         lambda xp, g, a, b: -g * (a / xp.hypot(a, b)) / xp.hypot(a, b)),
    doc="Return the angle of the point at height a and distance b to the right.",
    kind=ELEMENTWISE, domain=(NONZERO, REAL), check=real_only("atan2"),
)  # fmt: skip
rule(
    "hypot",
    vjp=(lambda xp, g, a, y: g * (a / nonzero(xp, y)),
         lambda xp, g, b, y: g * (b / nonzero(xp, y))),
    doc="Return the length of the hypotenuse over a and b.",
    kind=ELEMENTWISE, domain=(NONZERO, REAL), commutative=True,
    convention="hypot gives 0 at (0, 0)", check=real_only("hypot"),
)  # fmt: skip
rule(
    "sinh", vjp=lambda xp, g, a: g * xp.cosh(a),
    kind=ELEMENTWISE, domain=REAL,
    doc="Return the hyperbolic sine of a.",
)  # fmt: skip
rule(
    "cosh", vjp=lambda xp, g, a: g * xp.sinh(a),
    kind=ELEMENTWISE, domain=REAL,
    doc="Return the hyperbolic cosine of a.",
)  # fmt: skip
rule(
    "tanh", vjp=lambda g, y: g * (1 - y * y),
    kind=ELEMENTWISE, domain=REAL,
    doc="Return the hyperbolic tangent of a.",
)  # fmt: skip
rule(
    "asinh", vjp=lambda xp, g, a: g / xp.sqrt(a * a - -1),  # keeps the sign of 0j
    kind=ELEMENTWISE, domain=REAL,
    doc="Return the number whose hyperbolic sine is a.",
)  # fmt: skip
rule(
    "acosh", vjp=lambda xp, g, a: g / (xp.sqrt(a - 1) * xp.sqrt(a - -1)),
    kind=ELEMENTWISE, domain=Domain(low=1.0),
    doc="Return the number, at least 0, whose hyperbolic cosine is a.",
)  # fmt: skip
rule(
    "atanh", vjp=lambda g, a: g / ((1 - a) * (1 + a)),
    kind=ELEMENTWISE, domain=INNER,
    doc="Return the number whose hyperbolic tangent is a.",
)  # fmt: skip
rule(
    "nextafter", vjp=(lambda g: g, None),
    doc="Return the next number after a on the way to b.",
    kind=ELEMENTWISE, domain=REAL,
)  # fmt: skip
rule(
    "remainder",
    vjp=(lambda g: g,
         lambda xp, g, a, b: -g * xp.floor_divide(a, b)),
    doc="Return what is left of a after taking off b a whole number of times; it has b's sign.",
    # Between 1 and 2 times b, to stay between two jumps.
    kind=ELEMENTWISE, domain=(Domain(4.0, 5.0), Domain(2.5, 4.0)), symbol="%",
)  # fmt: skip
rule(
    "copysign",
    vjp=(lambda xp, g, a, y: g * (xp.sign(a) * xp.sign(y)),
         None),
    doc="Return a with the sign of b.",
    kind=ELEMENTWISE, domain=(NONZERO, NONZERO), convention="copysign gives 0 at 0",
)  # fmt: skip
rule(
    "clip",
    lambda xp, a, low, high, /: xp.clip(a, low, high),
    vjp=(lambda xp, g, a, low, high: xp.where((low <= a) & (a <= high), g, 0.0),
         lambda xp, g, a, low, high: xp.where((a < low) & (low <= high), g, 0.0),
         lambda xp, g, a, low, high: xp.where((high < a) | (high < low), g, 0.0)),
    doc="Return a, or the nearest of two bounds where it lies outside of them.",
    kind=ELEMENTWISE, domain=(REAL, APART, APART),
    convention="clip gives 1 on its closed interval",
)  # fmt: skip
rule(
    "complex_sign",
    lambda xp, a, /: xp.sign(a),
    vjp=complex_sign_vjp,
    doc="Return a / |a|, or 0 where a is 0.",
    kind=Kind.OTHER, domain=NONZERO, shapes=Shapes.BROADCAST, broadcasts=True, symbol="sign",
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
    ("floor", "floor", "the largest whole number that is at most a"),
    ("ceil", "ceil", "the smallest whole number that is at least a"),
    ("trunc", "trunc", "a without its fraction"),
    ("round", "round", "the whole number nearest to a, of two the even one"),
    ("signbit", "signbit", "whether the sign of a is minus, that of zero too"),
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
    ("logical_xor", "xor", "whether just one of a and b is true"),
):
    rule(
        name, vjp=(None, None),
        kind=ELEMENTWISE, domain=(REAL, REAL), symbol=symbol, doc=f"Return {returned}.",
    )  # fmt: skip
rule(
    "floor_divide", vjp=(None, None),
    kind=ELEMENTWISE, domain=(REAL, NONZERO), symbol="//",
    doc="Return the largest whole number that is at most a / b.",
)  # fmt: skip
for name, symbol, returned, domain in (
    ("bitwise_and", "&", "the bits that a and b have in common", BOOLEAN),
    ("bitwise_or", "|", "the bits that a or b has", BOOLEAN),
    ("bitwise_xor", "^", "the bits that only one of a and b has", BOOLEAN),
    ("bitwise_left_shift", "<<", "a with its bits moved b places to the left", INTEGER),
    ("bitwise_right_shift", ">>", "a with its bits moved b places to the right", INTEGER),
):
    rule(
        name, vjp=(None, None),
        kind=ELEMENTWISE, domain=(domain, domain), symbol=symbol, doc=f"Return {returned}.",
    )  # fmt: skip
rule(
    "bitwise_invert", vjp=None,
    kind=ELEMENTWISE, domain=BOOLEAN, symbol="~", doc="Return a with every bit turned over.",
)  # fmt: skip
