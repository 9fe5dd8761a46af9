"""The command line: ``tinygraph demo``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from .errors import TinygraphError

SHADOWED = (
    "tinygraph: the tinygraph/ of this source folder was found before an installed one, and its "
    "models are not beside it. Run pip install -e . here, or the command from another folder."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0, or 1 after an error of tinygraph."""
    options = parser().parse_args(arguments)
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
    return whole


def seed(text: str) -> int:
    """Read a seed, as argparse calls it."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{number} is negative")
    return number
