"""Models made of recording Tensors, the digits to train them on, and the same written by hand."""

from .mlp import MLP
from .simple_conv_net import SimpleConvNet
from .two_layer_net import TwoLayerNet

__all__ = ["MLP", "SimpleConvNet", "TwoLayerNet"]
