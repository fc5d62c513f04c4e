"""The in-tree benchmarks and their tasks."""
