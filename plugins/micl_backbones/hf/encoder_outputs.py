"""Outputs of a checkpoint's frozen encoders: recorded in one forward pass, replayed in later ones."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any

import torch
from torch import Tensor

SUPPORTED = frozenset(
    {"llava", "llava_next", "llava_onevision", "internvl", "smolvlm", "gemma4"}
    | {"qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen2_5_omni_thinker", "qwen3_omni_moe_thinker"}
)
"""The model types that call their encoders through ``get_MODALITY_features`` in the way assumed here."""
VIDEO_AS_IMAGES = frozenset({"internvl"})
CONCATENATED = frozenset({("internvl", "image")})
"""(model type, modality) for which the model expects one tensor of all media, not one per medium."""

STACKED = frozenset({("llava_onevision", "video")})
"""(model type, modality) for which that tensor is [N, T, D]: transformers 5.17 adds one token to each of N media."""

TILED = frozenset({("llava_onevision", "image")})
"""(model type, modality) for which a medium is split into tiles only if it is the only one in its example."""


@dataclass(frozen=True)
class Features:
    """The return value of ``get_MODALITY_features``, as far as models of the supported types use it."""

    pooler_output: Any
    last_hidden_state: Tensor
    deepstack_features: list[Sequence[Tensor]]
    attention_mask: Tensor


class Encoders:
    """The encoders of one model, each of which the model calls through one of its methods.

    The recorded output of a medium is [1 + K, T, D]: the input of the language model, followed by the additional inputs
    of K of its layers (Qwen3-VL's DeepStack; K is 0 in other models).
    """

    def __init__(self, model: Any, modalities: Collection[str]) -> None:
        self.model_type = str(model.config.model_type)
        self._sources = {name: "image" if self.model_type in VIDEO_AS_IMAGES else name for name in modalities}
        self._owners = {name: _owner(model, name) for name in set(self._sources.values())}

    def can_replace(self, contents: Sequence[Sequence[str]]) -> bool:
        """Whether outputs recorded for single media can replace those of ``contents``, lists of modalities."""
        modalities = {modality for content in contents for modality in content}
        owned = all(self._owners[self._sources[modality]] is not None for modality in modalities)
        tiled = [modality for modality in modalities if (self.model_type, modality) in TILED]
        several = any(content.count(modality) > 1 for content in contents for modality in tiled)
        return self.model_type in SUPPORTED and owned and not several

    @contextmanager
    def recording(self) -> Iterator[list[Tensor]]:
        """Collect the outputs of the encoders in the block."""
        outputs: list[Tensor] = []

        def recorded(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
            @wraps(original)
            def call(*args: Any, **kwargs: Any) -> Any:
                output = original(*args, **kwargs)
                outputs.append(_extract(output))
                return output

            return call

        with self._replaced(recorded):
            yield outputs

    @contextmanager
    def replacing(self, media: Sequence[tuple[str, Tensor]]) -> Iterator[None]:
        """Return recorded outputs, (modality, [1 + K, T, D]) in the batch's order, in place of calling the encoders."""
        by_source: dict[str, list[Tensor]] = {}
        for modality, tensor in media:
            by_source.setdefault(self._sources[modality], []).append(tensor)

        def replaced(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
            if name not in by_source:
                return original
            concatenated = name == "audio" or (self.model_type, name) in CONCATENATED
            stacked = (self.model_type, name) in STACKED
            features = _join_media(by_source[name], concatenated=concatenated, stacked=stacked)

            @wraps(original)
            def call(*args: Any, **kwargs: Any) -> Any:
                return features

            return call

        with self._replaced(replaced):
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
    """Set an object's attribute for the duration of the block."""
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
    """Return the module whose method the forward pass calls: the inner model if it has the method, or the outer one."""
    inner = getattr(model, "model", None)
    return next((module for module in (inner, model) if hasattr(module, _method(modality))), None)


def _extract(output: Any) -> Tensor:
    """Return one medium's outputs [1 + K, T, D]."""
    tokens = output.pooler_output if getattr(output, "pooler_output", None) is not None else output.last_hidden_state
    mask = getattr(output, "attention_mask", None)
    if mask is not None:
        tokens = tokens[mask.to(tokens.device)]
    deep = getattr(output, "deepstack_features", None) or []
    return torch.stack([_flat(each) for each in (tokens, *deep)])


def _flat(tokens: Tensor | Sequence[Tensor]) -> Tensor:
    whole = tokens if isinstance(tokens, Tensor) else torch.cat([_flat(each) for each in tokens])
    return whole.reshape(-1, whole.shape[-1])


def _join_media(media: Sequence[Tensor], *, concatenated: bool, stacked: bool) -> Features:
    tokens: Any = [medium[0] for medium in media]
    whole = torch.cat(tokens)
    if stacked:
        tokens = torch.stack(tokens)
    return Features(
        pooler_output=whole[None] if concatenated else tokens,
        last_hidden_state=whole,
        deepstack_features=[[medium[k] for medium in media] for k in range(1, len(media[0]))],
        attention_mask=whole.new_ones(1, len(whole), dtype=torch.bool),
    )
