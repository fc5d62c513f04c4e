"""Atomic writing of files, guarded reading of text, locks, JSON lines, and control characters."""
