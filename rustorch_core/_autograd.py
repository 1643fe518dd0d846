"""The backward walk, and the ways to ask for gradients.

Un-broadcasting happens here, once, and in no rule.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

from rustorch_core import _graph, _tree
from rustorch_core._data_types import CATEGORIES, is_floating
from rustorch_core._define import beside, cast
from rustorch_core._dispatch import check_tensor
from rustorch_core._graph import Node
from rustorch_core._memory import is_shared
from rustorch_core._op import restored
from rustorch_core._tensor import Tensor
from rustorch_core.errors import ArgumentError, DTypeError, GradientError, OperandError, ShapeError


def no_grad() -> _graph.set_recording:
    """A block, or with `@no_grad()` a function, in which nothing is recorded (PyTorch: no_grad)."""
    return _graph.set_recording(False)


def enable_grad() -> _graph.set_recording:
    """A block, or with `@enable_grad()` a function, in which ops are recorded again (PyTorch: enable_grad)."""
    return _graph.set_recording(True)


def walk(
    outputs: Sequence[tuple[Node, Tensor]], *, wanted: frozenset[Node] | None, retain_graph: bool, create_graph: bool
) -> dict[Node, Tensor]:
    """Send gradients from the outputs to the leaves.

    Arguments:
        outputs: nodes, each with the gradient that enters there.
        wanted: the nodes whose gradients to return; None for every leaf.
        retain_graph: keep what the nodes saved.
        create_graph: record the walk.

    Returns:
        the gradient that reached each wanted node.
    """
    gradients: dict[Node, Tensor] = {}
    for node, gradient in outputs:
        gradients[node] = gradients[node] + gradient if node in gradients else gradient
    order = in_order([node for node, _ in outputs])
    useful = set(order) if wanted is None else _leading_to(wanted, order)
    results: dict[Node, Tensor] = {}
    with _graph.set_recording(create_graph):
        for node in order:
            if node not in gradients:
                continue
            gradient_here = gradients.pop(node)
            if node in wanted if wanted is not None else node.op is None:
                results[node] = gradient_here
            if node.op is None or not any(parent in useful for parent in node.parents):
                continue
            for parent, incoming in zip(node.parents, _pull_back(node, gradient_here), strict=True):
                if parent in useful and incoming is not None:
                    incoming = unbroadcast(incoming, parent)
                    gradients[parent] = gradients[parent] + incoming if parent in gradients else incoming
            if not retain_graph:
                node.saved = None
    return results


def in_order(outputs: Sequence[Node]) -> list[Node]:
    """Every node that the outputs came from, latest first, so that a node is met after all that used it."""
    found = set(outputs)
    stack = list(found)
    while stack:
        for parent in stack.pop().parents:
            if parent is not None and parent not in found:
                found.add(parent)
                stack.append(parent)
    return sorted(found, key=lambda node: -node.order)


def _leading_to(wanted: frozenset[Node], order: Sequence[Node]) -> set[Node]:
    """The nodes from which a wanted one can be reached; the walk visits no others."""
    leading: set[Node] = set()
    for node in reversed(order):
        if node in wanted or any(parent in leading for parent in node.parents):
            leading.add(node)
    return leading


def _pull_back(node: Node, g: Tensor) -> Sequence[Tensor | None]:
    """The gradient with respect to each input of one call."""
    op = node.op
    assert op is not None
    if node.saved is None:
        raise GradientError(f"{op.name}: the graph has been walked and freed; pass retain_graph=True to walk it twice")
    if op.rules:
        return [op.pull_back(node, position, g) for position in range(len(node.parents))]
    if op.compose is None or op.no_gradient:
        reason = op.no_gradient or "no rule is stated for it"
        raise GradientError(f"{op.name} has no gradient: {reason}; use .detach() or rustorch.stop_gradient before it")
    return _through_composition(node, g)


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
    )
    return [None if each is None else found.get(each) for each in asked]


def unbroadcast(g: Tensor, target: Node) -> Tensor:
    """Sum a gradient over the axes along which its input was broadcast; keep the real part for a real input."""
    from rustorch_core._elementwise_functions import real
    from rustorch_core._manipulation_functions import reshape
    from rustorch_core._statistical_functions import sum

    if g.shape != target.shape:
        extra = g.ndim - len(target.shape)
        stretched = [extra + axis for axis, length in enumerate(target.shape) if length == 1 != g.shape[extra + axis]]
        g = sum(g, axis=(*range(extra), *stretched), keepdims=True)
        g = reshape(g, target.shape)
    if g.dtype in CATEGORIES["complex floating-point"] and target.key.dtype in CATEGORIES["real floating-point"]:
        g = real(g)
    return cast(g, target.key.dtype)


def backward(output: Tensor, gradient: Tensor | None, *, retain_graph: bool, create_graph: bool) -> None:
    """`Tensor.backward`: accumulate into the `.grad` of the leaves."""
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
        leaf = node.leaf() if node.leaf is not None else None
        if leaf is not None:
            leaf.grad = _owned(value, taken) if leaf.grad is None else leaf.grad + value


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
        gradient = beside(name, output, gradient)
    if gradient.shape != output.shape:
        raise ShapeError(f"{name}: the gradient has shape {gradient.shape}, the tensor {output.shape}; they must agree")
    return cast(gradient, output.dtype)


def _ones_like(x: Tensor) -> Tensor:
    from rustorch_core._creation_functions import ones_like

    return ones_like(x)


def _alias(x: Tensor) -> Tensor:
    """The same values as a new point of departure, linked to whatever recorded them."""
    if x._node is not None:
        from rustorch_core._elementwise_functions import positive

        return positive(x)
    return x.detach().requires_grad_()


def value_and_grad(
    fn: Callable[..., Any], argnums: int | Sequence[int] = 0, *, has_aux: bool = False
) -> Callable[..., Any]:
    """Make a function that returns a function's value and its gradient (JAX: value_and_grad).

    Arguments:
        fn: returns one tensor without axes; with `has_aux` a pair of that and anything else.
        argnums: which positional arguments to differentiate with respect to; each may be any pytree of floating-point
            tensors and Python floats: lists, tuples, dicts, dataclasses, modules.
        has_aux: whether `fn` returns a pair.

    Returns:
        a function of the same arguments that returns `(value, gradient)`; the gradient has the argument's structure,
        and is a tuple where `argnums` is a sequence.

    Raises:
        GradientError: where the value is not one real floating-point element.
        DTypeError: for integer or boolean leaves.
        ArgumentError: where `argnums` names an argument that was not passed.

    Example:
        >>> import rustorch as rt
        >>> value, gradient = rt.value_and_grad(lambda x: (x**2).sum())(rt.asarray([1.0, 3.0]))
        >>> value, gradient
        (tensor(10., dtype=float32), tensor([2., 6.], dtype=float32))
    """
    if not callable(fn):
        raise OperandError(f"grad: expected a function, met {type(fn).__name__}")
    try:
        numbers = tuple(operator.index(number) for number in (argnums if isinstance(argnums, Sequence) else (argnums,)))
    except TypeError:
        raise OperandError(f"grad: argnums is an integer or a sequence of them, met {argnums!r}") from None

    @functools.wraps(fn)
    def value_and_gradient(*args: Any, **kwargs: Any) -> Any:
        for number in numbers:
            if not -len(args) <= number < len(args):
                raise ArgumentError(
                    f"value_and_grad: argnums names argument {number}, but {len(args)} were passed by position"
                )
        places = [number % len(args) for number in numbers]
        with _graph.set_recording(True):
            split = [_tree.flatten(args[place]) for place in places]
            sources = [[_source(leaf) for leaf in leaves] for leaves, _ in split]
            traced = list(args)
            for place, leaves, (_, rebuild) in zip(places, sources, split, strict=True):
                traced[place] = rebuild(list(leaves))
            result = fn(*traced, **kwargs)
        value, aux = result if has_aux else (result, None)
        flat = [leaf for leaves in sources for leaf in leaves]
        stays_open = _is_open(value, flat)
        gradients = iter(_gradients(value, flat, stays_open))
        built = [
            rebuild([next(gradients) for _ in leaves]) for leaves, (_, rebuild) in zip(sources, split, strict=True)
        ]
        if not stays_open:
            value, aux = value.detach(), _detached(aux)
        return ((value, aux) if has_aux else value), (built[0] if isinstance(argnums, int) else tuple(built))

    return value_and_gradient


def _detached(tree: Any) -> Any:
    """The same tree with its tensors detached."""
    leaves, rebuild = _tree.flatten(tree)
    return rebuild([leaf.detach() if type(leaf) is Tensor and leaf.requires_grad else leaf for leaf in leaves])


def grad(fn: Callable[..., Any], argnums: int | Sequence[int] = 0, *, has_aux: bool = False) -> Callable[..., Any]:
    """Make a function that returns a function's gradient (JAX: grad); arguments as for `value_and_grad`.

    Example:
        >>> import rustorch as rt
        >>> rt.grad(rt.grad(lambda x: x**3))(rt.asarray(2.0))
        tensor(12., dtype=float32)
    """
    both = value_and_grad(fn, argnums, has_aux=has_aux)

    @functools.wraps(fn)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, found = both(*args, **kwargs)
        return (found, value[1]) if has_aux else found

    return gradient


def _source(leaf: Any) -> Tensor:
    """A leaf of an argument as a point of departure for the walk."""
    if isinstance(leaf, (float, complex)):
        from rustorch_core._creation_functions import asarray

        leaf = asarray(leaf)
    if not isinstance(leaf, Tensor):
        raise OperandError(f"grad: expected tensors and floats in the argument, met {type(leaf).__name__}")
    if not is_floating(leaf.dtype):
        raise DTypeError(
            f"grad: an argument of {leaf.dtype} has no gradient; convert it with astype, or name others in argnums"
        )
    return leaf if type(leaf) is not Tensor and leaf.is_leaf and leaf.requires_grad else _alias(leaf)


def _gradients(value: Any, sources: list[Tensor], stays_open: bool) -> list[Tensor]:
    """The gradient for each source, zeros where the value does not depend on it."""
    from rustorch_core._creation_functions import zeros_like

    if not isinstance(value, Tensor) or value.size != 1 or value.dtype not in CATEGORIES["real floating-point"]:
        met = (
            f"a tensor of {value.dtype} and shape {value.shape}" if isinstance(value, Tensor) else type(value).__name__
        )
        raise GradientError(f"grad: the function must return one real floating-point element, it returned {met}")
    found: dict[Node, Tensor] = {}
    if value._node is not None:
        wanted = frozenset(x._node for x in sources if x._node is not None)
        seed = [(value._node, _ones_like(value))]
        found = walk(seed, wanted=wanted, retain_graph=stays_open, create_graph=stays_open)
    taken: set[int] = set()
    return [_owned(found[x._node], taken) if x._node in found else zeros_like(x.detach()) for x in sources]


def _is_open(value: Any, sources: list[Tensor]) -> bool:
    """Whether anything else that requires a gradient took part: then the result is differentiable too."""
    if not isinstance(value, Tensor) or value._node is None or not _graph.recording():
        return False
    own = {x._node for x in sources}
    return any(node.op is None and node not in own for node in in_order([value._node]))


def stop_gradient(x: Tensor) -> Tensor:
    """The same values, through which no gradient flows (JAX: stop_gradient)."""
    check_tensor("stop_gradient", x)
    return x.detach()
