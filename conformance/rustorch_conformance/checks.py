"""The checks: what an op computes, what its gradient is, and that a kernel means what its composition means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy

import rustorch
from rustorch_conformance.samples import Sample, samples
from rustorch_core._data_types import CATEGORIES, DTYPES
from rustorch_core._op import Op
from rustorch_core._tensor import Tensor, wrap

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


def check_dtypes(op: Op, device: str) -> list[str]:
    """The dtypes of the op's category that the device has: the rows that `check_value` is asked for."""
    offered = rustorch.device(device)
    return [name for name, dtype in DTYPES.items() if dtype in CATEGORIES[op.category] and offered.supports(dtype)]


def check_value(op: Op, dtype: str, device: str, seed: int = 0) -> None:
    """Compare every sample of an op with NumPy in double precision."""
    for sample in samples(op, DTYPES[dtype], seed):
        found = _host(sample.call(*[_on(device, array) for array in sample.arrays]))
        wide = [array.astype(_WIDE.get(array.dtype.kind, array.dtype)) for array in sample.arrays]
        with numpy.errstate(all="ignore"):
            expected = sample.reference(*wide)
        expected = [numpy.asarray(part) for part in (expected if isinstance(expected, tuple) else (expected,))]
        assert len(found) == len(expected)
        for ours, theirs in zip(found, expected, strict=True):
            _close(op, ours, theirs, TOLERANCE.get(dtype, 0.0) if _is_inexact(ours) else 0.0)


def _is_inexact(array: Any) -> bool:
    return array.dtype in CATEGORIES["floating-point"]


def _close(op: Op, ours: Any, theirs: Any, tolerance: float) -> None:
    assert ours.shape == theirs.shape, f"{op.name}: shape {ours.shape}, expected {theirs.shape}"
    if not _is_inexact(ours) or not tolerance:
        tolerance = 1e-5 if _is_inexact(ours) else 0.0
    wide = ours.astype(_WIDE.get(ours.dtype.kind, ours.dtype))
    scale = float(numpy.max(numpy.abs(theirs), initial=0.0, where=numpy.isfinite(theirs))) if tolerance else 0.0
    numpy.testing.assert_allclose(wide, theirs, rtol=tolerance, atol=tolerance * max(scale, 1.0), err_msg=op.name)


def check_gradient(op: Op, device: str, dtype: str = "float64", seed: int = 0) -> None:
    """Compare first and second derivatives of every sample with finite differences, along random directions."""
    generator = numpy.random.default_rng(seed)
    for sample in samples(op, DTYPES[dtype], seed):
        if any(array.size == 0 for array in sample.arrays):
            continue
        loss = _loss(sample, device, generator)
        arrays = [sample.arrays[place] for place in sample.differentiable]
        _check_directions(op, loss, arrays, device, generator, order=1)
        if dtype == "float64":
            _check_directions(op, _slope_along(loss, arrays, device, generator), arrays, device, generator, order=2)


Loss = Callable[..., Tensor]


def _loss(sample: Sample, device: str, generator: numpy.random.Generator) -> Loss:
    """A sample as a function of its differentiable inputs, projected on fixed random weights to one real number."""
    fixed = [_on(device, array) for array in sample.arrays]
    shape = sample.call(*fixed).shape
    weights = _on(device, generator.uniform(0.5, 1.5, shape))

    def loss(*inputs: Tensor) -> Tensor:
        full = list(fixed)
        for place, each in zip(sample.differentiable, inputs, strict=True):
            full[place] = each
        result = sample.call(*full)
        result = rustorch.real(result * (1 - 0.5j)) if result.dtype in CATEGORIES["complex floating-point"] else result
        return rustorch.sum(result * weights)

    return loss


def _slope_along(loss: Loss, arrays: Sequence[Any], device: str, generator: numpy.random.Generator) -> Loss:
    """The derivative of a loss along a fixed direction, as a function to differentiate once more."""
    directions = [_on(device, generator.standard_normal(array.shape)) for array in arrays]
    numbers = tuple(range(len(arrays)))

    def slope(*inputs: Tensor) -> Tensor:
        gradients = rustorch.grad(loss, numbers)(*inputs)
        parts = [rustorch.sum(g * direction) for g, direction in zip(gradients, directions, strict=True)]
        return sum(parts[1:], parts[0])

    return slope


def _check_directions(
    op: Op, loss: Loss, arrays: Sequence[Any], device: str, generator: numpy.random.Generator, order: int
) -> None:
    """D loss along a random direction: once from the gradient, once from a central difference."""
    directions = [generator.standard_normal(array.shape) for array in arrays]
    directions = [
        d + 1j * generator.standard_normal(d.shape) if a.dtype.kind == "c" else d
        for d, a in zip(directions, arrays, strict=True)
    ]
    step = 1e-6
    numbers = tuple(range(len(arrays)))
    gradients = rustorch.grad(loss, numbers)(*[_on(device, array) for array in arrays])
    ours = sum(float((_host(g)[0] * d).sum().real) for g, d in zip(gradients, directions, strict=True))
    ahead, behind = (
        float(loss(*[_on(device, a + sign * step * d) for a, d in zip(arrays, directions, strict=True)]))
        for sign in (1, -1)
    )
    theirs = (ahead - behind) / (2 * step)
    assert numpy.isfinite(ours), f"{op.name}: derivative of order {order} is {ours}"
    assert abs(ours - theirs) <= 1e-6 * max(1.0, abs(theirs), abs(ahead)), (
        f"{op.name}: derivative of order {order} along a random direction is {ours}, a finite difference gives {theirs}"
    )


def check_kernel(op: Op, device: str, seed: int = 0) -> None:
    """Compare a kernel with the op's composition, on plain, strided, broadcast and special input."""
    assert op.compose is not None
    for sample in samples(op, DTYPES["float32"], seed):
        for arrays in _hard(sample.arrays):
            tensors = [wrap(_native(device, array), rustorch.device(device)) for array in arrays]
            served = sample.call(*tensors)
            with rustorch.no_grad():
                composed = _composed(op, sample, tensors)
            for ours, theirs in zip(_host(served), _host(composed), strict=True):
                numpy.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-6, err_msg=op.name)


def _native(device: str, array: Any) -> Any:
    """A strided view stays strided where the device's arrays are NumPy's."""
    target = rustorch.device(device)
    return array if target.shares_host_memory else target.from_host(array)


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


def _hard(arrays: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """The arrays as they are, reversed, with gaps, as a broadcast, and with NaN and infinities in them."""
    special = [array.copy() for array in arrays]
    for array in special:
        flat = array.reshape(-1)
        flat[: min(3, flat.size)] = [numpy.nan, numpy.inf, -numpy.inf][: flat.size]
    return [
        arrays,
        tuple(array[::-1] if array.ndim else array for array in arrays),
        tuple(numpy.repeat(array, 2, axis=-1)[..., ::2] if array.ndim else array for array in arrays),
        tuple(numpy.broadcast_to(array[:1], array.shape) if array.ndim and array.size else array for array in arrays),
        tuple(special),
    ]
