"""einops on tensors, by its main functions, by `einops.array_api`, and by its layers."""

import copy
import pickle
import subprocess
import sys

import einops
import einops.array_api
import numpy as np
import pytest

import rustorch as rt
from rustorch.nn.einops import EinMix, Rearrange, Reduce

DRAW = np.random.default_rng(8)
ARRAYS = {
    "A": DRAW.standard_normal((2, 3, 4)),
    "B": DRAW.standard_normal((2, 3, 4)),
    "M": DRAW.standard_normal((4, 5)),
    "I": DRAW.standard_normal((2, 6, 8, 3)),
}
NAMES = {"einops": einops, "array_api": einops.array_api}

ROWS = """
einops.rearrange(A, "a b c -> c (b a)")
einops.rearrange(A, "a b (c d) -> d a b c", d=2)
einops.rearrange([A, B], "list a b c -> a (list b) c")
einops.rearrange(I, "b (h u) (w v) c -> b h w (c u v)", u=2, v=2)
einops.rearrange(I, "b ... -> ... b")
einops.rearrange(A, "a b c -> a 1 b c")
einops.reduce(I, "b (h 2) (w 2) c -> b h w c", "mean")
einops.reduce(I, "b h w c -> b c", "sum")
einops.reduce(A, "a b c -> a () c", "max")
einops.reduce(A, "a b c -> b", "min")
einops.reduce(A, "a ... -> ...", "prod")
einops.reduce(A, "a b c -> a", lambda x, axes: xp.sum(x * x, axis=axes))
einops.repeat(A, "a b c -> a r b c", r=3)
einops.repeat(A, "a b c -> (a r) b (c 2)", r=2)
einops.repeat(A[0, 0, :], "c -> c d", d=2)
einops.einsum(A, M, "a b c, c d -> a b d")
einops.einsum(A, B, "a b c, a b c -> a")
einops.einsum(A, "a b c -> c")
einops.einsum(A, M, "... c, c d -> ... d")
einops.pack([A, A[:, 0, :]], "a * c")[0]
einops.unpack(einops.pack([A, B[:, :2, :]], "a * c")[0], [(3,), (2,)], "a * c")
array_api.rearrange(A, "a b c -> c (b a)")
array_api.rearrange([A, B], "list a b c -> a (list b) c")
array_api.reduce(I, "b (h 2) (w 2) c -> b h w c", "mean")
array_api.reduce(A, "a b c -> a b", "max")
array_api.repeat(A, "a b c -> a r b (c 2)", r=3)
array_api.pack([A, A[:, 0, :]], "a * c")[0]
array_api.unpack(array_api.pack([A, B[:, :2, :]], "a * c")[0], [(3,), (2,)], "a * c")
""".strip().splitlines()


@pytest.mark.parametrize("expression", ROWS)
def test_values(calls, expression):
    calls(ARRAYS, NAMES).check_values(expression)


@pytest.mark.parametrize("expression", ROWS)
def test_gradients(calls, expression):
    calls(ARRAYS, NAMES).check_gradient(expression)


def test_whole_numbers_and_truth():
    x = rt.arange(6).reshape(2, 3)
    assert einops.rearrange(x, "a b -> b a").tolist() == [[0, 3], [1, 4], [2, 5]]
    assert einops.reduce(x, "a b -> a", "sum").tolist() == [3, 12]
    assert einops.reduce(x > 0, "a b -> a", "all").tolist() == [False, True]
    assert einops.parse_shape(x, "a b") == {"a": 2, "b": 3}


def test_asnumpy():
    x = rt.asarray([1.0, 2.0]).requires_grad_()
    assert type(einops.asnumpy(x * 2)) is np.ndarray
    assert einops.asnumpy(x * 2).tolist() == [2.0, 4.0]
    assert einops.array_api.asnumpy(rt.ones(2)).tolist() == [1.0, 1.0]


def test_parameters_are_tensors_too():
    parameter = rt.nn.Parameter(rt.ones((2, 3)))
    einops.reduce(parameter, "a b -> a", "sum").sum().backward()
    assert parameter.grad.tolist() == [[1.0] * 3] * 2


def test_layers_compute_what_the_functions_compute():
    x = rt.asarray(ARRAYS["A"])
    assert rt.all(Rearrange("a b c -> c (a b)")(x) == einops.rearrange(x, "a b c -> c (a b)"))
    assert rt.all(Reduce("a b c -> b", "mean")(x) == einops.reduce(x, "a b c -> b", "mean"))


def test_a_layer_that_mixes_learns():
    rt.random.seed(0)
    layer = EinMix("a (h c) -> a (h d)", weight_shape="h c d", bias_shape="h d", h=2, c=3, d=4)
    assert sorted(name for name, _ in layer.named_parameters()) == ["bias", "weight"]
    assert repr(layer) == "EinMix('a (h c) -> a (h d)', 'h c d', 'h d', h=2, c=3, d=4)"
    x = rt.ones((5, 6))
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert rt.all(twin(x) == layer(x))
    layer(x).sum().backward()
    assert layer.weight.grad.shape == (2, 3, 4)
    assert layer.bias.grad.reshape(-1).tolist() == [5.0] * 8


@pytest.mark.parametrize("modules", ["rustorch, einops", "einops, rustorch", "einops.layers, rustorch"])
def test_whichever_is_imported_first(modules):
    program = f"import {modules}; print(einops.rearrange(rustorch.ones((2, 3)), 'a b -> b a').shape)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "(3, 2)\n"


def test_rustorch_alone_imports_neither_einops_nor_xarray_and_leaves_numpy_its_functions():
    facts = "'einops' in sys.modules, 'xarray' in sys.modules, rustorch.Tensor.__array_ufunc__"
    program = f"import sys, rustorch; rustorch.ones(2) + 1; print({facts})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False False None\n"
