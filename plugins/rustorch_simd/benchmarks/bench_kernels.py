"""Time each kernel beside NumPy's composition, and beside PyTorch where it can be imported, on one thread.

    python benchmarks/bench_kernels.py [--targets avx2 ...] [--kernels gelu ...] [--rounds 30]

The contestants take turns, so that a machine that slows down slows all of them; a figure is the median over the
rounds, and a ratio its peer's time over the kernel's: above 1 the kernel is faster.
"""

import argparse
import math
import statistics
import time

import numpy as np
from rustorch_simd import _kernels

try:
    import torch
except ImportError:
    torch = None
else:
    torch.set_num_threads(1)
    functional = torch.nn.functional
try:
    from scipy.special import erf
except ImportError:
    erf = np.vectorize(math.erf, otypes=[np.float32])

SIZES = (1_000, 100_000, 1_000_000)
ROW = 1_000
F = np.float32


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def silu_gradient(g, x):
    s = sigmoid(x)
    return g * (s + x * s * (1 - s))


def gelu_gradient(g, x):
    return g * (F(0.5) * (1 + erf(x * F(0.5**0.5))) + x * np.exp(F(-0.5) * x * x) * F(1 / math.sqrt(2 * math.pi)))


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def log_softmax(x):
    shifted = x - x.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def layer_norm(x, weight, bias, eps=1e-5):
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + F(eps)) * weight + bias


# kernel: arrays it takes, NumPy's composition, PyTorch's function, attributes
PEERS = {
    "exp": ("x", np.exp, lambda x: torch.exp(x), {}),
    "tanh": ("x", np.tanh, lambda x: torch.tanh(x), {}),
    "erf": ("x", erf, lambda x: torch.erf(x), {}),
    "relu": ("x", lambda x: np.maximum(x, 0), lambda x: torch.relu(x), {}),
    "relu_gradient": (
        "gx",
        lambda g, y: np.where(y > 0, g, 0),
        lambda g, y: torch.ops.aten.threshold_backward(g, y, 0),
        {},
    ),
    "sigmoid": ("x", sigmoid, lambda x: torch.sigmoid(x), {}),
    "silu": ("x", lambda x: x * sigmoid(x), lambda x: functional.silu(x), {}),
    "silu_gradient": ("gx", silu_gradient, lambda g, x: torch.ops.aten.silu_backward(g, x), {}),
    "gelu": ("x", lambda x: F(0.5) * x * (1 + erf(x * F(0.5**0.5))), lambda x: functional.gelu(x), {}),
    "gelu tanh": (
        "x",
        lambda x: F(0.5) * x * (1 + np.tanh(F(math.sqrt(2 / math.pi)) * (x + F(0.044715) * x * x * x))),
        lambda x: functional.gelu(x, approximate="tanh"),
        {"approximate": "tanh"},
    ),
    "gelu_gradient": ("gx", gelu_gradient, lambda g, x: torch.ops.aten.gelu_backward(g, x), {}),
    "softmax": ("x", softmax, lambda x: torch.softmax(x, -1), {}),
    "softmax_gradient": (
        "gx",
        lambda g, y: y * (g - (g * y).sum(axis=-1, keepdims=True)),
        lambda g, y: torch.ops.aten._softmax_backward_data(g, y, -1, torch.float32),
        {},
    ),
    "log_softmax": ("x", log_softmax, lambda x: torch.log_softmax(x, -1), {}),
    "log_softmax_gradient": (
        "gx",
        lambda g, y: g - np.exp(y) * g.sum(axis=-1, keepdims=True),
        lambda g, y: torch.ops.aten._log_softmax_backward_data(g, y, -1, torch.float32),
        {},
    ),
    "layer_norm": (
        "xwb",
        layer_norm,
        lambda x, w, b: functional.layer_norm(x, w.shape, w, b, 1e-5),
        {"eps": 1e-5},
    ),
}


def medians(contestants, rounds):
    """Median seconds a call for each contestant, which take turns of about a millisecond."""
    calls, samples = {}, {name: [] for name in contestants}
    for name, function in contestants.items():
        function()
        start = time.perf_counter()
        function()
        calls[name] = max(1, int(1e-3 / (time.perf_counter() - start)))
    for _ in range(rounds):
        for name, function in contestants.items():
            function()  # takes back the pages that the contestant before it gave to the system
            start = time.perf_counter()
            for _ in range(calls[name]):
                function()
            samples[name].append((time.perf_counter() - start) / calls[name])
    return {name: statistics.median(times) for name, times in samples.items()}


def on_target(target, kernel, arrays, attributes):
    def function():
        _kernels._select(target)
        return kernel(*arrays, **attributes)

    return function


def contestants_for(title, size, targets):
    letters, composition, torch_function, attributes = PEERS[title]
    random = np.random.default_rng(0)
    shapes = {"w": (ROW,), "b": (ROW,)}
    arrays = [random.standard_normal(shapes.get(letter, (size // ROW, ROW)), dtype=F) for letter in letters]
    kernel = getattr(_kernels, title.split()[0])
    contestants = {target: on_target(target, kernel, arrays, attributes) for target in targets}
    contestants["numpy"] = lambda: composition(*arrays)
    if torch is not None:
        tensors = [torch.from_numpy(array) for array in arrays]
        contestants["torch"] = lambda: torch_function(*tensors)
    return contestants


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--targets", nargs="+", default=_kernels.targets(), choices=_kernels.targets())
    parser.add_argument("--kernels", nargs="+", default=list(PEERS), choices=list(PEERS))
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    peers = ["numpy"] + ["torch"] * (torch is not None)
    print(f"{'kernel':<22}{'size':>9}  " + "".join(f"{name + ' us':>13}" for name in [*options.targets, *peers])
          + "  " + "".join(f"{peer + '/' + target:>16}" for peer in peers for target in options.targets))  # fmt: skip
    for title in options.kernels:
        for size in SIZES:
            times = medians(contestants_for(title, size, options.targets), options.rounds)
            ratios = [times[peer] / times[target] for peer in peers for target in options.targets]
            print(f"{title:<22}{size:>9}  " + "".join(f"{seconds * 1e6:>13.2f}" for seconds in times.values())
                  + "  " + "".join(f"{ratio:>16.2f}" for ratio in ratios), flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
