"""Rules for discrete Fourier transforms; those over several axes are made of these.

A transform is linear, and its matrix symmetric: the transposed function transforms too.
"""

from ..errors import ArgumentError
from .table import REAL, Kind, Parameter, Shapes, rule


def swapped(norm):
    """Return the normalisation of the transform the other way."""
    ways = {None: "forward", "backward": "forward", "forward": "backward", "ortho": "ortho"}
    if norm not in ways:
        raise ArgumentError(f'fft: norm is "backward", "ortho" or "forward", not {norm!r}.')
    return ways[norm]


def fitted(xp, a, length, axis):
    """Cut an axis off at a length, or fill it up with zeros."""
    shape, axis = list(a.shape), axis % a.ndim
    if shape[axis] >= length:
        return a[(slice(None),) * axis + (slice(length), ...)]
    shape[axis] = length - shape[axis]
    return xp.concat([a, xp.zeros(tuple(shape), dtype=a.dtype)], axis=axis)


def rfft_vjp(xp, g, a_shape, n, axis, norm):
    """Transform g, with zeros for the frequencies that were left out."""
    points = a_shape[axis] if n is None else n
    pulled = xp.fft.fft(g, n=points, axis=axis, norm=norm)
    return fitted(xp, pulled, a_shape[axis], axis)  # of which the engine takes the real part


def irfft_vjp(xp, g, a_shape, axis, norm):
    """Transform g; all frequencies count twice but those that are their own conjugates."""
    points, after = g.shape[axis], g.ndim - axis % g.ndim - 1
    pulled = xp.conj(xp.fft.rfft(g, axis=axis, norm=swapped(norm)))
    k = xp.reshape(xp.arange(points // 2 + 1), (points // 2 + 1, *(1,) * after))
    pulled = xp.where((k == 0) | (2 * k == points), pulled, 2.0 * pulled)
    return fitted(xp, pulled, a_shape[axis], axis)


PARAMETERS = {"n": Parameter.POINTS, "axis": Parameter.AXIS, "norm": Parameter.NORM}
POINTS = "The axis is cut off or filled up with zeros to n points."

rule(
    "fft.fft",
    lambda xp, a, /, *, n=None, axis=-1, norm="backward": xp.fft.fft(a, n=n, axis=axis, norm=norm),
    vjp=lambda xp, g, a_shape, axis, norm: fitted(
        xp, xp.fft.fft(g, axis=axis, norm=norm), a_shape[axis], axis
    ),
    doc=f"Return the discrete Fourier transform over an axis.\n\n{POINTS}",
    kind=Kind.LINEAR, domain=REAL, shapes=Shapes.NONEMPTY, parameters=PARAMETERS,
)  # fmt: skip
rule(
    "fft.ifft",
    lambda xp, a, /, *, n=None, axis=-1, norm="backward": xp.fft.ifft(a, n=n, axis=axis, norm=norm),
    vjp=lambda xp, g, a_shape, axis, norm: fitted(
        xp, xp.fft.ifft(g, axis=axis, norm=norm), a_shape[axis], axis
    ),
    doc=f"Return the inverse of the discrete Fourier transform over an axis.\n\n{POINTS}",
    kind=Kind.LINEAR, domain=REAL, shapes=Shapes.NONEMPTY, parameters=PARAMETERS,
)  # fmt: skip
rule(
    "fft.rfft",
    lambda xp, a, /, *, n=None, axis=-1, norm="backward": xp.fft.rfft(a, n=n, axis=axis, norm=norm),
    vjp=rfft_vjp,
    doc=f"Return the first half of the transform of real numbers over an axis.\n\n{POINTS}",
    kind=Kind.LINEAR, domain=REAL, shapes=Shapes.NONEMPTY, parameters=PARAMETERS,
)  # fmt: skip
rule(
    "fft.irfft",
    lambda xp, a, /, *, n=None, axis=-1, norm="backward": xp.fft.irfft(
        a, n=n, axis=axis, norm=norm
    ),
    vjp=irfft_vjp,
    doc="Return the real numbers that a half of a transform over an axis is of: n of them.",
    kind=Kind.LINEAR, domain=REAL, shapes=Shapes.NONEMPTY, parameters=PARAMETERS,
)  # fmt: skip
