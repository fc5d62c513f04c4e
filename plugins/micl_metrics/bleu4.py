"""Corpus BLEU-4."""

from __future__ import annotations

from typing import ClassVar

from micl_metrics.bleu import BLEU


class BLEU4(BLEU):
    """BLEU-4, the BLEU that papers on captioning report; see :class:`micl_metrics.bleu.BLEU`."""

    name: ClassVar[str] = "bleu4"
    task_types: ClassVar[frozenset[str]] = frozenset({"captioning"})
    order: ClassVar[int] = 4
