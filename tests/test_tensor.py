"""What a tensor is: properties, conversions, operators beside Python's and NumPy's numbers, exchange, copies."""

import copy
import math
import operator
import pickle

import numpy as np
import pytest

import rustorch as rt
from rustorch_core._data_types import CATEGORIES, DTYPES
from rustorch_core._op import REGISTRY
from rustorch_core.errors import (
    ArgumentError,
    DTypeError,
    ExportError,
    GradientError,
    OperandError,
    RusTorchError,
    ScalarError,
)

INTEGERS = sorted(dtype.name for dtype in CATEGORIES["integer"])
REALS = sorted(dtype.name for dtype in CATEGORIES["real floating-point"])
COMPLEX = sorted(dtype.name for dtype in CATEGORIES["complex floating-point"])


# Properties


def test_properties() -> None:
    x = rt.zeros((2, 3), dtype="int16")
    assert (x.shape, x.ndim, x.size, x.itemsize, x.nbytes) == ((2, 3), 2, 6, 2, 12)
    assert x.dtype == rt.int16
    assert isinstance(x.dtype, np.dtype)
    assert x.device == str(rt.device())
    assert x.device is rt.device(str(x.device))
    assert (x.numel(), x.dim(), len(x)) == (6, 2, 2)
    assert isinstance(x.shape, tuple)
    assert all(type(length) is int for length in x.shape)


def test_transposes() -> None:
    x = rt.reshape(rt.arange(24), (2, 3, 4))
    assert x.mT.shape == (2, 4, 3)
    assert x[0].T.tolist() == np.arange(12).reshape(3, 4).T.tolist()
    with pytest.raises(ArgumentError, match=r"T: expected 2 axes.*\(2, 3, 4\)"):
        _ = x.T


def test_an_unlike_attribute_is_no_tensor_attribute() -> None:
    for name in ("fit", "iloc", "chunks", "magnitude", "mask", "todense", "__dask_graph__"):
        assert not hasattr(rt.ones(1), name), name


def test_a_tensor_is_hashed_by_identity() -> None:
    x, y = rt.ones(2), rt.ones(2)
    assert len({x, y, x}) == 2
    assert {x: 1}[x] == 1


ELEMENTWISE = [name for name, op in REGISTRY.items() if op.kind in ("unary", "binary") and "." not in name]


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise_ops_are_methods(name: str) -> None:
    if name in ("real", "imag"):
        assert getattr(rt.asarray([1 + 2j]), name).tolist() == [{"real": 1.0, "imag": 2.0}[name]]
        assert getattr(rt.ones(1), name).tolist() == [{"real": 1.0, "imag": 0.0}[name]]
    else:
        assert getattr(rt.Tensor, name) is getattr(rt, name)


@pytest.mark.parametrize(
    "name",
    [
        "all",
        "any",
        "argmax",
        "argmin",
        "argsort",
        "astype",
        "broadcast_to",
        "clip",
        "count_nonzero",
        "cumulative_prod",
        "cumulative_sum",
        "expand_dims",
        "flip",
        "gelu",
        "log_softmax",
        "logsumexp",
        "matmul",
        "max",
        "mean",
        "min",
        "moveaxis",
        "nonzero",
        "permute_dims",
        "prod",
        "repeat",
        "reshape",
        "roll",
        "softmax",
        "sort",
        "squeeze",
        "std",
        "sum",
        "take",
        "tile",
        "tril",
        "triu",
        "unstack",
        "var",
    ],
)
def test_other_functions_are_methods(name: str) -> None:
    assert callable(getattr(rt.Tensor, name))
    assert callable(getattr(rt, name))


def test_methods_compute_what_functions_do() -> None:
    x = rt.asarray([[3.0, 1.0], [2.0, 4.0]])
    assert x.reshape(4).tolist() == x.reshape((4,)).tolist() == x.reshape(2, 2).reshape(-1).tolist() == [3, 1, 2, 4]
    assert x.sum(axis=0).tolist() == [5, 5]
    assert x.sort().tolist() == [[1, 3], [2, 4]]
    assert x.take(rt.asarray([1]), axis=1).tolist() == [[1], [4]]


# Conversions


def test_item_and_tolist() -> None:
    assert rt.asarray(2.5).item() == 2.5
    assert type(rt.asarray(2.5).item()) is float
    assert type(rt.asarray(3).item()) is int
    assert type(rt.asarray(True).item()) is bool
    assert rt.asarray([[7]]).item() == 7
    assert rt.asarray([[1, 2], [3, 4]]).tolist() == [[1, 2], [3, 4]]
    assert rt.asarray(1.5).tolist() == 1.5
    with pytest.raises(ScalarError, match=r"item: expected one element, met shape \(2,\)"):
        rt.ones(2).item()


@pytest.mark.parametrize("convert", [bool, int, float, complex])
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float16", "bfloat16", "float32", "float64"])
def test_numbers_from_one_element(convert: type, dtype: str) -> None:
    found = convert(rt.asarray(1, dtype=dtype))
    assert found == convert(1)
    assert type(found) is convert


def test_complex_becomes_no_real_number() -> None:
    assert complex(rt.asarray(1 + 2j)) == 1 + 2j
    for convert in (float, int):
        with pytest.raises(OperandError, match="complex"):
            convert(rt.asarray(1 + 2j))


def test_index_takes_integers_only() -> None:
    assert [10, 20][rt.asarray(1)] == 20
    assert list(range(3))[rt.asarray(-1)] == 2
    for x in (rt.asarray(1.0), rt.asarray(True)):
        with pytest.raises(TypeError, match="cannot be an index"):
            operator.index(x)


@pytest.mark.parametrize("convert", [bool, int, float, complex, operator.index])
@pytest.mark.parametrize("shape", [(2,), (0,), (1, 3)])
def test_many_elements_are_no_number(convert: type, shape: tuple[int, ...]) -> None:
    with pytest.raises(RusTorchError) as raised:
        convert(rt.zeros(shape, dtype="int64"))
    assert isinstance(raised.value, (TypeError, ValueError))
    assert str(shape) in str(raised.value)


def test_without_axes_there_is_no_length_and_no_iteration() -> None:
    with pytest.raises(TypeError):
        len(rt.asarray(1.0))
    with pytest.raises(TypeError):
        iter(rt.asarray(1.0))
    assert not np.iterable(rt.asarray(1.0))


def test_iteration_gives_rows() -> None:
    assert [row.tolist() for row in rt.asarray([[1, 2], [3, 4]])] == [[1, 2], [3, 4]]
    assert 3 in rt.arange(4)
    assert 4 not in rt.arange(4)


# Operators beside numbers


OPERATORS = [operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod, operator.pow]


# Floor division and remainder are not for complex numbers; NumPy's integers promote integers by their own dtype.
BESIDE_INTEGERS = [
    pytest.param(symbol, dtype, number, id=f"{symbol.__name__}-{dtype}-{type(number).__name__}")
    for symbol in OPERATORS
    for dtype in [*INTEGERS, *REALS, *COMPLEX]
    for number in [2, np.int64(2)]
    if not (dtype in COMPLEX and symbol in (operator.floordiv, operator.mod))
    and not (isinstance(number, np.integer) and dtype in INTEGERS)
]


@pytest.mark.parametrize(("symbol", "dtype", "number"), BESIDE_INTEGERS)
def test_integers_beside_every_dtype(symbol, dtype: str, number) -> None:  # type: ignore[no-untyped-def]
    wide = np.asarray([1, 2, 4]).astype(complex if dtype in COMPLEX else float)
    x = rt.asarray(wide.astype(dtype))
    expected_dtype = "float32" if symbol is operator.truediv and dtype in INTEGERS else dtype
    for found, expected in (
        (symbol(x, number), symbol(wide, 2)),
        (symbol(number, x), symbol(2, wide)),
    ):
        assert type(found) is rt.Tensor
        assert found.dtype == expected_dtype
        wrapped = expected.astype("int64").astype(dtype) if found.dtype.name in INTEGERS else expected
        np.testing.assert_allclose(found.to("cpu").numpy().astype(complex), wrapped.astype(complex), rtol=2e-2)


def test_numpy_integers_and_arrays_promote_by_their_own_dtype() -> None:
    x = rt.asarray([1], dtype="int8")
    assert (x + np.int64(2)).dtype == (np.int16(2) + x + np.int64(2)).dtype == rt.int64
    assert (x.to("cpu") + np.asarray(2, dtype="int8")).dtype == rt.int8


@pytest.mark.parametrize(
    ("dtype", "number", "expected"),
    [
        *[(dtype, 1.5, dtype) for dtype in ("float16", "float32", "float64", *COMPLEX)],
        ("bfloat16", 1.5, "bfloat16"),
        *[(dtype, np.float64(1.5), dtype) for dtype in (*REALS, *COMPLEX)],
        *[(dtype, np.float32(1.5), dtype) for dtype in ("float32", "float64", *COMPLEX)],
        *[(dtype, 1.5, "float32") for dtype in INTEGERS],
        *[(dtype, True, dtype) for dtype in (*INTEGERS, *REALS, *COMPLEX)],
        pytest.param("bool", True, "bool", marks=pytest.mark.needs("sums of booleans")),
        ("bool", 1, "int64"),
        ("bool", 1.5, "float32"),
        ("float32", 1j, "complex64"),
        ("float64", 1j, "complex128"),
        ("bfloat16", 1j, "complex64"),
        ("int64", 1j, "complex64"),
        ("bool", 1j, "complex64"),
    ],
)
def test_dtype_beside_a_number(dtype: str, number, expected: str) -> None:  # type: ignore[no-untyped-def]
    x = rt.asarray([1, 0], dtype=dtype)
    assert (x + number).dtype == (number + x).dtype == (x * number).dtype == expected
    under_gradient = rt.asarray([1.0]).requires_grad_()
    assert (under_gradient * 1.5).dtype == rt.float32


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("int64", "float32", "float32"),
        ("int32", "float32", "float32"),
        ("int64", "bfloat16", "bfloat16"),
        ("bool", "float16", "float16"),
        ("float16", "bfloat16", "float32"),
        ("float32", "float64", "float64"),
        ("float64", "complex64", "complex128"),
        ("int64", "complex64", "complex64"),
        ("uint8", "int8", "int16"),
        ("uint32", "int32", "int64"),
        ("bool", "int8", "int8"),
        pytest.param("bool", "bool", "bool", marks=pytest.mark.needs("sums of booleans")),
    ],
)
def test_dtype_of_two_tensors(first: str, second: str, expected: str) -> None:
    x1, x2 = rt.ones(2, dtype=first), rt.ones(2, dtype=second)
    assert (x1 + x2).dtype == (x2 + x1).dtype == rt.result_type(x1, x2) == expected


def test_a_number_that_does_not_fit_raises() -> None:
    x = rt.asarray([1], dtype="uint8")
    for number in (300, -1, 10**30):
        for call in (lambda number: x + number, lambda number: number + x):
            with pytest.raises(RusTorchError, match=r"^add: .*") as raised:
                call(number)
            assert isinstance(raised.value, (TypeError, ValueError))
            assert "uint8" in str(raised.value)


@pytest.mark.needs("host memory")
def test_numpy_leaves_operations_to_the_tensor() -> None:
    x = rt.asarray([1.0, 2.0, 3.0])
    for found in (np.ones(3) + x, np.float64(1) * x, np.ones((3, 3)) @ x, np.ones(3) < x, x - np.ones(3)):
        assert type(found) is rt.Tensor


@pytest.mark.parametrize("symbol", [*OPERATORS, operator.matmul, operator.and_, operator.lshift, operator.lt])
@pytest.mark.parametrize("other", [None, object(), {}, set()], ids=lambda other: type(other).__name__)
def test_what_is_no_number_stands_beside_no_tensor(symbol, other) -> None:  # type: ignore[no-untyped-def]
    x = rt.asarray([1, 2])
    with pytest.raises(TypeError):
        symbol(x, other)
    with pytest.raises(TypeError):
        symbol(other, x)


def test_comparison_with_a_stranger_is_false() -> None:
    x = rt.asarray([1, 2])
    assert (x == "text") is False
    assert (x is not None) is True
    assert (x == 1).tolist() == [True, False]
    assert (x != 1).tolist() == [False, True]


def test_bitwise_and_unary_operators() -> None:
    x = rt.asarray([1, 2, 4])
    assert (x & 6).tolist() == [0, 2, 4]
    assert (6 | x).tolist() == [7, 6, 6]
    assert (x ^ 1).tolist() == [0, 3, 5]
    assert (x << 1).tolist() == [2, 4, 8]
    assert (8 >> x).tolist() == [4, 2, 0]
    assert (-x).tolist() == [-1, -2, -4]
    assert (~x).tolist() == [-2, -3, -5]
    assert abs(-x).tolist() == [1, 2, 4]
    assert (+x).tolist() == x.tolist()
    assert (+x) is not x
    assert (~rt.asarray([True])).tolist() == [False]


# Exchange with NumPy and others


@pytest.mark.needs("host memory")
def test_array_is_free_on_the_host() -> None:
    x = rt.asarray([1.0, 2.0])
    array = np.asarray(x)
    array[0] = 9.0
    assert x.tolist() == [9.0, 2.0]
    assert x.numpy().dtype == np.float32
    assert np.asarray(x, dtype=np.float64).dtype == np.float64
    copied = np.array(x, copy=True)
    copied[0] = 0.0
    assert x.tolist() == [9.0, 2.0]


@pytest.mark.needs("host memory")
def test_array_under_a_gradient_raises() -> None:
    x = rt.ones(2).requires_grad_()
    for tensor in (x, x * 2):
        with pytest.raises(GradientError, match=r"\.detach\(\)"):
            np.asarray(tensor)
    assert np.asarray((x * 2).detach()).tolist() == [2, 2]


@pytest.mark.needs("host memory")
@pytest.mark.parametrize("dtype", [name for name in DTYPES if name not in ("bfloat16", "bool")])
def test_dlpack_both_ways_without_a_copy(dtype: str) -> None:
    x = rt.ones(3, dtype=dtype)
    array = np.from_dlpack(x)
    array[0] = 0
    assert x.tolist() == [0, 1, 1]
    theirs = np.ones(3, dtype=dtype)
    ours = rt.from_dlpack(theirs)
    theirs[1] = 0
    assert ours.tolist() == [1, 0, 1]
    assert ours.dtype == dtype
    copied = rt.from_dlpack(theirs, copy=True)
    theirs[2] = 0
    assert copied.tolist() == [1, 0, 1]
    assert x.__dlpack_device__() == (1, 0)


def test_dlpack_under_a_gradient_raises() -> None:
    with pytest.raises(ExportError, match=r"\.detach\(\)") as raised:
        np.from_dlpack(rt.ones(1).requires_grad_())
    assert isinstance(raised.value, BufferError)


@pytest.mark.needs("host memory")
def test_asarray_shares_or_copies_as_asked() -> None:
    array = np.ones(3)
    shared, copied = rt.asarray(array), rt.asarray(array, copy=True)
    array[0] = 5
    assert shared.tolist() == [5, 1, 1]
    assert copied.tolist() == [1, 1, 1]
    assert rt.asarray(shared) is shared
    assert rt.asarray(shared, copy=True) is not shared
    for obj, options in (([1.0], {}), (1.0, {}), (array, {"dtype": "float32"}), (shared, {"dtype": "int64"})):
        with pytest.raises(ValueError, match="copy=False"):
            rt.asarray(obj, copy=False, **options)


def test_asarray_reads_what_holds_numbers() -> None:
    assert rt.asarray([[1, 2.5]]).dtype == rt.float32
    assert rt.asarray([1, 2]).dtype == rt.int64
    assert rt.asarray([True]).dtype == rt.bool
    assert rt.asarray([1j]).dtype == rt.complex64
    assert rt.asarray(range(3)).tolist() == [0, 1, 2]
    assert rt.asarray([]).dtype == rt.float32
    assert rt.asarray([np.float64(1)]).dtype == rt.float64
    assert rt.asarray(memoryview(b"ab")).tolist() == [97, 98]
    assert rt.asarray([rt.asarray(1.0), 2.0]).tolist() == [1, 2]
    assert rt.asarray(np.array([1, 2], dtype=">f4")).dtype == rt.float32


def test_array_namespace() -> None:
    x = rt.ones(1)
    assert x.__array_namespace__() is rt
    assert x.__array_namespace__(api_version=None) is rt
    assert x.__array_namespace__(api_version="2025.12") is rt
    with pytest.raises(ArgumentError, match=r"1999\.1"):
        x.__array_namespace__(api_version="1999.1")


# Copies


@pytest.mark.parametrize("dtype", list(DTYPES))
@pytest.mark.parametrize("shape", [(), (2, 3), (0,)])
def test_pickle(dtype: str, shape: tuple[int, ...]) -> None:
    x = rt.ones(shape, dtype=dtype)
    again = pickle.loads(pickle.dumps(x))
    assert again.dtype == x.dtype
    assert again.shape == x.shape
    assert again.tolist() == x.tolist()
    assert again.device is x.device


def test_pickle_and_deepcopy_keep_a_leaf_a_leaf() -> None:
    x = rt.ones(2).requires_grad_()
    for again in (pickle.loads(pickle.dumps(x)), copy.deepcopy(x), copy.copy(x)):
        assert again.requires_grad
        assert again.is_leaf
        with rt.no_grad():
            again[0] = 5.0
        assert x.tolist() == [1, 1]


def test_deepcopy_of_a_computed_tensor_keeps_its_gradient() -> None:
    x = rt.ones(2).requires_grad_()
    y = x * 2
    again = copy.deepcopy(y)
    y.detach()[0] = 7.0
    assert again.tolist() == [2, 2]
    again.sum().backward()
    assert x.grad.tolist() == [2, 2]


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy])
def test_a_copy_of_what_grad_passes_keeps_its_gradient(again) -> None:  # type: ignore[no-untyped-def]
    assert rt.grad(lambda x: again(x).sum() * x[0])(rt.asarray([2.0, 1.0])).tolist() == [5, 2]


def test_deepcopy_copies_a_shared_tensor_once() -> None:
    x = rt.ones(2)
    first, second = copy.deepcopy([x, x])
    assert first is second
    assert first is not x


def test_clone_and_copy() -> None:
    x = rt.asarray([1.0, 2.0])
    cloned = x.clone()
    x[0] = 7.0
    assert cloned.tolist() == [1, 2]
    x.copy_([[3.0], [4.0]][0][0])
    assert x.tolist() == [3, 3]
    assert x.copy_(rt.asarray([5, 6])) is x
    assert x.tolist() == [5, 6]
    assert copy.copy(x).tolist() == [5, 6]


# Other dtypes and devices


@pytest.mark.parametrize("source", list(DTYPES))
@pytest.mark.parametrize("target", list(DTYPES))
def test_astype(source: str, target: str) -> None:
    x = rt.asarray([0, 1, 1], dtype=source)
    if source in COMPLEX and target not in COMPLEX:
        with pytest.raises(DTypeError, match="imaginary"):
            x.astype(target)
        return
    found = x.astype(target)
    assert found.dtype == target
    assert found.tolist() == [0, 1, 1]
    assert found is not x
    assert (x.astype(target, copy=False) is x) == (source == target)


def test_astype_truncates_toward_zero() -> None:
    assert rt.asarray([-1.7, 1.7]).astype("int64").tolist() == [-1, 1]
    assert rt.asarray([-1.7, 0.0]).astype("bool").tolist() == [True, False]


def test_the_default_dtype_reaches_what_has_been_called_before() -> None:
    x = rt.asarray([1, 2])
    try:
        for dtype in ("float32", "float64", "float32"):
            rt.set_default_dtype(dtype)
            assert (x / 2).dtype == rt.sqrt(x).dtype == rt.mean(x).dtype == dtype
    finally:
        rt.set_default_dtype("float32")


def test_dtypes_are_named_in_many_ways() -> None:
    for name in ("float64", np.float64, np.dtype("float64"), rt.float64, ">f8"):
        assert rt.ones(1).to(dtype=name).dtype == rt.float64
    for kind, dtype in ((bool, rt.bool), (int, rt.int64), (float, rt.float64), (complex, rt.complex128)):
        assert rt.ones(1, dtype=kind).dtype == dtype
    for wrong in ("float8", "text", None, 3, object, np.ones(2)):
        with pytest.raises(DTypeError, match="there are: bool, int8"):
            rt.ones(1).astype(wrong)


def test_to() -> None:
    x = rt.ones(2)
    assert x.to(x.device) is x.to(str(x.device)) is x.to(device=x.device) is x.to_device(x.device) is x
    assert x.cpu().device == "cpu"
    assert x.to("float64").dtype == rt.float64
    assert x.to(rt.int8).dtype == rt.int8
    assert x.to("cpu", dtype="int16").dtype == rt.int16
    with pytest.raises(ArgumentError, match="no plugin offers 'nowhere'"):
        x.to("nowhere")


@pytest.mark.needs("host memory")
def test_bfloat16() -> None:
    x = rt.asarray([1.0, 2.0, 3.140625], dtype="bfloat16")
    assert x.itemsize == 2
    assert x.tolist() == [1.0, 2.0, 3.140625]
    assert (x * 2).dtype == rt.bfloat16
    assert (x * rt.ones(3)).dtype == rt.float32
    assert x.exp().dtype == rt.bfloat16
    assert math.isclose(x.exp()[0].item(), math.e, rel_tol=1e-2)
    assert x.sum().dtype == rt.bfloat16
    assert rt.grad(lambda v: (v * v).sum())(x).tolist() == [2.0, 4.0, 6.28125]
    assert np.asarray(x).dtype == rt.bfloat16
    assert rt.asarray(np.asarray(x)).tolist() == x.tolist()


@pytest.mark.needs("bfloat16")
@pytest.mark.parametrize("name", ["matmul", "erf", "gelu"])
def test_bfloat16_is_kept(name: str) -> None:
    x = rt.ones((2, 2), dtype="bfloat16")
    assert getattr(rt, name)(*[x] * (2 if name == "matmul" else 1)).dtype == rt.bfloat16
