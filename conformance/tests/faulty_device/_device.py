"""The loopback device, with a fault."""

import dataclasses
import os
import time
from collections import deque

import numpy
from rustorch_loopback_device import _device as loopback

from faulty_device._plugin import FAULT

_probed_by: list[int] = []
_late: deque = deque(maxlen=8)


def probe():
    """Answer, unless that is the fault."""
    if FAULT == "probe that hangs":
        time.sleep(600)
    _probed_by.append(os.getpid())


def load():
    """The loopback device, changed in one respect."""
    if FAULT == "driver that does not survive a fork" and {*_probed_by} != {os.getpid()}:
        raise RuntimeError("the driver was started in another process")
    backend = loopback.load()
    namespace = _Namespace(backend.namespace)
    if change := _CHANGES.get(FAULT):
        change(namespace)
    facts = _FACTS.get(FAULT, lambda backend: {})(backend)
    return dataclasses.replace(backend, namespace=namespace, **facts)


class _Namespace:
    def __init__(self, namespace):
        self._namespace = namespace

    def __getattr__(self, name):
        return getattr(self._namespace, name)


def _copying_slices(namespace):
    get = loopback.LoopbackArray.__getitem__
    loopback.LoopbackArray.__getitem__ = lambda x, key: namespace.asarray(get(x, key), copy=True)


def _rule_of_sinh(rule):
    def change(namespace):
        from rustorch_core._op import REGISTRY

        REGISTRY["sinh"].rules = (rule,)

    return change


def _doubled(g, x):
    from rustorch import cosh

    return 2 * g * cosh(x)


def _constant(g, x):
    from rustorch import cosh, stop_gradient

    return g * stop_gradient(cosh(x))


def _set(name, function):
    return lambda namespace: setattr(
        namespace, name, lambda *x, **options: function(namespace._namespace, *x, **options)
    )


def _away_from_zero(xp, x):
    if "complex" in str(x.dtype) or "int" in str(x.dtype):
        return xp.round(x)
    return xp.copysign(xp.floor(xp.abs(x) + 0.5), x)


def _wide(xp, x):
    return xp.astype(xp.ceil(x), numpy.float64) if str(x.dtype) == "float32" else xp.ceil(x)


def _without_the_rest(xp, a, b):
    length = a.shape[-1]
    whole = length // 64 * 64
    if length > 64 and whole != length and b.ndim > 1:
        a, b = a[..., :whole], b[..., :whole, :]
    return xp.matmul(a, b)


def _late_matmul(xp, a, b):
    result = xp.matmul(a, b)
    if result.size > 10_000:
        _late.append(result)
    return result


_CHANGES = {
    "write to a view that is lost": _copying_slices,
    "wrong sign of zero": _set("negative", lambda xp, x: xp.subtract(xp.zeros_like(x), x)),
    "wrong rounding": _set("round", _away_from_zero),
    "wrong dtype": _set("ceil", _wide),
    "gradient off by a factor": _rule_of_sinh(_doubled),
    "gradient without its own": _rule_of_sinh(_constant),
    "matrix product without the rest of a tile": _set("matmul", _without_the_rest),
    "race of host and stream": _set("matmul", _late_matmul),
}


def _racing(backend):
    def to_host(native):
        if any(native is each for each in _late):
            return numpy.zeros(native.shape, native.dtype)
        return backend.to_host(native)

    return {"to_host": to_host}


def _sharing(backend):
    return {"from_host": lambda array, index: loopback.LoopbackArray(array, loopback._accelerators()[index])}


_FACTS = {
    "device index that is lost": lambda backend: {"from_host": lambda array, index: backend.from_host(array, 0)},
    "memory that is shared with the host": _sharing,
    "race of host and stream": _racing,
}


def silu(x):
    """Read the memory as if it had no gaps."""
    values = x._values
    if values.base is not None and not values.flags.c_contiguous:
        values = values.base.reshape(-1)[: values.size].reshape(values.shape)
    with numpy.errstate(all="ignore"):
        return loopback.LoopbackArray(values / (1 + numpy.exp(-values)), x._home)


def relu(x):
    """Forget NaN."""
    return loopback.LoopbackArray(numpy.fmax(x._values, numpy.float32(0)), x._home)
