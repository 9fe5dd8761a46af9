"""Compare tinygraph's pictures with those of its peers: ``python docs/compare_pictures.py``.

It prints the table of docs/comparison.md, or, with ``--pictures``, draws the network into
docs/pictures/peers with each library's own drawing function. It needs Graphviz's program and what
``pip install "tinygraph-autograd[demo,peers]"`` installs. Whatever can fail or never end runs in a
process of its own.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tinygraph.viz.engine import find_engine

PICTURES = Path(__file__).resolve().parent / "pictures" / "peers"
LIMIT = 120  # seconds that a process may take
ONE_SHAPE = r"(\d+ x )?\((\d+,? ?)*\)"  # torchview counts equal ones
SHAPES = f"{ONE_SHAPE}(, {ONE_SHAPE})*"
TWICE = 18
SHORTER = {"RecursionError": "too deep", "ExecutableNotFound": "an error"}
LENGTHS = (1_000, 10_000, 100_000)
PARAMETERS = {"W1": (784, 50), "b1": (50,), "W2": (50, 10), "b2": (10,)}


# ---------------------------------------------------------------- what is drawn


def affine(x: Any, W: Any, b: Any) -> Any:
    """Return x W + b."""
    return x @ W + b


def network(library: "Library", leaves: dict[str, Any]) -> Any:
    """Return the loss of a network of two layers."""
    x, W1, b1, W2, b2 = (leaves[name] for name in ("x", "W1", "b1", "W2", "b2"))
    h = library.layer("Affine1", affine, x, W1, b1)
    h = library.layer("Relu1", library.relu, h)
    y = library.layer("Affine2", affine, h, W2, b2)
    return library.layer("SoftmaxWithLoss", library.cross_entropy, y, leaves["t"])


def network_arrays() -> dict[str, np.ndarray]:
    """Return a batch of 100 and the parameters, always the same."""
    random = np.random.default_rng(0)
    arrays = {"x": random.random((100, 784)), "t": random.integers(0, 10, 100)}
    return arrays | {name: 0.1 * random.normal(size=of) for name, of in PARAMETERS.items()}


def product(a: Any, b: Any, c: Any) -> Any:
    """Return a number whose gradients are none of the values on the way."""
    return a * b * c


def difference(a: Any, b: Any) -> Any:
    """Return a - b."""
    return a - b


def swapped(a: Any, b: Any) -> Any:
    """Return b - a."""
    return b - a


def total(a: Any, b: Any) -> Any:
    """Return a + b."""
    return a + b


def square(a: Any) -> Any:
    """Return a · a."""
    return a * a


def doublings(a: Any) -> Any:
    """Return a sum of a with itself, many times over."""
    for _ in range(TWICE):
        a = a + a
    return a


# ---------------------------------------------------------------- the libraries


class Library:
    """How to write the network in a library, and how to draw it.

    `drawings` are its ways to draw, under the words that name them; the first has no options.
    """

    distribution: str
    cross_entropy: Callable
    relu: Callable
    tanh: Callable

    def leaf(self, name: str, array: np.ndarray) -> Any:
        """Return a variable; one that requires a gradient unless it is the network's input."""
        raise NotImplementedError

    def layer(self, name: str, function: Callable, *operands: Any) -> Any:
        """Apply a function under the name of a layer, where there is such a thing."""
        return function(*operands)

    def result(self, function: Callable, **arrays: Any) -> tuple[Any, dict[str, Any]]:
        """Return what a function makes of named arrays, and the leaves."""
        leaves = {name: self.leaf(name, np.asarray(array)) for name, array in arrays.items()}
        return function(*leaves.values()), leaves

    def network(self) -> tuple[Any, dict[str, Any]]:
        """Return the loss and the leaves."""
        leaves = {name: self.leaf(name, array) for name, array in network_arrays().items()}
        return network(self, leaves), leaves

    def chain(self, length: int) -> tuple[Any, dict[str, Any]]:
        """Return the result of many operations in a row."""

        def many(a: Any) -> Any:
            for _ in range(length):
                a = self.tanh(a)
            return a

        return self.result(many, a=0.5)

    def backward(self, result: Any, leaves: dict[str, Any], **keep: bool) -> None:
        """Compute the gradients; `keep` is for PyTorch, which can keep what a second one needs."""
        result.backward()

    def dot(self, result: Any, leaves: dict[str, Any], **options: Any) -> str:
        """Return the DOT text of a picture."""
        raise NotImplementedError

    def picture(self, result: Any, leaves: dict[str, Any], path: Path, **options: Any) -> None:
        """Draw a picture into a PNG file."""
        raise NotImplementedError

    drawings: ClassVar[dict[str, dict[str, Any]]] = {"": {}}
    every_operation: ClassVar[dict[str, Any]] = {}  # the options to draw them all
    pictured: ClassVar[dict[str, Any]] = {}  # the options of the picture on the page


class Tinygraph(Library):
    """tinygraph, as it is installed here."""

    distribution = "tinygraph-autograd"
    drawings: ClassVar = {"": {}, "`textbook`": {"style": "textbook"}}
    every_operation: ClassVar = {"fold": False}

    def __init__(self):
        import tinygraph as tg
        from tinygraph import viz

        self.tg, self.viz = tg, viz
        self.relu, self.tanh, self.cross_entropy = tg.relu, tg.tanh, tg.softmax_cross_entropy

    def leaf(self, name, array):
        """Name a Tensor."""
        return self.tg.tensor(array, name=name, requires_grad=name not in ("x", "t"))

    def layer(self, name, function, *operands):
        """Record a layer in a scope."""
        with self.tg.scope(name):
            return function(*operands)

    def dot(self, result, leaves, **options):
        """Draw what a Tensor was made from."""
        return self.viz.to_dot(result, **options).source

    def picture(self, result, leaves, path, **options):
        """Draw what a Tensor was made from."""
        self.viz.render(result, path, **options)


class Torch(Library):
    """What the two libraries for PyTorch share."""

    def __init__(self):
        import torch

        self.torch = torch
        self.relu, self.tanh = torch.relu, torch.tanh
        self.cross_entropy = torch.nn.functional.cross_entropy

    def leaf(self, name, array):
        """Return a tensor; it has no name of its own."""
        return self.torch.tensor(array, requires_grad=name not in ("x", "t"))

    def backward(self, result, leaves, **keep):
        """Compute the gradients."""
        result.backward(**keep)


class Torchviz(Torch):
    """torchviz draws the functions of PyTorch's backward pass."""

    distribution = "torchviz"
    drawings: ClassVar = {
        "": {}, "`show_saved`": {"show_saved": True}, "`show_attrs`": {"show_attrs": True}
    }  # fmt: skip

    def graph(self, result, leaves, **options):
        """Return the picture, with names for the parameters."""
        import torchviz

        return torchviz.make_dot(result, params=leaves, **options)

    def dot(self, result, leaves, **options):
        """Return its text."""
        return self.graph(result, leaves, **options).source

    def picture(self, result, leaves, path, **options):
        """Let graphviz render it."""
        self.graph(result, leaves, **options).render(outfile=path, cleanup=True)


class Torchview(Torch):
    """torchview draws a module, by running it; here the result is the module."""

    distribution = "torchview"
    drawings: ClassVar = {
        "": {},
        "`expand_nested`": {"expand_nested": True, "hide_module_functions": False},
        "`hide_inner_tensors=False`": {"hide_inner_tensors": False},
    }
    every_operation: ClassVar = {"hide_module_functions": False}

    def result(self, function, **arrays):
        """Wrap the function in a module."""

        class Function(self.torch.nn.Module):
            def forward(self, *operands):
                return function(*operands)

        return Function(), {name: self.leaf(name, np.asarray(one)) for name, one in arrays.items()}

    def network(self):
        """Write the network with modules that own their parameters."""
        nn, arrays = self.torch.nn, network_arrays()
        leaves = {name: self.leaf(name, array) for name, array in arrays.items()}

        class Affine(nn.Module):
            def __init__(self, W, b):
                super().__init__()
                self.W, self.b = nn.Parameter(W), nn.Parameter(b)

            def forward(self, x):
                return affine(x, self.W, self.b)

        class TwoLayerNet(nn.Module):
            def __init__(self):
                super().__init__()
                self.Affine1 = Affine(leaves["W1"], leaves["b1"])
                self.Relu1 = nn.ReLU()
                self.Affine2 = Affine(leaves["W2"], leaves["b2"])
                self.SoftmaxWithLoss = nn.CrossEntropyLoss()

            def forward(self, x, t):
                return self.SoftmaxWithLoss(self.Affine2(self.Relu1(self.Affine1(x))), t)

        return TwoLayerNet(), {"x": leaves["x"], "t": leaves["t"]}

    def backward(self, result, leaves, **keep):
        """Run the module, and then back."""
        result(*leaves.values()).backward(**keep)

    def dot(self, result, leaves, **options):
        """Return the text of the picture."""
        import torchview

        drawn = torchview.draw_graph(result, tuple(leaves.values()), **options)
        return drawn.visual_graph.source

    def picture(self, result, leaves, path, **options):
        """Let torchview save it, which adds the ending itself."""
        import torchview

        torchview.draw_graph(
            result, tuple(leaves.values()), save_graph=True,
            directory=path.parent, filename=path.stem, **options,
        )  # fmt: skip
        path.with_suffix("").unlink()


class MyGrad(Library):
    """MyGrad draws arrays and operations, with names from a dict."""

    distribution = "mygrad"
    drawings: ClassVar = {
        "": {}, "`dims`": {"dims": True}, "`sum_stats`": {"sum_stats": True},
        "no `names`": {"names": None},
    }  # fmt: skip
    pictured: ClassVar = {"dims": True}

    def __init__(self):
        import mygrad
        from mygrad import nnet

        self.mygrad = mygrad
        self.relu, self.tanh, self.cross_entropy = (
            nnet.relu, mygrad.tanh, nnet.softmax_crossentropy
        )  # fmt: skip

    def leaf(self, name, array):
        """Return a tensor; its loss takes labels as an array."""
        return array if name == "t" else self.mygrad.tensor(array, constant=name == "x")

    def graph(self, result, leaves, **options):
        """Return the picture, with names for the leaves."""
        from mygrad.computational_graph import build_graph

        return build_graph(result, **{"names": leaves, **options})

    def dot(self, result, leaves, **options):
        """Return its text."""
        return self.graph(result, leaves, **options).source

    def picture(self, result, leaves, path, **options):
        """Let graphviz render it."""
        self.graph(result, leaves, **options).render(outfile=path, cleanup=True)


class DeZero(Library):
    """DeZero draws variables and functions."""

    distribution = "dezero"

    def __init__(self):
        np.int = int  # DeZero 0.0.13 reads this name, which NumPy 1.24 removed
        import dezero
        from dezero import functions, utils

        self.dezero, self.utils = dezero, utils
        self.relu, self.tanh, self.cross_entropy = (
            functions.relu, functions.tanh, functions.softmax_cross_entropy
        )  # fmt: skip

    def leaf(self, name, array):
        """Name a variable."""
        kind = self.dezero.Variable if name in ("x", "t") else self.dezero.Parameter
        return kind(array, name=name)

    def layer(self, name, function, *operands):
        """Write a matrix product as DeZero does."""
        if function is affine:
            x, W, b = operands
            return self.dezero.functions.matmul(x, W) + b
        return function(*operands)

    def dot(self, result, leaves, **options):
        """Return the text of the picture."""
        return self.utils.get_dot_graph(result, **options)

    def picture(self, result, leaves, path, **options):
        """Let DeZero run `dot`."""
        self.utils.plot_dot_graph(result, to_file=str(path), **options)


LIBRARIES = {
    "tinygraph": Tinygraph, "torchviz": Torchviz, "torchview": Torchview, "MyGrad": MyGrad,
    "DeZero": DeZero,
}  # fmt: skip


# ---------------------------------------------------------------- reading a picture


class Drawn:
    """What Graphviz reads in a DOT text: boxes and arrows by their labels."""

    def __init__(self, source: str):
        command = [find_engine().program, "-Tdot_json"]
        read = subprocess.run(command, input=source.encode(), capture_output=True)
        # Nothing, if Graphviz refuses it: without names, MyGrad writes arrays of any size.
        graph = json.loads(read.stdout) if read.returncode == 0 else {}
        objects = graph.get("objects", [])
        self.labels = {one["_gvid"]: text(one) for one in objects if not is_region(one)}
        self.regions = [text(one) for one in objects if is_region(one)]
        edges = graph.get("edges", [])
        self.made = {one["head"] for one in edges}
        self.edges = [(one["tail"], one["head"], text(one)) for one in edges]

    def says(self, pattern: str) -> bool:
        """Whether a box, an arrow or the frame of a region has such a text."""
        texts = [*self.labels.values(), *self.regions, *(label for *_, label in self.edges)]
        return any(re.search(rf"(?<![\w.]){pattern}(?![\w.])", one) for one in texts)

    @property
    def twice(self) -> bool:
        """Whether two arrows go from one box to another, or one is said to be two."""
        return max(Counter(self.edges).values()) > 1 or self.says("x2")

    def content(self) -> tuple[Counter, Counter]:
        """Return all that it says, but for where things are placed."""
        labels = self.labels
        return Counter(labels.values()), Counter(
            (labels[tail], labels[head], label) for tail, head, label in self.edges
        )

    def of_operations(self) -> tuple[Counter, Counter]:
        """Return what it says of operations and arrows, but for the numbers in shapes."""
        for key, label in self.labels.items():
            self.labels[key] = re.sub(SHAPES, "shape", label) if key in self.made else "leaf"
        self.edges = [(*ends, re.sub(SHAPES, "shape", label)) for *ends, label in self.edges]
        return self.content()


def is_region(one: dict) -> bool:
    """Whether this is a frame, not a box."""
    return "nodes" in one or "subgraphs" in one


def text(one: dict) -> str:
    """Return a label without its markup."""
    words = re.sub(r"<[^>]*>", " ", one.get("label", "")).replace("\\n", " ")
    return " ".join(words.replace("−", "-").replace("\n", " ").split())


def shape(of: tuple[int, ...]) -> str:
    """Return the pattern of a shape, in Python's and in other ways of writing."""
    return r"\(" + ", ".join(map(str, of)) + r",?\)"


# ---------------------------------------------------------------- the facts


def where(library: Library, fact: Callable[[dict[str, Any]], bool]) -> str:
    """Say with which of a library's ways to draw something is true."""
    for words, options in library.drawings.items():
        if fact(options):
            return f"with {words}" if words else "yes"
    return "no"


def shown(library: Library, recorded: tuple, patterns: list[str]) -> str:
    """Say with which options a picture says all these."""

    def fact(options: dict[str, Any]) -> bool:
        drawn = Drawn(library.dot(*recorded, **options))
        return all(map(drawn.says, patterns))

    return where(library, fact)


def told_apart(
    library: Library, one: tuple, other: tuple, content: Callable[[Drawn], Any] = Drawn.content
) -> str:
    """Say with which options two pictures differ in their content."""

    def fact(options: dict[str, Any]) -> bool:
        pictures = [Drawn(library.dot(*recorded, **options)) for recorded in (one, other)]
        return content(pictures[0]) != content(pictures[1])

    return where(library, fact)


def facts(library: Library) -> dict[str, str]:
    """Look for each fact in the pictures of a library."""
    loss = f"{reference_loss():.5g}"[:-1]  # without the digit that rounding could change
    net = library.network()
    before = Drawn(library.dot(*net))
    rows = {
        "boxes · arrows": f"{len(before.labels)} · {len(before.edges)}",
        "names of the parameters": shown(library, net, list(PARAMETERS)),
        "shapes of the parameters": shown(library, net, list(map(shape, PARAMETERS.values()))),
        "shapes of the results": shown(library, net, [shape((100, 50)), shape((100, 10))]),
        "the input": shown(library, net, [rf"(x|{shape((100, 784))})"]),
        "the layers": shown(library, net, ["Affine.*"]),
        "the value of the loss": shown(library, net, [loss + r"\d*"]),
    }
    vectors = {"a": [1.0, 2.0, 3.0], "b": [1.0, 2.0, 3.0]}  # values must not tell them apart
    one, other = (library.result(function, **vectors) for function in (difference, swapped))
    rows["order of the operands of a − b"] = told_apart(library, one, other)
    wide = library.result(total, a=np.ones((2, 3)), b=np.ones((2, 3)))
    narrow = library.result(total, a=np.ones((2, 3)), b=np.ones(3))
    rows["where a broadcast happens"] = told_apart(library, wide, narrow, Drawn.of_operations)

    squared = library.result(square, a=2.0)
    rows["both operands of a · a"] = where(
        library, lambda options: Drawn(library.dot(*squared, **options)).twice
    )

    numbers = {"a": 1.25, "b": 4.5, "c": 7.0}
    arrays = {"a": [0.0, 1.25, 9.0, 20.0], "b": [1.0, 4.5, 1.0, 1.0], "c": [1.0] * 4}
    rows["numbers on the way"] = shown(library, library.result(product, **numbers), ["5.625"])
    rows["small arrays"] = shown(library, library.result(product, **arrays), ["5.625"])
    rows["mean of a large array"] = shown(library, net, ["(?i:mean)"])
    recorded = library.result(product, **numbers)
    library.backward(*recorded, retain_graph=True)
    rows["gradients"] = shown(library, recorded, ["31.5", "8.75"])

    library.backward(*net)
    rows["after backward"] = afterwards(library, net, before)
    return rows


def afterwards(library: Library, net: tuple, before: Drawn) -> str:
    """Say what has become of a picture after the backward pass."""
    after = Drawn(library.dot(*net))
    count = len(after.labels)
    left = f"{count} box{'es' * (count > 1)} left"
    says = "the same" if after.content() == before.content() else left
    for words, options in library.drawings.items():
        try:
            library.dot(*net, **options)
        except RuntimeError:
            says += f"; an error with {words}"
    return says


def reference_loss() -> np.ndarray:
    """Compute the loss of the network by hand."""
    a = network_arrays()
    y = np.maximum(a["x"] @ a["W1"] + a["b1"], 0) @ a["W2"] + a["b2"]
    likely = y - np.log(np.exp(y).sum(axis=1, keepdims=True))
    return -likely[np.arange(100), a["t"]].mean()


# ---------------------------------------------------------------- in processes of their own


def task_facts(library: Library) -> dict[str, str]:
    """Find the facts."""
    return facts(library)


def task_source(library: Library) -> str:
    """Return the text of the network's picture."""
    return library.dot(*library.network())


def task_boxes(library: Library, length: str) -> str:
    """Count the boxes of a chain, as it is drawn without options."""
    return f"{len(Drawn(library.dot(*library.chain(int(length)))).labels):,}"


def task_chain(library: Library, length: str) -> str:
    """Time the drawing of each operation of a chain, without its layout."""
    recorded = library.chain(int(length))
    start = time.perf_counter()
    library.dot(*recorded, **library.every_operation)
    return f"{time.perf_counter() - start:.2g} s"


def task_svg(library: Library, length: str) -> str:
    """Time the drawing of a chain without options, with its layout."""
    recorded = library.chain(int(length))
    start = time.perf_counter()
    source = library.dot(*recorded)
    done = subprocess.run(["dot", "-Tsvg"], input=source.encode(), capture_output=True)
    return "Graphviz crashes" if done.returncode else f"{time.perf_counter() - start:.2g} s"


def task_doublings(library: Library) -> str:
    """Time the drawing of a graph in which each result is used twice."""
    recorded = library.result(doublings, a=0.5)
    start = time.perf_counter()
    library.dot(*recorded, **library.every_operation)
    return f"{time.perf_counter() - start:.2g} s"


def task_picture(library: Library, path: str) -> bool:
    """Draw the network and say whether there is a file."""
    library.picture(*library.network(), Path(path), **library.pictured)
    return Path(path).exists()


TASKS = {one.__name__: one for one in (
    task_facts, task_source, task_boxes, task_chain, task_svg, task_doublings, task_picture
)}  # fmt: skip


class Failure(str):
    """What a process said when it failed."""


def ask(name: str, task: Callable, *arguments: str, **environment: str) -> Any:
    """Run a task for a library in a process of its own, and return its answer."""
    with tempfile.TemporaryDirectory() as home:  # DeZero writes there
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", __file__, "--task", name, task.__name__, *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=home,
            env={**os.environ, "HOME": home, **environment}, start_new_session=True,
        )  # fmt: skip
        try:
            output, complaint = process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # the layout, too
            process.communicate()
            return Failure(f"not done in {LIMIT} s")
    if process.returncode < 0:
        return Failure(f"the process dies (signal {-process.returncode})")
    if process.returncode:
        lines = complaint.splitlines()
        errors = [line for line in lines if re.match(r"[\w.]+(Error|Found)", line)]
        name_of_error = (errors or lines)[-1].split(":")[0].rpartition(".")[2]
        return Failure(SHORTER.get(name_of_error, name_of_error))
    return json.loads(output.splitlines()[-1])


def column(name: str) -> dict[str, str]:
    """Ask a library everything."""
    rows = ask(name, task_facts)
    if isinstance(rows, Failure):
        sys.exit(f"{name}: {rows}")
    sources = [ask(name, task_source, PYTHONHASHSEED=seed) for seed in ("1", "2")]
    rows["the same text in two processes"] = "yes" if sources[0] == sources[1] else "no"
    for length in LENGTHS:
        rows[f"{length:,} in a row, each drawn: to DOT"] = ask(name, task_chain, str(length))
    rows[f"{LENGTHS[0]:,} in a row: boxes"] = ask(name, task_boxes, str(LENGTHS[0]))
    for length in LENGTHS:
        rows[f"{length:,} in a row: to SVG"] = ask(name, task_svg, str(length))
    rows[f"a + a, {TWICE} times over, to DOT"] = ask(name, task_doublings)
    with tempfile.TemporaryDirectory() as empty:
        file = ask(name, task_picture, os.path.join(empty, "network.png"), PATH=empty)
    if isinstance(file, bool):
        rows["a PNG without Graphviz"] = "yes" if file else "no file, no error"
    else:
        rows["a PNG without Graphviz"] = file
    return rows


def draw_peers() -> None:
    """Draw the pictures of the page, with as few colours as they need."""
    from PIL import Image  # which matplotlib brings

    for name in LIBRARIES.keys() - {"tinygraph"}:
        path = PICTURES / f"{name.lower()}.png"
        ask(name, task_picture, str(path))
        with Image.open(path) as picture:
            picture.convert("RGB").quantize(16).save(path, optimize=True)


def main() -> None:
    """Print the table, or do one task of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", action="store_true", help="draw the pictures of the page")
    parser.add_argument("--task", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task:
        name, task, *arguments = options.task
        print("\n" + json.dumps(TASKS[task](LIBRARIES[name](), *arguments)))
        return
    if options.pictures:
        draw_peers()
        return
    columns = {name: column(name) for name in LIBRARIES}
    heads = [f"{name} {version(one.distribution)}" for name, one in LIBRARIES.items()]
    print(f"| | {' | '.join(heads)} |\n|---|{'---|' * len(heads)}")
    for row in columns["tinygraph"]:
        print(f"| {row} | {' | '.join(rows[row] for rows in columns.values())} |")


if __name__ == "__main__":
    main()
