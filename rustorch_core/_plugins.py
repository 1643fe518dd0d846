"""Finds the plugins, admits each on its own, and ranks what they bring.

Nothing here trusts a plugin: whatever one raises while loading or registering is kept in its record and touches nobody
else. pluggy checks the hooks; the loop is ours, because pluggy's own lets one broken plugin break its host.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import traceback
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pluggy

from rustorch_core import _environment, plugin
from rustorch_core._version import __version__
from rustorch_core.errors import PluginError

GROUP = "rustorch"
REFERENCE = importlib.metadata.EntryPoint("cpu", "rustorch_core._numpy_plugin", GROUP)
HOOKS: dict[str, type] = {
    "rustorch_devices": plugin.DeviceSpec,
    "rustorch_kernels": plugin.Kernel,
    "rustorch_optimizers": plugin.OptimizerSpec,
    "rustorch_profiler_sinks": plugin.ProfilerSink,
}
#: Distributions whose devices may become the default by themselves; a stranger's is used when named.
FIRST_PARTY = frozenset({"rustorch", "rustorch-simd", "rustorch-cuda", "rustorch-metal", "rustorch-opencl"})

Fact = TypeVar("Fact")


@dataclass
class PluginRecord:
    """One plugin as discovery met it: loaded, failed or skipped, and if not loaded, why."""

    name: str
    distribution: str
    version: str
    state: str = "loaded"
    reason: str = ""
    traceback: str = ""
    facts: dict[str, list[Any]] = field(default_factory=lambda: {hook: [] for hook in HOOKS})
    notes: list[str] = field(default_factory=list)

    @property
    def is_first_party(self) -> bool:
        return self.distribution in FIRST_PARTY

    def fail(self, reason: str, error: BaseException | None = None) -> None:
        """Mark the plugin failed, keep the traceback for `rustorch doctor`, or raise under RUSTORCH_STRICT."""
        self.state, self.reason = "failed", reason
        if error is not None:
            self.traceback = "".join(traceback.format_exception(error))
        if environment.strict:
            raise PluginError(f"plugin {self.name} ({self.distribution} {self.version}): {reason}") from error


environment = _environment.Environment()
records: list[PluginRecord] = []
_listeners: list[Callable[[], None]] = []


def on_refresh(listener: Callable[[], None]) -> None:
    """Call the listener whenever the set of plugins changes, so that nothing stays bound to what is gone."""
    _listeners.append(listener)


def refresh() -> None:
    """Discover the plugins anew, for example after installing one in a running notebook."""
    global environment
    environment = _environment.read()
    importlib.invalidate_caches()
    records[:] = sorted(_discover(), key=_order)
    for listener in _listeners:
        listener()


def _order(record: PluginRecord) -> tuple[int, str]:
    listed = environment.plugins or ()
    keys = [listed.index(key) for key in (record.name, record.distribution) if key in listed]
    return (min(keys, default=len(listed)), record.name)


def _discover() -> list[PluginRecord]:
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(plugin.HookSpecifications)
    context = plugin.PluginContext(api_version=plugin.API_VERSION, rustorch_version=__version__)
    found: dict[str, PluginRecord] = {}
    result = []
    for entry, distribution, version in _entry_points():
        record = PluginRecord(entry.name, distribution, version)
        result.append(record)
        if reason := _reason_to_skip(record, found.get(entry.name)):
            record.state, record.reason = "skipped", reason
            continue
        found[entry.name] = record
        _admit(record, entry, manager, context)
    return result


def _entry_points() -> Iterator[tuple[importlib.metadata.EntryPoint, str, str]]:
    yield REFERENCE, "rustorch", __version__
    if not environment.autoload:
        return
    entries = importlib.metadata.entry_points(group=GROUP)
    owned = [(entry, *_owner(entry)) for entry in entries]
    yield from sorted(owned, key=lambda one: (one[1] not in FIRST_PARTY, one[0].name, one[1]))


def _owner(entry: importlib.metadata.EntryPoint) -> tuple[str, str]:
    if entry.dist is None:
        return "unknown", "?"
    return entry.dist.name.lower().replace("_", "-"), entry.dist.version


def _reason_to_skip(record: PluginRecord, twin: PluginRecord | None) -> str:
    names = {record.name, record.distribution}
    if names & set(environment.block):
        return "blocked by RUSTORCH_BLOCK"
    is_reference = record.name == REFERENCE.name and record.distribution == "rustorch"
    if environment.plugins is not None and not is_reference and not names & set(environment.plugins):
        return "not listed in RUSTORCH_PLUGINS"
    if twin is not None:
        return (
            f"the name {record.name!r} is taken by {twin.distribution} {twin.version}; "
            f"uninstall one, or set RUSTORCH_BLOCK={twin.distribution} to use this one"
        )
    return ""


def _admit(
    record: PluginRecord,
    entry: importlib.metadata.EntryPoint,
    manager: pluggy.PluginManager,
    context: plugin.PluginContext,
) -> None:
    """Load, check, register and question one plugin; all that it says counts, or nothing of it."""
    module = None
    try:
        module = entry.load()
        if reason := _wrong_version(module):
            record.fail(reason)
            return
        manager.register(module, name=record.name)
        manager.check_pending()
        facts = {hook: _ask(manager, module, hook, kind, context) for hook, kind in HOOKS.items()}
        if not any(caller.plugin is module for hook in HOOKS for caller in getattr(manager.hook, hook).get_hookimpls()):
            raise PluginError(
                f"{entry.value} defines none of the hooks {', '.join(HOOKS)} (are they marked @hookimpl?)"
            )
        record.facts = facts
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may raise anything, SystemExit included, and must hurt only itself
        if module is not None and manager.is_registered(module):
            manager.unregister(module)
        record.fail(describe(error), error)


def _wrong_version(module: types.ModuleType) -> str:
    major, minor = plugin.API_VERSION
    stated = getattr(module, "RUSTORCH_API", None)
    if stated is None:
        return f"states no plugin API version; add `RUSTORCH_API = {plugin.API_VERSION}` to {module.__name__}"
    if not (isinstance(stated, tuple) and len(stated) == 2 and all(isinstance(part, int) for part in stated)):
        return f"states the plugin API version {stated!r}; expected two integers such as {plugin.API_VERSION}"
    if stated[0] != major or stated[1] > minor:
        which = "rustorch" if stated > plugin.API_VERSION else "the plugin"
        return f"is written for plugin API {stated[0]}.{stated[1]}, this rustorch has {major}.{minor}: upgrade {which}"
    return ""


def _ask(
    manager: pluggy.PluginManager, module: types.ModuleType, hook: str, kind: type[Fact], context: plugin.PluginContext
) -> list[Fact]:
    """Call one plugin's own implementation of a hook and check what it returns."""
    facts: list[Fact] = []
    for implementation in getattr(manager.hook, hook).get_hookimpls():
        if implementation.plugin is module:
            arguments = [context] if implementation.argnames else []
            facts.extend(implementation.function(*arguments) or ())
    for fact in facts:
        if not isinstance(fact, kind):
            raise PluginError(f"{hook} returned {fact!r}; expected {kind.__name__} objects")
    return facts


def describe(error: BaseException) -> str:
    """One line for `rustorch devices`; a misspelt hook gets the nearest real one."""
    if isinstance(error, pluggy.PluginValidationError) and "unknown hook" in str(error):
        words = str(error).replace("'", " ").split()
        misspelt = next((word for word in words if word.startswith("rustorch_")), "")
        near = difflib.get_close_matches(misspelt, HOOKS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(HOOKS)}"
        return f"has a hook {misspelt!r} that rustorch does not know; {hint}"
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def facts(hook: str) -> Iterator[tuple[PluginRecord, Any]]:
    """Every fact that the loaded plugins returned for a hook, in the plugins' order."""
    for record in records:
        if record.state == "loaded":
            for fact in record.facts[hook]:
                yield record, fact


def resolve(target: str | Callable[..., Any]) -> Callable[..., Any]:
    """The function that `"package.module:function"` names; imports the module."""
    if callable(target):
        return target
    module, _, attribute = target.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    return found
