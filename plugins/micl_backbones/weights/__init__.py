"""Weights: download, conversion, digests and quantisation."""
