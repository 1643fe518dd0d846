"""`rustorch new-plugin`: a distribution that installs and passes its tests before its author changes a line."""

from __future__ import annotations

import keyword
import os
import re
import tempfile
from pathlib import Path
from string import Template

import click

from rustorch_core import _devices, _plugins
from rustorch_core.errors import ArgumentError, FileWriteError
from rustorch_core.plugin import API_VERSION

#: Folders of files whose names and contents have places for the plugin's name; `every` kind's, and each kind's own.
_TEMPLATES = Path(__file__).with_name("templates")
_SUFFIX = ".template"
#: By kind: what the plugin is called in words, what it needs, and the command that holds it to RusTorch's table.
_KINDS = {
    "device": ("The device $name", ("array-api-compat>=1.12", "numpy>=2.1"), "rustorch-conformance --device $name"),
    "kernels": ("Kernels for the processor", ("numpy>=2.1",), "rustorch-conformance --device cpu --ops silu"),
    "optimizer": ("The optimizer $name", (), "rustorch doctor $name"),
}


@click.command(name="new-plugin")
@click.argument("name")
@click.option("--kind", type=click.Choice(list(_KINDS)), default="device", show_default=True, help="What it brings.")
def new_plugin(name: str, kind: str) -> None:
    """Write the distribution rustorch-NAME into a folder of that name: code, tests, README and a CI file.

    It installs and passes its tests, and those that RusTorch holds every device to, before anything is changed.
    """
    folder = write(name, kind, Path.cwd())
    click.echo(f"wrote {folder.name}; now:\n  cd {folder.name}\n  pip install -e '.[test]'\n  pytest")


def write(name: str, kind: str, where: Path) -> Path:
    """Write a distribution, all of it or nothing.

    Arguments:
        name: of the plugin, and of its device or optimizer.
        kind: "device", "kernels" or "optimizer".
        where: the folder in which its own folder is made.

    Returns:
        the distribution's folder.

    Raises:
        ArgumentError: for a name that cannot be one or is taken.
        FileWriteError: where the folder exists or cannot be written.
    """
    _check_name(name)
    folder = where / f"rustorch-{name.replace('_', '-')}"
    if os.path.lexists(folder):
        raise FileWriteError(f"new-plugin: {folder} exists; choose another name, or move it away")
    try:
        with tempfile.TemporaryDirectory(dir=where, prefix=".new-plugin-") as temporary:
            made = Path(temporary, "made")
            for path, text in _files(name, kind).items():
                (made / path).parent.mkdir(parents=True, exist_ok=True)
                (made / path).write_text(text, encoding="utf-8")
            made.rename(folder)
    except OSError as error:
        raise FileWriteError(f"new-plugin: {folder} cannot be written: {error.strerror or error}") from error
    return folder


def _files(name: str, kind: str) -> dict[str, str]:
    """The distribution's files by path."""
    what, needs, check = [Template(each) if isinstance(each, str) else each for each in _KINDS[kind]]
    words = {"name": name, "package": f"rustorch_{name}", "distribution": f"rustorch-{name.replace('_', '-')}"}
    words |= {
        "api": str(API_VERSION),
        "what": what.substitute(words),
        "check": check.substitute(words),
        "dependencies": ", ".join(f'"{each}"' for each in ("rustorch", *needs)),
    }
    files = {}
    for folder in (_TEMPLATES / "every", _TEMPLATES / kind):
        for path in sorted(folder.rglob(f"*{_SUFFIX}")):
            place = path.relative_to(folder).as_posix().removesuffix(_SUFFIX)
            place = re.sub(r"^package/", f"{words['package']}/", place)
            files[place] = Template(path.read_text(encoding="utf-8")).substitute(words)
    return files


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[a-z]([a-z0-9_]*[a-z0-9])?", name) or "__" in name or keyword.iskeyword(name):
        raise ArgumentError(
            f"new-plugin: {name!r} cannot be the name; expected one such as 'mango', in small letters, digits and "
            "underscores between them, for it becomes part of a Python package's"
        )
    taken = {record.name for record in _plugins.records} | {spec.type for _, spec in _devices.specs()} | {"auto"}
    ours = {distribution.removeprefix("rustorch-") for distribution in _plugins.FIRST_PARTY} | {"core", "conformance"}
    if name in taken | ours:
        raise ArgumentError(
            f"new-plugin: {name!r} is taken, by a plugin that is installed or by rustorch; choose another"
        )
