"""Reads the entry points of installed distributions, cheaply and on its guard.

`importlib.metadata` answers the same question, but importing it costs a quarter of `import numpy` (it brings the email
package along), and one damaged file of any distribution makes it raise for everybody. It is asked only about places
that are no folders.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple


class EntryPoint(NamedTuple):
    """One line `name = value` of a distribution's `entry_points.txt`."""

    name: str
    value: str
    distribution: str
    version: str

    def load(self) -> Any:
        """The module or object that the value names.

        Raises:
            whatever importing it raises.
        """
        module, _, attributes = self.value.partition("[")[0].partition(":")
        found: Any = importlib.import_module(module.strip())
        for attribute in attributes.strip().split(".") if attributes.strip() else ():
            found = getattr(found, attribute)
        return found


class _Distribution(NamedTuple):
    name: str
    version: str
    entry_points: str


def normalized(name: str) -> str:
    """A distribution's name in the one spelling that names are compared in."""
    return name.strip().lower().replace("_", "-").replace(".", "-")


def installed(group: str) -> list[EntryPoint]:
    """The entry points of a group; a distribution hides those of its name that come later on `sys.path`."""
    found: dict[str, list[EntryPoint]] = {}
    for name, version, text in _distributions(f"[{group}]"):
        if name not in found:
            found[name] = [EntryPoint(*line, name, version) for line in _lines(text, f"[{group}]")]
    return [entry for entries in found.values() for entry in entries]


def _lines(text: str, header: str) -> Iterator[tuple[str, str]]:
    section = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            section = line
        elif section == header and line and line[0] not in "#;":
            name, _, value = line.partition("=")
            yield name.strip(), value.strip()


def _distributions(header: str) -> Iterator[_Distribution]:
    """Every distribution once or more; only those with the header come with their entry points and true names."""
    for place in sys.path:
        if isinstance(place, str) and os.path.isfile(place):
            yield from _by_importlib(place)
        elif isinstance(place, str):
            yield from _in_folder(place or os.curdir, header)
    if any(_finds_distributions(finder) for finder in sys.meta_path):
        yield from _by_importlib(None)


def _in_folder(place: str, header: str) -> Iterator[_Distribution]:
    try:
        names = sorted(name for name in os.listdir(place) if name.endswith((".dist-info", ".egg-info")))
    except OSError:
        return
    for name in names:
        folder = os.path.join(place, name)
        stated, version = (*name.rpartition(".")[0].split("-"), "")[:2]
        text = _read(os.path.join(folder, "entry_points.txt"))
        if header in text:
            head = _metadata(folder)
            stated, version = head.get("name", stated), head.get("version", version)
        yield _Distribution(normalized(stated), version or "?", text)


def _metadata(folder: str) -> dict[str, str]:
    head = _read(os.path.join(folder, "METADATA")) or _read(os.path.join(folder, "PKG-INFO"))
    lines = [line.partition(":") for line in head.partition("\n\n")[0].splitlines()]
    return {key.lower(): value.strip() for key, colon, value in reversed(lines) if colon}


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read().decode("utf-8-sig", "replace").replace("\r\n", "\n")
    except OSError:
        return ""


def _finds_distributions(finder: Any) -> bool:
    from importlib.machinery import PathFinder

    return finder is not PathFinder and hasattr(finder, "find_distributions")


def _by_importlib(place: str | None) -> Iterator[_Distribution]:
    """What an archive on `sys.path` holds, or what an importer other than Python's own knows of."""
    import importlib.metadata

    try:
        found = list(
            importlib.metadata.distributions() if place is None else importlib.metadata.distributions(path=[place])
        )
    except Exception:  # an importer of a stranger's, or an archive that is none
        return
    for each in found:
        with suppress(Exception):  # damaged metadata
            yield _Distribution(normalized(each.name), each.version, each.read_text("entry_points.txt") or "")
