"""Answers judged by a local language model."""
