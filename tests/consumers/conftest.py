"""Calls of other libraries, each an expression over named arrays, run on NumPy's arrays and on tensors.

The expressions of a table are lines of text: `stats.skew(R, axis=1)` means that call of the array that the table's file
names `R`. `xp` is the namespace of the arrays.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import rustorch as rt

# Other libraries read the host's memory; where the default device has none of it, they are not even imported.
collect_ignore_glob = [] if rt.device().shares_host_memory else ["test_*.py"]


@pytest.fixture(autouse=True)
def double_precision() -> Iterator[None]:
    """Numbers that a library makes arrays of are compared with NumPy's, which have double precision."""
    rt.set_default_dtype("float64")
    yield
    rt.set_default_dtype("float32")


def parts(result: Any) -> list[Any]:
    """The arrays and numbers that a call returned, in whatever they are packed."""
    if isinstance(result, dict):  # what SciPy's solvers return is one, too
        result = [result[key] for key in sorted(result, key=str)]
    if isinstance(result, (tuple, list)):
        return [part for each in result for part in parts(each)]
    for names in (("statistic", "pvalue"), ("low", "high"), ("mean_direction", "mean_resultant_length")):
        if all(hasattr(result, name) for name in names):
            return parts([getattr(result, name) for name in names])
    return [] if result is None or isinstance(result, str) else [result]


def on_host(part: Any) -> Any:
    """A part as NumPy's array."""
    return part.detach().cpu().numpy() if isinstance(part, rt.Tensor) else np.asarray(part)


def is_inexact(part: Any) -> bool:
    """Whether a part has a gradient: an array of real or complex floating-point numbers."""
    return getattr(part, "dtype", np.dtype(int)).kind in "fc"


@dataclass
class Calls:
    """The calls of one table.

    Arguments:
        arrays: what the capital letters of the expressions stand for.
        names: what its other names stand for.
        hold: what a call gets in place of an array, such as an xarray object that holds it.
        unpack: the arrays in what a call returned.
    """

    arrays: Mapping[str, Any]
    names: Mapping[str, Any]
    hold: Callable[[str, Any], Any] = lambda name, array: array
    unpack: Callable[[Any], list[Any]] = parts

    def used(self, expression: str) -> list[str]:
        """The arrays in an expression."""
        return [name for name in compile(expression, "", "eval").co_names if name in self.arrays]

    def run(self, expression: str, xp: Any, values: Mapping[str, Any]) -> list[Any]:
        """What an expression returns for arrays of a namespace; those not given are the table's own."""
        arrays = {name: xp.asarray(array, copy=True) for name, array in self.arrays.items()}  # some write into them
        held = {name: self.hold(name, array) for name, array in {**arrays, **values}.items()}
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.unpack(eval(expression, {**self.names, **held, "xp": xp}))

    def check_values(self, expression: str, rtol: float = 1e-9) -> None:
        """The call returns tensors where it returns arrays, on their device, with NumPy's values."""
        ours, theirs = self.run(expression, rt, {}), self.run(expression, np, {})
        assert len(ours) == len(theirs) > 0
        for mine, reference in zip(ours, theirs, strict=True):
            if not isinstance(mine, rt.Tensor):
                assert type(mine) is type(reference) and isinstance(reference, (bool, int, float)), type(mine)
                assert mine == reference
                continue
            assert mine.device is rt.device()
            assert mine.dtype.kind == np.asarray(reference).dtype.kind
            assert mine.shape == np.shape(reference)
            np.testing.assert_allclose(on_host(mine), reference, rtol=rtol, atol=rtol)

    def check_gradient(self, expression: str) -> None:
        """The derivative along a random direction, of a random projection, is that of NumPy's call."""
        generator = np.random.default_rng(4)
        used = [name for name in self.used(expression) if self.arrays[name].dtype.kind == "f"]
        inputs = [self.arrays[name] for name in used]
        weights: list[Any] = []

        def projected(xp: Any, *values: Any) -> Any:
            found = [
                part for part in self.run(expression, xp, dict(zip(used, values, strict=True))) if is_inexact(part)
            ]
            weights.extend(generator.uniform(0.5, 1.5, np.shape(part)) for part in found[len(weights) :])
            real = [xp.real(part * (1 - 0.5j)) if part.dtype.kind == "c" else part for part in found]
            terms = [xp.nansum(part * xp.asarray(w)) for part, w in zip(real, weights, strict=True)]
            return sum(terms[1:], terms[0])

        directions = [np.where(np.isnan(x), 0, generator.standard_normal(x.shape)) for x in inputs]
        step = 1e-6
        ahead, behind = (
            float(projected(np, *[x + sign * step * d for x, d in zip(inputs, directions, strict=True)]))
            for sign in (1, -1)
        )
        gradients = rt.grad(lambda *xs: projected(rt, *xs), tuple(range(len(inputs))))(*map(rt.asarray, inputs))
        ours = sum(float(np.sum(on_host(g) * d)) for g, d in zip(gradients, directions, strict=True))
        assert ours == pytest.approx((ahead - behind) / (2 * step), rel=2e-5, abs=2e-6 * max(1.0, abs(ahead)))
        assert ours != 0

    def check_no_gradient(self, expression: str) -> None:
        """The call has values, and asked for a gradient it says what to do."""
        used = [name for name in self.used(expression) if self.arrays[name].dtype.kind == "f"]
        values = {name: rt.asarray(self.arrays[name]).requires_grad_() for name in used}
        with pytest.raises(rt.errors.GradientError, match=r"call \.detach\(\) first"):
            self.run(expression, rt, values)

    def check_other_device(self, expression: str) -> None:
        """Asked for elements that are not in host memory, the call says what to do, and moves nothing by itself."""
        values = {name: rt.asarray(self.arrays[name], device="strict") for name in self.used(expression)}
        refusals = rt.errors.OperandError, rt.errors.DeviceMismatchError
        with pytest.raises(refusals, match=r"on.* strict .*\.to\('cpu'\)"):
            self.run(expression, rt, values)


@pytest.fixture
def calls() -> type[Calls]:
    """What runs the calls of a table."""
    return Calls
