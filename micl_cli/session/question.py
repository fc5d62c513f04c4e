"""Questions of a user: media, inspected as when a task is prepared, and a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from micl_cli.api.format import MediumValue, interleave
from micl_cli.api.task import Content, Media
from micl_cli.data.record import record_file
from micl_cli.errors import ManifestError, MediaError, PlanError, UsageError
from micl_cli.registry import Registry

if TYPE_CHECKING:
    from micl_cli.api.backbone import Backbone, InspectedMedium

_ANOTHER = "Give another file."


def inspect(modality: str, path: Path, registry: Registry) -> InspectedMedium:
    """Return a medium with its digest and facts, after reading all of it. Raises MediaError, PluginError."""
    from micl_cli.api.backbone import InspectedMedium

    reader = registry.load("modalities", modality)()
    try:
        path = path.resolve()
        if not path.exists():
            raise MediaError(f"{path}: there is no such file", _ANOTHER)
        record = record_file(path, reader.inspect(path))
    except MediaError as error:
        raise MediaError(error.message, _ANOTHER) from error
    except (OSError, RuntimeError) as error:  # RuntimeError: circular symbolic links (Python below 3.13)
        reason = getattr(error, "strerror", None) or error
        raise MediaError(f"{path}: cannot be read: {reason}", _ANOTHER) from error
    return InspectedMedium(Media(modality, path, record.sha256), record.facts)


def check_media(media: Sequence[InspectedMedium], backbone: Backbone) -> list[str]:
    """Return notes about media of which a backbone reads only a part. Raises PlanError if it cannot read one."""
    for each in media:
        if each.medium.modality not in backbone.modalities:
            known = ", ".join(sorted(backbone.modalities)) or "text alone"
            raise PlanError(f"the model of this run cannot read {each.medium.modality}", f"It reads {known}.")
    faults = list(backbone.check_media(media))
    for fault in faults:
        if not fault.partial:
            raise MediaError(f"{fault.medium.path}: {fault.reason}", _ANOTHER)
    return [f"{fault.medium.path}: {fault.reason}" for fault in faults]


def check_text(content: Content) -> None:
    """Raise UsageError if a text has lone surrogates, which Python makes of command-line bytes that are not UTF-8."""
    for text in (item for item in content if isinstance(item, str)):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise UsageError("the text of the question is not UTF-8", "Write or save it in UTF-8.") from error


def content_of(text: str, media: Sequence[Media]) -> Content:
    """Return media and a prompt as a content: media at their marks, such as ``<image>``, or before the text.

    Raises UsageError if a modality has some marks, but not one for each medium.
    """
    if not any(f"<{medium.modality}>" in text for medium in media):
        return (*media, text) if text else tuple(media)
    try:
        content = interleave(text, [MediumValue(medium.modality, medium) for medium in media], "the prompt")
    except ManifestError as error:
        hint = "Write one mark, such as <image>, for each medium; or none, and the media come first."
        raise UsageError(error.message, hint) from error
    return tuple(item if isinstance(item, str) else item.value for item in content)


def dialogue(turns: Sequence[Content]) -> Content:
    """Return the turns of a dialogue as one content, as in tasks that are prepared from dialogues.

    A text that follows another begins on a new line.
    """
    content: list[str | Media] = []
    for item in (item for turn in turns for item in turn):
        if isinstance(item, str) and content and isinstance(content[-1], str):
            content[-1] = f"{content[-1]}\n{item}"
        else:
            content.append(item)
    return tuple(content)
