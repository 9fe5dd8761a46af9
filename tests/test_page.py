"""The page to step through: what it says; how it moves is tested in test_browser.py."""

import base64
import hashlib
import json
import re
import shutil

import numpy as np
import pytest
from hypothesis import given

import tinygraph as tg
from tinygraph.errors import ArgumentError
from tinygraph.models import TwoLayerNet
from tinygraph.testing.programs import programs
from tinygraph.viz import engine, render, to_dot, to_html
from tinygraph.viz.numbers import Numbers
from tinygraph.viz.page import Story, array_text

HOSTILE = "</script><img src=x onerror=alert(1)>"


def leaf(value, name=None):
    return tg.tensor(value, requires_grad=True, name=name)


def steps_of(page):
    """Return what a page tells, step by step."""
    (found,) = re.findall(r'<script type="application/json" id="steps">(.*?)</script>', page, re.S)
    return json.loads(found)


def steps(obj, **options):
    return steps_of(to_html(obj, **options))


def rows(step):
    """Return the rows of a step: what it is, shape, value, by name."""
    return {name: (about, shape, value) for name, about, shape, value, _ in step["rows"]}


def numbers(text):
    """Return the numbers of an array that is written out, one after the other."""
    return [float(one) for one in re.findall(r"[-\d.e]+", text.replace("−", "-"))]


def net(std=1.0, sizes=(2, 3, 2), samples=2):
    """Return a network and its loss."""
    model, rng = TwoLayerNet(*sizes, weight_init_std=std, rng=0), np.random.default_rng(0)
    x = tg.tensor(rng.normal(size=(samples, sizes[0])), name="x")
    return model, model.loss(x, rng.integers(0, sizes[2], samples))


# ---------------------------------------------------------------- the steps


def test_steps_go_forward_in_the_order_of_the_tape_and_back_again():
    a, b = leaf(1.0, "a"), leaf(2.0, "b")
    told = steps((a * b + tg.exp(a)) / b)
    titles = [(step["way"], step["title"]) for step in told[1:]]
    forward = ["multiply", "exp", "add", "divide"]
    assert titles == [("forward", one) for one in forward] + [
        ("backward", one) for one in ("divide", "add", "multiply", "exp")
    ]
    assert [step["counter"] for step in told[::4]] == [
        "step 0 of 8: start", "step 4 of 8: forward 4 of 4", "step 8 of 8: backward 4 of 4",
    ]  # fmt: skip


def test_the_gradients_told_are_those_of_backward():
    model, loss = net()
    found = {}
    for step in steps(loss):
        for about, shape, value in rows(step).values():
            if about.endswith(".grad"):
                found[about.removeprefix("→ ").removesuffix(".grad")] = shape, numbers(value)
    assert all(one.grad is None for one in model.params.values()), "drawing left gradients behind"
    loss.backward()  # and freed nothing
    assert set(found) == set(model.params)
    for name, parameter in model.params.items():
        shape, value = found[name]
        assert shape == f"{parameter.shape} float64"
        np.testing.assert_allclose(value, np.ravel(parameter.grad.numpy()), rtol=1e-5, atol=1e-12)


@given(programs())
def test_the_gradients_of_any_program_are_told(program):
    leaves = {name: leaf(array, name) if array.dtype.kind == "f" else tg.tensor(array)
              for name, array in program.inputs.items()}  # fmt: skip
    with np.errstate(all="ignore"):
        result = program.total(program.trace(*leaves.values()))
        picture = to_dot(result).picture
        told = Story(picture, Numbers(picture)).steps
        if result.requires_grad:
            result.backward()
    last = {}  # what is told of each gradient at the end: a contribution, or the sum of several
    for step in told:
        for name, about, _, value, _ in step["rows"]:
            if found := re.fullmatch(r"→ (\w+)\.grad", about):
                last[found[1]] = value
            elif found := re.fullmatch(r"∂loss/∂(\w+)", name):
                last[found[1]] = re.split(r"\s=\s", value)[-1]
    for name, one in leaves.items():
        if one.grad is not None:
            assert last[name] == array_text(one.grad.numpy())


def test_each_step_shows_the_formula_and_every_name_in_it():
    x = leaf([[0.5, -1.0, 2.0], [1.0, 0.25, -0.5]], "x")
    w = leaf(np.arange(6.0).reshape(3, 2) / 7, "w")
    h = tg.tanh(x @ w) ** 2 - tg.softmax(x @ w, axis=0) / 3
    h = tg.concat([h.max(axis=1), h.reshape(-1)[1:3]])
    h = tg.where(h.detach() > 0.2, h, tg.minimum(h, 1.0)) * tg.logsumexp(h)
    told = steps(h.mean() + tg.softmax_cross_entropy(x, np.array([0, 2]), reduction="sum"))
    word = r"(?<![\w.'])[^\W\d]\w*(?![\w(=']| =)"
    said = 0
    for step in told[1:]:
        known = {one.partition("[")[0] for one in rows(step)}
        known |= {"if", "else", "True", "False", "None", "inf", "is", "in", "prod"}
        for line in step["formula"]:
            right = line.partition(" = ")[2]
            for name in re.findall(word, right):
                assert name.rstrip("ᵀ²") in known, (name, line, known)
                said += 1
    assert said > 60


def test_operands_are_told_by_name_and_settings_by_value():
    x = leaf([[1.0, 2.0], [3.0, 4.0]], "x")
    scaled = 3 * x
    scaled.name = "scaled"
    _, times, total, *_ = steps(scaled.sum(axis=1)[0])
    assert times["title"] == "scaled = multiply × 3"
    assert times["formula"] == ["y = a × b"]
    shown = rows(times)
    assert "3" in (shown["a"][2], shown["b"][2])
    assert ("= x", "(2, 2) float64", "[[1  2]\n [3  4]]") in shown.values()
    assert shown["y"] == ("= scaled", "(2, 2) float64", "[[ 3   6]\n [ 9  12]]")
    assert rows(total)["axis"] == ("setting", "", "1")
    assert rows(total)["a"][0] == "= scaled"


def test_the_addition_at_a_fan_out_is_shown():
    x = leaf(0.5, "x")
    told = steps(tg.exp(x) + 3 * x * x)
    sums = [rows(step)["∂loss/∂x"] for step in told if "∂loss/∂x" in rows(step)]
    assert [about for about, _, _ in sums] == ["2 of 3 contributions so far", "3 contributions"]
    assert sums[-1][2].endswith("= 4.64872")
    assert sums[-1][2].count("+") == 2
    y = tg.tanh(leaf([1.0, 2.0], "x"))
    (arrives,) = [step for step in steps((y * y).sum()) if "∂loss/∂tanh" in rows(step)]
    assert rows(arrives)["∂loss/∂tanh"][2].count("\n") == 4
    told = steps((y * y).sum())
    assert rows(told[-1])["g"][0] == "= ∂loss/∂y, 2 contributions added"


def test_names_come_in_the_order_of_the_operands_and_cut_to_the_room():
    long = "x" * 200
    told = steps(leaf(2.0, "a") * leaf(3.0, long))
    assert [name for name, *_ in told[-1]["rows"]] == ["g", "a", "b", "da", "db"]
    assert rows(told[-1])["b"][0] == f"= {'x' * 77}…"


def test_a_broadcast_says_over_what_the_gradient_is_summed():
    told = steps((leaf(np.ones((2, 3)), "a") * leaf(np.ones(3), "b")).sum())
    assert (
        "db is then summed over axis 0, along which b was stretched from (3,)."
        in (told[-1]["notes"])
    )
    assert rows(told[-1])["db"][1:] == ("(3,) float64", "[2  2  2]")


def test_scopes_conventions_and_functions_are_explained():
    _, loss = net()
    told = steps(loss)
    assert told[1]["title"] == "Affine1 / matmul"
    (relu,) = [step for step in told if "relu" in step["title"] and step["way"] == "backward"]
    assert any("relu'(0) = 0" in note for note in relu["notes"])
    (forward,) = [step for step in told if step["counter"].endswith("forward 6 of 6")]
    assert any(note.startswith("log_softmax: ") for note in forward["notes"])


def test_complex_numbers_are_conjugated_on_the_way_back():
    told = steps(tg.abs(leaf([1 + 2j, 3j], "z") * leaf([2.0, 1.0], "x")).sum())
    conjugated = [any("conjugated" in note for note in step["notes"]) for step in told[4:]]
    assert conjugated == [False, True, True]
    assert rows(told[-1])["db"][1] == "(2,) float64"


def test_large_arrays_are_told_in_a_line():
    x = np.full((5, 3), 2.0)
    x[0, 0], x[1, 1], x[2, 2] = -8.0, np.nan, np.inf
    told = steps(leaf(x, "x") + leaf(np.zeros((0, 1)), "empty").sum())
    shown = rows(told[0])
    assert shown["x"][2] == "1 inf, 1 nan, mean 1.23, −8 … 2"
    assert shown["empty"][2] == "empty"


def test_a_function_of_the_users_has_its_own_gradient():
    @tg.custom_vjp
    def double(x):
        return 2 * x

    double.defvjp(lambda x: (2 * x, None), lambda _, g: 2 * g)
    _, forward, backward = steps(double(leaf(1.0, "x")))
    assert forward["formula"] == ["y = double(x0)"]
    assert backward["formula"] == ["dx0 as the gradient of double says"]
    assert rows(backward)["dx0"] == ("→ x.grad", "scalar () float64", "2")


def test_folded_boxes_are_one_step():
    model, loss = net()
    page = to_html(loss, depth=0)
    assert "node wire" not in page, "there are no lines for the numbers inside"
    told = steps_of(page)
    titles = [step["title"] for step in told[1:5]]
    assert titles[0] == "Affine1"
    assert titles[2] == "Affine2"
    assert [step["title"] for step in told[5:]] == titles[::-1]
    assert rows(told[1])["W1"][0] == "goes in"
    loss.backward()
    assert list(rows(told[-1])) == ["∂loss/∂add", "∂loss/∂b1", "∂loss/∂W1"]
    about, _, value = rows(told[-1])["∂loss/∂W1"]
    assert about == "goes on"
    np.testing.assert_allclose(numbers(value), np.ravel(model.params["W1"].grad.numpy()), rtol=1e-5)


def test_a_folded_box_is_walked_back_when_all_in_it_is():
    x = leaf(0.5, "x")
    with tg.scope("A"):
        a = tg.tanh(tg.tanh(tg.exp(x)))
    told = steps(a + tg.square(-x), depth=0)
    back = [step["title"] for step in told if step["way"] == "backward"]
    assert back.index("square") < back.index("A")


# ---------------------------------------------------------------- where there is no way back


def test_without_a_single_number_the_steps_go_forward_only():
    x = leaf([1.0, 2.0], "x")
    for obj, args, why in (
        (x * 2, (), "a gradient begins at one number"),
        ({"one": x.sum(), "two": x.mean()}, (), "several results"),
        (lambda x: x.sum() * 2, (np.ones(2),), "nothing here requires a gradient"),
    ):
        told = steps(obj, args=args)
        assert {step["way"] for step in told} == {"start", "forward"}
        assert any(note.startswith("There is no way back: ") and why in note
                   for note in told[0]["notes"])  # fmt: skip


def test_after_a_change_no_number_is_stale_and_none_is_new():
    x, w = leaf([1.0, 2.0], "x"), leaf([3.0, 4.0], "w")
    y = (tg.exp(x) * w).sum()
    w -= 1.0
    page = to_html(y)
    told = steps_of(page)
    assert [step["title"] for step in told[1:]] == ["exp", "multiply", "sum"]
    assert rows(told[0])["x"][2] == "[1  2]"
    assert rows(told[0])["w"][2] == "unknown"
    assert rows(told[2])["y"][2] == "unknown"
    assert any("'w'" in note or "w has" in note for note in told[2]["notes"])
    assert "not yet" not in page


def test_a_leaf_by_itself_is_a_page():
    told = steps(leaf(2.0, "x"))
    assert [step["counter"] for step in told] == ["step 0 of 0: start"]


def test_the_graph_of_a_gradient_is_a_page():
    x = leaf(0.5, "x")
    y = tg.tanh(x)
    y.name = "L"
    y.backward(create_graph=True)
    told = steps(x.grad)
    assert rows(told[-1])["g"][0] == "= ∂(∂L/∂x)/∂L, 2 contributions added"
    assert rows(told[-1])["da"][0] == "→ x.grad"


# ---------------------------------------------------------------- the picture on it


def test_numbers_are_marked_with_the_steps_that_make_them(any_engine):
    page = to_html(tg.exp(leaf(0.5, "x")) * 2)
    wires = re.findall(r'<g id="g\w{8}-w_(\w+)" class="node wire">(.*?)</g>', page, re.S)
    seen = {}
    for name, body in wires:
        value = re.findall(r'<text data-from="(\d+)"[^>]*>([^<]+)<', body)
        waiting = re.findall(r'<text data-until="(\d+)"[^>]*>([^<]+)<', body)
        seen[name] = [(int(k), text.strip()) for k, text in value if text.strip(" ←\xa0")], waiting
        assert body.count('class="line"') == 1
    assert seen == {
        "n0_n1_0": ([(0, "0.5"), (4, "3.297")], [("4", "← not yet")]),
        "n1_n2_0": ([(1, "1.649"), (3, "2")], [("3", "← not yet")]),
        "n2_r0_0": ([(2, "3.297"), (3, "1")], [("3", "← not yet")]),
    }


def test_the_sum_at_a_leaf_appears_with_its_last_contribution():
    x = leaf(0.5, "x")
    page = to_html(tg.exp(x) * x)
    (body,) = re.findall(r'<g id="g\w{8}-n0" class="node param">(.*?)</g>', page, re.S)
    assert re.findall(r'data-from="(\d+)"[^>]*>([^<]+)<', body)[-1] == ("4", "2.473")


def test_what_is_lit_is_there():
    _, loss = net()
    for page in (to_html(loss), to_html(loss, style="structure")):
        ids = set(re.findall(r'\sid="([^"]*)"', page))
        for step in steps_of(page)[1:]:
            assert step["lit"][0] in ids
            assert len(ids.intersection(step["lit"])) >= 3
    first, *_, last = steps_of(page)[1:]
    assert len(first["lit"]) == 1 + 4 * 3
    assert len(last["lit"]) == 1 + 4 * 2, "no gradient flows back to x"


def test_lines_tell_shape_and_dtype():
    page = to_html(tg.exp(leaf([1.0, 2.0], "x")).sum())
    titles = re.findall(r"<title>([^<]*)</title>", page)
    assert titles.count("x → exp: (2,) float64") >= 2
    assert not any("w_n" in one for one in titles)


def test_above_30_operations_the_picture_is_the_structure_above_500_there_is_none():
    y = leaf(0.5, "x")
    for _ in range(31):
        y = tg.tanh(y)
    page = to_html(y)
    assert "node wire" not in page
    assert len(steps_of(page)) == 63
    with pytest.raises(ArgumentError, match="at most 30 operations"):
        to_html(y, style="textbook")
    for _ in range(470):
        y = tg.tanh(y)
    assert len(steps(y)) < 500  # folded
    with pytest.raises(ArgumentError, match=r"at most 500 operations.* 501.*depth"):
        to_html(y, fold=False, max_nodes=10_000)


# ---------------------------------------------------------------- one file for everyone


def test_a_page_is_one_file_that_loads_nothing():
    _, loss = net()
    page = to_html(loss)
    assert page == to_html(loss), "the same graph gives the same page"
    outside = page.replace("http://www.w3.org/2000/svg", "").replace(
        "http://www.w3.org/1999/xlink", ""
    )
    assert "http" not in outside.replace("http-equiv", "")
    assert not re.search(r"\b(src|href)=|@import|url\(", outside)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    script = re.search(r"<script>(.*)</script>", page, re.S)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy.startswith(f"default-src 'none'; script-src 'sha256-{digest}'; ")
    assert "innerHTML" not in script
    assert len(script.splitlines()) <= 130


def test_the_network_of_the_book_is_a_small_page(tmp_path):
    _, loss = net(0.01, (784, 50, 10), 100)
    path = render(loss, tmp_path / "net.html")
    assert path.stat().st_size < 300_000
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_names_are_text_whatever_they_contain():
    x = leaf(2.0, HOSTILE)
    with tg.scope(HOSTILE):
        y = x * x
        y.name = HOSTILE
    page = to_html(tg.exp(y), title=HOSTILE)
    assert page.count("</script>") == 2
    assert "<img" not in page
    assert HOSTILE in steps_of(page)[1]["title"]


def test_ids_of_two_pages_do_not_meet():
    x = leaf(0.5, "x")
    pages = to_html(tg.exp(x)), to_html(tg.tanh(x))
    ids = [set(re.findall(r'<(?:g|title|desc)\b[^>]*\sid="([^"]*)"', page)) for page in pages]
    assert len(ids[0]) > 5
    assert not ids[0] & ids[1]
    for page, own in zip(pages, ids, strict=True):
        assert set(re.search(r'aria-labelledby="([^"]*)"', page)[1].split()) <= own


def test_render_knows_the_ending(tmp_path):
    y = tg.exp(leaf(0.5, "x"))
    path = tmp_path / "page.html"
    assert render(y, path, style="structure", title="named") == path
    page = path.read_text(encoding="utf-8")
    assert "<title>named</title>" in page
    assert "node wire" not in page


@pytest.fixture(params=["dot", "graphviz-pure"])
def any_engine(request, monkeypatch):
    """Lay out with one of the programs, if it is there."""
    found = engine.find_engine()
    if request.param == "graphviz-pure" and not found.pure:
        monkeypatch.setattr(engine.shutil, "which", without_dot)
        found = engine.find_engine()
    if found.pure != (request.param != "dot"):
        pytest.skip(f"{request.param} is not there")


def without_dot(name, path=None, which=shutil.which):
    return None if name == "dot" else which(name, path=path)
