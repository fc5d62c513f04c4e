"""The in-tree modalities: image, audio and video, read from disk."""
