"""The plain layers, under PyTorch's names and state-dict keys."""

from __future__ import annotations

import math
from typing import Any

from rustorch import random
from rustorch.nn import functional
from rustorch.nn._module import Module, Parameter
from rustorch_core._arguments import flag, number
from rustorch_core._autograd import no_grad
from rustorch_core._axes import as_shape, one_axis
from rustorch_core._sequence_functions import row_of_padding
from rustorch_core._tensor import Tensor
from rustorch_core.errors import ArgumentError


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
        return functional.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, bias={self.bias is not None}"


class Embedding(Module):
    """Pick a row of a table for each index (PyTorch: nn.Embedding).

    Arguments:
        num_embeddings: how many rows the table has.
        embedding_dim: the length of a row.
        padding_idx: a row that begins as 0 and gets no gradient; negative ones count from the end.
        generator: where the initial values come from; by default the one that `rustorch.random.seed` sets.
        device: by default the default device.
        dtype: by default the default floating-point dtype.

    Source: initial values normal with mean 0 and deviation 1, as PyTorch's.
    """

    role = "embedding"

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        *,
        generator: random.Generator | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        self.num_embeddings, self.embedding_dim = as_shape("Embedding", (num_embeddings, embedding_dim))
        self.padding_idx = row_of_padding("Embedding", padding_idx, self.num_embeddings)
        draw = random._or_default("Embedding", generator).normal
        self.weight = Parameter(draw(0.0, 1.0, (self.num_embeddings, self.embedding_dim), device=device, dtype=dtype))
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx] = 0.0

    @classmethod
    def from_pretrained(cls, embeddings: Tensor, freeze: bool = True, padding_idx: int | None = None) -> Embedding:
        """A layer on a table that is there already, which no optimizer changes where it is frozen."""
        made = cls.__new__(cls)
        made.weight = Parameter(embeddings, requires_grad=not flag("from_pretrained", "freeze", freeze))
        made.num_embeddings, made.embedding_dim = embeddings.shape
        made.padding_idx = row_of_padding("from_pretrained", padding_idx, made.num_embeddings)
        return made

    def forward(self, indices: Tensor) -> Tensor:
        """Compute the layer for a tensor of integers."""
        return functional.embedding(indices, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"


def probability(name: str, argument: str, value: Any) -> float:
    """An argument that is a probability.

    Raises:
        ArgumentError: where it is not from 0 to 1.
    """
    if not 0 <= number(name, argument, value) <= 1:
        raise ArgumentError(f"{name}: {argument} is a probability, from 0 to 1, met {value}")
    return float(value)


class Dropout(Module):
    """In training make 0 of elements at random, and multiply the others by 1 / (1 - p) (PyTorch: nn.Dropout).

    Arguments:
        p: the probability that an element becomes 0.
        generator: where the random numbers come from; by default the one that `rustorch.random.seed` sets.
    """

    def __init__(self, p: float = 0.5, *, generator: random.Generator | None = None) -> None:
        self.p, self.generator = probability("Dropout", "p", p), generator

    def forward(self, x: Tensor) -> Tensor:
        """Compute the layer for `x` of any shape."""
        return functional.dropout(x, self.p, self.training, generator=self.generator)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class Identity(Module):
    """Return the input as it is; takes any arguments, as PyTorch's does."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def forward(self, x: Any) -> Any:
        """Return `x`."""
        return x


class Flatten(Module):
    """Make one axis of several (PyTorch: nn.Flatten).

    Arguments:
        start_dim: the first of them.
        end_dim: the last of them.
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Tensor) -> Tensor:
        """Flatten `x` of shape (N, ...) to (N, product of the rest)."""
        first = one_axis("Flatten", self.start_dim, max(x.ndim, 2)) if x.ndim else 0
        last = one_axis("Flatten", self.end_dim, max(x.ndim, 2)) if x.ndim else 0
        flat: Tensor = x.reshape(*x.shape[:first], math.prod(x.shape[first : last + 1]), *x.shape[last + 1 :])
        return flat

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"
