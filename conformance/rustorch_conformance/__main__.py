"""The command `rustorch-conformance`."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import click


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--device", default="cpu", show_default=True, help="The device to hold to the table.")
@click.option("--ops", default="", help="Names of ops, separated by commas; all by default.")
@click.option(
    "--suite",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A clone of data-apis/array-api-tests, with its submodule: run that instead of the table.",
)
@click.option("--max-examples", default=200, show_default=True, help="Examples for each test of the suite.")
def main(device: str, ops: str, suite: Path | None, max_examples: int) -> None:
    """Hold a device to the table of ops: values, gradients of first and second order, and kernels."""
    if importlib.util.find_spec("rustorch") is None:
        raise click.ClickException("rustorch itself is not installed; pip install 'rustorch[conformance]' brings both")
    # A process of its own: pytest rewrites the checks' assertions only where nobody has imported them yet.
    sys.exit(_run_table(device, ops) if suite is None else _run_suite(suite, device, max_examples))


def _run_table(device: str, ops: str) -> int:
    table = Path(__file__).with_name("test_ops.py")
    arguments = ["-q", "-c", os.devnull, "-p", "no:cacheprovider", "--rustorch-device", device, "--rustorch-ops", ops]
    return subprocess.call([sys.executable, "-m", "pytest", *arguments, str(table)])


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
