"""Snapshots as files: tensors in safetensors, all else in one JSON document that has the digest of each tensor file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from micl_cli.api.strategy import State
from micl_cli.errors import CheckpointError, MiclError
from micl_cli.io.digest import file_sha256
from micl_cli.io.documents import LEARN_AGAIN, damage_reported, json_sha256, read_document, write_document
from micl_cli.training.snapshot import Snapshot

_TENSORS = ("adapters", "modules", "optimizer", "best")
"""The fields of a Snapshot that are written as files of tensors, beside "strategy"."""
_WEIGHTS = ("adapters", "modules", "best")
_LEARNT = ("files", "strategy", "adapters", "active", "learning")
"""The entries of a document that identify learnt weights; all others (times, sizes) differ between equal runs."""


def write_snapshot(folder: Path, name: str, snapshot: Snapshot, **entries: Any) -> dict[str, Any]:
    """Write a snapshot with its document ``name`` into a folder, with further ``entries``; return the document.

    Raises MiclError if a weight is not finite, CheckpointError or OSError if the files cannot be written.
    """
    _check_finite(snapshot)
    tensors = {field: getattr(snapshot, field) for field in _TENSORS} | {"strategy": snapshot.strategy.tensors}
    files = {_file(field): _write(folder / _file(field), each) for field, each in tensors.items() if each}
    document = {**snapshot.data, "strategy": snapshot.strategy.data, "files": files, **entries}
    write_document(folder / name, document)
    return document


def read_snapshot(folder: Path, name: str) -> Snapshot:
    """Return the snapshot in a folder. Raises CheckpointError if a part is missing, damaged, or not finite."""
    data = verified_document(folder, name)
    present = data.pop("files", None)
    fields = {field: _read(folder / _file(field), present) for field in (*_TENSORS, "strategy")}
    with damage_reported(folder / name):
        state = State(fields.pop("strategy"), data.pop("strategy"))
    snapshot = Snapshot(strategy=state, data=data, **fields)
    try:
        _check_finite(snapshot)
    except MiclError as error:
        raise CheckpointError(f"{folder} is damaged: {error}", LEARN_AGAIN) from error
    return snapshot


def verified_document(folder: Path, name: str) -> dict[str, Any]:
    """Return the document of a snapshot whose files all exist with their digests. Raises CheckpointError otherwise.

    Snapshots of earlier versions of micl have no digests, so that their files are not checked.
    """
    document = read_document(folder / name)
    with damage_reported(folder / name):
        files = dict(document.get("files", {}))
    for file, digest in files.items():
        with damage_reported(folder / file):
            if file_sha256(folder / file) != digest:
                raise ValueError("its content does not match its digest")
    return document


def weights_id(document: Mapping[str, Any]) -> str:
    """Return a digest of what was learnt: equal for equal weights and states, whenever they were computed."""
    return json_sha256([document.get(name) for name in _LEARNT])


def _file(field: str) -> str:
    return f"{field}.safetensors"


def _write(path: Path, tensors: Mapping[str, Tensor]) -> str:
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return file_sha256(path)


def _read(path: Path, present: Mapping[str, str] | None) -> dict[str, Tensor]:
    """Return the tensors of a file; none if the snapshot has no such file."""
    if path.name not in present if present is not None else not path.exists():
        return {}
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} is damaged: {error}", LEARN_AGAIN) from error


def _check_finite(snapshot: Snapshot) -> None:
    for field in _WEIGHTS:
        for name, weight in getattr(snapshot, field).items():
            if weight.is_floating_point() and not torch.isfinite(weight).all():
                hint = "Try a lower --learning-rate, or --precision fp32. The latest checkpoint is kept."
                raise MiclError(f"the weights {name} are not finite", hint)
