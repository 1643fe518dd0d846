"""Writing into a tensor means what it means in NumPy, and never spoils a gradient.

Views share memory, so a write through one is seen through all. What a backward pass keeps is kept as it was: before
memory is written, whatever the graph saved of it is replaced by a copy. Nothing is copied when nothing was saved.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from rustorch_core import _graph
from rustorch_core.errors import GradientError

if TYPE_CHECKING:
    from rustorch_core._tensor import Tensor


class Memory:
    """What all tensors that share memory have in common: who saved it, and whether a view of it was taken."""

    __slots__ = ("__weakref__", "has_views", "savers")

    def __init__(self) -> None:
        self.savers: set[weakref.ref[_graph.Saved]] | None = None
        self.has_views = False


def memory_of(tensor: Tensor) -> Memory:
    """The tensor's memory record, made at first need."""
    try:
        return tensor._memory
    except AttributeError:
        tensor._memory = Memory()
        return tensor._memory


def share_memory(owner: Tensor, view: Tensor) -> Tensor:
    """Note that one tensor is a view of another; returns the view."""
    view._memory = memory_of(owner)
    view._memory.has_views = True
    return view


def remember(tensor: Tensor, saved: _graph.Saved) -> None:
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


def check_writable(name: str, tensor: Tensor, value: Tensor | None) -> None:
    """Refuse the writes whose gradient would be wrong.

    Raises:
        GradientError: for a leaf that requires a gradient, and under a gradient for memory of which views were taken.
    """
    if not _graph.recording():
        return
    if tensor._node is not None and tensor._node.op is None:
        raise GradientError(
            f"{name}: a leaf that requires a gradient can only be written under no_grad(); "
            "use an operation that returns a new tensor, or .detach()"
        )
    tracked = tensor._node is not None or (value is not None and value._node is not None)
    if tracked and memory_of(tensor).has_views:
        raise GradientError(
            f"{name}: this memory is shared by a view, and a write into it under a gradient is not supported yet; "
            "write into a .clone()"
        )


def replace(tensor: Tensor, key: Any, value: Tensor) -> None:
    """Write natively: `tensor[key] = value`, nothing recorded."""
    before_write(tensor)
    tensor._array[key] = value._array
