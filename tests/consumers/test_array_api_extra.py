"""array-api-extra on tensors: every public function."""

import array_api_extra as xpx
import numpy as np
import pytest

import rustorch as rt

DRAW = np.random.default_rng(3)
ARRAYS = {
    "R": DRAW.standard_normal((4, 5)),
    "Q": DRAW.standard_normal((4, 5)),
    "V": DRAW.standard_normal(7),
    "W": DRAW.uniform(0.3, 2.0, 7),
    "H": np.where(DRAW.uniform(size=(4, 5)) < 0.3, np.nan, DRAW.standard_normal((4, 5))),
    "M": DRAW.standard_normal((5, 5)),
    "C": DRAW.integers(0, 4, 9),
    "D": DRAW.integers(2, 6, 9),
}
NAMES = {"xpx": xpx}

DIFFERENTIABLE = """
xpx.angle(R + 1j * Q)
xpx.apply_where(R > 0, R, xp.sqrt, lambda x: x * 2)
xpx.apply_where(R > 0, (R, Q), lambda x, y: xp.log(x) * y, fill_value=-1.0)
xpx.argpartition(V, 3) * V
xpx.partition(V, 3)[:3].sum() + xpx.partition(V, 3)[3]
xpx.at(R * 1, (1, 2)).set(5.0)
xpx.at(R * 1)[0, :].set(Q[1, :])
xpx.at(R, 0).set(Q[1, :], copy=True)
xpx.at(R * 1)[:, 1].add(3.0)
xpx.at(R * 1)[:, 1].subtract(Q[:, 0])
xpx.at(R * 1)[R > 0].multiply(2.0)
xpx.at(R * 1)[1:, ::2].divide(Q[1:, ::2])
xpx.at(abs(R))[2, :].power(3.0)
xpx.at(R * 1)[R > 0].min(0.5)
xpx.at(R * 1)[:2, :].max(Q[:2, :])
xpx.atleast_nd(V, ndim=3)
xpx.cov(R)
xpx.cov(R, axis=0, correction=0)
xpx.cov(V, fweights=xp.asarray([1, 2, 1, 1, 3, 1, 1]))
xpx.cov(V, aweights=W)
xpx.create_diagonal(V, offset=-2)
xpx.create_diagonal(R)
xpx.deg2rad(R)
xpx.rad2deg(R)
xpx.expand_dims(R, axis=(0, 3))
xpx.kron(R, V)
xpx.kron(M, R)
xpx.lazy_apply(lambda x: x * 2, R, xp=xp)
xpx.nan_to_num(H, fill_value=2.0)
xpx.nanmax(H, axis=0)
xpx.nanmin(H)
xpx.nanmean(H, axis=1)
xpx.nansum(H, axis=0)
xpx.pad(R, 2)
xpx.pad(R, ((1, 0), (2, 3)), constant_values=1.5)
xpx.sinc(R)
R[*xpx.diag_indices(4, xp=xp)]
M[*xpx.tril_indices(5, xp=xp)]
M[*xpx.triu_indices(5, offset=1, xp=xp)]
""".strip().splitlines()

FLAT = """
xpx.broadcast_shapes((3, 1), (1, 4))
xpx.default_dtype(xp) == xp.float64
xpx.argpartition(V, 2)[2]
xpx.diag_indices(3, xp=xp)
xpx.isclose(R, R + 1e-9)
xpx.isclose(H, H, equal_nan=True)
xpx.isin(C, D)
xpx.isin(C, D, invert=True)
xpx.nunique(C)
xpx.one_hot(C, 4)
xpx.one_hot(C, 4, dtype=xp.float64, axis=0)
xpx.searchsorted(xp.sort(V), W)
xpx.searchsorted(xp.sort(R), xp.sort(Q), side="right")
xpx.setdiff1d(C, D)
xpx.union1d(C, D)
xpx.tril_indices(3, offset=-1, xp=xp)
xpx.triu_indices(3, xp=xp)
xpx.unravel_index(C, (2, 5))
""".strip().splitlines()


@pytest.mark.parametrize("expression", [*DIFFERENTIABLE, *FLAT])
def test_values(calls, expression):
    calls(ARRAYS, NAMES).check_values(expression)


@pytest.mark.parametrize("expression", DIFFERENTIABLE)
def test_gradients(calls, expression):
    calls(ARRAYS, NAMES).check_gradient(expression)


def test_every_public_function_has_a_row():
    rows = " ".join([*DIFFERENTIABLE, *FLAT])
    assert [name for name in xpx.__all__ if f"xpx.{name}(" not in rows and name not in ("__version__", "testing")] == []


def test_at_writes_into_tensors_and_copies_where_asked_to():
    x = rt.zeros(3)
    assert xpx.at(x, 1).set(2.0) is x
    assert xpx.at(x, 1).set(5.0, copy=True) is not x
    assert x.tolist() == [0.0, 2.0, 0.0]
