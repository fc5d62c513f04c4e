"""Weights: fetching, converting, telling them apart, storing them in fewer bits."""
