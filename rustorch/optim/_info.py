"""What is known of an optimizer before it is made."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rustorch_core import _plugins
from rustorch_core._compiled_steps import STEP_OF
from rustorch_core._creation_functions import zeros
from rustorch_core._data_types import float32
from rustorch_core._optimizers import create, rule_of
from rustorch_core._parameter_groups import decays
from rustorch_core._update_rules import UpdateRule, begin
from rustorch_core.errors import ArgumentError

#: The sides of the matrix whose state is measured.
_SIDE = 64


@dataclass(frozen=True)
class Info:
    """What is known of an optimizer; `print` it.

    Arguments:
        name: that `create` takes.
        source: the paper.
        defaults: every option with its default value.
        state: what is kept of each float32 parameter by the defaults, by name, in bytes for an element of a matrix.
        more_state: by the option that adds it what is kept besides, as `state`.
        decays: the options that shrink weights, from which norms, embeddings and biases are spared.
        needs_closure: whether `step` must be given a function that computes the loss.
        turns: whether `eval()` and `train()` change the parameters.
        is_grouped: whether groups may have options of their own.
        compiled: the devices on which one call takes the step of all parameters: dtypes and plugin of each.
    """

    name: str
    source: str
    defaults: Mapping[str, Any]
    state: dict[str, float]
    more_state: dict[str, dict[str, float]]
    decays: tuple[str, ...]
    needs_closure: bool
    turns: bool
    is_grouped: bool
    compiled: tuple[tuple[str, tuple[str, ...], str], ...]

    def __str__(self) -> str:
        spared = f"; norms, embeddings and biases are spared {' and '.join(self.decays)}" if self.decays else ""
        more = [f"{option} adds {_told(state)}" for option, state in self.more_state.items()]
        compiled = [f"{device} ({', '.join(dtypes)}; plugin {plugin})" for device, dtypes, plugin in self.compiled]
        rows = {
            "source": self.source,
            "options": ", ".join(f"{key}={value!r}" for key, value in self.defaults.items()),
            "state": "; ".join([_told(self.state), *more]),
            "groups": f"options of their own{spared}" if self.is_grouped else "one, of all parameters",
            "step": "needs a closure" if self.needs_closure else "takes a closure, or none",
            "compiled": "; ".join(compiled) or "nowhere: the rule's own ops run",
            "evaluation": "call eval() before, and train() after" if self.turns else "",
        }
        lines = [
            textwrap.fill(f"{name:12}{text}", 110, subsequent_indent=" " * 12) for name, text in rows.items() if text
        ]
        return "\n".join([self.name, *lines])

    __repr__ = __str__


def info(name: str) -> Info:
    """What is known of an optimizer; print it for a summary.

    Arguments:
        name: such as "adamw"; `optim.list()` names all.

    Raises:
        ArgumentError: for an unknown name, with the nearest known one.

    Example:
        >>> import rustorch as rt
        >>> rt.optim.info("lion").defaults["betas"], rt.optim.info("lion").state
        ((0.9, 0.99), {'mean': 4.0})
    """
    rule = rule_of(name)
    own_class = rule.optimizer is not None
    state = _state(rule, rule.defaults)
    kernels = _plugins.facts("rustorch_kernels")
    compiled = [(each.device, tuple(sorted(each.dtypes)), by.name) for by, each in kernels if each.op == STEP_OF + name]
    return Info(
        name=rule.name,
        source=rule.source,
        defaults=rule.defaults,
        state=state,
        more_state=_more_state(rule, state),
        decays=tuple(decays(rule)),
        needs_closure=own_class,
        turns=rule.to_evaluation is not None,
        is_grouped=not own_class,
        compiled=tuple(sorted(compiled)),
    )


def _state(rule: UpdateRule, options: Mapping[str, Any]) -> dict[str, float]:
    matrix = zeros((_SIDE, _SIDE), dtype=float32)
    if rule.optimizer is not None:  # which keeps vectors of all parameters
        return {"memory": create(rule.name, [matrix.requires_grad_()]).memory_estimate() / matrix.size}
    state = begin(rule, matrix, options)
    return {key: part.nbytes / _SIDE**2 for key, part in state.items()}


def _more_state(rule: UpdateRule, state: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """What options that are off by default add to the state, each put on alone."""
    found = {}
    for key, value in rule.defaults.items():
        if value is False or (value == 0 and isinstance(value, float)):
            on = True if value is False else 0.5
            try:
                more = _state(rule, {**rule.defaults, key: on})
            except ArgumentError:  # not alone
                continue
            if more.keys() - state.keys():
                found[key] = {name: size for name, size in more.items() if name not in state}
    return found


def _told(state: Mapping[str, float]) -> str:
    """What is kept, and how many bytes an element takes; a row or a column takes none to speak of."""
    if not state:
        return "none"
    size = sum(round(each) for each in state.values())
    return f"{', '.join(state)} ({f'{size} bytes' if size else 'less than 1 byte'} an element)"
