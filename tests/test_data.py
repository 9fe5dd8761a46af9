"""Handwritten digits: the embedded ones, IDX files good and bad, downloads without a network."""

import contextlib
import gzip
import hashlib
import http.server
import io
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as with_settings
from hypothesis import strategies as st

from tinygraph.errors import ArgumentError, FileError, MissingDependencyError
from tinygraph.models import data
from tinygraph.models.data import fetch, load_mnist, read_idx

CODES = {"uint8": 8, "int8": 9, "int16": 11, "int32": 12, "float32": 13, "float64": 14}


def idx(array):
    """Return the bytes of an IDX file that holds the array."""
    sizes = np.array(array.shape, ">u4").tobytes()
    numbers = array.astype(array.dtype.newbyteorder(">")).tobytes()
    return bytes([0, 0, CODES[array.dtype.name], array.ndim]) + sizes + numbers


@pytest.fixture
def written(tmp_path):
    def write(content):
        path = tmp_path / "file"
        path.write_bytes(content)
        return path

    return write


# The embedded digits


def test_the_default_digits():
    (x_train, t_train), (x_test, t_test) = load_mnist()
    assert x_train.shape == (8000, 784) and x_test.shape == (2000, 784)
    assert x_train.dtype == x_test.dtype == np.float32
    assert x_train.min() == x_test.min() == 0 and x_train.max() == x_test.max() == 1
    assert t_train.dtype == t_test.dtype == np.uint8
    assert np.bincount(t_train).tolist() == [784, 882, 805, 828, 789, 679, 811, 882, 755, 785]
    assert np.bincount(np.concatenate([t_train, t_test])).tolist() == [
        1001, 1127, 991, 1032, 980, 863, 1014, 1070, 944, 978
    ]  # fmt: skip


def test_other_forms_of_the_same_digits():
    (x_flat, t), (_, t_test) = load_mnist()
    (x, rows), (x_test, rows_test) = load_mnist(normalize=False, flatten=False, one_hot_label=True)
    assert x.shape == (8000, 1, 28, 28) and x_test.shape == (2000, 1, 28, 28)
    assert x.dtype == rows.dtype == np.float32 and x.max() == 255
    np.testing.assert_array_equal(x.reshape(8000, 784) / np.float32(255), x_flat)
    assert rows.shape == (8000, 10) and (rows.sum(axis=1) == 1).all()
    np.testing.assert_array_equal(rows.argmax(axis=1), t)
    np.testing.assert_array_equal(rows_test.argmax(axis=1), t_test)


def test_the_notice_is_said_once_and_on_standard_error(tmp_path):
    code = "from tinygraph.models.data import load_mnist; load_mnist(); load_mnist()"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert "8,000 + 2,000" in line and "download=True" in line and "folder=" in line


@pytest.mark.parametrize("damage", ["missing", "cut", "foreign"])
def test_damaged_embedded_digits(tmp_path, monkeypatch, damage):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, images=np.zeros((9, 28, 28)))
    content = {"cut": buffer.getvalue()[:-30], "foreign": buffer.getvalue()}
    if damage != "missing":
        (tmp_path / "digits.npz").write_bytes(content[damage])
    monkeypatch.setattr(data.importlib.resources, "files", lambda package: tmp_path)
    with pytest.raises(FileError, match="Install tinygraph again"):
        load_mnist()


# IDX files


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("shape", [(), (3,), (0, 5), (2, 3, 4)])
@pytest.mark.parametrize("dtype", CODES)
def test_idx_round_trip(written, dtype, shape, pack):
    array = np.asarray(np.random.default_rng(0).normal(size=shape) * 50).astype(dtype)
    read = read_idx(written(pack(idx(array))))
    assert read.dtype == np.dtype(dtype) and read.dtype.isnative and read.shape == shape
    np.testing.assert_array_equal(read, array)
    read[...] = 1  # the caller's own


GOOD = idx(np.arange(12, dtype="int16").reshape(3, 4))
PACKED = gzip.compress(GOOD, mtime=0)  # without the time, which would be in the tests' names


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"not an IDX file: .* \[\]"),
        (b"\0\0", "not an IDX file"),
        (b"PK\3\4 a zip file", r"not an IDX file: .* \[50 4b 03 04\]"),
        (b"\0\0\x0a\1" + bytes(8), "not an IDX file"),
        (GOOD[:9], "expected 8 bytes for the sizes of 2 axes, found 5"),
        (GOOD[:-1], r"cut off: shape \(3, 4\) of int16 needs 24 bytes, found 23"),
        (GOOD[:12], "needs 24 bytes, found 0"),
        (GOOD + b"!", r"goes on after the 24 bytes of shape \(3, 4\) of int16"),
        (gzip.compress(GOOD[:-1], mtime=0), "needs 24 bytes, found 23"),
        (gzip.compress(GOOD + bytes(99), mtime=0), "goes on after the 24 bytes"),
        (PACKED[:-1], "damaged gzip file"),
        (PACKED[:15], "damaged gzip file"),
        (PACKED[:-8] + bytes(8), "damaged gzip file: CRC"),
        (PACKED[:12] + b"\xff" * 9 + PACKED[21:], "damaged gzip file"),
        (PACKED + b"more", "damaged gzip file"),
        (b"\0\0\x0e\4" + b"\xff" * 16 + bytes(7), r"needs \d{38,} bytes, found 7"),
        (gzip.compress(b"\0\0\x0e\2" + b"\xff" * 8, mtime=0), r"needs \d{18,} bytes, found 0"),
        (b"\0\0\x08\4" + bytes(4) + b"\xff" * 12, "announces shape"),
        (b"\0\0\x08\xc8" + b"\0\0\0\1" * 200 + b"!", "announces shape"),
    ],
)
def test_bad_idx_files(written, content, message):
    path = written(content)
    with pytest.raises(FileError, match=message) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


def test_idx_files_that_cannot_be_opened(tmp_path):
    with pytest.raises(FileError, match="absent cannot be read: No such file"):
        read_idx(tmp_path / "absent")
    with pytest.raises(FileError, match="cannot be read"):
        read_idx(tmp_path)


@with_settings(max_examples=200, deadline=None)
@given(
    start=st.sampled_from(
        [b"", b"\0\0\x08\1", b"\0\0\x0b\2\0\0\0\1", b"\x1f\x8b\x08\0", PACKED[:20]]
    ),
    rest=st.binary(max_size=60),
    pack=st.booleans(),
)
def test_random_bytes_are_an_array_or_a_file_error(tmp_path_factory, start, rest, pack):
    path = tmp_path_factory.getbasetemp() / "random"
    path.write_bytes(gzip.compress(start + rest) if pack else start + rest)
    with contextlib.suppress(FileError):
        assert isinstance(read_idx(path), np.ndarray)


# MNIST from a folder

TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = data._FILES


def images(count):
    return np.random.default_rng(count).integers(0, 256, (count, 28, 28), dtype="uint8")


@pytest.fixture
def folder(tmp_path):
    arrays = {
        TRAIN_IMAGES: images(5),
        TRAIN_LABELS: np.array([3, 1, 4, 1, 5], dtype="uint8"),
        TEST_IMAGES: images(2),
        TEST_LABELS: np.array([9, 0], dtype="uint8"),
    }
    for name, array in arrays.items():
        (tmp_path / name).write_bytes(idx(array))
    return tmp_path


@pytest.mark.parametrize("pack", [False, True])
def test_mnist_from_a_folder(folder, pack, capsys):
    if pack:
        for name in data._FILES:
            (folder / f"{name}.gz").write_bytes(gzip.compress((folder / name).read_bytes()))
            (folder / name).unlink()
    (x_train, t_train), (x_test, t_test) = load_mnist(normalize=False, folder=str(folder))
    np.testing.assert_array_equal(x_train, images(5).reshape(5, 784))
    np.testing.assert_array_equal(x_test, images(2).reshape(2, 784))
    assert x_train.dtype == np.float32
    assert t_train.tolist() == [3, 1, 4, 1, 5] and t_test.tolist() == [9, 0]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        (TRAIN_IMAGES, images(4), "4 images in .*, but 5 labels in"),
        (TRAIN_LABELS, np.array([3, 1, 4, 1, 10], dtype="uint8"), "holds a label 10, more than 9"),
        (TEST_IMAGES, images(2)[:, 1:], r"uint8 of shape \(2, 27, 28\), not uint8 images"),
        (TEST_IMAGES, images(2).astype("int16"), "holds int16"),
        (TEST_IMAGES, np.array(7, dtype="uint8"), r"shape \(\), not uint8 images"),
        (TEST_LABELS, np.zeros((2, 1), dtype="uint8"), r"shape \(2, 1\), not uint8 labels"),
        (TEST_LABELS, np.zeros(2, dtype="int32"), "holds int32 .* not uint8 labels"),
    ],
)
def test_a_folder_whose_files_do_not_belong_together(folder, name, array, message):
    (folder / name).write_bytes(idx(array))
    with pytest.raises(FileError, match=message):
        load_mnist(folder=folder)


def test_a_folder_that_lacks_a_file_or_is_none(folder):
    (folder / TEST_LABELS).unlink()
    with pytest.raises(FileError, match=rf"neither {TEST_LABELS} nor {TEST_LABELS}.gz .* download"):
        load_mnist(folder=folder)
    with pytest.raises(FileError, match=f"neither {TRAIN_IMAGES}"):
        load_mnist(folder=folder / "absent")
    with pytest.raises(FileError, match=f"neither {TRAIN_IMAGES}"):
        load_mnist(folder=folder / TRAIN_IMAGES)


# Downloads


class Server(http.server.ThreadingHTTPServer):
    """Serves `files` (name: bytes) on this machine and counts what it is asked for."""

    def __init__(self):
        self.files, self.asked, self.begun = {}, [], threading.Event()
        super().__init__(("127.0.0.1", 0), Answer)
        self.address = f"http://127.0.0.1:{self.server_port}/"


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        name = self.path.strip("/")
        self.server.asked.append(name)
        content = self.server.files.get(name)
        if name.startswith("trickle"):
            return self.trickle(b"HTTP/1.0 200 OK\r\n" + b"\r\n" * (name == "trickle-numbers"))
        self.send_response(404 if content is None else 200)
        # A file named so announces more than it sends.
        self.send_header("Content-Length", str(len(content or b"") + 10 * (name == "broken-off")))
        self.end_headers()
        self.wfile.write(content or b"")

    def trickle(self, content):
        with contextlib.suppress(OSError):  # until the other side has enough
            self.wfile.write(content)
            self.server.begun.set()
            while True:
                self.wfile.write(b"a")
                time.sleep(0.02)

    def log_message(self, *args):
        pass


@pytest.fixture
def pooch(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return pytest.importorskip("pooch")


@pytest.fixture
def server(pooch):
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def test_fetch_keeps_a_file_and_asks_once(server, tmp_path):
    server.files["digits.gz"] = PACKED
    cache = tmp_path / "new" / "cache"
    for _ in range(2):
        path = fetch(server.address + "digits.gz", sha256=sha256(PACKED).upper(), cache=str(cache))
        assert path == cache / "digits.gz" and path.read_bytes() == PACKED
    assert server.asked == ["digits.gz"]


def test_fetch_replaces_a_file_that_is_not_the_right_one(server, tmp_path):
    server.files["digits.gz"] = PACKED
    (tmp_path / "digits.gz").write_bytes(PACKED[:5])
    path = fetch(server.address + "digits.gz", sha256=sha256(PACKED), cache=tmp_path)
    assert path.read_bytes() == PACKED


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("changed", "not the file with the SHA-256 .* not kept. Try again"),
        ("broken-off", "cannot be fetched .* Look after the connection"),
        ("absent", "cannot be fetched .*404"),
        ("page", "not the file with the SHA-256"),
        ("empty", "not the file with the SHA-256"),
    ],
)
def test_a_failed_fetch_leaves_nothing(server, tmp_path, name, message):
    page = b"<!doctype html><title>Sign in to the network of this hotel</title>"
    server.files = {"changed": b"other", "broken-off": b"part", "page": page, "empty": b""}
    with pytest.raises(FileError, match=message):
        fetch(server.address + name, sha256=sha256(b"part"), cache=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_fetch_does_not_wait_for_ever(pooch, tmp_path, monkeypatch):
    assert data.TIMEOUT <= 30
    monkeypatch.setattr(data, "TIMEOUT", 0.1)
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(FileError, match="timed out"),
    ):
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/digits.gz"
        fetch(url, sha256=sha256(PACKED), cache=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("what", ["numbers", "head"])
def test_fetch_does_not_wait_for_a_server_that_trickles(server, tmp_path, monkeypatch, what):
    monkeypatch.setattr(data, "TIMEOUT", 0.2)  # each byte comes in time, the file would not
    begin = time.monotonic()
    with pytest.raises(FileError, match=r"timed out: 0.2 s brought too little.* other means"):
        fetch(f"{server.address}trickle-{what}", sha256=sha256(b""), cache=tmp_path)
    assert time.monotonic() - begin < 2
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_fetch_leaves_nothing(server, tmp_path, monkeypatch):
    class Interrupted(data.queue.SimpleQueue):
        def get(self, **options):
            raise KeyboardInterrupt

    monkeypatch.setattr(data.queue, "SimpleQueue", Interrupted)
    server.files["digits.gz"] = PACKED
    with pytest.raises(KeyboardInterrupt):
        fetch(server.address + "digits.gz", sha256=sha256(PACKED), cache=tmp_path)
    assert list(tmp_path.iterdir()) == []


FETCH = """
import sys
from tinygraph.models.data import fetch
url, sha256, cache = sys.argv[1:]
print(fetch(url, sha256=sha256, cache=cache))
"""


def fetching(url, content, cache):
    arguments = [sys.executable, "-c", FETCH, url, sha256(content), str(cache)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes_fetch_the_same_file(server, tmp_path):
    server.files["digits.gz"] = content = np.random.default_rng(0).bytes(3_000_000)
    both = [fetching(server.address + "digits.gz", content, tmp_path) for _ in range(2)]
    for one in both:
        out, err = one.communicate(timeout=30)
        assert out == f"{tmp_path / 'digits.gz'}\n", err
    assert [path.name for path in tmp_path.iterdir()] == ["digits.gz"]
    assert (tmp_path / "digits.gz").read_bytes() == content


def test_a_killed_fetch_leaves_no_file_under_its_name(server, tmp_path):
    one = fetching(server.address + "trickle-numbers", b"", tmp_path)
    assert server.begun.wait(20)
    one.kill()
    one.communicate()
    assert not (tmp_path / "trickle-numbers").exists()


def test_fetch_into_a_folder_that_is_read_only(server, pooch, tmp_path, monkeypatch):
    server.files["digits.gz"] = PACKED
    url, checksum = server.address + "digits.gz", sha256(PACKED)

    def refused(**options):  # as it is for all but root
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(pooch.utils.tempfile, "NamedTemporaryFile", refused)
    with pytest.raises(FileError, match=r"Permission denied.* Look after .* the folder"):
        fetch(url, sha256=checksum, cache=tmp_path)
    assert list(tmp_path.iterdir()) == [] == server.asked
    (tmp_path / "digits.gz").write_bytes(PACKED)  # what is there already is used all the same
    assert fetch(url, sha256=checksum, cache=tmp_path).read_bytes() == PACKED


def test_fetch_into_what_is_not_a_folder(pooch, tmp_path):
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(FileError, match=r"cannot be fetched into .*file"):
        fetch("http://127.0.0.1/digits.gz", sha256=sha256(PACKED), cache=tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"mine"


@pytest.mark.parametrize(
    "url", ["digits.gz", "file:///digits.gz", "http://a.org/", "http://a.org/.."]
)
def test_fetch_wants_the_address_of_a_file(url, tmp_path):
    with pytest.raises(ArgumentError, match="not the http or https address of a file"):
        fetch(url, sha256=sha256(b""), cache=tmp_path)


@pytest.mark.parametrize("wrong", ["", "abc", "g" * 64, sha256(b"") + "0"])
def test_fetch_wants_a_checksum(wrong, tmp_path):
    with pytest.raises(ArgumentError, match="not 64 hexadecimal digits"):
        fetch("http://a.org/file", sha256=wrong, cache=tmp_path)


def test_fetch_without_pooch_names_the_command(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(MissingDependencyError, match="pip install pooch"):
        load_mnist(download=True, folder=tmp_path)


def test_mnist_downloaded(server, pooch, folder, tmp_path, monkeypatch):
    sums = {}
    for name in data._FILES:
        server.files[f"{name}.gz"] = content = gzip.compress((folder / name).read_bytes())
        sums[name] = sha256(content)
    monkeypatch.setattr(data, "_FILES", sums)
    monkeypatch.setattr(data, "MIRROR", server.address)
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "home" / name)
    for cache, where in [(tmp_path / "cache", tmp_path / "cache"), (None, tmp_path / "home")]:
        (_, t_train), (x_test, _) = load_mnist(folder=cache, download=True)
        assert t_train.tolist() == [3, 1, 4, 1, 5] and x_test.shape == (2, 784)
        assert len(list(where.rglob("*.gz"))) == 4
    assert len(server.asked) == 8


def test_mnist_without_a_network_says_what_to_do(pooch, tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setattr(data, "MIRROR", f"http://127.0.0.1:{port}/")
    with pytest.raises(FileError, match=r"folder=.* come with tinygraph"):
        load_mnist(download=True, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", data._FILES)
def test_the_checksums_are_checksums(name):
    assert len(bytes.fromhex(data._FILES[name])) == 32
