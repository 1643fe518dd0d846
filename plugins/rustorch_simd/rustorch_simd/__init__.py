"""Vectorised C kernels for RusTorch's cpu device; `RUSTORCH_SIMD` forces a target."""

from rustorch_simd._kernels import target, targets

__all__ = ["target", "targets"]
