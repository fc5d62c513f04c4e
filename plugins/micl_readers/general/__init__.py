"""Benchmarks of general ability, for evaluation only: POPE, MME, MMBench and SEED-Bench."""
