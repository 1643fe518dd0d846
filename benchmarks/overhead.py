"""What a call costs: tensors of one element beside NumPy and, where it is installed, PyTorch, interleaved in one run.

    python benchmarks/overhead.py

Each figure is the median of many short runs; `times` is the ratio to NumPy's median.
"""

import importlib.util
import statistics
import subprocess
import sys
import timeit
from typing import Any

import numpy as np

import rustorch as rt

#: One- and two-argument functions, and what else a program says most.
STATEMENTS = [
    "a + b", "a * 2.0", "xp.add(a, b)", "xp.maximum(a, b)", "xp.exp(a)", "xp.sin(a)", "abs(a)", "a < b", "xp.sum(m)",
    "xp.max(m)", "xp.matmul(m, n)", "xp.reshape(m, (4, 3))", "m.T", "a[0]", "m[0]", "m[1:, ::2]", "m[0] = 1.0",
    "a.__iadd__(b)",
]  # fmt: skip
RECORDED = ["a + b", "a * b", "xp.exp(a)", "xp.matmul(m, n)", "m[0]"]
ROUNDS, SECONDS = 41, 0.004


def medians(statement: str, spaces: dict[str, dict[str, object]]) -> dict[str, float]:
    """Seconds for one execution in each namespace, taken in turns so that noise meets all alike."""
    timers = {name: timeit.Timer(statement, globals=space) for name, space in spaces.items()}
    counts = {name: max(1, int(SECONDS / (timer.timeit(50) / 50))) for name, timer in timers.items()}
    taken: dict[str, list[float]] = {name: [] for name in timers}
    for _ in range(ROUNDS):
        for name, timer in timers.items():
            taken[name].append(timer.timeit(counts[name]) / counts[name])
    return {name: statistics.median(values) for name, values in taken.items()}


def import_seconds(module: str) -> float:
    """Seconds to import a module in a fresh process, its start left out."""
    program = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    return float(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout)


def operands(xp: Any, **options: Any) -> dict[str, Any]:
    """What the statements speak of."""
    return {"xp": xp, "a": xp.ones(1, **options), "b": xp.ones(1, **options), "m": xp.ones((3, 4), **options),
            "n": xp.ones((4, 3), **options)}  # fmt: skip


def tracked(xp: Any) -> dict[str, Any]:
    """The same, taking part in a gradient."""
    space = operands(xp)
    return {name: value.requires_grad_() if name != "xp" else value for name, value in space.items()}


def perceptron(xp: Any) -> dict[str, object]:
    """A forward and backward of a perceptron so small that it costs nothing but Python's time."""
    layers = [layer for _ in range(4) for layer in (xp.nn.Linear(16, 16), xp.nn.ReLU())]
    model, x = xp.nn.Sequential(*layers), xp.ones((4, 16))

    def forward() -> Any:
        return (model(x) ** 2).mean()

    kept = forward()
    return {
        "forward": forward,
        "step": lambda: forward().backward(),
        "backward": lambda: kept.backward(retain_graph=True),
    }


def main() -> None:
    """Print the tables."""
    spaces = {"numpy": operands(np, dtype=np.float32), "rustorch": operands(rt)}
    recorded, steps = {"rustorch": tracked(rt)}, {"rustorch": perceptron(rt)}
    if importlib.util.find_spec("torch"):
        import torch

        torch.set_num_threads(1)
        spaces["torch"], recorded["torch"] = operands(torch), tracked(torch)
        steps["torch"] = perceptron(torch)
    else:
        print("PyTorch is not installed, so it is not measured.")
    medians("a + b", spaces)
    compiled = type(rt.Tensor.__add__).__name__ != "function"
    print(f"The shortcut of + is {'compiled (rustorch_simd)' if compiled else 'in Python'}.\n")
    print(f"{'ns, median':28}" + "".join(f"{name:>12}{'times':>8}" for name in spaces) + f"{'over NumPy':>14}")
    for statement in STATEMENTS:
        found = medians(statement, spaces)
        cells = [f"{found[name] * 1e9:12.0f}{found[name] / found['numpy']:8.2f}" for name in spaces]
        above = (found["rustorch"] - found["numpy"]) * 1e9
        print(f"{statement:28}" + "".join(cells) + f"{above:14.0f}", flush=True)
    print(f"\n{'ns, with gradient':28}" + "".join(f"{name:>12}" for name in recorded))
    for statement in RECORDED:
        found = medians(statement, recorded)
        print(f"{statement:28}" + "".join(f"{value * 1e9:12.0f}" for value in found.values()), flush=True)
    for statement, name in (("forward()", "perceptron"), ("backward()", "its backward"), ("step()", "both")):
        found = medians(statement, steps)
        print(f"{name:28}" + "".join(f"{value * 1e9:12.0f}" for value in found.values()), flush=True)
    imports: dict[str, list[float]] = {module: [] for module in ("numpy", "rustorch")}
    for _ in range(15):
        for module, values in imports.items():
            values.append(import_seconds(module))
    first, second = (statistics.median(values) * 1e3 for values in imports.values())
    print(f"\nimport numpy {first:.0f} ms, import rustorch {second:.0f} ms: {second - first:.0f} ms above")


if __name__ == "__main__":
    main()
