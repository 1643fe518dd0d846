"""What RusTorch reads at discovery: the kernels that this distribution adds to the cpu device."""

from __future__ import annotations

from rustorch_core.plugin import CallPath, Kernel, PluginContext, hookimpl

RUSTORCH_API = (1, 0)

NAMES = (
    "erf",
    "exp",
    "gelu",
    "gelu_gradient",
    "layer_norm",
    "log_softmax",
    "log_softmax_gradient",
    "sigmoid",
    "silu",
    "silu_gradient",
    "softmax",
    "softmax_gradient",
    "tanh",
)


@hookimpl
def rustorch_kernels(ctx: PluginContext) -> list[Kernel]:
    """One kernel for each name, for float32; a kernel declines the calls that it does not handle."""
    return [
        Kernel(op=name, device="cpu", load=f"rustorch_simd._kernels:{name}", dtypes=frozenset({"float32"}), rank=10)
        for name in NAMES
    ]


@hookimpl
def rustorch_call_paths(ctx: PluginContext) -> list[CallPath]:
    """The compiled shortcut of `+`, `-` and `*`."""
    return [CallPath(load="rustorch_simd._call_path:binary")]
