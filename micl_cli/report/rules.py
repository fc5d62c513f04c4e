"""The rule of a score: metric, version, prompt variant and scorer variant."""

from __future__ import annotations

from collections.abc import Iterable

from micl_cli.records import ScoreRecord


def version_of(score: ScoreRecord) -> int:
    """Return the version of a score's metric, 1 for scores of earlier versions of micl, which stored none."""
    return 1 if score.version is None else score.version


def rule_of(score: ScoreRecord) -> str:
    """Return the rule of a score as text, equal for comparable scores: "accuracy version 2, prompts published"."""
    version = f" version {version_of(score)}" if version_of(score) > 1 else ""
    variants = [f"{name} {value}" for name, value in (("prompts", score.prompts), ("scorer", score.scorer)) if value]
    return ", ".join([f"{score.metric}{version}", *variants])


def is_plain(score: ScoreRecord) -> bool:
    """Return whether a score is described by its metric alone: it has no variants, and no answer was missing."""
    return not (score.prompts or score.scorer or score.missing)


def latest_scores(scores: Iterable[ScoreRecord]) -> dict[str, ScoreRecord]:
    """Return the score of each task after its latest stage."""
    return {score.task: score for score in sorted(scores, key=lambda score: score.after)}


def mixed_rules(scores: Iterable[ScoreRecord]) -> dict[str, dict[str, list[int]]]:
    """Return the tasks with scores by different rules, with the stages of each rule."""
    stages: dict[str, dict[str, list[int]]] = {}
    for score in sorted(scores, key=lambda score: score.after):
        stages.setdefault(score.task, {}).setdefault(rule_of(score), []).append(score.after)
    return {task: rules for task, rules in stages.items() if len(rules) > 1}
