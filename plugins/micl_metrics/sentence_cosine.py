"""Similarity of sentences by their embeddings."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from micl_cli.api import Metric, PlanError, Resources, Score
from micl_metrics.words import mean, paired

if TYPE_CHECKING:
    import torch

MODEL = "paraphrase-multilingual-MiniLM-L12-v2"
HUB_ID = f"sentence-transformers/{MODEL}"
VARIABLE = "MICL_SENTENCE_MODEL"
"""The environment variable that names the folder of another model, or of this one."""
MAX_TOKENS = 128
"""The maximum length of a text in tokens; longer texts are cut."""
_BATCH = 64


class SentenceCosine(Metric):
    """The cosine of the embeddings of answer and reference, in -1..1; the best reference counts.

    Embeddings are the mean of the outputs of paraphrase-multilingual-MiniLM-L12-v2 (Reimers and Gurevych 2020) over the
    tokens, at most 128 of them. The model is read from the folder that MICL_SENTENCE_MODEL names, else from its folder
    under ``weights`` in the home folder, else from the cache of the hub; it is never downloaded. An empty answer scores
    0. The score of unrelated sentences is not 0, but some 0.1 to 0.3.
    """

    name: ClassVar[str] = "sentence_cosine"
    scale: ClassVar[tuple[float, float]] = (-1.0, 1.0)

    def __init__(self) -> None:
        self._weights: Path | None = None

    def setup(self, resources: Resources) -> None:
        """Locate the model. Raises PlanError if it is not on this machine."""
        self._weights = resources.weights
        find_model(resources.weights)

    def score(self, answers: Sequence[str], references: Sequence[Sequence[str]]) -> Score:
        """Score answers. Raises ValueError on unequal lengths or a missing reference, PlanError without the model."""
        pairs = paired(answers, references)
        texts = dict.fromkeys(text for answer, texts in pairs if answer.strip() for text in (answer, *texts))
        embedded = dict(zip(texts, self._model.embed(texts), strict=True)) if texts else {}
        each = tuple(
            max(float(embedded[answer] @ embedded[text]) for text in texts) if answer.strip() else 0.0
            for answer, texts in pairs
        )
        return Score(mean(each), each)

    def informative(self, references: Sequence[Sequence[str]]) -> bool:
        """Return whether there is a reference: it scores 1, and an empty answer 0."""
        return any(text.strip() for texts in references for text in texts)

    @cached_property
    def _model(self) -> _SentenceModel:
        return _SentenceModel(find_model(self._weights))


def find_model(weights: Path | None) -> Path:
    """Return the folder of the sentence model. Raises PlanError if there is none."""
    if named := os.environ.get(VARIABLE):
        if not (Path(named) / "config.json").is_file():
            raise PlanError(f"{VARIABLE} names {named}, which is not a folder with a model", "It has no config.json.")
        return Path(named)
    if weights and (weights / MODEL / "config.json").is_file():
        return weights / MODEL
    from huggingface_hub import try_to_load_from_cache

    if isinstance(cached := try_to_load_from_cache(HUB_ID, "config.json"), str):
        return Path(cached).parent
    raise PlanError(
        f"the sentence model {MODEL} is not on this machine",
        f"Download it (hf download {HUB_ID}), or name its folder: {VARIABLE}=FOLDER",
    )


class _SentenceModel:
    """A sentence model that embeds texts by the mean of its outputs."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoModel, AutoTokenizer

        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
            self._model: Any = AutoModel.from_pretrained(
                folder, trust_remote_code=False, use_safetensors=True, local_files_only=True
            ).eval()
        except (OSError, ValueError) as error:
            hint = "Its folder needs config.json, the tokenizer's files and model.safetensors."
            raise PlanError(f"the sentence model in {folder} cannot be loaded: {error}", hint) from error

    def embed(self, texts: Iterable[str]) -> Iterator[torch.Tensor]:
        """Yield a vector of length 1 for each text."""
        import torch

        texts = list(texts)
        for start in range(0, len(texts), _BATCH):
            batch = self._tokenizer(
                texts[start : start + _BATCH], padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
            )
            with torch.inference_mode():
                outputs = self._model(**batch).last_hidden_state.float()
            mask = batch["attention_mask"].unsqueeze(-1).float()
            means = (outputs * mask).sum(1) / mask.sum(1).clamp(min=1)
            yield from torch.nn.functional.normalize(means, dim=-1)
