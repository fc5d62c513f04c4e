"""The model card of an export: front matter for the hub, tasks, scores, licence, how to load it, provenance."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from micl_cli import __version__
from micl_cli.api.export import ExportRequest, ExportSummary, Usage
from micl_cli.api.task import CHOICE
from micl_cli.report.blocks import Block, Heading, Paragraph, Table, labels, number
from micl_cli.report.data import RunData, matrix_rows
from micl_cli.report.provenance import provenance
from micl_cli.report.render import markdown

_IDENTIFIERS = {"apache-2.0": "apache-2.0", "mit": "mit", "bsd-3": "bsd-3-clause", "llama 3.2": "llama3.2"}
"""Identifiers of the hub for licences as micl names them; all others are "other"."""
_FORMATS = {
    "peft": "LoRA adapters in the layout of peft",
    "merged": "Whole weights, with the adapter merged into them",
    "vllm": "LoRA adapters for a vLLM server",
}
_TAGS = ("micl", "continual-learning", "multimodal")
_NOT_SHOWN = ("tasks", "data", "name", "attempt", "parent", "backbone_digest")


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """The facts that a model card states about an export.

    ``data`` is the report data of the run, ``position`` the exported stage, ``tasks`` the facts of the run's tasks, and
    ``plan`` the plan as JSON-ready data, as it may be shown. ``routed`` is true if the run selects adapters itself.
    """

    data: RunData
    position: int
    request: ExportRequest
    summary: ExportSummary
    tasks: Sequence[Mapping[str, Any]]
    plan: Mapping[str, Any]
    routed: bool


def model_card(card: CardFacts) -> str:
    """Return a model card in Markdown, with all names escaped."""
    name = card.data.name or card.data.id
    title = f"# {markdown.escaped(f'{name} after stage {card.position}')}"
    blocks: list[Block] = [
        Paragraph(_introduction(card)),
        _tasks(card),
        _scores(card),
        Heading("How to use it"),
    ]
    rest: list[Block] = [*_notes(card), Heading("Licence"), Paragraph(_licence(card.summary)), *_provenance(card)]
    usage = "\n\n".join(_usage(each) for each in card.summary.usage)
    return "\n\n".join([_front_matter(card), title, markdown.write(blocks), usage, markdown.write(rest)]) + "\n"


def _front_matter(card: CardFacts) -> str:
    from huggingface_hub import ModelCardData

    summary, licence = card.summary, card.summary.licence
    identifier = _IDENTIFIERS.get(licence.lower(), "other") if licence else None
    given: dict[str, Any] = {"license_name": licence} if identifier == "other" else {}
    if summary.base_models:
        given["base_model_relation"] = "finetune" if card.request.format == "merged" else "adapter"
    tags = [*_TAGS, *(["lora"] if card.request.format != "merged" else []), card.data.strategy]
    data = ModelCardData(
        base_model=list(summary.base_models) or None,
        library_name="peft" if summary.library == "vllm" else summary.library,
        license=identifier,
        tags=tags,
        **given,
    )
    return f"---\n{data.to_yaml()}\n---"


def _introduction(card: CardFacts) -> str:
    learnt = card.data.stages[: card.position]
    names = ", ".join(dict.fromkeys(task for stage in learnt for task in stage.tasks))
    return (
        f"{_FORMATS[card.request.format]}, learnt by micl {__version__} with the strategy "
        f"{card.data.strategy} on {card.summary.base}. Tasks learnt, in order: {names}."
    )


def _tasks(card: CardFacts) -> Table:
    adapters = card.request.by_task
    columns = ("task", "type", "media", "metric", *(("adapter",) if adapters else ()))
    rows = [
        (
            *(str(each["name"]), str(each["type"]), ", ".join(each["modalities"]) or "text", str(each["metric"])),
            *((adapters.get(each["name"], "-"),) if adapters else ()),
        )
        for each in card.tasks
    ]
    return Table("Tasks of the run", columns, rows, prose=True)


def _scores(card: CardFacts) -> Block:
    """Return R up to the exported stage."""
    run = card.data
    last = matrix_rows(run.tasks, run.stages).get(card.position, len(run.tasks))
    rows = [(f"after {run.tasks[t - 1]}", [run.r[t, i] for i in run.r.tasks]) for t in range(1, last + 1)]
    rows.insert(0, ("before learning", [run.r[0, i] for i in run.r.tasks]))
    measured = [(label, *map(number, row)) for label, row in rows if any(value is not None for value in row)]
    if not measured:
        return Paragraph("No task has been scored.")
    title = f"R: score x100 on the {run.split} split of each task (column) after learning each task (row)"
    return Table(title, ("", *labels(run.tasks)), measured)


def _usage(usage: Usage) -> str:
    if not usage.code:
        return usage.text
    longest = max((len(run) for run in re.findall(r"`+", usage.code)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{usage.text}\n\n{fence}{usage.language}\n{usage.code}\n{fence}"


def _notes(card: CardFacts) -> Iterator[Block]:
    yield from map(Paragraph, card.summary.notes)
    if card.routed and card.request.format == "vllm":
        yield Paragraph("A server does not route: each request names the adapter of its task.")
    if any(each["type"] == CHOICE for each in card.tasks):
        yield Paragraph(
            "In the run, multiple choice was answered by the most likely of the choices of an example, not by "
            "generated text: model.answer(..., choices=[...]) of micl_cli.load_export does the same."
        )


def _licence(summary: ExportSummary) -> str:
    base = f"The base model: {summary.licence}." if summary.licence else "The licence of the base model is not known."
    return f"{base} Its terms also apply to the weights learnt on it. The data of the tasks may have terms of its own."


def _provenance(card: CardFacts) -> list[Block]:
    settings = [
        (name, value) for name, value in card.plan.items() if name not in _NOT_SHOWN and value not in ({}, None)
    ]
    run = [("run", f"{card.data.id}, stage {card.position} of {len(card.data.stages)}, {card.data.status}")]
    rows = [*run, *((name, _value(value)) for name, value in settings)]
    facts = provenance(card.data)
    return [Heading("Provenance"), Table("Run", ("what", "value"), rows, prose=True), *([facts] if facts.rows else [])]


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {item}" for name, item in value.items() if item is not None)
    return str(value)
