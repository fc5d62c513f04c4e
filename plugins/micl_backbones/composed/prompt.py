"""Prompts of the composed backbone: content as token ids, with placeholders for media and soft prompts.

A medium is preceded by the name of its modality (" image: "); a text after a medium starts on a new line, unless it
begins with a blank; the content ends with a line break. One image with a question is " image: <tokens>\\nquestion\\n",
the format of "Modality-Inconsistent Continual Learning of Multimodal Large Language Models" (arXiv 2412.13050).

With a preset's ``template = "chat"``, the content is a user's turn of the language model's own chat template instead,
and the template's end of the turn takes the place of the last line break.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from micl_cli.api import Example, Media, TextTokenizer

Tokenize = Callable[[Sequence[str]], list[list[int]]]


@dataclass(frozen=True)
class Frame:
    """The token ids before and after the content of each prompt.

    ``before`` is BOS, or the beginning of a chat template. ``after`` is the rest of the template, and None without one:
    the content then ends with a line break.
    """

    before: Sequence[int] = ()
    after: Sequence[int] | None = None


_PLACE = "\0content\0"


def plain_frame(tokenizer: TextTokenizer) -> Frame:
    """Return the frame without a template: only BOS, if the tokenizer has one."""
    return Frame(tokenizer.begin)


def chat_frame(tokenizer: Any) -> Frame:
    """Return the frame of one user's turn in a tokenizer's chat template. Raises ValueError if it has none."""
    turn = [{"role": "user", "content": _PLACE}]
    try:
        text: str = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
    except Exception as error:  # templates are programs, which may raise anything
        raise ValueError(" ".join(str(error).split())) from error
    before, place, after = text.partition(_PLACE)
    if not place or _PLACE in after:
        raise ValueError("its chat template does not repeat the content of a turn exactly once")
    ids = [tokenizer(part, add_special_tokens=False)["input_ids"] if part else [] for part in (before, after)]
    return Frame(*ids)


@dataclass
class Prompt:
    """The token ids of one prompt. ``media`` holds its media, each with the position of its first token.

    ``soft`` is the number of soft prompt positions, which stand behind the first ``begin`` ids; ``shared`` is the
    number of positions up to the end of the last medium, which equal examples can share. ``text_ids`` are the token ids
    of the texts alone.
    """

    ids: list[int]
    begin: int = 0
    soft: int = 0
    shared: int = 0
    media: list[tuple[int, Media]] = field(default_factory=list)
    text_ids: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)

    def shifted(self, offset: int) -> list[tuple[int, Media]]:
        """Return ``media`` with the positions shifted by ``offset`` to the right."""
        return [(start + offset, medium) for start, medium in self.media]


def write_prompts(
    examples: Sequence[Example],
    soft: Sequence[int],
    tokens: Mapping[str, int],
    tokenize: Tokenize,
    placeholder: int,
    frame: Frame = Frame(),
) -> list[Prompt]:
    """Return the prompts of ``examples``; ``tokens`` is the number of tokens per medium, by modality.

    ``soft`` is the number of soft prompt positions of each example. The positions of soft prompts and media hold the
    token id ``placeholder``. Examples without content get the beginning of ``frame`` alone.
    """
    end = "\n" if frame.after is None else ""
    segments = [_segments(example, end) for example in examples]
    ids = iter(tokenize([text for own in segments for text, _ in own]))
    prompts = []
    for count, own in zip(soft, segments, strict=True):
        prompt = Prompt([*frame.before, *[placeholder] * count], len(frame.before), count)
        for _, medium in own:
            _append(prompt, next(ids), medium, tokens, placeholder)
        if own and frame.after:
            prompt.ids += frame.after
        prompts.append(prompt)
    return prompts


def _segments(example: Example, end: str) -> list[tuple[str, Media | None]]:
    """Return the texts of a prompt in order, each with the medium that follows it, or None; ``end`` is the last."""
    segments: list[tuple[str, Media | None]] = []
    for index, item in enumerate(example.content):
        if isinstance(item, Media):
            segments.append((f" {item.modality}: ", item))
        else:
            after_medium = index > 0 and isinstance(example.content[index - 1], Media)
            lead = "\n" if after_medium and not item.startswith(" ") else ""
            last = index == len(example.content) - 1
            segments.append((f"{lead}{item}{end if last else ''}", None))
    if end and example.content and isinstance(example.content[-1], Media):
        segments.append((end, None))
    return segments


def _append(
    prompt: Prompt, ids: Sequence[int], medium: Media | None, tokens: Mapping[str, int], placeholder: int
) -> None:
    prompt.ids += ids
    if medium is None:
        prompt.text_ids += ids
        return
    prompt.media.append((len(prompt.ids), medium))
    prompt.ids += [placeholder] * tokens[medium.modality]
    prompt.shared = len(prompt.ids)
