"""Backbones that come with micl."""
