"""Benchmarks of general ability: POPE, MME, MMBench and SEED-Bench, on which nothing is learnt."""
