"""Announces the in-tree metrics."""

from __future__ import annotations

from micl_cli.api import Register, hookimpl

MLLM_CL = (
    ("mllm_word", "mllm_cl:Word", "the reference occurs in the answer as words (strict)"),
    ("mllm_rs_release", "mllm_cl:RSRelease", "RS and AD, contained with a border on one side (as released)"),
    ("mllm_med_release", "mllm_cl:MedRelease", "Med, contained (as released)"),
    ("mllm_fin_release", "mllm_cl:FinRelease", "Fin, equality after removing blanks of the reply (as released)"),
    ("mllm_fin_strict", "mllm_cl:FinStrict", "Fin, equality without white space (strict)"),
    ("mllm_sci_release", "mllm_cl:SciRelease", "Sci, by the source of the image (as released)"),
    ("mllm_sci_strict", "mllm_cl:SciStrict", "Sci, by the source of the image (strict)"),
    ("mllm_ocr_release", "mllm_cl:OCRRelease", "OCR, any reference contained, by category (as released)"),
    ("mllm_ocr_strict", "mllm_cl:OCRStrict", "OCR, any reference contained, lines kept apart (strict)"),
    ("mllm_vp_release", "mllm_cl:VPRelease", "VP, contained without blanks (as released)"),
    ("mllm_vp_strict", "mllm_cl:VPStrict", "VP, contained as words (strict)"),
    ("mllm_math_rules", "mllm_rules:MathRules", "Math, answers extracted by rules in place of GPT"),
    ("mllm_app_rules", "mllm_rules:AppRules", "APP, the chosen letter by rules in place of the server"),
)
COIN_AND_NEXT = (
    ("coin_scienceqa_release", "coin:ScienceQARelease", "CoIN: the first letter that stands alone is the right option"),
    (
        "coin_scienceqa_answer_is",
        "coin:ScienceQAAnswerIs",
        'HiDe-LLaVA, SEFE: "The answer is A." names the right option',
    ),
    ("coin_scienceqa_strict", "coin:ScienceQAStrict", "the answer names the letter of the right option"),
    ("coin_textvqa_release", "coin:TextVQARelease", "TextVQA: VQA accuracy after EvalAI's normalisation"),
    ("coin_imagenet_release", "coin:ImageNetRelease", "CoIN: class in answer or answer in class; empty is right"),
    ("cvit_class_release", "coin:ClassRelease", "SMoLoRA: class in answer or answer in class, whatever the case"),
    ("coin_imagenet_strict", "coin:ImageNetStrict", "the answer names the class in whole words"),
    (
        "coin_gqa_release",
        "coin:GQARelease",
        "CoIN: equality of the lower-cased answer without final full stops",
    ),
    ("coin_ocrvqa_release", "coin:OCRVQARelease", 'CoIN: equality in lower case; "Unanswerable" is wrong'),
    ("coin_grounding_release", "coin:GroundingRelease", "CoIN: IoU over 0.5 of a box without its outer characters"),
    ("continual_next_short", "continual_next:ContinualNextShort", "Continual-NExT: equal letters, contained answers"),
    ("continual_next", "continual_next:ContinualNext", "Continual-NExT: as before, and cosine of long answers"),
)


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
        "the answer has the requested shape, right or wrong (MIF)",
    )
    register("sentence_cosine", "micl_metrics.sentence_cosine:SentenceCosine", "cosine of sentence embeddings (MiniLM)")
    for name, target, summary in MLLM_CL:
        register(name, f"micl_metrics.suites.{target}", f"MLLM-CL: {summary}")
    for name, target, summary in COIN_AND_NEXT:
        register(name, f"micl_metrics.suites.{target}", summary)
    register("judge", "micl_metrics.judge.metric:Judge", "a local language model judges answers: yes or no, and 0 to 5")
    register("pope", "micl_metrics.suites.pope:POPE", "yes or no by the release's rule, with F1 of each split (POPE)")
    register("pope_strict", "micl_metrics.suites.pope:StrictPOPE", "POPE, but an answer must begin with yes or no")
    register("mme", "micl_metrics.suites.mme:MME", "share of MME's points, with sums for perception and cognition")
    register("mmbench", "micl_metrics.suites.mmbench:MMBench", "letters right under every rotation (MMBench)")
