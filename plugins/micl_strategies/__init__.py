"""Strategies that come with micl: one file each, to be read beside its paper."""
