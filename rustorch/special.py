"""Special functions, under the names of `scipy.special`."""

from rustorch_core import _define
from rustorch_core._bessel_functions import *  # noqa: F403
from rustorch_core._convenience_functions import *  # noqa: F403
from rustorch_core._incomplete_functions import *  # noqa: F403
from rustorch_core._special_functions import *  # noqa: F403

_define.publish(globals())
