"""Announces the strategies that come with micl."""

from __future__ import annotations

from micl_cli.api import Register, hookimpl


@hookimpl
def micl_register_strategies(register: Register) -> None:
    register("finetune", "micl_strategies.finetune:Finetune", "learn each task in turn; nothing against forgetting")
    register("joint", "micl_strategies.joint:Joint", "learn all tasks at once: the upper bound")
    register("moincl", "micl_strategies.moincl:MoInCL", "pseudo targets, distillation on instructions, weight fusion")
