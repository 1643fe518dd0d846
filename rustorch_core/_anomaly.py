"""Anomaly mode: which op made the first NaN or infinity, and which line of the user's code called it."""

from __future__ import annotations

import linecache
import sys
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple

from rustorch_core import _dispatch
from rustorch_core._data_types import is_floating
from rustorch_core._tensor import Tensor
from rustorch_core.errors import AnomalyError

if TYPE_CHECKING:
    from rustorch_core._graph import Node

SendBack = Callable[..., Sequence[Any]]

_FINITE, _INFINITE, _NAN = range(3)
_WORDS = ("", "an infinity", "NaN")

#: The innermost block of anomaly mode, if there is one.
active: detect_anomaly | None = None


class _Call(NamedTuple):
    """What is remembered of a recorded call: the line that made it, and the worst that went in or came out."""

    line: str
    worst: int


class detect_anomaly:
    """A block in which the first op that makes NaN or an infinity raises, forward or backward.

    NaN counts as made where none went in, an infinity where nothing but finite numbers did; what came in from outside
    is nobody's fault. In a block everything is slow: each result is looked at, and a device is waited for each time.
    PyTorch: autograd.detect_anomaly.

    Arguments:
        infinity: whether infinities count as well as NaN.

    Raises:
        AnomalyError: names the op, what went in, and the line that called it; in the backward walk the line of the
            forward call, if that was in the block too.

    Example:
        >>> import rustorch as rt
        >>> with rt.detect_anomaly():
        ...     rt.log(rt.asarray([1.0, 0.0]))
        Traceback (most recent call last):
            ...
        rustorch_core.errors.AnomalyError: log: made an infinity of float32[2], at ...
    """

    def __init__(self, *, infinity: bool = True) -> None:
        self._infinity = infinity
        self._calls: weakref.WeakKeyDictionary[Node, _Call] = weakref.WeakKeyDictionary()

    def __enter__(self) -> None:
        global active
        self._outer, active = active, self
        self._thread = threading.get_ident()
        self._undo = _dispatch.watch(lambda op, inputs, attributes: None, self._after)

    def __exit__(self, *error: object) -> None:
        global active
        self._undo()
        del self._undo
        active = self._outer

    def _after(self, op: Any, inputs: tuple[Any, ...], attributes: Mapping[str, Any], output: Any, _: Any) -> None:
        if threading.get_ident() != self._thread or (caller := _caller()) is None:
            return
        line = _described(caller)
        parts = output if isinstance(output, tuple) else (output,)
        met, made = self._worst(inputs), self._worst(parts)
        if made > met:
            raise AnomalyError(f"{op.name}: made {_WORDS[made]} of {_shown(inputs)}, at {line}")
        for part in parts:
            if part._node is not None:
                self._calls[part._node] = _Call(line, max(met, made))

    def note(self, node: Node) -> None:
        """Remember which line a call was made at that is no op's."""
        if (caller := _caller()) is not None:
            self._calls[node] = _Call(_described(caller), _FINITE)

    def watching(self, send_back: SendBack) -> SendBack:
        """The step of the backward walk, looked at."""
        if threading.get_ident() != self._thread:
            return send_back

        def watched(node: Node, g: Any, is_selected: bool) -> Sequence[Any]:
            found = send_back(node, g, is_selected)
            made = self._worst(_tensors(found))
            call = self._calls.get(node, _Call("a line that ran outside of detect_anomaly()", _FINITE))
            if made > max(call.worst, self._worst(_tensors([g]))):
                assert node.op is not None
                raise AnomalyError(
                    f"{node.op.name}: its gradient, of shape {node.shape}, is sent on with {_WORDS[made]}; "
                    f"it was called at {call.line}"
                )
            return found

        return watched

    def _worst(self, tensors: Sequence[Any]) -> int:
        floating = [x for x in tensors if isinstance(x, Tensor) and is_floating(x._key.dtype)]
        if any(_holds(x, "isnan") for x in floating):
            return _NAN
        return _INFINITE if self._infinity and any(_holds(x, "isinf") for x in floating) else _FINITE


def _holds(x: Tensor, question: str) -> bool:
    """Whether the answer is yes for any element; asked natively, for these are no ops of the user's."""
    xp = x._key.namespace
    return bool(x.device.to_host(xp.any(getattr(xp, question)(x._array), axis=None)))


def _tensors(gradients: Sequence[Any]) -> list[Any]:
    return [part for each in gradients for part in getattr(each, "parts", {None: each}).values()]


def _shown(inputs: Sequence[Any]) -> str:
    return " and ".join(f"{x.dtype}{list(x.shape)}" for x in inputs if isinstance(x, Tensor))


def _caller() -> FrameType | None:
    """The innermost frame outside of this project; none for an op that another op, or a rule, is made of."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if not module.startswith(("rustorch.", "rustorch_")) and module != "rustorch":
            return frame
        if module == _dispatch.__name__ and frame.f_code.co_name == "run":
            return None
        if module == __name__ and frame.f_code.co_name == "watched":
            return None
        frame = frame.f_back
    return None


def _described(frame: FrameType) -> str:
    code = frame.f_code
    text = linecache.getline(code.co_filename, frame.f_lineno).strip()
    return f"{code.co_filename}:{frame.f_lineno}, in {code.co_name}{f': {text}' if text else ''}"
