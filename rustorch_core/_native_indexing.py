"""Indexing native arrays with NumPy's keys, on namespaces that promise no more than the standard.

The standard indexes by integers, slices, `...` and None, by one boolean array alone, or by one integer array for each
axis; it writes by the first two only, and cannot add to places that repeat. The rest is composed here. A namespace that
has more says so by three functions, which then serve instead:

    index_get(array, key) -> array            NumPy's `array[key]`
    index_set(array, key, value) -> array     after NumPy's `array[key] = value`: the same array, or a new one where
                                              arrays cannot be written
    index_add(array, key, values) -> array    likewise, adding also where places repeat

A key is a tuple of integers, slices, None, `...` and native arrays, in which `...` stands for the axes left out.
"""

from __future__ import annotations

import math
from typing import Any

Key = tuple[Any, ...]
Shape = tuple[int, ...]


def is_basic(key: Key) -> bool:
    """Whether a key is made of integers, slices, `...` and None alone, so that it gives a view."""
    return all(each is None or each is Ellipsis or isinstance(each, (int, slice)) for each in key)


def get(xp: Any, array: Any, key: Key) -> Any:
    """The elements at a key: NumPy's `array[key]`."""
    index_get = getattr(xp, "index_get", None)
    if index_get is not None:
        return index_get(array, key)
    if is_basic(key):
        return _sliced(xp, array, _basic(xp, array.shape, key))
    return _picked(xp, array, _for_each_axis(xp, array.shape, key), _stand_apart(key))


def copied(xp: Any, array: Any, key: Key) -> Any:
    """The elements at a key in memory of their own, as those that arrays pick always are."""
    found = get(xp, array, key)
    return xp.asarray(found, copy=True) if is_basic(key) else found


def write(xp: Any, array: Any, key: Key, value: Any) -> None:
    """NumPy's `array[key] = value`, for a device whose arrays can be written."""
    if hasattr(xp, "index_set"):
        xp.index_set(array, key, value)
    elif is_basic(key) and None not in key:
        array[_basic(xp, array.shape, key)] = value
    else:
        array[...] = written(xp, array, key, value)


def written(xp: Any, array: Any, key: Key, value: Any) -> Any:
    """What NumPy's `array[key] = value` leaves; where places repeat, the last value counts.

    A new array where arrays cannot be written; else the caller needs the old one no longer.
    """
    if hasattr(xp, "index_set"):
        return xp.index_set(array, key, value)
    if len(key) == 1 and key[0] is Ellipsis:
        return xp.asarray(_stretched(xp, value, array.shape), copy=True)
    return put(xp, array, places(xp, array.shape, key), value)


def places(xp: Any, shape: Shape, key: Key) -> Any:
    """Where the elements at a key stand in the flattened array."""
    return get(xp, _numbered(xp, shape), key)


def put(xp: Any, array: Any, places: Any, value: Any) -> Any:
    """A new array with a value broadcast to places of the flattened array; where they repeat, the last value counts."""
    if not math.prod(places.shape):
        return array
    if hasattr(xp, "index_set"):
        flat = xp.reshape(xp.asarray(array, copy=True), (-1,))
        return xp.reshape(xp.index_set(flat, (places,), value), array.shape)
    values = xp.reshape(_stretched(xp, value, places.shape), (-1,))
    order, _, is_there, last = _in_order(xp, places, math.prod(array.shape))
    new = xp.take(values, xp.take(order, last))
    return xp.reshape(xp.where(is_there, new, xp.reshape(array, (-1,))), array.shape)


def _stretched(xp: Any, value: Any, shape: Shape) -> Any:
    """A value broadcast to the shape of the place it is written to, which may have fewer axes, as in NumPy."""
    extra = len(value.shape) - len(shape)
    return xp.broadcast_to(xp.reshape(value, value.shape[extra:]) if extra > 0 else value, shape)


def scattered(xp: Any, values: Any, shape: Shape, key: Key) -> Any:
    """Zeros of a shape with values added at a key, in which places may repeat: the adjoint of `get`."""
    zeros = xp.zeros(shape, dtype=values.dtype)
    if is_basic(key):
        return written(xp, zeros, key, values)
    if hasattr(xp, "index_add"):
        return xp.index_add(zeros, key, values)
    to = places(xp, shape, key)
    count = math.prod(to.shape)
    if not count:
        return zeros
    order, ordered, is_there, last = _in_order(xp, to, math.prod(shape))
    sums, step = xp.take(xp.reshape(values, (-1,)), order), 1
    while step < count:  # each entry holds the sum of those of its place among the last 1, 2, 4... entries
        is_same = ordered[step:] == ordered[:-step]
        sums = xp.concat([sums[:step], xp.where(is_same, sums[step:] + sums[:-step], sums[step:])])
        step *= 2
    return xp.reshape(xp.where(is_there, xp.take(sums, last), xp.reshape(zeros, (-1,))), shape)


def _numbered(xp: Any, shape: Shape) -> Any:
    return xp.reshape(xp.arange(math.prod(shape)), shape)


def _in_order(xp: Any, places: Any, size: int) -> tuple[Any, Any, Any, Any]:
    """Sort places: the entries in order, their places; and for each of `size` places, if it is met, and where last."""
    flat = xp.reshape(places, (-1,))
    order = xp.argsort(flat, stable=True)
    ordered, everywhere = xp.take(flat, order), xp.arange(size)
    after = xp.searchsorted(ordered, everywhere, side="right")
    is_there = after > xp.searchsorted(ordered, everywhere, side="left")
    return order, ordered, is_there, xp.where(is_there, after - 1, xp.zeros_like(after))


def _for_each_axis(xp: Any, shape: Shape, key: Key) -> Key:
    """A key with slices for `...`, and no slice beyond the ends of its axis, where the standard promises nothing.

    Raises:
        IndexError: for more parts than axes, a second `...`, and a mask of another shape than the axes it stands for.
    """
    spans = [0 if part is None or part is Ellipsis else len(part.shape) if _is_mask(xp, part) else 1 for part in key]
    left_out = len(shape) - sum(spans)
    if left_out < 0:
        raise IndexError(f"too many indices: {sum(spans)} for {len(shape)} axes")
    if sum(part is Ellipsis for part in key) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    parts: list[Any] = []
    axis = 0
    for part, span in zip(key, spans, strict=True):
        axes = shape[axis : axis + (left_out if part is Ellipsis else span)]
        axis += len(axes)
        if part is Ellipsis:
            parts += [slice(None)] * left_out
            continue
        if isinstance(part, slice):
            part = _within(part, *axes)
        elif _is_mask(xp, part) and any(
            length not in (0, found) for length, found in zip(part.shape, axes, strict=True)
        ):
            raise IndexError(f"a boolean index of shape {part.shape} cannot choose among axes of shape {axes}")
        parts.append(part)
    return tuple(parts)


def _basic(xp: Any, shape: Shape, key: Key) -> Key:
    """A basic key with slices for `...`, which still stands at the end: with it, even one element is a view."""
    parts = _for_each_axis(xp, shape, key)
    return (*parts, ...) if ... in key else parts


def _sliced(xp: Any, array: Any, key: Key) -> Any:
    """The elements at a basic key; where a library refuses to step backwards, as PyTorch does, forwards and flipped."""
    try:
        return array[key]
    except ValueError:
        kept = [part for part in key if not isinstance(part, int)]
        backwards = [axis for axis, part in enumerate(kept) if _is_backwards(part)]
        if not backwards:
            raise
        forwards = tuple(_forwards(part) if _is_backwards(part) else part for part in key)
        return xp.flip(array[forwards], axis=tuple(backwards))


def _is_backwards(part: Any) -> bool:
    return isinstance(part, slice) and part.step is not None and part.step < 0


def _forwards(part: slice) -> slice:
    """The same elements as those of a slice that steps backwards, first one last."""
    elements = range(part.start, -1 if part.stop is None else part.stop, part.step)
    return slice(elements[-1], part.start + 1, -part.step)


def _is_mask(xp: Any, part: Any) -> bool:
    return hasattr(part, "dtype") and bool(part.dtype == xp.bool)


def _within(part: slice, length: int) -> slice:
    start, stop, step = part.indices(length)
    if not range(start, stop, step):
        return slice(0, 0)
    return slice(start, stop if stop >= 0 else None, step)


def _stand_apart(key: Key) -> bool:
    """Whether a slice, None or `...` stands between integers and arrays; NumPy then puts their axes to the front."""
    numbers = [
        number
        for number, part in enumerate(key)
        if part is not None and part is not Ellipsis and not isinstance(part, slice)
    ]
    return numbers[-1] - numbers[0] >= len(numbers)


def _picked(xp: Any, array: Any, parts: Key, to_the_front: bool) -> Any:
    """The elements at a key with arrays in it: its slices first, then one `take` along the arrays' axes merged."""
    slices, picks = _split(xp, parts)
    array = _sliced(xp, array, slices)
    axes, start = list(picks), min(picks)
    if to_the_front:
        array = xp.permute_dims(array, (*axes, *[axis for axis in range(len(array.shape)) if axis not in picks]))
        start = 0
    before, lengths, after = _cut(array.shape, start, start + len(axes))
    chosen = picks[axes[0]]
    if len(axes) > 1:
        # The device's own indexing broadcasts the indices, and finds those beyond the ends of their axes.
        chosen = _numbered(xp, lengths)[tuple(picks.values())]
    merged = xp.reshape(array, (*before, math.prod(lengths), *after))
    return xp.reshape(xp.take(merged, xp.reshape(chosen, (-1,)), axis=start), (*before, *chosen.shape, *after))


def _cut(shape: Shape, start: int, end: int) -> tuple[Shape, Shape, Shape]:
    return shape[:start], shape[start:end], shape[end:]


def _split(xp: Any, parts: Key) -> tuple[Key, dict[int, Any]]:
    """A key's slices, and by axis of what they give its integers and integer arrays, masks being the latter."""
    slices: list[Any] = []
    picks: dict[int, Any] = {}
    for part in parts:
        if part is None or isinstance(part, slice):
            slices.append(part)
        elif not _is_mask(xp, part):
            picks[len(slices)] = part
            slices.append(slice(None))
        elif not part.shape:  # a mask without axes picks all or nothing along an axis of its own
            (picks[len(slices)],) = xp.nonzero(xp.reshape(part, (1,)))
            slices.append(None)
        else:
            for each in xp.nonzero(part):
                picks[len(slices)] = each
                slices.append(slice(None))
    return tuple(slices), picks
