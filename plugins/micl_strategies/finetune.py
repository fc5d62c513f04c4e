"""Sequential fine-tuning, the baseline of every continual-learning paper.

Deviations: one from the usual definition: a task trains only the connectors of its own modalities.
"""

from __future__ import annotations

from micl_strategies.single_adapter import SingleAdapter


class Finetune(SingleAdapter):
    """Learn one task after another and do nothing against forgetting: the baseline that every method must beat."""
