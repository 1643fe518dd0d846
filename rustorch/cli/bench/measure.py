"""Running a plan: processes one after another, in each the contestants of a row one after another."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from rustorch.cli.bench.rows import Row
from rustorch.cli.bench.suites import Contestant, Plan, Settings
from rustorch_core.errors import PluginError


@dataclass(frozen=True)
class Effort:
    """How much is measured.

    Arguments:
        processes: that measure each row, beside the one that calibrates.
        values: in each process, after one for warming up.
        min_time: seconds that a value takes at least, by as many loops.
    """

    processes: int = 5
    values: int = 3
    min_time: float = 0.01


#: What `quick` spends, and what --fast does.
QUICK, FAST = Effort(processes=4, values=2, min_time=0.005), Effort(processes=3, values=2, min_time=0.003)


@dataclass
class _Turn:
    """A contestant's turn at a row."""

    row: Row
    contestant: Contestant
    rank: int
    loops: int = 0
    runs: list[Any] = field(default_factory=list)
    is_over: bool = False

    @property
    def name(self) -> str:
        return f"{self.row.id} [{self.contestant.label}]"

    @property
    def is_isolated(self) -> bool:
        return self.row.unit == "byte"

    def job(self, number: int) -> dict[str, Any]:
        """What its process is told of it."""
        return {
            "row": self.row.id,
            "name": self.name,
            "library": self.contestant.library,
            "form": self.contestant.form,
            "loops": self.loops,
            "metadata": {
                "suite": self.row.suite,
                "row": self.row.name,
                "contestant": self.contestant.label,
                "library": self.contestant.library,
                "rank": self.rank,
                "statement": self.row.statement,
                **({"size": self.row.size} if self.row.size else {}),  # pyperf takes no empty text
                "read": self.row.read,
                "written": self.row.written,
                "flops": self.row.flops,
                "process": number,
            },
        }


#: Freed memory goes back to the system at once, where memory is measured (Linux).
_AT_ONCE = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}


def measure(
    plan: Plan, settings: Settings, effort: Effort, versions: str, tell: Callable[[str, int, int], None]
) -> tuple[Any, dict[str, str]]:
    """Measure a plan.

    Arguments:
        plan: rows and contestants.
        settings: that it was made of.
        effort: how much of it.
        versions: what is measured, in words, to be kept with it.
        tell: is told what was measured last, how many turns are done, and of how many.

    Returns:
        a `pyperf.BenchmarkSuite`; and by row and contestant what failed.

    Raises:
        PluginError: where all of it failed.
    """
    import pyperf

    turns = [_Turn(row, each, rank) for row, contestants in plan for rank, each in enumerate(contestants)]
    failed: dict[str, str] = {}
    total, done = len(turns) * (effort.processes + 1), 0
    for number in range(effort.processes + 1):
        for group in _groups(turns, number):
            for turn, outcome in _outcomes(group, number, settings, effort, versions):
                done += 1
                tell(turn.row.id, done, total)
                if isinstance(outcome, str):
                    turn.is_over = True
                    if outcome:
                        failed[turn.name] = outcome
                    total -= effort.processes - number
                else:
                    turn.runs += outcome.get_runs()
                    turn.loops = turn.loops or int(turn.runs[-1].get_loops())
    benchmarks = [pyperf.Benchmark(turn.runs) for turn in turns if not turn.is_over]
    if not benchmarks:
        raise PluginError(f"bench: nothing could be measured; {next(iter(failed.items()), '')}")
    return pyperf.BenchmarkSuite(benchmarks), failed


def _groups(turns: list[_Turn], number: int) -> Iterator[list[_Turn]]:
    """What one process after another measures: those of one environment in one, those of each row side by side.

    Who comes first changes from process to process.
    """
    groups: dict[Any, list[_Turn]] = {}
    for turn in turns:
        if not turn.is_over and not (turn.is_isolated and number == 0):
            own = turn.name if turn.is_isolated else ""
            groups.setdefault((turn.contestant.threads, turn.contestant.variables, own), []).append(turn)
    step = 1 if number % 2 == 0 else -1
    for group in list(groups.values())[::step]:
        of_rows = [list(side_by_side) for _, side_by_side in itertools.groupby(group, key=lambda turn: turn.row.id)]
        yield [turn for side_by_side in of_rows for turn in side_by_side[::step]]


def _outcomes(
    group: list[_Turn], number: int, settings: Settings, effort: Effort, versions: str
) -> Iterator[tuple[_Turn, Any]]:
    """Each turn's benchmark; or why it has none, empty where it is not to have one."""
    waiting = list(group)
    while waiting:
        with tempfile.TemporaryFile() as said, _process(waiting[0], said) as process:
            job = {
                "settings": dataclasses.asdict(settings),
                "threads": waiting[0].contestant.threads,
                "values": effort.values,
                "min_time": effort.min_time,
                "versions": versions,
                "turns": [turn.job(number) for turn in waiting],
            }
            try:
                _send(process, json.dumps(job))
                for line in process.stdout:
                    yield waiting.pop(0), _outcome(line)
                status = process.wait()
            except BaseException:
                process.kill()
                raise
            if waiting:
                said.seek(0)
                yield waiting.pop(0), f"its process ended with {_named(status)}{_last_line(said.read())}"


def _outcome(line: bytes) -> Any:
    import pyperf

    if line.startswith(b'{"absent"'):
        return ""
    if line.startswith(b'{"failed"'):
        return json.loads(line)["failed"]
    return pyperf.Benchmark.loads(line)


def _send(process: Any, job: str) -> None:
    with contextlib.suppress(BrokenPipeError):  # it ended at once; what it said tells why
        process.stdin.write(job.encode())
        process.stdin.close()


def _process(turn: _Turn, said: Any) -> Any:
    threads = str(turn.contestant.threads)
    environment = {
        **os.environ,
        **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), threads),
        **dict(turn.contestant.variables),
        **(_AT_ONCE if turn.is_isolated else {}),
    }
    command = [sys.executable, "-m", "rustorch.cli.bench.worker"]
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said)


def _named(status: int) -> str:
    try:
        return f"status {status}" if status >= 0 else signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"


def _last_line(said: bytes) -> str:
    lines = said.decode(errors="replace").strip().splitlines()
    return f": {lines[-1]}" if lines else ""
