"""Finding plugins and refusing bad ones, one by one. With `hookspecs.py` the only file that knows pluggy."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pluggy
from marshmallow import Schema

from examlane import hookspecs
from examlane.rulebase import files
from examlane.rulebase.files import RuleSet

GROUP = "examlane.plugins"
CORE = "core"
"""The core's own implementations; no stranger may take this name."""
CORE_RULES = "examlane.rulebase"
"""The package whose rule files are the core's own: what holds between exams of the whole hospital."""
SCHEMA = "SettingsSchema"
"""The name under which a plugin's module offers the marshmallow schema of its settings in a department."""
HOOKS = (
    "validate_order",
    "pre_booking_gate",
    "interval_rules",
    "requirements",
    "preparation",
    "allocate",
    "on_no_show",
)


@dataclass(frozen=True, slots=True)
class Implementation:
    """One hook of one plugin, with the arguments it takes."""

    function: Callable[..., Any]
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plugin that may be asked; `title` is the first line of its package's docstring."""

    name: str
    title: str
    version: str
    hooks: Mapping[str, Implementation]
    trusted: bool = False
    rules: RuleSet = field(default_factory=RuleSet)
    schema: type[Schema] | None = None


class Plugins:
    """The plugins of this process: `loaded` may be asked, `broken` says why one may not."""

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self.loaded: dict[str, Plugin] = {}
        self.broken: dict[str, str] = {}

    def discover(self, found: Iterable[EntryPoint] | None = None) -> Plugins:
        """Load every plugin that an installed distribution offers in the group `examlane.plugins`."""
        for entry in entry_points(group=GROUP) if found is None else found:
            self._load(entry)
        return self

    def _load(self, entry: EntryPoint) -> None:
        try:
            module = entry.load()
            version = entry.dist.version if entry.dist else ""
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - foreign code may raise anything on import
            self.broken[entry.name] = told(error)
            return
        self.register(entry.name, module, version)

    def register(self, name: str, module: Any, version: str = "", *, trusted: bool = False) -> None:
        """Take in one plugin, or note in `broken` what is wrong with it."""
        if name == CORE and not trusted:
            self.broken["core (foreign)"] = "the name belongs to the core"
            return
        if name in self.loaded or name in self.broken:
            self._refuse(name, "two plugins have this name")
            return
        try:
            self._manager.register(module, name)
            self._manager.check_pending()
            package = CORE_RULES if name == CORE else str(getattr(module, "__package__", None) or "")
            rules = files.read(name, package) if package else RuleSet()
            hooks = self._hooks(name, module)
            self.loaded[name] = Plugin(name, _title(module, name), version, hooks, trusted, rules, _schema(module))
        except (pluggy.PluginValidationError, ValueError) as error:
            self._refuse(name, " ".join(str(error).split())[:300])
        except Exception as error:  # noqa: BLE001 - looking at a foreign module runs foreign code
            self._refuse(name, told(error))

    def _refuse(self, name: str, reason: str) -> None:
        self.broken[name] = reason
        self.loaded.pop(name, None)
        if self._manager.has_plugin(name):
            self._manager.unregister(name=name)

    def _hooks(self, name: str, module: Any) -> dict[str, Implementation]:
        hooks: dict[str, Implementation] = {}
        for hook in HOOKS:
            found = [one for one in getattr(self._manager.hook, hook).get_hookimpls() if one.plugin_name == name]
            _refuse_unasked(hook, found, module)
            if found:
                hooks[hook] = Implementation(found[0].function, tuple(found[0].argnames))
        if not hooks:
            raise ValueError("implements no hook")
        return hooks


def told(error: BaseException) -> str:
    """An error in one short line, even when it cannot say what it is."""
    try:
        return f"{type(error).__name__}: {error}"[:300]
    except BaseException:  # noqa: BLE001 - foreign code may raise anything, even while it is printed
        return type(error).__name__


def _refuse_unasked(hook: str, found: Sequence[pluggy.HookImpl], module: Any) -> None:
    """A rule that its author believes to count must never be left out silently."""
    if not found and inspect.isroutine(inspect.getattr_static(module, hook, None)):
        raise ValueError(f"{hook} lacks @hookimpl")
    if len(found) > 1:
        raise ValueError(f"{hook} is implemented twice")
    if any(one.hookwrapper or one.wrapper for one in found):
        raise ValueError(f"{hook} is a wrapper; a plugin is asked on its own and wraps nobody")


def _schema(module: Any) -> type[Schema] | None:
    schema = getattr(module, SCHEMA, None)
    if schema is not None and not (isinstance(schema, type) and issubclass(schema, Schema)):
        raise ValueError(f"{SCHEMA} must be a marshmallow schema")
    return schema


def _title(module: Any, name: str) -> str:
    package = inspect.getmodule(module)
    parent = getattr(package, "__package__", "") or ""
    documented = sys.modules.get(parent, package)
    text = str(getattr(documented, "__doc__", None) or "").strip() or name
    return text.splitlines()[0].rstrip(".。")
