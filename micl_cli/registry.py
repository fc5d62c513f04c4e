"""The registry: installed plugins, discovered by entry points, and the parts (strategies, tasks, ...) they register.

Discovery only imports the small module in which a plugin registers its parts; the class of a part is imported when it
is used. Plugins are loaded independently, so that a broken one does not affect the others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any, Literal

from micl_cli.errors import MiclError, PluginError, UsageError, nearest

if TYPE_CHECKING:
    # Imported on use, since `micl --help` imports this module to list the commands of plugins.
    import pluggy

GROUP = "micl"
COMMANDS_GROUP = "micl.commands"
PLUGIN = "plugin"
"""The kind that broken plugins and plugins without parts are listed as."""

KINDS = {
    "tasks": ("task", "micl_cli.api.task:TaskSource"),
    "readers": ("reader", "micl_cli.api.reader:Reader"),
    "formats": ("format", "micl_cli.api.format:Format"),
    "modalities": ("modality", "micl_cli.api.modality:Modality"),
    "backbones": ("backbone", "micl_cli.api.backbone:Backbone"),
    "strategies": ("strategy", "micl_cli.api.strategy:Strategy"),
    "routers": ("router", "micl_cli.api.router:Router"),
    "metrics": ("metric", "micl_cli.api.metric:Metric"),
    "encoders": ("encoder", "micl_cli.api.encoder:Encoder"),
    "adapters": ("adapter", "micl_cli.api.adapter_kinds:AdapterKind"),
    "listeners": ("listener", "micl_cli.api.listener:Listener"),
}
"""Plugin kinds by plural name: (singular, base class of all parts of the kind)."""

# SystemExit: a plugin that calls sys.exit is broken, and must not end the command.
FAILURES = (Exception, SystemExit)
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_NAME = re.compile(r"[A-Za-z0-9][\w.+/-]*")

State = Literal["ok", "broken", "ambiguous"]


@dataclass(frozen=True)
class Part:
    """A class that a plugin registers. ``target`` is "module:Class"; ``error`` is the reason if it is broken."""

    kind: str
    name: str
    target: str
    summary: str
    distribution: str
    version: str
    state: State = "ok"
    error: str = ""

    @property
    def qualified(self) -> str:
        """The unambiguous name, ``distribution:name``."""
        return f"{self.distribution}:{self.name}"


@dataclass(frozen=True)
class _Plugin:
    """An installed plugin: the name of its entry point, its distribution, and its module."""

    name: str
    distribution: str
    version: str
    module: Any

    @property
    def key(self) -> str:
        return f"{self.distribution}:{self.name}"


def kind_name(word: str) -> str:
    """Return the plural name of a plugin kind, given either form. Raises UsageError if it is unknown."""
    for plural, (singular, _) in KINDS.items():
        if word.lower() in (plural, singular):
            return plural
    hint = nearest(word, KINDS) or f"Kinds: {', '.join(KINDS)}."
    raise UsageError(f"unknown plugin kind {word!r}", hint)


def command_entry_points() -> dict[str, metadata.EntryPoint]:
    """Return the commands that distributions register in ``micl.commands``, without importing them.

    If two distributions register the same name, the distribution whose name sorts first takes precedence.
    """
    commands: dict[str, metadata.EntryPoint] = {}
    for _, points in _entry_points(COMMANDS_GROUP):
        for point in points:
            commands.setdefault(point.name, point)
    return commands


class Registry:
    """The installed plugins, their parts, and their event hooks."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self._plugins: list[_Plugin] = []
        self._parts: list[Part] = []
        self._failed: set[str] = set()

    @classmethod
    def discover(cls) -> Registry:
        """Return a registry of the plugins of all installed distributions, in a fixed order."""
        registry = cls()
        for distribution, points in _entry_points(GROUP, registry._broken):
            for point in sorted(points, key=lambda point: (point.name, point.value)):
                registry._add(point, _canonical(distribution.metadata["Name"]), distribution.version)
        registry._mark_ambiguous()
        return registry

    @property
    def hooks(self) -> pluggy.HookRelay:
        """The hooks of all plugins, unguarded; use ``notify`` or ``collect`` to call them."""
        return self._manager.hook

    def parts(self, kind: str | None = None) -> list[Part]:
        """Return the parts of a kind, sorted by name, or all parts and broken plugins by kind if ``kind`` is None."""
        plural = kind if kind in (None, PLUGIN) else kind_name(kind)
        order = [*KINDS, PLUGIN]
        parts = [part for part in self._parts if plural in (None, part.kind)]
        return sorted(parts, key=lambda part: (order.index(part.kind), part.name, part.distribution))

    def find(self, kind: str, name: str) -> Part:
        """Return the part named ``name`` or ``distribution:name``.

        Raises PluginError if there is none, or if several distributions register the name.
        """
        kind = kind_name(kind)
        distribution, _, bare = name.rpartition(":")
        namesakes = [part for part in self._parts if part.kind == kind and part.name == bare]
        matches = [part for part in namesakes if not distribution or part.distribution == _canonical(distribution)]
        if not matches:
            raise self._unknown(kind, name)
        if len(matches) > 1:
            choices = " or ".join(sorted({part.qualified for part in matches}))
            raise PluginError(
                f"{KINDS[kind][0]} {name!r} is ambiguous: it is registered {len(matches)} times", f"Use {choices}."
            )
        return matches[0]

    def load(self, kind: str, name: str) -> type[Any]:
        """Import and return the class of a part. Raises PluginError if it is unknown, ambiguous or broken."""
        part = self.find(kind, name)
        singular, base = KINDS[part.kind]
        try:
            cls = _import(part.target)
        except FAILURES as error:
            raise _broken_part(part, f"cannot be loaded: {error_line(error)}") from error
        if not isinstance(cls, type) or not issubclass(cls, _import(base)):
            why = f"{part.target} does not extend {base.replace(':', '.')}"
            raise _broken_part(part, f"is not a valid {singular}: {why}")
        return cls

    def benchmark_tasks(self, name: str) -> tuple[str, ...]:
        """Return the full task names of a benchmark, or of one of its orders as "benchmark:order", in order.

        Returns an empty tuple for an unknown benchmark. Raises UsageError for an unknown order, PluginError for a
        broken reader.
        """
        benchmark, _, order = name.partition(":")
        if any(part.name == benchmark for part in self.parts("readers")):
            reader = self.load("readers", benchmark)
            if order and order not in reader.orders:
                known = ", ".join(reader.orders) or "only the default one"
                raise UsageError(f"benchmark {benchmark} has no order {order!r}", f"Orders: {known}.")
            return tuple(f"{benchmark}/{task}" for task in reader.sequence(order))
        registered = [part.name for part in self._parts if part.kind == "tasks" and not order]
        return tuple(task for task in registered if task.startswith(f"{benchmark}/"))

    def notify(self, hook: str, **values: Any) -> list[str]:
        """Call a hook of every plugin. Returns warnings; a plugin that raises is not called again."""
        return self._call(hook, values)[1]

    def collect(self, hook: str, **values: Any) -> list[Any]:
        """Return the results of a hook, without None, in the order of plugins. Failures are added to ``warnings``."""
        results, warnings = self._call(hook, values)
        self.warnings += warnings
        return results

    def _call(self, hook: str, values: dict[str, Any]) -> tuple[list[Any], list[str]]:
        results: list[Any] = []
        warnings: list[str] = []
        implementing = {id(impl.plugin) for impl in getattr(self.hooks, hook).get_hookimpls()}
        for plugin in self._plugins:
            if id(plugin.module) not in implementing or plugin.key in self._failed:
                continue
            try:
                results += self._caller(plugin, hook)(**values)
            except FAILURES as error:
                self._failed.add(plugin.key)
                failed = f"plugin {plugin.name!r} of {plugin.distribution} {plugin.version} failed in {hook}"
                warnings.append(f"{failed} and is skipped from now on: {error_line(error)}")
        return results, warnings

    @cached_property
    def _manager(self) -> pluggy.PluginManager:
        import pluggy

        from micl_cli.api.hookspecs import PROJECT, Hooks

        manager = pluggy.PluginManager(PROJECT)
        manager.add_hookspecs(Hooks)
        return manager

    def _caller(self, plugin: _Plugin, hook: str) -> Callable[..., Any]:
        """Return a function that calls a hook of one plugin only."""
        others = [module for module in self._manager.get_plugins() if module is not plugin.module]
        return self._manager.subset_hook_caller(hook, others)

    def _add(self, point: metadata.EntryPoint, distribution: str, version: str) -> None:
        key = f"{distribution}:{point.name}"
        parts: list[Part] = []
        try:
            module = point.load()
            if self._manager.is_registered(module):
                return
            self._manager.register(module, key)
            self._manager.check_pending()
            plugin = _Plugin(point.name, distribution, version, module)
            for kind in KINDS:
                self._caller(plugin, f"micl_register_{kind}")(register=_register_function(plugin, kind, parts))
        except FAILURES as error:
            if self._manager.has_plugin(key):
                self._manager.unregister(name=key)
            self._broken(point.name, distribution, version, error_line(error), point.value)
            return
        self._plugins.append(plugin)
        self._parts += parts or [self._entry_without_parts(plugin, point.value)]

    def _entry_without_parts(self, plugin: _Plugin, target: str) -> Part:
        """Return the entry for the list of plugins if a plugin registers no part."""
        callers = self._manager.get_hookcallers(plugin.module) or []
        hooks = sorted(caller.name for caller in callers if not caller.name.startswith("micl_register_"))
        summary = f"implements {', '.join(hooks)}" if hooks else "registers nothing"
        return Part(PLUGIN, plugin.name, target, summary, plugin.distribution, plugin.version)

    def _broken(self, name: str, distribution: str, version: str, error: str, target: str = "") -> None:
        self._parts.append(Part(PLUGIN, name, target, "", distribution, version, "broken", error))

    def _mark_ambiguous(self) -> None:
        names = [(part.kind, part.name) for part in self._parts if part.kind != PLUGIN]
        ambiguous = {name for name in names if names.count(name) > 1}
        self._parts = [replace(p, state="ambiguous") if (p.kind, p.name) in ambiguous else p for p in self._parts]

    def _unknown(self, kind: str, name: str) -> PluginError:
        known = {part.name for part in self._parts if part.kind == kind}
        hints = [nearest(name, known), f"List them with `micl plugins --kind {kind}`."]
        hints += [
            f"Plugin {part.name!r} of {part.distribution} is broken: {part.error}"
            for part in self._parts
            if part.state == "broken"
        ]
        return PluginError(f"no {KINDS[kind][0]} {name!r}", " ".join(filter(None, hints)))


def _register_function(plugin: _Plugin, kind: str, parts: list[Part]) -> Callable[..., None]:
    """Return the ``register`` argument of a plugin's ``micl_register_*`` hook, which adds to ``parts``."""

    def register(name: str, target: str, summary: str = "") -> None:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a valid name: use letters, digits and any of _ . + / -")
        if not _TARGET.fullmatch(target):
            raise ValueError(f"{target!r} is not a valid target: write module:Class")
        if any((part.kind, part.name) == (kind, name) for part in parts):
            raise ValueError(f"{KINDS[kind][0]} {name!r} is registered twice")
        parts.append(Part(kind, name, target, summary, plugin.distribution, plugin.version))

    return register


def _entry_points(
    group: str, broken: Callable[[str, str, str, str], None] | None = None
) -> Iterator[tuple[metadata.Distribution, list[metadata.EntryPoint]]]:
    """Yield each distribution with its entry points in ``group``, sorted by name.

    ``importlib.metadata.entry_points`` is not used because it fails completely if one installed file is malformed. If a
    distribution is on the path twice, the one that Python would import is yielded.
    """
    for name in sorted(_distributions(group)):
        try:
            distribution = metadata.distribution(name)
            points = [point for point in distribution.entry_points if point.group == group]
        except FAILURES as error:
            if broken:
                broken(name, name, "", f"its entry points cannot be read: {error_line(error)}")
            continue
        if points:
            yield distribution, points


def _distributions(group: str) -> set[str]:
    """Return the canonical names of the distributions with entry points in ``group``."""
    names = set()
    for distribution in metadata.distributions():
        try:
            if f"[{group}]" in (distribution.read_text("entry_points.txt") or ""):
                names.add(_canonical(distribution.metadata["Name"]))
        except FAILURES:
            # A partly removed distribution has no name to report.
            continue
    return names


def _canonical(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _import(target: str) -> Any:
    module, _, path = target.partition(":")
    value: Any = import_module(module)
    for name in path.split("."):
        value = getattr(value, name)
    return value


def _broken_part(part: Part, why: str) -> PluginError:
    subject = f"{KINDS[part.kind][0]} {part.name!r} of {part.distribution} {part.version}"
    hint = f"upgrade it (pip install -U {part.distribution}) or remove it (pip uninstall {part.distribution})"
    return PluginError(f"{subject} {why}", f"See `micl plugins`; {hint}.")


def error_line(error: BaseException) -> str:
    """Return the type and message of an error as one line; the message and the hint of one that users can act on."""
    if isinstance(error, MiclError):
        return " ".join(f"{error.message.rstrip('.')}. {error.hint}".split()) if error.hint else error.message
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
