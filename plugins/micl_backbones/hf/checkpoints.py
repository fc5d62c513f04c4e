"""The checkpoints that the backbone ``hf`` takes: where they come from, and what identifies them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from micl_backbones.hf.load import checkpoint_digest, known_checkpoints, named_checkpoint, resolved_checkpoint
from micl_backbones.language import LanguageBackbone
from micl_backbones.weights.digest import sampled_folder_digest
from micl_backbones.weights.hub import fetch_checkpoint, fetch_missing
from micl_cli.api import FetchProgress, PresetInfo, Resources

TRAINING: Mapping[str, Any] = {
    "learning_rate": 2e-4,
    "batch_size": 4,
    "accumulation": 4,
    "epochs": 3,
    "warmup": 0.03,
    "weight_decay": 0.0,
}
"""The settings of QLoRA (Dettmers et al., arXiv 2305.14314) and its successors for 7B models."""


class CheckpointBackbone(LanguageBackbone):
    """The class methods of ``HF``, which find, identify and fetch a checkpoint."""

    @classmethod
    def defaults(cls, preset: str, resources: Resources) -> Mapping[str, Any]:
        return TRAINING

    @classmethod
    def digest(cls, preset: str, resources: Resources) -> str:
        return checkpoint_digest(preset, resources.file_digest)

    @classmethod
    def former_digests(cls, preset: str, resources: Resources) -> Sequence[str]:
        folder = Path(preset)
        return [sampled_folder_digest(folder)] if folder.is_dir() else [preset]

    @classmethod
    def resolve(cls, preset: str, resources: Resources) -> str:
        return resolved_checkpoint(preset)

    @classmethod
    def download_missing(cls, preset: str, progress: FetchProgress, resources: Resources) -> None:
        name, revision = named_checkpoint(preset)
        if not Path(name).is_dir():
            fetch_missing(name, revision, progress)

    @classmethod
    def presets(cls, resources: Resources) -> Sequence[PresetInfo]:
        return known_checkpoints()

    @classmethod
    def fetch(cls, preset: str, tell: FetchProgress, resources: Resources) -> None:
        name, revision = named_checkpoint(preset)
        if Path(name).is_dir():
            super().fetch(name, tell, resources)
        fetch_checkpoint(name, revision, tell)
