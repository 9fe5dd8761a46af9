"""What neural networks are made of, with PyTorch's names, arguments and numbers.

What is in `tinygraph` itself (relu, softmax, log_softmax, logsumexp, softmax_cross_entropy) is not
repeated. Most functions are composed of others, and are recorded as these.
"""

from math import inf, pi, prod
from operator import index
from typing import Any

import numpy
from numpy.lib.array_utils import normalize_axis_index

from . import namespace as xp
from .errors import ArgumentError, BoundsError, DTypeError, ShapeError
from .modes import MODES
from .rules.nn import positions, rows
from .tensor import Tensor, Wrapped

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


def indices_of(
    name: str, what: str, indices: Any, count: int | None, ignored: int | None = None
) -> Tensor:
    """Read indices, which lie below a count unless they are ignored."""
    indices = whole = xp.asarray(indices)
    while isinstance(whole, Wrapped):  # look at all examples of a map at once
        whole = whole._inside.parts[0]
    values = whole.numpy()
    if values.dtype.kind not in "iu":
        raise DTypeError(
            f"{name}: {what} holds class indices, which are integers, not {values.dtype}."
        )
    wrong = (values < 0) | (values >= (inf if count is None else count))
    if ignored is not None:
        wrong &= values != ignored
    if wrong.any():
        upper = "up" if count is None else f"to {count - 1}"
        raise BoundsError(f"{name}: {what} holds {values[wrong][0]}; indices go from 0 {upper}.")
    return indices


def alike(name: str, input: Any, target: Any) -> tuple[Tensor, Tensor]:
    """Read two operands of one shape."""
    input, target = xp.asarray(input), xp.asarray(target)
    if input.shape != target.shape:
        raise ShapeError(
            f"{name}: input of shape {input.shape} and target of shape {target.shape} differ; "
            "give both the same shape."
        )
    return input, target


def reduced(name: str, losses: Tensor, reduction: str) -> Tensor:
    """Return the mean or the sum of losses, or each of them."""
    if reduction not in ("mean", "sum", "none"):
        raise ArgumentError(f'{name}: reduction={reduction!r} is none of "mean", "sum", "none".')
    return losses if reduction == "none" else getattr(losses, reduction)()


# ---------------------------------------------------------------- activations


def leaky_relu(input: Any, negative_slope: float = 0.01) -> Tensor:
    """Return x where it is positive, x times a slope elsewhere."""
    input = xp.asarray(input)
    return xp.where(input > 0, input, input * negative_slope)


def elu(input: Any, alpha: float = 1.0) -> Tensor:
    """Return x where it is positive, alpha times (exp(x) − 1) elsewhere."""
    input = xp.asarray(input)
    # What is not chosen becomes 0 first, so that it neither overflows nor has a gradient.
    return xp.where(input > 0, input, alpha * xp.expm1(xp.where(input > 0, 0.0, input)))


def selu(input: Any) -> Tensor:
    """Return 1.0507… times the `elu` with alpha = 1.6732…, which keeps mean 0 and variance 1.

    The numbers are those of G. Klambauer and others, Self-Normalizing Neural Networks (2017).
    """
    return 1.0507009873554804934193349852946 * elu(input, 1.6732632423543772848170429916717)


def gelu(input: Any, approximate: str = "none") -> Tensor:
    """Return x times the share of a standard normal distribution that lies below x.

    Parameters
    ----------
    input : array_like
    approximate : {"none", "tanh"}
        "tanh" takes a formula with tanh in place of that share. It is quicker, above all where
        SciPy is not installed: the share is then computed one entry at a time.
    """
    input = xp.asarray(input)
    if approximate == "none":
        return input * xp.nn.normal_cdf(input)
    if approximate != "tanh":
        raise ArgumentError(f'gelu: approximate={approximate!r} is neither "none" nor "tanh".')
    # (1 + tanh(u)) / 2 is sigmoid(2u), which keeps its digits where tanh(u) comes near −1.
    return input * xp.nn.sigmoid((8 / pi) ** 0.5 * (input + 0.044715 * input * input * input))


def silu(input: Any) -> Tensor:
    """Return x times sigmoid(x)."""
    input = xp.asarray(input)
    return input * xp.nn.sigmoid(input)


def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """Return log(1 + exp(beta · x)) / beta, and x itself where beta · x exceeds a threshold."""
    input = xp.asarray(input)
    scaled = input * beta
    small = xp.where(scaled > threshold, 0.0, scaled)  # of what is not chosen: no inf − inf
    return xp.where(scaled > threshold, input, xp.logaddexp(small, 0.0) / beta)


def logsigmoid(input: Any) -> Tensor:
    """Return the logarithm of sigmoid(x), also where sigmoid itself would round to 0."""
    return -xp.logaddexp(-xp.asarray(input), 0.0)


# ---------------------------------------------------------------- layers


def linear(input: Any, weight: Any, bias: Any = None) -> Tensor:
    """Return input · weightᵀ + bias.

    Parameters
    ----------
    input : array_like
        Shape (..., features).
    weight : array_like
        Shape (outputs, features), or (features,) for a single output without an axis.
    bias : array_like, optional
        Shape (outputs,), or () for a single output.
    """
    input, weight = xp.asarray(input), xp.asarray(weight)
    if not input.ndim or weight.ndim not in (1, 2) or input.shape[-1] != weight.shape[-1]:
        raise ShapeError(
            f"linear: input of shape {input.shape} and weight of shape {weight.shape} do not fit: "
            "both end with the number of features, and weight has one axis before it at most."
        )
    y = input @ weight.T
    if bias is None:
        return y
    bias = xp.asarray(bias)
    if bias.shape != weight.shape[:-1]:
        raise ShapeError(
            f"linear: bias has shape {bias.shape}; give one of shape {weight.shape[:-1]}."
        )
    return y + bias


def one_hot(tensor: Any, num_classes: int = -1) -> Tensor:
    """Return a row of zeros with a 1 at the class's place for each class index, as int64.

    Parameters
    ----------
    tensor : array_like of int
        Class indices.
    num_classes : int
        The length of a row; by default the largest index and 1.
    """
    tensor = indices_of("one_hot", "tensor", tensor, None if num_classes < 0 else num_classes)
    count = int(tensor.numpy().max(initial=-1)) + 1 if num_classes < 0 else num_classes
    return xp.astype(xp.expand_dims(tensor, axis=-1) == xp.arange(count), "int64")


def embedding(input: Any, weight: Any, padding_idx: int | None = None) -> Tensor:
    """Return the row of weight for each index.

    Parameters
    ----------
    input : array_like of int
        Indices of rows.
    weight : array_like
        Shape (rows, length of a row).
    padding_idx : int, optional
        The index of a row that gets no gradient.
    """
    weight = xp.asarray(weight)
    if weight.ndim != 2:
        raise ShapeError(f"embedding: weight of shape {weight.shape} is no matrix of rows.")
    input = indices_of("embedding", "input", input, weight.shape[0])
    if isinstance(input, Wrapped):  # an index differs from example to example
        found = one_hot(input, weight.shape[0]).astype(weight.dtype) @ weight
    else:
        found = weight[input]
    if padding_idx is None:
        return found
    row = normalize_axis_index(padding_idx, weight.shape[0])
    fixed = xp.expand_dims(input == row, axis=-1)
    return xp.where(fixed, found.detach(), found)


def dropout(input: Any, p: float = 0.5, training: bool = True, *, generator: Any = None) -> Tensor:
    """Return zeros in place of entries chosen at random, and the others divided by 1 − p.

    What is chosen is a constant of the graph: a gradient of a gradient, a replay, and the second
    run of a `checkpoint` see the same. Inside `vmap` it is the same for each example.

    Parameters
    ----------
    input : array_like
    p : float
        The probability of each entry to become zero.
    training : bool
        If False, the input is returned.
    generator : numpy.random.Generator or int
        What to draw from; a number gives the same each time.
    """
    input = xp.asarray(input)
    if not 0 <= p <= 1:
        raise ArgumentError(f"dropout: p={p!r} is a probability, from 0 to 1.")
    if not training or p == 0:
        return input
    if generator is None:
        raise ArgumentError(
            "dropout: give it what to draw from, as in generator=numpy.random.default_rng(0); "
            "or training=False."
        )
    seed = MODES.get().seed(numpy.random.default_rng(generator))
    kept = numpy.random.default_rng(seed).random(input.shape) >= p
    return xp.where(kept, input / ((1.0 - p) or 1.0), 0.0)


def normalized(input: Tensor, mean: Any, variance: Any, eps: float) -> Tensor:
    """Shift and scale to mean 0 and variance 1."""
    return (input - mean) / xp.sqrt(variance + eps)


def layer_norm(
    input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Tensor:
    """Return the input with mean 0 and variance 1 over its last axes, times weight, plus bias.

    Parameters
    ----------
    input : array_like
        Its shape ends with `normalized_shape`.
    normalized_shape : int or tuple of int
    weight, bias : array_like, optional
        Of that shape.
    eps : float
        What is added to the variance.
    """
    input, shape = xp.asarray(input), xp.shape_of(normalized_shape)
    if not shape or input.shape[-len(shape) :] != shape:
        raise ShapeError(
            f"layer_norm: input of shape {input.shape} does not end with normalized_shape={shape}."
        )
    axes = tuple(range(-len(shape), 0))
    centered = input - input.mean(axes, keepdims=True)
    variance = xp.square(centered).mean(axes, keepdims=True)
    return scaled(
        "layer_norm", normalized(centered, 0.0, variance, eps), weight, bias, shape, shape
    )


def scaled(name: str, y: Tensor, weight: Any, bias: Any, shape: tuple, wide: tuple) -> Tensor:
    """Multiply by weight and add bias, whose shape is to be the given one."""
    for what, one in (("weight", weight), ("bias", bias)):
        if one is not None:
            one = xp.asarray(one)
            if one.shape != shape:
                raise ShapeError(
                    f"{name}: {what} has shape {one.shape}; give one of shape {shape}."
                )
            one = one.reshape(wide)
            y = y * one if what == "weight" else y + one
    return y


def batch_norm(
    input: Any, running_mean: Any, running_var: Any, weight: Any = None, bias: Any = None,
    training: bool = False, momentum: float = 0.1, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """Return each channel with mean 0 and variance 1, times weight, plus bias.

    Parameters
    ----------
    input : array_like
        Shape (batch, channels, ...).
    running_mean, running_var : ndarray, Tensor or None
        Mean and variance of each channel. While training, those of the batch are used, and move
        these, in place, by the share `momentum`: once, though a `checkpoint` runs twice.
    weight, bias : array_like, optional
        A number for each channel.
    training : bool
    momentum : float
    eps : float
        What is added to the variance.
    """
    name, input = "batch_norm", xp.asarray(input)
    if input.ndim < 2:
        raise ShapeError(f"{name}: input of shape {input.shape} has no batch and channels.")
    channels = input.shape[1:2]
    wide = channels + (1,) * (input.ndim - 2)
    running = {"running_mean": running_mean, "running_var": running_var}
    for what, one in running.items():
        if one is not None and one.shape != channels:
            raise ShapeError(f"{name}: {what} has shape {one.shape}; give one of shape {channels}.")
        if one is None and not training:
            raise ArgumentError(f"{name}: {what} is None; give it, or training=True.")
    if not training:
        mean, variance = (xp.astype(one, input.dtype).reshape(wide) for one in running.values())
        return scaled(name, normalized(input, mean, variance, eps), weight, bias, channels, wide)
    axes = (0, *range(2, input.ndim))
    count = prod(input.shape[axis] for axis in axes)
    if count < 2:
        raise ShapeError(
            f"{name}: input of shape {input.shape} has {count} values for each channel; training "
            "needs two at least."
        )
    mean = input.mean(axes, keepdims=True)
    centered = input - mean
    variance = xp.square(centered).mean(axes, keepdims=True)
    moved = mean, variance * (count / (count - 1))
    for one, batch in zip(running.values(), moved, strict=True):
        if one is not None and not MODES.get().again:
            now = batch.detach().numpy().reshape(channels)
            array = one.numpy() if isinstance(one, Tensor) else one
            array += (momentum * (now - array)).astype(array.dtype)
            if isinstance(one, Tensor):
                one.data = array
    return scaled(name, normalized(centered, 0.0, variance, eps), weight, bias, channels, wide)


def scaled_dot_product_attention(
    query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0,
    is_causal: bool = False, *, scale: float | None = None, generator: Any = None,
) -> Tensor:  # fmt: skip
    """Return softmax(query · keyᵀ · scale) · value: a mean of values for each query.

    Parameters
    ----------
    query : array_like
        Shape (..., queries, features).
    key : array_like
        Shape (..., keys, features).
    value : array_like
        Shape (..., keys, length of a value).
    attn_mask : array_like, optional
        True where a query may look at a key; or numbers that are added before softmax. A query
        that may look at nothing gets zeros.
    dropout_p : float
        The probability of each weight to become zero, drawn from `generator`; see `dropout`.
    is_causal : bool
        Whether the i-th query may look at the first i keys only.
    scale : float, optional
        By default 1 / √features.
    generator : numpy.random.Generator or int
    """
    name = "scaled_dot_product_attention"
    query, key, value = xp.asarray(query), xp.asarray(key), xp.asarray(value)
    shapes = f"query {query.shape}, key {key.shape}, value {value.shape}"
    if min(query.ndim, key.ndim, value.ndim) < 2:
        raise ShapeError(f"{name}: each operand has at least 2 axes; these are {shapes}.")
    if query.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2]:
        raise ShapeError(
            f"{name}: {shapes} do not fit: query and key end with the same number of features, "
            "and there are as many values as keys."
        )
    if is_causal and attn_mask is not None:
        raise ArgumentError(f"{name}: give attn_mask or is_causal, not both.")
    scores = query @ key.mT * (query.shape[-1] ** -0.5 if scale is None else scale)
    kept = None
    if is_causal:
        kept = xp.asarray(numpy.tri(*scores.shape[-2:], dtype=bool))
    elif attn_mask is not None:
        kept = xp.asarray(attn_mask)
        if kept.dtype != bool:
            scores = scores + kept
            kept = scores != -inf
    if kept is not None:  # a finite number, so that no row consists of −inf alone
        scores = xp.where(kept, scores, float(numpy.finfo(scores.dtype).min) / 2)
    weights = xp.softmax(scores)
    if kept is not None:
        weights = xp.where(kept, weights, 0.0)
    return dropout(weights, dropout_p, generator=generator) @ value


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


# ---------------------------------------------------------------- losses


def nll_loss(
    input: Any, target: Any, weight: Any = None, *, ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """Return minus the entry of the right class, for each sample.

    Parameters
    ----------
    input : array_like
        Logarithms of probabilities, shape (batch, classes, ...), or (classes,).
    target : array_like of int
        Class indices, of the same shape without the classes.
    weight : array_like, optional
        A factor for each class; a mean is then one with these weights.
    ignore_index : int
        A target that does not count.
    reduction : {"mean", "sum", "none"}
    """
    name, input, axis = "nll_loss", xp.asarray(input), 1
    if input.ndim < 2:
        axis = 0
    if not input.ndim:
        raise ShapeError(f"{name}: input of shape () has no axis of classes.")
    target = indices_of(name, "target", target, input.shape[axis], ignore_index)
    samples = input.shape[:axis] + input.shape[axis + 1 :]
    if target.shape != samples:
        raise ShapeError(
            f"{name}: target of shape {target.shape} does not fit input of shape {input.shape}; "
            f"give class indices of shape {samples}."
        )
    right = rows(xp, target, input, axis) & xp.expand_dims(target != ignore_index, axis=axis)
    factors: Any = 1.0
    if weight is not None:
        factors = xp.asarray(weight)
        if factors.shape != input.shape[axis : axis + 1]:
            raise ShapeError(
                f"{name}: weight has shape {factors.shape}; give one for each of the "
                f"{input.shape[axis]} classes."
            )
        factors = factors.reshape(-1, *(1,) * (input.ndim - 1 - axis))
    losses = -(xp.where(right, input, 0.0) * factors).sum(axis)
    if reduction == "mean":
        return losses.sum() / (xp.astype(right, input.dtype) * factors).sum()
    return reduced(name, losses, reduction)


def binary_cross_entropy_with_logits(
    input: Any, target: Any, weight: Any = None, *, reduction: str = "mean",
    pos_weight: Any = None,
) -> Tensor:  # fmt: skip
    """Return −t · log(sigmoid(x)) − (1 − t) · log(1 − sigmoid(x)), without overflow.

    Parameters
    ----------
    input : array_like
        The logits x.
    target : array_like
        The probabilities t, of the same shape.
    weight : array_like, optional
        A factor for each loss.
    reduction : {"mean", "sum", "none"}
    pos_weight : array_like, optional
        A factor for the first term.
    """
    name = "binary_cross_entropy_with_logits"
    input, target = alike(name, input, target)
    positive: Any = 1.0
    if pos_weight is not None:
        positive = 1.0 + (xp.asarray(pos_weight) - 1.0) * target
    losses = (1.0 - target) * input - positive * logsigmoid(input)
    return reduced(name, losses if weight is None else losses * weight, reduction)


def mse_loss(input: Any, target: Any, *, reduction: str = "mean") -> Tensor:
    """Return the squares of the differences: their mean, their sum, or each."""
    input, target = alike("mse_loss", input, target)
    return reduced("mse_loss", xp.square(input - target), reduction)


def l1_loss(input: Any, target: Any, *, reduction: str = "mean") -> Tensor:
    """Return the absolute differences: their mean, their sum, or each."""
    input, target = alike("l1_loss", input, target)
    return reduced("l1_loss", xp.abs(input - target), reduction)


def huber_loss(input: Any, target: Any, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    """Return half the squares of differences up to delta, and from there on straight lines."""
    input, target = alike("huber_loss", input, target)
    difference = input - target
    limited = xp.clip(difference, -delta, delta)
    return reduced("huber_loss", limited * (difference - 0.5 * limited), reduction)


def kl_div(input: Any, target: Any, *, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """Return t · (log t − x), the terms of the divergence of exp(x) from t.

    Parameters
    ----------
    input : array_like
        The logarithms x of probabilities.
    target : array_like
        The probabilities t, or their logarithms; of the same shape.
    reduction : {"mean", "batchmean", "sum", "none"}
        "batchmean" divides the sum by the length of axis 0: the divergence itself.
    log_target : bool
        Whether the target holds logarithms.
    """
    input, target = alike("kl_div", input, target)
    if log_target:
        losses = xp.exp(target) * (target - input)
    else:
        losses = target * (xp.log(xp.where(target == 0, 1.0, target)) - input)
    if reduction == "batchmean":
        return losses.sum() / (input.shape[0] if input.ndim else 1)
    return reduced("kl_div", losses, reduction)


def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """Return the cosine of the angle between vectors that lie along an axis.

    Parameters
    ----------
    x1, x2 : array_like
        Shapes that broadcast to one.
    dim : int
        The axis of the vectors.
    eps : float
        The least length that a vector is divided by.
    """

    def lengths(x: Tensor) -> Tensor:
        # The bound is put to the square: the square root has no derivative at 0.
        return xp.sqrt(xp.maximum(xp.square(x).sum(dim), eps * eps))

    x1, x2 = xp.asarray(x1), xp.asarray(x2)
    return (x1 * x2).sum(dim) / (lengths(x1) * lengths(x2))
