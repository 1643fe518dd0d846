"""`Module`, the tree of parameters and submodules that every layer is."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, TypeVar

from rustorch_core import _tree
from rustorch_core._autograd import no_grad
from rustorch_core._dispatch import check_tensor
from rustorch_core._memory import add_detached
from rustorch_core._tensor import Tensor, tensor_like
from rustorch_core.errors import ArgumentError, OperandError, ShapeError

Self = TypeVar("Self", bound="Module")


class Parameter(Tensor):
    """A tensor that a module owns and an optimizer may change.

    Arguments:
        data: tensor of a floating-point dtype; its memory is shared.
        requires_grad: False keeps it out of gradients.
        tags: words that an optimizer's rules choose it by; "decay" and "no_decay" have their say without a rule.
    """

    __slots__ = ("_tags",)

    def __new__(cls, data: Tensor, requires_grad: bool = True, tags: Iterable[str] = ()) -> Parameter:
        check_tensor("Parameter", data)
        made = add_detached(data, tensor_like(cls, data._array, data._key))
        made.requires_grad_(requires_grad)
        made._tags = _words(tags)
        return made

    def __init__(self, data: Tensor, requires_grad: bool = True, tags: Iterable[str] = ()) -> None:
        pass

    @property
    def tags(self) -> set[str]:
        """The words that an optimizer's rules choose the parameter by; a set, to be changed at will."""
        if not hasattr(self, "_tags"):
            self._tags: set[str] = set()
        return self._tags

    def __reduce__(self) -> tuple[Any, ...]:
        return *super().__reduce__(), (None, {"_tags": self.tags})

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        made = super().__deepcopy__(memo)
        if isinstance(made, Parameter):
            made._tags = set(self.tags)
        return made


def _words(tags: Any) -> set[str]:
    """A parameter's tags, of which one may come by itself.

    Raises:
        OperandError: for anything but words.
    """
    words = [tags] if isinstance(tags, str) else list(tags) if isinstance(tags, Iterable) else [tags]
    if not all(isinstance(word, str) for word in words):
        raise OperandError(f"Parameter: tags are words, met {tags!r}")
    return set(words)


class Module:
    """The base of all layers (PyTorch: nn.Module): assign parameters and modules as attributes, and write `forward`."""

    training: bool = True
    #: What the parameters directly in it are for, where an optimizer is to know: "norm", "embedding" or None.
    role: ClassVar[str | None] = None

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the module's output; every module writes its own."""
        raise NotImplementedError(f"{type(self).__name__} has no forward method")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.forward(*args, **kwargs)

    # The tree

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules directly below this one, by name."""
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module and all below it, by dotted name."""
        yield prefix, self
        for name, child in self.named_children():
            yield from child.named_modules(f"{prefix}.{name}" if prefix else name)

    def modules(self) -> Iterator[Module]:
        """This module and all below it."""
        return (module for _, module in self.named_modules())

    def children(self) -> Iterator[Module]:
        """The modules directly below this one."""
        return (child for _, child in self.named_children())

    def _places(self) -> Iterator[tuple[str, Module, str]]:
        """Every parameter's dotted name, the module that holds it and its attribute there; a shared one once."""
        seen: set[int] = set()
        for prefix, module in self.named_modules():
            for name, value in vars(module).items():
                if isinstance(value, Parameter) and id(value) not in seen:
                    seen.add(id(value))
                    yield (f"{prefix}.{name}" if prefix else name), module, name

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Every parameter by dotted name, a shared one once."""
        return ((path, getattr(module, name)) for path, module, name in self._places())

    def parameters(self) -> Iterator[Parameter]:
        """Every parameter, a shared one once."""
        return (parameter for _, parameter in self.named_parameters())

    # State

    def state_dict(self) -> dict[str, Tensor]:
        """The values of all parameters by dotted name; they share memory with the module."""
        return {name: parameter.detach() for name, parameter in self.named_parameters()}

    @no_grad()
    def load_state_dict(self, state_dict: Mapping[str, Tensor]) -> None:
        """Copy values into the parameters; all of them, or none where anything does not fit.

        Raises:
            ArgumentError: for names that are missing or unknown.
            ShapeError: for a value of another shape.
        """
        own = dict(self.named_parameters())
        if not isinstance(state_dict, Mapping):
            raise OperandError(f"load_state_dict: expected tensors by name, met {type(state_dict).__name__}")
        missing, unknown = sorted(own.keys() - state_dict.keys()), sorted(state_dict.keys() - own.keys())
        if missing or unknown:
            raise ArgumentError(
                f"load_state_dict: {type(self).__name__} misses {', '.join(missing) or 'nothing'} "
                f"and does not know {', '.join(unknown) or 'nothing'}"
            )
        for name, parameter in own.items():
            check_tensor(f"load_state_dict: {name}", state_dict[name])
            if state_dict[name].shape != parameter.shape:
                raise ShapeError(
                    f"load_state_dict: {name} has shape {parameter.shape}, met a value of {state_dict[name].shape}"
                )
        for name, parameter in own.items():
            parameter.copy_(state_dict[name].to(device=parameter.device, dtype=parameter.dtype))

    def to(self: Self, target: Any) -> Self:
        """Move every parameter to a device or into a floating-point dtype; returns the module itself."""
        for _, module, name in list(self._places()):
            old = getattr(module, name)
            new = Parameter(old.detach().to(target), old.requires_grad, old.tags)
            for holder in self.modules():
                for attribute, value in list(vars(holder).items()):
                    if value is old:
                        setattr(holder, attribute, new)
        return self

    def train(self: Self, mode: bool = True) -> Self:
        """Switch this module and all below it to training, or back; returns the module itself."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self: Self) -> Self:
        """Switch this module and all below it to evaluation; returns the module itself."""
        return self.train(False)

    def requires_grad_(self: Self, requires_grad: bool = True) -> Self:
        """Let all parameters take part in gradients, or none; returns the module itself."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self.parameters():
            parameter.grad = None

    def extra_repr(self) -> str:
        """What `repr` shows between the parentheses."""
        return ""

    def __repr__(self) -> str:
        lines = [f"({name}): {child!r}".replace("\n", "\n  ") for name, child in self.named_children()]
        inside = "\n  ".join(["", *lines]) + "\n" if lines else self.extra_repr()
        return f"{type(self).__name__}({inside})"


def _split(module: Module) -> tuple[list[Any], _tree.Rebuild]:
    """A module as a pytree: its parameters are the leaves, and other leaves make a module of the same kind."""
    places = [path for path, _, _ in module._places()]

    def rebuild(leaves: list[Any]) -> Module:
        if all(new is old for new, old in zip(leaves, module.parameters(), strict=True)):
            return module
        return _with_parameters(module, dict(zip(places, leaves, strict=True)))

    return list(module.parameters()), rebuild


def _with_parameters(module: Module, leaves: Mapping[str, Any], prefix: str = "") -> Module:
    made = copy.copy(module)
    for name, value in list(vars(module).items()):
        path = f"{prefix}.{name}" if prefix else name
        if isinstance(value, Module):
            setattr(made, name, _with_parameters(value, leaves, path))
        elif path in leaves:
            leaf = leaves[path]
            setattr(made, name, _as_parameter(leaf) if isinstance(leaf, Tensor) else leaf)
    return made


def _as_parameter(leaf: Tensor) -> Parameter:
    """A tensor in a parameter's place, with its own place in the graph."""
    made = add_detached(leaf, tensor_like(Parameter, leaf._array, leaf._key))
    made._node = leaf._node
    return made


_tree.register(Module, _split)
