"""What a backward pass takes: time beside the same products in NumPy by hand, and peak memory, both beside PyTorch.

    python benchmarks/gradients.py

Each time is the median of interleaved runs on one thread. Each peak is that of the resident set during one forward and
backward above what stood before it, in a fresh process, where freed memory goes back to the system at once (Linux).
"""

import functools
import importlib.util
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
AT_ONCE = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
#: Rows and columns of the matrices of a chain, and how many there are.
CHAINS = [(128, 20), (256, 20), (512, 10)]
ROUNDS = 9


def chain_by_hand(x: Any, weights: list[Any]) -> list[Any]:
    """The gradients of the sum of x @ weights[0] @ weights[1] ... by each weight."""
    values = [x]
    for weight in weights:
        values.append(values[-1] @ weight)
    g, gradients = np.ones_like(values.pop()), []
    for weight in reversed(weights):
        x = values.pop()
        gradients.append(x.T @ g)
        if values:
            g = g @ weight.T
    return gradients[::-1]


def chain(x: Any, weights: list[Any]) -> list[Any]:
    """The same, recorded."""
    y = x
    for weight in weights:
        y = y @ weight
        weight.grad = None
    y.sum().backward()
    return [weight.grad for weight in weights]


def print_chains(peers: dict[str, Any]) -> None:
    """Time chains of products, forward and backward."""
    print(
        f"{'chain of products, ms':28}{'by hand':>12}" + "".join(f"{name:>12}" for name in peers) + f"{'over hand':>12}"
    )
    generator = np.random.default_rng(0)
    for size, count in CHAINS:
        x, *weights = (generator.standard_normal((count + 1, size, size)) / size**0.5).astype(np.float32)
        runs: dict[str, Callable[[], Any]] = {"by hand": functools.partial(chain_by_hand, x, weights)}
        for name, xp in peers.items():
            tracked = [xp.asarray(weight.copy()).requires_grad_() for weight in weights]
            runs[name] = functools.partial(chain, xp.asarray(x.copy()), tracked)
        expected = runs["by hand"]()
        for name in peers:
            for ours, theirs in zip(runs[name](), expected, strict=True):
                np.testing.assert_allclose(ours.tolist(), theirs, rtol=1e-2, atol=1e-3)
        taken: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(ROUNDS):
            for name, run in runs.items():
                start = time.perf_counter()
                run()
                taken[name].append(time.perf_counter() - start)
        found = {name: statistics.median(values) * 1e3 for name, values in taken.items()}
        over = 100 * (found["rustorch"] / found["by hand"] - 1)
        cells = "".join(f"{value:12.2f}" for value in found.values())
        print(f"{count:4} of {size:4} x {size:<12}  {cells}{over:11.1f}%", flush=True)


def perceptron(xp: Any, activation: str) -> tuple[Any, Any]:
    """Twelve layers of 512, and 4,096 rows for them."""
    layers = [layer for _ in range(12) for layer in (xp.nn.Linear(512, 512), getattr(xp.nn, activation)())]
    return xp.nn.Sequential(*layers), (4096, 512)


def transformer_block(xp: Any) -> tuple[Any, Any]:
    """Attention with 4 heads and a feed-forward part of 4 times the width, on 32 x 128 tokens of 256 numbers."""
    batch, length, width, heads = 32, 128, 256, 4
    nn, is_torch = xp.nn, xp.__name__ == "torch"
    softmax = nn.functional.softmax
    swap = xp.swapaxes

    class Block(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
            self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
            self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, x: Any) -> Any:
            h = self.before(x)
            shape = (batch, length, heads, width // heads)
            query, key, value = (swap(part(h).reshape(shape), 1, 2) for part in (self.query, self.key, self.value))
            scores = (query @ key.mT) * (width // heads) ** -0.5
            weights = softmax(scores, dim=-1) if is_torch else softmax(scores, axis=-1)
            x = x + self.out(swap(weights @ value, 1, 2).reshape((batch, length, width)))
            return x + self.narrow(nn.functional.gelu(self.widen(self.between(x))))

    return Block(), (batch, length, width)


MODELS: dict[str, Callable[[Any], tuple[Any, Any]]] = {
    "12 layers, ReLU": lambda xp: perceptron(xp, "ReLU"),
    "12 layers, Tanh": lambda xp: perceptron(xp, "Tanh"),
    "12 layers, GELU": lambda xp: perceptron(xp, "GELU"),
    "transformer block": transformer_block,
}


def resident(field: str) -> float:
    """A field of what the system says of this process's memory, in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise OSError(f"the system does not tell {field}")


def peak(library: str, name: str) -> float:
    """MiB above what stood before, at the peak of one forward and backward."""
    xp = __import__(library)
    model, shape = MODELS[name](xp)
    x = xp.ones(shape)
    for _ in range(3):  # the first loads code
        for parameter in model.parameters():
            parameter.grad = None
        before = resident("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")
        (model(x) ** 2).mean().backward()
    return resident("VmHWM") - before


def print_peaks(peers: dict[str, Any]) -> None:
    """Measure each model in a process of its own."""
    print(f"\n{'peak memory, MiB':28}" + "".join(f"{name:>12}" for name in peers))
    for model in MODELS:
        found = []
        for library in peers:
            command = [sys.executable, __file__, library, model]
            environment = {**os.environ, **ONE_THREAD, **AT_ONCE}
            found.append(
                float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
            )
        print(f"{model:28}" + "".join(f"{value:12.1f}" for value in found), flush=True)


def main() -> None:
    """Print the tables; with a library and a model, that one peak."""
    if len(sys.argv) == 3:
        print(peak(*sys.argv[1:]))
        return
    if any(os.environ.get(name) != value for name, value in ONE_THREAD.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ONE_THREAD})
    import rustorch

    peers: dict[str, Any] = {"rustorch": rustorch}
    if importlib.util.find_spec("torch"):
        import torch

        torch.set_num_threads(1)
        peers["torch"] = torch
    else:
        print("PyTorch is not installed, so it is not measured.")
    print_chains(peers)
    if Path("/proc/self/clear_refs").exists():
        print_peaks(peers)
    else:
        print("Peak memory is measured on Linux only.")


if __name__ == "__main__":
    main()
