"""Rules for functions that act on each entry by itself.

Operands broadcast. A formula need not care: the engine sums its result back to the operand's shape
and casts it to the operand's dtype.
"""

from .table import BOOLEAN, POSITIVE, REAL, Domain, Kind, rule

ELEMENTWISE = Kind.ELEMENTWISE
UNTIED = (REAL, Domain(distinct=True))  # the second operand's entries keep apart from the first's


def share(xp, g, larger, equal):
    """Give g where an operand wins, half of it where both tie."""
    return xp.where(equal, 0.5 * g, xp.where(larger, g, 0.0))


rule(
    "add",
    vjp=(lambda g: g, lambda g: g),
    kind=ELEMENTWISE, domain=(REAL, REAL), symbol="+", commutative=True,
)  # fmt: skip
rule(
    "subtract",
    vjp=(lambda g: g, lambda g: -g),
    kind=ELEMENTWISE, domain=(REAL, REAL), symbol="−",
)  # fmt: skip
rule(
    "multiply",
    vjp=(lambda g, b: g * b, lambda g, a: g * a),
    kind=ELEMENTWISE, domain=(REAL, REAL), symbol="×", commutative=True,
)  # fmt: skip
rule(
    "divide",
    vjp=(lambda g, b: g / b, lambda g, b, y: -g * y / b),
    kind=ELEMENTWISE, domain=(REAL, REAL.without(0)), symbol="÷",
)  # fmt: skip
rule(
    "power",
    lambda xp, a, b: xp.pow(a, b),
    vjp=(
        # b = 0 and a = 0 give 0 here, where b · a**(b − 1) and y · log(a) would be 0 · ∞.
        lambda xp, g, a, b: g * xp.where(b == 0, 0.0, b * a ** xp.where(b == 0, 1.0, b - 1)),
        lambda xp, g, a, y: g * y * xp.log(xp.where((a == 0) & (y == 0), 1.0, a)),
    ),
    kind=ELEMENTWISE, domain=(POSITIVE, REAL), symbol="**",
    convention="x**0 gives 0 for x; 0**y with y > 0 gives 0 for y",
)  # fmt: skip
rule("negative", vjp=lambda g: -g, kind=ELEMENTWISE, domain=REAL, symbol="−")
rule("positive", vjp=lambda g: g, kind=ELEMENTWISE, domain=REAL, symbol="+")
rule("square", vjp=lambda g, a: g * (2 * a), kind=ELEMENTWISE, domain=REAL, symbol="²")
rule(
    "reciprocal",
    lambda xp, a: 1 / a,
    vjp=lambda g, y: -g * y * y,
    kind=ELEMENTWISE, domain=REAL.without(0),
)  # fmt: skip
rule("exp", vjp=lambda g, y: g * y, kind=ELEMENTWISE, domain=REAL)
rule("log", vjp=lambda g, a: g / a, kind=ELEMENTWISE, domain=POSITIVE)
rule(
    "sqrt", vjp=lambda g, y: g / (2 * y),
    kind=ELEMENTWISE, domain=POSITIVE, convention="sqrt'(0) = inf, the true limit",
)  # fmt: skip
rule("tanh", vjp=lambda g, y: g * (1 - y * y), kind=ELEMENTWISE, domain=REAL)
rule(
    "abs", vjp=lambda xp, g, a: g * xp.sign(a),
    kind=ELEMENTWISE, domain=REAL.without(0), convention="abs'(0) = 0",
)  # fmt: skip
rule(
    "maximum",
    vjp=(lambda xp, g, a, b: share(xp, g, a > b, a == b),
         lambda xp, g, a, b: share(xp, g, b > a, a == b)),
    kind=ELEMENTWISE, domain=UNTIED, commutative=True,
    convention="a tie gives each operand half",
)  # fmt: skip
rule(
    "minimum",
    vjp=(lambda xp, g, a, b: share(xp, g, a < b, a == b),
         lambda xp, g, a, b: share(xp, g, b < a, a == b)),
    kind=ELEMENTWISE, domain=UNTIED, commutative=True,
    convention="a tie gives each operand half",
)  # fmt: skip
rule(
    "where",
    lambda xp, condition, a, b: xp.where(condition, a, b),
    vjp=(None,
         lambda xp, g, condition: xp.where(condition, g, 0.0),
         lambda xp, g, condition: xp.where(condition, 0.0, g)),
    kind=ELEMENTWISE, domain=(BOOLEAN, REAL, REAL),
)  # fmt: skip

# Constant between their jumps: there is no gradient to speak of, so none is recorded.
for name, symbol in {
    "sign": "sign", "isnan": "isnan", "isinf": "isinf", "isfinite": "isfinite",
    "logical_not": "not",
}.items():  # fmt: skip
    rule(name, vjp=None, kind=ELEMENTWISE, domain=REAL, symbol=symbol)
for name, symbol in {
    "equal": "=", "not_equal": "≠", "less": "<", "less_equal": "≤", "greater": ">",
    "greater_equal": "≥", "logical_and": "and", "logical_or": "or",
}.items():  # fmt: skip
    rule(name, vjp=(None, None), kind=ELEMENTWISE, domain=(REAL, REAL), symbol=symbol)
for name, symbol in {"bitwise_and": "&", "bitwise_or": "|", "bitwise_xor": "^"}.items():
    rule(name, vjp=(None, None), kind=ELEMENTWISE, domain=(BOOLEAN, BOOLEAN), symbol=symbol)
rule("bitwise_invert", vjp=None, kind=ELEMENTWISE, domain=BOOLEAN, symbol="~")
