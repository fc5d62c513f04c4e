"""Template folders for new tasks: a description, and a manifest with sample lines."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from micl_cli.api.task import CAPTIONING, CHOICE, QA, SPLITS, Media, Row
from micl_cli.data.description import DESCRIPTION, MANIFEST, Description, description_text, is_full_name
from micl_cli.data.manifest import row_text
from micl_cli.data.vocabulary import DEFAULT_METRICS
from micl_cli.errors import MiclError, UsageError

_SUFFIXES = {"image": "jpg", "audio": "wav", "video": "mp4"}
_PROMPTS = {CAPTIONING: "describe the {media}.", QA: "what is it?", CHOICE: "which of these is it?"}
_REFERENCES = {CAPTIONING: ("a caption", "another caption of the same"), QA: ("the answer",), CHOICE: ("first",)}


def describe_template(folder: Path, name: str, modalities: Sequence[str], type: str, metric: str) -> Description:
    """Return the description of a template; its name is by default that of the folder. Raises UsageError."""
    name = name or re.sub(r"[^a-z0-9_-]+", "-", folder.absolute().name.lower()).strip("-_")[:64]
    metric = metric or DEFAULT_METRICS.get(type, "")
    if not metric:
        raise UsageError(f"type {type!r} has no default metric", "Name one: --metric accuracy")
    if not is_full_name(f"own/{name}"):
        hint = "Use lowercase letters, digits, _ and -: --name my_task"
        raise UsageError(f"{name!r} is not a valid name for a task", hint)
    return Description(name=name, modalities=frozenset(modalities), type=type, metric=metric)


def write_template(folder: Path, description: Description) -> None:
    """Write ``task.toml`` and ``manifest.jsonl`` into a folder, which is created if it does not exist.

    Raises UsageError if one of the files exists, MiclError if they cannot be written.
    """
    texts = {
        DESCRIPTION: description_text(description),
        MANIFEST: "".join(f"{row_text(row)}\n" for row in _rows(description)),
    }
    for name in texts:
        if (folder / name).exists():
            raise UsageError(f"{folder / name} exists already", "Name a new folder, or edit the file.")
    try:
        (folder / "media" if description.modalities else folder).mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            with (folder / name).open("x", encoding="utf-8", newline="\n") as file:
                file.write(text)
    except OSError as error:
        raise MiclError(f"{folder} cannot be written: {error.strerror or error}", "Choose another folder.") from error


def _rows(description: Description) -> Iterator[Row]:
    """Yield an example for each split."""
    modalities = sorted(description.modalities)
    prompt = _PROMPTS.get(description.type, "what is it?").format(media=" and the ".join(modalities) or "text")
    for number, split in enumerate(SPLITS, 1):
        media = [Media(each, Path(f"media/{number}.{_SUFFIXES.get(each, each)}")) for each in modalities]
        choices = ("first", "second") if description.type == CHOICE else ()
        yield Row(f"{number}", split, (*media, prompt), _REFERENCES.get(description.type, ("the answer",)), choices)
