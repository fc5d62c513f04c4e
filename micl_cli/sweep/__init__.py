"""Sweeps: a grid of plans, each cell learnt in a process of its own."""
