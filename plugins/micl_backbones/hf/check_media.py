"""Check of media against a checkpoint's processor by their sizes and lengths, on blank media of the same shape."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from micl_backbones.hf.chat import Chat
from micl_backbones.picture_sizes import enlarged_too_far
from micl_cli.api import Clip, Example, InspectedMedium, Media, MediumFault, Sound

_Shape = tuple[int, int]
"""Width and height of a picture in pixels."""


class _Sized(NamedTuple):
    """A medium with its ``shape`` or length, by which media are ordered and tried."""

    medium: Media
    shape: Any


def faulty_media(chat: Chat, media: Sequence[InspectedMedium]) -> Iterator[MediumFault]:
    """Yield the media that the processor refuses, and the sounds that it cuts."""
    for modality in ("image", "video"):
        if modality in chat.modalities:
            yield from _faulty_pictures(chat, modality, _sized(media, modality, "width", "height"))
    if "audio" in chat.modalities:
        sounds = [_Sized(medium, shape[0]) for medium, shape in _sized(media, "audio", "seconds")]
        yield from _refused(sounds, lambda seconds: _reason(chat, "audio", _silence(chat, seconds)))
        yield from _cut(chat, sounds)


def _sized(media: Sequence[InspectedMedium], modality: str, *names: str) -> list[_Sized]:
    """Return the media of a modality whose shape, the facts ``names``, is known, the smallest first."""
    own = (each for each in media if each.medium.modality == modality)
    shapes = ((medium, tuple(facts.get(name) for name in names)) for medium, facts in own)
    known = [_Sized(medium, shape) for medium, shape in shapes if all(map(_is_size, shape))]
    return sorted(known, key=lambda sized: sized.shape)


def _is_size(value: object) -> bool:
    return isinstance(value, int | float) and value > 0


def _faulty_pictures(chat: Chat, modality: str, pictures: Sequence[_Sized]) -> Iterator[MediumFault]:
    """Yield the pictures or clips that are refused, beginning with the longest shapes and with the smallest."""
    processor = getattr(chat.processor, f"{modality}_processor")

    def reason(shape: _Shape) -> str:
        return enlarged_too_far(processor, *shape) or _reason(chat, modality, _blank(chat, modality, shape))

    longest = sorted(pictures, key=lambda sized: -max(sized.shape) / min(sized.shape))
    smallest = sorted(pictures, key=lambda sized: min(sized.shape))
    faults = [*_refused(longest, reason), *_refused(smallest, reason)]
    yield from dict.fromkeys(faults)


def _refused(media: Iterable[_Sized], reason: Callable[[Any], str]) -> Iterator[MediumFault]:
    """Yield media, the most extreme first, up to the first one that is accepted: those that follow are less extreme."""
    for medium, shape in media:
        if not (text := reason(shape)):
            return
        yield MediumFault(medium, text)


def _reason(chat: Chat, modality: str, medium: Any) -> str:
    """Return why the processor refuses a medium in its form; empty if it accepts it."""
    try:
        _length(chat, modality, medium)
    except Exception as error:  # processors may raise anything
        return " ".join(f"the checkpoint's processor refuses it: {error or type(error).__name__}".split())[:300]
    return ""


def _length(chat: Chat, modality: str, medium: Any) -> int:
    """Return the number of tokens of a prompt with a medium. Raises whatever the processor raises."""
    prompts = chat.prompts([Example("", (Media(modality), "a"))])
    return int(chat.encoded(prompts, [[(modality, medium)]])["attention_mask"].sum())


def _blank(chat: Chat, modality: str, shape: _Shape) -> Any:
    width, height = shape
    if modality == "image":
        return chat.medium(modality, np.zeros((height, width, 3), np.uint8))
    frames = int(chat.options["video"]["frames"])
    clip = Clip(np.zeros((frames, height, width, 3), np.uint8), [float(second) for second in range(frames)], frames)
    return chat.medium(modality, clip)


def _silence(chat: Chat, seconds: float) -> Any:
    rate = int(chat.options["audio"]["rate"])
    return chat.medium("audio", Sound(np.zeros(max(1, round(seconds * rate)), np.float32), rate))


def _cut(chat: Chat, sounds: Sequence[_Sized]) -> Iterator[MediumFault]:
    """Yield the sounds that are longer than the longest of which the processor makes more tokens."""
    if not sounds or sounds[-1].shape <= 1:
        return

    def length(seconds: float) -> int:
        return _length(chat, "audio", _silence(chat, seconds))

    longest = float(sounds[-1].shape)
    most = length(longest)
    if length(longest - 1) < most:
        return
    window = _least(lambda seconds: length(seconds) == most, int(longest))
    reason = f"the checkpoint reads the first {window} s of a sound"
    yield from (MediumFault(medium, reason, partial=True) for medium, seconds in sounds if seconds > window)


def _least(holds: Callable[[int], bool], upper: int) -> int:
    """Return the least whole number up to ``upper``, for which it holds, from which on a condition holds."""
    lower = 0
    while upper - lower > 1:
        middle = (lower + upper) // 2
        lower, upper = (lower, middle) if holds(middle) else (middle, upper)
    return upper
