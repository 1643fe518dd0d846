"""Learning-rate schedules: their formulas, how they join, what they keep, and what they refuse."""

import copy
import math
import pickle

import pytest

import rustorch as rt
from rustorch.optim import lr_scheduler as schedules
from rustorch_core.errors import ArgumentError, OperandError, RusTorchError

RATE = 0.1


def an_optimizer(name="sgd", **options):  # type: ignore[no-untyped-def]
    return rt.optim.create(name, [("w", rt.ones(1).requires_grad_())], lr=RATE, **options)


def rates(schedule, steps: int) -> list[float]:  # type: ignore[no-untyped-def]
    found = []
    for _ in range(steps):
        found.append(schedule.optimizer.param_groups[0]["lr"])
        schedule.step()
    return found


def after_warmup(step: int, decay) -> float:  # type: ignore[no-untyped-def]
    """Of a warm-up over 4 steps, 3 steps that stay, and a decay over 5 to a tenth."""
    if step < 4:
        return (step + 1) / 4
    return 0.1 + 0.9 * decay(min(max(step - 7, 0), 5) / 5)


FORMULAS = {
    "lambda": (lambda o: schedules.LambdaLR(o, lambda step: 1 / (1 + step)), lambda t: 1 / (1 + t)),
    "multiplicative": (lambda o: schedules.MultiplicativeLR(o, lambda step: 0.9), lambda t: 0.9**t),
    "step": (lambda o: schedules.StepLR(o, 3, 0.5), lambda t: 0.5 ** (t // 3)),
    "multi-step": (lambda o: schedules.MultiStepLR(o, [8, 2], 0.5), lambda t: 0.5 ** ((t >= 2) + (t >= 8))),
    "constant": (lambda o: schedules.ConstantLR(o, 0.5, 3), lambda t: 0.5 if t < 3 else 1),
    "constant 0": (lambda o: schedules.ConstantLR(o, 0.0, 3), lambda t: 0 if t < 3 else 1),
    "linear": (lambda o: schedules.LinearLR(o, 0.5, 1.0, 4), lambda t: 0.5 + 0.5 * min(t, 4) / 4),
    "exponential": (lambda o: schedules.ExponentialLR(o, 0.9), lambda t: 0.9**t),
    "polynomial": (lambda o: schedules.PolynomialLR(o, 8, 2.0), lambda t: (1 - min(t, 8) / 8) ** 2),
    "cosine": (
        lambda o: schedules.CosineAnnealingLR(o, 5, eta_min=0.2 * RATE),
        lambda t: 0.2 + 0.8 * (1 + math.cos(math.pi * t / 5)) / 2,
    ),
    "restarts": (
        lambda o: schedules.CosineAnnealingWarmRestarts(o, 6),
        lambda t: (1 + math.cos(math.pi * (t % 6) / 6)) / 2,
    ),
    "one cycle": (
        lambda o: schedules.OneCycleLR(o, RATE, total_steps=30, pct_start=0.2, anneal_strategy="linear"),
        lambda t: (1 + 24 * t / 5) / 25 if t <= 5 else 1 - (1 - 1 / 25 / 1e4) * (t - 5) / 24,
    ),
    "cyclic": (lambda o: schedules.CyclicLR(o, 0.0, RATE, 4), lambda t: 1 - abs(t % 8 - 4) / 4),
    "warm up, stay, decay": (
        lambda o: schedules.WarmupStableDecayLR(o, 4, 3, 5, end_factor=0.1),
        lambda t: after_warmup(t, lambda x: 1 - x),
    ),
    "decay on a cosine": (
        lambda o: schedules.WarmupStableDecayLR(o, 4, 3, 5, "cosine", 0.1),
        lambda t: after_warmup(t, lambda x: (1 + math.cos(math.pi * x)) / 2),
    ),
    "decay by a root": (
        lambda o: schedules.WarmupStableDecayLR(o, 4, 3, 5, "1-sqrt", 0.1),
        lambda t: after_warmup(t, lambda x: 1 - math.sqrt(x)),
    ),
    "stay at once": (lambda o: schedules.WarmupStableDecayLR(o, 0, 3, 0), lambda t: 1 if t < 3 else 0),
    "in turn within turns": (
        lambda o: schedules.SequentialLR(
            o,
            [
                schedules.ExponentialLR(o, 0.9),
                schedules.SequentialLR(o, [schedules.StepLR(o, 1, 0.5), schedules.LinearLR(o, 0.5, 1.0, 4)], [2]),
            ],
            [6],
        ),
        lambda t: 0.9**t if t < 6 else 0.5 ** (t - 6) if t < 8 else 0.5 + 0.5 * min(t - 8, 4) / 4,
    ),
    "chained in turn": (
        lambda o: schedules.SequentialLR(
            o,
            [
                schedules.ConstantLR(o, 0.5, 100),
                schedules.ChainedScheduler([schedules.ExponentialLR(o, 0.9), schedules.LinearLR(o, 0.5, 1.0, 4)]),
            ],
            [6],
        ),
        lambda t: 0.5 if t < 6 else 0.9 ** (t - 6) * (0.5 + 0.5 * min(t - 6, 4) / 4),
    ),
}  # fmt: skip
TOGETHER = {
    "chained": lambda o: schedules.ChainedScheduler([schedules.LinearLR(o, 0.5), schedules.ExponentialLR(o, 0.9)]),
    "plateau": lambda o: schedules.ReduceLROnPlateau(o, patience=1),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_rates_follow_the_formula(name: str) -> None:
    make, factor = FORMULAS[name]
    found = rates(make(an_optimizer(momentum=0.9)), 25)
    assert found == pytest.approx([RATE * factor(step) for step in range(25)], rel=1e-12, abs=1e-15)


def test_factors_multiply_whoever_steps_first() -> None:
    optimizer = an_optimizer()
    together = [schedules.ExponentialLR(optimizer, 0.9), schedules.StepLR(optimizer, 2, 0.5)]
    for step in range(12):
        assert optimizer.param_groups[0]["lr"] == pytest.approx(RATE * 0.9**step * 0.5 ** (step // 2))
        for each in reversed(together):
            each.step()
    optimizer.param_groups[0]["lr"] = 1.0  # by hand: the schedules go on from there
    together[0].step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.9)


def test_a_schedule_starts_in_the_middle() -> None:
    optimizer = an_optimizer()
    expected = rates(schedules.CosineAnnealingLR(optimizer, 10), 8)
    optimizer.param_groups[0]["lr"] = 77.0
    later = schedules.CosineAnnealingLR(optimizer, 10, last_epoch=4)
    assert rates(later, 3) == pytest.approx(expected[5:])
    with pytest.raises(ArgumentError, match=r"group 0 has no initial_lr"):
        schedules.StepLR(an_optimizer(), 2, last_epoch=4)


def test_momentum_goes_the_other_way() -> None:
    optimizer = an_optimizer("adam")
    schedule = schedules.CyclicLR(optimizer, 0.0, 1.0, 2, base_momentum=0.5, max_momentum=0.7)
    found = []
    for _ in range(5):
        found.append(optimizer.param_groups[0]["betas"])
        schedule.step()
    assert found == [(pytest.approx(each), 0.999) for each in (0.7, 0.6, 0.5, 0.6, 0.7)]


def test_a_plateau_cuts_the_rate() -> None:
    optimizer = an_optimizer()
    schedule = schedules.ReduceLROnPlateau(optimizer, factor=0.5, patience=1, cooldown=2, min_lr=RATE / 4)
    found = []
    for metric in [3.0, 2.0, rt.asarray(2.0), math.nan, 5, 5, 5, 5, 5, 5, 5, 5]:
        schedule.step(metric)
        found.append(optimizer.param_groups[0]["lr"] / RATE)
    assert found == pytest.approx([1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25, 0.25])


@pytest.mark.parametrize("name", [*FORMULAS, *TOGETHER])
@pytest.mark.parametrize("is_optimizer_first", [True, False])
def test_a_restored_schedule_goes_on_to_the_last_bit(name: str, is_optimizer_first: bool) -> None:
    make = TOGETHER[name] if name in TOGETHER else FORMULAS[name][0]
    argument = (1.0,) if name == "plateau" else ()

    def go_on(optimizer, schedule, steps: int) -> list[object]:  # type: ignore[no-untyped-def]
        found = []
        for _ in range(steps):
            schedule.step(*argument)
            found.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]))
        return found

    optimizer = an_optimizer(momentum=0.9)
    schedule = make(optimizer)
    go_on(optimizer, schedule, 9)
    saved = copy.deepcopy((optimizer.state_dict(), pickle.loads(pickle.dumps(schedule.state_dict()))))
    expected = go_on(optimizer, schedule, 11)
    again = an_optimizer(momentum=0.9)
    if is_optimizer_first:
        again.load_state_dict(saved[0])
        other = make(again)
    else:
        other = make(again)
        again.load_state_dict(saved[0])
    other.load_state_dict(saved[1])
    assert other.state_dict() == saved[1]
    assert other.get_last_lr() == [again.param_groups[0]["lr"]]
    assert go_on(again, other, 11) == expected


def test_attributes_of_callable_objects_are_kept() -> None:
    class Halving:
        calls = 0

        def __call__(self, step: int) -> float:
            self.calls += 1
            return 0.5**self.calls

    schedule = schedules.LambdaLR(an_optimizer(), Halving())
    rates(schedule, 3)
    again = schedules.LambdaLR(an_optimizer(), Halving())
    again.load_state_dict(schedule.state_dict())
    schedule.step()
    again.step()
    assert again.get_last_lr() == schedule.get_last_lr() == [RATE / 32]


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda o: schedules.StepLR(None, 3), OperandError, "StepLR: .*met NoneType"),
        (lambda o: schedules.StepLR(o, 0), ArgumentError, "step_size is at least 1, met 0"),
        (lambda o: schedules.StepLR(o, 1.5), OperandError, "step_size is an integer"),
        (lambda o: schedules.LinearLR(o, 0.0), ArgumentError, "start_factor is 0"),
        (lambda o: schedules.LinearLR(o, math.nan), ArgumentError, "start_factor is between 0 and 1"),
        (lambda o: schedules.ConstantLR(o, 2.0), ArgumentError, "factor is between 0 and 1"),
        (lambda o: schedules.ExponentialLR(o, "fast"), OperandError, "gamma is a number"),
        (lambda o: schedules.LambdaLR(o, 3), OperandError, "lr_lambda is a function, met int"),
        (lambda o: schedules.LambdaLR(o, [abs, abs]), ArgumentError, "2 values of lr_lambda for 1 groups"),
        (lambda o: schedules.CosineAnnealingLR(o, 0), ArgumentError, "T_max is at least 1"),
        (lambda o: schedules.CosineAnnealingWarmRestarts(o, 3).step(-1), ArgumentError, "epoch is at least 0"),
        (lambda o: schedules.CyclicLR(o, 0.1, 0.2, mode="round"), ArgumentError, "mode is 'triangular'"),
        (lambda o: schedules.OneCycleLR(o, 0.1), ArgumentError, "expected total_steps, or epochs"),
        (lambda o: rates(schedules.OneCycleLR(o, 0.1, 3), 9), ArgumentError, "step 4 of a cycle of 3"),
        (lambda o: schedules.OneCycleLR(an_optimizer("adagrad"), 0.1, 3), ArgumentError, "neither momentum nor betas"),
        (lambda o: schedules.WarmupStableDecayLR(o, 1, 1, 1, "root"), ArgumentError, "'linear', 'cosine' or '1-sqrt'"),
        (lambda o: schedules.ReduceLROnPlateau(o, factor=1.0), ArgumentError, "factor is at least 0 and below 1"),
        (lambda o: schedules.ReduceLROnPlateau(o).step("low"), OperandError, "metrics is a number"),
        (lambda o: schedules.ChainedScheduler([]), ArgumentError, "at least one schedule"),
        (
            lambda o: schedules.ChainedScheduler([schedules.ReduceLROnPlateau(o)]),
            OperandError,
            "need no metric, met ReduceLROnPlateau",
        ),
        (
            lambda o: schedules.ChainedScheduler([schedules.ConstantLR(o), schedules.ConstantLR(an_optimizer())]),
            ArgumentError,
            "of another optimizer",
        ),
        (lambda o: schedules.SequentialLR(o, [schedules.ConstantLR(o)], [3]), ArgumentError, "need 0 milestones"),
        (
            lambda o: schedules.StepLR(o, 3).load_state_dict(schedules.ConstantLR(o).state_dict()),
            ArgumentError,
            "the state is of ConstantLR, this is StepLR",
        ),
        (lambda o: schedules.StepLR(o, 3).load_state_dict({}), ArgumentError, "the state is of None"),
    ],
)
def test_what_does_not_fit_is_refused(make, error, words) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=words) as raised:
        make(an_optimizer(momentum=0.9))
    assert isinstance(raised.value, RusTorchError)


def test_groups_come_before_the_schedule() -> None:
    optimizer = an_optimizer()
    schedule = schedules.StepLR(optimizer, 2)
    optimizer.add_param_group({"params": [("late", rt.ones(1).requires_grad_())]})
    with pytest.raises(ArgumentError, match="the optimizer has 2 groups, and had 1"):
        schedule.step()
    with pytest.raises(ArgumentError, match="the state is of 2 groups, the optimizer has 1"):
        schedules.StepLR(an_optimizer(), 2).load_state_dict(schedules.StepLR(optimizer, 2).state_dict())
