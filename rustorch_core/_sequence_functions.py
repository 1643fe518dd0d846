"""Sequences: rows of a table for tokens, and attention, which lets each element of a sequence look at others."""

from __future__ import annotations

import functools
from typing import Any

from rustorch_core._arguments import flag, integer, number
from rustorch_core._autograd import no_grad
from rustorch_core._axes import broadcast_shapes, is_stretched_to
from rustorch_core._creation_functions import full, ones, tril
from rustorch_core._custom_gradient import custom_gradient
from rustorch_core._data_types import CATEGORIES, bool_, promote_types
from rustorch_core._define import Prepared, cast, composition, op
from rustorch_core._dispatch import check_tensor
from rustorch_core._elementwise_functions import equal, where
from rustorch_core._indexing_functions import _scatter, take
from rustorch_core._linear_algebra_functions import _times_transposed, _transposed_times, matmul
from rustorch_core._manipulation_functions import broadcast_to, expand_dims, repeat, reshape
from rustorch_core._neural_functions import _softmax_gradient, softmax
from rustorch_core._statistical_functions import max, min
from rustorch_core._tensor import Tensor, same_device
from rustorch_core.errors import ArgumentError, DTypeError, IndexingError, ShapeError

# Embedding


def _looked_up(weight: Tensor, indices: Tensor, *, padding_idx: int | None) -> Tensor:
    return take(weight, indices, axis=0)


def _summed_rows(g: Tensor, indices: Tensor, *, count: int, padding_idx: int | None) -> Tensor:
    g = _without_padding(g, indices, padding_idx)
    rows, places = reshape(g, (indices.size, g.shape[-1])), reshape(indices, (indices.size,))
    return _scatter(rows, (count, g.shape[-1]), (places._array, ...))


def _without_padding(rows: Tensor, indices: Tensor, padding_idx: int | None) -> Tensor:
    return rows if padding_idx is None else where(expand_dims(equal(indices, padding_idx), axis=-1), 0, rows)


@op(
    "embedding",
    "floating-point",
    lambda g, x2, x_shape, padding_idx: _embedding_gradient(g, x2, count=x_shape[0], padding_idx=padding_idx),
    None,
    compose=_looked_up,
    method=False,
)
def _embedding(weight: Tensor, indices: Tensor, /, *, padding_idx: int | None) -> Prepared:
    """Pick a row of `weight` for each index."""
    return (weight, indices), {"padding_idx": padding_idx}


@op(
    "embedding_gradient",
    "floating-point",
    lambda g, x2, padding_idx: _without_padding(_embedding(g, x2, padding_idx=padding_idx), x2, padding_idx),
    None,
    compose=_summed_rows,
    method=False,
)
def _embedding_gradient(g: Tensor, indices: Tensor, /, *, count: int, padding_idx: int | None) -> Prepared:
    """Add up the gradients of each of so many rows; that of the padding is 0."""
    return (g, indices), {"count": count, "padding_idx": padding_idx}


def embedding(indices: Tensor, weight: Tensor, /, padding_idx: int | None = None) -> Tensor:
    """Pick a row of a table for each index (PyTorch: embedding).

    Arguments:
        indices: tensor of integers from 0, any shape.
        weight: the table, a tensor of a floating-point dtype, (rows, length).
        padding_idx: the row that gets no gradient; negative ones count from the end.

    Returns:
        a tensor of the shape of `indices` and the length of a row.

    Raises:
        IndexingError: for an index without a row.
        DTypeError: for indices that are no integers.
        ShapeError: where `weight` has not two axes.
        ArgumentError: where `padding_idx` is no row.
    """
    check_tensor("embedding", indices)
    check_tensor("embedding", weight)
    if indices.dtype not in CATEGORIES["integer"]:
        raise DTypeError(f"embedding: {indices.dtype} met, but indices are integers; the table comes second")
    if weight.dtype not in CATEGORIES["floating-point"]:
        raise DTypeError(f"embedding: a table of {weight.dtype} met; expected a floating-point dtype, use astype")
    if weight.ndim != 2:
        raise ShapeError(f"embedding: expected a table of shape (rows, length), met {weight.shape}")
    same_device("embedding", indices, weight)
    rows = weight.shape[0]
    if indices.size and (int(min(indices)) < 0 or int(max(indices)) >= rows):
        raise IndexingError(
            f"embedding: indices run from {int(min(indices))} to {int(max(indices))}, "
            f"but the table of shape {weight.shape} has {rows} rows, from 0"
        )
    return _embedding(weight, indices, padding_idx=row_of_padding("embedding", padding_idx, rows))


def row_of_padding(name: str, padding_idx: int | None, rows: int) -> int | None:
    """The row of the padding counted from 0, or None.

    Raises:
        ArgumentError: where there is no such row.
    """
    if padding_idx is None:
        return None
    place = integer(name, "padding_idx", padding_idx)
    if not -rows <= place < rows:
        raise ArgumentError(f"{name}: padding_idx={padding_idx} is no row of a table of {rows}")
    return place % rows


# Attention


@composition("real floating-point")
def _attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, /, *, is_causal: bool, scale: float
) -> Tensor:
    """Compute softmax(scale * query @ key.mT + mask) @ value; the mask is added, -inf hides."""
    return matmul(attention_weights(query, key, mask, is_causal, scale), value)


@composition("real floating-point")
def _attention_gradient(
    g: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    /,
    *,
    is_causal: bool,
    scale: float,
) -> Any:
    """Compute the gradients of attention with respect to query, key and value, the weights computed once more."""
    weights = attention_weights(query, key, mask, is_causal, scale)
    of_scores = _softmax_gradient(_times_transposed(g, value), weights) * scale
    return matmul(of_scores, key), _transposed_times(of_scores, query), _transposed_times(weights, g)


def attention_weights(query: Tensor, key: Tensor, mask: Tensor | None, is_causal: bool, scale: float) -> Tensor:
    """How much each query looks at each key, which adds up to 1; to 0 where every key is hidden."""
    scores = _times_transposed(query * scale, key)
    if is_causal:
        seen = tril(ones(scores.shape[-2:], dtype=bool_, device=scores.device))
        scores = where(seen, scores, -float("inf"))
    if mask is None or not scores.size:
        return softmax(scores)
    scores = scores + mask
    is_blind = max(scores, axis=-1, keepdims=True) == -float("inf")
    return where(is_blind, 0, softmax(where(is_blind, 0, scores)))


@custom_gradient
def _attention_without_weights(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, is_causal: bool, scale: float
) -> Any:
    """Attention that keeps no weights for its gradient, which is one call for all three."""

    def pull_back(g: Tensor) -> tuple[Any, ...]:
        found = _attention_gradient(g, query, key, value, mask, is_causal=is_causal, scale=scale)
        return *found, None, None, None

    with no_grad():
        return _attention(query, key, value, mask, is_causal=is_causal, scale=scale), pull_back


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, is_causal: bool, scale: float) -> Tensor:
    """Attention of what `read_attention` has checked."""
    has_gradient = query.requires_grad or key.requires_grad or value.requires_grad
    if not has_gradient or (mask is not None and mask.requires_grad):
        return _attention(query, key, value, mask, is_causal=is_causal, scale=scale)
    return _attention_without_weights(query, key, value, mask, is_causal, scale)  # type: ignore[no-any-return]


def read_attention(
    name: str,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    is_causal: bool,
    scale: float | None,
    enable_gqa: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None, bool, float]:
    """The arguments of `scaled_dot_product_attention` as `attend` takes them: of one batch shape, the mask added.

    Raises:
        ShapeError: where the shapes do not fit.
        DTypeError: for a mask that is neither boolean nor real.
        ArgumentError: for a mask beside `is_causal`.
    """
    query, key, value = tensors = _of_one_dtype(name, query, key, value)
    for each in tensors:
        if each.ndim < 2:
            raise ShapeError(f"{name}: expected tensors of shape (..., length, width), met one of {each.shape}")
    if flag(name, "enable_gqa", enable_gqa):
        key, value = _repeated(name, key, query), _repeated(name, value, query)
    met = f"query {query.shape}, key {key.shape}, value {value.shape}"
    if query.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2]:
        raise ShapeError(f"{name}: {met}; query and key need one width, the last axis, key and value one length")
    batch = query.shape[:-2]
    if not batch == key.shape[:-2] == value.shape[:-2]:
        try:
            batch = broadcast_shapes(batch, key.shape[:-2], value.shape[:-2])
        except ShapeError:
            raise ShapeError(f"{name}: {met}; the axes before the last two do not broadcast") from None
        query, key, value = (broadcast_to(each, (*batch, *each.shape[-2:])) for each in (query, key, value))
    if flag(name, "is_causal", is_causal) and mask is not None:
        raise ArgumentError(f"{name}: pass attn_mask or is_causal=True, not both; a mask can hide what comes later too")
    if mask is not None:
        mask = _added(name, mask, query, (*batch, query.shape[-2], key.shape[-2]))
    factor = (query.shape[-1] or 1) ** -0.5 if scale is None else number(name, "scale", scale)
    return query, key, value, mask, bool(is_causal), factor


def _of_one_dtype(name: str, *tensors: Tensor) -> list[Tensor]:
    """Tensors of one device in the dtype that they promote to."""
    for each in tensors:
        check_tensor(name, each)
    same_device(name, *tensors)
    dtype = functools.reduce(promote_types, [each.dtype for each in tensors])
    return [cast(each, dtype) for each in tensors]


def _repeated(name: str, x: Tensor, query: Tensor) -> Tensor:
    """Heads of keys or values that several heads of queries share, repeated for each."""
    if x.ndim < 3 or query.ndim < 3 or not x.shape[-3] or query.shape[-3] % x.shape[-3]:
        raise ShapeError(f"{name}: enable_gqa needs heads of {query.shape} that are a multiple of those of {x.shape}")
    return repeat(x, query.shape[-3] // x.shape[-3], axis=-3)


def _added(name: str, mask: Tensor, query: Tensor, scores: tuple[int, ...]) -> Tensor:
    """A mask that is added to the scores: -inf where a boolean one is False."""
    check_tensor(name, mask)
    if mask.dtype != bool_ and mask.dtype not in CATEGORIES["real floating-point"]:
        raise DTypeError(f"{name}: a mask is boolean or of a real floating-point dtype, met {mask.dtype}")
    if not is_stretched_to(mask.shape, scores):
        raise ShapeError(f"{name}: a mask of shape {mask.shape} does not fit scores of shape {scores}")
    if mask.dtype != bool_:
        return cast(mask, query.dtype)
    shown, hidden = (full((), each, dtype=query.dtype, device=query.device) for each in (0.0, -float("inf")))
    return where(mask, shown, hidden)


__all__ = ["embedding"]
