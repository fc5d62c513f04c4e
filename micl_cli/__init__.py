"""micl: a workbench for continual learning of multimodal language models."""

__version__ = "0.1.0"
