"""Prompts of the composed backbone: content as token ids, with places for media and soft prompts.

A text stands as it is, on a line of its own where a medium stands before it; a medium is announced by its modality
(" image: "); the content ends with the line. So one picture with a question reads " image: <tokens>\\nquestion\\n", the
form of "Modality-Inconsistent Continual Learning of Multimodal Large Language Models" (arXiv 2412.13050).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from micl_cli.api import Example, Media

Tokenize = Callable[[Sequence[str]], list[list[int]]]


@dataclass
class Prompt:
    """The ids of one prompt. ``media`` are its media, each with the position of its first token.

    ``soft`` is the number of soft prompt positions at the beginning, ``shared`` of positions up to the end of the last
    medium: examples that are alike up to there can share them. ``text_ids`` are the ids of its texts alone.
    """

    ids: list[int]
    soft: int = 0
    shared: int = 0
    media: list[tuple[int, Media]] = field(default_factory=list)
    text_ids: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)

    def moved(self, by: int) -> list[tuple[int, Media]]:
        """Return the media, with the prompt ``by`` positions further right."""
        return [(start + by, medium) for start, medium in self.media]


def write_prompts(
    examples: Sequence[Example], soft: Sequence[int], tokens: Mapping[str, int], tokenize: Tokenize, filler: int
) -> list[Prompt]:
    """Return the prompts of ``examples``; ``tokens`` is the number of tokens of a medium by modality.

    ``soft`` is the number of soft prompt positions of each. Their places and those of media are held by ``filler``.
    """
    pieces = [_pieces(example) for example in examples]
    ids = iter(tokenize([text for each in pieces for text, _ in each]))
    prompts = []
    for count, each in zip(soft, pieces, strict=True):
        prompt = Prompt([filler] * count, count)
        for _, medium in each:
            _append(prompt, next(ids), medium, tokens, filler)
        prompts.append(prompt)
    return prompts


def _pieces(example: Example) -> list[tuple[str, Media | None]]:
    """Return texts in order, each with the medium that it announces or None."""
    found: list[tuple[str, Media | None]] = []
    for place, part in enumerate(example.content):
        if isinstance(part, Media):
            found.append((f" {part.modality}: ", part))
        else:
            behind_medium = place > 0 and isinstance(example.content[place - 1], Media)
            last = place == len(example.content) - 1
            found.append((f"{chr(10) if behind_medium else ''}{part}{chr(10) if last else ''}", None))
    if example.content and isinstance(example.content[-1], Media):
        found.append(("\n", None))
    return found


def _append(prompt: Prompt, ids: Sequence[int], medium: Media | None, tokens: Mapping[str, int], filler: int) -> None:
    prompt.ids += ids
    if medium is None:
        prompt.text_ids += ids
        return
    prompt.media.append((len(prompt.ids), medium))
    prompt.ids += [filler] * tokens[medium.modality]
    prompt.shared = len(prompt.ids)
