"""Level 0: a plugin that is merely installed costs nothing, says nothing and changes nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from rustorch_conformance.pytest_plugin import ENVIRONMENT
from rustorch_core import _devices, _plugins
from rustorch_core._plugins import PluginRecord

#: What every program has loaded that imports rustorch; a plugin that imports more of others makes all programs wait.
FREE = {"numpy", "pluggy", "array_api_compat", "ml_dtypes", "rustorch", "rustorch_core"}

IMPORT = """
import json, os, sys, threading, warnings
import numpy
import rustorch
from rustorch_core._op import REGISTRY
facts = {
    "modules": sorted({name.partition(".")[0] for name in sys.modules}),
    "ops": list(REGISTRY),
    "names": dir(rustorch),
    "what cpu computes": (rustorch.asarray([1.5, -2.0], device="cpu") * 2 + 1).tolist(),
    "errors of floating point": repr(sorted(numpy.geterr().items())),
    "environment variables": {key: text for key, text in os.environ.items() if not key.startswith("RUSTORCH_")},
    "sys.path": sys.path,
    "filters of warnings": [str(one) for one in warnings.filters],
    "number of threads": threading.active_count(),
}
print("FACTS", json.dumps(facts))
"""

PROBE = """
import rustorch
from rustorch_core import _devices, _plugins
spec = {{spec.type: spec for _, spec in _devices.specs()}}[{type!r}]
if spec.probe is not None:
    _plugins.resolve(spec.probe)()
"""

USE = """
device = rustorch.device({device!r})
x = rustorch.ones(3, device=device)
assert (x + x).tolist() == [2.0, 2.0, 2.0]
"""

FORK = f"""{PROBE}
import os, sys, traceback
pid = os.fork()
if not pid:
    try:
{USE.replace(chr(10), chr(10) + " " * 8)}
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def _run(program: str, limit: float, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program with those of our variables alone that say which plugins there are."""
    kept = {key: text for key, text in ENVIRONMENT.items() if not key.startswith("RUSTORCH_")}
    command = [sys.executable, "-X", "faulthandler", "-c", program]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=limit, env={**kept, **variables})
    except subprocess.TimeoutExpired:
        pytest.fail(f"it did not end within {limit:g} seconds")


def _facts(limit: float, **variables: str) -> tuple[dict[str, object], str]:
    """What a program finds that imports rustorch, and what else was printed."""
    done = _run(IMPORT, limit, **variables)
    assert done.returncode == 0, f"`import rustorch` ended with status {done.returncode}:\n{done.stderr}"
    printed, _, facts = done.stdout.rpartition("FACTS ")
    return json.loads(facts), f"{printed}{done.stderr}"


@pytest.fixture(scope="module")
def record(device: str) -> PluginRecord:
    """The plugin that brings the device."""
    type_ = device.partition(":")[0]
    return next(record for record, spec in _devices.specs() if spec.type == type_)


@pytest.fixture(scope="module")
def imported(record: PluginRecord, time_limit: float) -> tuple[dict[str, object], str]:
    """What is there after `import rustorch` with this plugin alone."""
    return _facts(time_limit, RUSTORCH_PLUGINS=f"{_plugins.REFERENCE.name},{record.name}")


@pytest.fixture(scope="module")
def without(time_limit: float) -> dict[str, object]:
    """What is there without any plugin."""
    return _facts(time_limit, RUSTORCH_AUTOLOAD="0")[0]


def test_import_is_light(imported: tuple, without: dict, record: PluginRecord) -> None:  # type: ignore[type-arg]
    facts, _ = imported
    loaded = {*facts["modules"]} - {*without["modules"]} - FREE - _packages(record) - {*sys.stdlib_module_names}
    assert not loaded, f"discovery imports {', '.join(sorted(loaded))}; import that in `load`, at first use"


def _packages(record: PluginRecord) -> set[str]:
    """The package that a plugin's entry point names, if it is not core's own."""
    return {entry.value.partition(".")[0] for entry in _plugins._found() if entry.name == record.name} - FREE


def test_import_prints_nothing(imported: tuple) -> None:  # type: ignore[type-arg]
    assert imported[1] == ""


def test_import_changes_nothing_else(imported: tuple, without: dict) -> None:  # type: ignore[type-arg]
    for what in without.keys() - {"modules"}:
        assert imported[0][what] == without[what], f"discovery changes this: {what}"


def test_probe_ends(device: str, time_limit: float) -> None:
    done = _run(PROBE.format(type=device.partition(":")[0]), time_limit)
    assert done.returncode == 0, f"the probe ended with status {done.returncode}:\n{done.stderr}"
    assert done.stdout + done.stderr == "", "the probe prints"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_device_works_in_a_fork_of_a_process_that_probed(device: str, time_limit: float) -> None:
    done = _run(FORK.format(type=device.partition(":")[0], device=device), time_limit)
    assert done.returncode == 0, f"the fork ended with status {done.returncode}:\n{done.stderr}"


def test_first_use_prints_nothing(device: str, time_limit: float) -> None:
    done = _run(f"import rustorch\n{USE.format(device=device)}", time_limit)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_without_the_plugin_all_else_works(device: str, record: PluginRecord, time_limit: float) -> None:
    others = {"RUSTORCH_AUTOLOAD": "0"} if record.name == _plugins.REFERENCE.name else {"RUSTORCH_BLOCK": record.name}
    facts, printed = _facts(time_limit, **others)
    assert printed == ""
    assert facts["what cpu computes"] == [4.0, -3.0]
    assert not _packages(record) & {*facts["modules"]}, "who loads it, if not discovery?"


def test_files_that_are_gone_break_nothing(record: PluginRecord, time_limit: float) -> None:
    """Uninstalling may leave the entry point behind, for example where files were deleted by hand."""
    hidden = f"""
import sys
class Gone:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {_packages(record) or ()!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Gone())
"""
    done = _run(hidden + IMPORT, time_limit)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.partition("FACTS ")[2])["what cpu computes"] == [4.0, -3.0]
