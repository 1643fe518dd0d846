"""What an op is, the registry of all ops, and how a rule says what it keeps.

A rule is a function whose parameters say what it needs, from a fixed vocabulary: `g` the incoming gradient, `y` the
output, or `ys` all of several and `index` which of them `g` belongs to, `x` or `x1`, `x2`... the inputs, `xs` all of
them, `x_shape` and `x_dtype` of the input it is for, `position` which input that is; any other name is an attribute of
the call. What a rule does not name is not kept in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rustorch_core import _graph
from rustorch_core._data_types import CATEGORIES
from rustorch_core._memory import remember

if TYPE_CHECKING:
    from rustorch_core._devices import DispatchKey
    from rustorch_core._tensor import Tensor

Rule = Callable[..., Any]
Keeper = Callable[[tuple[Any, ...], int, Mapping[str, Any], Any], Any]

#: Every op by name, in the order of definition.
REGISTRY: dict[str, Op] = {}


class Op:
    """An operation: its name, the dtypes it is defined for, its gradient, and its spelling in other ops if it has one.

    Arguments:
        name: as in the device's namespace; `"linalg.inv"` is found there in `linalg`.
        category: a key of `CATEGORIES`, of the first input.
        rules: one rule for each input, or one for all, or none; `None` for an input without gradient.
        no_gradient: why there is none, for an op that has no rules and returns floating-point values.
        summary: a noun phrase for the docstring.
        native: `(namespace, *arrays, **attributes)`, where a device's function is not simply of that name.
        compose: the composition in other ops, taking tensors.
        domain: the open interval in which samples lie.
        is_view: whether the result may share the input's memory.
        takes_list: whether the native function takes its arrays as one list.
        reference: the same function in NumPy, for the value test; default: NumPy's of that name.
        keeps_dtype: whether the result has the dtype of the inputs, for every dtype of the category.
        selects: whether the gradient is 0 where an input had no say, as behind `where`.
        home: the module that states it.
    """

    __slots__ = (
        "_keepers",
        "bound",
        "category",
        "compose",
        "domain",
        "function",
        "home",
        "is_view",
        "keeps_dtype",
        "kind",
        "name",
        "native",
        "no_gradient",
        "operator",
        "reference",
        "rules",
        "selects",
        "served",
        "summary",
        "takes_list",
        "when_bound",
    )

    def __init__(
        self,
        name: str,
        category: str,
        rules: Sequence[Rule | None] = (),
        *,
        no_gradient: str = "",
        summary: str = "",
        native: Callable[..., Any] | None = None,
        compose: Callable[..., Any] | None = None,
        domain: tuple[float, float] = (-2.0, 2.0),
        is_view: bool = False,
        takes_list: bool = False,
        reference: Callable[..., Any] | None = None,
        keeps_dtype: bool = False,
        selects: bool = False,
        operator: str | None = None,
        kind: str = "general",
        home: str = "",
    ) -> None:
        if category not in CATEGORIES:
            raise ValueError(f"op {name}: {category!r} is no category; there are: {', '.join(CATEGORIES)}")
        if name in REGISTRY:
            raise ValueError(f"op {name} is defined twice")
        self.name = name
        self.category = category
        self.rules = tuple(rules)
        self.no_gradient = no_gradient
        self.summary = summary
        self.native = native
        self.compose = compose
        self.domain = domain
        self.is_view = is_view
        self.takes_list = takes_list
        self.reference = reference
        self.keeps_dtype = keeps_dtype
        self.selects = selects
        self.operator = operator
        self.kind = kind
        self.home = home
        self.function: Callable[..., Any] | None = None
        self.when_bound: Callable[[], None] | None = None
        self._keepers = [None if rule is None else tuple(map(_keeper, _parameters(rule)[1:])) for rule in self.rules]
        self.served: dict[DispatchKey, str] = {}
        self.bound: dict[DispatchKey, Callable[..., Any]] = {}
        REGISTRY[name] = self

    def bind(self, key: DispatchKey) -> Callable[..., Any]:
        """The function that serves the op for a key: found at first use, then a dict's lookup away in `bound`."""
        from rustorch_core._dispatch import find

        if key not in self.bound:
            self.served[key], self.bound[key] = find(self, key)
            if self.when_bound is not None:
                self.when_bound()
        return self.bound[key]

    @property
    def is_differentiable(self) -> bool:
        return any(rule is not None for rule in self.rules) or (self.compose is not None and not self.no_gradient)

    def rule(self, position: int) -> Rule | None:
        """The rule for an input; the last one serves all that follow."""
        return self.rules[min(position, len(self.rules) - 1)] if self.rules else None

    def keep(
        self,
        position: int,
        inputs: tuple[Tensor | None, ...],
        attributes: Mapping[str, Any],
        output: Tensor,
    ) -> tuple[Any, ...] | None:
        """What the rule for an input asks for; without rules all inputs, to differentiate the composition."""
        if not self.rules:
            return tuple(_save(x, x._node) if x is not None else None for x in inputs) if self.compose else None
        keepers = self._keepers[min(position, len(self.rules) - 1)]
        if keepers is None:
            return None
        return tuple([keeper(inputs, position, attributes, output) for keeper in keepers])

    def __repr__(self) -> str:
        return f"Op({self.name})"


def _parameters(rule: Rule) -> list[str]:
    code = rule.__code__
    return list(code.co_varnames[: code.co_argcount])


def _save(tensor: Tensor, node: Any) -> _graph.Saved:
    saved = _graph.Saved(tensor._array, tensor._key, node)
    remember(tensor, saved)
    return saved


def _keeper(name: str) -> Keeper:
    """How a rule's parameter of this name is filled when the call is recorded."""
    if name == "y":
        # A node that held its own output would be a cycle; the walk puts the node in.
        return lambda inputs, position, attributes, output: _save(output, _graph.ITSELF)
    if name == "ys":
        return lambda inputs, position, attributes, output: [_save(part, i) for i, part in enumerate(output)]
    if name == "index":
        return lambda inputs, position, attributes, output: _graph.INDEX
    if name == "x":
        return lambda inputs, position, attributes, output: _save(inputs[position], inputs[position]._node)
    if name in ("x1", "x2", "x3"):
        which = int(name[1]) - 1
        return lambda inputs, position, attributes, output: (
            None if inputs[which] is None else _save(inputs[which], inputs[which]._node)
        )
    if name == "xs":
        return lambda inputs, position, attributes, output: [_save(x, x._node) for x in inputs]
    if name == "x_shape":
        return lambda inputs, position, attributes, output: inputs[position].shape
    if name == "shapes":
        return lambda inputs, position, attributes, output: [x.shape for x in inputs]
    if name == "x_dtype":
        return lambda inputs, position, attributes, output: inputs[position]._key.dtype
    if name == "position":
        return lambda inputs, position, attributes, output: position
    return lambda inputs, position, attributes, output: attributes[name]
