"""Linear algebra of the standard: what the first layers need so far."""

from rustorch_core._linear_algebra_extension import vector_norm
from rustorch_core._linear_algebra_functions import matmul, tensordot, vecdot
from rustorch_core._manipulation_functions import matrix_transpose

__all__ = ["matmul", "matrix_transpose", "tensordot", "vecdot", "vector_norm"]
