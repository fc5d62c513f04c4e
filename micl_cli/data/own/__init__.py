"""Preparation of users' own data sets: files in a known format become a task of three splits."""
