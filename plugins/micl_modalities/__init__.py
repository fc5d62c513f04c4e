"""In-tree modalities: image, audio and video, read from files."""
