"""The first layers, under PyTorch's names and state-dict keys."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from rustorch import random
from rustorch.nn._module import Module, Parameter
from rustorch_core import _neural_functions as functions
from rustorch_core._arguments import flag
from rustorch_core._axes import as_shape
from rustorch_core._creation_functions import ones, zeros
from rustorch_core._elementwise_functions import tanh
from rustorch_core._tensor import Tensor


class Linear(Module):
    """Multiply by a matrix and add a bias: x @ weight.T + bias (PyTorch: nn.Linear).

    Arguments:
        in_features: length of the input's last axis.
        out_features: length of the output's last axis.
        bias: whether to add a bias.
        generator: where the initial values come from; by default the one that `rustorch.random.seed` sets.
        device: by default the default device.
        dtype: by default the default floating-point dtype.

    Source: initial values uniform within 1 / sqrt(in_features), as PyTorch's.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        generator: random.Generator | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        in_features, out_features = as_shape("Linear", (in_features, out_features))
        self.in_features, self.out_features = in_features, out_features
        draw = random._or_default("Linear", generator).uniform
        bound = 1 / math.sqrt(in_features) if in_features > 0 else 0.0
        options = {"device": device, "dtype": dtype}
        self.weight = Parameter(draw(-bound, bound, (out_features, in_features), **options))
        self.bias = Parameter(draw(-bound, bound, (out_features,), **options)) if flag("Linear", "bias", bias) else None

    def forward(self, x: Tensor) -> Tensor:
        """Compute the layer for `x` of shape (..., in_features)."""
        return functions.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, bias={self.bias is not None}"


class LayerNorm(Module):
    """Normalise the last axes, then scale and shift (PyTorch: nn.LayerNorm).

    Arguments:
        normalized_shape: lengths of the last axes.
        eps: added to the variance.
        device: by default the default device.
        dtype: by default the default floating-point dtype.
    """

    role = "norm"

    def __init__(
        self, normalized_shape: int | tuple[int, ...], eps: float = 1e-5, *, device: Any = None, dtype: Any = None
    ) -> None:
        self.normalized_shape = as_shape("LayerNorm", normalized_shape)
        self.eps = eps
        self.weight = Parameter(ones(self.normalized_shape, device=device, dtype=dtype))
        self.bias = Parameter(zeros(self.normalized_shape, device=device, dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        """Compute the layer for `x` that ends in `normalized_shape`."""
        return functions.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}"


class Sequential(Module):
    """Modules one after the other (PyTorch: nn.Sequential); `model[i]` and slices give them back."""

    def __init__(self, *modules: Module) -> None:
        for place, module in enumerate(modules):
            setattr(self, str(place), module)

    def forward(self, x: Any) -> Any:
        """Pass `x` through all modules."""
        for module in self.children():
            x = module(x)
        return x

    def __len__(self) -> int:
        return len(list(self.children()))

    def __iter__(self) -> Iterator[Module]:
        return self.children()

    def __getitem__(self, place: int | slice) -> Module:
        chosen = list(self.children())[place]
        return Sequential(*chosen) if isinstance(chosen, list) else chosen


class Flatten(Module):
    """Make one axis of all but the first (PyTorch: nn.Flatten)."""

    def forward(self, x: Tensor) -> Tensor:
        """Flatten `x` of shape (N, ...) to (N, product of the rest)."""
        flat: Tensor = x.reshape(x.shape[0], -1)
        return flat


class ReLU(Module):
    """The larger of each element and 0."""

    def forward(self, x: Tensor) -> Tensor:
        return functions.relu(x)


class GELU(Module):
    """x times the normal distribution function of x; `approximate` is "none" or "tanh"."""

    def __init__(self, approximate: str = "none") -> None:
        self.approximate = approximate

    def forward(self, x: Tensor) -> Tensor:
        return functions.gelu(x, approximate=self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class SiLU(Module):
    """x times the logistic function of x."""

    def forward(self, x: Tensor) -> Tensor:
        return functions.silu(x)


class Sigmoid(Module):
    """The logistic function."""

    def forward(self, x: Tensor) -> Tensor:
        return functions.sigmoid(x)


class Tanh(Module):
    """The hyperbolic tangent."""

    def forward(self, x: Tensor) -> Tensor:
        return tanh(x)


class Softmax(Module):
    """exp(x) / sum(exp(x)) along an axis (PyTorch names the argument `dim`)."""

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return functions.softmax(x, axis=self.dim)


class CrossEntropyLoss(Module):
    """The cross entropy between logits and classes; arguments as for `functional.cross_entropy`."""

    def __init__(self, *, reduction: str = "mean", label_smoothing: float = 0.0) -> None:
        self.reduction, self.label_smoothing = reduction, label_smoothing

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return functions.cross_entropy(logits, target, reduction=self.reduction, label_smoothing=self.label_smoothing)


class MSELoss(Module):
    """The mean squared difference; arguments as for `functional.mse_loss`."""

    def __init__(self, *, reduction: str = "mean") -> None:
        self.reduction = reduction

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        return functions.mse_loss(x, target, reduction=self.reduction)
