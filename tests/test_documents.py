"""What the documents say is true: their examples run, their picture is what the code draws."""

import doctest
import re
import runpy
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from textwrap import dedent

import pytest

from tinygraph.rules import RULES

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    *sorted(ROOT.glob("README*.md")),
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
FENCE = re.compile(r"^ *```(.*)$", re.MULTILINE)
# The gate runs the README's commands; Sphinx reads what is included.
NOT_RUN = {"sh", "text", "{eval-rst}", "{literalinclude}", "{toctree}"}


def blocks(document):
    """Return the code blocks of a document: pairs of a language and a text."""
    parts = FENCE.split(document.read_text(encoding="utf-8"))
    return list(zip(parts[1::4], map(dedent, parts[2::4]), strict=True))


def named(document):
    return document.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_the_examples_run(document, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = FENCE.sub("", document.read_text(encoding="utf-8"))
    examples = doctest.DocTestParser().get_doctest(text, {}, named(document), str(document), 0)
    said = []
    doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS).run(
        examples, out=said.append
    )
    assert not said, "".join(said)


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_every_block_is_run_or_is_no_code(document):
    for language, text in blocks(document):
        word = language.partition(" ")[0]
        assert word in NOT_RUN or (word == "python" and (">>>" in text or "rule(" in text)), text


# ---------------------------------------------------------------- the promises

PROMISES = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
AREAS = PROMISES.partition("## Ten errors")[0].split("\n## ")[1:]
NAMED = re.findall(r"`(tests/\w+\.py)::(\w+)`", PROMISES)


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_promise_names_a_test_that_exists(file, name):
    assert re.search(rf"^def {name}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)


def test_each_promise_names_its_test():
    assert len(AREAS) == 8
    for area in AREAS:
        promises = area.split("\n- ")[1:]
        assert promises and all("`tests/" in one for one in promises), area
    assert len(set(NAMED)) == len(NAMED) == PROMISES.count("::")
    assert PROMISES.count("Error: ") == 10


@pytest.fixture
def faults():
    with warnings.catch_warnings(action="ignore"):  # of numpy.matrix
        return runpy.run_path(str(ROOT / "docs" / "compare_faults.py"))


ROWS = re.findall(r"^\| ([^*|].*?) \| (.*?) \|", PROMISES.split("## Case by case")[1], re.MULTILINE)


def test_the_mistakes_of_the_table_are_those_of_the_script(faults):
    assert [title for title, _ in ROWS] == [one.title for one in faults["CASES"]]
    assert len(dict(ROWS)) == len(ROWS)


@pytest.mark.thorough
def test_what_the_table_says_of_tinygraph_is_so(faults):
    found = faults["column"]("tinygraph", faults["CASES"])
    assert {title: verdict for title, (verdict, _) in found.items()} == dict(ROWS)


# ---------------------------------------------------------------- the pictures


def test_the_pictures_are_what_the_code_draws(tmp_path):
    script, kept = ROOT / "docs" / "make_pictures.py", ROOT / "docs" / "pictures"
    subprocess.run([sys.executable, script, tmp_path], check=True)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == sorted(path.name for path in kept.iterdir() if path.is_file())
    for name in (one for one in names if one.endswith(".dot")):
        assert (tmp_path / name).read_text("utf-8") == (kept / name).read_text("utf-8"), (
            f"{name} is out of date: python docs/make_pictures.py"
        )


# ---------------------------------------------------------------- adding an operation

ENTRY = next(text for language, text in blocks(ROOT / "CONTRIBUTING.md") if "rule(" in text)


def test_adding_an_operation_takes_the_one_entry_that_contributing_shows(tmp_path):
    name = re.search(r'rule\(\s*"(\w+)"', ENTRY).group(1)
    assert name not in RULES, "show an operation that tinygraph does not have yet"
    for folder in ("tinygraph", "models", "viz"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    chapter = tmp_path / "tinygraph" / "rules" / "elementwise.py"
    chapter.write_text(chapter.read_text(encoding="utf-8") + ENTRY, encoding="utf-8")

    use = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
import numpy as np
import tinygraph as tg
assert tg.__file__.startswith({str(tmp_path)!r})
tg.testing.check_grads(tg.{name}, (np.linspace(-2.0, 2.0, 4),))
print(tg.{name}.__doc__)
"""
    done = subprocess.run([sys.executable, "-c", use], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Return ")

    for path in ("pyproject.toml", "tests"):
        (shutil.copytree if (ROOT / path).is_dir() else shutil.copy)(ROOT / path, tmp_path / path)
    derived = [f"tests/test_{one}.py" for one in ("rules", "complex", "formulas", "compiling")]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", name, *derived]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert re.search(r"^1\d passed", done.stdout, re.M), done.stdout
