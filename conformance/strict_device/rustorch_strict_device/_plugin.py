"""What RusTorch reads at discovery: two devices, used when they are named."""

from rustorch_core.plugin import DeviceSpec, PluginContext, hookimpl

RUSTORCH_API = (1, 0)


@hookimpl
def rustorch_devices(ctx: PluginContext) -> list[DeviceSpec]:
    """The standard, with arrays that can be written and with arrays that cannot."""
    return [
        DeviceSpec(
            type=name,
            load=f"rustorch_strict_device._device:{name}",
            rank=-100,
            description=f"array-api-strict arrays{what}, for tests",
        )
        for name, what in (("strict", ""), ("frozen", " that cannot be written"))
    ]
