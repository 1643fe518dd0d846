"""From functions to functions: gradients, products with Jacobian and Hessian matrices, and these matrices themselves.

All of them trace a function once, from new points of departure, and walk what was recorded backward. Where anything
else that requires a gradient took part, the results are differentiable too, so that they nest.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rustorch_core import _graph, _tree
from rustorch_core._autograd import _alias, _ones_like, _owned, walk
from rustorch_core._creation_functions import arange, asarray, zeros, zeros_like
from rustorch_core._data_types import CATEGORIES, is_floating
from rustorch_core._define import beside, cast
from rustorch_core._elementwise_functions import abs, real
from rustorch_core._graph import Node
from rustorch_core._manipulation_functions import reshape, stack
from rustorch_core._statistical_functions import max, sum
from rustorch_core._tensor import Tensor
from rustorch_core.errors import ArgumentError, DTypeError, GradientError, OperandError, ShapeError

_COMPLEX = CATEGORIES["complex floating-point"]


class _Trace:
    """A call of a function, recorded from new points of departure: the leaves of some of its arguments.

    Arguments:
        name: of the transform, for messages.
        fn: the function.
        args: its positional arguments.
        kwargs: its keyword arguments.
        places: which positional arguments to depart from.
        has_aux: whether the function returns a pair of its value and anything else.
    """

    def __init__(
        self,
        name: str,
        fn: Callable[..., Any],
        args: Sequence[Any],
        kwargs: dict[str, Any],
        places: Sequence[int],
        has_aux: bool,
    ) -> None:
        self._name = name
        self._since = _graph.now()
        split = [_tree.flatten(args[place]) for place in places]
        with _graph.set_recording(True):
            sources = [[_source(name, leaf) for leaf in leaves] for leaves, _ in split]
            traced = list(args)
            for place, leaves, (_, rebuild) in zip(places, sources, split, strict=True):
                traced[place] = rebuild(list(leaves))
            result = fn(*traced, **kwargs)
        if has_aux and not (isinstance(result, tuple) and len(result) == 2):
            raise OperandError(f"{name}: with has_aux=True the function returns a pair, met {type(result).__name__}")
        self.result: Any = result[0] if has_aux else result
        self._aux: Any = result[1] if has_aux else None
        self._builders = [(len(leaves), rebuild) for leaves, rebuild in split]
        self.sources = [leaf for leaves in sources for leaf in leaves]
        self.outputs, self.rebuild = _tree.flatten(self.result)
        own = {x._node for x in self.sources}
        ends = _graph.boundary([x._node for x in self.outputs if isinstance(x, Tensor)], self._since)
        self._reaches_out = any(node not in own for node in ends)

    def is_open(self, *more: Tensor | None) -> bool:
        """Whether anything else that requires a gradient took part, or does: then what comes out is differentiable."""
        takes_part = self._reaches_out or any(x is not None and x.requires_grad for x in more)
        return takes_part and _graph.recording()

    @property
    def value(self) -> Any:
        """What the function returned."""
        return self.result if self.is_open() else _detached(self.result)

    @property
    def aux(self) -> Any:
        """What it returned beside."""
        return self._aux if self.is_open() else _detached(self._aux)

    def pulled_back(self, seeds: Sequence[Tensor | None], *, retain_graph: bool = True) -> list[Tensor]:
        """The gradient for each source, from one for each output; zeros where there is no way."""
        stays_open = self.is_open(*seeds)
        found = self._walked(self.outputs, seeds, self.sources, stays_open, retain_graph or stays_open)
        taken = {id(seed) for seed in seeds}
        return [
            zeros_like(x.detach()) if each is None else _owned(each, taken)
            for x, each in zip(self.sources, found, strict=True)
        ]

    def _walked(
        self, ends: Sequence[Any], seeds: Sequence[Any], targets: Sequence[Any], create_graph: bool, retain_graph: bool
    ) -> list[Tensor | None]:
        entering = [
            (x._node, seed)
            for x, seed in zip(ends, seeds, strict=True)
            if seed is not None and isinstance(x, Tensor) and x._node is not None
        ]
        found: dict[Node, Tensor] = {}
        if entering:
            wanted = frozenset(x._node for x in targets if x is not None)
            found = walk(
                entering, wanted=wanted, retain_graph=retain_graph, create_graph=create_graph, since=self._since
            )
        return [None if x is None else found.get(x._node) for x in targets]

    @functools.cached_property
    def _linear(self) -> tuple[list[Tensor | None], list[Tensor | None]]:
        """Cotangents for the outputs, ones, and the gradients for the sources as recorded functions of them.

        The walk is linear in what enters, so that its own walk backward carries tangents forward.
        """
        with _graph.set_recording(True):
            entering = [
                _ones_like(x).requires_grad_() if isinstance(x, Tensor) and x._node is not None else None
                for x in self.outputs
            ]
            return entering, self._walked(self.outputs, entering, self.sources, True, True)

    def pushed_forward(self, tangents: Sequence[Tensor | None]) -> list[Tensor | None]:
        """The tangent of each output, from one for each source; None for an output without gradient."""
        entering, gradients = self._linear
        stays_open = self.is_open(*tangents)
        found = self._walked(gradients, tangents, entering, stays_open, True)
        taken = {id(tangent) for tangent in tangents}
        return [
            None
            if not isinstance(x, Tensor) or not is_floating(x.dtype)
            else (zeros_like(x.detach()) if each is None else _owned(each, taken))
            for x, each in zip(self.outputs, found, strict=True)
        ]

    def built(self, leaves: Sequence[Any]) -> tuple[Any, ...]:
        """One tree for each of the arguments, from a leaf for each source."""
        remaining = iter(leaves)
        return tuple([rebuild([next(remaining) for _ in range(count)]) for count, rebuild in self._builders])


def _source(name: str, leaf: Any) -> Tensor:
    """A leaf of an argument as a point of departure for the walk."""
    if isinstance(leaf, (float, complex)):
        leaf = asarray(leaf)
    if not isinstance(leaf, Tensor):
        raise OperandError(f"{name}: expected tensors and floats in the argument, met {type(leaf).__name__}")
    if not is_floating(leaf.dtype):
        raise DTypeError(
            f"{name}: an argument of {leaf.dtype} has no gradient; convert it with astype, or leave it to a closure or "
            "to arguments that argnums does not name"
        )
    return leaf if type(leaf) is not Tensor and leaf.is_leaf and leaf.requires_grad else _alias(leaf)


def _detached(tree: Any) -> Any:
    """The same tree with its tensors detached."""
    leaves, rebuild = _tree.flatten(tree)
    return rebuild([leaf.detach() if type(leaf) is Tensor and leaf.requires_grad else leaf for leaf in leaves])


def _check_function(name: str, fn: Any) -> None:
    if not callable(fn):
        raise OperandError(f"{name}: expected a function, met {type(fn).__name__}")


def _numbers(name: str, argnums: Any) -> tuple[int, ...]:
    try:
        return tuple(operator.index(number) for number in (argnums if isinstance(argnums, Sequence) else (argnums,)))
    except TypeError:
        raise OperandError(f"{name}: argnums is an integer or a sequence of them, met {argnums!r}") from None


def _places(name: str, numbers: Sequence[int], args: Sequence[Any]) -> list[int]:
    for number in numbers:
        if not -len(args) <= number < len(args):
            raise ArgumentError(f"{name}: argnums names argument {number}, but {len(args)} were passed by position")
    return [number % len(args) for number in numbers]


# Gradients


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
    _check_function("grad", fn)
    numbers = _numbers("grad", argnums)

    @functools.wraps(fn)
    def value_and_gradient(*args: Any, **kwargs: Any) -> Any:
        trace = _Trace("grad", fn, args, kwargs, _places("value_and_grad", numbers, args), has_aux)
        gradients = trace.built(trace.pulled_back([_seed_of(trace)], retain_graph=False))
        value = (trace.value, trace.aux) if has_aux else trace.value
        return value, (gradients[0] if isinstance(argnums, int) else gradients)

    return value_and_gradient


def _seed_of(trace: _Trace) -> Tensor:
    value = trace.result
    if not isinstance(value, Tensor) or value.size != 1 or value.dtype not in CATEGORIES["real floating-point"]:
        met = (
            f"a tensor of {value.dtype} and shape {value.shape}" if isinstance(value, Tensor) else type(value).__name__
        )
        raise GradientError(f"grad: the function must return one real floating-point element, it returned {met}")
    return _ones_like(value)


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


# Products with the Jacobian matrix


def vjp(fn: Callable[..., Any], *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """Call a function, and make the function that carries gradients from its output back to its arguments (JAX: vjp).

    Arguments:
        fn: returns any pytree; with `has_aux` a pair of that and anything else.
        primals: its arguments, any pytrees of floating-point tensors and Python floats.
        has_aux: whether `fn` returns a pair.

    Returns:
        the value; the function, from a gradient of the value's structure to a tuple of one for each argument; and
        with `has_aux` what `fn` returned beside. The function may be called any number of times. In what it takes,
        None stands for no gradient.

    Raises:
        DTypeError: for integer or boolean leaves.
        ShapeError: from the function, for a gradient of another shape than the value.

    Example:
        >>> import rustorch as rt
        >>> value, pull_back = rt.vjp(lambda x, y: x * y, rt.asarray([1.0, 2.0]), rt.asarray(3.0))
        >>> pull_back(rt.asarray([1.0, 10.0]))
        (tensor([ 3., 30.], dtype=float32), tensor(21., dtype=float32))
    """
    _check_function("vjp", fn)
    trace = _Trace("vjp", fn, primals, {}, range(len(primals)), has_aux)
    structure = _tree.skeleton(trace.result)

    def pull_back(cotangent: Any) -> tuple[Any, ...]:
        return trace.built(trace.pulled_back(_fitting("vjp", trace.outputs, structure, cotangent)))

    return (trace.value, pull_back, trace.aux) if has_aux else (trace.value, pull_back)


def jvp(fn: Callable[..., Any], primals: Any, tangents: Any, *, has_aux: bool = False) -> tuple[Any, ...]:
    """Call a function, and compute its derivative along a direction (JAX: jvp).

    It is found by two walks: the first backward, recorded, the second through that one.

    Arguments:
        fn: returns any pytree; with `has_aux` a pair of that and anything else.
        primals: a tuple or list of its arguments, any pytrees; or its only argument.
        tangents: the direction, of the same structure; None stands for no change.
        has_aux: whether `fn` returns a pair.

    Returns:
        the value; its change, of its structure, with None for what has no gradient; and with `has_aux` what `fn`
        returned beside.

    Raises:
        DTypeError: for integer or boolean leaves.
        ShapeError: for a tangent of another shape than its primal.

    Example:
        >>> import rustorch as rt
        >>> rt.jvp(lambda x, y: x * y, (rt.asarray(2.0), rt.asarray(3.0)), (rt.asarray(1.0), rt.asarray(0.5)))
        (tensor(6., dtype=float32), tensor(4., dtype=float32))
    """
    _check_function("jvp", fn)
    (args, directions), _ = _arguments(primals, tangents)
    trace = _Trace("jvp", fn, args, {}, range(len(args)), has_aux)
    change = trace.rebuild(trace.pushed_forward(_fitting("jvp", trace.sources, _tree.skeleton(args), directions)))
    return (trace.value, change, trace.aux) if has_aux else (trace.value, change)


def _arguments(primals: Any, tangents: Any) -> tuple[tuple[tuple[Any, ...], Any], bool]:
    """The arguments of a function and a tangent for each, and whether they came as a sequence."""
    is_sequence = isinstance(primals, (tuple, list))
    if not is_sequence:
        return ((primals,), (tangents,)), False
    return (tuple(primals), tuple(tangents) if isinstance(tangents, list) else tangents), True


def _fitting(name: str, ends: Sequence[Any], structure: Any, tree: Any) -> list[Tensor | None]:
    """A gradient or tangent for each of some tensors, from a tree that has it, or None, where they stand."""
    given = _tree.at_leaves(name, structure, tree)
    return [_fitting_one(name, x, each) for x, each in zip(ends, given, strict=True)]


def _fitting_one(name: str, x: Any, given: Any) -> Tensor | None:
    if given is None or not isinstance(x, Tensor) or not is_floating(x.dtype):
        return None
    given = given if isinstance(given, Tensor) else beside(name, x, given).clone()
    if given.shape != x.shape:
        raise ShapeError(f"{name}: a tensor of shape {given.shape} met one of shape {x.shape}; they must agree")
    return cast(real(given) if given.dtype in _COMPLEX and x.dtype not in _COMPLEX else given, x.dtype)


# The Jacobian and the Hessian matrix


def jacobian(fn: Callable[..., Any], argnums: int | Sequence[int] = 0, *, has_aux: bool = False) -> Callable[..., Any]:
    """Make a function that returns the derivatives of each element of a function's value (JAX: jacrev, jacfwd).

    They are found by one walk for each element of the value, or for each element of the arguments where these are
    fewer, after one that is recorded.

    Arguments:
        fn: returns any pytree of floating-point tensors; with `has_aux` a pair of that and anything else.
        argnums: which positional arguments to differentiate with respect to, as for `value_and_grad`.
        has_aux: whether `fn` returns a pair.

    Returns:
        a function of the same arguments. It returns the value's structure, in the place of each tensor the argument's
        structure, and in that of each of its tensors the derivatives: of the shape of the one and then that of the
        other. Where `argnums` is a sequence a tuple stands around those of the arguments. With `has_aux` a pair of that
        and what `fn` returned beside. Of a real function of complex numbers it is the gradient, as `grad` means it.

    Raises:
        GradientError: where the value is not floating-point; and where a complex function of complex numbers is not
            holomorphic: it has no complex derivative.
        DTypeError: for integer or boolean leaves.

    Example:
        >>> import rustorch as rt
        >>> rt.jacobian(lambda x: rt.stack([x[0] * x[1], x[1]]))(rt.asarray([2.0, 3.0]))
        tensor([[3., 2.],
                [0., 1.]], dtype=float32)
    """
    _check_function("jacobian", fn)
    numbers = _numbers("jacobian", argnums)

    @functools.wraps(fn)
    def derivatives(*args: Any, **kwargs: Any) -> Any:
        trace = _Trace("jacobian", fn, args, kwargs, _places("jacobian", numbers, args), has_aux)
        for each in trace.outputs:
            if not isinstance(each, Tensor) or not is_floating(each.dtype):
                met = each.dtype if isinstance(each, Tensor) else type(each).__name__
                raise GradientError(f"jacobian: the function must return floating-point tensors, it returned {met}")
        is_wide = _size(trace.sources) < _size(trace.outputs)
        blocks = _by_columns(trace) if is_wide and not _has_complex(trace.sources) else _by_rows(trace)
        trees = [trace.built(row) for row in blocks]
        result = trace.rebuild([tree[0] if isinstance(argnums, int) else tree for tree in trees])
        return (result, trace.aux) if has_aux else result

    return derivatives


def _size(tensors: Sequence[Tensor]) -> int:
    size = 0
    for x in tensors:
        size += x.size
    return size


def _has_complex(tensors: Sequence[Tensor]) -> bool:
    return any(x.dtype in _COMPLEX for x in tensors)


def _directions(x: Tensor) -> Iterator[Tensor]:
    """For each element of a tensor the direction in which it alone changes."""
    numbers = reshape(arange(x.size, device=x.device), x.shape)
    return (cast(numbers == place, x.dtype) for place in range(x.size))


def _by_rows(trace: _Trace) -> list[list[Tensor]]:
    """For each output and each source the derivatives, by a walk for each element of the output."""
    blocks = []
    for place, output in enumerate(trace.outputs):
        rows = []
        for direction in _directions(output):
            seeds: list[Tensor | None] = [None] * len(trace.outputs)
            seeds[place] = direction
            row = trace.pulled_back(seeds)
            if output.dtype in _COMPLEX:
                seeds[place] = direction * -1j
                turned = trace.pulled_back(seeds)
                row = [_whole(*pair) for pair in zip(row, turned, strict=True)]
            rows.append(row)
        blocks.append(
            [
                _together([row[source] for row in rows], (*output.shape, *x.shape), x)
                for source, x in enumerate(trace.sources)
            ]
        )
    return blocks


def _whole(gradient: Tensor, turned: Tensor) -> Tensor:
    """The derivative of a complex output from the gradients of its real and of its imaginary part."""
    if gradient.dtype not in _COMPLEX:
        return gradient + 1j * turned
    with _graph.set_recording(False):
        if gradient.size and float(max(abs(turned + 1j * gradient))) > 1e-3 * float(max(abs(gradient))):
            raise GradientError(
                "jacobian: the function is not holomorphic, so that it has no complex derivative; "
                "take rt.real and rt.imag of its value, or of its argument"
            )
    return gradient


def _by_columns(trace: _Trace) -> list[list[Tensor]]:
    """The same by a walk for each element of the sources, which are real."""
    columns: list[list[list[Tensor | None]]] = []
    for place, x in enumerate(trace.sources):
        found = []
        for direction in _directions(x):
            tangents: list[Tensor | None] = [None] * len(trace.sources)
            tangents[place] = direction
            found.append(trace.pushed_forward(tangents))
        columns.append(found)
    return [
        [
            _together([column[number] for column in columns[place]], (*output.shape, *x.shape), output, axis=-1)
            for place, x in enumerate(trace.sources)
        ]
        for number, output in enumerate(trace.outputs)
    ]


def _together(parts: Sequence[Any], shape: tuple[int, ...], like: Tensor, axis: int = 0) -> Tensor:
    if not parts:
        return zeros(shape, dtype=like.dtype, device=like.device)
    return reshape(stack(parts, axis=axis), shape)


def hessian(fn: Callable[..., Any], argnums: int | Sequence[int] = 0, *, has_aux: bool = False) -> Callable[..., Any]:
    """Make a function that returns a function's second derivatives (JAX: hessian): the Jacobian of its gradient.

    Arguments:
        fn: returns one tensor without axes; with `has_aux` a pair of that and anything else.
        argnums: which positional arguments to differentiate with respect to, as for `value_and_grad`; all real.
        has_aux: whether `fn` returns a pair.

    Returns:
        a function of the same arguments; what it returns is nested as by `jacobian`.

    Raises:
        GradientError: where the value is not one real floating-point element.

    Example:
        >>> import rustorch as rt
        >>> rt.hessian(lambda x: x[0] ** 2 * x[1])(rt.asarray([2.0, 3.0]))
        tensor([[6., 4.],
                [4., 0.]], dtype=float32)
    """
    return jacobian(grad(fn, argnums, has_aux=has_aux), argnums, has_aux=has_aux)


def hvp(fn: Callable[..., Any], primals: Any, tangents: Any) -> tuple[Any, Any]:
    """Call a function, and multiply its Hessian matrix by a direction (PyTorch: autograd.functional.hvp).

    The matrix is never there: it takes a gradient, and the gradient of that along the direction.

    Arguments:
        fn: returns one tensor without axes.
        primals: a tuple or list of its arguments, any pytrees; or its only argument.
        tangents: the direction, of the same structure; None stands for no change.

    Returns:
        the value, and the product: a tuple of one for each argument, or where `primals` is the only argument, its.

    Raises:
        GradientError: where the value is not one real floating-point element.

    Example:
        >>> import rustorch as rt
        >>> rt.hvp(lambda x: (x**3).sum(), rt.asarray([1.0, 2.0]), rt.asarray([1.0, 0.0]))
        (tensor(9., dtype=float32), tensor([6., 0.], dtype=float32))
    """
    _check_function("hvp", fn)
    (args, directions), is_sequence = _arguments(primals, tangents)
    structure = _tree.skeleton(args)
    numbers = tuple(range(len(args)))

    def slope(*inputs: Any) -> tuple[Tensor, Any]:
        value, gradients = value_and_grad(fn, numbers)(*inputs)
        leaves = _tree.flatten(gradients)[0]
        along = _fitting("hvp", leaves, structure, directions)
        changes = [sum(real(g * v)) for g, v in zip(leaves, along, strict=True) if v is not None]
        return functools.reduce(operator.add, changes, zeros((), dtype=value.dtype, device=value.device)), value

    product, value = grad(slope, numbers, has_aux=True)(*args)
    return value, product if is_sequence else product[0]
