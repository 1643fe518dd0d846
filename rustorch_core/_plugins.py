"""Finds the plugins, admits each on its own, and ranks what they bring.

Nothing here trusts a plugin: whatever one raises while loading or registering is kept in its record and touches nobody
else. pluggy checks the hooks; the loop is ours, because pluggy's own lets one broken plugin break its host.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
import types
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pluggy

from rustorch_core import _entry_points, _environment, plugin
from rustorch_core._entry_points import EntryPoint
from rustorch_core._version import __version__
from rustorch_core.errors import EnvironmentVariableError, PluginError, RusTorchError

GROUP = "rustorch"
REFERENCE = EntryPoint("cpu", "rustorch_core._numpy_plugin", "rustorch", __version__)
HOOKS: dict[str, type] = {
    "rustorch_devices": plugin.DeviceSpec,
    "rustorch_kernels": plugin.Kernel,
    "rustorch_optimizers": plugin.OptimizerSpec,
    "rustorch_call_paths": plugin.CallPath,
    "rustorch_host_runtimes": plugin.HostRuntime,
    "rustorch_profiler_sinks": plugin.ProfilerSink,
}
#: Distributions whose devices may become the default by themselves; a stranger's is used when named.
FIRST_PARTY = frozenset({"rustorch", "rustorch-simd", "rustorch-cuda", "rustorch-metal", "rustorch-opencl"})


class PluginRecord:
    """One plugin as discovery met it.

    Arguments:
        name: of its entry point.
        distribution: that it came with.
        version: of that distribution.

    Attributes:
        state: "loaded", "failed" or "skipped".
        reason: if not loaded, why, in one line.
        traceback: of what it raised.
        facts: what its hooks returned, by hook.
        notes: what is wrong with a plugin that is loaded all the same.
    """

    def __init__(self, name: str, distribution: str, version: str) -> None:
        self.name = name
        self.distribution = distribution
        self.version = version
        self.state = "loaded"
        self.reason = ""
        self.traceback = ""
        self.facts: dict[str, list[Any]] = {hook: [] for hook in HOOKS}
        self.notes: list[str] = []

    @property
    def is_first_party(self) -> bool:
        return self.distribution in FIRST_PARTY

    def fail(self, reason: str, error: BaseException | None = None) -> None:
        """Mark the plugin failed, keep the traceback for `rustorch doctor`, or raise under RUSTORCH_STRICT."""
        self.state, self.reason = "failed", reason
        if error is not None:
            self.traceback = formatted(error)
        if environment.strict:
            raise PluginError(f"plugin {self.name} ({self.distribution} {self.version}): {reason}") from error

    def __repr__(self) -> str:
        reason = f", {self.reason!r}" if self.reason else ""
        return f"PluginRecord({self.name!r}, {self.distribution} {self.version}, {self.state}{reason})"


environment = _environment.Environment()
records: list[PluginRecord] = []
_listeners: list[Callable[[], None]] = []
_lock = threading.RLock()
_is_discovering = False
#: Asked before a "plugin" is loaded or a "device" is probed, with its name; raises where that is better left alone.
guard: Callable[[str, str], None] | None = None


def on_refresh(listener: Callable[[], None]) -> Callable[[], None]:
    """Call the listener whenever the set of plugins changes, so that nothing stays bound to what is gone."""
    _listeners.append(listener)
    return listener


def refresh() -> None:
    """Discover the plugins anew, for example after installing one in a running notebook.

    Raises:
        EnvironmentVariableError: for a RUSTORCH_* variable that is not understood.
        PluginError: under RUSTORCH_STRICT, for the first plugin that fails.
    """
    global environment, _is_discovering
    with _lock:
        if _is_discovering:
            return  # a plugin asks while it is being loaded; the discovery that loads it is under way
        environment = _environment.read()
        if records:
            importlib.invalidate_caches()
        _is_discovering = True
        try:
            records[:] = sorted(_discover(), key=lambda record: (place(record), record.name))
        finally:
            _is_discovering = False
        for listener in _listeners:
            listener()


def start() -> None:
    """Discover at import. What the user set wrongly is an error to a program, and one line on the command line.

    The commands that report on plugins discover by themselves, with care, for one may not survive it.

    Raises:
        EnvironmentVariableError, PluginError: as `refresh` does.
    """
    if _is_command() and sys.argv[1:2] in (["devices"], ["doctor"]):
        return
    try:
        refresh()
    except RusTorchError as error:
        if _is_command():
            raise SystemExit(f"rustorch: {error}") from None
        raise


def _is_command() -> bool:
    """Whether this is the command `rustorch`, or `python -m rustorch`: argv[0] is "-m" while Python looks for it."""
    program = os.path.basename(sys.argv[0]) if getattr(sys, "argv", None) else ""
    is_module = program == "-m" and any(word.removeprefix("-m") == "rustorch" for word in sys.orig_argv)
    return is_module or program in ("rustorch", "rustorch.exe")


def place(record: PluginRecord) -> int:
    """Where a plugin stands in RUSTORCH_PLUGINS, by its own name or its distribution's; behind, if it is not listed."""
    listed = environment.plugins or ()
    return next((i for i, name in enumerate(listed) if _means(name, record)), len(listed))


def _means(name: str, record: PluginRecord) -> bool:
    return name in (record.name, record.distribution) or _entry_points.normalized(name) == record.distribution


def _discover() -> list[PluginRecord]:
    context = plugin.PluginContext(api_version=plugin.API_VERSION, rustorch_version=__version__)
    owned = [(PluginRecord(entry.name, entry.distribution, entry.version), entry) for entry in _found()]
    _check_names([record for record, _ in owned])
    taken: dict[str, PluginRecord] = {}
    for record, entry in owned:
        record.reason = _reason_to_skip(record, entry, taken.get(entry.name))
        if record.reason:
            record.state = "skipped"
        else:
            taken[entry.name] = record
            _admit(record, entry, context)
    return [record for record, _ in owned]


def _found() -> Iterable[EntryPoint]:
    """The reference device first, then ours, then the others by name: never as the file system lists them."""
    installed = _entry_points.installed(GROUP)
    return REFERENCE, *sorted(installed, key=lambda one: (one.distribution not in FIRST_PARTY, one))


def _check_names(found: list[PluginRecord]) -> None:
    """Refuse a RUSTORCH_PLUGINS, and warn of a RUSTORCH_BLOCK, that names what is not installed."""
    for variable, names in (("PLUGINS", environment.plugins or ()), ("BLOCK", environment.block)):
        for name in names:
            if not any(_means(name, record) for record in found):
                hint = _environment.nearest(name, {record.name for record in found})
                message = f"RUSTORCH_{variable} names {name!r}, and no plugin of that name is installed; {hint}"
                if variable == "PLUGINS":
                    raise EnvironmentVariableError(message)
                warnings.warn(message, UserWarning, stacklevel=4)


def _reason_to_skip(record: PluginRecord, entry: EntryPoint, twin: PluginRecord | None) -> str:
    if any(_means(name, record) for name in environment.block):
        return "blocked by RUSTORCH_BLOCK"
    if entry is REFERENCE:
        return ""
    if not environment.autoload:
        return "RUSTORCH_AUTOLOAD=0: only what rustorch itself brings is loaded"
    if environment.plugins is not None and place(record) == len(environment.plugins):
        return "not listed in RUSTORCH_PLUGINS"
    if record.name == REFERENCE.name:
        return f"the name {record.name!r} is that of rustorch's own reference device; its author must choose another"
    if twin is not None:
        return (
            f"the name {record.name!r} is taken by {twin.distribution} {twin.version}; "
            f"uninstall one, or set RUSTORCH_BLOCK={twin.distribution} to use this one"
        )
    return ""


def _admit(record: PluginRecord, entry: EntryPoint, context: plugin.PluginContext) -> None:
    """Load, check, register and question one plugin; all that it says counts, or nothing of it."""
    try:
        if guard is not None and entry is not REFERENCE:
            guard("plugin", entry.distribution)
        module = entry.load()
        _check_version(module)
        record.facts = _answers(module, context)
    except (KeyboardInterrupt, EnvironmentVariableError):
        raise  # the user's own doing, and the user's to hear
    except BaseException as error:  # a plugin may raise anything, SystemExit included, and must hurt only itself
        record.fail(_why_not_loaded(error, entry), error)


def _check_version(module: types.ModuleType) -> None:
    major, minor = plugin.API_VERSION
    stated = getattr(module, "RUSTORCH_API", None)
    if stated is None:
        raise PluginError(f"states no plugin API version; its module needs `RUSTORCH_API = {plugin.API_VERSION}`")
    if not (isinstance(stated, tuple) and len(stated) == 2 and all(type(part) is int for part in stated)):
        raise PluginError(f"states RUSTORCH_API = {stated!r}; expected two integers such as {plugin.API_VERSION}")
    if stated[0] != major or stated[1] > minor:
        which = "rustorch" if stated > plugin.API_VERSION else "the plugin"
        raise PluginError(
            f"is written for plugin API {stated[0]}.{stated[1]}, this rustorch has {major}.{minor}: upgrade {which}"
        )


def _answers(module: types.ModuleType, context: plugin.PluginContext) -> dict[str, list[Any]]:
    """What one plugin's hooks return, checked. It has a manager to itself, so that its mistakes stay its own."""
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(plugin.HookSpecifications)
    manager.register(module)
    manager.check_pending()
    callers = {hook: getattr(manager.hook, hook) for hook in HOOKS}
    unmarked = [hook for hook, caller in callers.items() if hasattr(module, hook) and not caller.get_hookimpls()]
    if unmarked:
        raise PluginError(f"defines {', '.join(unmarked)} without @rustorch_core.plugin.hookimpl above")
    if not any(caller.get_hookimpls() for caller in callers.values()):
        raise PluginError(f"defines none of the hooks {', '.join(HOOKS)}")
    return {
        hook: [fact for answer in caller(ctx=context) for fact in _checked(hook, answer)]
        for hook, caller in callers.items()
    }


def _checked(hook: str, answer: Any) -> list[Any]:
    kind = HOOKS[hook]
    if isinstance(answer, str) or not isinstance(answer, Iterable):
        raise PluginError(f"{hook} returned {_shown(answer)}; expected a list of {kind.__name__}")
    facts = list(answer)
    for fact in facts:
        if not isinstance(fact, kind):
            raise PluginError(f"{hook} returned a list with {_shown(fact)} in it; expected {kind.__name__} objects")
    return facts


def _shown(value: Any) -> str:
    text = one_line(repr(value))
    return text if len(text) <= 80 else f"{text[:80]}..."


def _why_not_loaded(error: BaseException, entry: EntryPoint) -> str:
    reason = describe(error)
    if isinstance(error, ModuleNotFoundError) and error.name and f"{entry.value}.".startswith(f"{error.name}."):
        return f"{reason}: its files are gone; reinstall {entry.distribution}, or uninstall it"
    if isinstance(error, ImportError) and error.name == plugin.__name__:
        return f"{reason}: it is written for another version of rustorch"
    return reason


def describe(error: BaseException) -> str:
    """One line for `rustorch devices`; a misspelt hook gets the nearest real one."""
    try:
        text = one_line(str(error))
    except Exception:  # an error of a stranger's that cannot even be printed
        text = ""
    if isinstance(error, pluggy.PluginValidationError):
        return _misfit(str(error))
    if isinstance(error, PluginError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _misfit(said: str) -> str:
    """What pluggy says about a hook that does not fit, in our words."""
    quoted = said.split("'")[1::2]
    if said.startswith("unknown hook"):
        return f"has a hook {quoted[0]!r} that rustorch does not know; {_environment.nearest(quoted[0], HOOKS)}"
    if "can not be found in the hookspec" in said:
        return f"its hook {quoted[1]} takes arguments of other names; a hook takes one, `ctx`"
    return one_line(said.replace("\n", " "))


def one_line(text: str) -> str:
    """The first line that says anything, without what a terminal would obey."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return "".join(character if character.isprintable() else " " for character in line)


def formatted(error: BaseException) -> str:
    """An error's full traceback."""
    import traceback  # only for an error

    return "".join(traceback.format_exception(error))


def facts(hook: str) -> Iterator[tuple[PluginRecord, Any]]:
    """Every fact that the loaded plugins returned for a hook, in the plugins' order."""
    for record in records:
        if record.state == "loaded":
            for fact in record.facts[hook]:
                yield record, fact


def resolve(target: str | Callable[..., Any]) -> Callable[..., Any]:
    """The function that `"package.module:function"` names; imports the module.

    Raises:
        whatever importing it raises; what is not even an `Exception`, such as a `SystemExit`, as a PluginError.
    """
    if callable(target):
        return target
    module, _, attribute = target.partition(":")
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    except (Exception, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise PluginError(f"{target} cannot be loaded: {describe(error)}") from error
    return found
