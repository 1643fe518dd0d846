"""The one call site: every op on every device passes here.

`call` is the whole road: one device, the bound function, the result, the graph, the watchers. `unary` and `binary` in
`_define` know a shortcut for tensors that nobody records or watches; what they bind is bound here.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy

from rustorch_core import _data_types, _devices, _graph, _plugins
from rustorch_core._devices import DispatchKey
from rustorch_core._memory import add_detached, add_view, is_view
from rustorch_core._tensor import Tensor, same_device, wrap
from rustorch_core.errors import (
    ArgumentError,
    DTypeError,
    IndexingError,
    LinearAlgebraError,
    OperandError,
    OutOfMemoryError,
    RusTorchError,
    ShapeError,
    UnsupportedOpError,
)

if TYPE_CHECKING:
    from rustorch_core._op import Op

Native = Callable[..., Any]
Before = Callable[[Any, tuple[Any, ...], Mapping[str, Any]], Any]
After = Callable[[Any, tuple[Any, ...], Mapping[str, Any], Any, Any], None]

#: Pairs of (before, after); None while nobody watches, which is all that an op then pays.
watchers: tuple[tuple[Before, After], ...] | None = None


def watch(before: Before, after: After) -> Callable[[], None]:
    """Call `before(op, inputs, attributes)` and `after(op, inputs, attributes, output, token)` around every op.

    `token` is what `before` returned. Compositions without a kernel are seen as the ops they are made of.

    Returns:
        a function that ends the watch.
    """
    global watchers
    pair = (before, after)
    watchers = (*(watchers or ()), pair)

    def undo() -> None:
        global watchers
        watchers = tuple(other for other in watchers or () if other is not pair) or None

    return undo


def call(op: Op, inputs: tuple[Any, ...], attributes: Mapping[str, Any]) -> Any:
    """Run an op: the result on the inputs' device, recorded where an input requires a gradient.

    Arguments:
        op: the op.
        inputs: tensors, or None where the op allows it; the first is a tensor.
        attributes: everything else that the op takes.
    """
    x = inputs[0]
    key = x._key
    tracked = False
    arrays: list[Any] = []
    for each in inputs:
        if each is None:
            arrays.append(None)
            continue
        if each._key is not key:
            same_device(op.name, *inputs)
        if each._node is not None:
            tracked = True
        arrays.append(each._array)
    tracked = tracked and _graph._state.on
    function = op.bound.get(key) or op.bind(key)
    if tracked and op.compose is not None and not op.rules and op.served[key] == "composition":
        return op.compose(*inputs, **attributes)
    watching = watchers  # who is there when the op begins is told of its end
    tokens = None if watching is None else [before(op, inputs, attributes) for before, _ in watching]
    try:
        result = function(*arrays, **attributes)
    except Exception as error:
        raise explained(op, inputs, error) from error
    output = outputs(result, key)
    if op.is_view:
        note_view(op, x, attributes, output)
    if tracked:
        _graph.record(op, inputs, attributes, output)
    if tokens is not None:
        for (_, after), token in zip(watching or (), tokens, strict=True):
            after(op, inputs, attributes, output, token)
    return output


def outputs(result: Any, key: DispatchKey) -> Any:
    """What a native function returned for arrays of a key, as tensors."""
    if type(result) is key.array_type:
        output = Tensor()
        output._array = result
        output._key = key.device.keys[output._array.dtype]
        output._node = output._place = output._saved = None
        return output
    if isinstance(result, (tuple, list)):
        return tuple([wrap(part, key.device) for part in result])
    return wrap(result, key.device)


def note_view(op: Op, x: Tensor, attributes: Mapping[str, Any], output: Tensor) -> None:
    """Note what shares the memory of `x`; a view that is taken while nothing is recorded takes no part in what is."""
    if not op.may_copy or is_view(x, output, op, attributes):
        (add_view if _graph._state.on else add_detached)(x, output, op, attributes)


def explain(op: Op, inputs: tuple[Any, ...], error: Exception) -> None:
    """Raise the named error for what a native function raised."""
    raise explained(op, inputs, error) from error


@_plugins.on_refresh
def _unbind() -> None:
    from rustorch_core._op import REGISTRY

    for op in REGISTRY.values():
        op.bound.clear()
        op.served.clear()


def find(op: Op, key: DispatchKey) -> tuple[str, Native]:
    """What serves an op: a kernel, the device's namespace, the op's composition, or the fallback that the user allowed.

    Raises:
        DTypeError: for a dtype outside the op's category.
        UnsupportedOpError: where nothing serves it.
    """
    key_of_op = _key_in_category(op, key)
    if key_of_op is not key:
        how, function = find(op, key_of_op)
        astype, native_dtype, array_type = key.namespace.astype, key_of_op.native_dtype, key.array_type

        def cast_first(*arrays: Any, **attributes: Any) -> Any:
            cast = [astype(a, native_dtype) if type(a) is array_type else a for a in arrays]
            return function(*cast, **attributes)

        return how, cast_first
    kernels, do_all_decline = _kernels(op, key)
    if not do_all_decline and len(kernels) == 1:
        return "kernel", kernels[0]
    answers = [*_from_namespace(op, key), *_from_composition(op, key)] if do_all_decline else []
    if not kernels:
        return (answers or [_fallback(op, key)])[0]
    return "kernel", _first_that_accepts(op, key, [*kernels, *(function for _, function in answers)])


def _key_in_category(op: Op, key: DispatchKey) -> DispatchKey:
    """The key under which the op runs.

    Integers enter a floating-point function in the default dtype, and any number a logical one as whether it is not 0.
    """
    allowed = _data_types.CATEGORIES[op.category]
    if key.dtype in allowed:
        return key
    integers = _data_types.CATEGORIES["integer or boolean"]
    if key.dtype in integers and _data_types.Defaults.floating in allowed and not allowed & integers:
        return key.device.key(_data_types.Defaults.floating)
    if op.category == "boolean" and op.kind in ("unary", "binary"):
        return key.device.key(_data_types.DTYPES["bool"])
    if key.dtype == _data_types.DTYPES["bool"] and op.category in ("numeric", "real-valued"):
        return key  # booleans count as 0 and 1, as in NumPy and PyTorch; what cannot count them raises by itself
    raise DTypeError(f"{op.name}: {key.dtype} met, but {op.category} dtypes are expected; use astype to convert")


def _kernels(op: Op, key: DispatchKey) -> tuple[list[Native], bool]:
    """The kernels in the order in which they are asked, and whether the last of them too may decline."""
    found = [
        (record, kernel)
        for record, kernel in _plugins.facts("rustorch_kernels")
        if kernel.op == op.name and kernel.device == key.device.type and key.dtype.name in kernel.dtypes
    ]
    functions: list[Native] = []
    for record, kernel in sorted(found, key=lambda one: (-one[1].rank, one[0].name)):
        try:
            functions.append(_plugins.resolve(kernel.load))
        except Exception as error:  # whatever a plugin's import raises, its op runs without it
            record.fail(f"the kernel {kernel.op} cannot be loaded: {_plugins.describe(error)}", error)
            warnings.warn(f"plugin {record.name}: {record.reason}; running without it", UserWarning, stacklevel=2)
            continue
        if not kernel.declines:
            return functions, False
    return functions, True


def _from_namespace(op: Op, key: DispatchKey) -> list[tuple[str, Native]]:
    if op.compose is not None:
        return []
    if op.native is not None:
        return [("namespace", functools.partial(op.native, key.namespace))]
    function = key.namespace
    for part in op.name.split("."):
        function = getattr(function, part, None)
    if function is None:
        return []
    if op.takes_list:
        return [("namespace", lambda *arrays, **attributes: function(list(arrays), **attributes))]
    return [("namespace", function)]


def _from_composition(op: Op, key: DispatchKey) -> list[tuple[str, Native]]:
    if op.compose is None:
        return []
    compose, device = op.compose, key.device

    def run(*arrays: Any, **attributes: Any) -> Any:
        state = _graph._state
        before, state.on = state.on, False  # `set_recording`, written out
        try:
            result = compose(*[None if array is None else wrap(array, device) for array in arrays], **attributes)
        finally:
            state.on = before
        return tuple(part._array for part in result) if isinstance(result, tuple) else result._array

    return [("composition", run)]


def _fallback(op: Op, key: DispatchKey) -> tuple[str, Native]:
    """The reference device in a device's place, where the user allowed it; else the error that says how to."""
    allowed = _plugins.environment.fallback
    reference = _devices.device("cpu")
    if allowed == "error" or key.device is reference:
        raise UnsupportedOpError(
            f"{op.name} has no kernel, function or composition for {key.dtype} on {key.device}; "
            "move the tensor with .to('cpu'), or set RUSTORCH_FALLBACK=warn to let such ops run on the host (slower)"
        )
    if allowed == "warn":
        warnings.warn(f"{op.name} runs on the host: {key.device} does not offer it", UserWarning, stacklevel=2)
    function = op.bind(reference.key(key.dtype))
    device = key.device

    def on_the_host(*arrays: Any, **attributes: Any) -> Any:
        result = function(*[None if a is None else device.to_host(a) for a in arrays], **attributes)
        if isinstance(result, (tuple, list)):
            return tuple(device.from_host(part) for part in result)
        return device.from_host(result)

    return "fallback", on_the_host


def _first_that_accepts(op: Op, key: DispatchKey, functions: list[Native]) -> Native:
    first, *others = functions

    def ask(*arrays: Any, **attributes: Any) -> Any:
        result = first(*arrays, **attributes)
        if result is not NotImplemented:
            return result
        for function in others:
            result = function(*arrays, **attributes)
            if result is not NotImplemented:
                return result
        raise UnsupportedOpError(f"{op.name}: every kernel for {key.dtype} on {key.device} declined these arguments")

    return ask


_ERRORS: list[tuple[type[BaseException], type[RusTorchError]]] = [
    (IndexError, IndexingError),
    (OverflowError, DTypeError),
    (MemoryError, OutOfMemoryError),
    (TypeError, DTypeError),
    (ValueError, ArgumentError),
    (ArithmeticError, ArgumentError),
    (NotImplementedError, UnsupportedOpError),
    (RuntimeError, ArgumentError),
]


def explained(op: Op, inputs: tuple[Any, ...], error: Exception) -> Exception:
    """The named error for what a native function raised: the op, what met, and what the function said."""
    if isinstance(error, RusTorchError):
        return error
    tensors = [x for x in inputs if isinstance(x, Tensor)]
    met = " and ".join(f"{x.dtype}{list(x.shape)}" for x in tensors)
    if type(error).__name__.strip("_") == "LinAlgError":  # NumPy's, and others' after it
        return LinearAlgebraError(f"{op.name}: {error} (met {met})")
    if op.kind == "binary" and isinstance(error, (ValueError, TypeError, RuntimeError)) and not _do_broadcast(tensors):
        return ShapeError(
            f"{op.name}: shapes {' and '.join(str(x.shape) for x in tensors)} cannot be broadcast together"
        )
    for native, ours in _ERRORS:
        if isinstance(error, native):
            return ours(f"{op.name}: {error} (met {met})")
    return error


def _do_broadcast(tensors: list[Tensor]) -> bool:
    try:
        numpy.broadcast_shapes(*[x.shape for x in tensors])
    except ValueError:
        return False
    return True


def check_tensor(name: str, x: Any) -> None:
    """Refuse what is not a tensor.

    Raises:
        OperandError: with what to do instead.
    """
    if not isinstance(x, Tensor):
        raise OperandError(f"{name}: expected a tensor, met {type(x).__name__}; make one with rustorch.asarray")
