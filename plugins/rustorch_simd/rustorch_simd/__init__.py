"""Vectorised C kernels for RusTorch's cpu device; `RUSTORCH_SIMD` forces a target."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rustorch_simd._kernels import target, targets

__all__ = ["target", "targets"]


def __getattr__(name: str) -> Any:
    """`target` and `targets`, looked up late: discovery imports this package, and loads no kernel yet."""
    if name in __all__:
        from rustorch_simd import _kernels

        return getattr(_kernels, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
