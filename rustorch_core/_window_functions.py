"""Windows that slide over a tensor, as NumPy names and means them."""

from __future__ import annotations

from typing import Any

from rustorch_core._axes import as_shape, one_axis
from rustorch_core._creation_functions import arange
from rustorch_core._define import public_names
from rustorch_core._dispatch import check_tensor
from rustorch_core._indexing_functions import take
from rustorch_core._manipulation_functions import expand_dims, permute_dims
from rustorch_core._tensor import Tensor
from rustorch_core.errors import ArgumentError


def sliding_window_view(x: Tensor, /, window_shape: Any, axis: Any = None) -> Tensor:
    """Give every window of a tensor, its axes last (NumPy: lib.stride_tricks.sliding_window_view).

    Arguments:
        x: any tensor.
        window_shape: the length of the window along each axis, as an integer or a sequence.
        axis: axis or axes along which the window slides, one for each length; None for all.

    Returns:
        a tensor of the shape of `x`, each such axis shorter by the window less one, and the window's axes behind;
        a copy, into which a write does not reach `x`.

    Raises:
        ArgumentError: where lengths and axes differ in number, or a window is longer than its axis.
    """
    check_tensor("sliding_window_view", x)
    lengths = as_shape("sliding_window_view", window_shape)
    axes = tuple(range(x.ndim)) if axis is None else as_shape("sliding_window_view", axis)
    if len(lengths) != len(axes):
        raise ArgumentError(
            f"sliding_window_view: {len(lengths)} lengths of windows met {len(axes)} axes; give one each"
        )
    for each, length in zip(axes, lengths, strict=True):
        place = one_axis("sliding_window_view", each, x.ndim)
        count = x.shape[place] - length + 1
        if length < 0 or count < 1:
            raise ArgumentError(f"sliding_window_view: a window of {length} does not fit axis {place} of {x.shape}")
        starts = expand_dims(arange(count, device=x.device), axis=1)
        windows = take(x, starts + arange(length, device=x.device), axis=place)
        order = [other for other in range(windows.ndim) if other != place + 1]
        x = permute_dims(windows, (*order, place + 1))
    return x


__all__ = public_names(vars())
