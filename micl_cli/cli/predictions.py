"""``micl predictions``: show or export the stored answers of a run."""

from __future__ import annotations

from pathlib import Path

import click

from micl_cli.cli.command import Command
from micl_cli.cli.completers import complete_runs, complete_tasks
from micl_cli.cli.console import echo, note
from micl_cli.cli.context import current_settings
from micl_cli.cli.file_formats import chosen_format

SUFFIXES = {".csv": "csv", ".jsonl": "jsonl"}
SMALLEST = 1e-9
"""Scores below this are 0."""
EPILOG = """\b
Examples:
  micl predictions @last --wrong --limit 20
  micl predictions 3f2a --task img_qa --stage 2 -o answers.csv
  micl predictions @last -o answers.jsonl
  micl score answers.jsonl --task mini/img_qa

\b
Formats: text, csv (for spreadsheets: text that would be evaluated as a formula is prefixed with an
apostrophe), jsonl (the exact answers, one object a line, which `micl score` reads), and release (the keys of
LLaVA-style prediction files; for one task). A benchmark may have formats of its own for a judge or
a server, such as mathvista for mllm-cl-ability/math."""


@click.command(cls=Command, epilog=EPILOG)
@click.argument("run", shell_complete=complete_runs)
@click.option("--task", shell_complete=complete_tasks, help="Only the answers to this task; by default to all.")
@click.option("--stage", type=click.IntRange(0), help="The stage of the answers; by default the last.")
@click.option("--split", type=click.Choice(["train", "val", "test"]), help="The split; by default test if stored.")
@click.option("--wrong", is_flag=True, help="Only answers with a score of 0, and missing ones.")
@click.option("--below", type=click.FloatRange(0, min_open=True), metavar="SCORE",
              help="Only answers with a score (x100) below this, and missing ones.")  # fmt: skip
@click.option("--limit", type=click.IntRange(1), help="Maximum number of answers to each task.")
@click.option("--format", "style", default="text", metavar="FORMAT",
              help="text, csv, jsonl, release, or a format of the task's benchmark; by default as the suffix of the "
              "file says.")  # fmt: skip
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to write: .csv, .jsonl or .txt, or any other with --format.",
)
def predictions(
    run: str,
    task: str | None,
    stage: int | None,
    split: str | None,
    wrong: bool,
    below: float | None,
    limit: int | None,
    style: str,
    output: Path | None,
) -> None:
    """Show or export the answers of a run with their references and scores.

    Answers are stored when a run is scored, up to the limit set by --predictions of `micl learn` and `micl eval`.
    """
    from micl_cli.session import Session
    from micl_cli.session.predictions import rendered_answers, stored_answers

    style = chosen_format(click.get_current_context(), style, output, SUFFIXES)
    session = Session(current_settings())
    least = below if below is not None else SMALLEST if wrong else None
    sets = stored_answers(session, session.resolve(run), task=task, stage=stage, split=split, below=least, limit=limit)
    text = rendered_answers(session, sets, style)
    if output is None:
        if text:
            echo(text)
        return
    from micl_cli.io.files import write_text

    write_text(output, text + "\n" if text else "")
    note(f"wrote {sum(len(each.examples) for each in sets):,} answers to {output}")
