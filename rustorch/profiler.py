"""A profiler on the one call site: which ops ran, how often, how long, and on which device."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rustorch_core import _plugins
from rustorch_core._dispatch import watch
from rustorch_core._tensor import Tensor
from rustorch_core.errors import ArgumentError

__all__ = ["Profile", "Row", "profile", "watch"]


@dataclass
class Row:
    """What one op did on one device: calls, seconds in all, bytes of its results, and what served it."""

    op: str
    device: str
    served_by: str
    calls: int = 0
    seconds: float = 0.0
    nbytes: int = 0


class Profile:
    """The rows of a profile, longest first; `table()` shows them."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str, str], Row] = {}

    @property
    def rows(self) -> list[Row]:
        """The rows, longest time first."""
        return sorted(self._rows.values(), key=lambda row: -row.seconds)

    def add(self, op: Any, inputs: tuple[Any, ...], output: Any, seconds: float) -> None:
        """Count one call."""
        parts = [part for part in (output if isinstance(output, tuple) else (output,)) if isinstance(part, Tensor)]
        key = inputs[0]._key
        place = (op.name, str(key.device), op.served.get(key, ""))
        row = self._rows.setdefault(place, Row(*place))
        row.calls += 1
        row.seconds += seconds
        row.nbytes += sum(part.nbytes for part in parts)

    def table(self) -> str:
        """The rows as text."""
        head = ("op", "calls", "total ms", "mean us", "MB out", "device", "served by")
        body = [
            (row.op, str(row.calls), f"{row.seconds * 1e3:.3f}", f"{row.seconds / row.calls * 1e6:.1f}",
             f"{row.nbytes / 1e6:.2f}", row.device, row.served_by)
            for row in self.rows
        ]  # fmt: skip
        widths = [max(len(line[column]) for line in (head, *body)) for column in range(len(head))]
        numeric = range(1, 5)
        lines = [
            "  ".join(text.rjust(w) if i in numeric else text.ljust(w) for i, (text, w) in enumerate(zip(line, widths, strict=True)))
            for line in (head, *body)
        ]
        total = sum(row.seconds for row in self.rows)
        return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:], f"total {total * 1e3:.3f} ms in {sum(row.calls for row in self.rows)} calls"])

    def __repr__(self) -> str:
        return self.table()


class profile:
    """Watch every op in a block, and print a table when it ends.

    Arguments:
        show: what prints the table; None prints nothing.
        sink: name of a plugin's sink to tell of every op as well.

    Raises:
        ArgumentError: for a sink that no plugin brings.

    Example:
        >>> import rustorch as rt
        >>> with rt.profiler.profile(show=None) as p:
        ...     _ = rt.ones(3) + rt.ones(3)
        >>> [(row.op, row.calls) for row in p.rows]
        [('add', 1)]
    """

    def __init__(self, *, show: Callable[[str], None] | None = print, sink: str | None = None) -> None:
        self._show = show
        self._sink = sink
        self._undo: list[Callable[[], None]] = []

    def __enter__(self) -> Profile:
        self.result = Profile()
        if self._sink is not None:
            self._undo.append(watch(*_sink(self._sink)))
        self._undo.append(watch(lambda op, inputs, attributes: time.perf_counter(), self._after))
        return self.result

    def _after(self, op: Any, inputs: tuple[Any, ...], attributes: Any, output: Any, started: float) -> None:
        inputs[0].device.synchronize()
        self.result.add(op, inputs, output, time.perf_counter() - started)

    def __exit__(self, *error: object) -> None:
        while self._undo:
            self._undo.pop()()
        if self._show is not None and error[0] is None:
            self._show(self.result.table())


def _sink(name: str) -> tuple[Callable[..., Any], Callable[..., None]]:
    offered = {sink.name: sink for _, sink in _plugins.facts("rustorch_profiler_sinks")}
    if name not in offered:
        raise ArgumentError(f"profile: no plugin brings a sink {name!r}; there are: {', '.join(offered) or 'none'}")
    before, after = _plugins.resolve(offered[name].load)()
    return before, after
