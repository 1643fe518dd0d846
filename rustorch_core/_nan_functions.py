"""Reductions that leave NaN out, beyond the standard, as NumPy names and means them.

Elements that are left out get no gradient. A slice that holds nothing but NaN gives NaN, without a warning.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rustorch_core import _sample_functions
from rustorch_core import _statistical_functions as statistical
from rustorch_core._arguments import number, scalar
from rustorch_core._axes import Axes
from rustorch_core._constants import inf, nan
from rustorch_core._data_types import CATEGORIES, Defaults, as_dtype, is_floating, real_of
from rustorch_core._define import cast, public_names
from rustorch_core._dispatch import check_tensor
from rustorch_core._elementwise_functions import imag, isnan, logical_not, real, sqrt, where
from rustorch_core._manipulation_functions import reshape
from rustorch_core._searching_functions import argmax
from rustorch_core._tensor import Tensor
from rustorch_core.errors import ArgumentError


def _without_nan(name: str, x: Any, value: float) -> Tensor:
    """The tensor with a value in the place of each NaN; integers and booleans have none."""
    check_tensor(name, x)
    return where(isnan(x), value, x) if is_floating(x.dtype) else x


def _present(x: Tensor) -> Tensor:
    """1 for each element that is not NaN, in the real dtype of the tensor."""
    return cast(logical_not(isnan(x)), real_of(x.dtype))


def _widened(name: str, x: Any, dtype: Any) -> tuple[Tensor, Any]:
    """The tensor in the dtype to average in, and the dtype of the result; halves are averaged in single precision."""
    check_tensor(name, x)
    result = x.dtype if dtype is None else as_dtype(dtype)
    result = result if is_floating(result) else Defaults.floating
    return cast(x, Defaults.floating if result.itemsize == 2 else result), result


def nansum(x: Tensor, /, axis: Axes = None, dtype: Any = None, *, keepdims: bool = False) -> Tensor:
    """Add the elements along axes, NaN counting as 0 (NumPy: nansum); arguments as for `sum`."""
    return statistical.sum(_without_nan("nansum", x, 0), axis=axis, dtype=dtype, keepdims=keepdims)


def nanprod(x: Tensor, /, axis: Axes = None, dtype: Any = None, *, keepdims: bool = False) -> Tensor:
    """Multiply the elements along axes, NaN counting as 1 (NumPy: nanprod); arguments as for `sum`."""
    return statistical.prod(_without_nan("nanprod", x, 1), axis=axis, dtype=dtype, keepdims=keepdims)


def _running(name: str, x: Any, value: float, axis: int | None, dtype: Any, run: Callable[..., Tensor]) -> Tensor:
    filled = _without_nan(name, x, value)
    return run(reshape(filled, (-1,)) if axis is None else filled, axis=0 if axis is None else axis, dtype=dtype)


def nancumsum(x: Tensor, /, axis: int | None = None, dtype: Any = None) -> Tensor:
    """Add up the elements along an axis, NaN counting as 0 (NumPy: nancumsum).

    Arguments:
        x: tensor of a numeric dtype.
        axis: the axis; None takes the flattened tensor.
        dtype: dtype to add in, as for `sum`.
    """
    return _running("nancumsum", x, 0, axis, dtype, statistical.cumulative_sum)


def nancumprod(x: Tensor, /, axis: int | None = None, dtype: Any = None) -> Tensor:
    """Multiply up the elements along an axis, NaN counting as 1 (NumPy: nancumprod); arguments as for `nancumsum`."""
    return _running("nancumprod", x, 1, axis, dtype, statistical.cumulative_prod)


def nanmean(x: Tensor, /, axis: Axes = None, dtype: Any = None, *, keepdims: bool = False) -> Tensor:
    """Average the elements along axes that are not NaN (NumPy: nanmean).

    Arguments:
        x: tensor of a numeric dtype; integers are averaged in the default floating-point dtype.
        axis: axis or axes to average along; None averages everything.
        dtype: floating-point dtype of the result.
        keepdims: keep the axes with length 1.
    """
    wide, result = _widened("nanmean", x, dtype)
    return cast(_mean(wide, axis, keepdims), result)


def _mean(x: Tensor, axis: Axes, keepdims: bool) -> Tensor:
    total = statistical.sum(_without_nan("nanmean", x, 0), axis=axis, keepdims=keepdims)
    return total / statistical.sum(_present(x), axis=axis, keepdims=keepdims)


def nanvar(x: Tensor, /, axis: Axes = None, dtype: Any = None, *, ddof: float = 0, keepdims: bool = False) -> Tensor:
    """Compute the variance along axes of the elements that are not NaN (NumPy: nanvar).

    Arguments:
        x: tensor of a numeric dtype.
        axis: axis or axes; None takes all elements.
        dtype: floating-point dtype to compute in.
        ddof: subtracted from the number of elements in the divisor; where none is left the result is NaN.
        keepdims: keep the axes with length 1.
    """
    wide, result = _widened("nanvar", x, dtype)
    return cast(_variance(wide, axis, ddof, keepdims), real_of(result))


def _variance(x: Tensor, axis: Axes, ddof: float, keepdims: bool) -> Tensor:
    ddof = number("nanvar", "ddof", ddof)
    distance = where(isnan(x), 0, x - _mean(x, axis, keepdims=True))
    is_complex = distance.dtype in CATEGORIES["complex floating-point"]
    squares = real(distance) ** 2 + imag(distance) ** 2 if is_complex else distance**2
    divisor = statistical.sum(_present(x), axis=axis, keepdims=keepdims) - ddof
    return statistical.sum(squares, axis=axis, keepdims=keepdims) / where(divisor > 0, divisor, nan)


def nanstd(x: Tensor, /, axis: Axes = None, dtype: Any = None, *, ddof: float = 0, keepdims: bool = False) -> Tensor:
    """Compute the standard deviation along axes of the elements that are not NaN (NumPy: nanstd).

    Arguments as for `nanvar`.
    """
    wide, result = _widened("nanstd", x, dtype)
    variance = _variance(wide, axis, ddof, keepdims)
    # Elements that do not vary have no direction in which they would: the gradient there is 0.
    is_flat = variance == 0
    return cast(where(is_flat, 0, sqrt(where(is_flat, 1, variance))), real_of(result))


def _extreme(name: str, x: Any, worst: float, axis: Axes, keepdims: bool, reduce: Callable[..., Tensor]) -> Tensor:
    found = reduce(_without_nan(name, x, worst), axis=axis, keepdims=keepdims)
    return where(statistical.all(isnan(x), axis=axis, keepdims=keepdims), nan, found) if is_floating(x.dtype) else found


def nanmax(x: Tensor, /, axis: Axes = None, *, keepdims: bool = False) -> Tensor:
    """Find the largest element along axes that is not NaN (NumPy: nanmax); arguments as for `max`."""
    return _extreme("nanmax", x, -inf, axis, keepdims, statistical.max)


def nanmin(x: Tensor, /, axis: Axes = None, *, keepdims: bool = False) -> Tensor:
    """Find the smallest element along axes that is not NaN (NumPy: nanmin); arguments as for `max`."""
    return _extreme("nanmin", x, inf, axis, keepdims, statistical.min)


def _place(name: str, x: Any, axis: int | None, keepdims: bool, extreme: Callable[..., Tensor]) -> Tensor:
    found = extreme(x, axis, keepdims=True)
    if is_floating(x.dtype) and bool(statistical.any(isnan(found))):
        raise ArgumentError(f"{name}: a slice of shape {x.shape} along axis {axis} holds nothing but NaN")
    return argmax(cast(x == found, Defaults.integer), axis=axis, keepdims=keepdims)


def nanargmax(x: Tensor, /, axis: int | None = None, *, keepdims: bool = False) -> Tensor:
    """Find where the largest element along an axis stands first, NaN left out (NumPy: nanargmax).

    Arguments:
        x: tensor of a real-valued dtype.
        axis: the axis; None searches the flattened tensor.
        keepdims: keep the axis with length 1.

    Raises:
        ArgumentError: where a slice holds nothing but NaN.
    """
    return _place("nanargmax", x, axis, keepdims, nanmax)


def nanargmin(x: Tensor, /, axis: int | None = None, *, keepdims: bool = False) -> Tensor:
    """Find where the smallest element along an axis stands first, NaN left out (NumPy: nanargmin).

    Arguments as for `nanargmax`.
    """
    return _place("nanargmin", x, axis, keepdims, nanmin)


def nanquantile(x: Tensor, /, q: Any, axis: Axes = None, *, method: str = "linear", keepdims: bool = False) -> Tensor:
    """Compute quantiles along axes of the elements that are not NaN (NumPy: nanquantile).

    Arguments as for `quantile`.
    """
    return _sample_functions._quantiles("nanquantile", x, q, axis, method, keepdims, leaves_nan_out=True)


def nanmedian(x: Tensor, /, axis: Axes = None, *, keepdims: bool = False) -> Tensor:
    """Compute the median along axes of the elements that are not NaN (NumPy: nanmedian); arguments as for `median`."""
    return _sample_functions._quantiles("nanmedian", x, 0.5, axis, "linear", keepdims, leaves_nan_out=True)


def nan_to_num(x: Tensor, /, *, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Tensor:
    """Put finite numbers in the place of NaN and infinities (NumPy: nan_to_num).

    Arguments:
        x: tensor of a numeric dtype; each part of a complex number is replaced by itself.
        nan: number in the place of NaN.
        posinf: number in the place of infinity; by default the largest of the dtype.
        neginf: number in the place of negative infinity; by default the smallest of the dtype.
    """
    from rustorch_core._data_type_functions import finfo

    check_tensor("nan_to_num", x)
    nan = scalar("nan_to_num", "nan", nan)
    posinf = None if posinf is None else scalar("nan_to_num", "posinf", posinf)
    neginf = None if neginf is None else scalar("nan_to_num", "neginf", neginf)
    if not is_floating(x.dtype):
        return x.clone()  # type: ignore[no-any-return]
    if x.dtype in CATEGORIES["complex floating-point"]:
        parts = [nan_to_num(part(x), nan=nan, posinf=posinf, neginf=neginf) for part in (real, imag)]
        return parts[0] + 1j * parts[1]
    limits = finfo(x.dtype)
    high, low = limits.max if posinf is None else posinf, limits.min if neginf is None else neginf
    return where(isnan(x), nan, where(x == inf, high, where(x == -inf, low, x)))


__all__ = public_names(vars())
