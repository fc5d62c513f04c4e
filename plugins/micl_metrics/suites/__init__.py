"""Scoring rules of single benchmarks: those of the authors' releases, and strict ones beside them."""
