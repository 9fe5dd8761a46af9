"""What neural networks are made of, with PyTorch's names, arguments and numbers.

What is in `tinygraph` itself (relu, softmax, log_softmax, logsumexp, softmax_cross_entropy) is not
repeated. Most functions are composed of others, and are recorded as these.
"""

from math import inf, prod
from operator import index
from typing import Any

from . import namespace as xp
from .errors import ArgumentError, DTypeError, ShapeError
from .rules.nn import positions
from .tensor import Tensor

__getattr__, __dir__ = xp.chapter("nn.", globals())


# ---------------------------------------------------------------- reading arguments


def lengths_of(name: str, what: str, value: Any, count: int, least: int) -> tuple[int, ...]:
    """Read an argument that is a number for all axes, or one for each."""
    try:
        several = tuple(map(index, value)) if hasattr(value, "__iter__") else (index(value),)
    except TypeError:
        raise DTypeError(f"{name}: {what} is an int or several, not {value!r}.") from None
    several = several * count if len(several) == 1 else several
    if len(several) != count or min(several) < least:
        raise ArgumentError(
            f"{name}: {what}={value!r}; give an int or {count} of them, {least} at least."
        )
    return several


# ---------------------------------------------------------------- windows: convolution, pooling


def slid(name: str, input: Tensor, window: tuple) -> Tensor:
    """Return what a window shows of the last axes, if it fits in there."""
    lengths = input.shape[input.ndim - len(window) :]
    if min(positions(lengths, window)) < 1:
        spans = tuple(dilation * (size - 1) + 1 for size, _, dilation, *_ in window)
        raise ShapeError(
            f"{name}: a kernel that spans {spans} does not fit into input of shape {input.shape}"
            f" with padding {tuple(one[3:] for one in window)}."
        )
    return xp.nn.windows(input, window)


def padding_of(name: str, padding: Any, sizes: tuple, strides: tuple, dilations: tuple) -> list:
    """Return how many zeros go before and after each axis."""
    if padding == "valid":
        return [(0, 0)] * len(sizes)
    if padding != "same":
        return [(n, n) for n in lengths_of(name, "padding", padding, len(sizes), 0)]
    if max(strides) > 1:
        raise ArgumentError(f'{name}: padding="same" needs stride 1, not {strides}.')
    missing = [dilation * (size - 1) for size, dilation in zip(sizes, dilations, strict=True)]
    return [(n // 2, n - n // 2) for n in missing]


def check_convolution(
    name: str, count: int, input: Tensor, weight: Tensor, bias: Any, groups: int, outputs: int,
    channels: int, takes: int,
) -> None:  # fmt: skip
    """Raise if the operands of a convolution over `count` axes do not fit together."""
    if input.ndim not in (count + 1, count + 2):
        raise ShapeError(
            f"{name}: input of shape {input.shape} has {input.ndim} axes; give {count + 2} (batch, "
            f"channels and {count} more), or {count + 1} without the batch."
        )
    if groups < 1 or channels % groups or outputs % groups:
        raise ArgumentError(
            f"{name}: groups={groups} divides the {channels} channels of input and the {outputs} "
            "of the result into equal parts only if it divides both numbers."
        )
    if channels != takes:
        raise ShapeError(
            f"{name}: input of shape {input.shape} has {channels} channels, but weight of shape "
            f"{weight.shape} with groups={groups} takes {takes}."
        )
    if bias is not None and bias.shape != (outputs,):
        raise ShapeError(f"{name}: bias has shape {bias.shape}; give one of shape ({outputs},).")


def operands_of(name: str, count: int, input: Any, weight: Any, bias: Any) -> tuple:
    """Read the operands of a convolution as Tensors."""
    input, weight = xp.asarray(input), xp.asarray(weight)
    if weight.ndim != count + 2:
        raise ShapeError(
            f"{name}: weight of shape {weight.shape} has {weight.ndim} axes; give {count + 2}: "
            f"channels on both sides, and {count} of the kernel."
        )
    return input, weight, None if bias is None else xp.asarray(bias)


def with_bias(y: Tensor, bias: Any, count: int) -> Tensor:
    """Add a number for each channel."""
    return y if bias is None else y + bias.reshape(-1, *(1,) * count)


def convolution(
    name: str, count: int, input: Any, weight: Any, bias: Any, stride: Any, padding: Any,
    dilation: Any, groups: int,
) -> Tensor:  # fmt: skip
    """Return what `conv1d` and `conv2d` do, over any number of axes."""
    input, weight, bias = operands_of(name, count, input, weight, bias)
    outputs, takes, *sizes = weight.shape
    channels = input.shape[-count - 1] if input.ndim > count else 0
    check_convolution(name, count, input, weight, bias, groups, outputs, channels, takes * groups)
    strides = lengths_of(name, "stride", stride, count, 1)
    dilations = lengths_of(name, "dilation", dilation, count, 1)
    padded = padding_of(name, padding, tuple(sizes), strides, dilations)
    window = tuple(
        (*one, *zeros) for *one, zeros in zip(sizes, strides, dilations, padded, strict=True)
    )
    shown = slid(name, input, window)
    rest, at = input.shape[: -count - 1], shown.shape[-count:]
    shown = shown.reshape(*rest, groups, takes * prod(sizes), prod(at))
    y = weight.reshape(groups, outputs // groups, takes * prod(sizes)) @ shown
    return with_bias(y.reshape(*rest, outputs, *at), bias, count)


def conv1d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """Return the cross-correlation of signals with kernels.

    As `conv2d`, with one axis in the place of two.
    """
    return convolution("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """Return the cross-correlation of images with kernels.

    Parameters
    ----------
    input : array_like
        Shape (batch, channels, height, width), or without the batch.
    weight : array_like
        Shape (output channels, channels / groups, height, width of the kernel).
    bias : array_like, optional
        A number for each output channel.
    stride, dilation : int or tuple of int
        How far the kernel moves at a time; how far its entries are apart.
    padding : int, tuple of int, "valid" or "same"
        How many zeros go around the image; "same" keeps its size, for stride 1.
    groups : int
        In how many parts, apart from each other, channels go to output channels.

    Raises
    ------
    ShapeError
        If shapes do not fit together, or the kernel not into the image.

    Examples
    --------
    >>> import numpy as np
    >>> import tinygraph as tg
    >>> tg.nn.conv2d(np.ones((1, 3, 3)), np.ones((1, 1, 2, 2)))
    Tensor([[[4., 4.],
             [4., 4.]]])
    """
    return convolution("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


def conv_transpose2d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Tensor:  # fmt: skip
    """Return what the gradient of `conv2d` is for its input: the transpose of that function.

    Parameters
    ----------
    input : array_like
        Shape (batch, channels, height, width), or without the batch.
    weight : array_like
        Shape (channels, output channels / groups, height, width of the kernel).
    bias : array_like, optional
        A number for each output channel.
    stride, padding, dilation, groups
        Those of the `conv2d` that it is the transpose of.
    output_padding : int or tuple of int
        How much larger the result is, since several sizes go to one by a stride; less than that.
    """
    name = "conv_transpose2d"
    input, weight, bias = operands_of(name, 2, input, weight, bias)
    takes, outputs, *sizes = weight.shape
    outputs *= groups
    channels = input.shape[-3] if input.ndim > 2 else 0
    check_convolution(name, 2, input, weight, bias, groups, outputs, channels, takes)
    strides = lengths_of(name, "stride", stride, 2, 1)
    dilations = lengths_of(name, "dilation", dilation, 2, 1)
    zeros = lengths_of(name, "padding", padding, 2, 0)
    more = lengths_of(name, "output_padding", output_padding, 2, 0)
    if any(one >= step for one, step in zip(more, strides, strict=True)):
        raise ArgumentError(f"{name}: output_padding={more} is to be less than stride={strides}.")
    *rest, _, height, width = input.shape
    window = tuple(zip(sizes, strides, dilations, zeros, zeros, strict=True))
    lengths = tuple(
        (n - 1) * step - 2 * around + gap * (size - 1) + extra + 1
        for n, size, step, gap, around, extra in zip(
            (height, width), sizes, strides, dilations, zeros, more, strict=True
        )
    )
    if min(lengths) < 1:
        raise ShapeError(f"{name}: padding={zeros} leaves nothing of a result of {lengths} pixels.")
    kernels = weight.reshape(groups, takes // groups, outputs // groups * prod(sizes)).mT
    shown = kernels @ input.reshape(*rest, groups, takes // groups, height * width)
    shown = shown.reshape(*rest, outputs, *sizes, height, width)
    return with_bias(xp.nn.overlap_add(shown, window, lengths), bias, 2)


def pooled(
    name: str, input: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any = 1
) -> tuple[Tensor, Any]:
    """Return what the window of a pooling shows, along axis -3; where that is no padding."""
    input = xp.asarray(input)
    if input.ndim < 2:
        raise ShapeError(f"{name}: input of shape {input.shape} has no height and width.")
    sizes = lengths_of(name, "kernel_size", kernel_size, 2, 1)
    strides = lengths_of(name, "stride", kernel_size if stride is None else stride, 2, 1)
    zeros = lengths_of(name, "padding", padding, 2, 0)
    if any(2 * one > size for one, size in zip(zeros, sizes, strict=True)):
        raise ArgumentError(
            f"{name}: padding={zeros} is to be at most half of kernel_size={sizes}."
        )
    dilations = lengths_of(name, "dilation", dilation, 2, 1)
    window = tuple(zip(sizes, strides, dilations, zeros, zeros, strict=True))

    def flat(shown: Tensor) -> Tensor:
        return shown.reshape(*shown.shape[:-4], prod(sizes), *shown.shape[-2:])

    shown = flat(slid(name, input, window))
    if not max(zeros):
        return shown, None
    return shown, flat(xp.nn.windows(xp.ones(input.shape[-2:], dtype=input.dtype), window))


def max_pool2d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1
) -> Tensor:
    """Return the largest entry under each position of a window.

    Among equal ones the first gets the gradient.

    Parameters
    ----------
    input : array_like
        Shape (..., height, width).
    kernel_size : int or tuple of int
    stride : int or tuple of int, optional
        By default the size of the kernel.
    padding : int or tuple of int
        How much goes around the image that is less than any number; at most half of the kernel.
    dilation : int or tuple of int
    """
    shown, inside = pooled("max_pool2d", input, kernel_size, stride, padding, dilation)
    return xp.nn.largest(shown if inside is None else xp.where(inside > 0, shown, -inf), axis=-3)


def avg_pool2d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, *,
    count_include_pad: bool = True, divisor_override: float | None = None,
) -> Tensor:  # fmt: skip
    """Return the mean of the entries under each position of a window.

    Parameters
    ----------
    input : array_like
        Shape (..., height, width).
    kernel_size : int or tuple of int
    stride : int or tuple of int, optional
        By default the size of the kernel.
    padding : int or tuple of int
        How many zeros go around the image; at most half of the kernel.
    count_include_pad : bool
        Whether these zeros count among the entries that the sum is divided by.
    divisor_override : float, optional
        What to divide by in place of their number.
    """
    shown, inside = pooled("avg_pool2d", input, kernel_size, stride, padding)
    divisor: Any = shown.shape[-3] if divisor_override is None else divisor_override
    if inside is not None and divisor_override is None and not count_include_pad:
        divisor = inside.sum(axis=-3)
    return shown.sum(axis=-3) / divisor
