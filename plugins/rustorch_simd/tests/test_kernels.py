"""Every kernel on every target that this machine runs: values, special values, memory layouts, and what is declined."""

import ast
import math
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rustorch_simd import _kernels

pytestmark = pytest.mark.needs("cpu")

F = np.float32
INF, NAN = math.inf, math.nan
RUNTIME = (
    "MemoryPool",
    "Product",
    "Shared",
    "SharedReduction",
    "default_pool",
    "get_num_threads",
    "set_num_threads",
    "target",
    "targets",
)
NAMES = sorted(name for name in vars(_kernels) if name[0] != "_" and name not in RUNTIME)
ELEMENTWISE = ["erf", "exp", "gelu", "relu", "sigmoid", "silu"]
ROWWISE = ["softmax", "log_softmax"]
#: Of each norm how many arrays are of full shape, and how many of the last axis.
NORMS = {"layer_norm": (1, 2), "layer_norm_gradient": (2, 1), "rms_norm": (1, 1), "rms_norm_gradient": (2, 1)}
GRADIENTS = ["gelu_gradient", "relu_gradient", "silu_gradient", "softmax_gradient", "log_softmax_gradient"]


@pytest.fixture(params=_kernels.targets(), autouse=True)
def target(request):
    before = _kernels.target()
    _kernels._select(request.param)
    yield request.param
    _kernels._select(before)


# References in float64.
erf = np.vectorize(math.erf, otypes=[float])
erfc = np.vectorize(math.erfc, otypes=[float])
CUBIC = 0.044715


def sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


def gelu(x):
    return x * 0.5 * erfc(-x / math.sqrt(2))


def gelu_tanh(x):
    return x * sigmoid(math.sqrt(8 / math.pi) * (x + CUBIC * x**3))


def gelu_gradient(x):
    return 0.5 * erfc(-x / math.sqrt(2)) + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def gelu_tanh_gradient(x):
    s = sigmoid(math.sqrt(8 / math.pi) * (x + CUBIC * x**3))
    return s + x * s * (1 - s) * math.sqrt(8 / math.pi) * (1 + 3 * CUBIC * x * x)


def silu_gradient(x):
    return sigmoid(x) * (1 + x * sigmoid(-x))


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def log_softmax(x):
    shifted = x - x.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def samples(low=-INF, high=INF):
    """Float32 values: every so manyth bit pattern, which reaches all magnitudes, and an even grid."""
    patterns = np.arange(0, 2**32, 39_119, dtype=np.uint64).astype(np.uint32).view(F)
    x = np.concatenate([patterns[np.isfinite(patterns)], np.linspace(-16, 16, 60_001, dtype=F)])
    return x[(x >= low) & (x <= high)]


def ulp_errors(result, reference):
    """Errors in units in the last place of float32, the subnormal unit below the normal numbers."""
    rounded = reference.astype(F)
    finite = np.isfinite(rounded)
    np.testing.assert_array_equal(result[~finite], rounded[~finite])
    exponents = np.maximum(np.frexp(np.abs(reference[finite]))[1], -125)
    return np.abs(result[finite].astype(float) - reference[finite]) / np.ldexp(1.0, exponents - 24)


def random_array(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape, dtype=F)


def call(name, *arrays, **attributes):
    result = getattr(_kernels, name)(*arrays, **attributes)
    assert type(result) is np.ndarray and result.dtype == F and result.flags.c_contiguous
    assert result.shape == arrays[0].shape
    return result


# Values. The bounds are those that README.md states.


@pytest.mark.parametrize(
    ("name", "reference", "bound"),
    [
        ("exp", np.exp, 1.1),
        ("erf", erf, 2.2),
        ("sigmoid", sigmoid, 2.5),
        ("silu", lambda x: x * sigmoid(x), 3.5),
        ("gelu", gelu, 7.2),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_values(name, reference, bound):
    x = samples()
    assert ulp_errors(call(name, x), reference(x.astype(float))).max() <= bound


def test_gelu_tanh_values():
    x = samples(-1)
    assert ulp_errors(call("gelu", x, approximate="tanh"), gelu_tanh(x.astype(float))).max() <= 4
    x = samples(-8, -1)
    np.testing.assert_allclose(call("gelu", x, approximate="tanh"), gelu_tanh(x.astype(float)), rtol=1.4e-5)


@pytest.mark.parametrize(
    ("name", "derivative", "attributes"),
    [
        ("silu_gradient", silu_gradient, {}),
        ("gelu_gradient", gelu_gradient, {}),
        ("gelu_gradient", gelu_tanh_gradient, {"approximate": "tanh"}),
    ],
)
def test_gradient_values(name, derivative, attributes):
    x = samples(-1e6, 1e6)
    g = random_array(x.size)
    error = np.abs(call(name, g, x, **attributes) - g * derivative(x.astype(float)))
    assert (error <= 2**-22 * np.abs(g)).all()


@pytest.mark.parametrize("length", [1, 2, 7, 10, 31, 64, 100, 1000, 3001])
def test_softmax_values(length):
    x = random_array(5, length) * 20
    wide = x.astype(float)
    y, log_y = softmax(wide), log_softmax(wide)
    # x - max is rounded before the exponential: half an ulp of it.
    shift = np.abs(wide - wide.max(axis=-1, keepdims=True))
    assert (np.abs(call("softmax", x) - y) <= (shift + 8) * 2**-24 * y + 2**-149).all()
    assert (np.abs(call("log_softmax", x) - log_y) <= 2**-22 * np.maximum(np.abs(log_y), 1)).all()


@pytest.mark.parametrize("length", [1, 2, 7, 10, 31, 64, 100, 1000, 3001])
def test_softmax_gradient_values(length):
    g, logits = random_array(5, length), random_array(5, length, seed=1).astype(float) * 20
    wide_g, y, log_y = g.astype(float), softmax(logits).astype(F), log_softmax(logits).astype(F)
    wide_y, e = y.astype(float), np.exp(log_y.astype(float))
    expected = wide_y * (wide_g - (wide_g * wide_y).sum(axis=-1, keepdims=True))
    scale = wide_y * (np.abs(wide_g) + np.abs(wide_g * wide_y).sum(axis=-1, keepdims=True))
    assert (np.abs(call("softmax_gradient", g, y) - expected) <= 2**-21 * scale + 2**-149).all()
    expected = wide_g - e * wide_g.sum(axis=-1, keepdims=True)
    scale = np.abs(wide_g) + e * np.abs(wide_g).sum(axis=-1, keepdims=True)
    assert (np.abs(call("log_softmax_gradient", g, log_y) - expected) <= 2**-21 * scale).all()


@pytest.mark.parametrize("length", [1, 2, 7, 10, 31, 64, 100, 1000, 3001])
def test_layer_norm_values(length):
    x, weight, bias = random_array(4, length) * 3 + 1, random_array(length, seed=1), random_array(length, seed=2)
    wide = x.astype(float)
    centred = wide - wide.mean(axis=-1, keepdims=True)
    expected = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5) * weight + bias
    np.testing.assert_allclose(call("layer_norm", x, weight, bias, eps=1e-5), expected, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("length", [1, 2, 7, 10, 31, 64, 100, 1000, 3001])
def test_norms_and_their_gradients(length):
    g, x = random_array(4, length, seed=5), random_array(4, length) * 3 + 1
    weight, wide = random_array(length, seed=1), x.astype(float)
    slopes = g.astype(float) * weight
    root = np.sqrt((wide**2).mean(axis=-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(call("rms_norm", x, weight, eps=1e-5), wide / root * weight, rtol=2e-6, atol=2e-6)
    expected = (slopes - wide / root * (slopes * wide / root).mean(axis=-1, keepdims=True)) / root
    np.testing.assert_allclose(call("rms_norm_gradient", g, x, weight, eps=1e-5), expected, rtol=1e-5, atol=1e-6)
    centred = wide - wide.mean(axis=-1, keepdims=True)
    root = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5)
    along = (slopes * centred / root).mean(axis=-1, keepdims=True)
    expected = (slopes - slopes.mean(axis=-1, keepdims=True) - centred / root * along) / root
    found = call("layer_norm_gradient", g, x, weight, eps=1e-5)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-6 / float(root.min()))


def test_sums_of_a_long_row_stay_accurate():
    x = np.full((1, 3_000_001), 0.1, F)
    np.testing.assert_allclose(call("softmax", x), 1 / x.size, rtol=3e-7)


# Special values.


@pytest.mark.parametrize(
    ("name", "pairs"),
    [
        ("exp", [(INF, INF), (-INF, 0.0), (0.0, 1.0), (-0.0, 1.0), (89.0, INF), (-104.0, 0.0)]),
        ("erf", [(INF, 1.0), (-INF, -1.0), (0.0, 0.0), (-0.0, -0.0), (1e30, 1.0), (-5.0, -1.0), (1e-45, 1e-45)]),
        ("sigmoid", [(INF, 1.0), (-INF, 0.0), (0.0, 0.5), (-0.0, 0.5), (-110.0, 0.0)]),
        ("silu", [(INF, INF), (-INF, NAN), (0.0, 0.0), (-0.0, -0.0), (-200.0, -0.0), (3e38, 3e38), (-3e38, -0.0)]),
        ("gelu", [(INF, INF), (-INF, NAN), (0.0, 0.0), (-0.0, -0.0), (-20.0, -0.0), (3e38, 3e38), (-3e38, -0.0)]),
    ],
)
def test_special_values(name, pairs):
    x = np.array([pair[0] for pair in pairs] + [NAN], F)
    expected = np.array([pair[1] for pair in pairs] + [NAN], F)
    for repeats in (1, 16):  # within and beyond what is left after whole vectors
        result = call(name, np.repeat(x, repeats))
        np.testing.assert_array_equal(result, np.repeat(expected, repeats))
        numbers = ~np.isnan(result)
        np.testing.assert_array_equal(np.signbit(result)[numbers], np.signbit(np.repeat(expected, repeats))[numbers])


@pytest.mark.parametrize(("name", "approximate"), [("silu", None), ("gelu", "none"), ("gelu", "tanh")])
def test_gradients_at_infinity_are_those_of_the_composition(name, approximate):
    attributes = {} if approximate is None else {"approximate": approximate}
    x = np.array([INF, -INF, NAN, 3e38, -3e38, 0.0], F)
    result = call(name + "_gradient", np.ones_like(x), x, **attributes)
    np.testing.assert_array_equal(result, [NAN, NAN, NAN, 1.0, 0.0, 0.5])


@pytest.mark.parametrize("name", ROWWISE)
@pytest.mark.parametrize("special", [NAN, INF, -INF])
@pytest.mark.parametrize("length", [3, 100])
@pytest.mark.filterwarnings("ignore:invalid value", "ignore:divide by zero")
def test_special_values_in_rows(name, special, length):
    x = random_array(3, length)
    x[1, 1] = special
    x[2] = -INF
    expected = (softmax if name == "softmax" else log_softmax)(x.astype(float))
    np.testing.assert_allclose(call(name, x), expected, rtol=1e-6, atol=1e-6)


def test_layer_norm_of_a_row_with_nan_or_infinity_is_nan():
    x, ones = random_array(3, 40), np.ones(40, F)
    x[0, 3], x[2, 5] = NAN, INF
    result = call("layer_norm", x, ones, ones, eps=1e-5)
    assert np.isnan(result[[0, 2]]).all() and np.isfinite(result[1]).all()


# Memory layouts, sizes, threads.


def misaligned(x):
    buffer = np.empty(x.nbytes + 1, np.uint8)
    view = buffer[1:].view(F).reshape(x.shape)
    view[...] = x
    assert not view.flags.aligned
    return view


LAYOUTS = {
    "transposed": lambda: random_array(7, 5).T,
    "reversed": lambda: random_array(9, 33)[::-1, ::-1],
    "every third": lambda: random_array(4, 99)[:, ::3],
    "broadcast": lambda: np.broadcast_to(random_array(1, 17), (6, 17)),
    "one number": lambda: np.broadcast_to(F(0.5), (3, 20)),
    "misaligned": lambda: misaligned(random_array(3, 37)),
    "read-only": lambda: np.frombuffer(random_array(3, 11).tobytes(), F).reshape(3, 11),
    "64 dimensions": lambda: random_array(*[1] * 62, 3, 5),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ELEMENTWISE + ROWWISE + GRADIENTS + [*NORMS])
def test_layouts(name, layout):
    x = LAYOUTS[layout]()
    arrays, attributes = [x], {}
    if name in GRADIENTS:
        arrays = [x, x[..., ::-1]]
    elif name in NORMS:
        full, last = NORMS[name]
        row = x[(0,) * (x.ndim - 1)]
        arrays, attributes = [x, x[..., ::-1]][:full] + [row, row[::-1]][:last], {"eps": 1e-5}
    before = [array.copy() for array in arrays]
    copies = [np.array(array, order="C") for array in arrays]
    np.testing.assert_array_equal(call(name, *arrays, **attributes), call(name, *copies, **attributes))
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_each_element_is_the_same_at_any_length(name):
    """What is left after whole vectors runs other code; it may round differently only within the bound."""
    x = random_array(67)
    whole = call(name, x)
    for length in range(67):
        np.testing.assert_allclose(call(name, x[:length]), whole[:length], rtol=5e-7)


@pytest.mark.parametrize("shape", [(0,), (0, 4), (4, 0), (2, 0, 3)])
def test_empty(shape):
    x = np.empty(shape, F)
    for name in ELEMENTWISE + ROWWISE:
        call(name, x)
    for name in GRADIENTS:
        call(name, x, x)
    last = np.empty(shape[-1:], F)
    for name, (full, row) in NORMS.items():
        call(name, *[x] * full, *[last] * row, eps=1e-5)


def test_zero_dimensions():
    for name in ELEMENTWISE:
        assert call(name, np.array(0.5, F)).ndim == 0
    for name in ("gelu_gradient", "silu_gradient"):
        assert call(name, np.array(0.5, F), np.array(0.5, F)).ndim == 0
    for name in ROWWISE:
        assert getattr(_kernels, name)(np.array(0.5, F)) is NotImplemented


def test_large_and_in_threads():
    x = random_array(300_001)
    expected = {name: call(name, x) for name in ELEMENTWISE + ROWWISE}
    failures = []

    def work():
        for name, result in expected.items():
            if not np.array_equal(call(name, x), result):
                failures.append(name)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_memory_that_does_not_exist():
    with pytest.raises(MemoryError):
        _kernels.exp(np.broadcast_to(F(1), (2**60,)))


# What is declined, and what raises.

X = random_array(3, 4)
LAST = random_array(4)


class Subclass(np.ndarray):
    pass


@pytest.mark.parametrize(
    ("name", "arrays", "attributes"),
    [
        *((name, [value], {}) for name in ("exp", "softmax", "gelu") for value in (
            None, 1.0, [1.0], "x", F(1), X.tolist(), X.astype(float), X.astype(np.float16), X.astype(np.int32),
            X.astype(">f4" if sys.byteorder == "little" else "<f4"), X.view(Subclass), np.array([None]), memoryview(X),
        )),
        ("gelu_gradient", [X, X.T], {}),
        ("gelu_gradient", [X, LAST], {}),
        ("silu_gradient", [X, X.astype(float)], {}),
        ("softmax", [X], {"axis": 0}),
        ("softmax", [X], {"axis": -2}),
        ("softmax", [X], {"axis": 2**80}),
        ("softmax", [X], {"axis": None}),
        ("softmax", [X], {"axis": True}),
        ("softmax", [X], {"axis": (1,)}),
        ("softmax", [X], {"dtype": F}),
        ("gelu", [X], {"approximate": "sigmoid"}),
        ("gelu", [X], {"approximate": None}),
        ("gelu", [X], {"axis": -1}),
        ("exp", [X], {"out": X}),
        ("layer_norm", [X, None, None], {"eps": 1e-5}),
        ("layer_norm", [X, LAST, None], {"eps": 1e-5}),
        ("layer_norm", [X, LAST, LAST[:3]], {"eps": 1e-5}),
        ("layer_norm", [X, X, X], {"eps": 1e-5}),
        ("layer_norm", [X, LAST, LAST], {}),
        ("layer_norm", [X, LAST, LAST], {"eps": "1e-5"}),
        ("layer_norm", [X, LAST, LAST], {"eps": 1e-5, "axis": -1}),
        ("layer_norm", [np.array(1, F)] * 3, {"eps": 1e-5}),
        ("layer_norm_gradient", [X, LAST, LAST], {"eps": 1e-5}),
        ("layer_norm_gradient", [X, X.T, LAST], {"eps": 1e-5}),
        ("rms_norm", [X, X], {"eps": 1e-5}),
        ("rms_norm_gradient", [X, X, X], {"eps": 1e-5}),
    ],
)  # fmt: skip
def test_declined(name, arrays, attributes):
    assert getattr(_kernels, name)(*arrays, **attributes) is NotImplemented


@pytest.mark.parametrize("name", NAMES)
def test_wrong_number_of_arrays(name):
    for count in (0, 4):
        with pytest.raises(TypeError, match=name):
            getattr(_kernels, name)(*[X] * count)


OBJECTS = st.sampled_from(
    [
        X, LAST, X.T, X[:0], X[:, :0], X[None], np.array(1, F), np.array(NAN, F), misaligned(X), X.astype(float),
        np.array(["a"]), np.array([object()]), np.zeros(2, [("f", F)]), np.ma.array(X), np.broadcast_to(F(1), (2**60,)),
        None, 0, -1, 2**70, 1.5, NAN, True, "tanh", "none", "\udcff", b"x", (), [], {}, object(), NotImplemented, F,
    ]
)  # fmt: skip
NAMES_OF_ATTRIBUTES = st.sampled_from(["axis", "approximate", "eps", "dtype", "\udcff", ""])


@settings(max_examples=400, deadline=None, database=None)
@given(
    st.sampled_from(NAMES),
    st.lists(OBJECTS, max_size=4),
    st.dictionaries(NAMES_OF_ATTRIBUTES, OBJECTS, max_size=2),
    st.sampled_from(_kernels.targets()),
)
def test_garbage_never_crashes(name, arguments, attributes, chosen):
    before = _kernels.target()
    _kernels._select(chosen)
    try:
        result = getattr(_kernels, name)(*arguments, **attributes)
    except (TypeError, MemoryError):
        return
    finally:
        _kernels._select(before)
    assert result is NotImplemented or (type(result) is np.ndarray and result.dtype == F)


def test_references_are_returned():
    x, g = random_array(3, 4), random_array(3, 8, seed=1)[:, ::2]
    huge = np.broadcast_to(F(1), (2**60,))

    def calls():
        _kernels.gelu_gradient(g, x, approximate="tanh")
        _kernels.softmax(g, axis=0)
        _kernels.gelu_gradient(x, huge)
        with pytest.raises(MemoryError):
            _kernels.silu_gradient(huge, huge)
        with pytest.raises(TypeError):
            _kernels.exp(x, g)

    calls()
    before = [sys.getrefcount(array) for array in (x, g, huge)]
    for _ in range(10):
        calls()
    assert [sys.getrefcount(array) for array in (x, g, huge)] == before


# Targets.


def test_targets(target):
    assert _kernels.target() == target
    assert _kernels.targets()[-1] == "baseline"
    with pytest.raises(ValueError, match=r"'quantum'.*'baseline'"):
        _kernels._select("quantum")
    assert _kernels.target() == target
    with pytest.raises(TypeError):
        _kernels._select(3)


def import_with(value):
    """Run an import with RUSTORCH_SIMD set, or unset for None; a fresh process, since it is read at import."""
    environment = {name: text for name, text in os.environ.items() if name != "RUSTORCH_SIMD"}
    if value is not None:
        environment["RUSTORCH_SIMD"] = value
    command = [sys.executable, "-c", "import rustorch_simd as s; print(s.target(), s.targets()[0])"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_forced_target(target):
    assert import_with(target).stdout.split()[0] == target


@pytest.mark.parametrize("value", [None, ""])
def test_best_target_is_the_default(value):
    used, best = import_with(value).stdout.split()
    assert used == best


def test_misspelt_target_is_explained():
    message = import_with("axv2").stderr
    assert "ImportError" in message and "'axv2'" in message and "'baseline'" in message and "RUSTORCH_SIMD" in message


# The kernels are named in the C table, the plugin's table and the stub: they agree.


def installed(name):
    return ast.parse((Path(_kernels.__file__).parent / name).read_text())


def test_plugin_and_stub_name_the_same_kernels():
    assigned = [node for node in installed("_plugin.py").body if isinstance(node, ast.Assign)]
    tables = {node.targets[0].id: node.value for node in assigned}
    assert sorted(ast.literal_eval(tables["NAMES"])) == NAMES
    stub = {node.name for node in installed("_kernels.pyi").body if isinstance(node, ast.FunctionDef)}
    assert stub == {name for name in (*NAMES, *RUNTIME, "_select") if not name[0].isupper() and name != "default_pool"}


def test_plugin_registers_what_it_names():
    from rustorch_simd import _plugin

    kernels = [each for each in _plugin.rustorch_kernels(ctx=None) if each.load.startswith("rustorch_simd._kernels:")]
    assert sorted(kernel.op for kernel in kernels) == NAMES
    assert all(kernel.load == f"rustorch_simd._kernels:{kernel.op}" for kernel in kernels)
