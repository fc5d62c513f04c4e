"""Multimodal transformers checkpoints as backbones."""
