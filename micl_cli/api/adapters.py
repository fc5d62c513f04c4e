"""Adapters: named trainable weights of any kind on a frozen base model, and the selection of active ones.

An adapter adds to the output of linear layers (LoRA, experts), places embeddings of its own before the content (soft
prompts), and turns encoder outputs into embeddings (connectors). Its *kind* is a plugin. Teachers, experts and routers
are adapters too, so that there is never a second copy of the base model in memory.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from micl_cli.api.adapter_kinds import FROZEN, AdapterHost, AdapterKind, AdapterSpec, LayerAdapter
from micl_cli.api.adapter_sums import layer_sum, weighted_outputs
from micl_cli.api.options import parse_options
from micl_cli.api.resources import PartLoader
from micl_cli.api.selection import Mixture, Selection, TokenMap, as_mixtures, sizes_of

_NAME = re.compile(r"[\w-]+")


class Adapters:
    """The adapters of one model by name, and the selection of active ones.

    ``store`` holds the weights; the host registers it as a submodule. ``learning`` names the adapters that are trained.
    """

    def __init__(self, host: AdapterHost, load_part: PartLoader) -> None:
        self.host, self.load_part = host, load_part
        self.store = nn.ModuleDict()
        self.active: Selection = None
        self.learning: tuple[str, ...] = ()
        self._specs: dict[str, AdapterSpec] = {}
        self._groups: dict[str, str] = {}
        self._group_of: dict[str, str] = {}
        self._parameters: dict[str, dict[str, nn.Parameter]] = {}
        self._mixtures: tuple[Mixture, ...] = ()
        self._summed: tuple[Mixture, ...] = ()  # the mixtures that the forward hooks add
        self._layers: dict[str, dict[str, LayerAdapter]] = {}
        self._tokens: TokenMap | None = None
        self._hooked = False

    # Names and weights

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all adapters, in the order of their creation."""
        return tuple(self._specs)

    def spec(self, name: str) -> AdapterSpec:
        """Return the spec of an adapter. Raises KeyError if there is no such adapter."""
        self._check_exists(name)
        return self._specs[name]

    def add(self, name: str, spec: AdapterSpec | None = None, *, seed: int = 0) -> None:
        """Add a new adapter, which has no effect before training, with weights initialised from ``seed``.

        ``spec`` defaults to that of the host. Raises ValueError if the name is in use or invalid.
        """
        if name in self._specs:
            raise ValueError(f"there is already an adapter {name!r}")
        if not _NAME.fullmatch(name) or name == "modules":  # a strategy's own modules are saved under that name
            raise ValueError(f"adapter name {name!r} is reserved, or not made of letters, digits, '_' and '-'")
        spec = spec or self.host.default_spec()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            adapter = self._build(name, spec)
            adapter["connectors"] = nn.ModuleDict(dict(self.host.new_connectors()) if spec.connectors else {})
        self.store[_key(name)] = adapter.to(self.host.device)
        self._specs[name], self._parameters[name] = spec, dict(self._named_parameters(name))
        layers = cast(nn.ModuleDict, adapter["layers"])
        self._layers[name] = {_unkey(key): cast(LayerAdapter, layer) for key, layer in layers.items()}
        self.host.module.train(self.host.module.training)
        self.activate(self.active, learning=self.learning)

    def _build(self, name: str, spec: AdapterSpec) -> nn.ModuleDict:
        """Return the weights of a new adapter without its connectors."""
        (kind := self.kind(spec)).check(self.host.adaptable_layers)
        layers = self._new_layers(name, kind)
        for layer in layers.values():
            layer.adapter = name
            self._groups |= layer.groups
        adapter = nn.ModuleDict({"layers": nn.ModuleDict({_key(key): layer for key, layer in layers.items()})})
        if kind.prompt_tokens:
            adapter["prompt"] = nn.ParameterList([self._new_prompt(kind.prompt_tokens)])
        return adapter

    def _new_layers(self, name: str, kind: AdapterKind) -> dict[str, LayerAdapter]:
        """Return the weights of a new adapter by the name of the layer that they adapt."""
        created = {layer.name: kind.layer(layer) for layer in self.host.adaptable_layers}
        return {layer: adapter for layer, adapter in created.items() if adapter is not None}

    def kind(self, spec: AdapterSpec) -> AdapterKind:
        """Return the adapter kind of a spec, built with its options. Raises PluginError or OptionError."""
        cls = self.load_part("adapters", spec.kind)
        return cast(AdapterKind, cls(**parse_options(cls, spec.options, owner=f"adapter kind {spec.kind}")))

    def _new_prompt(self, count: int) -> nn.Parameter:
        """Return ``count`` embeddings, copied from random vocabulary entries (Lester et al., arXiv 2104.08691)."""
        words = self.host.embeddings.detach()
        return nn.Parameter(words[torch.randint(len(words), (count,)).to(words.device)].float().clone())

    def remove(self, name: str) -> None:
        """Remove an adapter. Raises KeyError if there is no such adapter, ValueError if it is active."""
        self._check_exists(name)
        if name in self.active_names:
            raise ValueError(f"adapter {name!r} is active: activate another one first")
        del self.store[_key(name)], self._specs[name], self._layers[name], self._parameters[name]
        self.learning = tuple(n for n in self.learning if n != name)

    def copy(self, source: str, target: str) -> None:
        """Copy the weights of ``source`` to ``target``, which is added if missing."""
        if target not in self._specs:
            self.add(target, self.spec(source))
        self.load(target, self.state(source))

    def parameters(self, name: str) -> dict[str, nn.Parameter]:
        """Return the parameters of an adapter (not copies), by names that are equal for all adapters of one spec.

        The names are "layers.LAYER...", "prompt" and "connector.MODALITY...". Raises KeyError if it does not exist.
        """
        self._check_exists(name)
        return dict(self._parameters[name])

    def _named_parameters(self, name: str) -> Iterator[tuple[str, nn.Parameter]]:
        yield from ((f"layers.{_unkey(key)}", w) for key, w in self._submodule(name, "layers").named_parameters())
        yield from (("prompt", weight) for weight in self._submodule(name, "prompt").parameters())
        yield from ((f"connector.{key}", w) for key, w in self._submodule(name, "connectors").named_parameters())

    def group(self, parameter: str) -> str:
        """Return the group of a parameter of ``parameters``: "lora", "gate", "prompt", "frozen", "connector/image"."""
        name = parameter.rpartition("/")[2]
        if name not in self._group_of:
            self._group_of[name] = self._find_group(name)
        return self._group_of[name]

    def _find_group(self, parameter: str) -> str:
        first, _, rest = parameter.partition(".")
        if first in ("connector", "prompt"):
            return f"connector/{rest.partition('.')[0]}" if rest else first
        layer = rest
        while layer and layer not in self._layer_names:
            layer = layer.rpartition(".")[0]
        return self._groups.get(rest.removeprefix(f"{layer}.").partition(".")[0], "lora")

    @cached_property
    def _layer_names(self) -> frozenset[str]:
        return frozenset(layer.name for layer in self.host.adaptable_layers)

    def low_rank(self, name: str) -> dict[str, tuple[Tensor, Tensor, float]]:
        """Return (A [r, in], B [out, r], scale) for each layer where the adapter adds exactly scale * B A x."""
        low_rank = {layer: adapter.low_rank() for layer, adapter in self.layer_adapters(name).items()}
        return {layer: matrices for layer, matrices in low_rank.items() if matrices}

    def layer_adapters(self, name: str) -> dict[str, LayerAdapter]:
        """Return the weights of an adapter by the name of the layer that they adapt."""
        self._check_exists(name)
        return self._layers[name]

    def state(self, name: str) -> dict[str, Tensor]:
        """Return a CPU copy of an adapter's weights and of the host's shared state."""
        own = {key: weight.detach().cpu().clone() for key, weight in self.parameters(name).items()}
        return {**own, **self.host.shared_state()}

    @torch.no_grad()
    def load(self, name: str, state: Mapping[str, Tensor]) -> None:
        """Load ``state`` into an adapter. Raises KeyError if the names differ."""
        weights, state = self.parameters(name), self.host.load_shared_state(state)
        if weights.keys() != state.keys():
            raise KeyError(f"adapter {name!r}: {sorted(weights.keys() ^ state.keys())[:3]} do not match")
        for key, weight in weights.items():
            weight.copy_(state[key])

    def trainable(self, modalities: Collection[str]) -> dict[str, nn.Parameter]:
        """Return the parameters to train, as "adapter/parameter", with the connectors of ``modalities`` only."""
        connectors = {f"connector/{modality}" for modality in modalities}
        return {
            f"{name}/{key}": weight
            for name in self.learning
            for key, weight in self._parameters[name].items()
            if (group := self.group(key)) in connectors or not group.startswith((FROZEN, "connector/"))
        }

    # Active adapters

    @property
    def active_names(self) -> set[str]:
        """The names of the active adapters."""
        return {name for mixture in self._mixtures for name in mixture.names}

    def activate(self, selection: Selection, *, learning: Collection[str] | None = None) -> None:
        """Make ``selection`` active, and train the adapters in ``learning`` (None: all active ones).

        The outputs of several active adapters are summed by their weights, in each layer and over their connectors. A
        mixture with weights per example requires batches of that size. Raises KeyError for an unknown name.
        """
        mixtures = as_mixtures(selection)
        names = dict.fromkeys(name for mixture in mixtures for name in mixture.names)
        for name in names:
            self._check_exists(name)
        self.active, self._mixtures, self._summed, self._tokens = selection, mixtures, mixtures, None
        self.learning = tuple(names if learning is None else learning)
        self._apply()

    def _apply(self) -> None:
        """Register the forward hooks if needed, and set ``requires_grad``."""
        if self._summed and not self._hooked:
            self._hooked = True
            for layer in self.host.adaptable_layers:
                self.host.layer_module(layer.name).register_forward_hook(partial(self._add, layer.name))
        for name, parameters in self._parameters.items():
            for key, weight in parameters.items():
                weight.requires_grad_(name in self.learning and self.group(key) != FROZEN)

    @contextmanager
    def using(self, selection: Selection) -> Iterator[None]:
        """Activate another selection during the block, in evaluation mode and without gradients."""
        former, learning, training = self.active, self.learning, self.host.module.training
        self.activate(selection)
        self.host.module.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            self.activate(former, learning=learning)
            self.host.module.train(training)

    # Positions of examples, which backbones set before each forward pass

    @property
    def per_example(self) -> bool:
        """Whether the examples of a batch may use different adapters."""
        return any(mixture.per_example for mixture in self._mixtures)

    @property
    def needs_positions(self) -> bool:
        """Whether backbones must call ``locate`` before a forward pass."""
        return self.per_example or self.mixes_tokens

    @property
    def mixes_tokens(self) -> bool:
        """Whether the output of an active adapter at one position depends on other positions of the example."""
        return any(layer.mixes_tokens for name in self.active_names for layer in self._layers[name].values())

    def layout(self, count: int) -> list[tuple[float, ...]]:
        """Return a key for each of ``count`` examples, equal for examples that use the same adapters and weights."""
        self._check_size(count)
        return [tuple(x for mixture in self._mixtures for x in mixture.key(row)) for row in range(count)]

    def _check_size(self, count: int) -> None:
        for size in sizes_of(self._mixtures):
            if size != count:
                raise ValueError(f"the active selection is for {size} examples, not for {count}")

    def locate(self, examples: Tensor, count: int, prompt: Tensor | None = None) -> None:
        """Set the example that each position of the next forward pass belongs to, see :class:`TokenMap`."""
        self._check_size(count)
        gates = {name: gate for mixture in self._mixtures for name, gate in mixture.gates.items()}
        self._tokens = TokenMap(examples if examples.ndim == 2 else examples[:, None], count, prompt, gates)

    def follow(self, examples: Tensor) -> None:
        """Set the positions of the decoding passes that follow the prompts; ``examples`` are those still decoded."""
        if self._tokens is not None:
            self._tokens = self._tokens.following(examples)

    @contextmanager
    def restoring(self, tokens: TokenMap | None) -> Iterator[None]:
        """Use the positions of an earlier pass while it is recomputed (gradient checkpointing)."""
        current, self._tokens = self._tokens, tokens
        try:
            yield
        finally:
            self._tokens = current

    def checkpoint_contexts(self) -> tuple[Any, Any]:
        """Return the contexts of a checkpointed pass and its recomputation, for ``torch.utils.checkpoint``."""
        return self.restoring(self._tokens), self.restoring(self._tokens)

    # Outputs of adapters

    def _add(self, layer: str, module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor | None:
        """Add the outputs of the active adapters to that of a layer (a forward hook)."""
        for mixture in self._summed:
            if mixture.applies_to(layer):
                members = {name: own[layer] for name in mixture.names if layer in (own := self._layers[name])}
                for added in layer_sum(mixture, members, inputs[0], self._tokens):
                    output = output + added.to(output.dtype)
        return output

    def connect(self, modality: str, tokens: Tensor, examples: Sequence[int]) -> Tensor:
        """Return [n, T, size]: encoder outputs [n, T, width] passed through the connectors of the active adapters.

        ``examples`` holds the index of the example that each medium belongs to. Raises ValueError if no active adapter
        of an example has a connector for the modality.
        """
        terms = []
        for mixture, column, name in self._on_inputs():
            connectors = cast(nn.ModuleDict, self._submodule(name, "connectors"))
            if modality in connectors:
                terms.append((connectors[modality], mixture.column(column, examples)))
        return weighted_outputs(terms, tokens, modality)

    def prompts(self, count: int) -> list[list[Tensor]]:
        """Return the soft prompts [n, size] of each of ``count`` examples, in the selection's order."""
        prompts: list[list[Tensor]] = [[] for _ in range(count)]
        for mixture, column, name in self._on_inputs():
            for prompt in self._submodule(name, "prompt").parameters():
                for row, weight in enumerate(mixture.column(column, range(count))):
                    if float(weight.detach()):
                        prompts[row].append(prompt * weight.to(prompt))
        return prompts

    def prompt_lengths(self, count: int) -> list[int]:
        """Return the number of soft prompt positions of each of ``count`` examples."""
        if not self.has_prompts:
            return [0] * count
        return [sum(map(len, prompts)) for prompts in self.prompts(count)]

    @property
    def has_prompts(self) -> bool:
        """Whether an active adapter has soft prompts."""
        return any("prompt" in cast(nn.ModuleDict, self.store[_key(name)]) for name in self.active_names)

    def _on_inputs(self) -> Iterator[tuple[Mixture, int, str]]:
        for mixture in self._mixtures:
            if mixture.applies_to_inputs(self._layer_names):
                yield from ((mixture, column, name) for column, name in enumerate(mixture.names))

    def _submodule(self, name: str, key: str) -> nn.Module:
        adapter = cast(nn.ModuleDict, self.store[_key(name)])
        return adapter[key] if key in adapter else nn.Module()

    def _check_exists(self, name: str) -> None:
        if name not in self._specs:
            raise KeyError(f"no adapter {name!r}; there are {', '.join(self._specs) or 'none'}")


def _key(name: str) -> str:
    """Return a name as a ModuleDict key, which must contain no dot and not equal an attribute of ModuleDict."""
    return "@" + name.replace(".", "/")


def _unkey(key: str) -> str:
    return key.removeprefix("@").replace("/", ".")
