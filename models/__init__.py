"""Models made of recording Tensors, the digits to train them on, and the same written by hand."""

from .two_layer_net import TwoLayerNet

__all__ = ["TwoLayerNet"]
