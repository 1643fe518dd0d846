"""The picture of a run: how many times as much others took, a line for each row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import IO, TYPE_CHECKING

from rustorch.cli.bench.results import Result, Results, Spread, geometric_mean, others
from rustorch.cli.figure import INK, STYLE
from rustorch_core.errors import ArgumentError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's, told apart with any colour vision; their shapes differ too.
_MARKS = (("#0072B2", "o"), ("#E69F00", "s"), ("#009E73", "^"), ("#CC79A7", "D"), ("#56B4E9", "v"), ("#D55E00", "P"))
_WIDTH, _ROW_HEIGHT, _AROUND = 9.0, 0.21, 1.3


def draw(file: IO[bytes], found: Results) -> None:
    """Draw the ratios of each suite as a PNG picture.

    Arguments:
        file: where the picture is written to.
        found: what a run came to.

    Raises:
        ArgumentError: where nobody was measured beside ours.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    suites = {suite: _ratios(rows) for suite, rows in found.items()}
    suites = {suite: ratios for suite, ratios in suites.items() if ratios}
    if not suites:
        raise ArgumentError("bench: there are no ratios to draw; measure with --peer torch, --peer numpy or --peer jax")
    names = list(dict.fromkeys(name for ratios in suites.values() for times in ratios.values() for name in times))
    marks = {name: _MARKS[place % len(_MARKS)] for place, name in enumerate(names)}
    heights = [_ROW_HEIGHT * len(ratios) + _AROUND for ratios in suites.values()]
    # The style of the user's own figures stays as it is.
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **STYLE, "axes.grid.axis": "x"}):
        figure = Figure(figsize=(_WIDTH, sum(heights)), dpi=120, layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(len(suites), 1, squeeze=False, height_ratios=heights, sharex=True)[:, 0]
        for axes, (suite, ratios) in zip(panels, suites.items(), strict=True):
            _draw_suite(axes, suite, ratios, marks)
        panels[-1].set_xlabel(f"times as much as {_first(found)} took: right of 1, that is the faster")
        figure.savefig(file, format="png", metadata={"Software": None})


def _ratios(rows: Mapping[str, Sequence[Result]]) -> dict[str, dict[str, Spread]]:
    """By row and library; rows in which nobody else was measured are left out."""
    found = {row: others(of_row) for row, of_row in rows.items() if of_row[0].rank == 0}
    return {row: times for row, times in found.items() if times}


def _first(found: Results) -> str:
    """With whom the others are compared."""
    firsts = {of_row[0].contestant for suite, rows in found.items() if suite != "machine" for of_row in rows.values()}
    return firsts.pop() if len(firsts) == 1 else "the first of each suite"


def _draw_suite(
    axes: Axes, suite: str, ratios: Mapping[str, Mapping[str, Spread]], marks: Mapping[str, tuple[str, str]]
) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    places = {row: -place for place, row in enumerate(ratios)}
    for name, (colour, marker) in marks.items():
        of_rows = {row: times[name] for row, times in ratios.items() if name in times}
        if not of_rows:
            continue
        medians = [times.median for times in of_rows.values()]
        # What is below nothing has no place on a logarithmic axis.
        lower = [min(times.deviation, 0.9 * times.median) for times in of_rows.values()]
        axes.errorbar(
            medians,
            [places[row] for row in of_rows],
            xerr=(lower, [times.deviation for times in of_rows.values()]),
            fmt=marker,
            color=colour,
            markersize=5,
            elinewidth=1.2,
            alpha=0.9,
            label=f"{name}, {geometric_mean(medians):.2f} in the mean",
        )
    axes.axvline(1.0, color=INK, linewidth=1)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.tick_params(axis="x", labelbottom=True, labelsize=8)
    axes.set_yticks(list(places.values()), list(places), fontsize=8)
    axes.set_ylim(-len(places) + 0.3, 0.7)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.set_title(suite)
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, fontsize=8, borderaxespad=0.2)
