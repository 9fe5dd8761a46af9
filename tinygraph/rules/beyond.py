"""Rules for NumPy's functions that the array API standard lacks."""

from math import log, pi

from .elementwise import UNTIED, finite, share
from .table import REAL, Domain, Kind, rule

ELEMENTWISE = Kind.ELEMENTWISE


def picked(xp, g, a, b, wins):
    """Give g to the operand that is returned; of a number and NaN, that is the number."""
    return share(xp, g, wins | (xp.isnan(b) & ~xp.isnan(a)), a == b)


def sinc_slope(xp, a, y):
    """Return the derivative of sinc; near 0, where cos(πa) − y cancels, by its series."""
    near, series = xp.abs(a) < 0.1, 1.0
    square = (pi * xp.where(near, a, 0.0)) ** 2
    for k in (5, 4, 3, 2, 1):
        series = 1.0 - square / (2 * k * (2 * k + 3)) * series
    return xp.where(near, -pi * pi / 3 * a * series, (xp.cos(pi * a) - y) / xp.where(near, 1.0, a))


rule(
    "exp2", vjp=lambda g, y: g * (log(2) * y),
    doc="Return 2 to the power of a.",
    kind=ELEMENTWISE, domain=REAL,
)  # fmt: skip
rule(
    "cbrt", vjp=lambda g, y: g / (3 * y * y),
    doc="Return the cube root of a.",
    kind=ELEMENTWISE, domain=REAL.without(0), convention="cbrt'(0) = inf, the true limit",
)  # fmt: skip
rule(
    "sinc",
    lambda xp, a, /: xp.sinc(a),
    vjp=lambda xp, g, a, y: g * sinc_slope(xp, a, y),
    doc="Return sin(πa) / (πa).",
    kind=ELEMENTWISE, domain=REAL,
)  # fmt: skip
rule(
    "deg2rad", vjp=lambda g: g * (pi / 180),
    doc="Return an angle in radians.",
    kind=ELEMENTWISE, domain=REAL,
)  # fmt: skip
rule(
    "rad2deg", vjp=lambda g: g * (180 / pi),
    doc="Return an angle in degrees.",
    kind=ELEMENTWISE, domain=REAL,
)  # fmt: skip
rule(
    "fmax",
    vjp=(lambda xp, g, a, b: picked(xp, g, a, b, a > b),
         lambda xp, g, a, b: picked(xp, g, b, a, b > a)),
    doc="Return the larger one of a and b, of a number and NaN the number.",
    kind=ELEMENTWISE, domain=UNTIED, commutative=True, convention="a tie gives each operand half",
)  # fmt: skip
rule(
    "fmin",
    vjp=(lambda xp, g, a, b: picked(xp, g, a, b, a < b),
         lambda xp, g, a, b: picked(xp, g, b, a, b < a)),
    doc="Return the smaller one of a and b, of a number and NaN the number.",
    kind=ELEMENTWISE, domain=UNTIED, commutative=True, convention="a tie gives each operand half",
)  # fmt: skip
rule(
    "fmod",
    vjp=(lambda g: g, lambda xp, g, a, b, y: -g * xp.round((a - y) / b)),
    doc="Return the remainder of a / b, with the sign of a.",
    kind=ELEMENTWISE, domain=(Domain(0.1, 0.9), Domain(1.0, 2.0)),
    convention="the derivative of the branch, at jumps too",
)  # fmt: skip
rule(
    "logaddexp2",
    vjp=(lambda xp, g, a, y: g * xp.exp2(a - finite(xp, y)),
         lambda xp, g, b, y: g * xp.exp2(b - finite(xp, y))),
    doc="Return log₂(2ᵃ + 2ᵇ) without overflow.",
    kind=ELEMENTWISE, domain=REAL, commutative=True,
    convention="logaddexp2 of −inf and −inf gives 0",
)  # fmt: skip
