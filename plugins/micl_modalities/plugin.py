"""Announces the in-tree modalities; a modality's libraries are imported when it is loaded."""

from __future__ import annotations

from micl_cli.api import Register, hookimpl


@hookimpl
def micl_register_modalities(register: Register) -> None:
    """Register image, audio and video."""
    register("image", "micl_modalities.image:Image", "Images as 8-bit RGB: upright, on white, the first frame.")
    register("audio", "micl_modalities.audio:Audio", "Sounds as mono float32 at a stated rate.")
    register("video", "micl_modalities.video:Video", "Videos as a few 8-bit RGB frames, sampled evenly.")
