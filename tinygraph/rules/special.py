"""Rules for the special functions of SciPy, which has to be installed for them.

Formulas: Digital Library of Mathematical Functions, chapters 5 (gamma), 7 (error functions) and
10 (Bessel functions).
"""

from math import inf, pi, sqrt
from typing import Any

from ..errors import DTypeError, MissingDependencyError
from .nn import ROOT_TWO_PI
from .table import POSITIVE, REAL, Domain, Kind, rule

UNIT = Domain(0.0, 1.0)
AWAY = Domain(0.25, inf)  # from poles and zeros
ORDER = Domain(1.0, 5.0, of="integer")
TWO_BY_ROOT_PI = 2 / sqrt(pi)


def special(xp):
    """Return the namespace of special functions: that of Tensors, or SciPy's."""
    if hasattr(xp, "special"):
        return xp.special
    try:
        from scipy import special as functions
    except ImportError:
        raise MissingDependencyError(
            "special: these functions are SciPy's. Run pip install scipy."
        ) from None
    return functions


def halved(xp, a, y, sign, scale=1.0):
    """Return y / a of J₁ (sign −1) or scaled I₁ (sign 1); near 0 by the series 1/2 ± a²/16 + …."""
    near = xp.abs(a) < 0.01
    square = xp.where(near, a, 0.0) ** 2
    series = scale * (0.5 + square * (sign / 16 + square / 384))
    return xp.where(near, series, y / xp.where(near, 1.0, a))


def log_ndtr_slope(xp, a, y):
    """Return φ(a) / Φ(a); for negative a by erfcx, since a² / 2 and y would cancel."""
    below, root = a < 0, sqrt(2)
    rising = 2 / ROOT_TWO_PI / special(xp).erfcx(xp.where(below, -a / root, 0.0))
    falling = xp.exp(-a * a / 2 - xp.where(below, 0.0, y)) / ROOT_TWO_PI
    return xp.where(below, rising, falling)


def neighbours(xp, name, a, b, sign):
    """Return half the sum, or difference, of the functions of the orders before and after."""
    bessel = getattr(special(xp), name)
    return (bessel(a - 1, b) + sign * bessel(a + 1, b)) / 2


def gamma_density(xp, g, a, b):
    """Return g times the derivative of gammainc."""
    return g * xp.exp(special(xp).xlogy(a - 1, b) - b - special(xp).gammaln(a))


def function(name, *vjp, domain=REAL, convention=""):
    """Enter a function of one to three operands, under SciPy's name."""
    forward: Any = [
        lambda xp, a, /: getattr(special(xp), name)(a),
        lambda xp, a, b, /: getattr(special(xp), name)(a, b),
        lambda xp, a, b, c, /: getattr(special(xp), name)(a, b, c),
    ][len(vjp) - 1]
    rule(
        f"special.{name}", forward, vjp=vjp, kind=Kind.ELEMENTWISE, domain=domain,
        convention=convention, doc=f"Return scipy.special.{name} of each entry.",
    )  # fmt: skip


def of_order(name, slope, orders=1, domain=AWAY):
    """Enter a function whose derivative with respect to its first operands nobody can write out."""

    def unknown(g):
        raise DTypeError(
            f"special.{name} has a formula for the derivative with respect to its last operand "
            "alone. Give the others as numbers, arrays, or x.detach()."
        )

    function(name, *[unknown] * orders, slope, domain=(*[ORDER] * orders, domain))


function("erf", lambda xp, g, a: g * (TWO_BY_ROOT_PI * xp.exp(-a * a)))
function("erfc", lambda xp, g, a: g * (-TWO_BY_ROOT_PI * xp.exp(-a * a)))
function("erfcx", lambda g, a, y: g * (2 * a * y - TWO_BY_ROOT_PI), domain=Domain(-3.0, inf))
function("erfinv", lambda xp, g, y: g * (xp.exp(y * y) / TWO_BY_ROOT_PI),
         domain=Domain(-0.99, 0.99))  # fmt: skip
function("erfcinv", lambda xp, g, y: g * (-xp.exp(y * y) / TWO_BY_ROOT_PI),
         domain=Domain(0.01, 1.99))  # fmt: skip
function("ndtr", lambda xp, g, a: g * (xp.exp(-a * a / 2) / ROOT_TWO_PI))
function("ndtri", lambda xp, g, y: g * (xp.exp(y * y / 2) * ROOT_TWO_PI), domain=Domain(0.01, 0.99))
function("log_ndtr", lambda xp, g, a, y: g * log_ndtr_slope(xp, a, y))
function("expit", lambda g, y: g * (y * (1 - y)))
function("logit", lambda g, a: g / (a * (1 - a)), domain=UNIT)
function("log_expit", lambda xp, g, a: g * special(xp).expit(-a))
of_order("hyp1f1", lambda xp, g, a, b, c: g * (special(xp).hyp1f1(a + 1, b + 1, c) * (a / b)),
         orders=2, domain=REAL)  # fmt: skip
function("exprel", lambda xp, g, a: g * (special(xp).hyp1f1(2.0, 3.0, a) / 2))
function("entr", lambda xp, g, a: g * (-xp.log(a) - 1), domain=POSITIVE)
function("xlogy",
         lambda xp, g, a, b: g * xp.log(xp.where((a == 0) & (b <= 0), 1.0, b)),
         lambda xp, g, a, b: g * (a / xp.where((a == 0) & (b <= 0), 1.0, b)),
         domain=(REAL, POSITIVE), convention="a = 0 and b = 0 give 0")  # fmt: skip
function("xlog1py",
         lambda xp, g, a, b: g * xp.log1p(xp.where((a == 0) & (b <= -1), 0.0, b)),
         lambda xp, g, a, b: g * (a / (1 + xp.where((a == 0) & (b <= -1), 0.0, b))),
         domain=(REAL, POSITIVE), convention="a = 0 and b = −1 give 0")  # fmt: skip
function("gammaln", lambda xp, g, a: g * special(xp).digamma(a), domain=AWAY)
function("gamma", lambda xp, g, a, y: g * (y * special(xp).digamma(a)), domain=AWAY)
function("rgamma", lambda xp, g, a, y: -g * (y * special(xp).digamma(a)), domain=AWAY)
function("digamma", lambda xp, g, a: g * special(xp).polygamma(1, a), domain=AWAY)
of_order("polygamma", lambda xp, g, a, b: g * special(xp).polygamma(a + 1, b))
function("gammasgn", None)
of_order("gammainc", gamma_density)
of_order("gammaincc", lambda xp, g, a, b: -gamma_density(xp, g, a, b))
of_order("betainc",
         lambda xp, g, a, b, c: g * xp.exp(
             special(xp).xlogy(a - 1, c) + special(xp).xlog1py(b - 1, -c) - special(xp).betaln(a, b)
         ),
         orders=2, domain=UNIT)  # fmt: skip
function("betaln",
         lambda xp, g, a, b: g * (special(xp).digamma(a) - special(xp).digamma(a + b)),
         lambda xp, g, a, b: g * (special(xp).digamma(b) - special(xp).digamma(a + b)),
         domain=AWAY)  # fmt: skip
function("beta",
         lambda xp, g, a, b, y: g * (y * (special(xp).digamma(a) - special(xp).digamma(a + b))),
         lambda xp, g, a, b, y: g * (y * (special(xp).digamma(b) - special(xp).digamma(a + b))),
         domain=AWAY)  # fmt: skip
function("j0", lambda xp, g, a: -g * special(xp).j1(a))
function("j1", lambda xp, g, a, y: g * (special(xp).j0(a) - halved(xp, a, y, -1)), domain=AWAY)
function("y0", lambda xp, g, a: -g * special(xp).y1(a), domain=AWAY)
function("y1", lambda xp, g, a, y: g * (special(xp).y0(a) - y / a), domain=AWAY)
function("i0", lambda xp, g, a: g * special(xp).i1(a))
function("i1", lambda xp, g, a, y: g * (special(xp).i0(a) - halved(xp, a, y, 1)), domain=AWAY)
function("i0e", lambda xp, g, a, y: g * (special(xp).i1e(a) - xp.sign(a) * y),
         domain=REAL.without(0), convention="i0e at 0 gives 0")  # fmt: skip
function("i1e",
         lambda xp, g, a, y: g * (
             special(xp).i0e(a) - xp.sign(a) * y - halved(xp, a, y, 1, xp.exp(-xp.abs(a)))
         ),
         domain=REAL.without(0))  # fmt: skip
function("k0", lambda xp, g, a: -g * special(xp).k1(a), domain=AWAY)
function("k1", lambda xp, g, a, y: g * (-special(xp).k0(a) - y / a), domain=AWAY)
of_order("jv", lambda xp, g, a, b: g * neighbours(xp, "jv", a, b, -1), domain=REAL)
of_order("yv", lambda xp, g, a, b: g * neighbours(xp, "yv", a, b, -1))
of_order("yn", lambda xp, g, a, b: g * neighbours(xp, "yn", a, b, -1))
of_order("iv", lambda xp, g, a, b: g * neighbours(xp, "iv", a, b, 1), domain=REAL.without(0))
of_order("ive", lambda xp, g, a, b, y: g * (neighbours(xp, "ive", a, b, 1) - xp.sign(b) * y),
         domain=REAL.without(0))  # fmt: skip
of_order("kv", lambda xp, g, a, b: -g * neighbours(xp, "kv", a, b, 1))
of_order("kn", lambda xp, g, a, b: -g * neighbours(xp, "kn", a, b, 1))
of_order("kve", lambda xp, g, a, b, y: g * (y - neighbours(xp, "kve", a, b, 1)))
