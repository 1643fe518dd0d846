"""The main job, as a user runs it: train, leave a folder, predict from it; and what goes wrong says so in one line."""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

import rustorch as rt

pytestmark = pytest.mark.needs("cpu")


def rustorch(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rustorch", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def run(place: Path) -> Path:
    """A run at the default settings."""
    done = rustorch("demo", cwd=place)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for words in ("Device    cpu (", "Kernels", "Load data", "Train", "steps of", "Accuracy", "Folder"):
        assert words in done.stdout, words
    (folder,) = (place / "runs").iterdir()
    return folder


def metrics(folder: Path) -> dict[str, object]:
    return json.loads((folder / "metrics.json").read_text())  # type: ignore[no-any-return]


def test_it_learns(run: Path) -> None:
    assert metrics(run)["accuracy"] >= 0.97  # type: ignore[operator]


def test_what_it_leaves(run: Path) -> None:
    assert sorted(each.name for each in run.iterdir()) == ["metrics.json", "model.safetensors", "training.png"]
    assert {"accuracy", "loss", "device", "seconds", "seed", "versions"} <= metrics(run).keys()
    assert {"rustorch", "numpy", "python"} <= metrics(run)["versions"].keys()  # type: ignore[attr-defined]
    picture = (run / "training.png").read_bytes()
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", picture[16:24])
    assert width > 600
    assert height > 400
    assert all(len(tensor.shape) in (1, 2) for tensor in rt.io.load(run / "model.safetensors").values())


def test_predict_gives_the_same_accuracy(run: Path, place: Path) -> None:
    done = rustorch("predict", run, cwd=place)
    assert done.returncode == 0, done.stderr
    assert f"{100 * metrics(run)['accuracy']:.2f} %" in done.stdout  # type: ignore[operator]
    assert "the same as in" in done.stdout


def short(place: Path, name: str, seed: int) -> tuple[dict[str, object], dict[str, list[float]]]:
    done = rustorch("demo", "--epochs", 2, "--seed", seed, "--output", place / name, cwd=place)
    assert done.returncode == 0, done.stderr
    weights = rt.io.load(place / name / "model.safetensors")
    return metrics(place / name), {key: value.tolist() for key, value in weights.items()}


def test_same_seed_same_numbers(place: Path) -> None:
    (first, first_weights), (second, second_weights) = (short(place, name, seed=7) for name in ("one", "two"))
    assert first_weights == second_weights
    assert [first[key] for key in ("accuracy", "loss", "seed")] == [second[key] for key in ("accuracy", "loss", "seed")]
    # Into the folder of the first: a run may be written again.
    other, other_weights = short(place, "one", seed=8)
    assert other["seed"] == 8
    assert other_weights != first_weights


def broken(run: Path, to: Path, name: str, content: bytes | None) -> Path:
    """A copy of a run in which one file is another, or missing."""
    to.mkdir()
    for each in run.iterdir():
        (to / each.name).write_bytes(each.read_bytes())
    if content is None:
        (to / name).unlink()
    else:
        (to / name).write_bytes(content)
    return to


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.safetensors", None),
        ("model.safetensors", b""),
        ("model.safetensors", b"x" * 1000),
        ("metrics.json", None),
        ("metrics.json", b"{"),
        ("metrics.json", b"[]"),
        ("metrics.json", b'{"accuracy": "high"}'),
        ("metrics.json", b"\xff\xfe"),
    ],
)
def test_a_broken_run_is_one_clear_line(run: Path, tmp_path: Path, name: str, content: bytes | None) -> None:
    done = rustorch("predict", broken(run, tmp_path / "broken", name, content), cwd=tmp_path)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert name in done.stderr
    assert "Traceback" not in done.stderr


def test_weights_of_another_run_are_told(run: Path, tmp_path: Path) -> None:
    facts = metrics(run)
    facts["accuracy"] = 0.5
    folder = broken(run, tmp_path / "other", "metrics.json", json.dumps(facts).encode())
    done = rustorch("predict", folder, cwd=tmp_path)
    assert done.returncode == 1
    assert "not the same" in done.stderr


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"program": "another"},
        {"program": "rustorch demo", "seed": "0", "hidden": "64"},
        {"program": "rustorch demo", "seed": "0", "hidden": "9" * 12},
        {"program": "rustorch demo", "seed": "-1", "hidden": "128"},
    ],
)
def test_weights_of_another_program_are_told(run: Path, tmp_path: Path, metadata: dict[str, str]) -> None:
    folder = broken(run, tmp_path / "other", "model.safetensors", b"")
    rt.io.save(rt.io.load(run / "model.safetensors"), folder / "model.safetensors", metadata=metadata)
    done = rustorch("predict", folder, cwd=tmp_path)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "model.safetensors" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["predict", "nowhere"],
        ["demo", "--device", "warp"],
        ["demo", "--lr", "nan"],
        ["demo", "--output", "a_file"],
        ["demo", "--output", "not_a_run"],
    ],
)
def test_bad_arguments_are_one_clear_line(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "a_file").touch()
    (tmp_path / "not_a_run").mkdir()
    (tmp_path / "not_a_run" / "precious").write_text("keep")
    done = rustorch(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("rustorch: ")
    assert (tmp_path / "not_a_run" / "precious").read_text() == "keep"


def test_two_runs_of_one_second_have_two_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rustorch.cli import demo

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo.time, "strftime", lambda form: "demo-20300101-120000")
    names = [demo._new_folder().name for _ in range(3)]
    assert names == ["demo-20300101-120000", "demo-20300101-120000-2", "demo-20300101-120000-3"]


def test_an_interrupted_run_leaves_no_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    from rustorch.cli import demo, digits

    def interrupt(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(digits, "train", interrupt)
    assert CliRunner().invoke(demo.demo).exit_code == 1
    assert list((tmp_path / "runs").iterdir()) == []


def test_missing_packages_are_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    from rustorch.cli import demo

    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    for command, arguments in ((demo.demo, []), (demo.predict, ["."])):
        done = CliRunner().invoke(command, arguments)
        assert done.exit_code == 1
        assert len(done.output.splitlines()) == 1
        assert 'pip install "rustorch[demo]"' in done.output
    assert list(tmp_path.iterdir()) == []


def test_without_kernels_it_says_what_to_do(place: Path) -> None:
    command = [sys.executable, "-m", "rustorch", "demo", "--epochs", "1", "--output", str(place / "plain")]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "RUSTORCH_AUTOLOAD": "0"})
    assert done.returncode == 0, done.stderr
    assert "NumPy's own functions" in " ".join(done.stdout.split())
