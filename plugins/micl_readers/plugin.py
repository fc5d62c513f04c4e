"""Announces the in-tree readers of published benchmarks."""

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
    register("trigap", "micl_readers.trigap:TriGap", "TriGap: documents, charts, medicine and scenes, ten tasks")
    register("cl4vqa", "micl_readers.cl4vqa:CL4VQA", "CL4VQA: VQA v2 by ten types of question")
    register(
        "continual-next", "micl_readers.continual_next:ContinualNExT", "Continual-NExT: fifteen tasks, three of text"
    )
    register("continual-news", "micl_readers.continual_next:ContinualNews", "Continual-News: news of four years, text")
    register("cl-vista", "micl_readers.cl_vista:CLVista", "CL-VISTA: questions about videos, eight tasks, by a judge")
    register("general", "micl_readers.general.reader:General", "POPE, MME, MMBench and SEED-Bench, for evaluation only")
