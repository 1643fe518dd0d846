"""The picture of a range test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from textwrap import wrap
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from rustorch.cli.figure import FAINT, HELD_OUT, STYLE, TRAINING, WRONG


def draw(found: Any) -> Figure:
    """Draw a `RangeTest`: each loss, the smoothed curve, and what is suggested."""
    # The style of the user's own figures stays as it is.
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **STYLE}):
        figure = Figure(figsize=(8, 4.8), dpi=150, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        count = len(found.smoothed)
        rates, losses = found.learning_rates[:count], found.losses[:count]
        axes.plot(rates, losses, "o", color=FAINT, markersize=3.5, markeredgewidth=0, alpha=0.6, label="loss of a step")
        axes.plot(rates, found.smoothed, color=TRAINING, linewidth=2.2, label="smoothed")
        _draw_suggestion(axes, found)
        axes.set(xscale="log", title="Learning-rate range test", xlabel="learning rate", ylabel="loss")
        _set_limits(axes, rates, losses, found.smoothed)
        axes.legend(loc="lower left", edgecolor="none", facecolor="white", framealpha=0.85)
    return figure


def _set_limits(axes: Any, rates: Sequence[float], losses: Sequence[float], smoothed: Sequence[float]) -> None:
    """Show the fall whole, and of a divergence how it begins."""
    if not rates:
        return
    least, most = min(losses), max(smoothed[0], *losses[: max(len(losses) // 4, 1)])
    height = max(most - least, 0.1 * abs(most), 1e-12)
    axes.set_ylim(least - 0.08 * height, most + 0.25 * height)
    axes.set_xlim(rates[0] / 1.2, rates[-1] * 1.2)


def _draw_suggestion(axes: Any, found: Any) -> None:
    if found.suggestion is None:
        place = {"transform": axes.transAxes, "ha": "center", "va": "top", "backgroundcolor": "white"}
        axes.text(0.5, 0.97, "\n".join(wrap(f"no suggestion: {found.reason}", 88)), **place)
    marks = ((found.suggestion, HELD_OUT, "steepest fall"), (found.tenth_of_minimum, WRONG, "minimum / 10"))
    for rate, colour, label in marks:
        if rate is not None:
            nearest = min(range(len(found.smoothed)), key=lambda i: abs(math.log(found.learning_rates[i] / rate)))
            line = {"color": colour, "linestyle": (0, (4, 2)), "linewidth": 1.5, "zorder": 2.5}
            axes.axvline(rate, **line, label=f"{label}: {rate:.2g}")
            axes.plot([rate], [found.smoothed[nearest]], "o", color=colour, markersize=8, markeredgecolor="white")
