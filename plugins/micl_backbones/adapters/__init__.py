"""In-tree adapter kinds, and adapters on transformers models."""
