"""Rows of whole models: inference, a training step, the optimizer's part of it, and the memory that all that takes."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy

import rustorch
from rustorch.cli.bench.peers import Library, NotThereError
from rustorch.cli.bench.rows import Numbers, Row, Space
from rustorch_core._update_rules import RULES
from rustorch_core.errors import ArgumentError, BackendUnavailableError

#: A model and an input for it, in any library with PyTorch's names.
Model = tuple[Any, tuple[int, ...]]

_BOTH = ("rustorch", "torch")


def perceptron(nn: Any) -> Model:
    """A perceptron as for the 8 x 8 digits, and 64 of them."""
    layers = [nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10)]
    return nn.Sequential(*layers), (64, 64)


def tiny(nn: Any) -> Model:
    """A perceptron so small that it costs nothing but the way of its calls."""
    return nn.Sequential(*[layer for _ in range(4) for layer in (nn.Linear(16, 16), nn.ReLU())]), (4, 16)


def convolutions(nn: Any) -> Model:
    """A small convolutional network as for MNIST, and 64 images."""
    layers = [
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 7 * 7, 10),
    ]  # fmt: skip
    return nn.Sequential(*layers), (64, 1, 28, 28)


def deep(activation: str, nn: Any) -> Model:
    """Twelve layers of 512, and 4,096 rows for them."""
    layers = [layer for _ in range(12) for layer in (nn.Linear(512, 512), getattr(nn, activation)())]
    return nn.Sequential(*layers), (4096, 512)


def transformer_block(batch: int, nn: Any) -> Model:
    """Attention with 4 heads and a feed-forward part of 4 times the width, on 128 tokens of 256 numbers."""
    length, width, heads = 128, 256, 4
    shape = (batch, length, heads, width // heads)
    attention = getattr(nn.functional, "scaled_dot_product_attention", _attention)

    class Block(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
            self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
            self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, x: Any) -> Any:
            h = self.before(x)
            parts = (part(h).reshape(shape).swapaxes(1, 2) for part in (self.query, self.key, self.value))
            x = x + self.out(attention(*parts).swapaxes(1, 2).reshape((batch, length, width)))
            return x + self.narrow(nn.functional.gelu(self.widen(self.between(x))))

    return Block(), (batch, length, width)


def _attention(query: Any, key: Any, value: Any) -> Any:
    """Scaled dot-product attention, where no function of that name is there."""
    scores = (query @ key.mT) * query.shape[-1] ** -0.5
    return rustorch.nn.functional.softmax(scores, axis=-1) @ value


def encoder_layer(nn: Any) -> Model:
    """The library's own layer of a transformer, on the same tokens."""
    return nn.TransformerEncoderLayer(256, 4, 1024, dropout=0.0, batch_first=True, norm_first=True), (8, 128, 256)


NETWORKS: dict[str, Callable[[Any], Model]] = {
    "tiny perceptron": tiny,
    "perceptron 64-128-128-10": perceptron,
    "convolutions on 28 x 28": convolutions,
    "transformer block": functools.partial(transformer_block, 8),
    "transformer encoder layer": encoder_layer,
}
LARGE: dict[str, Callable[[Any], Model]] = {
    "12 layers, ReLU": functools.partial(deep, "ReLU"),
    "12 layers, Tanh": functools.partial(deep, "Tanh"),
    "12 layers, GELU": functools.partial(deep, "GELU"),
    "transformer block": functools.partial(transformer_block, 32),
}


# Neural networks


def networks(suite: str, is_compiled: bool) -> Iterator[Row]:
    """Inference and a training step of each network that we can build."""
    forms = {"torch": ("", "compiled")} if is_compiled else {}
    for name, build in NETWORKS.items():
        if _can_build(build):
            space = functools.partial(_network_space, build)
            for what, statement in (("inference", "infer(x)"), ("training step", "train(x)")):
                row = Row(suite, f"{name}, {what}", statement, space, is_checked=False, forms=forms, libraries=_BOTH)
                yield row


def _can_build(build: Callable[[Any], Model]) -> bool:
    try:
        build(rustorch.nn)
    except AttributeError:  # a layer that is not there
        return False
    return True


def _network_space(build: Callable[[Any], Model], library: Library) -> Space:
    xp = library.module
    model, shape = build(xp.nn)
    x = library.array(Numbers(shape).draw())
    if library.name == "rustorch":
        optimizer = rustorch.optim.create("adamw", model, lr=1e-3)
    else:
        optimizer = xp.optim.AdamW(model.parameters(), lr=1e-3)
    if library.form == "compiled":
        model = xp.compile(model)

    def infer(x: Any) -> Any:
        with xp.no_grad():
            return model(x)

    y = infer(x)
    target = library.array(Numbers((len(y),), 0, 10, numpy.int64).draw())
    is_classifier = y.ndim == 2

    def train(x: Any) -> Any:
        y = model(x)
        loss = xp.nn.functional.cross_entropy(y, target) if is_classifier else (y**2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return {"infer": infer, "train": train, "x": x}


# Optimizers


_PARAMETERS = {
    "100 of 10": [(10,)] * 100,
    "a perceptron's 4": [(64, 64), (64,), (10, 64), (10,)],
    "4 million in one": [(2000, 2000)],
}
#: PyTorch's class and options, where they are not of our name.
_IN_TORCH: dict[str, tuple[str, dict[str, Any]]] = {
    "amsgrad": ("Adam", {"amsgrad": True}),
    "rprop": ("Rprop", {"lr": 1e-4}),
    "sgd": ("SGD", {"lr": 1e-3}),
}


def optimizers(suite: str) -> Iterator[Row]:
    """A step of each optimizer that needs no more than gradients, beside each form that PyTorch has of it."""
    for name in rustorch.optim.list():
        if name in RULES and RULES[name].optimizer is not None:
            continue  # it wants a function to call again
        kept = _kept(name)
        for what, shapes in _PARAMETERS.items():
            size = sum(math.prod(shape) for shape in shapes)
            yield Row(
                suite,
                f"{name}: {what}",
                "step()",
                functools.partial(_step_space, name, shapes),
                is_checked=False,
                forms={"torch": ("loop", "foreach", "fused")},
                libraries=_BOTH,
                read=(2 + kept) * 4 * size,
                written=(1 + kept) * 4 * size,
            )


def _kept(name: str) -> int:
    """How many arrays of a parameter's size a step reads and writes beside the parameter itself."""
    if name not in RULES:
        return 0
    p = rustorch.ones((8, 8))
    return sum(each.shape == p.shape for each in RULES[name].init(p, RULES[name].defaults).values())


def _step_space(name: str, shapes: list[tuple[int, ...]], library: Library) -> Space:
    parameters = []
    for i, shape in enumerate(shapes):
        parameter = library.array(Numbers(shape).draw(i)).requires_grad_()
        parameter.grad = library.array(Numbers(shape).draw(i + 1))
        parameters.append(parameter)
    if library.name == "rustorch":
        return {"step": _ours(name, parameters).step}
    kind, options = _IN_TORCH.get(name, (name, {}))
    kinds = {each.lower(): each for each in dir(library.module.optim)}
    if kind.lower() not in kinds:
        raise NotThereError(f"torch has no {name}")
    switch = {"loop": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}[library.form]
    try:
        optimizer = getattr(library.module.optim, kinds[kind.lower()])(parameters, **options, **switch)
    except (TypeError, ValueError, RuntimeError) as error:  # some have not every form, or take no such parameters
        raise NotThereError(f"torch has no {library.form} {name}") from error
    return {"step": optimizer.step}


def _ours(name: str, parameters: list[Any]) -> Any:
    try:
        return rustorch.optim.create(name, parameters)
    except ArgumentError as error:  # such as of parameters that are no matrices
        raise NotThereError(str(error)) from error


# Memory


def peaks(suite: str) -> Iterator[Row]:
    """Bytes above what stood before, at the peak of a forward and backward."""
    if not Path("/proc/self/clear_refs").exists():
        raise NotThereError("peak memory is measured on Linux only")
    for name, build in LARGE.items():
        space = functools.partial(_peak_space, build)
        yield Row(suite, name, "peak()", space, is_checked=False, libraries=_BOTH, unit="byte")


def _peak_space(build: Callable[[Any], Model], library: Library) -> Space:
    model, shape = build(library.module.nn)
    x = library.array(Numbers(shape).draw())

    def peak() -> int:
        for _ in range(3):  # the first loads code
            for parameter in model.parameters():
                parameter.grad = None
            with contextlib.suppress(BackendUnavailableError):  # memory that is kept for reuse would hide a peak
                rustorch.memory.default_pool().empty_cache()
            before = _resident("VmRSS")
            Path("/proc/self/clear_refs").write_text("5")
            (model(x) ** 2).mean().backward()
        return _resident("VmHWM") - before

    return {"peak": peak}


def _resident(field: str) -> int:
    """A field of what the system says of this process's memory, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise OSError(f"the system does not tell {field}")
