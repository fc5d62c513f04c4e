"""Check before learning that a checkpoint can process the content of the examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from micl_backbones.hf.chat import Chat
from micl_cli.api import Example, MiclError, PlanError

_HINT = "Choose another --backbone, or tasks with less content per example."


def check_content(chat: Chat, examples: Sequence[Example], read: Callable[[Example], Any]) -> None:
    """Raise PlanError if the processor or the chat template cannot process an example; ``read`` reads its media."""
    for example in examples:
        prompt = chat.prompts([example])[0]
        for modality, count in Counter(medium.modality for medium in example.media).items():
            places = chat.places(prompt.text, modality)
            if places is not None and places < count:
                what = f"{count} media of modality {modality} in one example"
                raise PlanError(f"{_named(example)}: this checkpoint's chat template does not support {what}", _HINT)
        try:
            chat.encoded([prompt], [read(example)])
        except MiclError:
            raise
        except Exception as error:  # processors may raise anything
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise PlanError(f"{_named(example)}: this checkpoint's processor fails: {reason}", _HINT) from error


def _named(example: Example) -> str:
    content = " + ".join("text" if isinstance(item, str) else item.modality for item in example.content)
    return f"example {example.id} of {example.task or 'a task'} ({content or 'no content'})"
