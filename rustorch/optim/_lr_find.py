"""The range test: which learning rates make the loss fall, seen by trying them, with nothing left changed."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rustorch.optim._put_back import put_back
from rustorch_core._arguments import integer, number
from rustorch_core._autograd import enable_grad
from rustorch_core._optimizers import Optimizer, create
from rustorch_core._tensor import Tensor
from rustorch_core.errors import ArgumentError, MissingLibraryError, OperandError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Fewer losses than these say nothing of a slope.
_LEAST_POINTS = 10
#: Optimizers whose `lr` is no rate that every step is multiplied by.
_WITHOUT_RATE = {"lbfgs": "searches along a line for the length of each step", "rprop": "finds the length of each step"}


@dataclass(frozen=True)
class RangeTest:
    """What a range test saw; `print` it for the result in words, and `plot` it.

    Arguments:
        learning_rates: that were tried, rising.
        losses: of the step before which each was set.
        smoothed: the losses, averaged over their neighbours on both sides, those of a divergence cut off.
        suggestion: the learning rate where the smoothed loss falls most steeply; None where nothing can be said.
        minimum: the one where it is lowest; likewise.
        tenth_of_minimum: a tenth of that, the other common choice; None too where it was not among those tried.
        reason: why there is no suggestion, or what to know of it.
    """

    learning_rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    suggestion: float | None
    minimum: float | None
    tenth_of_minimum: float | None
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values, for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        tried = ""
        if self.learning_rates:
            tried = f"{len(self.learning_rates)} learning rates from {_told(self.learning_rates[0])} "
            tried += f"to {_told(self.learning_rates[-1])} were tried\n"
        if self.suggestion is None:
            return f"{tried}no suggestion: {self.reason}"
        rows = [
            ("suggestion", self.suggestion, "where the smoothed loss falls most steeply"),
            ("minimum / 10", self.tenth_of_minimum, "a tenth of where it is lowest, the other common choice"),
            ("minimum", self.minimum, "where it is lowest; to train with, it is too high"),
        ]
        lines = [f"{name:13} {_told(rate):8} {meaning}" for name, rate, meaning in rows if rate is not None]
        return tried + "\n".join([*lines, *([self.reason] if self.reason else [])])

    def plot(self, path: Any = None) -> Figure:
        """Draw losses over learning rates, with what is suggested.

        Arguments:
            path: where to write the picture, in the format that the name ends in; None writes nothing.

        Raises:
            MissingLibraryError: without matplotlib.
        """
        try:
            from rustorch.optim._range_figure import draw
        except ModuleNotFoundError as error:
            raise MissingLibraryError(
                f"RangeTest.plot needs {error.name}; install it, for example with: pip install matplotlib"
            ) from error
        figure = draw(self)
        if path is not None:
            figure.savefig(path)
        return figure


def lr_find(
    model: Any,
    loss: Callable[..., Tensor],
    batches: Iterable[Any],
    *,
    optimizer: Optimizer | str = "adamw",
    low: float = 1e-7,
    high: float = 10.0,
    steps: int = 100,
    smoothing: float = 0.7,
    stop_factor: float = 4.0,
) -> RangeTest:
    """Train for some steps with rising learning rates, note the losses, and leave everything as it was.

    Model, optimizer, schedules, generators and the order of the data are afterwards the same to the bit, in the same
    objects and the same memory, also where `loss` raises. The learning rate is not set: that is for you to do.

    Arguments:
        model: called with the inputs of a batch, in training mode.
        loss: called with what the model returns and the target, as `nn.functional.cross_entropy` is.
        batches: such as a `data.DataLoader` or a list, begun again where it ends. A batch is a tuple of inputs and, at
            its end, the target; of any other batch, which the model takes whole, the loss gets what the model returns.
        optimizer: a name that `create` takes, or an optimizer, whose options and state the steps begin with; groups
            with several rates keep their ratios, and the tested rate is what `lr` of `create` is.
        low: the first learning rate.
        high: the last one; those between are spaced evenly on a logarithmic scale.
        steps: how many to try.
        smoothing: how much of the weight of a loss its neighbour has in the average, at least 0 and below 1.
        stop_factor: the test ends where the loss has risen so many times as high as it was.

    Returns:
        a `RangeTest`.

    Raises:
        ArgumentError: for numbers that cannot be, an iterator, which could not be put back, no batches, and an
            optimizer whose `lr` is no rate.

    Source: Smith 2017, arXiv:1506.01186; steepest descent and a tenth of the minimum as in fastai's lr_find.

    Example:
        >>> import rustorch as rt
        >>> generator = rt.random.Generator(0)
        >>> x = generator.normal(shape=(64, 3))
        >>> model = rt.nn.Linear(3, 1, generator=generator)
        >>> loader = rt.data.DataLoader(x, x.sum(axis=1, keepdims=True), batch_size=16)
        >>> found = rt.optim.lr_find(model, rt.nn.functional.mse_loss, loader, optimizer="sgd")
        >>> 1e-3 < found.suggestion < 1
        True
    """
    low, high = _positive("low", low), _positive("high", high)
    smoothing, stop_factor = number("lr_find", "smoothing", smoothing), _positive("stop_factor", stop_factor)
    steps = integer("lr_find", "steps", steps)
    if not (low < high and steps >= 1 and 0 <= smoothing < 1 and stop_factor > 1):
        raise ArgumentError(
            "lr_find: expected low < high, steps of at least 1, smoothing in [0, 1) and stop_factor above 1; "
            f"met low={low}, high={high}, steps={steps}, smoothing={smoothing}, stop_factor={stop_factor}"
        )
    if not (callable(model) and callable(loss)):
        raise OperandError("lr_find: model and loss are called, the one with inputs, the other with what comes of them")
    _check_batches(batches)
    trial = _trial_optimizer(optimizer, model)
    rates = [low * (high / low) ** (step / max(steps - 1, 1)) for step in range(steps)]
    parameters = [each for group in trial.param_groups for each in group["params"]]
    losses: list[float] = []
    with put_back([model, loss, *parameters], [batches]), enable_grad():
        if hasattr(model, "train"):
            model.train()
        for met in _losses(model, loss, _endless(batches), trial, rates):
            losses.append(met)
            if _is_divergent(losses, smoothing, stop_factor):
                break
    return _read(rates[: len(losses)], losses, smoothing, stop_factor)


def _positive(argument: str, value: Any) -> float:
    found = float(number("lr_find", argument, value))
    if not 0 < found < math.inf:
        raise ArgumentError(f"lr_find: {argument} is finite and above 0, met {value}")
    return found


def _check_batches(batches: Any) -> None:
    if isinstance(batches, Tensor) or not isinstance(batches, Iterable):
        raise OperandError(f"lr_find: batches is a loader or a list of batches, met {type(batches).__name__}")
    if isinstance(batches, Iterator):
        raise ArgumentError(
            f"lr_find: batches is a {type(batches).__name__}, whose items would be used up; pass the loader itself, "
            "or a list"
        )


def _endless(batches: Iterable[Any]) -> Iterator[Any]:
    """One epoch after the other."""
    while True:
        is_empty = True
        for batch in batches:
            is_empty = False
            yield batch
        if is_empty:
            raise ArgumentError("lr_find: there are no batches")


# The steps


def _trial_optimizer(optimizer: Any, model: Any) -> Optimizer:
    """An optimizer to try rates with; one that was given stays untouched."""
    if isinstance(optimizer, str):
        trial = create(optimizer, model)
    elif isinstance(optimizer, Optimizer):
        trial = copy.copy(optimizer)
        trial.param_groups = [dict(group) for group in optimizer.param_groups]
    else:
        raise OperandError(f"lr_find: optimizer is a name or what optim.create returns, met {type(optimizer).__name__}")
    name = trial.rule.name.removeprefix("lookahead(").removesuffix(")")
    if name in _WITHOUT_RATE:
        raise ArgumentError(f"lr_find: {name} {_WITHOUT_RATE[name]}; there is no rate to find")
    if isinstance(optimizer, Optimizer):
        trial.load_state_dict(optimizer.state_dict())
    return trial


def _losses(
    model: Any, loss: Callable[..., Tensor], batches: Iterator[Any], optimizer: Optimizer, rates: Sequence[float]
) -> Iterator[float]:
    """The loss before each step, one step a rate."""
    bases = [group.get("initial_lr", group["lr"]) for group in optimizer.param_groups]
    # Of schedules that set rates, the initial ones have nothing to do with that of the optimizer.
    whole = optimizer.defaults["lr"] if optimizer.defaults["lr"] in bases else max(bases)
    for rate, batch in zip(rates, batches, strict=False):
        for group, base in zip(optimizer.param_groups, bases, strict=True):
            group["lr"] = group["initial_lr"] = rate * base / whole if whole else rate
        optimizer.zero_grad()
        value = _loss_of(model, loss, batch)
        value.backward()
        yield float(value.item())
        optimizer.step()


def _loss_of(model: Any, loss: Callable[..., Tensor], batch: Any) -> Tensor:
    if isinstance(batch, (tuple, list)) and len(batch) > 1:
        *inputs, target = batch
        value = loss(model(*inputs), target)
    else:
        value = loss(model(*batch) if isinstance(batch, (tuple, list)) else model(batch))
    if not isinstance(value, Tensor) or value.size != 1:
        met = f"shape {value.shape}" if isinstance(value, Tensor) else type(value).__name__
        raise OperandError(f"lr_find: loss returns a tensor of one number, met {met}")
    return value


def _is_divergent(losses: Sequence[float], smoothing: float, stop_factor: float) -> bool:
    if not math.isfinite(losses[-1]):
        return True
    weights = [smoothing**age for age in reversed(range(len(losses)))]
    average = sum(weight * each for weight, each in zip(weights, losses, strict=True)) / sum(weights)
    return average > _ceiling(losses, stop_factor)


def _ceiling(losses: Sequence[float], stop_factor: float) -> float:
    """Above it is divergence; below 0, and where the first loss is near 0, too."""
    return min(losses) + (stop_factor - 1) * max(abs(losses[0]), abs(min(losses)))


# What they say


def _read(rates: Sequence[float], losses: Sequence[float], smoothing: float, stop_factor: float) -> RangeTest:
    """What can be said of losses over rising learning rates."""
    finite = [each for each in losses if math.isfinite(each)]
    cut = [min(each, _ceiling(finite, stop_factor)) for each in finite]
    smoothed = _smoothed(cut, smoothing)

    def silent(reason: str) -> RangeTest:
        return RangeTest(tuple(rates), tuple(losses), smoothed, None, None, None, reason)

    if not finite:
        return silent(f"the first loss is {losses[0]}, at a learning rate of {_told(rates[0])}")
    if len(finite) < _LEAST_POINTS:
        ended = ", then the loss diverged; begin with a lower learning rate" if len(finite) < len(losses) else ""
        return silent(f"only {len(finite)} losses, at least {_LEAST_POINTS} are needed{ended}")
    lowest = min(range(len(smoothed)), key=smoothed.__getitem__)
    fall = smoothed[0] - smoothed[lowest]
    noise = math.sqrt(sum((c - s) ** 2 for c, s in zip(cut[: lowest + 1], smoothed, strict=False)) / (lowest + 1))
    if lowest < 2 or fall <= 2 * noise:
        return silent(
            f"the loss did not fall: from {smoothed[0]:.4g} to {smoothed[lowest]:.4g} at best, where it scatters by "
            f"{noise:.2g}; try another range, or larger batches"
        )
    slopes = [smoothed[i + 1] - smoothed[i - 1] for i in range(1, lowest)]
    steepest = 1 + min(range(len(slopes)), key=slopes.__getitem__)
    is_last = lowest == len(rates) - 1
    reason = "the loss still fell at the highest learning rate tried; higher ones may do" if is_last else ""
    tenth = rates[lowest] / 10
    return RangeTest(
        tuple(rates),
        tuple(losses),
        smoothed,
        rates[steepest],
        rates[lowest],
        tenth if tenth >= rates[0] else None,
        reason,
    )


def _smoothed(values: Sequence[float], smoothing: float) -> tuple[float, ...]:
    """Averages that an exponential weighs on both sides, so that they do not lag behind."""
    places = range(len(values))

    def average(here: int) -> float:
        weights = [smoothing ** abs(place - here) for place in places]
        return sum(weight * value for weight, value in zip(weights, values, strict=True)) / sum(weights)

    return tuple(average(here) for here in places)


def _told(rate: float | None) -> str:
    return "-" if rate is None else f"{rate:.2g}"
