"""NumPy's elementwise functions of tensors, which xarray hands on: `np.sin(array)`, `np.float64(2) * array`.

A tensor by itself leaves them to Python's operators (`__array_ufunc__ = None`). xarray calls them on what it holds, in
`np.sqrt(array)` as in its own `weighted(...).std()`; so where xarray is, ours are computed in their place, on the
tensor's device and with its gradient. What we have no function for runs on host memory, for tensors without gradient.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy

from rustorch import Tensor, asarray
from rustorch._other_names import ours
from rustorch.errors import DTypeError
from rustorch_core._define import beside, is_operand
from rustorch_core._op import REGISTRY


def _array_ufunc(x: Tensor, ufunc: Any, method: str, *inputs: Any, out: Any = None, **arguments: Any) -> Any:
    """Compute one of NumPy's elementwise functions of tensors, and of what stands beside them.

    Raises:
        GradientError: for a function that has no gradient here, where a tensor takes part in one.
    """
    if not all(map(is_operand, (*inputs, *(out or ())))):
        return NotImplemented
    function = _ours(ufunc)
    if function is not None and method == "__call__" and not out and not arguments:
        try:
            return function(*[beside(ufunc.__name__, x, i) if isinstance(i, numpy.ndarray) else i for i in inputs])
        except DTypeError:
            pass  # NumPy is defined for more dtypes: the truth of numbers, the integer part of booleans
    hosts = [_host(each) for each in inputs]
    targets = {"out": tuple(map(_host, out))} if out else {}
    result = getattr(ufunc, method)(*hosts, **targets, **arguments)
    if out:
        return out[0] if len(out) == 1 else out
    return tuple(map(asarray, result)) if isinstance(result, tuple) else asarray(result)


def _host(operand: Any) -> Any:
    return operand.__array__() if isinstance(operand, Tensor) else operand


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
