"""What every device is held to: samples of every op, and checks of values, gradients and kernels against them."""

from rustorch_conformance.checks import check_dtypes, check_gradient, check_kernel, check_value
from rustorch_conformance.samples import Sample, samples

__all__ = ["Sample", "check_dtypes", "check_gradient", "check_kernel", "check_value", "samples"]
