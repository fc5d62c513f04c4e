"""MoInCL (Pian et al., "Modality-Inconsistent Continual Learning of Multimodal Large Language
Models", arXiv 2412.13050): pseudo targets, instruction-based distillation, weight fusion.

From the second task on, with the model after the previous task as teacher and KL = T^2 KL(teacher/T || student/T):
1. Pseudo targets (PTGM): if the modality was learnt before with the other task type, its targets are generated for the
   new task's inputs; ``pseudo_num`` of them join each step: cross entropy + lambda_kl * KL on their answer tokens.
2. Instruction-based distillation (IKD): lambda_text * KL on ``text_instruct_num`` texts per step, without media.
3. Weight fusion: theta <- (1 - alpha) theta_teacher + alpha theta for each epoch.

Ablations: ``pseudo_num 0`` (no PTGM), ``text_instruct_num 0`` (no IKD), ``alpha 1`` (no fusion); all three together
give sequential fine-tuning. The recipe moincl-paper sets the paper's form of the loss and its decoding, the recipes
micl-order-1 and -2 the authors' options for each task.

Deviations from the authors' code: the teacher is an adapter on the same base, not a second model, and its last states
are cached. KL is taken at aligned answer tokens, not over the last rows of differently padded batches. By default the
cross entropy on pseudo samples is a separate mean (``loss mean_over_all``: theirs, one mean over all answer tokens).
Captions are generated once per medium; questions are written by the backbone's language model (theirs are
pre-generated: ``pseudo_targets`` reads them, for all captions of an example). A step prefers pseudo samples on the
batch's media. ``pseudo_when`` is by modality (theirs, in order 2: by type). T is 2 (paper: 5), lambda_text 2 (paper: 1)
and alpha 0.5 for all tasks (paper: set by hand per task). Texts are the backbone's, not Natural Instructions.
By default a fusion is spread over the steps of its epoch (``fusion epoch``: theirs, at its end): a few epochs are
not enough for connectors to adapt to weights that change at once, and no step follows the last fusion.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from torch import Tensor

from micl_cli.api import (
    CAPTIONING,
    NEW,
    QA,
    AddedLater,
    Backbone,
    Batch,
    Content,
    Example,
    ExistingFile,
    Formerly,
    Loss,
    PlanError,
    Progress,
    Range,
    Search,
    Stage,
    State,
    Task,
    answer_loss,
    distillation_loss,
)
from micl_strategies.cached_teacher import CachedTeacher
from micl_strategies.fusion import fuse, gradual_alpha, teacher_weights
from micl_strategies.pseudo_pool import PseudoPool
from micl_strategies.pseudo_targets import PseudoTargets
from micl_strategies.single_adapter import TEACHER, SingleAdapter
from micl_strategies.writer import chunks, read_lines, write_questions

PSEUDO, TEXT = "pseudo", "text"
GROUPS = {"answers": (NEW,), "pseudo": (PSEUDO,), "pseudo_kl": (PSEUDO,), "text_kl": (TEXT,)}
"""The groups of examples over whose answer tokens each term of the loss is a mean."""

Samples = Generator[Progress, None, list[Example]]
"""A pass that yields its progress and returns pseudo samples."""


class MoInCL(SingleAdapter):
    """Learn pseudo targets of the other task type, distil the teacher on them and on text, and fuse weights."""

    needs = frozenset({"adapters", "generate", "text", "questions"})

    def __init__(
        self,
        backbone: Backbone,
        *,
        pseudo_num: Annotated[int, "pseudo samples added to each optimiser step (0: none)", Range(0)] = 4,
        pseudo_when: Annotated[
            Literal["modality", "type"],
            "generate if the other task type was learnt in the same modalities, or in any modalities",
        ] = "modality",
        pseudo_weight: Annotated[float, "weight of the cross entropy on pseudo samples", Range(0)] = 1.0,
        loss: Annotated[
            Literal["separate", "mean_over_all"],
            "one cross entropy for new and one for pseudo samples, or one mean over both, as in the authors' code",
            AddedLater(),
        ] = "separate",
        lambda_kl: Annotated[
            float, "weight of the distillation on pseudo samples", Range(0), Search(0.1, 10.0, log=True)
        ] = 1.0,
        text_instruct_num: Annotated[
            int, "text-only instructions per optimiser step for distillation (0: none)", Range(0)
        ] = 4,
        lambda_text: Annotated[
            float, "weight of the distillation on text-only instructions", Range(0), Search(0.2, 20.0, log=True)
        ] = 2.0,
        temperature: Annotated[float, "temperature T of both distillations", Range(0, low_open=True)] = 2.0,
        alpha: Annotated[
            float, "share of the new weights in the fusion; 0 restores the teacher's", Range(0, 1), Search(0.1, 0.9)
        ] = 0.5,
        alpha_rule: Annotated[
            Literal["constant", "tasks"], "alpha as given, or 1 / t for task t", AddedLater()
        ] = "constant",
        fusion: Annotated[
            Literal["gradual", "epoch"],
            "spread each epoch's fusion over its steps by their learning rates, or fuse after every epoch (the paper)",
            Formerly("epoch"),
        ] = "gradual",
        fuse_every: Annotated[int, "steps between fusions (0: as option fusion says)", Range(0)] = 0,
        fuse_until: Annotated[
            float, "fraction of a task's steps after which fusion ends", Range(0, 1), AddedLater()
        ] = 1.0,
        fuse_connectors: Annotated[bool, "also fuse the connectors of modalities learnt before"] = False,
        instructions: Annotated[
            str, "file of texts for distillation, one per line (default: the backbone's own)", ExistingFile()
        ] = "",
        pseudo_targets: Annotated[
            str,
            "JSON file, or folder of such files, with a question and answer per caption, to use instead of generation",
            ExistingFile(folder=True),
            AddedLater(),
        ] = "",
        writer: Annotated[str, "path or hub id of the model that writes questions (default: the backbone's own)"] = "",
        **options: Any,
    ) -> None:
        super().__init__(backbone, **options)
        self.pseudo_num, self.pseudo_when, self.pseudo_weight = pseudo_num, pseudo_when, pseudo_weight
        self.loss_ = loss
        self.lambda_kl, self.lambda_text, self.temperature = lambda_kl, lambda_text, temperature
        self.text_instruct_num, self.instructions, self.writer = text_instruct_num, instructions, writer
        self.pseudo_targets = pseudo_targets
        if pseudo_targets:
            PseudoTargets(Path(pseudo_targets))  # raises for a malformed file before anything is learnt
        self.alpha, self.alpha_rule, self.fusion = alpha, alpha_rule, fusion
        self.fuse_every, self.fuse_until = fuse_every, fuse_until
        self.fuse_connectors = fuse_connectors
        self.pseudo = PseudoPool()
        self._fuses = False  # whether the weights after the latest step may still be fused
        self.texts: list[Example] = []
        self.teacher = CachedTeacher(backbone)
        self._teacher_weights: dict[str, Tensor] = {}

    # Before learning: the teacher, the texts, and the pseudo samples

    def begin(self, stage: Stage) -> None:
        super().begin(stage)
        self._clear()
        if self.copy_teacher():
            self._use_teacher()

    def _use_teacher(self) -> None:
        self._teacher_weights = teacher_weights(self, connectors=self.fuse_connectors)
        self.texts = self._text_pool()

    def _text_pool(self) -> list[Example]:
        if not self.text_instruct_num:
            return []
        path = Path(self.instructions).expanduser() if self.instructions else None
        texts = read_lines(path) if path else self.backbone.instructions()
        if not texts:
            raise PlanError(
                "moincl distils on text, but this backbone has no instructions",
                "Give a file with one text per line: -o instructions FILE; or disable it: -o text_instruct_num 0.",
            )
        return [Example(f"text/{i}", answer=text) for i, text in enumerate(texts)]

    def before(self, stage: Stage) -> Iterator[Progress]:
        if not self.has_teacher:
            return
        if self.pseudo_num:
            for task in stage.tasks:
                self.pseudo += yield from self._pseudo_samples(task)
        yield from self.teacher.fill([*self.texts, *self.pseudo], stage)

    def _pseudo_samples(self, task: Task) -> Samples:
        """Generate pseudo targets (PTGM): targets of the other task type for this task's inputs."""
        previous = self.stage.previous_tasks
        others = [old for old in previous if self.pseudo_when == "type" or old.modalities == task.modalities]
        if task.type == QA and (captioning := [old for old in others if old.type == CAPTIONING]):
            return (yield from self._pseudo_captions(task, captioning[-1]))
        if task.type == CAPTIONING and any(old.type == QA for old in others):
            return (yield from self._pseudo_questions(task))
        return []

    def _pseudo_captions(self, task: Task, captioning: Task) -> Samples:
        """Caption all media of a question-answering task with the teacher, by the instruction of ``captioning``."""
        generic = f"describe the {' and the '.join(sorted(task.modalities))}."
        instruction = captioning.instruction if captioning.modalities == task.modalities else generic
        inputs = list({e.media_key: e for e in task.examples("train") if e.media}.values())
        captions: list[str] = []
        for chunk in chunks([e.with_prompt(instruction) for e in inputs], self.stage.batch_size):
            with self.backbone.adapters.using(TEACHER), self.stage.autocast():
                captions += self.backbone.generate(chunk)
            yield Progress(len(captions), len(inputs), "pseudo captions")
        answered = ((e, (instruction, caption)) for e, caption in zip(inputs, captions, strict=True) if caption)
        return [self._pseudo_sample(i, e, *pair) for i, (e, pair) in enumerate(answered, len(self.pseudo))]

    def _pseudo_questions(self, task: Task) -> Samples:
        """Use the pairs of ``pseudo_targets``, and generate one with the language model for each other example."""
        inputs = [e for e in task.examples("train") if e.media]
        given = self._given_questions(inputs)
        if self.pseudo_targets:
            covered = {sample.meta["source"] for sample in given}
            share = f"{len(covered):,} of {len(inputs):,} training examples of {task.name}"
            inputs = [example for example in inputs if example.id not in covered]
            others = f", those for the other {len(inputs):,} are written" if inputs else ""
            note = f"{len(given):,} questions for {share} are from {self.pseudo_targets}{others}"
            yield Progress(0, len(inputs), "pseudo questions", note)
        pairs: list[tuple[str, str] | None] = []
        for written in write_questions(self.backbone, [e.target for e in inputs], self.stage.batch_size, self.writer):
            pairs += written
            yield Progress(len(pairs), len(inputs), "pseudo questions")
        answered = ((e, pair) for e, pair in zip(inputs, pairs, strict=True) if pair)
        first = len(self.pseudo) + len(given)
        return [*given, *(self._pseudo_sample(i, e, *pair) for i, (e, pair) in enumerate(answered, first))]

    def _given_questions(self, inputs: Sequence[Example]) -> list[Example]:
        """Return a sample for each pair that the files of pseudo targets have for the captions of ``inputs``."""
        if not self.pseudo_targets:
            return []
        known = PseudoTargets(Path(self.pseudo_targets))
        pairs = ((example, pair) for example in inputs for pair in known.of(example))
        return [self._pseudo_sample(i, e, *pair, given=True) for i, (e, pair) in enumerate(pairs, len(self.pseudo))]

    @staticmethod
    def _pseudo_sample(number: int, source: Example, prompt: str, answer: str, *, given: bool = False) -> Example:
        """Return an example that asks ``prompt`` about the media of ``source``."""
        content: Content = (*source.media, prompt) if prompt else source.media
        return Example(f"pseudo/{number}", content, answer=answer, meta={"source": source.id, "given": given})

    # Each step: one forward pass of the student, and one of the teacher for samples that are not cached

    def step_examples(self, examples: Sequence[Example]) -> Mapping[str, Sequence[Example]]:
        """Return three groups: "new" (drawn and rehearsed examples), "pseudo" samples, and "text"."""
        pseudo = self.pseudo.draw(self.pseudo_num, examples, self.stage.rng)
        count = min(self.text_instruct_num, len(self.texts)) if self.stage.previous_tasks else 0
        texts = [self.texts[i] for i in self.stage.rng.sample(range(len(self.texts)), count)]
        return {NEW: [*examples, *self.rehearsed()], PSEUDO: pseudo, TEXT: texts}

    def loss(self, batch: Batch) -> Loss:
        if not self.pseudo and not self.texts:
            return self.backbone.loss(batch)
        distilled = [*batch.groups[PSEUDO], *batch.groups[TEXT]]
        if not distilled:
            return {"answers": self.backbone.loss(batch)}
        teacher = self.teacher.logits([batch.examples[i] for i in distilled])
        states, labels = self.backbone.answer_states(batch)
        new, pseudo = batch.positions(NEW), batch.positions(PSEUDO)
        student, split = self.backbone.project(states[~new]), int(pseudo.sum())
        temperature = self.temperature
        on_new = answer_loss(self.backbone.project(states[new]), labels[new])
        on_pseudo = self.pseudo_weight * answer_loss(student[:split], labels[pseudo])
        return {
            **self._cross_entropy(on_new, on_pseudo, int(new.sum()), split),
            "pseudo_kl": self.lambda_kl * distillation_loss(student[:split], teacher[:split], temperature),
            "text_kl": self.lambda_text * distillation_loss(student[split:], teacher[split:], temperature),
        }

    def _cross_entropy(self, new: Tensor, pseudo: Tensor, new_tokens: int, pseudo_tokens: int) -> dict[str, Tensor]:
        """Return the terms of the cross entropy, given its means over new and over pseudo answer tokens."""
        if self.loss_ == "separate":
            return {"answers": new, "pseudo": pseudo}
        return {"answers": (new * new_tokens + pseudo * pseudo_tokens) / max(1, new_tokens + pseudo_tokens)}

    def population(self, term: str, batch: Batch) -> int:
        """Return the number of answer tokens in the term's groups."""
        groups = (NEW, PSEUDO) if term == "answers" and self.loss_ == "mean_over_all" else GROUPS.get(term)
        if groups is None:
            return super().population(term, batch)
        return sum(int(batch.positions(group).sum()) for group in groups)

    # Weight fusion: theta <- (1 - alpha) theta_teacher + alpha theta

    @property
    def share(self) -> float:
        """The share of the new weights in this stage's fusions (alpha)."""
        return self.alpha if self.alpha_rule == "constant" else 1 / (1 + len(self.stage.previous_tasks))

    def step_end(self, step: int) -> None:
        self._fuses = self.has_teacher and step <= self.fuse_until * self.schedule.steps
        if self._fuses and self.fuse_every and step % self.fuse_every == 0:
            fuse(self, self._teacher_weights, self.share)
        elif self._fuses and not self.fuse_every and self.fusion == "gradual":
            fuse(self, self._teacher_weights, gradual_alpha(self, step, self.share))

    def epoch_end(self) -> None:
        if self._fuses and self.acts_at_epoch_end:
            fuse(self, self._teacher_weights, self.share)

    @property
    def acts_at_epoch_end(self) -> bool:
        return self.has_teacher and not self.fuse_every and self.fusion == "epoch"

    # End of a task, and resuming

    def end(self, stage: Stage) -> None:
        self._clear()
        self.drop_teacher()
        super().end(stage)

    def _clear(self) -> None:
        self.pseudo = PseudoPool()
        self._teacher_weights = {}
        self.teacher.clear()

    def state(self) -> State:
        """Return the generated pseudo samples. Those from files, which may be many, are read again on restoring."""
        written = [sample for sample in self.pseudo if not sample.meta["given"]]
        data: dict[str, Any] = {"pseudo": [[each.meta["source"], each.prompt, each.target] for each in written]}
        if given := len(self.pseudo) - len(written):
            data["given"] = given
        return State(data={**data, **super().state().data})

    def restore(self, state: State) -> None:
        super().restore(state)
        inputs = {e.id: e for task in self.stage.tasks for e in task.examples("train")}
        stored = [(inputs[id], prompt, answer) for id, prompt, answer in state.data.get("pseudo", ()) if id in inputs]
        self.pseudo = PseudoPool()
        if state.data.get("given"):
            self.pseudo += self._given_questions([e for e in inputs.values() if e.media])
        self.pseudo += [self._pseudo_sample(i, *each) for i, each in enumerate(stored, len(self.pseudo))]
        if self.has_teacher:
            self._use_teacher()
            for _ in self.teacher.fill([*self.texts, *self.pseudo], self.stage):
                pass
