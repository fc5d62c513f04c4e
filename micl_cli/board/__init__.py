"""The board: a local page that lists runs and sweeps while they are learnt, and opens their reports."""
