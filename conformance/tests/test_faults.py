"""Each level catches its fault, and no other level does: devices with one fault each, before the command itself."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.needs("cpu")

HERE = Path(__file__).parent
#: Each fault: the level that has to fail, and a test of it that does.
FAULTS = {
    "import that prints": ("L0", "test_import_prints_nothing"),
    "heavy import": ("L0", "test_import_is_light"),
    "import that changes the environment": ("L0", "test_import_changes_nothing_else"),
    "driver that does not survive a fork": ("L0", "test_device_works_in_a_fork_of_a_process_that_probed"),
    "device index that is lost": ("L1", "test_each_index_keeps_its_arrays"),
    "memory that is shared with the host": ("L1", "test_memory_is_its_own"),
    "write to a view that is lost": ("L1", "test_native_views_share_memory_where_the_device_says_so"),
    "wrong sign of zero": ("L2", "test_special_values[negative]"),
    "wrong rounding": ("L2", "test_special_values[round]"),
    "wrong dtype": ("L2", "test_values[ceil]"),
    "gradient off by a factor": ("L3", "test_gradient[sinh]"),
    "gradient without its own": ("L3", "test_gradient[sinh]"),
    "kernel that ignores strides": ("L4", "test_kernel_equals_composition[silu]"),
    "kernel that loses NaN": ("L4", "test_kernel_equals_composition[relu]"),
    "race of host and stream": ("L4", "test_the_host_waits_for_what_it_reads"),
    "matrix product without the rest of a tile": ("L5", "test_loss_curve[perceptron]"),
}
OPS = "ceil,matmul,negative,relu,round,silu,sinh"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the faulty device is installed."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "faulty_device").symlink_to(HERE / "faulty_device")
    about = folder / "faulty_device-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty-device\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[rustorch]\nfaulty = faulty_device._plugin\n")
    return folder


def _report(site: Path, fault: str, *options: str) -> dict:
    file = site / "report.json"
    variables = {**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{os.environ.get('PYTHONPATH', '')}", "FAULTY": fault}
    command = [sys.executable, "-m", "rustorch_conformance", "--device", "faulty", "--json", str(file), *options]
    done = subprocess.run(command, capture_output=True, text=True, env=variables)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return json.loads(file.read_text())


def _failed(report: dict) -> set[str]:
    return {failure["level"] for failure in report["failures"]}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_fails_its_level_alone(fault: str, site: Path) -> None:
    level, test = FAULTS[fault]
    # Hygiene takes a while, and no device gets it wrong whose plugin is right.
    report = _report(site, fault, "--level", "L0-L5" if level == "L0" else "L1-L5", "--ops", OPS)
    assert test in {failure["test"] for failure in report["failures"]}
    assert _failed(report) == {level}, [(each["level"], each["test"]) for each in report["failures"]]


def test_without_a_fault_all_levels_pass(site: Path) -> None:
    report = _report(site, "", "--level", "L0-L5", "--ops", OPS)
    assert not report["failures"]
    assert all(report["levels"][level]["passed"] for level in ("L0", "L1", "L2", "L3", "L4", "L5"))


def test_a_probe_that_hangs_ends_the_run(site: Path) -> None:
    report = _report(site, "probe that hangs", "--time-limit", "2", "--level", "L0-L5", "--ops", OPS)
    assert {failure["test"] for failure in report["failures"]} == {"test_probe_ends"}
    assert report["levels"]["L1"]["skipped"] > 0
    assert not any(report["levels"][level]["passed"] for level in ("L1", "L2", "L3", "L4", "L5"))
