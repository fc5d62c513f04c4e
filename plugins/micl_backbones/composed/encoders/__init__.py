"""Frozen encoders of the composed backbone, each a plugin: a medium becomes a few vectors."""
