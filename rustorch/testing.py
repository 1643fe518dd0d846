"""What tests of code on tensors need: that gradients are right, and that tensors are close."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy

import rustorch
from rustorch.nn import Module
from rustorch_core import _tree
from rustorch_core._data_types import CATEGORIES, is_floating, real_of
from rustorch_core._tensor import Tensor
from rustorch_core.errors import ArgumentError, GradientMismatchError, MismatchError

__all__ = ["assert_close", "gradcheck"]

#: By dtype, for gradients: the step of the finite difference, and the relative error allowed.
_STEP = {"float64": (1e-6, 1e-6), "float32": (5e-3, 1e-2), "bfloat16": (0.1, 0.2), "float16": (0.05, 0.1)}
#: By dtype, for values: the relative and the absolute error allowed, as in PyTorch's function of that name.
_CLOSE = {"float64": (1e-7, 1e-7), "float32": (1.3e-6, 1e-5), "bfloat16": (1.6e-2, 1e-5), "float16": (1e-3, 1e-5)}

Loss = Callable[..., Tensor]


def gradcheck(
    fn: Callable[..., Any],
    args: Sequence[Any],
    *,
    order: int = 1,
    step: float | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    seed: int = 0,
) -> bool:
    """Compare the gradients of a function with finite differences (PyTorch: autograd.gradcheck).

    Its value is projected on random weights, and the gradient of that on a random direction, along which a central
    difference is taken. Only where the two numbers differ every entry is looked at, to name the worst. An entry that
    belongs to a complex number is compared in the convention of `rustorch.grad`.

    Arguments:
        fn: returns any pytree with floating-point tensors, the same each time.
        args: a tuple or list of its arguments, any pytrees; floating-point tensors in them are differentiated with
            respect to, anything else is passed on. float64 is best: others are compared roughly.
        order: up to which order derivatives are compared.
        step: half the length of the finite difference; by default by dtype, 1e-6 for float64.
        rtol: relative error allowed; by default by dtype, 1e-6 for float64.
        atol: absolute error allowed, for a value of 1; by default the same.
        seed: of weights and directions.

    Returns:
        True, so that the call may stand in an assertion.

    Raises:
        GradientMismatchError: with the order, the argument, the index, and both numbers, where they differ most.
        ArgumentError: where no floating-point tensor is among the arguments, and where the function gives no finite
            value, or another one the second time.

    Example:
        >>> import rustorch as rt
        >>> rt.testing.gradcheck(rt.atan2, (rt.asarray([1.0, 2.0], dtype="float64"), rt.asarray(3.0, dtype="float64")))
        True
    """
    leaves, rebuild = _tree.flatten(tuple(args))
    places = [place for place, leaf in enumerate(leaves) if isinstance(leaf, Tensor) and is_floating(leaf.dtype)]
    if not places:
        raise ArgumentError("gradcheck: there is no floating-point tensor among the arguments")
    points = [leaves[place].detach() for place in places]
    names = list(_paths(tuple(args), ""))
    generator = numpy.random.default_rng(seed)

    def of_points(*inputs: Tensor) -> Any:
        full = list(leaves)
        for place, each in zip(places, inputs, strict=True):
            full[place] = each
        return fn(*rebuild(full))

    default_step, default_error = max(_STEP[real_of(x.dtype).name] for x in points)
    limits = _Limits(
        default_step if step is None else step,
        default_error if rtol is None else rtol,
        default_error if atol is None else atol,
    )
    loss = _projected(of_points, points, generator)
    for each in range(1, order + 1):
        _compare(loss, points, [names[place] for place in places], each, limits, generator)
        loss = _slope_along(loss, points, generator)
    return True


class _Limits(NamedTuple):
    step: float
    relative: float
    absolute: float

    def error(self, ours: complex, theirs: complex, value: float) -> float:
        """How far apart two numbers are, in units of what is allowed."""
        return abs(ours - theirs) / (self.relative * max(abs(ours), abs(theirs)) + self.absolute * max(1.0, abs(value)))


def _projected(fn: Callable[..., Any], points: Sequence[Tensor], generator: numpy.random.Generator) -> Loss:
    """A function as one of one real number: the sum of its value, weighted at random."""
    with rustorch.no_grad():
        outputs = [x for x in _tree.flatten(fn(*points))[0] if _is_floating_tensor(x)]
    weights = [_random_like(x, generator) for x in outputs]

    def loss(*inputs: Tensor) -> Tensor:
        found = [x for x in _tree.flatten(fn(*inputs))[0] if _is_floating_tensor(x)]
        return _inner(found, weights)

    if not weights:
        raise ArgumentError("gradcheck: the function returns no floating-point tensor")
    with rustorch.no_grad():
        first, second = float(loss(*points)), float(loss(*points))
    if not math.isfinite(first) or first != second:
        raise ArgumentError(
            f"gradcheck: the function gives {first}, then {second} for the same arguments (weighted at random and "
            "added up); choose others where it is finite, and let it draw no random numbers that it does not seed"
        )
    return loss


def _is_floating_tensor(x: Any) -> bool:
    return isinstance(x, Tensor) and is_floating(x.dtype)


def _inner(first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
    """The real part of the sum of products, which pairs gradients with directions and with each other."""
    parts = [rustorch.sum(rustorch.real(x * y)) for x, y in zip(first, second, strict=True)]
    return sum(parts[1:], parts[0])


def _random_like(x: Tensor, generator: numpy.random.Generator) -> Tensor:
    """Numbers of either sign, none near 0."""
    drawn = generator.uniform(0.5, 1.5, x.shape) * generator.choice([-1.0, 1.0], x.shape)
    if x.dtype in CATEGORIES["complex floating-point"]:
        drawn = drawn + 1j * generator.uniform(0.5, 1.5, x.shape)
    return rustorch.asarray(drawn, dtype=x.dtype, device=x.device)


def _slope_along(loss: Loss, points: Sequence[Tensor], generator: numpy.random.Generator) -> Loss:
    """The derivative of a loss along a random direction, as a function to differentiate once more."""
    directions = [_random_like(x, generator) for x in points]
    gradients = rustorch.grad(loss, tuple(range(len(points))))
    return lambda *inputs: _inner(gradients(*inputs), directions)


def _compare(
    loss: Loss,
    points: Sequence[Tensor],
    names: Sequence[str],
    order: int,
    limits: _Limits,
    generator: numpy.random.Generator,
) -> None:
    directions = [_random_like(x, generator) for x in points]
    value, gradients = rustorch.value_and_grad(loss, tuple(range(len(points))))(*points)
    ours = float(_inner(gradients, directions))
    theirs = _difference(loss, points, directions, limits.step)
    if limits.error(ours, theirs, float(value)) <= 1:
        return
    worst, name, index, analytic, numeric = max(
        (limits.error(analytic, numeric, float(value)), name, index, analytic, numeric)
        for name, index, analytic, numeric in _entries(loss, points, gradients, names, limits.step)
    )
    if not worst > 1:  # each entry is within its limit, and yet they add up to more
        name, index, analytic, numeric = "all arguments", (), ours, theirs
    place = f"{name} at index {index}" if index else name
    raise GradientMismatchError(
        f"gradcheck: derivatives of order {order} differ, most of all for {place}: the gradient is "
        f"{analytic:.8g}, a finite difference gives {numeric:.8g}"
    )


def _difference(loss: Loss, points: Sequence[Tensor], directions: Sequence[Tensor], step: float) -> float:
    """The derivative along a direction, by a central difference."""
    ahead, behind = (
        float(loss(*[x + sign * step * direction for x, direction in zip(points, directions, strict=True)]))
        for sign in (1, -1)
    )
    return (ahead - behind) / (2 * step)


def _entries(
    loss: Loss, points: Sequence[Tensor], gradients: Sequence[Tensor], names: Sequence[str], step: float
) -> Iterator[tuple[str, tuple[int, ...], complex, complex]]:
    """Each entry of each gradient: the argument's name, the index, the gradient, and a finite difference."""
    for place, (x, gradient) in enumerate(zip(points, gradients, strict=True)):
        units = (1, 1j) if x.dtype in CATEGORIES["complex floating-point"] else (1,)
        for index in itertools.product(*map(range, x.shape)):
            slopes = []
            for unit in units:
                one = numpy.zeros(x.shape, dtype=complex if len(units) > 1 else float)
                one[index] = unit
                directions = [rustorch.zeros_like(each) for each in points]
                directions[place] = rustorch.asarray(one, dtype=x.dtype, device=x.device)
                slopes.append(_difference(loss, points, directions, step))
            numeric = slopes[0] if len(slopes) == 1 else slopes[0] - 1j * slopes[1]
            yield names[place], index, gradient[index].item(), numeric


def _paths(tree: Any, prefix: str) -> Iterator[str]:
    """Where each leaf of a tree stands, as a user would write it."""
    split = _tree.split(tree)
    if split is None:
        yield prefix or "the argument"
        return
    if isinstance(tree, Module):
        steps = [f".{name}" for name, _ in tree.named_parameters()]
    elif isinstance(tree, dict):
        steps = [f"[{key!r}]" for key in tree]
    elif dataclasses.is_dataclass(tree):
        steps = [f".{field.name}" for field in dataclasses.fields(tree) if field.init]
    elif hasattr(tree, "_fields"):
        steps = [f".{name}" for name in tree._fields]
    else:
        steps = [f"[{place}]" if prefix else f"argument {place}" for place in range(len(split[0]))]
    for step, child in zip(steps, split[0], strict=True):
        yield from _paths(child, prefix + step)


def assert_close(actual: Any, expected: Any, *, rtol: float | None = None, atol: float | None = None) -> None:
    """Raise unless tensors are close: of one shape and dtype, abs(actual - expected) <= atol + rtol * abs(expected).

    NaN is close to NaN, an infinity to itself. Source: PyTorch, testing.assert_close.

    Arguments:
        actual: any pytree of tensors, NumPy arrays and numbers.
        expected: likewise, of the same structure. What is no tensor may be of any dtype.
        rtol: relative error allowed; by default that of the less precise dtype, as in PyTorch; exact for integers.
        atol: absolute error allowed; likewise.

    Raises:
        MismatchError: with the place, the index and both numbers, where they differ most.

    Example:
        >>> import rustorch as rt
        >>> rt.testing.assert_close({"a": rt.asarray([1.0, 2.0])}, {"a": [1.0, 2.0000001]})
    """
    structure = _tree.skeleton(actual)
    names = list(_paths(actual, ""))
    is_one = structure is None
    try:
        given = [expected] if is_one else _tree.at_leaves("assert_close", structure, expected)
    except ArgumentError as error:
        raise MismatchError(str(error)) from error
    for name, ours, theirs in zip(names, _tree.flatten(actual)[0], given, strict=True):
        _assert_one_close("the tensors" if is_one else name, ours, theirs, rtol, atol)


def _assert_one_close(name: str, ours: Any, theirs: Any, rtol: float | None, atol: float | None) -> None:
    if isinstance(ours, Tensor) and isinstance(theirs, Tensor) and ours.dtype is not theirs.dtype:
        raise MismatchError(f"assert_close: {name}: {ours.dtype} met {theirs.dtype}")
    a, b = _on_host(ours), _on_host(theirs)
    if a.shape != b.shape:
        raise MismatchError(f"assert_close: {name}: shape {a.shape} met shape {b.shape}")
    limits = [_CLOSE.get(real_of(x.dtype).name, (0.0, 0.0)) for x in (ours, theirs) if isinstance(x, Tensor)]
    default = max(limits, default=_CLOSE["float64"])
    relative = default[0] if rtol is None else rtol
    absolute = default[1] if atol is None else atol
    wide = numpy.complex128 if "c" in (a.dtype.kind, b.dtype.kind) else numpy.float64
    if a.dtype.kind not in "biu" or b.dtype.kind not in "biu":
        a, b = a.astype(wide), b.astype(wide)
    with numpy.errstate(all="ignore"):
        error = numpy.abs(a - b) if a.dtype.kind != "b" else a != b
        is_close = numpy.isfinite(b) & (error <= absolute + relative * numpy.abs(b))
        is_far = ~(is_close | (a == b) | ((a != a) & (b != b)))
    if is_far.any():
        distance = numpy.where(is_far, numpy.nan_to_num(error, nan=numpy.inf), -1)
        index = tuple(map(int, numpy.unravel_index(distance.argmax(), distance.shape)))
        raise MismatchError(
            f"assert_close: {name}: {is_far.sum()} of {a.size} elements differ, most of all at index {index}: "
            f"{a[index]} met {b[index]} (rtol {relative:g}, atol {absolute:g})"
        )


def _on_host(x: Any) -> Any:
    return x.device.to_host(x._array) if isinstance(x, Tensor) else numpy.asarray(x)


def __dir__() -> list[str]:
    return [*__all__]
