"""NumPy's loops on our threads: the same bits as NumPy's for every layout, and what is handed on."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rustorch_simd import _kernels, _ufuncs
from rustorch_simd._plugin import SHARED

from rustorch_core import _numpy_namespace

pytestmark = [pytest.mark.needs("cpu"), pytest.mark.filterwarnings("ignore::RuntimeWarning")]

REDUCTIONS = sorted(_ufuncs.REDUCTIONS)
ELEMENTWISE = sorted(set(SHARED) - set(REDUCTIONS) - set(_ufuncs.PRODUCTS))
DTYPES = ["float32", "float64"]
SPECIAL = [0.0, -0.0, math.inf, -math.inf, math.nan, 1e-45, -1.0, 1.0, 0.5]


@pytest.fixture(autouse=True)
def three_threads():
    _kernels.set_num_threads(3)
    yield
    _kernels.set_num_threads(0)


def values(shape, dtype, seed):
    generator = np.random.default_rng(seed)
    made = generator.normal(size=shape).astype(dtype)
    return np.where(generator.random(shape) < 0.1, generator.choice(SPECIAL, shape), made).astype(dtype)


VIEWS = [
    lambda x: x,
    lambda x: x[::-1] if x.ndim else x,
    lambda x: x.T,
    lambda x: np.repeat(x, 2, -1)[..., ::2] if x.ndim else x,
]


def views(draw, x):
    """The array, or as many elements with other strides."""
    return draw(st.sampled_from(VIEWS))(x)


def assert_same_values(found, expected, ulp=0):
    """Zeros have a sign, and NaN has none."""
    if ulp == 0 or expected.dtype.kind != "f":
        np.testing.assert_array_equal(found, expected)
    else:
        np.testing.assert_allclose(found, expected, rtol=ulp * np.finfo(expected.dtype).eps, atol=0)
    if expected.dtype.kind == "f":
        is_number = ~np.isnan(expected)
        np.testing.assert_array_equal(np.signbit(found) & is_number, np.signbit(expected) & is_number)


def assert_same(found, expected, ulp=0):
    assert type(found) is np.ndarray or np.isscalar(found)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    assert_same_values(found, expected, ulp)


SHAPES = st.one_of(
    st.lists(st.integers(0, 40), max_size=3).map(tuple),
    st.sampled_from([(70_000,), (300, 250), (2, 40_000), (40_000, 2), (17, 1, 4099)]),
)


@settings(deadline=None, max_examples=150)
@given(st.data(), st.sampled_from(ELEMENTWISE), st.sampled_from(DTYPES), SHAPES, st.integers(0, 99))
def test_elementwise_as_numpy(data, name, dtype, shape, seed):
    ufunc, shared = getattr(np, name), getattr(_ufuncs, name)
    ulp = 0 if name in _ufuncs._AT_MEMORY_SPEED else 8  # what is left over after whole vectors rounds otherwise
    x = views(data.draw, values(shape, dtype, seed))
    if ufunc.nin == 1:
        assert_same(shared(x), ufunc(x), ulp)
        return
    stretched = data.draw(st.sampled_from(["same", "scalar", "row", "column", "few", "any"]))
    other = {
        "same": x.shape,
        "scalar": (),
        "row": x.shape[1:],
        "column": (*x.shape[:1], *[1] * (x.ndim - 1)),
        "few": (1,) * x.ndim,
        "any": tuple(data.draw(st.sampled_from([1, extent])) for extent in x.shape),
    }[stretched]
    y = (
        views(data.draw, values(other, dtype, seed + 1))
        if stretched in ("same", "any")
        else values(other, dtype, seed + 1)
    )
    y = y if y.shape in (x.shape, other) else values(x.shape, dtype, seed + 1)
    for first, second in ((x, y), (y, x)):
        assert_same(shared(first, second), ufunc(first, second), ulp)


@settings(deadline=None, max_examples=150)
@given(st.data(), st.sampled_from(REDUCTIONS), st.sampled_from(DTYPES), SHAPES, st.booleans(), st.integers(0, 99))
def test_reductions_as_numpy(data, name, dtype, shape, keepdims, seed):
    x = views(data.draw, values(shape, dtype, seed))
    axes = data.draw(st.one_of(st.none(), st.sets(st.integers(0, max(x.ndim - 1, 0))).map(sorted).map(tuple)))
    axes = axes if x.ndim or axes is None else None
    own = getattr(_numpy_namespace, name)
    if x.size == 0 and name in ("max", "min"):
        with pytest.raises(ValueError, match="zero-size"):
            own(x[:0], axis=None, keepdims=keepdims)
        return
    expected = np.asarray(own(x, axis=axes, keepdims=keepdims))
    found = np.asarray(getattr(_ufuncs, name)(x, axis=axes, keepdims=keepdims))
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    if x.size < 2**17 and (dtype == "float64" or name not in ("sum", "mean")):
        assert_same_values(found, expected)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-2)


@settings(deadline=None, max_examples=200)
@given(st.data(), st.sampled_from(sorted(_ufuncs.PRODUCTS)), st.sampled_from(DTYPES), st.integers(0, 99))
def test_products_as_numpy(data, name, dtype, seed):
    rows, length, columns = data.draw(st.tuples(*[st.integers(0, 40)] * 3))
    stack = data.draw(st.sampled_from([(), (), (3,), (2, 3), (0,), (1, 2)]))
    first, second = _ufuncs.PRODUCTS[name]
    shapes = [(rows, length), (length, columns)]
    arrays = []
    for shape, is_transposed in zip(shapes, (first, second), strict=True):
        whole = stack if data.draw(st.booleans()) else data.draw(st.sampled_from([stack, stack[1:], ()]))
        order = data.draw(st.sampled_from([lambda a: a, lambda a: a.swapaxes(-1, -2).copy().swapaxes(-1, -2)]))
        x = order(np.random.default_rng(seed + len(arrays)).normal(size=(*whole, *shape)).astype(dtype))
        x = data.draw(
            st.sampled_from([lambda a: a, lambda a: a[..., ::-1, :], lambda a: a[..., ::2, :][..., :0:-1, :]])
        )(x)
        arrays.append(x.swapaxes(-1, -2) if is_transposed else x)
    x1, x2 = arrays
    plain = [a.swapaxes(-1, -2) if t else a for a, t in ((x1, first), (x2, second))]
    if plain[0].shape[-1] != plain[1].shape[-2]:
        with pytest.raises(ValueError, match="mismatch in its core dimension"):
            getattr(_ufuncs, name)(x1, x2)
        return
    expected, found = np.matmul(*plain), getattr(_ufuncs, name)(x1, x2)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize("name", sorted(_ufuncs.PRODUCTS))
def test_products_of_vectors_and_other_dtypes(name):
    product, (first, second) = getattr(_ufuncs, name), _ufuncs.PRODUCTS[name]
    for x in (np.arange(9).reshape(3, 3), np.ones((3, 3), np.complex64), np.eye(3, dtype=">f4")):
        expected = np.matmul(x.T if first else x, x.T if second else x)
        np.testing.assert_array_equal(product(x, x), expected)
    if name == "matmul":
        v = np.arange(3.0)
        assert product(v, v) == 5
        np.testing.assert_array_equal(product(np.eye(3), v), v)
    with pytest.raises(ValueError, match="expected matmul"):
        _kernels.Product(np.add, len)


def test_a_long_sum_does_not_depend_on_the_number_of_threads():
    x = np.random.default_rng(0).normal(size=1_000_003).astype(np.float32)
    found = set()
    for threads in (1, 2, 3, 7):
        _kernels.set_num_threads(threads)
        found |= {(float(_ufuncs.sum(x, axis=None, keepdims=False)), float(_ufuncs.max(x, axis=None, keepdims=False)))}
    assert len(found) == 1
    assert next(iter(found))[0] == pytest.approx(float(x.astype(float).sum()), rel=1e-5)


@pytest.mark.parametrize("name", ["add", "sin", "sum"])
def test_what_is_no_plain_array_is_numpys_business(name):
    shared, own = getattr(_ufuncs, name), getattr(_numpy_namespace, name, getattr(np, name))
    extra = {"axis": None, "keepdims": False} if name == "sum" else {}
    for x in (np.arange(5), np.ones(3, np.complex64), np.ones(4, ">f4"), np.float32(2), np.ones(3, np.float16)):
        arguments = (x, x) if name == "add" else (x,)
        np.testing.assert_array_equal(shared(*arguments, **extra), own(*arguments, **extra))
    with pytest.raises(TypeError):
        shared("text", "text", "text", **extra)
    with pytest.raises(TypeError):
        shared()


def test_what_cannot_be_shared_is_refused():
    for wrong in (np.modf, np.matmul, np.divmod):
        with pytest.raises(ValueError, match="expected a ufunc"):
            _kernels.Shared(wrong)
    with pytest.raises(TypeError):
        _kernels.Shared(len)
    with pytest.raises(ValueError, match="expected a ufunc of two"):
        _kernels.SharedReduction(np.exp, len)
    with pytest.raises(AttributeError, match="no attribute 'modf'"):
        _ufuncs.modf  # noqa: B018


def test_odd_addresses_and_overlap():
    raw = np.zeros(4 * 1001 + 1, np.uint8)
    x = np.frombuffer(raw.data, np.float32, 1000, offset=1)
    np.testing.assert_array_equal(_ufuncs.add(x, x), x + x)
    y = np.lib.stride_tricks.as_strided(np.arange(10.0), (8, 3), (8, 8))
    np.testing.assert_array_equal(_ufuncs.multiply(y, y), y * y)
    np.testing.assert_array_equal(_ufuncs.sum(y, axis=(0,), keepdims=False), y.sum(0))
