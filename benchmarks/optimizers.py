"""What an optimizer's step takes, beside PyTorch's for-loop, foreach and fused forms, interleaved in one run.

    python benchmarks/optimizers.py [name ...]

Each figure is the median in microseconds; for large parameters also the bytes that the algorithm must move each second,
beside those of a plain copy in the same run.
"""

import importlib.util
import statistics
import sys
import timeit
from collections.abc import Callable
from typing import Any

import numpy as np

import rustorch as rt

#: Shapes of the parameters by what they stand for.
MODELS = {
    "100 parameters of 10": [(10,)] * 100,
    "a perceptron's 4": [(64, 64), (64,), (10, 64), (10,)],
    "4 million in one": [(2000, 2000)],
}
#: Our name, PyTorch's class, and how many arrays of a parameter's size a step reads and writes.
OPTIMIZERS = {
    "sgd": ("SGD", 3),
    "adam": ("Adam", 7),
    "adamw": ("AdamW", 7),
    "adamax": ("Adamax", 7),
    "nadam": ("NAdam", 7),
    "radam": ("RAdam", 7),
    "adagrad": ("Adagrad", 5),
    "rmsprop": ("RMSprop", 5),
    "lion": (None, 5),
    "lamb": (None, 9),
    "adabelief": (None, 7),
    "adabound": (None, 7),
}
ROUNDS, SECONDS = 15, 0.02


def ours(name: str, arrays: list[Any]) -> Callable[[], Any]:
    """A step of ours."""
    parameters = [rt.asarray(each, copy=True).requires_grad_() for each in arrays]
    for parameter, each in zip(parameters, arrays, strict=True):
        parameter.grad = rt.asarray(each, copy=True)
    step: Callable[[], Any] = rt.optim.create(name, parameters).step
    return step


def theirs(torch: Any, kind: str, arrays: list[Any]) -> dict[str, Callable[[], Any]]:
    """A step of each of PyTorch's forms that there is."""
    forms: dict[str, Callable[[], Any]] = {}
    for form, options in (("loop", {"foreach": False}), ("foreach", {"foreach": True}), ("fused", {"fused": True})):
        parameters = [torch.tensor(each, requires_grad=True) for each in arrays]
        for parameter, each in zip(parameters, arrays, strict=True):
            parameter.grad = torch.tensor(each)
        try:
            forms[form] = getattr(torch.optim, kind)(parameters, **options).step
        except TypeError:  # some have no fused form
            continue
    return forms


def medians(steps: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Microseconds of each, taken in turns."""
    counts = {name: max(1, int(SECONDS / (timeit.timeit(step, number=3) / 3))) for name, step in steps.items()}
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(ROUNDS):
        for name, step in steps.items():
            taken[name].append(timeit.timeit(step, number=counts[name]) / counts[name])
    return {name: statistics.median(values) * 1e6 for name, values in taken.items()}


def main() -> None:
    """Print a table for each model."""
    names = sys.argv[1:] or list(OPTIMIZERS)
    torch = None
    if importlib.util.find_spec("torch"):
        import torch
    else:
        print("PyTorch is not installed, so it is not measured.")
    for model, shapes in MODELS.items():
        arrays = [np.random.default_rng(0).normal(size=shape).astype(np.float32) for shape in shapes]
        size = sum(each.nbytes for each in arrays)
        print(
            f"\n{model:22}"
            + "".join(f"{form:>10}" for form in ("rustorch", "loop", "foreach", "fused", "times", "GB/s"))
        )
        for name in names:
            kind, moved = OPTIMIZERS[name]
            target = np.empty_like(arrays[0])
            steps = {
                "rustorch": ours(name, arrays),
                "copy": lambda target=target, arrays=arrays: np.copyto(target, arrays[0]),
            }
            peers = theirs(torch, kind, arrays) if torch is not None and kind is not None else {}
            found = medians({**steps, **peers})
            cells = [
                f"{found[form]:10.1f}" if form in found else f"{'':10}"
                for form in ("rustorch", "loop", "foreach", "fused")
            ]
            best = min((found[form] for form in peers), default=None)
            cells.append(f"{'':10}" if best is None else f"{best / found['rustorch']:10.1f}")
            if len(shapes) == 1:
                rate, copy = moved * size / found["rustorch"] / 1e3, 2 * size / found["copy"] / 1e3
                cells.append(f"{rate:10.1f}  (a copy {copy:.1f})")
            print(f"{name:22}" + "".join(cells), flush=True)


if __name__ == "__main__":
    main()
