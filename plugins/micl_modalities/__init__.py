"""The modalities that come with micl: image, audio and video, read from disk."""
