"""tinygraph: gradients nobody writes by hand, that are checked, and that you can see."""

from . import namespace, numpy_protocols
from .errors import *  # noqa: F403
