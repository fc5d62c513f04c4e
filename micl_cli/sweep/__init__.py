"""Sweeps: a grid of plans, each learnt in its own process."""
