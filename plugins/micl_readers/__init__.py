"""Readers of published benchmarks."""
