"""Tuning: the search for the options of each strategy, on validation data and with the same effort for each."""
