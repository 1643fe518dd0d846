"""Layers as functions (PyTorch: torch.nn.functional): those that core defines, and those that draw random numbers."""

from __future__ import annotations

from rustorch import random
from rustorch_core import _sequence_functions
from rustorch_core._arguments import flag, number
from rustorch_core._convolution_functions import conv1d, conv2d, conv3d
from rustorch_core._data_types import is_floating
from rustorch_core._dispatch import check_tensor
from rustorch_core._linear_algebra_functions import matmul
from rustorch_core._loss_functions import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    huber_loss,
    l1_loss,
    mse_loss,
    nll_loss,
    smooth_l1_loss,
)
from rustorch_core._neural_functions import (
    _dropout,
    elu,
    gelu,
    hardswish,
    leaky_relu,
    linear,
    log_softmax,
    mish,
    relu,
    relu6,
    selu,
    sigmoid,
    silu,
    softmax,
    softplus,
)
from rustorch_core._normalisation_functions import batch_norm, group_norm, layer_norm, rms_norm
from rustorch_core._pooling_functions import adaptive_avg_pool2d, avg_pool1d, avg_pool2d, max_pool1d, max_pool2d
from rustorch_core._sequence_functions import embedding
from rustorch_core._tensor import Tensor
from rustorch_core.errors import ArgumentError, DTypeError

__all__ = [
    "adaptive_avg_pool2d",
    "avg_pool1d",
    "avg_pool2d",
    "batch_norm",
    "binary_cross_entropy_with_logits",
    "conv1d",
    "conv2d",
    "conv3d",
    "cross_entropy",
    "dropout",
    "elu",
    "embedding",
    "gelu",
    "group_norm",
    "hardswish",
    "huber_loss",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log_softmax",
    "max_pool1d",
    "max_pool2d",
    "mish",
    "mse_loss",
    "nll_loss",
    "relu",
    "relu6",
    "rms_norm",
    "scaled_dot_product_attention",
    "selu",
    "sigmoid",
    "silu",
    "smooth_l1_loss",
    "softmax",
    "softplus",
]


def __dir__() -> list[str]:
    return __all__


def dropout(x: Tensor, p: float = 0.5, training: bool = True, *, generator: random.Generator | None = None) -> Tensor:
    """Make 0 of elements at random, and multiply the others by 1 / (1 - p) (Hinton et al. 2012; PyTorch: dropout).

    Arguments:
        x: tensor of a floating-point dtype.
        p: the probability that an element becomes 0.
        training: outside training `x` comes back as it is.
        generator: where the random numbers come from; by default the one that `rustorch.random.seed` sets.

    Raises:
        ArgumentError: for a `p` that is no probability.
        DTypeError: for another dtype.
    """
    check_tensor("dropout", x)
    if not 0 <= number("dropout", "p", p) <= 1:
        raise ArgumentError(f"dropout: p is a probability, from 0 to 1, met {p}")
    if not is_floating(x.dtype):
        raise DTypeError(f"dropout: {x.dtype} met, but floating-point dtypes are expected; use astype to convert")
    if not flag("dropout", "training", training) or p == 0:
        return x
    draws = random._or_default("dropout", generator).uniform(shape=x.shape, dtype="float32", device=x.device)
    return _dropout(x, draws >= p, scale=1 / (1 - p) if p < 1 else 0.0)


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
    *,
    generator: random.Generator | None = None,
) -> Tensor:
    """Let each query look at all keys, and take the mean of the values by how much (Vaswani et al. 2017).

    It is softmax(query @ key.mT * scale + attn_mask) @ value (PyTorch: scaled_dot_product_attention). The weights,
    queries times keys, are not kept for the gradient, unless they are dropped out of or the mask has a gradient.

    Arguments:
        query: tensor of a real floating-point dtype, (..., L, E).
        key: tensor of shape (..., S, E).
        value: tensor of shape (..., S, width).
        attn_mask: tensor that broadcasts to (..., L, S): boolean, True where a query may look; or added to the scores.
        dropout_p: the probability that a weight becomes 0; pass 0 outside training.
        is_causal: whether each query looks at no key that is further from the start than itself.
        scale: by default 1 / sqrt(E).
        enable_gqa: whether each head of keys and values, the third axis from the end, serves several of queries.
        generator: where the random numbers come from; by default the one that `rustorch.random.seed` sets.

    Returns:
        a tensor of shape (..., L, width); 0 for a query that may look at nothing.

    Raises:
        ShapeError: where shapes do not fit.
        ArgumentError: for a mask together with `is_causal`.
        DTypeError: for a mask that is neither boolean nor real.
    """
    given = _sequence_functions.read_attention(
        "scaled_dot_product_attention", query, key, value, attn_mask, is_causal, scale, enable_gqa
    )
    if not dropout_p:
        return _sequence_functions.attend(*given)
    query, key, value, *rest = given
    weights = _sequence_functions.attention_weights(query, key, *rest)
    return matmul(dropout(weights, dropout_p, generator=generator), value)
