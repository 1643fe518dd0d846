"""Options that the conformance tests read: `--rustorch-device` and `--rustorch-ops`."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("rustorch")
    group.addoption(
        "--rustorch-device", default=None, help="device to hold to the table; rustorch's default one if left out"
    )
    group.addoption("--rustorch-ops", default="", help="names of ops, separated by commas; all by default")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Fill in the device."""
    if "device" in metafunc.fixturenames:
        metafunc.parametrize("device", [device_under_test(metafunc.config)])


def device_under_test(config: pytest.Config) -> str:
    """The device that is held to the table."""
    from rustorch import default_device

    return config.getoption("--rustorch-device") or str(default_device())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the ops that were asked for.

    Raises:
        pytest.UsageError: for a name that is no op.
    """
    from rustorch_core._op import REGISTRY

    asked = {name.strip() for name in config.getoption("--rustorch-ops").split(",") if name.strip()}
    if unknown := asked - REGISTRY.keys():
        raise pytest.UsageError(
            f"--rustorch-ops: {', '.join(sorted(unknown))} is no op; there are: {', '.join(REGISTRY)}"
        )
    if asked:
        items[:] = [item for item in items if getattr(_parameters(item).get("op"), "name", None) in asked]


def _parameters(item: pytest.Item) -> dict[str, object]:
    call = getattr(item, "callspec", None)
    return call.params if call is not None else {}
