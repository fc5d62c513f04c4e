"""Whole exports have the files of their checkpoint that they need, and no others."""

from __future__ import annotations

from pathlib import Path

from micl_backbones.export.composed import copy_checkpoint
from micl_backbones.export.merge import copy_checkpoint_files

PROCESSOR = {
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json"),
    *("vocab.txt", "merges.txt", "spiece.model", "qwen.tiktoken", "normalizer.json"),
    *("chat_template.json", "chat_template.jinja", "additional_chat_templates/tool.jinja"),
    *("preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json"),
}
WEIGHTS = {"config.json", "model.safetensors", "model.safetensors.index.json"}
OTHERS = {
    *("trainer_state.json", "training_args.json", "notes.txt", "token.txt", "optimizer.pt", ".git/config"),
    *("generation_config.json", "train.json", "logs/tokenizer.json"),
}


def checkpoint(folder: Path) -> Path:
    for name in PROCESSOR | WEIGHTS | OTHERS:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_of_a_checkpoint_its_tokenizer_and_processor_are_copied(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    copy_checkpoint_files(checkpoint(tmp_path / "base"), tmp_path / "out")
    assert files(tmp_path / "out") == PROCESSOR


def test_an_encoder_is_copied_without_what_its_training_left(tmp_path: Path) -> None:
    copy_checkpoint(checkpoint(tmp_path / "base"), tmp_path / "out")
    assert files(tmp_path / "out") == PROCESSOR | WEIGHTS
