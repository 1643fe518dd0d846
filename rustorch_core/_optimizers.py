"""The optimizer factory, and the optimizer that applies an update rule to many parameters."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from rustorch_core import _plugins
from rustorch_core._autograd import enable_grad, no_grad
from rustorch_core._compiled_steps import compiled_steps, offers
from rustorch_core._mutation import overwrite
from rustorch_core._tensor import Tensor
from rustorch_core._update_rules import (
    RULES,
    State,
    Turn,
    UpdateRule,
    advance,
    as_complex_like,
    as_real,
    begin,
    lookahead,
)
from rustorch_core.errors import ArgumentError, OperandError
from rustorch_core.plugin import CompiledSteps


def list_optimizers() -> list[str]:
    """Every name that `create` takes, those of plugins included."""
    return sorted({*RULES, *(spec.name for _, spec in _plugins.facts("rustorch_optimizers"))})


def rule_of(name: str) -> UpdateRule:
    """The update rule of a name.

    Raises:
        ArgumentError: for an unknown name, with the nearest known one.
    """
    if not isinstance(name, str):
        raise OperandError(f"optim.create: the first argument is an optimizer's name, met {type(name).__name__}")
    if name in RULES:
        return RULES[name]
    if name.startswith("lookahead(") and name.endswith(")"):
        return lookahead(rule_of(name[len("lookahead(") : -1]))
    for _, spec in _plugins.facts("rustorch_optimizers"):
        if spec.name == name:
            rule = _plugins.resolve(spec.load)()
            if not isinstance(rule, UpdateRule):
                raise OperandError(f"optim: {spec.load} returned {type(rule).__name__}, expected UpdateRule")
            return rule
    raise ArgumentError(f"optim.create: there is no optimizer {name!r}; {_nearest(name, list_optimizers())}")


def _nearest(name: str, known: Iterable[str]) -> str:
    choices = list(known)
    near = difflib.get_close_matches(name, choices, n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(choices)}"


def create(name: str, model_or_parameters: Any, **options: Any) -> Optimizer:
    """Make an optimizer.

    Arguments:
        name: such as "adamw"; `optim.list()` names all.
        model_or_parameters: a module, tensors, (name, tensor) pairs, or dicts with "params" and options of their own.
        **options: as in PyTorch, such as `lr`; `optim.info(name).defaults` names all.

    Raises:
        ArgumentError: for an unknown name or option, a value out of range, or a parameter given twice.
        OperandError: for what is no parameter.

    Example:
        >>> import rustorch as rt
        >>> w = rt.asarray([4.0]).requires_grad_()
        >>> optimizer = rt.optim.create("sgd", [w], lr=0.25)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> w
        tensor([2.], dtype=float32, requires_grad=True)
    """
    rule = rule_of(name)
    made: Optimizer = (rule.optimizer or Optimizer)(rule, model_or_parameters, options)
    return made


class Optimizer:
    """Applies an update rule to parameters; `param_groups` holds their options, as in PyTorch."""

    def __init__(self, rule: UpdateRule, model_or_parameters: Any, options: Mapping[str, Any]) -> None:
        self.rule = rule
        self.defaults = {**rule.defaults, **_checked(rule, options)}
        self.param_groups: list[dict[str, Any]] = []
        self._names: dict[int, str] = {}
        self._states: dict[str, State] = {}
        self._steps: dict[str, int] = {}
        self._is_training = True
        #: By the place of a group what takes its steps in one call; None where nothing does.
        self._compiled: dict[int, CompiledSteps | None] = {}
        for group in _groups(model_or_parameters):
            self.add_param_group(group)
        if not self._names:
            raise ArgumentError("optim.create: there are no parameters to optimize")

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Add parameters with options of their own: a mapping with "params" and any option."""
        if "params" not in group:
            raise ArgumentError(f"optim.create: a group needs 'params', met {', '.join(map(repr, group))}")
        own = _checked(self.rule, {key: value for key, value in group.items() if key != "params"})
        named = list(_named(group["params"], len(self._names)))
        for name, parameter in named:
            if not isinstance(parameter, Tensor):
                raise OperandError(f"optim.create: expected parameters, met {type(parameter).__name__}")
            if not parameter.requires_grad or not parameter.is_leaf:
                raise OperandError(f"optim.create: parameter {name!r} is no leaf that requires a gradient")
            if id(parameter) in self._names:
                raise ArgumentError(f"optim.create: parameter {name!r} was given twice")
            self._names[id(parameter)] = name
        self.param_groups.append({**self.defaults, **own, "params": [parameter for _, parameter in named]})

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    @no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """Update every parameter that has a gradient, in place; where the device offers it, in one call for all.

        Arguments:
            closure: forgets the gradients, computes the loss, calls `backward` on it and returns it; called before.

        Returns:
            what the closure returned, if there is one.
        """
        if not self._is_training:
            raise ArgumentError(
                f"{self.rule.name}: step: the parameters hold what is to be evaluated; call train() first"
            )
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for place, group in enumerate(self.param_groups):
            parameters = group["params"]
            if place not in self._compiled:
                self._compiled[place] = self._compile(group)
            compiled = self._compiled[place]
            left = parameters if compiled is None else [parameters[each] for each in compiled(group)]
            if left and compiled is not None:
                self._note_steps()
                del self._compiled[place]  # made anew, for the steps taken are not what it counted
            for parameter in left:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group)
        return loss

    def eval(self) -> Optimizer:
        """Put what is to be evaluated into the parameters, where that is not what is trained (schedule-free rules).

        Returns:
            the optimizer itself; `train` goes back.
        """
        self._turn(False, self.rule.to_evaluation)
        return self

    def train(self) -> Optimizer:
        """Put into the parameters what is to be trained, after `eval`; returns the optimizer itself."""
        self._turn(True, self.rule.to_training)
        return self

    @no_grad()
    def _turn(self, is_training: bool, turn: Turn | None) -> None:
        for group in self.param_groups if turn is not None and is_training != self._is_training else ():
            for parameter in group["params"]:
                state = self._states.get(self._names[id(parameter)])
                if state is not None and turn is not None:
                    overwrite(parameter, as_complex_like(parameter, turn(as_real(parameter.detach()), state, group)))
        self._is_training = is_training

    def _compile(self, group: Mapping[str, Any]) -> CompiledSteps | None:
        """One call for a group's steps, if there is one; it changes the states in place."""
        offered = offers(self.rule, group["params"])
        if not offered:
            return None
        names = [self._names[id(parameter)] for parameter in group["params"]]
        for name, parameter in zip(names, group["params"], strict=True):
            if name not in self._states:
                self._states[name] = begin(self.rule, parameter.detach(), group)
        states, taken = [self._states[name] for name in names], [self._steps.get(name, 0) for name in names]
        return compiled_steps(offered, group["params"], states, taken, group)

    def _note_steps(self) -> None:
        """Take over how many steps were taken in one call."""
        for place, compiled in self._compiled.items():
            if compiled is not None:
                for parameter, count in zip(self.param_groups[place]["params"], compiled.taken(), strict=True):
                    self._steps[self._names[id(parameter)]] = count

    def _update(self, parameter: Tensor, gradient: Tensor, group: Mapping[str, Any]) -> None:
        name = self._names[id(parameter)]
        value = parameter.detach()
        if name not in self._states:
            self._states[name] = begin(self.rule, value, group)
        self._steps[name] = step = self._steps.get(name, 0) + 1
        gradient = -gradient.detach() if group["maximize"] else gradient.detach()
        new, self._states[name] = advance(self.rule, value, gradient, self._states[name], step, group)
        overwrite(parameter, new)

    def state_dict(self) -> dict[str, Any]:
        """The state of every parameter by its name, and the groups' options."""
        self._note_steps()
        options = [{key: value for key, value in group.items() if key != "params"} for group in self.param_groups]
        names = [[self._names[id(parameter)] for parameter in group["params"]] for group in self.param_groups]
        return {
            "optimizer": self.rule.name,
            "state": {name: {key: part.clone() for key, part in each.items()} for name, each in self._states.items()},
            "steps": dict(self._steps),
            "is_training": self._is_training,
            "param_groups": [{**each, "params": each_names} for each, each_names in zip(options, names, strict=True)],
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over a state that `state_dict` gave.

        Raises:
            ArgumentError: where it belongs to another optimizer or to other parameters, with the names that differ.
        """
        if not isinstance(state_dict, Mapping) or state_dict.keys() != self.state_dict().keys():
            raise ArgumentError("load_state_dict: expected what an optimizer's state_dict() returns")
        if state_dict["optimizer"] != self.rule.name:
            raise ArgumentError(
                f"load_state_dict: the state is of {state_dict['optimizer']!r}, this is {self.rule.name!r}"
            )
        theirs = [group["params"] for group in state_dict["param_groups"]]
        ours = [[self._names[id(parameter)] for parameter in group["params"]] for group in self.param_groups]
        if theirs != ours:
            differing = sorted(
                {name for group in theirs for name in group} ^ {name for group in ours for name in group}
            )
            raise ArgumentError(
                f"load_state_dict: the parameters differ: {', '.join(differing) or 'they are grouped otherwise'}"
            )
        self._compiled.clear()
        self._states = {
            name: {key: each.clone() for key, each in state.items()} for name, state in state_dict["state"].items()
        }
        self._steps, self._is_training = dict(state_dict["steps"]), state_dict["is_training"]
        for group, saved in zip(self.param_groups, state_dict["param_groups"], strict=True):
            group.update({key: value for key, value in saved.items() if key != "params"})

    # Parameters are known by their identity, which a copy or a pickle of the optimizer gives anew.

    def __getstate__(self) -> dict[str, Any]:
        self._note_steps()
        names = [[self._names[id(parameter)] for parameter in group["params"]] for group in self.param_groups]
        return {**vars(self), "_names": names, "_compiled": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        parameters = [parameter for group in self.param_groups for parameter in group["params"]]
        names = [name for group in state["_names"] for name in group]
        self._names = {id(parameter): name for parameter, name in zip(parameters, names, strict=True)}

    def __repr__(self) -> str:
        options = ", ".join(f"{key}={value}" for key, value in self.defaults.items())
        return f"{self.rule.name}({len(self._names)} parameters, {options})"


def _groups(model_or_parameters: Any) -> Iterator[Mapping[str, Any]]:
    if hasattr(model_or_parameters, "named_parameters"):
        yield {"params": list(model_or_parameters.named_parameters())}
        return
    if isinstance(model_or_parameters, Tensor):
        raise OperandError(
            "optim.create: expected a module or a list of parameters, met one tensor; put it into a list"
        )
    if not isinstance(model_or_parameters, Iterable):
        raise OperandError(f"optim.create: expected a module or parameters, met {type(model_or_parameters).__name__}")
    given = list(model_or_parameters)
    if given and isinstance(given[0], Mapping):
        yield from given
    else:
        yield {"params": given}


def _named(parameters: Any, start: int) -> Iterator[tuple[str, Any]]:
    for place, each in enumerate(parameters, start):
        yield each if isinstance(each, tuple) else (str(place), each)


def _check_option(key: str, value: Any, default: Any) -> None:
    """Refuse a value of another form than the default, and a number below 0 or without end."""
    if isinstance(default, str):
        if not isinstance(value, str):
            raise OperandError(f"optim.create: {key}={value!r}; expected a word such as {default!r}")
        return
    numbers, expected = (each if isinstance(each, (tuple, list)) else (each,) for each in (value, default))
    if not all(isinstance(number, (bool, int, float)) for number in numbers):
        raise OperandError(f"optim.create: {key}={value!r}; expected what can stand for the default {default!r}")
    if len(numbers) != len(expected):
        raise ArgumentError(f"optim.create: {key}={value!r}; expected {len(expected)} numbers")
    least = [0.0 if known >= 0 else -math.inf for known in expected]
    if not all(math.isfinite(number) and number >= low for number, low in zip(numbers, least, strict=True)):
        raise ArgumentError(f"optim.create: {key}={value}; expected finite numbers of at least 0")


def _checked(rule: UpdateRule, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options as given.

    Raises:
        ArgumentError: for a name that the rule does not know, and for a number that cannot be.
    """
    for key, value in options.items():
        if key not in rule.defaults:
            raise ArgumentError(f"optim.create: {rule.name} has no option {key!r}; {_nearest(key, rule.defaults)}")
        _check_option(key, value, rule.defaults[key])
    if any(not 0 <= beta < 1 for beta in options.get("betas", ())):
        raise ArgumentError(f"optim.create: betas={options['betas']}; expected numbers in [0, 1)")
    return dict(options)
