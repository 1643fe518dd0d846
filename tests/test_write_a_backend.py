"""The guide for authors of backends, followed to the letter by a stranger: its code is this test."""

import os
import re
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from rustorch.cli import new_plugin

pytestmark = pytest.mark.needs("cpu")

GUIDE = Path(__file__).parent.parent / "docs" / "write-a-backend.md"
BLOCK = re.compile(r"^```(py|sh)\n(.*?)^```\n(?:\n*^```text\n(.*?)^```)?", re.MULTILINE | re.DOTALL)
NOT_RUN = "is the one block\nhere that is not run"
COMMANDS = {"rustorch": "rustorch", "rustorch-conformance": "rustorch_conformance", "pytest": "pytest"}


class Stranger:
    """Somebody with a virtual environment, in which RusTorch is installed, and a folder to work in."""

    def __init__(self, folder):
        self.folder = folder
        binaries = folder / "venv" / "bin"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
        self.python = binaries / "python"
        inside = Path(sysconfig.get_path("purelib", vars={"base": str(folder / "venv")}))
        installed = [path for path in sys.path if path.endswith("site-packages")]
        lines = [f"import site; site.addsitedir({path!r})\n" for path in installed]
        inside.joinpath("rustorch.pth").write_text("".join(lines))
        offline = "--no-index --no-deps --no-build-isolation --disable-pip-version-check --quiet"
        self._script("pip", f'{sys.executable} -m pip --python {self.python} "$@" {offline}')
        for name, module in COMMANDS.items():
            self._script(name, f'{self.python} -m {module} "$@"')
        kept = {name: text for name, text in os.environ.items() if not name.startswith(("RUSTORCH_", "PYTEST_"))}
        root = Path(__file__).parent.parent
        self.environment = kept | {
            "PATH": os.pathsep.join([str(binaries), str(Path(sys.executable).parent), kept["PATH"]]),
            "PYTHONPATH": os.pathsep.join([str(root), str(root / "conformance")]),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def _script(self, name, command):
        path = self.python.with_name(name)
        path.write_text(f"#!/bin/sh\nexec {command}\n")
        path.chmod(0o755)

    def shell(self, commands):
        """Give commands to a shell, and stay in the folder to which they went; returns status and output."""
        script = (
            f"set -ex\ncd {shlex.quote(str(self.folder))}\n{commands}\npwd > {shlex.quote(str(self.python))}.where\n"
        )
        done = subprocess.run(
            ["sh", "-c", script], env=self.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        where = Path(f"{self.python}.where")
        self.folder = Path(where.read_text().strip()) if where.exists() else self.folder
        return done.returncode, done.stdout

    def program(self, source):
        done = subprocess.run(
            [self.python, "-W", "error", "-c", source],
            env=self.environment,
            cwd=self.folder,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        return done.returncode, done.stdout


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    return Stranger(tmp_path_factory.mktemp("stranger"))


def words(text):
    return " ".join(text.split())


def test_the_guide_ends_with_a_device_that_works(stranger):
    page = GUIDE.read_text(encoding="utf-8")
    before_last = ""
    done = []
    for found in BLOCK.finditer(page):
        kind, code, expected = found.groups()
        between = page[len(before_last) : found.start()]
        before_last = page[: found.end()]
        if NOT_RUN in between:
            continue
        path = re.match(r"# (\S+\.\w+)\n", code)
        if path:
            stranger.folder.joinpath(path[1]).write_text(code.partition("\n")[2])
            done.append("file")
            continue
        status, output = stranger.shell(code) if kind == "sh" else stranger.program(code)
        assert status == 0 or (expected and "Error" in expected), f"{code}\n{output}"
        for line in (expected or "").splitlines():
            assert words(line) in words(output), output
        done.append(kind)
    assert {kind: done.count(kind) for kind in ("sh", "py", "file")} == {"sh": 4, "py": 2, "file": 7}


def test_what_new_plugin_writes_passes_as_it_is(stranger, tmp_path):
    kinds = ("device", "kernels", "optimizer")
    folders = [new_plugin.write(f"fresh_{kind}", kind, tmp_path) for kind in kinds]
    commands = [f"cd {tmp_path}", "pip install " + " ".join(f"-e ./{folder.name}" for folder in folders)]
    for folder in folders:
        check = re.search(r"^pytest\n(.*)$", folder.joinpath("README.md").read_text(), re.MULTILINE)[1]
        assert f"- run: {check}\n" in folder.joinpath(".github/workflows/test.yml").read_text()
        commands += [f"(cd {folder.name} && pytest -q -W error)", check]
    status, output = stranger.shell("\n".join(commands))
    assert status == 0, output


@pytest.mark.parametrize(
    "name", ["Mango", "cpu", "auto", "simd", "a-b", "", "class", "../x", "9a", "a__b", "_a", "é", "a/b"]
)
def test_new_plugin_refuses_what_cannot_be_a_name(tmp_path, name):
    with pytest.raises(ValueError, match=r"new-plugin: .* (cannot be the name|is taken)"):
        new_plugin.write(name, "device", tmp_path)
    assert not list(tmp_path.iterdir())


def test_new_plugin_leaves_alone_what_exists(tmp_path):
    folder = tmp_path / "rustorch-mango"
    folder.mkdir()
    with pytest.raises(OSError, match="rustorch-mango exists"):
        new_plugin.write("mango", "device", tmp_path)
    assert [*tmp_path.rglob("*")] == [folder]


def test_new_plugin_writes_all_or_nothing(tmp_path, monkeypatch):
    def fails(self, *args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", fails)
    with pytest.raises(OSError, match="cannot be written: No space left on device"):
        new_plugin.write("mango", "device", tmp_path)
    assert not list(tmp_path.iterdir())
