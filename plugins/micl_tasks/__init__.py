"""Benchmarks and their tasks."""
