"""What a structure picture can show besides: shapes on the arrows, values, what is kept."""

from typing import Any

import numpy

from .graph import OPERATIONS, Picture
from .numbers import Numbers, entries, real_of

SMALL = 3  # rows and columns of an array that is written out
UNITS = ("bytes", "kB", "MB", "GB", "TB")


def place_shapes(picture: Picture, place: str | None) -> None:
    """Move the shapes of operations from the boxes to the arrows that leave them, or drop them."""
    shapes = {box: box.lines.pop()[1] for box in picture.boxes if box.role in OPERATIONS}
    for arrow in picture.arrows:
        if place == "edge" and not arrow.stretched:  # a broadcast tells the shape anyway
            arrow.shape = shapes.get(arrow.tail, "")


def add_values(picture: Picture) -> None:
    """Write the values into the boxes, of larger arrays the mean and the standard deviation."""
    numbers = Numbers(picture)
    if numbers.changed:
        told_of = f"{numbers.told}, which {numbers.verb} new ones"
        picture.caption += f" · no values of what follows {told_of}"
    for box in picture.boxes:
        if len(box.nodes) == 1 and box.role != "const" and box.nodes[0] in numbers.values:
            box.lines += [("mute", line) for line in told(numbers.values[box.nodes[0]])]


def told(array: Any) -> list[str]:
    """Write a small array row by row; say of a larger one how its entries lie."""
    if rows := entries(array, SMALL):
        return ["  ".join(row) for row in rows]
    if array.size == 0:
        return ["empty"]
    of, real = real_of(array)
    with numpy.errstate(all="ignore"):
        mean, spread = (f"{one(real):.3g}" for one in (numpy.mean, numpy.std))
    return [f"mean{of} {mean} ± {spread}".replace("-", "−")]


def add_memory(picture: Picture) -> None:
    """Say what each operation keeps for the way back, each array once, leaves' own not counted."""
    leaves = (node for box in picture.boxes for node in box.nodes if node.plan is None)
    counted = {id(node.data) for node in leaves}
    total, freed = 0, False
    for box in picture.boxes:
        made = [node for node in box.nodes if node.plan is not None and node.requires_grad]
        arrays = [one for node in made for one in node.kept or () if isinstance(one, numpy.ndarray)]
        kept = {id(one): one.nbytes for one in arrays if id(one) not in counted}
        counted.update(kept)
        total += sum(kept.values())
        freed = freed or any(node.kept is None for node in made)
        if kept:
            box.lines.append(("mute", f"keeps {size(sum(kept.values()))}"))
    whole = "freed by the walk back" if freed else f"{size(total)} kept for the way back"
    picture.caption += f" · {whole}"


def size(count: int) -> str:
    """Write a number of bytes with a unit that leaves three digits."""
    step = 0
    amount = float(count)
    while amount >= 999.5 and step < len(UNITS) - 1:
        amount, step = amount / 1000, step + 1
    return f"{amount:.3g} {UNITS[step]}"
