"""The extension `linalg` of the standard: so far what the first layers need."""

from __future__ import annotations

from collections.abc import Sequence

from rustorch_core._data_types import Defaults, is_floating
from rustorch_core._define import cast, public_names
from rustorch_core._elementwise_functions import abs, sqrt, where
from rustorch_core._statistical_functions import max, min, sum
from rustorch_core._tensor import Tensor
from rustorch_core.errors import OperandError


def vector_norm(
    x: Tensor, /, *, axis: int | Sequence[int] | None = None, keepdims: bool = False, ord: float = 2
) -> Tensor:
    """Compute the norm of vectors along axes (Array API: linalg.vector_norm).

    Arguments:
        x: tensor of a floating-point dtype.
        axis: axis or axes that make up a vector; None takes all elements.
        keepdims: keep the axes with length 1.
        ord: order of the norm: a number, infinity or its negative.

    Source: the gradient at the origin is 0, a subgradient.
    """
    if not isinstance(x, Tensor):
        raise OperandError(f"vector_norm: expected a tensor, met {type(x).__name__}")
    if not is_floating(x.dtype):
        x = cast(x, Defaults.floating)
    magnitude = abs(x)
    if ord == float("inf"):
        return max(magnitude, axis=axis, keepdims=keepdims)
    if ord == float("-inf"):
        return min(magnitude, axis=axis, keepdims=keepdims)
    if ord == 0:
        return sum(cast(magnitude != 0, magnitude.dtype), axis=axis, keepdims=keepdims)
    if ord == 1:
        return sum(magnitude, axis=axis, keepdims=keepdims)
    powers = sum(magnitude * magnitude if ord == 2 else magnitude**ord, axis=axis, keepdims=keepdims)
    is_zero = powers == 0
    safe = where(is_zero, 1, powers)
    return where(is_zero, 0, sqrt(safe) if ord == 2 else safe ** (1 / ord))


__all__ = public_names(vars())
