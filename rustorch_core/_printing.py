"""How a tensor is printed: its elements as NumPy prints an array, then what else there is to know of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy

from rustorch_core._arguments import integer, number
from rustorch_core._data_types import bfloat16
from rustorch_core.errors import ArgumentError

if TYPE_CHECKING:
    from rustorch_core._tensor import Tensor

#: What was set; NumPy's own options hold for all else.
_options: dict[str, Any] = {}
#: Digits after the point that tell any two numbers of bfloat16 of one magnitude apart.
_BFLOAT16_DIGITS = 4


def set_printoptions(
    *,
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Set how tensors are printed (PyTorch: set_printoptions); what is left out stays as it is.

    What was never set is as `numpy.set_printoptions` has it.

    Arguments:
        precision: at most so many digits after the point.
        threshold: a tensor of more elements is printed in part; infinity prints all.
        edgeitems: how many elements at each end of an axis are printed of such a tensor.
        linewidth: characters in a line.
        sci_mode: True always prints an exponent, False never does.

    Raises:
        ArgumentError: for a number below 0.
        OperandError: for what is no number.

    Example:
        >>> import rustorch as rt
        >>> with rt.printoptions(precision=2):
        ...     print(rt.asarray([1 / 3, 1e-9]))
        tensor([3.33e-01, 1.00e-09], dtype=float32)
    """
    _options.update(_checked(precision, threshold, edgeitems, linewidth, sci_mode))


@contextlib.contextmanager
def printoptions(**options: Any) -> Iterator[None]:
    """Print otherwise inside a block (NumPy: printoptions); takes the options of `set_printoptions`."""
    before = dict(_options)
    set_printoptions(**options)
    try:
        yield
    finally:
        _options.clear()
        _options.update(before)


def _checked(precision: Any, threshold: Any, edgeitems: Any, linewidth: Any, sci_mode: Any) -> dict[str, Any]:
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    read = {
        name: (number if name == "threshold" else integer)("set_printoptions", name, value)
        for name, value in given.items()
        if value is not None
    }
    for name, value in read.items():
        if not value >= 0:
            raise ArgumentError(f"set_printoptions: {name} is at least 0, met {value}")
    if sci_mode not in (None, True, False):
        raise ArgumentError(f"set_printoptions: sci_mode is True, False or None, met {sci_mode!r}")
    return read if sci_mode is None else {**read, "sci_mode": bool(sci_mode)}


def text(x: Tensor, name: str) -> str:
    """A tensor as `repr` shows it, after a name and a parenthesis."""
    facts = [f"dtype={x.dtype}"]
    if x.size == 0 and x.shape != (0,):
        facts.insert(0, f"shape={x.shape}")
    if not x.device.shares_host_memory:
        facts.append(f"device={str(x.device)!r}")
    if x._node is not None:
        facts.append("requires_grad=True" if x._node.op is None else f"grad_fn=<{x._node.op.name}>")
    start, end = f"{name}({_elements(x, prefix=f'{name}(')}", f"{', '.join(facts)})"
    last_line = len(start) - start.rfind("\n") - 1
    width = _options.get("linewidth", numpy.get_printoptions()["linewidth"])
    gap = " " if last_line + len(", ") + len(end) <= width else "\n" + " " * len(f"{name}(")
    return f"{start},{gap}{end}"


def formatted(x: Tensor, specification: str) -> str:
    """A tensor for an f-string with a format, which each element gets."""
    try:
        if not x.ndim:
            return format(x.item(), specification)
        return _elements(x, formatter={"all": lambda element: format(element.item(), specification)})
    except ValueError as error:
        raise ArgumentError(f"format: {specification!r} for {x.dtype}: {error}") from error


def _elements(x: Tensor, *, prefix: str = "", **options: Any) -> str:
    values = x.device.to_host(x._array)
    options = {**numpy.get_printoptions(), **_options, **options}
    if x.dtype == bfloat16:
        values, options["precision"] = values.astype(numpy.float32), min(options["precision"], _BFLOAT16_DIGITS)
    sci_mode = options.pop("sci_mode", None)
    if sci_mode is not None:
        options["suppress"] = not sci_mode
    if sci_mode and options["formatter"] is None:
        options["formatter"] = _scientific(options["precision"])
    with numpy.printoptions(**options):
        return numpy.array2string(values, separator=", ", prefix=prefix)


def _scientific(precision: int) -> dict[str, Any]:
    def real(element: Any, **options: Any) -> str:
        return numpy.format_float_scientific(element, precision=precision, **options)

    return {"float_kind": real, "complex_kind": lambda element: f"{real(element.real)}{real(element.imag, sign=True)}j"}
