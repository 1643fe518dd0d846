"""Random numbers from counter-based generators: one seed gives the same numbers on every device."""

from __future__ import annotations

from typing import Any

import numpy

from rustorch_core import _data_types, _devices
from rustorch_core._axes import as_shape
from rustorch_core._data_types import as_dtype
from rustorch_core._tensor import Tensor, tensor_like
from rustorch_core.errors import ArgumentError


class Generator:
    """A stream of random numbers that its seed determines.

    Arguments:
        seed: any integer of at least 0; None takes one from the operating system.

    Source: Philox 4x64-10 (Salmon et al. 2011), NumPy's implementation; drawn on the host, then moved.

    Example:
        >>> import rustorch as rt
        >>> rt.random.Generator(0).integers(0, 10, (5,))
        tensor([1, 0, 9, 2, 3], dtype=int64)
    """

    def __init__(self, seed: int | None = None) -> None:
        if seed is not None and (not isinstance(seed, int) or seed < 0):
            raise ArgumentError(f"Generator: a seed is an integer of at least 0, met {seed!r}")
        self._host = numpy.random.Generator(numpy.random.Philox(seed))

    def _tensor(self, values: Any, dtype: Any, device: Any) -> Tensor:
        target = _devices.device(device)
        wanted = _data_types.Defaults.floating if dtype is None else as_dtype(dtype)
        return tensor_like(Tensor, target.from_host(numpy.asarray(values).astype(wanted)), target.key(wanted))

    def uniform(
        self, low: float = 0.0, high: float = 1.0, shape: Any = (), *, dtype: Any = None, device: Any = None
    ) -> Tensor:
        """Draw from the uniform distribution on [low, high)."""
        return self._tensor(self._host.uniform(low, high, as_shape("uniform", shape)), dtype, device)

    def normal(
        self, mean: float = 0.0, std: float = 1.0, shape: Any = (), *, dtype: Any = None, device: Any = None
    ) -> Tensor:
        """Draw from the normal distribution with this mean and standard deviation."""
        if std < 0:
            raise ArgumentError(f"normal: the standard deviation is {std}; expected at least 0")
        return self._tensor(self._host.normal(mean, std, as_shape("normal", shape)), dtype, device)

    def integers(self, low: int, high: int, shape: Any = (), *, dtype: Any = None, device: Any = None) -> Tensor:
        """Draw integers from low up to high, high not included."""
        if high <= low:
            raise ArgumentError(f"integers: there is none from {low} up to {high}")
        values = self._host.integers(low, high, as_shape("integers", shape))
        return self._tensor(values, _data_types.Defaults.integer if dtype is None else dtype, device)

    def permutation(self, n: int, *, device: Any = None) -> Tensor:
        """Draw an order of the integers 0 to n - 1."""
        return self._tensor(self._host.permutation(n), _data_types.Defaults.integer, device)

    def get_state(self) -> dict[str, Any]:
        """The generator's state, for `set_state`."""
        return dict(self._host.bit_generator.state)

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue from a state that `get_state` gave."""
        self._host.bit_generator.state = state


_default = Generator()


def default_generator() -> Generator:
    """The generator that is used where none is named."""
    return _default


def seed(value: int) -> Generator:
    """Start the default generator anew from a seed; returns it."""
    global _default
    _default = Generator(value)
    return _default
