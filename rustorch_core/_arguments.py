"""Reading of numbers among a function's arguments, with the errors that name what met."""

from __future__ import annotations

import operator
from typing import Any

from rustorch_core.errors import OperandError


def number(name: str, argument: str, value: Any) -> float:
    """An argument that is a real number, as Python's.

    Raises:
        OperandError: for anything else.
    """
    if isinstance(value, (int, float)):
        return value
    if not hasattr(value, "dtype") or getattr(value, "ndim", None) != 0 or value.dtype.kind not in "biuf":
        raise OperandError(f"{name}: {argument} is a number, met {value!r}")
    return float(value)


def integer(name: str, argument: str, value: Any) -> int:
    """An argument that is an integer.

    Raises:
        OperandError: for anything else.
    """
    try:
        return operator.index(value)
    except TypeError:
        raise OperandError(f"{name}: {argument} is an integer, met {value!r}") from None
