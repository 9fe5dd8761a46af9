"""Fourier transforms over Tensors: the array API standard's extension, and NumPy's."""

from collections.abc import Callable
from typing import Any

import numpy

from . import namespace as xp
from .errors import ShapeError
from .namespace import chapter
from .rules.fft import swapped
from .tensor import Tensor, wrap

get, __dir__ = chapter("fft.", globals())
__getattr__ = get
fft, ifft, rfft, irfft = map(get, ("fft", "ifft", "rfft", "irfft"))


def over(name: str, x: Any, s: Any, axes: Any) -> list[tuple[int | None, int]]:
    """Return the axes to transform, each after its number of points; None for as many as it has."""
    x = xp.asarray(x)
    if axes is None:
        axes = range(-x.ndim if s is None else -len(s), 0)
    s = (None,) * len(axes) if s is None else s
    if len(s) != len(axes):
        raise ShapeError(f"fft.{name}: {len(s)} lengths s={s} for {len(axes)} axes {axes}.")
    return [(x.shape[axis] if n == -1 else n, axis) for n, axis in zip(s, axes, strict=True)]


def along(transform: Callable, x: Any, pairs: list, norm: Any) -> Any:
    """Transform over one axis after the other."""
    for n, axis in pairs:
        x = transform(x, n=n, axis=axis, norm=norm)
    return x


def fftn(x: Any, /, s: Any = None, axes: Any = None, norm: Any = "backward") -> Tensor:
    """Return the discrete Fourier transform over several axes, by default all."""
    return along(fft, x, over("fftn", x, s, axes)[::-1], norm)


def ifftn(x: Any, /, s: Any = None, axes: Any = None, norm: Any = "backward") -> Tensor:
    """Return the inverse of the discrete Fourier transform over several axes, by default all."""
    return along(ifft, x, over("ifftn", x, s, axes)[::-1], norm)


def rfftn(x: Any, /, s: Any = None, axes: Any = None, norm: Any = "backward") -> Tensor:
    """Return the transform of real numbers over several axes, half of it along the last one."""
    *first, last = over("rfftn", x, s, axes)
    return along(fft, along(rfft, x, [last], norm), first[::-1], norm)


def irfftn(x: Any, /, s: Any = None, axes: Any = None, norm: Any = "backward") -> Tensor:
    """Return the real numbers that a transform over several axes is of."""
    *first, last = over("irfftn", x, s, axes)
    return along(irfft, along(ifft, x, first, norm), [last], norm)


def fft2(x: Any, /, s: Any = None, axes: Any = (-2, -1), norm: Any = "backward") -> Tensor:
    """Return the discrete Fourier transform over two axes."""
    return fftn(x, s, axes, norm)


def ifft2(x: Any, /, s: Any = None, axes: Any = (-2, -1), norm: Any = "backward") -> Tensor:
    """Return the inverse of the discrete Fourier transform over two axes."""
    return ifftn(x, s, axes, norm)


def rfft2(x: Any, /, s: Any = None, axes: Any = (-2, -1), norm: Any = "backward") -> Tensor:
    """Return the transform of real numbers over two axes, half of it along the last one."""
    return rfftn(x, s, axes, norm)


def irfft2(x: Any, /, s: Any = None, axes: Any = (-2, -1), norm: Any = "backward") -> Tensor:
    """Return the real numbers that a transform over two axes is of."""
    return irfftn(x, s, axes, norm)


def hfft(x: Any, /, n: Any = None, axis: int = -1, norm: Any = "backward") -> Tensor:
    """Return the real transform of numbers that are their own conjugates in reverse order."""
    return irfft(xp.conj(x), n=n, axis=axis, norm=swapped(norm))


def ihfft(x: Any, /, n: Any = None, axis: int = -1, norm: Any = "backward") -> Tensor:
    """Return the inverse of hfft."""
    return xp.conj(rfft(x, n=n, axis=axis, norm=swapped(norm)))


def fftfreq(n: int, /, d: float = 1.0, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Return the frequencies of a transform of n points at a distance d."""
    return xp.asarray(wrap(numpy.fft.fftfreq(n, d)), dtype=dtype, device=device)


def rfftfreq(n: int, /, d: float = 1.0, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Return the frequencies of the first half of a transform of n points at a distance d."""
    return xp.asarray(wrap(numpy.fft.rfftfreq(n, d)), dtype=dtype, device=device)


def rolled(x: Any, axes: Any, way: int) -> Tensor:
    """Roll axes by half their length."""
    x = xp.asarray(x)
    axes = tuple(range(x.ndim)) if axes is None else xp.shape_of(axes)
    return xp.roll(x, tuple(way * (x.shape[axis] // 2) for axis in axes), axis=axes)


def fftshift(x: Any, /, axes: Any = None) -> Tensor:
    """Return a transform with frequency 0 in the middle of axes, by default of all."""
    return rolled(x, axes, 1)


def ifftshift(x: Any, /, axes: Any = None) -> Tensor:
    """Undo fftshift."""
    return rolled(x, axes, -1)
