"""``micl score``: score files of predictions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from micl_cli.cli.command import Command
from micl_cli.cli.completers import complete_metrics, complete_tasks
from micl_cli.cli.console import echo, echo_json, note, table
from micl_cli.cli.context import current_settings
from micl_cli.cli.plan_options import benchmark_option
from micl_cli.cli.progress import counting
from micl_cli.errors import UsageError

if TYPE_CHECKING:
    from micl_cli.session.scoring import FileScore

EPILOG = """\b
Examples:
  micl score merge.jsonl --task mllm-cl-domain/rs
  micl score merge.jsonl --task mllm-cl-domain/rs --scorer strict --json
  micl score captions.json --task ucit/flickr30k --by order

\b
FILE has one JSON object a line with question_id and text, or is a JSON list of such objects. The files
of other projects' releases and of `micl predictions` are both of this form."""


@click.command(cls=Command, epilog=EPILOG)
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.option("--task", required=True, shell_complete=complete_tasks, help="The prepared task of the predictions.")
@benchmark_option
@click.option(
    "--split", default="test", type=click.Choice(["train", "val", "test"]), help="The split of the predictions."
)
@click.option("--metric", shell_complete=complete_metrics, help="The metric; by default the task's own.")
@click.option("--scorer", help="A scorer variant of a published task (release, strict); by default as it was prepared.")
@click.option("--by", default="id", type=click.Choice(["id", "order"]),
              help="How predictions are matched to examples: by id, or by their order.")  # fmt: skip
@click.option("--examples", type=click.IntRange(1),
              help="Score the subset of examples on which a run with the same --eval-examples is scored.")  # fmt: skip
@click.option("--on-error", default="fail", type=click.Choice(["fail", "skip"]),
              help="What to do with unknown and repeated ids: stop, or skip them.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def score(
    files: tuple[Path, ...],
    task: str,
    benchmark: str,
    split: str,
    metric: str | None,
    scorer: str | None,
    by: Any,
    examples: int | None,
    on_error: Any,
    as_json: bool,
) -> None:
    """Score files of predictions on a prepared task, without loading a model.

    An example without a prediction counts as wrong; the number of such examples is shown.
    """
    from micl_cli.plan import full_name
    from micl_cli.session.library import TaskLibrary
    from micl_cli.session.scoring import score_file

    if metric and scorer:
        raise UsageError("--metric and --scorer cannot be combined", "Use one of them.")
    library = TaskLibrary(current_settings())
    choice: dict[str, Any] = {"split": split, "metric": metric, "scorer": scorer, "by": by, "examples": examples}
    name = full_name(task, benchmark)
    scores = []
    with counting(f"scoring {name}") as show:
        for number, path in enumerate(files):
            show(number, len(files))
            scores.append(score_file(library, path, name, **choice, on_problem=on_error))
    if as_json:
        echo_json({"scores": [each.as_json() for each in scores]})
        return
    _print(scores)


def _print(scores: list[FileScore]) -> None:
    columns = ("file", "task", "split", "metric", "version", "prompts", "scorer", "score", "examples", "missing")
    optional = {
        "file": len(scores) > 1,
        "prompts": any(s.prompts for s in scores),
        "scorer": any(s.scorer for s in scores),
    }
    shown = [column for column in columns if optional.get(column, True)]
    rows = [[_cell(each, column) for column in shown] for each in scores]
    echo(table(shown, rows))
    for each in scores:
        _print_figures(each)
        if each.missing:
            note(f"{each.file}: {each.missing:,} of {each.n:,} examples have no prediction and count as wrong")
        if each.unknown or each.repeated:
            note(f"{each.file}: skipped {each.unknown:,} unknown and {each.repeated:,} repeated ids")


def _cell(score: FileScore, column: str) -> Any:
    if column == "score":
        return f"{score.score:.2f}"
    return score.n if column == "examples" else getattr(score, column)


def _print_figures(score: FileScore) -> None:
    if score.figures:
        echo()
        echo(table(["figure", "score"], [[name, f"{value:.2f}"] for name, value in score.figures.items()]))
