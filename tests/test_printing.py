"""Printing: what a tensor looks like, in every dtype and shape, and how to change that."""

import math

import numpy as np
import pytest

import rustorch as rt
from rustorch import nn
from rustorch_core._devices import Device
from rustorch_core._tensor import tensor_like
from rustorch_core.errors import ArgumentError, OperandError
from rustorch_core.plugin import Backend

pytestmark = pytest.mark.needs("cpu")

TABLE = [
    (lambda: rt.asarray(1.5), "tensor(1.5, dtype=float32)"),
    (lambda: rt.asarray([1.0, 2.5]), "tensor([1. , 2.5], dtype=float32)"),
    (lambda: rt.asarray([1, 2], dtype="int8"), "tensor([1, 2], dtype=int8)"),
    (lambda: rt.asarray([[True], [False]]), "tensor([[ True],\n        [False]], dtype=bool)"),
    (lambda: rt.asarray([1 + 2j, 3]), "tensor([1.+2.j, 3.+0.j], dtype=complex64)"),
    (lambda: rt.asarray([1.0, math.nan, -math.inf]), "tensor([  1.,  nan, -inf], dtype=float32)"),
    (lambda: rt.asarray([1e-10, 1.0, 1e10]), "tensor([1.e-10, 1.e+00, 1.e+10], dtype=float32)"),
    (lambda: rt.asarray([0.1, 0.123456789]), "tensor([0.1       , 0.12345679], dtype=float32)"),
    (lambda: rt.asarray([0.1, -0.2], dtype="float16"), "tensor([ 0.1, -0.2], dtype=float16)"),
    (
        lambda: rt.asarray([0.1, -2.0, 100.0], dtype="bfloat16"),
        "tensor([  0.1001,  -2.    , 100.    ], dtype=bfloat16)",
    ),
    (lambda: rt.asarray(1e30, dtype="bfloat16"), "tensor(1.0003e+30, dtype=bfloat16)"),
    (lambda: rt.asarray(2**63, dtype="uint64"), "tensor(9223372036854775808, dtype=uint64)"),
    (lambda: rt.zeros(0), "tensor([], dtype=float32)"),
    (lambda: rt.zeros((0, 3), dtype="int64"), "tensor([], shape=(0, 3), dtype=int64)"),
    (lambda: rt.zeros((2, 0)), "tensor([], shape=(2, 0), dtype=float32)"),
    (lambda: rt.arange(2000), "tensor([   0,    1,    2, ..., 1997, 1998, 1999], dtype=int64)"),
    (lambda: rt.ones(1).requires_grad_(), "tensor([1.], dtype=float32, requires_grad=True)"),
    (lambda: rt.ones(1).requires_grad_() * 2, "tensor([2.], dtype=float32, grad_fn=<multiply>)"),
    (lambda: nn.Parameter(rt.ones((2, 1))), "Parameter([[1.],\n           [1.]], dtype=float32, requires_grad=True)"),
    (
        lambda: rt.zeros((1, 20)).requires_grad_(),
        "tensor([[0., 0., 0., 0., 0., 0., 0., 0., 0., 0., 0., 0., 0., 0., 0., 0.,\n         0., 0., 0., 0.]],"
        " dtype=float32, requires_grad=True)",
    ),
    (
        lambda: rt.zeros(15).requires_grad_(),
        "tensor([0., 0., 0., 0., 0., 0., 0., 0., 0., 0., 0., 0., 0., 0., 0.],\n"
        "       dtype=float32, requires_grad=True)",
    ),
]


@pytest.mark.parametrize(("make", "expected"), TABLE, ids=range(len(TABLE)))
def test_repr(make, expected):
    x = make()
    assert repr(x) == str(x) == f"{x}" == expected


def test_no_line_is_too_long_and_no_text_either():
    generator = rt.random.Generator(0)
    for shape in ((1000, 1000), (3, 4, 5), (200,), (5, 500)):
        for dtype in ("float64", "bfloat16", "bool", "complex128"):
            lines = repr(rt.astype(generator.normal(shape=shape), dtype)).splitlines()
            assert max(map(len, lines)) <= 75
            assert len(lines) < 70


def test_the_device_is_shown_where_it_is_not_the_host():
    class Far:
        def __init__(self, values):
            self.values, self.shape = values, values.shape

    backend = Backend(namespace=type("xp", (), {"float32": np.float32}), to_host=lambda native: native.values, count=2)
    x = tensor_like(rt.Tensor, Far(np.ones(2, np.float32)), Device("far", 1, backend, Far).key(rt.float32))
    assert repr(x) == "tensor([1., 1.], dtype=float32, device='far:1')"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"precision": 2}, "[3.33e-01, 1.00e-09, 1.00e+00]"),
        ({"precision": 3, "sci_mode": False}, "[0.333, 0.   , 1.   ]"),
        ({"precision": 3, "sci_mode": True}, "[3.333e-01, 1.e-09, 1.e+00]"),
        ({"threshold": 2, "edgeitems": 1, "precision": 1}, "[0.3, ..., 1. ]"),
        ({"linewidth": 30, "precision": 1, "sci_mode": False}, "[0.3, 0. , 1. ]"),
        ({}, "[3.3333334e-01, 9.9999997e-10, 1.0000000e+00]"),
    ],
)
def test_options(options, expected):
    x = rt.asarray([1 / 3, 1e-9, 1.0])
    plain = repr(x)
    with rt.printoptions(**options):
        assert repr(x).startswith(f"tensor({expected},")
        with rt.printoptions(precision=1, sci_mode=False):
            assert repr(x[0]) == "tensor(0.3, dtype=float32)"
        assert repr(x).startswith(f"tensor({expected},")
    assert repr(x) == plain


def test_complex_numbers_with_an_exponent():
    with rt.printoptions(sci_mode=True, precision=1):
        assert repr(rt.asarray(1500 - 0.25j)) == "tensor(1.5e+03-2.5e-01j, dtype=complex64)"


def test_options_stay_set_and_numpys_hold_for_the_others():
    x = rt.asarray([1 / 3, 2 / 3])
    with rt.printoptions():
        rt.set_printoptions(precision=2)
        rt.set_printoptions(edgeitems=2)
        assert repr(x) == "tensor([0.33, 0.67], dtype=float32)"
        with np.printoptions(precision=4, threshold=1):
            assert repr(rt.concat([x] * 3)) == "tensor([0.33, 0.67, ..., 0.33, 0.67], dtype=float32)"
    with np.printoptions(precision=3):
        assert repr(x) == "tensor([0.333, 0.667], dtype=float32)"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"precision": -1}, ArgumentError),
        ({"precision": 1.5}, OperandError),
        ({"threshold": "all"}, OperandError),
        ({"threshold": math.nan}, ArgumentError),
        ({"linewidth": None, "edgeitems": -2}, ArgumentError),
        ({"sci_mode": "yes"}, ArgumentError),
    ],
)
def test_options_that_cannot_be(options, error):
    plain = repr(rt.ones(2))
    with pytest.raises(error, match="set_printoptions"):
        rt.set_printoptions(**options)
    assert repr(rt.ones(2)) == plain


def test_all_is_printed_below_an_infinite_threshold():
    with rt.printoptions(threshold=math.inf):
        assert "..." not in repr(rt.arange(3000))


def test_format():
    assert f"{rt.asarray(1.25):.1f}" == "1.2"
    assert f"{rt.asarray(7):>4}" == "   7"
    assert f"{rt.asarray([1.234, 20.0]):.2f}" == "[1.23, 20.00]"
    assert f"{rt.asarray([[1, 255]]):x}" == "[[1, ff]]"
    assert f"{rt.asarray([0.5], dtype='bfloat16'):.0%}" == "[50%]"
    assert f"{rt.asarray(0.5).requires_grad_():.3f}" == "0.500"
    for x in (rt.ones(2), rt.asarray(1.0)):
        with pytest.raises(ArgumentError, match="'d' for float32"):
            f"{x:d}"


def test_grad_fn():
    x = rt.ones(2).requires_grad_()
    assert x.grad_fn is None
    assert rt.ones(2).grad_fn is None
    assert (x * 2).grad_fn.op.name == "multiply"
    assert x.detach().grad_fn is None
