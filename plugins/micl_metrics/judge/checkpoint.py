"""The checkpoint of a judge: location and digest."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from micl_cli.api import PlanError, Resources

_LOADED = ("*.json", "*.safetensors", "*.jinja", "*.txt", "*.model")
HINT = (
    "MICL_JUDGE_MODEL, or judge_model in micl.toml, is a folder with a language model of transformers in safetensors, "
    "or the hub id of one that has been downloaded."
)


def find_model(name: str) -> Path:
    """Return the folder of a judge's model: that of this name, or the hub's in its cache. Raises PlanError."""
    folder = Path(name).expanduser()
    if not folder.is_dir():
        folder = _cached(name)
    if not (folder / "config.json").is_file() or not any(folder.glob("*.safetensors")):
        raise PlanError(f"the judge {name} has no config.json, or no weights in safetensors", HINT)
    return folder.resolve()


def _cached(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError, OSError) as error:
        hint = f"{HINT} To download one: hf download OWNER/NAME"
        raise PlanError(f"there is no judge {name}: neither a folder nor a downloaded model", hint) from error


def model_digest(folder: Path, resources: Resources) -> str:
    """Return a digest of the files of a model that are loaded. Raises PlanError if one cannot be read."""
    files = sorted({path for pattern in _LOADED for path in folder.glob(pattern) if path.is_file()})
    try:
        lines = [f"{path.name} {resources.file_digest(path)}" for path in files]
    except OSError as error:
        raise PlanError(f"the judge in {folder} cannot be read: {error.strerror or error}", HINT) from error
    return sha256("\n".join(lines).encode()).hexdigest()
