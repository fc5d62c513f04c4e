"""Multiple choice by letters: the choices that a prompt lists, and the one that a free reply names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from string import ascii_uppercase

from micl_cli.api.task import Example

_IN_BRACKETS = re.compile(r"\(([A-Z])\)[ \t]*([^\n(]*)")
_BY_LINE = re.compile(r"^[ \t]*([A-Z])[.:)][ \t]*(.*)$", re.MULTILINE)
_ALONE = re.compile(r"[(\[*]*([A-Za-z])[)\]*.:]*")
_LEADING = re.compile(r"([A-Z])[)\].:,]+(?=\s)")
_AFTER_CUE = re.compile(
    r"\b(?:[Aa]nswer|ANSWER|[Oo]ption|[Cc]hoice)(?:\s+is\b|\s*:)*[\s*_]*(?:[(\[]([A-Za-z])[)\]]|([A-Z])(?![\w']))"
)
_CUE = re.compile(r"\banswer\b\W{0,4}(?:is\b:?|:)", re.IGNORECASE)
_BRACKETED = re.compile(r"[(\[]([A-Z])[)\]]")
_WORD = re.compile(r"(?<![\w'])([A-Z])(?![\w'])")


def lettered(texts: Sequence[str]) -> dict[str, str]:
    """Return choices by letter, from A on."""
    return dict(zip(ascii_uppercase, texts, strict=False))


def choices_of(example: Example) -> dict[str, str]:
    """Return the choices of an example by letter: its own, those of its ``meta``, or those that its prompt lists."""
    own = example.meta.get("choices")
    return lettered(example.choices) or (dict(own) if isinstance(own, Mapping) else {}) or choices_in(example.prompt)


def choices_in(prompt: str) -> dict[str, str]:
    """Return the choices that a prompt lists, such as "(A) a dog" or a line "A. a dog", by letter; {} if none."""
    for pattern in (_IN_BRACKETS, _BY_LINE):
        found = {letter: text.strip() for letter, text in pattern.findall(prompt)}
        if len(found) > 1 and list(found) == list(ascii_uppercase[: len(found)]):
            return found
    return {}


def chosen_letter(reply: str, choices: Mapping[str, str]) -> str:
    """Return the letter of the choice that a reply names, or an empty string if it names none, or several.

    The first rule that applies decides: a reply that is a letter; a letter after "answer", "option" or "choice" (the
    last); a letter at the beginning, before a full stop, colon or bracket; letters in brackets; the text of a choice,
    after "answer is" or anywhere; a capital letter that stands alone. "A" and "I", which are words, count as the last
    only at the end.
    """
    text = reply.strip()
    if (alone := _ALONE.fullmatch(text)) and alone[1].upper() in choices:
        return alone[1].upper()
    cues = [(first or second).upper() for first, second in _AFTER_CUE.findall(text)]
    leading = _LEADING.match(text)
    for letters in (cues[-1:], [leading[1]] if leading else [], _BRACKETED.findall(text)):
        if named := {letter for letter in letters if letter in choices}:
            return named.pop() if len(named) == 1 else ""
    tail = text[[cue.end() for cue in _CUE.finditer(text)][-1] :] if _CUE.search(text) else ""
    return _letter_of_text(tail, choices) or _letter_of_text(text, choices) or _standing_alone(text, choices)


def _letter_of_text(reply: str, choices: Mapping[str, str]) -> str:
    """Return the letter of the only choice whose text occurs in a reply as words, and not within a longer one."""
    rest = _folded(reply)
    texts = {letter: text for letter, own in choices.items() if (text := _folded(own))}
    found = [letter for letter, text in texts.items() if text == rest]
    if not found:
        for letter, text in sorted(texts.items(), key=lambda item: -len(item[1])):
            rest, count = re.subn(rf"(?<!\w){re.escape(text)}(?!\w|\.\d)", "\0", rest)
            found += [letter] * bool(count)
    return found[0] if len(found) == 1 else ""


def _standing_alone(reply: str, choices: Mapping[str, str]) -> str:
    last = reply.rstrip(" .!*)\n")[-2:]
    named = {
        letter for letter in _WORD.findall(reply) if letter in choices and (letter not in "AI" or last == f" {letter}")
    }
    return named.pop() if len(named) == 1 else ""


def _folded(text: str) -> str:
    return " ".join(text.casefold().split()).strip(" .")
