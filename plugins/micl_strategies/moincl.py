"""MoInCL (Pian et al., "Modality-Inconsistent Continual Learning of Multimodal Large Language
Models", arXiv 2412.13050): pseudo targets, instruction-based distillation, weight fusion.

The teacher is the model as it stood after the previous task: an adapter on the same base.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from micl_cli.api import Backbone, Batch, Example, PlanError, State, Task, answer_loss, distillation_loss
from micl_strategies.fusion import fuse, fused_from
from micl_strategies.single import TEACHER, SingleAdapter
from micl_strategies.writer import answers, chunks, read_lines, write_questions

CAPTIONING, QA = "captioning", "qa"
READ_BYTES = 512 * 10**6
"""What the teacher's states of texts and pseudo samples may take: some 20,000 captions at a width of 576."""


class MoInCL(SingleAdapter):
    """Teach pseudo targets of the other task type, distil on them and on text, fuse weights."""

    needs = frozenset({"adapters", "generate", "text", "questions"})

    def __init__(
        self,
        backbone: Backbone,
        *,
        pseudo_num: Annotated[int, "pseudo samples that join each batch (0: none)"] = 4,
        pseudo_when: Annotated[
            Literal["modality", "type"],
            "generate when the other task type was learnt in this modality, or in any",
        ] = "modality",
        pseudo_weight: Annotated[float, "weight of the cross entropy on pseudo samples"] = 1.0,
        lambda_kl: Annotated[float, "weight of the distillation on pseudo samples"] = 1.0,
        text_instruct_num: Annotated[int, "text-only instructions a step for distillation (0: none)"] = 4,
        lambda_text: Annotated[float, "weight of the distillation on text-only instructions"] = 2.0,
        temperature: Annotated[float, "temperature T of both distillations"] = 2.0,
        alpha: Annotated[float, "fusion: share of the new weights; 1 keeps them, 0 the teacher's"] = 0.5,
        fuse_every: Annotated[int, "fuse after so many steps; 0: after every epoch"] = 0,
        fuse_connectors: Annotated[bool, "also fuse the connectors of modalities learnt before"] = False,
        instructions: Annotated[str, "file with one text a line to distil on; the backbone's own where empty"] = "",
        writer: Annotated[str, "path or hub id of a language model to write questions; empty: the backbone's"] = "",
        **options: Any,
    ) -> None:
        super().__init__(backbone, **options)
        self.pseudo_num, self.pseudo_when, self.pseudo_weight = pseudo_num, pseudo_when, pseudo_weight
        self.lambda_kl, self.lambda_text, self.temperature = lambda_kl, lambda_text, temperature
        self.text_instruct_num, self.instructions, self.writer = text_instruct_num, instructions, writer
        self.alpha, self.fuse_every, self.fuse_connectors = alpha, fuse_every, fuse_connectors
        self.pseudo: list[Example] = []
        self.texts: list[Example] = []
        self._added: tuple[int, Sequence[int]] = (0, ())
        self._read: Sequence[Tensor] = ()
        self._anchor: dict[str, Tensor] = {}

    # Before a task: the teacher, and what it can tell

    def begin(self, task: Task) -> None:
        super().begin(task)
        self.pseudo, self._anchor = [], {}
        if not self.keep_teacher():
            return
        self._anchor = fused_from(self, connectors=self.fuse_connectors)
        self.texts = self._text_pool()
        if self.pseudo_num:
            self.pseudo = self._pseudo_samples(task)
        self._read = self._read_once()

    def _pseudo_samples(self, task: Task) -> list[Example]:
        """Pseudo targets generation (PTGM): the other task type's targets for this task's inputs."""
        others = [old for old in self.seen if self.pseudo_when == "type" or old.modality == task.modality]
        if task.kind == QA and (known := [old for old in others if old.kind == CAPTIONING]):
            return self._captioned(task, known[-1])
        if task.kind == CAPTIONING and any(old.kind == QA for old in others):
            return self._asked(task)
        return []

    def _captioned(self, task: Task, known: Task) -> list[Example]:
        """The teacher's caption of every training input of a question-answering task."""
        instruction = known.instruction if known.modality == task.modality else f"describe the {task.modality}."
        inputs = {e.digest or e.id: e for e in task.examples("train")}.values()
        prompts = [_posed(e, instruction) for e in inputs]
        with self.backbone.using(TEACHER), self.autocast():
            captions = answers(self.backbone, prompts, self.at_once)
        return [prompt.with_answer(caption) for prompt, caption in zip(prompts, captions, strict=True) if caption]

    def _asked(self, task: Task) -> list[Example]:
        """A question with its answer, written from each ground-truth caption by a language model."""
        inputs = task.examples("train")
        pairs = write_questions(self.backbone, [e.target for e in inputs], self.at_once, self.writer)
        return [_posed(e, *pair) for e, pair in zip(inputs, pairs, strict=True) if pair]

    def _text_pool(self) -> list[Example]:
        if not self.text_instruct_num:
            return []
        texts = read_lines(Path(self.instructions)) if self.instructions else self.backbone.instructions()
        if not texts:
            raise PlanError(
                "moincl distils on text, and this backbone brings no instructions",
                "Name a file with one text a line: -o instructions FILE, or switch it off: -o text_instruct_num 0.",
            )
        return [Example("text", "", answer=text) for text in texts]

    def _read_once(self) -> Sequence[Tensor]:
        """The teacher's state at each answer position of each text, then of each pseudo sample, as far as they fit.

        It does not change during a task, so that it need not read a sample at each step that has it.
        """
        found: list[Tensor] = []
        if "states" not in self.backbone.provides:
            return found
        size = 0
        with self.backbone.using(TEACHER), self.autocast():
            for samples in chunks([*self.texts, *self.pseudo], self.at_once):
                batch = self.backbone.batch(samples)
                states = self.backbone.answer_states(batch)[0].cpu()
                size += states.nbytes
                if size > READ_BYTES:
                    break
                found += torch.split(states, _counts(batch))
        return found

    # Each step: one forward for the student, one for the teacher

    def batch(self, examples: Sequence[Example]) -> Batch:
        """The drawn examples and those rehearsed, then pseudo samples, then texts."""
        pseudo = self._drawn_pseudo(examples)
        count = min(self.text_instruct_num, len(self.texts)) if self.seen else 0
        texts = self.rng.sample(range(len(self.texts)), count)
        self._added = (len(pseudo), [*(len(self.texts) + i for i in pseudo), *texts])
        added = [*(self.pseudo[i] for i in pseudo), *(self.texts[i] for i in texts)]
        return self.backbone.batch([*examples, *self.recalled(), *added])

    def _drawn_pseudo(self, examples: Sequence[Example]) -> list[int]:
        """Which pseudo samples join: on the media of ``examples``, which a backbone reads once, then any others.

        Each is drawn as often as the examples on its medium are.
        """
        media = {example.digest for example in examples if example.digest}
        near = [i for i, sample in enumerate(self.pseudo) if sample.digest in media]
        drawn = self.rng.sample(near, min(self.pseudo_num, len(near)))
        if lacking := self.pseudo_num - len(drawn):
            others = [i for i, sample in enumerate(self.pseudo) if sample.digest not in media]
            drawn += self.rng.sample(others, min(lacking, len(others)))
        return drawn

    def loss(self, batch: Batch) -> Tensor:
        pseudo, added = self._added
        if not added:
            return super().loss(batch)
        new = len(batch) - len(added)
        theirs = self._teacher_logits(batch.examples[new:])
        states, labels = self.backbone.answer_states(batch)
        rows = batch.example_index
        own, told = rows < new, (rows >= new) & (rows < new + pseudo)
        ours, split = self.backbone.project(states[~own]), int(told.sum())
        terms = {
            "answers": answer_loss(self.backbone.project(states[own]), labels[own]),
            "pseudo": self.pseudo_weight * answer_loss(ours[:split], labels[told]),
            "pseudo_kl": self.lambda_kl * distillation_loss(ours[:split], theirs[:split], self.temperature),
            "text_kl": self.lambda_text * distillation_loss(ours[split:], theirs[split:], self.temperature),
        }
        self.parts = {name: float(term.detach()) for name, term in terms.items()}
        return torch.stack(list(terms.values())).sum()

    def _teacher_logits(self, examples: Sequence[Example]) -> Tensor:
        """The teacher at the same answer positions of the same samples, in the same order."""
        known = {at: self._read[i] for at, i in enumerate(self._added[1]) if i < len(self._read)}
        asked = [at for at in range(len(examples)) if at not in known]
        pieces: dict[int, Tensor] = {}
        with self.backbone.using(TEACHER):
            if asked:
                batch = self.backbone.batch([examples[at] for at in asked])
                pieces |= zip(asked, torch.split(self.backbone.answer_logits(batch)[0], _counts(batch)), strict=True)
            if known:
                logits = self.backbone.project(torch.cat(list(known.values())).to(self.backbone.device))
                pieces |= zip(known, torch.split(logits, [len(each) for each in known.values()]), strict=True)
        return torch.cat([pieces[at] for at in range(len(examples))])

    # Weight fusion: theta <- (1 - alpha) theta_teacher + alpha theta

    def step_end(self, step: int) -> None:
        if self.fuse_every and step % self.fuse_every == 0:
            fuse(self, self._anchor, self.alpha)

    def epoch_end(self) -> None:
        if not self.fuse_every:
            fuse(self, self._anchor, self.alpha)

    # After a task, and for going on

    def end(self, task: Task) -> None:
        self.pseudo, self._anchor, self._read = [], {}, ()
        self.drop_teacher()
        super().end(task)

    def state(self) -> State:
        pseudo = [[sample.id, sample.prompt, sample.target] for sample in self.pseudo]
        return State(data={"pseudo": pseudo, **super().state().data})

    def restore(self, state: State) -> None:
        super().restore(state)
        inputs = {e.id: e for task in self.stage for e in task.examples("train")}
        kept = state.data.get("pseudo", ())
        self.pseudo = [_posed(inputs[id], prompt, answer) for id, prompt, answer in kept if id in inputs]
        if self.taught:
            self._anchor, self.texts = fused_from(self, connectors=self.fuse_connectors), self._text_pool()
            self._read = self._read_once()


def _counts(batch: Batch) -> list[int]:
    """How many answer positions each example has."""
    return batch.example_index.bincount(minlength=len(batch)).tolist()


def _posed(example: Example, prompt: str, answer: str | None = None) -> Example:
    """The example's medium with another prompt and answer, and none of its references."""
    return Example(
        example.id, prompt, modality=example.modality, media=example.media, digest=example.digest, answer=answer
    )
