"""Sequential fine-tuning, the baseline of every continual-learning paper.

Deviations: none from the usual definition but that only the connectors of a task's own modalities are learnt with it.
"""

from __future__ import annotations

from micl_strategies.single_adapter import SingleAdapter


class Finetune(SingleAdapter):
    """Learn one task after another and do nothing against forgetting: the baseline that every method must beat."""
