"""The extension `linalg` of the standard."""

from rustorch_core import _define
from rustorch_core._linear_algebra_extension import *  # noqa: F403
from rustorch_core._linear_algebra_functions import matmul, tensordot, vecdot  # noqa: F401
from rustorch_core._linear_algebra_more import *  # noqa: F403
from rustorch_core._manipulation_functions import matrix_transpose  # noqa: F401

_define.publish(globals())
