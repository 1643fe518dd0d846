"""Layers as functions (PyTorch: torch.nn.functional); the ones that core defines, under their names there."""

from rustorch_core._neural_functions import (
    cross_entropy,
    gelu,
    layer_norm,
    linear,
    log_softmax,
    mse_loss,
    relu,
    sigmoid,
    silu,
    softmax,
    softplus,
)

__all__ = [
    "cross_entropy",
    "gelu",
    "layer_norm",
    "linear",
    "log_softmax",
    "mse_loss",
    "relu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
]
