"""The checks: what an op computes, what its gradient is, and that a kernel means what its composition means."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy
import pytest

import rustorch
from rustorch.testing import gradcheck
from rustorch_conformance.samples import Composition, Sample, samples
from rustorch_core._data_types import CATEGORIES, DTYPES
from rustorch_core._op import Op
from rustorch_core._tensor import Tensor, wrap
from rustorch_core.errors import GradientError, GradientMismatchError, RusTorchError

#: Relative error allowed, against NumPy in double precision: some roundings of the dtype under test.
TOLERANCE = {
    "float16": 4e-3,
    "bfloat16": 3e-2,
    "float32": 3e-6,
    "float64": 1e-11,
    "complex64": 3e-6,
    "complex128": 1e-11,
}
_WIDE = {"f": numpy.float64, "V": numpy.float64, "c": numpy.complex128}


def _on(device: str, array: Any) -> Tensor:
    return rustorch.asarray(array, device=device)


def _host(result: Any) -> list[Any]:
    parts = result if isinstance(result, (tuple, list)) else (result,)
    return [part.device.to_host(part._array) for part in parts]


def check_dtypes(op: Op | Composition, device: str) -> list[str]:
    """The dtypes of the op's category that the device has: the rows that `check_value` is asked for."""
    offered = rustorch.device(device)
    return [name for name, dtype in DTYPES.items() if dtype in CATEGORIES[op.category] and offered.supports(dtype)]


def check_value(op: Op | Composition, dtype: str, device: str, seed: int = 0) -> None:
    """Compare every sample of an op with NumPy in double precision."""
    for sample in samples(op, DTYPES[dtype], seed):
        if sample.reference is None:
            continue
        found = _host(sample.call(*[_on(device, array) for array in sample.arrays]))
        like = _host(sample.call(*[_on("cpu", array) for array in sample.arrays]))
        for ours, theirs in zip(found, like, strict=True):
            # Where the device lacks a dtype another one has to do: unsigned integers are added in signed ones.
            if rustorch.device(device).supports(theirs.dtype):
                assert ours.dtype == theirs.dtype, f"{op.name}: {dtype} gives {ours.dtype}, expected {theirs.dtype}"
        wide = [array.astype(_WIDE.get(array.dtype.kind, array.dtype)) for array in sample.arrays]
        with numpy.errstate(all="ignore"):
            expected = sample.reference(*wide)
        expected = [numpy.asarray(part) for part in (expected if isinstance(expected, (tuple, list)) else (expected,))]
        assert len(found) == len(expected)
        for ours, theirs in zip(found, expected, strict=True):
            _close(op, ours, theirs, TOLERANCE.get(dtype, 0.0) if _is_inexact(ours) else 0.0)


def _is_inexact(array: Any) -> bool:
    return array.dtype in CATEGORIES["floating-point"]


def _close(op: Op | Composition, ours: Any, theirs: Any, tolerance: float) -> None:
    assert ours.shape == theirs.shape, f"{op.name}: shape {ours.shape}, expected {theirs.shape}"
    if not _is_inexact(ours) or not tolerance:
        tolerance = 1e-5 if _is_inexact(ours) else 0.0
    wide = ours.astype(_WIDE.get(ours.dtype.kind, ours.dtype))
    scale = float(numpy.max(numpy.abs(theirs), initial=0.0, where=numpy.isfinite(theirs))) if tolerance else 0.0
    numpy.testing.assert_allclose(wide, theirs, rtol=tolerance, atol=tolerance * max(scale, 1.0), err_msg=op.name)


#: Zeros of either sign, infinities, NaN, halves between integers, and edges of domains.
_SPECIAL = [part for x in (0.0, 0.3, 0.5, 1.0, 1.5, 2.5, 100.0, numpy.inf, numpy.nan) for part in (-x, x)]


def check_special_values(op: Op, device: str) -> None:
    """Compare an elementwise op with the reference device on special values: signs of zeros count, those of NaN not."""
    count = 1 if op.kind == "unary" else 2
    grid = numpy.stack(numpy.meshgrid(*[numpy.float32(_SPECIAL)] * count)).reshape(count, -1)
    assert op.function is not None
    ours, theirs = (_host(op.function(*[_on(place, points) for points in grid]))[0] for place in (device, "cpu"))
    numpy.testing.assert_allclose(ours, theirs, rtol=3e-6, err_msg=op.name)
    is_wrong = (theirs == 0) & (numpy.signbit(ours) != numpy.signbit(theirs))
    assert not is_wrong.any(), f"{op.name}: at {grid[:, is_wrong][:, 0]} the sign of the zero is wrong"


def check_gradient(op: Op | Composition, device: str, dtype: str = "float64", seed: int = 0) -> None:
    """Compare first and second derivatives of every sample with finite differences, along random directions.

    On a device without double precision with those of the reference device, which are compared there.
    """
    if not rustorch.device(device).supports(dtype):
        check_gradient_precision(op, device, {"float64": "float32", "complex128": "complex64"}[dtype], seed, order=2)
        return
    for sample in _differentiable(op, dtype, seed):
        call, arrays = _free(sample, device)
        try:
            gradcheck(call, [_on(device, array) for array in arrays], order=2, seed=seed)
        except GradientMismatchError as error:
            raise AssertionError(f"{op.name}: {error}") from error


def check_gradient_precision(
    op: Op | Composition, device: str, dtype: str = "float32", seed: int = 0, order: int = 1
) -> None:
    """Compare the gradients of every sample with the reference device's of the same numbers in twice the precision."""
    for sample in _differentiable(op, dtype, seed):
        call, arrays = _free(sample, device)
        wide_call, _ = _free(sample, "cpu")
        for _ in range(order - 1):
            call, wide_call = (functools.partial(_gradients_of, each, seed) for each in (call, wide_call))
        found = _gradients(call, [_on(device, array) for array in arrays], seed)
        expected = _gradients(wide_call, [_on("cpu", array.astype(_WIDE[array.dtype.kind])) for array in arrays], seed)
        for array, ours, theirs in zip(arrays, found, expected, strict=True):
            assert ours.dtype == array.dtype, f"{op.name}: the gradient of a tensor of {array.dtype} is of {ours.dtype}"
            _close(op, _host(ours)[0], _host(theirs)[0], 100**order * TOLERANCE[dtype])


def _differentiable(op: Op | Composition, dtype: str, seed: int) -> Iterator[Sample]:
    for sample in samples(op, DTYPES[dtype], seed):
        if sample.differentiable and all(array.size for array in sample.arrays):
            yield sample


def _free(sample: Sample, device: str) -> tuple[Callable[..., Any], list[Any]]:
    """A sample as a function of its differentiable inputs, and these."""
    fixed = [_on(device, array) for array in sample.arrays]

    def call(*inputs: Tensor) -> Any:
        full: list[Any] = list(fixed)
        for place, each in zip(sample.differentiable, inputs, strict=True):
            full[place] = each
        return sample.call(*full)

    return call, [sample.arrays[place] for place in sample.differentiable]


def _gradients(call: Callable[..., Any], inputs: list[Tensor], seed: int) -> list[Tensor]:
    """The gradients of a sum of the results, weighted at random."""
    value, pull_back = rustorch.vjp(call, *inputs)
    generator = numpy.random.default_rng(seed)
    structure = value if isinstance(value, (tuple, list)) else [value]
    drawn = [generator.uniform(0.5, 1.5, x.shape) if _is_inexact(x) else None for x in structure]
    seeds = [d if d is None else _on(x.device, d.astype(x.dtype)) for x, d in zip(structure, drawn, strict=True)]
    return list(pull_back(type(value)(seeds) if isinstance(value, (tuple, list)) else seeds[0]))


def _gradients_of(call: Callable[..., Any], seed: int, *inputs: Tensor) -> list[Tensor]:
    return _gradients(call, list(inputs), seed)


#: Where functions have their edges: poles, kinks, and the ends of their domains.
_POINTS = (-3.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0)


def check_at_points(op: Op, device: str) -> None:
    """Compare an elementwise op's gradient at edges with the slopes to both sides.

    It lies between them, wherever the function is finite and continuous on that side: at a kink any number in between
    is as good as another. Where a slope grows without bounds an infinite gradient is right as well as one of 0.
    """
    count = 1 if op.kind == "unary" else 2
    grid = numpy.stack(numpy.meshgrid(*[_POINTS] * count, indexing="ij")).reshape(count, -1)
    wide = DTYPES["float64" if rustorch.device(device).supports("float64") else "float32"]
    value, pull_back = rustorch.vjp(op.function, *[_on(device, points.astype(wide)) for points in grid])
    gradients = pull_back(rustorch.ones_like(value))
    inputs = [_on("cpu", points) for points in grid]
    here = _host(op.function(*inputs))[0]  # type: ignore[misc]
    for place in range(count):
        sides = [_slopes(op, inputs, here, place, sign) for sign in (-1, 1)]
        slopes = [slope for slope, _ in sides]
        found = _host(gradients[place])[0]
        low, high = numpy.fmin(*slopes), numpy.fmax(*slopes)
        slack = 1e-3 * (1 + numpy.abs(low) + numpy.abs(high))
        is_between = (found >= low - slack) & (found <= high + slack)
        is_steep = numpy.any([is_growing for _, is_growing in sides], axis=0)
        is_right = is_between | numpy.isnan(low) | (is_steep & (numpy.isinf(found) | (found == 0)))
        assert is_right.all(), (
            f"{op.name}: at {grid[:, ~is_right][:, 0]} the gradient by input {place} is {found[~is_right][0]}, "
            f"but the slopes to both sides are {slopes[0][~is_right][0]} and {slopes[1][~is_right][0]}"
        )


def _slopes(op: Op, inputs: list[Tensor], here: Any, place: int, sign: int) -> tuple[Any, Any]:
    """The slopes to one side, NaN where the function jumps or does not exist there; and where they grow nearer by."""
    slopes = []
    for step in (1e-9, 1e-7):
        moved = [x + sign * step if i == place else x for i, x in enumerate(inputs)]
        with numpy.errstate(all="ignore"):
            rise = _host(op.function(*moved))[0] - here  # type: ignore[misc]
            slopes.append(numpy.where(numpy.abs(rise) < 1e-2, sign * rise / step, numpy.nan))
    return slopes[1], numpy.abs(slopes[0]) > numpy.abs(slopes[1]) + 0.5


def check_no_gradient(op: Op, device: str) -> None:
    """An op without gradient returns what has none, or raises where one is asked for, and says why."""
    real = CATEGORIES["real floating-point"] & CATEGORIES[op.category]
    wide = DTYPES["float64" if rustorch.device(device).supports("float64") else "float32"]
    for sample in samples(op, wide) if real else ():
        inputs = [_on(device, array) for array in sample.arrays]
        inputs = [x.requires_grad_() if _is_inexact(x) else x for x in inputs]
        result = sample.call(*inputs)
        for output in result if isinstance(result, (tuple, list)) else (result,):
            reason = op.no_gradient if _is_inexact(output) else "has no gradient"
            assert reason, f"{op.name} returns {output.dtype} without a gradient, and does not say why"
            with pytest.raises(GradientError, match=re.escape(reason)):
                output.backward(rustorch.ones_like(output))


def check_kernel(op: Op, device: str, seed: int = 0) -> None:
    """Compare a kernel with the op's composition, on plain, strided, broadcast and special input."""
    assert op.compose is not None
    for sample in samples(op, DTYPES["float32"], seed):
        for name, tensors in _hard(sample.arrays, device):
            served = _outcome(lambda sample=sample, tensors=tensors: sample.call(*tensors))
            composed = _outcome(lambda sample=sample, tensors=tensors: _composed(op, sample, tensors))
            message = f"{op.name}, on {name} arrays of the shapes {', '.join(str(x.shape) for x in tensors)}"
            assert len(served) == len(composed), f"{message}: one of kernel and composition raises"
            for ours, theirs in zip(served, composed, strict=True):
                numpy.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-6, err_msg=message)


def _outcome(call: Callable[[], Any]) -> list[Any]:
    """The results on the host; nothing where the op refuses such input."""
    try:
        return _host(call())
    except RusTorchError:
        return []


def _composed(op: Op, sample: Sample, tensors: list[Tensor]) -> Any:
    """The sample with every kernel of its op taken out."""
    key = tensors[0]._key
    bound, op.bound[key] = op.bound.get(key), _composition(op, key)
    try:
        return sample.call(*tensors)
    finally:
        if bound is not None:
            op.bound[key] = bound


def _composition(op: Op, key: Any) -> Callable[..., Any]:
    from rustorch_core._dispatch import _from_composition

    return _from_composition(op, key)[0][1]


def _hard(arrays: tuple[Any, ...], device: str) -> Iterator[tuple[str, list[Tensor]]]:
    """The arrays as they are and in memory that a kernel may misread; made on the device, as slices of it."""
    special = [array.copy() for array in arrays]
    for array in special:
        flat = array.reshape(-1)
        flat[: min(3, flat.size)] = [numpy.nan, numpy.inf, -numpy.inf][: flat.size]
    for name, change in _LAYOUTS.items():
        yield name, [change(_on(device, array)) for array in arrays]
    yield "special", [_on(device, array) for array in special]
    if rustorch.device(device).shares_host_memory:
        yield "misaligned", [wrap(_misaligned(array), rustorch.device(device)) for array in arrays]


def _transposed(x: Tensor) -> Tensor:
    """The same values, stored the other way round."""
    return rustorch.asarray(x.mT, copy=True).mT if x.ndim > 1 else x


def _shifted(x: Tensor) -> Tensor:
    """The same values one element later in memory than the device would put them."""
    flat = rustorch.reshape(x, (-1,))
    return rustorch.reshape(rustorch.concat([flat[:1], flat])[1:], x.shape) if x.size else x


def _misaligned(array: Any) -> Any:
    """The same values at an odd address."""
    memory = numpy.zeros(array.nbytes + 1, numpy.uint8)
    odd = memory[1:].view(array.dtype).reshape(array.shape)
    odd[...] = array
    return odd


_LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "plain": lambda x: x,
    "transposed": _transposed,
    "reversed": lambda x: x[::-1] if x.ndim else x,
    "spread": lambda x: rustorch.repeat(x, 2, axis=-1)[..., ::2] if x.ndim else x,
    "broadcast": lambda x: rustorch.broadcast_to(x[:1], x.shape) if x.ndim and x.size else x,
    "shifted": _shifted,
    "empty": lambda x: x[:0] if x.ndim else x,
    "0-d": lambda x: rustorch.reshape(rustorch.reshape(x, (-1,))[:1], ()) if x.size else x,
}
