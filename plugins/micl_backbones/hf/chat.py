"""Prompts, media and answers in the form of a checkpoint's own processor and chat template."""

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

from micl_cli.api import Example, Media, PlanError, Sound

PLACED = "{{ messages[0]['rendered'] }}"
"""A chat template for text that the checkpoint's own has rendered; media are still read from the messages."""
_PROBE = "\u2042"
_KINDS = {"image": "image_processor", "video": "video_processor", "audio": "feature_extractor"}


@dataclass(frozen=True)
class Turn:
    """What stands around an answer: ``lead`` between the prompt and it, ``end`` behind it."""

    lead: str
    end: str


class Chat:
    """Renders examples with the chat template and encodes them with the processor.

    ``options`` holds the reading options of media by modality. Raises PlanError if the checkpoint has no chat
    template.
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
            raise PlanError(
                "this checkpoint has no chat template", "Choose its instruction-tuned version, which has one."
            )
        self._special = re.compile("|".join(map(re.escape, self._marks())))
        self.turn = self._turn()

    def _marks(self) -> list[str]:
        """Return the texts of control tokens and media placeholders, the longest first."""
        media = [getattr(self.processor, f"{kind}_token", None) for kind in _KINDS]
        control = [token.content for token in self.tokenizer.added_tokens_decoder.values() if token.special]
        named = {*self.tokenizer.all_special_tokens, *control, *(mark for mark in media if isinstance(mark, str))}
        return sorted(filter(None, named), key=lambda mark: (-len(mark), mark))

    # Text

    def prompts(self, examples: Sequence[Example]) -> list[str]:
        """Return each example's rendered prompt, up to where the answer begins."""
        return [self._rendered([_user(self._content(e))]) for e in examples]

    def _rendered(self, messages: list[dict[str, Any]], *, ask: bool = True) -> str:
        shown: str = self.processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=ask)
        return shown

    def _turn(self) -> Turn:
        """Return what the template puts around an answer. Raises PlanError if it renders none."""
        question = _user([{"type": "text", "text": "a"}])
        answer = {"role": "assistant", "content": [{"type": "text", "text": _PROBE}]}
        asked, answered = self._rendered([question]), self._rendered([question, answer], ask=False)
        before, mark, after = answered.partition(_PROBE)
        if not mark:
            raise PlanError("this checkpoint's chat template renders no answers", "Choose another checkpoint.")
        lead = before[len(asked) :] if before.startswith(asked) else ""
        ids = self.encode(after)
        place = next((at for at, token in enumerate(ids) if token in self.ends), None)
        end = self.tokenizer.decode(ids[: place + 1]) if place is not None else self.tokenizer.decode([self.ends[0]])
        return Turn(lead, end)

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a text, without special tokens around it."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def plain(self, text: str) -> str:
        """Return a user's text without the texts of control tokens and media placeholders."""
        return self._special.sub("", text)

    def answer(self, text: str) -> str:
        """Return an answer with what the template puts around it."""
        return f"{self.turn.lead}{self.plain(text)}{self.turn.end}"

    def _content(self, example: Example) -> list[dict[str, Any]]:
        """Return the user's message, with a placeholder for each medium."""
        content = [
            {"type": part.modality} if isinstance(part, Media) else {"type": "text", "text": self.plain(part)}
            for part in example.content
        ]
        return content or [{"type": "text", "text": ""}]

    def places(self, text: str, modality: str) -> int | None:
        """Return how many media of a modality a rendered prompt has places for; None where that cannot be told."""
        mark = getattr(self.processor, f"{modality}_token", None)
        return text.count(mark) if isinstance(mark, str) and mark else None

    # Media

    def medium(self, modality: str, canonical: Any) -> Image.Image | NDArray[Any]:
        """Return a medium in its canonical form (see Modality) as the processor takes it."""
        if modality == "image":
            return Image.fromarray(canonical)
        if modality == "audio":
            return _whole_hops(canonical, getattr(self.processor.feature_extractor, "hop_length", 1))
        frames: NDArray[np.uint8] = canonical
        return frames

    def encoded(self, texts: Sequence[str], media: Sequence[Sequence[tuple[str, Any]]]) -> dict[str, Tensor]:
        """Return the processor's tensors for rendered prompts, with or without answers, padded left.

        ``media`` holds the (modality, medium as the processor takes it) of each, in order.
        """
        talks = [
            [{**_user([{"type": modality, modality: medium} for modality, medium in own]), "rendered": text}]
            for text, own in zip(texts, media, strict=True)
        ]
        made = self.processor.apply_chat_template(
            talks,
            chat_template=PLACED,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs=self._settings({modality for own in media for modality, _ in own}),
        )
        return dict(made)

    @property
    def settings(self) -> str:
        """The processor's settings for media; part of the key under which their features are cached."""
        parts = [getattr(self.processor, part) for kind, part in _KINDS.items() if kind in self.modalities]
        return json.dumps([self.options, *(part.to_dict() for part in parts)], sort_keys=True, default=str)

    def _settings(self, modalities: set[str]) -> dict[str, Any]:
        settings: dict[str, Any] = {"padding": True}
        if "video" in modalities:
            # Frames were sampled by the reader; some processors lose their own size where none is passed.
            video: dict[str, Any] = {"do_sample_frames": False}
            if size := getattr(self.processor.video_processor, "size", None):
                video["size"] = dict(size)
            settings["videos_kwargs"] = video
        return settings


def modalities_of(processor: Any) -> frozenset[str]:
    """Return the modalities that a processor takes."""
    return frozenset(kind for kind, part in _KINDS.items() if getattr(processor, part, None) is not None)


def _whole_hops(sound: Sound, hop: int) -> NDArray[np.float32]:
    """Return the samples, padded with silence to a multiple of ``hop``.

    Feature extractors make a frame of an incomplete last hop only if other sounds of the batch are longer, so the
    same sound would have different lengths.
    """
    samples = np.asarray(sound.samples, dtype=np.float32)
    return np.pad(samples, (0, -len(samples) % hop))


def _user(content: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"role": "user", "content": list(content)}
