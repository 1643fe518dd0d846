"""Layers and losses under PyTorch's names."""

from rustorch.nn import functional, utils
from rustorch.nn._layers import (
    GELU,
    CrossEntropyLoss,
    Flatten,
    LayerNorm,
    Linear,
    MSELoss,
    ReLU,
    Sequential,
    Sigmoid,
    SiLU,
    Softmax,
    Tanh,
)
from rustorch.nn._module import Module, Parameter

__all__ = [
    "GELU",
    "CrossEntropyLoss",
    "Flatten",
    "LayerNorm",
    "Linear",
    "MSELoss",
    "Module",
    "Parameter",
    "ReLU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "functional",
    "utils",
]
