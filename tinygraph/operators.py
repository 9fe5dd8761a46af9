"""Tensor's operators: each is the function of a rule, in three forms."""

from typing import Any

from . import changes, namespace  # noqa: F401
from .rules import RULES
from .tensor import Tensor, binary, unary

ARITHMETIC = {
    "add": ("add", "+="), "sub": ("subtract", "-="), "mul": ("multiply", "*="),
    "truediv": ("divide", "/="), "matmul": ("matmul", "@="),
    "floordiv": ("floor_divide", "//="), "mod": ("remainder", "%="),
}  # fmt: skip
BITWISE = {
    "and": ("bitwise_and", "&="), "or": ("bitwise_or", "|="), "xor": ("bitwise_xor", "^="),
    "lshift": ("bitwise_left_shift", "<<="), "rshift": ("bitwise_right_shift", ">>="),
}  # fmt: skip
COMPARISONS = {
    "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal", "eq": "equal",
    "ne": "not_equal",
}  # fmt: skip
SIGNS = {"neg": "negative", "pos": "positive", "abs": "abs", "invert": "bitwise_invert"}

# NumPy's ** has these short cuts too, so that values agree to the last bit.
SHORT_CUTS = {2: "square", 0.5: "sqrt", -1: "reciprocal"}

pow_of = binary(RULES["pow"], method=True)


def power(self: Tensor, exponent: Any) -> Tensor:
    """Return self to the power of an exponent."""
    if type(exponent) in (int, float) and self.dtype.kind in "fc" and exponent in SHORT_CUTS:
        return getattr(namespace, SHORT_CUTS[exponent])(self)
    return pow_of(self, exponent)


def install(name: str, operator: Any, symbol: str) -> None:
    """Give Tensor an operator with its reflected form and its in-place form."""
    setattr(Tensor, f"__{name}__", operator)
    setattr(Tensor, f"__r{name}__", lambda self, other: operator(other, self))
    setattr(Tensor, f"__i{name}__", lambda self, other: self._assign(symbol, operator, other))


for _name, (_rule, _symbol) in (ARITHMETIC | BITWISE).items():
    install(_name, binary(RULES[_rule], method=True), _symbol)
install("pow", power, "**=")
Tensor.__rpow__ = lambda self, base: pow_of(base, self)
Tensor.__divmod__ = lambda self, other: (self // other, self % other)  # type: ignore[operator]
Tensor.__rdivmod__ = lambda self, other: (other // self, other % self)  # type: ignore[attr-defined]
for _name, _rule in COMPARISONS.items():
    setattr(Tensor, f"__{_name}__", binary(RULES[_rule], method=True))
for _name, _rule in SIGNS.items():
    setattr(Tensor, f"__{_name}__", unary(RULES[_rule]))
