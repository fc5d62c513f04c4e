"""Agreement of a judge model, or of another metric, with human marks of answers.

    python benchmarks/judge_agreement.py --model FOLDER-or-ID [FILE]
    python benchmarks/judge_agreement.py --metric contains [FILE]

Each line of FILE is ``{"question", "references", "answer", "right"}``, where ``right`` is a human mark. The default is
the hand-marked sample in this folder. Prints agreement, Cohen's kappa, and the verdicts that differ. A judge whose
kappa is below 0.6 should not be used to compare models.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from micl_cli.api import Example, Resources, parse_json, read_lines
from micl_cli.registry import Registry
from micl_cli.settings import load_settings

SAMPLE = Path(__file__).parent / "judge_sample.jsonl"


class Marked(NamedTuple):
    """An answer to an example, and whether a human marked it as right."""

    example: Example
    answer: str
    right: bool


def read(path: Path) -> list[Marked]:
    """Return the marked answers of a file."""
    marked = []
    for line, text in read_lines(path):
        item = parse_json(text)
        example = Example(str(line), (item["question"],), tuple(item["references"]))
        marked.append(Marked(example, item["answer"], bool(item["right"])))
    return marked


def kappa(ours: Sequence[bool], theirs: Sequence[bool]) -> float:
    """Return Cohen's kappa between two sequences of marks; 1.0 if both are the same constant."""
    n = len(ours)
    observed = sum(a == b for a, b in zip(ours, theirs, strict=True)) / n
    yes = sum(ours) * sum(theirs) / n**2
    chance = yes + (n - sum(ours)) * (n - sum(theirs)) / n**2
    return (observed - chance) / (1 - chance) if chance < 1 else 1.0


def main() -> None:
    """Judge a file of marked answers, and print how verdicts and marks agree."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", nargs="?", type=Path, default=SAMPLE, help="marked answers in JSON Lines")
    settings = load_settings()
    parser.add_argument("--model", default=settings.judge_model, help="folder or hub id; by default MICL_JUDGE_MODEL")
    parser.add_argument("--metric", default="judge", help="the metric; an answer that scores above 0 is right")
    chosen = parser.parse_args()
    metric = Resources(settings.home, Registry.discover().load, chosen.model).metric(chosen.metric)
    marked = read(chosen.file)
    score = metric.score_examples([each.answer for each in marked], [each.example for each in marked])
    ours, theirs = [value > 0 for value in score.each], [each.right for each in marked]
    agree = sum(a == b for a, b in zip(ours, theirs, strict=True))
    print(f"{len(marked)} answers: {sum(theirs)} right by the marks, {sum(ours)} by {metric.name} {metric.version}")
    print(f"agreement {agree / len(marked):.3f}, kappa {kappa(ours, theirs):.3f}")
    for each, right in zip(marked, ours, strict=True):
        if right != each.right:
            verdict = "right" if right else "wrong"
            print(f"  judged {verdict}: {each.example.prompt} {each.example.references[0]!r}, answer {each.answer!r}")


if __name__ == "__main__":
    main()
