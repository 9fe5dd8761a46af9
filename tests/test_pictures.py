"""Pictures: what is drawn, how it is written, and what happens when it cannot be."""

import os
import re
import struct
import subprocess
import sys
import time
import zlib
from xml.etree import ElementTree

import graphviz
import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as with_settings
from hypothesis import strategies as st

from tinygraph import namespace as tg
from tinygraph.errors import (
    ArgumentError,
    DTypeError,
    FileError,
    GraphError,
    MissingDependencyError,
)
from tinygraph.modes import scope
from tinygraph.tape import Leaf, Node, operands, reachable
from tinygraph.testing.programs import programs
from tinygraph.transforms import record, vmap
from tinygraph.viz import engine, render, style, to_dot
from tinygraph.viz.graph import read, tape_order

HOSTILE = [
    '"', "<b>", "</font></td>", "&amp;", "\\N", "\\", "a\\", "a\nb\tc", "\x00\x1b[31m\x7f",
    "\u202e", '"];evil[label="', "--", "]]>", "<script>alert(1)</script>", "é × ∂ 한", "{a|b}",
    "n0", "\ud800", "%s {} $x", "<", "'", " ",
]  # fmt: skip


def parameter(shape, name=None):
    return tg.tensor(np.ones(shape), requires_grad=True, name=name)


class Net:
    """TwoLayerNet as its picture sees it."""

    def __init__(self):
        self.W1, self.b1 = parameter((8, 5), "W1"), parameter(5, "b1")
        self.W2, self.b2 = parameter((5, 3), "W2"), parameter(3, "b2")

    def loss(self, x, t):
        with scope("Affine1"):
            h = x @ self.W1 + self.b1
        with scope("Relu1"):
            h = tg.relu(h)
            h.name = "h"
        with scope("Affine2"):
            y = h @ self.W2 + self.b2
        with scope("SoftmaxWithLoss"):
            return tg.softmax_cross_entropy(y, t)


BATCH = (np.ones((4, 8)), np.array([0, 1, 2, 0]))


def picture(*tensors, direction=None):
    return read("title", [(f"r{i}", one) for i, one in enumerate(tensors)], direction)


def lines(picture, role):
    return [[text for _, text in box.lines] for box in picture.boxes if box.role == role]


def operation(tensor):
    """Return the lines of the operation that made a result."""
    (*_, last) = lines(picture(tensor), "op")
    return last


def dot_nodes(drawing):
    return [name for name in re.findall(r"^\t+(\w+) \[", drawing.source, re.M)
            if name not in ("graph", "node", "edge")]  # fmt: skip


def dot_edges(drawing):
    return re.findall(r"^\t+(\w+)(?::\w+)* -> (\w+)(?::\w+)* \[.*?\bid=(\w+)", drawing.source, re.M)


def svg_of(drawing):
    return ElementTree.fromstring(drawing.pipe("svg"))


def texts(svg):
    return ["".join(one.itertext()) for one in svg.iter("{http://www.w3.org/2000/svg}text")]


# ---------------------------------------------------------------- the picture is the graph


def test_the_net_is_drawn_as_the_book_has_it():
    drawing = to_dot(Net().loss, args=BATCH)
    assert isinstance(drawing, graphviz.Digraph)
    seen = drawing.source
    for text in ("Net.loss", "6 operations · 4 parameters (63 values) · float64 unless noted",
                 "x @ W1", "h @ W2", "h = relu", "(4,) int64", "back: sum over",
                 "the 4 rows (axis 0)", "Affine1", "SoftmaxWithLoss", "rankdir=LR"):  # fmt: skip
        assert text in seen, text
    assert seen.count("subgraph cluster_") == 2


@with_settings(max_examples=100, deadline=None, suppress_health_check=[*HealthCheck])
@given(programs(), st.text(max_size=8), st.sampled_from(["structure", "textbook"]))
def test_nodes_and_edges_are_the_tapes_whatever_the_program(program, name, style):
    leaves = [tg.tensor(one, requires_grad=True, name=name) for one in program.arguments]
    root = program(*leaves)
    order = reachable([root._node], links=operands)
    arrays = [one for node in order for one in node.inputs if isinstance(one, Node | Leaf)]
    if style == "textbook" and sum(node.plan is not None for node in order) > 30:
        return
    drawing = to_dot(root, style=style, fold=False)
    nodes, edges = dot_nodes(drawing), dot_edges(drawing)
    if style == "textbook":  # a line is a node of its own, with an arrow to it and one from it
        wires = {(head, tail): name for tail, head, name in edges if head.startswith("w_")}
        assert len(edges) == 2 * len(wires)
        edges = [(tail, *wire.split("_")[2:3], wire) for wire, tail in wires]
        nodes = [one for one in nodes if not one.startswith("w_")]
    assert sorted(nodes) == sorted([*(f"n{i}" for i in range(len(order))), "r0"])
    places = {one: f"n{i}" for i, one in enumerate(tape_order([root._node]))}
    expected = {
        (places[one], places[node], str(slot))
        for node in order
        for slot, one in enumerate(node.inputs)
        if isinstance(one, Node | Leaf)
    }
    expected.add((places[root._node], "r0", "0"))
    assert {(tail, head, name.rpartition("_")[2]) for tail, head, name in edges} == expected
    assert len(edges) == len(arrays) + 1
    assert to_dot(root, style=style, fold=False).source == drawing.source


def test_an_operand_read_twice_has_two_edges():
    x = parameter(2, "x")
    edges = dot_edges(to_dot(x * x))
    assert [name for _, _, name in edges] == ["e_n0_n1_0", "e_n0_n1_1", "e_n1_r0_0"]


def test_the_same_graph_gives_the_same_bytes_in_another_process():
    program = (
        "from tests.test_pictures import *\n"
        "import sys; sys.stdout.buffer.write(to_dot(Net().loss, args=BATCH).source.encode())"
    )
    root = os.path.dirname(os.path.dirname(__file__))
    for seed in ("0", "1"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": root}
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, check=True
        )
        assert done.stdout.decode() == to_dot(Net().loss, args=BATCH).source


def test_backward_changes_nothing_in_the_picture_and_drawing_nothing_in_the_graph():
    x = parameter(3, "x")
    y = (x * x).sum()
    before = to_dot(y).source
    assert x.grad is None
    y.backward()
    gradient = x.grad
    assert gradient.tolist() == [2.0, 2.0, 2.0]
    assert to_dot(y).source == before
    to_dot(lambda x: tg.exp(x), args=(x,))
    assert x.grad is gradient
    assert gradient.tolist() == [2.0, 2.0, 2.0]
    plain = tg.tensor([1.0])
    to_dot(plain)
    assert plain._node is None


def test_drawing_leaves_the_way_back_open():
    x = parameter(3, "x")
    y = tg.exp(x).sum()
    to_dot(y)
    y.backward(retain_graph=True)
    to_dot(y)
    y.backward()
    assert np.allclose(x.grad.numpy(), 2 * np.e)


def test_new_values_of_a_leaf_are_not_shown_under_the_old_graph():
    w, rate, array = parameter(3, "w"), tg.tensor(0.25), np.array(0.5)
    loss = (w * rate * tg.asarray(array)).sum()
    before = to_dot(loss).source
    assert ">0.25<" in before
    assert ">0.5<" in before
    assert ">0.375<" in before
    w -= 100.0
    array[...] = 7.0
    assert to_dot(loss).source == before
    rate *= 8.0
    assert to_dot(loss).source == before.replace(">0.25<", ">changed<")


def test_drawing_10000_nodes_takes_linear_time_and_no_recursion():
    def seconds(count):
        x = parameter(2, "x")
        y = x
        for i in range(count // 2):
            with scope(f"Block{i // 5}"):
                y = tg.tanh(y * 1.5)
        start = time.process_time()
        source = to_dot(y, fold=False).source
        assert "nslimit=1" in source
        return time.process_time() - start

    small = min(seconds(1000) for _ in range(3))
    assert seconds(10_000) < 30 * small


def test_scopes_nest_to_any_depth():
    x = y = parameter(2)
    held = []
    for i in range(2000):
        held.append(scope(str(i)))
        held[-1].__enter__()
        y = y + x
    for one in reversed(held):
        one.__exit__(None, None, None)
    source = to_dot(y, fold=False).source
    assert source.count("subgraph") == 1999  # the innermost has one operation
    assert source.count("{") == source.count("}")


# ---------------------------------------------------------------- roles and lines


def test_roles():
    w, x = parameter(3, "w"), tg.tensor(np.ones(3), name="x")
    named, nameless = tg.tensor(2.0, name="rate"), tg.tensor(0.25)
    cut = (w * w).detach()
    drawn = picture(tg.exp(w * x * named * nameless * cut).reshape(3, 1))
    assert lines(drawn, "param") == [["w", "(3,)"]]
    assert lines(drawn, "input") == [["x", "(3,)"], ["rate", "scalar ()"]]
    assert lines(drawn, "const") == [["0.25"], ["detached", "(3,)"]]
    assert lines(drawn, "view") == [["reshape", "(3, 1)"]]
    assert lines(drawn, "result") == [["r0", "(3, 1)"]]
    assert len(lines(drawn, "op")) == 5
    source = to_dot(w * x * nameless).source
    for role in ("param", "input", "const", "op", "result"):
        line = next(one for one in source.splitlines() if f"class={role} " in one)
        look = style.LOOKS[role]
        for key in ("fillcolor", "shape", "style"):
            assert re.search(rf'\b{key}="?{re.escape(look[key])}"?[ \]]', line), (role, key)


@pytest.mark.parametrize("style", ["structure", "textbook"])
def test_without_a_title_there_is_no_head(style):
    x = parameter((), "x")
    svg = svg_of(to_dot(x * 2, title="", style=style))
    assert not any("operation" in text or "value" in text for text in texts(svg))
    assert svg[0].text == "loss"  # screen readers still have a title


def test_only_what_occurs_is_in_the_legend():
    x = parameter(3, "x")
    plain = to_dot(x + x).source
    assert "operation</font>" in plain
    for absent in ("input", "constant", "view", "no gradient", "broadcast"):
        assert f"{absent}</font>" not in plain
    assert "no gradient</font>" in to_dot(x + np.ones(3)).source
    assert "< broadcast</font>" in to_dot(x + np.ones((2, 3))).source.replace("&lt;", "<")
    assert "operation</font>" not in to_dot(x + x, legend=False).source


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda a: a * 0.5, "multiply × 0.5"),
        (lambda a: 0.5 * a, "multiply × 0.5"),
        (lambda a: 1 - a, "subtract 1 − ·"),
        (lambda a: a - 1, "subtract − 1"),
        (lambda a: a / -3.0, "divide ÷ −3"),
        (lambda a: a * (1 / 3), "multiply × 0.33333"),
        (lambda a: a**3, "pow ** 3"),
        (lambda a: 2**a, "pow 2 ** ·"),
        (lambda a: tg.maximum(0.0, a), "maximum(0, ·)"),
    ],
)
def test_numbers_are_written_into_the_operation(make, expected):
    drawn = picture(make(parameter(3, "a")))
    assert lines(drawn, "op")[0][0] == expected
    assert not lines(drawn, "const")


def test_operand_order():
    a, b = parameter((3, 3), "a"), parameter((3, 3), "b")
    assert operation(a @ b) == ["matmul", "a @ b", "(3, 3)"]
    assert operation(b - a)[1] == "b − a"
    assert operation(a + b) == ["add", "(3, 3)"]
    assert operation(tg.where(tg.tensor([True, False, True], name="m"), a, 0.0)) == [
        "where(·, ·, 0)", "where(m, a, 0)", "(3, 3)",
    ]  # fmt: skip
    drawn = picture((a * a) @ b)
    marks = {(one.tail.lines[0][1], one.mark) for one in drawn.arrows}
    assert {("multiply", "1"), ("b", "2"), ("a", "")} <= marks
    assert "<b>1</b>" in to_dot((a * a) @ b).source
    assert not any(one.mark for one in picture(a @ b).arrows)


def test_operands_of_different_kinds_need_no_numbers():
    x = parameter((2, 3), "x")
    assert not any(one.mark for one in picture(tg.softmax_cross_entropy(x * 2, [0, 1])).arrows)
    chosen = picture(tg.where(x.detach() > 0, x * 2, x * 3)).arrows
    assert [one.mark for one in chosen if one.head.lines[0][1] == "where"] == ["1", "2", "3"]


def test_the_names_of_many_operands_are_cut():
    parts = [parameter(1, f"part{i}") for i in range(100)]
    _, told, _ = operation(tg.concat(parts))
    assert told.startswith("concat(part0, part1, ")
    assert len(told) == 80


def test_parameters_of_an_operation_that_are_not_its_defaults():
    a = parameter((2, 3, 4), "a")
    assert operation(a.sum(axis=(0, 2))) == ["sum", "axes (0, 2)", "(3,)"]
    assert operation(a.mean(axis=1, keepdims=True))[1] == "axis 1, keepdims"
    assert operation(a.sum()) == ["sum", "scalar ()"]
    assert operation(tg.softmax(a, axis=0))[1] == "axis 0"
    image = parameter((1, 4, 4), "b")
    assert "window 2 × 2, stride 2" in str(picture(tg.nn.max_pool2d(image, 2)))
    filters = tg.tensor(np.ones((1, 1, 3, 3)))
    assert "window 3 × 3, padding (1, 0, 1, 0)" in str(
        picture(tg.nn.conv2d(image, filters, padding=(1, 0)))
    )
    index = a[0, 1:, None, ..., np.array([0, 1])]
    assert lines(picture(index), "view")[0][1] == "[0, 1:, None, …, array (2,)]"
    assert lines(picture(a.astype("float32")), "view")[0][1] == "to float32"


def test_dtypes_are_noted_where_they_differ_from_the_majority():
    a = parameter(2, "a")
    drawn = picture(tg.exp(a).astype("float32"))
    assert lines(drawn, "view")[0][-1] == "(2,) float32"
    assert lines(drawn, "param")[0][-1] == "(2,)"
    assert "float64 unless noted" in drawn.caption
    assert picture(a + a).caption.endswith("· float64")


def test_dashed_where_no_gradient_flows():
    x, w = tg.tensor(np.ones(3), name="x"), parameter(3, "w")

    def f(x):
        inner = tg.exp(x)
        return tg.where(inner > w, inner * w, w)

    out, _ = record(f, (x,))
    flows = {(one.tail.lines[0][1], one.head.lines[0][1]): one.gradient
             for one in picture(out).arrows}  # fmt: skip
    assert flows[("x", "exp")] is False
    assert flows[("exp", "multiply")] is False
    assert flows[("w", "multiply")] is True
    assert flows[("w", "where")] is True
    assert flows[("w", "greater")] is False  # a comparison has no gradient
    assert flows[("greater", "where")] is False
    dashed = {name for _, _, name in dot_edges(to_dot(out))
              if re.search(rf"id={name} .*style=dashed", to_dot(out).source)}  # fmt: skip
    assert dashed == {one.id for one in picture(out).arrows if not one.gradient}


@pytest.mark.parametrize(
    ("small", "large", "told"),
    [
        ((3,), (2, 3), ("(3,) → (2, 3)", "back: sum over the 2 rows (axis 0)")),
        ((2, 1), (2, 3), ("(2, 1) → (2, 3)", "back: sum over the 3 columns (axis 1)")),
        ((), (2, 3), ("() → (2, 3)", "back: sum over axes 0, 1")),
        ((), (3,), ("() → (3,)", "back: sum over axis 0")),
        ((1, 3, 1), (2, 3, 4), ("(1, 3, 1) → (2, 3, 4)", "back: sum over axes 0, 2")),
        ((3,), (1, 3), ("(3,) → (1, 3)", "back: sum over the 1 row (axis 0)")),
        ((2, 3), (2, 3), ()),
    ],
)
def test_broadcast_edges_say_what_is_summed_back(small, large, told):
    a, b = parameter(small, "a"), parameter(large, "b")
    vertical = picture(a + b, direction="TB").arrows
    assert [one.stretched for one in vertical] == [told, (), ()]
    frozen = picture(tg.tensor(np.ones(small), name="a") + b).arrows[0]
    assert frozen.stretched == told[:1]
    source = to_dot(a + b).source
    assert ("arrowhead=crow" in source) == bool(told)
    assert (style.LIGHT["broadcast"] in source) == bool(told)
    summed = (np.ones(large).size // np.ones(small).size) or 1
    (a + b).sum().backward()
    assert a.grad.numpy().max() == summed  # the picture says what the engine does


def test_matmul_broadcasts_all_but_the_last_two_axes():
    assert not any(one.stretched for one in picture(parameter((2, 3)) @ parameter((3,))).arrows)
    batch = picture(parameter((5, 2, 3)) @ parameter((3, 4)), direction="TB").arrows
    assert batch[1].stretched == ("(3, 4) → (5, 3, 4)", "back: sum over axis 0")
    assert batch[0].stretched == ()


def test_a_number_is_no_broadcast():
    assert not any(one.stretched for one in picture(parameter((2, 3)) * 2).arrows)


# ---------------------------------------------------------------- scopes


def regions(drawn):
    return {one.name: within(drawn, one) for one in drawn.regions}


def within(drawn, region):
    return [box.lines[0][1] for box in drawn.boxes if box.region is region]


def test_scopes_hold_their_operations_and_parameters():
    x, w, b = tg.tensor(np.ones((2, 3)), name="x"), parameter((3, 3), "w"), parameter(3, "b")
    with scope("Outer"):
        with scope("Inner"):
            h = x @ w + b
        h = tg.exp(h)
    drawn = picture(h)
    assert regions(drawn) == {"Outer": ["exp"], "Inner": ["w", "matmul", "b", "add"]}
    assert [one.parent.name for one in drawn.regions] == ["", "Outer"]
    assert within(drawn, drawn.outside) == ["x", "r0"]
    outer, inner = (to_dot(h).source.index(f"cluster_scope{i}") for i in (1, 2))
    assert outer < inner


def test_a_scope_of_one_operation_is_that_operation():
    x = parameter(3, "x")
    with scope("Block"), scope("Relu"):
        y = tg.relu(x)
    y.name = "h"
    drawn = picture(tg.exp(y))
    assert not drawn.regions
    assert lines(drawn, "op")[0] == ["Block / Relu", "h = relu", "(3,)"]
    assert next(one for one in drawn.boxes if one.role == "op").lines[0][0] == "name"


def test_a_shared_parameter_lies_in_the_common_scope_of_its_users():
    w = parameter((2, 2), "w")
    y = w
    with scope("Net"):
        for name in ("A", "B"):
            with scope(name):
                y = tg.exp(y @ w)
    drawn = picture(y)
    assert regions(drawn) == {"Net": ["w"], "A": ["matmul", "exp"], "B": ["matmul", "exp"]}
    assert len(lines(drawn, "param")) == 1


def test_a_scope_entered_twice_is_two_regions():
    y = parameter(2)
    for _ in range(2):
        with scope("A"):
            y = tg.tanh(tg.tanh(y))
    assert [one.name for one in picture(y).regions] == ["A", "A"]


def test_the_spine_is_what_a_reader_follows():
    drawing = to_dot(Net().loss, args=BATCH)
    grouped = re.findall(r"^\t+(\w+) \[.*class=(\w+) .*group=spine", drawing.source, re.M)
    assert [role for _, role in grouped].count("op") == 6
    assert {role for _, role in grouped} == {"input", "op", "result"}
    entering = re.findall(r"minlen=2", drawing.source)
    assert len(entering) == 2
    assert drawing.source.count("weight=100") == 7


# ---------------------------------------------------------------- what is taken


def test_several_results():
    x = parameter(3, "x")
    y = x * x
    drawing = to_dot({"square": y, "total": y.sum(), "x itself": x})
    assert drawing.source.count("class=result") == 3
    for name in ("square", "total", "x itself"):
        assert f"<b>{name}</b>" in drawing.source
    assert "square, total, x itself" in drawing.source


def test_a_function_is_called_once_with_its_arguments():
    calls = []

    def area(width, height):
        calls.append(width.shape)
        return width * height

    drawing = to_dot(area, args=(np.ones(3), np.ones(3)))
    assert calls == [(3,)]
    for text in ("<b>area</b>", "<b>width</b>", "<b>height</b>"):
        assert text in drawing.source
    assert "<b>mine</b>" in to_dot(area, args=(np.ones(3), np.ones(3)), title="mine").source
    several = to_dot(lambda x: (x + 1, {"a": x}["a"] * 2), args=(np.ones(2),))
    assert "<b>out0</b>" in several.source
    assert "<b>out1</b>" in several.source
    twice = to_dot(lambda x: (x, x), args=(np.ones(2),))
    assert dot_nodes(twice) == ["n0", "r0", "r1"]
    named = to_dot(lambda x: {"left": x + 1, "right": x * 2}, args=(np.ones(2),))
    assert "<b>right</b>" in named.source


class Model:
    def __init__(self):
        self.params = {"W": parameter((8, 3), "W")}

    def predict(self, x):
        return x @ self.params["W"]

    def loss(self, x, t):
        return tg.softmax_cross_entropy(self.predict(x), t)


def test_a_model_is_drawn_by_the_method_that_takes_the_arguments():
    x, t = BATCH
    assert to_dot(Model(), args=(x, t)).source == to_dot(Model().loss, args=(x, t)).source
    assert to_dot(Model(), args=(x,)).source == to_dot(Model().predict, args=(x,)).source
    with pytest.raises(ArgumentError, match=r"Model has loss\(x, t\) and predict\(x\)"):
        to_dot(Model())


def test_a_recorded_walk_is_drawn_as_derivatives_of_what_it_belongs_to():
    x = parameter(3, "x")
    loss = tg.tanh(x).sum()
    loss.name = "L"
    loss.backward(create_graph=True)
    drawn = picture(x.grad)
    assert [region.name for region in drawn.regions] == ["backward of tanh"]
    assert [box.region.name for box in drawn.boxes if box.role == "op"][1:] == 3 * [
        "backward of tanh"
    ]
    assert lines(drawn, "const") == [["gradient", "(3,)"]]  # that of the sum
    assert not lines(drawn, "input")
    squares = picture(tg.square(x.grad))
    assert "∂L/∂x = multiply" in [text for one in lines(squares, "op") for text in one]


def test_a_result_shows_its_value_and_its_name():
    x = parameter((), "x")
    assert lines(picture(x * 715), "result") == [["r0", "715"]]
    assert ">2.3026<" in to_dot(tg.exp(x * 0) * 2.302585).source
    assert "<b>loss</b>" in to_dot(x * 2).source
    assert "<b>out</b>" in to_dot(parameter(2) * 2).source
    named = x * 2
    named.name = "price"
    assert "<b>price</b>" in to_dot(named).source
    assert "price = " not in to_dot(named).source
    assert lines(picture(x * -float("inf")), "result")[0][1] == "−inf"


def test_what_was_not_recorded_is_drawn_as_it_is():
    drawn = picture(tg.tensor([1.0, 2.0]))
    assert [one.role for one in drawn.boxes] == ["input", "result"]
    assert drawn.caption == "0 operations · float64"


@pytest.mark.parametrize("obj", [1.0, None, np.ones(3), [1], {"a": 1}, "x"])
def test_other_things_are_refused(obj):
    with pytest.raises(DTypeError, match="a Tensor, a dict of Tensors, a function with"):
        to_dot(obj)


def test_arguments_that_make_no_sense():
    x = parameter(2)
    with pytest.raises(ArgumentError, match="nothing to draw"):
        to_dot({})
    with pytest.raises(ArgumentError, match="direction"):
        to_dot(x, direction="RL")
    with pytest.raises(ArgumentError, match="args"):
        to_dot(x, args=(x,))
    with pytest.raises(ArgumentError, match=r"args=\(x,\)"):
        to_dot(tg.exp, args=x)
    with pytest.raises(DTypeError, match="<lambda> returned is of type int"):
        to_dot(lambda x: 3, args=(1.0,), title="t")
    with pytest.raises(DTypeError, match="<lambda> returned holds something of type int"):
        to_dot(lambda x: (x, 3), args=(1.0,))


# ---------------------------------------------------------------- names are text


@pytest.mark.parametrize("name", [*HOSTILE, "x" * 10_000])
def test_names_are_shown_as_text_and_nothing_else(name):
    x = parameter((2, 2), name)
    with scope(name):
        y = tg.exp(x @ x)
    y.name = name
    drawing = to_dot({name: tg.exp(y)}, title=name)
    assert dot_nodes(drawing) == ["n3", "r0", "n0", "n1", "n2"]
    svg = svg_of(drawing)
    assert not list(svg.iter("{http://www.w3.org/2000/svg}a"))
    assert not list(svg.iter("{http://www.w3.org/2000/svg}script"))
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
    titles = [one.text or "" for one in svg.iter("{http://www.w3.org/2000/svg}title")]
    assert f"parameter {shown}: (2, 2) float64" in titles
    cut = shown if len(shown) <= 80 else shown[:79] + "…"
    assert any(cut.strip() in text for text in texts(svg))


@with_settings(max_examples=200, deadline=None)
@given(st.text(max_size=20))
def test_no_name_leaves_its_label(name):
    text = style.label(picture(parameter(2, name)).boxes[0])
    ElementTree.fromstring(text[1:-1])
    assert "\\" not in text.replace("\\\\", "")


# ---------------------------------------------------------------- files


def test_svg_for_people_and_scripts(tmp_path, each_engine):
    path = render(Net().loss, tmp_path / "net.svg", args=BATCH)
    content = path.read_text(encoding="utf-8")
    assert content.startswith("<svg")
    svg = ElementTree.fromstring(content)
    assert svg.get("role") == "img"
    ids = {one.get("id"): one for one in svg.iter()}
    title, summary = (ids[one] for one in svg.get("aria-labelledby").split())
    assert title.text == "Net.loss"
    assert "in order: matmul, add, relu, matmul, add, softmax_cross_entropy." in summary.text
    assert [one.tag.rpartition("}")[2] for one in svg][:3] == ["title", "desc", "style"]
    assert ids["n2"].get("class") == "node op"
    assert ids["scope1"].get("class") == "cluster scope"
    assert ids["n2"][0].text == "matmul: (4, 8) @ (8, 5) → (4, 5) float64"
    assert ids["e_n0_n2_0"][0].text == "x → matmul (no gradient)"
    assert ids["e_n3_n4_1"][0].text.startswith("b1 → add ((5,) → (4, 5) back: sum over the 4 rows")
    assert 'font-family="Arial"' not in content
    assert style.FONTS in content
    assert render(Net().loss, tmp_path / "again.svg", args=BATCH).read_text("utf-8") == content


@pytest.fixture(params=["dot", "graphviz-pure"])
def each_engine(request, monkeypatch, tmp_path):
    """Draw with one program of the ladder, the second as if the first were not there."""
    if request.param != "dot":
        monkeypatch.setenv("PATH", str(tmp_path))
    try:
        found = engine.find_engine()
    except MissingDependencyError:
        found = None
    if found is None or found.pure != (request.param != "dot"):
        pytest.skip(f"{request.param} is not installed")


def overlaps(svg):
    """Return the texts of a picture that lie on another one, or outside."""
    left, top, width, height = map(float, svg.get("viewBox").split())
    (graph,) = (one for one in svg.iter() if one.get("id") == "graph0")
    dx, dy = map(float, re.search(r"translate\(([-\d.]+)[ ,]+([-\d.]+)\)", graph.get("transform"))
                 .groups())  # fmt: skip
    boxes, found = [], []
    for one in svg.iter("{http://www.w3.org/2000/svg}text"):
        raw = "".join(one.itertext())
        text, size = raw.strip(), float(one.get("font-size"))
        wide = 0.45 * size * len(text)  # letters of Arial are wider than this on average
        start = {"start": 0.0, "middle": 0.5, "end": 1.0}[one.get("text-anchor")]
        x, y = float(one.get("x")) - start * wide, float(one.get("y"))
        x += 0.278 * size * (len(raw) - len(raw.lstrip()))
        if text:
            boxes.append((x, y - 0.7 * size, x + wide, y, text))
    assert len(boxes) > 35
    for i, (x0, y0, x1, y1, text) in enumerate(boxes):
        if not (left <= x0 + dx <= x1 + dx <= left + width):
            found.append(text)
        if not (top <= y0 + dy <= y1 + dy <= top + height):
            found.append(text)
        for u0, v0, u1, v1, other in boxes[:i]:
            if not (x1 <= u0 or u1 <= x0 or y1 <= v0 or v1 <= y0):
                found.append((text, other))
    return found


@pytest.mark.parametrize("direction", ["LR", "TB"])
def test_no_text_overlaps_and_nothing_is_cut_off(each_engine, direction):
    assert not overlaps(svg_of(to_dot(Net().loss, args=BATCH, direction=direction)))


def test_dark_mode_has_a_pair_for_each_colour(each_engine):
    drawing = to_dot(Net().loss, args=BATCH)
    svg = drawing.pipe("svg", encoding="utf-8")
    (sheet,) = re.findall(r"<style>(.*?)</style>", svg, re.S)
    assert sheet.startswith("@media (prefers-color-scheme:dark){")
    assert sheet.count("{") == sheet.count("}")
    used = set(re.findall(r'(fill|stroke)="(#[0-9a-f]{6})"', svg.replace(sheet, "")))
    assert len(used) > 8
    for what, colour in used:
        assert f'svg [{what}="{colour}"]{{{what}:#' in sheet


def contrast(first, second):
    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("mode", [0, 1])
def test_text_can_be_read_in_both_modes(mode):
    colours = {name: pair[mode] for name, pair in style.PALETTE.items()}
    grounds = ["bg", "param", "input", "const", "op", "even scope", "odd scope"]
    for ground in grounds:
        for ink in ("ink", "mute"):
            assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
    assert contrast(colours["result text"], colours["result"]) >= 4.5
    for ground in ("bg", "even scope", "odd scope"):
        assert contrast(colours["broadcast"], colours[ground]) >= 4.5
    light = [pair[0] for pair in style.PALETTE.values()]
    assert len(set(light)) == len(light)


def test_png_has_pixels(tmp_path, each_engine):
    path = render(Net().loss, tmp_path / "net.png", args=BATCH)
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", content[16:24])
    assert width > 2000
    assert height > 400
    data, at = b"", 8
    while at < len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        if content[at + 4 : at + 8] == b"IDAT":
            data += content[at + 8 : at + 8 + length]
        at += 12 + length
    assert len(set(zlib.decompress(data))) > 50  # more than one flat colour


def test_dot_needs_no_program(tmp_path, no_engine):
    path = render(parameter(2) * 2, str(tmp_path / "x.DOT"))
    with open(path, encoding="utf-8") as file:
        assert file.read() == to_dot(parameter(2) * 2).source


def test_a_digraph_that_users_may_change(tmp_path):
    drawing = to_dot(parameter(2, "x") * 2)
    other = drawing.copy()
    other.node("note", "mine & yours")
    assert "note" not in drawing.source
    assert "mine & yours" in texts(svg_of(other))
    titles = [one.text for one in svg_of(other).iter("{http://www.w3.org/2000/svg}title")]
    assert "note" in titles
    assert "parameter x: (2,) float64" in titles
    target = drawing.render("graph", directory=tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["graph", "graph.svg"]
    assert target.endswith("graph.svg")
    drawing.render(outfile=tmp_path / "b.png", cleanup=True)
    assert sorted(os.listdir(tmp_path)) == ["b.png", "graph", "graph.svg"]
    assert "image/svg+xml" in drawing._repr_mimebundle_()
    with pytest.raises(ArgumentError, match="format"):
        drawing.pipe("gif")


# ---------------------------------------------------------------- what can go wrong


@pytest.fixture
def no_engine(monkeypatch, tmp_path_factory):
    """Take away every program of the ladder; return a folder on PATH to put another in."""
    folder = tmp_path_factory.mktemp("bin")
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(engine.sysconfig, "get_path", lambda name: str(folder / "none"))
    return folder


posix = pytest.mark.skipif(os.name == "nt", reason="the stand-in for the program is a shell script")


def stand_in(folder, name, body):
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def test_ending_and_style_that_are_unknown(tmp_path):
    calls = []
    for name, more in (("x.gif", {}), ("x", {}), ("x.svg", {"style": "oil"})):
        with pytest.raises(ArgumentError, match=r"\.svg|structure"):
            render(lambda x: calls.append(x), tmp_path / name, args=(1.0,), **more)
    with pytest.raises(DTypeError, match="path"):
        render(parameter(2), 3)
    assert not calls
    assert not os.listdir(tmp_path)


def test_a_folder_that_cannot_be_written(tmp_path):
    x = parameter(2)
    (tmp_path / "file").write_text("here before")
    (tmp_path / "taken.dot").mkdir()
    for name in ("missing/x.dot", "file/x.dot", "taken.dot"):
        with pytest.raises(FileError, match=r"^(?!render).*cannot be written"):
            render(x, tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == ["file", "taken.dot"]
    assert not os.listdir(tmp_path / "taken.dot")


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "x.dot"
    path.write_text("before")

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(engine.os, "replace", full)
    with pytest.raises(FileError, match="No space left"):
        render(parameter(2), path)
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["x.dot"]


def test_without_a_program_the_error_says_what_to_do(tmp_path, no_engine):
    with pytest.raises(MissingDependencyError, match="pip install graphviz-pure"):
        render(parameter(2), tmp_path / "x.svg")
    assert not os.listdir(tmp_path)


@posix
def test_the_ladder_prefers_dot_then_the_scripts_folder_then_path(no_engine, monkeypatch):
    scripts = no_engine / "scripts"
    scripts.mkdir()
    monkeypatch.setattr(engine.sysconfig, "get_path", lambda name: str(scripts))
    stand_in(no_engine, "graphviz-pure", "")
    assert engine.find_engine() == (str(no_engine / "graphviz-pure"), True)
    stand_in(scripts, "graphviz-pure", "")
    assert engine.find_engine() == (str(scripts / "graphviz-pure"), True)
    stand_in(no_engine, "dot", "")
    assert engine.find_engine() == (str(no_engine / "dot"), False)


@posix
def test_pdf_and_large_png_need_dot(tmp_path, no_engine):
    stand_in(no_engine, "graphviz-pure", "echo never run; exit 3")
    with pytest.raises(MissingDependencyError, match="svg and png work"):
        render(parameter(2), tmp_path / "x.pdf")
    y = parameter(2)
    for _ in range(400):
        y = tg.tanh(y)
    with pytest.raises(ArgumentError, match="Write an svg"):
        render(y, tmp_path / "x.png", fold=False)
    stand_in(no_engine, "dot", "/bin/cat > /dev/null; echo %PDF")
    assert render(y, tmp_path / "x.pdf").read_bytes() == b"%PDF\n"
    assert os.listdir(tmp_path) == ["x.pdf"]


@posix
def test_a_program_that_takes_too_long_is_ended_with_all_it_started(tmp_path, no_engine):
    mark = tmp_path / "alive"
    stand_in(no_engine, "graphviz-pure", "echo '<svg></svg>'")
    stand_in(no_engine, "dot", f"(/bin/sleep 1; echo > {mark}) &\nwait")
    start = time.monotonic()
    with pytest.raises(GraphError, match=r"^(?!render).*0\.2 seconds.*timeout=.*depth="):
        render(parameter(2), tmp_path / "x.svg", timeout=0.2)
    assert time.monotonic() - start < 0.9
    time.sleep(1.1)
    assert not os.listdir(tmp_path)  # neither a picture nor what the program's child would write


@posix
@pytest.mark.parametrize("body", ["echo broken pipe >&2; exit 3", "exit 0", "kill -9 $$"])
def test_a_program_that_fails(tmp_path, no_engine, body):
    stand_in(no_engine, "dot", body)
    with pytest.raises(GraphError, match="dot failed with status"):
        render(parameter(2), tmp_path / "x.svg")
    assert not os.listdir(tmp_path)


@posix
def test_a_program_that_is_none(tmp_path, no_engine):
    (no_engine / "dot").write_bytes(b"\x7fELF no program")
    (no_engine / "dot").chmod(0o755)
    with pytest.raises(GraphError, match="cannot be run"):
        render(parameter(2), tmp_path / "x.svg")


def test_a_notebook_shows_a_result_with_its_graph(each_engine):
    x = parameter(2, "x")
    bundle = (x * 2)._repr_mimebundle_(include=None, exclude=None)
    assert bundle["text/plain"] == repr(x * 2)
    assert "multiply × 2" in bundle["image/svg+xml"]
    other = (x * 3)._repr_mimebundle_()["image/svg+xml"]
    ids = [set(re.findall(r' id="([^"]*)"', one)) for one in (bundle["image/svg+xml"], other)]
    assert not ids[0] & ids[1]  # for they stand in one page
    assert list(x._repr_mimebundle_()) == ["text/plain"]  # a leaf has no graph
    inside = []
    vmap(lambda one: inside.append((one * 2)._repr_mimebundle_()) or one)(np.ones(2))
    assert [list(one) for one in inside] == [["text/plain"]]  # where values differ, no one graph


def test_without_a_program_a_notebook_shows_the_values(no_engine):
    x = parameter(2, "x")
    assert list((x * 2)._repr_mimebundle_()) == ["text/plain"]


def test_importing_the_engine_does_not_import_graphviz():
    program = "import sys, tinygraph; sys.exit('graphviz' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
