"""Announces the routers that come with micl."""

from __future__ import annotations

from micl_cli.api import Register, hookimpl


@hookimpl
def micl_register_routers(register: Register) -> None:
    register("mllm", "micl_routers.mllm:MLLMRouter", "the model itself names the task, by a router adapter of its own")
    register("prototype", "micl_routers.prototype:PrototypeRouter", "nearest class mean on frozen features")
    register("ridge", "micl_routers.ridge:RidgeRouter", "ridge regression on frozen features, in closed form")
    register("oracle", "micl_routers.oracle:OracleRouter", "knows the task: the upper bound")
