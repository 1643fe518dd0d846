"""Linear algebra of the main namespace, and what of `linalg` the first layers need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rustorch_core import _dispatch
from rustorch_core._axes import broadcast_shapes, one_axis, some_axes
from rustorch_core._define import Prepared, attach, op, promoted, public_names
from rustorch_core._elementwise_functions import _conj
from rustorch_core._graph import recording
from rustorch_core._manipulation_functions import (
    expand_dims,
    moveaxis,
    permute_dims,
    reshape,
    squeeze,
)
from rustorch_core._statistical_functions import sum
from rustorch_core._tensor import Tensor
from rustorch_core.errors import ArgumentError, OperandError, ShapeError

# Products of matrices, also of transposed ones: each one's gradients are the others, and none needs a view.


@op(
    "matmul",
    "numeric",
    lambda g, x2: _times_transposed(g, x2),
    lambda g, x1: _transposed_times(x1, g),
    kind="matmul",
    method=False,
)
def _matmul(x1: Tensor, x2: Tensor, /) -> Prepared:
    return (x1, x2), {}


@op(
    "times_transposed",
    "numeric",
    lambda g, x2: _matmul(g, x2),
    lambda g, x1: _transposed_times(g, x1),
    native=lambda xp, x1, x2: xp.matmul(x1, xp.matrix_transpose(x2)),
    method=False,
)
def _times_transposed(x1: Tensor, x2: Tensor, /) -> Prepared:
    """Multiply by a transposed matrix: x1 @ x2.mT, of tensors of one dtype, (..., M, K) and (..., N, K)."""
    return (x1, x2), {}


@op(
    "transposed_times",
    "numeric",
    lambda g, x2: _times_transposed(x2, g),
    lambda g, x1: _matmul(x1, g),
    native=lambda xp, x1, x2: xp.matmul(xp.matrix_transpose(x1), x2),
    method=False,
)
def _transposed_times(x1: Tensor, x2: Tensor, /) -> Prepared:
    """Multiply a transposed matrix: x1.mT @ x2, of tensors of one dtype, (..., K, M) and (..., K, N)."""
    return (x1, x2), {}


def matmul(x1: Tensor, x2: Tensor, /) -> Tensor:
    """Multiply matrices, or stacks of them that broadcast (Array API: matmul).

    Arguments:
        x1: tensor of a numeric dtype, (..., M, K) or (K).
        x2: tensor of a numeric dtype, (..., K, N) or (K).

    Returns:
        a tensor of shape (..., M, N), without the axis that a vector does not have.

    Raises:
        ShapeError: where the inner lengths differ, or the stacks do not broadcast.

    Example:
        >>> import rustorch as rt
        >>> rt.ones((2, 3)) @ rt.ones(3)
        tensor([3., 3.], dtype=float32)
    """
    if type(x1) is not Tensor or type(x2) is not Tensor or x1._key is not x2._key:
        x1, x2 = promoted("matmul", x1, x2)
    first, second = tuple(x1._array.shape), tuple(x2._array.shape)
    if not first or not second:
        raise ShapeError(f"matmul: shapes {first} and {second} met; a tensor without axes is no matrix, use * instead")
    if first[-1] != second[-2 if len(second) > 1 else 0]:
        raise ShapeError(
            f"matmul: shapes {first} and {second} do not fit: "
            f"{first[-1]} columns meet {second[-2 if len(second) > 1 else 0]} rows"
        )
    are_matrices = len(first) > 1 and len(second) > 1
    # A vector becomes a matrix only for those who will ask for its gradient, whose rules are for matrices.
    if are_matrices or not ((x1._node or x2._node) and recording()):
        if first[:-2] != second[:-2]:
            broadcast_shapes(first[:-2], second[:-2])
        product: Tensor = _dispatch.call(_matmul.op, (x1, x2), {})  # type: ignore[attr-defined]
        return product
    rows = expand_dims(x1, axis=0) if len(first) == 1 else x1
    columns = expand_dims(x2, axis=1) if len(second) == 1 else x2
    return squeeze(_matmul(rows, columns), axis=(-2,) * (len(first) == 1) + (-1,) * (len(second) == 1))


_matmul.op.function = matmul  # type: ignore[attr-defined]


def _matmul_operator(x1: Any, x2: Any) -> Any:
    if not isinstance(x1, Tensor) or not isinstance(x2, Tensor):
        from rustorch_core._define import is_operand

        if not is_operand(x1) or not is_operand(x2):
            return NotImplemented
        x1, x2 = promoted("matmul", x1, x2)
    return matmul(x1, x2)


attach("__matmul__", _matmul_operator)
attach("__rmatmul__", lambda x, other: _matmul_operator(other, x))
attach("matmul", matmul)


def vecdot(x1: Tensor, x2: Tensor, /, *, axis: int = -1) -> Tensor:
    """Take the dot product of vectors along an axis, the first one conjugated (Array API: vecdot).

    Arguments:
        x1: tensor of a numeric dtype.
        x2: likewise, as long along the axis; the other axes broadcast.
        axis: the axis that the vectors lie along.

    Raises:
        ShapeError: where the vectors differ in length, or the other axes do not broadcast.
    """
    x1, x2 = promoted("vecdot", x1, x2)
    lengths = [x.shape[one_axis("vecdot", axis, x.ndim)] for x in (x1, x2)]
    if lengths[0] != lengths[1]:
        raise ShapeError(f"vecdot: shapes {x1.shape} and {x2.shape} differ along axis {axis}")
    if axis >= 0:  # from the left it may be another one in each
        x1, x2, axis = moveaxis(x1, axis, -1), moveaxis(x2, axis, -1), -1
    return sum(_conj(x1) * x2, axis=axis, dtype=x1.dtype)


def tensordot(x1: Tensor, x2: Tensor, /, *, axes: int | Sequence[Sequence[int]] = 2) -> Tensor:
    """Contract axes of two tensors (Array API: tensordot).

    Arguments:
        x1: tensor of a numeric dtype.
        x2: tensor of a numeric dtype.
        axes: how many of the last axes of `x1` meet the first ones of `x2`, or a pair of sequences that name them.

    Raises:
        ShapeError: where contracted lengths differ.
    """
    x1, x2 = promoted("tensordot", x1, x2)
    if isinstance(axes, int):
        if not 0 <= axes <= min(x1.ndim, x2.ndim):
            raise ArgumentError(f"tensordot: cannot contract {axes} axes of shapes {x1.shape} and {x2.shape}")
        first, second = tuple(range(x1.ndim - axes, x1.ndim)), tuple(range(axes))
    elif isinstance(axes, (tuple, list)) and len(axes) == 2 and None not in axes:
        first, second = (some_axes("tensordot", each, x.ndim) for each, x in zip(axes, (x1, x2), strict=True))
    else:
        raise OperandError(f"tensordot: axes is an integer or a pair of sequences of integers, met {axes!r}")
    if [x1.shape[i] for i in first] != [x2.shape[i] for i in second]:
        raise ShapeError(f"tensordot: shapes {x1.shape} and {x2.shape} do not fit along axes {first} and {second}")
    free1, free2 = ([i for i in range(x.ndim) if i not in gone] for x, gone in ((x1, first), (x2, second)))
    inner = _product([x1.shape[i] for i in first])
    rows = reshape(permute_dims(x1, (*free1, *first)), (_product([x1.shape[i] for i in free1]), inner))
    columns = reshape(permute_dims(x2, (*second, *free2)), (inner, _product([x2.shape[i] for i in free2])))
    return reshape(matmul(rows, columns), (*[x1.shape[i] for i in free1], *[x2.shape[i] for i in free2]))


def _product(lengths: list[int]) -> int:
    product = 1
    for length in lengths:
        product *= length
    return product


__all__ = public_names(vars())
