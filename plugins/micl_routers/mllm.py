"""MR-LoRA's router: the multimodal model itself (Zhao et al., "MLLM-CL: Continual Learning for
Multimodal Large Language Models", arXiv 2506.05453).

A router adapter, started from the experts' average, is taught on a few examples of each task to
name the task by a letter, from the input, the question and the tasks' descriptions. The letters
are scored as choices, so that a reply is always legal, and its margin is known.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from string import ascii_uppercase
from typing import Annotated

import torch
from torch import Tensor

from micl_cli.api import Backbone, Example, PlanError, Route, Router, State, Task
from micl_routers.frozen import routes

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ADAPTER = "router"
AT_ONCE = 16  # examples scored together


class MLLMRouter(Router):
    """The model reads input, question and the tasks' descriptions, and answers with a letter."""

    needs = frozenset({"adapters", "choose"})
    passes = 1

    def __init__(
        self,
        backbone: Backbone,
        *,
        samples: Annotated[int, "training examples of each task that the router learns from and keeps"] = 20,
        epochs: Annotated[int, "passes over these at most; it ends early when all are told apart surely"] = 40,
        learning_rate: Annotated[float, "AdamW's rate (the paper: 5e-6 for a model of 7 billion weights)"] = 2e-3,
        batch_size: Annotated[int, "examples in one step"] = 8,
        sure: Annotated[float, "mean loss of an epoch, in nats, that ends the learning"] = 0.002,
        descriptions: Annotated[str, "TOML file of task = description that stand in for the tasks' own"] = "",
    ) -> None:
        super().__init__(backbone)
        self.samples, self.epochs, self.learning_rate = samples, epochs, learning_rate
        self.batch_size, self.sure, self.descriptions = batch_size, sure, descriptions
        self._told = _read(descriptions)
        self._known: dict[str, str] = {}
        self._kept: list[tuple[str, Example]] = []

    # Learning

    def learn(self, task: Task, examples: Sequence[Example]) -> None:
        self._known[task.name] = self._told.get(task.name) or task.description or f"{task.modality} {task.kind}"
        few = self.rng.sample(list(examples), min(self.samples, len(examples)))
        self._kept += [(task.name, replace(example, references=(), answer=None)) for example in few]
        if len(self._known) > 1:
            self._teach()

    def _teach(self) -> None:
        """Teach the router adapter afresh, from the experts' average, on all that was kept."""
        backbone, former = self.backbone, self.backbone.active
        if ADAPTER not in backbone.adapters:
            backbone.add_adapter(ADAPTER, seed=self.seed)
        if self.experts:
            backbone.load_adapter(ADAPTER, _average([backbone.adapter_state(name) for name in self.experts.values()]))
        backbone.activate(ADAPTER)
        weights = list(backbone.trainable({example.modality or "" for _, example in self._kept}).values())
        optimizer = torch.optim.AdamW(weights, lr=self.learning_rate, weight_decay=0.0)
        training = backbone.module.training
        backbone.module.eval()  # no dropout: a few examples are learnt by heart, and no randomness is used
        lessons = self._lessons()
        for _ in range(self.epochs):
            losses = [self._step(optimizer, weights, drawn) for drawn in self._batches(lessons)]
            if sum(losses) / len(losses) < self.sure:
                break
        backbone.module.train(training)
        backbone.activate(former)

    def _lessons(self) -> list[Example]:
        letters = {name: _letter(place) for place, name in enumerate(self._known)}
        posed = self._posed([example for _, example in self._kept])
        return [example.with_answer(letters[name]) for example, (name, _) in zip(posed, self._kept, strict=True)]

    def _batches(self, lessons: Sequence[Example]) -> Iterator[list[Example]]:
        shuffled = self.rng.sample(lessons, len(lessons))
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
        names = list(self._known)
        if len(names) == 1:
            return [Route(names[0], 1.0) for _ in examples]
        letters = [_letter(place) for place in range(len(names))]
        posed = self._posed(examples)
        with self.backbone.using(ADAPTER):
            scores = [self.backbone.choose(posed[i : i + AT_ONCE], letters) for i in range(0, len(posed), AT_ONCE)]
        return routes(names, torch.cat(scores).double().exp().cpu())

    def _posed(self, examples: Sequence[Example]) -> list[Example]:
        """The examples, asked which task they belong to; the descriptions stand first, to be read once for all."""
        pool = "".join(f"{_letter(place)}: {text}\n" for place, text in enumerate(self._known.values()))
        return [replace(e, context=pool, prompt=f"{e.prompt}\nletter:", answer=None) for e in examples]

    # For going on

    def state(self) -> State:
        kept = [[name, example.as_json()] for name, example in self._kept]
        return State(data={"known": dict(self._known), "kept": kept})

    def restore(self, state: State) -> None:
        self._known = dict(state.data["known"])
        self._kept = [(name, Example.from_json(example)) for name, example in state.data["kept"]]


def _letter(place: int) -> str:
    """A, B, … Z, A1, B1, …"""
    rounds, rest = divmod(place, 26)
    return f"{ascii_uppercase[rest]}{rounds or ''}"


def _average(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([state[name] for state in states]).mean(0) for name in states[0]}


def _read(path: str) -> dict[str, str]:
    if not path:
        return {}
    try:
        read = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PlanError(
            f"cannot read {path}: {error}", 'Write a line a task: "mini/img_cap" = "describe pictures".'
        ) from error
    return {name: str(text) for name, text in read.items()}
