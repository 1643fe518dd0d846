"""The hot path compiled, where a plugin brings it: an operator's shortcut, the call of an op, and the backward walk.

Core's own forms of these say what is to happen, and stay behind the compiled ones for all that those leave to them.
"""

from __future__ import annotations

import warnings
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from rustorch_core import _autograd, _define, _dispatch, _graph, _memory, _op, _plugins
from rustorch_core._devices import DispatchKey
from rustorch_core._tensor import Tensor

if TYPE_CHECKING:
    from rustorch_core.plugin import CompiledPath


def _run(function: Any, first: Any, second: Any) -> Any:
    """A frame of ours around a native function that C calls, so that this package's warnings filter holds for it."""
    return function(first, second)


#: What a compiled form is made with: core's classes, its state, and its own forms.
CORE = SimpleNamespace(
    # Classes, whose slots are read and written, and the state of all threads and of this one.
    key=DispatchKey,
    node=_graph.Node,
    op=_op.Op,
    saved=_memory.Saved,
    tensor=Tensor,
    dispatch=vars(_dispatch),
    order=_graph.order,
    recording=_graph._state,
    # Core's own forms.
    call=_dispatch.call,
    explain=_dispatch.explain,
    hooked=_autograd._hooked,
    keep=_op.Op.keep,
    note_view=_dispatch.note_view,
    outputs=_dispatch.outputs,
    record=_graph.record,
    run=_run,
    save=_memory.save,
    unbroadcast=_autograd.unbroadcast,
    # What a rule's parameters are called, and how what is kept becomes an argument where it is one already.
    vocabulary=_op.VOCABULARY,
    as_kept=_op.as_kept,
)

#: Where the compiled forms stand in core, and what stands there without them.
_PLACES = [
    (_dispatch, "call", _dispatch.call),
    (_graph, "record", _graph.record),
    (_autograd, "send", _autograd.send),
    (_autograd, "in_order", _autograd.in_order),
]


class _State:
    """The compiled path in use, if a plugin brings one, and whether the plugins have been asked."""

    path: CompiledPath | None = None
    asked = False


def when_bound(op: _op.Op) -> None:
    """Take a plugin's path up at the first use of any op, and each operator's at its own."""
    if not _State.asked:
        _State.asked = True
        _take_up()
    operate = _define.OPERATORS.get(op.operator or "")
    if _State.path is not None and operate is not None and op.keeps_dtype and op.rules:
        setattr(Tensor, f"__{op.operator}__", _State.path.operator(op, operate))


def _take_up() -> None:
    for record, fact in _plugins.facts("rustorch_call_paths"):
        try:
            path = _plugins.resolve(fact.load)(CORE)
        except Exception as error:  # whatever a plugin's import raises, core goes on without it
            record.fail(f"its call path cannot be loaded: {_plugins.describe(error)}", error)
            warnings.warn(f"plugin {record.name}: {record.reason}; running without it", UserWarning, stacklevel=3)
            continue
        _State.path = path
        for module, name, _ in _PLACES:
            setattr(module, name, getattr(path, name))
        return


def put_back() -> None:
    """Let all be core's own again."""
    _State.path = None
    for module, name, own in _PLACES:
        setattr(module, name, own)
    for operator, operate in _define.OPERATORS.items():
        setattr(Tensor, f"__{operator}__", operate)


@_plugins.on_refresh
def _ask_again() -> None:
    """After a change of plugins all is core's, until an op is next used."""
    put_back()
    _State.asked = False


_op.when_bound.append(when_bound)
