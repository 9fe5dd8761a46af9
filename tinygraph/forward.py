"""Forward mode: each operation also computes how its result changes along a direction.

A value with a tangent is a `Dual`. Nothing else is kept, so the memory does not grow with the
length of a computation. What an operation does to tangents follows from its entry in the table: an
elementwise vjp multiplies each entry by a derivative, which serves forwards as it does backwards; a
linear function treats tangents as it treats values; for the rest, the vjp is differentiated in its
turn, since it is linear in its gradient, with the transposed matrix.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from .modes import MODES
from .reverse import Call, as_tensor, zeros
from .rules import Kind, Rule
from .rules.table import Parts
from .tape import conjugate
from .tensor import Tensor, Wrapped, apply, innermost, wrap


class Tangent:
    """What is inside a `Dual`: the level of its transform, the value, the tangent."""

    __slots__ = ("level", "parts")

    def __init__(self, level: int, primal: Tensor, tangent: Tensor):
        self.level = level
        self.parts = (primal, tangent)

    def remake(self, primal: Tensor, tangent: Tensor) -> Tensor:
        """Return a Dual of the same level with other parts."""
        return dual(self.level, primal, tangent)

    def split(self, x: Any) -> tuple[Any, Tensor | None]:
        """Return the value and the tangent at this level; None for a constant."""
        if self.level not in levels(x):
            return x, None
        inside = x._inside
        if inside.level == self.level:
            return inside.parts

        def tangent(part: Tensor) -> Tensor:
            found = self.split(part)[1]
            return zeros(part) if found is None else found

        return inside.rewrap(lambda part: self.split(part)[0], x), inside.rewrap(tangent, x)

    def rewrap(self, make: Callable, *several: Tensor) -> Tensor:
        """Make something, in a linear way, of what is inside some Tensors; stay outside of it."""
        primals, tangents = zip(*map(self.split, several), strict=True)
        directions = (
            zeros(x) if one is None else one for x, one in zip(primals, tangents, strict=True)
        )
        return self.remake(make(*primals), make(*directions))

    def apply(self, rule: Rule, operands: tuple, params: dict) -> Tensor:
        """Apply a rule to the values, and to the tangents what follows from its entry."""
        primals, tangents = zip(*map(self.split, operands), strict=True)
        y: Any = apply(rule, primals, params)
        if rule.outputs:
            return rule.answer(self.several(rule, primals, tangents, y, params))
        if not MODES.get().recording or y.dtype.kind not in "fc":
            return y
        tangent = push(rule, primals, tangents, y, params)
        return y if tangent is None else self.remake(y, tangent)

    def several(self, rule: Rule, primals: tuple, tangents: tuple, ys: tuple, params: dict) -> list:
        """Give each of several results its tangent: pushed as if it were the only one."""
        answers = []
        for y, part in zip(ys, rule.parts, strict=True):
            pushed = [
                transposed(rule, i, one, primals, y, params, Parts(ys), part)
                for i, one in enumerate(tangents)
                if one is not None and rule.vjp[i] is not None
            ]
            moves = pushed and MODES.get().recording and y.dtype.kind in "fc"
            answers.append(self.remake(y, sum(pushed[1:], start=pushed[0])) if moves else y)
        return answers

    def select(self, x: Tensor, parts: Any) -> Tensor:
        """Select entries, with their tangents, by an index that a map around has made its own."""
        return self.rewrap(lambda inside: inside[tuple(parts)], x)

    def pull(self, call: Call, results: list, seeds: list, variables: list) -> list[Tensor | None]:
        """Pull gradients with their tangents: the tangent of a gradient is one of the tangent."""
        bases = [self.split(one)[0] for one in variables]
        first: list[tuple] = []
        second: list[tuple] = []
        for result, seed in zip(results, seeds, strict=True):
            (y, dy), (g, dg) = self.split(result), self.split(seed)
            first.append((y, g))
            if dy is not None:
                second.append((dy, g))
            if dg is not None:
                second.append((y, dg))
        gradients = call.pull([y for y, _ in first], [g for _, g in first], bases)
        if not second:
            return gradients
        tangents = call.pull([y for y, _ in second], [g for _, g in second], bases)
        return [
            one if tangent is None else self.remake(zeros(tangent) if one is None else one, tangent)
            for one, tangent in zip(gradients, tangents, strict=True)
        ]


class Dual(Wrapped):
    """A Tensor with a tangent: how it changes along the direction of a `jvp`."""

    __slots__ = ()
    _inside: Tangent

    def __repr__(self) -> str:
        return f"{self._inside.parts[0]!r} with tangent {self._inside.parts[1]!r}"


def dual(level: int, primal: Tensor, tangent: Tensor) -> Tensor:
    """Return a value with a tangent; wrappings of higher levels stay outside."""
    higher = innermost((primal, tangent), level)
    if higher is not None:
        return higher.rewrap(partial(dual, level), primal, tangent)
    result: Any = wrap(primal._data, primal._node)
    result.__class__ = Dual
    result._inside = Tangent(level, primal, tangent)
    return result


def levels(x: Any) -> set[int]:
    """Return the levels of all wrappings of an operand."""
    if not isinstance(x, Wrapped):
        return set()
    return {x._inside.level}.union(*map(levels, x._inside.parts))


# ---------------------------------------------------------------- tangents through one operation


def push(rule: Rule, primals: tuple, tangents: tuple, y: Tensor, params: dict) -> Tensor | None:
    """Return the tangent of a result, or None where nothing gets through."""
    vjps = rule.vjp * len(primals) if rule.variadic else rule.vjp
    moving = [i for i, one in enumerate(tangents) if one is not None and vjps[i] is not None]
    if not moving:
        return None
    if rule.kind is Kind.LINEAR:
        directions = (
            zeros(as_tensor(x)) if one is None else one
            for x, one in zip(primals, tangents, strict=True)
        )
        return apply(rule, tuple(directions), params)
    xp, parts = Tensor._namespace, []
    for i in moving:
        if rule.kind is Kind.BILINEAR:
            parts.append(apply(rule, (*primals[:i], tangents[i], *primals[i + 1 :]), params))
        elif rule.kind is Kind.ELEMENTWISE:
            parts.append(rule.evaluate(xp, i, tangents[i], primals, y, params))
        else:
            parts.append(transposed(rule, i, tangents[i], primals, y, params))
    total = sum(parts[1:], start=parts[0])
    if total.dtype.kind == "c" and y.dtype.kind != "c":
        total = xp.real(total)  # the gradient of a real number leads uphill by its real part
    if total.shape != y.shape:
        total = xp.broadcast_to(total, y.shape)
    return total if total.dtype == y.dtype else xp.astype(total, y.dtype)


def transposed(
    rule: Rule,
    slot: int,
    tangent: Tensor,
    operands: tuple,
    y: Tensor,
    params: dict,
    whole: Any = None,
    part: Any = None,
) -> Tensor:
    """Return J·t from the vjp g ↦ Jᵀ·g: its own vjp is t ↦ J·t, at any g.

    Of an operation with several results, `y` is the one meant, `whole` all of them.
    """
    operands = tuple(map(as_tensor, operands))

    def vjp(g: Tensor) -> Tensor:
        g = g if part is None else part.among(g)
        known = y if part is None else whole
        return rule.evaluate(Tensor._namespace, slot, g, operands, known, params)

    xp = Tensor._namespace
    call = Call(rule.name, vjp, (zeros(y),), {}, 0)
    call.look([call.out])
    if call.out.shape != tangent.shape:  # of an operand that is broadcast
        tangent = xp.broadcast_to(tangent, call.out.shape)
    (pulled,) = call.pull([call.out], [conjugate(xp, tangent)], call.variables)
    return zeros(y) if pulled is None else conjugate(xp, pulled)
