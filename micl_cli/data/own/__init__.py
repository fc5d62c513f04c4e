"""Preparation of user data: files in a known format become a task with splits."""
