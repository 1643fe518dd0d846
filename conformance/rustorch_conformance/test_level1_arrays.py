"""Level 1: arrays come and go unchanged, stay on their device, and are read and written as NumPy's are."""

from __future__ import annotations

from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

import rustorch
from rustorch_core._data_types import DTYPES
from rustorch_core._devices import Device
from rustorch_core.errors import BackendUnavailableError, DeviceMismatchError, RusTorchError

#: The same examples each time, so that a failure's line reproduces it.
_SETTINGS = settings(derandomize=True, database=None, deadline=None, max_examples=50)
_SHAPES = arrays_of.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)
_SPECIAL = [0.0, -0.0, 1.5, -1.5, numpy.inf, -numpy.inf, numpy.nan, 1e-45, 3e38]


def _on(device: Device | str, array: Any) -> rustorch.Tensor:
    return rustorch.asarray(numpy.array(array), device=device, copy=True)


def _host(x: rustorch.Tensor) -> Any:
    return numpy.array(x.device.to_host(x._array))


@pytest.fixture(scope="module")
def target(device: str) -> Device:
    """The device, opened."""
    return rustorch.device(device)


def test_single_precision_is_there(target: Device) -> None:
    for dtype in ("bool", "int32", "int64", "float32"):
        assert target.supports(dtype), f"{target} has no {dtype}"


@pytest.mark.parametrize("dtype", list(DTYPES))
def test_values_return_bit_for_bit(target: Device, dtype: str) -> None:
    if not target.supports(dtype):
        with pytest.raises(RusTorchError, match=dtype):
            rustorch.zeros(3, dtype=dtype, device=target)
        return
    for shape in ((), (0,), (1,), (7,), (3, 5), (2, 0, 3), (2, 3, 4)):
        raw = numpy.random.default_rng(0).integers(0, 256, (*shape, DTYPES[dtype].itemsize), dtype=numpy.uint8)
        sent = (raw % 2).astype(bool)[..., 0] if dtype == "bool" else raw.view(DTYPES[dtype])[..., 0]
        back = target.to_host(target.from_host(numpy.ascontiguousarray(sent).reshape(shape)))
        assert (back.dtype, back.shape) == (sent.dtype, shape)
        is_equal = (back == sent) | ((back != back) & (sent != sent))
        assert is_equal.all(), f"{dtype}: {sent} came back as {back}"


def test_special_values_return(target: Device) -> None:
    sent = numpy.float32(_SPECIAL)
    back = target.to_host(target.from_host(sent))
    numpy.testing.assert_array_equal(back, sent)
    numpy.testing.assert_array_equal(numpy.signbit(back), numpy.signbit(sent))


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x[::-1],
        lambda x: x[:, ::2],
        lambda x: x.T,
        lambda x: numpy.broadcast_to(x[:1], x.shape),
        lambda x: x[1:],
    ],
    ids=["reversed", "spread", "transposed", "broadcast", "shifted"],
)
def test_strided_arrays_return(target: Device, change: Any) -> None:
    sent = change(numpy.arange(20, dtype="float32").reshape(4, 5))
    numpy.testing.assert_array_equal(target.to_host(target.from_host(sent)), sent)


def test_memory_is_its_own(target: Device) -> None:
    """The host may write what it has sent at once, however large; a transfer that is under way must not see it."""
    for size in (4, 1 << 16):
        sent = numpy.zeros(size, dtype="float32")
        native = target.from_host(sent)
        sent[...] = -1
        assert not target.to_host(native).any()


def test_transfer_to_the_host_and_back(target: Device) -> None:
    x = _on(target, numpy.arange(6, dtype="float32").reshape(2, 3)).mT
    there = x.to("cpu")
    assert str(there.device) == "cpu"
    assert x.device is target
    numpy.testing.assert_array_equal(_host(there), _host(x))
    back = there.to(target)
    assert back.device is target
    numpy.testing.assert_array_equal(_host(back), _host(x))


def test_numbers_leave_the_device(target: Device) -> None:
    x = _on(target, numpy.float32([[1.5, -2.0]]))
    assert x.tolist() == [[1.5, -2.0]]
    assert (x[0, 0].item(), float(x[0, 1]), bool(x[0, 0]), int(x[0, 1])) == (1.5, -2.0, True, -2)
    assert "1.5" in repr(x)


def test_exchange_by_dlpack(target: Device) -> None:
    """Another library takes the memory where it can; else the answer is ours, and the host's road stays open."""
    x = _on(target, numpy.arange(6, dtype="float32").reshape(2, 3))
    try:
        taken = numpy.from_dlpack(x.to("cpu"))
    except RusTorchError:
        taken = _host(x)
    numpy.testing.assert_array_equal(taken, [[0, 1, 2], [3, 4, 5]])
    received = rustorch.from_dlpack(numpy.arange(3, dtype="float32"), device=target, copy=True)
    assert received.device is target
    assert received.tolist() == [0.0, 1.0, 2.0]


def test_creation(target: Device) -> None:
    for made, expected in (
        (rustorch.zeros((2, 3), device=target), numpy.zeros((2, 3), "float32")),
        (rustorch.ones(2, device=target), numpy.ones(2, "float32")),
        (rustorch.full((2,), 2.5, device=target), numpy.full(2, 2.5, "float32")),
        (rustorch.arange(4, device=target), numpy.arange(4)),
        (rustorch.linspace(0, 1, 5, device=target), numpy.linspace(0, 1, 5, dtype="float32")),
        (rustorch.eye(3, device=target), numpy.eye(3, dtype="float32")),
        (rustorch.asarray([1.5, 2.5], device=target), numpy.float32([1.5, 2.5])),
        (rustorch.asarray([True, False], device=target), numpy.array([True, False])),
    ):
        assert made.device is target
        assert str(made.dtype) == str(expected.dtype)
        numpy.testing.assert_array_equal(_host(made), expected)
        assert made._key is _on(target, expected)._key


@given(data=st.data())
@_SETTINGS
def test_basic_keys_read_as_in_numpy(target: Device, data: st.DataObject) -> None:
    shape = data.draw(_SHAPES)
    array = numpy.arange(numpy.prod(shape), dtype="float32").reshape(shape)
    key = data.draw(arrays_of.basic_indices(array.shape, allow_newaxis=True, allow_ellipsis=True))
    numpy.testing.assert_array_equal(_host(_on(target, array)[key]), array[key])


@given(data=st.data())
@_SETTINGS
def test_basic_keys_write_as_in_numpy(target: Device, data: st.DataObject) -> None:
    shape = data.draw(_SHAPES)
    array = numpy.zeros(shape, "float32")
    x = _on(target, array)
    for value in (1.0, 2.0):
        key = data.draw(arrays_of.basic_indices(shape))
        array[key] = value
        x[key] = value
    numpy.testing.assert_array_equal(_host(x), array)


@pytest.mark.parametrize(
    "key", [([0, 2, 2],), (slice(1, None), [1, 0]), ([True, False, True],), ([[2], [0]], [0, 3])], ids=str
)
def test_arrays_as_keys(target: Device, key: tuple[Any, ...]) -> None:
    array = numpy.arange(12, dtype="float32").reshape(3, 4)
    x = _on(target, array)
    native_key = tuple(numpy.array(part) if isinstance(part, list) else part for part in key)
    ours = tuple(_on(target, part) if isinstance(part, numpy.ndarray) else part for part in native_key)
    numpy.testing.assert_array_equal(_host(x[ours]), array[native_key])
    x[ours] = -1.0
    array[native_key] = -1.0
    numpy.testing.assert_array_equal(_host(x), array)


_VIEWS = {
    "integer": lambda x: x[1],
    "slice": lambda x: x[1:, ::2],
    "reversed": lambda x: x[::-1],
    "transpose": lambda x: x.mT,
    "new axis": lambda x: x[:, None],
    "slice of a transpose": lambda x: x.mT[1:],
}


@pytest.mark.parametrize("view", _VIEWS.values(), ids=list(_VIEWS))
def test_writes_go_through_views(target: Device, view: Any) -> None:
    array = numpy.arange(12, dtype="float32").reshape(3, 4)
    x = _on(target, array)
    seen = view(x)
    seen[...] = -1.0
    view(array)[...] = -1.0
    numpy.testing.assert_array_equal(_host(x), array, err_msg="the base misses what was written to its view")
    x += 1
    array += 1
    numpy.testing.assert_array_equal(_host(seen), view(array), err_msg="the view misses what was written to its base")


def test_native_views_share_memory_where_the_device_says_so(target: Device) -> None:
    """`Backend(writable=True)` promises that slices and transposes of native arrays share their memory."""
    if target.is_writable:
        xp, native = target.namespace, target.from_host(numpy.zeros((2, 3), dtype="float32"))
        native[0, :][...] = 1.0
        xp.permute_dims(native, (1, 0))[0, :] = 2.0
        numpy.testing.assert_array_equal(target.to_host(native), [[2, 1, 1], [2, 0, 0]])


def test_copies_are_copies(target: Device) -> None:
    x = _on(target, numpy.zeros(3, "float32"))
    for copy in (x.clone(), rustorch.asarray(x, copy=True), x + 0, x[[0, 1, 2]]):
        copy[...] = 1.0
        assert x.tolist() == [0.0, 0.0, 0.0]


def test_each_index_keeps_its_arrays(target: Device) -> None:
    homes = [rustorch.device(f"{target.type}:{index}") for index in range(target.backend.count)]
    with pytest.raises((RusTorchError, BackendUnavailableError)):
        rustorch.device(f"{target.type}:{len(homes)}")
    places = []
    for home in homes:
        x = _on(home, numpy.float32([[1.0, 2.0], [3.0, 4.0]]))
        results = [x, x + x, x @ x, x[0], rustorch.sum(x), rustorch.zeros(2, device=home), rustorch.exp(x)]
        assert all(result.device is home for result in results)
        natives = [getattr(result._array, "device", None) for result in results]
        assert all(native == natives[0] for native in natives), f"arrays of {home} are on {natives}"
        places.append(natives[0])
    if len(homes) > 1:
        assert len({str(place) for place in places}) == len(homes), f"native arrays of all indices are on {places[0]}"
        x, y = (_on(home, numpy.float32([1.0])) for home in homes[:2])
        with pytest.raises(DeviceMismatchError):
            x + y
        assert x.to(homes[1]).device is homes[1]
        assert (x.to(homes[1]) + y).tolist() == [2.0]


def test_memory_is_stated_in_bytes(target: Device) -> None:
    if target.backend.memory is not None:
        free, total = target.backend.memory(target.index)
        assert 0 <= free <= total


def test_synchronize_returns(target: Device) -> None:
    assert target.synchronize() is None
