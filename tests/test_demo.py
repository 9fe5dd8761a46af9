"""The command: its story as a newcomer sees it, its files, and what happens when it cannot."""

import builtins
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinygraph
from tinygraph.cli import main
from tinygraph.models import demo
from tinygraph.models.data import load_mnist
from tinygraph.models.progress import progress

KEYS = ["W1", "b1", "W2", "b2"]


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    """Run the whole demo once, as a person would."""
    folder = tmp_path_factory.mktemp("story")
    command = [sys.executable, "-m", "tinygraph", "demo", "--json", "figures.json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    return folder, done


@pytest.fixture
def quick(monkeypatch, tmp_path):
    """Make the demo small enough to be run in each test, in a folder of its own."""
    monkeypatch.setattr(demo, "SIZES", (784, 2, 10))
    monkeypatch.setattr(demo, "EPOCHS", 1)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def without(monkeypatch, package):
    """Take a package away, as if it had never been installed."""
    for name in [*sys.modules]:
        if name.partition(".")[0] == package:
            monkeypatch.delitem(sys.modules, name)
    found = builtins.__import__

    def search(name, *rest, **options):
        if name.partition(".")[0] == package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return found(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", search)


# ---------------------------------------------------------------- the story


def test_the_story_ends_well(story):
    folder, done = story
    assert done.returncode == 0, done.stderr
    assert sorted(os.listdir(folder)) == ["figures.json", "tinygraph-demo"]
    assert sorted(os.listdir(folder / "tinygraph-demo")) == ["graph.svg", "learning_curve.png"]
    assert len(done.stderr.splitlines()) == 1  # which digits these are
    assert all(len(line) <= 80 for line in done.stdout.splitlines())


def test_the_table_of_the_gradient_check(story):
    folder, done = story
    rows = dict(re.findall(r"^   (W1|b1|W2|b2) +(.*)$", done.stdout, re.M))
    assert list(rows) == KEYS
    figures = json.loads((folder / "figures.json").read_text())["gradient_check"]
    assert list(figures) == KEYS
    for key, row in rows.items():
        mean, largest, notebook_mean, _, *remark = row.split(maxsplit=4)
        assert (mean, largest) == tuple(f"{figures[key][of]:.1e}" for of in ("mean", "max"))
        assert 0 < figures[key]["mean"] <= figures[key]["max"] < 1e-9
        if key in ("b1", "b2"):
            assert float(notebook_mean) > 1e-3
            assert "not (50,)" in remark[0] or "not (10,)" in remark[0]
        else:
            assert float(notebook_mean) < 1e-9
            assert not remark


def test_the_lines_of_the_training(story):
    folder, done = story
    lines = re.findall(r"^ +(\d+) +(\d\.\d{4}) +(\d\.\d{4}) +(\d\.\d{4})$", done.stdout, re.M)
    assert [int(line[0]) for line in lines] == [1, 5, 10, 20]
    losses = [float(line[1]) for line in lines]
    assert losses == sorted(losses, reverse=True)
    test_accuracy = json.loads((folder / "figures.json").read_text())["test_accuracy"]
    assert f"Test accuracy: {test_accuracy:.4f}" in done.stdout
    assert lines[-1][3] == f"{test_accuracy:.4f}"
    assert 0.910 <= test_accuracy <= 0.922


def test_the_files_are_where_it_says(story):
    folder, done = story
    figures = json.loads((folder / "figures.json").read_text())
    assert list(figures) == ["gradient_check", "test_accuracy", "files"]
    graph, curve = figures["files"]
    for name in (graph, curve, "figures.json"):
        assert f": {name}\n" in done.stdout
    picture = (folder / graph).read_text(encoding="utf-8")
    for text in ("TwoLayerNet.loss", "Affine1", "Relu1", "Affine2", "SoftmaxWithLoss", "h @ W2"):
        assert text in picture
    assert (folder / curve).read_bytes().startswith(b"\x89PNG\r\n")


@pytest.mark.parametrize("seed", range(5))
def test_training_reaches_what_the_book_reaches(seed, capsys):
    _, history = demo.train(seed, *load_mnist())
    assert len(history) == 20
    assert 0.910 <= history[-1]["test accuracy"] <= 0.922


def test_a_seed_gives_the_same_numbers(quick, capsys):
    outputs = {}
    for run, seed in enumerate("778"):
        assert main(["demo", "--seed", seed, "--json", f"{run}.json"]) == 0
        told = capsys.readouterr().out
        outputs[run] = (
            told.split("3. Pictures")[0],
            (quick / f"{run}.json").read_text(),
            (quick / "tinygraph-demo/graph.svg").read_bytes(),
            (quick / "tinygraph-demo/learning_curve.png").read_bytes(),
        )
    assert outputs[0] == outputs[1]
    assert all(one != other for one, other in zip(outputs[0], outputs[2], strict=True))


def test_the_difference_is_taken_as_the_notebook_took_it():
    number = np.array([1.0, 2.0])
    assert demo.difference(number, number) == {"mean": 0.0, "max": 0.0}
    dW_in_place_of_db = np.array([[1.0, 2.0], [1.0, 5.0]])
    assert demo.difference(dW_in_place_of_db, number) == {"mean": 0.75, "max": 3.0}


# ---------------------------------------------------------------- what is missing


def test_without_tqdm_there_are_lines(quick, monkeypatch, capsys):
    without(monkeypatch, "tqdm")
    assert main(["demo"]) == 0
    assert re.search(r"^ +1 +\d\.\d{4} ", capsys.readouterr().out, re.M)


def test_a_terminal_gets_a_bar(monkeypatch):
    pytest.importorskip("tqdm")
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    steps, say = progress(range(3))
    for step in steps:
        say(f"line {step}")
    assert "3/3" in terminal.getvalue() or "0/3" in terminal.getvalue()


def test_without_matplotlib_it_says_the_command_and_goes_on(quick, monkeypatch, capsys):
    without(monkeypatch, "matplotlib")
    assert main(["demo", "--out", "new/folder", "--json", "new/figures.json"]) == 0
    assert "pip install matplotlib" in capsys.readouterr().out
    assert os.listdir("new/folder") == ["graph.svg"]
    assert json.loads((quick / "new/figures.json").read_text())["files"] == [
        os.path.join("new/folder", "graph.svg")
    ]


def test_without_a_program_for_the_graph_it_goes_on(quick, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(quick))
    monkeypatch.setattr("tinygraph.viz.engine.sysconfig.get_path", lambda name: str(quick))
    assert main(["demo"]) == 0
    assert "pip install graphviz-pure" in capsys.readouterr().out
    assert os.listdir("tinygraph-demo") == ["learning_curve.png"]


def test_a_source_folder_that_hides_an_installed_package(tmp_path):
    source = Path(tinygraph.__file__).parent
    shutil.copytree(source, tmp_path / "tinygraph", ignore=lambda *_: {"models", "viz"})
    # An editable install would find the models all the same.
    program = (
        "import sys; sys.meta_path = [one for one in sys.meta_path if 'Editable' not in str(one)]; "
        "from tinygraph.cli import main; sys.exit(main(['demo']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert re.fullmatch(r"tinygraph: .* pip install -e \. .*\n", done.stderr)
    assert os.listdir(tmp_path) == ["tinygraph"]


# ---------------------------------------------------------------- what cannot be written


@pytest.fixture
def no_work(monkeypatch):
    def work():
        raise AssertionError("the work began")

    monkeypatch.setattr(demo, "load_mnist", work)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--out", "file"],
        ["--out", "file/folder"],
        ["--json", "file/figures.json"],
        ["--json", "folder"],
        ["--out", "taken"],
    ],
)
def test_a_place_that_cannot_be_written(quick, no_work, capsys, arguments):
    (quick / "file").write_text("mine")
    (quick / "folder").mkdir()
    (quick / "taken/graph.svg").mkdir(parents=True)
    assert main(["demo", *arguments]) == 1
    out, err = capsys.readouterr()
    assert not out
    assert re.fullmatch(r"tinygraph: demo: .* cannot be written: .*\n", err)
    assert (quick / "file").read_text() == "mine"
    assert not any(path.is_file() for path in quick.rglob("*") if path.name != "file")


def test_a_folder_of_somebody_else(quick, no_work, monkeypatch, capsys):
    def refused(**options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tinygraph.models.progress.tempfile.TemporaryFile", refused)
    assert main(["demo", "--out", "theirs"]) == 1
    assert "Permission denied" in capsys.readouterr().err


def test_what_fails_at_the_end_leaves_no_part_of_a_file(quick, monkeypatch, capsys):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tinygraph.viz.engine.os.replace", full)
    assert main(["demo", "--json", "figures.json"]) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert not any(path.is_file() for path in quick.rglob("*"))


# ---------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["demo", "--seed", "-1"],
        ["demo", "--seed", "one"],
        ["trains"],
        ["demo", "--epochs", "3"],
    ],
)
def test_arguments_that_make_no_sense(no_work, capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert "usage: tinygraph" in capsys.readouterr().err


def test_help(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["demo", "--help"])
    assert stop.value.code == 0
    told = capsys.readouterr().out
    assert all(option in told for option in ("--seed N", "--out FOLDER", "--json FILE"))
