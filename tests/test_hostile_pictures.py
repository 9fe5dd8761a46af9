"""Pictures of hostile names: in DOT, SVG and HTML they are text, and the rest stays as it is."""

import html.parser
import json
import re
import xml.etree.ElementTree as xml
from collections import Counter

import pytest

import tinygraph as tg
from tinygraph.viz import render, to_dot, to_html

NAMES = {
    "script": "<script>alert(1)</script>",
    "image": '<img src=x onerror="alert(1)">',
    "end of a tag": '"/></svg></body></html>',
    "record": "{a|<f0> b|{c}}",
    "DOT": '"]; evil [label="x"]; //',
    "HTML label": "<<b>bold</b>>",
    "entity": "&lt;b&gt; &#60; &evil; &",
    "backslash": "\\N \\l \\\\ \\",
    "newline": "a\nb\r\nc",
    "CDATA": "]]> <![CDATA[ --> <!-- <?x ?>",
    "address": "javascript:alert(1)",
    "template": "${alert(1)} {{x}} `x` %s %d",
    "end of a script": "</script><svg onload=alert(1)>",
    "right to left": "\u202eabc\u202c \u05d0\u05d1",
    "control": "a\x00b\x1b[31m\x7f\ufffe",
    "surrogate": "a\ud800b",
    "emoji": "\U0001f600 \u0301",
    "long": "x" * 10_000,
    "blank": "   ",
}
hostile = pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)


def graph(name):
    """Return a result whose leaf, operation, region and key have a name."""
    x = tg.tensor([1.0, 2.0], requires_grad=True, name=name)
    with tg.scope(name):
        y = tg.exp(x) * 2.0
        y.name = name
    return {name: y.sum()}


def addresses(attributes):
    """Return what a browser would run or fetch."""
    return {
        key: value for key, value in attributes
        if key.startswith("on") or key.rpartition("}")[2] in ("href", "src", "style", "srcdoc")
    }  # fmt: skip


def elements(svg):
    """Return how many there are of each element of an SVG, and all that could run."""
    root = xml.fromstring(re.sub(r"<!DOCTYPE[^>]*>", "", svg))
    kinds = Counter(one.tag for one in root.iter())
    kinds -= Counter({one: kinds[one] for one in kinds if one.endswith(("}text", "}tspan"))})
    return kinds, [sorted(addresses(one.items())) for one in root.iter() if addresses(one.items())]


class Page(html.parser.HTMLParser):
    """The elements of a page, its scripts, and what could run."""

    def __init__(self, text):
        super().__init__()
        self.kinds, self.running, self.scripts, self.inside = Counter(), [], [], None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.inside = tag
        if tag not in ("text", "tspan"):  # a long name takes several lines
            self.kinds[tag] += 1
        self.running += sorted(key for key, _ in attrs if addresses([(key, "")]))

    def handle_data(self, data):
        if self.inside == "script":
            self.scripts.append(data)

    def handle_endtag(self, tag):
        self.inside = None


@hostile
def test_a_picture_has_the_elements_of_one_with_harmless_names(name, tmp_path):
    pictures = []
    for i, one in enumerate(("harmless", name)):
        path = render(graph(one), tmp_path / f"{i}.svg")
        pictures.append(elements(path.read_text("utf-8")))
    assert pictures[0] == pictures[1]


@hostile
@pytest.mark.parametrize("style", ["structure", "textbook"])
def test_a_page_has_the_elements_and_scripts_of_one_with_harmless_names(name, style):
    ours, theirs = (Page(to_html(graph(one)[one], style=style, title=one))
                    for one in ("harmless", name))  # fmt: skip
    assert ours.kinds == theirs.kinds
    assert ours.running == theirs.running
    assert len(ours.scripts) == len(theirs.scripts)
    for one, other in zip(ours.scripts, theirs.scripts, strict=True):
        if one != other:  # data: it reads as such, and cannot end the element
            assert len(json.loads(one)) == len(json.loads(other))
            assert "</" not in other


@hostile
def test_dot_reads_the_source_as_the_same_graph(name):
    sources = [to_dot(graph(one)).source for one in ("harmless", name)]
    shape = [re.sub(r'<<.*>>|"(?:[^"\\]|\\.)*"|<[^<>\n]*>|\s+', "", one) for one in sources]
    counted = [Counter(re.findall(r"->|\bnode\b|\bedge\b|subgraph|[;{}\[\]]", s)) for s in shape]
    assert counted[0] == counted[1]


@pytest.mark.parametrize("name", ["script", "entity", "record", "end of a script", "CDATA"])
def test_the_name_is_there_as_text(name, tmp_path):
    root = xml.fromstring(
        re.sub(r"<!DOCTYPE[^>]*>", "", render(graph(NAMES[name]), tmp_path / "x.svg").read_text())
    )
    shown = "".join("".join(root.itertext()).split())
    assert "".join(NAMES[name].split())[:12] in shown.replace("\u200b", "")
