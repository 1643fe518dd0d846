"""The command `rustorch`."""

from __future__ import annotations

import sys

import click

from rustorch.cli.bench.command import bench
from rustorch.cli.demo import demo, predict
from rustorch.cli.new_plugin import new_plugin
from rustorch.cli.report import devices, doctor
from rustorch_core import __version__
from rustorch_core.errors import RusTorchError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="rustorch")
def group() -> None:
    """RusTorch: the Array API standard with gradients, on any device that a plugin brings."""


for command in (demo, predict, devices, doctor, new_plugin, bench):
    group.add_command(command)


def main() -> None:
    """Run a command; an error of ours is one line on standard error and exit status 1."""
    try:
        group()
    except RusTorchError as error:
        click.echo(f"rustorch: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
