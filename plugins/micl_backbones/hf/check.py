"""Whether a checkpoint can take the content of an example, checked before anything is learnt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from micl_backbones.hf.chat import Chat
from micl_cli.api import Example, MiclError, PlanError

_HINT = "Choose another --backbone, or tasks whose examples have less content."


def check_content(chat: Chat, examples: Sequence[Example], read: Callable[[Example], Any]) -> None:
    """Raise PlanError where the processor or the chat template cannot take an example; ``read`` reads its media."""
    for example in examples:
        text = chat.prompts([example])[0]
        for modality, count in Counter(medium.modality for medium in example.media).items():
            places = chat.places(text, modality)
            if places is not None and places < count:
                what = f"{count} media of modality {modality} in one example"
                raise PlanError(f"{_named(example)}: this checkpoint's chat template does not take {what}", _HINT)
        try:
            chat.encoded([text], [read(example)])
        except MiclError:
            raise
        except Exception as error:  # processors raise anything
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise PlanError(f"{_named(example)}: this checkpoint's processor fails: {reason}", _HINT) from error


def _named(example: Example) -> str:
    shape = " + ".join(part if isinstance(part, str) else part.modality for part in _shape(example)) or "no content"
    return f"example {example.id} of {example.task or 'a task'} ({shape})"


def _shape(example: Example) -> list[Any]:
    return ["text" if isinstance(part, str) else part for part in example.content]
