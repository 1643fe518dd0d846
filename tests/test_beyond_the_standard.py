"""What the namespace offers beyond the standard: NumPy's values, and gradients that finite differences confirm."""

import math

import numpy as np
import pytest

import rustorch as rt
from rustorch import errors

GENERATOR = np.random.default_rng(7)
X = GENERATOR.permutation(24).reshape(2, 3, 4) / 7 - 1.3
MATRIX = X[0]
VECTOR = GENERATOR.standard_normal(7)
HOLED = np.where(np.arange(24).reshape(2, 3, 4) % 5 == 2, np.nan, X)
EMPTY = np.zeros((0, 3))
WHOLE = GENERATOR.integers(-5, 9, (3, 4))
COMPLEX = MATRIX + 1j * X[1]


def tensor(value):
    return rt.asarray(value) if isinstance(value, np.ndarray) else value


def parts(result):
    return list(result) if isinstance(result, (tuple, list)) else [result]


def same(ours, theirs, rtol=1e-12, atol=1e-13):
    ours, theirs = parts(ours), parts(theirs)
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert isinstance(one, (rt.Tensor, bool)), type(one)
        one = one.to("cpu").numpy() if isinstance(one, rt.Tensor) else np.asarray(one)
        assert one.shape == np.shape(other)
        np.testing.assert_allclose(one, other, rtol=rtol, atol=atol)


def numpy_of(name):
    return {"nanmax": np.nanmax, "nanmin": np.nanmin}.get(name) or getattr(np, name)


def agrees(name, *arguments, **others):
    with np.errstate(all="ignore"):
        expected = numpy_of(name)(*arguments, **others)
    same(getattr(rt, name)(*map(tensor, arguments), **{key: tensor(each) for key, each in others.items()}), expected)


def has_gradient(function, *arrays, order=2, step=1e-6, tolerance=2e-6):
    rt.testing.gradcheck(
        function, [rt.asarray(each) for each in arrays], order=order, step=step, rtol=tolerance, atol=tolerance
    )


AXES = [{}, {"axis": 0}, {"axis": -1, "keepdims": True}, {"axis": (0, 2)}, {"axis": (2, 1), "keepdims": True}]

# NaN left out

REDUCTIONS = ["nansum", "nanprod", "nanmean", "nanmin", "nanmax", "nanstd", "nanvar", "nanmedian"]


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("arguments", AXES)
def test_reductions_without_nan(name, arguments):
    for x in (HOLED, X, np.where(X > 0, np.inf, HOLED) if name in ("nanmin", "nanmax", "nansum") else X):
        agrees(name, x, **arguments)
    has_gradient(lambda x: getattr(rt, name)(x, **arguments), HOLED)


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_slices_of_nothing_but_nan(name):
    x = np.array([[np.nan, np.nan], [1.0, np.nan]])
    agrees(name, x, axis=1)
    agrees(name, WHOLE.astype(np.int64)) if name not in ("nanmean", "nanstd", "nanvar", "nanmedian") else None
    gradient = rt.grad(lambda x: rt.sum(rt.nansum(getattr(rt, name)(x, axis=1))))(rt.asarray(x)).to("cpu").numpy()
    assert np.isfinite(gradient[1]).all() and gradient[1, 1] == 0


@pytest.mark.parametrize("dtype", ["float16", "float32", "int32", "bool"])
@pytest.mark.parametrize("name", ["nansum", "nanprod", "nanmean", "nanvar", "nanstd"])
def test_dtypes_without_nan(name, dtype):
    x = rt.asarray(WHOLE[0]).astype(dtype)
    expected = numpy_of(name)(x.to("cpu").numpy().astype("float64"))
    found = getattr(rt, name)(x)
    assert float(found) == pytest.approx(float(expected), rel=2e-3)
    assert dtype in ("int32", "bool") or found.dtype == dtype
    assert getattr(rt, name)(x, dtype="float64").dtype == "float64"


@pytest.mark.parametrize("name", ["nansum", "nanprod", "nanmean", "nanvar", "nanstd", "nancumsum", "nancumprod"])
def test_complex_without_nan(name):
    agrees(name, np.where(MATRIX > 0, np.nan, COMPLEX))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_ddof():
    for ddof in (0, 1, 2):
        agrees("nanvar", HOLED, axis=1, ddof=ddof)
        agrees("nanstd", HOLED, axis=(0, 1), ddof=ddof)
    assert math.isnan(rt.nanvar(rt.asarray([1.0, rt.nan]), ddof=1))


@pytest.mark.parametrize("name", ["nancumsum", "nancumprod"])
@pytest.mark.parametrize("axis", [None, 0, -1])
def test_running_without_nan(name, axis):
    agrees(name, HOLED, axis=axis)
    has_gradient(lambda x: getattr(rt, name)(x, axis=axis), HOLED)


@pytest.mark.parametrize("name", ["nanargmin", "nanargmax"])
def test_places_without_nan(name):
    for arguments in ({}, {"axis": 0}, {"axis": 2, "keepdims": True}):
        agrees(name, HOLED, **arguments)
    agrees(name, WHOLE, axis=1)
    assert int(getattr(rt, name)(rt.asarray([np.nan, np.inf]))) == 1
    with pytest.raises(errors.ArgumentError, match=f"{name}: a slice of shape \\(2, 1\\).*nothing but NaN"):
        getattr(rt, name)(rt.asarray([[np.nan], [1.0]]), axis=1)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_nan_to_num_keeps_the_dtype(dtype):
    agrees("nan_to_num", np.array([np.nan, np.inf, -np.inf, 2.0]).astype(dtype))


def test_nan_to_num():
    x = np.array([np.nan, np.inf, -np.inf, 2.0])
    agrees("nan_to_num", x, nan=3.0, posinf=4.0, neginf=-5.0)
    agrees("nan_to_num", np.array([complex(one, other) for one in x for other in x]), nan=1.0)
    agrees("nan_to_num", WHOLE)
    assert rt.grad(lambda x: rt.sum(rt.nan_to_num(x)))(rt.asarray(x)).tolist() == [0, 0, 0, 1]


# Samples

METHODS = [
    "linear", "lower", "higher", "nearest", "midpoint", "hazen", "weibull", "median_unbiased", "normal_unbiased",
    "interpolated_inverted_cdf",
]  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("arguments", AXES)
def test_quantiles(method, arguments):
    for q in (0.0, 0.3, 1.0, [0.1, 0.5, 0.99], np.array([[0.2], [0.7]])):
        agrees("quantile", X, q, method=method, **arguments)
        if np.ndim(q) < 2:  # where NumPy's own puts the axes of q in other places
            agrees("nanquantile", HOLED, q, method=method, **arguments)
    has_gradient(lambda x: rt.quantile(x, [0.13, 0.71], method=method, **arguments), X)
    has_gradient(lambda x: rt.nanquantile(x, [0.13, 0.71], method=method, **arguments), HOLED)
    has_gradient(lambda x, q: rt.quantile(x, q, method=method, **arguments), X, np.array([0.13, 0.71]))
    has_gradient(lambda q: rt.nanquantile(rt.asarray(HOLED), q, method=method, **arguments), np.array(0.31))


@pytest.mark.parametrize("arguments", AXES)
def test_median_and_percentile(arguments):
    agrees("median", X, **arguments)
    agrees("median", HOLED, **arguments)
    agrees("percentile", X, [3, 50, 97.5], **arguments)
    has_gradient(lambda x: rt.median(x, **arguments), X)


def test_quantiles_of_special_samples():
    agrees("quantile", np.array([3.0]), 0.4)
    agrees("quantile", WHOLE.astype(np.float64), [0.25, 0.5])
    assert rt.median(rt.asarray(WHOLE)).dtype == rt.float32
    assert math.isnan(rt.median(rt.asarray([])))
    assert math.isnan(rt.quantile(rt.asarray([1.0, rt.nan]), 0.0))
    assert float(rt.median(rt.asarray([1.0, rt.inf, rt.inf]))) == math.inf
    assert float(rt.quantile(rt.asarray([1.0, 2.0, rt.inf]), 0.5)) == 2
    assert rt.quantile(rt.asarray([1.0, 2.0]), []).shape == (0,)
    assert rt.quantile(rt.asarray([1.0, 2.0]), rt.asarray([0.0, 1.0])).tolist() == [1, 2]


def test_quantiles_refuse():
    x = rt.asarray([1.0, 2.0])
    with pytest.raises(errors.ArgumentError, match="quantile: q must lie between 0 and 1, met 2"):
        rt.quantile(x, 2)
    with pytest.raises(errors.ArgumentError, match="percentile: q must lie between 0 and 100"):
        rt.percentile(x, [101])
    with pytest.raises(errors.ArgumentError, match="nanquantile: method is one of"):
        rt.nanquantile(x, 0.5, method="best")
    with pytest.raises(errors.DTypeError, match="median: complex64 has no order"):
        rt.median(rt.asarray([1j]))
    with pytest.raises(errors.OperandError, match="median: expected a tensor"):
        rt.median([1.0])


def test_ptp():
    agrees("ptp", X)
    agrees("ptp", X, axis=1, keepdims=True)
    has_gradient(lambda x: rt.ptp(x, axis=0), X)


def test_average():
    agrees("average", X)
    agrees("average", X, axis=1, weights=np.array([1.0, 2.0, 4.0]))
    agrees("average", X, weights=np.abs(X) + 1, axis=(0, 2), keepdims=True)
    agrees("average", X, axis=(2, 0), weights=np.abs(X[:, 0].T) + 1)
    has_gradient(lambda x, w: rt.average(x, axis=1, weights=w), X, np.array([1.0, 2.0, 4.0]))
    with pytest.raises(errors.ShapeError, match=r"average: weights of shape \(5,\)"):
        rt.average(tensor(X), axis=0, weights=rt.ones(5))


def test_covariance():
    for arguments in ({}, {"rowvar": False}, {"bias": True}, {"ddof": 2}):
        agrees("cov", MATRIX, **arguments)
    agrees("cov", VECTOR)
    agrees("cov", COMPLEX)
    agrees("corrcoef", MATRIX)
    agrees("corrcoef", MATRIX, rowvar=False)
    agrees("corrcoef", VECTOR)
    has_gradient(rt.cov, MATRIX)
    has_gradient(rt.corrcoef, MATRIX)
    with pytest.raises(errors.ShapeError, match="cov: expected at most 2 axes"):
        rt.cov(tensor(X))


def test_bincount():
    numbers = np.array([3, 0, 3, 5])
    agrees("bincount", numbers)
    agrees("bincount", numbers, minlength=9)
    agrees("bincount", numbers.astype(np.uint8))
    agrees("bincount", np.zeros(0, np.int64), minlength=2)
    agrees("bincount", numbers, weights=VECTOR[:4])
    assert rt.bincount(rt.asarray(numbers)).dtype == rt.int64
    has_gradient(lambda w: rt.bincount(rt.asarray(numbers), w), VECTOR[:4])
    for bad, error in ((rt.asarray([-1]), ValueError), (rt.ones(2), TypeError), (rt.asarray([[1]]), ValueError)):
        with pytest.raises(error, match="bincount: expected"):
            rt.bincount(bad)
    with pytest.raises(errors.ShapeError, match="bincount: weights of shape"):
        rt.bincount(rt.asarray([1, 2]), rt.ones(3))


def test_histogram():
    for arguments in ({}, {"bins": 3}, {"range": (-1.0, 1.0)}, {"bins": np.array([-1.0, 0.0, 0.5, 3.0])}):
        agrees("histogram", X, **arguments)
    agrees("histogram", X, bins=4, weights=X)
    agrees("histogram", np.ones(3))
    has_gradient(lambda w: rt.histogram(tensor(X), 4, weights=w)[0], X)
    counts, _ = rt.histogram(rt.asarray([0.5, rt.nan]), range=(0, 1))
    assert int(rt.sum(counts)) == 1
    with pytest.raises(errors.ArgumentError, match="histogram: expected at least 1 bin, met 0"):
        rt.histogram(rt.ones(2), 0)
    with pytest.raises(errors.ArgumentError, match="histogram: the range"):
        rt.histogram(rt.asarray([rt.nan]))


# Arrangement


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("transpose", ()),
        ("transpose", ((1, 2, 0),)),
        ("transpose", ([-1, 0, 1],)),
        ("swapaxes", (0, -1)),
        ("ravel", ()),
        ("atleast_1d", ()),
        ("atleast_2d", ()),
        ("atleast_3d", ()),
        ("flipud", ()),
        ("fliplr", ()),
        *[("rot90", (k, axes)) for k in range(-1, 4) for axes in ((0, 1), (2, 0))],
        ("split", (3, 1)),
        ("split", ([1, 3], 2)),
        ("array_split", (3, 2)),
        ("array_split", (5, 0)),
        ("array_split", ([1, 2, 9], 1)),
        *[("pad", ((1, 2), mode)) for mode in ("constant", "edge", "reflect", "symmetric", "wrap")],
        *[("pad", (((0, 1), (5, 0), (7, 9)), mode)) for mode in ("constant", "edge", "reflect", "symmetric", "wrap")],
        ("pad", (0,)),
        ("pad", ({1: 2, -1: (0, 1)},)),
    ],
)
def test_arrangements(name, arguments):
    agrees(name, X, *arguments)
    has_gradient(lambda x: getattr(rt, name)(x * x, *arguments), X)


def test_arrangements_of_few_axes():
    for name in ("atleast_1d", "atleast_2d", "atleast_3d", "ravel", "transpose"):
        for x in (np.array(2.0), VECTOR, MATRIX, EMPTY):
            agrees(name, x)
    for shapes in ([(2,), (3,)], [(2, 1), (2, 3)], [(), ()], [(2, 3, 1), (2, 1, 1)]):
        agrees_with_list("hstack", shapes)
    for shapes in ([(2,), (2,)], [(1, 3), (2, 3)], [(), ()]):
        agrees_with_list("vstack", shapes)


def agrees_with_list(name, shapes):
    arrays = [GENERATOR.standard_normal(shape) for shape in shapes]
    same(getattr(rt, name)([rt.asarray(each) for each in arrays]), getattr(np, name)(arrays))
    has_gradient(lambda *xs: getattr(rt, name)([x * x for x in xs]), *arrays)


def test_splits_are_views():
    x = rt.zeros(4)
    rt.split(x, 2)[1][0] = 5.0
    assert x.tolist() == [0, 0, 5, 0]
    with pytest.raises(errors.ArgumentError, match="split: 4 places along axis 0 do not divide into 3"):
        rt.split(x, 3)
    with pytest.raises(errors.ArgumentError, match=r"array_split: expected at least 1 part.*met 0"):
        rt.array_split(x, 0)


def test_finding():
    for x in (WHOLE, WHOLE > 2, MATRIX, np.zeros((2, 0)), np.array(3), np.array(0)):
        agrees("argwhere", x)
        agrees("flatnonzero", x)


def test_pad_with_values():
    agrees("pad", WHOLE, ((1, 0), (2, 3)), constant_values=7)
    agrees("pad", MATRIX, 2, constant_values=((1, 2), (3, 4)))
    agrees("pad", EMPTY, ((1, 1), (0, 0)))
    agrees("pad", np.ones((1, 2)), 3, mode="reflect")
    x = rt.zeros(2)
    assert rt.pad(x, 0) is not x
    with pytest.raises(errors.ArgumentError, match="pad: mode is one of"):
        rt.pad(x, 1, "nothing")
    with pytest.raises(errors.ArgumentError, match="pad: pad_width holds integers, none negative; met -1"):
        rt.pad(x, -1)
    with pytest.raises(errors.ShapeError, match="neither a number nor a pair"):
        rt.pad(x, ((1, 1), (1, 1)))
    with pytest.raises(errors.ArgumentError, match="pad: axis 0 of shape \\(0, 3\\) is empty"):
        rt.pad(tensor(EMPTY), 1, "edge")


@pytest.mark.parametrize("widths", [2, (1, 3), ((0, 2), (3, 0))])
@pytest.mark.parametrize(
    "how",
    [
        {"mode": "linear_ramp"},
        {"mode": "linear_ramp", "end_values": ((3, -2), (0, 7))},
        {"mode": "mean"},
        {"mode": "mean", "stat_length": 2},
        {"mode": "median", "stat_length": ((1, 2), (3, 2))},
        {"mode": "maximum"},
        {"mode": "minimum", "stat_length": 9},
    ],
    ids=lambda how: " ".join(map(str, how.values())),
)
def test_pad_with_what_is_there(widths, how):
    agrees("pad", MATRIX, widths, **how)
    agrees("pad", WHOLE**2, widths, **how)
    has_gradient(lambda x: rt.pad(x * x, widths, **how), MATRIX)


def test_pad_with_a_statistic_of_nothing():
    with pytest.raises(errors.ArgumentError, match="pad: a mean of no element met"):
        rt.pad(rt.zeros(0), 1, "mean")


@pytest.mark.parametrize("k", [-4, -1, 0, 1, 3])
def test_diagonals(k):
    for x in (VECTOR, np.array([1.0, np.nan]), MATRIX, MATRIX.T, WHOLE):
        agrees("diag", x, k)
    has_gradient(lambda x: rt.diag(x * x, k), VECTOR)
    with pytest.raises(errors.ShapeError, match="diag: expected a matrix or a vector"):
        rt.diag(rt.ones((1, 1, 1)))


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
@pytest.mark.parametrize(("m", "n"), [(5, 3), (3, 5), (4, 4), (6, 2), (1, 4), (4, 1)])
def test_convolutions(mode, m, n):
    x, y = GENERATOR.standard_normal(m), GENERATOR.standard_normal(n)
    agrees("convolve", x, y, mode)
    has_gradient(lambda x, y: rt.convolve(x, y, mode), x, y)


def test_convolutions_refuse():
    with pytest.raises(errors.ShapeError, match=r"convolve: expected two vectors with elements, met shapes \(0,\)"):
        rt.convolve(rt.zeros(0), rt.ones(2))
    with pytest.raises(errors.ArgumentError, match="full, same, valid"):
        rt.convolve(rt.ones(2), rt.ones(2), "half")


def test_spaced_by_factors():
    for arguments in ((0, 2, 5), (-1, 1, 4)):
        same(rt.logspace(*arguments, dtype="float64"), np.logspace(*arguments))
    same(rt.logspace(0, 3, 4, base=2.0, endpoint=False, dtype="float64"), np.logspace(0, 3, 4, False, 2.0))
    for arguments in ((1, 1000, 4), (-2, -32, 5), (8, 0.5, 3)):
        same(rt.geomspace(*arguments, dtype="float64"), np.geomspace(*arguments))
    with pytest.raises(errors.ArgumentError, match="geomspace: expected two ends of one sign, met -1 and 2"):
        rt.geomspace(-1, 2)


def test_other_views_of_the_elements():
    x = rt.arange(6)
    assert x.view(2, 3).shape == x.view((3, 2)).T.shape == (2, 3)
    x.view(2, 3)[0, 0] = 9
    assert x.tolist()[0] == 9
    with pytest.raises(errors.ArgumentError):
        rt.ones((2, 3)).T.view(6)
    same(rt.asarray(COMPLEX).view("float64"), COMPLEX.view("float64"))
    same(rt.asarray(MATRIX).view(complex), np.ascontiguousarray(MATRIX).view(complex))
    has_gradient(lambda x: rt.asarray(x).view(complex) ** 2, MATRIX)
    with pytest.raises(errors.ArgumentError, match=r"view: float64 of shape .* as int64 met; use astype"):
        rt.asarray(MATRIX).view("int64")


@pytest.mark.parametrize("decimals", [-1, 0, 1, 3])
def test_rounding_to_places(decimals):
    agrees("round", X * 10, decimals)
    agrees("round", WHOLE * 7, decimals)


def test_parts_and_angles():
    for x in (COMPLEX, MATRIX):
        agrees("angle", x)
        agrees("angle", x, deg=True)
        agrees("iscomplex", x)
        agrees("isreal", x)
    has_gradient(lambda x: rt.angle(x + 1j * x * x), MATRIX)


def test_looking_for_what_is_in_a_list():
    assert rt.isin(rt.asarray([1, 2, 3]), [3, 1]).tolist() == [True, False, True]
    assert rt.where(rt.asarray([False, True, True]))[0].tolist() == [1, 2]


@pytest.mark.parametrize(("window", "axis"), [((1, 2, 3), None), (2, 1), ((2, 2), (2, 2)), ((2, 1), (0, -1)), (4, 2)])
def test_sliding_windows(window, axis):
    same(
        rt.lib.stride_tricks.sliding_window_view(tensor(X), window, axis),
        np.lib.stride_tricks.sliding_window_view(X, window, axis),
    )
    has_gradient(lambda x: rt.lib.stride_tricks.sliding_window_view(x * x, window, axis), X)


def test_sliding_windows_refuse():
    view = rt.lib.stride_tricks.sliding_window_view
    with pytest.raises(errors.ArgumentError, match="a window of 5 does not fit axis 2"):
        view(tensor(X), 5, 2)
    with pytest.raises(errors.ArgumentError, match="2 lengths of windows met 3 axes"):
        view(tensor(X), (1, 2))


# Calculus


@pytest.mark.parametrize("name", ["cumsum", "cumprod"])
@pytest.mark.parametrize("axis", [None, 0, -1])
def test_running(name, axis):
    agrees(name, X, axis=axis)
    agrees(name, EMPTY, axis=axis)
    assert getattr(rt.asarray(WHOLE), name)(0).shape == (3, 4)
    has_gradient(lambda x: getattr(rt, name)(x, axis=axis), X)


PLACES = np.cumsum(np.abs(VECTOR[:4]) + 0.1)


@pytest.mark.parametrize("edge_order", [1, 2])
def test_gradient(edge_order):
    agrees("gradient", VECTOR, edge_order=edge_order)
    agrees("gradient", MATRIX, 0.3, edge_order=edge_order)
    agrees("gradient", MATRIX, PLACES[:3], PLACES, edge_order=edge_order)
    agrees("gradient", X, axis=1, edge_order=edge_order)
    agrees("gradient", X, 2.0, PLACES, axis=(1, 2), edge_order=edge_order)
    has_gradient(lambda x, p: rt.gradient(x, p, axis=1, edge_order=edge_order), MATRIX, PLACES)


def test_gradient_of_short_and_wrong():
    agrees("gradient", VECTOR[:2])
    assert rt.gradient(rt.asarray([1, 2, 4])).dtype == rt.float32
    with pytest.raises(errors.ArgumentError, match="gradient: axis 0 of shape \\(1,\\) needs at least 2 elements"):
        rt.gradient(rt.ones(1))
    with pytest.raises(errors.ArgumentError, match="gradient: 3 spacings met 2 axes"):
        rt.gradient(tensor(MATRIX), 1, 2, 3)
    with pytest.raises(errors.ShapeError, match="gradient: places of shape"):
        rt.gradient(rt.ones(4), rt.ones(3))


def test_trapezoid():
    agrees("trapezoid", X)
    agrees("trapezoid", X, dx=0.2, axis=0)
    agrees("trapezoid", X, PLACES)
    agrees("trapezoid", X, x=PLACES[:3], axis=1)
    agrees("trapezoid", X, x=X, axis=1)
    has_gradient(lambda y, x: rt.trapezoid(y, x), X, PLACES)


def test_interpolation():
    places, heights = np.array([0.0, 1.0, 2.5, 4.0]), np.array([1.0, 3.0, -2.0, 0.5])
    x = np.array([[-1.0, 0.0, 0.3], [1.0, 2.4, 4.0], [5.0, 3.9, 2.5]])
    agrees("interp", x, places, heights)
    agrees("interp", x, places, heights, left=-7.0, right=9.0)
    agrees("interp", x, places, heights, period=4.5)
    agrees("interp", np.array([0.5, np.nan, np.inf, -np.inf]), places, heights)
    agrees("interp", np.array(0.5), np.array([1.0]), np.array([2.0]))
    has_gradient(rt.interp, x + 0.07, places, heights)
    has_gradient(lambda *xs: rt.interp(*xs, period=4.5), x + 0.07, places, heights)
    with pytest.raises(errors.ShapeError, match="interp: points of shapes"):
        rt.interp(rt.ones(2), rt.ones(3), rt.ones(2))


# Comparison


def test_closeness():
    x = np.array([1.0, np.nan, np.inf, -np.inf, 0.0, 1e10])
    y = np.array([1.0 + 1e-6, np.nan, np.inf, np.inf, 1e-9, 1.0001e10])
    for arguments in ({}, {"equal_nan": True}, {"rtol": 1e-3}, {"atol": 1.0}):
        agrees("isclose", x, y, **arguments)
        agrees("allclose", x, y, **arguments)
    agrees("isclose", WHOLE, 3)
    agrees("allclose", X, X)
    assert rt.allclose(rt.ones(2), rt.ones((3, 1)))
    with pytest.raises(errors.OperandError, match="isclose"):
        rt.isclose([1.0], [1.0])


def test_array_equal():
    x = np.array([1.0, np.nan])
    for pair in ((x, x), (X, X), (X, MATRIX), (WHOLE, WHOLE.astype(float)), (WHOLE, WHOLE + 1)):
        agrees("array_equal", *pair)
    agrees("array_equal", x, x, equal_nan=True)
    assert not rt.array_equal(rt.ones(2), "text")


# Products


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("outer", [(3,), (4,)]),
        ("outer", [(2, 2), ()]),
        ("inner", [(4,), (4,)]),
        ("inner", [(2, 3), (4, 3)]),
        ("inner", [(), (3,)]),
        ("dot", [(3,), (3,)]),
        ("dot", [(2, 3), (3, 4)]),
        ("dot", [(2, 3), (5, 3, 4)]),
        ("dot", [(2, 3), (3,)]),
        ("dot", [(), (2,)]),
        ("kron", [(2, 3), (3, 2)]),
        ("kron", [(3,), (2, 2)]),
        ("kron", [(2, 1, 3), (2,)]),
        ("kron", [(), (2,)]),
        ("dot", [(2, 0), (0, 3)]),
    ],
)
def test_products(name, shapes):
    arrays = [GENERATOR.standard_normal(shape) for shape in shapes]
    agrees(name, *arrays)
    has_gradient(getattr(rt, name), *arrays)


def test_products_refuse():
    for name in ("inner", "dot"):
        with pytest.raises(errors.ShapeError):
            getattr(rt, name)(rt.ones((2, 3)), rt.ones((2, 2)))


@pytest.mark.parametrize(
    ("subscripts", "shapes"),
    [
        ("i", [(3,)]),
        ("i->", [(3,)]),
        ("ij", [(2, 3)]),
        ("ba", [(2, 3)]),
        ("ij->ji", [(2, 3)]),
        ("ii", [(3, 3)]),
        ("ii->i", [(3, 3)]),
        ("iij->j", [(3, 3, 2)]),
        ("iii->i", [(2, 2, 2)]),
        ("ijij->ij", [(2, 3, 2, 3)]),
        ("ij,jk", [(2, 3), (3, 4)]),
        ("ij,jk->ki", [(2, 3), (3, 4)]),
        ("ij,ij->", [(2, 3), (2, 3)]),
        ("ij,ij->ij", [(2, 3), (2, 3)]),
        ("i,j->ij", [(2,), (3,)]),
        ("i,j->", [(2,), (3,)]),
        ("i,i", [(3,), (3,)]),
        (",i->i", [(), (3,)]),
        (",", [(), ()]),
        ("bij,bjk->bik", [(2, 3, 4), (2, 4, 5)]),
        ("...ij,...jk->...ik", [(2, 3, 4), (4, 5)]),
        ("...ij,...jk", [(5, 1, 3, 4), (2, 4, 2)]),
        ("i...->...i", [(2, 3, 4)]),
        ("...->...", [(2, 3)]),
        ("...i->...", [(2, 3)]),
        ("i...,i...", [(2, 3), (2, 3)]),
        ("ij...,jk...->ik...", [(2, 3, 2), (3, 4, 1)]),
        ("ij,jk,kl->il", [(2, 3), (3, 4), (4, 2)]),
        ("a,b,c->abc", [(2,), (3,), (4,)]),
        ("ij,i,j->", [(2, 3), (2,), (3,)]),
        ("bhqd,bhkd->bhqk", [(2, 3, 4, 5), (2, 3, 6, 5)]),
        ("ij,jk->ik", [(2, 0), (0, 3)]),
        ("ij,jk->ik", [(2, 1), (3, 4)]),
        ("aab,bc->ac", [(2, 2, 3), (3, 4)]),
        ("zA,AZ->Zz", [(2, 3), (3, 4)]),
        (" i j , j k -> i k ", [(2, 3), (3, 4)]),
    ],
)
def test_einsum(subscripts, shapes):
    arrays = [GENERATOR.standard_normal(shape) for shape in shapes]
    same(rt.einsum(subscripts, *map(rt.asarray, arrays)), np.einsum(subscripts, *arrays))
    if all(each.size for each in arrays):
        has_gradient(lambda *xs: rt.einsum(subscripts, *xs), *arrays)


def test_einsum_of_dtypes():
    same(rt.einsum("ij,kj->ik", rt.asarray(WHOLE), rt.asarray(WHOLE)), np.einsum("ij,kj->ik", WHOLE, WHOLE))
    same(rt.einsum("ij,kj", rt.asarray(COMPLEX), rt.asarray(MATRIX)), np.einsum("ij,kj", COMPLEX, MATRIX))
    assert rt.einsum("i->", rt.ones(3, dtype="int8")).dtype == rt.int8


@pytest.mark.parametrize(
    ("subscripts", "count", "error"),
    [
        ("ij", 2, "has labels for 1 operands, met 2"),
        ("ijk", 1, "does not fit an operand with 2 axes"),
        ("i", 1, "does not fit an operand with 2 axes"),
        ("i1", 1, "must be letters"),
        ("ij->k", 1, "must name labels of the operands"),
        ("ij->ii", 1, "must name labels of the operands, each once"),
        ("ij,ij->", 2, "axes of one label"),
        ("ii", 1, "axes of one label"),
    ],
)
def test_einsum_refuses(subscripts, count, error):
    operands = [rt.ones((2, 3)), rt.ones((4, 3))][:count]
    with pytest.raises(errors.ArgumentError, match=f"einsum: .*{error}"):
        rt.einsum(subscripts, *operands)
    with pytest.raises(errors.OperandError, match="einsum: expected the labels first"):
        rt.einsum(operands[0], subscripts)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: rt.isclose(x, x, "near"), "isclose: rtol is a number, met 'near'"),
        (lambda x: rt.nanvar(x, ddof=None), "nanvar: ddof is a number, met None"),
        (lambda x: rt.nan_to_num(x, nan=[1]), "nan_to_num: nan is a number"),
        (lambda x: rt.rot90(x, 0.5), "rot90: k is an integer, met 0.5"),
        (lambda x: rt.quantile(x, rt.asarray(1j)), "quantile: q is a real number or several, met complex64"),
        (lambda x: rt.histogram(x, 3, 4), "histogram: the range is a pair of numbers, met 4"),
        (lambda x: rt.trapezoid(x, dx="wide"), "trapezoid: dx is a number"),
        (lambda x: rt.linalg.norm(x, (1, 0)), "norm: ord is a number"),
        (lambda x: rt.linalg.cond(x, []), "cond: p is a number"),
        (lambda x: rt.linalg.multi_dot(3), "multi_dot: expected a list or tuple of tensors"),
    ],
)
def test_arguments_that_are_no_numbers(call, words):
    with pytest.raises(errors.RusTorchError, match=words) as caught:
        call(rt.ones((2, 2)))
    assert isinstance(caught.value, (TypeError, ValueError))


# Linear algebra

SQUARE = GENERATOR.standard_normal((2, 3, 3)) + 3 * np.eye(3)


@pytest.mark.parametrize("order", [None, 0, 1, 2, 3.5, np.inf, -np.inf, -1])
def test_norm_of_vectors(order):
    for arguments in ({"axis": 1}, {"axis": -1, "keepdims": True}):
        same(rt.linalg.norm(tensor(X), order, **arguments), np.linalg.norm(X, order, **arguments))
    same(rt.linalg.norm(tensor(VECTOR), order), np.linalg.norm(VECTOR, order))
    if order != 0:
        has_gradient(lambda x: rt.linalg.norm(x, order, axis=1), X)


@pytest.mark.parametrize("order", [None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf])
def test_norm_of_matrices(order):
    same(rt.linalg.norm(tensor(MATRIX), order), np.linalg.norm(MATRIX, order))
    for arguments in ({"axis": (0, 2)}, {"axis": (2, 1), "keepdims": True}):
        same(rt.linalg.norm(tensor(X), order, **arguments), np.linalg.norm(X, order, **arguments))
    same(rt.linalg.norm(tensor(COMPLEX), order), np.linalg.norm(COMPLEX, order))


def test_norm_refuses():
    same(rt.linalg.norm(tensor(X)), np.linalg.norm(X))
    with pytest.raises(errors.ArgumentError, match="norm: ord 2 met 3 axes"):
        rt.linalg.norm(tensor(X), 2)
    with pytest.raises(errors.ArgumentError, match="norm: ord 'fro' met 1 axes"):
        rt.linalg.norm(tensor(VECTOR), "fro")


@pytest.mark.parametrize("p", [None, 2, -2, 1, -1, np.inf, "fro"])
def test_condition_numbers(p):
    same(rt.linalg.cond(tensor(SQUARE), p), np.linalg.cond(SQUARE, p), rtol=1e-11)
    if p in (1, -1, np.inf, "fro"):
        assert float(rt.linalg.cond(rt.zeros((2, 2)), p)) == math.inf
        has_gradient(lambda x: rt.linalg.cond(x, p), SQUARE)


@pytest.mark.parametrize(("shape", "right"), [((5, 3), (5,)), ((5, 3), (5, 2)), ((3, 3), (3, 2)), ((2, 4), (2, 3))])
def test_least_squares(shape, right):
    a, b = GENERATOR.standard_normal(shape), GENERATOR.standard_normal(right)
    ours, theirs = rt.linalg.lstsq(tensor(a), tensor(b)), np.linalg.lstsq(a, b)
    same(ours, theirs, rtol=1e-11)
    same(rt.linalg.lstsq(tensor(a).requires_grad_(), tensor(b)).x.detach(), theirs[0], rtol=1e-11)
    same(rt.linalg.lstsq(tensor(a + 1j), tensor(b)).x, np.linalg.lstsq(a + 1j, b)[0], rtol=1e-11)
    has_gradient(lambda a, b: rt.linalg.lstsq(a, b).x, a, b, tolerance=1e-5)


def test_least_squares_without_full_rank():
    a, b = np.ones((4, 2)), np.arange(4.0)
    same(rt.linalg.lstsq(tensor(a), tensor(b)), np.linalg.lstsq(a, b), atol=1e-15)
    has_gradient(lambda u, v, b: rt.linalg.lstsq(u @ v, b, rcond=1e-3).x, np.ones((4, 1)), np.ones((1, 2)), b)
    with pytest.raises(errors.ShapeError, match="lstsq: shapes"):
        rt.linalg.lstsq(tensor(a), rt.ones(3))


def test_matrix_exponentials():
    from scipy import linalg

    rotation = np.array([[0.0, -40.0], [40.0, 0.0]])
    for x in (SQUARE, SQUARE * 4, SQUARE * 1e-3, rotation, SQUARE[0] + 1j * SQUARE[1], np.zeros((2, 2))):
        expected = linalg.expm(x)
        same(rt.linalg.expm(tensor(x)), expected, rtol=1e-11, atol=1e-13 * np.abs(expected).max())
    has_gradient(rt.linalg.expm, SQUARE)
    has_gradient(rt.linalg.expm, SQUARE * 2, tolerance=1e-5)
    single = rt.linalg.expm(rt.asarray(SQUARE, dtype="float32"))
    np.testing.assert_allclose(single.to("cpu").numpy(), linalg.expm(SQUARE), rtol=2e-5)
    assert rt.linalg.expm(rt.zeros((0, 0))).shape == (0, 0)
    with pytest.raises(errors.ShapeError, match="expm: expected square matrices"):
        rt.linalg.expm(rt.ones((2, 3)))


@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 5), (2, 3, 3, 4), (1, 1), (0, 3)])
def test_triangular_factors(shape):
    from scipy import linalg

    x = GENERATOR.standard_normal(shape)
    ours = rt.linalg.lu(tensor(x))
    same(ours, linalg.lu(x))
    same(ours.P @ ours.L @ ours.U, x, rtol=1e-11)
    if x.size:
        has_gradient(lambda x: tuple(rt.linalg.lu(x))[1:], x, tolerance=1e-4)


def test_triangular_factors_of_singular_matrices():
    assert [each.shape for each in rt.linalg.lu(rt.zeros((0, 3, 2)))] == [(0, 3, 3), (0, 3, 2), (0, 2, 2)]
    for x in (np.zeros((2, 2)), np.ones((3, 3)), np.array([[0.0, 1.0], [0.0, 2.0]])):
        p, lower, upper = rt.linalg.lu(tensor(x))
        same(p @ lower @ upper, x)
        assert np.isfinite(lower.to("cpu").numpy()).all()


@pytest.mark.parametrize("shapes", [[(2, 3), (3, 4)], [(2, 30), (30, 4), (4, 5), (5, 1)], [(3,), (3, 4), (4,)]])
def test_products_of_many(shapes):
    arrays = [GENERATOR.standard_normal(shape) for shape in shapes]
    same(rt.linalg.multi_dot([tensor(each) for each in arrays]), np.linalg.multi_dot(arrays), rtol=1e-11)
    has_gradient(lambda *xs: rt.linalg.multi_dot(xs), *arrays)


def test_products_of_many_refuse():
    with pytest.raises(errors.ArgumentError, match="multi_dot: expected at least 2 matrices, met 1"):
        rt.linalg.multi_dot([rt.ones((2, 2))])
    with pytest.raises(errors.ShapeError, match="multi_dot: expected matrices"):
        rt.linalg.multi_dot([rt.ones((2, 2)), rt.ones(2), rt.ones((2, 2))])
    with pytest.raises(errors.ShapeError):
        rt.linalg.multi_dot([rt.ones((2, 3)), rt.ones((2, 3))])


# Special functions

ANY = np.concatenate([np.linspace(-30, 30, 241), [1e-3, -1e-3, 0.4999]])
POSITIVE = np.concatenate([np.logspace(-6, 2, 200), np.linspace(0.01, 5, 200)])
INSIDE = np.concatenate([np.linspace(0.001, 0.999, 300), np.logspace(-30, -3, 100)])
NEGATIVE = -np.linspace(0.05, 15.05, 101)
NEGATIVE = NEGATIVE[np.abs(NEGATIVE - np.round(NEGATIVE)) > 0.02]  # its poles are the integers

#: Where to compare, the relative error allowed in double and in single precision.
SPECIAL = {
    "digamma": (POSITIVE, 1e-13, 1e-6),
    "entr": (POSITIVE, 1e-13, 1e-6),
    "erf": (ANY, 1e-13, 1e-6),
    "erfinv": (2 * INSIDE - 1, 1e-13, 1e-6),
    "expit": (ANY, 1e-13, 1e-6),
    "gamma": (np.concatenate([POSITIVE, NEGATIVE]), 1e-13, 3e-6),
    "gammaln": (POSITIVE, 1e-13, 1e-6),
    "log_expit": (ANY, 1e-13, 1e-6),
    "log_ndtr": (ANY[ANY < 5], 1e-13, 2e-6),
    "logit": (INSIDE, 1e-13, 1e-6),
    "ndtr": (ANY[np.abs(ANY) < 5], 1e-13, 3e-6),
    "ndtri": (INSIDE, 1e-13, 1e-6),
    "psi": (POSITIVE, 1e-13, 1e-6),
    "softplus": (ANY, 1e-13, 1e-6),
}


def relative(ours, theirs):
    ours = ours.to("cpu").numpy().astype(float)
    is_normal = np.isfinite(theirs) & (np.abs(theirs) > 1e-37) & (np.abs(theirs) < 1e37)
    return np.max(np.abs(ours[is_normal] - theirs[is_normal]) / np.abs(theirs[is_normal]))


@pytest.mark.parametrize("name", SPECIAL)
def test_special_functions(name):
    from scipy import special

    x, double, single = SPECIAL[name]
    assert relative(getattr(rt.special, name)(rt.asarray(x)), getattr(special, name)(x)) < double
    narrow = x.astype("float32")
    expected = getattr(special, name)(narrow.astype(float))
    assert relative(getattr(rt.special, name)(rt.asarray(narrow)), expected) < single


PARAMETERS = np.array([1e-3, 0.5, 1.0, 3.0, 10.0, 100.0, 1e3])[:, None]
EDGES = np.array([-1.0, 0.0, 0.5, 1.0, 3.0, np.inf, np.nan])


@pytest.mark.parametrize("name", ["gammainc", "gammaincc"])
def test_incomplete_gamma_functions(name):
    from scipy import special

    a, x = np.broadcast_arrays(PARAMETERS, PARAMETERS * np.array([1e-3, 0.1, 0.5, 0.9, 1.0, 1.1, 1.5, 2.0, 20.0]))
    assert relative(getattr(rt.special, name)(rt.asarray(a), rt.asarray(x)), getattr(special, name)(a, x)) < 1e-12
    same(
        getattr(rt.special, name)(*map(tensor, np.meshgrid(EDGES, EDGES))),
        getattr(special, name)(*np.meshgrid(EDGES, EDGES)),
    )


@pytest.mark.parametrize("name", ["betainc", "betaincc"])
def test_incomplete_beta_functions(name):
    from scipy import special

    ours, theirs = getattr(rt.special, name), getattr(special, name)
    grid = np.broadcast_arrays(PARAMETERS[..., None], PARAMETERS, np.array([1e-6, 0.01, 0.3, 0.5, 0.7, 0.99]))
    assert relative(ours(*map(rt.asarray, grid)), theirs(*grid)) < 2e-10
    edges = np.meshgrid(EDGES, EDGES, [-0.5, 0.0, 0.3, 1.0, 2.0, np.nan])
    same(ours(*map(tensor, edges)), theirs(*edges))
    same(ours(2, rt.asarray(0.5, dtype="float64"), 0.25), theirs(2, 0.5, 0.25))


def test_students_distribution():
    from scipy import special

    df = np.array([0.1, 1.0, 2.0, 10.0, 1e3, 1e5, 1e8, np.inf])[:, None]
    df, t = np.broadcast_arrays(df, np.array([-50.0, -5.0, -1.0, -0.1, 0.0, 0.5, 3.0, 10.0]))
    same(rt.special.stdtr(rt.asarray(df), rt.asarray(t)), special.stdtr(df, t), rtol=1e-11)
    edges = np.meshgrid([-1.0, 0.0, 1.0, np.inf, np.nan], [-np.inf, -1.0, 1.0, np.inf, np.nan])
    same(rt.special.stdtr(*map(tensor, edges)), special.stdtr(*edges))


@pytest.mark.parametrize("name", ["i0", "i0e", "i1e"])
def test_bessel_functions(name):
    from scipy import special

    x = np.array([-800, -50, -18.1, -17.9, -1, 0, 1e-9, 3, 17.99, 18.01, 100, 700, 720, np.nan])
    same(getattr(rt.special, name)(rt.asarray(x)), getattr(special, name)(x), rtol=1e-13)


def test_zeta():
    from scipy import special

    x = np.array([1, 1.01, 2, 7.5, 50, 150, 0.5, 0, -0.5, -1, -2, -3, -20.3, np.inf])
    same(rt.special.zeta(rt.asarray(x)), special.zeta(x), rtol=1e-12)
    x, q = np.meshgrid([1.0, 1.01, 2.0, 20.0, 150.0, 0.5, -1.0], [0.1, 1.0, 10.0, 1e4, np.inf, 0.0])
    same(rt.special.zeta(rt.asarray(x), rt.asarray(q)), special.zeta(x, q), rtol=1e-12)


def test_several_derivatives_of_digamma_at_once():
    from scipy import special

    n, x = np.array([0, 1, 2, 5, 0]), np.array([0.5, 1.0, -2.5, 3.0, -0.3])
    expected = [special.polygamma(int(order), place) for order, place in zip(n, x, strict=True)]
    expected[2] = rt.special.polygamma(2, rt.asarray([-2.5], dtype="float64")).tolist()[0]  # SciPy has NaN
    same(rt.special.polygamma(rt.asarray(n), rt.asarray(x)), np.array(expected))


def test_binomial_coefficients_of_whole_numbers_are_whole():
    n, k = np.meshgrid(np.arange(40), np.arange(42))
    found = rt.special.binom(rt.asarray(n, dtype="float64"), rt.asarray(k, dtype="float64"))
    assert found.tolist() == np.vectorize(math.comb)(n, k).tolist()
    assert rt.special.binom(rt.asarray([5.0, 5.0]), rt.asarray([-1.0, 6.0])).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("name", "x"),
    [
        ("gammaln", [0.0, -1.0, math.inf, -math.inf, math.nan, 1.0, 2.0, 1e300]),
        ("gamma", [0.0, -1.0, math.inf, math.nan, 171.7, -200.5, 1.0, 5.0]),
        ("digamma", [0.0, -1.0, math.inf, math.nan]),
        ("ndtri", [0.0, 1.0, -0.1, 1.1, math.nan, 0.5]),
        ("erfinv", [1.0, -1.0, 2.0, math.nan, 0.0]),
        ("ndtr", [math.inf, -math.inf, math.nan]),
        ("log_ndtr", [math.inf, -math.inf, math.nan, -1e10]),
        ("logit", [0.0, 1.0, -1.0, 2.0, math.nan, 0.5]),
        ("log_expit", [math.inf, -math.inf, math.nan]),
        ("entr", [0.0, -1.0, math.inf, math.nan]),
    ],
)
def test_special_functions_at_their_limits(name, x):
    from scipy import special

    same(getattr(rt.special, name)(rt.asarray(x, dtype="float64")), getattr(special, name)(np.asarray(x)))


def test_special_functions_of_negative_numbers():
    from scipy import special

    for name in ("gammaln", "digamma"):
        same(getattr(rt.special, name)(tensor(NEGATIVE)), getattr(special, name)(NEGATIVE), rtol=1e-12, atol=1e-13)
    has_gradient(lambda x: rt.special.gammaln(x), NEGATIVE[:20] + 0.02, tolerance=1e-5)
    has_gradient(lambda x: rt.special.gamma(x), NEGATIVE[:20] + 0.02, tolerance=1e-5)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 6, 10])
def test_polygamma(n):
    from scipy import special

    assert relative(rt.special.polygamma(n, rt.asarray(POSITIVE)), special.polygamma(n, POSITIVE)) < 1e-13
    has_gradient(lambda x: rt.special.polygamma(n, x), np.linspace(0.9, 4, 9))
    has_gradient(lambda x: rt.special.polygamma(n, x), np.array([-0.4, -1.6]), tolerance=1e-5)
    # The recurrence carries over to negative numbers.
    x = rt.asarray([-0.4, -1.7, -3.2], dtype="float64")
    step = (-1) ** n * math.factorial(n) * x ** float(-n - 1)
    same(rt.special.polygamma(n, x + 1), (rt.special.polygamma(n, x) + step).to("cpu").numpy(), rtol=1e-9)


def test_polygamma_refuses():
    with pytest.raises(errors.ArgumentError, match="polygamma: n is an integer from 0 to 170, met -1"):
        rt.special.polygamma(-1, rt.ones(1))


@pytest.mark.parametrize("name", ["xlogy", "xlog1py", "rel_entr", "kl_div"])
def test_special_functions_of_two(name):
    from scipy import special

    x = np.array([0.0, 0.0, 0.0, -1.0, 1.0, 1.0, np.nan, 0.0, 2.0, 0.3, 1e-200])
    y = np.array([0.0, 1.0, -1.0, 1.0, 0.0, -1.0, 1.0, np.nan, 1e300, 0.7, 1e-100])
    same(getattr(rt.special, name)(tensor(x), tensor(y)), getattr(special, name)(x, y))
    has_gradient(getattr(rt.special, name), np.array([0.4, 1.3]), np.array([[0.8], [2.1]]))


@pytest.mark.parametrize("name", ["beta", "betaln"])
def test_beta(name):
    from scipy import special

    x, y = np.logspace(-2, 2, 41)[:, None], np.logspace(-2, 2, 37)
    same(getattr(rt.special, name)(tensor(x), tensor(y)), getattr(special, name)(x, y), rtol=1e-11, atol=1e-12)
    for pair in ((0.0, 1.0), (0.0, 0.0), (2.0, math.inf)):
        one, other = (np.asarray(each) for each in pair)
        same(getattr(rt.special, name)(tensor(one), tensor(other)), getattr(special, name)(one, other))
    has_gradient(getattr(rt.special, name), np.array([0.4, 1.3, 5.0]), np.array([[0.8], [4.1]]))


def test_beta_does_not_cancel():
    # 40 digits of mpmath's, where gammaln(x) + gammaln(y) - gammaln(x + y) has lost six of sixteen.
    assert float(
        rt.special.beta(rt.asarray(0.003402082346772995, dtype="float64"), 8399.600910910996)
    ) == pytest.approx(284.482727504960869, rel=1e-14)


def test_sums_of_exponentials():
    from scipy import special

    for name in ("logsumexp", "softmax", "log_softmax"):
        for axis in (None, 0, -1):
            same(getattr(rt.special, name)(tensor(X), axis=axis), getattr(special, name)(X, axis=axis))
        has_gradient(getattr(rt.special, name), X)


@pytest.mark.needs("float16")
def test_half_precision_is_rounded_once():
    x = rt.asarray(np.linspace(0.1, 8, 100), dtype="float16")
    for name in ("gammaln", "gamma", "digamma", "entr", "log_ndtr"):
        wide = getattr(rt.special, name)(x.astype("float32")).astype("float16")
        found = getattr(rt.special, name)(x)
        assert found.dtype == "float16" and rt.array_equal(found, wide)


def test_names_of_special_functions():
    for name in rt.special.__dict__:
        if not name.startswith("_") and callable(getattr(rt.special, name)) and name != "psi":
            function = getattr(rt.special, name)
            assert function.__doc__ and function.__name__ in (name, "sigmoid"), name
