"""Activations: elementwise functions, and softmax, as modules."""

from __future__ import annotations

from rustorch.nn import functional
from rustorch.nn._module import Module
from rustorch_core._elementwise_functions import tanh
from rustorch_core._tensor import Tensor


class ReLU(Module):
    """The larger of each element and 0."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x)


class GELU(Module):
    """x times the normal distribution function of x; `approximate` is "none" or "tanh"."""

    def __init__(self, approximate: str = "none") -> None:
        self.approximate = approximate

    def forward(self, x: Tensor) -> Tensor:
        return functional.gelu(x, approximate=self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class SiLU(Module):
    """x times the logistic function of x."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.silu(x)


class Sigmoid(Module):
    """The logistic function."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.sigmoid(x)


class Tanh(Module):
    """The hyperbolic tangent."""

    def forward(self, x: Tensor) -> Tensor:
        return tanh(x)


class Softmax(Module):
    """exp(x) / sum(exp(x)) along an axis (PyTorch names the argument `dim`)."""

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return functional.softmax(x, axis=self.dim)


class LogSoftmax(Module):
    """The logarithm of softmax along an axis (PyTorch names the argument `dim`)."""

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return functional.log_softmax(x, axis=self.dim)


class ReLU6(Module):
    """Each element brought between 0 and 6."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu6(x)


class Hardswish(Module):
    """x times relu6(x + 3) / 6."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.hardswish(x)


class Mish(Module):
    """x times tanh(softplus(x))."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.mish(x)


class SELU(Module):
    """The scaled exponential linear unit."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.selu(x)


class Softplus(Module):
    """log(1 + exp(x)) without overflow."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.softplus(x)


class ELU(Module):
    """x, and alpha * (exp(x) - 1) for negative elements."""

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        return functional.elu(x, self.alpha)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}"


class LeakyReLU(Module):
    """x, and negative_slope * x for negative elements."""

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = negative_slope

    def forward(self, x: Tensor) -> Tensor:
        return functional.leaky_relu(x, self.negative_slope)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}"
