"""MR-LoRA's router: the multimodal model itself (Zhao et al., "MLLM-CL: Continual Learning for
Multimodal Large Language Models", arXiv 2506.05453).

A router adapter, initialised with the average of the experts, is trained on a few stored examples of each task: the
prompt holds a description of each task with a letter, then the example's content; the target is the task's letter.

Deviations: the letters are scored as choices, so that a reply is always legal and has a margin; the authors generate,
and pick a random expert for any other reply. The adapter is trained without dropout, at a constant rate with gradients
clipped to norm 1, and training ends early at ``sure``. Defaults suit a small model; the paper has 20 examples per task,
40 epochs and rate 5e-6. Descriptions come from the tasks or a file; the authors' are hard-coded, and so is their
average: 0.2 times the sum of five experts.
"""

from __future__ import annotations

import random
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
    read_toml,
)
from micl_routers.frozen import among, routes

ADAPTER = "router"
SCORING_BATCH = 16  # examples
CUE = "\nletter:"


class MLLMRouter(Router):
    """Prompt the model with the tasks' descriptions and the content, and score the tasks' letters as the answer."""

    needs = frozenset({"adapters", "choices"})
    passes = 1

    def __init__(
        self,
        backbone: Backbone,
        *,
        samples: Annotated[int, "training examples of each task to store and learn from", Range(1)] = 20,
        epochs: Annotated[int, "maximum number of passes over the stored examples", Range(1)] = 40,
        learning_rate: Annotated[
            float, "learning rate of AdamW (the paper: 5e-6 for a 7B model)", Range(0, low_open=True)
        ] = 2e-3,
        batch_size: Annotated[int, "examples per step", Range(1)] = 8,
        sure: Annotated[float, "mean loss of an epoch, in nats, below which training ends early", Range(0)] = 0.002,
        descriptions: Annotated[
            str, "TOML file with lines task = description, in place of the tasks' own", ExistingFile()
        ] = "",
    ) -> None:
        super().__init__(backbone)
        self.samples, self.epochs, self.learning_rate = samples, epochs, learning_rate
        self.batch_size, self.sure, self.descriptions = batch_size, sure, descriptions
        self._from_file = _read_descriptions(descriptions)
        self._descriptions: dict[str, str] = {}
        self._stored: list[tuple[str, Example]] = []

    # Learning

    def learn(self, task: Task, examples: Sequence[Example], context: RouterContext) -> Iterator[Progress]:
        generic = f"{'+'.join(sorted(task.modalities)) or 'text'} {task.type}"
        self._descriptions[task.name] = self._from_file.get(task.name) or task.description or generic
        drawn = context.rng.sample(list(examples), min(self.samples, len(examples)))
        self._stored += [(task.name, replace(example, references=(), choices=(), answer=None)) for example in drawn]
        if len(self._descriptions) > 1:
            yield from self._train_adapter(context)

    def _train_adapter(self, context: RouterContext) -> Iterator[Progress]:
        """Train the router adapter anew, from the average of the experts, on all stored examples."""
        adapters, module = self.backbone.adapters, self.backbone.module
        active, learning, training = adapters.active, adapters.learning, module.training
        if ADAPTER not in adapters.names:
            adapters.add(ADAPTER, seed=context.seed)
        if context.experts:
            adapters.load(ADAPTER, _average([adapters.state(name) for name in context.experts.values()]))
        adapters.activate(ADAPTER)
        module.eval()  # no dropout: a few examples are to be memorised, and no random numbers are drawn
        try:
            yield from self._run_epochs(context)
        finally:
            module.train(training)
            adapters.activate(active, learning=learning)

    def _run_epochs(self, context: RouterContext) -> Iterator[Progress]:
        modalities = {modality for _, example in self._stored for modality in example.modalities}
        weights = list(self.backbone.adapters.trainable(modalities).values())
        optimizer = torch.optim.AdamW(weights, lr=self.learning_rate, weight_decay=0.0)
        examples = self._training_examples()
        for epoch in range(1, self.epochs + 1):
            total = tokens = 0.0
            for batch in self._batches(examples, context.rng):
                loss, count = self._step(optimizer, weights, batch)
                total, tokens = total + loss * count, tokens + count
            yield Progress(epoch, self.epochs, "router")
            if total / tokens < self.sure:
                return

    def _training_examples(self) -> list[Example]:
        letters = {name: _letter(index) for index, name in enumerate(self._descriptions)}
        prompts = self._task_prompts([example for _, example in self._stored])
        return [prompt.with_answer(letters[name]) for prompt, (name, _) in zip(prompts, self._stored, strict=True)]

    def _batches(self, examples: Sequence[Example], rng: random.Random) -> Iterator[list[Example]]:
        shuffled = rng.sample(examples, len(examples))
        for start in range(0, len(shuffled), self.batch_size):
            yield shuffled[start : start + self.batch_size]

    def _step(
        self, optimizer: torch.optim.Optimizer, weights: Sequence[Tensor], examples: Sequence[Example]
    ) -> tuple[float, int]:
        """Take a step, and return the mean loss over the answer tokens of ``examples`` and their number."""
        batch = self.backbone.batch(examples)
        loss = self.backbone.loss(batch)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return float(loss.detach()), len(batch.example_index)

    # Routing

    def route(self, examples: Sequence[Example]) -> Sequence[Route]:
        return self.route_among(examples, [list(self._descriptions)] * len(examples))

    def route_among(self, examples: Sequence[Example], tasks: Sequence[Sequence[str]]) -> Sequence[Route]:
        names = list(self._descriptions)
        if len(names) == 1:
            return [Route(names[0]) for _ in examples]
        letters = [_letter(index) for index in range(len(names))]
        prompts = self._task_prompts(examples)
        batches = [prompts[start : start + SCORING_BATCH] for start in range(0, len(prompts), SCORING_BATCH)]
        with self.backbone.adapters.using(ADAPTER):
            scores = [self.backbone.score_choices(batch, letters) for batch in batches]
        return routes(names, torch.softmax(among(names, tasks, torch.cat(scores).double().cpu()), dim=1))

    def _task_prompts(self, examples: Sequence[Example]) -> list[Example]:
        """Return examples that ask for the letter of the task that each of ``examples`` belongs to.

        The descriptions come first, so that a backbone can process this common prefix once.
        """
        pool = "".join(f"{_letter(index)}: {text}\n" for index, text in enumerate(self._descriptions.values()))
        return [replace(e, content=(pool, *_with_cue(e.content)), choices=(), answer=None) for e in examples]

    # Resuming

    def state(self) -> State:
        stored = [[name, example.as_json()] for name, example in self._stored]
        return State(data={"descriptions": dict(self._descriptions), "stored": stored})

    def routing_state(self) -> State:
        return State(data={"descriptions": dict(self._descriptions), "stored": []})

    def restore(self, state: State) -> None:
        self._descriptions = dict(state.data["descriptions"])
        self._stored = [(name, Example.from_json(example)) for name, example in state.data["stored"]]


def _with_cue(content: Content) -> Content:
    """Return the content with the cue for a letter at its end."""
    if content and isinstance(content[-1], str):
        return (*content[:-1], f"{content[-1]}{CUE}")
    return (*content, CUE)


def _letter(index: int) -> str:
    """Return the label of a task: A, B, … Z, A1, B1, …"""
    rounds, rest = divmod(index, 26)
    return f"{ascii_uppercase[rest]}{rounds or ''}"


def _average(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([state[name] for state in states]).mean(0) for name in states[0]}


def _read_descriptions(path: str) -> dict[str, str]:
    if not path:
        return {}
    try:
        table = read_toml(Path(path).expanduser())
    except (OSError, ValueError) as error:
        raise PlanError(
            f"cannot read {path}: {error}", 'Write one line per task: "mini/img_cap" = "describe pictures".'
        ) from error
    return {name: str(text) for name, text in table.items()}
