"""What a picture says is wrong with a graph, and that it says nothing where nothing is."""

import re

import numpy as np
import pytest

from tinygraph import namespace as tg
from tinygraph.errors import ArgumentError, DTypeError
from tinygraph.models import TwoLayerNet
from tinygraph.modes import no_grad, scope
from tinygraph.tape import operands, reachable
from tinygraph.transforms import record
from tinygraph.viz import diagnosis, style, to_dot
from tinygraph.viz.graph import read
from tinygraph.viz.numbers import Numbers

RNG = np.random.default_rng(0)
pytestmark = pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")


def parameter(values, name=None):
    return tg.tensor(np.asarray(values, float), requires_grad=True, name=name)


def checked(*results, params=None, direction="LR"):
    """Return the picture of some results, and the headline of what is wrong."""
    params = diagnosis.named(params)
    picture = read("title", [(f"r{i}", one) for i, one in enumerate(results)], direction,
                   diagnosis.unreached(params, results))  # fmt: skip
    return picture, diagnosis.annotate(picture, Numbers(picture), params)


def bad(picture):
    """Return what is wrong with each box, by its name or operation."""
    return {box.lines[0][1]: box.bad for box in picture.boxes if box.bad}


def flows(picture):
    """Return what flows over each arrow that is marked, by the ends of the arrow."""
    name = {box: box.lines[0][1] for box in picture.boxes}
    return {(name[one.tail], name[one.head]): list(one.bad.values())
            for one in picture.arrows if one.bad}  # fmt: skip


def faulty(picture):
    return [box.lines[0][1] for box in picture.boxes if box.fault]


def sketch():
    """Return the mean of logarithms of which three are of 0, and three parameters."""
    a = RNG.random((100, 50)) + 0.5
    a[[3, 50, 99], [1, 1, 7]] = 0.0
    x, scale = tg.tensor(a, name="x"), parameter(np.ones(50), "scale")
    w, b = parameter(np.ones((100, 50)), "w"), parameter(np.zeros(50), "b")
    h = x * w + b
    return (tg.log(h) * tg.exp(scale).detach()).mean(), {"w": w, "b": b, "scale": scale}


# ---------------------------------------------------------------- numbers that are not finite


def test_the_first_fault_is_told_where_it_happens_with_true_counts():
    loss, params = sketch()
    picture, headline = checked(loss, params=params)
    assert headline == "First fault: log gives −inf at 3 of 5,000 places"
    assert faulty(picture) == ["log"]
    assert bad(picture) == {
        "w": ["grad: 3 nan of 5,000"],
        "b": ["grad: 2 inf of 50"],
        "scale": ["no gradient: not reached from the result"],
        "log": ["forward: −inf at 3 places, where a = 0", "backward: g / a gives inf there"],
    }
    assert flows(picture) == {
        ("log", "multiply"): ["3 −inf →"], ("multiply", "mean"): ["3 −inf →"],
        ("mean", "r0"): ["−inf →"], ("add", "log"): ["← 3 inf"],
        ("multiply", "add"): ["← 3 inf"], ("b", "add"): ["← 2 inf"],
        ("w", "multiply"): ["← 3 nan"],
    }  # fmt: skip
    assert picture.caption.endswith("· float64 · 2 gradients not finite, 1 missing")
    assert picture.summary.startswith(f"{headline}. 2 gradients not finite, 1 missing.")
    assert "−inf ↓" in str(flows(checked(loss, direction="TB")[0]))


def test_the_counts_are_those_of_backward():
    loss, params = sketch()
    picture, _ = checked(loss, params=params)
    loss.backward()
    for name in ("w", "b"):
        gradient = params[name].grad.numpy()
        told = re.search(r"(\d+) (inf|nan) of ([\d,]+)", bad(picture)[name][0])
        count = {"inf": np.isinf, "nan": np.isnan}[told[2]](gradient).sum()
        assert (int(told[1]), int(told[3].replace(",", ""))) == (count, gradient.size)


def test_before_and_after_backward_alike_and_nothing_is_touched():
    loss, params = sketch()
    before = to_dot(loss, check=True, params=params).source
    assert all(one.grad is None for one in params.values())
    nodes = reachable([loss._node], links=operands)
    loss.backward()
    gradient = params["w"].grad
    assert to_dot(loss, check=True, params=params).source == before
    assert params["w"].grad is gradient
    assert reachable([loss._node], links=operands) == nodes
    assert params["scale"].grad is None


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda a: tg.log(a), ["forward: −inf, where a = 0", "backward: g / a gives inf there"]),
        (lambda a: tg.sqrt(a - 1), ["forward: nan, where a = −1"]),
        (lambda a: tg.exp(a + 1000), ["forward: inf, where a = 1000",
                                      "backward: g · y gives inf there"]),
        (lambda a: 1 / a, ["forward: inf, where b = 0", "backward: −g · y / b gives −inf there"]),
        (lambda a: tg.sqrt(a), ["backward: g / (2 · y) gives inf, where a = 0"]),
    ],
)  # fmt: skip
def test_a_number_alone_has_no_count(make, told):
    picture, _ = checked(make(parameter(0.0, "a")))
    lines = [one for box in picture.boxes if box.fault for one in box.bad]
    assert lines[: len(told)] == told


@pytest.mark.parametrize(
    ("values", "function", "told"),
    [
        ([-1.0, -2.0, 0.0, 3.0], tg.log, "−inf at 1 and nan at 2 places, where a ≤ 0"),
        ([-1.0, -2.0, 1.0, 3.0], tg.log, "nan at 2 places, where a < 0"),
        ([1.0, 800.0, 900.0, 709.0], tg.exp, "inf at 2 places, where a ≥ 800"),
        ([-1.0, -800.0, -900.0, 7.0], lambda a: tg.exp(-a), "inf at 2 places, where a ≥ 800"),
        ([0.0, 0.0], tg.log, "−inf at 2 places, where a = 0"),
        ([1e200, 2.0, 1e170, 1e160], lambda a: a * a[::-1], "inf at 2 places"),
    ],
)
def test_where_it_happens_is_said_if_a_word_can_say_it(values, function, told):
    picture, _ = checked(function(parameter(values, "a")).sum())
    lines = [one for box in picture.boxes if box.fault for one in box.bad]
    assert lines[0] == f"forward: {told}"


def test_where_says_nothing_that_is_true_elsewhere_too():
    assert diagnosis.apart(np.array([0.0, 0.0]), np.array([0.0])) == ""
    assert diagnosis.apart(np.array([-1.0, -2.0]), np.array([-3.0, 5.0])) == ""
    assert diagnosis.apart(np.array([-1.0, -2.0]), np.array([-3.0, -5.0])) == "≥ −2"
    assert diagnosis.apart(np.array([3.0, 2.0]), np.array([4.0, 5.0])) == "≤ 3"


def test_forward_comes_before_backward_and_the_tape_decides():
    a, b = parameter([0.0, 1.0], "a"), parameter([0.0, 2.0], "b")
    picture, headline = checked((tg.sqrt(a) + tg.log(b)).sum())
    assert headline == "First fault: log gives −inf at 1 of 2 places"
    assert faulty(picture) == ["log"]
    assert bad(picture)["sqrt"] == ["backward: g / (2 · y) gives inf at 1 place, where a = 0"]
    _, headline = checked(tg.sqrt(a).sum())
    assert headline == "First fault: sqrt gives inf at 1 of 2 places on the way back"
    first = tg.log(a)
    _, headline = checked((tg.exp(tg.exp(b * 500)) + first).sum())
    assert headline.startswith("First fault: log")


def test_what_follows_from_a_fault_is_no_fault_of_its_own():
    a = parameter([800.0, 1.0], "a")
    e = tg.exp(a)
    picture, _ = checked((e / e.sum()).sum())
    assert list(bad(picture)) == ["a", "exp"]
    assert flows(picture)[("exp", "sum")] == ["1 inf →", "← 2 nan"]


def test_a_leaf_can_be_the_first_fault():
    x, w = tg.tensor([[np.nan, 1.0], [np.inf, -np.inf]], name="x"), parameter(np.ones((2, 3)), "w")
    picture, headline = checked((x @ w).sum())
    assert headline == "First fault: x holds −inf at 1 and inf at 1 and nan at 1 of 4 places"
    assert faulty(picture) == ["x"]
    assert bad(picture)["x"] == [headline.removeprefix("First fault: x ")]


def test_a_gradient_that_is_zero_times_infinite():
    a = parameter([0.0, 1.0, 2.0], "a")
    picture, _ = checked(tg.where(a.detach() > 0, tg.log(a), 0.0).sum())
    assert bad(picture)["log"] == [
        "forward: −inf at 1 place, where a = 0", "backward: g / a gives nan there, where g = 0",
    ]  # fmt: skip


def test_a_value_that_spoils_a_gradient_alone_is_a_fault():
    a, b = parameter([0.5, 2.0], "a"), tg.tensor([np.inf, 1.0], name="b")
    picture, headline = checked((a**b).sum())
    assert headline == "First fault: b holds inf at 1 of 2 places"
    assert bad(picture)["a"] == ["grad: 1 nan of 2"]


def test_the_first_operand_is_the_one_that_is_told():
    a, b = parameter([1.0, 2.0], "a"), parameter([0.0, 2.0], "b")
    assert bad(checked((a / b).sum())[0])["divide"] == [
        "forward: inf at 1 place, where a = 1, b = 0", "backward: g / b gives inf there",
    ]  # fmt: skip


def test_where_is_said_of_operations_on_entries_only():
    a = parameter([[1e200, 1.0], [0.0, 1.0]], "a")
    assert bad(checked((a @ a).sum())[0])["matmul"] == ["forward: inf at 1 place"]


def test_infinities_that_mask_are_no_fault():
    q = parameter(RNG.standard_normal((4, 4)), "q")
    mask = tg.tensor(np.where(np.tri(4) > 0, 0.0, -np.inf), name="mask")
    attention = tg.softmax(q + mask)
    picture, headline = checked((attention**2).sum())
    assert not headline
    assert not bad(picture)
    assert not flows(picture)
    told = "checked: the result and gradients are finite; −inf inside does no harm"
    assert picture.caption.endswith(told)
    _, headline = checked((tg.log(q * 0) + attention).sum())
    assert headline == "First fault: log gives −inf at 16 of 16 places"


def test_nothing_wrong_is_said_in_one_phrase():
    w = parameter([1.0, 2.0], "w")
    picture, headline = checked((w * w).sum(), params={"w": w})
    assert not headline
    assert picture.caption.endswith("· float64 · checked: values and gradients are finite")
    source = to_dot((w * w).sum(), check=True).source
    assert "<b>loss</b>" in source
    assert style.LIGHT["bad border"] not in source
    assert "first fault" not in source


@pytest.mark.parametrize("results", [1, 2])
def test_without_one_number_to_start_from_only_values_are_checked(results):
    w = parameter([1.0, 2.0], "w")
    picture, _ = checked(*[tg.log(w * 2)] * results)
    told = "checked: values are finite · no gradients: "
    reason = ["a gradient begins at one number, and this is (2,)",
              "of several results together there is no gradient"]  # fmt: skip
    assert picture.caption.endswith(told + reason[results - 1])
    picture, headline = checked(*[tg.log(w * 0)] * results)
    assert headline == "First fault: log gives −inf at 2 of 2 places"
    assert list(bad(picture)) == ["log"]
    assert sum(box.role == "result" for box in picture.boxes) == results
    assert sum(one.head.role == "result" and bool(one.bad) for one in picture.arrows) == results


def test_what_follows_a_changed_leaf_is_not_checked():
    a, w = parameter([0.0, 1.0], "a"), parameter([1.0, 2.0], "w")
    loss = (tg.exp(a) * w).sum()
    w -= 1e300
    picture, headline = checked(loss)
    assert not headline
    assert picture.caption.endswith("· checked: other values are finite")
    assert picture.notes == [
        "not checked: gradients, and what follows w, which has new values since"
    ]
    picture, headline = checked((tg.log(a) * w).sum())
    with no_grad():
        w *= 0.0
    assert headline == "First fault: log gives −inf at 1 of 2 places"
    assert not bad(checked(loss)[0])


# ---------------------------------------------------------------- parameters


def test_parameters_that_are_not_reached_are_drawn_besides():
    net = TwoLayerNet(6, 5, 3, rng=0)
    lost = parameter(np.ones(7), "lost")
    x, t = np.ones((4, 6)), np.array([0, 1, 2, 0])
    drawing = to_dot(net.predict, args=(x,), check=True, params={**net.params, "lost": lost})
    assert drawing.source.count("no gradient: not reached from the result") == 1
    assert drawing.source.count("class=param") == 5
    assert "1 gradient missing" in drawing.source
    drawing = to_dot(net.loss, args=(x, t), check=True, params=net)
    assert "checked: values and gradients are finite" in drawing.source
    several = checked(tg.exp(lost), lost * 2, params={"other": parameter(1.0)})[0]
    assert bad(several) == {"other": ["no gradient: not reached from the results"]}


def test_a_parameter_with_new_values_is_still_the_one_that_is_reached():
    w = parameter([1.0, 2.0], "w")
    loss = (w * w).sum()
    w -= 0.5
    assert not bad(checked(loss, params={"w": w})[0])


def test_reached_only_through_an_operation_without_a_gradient():
    w, v = parameter([1.0, 2.0], "w"), parameter([1.0, 2.0], "v")
    out, _ = record(lambda x: tg.where(x + w * 2 > 1, x * v, 0.0).sum(), (np.ones(2),))
    picture, _ = checked(out)
    assert bad(picture) == {"w": ["no gradient: greater passes none back"]}
    assert picture.caption.endswith("1 gradient missing")


def test_a_result_without_a_gradient_at_all():
    w = parameter([1.0, 2.0], "w")
    out, _ = record(lambda x: x + w * 2 > 1, (np.ones(2),))
    assert bad(checked(out)[0]) == {"w": ["no gradient: greater passes none back"]}


def test_parameters_that_cannot_have_a_gradient():
    frozen, w = tg.tensor([1.0, 2.0], name="frozen"), parameter([1.0, 2.0], "w")
    updated = w - 0.1
    updated.name = "updated"
    loss = (updated * frozen).sum()
    frozen *= 2.0
    picture, _ = checked(loss, params={"f": frozen, "u": updated, "w": w})
    assert bad(picture) == {
        "frozen": ["no gradient: requires_grad is False"],
        "updated = subtract − 0.1": ["no gradient kept: a result, not a leaf"],
    }
    assert picture.caption.endswith("2 gradients missing")


def test_a_zero_gradient_of_a_whole_parameter_is_told():
    w, v = parameter(np.ones(10), "w"), parameter(0.0, "v")
    some = parameter([0.0, 1.0], "some")
    picture, _ = checked((w * 0).sum() + v * v + (some * some).sum())
    assert bad(picture) == {"w": ["grad: all 10 are 0"], "v": ["grad: 0"]}
    assert picture.caption.endswith("2 gradients zero · checked: values and gradients are finite")


@pytest.mark.parametrize("params", [[1], {"w": 1.0}, 3, {"w": np.ones(3)}])
def test_other_parameters_are_refused(params):
    with pytest.raises(DTypeError, match="params is a dict of Tensors"):
        to_dot(parameter(1.0) * 2, check=True, params=params)


def test_parameters_are_for_a_check():
    with pytest.raises(ArgumentError, match="check=True"):
        to_dot(parameter(1.0) * 2, params={})


# ---------------------------------------------------------------- dead relus


def relu_of(off, units=50, rows=100, function=tg.relu):
    """Return the relu of rows of which the first units are off."""
    a = RNG.random((rows, units)) + 0.1
    a[:, :off] *= -1
    return function(parameter(a, "a"))


@pytest.mark.parametrize("function", [tg.relu, lambda a: tg.maximum(a, 0)])
def test_a_relu_that_is_mostly_dead(function):
    picture, _ = checked(relu_of(37, function=function).sum())
    assert [*bad(picture).values()] == [["dead: 37 of 50 units, 0 in all 100 rows"]]
    assert not faulty(picture)


@pytest.mark.parametrize(
    ("off", "units", "rows", "told"),
    [(50, 50, 100, True), (4, 4, 2, True), (33, 50, 100, False), (25, 50, 100, False),
     (37, 50, 8, False), (3, 4, 100, False), (50, 50, 1, False), (0, 50, 100, False)],
)  # fmt: skip
def test_shares_of_units_that_say_something(off, units, rows, told):
    picture, _ = checked(relu_of(off, units, rows).mean())
    assert any("dead" in line for lines in bad(picture).values() for line in lines) == told


def test_units_of_images_are_channels_and_of_one_sample_there_are_none():
    a = RNG.random((4, 8, 3, 3)) + 0.1
    a[:, :7] *= -1
    picture, _ = checked(tg.relu(parameter(a, "a")).sum())
    assert not bad(picture)
    a[:, 7] *= -1
    picture, _ = checked(tg.relu(parameter(a, "a")).sum())
    assert bad(picture)["relu"] == ["dead: 8 of 8 units, 0 in all 36 rows"]
    picture, _ = checked(tg.relu(parameter(-np.ones(5), "a")).sum())
    assert "relu" not in bad(picture)
    for shape in ((5, 0), (0, 5), ()):
        assert not bad(checked(tg.relu(parameter(np.ones(shape), "a")).sum())[0])


def network(depth, width, function, scale, rows):
    rng = np.random.default_rng(depth + width)
    h = tg.tensor(np.abs(rng.standard_normal((rows, width))), name="x")
    for i in range(depth):
        w = rng.standard_normal((width, width)) * scale / np.sqrt(width)
        with scope(f"Layer{i + 1}"):
            h = function(h @ parameter(w, f"w{i + 1}") + parameter(np.zeros(width)))
    return tg.softmax_cross_entropy(h, rng.integers(0, width, rows))


@pytest.mark.parametrize("rows", [16, 128])
@pytest.mark.parametrize("width", [10, 64])
@pytest.mark.parametrize("depth", [1, 5, 20])
@pytest.mark.parametrize(("function", "scale"), [(tg.relu, 2**0.5), (tg.tanh, 1.0)])
def test_ordinary_networks_raise_no_alarm(function, scale, depth, width, rows):
    picture, _ = checked(network(depth, width, function, scale, rows))
    assert not bad(picture)
    assert not picture.notes
    assert picture.caption.endswith("checked: values and gradients are finite")


# ---------------------------------------------------------------- vanishing and exploding


def test_a_gradient_that_vanishes_is_told_with_both_numbers_and_where():
    loss = network(8, 16, tg.nn.sigmoid, 1.0, 32)
    (note,) = checked(loss)[0].notes
    pattern = (
        r"gradients vanish: root mean square (\S+) at nn.sigmoid in Layer8, (\S+) at matmul in "
        r"Layer1; most at nn.sigmoid in Layer\d \(× 0\.\d+\)"
    )
    top, bottom = (float(one.replace("−", "-")) for one in re.fullmatch(pattern, note).groups())
    gradients = Numbers(read("", [("loss", loss)])).gradients
    layers = [one for one in gradients if one.plan and one.scope]
    for told, node in ((top, layers[0]), (bottom, layers[-1])):
        assert told == pytest.approx(np.sqrt(np.mean(gradients[node] ** 2)), rel=0.05)


def test_a_gradient_that_explodes_and_where_it_does():
    h = tg.tensor(RNG.random((8, 4)), name="x")
    for i, factor in enumerate((1.0, 1e6, 1.0)):
        with scope(f"Layer{i}"):
            h = h @ parameter(np.eye(4)) * factor
    (note,) = checked(h.mean())[0].notes
    assert note == (
        "gradients explode: root mean square 0.031 at multiply × 1 in Layer2, 3.1e+04 at matmul in "
        "Layer0; most at multiply × 1e+06 in Layer1 (× 1e+06)"
    )
    for kind in ("structure", "textbook"):
        assert f"<b>{note}</b>" in to_dot(h.mean(), check=True, style=kind).source


@pytest.mark.parametrize(("factor", "told"), [(1e3, 0), (1e-3, 0), (1e5, 1), (1e-5, 1)])
def test_how_far_the_ends_of_a_chain_may_be_apart(factor, told):
    h = parameter(np.ones((8, 4)), "x") * 2.0 * factor
    assert len(checked(h.mean())[0].notes) == told


def test_gradients_too_small_to_be_squared_are_measured():
    assert diagnosis.mean_size(np.array([3e-200, 4e-200])) == pytest.approx(
        3.5355e-200, rel=1e-4, abs=0
    )
    assert diagnosis.mean_size(np.zeros(3)) == 0.0


# ---------------------------------------------------------------- how it is drawn


def attributes(source, pattern):
    return next(line for line in source.splitlines() if re.search(pattern, line))


def test_how_a_fault_and_a_flow_are_drawn():
    loss, params = sketch()
    source = to_dot(loss, check=True, params=params, direction="TB").source
    red = style.LIGHT["bad border"]
    box = attributes(source, r'class="op fault"')
    for one in ('style="filled,diagonals"', f'fillcolor="{style.LIGHT["bad"]}"', "penwidth=3",
                f'color="{red}"', "<b>forward: −inf at 3 places, where a = 0</b>"):  # fmt: skip
        assert one in box, one
    assert ">first fault</font>" in source
    assert "<b>First fault: log gives −inf at 3 of 5,000 places</b>" in source
    for pattern, way in ((r">3 −inf ↓<|<b>3 −inf ↓</b>", None), (r"<b>↑ 3 inf</b>", "back"),
                         (r"<b>↑ 2 inf</b>", "both")):  # fmt: skip
        arrow = attributes(source, pattern)
        assert f'color="{red}"' in arrow
        assert "penwidth=2.4" in arrow
        assert re.findall(r"\bdir=(\w+)", arrow) == ([way] if way else []), pattern
    assert "arrowhead=crow" in attributes(source, r"<b>↑ 2 inf</b>")
    lost = attributes(source, "not reached")
    assert "penwidth=3" in lost
    assert f'fillcolor="{style.LIGHT["param"]}"' in lost
    drawing = to_dot(loss, check=True, params=params)
    assert any("forward: −inf at 3 places" in one for one in drawing.sentences.values())
    assert any(one.endswith("; back: 2 inf") for one in drawing.sentences.values())


def test_a_title_of_the_callers_stays():
    loss, _ = sketch()
    assert "<b>mine</b>" in to_dot(loss, check=True, title="mine").source


@pytest.mark.parametrize(
    ("value", "role", "look"),
    [(np.nan, "input", "shape=note style=filled"), (1e300, "view", 'style="filled,diagonals"')],
)
def test_a_faulty_box_keeps_the_outline_of_its_role(value, role, look):
    x = tg.tensor([value, 1.0], name="x")
    out, _ = record(lambda x: x.astype("float32") * 2, (x,))
    box = attributes(to_dot(out, check=True).source, f'class="{role} fault"')
    assert look in box
    assert "penwidth=3" in box


def test_the_findings_of_a_folded_box_are_summed_up():
    h = x = parameter([0.0, 0.0, 1.0], "x")
    params = [parameter(np.ones(3), f"w{i}") for i in range(4)]
    with scope("Logs"):
        for w in params:
            h = tg.where(h * w > 2, tg.log(x * w), 0.0) + h * w
    picture = read("title", [("loss", h.sum())], depth=0)
    diagnosis.annotate(picture, Numbers(picture), {})
    (box,) = (box for box in picture.boxes if box.role == "folded")
    assert box.fault
    assert box.bad == [
        "log, forward: −inf at 2 places, where a = 0 (× 4)",
        "log, backward: g / a gives nan there, where g = 0 (× 4)",
        "x, grad: 2 nan of 3",
        "and 4 more",
    ]
    assert box.sentence.endswith("; and 4 more")


def test_what_flows_into_a_folded_box_is_counted_once_an_entry():
    x = parameter([0.0, 0.0, 1.0], "x") * 1
    with scope("Inside"):
        h = tg.log(x) + tg.log(x * 1)
    picture = read("title", [("loss", h.sum())], depth=0)
    diagnosis.annotate(picture, Numbers(picture), {})
    (box,) = (box for box in picture.boxes if box.role == "folded")
    assert box.bad == [
        "log, forward: −inf at 2 places, where a = 0 (× 2)",
        "log, backward: g / a gives inf there (× 2)",
    ]
    assert [list(one.bad.values()) for one in picture.arrows] == [
        ["← 2 inf"], ["← 2 inf"], ["2 −inf →"], ["−inf →"],
    ]  # fmt: skip
    with scope("Inside"):
        h = tg.log(x) + tg.log(1 - x)
    picture = read("title", [("loss", h.sum())], depth=0)
    diagnosis.annotate(picture, Numbers(picture), {})
    assert picture.arrows[1].bad["back"].startswith("← ")
    assert "2 inf" in picture.arrows[1].bad["back"]
    assert "1 −inf" in picture.arrows[1].bad["back"]
