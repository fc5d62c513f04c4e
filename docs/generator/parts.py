"""Pages of the plugins that come with micl, one for each kind, from the registry: summary, description, options."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from generator.markdown import code, escaped, page, prose, table
from micl_cli.api.deviations import deviations_of
from micl_cli.api.options import Option, options_of
from micl_cli.api.resources import Resources
from micl_cli.registry import KINDS, Part, Registry

FOLDER = "reference/plugins"
DISTRIBUTION = "micl-cli"
INTRODUCTIONS = {
    "tasks": "Tasks that micl makes itself. Tasks of published benchmarks are those of [readers](readers.md).",
    "readers": "Readers find the files of a published benchmark on your disk: `micl prepare BENCHMARK --root DIR`.",
    "formats": "Formats of your own data: `micl prepare --from FILE --format NAME`. "
    "See [formats of your own data](../../own-data.md).",
    "modalities": "Modalities decode media.",
    "backbones": "The frozen base model: `--backbone NAME` or `--backbone NAME:PRESET`, options by `-b NAME VALUE`.",
    "strategies": "What is done against forgetting: `--strategy NAME`, options by `-o NAME VALUE`. "
    "[Methods](../../methods.md) helps to choose.",
    "routers": "How the strategy `router` chooses an expert: `-o router NAME`.",
    "metrics": "How answers are scored. [Metrics](../../metrics.md) has the rules and sources of the general ones.",
    "encoders": "Encoders of the backbone `composed`, by the name that presets use as `family`.",
    "adapters": "Kinds of adapters, which strategies choose.",
    "listeners": "Consumers of the events of a run: `--listen NAME`, options in `[listen.NAME]` of `micl.toml`.",
}


def pages() -> dict[str, str]:
    """Return the pages by path: one for each kind of plugin, and a list of the kinds."""
    registry = Registry.discover()
    rows, found = [], {}
    for kind in KINDS:
        parts = [part for part in registry.parts(kind) if part.distribution == DISTRIBUTION]
        title = kind.capitalize()
        found[f"{FOLDER}/{kind}.md"] = page(title, INTRODUCTIONS[kind], *_sections(registry, kind, parts))
        rows.append((f"[{title}]({kind}.md)", len(parts), f"`micl plugins --kind {kind}`"))
    listed = table(["kind", "come with micl", "all that are installed"], rows)
    return {f"{FOLDER}/index.md": page("Plugins", listed), **found}


def _sections(registry: Registry, kind: str, parts: list[Part]) -> Iterator[str]:
    yield table(
        ["name", "summary"], [(f"[`{part.name}`](#{anchor(part.name)})", escaped(part.summary)) for part in parts]
    )
    for part in parts:
        cls = registry.load(kind, part.name)
        yield f"## `{part.name}` {{ #{anchor(part.name)} }}"
        yield escaped(part.summary[:1].upper() + part.summary[1:]) + "." if part.summary else ""
        yield prose(inspect.getdoc(cls) or "")
        yield from _facts(kind, cls, registry)
        yield prose(deviations_of(cls))
        yield table(["option", "type", "default", "description"], map(option_row, options_of(cls).values()))


def anchor(name: str) -> str:
    """Return the anchor of a plugin on its page."""
    return name.replace("/", "-")


def option_row(option: Option) -> tuple[str, str, str, str]:
    """Return name, type, default and description of an option, with its range and search space."""
    facts = [str(option.range or ""), f"search space {option.search}" if option.search else ""]
    facts_text = "; ".join(filter(None, facts))
    default = "required" if option.required else "none" if option.default is None else str(option.default) or '""'
    if isinstance(option.default, bool):
        default = default.lower()
    text = f"{option.help} ({facts_text})" if facts_text else option.help
    return code(option.name), escaped(option.type_name), code(default), escaped(text)


def _facts(kind: str, cls: Any, registry: Registry) -> Iterator[str]:
    """Yield what the class of a kind of plugin states about itself."""
    if kind == "metrics":
        low, high = cls.scale
        types = f" Reported for tasks of type {', '.join(sorted(cls.task_types))}." if cls.task_types else ""
        yield f"Scale {low:g} to {high:g}, shown x100. Version {cls.version}.{types}"
    elif kind == "tasks":
        yield f"Type {cls.type}, modality {', '.join(sorted(cls.modalities))}, metric `{cls.metric}`."
    elif kind == "readers":
        yield from _reader(cls)
    elif kind == "backbones":
        yield from _presets(cls, registry)


def _reader(cls: Any) -> Iterator[str]:
    """Yield the tasks of a reader, with the metric of each scorer, and its orders."""
    rows = [
        (
            code(name),
            task.type,
            ", ".join(sorted(task.modalities)) or "text",
            _pairs(task.scorers),
            _codes(task.prompts),
        )
        for name, task in cls.tasks.items()
    ]
    yield table(["task", "type", "modality", "scorer: metric", "prompts"], rows)


def _presets(cls: Any, registry: Registry) -> Iterator[str]:
    presets = cls.presets(Resources(Path("home"), registry.load))
    rows = [
        (code(each.name), escaped(each.summary), ", ".join(sorted(each.modalities)), each.licence) for each in presets
    ]
    yield table(["preset", "summary", "modalities", "licence"], rows)


def _pairs(scorers: Any) -> str:
    return ", ".join(f"{name}: `{metric}`" for name, metric in scorers.items())


def _codes(names: Any) -> str:
    return ", ".join(map(code, names))
