"""What RusTorch reads at discovery: one device type, used when it is named."""

from rustorch_core.plugin import DeviceSpec, PluginContext, hookimpl

RUSTORCH_API = (1, 0)


@hookimpl
def rustorch_devices(ctx: PluginContext) -> list[DeviceSpec]:
    """The device type; it has two indices."""
    return [
        DeviceSpec(
            type="loopback",
            load="rustorch_loopback_device._device:load",
            probe="rustorch_loopback_device._switches:read",
            rank=-100,
            description="an accelerator without hardware, for tests",
        )
    ]
