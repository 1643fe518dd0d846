"""What a process of its own measures, as `measure` tells it: each turn with pyperf, each answer a line of its JSON.

The first process calibrates, as pyperf's own does, and the others take the loops that it found.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import json
import os
import sys
import timeit
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pyperf

from rustorch.cli.bench import suites
from rustorch.cli.bench.peers import Library, NotThereError, library
from rustorch.cli.bench.rows import Row, Space


def main() -> None:
    """Read the job from standard input, then turns; answer each with a line."""
    job = json.loads(sys.stdin.readline())
    _stay_on(job["threads"])
    # What libraries print is none of the protocol.
    told = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    settings = suites.Settings(**{name: _as_tuple(value) for name, value in job["settings"].items()})
    rows = {row.id: row for name in job["suites"] for row in suites.SUITES[name].rows(settings)}
    libraries = functools.cache(functools.partial(library, threads=job["threads"]))
    runner = pyperf.Runner(metadata={"versions": job["versions"]})
    effort = [f"--values={job['values']}", f"--min-time={job['min_time']}"]
    runner.parse_args(["--worker", "--quiet", "--warmups=1", "--loops=1", *effort])
    for line in sys.stdin:
        turn = json.loads(line)
        told.write(_answer(runner, rows[turn["row"]], turn, libraries) + "\n")
        told.flush()


def _stay_on(threads: int) -> None:
    """Leave this process so many processors, for there are libraries that cannot be told how many threads to use."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _answer(runner: Any, row: Row, turn: dict[str, Any], libraries: Callable[[str], Library]) -> str:
    """What came of a turn: a benchmark, or why there is none."""
    try:
        chosen = dataclasses.replace(libraries(turn["library"]), form=turn["form"])
        space = row.space(chosen)
        statement = _waiting(chosen, row, space)
        if row.is_checked and not turn["loops"]:
            _check(chosen, row, space, statement, Path(turn["reference"]))
        benchmark = _measured(runner, row, turn, statement, space)
    except NotThereError as error:
        return json.dumps({"absent": str(error)})
    except Exception as error:
        return json.dumps({"failed": f"{type(error).__name__}: {error}".splitlines()[0]})
    text = io.StringIO()
    benchmark.dump(text)
    return text.getvalue().strip()


def _waiting(library: Library, row: Row, space: Space) -> str:
    """The statement in a library's words, which ends when its result is there."""
    statement = library.spelled(row.statement)
    if library.wait is None:
        return statement
    space["wait"] = library.wait
    return f"{statement}; wait({row.result})" if row.result else f"wait({statement})"


#: Results of more numbers are not compared: those of the same row at a smaller size are.
_COMPARED = 1_000_000


def _check(library: Library, row: Row, space: Space, statement: str, reference: Path) -> None:
    """See that a library computes what the first one of the row did, which leaves its result in a file.

    Raises:
        ValueError: where it does not.
    """
    if row.result:
        exec(statement, space)
    y = eval(row.result or library.spelled(row.statement), space)
    found = library.host(y[0] if isinstance(y, (tuple, list)) else y)
    if found.size > _COMPARED:
        return
    if not reference.exists():
        numpy.save(reference, found)
        return
    expected = numpy.load(reference)
    near = 1e-3 * max(1.0, float(numpy.nanmax(numpy.abs(expected), initial=0.0)))
    if found.shape != expected.shape or not numpy.allclose(found, expected, rtol=1e-3, atol=near, equal_nan=True):
        raise ValueError(f"{library.name} computes something else than the first")


def _measured(runner: Any, row: Row, turn: dict[str, Any], statement: str, space: Space) -> Any:
    if row.unit == "byte":
        options = {"loops": 1, "calibrate_loops": False, "warmups": 0, "values": 1}
        measure: Any = lambda loops: eval(statement, space)  # noqa: E731
    else:
        is_calibration = not turn["loops"]
        options = {"loops": turn["loops"], "calibrate_loops": is_calibration, "warmups": int(not is_calibration)}
        measure = timeit.Timer(statement, globals=space).timeit
    vars(runner.args).update(options)
    metadata = {**turn["metadata"], "unit": row.unit}
    with contextlib.redirect_stdout(io.StringIO()):
        return runner.bench_time_func(turn["name"], measure, metadata=metadata)


if __name__ == "__main__":
    main()
