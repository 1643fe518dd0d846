"""Which tensors share memory, by which views, and what the graph saved of it.

What a backward pass keeps is kept as it was: before memory is written, whatever the graph saved of it is replaced by a
copy. Nothing is copied when nothing was saved.

The views of a tensor know the way from it to them, a path of view ops, so that after a recorded write each can be
derived anew from what was written into.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy

if TYPE_CHECKING:
    from rustorch_core._devices import DispatchKey
    from rustorch_core._graph import Node, Saved
    from rustorch_core._op import Op
    from rustorch_core._tensor import Tensor

#: Ops with their attributes, from a base to a view of it.
Path = tuple[tuple["Op", Mapping[str, Any]], ...]


class Buffer:
    """One piece of memory: what the graph saved of it, and the memory records of all who hold it."""

    __slots__ = ("holders", "savers")

    def __init__(self) -> None:
        self.savers: set[weakref.ref[Saved]] = set()
        self.holders: set[weakref.ref[Memory]] = set()


class Memory:
    """A base and its views: tensors that share a buffer, and whose place in the graph changes together.

    Arguments:
        buffer: the buffer, where another base has it already; a detached tensor is a base of its own.
    """

    __slots__ = ("__weakref__", "array", "base", "buffer", "key", "node", "views")

    array: Any
    key: DispatchKey
    node: Node | None

    def __init__(self, buffer: Buffer | None = None) -> None:
        self.buffer = Buffer() if buffer is None else buffer
        self.buffer.holders.add(weakref.ref(self, self.buffer.holders.discard))
        self.base: Callable[[], Tensor | None] | None = None
        self.views: dict[int, tuple[weakref.ref[Tensor], Path]] = {}

    def settle(self, base: Tensor) -> None:
        """Note whose views these are; its array and node outlive it, for the sake of its views."""
        self.base = weakref.ref(base)
        self.array, self.key, self.node = base._array, base._key, base._node

    def path_to(self, tensor: Tensor) -> Path:
        """The way from the base to a view; none to the base itself."""
        return self.views[id(tensor)][1] if id(tensor) in self.views else ()

    def add(self, view: Tensor, path: Path) -> None:
        """Note a view, and forget it when it goes."""
        views, place = self.views, id(view)
        views[place] = (weakref.ref(view, lambda _: views.pop(place, None)), path)

    @property
    def base_node(self) -> Node | None:
        """The node of the base as it is now, or was when it went."""
        base = self.base() if self.base is not None else None
        if base is not None:
            self.node = base._node
        return self.node


def memory_of(tensor: Tensor) -> Memory:
    """The tensor's memory record, made at first need."""
    try:
        return tensor._memory
    except AttributeError:
        tensor._memory = Memory()
        return tensor._memory


def add_view(owner: Tensor, view: Tensor, op: Op, attributes: Mapping[str, Any]) -> Tensor:
    """Note that one tensor is a view of another by a view op; returns the view.

    An op such as reshape copies where it must; what it then returned is no view, and stands alone.
    """
    if view._key.device.shares_host_memory and not numpy.may_share_memory(owner._array, view._array):
        return view
    memory = memory_of(owner)
    if memory.base is None:
        memory.settle(owner)
    view._memory = memory
    if "copy" in attributes:
        attributes = {**attributes, "copy": None}  # what is derived anew, or a gradient that follows, may lie otherwise
    memory.add(view, (*memory.path_to(owner), (op, attributes)))
    return view


def add_detached(owner: Tensor, view: Tensor) -> Tensor:
    """Note that a tensor shares another's memory, but not its gradient; returns it."""
    view._memory = Memory(memory_of(owner).buffer)
    return view


def stand_alone(tensor: Tensor) -> None:
    """Make a tensor a base of its own: its views and what it is a view of share its memory, but no gradient."""
    memory = getattr(tensor, "_memory", None)
    if memory is None or memory.base is None:
        return
    if memory.views.pop(id(tensor), None) is None:
        memory.node, memory.base = tensor._node, lambda: None
    tensor._memory = Memory(memory.buffer)


def is_shared(tensor: Tensor) -> bool:
    """Whether another living tensor shares the memory."""
    memory = getattr(tensor, "_memory", None)
    if memory is None:
        return False
    others = [memory.base, *(reference for reference, _ in memory.views.values())] if memory.base is not None else []
    return len(memory.buffer.holders) > 1 or any(each() is not None and each() is not tensor for each in others)


def remember(tensor: Tensor, saved: Saved) -> None:
    """Note that the graph keeps a tensor's values; forgotten by itself when the graph lets go of them."""
    savers = memory_of(tensor).buffer.savers
    savers.add(weakref.ref(saved, savers.discard))


def before_write(tensor: Tensor) -> None:
    """Give the graph its own copy of what it saved of this memory."""
    try:
        savers = tensor._memory.buffer.savers
    except AttributeError:
        return
    for reference in list(savers):
        saved = reference()
        if saved is not None:
            saved.array = tensor._key.namespace.asarray(saved.array, copy=True)
    savers.clear()
