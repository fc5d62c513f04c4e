"""Adapter kinds, and adapters on models of transformers."""
