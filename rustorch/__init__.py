"""RusTorch: the Array API standard with gradients, on any device that a plugin brings.

The namespace is the standard's, version 2025.12, with `linalg`; `nn`, `optim`, `data`, `io`, `random` and `profiler`
carry the names that PyTorch users know and are imported at first use.
"""

import importlib as _importlib
import sys as _sys
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

# Dtypes go by NumPy's names for them: each equals its numpy.dtype, which is what `x.dtype` is, and none equals None.
from ml_dtypes import bfloat16
from numpy import (
    bool,
    bool_,
    complex64,
    complex128,
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    uint8,
    uint16,
    uint32,
    uint64,
)

from rustorch_core import __version__, _call_path, _define, _mutation, _plugins
from rustorch_core._anomaly import detect_anomaly
from rustorch_core._arrangement_functions import *
from rustorch_core._autograd import enable_grad, no_grad, stop_gradient
from rustorch_core._axes import broadcast_shapes
from rustorch_core._calculus_functions import *
from rustorch_core._checkpoint import checkpoint
from rustorch_core._comparison_functions import *
from rustorch_core._convolution_functions import *
from rustorch_core._constants import e, inf, nan, newaxis, pi
from rustorch_core._creation_functions import *
from rustorch_core._custom_gradient import custom_gradient
from rustorch_core._data_type_functions import *
from rustorch_core._data_type_functions import __array_namespace_info__
from rustorch_core._data_types import isdtype, set_default_dtype
from rustorch_core._devices import Device, default_device, device, devices, set_default_device
from rustorch_core._elementwise_functions import *
from rustorch_core._host import get_num_threads, set_num_threads
from rustorch_core._indexing_functions import *
from rustorch_core._linear_algebra_functions import *
from rustorch_core._loss_functions import *
from rustorch_core._manipulation_functions import *
from rustorch_core._nan_functions import *
from rustorch_core._neural_functions import *
from rustorch_core._normalisation_functions import *
from rustorch_core._pooling_functions import *
from rustorch_core._printing import printoptions, set_printoptions
from rustorch_core._product_functions import *
from rustorch_core._sample_functions import *
from rustorch_core._searching_functions import *
from rustorch_core._sequence_functions import *
from rustorch_core._statistical_functions import *
from rustorch_core._tensor import Tensor
from rustorch_core._transforms import grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp
from rustorch_core._ufunc_functions import *
from rustorch_core._utility_functions import *

from rustorch import _integrations

if _TYPE_CHECKING:
    from rustorch import data, errors, fft, io, lib, linalg, memory, nn, optim, profiler, random, special, testing

__array_api_version__ = "2025.12"

_SUBMODULES = (
    "data",
    "errors",
    "fft",
    "io",
    "lib",
    "linalg",
    "memory",
    "nn",
    "optim",
    "plugins",
    "profiler",
    "random",
    "special",
    "testing",
)


def __getattr__(name: str) -> _Any:
    if name in _SUBMODULES:
        return _importlib.import_module(f"rustorch.{name}")
    hint = _importlib.import_module("rustorch._other_names").hint(name)
    # By the name and the module Python suggests what is spelt alike.
    raise AttributeError(f"module 'rustorch' has no attribute {name!r}{hint}", name=name, obj=_sys.modules[__name__])


def __dir__() -> list[str]:
    return sorted(name for name in {*globals(), *_SUBMODULES} if not name.startswith("_") or name.startswith("__"))


_define.publish(globals())
_plugins.start()
_integrations.watch()
