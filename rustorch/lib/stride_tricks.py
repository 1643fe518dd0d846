"""Windows that slide over a tensor."""

from rustorch_core._window_functions import *  # noqa: F403
