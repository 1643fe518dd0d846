"""Losses: of classes, of yes and no, and of the differences of two tensors."""

from __future__ import annotations

from collections.abc import Callable

from rustorch_core._arguments import integer, number, one_of
from rustorch_core._axes import is_stretched_to
from rustorch_core._creation_functions import arange, ones_like
from rustorch_core._data_types import CATEGORIES
from rustorch_core._define import Prepared, cast, op, public_names
from rustorch_core._dispatch import check_tensor
from rustorch_core._elementwise_functions import abs, clip, equal, exp, log, square, where
from rustorch_core._indexing_functions import take, take_along_axis
from rustorch_core._manipulation_functions import expand_dims, moveaxis, reshape, squeeze
from rustorch_core._neural_functions import _as_rows, log_softmax, softmax, softplus
from rustorch_core._statistical_functions import max, mean, min, sum
from rustorch_core._tensor import Tensor
from rustorch_core.errors import ArgumentError, DTypeError, IndexingError, ShapeError

_REDUCTIONS: dict[str, Callable[[Tensor], Tensor]] = {"mean": mean, "sum": sum, "none": lambda losses: losses}


def _reduced(name: str, losses: Tensor, reduction: str) -> Tensor:
    one_of(name, "reduction", reduction, _REDUCTIONS)
    return _REDUCTIONS[reduction](losses)


def _of_class(logits: Tensor, target: Tensor) -> Tensor:
    shifted = logits - max(logits, axis=1, keepdims=True) if logits.size else logits
    return log(sum(exp(shifted), axis=1)) - _chosen(shifted, target)


def _chosen(rows: Tensor, target: Tensor) -> Tensor:
    """The entry of each row that its target names."""
    return squeeze(take_along_axis(rows, expand_dims(target, axis=1), axis=1), axis=1)


def _of_class_gradient(g: Tensor, logits: Tensor, target: Tensor) -> Tensor:
    p = softmax(logits, axis=1)
    is_target = equal(arange(logits.shape[1], dtype=target.dtype, device=target.device), expand_dims(target, axis=1))
    return expand_dims(g, axis=1) * where(is_target, p - 1, p)


@op(
    "cross_entropy",
    "real floating-point",
    lambda g, x1, x2: _class_losses_gradient(g, x1, x2),
    None,
    compose=_of_class,
    method=False,
)
def _class_losses(logits: Tensor, target: Tensor, /) -> Prepared:
    """Compute -log_softmax(logits) at each row's target; logits (N, C), target (N) of integers."""
    return (logits, target), {}


@op("cross_entropy_gradient", "real floating-point", compose=_of_class_gradient, method=False)
def _class_losses_gradient(g: Tensor, logits: Tensor, target: Tensor, /) -> Prepared:
    """Compute the gradient of each row's loss, softmax(logits) less 1 at the target, times `g`, (N)."""
    return (g, logits, target), {}


def cross_entropy(
    logits: Tensor,
    target: Tensor,
    /,
    *,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Compute the cross entropy between logits and classes (PyTorch: cross_entropy).

    Arguments:
        logits: tensor of a real floating-point dtype, (C), (N, C) or (N, C, ...), C classes.
        target: class indices, the shape of `logits` without C; or probabilities of the shape of `logits`.
        weight: tensor of shape (C), by which the loss of each class is multiplied; "mean" then divides by the sum of
            the targets' weights.
        ignore_index: a class index whose examples count for nothing, whether or not it is a class.
        reduction: "mean", "sum" or "none".
        label_smoothing: part of the probability that is spread evenly over all classes, 0 to 1.

    Raises:
        ShapeError: where the shapes do not fit.
        DTypeError: where the target is neither of integers nor of the dtype of `logits`.
        IndexingError: for a class that does not exist.
    """
    check_tensor("cross_entropy", logits)
    check_tensor("cross_entropy", target)
    smoothing = number("cross_entropy", "label_smoothing", label_smoothing)
    if not 0.0 <= smoothing <= 1.0:
        raise ArgumentError(f"cross_entropy: label_smoothing is between 0 and 1, met {label_smoothing}")
    _check_class_weight("cross_entropy", logits, weight)
    if target.dtype in CATEGORIES["integer"]:
        return _of_classes("cross_entropy", _class_losses, logits, target, weight, ignore_index, reduction, smoothing)
    if target.shape != logits.shape or target.dtype not in CATEGORIES["real floating-point"]:
        kind = ShapeError if target.dtype == logits.dtype else DTypeError
        raise kind(
            f"cross_entropy: a target of {target.dtype} and shape {target.shape} fits no logits of {logits.dtype} and "
            f"shape {logits.shape}; pass integer classes without the class axis, or probabilities of the logits' shape"
        )
    axis = _class_axis(logits)
    wanted = (1 - smoothing) * target + smoothing / logits.shape[axis] if smoothing else target
    if weight is not None:
        wanted = wanted * reshape(weight, (-1, *[1] * (logits.ndim - 1 - axis)))
    return _reduced("cross_entropy", -sum(log_softmax(logits, axis=axis) * wanted, axis=axis), reduction)


def nll_loss(
    log_probabilities: Tensor,
    target: Tensor,
    /,
    *,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """Compute the negative log-likelihood of classes (PyTorch: nll_loss).

    Arguments:
        log_probabilities: what `log_softmax` gives, (C), (N, C) or (N, C, ...).
        target: class indices, the same shape without C.
        weight: as for `cross_entropy`.
        ignore_index: as for `cross_entropy`.
        reduction: "mean", "sum" or "none".

    Raises:
        ShapeError: where the shapes do not fit.
        DTypeError: where the target is not of integers.
        IndexingError: for a class that does not exist.
    """
    check_tensor("nll_loss", log_probabilities)
    check_tensor("nll_loss", target)
    if target.dtype not in CATEGORIES["integer"]:
        raise DTypeError(f"nll_loss: a target of {target.dtype} met; expected class indices, integers")
    _check_class_weight("nll_loss", log_probabilities, weight)
    return _of_classes(
        "nll_loss", lambda rows, to: -_chosen(rows, to), log_probabilities, target, weight, ignore_index, reduction, 0.0
    )


def _class_axis(logits: Tensor) -> int:
    return 1 if logits.ndim > 1 else 0


def _check_class_weight(name: str, logits: Tensor, weight: Tensor | None) -> None:
    if not logits.ndim:
        raise ShapeError(f"{name}: expected an axis of classes, met a tensor of shape ()")
    if weight is None:
        return
    check_tensor(name, weight)
    classes = logits.shape[_class_axis(logits)]
    if weight.shape != (classes,):
        raise ShapeError(f"{name}: weight has shape {weight.shape}, expected {(classes,)}, one number for each class")


def _ends(classes: Tensor) -> tuple[int, int]:
    """The lowest and the highest class; 0 where there is none."""
    return (int(min(classes)), int(max(classes))) if classes.size else (0, 0)


def _of_classes(
    name: str,
    losses_of: Callable[[Tensor, Tensor], Tensor],
    scores: Tensor,
    target: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    reduction: str,
    smoothing: float,
) -> Tensor:
    """The losses of classes by their numbers, weighted, the ignored ones left out, and reduced."""
    one_of(name, "reduction", reduction, _REDUCTIONS)
    axis = _class_axis(scores)
    classes, expected = scores.shape[axis], (*scores.shape[:axis], *scores.shape[axis + 1 :])
    if target.shape != expected:
        raise ShapeError(
            f"{name}: classes of shape {target.shape} do not fit a tensor of shape {scores.shape}; expected {expected}"
        )
    rows, flat = scores, target
    if scores.ndim != 2:
        rows = _as_rows(moveaxis(scores, axis, -1)) if scores.ndim > 1 else reshape(scores, (1, classes))
        flat = reshape(target, (rows.shape[0],))
    is_ignored, (lowest, highest) = None, _ends(flat)
    if lowest <= integer(name, "ignore_index", ignore_index) <= highest:
        is_ignored = equal(flat, ignore_index)
        flat = where(is_ignored, 0, flat)
        lowest, highest = _ends(flat)
    if flat.size and not 0 <= lowest <= highest < classes:
        raise IndexingError(
            f"{name}: classes run from {lowest} to {highest}, "
            f"but the tensor of shape {scores.shape} has {classes} classes, from 0"
        )
    losses = losses_of(rows, flat)
    shares = None if weight is None else take(cast(weight, losses.dtype), flat, axis=0)
    losses = losses if shares is None else losses * shares
    if smoothing:
        evenly = log_softmax(rows) if weight is None else log_softmax(rows) * weight
        losses = (1 - smoothing) * losses - smoothing * mean(evenly, axis=1)
    if is_ignored is not None:
        losses = where(is_ignored, 0, losses)
        shares = where(is_ignored, 0, ones_like(losses) if shares is None else shares)
    if reduction == "mean" and shares is not None:
        return sum(losses) / sum(shares)
    return _reduced(name, losses if target.ndim == 1 else reshape(losses, target.shape), reduction)


# Losses of two tensors of one shape


def _pair(name: str, x: Tensor, target: Tensor) -> None:
    check_tensor(name, x)
    check_tensor(name, target)
    if x.shape != target.shape:
        raise ShapeError(f"{name}: shapes {x.shape} and {target.shape} differ")


def mse_loss(x: Tensor, target: Tensor, /, *, reduction: str = "mean") -> Tensor:
    """Compute the squared differences of two tensors of one shape (PyTorch: mse_loss).

    Arguments:
        x: tensor of a floating-point dtype.
        target: tensor of the same shape.
        reduction: "mean", "sum" or "none".

    Raises:
        ShapeError: where the shapes differ; they are not broadcast.
    """
    _pair("mse_loss", x, target)
    return _reduced("mse_loss", square(x - target), reduction)


def l1_loss(x: Tensor, target: Tensor, /, *, reduction: str = "mean") -> Tensor:
    """Compute the absolute differences of two tensors of one shape (PyTorch: l1_loss); arguments as for `mse_loss`."""
    _pair("l1_loss", x, target)
    return _reduced("l1_loss", abs(x - target), reduction)


def huber_loss(x: Tensor, target: Tensor, /, *, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    """Compute half of the squared differences, beyond `delta` along a tangent (Huber 1964; PyTorch: huber_loss).

    Arguments:
        x: tensor of a real floating-point dtype.
        target: tensor of the same shape.
        reduction: "mean", "sum" or "none".
        delta: where the square ends, above 0.

    Raises:
        ShapeError: where the shapes differ; they are not broadcast.
        ArgumentError: for a `delta` of 0 or less.
    """
    _pair("huber_loss", x, target)
    delta = float(number("huber_loss", "delta", delta))
    if not delta > 0:
        raise ArgumentError(f"huber_loss: delta is above 0, met {delta}")
    return _reduced("huber_loss", _huber(x - target, delta), reduction)


def smooth_l1_loss(x: Tensor, target: Tensor, /, *, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """Compute the absolute differences, rounded below `beta` (Girshick 2015; PyTorch: smooth_l1_loss).

    Arguments:
        x: tensor of a real floating-point dtype.
        target: tensor of the same shape.
        reduction: "mean", "sum" or "none".
        beta: below which the difference is squared and divided by 2 beta; 0 for nowhere.

    Raises:
        ShapeError: where the shapes differ; they are not broadcast.
        ArgumentError: for a `beta` below 0.
    """
    _pair("smooth_l1_loss", x, target)
    beta = float(number("smooth_l1_loss", "beta", beta))
    if not beta >= 0:
        raise ArgumentError(f"smooth_l1_loss: beta is at least 0, met {beta}")
    losses = _huber(x - target, beta) / beta if beta else abs(x - target)
    return _reduced("smooth_l1_loss", losses, reduction)


def _huber(difference: Tensor, delta: float) -> Tensor:
    near = clip(difference, -delta, delta)
    return near * (difference - near / 2)


def binary_cross_entropy_with_logits(
    logits: Tensor,
    target: Tensor,
    /,
    *,
    weight: Tensor | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """Compute the cross entropy of yes and no between logits and probabilities (PyTorch: its name).

    Arguments:
        logits: tensor of a real floating-point dtype.
        target: tensor of the same shape, the probabilities of yes.
        weight: tensor that broadcasts with them, by which losses are multiplied; or None.
        reduction: "mean", "sum" or "none".
        pos_weight: likewise the losses of yes alone.

    Raises:
        ShapeError: where the shapes differ, or weights do not broadcast with them.
    """
    name = "binary_cross_entropy_with_logits"
    _pair(name, logits, target)
    for argument, part in (("weight", weight), ("pos_weight", pos_weight)):
        if part is not None:
            check_tensor(name, part)
            if not is_stretched_to(part.shape, logits.shape):
                raise ShapeError(f"{name}: {argument} of shape {part.shape} does not fit the shape {logits.shape}")
    losses = softplus(logits) - logits * target
    if pos_weight is not None:
        losses = losses + (pos_weight - 1) * target * softplus(-logits)
    return _reduced(name, losses if weight is None else losses * weight, reduction)


__all__ = public_names(vars())
