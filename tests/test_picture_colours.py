"""Pictures can be read by everybody: contrasts, and roles told apart without seeing colours.

Run as a script, it prints the smallest contrast and the smallest distances of colours.
"""

import re
from itertools import combinations

import numpy as np
import pytest

from tinygraph import namespace as tg
from tinygraph.modes import scope
from tinygraph.transforms import record
from tinygraph.viz import style, to_dot
from tinygraph.viz.graph import ROLES, Box, Region

MODES = {"light": 0, "dark": 1}
READABLE = 4.5  # the contrast of text that WCAG 2.2 asks for at level AA
APART = 5.0  # twice the distance in CIE Lab at which two colours are just told apart, 2.3

# How colours look to others, as matrices on linear RGB: G. Machado, M. Oliveira, L. Fernandes, "A
# physiologically-based model for simulation of color vision deficiency", IEEE TVCG 15(6), 2009, at
# severity 1; and in grey, by the luminance of sRGB.
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
VISIONS = {
    "all colours": np.eye(3),
    "deuteranopia": np.array([[0.367322, 0.860646, -0.227968],
                              [0.280085, 0.672501, 0.047413],
                              [-0.011820, 0.042940, 0.968881]]),
    "protanopia": np.array([[0.152286, 1.052583, -0.204868],
                            [0.114503, 0.786281, 0.099216],
                            [-0.003882, -0.048116, 1.051998]]),
    "grey": np.tile(LUMINANCE, (3, 1)),
}  # fmt: skip
TO_XYZ = np.array([[0.4124564, 0.3575761, 0.1804375],
                   [0.2126729, 0.7151522, 0.0721750],
                   [0.0193339, 0.1191920, 0.9503041]])  # fmt: skip


def linear(colour):
    """Return a hexadecimal colour as linear RGB."""
    srgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def contrast(one, other):
    """Return the contrast of two colours as WCAG defines it."""
    dark, light = sorted(LUMINANCE @ linear(colour) + 0.05 for colour in (one, other))
    return light / dark


def lab(colour, vision="all colours"):
    """Return how a colour looks to somebody, in CIE Lab under daylight D65."""
    xyz = TO_XYZ @ np.clip(VISIONS[vision] @ linear(colour), 0, 1) / TO_XYZ.sum(axis=1)
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


# ---------------------------------------------------------------- text on what it stands on


def leaf(values, name):
    return tg.tensor(np.asarray(values, float), requires_grad=True, name=name)


def drawings():
    """Return drawings in which every sign of the grammar occurs."""
    x, w, lost = tg.tensor(np.ones((2, 3)), name="x"), leaf(np.ones(3), "w"), leaf([0.0], "lost")
    with scope("Outer"):
        h = x * w - 1.0
        with scope("Inner"):
            h = tg.log(h) @ leaf(np.ones((3, 2)), "v")
        h = tg.exp(h.reshape(4)) * lost.detach()
    loss = h.sum()
    bad, _ = record(lambda x: (x.astype("float32") @ leaf([1.0, 1.0], "w")).sum(), ([np.nan, 1.0],))
    frozen = tg.tensor(np.ones(2), name="frozen")
    with scope("Dead"):
        off = tg.relu(leaf(-np.ones((16, 2)), "off")) * frozen - 1.0
    for options in ({"direction": "LR"}, {"depth": 0}):
        yield to_dot(off.sum(), check=True, params={"frozen": frozen}, **options)
    yield to_dot(loss)
    yield to_dot(loss, check=True, params={"lost": lost})
    yield to_dot(bad, check=True)
    yield to_dot({"h": h, "loss": loss}, depth=1)
    yield to_dot(loss, style="textbook")


@np.errstate(all="ignore")
def texts_and_fills():
    """Return each text's colour with each fill that it stands on, as names of the palette."""
    names = {light: name for name, light in style.LIGHT.items()}
    pairs = set()
    for line in (line for one in drawings() for line in one.source.splitlines()):
        cell = r'<td bgcolor="(#\w+)"[^>]*><font [^>]*color="(#\w+)">.*?</td>'  # of the legend
        pairs |= {(text, fill) for fill, text in re.findall(cell, line)}
        texts = re.findall(r'<font [^>]*color="(#\w+)"', re.sub(cell, "", line))
        texts += re.findall(r'fontcolor="(#\w+)"', line)
        fills = re.findall(r'fillcolor="(#\w+)"', line)
        if not fills:  # it has none of its own
            grounds = ["bg"] if line.startswith("\tgraph") else ["bg", "even scope", "odd scope"]
            fills = [style.LIGHT[one] for one in grounds]
        pairs |= {(text, fill) for text in texts for fill in fills}
    return sorted((names[text], names[fill]) for text, fill in pairs)


PAIRS = texts_and_fills()
# What the page to step through adds: its panel and its buttons.
PAIRS += [(text, "even scope") for text in ("gradient", "input border") if (text, "even scope")
          not in PAIRS]  # fmt: skip


def test_all_signs_were_looked_at():
    fills = {fill for _, fill in PAIRS}
    assert fills >= {*LOOKS, "bg", "even scope", "odd scope"} - {"view", "faulty input"}
    texts = {text for text, _ in PAIRS}
    assert texts >= {"ink", "mute", "result text", "broadcast", "gradient", "bad border"}
    for fill in ("param", "input", "op", "bad", "bg", "odd scope"):
        assert {("bad border", fill), ("mute", fill)} <= {*PAIRS}, fill
    assert ("mute", "folded") in PAIRS
    assert ("bad border", "folded") not in PAIRS


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("text", "fill"), PAIRS)
def test_text_can_be_read(text, fill, mode):
    one, other = (style.PALETTE[name][MODES[mode]] for name in (text, fill))
    assert contrast(one, other) >= READABLE, f"{text} on {fill}: {contrast(one, other):.2f}"


def test_each_colour_of_the_palette_occurs_once():
    for mode in MODES.values():
        colours = [pair[mode] for pair in style.PALETTE.values()]
        assert len(set(colours)) == len(colours)


# ---------------------------------------------------------------- roles


def look_of(role, fault=False):
    return style.node(Box("n", role, [], "", Region(), False, fault=fault))


LOOKS = {role: look_of(role) for role in ROLES}
LOOKS |= {"bad": look_of("op", fault=True), "faulty input": look_of("input", fault=True)}
ROLE_PAIRS = list(combinations(LOOKS, 2))


def outline(look):
    """Return what is seen of a box without its colours: shape, corners, line, and its weight."""
    line = set(look.get("style", "").split(",")) - {"filled"}
    thick = float(look.get("penwidth", 0)) >= 2
    return look["shape"], frozenset(line), look.get("peripheries", "1"), thick


def distance(one, other, vision, mode):
    """Return how far two looks are apart in the colour, of fill or border, that differs more."""
    dark = {light: pair[MODES[mode]] for light, pair in
            zip(style.LIGHT.values(), style.PALETTE.values(), strict=True)}  # fmt: skip
    ground = style.LIGHT["bg"]
    pairs = [
        [dark[look.get(key, ground)] for look in (one, other)] for key in ("fillcolor", "color")
    ]
    return max(np.linalg.norm(lab(a, vision) - lab(b, vision)) for a, b in pairs)


@pytest.mark.parametrize(("one", "other"), ROLE_PAIRS)
def test_roles_differ_in_outline_whatever_their_colours(one, other):
    assert outline(LOOKS[one]) != outline(LOOKS[other])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("vision", sorted({*VISIONS} - {"grey"}))
@pytest.mark.parametrize(("one", "other"), ROLE_PAIRS)
def test_roles_differ_in_colour_too_but_in_grey(one, other, vision, mode):
    if (one, other) == ("bad", "faulty input"):  # one colour for one thing; the outlines differ
        return
    assert distance(LOOKS[one], LOOKS[other], vision, mode) >= APART


def test_the_simulations_are_those_that_were_published():
    for name, matrix in VISIONS.items():
        assert matrix.sum(axis=1) == pytest.approx(1, abs=1e-5), name  # grey stays grey
    assert lab("#ffffff") == pytest.approx([100, 0, 0], abs=1e-2)
    assert lab("#ff0000") == pytest.approx([53.24, 80.09, 67.20], abs=0.02)  # known values of sRGB
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert np.linalg.norm(lab("#b00020", "protanopia") - lab("#b00020")) > 30


if __name__ == "__main__":
    for mode, index in MODES.items():
        least = min(
            (contrast(*(style.PALETTE[name][index] for name in pair)), pair) for pair in PAIRS
        )
        print(f"{mode}: smallest contrast {least[0]:.2f}, {' on '.join(least[1])}")
        for vision in VISIONS:
            far, pair = min((distance(*(LOOKS[one] for one in pair), vision, mode), pair)
                            for pair in ROLE_PAIRS if pair != ("bad", "faulty input"))  # fmt: skip
            print(f"{mode}, {vision}: nearest colours {' and '.join(pair)}, {far:.1f} apart")
