"""Presets of the composed backbone, and well-known checkpoints: data."""
