"""One call for the step of all parameters of a group, where a plugin offers it for their device and dtype."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from rustorch_core import _plugins
from rustorch_core._memory import Buffer, Family, before_write
from rustorch_core._tensor import Tensor
from rustorch_core._update_rules import UpdateRule

if TYPE_CHECKING:
    from rustorch_core.plugin import CompiledSteps

#: What a plugin's step is made with: the classes whose slots it reads, and what is to be called before a write.
CORE = SimpleNamespace(tensor=Tensor, family=Family, buffer=Buffer, before_write=before_write)


#: What the kernel of an optimizer's step is called, before the optimizer's name.
STEP_OF = "optim."
Offer = tuple[Any, Any]


def offers(rule: UpdateRule, parameters: Sequence[Tensor]) -> list[Offer]:
    """The plugins, best first, that have a kernel called `optim.` and the rule's name for all these parameters."""
    keys = {parameter._key for parameter in parameters}
    if len(keys) != 1:
        return []
    key = keys.pop()
    found = [
        (record, kernel)
        for record, kernel in _plugins.facts("rustorch_kernels")
        if (kernel.op, kernel.device) == (STEP_OF + rule.name, key.device.type) and key.dtype.name in kernel.dtypes
    ]
    return sorted(found, key=lambda one: (-one[1].rank, one[0].name))


def compiled_steps(
    offered: Sequence[Offer],
    parameters: Sequence[Tensor],
    states: Sequence[Mapping[str, Tensor]],
    taken: Sequence[int],
    options: Mapping[str, Any],
) -> CompiledSteps | None:
    """The steps of the first plugin that serves these options.

    Arguments:
        offered: what `offers` found.
        parameters: those of one group.
        states: of each; they are changed in place.
        taken: how many steps each has taken.
        options: of the group.
    """
    for record, kernel in offered:
        try:
            steps: CompiledSteps = _plugins.resolve(kernel.load)(CORE, parameters, states, taken, options)
        except NotImplementedError:
            continue
        except Exception as error:  # whatever a plugin's import raises, the rule itself goes on
            record.fail(f"the kernel {kernel.op} cannot be used: {_plugins.describe(error)}", error)
            warnings.warn(f"plugin {record.name}: {record.reason}; running without it", UserWarning, stacklevel=4)
            continue
        return steps
    return None
