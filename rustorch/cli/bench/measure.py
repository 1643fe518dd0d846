"""Running a plan: each row by one contestant after another, in processes that take turns."""

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
from collections.abc import Callable
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
    failure: str = ""

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

    def take(self, line: str) -> None:
        """Take the answer of its process: a benchmark; or that there is none for it, and why."""
        import pyperf

        if line.startswith('{"absent"'):
            self.is_over = True
        elif line.startswith('{"failed"'):
            self.is_over, self.failure = True, json.loads(line)["failed"]
        else:
            self.runs += pyperf.Benchmark.loads(line).get_runs()
            self.loops = self.loops or int(self.runs[-1].get_loops())


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
    by_row = [list(of_row) for _, of_row in itertools.groupby(turns, key=lambda turn: turn.row.id)]
    job = {
        "settings": dataclasses.asdict(settings),
        "suites": list(dict.fromkeys(row.suite for row, _ in plan)),
        "values": effort.values,
        "min_time": effort.min_time,
        "versions": versions,
    }
    total, done = len(turns) * (effort.processes + 1), 0
    with tempfile.TemporaryDirectory() as folder:
        for number in range(effort.processes + 1):
            with _Workers(job) as workers:
                for place, of_row in enumerate(by_row):
                    # Who comes first changes from process to process.
                    for turn in of_row if number % 2 == 0 else reversed(of_row):
                        done += 1
                        tell(turn.row.id, done, total)
                        if not turn.is_over and not (turn.is_isolated and number == 0):
                            turn.take(workers.run(turn, {**turn.job(number), "reference": f"{folder}/{place}.npy"}))
    failed = {turn.name: turn.failure for turn in turns if turn.failure}
    benchmarks = [pyperf.Benchmark(turn.runs) for turn in turns if not turn.is_over]
    if not benchmarks:
        raise PluginError(f"bench: nothing could be measured; {next(iter(failed.items()), '')}")
    return pyperf.BenchmarkSuite(benchmarks), failed


class _Workers:
    """One process for each library under each environment, started when it is needed; all but one are idle.

    In one process they would disturb each other: the thread pools of two libraries fight for the processors.
    """

    def __init__(self, job: dict[str, Any]) -> None:
        self._job = job
        self._workers: dict[Any, _Worker] = {}

    def run(self, turn: _Turn, job: dict[str, Any]) -> str:
        """The line that a turn's process writes; empty where it ended, or is to."""
        contestant = turn.contestant
        key = (contestant.library, contestant.threads, contestant.variables, turn.name if turn.is_isolated else "")
        worker = self._workers.pop(key, None) or _Worker(self._job, contestant, _AT_ONCE if turn.is_isolated else {})
        try:
            line = worker.answer(job)
        except BaseException:
            worker.close()
            raise
        if line and not turn.is_isolated:
            self._workers[key] = worker
            return line
        end = worker.close()
        return line or json.dumps({"failed": end})

    def __enter__(self) -> _Workers:
        return self

    def __exit__(self, *about: object) -> None:
        for worker in self._workers.values():
            worker.close()


class _Worker:
    """A process that measures one turn after another."""

    def __init__(self, job: dict[str, Any], contestant: Contestant, variables: dict[str, str]) -> None:
        threads = str(contestant.threads)
        environment = {
            **os.environ,
            **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), threads),
            **dict(contestant.variables),
            **variables,
        }
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `close`)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "rustorch.cli.bench.worker"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            encoding="utf-8",
        )
        self._tell({**job, "threads": contestant.threads})

    def _tell(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):  # it has ended; what it said tells why
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()

    def answer(self, job: dict[str, Any]) -> str:
        """What it answers to a turn; nothing where it ends instead."""
        self._tell(job)
        return self._process.stdout.readline()

    def close(self) -> str:
        """End it, and say how it ended."""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            status = self._process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        self._process.stdout.close()
        with self._said:
            self._said.seek(0)
            lines = self._said.read().decode(errors="replace").strip().splitlines()
        return f"its process ended with {_named(status)}: {lines[-1] if lines else 'it said nothing'}"


#: What a process may take to leave once there is nothing more to do.
_SECONDS_TO_END = 10.0


def _named(status: int) -> str:
    try:
        return f"status {status}" if status >= 0 else signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"
