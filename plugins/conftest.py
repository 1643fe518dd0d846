"""Plugins that are not built on this machine cannot be tested here; the header of the run says which."""

from importlib.util import find_spec

IS_BUILT = find_spec("rustorch_simd") is not None
collect_ignore = [] if IS_BUILT else ["rustorch_simd/tests"]


def pytest_report_header() -> list[str]:
    """Say what is left out; quiet runs say it too, for a left-out test must be seen."""
    return [] if IS_BUILT else ["rustorch_simd is not built here (is there a C compiler?): its tests are left out"]
