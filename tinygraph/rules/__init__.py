"""The table of rules: every operation of tinygraph, one entry each, a file per chapter."""

from . import (
    beyond,
    elementwise,
    fft,
    indexing,
    linalg,
    manipulation,
    nn,
    reductions,
    sorting,
    special,
)
from .table import RULES, Domain, Kind, Parameter, Rule, Shapes, rule

__all__ = [
    "RULES", "Domain", "Kind", "Parameter", "Rule", "Shapes", "beyond", "elementwise", "fft",
    "indexing", "linalg", "manipulation", "nn", "reductions", "rule", "sorting", "special",
]  # fmt: skip
