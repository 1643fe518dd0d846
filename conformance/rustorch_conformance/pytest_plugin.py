"""Options that the conformance tests read: `--rustorch-device` and `--rustorch-ops`."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("rustorch")
    group.addoption("--rustorch-device", default="cpu", help="device to hold to the table")
    group.addoption("--rustorch-ops", default="", help="names of ops, separated by commas; all by default")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Fill in the device, and the ops that were asked for."""
    if "device" in metafunc.fixturenames:
        metafunc.parametrize("device", [metafunc.config.getoption("--rustorch-device")])
