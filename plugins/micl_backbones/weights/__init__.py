"""Model weights: downloading, conversion, digests, quantisation."""
