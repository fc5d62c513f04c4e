"""Tokenization of users' texts, which may hold anything and stay text."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

_HTML = re.compile(r"</?(table|caption|thead|tbody|tfoot|tr|th|td|h[1-6]|blockquote|strong|em|b|i|u|s|sub|sup|code)>")
"""Tags that some tokenizers (Gemma's) hold as added tokens because they are frequent in text."""


class TextTokenizer:
    """Encode users' texts with a tokenizer of transformers, so that no text becomes a control token.

    Control tokens are the tokenizer's special tokens and those of its other added tokens that are markup, such as
    ``<image>`` and ``<think>``. A text without their names has the ids that the tokenizer itself gives it; a name of
    one is encoded as the characters that it consists of.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        added = tokenizer.added_tokens_decoder.items()
        unknown = tokenizer.unk_token  # stands for unknown characters too, so that only its name tells it apart
        controls = {index: str(token) for index, token in added if _is_control(str(token), special=token.special)}
        self.control_ids = frozenset(index for index, name in controls.items() if name != unknown)
        self._unknown = unknown if unknown in controls.values() else None

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each text, without any control token."""
        rows = self._ids(texts)
        return [self._as_text(text) if self._has(text, ids) else ids for text, ids in zip(texts, rows, strict=True)]

    def has_control(self, texts: Sequence[str]) -> bool:
        """Whether the tokenizer itself would read a control token in one of the texts, or in all of them together."""
        candidates = [*texts, "".join(texts)] if len(texts) > 1 else texts
        return any(self._has(text, ids) for text, ids in zip(candidates, self._ids(candidates), strict=True))

    def continuation(self, text: str) -> list[int]:
        """Return the token ids of a text that continues another, without any control token."""
        pieces = self._pieces(text) if self.has_control([text]) else [text]
        return [token for piece in pieces for token in self._continued(piece)]

    @cached_property
    def begin(self) -> list[int]:
        """The control tokens that the tokenizer puts before a text, such as BOS."""
        (plain,), full = self._ids(["a"]), self.tokenizer("a")["input_ids"]
        start = next((i for i in range(len(full)) if full[i : i + len(plain)] == plain), 0)
        return list(full[:start])

    def decode(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """Return the texts of rows of token ids, without special tokens and surrounding whitespace."""
        # Otherwise some tokenizers remove the spaces before punctuation, also those that were taught.
        texts = self.tokenizer.batch_decode(rows, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return [text.strip() for text in texts]

    def _ids(self, texts: Sequence[str], *, split: bool = False) -> list[list[int]]:
        """Return the tokenizer's own ids; with ``split``, it does not look for special tokens."""
        if not texts:
            return []
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        if backend is not None and backend.padding is None and backend.truncation is None:
            backend.encode_special_tokens = split  # directly, without the checks of a call
            return [row.ids for row in backend.encode_batch(list(texts), add_special_tokens=False)]
        extra = {"return_attention_mask": False, "return_token_type_ids": False, "verbose": False}
        encoded = self.tokenizer(list(texts), add_special_tokens=False, split_special_tokens=split, **extra)
        ids: list[list[int]] = encoded["input_ids"]
        return ids

    def _has(self, text: str, ids: Sequence[int]) -> bool:
        return not self.control_ids.isdisjoint(ids) or (self._unknown is not None and self._unknown in text)

    def _as_text(self, text: str) -> list[int]:
        (ids,) = self._ids([text], split=True)
        if self.control_ids.isdisjoint(ids):
            return ids
        # The name of an added token that is not special, or one that is also an entry of the vocabulary.
        first, *rest = self._pieces(text)
        return [*self._ids([first], split=True)[0], *(token for piece in rest for token in self._continued(piece))]

    def _pieces(self, text: str) -> Iterator[str]:
        """Cut a text within the names of control tokens, before their last character."""

        def found(length: int) -> bool:
            return not self.control_ids.isdisjoint(self._ids([text[:length]], split=True)[0])

        while text:
            reach = 16
            while reach < len(text) and not found(reach):
                reach *= 2
            end = bisect_left(range(min(reach, len(text)) + 1), True, lo=1, key=found)
            end = max(end - 1, 1) if end <= len(text) else len(text)
            yield text[:end]
            text = text[end:]

    def _continued(self, piece: str) -> list[int]:
        """Return the ids of a text that continues another, without the space that some tokenizers put before a text."""
        (newline,), (ids,) = self._ids(["\n"]), self._ids([f"\n{piece}"], split=True)
        return ids[len(newline) :] if ids[: len(newline)] == newline else self._ids([piece], split=True)[0]


def _is_control(name: str, *, special: bool) -> bool:
    """Whether an added token is a control token, and not a frequent piece of text (a run of spaces, a word)."""
    if len(name) < 2 or not name.strip(" \t\r\n\u2581"):
        return False
    is_markup = not (name[0].isalnum() or name[-1].isalnum()) and any(map(str.isalnum, name))
    return special or (is_markup and not _HTML.fullmatch(name))
