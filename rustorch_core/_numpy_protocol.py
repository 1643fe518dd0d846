"""What NumPy asks of an array that is not its own: to take over its elementwise functions, and to reduce itself.

`np.sin(tensor)`, `np.ones(3) + tensor` and `np.sum(tensor)` give tensors back, on their device and with their gradient.
What is not ours to compute, such as a compiled function of SciPy's, runs on host memory, for tensors without gradient.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy

from rustorch_core import _statistical_functions as statistical
from rustorch_core._calculus_functions import cumprod, cumsum
from rustorch_core._creation_functions import asarray
from rustorch_core._define import beside, is_operand
from rustorch_core._elementwise_functions import clip, round
from rustorch_core._op import REGISTRY
from rustorch_core._searching_functions import argmax, argmin
from rustorch_core._tensor import Tensor
from rustorch_core.errors import ArgumentError, DTypeError

#: NumPy's names of functions that have another one here; libraries look them up in the namespace, too.
NUMPY_NAMES = {
    "absolute": "abs",
    "arccos": "acos",
    "arccosh": "acosh",
    "arcsin": "asin",
    "arcsinh": "asinh",
    "arctan": "atan",
    "arctan2": "atan2",
    "arctanh": "atanh",
    "bitwise_not": "bitwise_invert",
    "concatenate": "concat",
    "conjugate": "conj",
    "degrees": "rad2deg",
    "fabs": "abs",
    "invert": "bitwise_invert",
    "left_shift": "bitwise_left_shift",
    "mod": "remainder",
    "power": "pow",
    "radians": "deg2rad",
    "right_shift": "bitwise_right_shift",
    "rint": "round",
    "true_divide": "divide",
}


def _array_ufunc(x: Tensor, ufunc: Any, method: str, *inputs: Any, out: Any = None, **arguments: Any) -> Any:
    """Compute one of NumPy's elementwise functions of tensors, and of what stands beside them.

    Raises:
        GradientError: for a function without a gradient here, where a tensor takes part in one.
    """
    if not all(is_operand(each) for each in (*inputs, *(out or ()))):
        return NotImplemented
    function = _ours(ufunc)
    if function is not None and method == "__call__" and not out and not arguments:
        try:
            return function(*[beside(ufunc.__name__, x, i) if isinstance(i, numpy.ndarray) else i for i in inputs])
        except DTypeError:
            pass  # NumPy is defined for more dtypes: the truth of numbers, the integer part of booleans
    hosts = [each.__array__() if isinstance(each, Tensor) else each for each in inputs]
    targets = tuple(each.__array__() if isinstance(each, Tensor) else each for each in out or ())
    result = getattr(ufunc, method)(*hosts, **({"out": targets} if out else {}), **arguments)
    if out or result is None:
        return out[0] if out and len(out) == 1 else out
    return tuple(map(asarray, result)) if isinstance(result, tuple) else asarray(result, device=x.device)


def _ours(ufunc: Any) -> Callable[..., Tensor] | None:
    """The function that means what one of NumPy's or SciPy's means; no stranger's that happens to bear its name."""
    name = ufunc.__name__
    if getattr(numpy, name, None) is ufunc:
        op = REGISTRY.get(NUMPY_NAMES.get(name, name))
    elif getattr(sys.modules.get("scipy.special._ufuncs"), name, None) is ufunc:
        op = REGISTRY.get(f"special.{name}") or REGISTRY.get(name)
    else:
        return None
    return None if op is None else op.function


#: The functions that NumPy calls as methods, and their arguments that may stand without a name there.
_BY_POSITION: dict[Callable[..., Tensor], tuple[str, ...]] = {
    statistical.all: ("axis",),
    statistical.any: ("axis",),
    argmax: ("axis",),
    argmin: ("axis",),
    clip: ("min", "max"),
    cumprod: ("axis",),
    cumsum: ("axis",),
    statistical.max: ("axis",),
    statistical.mean: ("axis",),
    statistical.min: ("axis",),
    statistical.prod: ("axis",),
    round: ("decimals",),
    statistical.std: ("axis",),
    statistical.sum: ("axis",),
    statistical.var: ("axis",),
}


def _method(function: Callable[..., Tensor], by_position: tuple[str, ...]) -> Callable[..., Tensor]:
    """A function as a method that is called as NumPy calls it: more by position, `dtype=None` and `out=None`."""

    def method(x: Tensor, *values: Any, dtype: Any = None, out: None = None, **arguments: Any) -> Tensor:
        if out is not None:
            raise ArgumentError(f"{function.__name__}: a result cannot be written into `out`; use x.copy_(result)")
        if dtype is not None:
            arguments["dtype"] = dtype
        if len(values) > len(by_position):
            return function(x, *values, **arguments)  # Python's own message
        return function(x, **dict(zip(by_position, values, strict=False)), **arguments)

    method.__name__ = method.__qualname__ = function.__name__
    method.__doc__ = function.__doc__
    return method


Tensor.__array_ufunc__ = _array_ufunc  # type: ignore[attr-defined]
for _function, _by_position in _BY_POSITION.items():
    setattr(Tensor, _function.__name__, _method(_function, _by_position))
