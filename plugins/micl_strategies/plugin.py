"""Announces the in-tree strategies."""

from __future__ import annotations

from micl_cli.api import Register, hookimpl


@hookimpl
def micl_register_strategies(register: Register) -> None:
    register("zeroshot", "micl_strategies.zeroshot:ZeroShot", "learn nothing: the lower bound")
    register(
        "finetune", "micl_strategies.finetune:Finetune", "learn one task after another; nothing against forgetting"
    )
    register("joint", "micl_strategies.joint:Joint", "learn all tasks at once: the upper bound")
    register("single", "micl_strategies.single_task:SingleTask", "learn each task alone, in an adapter of its own")
    register("connectors", "micl_strategies.connectors:Connectors", "learn the connectors only, with LoRA frozen")
    register(
        "baseline",
        "micl_strategies.baseline:Baseline",
        "answer without a model: the most frequent answers and a constant caption",
    )
    register("lwf", "micl_strategies.lwf:LwF", "distil the previous model on the new task's examples")
    register("ewc", "micl_strategies.ewc:EWC", "penalise changes of the weights that earlier tasks depend on")
    register("ewf", "micl_strategies.ewf:EWF", "fuse the weights before and after each task")
    register("replay", "micl_strategies.replay:Replay", "rehearse stored examples of earlier tasks")
    register("olora", "micl_strategies.olora:OLoRA", "learn each task in LoRA ranks orthogonal to those before")
    register(
        "pathweave",
        "micl_strategies.pathweave:PathWeave",
        "an adapter for each set of modalities, woven with earlier ones",
    )
    register(
        "slm", "micl_strategies.slm:SLM", "a pool of low-rank increments, weighted for each example by trained keys"
    )
    register("moincl", "micl_strategies.moincl:MoInCL", "pseudo targets, distillation on instructions, weight fusion")
    register(
        "router", "micl_strategies.router:RouterIsolation", "one expert per task, and a router that selects among them"
    )
