"""Optimizers' steps in one call for all parameters: which of the compiled steps, with which numbers.

What each computes is the update rule's business, rustorch_core/_update_rules.py; here is what of it depends on options
and step alone. The `numbers` of a step are its weight decay in the gradient, the gradient's sign, the factor that
decoupled decay gives the value, and then what src/steps.h calls k0, k1 and so on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rustorch_core._update_rules import nadam_momenta, radam_factors
from rustorch_simd import _kernels

Options = Mapping[str, Any]
Numbers = tuple[float, ...]


class Steps:
    """The steps of a group's parameters.

    Arguments:
        variant: from options to the name of the compiled step, and of the parts of the state in its order; None
            declines.
        numbers: from options and step to those of the compiled step.
    """

    def __init__(
        self,
        variant: Callable[[Options], tuple[str, tuple[str, ...]] | None],
        numbers: Callable[[Options, int], Numbers],
        core: Any,
        parameters: Sequence[Any],
        states: Sequence[Mapping[str, Any]],
        taken: Sequence[int],
        options: Options,
    ) -> None:
        self._variant, self._numbers = variant, numbers
        self._chosen = variant(options)
        if self._chosen is None:
            raise NotImplementedError("these options have no compiled step")
        name, parts = self._chosen
        own = tuple(tuple(state[part] for part in parts) for state in states)
        self._compiled = _kernels._Steps(core, name, tuple(parameters), own, tuple(taken))
        self._next = max(taken, default=0) + 1
        self.taken = self._compiled.taken

    def __call__(self, options: Options) -> list[int]:
        """Take a step; returns the places of parameters that have a gradient and are left to the rule."""
        if self._variant(options) != self._chosen:
            return list(range(len(self.taken())))
        left = self._compiled.run(self._next, self._numbers(options, self._next))
        self._next += 1
        if left:  # some have taken fewer steps, for want of a gradient
            for step in sorted({self.taken()[place] + 1 for place in left}):
                left = self._compiled.run(step, self._numbers(options, step), left)
            self._next = max(self.taken()) + 1
        return left


def _common(options: Options) -> Numbers:
    decay = options.get("weight_decay", 0.0)
    is_decoupled = options.get("decoupled_weight_decay", False)
    sign = -1.0 if options["maximize"] else 1.0
    return 0.0 if is_decoupled else decay, sign, 1 - options["lr"] * decay if is_decoupled else 1.0


def _averages(options: Options) -> Numbers:
    beta1, beta2 = options["betas"]
    return beta1, 1 - beta1, beta2, 1 - beta2


def _with_largest(name: str) -> Callable[[Options], tuple[str, tuple[str, ...]]]:
    """A member of Adam's family, or its form that keeps the largest size."""

    def variant(options: Options) -> tuple[str, tuple[str, ...]]:
        if options.get("amsgrad"):
            return f"{name}_largest", ("mean", "size", "largest_size")
        return name, ("mean", "size")

    return variant


def _adam(options: Options, step: int) -> Numbers:
    beta1, beta2 = options["betas"]
    rate = options["lr"] / (1 - beta1**step)
    return *_common(options), *_averages(options), rate, 0.0, 1 / math.sqrt(1 - beta2**step), options["eps"]


def _adamax(options: Options, step: int) -> Numbers:
    beta1, beta2 = options["betas"]
    return *_common(options), beta1, 1 - beta1, beta2, options["eps"], options["lr"] / (1 - beta1**step)


def _nadam(options: Options, step: int) -> Numbers:
    of_mean, of_gradient = nadam_momenta(options, step)
    root = 1 / math.sqrt(1 - options["betas"][1] ** step)
    lr = options["lr"]
    return *_common(options), *_averages(options), lr * of_mean, lr * of_gradient, root, options["eps"]


def _radam(options: Options, step: int) -> Numbers:
    rate, is_divided = radam_factors(options, step)
    return *_common(options), *_averages(options), rate, 0.0, *((1.0, options["eps"]) if is_divided else (0.0, 1.0))


def _adabelief(options: Options, step: int) -> Numbers:
    numbers = list(_adam(options, step))
    numbers[8] = options["eps"]
    return tuple(numbers)


def _adabound(options: Options, step: int) -> Numbers:
    beta1, beta2 = options["betas"]
    lr, gamma = options["lr"], options["gamma"]
    final = options["final_lr"] * lr / options.get("initial_lr", lr) if lr else 0.0
    bounds = final * (1 - 1 / (gamma * step + 1)), final * (1 + 1 / (gamma * step))
    rate = lr * math.sqrt(1 - beta2**step) / (1 - beta1**step)
    return *_common(options), *_averages(options), rate, *bounds, options["eps"]


def _lamb(options: Options, step: int) -> Numbers:
    beta1, beta2 = options["betas"]
    scale, root = 1 / (1 - beta1**step), 1 / math.sqrt(1 - beta2**step)
    decay, eps = options["weight_decay"], options["eps"]
    return 0.0, _common(options)[1], 1.0, *_averages(options), scale, decay, root, eps, options["lr"]


def _lion(options: Options, step: int) -> Numbers:
    _, sign, shrink = _common({**options, "decoupled_weight_decay": True})
    return 0.0, sign, shrink, *_averages(options), options["lr"]


def _sgd(options: Options, step: int) -> Numbers:
    momentum, is_nesterov = options["momentum"], options["nesterov"]
    fresh = 1 - options["dampening"] if step > 1 else 1.0
    return *_common(options), options["lr"], momentum, fresh, momentum if is_nesterov else 1.0, float(is_nesterov)


def _adagrad(options: Options, step: int) -> Numbers:
    return *_common(options), options["lr"] / (1 + (step - 1) * options["lr_decay"]), options["eps"]


def _adadelta(options: Options, step: int) -> Numbers:
    rho = options["rho"]
    return *_common(options), rho, 1 - rho, options["eps"], options["lr"]


def _asgd(options: Options, step: int) -> Numbers:
    lr, lambd, before = options["lr"], options["lambd"], step - 1
    rate = lr / (1 + lambd * lr * before) ** options["alpha"]
    share = 1 / max(1, before - options["t0"])
    return *_common(options), 1 - lambd * rate, rate, 1 - share, share


def _rprop(options: Options, step: int) -> Numbers:
    return *_common(options), *options["etas"], *options["step_sizes"]


def _rmsprop(options: Options, step: int) -> Numbers:
    alpha = options["alpha"]
    return *_common(options), alpha, 1 - alpha, options["lr"], options["eps"], options["momentum"]


def _rmsprop_variant(options: Options) -> tuple[str, tuple[str, ...]]:
    parts = [name for name, is_on in (("centered", options["centered"]), ("momentum", options["momentum"])) if is_on]
    state = {"centered": "mean", "momentum": "momentum"}
    return "_".join(["rmsprop", *parts]), ("size", *(state[part] for part in parts))


def _maker(variant: Any, numbers: Callable[[Options, int], Numbers]) -> Callable[..., Steps]:
    def make(core: Any, *arguments: Any) -> Steps:
        return Steps(variant, numbers, core, *arguments)

    return make


adam = adamw = amsgrad = _maker(_with_largest("adam"), _adam)
nadam, radam = _maker(_with_largest("adam"), _nadam), _maker(_with_largest("adam"), _radam)
adamax = _maker(lambda options: ("adamax", ("mean", "size")), _adamax)
adabelief = _maker(lambda options: None if options["amsgrad"] else ("adabelief", ("mean", "size")), _adabelief)
adabound = amsbound = _maker(_with_largest("adabound"), _adabound)
lamb = _maker(lambda options: ("lamb", ("mean", "size")), _lamb)
lion = _maker(lambda options: ("lion", ("mean",)), _lion)
sgd = _maker(lambda options: ("sgd_momentum", ("momentum",)) if options["momentum"] else ("sgd", ()), _sgd)
adagrad = _maker(lambda options: ("adagrad", ("sum",)), _adagrad)
adadelta = _maker(lambda options: ("adadelta", ("size", "changes")), _adadelta)
asgd = _maker(lambda options: ("asgd", ("average",)), _asgd)
rprop = _maker(lambda options: ("rprop", ("before", "step_size")), _rprop)
rmsprop = _maker(_rmsprop_variant, _rmsprop)
