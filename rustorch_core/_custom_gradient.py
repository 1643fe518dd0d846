"""Functions that bring their own gradient."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rustorch_core import _graph, _tree
from rustorch_core._creation_functions import zeros
from rustorch_core._data_types import is_floating
from rustorch_core._function import Kept, Replaced, record_function, share_with_living
from rustorch_core._memory import add_detached
from rustorch_core._tensor import Tensor, tensor_like
from rustorch_core.errors import GradientError, OperandError


def custom_gradient(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Give a function the gradient that it says itself (JAX: custom_gradient).

    Arguments:
        fn: returns a pair: the output, any pytree; and a function from the gradient with respect to the output, of its
            structure, to a tuple of the gradients with respect to each positional argument. For one argument the
            gradient may stand alone. None stands for no gradient. Gradients are linear and without conjugates, as
            everywhere. Derivatives of higher order are those of this second function, written in ops, and of what it
            refers to in the first. Neither writes into its arguments.

    Returns:
        a function of the same arguments that returns the output alone. Its positional arguments may be any pytrees;
        keyword arguments have no gradient.

    Raises:
        GradientError: where a tensor requires a gradient that `fn` uses, but that is no positional argument; and in the
            walk, where a gradient does not fit its argument.
        OperandError: where `fn` does not return such a pair.

    Example:
        >>> import rustorch as rt
        >>> @rt.custom_gradient
        ... def log1pexp(x):
        ...     e = rt.exp(x)
        ...     return rt.log(1 + e), lambda g: g * (1 - 1 / (1 + e))
        >>> rt.grad(log1pexp)(100.0)
        tensor(1., dtype=float32)
    """
    if not callable(fn):
        raise OperandError(f"custom_gradient: expected a function, met {type(fn).__name__}")
    name = getattr(fn, "__name__", type(fn).__name__)

    @functools.wraps(fn)
    def function(*args: Any, **kwargs: Any) -> Any:
        leaves = _tree.flatten(args)[0]
        parents = [leaf._node if isinstance(leaf, Tensor) else None for leaf in leaves]
        if not _graph.recording() or not any(parents):
            return _run(name, fn, args, kwargs)[0]
        kept: list[tuple[Tensor, Kept]] = []
        output, used, replaced = _recorded(name, fn, args, kwargs, parents, kept)
        share_with_living(replaced)
        # What of them still lives is what the function that computes the gradient refers to.
        kept += [(tensor, Kept(tensor)) for each in used if (tensor := each()) is not None]
        return output

    return function


def _recorded(
    name: str,
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    parents: Sequence[Any],
    kept: Sequence[tuple[Tensor, Kept]],
) -> tuple[Any, list[weakref.ref[Tensor]], Replaced]:
    """The output in its place in the graph; and the tensors that went into the function and came out of it."""
    since = _graph.now()
    leaves, rebuild = _tree.flatten(args)
    own = [_alias(leaf) if isinstance(leaf, Tensor) else leaf for leaf in leaves]
    output, backward = _run(name, fn, tuple(rebuild(own)), kwargs)
    outputs, rebuild_output = _tree.flatten(output)
    tensors = [each for each in (*own, *outputs) if isinstance(each, Tensor)]
    foreign = set(_graph.boundary([each._node for each in tensors], since)) - set(parents)
    if foreign:
        raise GradientError(
            f"{name}: it uses {len(foreign)} tensors that require a gradient and are no positional arguments; "
            "pass them as such, or use .detach()"
        )
    forms = [(x.shape, x._key) if isinstance(x, Tensor) and is_floating(x.dtype) else None for x in outputs]
    places = [i for i, form in enumerate(forms) if form is not None]
    structure = _tree.skeleton(args)

    def pull_back(parts: Mapping[int, Tensor]) -> list[Tensor | None]:
        for tensor, as_it_was in kept:
            as_it_was.put_back(tensor)
        entered = [
            parts.get(i) if form is None or i in parts else zeros(form[0], dtype=form[1].dtype, device=form[1].device)
            for i, form in enumerate(forms)
        ]
        return _checked(name, parents, _aligned(name, structure, backward(rebuild_output(entered))))

    used = [weakref.ref(each) for each in tensors]
    recorded, replaced = record_function(name, parents, pull_back, outputs, places)
    return rebuild_output(recorded), used, replaced


def _run(name: str, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, Any]:
    result = fn(*args, **kwargs)
    if not isinstance(result, tuple) or len(result) != 2 or not callable(result[1]):
        raise OperandError(
            f"{name}: a function with a custom gradient returns a pair, its output and a function that computes the "
            f"gradient; it returned {type(result).__name__}"
        )
    return result


def _alias(x: Tensor) -> Tensor:
    """The same tensor as another object, which nobody else writes into."""
    alias = add_detached(x, tensor_like(Tensor, x._array, x._key))
    alias._node = x._node
    return alias


def _aligned(name: str, structure: Any, found: Any) -> list[Any]:
    """One gradient for each leaf of the arguments; the only one may stand alone."""
    if len(structure) == 1 and not (isinstance(found, tuple) and len(found) == 1):
        found = (found,)
    return _tree.at_leaves(name, structure, found)


def _checked(name: str, parents: Sequence[Any], found: Sequence[Any]) -> list[Tensor | None]:
    """The gradients for the arguments that have one."""
    gradients = [None if parent is None else gradient for parent, gradient in zip(parents, found, strict=True)]
    for parent, gradient in zip(parents, gradients, strict=True):
        if gradient is not None and not (isinstance(gradient, Tensor) and gradient.shape == parent.shape):
            met = f"one of shape {gradient.shape}" if isinstance(gradient, Tensor) else type(gradient).__name__
            raise GradientError(
                f"{name}: a gradient of shape {parent.shape} or None was expected, its function returned {met}"
            )
    return gradients
