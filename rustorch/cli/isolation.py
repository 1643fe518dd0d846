"""Trying plugins in a process of their own first, for one may crash, hang or end the process that it is loaded into.

One process tries everything. Only where it does not live to the end, each plugin, device and check is tried in a
process of its own, and what ends that is an error like any other here, so that the report can name it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from rustorch_core import _plugins
from rustorch_core.errors import PluginError

#: What Python may raise is met again in the reporting process, which tells it; here only survival counts.
_PROGRAM = """
import os, sys
try:
    import rustorch.cli.isolation as isolation
    isolation._try(sys.argv[2])
except BaseException:
    pass
with open(sys.argv[1], "w") as file:
    file.write("alive")
os._exit(0)
"""
_EVERYTHING = ""


def discover(time_limit: float) -> None:
    """Find the plugins for a report; those that a process did not survive are marked as failed.

    Arguments:
        time_limit: seconds that a plugin may take to load, and a device to be probed and tried.
    """
    if _plugins.records:
        return
    if _death(_EVERYTHING, time_limit, {}):
        _plugins.guard = _guard(time_limit)
    _plugins.refresh()


def _guard(time_limit: float) -> Callable[[str, str], None]:
    blocked = [name for name in (os.environ.get("RUSTORCH_BLOCK"),) if name]

    def guard(what: str, name: str) -> None:
        variables = {"RUSTORCH_BLOCK": ",".join(blocked)}
        if what == "plugin":
            variables["RUSTORCH_PLUGINS"] = name
        death = _death(f"{what}:{name}", time_limit, variables)
        if death is not None:
            if what == "plugin":
                blocked.append(name)  # no later process is to load it
            raise death

    return guard


def _death(what: str, time_limit: float, variables: dict[str, str]) -> PluginError | None:
    """Try something in a new process; what ended that before its time, with what it said last."""
    with tempfile.TemporaryDirectory() as folder:
        alive = Path(folder, "alive")
        with open(Path(folder, "said"), "w+b") as said:
            process = subprocess.Popen(
                [sys.executable, "-X", "faulthandler", "-c", _PROGRAM, str(alive), what],
                env={**os.environ, **variables},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
            try:
                reason = _named(process.wait(time_limit))
            except subprocess.TimeoutExpired:
                reason = f"no answer within {time_limit:g} seconds"
            finally:
                _end(process)
        if alive.exists():
            return None
        last_words = Path(said.name).read_bytes()[-4000:].decode(errors="replace")
    error = PluginError(f"{reason}{_place(last_words)}")
    error.add_note(f"The process in which it was tried said last:\n{last_words or 'nothing'}")
    return error


def _end(process: subprocess.Popen[bytes]) -> None:
    """Leave nothing of a process behind, nor of those that it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (AttributeError, OSError):  # there are no groups here, or nobody is left
        process.kill()
    process.wait()


def _named(status: int) -> str:
    if status >= 0:
        return f"an exit of the whole process with status {status}"
    try:
        return f"a crash by {signal.Signals(-status).name}"
    except ValueError:
        return f"a crash by signal {-status}"


def _place(last_words: str) -> str:
    """Where Python was when it crashed, as its fault handler says in the line after "most recent call first"."""
    _, _, calls = last_words.rpartition("most recent call first")
    lines = calls.splitlines()
    return f" ({_plugins.one_line(lines[1])})" if len(lines) > 1 else ""


def _try(what: str) -> None:
    """What the new process does, into which `import rustorch` has loaded the plugins: probe devices, and use them."""
    from rustorch.cli.report import CHECKS
    from rustorch_core import _devices

    kind, _, name = what.partition(":")
    for _, spec in _devices.specs():
        if kind == "plugin" or name not in ("", spec.type):
            continue
        if _devices.availability(spec).usable and kind != "device":
            for check in CHECKS.values():
                with contextlib.suppress(Exception):
                    check(spec.type)
