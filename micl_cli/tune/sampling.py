"""Sampling of trials by optuna's tree-structured Parzen estimator (Bergstra et al. 2011)."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from micl_cli.tune.records import TrialRecord
from micl_cli.tune.space import Dimension

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

STARTUP_TRIALS = 4
"""The number of first trials, the defaults included, that do not depend on the results of others."""


def sample(space: Sequence[Dimension], ended: Sequence[TrialRecord], number: int) -> dict[str, Any]:
    """Return the values of trial ``number`` by option; trial 0 has the defaults.

    The values depend on nothing but the number and the trials that have ``ended``. So an interrupted study continues as
    if it had not been interrupted, and a lost one can be repeated.
    """
    import optuna

    if not number:
        return {dimension.name: dimension.default for dimension in space}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    seed = int.from_bytes(sha256(f"trial {number}".encode()).digest()[:4], "big")
    sampler = optuna.samplers.TPESampler(n_startup_trials=STARTUP_TRIALS, seed=seed)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.add_trials([_observed(space, trial) for trial in ended if _within(space, trial)])
    trial = study.ask({dimension.name: dimension.distribution() for dimension in space})
    return {dimension.name: dimension.rounded(trial.params[dimension.name]) for dimension in space}


def _within(space: Sequence[Dimension], trial: TrialRecord) -> bool:
    """Return whether all values of a trial are in the space; those of the defaults may not be."""
    return all(dimension.contains(trial.values.get(dimension.name)) for dimension in space)


def _observed(space: Sequence[Dimension], trial: TrialRecord) -> FrozenTrial:
    """Return a trial as the sampler sees it: one that failed counts as worse than all others."""
    from optuna.trial import TrialState, create_trial

    state = TrialState.PRUNED if trial.value is None else TrialState.COMPLETE
    params = {dimension.name: trial.values[dimension.name] for dimension in space}
    distributions = {dimension.name: dimension.distribution() for dimension in space}
    return create_trial(state=state, value=trial.value, params=params, distributions=distributions)
