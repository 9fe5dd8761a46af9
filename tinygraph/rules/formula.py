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
from collections.abc import Callable
from copy import deepcopy
from functools import lru_cache
from types import FunctionType
from typing import Any

from .table import RULES, Rule

SIGNS = {" * ": " · ", " & ": " and ", "-": "−", "<=": "≤", ">=": "≥", "!=": "≠"}


def forward_formula(rule: Rule, known: dict | None = None, *, target: str = "y") -> str | None:
    """Write how a rule computes its result; a line for each statement, if there are several."""
    if rule.forward is not None:
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


def residual_formula(rule: Rule, known: dict | None = None) -> str | None:
    """Write what a rule makes on its way forward and reads again on the way back."""
    return formula(rule.residual, known, target="r") if rule.residual else None


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
    """Say what each of our own functions in a formula of a rule does, by its docstring."""
    names = {}
    for one in filter(None, (rule.forward, *rule.vjp)):
        names.update(one.__globals__)
    called = dict.fromkeys(re.findall(r"\b(\w+)\(", text))
    ours = {name: names[name] for name in called if isinstance(names.get(name), FunctionType)}
    return {name: (one.__doc__ or "").partition("\n")[0] for name, one in ours.items()}


# ---------------------------------------------------------------- from the source


def formula(function: Callable, known: dict | None = None, *, target: str = "") -> str | None:
    """Write what a function of ``xp`` returns as a formula; None where its source is not there."""
    tree = definition(function)
    if tree is None:
        return None
    scope = None if known is None else {**function.__globals__, **known}
    before = {"__builtins__", *(scope or ())}
    writer = Writer(function, scope)
    left = f"{target} = " if target else ""
    lines = [
        prefix
        + (left + writer.write(one.value) if isinstance(one, ast.Return) else writer.write(one))
        for prefix, one in statements(tree, writer)
    ]
    if known is not None:
        known.update((name, made) for name, made in writer.scope.items() if name not in before)
    return "\n".join(lines)


@lru_cache
def parsed(source: str) -> list[Any]:
    """Return all functions of a file, outer ones first."""
    kinds = ast.Lambda | ast.FunctionDef
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)]


def definition(function: Any) -> Any:
    """Find a function in its file; lambdas on one line are told apart by their columns."""
    code = function.__code__
    source = "".join(linecache.getlines(code.co_filename, function.__globals__))
    places = [place for place in code.co_positions() if place[3]]  # without what enters a function
    found = None
    for node in parsed(source):
        if isinstance(node, ast.FunctionDef):
            if (node.name, node.lineno) == (code.co_name, code.co_firstlineno):
                return node
        elif code.co_name == "<lambda>" and all(
            (node.lineno, node.col_offset) <= (line, column)
            and (end_line, end_column) <= (node.end_lineno, node.end_col_offset)
            for line, end_line, column, end_column in places
        ):
            found = node
    return found if places else None


def statements(tree: Any, writer: "Writer") -> list[tuple[str, Any]]:
    """Return what a function does, each with the conditions under which it does it."""
    if isinstance(tree, ast.Lambda):
        return [("", ast.Return(tree.body))]
    todo: list[tuple[str, Any]] = [("", one) for one in tree.body]
    done = []
    while todo:
        prefix, one = todo.pop(0)
        if isinstance(one, ast.If):
            if any(isinstance(name, ast.Name) and name.id == "xp" for name in ast.walk(one.test)):
                branches = [("", one.orelse)]  # what another namespace than NumPy does
            elif writer.scope is not None:
                branches = [("", one.body if writer.value(one.test) else one.orelse)]
            else:
                branches = [(f"if {writer.write(one.test)}: ", one.body), ("else: ", one.orelse)]
            todo[:0] = [
                ((prefix + words).replace(": if ", " and "), inner)
                for words, body in branches
                for inner in body
            ]
        elif not (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant)):
            done.append((prefix, one))
            if writer.scope is not None:
                if isinstance(one, ast.Return):
                    break
                module = ast.Module([one], [])
                exec(compile(module, "formula", "exec"), writer.scope)
    return done


class Writer(ast.NodeTransformer):
    """Writes expressions of one function as mathematics.

    Attributes
    ----------
    scope : dict or None
        What each name stands for, if the formula is that of one application.
    instead : dict
        The expressions to write for the parameters of a function that is written out.
    """

    def __init__(self, function: Any, scope: dict | None, instead: dict | None = None):
        self.names = function.__globals__
        self.scope: Any = scope
        self.instead = instead or {}
        self.readable = True

    def write(self, tree: Any) -> str:
        """Write a piece of a function."""
        text = ast.unparse(self.visit(deepcopy(tree)))
        for sign, ours in SIGNS.items():
            text = text.replace(sign, ours)
        return re.sub(r" \*\* 2\b", "²", text)

    def value(self, tree: ast.expr) -> Any:
        """Evaluate an expression on what the names stand for."""
        return eval(compile(ast.Expression(tree), "formula", "eval"), self.scope)

    def visit_Name(self, node: ast.Name) -> Any:
        """Write an operand's shape as such."""
        if node.id.endswith("_shape") and node.id not in self.instead:
            return ast.Name(node.id.removesuffix("_shape") + ".shape")
        return self.instead.get(node.id, node)

    def visit_Constant(self, node: ast.Constant) -> Any:
        """Write 1 for 1.0."""
        value: Any = node.value
        return ast.Constant(int(value)) if isinstance(value, float) and value % 1 == 0 else node

    def visit_Attribute(self, node: ast.Attribute) -> Any:
        """Leave the namespace away, and write a transposed matrix with its sign."""
        if isinstance(node.value, ast.Name) and node.value.id == "xp":
            return ast.Name(node.attr)
        self.generic_visit(node)
        if node.attr == "mT" and isinstance(node.value, ast.Name):
            return ast.Name(f"{node.value.id}ᵀ")
        return node

    def visit_IfExp(self, node: ast.IfExp) -> Any:
        """Take the branch that is taken, where that is known."""
        if self.scope is None:
            self.readable = False
            return self.generic_visit(node)
        return self.visit(node.body if self.value(node.test) else node.orelse)

    def visit_GeneratorExp(self, node: Any) -> Any:
        """Note that this is a program rather than a formula."""
        self.readable = False
        return self.generic_visit(node)

    visit_Lambda = visit_Subscript = visit_GeneratorExp

    def visit_Call(self, node: ast.Call) -> Any:
        """Write out a function of ours that is itself a formula; call others by their names."""
        helper = self.names.get(node.func.id) if isinstance(node.func, ast.Name) else None
        if isinstance(helper, FunctionType):
            inner = self.written_out(helper, node)
            if inner is not None:
                return inner
        if isinstance(helper, FunctionType | type):
            self.readable = False
        self.generic_visit(node)
        node.args = [one for one in node.args if not (isinstance(one, ast.Name) and one.id == "xp")]
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
        scope = None
        if self.scope is not None:
            values = {name: self.value(one) for name, one in given.items()}
            scope = {**helper.__globals__, **values}
        instead = {name: self.visit(deepcopy(one)) for name, one in given.items()}
        inner = Writer(helper, scope, instead)
        (prefix, first), *others = statements(tree, inner)
        if others or prefix or not isinstance(first, ast.Return):
            return None
        body: Any = first.value
        out = inner.visit(deepcopy(body))
        return out if inner.readable else None
