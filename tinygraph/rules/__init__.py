"""The table of rules: every operation of tinygraph, one entry each, a file per chapter."""

from . import elementwise, indexing, linalg, manipulation, nn, reductions
from .table import RULES, Domain, Kind, Parameter, Rule, Shapes, rule

__all__ = [
    "RULES", "Domain", "Kind", "Parameter", "Rule", "Shapes", "elementwise", "indexing", "linalg",
    "manipulation", "nn", "reductions", "rule",
]  # fmt: skip
