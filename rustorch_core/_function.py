"""Calls whose gradient a Python function computes, from the gradients of all outputs at once.

Such a call has one node, and each of its outputs another in front of it, which hands on the gradient that enters there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rustorch_core import _anomaly
from rustorch_core._graph import Node, set_recording
from rustorch_core._memory import add_detached, is_shared, save
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


def record_function(
    name: str, parents: Sequence[Node | None], pull_back: PullBack, outputs: Sequence[Any], places: Sequence[int]
) -> list[Any]:
    """The outputs of a call, some of them in their new place in the graph, the others as they are.

    Arguments:
        name: of the function, for messages.
        parents: the nodes to which the gradients go.
        pull_back: computes them.
        outputs: what the function returned.
        places: the numbers of those outputs, floating-point tensors, that have a gradient.
    """
    recorded = list(outputs)
    if places:
        call = Node(Function(name), (), outputs[places[0]]._key, tuple(parents), (pull_back,))
        if _anomaly.active is not None:
            _anomaly.active.note(call)
        op = _Output(name)
        for index in places:
            recorded[index] = made = _apart(outputs[index])
            made._node = Node(op, made.shape, made._key, (call,), (), {}, index)
    return recorded


def _apart(output: Tensor) -> Tensor:
    """The values of an output in a tensor of its own; in memory of its own where somebody else sees it."""
    if is_shared(output):
        with set_recording(False):
            return output.clone()  # type: ignore[no-any-return]
    return add_detached(output, tensor_like(Tensor, output._array, output._key))


class Kept:
    """A tensor as the graph keeps it: with the values and the place in the graph that it has now."""

    __slots__ = ("_node", "_saved")

    def __init__(self, tensor: Tensor) -> None:
        self._saved, self._node = save(tensor), tensor._node

    def restored(self) -> Tensor:
        """A tensor with these values at this place; a write into it leaves them as they are."""
        return restored(self._saved, self._node)

    def put_back(self, tensor: Tensor) -> None:
        """Give a tensor these values again, whatever was written into its memory."""
        tensor._array = self._saved.array
