"""NumPy's ufuncs and their reductions on the plugin's threads and memory, under the names of ops.

What they compute is NumPy's own, bit for bit but for the order in which float32 and very long sums are added.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy

from rustorch_core import _numpy_namespace
from rustorch_simd._kernels import Shared, SharedReduction
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


def _shared(name: str) -> Callable[..., Any]:
    if name in REDUCTIONS:
        own: Any = getattr(_numpy_namespace, name)
        return SharedReduction(getattr(numpy, REDUCTIONS[name]), own, name == "mean")
    return Shared(getattr(numpy, name), _CHEAP if name in _AT_MEMORY_SPEED else _LONG)


_made: dict[str, Callable[..., Any]] = {}


def __getattr__(name: str) -> Callable[..., Any]:
    if name not in SHARED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _made.setdefault(name, _shared(name))
