"""Tensors in files of the safetensors format: written whole or not at all, read without trust."""

import contextlib
import errno
import hashlib
import json
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy

from .arrays import ForeignError
from .engines import Foreign
from .errors import DTypeError, FileError, ShapeError
from .tensor import Tensor, array_of

# The format's names of NumPy's dtypes; its numbers are little-endian.
DTYPES = {
    "BOOL": "|b1", "U8": "|u1", "I8": "|i1", "U16": "<u2", "I16": "<i2", "U32": "<u4",
    "I32": "<i4", "U64": "<u8", "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8",
    "C64": "<c8",
}  # fmt: skip
CODES = {dtype: code for code, dtype in DTYPES.items()}


def save(path: str | os.PathLike[str], tensors: Mapping[str, Any]) -> None:
    """Save named Tensors into a file of the safetensors format, whole or not at all.

    Whatever happens, a killed process and a full disk included, `path` holds either what it held
    before or all that is saved now. With the numbers goes their SHA-256, which `load` verifies:
    that of, for each name in sorted order, the JSON text ``["name", "F64", [2, 3]]`` (the format's
    name of the dtype, and the shape) followed by the bytes of the numbers.

    Parameters
    ----------
    path : path
        The file, replaced if it is there. What a symbolic link points to is replaced, not the link.
    tensors : dict of str to Tensor or array_like
        Of booleans, integers, floats of 16 to 64 bits, or complex64. Of a recorded Tensor, or of
        one that requires a gradient, the values are saved.

    Raises
    ------
    DTypeError
        If a dtype or a name is none that the format has, or something is not an array of numbers.
    FileError
        If the file cannot be written.

    Examples
    --------
    >>> import os, tempfile
    >>> import tinygraph as tg
    >>> W = tg.tensor([[1.0, 2.0]], requires_grad=True)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "weights.safetensors")
    ...     tg.save(path, {"W": W, "steps": 100})
    ...     tg.load(path)
    {'W': Tensor([[1., 2.]], name='W'), 'steps': Tensor(100, name='steps')}
    """
    from safetensors.numpy import save as pack

    if not isinstance(tensors, Mapping):
        raise DTypeError(f"save: wants a dict of Tensors, not {type(tensors).__name__}.")
    arrays = {}
    for name, values in tensors.items():
        if not isinstance(name, str) or name == "__metadata__":
            raise DTypeError(f"save: {name!r} is not a name: a str, and not the format's own.")
        try:
            array = array_of(values)
            array = array.numpy() if type(array) is Foreign else array
        except (ForeignError, ShapeError) as error:
            raise type(error)(f"save: {name!r}: {error}") from None
        arrays[name] = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
        if arrays[name].dtype.str not in CODES:
            raise DTypeError(
                f"save: {name!r} is {array.dtype}, which a safetensors file cannot hold. Cast it, "
                "or save the real and the imaginary part under two names."
            )
    try:
        content = pack(arrays, {"sha256": _checksum(arrays)})
    except UnicodeError as error:
        raise DTypeError(f"save: a safetensors file cannot hold this name: {error}.") from error
    write(path, content, "save: ")


def load(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Load named Tensors from a file of the safetensors format.

    Nothing in the file is ever run. The numbers are verified if the file has their SHA-256, as
    those that `save` wrote have.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    dict of str to Tensor
        In the order of the names. The Tensors bear their names and require no gradient, so that
        NumPy takes them as they are, and ``.numpy()`` gives an array.

    Raises
    ------
    FileError
        If the file cannot be read, is damaged or no such file, or holds what NumPy has not.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> import tinygraph as tg
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "weights.safetensors")
    ...     tg.save(path, {"b": np.zeros(2, "float32")})
    ...     tg.load(path)["b"]
    Tensor([0., 0.], dtype=float32, name='b')
    """
    from safetensors import SafetensorError, deserialize

    with _told("load: ", path, "read"):
        _check_regular(os.stat(path).st_mode)
        content = Path(path).read_bytes()
    try:
        parts = sorted(deserialize(content), key=itemgetter(0))
        end = 8 + int.from_bytes(content[:8], "little")
        header = json.loads(content[8:end], object_pairs_hook=_without_doubles)
        arrays = {name: _array(**part) for name, part in parts}
    except (SafetensorError, ValueError, RecursionError) as error:
        raise FileError(f"load: {str(path)!r} is not a sound safetensors file: {error}.") from error
    del content, parts  # there is memory for two copies at any time, not for three
    expected = (header.get("__metadata__") or {}).get("sha256")
    if expected not in (None, _checksum(arrays)):
        raise FileError(
            f"load: {str(path)!r} is damaged: its numbers are not those of the checksum in it. "
            "Take another copy of the file."
        )
    return {name: Tensor(arrays.pop(name), name=name) for name in list(arrays)}


def write(path: str | os.PathLike[str], content: bytes, what: str = "") -> None:
    """Write a file whole, or leave what was there."""
    with _told(what, path, "written", " Is its folder there, and yours to write to?"):
        target = Path(os.path.realpath(path))
        beside = target.with_name(f".{secrets.token_hex(8)}.tmp")
        mode = None
        try:
            # To be refused what opening it to write refuses, before it is replaced all the same.
            with contextlib.suppress(FileNotFoundError), open(target, "r+b") as old:
                mode = os.fstat(old.fileno()).st_mode
                _check_regular(mode)
            with open(beside, "xb") as file:
                if mode is not None:
                    os.chmod(beside, stat.S_IMODE(mode))
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, target)
        finally:
            beside.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # no promise: not every system can be asked for it
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # so that the new name outlives a power cut
        finally:
            os.close(folder)


# ---------------------------------------------------------------- parts of the above


@contextlib.contextmanager
def _told(what: str, path: Any, done: str, advice: str = "") -> Iterator[None]:
    """Say of which file it was, and what could not be done, when the system refuses."""
    if not isinstance(path, str | os.PathLike):
        raise DTypeError(f"{what}a path is a str or a Path, not {type(path).__name__}.")
    try:
        yield
    except (OSError, ValueError) as error:  # the latter: a path that holds a zero byte
        reason = getattr(error, "strerror", error)
        raise FileError(f"{what}{str(path)!r} cannot be {done}: {reason}.{advice}") from error


def _check_regular(mode: int) -> None:
    """Refuse what is no file: a folder; a device or a pipe, which has no end."""
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "It is not a regular file")


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a dict, in the place of one in which the last of two equal names wins."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands there twice")
    return found


def _array(dtype: str, shape: list[int], data: bytearray) -> numpy.ndarray:
    """Return the numbers of a part of a file, without a copy."""
    if dtype not in DTYPES:
        raise ValueError(f"NumPy has no dtype {dtype}")
    array = numpy.ndarray(shape, DTYPES[dtype], buffer=data)
    if dtype == "BOOL" and array.view("u1").max(initial=0) > 1:
        raise ValueError("a boolean is neither 0 nor 1")  # with which NumPy computes nonsense
    return array


def _checksum(arrays: dict[str, numpy.ndarray]) -> str:
    """Return the SHA-256 of names, dtypes, shapes and numbers, as `save` describes it."""
    total = hashlib.sha256()
    for name, array in sorted(arrays.items(), key=itemgetter(0)):
        total.update(json.dumps([name, CODES[array.dtype.str], array.shape]).encode())
        total.update(array.reshape(-1).view("u1"))  # type: ignore[arg-type]
    return total.hexdigest()
