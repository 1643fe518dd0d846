"""The backward walk, and the ways to ask for gradients.

Un-broadcasting happens here, once, and in no rule.
"""

from __future__ import annotations

import itertools
import operator
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from rustorch_core import _anomaly, _graph
from rustorch_core._data_types import CATEGORIES, is_floating
from rustorch_core._define import beside, cast
from rustorch_core._dispatch import check_tensor
from rustorch_core._function import Cotangents, Function
from rustorch_core._graph import Node
from rustorch_core._memory import add_detached, is_shared
from rustorch_core._op import REGISTRY, Op, restored
from rustorch_core._tensor import Tensor, tensor_like
from rustorch_core.errors import GradientError, OperandError, ShapeError

_ORDER = operator.attrgetter("order")


def no_grad() -> _graph.set_recording:
    """A block, or with `@no_grad()` a function, in which nothing is recorded (PyTorch: no_grad)."""
    return _graph.set_recording(False)


def enable_grad() -> _graph.set_recording:
    """A block, or with `@enable_grad()` a function, in which ops are recorded again (PyTorch: enable_grad)."""
    return _graph.set_recording(True)


def walk(
    outputs: Sequence[tuple[Node, Tensor]],
    *,
    wanted: frozenset[Node] | None,
    retain_graph: bool,
    create_graph: bool,
    since: int = 0,
) -> dict[Node, Tensor]:
    """Send gradients from the outputs to the leaves.

    Arguments:
        outputs: nodes, each with the gradient that enters there.
        wanted: the nodes whose gradients to return; None for every one that a tensor's `.grad` waits for.
        retain_graph: keep what the nodes saved.
        create_graph: record the walk.
        since: go no further than the nodes that are older.

    Returns:
        the gradient that reached each wanted node.
    """
    gradients: dict[Node, Any] = {}
    for node, gradient in outputs:
        gradients[node] = gradients[node] + gradient if node in gradients else gradient
    order = in_order([node for node, _ in outputs], since)
    useful = None if wanted is None else _leading_to(wanted, order)
    with _graph.set_recording(create_graph):
        if _anomaly.active is not None:
            pull_back = _anomaly.active.watching(_pull_back)
            return own_send(order, gradients, wanted, useful, retain_graph, since, pull_back)
        return send(order, gradients, wanted, useful, retain_graph, since, _pull_back)


def send(
    order: Sequence[Node],
    gradients: dict[Node, Any],
    wanted: frozenset[Node] | None,
    useful: set[Node] | None,
    retain_graph: bool,
    since: int,
    pull_back: Callable[[Node, Any, bool], Sequence[Any]],
) -> dict[Node, Tensor]:
    """Send gradients through nodes in their order.

    Arguments:
        order: the nodes, latest first.
        gradients: those that enter, by the nodes where they do.
        wanted: as in `walk`.
        useful: the nodes that lead to a wanted one, or None for all.
        retain_graph: as in `walk`.
        since: as in `walk`.
        pull_back: from a node, its gradient, and whether that is 0 where a selection left elements out, to one
            gradient for each parent.
    """
    results: dict[Node, Tensor] = {}
    selected: set[Node | None] = set()
    for node in order:
        gradient_here = gradients.pop(node, None)
        if gradient_here is None:
            continue
        if node.hooks:
            gradient_here = _hooked(node, gradient_here)
        if node in wanted if wanted is not None else node.receiver is not None:
            results[node] = gradient_here
        op, parents = node.op, node.parents
        if op is None or node.order < since or (useful is not None and useful.isdisjoint(parents)):
            continue
        is_selected = node in selected and _hands_on_selection(op)
        if is_selected or op.selects:
            selected.update(parents)
        for parent, incoming in zip(parents, pull_back(node, gradient_here, is_selected), strict=True):
            if incoming is None or parent is None or (useful is not None and parent not in useful):
                continue
            incoming = unbroadcast(incoming, parent)
            known = gradients.get(parent)
            gradients[parent] = incoming if known is None else known + incoming
        if not retain_graph:
            node.saved = None
    return results


def in_order(outputs: Sequence[Node], since: int) -> list[Node]:
    """Every node that the outputs came from, latest first, so that a node is met after all that used it."""
    found = set(outputs)
    stack = list(found)
    while stack:
        node = stack.pop()
        for parent in node.parents if node.order > since else ():
            if parent is not None and parent not in found:
                found.add(parent)
                stack.append(parent)
    return sorted(found, key=_ORDER, reverse=True)


def _leading_to(wanted: frozenset[Node], order: Sequence[Node]) -> set[Node]:
    """The nodes from which a wanted one can be reached; the walk visits no others."""
    leading: set[Node] = set()
    for node in reversed(order):
        if node in wanted or any(parent in leading for parent in node.parents):
            leading.add(node)
    return leading


def _hands_on_selection(op: Op) -> bool:
    """Whether where the gradient of an op's output is 0 for want of a say, that of its inputs is."""
    return op.kind in ("unary", "binary") or op.is_view


def _without_lost(gradient: Tensor, g: Tensor) -> Tensor:
    """A gradient with 0 where an infinite slope made NaN of a `g` that is 0: what has no say has none at a pole."""
    is_nan = _stated("isnan")(gradient)
    # The host answers at once; a device is not made to wait for the answer.
    if g.device.shares_host_memory and not is_nan.any():
        return gradient
    return _stated("where")(_stated("logical_and")(is_nan, g == 0), 0, gradient)  # type: ignore[no-any-return]


def _hooked(node: Node, g: Tensor) -> Tensor:
    """A gradient as the hooks on a tensor leave it."""
    assert node.hooks is not None
    for hook in list(node.hooks.values()):
        seen = add_detached(g, tensor_like(Tensor, g._array, g._key))
        seen._node = g._node
        replacement = hook(seen)
        if replacement is None:
            continue
        if not isinstance(replacement, Tensor) or replacement.shape != g.shape or replacement.device is not g.device:
            met = f"{replacement.shape} on {replacement.device}" if isinstance(replacement, Tensor) else replacement
            raise GradientError(f"hook: expected None or a tensor of shape {g.shape} on {g.device}, met {met}")
        g = cast(replacement, g.dtype)
    return g


def _pull_back(node: Node, g: Tensor, is_selected: bool) -> Sequence[Any]:
    """The gradient with respect to each input of one call; 0 where a selection behind it left an element out."""
    op = node.op
    assert op is not None
    if node.saved is None:
        raise GradientError(f"{op.name}: the graph has been walked and freed; pass retain_graph=True to walk it twice")
    if isinstance(op, Function):
        return op.send_back(node, g)
    if op.rules:
        found = [op.pull_back(node, position, g) for position in range(len(node.parents))]
    elif op.compose is None or op.no_gradient:
        reason = op.no_gradient or "no rule is stated for it"
        raise GradientError(f"{op.name} has no gradient: {reason}; use .detach() or rustorch.stop_gradient before it")
    else:
        found = _through_composition(node, g)
    if is_selected and not op.is_view:
        return [each if each is None or each is g else _without_lost(each, g) for each in found]
    return found


def _through_composition(node: Node, g: Tensor) -> list[Tensor | None]:
    """The gradient of a kernel without rules of its own: that of the op's composition, run again."""
    assert node.op is not None
    assert node.op.compose is not None
    assert node.saved is not None
    kept = next(values for values in node.saved if values is not None)
    inputs = [
        None if saved is None else restored(saved, parent) for saved, parent in zip(kept, node.parents, strict=True)
    ]
    create_graph = _graph.recording()
    since = _graph.now()
    with _graph.set_recording(True):
        fresh = [
            x if x is None or parent is None else _alias(x) for x, parent in zip(inputs, node.parents, strict=True)
        ]
        output = node.op.compose(*fresh, **node.attributes)
    asked = [None if x is None or parent is None else x._node for x, parent in zip(fresh, node.parents, strict=True)]
    found = walk(
        [(output._node, g)],
        wanted=frozenset(each for each in asked if each is not None),
        retain_graph=create_graph,
        create_graph=create_graph,
        since=since,
    )
    return [None if each is None else found.get(each) for each in asked]


def _stated(name: str) -> Callable[..., Any]:
    """The function of an op from a chapter that stands on this one."""
    function = REGISTRY[name].function
    assert function is not None
    return function


def unbroadcast(g: Any, target: Node) -> Any:
    """Sum a gradient over the axes along which its input was broadcast; keep the real part for a real input."""
    if isinstance(g, Cotangents) or (g._key is target.key and g._array.shape == target.shape):
        return g
    shape = g.shape
    if shape != target.shape:
        extra = len(shape) - len(target.shape)
        if extra and shape[extra:] == target.shape:
            return unbroadcast(_stated("sum")(g, axis=tuple(range(extra))), target)
        stretched = [extra + axis for axis, length in enumerate(target.shape) if length == 1 != shape[extra + axis]]
        g = _stated("sum")(g, axis=(*range(extra), *stretched), keepdims=bool(stretched))
        g = _stated("reshape")(g, target.shape) if extra and stretched else g
    if g.dtype in CATEGORIES["complex floating-point"] and target.key.dtype in CATEGORIES["real floating-point"]:
        g = _stated("real")(g)
    return cast(g, target.key.dtype)


#: Core's own form, which can be watched; a plugin's compiled one may stand in for `send`.
own_send = send


class RemovableHandle:
    """What `register_hook` returns: `remove()` takes the hook away, and so does the end of a `with` block."""

    __slots__ = ("_hooks", "_number")
    _numbers = itertools.count()

    def __init__(self, hooks: dict[int, Callable[..., Any]], hook: Callable[..., Any]) -> None:
        self._hooks, self._number = hooks, next(RemovableHandle._numbers)
        hooks[self._number] = hook

    def remove(self) -> None:
        """Take the hook away, if it is still there."""
        self._hooks.pop(self._number, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()


def register_hook(x: Tensor, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
    """`Tensor.register_hook`."""
    if not callable(hook):
        raise OperandError(f"register_hook: expected a function, met {type(hook).__name__}")
    node = _node_of("register_hook", x)
    if node.hooks is None:
        node.hooks = {}
    return RemovableHandle(node.hooks, hook)


def retain_grad(x: Tensor) -> None:
    """`Tensor.retain_grad`."""
    _node_of("retain_grad", x).receiver = weakref.ref(x)


def _node_of(name: str, x: Tensor) -> Node:
    if x._node is None:
        raise GradientError(f"{name}: the tensor takes part in no gradient; call .requires_grad_() on a leaf")
    return x._node


def backward(output: Tensor, gradient: Tensor | None, *, retain_graph: bool, create_graph: bool) -> None:
    """`Tensor.backward`: accumulate into the `.grad` of the leaves."""
    if not is_floating(output.dtype):
        raise GradientError(
            f"backward: {output.dtype} has no gradient; only floating-point tensors do, and what compares, counts or "
            "finds places returns others"
        )
    if output._node is None:
        raise GradientError(
            "backward: nothing that this tensor was computed from requires a gradient; "
            "call .requires_grad_() on a leaf, and compute outside no_grad()"
        )
    seed = _seed("backward", output, gradient)
    found = walk(
        [(output._node, seed)], wanted=None, retain_graph=retain_graph or create_graph, create_graph=create_graph
    )
    taken = {id(gradient)}
    for node, value in found.items():
        receiver = node.receiver() if node.receiver is not None else None
        if receiver is not None:
            known: Tensor | None = getattr(receiver, "_grad", None)
            receiver._grad = _owned(value, taken) if known is None else known + value


def _owned(gradient: Tensor, taken: set[int]) -> Tensor:
    """A gradient that its receiver may write into: a copy where it is somebody else's too, or stretched over memory."""
    is_stretched = gradient.size > 1 and 0 in getattr(gradient._array, "strides", ())
    if id(gradient) in taken or is_stretched or is_shared(gradient):
        return gradient.clone()  # type: ignore[no-any-return]
    taken.add(id(gradient))
    return gradient


def _seed(name: str, output: Tensor, gradient: Tensor | None) -> Tensor:
    if gradient is None:
        if output.size != 1:
            raise ShapeError(
                f"{name}: a tensor of shape {output.shape} needs a gradient of that shape; or reduce it with .sum()"
            )
        return _ones_like(output)
    if not isinstance(gradient, Tensor):
        gradient = beside(name, output, gradient).clone()
    if gradient.shape != output.shape:
        raise ShapeError(f"{name}: the gradient has shape {gradient.shape}, the tensor {output.shape}; they must agree")
    return cast(gradient, output.dtype)


def _ones_like(x: Tensor) -> Tensor:
    one = beside("backward", x, 1)
    return (_stated("broadcast_to")(one, x.shape) if x.ndim else one).clone()  # type: ignore[no-any-return]


def _alias(x: Tensor) -> Tensor:
    """The same values as a new point of departure, linked to whatever recorded them."""
    if x._node is not None:
        return _stated("positive")(x)  # type: ignore[no-any-return]
    made = x.detach()
    made._node = Node(None, made.shape, made._key)  # without a receiver: its gradient is the caller's to collect
    return made


def stop_gradient(x: Tensor) -> Tensor:
    """The same values, through which no gradient flows (JAX: stop_gradient)."""
    check_tensor("stop_gradient", x)
    return x.detach()
