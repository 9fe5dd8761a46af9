"""Files of Tensors: what comes back, what is refused, and what a kill or a full disk leaves."""

import json
import os
import pickle
import signal
import stat
import struct
import subprocess
import sys
import time
import tracemalloc

import numpy as np
import pytest

import tinygraph as tg
from tinygraph import saving
from tinygraph.errors import ArgumentError, DTypeError, FileError, GraphError, ShapeError
from tinygraph.models import TwoLayerNet
from tinygraph.replay import replay

posix = pytest.mark.skipif(os.name == "nt", reason="signals, links and modes of POSIX")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "weights.safetensors"


def raw(header, numbers=b""):
    """Return the bytes of a file with this header, be it sound or not."""
    if not isinstance(header, bytes):
        header = json.dumps(header).encode()
    return struct.pack("<Q", len(header)) + header + numbers


def entry(dtype="U8", shape=(1,), offsets=(0, 1), **more):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets), **more}


# ---------------------------------------------------------------- what comes back

DTYPES = [
    "bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "longlong",
    "float16", "float32", "float64", "complex64",
]  # fmt: skip


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (5,), (2, 3, 4)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_and_shape_comes_back(path, dtype, shape):
    array = np.asarray(np.random.default_rng(0).normal(size=shape) * 50).astype(dtype)
    tg.save(path, {"a": array})
    [(name, back)] = tg.load(path).items()
    assert type(back) is tg.Tensor and back.name == name == "a" and not back.requires_grad
    assert back.dtype == array.dtype and back.dtype.isnative and back.shape == shape
    assert back.numpy().tobytes() == array.tobytes()


FORMS = {
    "big-endian": lambda a: a.astype(">f8"),
    "Fortran": np.asfortranarray,
    "transposed": lambda a: a.T,
    "strided": lambda a: a[::2, ::-1],
    "broadcast": lambda a: np.broadcast_to(a[0], (5, 4)),
    "read-only": lambda a: np.frombuffer(a.tobytes()).reshape(a.shape),
    "list": lambda a: a.tolist(),
    "number": lambda a: 2.5,
    "Tensor": tg.tensor,
    "shared": tg.asarray,
    "parameter": lambda a: tg.tensor(a, requires_grad=True),
    "recorded": lambda a: tg.tensor(a, requires_grad=True) * 2.0,
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_an_array_is_saved_by_value(path, form):
    given = FORMS[form](np.arange(12.0).reshape(3, 4))
    tg.save(path, {"a": given})
    values = given.numpy() if isinstance(given, tg.Tensor) else np.asarray(given)
    np.testing.assert_array_equal(tg.load(path)["a"], values, strict=form != "big-endian")


def test_names_are_any_text_and_come_back_in_their_order(path):
    names = ["b", "", "a", "größe", 'with "quotes"\n\0', "\U0001f600", "x" * 10_000, "sha256"]
    tg.save(str(path), {name: np.full(3, i) for i, name in enumerate(names)})
    back = tg.load(str(path))
    assert list(back) == sorted(names)
    assert [back[name].data[0] for name in names] == list(range(len(names)))
    tg.save(path, {})
    assert tg.load(path) == {}


def test_what_is_loaded_is_the_callers_own(path):
    tg.save(path, {"a": np.zeros(3), "b": np.zeros(3)})
    one, other = tg.load(path), tg.load(path)
    one["a"] += 1.0
    one["a"].requires_grad = True
    assert one["b"].numpy().sum() == other["a"].numpy().sum() == 0


def test_the_same_numbers_give_the_same_file_which_the_library_reads(path):
    from safetensors.numpy import load_file

    arrays = {"b": np.arange(6.0).reshape(2, 3).T, "a": np.array([True, False])}
    tg.save(path, arrays)
    before = path.read_bytes()
    tg.save(path, dict(reversed(arrays.items())))
    assert path.read_bytes() == before
    for name, array in load_file(path).items():
        np.testing.assert_array_equal(array, arrays[name], strict=True)


def test_a_file_of_somebody_else_has_no_checksum(path):
    from safetensors.numpy import save_file

    save_file({"a": np.arange(3)}, path, metadata={"format": "np"})
    assert tg.load(path)["a"].tolist() == [0, 1, 2]
    path.write_bytes(raw({"__metadata__": None, "a": entry()}, b"\7"))
    assert tg.load(path)["a"].tolist() == [7]


def test_the_checksum_is_the_one_that_the_documentation_describes(path):
    import hashlib

    arrays = {"b": np.arange(3, dtype="int16"), "a": np.ones((1, 2))}
    tg.save(path, arrays)
    text = b'["a", "F64", [1, 2]]' + np.ones(2).astype("<f8").tobytes()
    text += b'["b", "I16", [3]]' + np.arange(3).astype("<i2").tobytes()
    assert hashlib.sha256(text).hexdigest().encode() in path.read_bytes()


def test_memory_is_that_of_two_copies_at_most(path):
    arrays = {f"a{i}": np.zeros(100_000) for i in range(5)}
    tg.save(path, arrays)  # which imports what it needs
    tg.load(path)
    size = path.stat().st_size
    for work in (lambda: tg.save(path, arrays), lambda: tg.load(path)):
        tracemalloc.start()
        work()
        assert tracemalloc.get_traced_memory()[1] < 2.3 * size
        tracemalloc.stop()


def test_importing_tinygraph_does_not_import_the_library():
    code = "import sys, tinygraph; print('safetensors' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


# ---------------------------------------------------------------- what cannot be saved


@pytest.mark.parametrize(
    ("tensors", "error", "message"),
    [
        ({"a": np.zeros(2, "complex128")}, DTypeError, "save: 'a' is complex128, which .* Cast"),
        ({"ok": 1.0, "a": np.zeros(2, "O")}, DTypeError, "save: 'a': .*object"),
        ({"a": "text"}, DTypeError, "save: 'a': str"),
        ({"a": None}, DTypeError, "save: 'a': NoneType"),
        ({"a": np.ma.zeros(3)}, DTypeError, "save: 'a': MaskedArray"),
        ({"a": [[1.0], [1.0, 2.0]]}, ShapeError, "save: 'a': not an array"),
        ({1: 1.0}, DTypeError, "save: 1 is not a name"),
        ({"__metadata__": 1.0}, DTypeError, "'__metadata__' is not a name"),
        ({"\ud800": 1.0}, DTypeError, "surrogates"),
        ([1.0], DTypeError, "save: wants a dict of Tensors, not list"),
        (tg.tensor([1.0]), DTypeError, "wants a dict of Tensors, not Tensor"),
    ],
)
def test_what_the_format_cannot_hold_is_refused_before_anything_is_written(
    path, tensors, error, message
):
    path.write_bytes(b"before")
    with pytest.raises(error, match=message):
        tg.save(path, tensors)
    assert path.read_bytes() == b"before" and os.listdir(path.parent) == [path.name]


@pytest.mark.skipif(np.finfo("longdouble").bits == 64, reason="longdouble is float64 here")
def test_longdouble_is_refused(path):
    with pytest.raises(DTypeError, match=r"'a' is float(128|96)"):
        tg.save(path, {"a": np.zeros(2, "longdouble")})


def test_one_example_of_a_batch_is_not_saved(path):
    with pytest.raises(GraphError, match="vmap"):
        tg.vmap(lambda x: tg.save(path, {"x": x}))(np.zeros(3))
    assert not path.exists()


# ---------------------------------------------------------------- files that are not sound

MANY = 2**63
UNSOUND = {
    "empty": b"",
    "short": b"\1\0\0",
    "header beyond the file": struct.pack("<Q", 1000) + b"{}",
    "enormous header": struct.pack("<Q", 2**64 - 1) + b"{}",
    "no JSON": raw(b"not json"),
    "a list": raw(b"[]"),
    "not UTF-8": raw(b'{"\xff": 1}'),
    "deep JSON": raw(b"[" * 100_000),
    "deep JSON in an entry": raw(b'{"a":{"x":' + b"[" * 50_000 + b"]" * 50_000 + b"}}"),
    "a long number": raw(b'{"a":' + b"9" * 10_000 + b"}"),
    "cut off": raw({"a": entry("F64", (2,), (0, 16))}, bytes(15)),
    "too long": raw({"a": entry("F64", (2,), (0, 16))}, bytes(17)),
    "overlap": raw({"a": entry(offsets=(0, 1)), "b": entry(offsets=(0, 1))}, b"1"),
    "overlap in part": raw(
        {"a": entry("U8", (4,), (0, 4)), "b": entry("U8", (4,), (2, 6))}, b"123456"
    ),
    "gap": raw({"a": entry(offsets=(1, 2))}, b"12"),
    "backwards": raw({"a": entry(offsets=(1, 0))}, b"1"),
    "negative": raw({"a": entry(offsets=(-1, 0))}, b"1"),
    "shape against offsets": raw({"a": entry("F64", (3,), (0, 16))}, bytes(16)),
    "negative shape": raw({"a": entry("U8", (-1,), (0, 1))}, b"1"),
    "huge shape": raw({"a": entry("U8", (MANY, 2), (0, 1))}, b"1"),
    "huge and empty": raw({"a": entry("F64", (MANY - 1, 0), (0, 0))}),
    "huge and empty twice": raw({"a": entry("U8", (MANY, MANY, 0), (0, 0))}),
    "more axes than NumPy has": raw({"a": entry("U8", (1,) * 70)}, b"1"),
    "unknown dtype": raw({"a": entry("F99")}, b"1"),
    "dtype that NumPy has not": raw({"a": entry("BF16", (1,), (0, 2))}, b"12"),
    "boolean that is neither": raw({"a": entry("BOOL")}, b"\7"),
    "double name": raw(b'{"a":%(e)s,"a":%(e)s}' % {b"e": json.dumps(entry()).encode()}, b"1"),
    "double metadata": raw(b'{"__metadata__":{"x":"1","x":"2"}}'),
    "metadata no text": raw({"__metadata__": {"sha256": 1}}),
    "other checksum": raw({"__metadata__": {"sha256": "0" * 64}, "a": entry()}, b"1"),
    "zip": b"PK\3\4" + bytes(100),
}  # fmt: skip


@pytest.mark.parametrize("what", UNSOUND)
def test_an_unsound_file_is_refused(path, what):
    path.write_bytes(UNSOUND[what])
    with pytest.raises(FileError, match=r"^load: .*(sound safetensors file: .|is damaged)") as told:
        tg.load(path)
    assert str(path) in str(told.value)


class Trap:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("sprung",)


@pytest.mark.parametrize("disguise", ["pickle", "npz", "npy"])
def test_a_pickle_in_disguise_is_refused_and_runs_nothing(path, tmp_path, monkeypatch, disguise):
    monkeypatch.chdir(tmp_path)
    with path.open("wb") as file:
        if disguise == "pickle":
            pickle.dump({"a": Trap()}, file)
        else:
            write = np.savez if disguise == "npz" else np.save
            write(file, np.array([Trap()], dtype=object), allow_pickle=True)
    with pytest.raises(FileError, match="not a sound safetensors file"):
        tg.load(path)
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("bits", [1, pytest.param(8, marks=pytest.mark.thorough)])
def test_a_flipped_bit_of_any_byte_and_a_cut_anywhere_are_noticed(path, bits):
    arrays = {"a": np.arange(3, dtype="int16"), "b": np.array([True, False])}
    tg.save(path, arrays)
    whole = path.read_bytes()
    flipped = [
        whole[:i] + bytes([whole[i] ^ 1 << (i + bit) % 8]) + whole[i + 1 :]
        for i in range(len(whole))
        for bit in range(bits)
    ]
    refused = 0
    for content in [*flipped, *(whole[:i] for i in range(len(whole)))]:
        path.write_bytes(content)
        try:
            back = tg.load(path)
        except FileError:
            refused += 1
        else:  # a bit in the word "sha256": the numbers are what they were
            assert list(back) == ["a", "b"]
            for name, array in arrays.items():
                np.testing.assert_array_equal(back[name], array, strict=True)
    assert refused >= bits * (len(whole) - len("sha256")) + len(whole)


@pytest.mark.parametrize("where", ["", "/", "absent/file", "file/below", "zero\0byte", "folder"])
def test_what_is_no_file_is_neither_read_nor_written(tmp_path, monkeypatch, where):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_bytes(b"mine")
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileError, match=r"^save: .* cannot be written: .*folder there"):
        tg.save(where, {"a": 1.0})
    with pytest.raises(FileError, match=r"^load: .* cannot be read: "):
        tg.load(where)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"] and not os.listdir("folder")


@pytest.mark.parametrize("wrong", [3, None, b"bytes", object()])
def test_what_is_no_path(wrong):
    for work in (lambda: tg.save(wrong, {"a": 1.0}), lambda: tg.load(wrong)):
        with pytest.raises(DTypeError, match="a path is a str or a Path, not"):
            work()


@posix
def test_pipes_and_devices_are_left_alone(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")  # which keeps waiting whoever opens it to read

    def replaced(*args):  # root would do it: never to happen, not even where this test fails
        raise AssertionError("it was about to be replaced")

    monkeypatch.setattr(saving.os, "replace", replaced)
    for name in (tmp_path / "pipe", "/dev/null"):
        with pytest.raises(FileError, match="cannot be read: It is not a regular file"):
            tg.load(name)
        with pytest.raises(FileError, match="cannot be written: "):
            tg.save(name, {"a": 1.0})


# ---------------------------------------------------------------- whole or not at all


@posix
def test_modes_and_links_are_those_of_an_open(tmp_path, path):
    before = os.umask(0o027)
    try:
        tg.save(path, {"a": 1.0})
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.chmod(0o606)
    link = tmp_path / "link"
    link.symlink_to(path.name)
    tg.save(link, {"a": 2.0})
    assert link.is_symlink() and tg.load(path)["a"].item() == 2.0
    assert stat.S_IMODE(path.stat().st_mode) == 0o606
    path.unlink()
    tg.save(link, {"a": 3.0})
    assert link.is_symlink() and tg.load(path)["a"].item() == 3.0


def test_a_file_that_may_not_be_written_is_not_replaced(path, monkeypatch):
    tg.save(path, {"a": 1.0})

    def refused(name, mode):  # as it is for all but root, who may write anything
        if mode == "r+b":
            raise PermissionError(13, "Permission denied")
        return open(name, mode)

    monkeypatch.setattr(saving, "open", refused, raising=False)
    with pytest.raises(FileError, match="Permission denied"):
        tg.save(path, {"a": 2.0})
    assert tg.load(path)["a"].item() == 1.0


@pytest.mark.parametrize("fault", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("moment", ["open", "chmod", "fsync", "replace"])
def test_a_fault_at_any_moment_leaves_the_old_file_alone(path, monkeypatch, moment, fault):
    tg.save(path, {"a": 1.0})
    before = path.read_bytes()

    def broken(name, *args):
        if moment != "open" or args == ("xb",):
            raise fault
        return open(name, *args)

    if moment == "open":
        monkeypatch.setattr(saving, "open", broken, raising=False)
    else:
        monkeypatch.setattr(saving.os, moment, broken)
    expected = FileError if isinstance(fault, OSError) else KeyboardInterrupt
    with pytest.raises(expected, match="No space left" if expected is FileError else None):
        tg.save(path, {"a": 2.0})
    monkeypatch.undo()
    assert path.read_bytes() == before and os.listdir(path.parent) == [path.name]


@posix
def test_a_disk_that_fills_up_while_it_is_written(path):
    tg.save(path, {"a": 1.0})
    code = """
import resource, sys
import numpy as np
import tinygraph as tg
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    tg.save(sys.argv[1], {"a": np.zeros(100_000)})
except tg.FileError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert "cannot be written: File too large" in done.stdout, done.stderr
    assert tg.load(path)["a"].item() == 1.0 and os.listdir(path.parent) == [path.name]


def test_the_folder_is_flushed_where_that_can_be_done(path, monkeypatch):
    flushed = []

    def fsync(number, real=os.fsync):
        flushed.append(stat.S_ISDIR(os.fstat(number).st_mode))
        if flushed[-1]:
            raise OSError(22, "Invalid argument")
        real(number)

    monkeypatch.setattr(saving.os, "fsync", fsync)
    tg.save(path, {"a": 1.0})
    assert flushed == ([False] if os.name == "nt" else [False, True])
    assert tg.load(path)["a"].item() == 1.0


SAVE_FOR_EVER = """
import sys
import numpy as np
import tinygraph as tg
value = int(sys.argv[2])
tg.save(sys.argv[1], {"a": np.full(200_000, value)})
print("ready", flush=True)
while True:
    value += 2
    tg.save(sys.argv[1], {"a": np.full(200_000, value)})
"""


def savers(path, *values):
    """Start processes that save without end, once the first file is there."""
    started = [
        subprocess.Popen([sys.executable, "-c", SAVE_FOR_EVER, path, str(value)],
                         stdout=subprocess.PIPE)
        for value in values
    ]  # fmt: skip
    for one in started:
        assert one.stdout.readline() == b"ready\n"
    return started


def check_whole(path):
    values = tg.load(path)["a"].numpy()
    assert values.shape == (200_000,) and (values == values[0]).all()
    return values[0]


def kill_while_saving(path, times):
    for delay in np.random.default_rng(0).uniform(0, 0.02, times):
        [one] = savers(path, 0)
        time.sleep(delay)
        one.send_signal(signal.SIGKILL)
        one.wait()
        one.stdout.close()
        check_whole(path)


@posix
def test_a_killed_process_leaves_the_old_file_or_the_new_one(path):
    kill_while_saving(path, 4)


@posix
@pytest.mark.thorough
def test_processes_killed_at_many_moments(path):
    kill_while_saving(path, 200)


@posix
@pytest.mark.parametrize("moment", ["fsync", "replace"])
@pytest.mark.parametrize("after", [False, True])
def test_a_process_killed_at_a_given_step(path, moment, after):
    tg.save(path, {"a": np.zeros(3)})
    code = f"""
import os, sys
import tinygraph as tg
def killed(*args, real=os.{moment}):
    if {after}:
        real(*args)
    os.kill(os.getpid(), {signal.SIGKILL.value})
os.{moment} = killed
tg.save(sys.argv[1], {{"a": [1.0]}})
"""
    done = subprocess.run([sys.executable, "-c", code, path])
    assert done.returncode == -signal.SIGKILL
    new = moment == "replace" and after
    assert tg.load(path)["a"].tolist() == ([1.0] if new else [0.0, 0.0, 0.0])


@posix
def test_two_processes_save_to_the_same_file(path):
    both = savers(path, 0, 1)
    seen = {check_whole(path) % 2 for _ in range(100)}
    for one in both:
        one.terminate()
        one.wait()
        one.stdout.close()
    assert seen == {0, 1}


# ---------------------------------------------------------------- a model


def net(**more):
    return TwoLayerNet(6, 5, 4, **{"rng": 0, **more})


def test_a_model_comes_back_into_the_same_tensors(path):
    one, other = net(), net(rng=1)
    tensor = other.params["W1"]
    loss = other.loss(np.ones((2, 6)), [0, 1])
    one.save(path)
    other.load(path)
    assert other.params["W1"] is tensor is other.layers["Affine1"].W and tensor.requires_grad
    for name in one.params:
        np.testing.assert_array_equal(other.params[name].data, one.params[name].data, strict=True)
        assert other.params[name].name == name
    x, t = np.ones((2, 6)), [0, 1]
    for name, gradient in other.gradient(x, t).items():
        np.testing.assert_array_equal(gradient, one.gradient(x, t)[name])
    with pytest.raises(GraphError, match="'W1'"):  # no new numbers under an old loss
        replay([loss._node])
    loss.backward()  # a graph recorded before keeps the values that it was recorded with
    twin = net(rng=1)
    twin.loss(np.ones((2, 6)), [0, 1]).backward()
    np.testing.assert_array_equal(tensor.grad, twin.params["W1"].grad)


def changed(**changes):
    params = {**net(rng=1).params, **changes}
    return {name: one for name, one in params.items() if one is not None}


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        (changed(b2=None), ArgumentError, r"has no 'b2', only \['W1', 'W2', 'b1'\]"),
        ({}, ArgumentError, r"has no 'W1', only \[\]"),
        (changed(b3=1.0, b4=1.0), ArgumentError, "has 'b3' too, which is no parameter"),
        (changed(W2=np.ones((4, 5))), ShapeError, r"'W2' has shape \(4, 5\) in .*here \(5, 4\)"),
        (changed(b1=np.ones((1, 5))), ShapeError, r"'b1' has shape \(1, 5\) in .*here \(5,\)"),
        (changed(b2=np.ones(4, "float32")), DTypeError, "'b2' has dtype float32 in .*here float64"),
        (changed(b2=np.ones(4, int), W1=None), ArgumentError, "has no 'W1'"),
    ],
)
def test_a_file_that_does_not_fit_changes_nothing(path, params, error, message):
    tg.save(path, params)
    model = net()
    with pytest.raises(error, match=f"^load: .*{message}"):
        model.load(path)
    for name, tensor in net().params.items():
        np.testing.assert_array_equal(model.params[name].data, tensor.data)


def test_a_damaged_file_changes_nothing(path):
    net(rng=1).save(path)
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    model = net()
    with pytest.raises(FileError, match="is damaged"):
        model.load(path)
    np.testing.assert_array_equal(model.params["b2"].data, net().params["b2"].data)
