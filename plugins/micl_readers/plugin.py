"""Announces the in-tree readers of published benchmarks."""

from micl_cli.api import Register, hookimpl


@hookimpl
def micl_register_readers(register: Register) -> None:
    """Register the readers by the name of their benchmark."""
    register("mllm-cl-domain", "micl_readers.mllm_cl:Domain", "MLLM-CL: remote sensing to finance, five domains")
    register(
        "mllm-cl-ability", "micl_readers.mllm_cl_ability:Ability", "MLLM-CL: text to user interfaces, four abilities"
    )
    register("cl-vista", "micl_readers.cl_vista:CLVista", "CL-VISTA: questions about videos, eight tasks, by a judge")
    register("general", "micl_readers.general.reader:General", "POPE, MME, MMBench and SEED-Bench, for evaluation only")
