"""Sequential fine-tuning."""

from __future__ import annotations

from micl_strategies.single import SingleAdapter


class Finetune(SingleAdapter):
    """Learn each task in turn, and do nothing against forgetting: what every method must beat."""
