"""POPE (Li et al. 2023, arXiv 2305.10355): yes/no questions on the presence of objects.

Layout: ``coco_pope_{random,popular,adversarial}.json`` in JSON Lines, ``{"question_id", "image", "text", "label"}``,
and the images of COCO's val2014. Question ids restart in each file, so the id of an example is prefixed by its split.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from micl_cli.api import (
    CATEGORY,
    QA,
    RELEASE,
    STRICT,
    Count,
    ManifestError,
    Media,
    ReaderTask,
    Row,
    Source,
    SourceRows,
    rows_of,
    text_field,
)
from micl_readers.general.suite import Suite

SPLITS = ("random", "popular", "adversarial")
_FOLDERS = ("", "pope/", "POPE/", "coco/", "output/coco/", "pope/coco/")
_IMAGES = ("val2014", "images/val2014", "coco/val2014", "COCO/val2014", "COCO2014/val2014", "pope/val2014", "images")


def locate(source: Source) -> Mapping[str, Path]:
    """Return the questions of each split."""
    return {split: source.find(*(f"{folder}coco_pope_{split}.json" for folder in _FOLDERS)) for split in SPLITS}


def rows(files: Mapping[str, Path], source: Source) -> SourceRows:
    """Yield the questions of the three splits. The split is the category."""
    for split in SPLITS:
        yield from rows_of(_questions(source, files[split], split), lambda where, item: _row(source, where, *item))


def _questions(source: Source, path: Path, split: str) -> Iterator[tuple[str, Any]]:
    return ((where, (split, item)) for where, item in source.json_lines(path))


def _row(source: Source, where: str, split: str, item: Any) -> Row:
    label = text_field(item, "label", where).strip().lower()
    if label not in ("yes", "no"):
        raise ManifestError(f"{where}: label is {label!r}, not yes or no")
    name, file = text_field(item, "question_id", where), text_field(item, "image", where)
    path = source.first_medium([*(f"{folder}/{file}" for folder in _IMAGES), file])
    content = (Media("image", Path(path)), text_field(item, "text", where).strip())
    return Row(f"{split}-{name}", "test", content, (label,), meta={CATEGORY: split})


POPE = Suite(
    task=ReaderTask(
        modalities=frozenset({"image"}),
        type=QA,
        scorers={RELEASE: "pope", STRICT: "pope_strict"},
        description="whether an object is in the image, yes or no (POPE)",
        counts={"test": Count(9_000)},
        evaluation_only=True,
    ),
    locate=locate,
    rows=rows,
    marks=("coco_pope_*.json", "*/coco_pope_*.json"),
    citation="Li et al., Evaluating Object Hallucination in Large Vision-Language Models, arXiv 2305.10355",
    licence="MIT; images: COCO's terms",
    origin="POPE's repository (output/coco) and COCO val2014",
)
