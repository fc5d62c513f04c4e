"""In-tree benchmarks and their tasks."""
