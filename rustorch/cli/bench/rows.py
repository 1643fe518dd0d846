"""What is measured: a row is a statement as a user writes it, and what its names mean in each library."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy

from rustorch.cli.bench.peers import Library

Space = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Arguments:
        suite: the table.
        name: unique in it.
        statement: what is timed, in names that `space` gives a meaning.
        space: the names of the statement in a library; raises `NotThereError` where it lacks one.
        result: an expression for the result; empty where the statement itself is one.
        is_checked: whether the results of all libraries are to agree.
        forms: by library the ways in which it does this, where there are several.
        libraries: those that can do it; empty for all.
        size: numbers in an array, where a suite has the same at several.
        read: bytes that at least are read.
        written: bytes that at least are written.
        flops: floating-point operations.
        unit: "second", or "byte" where the statement's value is what is measured, in a process of its own.
    """

    suite: str
    name: str
    statement: str
    space: Callable[[Library], Space]
    result: str = ""
    is_checked: bool = True
    forms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    libraries: tuple[str, ...] = ()
    size: str = ""
    read: int = 0
    written: int = 0
    flops: int = 0
    unit: str = "second"

    @property
    def id(self) -> str:
        """The row's name with that of its suite."""
        return f"{self.suite}/{self.name}"


class Numbers(NamedTuple):
    """An array to be: its shape, the interval of its numbers, and its dtype."""

    shape: tuple[int, ...]
    low: float = -2.0
    high: float = 2.0
    dtype: Any = numpy.float32

    @property
    def size(self) -> int:
        """How many numbers."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """How many bytes."""
        return self.size * numpy.dtype(self.dtype).itemsize

    def draw(self, seed: int = 0) -> Any:
        """NumPy's array of it, the same one each time; a large one repeats a small one, for speed."""
        generator = numpy.random.default_rng([seed, self.size])
        block = generator.uniform(self.low, self.high, min(self.size, 100_003))
        if numpy.dtype(self.dtype).kind in "iu":
            block = numpy.floor(block)
        if numpy.dtype(self.dtype).kind == "b":
            block = block > (self.low + self.high) / 2
        return numpy.resize(block.astype(self.dtype), self.shape)


def label(size: int) -> str:
    """A count in few characters: 1k, 10M."""
    for unit, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if size >= unit and size % (unit // 10) == 0:
            return f"{size / unit:g}{letter}"
    return str(size)
