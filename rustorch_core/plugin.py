"""What a plugin imports: hook markers, the frozen facts that hooks return, and the version of this contract.

A leaf: it imports pluggy and the errors, discovers nothing, and is safe to import before, during and after
`import rustorch`. A plugin is a distribution with an entry point in the group `rustorch` that names a light module:

    [project.entry-points.rustorch]
    mydevice = "rustorch_mydevice._plugin"

A plugin that has a variable of its own raises `EnvironmentVariableError` for a value that it does not understand; that
one error reaches the user at once.

The module states `RUSTORCH_API = (1, 0)`, the version it was written for, and defines any of the hooks.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pluggy

from rustorch_core.errors import BackendUnavailableError, EnvironmentVariableError, PluginError

__all__ = [
    "API_VERSION",
    "Backend",
    "BackendUnavailableError",
    "CallPath",
    "DeviceSpec",
    "EnvironmentVariableError",
    "HostRuntime",
    "Kernel",
    "OptimizerSpec",
    "PluginContext",
    "PluginError",
    "ProfilerSink",
    "hookimpl",
]

#: (major, minor): a minor version only adds; a plugin written for (1, n) works with every (1, m >= n). The whole of it
#: is in docs/plugins.md.
API_VERSION = (1, 0)

hookspec = pluggy.HookspecMarker("rustorch")
hookimpl = pluggy.HookimplMarker("rustorch")

_TARGET = "'package.module:function', or a function"


def _is_target(target: Any) -> bool:
    if isinstance(target, str):
        module, colon, function = target.partition(":")
        return bool(module and colon and function.isidentifier())
    return callable(target)


def _expect(fact: Any, name: str, is_right: bool, expected: str) -> None:
    """Refuse a fact where its author states it, rather than where core would stumble over it."""
    if not is_right:
        raise PluginError(f"{type(fact).__name__}({name}={getattr(fact, name)!r}): expected {expected}")


@dataclass(frozen=True, kw_only=True, eq=False)
class PluginContext:
    """What core tells a plugin in each hook; fields are only ever added."""

    api_version: tuple[int, int]
    rustorch_version: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Backend:
    """A device type at work: an Array API namespace and a few facts, each with a default.

    Arguments:
        namespace: module or object with the standard's functions, for this device's native arrays.
        from_host: `(numpy_array, index) -> native array` that never shares memory with its argument, which is
            contiguous and aligned; default: `namespace.asarray(numpy_array, copy=True)`.
        to_host: `(native array) -> numpy_array`, shared or copied; default: `numpy.from_dlpack`.
        synchronize: `(index) -> None`, waits until the device has finished; default: there is nothing to wait for.
        memory: `(index) -> (free, total)` in bytes, or None where it is not known.
        count: how many devices of this type there are: `"gpu:0"` to `f"gpu:{count - 1}"`.
        writable: whether native arrays can be written, and slices and transposes of them share their memory, as
            NumPy's do; where not, core writes by making new arrays.
    """

    namespace: Any
    from_host: Callable[[Any, int], Any] | None = None
    to_host: Callable[[Any], Any] | None = None
    synchronize: Callable[[int], None] | None = None
    memory: Callable[[int], tuple[int, int]] | None = None
    count: int = 1
    writable: bool = True

    def __post_init__(self) -> None:
        _expect(self, "count", isinstance(self.count, int) and self.count >= 1, "a number of devices of at least 1")
        _expect(self, "writable", isinstance(self.writable, bool), "True or False")
        for name in ("from_host", "to_host", "synchronize", "memory"):
            function = getattr(self, name)
            _expect(self, name, function is None or callable(function), "a function or None")


@dataclass(frozen=True, kw_only=True, eq=False)
class DeviceSpec:
    """A device type that a plugin offers, told without importing anything heavy.

    Arguments:
        type: the name users write, such as `"cuda"`.
        load: `"package.module:function"` that returns the `Backend`; imported at first use.
        probe: `"package.module:function"` that returns when the device can be used and raises
            `BackendUnavailableError(message, reason=..., fix=...)` when not; allocates nothing, starts no driver.
        rank: an accelerator above 0, the reference `cpu` is 0, a device that is slower than `cpu` below.
        description: one line for `rustorch devices`.
    """

    type: str
    load: str | Callable[[], Backend]
    probe: str | Callable[[], None] | None = None
    rank: int = 0
    description: str = ""

    def __post_init__(self) -> None:
        is_type = isinstance(self.type, str) and self.type.isidentifier() and self.type != "auto"
        _expect(self, "type", is_type, "a name such as 'cuda', in letters, digits and underscores")
        _expect(self, "rank", isinstance(self.rank, int), "an integer")
        _expect(self, "description", isinstance(self.description, str), "one line of text")
        _expect(self, "load", _is_target(self.load), _TARGET)
        _expect(self, "probe", self.probe is None or _is_target(self.probe), _TARGET)


@dataclass(frozen=True, kw_only=True, eq=False)
class Kernel:
    """A faster spelling of an op on one device type.

    The function takes the op's native arrays by position and its attributes by keyword, and returns native arrays,
    or `NotImplemented` to decline, whereupon the next candidate is asked.

    Arguments:
        op: the op's name in the registry, such as `"softmax"`.
        device: the device type it runs on, such as `"cpu"`.
        load: `"package.module:function"`, imported when the op first runs on the device.
        dtypes: names of the dtypes of the first array that it accepts.
        rank: among several kernels for one op the highest is asked first.
    """

    op: str
    device: str
    load: str | Callable[..., Any]
    dtypes: Collection[str] = frozenset({"float32"})
    rank: int = 0

    def __post_init__(self) -> None:
        names = () if isinstance(self.dtypes, str) or not isinstance(self.dtypes, Collection) else self.dtypes
        is_names = len(names) > 0 and all(isinstance(name, str) for name in names)
        _expect(self, "dtypes", is_names, "names such as {'float32'}")
        _expect(self, "op", isinstance(self.op, str), "an op's name")
        _expect(self, "device", isinstance(self.device, str), "a device type's name")
        _expect(self, "rank", isinstance(self.rank, int), "an integer")
        _expect(self, "load", _is_target(self.load), _TARGET)


class CompiledSteps(Protocol):
    """What a kernel called `optim.` and an optimizer's name makes: one call for the step of all parameters of a group.

    The kernel's `load` names a function `(core, parameters, states, taken, options)` that returns it, or raises
    NotImplementedError for options that it does not serve; `core` is `rustorch_core._compiled_steps.CORE`.
    """

    def __call__(self, options: Mapping[str, Any], /) -> Sequence[int]:
        """Take a step with every parameter that has a gradient; returns the places of those left to the rule itself."""

    def taken(self) -> Sequence[int]:
        """How many steps each parameter has taken."""


@dataclass(frozen=True, kw_only=True, eq=False)
class OptimizerSpec:
    """An optimizer for `optim.create(name, ...)`; `load` names a function that returns its `UpdateRule`."""

    name: str
    load: str | Callable[[], Any]

    def __post_init__(self) -> None:
        _expect(self, "name", isinstance(self.name, str), "a name")
        _expect(self, "load", _is_target(self.load), _TARGET)


@dataclass(frozen=True, kw_only=True, eq=False)
class ProfilerSink:
    """A destination for `profiler.profile(sink=name)`; `load` returns the two callbacks of `profiler.watch`."""

    name: str
    load: str | Callable[[], tuple[Callable[..., Any], Callable[..., None]]]

    def __post_init__(self) -> None:
        _expect(self, "name", isinstance(self.name, str), "a name")
        _expect(self, "load", _is_target(self.load), _TARGET)


class CompiledPath(Protocol):
    """Compiled forms of core's hot path; each does what core's own does, or hands the call on to it."""

    def operator(self, op: Any, operate: Callable[..., Any], /) -> Callable[..., Any]:
        """What stands in for `operate` of `rustorch_core._define.binary`, for an op that keeps its operands' dtype."""

    def call(self, op: Any, inputs: tuple[Any, ...], attributes: Mapping[str, Any], /) -> Any:
        """`rustorch_core._dispatch.call`."""

    def record(self, op: Any, inputs: tuple[Any, ...], attributes: Mapping[str, Any], output: Any, /) -> None:
        """`rustorch_core._graph.record`."""

    def in_order(self, outputs: Sequence[Any], since: int, /) -> list[Any]:
        """`rustorch_core._autograd.in_order`."""

    def send(self, *arguments: Any) -> dict[Any, Any]:
        """`rustorch_core._autograd.send`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CallPath:
    """A compiled form of the path that every call takes; core's own stays behind it for what it leaves.

    `load` names a function of one argument, `rustorch_core._call_path.CORE`, that returns a `CompiledPath`. It fits one
    version of core, and raises TypeError where it does not know core's classes.
    """

    load: str | Callable[[Any], CompiledPath]

    def __post_init__(self) -> None:
        _expect(self, "load", _is_target(self.load), _TARGET)


class Runtime(Protocol):
    """What serves the host: the threads of its kernels, and the memory of its arrays."""

    #: A class of context managers, within which NumPy's new arrays come from a pool; `rustorch.memory` tells the rest.
    MemoryPool: Any
    #: The pool that is entered when an op first runs.
    default_pool: Any

    def get_num_threads(self) -> int:
        """How many threads a kernel may use."""

    def set_num_threads(self, count: int, /) -> None:
        """Use at most so many; 0 for as many as there are processors for this process."""


@dataclass(frozen=True, kw_only=True, eq=False)
class HostRuntime:
    """A `Runtime` for the host; `load` names a function that returns it. The first one that loads is used."""

    load: str | Callable[[], Runtime]

    def __post_init__(self) -> None:
        _expect(self, "load", _is_target(self.load), _TARGET)


class HookSpecifications:
    """The hooks. Each is called once, at discovery, and returns facts; none of them dispatches."""

    @hookspec
    def rustorch_devices(self, ctx: PluginContext) -> Iterable[DeviceSpec]:  # type: ignore[empty-body]
        """Device types that the plugin brings."""

    @hookspec
    def rustorch_kernels(self, ctx: PluginContext) -> Iterable[Kernel]:  # type: ignore[empty-body]
        """Kernels that the plugin brings, for its own devices or for others'."""

    @hookspec
    def rustorch_optimizers(self, ctx: PluginContext) -> Iterable[OptimizerSpec]:  # type: ignore[empty-body]
        """Optimizers that the plugin adds to the factory."""

    @hookspec
    def rustorch_call_paths(self, ctx: PluginContext) -> Iterable[CallPath]:  # type: ignore[empty-body]
        """Compiled forms of the path that every call takes."""

    @hookspec
    def rustorch_host_runtimes(self, ctx: PluginContext) -> Iterable[HostRuntime]:  # type: ignore[empty-body]
        """Threads and memory for the host."""

    @hookspec
    def rustorch_profiler_sinks(self, ctx: PluginContext) -> Iterable[ProfilerSink]:  # type: ignore[empty-body]
        """Destinations that the plugin adds for profiles."""
