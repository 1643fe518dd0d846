"""Convolutions and pooling, under PyTorch's names and state-dict keys."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from rustorch import random
from rustorch.nn import functional
from rustorch.nn._module import Module, Parameter
from rustorch_core._arguments import flag, integer, one_of
from rustorch_core._arrangement_functions import pad
from rustorch_core._tensor import Tensor
from rustorch_core._windows import one_for_each
from rustorch_core.errors import ArgumentError

_Lengths = int | Sequence[int]
#: What stands beyond the edge, and how `pad` calls it.
_PADDING_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


class _Convolution(Module):
    """What the convolutions of one, two and three axes have in common."""

    _axes: ClassVar[int]
    _function: ClassVar[Callable[..., Tensor]]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: _Lengths,
        stride: _Lengths = 1,
        padding: _Lengths | str = 0,
        dilation: _Lengths = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        generator: random.Generator | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        name = type(self).__name__
        self.in_channels, self.out_channels = one_for_each(name, "channels", (in_channels, out_channels), 2)
        self.groups = integer(name, "groups", groups)
        if self.groups < 1 or self.in_channels % self.groups or self.out_channels % self.groups:
            raise ArgumentError(f"{name}: groups={groups} does not divide {in_channels} and {out_channels} channels")
        self.kernel_size = one_for_each(name, "kernel_size", kernel_size, self._axes)
        self.stride = one_for_each(name, "stride", stride, self._axes)
        self.dilation = one_for_each(name, "dilation", dilation, self._axes)
        is_word = isinstance(padding, str)
        self.padding = (
            one_of(name, "padding", padding, ("valid", "same"))
            if is_word
            else one_for_each(name, "padding", padding, self._axes, least=0)
        )
        self.padding_mode = one_of(name, "padding_mode", padding_mode, _PADDING_MODES)
        shape = (self.out_channels, self.in_channels // self.groups, *self.kernel_size)
        draw = random._or_default(name, generator).uniform
        bound = 1 / math.sqrt(math.prod(shape[1:]))
        self.weight = Parameter(draw(-bound, bound, shape, device=device, dtype=dtype))
        has_bias = flag(name, "bias", bias)
        self.bias = Parameter(draw(-bound, bound, shape[:1], device=device, dtype=dtype)) if has_bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Compute the layer for `x` of shape (N, in_channels, ...) or (in_channels, ...)."""
        padding = self.padding
        if self.padding_mode != "zeros":
            x, padding = pad(x, self._borders(x), mode=_PADDING_MODES[self.padding_mode]), 0
        return type(self)._function(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)

    def _borders(self, x: Tensor) -> list[tuple[int, int]]:
        """What is added before and behind each axis of `x`."""
        if self.padding == "same":
            totals = [gap * (size - 1) for size, gap in zip(self.kernel_size, self.dilation, strict=True)]
            borders = [(total // 2, total - total // 2) for total in totals]
        else:
            borders = [(each, each) for each in ((0,) * self._axes if self.padding == "valid" else self.padding)]
        return [(0, 0)] * (x.ndim - self._axes) + borders

    def extra_repr(self) -> str:
        shown = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"]
        others = {"padding": (0,) * self._axes, "dilation": (1,) * self._axes, "groups": 1, "padding_mode": "zeros"}
        shown += [f"{name}={getattr(self, name)!r}" for name, usual in others.items() if getattr(self, name) != usual]
        return ", ".join([*shown, *["bias=False"] * (self.bias is None)])


class Conv1d(_Convolution):
    """Correlate signals, (N, C, L), with kernels and add a bias (PyTorch: nn.Conv1d); arguments as for `Conv2d`."""

    _axes, _function = 1, functional.conv1d


class Conv2d(_Convolution):
    """Correlate images, (N, C, H, W), with kernels and add a bias (PyTorch: nn.Conv2d).

    Arguments:
        in_channels: channels of the input.
        out_channels: channels of the output, one for each kernel.
        kernel_size: lengths of a kernel, one integer or one for each axis.
        stride: the step of the kernels, likewise.
        padding: what is added on both sides of each axis, likewise; or "valid" or "same".
        dilation: the step between a kernel's places, likewise.
        groups: into how many groups the channels fall that have nothing to do with each other.
        bias: whether to add a bias.
        padding_mode: "zeros", "reflect", "replicate" or "circular".
        generator: where the initial values come from; by default the one that `rustorch.random.seed` sets.
        device: by default the default device.
        dtype: by default the default floating-point dtype.

    Source: initial values uniform within 1 / sqrt(in_channels / groups * elements of a kernel), as PyTorch's.
    """

    _axes, _function = 2, functional.conv2d


class Conv3d(_Convolution):
    """Correlate volumes, (N, C, D, H, W), with kernels and add a bias; arguments as for `Conv2d`."""

    _axes, _function = 3, functional.conv3d


class _MaxPool(Module):
    """What the largest elements of windows along one and two axes have in common."""

    _function: ClassVar[Callable[..., Tensor]]

    def __init__(
        self,
        kernel_size: _Lengths,
        stride: _Lengths | None = None,
        padding: _Lengths = 0,
        dilation: _Lengths = 1,
        *,
        ceil_mode: bool = False,
    ) -> None:
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.dilation, self.ceil_mode = padding, dilation, ceil_mode

    def forward(self, x: Tensor) -> Tensor:
        """Compute the layer for `x` of shape (N, C, ...) or (C, ...)."""
        return type(self)._function(x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in vars(self).items() if name != "training")


class MaxPool1d(_MaxPool):
    """The largest element of each window of signals; arguments as for `functional.max_pool1d`."""

    _function = functional.max_pool1d


class MaxPool2d(_MaxPool):
    """The largest element of each window of images; arguments as for `functional.max_pool2d`."""

    _function = functional.max_pool2d


class AvgPool1d(Module):
    """The mean of each window of signals; arguments as for `functional.avg_pool1d`."""

    def __init__(
        self,
        kernel_size: _Lengths,
        stride: _Lengths | None = None,
        padding: _Lengths = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        self.kernel_size, self.stride, self.padding = kernel_size, kernel_size if stride is None else stride, padding
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, x: Tensor) -> Tensor:
        """Compute the layer for `x` of shape (N, C, L) or (C, L)."""
        return functional.avg_pool1d(
            x, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool2d(Module):
    """The mean of each window of images; arguments as for `functional.avg_pool2d`."""

    def __init__(
        self,
        kernel_size: _Lengths,
        stride: _Lengths | None = None,
        padding: _Lengths = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        self.kernel_size, self.stride, self.padding = kernel_size, kernel_size if stride is None else stride, padding
        self.ceil_mode, self.count_include_pad, self.divisor_override = ceil_mode, count_include_pad, divisor_override

    def forward(self, x: Tensor) -> Tensor:
        """Compute the layer for `x` of shape (N, C, H, W) or (C, H, W)."""
        return functional.avg_pool2d(
            x,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AdaptiveAvgPool2d(Module):
    """Means of images in as many windows as the result is to have; `output_size` as in PyTorch."""

    def __init__(self, output_size: int | Sequence[int | None]) -> None:
        self.output_size = output_size

    def forward(self, x: Tensor) -> Tensor:
        """Compute the layer for `x` of shape (N, C, H, W) or (C, H, W)."""
        return functional.adaptive_avg_pool2d(x, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"
