"""Weight files: what is written comes back, what is damaged says so, and a failed write leaves the old file alone."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rustorch as rt
from rustorch_core._data_types import DTYPES
from rustorch_core.errors import FileFormatError, FileReadError, FileWriteError, MissingFileError, OperandError

KEPT = [name for name in DTYPES if name != "complex128"]


@pytest.mark.parametrize("dtype", KEPT)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (4, 5)])
def test_round_trip(dtype: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    x = rt.astype(rt.arange(int(np.prod(shape))), dtype).reshape(shape)
    rt.io.save({"x": x, "half": x[..., None]}, tmp_path / "x.safetensors")
    found = rt.io.load(tmp_path / "x.safetensors")
    assert set(found) == {"x", "half"}
    assert found["x"].dtype == x.dtype
    assert found["x"].shape == shape
    np.testing.assert_array_equal(found["x"].to("cpu").numpy(), x.to("cpu").numpy())


def test_views_are_written_as_they_look(tmp_path: Path) -> None:
    x = rt.asarray([[1.0, 2.0], [3.0, 4.0]])
    rt.io.save({"transposed": x.mT, "reversed": x[::-1]}, tmp_path / "x")
    found = rt.io.load(tmp_path / "x")
    assert found["transposed"].tolist() == [[1, 3], [2, 4]]
    assert found["reversed"].tolist() == [[3, 4], [1, 2]]


def test_what_is_loaded_is_its_own(tmp_path: Path) -> None:
    rt.io.save({"x": rt.ones(3)}, tmp_path / "x")
    found = rt.io.load(tmp_path / "x")["x"]
    found[0] = 5.0
    assert rt.io.load(tmp_path / "x")["x"].tolist() == [1, 1, 1]


def test_other_programs_read_it(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    rt.io.save({"x": rt.asarray([1.5, 2.5])}, tmp_path / "x", metadata={"by": "test"})
    np.testing.assert_array_equal(load_file(tmp_path / "x")["x"], np.asarray([1.5, 2.5], np.float32))


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    metadata = {str(number): "Zahl \N{GREEK SMALL LETTER PI}" for number in range(20)}
    for name in ("one", "two"):
        rt.io.save({"b": rt.ones(3), "a": rt.zeros((), dtype="int8")}, tmp_path / name, metadata=metadata)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert rt.io.load_metadata(tmp_path / "one") == metadata
    rt.io.save({}, tmp_path / "empty")
    assert rt.io.load_metadata(tmp_path / "empty") == {}
    assert rt.io.load(tmp_path / "empty") == {}


@pytest.mark.parametrize("text", [3, "\ud800"])
def test_names_and_metadata_are_text(text: object, tmp_path: Path) -> None:
    with pytest.raises(OperandError, match="cannot name a tensor"):
        rt.io.save({text: rt.ones(1)}, tmp_path / "x")  # type: ignore[dict-item]
    with pytest.raises(OperandError, match="no pair of strings"):
        rt.io.save({"x": rt.ones(1)}, tmp_path / "x", metadata={"key": text})  # type: ignore[dict-item]
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_kept_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(OperandError, match="complex128"):
        rt.io.save({"x": rt.asarray(1j, dtype="complex128")}, tmp_path / "x")
    with pytest.raises(OperandError, match="'x' is a list"):
        rt.io.save({"x": [1.0]}, tmp_path / "x")  # type: ignore[dict-item]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 50, 100, 200, -1])
def test_a_truncated_file_says_so(length: int, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    rt.io.save({"weight": rt.ones((10, 10)), "bias": rt.ones(10)}, path)
    whole = path.read_bytes()
    path.write_bytes(whole[:length])
    with pytest.raises(FileFormatError, match=r"model\.safetensors is no complete safetensors file"):
        rt.io.load(path)


@pytest.mark.parametrize("seed", range(20))
def test_random_bytes_say_so(seed: int, tmp_path: Path) -> None:
    path = tmp_path / "noise"
    path.write_bytes(np.random.default_rng(seed).bytes(seed * 17))
    with pytest.raises(FileFormatError, match="noise"):
        rt.io.load(path)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as missing:
        rt.io.load(tmp_path / "nothing")
    assert isinstance(missing.value, MissingFileError)
    assert str(tmp_path / "nothing") in str(missing.value)
    with pytest.raises(FileReadError, match="cannot be read"):
        rt.io.load(tmp_path)
    with pytest.raises(FileWriteError, match="was not written"):
        rt.io.save({"x": rt.ones(1)}, tmp_path / "no folder" / "x")
    (tmp_path / "file").write_text("")
    with pytest.raises(FileWriteError, match="was not written"):
        rt.io.save({"x": rt.ones(1)}, tmp_path / "file" / "x")
    with pytest.raises(FileWriteError, match="was not written"):
        rt.io.save({"x": rt.ones(1)}, tmp_path)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file"]


FULL_DISK = """
import resource, signal, sys
import rustorch as rt
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    rt.io.save({"x": rt.zeros(100_000)}, sys.argv[1])
except rt.errors.FileWriteError as error:
    print(isinstance(error, OSError), error)
"""


def test_a_disk_that_fills_up_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    rt.io.save({"x": rt.ones(10)}, path)
    before = path.read_bytes()
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("True")
    assert str(path) in done.stdout
    assert "untouched" in done.stdout
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_while_writing_leaves_the_old_file(error: type[BaseException], tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"old")
    with pytest.raises(error), rt.io.whole_file(path) as file:  # noqa: PT012  the error comes from inside
        file.write(b"half of the new")
        raise error
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    with rt.io.whole_file(link) as file:
        file.write(b"new")
    assert link.read_bytes() == b"new"
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_a_name_without_a_folder_and_the_usual_permissions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rt.io.save({"x": rt.ones(1)}, "x")
    (tmp_path / "y").touch()
    assert os.stat("x").st_mode == os.stat("y").st_mode


def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.touch()
    path.chmod(0o600)
    rt.io.save({"x": rt.ones(1)}, path)
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileWriteError, match="no file"):
        rt.io.save({"x": rt.ones(1)}, tmp_path / "pipe")
    assert (tmp_path / "pipe").is_fifo()
    assert [each.name for each in tmp_path.iterdir()] == ["pipe"]


def test_a_failure_at_the_very_end_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"old")

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(FileWriteError, match="No space left on device"):
        rt.io.save({"x": rt.ones(1)}, path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
