"""Distributions that NumPy's generator lacks, or whose edges it rounds otherwise."""

from __future__ import annotations

import functools
import operator
from typing import Any

import numpy

from rustorch.random._parameters import (
    _NOT_NEGATIVE,
    _first_pair,
    _one_integer,
    _read,
)
from rustorch_core._axes import one_axis
from rustorch_core._data_types import DType, int64, uint64
from rustorch_core._devices import Device
from rustorch_core._tensor import Tensor
from rustorch_core.errors import (
    ArgumentError,
    AxisError,
    OperandError,
    ShapeError,
)

_Array = numpy.ndarray[Any, Any]
_Host = numpy.random.Generator


def _uniform(host: _Host, low: _Array, high: _Array, least: _Array, greatest: _Array, shape: tuple[int, ...]) -> _Array:
    return numpy.minimum(numpy.maximum(host.uniform(low, high, shape), least), greatest)


def _truncated_normal(
    host: _Host,
    mean: _Array,
    std: _Array,
    low: _Array,
    high: _Array,
    least: _Array,
    greatest: _Array,
    shape: tuple[int, ...],
) -> _Array:
    # No farther out than 1e300 standard deviations, so that one bound is finite and differences are numbers.
    a = numpy.minimum((low - mean) / std, 1e300)
    b = numpy.maximum((high - mean) / std, -1e300)
    is_mirrored = a + b < 0
    a, b = numpy.where(is_mirrored, -b, a), numpy.where(is_mirrored, -a, b)
    a, b = numpy.broadcast_to(a, shape).reshape(-1), numpy.broadcast_to(b, shape).reshape(-1)
    z = _standard_normal_between(host, a, b).reshape(shape)
    return numpy.clip(mean + std * numpy.where(is_mirrored, -z, z), least, greatest)


def _standard_normal_between(host: _Host, low: _Array, high: _Array) -> _Array:
    """Standard normal numbers from low to high, high at least as far from 0 as low: proposed anew until accepted."""
    result = numpy.empty(low.shape)
    waiting = numpy.arange(low.size)
    while waiting.size:
        proposed, log_acceptance = _propose(host, low[waiting], high[waiting])
        is_accepted = -host.standard_exponential(waiting.size) <= log_acceptance
        result[waiting[is_accepted]] = proposed[is_accepted]
        waiting = waiting[~is_accepted]
    return result


def _propose(host: _Host, low: _Array, high: _Array) -> tuple[_Array, _Array]:
    """Numbers from low to high and the logarithms of the probabilities to accept them: above a third on average.

    From the normal distribution where the interval is wide, from an exponential one where it is far out, else evenly.
    """
    normal, part = host.standard_normal(low.size), host.random(low.size)
    width = high - low
    is_wide = (low < 0) & (width > 2.5)
    is_far = (low >= 0) & (width * (high + low) > 2)
    # The best rate is (low + sqrt(low**2 + 4)) / 2; its excess over low is written so that nothing cancels.
    excess = 2 / (numpy.hypot(low, 2) + low)
    step = -numpy.log1p(part * numpy.expm1(-(low + excess) * width)) / (low + excess)
    even, start = low + part * width, numpy.maximum(low, 0)
    proposed = numpy.where(is_wide, normal, numpy.where(is_far, low + step, even))
    is_inside = numpy.where((low <= normal) & (normal <= high), 0.0, -numpy.inf)
    log_acceptance = numpy.where(is_far, -((step - excess) ** 2) / 2, (start - even) * (even + start) / 2)
    return proposed, numpy.where(is_wide, is_inside, log_acceptance)


def _integer_bounds(dtype: DType, low: _Array, high: _Array) -> tuple[_Array, _Array]:
    """The lowest and the highest integer to draw, in the dtype to draw in.

    Raises:
        ArgumentError: where no integer lies between the bounds, or they are beyond the dtype.
    """
    pair = _first_pair(low, high, low >= high)
    if pair:
        raise ArgumentError(f"integers: low is below high, met {pair[0]} and {pair[1]}")
    limits = numpy.iinfo(dtype)
    if low.size and high.size and (int(low.min()) < limits.min or int(high.max()) - 1 > limits.max):
        raise ArgumentError(
            f"integers: {dtype} goes from {limits.min} to {limits.max}, met {low.min()} and {high.max()}"
        )
    # One of two dtypes, so that the numbers do not depend on the dtype of the result.
    wide = uint64 if dtype == uint64 else int64
    return low.astype(wide), numpy.asarray(high - 1, dtype=wide)


def _integers(host: _Host, lowest: _Array, highest: _Array, shape: tuple[int, ...]) -> _Array:
    return host.integers(lowest, highest, shape, dtype=lowest.dtype, endpoint=True)


def _bernoulli(host: _Host, p: _Array, shape: tuple[int, ...]) -> Any:
    return host.random(shape) < p


def _exponentials(logits: _Array) -> _Array:
    highest = logits.max(axis=-1, keepdims=True)
    return numpy.exp(logits - numpy.where(numpy.isfinite(highest), highest, 0.0))


def _scaled(name: str, weights: _Array) -> _Array:
    """Weights divided by the greatest of them, so that their sum is a number of ordinary size."""
    highest = weights.max(axis=-1, keepdims=True)
    if not numpy.all(highest > 0):
        raise ArgumentError(f"{name}: no category has a probability above 0")
    return weights / highest


def _categorical(host: _Host, cumulative: _Array, shape: tuple[int, ...]) -> _Array:
    """The first category whose cumulative weight is above a part of the whole: a binary search in every row."""
    *rows, categories = cumulative.shape
    flat = cumulative.reshape(-1)
    row = numpy.arange(0, flat.size, categories).reshape(rows)
    part = host.random(shape) * cumulative[..., -1]
    first, last = numpy.zeros(shape, dtype=int64), numpy.full(shape, categories - 1)
    for _ in range((categories - 1).bit_length()):
        middle = (first + last) // 2
        is_later = flat[row + middle] <= part
        first, last = numpy.where(is_later, middle + 1, first), numpy.where(is_later, last, middle)
    return first


def _population(name: str, x: Any, axis: Any) -> tuple[int, Device | None]:
    """How many there are to choose from, and the device that they are on, if they are a tensor's."""
    if isinstance(x, Tensor):
        if x.ndim == 0:
            raise AxisError(f"{name}: a tensor without axes has nothing to choose from; for an integer n pass int(n)")
        return x.shape[one_axis(name, axis, x.ndim)], x.device
    if not hasattr(x, "__index__"):
        raise OperandError(f"{name}: expected an integer or a tensor, met {x!r}; make a tensor with rustorch.asarray")
    n = _one_integer(name, "n", x)
    if not 0 <= n < 2**63:
        raise ArgumentError(f"{name}: n is from 0 to 2**63 - 1, met {n}")
    return n, None


def _choice_weights(n: int, p: Any) -> _Array:
    weights = _read("choice", "p", p, _NOT_NEGATIVE)
    if weights.shape != (n,):
        raise ShapeError(f"choice: p is of shape ({n},), one for each to choose from, met {weights.shape}")
    return _scaled("choice", weights) if n else weights


def _check_enough(shape: tuple[int, ...], available: int, replace: bool) -> None:
    wanted = functools.reduce(operator.mul, shape, 1)
    if wanted and not available:
        raise ArgumentError(f"choice: there is nothing to choose shape {shape} from")
    if wanted > available and not replace:
        raise ArgumentError(f"choice: {wanted} of {available} cannot be chosen without replacement; pass replace=True")


def _choice(host: _Host, n: int, weights: _Array | None, replace: bool, shape: tuple[int, ...]) -> Any:
    if n == 0:
        return numpy.zeros(shape, dtype=int64)
    if weights is None:
        return host.integers(0, n, shape) if replace else host.choice(n, shape, replace=False)
    if replace:
        return _categorical(host, numpy.cumsum(weights), shape)
    return host.choice(n, shape, replace=False, p=weights / weights.sum())
