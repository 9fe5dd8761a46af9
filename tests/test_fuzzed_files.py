"""Mutated files and hostile graphs: an answer or an error of ours, in little time and memory."""

import contextlib
import gzip
import json
import re
import struct
import sys
import time
import tracemalloc
import xml.etree.ElementTree as xml

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tinygraph as tg
from tinygraph.errors import TinygraphError
from tinygraph.models.data import read_idx
from tinygraph.viz import to_dot

SECONDS = 5.0  # for one input; a hundred times what the slowest took
# Bytes of memory that any work may take, beside ten times its input: its own, and what gzip reads
# ahead, which is 8 KiB up to Python 3.11 and 128 KiB from 3.12 on.
BASE = 100_000 + (2**17 if sys.version_info >= (3, 12) else 0)

AMOUNTS = [
    pytest.param(60, id="few"),
    pytest.param(12_000, id="many", marks=pytest.mark.thorough),
]


class Meter:
    """Runs work on inputs; keeps how many there were, the slowest and the largest."""

    def __init__(self):
        self.inputs = self.refused = 0
        self.slowest = self.largest = self.total = 0.0

    def run(self, size, work, *args):
        tracemalloc.start()
        begin = time.perf_counter()
        try:
            return work(*args)
        except TinygraphError:
            self.refused += 1
        finally:
            seconds = time.perf_counter() - begin
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            self.inputs += 1
            self.total += seconds
            self.slowest, self.largest = max(self.slowest, seconds), max(self.largest, peak)
            assert seconds < SECONDS
            assert peak < 10 * size + BASE

    def __str__(self):
        return (
            f"{self.inputs:,} inputs, {self.refused:,} refused, {self.total:.1f} s, slowest "
            f"{self.slowest * 1000:.1f} ms, most memory {self.largest / 1000:.0f} kB"
        )


@pytest.fixture
def meter():
    meter = Meter()
    yield meter
    print(f"\n{meter}")


def fuzz(amount, strategy, check):
    """Call `check` with so many examples of a strategy."""
    quiet = settings(
        max_examples=amount, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    quiet(given(strategy)(check))()


# ---------------------------------------------------------------- mutated bytes

INTERESTING = [
    *(struct.pack("<Q", n) for n in (0, 1, 2**31, 2**32 - 1, 2**53, 2**63, 2**64 - 1)),
    *(struct.pack(">I", n) for n in (0, 1, 2**16, 2**31 - 1, 2**32 - 1)),
    b"\0", b"\xff", b'"', b"{", b"}", b"[", b"]", b",", b"-1", b"1e9", b"null", b"\\ud800",
    b"99999999999999999999", b'"F64"', b'"BOOL"', b'"F4"', b'"C64"', b"__metadata__",
    b"data_offsets", b"PK\3\4", b"\x1f\x8b\x08\0", b"\x80\4\x95",
]  # fmt: skip


@st.composite
def mutated(draw, sound):
    """Draw a sound file, cut, patched, shuffled and flipped in up to six places."""
    content = bytearray(draw(st.sampled_from(sound)))
    place = st.integers(0, max(len(content) - 1, 0))
    for _ in range(draw(st.integers(0, 6))):
        at, until = sorted((draw(place), draw(place)))
        match draw(st.integers(0, 6)):
            case 0 if at < len(content):
                content[at] ^= 1 << draw(st.integers(0, 7))
            case 1:
                del content[at:]
            case 2:
                del content[at : min(until, at + 16)]
            case 3:
                content[at:at] = content[at:until]
            case 4:
                content[at:at] = draw(st.binary(max_size=8))
            case 5:
                patch = draw(st.sampled_from(INTERESTING))
                content[at : at + len(patch)] = patch
            case 6:
                content[at:at] = draw(st.sampled_from(INTERESTING))
    return bytes(content)


def packed(arrays, metadata=None):
    from safetensors.numpy import save

    return save(arrays, metadata)


@pytest.fixture(scope="module")
def sound_tensors(tmp_path_factory):
    path = tmp_path_factory.mktemp("sound") / "file"
    tg.save(path, {"W": np.arange(6.0).reshape(2, 3), "b": np.zeros(0), "t": np.array(True)})
    return [
        path.read_bytes(),
        packed({"a": np.arange(4, dtype="int16"), "flags": np.array([True, False])}),
        packed({f"w{i}": np.full(3, i, "float32") for i in range(9)}, {"format": "np"}),
        packed({"z": np.ones(2, "complex64"), "h": np.ones((1, 1), "float16")}),
        packed({}),
        struct.pack("<Q", 2) + b"{}" + bytes(5000),
    ]


HEADERS = st.dictionaries(
    st.text(max_size=3) | st.just("__metadata__"),
    st.fixed_dictionaries(
        {
            "dtype": st.sampled_from(["U8", "F32", "F64", "BOOL", "C64", "BF16", "F4", "F8_E4M3"]),
            "shape": st.lists(st.sampled_from([0, 1, 2, 3, 8, 2**31, 2**62, 2**64]), max_size=4),
            "data_offsets": st.lists(st.integers(0, 32), min_size=2, max_size=2).map(sorted),
        }
    )
    | st.dictionaries(st.sampled_from(["sha256", "format"]), st.text(max_size=5)),
    max_size=4,
).map(lambda header: json.dumps(header).encode())


@pytest.mark.parametrize("amount", AMOUNTS)
def test_mutated_tensor_files(tmp_path, meter, sound_tensors, amount):
    path = tmp_path / "file"

    def check(content):
        path.write_bytes(content)
        found = meter.run(len(content), tg.load, path)
        for name, tensor in (found or {}).items():
            assert type(tensor) is tg.Tensor and tensor.name == name
            assert tensor.numpy().nbytes <= len(content)

    made = st.builds(
        lambda header, numbers: struct.pack("<Q", len(header)) + header + numbers,
        HEADERS,
        st.binary(max_size=32),
    )
    fuzz(amount, mutated(sound_tensors) | made, check)
    assert 0 < meter.refused < meter.inputs


def idx(array, code):
    return struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape) + array.tobytes()


SOUND_IDX = [
    idx(np.arange(12, dtype=">i2").reshape(3, 4), 11),
    idx(np.arange(60, dtype=">u1").reshape(3, 4, 5), 8),
    idx(np.zeros((0, 5), ">f8"), 14),
    idx(np.array(1.0, ">f4"), 13),
    b"\0\0\x08\1" + struct.pack(">I", 4000) + bytes(4000),
]
SOUND_IDX += [gzip.compress(one, mtime=0) for one in SOUND_IDX]


@pytest.mark.parametrize("amount", AMOUNTS)
def test_mutated_idx_files(tmp_path, meter, amount):
    path = tmp_path / "file"

    def check(content):
        path.write_bytes(content)
        # What is packed counts as what it unpacks to, which may be a thousand times as much.
        size = len(content) + 5000 * (content[:2] == b"\x1f\x8b")
        found = meter.run(size, read_idx, path)
        assert found is None or (isinstance(found, np.ndarray) and found.dtype.isnative)

    repacked = mutated(SOUND_IDX[: len(SOUND_IDX) // 2]).map(lambda one: gzip.compress(one, 1))
    fuzz(amount, mutated(SOUND_IDX) | repacked, check)
    assert 0 < meter.refused < meter.inputs


# ---------------------------------------------------------------- hostile graphs

NAMES = st.one_of(
    st.text(max_size=12),
    st.text(st.characters(), min_size=1, max_size=5).map(lambda text: text * 300),
    st.text(st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp", "Mn"]), max_size=8),
    st.sampled_from(
        ['"]; evil [label="', "</b></font></td>", "<script>alert(1)</script>", "{a|b}", "\\N\\G\\l",
         "&#60;b&#62;", "&", "\u202egnp.x", "n0", "graph", "-->", "]]>", "<!--", "\\", '\\"', "a:b"]
    ),
)  # fmt: skip
OPERATIONS = [
    tg.exp, tg.abs, tg.sum, lambda a: a.T, lambda a: a[..., None], lambda a: tg.reshape(a, (-1,)),
    lambda a, b: a + b, lambda a, b: a * b, lambda a, b: a / b, lambda a, b: tg.stack([a, a]),
    lambda a, b: tg.where(a > 0, a, b), lambda a: a.astype("float32"), lambda a: a * np.inf,
]  # fmt: skip
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "style": st.sampled_from(["structure", "textbook"]),
        "direction": st.sampled_from(["LR", "TB"]),
        "title": NAMES,
        "legend": st.booleans(),
        "check": st.booleans(),
        "depth": st.integers(0, 3),
        "fold": st.booleans(),
        "max_nodes": st.integers(1, 20),
        "shapes": st.sampled_from(["node", "edge", None]),
        "values": st.booleans(),
        "memory": st.booleans(),
    },
)


@st.composite
def graphs(draw):
    """Draw a recorded graph, or several results, under names that nobody expects."""
    shape = draw(st.sampled_from([(), (0,), (2,), (1, 3)]))
    made = [
        tg.tensor(np.ones(shape), requires_grad=draw(st.booleans()), name=draw(NAMES | st.none()))
        for _ in range(draw(st.integers(1, 3)))
    ]
    with contextlib.ExitStack() as scopes, np.errstate(all="ignore"):
        for _ in range(draw(st.integers(0, 12))):
            if draw(st.integers(0, 3)) == 0:
                scopes.enter_context(tg.scope(draw(NAMES)))
            operation = draw(st.sampled_from(OPERATIONS))
            operands = draw(st.lists(st.sampled_from(made), min_size=1, max_size=2))
            with contextlib.suppress(TinygraphError, TypeError):
                one = operation(*operands)
                if draw(st.booleans()):
                    one.name = draw(NAMES)
                made.append(one)
    if draw(st.booleans()):
        return made[-1]
    return draw(st.dictionaries(NAMES, st.sampled_from(made), max_size=3))


LABEL = re.compile(r"(?<=label=)<.*>(?= \w+=|\])")
QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
TAGS = {"label", "table", "tr", "td", "font", "b", "i", "u", "br", "sub", "sup"}


def check_source(source):
    """Check that names are text in labels and in quotes, and nowhere else."""
    for found in LABEL.findall(source):
        root = xml.fromstring(f"<label>{found[1:-1]}</label>")
        assert {one.tag for one in root.iter()} <= TAGS
    bare = QUOTED.sub('""', LABEL.sub("<>", source))
    assert re.fullmatch(r"[\w\s.:;,=\[\]{}<>\"-]*", bare, re.ASCII), bare
    for word in ("evil", "alert", "gnp"):
        assert word not in bare


@pytest.mark.parametrize("amount", AMOUNTS)
def test_hostile_names_and_structures_in_pictures(meter, amount):
    def check(case):
        obj, options = case
        with np.errstate(all="ignore"):
            drawing = meter.run(200_000, lambda: to_dot(obj, **options))
        if drawing is not None:
            drawing.source.encode()
            check_source(drawing.source)

    fuzz(amount, st.tuples(graphs(), OPTIONS), check)
    assert 0 < meter.refused < meter.inputs
