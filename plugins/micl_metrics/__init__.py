"""In-tree metrics: CIDEr-D, BLEU-4 and ROUGE-L for captions, accuracy and VQA accuracy for short answers."""
