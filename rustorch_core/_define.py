"""How ops are stated: `unary`, `binary`, `op` and `composition` each turn one statement into a public function.

The function carries its op as `.op`; methods and operators of `Tensor` are attached on the way.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec

import numpy

from rustorch_core import _data_types, _dispatch
from rustorch_core._devices import DispatchKey
from rustorch_core._op import Op, Rule
from rustorch_core._tensor import Tensor, same_device, wrap
from rustorch_core.errors import DeviceMismatchError, DTypeError, OperandError

P = ParamSpec("P")
UnaryFunction = Callable[[Tensor], Tensor]
BinaryFunction = Callable[[Any, Any], Tensor]
Prepared = tuple[tuple[Any, ...], dict[str, Any]]

#: Where users find what is stated here.
PUBLIC = "rustorch"
#: How tensors take each operator, by the special method's name without `__`.
OPERATORS: dict[str, Callable[[Any, Any], Any]] = {}
COMPARISONS = ("lt", "le", "gt", "ge", "eq", "ne")


_UNARY_TEXT = """Compute {summary}.

    Arguments:
        x: tensor of {dtype} dtype, any shape.

    Returns:
        a tensor of the shape of `x`.

    Raises:
        DTypeError: for other dtypes{promotes}.
    """

_BINARY_TEXT = """Compute {summary}.

    Arguments:
        x1: tensor of {dtype} dtype, or a Python number beside a tensor.
        x2: likewise; its shape broadcasts with that of `x1`.

    Returns:
        a tensor of the broadcast shape.

    Raises:
        ShapeError: where the shapes do not broadcast.
        DTypeError: for other dtypes{promotes}.
        DeviceMismatchError: for tensors on two devices.
    """


def unary(
    name: str,
    category: str,
    rule: Rule | None,
    summary: str,
    *,
    operator: str | None = None,
    source: str = "",
    **facts: Any,
) -> UnaryFunction:
    """State an elementwise op of one array; `facts` are those of `Op`, and the source is the standard if not named."""
    op = Op(
        name,
        category,
        () if rule is None else (rule,),
        summary=summary,
        operator=operator,
        kind="unary",
        home=_caller(),
        **facts,
    )
    bound = op.bound

    def function(x: Tensor, /) -> Tensor:
        if type(x) is Tensor and x._node is None and _dispatch.watchers is None:
            key = x._key
            try:
                native = (bound.get(key) or op.bind(key))(x._array)
            except Exception as error:
                raise _dispatch.explained(op, (x,), error) from error
            return wrap(native, key.device)
        _dispatch.check_tensor(name, x)
        result: Tensor = _dispatch.call(op, (x,), {})
        return result

    _publish(op, function, _UNARY_TEXT, source)
    if operator is not None:
        setattr(Tensor, operator, function)
    return function


def binary(
    name: str,
    category: str,
    rules: tuple[Rule | None, Rule | None] | None,
    summary: str,
    *,
    operator: str | None = None,
    source: str = "",
    **facts: Any,
) -> BinaryFunction:
    """State an elementwise op of two arrays that broadcast; `operator` is the special method's name without `__`."""
    op = Op(name, category, rules or (), summary=summary, operator=operator, kind="binary", home=_caller(), **facts)
    operate, on_the_road = _shortcut_and_road(op)

    def function(x1: Any, x2: Any, /) -> Tensor:
        result = operate(x1, x2) if type(x1) is Tensor else on_the_road(x1, x2)
        if result is NotImplemented:
            promoted(name, x1, x2)
        return result  # type: ignore[no-any-return]

    _publish(op, function, _BINARY_TEXT, source)
    if operator is not None:
        setattr(Tensor, f"__{operator}__", operate)
        OPERATORS[operator] = operate
        if operator not in COMPARISONS:
            setattr(Tensor, f"__r{operator}__", lambda x, other: on_the_road(other, x))
    return function


def _shortcut_and_road(op: Op) -> tuple[Callable[[Tensor, Any], Any], Callable[[Any, Any], Any]]:
    """A binary op as its operator takes it: by the shortcut where there is one, else by the road."""
    name, bound, keeps_dtype = op.name, op.bound, op.keeps_dtype

    def operate(x1: Tensor, x2: Any) -> Any:
        # One device and dtype, nobody records, nobody watches. Written out, for a call is a tenth of a small addition.
        kind = type(x2)
        if kind is Tensor and (key := x1._key) is x2._key:
            if x1._node is not None or x2._node is not None or _dispatch.watchers is not None:
                return _dispatch.call(op, (x1, x2), {})
            try:
                native = bound[key](x1._array, x2._array)
            except Exception as error:
                if key not in bound:
                    op.bind(key)
                    return operate(x1, x2)
                raise _dispatch.explained(op, (x1, x2), error) from error
            if keeps_dtype and type(native) is key.array_type:
                made = Tensor()
                made._array = native
                made._key = key
                made._node = made._place = made._saved = None
                return made
            return wrap(native, key.device)
        if kind in x1._key.scalars and x1._node is None and _dispatch.watchers is None:
            key = x1._key
            try:
                return wrap((bound.get(key) or op.bind(key))(x1._array, x2), key.device)
            except Exception as error:
                raise _dispatch.explained(op, (x1, x2), error) from error
        return on_the_road(x1, x2)

    def on_the_road(x1: Any, x2: Any) -> Any:
        if not is_operand(x1) or not is_operand(x2):
            return NotImplemented
        return _dispatch.call(op, promoted(name, x1, x2), {})

    return operate, on_the_road


def _article(category: str) -> str:
    return "any" if category == "all" else f"{'an' if category[0] in 'aeiou' else 'a'} {category}"


def _promotes(category: str) -> str:
    is_floating = not _data_types.CATEGORIES[category] & _data_types.CATEGORIES["integer"]
    return "; integers become the default floating-point dtype" if is_floating and category != "boolean" else ""


def _publish(op: Op, function: Any, text: str, source: str) -> None:
    """Give a function its names and its docstring, and make it a method."""
    source = f" ({source})" if source else "" if op.compose else " (Array API)"
    text = text.format(summary=op.summary, dtype=_article(op.category), promotes=_promotes(op.category))
    function.__name__ = function.__qualname__ = op.name
    function.__module__ = PUBLIC
    function.__doc__ = text.replace(".\n", f"{source}.\n", 1)
    function.op = op
    op.function = function
    attach(op.name, function)
    if op.keeps_kind:
        attach(f"{op.name}_", in_place(op))


def in_place(op: Op) -> Callable[..., Tensor]:
    """`x.exp_()` and its like: what an elementwise op returns, written into the memory of `x` (PyTorch)."""
    name = f"{op.name}_"

    def method(x: Tensor, /, *args: Any, **kwargs: Any) -> Tensor:
        from rustorch_core._mutation import overwrite

        assert op.function is not None
        return overwrite(x, op.function(x, *args, **kwargs), name)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"Write what `{op.name}` returns into the memory of the tensor; returns the tensor (PyTorch)."
    return method


def attach(name: str, function: Callable[..., Any]) -> None:
    """Make a function that takes a tensor first a method of that name."""
    if name.isidentifier() and name not in vars(Tensor):
        setattr(Tensor, name, function)


def _caller() -> str:
    """The module that states an op."""
    name: str = sys._getframe(2).f_globals["__name__"]
    return name


def public_names(module: dict[str, Any]) -> list[str]:
    """What a chapter defines for users: its own public functions and classes, not what it imports."""
    return [name for name, value in module.items() if name[0] != "_" and _home(value) == module["__name__"]]


def publish(module: dict[str, Any]) -> None:
    """Let the functions of a public module name it as their home, where no other one is yet; `help` shows it."""
    for name, value in module.items():
        if name[0] != "_" and inspect.isfunction(value) and value.__module__.startswith(f"{PUBLIC}_core."):
            value.__module__ = module["__name__"]


def _home(value: Any) -> str | None:
    """The module that defines a function or class, or states its op."""
    stated = getattr(value, "op", None)
    home: str | None = stated.home if isinstance(stated, Op) else getattr(value, "__module__", None)
    return home


def is_operand(other: Any) -> bool:
    """Whether something can stand beside a tensor: another one, a Python or NumPy number, a NumPy array."""
    return isinstance(other, (Tensor, bool, int, float, complex)) or hasattr(other, "__array_interface__")


def promoted(name: str, x1: Any, x2: Any) -> tuple[Tensor, Tensor]:
    """Two operands as tensors on one device and of one dtype.

    Raises:
        OperandError: where neither is a tensor, or one is nothing that can become one.
    """
    if not isinstance(x1, Tensor):
        if not isinstance(x2, Tensor):
            raise OperandError(
                f"{name}: expected a tensor among the operands, met {type(x1).__name__} and {type(x2).__name__}"
            )
        x1 = beside(name, x2, x1)
    elif not isinstance(x2, Tensor):
        x2 = beside(name, x1, x2)
    if x1._key is x2._key:
        return x1, x2
    if x1._key.device is not x2._key.device:
        same_device(name, x1, x2)
    dtype = _data_types.promote_types(x1._key.dtype, x2._key.dtype)
    return cast(x1, dtype), cast(x2, dtype)


def cast(x: Tensor, dtype: _data_types.DType) -> Tensor:
    """The tensor in another dtype, recorded; itself where it has it."""
    if x._key.dtype is dtype:
        return x
    from rustorch_core._data_type_functions import astype

    return astype(x, dtype, copy=False)


def beside(name: str, tensor: Tensor, other: Any) -> Tensor:
    """A Python number, NumPy number or NumPy array as a tensor that can stand beside the given one."""
    key = tensor._key
    device = key.device
    if isinstance(other, (bool, int, float, complex)):
        if type(other) not in key.scalars:
            key = device.key(_data_types.with_scalar(key.dtype, other))
        known: Tensor | None = key.numbers.get((type(other), other))
        return _number(name, other, key) if known is None else known
    if not hasattr(other, "__array_interface__"):
        raise OperandError(
            f"{name}: {type(other).__name__} cannot stand beside a tensor; make one with rustorch.asarray"
        )
    if not device.shares_host_memory and numpy.ndim(other):
        raise DeviceMismatchError(
            f"{name}: a NumPy array met a tensor on {device}; use rustorch.asarray(array, device={str(device)!r})"
        )
    from rustorch_core._creation_functions import asarray

    # What the graph saves of an operand must not change with the array.
    return asarray(other, device=device, copy=True if tensor._node is not None else None)


#: How many numbers are remembered for a device and dtype.
_MOST_NUMBERS = 256


def _number(name: str, number: complex, key: DispatchKey) -> Tensor:
    """A tensor of a Python number, remembered for the next time."""
    try:
        made = wrap(key.namespace.asarray(number, dtype=key.native_dtype), key.device)
    except (OverflowError, ValueError, TypeError) as error:
        raise DTypeError(f"{name}: {number} does not fit into {key.dtype}; convert the tensor with astype") from error
    if number or type(number) is int:  # 0.0 and -0.0 are one key, and two numbers
        if hasattr(made._array, "setflags"):
            made._array.setflags(write=False)  # nobody shall change what all share
        if len(key.numbers) >= _MOST_NUMBERS:
            key.numbers.clear()
        key.numbers[type(number), number] = made
    return made


def op(
    name: str, category: str, *rules: Rule | None, method: bool = True, **facts: Any
) -> Callable[[Callable[P, Prepared]], Callable[P, Tensor]]:
    """State an op whose arguments need reading: the decorated function returns its tensors and its attributes.

    The public function has the decorated one's signature and docstring, and returns what the device computes.
    """

    def decorate(prepare: Callable[P, Prepared]) -> Callable[P, Tensor]:
        stated = Op(name, category, rules, home=prepare.__module__, **facts)
        prepare.__annotations__["return"] = "Tensor"  # what `help` shows

        takes_list = stated.takes_list

        @functools.wraps(prepare)
        def function(x: Any, *args: Any, **kwargs: Any) -> Any:
            if type(x) is not Tensor and not takes_list:
                _dispatch.check_tensor(name, x)
            inputs, attributes = prepare(x, *args, **kwargs)
            return _dispatch.call(stated, inputs, attributes)

        function.__module__ = ".".join((PUBLIC, *name.split(".")[:-1]))
        function.op = stated  # type: ignore[attr-defined]
        stated.function = function
        if method:
            attach(name, function)
        return function  # type: ignore[return-value]  # the signature is the decorated one's, the result a tensor

    return decorate


def _together(name: str, inputs: Sequence[Any], defaults: Sequence[Any]) -> tuple[Tensor | None, ...]:
    """The inputs of a composition in the dtype they promote to; None stays where it is the default."""
    key, is_alike = None, True
    for x, default in zip(inputs, defaults, strict=True):
        if x is None and default is None:
            continue
        if type(x) is not Tensor:
            _dispatch.check_tensor(name, x)
        key = key or x._key
        is_alike = is_alike and x._key is key
    if is_alike:
        return tuple(inputs)
    present = [x for x in inputs if x is not None]
    same_device(name, *present)
    dtype = functools.reduce(_data_types.promote_types, [x.dtype for x in present])
    return tuple([None if x is None else cast(x, dtype) for x in inputs])


def composition(
    category: str, *rules: Rule | None, **facts: Any
) -> Callable[[Callable[P, Tensor]], Callable[P, Tensor]]:
    """State an op by its spelling in other ops; a plugin may register a kernel for it under the function's name.

    Parameters annotated as tensors are the op's inputs, all others its attributes.
    """

    def decorate(compose: Callable[P, Tensor]) -> Callable[P, Tensor]:
        name = compose.__name__.lstrip("_")
        parameters = inspect.signature(compose).parameters
        names, defaults = list(parameters), {p.name: p.default for p in parameters.values()}
        by_position = [p.name for p in parameters.values() if p.kind is not inspect.Parameter.KEYWORD_ONLY]
        input_names = [p.name for p in parameters.values() if "Tensor" in str(p.annotation)]
        attribute_names = [each for each in names if each not in input_names]
        is_plain = by_position == input_names == names
        are_inputs_first = by_position[: len(input_names)] == input_names
        attribute_defaults = {each: defaults[each] for each in attribute_names}
        needed = {each for each in attribute_names if defaults[each] is inspect.Parameter.empty}

        def run(*inputs: Any, **attributes: Any) -> Any:
            values = {**dict(zip(input_names, inputs, strict=True)), **attributes}
            return compose(*[values.pop(each) for each in by_position], **values)

        stated = Op(name, category, rules, compose=compose if is_plain else run, home=compose.__module__, **facts)
        input_defaults = [defaults[each] for each in input_names]
        required = [each for each in names if defaults[each] is inspect.Parameter.empty]

        @functools.wraps(compose)
        def function(*args: Any, **kwargs: Any) -> Any:
            if are_inputs_first and len(args) == len(input_names):  # the usual call, without a look at each name
                attributes = attribute_defaults | kwargs
                if len(attributes) == len(attribute_names) and needed <= kwargs.keys():
                    is_alone = len(args) == 1 and type(args[0]) is Tensor
                    inputs = args if is_alone else _together(name, args, input_defaults)
                    return _dispatch.call(stated, inputs, attributes)
            values = {**defaults, **dict(zip(by_position, args, strict=False)), **kwargs}
            is_incomplete = any(values[each] is inspect.Parameter.empty for each in required)
            if len(args) > len(by_position) or len(values) > len(names) or is_incomplete:
                compose(*args, **kwargs)  # Python's own message for arguments that do not fit
            inputs = _together(name, [values[each] for each in input_names], input_defaults)
            return _dispatch.call(stated, inputs, {each: values[each] for each in attribute_names})

        function.__module__ = PUBLIC
        function.op = stated  # type: ignore[attr-defined]
        stated.function = function
        if name == compose.__name__:
            attach(name, function)
        return function

    return decorate
