"""Optimizers, step by step against the papers' formulas in NumPy, and everything around the formulas."""

import math

import numpy as np
import pytest

import rustorch as rt
from rustorch_core.errors import ArgumentError, OperandError, RusTorchError


def numpy_sgd(  # type: ignore[no-untyped-def]
    p, gradients, lr=1e-3, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False, maximize=False
):
    velocity = None
    for g in gradients:
        g = -g if maximize else g
        g = g + weight_decay * p
        if momentum:
            velocity = g.copy() if velocity is None else momentum * velocity + (1 - dampening) * g
            g = g + momentum * velocity if nesterov else velocity
        p = p - lr * g
        yield p


def numpy_adam(  # type: ignore[no-untyped-def]
    p,
    gradients,
    lr=1e-3,
    betas=(0.9, 0.999),
    eps=1e-8,
    weight_decay=0.0,
    amsgrad=False,
    maximize=False,
    decoupled=False,
):
    m, v, largest = np.zeros_like(p), np.zeros_like(p), np.zeros_like(p)
    for t, g in enumerate(gradients, 1):
        g = -g if maximize else g
        if decoupled:
            p = p - lr * weight_decay * p
        else:
            g = g + weight_decay * p
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        largest = np.maximum(largest, v)
        m_hat = m / (1 - betas[0] ** t)
        v_hat = (largest if amsgrad else v) / (1 - betas[1] ** t)
        p = p - lr * m_hat / (np.sqrt(v_hat) + eps)
        yield p


def numpy_adamw(p, gradients, weight_decay=1e-2, **options):  # type: ignore[no-untyped-def]
    return numpy_adam(p, gradients, weight_decay=weight_decay, decoupled=True, **options)


CASES = [
    ("sgd", numpy_sgd, {"lr": 0.1}),
    ("sgd", numpy_sgd, {"lr": 0.1, "momentum": 0.9}),
    ("sgd", numpy_sgd, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("sgd", numpy_sgd, {"lr": 0.1, "momentum": 0.9, "dampening": 0.5}),
    ("sgd", numpy_sgd, {"lr": 0.1, "weight_decay": 0.3}),
    ("sgd", numpy_sgd, {"lr": 0.1, "momentum": 0.5, "weight_decay": 0.3, "nesterov": True, "maximize": True}),
    ("adam", numpy_adam, {}),
    ("adam", numpy_adam, {"lr": 0.1, "betas": (0.7, 0.8), "eps": 1e-3}),
    ("adam", numpy_adam, {"lr": 0.1, "weight_decay": 0.3}),
    ("adam", numpy_adam, {"lr": 0.1, "betas": (0.5, 0.5), "amsgrad": True}),
    ("adam", numpy_adam, {"lr": 0.1, "weight_decay": 0.1, "amsgrad": True, "maximize": True}),
    ("adamw", numpy_adamw, {"lr": 0.1}),
    ("adamw", numpy_adamw, {"lr": 0.1, "weight_decay": 0.5}),
    ("adamw", numpy_adamw, {"lr": 0.1, "weight_decay": 0.0, "amsgrad": True, "betas": (0.5, 0.5)}),
    ("adamw", numpy_adamw, {"lr": 0.1, "weight_decay": 0.2, "maximize": True}),
]


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-6), ("float64", 1e-13)])
@pytest.mark.parametrize(("name", "reference", "options"), CASES, ids=lambda value: str(value))
def test_steps(name: str, reference, options, dtype: str, tolerance: float) -> None:  # type: ignore[no-untyped-def]
    generator = np.random.default_rng(0)
    start = generator.normal(size=(3, 2))
    gradients = [generator.normal(size=(3, 2)) * scale for scale in (1, 5, 0.1, 3, 1, 0.5)]
    w = rt.asarray(start, dtype=dtype).requires_grad_()
    optimizer = rt.optim.create(name, [w], **options)
    for gradient, expected in zip(gradients, reference(start, gradients, **options), strict=True):
        w.grad = rt.asarray(gradient, dtype=dtype)
        optimizer.step()
        np.testing.assert_allclose(w.detach().to("cpu").numpy(), expected, rtol=tolerance, atol=tolerance)
        assert w.dtype == dtype


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_maximize_climbs(name: str) -> None:
    w = rt.asarray([1.0]).requires_grad_()
    optimizer = rt.optim.create(name, [w], lr=0.1, maximize=True, weight_decay=0.0)
    (w * 2).sum().backward()
    optimizer.step()
    assert w.item() > 1
    assert w.grad.tolist() == [2]


def test_a_step_is_in_place_and_recorded_nowhere() -> None:
    w = rt.asarray([1.0]).requires_grad_()
    alias = w.detach()
    optimizer = rt.optim.create("adam", [w], lr=0.5)
    (w * w).sum().backward()
    optimizer.step()
    assert alias.tolist() == w.tolist() != [1]
    assert w.is_leaf
    assert w.requires_grad
    state = optimizer.state_dict()["state"]["0"]
    assert not any(value.requires_grad for value in state.values())


def test_parameters_without_a_gradient_stay() -> None:
    a, b = rt.ones(1).requires_grad_(), rt.ones(1).requires_grad_()
    optimizer = rt.optim.create("adamw", [a, b], lr=0.1)
    a.sum().backward()
    optimizer.step()
    assert a.item() < 1
    assert b.item() == 1
    optimizer.zero_grad()
    assert a.grad is None
    before = a.item()
    optimizer.step()
    assert a.item() == before


# Groups and options


def test_groups_have_options_of_their_own() -> None:
    a, b = rt.asarray([1.0]).requires_grad_(), rt.asarray([1.0]).requires_grad_()
    optimizer = rt.optim.create("sgd", [{"params": [a], "lr": 0.5}, {"params": [b]}], lr=0.25)
    (a + b).sum().backward()
    optimizer.step()
    assert (a.item(), b.item()) == (0.5, 0.75)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.25]
    optimizer.param_groups[1]["lr"] = 0.0
    optimizer.step()
    assert (a.item(), b.item()) == (0.0, 0.75)


def test_a_group_is_added_later() -> None:
    a, b = rt.ones(1).requires_grad_(), rt.ones(1).requires_grad_()
    optimizer = rt.optim.create("sgd", [a], lr=0.5)
    optimizer.add_param_group({"params": [("late", b)], "momentum": 0.9})
    (a + b).sum().backward()
    optimizer.step()
    assert (a.item(), b.item()) == (0.5, 0.5)
    assert optimizer.state_dict()["param_groups"][1]["params"] == ["late"]


def test_modules_and_names() -> None:
    model = rt.nn.Linear(2, 1)
    assert rt.optim.create("sgd", model).state_dict()["param_groups"][0]["params"] == ["weight", "bias"]
    assert rt.optim.create("sgd", model.named_parameters()).state_dict()["param_groups"][0]["params"] == [
        "weight",
        "bias",
    ]
    assert rt.optim.create("sgd", model.parameters()).state_dict()["param_groups"][0]["params"] == ["0", "1"]


def test_the_factory_tells_what_it_has() -> None:
    assert {"sgd", "adam", "adamw"} <= set(rt.optim.list())
    assert rt.optim.info("adamw").defaults["weight_decay"] == 0.01
    assert "arXiv:1412.6980" in rt.optim.info("adam").source
    assert "adam" in repr(rt.optim.create("adam", [rt.ones(1).requires_grad_()]))


W = rt.ones(2).requires_grad_()


@pytest.mark.parametrize(
    ("name", "parameters", "options", "error", "words"),
    [
        ("adamv", [W], {}, ArgumentError, "did you mean 'adam"),
        ("zzz", [W], {}, ArgumentError, "there are: .*sgd"),
        ("adam", [W], {"lrr": 1.0}, ArgumentError, "adam has no option 'lrr'; did you mean 'lr'"),
        ("adam", [W], {"weight_deca": 1.0}, ArgumentError, "did you mean 'weight_decay'"),
        ("adam", [{"params": [W], "lrr": 1.0}], {}, ArgumentError, "did you mean 'lr'"),
        ("sgd", [W], {"lr": -1.0}, ArgumentError, r"lr=-1.0"),
        ("sgd", [W], {"lr": math.nan}, ArgumentError, r"lr=nan"),
        ("sgd", [W], {"lr": math.inf}, ArgumentError, r"lr=inf"),
        ("sgd", [W], {"lr": "fast"}, OperandError, r"lr='fast'"),
        ("sgd", [W], {"lr": None}, OperandError, r"lr=None"),
        ("adam", [W], {"betas": (0.9, 1.0)}, ArgumentError, r"\[0, 1\)"),
        ("adam", [W], {"betas": (0.9,)}, ArgumentError, r"betas"),
        ("sgd", [], {}, ArgumentError, "no parameters"),
        ("sgd", [{"params": []}], {}, ArgumentError, "no parameters"),
        ("sgd", [W, W], {}, ArgumentError, "given twice"),
        ("sgd", [{"params": [W]}, {"params": [W]}], {}, ArgumentError, "given twice"),
        ("sgd", [{"lr": 1.0}], {}, ArgumentError, "params"),
        ("sgd", W, {}, OperandError, "put it into a list"),
        ("sgd", None, {}, OperandError, "NoneType"),
        ("sgd", 3, {}, OperandError, "int"),
        ("sgd", ["w"], {}, OperandError, "met str"),
        ("sgd", [rt.ones(2)], {}, OperandError, "no leaf that requires a gradient"),
        ("sgd", [W * 2], {}, OperandError, "no leaf that requires a gradient"),
    ],
)
def test_what_does_not_fit_is_refused(name, parameters, options, error, words) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=words) as raised:
        rt.optim.create(name, parameters, **options)
    assert isinstance(raised.value, RusTorchError)


def test_a_frozen_part_of_a_model_is_left_out_and_told() -> None:
    model = rt.nn.Sequential(rt.nn.Linear(2, 2), rt.nn.Linear(2, 1))
    model[0].requires_grad_(False)
    optimizer = rt.optim.create("sgd", model)
    assert len(optimizer.param_groups[0]["params"]) == 2
    assert optimizer.frozen == optimizer.explain().frozen == ["0.weight", "0.bias"]
    assert "frozen, and left out: 0.weight, 0.bias" in str(optimizer.explain())
    with pytest.raises(OperandError, match=r"'0.weight' is no leaf that requires a gradient; leave it out, or pass"):
        rt.optim.create("sgd", model.named_parameters())
    model.requires_grad_(False)
    with pytest.raises(ArgumentError, match="all 4 parameters of Sequential are frozen"):
        rt.optim.create("sgd", model)


def test_a_rate_of_0_changes_nothing() -> None:
    for name in sorted(set(rt.optim.list()) - {"lbfgs", "rprop"}):  # of these the rate is no more than the first step
        w = rt.asarray([[1.0, 2.0], [3.0, 5.0]]).requires_grad_()
        optimizer = rt.optim.create(name, [w], lr=0.0)
        for _ in range(3):
            w.grad = rt.ones_like(w)
            optimizer.step()
        assert w.tolist() == [[1, 2], [3, 5]], name


def test_nan_in_a_gradient_stays_with_its_parameter() -> None:
    for name in sorted(set(rt.optim.list()) - {"lbfgs"}):
        a, b = (rt.asarray([[1.0, 2.0], [3.0, 5.0]]).requires_grad_() for _ in "ab")
        c = rt.asarray([[1.0, 2.0], [3.0, 5.0]]).requires_grad_()
        optimizer, alone = rt.optim.create(name, [a, b], lr=0.01), rt.optim.create(name, [c], lr=0.01)
        a.grad = rt.asarray([[math.nan, 1.0], [1.0, 1.0]])
        b.grad = c.grad = rt.ones_like(b)
        optimizer.step()
        alone.step()
        assert b.tolist() == c.tolist(), name
        assert rt.any(rt.isnan(a.detach())).item() or name in {"lion", "rprop"}, name


def test_a_later_frozen_parameter_keeps_its_value() -> None:
    a, b = rt.ones(1).requires_grad_(), rt.ones(1).requires_grad_()
    optimizer = rt.optim.create("sgd", [a, b], lr=0.5)
    b.requires_grad_(False)
    (a * b).sum().backward()
    optimizer.step()
    assert (a.item(), b.item()) == (0.5, 1.0)


# State


@pytest.mark.parametrize(
    ("name", "options"),
    [("sgd", {"momentum": 0.9}), ("adam", {"amsgrad": True}), ("adamw", {"weight_decay": 0.1})],
)
def test_a_restored_state_continues_bit_for_bit(name: str, options) -> None:  # type: ignore[no-untyped-def]
    x = rt.random.Generator(0).normal(0, 1, (8, 3))

    def fresh():  # type: ignore[no-untyped-def]
        model = rt.nn.Linear(3, 2, generator=rt.random.Generator(1))
        return model, rt.optim.create(name, model, lr=0.1, **options)

    def train(model, optimizer, steps: int) -> None:  # type: ignore[no-untyped-def]
        for _ in range(steps):
            optimizer.zero_grad()
            (model(x) ** 2).mean().backward()
            optimizer.step()

    model, optimizer = fresh()
    train(model, optimizer, 3)
    saved_model = {key: value.clone() for key, value in model.state_dict().items()}
    saved = optimizer.state_dict()
    train(model, optimizer, 4)
    again, other = fresh()
    again.load_state_dict(saved_model)
    other.load_state_dict(saved)
    train(again, other, 4)
    for ours, theirs in zip(model.parameters(), again.parameters(), strict=True):
        assert ours.detach().to("cpu").numpy().tobytes() == theirs.detach().to("cpu").numpy().tobytes()


def test_a_state_is_not_changed_by_later_steps() -> None:
    w = rt.ones(1).requires_grad_()
    optimizer = rt.optim.create("sgd", [w], lr=0.1, momentum=0.9)
    w.sum().backward()
    optimizer.step()
    saved = optimizer.state_dict()
    optimizer.step()
    assert saved["steps"] == {"0": 1}
    assert saved["state"]["0"]["momentum"].tolist() == [1]


def test_a_state_of_another_is_refused() -> None:
    w, v = rt.ones(1).requires_grad_(), rt.ones(1).requires_grad_()
    saved = rt.optim.create("sgd", [("w", w)]).state_dict()
    with pytest.raises(ArgumentError, match="the state is of 'sgd', this is 'adam'"):
        rt.optim.create("adam", [("w", w)]).load_state_dict(saved)
    with pytest.raises(ArgumentError, match="the parameters differ: the state lacks v, and has w more"):
        rt.optim.create("sgd", [("v", v)]).load_state_dict(saved)


def test_options_are_restored() -> None:
    w = rt.ones(1).requires_grad_()
    optimizer = rt.optim.create("sgd", [w], lr=0.1)
    saved = optimizer.state_dict()
    optimizer.param_groups[0]["lr"] = 0.9
    optimizer.load_state_dict(saved)
    assert optimizer.param_groups[0]["lr"] == 0.1


def test_a_closure_is_called_before_the_step_and_its_loss_returned() -> None:
    w = rt.asarray([3.0]).requires_grad_()
    optimizer = rt.optim.create("sgd", [w], lr=0.5)

    def closure() -> rt.Tensor:
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 9
    assert w.item() == 0
    assert optimizer.step() is None


def test_groups_are_found_again_in_another_order() -> None:
    a, b = rt.ones(1).requires_grad_(), rt.ones(1).requires_grad_()
    groups = [{"params": [("a", a)], "lr": 0.5}, {"params": [("b", b)], "lr": 0.25}]
    saved = rt.optim.create("sgd", groups).state_dict()
    optimizer = rt.optim.create("sgd", groups[::-1], lr=7.0)
    optimizer.load_state_dict(saved)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.5]
    with pytest.raises(ArgumentError, match="grouped otherwise: a, b make a group here"):
        rt.optim.create("sgd", [("a", a), ("b", b)]).load_state_dict(saved)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda state: state["w"].pop("mean"), "w: mean is missing in the state, expected float32 of shape"),
        (lambda state: state["w"].update(x=rt.ones(1)), "w: x is float32 of shape .1,. in the state, expected nothing"),
        (
            lambda state: state["w"].update(mean=rt.ones(3)),
            r"w: mean is float32 of shape \(3,\) in the state, expected",
        ),
        (lambda state: state["w"].update(size=rt.ones(2, dtype=rt.int32)), "w: size is int32 of shape"),
        (lambda state: state["w"].update(size=[1.0, 2.0]), "w: size is list in the state"),
    ],
)
def test_a_state_that_differs_is_refused_whole(spoil, words) -> None:  # type: ignore[no-untyped-def]
    w = rt.ones(2).requires_grad_()
    optimizer = rt.optim.create("adam", [("w", w)], lr=0.5)
    w.grad = rt.ones(2)
    optimizer.step()
    saved = optimizer.state_dict()
    spoil(saved["state"])
    saved["param_groups"][0]["lr"] = 7.0
    with pytest.raises(ArgumentError, match=words):
        optimizer.load_state_dict(saved)
    assert optimizer.param_groups[0]["lr"] == 0.5
    optimizer.step()


def test_a_state_without_an_option_is_refused() -> None:
    optimizer = rt.optim.create("adam", [("w", rt.ones(2).requires_grad_())])
    saved = optimizer.state_dict()
    del saved["param_groups"][0]["eps"]
    with pytest.raises(ArgumentError, match="the state has no option eps"):
        optimizer.load_state_dict(saved)


@pytest.mark.needs("cpu")
def test_a_state_goes_to_the_device_of_the_parameters() -> None:
    def after_two_steps(first: str, second: str) -> list[float]:
        w = rt.asarray([1.0, 2.0], device=first).requires_grad_()
        optimizer = rt.optim.create("adam", [("w", w)], lr=0.5)
        w.grad = rt.asarray([1.0, 3.0], device=first)
        optimizer.step()
        moved = w.detach().to(second).requires_grad_()
        other = rt.optim.create("adam", [("w", moved)])
        other.load_state_dict(optimizer.state_dict())
        assert {str(part.device) for part in other.state_dict()["state"]["w"].values()} == {second}
        moved.grad = rt.asarray([2.0, -1.0], device=second)
        other.step()
        return moved.tolist()

    here = after_two_steps("cpu", "cpu")
    assert here == pytest.approx(after_two_steps("cpu", "strict"), rel=1e-4)
    assert here == pytest.approx(after_two_steps("strict", "cpu"), rel=1e-4)
