"""Every error that RusTorch raises, for `from rustorch.errors import ...`."""

from rustorch_core.errors import *  # noqa: F403
