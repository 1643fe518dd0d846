"""The switches that the variable LOOPBACK sets."""

import os
from typing import NamedTuple

from rustorch_core.plugin import BackendUnavailableError


class Switches(NamedTuple):
    """What is to be worse than usual."""

    no_float64: bool = False
    asynchronous_errors: bool = False
    memory: int | None = None


def read() -> Switches:
    """Read the variable; this is the device's probe too.

    Raises:
        BackendUnavailableError: for a word that is none.
    """
    switches = Switches()
    for word in filter(None, os.environ.get("LOOPBACK", "").replace(" ", "").split(",")):
        name, equals, number = word.replace("-", "_").partition("=")
        if name == "memory" and number.isdecimal():
            switches = switches._replace(memory=int(number))
        elif name in ("no_float64", "asynchronous_errors") and not equals:
            switches = switches._replace(**{name: True})
        else:
            raise BackendUnavailableError(
                f"LOOPBACK={word!r} is not understood",
                reason=f"LOOPBACK names {word!r}",
                fix="set LOOPBACK to no-float64, asynchronous-errors, memory=BYTES, or several, separated by commas",
            )
    return switches
