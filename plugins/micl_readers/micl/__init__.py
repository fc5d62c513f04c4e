"""The six data sets of MICL, one module each."""
