"""Optimizers' compiled steps: each is its rule, whatever the shapes, layouts, missing gradients, and threads."""

import copy
import gc
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
from rustorch_simd import _kernels, _steps
from rustorch_simd._plugin import OPTIMIZERS

import rustorch as rt
from rustorch_core import _compiled_steps, _optimizers

pytestmark = pytest.mark.needs("cpu")

FAST = {"lr": 0.05, "betas": (0.8, 0.9), "eps": 1e-4}
ADAM = [{}, {"weight_decay": 0.1, "maximize": True}, {**FAST, "decoupled_weight_decay": True, "weight_decay": 0.2}]
LARGEST = [{"amsgrad": True}, {**FAST, "amsgrad": True, "weight_decay": 0.1}]
OPTIONS = {
    "adabelief": ADAM,
    "adabound": [*ADAM, *LARGEST, {"final_lr": 0.01, "gamma": 0.5}],
    "adadelta": [{}, {"lr": 0.5, "rho": 0.7, "eps": 1e-3, "weight_decay": 0.1, "maximize": True}],
    "adagrad": [
        {},
        {"lr": 0.5, "lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.2, "maximize": True},
    ],
    "adam": [*ADAM, *LARGEST],
    "adamax": ADAM,
    "adamw": [*ADAM, *LARGEST],
    "amsbound": ADAM,
    "amsgrad": ADAM,
    "asgd": [{}, {"lr": 0.1, "lambd": 0.1, "alpha": 0.5, "t0": 1, "weight_decay": 0.1}, {"t0": 0, "maximize": True}],
    "lamb": [{}, {**FAST, "weight_decay": 0.1}, {"maximize": True}],
    "lion": [{}, {"lr": 0.01, "betas": (0.5, 0.6), "weight_decay": 0.3}, {"maximize": True}],
    "nadam": [*ADAM, {**FAST, "momentum_decay": 0.1}],
    "radam": [*ADAM, {**FAST, "betas": (0.5, 0.6)}],
    "rmsprop": [
        {},
        {"momentum": 0.9},
        {"centered": True, "eps": 1e-3},
        {"centered": True, "momentum": 0.5, "weight_decay": 0.1, "alpha": 0.9, "maximize": True, "eps": 1e-3},
    ],
    "rprop": [{}, {"lr": 0.1, "etas": (0.3, 1.7), "step_sizes": (0.01, 0.2)}, {"maximize": True}],
    "sgd": [
        {},
        {"momentum": 0.9},
        {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
        {"momentum": 0.5, "dampening": 0.3, "maximize": True},
    ],
}
RUNS = [(name, options) for name in OPTIMIZERS for options in OPTIONS[name]]
SHAPES = [(), (1,), (7,), (3, 5), (0, 4), (2, 3, 17), (1025,)]


@pytest.fixture(params=_kernels.targets())
def target(request):
    before = _kernels.target()
    _kernels._select(request.param)
    yield request.param
    _kernels._select(before)


def optimizer_of(name, parameters, options, is_compiled=True):
    """An optimizer, with or without its compiled step."""
    made = rt.optim.create(name, parameters, **options)
    if not is_compiled:
        made._compiled = dict.fromkeys(range(len(made.param_groups)))
    return made


def values(shapes, dtype, seed):
    generator = np.random.default_rng(seed)
    return [generator.normal(size=shape).astype(dtype) for shape in shapes]


def both(name, options, shapes, dtype, steps=25, gradient_of=lambda array, step: rt.asarray(array)):
    """The parameters after some steps, compiled and by the rule, and both optimizers."""
    results, made = [], []
    for is_compiled in (True, False):
        parameters = [rt.asarray(each).requires_grad_() for each in values(shapes, dtype, 0)]
        optimizer = optimizer_of(name, parameters, options, is_compiled)
        for step in range(steps):
            for parameter, gradient in zip(parameters, values(shapes, dtype, step + 1), strict=True):
                parameter.grad = gradient_of(gradient, step)
            optimizer.step()
        results.append([parameter.detach().numpy() for parameter in parameters])
        made.append(optimizer)
    return *results, *made


def close(found, expected, dtype):
    tolerance = 2e-5 if dtype == "float32" else 1e-11
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "options"), RUNS, ids=lambda value: str(value))
def test_each_is_its_rule(name, options, dtype, target):
    found, expected, compiled, plain = both(name, options, SHAPES, dtype)
    close(found, expected, dtype)
    assert type(compiled._compiled[0]) is _steps.Steps
    assert compiled.state_dict()["steps"] == plain.state_dict()["steps"]
    for name, state in plain.state_dict()["state"].items():
        close(
            [x.numpy() for x in compiled.state_dict()["state"][name].values()],
            [x.numpy() for x in state.values()],
            dtype,
        )


def test_adabelief_with_the_largest_size_is_left_to_the_rule():
    found, expected, compiled, _ = both("adabelief", {"amsgrad": True}, SHAPES, "float32")
    close(found, expected, "float32")
    assert compiled._compiled[0] is None


@pytest.mark.parametrize("name", ["adam", "sgd", "lamb"])
def test_gradients_that_are_missing_now_and_then(name):
    def gradient_of(array, step):
        return None if (step + array.size) % 3 == 0 else rt.asarray(array)

    found, expected, compiled, plain = both(name, {}, SHAPES, "float64", gradient_of=gradient_of)
    close(found, expected, "float64")
    assert compiled.state_dict()["steps"] == plain.state_dict()["steps"]


def test_gradients_in_any_layout():
    def gradient_of(array, step):
        x = rt.asarray(np.array(array, order="F"))
        return rt.asarray(np.repeat(array, 2, axis=-1)[..., ::2]) if step % 2 and array.ndim else x

    close(*both("adam", {}, SHAPES, "float64", gradient_of=gradient_of)[:2], "float64")


@pytest.mark.parametrize("threads", ["1", "2", "7"])
@pytest.mark.parametrize("name", ["adam", "lamb", "sgd"])
def test_long_arrays_in_threads(name, threads, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    close(*both(name, {}, [(1_000_003,), (399_999,)], "float32", steps=3)[:2], "float32")


def test_options_may_change_on_the_way():
    results = []
    for is_compiled in (True, False):
        (w,) = (rt.asarray(each).requires_grad_() for each in values([(5,)], "float64", 0))
        optimizer = optimizer_of("adamw", [w], {}, is_compiled)
        for step in range(9):
            optimizer.param_groups[0].update(
                lr=0.1 / (step + 1), weight_decay=0.1 * step, betas=(0.5, 0.9 - 0.05 * step)
            )
            w.grad = rt.asarray(values([(5,)], "float64", step)[0])
            optimizer.step()
        results.append(w.detach().numpy())
    close(results[:1], results[1:], "float64")


def test_what_the_graph_saved_stays_as_it_was():
    w = rt.asarray([2.0, 3.0]).requires_grad_()
    optimizer = rt.optim.create("sgd", [w], lr=1.0)
    y, view = w * w, w.detach()[1:]
    z = (view * rt.ones(1).requires_grad_()).sum()
    w.grad = rt.asarray([1.0, 1.0])
    optimizer.step()
    assert w.tolist() == [1.0, 2.0]
    assert view.tolist() == [2.0]
    w.grad = None
    (y.sum() + z).backward()
    assert w.grad.tolist() == [4.0, 6.0]


def test_a_state_that_was_given_away_is_not_changed_and_continues():
    (w,) = (rt.asarray(each).requires_grad_() for each in values([(4,)], "float32", 0))
    optimizer = rt.optim.create("adam", [w])
    w.grad = rt.ones(4)
    optimizer.step()
    saved, at = optimizer.state_dict(), w.tolist()
    mean = saved["state"]["0"]["mean"].tolist()
    optimizer.step()
    after = w.tolist()
    assert saved["state"]["0"]["mean"].tolist() == mean
    assert saved["steps"] == {"0": 1}
    with rt.no_grad():
        w.copy_(rt.asarray(at))
    optimizer.load_state_dict(saved)
    optimizer.step()
    assert w.tolist() == after
    twin = copy.deepcopy(optimizer)
    twin.step()
    optimizer.step()
    assert twin.param_groups[0]["params"][0].tolist() == w.tolist()


def test_a_parameter_that_joins_its_group():
    a, b = rt.ones(2).requires_grad_(), rt.ones(3).requires_grad_()
    optimizer = rt.optim.create("adam", [a], lr=0.1)
    a.grad = rt.ones(2)
    optimizer.step()
    optimizer.add_param_group({"params": [b]})
    b.grad = rt.ones(3)
    optimizer.step()
    np.testing.assert_allclose(a.tolist(), [0.8, 0.8], rtol=1e-5)
    np.testing.assert_allclose(b.tolist(), [0.9, 0.9, 0.9], rtol=1e-5)


def test_dtypes_that_differ_are_left_to_the_rule():
    a, b = rt.ones(2).requires_grad_(), rt.ones(2, dtype="float64").requires_grad_()
    optimizer = rt.optim.create("adam", [a, b], lr=0.1)
    a.grad, b.grad = rt.ones(2), rt.ones(2, dtype="float64")
    optimizer.step()
    assert optimizer._compiled == {0: None}
    np.testing.assert_allclose([*a.tolist(), *b.tolist()], [0.9] * 4, rtol=1e-6)


def test_nan_stays_where_it_is():
    for name in OPTIMIZERS:
        found, expected, *_ = both(
            name, {}, [(6,)], "float64", steps=2,
            gradient_of=lambda array, step: rt.asarray(np.where(np.arange(6) == 2, np.nan, array)),
        )  # fmt: skip
        np.testing.assert_array_equal(np.isnan(found[0]), np.isnan(expected[0]), err_msg=name)


def test_nothing_leaks():
    w = rt.ones(3).requires_grad_()
    optimizer = rt.optim.create("adam", [w])
    w.grad = rt.ones(3)
    optimizer.step()
    watched = weakref.ref(optimizer._compiled[0]), weakref.ref(w)
    gc.collect()
    gc.disable()
    try:
        before = len(gc.get_objects())
        for _ in range(50):
            optimizer.step()
        assert len(gc.get_objects()) < before + 20
        del optimizer, w
        assert [each() for each in watched] == [None, None]
    finally:
        gc.enable()


def test_bad_input_is_refused():
    w = rt.ones(2)
    core = _compiled_steps.CORE
    good = (core, "sgd", (w,), ((),), (0,))
    assert _kernels._Steps(*good).run(1, (0.0, 1.0, 1.0, 0.1)) == []
    wrong = [(0, None), (0, SimpleNamespace(tensor=int, family=int, buffer=int, before_write=int)), (1, "sdg"), (1, 3)]
    wrong += [(2, [w]), (2, (3,)), (3, ()), (3, (3,)), (3, ((3,),)), (3, ((w,) * 9,)), (4, ()), (4, ("1",))]
    for place, value in wrong:
        with pytest.raises((TypeError, ValueError, AttributeError)):
            _kernels._Steps(*good[:place], value, *good[place + 1 :])
    steps = _kernels._Steps(*good)
    for arguments in ((), (1,), (1, [1.0]), (1, ("x",)), (1, (0.0,) * 13), ("1", ()), (1, (), 3)):
        with pytest.raises((TypeError, ValueError)):
            steps.run(*arguments)
    for place in (-1, 1, "0", 2**70):
        with pytest.raises((TypeError, IndexError, OverflowError)):
            steps.run(1, (), [place])
    w.grad = rt.ones(2)
    with pytest.raises(TypeError, match="2 tensors"):
        _kernels._Steps(core, "adam", (w,), ((w,),), (0,))
    half = object.__new__(rt.Tensor)
    half.__class__._grad.__set__(half, w.grad)
    assert _kernels._Steps(core, "sgd", (half,), ((),), (0,)).run(1, (0.0, 1.0, 1.0, 0.1)) == [0]


def test_a_broken_plugin_leaves_the_rule_in_charge(monkeypatch):
    def broken(*arguments):
        raise RuntimeError("no steps today")

    monkeypatch.setattr(
        _optimizers, "offers", lambda rule, parameters: [(FakeRecord(), SimpleNamespace(op="optim.sgd", load=broken))]
    )
    w = rt.ones(1).requires_grad_()
    optimizer = rt.optim.create("sgd", [w], lr=0.5)
    w.grad = rt.ones(1)
    with pytest.warns(UserWarning, match="no steps today"):
        optimizer.step()
    assert w.item() == 0.5


class FakeRecord:
    name, reason = "fake", ""

    def fail(self, reason, error):
        self.reason = reason
