"""The rows of the op table, forward and backward, at every size."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy

import rustorch
import rustorch.linalg
import rustorch.special
from rustorch.cli.bench.peers import Library
from rustorch.cli.bench.rows import Numbers, Row, Space, label
from rustorch.nn import functional
from rustorch_core._data_types import CATEGORIES
from rustorch_core._op import REGISTRY, Op

Arrays = dict[str, Numbers]


@dataclass(frozen=True)
class Call:
    """How an op is called.

    Arguments:
        statement: the call, its functions under their public names.
        arrays: its arrays by name, at a size.
        flops: operations on such arrays, where they and not memory set the pace.
        writes: bytes of the result for each byte of the first array.
        is_checked: whether all libraries are to agree on the result.
        has_gradient: whether it is measured backward too.
    """

    statement: str
    arrays: Callable[[int], Arrays]
    flops: Callable[[Arrays], int] = lambda arrays: 0
    writes: float = 1.0
    is_checked: bool = True
    has_gradient: bool = True

    @property
    def functions(self) -> list[str]:
        """The names of the functions that it calls."""
        return re.findall(r"(?<![.\w])([a-z]\w*)\(", self.statement)


def _as_rows(size: int) -> tuple[int, int]:
    return max(1, size // 1000), min(size, 1000)


def _images(size: int) -> tuple[int, int, int, int]:
    """A batch of pictures of 16 channels with about so many numbers."""
    if size < 64:
        return (1, 1, 1, 1)
    side = 8 if size < 10_000 else 28
    return (max(1, round(size / (16 * side * side))), 16, side, side)


def _flat(size: int) -> Arrays:
    return {"x": Numbers((size,))}


def _rows(size: int) -> Arrays:
    return {"x": Numbers(_as_rows(size))}


def _pictures(size: int) -> Arrays:
    return {"x": Numbers(_images(max(size, 64)))}


def _normalised(shape: tuple[int, ...], axis: int) -> Arrays:
    width = (shape[axis],)
    return {"x": Numbers(shape), "weight": Numbers(width, 0.5, 1.5), "bias": Numbers(width, -0.5, 0.5)}


def _classes(size: int) -> Arrays:
    rows, classes = _as_rows(size)
    return {"x": Numbers((rows, classes)), "target": Numbers((rows,), 0, classes, numpy.int64)}


def _matrices(size: int) -> Arrays:
    side = math.isqrt(size)
    return {"x1": Numbers((side, side)), "x2": Numbers((side, side))}


def _layer(size: int) -> Arrays:
    width = min(size, 256)
    return {"x": Numbers((size // width, width)), "weight": Numbers((width, width)), "bias": Numbers((width,))}


def _filters(shape: tuple[int, ...]) -> Arrays:
    channels, lengths = shape[1], shape[2:]
    weight = Numbers((channels, channels, *(3 for _ in lengths)), -0.1, 0.1)
    return {"x": Numbers(shape), "weight": weight, "bias": Numbers((channels,))}


def _heads(size: int) -> Arrays:
    """Queries, keys and values of about so many numbers each: 64 for a token, at most 1,024 tokens."""
    length = max(1, min(1024, size // 256))
    heads = 4 if size > 4096 else 1
    width = min(size, 64)
    shape = (max(1, round(size / (heads * length * width))), heads, length, width)
    return {name: Numbers(shape) for name in ("query", "key", "value")}


def _table(size: int) -> Arrays:
    return {"i": Numbers((max(1, size // 64),), 0, 1000, numpy.int64), "weight": Numbers((1000, min(size, 64)))}


def _products(arrays: Arrays) -> int:
    first, second = list(arrays.values())[:2]
    return 2 * first.size * second.shape[-1]


def _convolutions(arrays: Arrays) -> int:
    return 2 * arrays["x"].size * math.prod(arrays["weight"].shape[1:])


def _attention(arrays: Arrays) -> int:
    return 4 * arrays["query"].size * arrays["query"].shape[2]


#: What takes more than elements, by the name of the row.
CALLS: dict[str, Call] = {
    "sum": Call("sum(x)", _flat, writes=0),
    "sum of rows": Call("sum(x, axis=-1)", _rows, writes=0),
    "sum of columns": Call("sum(x, axis=0)", _rows, writes=0),
    "mean": Call("mean(x)", _flat, writes=0),
    "var": Call("var(x, axis=-1, correction=0)", _rows, writes=0),
    "max": Call("max(x)", _flat, writes=0),
    "argmax": Call("argmax(x)", _flat, writes=0, is_checked=False, has_gradient=False),
    "logsumexp": Call("logsumexp(x, axis=-1)", _rows, writes=0),
    "vector_norm": Call("vector_norm(x)", _flat, writes=0),
    "cumulative_sum": Call("cumulative_sum(x, axis=-1)", _rows),
    "clip": Call("clip(x, -1.0, 1.0)", _flat),
    "where": Call("where(x > 0, x, -1.0)", _flat),
    "concat": Call("concat([x, x])", _flat, writes=2),
    "sort": Call("sort(x, axis=-1)", _rows),
    "tril": Call("tril(x)", _rows),
    "copy of a transpose": Call("contiguous(x.T)", _rows, has_gradient=False),
    "cast to float64": Call("to_float64(x)", _flat, writes=2, has_gradient=False),
    "gelu": Call("gelu(x)", _flat),
    "softmax": Call("softmax(x, axis=-1)", _rows),
    "log_softmax": Call("log_softmax(x, axis=-1)", _rows),
    "cross_entropy": Call("cross_entropy(x, target)", _classes, writes=0),
    "layer_norm": Call("layer_norm(x, weight.shape, weight, bias)", lambda size: _normalised(_as_rows(size), -1)),
    "rms_norm": Call("rms_norm(x, weight.shape, weight)", lambda size: _normalised(_as_rows(size), -1)),
    "group_norm": Call("group_norm(x, 4, weight, bias)", lambda size: _normalised(_images(max(size, 64)), 1)),
    "batch_norm": Call(
        "batch_norm(x, None, None, weight, bias, training=True)", lambda size: _normalised(_images(max(size, 64)), 1)
    ),
    "dropout": Call("dropout(x, 0.5)", _flat, is_checked=False),
    "embedding": Call("embedding(i, weight)", _table, writes=32),
    "conv1d": Call(
        "conv1d(x, weight, bias, padding=1)",
        lambda size: _filters((*_images(size)[:2], math.prod(_images(size)[2:]))),
        _convolutions,
    ),
    "conv2d": Call("conv2d(x, weight, bias, padding=1)", lambda size: _filters(_images(size)), _convolutions),
    "max_pool2d": Call("max_pool2d(x, 2)", _pictures),
    "avg_pool2d": Call("avg_pool2d(x, 2)", _pictures),
    "scaled_dot_product_attention": Call("scaled_dot_product_attention(query, key, value)", _heads, _attention),
    "linear": Call("linear(x, weight, bias)", _layer, _products),
    "matmul": Call("x1 @ x2", _matrices, _products),
}

#: Operators, and the methods they call.
_SYMBOLS = {
    "add": "+", "and": "&", "lshift": "<<", "or": "|", "rshift": ">>", "xor": "^", "truediv": "/", "eq": "==",
    "floordiv": "//", "gt": ">", "ge": ">=", "lt": "<", "le": "<=", "mul": "*", "ne": "!=", "pow": "**", "mod": "%",
    "sub": "-",
}  # fmt: skip


#: Of real numbers there is nothing in these to compute, and some libraries return what they were given.
_OF_COMPLEX_NUMBERS = ("conj", "imag", "positive", "real")
#: Functions whose gradient is 0 wherever it exists; not everybody has it.
_FLAT = ("ceil", "floor", "floor_divide", "heaviside", "round", "sign", "trunc")


def _elementwise(op: Op) -> Call:
    """How an elementwise op is called, from what the table says of it; by its operator where it has one."""
    allowed = CATEGORIES[op.category]
    dtype = next(each for each in (numpy.float32, numpy.int64, numpy.bool_) if numpy.dtype(each) in allowed)
    names = ["x"] if op.kind == "unary" else ["x1", "x2"]
    if op.operator in _SYMBOLS:
        statement = f"x1 {_SYMBOLS[op.operator]} x2"
    else:
        statement = f"{op.name.rpartition('.')[2]}({', '.join(names)})"
    return Call(
        statement,
        lambda size: {name: Numbers((size,), *op.domain, dtype) for name in names},
        writes=1.0 if op.keeps_kind else 1 / numpy.dtype(dtype).itemsize,
        has_gradient=op.is_differentiable and dtype is numpy.float32 and op.name not in _FLAT,
    )


def main() -> list[str]:
    """The names of the calls that are no special functions."""
    return [name for name in calls() if not name.startswith("special.")]


def special() -> list[str]:
    """The names of those that are."""
    return [name for name in calls() if name.startswith("special.")]


@functools.cache
def calls() -> dict[str, Call]:
    """Every call that there is a row for: the elementwise ops of the registry, and those of `CALLS` that we have."""
    found = {
        op.name: _elementwise(op)
        for op in REGISTRY.values()
        if op.kind in ("unary", "binary") and op.name not in _OF_COMPLEX_NUMBERS
    }
    return {name: call for name, call in {**found, **CALLS}.items() if all(map(_is_ours, call.functions))}


def _is_ours(name: str) -> bool:
    spaces = (rustorch, functional, rustorch.special, rustorch.linalg)
    return name in ("contiguous", "to_float64") or any(hasattr(space, name) for space in spaces)


def with_kernels(device: str) -> list[str]:
    """The names of the calls that a plugin's kernel serves on a device, or has a part in."""
    from rustorch_core import _plugins

    served = {kernel.op for _, kernel in _plugins.facts("rustorch_kernels") if kernel.device == device}
    return [name for name, call in calls().items() if name in served or served & set(call.functions)]


# Rows


def forward(suite: str, sizes: Sequence[int], names: Sequence[str] = ()) -> Iterator[Row]:
    """Rows of calls at sizes; of all but the special ones, unless some are named."""
    for name in names or main():
        call = calls()[name]
        for size in sizes:
            arrays = call.arrays(size)
            yield Row(
                suite,
                f"{name} {label(size)}",
                call.statement,
                functools.partial(_forward_space, call, size),
                is_checked=call.is_checked,
                size=label(size),
                read=sum(each.nbytes for each in arrays.values()),
                written=int(call.writes * next(iter(arrays.values())).nbytes),
                flops=call.flops(arrays),
            )


def _forward_space(call: Call, size: int, library: Library) -> Space:
    functions = {name: library.function(name) for name in call.functions}
    arrays = {name: library.array(each.draw(i)) for i, (name, each) in enumerate(call.arrays(size).items())}
    return {**functions, **arrays}


def backward(suite: str, sizes: Sequence[int], names: Sequence[str] = ()) -> Iterator[Row]:
    """The same with their gradients, of those that have any."""
    for name in names or main():
        call = calls()[name]
        for size in sizes:
            if call.has_gradient:
                grads = [f"{each}.grad" for each in _tracked(call, size)]
                yield Row(
                    suite,
                    f"{name} {label(size)}",
                    f"{' = '.join(grads)} = None; ({call.statement}).backward(g)",
                    functools.partial(_backward_space, call, size),
                    result=grads[0],
                    is_checked=call.is_checked,
                    libraries=("rustorch", "torch"),
                    size=label(size),
                    flops=3 * call.flops(call.arrays(size)),
                )


def _tracked(call: Call, size: int) -> list[str]:
    """Names of the arrays that have a gradient."""
    return [name for name, each in call.arrays(size).items() if each.dtype is numpy.float32]


def _backward_space(call: Call, size: int, library: Library) -> Space:
    space = _forward_space(call, size, library)
    for name in _tracked(call, size):
        space[name] = space[name].requires_grad_()
    y = eval(library.spelled(call.statement), space)
    space["g"] = library.array(Numbers(tuple(y.shape), 0.5, 1.5).draw())
    return space


# What is no op of the table: small statements, where nothing but the way of a call is paid for


_SMALL = (
    "a * 2.0", "a.__iadd__(b)", "m.T", "reshape(m, (4, 3))", "a[0]", "m[1:, ::2]", "m[i]", "m[0] = 1.0",
)  # fmt: skip
_RECORDED = ("a + b", "a * b", "exp(a)", "m @ n", "m[0]")


def small(suite: str) -> Iterator[Row]:
    """Rows of statements on a few numbers."""
    for statement in _SMALL:
        written = statement[0] if statement.startswith(("a.__i", "m[0] =")) else ""
        libraries = ("rustorch", "numpy", "torch") if written else ()
        yield Row(suite, statement, statement, _small_space, result=written, libraries=libraries)


def recorded(suite: str) -> Iterator[Row]:
    """Rows of statements that are recorded for a gradient, and not followed back."""
    for statement in _RECORDED:
        name = f"record {statement}"
        yield Row(suite, name, statement, _recorded_space, libraries=("rustorch", "torch"))


def _small_space(library: Library) -> Space:
    numbers = {"a": (1,), "b": (1,), "m": (3, 4), "n": (4, 3)}
    space: Space = {name: library.array(Numbers(shape, 0.0, 1e-3).draw()) for name, shape in numbers.items()}
    space["i"] = library.array(numpy.asarray([2, 0]))
    return {**space, "reshape": library.function("reshape"), "exp": library.function("exp")}


def _recorded_space(library: Library) -> Space:
    space = _small_space(library)
    return {**space, **{name: space[name].requires_grad_() for name in ("a", "b", "m", "n")}}


def products(suite: str) -> Iterator[Row]:
    """Chains of matrix products, forward and backward, beside the same by hand in NumPy."""
    for side, count in ((128, 20), (256, 20), (512, 10)):
        yield Row(
            suite,
            f"{count} products of {side} x {side}",
            "gradients(x, weights)",
            functools.partial(_chain_space, side, count),
            libraries=("rustorch", "torch", "numpy"),
            flops=3 * count * 2 * side**3,
        )


def _chain_space(side: int, count: int, library: Library) -> Space:
    scale = side**-0.5
    x, *weights = (library.array(Numbers((side, side), -scale, scale).draw(i)) for i in range(count + 1))
    if library.name == "numpy":
        return {"x": x, "weights": weights, "gradients": _gradients_by_hand}
    return {"x": x, "weights": [weight.requires_grad_() for weight in weights], "gradients": _gradients}


def _gradients(x: Any, weights: list[Any]) -> Any:
    for weight in weights:
        x = x @ weight
        weight.grad = None
    x.sum().backward()
    return weights[0].grad


def _gradients_by_hand(x: Any, weights: list[Any]) -> Any:
    values = [x]
    for weight in weights:
        values.append(values[-1] @ weight)
    g = numpy.ones_like(values.pop())
    gradients = []
    for weight in reversed(weights):
        gradients.append(values.pop().T @ g)
        if values:
            g = g @ weight.T
    return gradients[-1]
