"""The device: NumPy's arrays behind a wall that only `from_host` and `to_host` pass."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy

from rustorch_core import _numpy_namespace
from rustorch_core.plugin import Backend
from rustorch_loopback_device._switches import Switches, read

COUNT = 2
_DOUBLE = ("float64", "complex128")
_UNLIMITED = 1 << 40


class _Accelerator:
    """One index: the memory that is used, and the error that waits to be raised."""

    def __init__(self, index: int, switches: Switches) -> None:
        self.name = f"loopback:{index}"
        self.switches = switches
        self.total = switches.memory if switches.memory is not None else _UNLIMITED
        self.used = 0
        self.error: Exception | None = None

    def allocate(self, nbytes: int) -> _Block:
        return _Block(self, nbytes)

    def synchronize(self) -> None:
        """Raise what went wrong since the last time."""
        error, self.error = self.error, None
        if error is not None:
            raise error


class _Block:
    """Some bytes of an accelerator's memory, until nobody refers to them any more."""

    def __init__(self, home: _Accelerator, nbytes: int) -> None:
        self._home, self._nbytes = home, 0
        if home.used + nbytes > home.total:
            raise MemoryError(f"{home.name} has {home.total - home.used} bytes left of {home.total}, not {nbytes}")
        home.used += nbytes
        self._nbytes = nbytes

    def __del__(self) -> None:
        self._home.used -= self._nbytes


class LoopbackArray:
    """An array that the host cannot see: no buffer, no iteration, no numbers, no `__array__`, no DLPack."""

    __slots__ = ("_block", "_home", "_values")

    def __init__(self, values: Any, home: _Accelerator, block: _Block | None = None) -> None:
        self._values = values
        self._home = home
        self._block = home.allocate(values.nbytes) if block is None else block

    dtype = property(lambda self: self._values.dtype)
    shape = property(lambda self: self._values.shape)
    ndim = property(lambda self: self._values.ndim)
    size = property(lambda self: self._values.size)
    device = property(lambda self: self._home.name)
    T = property(lambda self: _call(numpy.transpose, self))
    mT = property(lambda self: _call(numpy.matrix_transpose, self))  # noqa: N815

    def __getitem__(self, key: Any) -> LoopbackArray:
        return _call(_read, self, key)  # type: ignore[no-any-return]

    def __setitem__(self, key: Any, value: Any) -> None:
        _call(_write, self, key, value)

    def __dlpack_device__(self) -> tuple[int, int]:
        return 12, int(self._home.name[-1])  # kDLExtDev: a device of an extension

    def __repr__(self) -> str:
        return f"<{self.dtype}{list(self.shape)} on {self._home.name}>"

    __hash__ = None  # type: ignore[assignment]

    def _refuse(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"the host cannot see arrays of {self._home.name}; copy them with to_host")

    __array__ = __iter__ = __len__ = __bool__ = __int__ = __float__ = __complex__ = __index__ = __dlpack__ = _refuse
    __array_ufunc__ = None


def _read(values: Any, key: Any) -> Any:
    return values[key]


def _write(values: Any, key: Any, value: Any) -> None:
    values[key] = value


def _operator(function: Callable[..., Any], is_reflected: bool = False) -> Callable[..., Any]:
    def operate(self: LoopbackArray, *others: Any) -> Any:
        return _call(function, *others, self) if is_reflected else _call(function, self, *others)

    return operate


def _in_place(function: Callable[..., Any]) -> Callable[..., Any]:
    def operate(self: LoopbackArray, other: Any) -> LoopbackArray:
        _call(function, self, other)
        return self

    return operate


_ARITHMETIC = (
    "add",
    "sub",
    "mul",
    "truediv",
    "floordiv",
    "mod",
    "pow",
    "matmul",
    "and",
    "or",
    "xor",
    "lshift",
    "rshift",
)

for _name in ("neg", "pos", "abs", "invert", "lt", "le", "gt", "ge", "eq", "ne"):
    setattr(LoopbackArray, f"__{_name}__", _operator(getattr(operator, _name)))
for _name in _ARITHMETIC:
    _function = getattr(operator, f"__{_name}__")
    setattr(LoopbackArray, f"__{_name}__", _operator(_function))
    setattr(LoopbackArray, f"__r{_name}__", _operator(_function, is_reflected=True))
    setattr(LoopbackArray, f"__i{_name}__", _in_place(getattr(operator, f"__i{_name}__")))


def _call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run a function of NumPy's on arrays of one accelerator, there."""
    named = [home for home in _accelerators() if home.name == kwargs.get("device")]
    homes = {id(home): home for home in (*(x._home for x in _arrays((args, kwargs))), *named)}
    if len(homes) > 1:
        raise ValueError(f"arrays of {' and '.join(home.name for home in homes.values())} met")
    (home,) = homes.values() or (_accelerators()[0],)
    values = _open((args, {key: value for key, value in kwargs.items() if key != "device"}))
    try:
        with numpy.errstate(all="ignore"):
            result = function(*values[0], **values[1])
    except (numpy.linalg.LinAlgError, IndexError) as error:
        if not home.switches.asynchronous_errors:
            raise
        harmless = _harmless(values)
        result = function(*harmless[0], **harmless[1])  # raises again what shapes alone make wrong
        home.error = home.error or error
    return _closed(result, home, _arrays((args, kwargs)))


def _arrays(tree: Any) -> list[LoopbackArray]:
    if isinstance(tree, LoopbackArray):
        return [tree]
    parts = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, (tuple, list)) else ()
    return [array for part in parts for array in _arrays(part)]


def _open(tree: Any) -> Any:
    return _mapped(tree, LoopbackArray, lambda array: array._values)


def _harmless(tree: Any) -> Any:
    """Arrays of the same shapes and dtypes with which no function goes wrong: unit matrices, and zeros as indices."""

    def replace(values: Any) -> Any:
        unit = numpy.zeros_like(values)
        if values.ndim > 1 and values.dtype.kind in "fc":
            unit[...] = numpy.eye(*values.shape[-2:], dtype=values.dtype)
        return unit

    return _mapped(tree, numpy.ndarray, replace)


def _mapped(tree: Any, kind: type, change: Callable[[Any], Any]) -> Any:
    if isinstance(tree, kind):
        return change(tree)
    if isinstance(tree, dict):
        return {key: _mapped(part, kind, change) for key, part in tree.items()}
    if type(tree) in (tuple, list):
        return type(tree)(_mapped(part, kind, change) for part in tree)
    return tree


def _closed(result: Any, home: _Accelerator, arrays: list[LoopbackArray]) -> Any:
    """A result behind the wall; a view belongs to the block that it looks into."""
    if isinstance(result, (numpy.ndarray, numpy.generic)):
        values = numpy.asarray(result)
        owner = next((x._block for x in arrays if numpy.may_share_memory(x._values, values)), None)
        return LoopbackArray(values, home, owner)
    if isinstance(result, (tuple, list)):
        return tuple(_closed(part, home, arrays) for part in result)
    return result


class _Namespace:
    """A namespace of NumPy's arrays whose functions work behind the wall."""

    def __init__(self, module: Any, switches: Switches) -> None:
        self._module = module
        self._switches = switches

    def __getattr__(self, name: str) -> Any:
        if name.startswith("index_") or (self._switches.no_float64 and name in _DOUBLE):
            raise AttributeError(name)
        value = getattr(self._module, name)
        if isinstance(value, ModuleType):
            value = _Namespace(value, self._switches)
        elif callable(value) and not isinstance(value, type):
            value = functools.partial(_call, value)
        setattr(self, name, value)
        return value


@functools.cache
def _accelerators() -> tuple[_Accelerator, ...]:
    return tuple(_Accelerator(index, read()) for index in range(COUNT))


def load() -> Backend:
    """Open both."""
    accelerators = _accelerators()

    def from_host(array: Any, index: int) -> LoopbackArray:
        if accelerators[index].switches.no_float64 and array.dtype.name in _DOUBLE:
            raise TypeError(f"loopback has no {array.dtype}")
        return LoopbackArray(numpy.array(array, order="C"), accelerators[index])

    def to_host(native: LoopbackArray) -> Any:
        native._home.synchronize()
        return native._values.copy()

    return Backend(
        namespace=_Namespace(_numpy_namespace, read()),
        from_host=from_host,
        to_host=to_host,
        synchronize=lambda index: accelerators[index].synchronize(),
        memory=lambda index: (accelerators[index].total - accelerators[index].used, accelerators[index].total),
        count=COUNT,
    )
