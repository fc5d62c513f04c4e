"""Atomic writing of files, locks, and JSON lines."""
