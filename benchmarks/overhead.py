"""What a call costs: tensors of one element beside NumPy and, where it is installed, PyTorch, interleaved in one run.

    python benchmarks/overhead.py

Each figure is the median of many short runs; `times` is the ratio to NumPy's median.
"""

import importlib.util
import statistics
import subprocess
import sys
import timeit

import numpy as np

import rustorch as rt

STATEMENTS = ["a + b", "a * 2.0", "xp.sin(a)", "xp.sum(a)", "xp.reshape(a, (1, 1))", "a[0]"]
ROUNDS, SECONDS = 41, 0.004


def medians(statement: str, spaces: dict[str, dict[str, object]]) -> dict[str, float]:
    """Seconds for one execution in each namespace, taken in turns so that noise meets all alike."""
    timers = {name: timeit.Timer(statement, globals=space) for name, space in spaces.items()}
    counts = {name: max(1, int(SECONDS / (timer.timeit(1000) / 1000))) for name, timer in timers.items()}
    taken: dict[str, list[float]] = {name: [] for name in timers}
    for _ in range(ROUNDS):
        for name, timer in timers.items():
            taken[name].append(timer.timeit(counts[name]) / counts[name])
    return {name: statistics.median(values) for name, values in taken.items()}


def import_seconds(module: str) -> float:
    """Seconds to import a module in a fresh process, its start left out."""
    program = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    return float(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout)


def main() -> None:
    """Print the table."""
    spaces: dict[str, dict[str, object]] = {
        "numpy": {"xp": np, "a": np.ones(1, np.float32), "b": np.ones(1, np.float32)},
        "rustorch": {"xp": rt, "a": rt.ones(1), "b": rt.ones(1)},
    }
    recorded = {"rustorch": {**spaces["rustorch"], "a": rt.ones(1).requires_grad_()}}
    if importlib.util.find_spec("torch"):
        import torch

        spaces["torch"] = {"xp": torch, "a": torch.ones(1), "b": torch.ones(1)}
        recorded["torch"] = {**spaces["torch"], "a": torch.ones(1).requires_grad_()}
    else:
        print("PyTorch is not installed, so it is not measured.")
    medians("a + b", spaces)
    compiled = type(rt.Tensor.__add__).__name__ != "function"
    print(f"The shortcut of + is {'compiled (rustorch_simd)' if compiled else 'in Python'}.\n")
    print(f"{'statement':28}" + "".join(f"{name + ' ns':>14}{'times':>8}" for name in spaces))
    for statement in STATEMENTS:
        found = medians(statement, spaces)
        cells = [f"{found[name] * 1e9:14.0f}{found[name] / found['numpy']:8.2f}" for name in spaces]
        print(f"{statement:28}" + "".join(cells), flush=True)
    for name, value in medians("a + b", recorded).items():
        print(f"a + b with gradient, {name}: {value * 1e9:.0f} ns")
    imports: dict[str, list[float]] = {module: [] for module in ("numpy", "rustorch")}
    for _ in range(15):
        for module, values in imports.items():
            values.append(import_seconds(module))
    first, second = (statistics.median(values) * 1e3 for values in imports.values())
    print(f"import numpy {first:.0f} ms, import rustorch {second:.0f} ms: {second - first:.0f} ms above")


if __name__ == "__main__":
    main()
