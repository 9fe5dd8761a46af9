"""The page to step through, in a browser: its own group, run by pytest -m browser."""

import functools
import re
import shutil

import numpy as np
import pytest

import tinygraph as tg
from tinygraph.models import TwoLayerNet
from tinygraph.viz import render, to_html

pytestmark = pytest.mark.browser

HOSTILE = "</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def chromium():
    """Start the system's Chromium without a window."""
    api = pytest.importorskip("playwright.sync_api", reason="pip install tinygraph[browser]")
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip("there is no Chromium on PATH")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium, tmp_path):
    """Open pages; at the end nothing was loaded from elsewhere and no script failed."""
    contexts, requests, faults = [], [], []

    def opened(obj, at="", options=None, **settings):
        path = tmp_path / f"page{len(contexts)}.html"
        render(obj, path, **(options or {}))
        contexts.append(chromium.new_context(**settings))
        page = contexts[-1].new_page()
        page.on("request", lambda one: requests.append(one.url))
        page.on("pageerror", lambda one: faults.append(str(one)))
        page.on("console", lambda one: faults.append(one.text))
        page.on("dialog", lambda one: (faults.append("a dialog"), one.dismiss()))
        page.goto(path.as_uri() + at)
        return page

    yield opened
    for one in contexts:
        one.close()
    assert not [url for url in requests if not url.startswith(tmp_path.as_uri())]
    assert not faults


def net():
    """Return a network 2-3-2, its loss, and nothing walked back yet."""
    model = TwoLayerNet(2, 3, 2, weight_init_std=1.0, rng=0)
    x = tg.tensor(np.array([[0.5, -1.5], [2.0, 1.0]]), name="x")
    return model, model.loss(x, np.array([0, 1]))


def number(text):
    """Read a number that is shown."""
    return float(text.replace("−", "-"))


def rows(page):
    """Return what the panel shows: name, what it is, shape, value."""
    found = [row.locator("th, td").all_inner_texts() for row in page.locator("#panel tr").all()]
    return {name: (about, shape, value) for name, about, shape, value in found[1:]}


def entries(text):
    """Return the numbers of an array that is written out, one after the other."""
    return [number(one) for one in re.findall(r"[−\d.e]+", text)]


def near(text, array):
    """Whether what is shown is an array, to the digits that are shown."""
    return np.allclose(entries(text), np.ravel(array), rtol=1e-5, atol=1e-12)


def on_wire(page, start, kind="value"):
    """Return the visible numbers beside the line from the box whose description begins so."""
    colour = {"value": "#1b2330", "gradient": "#b3400a"}[kind]
    texts = page.evaluate(
        """([start, colour]) => {
            const boxes = [...document.querySelectorAll("svg g.node:not(.wire)")];
            const box = boxes.find((one) =>
                one.querySelector("title").textContent.startsWith(start));
            const texts = document.querySelectorAll(
                `svg g.wire[id*="-w_${box.id.split("-")[1]}_"] text[fill="${colour}"]`);
            return [...texts].filter((one) => getComputedStyle(one).visibility === "visible")
                .map((one) => one.textContent.trim());
        }""",
        [start, colour],
    )
    return [one for one in texts if one not in ("←", "↑")]


def counter(page):
    return page.inner_text("#counter")


# ---------------------------------------------------------------- numbers


def test_pressing_through_a_network_shows_the_numbers_of_backward(visit):
    model, loss = net()
    page = visit(loss)
    assert counter(page) == "step 0 of 12: start"
    assert near(rows(page)["W1"][2], model.params["W1"].numpy())
    titles, grads = [], {}
    for k in range(1, 13):
        page.click("#step")
        assert counter(page).startswith(f"step {k} of 12: ")
        titles.append(page.inner_text("#panel h2"))
        for about, _, value in rows(page).values():
            if ".grad" in about:
                grads[about.removeprefix("→ ").removesuffix(".grad")] = value
        if k == 6:
            assert near(rows(page)["y"][2], loss.item())
    forward = ["matmul", "add", "relu", "matmul", "add", "softmax_cross_entropy"]
    assert [one.split()[-2] for one in titles] == forward + forward[::-1]
    assert [one.split()[-1] for one in titles] == ["forward"] * 6 + ["backward"] * 6

    loss.backward()
    assert set(grads) == set(model.params)
    for name, parameter in model.params.items():
        assert near(grads[name], parameter.grad.numpy())
        shown = [number(one) for one in on_wire(page, f"parameter {name}:", "gradient")]
        np.testing.assert_allclose(shown, np.ravel(parameter.grad.numpy()), rtol=1e-3, atol=1e-9)


def test_numbers_appear_when_they_are_computed_and_go_again(visit):
    _, loss = net()
    page = visit(loss)
    made, given = "matmul: (2, 2)", "parameter W1:"
    assert on_wire(page, made) == []
    assert on_wire(page, given) != []
    page.click("#step")
    assert len(on_wire(page, made)) == 6
    page.click("#back")
    assert on_wire(page, made) == []
    (waiting,) = on_wire(page, given, "gradient")
    assert waiting.endswith("not yet")
    page.keyboard.press("End")
    assert len(on_wire(page, given, "gradient")) == 6
    page.click("#back")
    (waiting,) = on_wire(page, given, "gradient")
    assert waiting.endswith("not yet")


def test_the_fruit_of_the_book(visit):
    prices = {"apple": 100.0, "apples": 2.0, "orange": 150.0, "oranges": 3.0, "tax": 1.1}
    leaf = {name: tg.tensor(value, requires_grad=True, name=name) for name, value in prices.items()}
    cost = leaf["apple"] * leaf["apples"] + leaf["orange"] * leaf["oranges"]
    page = visit(cost * leaf["tax"])
    page.keyboard.press("End")
    shown = {name: on_wire(page, f"parameter {name}:", "gradient") for name in prices}
    assert shown == {
        "apple": ["2.2"], "apples": ["110"], "orange": ["3.3"], "oranges": ["165"], "tax": ["650"],
    }  # fmt: skip


def test_a_fan_out_shows_the_addition(visit):
    x = tg.tensor(0.5, requires_grad=True, name="x")
    page = visit(tg.exp(x) + 3 * x, at="#6")
    about, _, value = rows(page)["∂loss/∂x"]
    assert about == "2 contributions"
    assert value == "1.64872 + 3 = 4.64872"


# ---------------------------------------------------------------- the ways to move


def test_keys_slider_and_deep_link_move(visit):
    _, loss = net()
    page = visit(loss, at="#8")
    assert counter(page) == "step 8 of 12: backward 2 of 6"
    for key, step in (("ArrowRight", 9), ("ArrowLeft", 8), ("Home", 0), ("ArrowLeft", 0),
                      ("End", 12), ("ArrowRight", 12)):  # fmt: skip
        page.keyboard.press(key)
        assert counter(page).startswith(f"step {step} of 12")
        assert page.evaluate("location.hash") == f"#{step}"
        assert page.locator("#slider").input_value() == str(step)
    page.locator("#slider").fill("3")
    assert counter(page) == "step 3 of 12: forward 3 of 6"
    page.locator("#slider").press("ArrowRight")  # moved once, not by the page as well
    assert counter(page).startswith("step 4 of 12")
    page.evaluate("location.hash = '#11'")
    page.wait_for_function("document.querySelector('#counter').textContent.startsWith('step 11')")
    page.evaluate("location.hash = '#nowhere'")
    page.wait_for_function("document.querySelector('#counter').textContent.startsWith('step 0')")


def test_play_and_pause(visit):
    x = tg.tensor(0.5, requires_grad=True, name="x")
    page = visit(tg.tanh(tg.exp(x)))
    page.clock.install()
    button = page.locator("#play")
    assert button.inner_text() == "▶ play"
    page.keyboard.press(" ")
    assert button.inner_text() == "❙❙ pause"
    assert counter(page).startswith("step 1 of 4")
    page.clock.run_for(1500)
    assert counter(page).startswith("step 2 of 4")
    button.click()
    assert button.inner_text() == "▶ play"
    page.clock.run_for(5000)
    assert counter(page).startswith("step 2 of 4")
    page.locator("#back").press(" ")  # presses the button that has the focus, and does not play
    assert button.inner_text() == "▶ play"
    assert counter(page).startswith("step 1 of 4")
    button.press(" ")
    assert button.inner_text() == "❙❙ pause"
    page.keyboard.press("ArrowLeft")  # who moves takes over
    assert button.inner_text() == "▶ play"
    page.keyboard.press(" ")
    page.clock.run_for(5000)
    assert counter(page).startswith("step 4 of 4")
    assert button.inner_text() == "▶ play"


def test_the_current_operation_is_lit(visit):
    x = tg.tensor(0.5, requires_grad=True, name="x")
    page = visit(tg.tanh(tg.exp(x)))
    circle = page.locator("svg g.op ellipse").first

    def colour():
        return circle.evaluate("one => getComputedStyle(one).stroke")

    plain = colour()
    page.click("#step")
    assert colour() == "rgb(0, 90, 143)"
    page.click("#step")
    assert colour() == plain
    page.keyboard.press("End")
    assert colour() == "rgb(179, 64, 10)"
    page.emulate_media(color_scheme="dark")
    assert colour() == "rgb(255, 154, 97)"


def test_a_large_graph_shows_its_structure_and_follows_it(visit):
    x = h = tg.tensor(0.5, requires_grad=True, name="x")
    for _ in range(20):
        h = tg.tanh(h) * x
    page = visit(h, reduced_motion="reduce")
    figure = page.locator("#graph")
    assert counter(page) == "step 0 of 80: start"
    page.keyboard.press("End")
    page.keyboard.press("Home")
    before = figure.evaluate("one => one.scrollTop")
    page.evaluate("location.hash = '#20'")
    page.wait_for_function("document.querySelector('#counter').textContent.startsWith('step 20')")
    there = figure.evaluate("one => one.scrollTop")
    assert there > before
    page.click("#back")  # to what is in sight
    assert figure.evaluate("one => one.scrollTop") == there
    assert page.locator("svg .node.lit").count() == 1
    assert page.evaluate("scrollY") == 0


# ---------------------------------------------------------------- for everyone


def test_hostile_names_are_text(visit):
    x = tg.tensor(2.0, requires_grad=True, name=HOSTILE)
    with tg.scope(HOSTILE):
        y = x * x
        y.name = HOSTILE
        z = tg.exp(y)
    page = visit(z, options={"title": HOSTILE})
    for _ in range(4):
        page.click("#step")
        assert HOSTILE in page.inner_text("#panel")
    assert page.locator("img").count() == 0
    assert page.title() == f"{HOSTILE}"


@functools.cache
def axe():
    """Return the checker of accessibility."""
    return pytest.importorskip("axe_playwright_python.sync_playwright").Axe()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 400])
def test_the_page_is_accessible(visit, scheme, width):
    _, loss = net()
    settings = {"color_scheme": scheme, "viewport": {"width": width, "height": 900}}
    page = visit(loss, bypass_csp=True, **settings)
    for step in ("Home", "ArrowRight", "End"):
        page.keyboard.press(step)
        found = axe().run(page)
        assert found.violations_count == 0, found.generate_report()
    sizes = page.locator("button, input").evaluate_all(
        "all => all.map(one => one.getBoundingClientRect().height)"
    )
    assert min(sizes) >= 40
    overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert overflow <= 0, "the page itself scrolls sideways"


def test_nothing_moves_smoothly_for_who_wants_less_motion(visit):
    _, loss = net()
    page = visit(loss, reduced_motion="reduce", viewport={"width": 400, "height": 300})
    page.evaluate("""
        window.asked = [];
        Element.prototype.scrollBy = (options) => { asked.push(options.behavior) };
        null
    """)
    page.click("#step")
    page.emulate_media(reduced_motion="no-preference")
    page.click("#step")
    assert page.evaluate("asked") == ["auto", "smooth"]


def test_two_pictures_in_one_document_do_not_meet(visit):
    x = tg.tensor(0.5, requires_grad=True, name="x")
    one, two = (re.search(r"<svg.*</svg>", to_html(y), re.S)[0] for y in (tg.exp(x), tg.tanh(x)))
    ids = re.findall(r'\sid="([^"]*)"', one + two)
    assert len(set(ids)) == len(ids)
