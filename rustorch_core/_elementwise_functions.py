"""Elementwise functions of the standard, each one statement, its gradient beside it.

Gradients are linear in `g` and holomorphic, without conjugates, as in JAX. `zero` marks a function that is flat
wherever it has a derivative.
"""

from __future__ import annotations

import builtins
import math
from typing import Any

from rustorch_core._arguments import integer
from rustorch_core._data_types import CATEGORIES, is_floating, scalar_dtype
from rustorch_core._define import PUBLIC, Prepared, beside, binary, cast, op, promoted, public_names, unary
from rustorch_core._dispatch import check_tensor
from rustorch_core._tensor import Tensor
from rustorch_core.errors import ArgumentError, DTypeError


def _zero(g: Tensor) -> Tensor:
    """The gradient of a function that is flat wherever it has a derivative."""
    from rustorch_core._creation_functions import zeros_like

    return zeros_like(g)


# One array

abs = unary("abs", "numeric", lambda g, x: g * _conj(sign(x)), "the magnitude of each element", operator="__abs__")
acos = unary(
    "acos", "floating-point", lambda g, x: -g / sqrt(1 - x * x), "the inverse cosine in radians", domain=(-0.9, 0.9)
)
acosh = unary(
    "acosh",
    "floating-point",
    lambda g, x: g / (sqrt(x - 1) * sqrt(x + 1)),
    "the inverse hyperbolic cosine",
    domain=(1.2, 4.0),
)
asin = unary(
    "asin", "floating-point", lambda g, x: g / sqrt(1 - x * x), "the inverse sine in radians", domain=(-0.9, 0.9)
)
asinh = unary("asinh", "floating-point", lambda g, x: g / sqrt(x * x + 1), "the inverse hyperbolic sine")
atan = unary("atan", "floating-point", lambda g, x: g / (x * x + 1), "the inverse tangent in radians")
atanh = unary(
    "atanh", "floating-point", lambda g, x: g / (1 - x * x), "the inverse hyperbolic tangent", domain=(-0.9, 0.9)
)
bitwise_invert = unary("bitwise_invert", "integer or boolean", None, "the bitwise complement", operator="__invert__")
ceil = unary("ceil", "real-valued", _zero, "each element rounded up")
conj = unary("conj", "numeric", lambda g: _conj(g), "the complex conjugate")
cos = unary("cos", "floating-point", lambda g, x: -g * sin(x), "the cosine of angles in radians")
cosh = unary("cosh", "floating-point", lambda g, x: g * sinh(x), "the hyperbolic cosine")
exp = unary("exp", "floating-point", lambda g, y: g * y, "e to the power of each element")
expm1 = unary("expm1", "floating-point", lambda g, y: g * (y + 1), "exp(x) - 1, exact near 0")
floor = unary("floor", "real-valued", _zero, "each element rounded down")
imag = unary(
    "imag",
    "complex floating-point",
    lambda g: g * -1j,
    "the imaginary part, in memory of its own",
    native=lambda xp, x: xp.asarray(xp.imag(x), copy=True),  # NumPy's is a view
)
isfinite = unary("isfinite", "numeric", None, "whether each element is finite")
isinf = unary("isinf", "numeric", None, "whether each element is infinite")
isnan = unary("isnan", "numeric", None, "whether each element is NaN")
log = unary("log", "floating-point", lambda g, x: g / x, "the natural logarithm", domain=(0.2, 3.0))
log1p = unary("log1p", "floating-point", lambda g, x: g / (1 + x), "log(1 + x), exact near 0", domain=(-0.8, 3.0))
log2 = unary("log2", "floating-point", lambda g, x: g / (x * math.log(2)), "the logarithm to base 2", domain=(0.2, 3.0))
log10 = unary(
    "log10", "floating-point", lambda g, x: g / (x * math.log(10)), "the logarithm to base 10", domain=(0.2, 3.0)
)
logical_not = unary("logical_not", "boolean", None, "the logical complement")
negative = unary("negative", "numeric", lambda g: -g, "the negative of each element", operator="__neg__")
positive = unary("positive", "numeric", lambda g: g, "each element unchanged, in memory of its own", operator="__pos__")
real = unary(
    "real",
    "numeric",
    lambda g: g,
    "the real part, in memory of its own",
    native=lambda xp, x: xp.asarray(xp.real(x), copy=True),  # NumPy's is a view, or the array itself
)
reciprocal = unary("reciprocal", "floating-point", lambda g, y: -g * y * y, "1 / x", domain=(0.5, 3.0))
_round = unary("round", "numeric", _zero, "each element rounded to the nearest integer, halves to even")
sign = unary(
    "sign",
    "numeric",
    lambda g, y, x: _turn(g, y, x),
    "the sign of each element: -1, 0 or 1; x / abs(x) for complex ones",
)
signbit = unary("signbit", "real floating-point", None, "whether the sign bit is set")
sin = unary("sin", "floating-point", lambda g, x: g * cos(x), "the sine of angles in radians")
sinh = unary("sinh", "floating-point", lambda g, x: g * cosh(x), "the hyperbolic sine")
sqrt = unary("sqrt", "floating-point", lambda g, y: g / (2 * y), "the square root", domain=(0.2, 3.0))
square = unary("square", "numeric", lambda g, x: 2 * g * x, "the square of each element")
tan = unary(
    "tan", "floating-point", lambda g, y: g * (1 + y * y), "the tangent of angles in radians", domain=(-1.2, 1.2)
)
tanh = unary("tanh", "floating-point", lambda g, y: g * (1 - y * y), "the hyperbolic tangent")
trunc = unary("trunc", "real-valued", _zero, "each element rounded toward 0")


def round(x: Tensor, /, decimals: int = 0) -> Tensor:
    """Round each element to the nearest integer, halves to even (Array API: round).

    Arguments:
        x: tensor of a numeric dtype, any shape.
        decimals: how many decimal places to keep, as in NumPy; a negative number rounds before the point.

    Returns:
        a tensor of the shape of `x`.

    Raises:
        DTypeError: for booleans.
    """
    if type(decimals) is int and decimals == 0:
        return _round(x)
    check_tensor("round", x)
    decimals = integer("round", "decimals", decimals)
    if builtins.abs(decimals) > 300:
        raise ArgumentError(f"round: decimals is between -300 and 300, met {decimals}")
    places = 10.0 ** builtins.abs(decimals)
    return cast(_round(x * places) / places if decimals > 0 else _round(x / places) * places, x.dtype)


round.__module__ = PUBLIC
round.op = _round.op  # type: ignore[attr-defined]
_round.op.function = round  # type: ignore[attr-defined]
setattr(Tensor, "round", round)  # noqa: B010


# Two arrays

add = binary(
    "add",
    "numeric",
    (lambda g: g, lambda g: g),
    "the sum of each pair of elements",
    operator="add",
    has_native_operator=True,
    keeps_dtype=True,
)
atan2 = binary(
    "atan2",
    "real floating-point",
    (lambda g, x1, x2: g * _ratio(x2, x1 * x1 + x2 * x2), lambda g, x1, x2: -g * _ratio(x1, x1 * x1 + x2 * x2)),
    "the angle in radians of the point (x2, x1)",
)
bitwise_and = binary(
    "bitwise_and", "integer or boolean", None, "the bitwise AND", operator="and", has_native_operator=True
)
bitwise_left_shift = binary(
    "bitwise_left_shift", "integer", None, "x1 shifted left by x2 bits", operator="lshift", domain=(0, 6)
)
bitwise_or = binary("bitwise_or", "integer or boolean", None, "the bitwise OR", operator="or", has_native_operator=True)
bitwise_right_shift = binary(
    "bitwise_right_shift", "integer", None, "x1 shifted right by x2 bits", operator="rshift", domain=(0, 6)
)
bitwise_xor = binary(
    "bitwise_xor", "integer or boolean", None, "the bitwise exclusive OR", operator="xor", has_native_operator=True
)
copysign = binary(
    "copysign",
    "real floating-point",
    (lambda g, x1, x2: where(logical_xor(signbit(x1), signbit(x2)), -g, g), _zero),
    "the magnitude of x1 with the sign of x2",
)
divide = binary(
    "divide",
    "floating-point",
    (lambda g, x2: g / x2, lambda g, y, x2: -g * y / x2),
    "x1 / x2",
    operator="truediv",
    has_native_operator=True,
    domain=(0.5, 3.0),
)
equal = binary("equal", "all", None, "whether the elements of each pair are equal", operator="eq")
floor_divide = binary(
    "floor_divide", "real-valued", (_zero, _zero), "x1 / x2 rounded down", operator="floordiv", domain=(1.0, 9.0)
)
greater = binary("greater", "real-valued", None, "x1 > x2", operator="gt")
greater_equal = binary("greater_equal", "real-valued", None, "x1 >= x2", operator="ge")
hypot = binary(
    "hypot",
    "real floating-point",
    (lambda g, y, x1: g * _ratio(x1, y), lambda g, y, x2: g * _ratio(x2, y)),
    "the length of the hypotenuse, sqrt(x1**2 + x2**2)",
)
less = binary("less", "real-valued", None, "x1 < x2", operator="lt")
less_equal = binary("less_equal", "real-valued", None, "x1 <= x2", operator="le")
logaddexp = binary(
    "logaddexp",
    "real floating-point",
    (lambda g, x1, x2: g * _part_of_sum(x1, x2), lambda g, x1, x2: g * _part_of_sum(x2, x1)),
    "log(exp(x1) + exp(x2)) without overflow",
)
logical_and = binary("logical_and", "boolean", None, "the logical AND")
logical_or = binary("logical_or", "boolean", None, "the logical OR")
logical_xor = binary("logical_xor", "boolean", None, "the logical exclusive OR")
maximum = binary(
    "maximum",
    "real-valued",
    (lambda g, x1, x2: _share(g, x1 > x2, x1 == x2), lambda g, x1, x2: _share(g, x2 > x1, x1 == x2)),
    "the larger of each pair; equal ones share the gradient",
    selects=True,
)
minimum = binary(
    "minimum",
    "real-valued",
    (lambda g, x1, x2: _share(g, x1 < x2, x1 == x2), lambda g, x1, x2: _share(g, x2 < x1, x1 == x2)),
    "the smaller of each pair; equal ones share the gradient",
    selects=True,
)
multiply = binary(
    "multiply",
    "numeric",
    (lambda g, x2: g * x2, lambda g, x1: g * x1),
    "the product of each pair of elements",
    operator="mul",
    has_native_operator=True,
    keeps_dtype=True,
)
nextafter = binary(
    "nextafter",
    "real floating-point",
    None,
    "the next number after x1 in the direction of x2",
    no_gradient="it steps between representable numbers",
)
not_equal = binary("not_equal", "all", None, "whether the elements of each pair differ", operator="ne")
pow = binary(
    "pow",
    "numeric",
    (
        lambda g, x1, x2: g * _power_slope(x1, x2),
        # At 0 flat, but for negative exponents, of which y is infinite.
        lambda g, y, x1: g * y * log(where(logical_and(x1 == 0, isfinite(y)), 1, x1)),
    ),
    "x1 to the power of x2",
    operator="pow",
    domain=(0.5, 2.0),
)
remainder = binary(
    "remainder",
    "real-valued",
    (lambda g: g, lambda g, x1, x2: -g * floor_divide(x1, x2)),
    "the remainder of x1 / x2, with the sign of x2",
    operator="mod",
    domain=(1.0, 9.0),
)
subtract = binary(
    "subtract",
    "numeric",
    (lambda g: g, lambda g: -g),
    "x1 - x2",
    operator="sub",
    has_native_operator=True,
    keeps_dtype=True,
)


def _conj(x: Tensor) -> Tensor:
    return conj(x) if x.dtype in CATEGORIES["complex floating-point"] else x


def _turn(g: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """The gradient of the sign: flat for real numbers; a complex one turns along the unit circle, none at 0."""
    if x.dtype not in CATEGORIES["complex floating-point"]:
        return _zero(g)
    return 1j * conj(y) * _ratio(imag(g * y), abs(x))


def _power_slope(x1: Tensor, x2: Tensor) -> Tensor:
    """x2 * x1 ** (x2 - 1), and 0 for an exponent of 0, even of 0, infinity and NaN."""
    is_flat = x2 == 0
    if x2.requires_grad:  # then the slope by the exponent matters there too, and is finite but for those
        is_flat = logical_and(is_flat, logical_not(abs(x1) > 0))
    return x2 * x1 ** where(is_flat, 0, x2 - 1)


def _ratio(x: Tensor, y: Tensor) -> Tensor:
    """X / y, and 0 where y is 0: the gradient of a length that stays finite at the origin."""
    return where(y == 0, 0, x / where(y == 0, 1, y))


def _part_of_sum(x1: Tensor, x2: Tensor) -> Tensor:
    """exp(x1) / (exp(x1) + exp(x2)), and 0 where x1 is negative infinity, whatever x2 is."""
    from rustorch_core._neural_functions import sigmoid

    return sigmoid(where(x1 == -math.inf, -math.inf, x1 - x2))


def _share(g: Tensor, is_chosen: Tensor, is_tie: Tensor) -> Tensor:
    """What an operand gets of the gradient: all, half in a tie, or nothing, even of an infinite one."""
    return where(is_chosen, g, where(is_tie, g / 2, 0))


# Three arrays


@op(
    "where",
    "boolean",
    None,
    lambda g, x1: where(x1, g, 0),
    lambda g, x1: where(x1, 0, g),
    method=False,
    selects=True,
    native=lambda xp, condition, x1, x2: xp.where(condition, x1, x2),
)
def _where(condition: Tensor, x1: Any, x2: Any, /) -> Prepared:
    if condition._key.dtype not in CATEGORIES["boolean"]:
        raise DTypeError(f"where: a condition of {condition.dtype} met, but a boolean one is expected; compare first")
    if not isinstance(x1, Tensor) and not isinstance(x2, Tensor):
        x1 = beside("where", condition, x1)
        x1 = cast(x1, scalar_dtype(x2)) if x1.dtype == bool and type(x2) is int else x1
    x1, x2 = promoted("where", x1, x2)
    return (condition, x1, x2), {}


def where(condition: Tensor, x1: Any = None, x2: Any = None, /) -> Tensor:
    """Choose elements from one of two arrays (Array API: where).

    Arguments:
        condition: boolean tensor; alone, it is searched as by `nonzero`, as NumPy does.
        x1: tensor or Python number, chosen where the condition is true.
        x2: tensor or Python number, chosen elsewhere; all three shapes broadcast.

    Example:
        >>> import rustorch as rt
        >>> x = rt.asarray([-1.0, 2.0])
        >>> rt.where(x > 0, x, 0)
        tensor([0., 2.], dtype=float32)
    """
    if x1 is None and x2 is None:
        from rustorch_core._searching_functions import nonzero

        return nonzero(condition)
    return _where(condition, x1, x2)


where.__module__ = PUBLIC
where.op = _where.op  # type: ignore[attr-defined]
where.op.function = where  # type: ignore[attr-defined]


def _limit(xp: Any, x: Any, *bounds: Any) -> Any:
    """Spelled out: bounds that cross are left open by the standard, and NumPy's clip does not take bfloat16."""
    low, high = bounds
    result = x if low is None else xp.maximum(x, low)
    result = result if high is None else xp.minimum(result, high)
    return xp.asarray(x, copy=True) if result is x else result


@op(
    "clip",
    "real-valued",
    lambda g, x1, x2, x3: where(_within(x1, x2, x3), g, 0),
    lambda g, x1, x2, x3: where(_is_below(x1, x2, x3), g, 0),
    lambda g, x1, x2, x3: where(_is_above(x1, x2, x3), g, 0),
    selects=True,
    native=_limit,
)
def clip(x: Tensor, /, min: Any = None, max: Any = None) -> Prepared:
    """Limit each element to an interval (Array API: clip).

    Arguments:
        x: tensor of a real-valued dtype.
        min: lower bound, tensor or number, or None.
        max: upper bound, tensor or number, or None. Bounds never change the dtype of `x`.

    Raises:
        DTypeError: for a floating-point bound beside integers.
    """
    return (x, _bound(x, min), _bound(x, max)), {}


def _bound(x: Tensor, bound: Any) -> Tensor | None:
    if bound is None:
        return None
    bound = bound if isinstance(bound, Tensor) else beside("clip", x, bound)
    if is_floating(bound.dtype) and not is_floating(x.dtype):
        raise DTypeError(f"clip: a bound of {bound.dtype} met a tensor of {x.dtype}; convert one with astype")
    return cast(bound, x.dtype)


def _within(x: Tensor, low: Tensor | None, high: Tensor | None) -> Tensor:
    inside = x == x
    inside = inside if low is None else logical_and(inside, x >= low)
    return inside if high is None else logical_and(inside, x <= high)


def _is_below(x: Tensor, low: Tensor, high: Tensor | None) -> Tensor:
    """Where the lower bound is the result; where the bounds contradict each other, the upper one is."""
    return x < low if high is None else logical_and(x < low, low <= high)


def _is_above(x: Tensor, low: Tensor | None, high: Tensor) -> Tensor:
    return x > high if low is None else logical_or(x > high, low > high)


__all__ = public_names(vars())
