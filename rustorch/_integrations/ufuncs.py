"""NumPy's elementwise functions of tensors, which xarray hands on: `np.sin(array)`, `np.float64(2) * array`.

A tensor by itself leaves them to Python's operators (`__array_ufunc__ = None`). xarray calls them on what it holds, in
`np.sqrt(array)` as in its own `weighted(...).std()`; so where xarray is, ours are computed in their place, on the
tensor's device and with its gradient. What we have no function for is refused, by NumPy's own TypeError.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy

from rustorch import Tensor
from rustorch._other_names import ours
from rustorch_core._define import beside, is_operand
from rustorch_core._op import REGISTRY


def _array_ufunc(x: Tensor, ufunc: Any, method: str, *inputs: Any, **arguments: Any) -> Any:
    """Compute one of NumPy's elementwise functions of tensors, and of what stands beside them, by ours."""
    function = _ours(ufunc)
    if function is None or method != "__call__" or arguments or not all(map(is_operand, inputs)):
        return NotImplemented
    return function(*[beside(ufunc.__name__, x, each) if isinstance(each, numpy.ndarray) else each for each in inputs])


def _ours(ufunc: Any) -> Callable[..., Tensor] | None:
    """The function that means what one of NumPy's or SciPy's means; no stranger's that happens to bear its name."""
    name = ufunc.__name__
    if getattr(numpy, name, None) is ufunc:
        op = REGISTRY.get(ours(name))
    elif getattr(sys.modules.get("scipy.special._ufuncs"), name, None) is ufunc:
        op = REGISTRY.get(f"special.{name}") or REGISTRY.get(name)
    else:
        return None
    return None if op is None else op.function


Tensor.__array_ufunc__ = _array_ufunc
