"""Announces the in-tree routers."""

from __future__ import annotations

from micl_cli.api import Register, hookimpl


@hookimpl
def micl_register_routers(register: Register) -> None:
    register("mllm", "micl_routers.mllm:MLLMRouter", "the model itself names the task, with a router adapter (MR-LoRA)")
    register("prototype", "micl_routers.prototype:PrototypeRouter", "nearest class mean of frozen features")
    register("ridge", "micl_routers.ridge:RidgeRouter", "closed-form ridge regression on frozen features")
    register("rule", "micl_routers.rule:RuleRouter", "modality and leading words of the prompt: a baseline")
    register("oracle", "micl_routers.oracle:OracleRouter", "the true task of each query: the upper bound")
