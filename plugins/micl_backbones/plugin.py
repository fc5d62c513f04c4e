"""Announces the in-tree backbones, adapter kinds and encoders."""

from __future__ import annotations

from micl_cli.api import Register, hookimpl

BACKBONES = {
    "composed": (
        "micl_backbones.composed.backbone:Composed",
        "a language model, one frozen encoder per modality, and connectors",
    ),
    "tiny": ("micl_backbones.composed.named:Tiny", "composed of small models in this package; no download"),
    "tiny-plain": (
        "micl_backbones.composed.named:TinyPlain",
        "like tiny, but trained on nothing of mini: for comparisons",
    ),
    "smol": ("micl_backbones.composed.named:Smol", "composed of pretrained models of laptop size; fetched once"),
    "hf": ("micl_backbones.hf.backbone:HF", "any multimodal transformers checkpoint: hf:ID or hf:FOLDER"),
}
ADAPTERS = {
    "lora": ("micl_backbones.adapters.lora:Lora", "low-rank matrices, optionally with a trainable matrix in between"),
    "experts": ("micl_backbones.adapters.experts:Experts", "LoRA experts in each layer, weighted by a gate"),
    "prompts": ("micl_backbones.adapters.prompts:Prompts", "trainable input embeddings before the content"),
    "woven": (
        "micl_backbones.adapters.woven:Woven",
        "a low-rank pair, gated together with frozen pairs learnt earlier",
    ),
    "connectors": ("micl_backbones.adapters.connectors:ConnectorsOnly", "connectors, and no change of the layers"),
}
_CONV, _PRETRAINED = "micl_backbones.composed.encoders.conv", "micl_backbones.composed.encoders.pretrained"
ENCODERS = {
    "conv-image": (f"{_CONV}:ConvImage", "a small convolutional network for images"),
    "conv-sound": (f"{_CONV}:ConvSound", "a small convolutional network for sounds"),
    "conv-video": (f"{_CONV}:ConvVideo", "a small convolutional network for videos"),
    "efficientnet-lite": (f"{_PRETRAINED}:EfficientNetLite", "EfficientNet-lite0 for images and videos"),
    "whisper": (f"{_PRETRAINED}:Whisper", "the lower layers of Whisper's encoder"),
    "hf-vision": (f"{_PRETRAINED}:HFVision", "an image encoder of transformers: CLIP, SigLIP, DINOv2, ViT, ..."),
    "hf-audio": (f"{_PRETRAINED}:HFAudio", "an audio encoder of transformers: AST, CLAP, Whisper, ..."),
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
