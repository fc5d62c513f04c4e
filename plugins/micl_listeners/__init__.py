"""Listeners that send runs to experiment trackers."""
