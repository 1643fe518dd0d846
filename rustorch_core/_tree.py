"""Pytrees: nested lists, tuples, dicts, dataclasses and registered containers as a flat list of leaves, and back."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

from rustorch_core.errors import ArgumentError

Rebuild = Callable[[list[Any]], Any]
#: A tree without its leaves: None for a leaf, else the skeletons of the children.
Skeleton = list["Skeleton | None"]
_CONTAINERS: dict[type, Callable[[Any], tuple[list[Any], Rebuild]]] = {}


def register(kind: type, split: Callable[[Any], tuple[list[Any], Rebuild]]) -> None:
    """Let instances of a class be taken apart: `split(instance)` gives its children and a function that rebuilds it."""
    _CONTAINERS[kind] = split


def split(tree: Any) -> tuple[list[Any], Rebuild] | None:
    """The children of a container and what puts them together again; None for a leaf."""
    for kind in type(tree).__mro__:
        if kind in _CONTAINERS:
            return _CONTAINERS[kind](tree)
    if isinstance(tree, dict):
        return list(tree.values()), lambda children: _with_values(tree, children)
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return list(tree), lambda children: type(tree)(*children)
    if isinstance(tree, (list, tuple)):
        return list(tree), type(tree)
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        names = [field.name for field in dataclasses.fields(tree) if field.init]
        return (
            [getattr(tree, name) for name in names],
            lambda children: dataclasses.replace(tree, **dict(zip(names, children, strict=True))),
        )
    return None


def _with_values(tree: dict[Any, Any], values: list[Any]) -> dict[Any, Any]:
    """A dict of the same kind, whose constructor may take something else."""
    made = copy.copy(tree)
    made.update(zip(tree, values, strict=True))
    return made


def flatten(tree: Any) -> tuple[list[Any], Rebuild]:
    """The leaves of a tree in order, and the function that builds the same tree from other leaves."""
    found = split(tree)
    if found is None:
        return [tree], lambda leaves: leaves[0]
    children, rebuild = found
    parts = [flatten(child) for child in children]
    sizes = [len(leaves) for leaves, _ in parts]

    def build(leaves: list[Any]) -> Any:
        built, start = [], 0
        for size, (_, build_child) in zip(sizes, parts, strict=True):
            built.append(build_child(leaves[start : start + size]))
            start += size
        return rebuild(built)

    return [leaf for leaves, _ in parts for leaf in leaves], build


def skeleton(tree: Any) -> Skeleton | None:
    """The structure of a tree."""
    found = split(tree)
    return None if found is None else [skeleton(child) for child in found[0]]


def at_leaves(name: str, structure: Skeleton | None, tree: Any) -> list[Any]:
    """What stands in a tree where a structure has its leaves; None may stand for any part.

    Raises:
        ArgumentError: where the tree has another structure.
    """
    if structure is None:
        return [tree]
    found = ([None] * len(structure), None) if tree is None else split(tree)
    if found is None or len(found[0]) != len(structure):
        raise ArgumentError(
            f"{name}: met {type(tree).__name__}{f' of {len(found[0])}' if found else ''} where {len(structure)} parts "
            "were expected; both must have one structure"
        )
    return [each for part, child in zip(structure, found[0], strict=True) for each in at_leaves(name, part, child)]
