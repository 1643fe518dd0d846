"""How a run is shown: a table for each suite, what it comes to, and what changed since an earlier run."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rustorch.cli.bench.results import (
    Change,
    Limits,
    Result,
    Results,
    Spread,
    geometric_mean,
    limits,
    others,
    part_of_limit,
)
from rustorch.cli.bench.suites import Plan

_UNITS = {
    "second": ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns")),
    "byte": ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"), (1.0, "B")),
}


#: A spread that is usual on a machine that does other work.
_ROUGH = 0.1


def in_words(value: float, unit: str) -> str:
    """A time or a size with three digits."""
    factor, name = next((each for each in _UNITS[unit] if value >= each[0]), _UNITS[unit][-1])
    return f"{_three_digits(value / factor)} {name}"


def _three_digits(value: float) -> str:
    return f"{value:.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def _times_in_words(times: Spread) -> str:
    digits = 0 if times.median >= 99.5 else 1 if times.median >= 9.95 else 2
    return f"{times.median:.{digits}f} ±{times.deviation:.{digits}f}"


def console() -> Console:
    """Where tables go: as wide as the terminal, and as wide as they like in a file."""
    found = Console()
    return found if found.is_terminal else Console(width=1000)


def _table(*head: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for place, name in enumerate(head):
        table.add_column(name, justify="right" if place else "left", no_wrap=place > 0)
    return table


def show_suites(names: Mapping[str, str]) -> None:
    """Show the suites that there are."""
    table = Table("suite", "what it measures", box=SIMPLE_HEAD, pad_edge=False)
    for name, summary in names.items():
        table.add_row(name, summary)
    console().print(table)


def show_plan(plan: Plan) -> None:
    """Show the rows that would be measured."""
    table = Table("row", "statement", "measured", box=SIMPLE_HEAD, pad_edge=False)
    for row, contestants in plan:
        table.add_row(*map(Text, (row.id, row.statement, ", ".join(each.label for each in contestants))))
    console().print(table)
    console().print(f"{len(plan)} rows", highlight=False)


def show(found: Results, failed: Mapping[str, str]) -> None:
    """Show the tables of a run, and what failed in it."""
    to, machine = console(), limits(found)
    for suite, rows in found.items():
        if suite != "machine":
            _show_suite(to, suite, rows, machine)
    _show_machine(to, found, machine)
    firsts = [of_row[0].spread for suite, rows in found.items() if suite != "machine" for of_row in rows.values()]
    usual = statistics.median(deviation / median for median, deviation in firsts) if firsts else 0.0
    if usual > _ROUGH:
        to.print(Text(f"Rough: values spread by {100 * usual:.0f} % in half of the rows; measure on a quiet machine."))
    for name, reason in failed.items():
        to.print(Text(f"FAILED {name}: {reason}", style="red"))


def _show_suite(to: Console, suite: str, rows: Mapping[str, Sequence[Result]], machine: Limits) -> None:
    labels = list(dict.fromkeys(result.contestant for of_row in rows.values() for result in of_row))
    parts = {row: part_of_limit(of_row[0], machine) for row, of_row in rows.items()}
    head = [suite, labels[0], "±"]
    for each in labels[1:]:
        head += [each, "times"]
    table = _table(*head, *(["of limit"] if any(parts.values()) else []))
    for row, of_row in rows.items():
        by_label = {result.contestant: result for result in of_row}
        cells = [Text(row), *_own(by_label.get(labels[0]))]
        for each in labels[1:]:
            cells += _beside(by_label.get(labels[0]), by_label.get(each))
        if any(parts.values()):
            part = parts[row]
            cells.append(Text("" if part is None else f"{100 * part:.0f} %"))
        table.add_row(*cells)
    to.print(table)
    _show_means(to, rows)


def _own(result: Result | None) -> list[Text]:
    if result is None:
        return [Text("-"), Text("")]
    median, deviation = result.spread
    return [Text(in_words(median, result.unit)), Text(f"{100 * deviation / median:.0f} %", style="dim")]


def _beside(first: Result | None, other: Result | None) -> list[Text]:
    """What another took, and how many times as much that is."""
    if other is None:
        return [Text("-", style="dim"), Text("")]
    cell = Text(in_words(other.spread.median, other.unit))
    if first is None:
        return [cell, Text("")]
    times = first.times(other)
    is_clear = abs(times.median - 1) > max(2 * times.deviation, 0.02)
    style = "" if not is_clear else "green" if times.median > 1 else "red"
    return [cell, Text(_times_in_words(times), style=style)]


def _show_means(to: Console, rows: Mapping[str, Sequence[Result]]) -> None:
    """What the ratios of a table come to, for each library by its best form, and at each size."""
    times: dict[str, dict[str, float]] = {}
    for row, of_row in rows.items():
        if of_row[0].rank == 0:
            for name, value in others(of_row).items():
                times.setdefault(name, {})[row] = value.median
    for name, of_rows in times.items():
        sizes: dict[str, list[float]] = {}
        for row, value in of_rows.items():
            sizes.setdefault(rows[row][0].size, []).append(value)
        at = ", ".join(f"{size or 'others'} {geometric_mean(values):.2f}" for size, values in sizes.items())
        slower = [f"{row} ({of_rows[row]:.2f})" for row in sorted(of_rows, key=of_rows.__getitem__) if of_rows[row] < 1]
        named = ", ".join(slower[:5]) + (" ..." if len(slower) > 5 else "")
        lines = [
            f"{name}: {geometric_mean(list(of_rows.values())):.2f} times in the geometric mean of {len(of_rows)} rows",
            f" ({at})" if len(sizes) > 1 else "",
            f"; below 1 in {len(slower)}: {named}" if slower else "; none below 1",
        ]
        to.print(Text("".join(lines)), soft_wrap=True)


def _show_machine(to: Console, found: Results, machine: Limits) -> None:
    rows = [f"{row} {_rate(of_row[0])}" for row, of_row in found.get("machine", {}).items()]
    to.print(Text(f"\nThe machine itself, in the same run: {', '.join(rows)}."), soft_wrap=True)
    if machine.flops:
        to.print(Text(f"The most that any matmul did is {machine.flops / 1e9:.0f} GFLOP/s."))


def _rate(result: Result) -> str:
    if result.flops:
        return f"{result.flops / result.spread.median / 1e9:.0f} GFLOP/s"
    return f"{(result.read + result.written) / result.spread.median / 1e9:.1f} GB/s"


def show_changes(found: Sequence[Change], now: Results, then: Results) -> None:
    """Show what changed beyond the noise, slower rows first."""
    to = console()
    beyond = sorted((each for each in found if each.is_beyond_noise), key=lambda each: -each.times)
    table = _table("against the baseline", "times", "", "measured beside")
    for each in beyond:
        word, style = ("slower", "red") if each.times > 1 else ("faster", "green")
        table.add_row(
            Text(f"{each.row} [{each.contestant}]"),
            Text(f"{each.times:.2f}", style=style),
            Text(word, style=style),
            Text(each.beside or "the clock alone"),
        )
    if beyond:
        to.print(table)
    slower = sum(each.is_slower for each in beyond)
    to.print(
        Text(
            f"Against the baseline: {slower} slower and {len(beyond) - slower} faster beyond the noise, "
            f"of {len(found)} rows that both runs have."
        )
    )
    machine = [
        f"{row} {of_row[0].spread.median / then['machine'][row][0].spread.median:.2f}"
        for row, of_row in now.get("machine", {}).items()
        if row in then.get("machine", {})
    ]
    if machine:
        to.print(Text(f"The machine itself takes so many times as long as then: {', '.join(machine)}."), soft_wrap=True)
