"""A-GEM for micl."""
