"""Mutation as in NumPy: random programs of views, copies and writes run on tensors and on arrays side by side."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

import rustorch as rt
from rustorch_core.errors import DTypeError, GradientError, RusTorchError

Array = np.ndarray[Any, Any]

KINDS = {"b": 0, "u": 1, "i": 1, "f": 2, "c": 3}
DTYPES = st.sampled_from(
    [
        *("uint8", "int32", "int64", "float32", "float64", "float64", "float64", "complex64", "complex128"),
        *(["bool"] if rt.device().shares_host_memory else []),  # elsewhere they may not count as numbers
    ]
)
SHAPES = st.sampled_from([(), (4,), (4,), (3, 4), (3, 4), (3, 3), (2, 1, 3), (0, 3)])
SMALL = st.integers(0, 11)


def numbers(shape: tuple[int, ...], dtype: Any, start: int) -> Array:
    """Small numbers that every dtype holds exactly."""
    counted = (np.arange(np.prod(shape, dtype=int)).reshape(shape) * 5 + start) % 9
    kind = np.dtype(dtype).kind
    if kind in "fc":
        counted = counted / 4 - 1
    return np.asarray(counted + 0.5j * (counted - 1) if kind == "c" else counted % 2 if kind == "b" else counted, dtype)


# What is done, the same on tensors and on arrays. `i` chooses an axis, a place, or a shape.


def axis(x: Any, i: int) -> int:
    return i % max(x.ndim, 1)


def _reshaped(xp: Any, x: Any, i: int, **kwargs: Any) -> Any:
    shapes = [(-1,), tuple(reversed(x.shape)), (1, *x.shape), (*x.shape, 1), (*x.shape[:-2], -1), (2, -1)]
    return xp.reshape(x, shapes[i % 6] if x.size else x.shape, **kwargs)


VIEWS: dict[str, Callable[[Any, Any, int], Any]] = {
    "array_split": lambda xp, x, i: xp.array_split(x, 2, axis(x, i))[i % 2],
    "atleast_2d": lambda xp, x, i: xp.atleast_2d(x),
    "broadcast_to": lambda xp, x, i: xp.broadcast_to(x, (2, *x.shape) if i % 2 else x.shape),
    "diagonal": lambda xp, x, i: xp.linalg.diagonal(x, offset=i % 2),
    "expand_dims": lambda xp, x, i: xp.expand_dims(x, axis=i % (x.ndim + 1)),
    "flip": lambda xp, x, i: xp.flip(x, axis=None if i % 3 == 2 else axis(x, i)),
    "iteration": lambda xp, x, i: list(x)[i % len(x)] if 0 not in x.shape else x,
    "matrix_transpose": lambda xp, x, i: xp.matrix_transpose(x),
    "moveaxis": lambda xp, x, i: xp.moveaxis(x, axis(x, i), -1),
    "mT": lambda xp, x, i: x.mT,
    "permute_dims": lambda xp, x, i: xp.permute_dims(x, [(each + i) % x.ndim for each in reversed(range(x.ndim))]),
    "reshape": _reshaped,
    "reshape without a copy": lambda xp, x, i: _reshaped(xp, x, i, copy=False),
    "rot90": lambda xp, x, i: xp.rot90(x, i),
    "squeeze": lambda xp, x, i: xp.squeeze(x, axis=axis(x, i) if x.ndim else ()),
    "swapaxes": lambda xp, x, i: xp.swapaxes(x, 0, axis(x, i)),
    "T": lambda xp, x, i: x.T if x.ndim == 2 else xp.permute_dims(x, tuple(reversed(range(x.ndim)))),
    "unstack": lambda xp, x, i: xp.unstack(x, axis=axis(x, i))[0] if 0 not in x.shape else x,
}

COPIES: dict[str, Callable[[Any, Any, int], Any]] = {
    "asarray": lambda xp, x, i: xp.asarray(x, copy=True),
    "astype": lambda xp, x, i: xp.astype(x, x.dtype),
    "ceil": lambda xp, x, i: xp.ceil(x),
    "concat": lambda xp, x, i: xp.concat([x]),
    "conj": lambda xp, x, i: xp.conj(x),
    "copy.copy": lambda xp, x, i: copy.copy(x),
    "imag": lambda xp, x, i: xp.asarray(xp.imag(x), copy=True) if x.dtype in ("complex64", "complex128") else -x,
    "meshgrid": lambda xp, x, i: xp.meshgrid(x, x)[i % 2] if x.ndim == 1 else xp.astype(x, x.dtype),
    "negative": lambda xp, x, i: -x,
    "real": lambda xp, x, i: xp.asarray(xp.real(x), copy=True),
    "reshape": lambda xp, x, i: _reshaped(xp, x, i, copy=True),
    "roll": lambda xp, x, i: xp.roll(x, i),
    "stack": lambda xp, x, i: xp.stack([x], axis=axis(x, i)),
    "sum over no axis": lambda xp, x, i: xp.sum(x, axis=(), dtype=x.dtype),
    "take": lambda xp, x, i: xp.take(xp.expand_dims(x, axis=0), xp.asarray([0, -1]), axis=0),
    "tile": lambda xp, x, i: xp.tile(x, 1),
    "where": lambda xp, x, i: xp.where(x == x, x, x),
}

IN_PLACE = {
    name: getattr(operator, name)
    for name in (
        *("iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow"),
        *("iand", "ior", "ixor", "ilshift", "irshift", "imatmul"),
    )
}


@st.composite
def keys(draw: Any, shape: tuple[int, ...]) -> Any:
    """Every kind of key: integers, slices, `...`, None, arrays and lists of integers, masks, booleans, and mixtures."""
    if draw(st.booleans()):
        return draw(hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True))
    count = draw(st.integers(0, 3))
    parts: list[Any] = []
    at = 0
    while len(parts) < 5:
        n = shape[at] if at < len(shape) else 0
        kinds = ["none", "boolean", "ellipsis", "stop"]
        kinds += ["slice", "mask"] * 3 if at < len(shape) else []
        kinds += ["integer", "array", "list", "0-d array"] * 2 if n else []
        kind = draw(st.sampled_from(kinds))
        place = st.integers(-n, n - 1)
        if kind == "stop":
            break
        if kind == "none":
            parts.append(None)
        elif kind == "ellipsis":
            if Ellipsis not in [part for part in parts if not isinstance(part, np.ndarray)]:
                parts.append(Ellipsis)
                at = max(at, len(shape) - draw(st.integers(0, 1)))
            else:
                break
        elif kind == "boolean":
            parts.append(draw(st.sampled_from([True, False, np.True_, np.array(True)])))
        elif kind == "mask":
            ndim = draw(st.integers(1, len(shape) - at))
            parts.append(draw(hnp.arrays(bool, shape[at : at + ndim])))
            at += ndim
        else:
            drawn = {
                "integer": place,
                "0-d array": hnp.arrays(st.sampled_from(["int64", "int32"]), (), elements=place),
                "slice": st.slices(n),
                "list": st.lists(place, min_size=count, max_size=count).flatmap(
                    lambda drawn: st.sampled_from([drawn, tuple(drawn), [drawn]]) if drawn else st.just([])
                ),
                "array": hnp.arrays("int64", draw(st.sampled_from([(count,), (count, 1), (1, count)])), elements=place),
            }[kind]
            parts.append(draw(drawn))
            at += 1
    return parts[0] if len(parts) == 1 and not isinstance(parts[0], tuple) and draw(st.booleans()) else tuple(parts)


def fitting_key(array: Array, data: Any) -> Any:
    """A key that fits, and does not give much more than there is."""
    key = data.draw(st.just(...) | keys(array.shape), label="key")
    try:
        return key if array[key].size <= 20 else ...
    except IndexError:
        return ...


BAD_KEYS = st.sampled_from([7, (0, 0, 0, 0, 0), [9], "a", 1.5, [1.5], np.array([True] * 7), (..., ...), {}, -7])


def in_tensors(key: Any) -> Any:
    if isinstance(key, tuple):
        return tuple(in_tensors(part) for part in key)
    return rt.asarray(key.copy()) if isinstance(key, np.ndarray) else key


def spoil(key: Any) -> None:
    """Write into a key that has been used; nothing may still depend on it."""
    for part in key if isinstance(key, tuple) else (key,):
        if isinstance(part, rt.Tensor):
            part[...] = False


@st.composite
def values(draw: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """Something to write into a place of this shape: a number, or an array that broadcasts to it."""
    dtype = draw(st.sampled_from([dtype, dtype, dtype, "bool", "int64", "float64"]))
    start = draw(SMALL)
    if draw(st.integers(0, 2)) == 0:
        return numbers((), dtype, start).item()
    stretched = tuple(1 if draw(st.integers(0, 4)) == 0 else n for n in shape)
    leading = draw(st.sampled_from([(), (), (1,), (1, 1)]))
    dropped = draw(st.integers(0, 5)) - 3
    return numbers(stretched[dropped:] if dropped > 0 else leading + stretched, dtype, start)


def fitted(xp: Any, other: Any, shape: tuple[int, ...]) -> Any:
    """Something of another array that broadcasts to a shape: itself if it does, else its sum."""
    try:
        fits = np.broadcast_shapes(other.shape, shape) == shape
    except ValueError:
        fits = False
    return other if fits else xp.sum(other)


@dataclass(eq=False)
class Pair:
    """A tensor and the array that it must equal; `leaf`: whether its memory is that of a leaf with a gradient."""

    tensor: rt.Tensor
    array: Array
    leaf: bool = False


def in_memory(made: Any) -> Array:
    """An array as NumPy made it; where memory has but one order, as off the host, in that one, if it is no view."""
    array = np.asarray(made)
    return array if rt.device().shares_host_memory or array.base is not None else np.asarray(array, order="C")


class Recorder(RuleBasedStateMachine):
    """A machine on a device that sometimes records what it does, and sometimes does not."""

    def __init__(self) -> None:
        super().__init__()
        self.recording = rt.enable_grad()
        self.recording.__enter__()
        self.records = True

    def teardown(self) -> None:
        self.recording.__exit__()

    @rule()
    def switch_recording(self) -> None:
        self.recording.__exit__()
        self.records = not self.records
        self.recording = rt.enable_grad() if self.records else rt.no_grad()
        self.recording.__enter__()

    def is_of_leaf(self, array: Any, source: Any, leaf: bool) -> bool:
        """Whether what is made from a leaf is a view of it, as far as gradients go; an empty one may be."""
        shares = isinstance(array, np.ndarray) and (np.shares_memory(array, source) or not array.size)
        return shares and leaf and self.records


class Values(Recorder):
    """Tensors and arrays side by side; `foreign` are arrays that share memory with tensors, and theirs with arrays."""

    pairs = Bundle("pairs")

    def __init__(self) -> None:
        super().__init__()
        self.live: list[Pair] = []
        self.foreign: list[tuple[Array, Array]] = []

    def add(self, tensor: rt.Tensor, array: Any, leaf: bool = False) -> Pair:
        self.live.append(Pair(tensor, in_memory(array), leaf))
        return self.live[-1]

    def both(self, ours: Callable[[], Any], theirs: Callable[[], Any]) -> Any:
        """The results of both, or None where both refuse; that one does and the other does not is a failure."""
        refused: Exception | None = None
        try:
            with np.errstate(all="ignore"):
                expected = theirs()
        except (ValueError, TypeError, IndexError, OverflowError, BufferError) as error:
            refused = error
        try:
            found = ours()
        except RusTorchError as error:
            assert refused is not None, f"only the tensor refuses: {error!r}"  # noqa: PT017
            assert isinstance(error, (ValueError, TypeError, IndexError, OverflowError, BufferError))  # noqa: PT017
            return None
        assert refused is None, f"only the array refuses: {refused!r}"
        return found, expected

    # Making

    @initialize(target=pairs)
    def start(self) -> Any:
        kinds = ["computed", "plain", "leaf"]
        return multiple(*[self.make_("float64", (3, 4), start, kind) for start, kind in enumerate(kinds)])

    def make_(self, dtype: str, shape: tuple[int, ...], start: int, kind: str) -> Pair:
        array = numbers(shape, dtype, start)
        tensor = rt.asarray(array, copy=True if rt.device().shares_host_memory else None)
        is_leaf = kind == "leaf" and array.dtype.kind in "fc"
        if kind != "plain" and array.dtype.kind in "fc":
            tensor.requires_grad_()
        if kind == "computed" and tensor.requires_grad:
            tensor = tensor * 1
        return self.add(tensor, array, is_leaf)

    @precondition(lambda self: len(self.live) < 8)
    @rule(
        target=pairs,
        dtype=DTYPES,
        shape=SHAPES,
        start=SMALL,
        kind=st.sampled_from(["plain", "computed", "leaf"]),
    )
    def make(self, dtype: str, shape: tuple[int, ...], start: int, kind: str) -> Pair:
        return self.make_(dtype, shape, start, kind)

    @precondition(lambda self: len(self.live) < 8 and rt.device().shares_host_memory)
    @rule(
        target=pairs, dtype=DTYPES, shape=SHAPES, start=SMALL, how=st.sampled_from(["asarray", "copy=False", "dlpack"])
    )
    def take_over(self, dtype: str, shape: tuple[int, ...], start: int, how: str) -> Pair:
        host, array = numbers(shape, dtype, start), numbers(shape, dtype, start)
        self.foreign.append((host, array))
        tensor = (
            rt.from_dlpack(host) if how == "dlpack" else rt.asarray(host, copy=False if how == "copy=False" else None)
        )
        return self.add(tensor, array[...])

    @rule(pair=consumes(pairs))
    def forget(self, pair: Pair) -> None:
        self.live.remove(pair)

    @rule(pair=pairs, requires_grad=st.sampled_from([True, True, False]))
    def require_gradient(self, pair: Pair, requires_grad: bool) -> None:
        if pair.tensor.is_leaf and pair.array.dtype.kind in "fc":
            pair.tensor.requires_grad_(requires_grad)
            pair.leaf = requires_grad

    # Views and copies

    def derive(self, pair: Pair, function: Callable[[Any, Any], Any], makes_leaf: bool = False) -> Any:
        made = self.both(lambda: function(rt, pair.tensor), lambda: function(np, pair.array))
        if made is None:
            return multiple()
        tensor, array = made
        if tensor is pair.tensor:
            return multiple()
        leaf = makes_leaf or self.is_of_leaf(array, pair.array, pair.leaf)
        return self.add(tensor, np.asarray(array, dtype=tensor.dtype), leaf)

    @precondition(lambda self: len(self.live) < 8)
    @rule(target=pairs, pair=pairs, name=st.sampled_from([*VIEWS, *VIEWS, *COPIES]), i=SMALL)
    def derive_by_name(self, pair: Pair, name: str, i: int) -> Any:
        function = VIEWS.get(name) or COPIES[name]
        makes_leaf = name == "copy.copy" and pair.tensor.requires_grad and pair.tensor.is_leaf
        return self.derive(pair, lambda xp, x: function(xp, x, i), makes_leaf)

    @precondition(lambda self: len(self.live) < 8)
    @rule(target=pairs, pair=pairs, data=st.data(), raw=st.booleans())
    def derive_by_key(self, pair: Pair, data: Any, raw: bool) -> Any:
        key = data.draw(keys(pair.array.shape), label="key")
        our_key = key if raw else in_tensors(key)
        return self.derive(pair, lambda xp, x: x[key if xp is np else our_key])

    @precondition(lambda self: len(self.live) < 8)
    @rule(target=pairs, pair=pairs)
    def detach(self, pair: Pair) -> Pair:
        return self.add(pair.tensor.detach(), pair.array[...])

    @precondition(lambda self: len(self.live) < 8)
    @rule(target=pairs, first=pairs, second=pairs, symbol=st.sampled_from([operator.add, operator.sub, operator.mul]))
    def calculate(self, first: Pair, second: Pair, symbol: Callable[[Any, Any], Any]) -> Any:
        made = self.both(
            lambda: symbol(first.tensor, second.tensor), lambda: symbol(*self.promoted(first.array, second.array))
        )
        return multiple() if made is None else self.add(*made)

    def promoted(self, first: Array, second: Array) -> tuple[Array, Array]:
        """Floating-point arrays keep their dtype beside integers, where NumPy's may become wider."""
        if first.dtype.kind in "iu" and second.dtype.kind in "fc":
            first = first.astype(second.dtype)
        if second.dtype.kind in "iu" and first.dtype.kind in "fc":
            second = second.astype(first.dtype)
        return first, second

    # Writes

    def write(self, pair: Pair, ours: Callable[[rt.Tensor], Any], theirs: Callable[[Array], Any]) -> None:
        if pair.leaf and not pair.array.size:
            return
        if pair.leaf and self.records:
            with pytest.raises((GradientError, DTypeError, RusTorchError)) as raised:
                ours(pair.tensor)
            refused = isinstance(raised.value, GradientError)
            assert refused or self.both(lambda: ours(pair.tensor), lambda: theirs(pair.array.copy())) is None
            return
        if self.both(lambda: ours(pair.tensor), lambda: theirs(pair.array)) is None:
            return
        with np.errstate(all="ignore"):
            is_tame = (np.abs(pair.array) <= 64).all()
        if not is_tame:
            pair.array[...] = 1
            with rt.no_grad():
                pair.tensor[...] = True

    @rule(pair=pairs, other=pairs, name=st.sampled_from(list(IN_PLACE)))
    def operate_in_place(self, pair: Pair, other: Pair, name: str) -> None:
        self.operate(pair, name, other.tensor, self.promoted(pair.array, other.array)[1])

    @rule(
        pair=pairs, name=st.sampled_from(list(IN_PLACE)), number=st.sampled_from([0, 1, 2, 3, -1, 300, True, 0.5, 1j])
    )
    def operate_in_place_with_a_number(self, pair: Pair, name: str, number: Any) -> None:
        self.operate(pair, name, number, number)

    @rule(
        pair=pairs,
        name=st.sampled_from(list(IN_PLACE)),
        overlap=st.sampled_from(
            [
                lambda x: (x[1:], x[:-1]),
                lambda x: (x[:-1], x[1:]),
                lambda x: (x, x[::-1]),
                lambda x: (x, x.mT),
                lambda x: (x, x),
                lambda x: (x, x[:1]),
                lambda x: (x[..., ::2], x[..., :2]),
            ]
        ),
        assigns=st.booleans(),
    )
    def overlap(self, pair: Pair, name: str, overlap: Callable[[Any], tuple[Any, Any]], assigns: bool) -> None:
        parts = self.both(lambda: overlap(pair.tensor), lambda: overlap(pair.array))
        if parts is None:
            return
        (target, source), (array, other) = parts
        part = Pair(target, array, self.is_of_leaf(array, pair.array, pair.leaf))
        if assigns:
            self.write(part, lambda x: x.__setitem__(..., source), lambda x: x.__setitem__(..., other))
        else:
            self.operate(part, name, source, other)

    def operate(self, pair: Pair, name: str, other: Any, their_other: Any) -> None:
        def ours(x: rt.Tensor) -> None:
            assert IN_PLACE[name](x, other) is x

        self.write(pair, ours, lambda x: IN_PLACE[name](x, their_other))

    @rule(pair=pairs, data=st.data(), raw=st.booleans())
    def set_item(self, pair: Pair, data: Any, raw: bool) -> None:
        key = data.draw(keys(pair.array.shape) | BAD_KEYS, label="key")
        try:
            shape = pair.array[key].shape
        except (IndexError, TypeError):
            shape = ()
        value = data.draw(values(shape, pair.array.dtype), label="value")
        self.set_at(pair, key if raw else in_tensors(key), key, value, value)

    @rule(pair=pairs, other=pairs, data=st.data())
    def set_item_to_a_tensor(self, pair: Pair, other: Pair, data: Any) -> None:
        key = fitting_key(pair.array, data)
        shape = pair.array[key].shape
        ours, theirs = fitted(rt, other.tensor, shape), fitted(np, other.array, shape)
        self.set_at(pair, in_tensors(key), key, ours, theirs)

    def set_at(self, pair: Pair, our_key: Any, key: Any, our_value: Any, value: Any) -> None:
        if KINDS[np.asarray(value).dtype.kind] > KINDS[pair.array.dtype.kind]:  # NumPy would lose the kind
            with pytest.raises(RusTorchError):
                pair.tensor[our_key] = our_value
            return
        if isinstance(our_value, np.ndarray) and not rt.device().shares_host_memory:
            our_value = rt.asarray(our_value)
        self.write(pair, lambda x: x.__setitem__(our_key, our_value), lambda x: x.__setitem__(key, value))

    @rule(pair=pairs, other=pairs)
    def copy_(self, pair: Pair, other: Pair) -> None:
        if KINDS[other.array.dtype.kind] <= KINDS[pair.array.dtype.kind]:
            self.write(
                pair,
                lambda x: x.copy_(other.tensor),
                lambda x: x.__setitem__(..., np.broadcast_to(other.array, x.shape)),
            )

    # Strangers who share the memory

    @precondition(lambda self: rt.device().shares_host_memory and len(self.foreign) < 6)
    @rule(pair=pairs, how=st.sampled_from([np.from_dlpack, np.asarray, lambda x: x.numpy()]))
    def export(self, pair: Pair, how: Callable[[Any], Array]) -> None:
        if pair.tensor.requires_grad:
            with pytest.raises(RusTorchError, match=r"detach"):
                how(pair.tensor)
        is_copied = how is np.from_dlpack and pair.array.size and min(pair.array.strides, default=0) < 0
        twin = pair.array.copy() if is_copied else pair.array[...]  # not every reader can turn back
        self.foreign.append((how(pair.tensor.detach()), twin))

    @precondition(lambda self: self.foreign)
    @rule(which=SMALL, data=st.data())
    def write_from_outside(self, which: int, data: Any) -> None:
        host, array = self.foreign[which % len(self.foreign)]
        assert host.flags.writeable == array.flags.writeable
        if array.flags.writeable:
            key = data.draw(hnp.basic_indices(array.shape), label="key")
            for each in (host, array):
                each[key] = numbers(array[key].shape, array.dtype, which)

    @precondition(lambda self: self.foreign)
    @rule(which=SMALL)
    def forget_outside(self, which: int) -> None:
        self.foreign.pop(which % len(self.foreign))

    # What must hold after each step

    @invariant()
    def values_agree(self) -> None:
        for pair in self.live:
            assert (pair.tensor.shape, pair.tensor.dtype) == (pair.array.shape, pair.array.dtype)
            found = pair.tensor.device.to_host(pair.tensor._array)
            if not np.array_equal(found, pair.array, equal_nan=pair.array.dtype.kind in "fc"):
                tolerance = 1e-4 if pair.array.dtype in ("float32", "complex64") else 1e-10
                np.testing.assert_allclose(found, pair.array, rtol=tolerance, atol=tolerance)
                with rt.no_grad():  # roundings do not grow
                    pair.tensor.detach()[...] = rt.asarray(pair.array)
        for host, array in self.foreign:
            np.testing.assert_array_equal(host, array)

    @invariant()
    def memory_agrees(self) -> None:
        if not rt.device().shares_host_memory:
            return
        handles = [(pair.tensor._array, pair.array) for pair in self.live] + self.foreign
        for place, (ours, theirs) in enumerate(handles):
            for our_other, their_other in handles[:place]:
                assert np.shares_memory(ours, our_other) == np.shares_memory(theirs, their_other)


# Gradients

STEP = 1e-3
#: How far each shadow of a program is from it, in steps along one direction.
SHADOWS = (1, -1, 2, -2)

SHAPES_OF_FLOATS = st.sampled_from([(), (3,), (2, 3), (3, 3), (2, 1, 2)])

A_VIEW = st.tuples(st.sampled_from([*VIEWS, *["reshape", "mT", "reshape without a copy"] * 3]), SMALL)
SOME_VIEWS = st.lists(A_VIEW, max_size=2)

OPS: dict[str, Callable[..., Any]] = {
    "concat": lambda xp, x: xp.concat([x, x * x], axis=-1) if x.ndim and x.size < 12 else x * x,
    "cumulative_sum": lambda xp, x: xp.cumulative_sum(x, axis=-1) if x.ndim else +x,
    "exp": lambda xp, x: xp.exp(x * 0.3),
    "matmul": lambda xp, x: x @ x.mT if x.ndim > 1 else x * x,
    "roll": lambda xp, x: xp.roll(x, 1),
    "sin": lambda xp, x: xp.sin(x),
    "sqrt": lambda xp, x: xp.sqrt(x * x + 1),
    "square": lambda xp, x: x * x,
    "sum": lambda xp, x: xp.sum(x, axis=-1, keepdims=True) if x.ndim else -x,
    "tanh": lambda xp, x: xp.tanh(x),
}

PAIRINGS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "add": lambda xp, x, y: x + y,
    "sub": lambda xp, x, y: x - y,
    "mul": lambda xp, x, y: x * y,
    "truediv": lambda xp, x, y: x / (y * y + 2),
    "where": lambda xp, x, y: xp.where(xp.reshape(xp.arange(x.size), x.shape) % 2 == 0, x, y),
}

IN_PLACE_OF_FLOATS: dict[str, Callable[[Any, Any], Any]] = {
    "iadd": operator.iadd,
    "isub": operator.isub,
    "imul": operator.imul,
    "itruediv": lambda x, y: operator.itruediv(x, y * y + 2),
    "ipow": lambda x, y: operator.ipow(x, 2),
    "imatmul": lambda x, y: (
        operator.imatmul(x, x.mT) if x.ndim > 1 and x.shape[-1] == x.shape[-2] else operator.iadd(x, y)
    ),
}


#: Methods in place, and what they compute.
METHODS: dict[str, tuple[Callable[[rt.Tensor, rt.Tensor], Any], Callable[[Array, Array], Any]]] = {
    "add_": (lambda x, y: x.add_(y, alpha=-0.5), lambda x, y: x - 0.5 * y),
    "mul_": (lambda x, y: x.mul_(y), lambda x, y: x * y),
    "clamp_": (lambda x, y: x.clamp_(-7.0, 7.5), lambda x, y: np.clip(x, -7.0, 7.5)),
    "fill_": (lambda x, y: x.fill_(rt.sum(y)), lambda x, y: np.full_like(x, np.sum(y))),
    "sin_": (lambda x, y: x.sin_(), lambda x, y: np.sin(x)),
    "tanh_": (lambda x, y: x.tanh_(), lambda x, y: np.tanh(x)),
    "zero_": (lambda x, y: x.zero_(), lambda x, y: np.zeros_like(x)),
}
IN_PLACE_OF_FLOATS |= {
    name: lambda x, y, both=both: both[isinstance(x, np.ndarray)](x, y) for name, both in METHODS.items()
}


@dataclass(eq=False)
class Track:
    """A tensor, its array, and for each shadow how far its array is from that, in memory that lies the same way.

    What is no function of the leaves (what is written unrecorded, and what is detached) is the same in every shadow.
    """

    tensor: rt.Tensor
    value: Array
    shadows: list[Array]
    leaf: bool = False


def alike(value: Array) -> Array:
    """Zeros that lie in memory of their own as an array does in its."""
    low, high = np.lib.array_utils.byte_bounds(value)
    return np.ndarray(
        value.shape,
        value.dtype,
        np.zeros(high - low, "u1").data,
        value.ctypes.data - low if value.size else 0,
        value.strides,
    )


def slope(gradients: list[float]) -> float:
    near, back, far, far_back = gradients
    return (8 * (near - back) - (far - far_back)) / (12 * STEP)


def curvature(gradients: list[float]) -> float:
    near, back, far, far_back = gradients
    return (16 * (near + back) - (far + far_back)) / (12 * STEP**2)


class Gradients(Recorder):
    """Programs that mutate, their first and second derivatives compared with finite differences of them on NumPy."""

    tracks = Bundle("tracks")

    def __init__(self) -> None:
        super().__init__()
        self.live: list[Track] = []
        self.leaves: list[tuple[rt.Tensor, Array]] = []
        self.losses: list[tuple[rt.Tensor, list[float]]] = []
        self.expected: list[float] = [0.0] * len(SHADOWS)

    def add(self, tensor: rt.Tensor, value: Any, shadows: list[Any] | None = None, leaf: bool = False) -> Track:
        value = in_memory(value)
        shadows = [alike(value) for _ in SHADOWS] if shadows is None else [np.asarray(each) for each in shadows]
        self.live.append(Track(tensor, value, shadows, leaf))
        return self.live[-1]

    @initialize(target=tracks)
    def start(self) -> Any:
        computed = [
            self.apply(lambda xp, x: x * 1, self.make_(shape, i, True)) for i, shape in enumerate([(2, 3), (3,)])
        ]
        return multiple(*computed, self.make_((3, 2), 2, False))

    def make_(self, shape: tuple[int, ...], start: int, is_leaf: bool) -> Track:
        value = numbers(shape, "float64", start)
        track = self.add(rt.asarray(value.copy()), value)
        if is_leaf:
            self.require(track)
        return track

    def require(self, track: Track) -> None:
        direction = np.cos(np.arange(track.value.size) + len(self.leaves)).reshape(track.value.shape)
        track.shadows = [alike(track.value) for _ in SHADOWS]
        for shadow, steps in zip(track.shadows, SHADOWS, strict=True):
            shadow[...] = direction * steps * STEP
        track.tensor.requires_grad_()
        track.leaf = True
        self.leaves.append((track.tensor, direction))

    @precondition(lambda self: len(self.live) < 10)
    @rule(target=tracks, shape=SHAPES_OF_FLOATS, start=SMALL, is_leaf=st.sampled_from([True, False, False]))
    def make(self, shape: tuple[int, ...], start: int, is_leaf: bool) -> Track:
        return self.make_(shape, start, is_leaf)

    @precondition(lambda self: len(self.leaves) < 4)
    @rule(track=tracks)
    def become_a_leaf(self, track: Track) -> None:
        if not track.tensor.requires_grad and track.value.flags.writeable:
            self.require(track)

    @rule(track=consumes(tracks))
    def forget(self, track: Track) -> None:
        self.live.remove(track)

    # Views and values

    def derive(self, track: Track, function: Callable[[Any, Any], Any]) -> Any:
        try:
            value = function(np, track.value)
        except (ValueError, TypeError, IndexError):
            return multiple()
        tensor = function(rt, track.tensor)
        if tensor is track.tensor:
            return multiple()
        shadows = [function(np, each) for each in track.shadows] if self.records else None
        return self.add(tensor, value, shadows, self.is_of_leaf(value, track.value, track.leaf))

    @precondition(lambda self: len(self.live) < 10)
    @rule(target=tracks, track=tracks, view=A_VIEW)
    def view(self, track: Track, view: tuple[str, int]) -> Any:
        name, i = view
        return self.derive(track, lambda xp, x: VIEWS[name](xp, x, i))

    @precondition(lambda self: len(self.live) < 10)
    @rule(target=tracks, track=tracks, data=st.data())
    def index(self, track: Track, data: Any) -> Any:
        key = fitting_key(track.value, data)
        our_key = in_tensors(key)
        made = self.derive(track, lambda xp, x: x[key if xp is np else our_key])
        spoil(our_key)
        return made

    @precondition(lambda self: len(self.live) < 10)
    @rule(target=tracks, track=tracks)
    def detach(self, track: Track) -> Track:
        return self.add(track.tensor.detach(), track.value[...])

    def apply(self, function: Callable[..., Any], *operands: Track) -> Track:
        value = np.asarray(function(np, *[each.value for each in operands]))
        track = self.add(function(rt, *[each.tensor for each in operands]), value)
        for i, shadow in enumerate(track.shadows if self.records else []):
            shadow[...] = function(np, *[each.value + each.shadows[i] for each in operands]) - value
        self.tame(track)
        return track

    @precondition(lambda self: len(self.live) < 10)
    @rule(target=tracks, track=tracks, name=st.sampled_from(list(OPS)))
    def calculate(self, track: Track, name: str) -> Track:
        return self.apply(OPS[name], track)

    @precondition(lambda self: len(self.live) < 10)
    @rule(target=tracks, first=tracks, second=tracks, name=st.sampled_from(list(PAIRINGS)))
    def combine(self, first: Track, second: Track, name: str) -> Track:
        return self.apply(lambda xp, x, y: PAIRINGS[name](xp, x, fitted(xp, y, x.shape)), first, second)

    # Writes

    def write(self, track: Track, ours: Callable[[rt.Tensor], Any], key: Any, new: Callable[..., Any]) -> None:
        """Write at a key what is computed from arrays that are looked up, in the array and in every shadow."""
        if track.leaf and not track.value.size:
            return
        if (track.leaf and self.records) or not track.value.flags.writeable:
            with pytest.raises(RusTorchError, match=r"read-only|no_grad\(\)"):
                ours(track.tensor)
            return
        value = np.array(new(lambda each: each.value))
        shadows = [np.asarray(new(lambda each, i=i: each.value + each.shadows[i])) - value for i in range(len(SHADOWS))]
        try:
            track.value[key] = value
        except (ValueError, TypeError):
            with pytest.raises(RusTorchError):
                ours(track.tensor)
            return
        for shadow, each in zip(track.shadows, shadows, strict=True):
            if self.records:
                shadow[key] = each
        ours(track.tensor)
        self.tame(track)

    def tame(self, track: Track) -> None:
        """Keep numbers small."""
        largest = np.abs(track.value).max(initial=0.0)
        if largest > 3 and track.value.flags.writeable and not (track.leaf and self.records):
            self.write(track, lambda x: operator.imul(x, 1 / largest), ..., lambda read: read(track) * (1 / largest))

    def through(self, track: Track, views: list[tuple[str, int]]) -> Track:
        """A view that nobody keeps."""
        for name, i in views:
            made = self.derive(track, lambda xp, x, name=name, i=i: VIEWS[name](xp, x, i))
            if isinstance(made, Track):
                self.live.remove(made)
                track = made
        return track

    @rule(
        track=tracks, views=SOME_VIEWS, other=tracks, data=st.data(), how=st.sampled_from(["plain", "leading", "copy_"])
    )
    def assign(self, track: Track, views: list[tuple[str, int]], other: Track, data: Any, how: str) -> None:
        track = self.through(track, views)
        key = ... if how == "copy_" else fitting_key(track.value, data)
        our_key, shape = in_tensors(key), track.value[key].shape

        def value(xp: Any, source: Any) -> Any:
            found = fitted(xp, source, shape)
            return found[None] if how == "leading" and shape else found

        def ours(x: rt.Tensor) -> None:
            if how == "copy_":
                x.copy_(value(rt, other.tensor))
            else:
                x[our_key] = value(rt, other.tensor)

        self.write(track, ours, key, lambda read: value(np, np.asarray(read(other))))
        spoil(our_key)

    @rule(track=tracks, views=SOME_VIEWS, data=st.data(), number=st.sampled_from([0, 1, -0.5]))
    def assign_a_number(self, track: Track, views: list[tuple[str, int]], data: Any, number: float) -> None:
        track = self.through(track, views)
        key = fitting_key(track.value, data)
        our_key = in_tensors(key)
        self.write(track, lambda x: x.__setitem__(our_key, number), key, lambda read: number)
        spoil(our_key)

    @rule(track=tracks, views=SOME_VIEWS, other=tracks, name=st.sampled_from(list(IN_PLACE_OF_FLOATS)), data=st.data())
    def operate(self, track: Track, views: list[tuple[str, int]], other: Track, name: str, data: Any) -> None:
        """`x[key] += y`, for any operator; `x += y` where the key is `...`."""
        track, symbol = self.through(track, views), IN_PLACE_OF_FLOATS[name]
        key = fitting_key(track.value, data)
        our_key, shape = in_tensors(key), track.value[key].shape

        def ours(x: rt.Tensor) -> None:
            partner = fitted(rt, other.tensor, shape)
            if key is ...:
                assert symbol(x, partner) is x
            else:
                x[our_key] = symbol(x[our_key], partner)

        def new(read: Callable[[Track], Array]) -> Any:
            return symbol(np.array(read(track)[key]), fitted(np, np.asarray(read(other)), shape))

        self.write(track, ours, key, new)
        spoil(our_key)

    # Losses

    def loss(self, track: Track, is_linear: bool, is_turned: bool) -> tuple[rt.Tensor, list[float]]:
        weights = np.sin(np.arange(track.value.size) + 1.0).reshape(track.value.shape)

        def measured(xp: Any, x: Any, weights: Any) -> Any:
            if is_turned:
                x, weights = (xp.permute_dims(each, tuple(reversed(range(x.ndim)))) for each in (x, weights))
            return xp.sum(x * weights if is_linear else x * weights * x)

        start = measured(np, track.value, weights)
        shadows = [float(measured(np, track.value + each, weights) - start) for each in track.shadows]
        return measured(rt, track.tensor, rt.asarray(weights)), shadows

    @precondition(lambda self: self.records and len(self.losses) < 5)
    @rule(track=tracks, is_linear=st.booleans(), is_turned=st.booleans())
    def observe(self, track: Track, is_linear: bool, is_turned: bool) -> None:
        self.losses.append(self.loss(track, is_linear, is_turned))

    @precondition(lambda self: self.losses)
    @rule(which=SMALL)
    def walk(self, which: int) -> None:
        loss, shadows = self.losses[which % len(self.losses)]
        if loss.requires_grad:
            loss.backward(retain_graph=True)
            self.expected = [sum(both) for both in zip(self.expected, shadows, strict=True)]

    # What must hold

    @invariant()
    def values_agree(self) -> None:
        for track in self.live:
            found = track.tensor.device.to_host(track.tensor._array)
            np.testing.assert_allclose(found, track.value, rtol=1e-9, atol=1e-12)

    def along_the_direction(self) -> rt.Tensor:
        """The derivative of what was walked back from, along the direction in which the shadows stand apart."""
        parts = [rt.sum(leaf.grad * rt.asarray(direction)) for leaf, direction in self.leaves if leaf.grad is not None]
        for leaf, _ in self.leaves:
            leaf.grad = None
        return sum(parts, rt.asarray(0.0, dtype="float64"))

    def teardown(self) -> None:
        super().teardown()
        assert self.along_the_direction().item() == pytest.approx(slope(self.expected), rel=1e-6, abs=1e-6)
        losses = self.losses + [self.loss(track, i % 2 == 0, i % 3 > 0) for i, track in enumerate(self.live)]
        total = sum(loss for loss, _ in losses)
        shadows = [sum(each) for each in zip(*[each for _, each in losses], strict=True)]
        if not losses or not total.requires_grad:
            return
        total.backward(create_graph=True)
        first = self.along_the_direction()
        assert first.item() == pytest.approx(slope(shadows), rel=1e-6, abs=1e-6)
        if first.requires_grad:
            first.backward()
        assert self.along_the_direction().item() == pytest.approx(curvature(shadows), rel=1e-4, abs=1e-4)


TestValues = Values.TestCase
TestValues.settings = settings(max_examples=100, stateful_step_count=30, deadline=None, derandomize=True)
TestGradients = Gradients.TestCase
TestGradients.settings = settings(max_examples=100, stateful_step_count=20, deadline=None, derandomize=True)
