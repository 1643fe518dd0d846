"""Modules that consumers look for under NumPy's name `lib`."""

from rustorch.lib import stride_tricks

__all__ = ["stride_tricks"]
