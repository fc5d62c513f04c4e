"""The columns of a data set by role: named by the user, defined by the format, or guessed from common names."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from micl_cli.api.format import Item
from micl_cli.data.own.splits import NAMES
from micl_cli.errors import ManifestError, UsageError, nearest

ROLES = ("prompt", "answer", "choices", "id", "split", "category", "group", "meta", "content")
"""The roles of columns besides the modalities."""
ALIASES = {"references": "answer", "reference": "answer"}
SINGLE = frozenset({"prompt", "id", "split", "category", "group", "content"})
"""Roles that only one column can have."""
_GUESSED = {
    "image": (("image", "images", "image_path", "img", "img_path", "picture", "photo", "image_file_name"),),
    "audio": (("audio", "audios", "audio_path", "sound", "wav", "audio_file_name"),),
    "video": (("video", "videos", "video_path", "video_file_name"),),
    "prompt": (("prompt", "question", "instruction", "query"),),
    "answer": (
        ("answer", "answers", "references", "reference", "caption", "captions", "response", "output"),
        ("sentence", "sentences", "transcription", "transcript", "label", "labels", "target", "class"),
    ),
    "choices": (("choices", "options"),),
    "id": (("id",), ("question_id",), ("uid",)),
    "split": (("split",),),
    "category": (("category",),),
}
"""Common names of columns by role, in groups of equal precedence."""
_FILES = ("file_name", "filename", "file", "path", "file_path", "filepath", "image_name", "video_name", "media")
"""Common names of media columns that do not show the modality."""
_SUFFIXES = {
    "image": ("jpg", "jpeg", "png", "gif", "bmp", "tif", "tiff", "webp", "avif", "ppm"),
    "audio": ("wav", "flac", "ogg", "oga", "opus", "mp3", "m4a", "aif", "aiff"),
    "video": ("mp4", "avi", "mov", "mkv", "webm", "m4v"),
}


@dataclass(frozen=True)
class ColumnMap:
    """The columns by role; ``media`` holds (modality, column) in order. ``guessed`` names the guessed roles."""

    media: tuple[tuple[str, str], ...]
    roles: Mapping[str, tuple[str, ...]]
    guessed: tuple[str, ...] = ()

    def one(self, role: str) -> str:
        """Return the only column of a role, or an empty string."""
        return next(iter(self.roles.get(role, ())), "")

    def note(self) -> str:
        """Return the guessed columns, as "columns: image <- file_name, answer <- caption", or an empty string."""
        pairs = [*self.media, *((role, name) for role, names in self.roles.items() for name in names)]
        shown = [f"{role} <- {name}" for role, name in pairs if role in self.guessed]
        return f"columns: {', '.join(shown)} (change: --column ROLE=COLUMN)" if shown else ""


def role_named(role: str, modalities: Collection[str]) -> str:
    """Return the role with a name given by the user. Raises UsageError if there is none."""
    plain = ALIASES.get(role, role)
    if plain not in ROLES and plain not in modalities:
        known = (*sorted(modalities), *ROLES)
        raise UsageError(
            f"--column: unknown role {role!r}", f"{nearest(role, known)} Roles: {', '.join(known)}.".strip()
        )
    return plain


def map_columns(
    head: Sequence[Item],
    given: Mapping[str, tuple[str, ...]],
    fixed: Mapping[str, tuple[str, ...]],
    modalities: Collection[str],
    modality: str | None,
) -> ColumnMap:
    """Return the columns by role, given the first items of a data set.

    ``given`` are those named by the user, ``fixed`` those of the format; ``modality`` applies to media columns that do
    not show it. Raises ManifestError if a column does not exist, or a guess is ambiguous.
    """
    names = list(dict.fromkeys(name for item in head for name in item.values))
    for columns in given.values():
        for column in columns:
            _check_column(column, names, head[0].where)
    known = {**fixed, **given}
    used = {column for columns in known.values() for column in columns}
    guesses = dict(_guesses(names, known, used, head, modality, modalities))
    roles = {**known, **guesses}
    media = tuple((role, name) for role, columns in roles.items() if role in modalities for name in columns)
    others = {role: columns for role, columns in roles.items() if role not in modalities}
    return ColumnMap(media, others, tuple(guesses))


def value_at(values: Mapping[str, Any], column: str) -> Any:
    """Return the value of a column, or None if there is none.

    "answers.text" is the key "text" of the object in column "answers", or of each object if it is a list.
    """
    if column in values:
        return values[column]
    value: Any = values
    for name in column.split("."):
        if isinstance(value, list | tuple):
            value = [each.get(name) for each in value if isinstance(each, Mapping)]
        else:
            value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _check_column(column: str, names: Sequence[str], where: str) -> None:
    if column in names or column.partition(".")[0] in names:
        return
    hint = f"{nearest(column, names)} Its columns: {', '.join(names)}.".strip()
    raise ManifestError(f"{where}: no column {column!r}", hint)


def _guesses(
    names: Sequence[str],
    known: Mapping[str, tuple[str, ...]],
    used: set[str],
    head: Sequence[Item],
    modality: str | None,
    modalities: Collection[str],
) -> Iterator[tuple[str, tuple[str, ...]]]:
    free = [name for name in names if name not in used]
    if "content" not in known:
        yield from _media_guess(free, known, head, modality, modalities)
    for role, groups in _GUESSED.items():
        if role in known or role in modalities or ("content" in known and role in ("prompt", "answer")):
            continue
        found = next((found for group in groups if (found := _common(free, group))), [])
        if role == "split" and found and not _all_splits(found[0], head):
            continue
        if len(found) > 1:
            raise _ambiguous(role, found, head[0].where)
        if found:
            yield role, (found[0],)


def _media_guess(
    free: Sequence[str],
    known: Mapping[str, tuple[str, ...]],
    head: Sequence[Item],
    modality: str | None,
    modalities: Collection[str],
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the media columns whose names show the modality, or else the column whose values show it."""
    if any(role in modalities for role in known):
        return
    named = [(role, found) for role in _SUFFIXES if (found := _common(free, _GUESSED[role][0]))]
    for role, found in named:
        if len(found) > 1:
            raise _ambiguous(role, found, head[0].where)
        yield role, (found[0],)
    if named or not (files := _common(free, _FILES)):
        return
    if len(files) > 1:
        raise _ambiguous(modality or "image", files, head[0].where)
    shown = modality or next((shown for item in head if (shown := modality_of(item.values.get(files[0])))), "")
    if not shown:
        hint = f"Name it: --column image={files[0]}, or audio or video."
        raise ManifestError(f"{head[0].where}: the modality of column {files[0]!r} is unknown", hint)
    yield shown, (files[0],)


def modality_of(value: Any) -> str:
    """Return the modality of a path by its suffix, or an empty string."""
    path = value[0] if isinstance(value, list) and value else value
    suffix = PurePosixPath(path).suffix.lower()[1:] if isinstance(path, str) else ""
    return next((modality for modality, suffixes in _SUFFIXES.items() if suffix in suffixes), "")


def _common(names: Sequence[str], candidates: Sequence[str]) -> list[str]:
    return [name for name in names if name.lower().replace(" ", "_") in candidates]


def _all_splits(column: str, head: Sequence[Item]) -> bool:
    return all(str(item.values.get(column, "")).strip().lower() in NAMES for item in head)


def _ambiguous(role: str, found: Sequence[str], where: str) -> ManifestError:
    what = f"{' and '.join(map(repr, found))} may both be the {role}"
    return ManifestError(f"{where}: {what}", f"Name one: --column {role}={found[0]}")
