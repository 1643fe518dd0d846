"""`rustorch bench` measures what users do, beside other libraries and beside an earlier run."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from rustorch.cli.bench import peers
from rustorch.io import whole_file
from rustorch_core.errors import ArgumentError, FileWriteError


class _Sizes(click.ParamType):
    """Sizes as they are written: 1,1k,1e5,10M."""

    name = "list"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> tuple[int, ...]:
        factors = {"k": 10**3, "M": 10**6, "G": 10**9}
        try:
            sizes = [float(each.strip().rstrip("kMG")) * factors.get(each.strip()[-1:], 1) for each in value.split(",")]
            if not all(1 <= size <= 10**10 and size == int(size) for size in sizes):
                raise ValueError
        except ValueError:
            self.fail(f"{value!r} is no list of sizes such as 1,1k,1e5,10M", parameter, context)
        return tuple(dict.fromkeys(map(int, sizes)))


_FILE = click.Path(path_type=Path)


@click.command()
@click.argument("suite", nargs=-1)
@click.option(
    "--peer", "chosen", multiple=True, type=click.Choice(peers.PEERS), help="Measured beside; may be repeated."
)
@click.option("--filter", "patterns", multiple=True, metavar="PATTERN", help="Only rows with this; * stands for any.")
@click.option("--sizes", type=_Sizes(), metavar="LIST", help="Numbers in an array, such as 1,1k,1e5,10M.")
@click.option("--threads", type=click.IntRange(1), help="For everybody; by default one for each processor.")
@click.option("--compile", "is_compiled", is_flag=True, help="Measure torch.compile of models too.")
@click.option("--fast", is_flag=True, help="Fewer processes and shorter values: rougher, and sooner.")
@click.option("--list", "is_list", is_flag=True, help="Show the suites or, of those named, the rows; measure nothing.")
@click.option("--json", "json_file", type=_FILE, metavar="FILE", help="Keep the run, in pyperf's format.")
@click.option("--from", "from_file", type=_FILE, metavar="FILE", help="Show a run that was kept; measure nothing.")
@click.option("--baseline", type=_FILE, metavar="FILE", help="Say what changed since a run that was kept.")
@click.option("--fail-slower", is_flag=True, help="Exit with 1 where a row is slower than in the baseline.")
@click.option("--plot", "plot_file", type=_FILE, metavar="FILE", help="Draw the ratios as a PNG picture.")
def bench(
    suite: tuple[str, ...],
    chosen: tuple[str, ...],
    patterns: tuple[str, ...],
    sizes: tuple[int, ...] | None,
    threads: int | None,
    is_compiled: bool,
    fast: bool,
    is_list: bool,
    json_file: Path | None,
    from_file: Path | None,
    baseline: Path | None,
    fail_slower: bool,
    plot_file: Path | None,
) -> None:
    """Measure SUITE ..., by default quick, with pyperf, in turns with other libraries.

    Of each row the first column is what one execution takes in the median, and `times` how many times as much another
    takes: above 1, the first is the faster. `rustorch bench --list` shows the suites.
    """
    from rustorch.cli.bench import report, suites

    settings = suites.Settings(tuple(dict.fromkeys(chosen)), sizes or (), threads or suites.cpus(), is_compiled)
    peers.require(*settings.peers)
    if is_list:
        report.show_suites(suites.names()) if not suite else report.show_plan(suites.plan(suite, settings, patterns)[0])
        return
    if fail_slower and baseline is None:
        raise ArgumentError("bench: --fail-slower compares with a run that was kept; name it with --baseline FILE")
    if from_file is not None and (suite or chosen or patterns or sizes):
        raise ArgumentError("bench: --from shows a run as it was kept; leave out SUITE, --peer, --filter and --sizes")
    peers.require("pyperf", *(["matplotlib"] if plot_file else []))
    _check_places(json_file, plot_file)

    from rustorch.cli.bench import results

    then = None if baseline is None else results.results(results.read(baseline))
    if from_file is None:
        plan, notes = suites.plan(suite or ("quick",), settings, patterns)
        versions = _versions(settings)
        click.echo("\n".join([versions, *notes, *_busy()]))
        benchmarks, failed = _measure(plan, settings, _effort(suite, fast), versions)
    else:
        benchmarks, failed = results.read(from_file), {}
    if json_file is not None:
        _keep(json_file, benchmarks)
    found = results.results(benchmarks)
    report.show(found, failed)
    if plot_file is not None:
        _draw(plot_file, found)
    changes = [] if then is None else results.changes(found, then)
    if then is not None:
        report.show_changes(changes, found, then)
    if failed or (fail_slower and any(each.is_slower for each in changes)):
        raise click.exceptions.Exit(1)


def _check_places(*files: Path | None) -> None:
    """See that files can be written before minutes are spent on what belongs in them."""
    for file in files:
        if file is not None and (file.is_dir() or not file.absolute().parent.is_dir()):
            reason = "it is a folder" if file.is_dir() else "its folder does not exist"
            raise FileWriteError(f"bench: {file} cannot be written: {reason}")


def _versions(settings: Any) -> str:
    """What is measured, and which plugins take part: kernels that were not there explain much."""
    import importlib.metadata
    import platform

    import rustorch
    from rustorch_core import _plugins

    names = dict.fromkeys(("numpy", *settings.peers))
    versions = [f"{each} {importlib.metadata.version(each)}" for each in names]
    plugins = [each.name + ("" if each.state == "loaded" else f" ({each.state})") for each in _plugins.records]
    return (
        f"rustorch {rustorch.__version__} with {', '.join(plugins)}; {', '.join(versions)}; "
        f"Python {platform.python_version()}; {settings.threads} thread{'s' * (settings.threads > 1)}"
    )


def _busy() -> Iterator[str]:
    """A warning where others are at work too."""
    import os

    from rustorch.cli.bench.suites import cpus

    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load > 0.75 * cpus():
        yield f"The machine is busy already (load {load:.1f}, {cpus()} processors): take what follows as rough."


def _effort(suite: tuple[str, ...], is_fast: bool) -> Any:
    from rustorch.cli.bench.measure import FAST, QUICK, Effort

    return FAST if is_fast else QUICK if set(suite) <= {"quick"} else Effort()


def _measure(plan: Any, settings: Any, effort: Any, versions: str) -> tuple[Any, dict[str, str]]:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    from rustorch.cli.bench.measure import measure
    from rustorch.cli.bench.report import console

    columns = (BarColumn(), TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    to = console()
    with Progress(*columns, console=to, transient=True, disable=not to.is_terminal) as progress:
        task = progress.add_task("")
        return measure(
            plan,
            settings,
            effort,
            versions,
            lambda name, done, total: progress.update(task, completed=done, total=total, description=name),
        )


def _draw(file: Path, found: Any) -> None:
    from rustorch.cli.bench import picture

    with whole_file(file) as target:
        picture.draw(target, found)


def _keep(file: Path, benchmarks: Any) -> None:
    text = io.StringIO()
    benchmarks.dump(text)
    with whole_file(file) as target:
        target.write(text.getvalue().encode())
