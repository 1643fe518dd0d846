"""A block after which a model, its data and all generators of random numbers are as they were before it."""

from __future__ import annotations

import contextlib
import random as python_random
from collections.abc import Iterable, Iterator
from typing import Any

import numpy

from rustorch import random
from rustorch.nn import Module
from rustorch_core._autograd import no_grad
from rustorch_core._checkpoint import Stream, noting_draws
from rustorch_core._mutation import overwrite
from rustorch_core._tensor import Tensor
from rustorch_core.errors import ArgumentError


@contextlib.contextmanager
def put_back(owners: Iterable[Any], readers: Iterable[Any] = ()) -> Iterator[None]:
    """A block after which all is as it was, to the bit and in the same memory, whatever the block raises.

    That is what is found in objects and in the modules, lists, tuples, dicts and sets in them: attributes, values and
    gradients of tensors, arrays, generators. Besides the state of every generator of `rustorch.random` that the block
    draws from, wherever it is kept, and of Python's and NumPy's global ones.

    Arguments:
        owners: modules, tensors, functions.
        readers: objects of which the tensors and arrays are not written into, and so not copied, such as loaders.
    """
    drawn: dict[Stream, Any] = {}
    with contextlib.ExitStack() as stack:
        for roots, is_copied in ((owners, True), (readers, False)):
            found = _Found(stack, is_copied)
            for root in roots:
                found.attributes(root)
                found.add(root)
        stack.callback(python_random.setstate, python_random.getstate())
        stack.callback(numpy.random.set_state, numpy.random.get_state())
        stack.callback(lambda: [stream.set_state(state) for stream, state in drawn.items()])
        with noting_draws(drawn):
            yield


class _Found:
    """What is found in objects; each thing once, and for each a call that puts it back."""

    def __init__(self, stack: contextlib.ExitStack, is_copied: bool) -> None:
        self.stack, self.is_copied = stack, is_copied
        self.seen: dict[int, Any] = {}

    def add(self, value: Any) -> None:
        if id(value) in self.seen:
            return
        self.seen[id(value)] = value
        match value:
            case Tensor():
                self.stack.callback(setattr, value, "grad", value.grad)
                self.tensor(value)
            case numpy.ndarray():
                if self.is_copied and value.flags.writeable:
                    self.stack.callback(value.__setitem__, ..., value.copy())
            case random.Generator():
                self.stack.callback(value.set_state, value.get_state())
            case numpy.random.Generator():
                self.stack.callback(setattr, value.bit_generator, "state", value.bit_generator.state)
            case python_random.Random():
                self.stack.callback(value.setstate, value.getstate())
            case Module():
                self.attributes(value)
            case dict() | list() | set():
                self.container(value)
            case tuple():
                self.all(value)

    def all(self, values: Iterable[Any]) -> None:
        for value in values:
            self.add(value)

    def attributes(self, owner: Any) -> None:
        self.add(getattr(owner, "__dict__", None))

    def container(self, value: Any) -> None:
        old = value.copy()

        def put_back() -> None:
            value.clear()
            (value.extend if isinstance(value, list) else value.update)(old)

        self.stack.callback(put_back)
        self.all(old.values() if isinstance(old, dict) else old)

    @no_grad()
    def tensor(self, value: Tensor) -> None:
        if not self.is_copied:
            return
        old = value.detach().clone()
        with contextlib.suppress(ArgumentError):  # what cannot be written, cannot have changed
            overwrite(value, old)
            self.stack.callback(no_grad()(overwrite), value, old)
