"""Announces the in-tree readers of published benchmarks."""

from micl_cli.api import Register, hookimpl


@hookimpl
def micl_register_readers(register: Register) -> None:
    """Register the readers by the name of their benchmark."""
    register("mllm-cl-domain", "micl_readers.mllm_cl:Domain", "MLLM-CL: remote sensing to finance, five domains")
