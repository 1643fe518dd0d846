"""Which tensors share memory, and what the graph saved of it.

What a backward pass keeps is kept as it was: before memory is written, whatever the graph saved of it is replaced by a
copy. Nothing is copied when nothing was saved.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rustorch_core._graph import Saved
    from rustorch_core._tensor import Tensor


class Memory:
    """What all tensors that share memory have in common: who saved it, and who they are, once there are several."""

    __slots__ = ("__weakref__", "savers", "sharers")

    def __init__(self) -> None:
        self.savers: set[weakref.ref[Saved]] | None = None
        self.sharers: list[weakref.ref[Tensor]] = []


def memory_of(tensor: Tensor) -> Memory:
    """The tensor's memory record, made at first need."""
    try:
        return tensor._memory
    except AttributeError:
        tensor._memory = Memory()
        return tensor._memory


def share_memory(owner: Tensor, view: Tensor) -> Tensor:
    """Note that one tensor is a view of another; returns the view."""
    memory = view._memory = memory_of(owner)
    sharers = memory.sharers
    if not sharers:
        sharers.append(weakref.ref(owner))
    elif len(sharers) >= 64 and len(sharers) & (len(sharers) - 1) == 0:
        sharers[:] = [each for each in sharers if each() is not None]
    sharers.append(weakref.ref(view))
    return view


def is_shared(tensor: Tensor) -> bool:
    """Whether another living tensor shares the memory."""
    try:
        sharers = tensor._memory.sharers
    except AttributeError:
        return False
    return any(other is not None and other is not tensor for other in [each() for each in sharers])


def remember(tensor: Tensor, saved: Saved) -> None:
    """Note that the graph keeps a tensor's values; forgotten by itself when the graph lets go of them."""
    memory = memory_of(tensor)
    savers = memory.savers
    if savers is None:
        savers = memory.savers = set()
    savers.add(weakref.ref(saved, savers.discard))


def before_write(tensor: Tensor) -> None:
    """Give the graph its own copy of what it saved of this memory."""
    try:
        savers = tensor._memory.savers
    except AttributeError:
        return
    if not savers:
        return
    for reference in list(savers):
        saved = reference()
        if saved is not None:
            saved.array = tensor._key.namespace.asarray(saved.array, copy=True)
    savers.clear()
