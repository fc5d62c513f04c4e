"""Tuning: a search for the options of strategies on validation data, with the same effort for each."""
