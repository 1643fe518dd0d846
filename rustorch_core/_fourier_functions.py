"""The extension `fft` of the standard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rustorch_core import _data_types
from rustorch_core._arguments import integer, number, one_of
from rustorch_core._axes import as_shape, one_axis, some_axes
from rustorch_core._creation_functions import arange, zeros
from rustorch_core._define import Prepared, cast, op, public_names
from rustorch_core._dispatch import check_tensor
from rustorch_core._elementwise_functions import conj, logical_or, real, where
from rustorch_core._manipulation_functions import concat, reshape, roll
from rustorch_core._tensor import Tensor
from rustorch_core.errors import ArgumentError, AxisError

#: The norms, and of each the one that scales the other direction in its place.
_OPPOSITE = {"backward": "forward", "ortho": "ortho", "forward": "backward"}
_ARGUMENTS = """

    Arguments:
        x: tensor of a floating-point dtype; {dtype}.
        n: length of the transformed axis, cut or filled with zeros; by default its own.
        axis: the axis.
        norm: "backward" scales the inverse by 1 / n, "forward" the forward one, "ortho" both by its root.
    """


def _prepare(name: str, x: Any, n: int | None, axis: int, norm: str, *, to_complex: bool) -> Prepared:
    check_tensor(name, x)
    _check_norm(name, norm)
    if n is not None and (n := integer(name, "n", n)) < 1:
        raise ArgumentError(f"{name}: cannot transform {n} points")
    x = x if _data_types.is_floating(x.dtype) else cast(x, _data_types.Defaults.floating)
    wide = _data_types.complex_of(x.dtype)  # of half precision the result is complex64 all the same
    if not to_complex and x.dtype != wide:
        wide = _data_types.real_of(wide)
    x = cast(x, wide)
    return (x,), {"n": n, "axis": one_axis(name, axis, x.ndim), "norm": norm}


def _check_norm(name: str, norm: str) -> None:
    one_of(name, "norm", norm, _OPPOSITE)


def _fitted(x: Tensor, length: int, axis: int) -> Tensor:
    """A tensor cut, or filled with zeros, to a length along an axis."""
    before = (slice(None),) * axis
    if length <= x.shape[axis]:
        return x[(*before, slice(0, length))]
    shape = (*x.shape[:axis], length - x.shape[axis], *x.shape[axis + 1 :])
    return concat([x, zeros(shape, dtype=x.dtype, device=x.device)], axis=axis)


@op(
    "fft.fft",
    "complex floating-point",
    lambda g, x_shape, axis, norm: _fitted(fft(g, axis=axis, norm=norm), x_shape[axis], axis),
    method=False,
)
def fft(x: Tensor, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Prepared:
    """Compute the discrete Fourier transform along an axis (Array API: fft.fft)."""
    return _prepare("fft", x, n, axis, norm, to_complex=True)


@op(
    "fft.ifft",
    "complex floating-point",
    lambda g, x_shape, axis, norm: _fitted(ifft(g, axis=axis, norm=norm), x_shape[axis], axis),
    method=False,
)
def ifft(x: Tensor, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Prepared:
    """Compute the inverse of `fft` (Array API: fft.ifft)."""
    return _prepare("ifft", x, n, axis, norm, to_complex=True)


def _whole_from_half(g: Tensor, shape: tuple[int, ...], n: int | None, axis: int, norm: str) -> Tensor:
    """The gradient of `rfft`: the missing half of the frequencies had no say."""
    length = shape[axis] if n is None else n
    return _fitted(real(fft(_fitted(g, length, axis), axis=axis, norm=norm)), shape[axis], axis)


@op(
    "fft.rfft",
    "real floating-point",
    lambda g, x_shape, n, axis, norm: _whole_from_half(g, x_shape, n, axis, norm),
    method=False,
)
def rfft(x: Tensor, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Prepared:
    """Compute the non-negative half of the transform of real values (Array API: fft.rfft)."""
    return _prepare("rfft", x, n, axis, norm, to_complex=False)


def _half_from_whole(g: Tensor, shape: tuple[int, ...], axis: int, norm: str) -> Tensor:
    """The gradient of `irfft`: every frequency counts twice but the first, and the last of an even length."""
    half = conj(rfft(g, axis=axis, norm=_OPPOSITE[norm]))
    length = half.shape[axis]
    place = reshape(arange(length, device=g.device), tuple(length if i == axis else 1 for i in range(g.ndim)))
    counts_once = place == 0
    if g.shape[axis] % 2 == 0:
        counts_once = logical_or(counts_once, place == length - 1)
    return _fitted(where(counts_once, half, 2 * half), shape[axis], axis)


@op(
    "fft.irfft",
    "complex floating-point",
    lambda g, x_shape, axis, norm: _half_from_whole(g, x_shape, axis, norm),
    method=False,
)
def irfft(x: Tensor, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Prepared:
    """Compute the inverse of `rfft`; by default `n` is twice the length of the axis less one (Array API: fft.irfft)."""
    return _prepare("irfft", x, n, axis, norm, to_complex=True)


def hfft(x: Tensor, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Tensor:
    """Compute the real transform of values whose other half is their conjugate (Array API: fft.hfft)."""
    check_tensor("hfft", x)
    _check_norm("hfft", norm)
    return irfft(conj(x), n=n, axis=axis, norm=_OPPOSITE[norm])


def ihfft(x: Tensor, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Tensor:
    """Compute the inverse of `hfft` (Array API: fft.ihfft)."""
    _check_norm("ihfft", norm)
    return conj(rfft(x, n=n, axis=axis, norm=_OPPOSITE[norm]))


for _transform in (fft, ifft, rfft, irfft, hfft, ihfft):
    _transform.__doc__ = f"{_transform.__doc__}" + _ARGUMENTS.format(
        dtype="a real one" if _transform in (rfft, ihfft) else "a real one becomes complex"
    )


def _sizes(
    name: str, x: Any, s: Sequence[int] | None, axes: Sequence[int] | None, *, needs_one: bool = False
) -> tuple[list[int | None], list[int]]:
    """How many points along which axes a transform of several has."""
    check_tensor(name, x)
    lengths = None if s is None else as_shape(name, s)
    if axes is None:
        chosen = list(range(0 if lengths is None else x.ndim - len(lengths), x.ndim))
    else:
        chosen = list(some_axes(name, axes, x.ndim))
    if lengths is not None and len(lengths) != len(chosen):
        raise ArgumentError(f"{name}: {len(lengths)} lengths were given for {len(chosen)} axes")
    if needs_one and not chosen:
        raise AxisError(f"{name}: there is no axis to transform")
    return [None] * len(chosen) if lengths is None else list(lengths), chosen


def fftn(
    x: Tensor, /, *, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str = "backward"
) -> Tensor:
    """Compute `fft` along several axes (Array API: fft.fftn).

    Arguments:
        x: tensor of a floating-point dtype.
        s: length of each transformed axis; by default their own.
        axes: the axes; by default the last `len(s)`, or all.
        norm: as for `fft`.
    """
    for n, axis in zip(*_sizes("fftn", x, s, axes), strict=True):
        x = fft(x, n=n, axis=axis, norm=norm)
    return x


def ifftn(
    x: Tensor, /, *, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str = "backward"
) -> Tensor:
    """Compute the inverse of `fftn` (Array API: fft.ifftn); arguments as there."""
    for n, axis in zip(*_sizes("ifftn", x, s, axes), strict=True):
        x = ifft(x, n=n, axis=axis, norm=norm)
    return x


def rfftn(
    x: Tensor, /, *, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str = "backward"
) -> Tensor:
    """Compute `rfft` along the last of several axes and `fft` along the others (Array API: fft.rfftn)."""
    lengths, chosen = _sizes("rfftn", x, s, axes, needs_one=True)
    x = rfft(x, n=lengths[-1], axis=chosen[-1], norm=norm)
    for n, axis in zip(lengths[:-1], chosen[:-1], strict=True):
        x = fft(x, n=n, axis=axis, norm=norm)
    return x


def irfftn(
    x: Tensor, /, *, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str = "backward"
) -> Tensor:
    """Compute the inverse of `rfftn` (Array API: fft.irfftn); arguments as for `fftn`."""
    lengths, chosen = _sizes("irfftn", x, s, axes, needs_one=True)
    for n, axis in zip(lengths[:-1], chosen[:-1], strict=True):
        x = ifft(x, n=n, axis=axis, norm=norm)
    return irfft(x, n=lengths[-1], axis=chosen[-1], norm=norm)


def fftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: Any = None) -> Tensor:
    """Compute the frequencies of the points of `fft` (Array API: fft.fftfreq).

    Arguments:
        n: number of points.
        d: distance of samples.
        dtype: by default the default floating-point dtype.
        device: by default the default device.
    """
    if (n := integer("fftfreq", "n", n)) < 1:
        raise ArgumentError(f"fftfreq: cannot transform {n} points")
    dtype = _data_types.Defaults.floating if dtype is None else dtype
    half = (n + 1) // 2
    ahead, behind = (arange(*bounds, dtype=dtype, device=device) for bounds in ((0, half), (-(n // 2), 0)))
    return concat([ahead, behind]) / (n * number("fftfreq", "d", d))


def rfftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: Any = None) -> Tensor:
    """Compute the frequencies of the points of `rfft` (Array API: fft.rfftfreq); arguments as for `fftfreq`."""
    if (n := integer("rfftfreq", "n", n)) < 1:
        raise ArgumentError(f"rfftfreq: cannot transform {n} points")
    dtype = _data_types.Defaults.floating if dtype is None else dtype
    return arange(0, n // 2 + 1, dtype=dtype, device=device) / (n * number("rfftfreq", "d", d))


def fftshift(x: Tensor, /, *, axes: int | Sequence[int] | None = None) -> Tensor:
    """Move the frequency 0 to the middle of axes, all of them by default (Array API: fft.fftshift)."""
    check_tensor("fftshift", x)
    chosen = some_axes("fftshift", axes, x.ndim)
    return roll(x, [x.shape[axis] // 2 for axis in chosen], axis=chosen) if chosen else x.clone()


def ifftshift(x: Tensor, /, *, axes: int | Sequence[int] | None = None) -> Tensor:
    """Undo `fftshift` (Array API: fft.ifftshift)."""
    check_tensor("ifftshift", x)
    chosen = some_axes("ifftshift", axes, x.ndim)
    return roll(x, [-(x.shape[axis] // 2) for axis in chosen], axis=chosen) if chosen else x.clone()


__all__ = public_names(vars())
