"""Snapshots of the weights and state of a run, taken from its components and restored into them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from micl_cli.api.adapter_kinds import AdapterSpec
from micl_cli.api.adapters import Adapters
from micl_cli.api.selection import Mixture, Selection
from micl_cli.api.strategy import State, Strategy
from micl_cli.errors import CheckpointError

MODULES = "modules"
"""The prefix of the strategy's own modules in ``best`` weights, where other prefixes are adapter names."""


@dataclass
class Snapshot:
    """The content of a checkpoint.

    ``adapters`` holds weights by "adapter/parameter", ``modules`` those of the strategy's own modules, and ``best``
    both, by "adapter/parameter" and "modules/name". ``data`` is JSON-ready, with the specs of all adapters in order
    ("adapters"), the active selection ("active"), and the names of the adapters to train ("learning").
    """

    adapters: dict[str, Tensor]
    strategy: State
    data: dict[str, Any] = field(default_factory=dict)
    modules: dict[str, Tensor] = field(default_factory=dict)
    optimizer: dict[str, Tensor] = field(default_factory=dict)
    best: dict[str, Tensor] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """The bytes of all tensors in the checkpoint of a finished stage."""
        tensors = (*self.adapters.values(), *self.modules.values(), *self.strategy.tensors.values())
        return sum(tensor.nbytes for tensor in tensors)


def take_snapshot(strategy: Strategy, **data: Any) -> Snapshot:
    """Return copies of all weights and of the strategy's state, with additional JSON-ready ``data``."""
    adapters = strategy.backbone.adapters
    setup = {"adapters": adapter_specs(adapters), "active": selection_as_json(adapters.active)}
    setup |= {"learning": list(adapters.learning)}
    return Snapshot(
        adapter_weights(adapters, adapters.names),
        strategy.state(),
        {**setup, **data},
        module_weights(strategy.modules),
    )


def restore_snapshot(strategy: Strategy, snapshot: Snapshot) -> None:
    """Restore the adapters, the strategy's state and its modules. Raises CheckpointError if they do not fit.

    The strategy must have entered the stage before.
    """
    adapters = strategy.backbone.adapters
    load_adapters(adapters, snapshot.adapters, snapshot.data.get("adapters"))
    adapters.activate(snapshot.data["active"], learning=snapshot.data["learning"])
    strategy.restore(State(snapshot.strategy.tensors, snapshot.strategy.data))
    strategy.modules.to(strategy.backbone.device)
    load_modules(strategy.modules, snapshot.modules)


# Weights by name


def adapter_specs(adapters: Adapters) -> list[dict[str, Any]]:
    """Return the names and specs of all adapters, in order, as JSON-ready data."""
    return [{"name": name, **adapters.spec(name).as_json()} for name in adapters.names]


def adapter_weights(adapters: Adapters, names: Iterable[str]) -> dict[str, Tensor]:
    """Return CPU copies of the weights of the named adapters, by "adapter/parameter"."""
    return {f"{name}/{key}": weight for name in names for key, weight in adapters.state(name).items()}


def module_weights(modules: nn.Module) -> dict[str, Tensor]:
    """Return CPU copies of the weights and buffers of a strategy's own modules."""
    return {name: tensor.detach().cpu().clone() for name, tensor in modules.state_dict().items()}


def learning_weights(strategy: Strategy) -> dict[str, Tensor]:
    """Return copies of all trained weights: adapters by "adapter/parameter", own modules by "modules/name"."""
    adapters = strategy.backbone.adapters
    modules = {f"{MODULES}/{name}": weight for name, weight in module_weights(strategy.modules).items()}
    return {**adapter_weights(adapters, adapters.learning), **modules}


def load_learning_weights(strategy: Strategy, weights: Mapping[str, Tensor]) -> None:
    """Load weights that ``learning_weights`` returned."""
    by_owner = _by_owner(weights)
    load_modules(strategy.modules, by_owner.pop(MODULES, {}))
    for name, state in by_owner.items():
        strategy.backbone.adapters.load(name, state)


def load_modules(modules: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Load the weights and buffers of a strategy's own modules. Raises CheckpointError if names or shapes differ."""
    try:
        modules.load_state_dict(dict(weights))
    except RuntimeError as error:
        raise _misfit("the strategy", error) from error


def load_adapters(adapters: Adapters, weights: Mapping[str, Tensor], specs: Any) -> None:
    """Replace the adapters by those of a snapshot: remove others, add missing ones by their specs, load weights.

    Raises CheckpointError if the weights do not fit, or if an earlier version of micl wrote the snapshot without specs.
    """
    if not isinstance(specs, list):
        raise CheckpointError(
            "the checkpoint was written by an earlier version of micl, in another format",
            "Start a new run (--again), or install that version to continue this one.",
        )
    saved = {spec["name"]: AdapterSpec(spec["kind"], spec["options"], spec["connectors"]) for spec in specs}
    obsolete = [name for name in adapters.names if name not in saved or adapters.spec(name) != saved[name]]
    if adapters.active_names & set(obsolete):
        adapters.activate(None)
    for name in obsolete:
        adapters.remove(name)
    by_owner = _by_owner(weights)
    for name, spec in saved.items():
        if name not in adapters.names:
            adapters.add(name, spec)
        try:
            adapters.load(name, by_owner.get(name, {}))
        except (KeyError, RuntimeError) as error:
            raise _misfit("the backbone", error) from error


def _by_owner(weights: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Group weights by the prefix of their name before the first slash."""
    groups: dict[str, dict[str, Tensor]] = {}
    for name, weight in weights.items():
        owner, _, key = name.partition("/")
        groups.setdefault(owner, {})[key] = weight
    return groups


def _misfit(component: str, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"the checkpoint does not fit {component}: {error}",
        "It was written by another version of the plugin: install that version again, or start a new run.",
    )


def selection_as_json(selection: Selection) -> Any:
    """Return a selection as JSON-ready data.

    A Mixture, also within a list, applies to one batch only and is written as None: a strategy that uses one activates
    it again in ``restore``.
    """
    if selection is None or isinstance(selection, str):
        return selection
    if isinstance(selection, Mapping):
        return dict(selection)
    if isinstance(selection, Mixture) or any(isinstance(item, Mixture) for item in selection):
        return None
    return list(selection)
