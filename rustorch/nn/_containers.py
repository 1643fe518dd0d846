"""Modules that hold others, or parameters, by number or by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from rustorch.nn._module import Module, Parameter
from rustorch_core._tensor import Tensor
from rustorch_core.errors import ArgumentError, OperandError


class _Row(Module):
    """What modules that hold others in their order have in common."""

    _kind: ClassVar[type] = Module

    def _held(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if isinstance(value, self._kind)}

    def append(self, value: Any) -> Any:
        """Put another one at the end; returns the module itself."""
        self._put(str(len(self)), value)
        return self

    def extend(self, values: Iterable[Any]) -> Any:
        """Put others at the end; returns the module itself."""
        try:
            given = list(values)
        except TypeError:
            raise OperandError(f"{type(self).__name__}: expected several of them, met {values!r}") from None
        for value in given:
            self.append(value)
        return self

    def _put(self, name: str, value: Any) -> None:
        if not isinstance(value, self._kind):
            raise OperandError(f"{type(self).__name__}: expected a {self._kind.__name__}, met {type(value).__name__}")
        setattr(self, name, value)

    def __len__(self) -> int:
        return len(self._held())

    def __iter__(self) -> Iterator[Any]:
        return iter(self._held().values())

    def __getitem__(self, place: int | slice) -> Any:
        chosen = list(self)[place]
        return type(self)._of(chosen) if isinstance(chosen, list) else chosen

    @classmethod
    def _of(cls, values: list[Any]) -> Any:
        return cls(values)  # type: ignore[call-arg]

    def __setitem__(self, place: int, value: Any) -> None:
        self._put(list(self._held())[place], value)


class Sequential(_Row):
    """Modules one after the other (PyTorch: nn.Sequential); `model[i]` and slices give them back.

    Arguments:
        modules: the modules; or one mapping of names to them.
    """

    def __init__(self, *modules: Any) -> None:
        is_named = len(modules) == 1 and isinstance(modules[0], Mapping)
        for name, module in modules[0].items() if is_named else enumerate(modules):
            self._put(str(name), module)

    @classmethod
    def _of(cls, values: list[Any]) -> Any:
        return Sequential(*values)

    def forward(self, x: Any) -> Any:
        """Pass `x` through all modules."""
        for module in self.children():
            x = module(x)
        return x


class ModuleList(_Row):
    """Modules by number (PyTorch: nn.ModuleList), which whoever holds them calls.

    Arguments:
        modules: the modules.
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        self.extend(modules)


class ParameterList(_Row):
    """Parameters by number (PyTorch: nn.ParameterList).

    Arguments:
        values: parameters, or tensors that become such.
    """

    _kind = Parameter

    def __init__(self, values: Iterable[Tensor] = ()) -> None:
        self.extend(values)

    def _put(self, name: str, value: Any) -> None:
        is_plain = isinstance(value, Tensor) and not isinstance(value, Parameter)
        super()._put(name, Parameter(value) if is_plain else value)

    def extra_repr(self) -> str:
        return ", ".join(f"{each.dtype}{list(each.shape)}" for each in self)


class ModuleDict(Module):
    """Modules by name (PyTorch: nn.ModuleDict), which whoever holds them calls.

    Arguments:
        modules: a mapping of names to modules.
    """

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        self.update({} if modules is None else modules)

    def update(self, modules: Mapping[str, Module]) -> None:
        """Put modules under their names, in place of those there."""
        if not isinstance(modules, Mapping):
            raise OperandError(f"ModuleDict: expected modules by name, met {type(modules).__name__}")
        for name, module in modules.items():
            self[name] = module

    def keys(self) -> Iterable[str]:
        """The names."""
        return dict(self.named_children()).keys()

    def values(self) -> Iterable[Module]:
        """The modules."""
        return dict(self.named_children()).values()

    def items(self) -> Iterable[tuple[str, Module]]:
        """The names with their modules."""
        return dict(self.named_children()).items()

    def __getitem__(self, name: str) -> Module:
        held = dict(self.named_children())
        if name not in held:
            raise ArgumentError(f"ModuleDict: no module is called {name!r}; there are: {', '.join(held) or 'none'}")
        return held[name]

    def __setitem__(self, name: str, module: Module) -> None:
        self.add_module(name, module)

    def __contains__(self, name: object) -> bool:
        return name in self.keys()

    def __len__(self) -> int:
        return len(list(self.children()))

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())
