"""The command line: ``tinygraph demo`` and ``tinygraph check``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from .errors import TinygraphError

SHADOWED = (
    "tinygraph: the tinygraph/ of this source folder was found before an installed one, and its "
    "models are not beside it. Run pip install -e . here, or the command from another folder."
)
CHECK = """\
Check the gradients of one function or layer against numerical derivatives. The name is that of

  a function made of tinygraph's operations: give the shape of each argument with --shape;
  a layer, as a class or an object with forward and backward(dout): give the shapes of what its
    __init__ and its forward take;
  a function without parameters, which returns what is to be checked and its arguments:
    (layer, x, ...), (net, x, t), (function, x, ...) or (function, gradient, x).

Exit status: 0 if the gradients are right, 1 with a report if not, 2 if there is nothing to check.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0, 1 after an error, 2 if it was misused."""
    options = parser().parse_args(arguments)
    return options.run(options)


def run_demo(options: argparse.Namespace) -> int:
    """Run ``tinygraph demo``."""
    try:
        from .models.demo import demo
    except ModuleNotFoundError as error:
        if error.name != f"{__package__}.models":
            raise
        print(SHADOWED, file=sys.stderr)
        return 1
    try:
        demo(options.seed, options.out, options.json)
    except TinygraphError as error:
        print(f"tinygraph: {error}", file=sys.stderr)
        return 1
    return 0


def run_check(options: argparse.Namespace) -> int:
    """Run ``tinygraph check``."""
    from .testing.command import check

    return check(options.target, dict(options.shape), options.seed)


def parser() -> argparse.ArgumentParser:
    """Return what reads the arguments."""
    whole = argparse.ArgumentParser(
        prog="tinygraph", description="Gradients that are checked, and that you can see."
    )
    commands = whole.add_subparsers(metavar="command", required=True)
    demo = commands.add_parser(
        "demo",
        help="check, train and draw a network on real handwritten digits",
        description=(
            "Check the gradients of a network of two layers, train it on real handwritten digits, "
            "test it and draw it: in less than a minute, without a network connection."
        ),
    )
    demo.add_argument(
        "--seed", type=seed, default=0, metavar="N", help="of what is drawn by chance (default: 0)"
    )
    demo.add_argument(
        "--out",
        type=Path,
        default=Path("tinygraph-demo"),
        metavar="FOLDER",
        help="where the pictures go, made if missing (default: %(default)s)",
    )
    demo.add_argument(
        "--json", type=Path, metavar="FILE", help="where to write the figures too, as JSON"
    )
    demo.set_defaults(run=run_demo)

    check = commands.add_parser(
        "check",
        help="check the gradients of one function or layer",
        description=CHECK,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    check.add_argument("target", metavar="module.py:name", help="what to check")
    check.add_argument(
        "--shape",
        type=shape,
        action="append",
        default=[],
        metavar="x=3,4",
        help="draw the argument x with this shape; x= for a single number",
    )
    check.add_argument(
        "--seed", type=seed, default=0, metavar="N", help="of what is drawn (default: 0)"
    )
    check.set_defaults(run=run_check)
    return whole


def shape(text: str) -> tuple[str, tuple[int, ...]]:
    """Read a name and a shape, as argparse calls it."""
    name, sign, lengths = text.partition("=")
    axes = tuple(int(one) for one in lengths.split(",") if one)
    if not name or not sign or min(axes, default=0) < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not like x=3,4")
    return name, axes


def seed(text: str) -> int:
    """Read a seed, as argparse calls it."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{number} is negative")
    return number
