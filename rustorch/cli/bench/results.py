"""What a run found, read back from pyperf's benchmarks: medians, ratios with their spread, and parts of the limit."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from rustorch_core.errors import FileFormatError, FileReadError, MissingFileError


class Spread(NamedTuple):
    """A median and how far values are from it: 1.48 times their median absolute deviation, as if they were normal."""

    median: float
    deviation: float


def spread(values: Sequence[float]) -> Spread:
    """The median of values and their spread."""
    median = statistics.median(values)
    return Spread(median, 1.4826 * statistics.median(abs(value - median) for value in values))


@dataclass(frozen=True)
class Result:
    """What one contestant did in one row.

    Arguments:
        suite: of the row.
        row: its name.
        contestant: its label.
        library: what it is.
        rank: its place among the row's contestants; 0 is the one that the others are compared with.
        unit: "second" or "byte".
        processes: by number the values of each process.
        size: numbers in an array, where a suite has the same row at several.
        read: bytes that at least are read.
        written: bytes that at least are written.
        flops: floating-point operations.
    """

    suite: str
    row: str
    contestant: str
    library: str
    rank: int
    unit: str
    processes: Mapping[int, Sequence[float]]
    size: str
    read: int
    written: int
    flops: int

    @property
    def id(self) -> str:
        """The row with its suite."""
        return f"{self.suite}/{self.row}"

    @cached_property
    def medians(self) -> dict[int, float]:
        """The median of each process."""
        return {number: statistics.median(values) for number, values in self.processes.items()}

    @cached_property
    def spread(self) -> Spread:
        """Over the values of all processes."""
        return spread([value for values in self.processes.values() for value in values])

    def times(self, other: Result) -> Spread:
        """How many times as much another took, by processes that took turns: what slows the machine down is in both."""
        common = self.medians.keys() & other.medians.keys()
        return spread([other.medians[number] / self.medians[number] for number in common])


#: By suite and row, the results with the best rank first.
Results = dict[str, dict[str, list[Result]]]


def results(benchmarks: Iterable[Any]) -> Results:
    """What a `pyperf.BenchmarkSuite` holds.

    Raises:
        KeyError: where it is none of ours.
    """
    found: Results = {}
    for benchmark in benchmarks:
        facts = benchmark.get_metadata()
        processes = {run.get_metadata()["process"]: run.values for run in benchmark.get_runs() if run.values}
        if processes:
            names = ("suite", "row", "contestant", "library", "rank", "unit")
            amounts = (facts[name] for name in ("read", "written", "flops"))
            result = Result(*(facts[name] for name in names), processes, facts.get("size", ""), *amounts)
            found.setdefault(result.suite, {}).setdefault(result.row, []).append(result)
    for rows in found.values():
        for of_row in rows.values():
            of_row.sort(key=lambda result: result.rank)
    return found


def read(path: Path) -> Any:
    """The benchmarks in a file that `--json` wrote.

    Raises:
        MissingFileError: where there is none.
        FileReadError: where it cannot be read.
        FileFormatError: where it is none of ours.
    """
    import pyperf

    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise MissingFileError(f"bench: there is no file {path}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise FileReadError(f"bench: {path} cannot be read: {error}") from error
    try:
        suite = pyperf.BenchmarkSuite.loads(text)
        results(suite)
    except Exception as error:  # pyperf raises whatever it meets
        raise FileFormatError(
            f"bench: {path} is no file that `rustorch bench --json` wrote ({type(error).__name__}: {error})"
        ) from error
    return suite


class Limits(NamedTuple):
    """What the machine can do each second, as measured in the same run.

    Arguments:
        reading: bytes where nothing is written.
        moving: bytes where something is.
        flops: floating-point operations.
    """

    reading: float
    moving: float
    flops: float


#: What moves less than this comes out of a cache, and what computes less has other worries.
_LARGE, _MUCH = 2**25, 10**7


def limits(found: Results) -> Limits:
    """The most bytes that the plainest loops moved, and the most operations that anybody's matmul did."""
    machine = [of_row[0] for of_row in found.get("machine", {}).values()]
    products = [each for rows in found.values() for of_row in rows.values() for each in of_row if each.flops]
    return Limits(
        max((each.read / each.spread.median for each in machine if not each.written), default=0.0),
        max(((each.read + each.written) / each.spread.median for each in machine if each.written), default=0.0),
        max((each.flops / each.spread.median for each in products), default=0.0),
    )


def part_of_limit(result: Result, machine: Limits) -> float | None:
    """How much of what the machine can do a result is; None for what neither memory nor arithmetic limits."""
    amount, limit = result.read + result.written, machine.moving if result.written else machine.reading
    if result.flops:
        amount, limit = result.flops, machine.flops
    is_limited = amount >= (_MUCH if result.flops else _LARGE) and limit > 0
    return amount / result.spread.median / limit if is_limited else None


def others(of_row: Sequence[Result]) -> dict[str, Spread]:
    """By library, how many times as much as the first the best of its forms took."""
    first, *rest = of_row
    found: dict[str, Spread] = {}
    for other in rest:
        name = other.library if other.library != first.library else other.contestant
        times = first.times(other)
        if name not in found or times.median < found[name].median:
            found[name] = times
    return found


def geometric_mean(values: Sequence[float]) -> float:
    """The mean of ratios."""
    return math.exp(statistics.fmean(map(math.log, values)))


class Change(NamedTuple):
    """How a row compares with an earlier run.

    Arguments:
        row: its id.
        contestant: who.
        times: as much as then, it takes now.
        is_beyond_noise: whether that is a change at all.
        beside: the peers that it was compared beside, empty where the clock had to do.
    """

    row: str
    contestant: str
    times: float
    is_beyond_noise: bool
    beside: str

    @property
    def is_slower(self) -> bool:
        """Whether it is slower, and that is no noise."""
        return self.is_beyond_noise and self.times > 1


#: What is less than this is no change worth a word.
SMALL = 0.05


def changes(now: Results, then: Results) -> list[Change]:
    """How the first contestant of each row that both runs have compares.

    Where both have peers in the row, what is compared is its time beside theirs, process by process: so a machine that
    has become slower does not count. A change is beyond noise where each process of one run is on the same side of each
    of the other's, and the medians differ by more than `SMALL`.
    """
    found = []
    for suite, rows in now.items():
        for row, of_row in rows.items():
            earlier = {result.contestant: result for result in then.get(suite, {}).get(row, [])}
            mine = of_row[0]
            if mine.contestant in earlier and suite != "machine":
                peers = [each.contestant for each in of_row[1:] if each.contestant in earlier]
                new = _beside(mine, [each for each in of_row if each.contestant in peers])
                old = _beside(earlier[mine.contestant], [earlier[name] for name in peers])
                times = statistics.median(new) / statistics.median(old)
                is_apart = min(new) > max(old) or max(new) < min(old)
                is_beyond = is_apart and max(times, 1 / times) > 1 + SMALL
                found.append(Change(mine.id, mine.contestant, times, is_beyond, ", ".join(peers)))
    return found


def _beside(mine: Result, peers: Sequence[Result]) -> list[float]:
    """Each process's median, over the peers' in that process."""
    numbers = set(mine.medians).intersection(*(peer.medians for peer in peers))
    return [
        mine.medians[number] / (geometric_mean([peer.medians[number] for peer in peers]) if peers else 1.0)
        for number in sorted(numbers)
    ]
