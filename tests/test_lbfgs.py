"""L-BFGS on functions whose minima are known, and what it does with bad input."""

import math

import numpy as np
import pytest

import rustorch as rt
from rustorch_core.errors import ArgumentError, OperandError

SEARCH = {"line_search_fn": "strong_wolfe", "tolerance_grad": 0.0, "tolerance_change": 1e-30}


def rosenbrock(x):
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def beale(x):
    return sum((c - x[0] * (1 - x[1] ** k)) ** 2 for k, c in ((1, 1.5), (2, 2.25), (3, 2.625)))


def bowl(x):
    return (rt.asarray(np.logspace(0, 6, 20), device=x.device) * x**2).sum() / 2


def quartic(x):
    return ((x[0] - 2) ** 4 + (x[0] - 2 * x[1]) ** 2) + rt.exp(x[1] - 1) - x[1]


def asked(function, x, optimizer, calls):
    def closure():
        optimizer.zero_grad()
        loss = function(x)
        loss.backward()
        calls.append(loss.item())
        return loss

    return closure


@pytest.mark.needs("float64")
@pytest.mark.parametrize(
    ("function", "start", "expected", "most"),
    [
        (rosenbrock, [-1.2, 1.0], [1.0, 1.0], 60),
        (rosenbrock, list(np.linspace(-1, 1, 100)), [1.0] * 100, 600),
        (beale, [1.0, 1.0], [3.0, 0.5], 30),
        (bowl, [1.0] * 20, [0.0] * 20, 200),
        (quartic, [0.0, 3.0], [2.0, 1.0], 60),
    ],
)
def test_minima(function, start, expected, most):
    x = rt.asarray(start, dtype=rt.float64).requires_grad_()
    optimizer, calls = rt.optim.create("lbfgs", [x], **SEARCH), []
    for _ in range(30):
        optimizer.step(asked(function, x, optimizer, calls))
        if np.allclose(x.tolist(), expected, atol=1e-4):
            break
    np.testing.assert_allclose(x.tolist(), expected, atol=1e-4)
    assert len(calls) <= most


def test_a_step_returns_the_loss_before_it_and_ends_where_it_is_flat():
    x = rt.asarray([3.0, -1.0]).requires_grad_()
    optimizer, calls = rt.optim.create("lbfgs", [x], line_search_fn="strong_wolfe"), []
    closure = asked(lambda x: (x**2).sum(), x, optimizer, calls)
    assert optimizer.step(closure).item() == 10
    np.testing.assert_allclose(x.tolist(), [0, 0], atol=1e-6)
    count = len(calls)
    assert optimizer.step(closure).item() == pytest.approx(0)
    assert len(calls) == count + 1
    assert x.is_leaf
    assert x.requires_grad


def test_the_closure_is_asked_no_more_than_allowed():
    x = rt.asarray([-1.2, 1.0]).requires_grad_()
    for options in ({}, {"line_search_fn": "strong_wolfe"}):
        optimizer, calls = rt.optim.create("lbfgs", [x], lr=1e-3, max_iter=100, max_eval=7, **options), []
        optimizer.step(asked(rosenbrock, x, optimizer, calls))
        assert len(calls) <= 8  # a search looks at one place, whatever is left


def test_history_is_bounded():
    x = rt.asarray([-1.2, 1.0]).requires_grad_()
    optimizer = rt.optim.create("lbfgs", [x], history_size=3, line_search_fn="strong_wolfe")
    optimizer.step(asked(rosenbrock, x, optimizer, []))
    assert len(optimizer.state_dict()["memory"]["changes"]) == 3


def test_maximize_climbs():
    x = rt.asarray([3.0]).requires_grad_()
    optimizer = rt.optim.create("lbfgs", [x], maximize=True, line_search_fn="strong_wolfe")
    optimizer.step(asked(lambda x: -((x - 1) ** 2).sum(), x, optimizer, []))
    assert x.item() == pytest.approx(1)


@pytest.mark.parametrize("options", [{"lr": 1e-3}, {"line_search_fn": "strong_wolfe"}])
def test_a_restored_state_continues_bit_for_bit(options):
    x, y = (rt.asarray([-1.2, 1.0]).requires_grad_() for _ in range(2))
    first, second = (rt.optim.create("lbfgs", [each], max_iter=4, **options) for each in (x, y))
    first.step(asked(rosenbrock, x, first, []))
    with rt.no_grad():
        y.copy_(x)
    second.load_state_dict(first.state_dict())
    first.step(asked(rosenbrock, x, first, []))
    second.step(asked(rosenbrock, y, second, []))
    assert x.tolist() == y.tolist()


def test_a_loss_that_is_not_finite_leaves_the_search_where_it_was_low():
    x = rt.asarray([0.5]).requires_grad_()
    optimizer = rt.optim.create("lbfgs", [x], lr=100.0, line_search_fn="strong_wolfe")
    optimizer.step(asked(lambda x: (rt.sqrt(x) - 1).sum() ** 2, x, optimizer, []))
    assert math.isfinite(x.item())
    assert abs(x.item() - 1) < 0.5


@pytest.mark.parametrize(
    ("parameters", "options", "closure", "error", "words"),
    [
        ([rt.ones(1)], {}, None, OperandError, "takes a function"),
        ([rt.ones(1)], {"line_search_fn": "armijo"}, None, ArgumentError, "strong_wolfe"),
        ([rt.ones(1), rt.ones(1, dtype="float64")], {}, None, ArgumentError, "one device and dtype"),
        ([{"params": [rt.ones(1)]}, {"params": [rt.ones(1)]}], {}, None, ArgumentError, "one group"),
    ],
)
def test_what_does_not_fit_is_refused(parameters, options, closure, error, words):
    for each in parameters:
        for parameter in each["params"] if isinstance(each, dict) else [each]:
            parameter.requires_grad_()
    with pytest.raises(error, match=words):
        rt.optim.create("lbfgs", parameters, **options).step(closure)
    with pytest.raises(ArgumentError, match="state_dict"):
        rt.optim.create("lbfgs", [rt.ones(1).requires_grad_()]).load_state_dict({})
