"""The pytest side of the conformance tests: their options, the `device` fixture, expected failures, and events.

The level of a test is in its file's name, `test_level2_values.py`.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

HERE = Path(__file__).parent
#: The variables as they were before any plugin of rustorch's was imported.
ENVIRONMENT = dict(os.environ)
EXPECTED_FAILURES = HERE / "expected_failures.txt"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("rustorch")
    add = group.addoption
    add("--rustorch-device", default=None, help="device to hold to the table; rustorch's default one if left out")
    add("--rustorch-ops", default="", help="names of ops, separated by commas: of the tests of ops, only of these")
    add("--rustorch-test", default="", help="the one test of this name, such as 'test_values[add]'")
    add("--rustorch-expected", default="", help="a file of failures to expect, beside rustorch-conformance's own")
    add("--rustorch-skip", type=int, default=0, help="leave out that many tests at the beginning")
    add("--rustorch-time-limit", type=float, default=60.0, help="seconds that a probe or an import may take")
    add("--rustorch-events", default="", help="a file to write events to, one JSON object a line")


def pytest_configure(config: pytest.Config) -> None:
    """Tell events where somebody listens."""
    if config.getoption("--rustorch-events"):
        config.pluginmanager.register(Events(config))


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> str:
    """The device that is held to the table."""
    return device_under_test(request.config)


@pytest.fixture(scope="session")
def time_limit(request: pytest.FixtureRequest) -> float:
    """Seconds that a probe or an import may take."""
    return float(request.config.getoption("--rustorch-time-limit"))


def device_under_test(config: pytest.Config) -> str:
    """The name of the device that is held to the table."""
    from rustorch import default_device

    return config.getoption("--rustorch-device") or str(default_device())


def level_of(path: Path) -> str:
    """`L2` for a test in `test_level2_values.py`; empty for those of others."""
    found = re.fullmatch(r"test_level(\d)_\w+\.py", path.name) if path.parent == HERE else None
    return f"L{found[1]}" if found else ""


def op_of(item: pytest.Item) -> str:
    """The name of the op that a test is about; empty where it is about none."""
    call = getattr(item, "callspec", None)
    return getattr(call.params.get("op"), "name", "") if call is not None else ""


class Expected(NamedTuple):
    """One line of a file of expected failures: `DEVICE TEST: reason`, where `*` stands for any text."""

    device: str
    test: str
    reason: str

    def is_of(self, device: str, test: str) -> bool:
        pairs = ((device, self.device), (test, self.test))
        return all(fnmatch.fnmatchcase(name, pattern.replace("[", "[[]")) for name, pattern in pairs)


def expected_failures(path: Path) -> list[Expected]:
    """Read a file of expected failures.

    Raises:
        pytest.UsageError: for a line that is not understood.
    """
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    found = []
    for number, line in enumerate(lines, 1):
        if line and not line.startswith("#"):
            parts = re.fullmatch(r"(\S+)\s+(\S+):\s+(\S.*)", line)
            if parts is None:
                raise pytest.UsageError(f"{path}:{number}: expected 'DEVICE TEST: reason', met {line!r}")
            found.append(Expected(*parts.groups()))
    return found


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep what was asked for, and mark the failures to expect.

    Raises:
        pytest.UsageError: for a name that is no op or no test.
    """
    ours = [item for item in items if level_of(item.path)]
    if not ours:
        return
    from rustorch_core import _devices
    from rustorch_core._op import REGISTRY

    type_ = (config.getoption("--rustorch-device") or "").partition(":")[0]
    known = [spec.type for _, spec in _devices.specs()]
    if type_ and type_ not in known:
        raise pytest.UsageError(f"no plugin offers a device {type_!r}; there are: {', '.join(known)}")
    asked = {name.strip() for name in config.getoption("--rustorch-ops").split(",") if name.strip()}
    if unknown := asked - REGISTRY.keys():
        raise pytest.UsageError(f"no such op: {', '.join(sorted(unknown))}; there are: {', '.join(REGISTRY)}")
    if asked:
        ours = [item for item in ours if op_of(item) in {"", *asked}]
    if test := config.getoption("--rustorch-test"):
        ours = [item for item in ours if item.name == test]
        if not ours:
            raise pytest.UsageError(f"no test is called {test!r} for these options")
    ours = ours[config.getoption("--rustorch-skip") :]
    items[:] = [item for item in items if not level_of(item.path) or item in set(ours)]
    own = config.getoption("--rustorch-expected")
    lines = [line for path in (EXPECTED_FAILURES, *([Path(own)] if own else [])) for line in expected_failures(path)]
    name = device_under_test(config) if lines else ""
    for item in ours:
        for line in lines:
            if line.is_of(name.partition(":")[0], item.name):
                item.add_marker(pytest.mark.xfail(reason=line.reason, strict=True))


class Events:
    """Writes what happens to a file, at once, so that whoever reads it knows where a device took pytest down."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._file = open(config.getoption("--rustorch-events"), "a", encoding="utf-8", buffering=1)  # noqa: SIM115

    def _tell(self, **event: Any) -> None:
        self._file.write(f"{json.dumps(event)}\n")

    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """Tell what will run, now that nothing was wrong with what was asked for."""
        tests = [{"test": item.name, "level": level_of(item.path), "op": op_of(item)} for item in session.items]
        self._tell(event="collected", tests=tests)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Tell that a test begins."""
        self._tell(event="started")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Tell how a test went, once."""
        if report.when == "call" or report.outcome != "passed":
            outcome = "expected" if hasattr(report, "wasxfail") and report.skipped else report.outcome
            message = str(report.wasxfail) if outcome == "expected" else _message(report)
            self._tell(event="finished", outcome=outcome, message=message, seconds=report.duration)

    def pytest_sessionfinish(self) -> None:
        """Tell what serves the ops: at the end, for it opens the device."""
        self._tell(event="facts", facts=_facts(device_under_test(self._config)))


def _message(report: pytest.TestReport) -> str:
    """What went wrong in a few lines; the whole of it is a run of that test away."""
    if report.outcome == "passed":
        return ""
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message if crash is not None else report.longrepr).strip()


_SERVED = {"namespace": "native", "kernel": "kernel", "composition": "composed", "fallback": "missing"}


def _facts(name: str) -> dict[str, Any]:
    """The version of rustorch, and what serves each op on a device; that of one that cannot be opened, nothing does."""
    import rustorch
    from rustorch_core.errors import RusTorchError

    try:
        ops = _served(rustorch.device(name))
    except RusTorchError:
        ops = {}
    return {"rustorch": rustorch.__version__, "ops": ops}


def _served(device: Any) -> dict[str, str]:
    """What serves each op in the first dtype of its category that the device has, float32 before all."""
    from rustorch_core._data_types import CATEGORIES, DTYPES
    from rustorch_core._dispatch import find
    from rustorch_core._op import REGISTRY
    from rustorch_core.errors import UnsupportedOpError

    served = {}
    offered = [dtype for dtype in dict.fromkeys((DTYPES["float32"], *DTYPES.values())) if device.supports(dtype)]
    for name, op in REGISTRY.items():
        dtype = next((dtype for dtype in offered if dtype in CATEGORIES[op.category]), None)
        try:
            how = "missing" if dtype is None else _SERVED[find(op, device.key(dtype))[0]]
        except UnsupportedOpError:
            how = "native" if op.kind == "transfer" else "missing"
        served[name] = how
    return served
