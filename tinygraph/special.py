"""SciPy's special functions over Tensors, where SciPy is installed."""

from .namespace import chapter

__getattr__, __dir__ = chapter("special.", globals())
