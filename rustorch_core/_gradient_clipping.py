"""Gradients made smaller where they are too large, without waiting for the device."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from rustorch_core._arguments import number
from rustorch_core._autograd import no_grad
from rustorch_core._creation_functions import zeros
from rustorch_core._data_type_functions import astype, result_type
from rustorch_core._data_types import float32
from rustorch_core._elementwise_functions import clip, isfinite, minimum
from rustorch_core._linear_algebra_extension import vector_norm
from rustorch_core._manipulation_functions import stack
from rustorch_core._tensor import Tensor
from rustorch_core.errors import ArgumentError, GradientError, OperandError


@no_grad()
def get_total_norm(
    tensors: Iterable[Tensor] | Tensor, norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> Tensor:
    """The norm of all elements of some tensors, as if they were one vector (PyTorch: nn.utils.get_total_norm).

    Arguments:
        tensors: of floating-point numbers; on several devices the norm is on the first one's.
        norm_type: such as 2.0, or infinity for the largest size.
        error_if_nonfinite: raise for NaN and infinity, which waits for the device.

    Raises:
        GradientError: for a norm that is not finite, where that is asked for.
    """
    norm_type = number("get_total_norm", "norm_type", norm_type)
    given = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    # In half precision a sum of squares is soon too large.
    norms = [vector_norm(astype(each, result_type(each, float32)), ord=norm_type) for each in given if each.size]
    if not norms:
        return zeros(())
    together = [astype(each.to(norms[0].device), result_type(*norms)) for each in norms]
    total: Tensor = vector_norm(stack(together), ord=norm_type)
    if error_if_nonfinite and not bool(isfinite(total)):
        raise GradientError(f"clip_grad_norm_: the norm of all gradients is {total.item()}; no gradient was changed")
    return total


@no_grad()
def clip_grads_with_norm_(parameters: Iterable[Tensor] | Tensor, max_norm: float, total_norm: Tensor) -> None:
    """Scale gradients whose norm is known down to a norm (PyTorch: nn.utils.clip_grads_with_norm_)."""
    if not number("clip_grad_norm_", "max_norm", max_norm) >= 0:
        raise ArgumentError(f"clip_grad_norm_: max_norm is at least 0, met {max_norm}")
    factor = minimum(max_norm / (total_norm + 1e-6), 1.0)
    for parameter in _with_gradients("clip_grad_norm_", parameters):
        gradient = parameter.grad
        parameter.grad = (gradient * factor.to(device=gradient.device)).to(dtype=gradient.dtype)


def clip_grad_norm_(
    parameters: Iterable[Tensor] | Tensor,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scale the gradients of all parameters down to a norm, where theirs is larger (PyTorch: nn.utils.clip_grad_norm_).

    Arguments:
        parameters: whose `grad` is replaced; those without one are passed over.
        max_norm: the largest norm that stays.
        norm_type: such as 2.0, or infinity for the largest size.
        error_if_nonfinite: raise for NaN and infinity, which waits for the device; else they spread to all gradients.

    Returns:
        the norm before, on the device.

    Raises:
        GradientError: for a norm that is not finite, where that is asked for.
    """
    chosen = _with_gradients("clip_grad_norm_", parameters)
    total: Tensor = get_total_norm([parameter.grad for parameter in chosen], norm_type, error_if_nonfinite)
    clip_grads_with_norm_(chosen, max_norm, total)
    return total


@no_grad()
def clip_grad_value_(parameters: Iterable[Tensor] | Tensor, clip_value: float) -> None:
    """Bring every element of the gradients into [-clip_value, clip_value] (PyTorch: nn.utils.clip_grad_value_)."""
    bound = number("clip_grad_value_", "clip_value", clip_value)
    if not bound >= 0 or math.isinf(bound):
        raise ArgumentError(f"clip_grad_value_: clip_value is finite and at least 0, met {clip_value}")
    for parameter in _with_gradients("clip_grad_value_", parameters):
        parameter.grad = clip(parameter.grad, -bound, bound)


def _with_gradients(name: str, parameters: Any) -> list[Any]:
    given = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    for each in given:
        if not isinstance(each, Tensor):
            raise OperandError(f"{name}: expected parameters, met {type(each).__name__}")
    return [each for each in given if each.grad is not None]
