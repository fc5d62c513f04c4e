"""Data files: presets of the composed backbone, and a list of well-known checkpoints."""
