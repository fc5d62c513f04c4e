"""Tiny random checkpoints of multimodal architectures, whole as from a hub: model, processor, tokenizer, chat template.

Each builder writes one into a folder: hidden size 64 (4-bit packing needs that much), 2 layers, some 300 tokens of
vocabulary, 4 to 16 tokens an image wherever the architecture lets it. Settings that a published checkpoint leaves to
its processor's class are left to it here too, so that what loads these meets the same defaults.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import torch
import transformers as hf
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

Builder: TypeAlias = Callable[[Path], None]

END = "<|im_end|>"
CORPUS = ["a photo of a cat .", "a dog barks loudly", "user assistant"]

SIZES = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
LANGUAGE = {**SIZES, "num_key_value_heads": 2, "max_position_embeddings": 4096, "initializer_range": 0.1}
AUDIO = {"encoder_layers": 2, "encoder_attention_heads": 4, "encoder_ffn_dim": 128, "d_model": 64, "num_mel_bins": 16}
SECONDS, FRAMES = 2, 100  # the longest sound, and its spectrogram's frames

VISION = {"depth": 2, "hidden_size": 64, "intermediate_size": 128, "num_heads": 4, "out_hidden_size": 64}
WINDOWED = {**VISION, "patch_size": 14, "window_size": 56, "fullatt_block_indexes": [1]}  # Qwen2.5
DEEPSTACK = {**VISION, "patch_size": 16, "num_position_embeddings": 16, "deepstack_visual_indexes": [0]}  # Qwen3

QWEN_TOKENS = {
    "image_token": "<|image_pad|>",
    "video_token": "<|video_pad|>",
    "vision_start_token": "<|vision_start|>",
    "vision_end_token": "<|vision_end|>",
}
OMNI_TOKENS = {
    "image_token": "<|IMAGE|>",
    "video_token": "<|VIDEO|>",
    "audio_token": "<|AUDIO|>",
    "vision_bos_token": "<|vision_bos|>",
    "vision_eos_token": "<|vision_eos|>",
    "audio_bos_token": "<|audio_bos|>",
    "audio_eos_token": "<|audio_eos|>",
}
OMNI_MARKS = {
    "image": "<|vision_bos|><|IMAGE|><|vision_eos|>",
    "video": "<|vision_bos|><|VIDEO|><|vision_eos|>",
    "audio": "<|audio_bos|><|AUDIO|><|audio_eos|>",
}
GEMMA_TOKENS = {
    "image_token": "<|image|>",
    "video_token": "<|video|>",
    "audio_token": "<|audio|>",
    "boi_token": "<|image>",
    "eoi_token": "<image|>",
    "boa_token": "<|audio>",
    "eoa_token": "<audio|>",
}
GEMMA_PATCHES = {"patch_size": 4, "pooling_kernel_size": 2}


def build_tokenizer(**named: str) -> Any:
    """A left-padding byte-level BPE. Each of `named` is a special token and an attribute of the tokenizer."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=["<pad>", "<|im_start|>", END, *named.values()],
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token=END,
        padding_side="left",
        extra_special_tokens=named,
    )


def chat_template(marks: Mapping[str, str]) -> str:
    """Turns of `<|im_start|>role ... <|im_end|>`, with `marks[modality]` where a medium stands."""
    media = "".join(f"{{% if part['type'] == '{modality}' %}}{mark}{{% endif %}}" for modality, mark in marks.items())
    return (
        "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
        "{% for part in message['content'] %}"
        + media
        + "{% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}"
        + END
        + "\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )


def language(tokenizer: Any, **more: Any) -> dict[str, Any]:
    """The language model's settings."""
    tokens = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None}
    return {**LANGUAGE, **tokens, "eos_token_id": tokenizer.eos_token_id, **more}


def save(folder: Path, model: Any, processor: Any) -> None:
    """Write the model and what prepares its inputs."""
    model.generation_config.pad_token_id = processor.tokenizer.pad_token_id
    model.generation_config.eos_token_id = processor.tokenizer.eos_token_id
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def clip() -> Any:
    return hf.CLIPVisionConfig(**SIZES, image_size=28, patch_size=14)


def llava(folder: Path) -> None:
    tokenizer = build_tokenizer(image_token="<image>")
    config = hf.LlavaConfig(
        vision_config=clip(),
        text_config=hf.LlamaConfig(**language(tokenizer)),
        image_token_index=tokenizer.image_token_id,
        image_seq_length=4,
    )
    images = hf.CLIPImageProcessor(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})
    processor = hf.LlavaProcessor(
        image_processor=images,
        tokenizer=tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=chat_template({"image": "<image>\n"}),
    )
    save(folder, hf.LlavaForConditionalGeneration(config), processor)


def llava_next(folder: Path) -> None:
    tokenizer = build_tokenizer(image_token="<image>")
    tiles = [[28, 56], [56, 28]]
    config = hf.LlavaNextConfig(
        vision_config=clip(),
        text_config=hf.LlamaConfig(**language(tokenizer)),
        image_token_index=tokenizer.image_token_id,
        image_grid_pinpoints=tiles,
        image_seq_length=4,
    )
    edges = {"size": {"shortest_edge": 28}, "crop_size": {"height": 28, "width": 28}}
    processor = hf.LlavaNextProcessor(
        image_processor=hf.LlavaNextImageProcessor(**edges, image_grid_pinpoints=tiles),
        tokenizer=tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=chat_template({"image": "<image>\n"}),
    )
    save(folder, hf.LlavaNextForConditionalGeneration(config), processor)


def llava_onevision(folder: Path) -> None:
    tokenizer = build_tokenizer(image_token="<image>", video_token="<video>")
    tiles, size = [[28, 28], [28, 56], [56, 28]], {"height": 28, "width": 28}
    config = hf.LlavaOnevisionConfig(
        vision_config=hf.SiglipVisionConfig(**SIZES, image_size=28, patch_size=14, vision_use_head=False),
        text_config=hf.Qwen2Config(**language(tokenizer)),
        image_token_index=tokenizer.image_token_id,
        video_token_index=tokenizer.video_token_id,
        image_grid_pinpoints=tiles,
    )
    processor = hf.LlavaOnevisionProcessor(
        image_processor=hf.LlavaOnevisionImageProcessor(size=size, image_grid_pinpoints=tiles),
        video_processor=hf.LlavaOnevisionVideoProcessor(size=size),
        tokenizer=tokenizer,
        num_image_tokens=4,
        vision_feature_select_strategy="full",
        chat_template=chat_template({"image": "<image>\n", "video": "<video>\n"}),
    )
    save(folder, hf.LlavaOnevisionForConditionalGeneration(config), processor)


def internvl(folder: Path) -> None:
    tokenizer = build_tokenizer(
        start_image_token="<img>",
        end_image_token="</img>",
        context_image_token="<IMG_CONTEXT>",
        video_token="<video>",
    )
    config = hf.InternVLConfig(
        vision_config=hf.InternVLVisionConfig(**SIZES, image_size=[56, 56], patch_size=[14, 14]),
        text_config=hf.Qwen2Config(**language(tokenizer)),
        image_token_id=tokenizer.context_image_token_id,
        image_seq_length=4,
    )
    size = {"height": 56, "width": 56}
    processor = hf.InternVLProcessor(
        image_processor=hf.GotOcr2ImageProcessor(size=size, max_patches=2),
        video_processor=hf.InternVLVideoProcessor(size=size),
        tokenizer=tokenizer,
        image_seq_length=4,
        chat_template=chat_template({"image": "<IMG_CONTEXT>\n", "video": "<video>\n"}),
    )
    save(folder, hf.InternVLForConditionalGeneration(config), processor)


def smolvlm(folder: Path) -> None:
    """The first SmolVLM: an Idefics3. (The second's processor needs a package that spells numbers.)"""
    tokenizer = build_tokenizer(
        image_token="<image>",
        fake_image_token="<fake_token_around_image>",
        global_image_token="<global-img>",
        end_of_utterance_token="<end_of_utterance>",
    )
    config = hf.Idefics3Config(
        vision_config=hf.Idefics3VisionConfig(**SIZES, image_size=56, patch_size=14).to_dict(),
        text_config=hf.LlamaConfig(**language(tokenizer)),
        image_token_id=tokenizer.image_token_id,
        pad_token_id=tokenizer.pad_token_id,
        scale_factor=2,
    )
    edge = {"longest_edge": 56}
    processor = hf.Idefics3Processor(
        image_processor=hf.Idefics3ImageProcessor(size=edge, max_image_size=edge, do_image_splitting=False),
        tokenizer=tokenizer,
        image_seq_len=4,
        chat_template=chat_template({"image": "<image>"}),
    )
    save(folder, hf.Idefics3ForConditionalGeneration(config), processor)


def patches(patch: int) -> dict[str, dict[str, Any]]:
    """Constructor arguments of Qwen's image and video processors, with limits in pixels.

    A token is a square of 2 x 2 patches, in a video of two frames. An image gets 4 to 9 tokens. The limits of a video
    are for each frame in Qwen2, for all of its frames together in Qwen3-VL.
    """
    token, shape = (2 * patch) ** 2, {"patch_size": patch, "merge_size": 2, "temporal_patch_size": 2}
    return {
        "image": {**shape, "size": {"shortest_edge": 4 * token, "longest_edge": 9 * token}},
        "video": {**shape, "size": {"shortest_edge": 4 * token, "longest_edge": 16 * token}},
    }


def mrope(*sections: int, interleaved: bool = False) -> dict[str, Any]:
    """Rotary embedding of time, height and width; `sections` sum to half a head's size."""
    more = {"mrope_interleaved": True} if interleaved else {}
    return {"rope_type": "default", "rope_theta": 1e6, "mrope_section": list(sections), **more}


def qwen_tokens(tokenizer: Any) -> dict[str, int]:
    return {f"{name}_id": tokenizer.convert_tokens_to_ids(token) for name, token in QWEN_TOKENS.items()}


def qwen_template() -> str:
    marks = {kind: f"<|vision_start|><|{kind}_pad|><|vision_end|>" for kind in ("image", "video")}
    return chat_template(marks)


def qwen2_vl(folder: Path) -> None:
    tokenizer, pixels = build_tokenizer(**QWEN_TOKENS), patches(14)
    config = hf.Qwen2VLConfig(
        text_config=language(tokenizer, rope_parameters=mrope(2, 3, 3)),
        vision_config={"depth": 2, "embed_dim": 64, "hidden_size": 64, "mlp_ratio": 2, "num_heads": 4},
        **qwen_tokens(tokenizer),
    )
    processor = hf.Qwen2VLProcessor(
        image_processor=hf.Qwen2VLImageProcessor(**pixels["image"]),
        video_processor=hf.Qwen2VLVideoProcessor(**pixels["video"]),
        tokenizer=tokenizer,
        chat_template=qwen_template(),
    )
    save(folder, hf.Qwen2VLForConditionalGeneration(config), processor)


def qwen2_5_vl(folder: Path) -> None:
    tokenizer, pixels = build_tokenizer(**QWEN_TOKENS), patches(14)
    config = hf.Qwen2_5_VLConfig(
        text_config=language(tokenizer, rope_parameters=mrope(2, 3, 3)),
        vision_config=WINDOWED,
        **qwen_tokens(tokenizer),
    )
    processor = hf.Qwen2_5_VLProcessor(
        image_processor=hf.Qwen2VLImageProcessor(**pixels["image"]),
        video_processor=hf.Qwen2VLVideoProcessor(**pixels["video"]),
        tokenizer=tokenizer,
        chat_template=qwen_template(),
    )
    save(folder, hf.Qwen2_5_VLForConditionalGeneration(config), processor)


def qwen3_vl(folder: Path) -> None:
    tokenizer, pixels = build_tokenizer(**QWEN_TOKENS), patches(16)
    config = hf.Qwen3VLConfig(
        text_config=language(tokenizer, head_dim=16, rope_parameters=mrope(4, 2, 2, interleaved=True)),
        vision_config=DEEPSTACK,
        **qwen_tokens(tokenizer),
    )
    processor = hf.Qwen3VLProcessor(
        image_processor=hf.Qwen2VLImageProcessor(**pixels["image"]),
        video_processor=hf.Qwen3VLVideoProcessor(**pixels["video"]),
        tokenizer=tokenizer,
        chat_template=chat_template(
            {"image": "<|vision_start|><|image_pad|><|vision_end|>", "video": "<|video_pad|>"},
        ),
    )
    save(folder, hf.Qwen3VLForConditionalGeneration(config), processor)


def whisper() -> Any:
    """Spectrograms of `FRAMES` frames for `SECONDS` at 16 kHz, from which four frames make a token."""
    return hf.WhisperFeatureExtractor(feature_size=16, chunk_length=SECONDS, hop_length=16000 * SECONDS // FRAMES)


def qwen2_audio(folder: Path) -> None:
    named = {name: token for name, token in OMNI_TOKENS.items() if name.startswith("audio")}
    tokenizer = build_tokenizer(**named)
    config = hf.Qwen2AudioConfig(
        audio_config=hf.Qwen2AudioEncoderConfig(**AUDIO, max_source_positions=FRAMES // 2),
        text_config=hf.Qwen2Config(**language(tokenizer)),
        audio_token_index=tokenizer.audio_token_id,
    )
    processor = hf.Qwen2AudioProcessor(
        feature_extractor=whisper(),
        tokenizer=tokenizer,
        chat_template=chat_template({"audio": OMNI_MARKS["audio"]}),
    )
    save(folder, hf.Qwen2AudioForConditionalGeneration(config), processor)


def omni_tokens(tokenizer: Any) -> dict[str, int]:
    """What both of the omni thinkers call their tokens."""
    return {
        "audio_start_token_id": tokenizer.audio_bos_token_id,
        "audio_end_token_id": tokenizer.audio_eos_token_id,
        "vision_start_token_id": tokenizer.vision_bos_token_id,
        "vision_end_token_id": tokenizer.vision_eos_token_id,
    }


def qwen2_5_thinker(tokenizer: Any) -> Any:
    return hf.Qwen2_5OmniThinkerConfig(
        text_config=language(tokenizer, tie_word_embeddings=False, rope_parameters=mrope(2, 3, 3)),
        vision_config=WINDOWED,
        audio_config={**AUDIO, "max_source_positions": FRAMES // 2, "n_window": 50, "output_dim": 64},
        image_token_index=tokenizer.image_token_id,
        video_token_index=tokenizer.video_token_id,
        audio_token_index=tokenizer.audio_token_id,
        initializer_range=LANGUAGE["initializer_range"],
        **omni_tokens(tokenizer),
    )


def qwen2_5_omni_processor(tokenizer: Any) -> Any:
    pixels = patches(14)
    return hf.Qwen2_5OmniProcessor(
        image_processor=hf.Qwen2VLImageProcessor(**pixels["image"]),
        video_processor=hf.Qwen2VLVideoProcessor(**pixels["video"]),
        feature_extractor=whisper(),
        tokenizer=tokenizer,
        chat_template=chat_template(OMNI_MARKS),
    )


def qwen2_5_omni(folder: Path) -> None:
    """The thinker alone."""
    tokenizer = build_tokenizer(**OMNI_TOKENS)
    model = hf.Qwen2_5OmniThinkerForConditionalGeneration(qwen2_5_thinker(tokenizer))
    save(folder, model, qwen2_5_omni_processor(tokenizer))


def qwen2_5_talker(tokenizer: Any) -> dict[str, Any]:
    codec, text = ("start", "end", "pad", "mask"), ("start", "end", "pad")
    return {
        **SIZES,
        **omni_tokens(tokenizer),
        **{f"tts_codec_{name}_token_id": i for i, name in enumerate(codec)},
        **{f"tts_text_{name}_token_id": i for i, name in enumerate(text)},
        "vocab_size": 32,
        "num_hidden_layers": 1,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "embedding_size": 64,
        "rope_parameters": mrope(2, 3, 3),
    }


DIT = {  # the vocoder's diffusion transformer
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "emb_dim": 16,
    "head_dim": 16,
    "num_embeds": 33,
    "enc_emb_dim": 16,
    "enc_dim": 16,
    "enc_channels": [16, 16, 16, 16, 48],
    "enc_attention_channels": 8,
    "enc_se_channels": 8,
}


def qwen2_5_omni_full(folder: Path) -> None:
    """Thinker, talker and vocoder, as published."""
    tokenizer = build_tokenizer(**OMNI_TOKENS)
    config = hf.Qwen2_5OmniConfig(
        thinker_config=qwen2_5_thinker(tokenizer).to_dict(),
        talker_config=qwen2_5_talker(tokenizer),
        token2wav_config={"dit_config": DIT, "bigvgan_config": {"upsample_initial_channel": 64}},
    )
    save(folder, hf.Qwen2_5OmniForConditionalGeneration(config), qwen2_5_omni_processor(tokenizer))


def experts(**more: Any) -> dict[str, Any]:
    """A mixture of experts."""
    return {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 64, **more}


def qwen3_thinker(tokenizer: Any) -> Any:
    return hf.Qwen3OmniMoeThinkerConfig(
        text_config=language(tokenizer, **experts(rope_parameters=mrope(4, 2, 2, interleaved=True))),
        vision_config=DEEPSTACK,
        audio_config={**AUDIO, "output_dim": 64, "downsample_hidden_size": 16, "max_source_positions": FRAMES // 2},
        image_token_id=tokenizer.image_token_id,
        video_token_id=tokenizer.video_token_id,
        audio_token_id=tokenizer.audio_token_id,
        initializer_range=LANGUAGE["initializer_range"],
        **omni_tokens(tokenizer),
    )


def qwen3_omni_processor(tokenizer: Any) -> Any:
    pixels = patches(16)
    return hf.Qwen3OmniMoeProcessor(
        image_processor=hf.Qwen2VLImageProcessor(**pixels["image"]),
        video_processor=hf.Qwen2VLVideoProcessor(**pixels["video"]),
        feature_extractor=whisper(),
        tokenizer=tokenizer,
        chat_template=chat_template(OMNI_MARKS),
    )


def qwen3_omni_moe(folder: Path) -> None:
    """The thinker alone."""
    tokenizer = build_tokenizer(**OMNI_TOKENS)
    model = hf.Qwen3OmniMoeThinkerForConditionalGeneration(qwen3_thinker(tokenizer))
    save(folder, model, qwen3_omni_processor(tokenizer))


def qwen3_omni_moe_full(folder: Path) -> None:
    """Thinker, talker and vocoder, as published."""
    tokenizer = build_tokenizer(**OMNI_TOKENS)
    voice = {**SIZES, "num_hidden_layers": 1, "num_key_value_heads": 2, "vocab_size": 32}
    shared = experts(shared_expert_intermediate_size=64)
    talker = {
        "text_config": {**voice, **shared},
        "code_predictor_config": {**voice, "head_dim": 16, "num_code_groups": 2},
        "thinker_hidden_size": 64,
        "num_code_groups": 2,
        "accept_hidden_layer": 1,
        "spatial_merge_size": 2,
    }
    vocoder = {
        **SIZES,
        "num_hidden_layers": 1,
        "num_key_value_heads": 4,
        "codebook_size": 32,
        "num_quantizers": 2,
        "decoder_dim": 64,
    }
    config = hf.Qwen3OmniMoeConfig(
        thinker_config=qwen3_thinker(tokenizer).to_dict(),
        talker_config=talker,
        code2wav_config=vocoder,
    )
    save(folder, hf.Qwen3OmniMoeForConditionalGeneration(config), qwen3_omni_processor(tokenizer))


def gemma4_config(tokenizer: Any) -> Any:
    text = {
        "head_dim": 16,
        "global_head_dim": 16,
        "hidden_size_per_layer_input": 16,
        "vocab_size_per_layer_input": len(tokenizer),
        "layer_types": ["sliding_attention", "full_attention"],
        "final_logit_softcapping": 30.0,
    }
    vision = {"num_key_value_heads": 4, "head_dim": 16, "position_embedding_size": 256}
    audio = {"subsampling_conv_channels": [16, 8], "output_proj_dims": 64}
    return hf.Gemma4Config(
        text_config=language(tokenizer, **text),
        vision_config={**SIZES, **GEMMA_PATCHES, **vision},
        audio_config={"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, **audio},
        **{f"{kind}_token_id": getattr(tokenizer, f"{kind}_token_id") for kind in ("image", "video", "audio")},
        **{f"{mark}_token_id": getattr(tokenizer, f"{mark}_token_id") for mark in ("boi", "eoi", "boa")},
        eoa_token_index=tokenizer.eoa_token_id,
    )


def gemma4(folder: Path) -> None:
    """Its processor allows no fewer than 70 tokens an image, so the patches are small instead."""
    tokenizer = build_tokenizer(**GEMMA_TOKENS)
    pixels = {**GEMMA_PATCHES, "max_soft_tokens": 70}
    processor = hf.Gemma4Processor(
        feature_extractor=hf.Gemma4AudioFeatureExtractor(feature_size=16),
        image_processor=hf.Gemma4ImageProcessor(**pixels),
        video_processor=hf.Gemma4VideoProcessor(**pixels),
        tokenizer=tokenizer,
        image_seq_length=70,
        chat_template=chat_template({kind: f"<|{kind}|>" for kind in ("image", "video", "audio")}),
    )
    save(folder, hf.Gemma4ForConditionalGeneration(gemma4_config(tokenizer)), processor)


BUILDERS: Mapping[str, Builder] = {
    builder.__name__: builder
    for builder in (
        llava,
        llava_next,
        llava_onevision,
        internvl,
        smolvlm,
        qwen2_vl,
        qwen2_5_vl,
        qwen3_vl,
        qwen2_audio,
        qwen2_5_omni,
        qwen2_5_omni_full,
        qwen3_omni_moe,
        qwen3_omni_moe_full,
        gemma4,
    )
}

SEES, WATCHES, HEARS = frozenset({"image"}), frozenset({"image", "video"}), frozenset({"audio"})
MODALITIES: Mapping[str, frozenset[str]] = {
    "llava": SEES,
    "llava_next": SEES,
    "llava_onevision": WATCHES,
    "internvl": WATCHES,
    "smolvlm": SEES,
    "qwen2_vl": WATCHES,
    "qwen2_5_vl": WATCHES,
    "qwen3_vl": WATCHES,
    "qwen2_audio": HEARS,
    "qwen2_5_omni": WATCHES | HEARS,
    "qwen2_5_omni_full": WATCHES | HEARS,
    "qwen3_omni_moe": WATCHES | HEARS,
    "qwen3_omni_moe_full": WATCHES | HEARS,
    "gemma4": WATCHES | HEARS,
}


def build(name: str, folder: Path) -> Path:
    """Write the checkpoint `name` of `BUILDERS` into `folder`, the same at each call, and return the folder."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BUILDERS[name](folder)
    return folder
