"""Discovery, with faults of hygiene."""

import os

from rustorch_core.plugin import DeviceSpec, Kernel, hookimpl

RUSTORCH_API = (1, 0)
FAULT = os.environ.get("FAULTY", "")

if FAULT == "import that prints":
    print("hello")
if FAULT == "heavy import":
    import hypothesis  # noqa: F401
if FAULT == "import that changes the environment":
    os.environ["FAULTY_DRIVER"] = "started"


@hookimpl
def rustorch_devices(ctx):
    """The device."""
    load, probe = "faulty_device._device:load", "faulty_device._device:probe"
    return [DeviceSpec(type="faulty", load=load, probe=probe, rank=-100)]


@hookimpl
def rustorch_kernels(ctx):
    """A kernel, where it is the fault."""
    kernels = {"kernel that ignores strides": "silu", "kernel that loses NaN": "relu"}
    return [
        Kernel(op=op, device="faulty", load=f"faulty_device._device:{op}")
        for fault, op in kernels.items()
        if fault == FAULT
    ]
