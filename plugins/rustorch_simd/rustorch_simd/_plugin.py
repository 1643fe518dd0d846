"""What RusTorch reads at discovery: the kernels that this distribution adds to the cpu device."""

from __future__ import annotations

import os
from typing import Any

from rustorch_core.plugin import CallPath, EnvironmentVariableError, HostRuntime, Kernel, PluginContext, hookimpl

RUSTORCH_API = (1, 0)

NAMES = (
    "erf",
    "exp",
    "gelu",
    "gelu_gradient",
    "layer_norm",
    "layer_norm_gradient",
    "log_softmax",
    "log_softmax_gradient",
    "relu",
    "relu_gradient",
    "rms_norm",
    "rms_norm_gradient",
    "sigmoid",
    "silu",
    "silu_gradient",
    "softmax",
    "softmax_gradient",
)
#: Of these the ones that decline no array of float32.
TOTAL = frozenset({"erf", "exp", "relu", "relu_gradient", "sigmoid", "silu", "silu_gradient"})

#: Ops whose loops are NumPy's own, on the plugin's threads; `_ufuncs.py` says which ufunc each is.
SHARED = (
    "abs",
    "acos",
    "acosh",
    "add",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "cbrt",
    "copysign",
    "cos",
    "cosh",
    "divide",
    "equal",
    "exp",
    "exp2",
    "expm1",
    "greater",
    "greater_equal",
    "hypot",
    "isfinite",
    "isinf",
    "isnan",
    "less",
    "less_equal",
    "log",
    "log10",
    "log1p",
    "log2",
    "logaddexp",
    "matmul",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "multiply",
    "negative",
    "not_equal",
    "prod",
    "reciprocal",
    "signbit",
    "sin",
    "sinh",
    "sqrt",
    "square",
    "subtract",
    "sum",
    "tan",
    "tanh",
    "times_transposed",
    "transposed_times",
)

#: Optimizers whose step is one call for all parameters.
OPTIMIZERS = (
    "adabelief",
    "adabound",
    "adadelta",
    "adagrad",
    "adam",
    "adamax",
    "adamw",
    "amsbound",
    "amsgrad",
    "asgd",
    "lamb",
    "lion",
    "nadam",
    "radam",
    "rmsprop",
    "rprop",
    "sgd",
)


def _check_forced_target() -> None:
    """A target that the user forces and that cannot run is heard at import; unforced, nothing is loaded yet."""
    forced = os.environ.get("RUSTORCH_SIMD")
    if forced:
        try:
            import rustorch_simd._kernels  # noqa: F401  it chooses its target as it loads
        except ImportError as error:
            raise EnvironmentVariableError(f"RUSTORCH_SIMD={forced!r}: {error}") from error


@hookimpl
def rustorch_kernels(ctx: PluginContext) -> list[Kernel]:
    """One kernel for each name, for float32; a kernel declines the calls that it does not handle.

    Raises:
        EnvironmentVariableError: where RUSTORCH_SIMD forces a target that this machine cannot run.
    """
    _check_forced_target()
    kernels = [
        Kernel(
            op=name,
            device="cpu",
            load=f"rustorch_simd._kernels:{name}",
            dtypes=frozenset({"float32"}),
            rank=10,
            declines=name not in TOTAL,
        )
        for name in NAMES
    ]
    both = frozenset({"float32", "float64"})
    # They take the place of NumPy's functions, and so come after any plugin's kernel.
    shared = [
        Kernel(op=name, device="cpu", load=f"rustorch_simd._ufuncs:{name}", dtypes=both, rank=-10, declines=False)
        for name in SHARED
    ]
    steps = [
        Kernel(op=f"optim.{name}", device="cpu", load=f"rustorch_simd._steps:{name}", dtypes=both, rank=10)
        for name in OPTIMIZERS
    ]
    return kernels + shared + steps


@hookimpl
def rustorch_call_paths(ctx: PluginContext) -> list[CallPath]:
    """The compiled form of the path that every call takes."""
    return [CallPath(load="rustorch_simd._call_path:Path")]


@hookimpl
def rustorch_host_runtimes(ctx: PluginContext) -> list[HostRuntime]:
    """The threads that share large kernels, and the pool of array memory."""
    return [HostRuntime(load=load_runtime)]


def load_runtime() -> Any:
    """The kernels' module, which has both."""
    from rustorch_simd import _kernels

    return _kernels
