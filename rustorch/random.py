"""Random numbers from counter-based generators: one seed gives the same numbers on every device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy

from rustorch_core import _data_types, _devices
from rustorch_core._axes import as_shape
from rustorch_core._data_types import as_dtype
from rustorch_core._tensor import Tensor, tensor_like
from rustorch_core.errors import ArgumentError, OperandError


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
        if seed is not None and (not isinstance(seed, int) or isinstance(seed, bool) or seed < 0):
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
        return self._tensor(_drawn("uniform", self._host.uniform, low, high, shape), dtype, device)

    def normal(
        self, mean: float = 0.0, std: float = 1.0, shape: Any = (), *, dtype: Any = None, device: Any = None
    ) -> Tensor:
        """Draw from the normal distribution with this mean and standard deviation."""
        return self._tensor(_drawn("normal", self._host.normal, mean, std, shape), dtype, device)

    def integers(self, low: int, high: int, shape: Any = (), *, dtype: Any = None, device: Any = None) -> Tensor:
        """Draw integers from low up to high, high not included."""
        values = _drawn("integers", self._host.integers, low, high, shape)
        return self._tensor(values, _data_types.Defaults.integer if dtype is None else dtype, device)

    def permutation(self, n: int, *, device: Any = None) -> Tensor:
        """Draw an order of the integers 0 to n - 1."""
        (length,) = as_shape("permutation", (n,))
        if length < 0:
            raise ArgumentError(f"permutation: there is no order of {length} integers")
        return self._tensor(self._host.permutation(length), _data_types.Defaults.integer, device)

    def get_state(self) -> dict[str, Any]:
        """The generator's state, for `set_state`."""
        return dict(self._host.bit_generator.state)

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue from a state that `get_state` gave."""
        try:
            self._host.bit_generator.state = state
        except (KeyError, TypeError, ValueError) as error:
            raise ArgumentError(f"set_state: this is no state of a generator: {error}") from error


def _drawn(name: str, draw: Callable[..., Any], first: Any, second: Any, shape: Any) -> Any:
    """What a distribution of two numbers gives in a shape."""
    lengths = as_shape(name, shape)
    try:
        return draw(first, second, lengths)
    except (ValueError, OverflowError) as error:
        raise ArgumentError(f"{name}: {error}; met {first} and {second} in shape {lengths}") from error
    except TypeError as error:
        raise OperandError(f"{name}: {error}; met {first!r} and {second!r}") from error


_default = Generator()


def default_generator() -> Generator:
    """The generator that is used where none is named."""
    return _default


def seed(value: int) -> Generator:
    """Start the default generator anew from a seed; returns it."""
    global _default
    _default = Generator(value)
    return _default
