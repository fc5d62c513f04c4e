"""Announces the in-tree metrics."""

from __future__ import annotations

from micl_cli.api import Register, hookimpl


@hookimpl
def micl_register_metrics(register: Register) -> None:
    """Register the metrics for captions and for short answers."""
    register("cider", "micl_metrics.cider:CIDEr", "CIDEr-D: tf-idf weighted n-gram agreement of captions")
    register("bleu4", "micl_metrics.bleu4:BLEU4", "corpus BLEU-4: n-gram precision of captions with a brevity penalty")
    register("rouge_l", "micl_metrics.rouge_l:RougeL", "ROUGE-L: longest common subsequence of captions, beta 1.2")
    register("accuracy", "micl_metrics.accuracy:Accuracy", "exact match with any reference, after normalisation")
    register(
        "vqa_accuracy",
        "micl_metrics.vqa_accuracy:VQAAccuracy",
        "min(1, matching annotators / 3), averaged over leaving one out",
    )
