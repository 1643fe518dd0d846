"""NumPy's ufuncs and their reductions on the plugin's threads and memory, under the names of ops.

What they compute is NumPy's own, bit for bit but for the order in which float32 and very long sums are added.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy

from rustorch_core import _numpy_namespace
from rustorch_simd._kernels import Product, Shared, SharedReduction
from rustorch_simd._plugin import SHARED

#: Elements from which a second thread pays, for loops at memory speed and for those that compute longer.
_CHEAP, _LONG = 32768, 8192

#: The loops at memory speed; all others compute longer.
_AT_MEMORY_SPEED = frozenset(
    {"abs", "add", "copysign", "divide", "equal", "greater", "greater_equal", "isfinite", "isinf", "isnan", "less"}
    | {"less_equal", "maximum", "minimum", "multiply", "negative", "not_equal", "reciprocal", "signbit", "sqrt"}
    | {"square", "subtract"}
)
#: The ufunc of each reduction.
REDUCTIONS = {"max": "maximum", "mean": "add", "min": "minimum", "prod": "multiply", "sum": "add"}
#: The products of matrices, and which operand each transposes.
PRODUCTS = {"matmul": (False, False), "times_transposed": (False, True), "transposed_times": (True, False)}


def _transposing(first: bool, second: bool) -> Callable[..., Any]:
    def product(x1: Any, x2: Any, /) -> Any:
        return numpy.matmul(x1.swapaxes(-1, -2) if first else x1, x2.swapaxes(-1, -2) if second else x2)

    return product


def _shared(name: str) -> Callable[..., Any]:
    if name in REDUCTIONS:
        own: Any = getattr(_numpy_namespace, name)
        return SharedReduction(getattr(numpy, REDUCTIONS[name]), own, name == "mean")
    if name in PRODUCTS:
        return Product(numpy.matmul, _transposing(*PRODUCTS[name]), *PRODUCTS[name])
    return Shared(getattr(numpy, name), _CHEAP if name in _AT_MEMORY_SPEED else _LONG)


_made: dict[str, Callable[..., Any]] = {}


def __getattr__(name: str) -> Callable[..., Any]:
    if name not in SHARED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _made.setdefault(name, _shared(name))
