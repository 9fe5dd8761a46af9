"""The benchmark's own parts: that it sees wrong answers, and that ours are right in each case."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks is not installed

from benchmarks import cases, growth, measure, scientists
from benchmarks.measure import NUMPY, PEERS, RIGHT, TINYGRAPH, WRONG, Case, Table, agrees

CASES = {case.title: case for some in (cases.CASES | scientists.CASES).values() for case in some}
OURS = [name for name, peer in PEERS.items() if peer.startswith(("numpy", "tinygraph"))]


@pytest.mark.parametrize("title", CASES)
def test_answers(title):
    """Hand-written NumPy's numbers, after as many runs of each."""
    reference = None
    for name in filter(CASES[title].ways.get, OURS):
        if measure.installed(name):
            run, answer = CASES[title].ways[name]()
            run(), run()
            if reference is None:
                reference = answer()
                measure.demand_sharp(reference)
            assert agrees(answer(), reference), name


@pytest.mark.parametrize("name", growth.PROGRAMS)
@pytest.mark.parametrize("engine", [NUMPY, TINYGRAPH])
def test_growing_programs(name, engine):
    program, values, expected = growth.PROGRAMS[name]
    assert growth.ENGINES[engine](program, values(50), 50) == expected(50)


def test_a_deep_network():
    arrays = growth.network(16)
    ours, theirs = (growth.DEEP[name](*arrays)() for name in (TINYGRAPH, NUMPY))
    assert agrees(*([one for pair in some for one in pair] for some in (ours, theirs)))


@pytest.mark.parametrize(
    "wrong",
    [lambda a: -a, lambda a: a[::-1], lambda a: np.roll(a, 1), lambda a: a[:-1],
     lambda a: a.astype("f4"), lambda a: a * 1.001, lambda a: np.where(a == a[0], np.nan, a)],
)  # fmt: skip
def test_what_is_wrong_is_seen(wrong):
    right = np.array([1.0, 2.0, -3.0])
    assert agrees([right.copy()], [right])
    assert not agrees([wrong(right)], [right])
    assert not agrees([right, right], [right])


def test_a_table_of_what_is_missing_fails_and_is_wrong(monkeypatch):
    """A peer that isn't there, one that raises and one that is wrong are told apart."""
    monkeypatch.setitem(PEERS, "absent", "a_module_that_is_not_there")
    monkeypatch.setitem(PEERS, "no such name", "numpy:a_name_that_is_not_there")
    for name in ("fails", "turns round"):
        monkeypatch.setitem(PEERS, name, "numpy")

    def gives(*numbers):
        return lambda: (lambda: None, lambda: [np.array(numbers)])

    def fails():
        raise RecursionError("deep")

    ways = {
        NUMPY: gives(1.0, 2.0), "absent": gives(1.0, 2.0), "no such name": gives(1.0, 2.0),
        "fails": fails, "turns round": gives(2.0, 1.0),
    }  # fmt: skip
    table = Case("nothing", "s", 1, ways).measured(2)
    assert table.rows["absent"] is table.rows["no such name"] is None
    assert table.rows["fails"][-1] == "RecursionError"
    assert table.rows["turns round"][-1] == WRONG
    assert table.rows[NUMPY][-1] == RIGHT
    assert not table.right
    del table.rows["fails"], table.rows["turns round"]
    assert table.right


def test_a_table_as_markdown():
    table = Table("title", ("µs", "answer"), {"one": (1.25, RIGHT), "other": None}, "note")
    assert str(table).splitlines() == [
        "**title**",
        "",
        "|       |            µs | answer |",
        "| ----- | ------------: | -----: |",
        "| one   |          1.25 |  right |",
        "| other | not installed |        |",
        "",
        "note",
    ]
