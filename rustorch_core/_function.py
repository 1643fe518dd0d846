"""Calls whose gradient a Python function computes, from the gradients of all outputs at once.

Such a call has one node, and each of its outputs another in front of it, which hands on the gradient that enters there.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rustorch_core import _anomaly
from rustorch_core._graph import Node, set_recording
from rustorch_core._memory import add_detached, follow, is_shared, path_in_family, save
from rustorch_core._op import Op, restored
from rustorch_core._tensor import Tensor, tensor_like

#: From the gradients that entered at the outputs, by their numbers, to one for each parent of the call's node.
PullBack = Callable[[Mapping[int, Tensor]], Sequence[Tensor | None]]


class Cotangents:
    """The gradients that entered at the outputs of one call, by their numbers: what arrives at the call's node."""

    __slots__ = ("parts",)

    def __init__(self, parts: Mapping[int, Tensor]) -> None:
        self.parts = parts

    def __add__(self, other: Cotangents) -> Cotangents:
        return Cotangents({**self.parts, **other.parts})


class Function(Op):
    """Stands in the node of such a call where an op would; it is in no registry."""

    __slots__ = ()

    def __init__(self, name: str) -> None:
        self.name = name
        self.kind = "function"
        self.selects = self.is_view = False

    def send_back(self, node: Node, g: Any) -> Sequence[Any]:
        """What goes to each parent of the node."""
        assert node.saved is not None
        pull_back: Any = node.saved[0]
        return pull_back(g.parts)  # type: ignore[no-any-return]


class _Output(Function):
    """Stands in the node of an output."""

    __slots__ = ()

    def send_back(self, node: Node, g: Any) -> Sequence[Any]:
        return [Cotangents({node.index: g})]


#: Tensors that a function returned, and those that stand for them in the graph.
Replaced = list[tuple["weakref.ref[Tensor]", Tensor]]


def record_function(
    name: str, parents: Sequence[Node | None], pull_back: PullBack, outputs: Sequence[Any], places: Sequence[int]
) -> tuple[list[Any], Replaced]:
    """Give some outputs of a call their new place in the graph.

    Arguments:
        name: of the function, for messages.
        parents: the nodes to which the gradients go.
        pull_back: computes them.
        outputs: what the function returned.
        places: the numbers of those outputs, floating-point tensors, that have a gradient.

    Returns:
        the outputs, new tensors at these places; and what `share_with_living` takes when the old ones are let go.
    """
    recorded = list(outputs)
    replaced: Replaced = []
    if places:
        call = Node(Function(name), (), outputs[places[0]]._key, tuple(parents), (pull_back,), {}, 0)
        if _anomaly.active is not None:
            _anomaly.active.note(call)
        op = _Output(name)
        for index in places:
            output = outputs[index]
            recorded[index] = made = tensor_like(Tensor, output._array, output._key)
            if is_shared(output):
                with set_recording(False):
                    made = recorded[index] = made.clone()
            else:
                replaced.append((weakref.ref(output), made))
            made._node = Node(op, made.shape, made._key, (call,), (), {}, index)
    return recorded, replaced


def share_with_living(replaced: Replaced) -> None:
    """Note that memory is shared with those old outputs that somebody still holds."""
    for reference, made in replaced:
        output = reference()
        if output is not None:
            add_detached(output, made)


class Kept:
    """A tensor as the graph keeps it: with the values and the place in the graph that it has now."""

    __slots__ = ("_node", "_saved")

    def __init__(self, tensor: Tensor) -> None:
        self._saved, self._node = save(tensor), tensor._node

    def restored(self) -> Tensor:
        """A tensor with these values at this place; a write into it leaves them as they are."""
        return restored(self._saved, self._node)

    def put_back(self, tensor: Tensor) -> None:
        """Give a tensor these values again, whatever was written into its memory, and its views those of them."""
        array = self._saved.array
        if tensor._array is array:
            return
        for member in tensor._place[0].members() if tensor._place is not None else (tensor,):
            member._array = follow(tensor._key.namespace, array, path_in_family(member._place))
