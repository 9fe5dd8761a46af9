"""The command ``tinygraph check`` and the pytest plugin."""

import subprocess
import sys
from importlib import metadata
from textwrap import dedent

import pytest

from tinygraph.cli import main

pytest_plugins = ["pytester"]

MODULE = dedent("""
    import numpy as np
    import tinygraph as tg
    from tinygraph.models.by_hand import Affine, TwoLayerNet
    from beside import NUMBER

    def notebook():
        rng = np.random.default_rng(0)
        x, t = rng.random((3, 784)), np.array([1, 2, 3])
        return TwoLayerNet(784, 50, 10, rng=0, mistake=True), x, t

    def right_net():
        net, x, t = notebook()
        net.mistake = False
        return net, x, t

    def smooth(x, y, scale=2.0):
        return tg.tanh(x) * y * scale

    def lost(x):
        return x * tg.tensor(x.numpy())

    def jac(wrong=False):
        return 3

    def right_pair():
        return lambda x: np.sum(x**3), lambda x: 3 * x**2, np.ones(3)

    def wrong_pair():
        return lambda x: np.sum(x**3), lambda x: -3 * x**2, np.ones(3)

    def with_arguments():
        return smooth, np.ones((2, 3)), np.ones(3)

    class Doubled(Affine):
        def backward(self, dout):
            return 2 * super().backward(dout)

    instance = Affine(np.ones((3, 2)), np.zeros(2))
    raises = lambda: 1 / 0
""")


@pytest.fixture
def module(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.setattr(sys, "modules", sys.modules.copy())
    (tmp_path / "mine.py").write_text(MODULE)
    (tmp_path / "beside.py").write_text("NUMBER = 1")
    (tmp_path / "broken.py").write_text("this is no Python")
    return tmp_path


@pytest.mark.parametrize("arguments", [
    ["right_net"],
    ["right_pair"],
    ["with_arguments"],
    ["smooth", "--shape", "x=2,3", "--shape", "y=3"],
    ["smooth", "--shape", "x=", "--shape", "y=", "--seed", "7"],
    ["smooth", "--shape", "x=2", "--shape", "y=2", "--shape", "scale=1"],
    ["Affine", "--shape", "W=3,4", "--shape", "b=4", "--shape", "x=5,3"],
    ["instance", "--shape", "x=5,3"],
])  # fmt: skip
def test_right_is_one_line(module, capsys, arguments):
    name, *options = arguments
    assert main(["check", f"mine.py:{name}", *options]) == 0
    assert capsys.readouterr().out == f"mine.py:{name}: right\n"


@pytest.mark.parametrize("arguments, said", [
    (["notebook"], "db1 has dW1's shape and values: dW1 was returned for db1."),
    (["notebook"], "db2 has dW2's shape and values: dW2 was returned for db2."),
    (["wrong_pair"], "the sign is wrong: it is right when negated."),
    (["lost", "--shape", "x=2"], "off by a factor of 1/2, the number of entries of argument 0"),
    (["Doubled", "--shape", "W=3,4", "--shape", "b=4", "--shape", "x=5,3"],
     "Doubled: dx: 15 of 15 entries differ.\nDiagnosis: off by a factor of 2."),
])  # fmt: skip
def test_wrong_is_the_report(module, capsys, arguments, said):
    name, *options = arguments
    assert main(["check", f"mine.py:{name}", *options]) == 1
    out = capsys.readouterr().out
    assert out.startswith(f"mine.py:{name}: wrong\n\n")
    assert said in out


@pytest.mark.parametrize("arguments, said", [
    (["mine.py"], "write module.py:name"),
    (["mine.py:"], "write module.py:name"),
    (["other.py:f"], "there is no file other.py"),
    (["broken.py:f"], "broken.py cannot be loaded: SyntaxError"),
    (["nowhere:f"], "nowhere cannot be loaded: ModuleNotFoundError"),
    (["mine.py:absent"], "mine.py has no 'absent'"),
    (["mine.py:NUMBER"], "1 is neither a function nor a layer"),
    (["mine.py:smooth", "--shape", "x=2"], "smooth takes 'y': give its shape, as in --shape y=3,4"),
    (["mine.py:right_pair", "--shape", "x=2"], "--shape x=...: there is nothing of this name"),
    (["mine.py:jac"], "none of the arguments is NumPy's and of a real floating dtype"),
])  # fmt: skip
def test_misuse(module, capsys, arguments, said):
    assert main(["check", *arguments]) == 2
    found = capsys.readouterr()
    assert said in found.err
    assert not found.out


@pytest.mark.parametrize("shape", ["x", "=3", "x=a", "x=-1"])
def test_a_shape_that_is_none(shape, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["check", "mine.py:f", "--shape", shape])
    assert caught.value.code == 2
    assert "--shape" in capsys.readouterr().err


def test_a_module_by_its_name(module, capsys):
    assert main(["check", "mine:right_pair"]) == 0


def test_a_file_named_like_a_module_that_is_loaded(module, capsys):
    (module / "random.py").write_text(MODULE)
    assert main(["check", "random.py:right_pair"]) == 0


def test_the_arguments_follow_the_seed(module, capsys):
    said = []
    for seed in ("1", "1", "2"):
        main(["check", "mine.py:lost", "--shape", "x=2", "--seed", seed])
        said.append(capsys.readouterr().out)
    assert said[0] == said[1] != said[2]


def test_what_the_users_code_raises_passes(module):
    with pytest.raises(ZeroDivisionError):
        main(["check", "mine.py:raises"])


def test_help_says_what_a_name_may_be(capsys):
    with pytest.raises(SystemExit):
        main(["check", "--help"])
    assert "(function, gradient, x)" in capsys.readouterr().out


# ---------------------------------------------------------------- the plugin


def test_pytest_finds_the_plugin():
    (found,) = [one for one in metadata.entry_points(group="pytest11") if one.name == "tinygraph"]
    assert found.value == "tinygraph_pytest"


def test_the_plugin_is_light():
    program = (
        "import sys, tinygraph_pytest;"
        "heavy = {'numpy', 'hypothesis', 'tinygraph'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_the_fixture_and_what_a_failure_shows(pytester):
    pytester.makepyfile("""
        import numpy as np
        import tinygraph as tg

        def test_right(check_grads):
            check_grads(tg.tanh, (np.ones(3),))

        def test_wrong(check_grads):
            check_grads(lambda x: x * tg.tensor(x.numpy()), (np.array([1.0, 2.0]),))
    """)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines([
        "*check_grads(lambda x: x * tg.tensor(x.numpy())*",
        "E *derivative 1 by argument 0: 2 of 2 entries differ.",
        "E *Diagnosis: off by a factor of 1/2*",
        "E *index*analytic*numerical*ratio*",
    ])  # fmt: skip
    result.stdout.no_fnmatch_line("*check.py:*")
