"""Suggestions: which optimizer for a model, with which numbers, and the paper that each of them comes from."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass
from typing import Any

from rustorch.optim import lr_scheduler
from rustorch.optim._suggestion_rules import CANDIDATES, SETTINGS, Facts, Rule
from rustorch_core._arguments import integer
from rustorch_core._optimizers import Optimizer, create, nearest
from rustorch_core._parameter_groups import layers_of, role_of
from rustorch_core.errors import ArgumentError, OperandError

TASKS = ("scratch", "pretrain", "finetune")


@dataclass(frozen=True)
class Suggestion:
    """An optimizer with all its settings, and the reasons for them.

    Arguments:
        optimizer: its name.
        lr: the learning rate, the highest of the schedule.
        options: its other options, by name.
        rules: for groups of parameters.
        layer_decay: how much slower each layer learns than the one behind it, or None.
        schedule: the name of a class of `lr_scheduler` and its arguments, or None.
        warmup_steps: how many steps warm up.
        clip_norm: the largest norm of the gradients, or None.
        memory: bytes of the optimizer's state.
        confidence: between 0 and 1, to rank by.
        why: a sentence for each choice, with its source.
        sources: all of them.
    """

    optimizer: str
    lr: float
    options: dict[str, Any]
    rules: tuple[dict[str, Any], ...]
    layer_decay: float | None
    schedule: dict[str, Any] | None
    warmup_steps: int
    clip_norm: float | None
    memory: int
    confidence: float
    why: tuple[str, ...]
    sources: tuple[str, ...]

    def create(self, model: Any) -> tuple[Optimizer, lr_scheduler.LRScheduler | None]:
        """The optimizer for a model and its schedule, or None where it has none."""
        settings = {"rules": self.rules, "layer_decay": self.layer_decay, "clip_norm": self.clip_norm}
        optimizer = create(self.optimizer, model, lr=self.lr, **settings, **self.options)
        if self.schedule is None:
            return optimizer, None
        arguments = {key: value for key, value in self.schedule.items() if key != "name"}
        return optimizer, getattr(lr_scheduler, self.schedule["name"])(optimizer, **arguments)

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values, for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return str(Suggestions([self]))


class Suggestions(list[Suggestion]):
    """Suggestions, best first; `print` them for a table and the reasons."""

    def to_dict(self) -> list[dict[str, Any]]:
        """All of them as plain values, for JSON."""
        return [each.to_dict() for each in self]

    def __str__(self) -> str:
        rows = [("", "optimizer", "lr", "decay", "schedule", "warm-up", "clip", "state", "confidence")]
        rows += [_row(place, each) for place, each in enumerate(self, 1)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        for place, each in enumerate(self, 1):
            shown = ", ".join(f"{key}={value!r}" for key, value in _arguments(each).items())
            lines += ["", f"{place}  create({each.optimizer!r}, model, {shown})", *(f"   - {why}" for why in each.why)]
        return "\n".join([*lines, "", "Rules of thumb from papers; `optim.lr_find` measures the rate."])

    __repr__ = __str__


def _arguments(suggestion: Suggestion) -> dict[str, Any]:
    """What `create` takes besides name and model."""
    beside = {"layer_decay": suggestion.layer_decay, "clip_norm": suggestion.clip_norm}
    given = {"lr": float(f"{suggestion.lr:.3g}"), **suggestion.options}
    given |= {"rules": list(suggestion.rules)} if suggestion.rules else {}
    return given | {key: value for key, value in beside.items() if value is not None}


def _row(place: int, each: Suggestion) -> tuple[str, ...]:
    schedule = each.schedule and f"{each.schedule['decay']} to {each.schedule['end_factor']:g}"
    return (
        str(place),
        each.optimizer,
        f"{each.lr:.2g}",
        f"{each.options.get('weight_decay', '-')}",
        schedule or "-",
        f"{each.warmup_steps or '-'}",
        f"{each.clip_norm or '-'}",
        _bytes(each.memory),
        f"{each.confidence:.0%}",
    )


def _bytes(count: float) -> str:
    power = min(int(math.log10(max(count, 1)) / 3), 4)
    return f"{count / 1000**power:.3g} {('B', 'kB', 'MB', 'GB', 'TB')[power]}"


def suggest(
    model: Any, task: str = "scratch", *, batch_size: int, steps: int, dataset_size: int | None = None
) -> Suggestions:
    """Propose optimizers for a model, with all their settings, the reasons, and the source of each rule.

    Nothing is changed, and nothing applied: `suggestion.create(model)` does that. The same arguments give the same
    suggestions. They are rules of thumb; `lr_find` measures.

    Arguments:
        model: a module, of which kinds of layers, sizes, dtypes and frozen parameters are looked at.
        task: "scratch", "pretrain", for data of which little is seen twice, or "finetune".
        batch_size: samples in a step.
        steps: of the whole training.
        dataset_size: how many samples there are; None for unknown.

    Returns:
        a list of `Suggestion`, best first; print it for a table and the reasons.

    Raises:
        ArgumentError: for an unknown task, with the nearest known one, a number below 1, and a model that is frozen.
        OperandError: for what is no module.

    Example:
        >>> import rustorch as rt
        >>> model = rt.nn.Sequential(rt.nn.Linear(8, 32), rt.nn.ReLU(), rt.nn.Linear(32, 2))
        >>> best = rt.optim.suggest(model, batch_size=128, steps=1000)[0]
        >>> best.optimizer, best.lr, best.warmup_steps
        ('adamw', 0.001, 100)
        >>> optimizer, schedule = best.create(model)
    """
    if task not in TASKS:
        raise ArgumentError(f"optim.suggest: there is no task {task!r}; {nearest(str(task), TASKS)}")
    facts = _facts(model, task, batch_size, steps, dataset_size)
    rules = [rule for rule in CANDIDATES if rule.applies(facts)]
    made = [_made(model, rule, facts) for rule in rules]
    return Suggestions(sorted(made, key=lambda each: -each.confidence))


def _made(model: Any, candidate: Rule, facts: Facts) -> Suggestion:
    name = candidate.optimizers
    found, rules = _settings(name, candidate, facts)
    lr, warmup, confidence = found.pop("lr"), found.pop("warmup", 0), found.pop("confidence")
    schedule = _schedule(found.pop("schedule", None), warmup, facts.steps)
    beside = {"rules": (), "layer_decay": None, "clip_norm": None}
    settings = {key: found.pop(key, default) for key, default in beside.items()}
    options = {_spelt(name, key): value for key, value in found.items()}
    if schedule is None and warmup:
        options["warmup_steps"] = warmup
    return Suggestion(
        optimizer=name,
        lr=lr,
        options=options,
        **settings,
        schedule=schedule,
        warmup_steps=warmup,
        memory=create(name, model, lr=lr, **settings, **options).memory_estimate(),
        confidence=round(min(max(confidence, 0.05), 0.95), 2),
        why=tuple(f"{rule.why.format(**_words(facts))} ({rule.source})" for rule in rules),
        sources=tuple(dict.fromkeys(rule.source for rule in rules)),
    )


def _settings(name: str, candidate: Rule, facts: Facts) -> tuple[dict[str, Any], list[Rule]]:
    """What the rules set for an optimizer, and those that nothing overruled."""
    found: dict[str, Any] = {"lr": 0.0, "confidence": 0.0}
    deciding: dict[str, list[Rule]] = {}
    for rule in (candidate, *SETTINGS):
        if (name not in rule.optimizers.split() and rule.optimizers != "*") or not rule.applies(facts):
            continue
        for key, value in (rule.sets(facts) if callable(rule.sets) else rule.sets).items():
            match key:
                case "lr_times":
                    found["lr"] *= value
                    deciding["lr"].append(rule)
                case "confidence":
                    found["confidence"] += value
                    deciding.setdefault("confidence", []).append(rule)
                case _:
                    found[key], deciding[key] = value, [rule]
    decided = {id(rule) for rules in deciding.values() for rule in rules}
    return found, [rule for rule in (candidate, *SETTINGS) if id(rule) in decided]


def _words(facts: Facts) -> dict[str, Any]:
    return {**vars(facts), "epochs": facts.epochs}


def _spelt(name: str, option: str) -> str:
    """What Muon leaves to AdamW takes AdamW's options under names of their own."""
    return f"adamw_{option}" if name == "muon" and option in ("betas", "eps") else option


def _schedule(decay: tuple[str, float] | None, warmup: int, steps: int) -> dict[str, Any] | None:
    if decay is None:
        return None
    kind, end_factor = decay
    return {
        "name": "WarmupStableDecayLR",
        "warmup_iters": warmup,
        "stable_iters": 0,
        "decay_iters": steps - warmup,
        "decay": kind,
        "end_factor": end_factor,
    }


# What a model is

#: Kinds of models, by what the classes of their modules are called.
_KINDS = {
    "transformer": re.compile(r"Attention|Attn|Transformer"),
    "convolutional": re.compile(r"Conv(Transpose)?\dd|Conv(olution)?$"),
    "recurrent": re.compile(r"RNN|LSTM|GRU|Recurrent"),
}


def _facts(model: Any, task: str, batch_size: Any, steps: Any, dataset_size: Any) -> Facts:
    if not (hasattr(model, "named_parameters") and hasattr(model, "modules")):
        raise OperandError(f"optim.suggest: expected a module, whose layers tell, met {type(model).__name__}")
    counts = {"batch_size": batch_size, "steps": steps, "dataset_size": 1 if dataset_size is None else dataset_size}
    for name, value in counts.items():
        if integer("optim.suggest", name, value) < 1:
            raise ArgumentError(f"optim.suggest: {name} is at least 1, met {value}")
    muon = create("muon", model)  # refuses a model of which nothing is to be trained
    hidden = [p for group in muon.param_groups if group["use_muon"] for p in group["params"] if p.ndim == 2]
    trained = [parameter for group in muon.param_groups for parameter in group["params"]]
    if sum(each.ndim == 2 for each in trained) == 1:  # which makes the output
        hidden = []
    named, elements = list(model.named_parameters()), sum(each.size for each in trained)
    dtypes = {str(parameter.dtype) for parameter in trained}
    return Facts(
        task=task,
        kind=_kind(model),
        elements=sum(each.size for _, each in named),
        trained=elements / max(sum(each.size for _, each in named), 1),
        matrices=sum(each.size for each in hidden) / max(elements, 1),
        layers=len(layers_of(model)),
        half=next((half for half in ("float16", "bfloat16") if half in dtypes), ""),
        is_low_rank=any("lora_B" in name for name, parameter in named if parameter.requires_grad),
        batch_size=integer("optim.suggest", "batch_size", batch_size),
        steps=integer("optim.suggest", "steps", steps),
        dataset_size=dataset_size,
    )


def _kind(model: Any) -> str:
    """The kind of a model: the first that a module is of; "dense" where there is none."""
    modules = list(model.modules())
    names = [kind.__name__ for module in modules for kind in type(module).__mro__]
    for kind, pattern in _KINDS.items():
        if any(map(pattern.search, names)):
            return kind
    kernels = [
        value
        for module in modules
        if role_of(module) is None
        for value in vars(module).values()
        if getattr(value, "requires_grad", False) and getattr(value, "ndim", 0) >= 3
    ]
    return "convolutional" if kernels else "dense"
