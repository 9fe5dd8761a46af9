"""Handwritten digits: some that come with tinygraph, all of them from a folder or the network."""

import functools
import gzip
import importlib.resources
import math
import queue
import re
import sys
import threading
import zipfile
import zlib
from collections.abc import Sequence
from os import PathLike
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast
from urllib.parse import urlsplit

import numpy as np

from tinygraph.errors import ArgumentError, FileError, MissingDependencyError

MIRROR = "https://ossci-datasets.s3.amazonaws.com/mnist/"
TIMEOUT = 30  # seconds, for each wait of a download

# The four files of MNIST, as they are read, and the SHA-256 of each one's .gz.
_FILES = {
    "train-images-idx3-ubyte": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
_SIDE = 28
_CLASSES = 10
_EMBEDDED_TRAIN = 8000

# The third byte of an IDX file; its numbers are big-endian.
_IDX_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_PIECE = 1 << 16  # bytes read at a time

Set = tuple[np.ndarray, np.ndarray]  # images and their labels


def load_mnist(
    normalize: bool = True,
    flatten: bool = True,
    one_hot_label: bool = False,
    *,
    folder: str | PathLike[str] | None = None,
    download: bool = False,
) -> tuple[Set, Set]:
    """Load handwritten digits: images and their labels, to train and to test.

    By default these are the 10,000 images of MNIST that come with tinygraph, 8,000 to train and
    2,000 to test; a line on standard error says so, once. All 70,000 come from `folder`, or from
    the network with `download`.

    Parameters
    ----------
    normalize : bool
        Scale the grey levels to 0 … 1; otherwise they go from 0 to 255.
    flatten : bool
        Give an image as a row of 784 numbers; otherwise as (1, 28, 28).
    one_hot_label : bool
        Give a label as a row of ten, with a 1 at the digit; otherwise as the digit.
    folder : path, optional
        A folder with MNIST's four IDX files, plain or compressed (``.gz``).
    download : bool
        Fetch the four files (11 MB) into `folder`, or into the user's cache, unless they are
        there already. A ``.gz`` there that is not MNIST's own is replaced.

    Returns
    -------
    (x_train, t_train), (x_test, t_test) : pairs of ndarrays
        Images are float32, labels uint8 or, one-hot, float32.

    Raises
    ------
    FileError
        A file is missing, damaged, not MNIST's, or cannot be fetched.

    Examples
    --------
    >>> (x_train, t_train), (x_test, t_test) = load_mnist(one_hot_label=True)
    >>> x_train.shape, t_train.shape, x_test.shape, t_test.shape
    ((8000, 784), (8000, 10), (2000, 784), (2000, 10))
    """
    if download:
        train, test = _read_sets(_fetched(folder))
    elif folder is not None:
        train, test = _read_sets(_found(Path(folder)))
    else:
        train, test = _embedded()

    def prepare(images: np.ndarray, labels: np.ndarray) -> Set:
        x = images / np.float32(255) if normalize else images.astype(np.float32)
        x = x.reshape((-1, _SIDE * _SIDE) if flatten else (-1, 1, _SIDE, _SIDE))
        return x, np.eye(_CLASSES, dtype=np.float32)[labels] if one_hot_label else labels

    return prepare(*train), prepare(*test)


def _embedded() -> tuple[Set, Set]:
    """Return the digits that come with the package, as two pairs of images and labels."""
    try:
        source = importlib.resources.files("tinygraph.models") / "digits.npz"
        with source.open("rb") as file, np.load(file) as arrays:
            images, labels = arrays["images"], arrays["labels"]
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise FileError(
            f"load_mnist: the digits that come with tinygraph cannot be read ({error}). "
            "Install tinygraph again."
        ) from error
    _say_which_digits()
    cut = _EMBEDDED_TRAIN
    return (images[:cut], labels[:cut]), (images[cut:], labels[cut:])


@functools.cache  # which makes it once per process
def _say_which_digits() -> None:
    print(
        "load_mnist: these are the 8,000 + 2,000 digits of MNIST that come with tinygraph; "
        "all 70,000: load_mnist(download=True) or load_mnist(folder=...).",
        file=sys.stderr,
    )


def _found(folder: Path) -> list[Path]:
    """Return the paths of the four files in `folder`, plain or compressed."""
    paths = []
    for name in _FILES:
        path = folder / name
        if not path.is_file():
            path = folder / f"{name}.gz"
        if not path.is_file():
            raise FileError(
                f"load_mnist: neither {name} nor {name}.gz is in {folder}. Put MNIST's four files "
                "there, or let download=True fetch them."
            )
        paths.append(path)
    return paths


def _fetched(folder: str | PathLike[str] | None) -> list[Path]:
    """Return the paths of the four files in `folder` (None: the user's cache), fetching them."""
    try:
        return [fetch(f"{MIRROR}{name}.gz", sha256=_FILES[name], cache=folder) for name in _FILES]
    except FileError as error:
        raise FileError(
            f"{error} load_mnist works without a network too: with folder=, a folder of MNIST's "
            "four files, or with neither argument, on the digits that come with tinygraph."
        ) from error


def _read_sets(paths: Sequence[Path]) -> tuple[Set, Set]:
    """Read four IDX files, in the order of `_FILES`, into two pairs of images and labels."""
    train_images, train_labels, test_images, test_labels = paths
    return _read_set(train_images, train_labels), _read_set(test_images, test_labels)


def _read_set(images_path: Path, labels_path: Path) -> Set:
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.dtype != np.uint8 or images.shape[1:] != (_SIDE, _SIDE):
        raise FileError(
            f"load_mnist: {images_path} holds {images.dtype} of shape {images.shape}, "
            f"not uint8 images of shape (N, {_SIDE}, {_SIDE})."
        )
    if labels.dtype != np.uint8 or labels.ndim != 1:
        raise FileError(
            f"load_mnist: {labels_path} holds {labels.dtype} of shape {labels.shape}, "
            "not uint8 labels of shape (N,)."
        )
    if len(images) != len(labels):
        raise FileError(
            f"load_mnist: {len(images)} images in {images_path}, "
            f"but {len(labels)} labels in {labels_path}."
        )
    if (labels >= _CLASSES).any():
        raise FileError(f"load_mnist: {labels_path} holds a label {labels.max()}, more than 9.")
    return images, labels


def read_idx(path: str | PathLike[str]) -> np.ndarray:
    """Read an array from an IDX file, the format of MNIST, plain or compressed with gzip.

    Which of the two it is, is seen from the content and not from the name.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    ndarray
        Of the file's shape and type, in the byte order of this machine.

    Raises
    ------
    FileError
        The file is missing, not an IDX file, damaged, too short or too long.

    Examples
    --------
    Two bytes of zero, the type (8: uint8), the number of axes, their sizes, the numbers:

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "three")
    ...     _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 10, 20, 30]))
    ...     read_idx(path)
    array([10, 20, 30], dtype=uint8)
    """
    try:
        with open(path, "rb") as file:
            packed = file.peek(2)[:2] == b"\x1f\x8b"
            return _parse_idx(
                cast(IO[bytes], gzip.GzipFile(fileobj=file)) if packed else file, path
            )
    except FileError:
        raise
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise FileError(f"read_idx: {path} is a damaged gzip file: {error}") from error
    except OSError as error:
        raise FileError(f"read_idx: {path} cannot be read: {error.strerror}.") from error


def _parse_idx(stream: IO[bytes], path: str | PathLike[str]) -> np.ndarray:
    head = stream.read(4)
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in _IDX_DTYPES:
        raise FileError(
            f"read_idx: {path} is not an IDX file: it begins with the bytes "
            f"[{head.hex(' ')}], not with 00 00, a type from 08 to 0e and a number of axes."
        )
    dtype, ndim = np.dtype(_IDX_DTYPES[head[2]]), head[3]
    sizes = stream.read(4 * ndim)
    if len(sizes) < 4 * ndim:
        raise FileError(
            f"read_idx: {path} is cut off: expected {4 * ndim} bytes for the sizes of {ndim} axes, "
            f"found {len(sizes)}."
        )
    shape = tuple(np.frombuffer(sizes, ">u4").tolist())
    expected = math.prod(shape) * dtype.itemsize

    # Piece by piece, so that memory follows what is in the file and not what its header claims;
    # and one byte further than the end, where a longer file and gzip's checksum show.
    body = bytearray()
    while piece := stream.read(min(_PIECE, expected + 1 - len(body))):
        body += piece
    if len(body) < expected:
        raise FileError(
            f"read_idx: {path} is cut off: shape {shape} of {dtype.name} needs {expected} bytes, "
            f"found {len(body)}."
        )
    if len(body) > expected:
        raise FileError(
            f"read_idx: {path} goes on after the {expected} bytes of shape {shape} of {dtype.name}."
        )
    try:
        array = np.ndarray(shape, dtype, buffer=body)
    except ValueError as error:  # more axes than NumPy has, or nothing times something too large
        raise FileError(f"read_idx: {path} announces shape {shape}: {error}.") from error
    return array.astype(dtype.newbyteorder("="), copy=False)


def fetch(url: str, *, sha256: str, cache: str | PathLike[str] | None) -> Path:
    """Download a file once, check it, and return where it is.

    Under its final name there is only ever a whole file with the right checksum. One that is in
    `cache` already is checked again and then used without a network; a wrong one is replaced.

    Parameters
    ----------
    url : str
        An http or https address; its last part names the file.
    sha256 : str
        The SHA-256 of the file, 64 hexadecimal digits.
    cache : path or None
        The folder to keep it in, made if missing; None for the user's cache folder.

    Returns
    -------
    pathlib.Path
        The file in `cache`.

    Raises
    ------
    ArgumentError
        The address or the checksum is none.
    FileError
        The file cannot be had, kept, or is not the one the checksum belongs to.
    MissingDependencyError
        The package pooch is not installed.

    Examples
    --------
    >>> name = "t10k-labels-idx1-ubyte"
    >>> path = fetch(f"{MIRROR}{name}.gz", sha256=_FILES[name], cache=None)  # doctest: +SKIP
    """
    parts = urlsplit(url)
    name = PurePosixPath(parts.path).name
    if parts.scheme not in ("http", "https") or name in ("", ".."):
        raise ArgumentError(f"fetch: {url!r} is not the http or https address of a file.")
    if not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise ArgumentError(f"fetch: sha256={sha256!r} is not 64 hexadecimal digits.")
    try:
        import pooch
    except ImportError as error:
        raise MissingDependencyError(
            "fetch: a download needs the package pooch: pip install pooch"
        ) from error

    cache = Path(pooch.os_cache("tinygraph") if cache is None else cache)
    try:
        pooch.retrieve(url, f"sha256:{sha256.lower()}", fname=name, path=cache, downloader=_get)
    except OSError as error:  # every failure of the network is one too
        raise FileError(
            f"fetch: {url} cannot be fetched into {cache}: {error}. "
            "Look after the connection or the folder, or put the file there by other means."
        ) from error
    except ValueError as error:
        raise FileError(
            f"fetch: what {url} sends is not the file with the SHA-256 {sha256}, so it was not "
            "kept. Try again; if it stays so, the file has changed there."
        ) from error
    return cache / name


def _get(url: str, path: str, _: Any) -> None:
    """Download into a file, and give up where a piece takes longer than TIMEOUT.

    The time limit of a socket is one for each byte: names, headers and a server that trickles may
    take for ever. Hence a thread, which can be left to itself.
    """
    pieces: queue.SimpleQueue = queue.SimpleQueue()

    def work() -> None:
        import requests

        try:
            # The checksum is of the bytes as they are kept: not compressed once more on the way.
            plain = {"Accept-Encoding": "identity"}
            with requests.get(url, stream=True, timeout=TIMEOUT, headers=plain) as response:
                response.raise_for_status()
                for piece in response.iter_content(_PIECE):
                    pieces.put(piece)
                    if file.closed:
                        return
            pieces.put(b"")
        except Exception as error:
            pieces.put(error)

    with open(path, "wb") as file:
        threading.Thread(target=work, daemon=True).start()
        try:
            while piece := pieces.get(timeout=TIMEOUT):
                if isinstance(piece, Exception):
                    raise piece
                file.write(piece)
        except queue.Empty:
            raise TimeoutError(f"timed out: {TIMEOUT} s brought too little") from None
