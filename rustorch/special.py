"""Special functions, under the names of `scipy.special`."""

from rustorch_core._special_functions import *  # noqa: F403
