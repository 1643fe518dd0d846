"""Devices: what a tensor's memory belongs to, how the best one is chosen, and the key that dispatch goes by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy

from rustorch_core import _plugins
from rustorch_core._data_types import DTYPES, DType, as_dtype, with_scalar
from rustorch_core.errors import ArgumentError, BackendUnavailableError, DTypeError
from rustorch_core.plugin import Backend, DeviceSpec


class DispatchKey:
    """A device and a dtype: the pair that decides which code an op runs. One object each, compared by identity."""

    __slots__ = ("array_type", "device", "dtype", "namespace", "native_dtype", "scalars")

    def __init__(self, device: Device, dtype: DType, native_dtype: Any) -> None:
        self.device = device
        self.dtype = dtype
        self.native_dtype = native_dtype
        self.namespace = device.namespace
        self.array_type = device.array_type
        #: Python numbers that stand beside such an array without changing its dtype.
        self.scalars = frozenset(kind for kind in (int, float, complex) if with_scalar(dtype, kind(0)) is dtype)

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


class Device:
    """One device: `str(device)` is what a user writes, such as "cpu" or "cuda:1"."""

    def __init__(self, type: str, index: int, backend: Backend) -> None:
        self.type = type
        self.index = index
        self.backend = backend
        self.namespace = backend.namespace
        self.array_type = numpy.ndarray if self.namespace is None else _array_type(backend, index)
        self._keys: dict[DType, DispatchKey] = {}
        self.keys = _KeysByNativeDType(self)

    @property
    def shares_host_memory(self) -> bool:
        """Whether the native arrays are NumPy's, so that host data needs no transfer."""
        return self.array_type is numpy.ndarray

    def supports(self, dtype: DType) -> bool:
        return dtype in self._keys or self._native_dtype(dtype) is not None

    def key(self, dtype: DType) -> DispatchKey:
        """The key for arrays of this dtype here.

        Raises:
            DTypeError: where the device has no such dtype.
        """
        found = self._keys.get(dtype)
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
        return hash((self.type, self.index))

    def __reduce__(self) -> tuple[Any, ...]:
        return device, (str(self),)


def _array_type(backend: Backend, index: int) -> type:
    native: Any = (
        backend.namespace.asarray([0.0])
        if backend.from_host is None
        else backend.from_host(numpy.zeros(1, numpy.float32), index)
    )
    return type(native)


@dataclass(frozen=True)
class Availability:
    """Whether a device type can be used; if not, the reason and the fix, and the error that told."""

    usable: bool
    reason: str = ""
    fix: str = ""
    error: BaseException | None = None


_backends: dict[str, Backend] = {}
_availability: dict[str, Availability] = {}
_devices: dict[tuple[str, int], Device] = {}


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
    """The device types of all plugins, best first: what the user listed, then rank, then name; one for each name."""
    listed = _plugins.environment.plugins or ()
    ranked = sorted(
        _plugins.facts("rustorch_devices"),
        key=lambda one: (
            listed.index(one[0].name) if one[0].name in listed else len(listed),
            -one[1].rank,
            one[1].type,
        ),
    )
    owners: dict[str, _plugins.PluginRecord] = {}
    for record, spec in ranked:
        owner = owners.setdefault(spec.type, record)
        if owner is record:
            yield record, spec
        else:
            note = f"its device {spec.type!r} is not used: {owner.distribution} brings one of that name"
            if note not in record.notes:
                record.notes.append(note)


def availability(spec: DeviceSpec) -> Availability:
    """Probe a device type, once: its own probe, then one small op whose answer is known."""
    if spec.type not in _availability:
        try:
            if spec.probe is not None:
                _plugins.resolve(spec.probe)()
            backend = _plugins.resolve(spec.load)()
            if not isinstance(backend, Backend):
                raise TypeError(f"{spec.load} returned {type(backend).__name__}, expected rustorch_core.plugin.Backend")
            _smoke(spec.type, backend)
            _backends[spec.type] = backend
            _availability[spec.type] = Availability(True)
        except KeyboardInterrupt:
            raise
        except BackendUnavailableError as error:
            _availability[spec.type] = Availability(False, error.reason or str(error), error.fix, error)
        except BaseException as error:  # a probe may raise anything, and must hurt only its own device
            reason = f"the probe failed with {_plugins.describe(error)}"
            _availability[spec.type] = Availability(False, reason, f"run `rustorch doctor {spec.type}`", error)
    return _availability[spec.type]


def _smoke(type_: str, backend: Backend) -> None:
    trial = Device(type_, 0, backend)
    ones = trial.from_host(numpy.ones(3, dtype=numpy.float32))
    answer = trial.to_host(backend.namespace.add(ones, ones))
    if answer.tolist() != [2.0, 2.0, 2.0]:
        raise ArithmeticError(f"1 + 1 on this device gave {answer.tolist()}")


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
    type_, _, index = name.partition(":")
    if index and not index.isdecimal():
        raise ArgumentError(f"device: {name!r} has no index; expected {type_!r} or '{type_}:0'")
    return _open(type_, int(index or 0))


def _open(type_: str, index: int) -> Device:
    found = _devices.get((type_, index))
    if found is not None:
        return found
    known = {spec.type: spec for _, spec in specs()}
    if type_ not in known:
        raise ArgumentError(
            f"device: no plugin offers {type_!r}; there are: {', '.join(known)}. `rustorch devices` shows every plugin "
            f"and why one was left out; pip install 'rustorch[{type_}]' brings a device of ours"
        )
    status = availability(known[type_])
    if not status.usable:
        fix = f". {status.fix}" if status.fix else ""
        message = f"device {type_!r} cannot be used: {status.reason}{fix}"
        raise BackendUnavailableError(message, reason=status.reason, fix=status.fix) from status.error
    backend = _backends[type_]
    if index >= backend.count:
        raise ArgumentError(f"device: there is no '{type_}:{index}'; {type_} has {backend.count} device(s), from 0")
    return _devices.setdefault((type_, index), Device(type_, index, backend))


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
        _Default.device = device(asked or "auto")
        _Default.decided_by = f"RUSTORCH_DEVICE={asked}" if asked else "it is the best ranked one that can be used"
    return _Default.device


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
    return [_open(type_, index) for type_ in usable for index in range(_backends[type_].count)]
