"""Announces the strategy agem. Imported by every command that looks at plugins: keep it light."""

from __future__ import annotations

from micl_cli.api import Register, hookimpl


@hookimpl
def micl_register_strategies(register: Register) -> None:
    register("agem", "micl_agem.strategy:AGEM", "never step where the loss on stored examples rises (Chaudhry et al.)")
