"""Exchange with other libraries: memory is shared where it can be, never written against its owner's will, and the
gradient is that of the values that were used, whoever writes."""

import array
import collections
import copy
import ctypes
import gc
import mmap
import pickle
import sys
import types
import weakref

import numpy as np
import pytest
from rustorch_conformance.samples import samples

import rustorch as rt
from rustorch import nn
from rustorch_core import _devices
from rustorch_core._data_types import CATEGORIES, DTYPES
from rustorch_core._devices import Device
from rustorch_core._op import REGISTRY
from rustorch_core.errors import ArgumentError, ExportError, GradientError, OperandError, RusTorchError
from rustorch_core.plugin import Backend

pytestmark = pytest.mark.needs("host memory")

# A stranger who speaks DLPack and nothing else, by the structures of its header

VERSIONED, READ_ONLY, IS_COPIED = b"dltensor_versioned", 1, 2
FLOAT, UNSIGNED, BFLOAT = 2, 1, 4


class DLTensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device", ctypes.c_int32 * 2),
        ("ndim", ctypes.c_int32),
        ("kind", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


Deleter = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)


class Managed(ctypes.Structure):
    _fields_ = (("dl_tensor", DLTensor), ("manager_ctx", ctypes.c_void_p), ("deleter", Deleter))


class Versioned(ctypes.Structure):
    _fields_ = (
        ("version", ctypes.c_uint32 * 2),
        ("manager_ctx", ctypes.c_void_p),
        ("deleter", Deleter),
        ("flags", ctypes.c_uint64),
        ("dl_tensor", DLTensor),
    )


def capsule_function(name, result, *arguments):
    return ctypes.PYFUNCTYPE(result, *arguments)((f"PyCapsule_{name}", ctypes.pythonapi))


new_capsule = capsule_function("New", ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
name_of = capsule_function("GetName", ctypes.c_char_p, ctypes.py_object)
pointer_in = capsule_function("GetPointer", ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)
rename = capsule_function("SetName", ctypes.c_int, ctypes.py_object, ctypes.c_char_p)


class Reader:
    """Takes what a capsule describes; `release` gives it back."""

    def __init__(self, capsule):
        name = name_of(capsule)
        kind = Versioned if name == VERSIONED else Managed
        self.managed = kind.from_address(pointer_in(capsule, name))
        self.flags = self.managed.flags if kind is Versioned else None
        self.described = self.managed.dl_tensor
        self.dtype = (self.described.kind, self.described.bits, self.described.lanes)
        self.shape = tuple(self.described.shape[: self.described.ndim])
        self.strides = tuple(self.described.strides[: self.described.ndim])
        self.capsule, self.name = capsule, b"used_" + name
        rename(capsule, self.name)

    def floats(self):
        return (ctypes.c_float * 3).from_address(self.described.data + self.described.byte_offset)

    def release(self):
        self.managed.deleter(ctypes.addressof(self.managed))


OWNERS = []  # what was lent must outlive its readers


class Owner:
    """Memory of somebody else's: `released` counts how often it was given back."""

    def __init__(self, content, dtype, shape, *, strides=None, name=VERSIONED, flags=0, device=(1, 0), takes=None):
        self.memory = ctypes.create_string_buffer(bytes(content), len(bytes(content)))
        self.device, self.takes, self.released = device, takes, 0
        self.name = ctypes.create_string_buffer(name)
        self.lengths = (ctypes.c_int64 * len(shape))(*shape)
        self.steps = strides and (ctypes.c_int64 * len(shape))(*strides)
        described = DLTensor(
            ctypes.addressof(self.memory), device, len(shape), *dtype, 1, self.lengths, self.steps
        )  # fmt: skip
        self.deleter = Deleter(self.release)
        before = ((1, 0), None, self.deleter, flags)
        self.managed = Versioned(*before, described) if name == VERSIONED else Managed(described, None, self.deleter)
        OWNERS.append(self)

    def release(self, _):
        self.released += 1

    def __dlpack_device__(self):
        return self.device

    def __dlpack__(self, **options):
        if self.takes is not None and not set(options) <= set(self.takes):
            raise TypeError(f"__dlpack__ takes {self.takes}, met {options}")
        return new_capsule(ctypes.addressof(self.managed), ctypes.cast(self.name, ctypes.c_char_p), None)


def floats(*values):
    return np.asarray(values, dtype=np.float32).tobytes()


# To other libraries


def test_a_reader_gets_the_memory_itself():
    x = rt.asarray([1.0, 2.0, 3.0])
    reader = Reader(x.__dlpack__(max_version=(1, 0)))
    assert (reader.shape, reader.strides, reader.dtype, reader.flags) == ((3,), (1,), (FLOAT, 32, 1), 0)
    reader.floats()[1] = 7.0
    assert x.tolist() == [1, 7, 3]
    del x
    gc.collect()
    assert list(reader.floats()) == [1, 7, 3]
    reader.release()


@pytest.mark.parametrize("version", [None, (0, 8), (1, 0), (1, 1), (2, 5)])
def test_a_reader_gets_a_capsule_of_a_version_that_it_knows(version):
    capsule = rt.ones(2).__dlpack__(max_version=version)
    assert name_of(capsule) == (VERSIONED if version and version >= (1, 0) else b"dltensor")


@pytest.mark.parametrize(
    ("x", "flags", "shares"),
    [
        (rt.ones((2, 3)), 0, True),
        (rt.ones((2, 3)).mT, 0, True),
        (rt.ones((4, 6))[1::2, ::3], 0, True),
        (rt.broadcast_to(rt.ones(3), (2, 3)), READ_ONLY, True),
        (rt.ones((2, 3))[:, ::-1], IS_COPIED, False),
        (rt.asarray(memoryview(b"ab")), READ_ONLY, True),
    ],
)
def test_views(x, flags, shares):
    reader = Reader(x.__dlpack__(max_version=(1, 0)))
    assert reader.flags == flags
    assert (reader.described.data == x.numpy().__array_interface__["data"][0]) == shares
    assert np.asarray(np.from_dlpack(x)).tolist() == x.tolist()
    reader.release()


def test_what_a_reader_cannot_have_is_copied_or_refused():
    backwards, read_only = rt.asarray([1.0, 2.0, 3.0])[::-1], rt.broadcast_to(rt.asarray(5.0), (3,))
    for x, version, words in ((backwards, (1, 0), "negative"), (read_only, None, "read-only")):
        with pytest.raises(ExportError, match=rf"copy=False, but .*{words}"):
            x.__dlpack__(copy=False, max_version=version)
        reader = Reader(x.__dlpack__(max_version=version))
        assert list(reader.floats()) == x.tolist()
        reader.floats()[0] = -1.0
        assert -1.0 not in x
        reader.release()


def test_copy():
    x = rt.zeros(3)
    reader = Reader(x.__dlpack__(copy=True, max_version=(1, 0)))
    reader.floats()[:] = [1, 1, 1]
    assert (reader.flags, x.tolist()) == (IS_COPIED, [0, 0, 0])
    reader.release()
    reader = Reader(x.__dlpack__(copy=False, max_version=(1, 0)))
    reader.floats()[:] = [1, 1, 1]
    assert (reader.flags, x.tolist()) == (0, [1, 1, 1])
    reader.release()


@pytest.mark.parametrize(
    "options",
    [{"dl_device": (2, 0)}, {"dl_device": "cpu"}, {"stream": 1}, {"max_version": "1"}, {"max_version": 1}],
)
def test_options_that_cannot_be_served(options):
    with pytest.raises(ExportError, match="float32 on cpu cannot be exported"):
        rt.ones(1).__dlpack__(**options)


def test_bfloat16_has_its_name():
    x = rt.asarray([1.0, -2.5], dtype="bfloat16")
    for version in (None, (1, 0)):
        reader = Reader(x.__dlpack__(max_version=version))
        assert (reader.dtype, reader.shape) == ((BFLOAT, 16, 1), (2,))
        reader.release()
        again = rt.from_dlpack(Owner(x.numpy().tobytes(), (BFLOAT, 16), (2,), name=reader.name[5:]))
        assert (again.dtype, again.tolist()) == (rt.bfloat16, [1.0, -2.5])


@pytest.mark.parametrize("dtype", [name for name in DTYPES if name != "bfloat16"])
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)])
def test_every_dtype_and_back(dtype, shape):
    x = rt.ones(shape, dtype=dtype)
    theirs = np.from_dlpack(x)
    ours = rt.from_dlpack(theirs)
    assert (theirs.dtype, theirs.shape, ours.dtype, ours.shape) == (dtype, shape, dtype, shape)
    ours[...] = False
    assert not x.any()


@pytest.mark.parametrize("dtype", list(DTYPES))
def test_numpy_arrays_share_the_memory(dtype):
    x = rt.ones((2, 3), dtype=dtype)
    for theirs in (x.numpy(), np.asarray(x), np.asarray(x, dtype=x.dtype), x.mT.numpy().T, x[::-1].numpy()[::-1]):
        assert np.may_share_memory(theirs, x._array)
        assert (theirs.dtype, theirs.shape) == (dtype, (2, 3))
    assert not np.may_share_memory(np.array(x), x._array)
    with pytest.raises(ValueError, match="copy"):
        np.array(x, dtype="complex128" if dtype != "complex128" else "int8", copy=False)
    for options in ({"dtype": "nonsense"}, {"dtype": "complex256", "copy": False}):
        with pytest.raises(ArgumentError, match=f"{dtype} as {options['dtype']}"):
            x.__array__(**options)


def test_a_buffer_shares_the_memory():
    x = rt.asarray([[1, 2], [3, 4]])
    view = x.__buffer__(0)
    assert (view.format, view.shape, view.readonly) == ("l", (2, 2), False)
    view[0, 1] = 9
    assert x.tolist() == [[1, 9], [3, 4]]
    assert rt.broadcast_to(x[0], (2, 2)).__buffer__(0).readonly
    for other in (rt.ones(1, dtype="bfloat16"), rt.ones(1).requires_grad_()):
        with pytest.raises(ExportError, match="buffer"):
            other.__buffer__(0)
    if sys.version_info >= (3, 12):
        assert memoryview(x).tolist() == [[1, 9], [3, 4]]
        assert bytes(x[0]) == np.asarray([1, 9]).tobytes()
    else:
        assert bytes(memoryview(x.numpy()))[:8] == (1).to_bytes(8, "little")


# From other libraries


@pytest.mark.parametrize("name", [VERSIONED, b"dltensor"])
@pytest.mark.parametrize("take", [rt.from_dlpack, rt.asarray])
def test_an_owner_gets_its_memory_back_once(take, name):
    owner = Owner(floats(1, 2, 3, 4, 5, 6), (FLOAT, 32), (2, 2), strides=(3, 2), name=name)
    x = take(owner)
    assert (x.tolist(), x.dtype, x.device) == ([[1, 3], [4, 6]], rt.float32, "cpu")
    row = x[1]
    ctypes.c_float.from_buffer(owner.memory, 12).value = 8.0
    assert row.tolist() == [8, 6]
    assert owner.released == 0
    del x
    assert owner.released == 0
    del row
    assert owner.released == 1


@pytest.mark.parametrize(
    "owner",
    [
        lambda: Owner(floats(1, 2), (FLOAT, 32), (2,), flags=READ_ONLY),
        lambda: Owner(floats(1, 2), (FLOAT, 32), (2,), name=b"dltensor"),  # which cannot say that it may be written
        lambda: memoryview(b"\1\2"),
        lambda: np.broadcast_to(np.asarray(1.0), (2,)),
    ],
)
def test_what_may_only_be_read_is_never_written(owner):
    x = rt.asarray(owner())
    before = x.tolist()
    writes = [
        lambda: x.__setitem__(0, 5),
        lambda: x[:1].copy_(5),
        lambda: x.__iadd__(x),
        lambda: x.detach().__imul__(2),
        lambda: x.fill_(0) if hasattr(x, "fill_") else x.copy_(0),
    ]
    for write in writes:
        with pytest.raises(ArgumentError, match=r"read-only.*\.clone\(\)"):
            write()
    assert x.tolist() == before
    copied = x.clone()
    copied[0] = 5
    assert copied[0] == 5


def test_an_optimizer_writes_no_memory_that_may_only_be_read():
    weights = np.ones(2, dtype=np.float32)
    weights.flags.writeable = False
    parameter = nn.Parameter(rt.asarray(weights))
    parameter.sum().backward()
    with pytest.raises(ArgumentError, match="read-only"):
        rt.optim.create("adam", [parameter]).step()
    assert weights.tolist() == [1, 1]


@pytest.mark.parametrize("name", [VERSIONED, b"dltensor"])
@pytest.mark.parametrize("takes", [(), ("stream",), None])
def test_owners_of_every_age(name, takes):
    owner = Owner(floats(1, 2), (FLOAT, 32), (2,), name=name, takes=takes)
    assert rt.from_dlpack(owner).tolist() == [1, 2]
    copied = rt.from_dlpack(owner, copy=True)
    copied[0] = 4.0
    assert (copied.tolist(), rt.from_dlpack(owner, device="cpu").tolist()) == ([4, 2], [1, 2])


@pytest.mark.parametrize(
    ("owner", "words"),
    [
        (Owner(b"1", (FLOAT, 8), (1,)), "kind 2 of 8 bits"),
        (Owner(b"12", (UNSIGNED, 128), (0,)), "128"),
        (Owner(b"1234", (FLOAT, 32), (1,), device=(2, 3)), r"\(2, 3\).*copy it to the host"),
        (Owner(b"1234", (FLOAT, 32), (1,), takes=()), None),
    ],
)
def test_owners_that_cannot_be_served(owner, words):
    options = {} if words else {"copy": False}
    with pytest.raises(ExportError, match=words or "from_dlpack: Owner cannot be taken over"):
        rt.from_dlpack(owner, **options)
    if words:
        with pytest.raises(ExportError, match=words):
            rt.asarray(owner)


class Raises:
    def __dlpack_device__(self):
        return 1, 0

    def __dlpack__(self, **options):
        raise KeyError("not today")


class RaisesButIsAnArray(Raises):
    def __array__(self, dtype=None, copy=None):
        return np.asarray([1, 2])


def test_an_owner_that_raises():
    with pytest.raises(ExportError, match=r"Raises.*not today") as raised:
        rt.from_dlpack(Raises())
    assert isinstance(raised.value.__cause__, KeyError)
    with pytest.raises(ExportError, match="not today"):
        rt.asarray(Raises())
    assert rt.asarray(RaisesButIsAnArray()).tolist() == [1, 2]


class Interface:
    """What has nothing but NumPy's older protocol."""

    def __init__(self, values):
        self.values = values
        self.__array_interface__ = values.__array_interface__


class AsArray:
    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return self.values


@pytest.mark.parametrize(
    "make",
    [
        lambda values: values,
        Interface,
        AsArray,
        lambda values: memoryview(values),
        lambda values: np.from_dlpack(values),
    ],
)
def test_asarray_shares_memory_with_what_holds_numbers(make):
    values = np.asarray([1.0, 2.0, 3.0], dtype=np.float32)
    x = rt.asarray(make(values))
    assert np.may_share_memory(x._array, values)
    assert np.may_share_memory(rt.asarray(make(values), copy=False)._array, values)
    assert not np.may_share_memory(rt.asarray(make(values), copy=True)._array, values)
    assert rt.asarray(make(values), dtype="int64").tolist() == [1, 2, 3]
    with pytest.raises(ArgumentError, match="copy=False"):
        rt.asarray(make(values), dtype="int64", copy=False)


def test_what_has_no_memory_to_share():
    class Computes:
        def __array__(self, dtype=None, copy=None):
            if copy is False:
                raise ValueError("computed on demand")
            return np.asarray([1.0])

    assert rt.asarray(Computes()).dtype == rt.float64
    for obj in (Computes(), [1.0], 1.0, np.float32(1), collections.deque([1.0]), range(2)):
        with pytest.raises(ArgumentError, match="copy=False"):
            rt.asarray(obj, copy=False)


def test_buffers_of_the_standard_library(tmp_path):
    raw = bytearray(b"\1\2\3")
    x = rt.asarray(raw)
    x[0] = 9
    assert (x.dtype, raw) == (rt.uint8, bytearray(b"\x09\2\3"))
    numbers = array.array("d", [1.0, 2.0])
    rt.asarray(numbers, copy=False)[1] = 5.0
    assert numbers[1] == 5.0
    path = tmp_path / "numbers"
    path.write_bytes(b"\1\0\2\0")
    with open(path, "r+b") as file:
        for access in (mmap.ACCESS_READ, mmap.ACCESS_WRITE):
            mapped = mmap.mmap(file.fileno(), 0, access=access)
            x = rt.asarray(memoryview(mapped).cast("H"))
            assert (x.dtype, x.tolist()) == (rt.uint16, [1, 2])
            if access == mmap.ACCESS_READ:
                with pytest.raises(ArgumentError, match="read-only"):
                    x[0] = 7
            else:
                x[0] = 7
    assert path.read_bytes() == b"\7\0\2\0"


def test_nested_lists_of_tensors():
    x, y = rt.asarray([1.0, 2.0]), rt.asarray([3.0, 4.0])
    made = rt.asarray([[x, y], [y, x]])
    assert (made.shape, made.dtype) == ((2, 2, 2), rt.float32)
    assert rt.asarray((rt.asarray(1, dtype="int8"), np.int8(2))).dtype == rt.int8
    assert rt.asarray([x, [5.0, 6.0]]).tolist() == [[1, 2], [5, 6]]
    precise = rt.asarray([rt.asarray(0.1, dtype="float64"), 0.2])
    assert (precise.dtype, precise.tolist()) == (rt.float64, [0.1, 0.2])
    assert rt.asarray([rt.asarray(1, dtype="int8"), 2.0]).dtype == rt.float32
    assert rt.asarray([x.astype("bfloat16"), [1, 2]]).dtype == rt.bfloat16
    assert rt.asarray([x, rt.asarray([1, 2])]).dtype == rt.float32
    assert rt.asarray([rt.zeros(0, dtype="int8")]).dtype == rt.int8
    y.requires_grad_()
    rt.asarray([x, [y[1] * 2, 1.0]]).sum().backward()
    assert y.grad.tolist() == [0, 2]


@pytest.mark.parametrize(
    "obj",
    [
        object(), None, "text", b"bytes", {1: 2}, {1}, iter([1]), np.asarray("a"), np.asarray([None]),
        np.asarray(["2020-01-01"], dtype="datetime64[D]"), np.zeros(2, dtype=[("a", int)]), np.longdouble(1),
        np.zeros(2, dtype="V2"), [np.asarray(["a"])], [[None]], [object()], ["a"], [b"b"], type, rt,
    ],
)  # fmt: skip
def test_what_holds_no_numbers(obj):
    with pytest.raises(OperandError, match="asarray"):
        rt.asarray(obj)


def test_complex_numbers_do_not_become_real_ones():
    with pytest.raises(TypeError, match=r"complex128.*float32"):
        rt.asarray(np.asarray([1j]), dtype="float32")
    assert rt.asarray(np.asarray([1, 2], dtype=">i2")).tolist() == [1, 2]


# Devices whose memory the host does not read


class Far:
    """An array in memory of DLPack's device (2, 0); its capsule is a tuple of what it was asked for."""

    def __init__(self, values):
        self.values, self.shape, self.dtype = values, values.shape, values.dtype

    def __dlpack_device__(self):
        return 2, 0

    def __dlpack__(self, *, stream=None, max_version=None):
        return "capsule", stream, max_version


@pytest.fixture
def far(monkeypatch):
    namespace = types.SimpleNamespace(
        float32=np.float32, asarray=Far, from_dlpack=lambda x: x, positive=lambda x: Far(+x.values)
    )
    backend = Backend(
        namespace=namespace, from_host=lambda array, _: Far(array.copy()), to_host=lambda native: native.values
    )
    device = Device("far", 0, backend, Far)
    monkeypatch.setattr(_devices, "devices", lambda: [_devices.device("cpu"), device])
    return device


def test_memory_of_another_device_stays_there(far):
    given = Far(np.asarray([1.0, 2.0], dtype=np.float32))
    for take in (rt.from_dlpack, rt.asarray, lambda given: rt.from_dlpack(given, device=far)):
        x = take(given)
        assert x.device is far
        assert x._array is given
    assert x.__dlpack_device__() == (2, 0)
    assert x.__dlpack__(stream=7) == ("capsule", 7, None)
    assert x.__dlpack__(max_version=(1, 0)) == ("capsule", None, (1, 0))
    assert rt.from_dlpack(given, device="cpu").tolist() == [1, 2]
    assert rt.asarray(given, copy=True)._array is not given


def test_a_dtype_that_a_device_lacks(far):
    x = rt.asarray([1.0, 2.0], dtype="float64")
    with pytest.raises(TypeError, match="far has no float64"):
        x.to(far)
    there = x.to(far, dtype="float32")
    assert (there.device, there.dtype, there.tolist()) == (far, rt.float32, [1, 2])
    back = there.to("cpu", dtype="float64")
    assert (back.device, back.dtype, back.tolist()) == ("cpu", rt.float64, [1, 2])


def test_the_host_gets_a_copy_where_it_asks_for_one(far):
    x = rt.asarray([1.0, 2.0], device=far)
    for version in (None, (1, 0)):
        reader = Reader(x.__dlpack__(dl_device=(1, 0), max_version=version))
        assert (reader.shape, reader.dtype) == ((2,), (FLOAT, 32, 1))
        reader.release()
    with pytest.raises(ExportError, match=r"float32 on far .*copy=False, but the host cannot read"):
        x.__dlpack__(dl_device=(1, 0), copy=False)
    with pytest.raises(ArgumentError, match="copy=False"):
        rt.from_dlpack(x, device="cpu", copy=False)
    with pytest.raises(OperandError, match=r"\.to\('cpu'\)"):
        np.asarray(x)
    with pytest.raises(ExportError, match="buffer"):
        x.__buffer__(0)


# Whoever writes, the gradient is that of the values that were used


def writers():
    """Ways for a stranger to have a tensor's memory: each gives a tensor and the stranger's array over its memory."""

    def exported(give):
        def share():
            x = rt.asarray([1.0, 2.0, 3.0], dtype="float64")
            return x, give(x)

        return share

    def exported_by_capsule():
        x = rt.asarray([1.0, 2.0, 3.0], dtype="float64")
        reader = Reader(x.__dlpack__())
        theirs = np.frombuffer((ctypes.c_double * 3).from_address(reader.described.data))
        weakref.finalize(theirs, reader.release)
        return x, theirs

    return {
        "numpy": exported(lambda x: x.numpy()),
        "np.asarray": exported(np.asarray),
        "np.from_dlpack": exported(np.from_dlpack),
        "a view's numpy": exported(lambda x: x[::-1].numpy()[::-1]),
        "detach": exported(lambda x: x.detach().numpy()),
        "a view of numpy": exported(lambda x: x.numpy()[::-1][::-1]),
        "memoryview": exported(lambda x: np.asarray(x.__buffer__(0))),
        "capsule": exported_by_capsule,
    }


@pytest.mark.parametrize("share", writers().values(), ids=writers())
@pytest.mark.parametrize("view", [lambda x: x, lambda x: x.detach(), lambda x: x[:], lambda x: x.reshape((3, 1))[:, 0]])
def test_a_gradient_survives_a_stranger(share, view):
    x, theirs = share()
    w = rt.asarray([1.0, 1.0, 1.0], dtype="float64").requires_grad_()
    y = view(x) * w
    z = rt.exp(view(x) * w) @ view(x)
    theirs[:] = 100.0
    assert x.tolist() == [100, 100, 100]
    (y.sum() + z).backward()
    values = np.asarray([1.0, 2.0, 3.0])
    np.testing.assert_allclose(w.grad.numpy(), values + values**2 * np.exp(values))


def test_an_operand_of_numpy_may_be_written_afterwards():
    theirs = np.asarray([1.0, 2.0])
    w = rt.ones(2, dtype="float64").requires_grad_()
    y = w * theirs
    theirs[:] = 9.0
    y.sum().backward()
    assert w.grad.tolist() == [1, 2]


def test_an_index_of_numpy_may_be_written_afterwards():
    theirs = np.asarray([0, 0])
    w = rt.ones(3).requires_grad_()
    y, z = w[theirs], rt.take(w, rt.asarray(theirs), axis=0)
    theirs[:] = 2
    (y + z).sum().backward()
    assert w.grad.tolist() == [4, 0, 0]


@pytest.mark.parametrize("dtype", ["int64", "float32", "complex64"])
@pytest.mark.parametrize("name", [name for name, op in REGISTRY.items() if op.kind in ("general", "unary", "binary")])
def test_only_what_is_noted_as_a_view_shares_memory(name, dtype):
    op = REGISTRY[name]
    if np.dtype(dtype) in CATEGORIES[op.category] and not op.is_view and name != "setitem":
        for sample in samples(op, np.dtype(dtype)):
            inputs = [rt.asarray(array, copy=True) for array in sample.arrays]
            output = sample.call(*inputs)
            for part in output if isinstance(output, tuple) else (output,):
                assert not any(np.may_share_memory(part._array, x._array) for x in inputs)


def saved_arrays(node):
    return [saved.array for kept in node.saved for saved in kept or () if hasattr(saved, "array")]


def test_copies_are_kept_only_while_a_stranger_is_there():
    x = rt.ones(3)
    w = rt.ones(3).requires_grad_()
    np.asarray(x).sum()
    assert any(kept is x._array for kept in saved_arrays((x * w)._node))
    theirs = x.numpy()[1:]
    assert not any(np.may_share_memory(kept, x._array) for kept in saved_arrays((x * w)._node))
    del theirs
    assert any(kept is x._array for kept in saved_arrays((x * w)._node))
    mapped = rt.asarray(memoryview(bytes(12)).cast("f"))
    assert any(kept is mapped._array for kept in saved_arrays((mapped * w)._node))


def test_under_a_gradient_nothing_leaves():
    x = rt.ones(2).requires_grad_()
    for tensor in (x, x * 2, (x * 2)[0]):
        with pytest.raises(ExportError, match=r"\.detach\(\)"):
            tensor.__dlpack__()
        with pytest.raises(GradientError, match=r"\.detach\(\)"):
            np.asarray(tensor)
    with rt.no_grad():
        assert np.asarray(x * 2).tolist() == [2, 2]


# Pickles and copies


VIEWS = {
    "slice": lambda x: x[1:3],
    "strided": lambda x: x[::2, ::3],
    "transpose": lambda x: x.mT,
    "reversed": lambda x: x[::-1],
    "broadcast": lambda x: rt.broadcast_to(x[0], (5, 64)),
    "element": lambda x: x[0, 0],
    "empty": lambda x: x[:0],
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_a_pickled_view_stands_alone(view, protocol):
    x = rt.arange(64 * 64.0).reshape((64, 64)).astype("bfloat16" if protocol == 3 else "float32")
    seen = view(x)
    content = pickle.dumps(seen, protocol)
    again = pickle.loads(content)
    assert (again.tolist(), again.dtype, again.shape) == (seen.tolist(), seen.dtype, seen.shape)
    assert len(content) < 500 + seen.nbytes * (4 if protocol == 0 else 1) or protocol < 3
    again[...] = 0
    assert seen.sum() != 0 or seen.size <= 1


def test_buffers_travel_beside_a_pickle():
    buffers = []
    x = rt.ones(1000)
    content = pickle.dumps(x, 5, buffer_callback=buffers.append)
    assert len(content) < 500 < sum(buffer.raw().nbytes for buffer in buffers)
    read_only = [bytes(buffer.raw()) for buffer in buffers]
    again = pickle.loads(content, buffers=read_only)
    again[0] = 5.0
    assert again[:2].tolist() == [5, 1]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda things: pickle.loads(pickle.dumps(things))])
def test_copies_of_a_model_its_optimizer_and_generator_go_on_alone(copied):
    generator = rt.random.Generator(0)
    model = nn.Sequential(nn.Linear(2, 3, generator=generator), nn.ReLU(), nn.Linear(3, 1, generator=generator))
    optimizer = rt.optim.create("adam", model, lr=0.1)
    model(rt.ones((4, 2))).sum().backward()
    optimizer.step()
    again, their_optimizer, their_generator = copied((model, optimizer, generator))
    for each, other in ((model, optimizer), (again, their_optimizer)):
        other.zero_grad()
        each(rt.ones((4, 2))).sum().backward()
        other.step()
    for ours, theirs in zip(model.parameters(), again.parameters(), strict=True):
        assert type(theirs) is nn.Parameter
        assert ours.requires_grad == theirs.requires_grad
        assert ours.tolist() == theirs.tolist()
    assert generator.normal(shape=(3,)).tolist() == their_generator.normal(shape=(3,)).tolist()


@pytest.mark.parametrize("again", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_frozen_parameter_stays_one(again):
    made = again(nn.Parameter(rt.ones(2), requires_grad=False))
    assert (type(made), made.requires_grad) == (nn.Parameter, False)


def test_a_deep_copy_has_a_gradient_of_its_own():
    x = rt.ones(2).requires_grad_()
    (x * 3).sum().backward()
    made = copy.deepcopy(x)
    assert made.grad.tolist() == [3, 3]
    made.grad[0] = 0.0
    assert x.grad.tolist() == [3, 3]


def test_a_pickle_from_a_device_that_is_not_here():
    content = pickle.dumps(rt.ones(1), 2).replace(b"cpu", b"gpu")
    with pytest.raises(RusTorchError, match="gpu"):
        pickle.loads(content)
