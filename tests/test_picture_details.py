"""What a structure picture can show besides: shapes on arrows, values, what is kept."""

import numpy as np
import pytest
from test_pictures import BATCH, Net, parameter

from tinygraph import namespace as tg
from tinygraph.errors import ArgumentError
from tinygraph.viz import to_dot
from tinygraph.viz.details import size


def box(drawing, name):
    """Return what stands in a box of a drawing."""
    (line,) = (one for one in drawing.source.splitlines() if one.strip().startswith(f"{name} ["))
    return line


def arrow(drawing, name):
    (line,) = (one for one in drawing.source.splitlines() if f"id={name} " in one)
    return line


def test_shapes_may_stand_on_the_arrows_or_nowhere():
    usual = to_dot(Net().loss, args=BATCH)
    moved = to_dot(Net().loss, args=BATCH, shapes="edge")
    none = to_dot(Net().loss, args=BATCH, shapes=None)
    assert "(4, 5)" in box(usual, "n2")
    assert "(4, 5)" not in box(moved, "n2") + box(none, "n2")
    assert "(4, 5)" in arrow(moved, "e_n2_n4_0")
    assert "(4, 5)" not in arrow(usual, "e_n2_n4_0") + arrow(none, "e_n2_n4_0")
    assert "(8, 5)" in box(moved, "n1")  # a leaf keeps its own
    assert arrow(moved, "e_n3_n4_1") == arrow(usual, "e_n3_n4_1")  # a broadcast tells it anyway


def test_values_of_small_arrays_are_written_of_large_ones_told():
    x = tg.tensor([[1.0, -2.0], [0.5, 4.0]], requires_grad=True, name="x")
    drawing = to_dot(tg.sum(x * np.arange(4.0).reshape(2, 2)), values=True)
    assert "1  −2" in box(drawing, "n0")
    assert "0.5  4" in box(drawing, "n0")
    large = parameter(100, "w")
    large.data = np.repeat([1.0, 3.0], 50)
    assert "mean 2 ± 1" in box(to_dot(tg.exp(large), values=True), "n0")
    turned = tg.tensor(3j * np.ones(100), requires_grad=True, name="z")
    assert "mean of |z| 3 ± 0" in box(to_dot(tg.exp(turned), values=True), "n0")
    empty = to_dot(tg.exp(parameter((0, 2), "w")), values=True)
    assert ">empty<" in box(empty, "n0")
    x -= 1
    old = to_dot(tg.sum(x * 2), values=True)
    assert "0  −3" in box(old, "n0")


def test_no_new_values_are_shown_under_an_old_graph():
    x = tg.tensor(2.0, requires_grad=True, name="x")
    y = tg.tensor(3.0, requires_grad=True, name="y")
    loss = tg.exp(x) * y
    x -= 1
    source = to_dot(loss, values=True).source
    assert "no values of what follows x, which has new ones" in source
    assert ">1<" not in source
    y -= 1
    assert "what follows x, y, which have new ones" in to_dot(loss, values=True).source


def test_memory_counts_each_array_once_and_no_leaf():
    h = tg.tanh(parameter((10, 10), "x"))  # keeps its result, 800 bytes
    loss = tg.sum(h * h)  # keeps it too
    source = to_dot(loss, memory=True).source
    assert source.count("keeps 800 bytes") == 1
    assert "800 bytes kept for the way back" in source
    assert "keeps" not in to_dot(tg.sum(parameter(3, "w") * parameter(3, "v")), memory=True).source
    loss.backward()
    assert "freed by the walk back" in to_dot(loss, memory=True).source


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1 kB"), (39_200, "39.2 kB"), (5e9, "5 GB"),
     (999_999, "1 MB"), (7e15, "7e+03 TB")],
)  # fmt: skip
def test_sizes_have_three_digits(count, text):
    assert size(count) == text


def test_what_the_textbook_cannot_show_is_refused():
    x = parameter((), "x")
    for option in ({"values": True}, {"memory": True}, {"shapes": None}):
        with pytest.raises(ArgumentError, match="belong to style='structure'"):
            to_dot(x * 2, style="textbook", **option)
    with pytest.raises(ArgumentError, match="shapes is 'node', 'edge' or None, not 'top'"):
        to_dot(x * 2, shapes="top")
