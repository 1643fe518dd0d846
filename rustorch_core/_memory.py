"""Which tensors share memory, by which views, and what the graph saved of it.

What a backward pass keeps is kept as it was: before memory is written, whatever the graph saved of it is replaced by a
copy. Nothing is copied when nothing was saved. A stranger who shares memory writes unseen, so for as long as there is
one, the graph saves copies.

The views of a tensor know the way from it to them, a path of view ops, so that after a recorded write each can be
derived anew from what was written into.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
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
    """One piece of memory: what the graph saved of it, the memory records of all who hold it, and its strangers.

    A stranger is known by its loan, or is None where nobody can tell when it lets go.
    """

    __slots__ = ("holders", "savers", "strangers")

    def __init__(self) -> None:
        self.savers: set[weakref.ref[Saved]] = set()
        self.holders: set[weakref.ref[Memory]] = set()
        self.strangers: set[weakref.ref[_Loan] | None] | None = None


class _Loan:
    """What stands between memory and an array over it: it lives as long as that, or any view of it."""

    __slots__ = ("__array_struct__", "__weakref__")

    def __init__(self, array: Any) -> None:
        self.__array_struct__ = array.__array_struct__


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
        self.base: weakref.ref[Tensor] | None = None
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
    memory.add(view, (*memory.path_to(owner), (op, attributes)))
    return view


def add_detached(owner: Tensor, view: Tensor) -> Tensor:
    """Note that a tensor shares another's memory, but not its gradient; returns it."""
    view._memory = Memory(memory_of(owner).buffer)
    return view


def is_shared(tensor: Tensor) -> bool:
    """Whether another living tensor, or a stranger, shares the memory."""
    memory = getattr(tensor, "_memory", None)
    if memory is None:
        return False
    if memory.buffer.strangers:
        return True
    others = [memory.base, *(reference for reference, _ in memory.views.values())] if memory.base is not None else []
    return len(memory.buffer.holders) > 1 or any(each() is not None and each() is not tensor for each in others)


def remember(tensor: Tensor, saved: Saved) -> None:
    """Note that the graph keeps a tensor's values; forgotten by itself when the graph lets go of them."""
    buffer = memory_of(tensor).buffer
    if buffer.strangers:
        saved.array = tensor._key.namespace.asarray(saved.array, copy=True)
    else:
        buffer.savers.add(weakref.ref(saved, buffer.savers.discard))


def exported(tensor: Tensor) -> Any:
    """The tensor's native array for a stranger, who may write through it, until the stranger lets go of it."""
    before_write(tensor)
    if not tensor._key.device.shares_host_memory:
        imported(tensor)
        return tensor._array
    loan = _Loan(tensor._array)
    strangers = _strangers(tensor)
    strangers.add(weakref.ref(loan, strangers.discard))
    array: Any = numpy.asarray(loan)
    return array if array.dtype == tensor._array.dtype else array.view(tensor._array.dtype)


def imported(tensor: Tensor) -> None:
    """Note that strangers may write through the tensor's memory from now on, unless nobody can."""
    if _can_be_written(tensor._array):
        before_write(tensor)
        _strangers(tensor).add(None)


def _can_be_written(array: Any) -> bool:
    """Whether an array can be written: through itself, or through one that it is a view of."""
    if not isinstance(array, numpy.ndarray):
        return True
    return array.flags.writeable or (isinstance(array.base, numpy.ndarray) and _can_be_written(array.base))


def _strangers(tensor: Tensor) -> set[weakref.ref[_Loan] | None]:
    buffer = memory_of(tensor).buffer
    if buffer.strangers is None:
        buffer.strangers = set()
    return buffer.strangers


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
