"""The command that trains: what it prints and keeps, how it is stopped and resumed."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import tinygraph as tg
from tinygraph.cli import main, parser
from tinygraph.errors import ArgumentError
from tinygraph.models import MLP, SimpleConvNet, TwoLayerNet, training
from tinygraph.models.data import load_mnist

FILES = ["checkpoint.safetensors", "learning_curve.png", "weights.safetensors"]
LINE = re.compile(r"^ +(\d+) +(\d\.\d{4}) +(\d\.\d{4}) +(\d\.\d{4})$", re.M)
SHORT = ["--epochs", "3", "--batch-size", "25", "--model", "mlp"]


@pytest.fixture
def few(monkeypatch, tmp_path):
    """Take the first images alone, and a folder of its own."""

    def load(**options):
        return tuple(tuple(part[:150] for part in one) for one in load_mnist(**options))

    monkeypatch.setattr(training, "load_mnist", load)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys, *arguments):
    """Train, and return the lines of the epochs."""
    assert main(["train", *arguments]) == 0
    return LINE.findall(capsys.readouterr().out)


def weights(folder):
    return (folder / "weights.safetensors").read_bytes()


def stop_after(monkeypatch, steps):
    """Let Ctrl-C come while a step is computed, once."""
    seen = []
    step = training.Adam.step

    def stopped(self, *arguments):
        seen.append(1)
        if len(seen) == steps + 1:
            monkeypatch.setattr(training.Adam, "step", step)
            raise KeyboardInterrupt
        return step(self, *arguments)

    monkeypatch.setattr(training.Adam, "step", stopped)
    monkeypatch.setattr(tg, "compile", lambda step: step)  # so that each step calls it


# ---------------------------------------------------------------- what it prints and keeps


def test_it_tells_each_epoch_and_keeps_three_files(few, capsys):
    assert main(["train", *SHORT, "--out", "new/folder"]) == 0
    out = capsys.readouterr().out
    assert "mlp on numpy, float32: 3 epochs of 6 steps with 25 images," in out
    assert "adam with learning rate 0.001." in out
    assert all(len(line) <= 80 for line in out.splitlines())
    lines = LINE.findall(out)
    assert [int(line[0]) for line in lines] == [1, 2, 3]
    losses = [float(line[1]) for line in lines]
    assert losses == sorted(losses, reverse=True)
    assert f"Test accuracy: {lines[-1][3]}, of 150 images" in out
    assert sorted(os.listdir("new/folder")) == FILES
    for name in ("weights.safetensors", "learning_curve.png"):
        assert f"new/folder/{name}" in out
    assert (few / "new/folder/learning_curve.png").read_bytes().startswith(b"\x89PNG\r\n")


@pytest.mark.parametrize(
    ("name", "network"),
    [
        ("two-layer-net", TwoLayerNet(784, 50, 10, dtype="float32")),
        ("mlp", MLP(784, [100, 100], 10, dtype="float32")),
        ("simple-conv-net", SimpleConvNet(dtype="float32")),
    ],
)
def test_the_weights_are_those_of_the_network(few, capsys, name, network):
    ((*_, accuracy),) = run(capsys, "--model", name, "--epochs", "1")
    network.load("tinygraph-training/weights.safetensors")
    x, t = training.load_mnist(flatten=name != "simple-conv-net")[1]
    assert f"{network.accuracy(x, t):.4f}" == accuracy


def test_a_seed_gives_the_same_numbers(few, capsys):
    for folder, seed in (("one", "5"), ("same", "5"), ("other", "6")):
        run(capsys, *SHORT, "--seed", seed, "--out", folder)
    assert weights(few / "one") == weights(few / "same")
    assert weights(few / "one") != weights(few / "other")


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_an_optimizer_and_its_learning_rate(few, capsys, optimizer):
    first = run(capsys, *SHORT, "--optimizer", optimizer, "--out", "one")
    other = run(capsys, *SHORT, "--optimizer", optimizer, "--lr", "1e-5", "--out", "other")
    assert float(first[-1][1]) < float(other[-1][1])


def test_each_epoch_shows_every_image_in_another_order(few, monkeypatch, capsys):
    seen = []
    real = np.random.default_rng
    monkeypatch.setattr(
        training.np.random, "default_rng", lambda *seed: seen.append(seed) or real(*seed)
    )
    run(capsys, *SHORT)
    assert {tuple(one[0]) for one in seen if isinstance(one[0], list)} == {(0, 0), (0, 1), (0, 2)}


def test_without_matplotlib_there_is_no_curve(few, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["train", *SHORT]) == 0
    assert "not drawn. It needs the package matplotlib: pip inst" in capsys.readouterr().out
    assert sorted(os.listdir("tinygraph-training")) == [FILES[0], FILES[2]]


@pytest.mark.thorough
def test_the_book_s_network_of_convolution_reaches_96_percent(tmp_path, capsys):
    began = time.perf_counter()
    lines = run(capsys, "--model", "simple-conv-net", "--out", str(tmp_path))
    assert float(lines[-1][3]) >= 0.96
    assert time.perf_counter() - began < 180


# ---------------------------------------------------------------- stopped and resumed


@pytest.mark.parametrize("steps", [0, 4, 6, 11, 17])
def test_stopped_and_resumed_it_ends_with_the_same_numbers(few, monkeypatch, capsys, steps):
    expected = run(capsys, *SHORT, "--out", "whole")
    stop_after(monkeypatch, steps)
    assert main(["train", *SHORT]) == 130
    first = capsys.readouterr().out
    assert f"Stopped after {steps} steps; --resume goes on" in first
    assert os.listdir("tinygraph-training") == ["checkpoint.safetensors"]
    rest = run(capsys, "--resume")
    assert LINE.findall(first) + rest == expected
    assert weights(few / "tinygraph-training") == weights(few / "whole")


def test_ctrl_c_in_a_terminal(tmp_path):
    command = [sys.executable, "-m", "tinygraph", "train", "--epochs", "3"]
    quiet = {"capture_output": True, "text": True, "cwd": tmp_path}
    subprocess.run([*command, "--out", "whole"], check=True, **quiet)
    begun = subprocess.Popen(
        [sys.executable, "-u", *command[1:]], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    for line in begun.stdout:
        if LINE.match(line):  # the first epoch is over, the second on its way
            begun.send_signal(signal.SIGINT)
            break
    told = begun.communicate()[0]
    assert begun.returncode == 130
    assert "Traceback" not in told
    assert re.search(r"Stopped after \d+ steps", told)
    done = subprocess.run([*command[:4], "--resume"], **quiet)
    assert done.returncode == 0, done.stderr
    assert weights(tmp_path / "tinygraph-training") == weights(tmp_path / "whole")


def test_more_epochs_of_a_training_that_ended(few, capsys):
    expected = run(capsys, "--epochs", "4", *SHORT[2:], "--out", "whole")
    run(capsys, *SHORT)
    assert run(capsys, "--resume", "--epochs", "4") == expected[-1:]
    assert weights(few / "tinygraph-training") == weights(few / "whole")
    assert run(capsys, "--resume", "--epochs", "2") == []  # all was done


def test_a_killed_training_goes_on_from_its_last_epoch(few, monkeypatch, capsys):
    expected = run(capsys, *SHORT, "--out", "whole")
    saved = []
    save = training.Training.save

    def killed(self, path, settings):
        save(self, path, settings)
        saved.append(shutil.copy(path, few / "kept"))
        if len(saved) == 2:
            raise SystemExit

    monkeypatch.setattr(training.Training, "save", killed)
    with pytest.raises(SystemExit):
        main(["train", *SHORT])
    monkeypatch.setattr(training.Training, "save", save)
    capsys.readouterr()
    assert run(capsys, "--resume") == expected[2:]


# ---------------------------------------------------------------- what it refuses


def refused(capsys, *arguments):
    """Train in vain, and return the one line of the error."""
    assert main(["train", *arguments]) == 1
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("tinygraph: train: ")
    assert err.count("\n") == 1
    return err


def test_a_checkpoint_is_not_written_over(few, capsys):
    run(capsys, *SHORT)
    before = weights(few / "tinygraph-training")
    assert "is there already. Go on from it with --resume" in refused(capsys, *SHORT)
    assert weights(few / "tinygraph-training") == before


def test_settings_stay_those_of_the_checkpoint(few, capsys):
    run(capsys, *SHORT)
    message = refused(capsys, "--resume", "--lr", "0.5", "--model", "two-layer-net")
    assert "train: model, lr cannot change" in message


def test_other_images_than_those_of_the_checkpoint(few, monkeypatch, capsys):
    run(capsys, *SHORT)
    monkeypatch.setattr(training, "load_mnist", load_mnist)
    assert "is of other images; give --data as before" in refused(capsys, "--resume")


def test_nothing_to_resume(few, capsys):
    assert "checkpoint.safetensors" in main_error(capsys, "--resume")
    (few / "tinygraph-training").mkdir()
    TwoLayerNet(2, 2, 2).save("tinygraph-training/checkpoint.safetensors")
    assert "is no checkpoint of a training" in refused(capsys, "--resume")


@pytest.mark.parametrize(("field", "value"), [("history", None), ("step", "x")])
def test_a_checkpoint_whose_numbers_are_none(few, capsys, field, value):
    run(capsys, *SHORT)
    path = few / "tinygraph-training" / "checkpoint.safetensors"
    arrays = {name: one.numpy() for name, one in tg.load(path).items()}
    told = json.loads(arrays["training"].tobytes()) | {field: value}
    arrays["training"] = np.frombuffer(json.dumps(told).encode(), np.uint8)
    tg.save(path, {name: tg.asarray(one) for name, one in arrays.items()})
    assert "is no checkpoint of a training" in refused(capsys, "--resume")


def main_error(capsys, *arguments):
    assert main(["train", *arguments]) == 1
    out, err = capsys.readouterr()
    assert not out
    return err


def test_a_folder_that_cannot_be_written(few, capsys):
    (few / "file").write_text("mine")
    assert "cannot be written" in refused(capsys, "--out", "file/folder")
    assert (few / "file").read_text() == "mine"


def test_a_batch_of_more_than_all_images(few, capsys):
    assert "a batch of 151 is more than 150 images" in refused(capsys, "--batch-size", "151")
    assert not (few / "tinygraph-training/checkpoint.safetensors").exists()


@pytest.mark.parametrize("engine", ["jax", "torch"])
def test_an_engine_that_is_not_installed(few, monkeypatch, capsys, engine):
    monkeypatch.setitem(sys.modules, engine, None)
    assert f"is not installed: pip install {engine}" in refused(capsys, "--engine", engine)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--model", "resnet"],
        ["--engine", "cupy"],
        ["--optimizer", "lion"],
        ["--epochs", "0"],
        ["--batch-size", "-1"],
        ["--lr", "0"],
        ["--lr", "nan"],
        ["--seed", "-1"],
    ],
)
def test_arguments_that_make_no_sense(few, capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        main(["train", *arguments])
    assert stop.value.code == 2
    assert "usage: tinygraph train" in capsys.readouterr().err
    assert os.listdir(few) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "resnet"}, "model 'resnet' is none of two-layer-net, mlp, simple-conv-net"),
        ({"engine": "cupy"}, "engine 'cupy' is none of numpy, jax, torch"),
        ({"epochs": 0}, "epochs is 0, less than 1"),
        ({"seed": -1}, "seed is -1, less than 0"),
    ],
)
def test_settings_that_make_no_sense(few, settings, message):
    with pytest.raises(ArgumentError, match=message):
        training.train(few, **settings)


def test_the_command_knows_the_names_of_the_tables():
    (commands,) = parser()._subparsers._group_actions
    choices = {action.dest: action.choices for action in commands.choices["train"]._actions}
    assert choices["model"] == tuple(training.MODELS)
    assert choices["optimizer"] == tuple(training.OPTIMIZERS) == tuple(training.LEARNING_RATES)
    assert choices["engine"] == training.ENGINES


# ---------------------------------------------------------------- other engines


@pytest.mark.engines
@pytest.mark.parametrize("engine", ["jax", "torch"])
@pytest.mark.parametrize("model", ["two-layer-net", "simple-conv-net"])
def test_another_engine_trains_the_same(few, capsys, engine, model):
    options = ["--model", model, "--epochs", "2", "--batch-size", "25"]
    expected = run(capsys, *options, "--out", "numpy")
    found = run(capsys, *options, "--engine", engine, "--out", engine)
    assert np.abs(np.array(found, float) - np.array(expected, float)).max() < 0.002
    ours, theirs = (tg.load(f"{name}/weights.safetensors") for name in ("numpy", engine))
    for name, one in ours.items():
        np.testing.assert_allclose(theirs[name].data, one.data, rtol=0, atol=2e-5)


@pytest.mark.engines
def test_another_engine_is_resumed_too(few, capsys):
    run(capsys, *SHORT, "--engine", "jax", "--out", "whole")
    run(capsys, "--epochs", "2", *SHORT[2:], "--engine", "jax")
    run(capsys, "--resume", "--epochs", "3")
    assert weights(few / "tinygraph-training") == weights(few / "whole")
