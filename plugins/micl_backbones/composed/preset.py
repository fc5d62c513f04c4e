"""Presets: TOML files that describe the components of a composed backbone."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from micl_backbones.composed.schema import check_places, check_preset
from micl_backbones.instructions import read_instructions
from micl_backbones.weights.digest import (
    RECORD,
    check_recorded,
    folder_digest,
    record_digests,
    sampled_digest,
    sampled_folder_digest,
)
from micl_backbones.weights.fetch import is_fetched
from micl_backbones.weights.hub import COMMIT, check_cached, commit_of, is_cached, snapshot_folder
from micl_cli.api import PlanError, PresetInfo, Resources, TextError, read_toml

PRESETS = Path(__file__).parents[1] / "presets"


@dataclass(frozen=True)
class Preset:
    """The content of a preset file. Its paths are relative to ``folder``; ``reference`` is the name or path given."""

    name: str
    reference: str
    folder: Path
    language: Mapping[str, Any]
    encoders: Mapping[str, Mapping[str, Any]]
    lora: Mapping[str, Any]
    connector: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    parts: list[Mapping[str, Any]] = field(default_factory=list)
    about: Mapping[str, Any] = field(default_factory=dict)

    def local(self, table: Mapping[str, Any]) -> Path | None:
        """Return the folder that a table's checkpoint names, relative to the preset's; None for a hub id or none."""
        folder = self.folder / Path(table["checkpoint"]).expanduser() if "checkpoint" in table else None
        return folder if folder and folder.is_dir() else None

    def located(self, table: Mapping[str, Any]) -> str:
        """Return the folder of a table's checkpoint: beside the preset file, or in the hub's cache, or else its id."""
        name, revision = table["checkpoint"], table.get("revision", "main")
        return str(self.local(table) or snapshot_folder(name, revision) or name)

    @property
    def tables(self) -> list[Mapping[str, Any]]:
        """The tables of the language model and of all encoders."""
        return [self.language, *self.encoders.values()]

    @property
    def checkpoints(self) -> list[tuple[str, str]]:
        """The distinct (id, revision) pairs of the preset's hub checkpoints."""
        of_hub = [table for table in self.tables if "checkpoint" in table and not self.local(table)]
        return list(dict.fromkeys((table["checkpoint"], table.get("revision", "main")) for table in of_hub))

    @property
    def ready(self) -> bool:
        """Whether all weights to be fetched are on this machine."""
        return self.fetched and all(is_cached(*checkpoint) for checkpoint in self.checkpoints)

    @property
    def fetched(self) -> bool:
        """Whether the parts from Python packages are on this machine."""
        return is_fetched(self.parts, self.folder)

    @property
    def fetch_command(self) -> str:
        """The shell command that fetches the weights."""
        return f"micl backbones fetch {'composed:' if self.reference.endswith('.toml') else ''}{self.reference}"


def known_presets() -> list[str]:
    """Return the names of the presets in this package."""
    return sorted(path.parent.name for path in PRESETS.glob("*/preset.toml"))


def find_preset(name: str) -> Path:
    """Return the path of a preset, given its name (``tiny``) or the path of a TOML file.

    Raises PlanError if neither exists.
    """
    path = Path(name) if name.endswith(".toml") else PRESETS / name / "preset.toml"
    if not path.is_file():
        known = ", ".join(known_presets())
        raise PlanError(
            f"no preset {name!r} of the composed backbone", f"Use one of: {known}; or the path of a .toml file."
        )
    return path


def resolved_preset(name: str) -> str:
    """Return the absolute path of a preset file; a name is returned as it is."""
    return os.path.normpath(Path(name).expanduser().absolute()) if name.endswith(".toml") else name


def preset_digest(name: str, resources: Resources) -> str:
    """Return a digest of a preset: of its file, and of the weights that it names.

    Of presets in this package and of fetched weights, recorded digests are checked instead. Raises PlanError.
    """
    path, preset = find_preset(name), read_preset(name, resources)
    for checkpoint, revision in preset.checkpoints:
        check_cached(checkpoint, revision, resources.file_digest)
    if preset.parts or path.parent.parent == PRESETS:
        _check_weights(preset, resources)
        record = preset.folder / RECORD
        has_own = not preset.parts and record.is_file()
        return _combined(path, preset, record.read_text(encoding="utf-8") if has_own else "")
    weights = [resources.file_digest(file) for file in _files(preset) if file.is_file()]
    weights += [folder_digest(folder, resources.file_digest) for folder in _folders(preset) if folder.is_dir()]
    return _combined(path, preset, repr(weights))


def former_preset_digests(name: str, resources: Resources) -> list[str]:
    """Return the digests that earlier versions recorded for a preset."""
    return [_sampled_digest(find_preset(name), read_preset(name, resources))]


def _combined(path: Path, preset: Preset, weights: str) -> str:
    """Return the digest of a preset file, of weights, and of the commits to which unpinned checkpoints resolve."""
    moving = [(name, revision) for name, revision in preset.checkpoints if not COMMIT.fullmatch(revision)]
    commits = "".join(f"{name}@{commit_of(name, revision)}" for name, revision in moving)
    return sha256(path.read_bytes() + weights.encode() + commits.encode()).hexdigest()


def _files(preset: Preset) -> list[Path]:
    named = [encoder["weights"] for encoder in preset.encoders.values() if "weights" in encoder]
    named += [preset.language["instructions"]] if "instructions" in preset.language else []
    return [preset.folder / name for name in named]


def _folders(preset: Preset) -> list[Path]:
    own = [preset.folder / preset.language["path"]] if "path" in preset.language else []
    return own + [folder for table in preset.tables if (folder := preset.local(table))]


def _check_weights(preset: Preset, resources: Resources) -> None:
    """Compare weights with their recorded digests; those fetched by an earlier version are recorded first."""
    digest = resources.file_digest
    if preset.parts and is_fetched(preset.parts, preset.folder):
        if not (preset.folder / RECORD).is_file():
            record_digests(preset.folder, digest)
        if (preset.folder / RECORD).is_file():
            check_recorded(preset.folder, digest, f"Remove {preset.folder}, then: {preset.fetch_command}")
    elif not preset.parts and (preset.folder / RECORD).is_file():
        check_recorded(preset.folder, digest, "Install micl again.")


def _sampled_digest(path: Path, preset: Preset) -> str:
    """Return the digest in the form of earlier versions, which is that of samples of the weights."""
    if preset.parts:
        return sha256(path.read_bytes()).hexdigest()
    files = [preset.folder / encoder["weights"] for encoder in preset.encoders.values() if "weights" in encoder]
    if "path" in preset.language:
        files += sorted((preset.folder / preset.language["path"]).glob("*.safetensors"))
    weights = [sampled_digest(file) for file in files if file.is_file()]
    folders = [folder for table in preset.tables if (folder := preset.local(table))]
    weights += [sampled_folder_digest(folder) for folder in folders]
    return sha256(path.read_bytes() + repr(weights).encode()).hexdigest()


def read_preset(name: str, resources: Resources) -> Preset:
    """Read a preset by name or path. Raises PlanError if it is missing or malformed."""
    path = find_preset(name)
    try:
        data = read_toml(path)
    except TextError as error:
        raise PlanError(f"{path} is not TOML: {error}", "Correct the preset file.") from error
    except (OSError, ValueError) as error:
        raise PlanError(f"{path} cannot be read: {error}", "Give a TOML file in UTF-8.") from error
    check_preset(path, data)
    parts = data.get("fetch", [])
    check_places(path, data["name"], parts, () if path.parent.parent == PRESETS else known_presets())
    return Preset(
        name=data["name"],
        reference=name,
        folder=resources.weights / data["name"] if parts else path.parent,
        language=data["language"],
        encoders=data["encoder"],
        lora=data["lora"],
        connector=data.get("connector", {}),
        training=data.get("training", {}),
        parts=parts,
        about={name: value for name, value in data.items() if not isinstance(value, (dict, list))},
    )


def instruction_texts(preset: Preset) -> Sequence[str] | None:
    """Return the texts in a preset's file of instructions, or None if it names none. Raises PlanError."""
    name = preset.language.get("instructions")
    if not name:
        return None
    return read_instructions(preset.folder / name)


def preset_info(preset: Preset) -> PresetInfo:
    """Return the description of a preset for `micl backbones`."""
    about = preset.about
    own = sum(path.stat().st_size for path in preset.folder.rglob("*") if path.is_file()) if preset.ready else 0
    fetched = sum(part["bytes"] for part in preset.parts)
    return PresetInfo(
        name=preset.name,
        summary=about.get("summary", ""),
        modalities=frozenset(preset.encoders),
        parameters=about.get("parameters", 0),
        bytes=about.get("bytes") or fetched or own,
        licence=about.get("licence", "MIT"),  # weights in this package have its licence
        source=about.get("source", "this package"),
        ready=preset.ready,
        fetchable=bool(preset.parts or preset.checkpoints),
    )
