"""Atomic writing of files, guarded reading of text, locks, processes, JSON lines, and control characters."""
