"""The extension `linalg` of the standard."""

from __future__ import annotations

import builtins
import math
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

from rustorch_core._arguments import integer, number, one_of
from rustorch_core._axes import broadcast_shapes, one_axis
from rustorch_core._creation_functions import arange, eye, tril, zeros_like
from rustorch_core._data_types import CATEGORIES, Defaults, is_floating
from rustorch_core._define import Prepared, cast, composition, op, promoted, public_names
from rustorch_core._dispatch import check_tensor
from rustorch_core._elementwise_functions import _conj, abs, exp, imag, logical_and, real, where
from rustorch_core._graph import set_recording
from rustorch_core._linear_algebra_functions import matmul
from rustorch_core._manipulation_functions import (
    broadcast_to,
    concat,
    expand_dims,
    matrix_transpose,
    moveaxis,
    reshape,
    squeeze,
    stack,
)
from rustorch_core._searching_functions import argmax
from rustorch_core._statistical_functions import all, any, max, mean, min, sum
from rustorch_core._tensor import Tensor
from rustorch_core.errors import ArgumentError, LinearAlgebraError, OperandError, ShapeError


def _matrices(name: str, x: Any) -> Tensor:
    """A stack of matrices of a floating-point dtype; integers become the default one.

    Raises:
        OperandError: for what is no tensor.
        ShapeError: for fewer than two axes.
    """
    check_tensor(name, x)
    if x.ndim < 2:
        raise ShapeError(f"{name}: expected matrices, met shape {x.shape}")
    return x if is_floating(x.dtype) else cast(x, Defaults.floating)


def _square(name: str, x: Any) -> Tensor:
    matrices = _matrices(name, x)
    if matrices.shape[-1] != matrices.shape[-2]:
        raise ShapeError(f"{name}: expected square matrices, met shape {matrices.shape}")
    return matrices


# Decompositions


class QRResult(NamedTuple):
    """What `qr` returns: Q with orthonormal columns, R upper triangular."""

    Q: Tensor
    R: Tensor


class EighResult(NamedTuple):
    """What `eigh` returns: eigenvalues in ascending order, eigenvectors in the columns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class EigResult(NamedTuple):
    """What `eig` returns: complex eigenvalues, eigenvectors in the columns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class SVDResult(NamedTuple):
    """What `svd` returns: x = U @ diag(S) @ Vh, singular values in descending order."""

    U: Tensor
    S: Tensor
    Vh: Tensor


class SlogdetResult(NamedTuple):
    """What `slogdet` returns: the sign, and the logarithm of the magnitude."""

    sign: Tensor
    logabsdet: Tensor


@op("linalg.cholesky", "single or double floating-point", lambda g, y, upper: _conj(_cholesky_rule(_conj(g), y, upper)))
def cholesky(x: Tensor, /, *, upper: bool = False) -> Prepared:
    """Factor positive definite matrices into a triangular one and its adjoint (Array API: linalg.cholesky).

    Arguments:
        x: tensor of shape (..., N, N), Hermitian; only one triangle is read.
        upper: return the upper factor instead of the lower one.

    Raises:
        LinearAlgebraError: where a matrix is not positive definite.
    """
    return (_square("cholesky", x),), {"upper": upper}


@op(
    "linalg.qr",
    "single or double floating-point",
    lambda g, ys, index, mode: _conj(_qr_rule(_conj(g), ys, index, mode)),
)
def _qr(x: Tensor, /, *, mode: str) -> Prepared:
    return (x,), {"mode": mode}


def qr(x: Tensor, /, *, mode: str = "reduced") -> QRResult:
    """Factor matrices into one with orthonormal columns and an upper triangular one (Array API: linalg.qr).

    Arguments:
        x: tensor of shape (..., M, N).
        mode: "reduced" for Q of shape (..., M, min(M, N)), "complete" for (..., M, M).
    """
    one_of("qr", "mode", mode, ("reduced", "complete"))
    return QRResult(*_qr(_matrices("qr", x), mode=mode))


@op("linalg.eigh", "single or double floating-point", lambda g, ys, index: _conj(_eigh_rule(_conj(g), ys, index)))
def _eigh(x: Tensor, /) -> Prepared:
    return (x,), {}


def eigh(x: Tensor, /) -> EighResult:
    """Decompose Hermitian matrices of shape (..., N, N) into eigenvalues and eigenvectors (Array API: linalg.eigh)."""
    return EighResult(*_eigh(_square("eigh", x)))


@op("linalg.eigvalsh", "single or double floating-point", lambda g, x: _conj(_eigh_rule(g, list(eigh(x)), 0)))
def eigvalsh(x: Tensor, /) -> Prepared:
    """Compute the eigenvalues of Hermitian matrices of shape (..., N, N), ascending (Array API: linalg.eigvalsh)."""
    return (_square("eigvalsh", x),), {}


@op("linalg.eig", "single or double floating-point", lambda g, ys, index: _eig_rule(g, ys, index))
def _eig(x: Tensor, /) -> Prepared:
    return (x,), {}


def eig(x: Tensor, /) -> EigResult:
    """Decompose matrices of shape (..., N, N) into complex eigenvalues and eigenvectors (Array API: linalg.eig).

    Gradients take an eigenvector as LAPACK does: of length 1, its largest element real. Where eigenvalues are equal
    each vector counts as fixed along the others, with a warning where that matters.
    """
    return EigResult(*_eig(_square("eig", x)))


@op("linalg.eigvals", "single or double floating-point", lambda g, x: _eig_rule(g, list(eig(x)), 0))
def eigvals(x: Tensor, /) -> Prepared:
    """Compute the complex eigenvalues of matrices of shape (..., N, N) (Array API: linalg.eigvals)."""
    return (_square("eigvals", x),), {}


@op(
    "linalg.svd",
    "single or double floating-point",
    lambda g, ys, index, full_matrices: _conj(_svd_rule(_conj(g), ys, index, full_matrices)),
)
def _svd(x: Tensor, /, *, full_matrices: bool) -> Prepared:
    return (x,), {"full_matrices": full_matrices}


def svd(x: Tensor, /, *, full_matrices: bool = True) -> SVDResult:
    """Decompose matrices into singular values and vectors (Array API: linalg.svd).

    Arguments:
        x: tensor of shape (..., M, N).
        full_matrices: whether U and Vh are square; else they have min(M, N) columns and rows.
    """
    return SVDResult(*_svd(_matrices("svd", x), full_matrices=full_matrices))


@op(
    "linalg.svdvals",
    "single or double floating-point",
    lambda g, x: _conj(_svd_rule(g, list(svd(x, full_matrices=False)), 1, False)),
)
def svdvals(x: Tensor, /) -> Prepared:
    """Compute the singular values of matrices, in descending order (Array API: linalg.svdvals)."""
    return (_matrices("svdvals", x),), {}


# Inverses, equations, determinants


@op(
    "linalg.inv",
    "single or double floating-point",
    lambda g, y: -matmul(matrix_transpose(y), matmul(g, matrix_transpose(y))),
)
def inv(x: Tensor, /) -> Prepared:
    """Invert matrices of shape (..., N, N) (Array API: linalg.inv).

    Raises:
        LinearAlgebraError: where a matrix is singular.
    """
    return (_square("inv", x),), {}


@op(
    "linalg.solve",
    "single or double floating-point",
    lambda g, y, x1: -matmul(_solve(matrix_transpose(x1), g), matrix_transpose(y)),
    lambda g, x1: _solve(matrix_transpose(x1), g),
)
def _solve(x1: Tensor, x2: Tensor, /) -> Prepared:
    return (x1, x2), {}


def solve(x1: Tensor, x2: Tensor, /) -> Tensor:
    """Solve linear equations x1 @ y = x2 (Array API: linalg.solve).

    Arguments:
        x1: tensor of shape (..., N, N).
        x2: tensor of shape (N), or (..., N, K).

    Raises:
        LinearAlgebraError: where a matrix is singular.
        ShapeError: where the shapes do not fit.
    """
    check_tensor("solve", x2)
    x1, x2 = promoted("solve", _square("solve", x1), x2)
    rows = x2.shape[-2] if x2.ndim > 1 else x2.shape[0] if x2.ndim else None
    if rows != x1.shape[-1]:
        raise ShapeError(f"solve: shapes {x1.shape} and {x2.shape} do not fit")
    if x2.ndim == 1:
        column = broadcast_to(expand_dims(x2, axis=1), (*x1.shape[:-1], 1))
        return squeeze(_solve(x1, column), axis=-1)
    broadcast_shapes(x1.shape[:-2], x2.shape[:-2])
    return _solve(x1, x2)


@op("linalg.det", "single or double floating-point", lambda g, y, x: _det_rule(g, y, x))
def det(x: Tensor, /) -> Prepared:
    """Compute the determinants of matrices of shape (..., N, N), with gradients for singular ones (Array API: det)."""
    return (_square("det", x),), {}


@op("linalg.slogdet", "single or double floating-point", lambda g, ys, index, x: _slogdet_rule(g, ys, index, x))
def _slogdet(x: Tensor, /) -> Prepared:
    return (x,), {}


def slogdet(x: Tensor, /) -> SlogdetResult:
    """Compute sign and logarithm of the determinants, without overflow (Array API: linalg.slogdet)."""
    return SlogdetResult(*_slogdet(_square("slogdet", x)))


@composition("single or double floating-point", lambda g, y, x: _conj(_pinv_rule(_conj(g), y, x)))
def _pinv(x: Tensor, /, *, rtol: Any) -> Tensor:
    u, s, vh = svd(x, full_matrices=False)
    keep = s > _cutoff(s, x.shape, rtol)
    inverse = where(keep, 1 / where(keep, s, 1), 0)
    return matmul(_adjoint(vh) * expand_dims(inverse, axis=-2), _adjoint(u))


def pinv(x: Tensor, /, *, rtol: float | Tensor | None = None) -> Tensor:
    """Compute the Moore-Penrose inverse; its gradient is that among matrices of the same rank (Array API: linalg.pinv).

    Arguments:
        x: tensor of shape (..., M, N).
        rtol: singular values below this part of the largest count as 0; by default max(M, N) roundings.
    """
    return _pinv(_matrices("pinv", x), rtol=rtol)


def matrix_rank(x: Tensor, /, *, rtol: float | Tensor | None = None) -> Tensor:
    """Count the singular values that are not negligible (Array API: linalg.matrix_rank); arguments as for `pinv`."""
    s = svdvals(x)
    return sum(cast(s > _cutoff(s, x.shape, rtol), Defaults.integer), axis=-1)


def _cutoff(s: Tensor, shape: tuple[int, ...], rtol: float | Tensor | None) -> Tensor:
    from rustorch_core._data_type_functions import finfo

    part: Any = finfo(s.dtype).eps * (shape[-1] if shape[-1] > shape[-2] else shape[-2]) if rtol is None else rtol
    largest = max(s, axis=-1, keepdims=True) if s.shape[-1] else s
    return largest * (expand_dims(part, axis=-1) if isinstance(part, Tensor) else number("linalg", "rtol", part))


def matrix_power(x: Tensor, n: int, /) -> Tensor:
    """Multiply square matrices n times; a negative n inverts them first (Array API: linalg.matrix_power)."""
    check_tensor("matrix_power", x)
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise ShapeError(f"matrix_power: expected square matrices, met shape {x.shape}")
    n = integer("matrix_power", "n", n)
    if n == 0:
        return broadcast_to(eye(x.shape[-1], dtype=x.dtype, device=x.device), x.shape) + x * 0
    base, n = (inv(x), -n) if n < 0 else (x, n)
    result = None
    while n:
        if n & 1:
            result = base if result is None else matmul(result, base)
        base, n = matmul(base, base) if n > 1 else base, n >> 1
    assert result is not None
    return result if result is not x else x.clone()


# Norms, diagonals, products


@op(
    "linalg.diagonal",
    "all",
    lambda g, x_shape, offset: _on_diagonal(g, x_shape, offset),
    native=lambda xp, x, offset: xp.linalg.diagonal(x, offset=offset),
    is_view=True,
    is_read_only=True,
    selects=True,
)
def diagonal(x: Tensor, /, *, offset: int = 0) -> Prepared:
    """Take the diagonals of matrices, a view that cannot be written, as in NumPy (Array API: linalg.diagonal).

    Arguments:
        x: tensor of shape (..., M, N).
        offset: which diagonal, positive above the main one.
    """
    check_tensor("diagonal", x)
    if x.ndim < 2:
        raise ShapeError(f"diagonal: expected matrices, met shape {x.shape}")
    return (x,), {"offset": offset}


def _on_diagonal(g: Tensor, shape: tuple[int, ...], offset: int) -> Tensor:
    """Matrices of zeros with `g` on a diagonal."""
    rows, columns = shape[-2:]
    length = g.shape[-1]
    if length == 0:
        return broadcast_to(g.sum(axis=-1, keepdims=True)[..., None], shape) * 0
    top, left = -offset if offset < 0 else 0, offset if offset > 0 else 0
    row = eye(length, rows, k=top, dtype=g.dtype, device=g.device)
    column = eye(length, columns, k=left, dtype=g.dtype, device=g.device)
    return matmul(matrix_transpose(row), expand_dims(g, axis=-1) * column)


def trace(x: Tensor, /, *, offset: int = 0, dtype: Any = None) -> Tensor:
    """Add up the diagonals of matrices (Array API: linalg.trace); `dtype` as for `sum`."""
    return sum(diagonal(x, offset=offset), axis=-1, dtype=dtype)


def outer(x1: Tensor, x2: Tensor, /) -> Tensor:
    """Multiply each element of one vector with each of another (Array API: linalg.outer)."""
    x1, x2 = promoted("outer", x1, x2)
    if x1.ndim != 1 or x2.ndim != 1:
        raise ShapeError(f"outer: expected vectors, met shapes {x1.shape} and {x2.shape}")
    return expand_dims(x1, axis=1) * x2


def cross(x1: Tensor, x2: Tensor, /, *, axis: int = -1) -> Tensor:
    """Compute the cross products of vectors of three elements along an axis (Array API: linalg.cross).

    Raises:
        ShapeError: where the vectors do not have three elements, or the other axes do not broadcast.
    """
    x1, x2 = promoted("cross", x1, x2)
    shape = broadcast_shapes(x1.shape, x2.shape)
    lengths = [x.shape[one_axis("cross", axis, x.ndim)] for x in (x1, x2)]
    if lengths != [3, 3]:
        raise ShapeError(f"cross: shapes {x1.shape} and {x2.shape} do not have 3 elements along axis {axis}")
    place = one_axis("cross", axis, len(shape))
    a, b = (moveaxis(broadcast_to(x, shape), place, -1) for x in (x1, x2))
    parts = [a[..., i] * b[..., j] - a[..., j] * b[..., i] for i, j in ((1, 2), (2, 0), (0, 1))]
    return stack(parts, axis=place)


def _squares(x: Tensor) -> Tensor:
    """The squares of magnitudes, without their kink at 0."""
    return real(x) ** 2 + imag(x) ** 2 if x.dtype in CATEGORIES["complex floating-point"] else x * x


def vector_norm(
    x: Tensor, /, *, axis: int | Sequence[int] | None = None, keepdims: bool = False, ord: float = 2
) -> Tensor:
    """Compute the norm of vectors along axes (Array API: linalg.vector_norm); at the origin its gradient is 0.

    Arguments:
        x: tensor of a floating-point dtype.
        axis: axis or axes that make up a vector; None takes all elements.
        keepdims: keep the axes with length 1.
        ord: order of the norm: a number, infinity or its negative.
    """
    if not isinstance(x, Tensor):
        raise OperandError(f"vector_norm: expected a tensor, met {type(x).__name__}")
    x = x if is_floating(x.dtype) else cast(x, Defaults.floating)
    ord = number("vector_norm", "ord", ord)
    if ord == 2:
        return _root(sum(_squares(x), axis=axis, keepdims=keepdims), ord)
    magnitude = abs(x)
    if ord == math.inf:
        return max(magnitude, axis=axis, keepdims=keepdims)
    if ord == -math.inf:
        return min(magnitude, axis=axis, keepdims=keepdims)
    if ord == 0:
        return sum(cast(magnitude != 0, magnitude.dtype), axis=axis, keepdims=keepdims)
    if ord == 1:
        return sum(magnitude, axis=axis, keepdims=keepdims)
    # An element that is 0 has no say, however steep its power is there.
    is_zero = magnitude == 0
    powers = where(is_zero, 0.0**ord if ord > 0 else math.inf, where(is_zero, 1, magnitude) ** ord)
    return _root(sum(powers, axis=axis, keepdims=keepdims), ord)


def _root(powers: Tensor, ord: float) -> Tensor:
    """Sums of powers to the power of 1 / ord; flat at the origin."""
    is_zero = powers == 0
    return where(is_zero, 0, where(is_zero, 1, powers) ** (1 / ord))


def matrix_norm(x: Tensor, /, *, keepdims: bool = False, ord: Any = "fro") -> Tensor:
    """Compute the norms of matrices (Array API: linalg.matrix_norm).

    Arguments:
        x: tensor of shape (..., M, N).
        keepdims: keep the last two axes with length 1.
        ord: "fro", "nuc", 1, -1, 2, -2, infinity or its negative.

    Raises:
        ArgumentError: for another `ord`.
    """
    matrices = _matrices("matrix_norm", x)
    if ord == "fro":
        return vector_norm(matrices, axis=(-2, -1), keepdims=keepdims)
    if ord in (2, -2, "nuc"):
        values = svdvals(matrices)
        reduce = {2: max, -2: min, "nuc": sum}[ord]
        result = reduce(values, axis=-1)
    elif ord in (1, -1, math.inf, -math.inf):
        sums = sum(abs(matrices), axis=-2 if ord in (1, -1) else -1)
        result = (max if ord > 0 else min)(sums, axis=-1)
    else:
        raise ArgumentError(f"matrix_norm: ord is 'fro', 'nuc', 1, -1, 2, -2 or an infinity, met {ord!r}")
    return reshape(result, (*result.shape, 1, 1)) if keepdims else result


# Gradients of the decompositions, as they are published: in the convention of the steepest descent, which the
# conjugates around them turn into ours. Each gradient that enters is dealt with alone; the others add what they add.


def _adjoint(x: Tensor) -> Tensor:
    return _conj(matrix_transpose(x))


def _diagonal_matrix(values: Tensor) -> Tensor:
    return expand_dims(values, axis=-1) * eye(values.shape[-1], dtype=values.dtype, device=values.device)


def _inverse_gaps(values: Tensor) -> Tensor:
    """1 / (values[j] - values[i]); 0 where two values are equal but for rounding: there is no one direction."""
    gaps = expand_dims(values, axis=-2) - expand_dims(values, axis=-1)
    is_nothing = _is_negligible(gaps, values)
    return where(is_nothing, 0, 1 / where(is_nothing, 1, gaps))


def _is_negligible(differences: Tensor, values: Tensor) -> Tensor:
    """Whether differences or sums of some values, in matrices, are no more than their rounding."""
    from rustorch_core._data_type_functions import finfo

    magnitude = abs(values)
    largest = max(magnitude, axis=-1, keepdims=True) if values.shape[-1] else magnitude
    return abs(differences) <= expand_dims(largest, axis=-1) * (4 * finfo(values.dtype).eps)


def _warn_of_equal(name: str, values: Tensor, leaned_on: Tensor) -> None:
    """Warn where a gradient leans on the directions of eigenvectors whose eigenvalues are equal.

    Arguments:
        name: of the function.
        values: the eigenvalues.
        leaned_on: how much the gradient depends on turning each eigenvector toward each other.
    """
    with set_recording(False):
        size, n = abs(leaned_on.detach()), values.shape[-1]
        gaps = expand_dims(values.detach(), axis=-2) - expand_dims(values.detach(), axis=-1)
        is_pair = logical_and(_is_negligible(gaps, values.detach()), eye(n, device=values.device) == 0)
        is_warned = values.size > 0 and bool(any(logical_and(is_pair, size > 1e-6 * max(size))))
    if is_warned:
        warnings.warn(
            f"{name}: the gradient depends on which eigenvectors stand for equal eigenvalues, and there it has none; "
            "they count as fixed. Let the result depend on the space that they span alone",
            UserWarning,
            stacklevel=2,
        )


def _cholesky_rule(g: Tensor, y: Tensor, upper: bool) -> Tensor:
    """Murray 2016, arXiv:1602.07527."""
    lower, g = (_adjoint(y), _adjoint(g)) if upper else (y, g)
    half = tril(matmul(_adjoint(lower), g))
    half = half - 0.5 * _diagonal_matrix(diagonal(half))
    inner = _adjoint(solve(_adjoint(lower), _adjoint(solve(_adjoint(lower), half))))
    return 0.5 * (inner + _adjoint(inner))


def _completed(g: Tensor, basis: Tensor, count: int) -> Tensor:
    """The gradient of the first columns of a square unitary matrix, from that of all.

    The others complete the first to a basis, nobody says which; what they span follows from the first.
    """
    first, others = basis[..., :count], basis[..., count:]
    return g[..., :count] - matmul(others, matmul(_adjoint(g[..., count:]), first))


def _qr_rule(g: Tensor, ys: list[Tensor], index: int, mode: str) -> Tensor:
    """Walter and Lehmann 2018, arXiv:1009.6112; the columns beyond a square R are Q times their part of R."""
    q, r = ys
    rows, columns = q.shape[-2], r.shape[-1]
    if rows > columns:  # the rest of a complete Q meets zeros in R
        g = _completed(g, q, columns) if index == 0 else g[..., :columns, :]
        q, r = q[..., :columns], r[..., :columns, :]
    if rows >= columns:
        return _square_qr_rule(g, q, r, index)
    left, right = r[..., :rows], r[..., rows:]
    if index == 0:
        return concat([_square_qr_rule(g, q, left, 0), zeros_like(matmul(q, right).detach())], axis=-1)
    g_left, g_right = g[..., :rows], g[..., rows:]
    through_q = matmul(matmul(q, right), _adjoint(g_right))
    square = _square_qr_rule(g_left, q, left, 1) + _square_qr_rule(through_q, q, left, 0)
    return concat([square, matmul(q, g_right)], axis=-1)


def _square_qr_rule(g: Tensor, q: Tensor, r: Tensor, index: int) -> Tensor:
    inner = -matmul(_adjoint(g), q) if index == 0 else matmul(r, _adjoint(g))
    lower = tril(inner, k=-1)
    symmetric = lower + _adjoint(lower) + _diagonal_matrix(cast(real(diagonal(inner)), inner.dtype))
    right = matmul(q, symmetric) + g if index == 0 else matmul(q, symmetric)
    return _adjoint(solve(r, _adjoint(right)))


def _eigh_rule(g: Tensor, ys: list[Tensor], index: int) -> Tensor:
    """Giles 2008, section 3.1; eigenvectors of equal eigenvalues count as fixed."""
    values, vectors = ys
    if index == 0:
        inner = _diagonal_matrix(cast(g, vectors.dtype))
    else:
        projected = matmul(_adjoint(vectors), g)
        _warn_of_equal("eigh", values, projected - _adjoint(projected))
        inner = projected * cast(_inverse_gaps(values), vectors.dtype)
    return matmul(vectors, matmul(inner, _adjoint(vectors)))


def _eig_rule(g: Tensor, ys: list[Tensor], index: int) -> Tensor:
    """Boeddeker et al. 2017, arXiv:1701.00392, for LAPACK's choice of length and phase; without conjugates."""
    values, vectors = ys
    turned = matrix_transpose(vectors)
    if index == 0:
        return solve(turned, expand_dims(g, axis=-1) * turned)
    # Of each vector's own direction the change keeps its length, and its largest element real.
    own = expand_dims(sum(g * vectors, axis=-2), axis=-2)
    size = abs(vectors)
    is_largest = arange(vectors.shape[-1], device=g.device)[:, None] == expand_dims(argmax(size, axis=-2), axis=-2)
    g = g - _conj(vectors) * real(own) - where(is_largest, 1j * imag(own), 0) / where(is_largest, vectors, 1)
    inner = matmul(turned, g)
    _warn_of_equal("eig", values, inner)
    return solve(turned, matmul(inner * _inverse_gaps(values), turned))


def _svd_rule(g: Tensor, ys: list[Tensor], index: int, full_matrices: bool) -> Tensor:
    """Wan and Zhang 2019, arXiv:1909.02659; vectors of equal singular values count as fixed.

    s[j] / (s[j]**2 - s[i]**2) and s[i] / (s[j]**2 - s[i]**2) are taken apart into half the sum and half the difference
    of 1 / (s[j] - s[i]) and 1 / (s[j] + s[i]). So what depends on both sides together, and not on the choice of the
    vectors of equal values, has its gradient.
    """
    u, s, vh = ys
    count = s.shape[-1]
    if index == 1:
        return matmul(u[..., :count] * expand_dims(cast(g, u.dtype), axis=-2), vh[..., :count, :])
    if index == 2:
        return _adjoint(_svd_rule(_adjoint(g), [_adjoint(vh), s, _adjoint(u)], 0, full_matrices))
    g = _completed(g, u, count) if u.shape[-1] > count else g
    u, vh = u[..., :count], vh[..., :count, :]
    sums = expand_dims(s, axis=-2) + expand_dims(s, axis=-1)
    is_nothing = _is_negligible(sums, s)
    inverse_sums = where(is_nothing, 0, 1 / where(is_nothing, 1, sums))
    projected = matmul(_adjoint(u), g)
    skew = projected - _adjoint(projected)
    inner = skew * cast(0.5 * (_inverse_gaps(s) + inverse_sums), u.dtype)
    scale = expand_dims(2 * diagonal(inverse_sums), axis=-2)
    return matmul(matmul(u, inner) + (g - matmul(u, projected)) * cast(scale, u.dtype), vh)


def _pinv_rule(g: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Golub and Pereyra 1973, equation 4.12."""
    adjoint, g_adjoint = _adjoint(y), _adjoint(g)
    beside = g_adjoint - matmul(x, matmul(y, g_adjoint))
    below = g_adjoint - matmul(matmul(g_adjoint, y), x)
    return matmul(beside, matmul(y, adjoint)) + matmul(matmul(adjoint, y), below) - matmul(adjoint, matmul(g, adjoint))


def _det_rule(g: Tensor, y: Tensor, x: Tensor) -> Tensor:
    inverse = _inverse_of_regular(x)
    if inverse is None:
        return expand_dims(g, axis=(-2, -1)) * _cofactors(x)
    return expand_dims(g * y, axis=(-2, -1)) * matrix_transpose(inverse)


def _inverse_of_regular(x: Tensor) -> Tensor | None:
    """The inverses of matrices; None where one is so close to singular that too many digits would be lost.

    A derivative of the determinant is its product with the inverse, each of which the device rounds in its own way; one
    of the next order a difference of products of the determinant with two inverses.
    """
    from rustorch_core._data_type_functions import finfo

    try:
        inverse = inv(x)
    except LinearAlgebraError:
        return None
    limit = finfo(x.dtype).eps ** -0.25
    with set_recording(False):
        return inverse if bool(all(matrix_norm(x) * matrix_norm(inverse) < limit)) else None


def _cofactors(x: Tensor) -> Tensor:
    """The derivatives of the determinants of matrices, singular ones too: det(x) times the transposed inverse.

    They are polynomials, and so their own means over a circle around x (Cauchy), on which the matrices are regular.
    """
    from rustorch_core._data_type_functions import finfo

    count = builtins.min(x.shape[-1], 16)
    with set_recording(False):
        size = matrix_norm(x, keepdims=True)
        radius = where(size == 0, 1, size) * finfo(x.dtype).eps ** 0.1
    # Where on the circle to begin is arbitrary; no eigenvalue of a matrix that somebody writes down is there.
    angles = (arange(count, dtype=radius.dtype, device=x.device) + 0.3) * (2 * math.pi / count)
    turns = reshape(exp(1j * angles), (count,) + (1,) * x.ndim)
    around = x + turns * radius * eye(x.shape[-1], dtype=radius.dtype, device=x.device)
    found = mean(det(around)[..., None, None] * matrix_transpose(inv(around)), axis=0)
    return found if x.dtype in CATEGORIES["complex floating-point"] else real(found)


def _slogdet_rule(g: Tensor, ys: list[Tensor], index: int, x: Tensor) -> Tensor:
    """The logarithm's gradient is the inverse; a real sign is flat, a complex one turns."""
    inverse = _inverse_of_regular(x)
    if inverse is None:  # infinite wherever a cofactor is not 0
        cofactors = _cofactors(x)
        inverse = where(cofactors == 0, 0, cofactors / det(x)[..., None, None])
    else:
        inverse = matrix_transpose(inverse)
    if index == 1:
        return expand_dims(cast(g, x.dtype), axis=(-2, -1)) * inverse
    if x.dtype not in CATEGORIES["complex floating-point"]:
        return zeros_like(inverse)
    return expand_dims(1j * imag(g * ys[0]), axis=(-2, -1)) * inverse


__all__ = public_names(vars())
