"""Reports: the figures of continual learning, and how they are written down."""
