"""What neural networks are made of, with PyTorch's names and numbers."""

from .namespace import chapter

__getattr__, __dir__ = chapter("nn.", globals())
