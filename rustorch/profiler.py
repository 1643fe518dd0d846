"""A profiler on the one call site: which ops ran, how often, how long, on which device, and what served them."""

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
    """What one op did on one device.

    Arguments:
        op: its name.
        device: where it ran.
        served_by: "kernel", "namespace", "composition" or "fallback".
        calls: how often it ran.
        seconds: its own time, without that of the ops it is made of.
        total_seconds: its time with theirs.
        nbytes: bytes of its results.
    """

    op: str
    device: str
    served_by: str
    calls: int = 0
    seconds: float = 0.0
    total_seconds: float = 0.0
    nbytes: int = 0


_COLUMNS: tuple[tuple[str, Callable[[Row], str]], ...] = (
    ("op", lambda row: row.op),
    ("calls", lambda row: str(row.calls)),
    ("self ms", lambda row: f"{row.seconds * 1e3:.3f}"),
    ("total ms", lambda row: f"{row.total_seconds * 1e3:.3f}"),
    ("MB out", lambda row: f"{row.nbytes / 1e6:.2f}"),
    ("device", lambda row: row.device),
    ("served by", lambda row: row.served_by),
)


class Profile:
    """The rows of a profile; `table()` shows them."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str, str], Row] = {}
        self._inner: list[float] = []

    @property
    def rows(self) -> list[Row]:
        """The rows, most of their own time first."""
        return sorted(self._rows.values(), key=lambda row: -row.seconds)

    def before(self, op: Any, inputs: tuple[Any, ...], attributes: Any) -> tuple[float, int]:
        """Note that an op begins: when, and inside how many others."""
        self._inner.append(0.0)
        return time.perf_counter(), len(self._inner)

    def after(self, op: Any, inputs: tuple[Any, ...], attributes: Any, output: Any, token: tuple[float, int]) -> None:
        """Note that it ended; ops inside it that raised leave nothing behind."""
        inputs[0].device.synchronize()
        started, depth = token
        total = time.perf_counter() - started
        inner = self._inner[depth - 1]
        del self._inner[depth - 1 :]
        if self._inner:
            self._inner[-1] += total
        key = inputs[0]._key
        place = (op.name, str(key.device), op.served.get(key, ""))
        row = self._rows.setdefault(place, Row(*place))
        row.calls += 1
        row.seconds += total - inner
        row.total_seconds += total
        row.nbytes += sum(
            part.nbytes for part in (output if isinstance(output, tuple) else (output,)) if isinstance(part, Tensor)
        )

    def table(self) -> str:
        """The rows as text."""
        lines = [[title for title, _ in _COLUMNS], *([cell(row) for _, cell in _COLUMNS] for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        numbers = range(1, 5)
        text = [
            "  ".join(
                cell.rjust(width) if place in numbers else cell.ljust(width)
                for place, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        ]
        seconds, calls = sum(row.seconds for row in self.rows), sum(row.calls for row in self.rows)
        return "\n".join(
            [text[0], "-" * (sum(widths) + 2 * len(widths)), *text[1:], f"{seconds * 1e3:.3f} ms in {calls} calls"]
        )

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
        self._undo.append(watch(self.result.before, self.result.after))
        return self.result

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


def __dir__() -> list[str]:
    return __all__
