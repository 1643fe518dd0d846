"""Schedules beside PyTorch's: rates and momenta of two groups over hundreds of steps, alone, chained and in turn."""

import math

import numpy as np
import pytest
import torch

import rustorch as rt

STEPS = 300
RATES = (0.1, 0.003)


class Warmup:
    """A callable object, of which a state keeps the attributes."""

    def __init__(self, steps):
        self.steps = steps

    def __call__(self, step):
        return min(1.0, (step + 1) / self.steps)


def make(name, *arguments, **options):
    return lambda kinds, optimizer: getattr(kinds, name)(optimizer, *arguments, **options)


def chained(*makers):
    return lambda kinds, optimizer: kinds.ChainedScheduler([each(kinds, optimizer) for each in makers], optimizer)


def in_turn(milestones, *makers):
    return lambda kinds, optimizer: kinds.SequentialLR(
        optimizer, [each(kinds, optimizer) for each in makers], milestones=milestones
    )


def apart(*makers):
    """Schedules that nobody holds together."""

    class Several:
        def __init__(self, kinds, optimizer):
            self.all = [each(kinds, optimizer) for each in makers]

        def step(self):
            for each in self.all:
                each.step()

        def get_last_lr(self):
            return self.all[-1].get_last_lr()

    return Several


CASES = {
    "lambda": make("LambdaLR", lambda step: 0.95**step),
    "lambda of groups": make("LambdaLR", [lambda step: 1 / (1 + step), Warmup(50)]),
    "multiplicative": make("MultiplicativeLR", lambda step: 0.99 if step % 3 else 1.01),
    "step": make("StepLR", 7, gamma=0.7),
    "multi-step": make("MultiStepLR", [3, 50, 50, 200], gamma=0.5),
    "constant": make("ConstantLR", factor=0.25, total_iters=11),
    "constant, by default": make("ConstantLR"),
    "linear": make("LinearLR", 0.1, 0.9, 100),
    "linear to 0": make("LinearLR", 1.0, 0.0, 100),
    "exponential": make("ExponentialLR", 0.97),
    "exponential into the smallest": make("ExponentialLR", 0.01),
    "polynomial": make("PolynomialLR", 100, power=2.0),
    "polynomial, by default": make("PolynomialLR"),
    "cosine": make("CosineAnnealingLR", 100),
    "cosine above a floor": make("CosineAnnealingLR", 37, eta_min=0.002),
    "cosine there and back at once": make("CosineAnnealingLR", 1, eta_min=0.001),
    "restarts": make("CosineAnnealingWarmRestarts", 10, T_mult=2, eta_min=0.001),
    "restarts, equally long": make("CosineAnnealingWarmRestarts", 7),
    "restarts, three times as long": make("CosineAnnealingWarmRestarts", 3, T_mult=3),
    "cyclic": make("CyclicLR", 0.01, 0.1, step_size_up=13, cycle_momentum=False),
    "cyclic, halving": make("CyclicLR", [0.01, 0.02], [0.1, 0.3], 10, 25, mode="triangular2"),
    "cyclic, shrinking": make("CyclicLR", 0.01, 0.1, 20, mode="exp_range", gamma=0.99, base_momentum=0.7),
    "cyclic, own": make("CyclicLR", 0.01, 0.1, 20, scale_fn=lambda x: 0.5**x, scale_mode="iterations"),
    "one cycle": make("OneCycleLR", 0.5, total_steps=STEPS + 1),
    "one cycle of three": make("OneCycleLR", [0.5, 0.2], epochs=30, steps_per_epoch=11, three_phase=True),
    "one cycle on lines": make(
        "OneCycleLR", 0.5, STEPS + 1, anneal_strategy="linear", pct_start=0.1, div_factor=10.0, final_div_factor=10.0
    ),
    "chained": chained(make("LinearLR", 0.1, 1.0, 20), make("ExponentialLR", 0.98)),
    "chained, with a floor": chained(make("CosineAnnealingLR", 40, eta_min=0.001), make("StepLR", 30, 0.5)),
    "chained, of three": chained(
        make("ConstantLR", 0.5, 10), make("PolynomialLR", 150), make("MultiplicativeLR", lambda step: 0.999)
    ),
    "apart": apart(make("LinearLR", 0.2, 1.0, 30), make("MultiStepLR", [100, 200]), make("CosineAnnealingLR", 250)),
    "in turn": in_turn([20, 120], make("LinearLR", 0.01, 1.0, 20), make("CosineAnnealingLR", 100), make("ConstantLR")),
    "in turn, absolute": in_turn(
        [10, 100],
        make("LambdaLR", lambda step: 0.1),
        make("CosineAnnealingWarmRestarts", 8, T_mult=2),
        make("MultiplicativeLR", lambda step: 0.9),
    ),
    "in turn, from the second": in_turn([0], make("ConstantLR", 0.5), make("ExponentialLR", 0.9)),
    "in turn, cycles": in_turn([30], make("ExponentialLR", 0.9), make("CyclicLR", 0.01, 0.1, 10, cycle_momentum=False)),
}


def _ours(optimizer="sgd", **options):
    parameters = [rt.ones(1).requires_grad_() for _ in RATES]
    groups = [{"params": [p], "lr": lr} for p, lr in zip(parameters, RATES, strict=True)]
    return rt.optim.create(optimizer, groups, **options)


def _theirs(kind=torch.optim.SGD, **options):
    groups = [{"params": [torch.nn.Parameter(torch.ones(1))], "lr": lr} for lr in RATES]
    return kind(groups, **options)


def _rates(optimizer, schedule, steps=STEPS):
    found = []
    for _ in range(steps):
        found.append([(group["lr"], group.get("momentum"), group.get("betas")) for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    return found


def _assert_equal(found, expected):
    flat = [
        [[lr, momentum or 0, *(betas or ())] for step in all_steps for lr, momentum, betas in step]
        for all_steps in (found, expected)
    ]
    np.testing.assert_allclose(*flat, rtol=1e-9, atol=1e-300)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", CASES)
def test_rates_are_those_of_pytorch(name):
    ours, theirs = _ours(momentum=0.5), _theirs(momentum=0.5)
    schedules = CASES[name](rt.optim.lr_scheduler, ours), CASES[name](torch.optim.lr_scheduler, theirs)
    _assert_equal(_rates(ours, schedules[0]), _rates(theirs, schedules[1]))
    np.testing.assert_allclose(schedules[0].get_last_lr(), schedules[1].get_last_lr(), rtol=1e-9)


@pytest.mark.parametrize("name", ["cyclic, halving", "one cycle", "one cycle of three"])
def test_first_betas_are_those_of_pytorch(name):
    ours, theirs = _ours("adam"), _theirs(torch.optim.Adam)
    schedules = CASES[name](rt.optim.lr_scheduler, ours), CASES[name](torch.optim.lr_scheduler, theirs)
    _assert_equal(_rates(ours, schedules[0]), _rates(theirs, schedules[1]))


@pytest.mark.parametrize("epoch", [0.3, 4, 9.99, 10, 25.5, 70.25, 200])
@pytest.mark.parametrize("multiple", [1, 2, 3])
def test_restarts_at_a_place(epoch, multiple):
    ours, theirs = _ours(), _theirs()
    schedules = [
        kinds.CosineAnnealingWarmRestarts(optimizer, 10, T_mult=multiple)
        for kinds, optimizer in ((rt.optim.lr_scheduler, ours), (torch.optim.lr_scheduler, theirs))
    ]
    theirs.step()
    for each in schedules:
        each.step(epoch)
        each.step()
    np.testing.assert_allclose(schedules[0].get_last_lr(), schedules[1].get_last_lr(), rtol=1e-9)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"mode": "max", "patience": 2},
        {"threshold_mode": "abs", "threshold": 0.1, "patience": 1},
        {"mode": "max", "threshold_mode": "abs", "threshold": 0.05, "patience": 3, "cooldown": 4},
        {"factor": 0.5, "patience": 0, "min_lr": [1e-3, 1e-4], "cooldown": 2},
        {"patience": 1, "eps": 1e-3},
    ],
)
def test_plateaus_are_those_of_pytorch(options):
    generator = np.random.default_rng(0)
    ours, theirs = _ours(), _theirs()
    first = rt.optim.lr_scheduler.ReduceLROnPlateau(ours, **options)
    second = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, **options)
    for step in range(STEPS):
        metric = math.nan if step % 41 == 40 else float(generator.normal() + 5 / (1 + step))
        first.step(metric)
        second.step(metric)
        assert [group["lr"] for group in ours.param_groups] == pytest.approx(
            [group["lr"] for group in theirs.param_groups], rel=1e-12
        )
