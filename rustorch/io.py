"""Weight files in the safetensors format, written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy

from rustorch_core import _devices
from rustorch_core._data_types import DTYPES
from rustorch_core._tensor import Tensor, tensor_like
from rustorch_core.errors import FileFormatError, FileWriteError, OperandError

# The format's own names of the dtypes that it knows.
_FORMAT_NAMES = {
    "BOOL": "bool", "I8": "int8", "I16": "int16", "I32": "int32", "I64": "int64",
    "U8": "uint8", "U16": "uint16", "U32": "uint32", "U64": "uint64",
    "F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64", "C64": "complex64",
}  # fmt: skip


@contextlib.contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Write a file that appears at its path when it is complete; until then, what stood there stays.

    Arguments:
        path: where the file is to be; its folder exists.

    Raises:
        FileWriteError: where the disk is full, the folder is missing or may not be written; the path is untouched.
    """
    target = Path(path)
    scratch = None
    try:
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as file:
            scratch = Path(file.name)
            yield file
            file.flush()
            os.fsync(file.fileno())
        scratch.chmod(0o666 & ~_umask())
        scratch.replace(target)
    except OSError as error:
        raise FileWriteError(
            error.errno, f"{target} was not written ({error.strerror or error}); what stood there before is untouched"
        ) from error
    finally:
        if scratch is not None:
            scratch.unlink(missing_ok=True)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def save(tensors: Mapping[str, Tensor], path: str | os.PathLike[str], *, metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors by name to a safetensors file.

    Arguments:
        tensors: a mapping such as `model.state_dict()`.
        path: the file; replaced only when the new one is complete.
        metadata: strings to keep beside them.

    Raises:
        FileWriteError: where the file cannot be written in full.
        OperandError: where a value is no tensor.
    """
    import safetensors.numpy

    arrays = {}
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise OperandError(f"save: {name!r} is a {type(tensor).__name__}, expected a tensor")
        if tensor.dtype.name not in _FORMAT_NAMES.values():
            raise OperandError(f"save: {name!r} has dtype {tensor.dtype}, which safetensors files cannot hold")
        arrays[name] = numpy.array(tensor.device.to_host(tensor._array), order="C")
    content = safetensors.numpy.save(arrays, dict(metadata) if metadata else None)
    with whole_file(path) as file:
        file.write(content)


def load(path: str | os.PathLike[str], *, device: Any = None) -> dict[str, Tensor]:
    """Read the tensors of a safetensors file.

    Arguments:
        path: the file.
        device: where the tensors are to be; by default the default device.

    Raises:
        FileNotFoundError: where there is no such file.
        FileFormatError: where it is truncated, damaged or of another format.
    """
    import safetensors

    target = _devices.device(device)
    content = Path(path).read_bytes()
    try:
        entries = safetensors.deserialize(content)
    except safetensors.SafetensorError as error:
        raise FileFormatError(
            f"{path} is no complete safetensors file ({error}; {len(content)} bytes met); save or copy it again"
        ) from error
    return {name: _tensor(path, name, entry, target) for name, entry in entries}


def _tensor(path: Any, name: str, entry: Mapping[str, Any], target: _devices.Device) -> Tensor:
    dtype = DTYPES.get(_FORMAT_NAMES.get(entry["dtype"], ""))
    if dtype is None:
        raise FileFormatError(f"{path}: {name!r} has the dtype {entry['dtype']}, which rustorch does not have")
    values = numpy.frombuffer(entry["data"], dtype=dtype).reshape(entry["shape"])
    return tensor_like(Tensor, target.from_host(values), target.key(dtype))
