"""Prompts, media and answers in the format of a checkpoint's own processor and chat template."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from transformers import AddedToken

from micl_backbones.hf.clips import at_least, channels_first, video_metadata, with_true_seconds
from micl_backbones.hf.rows import edit_rows
from micl_cli.api import Example, Media, PlanError, Sound, TextTokenizer

PRERENDERED = "{{ messages[0]['rendered'] }}"
"""A chat template for prompts that are rendered already; the processor still takes the media from the messages."""
_LEAST_HOPS = 4
"""Encoders make no token of a shorter sound: Whisper's has strides of 2, and Qwen2-Audio pools pairs."""
_PROBE = "\u2042"
_OPEN, _CLOSE = "\U000f0000", "\U000f0001"
"""Private-use characters around the number of a text, in the placeholder that stands for it."""
_SPECIAL: tuple[dict[str, Any], ...] = ({}, {"add_special_tokens": False})
_PROCESSORS = {"image": "image_processor", "video": "video_processor", "audio": "feature_extractor"}


@dataclass(frozen=True)
class Prompt:
    """A rendered prompt, up to the beginning of the answer.

    ``guarded`` are the user's texts if one holds the name of a control token or of a media placeholder: a placeholder
    of its own stands for each in ``text``, so that neither template nor processor reads them.
    """

    text: str
    guarded: tuple[str, ...] = ()


@dataclass(frozen=True)
class Turn:
    """The text around an answer: ``lead`` between prompt and answer, ``end`` after the answer.

    Prompts end with ``lead`` but for the spaces at its end, which belong to the answer's first token.
    """

    lead: str
    end: str

    @property
    def asked(self) -> str:
        """The part of ``lead`` that prompts end with."""
        return self.lead.rstrip(" ")

    @property
    def space(self) -> str:
        """The part of ``lead`` that answers start with."""
        return self.lead[len(self.asked) :]


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
        self.texts = TextTokenizer(self.tokenizer)
        self.turn = self._turn()
        self._tail = self.prompts([Example("", ("a",))])[0].text
        self._begin = self._beginning()
        self._check_rows()

    # Text

    def prompts(self, examples: Sequence[Example]) -> list[Prompt]:
        """Return each example's rendered prompt, up to the beginning of the answer."""
        return [self._prompt(example) for example in examples]

    def _prompt(self, example: Example) -> Prompt:
        texts = [item for item in example.content if isinstance(item, str)]
        guarded = tuple(texts) if self._must_guard(texts) else ()
        shown = iter([self._placeholder(index) for index in range(len(guarded))] or texts)
        content = [
            {"type": item.modality} if isinstance(item, Media) else {"type": "text", "text": next(shown)}
            for item in example.content
        ]
        message = _user(content or [{"type": "text", "text": ""}])
        return Prompt(self._rendered([message]) + self.turn.asked, guarded)

    def _must_guard(self, texts: Sequence[str]) -> bool:
        """Whether the texts, each or behind one another, would be read as anything but text."""
        media = (getattr(self.processor, f"{modality}_token", None) for modality in _PROCESSORS)
        marks = [_OPEN, *(mark for mark in media if isinstance(mark, str) and mark)]
        together = "".join(texts)
        return any(mark in together for mark in marks) or self.texts.has_control(texts)

    def _placeholder(self, index: int) -> str:
        """Return what stands for the guarded text of that index: a token that no text contains and no model knows."""
        name = f"{_OPEN}{index}{_CLOSE}"
        if name not in self.tokenizer.get_added_vocab():
            self.tokenizer.add_tokens([AddedToken(name, special=True, normalized=False)], special_tokens=True)
        return name

    def _rendered(self, messages: list[dict[str, Any]], *, generate: bool = True) -> str:
        text: str = self.processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=generate)
        return text

    def _turn(self) -> Turn:
        """Determine the text around an answer by rendering one. Raises PlanError if the template cannot."""
        question = _user([{"type": "text", "text": "a"}])
        answer = {"role": "assistant", "content": [{"type": "text", "text": _PROBE}]}
        try:
            prompt, dialogue = self._rendered([question]), self._rendered([question, answer], generate=False)
        except Exception as error:  # templates may raise anything
            raise _unusable(f"fails on a question and its answer: {error}") from error
        before, probe, after = dialogue.partition(_PROBE)
        if not probe:
            raise _unusable("omits answers")
        if "a" not in prompt or "'type'" in prompt:
            raise _unusable("does not take messages that consist of parts")
        lead = before[len(prompt) :] if before.startswith(prompt) else ""
        ids = self.encode(after)
        index = next((i for i, token in enumerate(ids) if token in self.ends), None)
        end = self.tokenizer.decode(ids[: index + 1]) if index is not None else self.tokenizer.decode([self.ends[0]])
        return Turn(lead, end)

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a text, without added special tokens."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def answer(self, text: str) -> list[int]:
        """Return the token ids of an answer behind a prompt, with the template's text around it."""
        spoken = f"{self.turn.space}{text}"
        if not self._must_guard([text]):
            before, ids = self.encode(self._tail), self.encode(f"{self._tail}{spoken}{self.turn.end}")
            answer = ids[len(before) :]
            if ids[: len(before)] == before and self._controls(answer) == self._controls(self.encode(self.turn.end)):
                return answer
        # The text holds the name of a control token, or its beginning is one token with the end of the prompt.
        return self.texts.continuation(spoken) + self.encode(self.turn.end)

    def _controls(self, ids: Sequence[int]) -> list[int]:
        return [token for token in ids if token in self.texts.control_ids]

    def _beginning(self) -> list[int]:
        """Return the tokens that the processor puts before a rendered prompt, such as BOS."""
        try:
            whole, plain = (self._processed([self._tail], [[]], **more)["input_ids"][0].tolist() for more in _SPECIAL)
        except Exception:  # processors may raise anything where there are no media
            return self.texts.begin
        start = next((i for i in range(len(whole)) if whole[i : i + len(plain)] == plain), 0)
        return list(whole[:start])

    def _check_rows(self) -> None:
        """Raise PlanError if a taught row is not the prompt as it is asked, followed by the answer and one end."""
        answer, asked = self.answer("b"), self.encode(self._tail)
        ends = [token for token in answer if token in self.ends]
        together = self.encode(f"{self._tail}{self.turn.space}b")
        if together[: len(asked)] != asked or len(ends) != 1 or len(answer) < 2:
            raise _unusable("joins the prompt and its answer, so that one cannot be told from the other")

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

    def encoded(
        self,
        prompts: Sequence[Prompt],
        media: Sequence[Sequence[tuple[str, Any]]],
        answers: Sequence[Sequence[int]] | None = None,
    ) -> dict[str, Tensor]:
        """Return the processor's tensors for prompts, with or without the token ids of answers, padded at the left.

        ``media`` holds (modality, medium in the processor's form) of each prompt's media, in order.
        """
        tensors = self._processed([prompt.text for prompt in prompts], media, add_special_tokens=False)
        texts = [self._guarded_ids(prompt) for prompt in prompts]
        return edit_rows(tensors, self._begin, texts, answers or [()] * len(prompts), self.tokenizer.pad_token_id)

    def _guarded_ids(self, prompt: Prompt) -> dict[int, list[int]]:
        """Return the token ids of a prompt's guarded texts by the ids of their placeholders."""
        ids = self.tokenizer.convert_tokens_to_ids
        texts = enumerate(prompt.guarded)
        return {ids(self._placeholder(index)): self.texts.continuation(text) for index, text in texts}

    def _processed(
        self, texts: Sequence[str], media: Sequence[Sequence[tuple[str, Any]]], **more: Any
    ) -> dict[str, Tensor]:
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
            processor_kwargs={**self._settings(clips), **more},
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


def _unusable(problem: str) -> PlanError:
    return PlanError(f"this checkpoint's chat template {problem}", "Choose another checkpoint, or mend its template.")


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
