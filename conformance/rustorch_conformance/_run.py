"""Runs the levels in a process of its own, which a device may take down or hang, and gathers what it tells."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

HERE = Path(__file__).parent
#: The test without which no device can be opened.
PROBE = "test_probe_ends"


@dataclass
class Results:
    """What a run told.

    Arguments:
        tests: each with its name, level, op, outcome, message and seconds.
        facts: of the device, such as what serves each op.
        error: why nothing could be run; empty where something was.
    """

    tests: list[dict[str, Any]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    error: str = ""


def run(
    device: str, levels: tuple[str, ...], *, ops: str, test: str, expected: Path | None, time_limit: float
) -> Results:
    """Run the tests of these levels on a device; a test that brings the process down fails, and the next ones run."""
    files = [str(next(HERE.glob(f"test_level{level[1]}_*.py"))) for level in levels]
    options = ["-q", "--tb=short", "-c", os.devnull, "--rootdir", str(HERE), "-p", "no:cacheprovider"]
    options += ["--import-mode=importlib", "--disable-warnings"]
    options += ["--rustorch-device", device, "--rustorch-ops", ops, "--rustorch-test", test]
    options += ["--rustorch-time-limit", str(time_limit), *(["--rustorch-expected", str(expected)] if expected else [])]
    results = Results()
    with _progress() as progress, tempfile.TemporaryDirectory() as folder:
        bar = progress.add_task("collecting", total=None)
        while True:
            events = Path(folder, str(len(results.tests)))
            skip = sum("outcome" in one for one in results.tests)
            command = [sys.executable, "-m", "pytest", *options, f"--rustorch-events={events}"]
            process = _Process([*command, f"--rustorch-skip={skip}", *files], events, 2 * time_limit)
            is_whole = not skip
            for event in process.events():
                if event["event"] == "collected" and is_whole:
                    results.tests = event["tests"]
                    progress.update(bar, total=len(results.tests))
                elif event["event"] == "started":
                    one = results.tests[skip]
                    progress.update(bar, description=f"{one['level']} {one['test']}")
                elif event["event"] == "finished":
                    results.tests[skip].update({key: event[key] for key in ("outcome", "message", "seconds")})
                    skip += 1
                    progress.update(bar, completed=skip)
                    if results.tests[skip - 1]["test"] == PROBE and event["outcome"] == "failed":
                        for one in results.tests[skip:]:
                            one.update(outcome="skipped", message="the device cannot be opened", seconds=0.0)
                        return results
                elif event["event"] == "facts":
                    results.facts = event["facts"]
            if not results.tests:
                results.error = process.said or process.why_ended or "there are no tests for these options"
                return results
            if skip >= len(results.tests):
                return results
            results.tests[skip].update(outcome="failed", message=process.why_ended, seconds=0.0)


def _progress() -> Progress:
    columns = (TextColumn("{task.description:40.40}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)


class _Process:
    """pytest at work; `events` ends when it does, or when one test has taken too long."""

    def __init__(self, command: list[str], events: Path, time_limit: float) -> None:
        events.touch()
        self._events = events
        self._output = events.with_suffix(".output")
        self._time_limit = time_limit
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True
            )
        self.why_ended = ""

    @property
    def said(self) -> str:
        """The end of what it printed."""
        return "\n".join(self._output.read_text(errors="replace").strip().splitlines()[-40:])

    def events(self) -> Iterator[dict[str, Any]]:
        """What it tells, as it comes."""
        heard = time.monotonic()
        try:
            with self._events.open(encoding="utf-8") as lines:
                unfinished = ""
                while True:
                    has_ended = self._process.poll() is not None
                    while line := lines.readline():
                        unfinished += line
                        if unfinished.endswith("\n"):
                            heard = time.monotonic()
                            yield json.loads(unfinished)
                            unfinished = ""
                    if has_ended:
                        self.why_ended = f"the process ended with status {self._process.returncode}:\n{self.said}"
                        return
                    if time.monotonic() - heard > self._time_limit:
                        self.why_ended = f"it did not end within {self._time_limit:g} seconds"
                        return
                    time.sleep(0.05)
        finally:
            if hasattr(os, "killpg"):  # with what it started, which may hang as well
                with suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
            self._process.kill()
            self._process.wait()
