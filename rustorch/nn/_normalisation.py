"""Layers that normalise, under PyTorch's names and state-dict keys."""

from __future__ import annotations

from typing import Any, ClassVar

from rustorch.nn import functional
from rustorch.nn._module import Module, Parameter
from rustorch_core._arguments import flag, integer
from rustorch_core._autograd import no_grad
from rustorch_core._axes import as_shape
from rustorch_core._creation_functions import ones, zeros
from rustorch_core._tensor import Tensor
from rustorch_core.errors import ArgumentError, ShapeError


class LayerNorm(Module):
    """Normalise the last axes, then scale and shift (PyTorch: nn.LayerNorm).

    Arguments:
        normalized_shape: lengths of the last axes.
        eps: added to the variance.
        elementwise_affine: whether to scale and shift.
        bias: whether to shift.
        device: by default the default device.
        dtype: by default the default floating-point dtype.
    """

    role = "norm"

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        self.normalized_shape = as_shape("LayerNorm", normalized_shape)
        self.eps = eps
        has_weight = flag("LayerNorm", "elementwise_affine", elementwise_affine)
        has_bias = has_weight and flag("LayerNorm", "bias", bias)
        options = {"device": device, "dtype": dtype}
        self.weight = Parameter(ones(self.normalized_shape, **options)) if has_weight else None
        self.bias = Parameter(zeros(self.normalized_shape, **options)) if has_bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Compute the layer for `x` that ends in `normalized_shape`."""
        return functional.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}"


class RMSNorm(Module):
    """Divide by the root of the mean square of the last axes, then scale (PyTorch: nn.RMSNorm).

    Arguments:
        normalized_shape: lengths of the last axes.
        eps: added to the mean square; by default the dtype's own eps.
        elementwise_affine: whether to scale.
        device: by default the default device.
        dtype: by default the default floating-point dtype.
    """

    role = "norm"

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        eps: float | None = None,
        elementwise_affine: bool = True,
        *,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        self.normalized_shape, self.eps = as_shape("RMSNorm", normalized_shape), eps
        has_weight = flag("RMSNorm", "elementwise_affine", elementwise_affine)
        self.weight = Parameter(ones(self.normalized_shape, device=device, dtype=dtype)) if has_weight else None

    def forward(self, x: Tensor) -> Tensor:
        """Compute the layer for `x` that ends in `normalized_shape`."""
        return functional.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}"


class GroupNorm(Module):
    """Normalise groups of channels, each example by itself, then scale and shift (PyTorch: nn.GroupNorm).

    Arguments:
        num_groups: into how many groups the channels fall.
        num_channels: how many channels there are.
        eps: added to the variance.
        affine: whether to scale and shift.
        device: by default the default device.
        dtype: by default the default floating-point dtype.

    Raises:
        ArgumentError: where the groups do not divide the channels.
    """

    role = "norm"

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        *,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        self.num_groups = integer("GroupNorm", "num_groups", num_groups)
        self.num_channels, self.eps = integer("GroupNorm", "num_channels", num_channels), eps
        if self.num_groups < 1 or self.num_channels % self.num_groups:
            raise ArgumentError(f"GroupNorm: num_groups={num_groups} does not divide num_channels={num_channels}")
        is_affine = flag("GroupNorm", "affine", affine)
        self.weight = Parameter(ones(self.num_channels, device=device, dtype=dtype)) if is_affine else None
        self.bias = Parameter(zeros(self.num_channels, device=device, dtype=dtype)) if is_affine else None

    def forward(self, x: Tensor) -> Tensor:
        """Compute the layer for `x` of shape (N, num_channels, ...)."""
        return functional.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}"


class _BatchNorm(Module):
    """What the batch normalisations of signals, images and volumes have in common."""

    role = "norm"
    _ndims: ClassVar[tuple[int, ...]]

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        name, options = type(self).__name__, {"device": device, "dtype": dtype}
        self.num_features, self.eps, self.momentum = integer(name, "num_features", num_features), eps, momentum
        is_affine, is_tracking = flag(name, "affine", affine), flag(name, "track_running_stats", track_running_stats)
        self.weight = Parameter(ones(self.num_features, **options)) if is_affine else None
        self.bias = Parameter(zeros(self.num_features, **options)) if is_affine else None
        self.register_buffer("running_mean", zeros(self.num_features, **options) if is_tracking else None)
        self.register_buffer("running_var", ones(self.num_features, **options) if is_tracking else None)
        count = zeros((), dtype="int64", device=device) if is_tracking else None
        self.register_buffer("num_batches_tracked", count)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the layer for `x` of shape (N, num_features, ...); training moves the running values."""
        if x.ndim not in self._ndims:
            form = " or ".join(map(str, self._ndims))
            raise ShapeError(f"{type(self).__name__}: expected a tensor with {form} axes, met one of shape {x.shape}")
        momentum = self.momentum
        if self.training and self.num_batches_tracked is not None:
            with no_grad():
                self.num_batches_tracked += 1
            momentum = 1 / int(self.num_batches_tracked) if momentum is None else momentum
        uses_batch = self.training or self.running_mean is None
        return functional.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, uses_batch, momentum or 0.0, self.eps
        )

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}"


class BatchNorm1d(_BatchNorm):
    """Normalise each channel over a batch of rows or signals; arguments as for `BatchNorm2d`."""

    _ndims = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Normalise each channel over a batch of images, then scale and shift (PyTorch: nn.BatchNorm2d).

    Arguments:
        num_features: how many channels there are.
        eps: added to the variance.
        momentum: the part of the new running values that comes from the batch; None for the mean of all batches.
        affine: whether to scale and shift.
        track_running_stats: whether to keep running values, which stand for the batch's own in evaluation.
        device: by default the default device.
        dtype: by default the default floating-point dtype.
    """

    _ndims = (4,)


class BatchNorm3d(_BatchNorm):
    """Normalise each channel over a batch of volumes; arguments as for `BatchNorm2d`."""

    _ndims = (5,)
