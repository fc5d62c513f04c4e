"""Files that are written whole, locks, and JSON lines."""
