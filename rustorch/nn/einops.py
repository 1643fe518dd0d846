"""The layers of einops, for models of ours: `Rearrange`, `Reduce` and `EinMix` (einops: layers).

Imports einops, which must be installed.
"""

from __future__ import annotations

from typing import Any

from einops.layers import RearrangeMixin, ReduceMixin
from einops.layers._einmix import _EinmixMixin

from rustorch import random
from rustorch.nn._module import Module, Parameter
from rustorch_core._product_functions import einsum
from rustorch_core._tensor import Tensor

__all__ = ["EinMix", "Rearrange", "Reduce"]


class Rearrange(RearrangeMixin, Module):
    """Apply `einops.rearrange` with one pattern."""

    def forward(self, x: Tensor) -> Tensor:
        """Rearrange a tensor."""
        return self._apply_recipe(x)


class Reduce(ReduceMixin, Module):
    """Apply `einops.reduce` with one pattern and reduction."""

    def forward(self, x: Tensor) -> Tensor:
        """Reduce a tensor."""
        return self._apply_recipe(x)


class EinMix(_EinmixMixin, Module):
    """Multiply by weights and sum over axes, as a pattern says; its arguments are those of einops' own layers."""

    def _create_parameters(self, weight_shape: Any, weight_bound: float, bias_shape: Any, bias_bound: float) -> None:
        draw = random.default_generator().uniform
        self.weight = Parameter(draw(-weight_bound, weight_bound, tuple(weight_shape)))
        self.bias = None if bias_shape is None else Parameter(draw(-bias_bound, bias_bound, tuple(bias_shape)))

    def _create_rearrange_layers(
        self, pre_pattern: str | None, pre_lengths: dict[str, int] | None, post_pattern: str | None, post_lengths: Any
    ) -> None:
        self.pre_rearrange = None if pre_pattern is None else Rearrange(pre_pattern, **(pre_lengths or {}))
        self.post_rearrange = None if post_pattern is None else Rearrange(post_pattern, **(post_lengths or {}))

    def forward(self, x: Tensor) -> Tensor:
        """Mix a tensor with the weights."""
        x = x if self.pre_rearrange is None else self.pre_rearrange(x)
        x = einsum(self.einsum_pattern, x, self.weight)
        x = x if self.bias is None else x + self.bias
        return x if self.post_rearrange is None else self.post_rearrange(x)
