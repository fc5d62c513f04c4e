"""Prompts, media and answers in the format of a checkpoint's own processor and chat template."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from micl_backbones.hf.clips import at_least, channels_first, video_metadata, with_true_seconds
from micl_cli.api import Example, Media, PlanError, Sound

PRERENDERED = "{{ messages[0]['rendered'] }}"
"""A chat template for prompts that are rendered already; the processor still takes the media from the messages."""
_LEAST_HOPS = 4
"""Encoders make no token of a shorter sound: Whisper's has strides of 2, and Qwen2-Audio pools pairs."""
_PROBE = "\u2042"
_PROCESSORS = {"image": "image_processor", "video": "video_processor", "audio": "feature_extractor"}


@dataclass(frozen=True)
class Turn:
    """The text around an answer: ``lead`` between prompt and answer, ``end`` after the answer."""

    lead: str
    end: str


class Chat:
    """Convert examples to model inputs with a checkpoint's processor.

    ``options`` holds the reading options of media by modality. Raises PlanError if the checkpoint has no chat template.
    """

    def __init__(self, processor: Any, ends: Sequence[int], *, frames: int) -> None:
        self.processor = processor
        self.tokenizer = processor.tokenizer
        self.tokenizer.padding_side = "left"
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token_id = ends[0]
        self.ends = tuple(ends)
        self.modalities = modalities_of(processor)
        self.options: dict[str, dict[str, Any]] = {"image": {}, "video": {"frames": frames}, "audio": {}}
        if "audio" in self.modalities:
            self.options["audio"] = {"rate": int(processor.feature_extractor.sampling_rate)}
        if not getattr(processor, "chat_template", None):
            raise PlanError("this checkpoint has no chat template", "Use its instruction-tuned version, which has one.")
        self._special = re.compile("|".join(map(re.escape, self._special_texts())))
        self.turn = self._turn()

    def _special_texts(self) -> list[str]:
        """Return the texts of all control tokens and media placeholders, the longest first."""
        media = [getattr(self.processor, f"{modality}_token", None) for modality in _PROCESSORS]
        control = [token.content for token in self.tokenizer.added_tokens_decoder.values() if token.special]
        texts = {*self.tokenizer.all_special_tokens, *control, *(text for text in media if isinstance(text, str))}
        return sorted(filter(None, texts), key=lambda text: (-len(text), text))

    # Text

    def prompts(self, examples: Sequence[Example]) -> list[str]:
        """Return each example's rendered prompt, up to the beginning of the answer."""
        return [self._rendered([_user(self._content(e))]) for e in examples]

    def _rendered(self, messages: list[dict[str, Any]], *, generate: bool = True) -> str:
        text: str = self.processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=generate)
        return text

    def _turn(self) -> Turn:
        """Determine the text around an answer by rendering one. Raises PlanError if the template omits answers."""
        question = _user([{"type": "text", "text": "a"}])
        answer = {"role": "assistant", "content": [{"type": "text", "text": _PROBE}]}
        prompt, dialogue = self._rendered([question]), self._rendered([question, answer], generate=False)
        before, probe, after = dialogue.partition(_PROBE)
        if not probe:
            raise PlanError("this checkpoint's chat template omits answers", "Choose another checkpoint.")
        lead = before[len(prompt) :] if before.startswith(prompt) else ""
        ids = self.encode(after)
        index = next((i for i, token in enumerate(ids) if token in self.ends), None)
        end = self.tokenizer.decode(ids[: index + 1]) if index is not None else self.tokenizer.decode([self.ends[0]])
        return Turn(lead, end)

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a text, without added special tokens."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def plain(self, text: str) -> str:
        """Return a user's text without anything that would be read as a control token or a media placeholder."""
        return self._special.sub("", text)

    def answer(self, text: str) -> str:
        """Return an answer with the template's text around it."""
        return f"{self.turn.lead}{self.plain(text)}{self.turn.end}"

    def _content(self, example: Example) -> list[dict[str, Any]]:
        """Return the content of the user's message, with an entry in place of each medium."""
        content = [
            {"type": item.modality} if isinstance(item, Media) else {"type": "text", "text": self.plain(item)}
            for item in example.content
        ]
        return content or [{"type": "text", "text": ""}]

    def places(self, text: str, modality: str) -> int | None:
        """Count the placeholders of a modality in a rendered prompt; None if the processor names no placeholder."""
        placeholder = getattr(self.processor, f"{modality}_token", None)
        return text.count(placeholder) if isinstance(placeholder, str) and placeholder else None

    # Media

    def medium(self, modality: str, canonical: Any) -> Image.Image | NDArray[Any]:
        """Convert a medium from its canonical form (see Modality) to the form that the processor expects."""
        if modality == "image":
            return Image.fromarray(canonical)
        if modality == "audio":
            return _whole_hops(canonical, getattr(self.processor.feature_extractor, "hop_length", 1))
        return at_least(canonical, self._frames_per_grid)  # with its times, if it is a Clip

    @property
    def _frames_per_grid(self) -> int:
        """The number of frames that the model's video encoder takes together."""
        return int(getattr(self.processor.video_processor, "temporal_patch_size", None) or 1)

    def encoded(self, texts: Sequence[str], media: Sequence[Sequence[tuple[str, Any]]]) -> dict[str, Tensor]:
        """Return the processor's tensors for rendered prompts, with or without answers, padded at the left.

        ``media`` holds (modality, medium in the processor's form) of each text's media, in order.
        """
        conversations = [
            [{**_user([_entry(modality, medium) for modality, medium in own]), "rendered": text}]
            for text, own in zip(texts, media, strict=True)
        ]
        clips = [medium for own in media for modality, medium in own if modality == "video"]
        tensors = self.processor.apply_chat_template(
            conversations,
            chat_template=PRERENDERED,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs=self._settings(clips),
        )
        if not clips:
            return dict(tensors)
        return with_true_seconds(tensors, clips, self._frames_per_grid)

    @property
    def settings(self) -> str:
        """The processor's settings for media as JSON; cached encoder outputs are valid for these settings only."""
        processors = [getattr(self.processor, name) for m, name in _PROCESSORS.items() if m in self.modalities]
        own = [{"least_hops": _LEAST_HOPS}] if "audio" in self.modalities else []
        return json.dumps([self.options, *own, *(each.to_dict() for each in processors)], sort_keys=True, default=str)

    def _settings(self, clips: Sequence[NDArray[np.uint8]]) -> dict[str, Any]:
        settings: dict[str, Any] = {"padding": True}
        if clips:
            # Frames are sampled already; some processors ignore their own size unless it is passed.
            video: dict[str, Any] = {"do_sample_frames": False, "video_metadata": [*map(video_metadata, clips)]}
            if size := getattr(self.processor.video_processor, "size", None):
                video["size"] = dict(size)
            settings["videos_kwargs"] = video
        return settings


def modalities_of(processor: Any) -> frozenset[str]:
    """Return the modalities that a processor accepts."""
    return frozenset(m for m, name in _PROCESSORS.items() if getattr(processor, name, None) is not None)


def _whole_hops(sound: Sound, hop: int) -> NDArray[np.float32]:
    """Return a sound's samples, padded with silence to a multiple of ``hop`` and to ``_LEAST_HOPS`` of them.

    Feature extractors make a frame of an incomplete last hop only if the batch has a longer sound, so that the length
    of an unpadded sound's features would depend on the batch.
    """
    samples = np.asarray(sound.samples, dtype=np.float32)
    return np.pad(samples, (0, max(-len(samples) % hop, _LEAST_HOPS * hop - len(samples))))


def _entry(modality: str, medium: Any) -> dict[str, Any]:
    """Return a medium as an item of a message's content."""
    return {"type": modality, modality: channels_first(medium) if modality == "video" else medium}


def _user(content: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"role": "user", "content": list(content)}
