"""What a process of its own measures: each turn with pyperf, its result a line of pyperf's JSON on standard output.

    echo JOB | python -m rustorch.cli.bench.worker

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
from typing import Any

import numpy
import pyperf

from rustorch.cli.bench import suites
from rustorch.cli.bench.peers import Library, NotThereError, library
from rustorch.cli.bench.rows import Row, Space


def main() -> None:
    """Measure the turns of the job on standard input."""
    job = json.load(sys.stdin)
    _stay_on(job["threads"])
    # What libraries print is none of the protocol.
    told = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    settings = suites.Settings(**{name: _as_tuple(value) for name, value in job["settings"].items()})
    rows = {row.id: row for row in _rows(job["turns"], settings)}
    libraries = functools.cache(functools.partial(library, threads=job["threads"]))
    runner = pyperf.Runner(metadata={"versions": job["versions"]})
    runner.parse_args(
        [
            "--worker",
            "--quiet",
            "--warmups=1",
            "--loops=1",
            f"--values={job['values']}",
            f"--min-time={job['min_time']}",
        ]
    )
    references: dict[str, Any] = {}
    for turn in job["turns"]:
        told.write(_line(runner, rows[turn["row"]], turn, libraries, references) + "\n")
        told.flush()


def _stay_on(threads: int) -> None:
    """Leave this process so many processors, for there are libraries that cannot be told how many threads to use."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _rows(turns: list[dict[str, Any]], settings: suites.Settings) -> list[Row]:
    wanted = {turn["row"].partition("/")[0] for turn in turns}
    return [row for name in wanted for row in suites.SUITES[name].rows(settings)]


def _line(runner: Any, row: Row, turn: dict[str, Any], libraries: Any, references: dict[str, Any]) -> str:
    """What came of a turn: a benchmark, or why there is none."""
    try:
        chosen = dataclasses.replace(libraries(turn["library"]), form=turn["form"])
        space = row.space(chosen)
        statement = _waiting(chosen, row, space)
        if not turn["loops"]:
            _check(chosen, row, space, statement, references)
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


def _check(library: Library, row: Row, space: Space, statement: str, references: dict[str, Any]) -> None:
    """See that a library computes what the first one of the row did.

    Raises:
        ValueError: where it does not.
    """
    if not row.is_checked:
        return
    if row.result:
        exec(statement, space)
    y = eval(row.result or library.spelled(row.statement), space)
    found = library.host(y[0] if isinstance(y, (tuple, list)) else y)
    expected = references.get(row.id, found)
    references.clear()  # of large arrays, those of one row are enough
    references[row.id] = expected
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
