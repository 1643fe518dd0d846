"""The host's threads and array memory, which a plugin may bring; without one they are NumPy's own."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any

from rustorch_core import _op, _plugins
from rustorch_core._arguments import integer
from rustorch_core.errors import ArgumentError

if TYPE_CHECKING:
    from rustorch_core.plugin import Runtime


class _State:
    """The runtime in use, if a plugin brings one; whether the plugins have been asked; and what the user has set."""

    runtime: Runtime | None = None
    asked = False
    threads = 0


def runtime() -> Runtime | None:
    """The first runtime that loads; None where there is none."""
    if not _State.asked:
        _State.asked = True
        _State.runtime = next(filter(None, map(_load, _plugins.facts("rustorch_host_runtimes"))), None)
        if _State.runtime is not None and _State.threads:
            _State.runtime.set_num_threads(_State.threads)
    return _State.runtime


def _load(offered: tuple[Any, Any]) -> Runtime | None:
    record, fact = offered
    try:
        found: Runtime = _plugins.resolve(fact.load)()
    except Exception as error:  # whatever a plugin's import raises, NumPy's own serve
        record.fail(f"its host runtime cannot be loaded: {_plugins.describe(error)}", error)
        warnings.warn(f"plugin {record.name}: {record.reason}; running without it", UserWarning, stacklevel=3)
        return None
    return found


def set_num_threads(count: int) -> None:
    """Let computations on the processor use at most so many threads (PyTorch: set_num_threads).

    Kernels of plugins obey it, and so does NumPy's BLAS where threadpoolctl is installed. Without it the number is that
    of OMP_NUM_THREADS, or of the processors that this process may use.

    Arguments:
        count: at least 1.

    Raises:
        ArgumentError: for less.
        OperandError: for what is no integer.
    """
    _State.threads = integer("set_num_threads", "count", count)
    if _State.threads < 1:
        _State.threads = 0
        raise ArgumentError(f"set_num_threads: count is at least 1, met {count}")
    served = runtime()
    if served is not None:
        served.set_num_threads(_State.threads)
    try:
        import threadpoolctl  # type: ignore[import-untyped]
    except ModuleNotFoundError:
        return
    threadpoolctl.threadpool_limits(_State.threads)


def get_num_threads() -> int:
    """How many threads a computation on the processor may use (PyTorch: get_num_threads)."""
    served = runtime()
    return served.get_num_threads() if served is not None else _State.threads or os.cpu_count() or 1


def _enter_pool(op: _op.Op) -> None:
    """NumPy's arrays come from the runtime's pool from the first op on."""
    _op.when_bound.remove(_enter_pool)
    served = runtime()
    if served is not None and _plugins.environment.pool:
        served.default_pool.__enter__()


@_plugins.on_refresh
def _ask_again() -> None:
    _State.asked, _State.runtime = False, None


_op.when_bound.append(_enter_pool)
