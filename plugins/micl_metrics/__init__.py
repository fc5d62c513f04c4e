"""Metrics for captions (CIDEr-D, BLEU-4, ROUGE-L) and for short answers (accuracy, VQA accuracy)."""
