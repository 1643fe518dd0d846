"""The command `rustorch-conformance`."""

import sys

import click
import pytest


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--device", default="cpu", show_default=True, help="The device to hold to the table.")
@click.option("--ops", default="", help="Names of ops, separated by commas; all by default.")
def main(device: str, ops: str) -> None:
    """Hold a device to the table of ops: values, gradients of first and second order, and kernels."""
    chosen = ["-k", " or ".join(f"[{name.strip()}-" for name in ops.split(","))] if ops else []
    arguments = ["--pyargs", "rustorch_conformance", "-q", "--rustorch-device", device, *chosen]
    sys.exit(pytest.main(arguments))


if __name__ == "__main__":
    main()
