"""The command ``tinygraph draw``."""

import sys
from textwrap import dedent

import pytest

from tinygraph.cli import main

MODULE = dedent("""
    import numpy as np
    import tinygraph as tg
    from tinygraph.models import TwoLayerNet

    def affine(x, W, b=1.0):
        return x @ W + b

    def network():
        return TwoLayerNet(4, 3, 2, rng=0), np.ones((2, 4)), np.array([0, 1])

    def with_arguments():
        return affine, np.ones((2, 3)), np.ones((3, 1))

    def result():
        return tg.tensor(2.0, requires_grad=True, name="x") * 3

    kept = {"one": result(), "other": result()}
    number = 3
    def fails(x):
        return x.reshape(7)
""")


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    (tmp_path / "drawn.py").write_text(MODULE)

    def run(name, *options):
        status = main(["draw", f"drawn.py:{name}", "--out", "g.dot", *options])
        told = capsys.readouterr()
        path = tmp_path / "g.dot"
        return status, told.out, told.err, path.read_text("utf-8") if path.exists() else ""

    return run


def test_a_function_is_drawn_with_made_up_arguments(run):
    status, out, err, dot = run("affine", "--shape", "x=100,784", "--shape", "W=784,50")
    assert (status, out, err) == (0, "g.dot\n", "")
    assert "(100, 784)" in dot
    assert "no gradient" in dot
    assert "class=param" not in dot


def test_arguments_may_require_a_gradient(run):
    shapes = ("--shape", "x=2,3", "--shape", "W=3,1")
    status, _, _, dot = run("affine", *shapes, "--variable", "W")
    assert status == 0
    assert dot.count("class=param") == 1
    status, _, err, _ = run("affine", *shapes, "--variable", "b")
    assert status == 2
    assert "--variable b: give its shape" in err


@pytest.mark.parametrize(
    ("name", "shown"),
    [("network", "TwoLayerNet.loss"), ("with_arguments", "affine"), ("result", "multiply × 3"),
     ("kept", "other")],
)  # fmt: skip
def test_what_a_function_without_parameters_returns_is_drawn(run, name, shown):
    status, out, _, dot = run(name)
    assert (status, out) == (0, "g.dot\n")
    assert shown in dot


def test_options_reach_the_picture(run):
    _, _, _, dot = run("result", "--style", "textbook", "--title", "Six", "--direction", "TB")
    assert "<b>Six</b>" in dot
    assert "left of the line: value" in dot


def test_by_default_an_svg_with_the_name(run, tmp_path, capsys):
    assert main(["draw", "drawn.py:result"]) == 0
    assert capsys.readouterr().out == "result.svg\n"
    assert (tmp_path / "result.svg").read_text("utf-8").startswith("<svg")


@pytest.mark.parametrize(
    ("name", "options", "status", "told"),
    [
        ("affine", ("--shape", "x=2,3"), 2, "affine takes 'W': give its shape"),
        ("affine", ("--shape", "x=2", "--shape", "W=2", "--shape", "z=1"), 2, "--shape z=...:"),
        ("absent", (), 2, "drawn.py has no 'absent'"),
        ("number", (), 1, "to_dot: this is of type int; it draws a Tensor"),
        ("result", ("--style", "cubist"), 1, "style 'cubist' is not one of structure, textbook"),
        ("fails", ("--shape", "x=2"), 1, "reshape: "),
    ],
)
def test_mistakes_are_told(run, name, options, status, told):
    found, out, err, dot = run(name, *options)
    assert (found, out, dot) == (status, "", "")
    assert err.startswith("tinygraph draw: ")
    assert told in err
