"""What discovery found: `records()` tells of every plugin, `refresh()` looks again."""

from rustorch_core import _plugins
from rustorch_core._plugins import PluginRecord, refresh

__all__ = ["PluginRecord", "records", "refresh"]


def records() -> list[PluginRecord]:
    """Every plugin that was found, loaded or not, in the order in which they are asked."""
    return list(_plugins.records)
