"""Clipping of gradients, beside NumPy's norms."""

import math
from itertools import chain

import numpy as np
import pytest

import rustorch as rt
from rustorch.nn import utils
from rustorch_core.errors import ArgumentError, GradientError, OperandError


def parameters_with(*gradients, dtype="float32"):  # type: ignore[no-untyped-def]
    made = [rt.zeros(np.shape(each), dtype=dtype).requires_grad_() for each in gradients]
    for parameter, gradient in zip(made, gradients, strict=True):
        parameter.grad = rt.asarray(gradient, dtype=dtype)
    return made


def grads(parameters) -> list[np.ndarray]:  # type: ignore[no-untyped-def, type-arg]
    return [np.asarray(parameter.grad.to("cpu")) for parameter in parameters]


GRADIENTS = [np.array([[3.0, -4.0], [0.5, 1.0]]), np.array(-12.0), np.zeros((0, 3))]


@pytest.mark.parametrize("norm_type", [2.0, 1.0, 3.0, 0.5, math.inf])
@pytest.mark.parametrize("max_norm", [0.0, 1.0, 1e3])
def test_norms(norm_type: float, max_norm: float) -> None:
    expected = np.linalg.norm(np.concatenate([each.ravel() for each in GRADIENTS]), ord=norm_type)
    parameters = [*parameters_with(*GRADIENTS), rt.ones(3).requires_grad_()]
    total = utils.clip_grad_norm_(parameters, max_norm, norm_type=norm_type)
    assert total.item() == pytest.approx(expected, rel=1e-5)
    assert parameters[-1].grad is None
    for found, gradient in zip(grads(parameters[:-1]), GRADIENTS, strict=True):
        np.testing.assert_allclose(found, gradient * min(1, max_norm / (expected + 1e-6)), rtol=1e-5)


def test_values() -> None:
    parameters = parameters_with(*GRADIENTS)
    utils.clip_grad_value_(parameters, 2.0)
    for found, gradient in zip(grads(parameters), GRADIENTS, strict=True):
        np.testing.assert_array_equal(found, np.clip(gradient, -2, 2))


@pytest.mark.needs("float16")
def test_half_precision_does_not_overflow() -> None:
    parameters = parameters_with([300.0, 400.0], dtype="float16")
    assert utils.clip_grad_norm_(parameters, 5.0).item() == pytest.approx(500)
    np.testing.assert_allclose(grads(parameters)[0], [3, 4], rtol=1e-3)
    assert parameters[0].grad.dtype == rt.float16


def test_gradients_that_share_memory_are_scaled_once() -> None:
    a, b = rt.zeros(2).requires_grad_(), rt.zeros(2).requires_grad_()
    (a + b).backward(rt.asarray([3.0, 4.0]))
    utils.clip_grad_norm_([a, b], 1.0)
    for parameter in (a, b):
        np.testing.assert_allclose(np.asarray(parameter.grad.to("cpu")), np.array([3, 4]) / math.sqrt(50), rtol=1e-5)


def test_what_is_not_finite() -> None:
    parameters = parameters_with([1.0, math.nan], [2.0])
    with pytest.raises(GradientError, match="the norm of all gradients is nan; no gradient was changed"):
        utils.clip_grad_norm_(parameters, 1.0, error_if_nonfinite=True)
    assert grads(parameters)[1].tolist() == [2]
    assert math.isnan(utils.clip_grad_norm_(parameters, 1.0).item())
    assert np.isnan(grads(parameters)[1]).all()


def test_one_tensor_or_none() -> None:
    (parameter,) = parameters_with([3.0, 4.0])
    assert utils.clip_grad_norm_(parameter, 1.0).item() == 5
    assert utils.clip_grad_norm_([], 1.0).item() == 0
    assert utils.get_total_norm([rt.asarray([3.0, 4.0]), rt.asarray([12.0])]).item() == 13


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: utils.clip_grad_norm_([3], 1.0), OperandError, "expected parameters, met int"),
        (lambda: utils.clip_grad_norm_(parameters_with([1.0]), -1.0), ArgumentError, "max_norm is at least 0"),
        (lambda: utils.clip_grad_norm_(parameters_with([1.0]), math.nan), ArgumentError, "max_norm is at least 0"),
        (lambda: utils.clip_grad_norm_(parameters_with([1.0]), "a"), OperandError, "max_norm is a number"),
        (lambda: utils.clip_grad_value_(parameters_with([1.0]), math.inf), ArgumentError, "clip_value is finite"),
    ],
)
def test_what_does_not_fit_is_refused(call, error, words) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=words):
        call()


def test_an_optimizer_clips_before_its_step() -> None:
    def stepped(**limits) -> list[list[float]]:  # type: ignore[no-untyped-def]
        parameters = parameters_with([3.0, 4.0], [12.0])
        optimizer = rt.optim.create("sgd", parameters, lr=1.0, **limits)
        optimizer.step()
        saved = optimizer.state_dict()
        other = rt.optim.create("sgd", parameters_with([0.0, 0.0], [0.0]))
        other.load_state_dict(saved)
        assert (other.clip_norm, other.clip_value) == (limits.get("clip_norm"), limits.get("clip_value"))
        return [parameter.tolist() for parameter in parameters]

    assert stepped() == [[-3, -4], [-12]]
    assert stepped(clip_value=3.5) == [[-3, -3.5], [-3.5]]
    assert [*chain(*stepped(clip_norm=1.3))] == pytest.approx([-0.3, -0.4, -1.2], rel=1e-5)
    assert [*chain(*stepped(clip_norm=1.0, clip_value=0.0))] == [0, 0, 0]
