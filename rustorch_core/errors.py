"""Every error that RusTorch raises: `RusTorchError` first, then the built-in that a Python programmer would catch."""


class RusTorchError(Exception):
    """The base of all errors that RusTorch raises on purpose."""


class ArgumentError(RusTorchError, ValueError):
    """An argument has a value that the function cannot use."""


class ShapeError(ArgumentError):
    """Shapes met that do not fit together."""


class AxisError(ArgumentError, IndexError):
    """An axis was named that the array does not have."""


class IndexingError(RusTorchError, IndexError):
    """An index is out of bounds, or of a kind that cannot index."""


class DTypeError(RusTorchError, TypeError):
    """A function met a data type that it is not defined for."""


class OperandError(RusTorchError, TypeError):
    """A function met an object that is not a tensor and cannot be made one."""


class ScalarError(RusTorchError, TypeError, ValueError):
    """A tensor of several elements, or of none, was to become one Python number."""


class DeviceMismatchError(RusTorchError, ValueError):
    """Tensors of different devices met in one operation; data never moves by itself."""


class BackendUnavailableError(RusTorchError, RuntimeError):
    """A device that was asked for cannot be used; `reason` says why and `fix` what to do."""

    def __init__(self, message: str, *, reason: str = "", fix: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.fix = fix


class UnsupportedOpError(RusTorchError, NotImplementedError):
    """A device has neither a kernel, nor a function, nor a composition for an operation."""


class GradientError(RusTorchError, RuntimeError):
    """A gradient was asked for that does not exist or can no longer be computed."""


class AnomalyError(RusTorchError, FloatingPointError):
    """An op made NaN or an infinity of finite numbers, while `detect_anomaly` looked on."""


class GradientMismatchError(RusTorchError, AssertionError):
    """A gradient differs from a finite difference."""


class MismatchError(RusTorchError, AssertionError):
    """Two tensors that were to be close are not."""


class OutOfMemoryError(RusTorchError, MemoryError):
    """A device could not allocate the memory for a result."""


class LinearAlgebraError(RusTorchError, ArithmeticError):
    """A matrix has no such decomposition, inverse or solution."""


class PluginError(RusTorchError, RuntimeError):
    """A plugin failed to load, to register or to run (raised only under `RUSTORCH_STRICT`)."""


class EnvironmentVariableError(RusTorchError, ValueError):
    """A `RUSTORCH_*` variable is misspelt or has a value that is not understood."""


class FileFormatError(RusTorchError, ValueError):
    """A file is truncated, damaged or of another format than expected."""


class FileWriteError(RusTorchError, OSError):
    """A file could not be written in full; what stood there before is untouched."""


class ExportError(RusTorchError, BufferError):
    """Memory cannot be handed from one library to another as asked."""


class FileReadError(RusTorchError, OSError):
    """A file could not be read."""


class MissingLibraryError(RusTorchError, ImportError):
    """A library that a function needs is not installed."""


class MissingFileError(FileReadError, FileNotFoundError):
    """A file was asked for that does not exist."""
