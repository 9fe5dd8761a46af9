"""What needs a fresh process for every reading: the import; and the size as installed."""

import json
import os
import re
import subprocess
import sys
from contextlib import suppress
from functools import partial
from importlib.metadata import PackageNotFoundError, distribution, version
from importlib.util import find_spec
from pathlib import Path
from statistics import median

from .measure import (
    AGAIN,
    AUTOGRAD,
    DEZERO,
    JAX,
    MYGRAD,
    NUMPY,
    PEERS,
    TINYGRAPH,
    TORCH,
    Table,
    installed,
    interleaved,
)

DISTRIBUTIONS = {"tinygraph": "tinygraph-autograd"}  # where it is not called like its module
ROOT = Path(__file__).resolve().parents[1]


def versions() -> dict[str, str | None]:
    """Return the version of each module that has a row in a table, None if it isn't installed."""
    modules = dict.fromkeys(peer.partition(":")[0] for peer in PEERS.values())
    return {
        module: version(DISTRIBUTIONS.get(module, module)) if find_spec(module) else None
        for module in modules
    }


def fresh(program: str, patience: float | None = None) -> dict:
    """Run a program in a process of its own and return the JSON that it prints."""
    # Compiled modules are kept, as they are where a package is installed.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, check=True,
        capture_output=True, text=True, timeout=patience,
    )  # fmt: skip
    return json.loads(done.stdout)


# ---------------------------------------------------------------- import

COMMANDS = {DEZERO: "numpy; numpy.int = int; import dezero"}  # which reads that name
IMPORT = """
from time import perf_counter
start = perf_counter()
import {}
print(perf_counter() - start)
"""


def imports(rounds: int) -> Table:
    """Time each import; what counts is how much longer it takes than that of NumPy."""
    names = [NUMPY, AGAIN, TINYGRAPH, TORCH, AUTOGRAD, MYGRAD, DEZERO, JAX]
    readings = interleaved(
        {name: partial(fresh, IMPORT.format(COMMANDS.get(name, PEERS[name]))) for name in names
         if installed(name)},
        min(rounds, 15),
    )  # fmt: skip
    table = Table("import, in a fresh process", ("ms", "ms above NumPy"))
    for name in names:
        seconds = readings.get(name)
        table.rows[name] = seconds and (
            1e3 * median(seconds),
            1e3 * median(a - b for a, b in zip(seconds, readings[NUMPY], strict=True)),
        )
    return table


# ---------------------------------------------------------------- size


def files_of(name: str) -> dict[Path, int]:
    """Return the files of an installed package, and how large they are."""
    if name == "tinygraph-autograd":  # may be editable, and then its list of files is not its own
        import tinygraph
        from tinygraph import models, viz

        folders = (Path(place) for one in (tinygraph, models, viz) for place in one.__path__)
        paths = {path for folder in folders for path in folder.rglob("*.*")}
    else:
        paths = [Path(str(path.locate())) for path in distribution(name).files or []]
    return {path: path.stat().st_size for path in paths if path.is_file() and path.suffix != ".pyc"}


def needed_by(name: str, found: dict[str, dict]) -> dict[str, dict]:
    """Return the files of a package and of what it requires here, by the packages' names."""
    if name not in found:
        found[name] = files_of(name)
        for line in distribution(name).requires or []:
            other = re.match(r"[\w.-]+", line)[0].lower().replace("_", "-")
            with suppress(PackageNotFoundError):
                if "extra ==" not in line:
                    needed_by(other, found)
    return found


def sizes(rounds: int) -> Table:
    table = Table("size as installed, compiled Python not counted", ("MB alone", "MB in all"))
    for name in (NUMPY, TINYGRAPH, TORCH, AUTOGRAD, MYGRAD, DEZERO, JAX):
        if not installed(name):
            table.rows[name] = None
            continue
        package = DISTRIBUTIONS.get(PEERS[name], PEERS[name])
        found = {key: sum(some.values()) / 1e6 for key, some in needed_by(package, {}).items()}
        table.rows[name] = (found[package], sum(found.values()))
    return table


CASES = {"import": [imports, sizes]}
