"""Devices: what a tensor's memory belongs to, how the best one is chosen, and the key that dispatch goes by."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy

from rustorch_core import _environment, _plugins
from rustorch_core._data_types import DTYPES, DType, as_dtype, is_floating, with_scalar
from rustorch_core.errors import ArgumentError, BackendUnavailableError, DTypeError, EnvironmentVariableError
from rustorch_core.plugin import Backend, DeviceSpec


class DispatchKey:
    """A device and a dtype: the pair that decides which code an op runs. One object each, compared by identity."""

    __slots__ = ("array_type", "device", "dtype", "is_floating", "namespace", "native_dtype", "scalars")

    def __init__(self, device: Device, dtype: DType, native_dtype: Any) -> None:
        self.device = device
        self.dtype = dtype
        self.native_dtype = native_dtype
        self.namespace = device.namespace
        self.array_type = device.array_type
        self.is_floating = is_floating(dtype)
        #: Python numbers that stand beside such an array without changing its dtype.
        self.scalars = frozenset(
            kind for kind in (int, float, complex) if dtype.kind != "V" and with_scalar(dtype, kind(0)) is dtype
        )

    def __repr__(self) -> str:
        return f"DispatchKey({self.device}, {self.dtype})"


class _KeysByNativeDType(dict[Any, DispatchKey]):
    def __init__(self, device: Device) -> None:
        self.device = device

    def __missing__(self, native_dtype: Any) -> DispatchKey:
        if isinstance(native_dtype, numpy.dtype):
            return self.setdefault(native_dtype, self.device.key(as_dtype(native_dtype)))
        for name, dtype in DTYPES.items():
            # Not a default of None: NumPy takes that for float64 when it compares.
            if hasattr(self.device.namespace, name) and getattr(self.device.namespace, name) == native_dtype:
                return self.setdefault(native_dtype, self.device.key(dtype))
        raise DTypeError(f"{self.device}: the native dtype {native_dtype} is none of rustorch's")


#: Functions of the standard that make arrays of no others, and so have to be told where.
_CREATION = frozenset({"arange", "asarray", "empty", "eye", "full", "linspace", "ones", "zeros"})


class _NamespaceOfIndex:
    """A namespace whose creation functions make their arrays on one of several devices.

    The standard calls a device by what its arrays say of theirs.
    """

    def __init__(self, namespace: Any, native_device: Any) -> None:
        self._namespace = namespace
        self._native_device = native_device

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._namespace, name)
        if name in _CREATION:
            value = functools.partial(value, device=self._native_device)
        setattr(self, name, value)
        return value


class Device:
    """One device: `str(device)` is what a user writes, such as "cpu" or "cuda:1"."""

    def __init__(self, type: str, index: int, backend: Backend, array_type: type) -> None:
        self.type = type
        self.index = index
        self.backend = backend
        self.namespace = backend.namespace
        self.array_type = array_type
        self.is_writable = backend.writable
        #: Whether the native arrays are NumPy's, so that host data needs no transfer.
        self.shares_host_memory = array_type is numpy.ndarray
        if backend.count > 1:
            place = getattr(self.from_host(numpy.zeros((), dtype=numpy.float32)), "device", None)
            self.namespace = backend.namespace if place is None else _NamespaceOfIndex(backend.namespace, place)
        self._keys: dict[DType, DispatchKey] = {}
        self.keys = _KeysByNativeDType(self)

    def supports(self, dtype: Any) -> bool:
        dtype = as_dtype(dtype)
        return dtype in self._keys or self._native_dtype(dtype) is not None

    def key(self, dtype: Any) -> DispatchKey:
        """The key for arrays of this dtype here.

        Raises:
            DTypeError: where the device has no such dtype.
        """
        found = self._keys.get(dtype)
        if found is None and (dtype := as_dtype(dtype)) in self._keys:
            found = self._keys[dtype]
        if found is None:
            native = self._native_dtype(dtype)
            if native is None:
                raise DTypeError(f"{self} has no {dtype}; choose another dtype, or another device with .to(device)")
            found = self._keys[dtype] = DispatchKey(self, dtype, native)
        return found

    def _native_dtype(self, dtype: DType) -> Any:
        if self.shares_host_memory:
            return dtype
        return getattr(self.namespace, dtype.name, None)

    def from_host(self, array: numpy.ndarray[Any, Any]) -> Any:
        """A native array with a NumPy array's values, in memory of its own."""
        if self.backend.from_host is not None:
            return self.backend.from_host(array, self.index)
        return self.namespace.asarray(array, copy=True)

    def to_host(self, native: Any) -> numpy.ndarray[Any, Any]:
        """A NumPy array with a native array's values; may share its memory."""
        if self.backend.to_host is not None:
            return self.backend.to_host(native)  # type: ignore[no-any-return]
        return numpy.from_dlpack(native)

    def synchronize(self) -> None:
        """Wait until the device has finished what it was given."""
        if self.backend.synchronize is not None:
            self.backend.synchronize(self.index)

    def __repr__(self) -> str:
        return f"device({str(self)!r})"

    def __str__(self) -> str:
        return self.type if self.backend.count == 1 else f"{self.type}:{self.index}"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            return other in (str(self), f"{self.type}:{self.index}") or (other == self.type and self.index == 0)
        return self is other

    def __hash__(self) -> int:
        return hash(str(self))  # that of the name it is equal to

    def __reduce__(self) -> tuple[Any, ...]:
        return device, (str(self),)


class Availability(NamedTuple):
    """Whether a device type can be used; if not, the reason and the fix, and the error that told."""

    usable: bool
    reason: str = ""
    fix: str = ""
    error: BaseException | None = None


class _Opened(NamedTuple):
    backend: Backend
    array_type: type


_opened: dict[str, _Opened] = {}
_availability: dict[str, Availability] = {}
_devices: dict[tuple[str, int], Device] = {}
_lock = threading.RLock()


class _Default:
    device: Device | None = None
    decided_by: str = ""


@_plugins.on_refresh
def _forget() -> None:
    """A refresh may bring or take plugins: probe anew what could not be used, keep the devices that tensors live on."""
    for type_, known in list(_availability.items()):
        if not known.usable:
            del _availability[type_]
    if _Default.decided_by != "set_default_device":
        _Default.device = None


def specs() -> Iterator[tuple[_plugins.PluginRecord, DeviceSpec]]:
    """The device types of all plugins, best first: what the user listed, then rank, then name; one for each name.

    A name that two plugins bring belongs to the one that the user listed, else to ours, else to the higher rank.
    """
    offered = list(_plugins.facts("rustorch_devices"))
    offered.sort(key=lambda one: (_plugins.place(one[0]), not one[0].is_first_party, -one[1].rank, one[0].name))
    owned: dict[str, tuple[_plugins.PluginRecord, DeviceSpec]] = {}
    for record, spec in offered:
        owner, used = owned.setdefault(spec.type, (record, spec))
        if used is not spec:
            _note_unused(record, spec, owner)
    yield from sorted(owned.values(), key=lambda one: (_plugins.place(one[0]), -one[1].rank, one[1].type))


def _note_unused(record: _plugins.PluginRecord, spec: DeviceSpec, owner: _plugins.PluginRecord) -> None:
    if owner is record:
        note = f"it brings the device {spec.type!r} twice; the first is used"
    elif owner.distribution == "rustorch":
        note = f"its device {spec.type!r} is not used: that is the name of rustorch's own reference device"
    else:
        note = (
            f"its device {spec.type!r} is not used: {owner.distribution} brings one of that name; "
            f"uninstall one, or set RUSTORCH_BLOCK={owner.name} to use this one"
        )
    if note not in record.notes:
        record.notes.append(note)


def availability(spec: DeviceSpec) -> Availability:
    """Probe a device type, once: its own probe, then one small op whose answer is known."""
    with _lock:
        if spec.type not in _availability:
            _availability[spec.type] = _probe(spec)
        return _availability[spec.type]


def _probe(spec: DeviceSpec) -> Availability:
    try:
        if spec.probe is not None:
            _plugins.resolve(spec.probe)()
        backend = _plugins.resolve(spec.load)()
        if not isinstance(backend, Backend):
            raise TypeError(f"{spec.load} returned {type(backend).__name__}, expected rustorch_core.plugin.Backend")
        _opened[spec.type] = _Opened(backend, _check_answer(spec.type, backend))
        return Availability(True)
    except KeyboardInterrupt:
        raise
    except BackendUnavailableError as error:
        reason = _plugins.one_line(str(error.reason or error)) or "it cannot be used here, and does not say why"
        return Availability(False, reason, _plugins.one_line(str(error.fix or "")), error)
    except BaseException as error:  # a probe may raise anything, and must hurt only its own device
        reason = f"its probe failed with {_plugins.describe(error)}"
        return Availability(False, reason, f"see `rustorch doctor {spec.type}`", error)


def _check_answer(type_: str, backend: Backend) -> type:
    """Add one and one on the device; returns the type of its native arrays."""
    trial = Device(type_, 0, backend, object)
    ones = trial.from_host(numpy.ones(3, dtype=numpy.float32))
    answer = numpy.asarray(trial.to_host(backend.namespace.add(ones, ones)))
    if answer.dtype != numpy.float32 or answer.tolist() != [2.0, 2.0, 2.0]:
        raise ArithmeticError(f"1 + 1 in float32, three times, gave {answer.tolist()} in {answer.dtype}")
    return type(ones)


def device(name: str | Device | None = None) -> Device:
    """The device of a name, or the default one.

    Arguments:
        name: "cpu", "cuda", "cuda:1"..., "auto" for the best one available, a device, or None for the default.

    Raises:
        ArgumentError: for a name that no plugin offers, or an index beyond the last device.
        BackendUnavailableError: where the device is known but cannot be used, with the reason and the fix.
    """
    if isinstance(name, Device):
        return name
    if name is None:
        return default_device()
    if not isinstance(name, str):
        raise ArgumentError(f"device: expected a name such as 'cpu', met {name!r}")
    if name == "auto":
        return _best()
    type_, colon, index = name.partition(":")
    if colon and not (index.isascii() and index.isdecimal()):
        raise ArgumentError(f"device: {name!r} is no name of a device; expected {type_!r} or '{type_}:0'")
    return _open(type_, int(index or 0))


def _open(type_: str, index: int) -> Device:
    found = _devices.get((type_, index))
    if found is not None:
        return found
    known = {spec.type: spec for _, spec in specs()}
    if type_ not in known:
        raise ArgumentError(f"device: {_why_unknown(type_, list(known))}")
    status = availability(known[type_])
    if not status.usable:
        fix = f". {status.fix[:1].upper()}{status.fix[1:]}" if status.fix else ""
        message = f"device {type_!r} cannot be used: {status.reason}{fix}"
        raise BackendUnavailableError(message, reason=status.reason, fix=status.fix) from status.error
    backend, array_type = _opened[type_]
    if index >= backend.count:
        last = f", the last is '{type_}:{backend.count - 1}'" if backend.count > 1 else ""
        raise ArgumentError(f"device: there is no '{type_}:{index}'; this machine has {backend.count} {type_}{last}")
    return _devices.setdefault((type_, index), Device(type_, index, backend, array_type))


def _why_unknown(type_: str, known: list[str]) -> str:
    """What to tell who names a device type that no loaded plugin offers."""
    for record in _plugins.records:
        if record.name == type_ and record.state != "loaded":
            return f"no plugin offers {type_!r}: the plugin of that name is {record.state}, {record.reason}"
        if record.name == type_ and not record.facts["rustorch_devices"]:
            return f"{type_!r} is a plugin that brings no device; {_environment.nearest(type_, known)}"
    if f"rustorch-{type_}" in _plugins.FIRST_PARTY:
        return f"no plugin offers {type_!r}; pip install 'rustorch[{type_}]'"
    return (
        f"no plugin offers {type_!r}; there are: {', '.join(known)}. A device is named by its type and comes with a "
        "plugin; `rustorch devices` shows all that are installed, and why one cannot be used"
    )


def _best() -> Device:
    """The first usable device that may be chosen unasked: one of ours; a stranger's is used when named."""
    for record, spec in specs():
        if record.is_first_party and availability(spec).usable:
            return _open(spec.type, 0)
    raise BackendUnavailableError(
        "no device can be used, not even the reference; see `rustorch devices`",
        reason="every device is blocked or failed its probe",
        fix="unset RUSTORCH_BLOCK and run `rustorch doctor`",
    )


def default_device() -> Device:
    """The device of tensors that are made without naming one (Array API: the info function of that name)."""
    if _Default.device is None:
        asked = _plugins.environment.device
        _Default.device = _asked_for(asked) if asked else _best()
        _Default.decided_by = f"RUSTORCH_DEVICE={asked}" if asked else "it is the best ranked one that can be used"
    return _Default.device


def _asked_for(name: str) -> Device:
    try:
        return device(name)
    except ArgumentError as error:
        raise EnvironmentVariableError(f"RUSTORCH_DEVICE={name}: {error}") from error
    except BackendUnavailableError as error:
        message = f"RUSTORCH_DEVICE={name}: {error}"
        raise BackendUnavailableError(message, reason=error.reason, fix=error.fix) from error


def set_default_device(name: str | Device | None) -> None:
    """Set the device of tensors that are made without naming one; None goes back to the automatic choice.

    Raises:
        ArgumentError, BackendUnavailableError: as `device` does.
    """
    _Default.device = None if name is None else device(name)
    _Default.decided_by = "" if name is None else "set_default_device"


def decided_by() -> str:
    """What decided the default device, in words."""
    default_device()
    return _Default.decided_by


def devices() -> list[Device]:
    """Every device that can be used on this machine, best first; probes those not yet probed."""
    usable = [spec.type for _, spec in specs() if availability(spec).usable]
    return [_open(type_, index) for type_ in usable for index in range(_opened[type_].backend.count)]
