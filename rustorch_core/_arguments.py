"""Reading of numbers among a function's arguments, with the errors that name what met."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

import numpy

from rustorch_core.errors import ArgumentError, GradientError, OperandError


def number(name: str, argument: str, value: Any) -> float:
    """An argument that is a real number, as Python's.

    Raises:
        OperandError: for anything else.
        GradientError: for a tensor whose gradient would be lost.
    """
    if isinstance(value, (int, float)):
        return value
    if is_tracked(value):
        raise GradientError(f"{name}: no gradient goes through {argument}; pass .item()")
    if not hasattr(value, "dtype") or getattr(value, "ndim", None) != 0 or value.dtype.kind not in "biuf":
        raise OperandError(f"{name}: {argument} is a number, met {value!r}")
    return float(value)


def scalar(name: str, argument: str, value: Any) -> Any:
    """An argument that is a real number, as Python's; as the tensor that it is where it has a gradient.

    Raises:
        OperandError: for anything else.
    """
    return value if is_tracked(value) and value.ndim == 0 else number(name, argument, value)


def is_tracked(value: Any) -> bool:
    """Whether something is a tensor of whose use the gradient must know."""
    if not getattr(value, "requires_grad", False):
        return False
    from rustorch_core import _graph

    return _graph.recording()


def python_numbers(value: Any) -> Any:
    """A tensor, an array or a number of NumPy's as Python's numbers, in lists for its axes; anything else as it is."""
    return value.tolist() if hasattr(value, "tolist") and not isinstance(value, type) else value


def integer(name: str, argument: str, value: Any) -> int:
    """An argument that is an integer.

    Raises:
        OperandError: for anything else.
    """
    try:
        return int(operator.index(value))  # True is 1
    except TypeError:
        raise OperandError(f"{name}: {argument} is an integer, met {value!r}") from None


def flag(name: str, argument: str, value: Any) -> bool:
    """An argument that is True or False.

    Raises:
        OperandError: for anything else, integers excepted.
    """
    if isinstance(value, (int, numpy.bool_)):
        return bool(value)
    raise OperandError(f"{name}: {argument} is True or False, met {value!r}")


def one_of(name: str, argument: str, value: Any, choices: Iterable[str]) -> str:
    """An argument that is one of some words.

    Raises:
        ArgumentError: for anything else.
    """
    if isinstance(value, str) and value in choices:
        return value
    *most, last = map(repr, choices)
    raise ArgumentError(f"{name}: {argument} is {', '.join(most)} or {last}, met {value!r}")
