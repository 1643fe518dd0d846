"""The command `rustorch-conformance`."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import click

LEVELS = {
    "L0": "hygiene",
    "L1": "arrays",
    "L2": "values",
    "L3": "gradients",
    "L4": "kernels",
    "L5": "training",
}


class _Levels(click.ParamType):
    """A level, a range of them such as `L0-L3`, or several of both, separated by commas."""

    name = "level"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        names, chosen = list(LEVELS), set()
        for part in str(value).upper().replace(" ", "").split(","):
            ends = re.fullmatch(r"(L\d)(?:-(L\d))?", part)
            if ends is None or not {*filter(None, ends.groups())} <= {*names} or ends[1] > (ends[2] or ends[1]):
                self.fail(
                    f"{value!r}: expected a level of L0 to L5, a range such as L0-L3, or several: L0,L2", param, ctx
                )
            chosen |= {*names[names.index(ends[1]) : names.index(ends[2] or ends[1]) + 1]}
        return tuple(sorted(chosen))


_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--device", default="cpu", show_default=True, help="The device to hold to the table.")
@click.option("--level", type=_Levels(), help="L0 to L5, a range such as L0-L3, or several: L0,L2. All by default.")
@click.option("--ops", default="", help="Names of ops, separated by commas: only their rows, of L2 to L4.")
@click.option("--test", default="", help="One test by its name, as a failure's line to reproduce it gives it.")
@click.option(
    "--expected",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file of failures to expect of your device: `DEVICE TEST: reason` a line.",
)
@click.option("--time-limit", default=60.0, show_default=True, help="Seconds that one test, probe or import may take.")
@click.option("--json", "json_file", type=_FILE, help="Write the report as JSON.")
@click.option("--markdown", "markdown_file", type=_FILE, help="Write the report as Markdown.")
@click.option("--html", "html_file", type=_FILE, help="Write the report as a web page.")
@click.option(
    "--suite",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A clone of data-apis/array-api-tests, with its submodule: run that instead of the table.",
)
@click.option("--max-examples", default=200, show_default=True, help="Examples for each test of the suite.")
def main(
    device: str,
    level: tuple[str, ...] | None,
    ops: str,
    test: str,
    expected: Path | None,
    time_limit: float,
    json_file: Path | None,
    markdown_file: Path | None,
    html_file: Path | None,
    suite: Path | None,
    max_examples: int,
) -> None:
    r"""Hold a device to the table.

    \b
    L0 hygiene    a light and silent import, a probe that ends and survives a fork
    L1 arrays     transfer, exchange, views and writes
    L2 values     every op and function against NumPy in double precision
    L3 gradients  of first and second order
    L4 kernels    against their compositions on hard input, and the order of reads and writes
    L5 training   loss curves, optimizers and the profiler, against the reference device
    """
    if importlib.util.find_spec("rustorch") is None:
        raise click.ClickException("rustorch itself is not installed; pip install 'rustorch[conformance]' brings both")
    if suite is not None:
        sys.exit(_run_suite(suite, device, max_examples))
    from rustorch_conformance import _report, _run

    levels = level or (("L2", "L3", "L4") if ops else tuple(LEVELS))
    results = _run.run(device, levels, ops=ops, test=test, expected=expected, time_limit=time_limit)
    report = _report.Report(device, levels, results.tests, results.facts)
    for file, write in (
        (json_file, report.as_json),
        (markdown_file, report.as_markdown),
        (html_file, report.as_html),
    ):
        if file is not None:
            file.write_text(write(), encoding="utf-8")
    click.echo(results.error or report.as_text())
    sys.exit(2 if results.error else report.has_failed)


def _run_suite(suite: Path, device: str, max_examples: int) -> int:
    """Run the official suite of the standard, newest version, nothing skipped and nothing excused."""
    variables = {
        "ARRAY_API_TESTS_MODULE": "rustorch",
        "ARRAY_API_TESTS_VERSION": "2025.12",
        "RUSTORCH_DEVICE": device,
    }
    arguments = ["-q", "--disable-deadline", "--max-examples", str(max_examples), "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", "array_api_tests", *arguments]
    return subprocess.call(command, cwd=suite, env={**os.environ, **variables})


if __name__ == "__main__":
    main()
