"""`diff`, `isin`, and the thin spellings that close the main namespace."""

from __future__ import annotations

from typing import Any

from rustorch_core._arguments import flag
from rustorch_core._axes import as_shape, one_axis
from rustorch_core._creation_functions import asarray
from rustorch_core._define import promoted, public_names
from rustorch_core._dispatch import check_tensor
from rustorch_core._elementwise_functions import logical_not, not_equal, subtract
from rustorch_core._manipulation_functions import concat, expand_dims, reshape
from rustorch_core._statistical_functions import any
from rustorch_core._tensor import Tensor
from rustorch_core.errors import ArgumentError


def diff(
    x: Tensor, /, n: int = 1, *, axis: int = -1, prepend: Tensor | None = None, append: Tensor | None = None
) -> Tensor:
    """Take the differences of neighbours along an axis (Array API: diff).

    Arguments:
        x: tensor of a numeric dtype.
        n: how often.
        axis: the axis.
        prepend: tensor to put before `x` along the axis.
        append: tensor to put after it.
    """
    check_tensor("diff", x)
    (times,) = as_shape("diff", (n,))
    if times < 0:
        raise ArgumentError(f"diff: cannot take differences {times} times")
    chosen = one_axis("diff", axis, x.ndim)
    if prepend is not None or append is not None:
        x = concat([part for part in (prepend, x, append) if part is not None], axis=chosen)
    before = (slice(None),) * chosen
    for _ in range(min(times, x.shape[chosen])):
        later, earlier = x[(*before, slice(1, None))], x[(*before, slice(None, -1))]
        x = not_equal(later, earlier) if x.dtype == bool else subtract(later, earlier)
    return x


def isin(x1: Any, x2: Any, /, *, invert: bool = False) -> Tensor:
    """Say for each element whether it occurs in another tensor (Array API: isin).

    Arguments:
        x1: tensor or number to look for.
        x2: tensor, number or list of numbers to look in.
        invert: whether to say the opposite.
    """
    x2 = asarray(x2, device=x1.device) if isinstance(x2, (list, tuple)) and isinstance(x1, Tensor) else x2
    x1, x2 = promoted("isin", x1, x2)
    found = any(expand_dims(x1, axis=x1.ndim) == reshape(x2, (-1,)), axis=-1)
    return logical_not(found) if flag("isin", "invert", invert) else found


__all__ = public_names(vars())
