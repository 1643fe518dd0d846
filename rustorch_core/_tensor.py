"""The tensor: a native array, the key that says how ops on it are found, and its place in the gradient's graph.

Operators and the methods of ops are attached by the statements that define the ops; what stands here is what a
tensor is without them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from rustorch_core import _data_types
from rustorch_core._devices import Device, DispatchKey
from rustorch_core._devices import device as find_device
from rustorch_core._memory import add_detached, exported
from rustorch_core.errors import (
    ArgumentError,
    DeviceMismatchError,
    ExportError,
    GradientError,
    OperandError,
    RusTorchError,
    ScalarError,
)

if TYPE_CHECKING:
    from weakref import ReferenceType

    from rustorch_core._autograd import RemovableHandle
    from rustorch_core._graph import Node
    from rustorch_core._memory import Place, Saved

#: The module that users import; `x.__array_namespace__()` is always this one, whatever the device.
_NAMESPACE = "rustorch"


class Tensor:
    """An n-dimensional array on a device that remembers, when asked to, how it was computed.

    Made by `asarray`, `zeros`, `random.Generator` and the other creation functions, never by calling the class.
    Conforms to the Array API standard; methods carry PyTorch's names where the standard has none.
    """

    __module__ = _NAMESPACE  # where users and pickles find it

    # Every result is a new tensor, and each slot costs: `_grad`, which few have, stays unset until it is needed.
    __slots__ = ("__weakref__", "_array", "_grad", "_key", "_node", "_place", "_saved")

    _array: Any
    _key: DispatchKey
    _node: Node | None
    _place: Place | None
    _saved: ReferenceType[Saved] | None
    _grad: Tensor | None

    __array_ufunc__ = None  # NumPy leaves `array + tensor` to the tensor
    __hash__ = object.__hash__

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Methods that ops attach."""

        def __add__(self, other: Any) -> Tensor: ...
        def __radd__(self, other: Any) -> Tensor: ...
        def __sub__(self, other: Any) -> Tensor: ...
        def __rsub__(self, other: Any) -> Tensor: ...
        def __mul__(self, other: Any) -> Tensor: ...
        def __rmul__(self, other: Any) -> Tensor: ...
        def __truediv__(self, other: Any) -> Tensor: ...
        def __rtruediv__(self, other: Any) -> Tensor: ...
        def __floordiv__(self, other: Any) -> Tensor: ...
        def __rfloordiv__(self, other: Any) -> Tensor: ...
        def __mod__(self, other: Any) -> Tensor: ...
        def __rmod__(self, other: Any) -> Tensor: ...
        def __pow__(self, other: Any) -> Tensor: ...
        def __rpow__(self, other: Any) -> Tensor: ...
        def __matmul__(self, other: Any) -> Tensor: ...
        def __rmatmul__(self, other: Any) -> Tensor: ...
        def __and__(self, other: Any) -> Tensor: ...
        def __rand__(self, other: Any) -> Tensor: ...
        def __or__(self, other: Any) -> Tensor: ...
        def __ror__(self, other: Any) -> Tensor: ...
        def __xor__(self, other: Any) -> Tensor: ...
        def __rxor__(self, other: Any) -> Tensor: ...
        def __lshift__(self, other: Any) -> Tensor: ...
        def __rlshift__(self, other: Any) -> Tensor: ...
        def __rshift__(self, other: Any) -> Tensor: ...
        def __rrshift__(self, other: Any) -> Tensor: ...
        def __lt__(self, other: Any) -> Tensor: ...
        def __le__(self, other: Any) -> Tensor: ...
        def __gt__(self, other: Any) -> Tensor: ...
        def __ge__(self, other: Any) -> Tensor: ...
        def __eq__(self, other: Any) -> Tensor: ...  # type: ignore[override]
        def __ne__(self, other: Any) -> Tensor: ...  # type: ignore[override]
        def __neg__(self) -> Tensor: ...
        def __pos__(self) -> Tensor: ...
        def __abs__(self) -> Tensor: ...
        def __invert__(self) -> Tensor: ...
        def __getitem__(self, key: Any) -> Tensor: ...
        def __setitem__(self, key: Any, value: Any) -> None: ...

    # What it is

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""
        return tuple(self._array.shape)

    @property
    def dtype(self) -> _data_types.DType:
        """The dtype of the elements, a `numpy.dtype` on every device."""
        return self._key.dtype

    @property
    def device(self) -> Device:
        """The device whose memory holds the elements."""
        return self._key.device

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self._array.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self._array.shape)

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.size * self.itemsize

    @property
    def T(self) -> Tensor:
        """The transpose of a matrix (Array API); for stacks of matrices see `mT`."""
        if self.ndim != 2:
            raise ArgumentError(f"T: expected 2 axes, met shape {self.shape}; use .mT or permute_dims")
        return self.mT

    @property
    def mT(self) -> Tensor:
        """The transpose of each matrix in the last two axes (Array API)."""
        transposed: Tensor = self.matrix_transpose()
        return transposed

    @property
    def real(self) -> Tensor:
        """The real part; the tensor itself where there is no other."""
        from rustorch_core._elementwise_functions import real

        return real(self) if self.dtype in _data_types.CATEGORIES["complex floating-point"] else self

    @property
    def imag(self) -> Tensor:
        """The imaginary part, zeros for real numbers."""
        from rustorch_core import _creation_functions, _elementwise_functions

        if self.dtype in _data_types.CATEGORIES["complex floating-point"]:
            return _elementwise_functions.imag(self)
        return _creation_functions.zeros_like(self)

    def __len__(self) -> int:
        if not self._array.shape:
            raise OperandError("len() of a tensor without axes")
        return int(self._array.shape[0])

    def __iter__(self) -> Iterator[Tensor]:
        if not self._array.shape:
            raise OperandError("iteration over a tensor without axes")
        return (self[i] for i in range(len(self)))

    def __contains__(self, value: Any) -> bool:
        found = self == value
        return found if isinstance(found, bool) else bool(found.any())

    def __repr__(self) -> str:
        from rustorch_core import _printing

        return _printing.text(self, "tensor" if type(self) is Tensor else type(self).__name__)

    def __format__(self, specification: str) -> str:
        from rustorch_core import _printing

        return _printing.formatted(self, specification) if specification else repr(self)

    # Its values, out of the tensor

    def item(self) -> Any:
        """The one element as a Python number.

        Raises:
            ScalarError: where there is not exactly one element.
        """
        if self.size != 1:
            raise ScalarError(f"item: expected one element, met shape {self.shape}; use .tolist()")
        return self.device.to_host(self._array).item()

    def tolist(self) -> Any:
        """The elements as nested Python lists."""
        return self.device.to_host(self._array).tolist()

    def numpy(self) -> np.ndarray[Any, Any]:
        """The elements as a NumPy array: shared memory on the host, an error elsewhere or under a gradient."""
        return self.__array__()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        if self.requires_grad:
            raise GradientError(
                "a tensor that takes part in a gradient cannot become a NumPy array; call .detach() first"
            )
        if not self.device.shares_host_memory:
            raise OperandError(f"a tensor on {self.device} cannot become a NumPy array; call .to('cpu') first")
        try:
            array: np.ndarray[Any, Any] = np.array(self._array, dtype=dtype, copy=copy)
        except (TypeError, ValueError) as error:
            raise ArgumentError(f"__array__: {self.dtype} as {dtype}, copy={copy}: {error}") from error
        return exported(self) if array is self._array else array

    def __buffer__(self, flags: int) -> memoryview:
        """The memory for `memoryview(tensor)`, which asks for it from Python 3.12 on (PEP 688)."""
        try:
            return memoryview(self.__array__())  # type: ignore[arg-type]  # before Python 3.12 a buffer has no type
        except (RusTorchError, ValueError) as error:
            raise ExportError(f"{self.dtype} on {self.device} cannot be exported as a buffer: {error}") from error

    def __bool__(self) -> bool:
        return bool(self._scalar("bool"))

    def __float__(self) -> float:
        return float(self._scalar("float"))

    def __complex__(self) -> complex:
        return complex(self._scalar("complex"))

    def __int__(self) -> int:
        return int(self._scalar("int"))

    def __index__(self) -> int:
        if self.dtype not in _data_types.CATEGORIES["integer"]:
            raise OperandError(f"a tensor of {self.dtype} cannot be an index; only an integer one can")
        return int(self._scalar("index"))

    def _scalar(self, kind: str) -> Any:
        if self.size != 1:
            raise ScalarError(
                f"{kind}() of a tensor with shape {self.shape}; expected one element. Use .any() or .all()"
            )
        if kind in ("float", "int") and self.dtype in _data_types.CATEGORIES["complex floating-point"]:
            raise OperandError(f"{kind}() of a complex tensor; take rt.real or rt.abs first")
        return self.item()

    # Exchange with other libraries

    def __array_namespace__(self, /, *, api_version: str | None = None) -> Any:
        import importlib

        namespace = importlib.import_module(_NAMESPACE)
        if api_version not in (None, "2021.12", "2022.12", "2023.12", "2024.12", "2025.12"):
            raise ArgumentError(f"__array_namespace__: there is no version {api_version!r} of the standard here")
        return namespace

    def __dlpack_device__(self) -> tuple[int, int]:
        kind, index = self._array.__dlpack_device__()
        return int(kind), int(index)

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """Hand the memory to another library (Array API: __dlpack__); a copy where that library could not use it."""
        from rustorch_core import _exchange

        if self.requires_grad:
            raise ExportError("a tensor that takes part in a gradient cannot be exported; call .detach() first")
        return _exchange.capsule(self, stream=stream, max_version=max_version, dl_device=dl_device, copy=copy)

    def __reduce__(self) -> tuple[Any, ...]:
        if not self.is_leaf:
            raise GradientError("pickling a computed tensor would lose its gradient; call .detach() first")
        values = self.device.to_host(self._array)
        return _rebuild, (type(self), np.asarray(values), self.dtype.name, str(self.device), self.requires_grad)

    def _stands_for_another(self) -> bool:
        """Whether a copy must carry the gradient on: a computed tensor, or the argument of a function under `grad`."""
        node = self._node
        return node is not None and (node.op is not None or node.receiver is None)

    def __copy__(self) -> Tensor:
        """The same values in memory of their own, as in NumPy; the copy of a leaf is a leaf."""
        return self.__deepcopy__({})

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if self._stands_for_another():
            made: Tensor = self.clone()
            memo[id(self)] = made
            return made
        made = tensor_like(type(self), self._key.namespace.asarray(self._array, copy=True), self._key)
        made.requires_grad_(self.requires_grad)
        memo[id(self)] = made
        if self.grad is not None:
            made.grad = self.grad.__deepcopy__(memo)
        return made

    # Devices

    def to_device(self, device: Device | str, /, *, stream: Any = None) -> Tensor:
        """The tensor on a device: itself if it is there, else a copy (Array API: to_device)."""
        return self.to(device)

    def to(self, target: Any = None, *, device: Device | str | None = None, dtype: Any = None) -> Tensor:
        """The tensor on another device or in another dtype, with its gradient; itself where nothing changes.

        Arguments:
            target: a device or its name, or a dtype, by position as in PyTorch.
            device: a device or its name.
            dtype: a dtype.
        """
        from rustorch_core import _creation_functions, _data_type_functions

        if target is not None:
            if isinstance(target, Device) or (isinstance(target, str) and target not in _data_types.DTYPES):
                device = target
            else:
                dtype = target
        moved, place = self, self.device if device is None else find_device(device)
        if dtype is not None and not place.supports(self.dtype):
            moved = _data_type_functions.astype(moved, dtype, copy=False)
        if place is not self.device:
            moved = _creation_functions._transfer(moved, device=place)
        if dtype is not None:
            moved = _data_type_functions.astype(moved, dtype, copy=False)
        return moved

    # Gradients

    @property
    def requires_grad(self) -> bool:
        """Whether the tensor takes part in a gradient."""
        return self._node is not None

    @property
    def is_leaf(self) -> bool:
        """Whether the tensor was made, not computed from others that require a gradient."""
        return self._node is None or self._node.op is None

    @property
    def grad_fn(self) -> Node | None:
        """The recorded call that this tensor came from; None for a leaf, and where nothing was recorded."""
        return None if self._node is None or self._node.op is None else self._node

    @property
    def grad(self) -> Tensor | None:
        """What `.backward()` accumulated for this leaf, or None."""
        try:
            return self._grad
        except AttributeError:
            return None

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None and not isinstance(value, Tensor):
            raise OperandError(f"grad: expected a tensor or None, met {type(value).__name__}")
        if value is not None and (value.shape != self.shape or value.device is not self.device):
            raise ArgumentError(
                f"grad: expected shape {self.shape} on {self.device}, met shape {value.shape} on {value.device}"
            )
        self._grad = value

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Make a leaf take part in gradients, or no longer; returns the tensor itself.

        Raises:
            DTypeError: for integers and booleans.
            GradientError: for a computed tensor.
        """
        from rustorch_core import _graph

        _graph.set_leaf(self, requires_grad)
        return self

    def detach(self) -> Tensor:
        """A view of the same memory that takes part in no gradient."""
        return add_detached(self, tensor_like(Tensor, self._array, self._key))

    def backward(
        self, gradient: Tensor | None = None, *, retain_graph: bool = False, create_graph: bool = False
    ) -> None:
        """Add the gradient of this tensor to the `.grad` of every leaf that it was computed from.

        Arguments:
            gradient: the gradient with respect to this tensor, of its shape; may be left out for one element.
            retain_graph: keep what a second walk needs.
            create_graph: record the walk itself, for derivatives of higher order.

        Raises:
            GradientError: where nothing requires a gradient, or the graph has been walked and freed.
            ShapeError: where `gradient` is missing or of another shape.
        """
        from rustorch_core import _autograd

        _autograd.backward(self, gradient, retain_graph=retain_graph, create_graph=create_graph)

    def retain_grad(self) -> None:
        """Let `.backward()` accumulate into the `.grad` of this computed tensor too (PyTorch: retain_grad).

        Raises:
            GradientError: for a tensor that takes part in no gradient.
        """
        from rustorch_core import _autograd

        _autograd.retain_grad(self)

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
        """Call a function with the gradient of this tensor, each time one is complete (PyTorch: register_hook).

        Arguments:
            hook: takes the gradient, and may return another one of its shape in its place; hooks run in the order
                in which they came. A write into the tensor makes it another one, on which the hook is not.

        Returns:
            a handle whose `remove()` takes the hook away.

        Raises:
            GradientError: for a tensor that takes part in no gradient; and in the walk, where a hook returns what does
                not fit.
        """
        from rustorch_core import _autograd

        return _autograd.register_hook(self, hook)

    # PyTorch's spellings

    def numel(self) -> int:
        """The number of elements."""
        return self.size

    def dim(self) -> int:
        """The number of axes."""
        return self.ndim

    def cpu(self) -> Tensor:
        """The tensor on the device `cpu`."""
        return self.to("cpu")


def tensor_like(kind: type[Tensor], array: Any, key: DispatchKey) -> Tensor:
    """A tensor of this class around a native array."""
    made = object.__new__(kind)
    made._array = array
    made._key = key
    made._node = made._place = made._saved = None
    return made


def wrap(native: Any, device: Device) -> Tensor:
    """A tensor around what a device's function returned; NumPy's scalars become arrays without axes."""
    if type(native) is not device.array_type:
        native = device.namespace.asarray(native)
    made = Tensor()
    made._array = native
    made._key = device.keys[native.dtype]
    made._node = made._place = made._saved = None
    return made


def from_host(array: np.ndarray[Any, Any], device: Device) -> Tensor:
    """A tensor of a NumPy array, whose memory it takes over where the device is the host's."""
    key = device.key(array.dtype)  # raises where the device has no such dtype
    return tensor_like(Tensor, array if device.shares_host_memory else device.from_host(array), key)


def _rebuild(kind: type[Tensor], values: Any, dtype: str, device_name: str, requires_grad: bool) -> Tensor:
    device = find_device(device_name)
    key = device.key(_data_types.DTYPES[dtype])
    return tensor_like(kind, device.from_host(values), key).requires_grad_(requires_grad)


def same_device(name: str, *tensors: Tensor | None) -> Device:
    """The one device of all tensors.

    Raises:
        DeviceMismatchError: where there are two.
    """
    present = [tensor for tensor in tensors if tensor is not None]
    first = present[0]._key.device
    for tensor in present[1:]:
        if tensor._key.device is not first:
            raise DeviceMismatchError(
                f"{name}: tensors on {first} and {tensor.device} met; move one with .to({str(first)!r})"
            )
    return first
