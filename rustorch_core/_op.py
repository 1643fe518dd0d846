"""What an op is, the registry of all ops, and how a rule says what it keeps.

A rule is a function whose parameters say what it needs, from a fixed vocabulary: `g` the incoming gradient, `y` the
output, or `ys` all of several and `index` which of them `g` belongs to, `x` or `x1`, `x2`... the inputs, `xs` all of
them, `x_shape` and `x_dtype` of the input it is for, `position` which input that is; any other name is an attribute of
the call. What a rule does not name is not kept in memory.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rustorch_core._data_types import CATEGORIES
from rustorch_core._graph import Node, sibling
from rustorch_core._memory import Saved, save

if TYPE_CHECKING:
    from rustorch_core._devices import DispatchKey
    from rustorch_core._tensor import Tensor

Rule = Callable[..., Any]
#: What a rule's parameter keeps of a call: `(inputs, position, attributes, output) -> what is kept`.
Keep = Callable[[tuple[Any, ...], int, Mapping[str, Any], Any], Any]
#: What the rule is then given: `(what is kept, node of the call, position) -> argument`.
Restore = Callable[[Any, Node, int], Any]

#: Every op by name, in the order of definition.
REGISTRY: dict[str, Op] = {}
#: Who is told when an op is bound to a device and dtype.
when_bound: list[Callable[[Op], None]] = []


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
        is_view: whether the result shares the input's memory.
        may_copy: whether it does so only where the memory allows it.
        is_read_only: whether it is then only to be read, as some of NumPy's views are.
        takes_list: whether the native function takes its arrays as one list.
        reference: the same function in NumPy, for the value test; default: NumPy's of that name.
        has_native_operator: whether the arrays' own in-place operator computes the same.
        keeps_dtype: whether the result has the dtype of the inputs, for every dtype of the category.
        selects: whether the gradient is 0 where an input had no say, as behind `where`.
        home: the module that states it.
    """

    __slots__ = (
        "_parameters",
        "bound",
        "category",
        "compose",
        "domain",
        "function",
        "has_native_operator",
        "home",
        "is_read_only",
        "is_view",
        "keeps_dtype",
        "kind",
        "may_copy",
        "name",
        "native",
        "no_gradient",
        "operator",
        "plan",
        "reference",
        "rules",
        "selects",
        "served",
        "summary",
        "takes_list",
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
        may_copy: bool = False,
        is_read_only: bool = False,
        takes_list: bool = False,
        reference: Callable[..., Any] | None = None,
        has_native_operator: bool = False,
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
        self.may_copy = may_copy
        self.is_read_only = is_read_only
        self.takes_list = takes_list
        self.reference = reference
        self.has_native_operator = has_native_operator
        self.keeps_dtype = keeps_dtype
        self.selects = selects
        self.operator = operator
        self.kind = kind
        self.home = home
        self.function: Callable[..., Any] | None = None
        #: What a compiled call path knows of the op.
        self.plan: object = None
        self._parameters = [None if rule is None else tuple(map(_parameter, _names(rule))) for rule in self.rules]
        self.served: dict[DispatchKey, str] = {}
        self.bound: dict[DispatchKey, Callable[..., Any]] = {}
        REGISTRY[name] = self

    def bind(self, key: DispatchKey) -> Callable[..., Any]:
        """The function that serves the op for a key: found at first use, then a dict's lookup away in `bound`."""
        from rustorch_core._dispatch import find

        if key not in self.bound:
            self.served[key], self.bound[key] = find(self, key)
            for tell in tuple(when_bound):  # one that wants to be told once leaves the list
                tell(self)
        return self.bound[key]

    @property
    def is_differentiable(self) -> bool:
        return any(rule is not None for rule in self.rules) or (self.compose is not None and not self.no_gradient)

    @property
    def keeps_kind(self) -> bool:
        """Whether results can be of the kind of the inputs: of an elementwise op that answers no question."""
        is_question = not self.is_differentiable and not self.no_gradient
        return not is_question or CATEGORIES[self.category] <= CATEGORIES["integer or boolean"]

    def rule(self, position: int) -> Rule | None:
        """The rule for an input; the last one serves all that follow."""
        return self.rules[min(position, len(self.rules) - 1)] if self.rules else None

    def keep(
        self,
        parents: tuple[Node | None, ...],
        inputs: tuple[Tensor | None, ...],
        attributes: Mapping[str, Any],
        output: Any,
    ) -> tuple[tuple[Any, ...] | None, ...]:
        """What the rule for each input asks for; without rules all inputs, to differentiate the composition."""
        if not self.rules:
            every = tuple([None if x is None else save(x) for x in inputs]) if self.compose is not None else None
            return tuple([None if parent is None else every for parent in parents])
        last = len(self.rules) - 1
        kept: list[tuple[Any, ...] | None] = []
        for position, parent in enumerate(parents):
            parameters = None if parent is None else self._parameters[position if position < last else last]
            if parameters is None:
                kept.append(None)
            else:
                kept.append(tuple([keep(inputs, position, attributes, output) for keep, _ in parameters]))
        return tuple(kept)

    def pull_back(self, node: Node, position: int, g: Tensor) -> Tensor | None:
        """The gradient with respect to one input of a recorded call, by its rule."""
        rule, kept = self.rule(position), None if node.saved is None else node.saved[position]
        parameters = self._parameters[min(position, len(self.rules) - 1)]
        if rule is None or kept is None or parameters is None:
            return None
        arguments = [restore(value, node, position) for (_, restore), value in zip(parameters, kept, strict=True)]
        found: Tensor | None = rule(g, *arguments)
        return found

    def __repr__(self) -> str:
        return f"Op({self.name})"


def _names(rule: Rule) -> tuple[str, ...]:
    """A rule's parameters after `g`."""
    code = rule.__code__
    return code.co_varnames[1 : code.co_argcount]


def restored(saved: Saved, node: Node | None) -> Tensor:
    """A saved tensor as it was, in its place in the graph; a write into it leaves what was saved as it is."""
    from rustorch_core._tensor import Tensor, tensor_like

    tensor = tensor_like(Tensor, saved.array, saved.key)
    tensor._node, tensor._saved = node, weakref.ref(saved)
    return tensor


def _restored_input(saved: Saved | None, node: Node, position: int) -> Tensor | None:
    return None if saved is None else restored(saved, node.parents[position])


def _numbered(which: int) -> tuple[Keep, Restore]:
    return (
        lambda inputs, position, attributes, output: None if inputs[which] is None else save(inputs[which]),
        lambda saved, node, position: _restored_input(saved, node, which),
    )


def as_kept(value: Any, node: Node, position: int) -> Any:
    """What is kept is the argument."""
    return value


#: What a rule's parameter of each name keeps, and how that becomes the argument.
VOCABULARY: dict[str, tuple[Keep, Restore]] = {
    "y": (
        lambda inputs, position, attributes, output: save(output),
        lambda saved, node, position: restored(saved, node),
    ),
    "ys": (
        lambda inputs, position, attributes, output: [save(part) for part in output],
        lambda saved, node, position: [
            restored(part, sibling(node, index, tuple(part.array.shape), part.key)) for index, part in enumerate(saved)
        ],
    ),
    "index": (lambda inputs, position, attributes, output: None, lambda kept, node, position: node.index),
    "x": (lambda inputs, position, attributes, output: save(inputs[position]), _restored_input),
    "x1": _numbered(0),
    "x2": _numbered(1),
    "x3": _numbered(2),
    "xs": (
        lambda inputs, position, attributes, output: [save(x) for x in inputs],
        lambda saved, node, position: [restored(x, parent) for x, parent in zip(saved, node.parents, strict=True)],
    ),
    "x_shape": (lambda inputs, position, attributes, output: inputs[position].shape, as_kept),
    "shapes": (lambda inputs, position, attributes, output: [x.shape for x in inputs], as_kept),
    "x_dtype": (lambda inputs, position, attributes, output: inputs[position]._key.dtype, as_kept),
    "position": (lambda inputs, position, attributes, output: None, lambda kept, node, position: position),
}


def _parameter(name: str) -> tuple[Keep, Restore]:
    """How a rule's parameter of this name is kept and restored; what the vocabulary lacks is an attribute."""
    return VOCABULARY.get(name, (lambda inputs, position, attributes, output: attributes[name], as_kept))
