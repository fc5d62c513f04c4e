"""Announces the backbones that come with micl."""

from __future__ import annotations

from micl_cli.api import Register, hookimpl

BACKBONES = {
    "composed": (
        "micl_backbones.composed.backbone:Composed",
        "a language model, one frozen encoder a modality, connectors",
    ),
    "tiny": ("micl_backbones.composed.named:Tiny", "composed from the small weights in this package; no download"),
    "smol": ("micl_backbones.composed.named:Smol", "composed from real parts of laptop size; fetched once"),
    "hf": ("micl_backbones.hf.backbone:HF", "any multimodal checkpoint of transformers: hf:ID or hf:FOLDER"),
}
ADAPTERS = {
    "lora": ("micl_backbones.adapters.lora:Lora", "low-rank matrices, with a trainable matrix between them if wanted"),
    "experts": ("micl_backbones.adapters.experts:Experts", "several LoRA experts in each layer, and a gate"),
    "prompts": ("micl_backbones.adapters.prompts:Prompts", "input embeddings before the content"),
}
_CONV, _PRETRAINED = "micl_backbones.composed.encoders.conv", "micl_backbones.composed.encoders.pretrained"
ENCODERS = {
    "conv-image": (f"{_CONV}:ConvImage", "a small convolutional network for pictures"),
    "conv-sound": (f"{_CONV}:ConvSound", "a small convolutional network for sounds"),
    "conv-video": (f"{_CONV}:ConvVideo", "a small convolutional network for clips"),
    "efficientnet-lite": (f"{_PRETRAINED}:EfficientNetLite", "EfficientNet-lite0 for pictures and clips"),
    "whisper": (f"{_PRETRAINED}:Whisper", "the lower layers of Whisper's encoder"),
    "hf-vision": (f"{_PRETRAINED}:HFVision", "a picture encoder of transformers: CLIP, SigLIP, DINOv2, ViT, ..."),
    "hf-audio": (f"{_PRETRAINED}:HFAudio", "a sound encoder of transformers: AST, CLAP, Whisper, ..."),
}


@hookimpl
def micl_register_backbones(register: Register) -> None:
    for name, (target, summary) in BACKBONES.items():
        register(name, target, summary)


@hookimpl
def micl_register_adapters(register: Register) -> None:
    for name, (target, summary) in ADAPTERS.items():
        register(name, target, summary)


@hookimpl
def micl_register_encoders(register: Register) -> None:
    for name, (target, summary) in ENCODERS.items():
        register(name, target, summary)
