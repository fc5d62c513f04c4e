"""Multimodal checkpoints of transformers as backbones."""
