"""Check of the length of answers against ``max_new_tokens``, before anything is learnt."""

from __future__ import annotations

from micl_cli.api.task import CHOICE, Task
from micl_cli.training.components import RunComponents


def answer_notes(components: RunComponents) -> list[str]:
    """Return a note for each task with references that are longer than generated answers can be.

    The references of the splits that are answered are counted, under the backbone's tokenizer; nothing is known of a
    backbone that does not count tokens.
    """
    limit = components.plan.evaluation.max_new_tokens
    counts = [(task, _token_counts(components, task, limit)) for task in components.tasks if task.type != CHOICE]
    return [_note(task, lengths, limit) for task, lengths in counts if lengths and max(lengths) > limit]


def _token_counts(components: RunComponents, task: Task, limit: int) -> list[int]:
    """Return the number of tokens of each reference; empty if none can be longer than ``limit``."""
    # A token is at least one byte of text.
    if task.longest_reference and len(task.longest_reference.encode()) <= limit:
        return []
    splits = dict.fromkeys((components.plan.evaluation.split, "val"))
    texts = [text for split in splits for example in task.examples(split) for text in example.references]
    distinct = list(dict.fromkeys(texts))
    lengths = components.backbone.answer_lengths(distinct) if distinct else None
    if lengths is None:
        return []
    length_of = dict(zip(distinct, lengths, strict=True))
    return [length_of[text] for text in texts]


def _note(task: Task, lengths: list[int], limit: int) -> str:
    longer, longest = sum(length > limit for length in lengths), max(lengths)
    return (
        f"{task.name}: {longer} of {len(lengths)} references are longer than --max-new-tokens {limit}; the longest has "
        f"{longest} tokens. Such answers are cut and score too low: use --max-new-tokens {longest + 1}"
    )
