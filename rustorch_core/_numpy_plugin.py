"""The reference device `cpu`: NumPy arrays, registered like any other plugin."""

from rustorch_core.plugin import Backend, DeviceSpec, PluginContext, hookimpl

RUSTORCH_API = (1, 0)


@hookimpl
def rustorch_devices(ctx: PluginContext) -> list[DeviceSpec]:
    """The one device that is always there."""
    return [DeviceSpec(type="cpu", load=load, rank=0, description="NumPy arrays on the processor, the reference")]


def load() -> Backend:
    """Open the device; array_api_compat is imported only now."""
    from rustorch_core import _numpy_namespace

    return Backend(namespace=_numpy_namespace, from_host=_numpy_namespace.from_host, to_host=lambda native: native)
