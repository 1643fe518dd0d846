"""Learning-rate schedules under PyTorch's names (torch.optim.lr_scheduler).

Call `schedule.step()` after each `optimizer.step()`. A schedule that stands for a factor multiplies the rate by what
its factor changes from one step to the next, so that several may act on one optimizer; one that stands for a rate sets
it.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rustorch_core._arguments import integer, number, one_of
from rustorch_core._define import public_names
from rustorch_core._optimizers import Optimizer
from rustorch_core.errors import ArgumentError, OperandError


class LRScheduler:
    """A schedule of the learning rates of an optimizer's groups; those named below are its kinds.

    Arguments:
        optimizer: whose `param_groups` are written.
        last_epoch: the last step taken, for a run that goes on: the groups then hold their `initial_lr`.
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        _check_optimizer(type(self).__name__, optimizer)
        self.optimizer = optimizer
        self.last_epoch = integer(type(self).__name__, "last_epoch", last_epoch)
        for place, group in enumerate(optimizer.param_groups):
            if last_epoch != -1 and "initial_lr" not in group:
                raise ArgumentError(
                    f"{type(self).__name__}: last_epoch={last_epoch}, but group {place} has no initial_lr; "
                    "load the optimizer's state first, or leave last_epoch at -1"
                )
            group.setdefault("initial_lr", group["lr"])
        self.base_lrs = [float(group["initial_lr"]) for group in optimizer.param_groups]
        if last_epoch == -1:
            self._start()
        else:
            self.last_epoch += 1
            self._write([self._closed_form(base, place) for place, base in enumerate(self.base_lrs)])

    def step(self) -> None:
        """Go on by one step: write the learning rate of every group."""
        self.last_epoch += 1
        self._write([self._next(group["lr"], place) for place, group in enumerate(self._groups())])

    def get_last_lr(self) -> list[float]:
        """The learning rates of the groups, as this schedule last left them."""
        return list(self._last_lr)

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer and functions, in plain numbers; callable objects give their attributes."""
        kept = {name: _state_of(value) for name, value in vars(self).items() if name != "optimizer"}
        return {"schedule": type(self).__name__, **kept}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state that `state_dict` gave; the groups then have the rates that they had.

        Raises:
            ArgumentError: for the state of another kind of schedule, or of another number of groups.
        """
        self._check_state(state_dict)
        for name, value in state_dict.items():
            if name != "schedule":
                setattr(self, name, _with_state(getattr(self, name), value))
        self._write(self._last_lr)

    def _check_state(self, state_dict: dict[str, Any]) -> None:
        own, theirs = self.state_dict(), dict(state_dict)
        if theirs.get("schedule") != own["schedule"]:
            raise ArgumentError(f"load_state_dict: the state is of {theirs.get('schedule')}, this is {own['schedule']}")
        differing = sorted(own.keys() ^ theirs.keys())
        if differing:
            raise ArgumentError(f"load_state_dict: only one of both {own['schedule']} has {', '.join(differing)}")
        if len(theirs["_last_lr"]) != len(self._groups()):
            raise ArgumentError(
                f"load_state_dict: the state is of {len(theirs['_last_lr'])} groups, "
                f"the optimizer has {len(self._groups())}"
            )

    # What kinds of schedules say

    def _next(self, lr: float, place: int) -> float:
        """The rate of a group at step `last_epoch`, from that of the step before."""
        return self._closed_form(self.base_lrs[place], place)

    def _closed_form(self, base: float, place: int) -> float:
        """The rate of a group at step `last_epoch`, from its initial rate, where no other schedule acts."""
        raise NotImplementedError(f"{type(self).__name__} has no closed form")

    # What schedules of schedules ask

    def _start(self) -> None:
        """Take step 0, from the rates that the groups have."""
        self.last_epoch = 0
        self._write([self._next(group["lr"], place) for place, group in enumerate(self._groups())])

    def _restart(self) -> None:
        """Take step 0, from the initial rates."""
        for group, base in zip(self._groups(), self.base_lrs, strict=True):
            group["lr"] = base
        self._start()

    def _groups(self) -> list[dict[str, Any]]:
        groups = self.optimizer.param_groups
        if hasattr(self, "base_lrs") and len(groups) != len(self.base_lrs):
            raise ArgumentError(
                f"{type(self).__name__}: the optimizer has {len(groups)} groups, and had {len(self.base_lrs)}; "
                "add groups before you make a schedule"
            )
        return groups

    def _write(self, rates: Iterable[float]) -> None:
        self._last_lr = [float(rate) for rate in rates]
        for group, rate in zip(self._groups(), self._last_lr, strict=True):
            group["lr"] = rate


class _Factor(LRScheduler):
    """A factor of what a rate is above its floor; the rate is multiplied by what the factor changes."""

    _floor = 0.0

    def _factor(self, step: int) -> float:
        """The factor at a step, from 0."""
        raise NotImplementedError

    def _next(self, lr: float, place: int) -> float:
        now = self._factor(self.last_epoch)
        before = self._factor(self.last_epoch - 1) if self.last_epoch else 1.0
        if not before:  # from the floor there is no way by factors
            return lr + (self.base_lrs[place] - self._floor) * now
        return lr if now == before else self._floor + (lr - self._floor) * (now / before)

    def _closed_form(self, base: float, place: int) -> float:
        return self._floor + (base - self._floor) * self._factor(self.last_epoch)


class LambdaLR(LRScheduler):
    """The initial rate times a function of the step.

    Arguments:
        lr_lambda: from the step to a factor; or one function for each group.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        self.lr_lambdas = _for_each_group(type(self).__name__, "lr_lambda", lr_lambda, optimizer)
        for function in self.lr_lambdas:
            if not callable(function):
                raise OperandError(f"{type(self).__name__}: lr_lambda is a function, met {type(function).__name__}")
        super().__init__(optimizer, last_epoch)

    def _closed_form(self, base: float, place: int) -> float:
        return base * self.lr_lambdas[place](self.last_epoch)


class MultiplicativeLR(LambdaLR):
    """The rate of the step before times a function of the step, from step 1."""

    def _next(self, lr: float, place: int) -> float:
        return lr * self.lr_lambdas[place](self.last_epoch) if self.last_epoch else lr

    def _closed_form(self, base: float, place: int) -> float:
        return base * math.prod(self.lr_lambdas[place](step) for step in range(1, self.last_epoch + 1))

    def _restart(self) -> None:
        self.last_epoch = 0  # as PyTorch's: from the rate that the schedule before has left
        self._write(group["lr"] * scale(0) for group, scale in zip(self._groups(), self.lr_lambdas, strict=True))


class StepLR(_Factor):
    """`gamma` times the rate, every `step_size` steps."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.step_size, self.gamma = _steps("StepLR", "step_size", step_size), number("StepLR", "gamma", gamma)
        super().__init__(optimizer, last_epoch)

    def _factor(self, step: int) -> float:
        return float(self.gamma ** (step // self.step_size))


class MultiStepLR(_Factor):
    """`gamma` times the rate, at each of the steps `milestones`."""

    def __init__(
        self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.milestones = sorted(integer("MultiStepLR", "milestones", each) for each in milestones)
        self.gamma = number("MultiStepLR", "gamma", gamma)
        super().__init__(optimizer, last_epoch)

    def _factor(self, step: int) -> float:
        return float(self.gamma ** bisect_right(self.milestones, step))


class ConstantLR(_Factor):
    """`factor` times the rate, for the first `total_iters` steps."""

    def __init__(self, optimizer: Optimizer, factor: float = 1 / 3, total_iters: int = 5, last_epoch: int = -1) -> None:
        self.factor = _share("ConstantLR", "factor", factor)
        self.total_iters = _steps("ConstantLR", "total_iters", total_iters, least=0)
        super().__init__(optimizer, last_epoch)

    def _factor(self, step: int) -> float:
        return self.factor if step < self.total_iters else 1.0


class LinearLR(_Factor):
    """From `start_factor` to `end_factor` times the rate, on a line, over `total_iters` steps."""

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        self.start_factor = _share("LinearLR", "start_factor", start_factor)
        if not start_factor:
            raise ArgumentError("LinearLR: start_factor is 0, of which nothing can be made; expected more")
        self.end_factor = _share("LinearLR", "end_factor", end_factor)
        self.total_iters = _steps("LinearLR", "total_iters", total_iters, least=0)
        super().__init__(optimizer, last_epoch)

    def _factor(self, step: int) -> float:
        return self.start_factor + (self.end_factor - self.start_factor) * _progress(step, self.total_iters)


class ExponentialLR(_Factor):
    """`gamma` times the rate, every step."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = number("ExponentialLR", "gamma", gamma)
        super().__init__(optimizer, last_epoch)

    def _next(self, lr: float, place: int) -> float:
        return lr * self.gamma if self.last_epoch else lr  # the factor itself becomes 0 in the end

    def _factor(self, step: int) -> float:
        return float(self.gamma**step)


class PolynomialLR(_Factor):
    """The rate times (1 - step / total_iters) ** power, down to 0."""

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1) -> None:
        self.total_iters = _steps("PolynomialLR", "total_iters", total_iters)
        self.power = number("PolynomialLR", "power", power)
        super().__init__(optimizer, last_epoch)

    def _factor(self, step: int) -> float:
        return float((1 - _progress(step, self.total_iters)) ** self.power)


class CosineAnnealingLR(_Factor):
    """From the initial rate down to `eta_min` on half a cosine over `T_max` steps, and up again after.

    Source: Loshchilov and Hutter 2017, arXiv:1608.03983, without the restarts.
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:  # noqa: N803
        self.T_max = _steps("CosineAnnealingLR", "T_max", T_max)
        self.eta_min = self._floor = number("CosineAnnealingLR", "eta_min", eta_min)
        super().__init__(optimizer, last_epoch)

    def _factor(self, step: int) -> float:
        return (1 + math.cos(math.pi * step / self.T_max)) / 2


#: How a schedule goes from 1 at 0 to 0 at 1.
_DECAYS: dict[str, Callable[[float], float]] = {
    "linear": lambda x: 1 - x,
    "cosine": lambda x: (1 + math.cos(math.pi * x)) / 2,
    "1-sqrt": lambda x: 1 - math.sqrt(x),
}


class WarmupStableDecayLR(_Factor):
    """Warm up on a line to the initial rate, stay there, and decay to `end_factor` times it.

    Arguments:
        warmup_iters: steps until the rate is whole; the first has 1 / `warmup_iters` of it.
        stable_iters: steps at the whole rate.
        decay_iters: steps of the decay.
        decay: "linear", "cosine" or "1-sqrt".
        end_factor: where the decay ends, as a factor.

    Source: Hu et al. 2024, arXiv:2404.06395; "1-sqrt": Haegele et al. 2024, arXiv:2405.18392.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        warmup_iters: int,
        stable_iters: int,
        decay_iters: int,
        decay: str = "linear",
        end_factor: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        name = "WarmupStableDecayLR"
        self.warmup_iters = _steps(name, "warmup_iters", warmup_iters, least=0)
        self.stable_iters = _steps(name, "stable_iters", stable_iters, least=0)
        self.decay_iters = _steps(name, "decay_iters", decay_iters, least=0)
        self.decay = one_of(name, "decay", decay, _DECAYS)
        self.end_factor = _share(name, "end_factor", end_factor)
        super().__init__(optimizer, last_epoch)

    def _factor(self, step: int) -> float:
        if step < self.warmup_iters:
            return (step + 1) / self.warmup_iters
        decayed = step - self.warmup_iters - self.stable_iters
        left = _DECAYS[self.decay](_progress(decayed, self.decay_iters)) if decayed >= 0 else 1.0
        return self.end_factor + (1 - self.end_factor) * left


class CosineAnnealingWarmRestarts(LRScheduler):
    """From the initial rate to `eta_min` on half a cosine, again and again, each time `T_mult` times as long.

    Arguments:
        T_0: steps until the first restart.
        T_mult: how many times longer the next period is; an integer of at least 1.
        eta_min: the lowest rate.

    Source: Loshchilov and Hutter 2017, arXiv:1608.03983.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,  # noqa: N803
        T_mult: int = 1,  # noqa: N803
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        self.T_0 = _steps("CosineAnnealingWarmRestarts", "T_0", T_0)
        self.T_mult = _steps("CosineAnnealingWarmRestarts", "T_mult", T_mult)
        self.eta_min = number("CosineAnnealingWarmRestarts", "eta_min", eta_min)
        self._part = 0.0  # of a step, where `step` was told one
        super().__init__(optimizer, last_epoch)

    def step(self, epoch: float | None = None) -> None:
        """Go on by one step, or to a place, which may lie between two."""
        if epoch is not None:
            if number("CosineAnnealingWarmRestarts", "epoch", epoch) < 0:
                raise ArgumentError(f"CosineAnnealingWarmRestarts: epoch is at least 0, met {epoch}")
            self.last_epoch = math.floor(epoch) - 1
            self._part = epoch - math.floor(epoch)
        super().step()

    def _closed_form(self, base: float, place: int) -> float:
        position, period = self.last_epoch + self._part, self.T_0
        if self.T_mult == 1:
            position %= period
        while position >= period:
            position, period = position - period, period * self.T_mult
        return self.eta_min + (base - self.eta_min) * (1 + math.cos(math.pi * position / period)) / 2


class _Cycle(LRScheduler):
    """A schedule that sets rates, and with them momenta."""

    cycle_momentum: bool

    def _momentum(self, place: int) -> float:
        """The momentum of a group at step `last_epoch`."""
        raise NotImplementedError

    def _prepare_momentum(self, base_momentum: Any, max_momentum: Any) -> None:
        name, defaults = type(self).__name__, self.optimizer.defaults
        if self.cycle_momentum and not {"momentum", "betas"} & defaults.keys():
            raise ArgumentError(
                f"{name}: {self.optimizer.rule.name} has neither momentum nor betas; pass cycle_momentum=False"
            )
        self.base_momentums = _for_each_group(name, "base_momentum", base_momentum, self.optimizer)
        self.max_momentums = _for_each_group(name, "max_momentum", max_momentum, self.optimizer)

    def _write(self, rates: Iterable[float]) -> None:
        super()._write(rates)
        for place, group in enumerate(self._groups() if self.cycle_momentum else ()):
            if "betas" in group:
                group["betas"] = (self._momentum(place), *group["betas"][1:])
            else:
                group["momentum"] = self._momentum(place)


#: How much of its height each cycle has, by the number of the cycle from 1, or by the step.
_CYCLES: dict[str, tuple[str, Callable[[float, float], float]]] = {
    "triangular": ("cycle", lambda x, gamma: 1.0),
    "triangular2": ("cycle", lambda x, gamma: 1 / 2.0 ** (x - 1)),
    "exp_range": ("iterations", lambda x, gamma: gamma**x),
}


class CyclicLR(_Cycle):
    """Up and down between two rates, and momentum the other way.

    Arguments:
        base_lr: the lower rate, or one for each group.
        max_lr: the upper rate, or one for each group.
        step_size_up: steps of the way up.
        step_size_down: steps of the way down; by default as many.
        mode: "triangular", "triangular2", which halves each cycle, or "exp_range", which shrinks by `gamma` each step.
        gamma: for "exp_range".
        scale_fn: the height instead of `mode`'s, of what `scale_mode` names: the "cycle" from 1, or the "iterations".
        cycle_momentum: whether momentum, or the first of betas, goes from `max_momentum` to `base_momentum` and back.

    Source: Smith 2017, arXiv:1506.01186.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | Sequence[float],
        max_lr: float | Sequence[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.8,
        max_momentum: float | Sequence[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        _check_optimizer("CyclicLR", optimizer)
        self.optimizer = optimizer
        low = _for_each_group("CyclicLR", "base_lr", base_lr, optimizer)
        self.max_lrs = _for_each_group("CyclicLR", "max_lr", max_lr, optimizer)
        self.step_size_up = _steps("CyclicLR", "step_size_up", step_size_up)
        self.step_size_down = (
            self.step_size_up if step_size_down is None else _steps("CyclicLR", "step_size_down", step_size_down)
        )
        self.mode, self.gamma = one_of("CyclicLR", "mode", mode, _CYCLES), number("CyclicLR", "gamma", gamma)
        self.scale_mode = one_of("CyclicLR", "scale_mode", scale_mode, ("cycle", "iterations"))
        self.scale_fn, self.cycle_momentum = scale_fn, cycle_momentum
        if scale_fn is None:
            self.scale_mode = _CYCLES[mode][0]
        self._prepare_momentum(base_momentum, max_momentum)
        if last_epoch == -1:
            for group, lr in zip(optimizer.param_groups, low, strict=True):
                group["lr"] = lr
        self._low = low
        super().__init__(optimizer, last_epoch)
        self.base_lrs = low

    def _height(self) -> float:
        total = self.step_size_up + self.step_size_down
        cycle = math.floor(1 + self.last_epoch / total)
        x, up = 1 + self.last_epoch / total - cycle, self.step_size_up / total
        height = x / up if x <= up else (x - 1) / (up - 1)
        at = cycle if self.scale_mode == "cycle" else self.last_epoch
        return height * (_CYCLES[self.mode][1](at, self.gamma) if self.scale_fn is None else self.scale_fn(at))

    def _closed_form(self, base: float, place: int) -> float:
        return self._low[place] + (self.max_lrs[place] - self._low[place]) * self._height()

    def _momentum(self, place: int) -> float:
        low, high = self.base_momentums[place], self.max_momentums[place]
        return float(high - (high - low) * self._height())


class OneCycleLR(_Cycle):
    """Up to `max_lr` and down to nearly nothing, once, and momentum the other way.

    Arguments:
        max_lr: the highest rate, or one for each group.
        total_steps: steps of the whole; or give `epochs` and `steps_per_epoch`.
        pct_start: the share of the way up.
        anneal_strategy: "cos" or "linear".
        cycle_momentum: whether momentum, or the first of betas, goes from `max_momentum` to `base_momentum` and back.
        div_factor: the first rate is `max_lr` / `div_factor`.
        final_div_factor: the last rate is the first / `final_div_factor`.
        three_phase: go down to the first rate as long as up, then on to the last.

    Source: Smith and Topin 2019, arXiv:1708.07120.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        _check_optimizer("OneCycleLR", optimizer)
        self.optimizer = optimizer
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ArgumentError("OneCycleLR: expected total_steps, or epochs and steps_per_epoch")
            total_steps = _steps("OneCycleLR", "epochs", epochs) * _steps(
                "OneCycleLR", "steps_per_epoch", steps_per_epoch
            )
        self.total_steps = _steps("OneCycleLR", "total_steps", total_steps)
        self.pct_start = _share("OneCycleLR", "pct_start", pct_start)
        self.anneal_strategy = one_of("OneCycleLR", "anneal_strategy", anneal_strategy, ("cos", "linear"))
        self.three_phase, self.cycle_momentum = three_phase, cycle_momentum
        self._prepare_momentum(base_momentum, max_momentum)
        high = _for_each_group("OneCycleLR", "max_lr", max_lr, optimizer)
        for group, lr in zip(optimizer.param_groups if last_epoch == -1 else (), high, strict=last_epoch == -1):
            group["max_lr"], group["initial_lr"] = lr, lr / div_factor
            group["min_lr"] = group["initial_lr"] / final_div_factor
        super().__init__(optimizer, last_epoch)

    def _at(self, first: float, high: float, last: float) -> float:
        """Where something stands that goes from the first value to a high one and, at the end, to a last one."""
        step, rise = self.last_epoch, self.pct_start * self.total_steps - 1
        if step > self.total_steps:
            raise ArgumentError(f"OneCycleLR: step {step} of a cycle of {self.total_steps}")
        ends = [(rise, first, high), (2 * rise, high, first), (self.total_steps - 1.0, first, last)]
        if not self.three_phase:
            ends[1:] = [(self.total_steps - 1.0, high, last)]
        place = min(bisect_left([end for end, _, _ in ends], step), len(ends) - 1)
        start, (end, here, there) = ends[place - 1][0] if place else 0.0, ends[place]
        done = (step - start) / (end - start) if end != start else 1.0
        if self.anneal_strategy == "linear":
            return here + (there - here) * done
        return there + (here - there) / 2 * (1 + math.cos(math.pi * done))

    def _closed_form(self, base: float, place: int) -> float:
        group = self._groups()[place]
        return self._at(group["initial_lr"], group["max_lr"], group["min_lr"])

    def _momentum(self, place: int) -> float:
        low, high = self.base_momentums[place], self.max_momentums[place]
        return self._at(high, low, high)


class _Schedules(LRScheduler):
    """A schedule made of others."""

    _schedulers: list[LRScheduler]

    def _take(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None) -> None:
        name = type(self).__name__
        self._schedulers = list(schedulers)
        if not self._schedulers:
            raise ArgumentError(f"{name}: expected at least one schedule")
        for each in self._schedulers:
            if not isinstance(each, LRScheduler) or isinstance(each, ReduceLROnPlateau):
                raise OperandError(f"{name}: expected schedules that need no metric, met {type(each).__name__}")
        self.optimizer = optimizer or self._schedulers[0].optimizer
        _check_optimizer(name, self.optimizer)
        for each in self._schedulers:
            if each.optimizer is not self.optimizer:
                raise ArgumentError(f"{name}: {type(each).__name__} is of another optimizer")

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state that `state_dict` gave."""
        self._check_state(state_dict)
        theirs = state_dict["_schedulers"]
        if len(theirs) != len(self._schedulers):
            raise ArgumentError(f"load_state_dict: {len(theirs)} schedules, expected {len(self._schedulers)}")
        for own, its in zip(self._schedulers, theirs, strict=True):
            own._check_state(its)
        for own, its in zip(self._schedulers, theirs, strict=True):
            own.load_state_dict(its)
        super().load_state_dict({**state_dict, "_schedulers": self._schedulers})


class ChainedScheduler(_Schedules):
    """Several schedules, each of which takes every step, so that their factors multiply.

    Arguments:
        schedulers: all of one optimizer.
        optimizer: that optimizer.
    """

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        self._take(schedulers, optimizer)
        self.last_epoch = max(each.last_epoch for each in self._schedulers)
        self.base_lrs = self._schedulers[0].base_lrs
        self._last_lr = [group["lr"] for group in self._groups()]

    def step(self) -> None:
        """Let every schedule take a step."""
        self.last_epoch += 1
        for each in self._schedulers:
            each.step()
        self._last_lr = [group["lr"] for group in self._groups()]

    def _start(self) -> None:
        self.last_epoch = 0
        for each in self._schedulers:
            each._start()
        self._last_lr = [group["lr"] for group in self._groups()]


class SequentialLR(_Schedules):
    """One schedule after the other, each from its own step 0.

    Arguments:
        optimizer: of all of them.
        schedulers: in their order.
        milestones: the steps at which the second and each later one begins.
    """

    def __init__(self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int]) -> None:
        self._take(schedulers, optimizer)
        self._milestones = [integer("SequentialLR", "milestones", each) for each in milestones]
        if len(self._milestones) != len(self._schedulers) - 1 or self._milestones != sorted(self._milestones):
            raise ArgumentError(
                f"SequentialLR: {len(self._schedulers)} schedules need {len(self._schedulers) - 1} milestones, "
                f"in order; met {self._milestones}"
            )
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self._restart()

    def step(self) -> None:
        """Let the schedule whose turn it is take a step."""
        self.last_epoch += 1
        place = bisect_right(self._milestones, self.last_epoch)
        current = self._schedulers[place]
        if place and self._milestones[place - 1] == self.last_epoch:
            current._restart()
        else:
            current.step()
        self._last_lr = current.get_last_lr()

    def _start(self) -> None:
        self.last_epoch = 0
        current = self._schedulers[bisect_right(self._milestones, 0)]
        current._start()
        self._last_lr = current.get_last_lr()


class ReduceLROnPlateau(LRScheduler):
    """Cut the rate when a metric has stopped to improve: `schedule.step(validation_loss)`.

    Arguments:
        mode: "min" or "max": where better is.
        factor: what the rate is multiplied by, below 1.
        patience: steps without improvement that are borne.
        threshold: how much better counts, by `threshold_mode` as a share, "rel", or a difference, "abs".
        cooldown: steps after a cut in which nothing counts as bad.
        min_lr: the lowest rate, or one for each group.
        eps: a smaller change of the rate is not made.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0,
        eps: float = 1e-8,
    ) -> None:
        name = "ReduceLROnPlateau"
        _check_optimizer(name, optimizer)
        self.optimizer = optimizer
        self.mode = one_of(name, "mode", mode, ("min", "max"))
        self.threshold_mode = one_of(name, "threshold_mode", threshold_mode, ("rel", "abs"))
        self.factor, self.threshold = number(name, "factor", factor), number(name, "threshold", threshold)
        if not 0 <= self.factor < 1:
            raise ArgumentError(f"{name}: factor is at least 0 and below 1, met {factor}")
        self.patience, self.cooldown = integer(name, "patience", patience), integer(name, "cooldown", cooldown)
        self.min_lrs = _for_each_group(name, "min_lr", min_lr, optimizer)
        self.eps = number(name, "eps", eps)
        self.best = math.inf if mode == "min" else -math.inf
        self.last_epoch = self.cooldown_counter = self.num_bad_epochs = 0
        self._last_lr = [group["lr"] for group in self._groups()]

    def step(self, metrics: Any) -> None:  # type: ignore[override]
        """Note a metric, a number or a tensor of one; NaN is no improvement."""
        value = number("ReduceLROnPlateau", "metrics", metrics.item() if hasattr(metrics, "item") else metrics)
        self.last_epoch += 1
        self.num_bad_epochs += 1
        if self._is_better(value):
            self.best, self.num_bad_epochs = value, 0
        if self.cooldown_counter > 0:
            self.cooldown_counter, self.num_bad_epochs = self.cooldown_counter - 1, 0
        rates = [group["lr"] for group in self._groups()]
        if self.num_bad_epochs > self.patience:
            lower = [max(lr * self.factor, least) for lr, least in zip(rates, self.min_lrs, strict=True)]
            rates = [new if old - new > self.eps else old for old, new in zip(rates, lower, strict=True)]
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._write(rates)

    def _is_better(self, value: float) -> bool:
        sign = -1 if self.mode == "min" else 1
        if self.threshold_mode == "abs":
            return sign * value > sign * self.best + self.threshold
        return sign * value > sign * self.best * (1 + sign * self.threshold)


# Arguments and states


def _check_optimizer(name: str, optimizer: Any) -> None:
    if not isinstance(optimizer, Optimizer):
        raise OperandError(f"{name}: expected what optim.create returns, met {type(optimizer).__name__}")


def _steps(name: str, argument: str, value: Any, least: int = 1) -> int:
    count = integer(name, argument, value)
    if count < least:
        raise ArgumentError(f"{name}: {argument} is at least {least}, met {count}")
    return count


def _share(name: str, argument: str, value: Any) -> float:
    share = number(name, argument, value)
    if not 0 <= share <= 1:
        raise ArgumentError(f"{name}: {argument} is between 0 and 1, met {value}")
    return share


def _progress(step: float, total: int) -> float:
    """How much of a number of steps is done, at most 1."""
    return min(step, total) / total if total else 1.0


def _for_each_group(name: str, argument: str, value: Any, optimizer: Any) -> list[Any]:
    """A value for each group: one for all, or a list with one for each."""
    _check_optimizer(name, optimizer)
    groups = len(optimizer.param_groups)
    values = list(value) if isinstance(value, (list, tuple)) else [value] * groups
    if len(values) != groups:
        raise ArgumentError(f"{name}: {len(values)} values of {argument} for {groups} groups")
    return values


def _state_of(value: Any) -> Any:
    if isinstance(value, LRScheduler):
        return value.state_dict()
    if isinstance(value, list):
        return [_state_of(each) for each in value]
    if callable(value):
        return None if hasattr(value, "__code__") else dict(getattr(value, "__dict__", {}))
    return value


def _with_state(own: Any, state: Any) -> Any:
    """What a state says in the place of a value; functions stay, and callable objects take their attributes."""
    if isinstance(own, list) and any(callable(each) for each in own):
        return [_with_state(*pair) for pair in zip(own, state, strict=True)]
    if callable(own):
        if state:
            vars(own).update(state)
        return own
    return list(state) if isinstance(state, list) else state


def __dir__() -> list[str]:
    return public_names(globals())
