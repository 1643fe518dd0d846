"""Anomaly mode: which op made the first NaN or infinity, and which line of the user's code called it."""

from __future__ import annotations

import linecache
import sys
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

from rustorch_core import _dispatch
from rustorch_core._data_types import is_floating
from rustorch_core._tensor import Tensor
from rustorch_core.errors import AnomalyError

if TYPE_CHECKING:
    from rustorch_core._graph import Node

SendBack = Callable[..., Sequence[Any]]

#: The innermost block of anomaly mode, if there is one.
active: detect_anomaly | None = None


class detect_anomaly:
    """A block in which the first op that makes NaN or an infinity of finite numbers raises, forward or backward.

    An op that makes one of others, which came in from outside, does not. In a block everything is slow: each result is
    looked at, and a device is waited for each time. PyTorch: autograd.detect_anomaly.

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
        self._lines: weakref.WeakKeyDictionary[Node, str] = weakref.WeakKeyDictionary()

    def __enter__(self) -> None:
        global active
        self._outer, active = active, self
        self._thread = threading.get_ident()
        self._undo = _dispatch.watch(lambda op, inputs, attributes: None, self._after)

    def __exit__(self, *error: object) -> None:
        global active
        self._undo()
        active = self._outer

    def _after(self, op: Any, inputs: tuple[Any, ...], attributes: Mapping[str, Any], output: Any, _: Any) -> None:
        if threading.get_ident() != self._thread:
            return
        caller = _caller()
        if caller is None:
            return
        line = _described(caller)
        parts = output if isinstance(output, tuple) else (output,)
        for part in parts:
            if part._node is not None:
                self._lines[part._node] = line
        made = self._anomaly(parts)
        if made and not self._anomaly(inputs):
            raise AnomalyError(f"{op.name}: made {made} of {_met(inputs)}, at {line}")

    def note(self, node: Node) -> None:
        """Remember which line a call was made at that is no op's."""
        if (caller := _caller()) is not None:
            self._lines[node] = _described(caller)

    def watching(self, send_back: SendBack) -> SendBack:
        """The step of the backward walk, looked at."""
        if threading.get_ident() != self._thread:
            return send_back

        def watched(node: Node, g: Any, is_selected: bool) -> Sequence[Any]:
            found = send_back(node, g, is_selected)
            made = self._anomaly(_tensors(found))
            if made and not self._anomaly(_tensors([g])):
                assert node.op is not None
                where = self._lines.get(node, "a line that ran outside of detect_anomaly()")
                raise AnomalyError(
                    f"{node.op.name}: its gradient, from a finite one of shape {node.shape}, has {made}; "
                    f"it was called at {where}"
                )
            return found

        return watched

    def _anomaly(self, tensors: Sequence[Any]) -> str:
        """The worst of what stands in tensors, in words; nothing for finite ones."""
        floating = [x for x in tensors if isinstance(x, Tensor) and is_floating(x._key.dtype)]
        for x in floating:
            xp = x._key.namespace
            if bool(xp.any(xp.isnan(x._array))):
                return "NaN"
        for x in floating if self._infinity else ():
            xp = x._key.namespace
            if bool(xp.any(xp.isinf(x._array))):
                return "an infinity"
        return ""


def _tensors(gradients: Sequence[Any]) -> list[Any]:
    return [part for each in gradients for part in getattr(each, "parts", {None: each}).values()]


def _met(inputs: Sequence[Any]) -> str:
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
