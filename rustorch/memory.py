"""Memory of the host's arrays: pools that keep what is freed, so that the next array finds its pages there.

NumPy asks the system for every large array, whose fresh pages often cost more than the arithmetic. Where a plugin
brings a pool, as rustorch-simd does, NumPy's arrays come from it from the first op on; RUSTORCH_POOL=0 leaves
NumPy's own allocator. A new thread begins with NumPy's own, until it enters a pool itself.
"""

from __future__ import annotations

from typing import Any

from rustorch_core import _host
from rustorch_core._define import public_names
from rustorch_core.errors import ArgumentError, BackendUnavailableError

__all__ = ["MemoryPool", "default_pool"]


def MemoryPool(chunk_size: int = 1 << 20, alignment: int = 64, limit: int = 1 << 30) -> Any:
    """A pool of its own: within `with pool:` NumPy's new arrays come from it.

    Arguments:
        chunk_size: bytes asked of the system at once for small arrays; arrays above an eighth of it have their own.
        alignment: of every array's data, in bytes; a power of two.
        limit: how many bytes are kept, at most, that no array uses.

    Returns:
        the pool: `statistics()` gives bytes in use, the peak of it, bytes kept and how many allocations were reused,
        `empty_cache()` gives what no array uses back to the system, and `reset_peak()` begins the peak anew.

    Raises:
        ArgumentError: for numbers that cannot be.
        BackendUnavailableError: where no plugin brings pools.

    Example:
        >>> import rustorch as rt
        >>> with rt.memory.MemoryPool(alignment=128) as pool:
        ...     x = rt.zeros((64, 64))
        >>> pool.statistics()["in_use"]
        16384
    """
    try:
        return _runtime().MemoryPool(chunk_size, alignment, limit)
    except ValueError as error:
        raise ArgumentError(f"MemoryPool: {error}") from None


def default_pool() -> Any:
    """The pool that NumPy's arrays come from, and results of kernels; as `MemoryPool` returns it.

    Raises:
        BackendUnavailableError: where no plugin brings pools.
    """
    return _runtime().default_pool


def _runtime() -> Any:
    found = _host.runtime()
    if found is None:
        raise BackendUnavailableError(
            "no plugin brings memory pools, so that arrays are NumPy's own",
            reason="missing",
            fix='pip install "rustorch[simd]"',
        )
    return found


def __dir__() -> list[str]:
    return public_names(globals())
