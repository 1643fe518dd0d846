"""`Module`, the tree of parameters, buffers and submodules that every layer is."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar, TypeVar

from rustorch_core import _tree
from rustorch_core._arguments import flag
from rustorch_core._autograd import no_grad
from rustorch_core._data_types import is_floating
from rustorch_core._dispatch import check_tensor
from rustorch_core._memory import add_detached
from rustorch_core._tensor import Tensor, tensor_like
from rustorch_core.errors import ArgumentError, OperandError, ShapeError

Self = TypeVar("Self", bound="Module")
T = TypeVar("T")


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
    try:
        words = [tags] if isinstance(tags, str) else list(tags)
    except TypeError:
        words = [tags]
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

    def get_submodule(self, target: str) -> Module:
        """The module of a dotted name; this one for "".

        Raises:
            ArgumentError: where there is none.
        """
        return self._found(dict(self.named_modules()), "get_submodule", target)

    def get_parameter(self, target: str) -> Parameter:
        """The parameter of a dotted name.

        Raises:
            ArgumentError: where there is none.
        """
        return self._found(dict(self.named_parameters()), "get_parameter", target)

    def get_buffer(self, target: str) -> Tensor:
        """The buffer of a dotted name.

        Raises:
            ArgumentError: where there is none.
        """
        return self._found(dict(self.named_buffers()), "get_buffer", target)

    def _found(self, by_name: Mapping[str, T], function: str, target: str) -> T:
        if target not in by_name:
            names = ", ".join(filter(None, by_name)) or "none"
            raise ArgumentError(f"{function}: {type(self).__name__} has no {target!r}; there are: {names}")
        return by_name[target]

    def add_module(self, name: str, module: Module | None) -> None:
        """Put a module below this one under a name, as an assignment does."""
        self._check_name("add_module", name, module, Module)
        setattr(self, name, module)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Give the module a parameter, or None in the place of one, as an assignment does."""
        self._check_name("register_parameter", name, param, Parameter)
        setattr(self, name, param)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Give the module a tensor that belongs to its state, but that no optimizer changes.

        Arguments:
            name: the attribute's name; what is assigned to it later is the buffer.
            tensor: the buffer, or None for none yet.
            persistent: whether `state_dict` has it.

        Raises:
            ArgumentError: for a name that is taken, or can be no attribute's.
            OperandError: for what is no tensor.
        """
        self._check_name("register_buffer", name, tensor, Tensor)
        vars(self).setdefault("_persistence", {})[name] = flag("register_buffer", "persistent", persistent)
        setattr(self, name, tensor)

    def _check_name(self, function: str, name: str, value: object, kind: type) -> None:
        if not isinstance(name, str) or not name or "." in name:
            raise ArgumentError(f"{function}: expected a name without dots, met {name!r}")
        if value is not None and not isinstance(value, kind):
            raise OperandError(f"{function}: {name} is a {kind.__name__} or None, met {type(value).__name__}")
        known = vars(self).get(name) if name in vars(self) else getattr(type(self), name, None)
        if known is not None and (not isinstance(known, kind) or (kind is Tensor and isinstance(known, Parameter))):
            raise ArgumentError(
                f"{function}: {type(self).__name__} has another attribute {name!r}; choose another name"
            )

    def _places(self, of: Callable[[Module], Iterable[tuple[str, Tensor]]]) -> Iterator[tuple[str, Module, str]]:
        """The dotted name of what modules hold, the module that holds it and its attribute there; a shared one once."""
        seen: set[int] = set()
        for prefix, module in self.named_modules():
            for name, value in of(module):
                if id(value) not in seen:
                    seen.add(id(value))
                    yield (f"{prefix}.{name}" if prefix else name), module, name

    def _named(self, of: Callable[[Module], Iterable[tuple[str, T]]]) -> Iterator[tuple[str, T]]:
        return ((path, getattr(module, name)) for path, module, name in self._places(of))

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Every parameter by dotted name, a shared one once."""
        return self._named(_parameters_of)

    def parameters(self) -> Iterator[Parameter]:
        """Every parameter, a shared one once."""
        return (parameter for _, parameter in self.named_parameters())

    def named_buffers(self) -> Iterator[tuple[str, Tensor]]:
        """Every buffer by dotted name, a shared one once."""
        return self._named(_buffers_of)

    def buffers(self) -> Iterator[Tensor]:
        """Every buffer, a shared one once."""
        return (buffer for _, buffer in self.named_buffers())

    def apply(self: Self, fn: Callable[[Module], object]) -> Self:
        """Call a function with every module below this one, then with this one; returns the module itself."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    # State

    def state_dict(self) -> dict[str, Tensor]:
        """The values of all parameters and persistent buffers by dotted name; they share memory with the module."""
        return {name: value.detach() for name, value in self._named(_state_of)}

    @no_grad()
    def load_state_dict(self, state_dict: Mapping[str, Tensor]) -> None:
        """Copy values into parameters and persistent buffers; all of them, or none where anything does not fit.

        Raises:
            ArgumentError: for names that are missing or unknown.
            ShapeError: for a value of another shape.
        """
        own = dict(self._named(_state_of))
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
        """Move the state to a device, or what of it is floating-point into such a dtype; returns the module itself."""
        for _, module, name in [*self._places(_parameters_of), *self._places(_buffers_of)]:
            old = getattr(module, name)
            new = old.detach().to(target)
            if isinstance(old, Parameter):
                new = Parameter(new, old.requires_grad, old.tags)
            elif not is_floating(old.dtype):
                new = old.to(new.device)
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


def _parameters_of(module: Module) -> Iterator[tuple[str, Parameter]]:
    return ((name, value) for name, value in vars(module).items() if isinstance(value, Parameter))


def _buffers_of(module: Module) -> Iterator[tuple[str, Tensor]]:
    names = vars(module).get("_persistence", {})
    return ((name, value) for name in names if type(value := getattr(module, name, None)) is Tensor)


def _state_of(module: Module) -> Iterator[tuple[str, Tensor]]:
    yield from _parameters_of(module)
    yield from ((name, value) for name, value in _buffers_of(module) if vars(module)["_persistence"][name])


def _split(module: Module) -> tuple[list[Any], _tree.Rebuild]:
    """A module as a pytree: its parameters are the leaves, and other leaves make a module of the same kind."""
    places = [path for path, _, _ in module._places(_parameters_of)]

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
