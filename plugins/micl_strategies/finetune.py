"""Sequential fine-tuning."""

from __future__ import annotations

from micl_cli.api import Strategy


class Finetune(Strategy):
    """Learn each task in turn, and do nothing against forgetting: what every method must beat."""
