"""Announces the modalities; what they need is imported when one is asked for."""

from __future__ import annotations

from micl_cli.api import Register, hookimpl


@hookimpl
def micl_register_modalities(register: Register) -> None:
    """Announce image, audio and video."""
    register("image", "micl_modalities.image:Image", "Pictures as 8-bit RGB: upright, on white, the first frame.")
    register("audio", "micl_modalities.audio:Audio", "Sounds as mono float32 at a stated rate.")
    register("video", "micl_modalities.video:Video", "Clips as a few 8-bit RGB frames sampled evenly.")
