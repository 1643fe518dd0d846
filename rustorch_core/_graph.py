"""The recorded graph: one node for each op whose result has a gradient, holding no more than its rules ask for.

Nodes point to the nodes of their inputs, never back to tensors, so the graph is free of cycles and falls with its last
tensor.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from typing import TYPE_CHECKING, Any

from rustorch_core._arguments import flag
from rustorch_core._data_types import is_floating
from rustorch_core._memory import stand_alone
from rustorch_core.errors import DTypeError, GradientError

if TYPE_CHECKING:
    from rustorch_core._devices import DispatchKey
    from rustorch_core._op import Op
    from rustorch_core._tensor import Tensor

#: Numbers the recorded calls, so that a walk can meet the latest first.
order = count()
_NO_ATTRIBUTES: Mapping[str, Any] = {}


class _Recording(threading.local):
    """Whether ops are recorded, for each thread."""

    on = True


_state = _Recording()


def recording() -> bool:
    """Whether ops on this thread are recorded now."""
    return _state.on


class set_recording:
    """Turn recording on or off for a block, or for a function that it decorates."""

    def __init__(self, on: bool) -> None:
        self._on = on
        self._before: list[bool] = []

    def __enter__(self) -> None:
        self._before.append(_state.on)
        _state.on = self._on

    def __exit__(self, *error: object) -> None:
        _state.on = self._before.pop()

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        from functools import wraps

        @wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with set_recording(self._on):
                return function(*args, **kwargs)

        return wrapped


class Node:
    """One recorded call: the op, the nodes of its inputs, and what its rules keep. A leaf has no op.

    A call with several outputs has a node for each, which differ in their `index`: gradients that enter at different
    outputs add up, so each may go its own way.
    """

    __slots__ = (
        "__weakref__",
        "attributes",
        "hooks",
        "index",
        "key",
        "op",
        "order",
        "parents",
        "receiver",
        "saved",
        "shape",
    )

    def __init__(
        self,
        op: Op | None,
        shape: tuple[int, ...],
        key: DispatchKey,
        parents: tuple[Node | None, ...] = (),
        saved: Any = (),
        attributes: Mapping[str, Any] = _NO_ATTRIBUTES,
        index: int = 0,
    ) -> None:
        self.op = op
        self.shape = shape
        self.key = key
        self.order = next(order)
        self.parents = parents
        #: For each parent what the rule for it keeps, or None; nothing once the walk has passed.
        self.saved: Any = saved
        self.attributes = attributes
        self.index = index
        #: The tensor whose `.grad` the gradient goes to: a leaf, or one that was told to retain it.
        self.receiver: weakref.ref[Tensor] | None = None
        self.hooks: dict[int, Callable[[Tensor], Tensor | None]] | None = None

    def __repr__(self) -> str:
        return f"Node({self.op.name if self.op else 'leaf'}, shape={self.shape}, dtype={self.key.dtype})"


def now() -> int:
    """A number between those of the nodes that there are and of all that come later."""
    return next(order)


def boundary(outputs: Iterable[Node | None], since: int) -> list[Node]:
    """Where a stretch of the graph begins: the nodes older than `since`, and the leaves, that the outputs came from.

    Leaves that nobody holds, such as those that a transform inside departed from, are none: no gradient is asked for.
    """
    found = {node for node in outputs if node is not None}
    stack = list(found)
    while stack:
        node = stack.pop()
        for parent in node.parents if node.order > since else ():
            if parent is not None and parent not in found:
                found.add(parent)
                stack.append(parent)
    return sorted((node for node in found if node.order < since or _is_held(node)), key=lambda node: node.order)


def _is_held(leaf: Node) -> bool:
    return leaf.op is None and leaf.receiver is not None and leaf.receiver() is not None


def set_leaf(tensor: Tensor, requires_grad: bool) -> None:
    """Give a tensor a leaf node, or take it away."""
    node = tensor._node
    if not flag("requires_grad_", "requires_grad", requires_grad):
        if node is not None and node.op is not None:
            raise GradientError("requires_grad_(False) on a computed tensor; use .detach()")
        if node is not None:
            stand_alone(tensor)
        tensor._node = None
        return
    if not is_floating(tensor.dtype):
        raise DTypeError(f"requires_grad_: {tensor.dtype} has no gradient; only floating-point tensors do")
    if node is None:
        stand_alone(tensor)
        node = Node(None, tensor.shape, tensor._key)
        node.receiver = weakref.ref(tensor)
        tensor._node = node


def move(tensor: Tensor, node: Node | None) -> None:
    """Put a tensor elsewhere in the graph; if it was told to retain its gradient, it is the gradient there."""
    old, tensor._node = tensor._node, node
    if old is not None and node is not None and old.op is not None and old.receiver is not None:
        node.receiver, old.receiver = old.receiver, None


def record(op: Op, inputs: tuple[Tensor | None, ...], attributes: Mapping[str, Any], output: Any) -> None:
    """Add a node for each output of a call that has a gradient."""
    parents = tuple([None if x is None else x._node for x in inputs])
    if not isinstance(output, tuple):
        key = output._key
        if key.is_floating:
            saved = op.keep(parents, inputs, attributes, output)
            output._node = Node(op, tuple(output._array.shape), key, parents, saved, attributes)
    elif any(part._key.is_floating for part in output):
        saved = op.keep(parents, inputs, attributes, output)
        for index, part in enumerate(output):
            if part._key.is_floating:
                part._node = Node(op, part.shape, part._key, parents, saved, attributes, index)


def sibling(node: Node, index: int, shape: tuple[int, ...], key: DispatchKey) -> Node:
    """The node of another output of the same call."""
    return node if index == node.index else Node(node.op, shape, key, node.parents, node.saved, node.attributes, index)
