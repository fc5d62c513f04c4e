"""Learning and evaluation, independent of the store and the command line."""
