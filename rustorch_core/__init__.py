"""The core of RusTorch: tensor, ops with their gradients, devices, plugins, optimizer factory and profiler hooks.

Users import `rustorch`; plugins import `rustorch_core.plugin`. This package imports no plugin and nothing heavy.
"""

import warnings

from rustorch_core._version import __version__

__all__ = ["__version__"]

# NaN and infinity are values here. What NumPy's ufuncs warn of is attributed to the frame that called them: ours.
warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"rustorch_core\.")
