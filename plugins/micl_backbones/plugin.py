"""Announces the backbones that come with micl."""

from __future__ import annotations

from micl_cli.api import Register, hookimpl


@hookimpl
def micl_register_backbones(register: Register) -> None:
    register(
        "composed",
        "micl_backbones.composed.backbone:Composed",
        "a language model, one frozen encoder a modality, connectors",
    )
    register(
        "tiny", "micl_backbones.composed.backbone:Tiny", "composed from the small weights in this package; no download"
    )
    register("smol", "micl_backbones.composed.backbone:Smol", "composed from real parts of laptop size; fetched once")
    register("hf", "micl_backbones.hf.backbone:HF", "any multimodal checkpoint of transformers: hf:ID or hf:FOLDER")
