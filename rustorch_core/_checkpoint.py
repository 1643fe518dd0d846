"""Recomputation in place of memory, with the random numbers that were drawn the first time."""

from __future__ import annotations

import contextlib
import functools
import inspect
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from rustorch_core import _graph, _tree
from rustorch_core._autograd import walk
from rustorch_core._function import Kept, Replaced, record_function, share_with_living
from rustorch_core._tensor import Tensor
from rustorch_core.errors import GradientError, OperandError


class Stream(Protocol):
    """A source of random numbers whose state can be told and set."""

    def get_state(self) -> Any: ...
    def set_state(self, state: Any) -> None: ...


class _Watches(threading.local):
    """Who on this thread wants to know which streams are drawn from: the states before the first draw."""

    def __init__(self) -> None:
        self.open: list[dict[Stream, Any]] = []


_watches = _Watches()


def before_draw(stream: Stream) -> None:
    """Tell that a stream is about to change its state."""
    for states in _watches.open:
        if stream not in states:
            states[stream] = stream.get_state()


@contextlib.contextmanager
def noting_draws(states: dict[Stream, Any]) -> Iterator[None]:
    """Put the state of every stream that this thread draws from in the block, before its first draw, into a dict."""
    _watches.open.append(states)
    try:
        yield
    finally:
        _watches.open.pop()


@contextlib.contextmanager
def _drawing_again(states: Mapping[Stream, Any]) -> Iterator[None]:
    """Set streams to earlier states, and back at the end; nobody is told of what is drawn a second time."""
    watching, _watches.open = _watches.open, []
    now = {stream: stream.get_state() for stream in states}
    try:
        for stream, state in states.items():
            stream.set_state(state)
        yield
    finally:
        for stream, state in now.items():
            stream.set_state(state)
        _watches.open = watching


def checkpoint(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function, keep its arguments alone, and run it once more when its gradient is needed.

    So a chain of calls needs the memory of one of them, for the time of one more forward pass. Random numbers are the
    same the second time: the generators of `rustorch.random` that are used inside are set to the states they had.

    Arguments:
        fn: any function, method or module, which does the same when it runs again: what it reads beside its arguments
            has not changed by then, and what it writes may be written twice.
        args: its arguments, any pytrees. Without any argument the result is a function: `fn`, checkpointed.
        kwargs: likewise.

    Returns:
        what `fn` returns, any pytree. Gradients of every order flow to the arguments and to whatever else it uses.

    Raises:
        OperandError: where `fn` is no function, or returns a generator.
        GradientError: in the backward pass, where the second call returns or uses other tensors than the first.

    Source: Chen et al. 2016, arXiv:1604.06174; PyTorch: utils.checkpoint.

    Example:
        >>> import rustorch as rt
        >>> rt.grad(lambda x: rt.checkpoint(rt.sin, x * x))(2.0)
        tensor(-2.6145744, dtype=float32)
    """
    if not callable(fn):
        raise OperandError(f"checkpoint: expected a function, met {type(fn).__name__}")

    @functools.wraps(fn, updated=())
    def function(*args: Any, **kwargs: Any) -> Any:
        result, replaced = _checkpointed(fn, args, kwargs)
        share_with_living(replaced)
        return result

    return function(*args, **kwargs) if args or kwargs else function


def _checkpointed(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Replaced]:
    if not _graph.recording():
        return fn(*args, **kwargs), []
    leaves, rebuild = _tree.flatten((args, kwargs))
    kept = [Kept(leaf) if isinstance(leaf, Tensor) else leaf for leaf in leaves]
    states: dict[Stream, Any] = {}
    since = _graph.now()
    with noting_draws(states):
        result = fn(*args, **kwargs)
    name = f"checkpoint({getattr(fn, '__name__', type(fn).__name__)})"
    if inspect.isgenerator(result) or inspect.isawaitable(result):
        raise OperandError(f"{name}: a {type(result).__name__} came, whose body runs later; return a list or a tuple")
    outputs, rebuild_output = _tree.flatten(result)
    given = {id(leaf) for leaf in leaves}
    places = [
        index
        for index, each in enumerate(outputs)
        if isinstance(each, Tensor) and each._node is not None and each._node.order > since and id(each) not in given
    ]
    del leaves
    if not places:
        return result, []
    parents = _graph.boundary(_nodes(outputs, places), since)
    forms = _forms(outputs, places)

    def pull_back(parts: Mapping[int, Tensor]) -> list[Tensor | None]:
        again_since = _graph.now()
        with _drawing_again(states), _graph.set_recording(True):
            again_args, again_kwargs = rebuild([each.restored() if isinstance(each, Kept) else each for each in kept])
            again = _tree.flatten(fn(*again_args, **again_kwargs))[0]
        if _forms(again, places) != forms or _graph.boundary(_nodes(again, places), again_since) != parents:
            raise GradientError(
                f"{name}: called once more, it returned other tensors than the first time, or used others; "
                "what it reads must not change until the backward pass"
            )
        create_graph = _graph.recording()
        found = walk(
            [(again[index]._node, g) for index, g in parts.items()],
            wanted=frozenset(parents),
            retain_graph=create_graph,
            create_graph=create_graph,
            since=again_since,
        )
        return [found.get(parent) for parent in parents]

    recorded, replaced = record_function(name, parents, pull_back, outputs, places)
    return rebuild_output(recorded), replaced


def _nodes(outputs: Sequence[Any], places: Sequence[int]) -> list[Any]:
    return [outputs[index]._node for index in places]


def _forms(outputs: Sequence[Any], places: Sequence[int]) -> list[Any]:
    """Of how many outputs there are, and what those with a gradient are like."""
    chosen = [outputs[index] if index < len(outputs) else None for index in places]
    return [len(outputs), *[(x.shape, x._key) if isinstance(x, Tensor) and x._node else None for x in chosen]]
