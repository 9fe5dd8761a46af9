"""The command line: ``tinygraph demo``, ``train``, ``check`` and ``draw``."""

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


DRAW = """\
Draw the computation graph of something into a file. The name is that of

  a function made of tinygraph's operations: give the shape of each argument with --shape;
  a function without parameters, which returns what is to be drawn: a Tensor, a dict of Tensors,
    (function, x, ...) or (model, x, t);
  a Tensor or a dict of Tensors.

Exit status: 0 if there is a picture, 1 if it could not be made, 2 if there is nothing to draw.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0, 1 after an error, 2 misused, 130 stopped."""
    options = parser().parse_args(arguments)
    return options.run(options)


def run_demo(options: argparse.Namespace) -> int:
    """Run ``tinygraph demo``."""
    try:
        from .models.demo import demo
    except ModuleNotFoundError as error:
        return shadowed(error)
    try:
        demo(options.seed, options.out, options.json)
    except TinygraphError as error:
        print(f"tinygraph: {error}", file=sys.stderr)
        return 1
    return 0


def run_train(options: argparse.Namespace) -> int:
    """Run ``tinygraph train``."""
    try:
        from .models.training import train
    except ModuleNotFoundError as error:
        return shadowed(error)
    names = ("model", "optimizer", "engine", "epochs", "batch_size", "lr", "seed")
    given = {name: value for name in names if (value := getattr(options, name)) is not None}
    try:
        train(options.out, options.data, options.resume, **given)
    except TinygraphError as error:
        print(f"tinygraph: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130  # what a shell gives for it
    return 0


def run_check(options: argparse.Namespace) -> int:
    """Run ``tinygraph check``."""
    from .testing.command import check

    return check(options.target, dict(options.shape), options.seed)


def run_draw(options: argparse.Namespace) -> int:
    """Run ``tinygraph draw``."""
    try:
        from .viz.command import draw
    except ModuleNotFoundError as error:
        return shadowed(error)
    given = {
        name: value
        for name in ("style", "direction", "title", "depth", "check")
        if (value := getattr(options, name)) not in (None, False)
    }
    return draw(
        options.target, dict(options.shape), options.variable, options.seed, options.out, given
    )


def shadowed(error: ModuleNotFoundError) -> int:
    """Say that the source folder was found before the installed package, if that is so."""
    if error.name not in (f"{__package__}.models", f"{__package__}.viz"):
        raise error
    print(SHADOWED, file=sys.stderr)
    return 1


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

    train = commands.add_parser(
        "train",
        help="train a network on handwritten digits, on any engine",
        description=(
            "Train a network on handwritten digits. Ctrl-C stops it, and --resume goes on: the "
            "numbers are those of a training that was never stopped."
        ),
    )
    train.add_argument(
        "--model",
        choices=("two-layer-net", "mlp", "simple-conv-net"),
        help="default: two-layer-net",
    )
    train.add_argument("--engine", choices=("numpy", "jax", "torch"), help="default: numpy")
    train.add_argument("--optimizer", choices=("sgd", "momentum", "adam"), help="default: adam")
    train.add_argument("--lr", type=rate, metavar="X", help="the learning rate")
    train.add_argument("--epochs", type=count, metavar="N", help="default: 20")
    train.add_argument("--batch-size", type=count, metavar="N", help="default: 100")
    train.add_argument(
        "--seed", type=seed, metavar="N", help="of first weights and of the order (default: 0)"
    )
    train.add_argument(
        "--data", type=Path, metavar="FOLDER", help="with MNIST's four files; some digits are here"
    )
    train.add_argument(
        "--out",
        type=Path,
        default=Path("tinygraph-training"),
        metavar="FOLDER",
        help="where checkpoint, weights and learning curve go (default: %(default)s)",
    )
    train.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    train.set_defaults(run=run_train)

    check = of_one_thing(commands, "check", "the gradients of one function or layer", CHECK)
    check.set_defaults(run=run_check)

    draw = of_one_thing(commands, "draw", "the computation graph of one function or model", DRAW)
    draw.add_argument(
        "--variable",
        action="append",
        default=[],
        metavar="x",
        help="let the argument x require a gradient",
    )
    draw.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="a .svg, .png, .pdf, .dot or .html (default: the name with .svg)",
    )
    draw.add_argument("--style", help="structure (the default) or textbook")
    draw.add_argument("--direction", help="LR or TB")
    draw.add_argument("--title", metavar="TEXT")
    draw.add_argument("--depth", type=int, metavar="N", help="fold scopes below this depth")
    draw.add_argument("--check", action="store_true", help="say what is wrong with the numbers")
    draw.set_defaults(run=run_draw)
    return whole


def of_one_thing(
    commands: argparse._SubParsersAction, name: str, what: str, description: str
) -> argparse.ArgumentParser:
    """Add a command that takes a function, whose arguments it can make up."""
    one = commands.add_parser(
        name,
        help=f"{name} {what}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    one.add_argument("target", metavar="module.py:name", help=f"what to {name}")
    one.add_argument(
        "--shape",
        type=shape,
        action="append",
        default=[],
        metavar="x=3,4",
        help="make up the argument x with this shape; x= for a single number",
    )
    one.add_argument(
        "--seed", type=seed, default=0, metavar="N", help="of what is made up (default: 0)"
    )
    return one


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


def count(text: str) -> int:
    """Read a number of something, as argparse calls it."""
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return int(text)


def rate(text: str) -> float:
    """Read a learning rate, as argparse calls it."""
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no positive number")
    return number
