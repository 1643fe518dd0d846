"""A function for any array of the standard: NumPy's stay NumPy's, tensors stay tensors, and have gradients."""

import numpy as np
from array_api_compat import array_namespace

import rustorch as rt


def skewness(x):
    """The third standardised moment of all elements."""
    xp = array_namespace(x)
    centred = x - xp.mean(x)
    return xp.mean(centred**3) / xp.mean(centred**2) ** 1.5


values = [0.0, 1.0, 1.0, 2.0, 5.0]
print("NumPy  ", skewness(np.asarray(values)))
print("tensor ", skewness(rt.asarray(values)))
print("slope  ", rt.grad(skewness)(rt.asarray(values)))
