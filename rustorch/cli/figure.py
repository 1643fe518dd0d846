"""The picture of a training: its curves above, held-out digits with their predictions below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO, TYPE_CHECKING, Any

import numpy

from rustorch.cli.digits import Digits, Epoch

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

# Blue and orange of Okabe and Ito, and a red of another lightness: told apart with any colour vision.
TRAINING, HELD_OUT, WRONG, INK, FAINT = "#0072B2", "#E69F00", "#C1121F", "#222222", "#8A8A8A"
ROWS, COLUMNS = 4, 15
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
}


def draw(file: IO[bytes], epochs: Sequence[Epoch], held_out: Digits) -> None:
    """Draw a training as a PNG picture of 1650 x 1200 pixels.

    Arguments:
        file: where the picture is written to.
        epochs: what stood at each epoch's end; the predictions shown are those of the last.
        held_out: the digits that were predicted.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # The style of the user's own figures stays as it is.
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **STYLE}):
        figure = Figure(figsize=(11, 8), dpi=150, layout="constrained")
        FigureCanvasAgg(figure)
        figure.get_layout_engine().set(rect=(0.008, 0.01, 0.984, 0.98))
        above, below = figure.subfigures(2, 1, height_ratios=(1, 1.05), hspace=0.04)
        _draw_curves(above, epochs)
        _draw_digits(below, epochs[-1], held_out)
        figure.savefig(file, format="png", metadata={"Software": None})


def _draw_curves(figure: SubFigure, epochs: Sequence[Epoch]) -> None:
    loss, accuracy = figure.subplots(1, 2)
    kinds = (
        ("training digits", TRAINING, [epoch.training for epoch in epochs]),
        ("held-out digits", HELD_OUT, [epoch.held_out for epoch in epochs]),
    )
    numbers = range(1, len(epochs) + 1)
    marker = "o" if len(epochs) < 4 else ""
    for label, colour, evaluations in kinds:
        line = {"color": colour, "linewidth": 2, "marker": marker, "label": label}
        loss.plot(numbers, [each.loss for each in evaluations], **line)
        accuracy.plot(numbers, [100 * each.accuracy for each in evaluations], **line)
    loss.set(title="Loss", xlabel="epoch", ylabel="mean cross entropy [nats]")
    accuracy.set(title="Accuracy", xlabel="epoch", ylabel="digits recognised [%]")
    loss.legend(frameon=False, loc="upper right")
    _set_limits(loss, accuracy, len(epochs))


def _set_limits(loss: Axes, accuracy: Axes, last: int) -> None:
    from matplotlib.ticker import MaxNLocator

    for axes in (loss, accuracy):
        axes.set_xlim(0.5, last + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.margins(y=0.08)
    loss.set_ylim(bottom=0)
    accuracy.set_ylim(top=100.4)


def _draw_digits(figure: SubFigure, epoch: Epoch, held_out: Digits) -> None:
    predictions = epoch.held_out.predictions.tolist()
    classes = held_out.labels.tolist()
    images = numpy.asarray(held_out.images.to("cpu")).reshape(-1, 8, 8)
    chosen = _wrong_first(predictions, classes)
    for axes, which in zip(figure.subplots(ROWS, COLUMNS).flat, chosen, strict=True):
        axes.set_axis_off()
        if which is not None:
            _draw_digit(axes, images[which], predictions[which], classes[which])
    figure.suptitle(_title(epoch), x=0.012, ha="left", fontsize=12, fontweight="bold")


def _wrong_first(predictions: Sequence[int], classes: Sequence[int]) -> list[int | None]:
    """Which digits to show: wrong ones, at most half of all, then right ones; None for an empty place."""
    places = ROWS * COLUMNS
    is_right = [ours == true for ours, true in zip(predictions, classes, strict=True)]
    wrong = _spread([i for i, right in enumerate(is_right) if not right], places // 2)
    right = _spread([i for i, right in enumerate(is_right) if right], places - len(wrong))
    shown = [*wrong, *right]
    return [*shown, *[None] * (places - len(shown))]


def _spread(candidates: Sequence[int], count: int) -> list[int]:
    """So many of the candidates, from everywhere among them; all where there are not more."""
    count = min(count, len(candidates))
    return [candidates[i * len(candidates) // count] for i in range(count)]


def _draw_digit(axes: Axes, image: Any, prediction: int, true: int) -> None:
    from matplotlib.patches import Rectangle

    axes.imshow(image, cmap="Greys", vmin=0, vmax=1, interpolation="nearest")
    if prediction == true:
        axes.set_title(str(prediction), loc="center", fontsize=10, fontweight="normal", pad=3)
        return
    axes.set_title(f"{prediction} \N{NOT EQUAL TO} {true}", loc="center", fontsize=10, color=WRONG, pad=3)
    frame = {"fill": False, "edgecolor": WRONG, "linewidth": 2, "transform": axes.transAxes, "clip_on": False}
    axes.add_patch(Rectangle((0, 0), 1, 1, **frame))


def _title(epoch: Epoch) -> str:
    total = len(epoch.held_out.predictions)
    wrong = total - epoch.held_out.correct
    if wrong == 0:
        return f"Held-out digits and what was read: all {total} are right"
    return f"Held-out digits and what was read: {wrong} of {total} wrong, in red as read \N{NOT EQUAL TO} true"
