"""Metrics that follow the evaluation of one published suite, quirks included."""
