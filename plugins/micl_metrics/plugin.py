"""Announces the in-tree metrics."""

from __future__ import annotations

from micl_cli.api import Register, hookimpl


@hookimpl
def micl_register_metrics(register: Register) -> None:
    """Register the metrics for captions and for short answers."""
    register("cider", "micl_metrics.cider:CIDEr", "CIDEr-D: tf-idf weighted n-gram agreement of captions")
    register("bleu1", "micl_metrics.bleu:BLEU1", "corpus BLEU-1: precision of words with a brevity penalty")
    register("bleu2", "micl_metrics.bleu:BLEU2", "corpus BLEU-2: precision of n-grams up to 2 words")
    register("bleu3", "micl_metrics.bleu:BLEU3", "corpus BLEU-3: precision of n-grams up to 3 words")
    register("bleu4", "micl_metrics.bleu4:BLEU4", "corpus BLEU-4: n-gram precision of captions with a brevity penalty")
    register("rouge_l", "micl_metrics.rouge_l:RougeL", "ROUGE-L: longest common subsequence of captions, beta 1.2")
    register(
        "meteor", "micl_metrics.meteor:Meteor", "METEOR 1.5: alignment of captions by word, stem and synonym (Java)"
    )
    register(
        "caption_mean7",
        "micl_metrics.caption_mean:CaptionMean7",
        "UCIT's mean of BLEU-1 to 4, METEOR, ROUGE-L and CIDEr-D (Java)",
    )
    register(
        "caption_mean6",
        "micl_metrics.caption_mean:CaptionMean6",
        "mean of BLEU-1 to 4, ROUGE-L and CIDEr-D, without METEOR",
    )
    register("accuracy", "micl_metrics.accuracy:Accuracy", "exact match with any reference, after normalisation")
    register(
        "exact_upper", "micl_metrics.exact_upper:ExactUpper", "equality with any reference in upper case, unstripped"
    )
    register("contains", "micl_metrics.contains:Contains", "a reference is contained in the answer, whatever the case")
    register("f1", "micl_metrics.f1:F1", "token F1 with the best reference, as in SQuAD")
    register(
        "vqa_accuracy",
        "micl_metrics.vqa_accuracy:VQAAccuracy",
        "min(1, matching annotators / 3), averaged over leaving one out",
    )
    register(
        "vqa_accuracy_simple",
        "micl_metrics.vqa_accuracy_simple:VQAAccuracySimple",
        "min(1, matching annotators / 3), without leaving one out",
    )
    register("anls", "micl_metrics.anls:ANLS", "normalised Levenshtein similarity, 0 below 0.5 (DocVQA)")
    register("anls_star", "micl_metrics.anls:ANLSStar", "normalised Levenshtein similarity without a cut (TriGap)")
    register("iou50", "micl_metrics.iou50:IoU50", "the answer's box overlaps with the right one by more than half")
    register(
        "instruction_following",
        "micl_metrics.instruction_following:InstructionFollowing",
        "the answer has the shape that was asked for, right or wrong (MIF)",
    )
