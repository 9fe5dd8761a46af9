"""Break every formula of the rule table in turn, and see that the tests of its rules notice.

    python tests/mutate_rules.py [--rule NAME ...] [--chapter NAME ...] [--jobs N]

A mutant is one change of one formula: a sign, a term, an operand, an axis. The tests that concern
its rule run on it; it survives if none turns red. A few mutants are the same function as the
original; EQUIVALENT lists them, each with its reason, and each is run beside the original on 1,000
inputs. The exit status is 1 if any other mutant survives.

The tree is copied first, and a mutant exists in memory only. It needs a system that can fork.
"""

import argparse
import ast
import compileall
import gc
import importlib.abc
import importlib.util
import math
import os
import pickle
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import permutations
from pathlib import Path

import conftest  # noqa: F401  (before NumPy is loaded, it keeps matrix products to one thread)
import hypothesis
import hypothesis.extra.numpy  # here, once, instead of in each process
import numpy
import pytest
import scipy.linalg  # as the tests do
import scipy.special  # noqa: F401

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = (
    "beyond",
    "elementwise",
    "fft",
    "indexing",
    "linalg",
    "manipulation",
    "nn",
    "reductions",
    "sorting",
    "special",
)
ENTERING = ("rule", "function", "of_order")  # what enters a rule; the others in rules/special.py
# The tests of rules; and, by chapter, those of what the entries do not determine.
TESTS = ("tests/test_rules.py", "tests/test_complex.py")
OWN = {
    "fft": ("tests/test_fft.py",),
    "linalg": ("tests/test_linalg.py",),
    "nn": ("tests/test_nn.py",),
    "sorting": ("tests/test_standard.py",),
    "special": ("tests/test_special.py",),
}
PATIENCE = 20  # seconds after which a test that still runs has caught a mutant
INPUTS = 1000  # of each rule, on which an equivalent mutant is run beside the original
SHARE = 0.02  # of the mutants that may be equivalent
SPECIAL = (0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan, 1e300, 1e-300)
VERDICTS = {0: "survived", 1: "killed", 2: "refused"}  # by a process's exit status

# The mutants that are the same function: whose formula, what it becomes, and why. Compared are
# results and gradients; where a derivative does not exist, second ones are not.
TIE = "a tie has been decided before"
ONE = "at exponent 0 the base is multiplied by 0"
FLAT = "what is flat has one axis"
SAME_SHAPE = "the gradient has the operand's shape already"
NOTHING = "an infinity stays one, whatever finite number is subtracted"
ZERO = "a weight of 0 is 0 times any finite number"
BOOLS = "NumPy computes with bools as with numbers, unlike the standard's namespaces"
SAME_DTYPE = "the gradient has the dtype of what it is the gradient of"
QUICK = "the guard saves a reshape to the shape that is there already"
HALF = "at 0 both branches are 1"
CANCEL = "the signs of two factors cancel, at each step"
NO_ZEROS = "to fill up with no zeros is to cut nothing off"
SQUEEZE = "NumPy's squeeze takes None too, unlike the standard's"
SAME_NUMBERS = "integers of two dtypes are compared by their values"
INFERRED = "NumPy infers a length from any negative number, unlike the standard's namespaces"
NUMERATOR = "what it divides is 0"
UNCHOSEN = "it stands where the other branch is chosen"
ODD = "an odd function has the sign of its argument"
EXACT = "a division by a power of two is exact"
EQUIVALENT: dict[tuple[str, str], str] = {
    ("divided", "return a / n if (n <= 2 ** 15) else a / 2**9 / (n / 2**9)"): EXACT,
    ("finite", "return xp.where(y == -inf, 1.0, y)"): NOTHING,
    ("sinc_slope", "square = (pi * xp.where(near, a, 1.0)) ** 2"): UNCHOSEN,
    (
        "sinc_slope",
        "return xp.where(near, -pi * pi / 3 * a * series, "
        "(xp.cos(pi * a) - y) / xp.where(near, 2.0, a))",
    ): UNCHOSEN,
    ("halved", "square = xp.where(near, a, 1.0) ** 2"): UNCHOSEN,
    ("halved", "return xp.where(near, series, y / xp.where(near, 2.0, a))"): UNCHOSEN,
    (
        "log_ndtr_slope",
        "rising = 2 / ROOT_TWO_PI / special(xp).erfcx(xp.where(below, -a / root, 1.0))",
    ): UNCHOSEN,
    (
        "log_ndtr_slope",
        "falling = xp.exp(-a * a / 2 - xp.where(below, 1.0, y)) / ROOT_TWO_PI",
    ): UNCHOSEN,
    ("nonzero", "return xp.where(y == 0, 2.0, y)"): NUMERATOR,
    (
        "special.xlogy",
        "lambda xp, g, a, b: g * (a / xp.where((a == 0) & (b <= 0), 2.0, b)),",
    ): NUMERATOR,
    (
        "special.xlog1py",
        "lambda xp, g, a, b: g * (a / (1 + xp.where((a == 0) & (b <= -1), 1.0, b))),",
    ): NUMERATOR,
    (
        "special.i1e",
        "special(xp).i0e(a) - xp.sign(y) * y - halved(xp, a, y, 1, xp.exp(-xp.abs(a)))",
    ): ODD,
    ("maximum", "vjp=(lambda xp, g, a, b: share(xp, g, (a >= b), a == b),"): TIE,
    ("maximum", "lambda xp, g, a, b: share(xp, g, (b >= a), a == b)),"): TIE,
    ("minimum", "vjp=(lambda xp, g, a, b: share(xp, g, (a <= b), a == b),"): TIE,
    ("minimum", "lambda xp, g, a, b: share(xp, g, (b <= a), a == b)),"): TIE,
    (
        "pow",
        "lambda xp, g, a, b: g * b * xp.where((a == 0) & (b == 0), 2.0, a) ** (b - 1),",
    ): ONE,
    ("finite_max", "return xp.where(xp.isfinite(top), top, 1.0)"): NOTHING,
    ("sigmoid", "return xp.where((a > 0), 1.0, small) / (1.0 + small)"): HALF,
    (
        "logsumexp",
        "return total if keepdims else xp.squeeze(total, axis=axis)",
    ): SQUEEZE,
    ("logsumexp_vjp", "total = xp.where(total == -inf, 1.0, total)"): NOTHING,
    ("rows", "classes = xp.arange(like.shape[axis])"): SAME_NUMBERS,
    ("rows", "classes = xp.reshape(classes, ((-2),) + (1,) * (like.ndim - 1 - axis))"): INFERRED,
    **{
        ("rows", f"if {always}:"): QUICK
        for always in (
            "True",
            "(axis <= like.ndim - 1)",
            "axis < (like.ndim + 1)",
            "axis < like.ndim",
            "axis < like.ndim - 0",
        )
    },
    ("windows", "if False:"): "NumPy has strides; on Tensors indices give what the rule gives",
    ("overlap_add", "if False:"): "on Tensors the slices give what the rule gives",
    ("normal_cdf", "dtype = xp.result_type(a, xp.float16)"): "float16 widens no floating dtype",
    (
        "cross_entropy",
        "losses = -xp.sum(targets * xp.where(targets == 0, 1.0, r), axis=axis)",
    ): ZERO,
    ("cross_entropy_logits", "weights = weights"): BOOLS,
    ("cross_entropy_logits", "weights = xp.astype(weights, g.dtype)"): SAME_DTYPE,
    ("sum_to", "if True:"): QUICK,
    ("sum_to", "return xp.reshape(gradient, shape)"): QUICK,
    ("restore", "if ((not shape)):"): QUICK,
    (
        "moved_up",
        "return (-xp.concat([a[..., by:], xp.zeros_like(a[..., :by])], axis=-1))",
    ): CANCEL,
    ("chosen", "if True:"): QUICK,
    ("chosen", "last = setitem(xp, xp.zeros(g.shape), order, index)[index]"): SAME_NUMBERS,
    ("fitted", "if (shape[axis] > length):"): NO_ZEROS,
    ("fitted", "return xp.concat([a, (xp.zeros(tuple(shape)))], axis=axis)"): SAME_DTYPE,
    ("fmax", "vjp=(lambda xp, g, a, b: picked(xp, g, a, b, (a >= b)),"): TIE,
    ("fmax", "lambda xp, g, a, b: picked(xp, g, b, a, (b >= a))),"): TIE,
    ("fmin", "vjp=(lambda xp, g, a, b: picked(xp, g, a, b, (a <= b)),"): TIE,
    ("fmin", "lambda xp, g, a, b: picked(xp, g, b, a, (b <= a))),"): TIE,
    ("extremum", "share = hit"): BOOLS,
    ("extremum", "share = xp.astype(hit, a.dtype)"): SAME_DTYPE,
    ("split", "flat = split(xp, g, [(prod(shape),) for shape in shapes], 1)"): FLAT,
    (
        "astype",
        "vjp=(lambda xp, g, a_shape: xp.reshape(g, a_shape)),  "
        "# the engine casts a gradient to its operand's dtype",
    ): SAME_SHAPE,
}

# ---------------------------------------------------------------- what is changed, and to what

BINARY = {
    ast.Add: ("{a} - {b}", "{a}", "{b}"),
    ast.Sub: ("{a} + {b}", "{b} - {a}", "{a}", "-{b}"),
    ast.Mult: ("{a} / {b}", "{a}", "{b}"),
    ast.Div: ("{a} * {b}", "{b} / {a}", "{a}", "{b}"),
    ast.FloorDiv: ("{a} * {b}", "{b} // {a}", "{a}"),
    ast.Mod: ("{a}",),
    ast.Pow: ("{b} ** {a}", "{a} * {b}", "{a}"),
    ast.MatMult: ("{b} @ {a}", "{a} * {b}"),
    ast.BitAnd: ("{a} | {b}", "{a}", "{b}"),
    ast.BitOr: ("{a}", "{b}"),
}
COMPARISONS = {
    ast.Gt: (ast.GtE, ast.Lt), ast.GtE: (ast.Gt, ast.LtE), ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.GtE), ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,), ast.In: (ast.NotIn,), ast.NotIn: (ast.In,),
}  # fmt: skip
COMMUTATIVE = ("maximum", "minimum", "hypot", "max", "result_type")
OF_ARRAYS = ("a", "b", "g", "y", "r", "condition", "logits", "targets", "values", "like")


def text(node: ast.AST) -> str:
    """Return an expression as it is put into another."""
    plain = isinstance(node, ast.Name | ast.Constant | ast.Call | ast.Attribute | ast.Subscript)
    return ast.unparse(node) if plain else f"({ast.unparse(node)})"


def changes(node: ast.AST, helpers: set[str], operands: tuple[str, ...]) -> list[str]:
    """Return what one node of a formula can wrongly be."""
    match node:
        case ast.BinOp(a, op, b):
            return [form.format(a=text(a), b=text(b)) for form in BINARY[type(op)]]
        case ast.UnaryOp(ast.USub(), ast.Constant(value)):
            return [f"{1 - value}", f"{-1 - value}"]
        case ast.UnaryOp(ast.USub() | ast.Not(), operand):
            return [text(operand)]
        case ast.Constant(bool(value)):
            return [str(not value)]
        case ast.Constant(int(value)):
            return [str(value + 1)] + [str(value - 1)] * (value == 1)
        case ast.Constant(float(value)):
            return [str(value + (0.5 if value == 0.5 else 1.0))]
        case ast.Compare(left, ops, others):
            return [
                ast.unparse(ast.Compare(left, [*ops[:i], new(), *ops[i + 1 :]], others))
                for i, op in enumerate(ops)
                for new in COMPARISONS[type(op)]
            ]
        case ast.BoolOp(op, parts):
            other = " or " if isinstance(op, ast.And) else " and "
            rest = [parts[:i] + parts[i + 1 :] for i in range(len(parts))]
            sign = " and " if isinstance(op, ast.And) else " or "
            return [other.join(map(text, parts)), *(sign.join(map(text, one)) for one in rest)]
        case ast.IfExp(_, body, orelse):
            return [text(body), text(orelse)]
        case ast.Attribute(operand, "mT"):
            return [text(operand)]
        case ast.Name(name) if name in operands:
            return [operands[(operands.index(name) + 1) % len(operands)]] * (len(operands) > 1)
        case ast.AugAssign(target, _, value):
            return [f"{ast.unparse(target)} = {ast.unparse(value)}", "pass"]
        case ast.Expr(ast.Call(function, arguments)):
            if ast.unparse(function) == "xp.add.at":
                total, index, values = map(ast.unparse, arguments)
                return ["pass", f"{total}[{index}] = {values}"]
            return ["pass"]
        case ast.Raise():
            return ["pass"]
        case ast.Call():
            return calls(node, helpers)
    return []


def calls(node: ast.Call, helpers: set[str]) -> list[str]:
    """Return a call's first operand alone, the call with operands swapped, with other axes."""
    name = ast.unparse(node.func)
    ours = name in helpers
    if not (ours or re.fullmatch(r"xp\.\w+", name) or name in ("slice", "max")):
        return []
    spaces = ours and bool(node.args) and ast.unparse(node.args[0]) == "xp"
    lead, arguments = node.args[:spaces], node.args[spaces:]
    found = []

    def again(arguments: list, keywords: list) -> None:
        found.append(ast.unparse(ast.Call(node.func, [*lead, *arguments], keywords)))

    if arguments and name not in ("slice", "max", "xp.zeros", "xp.arange"):
        found.append(text(arguments[0]))  # the call is missing
        if name == "xp.where":
            found += [text(arguments[1]), text(arguments[2])]
    if name.removeprefix("xp.") not in COMMUTATIVE:
        for i in range(len(arguments) - 1):
            first, second = arguments[i : i + 2]
            again([*arguments[:i], second, first, *arguments[i + 2 :]], node.keywords)
    for i, keyword in enumerate(node.keywords):
        before, after = node.keywords[:i], node.keywords[i + 1 :]
        if isinstance(keyword.value, ast.Name) and keyword.arg in ("axis", "keepdims"):
            other = {"axis": ["0", "-1"], "keepdims": ["not keepdims"]}[keyword.arg]
            for value in other:
                changed = ast.keyword(keyword.arg, ast.parse(value, mode="eval").body)
                again(arguments, [*before, changed, *after])
        if keyword.arg in ("axis", "dtype"):
            again(arguments, [*before, *after])
    return found


class Mutant:
    """One change of one formula.

    Attributes
    ----------
    chapter, owner : str
        The file of rules, and the rule or the function of its whose formula is changed.
    rules : tuple of str
        The rules that compute with it.
    before, after : str
        The lines that differ, without their indentation.
    source : str
        The whole changed file.
    """

    def __init__(self, chapter: "Chapter", owner: str, rules: tuple, line: int, source: str):
        self.chapter, self.owner, self.rules = chapter.name, owner, rules
        self.line, self.source = line, source
        first, second = chapter.source.splitlines(), source.splitlines()
        while first and second and first[-1] == second[-1]:
            del first[-1], second[-1]
        start = next(
            (i for i, pair in enumerate(zip(first, second, strict=False)) if pair[0] != pair[1]),
            min(len(first), len(second)),
        )
        self.before, self.after = (
            " ".join(map(str.strip, lines[start:])) for lines in (first, second)
        )

    def __str__(self) -> str:
        place = f"tinygraph/rules/{self.chapter}.py:{self.line} {self.owner}"
        return f"{place}\n  - {self.before}\n  + {self.after}"


def unchanged(chapter: str, rules: tuple) -> Mutant:
    """Return a mutant that is the original."""
    original = Chapter(chapter)
    return Mutant(original, "", rules, 0, original.source)


class Chapter:
    """A file of rules: its formulas, and who computes with which."""

    def __init__(self, name: str):
        self.name = name
        self.source = Path("tinygraph", "rules", f"{name}.py").read_text()
        self.tree = ast.parse(self.source)
        self.functions = {
            one.name: one for one in self.tree.body if isinstance(one, ast.FunctionDef)
        }
        self.entries: dict[str, ast.Call] = {}
        for one in (one.value for one in self.tree.body if isinstance(one, ast.Expr)):
            if isinstance(one, ast.Call) and ast.unparse(one.func) in ENTERING:
                module = "" if ast.unparse(one.func) == "rule" else "special."
                self.entries[module + ast.literal_eval(one.args[0])] = one

    def changed(self, helpers: set[str]) -> Iterator[tuple[str, ast.AST, str]]:
        """Give each change: whose formula it is in, the node, what the node becomes."""
        for name, function in self.functions.items():
            for node, new in inside(function, helpers):
                yield name, node, new
        entries = list(self.entries.items())
        for (name, entry), (_, neighbour) in zip(entries, entries[1:] + entries[:1], strict=True):
            vjps = gradients(entry)
            for one, other in zip(vjps, gradients(neighbour), strict=False):
                yield name, one, ast.unparse(other)
            for one, other in permutations(vjps, 2):  # of one operand in the place of another's
                yield name, one, ast.unparse(other)
            residual = [one.value for one in entry.keywords if one.arg == "residual"]
            for formula in dict.fromkeys((*entry.args[1:], *vjps, *residual)):
                for node, new in inside(formula, helpers):
                    yield name, node, new


def gradients(entry: ast.Call) -> list[ast.expr]:
    """Return the formulas of an entry, one for each operand."""
    for keyword in entry.keywords:
        if keyword.arg == "vjp":
            return keyword.value.elts if isinstance(keyword.value, ast.Tuple) else [keyword.value]
    return entry.args[1:]


def read_by(node: ast.AST) -> set[str]:
    """Return the names that are read anywhere in a node."""
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}


def users(chapters: list[Chapter]) -> dict[str, tuple[str, ...]]:
    """Return for each function in the files of rules the rules that compute with it."""
    functions = {name: one for chapter in chapters for name, one in chapter.functions.items()}
    found: dict[str, list[str]] = {name: [] for name in functions}
    for chapter in chapters:
        for rule, entry in chapter.entries.items():
            reached: set[str] = set()
            new = read_by(entry) & set(functions)
            while new:
                reached |= new
                new = {name for one in new for name in read_by(functions[one])}
                new = (new & set(functions)) - reached
            for name in reached:
                found[name].append(rule)
    return {name: tuple(rules) for name, rules in found.items()}


def mutants(chapters: list[Chapter], wanted: list[str] | None) -> list[Mutant]:
    """Return every mutant of every formula, or of those in some chapters, none twice."""
    concerned = users(chapters)
    found = []
    for chapter in [one for one in chapters if one.name in (wanted or CHAPTERS)]:
        seen = {ast.dump(chapter.tree)}
        for owner, node, new in chapter.changed(set(concerned)):
            source = replaced(chapter.source, node, new)
            meaning = ast.dump(ast.parse(source))
            if meaning not in seen:
                seen.add(meaning)
                rules = concerned.get(owner, (owner,)) if owner in chapter.functions else (owner,)
                found.append(Mutant(chapter, owner, rules, node.lineno, source))
    return found


def inside(formula: ast.AST, helpers: set[str]) -> list[tuple[ast.AST, str]]:
    """Return the changes of each node of a formula, and of the sign of all of it."""
    found = []

    def walk(node: ast.AST, operands: tuple[str, ...]) -> None:
        if isinstance(node, ast.JoinedStr):  # what an error says
            return
        if isinstance(node, ast.keyword) and node.arg == "strict":  # a check, no formula
            return
        if isinstance(node, ast.Lambda | ast.FunctionDef):
            given = [one.arg for one in (*node.args.posonlyargs, *node.args.args)]
            operands = tuple(one for one in given if one in OF_ARRAYS)
            for default in (*node.args.defaults, *filter(None, node.args.kw_defaults)):
                if isinstance(default, ast.Constant) and default.value is None:
                    found.append((default, "0"))
            results = [node.body] if isinstance(node, ast.Lambda) else []
            if isinstance(node, ast.FunctionDef) and "xp" in given:
                results = [one.value for one in ast.walk(node) if isinstance(one, ast.Return)]
            if operands:
                found.extend(
                    (one, f"-{text(one)}") for one in results if not isinstance(one, ast.UnaryOp)
                )
        if isinstance(node, ast.If):
            found.extend([(node.test, "True"), (node.test, "False")])
        found.extend((node, new) for new in changes(node, helpers, operands))
        for child in ast.iter_child_nodes(node):
            walk(child, operands)

    walk(formula, ())
    return found


def replaced(source: str, node: ast.AST, new: str) -> str:
    """Return source with other text in the place of a node."""
    lines = source.encode().splitlines(keepends=True)
    start = sum(map(len, lines[: node.lineno - 1])) + node.col_offset
    stop = sum(map(len, lines[: node.end_lineno - 1])) + node.end_col_offset
    whole = source.encode()
    if isinstance(node, ast.expr) and not re.fullmatch(r"[\w.]+|\w+(\.\w+)*\([^()]*\)", new):
        new = f"({new})"
    return (whole[:start] + new.encode() + whole[stop:]).decode()


# ---------------------------------------------------------------- running tests on a mutant


class InPlace(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Lets a file of rules be imported as a mutant has it."""

    def __init__(self, mutant: Mutant):
        self.mutant = mutant

    def find_spec(self, name, path=None, target=None):
        if name == f"tinygraph.rules.{self.mutant.chapter}":
            return importlib.util.spec_from_loader(name, self)
        return None

    def exec_module(self, module):
        exec(compile(self.mutant.source, f"{self.mutant.chapter}.py", "exec"), module.__dict__)


class Concerned:
    """A pytest plugin that leaves of the tests those that concern some rules."""

    def __init__(self, rules: tuple):
        self.rules = rules

    def known(self, name):
        return name in sys.modules["tinygraph.rules"].RULES

    @pytest.hookimpl(tryfirst=True)
    def pytest_generate_tests(self, metafunc):
        parametrize = metafunc.parametrize

        def fewer(names, values, **options):
            if names == "name":  # quicker than to make all tests and leave out most
                values = [one for one in values if one in self.rules or not self.known(one)]
            parametrize(names, values, **options)

        metafunc.parametrize = fewer

    def pytest_runtest_setup(self):
        signal.alarm(PATIENCE)

    def pytest_collection_modifyitems(self, items):
        def of(item):
            name = getattr(item, "callspec", None) and item.callspec.params.get("name")
            return name if self.known(name) else None

        items[:] = [one for one in items if of(one) is None or of(one) in self.rules]
        # First what is quick and tells most; the sort keeps the file's order otherwise.
        items.sort(key=lambda one: of(one) is None)


def prepare(mutant: Mutant) -> bool:
    """Import the package with a mutant in it; tell whether the table takes it."""
    sys.path.insert(0, os.getcwd())
    sys.meta_path.insert(0, InPlace(mutant))
    try:
        import tinygraph.rules
    except Exception:  # what a rule reads has to exist, and so on
        return False
    assert tinygraph.rules.__file__.startswith(os.getcwd())
    return True


def late(*_):
    os._exit(1)  # at once: Hypothesis would run the example that takes so long again


def verdict(mutant: Mutant) -> int:
    """Run the tests on a mutant, and return its place among the verdicts."""
    signal.signal(signal.SIGALRM, late)
    signal.alarm(PATIENCE)
    if mutant.after:  # of the original, show which tests are red
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
    if not prepare(mutant):
        return 2
    # The gate's examples; a failing one need not be made small.
    hypothesis.settings.register_profile(
        "mutants", deadline=None, derandomize=True, database=None, max_examples=25,
        phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
    )  # fmt: skip
    options = [
        "-q",
        *["-x"] * bool(mutant.after),
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "--tb=no",
        "--assert=plain",
    ]
    status = pytest.main(
        [*options, "--hypothesis-profile=mutants", *TESTS, *OWN.get(mutant.chapter, ())],
        plugins=[Concerned(mutant.rules)],
    )
    # Tests that failed, or that could not even be collected; anything else says nothing.
    caught = (pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED)
    return 0 if status == pytest.ExitCode.OK else 1 if status in caught else 10 + status


# ---------------------------------------------------------------- the same, to the last bit


def draw_inputs(rule: str, path: Path) -> None:
    """Write arguments of a rule to a file, half of them with special values among them."""
    import tinygraph.testing.strategies as strategies
    from tinygraph.rules import RULES

    rng = numpy.random.default_rng(0)
    found = []

    @hypothesis.settings(
        max_examples=INPUTS, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )  # fmt: skip
    @hypothesis.given(strategies.arguments(RULES[rule]))
    def collect(drawn):
        operands, params = drawn
        for one in operands:
            if one.dtype.kind == "f" and len(found) % 2:
                with numpy.errstate(over="ignore"):  # what float32 cannot hold is infinite
                    one[rng.random(one.shape) < 0.3] = rng.choice(SPECIAL)
        found.append((operands, params))

    while len(found) < INPUTS:  # Hypothesis stops early where there is little to draw
        collect()
    path.write_bytes(pickle.dumps(found[:INPUTS]))


def evaluate(rule: str, inputs: Path, results: Path) -> None:
    """Write what a rule gives for the arguments in a file: the bits of result and gradients."""
    from tinygraph import namespace, tensor
    from tinygraph.rules import RULES
    from tinygraph.testing.strategies import differentiable

    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for operands, params in pickle.loads(inputs.read_bytes()):
            asked = differentiable(RULES[rule], operands)
            inside = [tensor(one, requires_grad=i in asked) for i, one in enumerate(operands)]
            arrays = [inside] if RULES[rule].variadic else inside
            try:
                y = getattr(namespace, rule)(*arrays, **params)
                if y.requires_grad:
                    y.backward(numpy.cos(numpy.arange(y.size)).reshape(y.shape).astype(y.dtype))
                answers = [y, *(one.grad for one in inside if one.grad is not None)]
                arrays = [one.numpy() for one in answers]
                for one in arrays:
                    if one.dtype.kind == "f":
                        one[numpy.isnan(one)] = numpy.nan  # whose sign says nothing
                found.append([(str(one.dtype), one.shape, one.tobytes()) for one in arrays])
            except Exception as error:
                found.append([type(error).__name__, str(error)])
    results.write_bytes(pickle.dumps(found))


def alone(mutant: Mutant, work) -> None:
    """Do some work with a mutant in a process of its own, and wait for it."""

    def whole():
        prepare(mutant)
        work()

    _, status = os.waitpid(start(whole), 0)
    assert status == 0, f"the comparison failed: {mutant}"


def differs(mutant: Mutant, folder: Path) -> str:
    """Return for which rule and input a mutant is another function than the original, or ''."""
    for rule in mutant.rules:
        inputs, plain, changed = (folder / f"{rule}.{part}" for part in ("in", "plain", "changed"))
        changed.unlink(missing_ok=True)
        if not plain.exists():
            original = unchanged(mutant.chapter, mutant.rules)
            alone(original, partial(draw_inputs, rule, inputs))
            alone(original, partial(evaluate, rule, inputs, plain))
        alone(mutant, partial(evaluate, rule, inputs, changed))
        expected, found = (pickle.loads(one.read_bytes()) for one in (plain, changed))
        for i, (one, other) in enumerate(zip(expected, found, strict=True)):
            if one != other:
                return f"{rule} on input {i}: {one} became {other}"
    return ""


# ---------------------------------------------------------------- the run


def start(work) -> int:
    """Do some work in a process of its own, whose number is returned; it exits with the answer."""
    sys.stdout.flush()
    number = os.fork()
    if number == 0:
        status = 99
        try:
            status = work() or 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return number


def verdicts(found: list[Mutant], jobs: int):
    """Give each mutant with what became of it, as they end."""
    waiting, running = found[::-1], {}
    while waiting or running:
        while waiting and len(running) < jobs:
            mutant = waiting.pop()
            running[start(partial(verdict, mutant))] = mutant
        number, status = os.wait()
        yield running.pop(number), VERDICTS[os.waitstatus_to_exitcode(status)]


def main() -> int:
    """Run the mutants and print which survive."""
    parser = argparse.ArgumentParser(description="Break every formula of the rule table in turn.")
    parser.add_argument("--rule", action="append", help="only mutants that concern this rule")
    parser.add_argument("--chapter", action="append", choices=CHAPTERS, help="only this file's")
    parser.add_argument("--jobs", type=int, default=1, help="how many run at a time")
    parser.add_argument("--list", action="store_true", help="print the mutants and run none")
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        for name in ("tinygraph", "tests", "pyproject.toml"):
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
            copy(ROOT / name, Path(folder, name))
        os.chdir(folder)
        compileall.compile_dir(folder, quiet=1)
        found = mutants(list(map(Chapter, CHAPTERS)), options.chapter)
        if options.rule:
            found = [one for one in found if set(one.rules) & set(options.rule)]
        if options.list:
            print(*found, f"{len(found)} mutants", sep="\n")
            return 0
        gc.freeze()  # so that the processes go on sharing their memory
        everything = tuple({rule for one in found for rule in one.rules})
        original = unchanged(CHAPTERS[0], everything)
        counts: Counter = Counter()
        if sound := green(original):
            counts = report(verdicts(found, options.jobs), Path(folder))
            sound = green(original)  # still: else what came in between says nothing
    if not sound:
        print("the tests are red without any change: mend that first")
        return 1
    total = counts.total() - counts["refused"]
    print(
        f"{total} mutants ({counts['refused']} more were refused by the table): "
        f"{counts['killed']} killed, {counts['equal']} equal to the original on {INPUTS} inputs "
        f"a rule, {counts['survived']} survived; {time.monotonic() - began:.0f} s"
    )
    return 1 if counts["survived"] or counts["equal"] > SHARE * total else 0


def green(original: Mutant) -> bool:
    """Whether all tests pass on what has not been changed."""
    ((_, end),) = verdicts([original], 1)
    return end == "survived"


def report(ends: Iterator[tuple[Mutant, str]], folder: Path) -> Counter:
    """Print the survivors as they come, and return how often each end was met."""
    counts: Counter = Counter()
    for mutant, end in ends:
        if end == "survived":
            reason = EQUIVALENT.get((mutant.owner, mutant.after))
            said = differs(mutant, folder) if reason else "no test notices"
            end = end if said else "equal"
            print(f"{mutant}\n  {said or f'the same function: {reason}'}", flush=True)
        counts[end] += 1
    return counts


if __name__ == "__main__":
    sys.exit(main())
