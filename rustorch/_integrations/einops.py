"""The backend by which `einops.rearrange` and its companions know tensors; einops finds it among its subclasses."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from einops._backends import AbstractBackend

import rustorch
from rustorch import Tensor


class RusTorchBackend(AbstractBackend):
    """What einops asks of an array library, beyond what it asks of every tensor."""

    framework_name = "rustorch"

    def is_appropriate_type(self, tensor: Any) -> bool:
        return isinstance(tensor, Tensor)

    def from_numpy(self, x: Any) -> Tensor:
        made = rustorch.asarray(x)
        return made.requires_grad_() if self.is_float_type(made) else made  # as its backend for PyTorch does

    def to_numpy(self, x: Tensor) -> Any:
        return x.detach().cpu().numpy()

    def arange(self, start: int, stop: int) -> Tensor:
        return rustorch.arange(start, stop)

    def transpose(self, x: Tensor, axes: Any) -> Tensor:
        return rustorch.permute_dims(x, axes)

    def stack_on_zeroth_dimension(self, tensors: list[Tensor]) -> Tensor:
        return rustorch.stack(tensors)

    def add_axis(self, x: Tensor, new_position: int) -> Tensor:
        return rustorch.expand_dims(x, axis=new_position)

    def add_axes(self, x: Tensor, n_axes: int, pos2len: dict[int, int]) -> Tensor:
        for position in pos2len:
            x = rustorch.expand_dims(x, axis=position)
        return rustorch.broadcast_to(x, tuple(pos2len.get(axis, length) for axis, length in enumerate(x.shape)))

    def tile(self, x: Tensor, repeats: tuple[int, ...]) -> Tensor:
        return rustorch.tile(x, repeats)

    def concat(self, tensors: Any, axis: int) -> Tensor:
        return rustorch.concat(list(tensors), axis=axis)

    def is_float_type(self, x: Tensor) -> bool:
        return rustorch.isdtype(x.dtype, ("real floating", "complex floating"))

    def einsum(self, pattern: str, *x: Tensor) -> Tensor:
        return rustorch.einsum(pattern, *x)

    def layers(self) -> ModuleType:
        from rustorch.nn import einops

        return einops
