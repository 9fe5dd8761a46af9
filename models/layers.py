"""The layers of the book on recording Tensors: forward passes, and no backward formula at all."""

from typing import Any

import tinygraph as tg
from tinygraph.tensor import Tensor


class Layer:
    """What the layers share: they are called as functions, or by the book's ``forward``."""

    def __call__(self, *operands: Any) -> Tensor:
        """Do what `forward` does."""
        return self.forward(*operands)

    def forward(self, *operands: Any) -> Tensor:
        """Return the layer's result, recorded where an operand requires a gradient."""
        raise NotImplementedError


class Affine(Layer):
    """A product with a matrix and an offset: ``x @ W + b``, for one sample or a batch.

    Parameters
    ----------
    W : Tensor or array_like, shape (inputs, outputs)
        The weights; kept as they are, so that a change of theirs is seen.
    b : Tensor or array_like, shape (outputs,)
        The offset, added to every row of a batch.

    Examples
    --------
    >>> import tinygraph as tg
    >>> b = tg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> affine = Affine([[0.0, 0.0, 0.0], [10.0, 10.0, 10.0]], b)
    >>> y = affine([[1.0, 0.0], [0.0, 1.0]])
    >>> y.tolist()
    [[1.0, 2.0, 3.0], [11.0, 12.0, 13.0]]
    >>> y.backward([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    >>> b.grad
    Tensor([5., 7., 9.])
    """

    def __init__(self, W: Any, b: Any):
        self.W = W
        self.b = b

    def forward(self, x: Any) -> Tensor:
        """Return ``x @ W + b``.

        Parameters
        ----------
        x : Tensor or array_like, shape (inputs,) or (N, inputs)

        Raises
        ------
        ShapeError
            If `x` does not fit the weights.
        """
        return tg.matmul(x, self.W) + self.b


class Relu(Layer):
    """The positive part of each entry; its slope at 0 is 0.

    Examples
    --------
    >>> Relu()([-1.0, 0.0, 2.0])
    Tensor([0., 0., 2.])
    """

    def forward(self, x: Any) -> Tensor:
        """Return `x` where it is positive, 0 elsewhere."""
        return tg.relu(x)


class Convolution(Layer):
    """A cross-correlation of images with filters, and an offset for each filter.

    Parameters
    ----------
    W : Tensor or array_like, shape (filters, channels, height, width)
        The filters; kept as they are, so that a change of theirs is seen.
    b : Tensor or array_like, shape (filters,)
        The offsets.
    stride : int
        How far a filter moves at a time.
    pad : int
        How many zeros go around an image.

    Examples
    --------
    >>> import numpy as np
    >>> Convolution(np.ones((1, 1, 2, 2)), [0.5])(np.ones((1, 3, 3))).tolist()
    [[[4.5, 4.5], [4.5, 4.5]]]
    """

    def __init__(self, W: Any, b: Any, stride: int = 1, pad: int = 0):
        self.W = W
        self.b = b
        self.stride = stride
        self.pad = pad

    def forward(self, x: Any) -> Tensor:
        """Return the cross-correlation.

        Parameters
        ----------
        x : Tensor or array_like, shape (channels, height, width) or (N, channels, height, width)

        Raises
        ------
        ShapeError
            If `x` does not fit the filters.
        """
        return tg.nn.conv2d(x, self.W, self.b, self.stride, self.pad)


class Pooling(Layer):
    """The largest entry under each position of a window.

    Parameters
    ----------
    pool_h, pool_w : int
        The window's height and width.
    stride : int
        How far it moves; the book's default.
    pad : int
        How many pixels are added at each border, which never win.

    Examples
    --------
    >>> Pooling(2, 2)([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]])
    Tensor([[6., 8.]])
    """

    def __init__(self, pool_h: int, pool_w: int, stride: int = 2, pad: int = 0):
        self.window = (pool_h, pool_w)
        self.stride = stride
        self.pad = pad

    def forward(self, x: Any) -> Tensor:
        """Return the largest entries of `x`, of shape (..., height, width)."""
        return tg.nn.max_pool2d(x, self.window, self.stride, self.pad)


class Flatten(Layer):
    """The pixels of all channels in one row.

    Examples
    --------
    >>> import numpy as np
    >>> Flatten()(np.ones((5, 3, 2, 2))).shape
    (5, 12)
    """

    def forward(self, x: Any) -> Tensor:
        """Return the last three axes of `x` as one."""
        x = tg.asarray(x)
        return x.reshape(*x.shape[:-3], -1)


class SoftmaxWithLoss(Layer):
    """Softmax and, of its outcome, the cross-entropy, averaged over the batch.

    Examples
    --------
    >>> import tinygraph as tg
    >>> x = tg.tensor([[0.0, 0.0], [0.0, 0.0]], requires_grad=True)
    >>> loss = SoftmaxWithLoss()(x, [0, 1])
    >>> round(loss.item(), 6)
    0.693147
    >>> loss.backward()
    >>> x.grad.tolist()
    [[-0.25, 0.25], [0.25, -0.25]]
    """

    def forward(self, x: Any, t: Any) -> Tensor:
        """Return the mean cross-entropy of logits against targets, a Tensor of shape ().

        Parameters
        ----------
        x : Tensor or array_like, shape (classes,) or (N, classes)
            Logits: the softmax is taken here.
        t : Tensor or array_like
            One-hot rows of the shape of `x`, or class indices: integers of shape () or (N,).

        Raises
        ------
        ShapeError
            If the targets have neither shape.
        BoundsError
            If a class index is out of range.
        DTypeError
            If class indices are not integers.
        """
        return tg.softmax_cross_entropy(x, t)
