"""Weight files in the safetensors format, written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy

from rustorch_core import _devices
from rustorch_core._data_types import DTYPES
from rustorch_core._define import public_names
from rustorch_core._tensor import Tensor, tensor_like
from rustorch_core.errors import FileFormatError, FileReadError, FileWriteError, MissingFileError, OperandError

# The format's own names of the dtypes that it knows.
_FORMAT_NAMES = {
    "BOOL": "bool", "I8": "int8", "I16": "int16", "I32": "int32", "I64": "int64",
    "U8": "uint8", "U16": "uint16", "U32": "uint32", "U64": "uint64",
    "F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64", "C64": "complex64",
}  # fmt: skip
_NAMES_IN_FORMAT = {ours: theirs for theirs, ours in _FORMAT_NAMES.items()}
_METADATA = "__metadata__"


@contextlib.contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Write a file that appears at its path when it is complete; until then, what stood there stays.

    A link keeps pointing where it does, and the file there is replaced; a file that is replaced keeps its permissions.

    Arguments:
        path: where the file is to be; its folder exists.

    Raises:
        FileWriteError: where the disk is full, the folder is missing or may not be written, or something that is no
            file stands at the path; what stood there is untouched.
    """
    try:
        target = Path(os.path.realpath(path))
        if target.exists() and not target.is_file():
            raise OSError(errno.EINVAL, "something that is no file stands there")
        # Beside the target, because only within one file system does a file take another's place in one step.
        scratch = target.with_name(f".rustorch-{secrets.token_hex(8)}.part")
        try:
            with open(scratch, "xb") as file:
                if target.exists():
                    scratch.chmod(target.stat().st_mode & 0o777)
                yield file
                file.flush()
                os.fsync(file.fileno())
            scratch.replace(target)
        finally:
            with contextlib.suppress(OSError):
                scratch.unlink()
    except OSError as error:
        reason = error.strerror or error
        raise FileWriteError(
            error.errno, f"{os.fspath(path)} was not written ({reason}); what stood there before is untouched"
        ) from error


def save(
    tensors: Mapping[str, Tensor], path: str | os.PathLike[str], *, metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors by name to a safetensors file; the same tensors and metadata give the same bytes.

    Arguments:
        tensors: a mapping such as `model.state_dict()`.
        path: the file; replaced only when the new one is complete.
        metadata: strings to keep beside them.

    Raises:
        FileWriteError: where the file cannot be written in full.
        OperandError: where a value is no tensor, has a dtype that the format lacks (complex128), or a name or a
            metadata value is no string.

    Example:
        >>> import os, tempfile
        >>> import rustorch as rt
        >>> path = os.path.join(tempfile.mkdtemp(), "weights.safetensors")
        >>> rt.io.save({"w": rt.ones(2)}, path, metadata={"epoch": "3"})
        >>> rt.io.load(path), rt.io.load_metadata(path)
        ({'w': tensor([1., 1.], dtype=float32)}, {'epoch': '3'})
    """
    _check(tensors, {} if metadata is None else metadata)
    _check_path("save", path)
    # The widest elements first, so that each tensor starts at a multiple of its element's size.
    ordered = sorted(tensors.items(), key=lambda item: (-item[1].itemsize, item[0]))
    with whole_file(path) as file:
        file.write(_header(ordered, metadata or {}))
        for _, tensor in ordered:
            file.write(_host_bytes(tensor))


def _check(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    for each in (tensors, metadata):
        if not isinstance(each, Mapping):
            raise OperandError(f"save: expected tensors and metadata by name, met {type(each).__name__}")
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise OperandError(f"save: {name!r} is a {type(tensor).__name__}, expected a tensor")
        if not _is_text(name) or name == _METADATA:
            raise OperandError(f"save: {name!r} cannot name a tensor; expected a string other than {_METADATA!r}")
        if tensor.dtype.name not in _NAMES_IN_FORMAT:
            raise OperandError(f"save: {name!r} has dtype {tensor.dtype}, which safetensors files cannot hold")
    for key, value in metadata.items():
        if not _is_text(key) or not _is_text(value):
            raise OperandError(f"save: metadata {key!r}: {value!r} is no pair of strings; convert it with str or json")


def _check_path(name: str, path: Any) -> None:
    if not isinstance(path, (str, os.PathLike)):
        raise OperandError(f"{name}: expected a path, met {type(path).__name__}")


def _is_text(value: object) -> bool:
    """Whether a value is a string that a reader of the file gets back: half a surrogate pair has no UTF-8."""
    return isinstance(value, str) and value.encode(errors="ignore").decode() == value


def _header(ordered: list[tuple[str, Tensor]], metadata: Mapping[str, str]) -> bytes:
    """The length of the description in eight bytes, then the description; safetensors' own writer shuffles metadata."""
    entries: dict[str, Any] = {_METADATA: dict(metadata)} if metadata else {}
    end = 0
    for name, tensor in ordered:
        start, end = end, end + tensor.nbytes
        dtype = _NAMES_IN_FORMAT[tensor.dtype.name]
        entries[name] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": [start, end]}
    description = json.dumps(entries, separators=(",", ":")).encode()
    description += b" " * (-len(description) % 8)
    return len(description).to_bytes(8, "little") + description


def _host_bytes(tensor: Tensor) -> memoryview:
    values = numpy.ascontiguousarray(tensor.device.to_host(tensor._array))
    return memoryview(values.reshape(-1).view(numpy.uint8))


def load(path: str | os.PathLike[str], *, device: Any = None) -> dict[str, Tensor]:
    """Read the tensors of a safetensors file.

    Arguments:
        path: the file.
        device: where the tensors are to be; by default the default device.

    Raises:
        MissingFileError: where there is no such file.
        FileReadError: where it may not be read.
        FileFormatError: where it is truncated, damaged or of another format.
    """
    target = _devices.device(device)
    _, entries = _read(path)
    return {name: _tensor(path, name, entry, target) for name, entry in entries}


def load_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """Read the strings that stand beside the tensors of a safetensors file; raises as `load` does."""
    content, _ = _read(path)
    length = int.from_bytes(content[:8], "little")
    strings: dict[str, str] = json.loads(content[8 : 8 + length]).get(_METADATA, {})
    return strings


def _read(path: str | os.PathLike[str]) -> tuple[bytes, list[tuple[str, dict[str, Any]]]]:
    """A file's content, and its tensors as the format's own library checked and described them."""
    import safetensors

    _check_path("load", path)
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise MissingFileError(error.errno, f"{os.fspath(path)} does not exist; check the path") from error
    except OSError as error:
        raise FileReadError(error.errno, f"{os.fspath(path)} cannot be read ({error.strerror or error})") from error
    try:
        return content, safetensors.deserialize(content)
    except safetensors.SafetensorError as error:
        raise FileFormatError(
            f"{os.fspath(path)} is no complete safetensors file ({error}; {len(content)} bytes met); "
            "save or copy it again"
        ) from error


def _tensor(path: Any, name: str, entry: Mapping[str, Any], target: _devices.Device) -> Tensor:
    dtype = DTYPES.get(_FORMAT_NAMES.get(entry["dtype"], ""))
    if dtype is None:
        raise FileFormatError(f"{path}: {name!r} has the dtype {entry['dtype']}, which rustorch does not have")
    values = numpy.frombuffer(entry["data"], dtype=dtype).reshape(entry["shape"])
    return tensor_like(Tensor, target.from_host(values), target.key(dtype))


def __dir__() -> list[str]:
    return public_names(globals())
