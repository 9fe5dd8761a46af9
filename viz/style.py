"""The visual grammar: colours, and what each role looks like.

Two channels, and never colour alone: the shape of a box is its role, the line of an arrow says
whether a gradient flows back along it.
"""

from collections.abc import Iterable
from typing import Any

from .graph import ROLES, Arrow, Box, Picture, Region, short

# Light and dark. Each hexadecimal number occurs once, since an SVG turns dark by number.
PALETTE = {
    "bg": ("#ffffff", "#14181f"), "ink": ("#1b2330", "#e8ecf2"), "mute": ("#566172", "#a7b2c2"),
    "line": ("#3d4858", "#9aa7b8"), "param": ("#ffe3b0", "#4a3408"),
    "param border": ("#8a5200", "#f0b95c"), "input": ("#d3eafb", "#10384f"),
    "input border": ("#005a8f", "#6cc0f2"), "const": ("#eef0f3", "#262d38"),
    "const border": ("#6b7685", "#8b97a8"), "op": ("#fdfdfe", "#1d242f"),
    "op border": ("#3d4859", "#9aa7b9"), "folded": ("#dbe0e7", "#37414f"),
    "folded border": ("#3d485a", "#9aa7ba"), "result": ("#1b2331", "#e8ecf3"),
    "result text": ("#fffffe", "#14181e"), "even scope": ("#f4f6f9", "#1a2029"),
    "odd scope": ("#e9edf3", "#222a35"), "scope border": ("#98a3b2", "#4d5a6b"),
    "broadcast": ("#00695c", "#4fd1bd"), "gradient": ("#b3400a", "#ff9a61"),
    "bad": ("#ffd9d9", "#571a1f"), "bad border": ("#b00020", "#ff7b87"),
}  # fmt: skip
LIGHT = {name: light for name, (light, _) in PALETTE.items()}
FONT = "Arial"  # one name: from a list the two engines would pick fonts of different widths
FONTS = "Arial, 'Liberation Sans', Arimo, Helvetica, sans-serif"  # for the finished SVG
CROWDED = 400  # boxes above which the layout is given less time to straighten lines

GRAPH = {"bgcolor": LIGHT["bg"], "pad": ".25", "nodesep": ".32", "ranksep": ".42",
         "labelloc": "t", "labeljust": "l", "fontname": FONT, "fontsize": "11",
         "fontcolor": LIGHT["ink"]}  # fmt: skip
NODE = {"fontname": FONT, "fontsize": "11", "margin": "0.13,0.06", "height": ".36", "width": ".5",
        "fontcolor": LIGHT["ink"]}  # fmt: skip
EDGE = {"fontname": FONT, "fontsize": "9", "arrowsize": ".65", "penwidth": "1.1",
        "color": LIGHT["line"], "fontcolor": LIGHT["mute"]}  # fmt: skip


def _box(fill: str, border: str, width: str, style: str = "filled", **more: str) -> dict[str, str]:
    colours = {"fillcolor": LIGHT[fill], "color": LIGHT[border]}
    return {"shape": "box", "style": style, "penwidth": width, **colours, **more}


LOOKS = {
    "param": _box("param", "param border", "2.2"),
    "input": _box("input", "input border", "1.3", shape="note", margin="0.16,0.06"),
    "const": _box("const", "const border", "1.3", "filled,dotted"),
    "op": _box("op", "op border", "1.1", "rounded,filled"),
    "view": {"shape": "none", "margin": "0.06,0.02", "width": "0", "height": "0"},
    "folded": _box("folded", "folded border", "1.3", shape="box3d", margin="0.18,0.09"),
    "result": _box("result", "result", "1.2", peripheries="2"),
}
BAD = {"color": LIGHT["bad border"], "penwidth": "3"}
FAULT = {**BAD, "style": "filled", "fillcolor": LIGHT["bad"], "margin": "0.2,0.09"}
DIAGONALS = {"shape": "box", "style": "filled,diagonals"}  # shapes of another outline lose it
SPACE = '<td height="2"></td>'
KEYS: dict[str, Any] = {  # in the legend: text, fill, border and its width
    "param": ("ink", "param", "param border", 2), "view": ("mute",),
    "result": ("result text", "result", "result", 1),
}  # fmt: skip


# ---------------------------------------------------------------- labels


def escape(text: str) -> str:
    """Write text so that an HTML label shows it, and nothing in it has a meaning."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace('"', "&quot;").replace("\\", "\\\\")  # \N would be the id of the node


def font(text: str, size: int, colour: str, bold: bool = False) -> str:
    """Write text in a size and a colour of the palette."""
    text = f"<b>{escape(text)}</b>" if bold else escape(text)
    return f'<font point-size="{size}" color="{LIGHT[colour]}">{text}</font>'


def table(rows: list[str], spacing: int = 0, padding: int = 0) -> str:
    """Stack rows of cells below each other."""
    start = f'<table border="0" cellborder="0" cellspacing="{spacing}" cellpadding="{padding}">'
    return f"{start}{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"


def line(box: Box, weight: str, text: str) -> str:
    """Write one line of a box."""
    faint = weight == "mute" or (box.role == "view" and weight == "text")
    size = 9 if weight == "mute" else 10 if faint else 11
    colour = "result text" if box.role == "result" else "mute" if faint else "ink"
    return font(text, size, colour, weight == "name")


def stack(lines: list[str], space: int = 2, bad: Iterable[str] = ()) -> str:
    """Write lines below each other as a label; Graphviz would set them a little high."""
    rows = [f'<td height="{space}"></td>', *(f"<td>{one}</td>" for one in lines)]
    if wrong := [f"<td>{font(one, 9, 'bad border', bold=True)}</td>" for one in bad]:
        rows += ['<td height="3"></td>', *wrong]
    return f"<{table(rows)}>"


def label(box: Box) -> str:
    """Write the lines of a box below each other."""
    space = 6 if box.role == "folded" else 2  # below its upper edge
    return stack([line(box, weight, text) for weight, text in box.lines], space, box.bad)


def head(picture: Picture, rows: list[str], signs: list[str]) -> str:
    """Write the head of a picture: what it is, how much of it, what is wrong, what signs mean."""
    if not picture.head:
        return ""
    notes = [font(note, 9, "bad border", bold=True) for note in picture.notes]
    rows = [font(short(picture.title), 13, "ink", bold=True), *rows, *notes]
    if signs:
        rows.append(table(["".join(signs)], spacing=4))
    return "<{}>".format(table([f'<td align="left">{row}</td>' for row in rows], padding=1))


def signs(picture: Picture, roles: dict[str, str] = ROLES) -> list[str]:
    """Write what the signs in a picture mean, of those that occur."""
    cells = []
    present = {box.role for box in picture.boxes}
    for role, word in roles.items():
        look = KEYS.get(role, ("ink", role, f"{role} border", 1))
        cells += [sign(word, *look)] if role in present else []
    if any(box.fault for box in picture.boxes):
        cells.append(sign("first fault", "ink", "bad", "bad border", 3))
    if not all(arrow.gradient for arrow in picture.arrows):
        cells.append(sign("– – no gradient", "mute"))
    if any(arrow.stretched for arrow in picture.arrows):
        cells.append(sign("—< broadcast", "broadcast"))
    return cells


def sign(word: str, colour: str, fill: str = "", border: str = "", width: int = 0) -> str:
    """Write a cell of the legend."""
    look = f'bgcolor="{LIGHT[fill]}" color="{LIGHT[border]}" ' if fill else ""
    dots = ' style="dotted"' if fill == "const" else ""
    return f'<td {look}border="{width}"{dots} cellpadding="3">{font(word, 8, colour)}</td>'


# ---------------------------------------------------------------- attributes


def graph(picture: Picture, legend: bool) -> dict[str, str]:
    """Return the attributes of the whole picture."""
    label = head(picture, [font(picture.caption, 9, "mute")], signs(picture) if legend else [])
    crowded = {"nslimit": "1"} if len(picture.boxes) > CROWDED else {}
    return {**GRAPH, "rankdir": "LR" if picture.horizontal else "TB", "label": label, **crowded}


def region(one: Region) -> dict[str, str]:
    """Return the attributes of a scope."""
    return {
        "id": one.id, "class": "scope", "style": "rounded,filled", "penwidth": ".9",
        "margin": "10", "labelloc": "t", "labeljust": "r", "fontsize": "10",
        "fontcolor": LIGHT["mute"], "color": LIGHT["scope border"],
        "fillcolor": LIGHT["odd scope" if one.depth % 2 else "even scope"],
        "label": f"<<b>{escape(short(one.name))}</b>>",
    }  # fmt: skip


def node(box: Box) -> dict[str, str]:
    """Return the attributes of a box."""
    spine = {"group": "spine"} if box.spine else {}
    looks = LOOKS[box.role]
    if box.fault:
        looks = {**looks, **FAULT, **(DIAGONALS if looks["shape"] in ("box", "none") else {})}
    elif box.bad and box.role == "folded":  # on whose own fill red could not be read in the dark
        looks = {**looks, **BAD, "fillcolor": LIGHT["op"]}
    elif box.bad:
        looks = {**looks, **BAD}
    kind = f"{box.role} fault" if box.fault else box.role
    return {"id": box.id, "class": kind, "label": label(box), **spine, **looks}


def edge(arrow: Arrow) -> dict[str, str]:
    """Return the attributes of an arrow."""
    weight = 100 if arrow.spine else 1 if arrow.tail.role in ("param", "const") else 4
    attributes = {"id": arrow.id, "weight": str(weight)}
    if arrow.spine and arrow.enters:
        attributes["minlen"] = "2"  # or the parameters in the scope would push it sideways
    if not arrow.gradient:
        attributes |= {"style": "dashed", "color": LIGHT["const border"]}
    if arrow.stretched:
        attributes |= {"color": LIGHT["broadcast"], "penwidth": "1.6", "arrowhead": "crow",
                       "arrowsize": ".7"}  # fmt: skip
    if arrow.bad:
        attributes |= {"color": LIGHT["bad border"], "penwidth": "2.4"}
        if "back" in arrow.bad:  # it points the way that the bad numbers go
            attributes["dir"] = "both" if arrow.stretched or "forward" in arrow.bad else "back"
    lines = [
        font(arrow.mark, 9, "mute", bold=True) if arrow.mark else "",
        font(arrow.shape, 9, "mute") if arrow.shape else "",
        *(font(line, 9, "broadcast") for line in arrow.stretched),
        *(font(line, 9, "bad border", bold=True) for line in arrow.bad.values()),
    ]
    if any(lines):
        # The spaces make up for guesses of the width, the last row keeps the text off the line.
        rows = [f'<td align="left">&#160;&#160;{line}&#160;&#160;</td>' for line in lines if line]
        attributes["label"] = f"<{table([*rows, SPACE])}>"
    return attributes
