"""What core asks of a library that is not NumPy, on one with the ways of several: PyTorch's among them."""

import array_api_strict
import numpy
import pytest

import rustorch as rt
from rustorch.testing import gradcheck
from rustorch_core._devices import Device
from rustorch_core.errors import ArgumentError, DTypeError, LinearAlgebraError, ShapeError, UnsupportedOpError
from rustorch_core.plugin import Backend

pytestmark = pytest.mark.needs("cpu")

Array = type(array_api_strict.zeros(()))


class Foreign(Array):
    """Arrays that refuse to step backwards, and raise RuntimeError where NumPy raises ValueError."""

    __slots__ = ()

    def __getitem__(self, key):
        parts = key if isinstance(key, tuple) else (key,)
        if any(isinstance(part, slice) and (part.step or 1) < 0 for part in parts):
            raise ValueError("step must be greater than zero")
        return adopted(super().__getitem__(key))


def adopted(result):
    if isinstance(result, (tuple, list)):
        return type(result)(*map(adopted, result)) if hasattr(result, "_fields") else type(result)(map(adopted, result))
    if isinstance(result, Array):
        result.__class__ = Foreign
    return result


class _LinAlgError(RuntimeError):
    pass


class Namespace:
    """The standard without unsigned 64-bit integers, with PyTorch's errors, and with a bfloat16 of its own."""

    def __init__(self, module=array_api_strict):
        self._module = module

    def __getattr__(self, name):
        if name == "uint64":
            raise AttributeError(name)
        value = getattr(self._module, name)
        if name in ("linalg", "fft"):
            return Namespace(value)
        return self._calling(value) if callable(value) and not isinstance(value, type) else value

    def _calling(self, function):
        def call(*args, **kwargs):
            try:
                return adopted(function(*args, **kwargs))
            except numpy.linalg.LinAlgError as error:
                raise _LinAlgError(str(error)) from error
            except ValueError as error:
                raise RuntimeError(str(error)) from error

        return call

    def inv(self, x):
        """Rounded in another way than the determinant is."""
        return self.matrix_transpose(self._calling(self._module.inv)(self.matrix_transpose(x)))

    def unique_all(self, x):
        raise NotImplementedError("unique_all() not yet implemented")


@pytest.fixture(scope="module")
def foreign():
    return Device("foreign", 0, Backend(namespace=Namespace(), writable=False), Foreign)


@pytest.mark.parametrize(
    "key",
    [
        slice(None, None, -1),
        (slice(None), slice(3, 0, -2)),
        (1, slice(None, None, -1)),
        (None, slice(2, None, -1), ..., -1),
        (slice(None, None, -2), [0, 2, 1]),
        (..., slice(0, 3, -1)),
    ],
    ids=str,
)
def test_slices_step_backwards(foreign, key):
    values = numpy.arange(12.0).reshape(3, 4)
    x = rt.asarray(values, device=foreign)
    assert x[key].tolist() == values[key].tolist()
    gradcheck(lambda x: x[key], [x], order=2)
    x[key] = 7.0
    values[key] = 7.0
    assert x.tolist() == values.tolist()


def test_what_is_wrong_with_a_key_is_still_said(foreign):
    with pytest.raises(IndexError, match="too many indices"):
        rt.zeros((2, 2), device=foreign)[0, 0, ::-1]


@pytest.mark.parametrize(
    ("error", "call"),
    [
        (ShapeError, lambda zeros: zeros(2) + zeros(3)),
        (ShapeError, lambda zeros: rt.hypot(zeros((2, 3)), zeros((3, 2)))),
        (ArgumentError, lambda zeros: rt.concat([zeros((2, 2)), zeros((3, 3))])),
        (LinearAlgebraError, lambda zeros: rt.linalg.inv(zeros((2, 2)))),
        (UnsupportedOpError, lambda zeros: rt.unique_values(zeros(2))),
        (DTypeError, lambda zeros: rt.astype(zeros(2), rt.uint64)),
    ],
)
def test_what_the_library_raises_becomes_ours(foreign, error, call):
    with pytest.raises(error):
        call(lambda shape: rt.zeros(shape, device=foreign))


@pytest.mark.parametrize("function", [rt.sum, rt.prod, rt.cumulative_sum, rt.cumulative_prod])
def test_unsigned_integers_are_added_without_uint64(foreign, function):
    found = function(rt.asarray(numpy.asarray([200, 200], dtype=numpy.uint8), device=foreign))
    expected = function(rt.asarray([200, 200], device=foreign))
    assert found.dtype == rt.int64
    assert found.tolist() == expected.tolist()


def test_the_determinant_of_a_singular_matrix_has_derivatives(foreign):
    generator = numpy.random.default_rng(0)
    matrix = generator.normal(size=(4, 3)) @ generator.normal(size=(3, 4)) / 2
    gradcheck(rt.linalg.det, [rt.asarray(matrix, device=foreign)], order=2)


def test_bfloat16_crosses_as_float32():
    met = []

    class WithBfloat16(Namespace):
        bfloat16 = array_api_strict.float64  # stands for a dtype that NumPy lacks

    def from_host(array, index):
        met.append(array.dtype.name)
        return adopted(array_api_strict.asarray(array, copy=True))

    def to_host(native):
        met.append(str(native.dtype).rpartition(".")[2])
        return numpy.from_dlpack(native)

    facts = {"from_host": from_host, "to_host": to_host}
    device = Device("brain", 0, Backend(namespace=WithBfloat16(), writable=False, **facts), Foreign)
    x = rt.asarray([1.5, -2.0], dtype=rt.bfloat16, device="cpu")
    host = device.to_host(device.from_host(x._array))
    assert host.dtype == rt.bfloat16
    assert host.tolist() == [1.5, -2.0]
    assert met == ["float32", "float32"]
    assert device.to_host(device.from_host(numpy.ones(2, numpy.float32))).dtype == rt.float32


def test_what_comes_from_the_host_is_contiguous_and_aligned():
    met = []

    def from_host(array, index):
        met.append(array.flags)
        return adopted(array_api_strict.asarray(array, copy=True))

    device = Device("plain", 0, Backend(namespace=Namespace(), from_host=from_host, writable=False), Foreign)
    whole = numpy.arange(12.0).reshape(3, 4)
    read_only = whole.view()
    read_only.flags.writeable = False
    misaligned = numpy.frombuffer(b"x" + whole.tobytes(), dtype=numpy.float64, offset=1)
    for array in (whole[::-1], whole.T, numpy.broadcast_to(whole[0], (2, 4)), read_only, misaligned, whole[0, 0, ...]):
        found = device.from_host(array)
        assert found.shape == array.shape
        assert device.to_host(found).tolist() == array.tolist()
    assert all(flags.c_contiguous and flags.aligned and flags.writeable for flags in met)
