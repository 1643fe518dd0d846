"""Which tensors share memory, by which views, and what the graph saved of it.

What a backward pass keeps is kept as it was: before memory is written, whatever the graph saved of it is replaced by a
copy. Nothing is copied when nothing was saved.

A view knows its place: which tensor it was taken of, and by which op. So after a recorded write each view can be
derived anew from what was written into, and on a device whose arrays cannot be written after every write.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import numpy

if TYPE_CHECKING:
    from rustorch_core._devices import DispatchKey
    from rustorch_core._graph import Node
    from rustorch_core._op import Op
    from rustorch_core._tensor import Tensor

T = TypeVar("T")

#: The family that a tensor belongs to; for a view the place of what it is a view of, and the op and attributes of it.
Place = tuple["Family", "Place | None", "Op | None", Mapping[str, Any]]
#: Ops with their attributes, from a base to a view of it.
Path = tuple[tuple["Op", Mapping[str, Any]], ...]


class _Living(list["weakref.ref[T]"]):
    """Weak references to those who live, swept of the others each time their number has doubled."""

    __slots__ = ("_limit",)

    def add(self, reference: weakref.ref[T]) -> None:
        self.append(reference)
        if len(self) > 8 and len(self) > getattr(self, "_limit", 8):
            self[:] = [each for each in self if each() is not None]
            self._limit = 2 * len(self) + 8

    def now(self) -> list[T]:
        """Those who live now."""
        return [thing for each in self if (thing := each()) is not None]


class Saved:
    """The values of a tensor that a rule will ask for, as they were when they were used."""

    __slots__ = ("__weakref__", "array", "key")

    def __init__(self, array: Any, key: DispatchKey) -> None:
        self.array = array
        self.key = key


class _Exported:
    """Stands between memory and the arrays that strangers see it by: it lives as long as any of them."""

    __slots__ = ("__array_interface__", "__weakref__", "array")

    def __init__(self, array: Any) -> None:
        self.array = array
        self.__array_interface__ = array.__array_interface__


class Buffer:
    """One piece of memory that several see: what the graph saved of it, and the families of tensors on it."""

    __slots__ = ("exports", "families", "root", "saved")

    def __init__(self, root: Tensor) -> None:
        self.root = root._array
        self.families: _Living[Family] = _Living()
        self.saved: _Living[Saved] = _Living()
        self.exports: _Living[_Exported] = _Living()
        if root._saved is not None:
            self.saved.add(root._saved)


class Family:
    """A base and its views: tensors on one buffer whose place in the graph changes together.

    The base's array and node outlive it, for the sake of its views. Its origin is the way to it from the first tensor
    on the buffer; it is not held by what it was detached from, nor the other way.
    """

    __slots__ = ("__weakref__", "array", "base", "buffer", "key", "last_node", "origin", "views")

    def __init__(self, base: Tensor, buffer: Buffer, origin: Path = ()) -> None:
        self.base: Callable[[], Tensor | None] = weakref.ref(base)
        self.array, self.key, self.last_node = base._array, base._key, base._node
        self.buffer = buffer
        self.origin = origin
        self.views: _Living[Tensor] = _Living()
        buffer.families.add(weakref.ref(self))

    @property
    def node(self) -> Node | None:
        """The node of the base as it is now, or was when it was last looked at."""
        base = self.base()
        if base is not None:
            self.last_node = base._node
        return self.last_node

    def members(self) -> list[Tensor]:
        """The base and the views that live, without those that have left."""
        everybody = (self.base(), *self.views.now())
        return [each for each in everybody if each is not None and each._place is not None and each._place[0] is self]


def place_of(tensor: Tensor) -> Place:
    """Where a tensor stands among those that share its memory; the first on it where none is known."""
    place = tensor._place
    if place is None:
        place = tensor._place = (Family(tensor, Buffer(tensor)), None, None, {})
    return place


def add_view(owner: Tensor, view: Tensor, op: Op, attributes: Mapping[str, Any]) -> None:
    """Note that one tensor is a view of another, by an op."""
    place = owner._place or place_of(owner)
    family = place[0]
    if op.may_copy:
        attributes = {**attributes, "copy": None}  # what is derived anew, or a gradient that follows, may lie otherwise
    view._place = (family, place, op, attributes)
    family.views.add(weakref.ref(view))


def add_detached(
    owner: Tensor, view: Tensor, op: Op | None = None, attributes: Mapping[str, Any] | None = None
) -> Tensor:
    """Note that one tensor shares another's memory, as a view by an op if there is one, but not its gradient.

    Returns:
        the view.
    """
    place = place_of(owner)
    step = () if op is None else ((op, attributes or {}),)
    view._place = (Family(view, place[0].buffer, path_from_root(place) + step), None, None, {})
    return view


def stand_alone(tensor: Tensor) -> None:
    """Make a tensor a base of its own: its views, and what it is a view of, share its memory but no gradient."""
    place = tensor._place
    if place is None:
        return
    family = place[0]
    if place[2] is None:
        family.last_node, family.base = tensor._node, lambda: None
    tensor._place = (Family(tensor, family.buffer, path_from_root(place)), None, None, {})


def is_view(owner: Tensor, view: Tensor, op: Op, attributes: Mapping[str, Any]) -> bool:
    """Whether what a view op that may copy, such as reshape, returned is a view."""
    device = owner._key.device
    if device.shares_host_memory:
        base = view._array.base
        return base is not None and (base is owner._array or base is owner._array.base)
    try:
        if device.is_writable:
            follow(device.namespace, owner._array, ((op, {**attributes, "copy": False}),))
        else:
            # What NumPy would do, asked of an array of the root's shape that holds nothing.
            place = place_of(owner)
            empty = numpy.empty(place[0].buffer.root.shape, dtype="b")
            follow(numpy, empty, (*path_from_root(place), (op, {**attributes, "copy": False})))
    except (ValueError, TypeError, NotImplementedError):
        return False
    return True


def path_in_family(place: Place | None) -> Path:
    """The way from a family's base to one of its views; none to the base itself."""
    steps: list[tuple[Op, Mapping[str, Any]]] = []
    while place is not None and place[2] is not None:
        steps.append((place[2], place[3]))
        place = place[1]
    return tuple(reversed(steps))


def path_from_root(place: Place) -> Path:
    """The way from the first tensor on a buffer to another on it."""
    return place[0].origin + path_in_family(place)


def follow(xp: Any, array: Any, path: Path) -> Any:
    """The native view at the end of a path."""
    for op, attributes in path:
        array = op.native(xp, array, **attributes) if op.native else getattr(xp, op.name)(array, **attributes)
    return array


def is_shared(tensor: Tensor) -> bool:
    """Whether anybody else sees a tensor's memory: another living tensor, or a stranger."""
    if tensor._place is None:
        return False
    buffer = tensor._place[0].buffer
    others = (each is not tensor for family in buffer.families.now() for each in family.members())
    return any(others) or bool(buffer.exports.now())


def save(tensor: Tensor) -> Saved:
    """A tensor's values for the graph to keep as they are now: the same object until the memory is written."""
    reference = tensor._saved
    if reference is not None:
        saved = reference()
        if saved is not None and saved.array is tensor._array:
            return saved
    saved = Saved(tensor._array, tensor._key)
    if tensor._place is not None:
        buffer = tensor._place[0].buffer
        if buffer.exports and buffer.exports.now():  # a stranger's write cannot be noticed
            saved.array = _copy(saved)
            return saved
        buffer.saved.add(weakref.ref(saved))
    tensor._saved = weakref.ref(saved)
    return saved


def before_write(tensor: Tensor) -> None:
    """Give the graph its own copy of what it saved of this memory."""
    if tensor._place is not None:
        buffer = tensor._place[0].buffer
        living = buffer.saved.now()
        buffer.saved = _Living()
    else:
        living = [] if tensor._saved is None or (saved := tensor._saved()) is None else [saved]
    tensor._saved = None
    if tensor._key.device.is_writable:  # else what was saved stays as it is
        for saved in living:
            saved.array = _copy(saved)


def _copy(saved: Saved) -> Any:
    return saved.key.namespace.asarray(saved.array, copy=True)


def exported(tensor: Tensor) -> Any:
    """The native array for a stranger, who may write through it for as long as anything holds it.

    The graph takes its own copy of what it has saved, and, while the stranger holds on, of what it saves later.
    """
    before_write(tensor)
    array = tensor._array
    if not tensor._key.device.shares_host_memory:
        return array
    between = _Exported(array)
    place_of(tensor)[0].buffer.exports.add(weakref.ref(between))
    outside = numpy.asarray(between)
    return outside if outside.dtype == array.dtype else outside.view(array.dtype)  # bfloat16 has no name there
