"""MR-LoRA's router: the multimodal model itself (Zhao et al., "MLLM-CL: Continual Learning for
Multimodal Large Language Models", arXiv 2506.05453).

A router adapter, started from the experts' average, is taught on a few examples of each task to
name the task by a letter, from the content and the tasks' descriptions. The letters
are scored as choices, so that an answer is always one of them, and its margin is known.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from string import ascii_uppercase
from typing import Annotated

import torch
from torch import Tensor

from micl_cli.api import (
    Backbone,
    Content,
    Example,
    ExistingFile,
    PlanError,
    Progress,
    Range,
    Route,
    Router,
    RouterContext,
    State,
    Task,
)
from micl_routers.frozen import routes

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ADAPTER = "router"
SCORED_TOGETHER = 16  # examples
CUE = "\nletter:"


class MLLMRouter(Router):
    """Let the model read the content and the tasks' descriptions, and answer with a letter."""

    needs = frozenset({"adapters", "choices"})
    passes = 1

    def __init__(
        self,
        backbone: Backbone,
        *,
        samples: Annotated[int, "training examples of each task that the router learns from and stores", Range(1)] = 20,
        epochs: Annotated[int, "most passes over these; it ends early when all are told apart surely", Range(1)] = 40,
        learning_rate: Annotated[
            float, "AdamW's rate (the paper: 5e-6 for a model of 7 billion weights)", Range(0, low_open=True)
        ] = 2e-3,
        batch_size: Annotated[int, "examples in one step", Range(1)] = 8,
        sure: Annotated[float, "mean loss of an epoch, in nats, that ends the learning", Range(0)] = 0.002,
        descriptions: Annotated[
            str, "TOML file of task = description that replace the tasks' own", ExistingFile()
        ] = "",
    ) -> None:
        super().__init__(backbone)
        self.samples, self.epochs, self.learning_rate = samples, epochs, learning_rate
        self.batch_size, self.sure, self.descriptions = batch_size, sure, descriptions
        self._from_file = _read(descriptions)
        self._descriptions: dict[str, str] = {}
        self._stored: list[tuple[str, Example]] = []

    # Learning

    def learn(self, task: Task, examples: Sequence[Example], context: RouterContext) -> Iterator[Progress]:
        usual = f"{'+'.join(sorted(task.modalities)) or 'text'} {task.type}"
        self._descriptions[task.name] = self._from_file.get(task.name) or task.description or usual
        few = context.rng.sample(list(examples), min(self.samples, len(examples)))
        self._stored += [(task.name, replace(example, references=(), choices=(), answer=None)) for example in few]
        if len(self._descriptions) > 1:
            yield from self._teach(context)

    def _teach(self, context: RouterContext) -> Iterator[Progress]:
        """Teach the router adapter afresh, from the experts' average, on all stored examples."""
        adapters, module = self.backbone.adapters, self.backbone.module
        active, learning, training = adapters.active, adapters.learning, module.training
        if ADAPTER not in adapters.names:
            adapters.add(ADAPTER, seed=context.seed)
        if context.experts:
            adapters.load(ADAPTER, _average([adapters.state(name) for name in context.experts.values()]))
        adapters.activate(ADAPTER)
        module.eval()  # no dropout: a few examples are learnt by heart, and no randomness is used
        try:
            yield from self._epochs(context)
        finally:
            module.train(training)
            adapters.activate(active, learning=learning)

    def _epochs(self, context: RouterContext) -> Iterator[Progress]:
        modalities = {modality for _, example in self._stored for modality in example.modalities}
        weights = list(self.backbone.adapters.trainable(modalities).values())
        optimizer = torch.optim.AdamW(weights, lr=self.learning_rate, weight_decay=0.0)
        lessons = self._lessons()
        for epoch in range(1, self.epochs + 1):
            losses = [self._step(optimizer, weights, drawn) for drawn in self._batches(lessons, context.rng)]
            yield Progress(epoch, self.epochs, "router")
            if sum(losses) / len(losses) < self.sure:
                return

    def _lessons(self) -> list[Example]:
        letters = {name: _letter(place) for place, name in enumerate(self._descriptions)}
        asked = self._ask_for_task([example for _, example in self._stored])
        return [example.with_answer(letters[name]) for example, (name, _) in zip(asked, self._stored, strict=True)]

    def _batches(self, lessons: Sequence[Example], rng: random.Random) -> Iterator[list[Example]]:
        shuffled = rng.sample(lessons, len(lessons))
        for start in range(0, len(shuffled), self.batch_size):
            yield shuffled[start : start + self.batch_size]

    def _step(self, optimizer: torch.optim.Optimizer, weights: Sequence[Tensor], drawn: Sequence[Example]) -> float:
        loss = self.backbone.loss(self.backbone.batch(drawn))
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return float(loss.detach())

    # Choosing

    def route(self, examples: Sequence[Example]) -> Sequence[Route]:
        names = list(self._descriptions)
        if len(names) == 1:
            return [Route(names[0]) for _ in examples]
        letters = [_letter(place) for place in range(len(names))]
        asked = self._ask_for_task(examples)
        batches = [asked[start : start + SCORED_TOGETHER] for start in range(0, len(asked), SCORED_TOGETHER)]
        with self.backbone.adapters.using(ADAPTER):
            scores = [self.backbone.score_choices(batch, letters) for batch in batches]
        return routes(names, torch.cat(scores).double().exp().cpu())

    def _ask_for_task(self, examples: Sequence[Example]) -> list[Example]:
        """Return the examples with the question which task they belong to.

        The descriptions stand first, so that a backbone can read them once for all.
        """
        pool = "".join(f"{_letter(place)}: {text}\n" for place, text in enumerate(self._descriptions.values()))
        return [replace(e, content=(pool, *_with_cue(e.content)), choices=(), answer=None) for e in examples]

    # To resume

    def state(self) -> State:
        stored = [[name, example.as_json()] for name, example in self._stored]
        return State(data={"descriptions": dict(self._descriptions), "stored": stored})

    def restore(self, state: State) -> None:
        self._descriptions = dict(state.data["descriptions"])
        self._stored = [(name, Example.from_json(example)) for name, example in state.data["stored"]]


def _with_cue(content: Content) -> Content:
    """Return the content with the cue for a letter behind its last text."""
    if content and isinstance(content[-1], str):
        return (*content[:-1], f"{content[-1]}{CUE}")
    return (*content, CUE)


def _letter(place: int) -> str:
    """Return A, B, … Z, A1, B1, …"""
    rounds, rest = divmod(place, 26)
    return f"{ascii_uppercase[rest]}{rounds or ''}"


def _average(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([state[name] for state in states]).mean(0) for name in states[0]}


def _read(path: str) -> dict[str, str]:
    if not path:
        return {}
    try:
        read = tomllib.loads(Path(path).expanduser().read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PlanError(
            f"cannot read {path}: {error}", 'Write a line a task: "mini/img_cap" = "describe pictures".'
        ) from error
    return {name: str(text) for name, text in read.items()}
