"""Products of arrays beyond the standard, as NumPy names and means them, and Einstein's notation for all of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rustorch_core import _statistical_functions as statistical
from rustorch_core._arrangement_functions import pad
from rustorch_core._define import promoted, public_names
from rustorch_core._elementwise_functions import multiply
from rustorch_core._linear_algebra_functions import matmul, tensordot
from rustorch_core._manipulation_functions import _common, broadcast_to, flip, permute_dims, reshape
from rustorch_core._tensor import Tensor
from rustorch_core._window_functions import sliding_window_view
from rustorch_core.errors import ArgumentError, OperandError, ShapeError


def outer(x1: Any, x2: Any, /) -> Tensor:
    """Multiply each element of one tensor, flattened, with each of another (NumPy: outer).

    Arguments:
        x1: tensor of a numeric dtype, M elements.
        x2: tensor of a numeric dtype, N elements.

    Returns:
        a tensor of shape (M, N).
    """
    x1, x2 = promoted("outer", x1, x2)
    return reshape(x1, (x1.size, 1)) * reshape(x2, (1, x2.size))


def inner(x1: Any, x2: Any, /) -> Tensor:
    """Contract the last axes of two tensors (NumPy: inner).

    Arguments:
        x1: tensor of a numeric dtype.
        x2: tensor of a numeric dtype, as long along its last axis; a tensor without axes multiplies.

    Raises:
        ShapeError: where the last axes differ in length.
    """
    x1, x2 = promoted("inner", x1, x2)
    if x1.ndim == 0 or x2.ndim == 0:
        return multiply(x1, x2)
    return tensordot(x1, x2, axes=((-1,), (-1,)))


def dot(x1: Any, x2: Any, /) -> Tensor:
    """Contract the last axis of one tensor with the last but one of another (NumPy: dot).

    Arguments:
        x1: tensor of a numeric dtype.
        x2: tensor of a numeric dtype; a vector is contracted along its only axis, a tensor without axes multiplies.

    Raises:
        ShapeError: where these axes differ in length.
    """
    x1, x2 = promoted("dot", x1, x2)
    if x1.ndim == 0 or x2.ndim == 0:
        return multiply(x1, x2)
    return tensordot(x1, x2, axes=((-1,), (-2 if x2.ndim > 1 else -1,)))


def convolve(x1: Any, x2: Any, /, mode: str = "full") -> Tensor:
    """Multiply two polynomials, or filter one vector by another (NumPy: convolve).

    Arguments:
        x1: vector of M elements.
        x2: vector of N elements.
        mode: "full" for all M + N - 1 places where they overlap, "same" for the max(M, N) of these in the middle,
            "valid" for those where they overlap completely.

    Raises:
        ShapeError: for what is no vector, or has no element.
        ArgumentError: for another mode.
    """
    x1, x2 = promoted("convolve", x1, x2)
    if x1.ndim > 1 or x2.ndim > 1 or not x1.size or not x2.size:
        raise ShapeError(f"convolve: expected two vectors with elements, met shapes {x1.shape} and {x2.shape}")
    if mode not in ("full", "same", "valid"):
        raise ArgumentError(f"convolve: mode is one of full, same, valid; met {mode!r}")
    x1, x2 = reshape(x1, (-1,)), reshape(x2, (-1,))
    longer, shorter = (x1, x2) if x1.size >= x2.size else (x2, x1)
    rest = shorter.size - 1
    before = {"full": rest, "same": rest - rest // 2, "valid": 0}[mode]
    after = {"full": rest, "same": rest // 2, "valid": 0}[mode]
    return matmul(sliding_window_view(pad(longer, (before, after)), shorter.size), flip(shorter))


def kron(x1: Any, x2: Any, /) -> Tensor:
    """Multiply each element of one tensor with all of another, as blocks (NumPy: kron).

    Arguments:
        x1: tensor of a numeric dtype, where the blocks lie.
        x2: tensor of a numeric dtype, the block.
    """
    x1, x2 = promoted("kron", x1, x2)
    ndim = max(x1.ndim, x2.ndim)
    outside, inside = ((1,) * (ndim - x.ndim) + x.shape for x in (x1, x2))
    blocks = reshape(x1, tuple(n for length in outside for n in (length, 1)))
    block = reshape(x2, tuple(n for length in inside for n in (1, length)))
    return reshape(blocks * block, tuple(m * n for m, n in zip(outside, inside, strict=True)))


# Einstein's notation. An operand is a tensor beside the labels of its axes; axes under "..." get labels of their own.

_Labelled = tuple[Tensor, str]
#: Characters that nobody types, one for each axis under an ellipsis, counted from the last.
_HIDDEN = [chr(0xE000 + place) for place in range(64)]


def einsum(subscripts: str, /, *operands: Any) -> Tensor:
    """Multiply tensors and sum over axes, as the labels of their axes say (NumPy: einsum).

    Arguments:
        subscripts: labels of each operand's axes, separated by commas, and behind `->` those of the result; "..."
            stands for axes that broadcast. Without `->` the result has the labels that occur once, alphabetically.
        operands: tensors of a numeric dtype; they are contracted from left to right.

    Raises:
        ArgumentError: for labels that cannot be read, or do not fit the operands.
        ShapeError: where axes of one label differ in length.

    Example:
        >>> import rustorch as rt
        >>> rt.einsum("ij,j->i", rt.ones((2, 3)), rt.ones(3))
        tensor([3., 3.], dtype=float32)
    """
    if not isinstance(subscripts, str):
        raise OperandError(f"einsum: expected the labels first, as a string; met {type(subscripts).__name__}")
    tensors = _common("einsum", list(operands))
    inputs, output = _read(subscripts, tensors)
    lengths = _lengths(inputs, subscripts)
    labelled = [_one_axis_each(x, labels) for x, labels in inputs]
    while len(labelled) > 1:
        first, second, *rest = labelled
        wanted = {*output}.union(*[labels for _, labels in rest])
        labelled = [_contracted(first, second, wanted), *rest]
    x, labels = _summed(labelled[0], set(output))
    x = permute_dims(x, tuple(labels.index(label) for label in output)) if labels else x
    shape = tuple(lengths[label] for label in output)
    return x if x.shape == shape else broadcast_to(x, shape)


def _read(subscripts: str, tensors: Sequence[Tensor]) -> tuple[list[_Labelled], str]:
    """The operands with their labels, and the labels of the result."""
    left, arrow, right = subscripts.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(tensors):
        raise ArgumentError(f"einsum: {subscripts!r} has labels for {len(terms)} operands, met {len(tensors)}")
    inputs = [(x, _expanded(term, x.ndim, subscripts)) for x, term in zip(tensors, terms, strict=True)]
    everything = "".join(labels for _, labels in inputs)
    hidden = "".join(sorted({label for label in everything if label in _HIDDEN}, reverse=True))
    if not arrow:
        once = sorted(label for label in set(everything) - set(hidden) if everything.count(label) == 1)
        return inputs, hidden + "".join(once)
    output = right.replace("...", hidden)
    if "." in output or len(set(output)) != len(output) or not set(output) <= {*everything}:
        raise ArgumentError(f"einsum: the result of {subscripts!r} must name labels of the operands, each once")
    return inputs, output


def _expanded(term: str, ndim: int, subscripts: str) -> str:
    """The labels of an operand, one for each axis."""
    before, dots, after = term.partition("...")
    named = before + after
    if named and not (named.isascii() and named.isalpha()):
        raise ArgumentError(f"einsum: the labels in {subscripts!r} must be letters, commas, '...' and '->'")
    count = ndim - len(named)
    if count < 0 or (count and not dots):
        raise ArgumentError(f"einsum: {term!r} in {subscripts!r} does not fit an operand with {ndim} axes")
    return before + "".join(reversed(_HIDDEN[:count])) + after


def _lengths(inputs: Sequence[_Labelled], subscripts: str) -> dict[str, int]:
    lengths: dict[str, int] = {}
    for x, labels in inputs:
        for label, length in zip(labels, x.shape, strict=True):
            known = lengths.get(label, 1)
            if length not in (1, known) and known != 1:
                raise ShapeError(
                    f"einsum: axes of one label in {subscripts!r} have lengths {known} and {length}; "
                    f"shapes {' and '.join(str(each.shape) for each, _ in inputs)} met"
                )
            lengths[label] = length if known == 1 else known
    return lengths


def _one_axis_each(x: Tensor, labels: str) -> _Labelled:
    """The diagonal of axes that share a label."""
    from rustorch_core._linear_algebra_extension import diagonal

    for label in set(labels):
        while labels.count(label) > 1:
            first, second = labels.index(label), labels.rindex(label)
            rest = [axis for axis in range(x.ndim) if axis not in (first, second)]
            moved = permute_dims(x, (*rest, first, second))
            length = max(moved.shape[-2:])
            x = diagonal(broadcast_to(moved, (*moved.shape[:-2], length, length)))
            labels = "".join(labels[axis] for axis in rest) + label
    return x, labels


def _summed(operand: _Labelled, wanted: set[str]) -> _Labelled:
    """An operand without the labels that nobody wants."""
    x, labels = operand
    axes = tuple(axis for axis, label in enumerate(labels) if label not in wanted)
    if not axes:
        return operand
    return statistical.sum(x, axis=axes, dtype=x.dtype), "".join(label for label in labels if label in wanted)


def _contracted(first: _Labelled, second: _Labelled, wanted: set[str]) -> _Labelled:
    """The product of two operands, summed over the labels that nobody wants, as one product of stacks of matrices."""
    first, second = _summed(first, wanted | {*second[1]}), _summed(second, wanted | {*first[1]})
    # An axis of length 1 that broadcasts is left out of the matrices; it comes back by stretching the result.
    first, second = _aligned(first, second), _aligned(second, first)
    (x1, labels1), (x2, labels2) = first, second
    both = [label for label in labels1 if label in labels2]
    stacks = [label for label in both if label in wanted]
    inside = [label for label in both if label not in wanted]
    rows = [label for label in labels1 if label not in both]
    columns = [label for label in labels2 if label not in both]
    size = {**dict(zip(labels1, x1.shape, strict=True)), **dict(zip(labels2, x2.shape, strict=True))}
    left = _as_matrices(first, (stacks, rows, inside), size)
    right = _as_matrices(second, (stacks, inside, columns), size)
    product = matmul(left, right) if inside else left * right
    labels = [*stacks, *rows, *columns]
    return reshape(product, tuple(size[label] for label in labels)), "".join(labels)


def _aligned(operand: _Labelled, other: _Labelled) -> _Labelled:
    """An operand stretched along its axes of length 1 to the other's length."""
    x, labels = operand
    known = dict(zip(other[1], other[0].shape, strict=True))
    shape = tuple(known.get(label, n) if n == 1 else n for label, n in zip(labels, x.shape, strict=True))
    return (x if shape == x.shape else broadcast_to(x, shape)), labels


def _as_matrices(operand: _Labelled, groups: tuple[list[str], ...], size: dict[str, int]) -> Tensor:
    """An operand with its axes in three groups, each of them one axis but the first."""
    x, labels = operand
    order = [labels.index(label) for group in groups for label in group]
    stacks = tuple(size[label] for label in groups[0])
    return reshape(permute_dims(x, order), (*stacks, *[math.prod(size[label] for label in g) for g in groups[1:]]))


__all__ = public_names(vars())
