"""Outputs of a checkpoint's frozen encoders: recorded in one forward pass, reused in later ones."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any

import torch
from torch import Tensor

KNOWN = frozenset(
    {"llava", "llava_next", "llava_onevision", "internvl", "smolvlm", "gemma4"}
    | {"qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen2_5_omni_thinker", "qwen3_omni_moe_thinker"}
)
"""The model types whose encoders are called through ``get_MODALITY_features``, as this module assumes."""
CLIPS_AS_PICTURES = frozenset({"internvl"})
UNDIVIDED = frozenset({("internvl", "image"), ("llava_onevision", "video")})
"""Where the model expects one tensor for all media, not one for each."""

TILED = frozenset({("llava_onevision", "image")})
"""Where a medium is divided into tiles only if it is the only one of its modality in an example."""


@dataclass(frozen=True)
class Features:
    """The fields of what ``get_MODALITY_features`` returns that models of the known types read."""

    pooler_output: Any
    last_hidden_state: Tensor
    deepstack_features: list[Sequence[Tensor]]
    attention_mask: Tensor


class Encoders:
    """The encoders of one model, each called by the model itself through one of its methods.

    Of each medium, ``recording`` collects [1 + K, T, D]: the inputs of the language model, then those of K of its
    layers (Qwen3-VL's DeepStack; K is 0 elsewhere).
    """

    def __init__(self, model: Any, modalities: Collection[str]) -> None:
        self.kind = str(model.config.model_type)
        self._kinds = {name: "image" if self.kind in CLIPS_AS_PICTURES else name for name in modalities}
        self._owners = {name: _owner(model, name) for name in set(self._kinds.values())}

    def replaceable(self, contents: Sequence[Sequence[str]]) -> bool:
        """Whether outputs of each medium alone can stand for those in these contents, lists of modalities."""
        modalities = {modality for content in contents for modality in content}
        known = self.kind in KNOWN and all(self._owners[self._kinds[modality]] is not None for modality in modalities)
        tiled = [modality for modality in modalities if (self.kind, modality) in TILED]
        return known and not any(content.count(modality) > 1 for content in contents for modality in tiled)

    @contextmanager
    def recording(self) -> Iterator[list[Tensor]]:
        """Collect the outputs of the encoders in the block."""
        found: list[Tensor] = []

        def recorded(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
            @wraps(original)
            def call(*args: Any, **kwargs: Any) -> Any:
                output = original(*args, **kwargs)
                found.append(_taken(output))
                return output

            return call

        with self._replaced(recorded):
            yield found

    @contextmanager
    def giving(self, media: Sequence[tuple[str, Tensor]]) -> Iterator[None]:
        """Replace the encoders' outputs in the block by these, (modality, [1 + K, T, D]) in a batch's order."""
        by_kind: dict[str, list[Tensor]] = {}
        for modality, tensor in media:
            by_kind.setdefault(self._kinds[modality], []).append(tensor)

        def given(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
            if name not in by_kind:
                return original
            features = _joined(by_kind[name], undivided=name == "audio" or (self.kind, name) in UNDIVIDED)

            @wraps(original)
            def call(*args: Any, **kwargs: Any) -> Any:
                return features

            return call

        with self._replaced(given):
            yield

    @contextmanager
    def _replaced(self, by: Callable[[str, Callable[..., Any]], Callable[..., Any]]) -> Iterator[None]:
        with ExitStack() as stack:
            for name, owner in self._owners.items():
                if owner is not None:
                    stack.enter_context(_set(owner, _method(name), by(name, getattr(owner, _method(name)))))
            yield


@contextmanager
def _set(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Set an attribute of an object in the block."""
    own = vars(owner).get(name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if own is None:
            delattr(owner, name)
        else:
            setattr(owner, name, own)


def _method(modality: str) -> str:
    return f"get_{modality}_features"


def _owner(model: Any, modality: str) -> Any:
    """Return the module whose method the forward pass calls; the model's own method only delegates to it."""
    within = getattr(model, "model", None)
    return next((module for module in (within, model) if hasattr(module, _method(modality))), None)


def _taken(output: Any) -> Tensor:
    """Return [1 + K, T, D] of one medium."""
    tokens = output.pooler_output if getattr(output, "pooler_output", None) is not None else output.last_hidden_state
    mask = getattr(output, "attention_mask", None)
    if mask is not None:
        tokens = tokens[mask.to(tokens.device)]
    deep = getattr(output, "deepstack_features", None) or []
    return torch.stack([_flat(each) for each in (tokens, *deep)])


def _flat(tokens: Tensor | Sequence[Tensor]) -> Tensor:
    whole = tokens if isinstance(tokens, Tensor) else torch.cat([_flat(each) for each in tokens])
    return whole.reshape(-1, whole.shape[-1])


def _joined(media: Sequence[Tensor], *, undivided: bool) -> Features:
    whole = torch.cat([medium[0] for medium in media])
    return Features(
        pooler_output=whole[None] if undivided else [medium[0] for medium in media],
        last_hidden_state=whole,
        deepstack_features=[[medium[k] for medium in media] for k in range(1, len(media[0]))],
        attention_mask=whole.new_ones(1, len(whole), dtype=torch.bool),
    )
