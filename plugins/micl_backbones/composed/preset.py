"""Presets: TOML files that describe the components of a composed backbone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from micl_backbones.weights.digest import file_digest, folder_digest
from micl_backbones.weights.fetch import is_fetched
from micl_backbones.weights.hub import is_cached
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

    def checkpoint(self, name: str) -> str:
        """Return the path of a folder beside the preset file, or else the hub id or path as given."""
        return str(self.folder / name) if (self.folder / name).is_dir() else name

    @property
    def checkpoints(self) -> list[tuple[str, str]]:
        """The distinct (id, revision) pairs of the preset's hub checkpoints."""
        tables = [self.language, *self.encoders.values()]
        named = [(table["checkpoint"], table.get("revision", "main")) for table in tables if "checkpoint" in table]
        return list(dict.fromkeys((name, rev) for name, rev in named if not Path(self.checkpoint(name)).is_dir()))

    @property
    def ready(self) -> bool:
        """Whether all weights to be fetched are on this machine."""
        return is_fetched(self.parts, self.folder) and all(is_cached(*checkpoint) for checkpoint in self.checkpoints)

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


def preset_digest(name: str, resources: Resources) -> str:
    """Return a digest of a preset: of its file, and of the weights in the files and folders that it names."""
    path, preset = find_preset(name), read_preset(name, resources)
    if preset.parts:  # pinned in the file itself, and perhaps not fetched yet
        return sha256(path.read_bytes()).hexdigest()
    files = [preset.folder / encoder["weights"] for encoder in preset.encoders.values() if "weights" in encoder]
    if "path" in preset.language:
        files += sorted((preset.folder / preset.language["path"]).glob("*.safetensors"))
    weights = [file_digest(file) for file in files if file.is_file()]
    tables = [preset.language, *preset.encoders.values()]
    folders = [Path(preset.checkpoint(table["checkpoint"])) for table in tables if "checkpoint" in table]
    weights += [folder_digest(folder) for folder in folders if folder.is_dir()]
    return sha256(path.read_bytes() + repr(weights).encode()).hexdigest()


def read_preset(name: str, resources: Resources) -> Preset:
    """Read a preset by name or path. Raises PlanError if it is missing or malformed."""
    path = find_preset(name)
    try:
        data = read_toml(path)
        parts = data.get("fetch", [])
        _check_places(path, data["name"], parts)
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
    except OSError as error:
        raise PlanError(f"{path} cannot be read: {error.strerror}", "Correct its permissions.") from error
    except TextError as error:
        raise PlanError(f"{path} is not TOML: {error}", "Correct the preset file.") from error
    except KeyError as error:
        hint = "A preset needs name, [language], [encoder.MODALITY] and [lora]."
        raise PlanError(f"{path} lacks {error}", hint) from error


def _check_places(path: Path, name: Any, parts: list[Mapping[str, Any]]) -> None:
    """Raise PlanError if a preset would write outside its folder, or into that of an in-tree preset."""
    if not parts:
        return
    if not re.fullmatch(r"[\w-][\w.-]*", str(name)):
        raise PlanError(f"{path}: {name!r} is not a valid preset name", "Use letters, digits, '_', '-' and '.'.")
    if name in known_presets() and path.parent.parent != PRESETS:
        raise PlanError(f"{path}: {name} is the name of an in-tree preset", "Choose another name.")
    for value in (part[key] for part in parts for key in ("to", "package", "version")):
        if not re.fullmatch(r"[\w-][\w.+-]*", str(value)):
            raise PlanError(f"{path}: {value!r} in [[fetch]] is not a plain name", "Write it without folders.")


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
