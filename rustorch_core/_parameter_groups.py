"""Which parameters of a model share options, and why: by module type first, then tags, then regular expressions."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rustorch_core._arguments import number
from rustorch_core._tensor import Tensor
from rustorch_core._update_rules import UpdateRule
from rustorch_core.errors import ArgumentError, OperandError

Group = Mapping[str, Any]

#: What a rule chooses parameters by; of several rules the later in this order has the last word.
SELECTORS = ("type", "tag", "name")
#: What a rule, or a group, may say besides an optimizer's options: factors of the learning rate and of weight decay.
FACTORS = ("lr_mult", "wd_mult")

#: The roles of modules that say none: by what their class, or one that it derives from, is called.
_ROLES = {"norm": re.compile(r"Norm(\dd)?$"), "embedding": re.compile(r"Embeddings?(Bag)?$")}
#: Tables that are parameters of a module of no role.
_TABLE = re.compile(r"embed|position")


@dataclass
class _Choice:
    """What was chosen for one parameter, and why."""

    name: str
    parameter: Tensor
    holders: list[tuple[Any, str]]
    options: dict[str, Any] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)

    def choose(self, reason: str, **options: Any) -> None:
        self.options.update(options)
        self.reasons.append(reason)


def decays(rule: UpdateRule) -> list[str]:
    """The names of a rule's options that shrink weights."""
    return [key for key, value in rule.defaults.items() if key.endswith("weight_decay") and not isinstance(value, bool)]


def role_of(module: Any) -> str | None:
    """What a module's parameters are for: "norm", "embedding", or None; as its class says, or is called."""
    stated: str | None = getattr(module, "role", None)
    if stated is not None:
        return stated
    names = [kind.__name__ for kind in type(module).__mro__]
    return next((role for role, pattern in _ROLES.items() if any(map(pattern.search, names))), None)


def parameter_groups(
    rule: UpdateRule,
    model_or_parameters: Any,
    options: Mapping[str, Any],
    rules: Sequence[Group] = (),
    layer_decay: float | None = None,
) -> tuple[list[Group], list[str]]:
    """The groups of an optimizer, and the names of frozen parameters that are left out.

    Arguments:
        rule: of the optimizer.
        model_or_parameters: a module, tensors, (name, tensor) pairs, or dicts with "params".
        options: the optimizer's.
        rules: dicts with a "type", "tag" or "name", and options or factors for the parameters that it chooses.
        layer_decay: the factor of the learning rate from each layer to the one before.
    """
    if hasattr(model_or_parameters, "named_parameters"):
        return _of_model(rule, model_or_parameters, {**rule.defaults, **options}, rules, layer_decay)
    if rules or layer_decay is not None:
        raise OperandError("optim.create: rules and layer_decay are for a model; pass the module itself")
    if isinstance(model_or_parameters, Tensor):
        raise OperandError(
            "optim.create: expected a module or a list of parameters, met one tensor; put it into a list"
        )
    if not isinstance(model_or_parameters, Iterable):
        raise OperandError(f"optim.create: expected a module or parameters, met {type(model_or_parameters).__name__}")
    given = list(model_or_parameters)
    return (given if given and isinstance(given[0], Mapping) else [{"params": given}]), []


def _of_model(
    rule: UpdateRule, model: Any, options: Group, rules: Sequence[Group], layer_decay: float | None
) -> tuple[list[Group], list[str]]:
    named = list(model.named_parameters())
    frozen = [name for name, parameter in named if not parameter.requires_grad]
    if named and len(frozen) == len(named):
        raise ArgumentError(f"optim.create: all {len(named)} parameters of {type(model).__name__} are frozen")
    holders = _holders(model)
    choices = [
        _Choice(name, parameter, holders.get(id(parameter), [(None, name.rpartition(".")[2])]))
        for name, parameter in named
        if parameter.requires_grad
    ]
    if any(options[key] for key in decays(rule)):
        _spare_from_decay(choices)
    if "use_muon" in rule.defaults:
        _spare_from_muon(choices)
    for each in sorted(rules, key=_place_of_selector):
        _apply(each, choices, rule)
    if layer_decay is not None:
        _decay_by_layer(model, choices, number("optim.create", "layer_decay", layer_decay))
    return _gathered(choices), frozen


def _holders(model: Any) -> dict[int, list[tuple[Any, str]]]:
    """By a parameter's identity every module that holds it, and what it is called there."""
    found: dict[int, list[tuple[Any, str]]] = {}
    for _, module in model.named_modules() if hasattr(model, "named_modules") else ():
        for name, value in vars(module).items():
            if isinstance(value, Tensor):
                found.setdefault(id(value), []).append((module, name))
    return found


def _spare_from_decay(choices: list[_Choice]) -> None:
    """Norms, embeddings, biases and whatever is no matrix do not decay; the tags "decay" and "no_decay" overrule."""
    for choice in choices:
        tags = getattr(choice.parameter, "tags", ())
        reason = "tag no_decay" if "no_decay" in tags else _reason_against_decay(choice)
        if reason is not None and "decay" not in tags:
            choice.choose(f"no decay: {reason}", wd_mult=0.0)
        elif "decay" in tags:
            choice.choose("tag decay")


def _reason_against_decay(choice: _Choice) -> str | None:
    for module, _ in choice.holders:
        role = role_of(module)
        if role is not None:
            return f"{role} ({type(module).__name__})"
    name = choice.holders[0][1]
    if name.endswith("bias"):
        return "bias"
    if _TABLE.search(name):
        return f"a table, {name}"
    return "no matrix" if choice.parameter.ndim < 2 else None


def _spare_from_muon(choices: list[_Choice]) -> None:
    """Embeddings and the last matrix, which makes the output, are AdamW's.

    Source: Jordan et al. 2024, kellerjordan.github.io/posts/muon.
    """
    matrices = [choice for choice in choices if choice.parameter.ndim == 2]
    tables = [each for each in matrices if any(role_of(module) == "embedding" for module, _ in each.holders)]
    for choice in tables:
        choice.choose("AdamW: embedding", use_muon=False)
    hidden = [choice for choice in matrices if choice not in tables]
    if len(hidden) > 1:
        hidden[-1].choose("AdamW: the last matrix", use_muon=False)


def _place_of_selector(rule: Group) -> int:
    found = [name for name in SELECTORS if isinstance(rule, Mapping) and name in rule]
    if len(found) != 1:
        raise ArgumentError(f"optim.create: a rule has one of {', '.join(map(repr, SELECTORS))}, met {rule!r}")
    return SELECTORS.index(found[0])


def _apply(group_rule: Group, choices: list[_Choice], rule: UpdateRule) -> None:
    selector = SELECTORS[_place_of_selector(group_rule)]
    wanted = group_rule[selector]
    options = {key: value for key, value in group_rule.items() if key != selector}
    chosen = [choice for choice in choices if _is_chosen(choice, selector, wanted)]
    if not chosen:
        raise ArgumentError(f"optim.create: no parameter has the {selector} {wanted!r} that a rule names")
    told = wanted.__name__ if isinstance(wanted, type) else wanted
    for choice in chosen:
        choice.choose(f"{selector} {told}: " + ", ".join(f"{key}={value}" for key, value in options.items()), **options)


def _is_chosen(choice: _Choice, selector: str, wanted: Any) -> bool:
    if selector == "tag":
        return wanted in getattr(choice.parameter, "tags", ())
    if selector == "name":
        try:
            return re.search(wanted, choice.name) is not None
        except (re.error, TypeError) as error:
            raise ArgumentError(f"optim.create: {wanted!r} is no regular expression: {error}") from error
    if not isinstance(wanted, (type, tuple)):
        raise OperandError(f"optim.create: the type of a rule is a class of modules, met {wanted!r}")
    return any(isinstance(module, wanted) for module, _ in choice.holders)


# Layers


def _decay_by_layer(model: Any, choices: list[_Choice], layer_decay: float) -> None:
    """Each layer learns `layer_decay` times as fast as the one behind it.

    Source: Clark et al. 2020 (ELECTRA), arXiv:2003.10555.
    """
    if not 0 < layer_decay <= 1:
        raise ArgumentError(f"optim.create: layer_decay is above 0 and at most 1, met {layer_decay}")
    layers = layers_of(model)
    if len(layers) < 2:
        warnings.warn(
            f"optim.create: layer_decay={layer_decay} changes nothing, for {type(model).__name__} has one layer; "
            "give it a method layers() that returns its layers in their order",
            stacklevel=4,
        )
    places = {id(each): place for place, layer in reversed(list(enumerate(layers))) for each in _parameters(layer)}
    for choice in choices:
        place = places.get(id(choice.parameter), 0)
        factor = choice.options.get("lr_mult", 1.0) * layer_decay ** (max(len(layers), 1) - 1 - place)
        choice.choose(f"layer {place + 1} of {len(layers)}", lr_mult=factor)


def layers_of(model: Any) -> list[list[Any]]:
    """The layers from input to output, each a list of modules; a norm belongs to the layer before it."""
    if callable(getattr(model, "layers", None)):
        return [[layer] for layer in model.layers()]
    found: list[list[Any]] = []
    for child in _expanded(model):
        if found and role_of(child) == "norm":
            found[-1].append(child)
        elif any(True for _ in child.parameters()):
            found.append([child])
    return layers_of(found[0][0]) if len(found) == 1 and any(True for _ in found[0][0].children()) else found


def _expanded(module: Any) -> Iterator[Any]:
    """The modules directly below, and for a list of modules those in it."""
    for _, child in module.named_children():
        names = [name for name, _ in child.named_children()]
        yield from _expanded(child) if names and all(map(str.isdigit, names)) else [child]


def _parameters(layer: list[Any]) -> Iterator[Any]:
    return (parameter for module in layer for parameter in module.parameters())


# Groups


def _gathered(choices: list[_Choice]) -> list[Group]:
    """One group for each set of options, in the order of its first parameter."""
    found: dict[str, list[_Choice]] = {}
    for choice in choices:
        found.setdefault(repr(sorted(choice.options.items())), []).append(choice)
    return [
        {
            **alike[0].options,
            "params": [(choice.name, choice.parameter) for choice in alike],
            "reason": _told(alike),
        }
        for alike in found.values()
    ]


def _told(choices: list[_Choice]) -> str:
    """The reasons of a group, with how many of its parameters each is for, where it is not all."""
    counts = Counter(reason for choice in choices for reason in choice.reasons)
    return "; ".join(reason if count == len(choices) else f"{reason} ({count})" for reason, count in counts.items())


@dataclass(frozen=True)
class Explanation:
    """What an optimizer does with each parameter, and why; `print` it for a table.

    Arguments:
        optimizer: the rule's name.
        groups: for each its number, options, parameters' names, elements and the reason.
        frozen: the parameters of the model that are left out, for they need no gradient.
    """

    optimizer: str
    groups: list[dict[str, Any]]
    frozen: list[str]

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values, for JSON."""
        return {"optimizer": self.optimizer, "groups": self.groups, "frozen": self.frozen}

    def __str__(self) -> str:
        columns = {"group": "group", "lr": "lr", "weight_decay": "decay", "tensors": "tensors", "elements": "elements"}
        rows = [[*columns.values(), "why", "such as"]]
        for group in self.groups:
            cells = {**group, **group["options"], "tensors": len(group["parameters"])}
            rows.append(
                [
                    *(_shown(cells.get(name, "-")) for name in columns),
                    group["reason"] or "as given",
                    ", ".join(group["parameters"][:2]),
                ]
            )
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        lines += [f"frozen, and left out: {', '.join(self.frozen)}"] if self.frozen else []
        return "\n".join([self.optimizer, *lines])

    __repr__ = __str__


def _shown(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
