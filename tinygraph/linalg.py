"""Linear algebra over Tensors: the array API standard's extension, and NumPy's."""

from .namespace import chapter

__getattr__, __dir__ = chapter("linalg.", globals())
