"""The optimizer factory, and the optimizer that applies an update rule to many parameters."""

from __future__ import annotations

import difflib
import fnmatch
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from rustorch_core import _plugins
from rustorch_core._autograd import enable_grad, no_grad
from rustorch_core._compiled_steps import compiled_steps, offers
from rustorch_core._creation_functions import asarray
from rustorch_core._gradient_clipping import clip_grad_norm_, clip_grad_value_
from rustorch_core._mutation import overwrite
from rustorch_core._parameter_groups import FACTORS, Explanation, decays, parameter_groups
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

#: What `create` takes besides an optimizer's options.
_ARGUMENTS = ("rules", "layer_decay", "clip_norm", "clip_value")


def list_optimizers(filter: str = "*") -> list[str]:
    """Every name that `create` takes, those of plugins included; or those that a pattern such as "ada*" fits."""
    names = {*RULES, *(spec.name for _, spec in _plugins.facts("rustorch_optimizers"))}
    return sorted(fnmatch.filter(names, filter))


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
    raise ArgumentError(f"optim.create: there is no optimizer {name!r}; {nearest(name, list_optimizers())}")


def nearest(name: str, known: Iterable[str]) -> str:
    """What to say of an unknown name: the known one that is most like it, or all of them."""
    choices = list(known)
    near = difflib.get_close_matches(name, choices, n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(choices)}"


def create(
    name: str,
    model_or_parameters: Any,
    *,
    rules: Sequence[Mapping[str, Any]] = (),
    layer_decay: float | None = None,
    clip_norm: float | None = None,
    clip_value: float | None = None,
    **options: Any,
) -> Optimizer:
    """Make an optimizer; `explain()` of it tells what it does with each parameter, and why.

    Arguments:
        name: such as "adamw"; `optim.list()` names all.
        model_or_parameters: a module, tensors, (name, tensor) pairs, or dicts with "params" and options of their own.
            Of a module, norms, embeddings, biases and whatever is no matrix do not decay, and frozen parameters are
            left out; a frozen one in a list is an error.
        rules: dicts with the "type", "tag" or "name" (a regular expression) of parameters of a module, and options of
            their own, or the factors `lr_mult` and `wd_mult`; types come first, names have the last word.
        layer_decay: how much slower each layer of a module learns than the one behind it, such as 0.75.
        clip_norm: scale the gradients down to this norm before each step.
        clip_value: bring every element of the gradients within this size before each step.
        **options: as in PyTorch, such as `lr`; `optim.info(name).defaults` names all.

    Raises:
        ArgumentError: for an unknown name or option, a value out of range, a parameter given twice, or a rule that
            chooses none.
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
    groups, frozen = parameter_groups(rule, model_or_parameters, _checked(rule, options), rules, layer_decay)
    made: Optimizer = (rule.optimizer or Optimizer)(rule, groups, options)
    made.frozen = frozen
    for limit, value in (("clip_norm", clip_norm), ("clip_value", clip_value)):
        if value is not None:
            _check_option(limit, value, 1.0)
            if rule.optimizer is not None:
                raise ArgumentError(f"optim.create: {name} takes no {limit}, for it needs the gradients as they are")
            setattr(made, limit, value)
    return made


class Optimizer:
    """Applies an update rule to parameters; `param_groups` holds their options, as in PyTorch."""

    clip_norm: float | None = None
    clip_value: float | None = None

    def __init__(self, rule: UpdateRule, groups: Iterable[Mapping[str, Any]], options: Mapping[str, Any]) -> None:
        self.rule = rule
        self.frozen: list[str] = []
        self.defaults = {**rule.defaults, **_checked(rule, options)}
        self.param_groups: list[dict[str, Any]] = []
        self._names: dict[int, str] = {}
        self._states: dict[str, State] = {}
        self._steps: dict[str, int] = {}
        self._is_training = True
        #: By the place of a group what takes its steps in one call; None where nothing does.
        self._compiled: dict[int, CompiledSteps | None] = {}
        for group in groups:
            self.add_param_group(group)
        if not self._names:
            raise ArgumentError("optim.create: there are no parameters to optimize")

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Add parameters with options of their own.

        Arguments:
            group: a mapping with "params" and any options; `lr_mult` and `wd_mult` are factors of the learning rate
                and the weight decay, "reason" is what `explain` tells.
        """
        if "params" not in group:
            raise ArgumentError(f"optim.create: a group needs 'params', met {', '.join(map(repr, group))}")
        own = self._options_of(group)
        named, taken = list(_named(group["params"], len(self._names))), set(self._names.values())
        for name, parameter in named:
            if not isinstance(parameter, Tensor):
                raise OperandError(f"optim.create: expected parameters, met {type(parameter).__name__}")
            if not parameter.requires_grad or not parameter.is_leaf:
                raise OperandError(
                    f"optim.create: parameter {name!r} is no leaf that requires a gradient; "
                    "leave it out, or pass the module, of which frozen parameters are left out"
                )
            if id(parameter) in self._names:
                raise ArgumentError(f"optim.create: parameter {name!r} was given twice")
            if name in taken:
                raise ArgumentError(f"optim.create: two parameters are called {name!r}; give each its own name")
            self._names[id(parameter)] = name
            taken.add(name)
        self.param_groups.append({**self.defaults, **own, "params": [parameter for _, parameter in named]})

    def _options_of(self, group: Mapping[str, Any]) -> dict[str, Any]:
        """A group's own options, its factors applied to the learning rate and to weight decay."""
        beside = {key: group[key] for key in ("reason", "initial_lr") if key in group}
        left_out = ("params", *FACTORS, *beside)
        own = _checked(self.rule, {key: value for key, value in group.items() if key not in left_out}, FACTORS)
        for factor, keys in zip(FACTORS, (["lr"], decays(self.rule)), strict=True):
            if factor in group:
                _check_option(factor, group[factor], 1.0)
                own |= {key: own.get(key, self.defaults[key]) * group[factor] for key in keys}
        if group.get("lr_mult", 1.0) != 1.0:
            own["initial_lr"] = own["lr"]
        return {**own, **beside}

    def explain(self) -> Explanation:
        """What is done with each parameter, and why: a table where it is printed, `to_dict()` for programs."""
        groups = [
            {
                "group": place,
                "options": {key: value for key, value in group.items() if key not in ("params", "reason")},
                "parameters": [self._names[id(parameter)] for parameter in group["params"]],
                "elements": sum(parameter.size for parameter in group["params"]),
                "reason": group.get("reason", ""),
            }
            for place, group in enumerate(self.param_groups)
        ]
        return Explanation(self.rule.name, groups, list(self.frozen))

    def memory_estimate(self) -> int:
        """Bytes of the state of all parameters, once each of them has taken a step."""
        known: dict[Any, int] = {}

        def bytes_of(parameter: Tensor, place: int) -> int:
            kind = (place, parameter.shape, parameter.dtype)
            if kind not in known:
                state = begin(self.rule, parameter.detach(), self.param_groups[place])
                known[kind] = sum(part.nbytes for part in state.values())
            return known[kind]

        return sum(bytes_of(each, place) for place, group in enumerate(self.param_groups) for each in group["params"])

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self._parameters():
            parameter.grad = None

    def _parameters(self) -> list[Tensor]:
        return [parameter for group in self.param_groups for parameter in group["params"]]

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
        if self.clip_value is not None:
            clip_grad_value_(self._parameters(), self.clip_value)
        if self.clip_norm is not None:
            clip_grad_norm_(self._parameters(), self.clip_norm)
        for place, group in enumerate(self.param_groups):
            compiled = self._compiled[place] if place in self._compiled else self._compile(place, group)
            if compiled is None:
                self._update(group, group["params"])
                continue
            left = compiled(group)
            if left:
                self._note_steps()
                del self._compiled[place]  # made anew, for the steps taken are not what it counted
                self._update(group, [group["params"][each] for each in left])
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

    @no_grad()
    def _compile(self, place: int, group: Mapping[str, Any]) -> CompiledSteps | None:
        """One call for a group's steps, if there is one; it changes the states in place."""
        self._compiled[place] = None
        offered = offers(self.rule, group["params"])
        if not offered:
            return None
        names = [self._names[id(parameter)] for parameter in group["params"]]
        for name, parameter in zip(names, group["params"], strict=True):
            if name not in self._states:
                self._states[name] = begin(self.rule, parameter.detach(), group)
        states, taken = [self._states[name] for name in names], [self._steps.get(name, 0) for name in names]
        made = self._compiled[place] = compiled_steps(offered, group["params"], states, taken, group)
        return made

    def _note_steps(self) -> None:
        """Take over how many steps were taken in one call."""
        for place, compiled in self._compiled.items():
            if compiled is not None:
                for parameter, count in zip(self.param_groups[place]["params"], compiled.taken(), strict=True):
                    self._steps[self._names[id(parameter)]] = count

    @no_grad()
    def _update(self, group: Mapping[str, Any], parameters: Iterable[Tensor]) -> None:
        """Take the rule's own step with each of some parameters that has a gradient."""
        for parameter in parameters:
            gradient = parameter.grad
            if gradient is None:
                continue
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
            "clip_norm": self.clip_norm,
            "clip_value": self.clip_value,
            "param_groups": [{**each, "params": each_names} for each, each_names in zip(options, names, strict=True)],
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over a state that `state_dict` gave, onto the devices of the parameters; all of it, or nothing.

        Groups may have changed their order, and options their values, which are those of the state from then on.

        Raises:
            ArgumentError: where it belongs to another optimizer or to other parameters, or they are grouped otherwise,
                or its tensors have other names, shapes or dtypes; with what differs.
        """
        own = self.state_dict()
        if not isinstance(state_dict, Mapping) or state_dict.keys() != own.keys():
            raise ArgumentError("load_state_dict: expected what an optimizer's state_dict() returns")
        if state_dict["optimizer"] != self.rule.name:
            raise ArgumentError(
                f"load_state_dict: the state is of {state_dict['optimizer']!r}, this is {self.rule.name!r}"
            )
        options = self._matching_groups(own["param_groups"], state_dict["param_groups"])
        states, steps = state_dict["state"], state_dict["steps"]
        for group, saved in zip(self.param_groups, options, strict=True):
            for parameter in group["params"]:
                self._check_state(parameter, states, steps, {**group, **saved})
        self._compiled.clear()
        self._steps, self._is_training = dict(steps), state_dict["is_training"]
        devices = {self._names[id(parameter)]: parameter.device for parameter in self._parameters()}
        self._states = {
            name: {key: asarray(part, device=devices[name], copy=True) for key, part in state.items()}
            for name, state in states.items()
        }
        self.clip_norm, self.clip_value = state_dict["clip_norm"], state_dict["clip_value"]
        for group, saved in zip(self.param_groups, options, strict=True):
            group.update(saved)

    def _matching_groups(self, own: list[Any], theirs: list[Any]) -> list[dict[str, Any]]:
        """The options of a state's groups, in the order of our groups.

        Raises:
            ArgumentError: where they hold other parameters, or have other options.
        """
        names = [{name for group in groups for name in group["params"]} for groups in (own, theirs)]
        if names[0] != names[1]:
            missing, unknown = sorted(names[0] - names[1]), sorted(names[1] - names[0])
            raise ArgumentError(
                f"load_state_dict: the parameters differ: the state lacks {', '.join(missing) or 'nothing'}, "
                f"and has {', '.join(unknown) or 'nothing'} more"
            )
        found = []
        for group in own:
            matches = [each for each in theirs if set(each["params"]) == set(group["params"])]
            if not matches:
                raise ArgumentError(
                    f"load_state_dict: the parameters are grouped otherwise: {', '.join(group['params'])} make a group "
                    "here, and none of the state"
                )
            differing = sorted(key for key in self.defaults.keys() ^ matches[0].keys() if key in self.defaults)
            if differing:
                raise ArgumentError(f"load_state_dict: the state has no option {', '.join(differing)}")
            found.append({key: value for key, value in matches[0].items() if key != "params"})
        return found

    def _check_state(self, parameter: Tensor, states: Any, steps: Any, options: Mapping[str, Any]) -> None:
        """Refuse a state that is none of this parameter's.

        Raises:
            ArgumentError: for other names, shapes or dtypes.
        """
        name = self._names[id(parameter)]
        if name not in states:
            return
        expected = {key: _form(each) for key, each in begin(self.rule, parameter.detach(), options).items()}
        met = {key: _form(each) for key, each in states[name].items()}
        for key in sorted(expected.keys() | met.keys()):
            if expected.get(key) != met.get(key):
                raise ArgumentError(
                    f"load_state_dict: {name}: {key} is {met.get(key, 'missing')} in the state, "
                    f"expected {expected.get(key, 'nothing of that name')}"
                )
        if not isinstance(steps.get(name, 0), int):
            raise ArgumentError(f"load_state_dict: {name} took {steps[name]!r} steps, expected a number")

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


def _named(parameters: Any, start: int) -> Iterator[tuple[str, Any]]:
    for place, each in enumerate(parameters, start):
        yield each if isinstance(each, tuple) else (str(place), each)


def _form(x: Any) -> str:
    return f"{x.dtype} of shape {x.shape}" if isinstance(x, Tensor) else type(x).__name__


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


def _checked(rule: UpdateRule, options: Mapping[str, Any], beside: Iterable[str] = _ARGUMENTS) -> dict[str, Any]:
    """The options as given; `beside` are names of what is no option of the rule, but might have been meant.

    Raises:
        ArgumentError: for a name that the rule does not know, and for a number that cannot be.
    """
    for key, value in options.items():
        if key not in rule.defaults:
            raise ArgumentError(
                f"optim.create: {rule.name} has no option {key!r}; {nearest(key, [*rule.defaults, *beside])}"
            )
        _check_option(key, value, rule.defaults[key])
    if any(not 0 <= beta < 1 for beta in options.get("betas", ())):
        raise ArgumentError(f"optim.create: betas={options['betas']}; expected numbers in [0, 1)")
    return dict(options)
