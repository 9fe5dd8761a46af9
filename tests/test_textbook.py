"""The textbook picture: circles, values on one side of the lines, gradients on the other."""

import re

import numpy as np
import pytest
from test_pictures import BATCH, Net, each_engine, overlaps, parameter, svg_of  # noqa: F401

from tinygraph import namespace as tg
from tinygraph.errors import ArgumentError
from tinygraph.viz import render, style, to_dot

SVG = "{http://www.w3.org/2000/svg}"
INK, GRADIENT, BAD = (style.LIGHT[name] for name in ("ink", "gradient", "bad border"))


def number(value, name):
    return tg.tensor(float(value), requires_grad=True, name=name)


def apples():
    price, count, tax = number(100, "apple price"), number(2, "apples"), number(1.1, "tax")
    total = price * count * tax
    total.name = "total"
    return total, price


def wires(drawing):
    """Return the values and the gradients on the lines, by tail, head and place."""
    found = {}
    for group in svg_of(drawing).iter(f"{SVG}g"):
        if group.get("id", "").startswith("w_"):
            texts = [(one.get("fill"), "".join(one.itertext()).strip()) for one in group
                     if one.tag == f"{SVG}text"]  # fmt: skip
            value = [text for fill, text in texts if fill == INK]
            back = [text for fill, text in texts if fill == GRADIENT and text not in "←↑"]
            found[group.get("id")] = (value, back)
    return found


def everything(drawing):
    return ["".join(one.itertext()).strip() for one in svg_of(drawing).iter(f"{SVG}text")]


def test_apples_come_to_220(tmp_path):
    total, price = apples()
    total.backward()
    drawn = wires(to_dot(total, style="textbook"))
    assert drawn == {
        "w_n0_n2_0": (["100"], ["2.2"]),
        "w_n1_n2_1": (["2"], ["110"]),
        "w_n2_n4_0": (["200"], ["1.1"]),
        "w_n3_n4_1": (["1.1"], ["200"]),
        "w_n4_r0_0": (["220"], ["1"]),
    }
    price -= 1
    texts = everything(to_dot(total, style="textbook"))
    assert not {"100", "200", "220", "2.2", "110", "99", "198", "217.8", "1"} & set(texts)
    assert any("apple price has been given new values since" in text for text in texts)
    assert texts.count("scalar ()") == 3  # what followed from the price; the rest is as it was
    assert {"2", "1.1"} < set(texts)


def test_apples_and_oranges_of_the_book():
    names = ("apple price", "apples", "oranges", "orange price", "tax")
    values = (100, 2, 3, 150, 1.1)
    price, apple, orange, other, tax = map(number, values, names)
    total = (price * apple + orange * other) * tax
    drawn = wires(to_dot(total, style="textbook")).values()
    assert (["715"], ["1"]) in drawn
    assert [back for (value,), (back,) in drawn if value in {"100", "2", "3", "150", "1.1"}] == [
        "2.2", "110", "165", "3.3", "650",
    ]  # fmt: skip


def test_the_numbers_are_those_of_backward_before_and_after_it():
    a, b = number(3, "a"), number(4, "b")
    loss = tg.tanh(a * b) / b
    before = to_dot(loss, style="textbook").source
    assert a.grad is None
    loss.backward()
    grads = a.grad.item(), b.grad.item()
    assert to_dot(loss, style="textbook").source == before
    assert (a.grad.item(), b.grad.item()) == grads
    drawn = wires(to_dot(loss, style="textbook"))
    assert drawn["w_n0_n2_0"] == (["3"], [f"{grads[0]:.4g}".replace("-", "−")])


def test_where_contributions_meet_their_sum_is_shown():
    x = number(3, "x")
    drawing = to_dot(x * x + x, style="textbook")
    drawn = wires(drawing)
    assert [drawn[f"w_n0_n1_{slot}"][1] for slot in (0, 1)] == [["3"], ["3"]]
    assert drawn["w_n0_n2_1"][1] == ["1"]
    (box,) = (one for one in svg_of(drawing).iter(f"{SVG}g") if one.get("id") == "n0")
    assert ["".join(one.itertext()).strip() for one in box.iter(f"{SVG}text")] == ["x", "grad", "7"]

    y = x + 1
    (box,) = (one for one in svg_of(to_dot(y * y, style="textbook")).iter(f"{SVG}g")
              if one.get("id") == "n1")  # fmt: skip
    assert ["".join(one.itertext()).strip() for one in box.iter(f"{SVG}text")][1:] == ["grad", "8"]


def test_a_gradient_that_does_not_exist_is_not_yet_and_never_0():
    x = parameter((2, 2), "x")
    texts = everything(to_dot(tg.exp(x), style="textbook"))
    assert texts.count("not yet") == 2
    assert "0" not in texts
    assert any("no gradients: a gradient begins at one number" in one for one in texts)
    both = everything(to_dot({"a": tg.sum(x), "b": tg.sum(x * 2)}, style="textbook"))
    assert any("several results" in text for text in both)
    fixed = everything(to_dot(tg.sum(tg.tensor([1.0, 2.0], name="x") * 2), style="textbook"))
    assert "not yet" not in fixed


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (np.array([[1.5, -2.0]]), ["1.5", "−2"]),
        (np.arange(4), ["0", "1", "2", "3"]),
        (np.array([-0.0, 12345.678]), ["0", "1.235e+04"]),
        (np.arange(10.0), ["mean 4.5", "0 … 9"]),
        (np.zeros((2, 2, 2)), ["mean 0", "0 … 0"]),
        (np.zeros((0, 3)), ["empty"]),
    ],
)
def test_arrays_are_written_out_or_summed_up(array, told):
    x = tg.tensor(array, name="x")
    drawn = wires(to_dot(lambda x: x * 2, args=(x,), style="textbook", title="t"))
    assert drawn["w_n0_n1_0"][0] == told


def test_what_is_not_finite_stands_out():
    x = parameter(7, "x")
    x.data = np.array([0.0, -1, np.nan, np.inf, 1, 2, 3])
    group = [one for one in svg_of(to_dot(tg.sum(x), style="textbook")).iter(f"{SVG}text")
             if one.get("fill") == BAD]  # fmt: skip
    assert ["".join(one.itertext()) for one in group] == ["1 inf", "1 nan", "nan"]
    assert all(one.get("font-weight") == "bold" for one in group)


def test_operations_have_their_signs_and_numbers():
    x = number(3, "x")
    texts = everything(to_dot(tg.sum(1 - tg.square(x * 2), axis=()), style="textbook"))
    assert [one for one in texts if one in ("× 2", "( )²", "1 − ·", "sum")] == [
        "× 2",
        "( )²",
        "1 − ·",
        "sum",
    ]


def test_operands_keep_their_order():
    a, b = number(3, "a"), number(4, "b")
    for one in (a / b, b / a):
        drawing = to_dot(one, style="textbook", direction="LR")
        top = {}
        for group in svg_of(drawing).iter(f"{SVG}g"):
            if match := re.fullmatch(r"w_n\d_n2_(\d)", group.get("id", "")):
                top[int(match[1])] = min(float(text.get("y")) for text in group.iter(f"{SVG}text"))
        assert top[0] < top[1]
    assert "operands from top to bottom" not in drawing.source  # only where there is a legend
    x = tg.tensor(2.0, name="x")
    assert "operands from top to bottom" in to_dot(a / x, style="textbook").source


def test_a_broadcast_says_its_shapes_and_axes():
    x, b = parameter((2, 3), "x"), parameter(3, "b")
    texts = everything(to_dot(tg.sum(x + b), style="textbook"))
    start = texts.index("(3,) → (2, 3)")
    assert texts[start : start + 3] == ["(3,) → (2, 3)", "back: sum over", "the 2 rows (axis 0)"]


def test_every_line_has_a_text_for_screen_readers():
    svg = svg_of(to_dot(apples()[0], style="textbook"))
    titles = {one.text for one in svg.iter(f"{SVG}title")}
    assert "apple price → multiply" in titles
    assert not any(">" in title or "_" in title for title in titles)


def test_the_gradient_of_a_gradient_has_brackets():
    x = number(3, "x")
    y = x * x * x
    y.name = "y"
    y.backward(create_graph=True)
    texts = everything(to_dot(x.grad, style="textbook"))
    assert any("gradient ∂(∂y/∂x)/∂(value)" in text for text in texts)


def test_many_operations_are_refused():
    x = number(1, "x")
    for _ in range(30):
        x = x + 1
    assert to_dot(x, style="textbook").source
    with pytest.raises(ArgumentError, match=r"at most 30 operations, and this graph has 31\."):
        to_dot(x + 1, style="textbook")


def test_wide_pictures_go_downwards():
    assert "rankdir=LR" in to_dot(apples()[0], style="textbook").source
    network = to_dot(Net().loss, args=BATCH, style="textbook").source
    assert "rankdir=TB" in network
    assert "left of the line: value ↓" in network
    assert "rankdir=LR" in to_dot(Net().loss, args=BATCH, style="textbook", direction="LR").source


@pytest.mark.parametrize("direction", ["LR", "TB"])
def test_no_text_overlaps_and_nothing_is_cut_off(each_engine, direction):  # noqa: F811
    w = tg.tensor([[0.5, -1, 2], [1, 0.5, -1]], requires_grad=True, name="W")
    b = tg.tensor([0.1, -0.2, 0.3], requires_grad=True, name="b")
    loss = tg.sum(tg.relu(np.array([[1.0, 2], [3, -1]]) @ w + b) * w)
    assert not overlaps(svg_of(to_dot(loss, style="textbook", direction=direction)))


def test_lines_beside_each_other_are_equally_long_lest_there_be_gaps():
    total, price = apples()
    price -= 1  # so that shapes stand beside numbers
    for drawing in (
        to_dot(total, style="textbook"),
        to_dot(Net().loss, args=BATCH, style="textbook"),
    ):
        groups = {one.get("id"): one for one in svg_of(drawing).iter(f"{SVG}g")}
        for name, group in groups.items():
            parts = group.iter(f"{SVG}polygon") if name.startswith("w_") else ()
            for part in (one for one in parts if one.get("fill") == style.LIGHT["line"]):
                path = groups[f"e{name[1:]}_from"].find(f"{SVG}path").get("d")
                end = np.array([*map(float, re.findall(r"[-\d.]+", path)[-2:])])
                corners = np.array(
                    [*map(float, re.findall(r"[-\d.]+", part.get("points")))]
                ).reshape(-1, 2)
                assert abs(corners - end).sum(axis=1).min() <= 1.5  # half of its thickness is 1


def test_the_same_graph_gives_the_same_bytes(tmp_path):
    paths = [render(apples()[0], tmp_path / name, style="textbook") for name in ("a.dot", "b.dot")]
    assert paths[0].read_bytes() == paths[1].read_bytes()
