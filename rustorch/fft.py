"""The extension `fft` of the standard."""

from rustorch_core._fourier_functions import *  # noqa: F403
