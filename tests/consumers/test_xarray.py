"""xarray around tensors: what it computes stays a tensor, with NumPy's values and gradients by finite differences."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import xarray as xr

import rustorch as rt

DRAW = np.random.default_rng(2)
PLAIN = DRAW.standard_normal((4, 6))
#: `A` and `B` are whole, `H` has holes, `P` is positive, `V` runs along x, `N` holds whole numbers.
ARRAYS = {
    "A": PLAIN,
    "B": DRAW.standard_normal((4, 6)),
    "H": np.where(np.arange(24).reshape(4, 6) % 11 == 8, np.nan, PLAIN),
    "P": DRAW.uniform(0.3, 3.0, (4, 6)),
    "V": DRAW.uniform(0.3, 3.0, 4),
    "N": DRAW.integers(-4, 5, (4, 6)),
}
COORDINATES = {"x": [10, 20, 30, 40], "y": [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]}
DAYS = np.array(["2000-01-01", "2000-01-02", "2000-01-08", "2000-01-09"], dtype="datetime64[ns]")
GROUPS = xr.DataArray([0, 1, 1, 0], dims="x", name="g")


def hold(name: str, array: Any) -> xr.DataArray:
    dims = ("x", "y")[: array.ndim]
    return xr.DataArray(array, dims=dims, coords={dim: COORDINATES[dim] for dim in dims}, name=name.lower())


def unpack(result: Any) -> list[Any]:
    if isinstance(result, xr.Dataset):
        result = [result[name] for name in sorted(result.data_vars)]
    if isinstance(result, dict):
        result = list(result.values())
    if isinstance(result, (tuple, list)):
        return [part for each in result for part in unpack(each)]
    return [result.data] if isinstance(result, (xr.DataArray, xr.Variable)) else [result]


def written(array: xr.DataArray, key: Any, value: Any) -> xr.DataArray:
    made = array * 1
    made[key] = value
    return made


def written_at(array: xr.DataArray, value: Any, **labels: Any) -> xr.DataArray:
    made = array * 1
    made.loc[labels] = value
    return made


NAMES = {
    "DAYS": DAYS,
    "GROUPS": GROUPS,
    "copy": copy,
    "np": np,
    "pickle": pickle,
    "written": written,
    "written_at": written_at,
    "xr": xr,
}

DIFFERENTIABLE = """
A + B
A + 1.5
2 - A
A * V
A / (P + 1)
P**2.5
2.0**A
P % 0.7
-A
abs(A)
A @ B.T
np.float64(2) + A
A.where(A > 0)
A.where(A > 0, B)
A.where(A.x > 15, drop=True)
xr.where(A > 0, A, B)
xr.where(A.x > 15, A, 0.0)
A.clip(-0.5, 0.5)
A.clip(min=B)
H.fillna(0.5)
H.fillna(B)
H.combine_first(B)
A.real
A.conj()
(A + 1j * B).imag
A.astype("float32")
A.astype(float)
A.T
A.transpose(..., "x")
A.stack(z=("x", "y"))
A.stack(z=("x", "y")).unstack()
A.expand_dims("t")
A.expand_dims(t=3)
A.expand_dims("t").squeeze()
V.broadcast_like(A)
xr.broadcast(V, A)
xr.concat([A, B], "x")
xr.concat([A, B], "t")
xr.align(A[1:], B, join="inner")
xr.align(A[1:], B, join="outer")
xr.merge([A.rename("u"), B.rename("w")])
xr.combine_nested([A, B], "x")
xr.combine_by_coords([A[:2], A[2:]])
A.reindex(x=[10, 15, 30])
A.reindex(x=[12, 15, 30], method="nearest")
A[1:].reindex_like(B)
A.sortby("x", ascending=False)
A.roll(x=1)
A.roll(x=1, y=2, roll_coords=True)
A.shift(x=1)
A.shift(y=-2, fill_value=0.0)
A.pad(x=1)
A.pad(x=(1, 2), mode="edge")
A.pad(y=2, mode="reflect")
A.pad(y=2, mode="symmetric")
A.pad(y=2, mode="wrap")
A.pad(y=2, constant_values=1.5)
A.pad(y=2, mode="linear_ramp", end_values=1.0)
A.pad(y=2, mode="mean")
A.pad(y=2, mode="maximum", stat_length=2)
A.diff("x")
A.diff("y", n=2, label="lower")
A.cumsum("x")
A.cumprod("y")
H.cumsum("x")
H.cumsum("x", skipna=False)
H.cumprod("y")
A.cumulative("x").sum()
A.differentiate("x")
A.differentiate("y", edge_order=2)
A.integrate("x")
A.cumulative_integrate("y")
A.dot(B, "x")
xr.dot(A, B, dim="y")
xr.dot(A, B, V)
xr.cov(A, B)
xr.corr(A, B, "x")
xr.corr(H, B, "y")
A.weighted(V).mean("x")
H.weighted(V).sum("x")
A.weighted(V).std("x")
H.weighted(V).var()
A.weighted(V).sum_of_squares("x")
A.quantile(0.3)
A.quantile([0.1, 0.9], "x")
H.quantile(0.5, "x")
H.quantile(0.5, "x", skipna=False)
A.quantile(0.4, "y", method="hazen")
A.quantile(0.4, ["x", "y"], method="lower")
A.groupby(GROUPS).sum()
H.groupby(GROUPS).mean()
A.groupby(GROUPS).std()
A.groupby(GROUPS).median()
A.groupby(GROUPS).quantile(0.5)
A.groupby(GROUPS).cumsum()
A.groupby(GROUPS).map(lambda group: group - group.mean("x"))
A.groupby(GROUPS) - A.groupby(GROUPS).mean()
A.groupby_bins("x", [0, 25, 50]).mean()
A.groupby("x").max(...)
A.assign_coords(x=DAYS).resample(x="1W").mean()
A.rolling(y=3).mean()
H.rolling(y=3, min_periods=1).sum()
A.rolling(y=3, center=True).max()
A.rolling(x=2, y=2).mean()
A.rolling(y=3).construct("window")
A.rolling(y=3).construct("window", stride=2)
A.rolling(y=3).std()
A.rolling(y=3).median()
A.rolling(y=3).prod()
A.rolling(y=3).reduce(lambda values, axis: values.sum(axis=axis))
A.coarsen(y=2).mean()
A.coarsen(y=4, boundary="trim").max()
A.coarsen(y=4, boundary="pad").sum()
A.coarsen(y=2).median()
A.coarsen(y=2).construct(y=("outer", "inner"))
A.isel(x=1)
A.isel(x=slice(1, 3), y=-1)
A.isel(x=[0, 2])
A.isel(x=[0, 2], y=[1, 1, 3])
A.isel(x=xr.DataArray(np.array([0, 2]), dims="p"))
A.sel(x=20, y=2.0)
A.sel(x=[20, 40])
A.sel(x=22, method="nearest")
A.sel(x=slice(15, 35))
A.loc[20:30]
A[A.x.values > 15]
A[::-1, ::2]
A.head(x=2)
A.thin(2)
A.drop_isel(x=[0])
A.drop_sel(x=[10])
A.query(x="x > 15")
written(A, (0, 1), 5.0)
written(A, (0, slice(None)), B[1])
A.copy() * 1
A.copy(deep=False)
A.rename(x="u")
A.swap_dims(x="u")
A.assign_coords(x=[1, 2, 3, 4])
A.to_dataset()
A.to_dataset("y")
A.reset_index("x")
A.compute()
A.reduce(lambda values, axis: values.max(axis=axis), "x")
A.map_blocks(lambda block: block + 1)
A.pipe(lambda array: array * 2)
xr.apply_ufunc(lambda a, b: a * b, A, B)
xr.apply_ufunc(lambda a: a.mean(axis=-1), A, input_core_dims=[["y"]])
np.sin(A)
np.exp(A)
np.add(A, B)
np.maximum(A, 0)
np.abs(A)
np.sqrt(P)
np.log1p(P)
np.arctan2(A, B)
np.square(A)
np.deg2rad(A)
np.logaddexp(A, B)
xr.ufuncs.sin(A)
xr.ufuncs.exp(A)
xr.ufuncs.maximum(A, B)
xr.ufuncs.atan2(A, B)
xr.ufuncs.cbrt(P)
A.to_dataset().mean()
H.to_dataset(name="v").std("x")
A.to_dataset(name="v") * 2 + B.to_dataset(name="v")
xr.merge([A.rename("u"), B.rename("w")]).to_array()
xr.merge([A.rename("u"), B.rename("w")]).to_stacked_array("z", ["x"])
A.to_dataset(name="v").assign(w=lambda data: data.v * 2)
A.to_dataset(name="v").map(lambda value: value + 1)
A.to_dataset(name="v").groupby("x").sum(...)
A.to_dataset(name="v").rolling(y=2).mean()
A.to_dataset(name="v").quantile(0.2)
(A.variable + 1).mean("x")
xr.DataTree(A.to_dataset(name="v")).map_over_datasets(lambda data: data * 2).to_dataset()
A.sum()
H.sum("x", min_count=3)
H.mean()
H.mean("x")
H.mean("x", skipna=False)
A.mean(["x", "y"])
A.mean("x", keepdims=True)
H.min("x")
H.max()
A.max("y")
H.std("x", ddof=1)
A.std("x", skipna=False, ddof=1)
A.var("y", ddof=1)
H.prod("x", min_count=2)
H.median("x")
A.median()
""".strip().splitlines()

#: What meets arrays of NumPy on the way, and so needs tensors in host memory.
BESIDE_NUMPY = """
np.ones((4, 6)) * A
A + np.arange(6.0)
H.dropna("x")
xr.polyval(A, xr.DataArray([1.0, 2.0, 3.0], dims="degree", coords={"degree": [0, 1, 2]}))
written(A, slice(0, 2), 0.0)
written(A, (0, slice(None)), np.zeros(6))
written(A, [0, 2], np.float64(3))
written_at(A, 7.0, x=20)
""".strip().splitlines()

FLAT = """
A > B
A == A
(A > 0) & (B > 0)
~(A > 0)
A // 0.7
N + 1
N // 2
N % 3
N & 1
A.round()
A.round(1)
A.astype(int)
N.astype(float)
H.isnull()
H.notnull()
H.count()
H.count("x")
N.isin([1, 2])
N.mean()
N.max("x")
(A > 0).sum("x")
(A > 0).any()
(A > 0).all("x")
(A > 0).mean()
(A.to_dataset() > 0).any()
A.argmin("x")
A.argmax()
H.argmin("x")
A.argmax("x", skipna=False)
H.groupby(GROUPS).count()
H.rolling(y=3).count()
A.rolling(y=3).argmax()
xr.zeros_like(A)
xr.ones_like(A)
xr.full_like(A, 3.0)
xr.full_like(A, 3, dtype="int64")
xr.where(A > 0, 1.0, 0.0)
np.isnan(H)
np.sign(A)
np.floor(A)
np.logical_not(A > 0)
np.logical_and(A > 0, B > 0)
xr.ufuncs.isnan(H)
A.equals(A)
A.identical(A.rename("w"))
copy.deepcopy(A)
pickle.loads(pickle.dumps(A))
""".strip().splitlines()


#: What xarray hands to NumPy or SciPy, and gets arrays of NumPy back from.
COMPILED = """
A.interp(x=[15.0])
H.interpolate_na("x")
A.polyfit("x", 1)
A.groupby(GROUPS).first()
""".strip().splitlines()


@pytest.mark.parametrize("expression", [*DIFFERENTIABLE, *FLAT])
def test_values(calls, expression):
    calls(ARRAYS, NAMES, hold, unpack).check_values(expression, rtol=1e-6 if "float32" in expression else 1e-9)


@pytest.mark.parametrize("expression", [row for row in DIFFERENTIABLE if "float32" not in row])
def test_gradients(calls, expression):
    calls(ARRAYS, NAMES, hold, unpack).check_gradient(expression)


@pytest.mark.needs("host memory")
@pytest.mark.parametrize("expression", BESIDE_NUMPY)
def test_values_and_gradients_beside_numpy(calls, expression):
    calls(ARRAYS, NAMES, hold, unpack).check_values(expression)
    calls(ARRAYS, NAMES, hold, unpack).check_gradient(expression)


def test_labels_stay():
    found = hold("A", rt.asarray(ARRAYS["A"])).sel(x=[20, 40]).mean("y")
    assert found.x.values.tolist() == [20, 40]
    assert found.name == "a"


def test_repr_shows_the_values():
    text = repr(hold("V", rt.asarray([1.5, 2.5, 3.5, 4.5])))
    assert "tensor" in text.lower() and "2.5" in text


def test_backward_through_labels():
    x = rt.asarray(ARRAYS["A"]).requires_grad_()
    hold("A", x).groupby(GROUPS).mean().sel(g=1).sum().data.backward()
    assert x.grad.tolist() == [[0.0] * 6, [0.5] * 6, [0.5] * 6, [0.0] * 6]


@pytest.mark.needs("host memory")
@pytest.mark.parametrize("expression", COMPILED)
def test_what_leaves_for_numpy_says_that_it_has_no_gradient(calls, expression):
    calls(ARRAYS, NAMES, hold, unpack).check_no_gradient(expression)


@pytest.mark.parametrize("call", [np.spacing, np.add.reduce, lambda x: np.add(x, 1.0, out=np.zeros((4, 6)))])
def test_functions_of_numpys_that_are_not_ours_are_refused(call):
    with pytest.raises(TypeError, match="__array_ufunc__"):
        call(hold("A", rt.asarray(ARRAYS["A"])).data)
