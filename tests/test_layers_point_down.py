"""Imports point one way, downwards: who reads a module needs to know only what lies below it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = {"tinygraph": ROOT / "tinygraph", "tinygraph.models": ROOT / "models",
           "tinygraph.viz": ROOT / "viz"}  # fmt: skip

# From the bottom up: a module may import what stands above it in this list. One that is not named
# belongs to the package that it is in.
LAYERS = [
    "tinygraph.errors",
    "tinygraph.engines",
    "tinygraph.arrays",
    "tinygraph.rules",
    "tinygraph.modes",
    "tinygraph.tape",
    "tinygraph.replay",
    "tinygraph.tensor",
    "tinygraph.anomaly",
    "tinygraph.saving",
    "tinygraph.conversions",
    "tinygraph.namespace",
    "tinygraph.sparse",
    "tinygraph.standard",
    "tinygraph.fft",
    "tinygraph.linalg",
    "tinygraph.nn",
    "tinygraph.special",
    "tinygraph.changes",
    "tinygraph.operators",
    "tinygraph.methods",
    "tinygraph.trees",
    "tinygraph.numpy_functions",
    "tinygraph.numpy_protocols",
    "tinygraph.targets",
    "tinygraph.reverse",
    "tinygraph.forward",
    "tinygraph.batching",
    "tinygraph.transforms",
    "tinygraph.functions",
    "tinygraph.compiling",
    "tinygraph",
    "tinygraph.testing",
    "tinygraph.viz",
    "tinygraph.models",
    "tinygraph.cli",
    "tinygraph.__main__",
]
HEIGHT = {name: height for height, name in enumerate(LAYERS)}


def modules():
    """Return every module of the package, by name."""
    found = {}
    for package, folder in SOURCES.items():
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            name = ".".join([package, *parts]).removesuffix(".__init__")
            found[name] = path
    return found


MODULES = modules()


def layer_of(module):
    """Return the layer that a module belongs to: itself, or the nearest package that is one."""
    while module not in HEIGHT:
        module, _, _ = module.rpartition(".")
    return module


def imported(name, tree):
    """Yield the modules of ours that a module imports, anywhere in it."""
    package = name if MODULES[name].name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *filter(None, [base])])
            # "from .tape import Node" reads tape; "from . import tape" reads tape as well.
            below = [f"{base}.{alias.name}" for alias in node.names]
            targets = [one if one in MODULES else base for one in below]
        else:
            continue
        yield from (one for one in targets if one.partition(".")[0] == "tinygraph")


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_only_from_below(name):
    layer = layer_of(name)
    for target in imported(name, ast.parse(MODULES[name].read_text())):
        below = layer_of(target)
        assert below == layer or HEIGHT[below] < HEIGHT[layer], f"{name} imports {target}"


def test_the_engine_is_named_layer_by_layer():
    unnamed = {name for name in MODULES if layer_of(name) == "tinygraph"} - {"tinygraph"}
    assert not unnamed, "say in LAYERS where these modules lie"


def test_rules_import_nothing_of_ours_but_errors():
    for name, path in MODULES.items():
        if layer_of(name) == "tinygraph.rules":
            layers = {layer_of(one) for one in imported(name, ast.parse(path.read_text()))}
            assert layers <= {"tinygraph.rules", "tinygraph.errors"}, name


def test_every_layer_exists():
    assert set(HEIGHT) <= set(MODULES)
