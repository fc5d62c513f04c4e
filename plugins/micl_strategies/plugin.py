"""Announces the strategies that come with micl."""

from __future__ import annotations

from micl_cli.api import Register, hookimpl


@hookimpl
def micl_register_strategies(register: Register) -> None:
    register("zeroshot", "micl_strategies.zeroshot:ZeroShot", "learn nothing: the lower row")
    register("finetune", "micl_strategies.finetune:Finetune", "learn each task in turn; nothing against forgetting")
    register("joint", "micl_strategies.joint:Joint", "learn all tasks at once: the upper bound")
    register("lwf", "micl_strategies.lwf:LwF", "distil the former model on the new task's examples")
    register("ewc", "micl_strategies.ewc:EWC", "hold the weights that earlier tasks depend on")
    register("ewf", "micl_strategies.ewf:EWF", "fuse the weights before and after each task")
    register("replay", "micl_strategies.replay:Replay", "rehearse kept examples of earlier tasks")
    register("olora", "micl_strategies.olora:OLoRA", "learn each task in LoRA ranks orthogonal to those before")
    register("moincl", "micl_strategies.moincl:MoInCL", "pseudo targets, distillation on instructions, weight fusion")
    register("router", "micl_strategies.router:RouterIsolation", "an expert for each task, and a router among them")
