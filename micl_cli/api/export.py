"""Export of a learnt model: the request, and the backbone's summary of the files that it wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from micl_cli.api.task import Example

ExportFormat = Literal["peft", "merged", "vllm"]
"""Adapters in the layout of peft; whole weights with the adapter merged into them; adapters for a vLLM server."""


@dataclass(frozen=True, kw_only=True)
class ExportRequest:
    """A request to export a model.

    ``adapters`` maps the names of the adapters to their folders within the export; an empty one is the export itself.
    ``answering`` are those that answer, as opposed to adapters of a router. ``by_task`` maps tasks to adapters if each
    task has one of its own, and ``active`` is the adapter that answers everything otherwise. ``base`` is the preset or
    checkpoint as it is to be written, and ``place`` the folder or the hub id of the export for code that loads it.
    ``example`` is what such code asks, with its task if the strategy needs it, and ``decoding`` holds the arguments of
    ``Backbone.generate`` of the run.
    """

    format: ExportFormat
    adapters: Mapping[str, str]
    answering: Sequence[str]
    by_task: Mapping[str, str] = field(default_factory=dict)
    active: str = ""
    base: str = ""
    place: str = "."
    example: Example = field(default_factory=lambda: Example("example", ("What is it?",)))
    decoding: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Usage:
    """A way to use an export: a sentence, and code in a language ("python", "sh"), or none."""

    text: str
    code: str = ""
    language: str = "python"


@dataclass(frozen=True, kw_only=True)
class ExportSummary:
    """A backbone's summary of an export that it wrote, for the model card.

    ``base_models`` are the hub ids of the base model; ``base`` is its name in texts. ``licence`` is that of the base
    model, empty if it is not known. ``library`` is the Python package that loads the export. If its weights are whole,
    ``backbone`` is the backbone that replaces that of the run, with an argument relative to the folder ("hf:.").
    """

    base: str
    base_models: Sequence[str] = ()
    licence: str = ""
    library: str = "peft"
    usage: Sequence[Usage] = ()
    notes: Sequence[str] = ()
    backbone: str = ""
