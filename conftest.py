"""The same tests on any device: `RUSTORCH_DEVICE=strict pytest` runs those whose needs that device meets.

A test says what it needs of the default device beyond the standard: `@pytest.mark.needs("host memory")`, or a dtype,
`@pytest.mark.needs("float16")`. A parameter that names a dtype is such a need by itself. What is not about tensors, but
about plugins, commands or the reference device, needs "cpu".
"""

import os
from collections.abc import Callable

import pytest

import rustorch as rt
from rustorch_core._data_types import DTYPES
from rustorch_core._devices import Device
from rustorch_core.errors import DTypeError

# SciPy reads it when it is imported, whichever test comes first; scikit-learn takes no other value.
os.environ["SCIPY_ARRAY_API"] = "1"


def _sums_booleans(device: Device) -> bool:
    try:
        return bool((rt.ones(1, dtype=bool, device=device) + True).all())
    except DTypeError:
        return False


CAPABILITIES: dict[str, Callable[[Device], bool]] = {
    "cpu": lambda device: str(device) == "cpu",
    "host memory": lambda device: device.shares_host_memory,
    "arrays that can be written": lambda device: device.is_writable,
    "sums of booleans": _sums_booleans,
}


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, so that a misspelt one is an error."""
    needs = ", ".join(map(repr, CAPABILITIES))
    config.addinivalue_line("markers", f"needs(*what): {needs} or dtypes, without which the test makes no sense")


def _needs(item: pytest.Item) -> set[object]:
    stated = {each for marker in item.iter_markers("needs") for each in marker.args}
    given = getattr(item, "callspec", None)
    return stated | {each for each in (given.params.values() if given else ()) if str(each) in DTYPES}


def _is_met(need: object) -> bool:
    has = CAPABILITIES.get(str(need))
    return rt.device().supports(DTYPES[str(need)]) if has is None else has(rt.device())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests whose needs the default device does not meet; the run says how many."""
    left_out = [item for item in items if not all(map(_is_met, _needs(item)))]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def pytest_report_header() -> str:
    """Say which device the tests run on."""
    return f"device: {rt.device()}"
