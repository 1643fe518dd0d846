"""What every device is held to: `samples` of every op, and `checks` of values, gradients and kernels against them."""
