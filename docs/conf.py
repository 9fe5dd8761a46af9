"""How Sphinx makes the documentation: ``python -m sphinx docs docs/_build/html``."""

import math
import sys
from importlib import metadata
from inspect import isfunction
from operator import attrgetter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import make_pictures  # lies beside this file

import tinygraph
from tinygraph.cli import parser
from tinygraph.rules import RULES, Domain, Rule
from tinygraph.rules.formula import forward_formula, vjp_formula
from tinygraph.standard import NAMES

project = "tinygraph"
author = "the tinygraph contributors"
copyright = author
release = metadata.version("tinygraph-autograd")

extensions = ["myst_nb", "numpydoc", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"tinygraph {release}"

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # numpydoc's sections say them
numpydoc_show_class_members = False

nitpicky = True
nitpick_ignore = [("py:class", "numpy.linalg.LinAlgError")]  # a base class of ours

nb_execution_mode = "force"  # a notebook that fails, fails the build
nb_execution_raise_on_error = True

make_pictures.main()


# ---------------------------------------------------------------- the table of rules


def domain(one: Domain) -> str:
    """Say where an operand may lie."""
    if one.of != "real":
        return one.of
    text = f"({number(one.low)}, {number(one.high)})"
    if (one.low, one.high) == (-math.inf, math.inf):
        text = "ℝ"
    elif (one.low, one.high) == (0, math.inf):
        text = "> 0"
    if one.excluded:
        text += f" less {', '.join(map(number, one.excluded))}"
    return f"{text}, no ties" if one.distinct else text


def number(value: float) -> str:
    """Write the end of an interval."""
    return f"{value:g}".replace("inf", "∞").replace("-", "−")


def row(rule: Rule) -> str:
    """Write one rule as a row of a Markdown table."""
    domains = [domain(one) for one in rule.domain]
    cells = [
        f"`{rule.name}({rule.signature})`",
        rule.kind.name.lower(),
        rule.shapes.value,
        domains[0] if len(set(domains)) == 1 else "; ".join(domains),
        rule.convention if rule.differentiable else "not differentiable",
    ]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def formulas(rule: Rule) -> str:
    """Write the formulas of one rule as a row of a Markdown table; of programs their names."""
    back = [
        vjp_formula(rule, slot) or f"by `{formula.__name__}`"
        for slot, formula in enumerate(rule.vjp)
        if formula is not None
    ]
    texts = [forward_formula(rule) or "", *back] if rule.differentiable else []
    if not texts or any("\n" in text for text in texts):
        return ""
    cells = [text if text.startswith("by ") or not text else f"`{text}`" for text in texts]
    cells = [cell.replace("|", chr(92) + "|") for cell in cells]
    return f"| `{rule.name}` | {cells[0]} | {', '.join(cells[1:])} |"


def commands() -> str:
    """Return the help of each command."""
    (subparsers,) = (one for one in parser()._actions if one.choices)
    return "\n\n".join(
        f"## tinygraph {name}\n\n```text\n{one.format_help()}```"
        for name, one in subparsers.choices.items()
    )


def is_public(name: str) -> bool:
    """Whether there is a function of this name."""
    try:
        return bool(attrgetter(name)(tinygraph))
    except AttributeError:
        return False


DESCRIBED = ("arange", "asarray", "ones", "zeros")  # at the top of the reference
HEAD = (
    "| rule | kind | operands | differentiable where | convention |",
    "|---|---|---|---|---|",
)
FUNCTIONS = "\n".join(
    f".. autofunction:: tinygraph.{name}" for name in sorted(RULES) if is_public(name)
)
myst_heading_anchors = 3
myst_enable_extensions = ["substitution"]
myst_substitutions = {
    "rules": "\n".join([*HEAD, *map(row, RULES.values())]),
    "formulas": "\n".join(
        [
            "| rule | value | gradients |",
            "|---|---|---|",
            *filter(None, map(formulas, RULES.values())),
        ]
    ),
    "commands": commands(),
    "standard": "```{eval-rst}\n"
    + "\n".join(
        f".. autofunction:: tinygraph.{name}"
        for name, one in sorted(NAMES.items())
        if isfunction(one)
        and one.__module__ != "numpy"
        and name not in RULES
        and name not in DESCRIBED
    )
    + "\n```",
    "functions": f"```{{eval-rst}}\n{FUNCTIONS}\n```",
}
