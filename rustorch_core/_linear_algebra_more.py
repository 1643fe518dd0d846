"""Linear algebra beyond the standard, as NumPy and SciPy name and mean it, made of the standard's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from rustorch_core._arguments import number
from rustorch_core._axes import some_axes
from rustorch_core._creation_functions import asarray, eye, full, zeros
from rustorch_core._data_types import Defaults
from rustorch_core._define import cast, promoted
from rustorch_core._dispatch import check_tensor
from rustorch_core._elementwise_functions import _conj, abs, where
from rustorch_core._indexing_functions import take
from rustorch_core._linear_algebra_extension import (
    _cutoff,
    _matrices,
    _square,
    _squares,
    inv,
    matrix_norm,
    pinv,
    solve,
    svdvals,
    vector_norm,
)
from rustorch_core._linear_algebra_functions import matmul
from rustorch_core._manipulation_functions import concat, expand_dims, matrix_transpose, permute_dims, reshape, stack
from rustorch_core._searching_functions import argmax
from rustorch_core._statistical_functions import max, sum
from rustorch_core._tensor import Tensor
from rustorch_core.errors import ArgumentError, LinearAlgebraError, OperandError, ShapeError

__all__ = ["LUResult", "LstsqResult", "cond", "expm", "lstsq", "lu", "multi_dot", "norm"]


def norm(x: Tensor, /, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Compute a norm of vectors or matrices (NumPy: linalg.norm).

    Arguments:
        x: tensor of a floating-point dtype; integers become the default one.
        ord: None for the root of the sum of squares; else as in `vector_norm` or `matrix_norm`.
        axis: one axis for vectors, two for matrices; None takes a vector or matrix as it is, and with `ord=None`
            all elements of any tensor.
        keepdims: keep the axes with length 1.

    Raises:
        ArgumentError: for an `ord` that vectors or matrices do not have, and for another number of axes.
    """
    check_tensor("norm", x)
    if ord is None:
        return vector_norm(x, axis=axis, keepdims=keepdims)
    ord = ord if isinstance(ord, str) else number("norm", "ord", ord)
    axes = some_axes("norm", axis, x.ndim)
    if len(axes) == 1 and not isinstance(ord, str):
        return vector_norm(x, axis=axes, keepdims=keepdims, ord=ord)
    if len(axes) != 2:
        raise ArgumentError(f"norm: ord {ord!r} met {len(axes)} axes; a vector has one, a matrix two")
    rest = [each for each in range(x.ndim) if each not in axes]
    result = matrix_norm(permute_dims(x, (*rest, *axes)), ord=ord)
    kept = tuple(1 if each in axes else n for each, n in enumerate(x.shape))
    return reshape(result, kept) if keepdims else result


def cond(x: Tensor, /, p: Any = None) -> Tensor:
    """Compute the condition numbers of matrices; singular ones have infinity (NumPy: linalg.cond).

    Arguments:
        x: tensor of shape (..., M, N), square unless `p` is None, 2 or -2.
        p: which norm: None or 2 for the ratio of the extreme singular values, else as in `matrix_norm`.
    """
    p = p if p is None or isinstance(p, str) else number("cond", "p", p)
    if p in (None, 2, -2):
        values = svdvals(_matrices("cond", x))
        largest, smallest = values[..., 0], values[..., -1]
        return smallest / largest if p == -2 else largest / smallest
    matrices = _square("cond", x)
    if matrices.ndim > 2:
        flat = reshape(matrices, (-1, *matrices.shape[-2:]))
        return reshape(stack([cond(each, p) for each in flat]), matrices.shape[:-2])
    try:
        return matrix_norm(matrices, ord=p) * matrix_norm(inv(matrices), ord=p)
    except LinearAlgebraError:
        return full((), math.inf, dtype=matrix_norm(matrices).dtype, device=x.device)


class LstsqResult(NamedTuple):
    """What `lstsq` returns: the solution, the sums of squared residuals, the rank, and the singular values."""

    x: Tensor
    residuals: Tensor
    rank: Tensor
    s: Tensor


def lstsq(a: Tensor, b: Tensor, /, rcond: float | None = None) -> LstsqResult:
    """Solve a @ x = b in the sense of least squares; the solution of least norm where there are many.

    Source: NumPy, linalg.lstsq.

    Arguments:
        a: tensor of shape (M, N).
        b: tensor of shape (M) or (M, K).
        rcond: singular values below this part of the largest count as 0; by default max(M, N) roundings.

    Gradients of a solution without full rank are those among matrices of the same rank.

    Returns:
        the solution of shape (N) or (N, K); residuals of shape (K), (1) for a vector, (0) unless M > N and the rank
        is N; the rank; the singular values.

    Raises:
        ShapeError: where the shapes do not fit.
    """
    a, b = promoted("lstsq", _matrices("lstsq", a), b)
    if a.ndim != 2 or b.ndim not in (1, 2) or a.shape[0] != b.shape[0]:
        raise ShapeError(f"lstsq: shapes {a.shape} and {b.shape} do not fit; expected (M, N) and (M) or (M, K)")
    columns = expand_dims(b, axis=1) if b.ndim == 1 else b
    rcond = None if rcond is None else number("lstsq", "rcond", rcond)
    constant = a.detach()
    values = svdvals(constant)
    rank = sum(cast(values > _cutoff(values, a.shape, rcond), Defaults.integer))
    x = matmul(pinv(constant, rtol=rcond), columns.detach())
    is_full = int(rank) == min(a.shape)
    if a.requires_grad or b.requires_grad:
        x = _refined(a, columns, x) if is_full else matmul(pinv(a, rtol=rcond), columns)
    rest = columns - matmul(a, x)
    squares = sum(_squares(rest), axis=0)
    residuals = squares if is_full and a.shape[0] > a.shape[1] else squares[:0]
    return LstsqResult(reshape(x, (a.shape[1],)) if b.ndim == 1 else x, residuals, rank, values)


def _refined(a: Tensor, b: Tensor, x: Tensor) -> Tensor:
    """One step of Newton's method from the solution, by the normal equations.

    It ends at the solution from wherever it starts, so its derivatives of every order are the solution's, while its
    rounding is only that of a small correction.
    """
    adjoint = _conj(matrix_transpose(a))
    if a.shape[0] >= a.shape[1]:
        return x + solve(matmul(adjoint, a), matmul(adjoint, b - matmul(a, x)))
    gram = matmul(a, adjoint)
    weights = solve(gram.detach(), matmul(a.detach(), x))
    return matmul(adjoint, weights + solve(gram, b - matmul(gram, weights)))


# The coefficients of the Pade approximant of degree 13 to exp, and the norm up to which it is exact in double
# precision: Higham, The scaling and squaring method for the matrix exponential revisited, 2005.
_PADE = (
    64764752532480000.0, 32382376266240000.0, 7771770303897600.0, 1187353796428800.0, 129060195264000.0,
    10559470521600.0, 670442572800.0, 33522128640.0, 1323241920.0, 40840800.0, 960960.0, 16380.0, 182.0, 1.0,
)  # fmt: skip
_PADE_REACH = 5.371920351148152


def expm(x: Tensor, /) -> Tensor:
    """Compute the exponentials of square matrices (SciPy: linalg.expm), by Higham's scaling and squaring of 2005.

    Arguments:
        x: tensor of shape (..., N, N).

    Raises:
        ShapeError: for matrices that are not square.
    """
    matrices = _square("expm", x)
    if matrices.size == 0:
        return matrices.clone()  # type: ignore[no-any-return]
    largest = float(max(sum(abs(matrices.detach()), axis=-2)))
    if not math.isfinite(largest):
        return matrices * math.nan
    squarings = math.ceil(math.log2(largest / _PADE_REACH)) if largest > _PADE_REACH else 0
    a = matrices * 2.0**-squarings
    identity = eye(x.shape[-1], dtype=a.dtype, device=a.device)
    # Divided by the first coefficient, so that single precision is far from its limits.
    b = [each / _PADE[0] for each in _PADE]
    a2 = matmul(a, a)
    a4 = matmul(a2, a2)
    a6 = matmul(a4, a2)
    odd = matmul(a6, b[13] * a6 + b[11] * a4 + b[9] * a2) + b[7] * a6 + b[5] * a4 + b[3] * a2 + b[1] * identity
    even = matmul(a6, b[12] * a6 + b[10] * a4 + b[8] * a2) + b[6] * a6 + b[4] * a4 + b[2] * a2 + b[0] * identity
    odd = matmul(a, odd)
    result = solve(even - odd, even + odd)
    for _ in range(squarings):
        result = matmul(result, result)
    return result


class LUResult(NamedTuple):
    """What `lu` returns: x = P @ L @ U; a permutation, a unit lower and an upper triangular matrix."""

    P: Tensor
    L: Tensor
    U: Tensor


def lu(x: Tensor, /) -> LUResult:
    """Factor matrices by elimination with the largest pivot of each column (SciPy: linalg.lu).

    Arguments:
        x: tensor of shape (..., M, N).

    Returns:
        P of shape (..., M, M), L of shape (..., M, K), U of shape (..., K, N), with K = min(M, N).
    """
    matrices = _matrices("lu", x)
    if matrices.ndim == 2:
        return _eliminated(matrices)
    *stacked, rows, columns = matrices.shape
    inner = min(rows, columns)
    if 0 in stacked:
        shapes = ((rows, rows), (rows, inner), (inner, columns))
        return LUResult(*[zeros((*stacked, *each), dtype=matrices.dtype, device=x.device) for each in shapes])
    parts = zip(*[_eliminated(each) for each in reshape(matrices, (-1, rows, columns))], strict=True)
    return LUResult(*[reshape(stack(part), (*stacked, *part[0].shape)) for part in parts])


def _eliminated(x: Tensor) -> LUResult:
    """One matrix; which row each pivot stands in is read to the host."""
    rows, columns = x.shape
    remaining, trailing = list(range(rows)), x
    order: list[int] = []
    lower: list[tuple[list[int], Tensor]] = []
    upper: list[Tensor] = []
    for step in range(min(rows, columns)):
        pivot = int(argmax(abs(trailing[:, 0].detach())))
        places = list(range(len(remaining)))
        places[0], places[pivot] = pivot, 0
        trailing = take(trailing, asarray(places, device=x.device), axis=0)
        remaining = [remaining[each] for each in places]
        order.append(remaining[0])
        head = trailing[0, 0]
        factors = where(head == 0, 0, trailing[1:, 0] / where(head == 0, 1, head))
        lower.append((remaining[1:], factors))
        upper.append(concat([zeros(step, dtype=x.dtype, device=x.device), trailing[0]]))
        trailing = trailing[1:, 1:] - expand_dims(factors, axis=1) * trailing[0, 1:]
        remaining = remaining[1:]
    order += remaining
    identity = eye(rows, dtype=x.dtype, device=x.device)
    permutation = take(identity, asarray(order, dtype="int64", device=x.device), axis=1)
    return LUResult(
        permutation,
        stack([_column(part, identity, step, order) for step, part in enumerate(lower)], axis=1)
        if lower
        else identity[:, :0],
        stack(upper) if upper else x[:0],
    )


def _column(part: tuple[list[int], Tensor], identity: Tensor, step: int, order: list[int]) -> Tensor:
    """A column of L: its factors in the order that the rows have at the end."""
    names, factors = part
    places = asarray([names.index(name) for name in order[step + 1 :]], dtype="int64", device=factors.device)
    return concat([identity[: step + 1, step], take(factors, places, axis=0)])


def multi_dot(arrays: Sequence[Tensor], /) -> Tensor:
    """Multiply several matrices in the order that takes the fewest multiplications (NumPy: linalg.multi_dot).

    Arguments:
        arrays: at least two matrices; the first and the last may be vectors.

    Raises:
        ShapeError: where the shapes do not fit.
    """
    if not isinstance(arrays, (tuple, list)):
        raise OperandError(f"multi_dot: expected a list or tuple of tensors, met {type(arrays).__name__}")
    tensors = list(arrays)
    for each in tensors:
        check_tensor("multi_dot", each)
    if len(tensors) < 2:
        raise ArgumentError(f"multi_dot: expected at least 2 matrices, met {len(tensors)}")
    if any(each.ndim != 2 for each in tensors[1:-1]) or any(each.ndim not in (1, 2) for each in tensors):
        raise ShapeError(f"multi_dot: expected matrices, met shapes {' and '.join(str(x.shape) for x in tensors)}")
    lengths = [1 if tensors[0].ndim == 1 else tensors[0].shape[0], *[each.shape[0] for each in tensors[1:]]]
    lengths.append(1 if tensors[-1].ndim == 1 else tensors[-1].shape[1])
    return _chain(tensors, _best_cuts(lengths), 0, len(tensors) - 1)


def _best_cuts(lengths: list[int]) -> dict[tuple[int, int], int]:
    """Where to part each stretch of a chain (Cormen et al., Introduction to Algorithms, 15.2)."""
    count = len(lengths) - 1
    costs = {(i, i): 0 for i in range(count)}
    cuts = {}
    for span in range(1, count):
        for i in range(count - span):
            j = i + span
            choices = {
                k: costs[i, k] + costs[k + 1, j] + lengths[i] * lengths[k + 1] * lengths[j + 1] for k in range(i, j)
            }
            cuts[i, j] = min(choices, key=choices.__getitem__)
            costs[i, j] = choices[cuts[i, j]]
    return cuts


def _chain(tensors: list[Tensor], cuts: dict[tuple[int, int], int], i: int, j: int) -> Tensor:
    if i == j:
        return tensors[i]
    cut = cuts[i, j]
    return matmul(_chain(tensors, cuts, i, cut), _chain(tensors, cuts, cut + 1, j))
