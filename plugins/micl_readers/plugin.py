"""Announces the in-tree readers of published benchmarks, and the formats of users' own data."""

from micl_cli.api import Register, hookimpl


@hookimpl
def micl_register_readers(register: Register) -> None:
    """Register the readers by the name of their benchmark."""
    register("mllm-cl-domain", "micl_readers.mllm_cl:Domain", "MLLM-CL: remote sensing to finance, five domains")


@hookimpl
def micl_register_formats(register: Register) -> None:
    """Register the formats by the name that `--format` takes."""
    register("csv", "micl_readers.formats.tables:Csv", "comma-separated values with a header")
    register("tsv", "micl_readers.formats.tables:Tsv", "tab-separated values with a header")
    register("json", "micl_readers.formats.records:Json", "a JSON list of objects, or one per line (JSON Lines)")
    register("parquet", "micl_readers.formats.parquet:Parquet", "a Parquet file, also with media as bytes")
    register("coco", "micl_readers.formats.coco:Coco", "COCO captions: images and captions by image id")
    register("vqa", "micl_readers.formats.vqa:Vqa", "VQA v2: a file of questions and one of answers")
    register("conversations", "micl_readers.formats.dialogues:Conversations", "LLaVA and ShareGPT conversations")
    register("messages", "micl_readers.formats.dialogues:Messages", "messages of chat models")
    register("alpaca", "micl_readers.formats.dialogues:Alpaca", "instruction and output, or query and response")
    register("imagefolder", "micl_readers.formats.folders:ImageFolder", "images by class, or with metadata")
    register("audiofolder", "micl_readers.formats.folders:AudioFolder", "sounds by class, or with metadata")
    register("videofolder", "micl_readers.formats.folders:VideoFolder", "clips by class, or with metadata")
    register("datasets", "micl_readers.formats.hub:Datasets", "what the `datasets` library opens, local or on the hub")
