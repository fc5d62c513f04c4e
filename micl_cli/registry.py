"""What is installed: plugins found by their entry points, and the parts that they announce.

Finding a plugin imports its light announcing module; a part's class is imported when it is
asked for. Each plugin is loaded alone and guarded, so that a broken one costs only itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any, Literal

from micl_cli.errors import PluginError, UsageError, nearest

if TYPE_CHECKING:
    # Imported where it is used: `micl --help` lists extra commands through this module.
    import pluggy

GROUP = "micl"
COMMANDS_GROUP = "micl.commands"
PLUGIN = "plugin"
"""The kind under which a plugin itself is listed: where it is broken, or only listens."""

KINDS = {
    "tasks": ("task", "micl_cli.api.task:TaskSource"),
    "modalities": ("modality", "micl_cli.api.modality:Modality"),
    "backbones": ("backbone", "micl_cli.api.backbone:Backbone"),
    "strategies": ("strategy", "micl_cli.api.strategy:Strategy"),
    "routers": ("router", "micl_cli.api.router:Router"),
    "metrics": ("metric", "micl_cli.api.metric:Metric"),
    "encoders": ("encoder", "micl_cli.api.encoder:Encoder"),
    "adapters": ("adapter", "micl_cli.api.adapter_kinds:AdapterKind"),
    "listeners": ("listener", "micl_cli.api.listener:Listener"),
}
"""Kinds by their plural name: (singular, the class that every part of the kind extends)."""

# A plugin that calls sys.exit on import is broken too, and must not end the command.
_FAILURES = (Exception, SystemExit)
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_NAME = re.compile(r"[A-Za-z0-9][\w.+/-]*")

State = Literal["ok", "broken", "ambiguous"]


@dataclass(frozen=True)
class Part:
    """Something installed. ``target`` is "module:Class"; ``error`` tells why a broken one is broken."""

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
        """``distribution:name``, which is never ambiguous."""
        return f"{self.distribution}:{self.name}"


@dataclass(frozen=True)
class _Plugin:
    """A registered plugin: its entry point's name, its distribution, and what pluggy holds."""

    name: str
    distribution: str
    version: str
    module: Any

    @property
    def key(self) -> str:
        return f"{self.distribution}:{self.name}"


def kind_name(word: str) -> str:
    """The plural name of a kind, from either form. Raises UsageError for anything else."""
    for plural, (singular, _) in KINDS.items():
        if word.lower() in (plural, singular):
            return plural
    hint = nearest(word, KINDS) or f"Kinds: {', '.join(KINDS)}."
    raise UsageError(f"there is no kind of plugin called {word!r}", hint)


def command_entry_points() -> dict[str, metadata.EntryPoint]:
    """The extra commands that distributions announce in ``micl.commands``; none is imported.

    The first by distribution name keeps a name that two of them announce.
    """
    found: dict[str, metadata.EntryPoint] = {}
    for _, points in _entry_points(COMMANDS_GROUP):
        for point in points:
            found.setdefault(point.name, point)
    return found


class Registry:
    """The installed plugins, their parts, and their listeners."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self._plugins: list[_Plugin] = []
        self._parts: list[Part] = []
        self._muted: set[str] = set()

    @classmethod
    def discover(cls) -> Registry:
        """Find every plugin that an installed distribution announces, in a fixed order."""
        registry = cls()
        for distribution, points in _entry_points(GROUP, registry._broken):
            for point in sorted(points, key=lambda point: (point.name, point.value)):
                registry._add(point, _canonical(distribution.metadata["Name"]), distribution.version)
        registry._mark_ambiguous()
        return registry

    @property
    def hooks(self) -> pluggy.HookRelay:
        """The lifecycle hooks, unguarded; ``notify`` is what a run calls."""
        return self._manager.hook

    def parts(self, kind: str | None = None) -> list[Part]:
        """What is installed, by kind and name; all kinds, and broken plugins, where none is named."""
        wanted = kind if kind in (None, PLUGIN) else kind_name(kind)
        order = [*KINDS, PLUGIN]
        chosen = [part for part in self._parts if wanted in (None, part.kind)]
        return sorted(chosen, key=lambda part: (order.index(part.kind), part.name, part.distribution))

    def find(self, kind: str, name: str) -> Part:
        """The part called ``name`` or ``distribution:name``.

        Raises PluginError where there is none, or two distributions announce the name.
        """
        kind = kind_name(kind)
        distribution, _, bare = name.rpartition(":")
        named = [part for part in self._parts if part.kind == kind and part.name == bare]
        found = [part for part in named if not distribution or part.distribution == _canonical(distribution)]
        if not found:
            raise self._unknown(kind, name)
        if len(found) > 1:
            choices = " or ".join(sorted({part.qualified for part in found}))
            raise PluginError(
                f"{KINDS[kind][0]} {name!r} is ambiguous: it is announced {len(found)} times", f"Say which: {choices}."
            )
        return found[0]

    def load(self, kind: str, name: str) -> type[Any]:
        """Import the class of a part. Raises PluginError where it is unknown, ambiguous or broken."""
        part = self.find(kind, name)
        singular, base = KINDS[part.kind]
        try:
            found = _import(part.target)
        except _FAILURES as error:
            raise _broken_part(part, f"cannot be loaded: {_line(error)}") from error
        if not isinstance(found, type) or not issubclass(found, _import(base)):
            raise _broken_part(part, f"is no {singular}: {part.target} does not extend {base.replace(':', '.')}")
        return found

    def notify(self, hook: str, **values: Any) -> list[str]:
        """Tell every listener. One that raises is skipped from then on; returns what to warn of."""
        return self._call(hook, values)[1]

    def collect(self, hook: str, **values: Any) -> list[Any]:
        """What listeners return, None left out, in the plugins' order; failures go to ``warnings``."""
        results, warnings = self._call(hook, values)
        self.warnings += warnings
        return results

    def _call(self, hook: str, values: dict[str, Any]) -> tuple[list[Any], list[str]]:
        results: list[Any] = []
        warnings: list[str] = []
        listening = {id(impl.plugin) for impl in getattr(self.hooks, hook).get_hookimpls()}
        for plugin in self._plugins:
            if id(plugin.module) not in listening or plugin.key in self._muted:
                continue
            try:
                results += self._alone(plugin, hook)(**values)
            except _FAILURES as error:
                self._muted.add(plugin.key)
                who = f"plugin {plugin.name!r} of {plugin.distribution} {plugin.version}"
                warnings.append(f"{who} failed in {hook} and is skipped from now on: {_line(error)}")
        return results, warnings

    @cached_property
    def _manager(self) -> pluggy.PluginManager:
        import pluggy

        from micl_cli.api.hookspecs import PROJECT, Hooks

        manager = pluggy.PluginManager(PROJECT)
        manager.add_hookspecs(Hooks)
        return manager

    def _alone(self, plugin: _Plugin, hook: str) -> Callable[..., Any]:
        """The hook, called for one plugin only."""
        others = [module for module in self._manager.get_plugins() if module is not plugin.module]
        return self._manager.subset_hook_caller(hook, others)

    def _add(self, point: metadata.EntryPoint, distribution: str, version: str) -> None:
        key = f"{distribution}:{point.name}"
        announced: list[Part] = []
        try:
            module = point.load()
            if self._manager.is_registered(module):
                return
            self._manager.register(module, key)
            self._manager.check_pending()
            plugin = _Plugin(point.name, distribution, version, module)
            for kind in KINDS:
                self._alone(plugin, f"micl_register_{kind}")(register=_announcer(plugin, kind, announced))
        except _FAILURES as error:
            if self._manager.has_plugin(key):
                self._manager.unregister(name=key)
            self._broken(point.name, distribution, version, _line(error), point.value)
            return
        self._plugins.append(plugin)
        self._parts += announced or [self._listener(plugin, point.value)]

    def _listener(self, plugin: _Plugin, target: str) -> Part:
        callers = self._manager.get_hookcallers(plugin.module) or []
        heard = sorted(caller.name for caller in callers if not caller.name.startswith("micl_register_"))
        summary = f"listens to {', '.join(heard)}" if heard else "announces nothing"
        return Part(PLUGIN, plugin.name, target, summary, plugin.distribution, plugin.version)

    def _broken(self, name: str, distribution: str, version: str, error: str, target: str = "") -> None:
        self._parts.append(Part(PLUGIN, name, target, "", distribution, version, "broken", error))

    def _mark_ambiguous(self) -> None:
        names = [(part.kind, part.name) for part in self._parts if part.kind != PLUGIN]
        twice = {name for name in names if names.count(name) > 1}
        self._parts = [replace(p, state="ambiguous") if (p.kind, p.name) in twice else p for p in self._parts]

    def _unknown(self, kind: str, name: str) -> PluginError:
        known = {part.name for part in self._parts if part.kind == kind}
        words = [nearest(name, known), f"List them with `micl plugins --kind {kind}`."]
        words += [
            f"Plugin {part.name!r} of {part.distribution} is broken: {part.error}"
            for part in self._parts
            if part.state == "broken"
        ]
        return PluginError(f"no {KINDS[kind][0]} {name!r}", " ".join(filter(None, words)))


def _announcer(plugin: _Plugin, kind: str, announced: list[Part]) -> Callable[..., None]:
    """What a plugin's announcing hook is handed as ``register``."""

    def register(name: str, target: str, summary: str = "") -> None:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a name: letters, digits and any of _ . + / - are")
        if not _TARGET.fullmatch(target):
            raise ValueError(f"{target!r} is not a target: write module:Class")
        if any((part.kind, part.name) == (kind, name) for part in announced):
            raise ValueError(f"{KINDS[kind][0]} {name!r} is announced twice")
        announced.append(Part(kind, name, target, summary, plugin.distribution, plugin.version))

    return register


def _entry_points(
    group: str, broken: Callable[[str, str, str, str], None] | None = None
) -> Iterator[tuple[metadata.Distribution, list[metadata.EntryPoint]]]:
    """Distributions that announce entry points in ``group``, by name, each once.

    ``importlib.metadata.entry_points`` fails as a whole where one installed file is malformed.
    Where a distribution is on the path twice, only the one that Python would import counts.
    """
    for name in sorted(_announcing(group)):
        try:
            distribution = metadata.distribution(name)
            points = [point for point in distribution.entry_points if point.group == group]
        except _FAILURES as error:
            if broken:
                broken(name, name, "", f"its entry points cannot be read: {_line(error)}")
            continue
        if points:
            yield distribution, points


def _announcing(group: str) -> set[str]:
    """Canonical names of the distributions whose entry points mention ``group``."""
    names = set()
    for distribution in metadata.distributions():
        try:
            if f"[{group}]" in (distribution.read_text("entry_points.txt") or ""):
                names.add(_canonical(distribution.metadata["Name"]))
        except _FAILURES:
            # A half-removed distribution has no name to be reported under.
            continue
    return names


def _canonical(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _import(target: str) -> Any:
    module, _, path = target.partition(":")
    found: Any = import_module(module)
    for name in path.split("."):
        found = getattr(found, name)
    return found


def _broken_part(part: Part, why: str) -> PluginError:
    who = f"{KINDS[part.kind][0]} {part.name!r} of {part.distribution} {part.version}"
    ways = f"upgrade it (pip install -U {part.distribution}) or remove it (pip uninstall {part.distribution})"
    return PluginError(f"{who} {why}", f"See `micl plugins`; {ways}.")


def _line(error: BaseException) -> str:
    """An error as one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
