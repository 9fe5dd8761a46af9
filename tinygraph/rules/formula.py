"""The formulas of a rule as text, written from its own source, so that they cannot drift from it.

`forward_formula(rule)` gives ``y = …`` and `vjp_formula(rule, slot)` ``da = …``, or without the
left side for ``target=""``. Given what the names stand for in one application (``known``, with
``xp``), a formula has only the branches that are taken there, and what its statements make is added
to ``known``. `explained` says what the functions in a formula do. All give None, or nothing, where
there is no source to read.
"""

import ast
import linecache
import re
from collections.abc import Iterator
from copy import deepcopy
from functools import lru_cache
from types import FunctionType
from typing import Any

from .table import RULES, Rule

SIGNS = {  # what Python writes, and what we do
    r"\bxp\.": "", r"_shape\b": ".shape", r"(?<=\w)\.mT\b": "ᵀ", r"(\d)\.0\b": r"\1",
    r" \*\* 2\b": "²", r" \* ": " · ", " & ": " and ", "-": "−", "<=": "≤", ">=": "≥", "!=": "≠",
}  # fmt: skip


def forward_formula(rule: Rule, known: dict | None = None, *, target: str = "y") -> str | None:
    """Write how a rule computes its result; a line for each statement, if there are several."""
    if rule.forward is not None and not rule.forward.__closure__:  # which no text can show
        return formula(rule.forward, known, target=target)
    a, *others = rule.operands
    sign = "==" if rule.symbol == "=" else rule.symbol
    if sign == rule.name or len(others) > 1:
        text = f"{rule.name}({', '.join(rule.operands)})"
    elif others:
        text = f"{a} {sign} {others[0]}"
    else:
        text = a + sign if sign == "²" else f"{sign} {a}" if sign.isalpha() else sign + a
    return f"{target} = {text}" if target else text


def residual_formula(rule: Rule) -> str | None:
    """Write what a rule makes on its way forward and reads again on the way back."""
    return formula(rule.residual, target="r") if rule.residual else None


def vjp_formula(
    rule: Rule, slot: int, known: dict | None = None, *, target: str | None = None
) -> str | None:
    """Write how a rule pulls a gradient back to one operand."""
    vjp = rule.vjp[0 if rule.variadic else slot]
    if vjp is None or RULES.get(rule.name) is not rule:  # the gradient of a user's own function
        return None
    if target is None:
        target = "darrays" if rule.variadic else f"d{rule.operands[slot]}"
    return formula(vjp, known, target=target)


def explained(rule: Rule, text: str) -> dict[str, str]:
    """Say what our own functions in a formula of a rule do, by their docstrings, and constants."""
    names, told = {}, {}
    for one in filter(None, (rule.forward, *rule.vjp)):
        names.update(one.__globals__)
    for name in re.findall(r"\w+", text):
        meant = names.get(name)
        if isinstance(meant, FunctionType):
            told[name] = (meant.__doc__ or "").partition("\n")[0]
        elif isinstance(meant, float) and name.isupper():
            told[name] = f"{meant:.6g}"
    return told


# ---------------------------------------------------------------- from the source


def formula(function: Any, known: dict | None = None, *, target: str = "") -> str | None:
    """Write what a function of ``xp`` returns as a formula; None where its source is not there."""
    tree = definition(function)
    refuses = isinstance(tree, ast.FunctionDef) and isinstance(tree.body[-1], ast.Raise)
    if tree is None or refuses:
        return None
    scope = None if known is None else {**function.__globals__, **known}
    before = {"__builtins__", *(scope or ())}
    writer = Writer(function, scope)
    left = f"{target} = " if target else ""
    lines = [
        prefix + (left + writer.write(one.value) if type(one) is ast.Return else writer.write(one))
        for prefix, one in writer.statements(tree)
    ]
    if known is not None:
        known.update((name, made) for name, made in writer.scope.items() if name not in before)
    return "\n".join(lines)


@lru_cache
def parsed(source: str) -> list[Any]:
    """Return all functions of a file, inner ones first."""
    kinds = ast.Lambda | ast.FunctionDef
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)][::-1]


def definition(function: Any) -> Any:
    """Find a function in its file: the innermost around the places of its instructions."""
    code = function.__code__
    source = "".join(linecache.getlines(code.co_filename, function.__globals__))
    places: list[Any] = [one for one in code.co_positions() if one[3]]  # others only enter it
    for node in parsed(source) if places else ():
        start, end = (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)
        if all(start <= one[::2] and one[1::2] <= end for one in places):
            return node
    return None


class Writer(ast.NodeTransformer):
    """Writes expressions of one function as mathematics.

    Attributes
    ----------
    scope : dict or None
        What each name stands for, if the formula is that of one application.
    instead : dict
        The expressions to write for the parameters of a function that is written out.
    readable : bool
        Whether it was a formula so far, rather than a program.
    """

    def __init__(self, function: Any, scope: dict | None, instead: dict | None = None):
        self.names, self.instead = function.__globals__, instead or {}
        self.scope: Any = scope
        self.readable = True

    def write(self, tree: Any) -> str:
        """Write a piece of a function."""
        text = ast.unparse(self.visit(deepcopy(tree)))
        for sign, ours in SIGNS.items():
            text = re.sub(sign, ours, text)
        return text

    def value(self, tree: ast.expr) -> Any:
        """Evaluate an expression on what the names stand for."""
        return eval(compile(ast.Expression(tree), "formula", "eval"), self.scope)

    def statements(self, tree: Any) -> Iterator[tuple[str, Any]]:
        """Yield what a function does, each with the conditions under which it does it."""
        if isinstance(tree, ast.Lambda):
            todo: list[tuple[str, Any]] = [("", ast.Return(tree.body))]
        else:
            todo = [("", one) for one in tree.body[bool(ast.get_docstring(tree)) :]]
        while todo:
            prefix, one = todo.pop(0)
            if isinstance(one, ast.If):
                branches = [(f"if {self.write(one.test)}: ", one.body), ("else: ", one.orelse)]
                if "xp" in {getattr(name, "id", "") for name in ast.walk(one.test)}:
                    branches = [("", one.orelse)]  # what another namespace than NumPy does
                elif self.scope is not None:
                    branches = [("", one.body if self.value(one.test) else one.orelse)]
                for words, body in reversed(branches):
                    words = (prefix + words).replace(": if ", " and ")
                    todo[:0] = [(words, inner) for inner in body]
                continue
            yield prefix, one
            if self.scope is not None:
                if isinstance(one, ast.Return):
                    return
                exec(compile(ast.Module([one], []), "formula", "exec"), self.scope)

    def visit_Name(self, node: ast.Name) -> Any:
        """Write what is given for a parameter."""
        return self.instead.get(node.id, node)

    def visit_IfExp(self, node: ast.IfExp) -> Any:
        """Take the branch that is taken, where that is known."""
        if self.scope is None:
            return self.visit_Lambda(node)
        return self.visit(node.body if self.value(node.test) else node.orelse)

    def visit_Lambda(self, node: Any) -> Any:
        """Note that this is a program rather than a formula."""
        self.readable = False
        return self.generic_visit(node)

    visit_GeneratorExp = visit_Subscript = visit_Lambda

    def visit_Call(self, node: ast.Call) -> Any:
        """Write out a function of ours that is itself a formula; call others by their names."""
        helper = self.names.get(node.func.id) if isinstance(node.func, ast.Name) else None
        if isinstance(helper, FunctionType):
            inner = self.written_out(helper, node)
            if inner is not None:
                return inner
        self.readable &= not isinstance(helper, FunctionType | type)
        self.generic_visit(node)
        node.args = [one for one in node.args if ast.unparse(one) != "xp"]
        while node.keywords and ast.unparse(node.keywords[0].value) == node.keywords[0].arg:
            node.args.append(node.keywords.pop(0).value)
        return node

    def written_out(self, helper: Any, call: ast.Call) -> Any:
        """Return the expression that a function returns for these arguments, if it is only that."""
        names = helper.__code__.co_varnames[: helper.__code__.co_argcount]
        given = dict(zip(names, call.args, strict=False))
        given |= {one.arg: one.value for one in call.keywords}
        tree = definition(helper)
        if tree is None or len(given) < len(names):
            return None
        if any(isinstance(one, ast.Try) for one in ast.walk(tree)):
            return None
        scope = self.scope and helper.__globals__ | {
            name: self.value(given[name]) for name in given
        }
        inner = Writer(helper, scope, {name: self.visit(deepcopy(given[name])) for name in given})
        done = [*inner.statements(tree)]
        if len(done) != 1 or done[0][0] or not isinstance(done[0][1], ast.Return):
            return None
        body: Any = done[0][1].value
        out = inner.visit(deepcopy(body))
        return out if inner.readable else None
