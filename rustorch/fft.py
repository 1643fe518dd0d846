"""The extension `fft` of the standard."""

from rustorch_core import _define
from rustorch_core._fourier_functions import *  # noqa: F403

_define.publish(globals())
