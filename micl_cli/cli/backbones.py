"""``micl backbones``: list models, and download their weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from micl_cli.api.resources import Resources
from micl_cli.cli.completers import complete_presets
from micl_cli.cli.console import echo, echo_json, note, table
from micl_cli.cli.context import current_settings
from micl_cli.cli.groups import DefaultGroup
from micl_cli.cli.status import DownloadBars, quiet_libraries, size_text
from micl_cli.errors import UsageError, nearest
from micl_cli.plan import BackboneName
from micl_cli.registry import Registry

if TYPE_CHECKING:
    from micl_cli.api.presets import PresetInfo


@click.group(cls=DefaultGroup)
def backbones() -> None:
    """List models by name, or download their weights. The default command is list.

    \b
    Examples:
      micl backbones
      micl backbones fetch smol
    """


@backbones.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_(as_json: bool) -> None:
    """List presets with their size, modalities, licence and source, and whether they are downloaded.

    Use any other transformers checkpoint as --backbone hf:ID or hf:FOLDER.

    \b
    Example: micl backbones
    """
    registry, resources = _installation()
    presets = _presets(registry, resources)
    if as_json:
        echo_json([{"backbone": f"{owner}:{info.name}", **info.as_json()} for owner, _, info in presets])
        return
    rows = [[f"{owner}:{info.name}", *_row(info)] for owner, _, info in presets]
    echo(table(["backbone", "state", "parameters", "size", "modalities", "licence", "source"], rows))


@backbones.command()
@click.argument("name", shell_complete=complete_presets)
def fetch(name: str) -> None:
    """Download the weights of a model. Afterwards it works without a network.

    NAME is a preset of `micl backbones`, or BACKBONE:PRESET as --backbone takes it: the id of a checkpoint on the hub,
    with @REVISION to pin a commit, or your own preset file. An interrupted download is resumed, and files are verified
    by their digest.

    \b
    Examples:
      micl backbones fetch smol
      micl backbones fetch hf:Qwen/Qwen2.5-VL-3B-Instruct
      micl backbones fetch composed:mine.toml
    """
    registry, resources = _installation()
    backbone, preset = _fetchable(name, registry, resources)
    bars = DownloadBars()
    try:
        with quiet_libraries():
            backbone.fetch(preset, bars.update, resources)
    finally:
        bars.close()
    note(f"{preset} is downloaded and works without a network")


def _installation() -> tuple[Registry, Resources]:
    registry = Registry.discover()
    return registry, Resources(current_settings().home, registry.load)


def _fetchable(name: str, registry: Registry, resources: Resources) -> tuple[Any, str]:
    """Return (backbone class, preset). Raises UsageError or PluginError if there is nothing to download."""
    if ":" in name:
        backbone = BackboneName.parse(name, registry)
        return registry.load("backbones", backbone.name), backbone.argument
    presets = _presets(registry, resources)
    fetchable = {info.name: (owner, cls) for owner, cls, info in presets if info.fetchable}
    if name not in fetchable:
        if any(info.name == name and info.ready for _, _, info in presets):
            raise UsageError(f"{name} is already downloaded", "It works without a network.")
        names = ", ".join(sorted(f"{owner}:{preset}" for preset, (owner, _) in fetchable.items()))
        hint = nearest(name, fetchable) or f"Models that can be downloaded: {names or 'none'}."
        raise UsageError(f"no preset {name!r} that can be downloaded", hint)
    return fetchable[name][1], name


def _presets(registry: Registry, resources: Resources) -> list[tuple[str, Any, PresetInfo]]:
    """Return (backbone, its class, preset) for the presets of all backbones that are not broken."""
    parts = [part for part in registry.parts("backbones") if part.state == "ok"]
    classes = [(part.name, registry.load("backbones", part.name)) for part in parts]
    return [(name, cls, info) for name, cls in classes for info in cls.presets(resources)]


def fetchable_presets(home: Path) -> list[str]:
    """Return the names of the presets whose weights can be downloaded into a home folder."""
    registry = Registry.discover()
    presets = _presets(registry, Resources(home, registry.load))
    return sorted({info.name for _, _, info in presets if info.fetchable})


def _state(info: PresetInfo) -> str:
    return "ready" if info.ready else "to fetch" if info.fetchable else "hub"


def _row(info: PresetInfo) -> list[str]:
    modalities = ", ".join(sorted(info.modalities))
    return [_state(info), _count(info.parameters), size_text(info.bytes), modalities, info.licence, info.source]


def _count(parameters: int) -> str:
    if parameters >= 1e9:
        return f"{parameters / 1e9:.1f} B"
    return f"{parameters / 1e6:.0f} M" if parameters else "-"
