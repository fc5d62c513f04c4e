"""In-tree strategies: one file per method, to be read beside its paper."""
