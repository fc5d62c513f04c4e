"""Announces the in-tree listeners."""

from __future__ import annotations

from micl_cli.api import Register, hookimpl


@hookimpl
def micl_register_listeners(register: Register) -> None:
    register("tensorboard", "micl_listeners.tensorboard:TensorBoard", "event files for TensorBoard")
    register("wandb", "micl_listeners.wandb:WeightsAndBiases", "a run of Weights & Biases, online or offline")
    register("mlflow", "micl_listeners.mlflow:MLflow", "a run of MLflow, in a local database or on a server")
