"""Reports: the figures of continual learning, their statistics, and output formats."""
