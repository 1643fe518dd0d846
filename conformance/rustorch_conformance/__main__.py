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
def main(device: str, ops: str) -> None:
    """Hold a device to the table of ops: values, gradients of first and second order, and kernels."""
    if importlib.util.find_spec("rustorch") is None:
        raise click.ClickException("rustorch itself is not installed; pip install 'rustorch[conformance]' brings both")
    table = Path(__file__).with_name("test_ops.py")
    arguments = ["-q", "-c", os.devnull, "-p", "no:cacheprovider", "--rustorch-device", device, "--rustorch-ops", ops]
    # A process of its own: pytest rewrites the checks' assertions only where nobody has imported them yet.
    sys.exit(subprocess.call([sys.executable, "-m", "pytest", *arguments, str(table)]))


if __name__ == "__main__":
    main()
