"""Big graphs: what is drawn as one box, that it is the same graph, and that it takes no longer."""

import os
import random
import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as with_settings
from hypothesis import strategies as st

from tinygraph import namespace as tg
from tinygraph.errors import ArgumentError
from tinygraph.modes import scope
from tinygraph.tape import Leaf, Node, operands, reachable
from tinygraph.testing.programs import programs
from tinygraph.transforms import record
from tinygraph.viz import render, to_dot
from tinygraph.viz.graph import read


def parameter(shape=(), name=None):
    return tg.tensor(np.ones(shape), requires_grad=True, name=name)


def picture(obj, **options):
    results = obj if isinstance(obj, dict) else {"out": obj}
    return read("title", list(results.items()), None, **options)


def folds(picture):
    return [[text for _, text in box.lines] for box in picture.boxes if box.role == "folded"]


def names(picture):
    return [lines[0] for lines in folds(picture)]


def drawn(picture):
    """Return what stands on each box for operations."""
    return [box.lines[0][1] for box in picture.boxes if box.role in ("op", "view", "folded")]


class ResidualMLP:
    def __init__(self, blocks=12, odd=None):
        self.W, self.b = parameter((7, 5), "W"), parameter(5, "b")
        self.blocks = [(parameter((5, 5)), parameter(5), parameter((5, 5)), parameter(5))
                       for _ in range(blocks)]  # fmt: skip
        self.V, self.c = parameter((5, 3), "V"), parameter(3, "c")
        self.odd = odd

    def loss(self, x, t):
        with scope("Stem"):
            h = tg.relu(x @ self.W + self.b)
        for i, (A, a, B, b) in enumerate(self.blocks, 1):
            with scope(f"Block{i}"):
                inner = h @ A + a
                inner = tg.tanh(inner) if i == self.odd else tg.relu(inner)
                h = inner @ B + b + h
        with scope("Head"):
            y = h @ self.V + self.c
        return tg.softmax_cross_entropy(y, t)


BATCH = (tg.tensor(np.ones((4, 7)), name="x"), tg.tensor(np.array([0, 1, 2, 0]), name="t"))


def chain(length, x=None):
    y = parameter(2, "x") if x is None else x
    for i in range(length):
        y = -y if i % 2 else tg.exp(y)
    return y


# ---------------------------------------------------------------- it is the same graph


def check(results, **options):
    """Compare what is drawn with the tape."""
    seen = picture(results, **options)
    nodes = reachable([one._node for one in results.values()], links=operands)
    assert sorted(map(id, (one for box in seen.boxes for one in box.nodes))) == sorted(
        map(id, nodes)
    )
    box_of = {node: box for box in seen.boxes for node in box.nodes}
    joined = {(box_of[one], box_of[node]) for node in nodes for one in node.inputs
              if isinstance(one, Node | Leaf) and box_of[one] is not box_of[node]}  # fmt: skip
    arrows = [(arrow.tail, arrow.head) for arrow in seen.arrows if arrow.head.role != "result"]
    assert set(arrows) == joined
    folded = [pair for pair in arrows if "folded" in (pair[0].role, pair[1].role)]
    assert len(folded) == len(set(folded))
    assert len({arrow.id for arrow in seen.arrows}) == len(seen.arrows)
    single = sum(isinstance(one, Node | Leaf) for node in nodes for one in node.inputs
                 if box_of[node].role != "folded"
                 and isinstance(one, Node | Leaf) and box_of[one].role != "folded")  # fmt: skip
    assert len(arrows) - len(folded) == single  # x·x has two

    waiting = {box: sum(head is box for _, head in joined) for box in seen.boxes}
    ready = [box for box, count in waiting.items() if not count]
    for box in ready:  # no fold makes a cycle
        for tail, head in joined:
            if tail is box:
                waiting[head] -= 1
                if not waiting[head]:
                    ready.append(head)
    assert len(ready) == len(seen.boxes)

    operations = sum(node.plan is not None for node in nodes)
    boxes = sum(any(node.plan is not None for node in box.nodes) for box in seen.boxes)
    assert seen.caption.startswith(f"{operations:,} operation")
    assert ("drawn as" in seen.caption) == (boxes < operations)
    if boxes < operations:
        assert f" drawn as {boxes:,}" in seen.caption
    if "parameter" in seen.caption:
        assert f"{sum(one.plan is None and one.requires_grad for one in nodes)} param" in (
            seen.caption
        )
    for box in seen.boxes:
        assert (box.role == "folded") == (len(box.nodes) > 1)
        said = [int(n) for text in box.lines for n in re.findall(r"^(\d+) ops?\b", text[1])]
        if said:
            assert said == [sum(node.plan is not None for node in box.nodes)]
    if options.get("fold") is not False and "depth" not in options:
        assert sum(box.role != "result" for box in seen.boxes) <= max(
            options.get("max_nodes", 150) + 1, 1
        )
    drawing = to_dot(results, **options)
    assert drawing.source == to_dot(results, **options).source
    return seen


def random_results(rng):
    """Record a graph of blocks that repeat, nest, skip, share, and are sometimes alike."""
    made = [parameter((), "p"), parameter((), "q"), tg.tensor(2.0, name="x")]

    def step(recipe):
        kind, back, other = recipe
        a, b = made[-1], made[-1 - back % len(made)]
        made.append([lambda: tg.tanh(a), lambda: a * b, lambda: b - made[other % 3],
                     lambda: a * parameter(), lambda: -b, lambda: a * 0.5][kind]())  # fmt: skip

    def block(depth):
        recipe = [(rng.randrange(6), rng.choice([0, 0, 1, 2, 5]), rng.randrange(3))
                  for _ in range(rng.randint(1, 4))]  # fmt: skip
        inner = depth < 3 and rng.random() < 0.5
        name = rng.choice(["A", "B", "C"])
        for i in range(rng.choice([1, 1, 2, 3, 4, 7])):
            if rng.random() < 0.6:
                with scope(f"{name}{i}"):
                    for one in recipe:
                        step(one)
                    if inner:
                        block(depth + 1)
            else:
                for one in recipe:
                    step(one)

    for _ in range(rng.randint(1, 4)):
        block(0)
    results = {"end": made[-1]}
    if rng.random() < 0.4:
        results["other"] = rng.choice(made)
    return {name: one for name, one in results.items() if one._node is not None}


OPTIONS = st.fixed_dictionaries(
    {},
    optional={"depth": st.integers(0, 3), "fold": st.sampled_from([None, True, False]),
              "max_nodes": st.sampled_from([1, 4, 10, 30])},
)  # fmt: skip


@with_settings(max_examples=250, deadline=None)
@given(st.integers(0, 2**32), OPTIONS)
def test_boxes_divide_the_tape_and_arrows_join_them(seed, options):
    with np.errstate(all="ignore"):
        results = random_results(random.Random(seed))
        if results:
            check(results, **options)


@with_settings(max_examples=40, deadline=None)
@given(programs(), OPTIONS)
def test_random_programs_fold(program, options):
    arguments = [tg.tensor(one, requires_grad=True, name=name)
                 for name, one in program.inputs.items()]  # fmt: skip
    value = program(*arguments)
    if value._node is not None:
        check({"value": value}, **options)


def test_the_same_graph_gives_the_same_bytes_in_another_process():
    program = (
        "from tests.test_folding import *\n"
        "with np.errstate(all='ignore'):\n"
        "    made = random_results(random.Random(11))\n"
        "text = to_dot(made, fold=True, max_nodes=9).source\n"
        "text += to_dot(ResidualMLP().loss, args=BATCH, fold=True).source\n"
        "sys.stdout.buffer.write(text.encode())"
    )
    root = os.path.dirname(os.path.dirname(__file__))
    texts = set()
    for seed in ("0", "1"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": root}
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, check=True
        )
        texts.add(done.stdout.decode())
    assert len(texts) == 1
    assert "more nodes" in texts.pop()


# ---------------------------------------------------------------- scopes


def test_a_residual_net_is_folded_as_drawn_by_hand():
    drawing = to_dot(ResidualMLP().loss, args=BATCH, fold=True)
    seen = drawing.source
    for text in ("78 operations drawn as 7 · 52 parameters (778 values)", "folded</font>",
                 "<b>Block1 … Block12 × 12</b>", "each: matmul → add → relu → matmul → …",
                 "72 ops · 48 parameters (720 values)", "class=folded", "shape=box3d"):  # fmt: skip
        assert text in seen, text
    assert seen.count("subgraph") == 2
    assert "Block1 … Block12 × 12" in drawing.summary
    assert 'class="node folded"' in drawing.pipe("svg").decode()


def test_scopes_below_a_depth_are_a_box_each():
    net = ResidualMLP(3)
    seen = picture(net.loss(*BATCH), depth=0)
    assert folds(seen)[0] == ["Stem", "(4, 5)", "matmul → add → relu",
                              "3 ops · 2 parameters (40 values)"]  # fmt: skip
    assert drawn(seen) == ["Stem", "Block1", "Block2", "Block3", "Head", "softmax_cross_entropy"]
    inputs = [box.lines[0][1] for box in seen.boxes if box.role == "input"]
    assert inputs == ["x", "t"]
    assert not seen.regions
    assert not folds(picture(net.loss(*BATCH), depth=1))
    assert names(picture(net.loss(*BATCH), depth=0, fold=True))[1] == "Block1 … Block3 × 3"


def nested():
    h = parameter(2, "x")
    for i in range(2):
        with scope(f"Stage{i}"):
            h = h * 0.1
            for j in range(4):
                with scope(f"Layer{j}"):
                    with scope("Mix"):
                        h = tg.tanh(h) + h
                    h = h * parameter(2)
        h = -h
    return h


def test_nested_scopes_by_depth():
    for depth, boxes, frames in ((0, 4, 0), (1, 12, 2), (2, 20, 10), (3, 28, 18), (9, 28, 18)):
        seen = picture(nested(), depth=depth)
        assert (len(drawn(seen)), len(seen.regions)) == (boxes, frames), depth
    assert drawn(picture(nested(), depth=1, fold=True)) == [
        "multiply × 0.1", "Layer0 … Layer3 × 4", "negative",
        "multiply × 0.1", "Layer0 … Layer3 × 4", "negative",
    ]  # fmt: skip


def test_a_scope_around_one_fold_is_named_with_it():
    h = parameter(2)
    with scope("Encoder"):
        for i in range(3):
            with scope(f"Layer{i}"):
                h = tg.tanh(h) + h
    seen = picture(tg.exp(h), fold=True)
    assert names(seen) == ["Encoder / Layer0 … Layer2 × 3"]
    assert not seen.regions


def test_a_different_one_in_the_middle_stays_by_itself():
    seen = picture(ResidualMLP(9, odd=5).loss(*BATCH), fold=True)
    assert names(seen) == ["Block1 … Block4 × 4", "Block6 … Block9 × 4"]
    assert "Block5" in {region.name for region in seen.regions}


@pytest.mark.parametrize(
    "change",
    [
        lambda h: tg.exp(h) * h,  # another rule
        lambda h: h.astype("float32").astype("float64") * 2.0,
        lambda h: tg.tanh(h) * tg.exp(h),  # other wiring is in the next
        lambda h: tg.tanh(h) * tg.tanh(h),
    ],
)
def test_only_what_is_alike_folds(change):
    h = parameter(2)
    for i in range(5):
        with scope(f"Part{i}"):
            h = change(h) if i == 2 else tg.tanh(h) * h
    assert not folds(picture(h, fold=True))


def test_wiring_tells_scopes_apart():
    h, g = parameter(2), parameter(2) * 2.0
    for i in range(5):
        with scope(f"Part{i}"):
            a = tg.tanh(h)
            h = a * h - (h if i < 3 else a)
    assert names(picture(h - g, fold=True)) == ["Part0 … Part2 × 3"]


def test_names_count_without_their_digits():
    h = parameter(2)
    for name in ("conv2d_1", "conv2d_2", "conv3d_10", "conv_1", "conv_2", "conv_3"):
        with scope(name):
            h = tg.tanh(h) * h
    assert names(picture(h, fold=True)) == ["conv2d_1 … conv3d_10 × 3", "conv_1 … conv_3 × 3"]
    for i in range(3):
        with scope(f"Layer{i}"), scope("ab"[i % 2]):
            h = tg.tanh(h) * h
    assert len(names(picture(h, fold=True))) == 2
    for name in ("P1", "P2", "P3", "Q1", "Q2", "Q3"):
        with scope(name), scope("inner"):
            h = tg.tanh(h) * h
    assert names(picture(h, fold=True))[-2:] == ["P1 … P3 × 3", "Q1 … Q3 × 3"]


def test_scopes_of_one_name_are_told_once():
    h = parameter(2)
    for _ in range(3):
        with scope("Block"):
            h = tg.tanh(h) * h
    assert names(picture(h, fold=True)) == ["Block × 3"]


def test_side_by_side_scopes_and_what_they_compute_of_parameters_alone():
    x = parameter((2, 4), "x")
    heads = []
    for i in range(4):
        with scope(f"Head{i}"):
            heads.append(tg.tanh(x @ parameter((4, 3))) * 2.0)
    assert names(picture(tg.concat(heads, axis=1), fold=True)) == ["Head0 … Head3 × 4"]
    h = x
    for i in range(5):
        with scope(f"Normed{i}"):
            v = parameter((4, 4))
            h = tg.tanh(h) @ (v / tg.sqrt((v * v).sum()))
    assert names(picture(h, fold=True)) == ["Normed0 … Normed4 × 5"]


def test_a_period_of_several_scopes_and_operations():
    h = parameter(2)
    for i in range(4):
        with scope(f"Mix{i}"):
            a = tg.tanh(h) * h
        with scope(f"Add{i}"):
            h = tg.tanh(a) + a
    assert names(picture(h, fold=True)) == ["Mix0, Add0 … Mix3, Add3 × 4"]
    h = parameter(2)
    for i in range(4):
        with scope(f"Mix{i}"):
            a = tg.tanh(h) * parameter(2)
        h = h + a
    seen = picture(h, fold=True)
    assert drawn(seen) == ["Mix0 … Mix3 × 4"]
    assert folds(seen)[0][-1] == "12 ops · 5 parameters (10 values)"


def test_recorded_walks_fold():
    v = parameter(3, "v")
    h = v
    for i in range(30):
        with scope(f"Layer{i}"):
            h = tg.tanh(h * 1.1)
    h.sum().backward(create_graph=True)
    seen = names(picture((v.grad * v.grad).sum(), fold=True))
    assert "Layer0 … Layer29 × 30" in seen
    assert any(re.fullmatch(r"backward of \w+, backward of \w+ × (29|30)", one) for one in seen)


def test_a_result_is_not_in_the_middle_of_what_repeats():
    h = parameter(2)
    results = {}
    for i in range(8):
        with scope(f"Block{i}"):
            h = tg.tanh(h) * h
        if i == 3:
            results["middle"] = h
    results["end"] = h
    seen = picture(results, fold=True)
    assert names(seen) == ["Block0 … Block3 × 4", "Block4 … Block7 × 4"]
    ends = [arrow.tail.lines[0][1] for arrow in seen.arrows if arrow.head.role == "result"]
    assert ends == ["Block0 … Block3 × 4", "Block4 … Block7 × 4"]


# ---------------------------------------------------------------- leaves and arrows


def test_a_leaf_that_is_a_result_stays_a_box():
    x = parameter(2, "x")
    seen = check({"x": x, "y": chain(8, x)}, fold=True)
    assert [box.lines[0][1] for box in seen.boxes] == ["x", "exp → negative × 4", "x", "y"]


def test_a_parameter_shared_with_the_outside_stays_a_box():
    W, own = parameter((2, 2), "W"), parameter((2, 2), "own")
    h = parameter((2, 2), "x") * 1.0
    for i in range(3):
        with scope(f"Step{i}"):
            h = tg.tanh(h @ W @ own)
    seen = picture(h + W, fold=True)
    boxes = [box.lines[0][1] for box in seen.boxes if box.role == "param"]
    assert boxes == ["x", "W"]
    assert folds(seen)[0][-1] == "9 ops · 1 parameter (4 values)"


def test_few_inputs_stay_outside_many_go_in():
    def steps(count):
        h = parameter(2)
        for i in range(count):
            with scope(f"Step{i}"):
                h = tg.tanh(h * tg.tensor([1.0, 2.0], name=f"x{i}"))
        return picture(h, fold=True)

    assert [box.lines[0][1] for box in steps(3).boxes if box.role == "input"] == ["x0", "x1", "x2"]
    many = steps(4)
    assert not [box for box in many.boxes if box.role == "input"]
    assert folds(many)[0][-1] == "8 ops · 1 parameter (2 values) · 4 inputs"


def test_several_arrows_become_one_that_says_if_any_carries_a_gradient():
    def f(x):
        with scope("Two"):
            a, b = w * 2.0, x * w
        with scope("Read"):
            return tg.where(a > b, a, b)  # the comparison gives no gradient, and is the first

    w = parameter(2, "w")
    drawn, _ = record(f, (tg.tensor([1.0, 2.0], name="x"),))
    seen = picture(drawn, depth=0)
    arrows = [(arrow.id, arrow.gradient, arrow.mark) for arrow in seen.arrows]
    assert arrows == [
        ("e_n0_n1_0", False, ""), ("e_n1_n2_0", True, ""), ("e_n2_r0_0", True, ""),
    ]  # fmt: skip
    assert [box.lines[0][1] for box in seen.boxes] == ["x", "Two", "Read", "out"]


def test_an_arrow_for_several_has_no_mark_and_no_broadcast_and_is_on_the_spine_if_one_is():
    with scope("Two"):
        a = parameter(2) * 2.0
        b = tg.tanh(parameter((2, 2)) * a)
    seen = picture(a - b, depth=0)
    (arrow,) = [one for one in seen.arrows if one.tail.role == "folded"]
    assert (arrow.mark, arrow.stretched, arrow.spine) == ("", (), True)
    (first, second) = [one for one in picture(a - b).arrows if one.head.lines[0][1] == "subtract"]
    assert (first.mark, bool(first.stretched), first.spine) == ("1", True, False)
    assert (second.mark, second.spine) == ("2", True)


def test_marks_and_broadcasts_outside_a_fold_are_kept():
    h = parameter((2, 2), "x")
    c = parameter(2, "c")
    for i in range(3):
        with scope(f"Step{i}"):
            h = tg.tanh(h @ parameter((2, 2))) + c
    seen = picture((h @ parameter((2, 2), "V")) + c, fold=True)
    into = [arrow for arrow in seen.arrows if arrow.head.role == "folded"]
    assert [(one.tail.lines[0][1], one.mark, one.stretched) for one in into] == [("c", "", ())]
    marks = {arrow.tail.lines[0][1]: (arrow.mark, bool(arrow.stretched)) for arrow in seen.arrows}
    assert marks["Step0 … Step2 × 3"] == ("1", False)
    assert marks["c"] == ("", True)


def test_a_mark_stands_for_a_place_that_is_drawn():
    h = parameter((2, 2), "x") * 2.0
    for i in range(3):
        with scope(f"Step{i}"):
            h = tg.tanh(h @ parameter((2, 2)))
    (arrow,) = [arrow for arrow in picture(h, fold=True).arrows if arrow.head.role == "folded"]
    assert (arrow.mark, arrow.stretched) == ("", ())


def test_a_fold_lies_on_the_spine():
    seen = picture(ResidualMLP().loss(*BATCH), fold=True)
    (fold,) = [box for box in seen.boxes if box.role == "folded"]
    assert fold.spine
    assert [arrow.spine for arrow in seen.arrows if fold in (arrow.tail, arrow.head)] == [True] * 2
    assert seen.horizontal


# ---------------------------------------------------------------- without scopes


def test_long_lines_of_operations_are_shortened():
    x = parameter(2, "x")
    y = tg.tanh(tg.sqrt(tg.exp(tg.tanh(-tg.exp(tg.square(x))))))
    seen = picture(y * x, fold=True)
    assert folds(seen) == [["square → exp → … (7 ops)", "(2,)"]]
    assert not folds(picture(tg.exp(tg.tanh(-tg.exp(tg.square(x)))) * x, fold=True))
    assert folds(picture(y, fold=True)) == [
        ["square → exp → … (7 ops)", "(2,)", "1 parameter (2 values)"]
    ]


def test_a_value_read_outside_is_not_in_the_middle_of_a_line():
    x = parameter(2)
    middle = tg.tanh(tg.sqrt(tg.exp(tg.tanh(-tg.exp(tg.square(x))))))
    end = tg.square(tg.exp(-tg.tanh(tg.exp(tg.sqrt(middle)))))
    seen = picture(end * middle, fold=True)
    assert drawn(seen) == ["square → exp → … (7 ops)", "sqrt → exp → … (6 ops)", "multiply"]
    same = picture({"end": end, "middle": middle}, fold=True)
    assert drawn(same) == ["square → exp → … (7 ops)", "sqrt → exp → … (6 ops)"]


def test_operations_that_repeat_fold():
    h = parameter((3, 4), "x")
    for _ in range(5):
        h = tg.relu(h @ parameter((4, 4)) + parameter(4))
    seen = picture(h.sum(), fold=True)
    assert folds(seen) == [["matmul → add → relu × 5", "(3, 4)",
                            "15 ops · 11 parameters (112 values)"]]  # fmt: skip
    assert drawn(seen)[1:] == ["sum"]
    assert names(picture(chain(24), fold=True)) == ["exp → negative × 12"]


def test_repeats_of_operations_begin_where_the_fewest_values_cross():
    h = parameter((3, 4), "x")
    h = tg.relu(h * 2.0)
    for _ in range(5):
        h = h + tg.relu(h @ parameter((4, 4)) + parameter(4))
    seen = picture(h.sum(), fold=True)
    assert drawn(seen) == ["multiply × 2", "relu", "matmul → add → relu → add × 5", "sum"]


def test_what_lies_side_by_side_without_scopes_is_no_chain():
    x = parameter(2, "x")
    assert not folds(picture(tg.concat([tg.exp(x) for _ in range(9)]), fold=True))
    a, b = parameter(2), parameter(2)
    for _ in range(4):
        a, b = tg.exp(a), tg.exp(b)
        a, b = -a, -b
    seen = picture(a * b, fold=True)
    assert names(seen) == ["exp → exp → negative → negative × 4"]


def test_a_repeated_value_that_is_read_outside_ends_a_fold():
    h = parameter(2, "x")
    for i in range(9):
        h = tg.tanh(h * parameter(2))
        if i == 3:
            middle = h
    seen = picture(h * middle, fold=True)
    assert drawn(seen) == ["multiply → tanh × 4", "multiply → tanh × 5", "multiply"]


# ---------------------------------------------------------------- no cycles


def test_a_connection_around_what_repeats():
    x = parameter(2, "x") * 3.0
    h = x
    for i in range(4):
        with scope(f"Block{i}"):
            h = tg.tanh(h) * h
    seen = check({"y": h + x}, fold=True)
    assert drawn(seen) == ["multiply × 3", "Block0 … Block3 × 4", "add"]


def test_a_fold_that_would_make_a_cycle_is_not_made():
    h = parameter(2, "x")
    late = []
    for i in range(3):
        with scope(f"Block{i}"):
            early = h * parameter(2)
            late.append(tg.exp(tg.exp(tg.exp(early))))
        h = -early if i == 0 else early  # outside: between the first block and the second
    y = sum(late, h)
    seen = check({"y": y}, fold=True)
    assert not folds(seen)
    assert [region.name for region in seen.regions] == ["Block0", "Block1", "Block2"]


def test_a_scope_that_is_left_and_entered_again_stays_open(monkeypatch):
    x = parameter(2, "x")
    with scope("Outer"):
        a = tg.tanh(x * 2.0)
    b = tg.exp(a)
    c = b * a
    c._node.scope = a._node.scope  # as threads or generators would have it
    seen = check({"y": -c}, depth=0)
    assert drawn(seen) == ["multiply × 2", "tanh", "exp", "multiply", "negative"]


# ---------------------------------------------------------------- by itself


def test_a_picture_folds_by_itself_above_a_limit():
    assert "drawn as" not in picture(ResidualMLP().loss(*BATCH)).caption  # 132 nodes
    seen = picture(ResidualMLP(20).loss(*BATCH))
    assert "126 operations drawn as 7 " in seen.caption
    assert "drawn as" not in picture(ResidualMLP(20).loss(*BATCH), fold=False).caption
    assert "drawn as" not in picture(ResidualMLP(20).loss(*BATCH), max_nodes=1000).caption
    assert "drawn as 7 " in picture(ResidualMLP().loss(*BATCH), max_nodes=131).caption
    shallow = picture(ResidualMLP(20).loss(*BATCH), depth=0)
    assert len(names(shallow)) == 22  # few enough without folding what repeats


def test_then_the_depth_is_lowered():
    def stages(count):
        h = parameter(2, "x")
        for i in range(count):
            with scope(f"Stage{i}" + "ab"[i % 2] * (i // 2 + 1)):  # no two alike
                for name in "pqrst":
                    with scope(name):
                        h = tg.tanh(h * parameter(2)) + h
        return picture(h)

    assert len(drawn(stages(2))) == 30
    assert len(drawn(stages(10))) == 50
    assert len(drawn(stages(40))) == 40
    assert len(stages(40).regions) == 0


def test_at_last_what_is_far_from_the_results_is_one_box():
    h = x = parameter(2, "x")
    rng = random.Random(0)
    for _ in range(1000):
        other = tg.tanh(x) if rng.random() < 0.3 else h
        h = tg.tanh(rng.choice([tg.add, tg.multiply, tg.subtract])(h, other))
    seen = check({"y": h * 0.0}, max_nodes=50)
    operations = int(re.match(r"([\d,]+) op", seen.caption)[1].replace(",", ""))
    rest = next(box for box in seen.boxes if box.role == "folded" and "more" in box.lines[0][1])
    assert rest.lines[0][1] == f"{len(rest.nodes):,} more nodes"
    assert len(seen.boxes) == 50 + 1 + 1
    assert seen.caption.startswith(f"{operations:,} operations drawn as 5")
    assert drawn(seen)[-1] == "multiply × 0"


def test_what_is_read_near_and_far_does_not_make_the_rest_a_cycle():
    w, rng = parameter(2, "w"), random.Random(1)
    h = early = tg.tanh(parameter(2, "far") * w)
    for _ in range(40):
        h = tg.tanh(rng.choice([tg.add, tg.multiply, tg.subtract])(h, rng.choice([h, w])))
    seen = check({"y": (h + early) * w}, max_nodes=6)
    assert "w" in [box.lines[0][1] for box in seen.boxes]
    assert drawn(seen)[-2:] == ["add", "multiply"]
    (rest,) = [box for box in seen.boxes if box.role == "folded"]
    assert early._node in rest.nodes


def test_frames_do_not_nest_too_deep_by_themselves():
    x = y = parameter(2)
    held = []
    for i in range(300):
        held.append(scope(str(i)))
        held[-1].__enter__()
        y = y + x
    for one in reversed(held):
        one.__exit__(None, None, None)
    seen = picture(y)
    assert max(region.depth for region in seen.regions) < 20
    assert "280 ops" in folds(seen)[0][-1] + folds(seen)[0][-2]


def test_a_large_graph_is_drawn(tmp_path):
    def layers(count):
        h = parameter((2, 2), "x")
        for i in range(count):
            with scope(f"Layer{i}"):
                for j in range(4):
                    with scope(f"Part{j}"):
                        h = tg.tanh(h @ parameter((2, 2)) + parameter(2))
        return h

    h = layers(500)
    text = render(h, tmp_path / "large.svg").read_text()
    assert "6,000 operations drawn as 1 · 4,001 parameters" in text
    assert "Layer0 … Layer499 × 500" in text
    made = to_dot(chain(30_000))
    assert "exp → negative × 15,000" in made.source
    assert made.size == 2  # and the result


@pytest.mark.parametrize("options", [
    {"depth": -1}, {"depth": 1.5}, {"depth": "2"}, {"max_nodes": 0}, {"max_nodes": None},
    {"fold": "yes"},
])  # fmt: skip
def test_options_that_make_no_sense(options):
    with pytest.raises(ArgumentError, match=next(iter(options))):
        to_dot(parameter(2) * 2.0, **options)
