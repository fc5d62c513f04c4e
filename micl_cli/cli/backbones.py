"""``micl backbones``: the models that are known by name, and getting their weights."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from micl_cli.cli.console import echo, echo_json, manner, note, table
from micl_cli.cli.groups import DefaultGroup
from micl_cli.errors import UsageError, nearest
from micl_cli.registry import Registry

if TYPE_CHECKING:
    from tqdm import tqdm

    from micl_cli.api.weights import PresetInfo


@click.group(cls=DefaultGroup)
def backbones() -> None:
    """List models that are known by name, or get one's weights. Without a command: list.

    \b
    Examples:
      micl backbones
      micl backbones fetch smol
    """


@backbones.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_(as_json: bool) -> None:
    """List presets: size, what they see and hear, licence, source, whether they are here.

    Any other checkpoint of transformers is --backbone hf:ID or hf:FOLDER.

    \b
    Example: micl backbones
    """
    found = _known()
    if as_json:
        echo_json([{"backbone": f"{owner}:{info.name}", **info.as_json()} for owner, _, info in found])
        return
    rows = [[f"{owner}:{info.name}", *_row(info)] for owner, _, info in found]
    echo(table(["backbone", "state", "parameters", "size", "takes", "licence", "source"], rows))


@backbones.command()
@click.argument("name")
def fetch(name: str) -> None:
    """Get the weights of a model, once; afterwards it needs no network.

    NAME is a preset of `micl backbones`, or BACKBONE:PRESET as --backbone takes it: any checkpoint's id on the hub,
    with @REVISION behind it to pin a commit, or a preset file of your own. A broken download goes on where it stopped,
    and what comes is checked by its digest.

    \b
    Examples:
      micl backbones fetch smol
      micl backbones fetch hf:Qwen/Qwen2.5-VL-3B-Instruct
      micl backbones fetch composed:mine.toml
    """
    backbone, preset = _wanted(name)
    bars = _Bars()
    try:
        backbone.fetch(preset, bars.tell)
    finally:
        bars.close()
    note(f"{preset} is here; it needs no network from now on")


def _wanted(name: str) -> tuple[Any, str]:
    """(backbone's class, preset). Raises UsageError or PluginError where there is none."""
    owner, colon, preset = name.partition(":")
    if colon:
        return Registry.discover().load("backbones", owner), preset
    found = _known()
    known = {info.name: (owner, cls) for owner, cls, info in found if info.fetchable}
    if name not in known:
        if any(info.name == name and info.ready for _, _, info in found):
            raise UsageError(f"{name} is here already", "It needs no download.")
        some = ", ".join(sorted(f"{owner}:{preset}" for preset, (owner, _) in known.items()))
        hint = nearest(name, known) or f"What can be fetched: {some or 'nothing'}."
        raise UsageError(f"no preset {name!r} that can be fetched", hint)
    return known[name][1], name


def _known() -> list[tuple[str, Any, PresetInfo]]:
    """(backbone, its class, preset) of every backbone that loads."""
    registry = Registry.discover()
    parts = [part for part in registry.parts("backbones") if part.state == "ok"]
    classes = [(part.name, registry.load("backbones", part.name)) for part in parts]
    return [(name, cls, info) for name, cls in classes for info in cls.presets()]


def _state(info: PresetInfo) -> str:
    return "here" if info.ready else "to fetch" if info.fetchable else "hub"


def _row(info: PresetInfo) -> list[str]:
    takes = ", ".join(sorted(info.modalities))
    return [_state(info), _count(info.parameters), _size(info.bytes), takes, info.licence, info.source]


def _count(parameters: int) -> str:
    if parameters >= 1e9:
        return f"{parameters / 1e9:.1f} B"
    return f"{parameters / 1e6:.0f} M" if parameters else "-"


def _size(count: int) -> str:
    if count >= 1e9:
        return f"{count / 1e9:.1f} GB"
    return f"{count / 1e6:.0f} MB" if count else "-"


class _Bars:
    """A progress bar for each file, on a terminal; else a line."""

    def __init__(self) -> None:
        self._name = ""
        self._bar: tqdm[Any] | None = None

    def tell(self, name: str, done: int, total: int) -> None:
        """Show how far ``name`` is."""
        if name != self._name:
            self.close()
            self._name = name
            self._open(name, total)
        if self._bar is not None:
            self._bar.update(done - self._bar.n)

    def _open(self, name: str, total: int) -> None:
        if manner.quiet or not sys.stderr.isatty():
            note(f"fetching {name} ({_size(total)})")
            return
        from tqdm import tqdm

        self._bar = tqdm(total=total, desc=name, unit="B", unit_scale=True, leave=False, file=sys.stderr)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
