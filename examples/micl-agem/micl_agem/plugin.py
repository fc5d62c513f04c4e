"""Announces the strategy agem. Every command that uses plugins imports this module: keep it light."""

from __future__ import annotations

from micl_cli.api import Register, hookimpl


@hookimpl
def micl_register_strategies(register: Register) -> None:
    register("agem", "micl_agem.strategy:AGEM", "no step that increases the loss on stored examples (A-GEM)")
