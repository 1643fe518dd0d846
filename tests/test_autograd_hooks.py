"""Hooks, retained gradients and anomaly mode: what looks on while gradients flow."""

import inspect
import math
import threading

import numpy as np
import pytest
from rustorch_conformance.checks import _free, _on
from rustorch_conformance.compositions import COMPOSITIONS
from rustorch_conformance.samples import samples

import rustorch as rt
from rustorch import errors
from rustorch_core._data_types import CATEGORIES, DTYPES
from rustorch_core._op import REGISTRY


def leaf(*values):
    return rt.asarray(values[0] if len(values) == 1 else list(values), dtype="float64").requires_grad_()


# Hooks


def test_hooks_see_and_replace():
    x, seen = leaf(3.0), []
    y = x * x
    handle = y.register_hook(seen.append)
    y.register_hook(lambda g: g * 10)
    y.register_hook(seen.append)
    x.register_hook(lambda g: g + 1)
    (y * 2).backward(retain_graph=True)
    assert [each.item() for each in seen] == [2, 20]
    assert x.grad.item() == 20 * 6 + 1
    handle.remove()
    handle.remove()
    (y * 2).backward(retain_graph=True)
    assert len(seen) == 3
    x.grad = None
    with x.register_hook(lambda g: g * 0):
        y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == (0 + 0) + (10 * 6 + 1) + 1 - 1


def test_hooks_see_the_whole_gradient_once():
    x, seen = leaf(1.0, 2.0), []
    y = x * 2
    y.register_hook(lambda g: seen.append(g.tolist()))
    (y.sum() + (y * y).sum() + y[0]).backward()
    assert seen == [[1 + 4 + 1, 1 + 8]]


def test_hooks_in_transforms_and_higher_orders():
    def f(x):
        y = x * x
        y.register_hook(lambda g: g * x)  # as if y were x**3 / 3 times what follows
        return y * 1.0

    assert rt.grad(f)(2.0).item() == 2 * 2 * 2
    assert rt.grad(rt.grad(f))(2.0).item() == 4 * 2
    x = leaf(2.0)
    seen = []
    x.register_hook(seen.append)
    rt.grad(lambda v: v * x)(5.0)
    assert seen == []
    f(x).backward(create_graph=True)
    assert seen[0].requires_grad


def test_what_a_hook_keeps_is_not_written_into():
    x, seen = leaf(1.0, 2.0), []
    x.register_hook(seen.append)
    (x * 3).sum().backward()
    x.grad *= 100
    assert seen[0].tolist() == [3, 3]


def test_hooks_that_do_not_fit():
    for wrong, words in ((lambda g: g[0], r"shape \(2,\).*met \(\)"), (lambda g: 3.0, r"shape \(2,\).*met 3.0")):
        x = leaf(1.0, 2.0)
        x.register_hook(wrong)
        with pytest.raises(errors.GradientError, match=f"hook: .*{words}"):
            (x * 3).sum().backward()
    x = leaf(1.0, 2.0)
    x.register_hook(lambda g: rt.astype(g, "float32"))
    (x * 3).sum().backward()
    assert x.grad.dtype == rt.float64


def test_a_hook_stays_with_the_value_that_it_was_put_on():
    x, seen = leaf(2.0), []
    y = x * 1.0
    y.register_hook(lambda g: seen.append(g.item()))
    y *= 5.0
    y.backward()
    assert seen == [5]


# Retained gradients


def test_retain_grad():
    x = leaf(3.0)
    y = x * x
    y.retain_grad()
    z = y * 2
    z.backward(retain_graph=True)
    assert (x.grad.item(), y.grad.item(), z.grad) == (12, 2, None)
    z.backward()
    assert (x.grad.item(), y.grad.item()) == (24, 4)
    assert y.grad is not x.grad
    x.retain_grad()
    (x * 1).backward()
    assert x.grad.item() == 25


def test_a_retained_gradient_is_that_of_the_tensor_as_it_is_in_the_end():
    x = leaf(2.0, 3.0)
    y = x * 1.0
    view = y[0]
    y.retain_grad()
    view.retain_grad()
    y *= 5.0
    (y * y).sum().backward()
    assert y.grad.tolist() == [20, 30]
    assert view.grad is None
    assert x.grad.tolist() == [100, 150]


def test_the_retained_gradient_is_what_the_hooks_leave():
    x = leaf(2.0)
    y = x * x
    y.retain_grad()
    y.register_hook(lambda g: g * 7)
    y.backward()
    assert (y.grad.item(), x.grad.item()) == (7, 28)


def test_retaining_keeps_no_tensor_alive():
    import weakref

    x = leaf(2.0)
    y = x * x
    y.retain_grad()
    z, gone = y * 1.0, weakref.ref(y)
    del y
    assert gone() is None
    z.backward()
    assert x.grad.item() == 4


# Anomaly mode


def line_of(text):
    """Where a line with this text stands in this file, as messages name it."""
    lines, start = inspect.getsourcelines(inspect.getmodule(line_of))
    (number,) = [start + i + 1 for i, line in enumerate(lines) if line.strip().startswith(text)]
    return rf"{__file__}:{number}, in \w+: {text}".replace("(", r"\(").replace(")", r"\)").replace("[", r"\[")


def test_the_op_of_the_forward_pass_is_named():
    x = leaf(-1.0, 4.0)
    message = r"sqrt: made NaN of float64\[2\], at " + line_of("root = rt.sqrt(x)")
    with rt.detect_anomaly(), pytest.raises(errors.AnomalyError, match=message):
        root = rt.sqrt(x)  # noqa: F841
    with rt.detect_anomaly(), rt.no_grad(), pytest.raises(errors.AnomalyError, match="divide: made an infinity of"):
        rt.ones(2) / rt.zeros(2)
    with rt.detect_anomaly(infinity=False):
        assert (rt.ones(2) / rt.zeros(2)).tolist() == [math.inf, math.inf]


def test_the_op_of_the_backward_pass_is_named():
    x = leaf(0.0, 4.0)
    message = r"sqrt: its gradient, of shape \(2,\), is sent on with an infinity; it was called at "
    with rt.detect_anomaly():
        flat = rt.sqrt(x)
        with pytest.raises(errors.AnomalyError, match=message + line_of("flat = rt.sqrt(x)")):
            flat.sum().backward()
    y = rt.sqrt(x).sum()
    with rt.detect_anomaly(), pytest.raises(errors.AnomalyError, match="called at a line that ran outside"):
        y.backward()


def test_functions_are_named_like_ops():
    @rt.custom_gradient
    def odd(x):
        return x * 1, lambda g: g * math.nan

    with rt.detect_anomaly():
        strange = odd(leaf(1.0))
        message = r"odd: its gradient, .* with NaN; it was called at " + line_of("strange = odd(leaf(1.0))")
        with pytest.raises(errors.AnomalyError, match=message):
            strange.backward()


def test_what_comes_from_outside_is_no_anomaly():
    x = rt.asarray([math.nan, math.inf, 1.0]).requires_grad_()
    scores = rt.asarray([[0.0, 1.0], [2.0, 3.0]]).requires_grad_()
    with rt.detect_anomaly():
        rt.exp(x).sum().backward()
        hidden = rt.where(rt.asarray([[True, False], [True, True]]), scores, -math.inf)
        (rt.softmax(hidden) * hidden.shape[0]).sum().backward()
        rt.where(leaf(0.0) > 0, rt.sqrt(leaf(0.0)), 0).backward()


def test_anomaly_mode_ends_and_nests_and_is_a_threads_own():
    with rt.detect_anomaly(infinity=False), rt.detect_anomaly():
        pass
    rt.log(rt.zeros(1))
    with rt.detect_anomaly(infinity=False):
        with pytest.raises(errors.AnomalyError), rt.detect_anomaly():
            rt.log(rt.zeros(1))
        rt.log(rt.zeros(1))
        found = []
        thread = threading.Thread(target=lambda: found.append(rt.log(rt.asarray(-1.0)).item()))
        thread.start()
        thread.join()
        assert np.isnan(found).all()
    assert isinstance(errors.AnomalyError(), FloatingPointError)


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_no_function_raises_a_false_alarm(dtype):
    """Whatever the functions of the table are made of, they make no NaN and no infinity that they then hide."""
    tried = 0
    for op in [*REGISTRY.values(), *COMPOSITIONS]:
        if DTYPES[dtype] not in CATEGORIES[op.category] or not getattr(op, "is_differentiable", True):
            continue
        for sample in samples(op, DTYPES[dtype]):
            if not sample.differentiable:
                continue
            call, arrays = _free(sample, "cpu")
            with rt.detect_anomaly():
                value, pull_back = rt.vjp(call, *[_on("cpu", array) for array in arrays])
                parts = value if isinstance(value, (tuple, list)) else [value]
                ones = [rt.ones_like(part) for part in parts]
                pull_back(type(value)(ones) if isinstance(value, (tuple, list)) else ones[0])
                tried += 1
    assert tried > 300
