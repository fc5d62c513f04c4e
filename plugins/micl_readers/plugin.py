"""Announces the in-tree readers of published benchmarks and formats of user data."""

from micl_cli.api import Register, hookimpl


@hookimpl
def micl_register_readers(register: Register) -> None:
    """Register the readers by the name of their benchmark."""
    register("mllm-cl-domain", "micl_readers.mllm_cl:Domain", "MLLM-CL: remote sensing to finance, five domains")
    register(
        "mllm-cl-ability", "micl_readers.mllm_cl_ability:Ability", "MLLM-CL: text to user interfaces, four abilities"
    )
    register("ucit", "micl_readers.ucit:UCIT", "UCIT: ImageNet-R to Flickr30k captions, six tasks")
    register("coin", "micl_readers.coin:CoIN", "CoIN: ScienceQA to OCR-VQA, eight tasks, two sets of instructions")
    register("coin-asd", "micl_readers.coin:CoINASD", "CoIN-ASD: CoIN with answers in several styles")
    register("cvit", "micl_readers.cvit:CVIT", "CVIT: six tasks in sequence and four unseen ones")
    register(
        "mm-mergebench", "micl_readers.mm_mergebench:MMMergeBench", "MM-MergeBench: eight tasks to merge, four unseen"
    )
    register("trigap", "micl_readers.trigap:TriGap", "TriGap: documents, charts, medicine and scenes, ten tasks")
    register("cl4vqa", "micl_readers.cl4vqa:CL4VQA", "CL4VQA: VQA v2 by ten types of question")
    register(
        "continual-next", "micl_readers.continual_next:ContinualNExT", "Continual-NExT: fifteen tasks, three of text"
    )
    register("continual-news", "micl_readers.continual_next:ContinualNews", "Continual-News: news of four years, text")
    register("cl-vista", "micl_readers.cl_vista:CLVista", "CL-VISTA: questions about videos, eight tasks, by a judge")
    register("general", "micl_readers.general.reader:General", "POPE, MME, MMBench and SEED-Bench, for evaluation only")
    register("micl", "micl_readers.micl.reader:Micl", "MICL: captions and questions in three modalities, two orders")


@hookimpl
def micl_register_formats(register: Register) -> None:
    """Register the formats by the name that `--format` takes."""
    register("csv", "micl_readers.formats.tables:Csv", "comma-separated values with a header")
    register("tsv", "micl_readers.formats.tables:Tsv", "tab-separated values with a header")
    register("json", "micl_readers.formats.records:Json", "a JSON list of objects, or one per line (JSON Lines)")
    register("parquet", "micl_readers.formats.parquet:Parquet", "a Parquet file, optionally with media as bytes")
    register("coco", "micl_readers.formats.coco:Coco", "COCO captions: images and captions by image id")
    register("vqa", "micl_readers.formats.vqa:Vqa", "VQA v2: a file of questions and one of answers")
    register("conversations", "micl_readers.formats.dialogues:Conversations", "LLaVA and ShareGPT conversations")
    register("messages", "micl_readers.formats.dialogues:Messages", "messages of chat models")
    register("alpaca", "micl_readers.formats.dialogues:Alpaca", "instruction and output, or query and response")
    register("imagefolder", "micl_readers.formats.folders:ImageFolder", "images by class, or with metadata")
    register("audiofolder", "micl_readers.formats.folders:AudioFolder", "sounds by class, or with metadata")
    register("videofolder", "micl_readers.formats.folders:VideoFolder", "clips by class, or with metadata")
    register("datasets", "micl_readers.formats.hub:Datasets", "what the `datasets` library opens, local or on the hub")
